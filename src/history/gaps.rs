//! Where a store doesn't tell what two versions have in common, since it lacks parents of theirs: those are in another store, or were of
//! a dataset that was deleted.
//!
//! Nothing is known of where a missing version came from. What both sides lead to is an ancestor of both, missing or not. But where each
//! side leads to missing versions that the other doesn't lead to, one of these may well be the other's ancestor. Where only one side does,
//! nothing that is missing can be an ancestor of both.

use std::collections::{HashMap, HashSet};

use crate::base::Id;

use super::bases::{Graph, Node, Region};

/// A missing version that hides what a merge has to know, and one that was made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub parent: Id,
    pub child: Id,
}

impl Graph<'_> {
    /// A missing version that is, or could be, a common ancestor on which the merge of `regions` depends.
    pub fn gap(&self, regions: &[Region]) -> Option<Gap> {
        let nodes = regions.iter().flat_map(|region| region.nodes.iter().flatten());
        let missing = self.missing(nodes.map(|node| node.version));
        if missing.is_empty() {
            return None;
        }
        let pairs = regions.iter().flat_map(|region| {
            let pairs = region.lineage.bases.keys();
            pairs.filter_map(|(a, b)| Some((region.nodes[*a].as_ref()?, region.nodes[*b].as_ref()?)))
        });
        let hidden = pairs.filter_map(|(a, b)| self.hides(a, b, &missing)).min()?;
        Some(Gap { parent: hidden, child: missing[&hidden] })
    }

    /// A missing version that one of two heads alone came from, where none hides anything: what the two have in common is known, but not all
    /// that went into that head.
    pub fn one_sided(&self, regions: &[Region]) -> Option<Gap> {
        let nodes = regions.iter().flat_map(|region| region.nodes.iter().flatten());
        let missing = self.missing(nodes.map(|node| node.version));
        let pairs = regions.iter().filter(|_| !missing.is_empty()).flat_map(|region| {
            let heads = region.lineage.bases.keys().filter(|(_, b)| *b < region.lineage.heads);
            heads.filter_map(|(a, b)| Some((region.nodes[*a].as_ref()?, region.nodes[*b].as_ref()?)))
        });
        let differ = |(a, b): (&Node, &Node)| {
            let (of_a, of_b) = (self.ancestors(a), self.ancestors(b));
            of_a.symmetric_difference(&of_b).map(|node| node.version).filter(|id| missing.contains_key(id)).min()
        };
        let parent = pairs.filter_map(differ).min()?;
        Some(Gap { parent, child: missing[&parent] })
    }

    fn hides(&self, a: &Node, b: &Node, missing: &HashMap<Id, Id>) -> Option<Id> {
        let (of_a, of_b) = (self.ancestors(a), self.ancestors(b));
        let is_missing = |node: &&Node| missing.contains_key(&node.version);
        let apart =
            |these: &HashSet<Node>, those| these.difference(those).filter(is_missing).min().map(|it| it.version);
        let common = self.best(&of_a, &of_b);
        let known = common.iter().find(|node| missing.contains_key(&node.version)).map(|node| node.version);
        known.or_else(|| apart(&of_a, &of_b).zip(apart(&of_b, &of_a)).map(|(hidden, _)| hidden))
    }

    /// The versions that these came from and the store lacks, each with one that was made from it.
    fn missing(&self, versions: impl Iterator<Item = Id>) -> HashMap<Id, Id> {
        let mut missing = HashMap::new();
        let mut open: Vec<Id> = versions.collect();
        let mut seen: HashSet<Id> = open.iter().copied().collect();
        while let Some(state) = open.pop().map(|id| self.fold.version(&id)) {
            let Some(state) = state else { continue };
            for parent in &state.row.parents {
                if self.fold.version(parent).is_none() {
                    let child = missing.entry(*parent).or_insert(state.row.version);
                    *child = (*child).min(state.row.version);
                }
                if seen.insert(*parent) {
                    open.push(*parent);
                }
            }
        }
        missing
    }
}
