//! A merge in progress in a workspace: begun, its conflicts solved, dropped, gone on with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::base::words::{counted, first_of};
use crate::base::{Error, Id, Kind, RepoPath, Result};
use crate::format::attrs::{Attrs, Value};
use crate::format::manifest::Entry;
use crate::tree::edit::Edits;
use crate::workspace::compare::LocalChange;
use crate::workspace::merging::{Merging, OpenConflict, Solved};

use super::super::commit::CommitOptions;
use super::super::here::Untracked;
use super::super::number::Bump;
use super::super::publish::Published;
use super::super::workspace::{Workspace, is_at};
use super::super::{Engine, Switched};
use super::MergeReport;
use super::layout::{Extent, Layout, OpenMerge, Unsaved};
use super::parents::role;
use super::rules::{is_called, solved_words};

/// What `resolve` did.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The conflicts that are solved now.
    pub paths: Vec<String>,
    /// Conflicts that are left.
    pub left: u64,
}

/// What `merge --abort` did.
#[derive(Debug, Clone)]
pub struct Aborted {
    /// Paths written and removed.
    pub written: u64,
    pub removed: u64,
    /// Where what no version holds was put.
    pub kept: Vec<String>,
}

impl Engine {
    /// Lays a merge with conflicts into the folder, which is as the base; says in the report where what stands.
    pub(super) fn lay_out(
        &self,
        workspace: &Workspace,
        mut merging: Merging,
        untracked: &Untracked,
        report: &mut MergeReport,
    ) -> Result<()> {
        let (open, layout) = self.layout_to_come(workspace, &merging, untracked)?;
        for (beside, path) in &layout.beside {
            let of = merging.conflicts.iter_mut().filter(|conflict| conflict.path == *path);
            of.for_each(|conflict| conflict.beside.push(beside.clone()));
            let told = report.conflicts.iter_mut().filter(|conflict| conflict.path == path.as_str());
            told.for_each(|conflict| conflict.beside.push(beside.clone()));
        }
        workspace.control.write_merging(&merging)?;
        stage(workspace, &merging, &layout)?;
        let (switched, _) = self
            .lay(&open, &Layout::default(), &layout, Extent::Whole, Unsaved::Refuse)
            .map_err(|fault| fault.within("the merge is begun, but its outcome isn't wholly in the folder"))?;
        merging.is_laid = true;
        workspace.control.write_merging(&merging)?;
        report.in_progress = true;
        report.switched = Some(switched);
        Ok(())
    }

    /// What the folder is to be while the merge's conflicts are solved in it; an error if something stands in the way.
    pub(super) fn layout_to_come<'w>(
        &self,
        workspace: &'w Workspace,
        merging: &Merging,
        untracked: &Untracked,
    ) -> Result<(OpenMerge<'w>, Layout)> {
        let open = OpenMerge::of(self, workspace, merging)?;
        let layout = open.layout(self, merging)?;
        let steps: Edits = layout.steps.iter().map(|(path, entry)| (path.clone(), entry.clone())).collect();
        untracked.refuse_in_the_way(workspace.manifest()?.unwrap_or_else(|| open.first()), &steps)?;
        Ok((open, layout))
    }

    /// Goes on with writing a merge's outcome into the folder, where that was cut off.
    fn lay_again(&self, workspace: &Workspace, merging: &mut Merging) -> Result<()> {
        if merging.is_laid {
            return Ok(());
        }
        crate::base::files::sweep_temporaries(workspace.control.root());
        let open = OpenMerge::of(self, workspace, merging)?;
        let (first, layout) = (open.first_layout(self, merging)?, open.layout(self, merging)?);
        stage(workspace, merging, &layout)?;
        self.lay(&open, &first, &layout, Extent::Whole, Unsaved::Refuse)?;
        merging.is_laid = true;
        workspace.control.write_merging(merging)
    }

    /// Solves conflicts at and below the paths by what one of the merge's parents has there.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where that would overwrite what no version holds.
    pub fn resolve(&self, paths: &[PathBuf], take: &str) -> Result<Resolved> {
        let (workspace, _lock) = self.lock_workspace()?;
        let mut merging = workspace.merging()?;
        let parent = merging.parents.iter().position(|(_, reference)| is_called(reference, take)).ok_or_else(|| {
            let known: Vec<&str> = merging.parents.iter().map(|(_, reference)| reference.as_str()).collect();
            Error::usage(format!("{take} is no parent of the merge")).hint(format!("one of: {}", known.join(", ")))
        })?;
        let places = paths.iter().map(|path| self.place_in(&workspace, path)).collect::<Result<Vec<_>>>()?;
        for (path, place) in paths.iter().zip(&places) {
            if !merging.conflicts.iter().any(|conflict| is_at(&conflict.path, place)) {
                return Err(Error::not_found(format!("there is no conflict at {}", path.display()))
                    .hint("`dagset status` shows the conflicts"));
            }
        }
        let solved = self.solve(&workspace, &mut merging, &places, Solved::Taken(parent))?;
        let left = merging.unsolved().count() as u64;
        Ok(Resolved { paths: solved.iter().map(RepoPath::to_string).collect(), left })
    }

    /// Marks the conflicts at and below the places as solved, and has the folder follow.
    pub(in crate::engine) fn solve(
        &self,
        workspace: &Workspace,
        merging: &mut Merging,
        places: &[String],
        how: Solved,
    ) -> Result<Vec<RepoPath>> {
        let chosen = |conflict: &&mut OpenConflict| {
            let is_named = places.iter().any(|place| conflict.path.as_str() == place);
            // `add .` leaves what was taken as taken.
            let is_meant = how != Solved::ByHand || conflict.solved.is_none();
            is_named || is_meant && places.iter().any(|place| is_at(&conflict.path, place))
        };
        self.lay_again(workspace, merging)?;
        let open = OpenMerge::of(self, workspace, merging)?;
        let was = open.layout(self, merging)?;
        let before = merging.clone();
        let solved: Vec<RepoPath> = merging
            .conflicts
            .iter_mut()
            .filter(chosen)
            .map(|conflict| {
                conflict.solved = Some(how);
                conflict.path.clone()
            })
            .collect();
        // What was taken is looked for in the folder, also where it was taken before: somebody may have changed it since.
        let taken = if how == Solved::ByHand { Vec::new() } else { solved.clone() };
        if solved.is_empty() || (*merging == before && taken.is_empty()) {
            return Ok(solved);
        }
        let goal = open.layout(self, merging)?;
        merging.is_laid = false;
        workspace.control.write_merging(merging)?;
        let laid = self.lay(&open, &was, &goal, Extent::Differing(&taken), Unsaved::Refuse);
        if let Err(fault) = laid {
            if fault.kind() == Kind::Conflict {
                // Something unsaved is in the way, so nothing was touched.
                workspace.control.write_merging(&before)?;
            }
            return Err(fault);
        }
        let mut staged = workspace.control.staged()?;
        staged.extend(
            goal.steps
                .keys()
                .filter(|path| !goal.beside.contains_key(*path))
                .filter(|path| was.steps.get(*path) != goal.steps.get(*path) || solved.contains(path))
                .cloned(),
        );
        staged.extend(solved.iter().cloned());
        workspace.control.write_staged(&staged)?;
        merging.is_laid = true;
        workspace.control.write_merging(merging)?;
        Ok(solved)
    }

    /// Drops the merge in progress: the folder is as before it. What no version holds stays, under a name that says so.
    pub fn abort_merge(&self) -> Result<Aborted> {
        let (workspace, _lock) = self.lock_workspace()?;
        let mut merging = workspace.merging()?;
        let open = OpenMerge::of(self, &workspace, &merging)?;
        let (mut first, now) = (open.first_layout(self, &merging)?, open.layout(self, &merging)?);
        for (path, entry) in now.steps {
            first.steps.entry(path).or_insert(entry);
        }
        merging.is_laid = false;
        workspace.control.write_merging(&merging)?;
        let staged = workspace.control.staged()?;
        workspace.control.write_staged(&BTreeSet::new())?;
        crate::base::files::sweep_temporaries(workspace.control.root());
        let laid = self.lay(&open, &first, &Layout::default(), Extent::Whole, Unsaved::SetAside);
        let (Switched { written, removed, .. }, kept) = match laid {
            Ok(laid) => laid,
            Err(fault) => {
                workspace.control.write_staged(&staged)?;
                return Err(fault);
            }
        };
        workspace.control.remove_merging()?;
        Ok(Aborted { written, removed, kept })
    }

    /// Ends the merge in progress by a commit of what is staged; first goes on with writing its outcome, where that was cut off.
    pub fn continue_merge(&self, options: &CommitOptions) -> Result<Published> {
        self.commit_as(options, true)
    }

    /// Goes on with writing the outcome of the merge in progress, which there must be, into the folder of a workspace that is locked.
    pub(in crate::engine) fn lay_merge(&self, workspace: &Workspace) -> Result<()> {
        self.lay_again(workspace, &mut workspace.merging()?)
    }

    /// For `rm`: which of the changes hold bytes that no version has.
    pub(in crate::engine) fn unsaved_in_merge(
        &self,
        workspace: &Workspace,
        merging: &Merging,
        changes: &[&LocalChange],
    ) -> Result<Option<RepoPath>> {
        let open = OpenMerge::of(self, workspace, merging)?;
        let layout = open.layout(self, merging)?;
        self.first_unsaved(&open, &layout, changes)
    }
}

impl Workspace {
    /// The merge in progress, which there must be.
    fn merging(&self) -> Result<Merging> {
        self.control.merging(&self.state)?.ok_or_else(|| {
            Error::not_found("no merge is in progress here")
                .hint("`dagset merge REF…` begins one; `dagset status` tells")
        })
    }
}

/// Refuses to make a version of a merge that isn't wholly in the folder, or whose conflicts aren't all solved.
fn refuse_unsolved(merging: &Merging) -> Result<()> {
    if !merging.is_laid {
        return Err(Error::conflict("the merge's outcome isn't wholly in the folder")
            .hint("`dagset merge --continue` goes on with it, `dagset merge --abort` drops it"));
    }
    let open: Vec<&str> = merging.unsolved().map(|conflict| conflict.path.as_str()).collect();
    if open.is_empty() {
        return Ok(());
    }
    let conflicts = counted(open.len(), "conflict of the merge is", "conflicts of the merge are");
    Err(Error::conflict(format!("{conflicts} not solved:{}", first_of(&open))).hint(
        "`dagset add PATH` takes what stands there, `dagset rm PATH` removes it, `dagset resolve PATH --take REF` takes a parent's",
    ))
}

/// The next commit takes what the merge brings, but for what is open.
fn stage(workspace: &Workspace, merging: &Merging, layout: &Layout) -> Result<()> {
    let open: BTreeSet<&RepoPath> = merging.unsolved().map(|conflict| &conflict.path).collect();
    let mut staged = workspace.control.staged()?;
    let brought = layout.steps.keys().filter(|path| !open.contains(path) && !layout.beside.contains_key(*path));
    staged.extend(brought.cloned());
    workspace.control.write_staged(&staged)
}

/// What a commit adds to a version that ends a merge.
pub(in crate::engine) struct Ending {
    pub parents: Vec<Id>,
    pub roles: Vec<(Id, String)>,
    pub name: Option<String>,
    pub bump: Option<Bump>,
    pub message: String,
    pub meta: Attrs,
    /// What the merge itself comes to, as far as it differs from the base.
    pub merged: BTreeMap<RepoPath, Option<Entry>>,
}

impl Engine {
    /// The merge that a commit in this workspace ends, if one is in progress. Its conflicts must be solved.
    pub(in crate::engine) fn merge_to_end(&self, workspace: &Workspace) -> Result<Option<Ending>> {
        let Some(merging) = workspace.control.merging(&workspace.state)? else { return Ok(None) };
        refuse_unsolved(&merging)?;
        let merged = OpenMerge::of(self, workspace, &merging)?.layout(self, &merging)?.steps;
        let words = merging.meta.clone().into_iter().chain(solved_words(&merging));
        Ok(Some(Ending {
            parents: merging.parents.iter().map(|(id, _)| *id).collect(),
            roles: merging.parents.iter().map(|(id, reference)| (*id, role(reference))).collect(),
            name: merging.name.clone(),
            bump: merging.bump.as_deref().and_then(Bump::of_word),
            message: merging.message.clone(),
            meta: words.map(|(key, text)| (key, Value::Text(text))).collect(),
            merged,
        }))
    }
}
