//! Where lines of history part. A version's parents may stand in other datasets of the store, and be there as a part only.
//!
//! What is asked of a history is asked of a folder: a [`Node`] is a version's folder, and its parents are those of the version, each with
//! the folder that this one is there. So a part counts as history below the folder that it was put in, and nowhere else.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::base::Id;
use crate::tree::merge::Lineage;
use crate::tree::part::Part;

use super::fold::Fold;

/// Bases of bases are looked for so many times: histories that criss-cross more often all count as parting there.
const MOST_LEVELS: usize = 8;

/// The parents of which a part was taken: by the merge and the parent.
pub type Parts = HashMap<(Id, Id), Part>;

/// A folder of a version (`""`, or it ends with a slash).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    pub version: Id,
    pub folder: String,
}

/// What descends from what in a store, as far as parts are known.
pub struct Graph<'f> {
    pub fold: &'f Fold,
    pub parts: &'f Parts,
}

/// A folder of the outcome of a merge, and how what the heads have there descends from each other. What is said of it isn't said of the
/// folders in it that are regions themselves.
#[derive(Debug, PartialEq)]
pub struct Region {
    pub folder: String,
    /// The lineage's versions, and their folder that this one is; `None` for heads that say nothing here.
    pub nodes: Vec<Option<Node>>,
    pub lineage: Lineage,
}

/// Whether `ancestor` is `version` or one of its ancestors, perhaps as a part.
pub fn reaches(fold: &Fold, version: &Id, ancestor: &Id) -> bool {
    let mut seen = HashSet::from([*version]);
    let mut open = vec![*version];
    while let Some(id) = open.pop() {
        let Some(state) = fold.version(&id) else { continue };
        open.extend(state.row.parents.iter().filter(|parent| seen.insert(**parent)));
    }
    seen.contains(ancestor)
}

impl Graph<'_> {
    /// The common ancestors of two nodes (themselves among them) that are no ancestors of another one; in order. Several in criss-cross
    /// histories, none where nothing is shared. One may be missing from the store.
    pub fn merge_bases(&self, a: &Node, b: &Node) -> Vec<Node> {
        self.best(&self.ancestors(a), &self.ancestors(b))
    }

    /// For each of `heads`, which differ, whether another one has all of it among its ancestors, so that it adds nothing.
    pub fn outrun(&self, heads: &[(Id, Part)]) -> Vec<bool> {
        let mut reached: HashMap<Node, HashSet<Node>> = HashMap::new();
        let by_another = |head: &(Id, Part)| {
            let node = Node { version: head.0, folder: head.1.from().to_owned() };
            let others = heads.iter().filter(|other| *other != head);
            let mut others = others.filter_map(|(version, part)| node_at(*version, part, head.1.to()));
            others.any(|other| reached.entry(other).or_insert_with_key(|other| self.ancestors(other)).contains(&node))
        };
        heads.iter().map(by_another).collect()
    }

    /// The regions of a merge of `heads`, of which the first is whole: by folder, the root first. They leave out what the store lacks; see
    /// [`Graph::gap`].
    pub fn regions(&self, heads: &[(Id, Part)]) -> Vec<Region> {
        let mut regions: Vec<Region> = Vec::new();
        for folder in self.folders(heads) {
            let nodes = heads.iter().map(|(version, part)| node_at(*version, part, &folder)).collect();
            let (nodes, lineage) = self.lineage(nodes);
            let around = regions.iter().rev().find(|around| folder.starts_with(&around.folder));
            if !around.is_some_and(|around| around.lineage == lineage && around.nodes_at(&folder) == nodes) {
                regions.push(Region { folder, nodes, lineage });
            }
        }
        regions
    }

    /// The folders at which parts stand that the heads or their ancestors took.
    fn folders(&self, heads: &[(Id, Part)]) -> BTreeSet<String> {
        let mut folders: BTreeSet<String> = heads.iter().map(|(_, part)| part.to().to_owned()).collect();
        let mut open = heads.to_vec();
        let mut seen: HashSet<(Id, Part)> = heads.iter().cloned().collect();
        while let Some((version, part)) = open.pop().filter(|_| !self.parts.is_empty()) {
            let Some(state) = self.fold.version(&version) else { continue };
            for parent in &state.row.parents {
                let taken = self.parts.get(&(version, *parent));
                let Some(seen_as) = taken.map_or(Some(part.clone()), |taken| taken.through(&part)) else { continue };
                folders.insert(seen_as.to().to_owned());
                let next = (*parent, seen_as);
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        folders
    }

    /// The nodes that a merge of `heads` is about, and how they descend from each other.
    fn lineage(&self, heads: Vec<Option<Node>>) -> (Vec<Option<Node>>, Lineage) {
        let speaking = |number: &usize| heads[*number].is_some();
        let (speak, silent): (Vec<usize>, Vec<usize>) = (0..heads.len()).partition(speaking);
        let mut lineage = Lineage { heads: heads.len(), near: 0, bases: HashMap::new(), silent };
        let mut nodes = heads;
        let known = |(number, node): (usize, &Option<Node>)| Some((node.clone()?, number));
        let mut numbers: HashMap<Node, usize> = nodes.iter().enumerate().filter_map(known).collect();
        let mut groups: Vec<Vec<usize>> = vec![speak];
        for level in 0..=MOST_LEVELS {
            let mut next = Vec::new();
            for group in std::mem::take(&mut groups) {
                let reached: Vec<HashSet<Node>> = group
                    .iter()
                    .filter_map(|number| nodes[*number].as_ref())
                    .map(|node| self.ancestors(node))
                    .collect();
                for a in 0..group.len() {
                    for b in a + 1..group.len() {
                        let pair = (group[a].min(group[b]), group[a].max(group[b]));
                        if lineage.bases.contains_key(&pair) {
                            continue;
                        }
                        let best = self.best(&reached[a], &reached[b]).into_iter();
                        let known = best.filter(|node| self.fold.version(&node.version).is_some());
                        let bases = known.map(|node| {
                            *numbers.entry(node).or_insert_with_key(|node| {
                                nodes.push(Some(node.clone()));
                                nodes.len() - 1
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
                lineage.near = nodes.len();
            }
            groups = next;
        }
        (nodes, lineage)
    }

    /// What both reach and nothing else that both reach has for a parent: with a node all of its ancestors are common, so that one which
    /// is an ancestor of another is the parent of some.
    pub(super) fn best(&self, a: &HashSet<Node>, b: &HashSet<Node>) -> Vec<Node> {
        let common: HashSet<&Node> = a.intersection(b).collect();
        let inner: HashSet<Node> = common.iter().flat_map(|node| self.parents(node)).collect();
        let mut best: Vec<Node> = common.into_iter().filter(|node| !inner.contains(node)).cloned().collect();
        best.sort_unstable();
        best
    }

    pub(super) fn ancestors(&self, node: &Node) -> HashSet<Node> {
        let mut seen = HashSet::from([node.clone()]);
        let mut open = vec![node.clone()];
        while let Some(node) = open.pop() {
            open.extend(self.parents(&node).filter(|parent| seen.insert(parent.clone())));
        }
        seen
    }

    fn parents(&self, node: &Node) -> impl Iterator<Item = Node> {
        let state = self.fold.version(&node.version);
        let parents = state.map(|state| state.row.parents.as_slice()).unwrap_or_default();
        parents.iter().filter_map(|parent| match self.parts.get(&(node.version, *parent)) {
            None => Some(Node { version: *parent, folder: node.folder.clone() }),
            Some(part) => node_at(*parent, part, &node.folder),
        })
    }
}

impl Region {
    /// The nodes as they are for a folder in this one.
    fn nodes_at(&self, folder: &str) -> Vec<Option<Node>> {
        let below = &folder[self.folder.len()..];
        let within = |node: &Node| Node { folder: format!("{}{below}", node.folder), ..node.clone() };
        self.nodes.iter().map(|node| node.as_ref().map(within)).collect()
    }
}

/// What a part of a version has at a folder.
fn node_at(version: Id, part: &Part, folder: &str) -> Option<Node> {
    Some(Node { version, folder: part.source(folder)? })
}

#[cfg(test)]
#[path = "bases_tests.rs"]
mod tests;
