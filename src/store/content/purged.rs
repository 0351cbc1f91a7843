//! Content that was purged: a reader is told so, whatever chunks of it are still there for other files, and a writer doesn't store it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::base::{Error, Id, Kind, Result};
use crate::format::manifest::{Entry, EntryKind};
use crate::format::tombstone::Tombstone;

use super::{Content, Lender};

/// The purged content of a store, as of one record.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    by_content: BTreeMap<Id, Tombstone>,
    sizes: BTreeSet<u64>,
}

/// The cause of an error about content that was purged.
#[derive(Debug)]
pub struct WasPurged(Tombstone);

impl fmt::Display for WasPurged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it was purged by record {} at {}: {}", self.0.record, self.0.time, self.0.reason)
    }
}

impl std::error::Error for WasPurged {}

impl WasPurged {
    /// Whether an error comes from that.
    pub fn caused(fault: &Error) -> bool {
        let first: &(dyn std::error::Error + 'static) = fault;
        std::iter::successors(Some(first), |fault| fault.source()).any(|fault| fault.is::<WasPurged>())
    }
}

impl Content {
    /// Says what was purged of it.
    pub fn without(mut self, tombstones: BTreeMap<Id, Tombstone>) -> Content {
        let sizes = tombstones.values().map(|tombstone| tombstone.size).collect();
        self.tombstones = Arc::new(Tombstones { by_content: tombstones, sizes });
        self
    }

    /// Why content isn't in this store any more, if it was purged.
    pub fn tombstone(&self, content: &Id) -> Option<&Tombstone> {
        self.tombstones.by_content.get(content)
    }

    /// Likewise, of a file of a manifest.
    pub fn tombstone_of(&self, entry: &Entry) -> Option<&Tombstone> {
        match &entry.kind {
            EntryKind::File { content, .. } => self.tombstone(content),
            _ => None,
        }
    }

    /// All content that was purged.
    pub fn purged(&self) -> &BTreeMap<Id, Tombstone> {
        &self.tombstones.by_content
    }

    /// Whether something of this length was purged.
    pub fn purged_some_of(&self, size: u64) -> bool {
        self.tombstones.sizes.contains(&size)
    }

    /// Refuses content that was purged.
    pub fn refuse_purged(&self, content: &Id) -> Result<()> {
        self.tombstone(content).map_or(Ok(()), |tombstone| Err(refusal(content, tombstone)))
    }

    /// A fault about content says that it was purged, where that happened while it was read, or a store which lends has purged it: both were
    /// opened, to be asked for it.
    pub fn or_purged(&self, content: &Id, fault: Error) -> Error {
        if fault.kind() == Kind::NotFound {
            let purged = self.newer().and_then(|newer| newer.refuse_purged(content).err());
            return purged.map_or(fault, |purged| purged.hint("the same command passes over such files now"));
        }
        if fault.kind() != Kind::Damaged {
            return fault;
        }
        let lenders = || self.lenders.iter().filter_map(Lender::ready);
        let purged = lenders().find_map(|lender| lender.refuse_purged(content).err());
        purged.map_or(fault, |purged| purged.hint("`dagset fetch` takes note of it: then `get` passes over such files"))
    }
}

fn refusal(content: &Id, tombstone: &Tombstone) -> Error {
    Error::not_found(format!("content {} isn't in the store any more", content.short()))
        .because(WasPurged(tombstone.clone()))
}
