//! One who purges, in the model: stores what stays of the packs that hold the content, and has one record put that in their place.

use std::collections::BTreeSet;

use dagset::base::ObjectName;
use dagset::format::operation::Operation;
use dagset::format::tombstone::Purged;

use super::Broken;
use super::collector::Collector;
use super::world::{BASED, INDEX, KEPT, WANTED, World, content, holds, index_row, name};

const WHO: u8 = 30;

/// What a purge is about to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The fold that it was made from.
    at: u64,
    /// When the session began that stored the new packs.
    born: u64,
    written: BTreeSet<ObjectName>,
    removed: Vec<ObjectName>,
    added: Vec<ObjectName>,
}

impl World {
    /// Plans a purge, by this fold. Packs of a plan that was overtaken are used again.
    pub fn plan_purge(&mut self, overtaken: Option<Plan>) -> Collector {
        let broken = self.scene.broken;
        let is_good = |plan: &Plan| broken == Broken::Reuse || !self.fold.is_void(plan.born);
        let (born, mut written) = match overtaken.filter(is_good) {
            Some(plan) => (plan.born, plan.written),
            None => (self.fold.number, BTreeSet::new()),
        };
        let goes = if broken == Broken::Bases { WANTED } else { WANTED | BASED };
        let gone: Vec<ObjectName> = self.registered().into_iter().filter(|pack| holds(pack) & goes != 0).collect();
        let mut new = BTreeSet::new();
        for pack in &gone {
            let stays = match holds(pack) & !WANTED {
                // Without its base, it is stored plainly.
                stays if stays & BASED != 0 => stays & !BASED | KEPT,
                stays => stays,
            };
            new.extend((stays != 0).then(|| name(born, WHO, 0, stays)));
        }
        self.packs.extend(new.difference(&written));
        written.extend(&new);
        let (removed, mut added) = self.without(&gone, WHO, 0);
        if !new.is_empty() {
            let index = name(self.fold.number, WHO, 1, INDEX);
            self.indexes.insert(index, new);
            added.push(index);
        }
        Collector::Expels(Plan { at: self.fold.number, born, written, removed, added })
    }

    pub fn expel(&mut self, plan: Plan) -> Collector {
        let broken = self.scene.broken;
        let is_due = broken == Broken::Plan || self.fold.number == plan.at;
        let operations = vec![
            Operation::ReplaceIndexes {
                removed: plan.removed.clone(),
                added: plan.added.iter().copied().map(index_row).collect(),
            },
            Operation::Expel { contents: vec![Purged { content: content(), size: 1 }], reason: "leaked".to_owned() },
        ];
        match is_due && self.append(operations) {
            true => Collector::Lists,
            false => self.plan_purge(Some(plan)),
        }
    }
}
