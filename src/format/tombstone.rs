//! What the log says of purged content (docs/format.md §7.2, row `x`; §10, codes 17 and 23).

use std::sync::Arc;

use crate::base::{Id, Result, Time};

use super::codec::{Put, Reader};
use super::operation::MAX_NOTE;

/// A file's content that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purged {
    pub content: Id,
    /// Its length, by which a writer tells cheaply that what it is about to store can't be this.
    pub size: u64,
}

/// Why a store hasn't got some content any more, and takes it no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The log record that purged it, and when that was written.
    pub record: u64,
    pub time: Time,
    /// Of the content.
    pub size: u64,
    /// One text for all that a record purged.
    pub reason: Arc<str>,
}

impl Tombstone {
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_varint(self.record);
        out.put_i64(self.time.0);
        out.put_varint(self.size);
        out.put_string(&self.reason);
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Tombstone> {
        Ok(Tombstone {
            record: reader.varint()?,
            time: Time(reader.i64()?),
            size: reader.varint()?,
            reason: reader.string(MAX_NOTE)?.into(),
        })
    }
}

pub(super) fn put_purged(out: &mut Vec<u8>, contents: &[Purged]) {
    out.put_count(contents.len());
    for Purged { content, size } in contents {
        out.put_id(content);
        out.put_varint(*size);
    }
}

pub(super) fn read_purged(reader: &mut Reader<'_>) -> Result<Vec<Purged>> {
    let count = reader.count(33)?;
    let mut contents = Vec::with_capacity(count);
    for _ in 0..count {
        contents.push(Purged { content: reader.id()?, size: reader.varint()? });
    }
    Ok(contents)
}
