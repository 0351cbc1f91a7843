//! Meta objects become frames of meta packs, children before parents.
//!
//! A hint says where the children of an object lie, down to the stored length of their frame, so that a parent can't share a frame
//! with a child. Objects therefore have a rank (leaves 0); each rank fills frames of its own, and adding an object closes the frames
//! of all lower ranks first.

use std::collections::HashMap;

use crate::base::{Id, Result};
use crate::format::header::ObjectKind;
use crate::format::pack::{ItemKind, NewItem};
use crate::format::place::{Encoding, FramePlace, Place};

use super::packer::pack_frame;
use super::upload::{OpenPack, Uploads};

/// Frames are small, so that a cold reader fetches little that it didn't ask for.
const FRAME_BYTES: usize = 64 << 10;

/// What must stand in a frame before all others are closed: nothing points at it.
pub const TOP_RANK: u8 = u8::MAX;

/// Fills meta packs in the order of ranks.
pub struct MetaPacker<'a> {
    uploads: &'a Uploads,
    pack: OpenPack,
    lanes: Vec<(u8, Lane)>,
    placed: HashMap<(Id, ItemKind), Place>,
}

#[derive(Default)]
struct Lane {
    raw: Vec<u8>,
    items: Vec<NewItem>,
}

impl<'a> MetaPacker<'a> {
    /// An empty one that hands full packs to `uploads`.
    pub fn new(uploads: &'a Uploads) -> Result<MetaPacker<'a>> {
        let pack = uploads.open_pack(ObjectKind::MetaPack)?;
        Ok(MetaPacker { uploads, pack, lanes: Vec::new(), placed: HashMap::new() })
    }

    /// Adds an object. `hint` is made when all objects of lower rank have their places.
    pub fn add(
        &mut self,
        rank: u8,
        kind: ItemKind,
        id: Id,
        object: &[u8],
        hint: impl FnOnce(&Self) -> Result<Vec<u8>>,
    ) -> Result<()> {
        self.close_below(rank)?;
        let hint = hint(self)?;
        let index = match self.lanes.binary_search_by_key(&rank, |(lane, _)| *lane) {
            Ok(index) => index,
            Err(index) => {
                self.lanes.insert(index, (rank, Lane::default()));
                index
            }
        };
        if self.lanes[index].1.raw.len() + object.len() + hint.len() > FRAME_BYTES {
            self.close(index)?;
        }
        let lane = &mut self.lanes[index].1;
        lane.items.push(NewItem { id, kind, len: object.len() as u32, hint_len: hint.len() as u32 });
        lane.raw.extend_from_slice(object);
        lane.raw.extend_from_slice(&hint);
        Ok(())
    }

    /// Where an object lies that was added before and whose frame is closed.
    pub fn place_of(&self, id: &Id, kind: ItemKind) -> Option<Place> {
        self.placed.get(&(*id, kind)).copied()
    }

    /// Closes all frames and sends the last pack; gives the places of everything that was added.
    pub fn finish(mut self) -> Result<HashMap<(Id, ItemKind), Place>> {
        self.close_below(TOP_RANK)?;
        (0..self.lanes.len()).try_for_each(|index| self.close(index))?;
        if !self.pack.builder.is_empty() {
            self.uploads.send(self.pack)?;
        }
        Ok(self.placed)
    }

    fn close_below(&mut self, rank: u8) -> Result<()> {
        let below = self.lanes.partition_point(|(lane, _)| *lane < rank);
        (0..below).try_for_each(|index| self.close(index))
    }

    fn close(&mut self, index: usize) -> Result<()> {
        let Lane { raw, items } = std::mem::take(&mut self.lanes[index].1);
        if items.is_empty() {
            return Ok(());
        }
        let packed = pack_frame(&raw);
        let raw_form = (&raw[..], Encoding::Raw);
        let (stored, encoding) = packed.as_ref().map_or(raw_form, |packed| (&packed.bytes[..], packed.encoding));
        if self.pack.is_full_for(stored.len()) {
            let full = std::mem::replace(&mut self.pack, self.uploads.open_pack(ObjectKind::MetaPack)?);
            self.uploads.send(full)?;
        }
        let ordinal = self.pack.builder.add_frame(stored, raw.len() as u32, encoding, &items)?;
        let frame: FramePlace = self.pack.builder.footer().frames[ordinal as usize].place(self.pack.name);
        let mut at = 0;
        for item in items {
            let place = Place { frame, at, len: item.len, hint_len: item.hint_len };
            at += item.len + item.hint_len;
            self.placed.insert((item.id, item.kind), place);
        }
        Ok(())
    }
}
