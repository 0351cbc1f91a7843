//! Packs that no index names, by their footers: an index is what the footers of its packs say, so that it can be made again.

use std::collections::{BTreeMap, HashSet};

use crate::base::{Id, Kind, ObjectName, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::format::header::ObjectKind;
use crate::format::index::{Index, IndexBuilder};
use crate::format::operation::IndexRow;
use crate::format::pack::{Footer, ItemKind, TailParse, parse_footer};
use crate::format::tombstone::Tombstone;
use crate::store::content::Content;
use crate::store::objects::Bucket;

use super::gc::needs::Needs;

/// Read of a pack's end at first: the footers of most packs.
const TAIL_BYTES: u64 = 64 << 10;

/// A chunk or a meta object.
type Item = (Id, ItemKind);

/// Packs that no index names, with what they hold.
#[derive(Clone, Default)]
pub struct Loose {
    packs: Vec<Pack>,
}

#[derive(Clone)]
struct Pack {
    name: ObjectName,
    kind: ObjectKind,
    bytes: u64,
    footer: Footer,
}

impl Pack {
    fn items(&self) -> impl Iterator<Item = Item> {
        self.footer.items.iter().map(|item| (item.id, item.kind))
    }
}

impl Loose {
    /// Those of a store whose footer can be read.
    pub fn find(bucket: &Bucket, indexes: &[Index]) -> Result<Loose> {
        let named: HashSet<ObjectName> = indexes.iter().flat_map(|index| index.packs().map(|pack| pack.name)).collect();
        let mut loose = Loose::default();
        for kind in [ObjectKind::Pack, ObjectKind::MetaPack] {
            for object in bucket.list(kind.folder())?.objects {
                let Some(name) = ObjectName::parse(&object.name).ok().filter(|name| !named.contains(name)) else {
                    continue;
                };
                match read_footer(bucket, kind, &name) {
                    Ok((footer, bytes)) => loose.packs.push(Pack { name, kind, bytes, footer }),
                    Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                    // Damaged itself: a finding of its own.
                    Err(_) => {}
                }
            }
        }
        Ok(loose)
    }

    /// The bytes of a lost index, if the packs make it: all of them, or those of the session that it is named after.
    pub fn index_of(&self, row: &IndexRow) -> Result<Option<Vec<u8>>> {
        let of_session = self.with(|pack| pack.name.born == row.name.born);
        for some in [self, &of_session] {
            if let Some((bytes, _)) = some.index(row.name)?.filter(|(_, made)| made.id == row.id) {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// An index of all packs, and its row; `None` where there is no pack.
    pub fn index(&self, name: ObjectName) -> Result<Option<(Vec<u8>, IndexRow)>> {
        if self.packs.is_empty() {
            return Ok(None);
        }
        let mut builder = IndexBuilder::new();
        let mut row = IndexRow::of_nothing(name);
        for pack in &self.packs {
            builder.add_pack(pack.name, pack.kind, pack.bytes, &pack.footer)?;
            row.count(pack.kind, pack.bytes);
        }
        let bytes = builder.finish()?;
        (row.bytes, row.id) = (bytes.len() as u64, Id::of(&bytes));
        Ok(Some((bytes, row)))
    }

    /// The packs whose every base is in them, or in `indexes`.
    pub fn readable(&self, indexes: &[Index]) -> Loose {
        let mut some = self.clone();
        loop {
            let plain: HashSet<Id> = some.packs.iter().flat_map(|pack| pack.footer.plain_ids()).collect();
            let has = |base: &Id| {
                let in_index =
                    |index: &Index| index.places_of_chunk(base).any(|place| !place.frame.encoding.needs_base());
                plain.contains(base) || indexes.iter().any(in_index)
            };
            let next = some.with(|pack| {
                pack.footer.frames.iter().filter_map(|frame| frame.encoding.base()).all(|base| has(&base))
            });
            if next.packs.len() == some.packs.len() {
                return some;
            }
            some = next;
        }
    }

    /// The packs without those that a purge replaced: they hold something of what was purged, and all else in them lies in `indexes` or in
    /// other packs of these.
    pub fn without_purged(
        self,
        bucket: &Bucket,
        indexes: &[Index],
        tombstones: &BTreeMap<Id, Tombstone>,
    ) -> Result<Loose> {
        if tombstones.is_empty() || self.packs.is_empty() {
            return Ok(self);
        }
        let purged = self.items_of(bucket, indexes, tombstones)?;
        let holds_some = |pack: &Pack| pack.items().any(|item| purged.contains(&item));
        let elsewhere: HashSet<Item> =
            self.packs.iter().filter(|pack| !holds_some(pack)).flat_map(Pack::items).collect();
        let is_named = |(id, kind): &Item| indexes.iter().any(|index| index.find(id, *kind).is_some());
        let is_elsewhere = |item: Item| purged.contains(&item) || elsewhere.contains(&item) || is_named(&item);
        Ok(self.with(|pack| !(holds_some(pack) && pack.items().all(is_elsewhere))))
    }

    /// Chunks, recipes and pages of content that was purged, as far as its recipe can be read here.
    fn items_of(
        &self,
        bucket: &Bucket,
        indexes: &[Index],
        tombstones: &BTreeMap<Id, Tombstone>,
    ) -> Result<HashSet<Item>> {
        let name = ObjectName { born: 0, random: [0; 16] };
        let own = self.index(name)?.map(|(bytes, _)| Index::parse(bytes)).transpose()?;
        let content = Content::described_by(bucket.clone(), own.into_iter().chain(indexes.iter().cloned()).collect());
        let (mut items, mut needs) = (HashSet::new(), Needs::default());
        for (id, tombstone) in tombstones {
            if tombstone.size <= SMALL_FILE {
                items.insert((*id, ItemKind::Chunk));
                continue;
            }
            let read = needs.of_purged(&content, id, tombstone.size, &mut |id, kind| {
                items.insert((id, kind));
                Ok(!content.all_places(&id, kind)?.is_empty())
            });
            match read {
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                // What is damaged tells no more of it.
                _ => {}
            }
        }
        Ok(items)
    }

    /// Data packs of these, of sessions that are void by `void_before`.
    pub fn void_data(&self, void_before: u64) -> Loose {
        self.with(|pack| pack.kind == ObjectKind::Pack && pack.name.born < void_before)
    }

    /// The packs that hold one of these chunks, and those that hold a base of theirs.
    pub fn holding(&self, chunks: &HashSet<Id>) -> Loose {
        let mut wanted = chunks.clone();
        loop {
            let some = self.with(|pack| pack.items().any(|(id, _)| wanted.contains(&id)));
            let bases =
                some.packs.iter().flat_map(|pack| pack.footer.frames.iter().filter_map(|it| it.encoding.base()));
            let before = wanted.len();
            wanted.extend(bases);
            if wanted.len() == before {
                return some;
            }
        }
    }

    /// What lies in them, each as often as it does.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        self.packs.iter().flat_map(Pack::items)
    }

    /// Their names and lengths.
    pub fn packs(&self) -> impl Iterator<Item = (ObjectName, u64)> {
        self.packs.iter().map(|pack| (pack.name, pack.bytes))
    }

    fn with(&self, is_in: impl Fn(&Pack) -> bool) -> Loose {
        Loose { packs: self.packs.iter().filter(|pack| is_in(pack)).cloned().collect() }
    }
}

fn read_footer(bucket: &Bucket, kind: ObjectKind, name: &ObjectName) -> Result<(Footer, u64)> {
    let object = kind.object(name);
    let read = || {
        let mut wanted = TAIL_BYTES;
        loop {
            let (tail, total) = bucket.get_tail(&object, wanted)?;
            match parse_footer(kind, total, &tail)? {
                TailParse::Whole(footer) => return Ok((footer, total)),
                TailParse::Needs(bytes) => wanted = bytes,
            }
        }
    };
    bucket.read_verified(read)
}
