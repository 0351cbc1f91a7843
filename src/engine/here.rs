//! Versions that a command makes in a workspace, on its branch: from a folder whose tracked files are all saved, which becomes the outcome.
//! Files that nobody added stay, and stop what would be written over them before anything is done.

use std::collections::BTreeMap;

use crate::base::lock::FileLock;
use crate::base::words::{counted, first_of};
use crate::base::{BranchName, Error, Id, RepoPath, Result};
use crate::format::manifest::{Entry, EntryKind};
use crate::tree::edit::Edits;
use crate::tree::manifest::Manifest;
use crate::tree::scan::FoundKind;
use crate::workspace::compare::LocalChange;
use crate::workspace::control::Checkout;

use super::begun::unfinished;
use super::merge::refuse_in_progress;
use super::workspace::Workspace;
use super::{Engine, MergeReport};

/// A workspace, held, in which a version can be made.
pub(super) struct Ready {
    pub workspace: Workspace,
    pub branch: BranchName,
    pub untracked: Untracked,
    pub lock: FileLock,
}

/// Files of the folder that no version holds and nobody added, in path order.
#[derive(Default)]
pub(super) struct Untracked(Vec<RepoPath>);

impl Engine {
    /// The workspace, held, and the branch that it is on.
    ///
    /// A switch to an outcome on this branch that was cut off is ended first. `meant` is the branch that the command was given, if it was.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where another switch or a merge is unfinished, the workspace left the meant branch
    /// while it was waited for, or a tracked or added file is unsaved (not for a dry run); [`Kind::Usage`](crate::base::Kind::Usage) on no branch.
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
        if dry_run {
            return Ok(Ready { workspace, branch, untracked: Untracked::default(), lock });
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
        let untracked = untracked.into_iter().filter(is_file).map(|change| change.path).collect();
        Ok(Ready { workspace, branch, untracked: Untracked(untracked), lock })
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
    /// Refuses an outcome that has something where one of the files stands, above it or below it.
    pub(super) fn refuse_in_the_way(&self, outcome: Manifest<'_>, edits: &Edits) -> Result<()> {
        let edits: BTreeMap<&str, Option<&Entry>> =
            edits.iter().map(|(path, entry)| (path.as_str(), entry.as_ref())).collect();
        let known = outcome.find_each(self.0.iter().map(RepoPath::as_str))?;
        let mut in_the_way = Vec::new();
        for (path, leaf) in self.0.iter().zip(known) {
            let path = path.as_str();
            let at = edits.get(path).map_or(leaf.is_some(), Option::is_some);
            if at || is_below(outcome, &edits, path)? || is_above(outcome, &edits, path)? {
                in_the_way.push(path);
            }
        }
        if in_the_way.is_empty() {
            return Ok(());
        }
        let shown = first_of(&in_the_way);
        let message = format!("files that no version holds are where the outcome would be written:{shown}");
        Err(Error::conflict(message).hint("move them away, or `dagset commit -a` keeps them; nothing was done"))
    }
}

/// Whether the outcome has something in the folder that a file stands for.
fn is_below(outcome: Manifest<'_>, edits: &BTreeMap<&str, Option<&Entry>>, path: &str) -> Result<bool> {
    let folder = format!("{path}/");
    let edited = edits.range(folder.as_str()..).take_while(|(path, _)| path.starts_with(&folder));
    if edited.into_iter().any(|(_, entry)| entry.is_some()) {
        return Ok(true);
    }
    for leaf in outcome.entries(path) {
        let path = leaf?.path;
        if path.as_str().starts_with(&folder) && !edits.contains_key(path.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the outcome has a file where the path needs a folder.
fn is_above(outcome: Manifest<'_>, edits: &BTreeMap<&str, Option<&Entry>>, path: &str) -> Result<bool> {
    let is_file = |entry: &Entry| entry.kind != EntryKind::EmptyFolder;
    for (at, _) in path.match_indices('/') {
        let folder = &path[..at];
        let is_there = match edits.get(folder) {
            Some(entry) => entry.is_some_and(is_file),
            None => outcome.find(folder)?.is_some_and(|leaf| is_file(&leaf.entry)),
        };
        if is_there {
            return Ok(true);
        }
    }
    Ok(false)
}
