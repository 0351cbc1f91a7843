//! Chunks and meta objects that others are compressed against. A base counts only in a frame that needs none itself, so that no chain or
//! circle is followed.

use crate::base::{Error, Id, Result};
use crate::chunk::compress::decompress;
use crate::format::header::ObjectKind;
use crate::format::pack::ItemKind;
use crate::format::place::{Encoding, FramePlace, Place};

use super::{Content, Item};

/// A chunk that another one can be compressed against, and where a plain copy of it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    pub id: Id,
    pub place: Place,
}

impl Content {
    /// A chunk as a base; `None` where this store itself has no plain copy that isn't condemned.
    pub fn plain_base(&self, id: &Id) -> Result<Option<Base>> {
        let mut lasting = self.plain_places(ItemKind::Chunk, id)?.filter(|place| self.is_lasting(place));
        Ok(lasting.next().map(|place| Base { id: *id, place }))
    }

    /// What a chunk that is like `like` can be compressed against: that chunk, or the base that all its copies here need.
    pub fn base_like(&self, like: &Id) -> Result<Option<Base>> {
        if let Some(base) = self.plain_base(like)? {
            return Ok(Some(base));
        }
        match self.find_chunk(like)?.map(|place| place.frame.encoding) {
            Some(Encoding::Based(id)) => self.plain_base(&id),
            _ => Ok(None),
        }
    }

    /// The plain copy of a base, verified.
    pub fn base(&self, base: &Base) -> Result<Item> {
        self.item_at(&base.id, ItemKind::Chunk, &base.place)
    }

    /// A chunk in a frame at `place` that needs a base, with the bytes of that, which the caller has from elsewhere. `None` where this doesn't give the chunk.
    pub fn chunk_against(&self, id: &Id, place: &Place, base: &[u8]) -> Option<Item> {
        if !place.is_possible() || !(self.lenders.is_empty() || self.owns(&place.frame.pack).ok()?) {
            return None;
        }
        let stored = self.stored(ObjectKind::Pack, &place.frame).ok()?;
        let frame = decompress(&stored, place.frame.raw_bytes as usize, Some(base)).ok()?.into();
        let item = Item { frame, place: *place };
        (Id::of(item.bytes()) == *id).then_some(item)
    }

    /// A plain copy of a base in the packs of `folder`.
    pub fn plain_copy(&self, folder: ObjectKind, id: &Id) -> Result<Item> {
        let mut fault = None;
        for kind in kinds_of_bases(folder) {
            for place in self.plain_places(*kind, id)? {
                match self.item_at(id, *kind, &place) {
                    Ok(item) => return Ok(item),
                    Err(why) => fault = Some(why),
                }
            }
        }
        Err(fault.unwrap_or_else(|| Error::damaged(format!("no plain copy of the base {} is there", id.short()))))
    }

    /// Frames, and those that hold the bases that they need.
    pub(super) fn with_bases(&self, folder: ObjectKind, mut frames: Vec<FramePlace>) -> Vec<FramePlace> {
        let mut bases = Vec::new();
        for frame in &frames {
            let Encoding::Based(id) = frame.encoding else { continue };
            let found = kinds_of_bases(folder).iter().find_map(|kind| self.plain_places(*kind, &id).ok()?.next());
            bases.extend(found.map(|place| place.frame));
        }
        frames.extend(bases);
        frames
    }

    /// Every place of a plain copy that the indexes name, condemned or not.
    pub fn plain_places(&self, kind: ItemKind, id: &Id) -> Result<impl Iterator<Item = Place> + use<>> {
        let all = self.all_places(id, kind)?.into_iter();
        Ok(all.filter(|place| !place.frame.encoding.needs_base()))
    }
}

/// What may be a base in the packs of a folder.
fn kinds_of_bases(folder: ObjectKind) -> &'static [ItemKind] {
    match folder {
        ObjectKind::Pack => &[ItemKind::Chunk],
        _ => &[ItemKind::Node, ItemKind::RecipePage, ItemKind::RecipeRoot],
    }
}
