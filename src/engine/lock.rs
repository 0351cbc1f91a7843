//! `lock`: the versions that a project uses, pinned in a file that is committed with it, and addresses of just these.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::base::files::{self, Durability};
use crate::base::lock::FileLock;
use crate::base::{DatasetName, Error, Id, Kind, RefName, Result};
use crate::format::lock_file::{LockFile, MAX_BYTES, Pin};
use crate::history::refs::DEFAULT_BRANCH;
use crate::store::address::{RefBase, RefExpr, is_remote, refuse_secret, without_file_scheme};

use super::open::Target;
use super::purged::PurgedPath;
use super::read::check_path;
use super::{Address, Engine, Location};

mod follow;

use follow::{Followed, purged_of};

/// What a lock file is called where no other name is given.
pub const LOCK_FILE: &str = "dagset.lock";

/// So long others are waited for that write in the same folder.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many links are followed, as by the system.
const MOST_LINKS: usize = 40;

/// A version as a lock file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub version: Id,
    pub name: Option<RefName>,
    pub manifest: Id,
}

/// A pin, and how what it asks for stands to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinReport {
    /// Under which it is pinned.
    pub pin: String,
    pub dataset: String,
    /// What was asked for.
    pub reference: String,
    /// What the dataset was called when it was pinned, if it was renamed since then.
    pub renamed_from: Option<String>,
    /// `None`: it is pinned for the first time.
    pub before: Option<Pinned>,
    pub now: Pinned,
    /// Files that a get by the pin lacks, since they were purged.
    pub purged: Vec<PurgedPath>,
}

impl PinReport {
    /// Whether the file is behind: another version is meant by now, its manifest isn't the one that the file says, or its dataset was renamed.
    pub fn moved(&self) -> bool {
        self.renamed_from.is_some() || self.now_other()
    }

    /// Whether what was asked for isn't what is pinned, whatever its dataset is called.
    pub fn now_other(&self) -> bool {
        let pinned = |it: &Pinned| (it.version, it.manifest);
        self.before.as_ref().is_some_and(|before| pinned(before) != pinned(&self.now))
    }
}

/// What became of pins.
#[derive(Debug, Default)]
pub struct RefreshReport {
    pub pins: Vec<PinReport>,
    /// Those that can't be followed, by name, and why.
    pub failed: Vec<(String, Error)>,
}

impl Engine {
    /// Pins the versions that addresses mean now, each by its dataset's name, or one of them by `name`. Other pins of the file stay.
    ///
    /// Errors: [`Kind::NotFound`] of a version whose content keep rules let go.
    pub fn lock(&self, addresses: &[Address], file: &Path, name: Option<&str>) -> Result<Vec<PinReport>> {
        let file = behind_links(&self.path(file))?;
        let mut found: Vec<(DatasetName, Pin, Vec<PurgedPath>)> = Vec::new();
        if name.is_some() && addresses.len() != 1 {
            return Err(Error::usage("--name is the name of one pin, and there are several addresses")
                .hint("lock them one by one"));
        }
        for address in addresses {
            let target = self.open_target(address)?;
            let key = name.map(DatasetName::new).transpose()?.unwrap_or_else(|| target.dataset.clone());
            if found.iter().any(|(other, ..)| *other == key) {
                return Err(Error::usage(format!("two addresses would be pinned as {key}"))
                    .hint("lock one of them by itself, as `dagset lock ADDRESS --name NAME`"));
            }
            let pin = self.pin_of(&target, &file)?;
            let purged = purged_of(&target, &pin.version)?;
            found.push((key, pin, purged));
        }
        let _alone = self.alone_at(&file)?;
        let mut lock = read_or_new(&file)?;
        let pinned = found.into_iter().map(|(key, pin, purged)| {
            let told = PinReport { renamed_from: None, ..report(&key, lock.pins.get(&key), &pin, purged) };
            lock.pins.insert(key, pin);
            told
        });
        let reports: Vec<PinReport> = pinned.collect();
        reports.iter().try_for_each(|report| refuse_nested(&lock, &report.pin))?;
        write(&file, &lock)?;
        Ok(reports)
    }

    /// Keeps others off who would change the same file, until this is dropped. The file itself can't be locked, as each write puts another one
    /// in its place; a file beside it would be left in the user's folder.
    ///
    /// Errors: [`Kind::Busy`] after ten seconds.
    fn alone_at(&self, file: &Path) -> Result<Option<FileLock>> {
        FileLock::of_folder(&folder_of(file), PATIENCE, &self.observer)
    }

    /// Looks what the pins ask for means now, and whether what they pin can be got; with `update`, what is meant now is pinned from now on,
    /// unless one of them can't be followed. Without names: all of them.
    pub fn refresh_lock(&self, file: &Path, names: &[String], update: bool) -> Result<RefreshReport> {
        let file = behind_links(&self.path(file))?;
        // Who only looks waits for nobody: the file is always whole.
        let _alone = if update { self.alone_at(&file)? } else { None };
        let mut lock = read(&file)?;
        let mut refreshed = RefreshReport::default();
        for key in chosen(&lock, names, &file)? {
            let old = &lock.pins[&key];
            match self.follow_pin(&key, old, &file, update) {
                Ok(Followed { now, purged }) => {
                    refreshed.pins.push(report(&key, Some(old), &now, purged));
                    lock.pins.insert(key, now);
                }
                Err(fault) if update || fault.kind() == Kind::Interrupted => return Err(fault),
                Err(fault) => refreshed.failed.push((key.to_string(), fault)),
            }
        }
        if update {
            write(&file, &lock)?;
        }
        Ok(refreshed)
    }

    /// The pins of these names, or all, with addresses that mean their versions and nothing else.
    pub fn locked(&self, file: &Path, names: &[String]) -> Result<Vec<(String, Address)>> {
        let file = behind_links(&self.path(file))?;
        let lock = read(&file)?;
        let address = |key: DatasetName| {
            let pin = &lock.pins[&key];
            let base = RefBase::Pinned { version: pin.version, manifest: pin.manifest };
            let address = self.address_of(pin, &file, Some(RefExpr { base, steps: Vec::new() }))?;
            Ok((key.to_string(), address))
        };
        chosen(&lock, names, &file)?.into_iter().map(address).collect()
    }

    fn address_of(&self, pin: &Pin, file: &Path, reference: Option<RefExpr>) -> Result<Address> {
        refuse_secret(&pin.store, "a store's URL in a lock file")?;
        let is_relative = pin.store.starts_with("./") || pin.store.starts_with("../");
        let store = match is_relative {
            true => folder_of(file).join(pin.store.trim_start_matches("./")).to_string_lossy().into_owned(),
            false => pin.store.clone(),
        };
        let text = format!("{}//{}", store.trim_end_matches('/'), pin.dataset);
        Ok(Address { location: Location::Store { text }, reference, path: pin.path.clone() })
    }

    fn pin_of(&self, target: &Target, file: &Path) -> Result<Pin> {
        let version = target.readable()?;
        check_path(target)?;
        let asked = target.reference.as_ref().map(ToString::to_string);
        // In a workspace no REF is its own version, which nobody else can follow.
        let own = Some(&target.default_reference).filter(|own| asked.is_none() && *own != DEFAULT_BRANCH);
        Ok(Pin {
            store: self.store_beside(&target.store.root, file),
            dataset: target.dataset.clone(),
            reference: asked.or_else(|| own.cloned()),
            path: target.path.clone().filter(|path| !path.is_empty()),
            version: version.row.version,
            name: target.dataset()?.name_of(&version.row.version).cloned(),
            manifest: version.row.manifest,
        })
    }

    /// The store's URL, or its path from the lock file's folder, so that it holds wherever both are moved to together; absolute where they have
    /// nothing in common.
    fn store_beside(&self, root: &str, file: &Path) -> String {
        if is_remote(root) {
            return self.absolute(root);
        }
        let (store, folder) = (PathBuf::from(self.absolute(without_file_scheme(root))), folder_of(file));
        let is_plain = |path: &Path| path.components().all(|part| part != Component::ParentDir);
        match store.strip_prefix(&folder) {
            // As it is written, though it may lead through a link.
            Ok(below) if is_plain(below) => format!("./{}", below.display()),
            _ => relative(&real(&store), &folder.canonicalize().unwrap_or(folder)),
        }
    }
}

/// A path without links and `..` but for its last name, which may be that of a link; as it is where nothing is there.
fn real(path: &Path) -> PathBuf {
    let real = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(name)),
        _ => path.canonicalize(),
    };
    real.unwrap_or_else(|_| path.to_owned())
}

/// How `folder` names a path: from itself with `./` or `../`, and absolute where both have but the root in common.
fn relative(path: &Path, folder: &Path) -> String {
    let common = path.components().zip(folder.components()).take_while(|(one, other)| one == other).count();
    if common <= 1 {
        return path.display().to_string();
    }
    let up = folder.components().count() - common;
    let below: PathBuf = path.components().skip(common).collect();
    format!("{}{}", if up == 0 { "./".to_owned() } else { "../".repeat(up) }, below.display())
}

/// The file that a path leads to, there or not: that is what is replaced, and stores are named from its folder, so that links to it stay
/// links and mean what it means.
fn behind_links(file: &Path) -> Result<PathBuf> {
    let mut file = file.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&file) {
            Ok(target) => file = folder_of(&file).join(target),
            Err(_) => return Ok(file),
        }
    }
    Err(Error::usage(format!("{} is a link in a circle", file.display())))
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("/")).components().collect()
}

fn report(key: &DatasetName, before: Option<&Pin>, now: &Pin, purged: Vec<PurgedPath>) -> PinReport {
    let pinned = |pin: &Pin| Pinned { version: pin.version, name: pin.name.clone(), manifest: pin.manifest };
    PinReport {
        pin: key.to_string(),
        dataset: now.dataset.to_string(),
        renamed_from: before.filter(|before| before.dataset != now.dataset).map(|before| before.dataset.to_string()),
        reference: now.reference.clone().unwrap_or_else(|| DEFAULT_BRANCH.to_owned()),
        before: before.map(pinned),
        now: pinned(now),
        purged,
    }
}

/// Refuses a pin whose folder would lie in that of another, or around it: a get of all writes each into its own.
fn refuse_nested(lock: &LockFile, pin: &str) -> Result<()> {
    let is_in = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    match lock.pins.keys().map(DatasetName::as_str).find(|other| is_in(pin, other) || is_in(other, pin)) {
        None => Ok(()),
        Some(other) => {
            let message = format!(
                "the pins {pin} and {other} can't be in one file: a get of both writes one into the other's folder"
            );
            Err(Error::usage(message).hint("lock it by itself with another name, as `dagset lock ADDRESS --name NAME`"))
        }
    }
}

fn chosen(lock: &LockFile, names: &[String], file: &Path) -> Result<Vec<DatasetName>> {
    if let Some(name) = names.iter().find(|name| !lock.pins.keys().any(|key| key.as_str() == name.as_str())) {
        let known: Vec<&str> = lock.pins.keys().map(DatasetName::as_str).collect();
        return Err(Error::not_found(format!("{} pins no {name}", file.display())).hint(match known[..] {
            [] => "`dagset lock ADDRESS` pins a dataset".to_owned(),
            _ => format!("it pins {}; `dagset lock ADDRESS` pins another", known.join(", ")),
        }));
    }
    let is_chosen = |key: &&DatasetName| names.is_empty() || names.iter().any(|name| name == key.as_str());
    Ok(lock.pins.keys().filter(is_chosen).cloned().collect())
}

fn read(file: &Path) -> Result<LockFile> {
    let missing = || {
        Error::not_found(format!("there is no {}", file.display())).hint("`dagset lock ADDRESS…` pins datasets in one")
    };
    let len = match fs::metadata(file) {
        Ok(meta) => meta.len(),
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Err(missing()),
        Err(fault) => return Err(Error::io("read", file, fault)),
    };
    if len > MAX_BYTES as u64 {
        return Err(Error::usage(format!("{} is no lock file: it has {len} bytes", file.display())));
    }
    let text = files::read_text(file).map_err(|fault| Error::io("read", file, fault))?;
    LockFile::parse(&text).map_err(|fault| fault.within(format!("cannot use {}", file.display())))
}

fn read_or_new(file: &Path) -> Result<LockFile> {
    if file.symlink_metadata().is_ok() { read(file) } else { Ok(LockFile::default()) }
}

/// Writes the file, unless it says the same already.
fn write(file: &Path, lock: &LockFile) -> Result<()> {
    let text = lock.encode()?;
    match files::read_text(file) {
        Ok(present) if present == text => Ok(()),
        _ => files::write_file(file, text.as_bytes(), Durability::Synced),
    }
}
