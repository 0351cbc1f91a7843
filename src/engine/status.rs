//! `status`: how the folder differs from its version, and what is under way in it.

use std::collections::BTreeSet;

use crate::base::{BranchName, Id, RefName, RepoPath, Result};
use crate::history::bases::reaches;
use crate::workspace::merging::{Merging, OpenConflict, Solved};

use super::Engine;
use super::begun::Ways;
use super::clone::Upstream;
use super::ingest::LeftOutPath;
use super::workspace::left_out;

/// The merge in progress.
#[derive(Debug, Clone)]
pub struct MergeStatus {
    /// What its parents are called, in order.
    pub parents: Vec<String>,
    /// Whether its outcome is wholly in the folder; else writing it was cut off.
    pub is_laid: bool,
    /// By path, the solved ones too.
    pub conflicts: Vec<ConflictStatus>,
}

/// A conflict of the merge in progress.
#[derive(Debug, Clone)]
pub struct ConflictStatus {
    pub path: String,
    /// What each parent did, in words.
    pub did: Vec<String>,
    /// Where the entries of other parents stand.
    pub beside: Vec<String>,
    /// What a solved one was solved by: the parent whose entry was taken, or the word `by hand`.
    pub solved: Option<String>,
}

/// What `status` tells. Paths are from the workspace's root, in order.
#[derive(Debug, Clone, Default)]
pub struct Status {
    pub dataset: String,
    pub branch: Option<BranchName>,
    pub base: Option<Id>,
    pub base_name: Option<RefName>,
    /// Nothing of the base was written yet, and all that is in the folder is new: what `switch` takes to write it.
    pub to_write: Option<String>,
    /// Changes that the next `commit` takes. None of the lists has the paths of a merge's unsolved conflicts.
    pub staged: Vec<String>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub modified: Vec<String>,
    /// Conflicts of the merge in progress that aren't solved.
    pub conflicts: Vec<String>,
    pub merging: Option<MergeStatus>,
    pub left_out: Vec<LeftOutPath>,
    /// The version that a cut-off `switch` was going to.
    pub unfinished_switch: Option<Id>,
    /// What leads out of there.
    pub ways: Option<Ways>,
    /// Whether the branch has a version that follows the base.
    pub behind: bool,
    /// The branch is elsewhere, and not ahead: at this version, or nowhere.
    pub moved: Option<Option<Id>>,
    /// How the branch stands to a remote's of its name, as of the last fetch or push.
    pub upstream: Option<Upstream>,
}

impl Status {
    /// Whether the folder is as the base version says.
    pub fn is_clean(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.modified.is_empty() && self.conflicts.is_empty()
    }
}

impl Engine {
    /// What differs from the base version, and what the next commit takes.
    pub fn status(&self) -> Result<Status> {
        let workspace = self.open_workspace()?;
        let compared = self.compare(&workspace, workspace.manifest()?)?;
        let staged = workspace.control.staged()?;
        let mut status = Status {
            dataset: workspace.target.dataset.to_string(),
            branch: workspace.state.branch.clone(),
            base: workspace.state.at(),
            to_write: workspace.to_write()?,
            ways: workspace.ways(),
            unfinished_switch: workspace.state.checkout.as_ref().map(|checkout| checkout.version),
            ..Status::default()
        };
        let dataset = workspace.target.dataset()?;
        status.base_name = status.base.and_then(|id| dataset.name_of(&id).cloned());
        let head = status.branch.as_ref().and_then(|branch| dataset.branches.get(branch));
        status.upstream = status.branch.as_ref().and_then(|branch| self.upstream(dataset, branch));
        let fold = workspace.target.store.timeline.fold();
        let follows = |head: &Id| status.base.is_none_or(|base| reaches(fold, head, &base));
        let is_elsewhere = status.branch.is_some() && head.copied() != status.base;
        status.behind = is_elsewhere && head.is_some_and(follows);
        status.moved = (is_elsewhere && !status.behind).then_some(head.copied());
        let merging = workspace.control.merging(&workspace.state)?;
        let open: BTreeSet<&RepoPath> = merging.iter().flat_map(Merging::open_paths).collect();
        for change in compared.comparison.changes.iter().filter(|change| !open.contains(&change.path)) {
            let path = change.path.to_string();
            if staged.contains(&change.path) {
                status.staged.push(path.clone());
            }
            match (&change.before, &change.after) {
                (None, _) => status.added.push(path),
                (_, None) => status.removed.push(path),
                _ => status.modified.push(path),
            }
        }
        status.conflicts =
            merging.iter().flat_map(Merging::unsolved).map(|conflict| conflict.path.to_string()).collect();
        status.merging = merging.as_ref().map(merge_status);
        status.left_out = left_out(&compared.comparison);
        Ok(status)
    }
}

fn merge_status(merging: &Merging) -> MergeStatus {
    let conflict = |conflict: &OpenConflict| ConflictStatus {
        path: conflict.path.to_string(),
        did: conflict.did.clone(),
        beside: conflict.beside.iter().map(RepoPath::to_string).collect(),
        solved: conflict.solved.map(|solved| match solved {
            Solved::ByHand => "by hand".to_owned(),
            Solved::Taken(parent) => merging.parents[parent].1.clone(),
        }),
    };
    MergeStatus {
        parents: merging.parents.iter().map(|(_, reference)| reference.clone()).collect(),
        is_laid: merging.is_laid,
        conflicts: merging.conflicts.iter().map(conflict).collect(),
    }
}
