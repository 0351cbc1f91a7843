//! The smallest pieces: integers, varints, strings, ids (docs/format.md §1).

use crate::base::{Error, Id, Result};

/// Appends the pieces of the format to a buffer.
pub trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_slice(&mut self, bytes: &[u8]);

    fn put_u16(&mut self, value: u16) {
        self.put_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.put_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put_slice(&value.to_le_bytes());
    }

    fn put_i64(&mut self, value: i64) {
        self.put_slice(&value.to_le_bytes());
    }

    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    fn put_count(&mut self, count: usize) {
        self.put_varint(count as u64);
    }

    fn put_id(&mut self, id: &Id) {
        self.put_slice(&id.0);
    }

    fn put_option_id(&mut self, id: Option<&Id>) {
        self.put_u8(u8::from(id.is_some()));
        if let Some(id) = id {
            self.put_id(id);
        }
    }

    /// A length and the bytes.
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_count(bytes.len());
        self.put_slice(bytes);
    }

    /// A length and the text.
    fn put_string(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// How many bytes a varint takes.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// The first 8 bytes of the BLAKE3 of `bytes`: guards against rot.
pub fn check_of(bytes: &[u8]) -> [u8; 8] {
    Id::of(bytes).word().to_le_bytes()
}

/// Takes the pieces of the format from a buffer, front to back. `what` names the buffer in errors.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { what, bytes, at: 0 }
    }

    /// An error about this buffer at the present offset.
    pub fn fault(&self, why: impl std::fmt::Display) -> Error {
        Error::damaged(format!("{}: {why} (at byte {})", self.what, self.at))
    }

    /// Bytes not yet taken.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Bytes taken so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Everything taken so far, for checks over it.
    pub fn taken(&self) -> &'a [u8] {
        &self.bytes[..self.at]
    }

    pub fn slice(&mut self, len: usize) -> Result<&'a [u8]> {
        if len > self.left() {
            return Err(self.fault("ends too early"));
        }
        let slice = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(slice)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.slice(N)?);
        Ok(out)
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A shortest-form varint.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.fault("a number exceeds 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.fault("a number isn't in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(self.fault("a number exceeds 64 bits"))
    }

    /// A varint that must fit in 32 bits.
    pub fn varint_u32(&mut self) -> Result<u32> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| self.fault("a number exceeds 32 bits"))
    }

    /// A count of things that take at least `least` bytes each: so many must be left.
    pub fn count(&mut self, least: usize) -> Result<usize> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) if count.checked_mul(least.max(1)).is_some_and(|bytes| bytes <= self.left()) => Ok(count),
            _ => Err(self.fault("a count exceeds what is there")),
        }
    }

    pub fn id(&mut self) -> Result<Id> {
        self.array().map(Id)
    }

    pub fn option_id(&mut self) -> Result<Option<Id>> {
        self.flag()?.then(|| self.id()).transpose()
    }

    /// A byte that is 0 or 1.
    pub fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.fault("a flag is neither 0 nor 1")),
        }
    }

    /// A length and at most `max` bytes.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8]> {
        let len = self.count(1)?;
        if len > max {
            return Err(self.fault(format_args!("{len} bytes where at most {max} may be")));
        }
        self.slice(len)
    }

    /// A length and at most `max` bytes of UTF-8.
    pub fn string(&mut self, max: usize) -> Result<&'a str> {
        let bytes = self.bytes(max)?;
        std::str::from_utf8(bytes).map_err(|_| self.fault("a text isn't UTF-8"))
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.fault(format_args!("{left} bytes too many"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip(value: u64) {
            let mut bytes = Vec::new();
            bytes.put_varint(value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            let mut reader = Reader::new("test", &bytes);
            prop_assert_eq!(reader.varint().expect("own bytes"), value);
            prop_assert!(reader.end().is_ok());
        }

        #[test]
        fn what_parses_as_a_varint_is_its_only_form(bytes in proptest::collection::vec(any::<u8>(), 1..12)) {
            let mut reader = Reader::new("test", &bytes);
            if let Ok(value) = reader.varint() {
                let mut again = Vec::new();
                again.put_varint(value);
                prop_assert_eq!(&again[..], reader.taken());
            }
        }
    }

    #[test]
    fn a_count_needs_its_bytes() {
        let mut bytes = Vec::new();
        bytes.put_varint(u64::MAX);
        assert!(Reader::new("test", &bytes).count(1).is_err());
        assert!(Reader::new("test", &bytes).count(usize::MAX).is_err());
    }
}
