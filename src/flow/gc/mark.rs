//! Marking: which packs hold something that a live version needs.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::base::{Error, Id, ObjectName, Result};
use crate::format::index::IndexPack;
use crate::format::operation::VersionRow;
use crate::format::pack::ItemKind;
use crate::store::content::Content;

use super::needs::Needs;

/// What may be a base.
const BASES: [ItemKind; 4] = [ItemKind::Chunk, ItemKind::Node, ItemKind::RecipePage, ItemKind::RecipeRoot];

/// What was found to be needed, version by version. Content of a newer fold may be marked on top: what was found stays.
#[derive(Default)]
pub struct Marker {
    versions: HashSet<Id>,
    needs: Needs,
    found: Found,
    /// All packs there were.
    seen: HashSet<ObjectName>,
}

#[derive(Default)]
struct Found {
    /// Packs that hold the only copy of something.
    packs: HashSet<ObjectName>,
    /// Where else than in one pack something lies.
    copies: HashMap<(Id, ItemKind), Vec<ObjectName>>,
}

impl Marker {
    /// Marks all that a version needs of the packs of `content`. What these lack (a store that borrows) can't be kept here.
    pub fn mark(&mut self, content: &Content, row: &VersionRow) -> Result<()> {
        if self.versions.contains(&row.version) {
            return Ok(());
        }
        let Marker { needs, found, .. } = self;
        let walked = needs.of_version(content, row, &mut |id, kind| found.need(content, id, kind));
        walked.map_err(|fault| unreadable(content, row.version, fault))?;
        self.versions.insert(row.version);
        Ok(())
    }

    /// Begins anew where a pack is gone that was there before: what was found in it may lie elsewhere now, or nowhere.
    pub fn forget_unless_in(&mut self, packs: &BTreeMap<ObjectName, IndexPack>) {
        if !self.seen.iter().all(|name| packs.contains_key(name)) {
            *self = Marker::default();
        }
        self.seen.extend(packs.keys());
    }

    /// The packs that stay: those with the only copy of something, and one pack for all else. A condemned one is among them only where there is no other, and is to be rescued then.
    ///
    /// All frames of a pack that stays stay readable, those too that nothing needs: a pack with a plain copy of each base stays with it.
    pub fn live_packs(
        &self,
        content: &Content,
        is_condemned: impl Fn(&ObjectName) -> bool,
    ) -> Result<HashSet<ObjectName>> {
        let mut live = self.found.packs.clone();
        let keep_one = |packs: &[ObjectName], live: &mut HashSet<ObjectName>| {
            let chosen = packs.iter().min_by_key(|pack| (is_condemned(pack), !live.contains(*pack), **pack));
            chosen.is_some_and(|pack| live.insert(*pack))
        };
        for packs in self.found.copies.values() {
            keep_one(packs, &mut live);
        }
        let mut bases: HashSet<(ObjectName, Id)> = HashSet::new();
        for index in content.indexes()?.iter() {
            bases.extend(index.needed_bases());
        }
        let mut grown = !bases.is_empty();
        while grown {
            grown = false;
            for (_, base) in bases.iter().filter(|(pack, _)| live.contains(pack)).copied().collect::<Vec<_>>() {
                for kind in BASES {
                    let plain = content.plain_places(kind, &base)?.map(|place| place.frame.pack);
                    grown |= keep_one(&plain.collect::<Vec<_>>(), &mut live);
                }
            }
        }
        Ok(live)
    }
}

impl Found {
    /// Notes where something lies that is needed; false if it lies in no pack here. Its base, where it needs one, stays with its pack.
    fn need(&mut self, content: &Content, id: Id, kind: ItemKind) -> Result<bool> {
        let places = content.all_places(&id, kind)?.into_iter();
        let mut packs: Vec<ObjectName> = places.map(|place| place.frame.pack).collect();
        packs.sort_unstable();
        packs.dedup();
        match packs[..] {
            [] => return Ok(false),
            [pack] => drop(self.packs.insert(pack)),
            _ => drop(self.copies.insert((id, kind), packs)),
        }
        Ok(true)
    }
}

/// What can't be followed can't be told from what is dead.
fn unreadable(content: &Content, version: Id, fault: Error) -> Error {
    let hint = content.verify_hint();
    fault.within(format!("nothing is collected: version {} can't be followed", version.short())).hint(hint)
}
