//! Where lines of history part. A version's parents may stand in other datasets of the store.

use std::collections::{HashMap, HashSet};

use crate::base::Id;
use crate::tree::merge::Lineage;

use super::fold::Fold;

/// Bases of bases are looked for so many times: histories that criss-cross more often all count as parting there.
const MOST_LEVELS: usize = 8;

/// Whether `ancestor` is `version` or one of its ancestors.
pub fn reaches(fold: &Fold, version: &Id, ancestor: &Id) -> bool {
    ancestors(fold, version).contains(ancestor)
}

/// The common ancestors of two versions (themselves among them) that are no ancestors of another one; by id. Several in criss-cross
/// histories, none where nothing is shared. One may be missing from the store.
pub fn merge_bases(fold: &Fold, a: &Id, b: &Id) -> Vec<Id> {
    best(fold, &ancestors(fold, a), &ancestors(fold, b))
}

/// For each of `heads`, which differ, whether another one has it among its ancestors, so that it adds nothing.
pub fn outrun(fold: &Fold, heads: &[Id]) -> Vec<bool> {
    let reached: Vec<HashSet<Id>> = heads.iter().map(|head| ancestors(fold, head)).collect();
    let by_another =
        |head: &Id| heads.iter().zip(&reached).any(|(other, reached)| other != head && reached.contains(head));
    heads.iter().map(by_another).collect()
}

/// The versions that a merge of `heads` is about, and how they descend from each other.
pub fn lineage(fold: &Fold, heads: &[Id]) -> (Vec<Id>, Lineage) {
    let mut versions = heads.to_vec();
    let mut numbers: HashMap<Id, usize> = heads.iter().enumerate().map(|(number, id)| (*id, number)).collect();
    let mut lineage = Lineage { heads: heads.len(), near: 0, bases: HashMap::new() };
    let mut groups: Vec<Vec<usize>> = vec![(0..heads.len()).collect()];
    for level in 0..=MOST_LEVELS {
        let mut next = Vec::new();
        for group in std::mem::take(&mut groups) {
            let reached: Vec<HashSet<Id>> = group.iter().map(|number| ancestors(fold, &versions[*number])).collect();
            for a in 0..group.len() {
                for b in a + 1..group.len() {
                    let pair = (group[a].min(group[b]), group[a].max(group[b]));
                    if lineage.bases.contains_key(&pair) {
                        continue;
                    }
                    let bases = best(fold, &reached[a], &reached[b]).into_iter().map(|id| {
                        *numbers.entry(id).or_insert_with(|| {
                            versions.push(id);
                            versions.len() - 1
                        })
                    });
                    let bases: Vec<usize> = bases.collect();
                    if bases.len() > 1 {
                        next.push(bases.clone());
                    }
                    lineage.bases.insert(pair, bases);
                }
            }
        }
        if level == 0 {
            lineage.near = versions.len();
        }
        groups = next;
    }
    (versions, lineage)
}

/// What both reach and nothing else that both reach has for a parent: with a version all of its ancestors are common, so that one which
/// is an ancestor of another is the parent of some.
fn best(fold: &Fold, a: &HashSet<Id>, b: &HashSet<Id>) -> Vec<Id> {
    let common: HashSet<&Id> = a.intersection(b).collect();
    let inner: HashSet<&Id> = common.iter().flat_map(|id| parents(fold, id)).collect();
    let mut best: Vec<Id> = common.difference(&inner).map(|id| **id).collect();
    best.sort_unstable();
    best
}

fn ancestors(fold: &Fold, version: &Id) -> HashSet<Id> {
    let mut seen = HashSet::from([*version]);
    let mut open = vec![*version];
    while let Some(id) = open.pop() {
        open.extend(parents(fold, &id).iter().filter(|parent| seen.insert(**parent)));
    }
    seen
}

fn parents<'f>(fold: &'f Fold, id: &Id) -> &'f [Id] {
    fold.version(id).map(|state| state.row.parents.as_slice()).unwrap_or_default()
}

#[cfg(test)]
#[path = "bases_tests.rs"]
mod tests;
