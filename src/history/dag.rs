//! Questions about the DAG of versions of one dataset, answered from the fold.

use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::base::Id;

use super::fold::{Dataset, VersionState};

/// A version and its ancestors, each once, newest first and never a parent before its child.
pub fn ancestry<'a>(dataset: &'a Dataset, from: &[Id]) -> Vec<&'a VersionState> {
    ancestry_in(|id| dataset.versions.get(id), from)
}

/// As [`ancestry`], among all versions that `known` finds.
pub fn ancestry_in<'a>(known: impl Fn(&Id) -> Option<&'a VersionState>, from: &[Id]) -> Vec<&'a VersionState> {
    let children = count_children(&known, from);
    // Record numbers alone wouldn't do: one record can add a version and its parent, and a parent can come later.
    let mut waits_for = children.clone();
    let mut open: BinaryHeap<(u64, i64, Id)> = BinaryHeap::new();
    let enter = |id: &Id, open: &mut BinaryHeap<(u64, i64, Id)>| {
        if let Some(state) = known(id) {
            open.push((state.record, state.row.time.0, *id));
        }
    };
    children.iter().filter(|(_, count)| **count == 0).for_each(|(id, _)| enter(id, &mut open));
    let mut order = Vec::new();
    while let Some((_, _, id)) = open.pop() {
        let Some(state) = known(&id) else { continue };
        order.push(state);
        for parent in &state.row.parents {
            let count = waits_for.entry(*parent).or_default();
            *count -= 1;
            if *count == 0 {
                enter(parent, &mut open);
            }
        }
    }
    order
}

/// Every version that is reached from `from`, with the number of its children that are.
fn count_children<'a>(known: impl Fn(&Id) -> Option<&'a VersionState>, from: &[Id]) -> HashMap<Id, usize> {
    let mut children: HashMap<Id, usize> = from.iter().map(|id| (*id, 0)).collect();
    let mut open: Vec<Id> = children.keys().copied().collect();
    while let Some(id) = open.pop() {
        for parent in known(&id).map(|state| state.row.parents.as_slice()).unwrap_or_default() {
            *children.entry(*parent).or_insert_with(|| {
                open.push(*parent);
                0
            }) += 1;
        }
    }
    children
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

#[cfg(test)]
#[path = "dag_tests.rs"]
mod tests;
