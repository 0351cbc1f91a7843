//! The nodes of a manifest that somebody doesn't have yet. What two manifests share is met once and skipped unread.

use std::collections::HashSet;

use crate::base::{Id, Result};
use crate::store::content::Item;

use super::manifest::{Leaf, Manifest, Opened, shape_of};
use crate::format::manifest::Entry;

/// A node of a manifest as a store holds it.
pub struct StoredNode {
    pub id: Id,
    /// 0 for a leaf.
    pub level: u8,
    /// Its bytes and its hint.
    pub item: Item,
    /// A leaf's entries, in path order.
    pub leaves: Vec<Leaf>,
}

/// Adds the ids of all nodes of `manifest` to `known`. Leaves aren't read, nor is what is known already.
pub fn node_ids(manifest: &Manifest<'_>, known: &mut HashSet<Id>) -> Result<()> {
    if known.contains(&manifest.root()) {
        return Ok(());
    }
    ids_below(manifest, &manifest.open_root()?, known)?;
    known.insert(manifest.root());
    Ok(())
}

fn ids_below(manifest: &Manifest<'_>, parent: &Opened, known: &mut HashSet<Id>) -> Result<()> {
    if parent.node.level() > 1 {
        let is_new = |index: &usize| !known.contains(&parent.node.child(*index).id);
        manifest.read_children_ahead(parent, (0..parent.node.len()).filter(is_new));
    }
    for index in 0..if parent.node.level() == 0 { 0 } else { parent.node.len() } {
        let id = parent.node.child(index).id;
        if parent.node.level() > 1 && !known.contains(&id) {
            ids_below(manifest, &manifest.open_child(parent, index)?, known)?;
        }
        known.insert(id);
    }
    Ok(())
}

/// Gives every node of `manifest` that isn't in `known` to `sink`, children before parents, and adds it there.
pub fn new_nodes(
    manifest: &Manifest<'_>,
    known: &mut HashSet<Id>,
    mut sink: impl FnMut(StoredNode) -> Result<()>,
) -> Result<()> {
    match known.contains(&manifest.root()) {
        true => Ok(()),
        false => give(manifest, manifest.root(), manifest.open_root()?, known, &mut sink),
    }
}

fn give(
    manifest: &Manifest<'_>,
    id: Id,
    opened: Opened,
    known: &mut HashSet<Id>,
    sink: &mut impl FnMut(StoredNode) -> Result<()>,
) -> Result<()> {
    let level = opened.node.level();
    if level > 0 {
        let is_new = |index: &usize| !known.contains(&opened.node.child(*index).id);
        manifest.read_children_ahead(&opened, (0..opened.node.len()).filter(is_new));
    }
    let mut leaves = Vec::new();
    let mut hinted = 0;
    for index in 0..opened.node.len() {
        if level == 0 {
            leaves.push(opened.leaf(index, Some(hinted))?);
            hinted += usize::from(shape_of(&Entry::decode(opened.node.value(index))?).is_some());
            continue;
        }
        let child = opened.node.child(index).id;
        if !known.contains(&child) {
            give(manifest, child, manifest.open_child(&opened, index)?, known, sink)?;
        }
    }
    sink(StoredNode { id, level, item: opened.item, leaves })?;
    known.insert(id);
    Ok(())
}
