//! `.dagset/`: the workspace's own files, each small and replaced by rename.
//!
//! ```text
//! .dagset/config.toml   dataset, home store, remotes
//! .dagset/state.json    branch, base version, a checkout that hasn't ended
//! .dagset/staged        paths that the next commit takes, each ended by NUL
//! .dagset/seen-tags.json  where tags of remotes were last seen
//! .dagset/lock          held while the workspace is changed
//! .dagset/store/        the home store, where it is embedded
//! ```
//!
//! What only dagset writes carries a check of its own, so that a flipped bit is no other branch. Files from before these have none, and are
//! taken as they are; so is `config.toml`, which its user may edit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::files::{self, Durability};
use crate::base::lock::FileLock;
use crate::base::path::CONTROL_FOLDER;
use crate::base::{BranchName, DatasetName, Error, Id, Observer, RefName, RepoPath, Result};
use crate::store::access::StoreSettings;

const SCHEMA: u32 = 1;
const PATIENCE: Duration = Duration::from_secs(10);
/// What the last item of `staged` begins with.
const CHECK_MARK: &str = "//";
/// What helps where nothing says any more where a workspace stands.
const LOOK_FIRST: &str = "the folder's files are untouched: `dagset doctor` says how it is mended";
/// The home store's text where it lies in `.dagset/store`.
pub const EMBEDDED: &str = "embedded";

/// A workspace's folder, found and open.
#[derive(Debug, Clone)]
pub struct Control {
    root: PathBuf,
}

/// Which dataset of which store a workspace is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub dataset: DatasetName,
    /// A store's path or URL, or [`EMBEDDED`].
    pub store: String,
    /// Where `push` and `fetch` go, by name.
    pub remotes: BTreeMap<RefName, Remote>,
}

/// A dataset in another store, and how that store is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// `STORE/DATASET`; a store alone means its dataset of the workspace's name.
    pub url: String,
    #[serde(flatten)]
    pub settings: StoreSettings,
}

/// Where a workspace stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// `None`: a version was switched to that no branch was named for; nothing can be committed.
    pub branch: Option<BranchName>,
    /// `None`: there is no version yet.
    pub base: Option<Id>,
    /// The version that a workspace without a base is at: nothing of it was written yet.
    pub unwritten: Option<Id>,
    /// The target of a checkout that was begun and hasn't ended.
    pub checkout: Option<Checkout>,
}

/// A checkout on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    pub branch: Option<BranchName>,
    pub version: Id,
    /// Other versions that were begun before, of which files may stand in the folder.
    pub left: Vec<Id>,
}

impl Checkout {
    /// The versions other than the base of which files may stand in the folder.
    pub fn versions(&self) -> impl Iterator<Item = Id> {
        std::iter::once(self.version).chain(self.left.iter().copied())
    }
}

#[derive(Serialize, Deserialize)]
struct ConfigToml {
    dataset: String,
    store: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    remote: BTreeMap<String, Remote>,
}

#[derive(Serialize, Deserialize)]
struct StateJson {
    schema: u32,
    branch: Option<String>,
    base: Option<String>,
    #[serde(default)]
    unwritten: Option<String>,
    #[serde(default)]
    checkout: Option<CheckoutJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct CheckoutJson {
    branch: Option<String>,
    version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
}

impl State {
    /// The version that the workspace is at, whether its content is here or not.
    pub fn at(&self) -> Option<Id> {
        self.base.or(self.unwritten)
    }
}

impl Control {
    /// The workspace that `folder` lies in: itself or the nearest above it with `.dagset/`.
    pub fn find(folder: &Path) -> Option<Control> {
        // Whatever stands there: what it is is said where it is read.
        let is_root = |folder: &&Path| folder.join(CONTROL_FOLDER).join("config.toml").exists();
        folder.ancestors().find(is_root).map(|root| Control { root: root.to_owned() })
    }

    /// Makes `root` a workspace. It must not be one.
    pub fn create(root: &Path, config: &Config, state: &State) -> Result<Control> {
        let control = Control { root: root.to_owned() };
        if control.file("config.toml").exists() {
            return Err(
                Error::conflict(format!("{} is a workspace already", root.display())).hint("`dagset status` shows it")
            );
        }
        files::create_folders(&control.folder())?;
        control.write_state(state)?;
        control.write_config(config)?;
        Ok(control)
    }

    /// Replaces the configuration. To be called under [`Control::lock`], but for a workspace that is being made.
    pub fn write_config(&self, config: &Config) -> Result<()> {
        let toml = ConfigToml {
            dataset: config.dataset.to_string(),
            store: config.store.clone(),
            remote: config.remotes.iter().map(|(name, remote)| (name.to_string(), remote.clone())).collect(),
        };
        let text = toml::to_string(&toml)
            .map_err(|fault| Error::usage("the configuration can't be written").because(fault))?;
        files::write_file(&self.file("config.toml"), text.as_bytes(), Durability::Synced)
    }

    /// The folder that is versioned.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder `.dagset/`.
    pub fn folder(&self) -> PathBuf {
        self.root.join(CONTROL_FOLDER)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Waits for other commands that change the workspace; [`Kind::Busy`](crate::base::Kind::Busy) after ten seconds.
    pub fn lock(&self, observer: &Observer) -> Result<FileLock> {
        FileLock::take(&self.file("lock"), PATIENCE, observer)
    }

    pub fn config(&self) -> Result<Config> {
        let path = self.file("config.toml");
        let bytes = files::read(&path).map_err(|fault| unreadable(&path, fault))?;
        let damaged = |fault: String| {
            Error::damaged(format!("{} can't be understood: {}", path.display(), fault.trim_end())).hint(
                "mend the file: `dataset = \"NAME\"`, `store = \"STORE\"`, and for each remote `[remote.NAME]` with its `url`",
            )
        };
        let text = std::str::from_utf8(&bytes).map_err(|fault| damaged(fault.to_string()))?;
        let toml: ConfigToml = toml::from_str(text).map_err(|fault| damaged(fault.to_string()))?;
        let dataset = DatasetName::new(&toml.dataset).map_err(|fault| damaged(fault.to_string()))?;
        let remote = |(name, remote): (String, Remote)| Ok((RefName::new(&name)?, remote));
        let remotes = toml.remote.into_iter().map(remote).collect::<Result<_>>();
        Ok(Config { dataset, store: toml.store, remotes: remotes.map_err(|fault| damaged(fault.to_string()))? })
    }

    /// The text that opens the home store.
    pub fn store_text(&self, config: &Config) -> String {
        match config.store.as_str() {
            EMBEDDED => self.folder().join("store").to_string_lossy().into_owned(),
            text if text.contains("://") || text.starts_with('/') => text.to_owned(),
            text => self.root.join(text).to_string_lossy().into_owned(),
        }
    }

    pub fn state(&self) -> Result<State> {
        let path = self.file("state.json");
        let damaged = |why: &str| Error::damaged(format!("{} {why}", path.display())).hint(LOOK_FIRST);
        let text = match files::read(&path) {
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Err(damaged("is missing")),
            read => read.map_err(|fault| unreadable(&path, fault))?,
        };
        let unclear = || damaged("can't be understood");
        let mut json: StateJson = serde_json::from_slice(&text).map_err(|fault| unclear().because(fault))?;
        if json.check.take().is_some_and(|check| check != check_of(&json)) {
            return Err(damaged("isn't what was written"));
        }
        if json.schema != SCHEMA {
            return Err(crate::format::needs_newer(path.display()));
        }
        let branch = |text: Option<String>| {
            text.map(|text| BranchName::new(&text).map_err(|fault| unclear().because(fault))).transpose()
        };
        let id = |text: &str| Id::from_hex(text).ok_or_else(unclear);
        let checkout = json.checkout.map(|checkout| {
            let left = checkout.left.iter().map(|left| id(left)).collect::<Result<_>>()?;
            Ok::<_, Error>(Checkout { branch: branch(checkout.branch)?, version: id(&checkout.version)?, left })
        });
        Ok(State {
            branch: branch(json.branch)?,
            base: json.base.as_deref().map(id).transpose()?,
            unwritten: json.unwritten.as_deref().map(id).transpose()?,
            checkout: checkout.transpose()?,
        })
    }

    pub fn write_state(&self, state: &State) -> Result<()> {
        let mut json = StateJson {
            schema: SCHEMA,
            branch: state.branch.as_ref().map(BranchName::to_string),
            base: state.base.as_ref().map(Id::to_string),
            unwritten: state.unwritten.as_ref().map(Id::to_string),
            checkout: state.checkout.as_ref().map(|checkout| CheckoutJson {
                branch: checkout.branch.as_ref().map(BranchName::to_string),
                version: checkout.version.to_string(),
                left: checkout.left.iter().map(Id::to_string).collect(),
            }),
            check: None,
        };
        json.check = Some(check_of(&json));
        let text =
            serde_json::to_vec(&json).map_err(|fault| Error::usage("the state can't be written").because(fault))?;
        files::write_file(&self.file("state.json"), &text, Durability::Synced)
    }

    /// The paths that the next commit takes.
    pub fn staged(&self) -> Result<BTreeSet<RepoPath>> {
        let path = self.file("staged");
        let bytes = match files::read(&path) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(fault) => return Err(unreadable(&path, fault)),
        };
        let damaged = || {
            Error::damaged(format!("{} can't be understood", path.display()))
                .hint("remove the file and `dagset add` the paths again")
        };
        let text = std::str::from_utf8(&bytes).map_err(|fault| damaged().because(fault))?;
        // The check is a last item that is no path.
        let paths = match text.rsplit_once(CHECK_MARK) {
            Some((paths, check)) if check.strip_suffix('\0') == Some(&Id::of(paths.as_bytes()).short()) => paths,
            Some(_) => return Err(damaged()),
            None => text,
        };
        paths.split_terminator('\0').map(|path| RepoPath::new(path).map_err(|fault| damaged().because(fault))).collect()
    }

    pub fn write_staged(&self, staged: &BTreeSet<RepoPath>) -> Result<()> {
        let path = self.file("staged");
        if staged.is_empty() {
            return match fs::remove_file(&path) {
                Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, fault)),
                _ => Ok(()),
            };
        }
        let mut text: String = staged.iter().flat_map(|path| [path.as_str(), "\0"]).collect();
        let check = Id::of(text.as_bytes()).short();
        text.extend([CHECK_MARK, &check, "\0"]);
        files::write_file(&path, text.as_bytes(), Durability::Synced)
    }

    /// Now, in nanoseconds, by the clock of the file system that holds the workspace.
    pub fn clock_ns(&self) -> Result<i64> {
        let path = self.folder().join(files::temporary_name());
        let new = files::NewFile::create(&path)?;
        let stat = crate::base::stat::stat_open(new.file(), &path)?.0;
        Ok(stat.mtime_ns)
    }
}

/// The error for one of a workspace's files: one that is no file is damage.
pub(super) fn unreadable(path: &Path, fault: std::io::Error) -> Error {
    match fault.kind() {
        std::io::ErrorKind::InvalidInput => Error::damaged(format!("{} is no regular file", path.display()))
            .hint("move away what stands there; `dagset doctor` says how it is mended"),
        _ => Error::io("read", path, fault),
    }
}

/// A check of what a file says, which stands in it.
pub(super) fn check_of(json: &impl Serialize) -> String {
    let text = serde_json::to_vec(json).unwrap_or_default();
    Id::of(&text).short()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            dataset: DatasetName::new("a/b").expect("good name"),
            store: EMBEDDED.to_owned(),
            remotes: BTreeMap::new(),
        };
        let control = Control::create(folder.path(), &config, &State::default()).expect("creates");
        assert_eq!(control.config().expect("reads"), config);
        assert_eq!(control.state().expect("reads"), State::default());
        let branch = Some(BranchName::new("main").expect("good name"));
        let checkout = Some(Checkout { branch: branch.clone(), version: Id::of(b"v"), left: vec![Id::of(b"l")] });
        let state = State { branch, base: Some(Id::of(b"b")), unwritten: Some(Id::of(b"u")), checkout };
        control.write_state(&state).expect("writes");
        assert_eq!(control.state().expect("reads"), state);
        assert!(Control::create(folder.path(), &config, &State::default()).is_err());
        let inner = folder.path().join("x/y");
        fs::create_dir_all(&inner).expect("a folder");
        assert_eq!(Control::find(&inner).expect("found from inside").root(), folder.path());
    }

    #[test]
    fn staged_paths_may_hold_line_feeds() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            dataset: DatasetName::new("d").expect("good name"),
            store: EMBEDDED.to_owned(),
            remotes: BTreeMap::new(),
        };
        let control = Control::create(folder.path(), &config, &State::default()).expect("creates");
        let staged: BTreeSet<_> = ["a\nb", "c"].map(|path| RepoPath::new(path).expect("good path")).into();
        control.write_staged(&staged).expect("writes");
        assert_eq!(control.staged().expect("reads"), staged);
        control.write_staged(&BTreeSet::new()).expect("removes");
        assert!(control.staged().expect("reads").is_empty());
    }

    #[test]
    fn a_flipped_bit_changes_neither_state_nor_what_is_staged() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            dataset: DatasetName::new("d").expect("good name"),
            store: EMBEDDED.to_owned(),
            remotes: BTreeMap::new(),
        };
        let branch = Some(BranchName::new("main").expect("good name"));
        let state = State { branch, base: Some(Id::of(b"b")), ..State::default() };
        let control = Control::create(folder.path(), &config, &state).expect("creates");
        let staged: BTreeSet<_> = ["a", "b/c"].map(|path| RepoPath::new(path).expect("good path")).into();
        control.write_staged(&staged).expect("writes");
        for (name, bit) in ["state.json", "staged"].into_iter().flat_map(|name| (0..8).map(move |bit| (name, bit))) {
            let file = control.file(name);
            let whole = fs::read(&file).expect("is there");
            for byte in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[byte] ^= 1 << bit;
                fs::write(&file, bytes).expect("writes");
                let is_kept = match name {
                    "staged" => control.staged().ok().is_none_or(|read| staged.is_subset(&read)),
                    _ => control.state().ok().is_none_or(|read| read == state),
                };
                assert!(is_kept, "{name}, byte {byte}, bit {bit}");
            }
            fs::write(&file, whole).expect("writes");
        }
    }

    #[test]
    fn files_without_a_check_are_taken_as_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let control = Control { root: folder.path().to_owned() };
        fs::create_dir(control.folder()).expect("a folder");
        fs::write(control.file("state.json"), r#"{"schema":1,"branch":"main","base":null}"#).expect("writes");
        fs::write(control.file("staged"), "a\0b\0").expect("writes");
        assert!(control.state().expect("reads").branch.is_some());
        assert_eq!(control.staged().expect("reads").len(), 2);
    }

    #[test]
    fn the_clock_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            dataset: DatasetName::new("d").expect("good name"),
            store: EMBEDDED.to_owned(),
            remotes: BTreeMap::new(),
        };
        let control = Control::create(folder.path(), &config, &State::default()).expect("creates");
        let first = control.clock_ns().expect("a time");
        assert!(control.clock_ns().expect("a time") >= first);
    }
}
