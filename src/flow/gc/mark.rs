//! Marking: which packs hold something that a live version needs.
//!
//! Each node, recipe and page is read once, however many versions share it, and costs 32 bytes of memory; chunks are looked up in the indexes
//! and not held, but for those of which there are several copies.

use std::collections::{HashMap, HashSet};

use crate::base::{Error, Id, ObjectName, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::format::header::ObjectKind;
use crate::format::manifest::{EntryAttrs, EntryKind};
use crate::format::operation::VersionRow;
use crate::format::pack::ItemKind;
use crate::format::place::{Encoding, FramePlace, Place};
use crate::format::recipe::{RecipeChild, RecipePage, RecipeRoot};
use crate::store::content::Content;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::subtrees::{StoredNode, new_nodes};

use crate::flow::read_content::recipe_places;

/// What was found to be needed, version by version. Content of a newer fold may be marked on top: what was found stays.
#[derive(Default)]
pub struct Marker {
    versions: HashSet<Id>,
    nodes: HashSet<Id>,
    recipes: HashSet<Id>,
    /// Packs that hold the only copy of something.
    packs: HashSet<ObjectName>,
    /// Where else than in one pack something lies.
    copies: HashMap<(Id, ItemKind), Vec<ObjectName>>,
}

impl Marker {
    /// Marks all that a version needs of the packs of `content`. What these lack (a store that borrows) can't be kept here.
    pub fn mark(&mut self, content: &Content, row: &VersionRow) -> Result<()> {
        if self.versions.contains(&row.version) {
            return Ok(());
        }
        self.need(content, row.version, ItemKind::Version)?;
        let manifest = Manifest::new(content, row.manifest, Some(row.manifest_place));
        let mut nodes = std::mem::take(&mut self.nodes);
        let walked = new_nodes(&manifest, &mut nodes, |node| self.mark_node(content, &node));
        self.nodes = nodes;
        walked.map_err(|fault| unreadable(content, row.version, fault))?;
        self.versions.insert(row.version);
        Ok(())
    }

    /// The packs that stay: those with the only copy of something, and one of the packs for all else, `last` of all one that is condemned.
    pub fn live_packs(&self, is_condemned: impl Fn(&ObjectName) -> bool) -> HashSet<ObjectName> {
        let mut live = self.packs.clone();
        for packs in self.copies.values() {
            if !packs.iter().any(|pack| live.contains(pack)) {
                live.extend(packs.iter().min_by_key(|pack| (is_condemned(pack), **pack)));
            }
        }
        live
    }

    fn mark_node(&mut self, content: &Content, node: &StoredNode) -> Result<()> {
        self.need(content, node.id, ItemKind::Node)?;
        let recipes = node.leaves.iter().filter(|leaf| leaf.entry.bytes() > SMALL_FILE);
        let frames: Vec<FramePlace> = recipes.filter_map(|leaf| Some(leaf.place?.frame)).collect();
        content.prefetch(ObjectKind::MetaPack, &frames);
        node.leaves.iter().try_for_each(|leaf| self.mark_entry(content, leaf))
    }

    fn mark_entry(&mut self, content: &Content, leaf: &Leaf) -> Result<()> {
        if let EntryAttrs::OutOfLine(id) = &leaf.entry.attrs {
            self.need(content, *id, ItemKind::Attributes)?;
        }
        let EntryKind::File { size, content: id, .. } = leaf.entry.kind else { return Ok(()) };
        match size {
            0 => Ok(()),
            size if size <= SMALL_FILE => self.need(content, id, ItemKind::Chunk).map(drop),
            _ if !self.recipes.insert(id) || !self.need(content, id, ItemKind::RecipeRoot)? => Ok(()),
            _ => {
                let item = content.meta(&id, ItemKind::RecipeRoot, leaf.place.as_ref())?;
                let root = RecipeRoot::parse(item.bytes())?;
                self.mark_children(content, root.level, &root.children, item.hint())
            }
        }
    }

    fn mark_children(&mut self, content: &Content, level: u8, children: &[RecipeChild], hint: &[u8]) -> Result<()> {
        if level == 0 {
            return children.iter().try_for_each(|chunk| self.need(content, chunk.id, ItemKind::Chunk).map(drop));
        }
        let places = recipe_places(level, children, hint);
        let frames: Vec<FramePlace> = places.iter().flatten().map(|place| place.frame).collect();
        content.prefetch(ObjectKind::MetaPack, &frames);
        for (page, place) in children.iter().zip(places) {
            if self.recipes.insert(page.id) && self.need(content, page.id, ItemKind::RecipePage)? {
                let item = content.meta(&page.id, ItemKind::RecipePage, place.as_ref())?;
                let parsed = RecipePage::parse(item.bytes(), level - 1, page.bytes)?;
                self.mark_children(content, level - 1, &parsed.children, item.hint())?;
            }
        }
        Ok(())
    }

    /// Notes where something lies that is needed, with a plain copy of its base where one needs that; false if it lies in no pack here.
    fn need(&mut self, content: &Content, id: Id, kind: ItemKind) -> Result<bool> {
        let places = content.all_places(&id, kind)?;
        for place in &places {
            if let Encoding::Based(base) = place.frame.encoding {
                for kind in [ItemKind::Chunk, ItemKind::Node, ItemKind::RecipePage, ItemKind::RecipeRoot] {
                    let plain = content.all_places(&base, kind)?.into_iter();
                    self.note(base, kind, plain.filter(|place| !matches!(place.frame.encoding, Encoding::Based(_))));
                }
            }
        }
        Ok(self.note(id, kind, places.into_iter()))
    }

    fn note(&mut self, id: Id, kind: ItemKind, places: impl Iterator<Item = Place>) -> bool {
        let mut packs: Vec<ObjectName> = places.map(|place| place.frame.pack).collect();
        packs.sort_unstable();
        packs.dedup();
        match packs[..] {
            [] => return false,
            [pack] => drop(self.packs.insert(pack)),
            _ => drop(self.copies.insert((id, kind), packs)),
        }
        true
    }
}

/// What can't be followed can't be told from what is dead.
fn unreadable(content: &Content, version: Id, fault: Error) -> Error {
    let hint = content.verify_hint();
    fault.within(format!("nothing is collected: version {} can't be followed", version.short())).hint(hint)
}
