//! Writing a pack, frame by frame.

use crate::base::{Error, Id, Kind, Result};

use super::super::codec::check_of;
use super::super::header::{HEADER_LEN, ObjectKind, TRAILER_LEN, Trailer, header};
use super::super::place::Encoding;
use super::{Footer, ItemKind, MAX_FOOTER, PackFrame, PackItem};
use super::{carries_check, hash_of, item_is_possible, lengths_are_possible};

/// Reserved for a data pack: the 32 MiB that writers aim at, a last frame, and the footer.
const DATA_PACK_CAPACITY: usize = 34 << 20;
/// Frames may fill a pack up to here, so that any footer fits below 4 GiB.
const MAX_FRAMES_END: usize = u32::MAX as usize - MAX_FOOTER - TRAILER_LEN;
/// The most that a frame and an item take in a footer, and that the two counts take.
const MOST_FRAME: usize = 3 + 3 + 1 + 32 + 8;
const MOST_ITEM: usize = 1 + 32 + 1 + 3 + 3;
const MOST_COUNTS: usize = 2 * 10;

/// An item of a frame that is being added; its offset is where the ones before it end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewItem {
    pub id: Id,
    pub kind: ItemKind,
    /// Bytes of the object.
    pub len: u32,
    /// Bytes of the hint behind it.
    pub hint_len: u32,
}

/// A pack in the making, in memory.
#[derive(Debug)]
pub struct PackBuilder {
    kind: ObjectKind,
    /// Header and frames; empty until the first frame.
    bytes: Vec<u8>,
    footer: Footer,
}

/// A pack, and what its footer says.
#[derive(Debug)]
pub struct FinishedPack {
    pub kind: ObjectKind,
    /// The whole object.
    pub bytes: Vec<u8>,
    pub footer: Footer,
}

impl PackBuilder {
    /// An empty pack of `kind`; memory is taken with the first frame.
    pub fn new(kind: ObjectKind) -> PackBuilder {
        PackBuilder::reusing(kind, Vec::new())
    }

    /// An empty pack of `kind` in the memory of `buffer`, whose bytes are dropped.
    pub fn reusing(kind: ObjectKind, mut buffer: Vec<u8>) -> PackBuilder {
        buffer.clear();
        PackBuilder { kind, bytes: buffer, footer: Footer::default() }
    }

    /// Adds a frame whose bytes in the pack are `stored`, and that holds `items` back to back when decoded.
    /// Returns its ordinal in the pack.
    ///
    /// Fails, and adds nothing, if a limit of the format doesn't hold or the items don't fill the frame.
    pub fn add_frame(&mut self, stored: &[u8], raw_bytes: u32, encoding: Encoding, items: &[NewItem]) -> Result<u32> {
        let stored_bytes = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        if !lengths_are_possible(stored_bytes, raw_bytes, &encoding) {
            return Err(self.fault(format_args!("a frame of {stored_bytes} bytes for {raw_bytes} can't be")));
        }
        let good =
            |item: &NewItem| item.kind.home() == self.kind && item_is_possible(item.kind, item.len, item.hint_len);
        let filled: u64 = items.iter().map(|item| u64::from(item.len) + u64::from(item.hint_len)).sum();
        if !items.iter().all(good) || filled != u64::from(raw_bytes) {
            return Err(self.fault("the items don't fill their frame, or can't be in it"));
        }
        self.check_room(stored.len(), 1, items.len())?;
        if self.bytes.is_empty() {
            self.bytes.reserve(if self.kind == ObjectKind::Pack { DATA_PACK_CAPACITY } else { 0 });
            self.bytes.extend_from_slice(&header(self.kind));
        }
        let frame = self.footer.frames.len() as u32;
        let check = carries_check(self.kind, &encoding).then(|| check_of(stored));
        let offset = self.bytes.len() as u32;
        self.footer.frames.push(PackFrame { offset, stored_bytes, raw_bytes, encoding, check });
        self.bytes.extend_from_slice(stored);
        let mut at = 0;
        for &NewItem { id, kind, len, hint_len } in items {
            self.footer.items.push(PackItem { id, kind, frame, at, len, hint_len });
            at += len + hint_len;
        }
        Ok(frame)
    }

    /// Moves the frames of `other` behind those of this pack. Returns what is added to the ordinals of its frames.
    ///
    /// Fails, and changes nothing here, if the two are of different kinds or exceed a pack's limits together.
    pub fn append(&mut self, other: PackBuilder) -> Result<u32> {
        if self.kind != other.kind {
            return Err(self.fault(format_args!("a {} can't join it", other.kind.noun())));
        }
        self.check_room(other.len(), other.footer.frames.len(), other.footer.items.len())?;
        if self.is_empty() {
            *self = other;
            return Ok(0);
        }
        let shift = self.footer.frames.len() as u32;
        if let Some(frames) = other.bytes.get(HEADER_LEN..) {
            let moved = (self.bytes.len() - HEADER_LEN) as u32;
            self.bytes.extend_from_slice(frames);
            let shifted = |frame: PackFrame| PackFrame { offset: frame.offset + moved, ..frame };
            self.footer.frames.extend(other.footer.frames.into_iter().map(shifted));
            let shifted = |item: PackItem| PackItem { frame: item.frame + shift, ..item };
            self.footer.items.extend(other.footer.items.into_iter().map(shifted));
        }
        Ok(shift)
    }

    /// Bytes so far, without footer and trailer; 0 while it is empty.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no frame.
    pub fn is_empty(&self) -> bool {
        self.footer.frames.is_empty()
    }

    /// What it holds so far.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Appends footer and trailer.
    pub fn finish(mut self) -> FinishedPack {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&header(self.kind));
        }
        let start = self.bytes.len();
        self.bytes.reserve(footer_bound(self.footer.frames.len(), self.footer.items.len()) + TRAILER_LEN);
        self.footer.put(&mut self.bytes);
        let footer = &self.bytes[start..];
        let trailer = Trailer { footer_len: footer.len() as u32, hash: hash_of(self.kind, footer) };
        trailer.put(&mut self.bytes);
        FinishedPack { kind: self.kind, bytes: self.bytes, footer: self.footer }
    }

    fn check_room(&self, bytes: usize, frames: usize, items: usize) -> Result<()> {
        let footer = footer_bound(self.footer.frames.len() + frames, self.footer.items.len() + items);
        match HEADER_LEN + self.bytes.len() + bytes <= MAX_FRAMES_END && footer <= MAX_FOOTER {
            true => Ok(()),
            false => Err(self.fault("it is full")),
        }
    }

    fn fault(&self, why: impl std::fmt::Display) -> Error {
        Error::new(Kind::Failed, format!("cannot add to a {}: {why}", self.kind.noun()))
    }
}

fn footer_bound(frames: usize, items: usize) -> usize {
    MOST_COUNTS + frames * MOST_FRAME + items * MOST_ITEM
}
