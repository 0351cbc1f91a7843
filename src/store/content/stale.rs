//! Hints that may lead nowhere: packs that were there when a hint was written, and that a collection or purge has replaced since.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::{Id, ObjectName};
use crate::format::index::Index;
use crate::format::pack::ItemKind;
use crate::format::place::{FramePlace, Place};
use crate::store::fetch::Fetcher;
use crate::store::objects::Bucket;
use crate::store::pack_ranges::PackRanges;

use super::{Content, Lender};

impl Content {
    /// Content that these indexes describe, which no log need have registered.
    pub fn described_by(bucket: Bucket, indexes: Vec<Index>) -> Content {
        let content = Content::new(bucket, Vec::new());
        content.indexes.get_or_make(|| Ok(indexes)).ok();
        content
    }

    /// Says which sessions are void as of this record: packs of those alone may be gone.
    pub fn void_before(self, born: u64) -> Content {
        let ranges = Arc::new(PackRanges::new(self.bucket.clone(), born));
        Content { fetcher: Fetcher::new(ranges.clone()), ranges, ..self }
    }

    /// Where to read something ahead: where a hint says, unless that is known to lead nowhere; then where the indexes say.
    pub fn place_now(&self, id: &Id, kind: ItemKind, hint: Option<Place>) -> Option<Place> {
        let pack = hint?.frame.pack;
        if !self.lenders.is_empty() && !self.owns(&pack).unwrap_or(true) {
            // It names a pack of theirs.
            let lender =
                self.lenders_in_turn(hint.as_ref()).into_iter().find_map(|(lender, hint)| hint.and(lender.ready()));
            return lender.map_or(hint, |content| content.place_now(id, kind, hint));
        }
        match self.may_lead(&pack) {
            true => hint,
            false => self.indexes().ok()?.iter().find_map(|index| index.find(id, kind)),
        }
    }

    /// Whether the pack of one of these places turned out to be gone.
    pub fn have_led_nowhere(&self, places: &[FramePlace]) -> bool {
        let lenders = || self.lenders.iter().filter_map(Lender::ready);
        places.iter().any(|place| self.ranges.is_gone(&place.pack))
            || lenders().any(|content| content.have_led_nowhere(places))
    }

    /// Whether something may be read where a hint names this pack, as far as that can be told without a request.
    pub(super) fn may_lead(&self, pack: &ObjectName) -> bool {
        !self.ranges.is_gone(pack) && self.may_be_there(pack)
    }

    /// Whether a pack that a hint names may be there, as far as that can be told without a request: by indexes that were read, or are kept here.
    pub(super) fn may_be_there(&self, pack: &ObjectName) -> bool {
        if !self.ranges.may_be_gone(pack) {
            return true;
        }
        let is_at_hand =
            self.indexes.is_made() || self.kept_indexes.as_ref().is_some_and(|kept| kept.has_all(&self.rows));
        let named: Option<&HashSet<ObjectName>> = if is_at_hand { self.named_packs().ok() } else { None };
        named.is_none_or(|named| named.contains(pack))
    }
}
