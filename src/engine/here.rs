//! Versions that a command makes in a workspace, on its branch: from a folder whose tracked files are all saved, which becomes the outcome.
//! Files that nobody added stay, those too that rules leave out, and stop what would be written over them before anything is done. A dry run
//! is stopped by the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use crate::base::lock::FileLock;
use crate::base::words::{counted, first_of};
use crate::base::{BranchName, Error, Id, RepoPath, Result};
use crate::format::manifest::EntryKind;
use crate::format::place::Place;
use crate::tree::diff::Change;
use crate::tree::edit::Edits;
use crate::tree::manifest::Manifest;
use crate::tree::scan::FoundKind;
use crate::workspace::compare::LocalChange;
use crate::workspace::control::Checkout;

use super::begun::unfinished;
use super::merge::refuse_in_progress;
use super::switch::{steps_between, unseen_in_the_way};
use super::workspace::Workspace;
use super::{Engine, MergeReport};

/// A workspace, held, in which a version can be made.
pub(super) struct Ready {
    pub workspace: Workspace,
    pub branch: BranchName,
    pub untracked: Untracked,
    pub lock: FileLock,
}

/// What a folder holds beside its base; nothing, where no folder is to become the outcome.
#[derive(Default)]
pub(super) struct Untracked {
    root: Option<PathBuf>,
    /// The manifest that the folder is as, but for this.
    base: Option<(Id, Place)>,
    /// Files that nobody added and rules don't leave out.
    seen: BTreeSet<RepoPath>,
    /// Such folders with nothing in them.
    empty: BTreeSet<RepoPath>,
}

impl Engine {
    /// The workspace, held, and the branch that it is on.
    ///
    /// A switch to an outcome on this branch that was cut off is ended first. `meant` is the branch that the command was given, if it was.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where another switch or a merge is unfinished, the workspace left the meant branch
    /// while it was waited for, or a tracked or added file is unsaved; [`Kind::Usage`](crate::base::Kind::Usage) on no branch.
    pub(super) fn ready_here(&self, meant: Option<&str>, dry_run: bool) -> Result<Ready> {
        let (mut workspace, lock) = self.lock_workspace()?;
        if let Some(begun) = workspace.state.checkout.clone() {
            if dry_run || !is_outcome(&workspace, &begun)? {
                return Err(unfinished(&workspace));
            }
            // The command that was cut off may be this one, which then finds its work done.
            self.go_to(&workspace, begun.branch, begun.version)?;
            workspace = self.open_workspace()?;
        }
        refuse_in_progress(&workspace)?;
        let branch = workspace.state.branch.clone().ok_or_else(|| {
            Error::usage("this workspace is on no branch").hint("`dagset switch BRANCH` first, or give --branch")
        })?;
        if let Some(meant) = meant.filter(|meant| *meant != branch.as_str()) {
            return Err(Error::conflict(format!("the workspace went from the branch {meant} to {branch} meanwhile"))
                .hint("run the command again"));
        }
        let staged = workspace.control.staged()?;
        let changes = self.compare(&workspace, workspace.manifest()?)?.comparison.changes;
        let is_untracked = |change: &LocalChange| change.before.is_none() && !staged.contains(&change.path);
        let (untracked, unsaved): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_untracked);
        if !unsaved.is_empty() {
            let paths: Vec<&RepoPath> = unsaved.iter().map(|change| &change.path).collect();
            let have = counted(paths.len(), "path has", "paths have");
            let message = format!("{have} changes that no version holds:{}", first_of(&paths));
            return Err(Error::conflict(message).hint("`dagset commit -a` keeps them; `dagset status` shows them"));
        }
        let is_file = |change: &LocalChange| change.after.as_ref().is_some_and(|it| it.kind != FoundKind::EmptyFolder);
        let (seen, empty): (Vec<_>, Vec<_>) = untracked.into_iter().partition(is_file);
        let untracked = Untracked {
            root: Some(workspace.control.root().to_owned()),
            base: workspace.base()?.map(|state| (state.row.manifest, state.row.manifest_place)),
            seen: seen.into_iter().map(|change| change.path).collect(),
            empty: empty.into_iter().map(|change| change.path).collect(),
        };
        Ok(Ready { workspace, branch, untracked, lock })
    }

    /// Makes the folder, which is version `base`, the version that was made, if one was. The workspace is held.
    pub(super) fn become_outcome(&self, base: Option<Id>, report: &mut MergeReport) -> Result<()> {
        let made = report.published.as_ref().filter(|published| !published.dry_run).and_then(|it| it.version);
        let Some(version) = made.filter(|version| base != Some(*version)) else { return Ok(()) };
        // What was just published is found by a store that is opened after it.
        let workspace = self.open_workspace()?;
        let switched = self.go_to(&workspace, Some(report.branch.clone()), version);
        switched.iter().for_each(|switched| self.warn_of_purged(&switched.purged));
        report.switched = Some(switched.map_err(|fault| {
            fault.within(format!("the outcome is version {}, but the folder isn't switched to it", version.short()))
        })?);
        Ok(())
    }
}

/// Whether a switch that hasn't ended is to what the workspace's own branch points at: what a command made there.
fn is_outcome(workspace: &Workspace, begun: &Checkout) -> Result<bool> {
    let Some(branch) = begun.branch.as_ref().filter(|branch| workspace.state.branch.as_ref() == Some(branch)) else {
        return Ok(false);
    };
    Ok(workspace.target.dataset()?.branches.get(branch) == Some(&begun.version))
}

impl Untracked {
    /// Refuses an outcome that would be written where something stands that isn't the base's, above it or below it.
    pub(super) fn refuse_in_the_way(&self, outcome: Manifest<'_>, edits: &Edits) -> Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        let base = self.base.map(|(id, place)| Manifest::new(outcome.content(), id, Some(place)));
        let steps = steps_between(base, outcome)?.into_iter().map(|step| (step.path.clone(), step));
        let mut steps: BTreeMap<RepoPath, Change> = steps.collect();
        let before = match base {
            Some(base) => base.find_each(edits.iter().map(|(path, _)| path.as_str()))?,
            None => vec![None; edits.len()],
        };
        for ((path, after), before) in edits.iter().zip(before) {
            let before = before.map(|leaf| leaf.entry);
            steps.insert(path.clone(), Change { path: path.clone(), before, after: after.clone() });
        }
        let leaves = |step: &&Change| step.before.is_some() && step.after.is_none();
        let leaving: HashSet<String> = steps.values().filter(leaves).map(|step| step.path.to_string()).collect();
        let is_in_place_of_empty = |step: &Change| {
            let comes = step.after.as_ref().is_some_and(|entry| entry.kind != EntryKind::EmptyFolder);
            comes && self.empty.contains(&step.path)
        };
        let in_place_of_empty = |step: &Change| is_in_place_of_empty(step).then(|| step.path.to_string());
        let in_the_way = steps
            .values()
            .filter_map(|step| unseen_in_the_way(root, step, &leaving).or_else(|| in_place_of_empty(step)));
        let in_the_way: BTreeSet<String> = in_the_way.collect();
        if in_the_way.is_empty() {
            return Ok(());
        }
        let shown = first_of(&in_the_way.iter().collect::<Vec<_>>());
        let message = format!("files that no version holds are where the outcome would be written:{shown}");
        let are_seen =
            in_the_way.iter().all(|path| self.seen.iter().chain(&self.empty).any(|seen| seen.as_str() == path));
        Err(Error::conflict(message).hint(match are_seen {
            true => "move them away, or `dagset commit -a` keeps them; nothing was done",
            false => "move them away: rules leave them out, so that no commit keeps them; nothing was done",
        }))
    }
}
