//! Versions that a command makes in a workspace, on its branch: from a folder that holds nothing unsaved, which becomes the outcome.

use crate::base::lock::FileLock;
use crate::base::{BranchName, Error, Id, Result};

use super::commit::unfinished;
use super::merge::refuse_in_progress;
use super::workspace::Workspace;
use super::{Engine, MergeReport};

impl Engine {
    /// The workspace, held, and the branch that it is on.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where a switch or a merge is unfinished, or what no version holds would be lost
    /// (not for a dry run); [`Kind::Usage`](crate::base::Kind::Usage) on no branch.
    pub(super) fn ready_here(&self, dry_run: bool) -> Result<(Workspace, FileLock, BranchName)> {
        let workspace = self.open_workspace()?;
        let lock = workspace.control.lock()?;
        if workspace.state.checkout.is_some() {
            return Err(unfinished(&workspace));
        }
        refuse_in_progress(&workspace)?;
        let branch = workspace.state.branch.clone().ok_or_else(|| {
            Error::usage("this workspace is on no branch").hint("`dagset switch BRANCH` first, or give --branch")
        })?;
        let unsaved = self.compare(&workspace, workspace.manifest()?)?.comparison.changes.len();
        if unsaved > 0 && !dry_run {
            return Err(Error::conflict(format!("the workspace has {unsaved} changes that no version holds"))
                .hint("`dagset commit -a` keeps them; `dagset status` shows them"));
        }
        Ok((workspace, lock, branch))
    }

    /// Makes the folder, which is version `base`, the version that was made, if one was. The workspace is held.
    pub(super) fn become_outcome(&self, base: Option<Id>, report: &mut MergeReport) -> Result<()> {
        let made = report.published.as_ref().filter(|published| !published.dry_run).and_then(|it| it.version);
        let Some(version) = made.filter(|version| base != Some(*version)) else { return Ok(()) };
        // What was just published is found by a store that is opened after it.
        let workspace = self.open_workspace()?;
        let switched = self.go_to(&workspace, Some(report.branch.clone()), version);
        report.switched = Some(switched.map_err(|fault| {
            fault.within(format!("the outcome is version {}, but the folder isn't switched to it", version.short()))
        })?);
        Ok(())
    }
}
