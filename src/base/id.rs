//! Ids of content and names of stored objects (docs/format.md §1, §2).

use std::fmt;

use super::{Error, Result};

/// A BLAKE3 digest: of a file's bytes, of a chunk, of a meta object's canonical bytes, of a stored object.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 32]);

impl Id {
    /// All zero bits: "none", as the predecessor of the first record.
    pub const ZERO: Id = Id([0; 32]);
    /// All one bits: sorts behind every other id.
    pub const MAX: Id = Id([0xff; 32]);

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Id {
        Id(*blake3::hash(bytes).as_bytes())
    }

    /// Parses 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Id> {
        let mut bytes = [0; 32];
        hex_decode(text, &mut bytes).then_some(Id(bytes))
    }

    /// The 12 hex digits that people are shown.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }

    /// The first 8 bytes, little-endian: what content-defined cuts look at.
    pub fn word(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex_fmt(&self.0, f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.short())
    }
}

/// The name of a stored object in its folder: the log number its writer had seen, and 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Number of the newest log record when the writer's session began.
    pub born: u64,
    /// From the system's random source.
    pub random: [u8; 16],
}

/// `born` has 12 decimal digits in a name.
pub const MAX_BORN: u64 = 999_999_999_999;

impl ObjectName {
    /// Parses `<12 decimal digits>-<32 hex digits>`.
    pub fn parse(text: &str) -> Result<ObjectName> {
        let parsed = || {
            let (born, random) = text.split_once('-')?;
            let digits = born.len() == 12 && born.bytes().all(|b| b.is_ascii_digit());
            let mut bytes = [0; 16];
            (digits && hex_decode(random, &mut bytes)).then_some(ObjectName { born: born.parse().ok()?, random: bytes })
        };
        parsed().ok_or_else(|| Error::damaged(format!("not the name of a stored object: {text:?}")))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}-", self.born)?;
        hex_fmt(&self.random, f)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectName({self})")
    }
}

/// Writes bytes as lower-case hex.
pub fn hex_fmt(bytes: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        f.write_char(DIGITS[usize::from(byte >> 4)] as char)?;
        f.write_char(DIGITS[usize::from(byte & 15)] as char)?;
    }
    Ok(())
}

/// Fills `out` from exactly twice as many lower-case hex digits; false if `text` isn't that.
pub fn hex_decode(text: &str, out: &mut [u8]) -> bool {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    text.len() == out.len() * 2
        && text.as_bytes().chunks_exact(2).zip(out).all(|(pair, byte)| match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => {
                *byte = high << 4 | low;
                true
            }
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_exact() {
        let id = Id::of(b"");
        assert_eq!(id.to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
        assert_eq!(Id::from_hex(&id.to_string()), Some(id));
        assert_eq!(Id::from_hex(&id.to_string().to_uppercase()), None);
        assert_eq!(Id::from_hex("af"), None);
    }

    #[test]
    fn object_names_round_trip_and_sort_by_birth() {
        let early = ObjectName { born: 7, random: [0xff; 16] };
        let late = ObjectName { born: 10, random: [0; 16] };
        assert_eq!(ObjectName::parse(&early.to_string()).expect("own name"), early);
        assert!(early < late && early.to_string() < late.to_string());
        assert!(ObjectName::parse("7-ff").is_err());
    }
}
