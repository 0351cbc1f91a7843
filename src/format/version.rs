//! Version records (docs/format.md §10). A version's id is the BLAKE3 of its record.

use crate::base::{Error, Id, Result, Time};

use super::attrs::Attrs;
use super::codec::{Put, Reader};

const TAG: u8 = 4;
const MAX_PARENTS: usize = 1_024;
const MAX_ROLE: usize = 255;
/// Longest author or actor, in bytes.
pub const MAX_AUTHOR: usize = 1 << 10;
/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 64 << 10;
const MAX_EXTENSIONS: usize = 64;

/// A parent and the part it plays; the role of an ordinary parent is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub id: Id,
    pub role: String,
}

/// Room for what comes later: signatures, intents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub key: String,
    /// A reader that doesn't know it must refuse.
    pub critical: bool,
    pub value: Vec<u8>,
}

/// An immutable snapshot: what it holds, where it came from, who made it when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub manifest: Id,
    pub files: u64,
    pub bytes: u64,
    pub parents: Vec<Parent>,
    pub author: String,
    pub time: Time,
    pub message: String,
    pub meta: Attrs,
    pub provenance: Attrs,
    pub extensions: Vec<Extension>,
}

impl Version {
    /// The canonical bytes. Errors ([`Kind::Usage`](crate::base::Kind::Usage)): a text or map beyond the limits.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let fits = self.author.len() <= MAX_AUTHOR
            && self.message.len() <= MAX_MESSAGE
            && self.parents.len() <= MAX_PARENTS
            && self.parents.iter().all(|parent| parent.role.len() <= MAX_ROLE)
            && self.meta.fits()
            && self.provenance.fits();
        if !fits {
            return Err(Error::usage("the author, the message, the parents or the metadata are too long"));
        }
        let mut out = vec![TAG];
        out.put_id(&self.manifest);
        out.put_varint(self.files);
        out.put_varint(self.bytes);
        out.put_count(self.parents.len());
        for parent in &self.parents {
            out.put_id(&parent.id);
            out.put_string(&parent.role);
        }
        out.put_string(&self.author);
        out.put_i64(self.time.0);
        out.put_string(&self.message);
        self.meta.put(&mut out);
        self.provenance.put(&mut out);
        put_extensions(&mut out, &self.extensions);
        Ok(out)
    }

    pub fn parse(bytes: &[u8]) -> Result<Version> {
        let mut reader = Reader::new("a version record", bytes);
        if reader.u8()? != TAG {
            return Err(reader.fault("it has the wrong tag"));
        }
        let (manifest, files, bytes) = (reader.id()?, reader.varint()?, reader.varint()?);
        let count = reader.count(33)?;
        if count > MAX_PARENTS {
            return Err(reader.fault("it has too many parents"));
        }
        let mut parents: Vec<Parent> = Vec::with_capacity(count);
        for _ in 0..count {
            let parent = Parent { id: reader.id()?, role: reader.string(MAX_ROLE)?.to_owned() };
            if parents.iter().any(|other| other.id == parent.id) {
                return Err(reader.fault("a parent is named twice"));
            }
            parents.push(parent);
        }
        let version = Version {
            manifest,
            files,
            bytes,
            parents,
            author: reader.string(MAX_AUTHOR)?.to_owned(),
            time: Time(reader.i64()?),
            message: reader.string(MAX_MESSAGE)?.to_owned(),
            meta: Attrs::read(&mut reader)?,
            provenance: Attrs::read(&mut reader)?,
            extensions: read_extensions(&mut reader)?,
        };
        reader.end()?;
        Ok(version)
    }
}

pub(super) fn put_extensions(out: &mut Vec<u8>, extensions: &[Extension]) {
    out.put_count(extensions.len());
    for extension in extensions {
        out.put_string(&extension.key);
        out.put_u8(extension.critical.into());
        out.put_bytes(&extension.value);
    }
}

pub(super) fn read_extensions(reader: &mut Reader<'_>) -> Result<Vec<Extension>> {
    let count = reader.count(3)?;
    if count > MAX_EXTENSIONS {
        return Err(reader.fault("it has too many extensions"));
    }
    let mut extensions: Vec<Extension> = Vec::with_capacity(count);
    for _ in 0..count {
        let key = reader.string(MAX_ROLE)?;
        if extensions.last().is_some_and(|last| last.key.as_str() >= key) {
            return Err(reader.fault("extensions are out of order"));
        }
        let extension =
            Extension { key: key.to_owned(), critical: reader.flag()?, value: reader.bytes(1 << 20)?.to_vec() };
        if extension.critical {
            return Err(super::needs_newer(format!("the extension {key:?}")));
        }
        extensions.push(extension);
    }
    Ok(extensions)
}

#[cfg(test)]
mod tests {
    use super::super::attrs::tests::any_attrs;
    use super::*;
    use proptest::prelude::*;

    fn any_version() -> impl Strategy<Value = Version> {
        let parents = proptest::collection::btree_map(any::<[u8; 32]>(), "[a-z]{0,6}", 0..4)
            .prop_map(|parents| parents.into_iter().map(|(id, role)| Parent { id: Id(id), role }).collect::<Vec<_>>());
        let extensions =
            proptest::collection::btree_map("[a-z]{1,4}", proptest::collection::vec(any::<u8>(), 0..9), 0..3).prop_map(
                |map| map.into_iter().map(|(key, value)| Extension { key, critical: false, value }).collect::<Vec<_>>(),
            );
        (any::<([u8; 32], u64, u64, i64)>(), parents, ".{0,9}", ".{0,30}", any_attrs(), any_attrs(), extensions)
            .prop_map(|((manifest, files, bytes, time), parents, author, message, meta, provenance, extensions)| {
                Version {
                    manifest: Id(manifest),
                    files,
                    bytes,
                    parents,
                    author,
                    time: Time(time),
                    message,
                    meta,
                    provenance,
                    extensions,
                }
            })
    }

    proptest! {
        #[test]
        fn versions_round_trip(version in any_version()) {
            let bytes = version.encode().expect("within the limits");
            prop_assert_eq!(Version::parse(&bytes).expect("own bytes"), version);
            for end in 0..bytes.len() {
                prop_assert!(Version::parse(&bytes[..end]).is_err());
            }
        }

        #[test]
        fn what_parses_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes: Vec<u8> = std::iter::once(TAG).chain(bytes).collect();
            if let Ok(version) = Version::parse(&bytes) {
                prop_assert_eq!(version.encode().expect("within the limits"), bytes);
            }
        }
    }

    #[test]
    fn a_parent_is_named_once() {
        let parent = Parent { id: Id::of(b"p"), role: String::new() };
        let version = Version {
            manifest: Id::of(b"m"),
            files: 0,
            bytes: 0,
            parents: vec![parent.clone(), parent],
            author: String::new(),
            time: Time(0),
            message: String::new(),
            meta: Attrs::default(),
            provenance: Attrs::default(),
            extensions: Vec::new(),
        };
        assert!(Version::parse(&version.encode().expect("within the limits")).is_err());
    }
}
