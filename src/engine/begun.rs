//! Switches that haven't ended: what of a folder between versions is theirs, so that another version can be gone to.
//!
//! Such a folder's files are of the base or of a version that a switch began to write. What is as one of these has it is no unsaved work.
//! A begun version that nothing holds any more, or that is damaged, holds no bytes: of its traces only that paths are missing is undone.

use std::collections::BTreeMap;

use crate::base::{BranchName, Error, Event, Id, Kind, Result};
use crate::format::manifest::{Entry, EntryKind};
use crate::history::fold::Dataset;
use crate::tree::diff::Change;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::scan::FoundKind;
use crate::workspace::compare::LocalChange;
use crate::workspace::control::{Checkout, State};

use super::Engine;
use super::clone::ORIGIN;
use super::workspace::Workspace;

/// The commands that lead out where a switch was begun and hasn't ended, as they follow the word `dagset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// Goes on with it, unless the version that it was going to is gone.
    pub on: Option<String>,
    /// Goes back to the version that the folder was before, unless it was going there.
    pub back: Option<String>,
}

impl Ways {
    /// The ways out of a state; a dataset that is known has names for them.
    pub(super) fn of(state: &State, dataset: Option<&Dataset>) -> Option<Ways> {
        let begun = state.checkout.as_ref()?;
        let base = state.base.filter(|base| *base != begun.version);
        let on = match is_pull(dataset, begun) {
            true => "pull".to_owned(),
            false => format!("switch {}", called(dataset, &begun.version, begun.branch.as_ref())),
        };
        let is_gone = dataset.is_some_and(|dataset| !dataset.versions.contains_key(&begun.version));
        let on = Some(on).filter(|_| !is_gone);
        Some(Ways { on, back: base.map(|base| format!("switch {}", called(dataset, &base, state.branch.as_ref()))) })
    }

    /// Each command, with what it does.
    pub fn each(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let each = [(self.on.as_deref(), "goes on"), (self.back.as_deref(), "goes back")];
        each.into_iter().filter_map(|(command, does)| Some((command?, does)))
    }
}

/// Whether a switch is that of a pull, which moves its branch when the folder has got there.
fn is_pull(dataset: Option<&Dataset>, begun: &Checkout) -> bool {
    let (Some(dataset), Some(branch)) = (dataset, &begun.branch) else { return false };
    let is_at = |branch: &BranchName| dataset.branches.get(branch) == Some(&begun.version);
    !is_at(branch) && BranchName::new(&format!("{ORIGIN}/{branch}")).is_ok_and(|following| is_at(&following))
}

/// The branch if it points at the version, else its name, else its id.
fn called(dataset: Option<&Dataset>, version: &Id, branch: Option<&BranchName>) -> String {
    let branch = branch.filter(|branch| dataset.is_some_and(|it| it.branches.get(*branch) == Some(version)));
    let name = || dataset.and_then(|it| it.name_of(version)).map(ToString::to_string);
    branch.map(ToString::to_string).or_else(name).unwrap_or_else(|| version.short())
}

/// The refusal of what needs a folder that is wholly one version; it names both ways out.
pub(super) fn unfinished(workspace: &Workspace) -> Error {
    let refused = Error::conflict("a switch hasn't ended, so the folder is between two versions");
    let ways = workspace.ways();
    let ways = ways.iter().flat_map(Ways::each).map(|(command, does)| format!("`dagset {command}` {does}"));
    match ways.collect::<Vec<_>>() {
        none if none.is_empty() => refused.hint("`dagset switch VERSION` leads to another version"),
        ways => refused.hint(ways.join(", ")),
    }
}

impl Workspace {
    /// The ways out of a switch that hasn't ended.
    pub fn ways(&self) -> Option<Ways> {
        Ways::of(&self.state, self.target.dataset().ok())
    }
}

/// What is to be left, besides the base, once a switch to `version` is begun.
pub(super) fn left_for(state: &State, version: Id) -> Vec<Id> {
    let begun = state.checkout.iter().flat_map(Checkout::versions);
    begun.filter(|begun| *begun != version && Some(*begun) != state.base).collect()
}

impl Engine {
    /// Takes out of `local`, the changes since the base, what a switch that hasn't ended left. The `steps` from the base to the goal begin from
    /// that then; those at paths that are as the goal has them are taken.
    pub(super) fn take_begun(
        &self,
        workspace: &Workspace,
        local: &mut Vec<LocalChange>,
        steps: Vec<Change>,
        goal: Manifest<'_>,
    ) -> Result<Vec<Change>> {
        let Some(begun) = &workspace.state.checkout else { return Ok(steps) };
        let mut steps: BTreeMap<_, _> = steps.into_iter().map(|step| (step.path.clone(), step)).collect();
        let at_goal = goal.find_each(local.iter().map(|change| change.path.as_str()))?;
        for (change, after) in std::mem::take(local).into_iter().zip(at_goal) {
            match self.is_already(workspace, &change, after.map(|leaf| leaf.entry).as_ref())? {
                true => drop(steps.remove(&change.path)),
                false => local.push(change),
            }
        }
        for version in begun.versions().chain(workspace.state.base) {
            let at_version = self.held_by_begun(workspace, &version, local)?;
            let at_goal = goal.find_each(local.iter().map(|change| change.path.as_str()))?;
            for ((change, before), after) in std::mem::take(local).into_iter().zip(at_version).zip(at_goal) {
                if self.is_already(workspace, &change, before.as_ref())? {
                    let after = after.map(|leaf| leaf.entry);
                    steps.insert(change.path.clone(), Change { path: change.path, before, after });
                } else {
                    local.push(change);
                }
            }
        }
        Ok(steps.into_values().collect())
    }

    /// What a version has where the folder changed, as a switch to it or from it leaves it there.
    fn held_by_begun(&self, workspace: &Workspace, version: &Id, local: &[LocalChange]) -> Result<Vec<Option<Entry>>> {
        let content = &workspace.target.store.content;
        let look = || {
            let manifest = workspace.target.store.manifest(workspace.target.version_state(version)?);
            let leaves = manifest.find_each(local.iter().map(|change| change.path.as_str()))?;
            let at = |(change, leaf): (&LocalChange, Option<_>)| {
                let entry = leaf.map(|leaf: Leaf| leaf.entry);
                // What was purged isn't written.
                let entry = entry.filter(|entry| change.after.is_some() || content.tombstone_of(entry).is_none());
                entry.map_or_else(|| folder_on_the_way(change, manifest), |entry| Ok(Some(entry)))
            };
            local.iter().zip(leaves).map(at).collect::<Result<Vec<_>>>()
        };
        look().or_else(|fault| match fault.kind() {
            Kind::NotFound | Kind::Damaged => {
                let (version, why) = (version.short(), fault.in_one_line());
                let told = format!(
                    "what a switch wrote of version {version} counts as unsaved, as it can't be looked up: {why}"
                );
                self.observer.tell(Event::Warning(told));
                Ok(vec![None; local.len()])
            }
            _ => Err(fault),
        })
    }
}

/// An empty folder that was made for the files of a version, none of which came, or that they were in.
fn folder_on_the_way(change: &LocalChange, version: Manifest<'_>) -> Result<Option<Entry>> {
    let is_empty = change.after.as_ref().is_some_and(|found| found.kind == FoundKind::EmptyFolder);
    let first = if is_empty { version.entries(change.path.as_str()).next().transpose()? } else { None };
    let is_below = first.is_some_and(|leaf| leaf.path.is_below(change.path.as_str()));
    Ok(is_below.then(|| Entry::plain(EntryKind::EmptyFolder)))
}
