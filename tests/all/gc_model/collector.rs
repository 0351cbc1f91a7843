//! A collector of the model: marks, condemns, writes sparse packs anew, reclaims, deletes.

use std::collections::{BTreeMap, BTreeSet};

use dagset::base::{Id, ObjectName};
use dagset::format::operation::{Operation, Things};
use dagset::history::fold::refs_of;

use super::Broken;
use super::purger::Plan;
use super::world::{BASED, INDEX, KEPT, META, WANTED, World, dataset, holds, index_row, name};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Collector {
    Begins,
    /// Has stored new indexes. `old` is what the store's clock calls old: with no grace, all that there was.
    Replaces {
        old: u64,
        things: Vec<ObjectName>,
        versions: Vec<Id>,
        /// Versions whose content goes.
        contents: Vec<Id>,
        removed: Vec<ObjectName>,
        added: Vec<ObjectName>,
    },
    /// Has found what is dead.
    Condemns {
        old: u64,
        mark: u64,
        versions: Vec<Id>,
        packs: Vec<ObjectName>,
    },
    /// Has found whose content the keep rules let go.
    CondemnsContents {
        old: u64,
        mark: u64,
        versions: Vec<Id>,
    },
    /// Has stored what is needed of sparse packs, and an index of that.
    Rewrites {
        old: u64,
        mark: u64,
        sparse: Vec<ObjectName>,
        index: ObjectName,
    },
    /// Purges, and has stored what stays.
    Expels(Plan),
    Lists,
    Deletes(Vec<ObjectName>),
}

impl World {
    /// The next step of a collector; false if it has none.
    pub fn collect(&mut self, who: u8) -> bool {
        let (collector, run) = self.collectors[usize::from(who)].clone();
        let broken = self.scene.broken;
        let mark_of = |world: &World, mark: u64| if broken == Broken::Mark { world.fold.number } else { mark };
        let mut ended = false;
        let next = match collector {
            Collector::Begins if run == self.scene.runs[usize::from(who)] => return false,
            Collector::Begins if who == 1 && self.scene.purges => self.plan_purge(None),
            Collector::Begins => self.mark(who, run, self.fold.number),
            Collector::Replaces { old, things, versions, contents, removed, added } => {
                let operations = vec![
                    Operation::VoidBefore { born: old },
                    Operation::LetGo { versions: contents },
                    Operation::Reclaim(Things { versions, packs: things }),
                    Operation::ReplaceIndexes { removed, added: added.into_iter().map(index_row).collect() },
                ];
                match self.append(operations) {
                    true => Collector::Lists,
                    false => self.reclaim(who, run, old),
                }
            }
            Collector::Condemns { old, mark, versions, packs } => {
                let mark = mark_of(self, mark);
                match self.append(vec![Operation::Condemn { mark, things: Things { versions, packs } }]) {
                    true => self.rewrite(who, run, old),
                    false => self.mark(who, run, old),
                }
            }
            Collector::CondemnsContents { old, mark, versions } => {
                let mark = mark_of(self, mark);
                self.append(vec![Operation::CondemnContents { mark, versions }]);
                self.mark(who, run, old)
            }
            Collector::Rewrites { old, mark, sparse, index } => {
                let things = Things { versions: Vec::new(), packs: sparse };
                let mut operations = vec![Operation::Condemn { mark: mark_of(self, mark), things }];
                if broken != Broken::Register {
                    operations.insert(0, Operation::Register { indexes: vec![index_row(index)] });
                }
                match self.append(operations) {
                    true => self.reclaim(who, run, old),
                    false => self.mark(who, run, old),
                }
            }
            Collector::Expels(plan) => self.expel(plan),
            Collector::Lists => {
                let registered = self.registered();
                let void = |name: &&ObjectName| self.fold.is_void(name.born);
                let packs = self.packs.iter().filter(|name| !registered.contains(name)).filter(void);
                let indexes = self.indexes.keys().filter(|name| !self.fold.indexes.contains_key(name)).filter(void);
                Collector::Deletes(packs.chain(indexes).copied().collect())
            }
            // At once: who is killed half way harms less, and the next one lists what is left.
            Collector::Deletes(names) => {
                self.packs.retain(|name| !names.contains(name));
                self.indexes.retain(|name, _| !names.contains(name));
                ended = true;
                Collector::Begins
            }
        };
        self.collectors[usize::from(who)] = (next, run + u8::from(ended));
        true
    }

    fn mark(&mut self, who: u8, run: u8, old: u64) -> Collector {
        let (versions, packs) = self.dead(old);
        let mut going = self.bare();
        going.retain(|id| self.fold.lasts(id) && !versions.contains(id));
        if !going.is_empty() {
            let versions = going.into_iter().collect();
            return Collector::CondemnsContents { old, mark: self.fold.number, versions };
        }
        let is_settled = versions.is_empty() && packs.is_empty();
        match is_settled || self.scene.broken == Broken::Settle && !self.sparse(old).is_empty() {
            true => self.rewrite(who, run, old),
            false => Collector::Condemns { old, mark: self.fold.number, versions, packs },
        }
    }

    /// Stores what is needed of packs that hold more than that.
    fn rewrite(&mut self, who: u8, run: u8, old: u64) -> Collector {
        let sparse = self.sparse(old);
        if sparse.is_empty() {
            return self.reclaim(who, run, old);
        }
        let mark = self.fold.number;
        let new: BTreeSet<ObjectName> = sparse.values().map(|needed| name(mark, 20 + who, run, *needed)).collect();
        let index = name(mark, 20 + who, run, INDEX);
        self.packs.extend(&new);
        self.indexes.insert(index, new);
        Collector::Rewrites { old, mark, sparse: sparse.into_keys().collect(), index }
    }

    fn reclaim(&mut self, who: u8, run: u8, old: u64) -> Collector {
        let (things, mut contents) = (self.fold.condemned.up_to(old), self.fold.condemned.contents_up_to(old));
        if things == Things::default() && contents.is_empty() {
            return Collector::Lists;
        }
        contents.retain(|id| !things.versions.contains(id));
        let (removed, added) = self.without(&things.packs, 10 + who, run);
        Collector::Replaces { old, things: things.packs, versions: things.versions, contents, removed, added }
    }

    /// Stores indexes without the packs that go: those that name any, and what is in their place.
    pub fn without(&mut self, gone: &[ObjectName], who: u8, run: u8) -> (Vec<ObjectName>, Vec<ObjectName>) {
        let gone: BTreeSet<ObjectName> = gone.iter().copied().collect();
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (number, index) in self.fold.indexes.keys().enumerate() {
            let Some(packs) = self.indexes.get(index).filter(|packs| !packs.is_disjoint(&gone)).cloned() else {
                continue;
            };
            removed.push(*index);
            let left: BTreeSet<ObjectName> = packs.difference(&gone).copied().collect();
            if !left.is_empty() {
                let new = name(self.fold.number, who, run, number as u8);
                self.indexes.insert(new, left);
                added.push(new);
            }
        }
        (removed, added)
    }

    /// Versions that refs lead to.
    fn live(&self) -> BTreeSet<Id> {
        let set = &self.fold.datasets[&dataset()];
        let mut live = BTreeSet::new();
        let mut open: Vec<Id> = refs_of(set).copied().collect();
        while let Some(id) = open.pop() {
            if live.insert(id) {
                open.extend(&set.versions[&id].row.parents);
            }
        }
        live
    }

    /// Versions that stay and whose content doesn't.
    fn bare(&self) -> BTreeSet<Id> {
        let set = &self.fold.datasets[&dataset()];
        let heads: BTreeSet<&Id> = set.branches.values().collect();
        let goes = |id: &&Id| self.fold.let_go.contains_key(id) || self.scene.keeps && !heads.contains(id);
        set.versions.keys().filter(goes).copied().collect()
    }

    /// The packs that live versions need, and what of each.
    pub fn kept_packs(&self) -> BTreeMap<ObjectName, u8> {
        let set = &self.fold.datasets[&dataset()];
        let (live, bare) = (self.live(), self.bare());
        let mut kept: BTreeMap<ObjectName, u8> =
            live.iter().map(|id| (set.versions[id].row.version_place.frame.pack, META)).collect();
        let needed = live.difference(&bare).fold(0, |needed, id| needed | self.needs(id));
        let copies = |forms: u8| self.registered().into_iter().filter(move |pack| holds(pack) & forms != 0);
        let mut needed: Vec<u8> = [(KEPT, KEPT | BASED), (WANTED, WANTED)]
            .into_iter()
            .filter_map(|(chunk, forms)| (needed & chunk != 0).then_some(forms))
            .collect();
        // What lies in one pack only decides for the rest.
        needed.sort_by_key(|forms| copies(*forms).count() > 1);
        let mut keep_one = |forms: u8| {
            let rank =
                |pack: &ObjectName| (self.fold.condemned.packs.contains_key(pack), !kept.contains_key(pack), *pack);
            if let Some(pack) = copies(forms).min_by_key(rank) {
                *kept.entry(pack).or_default() |= holds(&pack) & forms;
            }
            kept.keys().any(|pack| holds(pack) & BASED != 0)
        };
        let needs_base = needed.into_iter().fold(false, |_, forms| keep_one(forms));
        if needs_base {
            keep_one(WANTED);
        }
        kept
    }

    /// What no live version needs.
    fn dead(&self, old: u64) -> (Vec<Id>, Vec<ObjectName>) {
        let (live, kept) = (self.live(), self.kept_packs());
        let condemned = &self.fold.condemned;
        let is_dead = |id: &&Id| !live.contains(id) && !condemned.versions.contains_key(id);
        let versions: BTreeSet<Id> = self.fold.datasets[&dataset()].versions.keys().filter(is_dead).copied().collect();
        let packs = self
            .registered()
            .into_iter()
            .filter(|pack| pack.born < old && !kept.contains_key(pack) && !condemned.packs.contains_key(pack));
        (versions.into_iter().collect(), packs.collect())
    }

    /// The packs that stay and hold more than is needed, and what is.
    fn sparse(&self, old: u64) -> BTreeMap<ObjectName, u8> {
        let mut sparse = self.kept_packs();
        let is_condemned = |pack: &ObjectName| self.fold.condemned.packs.contains_key(pack);
        sparse.retain(|pack, needed| pack.born < old && !is_condemned(pack) && *needed != holds(pack));
        sparse
    }
}
