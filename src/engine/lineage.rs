//! `lineage`: what a version was made from, what was made from it, and who used these.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::base::{Error, Id, RefName, Result, Time};
use crate::history::fold::{Fold, LetGo, VersionState};
use crate::store::uses::Wanted;

use super::refs::{GoneParent, gone};
use super::uses::{UseCard, card};
use super::{Address, Engine};

/// No more versions are drawn, and no more uses read.
const MOST_VERSIONS: usize = 1_000;
const MOST_USES: usize = 200;

/// A version of a lineage.
#[derive(Debug, Clone)]
pub struct LineageVersion {
    pub version: Id,
    /// A dataset that has it: the address's, where that does.
    pub dataset: String,
    pub name: Option<RefName>,
    pub time: Time,
    /// Steps from the address's version: below 0 of what it was made from.
    pub distance: i64,
    /// Whether it has more neighbours on its side than are shown.
    pub is_cut: bool,
    /// Keep rules let its content go.
    pub let_go: Option<LetGo>,
    /// Parents that no dataset of the store has; of the version and of what it was made from.
    pub gone_parents: Vec<GoneParent>,
}

/// That one version was made from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageEdge {
    pub parent: Id,
    pub child: Id,
    /// What the parent is there as; empty for an ordinary one.
    pub role: String,
}

/// What a version came from and what came of it.
#[derive(Debug)]
pub struct Lineage {
    pub version: Id,
    /// In the order of their distance.
    pub versions: Vec<LineageVersion>,
    pub edges: Vec<LineageEdge>,
    /// Of the version and of what was made from it, newest first.
    pub uses: Vec<UseCard>,
    /// Older uses that were not read.
    pub left_out: usize,
    /// What is wrong with those that are damaged, and so aren't among `uses`.
    pub damaged: Vec<Error>,
}

/// A walk from one version in one direction.
struct Walk<'a> {
    fold: &'a Fold,
    seen: HashMap<Id, i64>,
    cut: HashSet<Id>,
    room: usize,
}

impl Engine {
    /// The lineage of the address's version, `depth` steps to each side, over all datasets of the store.
    pub fn lineage(&self, address: &Address, depth: u32) -> Result<Lineage> {
        super::refs::whole_versions_only(address)?;
        let target = self.open_target(address)?;
        let fold = target.store.timeline.fold();
        let version = target.version()?.row.version;
        let children = children(fold);
        let parents_of = |id: &Id| fold.version(id).map(|state| state.row.parents.clone()).unwrap_or_default();
        let children_of = |id: &Id| children.get(id).cloned().unwrap_or_default();
        let mut walk = Walk { fold, seen: HashMap::from([(version, 0)]), cut: HashSet::new(), room: MOST_VERSIONS };
        walk.go(version, depth, -1, parents_of);
        walk.go(version, depth, 1, children_of);
        let Walk { seen, cut, .. } = walk;

        let mut order: Vec<(i64, Id)> = seen.iter().map(|(id, distance)| (*distance, *id)).collect();
        order.sort_unstable();
        let states: Vec<&VersionState> = order.iter().filter_map(|(_, id)| fold.version(id)).collect();
        let records = self.version_records(&target.store, &states)?;
        let mut edges = Vec::new();
        for (state, record) in states.iter().zip(records) {
            let drawn = record.parents.into_iter().filter(|parent| seen.contains_key(&parent.id));
            edges.extend(drawn.map(|parent| LineageEdge {
                parent: parent.id,
                child: state.row.version,
                role: parent.role,
            }));
        }
        let from_here: Vec<Id> = order.iter().filter(|(distance, _)| *distance >= 0).map(|(_, id)| *id).collect();
        let wanted = Wanted { versions: &from_here, run: None, model: None, most: MOST_USES };
        let found = self.find_uses(&target.store, &wanted)?;
        let shown = |(state, (distance, id)): (&&VersionState, &(i64, Id))| {
            let own = fold.datasets.get(&target.dataset).filter(|dataset| dataset.versions.contains_key(id));
            let others = || fold.datasets.iter().find(|(_, dataset)| dataset.versions.contains_key(id));
            let (dataset, known) = own.map(|dataset| (&target.dataset, dataset)).or_else(others).unzip();
            LineageVersion {
                version: *id,
                dataset: dataset.map(ToString::to_string).unwrap_or_default(),
                name: known.and_then(|known| known.name_of(id)).cloned(),
                time: state.row.time,
                distance: *distance,
                is_cut: cut.contains(id),
                let_go: fold.let_go.get(id).copied(),
                gone_parents: if *distance <= 0 { gone(fold, &state.row.parents) } else { Vec::new() },
            }
        };
        Ok(Lineage {
            version,
            versions: states.iter().zip(&order).map(shown).collect(),
            edges,
            uses: found.uses.into_iter().map(|used| card(fold, used)).collect(),
            left_out: found.left_out,
            damaged: found.damaged,
        })
    }
}

impl Walk<'_> {
    /// Goes from neighbours to their neighbours; a version that was reached already keeps its place.
    fn go(&mut self, from: Id, depth: u32, step: i64, next: impl Fn(&Id) -> Vec<Id>) {
        let mut rim = vec![from];
        for distance in 1..=i64::from(depth) + 1 {
            let mut reached = Vec::new();
            for id in std::mem::take(&mut rim) {
                for other in next(&id).into_iter().filter(|other| self.fold.version(other).is_some()) {
                    if self.seen.contains_key(&other) {
                        continue;
                    }
                    if distance > i64::from(depth) || self.room == 0 {
                        self.cut.insert(id);
                        continue;
                    }
                    self.room -= 1;
                    self.seen.insert(other, distance * step);
                    reached.push(other);
                }
            }
            if reached.is_empty() {
                return;
            }
            rim = reached;
        }
    }
}

/// The versions that were made from each, in the order of their ids.
fn children(fold: &Fold) -> BTreeMap<Id, Vec<Id>> {
    let mut children: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
    for (id, state) in fold.datasets.values().flat_map(|dataset| &dataset.versions) {
        for parent in &state.row.parents {
            let known = children.entry(*parent).or_default();
            if !known.contains(id) {
                known.push(*id);
            }
        }
    }
    children
}
