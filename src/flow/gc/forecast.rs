//! What two collections without grace would free, planned by their own steps and not done: what `du` calls collectable.
//!
//! Counted is what leaves the folders of packs and indexes, less what comes there in its place. All of it is known beforehand but how well
//! what stays of a frame compresses: no better than as it is, it is taken, so that what comes to be free may be more. Records and states,
//! which a collection writes too, aren't counted.

use std::collections::{HashMap, HashSet};

use crate::base::{ObjectName, Result};
use crate::format::index::IndexPack;
use crate::format::operation::Operation;
use crate::format::place::Place;
use crate::history::timeline::Timeline;
use crate::store::content::Content;

use super::super::without_packs::without;
use super::mark::{Live, Marker};
use super::sweep::Garbage;
use super::{Collector, Survey};

/// What a thing takes in an index, with what it has of the row of its frame: a chunk, and another.
const CHUNK_ROW_BYTES: u64 = 44 + 24;
const META_ROW_BYTES: u64 = 52 + 24;
/// What a frame and its item take in a pack's footer, in which ids stand.
const FOOTER_ROW_BYTES: u64 = 50;

impl Collector<'_> {
    /// Bytes that would be free in the end; `garbage` is what a dry run's sweep found. Reads what marking hasn't read yet, and writes nothing.
    pub fn forecast(&self, timeline: &Timeline, marker: &mut Marker, garbage: &[Garbage]) -> Result<u64> {
        let content = (self.content_of)(timeline)?;
        // Of more dead versions than a record names nobody knows yet which packs go with them.
        let Survey { packs, live: Some(live), .. } = self.survey(timeline, marker)? else { return Ok(0) };
        let sparse = self.sparse(timeline, &content, &live)?;
        let dead = packs.values().filter(|pack| !live.has(&pack.name));
        let goes: Vec<&IndexPack> = dead.chain(&sparse).collect();
        let mut freed: u64 = goes.iter().map(|pack| pack.bytes).sum();
        let mut comes = what_stays(&content, &live, &sparse)?;
        let names: Vec<ObjectName> = goes.iter().map(|pack| pack.name).collect();
        if let Some(Operation::ReplaceIndexes { removed, added }) = without(timeline, &content, &names, false)? {
            let removed: HashSet<ObjectName> = removed.into_iter().collect();
            let rows = timeline.fold().indexes.values();
            freed += rows.filter(|row| removed.contains(&row.name)).map(|row| row.bytes).sum::<u64>();
            comes += added.iter().map(|row| row.bytes).sum::<u64>();
        }
        freed += garbage.iter().filter(|it| it.born.is_some()).map(|it| it.bytes).sum::<u64>();
        Ok(freed.saturating_sub(comes))
    }
}

/// What of a frame is needed.
#[derive(Default)]
struct Part {
    raw: u64,
    needed: u64,
    stored: u64,
}

/// The bytes that what is needed of sparse packs takes in those that come in their place, and in their index.
fn what_stays(content: &Content, live: &Live, sparse: &[IndexPack]) -> Result<u64> {
    let sparse: HashSet<ObjectName> = sparse.iter().map(|pack| pack.name).collect();
    let mut frames: HashMap<(ObjectName, u32), Part> = HashMap::new();
    let mut rows = 0;
    let mut weigh = |place: Place, row_bytes: u64| {
        let frame = place.frame;
        if sparse.contains(&frame.pack) && live.needs_spot(&frame.pack, frame.offset, place.at) {
            let part = frames.entry((frame.pack, frame.offset)).or_default();
            (part.raw, part.stored) = (frame.raw_bytes.into(), frame.stored_bytes.into());
            part.needed += u64::from(place.len) + u64::from(place.hint_len);
            rows += row_bytes + FOOTER_ROW_BYTES;
        }
    };
    for index in content.indexes()? {
        index.chunks().for_each(|(_, place)| weigh(place, CHUNK_ROW_BYTES));
        index.metas().for_each(|(_, _, place)| weigh(place, META_ROW_BYTES));
    }
    let stays = |part: &Part| if part.needed < part.raw { part.needed.min(part.stored) } else { part.stored };
    Ok(rows + frames.values().map(stays).sum::<u64>())
}
