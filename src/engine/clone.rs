//! `clone` and `pull`: from a remote's refs to a folder that holds one of its versions.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::base::path::CONTROL_FOLDER;
use crate::base::{BranchName, DatasetName, Error, Id, Kind, RefName, Result};
use crate::format::operation::Operation;
use crate::history::dag::{ancestry, is_ancestor};
use crate::history::fold::Dataset;
use crate::history::refs::{self, DEFAULT_BRANCH};
use crate::store::address::Location;
use crate::workspace::control::{Config, Control, EMBEDDED, Remote, State};

use super::transfer::{FetchReport, here};
use super::{Address, Engine, Settings, StoreSettings};

/// The remote that a clone comes from.
pub(super) const ORIGIN: &str = "origin";

/// What to clone, and into what.
#[derive(Debug, Clone, Default)]
pub struct CloneOptions {
    /// `STORE/DATASET[@REF]`.
    pub address: String,
    /// The dataset's last name if not given.
    pub folder: Option<PathBuf>,
    /// Leave the folder empty.
    pub no_content: bool,
}

/// What was cloned.
#[derive(Debug, Clone)]
pub struct CloneReport {
    pub root: PathBuf,
    pub fetched: FetchReport,
    /// Versions that the clone has now, those of an earlier try among them.
    pub versions: u64,
    pub branch: Option<BranchName>,
    /// `None`: the dataset has no version yet.
    pub version: Option<Id>,
    pub version_name: Option<RefName>,
    /// Files written.
    pub written: u64,
    /// What `switch` takes to write the content, where that was left out.
    pub to_write: Option<String>,
}

/// What a pull did.
#[derive(Debug, Clone)]
pub struct PullReport {
    pub fetched: FetchReport,
    pub branch: BranchName,
    pub old: Option<Id>,
    pub new: Id,
    pub version_name: Option<RefName>,
    /// Paths written and removed.
    pub written: u64,
    pub removed: u64,
}

/// A branch that follows a remote's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `REMOTE/BRANCH`.
    pub name: BranchName,
    /// Versions that it lacks.
    pub ahead: u64,
    /// Versions that only it has.
    pub behind: u64,
}

impl Engine {
    /// Makes a workspace of a remote's dataset, with that as `origin`: first what its versions are, then the content of one.
    ///
    /// A clone that was cut off goes on when it is given the same folder again. One that fails leaves nothing, unless it has files or
    /// might be ended by another try; then the error says so.
    pub fn clone_dataset(&self, options: &CloneOptions) -> Result<CloneReport> {
        let address = Address::parse(&options.address, self.settings.home.as_deref())?;
        if address.path.is_some() {
            return Err(Error::usage("a clone is of a whole dataset")
                .hint(format!("`dagset get {} DIR` takes a part of a version", options.address)));
        }
        let text = self.location_text(&address)?;
        let (store, rest) = self.open_store_around(&text)?;
        let dataset = self.dataset_meant(&text, rest)?;
        let there = store.timeline.fold().dataset(&dataset);
        there.map_err(|fault| {
            fault.hint(store.where_it_went(&dataset, |to, root| format!("`dagset clone {root}//{to}`")))
        })?;
        if let Some(reference) = &address.reference {
            refs::resolve(store.timeline.fold(), &dataset, reference, DEFAULT_BRANCH)?;
        }
        let last = dataset.as_str().rsplit('/').next().unwrap_or_default();
        let folder = self.path(options.folder.as_deref().unwrap_or(Path::new(last)));
        let url = format!("{}//{dataset}", self.absolute(store.root.trim_end_matches('/')));
        drop(store);
        let made_folder = !folder.exists();
        let root = self.make_clone(&folder, &dataset, &url)?;
        let inner = Engine { settings: Settings { folder: root.clone(), ..self.settings.clone() }, ..self.clone() };
        inner.fill_clone(&address, options).map_err(|fault| give_up(&root, made_folder, fault))
    }

    /// Fetches into a clone, and writes the version that is to be seen.
    fn fill_clone(&self, address: &Address, options: &CloneOptions) -> Result<CloneReport> {
        let root = self.settings.folder.clone();
        let fetched = self.fetch(Some(ORIGIN))?;
        let (branch, version) = self.choose_head(address)?;
        let (version_name, to_write) = (None, None);
        let mut report =
            CloneReport { root, fetched, versions: 0, branch, version, version_name, written: 0, to_write };
        let Some(version) = version else { return Ok(report) };
        if let Some(branch) = &report.branch {
            self.set_branch_here(branch, None, version)?;
        }
        let (mut workspace, _lock) = self.lock_workspace()?;
        let here = workspace.target.dataset()?;
        report.versions = here.versions.len() as u64;
        report.version_name = here.name_of(&version).cloned();
        if options.no_content {
            workspace.state = State { branch: report.branch.clone(), unwritten: Some(version), ..State::default() };
            workspace.control.write_state(&workspace.state)?;
            report.to_write = workspace.to_write()?;
        } else {
            let switched = self.go_to(&workspace, report.branch.clone(), version)?;
            self.warn_of_purged(&switched.purged);
            report.written = switched.written;
        }
        Ok(report)
    }

    /// Brings what is new at the remote of the current branch, and moves the branch and the folder on to it.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where both sides have versions that the other hasn't, or what isn't saved is in the way.
    pub fn pull(&self, remote: Option<&str>) -> Result<PullReport> {
        let fetched = self.fetch(remote)?;
        let (workspace, lock) = self.lock_workspace()?;
        let branch = workspace.state.branch.clone().ok_or_else(|| {
            Error::usage("this workspace is on no branch").hint("`dagset switch BRANCH` first, or `dagset fetch`")
        })?;
        let dataset = workspace.target.dataset()?;
        let following = BranchName::new(&format!("{}/{branch}", fetched.remote))?;
        let new = dataset.branches.get(&following).copied().ok_or_else(|| {
            Error::not_found(format!("{} has no branch {branch}", fetched.remote))
                .hint(format!("`dagset push {}` makes it", fetched.remote))
        })?;
        let old = dataset.branches.get(&branch).copied();
        let version_name = dataset.name_of(&new).cloned();
        let mut report = PullReport { fetched, branch, old, new, version_name, written: 0, removed: 0 };
        match old {
            Some(old) if is_ancestor(dataset, &new, &old) => {
                (report.new, report.version_name) = (old, dataset.name_of(&old).cloned());
            }
            Some(old) if !is_ancestor(dataset, &old, &new) => {
                let message = format!("{} and {following} each have versions that the other hasn't", report.branch);
                return Err(Error::conflict(message)
                    .hint(format!("`dagset merge {following}` makes one version of both; `dagset diff {} {following}` shows how they differ", report.branch)));
            }
            _ => {}
        }
        if workspace.state.base != Some(report.new) || workspace.state.checkout.is_some() {
            let switched = self.go_to(&workspace, Some(report.branch.clone()), report.new)?;
            self.warn_of_purged(&switched.purged);
            (report.written, report.removed) = (switched.written, switched.removed);
        }
        if old != Some(report.new) {
            self.set_branch_here(&report.branch, old, report.new)?;
        }
        drop(lock);
        Ok(report)
    }

    /// How a branch stands to the one that follows its namesake at `origin`, or at the only remote.
    pub(super) fn upstream(&self, dataset: &Dataset, branch: &BranchName) -> Option<Upstream> {
        let remotes = self.find_workspace().ok()?.config().ok()?.remotes;
        let origin = remotes.keys().find(|name| name.as_str() == ORIGIN);
        let remote = origin.or(remotes.keys().next().filter(|_| remotes.len() == 1))?;
        let name = BranchName::new(&format!("{remote}/{branch}")).ok()?;
        let (own, theirs) = (dataset.branches.get(branch)?, dataset.branches.get(&name)?);
        if own == theirs {
            return Some(Upstream { name, ahead: 0, behind: 0 });
        }
        let reached =
            |tip: &Id| ancestry(dataset, &[*tip]).iter().map(|state| state.row.version).collect::<HashSet<_>>();
        let (own, theirs) = (reached(own), reached(theirs));
        let ahead = own.difference(&theirs).count() as u64;
        Some(Upstream { name, ahead, behind: theirs.difference(&own).count() as u64 })
    }

    /// The branch `word` that one of the workspace's remotes has and this side hasn't: its name, that of the branch which follows it, and
    /// its version. [`Kind::Usage`] where several have it.
    pub(super) fn branch_of_a_remote(
        &self,
        dataset: &Dataset,
        word: &str,
    ) -> Result<Option<(BranchName, BranchName, Id)>> {
        let Ok(branch) = BranchName::new(word) else { return Ok(None) };
        let remotes = self.find_workspace()?.config()?.remotes;
        let following = remotes.keys().filter_map(|remote| BranchName::new(&format!("{remote}/{branch}")).ok());
        let mut found = following.filter_map(|name| Some((*dataset.branches.get(&name)?, name))).collect::<Vec<_>>();
        match found.pop() {
            Some((version, name)) if found.is_empty() => Ok(Some((branch, name, version))),
            Some((_, name)) => {
                let names = found.iter().map(|(_, name)| name.to_string()).collect::<Vec<_>>().join(", ");
                Err(Error::usage(format!("several remotes have a branch {branch}: {names}, {name}"))
                    .hint(format!("`dagset branch {branch} {name}` makes it from one, then `dagset switch {branch}`")))
            }
            None => Ok(None),
        }
    }

    /// Whether a branch only follows a remote's, so that no workspace is on it.
    pub(super) fn follows_a_remote(&self, branch: &BranchName) -> bool {
        let remotes = Control::find(&self.settings.folder).and_then(|control| control.config().ok());
        let remote = branch.as_str().split_once('/').map(|(remote, _)| remote);
        remotes.is_some_and(|config| config.remotes.keys().any(|name| Some(name.as_str()) == remote))
    }

    /// The folder of a clone with its empty store, or the one that an earlier clone of the same left.
    fn make_clone(&self, folder: &Path, dataset: &DatasetName, url: &str) -> Result<PathBuf> {
        crate::base::files::create_folders(folder)?;
        let root = folder.canonicalize().map_err(|fault| Error::io("find", folder, fault))?;
        let origin = RefName::new(ORIGIN)?;
        if let Some(outer) = Control::find(&root) {
            let same =
                outer.root() == root && outer.config()?.remotes.get(&origin).is_some_and(|remote| remote.url == url);
            let is_whole = || Ok::<_, Error>(outer.state()?.base.is_some() && outer.state()?.checkout.is_none());
            return match same {
                true if is_whole()? => Err(Error::conflict(format!("{} is a clone of that already", root.display()))
                    .hint("`dagset pull` in it brings what is new")),
                true => Ok(root),
                false if outer.root() == root => {
                    Err(Error::conflict(format!("{} is a workspace already", root.display()))
                        .hint("choose another folder"))
                }
                false => {
                    Err(Error::conflict(format!("{} is in the workspace {}", root.display(), outer.root().display()))
                        .hint("choose another folder"))
                }
            };
        }
        let control_folder = root.join(CONTROL_FOLDER);
        let entries = std::fs::read_dir(&root).map_err(|fault| Error::io("list", &root, fault))?;
        let foreign = entries.flatten().find(|entry| entry.path() != control_folder);
        if let Some(entry) = foreign {
            return Err(Error::conflict(format!(
                "{} isn't empty: it has {}",
                root.display(),
                entry.file_name().display()
            ))
            .hint("choose another folder"));
        }
        let config = Config {
            dataset: dataset.clone(),
            store: EMBEDDED.to_owned(),
            remotes: [(origin, Remote { url: url.to_owned(), settings: StoreSettings::default() })].into(),
        };
        self.make_workspace(&root, &config)?;
        Ok(root)
    }

    /// The branch to be on and the version to be at.
    fn choose_head(&self, address: &Address) -> Result<(Option<BranchName>, Option<Id>)> {
        let target = self.open_target(&here())?;
        let dataset = target.dataset()?;
        let following = |branch: &str| {
            let name = BranchName::new(&format!("{ORIGIN}/{branch}")).ok()?;
            dataset.branches.get(&name).copied()
        };
        match &address.reference {
            None => Ok((Some(BranchName::new(DEFAULT_BRANCH)?), following(DEFAULT_BRANCH))),
            Some(reference) => match (BranchName::new(&reference.to_string()), following(&reference.to_string())) {
                (Ok(branch), Some(version)) => Ok((Some(branch), Some(version))),
                _ => {
                    let word = reference.to_string();
                    let (fold, default) = (target.store.timeline.fold(), format!("{ORIGIN}/{DEFAULT_BRANCH}"));
                    let version = refs::resolve(fold, &target.dataset, reference, &default)
                        .map_err(|fault| fault.within(format!("{word} can't be cloned")))?;
                    Ok((None, Some(version)))
                }
            },
        }
    }

    /// Points a branch of the workspace's dataset at a version.
    pub(super) fn set_branch_here(&self, branch: &BranchName, old: Option<Id>, new: Id) -> Result<()> {
        let mut target = self.open_target(&Address { location: Location::Here, reference: None, path: None })?;
        let dataset = target.dataset.clone();
        target.store.timeline.append(&self.actor(), |fold, _| {
            let present = fold.dataset(&dataset)?.branches.get(branch).copied();
            let step = Operation::SetBranch { dataset: dataset.clone(), branch: branch.clone(), old, new: Some(new) };
            Ok(if present == Some(new) { Vec::new() } else { vec![step] })
        })?;
        Ok(())
    }
}

/// What is left of a clone that failed: all of it where another try would go on with it, else nothing.
fn give_up(root: &Path, made_folder: bool, fault: Error) -> Error {
    let control = root.join(CONTROL_FOLDER);
    let passes = matches!(fault.kind(), Kind::Unreachable | Kind::Busy | Kind::Failed);
    if passes || holds_files(root) {
        return fault.within(format!("{} isn't a whole clone yet; the same command goes on", root.display()));
    }
    std::fs::remove_dir_all(control).ok();
    remove_empty_folders(root, made_folder);
    fault
}

/// Whether anything but folders is below `folder`, the workspace's own aside.
fn holds_files(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    entries.flatten().filter(|entry| entry.file_name() != CONTROL_FOLDER).any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => holds_files(&entry.path()),
        _ => true,
    })
}

/// Removes the empty folders below `folder`, and itself if that is asked for.
fn remove_empty_folders(folder: &Path, itself: bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty_folders(&entry.path(), true);
        }
    }
    if itself {
        std::fs::remove_dir(folder).ok();
    }
}
