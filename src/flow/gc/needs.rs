//! Everything that a version needs: its record, nodes, attributes, recipes, pages and chunks. What versions share is met once.

use std::collections::HashSet;

use crate::base::{Id, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::format::header::ObjectKind;
use crate::format::manifest::{EntryAttrs, EntryKind};
use crate::format::operation::VersionRow;
use crate::format::pack::ItemKind;
use crate::format::place::{FramePlace, Place};
use crate::format::recipe::{RecipeChild, RecipePage, RecipeRoot};
use crate::store::content::Content;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::subtrees::new_nodes;

use crate::flow::read_content::recipe_places;

/// Is told what is needed, a chunk as often as it is met; whether that is here to be followed further.
pub type Tell<'t> = dyn FnMut(Id, ItemKind) -> Result<bool> + 't;

/// What was met already, 32 bytes for each node, recipe and page.
#[derive(Default)]
pub struct Needs {
    nodes: HashSet<Id>,
    met: HashSet<Id>,
    /// Nodes that were met without what they name, of versions whose content isn't needed.
    bare: HashSet<Id>,
}

impl Needs {
    /// Tells what a version needs that none before it did.
    pub fn of_version(&mut self, content: &Content, row: &VersionRow, tell: &mut Tell<'_>) -> Result<()> {
        tell(row.version, ItemKind::Version)?;
        let manifest = Manifest::new(content, row.manifest, Some(row.manifest_place));
        let Needs { nodes, met, .. } = self;
        new_nodes(&manifest, nodes, |node| {
            tell(node.id, ItemKind::Node)?;
            let recipes = node.leaves.iter().filter(|leaf| leaf.entry.bytes() > SMALL_FILE);
            let frames: Vec<FramePlace> = recipes.filter_map(|leaf| Some(leaf.place?.frame)).collect();
            content.prefetch(ObjectKind::MetaPack, &frames);
            node.leaves.iter().try_for_each(|leaf| of_entry(content, leaf, met, tell))
        })
    }

    /// Tells what a version needs that no version of which it was told so did, without the content of its files: its record and manifest.
    pub fn of_manifest(&mut self, content: &Content, row: &VersionRow, tell: &mut Tell<'_>) -> Result<()> {
        tell(row.version, ItemKind::Version)?;
        let manifest = Manifest::new(content, row.manifest, Some(row.manifest_place));
        new_nodes(&manifest, &mut self.bare, |node| {
            tell(node.id, ItemKind::Node)?;
            node.leaves.iter().try_for_each(|leaf| of_attributes(leaf, tell))
        })
    }

    /// Tells what an entry of a manifest needs, where nothing met before did.
    pub fn of_leaf(&mut self, content: &Content, leaf: &Leaf, tell: &mut Tell<'_>) -> Result<()> {
        of_entry(content, leaf, &mut self.met, tell)
    }

    /// As [`Needs::of_content`], whether it was purged or not.
    pub fn of_purged(&mut self, content: &Content, id: &Id, size: u64, tell: &mut Tell<'_>) -> Result<()> {
        of_any_file(content, *id, size, None, &mut self.met, tell)
    }

    /// Tells what a file's content needs, where nothing met before did.
    pub fn of_content(&mut self, content: &Content, id: &Id, size: u64, tell: &mut Tell<'_>) -> Result<()> {
        of_file(content, *id, size, None, &mut self.met, tell)
    }
}

fn of_entry(content: &Content, leaf: &Leaf, met: &mut HashSet<Id>, tell: &mut Tell<'_>) -> Result<()> {
    of_attributes(leaf, tell)?;
    match leaf.entry.kind {
        EntryKind::File { size, content: id, .. } => of_file(content, id, size, leaf.place.as_ref(), met, tell),
        _ => Ok(()),
    }
}

fn of_attributes(leaf: &Leaf, tell: &mut Tell<'_>) -> Result<()> {
    match &leaf.entry.attrs {
        EntryAttrs::OutOfLine(id) => tell(*id, ItemKind::Attributes).map(drop),
        _ => Ok(()),
    }
}

fn of_file(
    content: &Content,
    id: Id,
    size: u64,
    place: Option<&Place>,
    met: &mut HashSet<Id>,
    tell: &mut Tell<'_>,
) -> Result<()> {
    match content.tombstone(&id) {
        // Nobody needs what was purged.
        Some(_) => Ok(()),
        None => of_any_file(content, id, size, place, met, tell),
    }
}

fn of_any_file(
    content: &Content,
    id: Id,
    size: u64,
    place: Option<&Place>,
    met: &mut HashSet<Id>,
    tell: &mut Tell<'_>,
) -> Result<()> {
    match size {
        0 => Ok(()),
        size if size <= SMALL_FILE => tell(id, ItemKind::Chunk).map(drop),
        _ if !met.insert(id) || !tell(id, ItemKind::RecipeRoot)? => Ok(()),
        _ => {
            let item = content.meta(&id, ItemKind::RecipeRoot, place)?;
            let root = RecipeRoot::parse(item.bytes())?;
            of_children(content, root.level, &root.children, item.hint(), met, tell)
        }
    }
}

fn of_children(
    content: &Content,
    level: u8,
    children: &[RecipeChild],
    hint: &[u8],
    met: &mut HashSet<Id>,
    tell: &mut Tell<'_>,
) -> Result<()> {
    if level == 0 {
        return children.iter().try_for_each(|chunk| tell(chunk.id, ItemKind::Chunk).map(drop));
    }
    let places = recipe_places(level, children, hint);
    let frames: Vec<FramePlace> = places.iter().flatten().map(|place| place.frame).collect();
    content.prefetch(ObjectKind::MetaPack, &frames);
    for (page, place) in children.iter().zip(places) {
        if met.insert(page.id) && tell(page.id, ItemKind::RecipePage)? {
            let item = content.meta(&page.id, ItemKind::RecipePage, place.as_ref())?;
            let parsed = RecipePage::parse(item.bytes(), level - 1, page.bytes)?;
            of_children(content, level - 1, &parsed.children, item.hint(), met, tell)?;
        }
    }
    Ok(())
}
