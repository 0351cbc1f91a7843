//! What protection and publishing stand against, and how that is overridden: by a reason, which the log keeps (docs/format.md §10, 18).
//!
//! Writers hold to it, no reader does: whoever moves or takes away refs, names or datasets passes the operations through here, anew for
//! each newer fold. A published version keeps its name, its dataset, its protected tags and a ref that leads to it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::base::{DatasetName, Error, Id, RefName, Result};
use crate::format::operation::{MAX_NOTE, Operation};

use super::dag::ancestry;
use super::fold::{Dataset, Fold, Tag};

/// Why something protected is changed after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Checks that it says something, in at most 4 KiB.
    pub fn new(text: &str) -> Result<Reason> {
        match text.trim() {
            "" => Err(Error::usage("a reason is needed, and this one is empty").hint("--reason 'why it has to be'")),
            text if text.len() > MAX_NOTE => {
                Err(Error::usage(format!("a reason has at most {MAX_NOTE} bytes, and this one has {}", text.len())))
            }
            text => Ok(Reason(text.to_owned())),
        }
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The operation that logs it.
    pub fn operation(&self) -> Operation {
        Operation::Reason { text: self.0.clone() }
    }
}

/// What sets a tag (`to`) or takes it away (`None`); nothing where it is so already.
pub fn tag_change(owner: &DatasetName, dataset: &Dataset, tag: &RefName, to: Option<Tag>) -> Option<Operation> {
    let now = dataset.tags.get(tag).copied();
    (now != to).then(|| Operation::SetTag {
        dataset: owner.clone(),
        tag: tag.clone(),
        old: now.map(|now| now.version),
        new: to.map(|to| to.version),
        protected: to.is_some_and(|to| to.protected),
    })
}

/// The operations, with the reason for them if there is one.
///
/// Errors: a conflict where they would move, take away or unprotect what may not be without a reason, and none is given.
pub fn guarded(fold: &Fold, mut operations: Vec<Operation>, reason: Option<&Reason>) -> Result<Vec<Operation>> {
    if operations.is_empty() {
        return Ok(operations);
    }
    match reason {
        Some(reason) => operations.push(reason.operation()),
        None => {
            let held = operations.iter().find_map(|operation| what_holds(fold, operation));
            if let Some(why) = held.or_else(|| lost_from_sight(fold, &operations)) {
                return Err(stands(why));
            }
        }
    }
    Ok(operations)
}

/// The error for what needs a reason.
pub fn stands(why: String) -> Error {
    Error::conflict(why).hint("where it has to be: add --force --reason TEXT; the log keeps the reason")
}

/// What stands against one operation, if anything does.
fn what_holds(fold: &Fold, operation: &Operation) -> Option<String> {
    let owner = operation.dataset()?;
    let dataset = fold.datasets.get(owner)?;
    match operation {
        Operation::SetTag { tag, new, protected, .. } => {
            let now = *dataset.tags.get(tag)?;
            let why = holds_tag(dataset, now, new.map(|version| Tag { version, protected: *protected }))?;
            Some(format!("the tag {tag} of {owner} {why}"))
        }
        Operation::DropName { name, version, .. } => dataset
            .is_published(version)
            .then(|| format!("the version {name} of {owner} is published, and keeps its name")),
        Operation::DeleteDataset { .. } | Operation::RenameDataset { .. } => {
            let published = dataset.versions.values().filter(|state| state.published).count();
            let mut protected = dataset.tags.iter().filter(|(_, tag)| tag.protected);
            match (published, protected.next()) {
                (0, None) => None,
                (0, Some((tag, _))) => Some(format!("the tag {tag} of {owner} is protected")),
                (1, _) => Some(format!("a version of {owner} is published")),
                (published, _) => Some(format!("{published} of the versions of {owner} are published")),
            }
        }
        _ => None,
    }
}

/// What stands against moving the tag from where it is, if anything does.
fn holds_tag(dataset: &Dataset, now: Tag, to: Option<Tag>) -> Option<String> {
    match (now.protected, to) {
        (false, _) => None,
        (true, Some(to)) if to.version == now.version => (!to.protected && dataset.is_published(&now.version))
            .then(|| format!("is on the published version {}, so it stays protected", dataset.called(&now.version))),
        (true, _) => Some(format!("is protected, and is at {}", dataset.called(&now.version))),
    }
}

/// A published version that a branch, tag or name leads to, and none would any more.
fn lost_from_sight(fold: &Fold, operations: &[Operation]) -> Option<String> {
    let moved: BTreeSet<&DatasetName> =
        operations.iter().filter(|operation| moved_ref(operation).is_some()).filter_map(Operation::dataset).collect();
    moved.into_iter().find_map(|owner| {
        let dataset = fold.datasets.get(owner)?;
        let published: Vec<Id> =
            dataset.versions.values().filter(|state| state.published).map(|state| state.row.version).collect();
        if published.is_empty() {
            return None;
        }
        let before = refs_of(dataset);
        let mut after = before.clone();
        for (text, new) in operations.iter().filter(|it| it.dataset() == Some(owner)).filter_map(moved_ref) {
            match new {
                Some(id) => after.insert(text, id),
                None => after.remove(text),
            };
        }
        let mut tips: Vec<Id> = after.into_values().collect();
        // A version that these very operations add leads to its parents.
        let of_owner = operations.iter().filter(|operation| operation.dataset() == Some(owner));
        tips.extend(of_owner.filter_map(added_parents).flatten());
        let still = reached(dataset, &tips);
        let lost: Vec<&Id> = published.iter().filter(|id| !still.contains(id)).collect();
        let seen =
            if lost.is_empty() { HashSet::new() } else { reached(dataset, &before.into_values().collect::<Vec<_>>()) };
        let lost = lost.into_iter().find(|id| seen.contains(id))?;
        Some(format!("no branch, tag or name of {owner} would lead to the published version {}", dataset.called(lost)))
    })
}

fn reached(dataset: &Dataset, tips: &[Id]) -> HashSet<Id> {
    ancestry(dataset, tips).iter().map(|state| state.row.version).collect()
}

/// All refs: they share one namespace.
fn refs_of(dataset: &Dataset) -> BTreeMap<&str, Id> {
    let branches = dataset.branches.iter().map(|(branch, id)| (branch.as_str(), *id));
    let names = dataset.names.iter().map(|(name, id)| (name.as_str(), *id));
    branches.chain(names).chain(dataset.tags.iter().map(|(tag, to)| (tag.as_str(), to.version))).collect()
}

/// The ref that an operation moves, and where to.
fn moved_ref(operation: &Operation) -> Option<(&str, Option<Id>)> {
    match operation {
        Operation::SetBranch { branch, new, .. } => Some((branch.as_str(), *new)),
        Operation::SetTag { tag, new, .. } => Some((tag.as_str(), *new)),
        Operation::TakeName { name, version, .. } => Some((name.as_str(), Some(*version))),
        Operation::DropName { name, .. } => Some((name.as_str(), None)),
        _ => None,
    }
}

fn added_parents(operation: &Operation) -> Option<Vec<Id>> {
    match operation {
        Operation::AddVersion { row, .. } => Some(row.parents.clone()),
        _ => None,
    }
}
