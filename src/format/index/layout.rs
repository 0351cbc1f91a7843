//! Where the tables of an index stand, and what their rows look like.

use crate::base::{Id, ObjectName};

use super::super::codec::Put;
use super::super::header::{HEADER_LEN, ObjectKind, TRAILER_LEN};
use super::super::pack::ItemKind;
use super::super::place::Encoding;
use super::IndexPack;

pub const PACK_ROW: usize = 104;
pub const BASE_ROW: usize = 32;
pub const FRAME_ROW: usize = 24;
pub const CHUNK_ROW: usize = 44;
pub const META_ROW: usize = 52;
pub const FAN: usize = 256 * 4;
/// Each block of so many bytes before the footer has a check.
pub const BLOCK: usize = 65_536;
pub const CHECK: usize = 8;
/// A footer without its checks.
pub const FIXED_FOOTER: usize = 5 * 4 + 2 * 32;

/// Rows in each table, and the offset of each table in the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub packs: u32,
    pub bases: u32,
    pub frames: u32,
    pub chunks: u32,
    pub metas: u32,
    pub bases_at: usize,
    pub frames_at: usize,
    pub chunk_fan_at: usize,
    pub chunks_at: usize,
    pub meta_fan_at: usize,
    pub metas_at: usize,
    pub footer_at: usize,
}

impl Layout {
    /// The layout that these counts determine; `None` if no memory could hold it.
    pub fn of([packs, bases, frames, chunks, metas]: [u32; 5]) -> Option<Layout> {
        let table =
            |at: usize, rows: u32, width: usize| at.checked_add(usize::try_from(rows).ok()?.checked_mul(width)?);
        let bases_at = table(HEADER_LEN, packs, PACK_ROW)?;
        let frames_at = table(bases_at, bases, BASE_ROW)?;
        let chunk_fan_at = table(frames_at, frames, FRAME_ROW)?;
        let chunks_at = chunk_fan_at.checked_add(FAN)?;
        let meta_fan_at = table(chunks_at, chunks, CHUNK_ROW)?;
        let metas_at = meta_fan_at.checked_add(FAN)?;
        let footer_at = table(metas_at, metas, META_ROW)?;
        Some(Layout {
            packs,
            bases,
            frames,
            chunks,
            metas,
            bases_at,
            frames_at,
            chunk_fan_at,
            chunks_at,
            meta_fan_at,
            metas_at,
            footer_at,
        })
    }

    /// Bytes of the footer.
    pub fn footer_len(&self) -> usize {
        FIXED_FOOTER + self.footer_at.div_ceil(BLOCK) * CHECK
    }

    /// Bytes of the whole object.
    pub fn total(&self) -> usize {
        self.footer_at + self.footer_len() + TRAILER_LEN
    }
}

pub fn u32_at(row: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(row[at..at + 4].try_into().expect("a slice of 4 bytes"))
}

pub fn u64_at(row: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(row[at..at + 8].try_into().expect("a slice of 8 bytes"))
}

pub fn id_at(row: &[u8], at: usize) -> Id {
    Id(row[at..at + 32].try_into().expect("a slice of 32 bytes"))
}

pub fn put_pack(out: &mut Vec<u8>, pack: &IndexPack) {
    out.put_u64(pack.name.born);
    out.put_slice(&pack.name.random);
    out.put_slice(&[pack.kind.letter(), 0, 0, 0, 0, 0, 0, 0]);
    out.put_u64(pack.bytes);
    pack.hooks.iter().for_each(|hook| out.put_id(hook));
}

/// Reads a row of a pack; `None` where its kind or its padding can't be.
pub fn read_pack(row: &[u8]) -> Option<IndexPack> {
    let random = row[8..24].try_into().expect("a slice of 16 bytes");
    let kind = ObjectKind::from_letter(row[24]).filter(|kind| kind.is_pack() && row[25..32] == [0; 7])?;
    Some(IndexPack {
        name: ObjectName { born: u64_at(row, 0), random },
        kind,
        bytes: u64_at(row, 32),
        hooks: [id_at(row, 40), id_at(row, 72)],
    })
}

/// A row of a frame, in memory as in the object but for the padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRow {
    pub pack: u32,
    pub offset: u32,
    pub stored: u32,
    pub raw: u32,
    pub encoding: u8,
    /// Number in the table of bases + 1, or 0.
    pub base: u32,
}

impl FrameRow {
    pub fn put(&self, out: &mut Vec<u8>) {
        [self.pack, self.offset, self.stored, self.raw].iter().for_each(|number| out.put_u32(*number));
        out.put_slice(&[self.encoding, 0, 0, 0]);
        out.put_u32(self.base);
    }

    pub fn read(row: &[u8]) -> FrameRow {
        FrameRow {
            pack: u32_at(row, 0),
            offset: u32_at(row, 4),
            stored: u32_at(row, 8),
            raw: u32_at(row, 12),
            encoding: row[16],
            base: u32_at(row, 20),
        }
    }

    /// The encoding that number and base say, if they may stand together.
    pub fn encoding(&self, base: impl FnOnce(u32) -> Option<Id>) -> Option<Encoding> {
        match (self.encoding, self.base) {
            (0, 0) => Some(Encoding::Raw),
            (1, 0) => Some(Encoding::Zstd),
            (2, 1..) => base(self.base - 1).map(Encoding::Based),
            _ => None,
        }
    }
}

/// A row of a chunk. Its order is that of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkRow {
    pub id: Id,
    pub frame: u32,
    pub at: u32,
    pub len: u32,
}

impl ChunkRow {
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_id(&self.id);
        [self.frame, self.at, self.len].iter().for_each(|number| out.put_u32(*number));
    }

    pub fn read(row: &[u8]) -> ChunkRow {
        ChunkRow { id: id_at(row, 0), frame: u32_at(row, 32), at: u32_at(row, 36), len: u32_at(row, 40) }
    }
}

/// A row of a meta object. Its order is that of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetaRow {
    pub id: Id,
    pub kind: ItemKind,
    pub frame: u32,
    pub at: u32,
    pub len: u32,
    pub hint_len: u32,
}

impl MetaRow {
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_id(&self.id);
        [self.frame, self.at, self.len, self.hint_len].iter().for_each(|number| out.put_u32(*number));
        out.put_slice(&[self.kind.code(), 0, 0, 0]);
    }

    /// Reads a row; `None` where its kind or its padding can't be.
    pub fn read(row: &[u8]) -> Option<MetaRow> {
        let kind = ItemKind::from_code(row[48]).filter(|kind| *kind != ItemKind::Chunk && row[49..52] == [0; 3])?;
        let (frame, at, len, hint_len) = (u32_at(row, 32), u32_at(row, 36), u32_at(row, 40), u32_at(row, 44));
        Some(MetaRow { id: id_at(row, 0), kind, frame, at, len, hint_len })
    }
}
