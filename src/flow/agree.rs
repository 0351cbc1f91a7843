//! Whether a pack holds what the indexes say of it. A whole pack in the place of another is right in itself, and wrong here.
//!
//! For each index and each of its packs, the digests of the rows are summed: 40 bytes a pack, however many rows there are.

use std::collections::HashMap;

use crate::base::{Id, ObjectName};
use crate::format::index::Index;
use crate::format::pack::{Footer, ItemKind};
use crate::format::place::{Encoding, Place};

/// What the indexes say of each pack.
#[derive(Default)]
pub struct Agreement {
    packs: HashMap<ObjectName, Vec<Claim>>,
}

/// What one index says of one pack.
struct Claim {
    /// The lowest and the highest id that the index speaks for.
    range: (Id, Id),
    rows: Sum,
}

impl Agreement {
    /// Reads every row once.
    pub fn of(indexes: &[Index]) -> Agreement {
        let mut agreement = Agreement::default();
        for index in indexes {
            let mut sums: HashMap<ObjectName, Sum> = index.packs().map(|pack| (pack.name, Sum::default())).collect();
            let mut add = |id: &Id, kind, place: &Place| {
                if let Some(sum) = sums.get_mut(&place.frame.pack) {
                    sum.add(id, kind, place);
                }
            };
            index.chunks().for_each(|(id, place)| add(&id, ItemKind::Chunk, &place));
            index.metas().for_each(|(id, kind, place)| add(&id, kind, &place));
            for (pack, rows) in sums {
                agreement.packs.entry(pack).or_default().push(Claim { range: index.range(), rows });
            }
        }
        agreement
    }

    /// Whether any index names the pack.
    pub fn speaks_of(&self, pack: ObjectName) -> bool {
        self.packs.contains_key(&pack)
    }

    /// Whether all that any index says of the pack is what its footer says.
    pub fn holds(&self, pack: ObjectName, footer: &Footer) -> bool {
        let claims = self.packs.get(&pack).map(Vec::as_slice).unwrap_or_default();
        claims.iter().all(|claim| {
            let (low, high) = claim.range;
            let mut rows = Sum::default();
            for item in footer.items.iter().filter(|item| (low..=high).contains(&item.id)) {
                rows.add(&item.id, item.kind, &footer.place(pack, item));
            }
            rows == claim.rows
        })
    }
}

/// A digest of a set of rows, in whatever order they come.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct Sum([u64; 4]);

impl Sum {
    fn add(&mut self, id: &Id, kind: ItemKind, place: &Place) {
        let frame = &place.frame;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&id.0).update(&[kind.code(), frame.encoding.code()]);
        if let Encoding::Based(base) = &frame.encoding {
            hasher.update(&base.0);
        }
        for number in [frame.offset, frame.stored_bytes, frame.raw_bytes, place.at, place.len, place.hint_len] {
            hasher.update(&number.to_le_bytes());
        }
        let digest = hasher.finalize();
        for (sum, word) in self.0.iter_mut().zip(digest.as_bytes().chunks_exact(8)) {
            *sum = sum.wrapping_add(word.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
        }
    }
}
