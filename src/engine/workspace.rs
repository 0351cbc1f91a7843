//! The workspace's commands: `init`, `add`, `rm`, `mv`, `restore`, `clean`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::base::lock::FileLock;
use crate::base::open_folder::OpenTree;
use crate::base::path::CONTROL_FOLDER;
use crate::base::{BranchName, DatasetName, Error, Event, Id, Kind, RefName, RepoPath, Result, files};
use crate::catalog::stat_index::StatRow;
use crate::flow::materialize::{Existing, Source, Written, write_entries};
use crate::flow::runs::Placed;
use crate::format::manifest::EntryKind;
use crate::format::operation::Operation;
use crate::history::fold::VersionState;
use crate::history::refs::DEFAULT_BRANCH;
use crate::tree::ignore::IGNORE_FILE;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::scan::LeftOutReason;
use crate::workspace::compare::{Comparison, LocalChange};
use crate::workspace::control::{Config, Control, EMBEDDED, State};
use crate::workspace::merging::{Merging, Solved};

use super::compared::Compared;
use super::ingest::LeftOutPath;
use super::merge::refuse_in_progress;
use super::open::Target;
use super::{Address, Engine, Location};

/// What to make a workspace of.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// The working folder if not given.
    pub folder: Option<PathBuf>,
    /// The folder's name if not given.
    pub dataset: Option<String>,
    /// The default store, else one embedded in the workspace, if not given.
    pub store: Option<String>,
}

/// A workspace that was made.
#[derive(Debug, Clone)]
pub struct Initialised {
    pub root: PathBuf,
    pub dataset: DatasetName,
    pub store: String,
    pub embedded: bool,
    pub branch: BranchName,
    /// The branch's head, where the dataset was there before: `switch` takes it.
    pub head: Option<Id>,
}

/// An open workspace: its folder, its store, where it stands.
pub(super) struct Workspace {
    pub control: Control,
    pub state: State,
    pub target: Target,
}

impl Workspace {
    /// The base version.
    pub fn base(&self) -> Result<Option<&VersionState>> {
        let known = self.state.base.as_ref().map(|id| self.target.version_state(id)).transpose();
        let lost = |fault: Error| {
            fault
                .within("the version that this folder is based on is gone from the store")
                .hint("its files are as they were: `dagset ingest FOLDER --into STORE/DATASET` makes a version of them")
        };
        known.map_err(|fault| match fault.kind() {
            Kind::NotFound if fault.next_step().is_none() => lost(fault),
            _ => fault,
        })
    }

    /// What `switch` takes to write the version that the workspace is at, where that wasn't done yet.
    pub fn to_write(&self) -> Result<Option<String>> {
        let Some(version) = self.state.unwritten else { return Ok(None) };
        let name = self.target.dataset()?.name_of(&version).map(RefName::to_string);
        let branch = self.state.branch.as_ref().map(BranchName::to_string);
        Ok(Some(branch.or(name).unwrap_or_else(|| version.short())))
    }

    /// The base's manifest.
    pub fn manifest(&self) -> Result<Option<Manifest<'_>>> {
        Ok(self.base()?.map(|state| self.target.store.manifest(state)))
    }
}

impl Engine {
    /// Makes a folder a workspace. Nothing in it is stored yet.
    pub fn init(&self, options: &InitOptions) -> Result<Initialised> {
        let folder = self.path(options.folder.as_deref().unwrap_or(Path::new(".")));
        crate::base::files::create_folders(&folder)?;
        let root = folder.canonicalize().map_err(|fault| Error::io("find", &folder, fault))?;
        if let Some(outer) = Control::find(&root) {
            return Err(Error::conflict(format!("{} is in the workspace {}", root.display(), outer.root().display()))
                .hint("`dagset status` shows it"));
        }
        let dataset = match &options.dataset {
            Some(name) => DatasetName::new(name)?,
            None => dataset_from(&root)?,
        };
        let given = options.store.clone().or_else(|| self.settings.default_store.clone());
        let store = match &given {
            Some(text) => self.absolute(&self.expand(text)?),
            None => EMBEDDED.to_owned(),
        };
        let config = Config { dataset: dataset.clone(), store, remotes: BTreeMap::new() };
        let (store, head) = self.make_workspace(&root, &config)?;
        let branch = BranchName::new(DEFAULT_BRANCH)?;
        Ok(Initialised { root, dataset, store, embedded: given.is_none(), branch, head })
    }

    /// Makes `root` a workspace on the branch `main`, with its dataset, and its store where that is embedded. What an earlier try left is
    /// gone on with. Gives the store's text and the branch's head.
    pub(super) fn make_workspace(&self, root: &Path, config: &Config) -> Result<(String, Option<Id>)> {
        let dataset = &config.dataset;
        let store = match config.store.as_str() {
            EMBEDDED => {
                crate::base::files::create_folders(&root.join(CONTROL_FOLDER))?;
                let embedded = root.join(CONTROL_FOLDER).join("store").to_string_lossy().into_owned();
                match self.make_store(&embedded) {
                    Err(fault) if fault.kind() != Kind::Conflict => return Err(fault),
                    _ => embedded,
                }
            }
            text => text.to_owned(),
        };
        let (mut open, rest) = self.open_store(&store)?;
        if let Some(rest) = rest {
            return Err(Error::usage(format!("{store} names {rest} in the store {}", open.root))
                .hint(format!("--store {} --dataset {rest}", open.root)));
        }
        open.timeline.append(&self.actor(), |fold, _| match fold.datasets.contains_key(dataset) {
            true => Ok(Vec::new()),
            false => Ok(vec![Operation::CreateDataset { dataset: dataset.clone() }]),
        })?;
        let branch = BranchName::new(DEFAULT_BRANCH)?;
        let head = open.timeline.fold().dataset(dataset)?.branches.get(&branch).copied();
        Control::create(root, config, &State { branch: Some(branch), ..State::default() })?;
        ignore_in_git(root)?;
        Ok((store, head))
    }

    /// Whether the working folder lies in a workspace, so that arguments are REFs.
    pub fn in_workspace(&self) -> bool {
        Control::find(&self.settings.folder).is_some()
    }

    /// The store that the workspace's versions are kept in.
    pub fn home_store(&self) -> Result<String> {
        let control = self.find_workspace()?;
        Ok(control.store_text(&control.config()?))
    }

    /// The branch that the workspace is on.
    pub(super) fn workspace_branch(&self) -> Result<Option<BranchName>> {
        Ok(self.find_workspace()?.state()?.branch)
    }

    pub(super) fn find_workspace(&self) -> Result<Control> {
        Control::find(&self.settings.folder).ok_or_else(|| {
            Error::not_found(format!("{} is in no workspace", self.settings.folder.display()))
                .hint("`dagset init` makes the folder one")
        })
    }

    /// The workspace as it is now, for who only reads: another command may change it meanwhile.
    pub(super) fn open_workspace(&self) -> Result<Workspace> {
        self.open_found(self.find_workspace()?)
    }

    /// The workspace, held, for who changes it. It is read once it is held: who waited finds what the others made of it.
    ///
    /// Errors: [`Kind::Busy`] where another command holds it for longer than ten seconds.
    pub(super) fn lock_workspace(&self) -> Result<(Workspace, FileLock)> {
        let control = self.find_workspace()?;
        let lock = control.lock(&self.observer)?;
        Ok((self.open_found(control)?, lock))
    }

    fn open_found(&self, control: Control) -> Result<Workspace> {
        let here = Address { location: Location::Here, reference: None, path: None };
        Ok(Workspace { state: control.state()?, target: self.open_target(&here)?, control })
    }

    /// Stages the changes at and below the paths; gives what is staged now of them.
    pub fn add(&self, paths: &[PathBuf]) -> Result<Vec<String>> {
        let (workspace, _lock) = self.lock_workspace()?;
        let compared = self.compare(&workspace, workspace.manifest()?)?;
        let mut staged = workspace.control.staged()?;
        let mut merging = workspace.control.merging(&workspace.state)?;
        let in_conflict = |place: &str| merging.iter().any(|merging| merging.conflicts_at(place).next().is_some());
        // What a merge put beside a path in conflict is taken by its own name only.
        let beside: BTreeSet<&RepoPath> =
            merging.iter().flat_map(|merging| &merging.conflicts).flat_map(|conflict| &conflict.beside).collect();
        let is_meant = |change: &RepoPath, place: &str| change.as_str() == place || !beside.contains(change);
        let (mut added, mut places) = (Vec::new(), Vec::new());
        for path in paths {
            let place = self.place_in(&workspace, path)?;
            let below: Vec<_> = changes_at(&compared.comparison.changes, &place)
                .filter(|change| is_meant(&change.path, &place))
                .collect();
            let is_anything = !below.is_empty() || place.is_empty() || in_conflict(&place);
            if !is_anything && !exists(&workspace.control.root().join(&place)) {
                return Err(Error::not_found(format!("there is no {} here or in the base version", path.display())));
            }
            added.extend(below.iter().map(|change| change.path.to_string()));
            staged.extend(below.iter().map(|change| change.path.clone()));
            places.push(place);
        }
        workspace.control.write_staged(&staged)?;
        if let Some(merging) = &mut merging {
            let solved = self.solve(&workspace, merging, &places, Solved::ByHand)?;
            added.extend(solved.iter().map(RepoPath::to_string));
            added.sort_unstable();
            added.dedup();
        }
        Ok(added)
    }

    /// Removes files of the base version from the folder and stages that. A file that was changed is refused without `force`.
    pub fn remove(&self, paths: &[PathBuf], force: bool) -> Result<Vec<String>> {
        let (workspace, _lock) = self.lock_workspace()?;
        let compared = self.compare(&workspace, workspace.manifest()?)?;
        let mut staged = workspace.control.staged()?;
        let manifest = workspace.manifest()?;
        let mut merging = workspace.control.merging(&workspace.state)?;
        let (mut removed, mut places) = (Vec::new(), Vec::new());
        for path in paths {
            let place = self.place_in(&workspace, path)?;
            let in_conflict: Vec<RepoPath> =
                merging.iter().flat_map(|merging| merging.conflicts_at(&place)).cloned().collect();
            let changed: Vec<_> = changes_at(&compared.comparison.changes, &place)
                .filter(|change| change.after.is_some())
                .filter(|change| change.before.is_some() || in_conflict.contains(&change.path))
                .collect();
            let unsaved = match &merging {
                _ if force => None,
                Some(merging) => self.unsaved_in_merge(&workspace, merging, &changed)?,
                None => changed.first().map(|change| change.path.clone()),
            };
            if let Some(unsaved) = unsaved {
                return Err(Error::conflict(format!("{unsaved} has changes that no version holds"))
                    .hint("commit them, or give --force to lose them"));
            }
            let known = manifest.iter().flat_map(|manifest| manifest.entries(&place)).collect::<Result<Vec<Leaf>>>()?;
            if known.is_empty() && in_conflict.is_empty() {
                return Err(merging.as_ref().and_then(|merging| put_beside(merging, &place)).unwrap_or_else(|| {
                    Error::not_found(format!("the base version has no {}", path.display()))
                        .hint("a file that no version holds is removed with rm")
                }));
            }
            removed.extend(known.into_iter().map(|leaf| leaf.path).chain(in_conflict));
            places.push(place);
        }
        removed.sort_unstable();
        removed.dedup();
        let mut tree = OpenTree::open(workspace.control.root())?;
        removed.iter().try_for_each(|path| tree.remove(path.as_str()))?;
        staged.extend(removed.iter().cloned());
        workspace.control.write_staged(&staged)?;
        if let Some(merging) = &mut merging {
            self.solve(&workspace, merging, &places, Solved::ByHand)?;
        }
        Ok(removed.iter().map(RepoPath::to_string).collect())
    }

    /// Renames a file or folder and stages both ends; `to` may be a folder to move into.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(String, String)> {
        let (workspace, _lock) = self.lock_workspace()?;
        let root = workspace.control.root();
        let from = RepoPath::new(self.place_in(&workspace, from)?)?;
        let wants_folder = to.as_os_str().as_encoded_bytes().ends_with(b"/");
        let mut to = self.place_in(&workspace, to)?;
        if wants_folder && !root.join(&to).is_dir() {
            return Err(Error::not_found(format!("there is no folder {to}"))
                .hint("make it first, or write the name without the slash"));
        }
        if root.join(&to).is_dir() {
            to = if to.is_empty() { from.file_name().to_owned() } else { format!("{to}/{}", from.file_name()) };
        }
        let to = RepoPath::new(to)?;
        let (old, new) = (root.join(from.as_str()), root.join(to.as_str()));
        if exists(&new) {
            return Err(
                Error::conflict(format!("{to} is there already")).hint("`dagset rm` it first, or choose another name")
            );
        }
        if !exists(&old) {
            return Err(Error::not_found(format!("there is no {from}")));
        }
        if to.is_below(from.as_str()) {
            return Err(Error::usage(format!("{from} can't be moved into itself")));
        }
        if let Some(parent) = new.parent() {
            files::create_folders(parent)?;
        }
        let mut tree = OpenTree::open(root)?;
        files::rename(&tree.spot(from.as_str())?, &tree.spot(to.as_str())?)?;
        let compared = self.compare(&workspace, workspace.manifest()?)?;
        let mut staged = workspace.control.staged()?;
        for place in [from.as_str(), to.as_str()] {
            staged.extend(changes_at(&compared.comparison.changes, place).map(|change| change.path.clone()));
        }
        workspace.control.write_staged(&staged)?;
        Ok((from.to_string(), to.to_string()))
    }

    /// Takes paths out of what the next commit takes; the files stay as they are.
    pub fn unstage(&self, paths: &[PathBuf]) -> Result<Vec<String>> {
        let (workspace, _lock) = self.lock_workspace()?;
        let mut staged = workspace.control.staged()?;
        let places = paths.iter().map(|path| self.place_in(&workspace, path)).collect::<Result<Vec<_>>>()?;
        let (out, kept): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut staged).into_iter().partition(|path| places.iter().any(|place| is_at(path, place)));
        workspace.control.write_staged(&kept)?;
        Ok(out.iter().map(RepoPath::to_string).collect())
    }

    /// Makes paths what they are in the base version again; local changes at them are lost, files that no version holds stay.
    pub fn restore(&self, paths: &[PathBuf]) -> Result<Vec<String>> {
        let (workspace, _lock) = self.lock_workspace()?;
        let manifest = workspace.manifest()?;
        let mut compared = self.compare(&workspace, manifest)?;
        let mut wanted = Vec::new();
        for path in paths {
            let place = self.place_in(&workspace, path)?;
            let known = manifest
                .map(|manifest| Ok(manifest.find(&place)?.is_some() || manifest.has_folder(&place)?))
                .transpose()?;
            if let Some(reference) = workspace.to_write()? {
                return Err(Error::not_found("the workspace was cloned without content, so nothing can be restored")
                    .hint(format!("`dagset switch {reference}` writes it")));
            }
            if known != Some(true) {
                let merging = workspace.control.merging(&workspace.state)?;
                return Err(merging.and_then(|merging| put_beside(&merging, &place)).unwrap_or_else(|| {
                    Error::not_found(format!("the base version has no {}", path.display()))
                        .hint("`dagset ls :` shows what it has")
                }));
            }
            let changed = changes_at(&compared.comparison.changes, &place).filter(|change| change.before.is_some());
            wanted.extend(changed.map(|change| change.path.clone()));
        }
        let unsaved = |path: &RepoPath| {
            let inside = |change: &&LocalChange| change.before.is_none() && path.is_below(change.path.as_str());
            compared.comparison.changes.iter().find(inside).map(|change| change.path.clone())
        };
        if let Some(path) = wanted.iter().find_map(unsaved) {
            return Err(Error::conflict(format!("{path} stands where a folder must be, and no version holds it"))
                .hint("move it away, then run the command again"));
        }
        wanted.sort_unstable();
        wanted.dedup();
        if let Some(base) = workspace.base()?.filter(|_| !wanted.is_empty()) {
            workspace.target.check_content(&base.row.version)?;
        }
        let leaves = manifest.map_or_else(|| Ok(Vec::new()), |manifest| leaves_of(&manifest, wanted.iter()))?;
        for leaf in &leaves {
            if let Some(why) = workspace.target.store.content.tombstone_of(&leaf.entry) {
                let (path, record) = (&leaf.path, why.record);
                let told = format!("{path} isn't restored: record {record} purged its content: {}", why.reason);
                self.observer.tell(Event::Warning(told));
                wanted.retain(|wanted| wanted != path);
            }
        }
        let written = self.write_leaves(&workspace, leaves.into_iter().map(Ok));
        let written = match workspace.base()? {
            Some(base) => self.or_let_go(&workspace.target, &base.row.version, written)?,
            None => written?,
        };
        self.remember(&mut compared, written)?;
        let mut staged = workspace.control.staged()?;
        wanted.iter().for_each(|path| {
            staged.remove(path);
        });
        workspace.control.write_staged(&staged)?;
        Ok(wanted.iter().map(RepoPath::to_string).collect())
    }

    /// Removes what no version holds and no rule leaves out; with `dry_run` only says what.
    pub fn clean(&self, dry_run: bool) -> Result<Vec<String>> {
        let (workspace, _lock) = self.lock_workspace()?;
        refuse_in_progress(&workspace)?;
        let compared = self.compare(&workspace, workspace.manifest()?)?;
        if workspace.state.base.is_none() && !dry_run {
            return Err(Error::conflict("the workspace has no version yet, so nothing here is saved")
                .hint("`dagset commit -a` saves it; `dagset clean --dry-run` shows what would go"));
        }
        // The rules of what to leave out stay: without them the next clean would take what they protect.
        let is_rules = |change: &&LocalChange| change.path.file_name() == IGNORE_FILE;
        let untracked =
            compared.comparison.changes.iter().filter(|change| change.before.is_none() && !is_rules(change));
        let paths: Vec<_> = untracked.map(|change| change.path.to_string()).collect();
        if !dry_run {
            let mut tree = OpenTree::open(workspace.control.root())?;
            paths.iter().try_for_each(|path| tree.remove(path))?;
            files::sweep_temporaries(workspace.control.root());
        }
        Ok(paths)
    }

    /// Writes entries into the workspace, over the files that are there, but for purged ones.
    pub(super) fn write_leaves(
        &self,
        workspace: &Workspace,
        leaves: impl Iterator<Item = Result<Leaf>> + Send,
    ) -> Result<Vec<Written>> {
        let content = &workspace.target.store.content;
        let there =
            leaves.filter(|leaf| leaf.as_ref().map_or(true, |leaf| content.tombstone_of(&leaf.entry).is_none()));
        let placed = there.map(|leaf| leaf.map(|leaf| Placed { target: leaf.path.to_string(), leaf }));
        write_entries(
            Source::Store(content),
            workspace.control.root(),
            placed,
            Existing::Replace,
            true,
            self.settings.jobs,
            &self.observer,
        )
    }

    /// Adds files that were just written to the stat index.
    pub(super) fn remember(&self, compared: &mut Compared, mut written: Vec<Written>) -> Result<()> {
        written.sort_unstable_by(|a, b| a.target.cmp(&b.target));
        let mut fresh = written.into_iter().peekable();
        let known = std::mem::take(&mut compared.comparison.rows);
        let mut rows = Vec::with_capacity(known.len() + fresh.len());
        for row in known {
            while let Some(before) = fresh.next_if(|written| written.target.as_str() < row.path.as_str()) {
                rows.extend(row_of(before)?);
            }
            match fresh.next_if(|written| written.target == row.path.as_str()) {
                Some(instead) => rows.extend(row_of(instead)?),
                None => rows.push(row),
            }
        }
        for written in fresh {
            rows.extend(row_of(written)?);
        }
        compared.index.replace(&rows)?;
        compared.comparison.rows = rows;
        Ok(())
    }

    /// A path of the user's as a path of the workspace; empty for its root.
    pub(super) fn place_in(&self, workspace: &Workspace, path: &Path) -> Result<String> {
        let outside = || {
            Error::usage(format!("{} is outside the workspace {}", path.display(), workspace.control.root().display()))
        };
        let absolute = normal(&self.path(path));
        let place = match absolute.strip_prefix(workspace.control.root()) {
            Ok(place) => place.to_owned(),
            // The folder may be reached through a link.
            Err(_) => {
                let (parent, name) = (absolute.parent().ok_or_else(outside)?, absolute.file_name());
                let real = parent.canonicalize().map_err(|_| outside())?;
                let real = name.map_or(real.clone(), |name| real.join(name));
                real.strip_prefix(workspace.control.root()).map_err(|_| outside())?.to_owned()
            }
        };
        let text = place.to_str().ok_or_else(|| Error::usage(format!("{} isn't UTF-8", path.display())))?;
        match text {
            "" => Ok(String::new()),
            text => RepoPath::new(text).map(|path| path.to_string()),
        }
    }
}

/// The entries of a manifest at paths that it is known to have, which are in path order.
pub(super) fn leaves_of<'p>(
    manifest: &Manifest<'_>,
    paths: impl Iterator<Item = &'p RepoPath> + Clone,
) -> Result<Vec<Leaf>> {
    let found = manifest.find_each(paths.clone().map(RepoPath::as_str))?;
    let there = |(leaf, path): (Option<Leaf>, &RepoPath)| {
        leaf.ok_or_else(|| Error::new(Kind::Failed, format!("the version has no {path}")))
    };
    found.into_iter().zip(paths).map(there).collect()
}

/// The row of a file; nothing else has one.
fn row_of(written: Written) -> Result<Option<StatRow>> {
    match written.entry.kind {
        EntryKind::File { content, .. } => {
            Ok(Some(StatRow { path: RepoPath::new(written.target)?, stat: written.stat, content }))
        }
        _ => Ok(None),
    }
}

/// The changes at a path and below it.
pub(super) fn changes_at<'a>(changes: &'a [LocalChange], place: &'a str) -> impl Iterator<Item = &'a LocalChange> {
    changes.iter().filter(move |change| is_at(&change.path, place))
}

pub(super) fn is_at(path: &RepoPath, place: &str) -> bool {
    path.as_str() == place || path.is_below(place)
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// What a comparison left out, as the user is told.
pub(super) fn left_out(comparison: &Comparison) -> Vec<LeftOutPath> {
    let scanned = comparison.left_out.iter().map(|path| LeftOutPath {
        path: path.path.clone(),
        why: path.why.to_string(),
        incomplete: path.why.is_incomplete(),
    });
    let unread = comparison.unreadable.iter().map(|(path, why)| LeftOutPath {
        path: path.to_string(),
        why: why.clone(),
        incomplete: true,
    });
    scanned.chain(unread).collect()
}

/// What the user must make readable before everything can be committed.
pub(super) fn unreadable(comparison: &Comparison) -> Vec<LeftOutPath> {
    let scanned = comparison.left_out.iter().filter(|path| matches!(path.why, LeftOutReason::Unreadable(_)));
    let scanned = scanned.map(|path| (path.path.clone(), path.why.to_string()));
    let hashed = comparison.unreadable.iter().map(|(path, why)| (path.to_string(), why.clone()));
    scanned.chain(hashed).map(|(path, why)| LeftOutPath { path, why, incomplete: true }).collect()
}

/// Without `.` and `..`, by the text alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// A dataset name out of a folder's: what the alphabet lacks becomes `-`.
fn dataset_from(root: &Path) -> Result<DatasetName> {
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let good = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(good).collect();
    DatasetName::new(name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric())).map_err(|_| {
        Error::usage(format!("the folder {} gives no name for a dataset", root.display())).hint("give --dataset NAME")
    })
}

/// In a git repository, keeps `.dagset/` out of it.
fn ignore_in_git(root: &Path) -> Result<()> {
    if !root.ancestors().any(|folder| folder.join(".git").exists()) {
        return Ok(());
    }
    let path = root.join(".gitignore");
    let text = files::read_text(&path).unwrap_or_default();
    if text.lines().any(|line| [".dagset", ".dagset/", "/.dagset/", "/.dagset"].contains(&line.trim())) {
        return Ok(());
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    crate::base::files::write_file(
        &path,
        format!("{text}{gap}.dagset/\n").as_bytes(),
        crate::base::files::Durability::Renamed,
    )
}

/// The error for what stands at a place because a merge put it there.
fn put_beside(merging: &Merging, place: &str) -> Option<Error> {
    let conflict = merging.conflicts.iter().find(|it| it.beside.iter().any(|beside| beside.as_str() == place))?;
    let path = &conflict.path;
    let message = format!("{place} is what another parent of the merge has at {path}, which is in conflict");
    Some(Error::conflict(message).hint(format!(
        "it goes when {path} is solved, by `dagset add {path}`, `dagset rm {path}` or `dagset resolve {path} --take REF`; `dagset add {place}` keeps it"
    )))
}
