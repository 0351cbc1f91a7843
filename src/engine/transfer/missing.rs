//! The versions that one store lacks of another's, and the operations that add them there.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::base::{DatasetName, Id, Result};
use crate::flow::carry::Carrier;
use crate::flow::registrar::Register;
use crate::flow::said::Said;
use crate::format::operation::{IndexRow, Operation, Things, VersionRow};
use crate::history::dag::ancestry;
use crate::history::fold::{Dataset, Fold};

/// Versions that the other side lacks, and what is said of all.
pub(in crate::engine) struct Missing<'d> {
    /// Parents before children.
    pub rows: Vec<VersionRow>,
    /// Their parents that the other side has, as the home store knows them.
    pub held: Vec<VersionRow>,
    /// Of the rows, those whose content was let go where they come from.
    pub bare: HashSet<Id>,
    pub said: Said<'d>,
}

impl<'d> Missing<'d> {
    /// Of the history of `tips` in `dataset`, which is of the store `from`, what `there`, in the store `to`, lacks.
    pub fn find(
        (from, dataset): (&Fold, &'d Dataset),
        tips: impl Iterator<Item = Id>,
        (to, there): (&Fold, Option<&Dataset>),
        home: &Dataset,
    ) -> Missing<'d> {
        let tips: Vec<Id> = tips.collect::<BTreeSet<_>>().into_iter().collect();
        let is_there = |id: &Id| there.is_some_and(|there| there.versions.contains_key(id));
        let lacking = ancestry(dataset, &tips).into_iter().filter(|state| !is_there(&state.row.version));
        let mut rows: Vec<VersionRow> = lacking.map(|state| state.row.clone()).collect();
        rows.reverse();
        let bare = rows.iter().map(|row| row.version).filter(|id| from.let_go.contains_key(id)).collect();
        // What is there to stay: a version that has a manifest there need not have its content.
        let held = parents_of(&rows).into_iter().filter(|id| is_there(id) && !to.is_bare(id));
        let held = held.filter_map(|id| Some(home.versions.get(&id)?.row.clone())).collect();
        Missing { rows, held, bare, said: Said::of(dataset, &tips) }
    }
}

impl Missing<'_> {
    /// Carries all of them: first those that come whole, since the nodes that a version without content shares with them name theirs.
    pub fn carry_by(&self, carrier: &mut Carrier<'_>, register: &mut Register<'_>) -> Result<()> {
        let (bare, whole): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| self.bare.contains(&row.version));
        carrier.carry(&whole, register)?;
        carrier.leave_content();
        carrier.carry(&bare, register)
    }

    /// Parents before children again.
    pub fn put_in_order(&self, arrived: &mut [VersionRow]) {
        let places: HashMap<Id, usize> = self.rows.iter().enumerate().map(|(at, row)| (row.version, at)).collect();
        arrived.sort_by_key(|row| places.get(&row.version).copied());
    }
}

fn parents_of(rows: &[VersionRow]) -> BTreeSet<Id> {
    rows.iter().flat_map(|row| row.parents.iter().copied()).collect()
}

/// What was stored for versions that a record is to add, and what of the store they rely on.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Stored<'s> {
    pub indexes: &'s [IndexRow],
    pub relies: &'s Things,
}

impl Default for Stored<'_> {
    fn default() -> Self {
        const NOTHING: &Things = &Things { versions: Vec::new(), packs: Vec::new() };
        Stored { indexes: &[], relies: NOTHING }
    }
}

/// The operations that add versions to a dataset, which is made where it isn't there.
///
/// They rely on what is stored, and on those of their parents that are there; not on the content of parents that wasn't used.
pub(in crate::engine) fn adding(
    fold: &Fold,
    name: &DatasetName,
    rows: &[VersionRow],
    missing: &Missing<'_>,
    Stored { indexes, relies }: Stored<'_>,
) -> Vec<Operation> {
    if rows.is_empty() && fold.datasets.contains_key(name) {
        return Vec::new();
    }
    let mut operations = Vec::new();
    if !indexes.is_empty() {
        operations.push(Operation::Register { indexes: indexes.to_vec() });
    }
    if !fold.datasets.contains_key(name) {
        operations.push(Operation::CreateDataset { dataset: name.clone() });
    }
    let there = |id: &Id| fold.datasets.get(name).is_some_and(|dataset| dataset.versions.contains_key(id));
    let (bare, used): (Vec<Id>, Vec<Id>) = parents_of(rows).into_iter().filter(there).partition(|id| fold.is_bare(id));
    let mut versions = relies.versions.clone();
    versions.extend(used.into_iter().filter(|id| !relies.versions.contains(id)));
    // It stays in the history of what comes, content or no.
    let dead: Vec<Id> = bare.into_iter().filter(|id| fold.condemned.versions.contains_key(id)).collect();
    if !dead.is_empty() {
        operations.push(Operation::Rescue(Things { versions: dead, packs: Vec::new() }));
    }
    if !versions.is_empty() || !relies.packs.is_empty() {
        operations.push(Operation::Rely(Things { versions, packs: relies.packs.clone() }));
    }
    operations
        .extend(rows.iter().map(|row| Operation::AddVersion { dataset: name.clone(), row: Box::new(row.clone()) }));
    // One that the store has whole in another dataset stays whole.
    let comes_bare = |id: &Id| missing.bare.contains(id) && !fold.has_version(id);
    let bare: Vec<Id> = rows.iter().map(|row| row.version).filter(comes_bare).collect();
    if !bare.is_empty() {
        operations.push(Operation::LetGo { versions: bare });
    }
    operations
}
