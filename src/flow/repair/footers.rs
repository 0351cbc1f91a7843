//! Packs that no index names, by their footers: an index is what the footers of its packs say, so that it can be made again.

use std::collections::HashSet;

use crate::base::{Id, Kind, ObjectName, Result};
use crate::format::header::ObjectKind;
use crate::format::index::{Index, IndexBuilder};
use crate::format::operation::IndexRow;
use crate::format::pack::{Footer, TailParse, parse_footer};
use crate::store::objects::Bucket;

/// Read of a pack's end at first: the footers of most packs.
const TAIL_BYTES: u64 = 64 << 10;

/// Packs that no index names, with what they hold.
#[derive(Clone, Default)]
pub(super) struct Loose {
    packs: Vec<Pack>,
}

#[derive(Clone)]
struct Pack {
    name: ObjectName,
    kind: ObjectKind,
    bytes: u64,
    footer: Footer,
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

    fn with(&self, is_in: impl Fn(&Pack) -> bool) -> Loose {
        Loose { packs: self.packs.iter().filter(|pack| is_in(pack)).cloned().collect() }
    }
}

fn read_footer(bucket: &Bucket, kind: ObjectKind, name: &ObjectName) -> Result<(Footer, u64)> {
    let object = format!("{}/{name}", kind.folder());
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
