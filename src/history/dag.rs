//! Questions about the DAG of versions of one dataset, answered from the fold.

use std::collections::{BinaryHeap, HashSet};

use crate::base::Id;

use super::fold::{Dataset, VersionState};

/// A version and its ancestors, each once, newest first and never a parent before its child.
pub fn ancestry<'a>(dataset: &'a Dataset, from: &[Id]) -> Vec<&'a VersionState> {
    // Records are appended in order and a version's parents must exist, so that the record number sorts topologically.
    let mut seen: HashSet<Id> = from.iter().copied().collect();
    let mut open: BinaryHeap<(u64, i64, Id)> = BinaryHeap::new();
    let enter = |id: &Id, open: &mut BinaryHeap<(u64, i64, Id)>| {
        if let Some(state) = dataset.versions.get(id) {
            open.push((state.record, state.row.time.0, *id));
        }
    };
    seen.iter().for_each(|id| enter(id, &mut open));
    let mut order = Vec::new();
    while let Some((_, _, id)) = open.pop() {
        let state = &dataset.versions[&id];
        order.push(state);
        for parent in &state.row.parents {
            if seen.insert(*parent) {
                enter(parent, &mut open);
            }
        }
    }
    order
}

/// Whether `ancestor` is `version` or one of its ancestors.
pub fn is_ancestor(dataset: &Dataset, ancestor: &Id, version: &Id) -> bool {
    let mut seen = HashSet::from([*version]);
    let mut open = vec![*version];
    while let Some(id) = open.pop() {
        if id == *ancestor {
            return true;
        }
        let parents = dataset.versions.get(&id).map(|state| state.row.parents.as_slice()).unwrap_or_default();
        open.extend(parents.iter().filter(|parent| seen.insert(**parent)));
    }
    false
}
