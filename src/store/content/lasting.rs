//! What a writer may use of a store instead of storing it again: all but what the log condemns, as of one record.

use std::cmp::Reverse;
use std::collections::HashSet;

use crate::base::{Id, ObjectName, Result};
use crate::format::pack::ItemKind;
use crate::format::place::Place;

use super::Content;

impl Content {
    /// Says which record of the log this content is that of, and which packs are condemned there.
    pub fn as_of(self, record: u64, condemned: HashSet<ObjectName>) -> Content {
        Content { record, condemned, ..self }
    }

    /// The newest record that this content knows of. Who builds on it began then: what came behind it is not known.
    pub fn record(&self) -> u64 {
        self.record
    }

    /// Where a chunk lies, in a pack that isn't condemned.
    pub fn lasting_chunk(&self, id: &Id) -> Result<Option<Place>> {
        if self.condemned.is_empty() {
            return self.find_chunk(id);
        }
        Ok(self.lasting(self.all_places(id, ItemKind::Chunk)?.into_iter()))
    }

    /// Where a meta object lies, in a pack that isn't condemned: of several copies the newest, which was written to lie with its neighbours.
    pub fn lasting_meta(&self, id: &Id, kind: ItemKind) -> Result<Option<Place>> {
        let lasting = self.all_places(id, kind)?.into_iter().filter(|place| self.is_lasting(place));
        Ok(lasting.min_by_key(|place| (place.frame.encoding.needs_base(), Reverse(place.frame.pack))))
    }

    /// Every place that the indexes name for something, condemned or not.
    pub fn all_places(&self, id: &Id, kind: ItemKind) -> Result<Vec<Place>> {
        let indexes = self.indexes()?.iter();
        Ok(match kind {
            ItemKind::Chunk => indexes.flat_map(|index| index.places_of_chunk(id)).collect(),
            _ => {
                let all = indexes.flat_map(|index| index.places_of_meta(id));
                all.filter(|(found, _)| *found == kind).map(|(_, place)| place).collect()
            }
        })
    }

    /// Whether a place is in a pack that isn't condemned.
    pub(super) fn is_lasting(&self, place: &Place) -> bool {
        !self.condemned.contains(&place.frame.pack)
    }

    fn lasting(&self, places: impl Iterator<Item = Place>) -> Option<Place> {
        let lasting = places.filter(|place| self.is_lasting(place));
        lasting.min_by_key(|place| place.frame.encoding.needs_base())
    }
}
