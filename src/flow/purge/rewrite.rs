//! The packs that a purge rewrites.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::base::{Id, ObjectName, Result};
use crate::flow::rewrite_pack::Stays;
use crate::format::index::{Index, IndexPack};
use crate::format::pack::{ItemKind, PackFrame, PackItem};
use crate::store::content::Content;

use super::survey::Item;

/// Of what goes, nothing stays, nor does a need of it.
impl Stays for HashSet<Item> {
    fn item(&self, _: &ObjectName, _: &PackFrame, item: &PackItem) -> bool {
        !self.contains(&(item.id, item.kind))
    }

    fn base(&self, base: &Id) -> bool {
        let kinds = [ItemKind::Chunk, ItemKind::Node, ItemKind::RecipePage, ItemKind::RecipeRoot];
        !kinds.iter().any(|kind| self.contains(&(*base, *kind)))
    }
}

/// The packs that hold something of `dead`, or a frame that needs it as its base.
pub(super) fn affected(content: &Content, dead: &HashSet<Item>) -> Result<BTreeSet<ObjectName>> {
    let mut packs = BTreeSet::new();
    for (id, kind) in dead {
        packs.extend(content.all_places(id, *kind)?.iter().map(|place| place.frame.pack));
    }
    let bases: HashSet<&Id> = dead.iter().map(|(id, _)| id).collect();
    for index in content.indexes()? {
        packs.extend(index.needed_bases().filter(|(_, base)| bases.contains(base)).map(|(pack, _)| pack));
    }
    Ok(packs)
}

/// The packs of `names`, as indexes describe them.
pub(super) fn described(indexes: &[Index], names: &BTreeSet<ObjectName>) -> Vec<IndexPack> {
    let packs = indexes.iter().flat_map(Index::packs).filter(|pack| names.contains(&pack.name));
    packs.map(|pack| (pack.name, pack)).collect::<BTreeMap<_, _>>().into_values().collect()
}
