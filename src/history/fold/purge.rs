//! Purging in the fold: what is expelled, and may come back (docs/format.md §10, codes 17 and 23).

use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::base::{Error, Id, Result};
use crate::format::record::RecordCore;
use crate::format::tombstone::{Purged, Tombstone};

use super::{Fold, Undo};

impl Fold {
    /// Puts tombstones, and voids every session that began before the record: it may be about to register the content, or build on it. What is
    /// expelled already keeps the tombstone that it has.
    pub(super) fn expel(&mut self, contents: &[Purged], reason: &str, core: &RecordCore, undo: &mut Vec<Undo>) {
        let reason: Arc<str> = reason.into();
        for Purged { content, size } in contents {
            let tombstone = || Tombstone { record: core.number, time: core.time, size: *size, reason: reason.clone() };
            if let Entry::Vacant(place) = self.expelled.entry(*content) {
                place.insert(tombstone());
                undo.push(Undo::Expelled(*content, None));
            }
        }
        undo.push(Undo::VoidBefore(self.void_before));
        self.void_before = self.void_before.max(core.number);
    }

    pub(super) fn readmit(&mut self, contents: &[Id], undo: &mut Vec<Undo>) -> Result<()> {
        for content in contents {
            let was = self.expelled.remove(content);
            let was = was.ok_or_else(|| Error::conflict(format!("content {} isn't purged", content.short())))?;
            undo.push(Undo::Expelled(*content, Some(was)));
        }
        Ok(())
    }
}
