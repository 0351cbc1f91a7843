//! `commit`, `switch`, and the working folder's `diff`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::base::open_folder::OpenTree;
use crate::base::words::{counted, first_of};
use crate::base::{BranchName, Counter, Error, Event, Id, Kind, RefName, Result, files, size};
use crate::catalog::stat_index::StatRow;
use crate::flow::propose::Proposal;
use crate::format::attrs::Attrs;
use crate::format::manifest::{Entry, EntryKind};
use crate::history::bases::reaches;
use crate::history::keep;
use crate::history::refs::{self, DEFAULT_BRANCH};
use crate::tree::diff::{Change, diff};
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::scan::{Found, FoundKind};
use crate::tree::stat::{NodeKind, stat_file};
use crate::workspace::compare::{LocalChange, hash_path};
use crate::workspace::control::{Checkout, EMBEDDED, State};

use edits::{edits_of, make_room, pieces, with_fresh};

use super::get::check_space;
use super::ingest::cannot_read;
use super::merge::layout::with_attributes;
use super::merge::refuse_in_progress;
use super::metadata::refuse_reserved;
use super::number::Bump;
use super::open::OpenStore;
use super::publish::{Draft, Published, register_now};
use super::purged::{PurgedPath, purged_among};
use super::workspace::{Workspace, changes_at, left_out, unreadable};
use super::{Address, DiffReport, Engine, RefExpr, ref_names};

mod edits;

/// What to commit, and as what.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Everything that `status` lists, not only what is staged.
    pub all: bool,
    pub message: String,
    /// A new branch that begins with the version, and to which the workspace goes; for a merge whose branch moved meanwhile.
    pub branch: Option<String>,
    pub name: Option<String>,
    /// The next number for a name; not with `name`.
    pub bump: Option<Bump>,
    pub tags: Vec<String>,
    pub meta: Attrs,
    pub dry_run: bool,
}

/// What `switch` did.
#[derive(Debug, Clone)]
pub struct Switched {
    pub branch: Option<BranchName>,
    pub version: Id,
    pub version_name: Option<RefName>,
    /// The branch is new: it was made at this branch `REMOTE/BRANCH`.
    pub made_from: Option<BranchName>,
    /// Paths written and removed.
    pub written: u64,
    pub removed: u64,
    /// What of the version was purged, and isn't in the folder.
    pub purged: Vec<PurgedPath>,
}

impl Engine {
    /// Makes a version of the staged changes, or of all.
    pub fn commit(&self, options: &CommitOptions) -> Result<Published> {
        self.commit_as(options, false)
    }

    /// Makes a version; with `ends_merge` of a merge that must be in progress, whose outcome is first laid into the folder wholly.
    pub(super) fn commit_as(&self, options: &CommitOptions, ends_merge: bool) -> Result<Published> {
        refuse_reserved(&options.meta)?;
        keep::Rules::check_of_version(&options.meta)?;
        self.awake(|| self.commit_once(options, ends_merge))
    }

    fn commit_once(&self, options: &CommitOptions, ends_merge: bool) -> Result<Published> {
        let (mut workspace, _lock) = self.lock_workspace()?;
        if ends_merge {
            self.lay_merge(&workspace)?;
        }
        if workspace.state.checkout.is_some() {
            return Err(unfinished(&workspace));
        }
        let own = workspace.state.branch.clone().ok_or_else(|| {
            Error::usage("this workspace is on no branch, so a commit would be lost")
                .hint("`dagset branch NAME`, then `dagset switch NAME`")
        })?;
        let branch = options.branch.as_deref().map(BranchName::new).transpose()?.unwrap_or(own);
        if options.branch.is_some() && workspace.target.dataset()?.has_ref(branch.as_str()) {
            return Err(Error::conflict(format!("{branch} is there already")).hint("choose the name of a new branch"));
        }
        let merge = self.merge_to_end(&workspace)?;
        // What is said now counts for what was said when the merge began.
        let (given, bump) = match (&options.name, options.bump, &merge) {
            (None, None, Some(merge)) => (merge.name.as_ref(), merge.bump),
            (name, bump, _) => (name.as_ref(), bump),
        };
        let name = given.map(|name| RefName::new(name)).transpose()?;
        let tags = ref_names(&options.tags)?;
        let mut compared = self.look(&workspace, workspace.manifest()?)?;
        let staged = workspace.control.staged()?;
        let (mut gone, mut found, mut new) = (Vec::new(), Vec::new(), Vec::new());
        let mut changed = HashSet::new();
        for change in std::mem::take(&mut compared.comparison.changes) {
            if merge.is_some() {
                changed.insert(change.path.clone());
            }
            match change.after {
                _ if !options.all && !staged.contains(&change.path) => {}
                None => gone.push(change.path),
                Some(now) => {
                    if change.before.is_none() && workspace.state.base.is_some() {
                        new.push(change.path);
                    }
                    found.push(now);
                }
            }
        }
        let passed_over = left_out(&compared.comparison);
        let unreadable = unreadable(&compared.comparison);
        if options.all && !unreadable.is_empty() {
            return Err(cannot_read(
                &unreadable,
                "make them readable; a file that can't be read never counts as removed",
            ));
        }
        let embedded = workspace.control.config()?.store == EMBEDDED;
        self.check_room(&workspace, &found, embedded)?;

        let base = workspace.base()?.cloned();
        base.iter().try_for_each(|base| workspace.target.check_content(&base.row.version))?;
        // Without a base and without a change there is nothing that a first version could hold.
        let nothing = gone.is_empty() && found.is_empty() && base.is_none();
        let head = workspace.target.dataset()?.branches.get(&branch).copied();
        let fold = workspace.target.store.timeline.fold();
        let leaves_behind = |head: &Id| {
            merge.as_ref().is_some_and(|merge| !merge.parents.iter().any(|parent| reaches(fold, parent, head)))
        };
        if head.as_ref().is_some_and(leaves_behind) {
            return Err(Error::conflict(format!("the branch {branch} moved since the merge began"))
                .hint("`dagset merge --continue --branch NEW` makes the version on a new branch; then merge that"));
        }
        let proposal = Proposal {
            dataset: workspace.target.dataset.clone(),
            branch,
            manifest: Id::ZERO,
            parents: merge.as_ref().map(|merge| merge.parents.clone()),
            expect: None,
            name,
            tags,
            renews: false,
            repeats: false,
            seen_head: if nothing { head } else { workspace.state.base },
        };
        let OpenStore { timeline, content, .. } = &mut workspace.target.store;
        let manifest =
            base.as_ref().map(|state| Manifest::new(content, state.row.manifest, Some(state.row.manifest_place)));
        let large = self.large_files(manifest.as_ref(), &found);
        let mut session = self.session(timeline, content, nothing || options.dry_run);
        base.iter().for_each(|base| session.use_version(base.row.version));
        let actor = self.actor();
        let root = workspace.control.root().to_owned();
        let outcomes = session.store(&root, &found, &large, &mut |rows| register_now(timeline, &actor, rows))?;
        let (mut edits, fresh) = edits_of(gone, found, outcomes)?;
        let (mut message, mut meta, mut roles) = (options.message.clone(), options.meta.clone(), Vec::new());
        if let Some(merge) = merge {
            with_attributes(&mut edits, &merge.merged, &changed, manifest)?;
            message = if message.is_empty() { merge.message } else { message };
            meta = merge.meta.0.into_iter().chain(meta.0).collect();
            roles = merge.roles;
        }
        make_room(&mut edits, manifest, &new)?;
        let pieces = pieces(manifest, edits);
        let draft = Draft { proposal, message, meta, roles, number: bump, create_dataset: true };
        let began_ns = compared.began_ns;
        let rows = std::mem::take(&mut compared.comparison.rows);
        let index = &mut compared.index;
        // What was found out about the files is true whether the version comes about or not.
        let (published, kept) = std::thread::scope(|scope| {
            let keeping = scope.spawn(move || index.replace(&with_fresh(rows, fresh, |row| row.is_settled(began_ns))));
            let published = self.publish(timeline, session, pieces, draft, passed_over, nothing || options.dry_run);
            (published, keeping.join().expect("the index doesn't panic"))
        });
        let mut published = published?;
        if nothing {
            published.changed = false;
            published.dry_run = options.dry_run;
        }
        if let (Some(version), false) = (published.version, options.dry_run) {
            let branch = Some(published.branch.clone());
            workspace.control.write_state(&State { branch, base: Some(version), ..State::default() })?;
            workspace.control.remove_merging()?;
            workspace.control.write_staged(&BTreeSet::new())?;
        }
        kept?;
        Ok(published)
    }

    /// Says what a commit into the workspace's own store doubles, and refuses what can't fit.
    fn check_room(&self, workspace: &Workspace, found: &[Found], embedded: bool) -> Result<()> {
        let bytes: u64 = found.iter().map(|found| found.stat.size).sum();
        if !embedded {
            return Ok(());
        }
        if bytes >= 1 << 30 {
            let text = format!(
                "the workspace's own store takes up to {} more on this disk; `dagset init --store` names one elsewhere",
                size(bytes)
            );
            self.observer.tell(Event::Warning(text));
        }
        check_space(workspace.control.root(), bytes, "free space (or raise the quota) and run the command again")
    }

    /// Makes the folder another version: a branch, which later commits then move, or any version without one.
    ///
    /// A branch that only one remote has, as of the last fetch, is made here first.
    ///
    /// What isn't saved is never overwritten: a path that changed here and differs between the two versions is a conflict, and nothing is
    /// touched. Cut off, the same command goes on.
    pub fn switch(&self, reference: &str) -> Result<Switched> {
        let (workspace, _lock) = self.lock_workspace()?;
        let dataset = workspace.target.dataset()?;
        let default = workspace.state.branch.as_ref().map_or(DEFAULT_BRANCH, BranchName::as_str);
        let (fold, name) = (workspace.target.store.timeline.fold(), &workspace.target.dataset);
        let version = match refs::resolve(fold, name, &RefExpr::parse(reference)?, default) {
            Err(fault) if fault.kind() == Kind::NotFound => {
                let (branch, following, version) = self.branch_of_a_remote(dataset, reference)?.ok_or(fault)?;
                // First the branch, so that no workspace is ever on one that isn't there.
                self.set_branch_here(&branch, None, version)?;
                return Ok(Switched { made_from: Some(following), ..self.go_to(&workspace, Some(branch), version)? });
            }
            resolved => resolved?,
        };
        let (home, _) = workspace.target.home_of(&version)?;
        if home != name {
            return Err(Error::usage(format!("{reference} is a version of {home}, and this is a workspace of {name}"))
                .hint(format!("`dagset get {home}@{} DIR` writes it elsewhere", version.short())));
        }
        let branch = BranchName::new(reference).ok().filter(|branch| dataset.branches.get(branch) == Some(&version));
        let branch = branch.filter(|branch| !self.follows_a_remote(branch));
        // Whoever goes on with what was cut off, by the version that the hint names, comes to where it was going.
        let begun = workspace.state.checkout.as_ref().filter(|begun| begun.version == version);
        let branch = branch.or_else(|| begun.and_then(|begun| begun.branch.clone()));
        self.go_to(&workspace, branch, version)
    }

    /// Makes the folder the version, on the branch, in a workspace that is locked; as `switch` does.
    pub(super) fn go_to(&self, workspace: &Workspace, branch: Option<BranchName>, version: Id) -> Result<Switched> {
        self.or_let_go(&workspace.target, &version, self.write_version(workspace, branch, version))
    }

    fn write_version(&self, workspace: &Workspace, branch: Option<BranchName>, version: Id) -> Result<Switched> {
        refuse_in_progress(workspace)?;
        let dataset = workspace.target.dataset()?;
        if let Some(begun) = workspace.state.checkout.as_ref().filter(|begun| begun.version != version) {
            return Err(Error::conflict(format!("a switch to {} hasn't ended", begun.version.short()))
                .hint(format!("`dagset switch {}` goes on with it", begun.version)));
        }
        workspace.target.check_content(&version)?;
        let goal = workspace.target.store.manifest(workspace.target.version_state(&version)?);
        let base = workspace.manifest()?;
        let mut compared = self.compare(workspace, base)?;
        // Where nothing is, nothing can be in the way: the entries go from the manifest to the disk without being collected.
        let is_empty = base.is_none() && compared.finds_nothing();
        let open = match is_empty {
            true => Vec::new(),
            false => self.open_steps(workspace, &compared.comparison.changes, steps_between(base, goal)?)?,
        };
        let goes_on = workspace.state.checkout.is_some();
        let version_name = dataset.name_of(&version).cloned();
        let checkout = Some(Checkout { branch: branch.clone(), version });
        workspace.control.write_state(&State { checkout, ..workspace.state.clone() })?;
        let content = &workspace.target.store.content;
        let is_gone = |entry: &Entry| content.tombstone_of(entry).is_some();
        let (gone, come): (Vec<_>, Vec<_>) = open.into_iter().partition(|step| step.after.as_ref().is_none_or(is_gone));
        let mut tree = OpenTree::open(workspace.control.root())?;
        gone.iter().try_for_each(|step| tree.remove(step.path.as_str()))?;
        self.observer.tell(Event::Phase("writing"));
        if is_empty {
            let row = &workspace.target.version_state(&version)?.row;
            self.observer.add(Counter::FilesTotal, row.files);
            self.observer.add(Counter::BytesTotal, row.bytes);
        }
        let written = match is_empty {
            true => self.write_leaves(workspace, goal.entries(""))?,
            false => {
                let leaves = super::workspace::leaves_of(&goal, come.iter().map(|step| &step.path))?;
                self.write_leaves(workspace, leaves.into_iter().map(Ok))?
            }
        };
        let report = Switched {
            branch: branch.clone(),
            version,
            version_name,
            made_from: None,
            written: written.len() as u64,
            removed: gone.iter().filter(|step| step.before.is_some()).count() as u64,
            purged: purged_among(&goal, goal.entries(""))?,
        };
        self.remember(&mut compared, written)?;
        if goes_on {
            // Last, so that whoever was just killed has ended by now.
            files::sweep_temporaries(workspace.control.root());
        }
        workspace.control.write_state(&State { branch, base: Some(version), ..State::default() })?;
        Ok(report)
    }

    /// The steps that are still to be taken; an error if one would overwrite what isn't saved.
    pub(super) fn open_steps(
        &self,
        workspace: &Workspace,
        local: &[LocalChange],
        steps: Vec<Change>,
    ) -> Result<Vec<Change>> {
        let by_path: HashMap<&str, &LocalChange> = local.iter().map(|change| (change.path.as_str(), change)).collect();
        let is_purged = |entry: &Entry| workspace.target.store.content.tombstone_of(entry).is_some();
        let mut open = Vec::with_capacity(steps.len());
        let (mut conflicts, mut only_here) = (Vec::new(), false);
        let leaving: HashSet<String> =
            steps.iter().filter(|step| step.after.is_none()).map(|step| step.path.to_string()).collect();
        for step in steps {
            let in_the_way = match by_path.get(step.path.as_str()) {
                Some(change) if self.is_already(workspace, change, step.after.as_ref())? => continue,
                // It isn't there because it was purged.
                Some(change) if change.after.is_none() && step.before.as_ref().is_some_and(is_purged) => None,
                Some(change) => Some(change.path.to_string()),
                None if step.before.as_ref().is_some_and(is_purged) => {
                    only_here = true;
                    Some(step.path.to_string())
                }
                None => blocking(local, &by_path, &step)
                    .or_else(|| unseen_in_the_way(workspace.control.root(), &step, &leaving)),
            };
            match in_the_way {
                Some(path) => conflicts.push(path),
                None => open.push(step),
            }
        }
        if conflicts.is_empty() {
            self.refuse_last_copies(workspace, &open)?;
            return Ok(open);
        }
        let have = counted(conflicts.len(), "path has", "paths have");
        let message = format!("{have} changes that no version holds:{}", first_of(&conflicts));
        Err(Error::conflict(message).hint(match only_here {
            true => {
                "no version holds what was purged: move such files away, or remove them, then run the command again"
            }
            false => "`dagset commit -a` keeps them, `dagset restore PATH…` drops them",
        }))
    }

    /// Whether a locally changed path is as the goal wants it.
    pub(super) fn is_already(&self, workspace: &Workspace, change: &LocalChange, goal: Option<&Entry>) -> Result<bool> {
        let (found, goal) = match (&change.after, goal) {
            (None, None) => return Ok(true),
            (Some(found), Some(goal)) => (found, goal),
            _ => return Ok(false),
        };
        Ok(match (&found.kind, &goal.kind) {
            (FoundKind::File { executable }, EntryKind::File { size, content, executable: wanted }) => {
                executable == wanted
                    && found.stat.size == *size
                    && hash_path(&workspace.control.root().join(found.path.as_str()))
                        .is_ok_and(|hashed| hashed.is_some_and(|(id, _)| id == *content))
            }
            (FoundKind::Symlink { target }, EntryKind::Symlink { target: wanted }) => target == wanted,
            (FoundKind::EmptyFolder, EntryKind::EmptyFolder) => true,
            _ => false,
        })
    }

    /// What differs from a version of the workspace's dataset (its base if the address has no REF) to the working folder, at and below
    /// the address's path.
    pub fn diff_working(&self, address: &Address) -> Result<DiffReport> {
        let workspace = self.open_workspace()?;
        let manifest = match &address.reference {
            None => workspace.manifest()?,
            Some(reference) => Some(workspace.target.store.manifest(workspace.target.version_at(Some(reference))?)),
        };
        let compared = self.compare(&workspace, manifest)?;
        let place = address.path.as_deref().unwrap_or("").trim_matches('/');
        let known: HashMap<&str, &StatRow> =
            compared.comparison.rows.iter().map(|row| (row.path.as_str(), row)).collect();
        let mut changes = Vec::new();
        for change in changes_at(&compared.comparison.changes, place) {
            let now = |found| entry_now(workspace.control.root(), found, &known);
            let after = change.after.as_ref().map(now).transpose()?;
            changes.push(Change { path: change.path.clone(), before: change.before.clone(), after });
        }
        Ok(DiffReport::of(changes, place))
    }
}

pub(super) fn unfinished(workspace: &Workspace) -> Error {
    let version = workspace.state.checkout.as_ref().map(|checkout| checkout.version.to_string()).unwrap_or_default();
    Error::conflict("a switch was cut off, so the folder is between two versions")
        .hint(format!("`dagset switch {version}` goes on with it"))
}

fn steps_between(base: Option<Manifest<'_>>, goal: Manifest<'_>) -> Result<Vec<Change>> {
    let mut steps = Vec::new();
    match base {
        Some(base) => diff(base, goal, "", |change| {
            steps.push(change);
            Ok(())
        })?,
        None => {
            for leaf in goal.entries("") {
                let Leaf { path, entry, .. } = leaf?;
                steps.push(Change { path, before: None, after: Some(entry) });
            }
        }
    }
    Ok(steps)
}

/// An unsaved path that stands where a step needs a folder, or in a folder that a step replaces by a file.
fn blocking(local: &[LocalChange], by_path: &HashMap<&str, &LocalChange>, step: &Change) -> Option<String> {
    step.after.as_ref()?;
    let path = step.path.as_str();
    let above = path.match_indices('/').filter_map(|(at, _)| by_path.get(&path[..at]));
    let is_unsaved =
        |change: &&LocalChange| change.after.as_ref().is_some_and(|found| found.kind != FoundKind::EmptyFolder);
    let first_below = local.partition_point(|change| change.path.as_str() <= path);
    let below = local[first_below..]
        .iter()
        .take_while(|change| change.path.as_str().starts_with(path))
        .filter(|change| change.path.is_below(path));
    above.copied().chain(below).find(is_unsaved).map(|change| change.path.to_string())
}

/// What rules leave out of the comparison, and special files, are nobody's to overwrite either: the path of one that a step would
/// replace or lead through. `leaving` are the paths that other steps remove.
fn unseen_in_the_way(root: &Path, step: &Change, leaving: &HashSet<String>) -> Option<String> {
    step.after.as_ref()?;
    let path = step.path.as_str();
    let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    for folder in folders {
        match stat_file(&root.join(folder)) {
            Err(_) => return None,
            Ok((_, NodeKind::Folder)) => {}
            Ok(_) if leaving.contains(folder) => return None,
            Ok(_) => return Some(folder.to_owned()),
        }
    }
    match stat_file(&root.join(path)) {
        Err(_) => None,
        Ok((_, NodeKind::Folder)) => stays_below(root, path, leaving),
        Ok(_) => step.before.is_none().then(|| path.to_owned()),
    }
}

/// The first path below `folder` that no step removes.
fn stays_below(root: &Path, folder: &str, leaving: &HashSet<String>) -> Option<String> {
    for entry in std::fs::read_dir(root.join(folder)).ok()?.flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        let stays = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => stays_below(root, &path, leaving),
            false => (!leaving.contains(&path)).then_some(path),
        };
        if stays.is_some() {
            return stays;
        }
    }
    None
}

fn entry_now(root: &std::path::Path, found: &Found, known: &HashMap<&str, &StatRow>) -> Result<Entry> {
    let path = root.join(found.path.as_str());
    Ok(Entry::plain(match &found.kind {
        FoundKind::File { executable } => {
            let row = known.get(found.path.as_str()).filter(|row| row.stat == found.stat);
            let content = match row {
                Some(row) => row.content,
                None => match hash_path(&path) {
                    Ok(Some((content, _))) => content,
                    Ok(None) => Id::ZERO,
                    Err(why) => return Err(Error::new(Kind::Failed, format!("cannot read {}: {why}", path.display()))),
                },
            };
            EntryKind::File { size: found.stat.size, content, executable: *executable }
        }
        FoundKind::Symlink { target } => EntryKind::Symlink { target: target.clone() },
        FoundKind::EmptyFolder => EntryKind::EmptyFolder,
    }))
}
