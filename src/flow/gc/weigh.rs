//! What versions take of a store: the stored bytes of the frames and packs that they need.

use std::collections::{HashMap, HashSet};

use crate::base::{Id, ObjectName, Result};
use crate::format::operation::VersionRow;
use crate::format::pack::ItemKind;
use crate::format::place::Encoding;
use crate::store::content::Content;

use super::needs::Needs;

/// Frames that versions need, each once, and the packs that these lie in.
#[derive(Default)]
pub struct Weight {
    needs: Needs,
    /// Stored bytes of a frame, by its pack and offset.
    frames: HashMap<(ObjectName, u32), u32>,
}

impl Weight {
    /// Adds all that a version needs; of several copies the first is taken.
    pub fn add(&mut self, content: &Content, row: &VersionRow) -> Result<()> {
        let Weight { needs, frames } = self;
        needs.of_version(content, row, &mut |id, kind| note(content, frames, &id, kind))
    }

    /// Adds the record and the manifest of a version.
    pub fn add_manifest(&mut self, content: &Content, row: &VersionRow) -> Result<()> {
        let Weight { needs, frames } = self;
        needs.of_manifest(content, row, &mut |id, kind| note(content, frames, &id, kind))
    }

    /// Adds the chunks that one content consists of, and its recipe.
    pub fn add_content(&mut self, content: &Content, id: &Id, size: u64) -> Result<()> {
        let Weight { needs, frames } = self;
        needs.of_content(content, id, size, &mut |id, kind| note(content, frames, &id, kind))
    }

    /// The stored bytes of its frames.
    pub fn bytes(&self) -> u64 {
        self.frames.values().map(|bytes| u64::from(*bytes)).sum()
    }

    /// The stored bytes of the frames that `others` don't need.
    pub fn bytes_beside(&self, others: &Weight) -> u64 {
        let own = self.frames.iter().filter(|(frame, _)| !others.frames.contains_key(frame));
        own.map(|(_, bytes)| u64::from(*bytes)).sum()
    }

    /// The packs that hold something of it and nothing of `others`.
    pub fn packs_beside(&self, others: &Weight) -> HashSet<ObjectName> {
        let theirs: HashSet<&ObjectName> = others.frames.keys().map(|(pack, _)| pack).collect();
        self.frames.keys().map(|(pack, _)| *pack).filter(|pack| !theirs.contains(pack)).collect()
    }
}

fn note(content: &Content, frames: &mut HashMap<(ObjectName, u32), u32>, id: &Id, kind: ItemKind) -> Result<bool> {
    let place = match kind {
        ItemKind::Chunk => content.find_chunk(id)?,
        kind => content.find_meta(id, kind)?,
    };
    let frame = place.map(|place| place.frame);
    let base = match frame.map(|frame| frame.encoding) {
        Some(Encoding::Based(base)) => content.plain_base(&base)?.map(|base| base.place.frame),
        _ => None,
    };
    let found = frame.into_iter().chain(base);
    frames.extend(found.map(|frame| ((frame.pack, frame.offset), frame.stored_bytes)));
    Ok(frame.is_some())
}
