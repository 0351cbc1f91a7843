//! Checking an index whole, in one pass over its bytes and with no memory beside them.

use bytes::Bytes;

use crate::base::id::MAX_BORN;
use crate::base::{Error, Id, Result};

use super::super::codec::{Reader, check_of};
use super::super::header::{HEADER_LEN, ObjectKind, TRAILER_LEN, Trailer, check_header};
use super::super::pack::item_is_possible;
use super::super::place::lengths_are_possible;
use super::layout::{self, BLOCK, CHECK, Layout};
use super::{FrameRow, Index, ItemKind};

fn fault(why: impl std::fmt::Display) -> Error {
    Error::damaged(format!("index: {why}"))
}

fn require(holds: bool, why: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(fault(why)) }
}

pub fn parse(bytes: Bytes) -> Result<Index> {
    check_header(&bytes, ObjectKind::Index)?;
    let (layout, range) = check_footer(&bytes)?;
    let index = Index { bytes, layout, range };
    index.check_packs()?;
    index.check_bases()?;
    index.check_frames()?;
    index.check_chunks()?;
    index.check_metas()?;
    Ok(index)
}

/// Checks trailer, footer and blocks: from here on, all bytes are those that were written.
fn check_footer(bytes: &[u8]) -> Result<(Layout, (Id, Id))> {
    let trailer = Trailer::read("an index's trailer", bytes)?;
    let footer_len = trailer.footer_len as usize;
    let footer_at = bytes.len().checked_sub(TRAILER_LEN).and_then(|end| end.checked_sub(footer_len));
    let footer_at = footer_at.ok_or_else(|| fault("the footer is longer than the object"))?;
    let footer = &bytes[footer_at..footer_at + footer_len];
    require(Id::of(footer) == trailer.hash, "the footer isn't what was written")?;
    let mut reader = Reader::new("an index's footer", footer);
    let counts = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
    let range = (reader.id()?, reader.id()?);
    require(range.0 <= range.1, "the lowest id is above the highest")?;
    let layout = Layout::of(counts)
        .filter(|layout| layout.footer_at == footer_at && layout.footer_len() == footer_len)
        .ok_or_else(|| fault("the counts don't agree with the length"))?;
    let checks = reader.slice(reader.left())?.chunks_exact(CHECK);
    for (number, (block, check)) in bytes[..footer_at].chunks(BLOCK).zip(checks).enumerate() {
        if check_of(block) != check {
            return Err(fault(format_args!("block {number} isn't what was written")));
        }
    }
    Ok((layout, range))
}

impl Index {
    fn check_packs(&self) -> Result<()> {
        let mut before = None;
        for number in 0..self.layout.packs {
            let row = self.row(HEADER_LEN, layout::PACK_ROW, number);
            let pack = layout::read_pack(row).ok_or_else(|| fault("a pack of an impossible kind"))?;
            require(before < Some(pack.name), "the packs aren't in order")?;
            before = Some(pack.name);
            let sized = ((HEADER_LEN + TRAILER_LEN) as u64..=u64::from(u32::MAX)).contains(&pack.bytes);
            require(sized && pack.name.born <= MAX_BORN, "a pack that can't be")?;
            let [low, high] = pack.hooks;
            let hooked = if pack.kind == ObjectKind::Pack { low < high } else { false };
            require(hooked || pack.hooks == [Id::MAX; 2], "a pack's hooks can't be")?;
        }
        Ok(())
    }

    fn check_bases(&self) -> Result<()> {
        let bases = (0..self.layout.bases).map(|number| self.base(number));
        require(bases.is_sorted_by(|a, b| a < b), "the bases aren't in order")
    }

    fn check_frames(&self) -> Result<()> {
        let mut before: Option<FrameRow> = None;
        for number in 0..self.layout.frames {
            let row = self.row(self.layout.frames_at, layout::FRAME_ROW, number);
            require(row[17..20] == [0; 3], "a frame's padding isn't zero")?;
            let frame = FrameRow::read(row);
            require(frame.pack < self.layout.packs, "a frame of no pack")?;
            let encoding = frame.encoding(|base| self.base(base));
            let encoding = encoding.ok_or_else(|| fault("a frame of an impossible encoding"))?;
            require(lengths_are_possible(frame.stored, frame.raw, &encoding), "a frame of impossible lengths")?;
            let end = self.pack(frame.pack).bytes - TRAILER_LEN as u64;
            let inside = frame.offset as usize >= HEADER_LEN && frame.end() <= end;
            let behind = before.is_none_or(|before| before.comes_before(&frame));
            require(inside && behind, "the frames aren't in order, or not in their packs")?;
            before = Some(frame);
        }
        Ok(())
    }

    fn check_chunks(&self) -> Result<()> {
        let mut fan = Fan::default();
        let mut before = None;
        for number in 0..self.layout.chunks {
            let row = self.chunk_row(number);
            let key = (row.id, row.frame, row.at);
            require(before < Some(key), "the chunks aren't in order")?;
            before = Some(key);
            fan.count(&row.id);
            self.check_item(ItemKind::Chunk, row.frame, row.at, row.len, 0)?;
        }
        self.check_range(self.layout.chunks, |number| self.chunk_row(number).id)?;
        fan.check(&self.bytes[self.layout.chunk_fan_at..])
    }

    fn check_metas(&self) -> Result<()> {
        let mut fan = Fan::default();
        let mut before = None;
        for number in 0..self.layout.metas {
            let row = self.meta_row(number).ok_or_else(|| fault("a meta object of an impossible kind"))?;
            let key = (row.id, row.kind, row.frame, row.at);
            require(before < Some(key), "the meta objects aren't in order")?;
            before = Some(key);
            fan.count(&row.id);
            self.check_item(row.kind, row.frame, row.at, row.len, row.hint_len)?;
        }
        self.check_range(self.layout.metas, |number| {
            layout::id_at(self.row(self.layout.metas_at, layout::META_ROW, number), 0)
        })?;
        fan.check(&self.bytes[self.layout.meta_fan_at..])
    }

    fn check_item(&self, kind: ItemKind, frame: u32, at: u32, len: u32, hint_len: u32) -> Result<()> {
        require(frame < self.layout.frames, "an item in no frame")?;
        let frame = self.frame_row(frame);
        let end = u64::from(at) + u64::from(len) + u64::from(hint_len);
        require(item_is_possible(kind, len, hint_len) && end <= u64::from(frame.raw), "an item of impossible lengths")?;
        let letter = self.row(HEADER_LEN, layout::PACK_ROW, frame.pack)[24];
        require(letter == kind.home().letter(), "an item in a pack of another kind")
    }

    /// The ids of a sorted table lie in the range that the footer names.
    fn check_range(&self, rows: u32, id: impl Fn(u32) -> Id) -> Result<()> {
        let inside = rows == 0 || self.range.0 <= id(0) && id(rows - 1) <= self.range.1;
        require(inside, "an id out of the index's range")
    }
}

impl FrameRow {
    /// The offset behind it in its pack.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.stored)
    }

    /// Whether `next` may stand behind it: in a later pack, or behind its end.
    pub fn comes_before(&self, next: &FrameRow) -> bool {
        self.pack < next.pack || self.pack == next.pack && self.end() <= u64::from(next.offset)
    }
}

/// How many rows have each first byte.
pub struct Fan([u32; 256]);

impl Default for Fan {
    fn default() -> Fan {
        Fan([0; 256])
    }
}

impl Fan {
    pub fn count(&mut self, id: &Id) {
        self.0[usize::from(id.0[0])] += 1;
    }

    /// The table as it is stored: rows with a first byte up to each.
    pub fn table(&self) -> impl Iterator<Item = u32> {
        self.0.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }

    fn check(&self, stored: &[u8]) -> Result<()> {
        let agrees = self.table().enumerate().all(|(byte, sum)| layout::u32_at(stored, 4 * byte) == sum);
        require(agrees, "a fan table doesn't agree with the rows")
    }
}
