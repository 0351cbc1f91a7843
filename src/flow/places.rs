//! Where the objects that new ones point at lie, for hints.

use crate::base::{Id, Result};
use crate::format::hint::{self, ChildShape};
use crate::format::index::Index;
use crate::format::manifest::{Entry, EntryKind};
use crate::format::node::{Node, TreeKind};
use crate::format::pack::ItemKind;
use crate::format::place::Place;
use crate::format::recipe::RecipeChild;
use crate::tree::manifest::shape_of;

use super::known::Known;
use super::meta_packer::MetaPacker;

/// Manifest leaves point at recipes, so that nodes rank behind all of those (recipes have at most 9 levels).
pub const NODE_RANK: u8 = 16;

/// Everywhere that an object may lie already.
pub struct Places<'p> {
    /// Data packs that no index names yet.
    pub data: &'p Index,
    /// Indexes of this writer.
    pub own: &'p [Index],
    /// What the store had when the writer began.
    pub known: &'p Known<'p>,
}

impl Places<'_> {
    /// Where a chunk lies.
    pub fn chunk(&self, id: &Id) -> Result<Option<Place>> {
        let own = || self.own.iter().find_map(|index| index.find_chunk(id));
        match self.data.find_chunk(id).or_else(own) {
            Some(place) => Ok(Some(place)),
            None => self.known.chunk(id),
        }
    }

    /// Where a meta object lies, if the frame that it is in is closed.
    pub fn meta(&self, packer: &MetaPacker<'_>, id: &Id, kind: ItemKind) -> Result<Option<Place>> {
        match packer.place_of(id, kind).or_else(|| self.own_meta(id, kind)) {
            Some(place) => Ok(Some(place)),
            None => self.known.meta(id, kind),
        }
    }

    /// Where a node lies that this writer didn't just write, only looked at.
    pub fn stored_node(&self, packer: &MetaPacker<'_>, id: &Id) -> Result<Option<Place>> {
        if packer.place_of(id, ItemKind::Node).is_some() {
            return Ok(None);
        }
        let own = self.own_meta(id, ItemKind::Node);
        own.map_or_else(|| self.known.place_of(id, ItemKind::Node), |place| Ok(Some(place)))
    }

    fn own_meta(&self, id: &Id, kind: ItemKind) -> Option<Place> {
        self.own.iter().find_map(|index| index.find_meta(id, kind))
    }

    /// The hint of a recipe's root or page.
    pub fn recipe_hint(&self, packer: &MetaPacker<'_>, level: u8, children: &[RecipeChild]) -> Result<Vec<u8>> {
        let place = |child: &RecipeChild| {
            Ok(match level {
                0 => (ChildShape::Chunk { len: child.bytes as u32 }, self.chunk(&child.id)?),
                _ => (ChildShape::Meta, self.meta(packer, &child.id, ItemKind::RecipePage)?),
            })
        };
        Ok(hint::encode(&children.iter().map(place).collect::<Result<Vec<_>>>()?))
    }

    /// The hint of a manifest node.
    pub fn node_hint(&self, packer: &MetaPacker<'_>, node: &[u8]) -> Result<Vec<u8>> {
        let node = Node::parse(TreeKind::Manifest, node)?;
        let mut children = Vec::with_capacity(node.len());
        for child in node.children() {
            children.push((ChildShape::Meta, self.meta(packer, &child.id, ItemKind::Node)?));
        }
        for index in 0..if node.level() == 0 { node.len() } else { 0 } {
            let entry = Entry::decode(node.value(index))?;
            let EntryKind::File { content, .. } = &entry.kind else { continue };
            match shape_of(&entry) {
                Some(shape @ ChildShape::Chunk { .. }) => children.push((shape, self.chunk(content)?)),
                Some(shape) => children.push((shape, self.meta(packer, content, ItemKind::RecipeRoot)?)),
                None => {}
            }
        }
        Ok(hint::encode(&children))
    }
}
