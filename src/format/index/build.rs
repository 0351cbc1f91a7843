//! Making an index out of the footers of packs, or out of other indexes.

use std::collections::HashMap;
use std::mem;

use rayon::slice::ParallelSliceMut;

use crate::base::id::MAX_BORN;
use crate::base::{Error, Id, Kind, ObjectName, Result};

use super::super::codec::{Put, check_of};
use super::super::header::{HEADER_LEN, ObjectKind, TRAILER_LEN, Trailer, header};
use super::super::pack::{Footer, ItemKind, item_is_possible};
use super::super::place::{Encoding, lengths_are_possible};
use super::layout::{BLOCK, ChunkRow, FrameRow, Layout, MetaRow, put_pack};
use super::parse::Fan;
use super::{Index, IndexPack};

/// An index in the making: rows in memory, about 70 bytes a chunk that is a frame alone.
///
/// Packs may come in any order and more than once; equal rows become one.
#[derive(Debug)]
pub struct IndexBuilder {
    range: (Id, Id),
    packs: Vec<IndexPack>,
    numbers: HashMap<ObjectName, u32>,
    /// One for each frame that has a base.
    bases: Vec<Id>,
    frames: Vec<FrameRow>,
    chunks: Vec<ChunkRow>,
    metas: Vec<MetaRow>,
}

impl Default for IndexBuilder {
    fn default() -> IndexBuilder {
        IndexBuilder::within(Id::ZERO, Id::MAX)
    }
}

impl IndexBuilder {
    /// An index that speaks for all ids.
    pub fn new() -> IndexBuilder {
        IndexBuilder::default()
    }

    /// An index that speaks for the ids from `lowest` to `highest`, both included; rows of others are left out.
    pub fn within(lowest: Id, highest: Id) -> IndexBuilder {
        IndexBuilder {
            range: (lowest, highest.max(lowest)),
            packs: Vec::new(),
            numbers: HashMap::new(),
            bases: Vec::new(),
            frames: Vec::new(),
            chunks: Vec::new(),
            metas: Vec::new(),
        }
    }

    /// Adds what the footer of a pack says; `bytes` is the length of the whole pack.
    ///
    /// Fails, and adds nothing, if that isn't what such a pack can hold or it contradicts what was said of it before.
    pub fn add_pack(&mut self, name: ObjectName, kind: ObjectKind, bytes: u64, footer: &Footer) -> Result<()> {
        check_pack(name, kind, bytes, footer)?;
        self.check_room(footer.frames.len(), footer.items.len())?;
        let pack = self.pack_number(IndexPack { name, kind, bytes, hooks: hooks_of(footer) })?;
        let first = self.frames.len() as u32;
        for frame in &footer.frames {
            self.push_frame(pack, frame.offset, frame.stored_bytes, frame.raw_bytes, frame.encoding);
        }
        for item in &footer.items {
            let (id, frame) = (item.id, first + item.frame);
            match item.kind {
                ItemKind::Chunk => self.push_chunk(ChunkRow { id, frame, at: item.at, len: item.len }),
                kind => {
                    self.push_meta(MetaRow { id, kind, frame, at: item.at, len: item.len, hint_len: item.hint_len })
                }
            }
        }
        Ok(())
    }

    /// Adds the rows of another index, but those of packs that are dead.
    ///
    /// Fails if the two disagree on a pack; the builder is of no more use then.
    pub fn add_index(&mut self, index: &Index, is_dead: impl Fn(&ObjectName) -> bool) -> Result<()> {
        let layout = &index.layout;
        self.check_room(layout.frames as usize, index.chunk_count() + index.meta_count())?;
        let mut packs = Vec::with_capacity(index.pack_count());
        for pack in index.packs() {
            packs.push(if is_dead(&pack.name) { None } else { Some(self.pack_number(pack)?) });
        }
        let mut frames = Vec::with_capacity(layout.frames as usize);
        for row in (0..layout.frames).map(|number| index.frame_row(number)) {
            let encoding = row.encoding(|base| index.base(base)).expect("checked by parse");
            let push = |pack| self.push_frame(pack, row.offset, row.stored, row.raw, encoding);
            frames.push(packs[row.pack as usize].map(push));
        }
        for row in (0..layout.chunks).map(|number| index.chunk_row(number)) {
            if let Some(frame) = frames[row.frame as usize] {
                self.push_chunk(ChunkRow { frame, ..row });
            }
        }
        for row in (0..layout.metas).filter_map(|number| index.meta_row(number)) {
            if let Some(frame) = frames[row.frame as usize] {
                self.push_meta(MetaRow { frame, ..row });
            }
        }
        Ok(())
    }

    /// How many rows of chunks and of meta objects it has, equal ones counted each.
    pub fn item_count(&self) -> usize {
        self.chunks.len() + self.metas.len()
    }

    /// The index. Fails if packs that were added disagree on a frame.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.sort_packs();
        self.sort_bases();
        let renumbered = self.sort_frames()?;
        for row in &mut self.chunks {
            row.frame = renumbered[row.frame as usize];
        }
        for row in &mut self.metas {
            row.frame = renumbered[row.frame as usize];
        }
        drop(renumbered);
        self.chunks.par_sort_unstable();
        self.chunks.dedup();
        self.metas.sort_unstable();
        self.metas.dedup();
        let unique = self.chunks.is_sorted_by(|a, b| (a.id, a.frame, a.at) < (b.id, b.frame, b.at))
            && self.metas.is_sorted_by(|a, b| (a.id, a.kind, a.frame, a.at) < (b.id, b.kind, b.frame, b.at));
        if !unique {
            return Err(disagree());
        }
        self.write()
    }

    fn write(mut self) -> Result<Vec<u8>> {
        let lengths = [self.packs.len(), self.bases.len(), self.frames.len(), self.chunks.len(), self.metas.len()];
        let counts = lengths.map(|len| len as u32);
        let layout = Layout::of(counts).ok_or_else(too_large)?;
        let mut out = Vec::with_capacity(layout.total());
        out.put_slice(&header(ObjectKind::Index));
        self.packs.iter().for_each(|pack| put_pack(&mut out, pack));
        self.bases.iter().for_each(|base| out.put_id(base));
        mem::take(&mut self.frames).iter().for_each(|row| row.put(&mut out));
        put_fan(&mut out, self.chunks.iter().map(|row| &row.id));
        mem::take(&mut self.chunks).iter().for_each(|row| row.put(&mut out));
        put_fan(&mut out, self.metas.iter().map(|row| &row.id));
        self.metas.iter().for_each(|row| row.put(&mut out));
        let mut footer = Vec::with_capacity(layout.footer_len());
        counts.iter().for_each(|count| footer.put_u32(*count));
        footer.put_id(&self.range.0);
        footer.put_id(&self.range.1);
        out.chunks(BLOCK).for_each(|block| footer.put_slice(&check_of(block)));
        let footer_len = u32::try_from(footer.len()).map_err(|_| too_large())?;
        out.put_slice(&footer);
        Trailer { footer_len, hash: Id::of(&footer) }.put(&mut out);
        Ok(out)
    }

    fn check_room(&self, frames: usize, items: usize) -> Result<()> {
        let most = self.frames.len().max(self.item_count()) + frames.max(items);
        if most < u32::MAX as usize { Ok(()) } else { Err(too_large()) }
    }

    fn pack_number(&mut self, pack: IndexPack) -> Result<u32> {
        if let Some(number) = self.numbers.get(&pack.name) {
            return if self.packs[*number as usize] == pack { Ok(*number) } else { Err(disagree()) };
        }
        let number = self.packs.len() as u32;
        self.packs.push(pack);
        self.numbers.insert(pack.name, number);
        Ok(number)
    }

    fn push_frame(&mut self, pack: u32, offset: u32, stored: u32, raw: u32, encoding: Encoding) -> u32 {
        let mut base = 0;
        if let Encoding::Based(id) = encoding {
            push(&mut self.bases, id);
            base = self.bases.len() as u32;
        }
        push(&mut self.frames, FrameRow { pack, offset, stored, raw, encoding: encoding.code(), base });
        self.frames.len() as u32 - 1
    }

    fn push_chunk(&mut self, row: ChunkRow) {
        if self.speaks_for(&row.id) {
            push(&mut self.chunks, row);
        }
    }

    fn push_meta(&mut self, row: MetaRow) {
        if self.speaks_for(&row.id) {
            push(&mut self.metas, row);
        }
    }

    fn speaks_for(&self, id: &Id) -> bool {
        self.range.0 <= *id && *id <= self.range.1
    }

    fn sort_packs(&mut self) {
        let mut order: Vec<u32> = (0..self.packs.len() as u32).collect();
        order.sort_unstable_by_key(|number| self.packs[*number as usize].name);
        let mut ranks = vec![0; order.len()];
        for (rank, number) in order.iter().enumerate() {
            ranks[*number as usize] = rank as u32;
        }
        self.packs.sort_unstable_by_key(|pack| pack.name);
        self.frames.iter_mut().for_each(|row| row.pack = ranks[row.pack as usize]);
    }

    /// Each base once, ascending; those of frames that no row needs stay out.
    fn sort_bases(&mut self) {
        let used = self.used_frames();
        let all = mem::take(&mut self.bases);
        let based = self.frames.iter().zip(&used).filter(|(row, used)| **used && row.base > 0);
        self.bases = based.map(|(row, _)| all[row.base as usize - 1]).collect();
        self.bases.sort_unstable();
        self.bases.dedup();
        for row in self.frames.iter_mut().filter(|row| row.base > 0) {
            let base = &all[row.base as usize - 1];
            row.base = self.bases.binary_search(base).map_or(0, |number| number as u32 + 1);
        }
    }

    /// Frames that hold a row, each once, ascending by pack and offset. Returns the new number of each old one.
    fn sort_frames(&mut self) -> Result<Vec<u32>> {
        let used = self.used_frames();
        let all = mem::take(&mut self.frames);
        let mut order: Vec<u32> = (0..all.len() as u32).filter(|number| used[*number as usize]).collect();
        order.sort_unstable_by_key(|number| (all[*number as usize].pack, all[*number as usize].offset));
        let mut renumbered = vec![u32::MAX; all.len()];
        self.frames.reserve_exact(order.len());
        for number in order {
            let row = all[number as usize];
            match self.frames.last() {
                Some(last) if *last == row => (),
                Some(last) if !last.comes_before(&row) => return Err(disagree()),
                _ => self.frames.push(row),
            }
            renumbered[number as usize] = self.frames.len() as u32 - 1;
        }
        Ok(renumbered)
    }

    fn used_frames(&self) -> Vec<bool> {
        let mut used = vec![false; self.frames.len()];
        let frames = self.chunks.iter().map(|row| row.frame).chain(self.metas.iter().map(|row| row.frame));
        frames.for_each(|frame| used[frame as usize] = true);
        used
    }
}

/// One index out of many, without the rows of dead packs. It speaks for all ids between the lowest and the highest that they do.
pub fn merge(indexes: &[Index], is_dead: impl Fn(&ObjectName) -> bool) -> Result<Vec<u8>> {
    let lowest = indexes.iter().map(|index| index.range.0).min().unwrap_or(Id::ZERO);
    let highest = indexes.iter().map(|index| index.range.1).max().unwrap_or(Id::MAX);
    let mut builder = IndexBuilder::within(lowest, highest);
    for index in indexes {
        builder.add_index(index, &is_dead)?;
    }
    builder.finish()
}

/// Pushes, growing by an eighth: doubling would cost as much memory again as the rows take.
fn push<T>(rows: &mut Vec<T>, row: T) {
    if rows.len() == rows.capacity() {
        rows.reserve_exact(rows.len() / 8 + 64);
    }
    rows.push(row);
}

fn put_fan<'a>(out: &mut Vec<u8>, ids: impl Iterator<Item = &'a Id>) {
    let mut fan = Fan::default();
    ids.for_each(|id| fan.count(id));
    fan.table().for_each(|sum| out.put_u32(sum));
}

/// The two lowest chunk ids, that differ.
fn hooks_of(footer: &Footer) -> [Id; 2] {
    let mut hooks = [Id::MAX; 2];
    for item in footer.items.iter().filter(|item| item.kind == ItemKind::Chunk) {
        if item.id < hooks[0] {
            hooks = [item.id, hooks[0]];
        } else if item.id < hooks[1] && item.id != hooks[0] {
            hooks[1] = item.id;
        }
    }
    hooks
}

/// Whether an index may say this of a pack: what `Index::parse` would refuse isn't taken.
fn check_pack(name: ObjectName, kind: ObjectKind, bytes: u64, footer: &Footer) -> Result<()> {
    let sized = ((HEADER_LEN + TRAILER_LEN) as u64..=u64::from(u32::MAX)).contains(&bytes);
    let frames = footer.frames.iter().all(|frame| {
        let end = u64::from(frame.offset) + u64::from(frame.stored_bytes) + TRAILER_LEN as u64;
        lengths_are_possible(frame.stored_bytes, frame.raw_bytes, &frame.encoding)
            && frame.offset as usize >= HEADER_LEN
            && end <= bytes
    });
    let items = footer.items.iter().all(|item| {
        let end = u64::from(item.at) + u64::from(item.len) + u64::from(item.hint_len);
        let frame = footer.frames.get(item.frame as usize);
        item.kind.home() == kind
            && item_is_possible(item.kind, item.len, item.hint_len)
            && frame.is_some_and(|frame| end <= u64::from(frame.raw_bytes))
    });
    match sized && frames && items && kind.is_pack() && name.born <= MAX_BORN {
        true => Ok(()),
        false => Err(Error::new(Kind::Failed, format!("cannot index {} {name}: it can't be such a pack", kind.noun()))),
    }
}

fn disagree() -> Error {
    Error::damaged("indexes or footers disagree on what a pack holds")
}

fn too_large() -> Error {
    Error::new(Kind::Failed, "an index cannot hold so many rows")
}
