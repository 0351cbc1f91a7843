//! Where a stored item lies (docs/format.md §4).

use crate::base::id::MAX_BORN;
use crate::base::{Id, ObjectName, Result};

use super::codec::{Put, Reader};
use super::header::HEADER_LEN;

/// No frame decodes to more than this, in any pack.
pub const MAX_FRAME_RAW: u32 = (1 << 20) + (64 << 10);
/// No item is longer than this.
pub const MAX_ITEM: u32 = 1 << 20;

/// How a frame's bytes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Raw,
    Zstd,
    /// zstd with the named chunk or meta object as prefix.
    Based(Id),
}

impl Encoding {
    /// The number in the format, without the base.
    pub fn code(&self) -> u8 {
        match self {
            Encoding::Raw => 0,
            Encoding::Zstd => 1,
            Encoding::Based(_) => 2,
        }
    }

    /// Whether a frame is decoded with another object's bytes.
    pub fn needs_base(&self) -> bool {
        matches!(self, Encoding::Based(_))
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(self.code());
        if let Encoding::Based(base) = self {
            out.put_id(base);
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Encoding> {
        match reader.u8()? {
            0 => Ok(Encoding::Raw),
            1 => Ok(Encoding::Zstd),
            2 => reader.id().map(Encoding::Based),
            code => Err(reader.fault(format_args!("encoding {code} is unknown"))),
        }
    }
}

/// A frame in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePlace {
    pub pack: ObjectName,
    /// From the start of the pack.
    pub offset: u32,
    /// Bytes in the pack.
    pub stored_bytes: u32,
    /// Bytes when decoded.
    pub raw_bytes: u32,
    pub encoding: Encoding,
}

/// An item in a frame: `len` bytes of the object from `at`, then `hint_len` bytes of hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub frame: FramePlace,
    pub at: u32,
    pub len: u32,
    pub hint_len: u32,
}

impl Place {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_object_name(out, &self.frame.pack);
        out.put_varint(self.frame.offset.into());
        out.put_varint(self.frame.stored_bytes.into());
        out.put_varint(self.frame.raw_bytes.into());
        self.frame.encoding.put(out);
        out.put_varint(self.at.into());
        out.put_varint(self.len.into());
        out.put_varint(self.hint_len.into());
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Place> {
        let pack = read_object_name(reader)?;
        let frame = FramePlace {
            pack,
            offset: reader.varint_u32()?,
            stored_bytes: reader.varint_u32()?,
            raw_bytes: reader.varint_u32()?,
            encoding: Encoding::read(reader)?,
        };
        let place =
            Place { frame, at: reader.varint_u32()?, len: reader.varint_u32()?, hint_len: reader.varint_u32()? };
        match place.is_possible() {
            true => Ok(place),
            false => Err(reader.fault("a place that can't be")),
        }
    }

    /// Whether the numbers respect the limits of §4 and lie within each other.
    pub fn is_possible(&self) -> bool {
        let whole = self.len.checked_add(self.hint_len);
        let end = whole.and_then(|whole| self.at.checked_add(whole));
        self.frame.is_possible()
            && self.len > 0
            && whole.is_some_and(|whole| whole <= MAX_ITEM)
            && end.is_some_and(|end| end <= self.frame.raw_bytes)
    }
}

impl FramePlace {
    fn is_possible(&self) -> bool {
        lengths_are_possible(self.stored_bytes, self.raw_bytes, &self.encoding)
            && self.offset as usize >= HEADER_LEN
            && self.offset.checked_add(self.stored_bytes).is_some()
    }
}

/// Whether a frame may have these lengths (the limits of §4).
pub(super) fn lengths_are_possible(stored: u32, raw: u32, encoding: &Encoding) -> bool {
    let bounded = |len| (1..=MAX_FRAME_RAW).contains(&len);
    bounded(stored) && bounded(raw) && (*encoding != Encoding::Raw || stored == raw)
}

/// born as a varint, then the 16 random bytes.
pub fn put_object_name(out: &mut Vec<u8>, name: &ObjectName) {
    out.put_varint(name.born);
    out.put_slice(&name.random);
}

pub fn read_object_name(reader: &mut Reader<'_>) -> Result<ObjectName> {
    let born = reader.varint()?;
    if born > MAX_BORN {
        return Err(reader.fault("a born number has more than 12 digits"));
    }
    Ok(ObjectName { born, random: reader.array()? })
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
