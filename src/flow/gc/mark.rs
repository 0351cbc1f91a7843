//! Marking: which packs hold something that a live version needs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::base::{Error, Id, ObjectName, Result};
use crate::format::index::IndexPack;
use crate::format::operation::VersionRow;
use crate::format::pack::{Footer, ItemKind};
use crate::format::place::Place;
use crate::store::content::Content;

use super::needs::Needs;

/// What may be a base.
const BASES: [ItemKind; 4] = [ItemKind::Chunk, ItemKind::Node, ItemKind::RecipePage, ItemKind::RecipeRoot];

/// Where a thing lies in its pack: the frame's offset, and where in the frame.
fn spot(offset: u32, at: u32) -> u64 {
    u64::from(offset) << 32 | u64::from(at)
}

fn spot_of(place: &Place) -> (ObjectName, u64) {
    (place.frame.pack, spot(place.frame.offset, place.at))
}

/// Spots of one pack, 8 bytes each.
#[derive(Default, Clone)]
pub struct Spots {
    /// Those before `sorted` are sorted and different.
    spots: Vec<u64>,
    sorted: usize,
}

impl Spots {
    fn add(&mut self, spot: u64) {
        self.spots.push(spot);
        // Chunks of files that versions share are met again and again.
        if self.spots.len() > 2 * self.sorted + 1024 {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.spots.sort_unstable();
        self.spots.dedup();
        self.sorted = self.spots.len();
    }

    fn has(&self, spot: u64) -> bool {
        self.spots[..self.sorted].binary_search(&spot).is_ok() || self.spots[self.sorted..].contains(&spot)
    }
}

/// What was found to be needed, version by version. Content of a newer fold may be marked on top: what was found stays.
#[derive(Default)]
pub struct Marker {
    versions: HashSet<Id>,
    /// Those of which only the manifest is needed.
    bare: HashSet<Id>,
    needs: Needs,
    found: Found,
    /// All packs there were.
    seen: HashSet<ObjectName>,
    /// The record by whose fold nothing was found to condemn or to rescue: it needn't be marked once more.
    pub(super) settled_at: Option<u64>,
}

#[derive(Default)]
struct Found {
    /// Packs that hold the only copy of something, and where they do.
    packs: HashMap<ObjectName, Spots>,
    /// Where else than in one pack something lies.
    copies: HashMap<(Id, ItemKind), Vec<(ObjectName, u64)>>,
}

/// The packs that stay, and what of them is needed.
#[derive(Default)]
pub struct Live(HashMap<ObjectName, Spots>);

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

    /// Marks the record and the manifest of a version, and not the content of its files: that isn't to stay for this version's sake.
    pub fn mark_manifest(&mut self, content: &Content, row: &VersionRow) -> Result<()> {
        if !self.bare.insert(row.version) {
            return Ok(());
        }
        let Marker { needs, found, .. } = self;
        let walked = needs.of_manifest(content, row, &mut |id, kind| found.need(content, id, kind));
        walked.map_err(|fault| unreadable(content, row.version, fault))
    }

    /// Begins anew where a pack is gone that was there before: what was found in it may lie elsewhere now, or nowhere.
    pub fn forget_unless_in(&mut self, packs: &BTreeMap<ObjectName, IndexPack>) {
        if !self.seen.iter().all(|name| packs.contains_key(name)) {
            *self = Marker::default();
        }
        self.seen.extend(packs.keys());
    }

    /// What was needed of the packs `old` is now all that the packs `new` hold, whatever other copies there are.
    pub fn moved<'f>(&mut self, old: &[ObjectName], new: impl Iterator<Item = (ObjectName, &'f Footer)>) {
        old.iter().for_each(|pack| drop(self.found.packs.remove(pack)));
        for (pack, footer) in new {
            let spots = self.found.packs.entry(pack).or_default();
            for (frame, item) in
                footer.items_by_frame().flat_map(|(frame, items)| items.iter().map(move |item| (frame, item)))
            {
                spots.add(spot(frame.offset, item.at));
                self.found.copies.remove(&(item.id, item.kind));
            }
        }
    }

    /// The packs that stay: those with the only copy of something, and one pack for all else. A condemned one is among them only where there is no other, and is to be rescued then.
    ///
    /// All frames of a pack that stays stay readable, those too that nothing needs: a pack with a plain copy of each base stays with it.
    pub fn live_packs(&self, content: &Content, is_condemned: impl Fn(&ObjectName) -> bool) -> Result<Live> {
        let mut live = Live(self.found.packs.clone());
        for places in self.found.copies.values() {
            live.keep_one(places, &is_condemned);
        }
        let mut bases: HashSet<(ObjectName, Id)> = HashSet::new();
        for index in content.indexes()?.iter() {
            bases.extend(index.needed_bases());
        }
        let mut grown = !bases.is_empty();
        while grown {
            grown = false;
            for (_, base) in bases.iter().filter(|(pack, _)| live.has(pack)).copied().collect::<Vec<_>>() {
                for kind in BASES {
                    let plain = content.plain_places(kind, &base)?.map(|place| spot_of(&place));
                    grown |= live.keep_one(&plain.collect::<Vec<_>>(), &is_condemned);
                }
            }
        }
        live.0.values_mut().for_each(Spots::settle);
        Ok(live)
    }
}

impl Live {
    /// Whether a pack stays.
    pub fn has(&self, pack: &ObjectName) -> bool {
        self.0.contains_key(pack)
    }

    /// The packs, in no order.
    pub fn packs(&self) -> impl Iterator<Item = &ObjectName> {
        self.0.keys()
    }

    /// Whether something is needed that lies in this pack, at `at` in the frame at `offset`.
    pub fn needs_spot(&self, pack: &ObjectName, offset: u32, at: u32) -> bool {
        self.0.get(pack).is_some_and(|spots| spots.has(spot(offset, at)))
    }

    /// Keeps one of several copies, rather the newest, which lies with its neighbours; true if its pack is one more.
    fn keep_one(&mut self, copies: &[(ObjectName, u64)], is_condemned: impl Fn(&ObjectName) -> bool) -> bool {
        let chosen = copies.iter().min_by_key(|(pack, _)| (is_condemned(pack), !self.has(pack), Reverse(*pack)));
        let Some((pack, spot)) = chosen else { return false };
        let is_new = !self.has(pack);
        self.0.entry(*pack).or_default().add(*spot);
        is_new
    }
}

impl Found {
    /// Notes where something lies that is needed; false if it lies in no pack here. Its base, where it needs one, stays with its pack.
    fn need(&mut self, content: &Content, id: Id, kind: ItemKind) -> Result<bool> {
        let places = content.all_places(&id, kind)?.into_iter();
        let mut places: Vec<(ObjectName, u64)> = places.map(|place| spot_of(&place)).collect();
        places.sort_unstable();
        places.dedup_by_key(|(pack, _)| *pack);
        match places[..] {
            [] => return Ok(false),
            [(pack, spot)] => self.packs.entry(pack).or_default().add(spot),
            _ => drop(self.copies.insert((id, kind), places)),
        }
        Ok(true)
    }
}

/// What can't be followed can't be told from what is dead.
fn unreadable(content: &Content, version: Id, fault: Error) -> Error {
    let hint = content.verify_hint();
    fault.within(format!("nothing is collected: version {} can't be followed", version.short())).hint(hint)
}
