//! Hints that may lead nowhere: packs that were there when a hint was written, and that a collection or purge has replaced since.

use std::collections::HashSet;

use crate::base::{Id, ObjectName};
use crate::format::index::Index;
use crate::format::place::Place;
use crate::store::objects::Bucket;

use super::Content;

impl Content {
    /// Content that these indexes describe, which no log need have registered.
    pub fn described_by(bucket: Bucket, indexes: Vec<Index>) -> Content {
        let content = Content::new(bucket, Vec::new());
        content.indexes.get_or_make(|| Ok(indexes)).ok();
        content
    }

    /// Says which sessions are void as of this record: packs of those alone may be gone.
    pub fn void_before(mut self, born: u64) -> Content {
        self.void_before = born;
        self
    }

    /// Where to read a chunk ahead: where a hint says, unless it is known to lead nowhere; then where the indexes say.
    pub fn place_now(&self, id: &Id, hint: Option<Place>) -> Option<Place> {
        match hint {
            // A hint may name a pack of theirs.
            Some(_) if !self.lenders.is_empty() => hint,
            Some(place) if !self.may_be_there(&place.frame.pack) => self.find_chunk(id).ok().flatten(),
            hint => hint,
        }
    }

    /// Whether a pack that a hint names may be there, as far as that can be told without a request: by indexes that were read, or are kept here.
    pub(super) fn may_be_there(&self, pack: &ObjectName) -> bool {
        if pack.born >= self.void_before {
            return true;
        }
        let is_at_hand =
            self.indexes.is_made() || self.kept_indexes.as_ref().is_some_and(|kept| kept.has_all(&self.rows));
        let named: Option<&HashSet<ObjectName>> = if is_at_hand { self.named_packs().ok() } else { None };
        named.is_none_or(|named| named.contains(pack))
    }
}
