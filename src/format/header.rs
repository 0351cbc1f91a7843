//! How stored objects begin and, those with a footer, end (docs/format.md §3, §4).

use crate::base::{Error, Id, Kind, ObjectName, Result};

use super::codec::{Put, Reader};

/// Bytes of a header.
pub const HEADER_LEN: usize = 16;
/// Bytes of a trailer.
pub const TRAILER_LEN: usize = 48;

const MAGIC: &[u8; 6] = b"DAGSET";
const END_MAGIC: &[u8; 8] = b"DAGSETEN";

/// What a stored binary object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Frames of chunks.
    Pack,
    /// Frames of meta objects.
    MetaPack,
    /// Tables that say where chunks and meta objects lie.
    Index,
    /// A log record.
    Record,
    /// Frames of the folded state's nodes.
    State,
    /// Who used what.
    Use,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [ObjectKind; 6] = [
        ObjectKind::Pack,
        ObjectKind::MetaPack,
        ObjectKind::Index,
        ObjectKind::Record,
        ObjectKind::State,
        ObjectKind::Use,
    ];

    /// The ASCII letter in the header.
    pub fn letter(self) -> u8 {
        match self {
            ObjectKind::Pack => b'P',
            ObjectKind::MetaPack => b'M',
            ObjectKind::Index => b'I',
            ObjectKind::Record => b'L',
            ObjectKind::State => b'S',
            ObjectKind::Use => b'U',
        }
    }

    /// The kind with this letter.
    pub fn from_letter(letter: u8) -> Option<ObjectKind> {
        Self::ALL.into_iter().find(|kind| kind.letter() == letter)
    }

    /// The folder of a store that holds such objects.
    pub fn folder(self) -> &'static str {
        match self {
            ObjectKind::Pack => "packs",
            ObjectKind::MetaPack => "meta",
            ObjectKind::Index => "index",
            ObjectKind::Record => "log",
            ObjectKind::State => "state",
            ObjectKind::Use => "uses",
        }
    }

    /// What such an object is called in a store, where its name isn't a number or a use's.
    pub fn object(self, name: &ObjectName) -> String {
        format!("{}/{name}", self.folder())
    }

    /// What people call it.
    pub fn noun(self) -> &'static str {
        match self {
            ObjectKind::Pack => "data pack",
            ObjectKind::MetaPack => "meta pack",
            ObjectKind::Index => "index",
            ObjectKind::Record => "log record",
            ObjectKind::State => "state pack",
            ObjectKind::Use => "use",
        }
    }

    /// Whether it is a container of frames (§4).
    pub fn is_pack(self) -> bool {
        matches!(self, ObjectKind::Pack | ObjectKind::MetaPack | ObjectKind::State)
    }
}

/// The header of a plain object of `kind`.
pub fn header(kind: ObjectKind) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..6].copy_from_slice(MAGIC);
    bytes[6] = kind.letter();
    bytes
}

/// Checks that `bytes` begin with the header of a plain object of `kind`.
///
/// Fails as [`Kind::Damaged`] where that isn't so, but as [`Kind::Failed`] where the object is of that kind in an envelope
/// that only a newer dagset knows.
pub fn check_header(bytes: &[u8], kind: ObjectKind) -> Result<()> {
    let fault = |why: &str| Err(Error::damaged(format!("{}: {why}", kind.noun())));
    let Some(found) = bytes.get(..HEADER_LEN) else {
        return fault("shorter than a header");
    };
    if &found[..6] != MAGIC {
        return fault("doesn't begin as an object of dagset");
    }
    if found[6] != kind.letter() {
        return fault("the header names another kind of object");
    }
    if found[7] != 0 {
        let message = format!("{}: envelope {} is unknown", kind.noun(), found[7]);
        return Err(Error::new(Kind::Failed, message).hint("a newer dagset is needed to read this store"));
    }
    match found[8..].iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => fault("the header's reserved bytes aren't zero"),
    }
}

/// The end of an object with a footer: where the footer begins, and the hash that covers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Bytes of the footer, which stands right before the trailer.
    pub footer_len: u32,
    /// BLAKE3 of what the kind of object says: the header and the footer of packs, the footer of indexes.
    pub hash: Id,
}

impl Trailer {
    /// Appends the trailer.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.footer_len);
        out.put_u32(0);
        out.put_id(&self.hash);
        out.put_slice(END_MAGIC);
    }

    /// Reads the trailer that ends `tail`, the last bytes of an object (48 at least).
    pub fn read(what: &'static str, tail: &[u8]) -> Result<Trailer> {
        let start = tail.len().saturating_sub(TRAILER_LEN);
        let mut reader = Reader::new(what, &tail[start..]);
        let footer_len = reader.u32()?;
        let zero = reader.u32()?;
        let hash = reader.id()?;
        match &reader.array::<8>()? == END_MAGIC && zero == 0 {
            true => Ok(Trailer { footer_len, hash }),
            false => Err(reader.fault("doesn't end as an object of dagset")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_header_is_accepted() {
        for kind in ObjectKind::ALL {
            assert_eq!(ObjectKind::from_letter(kind.letter()), Some(kind));
            for other in ObjectKind::ALL {
                assert_eq!(check_header(&header(other), kind).is_ok(), other == kind);
            }
        }
        assert_eq!(ObjectKind::from_letter(0), None);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let good = header(ObjectKind::Pack);
        for bit in 0..HEADER_LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            let fault = check_header(&bad, ObjectKind::Pack).expect_err("flipped");
            assert_eq!(fault.kind(), if bit / 8 == 7 { Kind::Failed } else { Kind::Damaged });
        }
        assert!(check_header(&good[..15], ObjectKind::Pack).is_err());
    }

    #[test]
    fn trailers_round_trip() {
        let trailer = Trailer { footer_len: 7, hash: Id::of(b"x") };
        let mut bytes = b"before".to_vec();
        trailer.put(&mut bytes);
        assert_eq!(bytes.len(), 6 + TRAILER_LEN);
        assert_eq!(Trailer::read("test", &bytes).expect("own bytes"), trailer);
        assert!(Trailer::read("test", &bytes[7..]).is_err());
        assert!(Trailer::read("test", &[]).is_err());
    }
}
