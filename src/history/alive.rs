//! Which versions are alive: what refs point at, or pointed at within the grace period, and all ancestors of that.
//!
//! Pure: from the fold and the records of the grace period.

use std::collections::{HashMap, HashSet};

use crate::base::{DatasetName, Id};
use crate::format::operation::{Operation, VersionRow};
use crate::format::record::RecordCore;

use super::fold::{Fold, refs_of};

/// What a collector looks at.
#[derive(Debug, Clone, Copy)]
pub struct Grace<'r> {
    /// The newest record that is older than the grace period; 0 if none is.
    pub old: u64,
    /// All records behind that one.
    pub young: &'r [RecordCore],
    /// Versions that somebody works on, whatever refs say.
    pub kept: &'r [Id],
}

/// All versions of a fold, in datasets and set aside, by id.
pub fn all_versions(fold: &Fold) -> HashMap<Id, &VersionRow> {
    let datasets = fold.deleted.values().chain(fold.datasets.values());
    datasets.flat_map(|dataset| dataset.versions.iter().map(|(id, state)| (*id, &state.row))).collect()
}

/// The versions that stay. With `only`, all that are in any other dataset stay too.
pub fn live_versions(fold: &Fold, grace: Grace<'_>, only: Option<&DatasetName>) -> HashSet<Id> {
    let mut roots: Vec<Id> = grace.kept.to_vec();
    let is_meant = |name: &DatasetName| only.is_none_or(|only| only == name);
    for (name, dataset) in &fold.datasets {
        roots.extend(refs_of(dataset));
        // A push adds versions before the refs that lead to them.
        let stays = |record: u64| record > grace.old || !is_meant(name);
        roots.extend(dataset.versions.iter().filter(|(_, state)| stays(state.record)).map(|(id, _)| *id));
    }
    let stays = |(record, name): &(u64, DatasetName)| *record > grace.old || !is_meant(name);
    let set_aside = fold.deleted.iter().filter(|(key, _)| stays(key));
    roots.extend(set_aside.flat_map(|(_, dataset)| dataset.versions.keys()));
    roots.extend(grace.young.iter().flat_map(|core| &core.operations).filter_map(left));
    let known = all_versions(fold);
    let mut live = HashSet::new();
    while let Some(id) = roots.pop() {
        if let Some(row) = known.get(&id).filter(|_| live.insert(id)) {
            roots.extend(&row.parents);
        }
    }
    live
}

/// The version that a ref pointed at before an operation.
pub(super) fn left(operation: &Operation) -> Option<Id> {
    match operation {
        Operation::SetBranch { old, .. } | Operation::SetTag { old, .. } => *old,
        Operation::DropName { version, .. } => Some(*version),
        _ => None,
    }
}
