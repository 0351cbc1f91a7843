//! Reading a pack's footer, from its last bytes or from the whole.

use crate::base::{Error, Result};

use super::super::codec::Reader;
use super::super::header::{HEADER_LEN, ObjectKind, TRAILER_LEN, Trailer, check_header};
use super::super::place::Encoding;
use super::{Footer, ItemKind, MAX_FOOTER, PackFrame, PackItem};
use super::{carries_check, hash_of, item_is_possible, lengths_are_possible};

/// What the last bytes of a pack gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailParse {
    /// They held the whole footer.
    Whole(Footer),
    /// So many bytes of the pack's end are needed; more than were given.
    Needs(u64),
}

/// Reads the footer from `tail`, the last bytes of a pack of `total_bytes`.
///
/// The header is taken to be that of `kind`, which the trailer's hash confirms; it is looked at if `tail` is the whole pack.
pub fn parse_footer(kind: ObjectKind, total_bytes: u64, tail: &[u8]) -> Result<TailParse> {
    let fault = |why: &str| Error::damaged(format!("{}: {why}", kind.noun()));
    if tail.len() as u64 > total_bytes || total_bytes < (HEADER_LEN + TRAILER_LEN) as u64 {
        return Err(fault("shorter than it can be"));
    }
    if total_bytes > u64::from(u32::MAX) {
        return Err(fault("4 GiB or more"));
    }
    if tail.len() < TRAILER_LEN {
        return Ok(TailParse::Needs(TRAILER_LEN as u64));
    }
    if tail.len() as u64 == total_bytes {
        check_header(tail, kind)?;
    }
    let trailer = Trailer::read("a pack's trailer", tail)?;
    let footer_len = trailer.footer_len as usize;
    let needed = footer_len + TRAILER_LEN;
    if footer_len > MAX_FOOTER || (needed + HEADER_LEN) as u64 > total_bytes {
        return Err(fault("the footer's length can't be"));
    }
    if tail.len() < needed {
        return Ok(TailParse::Needs(needed as u64));
    }
    let footer = &tail[tail.len() - needed..tail.len() - TRAILER_LEN];
    if hash_of(kind, footer) != trailer.hash {
        return Err(fault("the footer isn't what was written"));
    }
    Footer::read(kind, footer, total_bytes - needed as u64).map(TailParse::Whole)
}

/// Reads the footer of a whole pack, and checks header and trailer. The frames aren't looked at.
pub fn parse_pack(kind: ObjectKind, bytes: &[u8]) -> Result<Footer> {
    match parse_footer(kind, bytes.len() as u64, bytes)? {
        TailParse::Whole(footer) => Ok(footer),
        TailParse::Needs(_) => Err(Error::damaged(format!("{}: ends too early", kind.noun()))),
    }
}

impl Footer {
    /// Reads a footer whose frames end at `frames_end` in the pack.
    pub(super) fn read(kind: ObjectKind, bytes: &[u8], frames_end: u64) -> Result<Footer> {
        let mut reader = Reader::new("a pack's footer", bytes);
        let frames = read_frames(kind, &mut reader)?;
        let end = frames.last().map_or(HEADER_LEN as u64, PackFrame::end);
        if end != frames_end {
            return Err(reader.fault("the frames don't fill the pack"));
        }
        let items = read_items(kind, &frames, &mut reader)?;
        reader.end()?;
        Ok(Footer { frames, items })
    }
}

/// The least bytes that a frame takes in a footer together with the item that it must have.
const LEAST_FRAME: usize = 3 + LEAST_ITEM;
const LEAST_ITEM: usize = 1 + 32 + 1 + 1 + 1;

fn read_frames(kind: ObjectKind, reader: &mut Reader<'_>) -> Result<Vec<PackFrame>> {
    let count = reader.count(LEAST_FRAME)?;
    let mut frames = Vec::with_capacity(count);
    let mut offset = HEADER_LEN as u32;
    for _ in 0..count {
        let stored_bytes = reader.varint_u32()?;
        let raw_bytes = reader.varint_u32()?;
        let encoding = Encoding::read(reader)?;
        let check = carries_check(kind, &encoding).then(|| reader.array()).transpose()?;
        if !lengths_are_possible(stored_bytes, raw_bytes, &encoding) {
            return Err(reader.fault("a frame has impossible lengths"));
        }
        frames.push(PackFrame { offset, stored_bytes, raw_bytes, encoding, check });
        offset = offset.checked_add(stored_bytes).ok_or_else(|| reader.fault("the frames exceed 4 GiB"))?;
    }
    Ok(frames)
}

fn read_items(kind: ObjectKind, frames: &[PackFrame], reader: &mut Reader<'_>) -> Result<Vec<PackItem>> {
    let count = reader.count(LEAST_ITEM)?;
    let mut items: Vec<PackItem> = Vec::with_capacity(count);
    let (mut begun, mut at, mut room) = (0, 0, 0);
    for _ in 0..count {
        let step = reader.varint()?;
        if items.is_empty() && step != 0 || !items.is_empty() && step != u64::from(room == 0) {
            return Err(reader.fault("the items don't fill their frames"));
        }
        if room == 0 {
            let frame = frames.get(begun).ok_or_else(|| reader.fault("an item is in no frame"))?;
            (begun, at, room) = (begun + 1, 0, frame.raw_bytes);
        }
        let id = reader.id()?;
        let item_kind = ItemKind::from_code(reader.u8()?).filter(|item| item.home() == kind);
        let item_kind = item_kind.ok_or_else(|| reader.fault("a kind of item that can't be in this pack"))?;
        let (len, hint_len) = (reader.varint_u32()?, reader.varint_u32()?);
        if !item_is_possible(item_kind, len, hint_len) || len + hint_len > room {
            return Err(reader.fault("an item has impossible lengths"));
        }
        items.push(PackItem { id, kind: item_kind, frame: begun as u32 - 1, at, len, hint_len });
        at += len + hint_len;
        room -= len + hint_len;
    }
    match begun == frames.len() && room == 0 {
        true => Ok(items),
        false => Err(reader.fault("the items don't fill their frames")),
    }
}
