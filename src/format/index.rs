//! Indexes: which packs hold which chunks and meta objects, and where (docs/format.md §11).
//!
//! Sorted tables of fixed width behind a fan-out by the first byte of the id. [`Index`] is such an object, checked whole when it
//! is parsed and kept as its bytes: a lookup is a binary search in them, and nothing is unpacked. [`IndexBuilder`] makes one
//! out of the footers of packs, or out of other indexes; so what an index says can always be made again from the packs.

use std::ops::Range;

use bytes::Bytes;

use crate::base::{Id, ObjectName, Result};

use super::header::ObjectKind;
use super::pack::ItemKind;
use super::place::{Encoding, FramePlace, Place};

mod build;
mod layout;
mod parse;
#[cfg(test)]
mod tests;

pub use build::{IndexBuilder, merge};

use layout::{BASE_ROW, CHUNK_ROW, ChunkRow, FRAME_ROW, FrameRow, Layout, META_ROW, MetaRow, PACK_ROW};

/// A pack that an index speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexPack {
    pub name: ObjectName,
    /// A data, meta or state pack.
    pub kind: ObjectKind,
    /// Bytes of the object.
    pub bytes: u64,
    /// The two lowest chunk ids of a data pack; [`Id::MAX`] where it has fewer, and in packs of other kinds.
    pub hooks: [Id; 2],
}

/// A checked index. Cheap to clone: the bytes are shared.
#[derive(Debug, Clone)]
pub struct Index {
    bytes: Bytes,
    layout: Layout,
    range: (Id, Id),
}

impl Index {
    /// Checks the whole object: every hash, every row, every reference. Takes no memory beside the bytes.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Index> {
        parse::parse(bytes.into())
    }

    /// The object itself.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The lowest and the highest id that it speaks for.
    pub fn range(&self) -> (Id, Id) {
        self.range
    }

    /// How many packs it names.
    pub fn pack_count(&self) -> usize {
        self.layout.packs as usize
    }

    /// How many places of chunks it has; a chunk may have several.
    pub fn chunk_count(&self) -> usize {
        self.layout.chunks as usize
    }

    /// How many places of meta objects it has.
    pub fn meta_count(&self) -> usize {
        self.layout.metas as usize
    }

    /// The packs, ascending by name.
    pub fn packs(&self) -> impl ExactSizeIterator<Item = IndexPack> {
        (0..self.layout.packs).map(|number| self.pack(number))
    }

    /// Every place of a chunk, ascending by id.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = (Id, Place)> {
        (0..self.layout.chunks).map(|number| self.chunk(number))
    }

    /// Every place of a meta object, ascending by id and kind.
    pub fn metas(&self) -> impl ExactSizeIterator<Item = (Id, ItemKind, Place)> {
        (0..self.layout.metas).map(|number| self.meta(number))
    }

    /// The frames that need a base: the pack of each, and the base.
    pub fn needed_bases(&self) -> impl Iterator<Item = (ObjectName, Id)> {
        let frames = (0..self.layout.frames).map(|number| self.frame(number));
        frames.filter_map(|frame| match frame.encoding {
            Encoding::Based(base) => Some((frame.pack, base)),
            _ => None,
        })
    }

    /// Where a chunk lies; a copy that needs no base if there is one.
    pub fn find_chunk(&self, id: &Id) -> Option<Place> {
        plainest(self.places_of_chunk(id))
    }

    /// Where a meta object lies; a copy that needs no base if there is one.
    pub fn find_meta(&self, id: &Id, kind: ItemKind) -> Option<Place> {
        plainest(self.places_of_meta(id).filter(|found| found.0 == kind).map(|found| found.1))
    }

    /// Where a chunk or a meta object lies; a copy that needs no base if there is one.
    pub fn find(&self, id: &Id, kind: ItemKind) -> Option<Place> {
        match kind {
            ItemKind::Chunk => self.find_chunk(id),
            _ => self.find_meta(id, kind),
        }
    }

    /// Every place of a chunk that it has.
    pub fn places_of_chunk(&self, id: &Id) -> impl Iterator<Item = Place> {
        let rows = self.rows_of(id, self.layout.chunk_fan_at, self.layout.chunks_at, CHUNK_ROW);
        rows.map(|number| self.chunk(number).1)
    }

    /// Every place of meta objects with this id, of whatever kind.
    pub fn places_of_meta(&self, id: &Id) -> impl Iterator<Item = (ItemKind, Place)> {
        let rows = self.rows_of(id, self.layout.meta_fan_at, self.layout.metas_at, META_ROW);
        rows.map(|number| self.meta(number)).map(|(_, kind, place)| (kind, place))
    }

    /// The rows with this id in the table at `table`: a binary search between two fan entries.
    fn rows_of(&self, id: &Id, fan: usize, table: usize, width: usize) -> Range<u32> {
        let fan = |byte: u8| layout::u32_at(&self.bytes, fan + 4 * usize::from(byte));
        let first = id.0[0];
        let (low, high) = (first.checked_sub(1).map_or(0, fan), fan(first));
        let id_of = |number: u32| &self.row(table, width, number)[..32];
        let start = partition(low..high, |number| id_of(number) < &id.0[..]);
        let end = start + (start..high).take_while(|number| id_of(*number) == &id.0[..]).count() as u32;
        start..end
    }

    fn row(&self, table: usize, width: usize, number: u32) -> &[u8] {
        &self.bytes[table + width * number as usize..][..width]
    }

    fn pack(&self, number: u32) -> IndexPack {
        let row = self.row(super::header::HEADER_LEN, PACK_ROW, number);
        layout::read_pack(row).expect("checked by parse")
    }

    fn base(&self, number: u32) -> Option<Id> {
        (number < self.layout.bases).then(|| layout::id_at(self.row(self.layout.bases_at, BASE_ROW, number), 0))
    }

    fn frame_row(&self, number: u32) -> FrameRow {
        FrameRow::read(self.row(self.layout.frames_at, FRAME_ROW, number))
    }

    fn frame(&self, number: u32) -> FramePlace {
        let row = self.frame_row(number);
        FramePlace {
            pack: self.pack(row.pack).name,
            offset: row.offset,
            stored_bytes: row.stored,
            raw_bytes: row.raw,
            encoding: row.encoding(|base| self.base(base)).expect("checked by parse"),
        }
    }

    fn chunk_row(&self, number: u32) -> ChunkRow {
        ChunkRow::read(self.row(self.layout.chunks_at, CHUNK_ROW, number))
    }

    fn meta_row(&self, number: u32) -> Option<MetaRow> {
        MetaRow::read(self.row(self.layout.metas_at, META_ROW, number))
    }

    fn chunk(&self, number: u32) -> (Id, Place) {
        let ChunkRow { id, frame, at, len } = self.chunk_row(number);
        (id, Place { frame: self.frame(frame), at, len, hint_len: 0 })
    }

    fn meta(&self, number: u32) -> (Id, ItemKind, Place) {
        let MetaRow { id, kind, frame, at, len, hint_len } = self.meta_row(number).expect("checked by parse");
        (id, kind, Place { frame: self.frame(frame), at, len, hint_len })
    }
}

/// The first number in `range` for which `before` doesn't hold; those for which it does come first.
fn partition(range: Range<u32>, before: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The first place that needs no base, else the first.
fn plainest(places: impl Iterator<Item = Place>) -> Option<Place> {
    let mut first = None;
    for place in places {
        if !place.frame.encoding.needs_base() {
            return Some(place);
        }
        first = first.or(Some(place));
    }
    first
}
