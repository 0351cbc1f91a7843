//! `switch`: from a folder that is one version to one that is another, over nothing that isn't saved.
//!
//! What only goes is removed last: a switch that can't get its content has removed nothing yet, and its way back needs nothing but what it
//! replaced. Until it has ended a mark says where it was going (`begun.rs`).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::base::open_folder::OpenTree;
use crate::base::words::{counted, first_of};
use crate::base::{BranchName, Counter, Error, Event, Id, Kind, RefName, Result, files};
use crate::format::manifest::{Entry, EntryKind};
use crate::history::refs::{self, DEFAULT_BRANCH};
use crate::tree::diff::{Change, diff};
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::scan::FoundKind;
use crate::tree::stat::{NodeKind, stat_file};
use crate::workspace::compare::{LocalChange, hash_path};
use crate::workspace::control::{Checkout, State};

use super::begun::{Ways, left_for};
use super::get::check_space;
use super::merge::refuse_in_progress;
use super::purged::{PurgedPath, purged_among};
use super::workspace::{Workspace, leaves_of};
use super::{Engine, RefExpr};

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
    /// Makes the folder another version: a branch, which later commits then move, or any version without one.
    ///
    /// A branch that only one remote has, as of the last fetch, is made here first.
    ///
    /// What isn't saved is never overwritten: a path that changed here and differs between the two versions is a conflict, and nothing is
    /// touched. Cut off, the same command goes on, and one to another version, as the base, leads out.
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
        // Whoever goes on with what was cut off, or back, by the version that the hint names, comes to where it was going, or came from.
        let branch = branch.or_else(|| match (&workspace.state.checkout, workspace.state.base) {
            (Some(begun), _) if begun.version == version => begun.branch.clone(),
            (Some(_), Some(base)) if base == version => workspace.state.branch.clone(),
            _ => None,
        });
        self.go_to(&workspace, branch, version)
    }

    /// Makes the folder the version, on the branch, in a workspace that is locked; as `switch` does.
    pub(super) fn go_to(&self, workspace: &Workspace, branch: Option<BranchName>, version: Id) -> Result<Switched> {
        let outcome = self.or_let_go(&workspace.target, &version, self.write_version(workspace, branch, version));
        outcome.map_err(|fault| with_way_back(workspace, &version, fault))
    }

    fn write_version(&self, workspace: &Workspace, branch: Option<BranchName>, version: Id) -> Result<Switched> {
        refuse_in_progress(workspace)?;
        let dataset = workspace.target.dataset()?;
        let is_base = workspace.state.base == Some(version);
        if !is_base {
            workspace.target.check_content(&version)?;
        }
        let root = workspace.control.root();
        let goes_on = workspace.state.checkout.is_some();
        if goes_on {
            // Whoever was killed must not stand in the way by a file that nobody will end.
            files::sweep_temporaries(root);
        }
        let goal = workspace.target.store.manifest(workspace.target.version_state(&version)?);
        let base = workspace.manifest()?;
        let mut compared = self.compare(workspace, base)?;
        // Where nothing is, nothing can be in the way: the entries go from the manifest to the disk without being collected.
        let is_empty = base.is_none() && compared.finds_nothing();
        let open = match is_empty {
            true => Vec::new(),
            false => {
                let local = &mut compared.comparison.changes;
                let steps = self.take_begun(workspace, local, steps_between(base, goal)?, goal)?;
                self.open_steps(workspace, local, steps)?
            }
        };
        let content = &workspace.target.store.content;
        let is_gone = |entry: &Entry| content.tombstone_of(entry).is_some();
        let (gone, come): (Vec<_>, Vec<_>) = open.into_iter().partition(|step| step.after.as_ref().is_none_or(is_gone));
        // The way back to a base whose content was let go is open where nothing was replaced yet.
        if is_base && !come.is_empty() {
            workspace.target.check_content(&version)?;
        }
        let version_name = dataset.name_of(&version).cloned();
        let left = left_for(&workspace.state, version);
        let checkout = Some(Checkout { branch: branch.clone(), version, left });
        workspace.control.write_state(&State { checkout, ..workspace.state.clone() })?;
        let removed = gone.iter().filter(|step| step.before.is_some()).count() as u64;
        let (first, last) = first_to_go(root, gone, &come);
        let mut tree = OpenTree::open(root)?;
        first.iter().try_for_each(|step| tree.remove(step.path.as_str()))?;
        self.observer.tell(Event::Phase("writing"));
        if is_empty {
            let row = &workspace.target.version_state(&version)?.row;
            self.observer.add(Counter::FilesTotal, row.files);
            self.observer.add(Counter::BytesTotal, row.bytes);
        }
        let written = match is_empty {
            true => self.write_leaves(workspace, goal.entries(""))?,
            false => {
                let leaves = leaves_of(&goal, come.iter().map(|step| &step.path))?;
                self.write_leaves(workspace, leaves.into_iter().map(Ok))?
            }
        };
        last.iter().try_for_each(|step| tree.remove(step.path.as_str()))?;
        let report = Switched {
            branch: branch.clone(),
            version,
            version_name,
            made_from: None,
            written: written.len() as u64,
            removed,
            purged: purged_among(&goal, goal.entries(""))?,
        };
        self.remember(&mut compared, written)?;
        if goes_on {
            // Once more: who was killed just before may have ended only by now.
            files::sweep_temporaries(root);
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
        let (mut conflicts, mut only_here, mut unseen) = (Vec::new(), false, false);
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
                None => blocking(local, &by_path, &step).or_else(|| {
                    let path = unseen_in_the_way(workspace.control.root(), &step, &leaving);
                    unseen |= path.is_some();
                    path
                }),
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
        Err(Error::conflict(message).hint(match (only_here, &workspace.state.checkout) {
            (true, _) => {
                "no version holds what was purged: move such files away, or remove them, then run the command again"
            }
            (false, _) if unseen => {
                "move away what rules leave out, since no commit keeps it; `dagset commit -a` keeps the rest, `dagset restore PATH…` drops it"
            }
            (false, None) => "`dagset commit -a` keeps them, `dagset restore PATH…` drops them",
            // Nothing is committed from between two versions.
            (false, Some(_)) => {
                "move them away, or `dagset restore PATH…` drops what the base has there; then run the command again"
            }
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
}

/// A fault that left the folder between two versions, with the way back in its hint.
fn with_way_back(workspace: &Workspace, version: &Id, fault: Error) -> Error {
    let state = workspace.control.state().ok();
    let state = state.filter(|state| state.checkout.as_ref().is_some_and(|begun| begun.version == *version));
    let ways = state.and_then(|state| Ways::of(&state, workspace.target.dataset().ok()));
    let Some(back) = ways.and_then(|ways| ways.back) else { return fault };
    let back = format!("`dagset {back}` leads back");
    let hint = match fault.next_step() {
        Some(hint) => format!("{hint}; {back}"),
        None => back,
    };
    fault.hint(hint)
}

/// Cuts what goes into what has to go before anything comes, and what goes when all has come: first what stands where something comes, and
/// where there is no room for both, all.
fn first_to_go(root: &Path, gone: Vec<Change>, come: &[Change]) -> (Vec<Change>, Vec<Change>) {
    let bytes = come.iter().filter_map(|step| step.after.as_ref()).map(Entry::bytes).sum();
    if gone.is_empty() || check_space(root, bytes, "").is_err() {
        return (gone, Vec::new());
    }
    let coming: HashSet<&str> = come.iter().map(|step| step.path.as_str()).collect();
    let led_through: HashSet<&str> = come.iter().flat_map(|step| folders_above(step.path.as_str())).collect();
    gone.into_iter().partition(|step| {
        let path = step.path.as_str();
        led_through.contains(path) || folders_above(path).any(|folder| coming.contains(folder))
    })
}

fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// What makes the one manifest the other; without the first, all that the other has.
pub(super) fn steps_between(base: Option<Manifest<'_>>, goal: Manifest<'_>) -> Result<Vec<Change>> {
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
    let above = folders_above(path).filter_map(|folder| by_path.get(folder));
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
pub(super) fn unseen_in_the_way(root: &Path, step: &Change, leaving: &HashSet<String>) -> Option<String> {
    step.after.as_ref()?;
    let path = step.path.as_str();
    for folder in folders_above(path) {
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

/// The first path below `folder` that no step removes, temporaries of ours aside.
fn stays_below(root: &Path, folder: &str, leaving: &HashSet<String>) -> Option<String> {
    for entry in std::fs::read_dir(root.join(folder)).ok()?.flatten() {
        if entry.file_name().to_str().is_some_and(files::is_temporary) {
            continue;
        }
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
