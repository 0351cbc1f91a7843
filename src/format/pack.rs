//! Packs: one container for chunks, for meta objects and for the nodes of a state (docs/format.md §4).
//!
//! ```text
//! header │ frame │ frame │ … │ footer: what the frames are, which items fill them │ trailer
//! ```
//! A pack is written by [`PackBuilder`] in one go and never changed. Its footer says all that an index keeps, so indexes can
//! always be made again from packs. Every byte is covered: header and footer by the trailer's hash, each frame by its
//! check, and raw frames of data packs by the ids of their chunks.

use crate::base::{Id, ObjectName};

use super::codec::{Put, check_of};
use super::header::{ObjectKind, header};
use super::place::{Encoding, FramePlace, MAX_ITEM, Place, lengths_are_possible};

mod build;
mod parse;
#[cfg(test)]
mod tests;

pub use build::{FinishedPack, NewItem, PackBuilder};
pub use parse::{TailParse, parse_footer, parse_pack};

/// No footer is longer, in bytes.
pub const MAX_FOOTER: usize = 64 << 20;

/// What an item is. The numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ItemKind {
    Chunk = 0,
    /// A node of a manifest.
    Node = 1,
    RecipeRoot = 2,
    RecipePage = 3,
    Version = 4,
    /// Attributes out of line.
    Attributes = 5,
    Tombstone = 6,
    /// A node of a state.
    StateNode = 7,
}

impl ItemKind {
    /// Every kind, in the order of its number.
    pub const ALL: [ItemKind; 8] = [
        ItemKind::Chunk,
        ItemKind::Node,
        ItemKind::RecipeRoot,
        ItemKind::RecipePage,
        ItemKind::Version,
        ItemKind::Attributes,
        ItemKind::Tombstone,
        ItemKind::StateNode,
    ];

    /// The kind's number in the format.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    pub fn from_code(code: u8) -> Option<ItemKind> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The kind of pack that holds such items: each has just one.
    pub fn home(self) -> ObjectKind {
        match self {
            ItemKind::Chunk => ObjectKind::Pack,
            ItemKind::StateNode => ObjectKind::State,
            _ => ObjectKind::MetaPack,
        }
    }

    /// Whether its id is the BLAKE3 of its bytes.
    pub fn is_named_by_hash(self) -> bool {
        !matches!(self, ItemKind::RecipeRoot | ItemKind::Tombstone)
    }
}

/// A frame of a pack: what is compressed as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackFrame {
    /// From the start of the pack.
    pub offset: u32,
    /// Bytes in the pack.
    pub stored_bytes: u32,
    /// Bytes when decoded.
    pub raw_bytes: u32,
    pub encoding: Encoding,
    /// Of the stored bytes; none for raw frames of data packs, whose chunks' ids cover them.
    pub check: Option<[u8; 8]>,
}

/// An item of a pack: `len` bytes of the object at `at` in its decoded frame, then `hint_len` bytes of hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackItem {
    pub id: Id,
    pub kind: ItemKind,
    /// The frame's ordinal in the pack, from 0.
    pub frame: u32,
    pub at: u32,
    pub len: u32,
    pub hint_len: u32,
}

/// What a pack holds, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footer {
    pub frames: Vec<PackFrame>,
    pub items: Vec<PackItem>,
}

impl Footer {
    /// Where `item` of this footer lies when the pack is stored as `pack`.
    ///
    /// Panics if the item's frame isn't one of this footer's.
    pub fn place(&self, pack: ObjectName, item: &PackItem) -> Place {
        let frame = &self.frames[item.frame as usize];
        Place { frame: frame.place(pack), at: item.at, len: item.len, hint_len: item.hint_len }
    }

    /// Items of each frame, in order.
    pub fn items_by_frame(&self) -> impl Iterator<Item = (&PackFrame, &[PackItem])> {
        self.items.chunk_by(|a, b| a.frame == b.frame).map(|items| (&self.frames[items[0].frame as usize], items))
    }

    /// The items in frames that need no base.
    pub fn plain_ids(&self) -> impl Iterator<Item = Id> {
        let plain = self.items_by_frame().filter(|(frame, _)| !frame.encoding.needs_base());
        plain.flat_map(|(_, items)| items.iter().map(|item| item.id))
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_count(self.frames.len());
        for frame in &self.frames {
            out.put_varint(frame.stored_bytes.into());
            out.put_varint(frame.raw_bytes.into());
            frame.encoding.put(out);
            if let Some(check) = &frame.check {
                out.put_slice(check);
            }
        }
        out.put_count(self.items.len());
        let mut frame = 0;
        for item in &self.items {
            out.put_varint((item.frame - frame).into());
            frame = item.frame;
            out.put_id(&item.id);
            out.put_u8(item.kind.code());
            out.put_varint(item.len.into());
            out.put_varint(item.hint_len.into());
        }
    }
}

impl PackFrame {
    /// Where this frame lies when its pack is stored as `pack`.
    pub fn place(&self, pack: ObjectName) -> FramePlace {
        FramePlace {
            pack,
            offset: self.offset,
            stored_bytes: self.stored_bytes,
            raw_bytes: self.raw_bytes,
            encoding: self.encoding,
        }
    }

    fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.stored_bytes)
    }
}

/// Whether frames of this encoding carry a check in packs of this kind.
fn carries_check(kind: ObjectKind, encoding: &Encoding) -> bool {
    kind != ObjectKind::Pack || *encoding != Encoding::Raw
}

/// Whether the bytes of a frame are those that `check` was made of.
pub fn frame_is_intact(stored: &[u8], check: [u8; 8]) -> bool {
    check_of(stored) == check
}

/// Whether an item of this kind may have these lengths.
pub(super) fn item_is_possible(kind: ItemKind, len: u32, hint_len: u32) -> bool {
    let whole = len.checked_add(hint_len);
    len > 0 && whole.is_some_and(|whole| whole <= MAX_ITEM) && (hint_len == 0 || kind != ItemKind::Chunk)
}

fn hash_of(kind: ObjectKind, footer: &[u8]) -> Id {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header(kind)).update(footer);
    Id(*hasher.finalize().as_bytes())
}
