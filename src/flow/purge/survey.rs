//! Where content stands that is to be purged, and what of the store goes with it: no chunk, recipe or page that other content needs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::base::{Error, Id, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::flow::gc::needs::{Needs, Tell};
use crate::format::manifest::EntryKind;
use crate::format::node::{Node, TreeKind};
use crate::format::operation::VersionRow;
use crate::format::pack::ItemKind;
use crate::format::tombstone::Purged;
use crate::history::alive::all_versions;
use crate::history::fold::Fold;
use crate::store::content::Content;
use crate::tree::manifest::Manifest;
use crate::tree::subtrees::{StoredNode, new_nodes};

/// A thing in a pack.
pub(super) type Item = (Id, ItemKind);

/// Where content stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub size: u64,
    /// In whatever version.
    pub paths: BTreeSet<String>,
}

/// What was found of the content that is to go.
#[derive(Debug, Default)]
pub struct Survey {
    pub found: BTreeMap<Id, Found>,
    /// How many entries of each version have such content, by the version's id; those with none aren't there.
    pub versions: BTreeMap<Id, u64>,
    /// What nothing else needs.
    pub(super) dead: HashSet<Item>,
    /// Raw bytes of chunks that other content needs too.
    pub shared_bytes: u64,
}

/// Looks through all versions, those of deleted datasets too. Reads each manifest node once, and each recipe.
pub fn survey(content: &Content, fold: &Fold, targets: &[Purged]) -> Result<Survey> {
    let mut walk = Walk { targets: targets.iter().map(|it| it.content).collect(), ..Walk::default() };
    let mut candidates = candidates(content, targets)?;
    let mut shared_bytes = 0;
    let rows = all_versions(fold);
    // First those that need their content: what others share with them isn't entered again.
    let (bare, whole): (Vec<&VersionRow>, Vec<&VersionRow>) =
        rows.values().copied().partition(|row| fold.let_go.contains_key(&row.version));
    for row in whole {
        let tell = &mut |id, kind| {
            shared_bytes += candidates.remove(&(id, kind)).unwrap_or(0);
            Ok(!content.all_places(&id, kind)?.is_empty())
        };
        walk.take(content, row, Some(tell)).map_err(|fault| unreadable(content, row.version, fault))?;
    }
    for row in bare {
        walk.take(content, row, None).map_err(|fault| unreadable(content, row.version, fault))?;
    }
    let versions = rows.values().map(|row| (row.version, walk.count_below(&row.manifest)));
    Ok(Survey {
        versions: versions.filter(|(_, count)| *count > 0).collect(),
        found: walk.found,
        dead: candidates.into_keys().collect(),
        shared_bytes,
    })
}

/// Of the content that is to go: chunks, with their bytes, recipes and pages.
fn candidates(content: &Content, targets: &[Purged]) -> Result<HashMap<Item, u64>> {
    let mut candidates = HashMap::new();
    let mut needs = Needs::default();
    for Purged { content: id, size } in targets {
        if *size <= SMALL_FILE {
            candidates.insert((*id, ItemKind::Chunk), *size);
            continue;
        }
        let tell = &mut |id: Id, kind: ItemKind| {
            let places = content.all_places(&id, kind)?;
            let bytes = if kind == ItemKind::Chunk { places.first().map_or(0, |place| place.len) } else { 0 };
            candidates.insert((id, kind), bytes.into());
            Ok(!places.is_empty())
        };
        // Without its recipe nothing more is known of it.
        needs.of_purged(content, id, *size, tell).map_err(|fault| {
            let hint = content.verify_hint();
            fault.within(format!("nothing is purged: the recipe of {} can't be read", id.short())).hint(hint)
        })?;
    }
    Ok(candidates)
}

#[derive(Default)]
struct Walk {
    targets: HashSet<Id>,
    needs: Needs,
    nodes: HashSet<Id>,
    /// Entries below a node that have such content; nodes without any aren't there.
    counts: HashMap<Id, u64>,
    found: BTreeMap<Id, Found>,
}

impl Walk {
    /// Without `tell`, what the version's files need isn't needed for its sake.
    fn take(&mut self, content: &Content, row: &VersionRow, mut tell: Option<&mut Tell<'_>>) -> Result<()> {
        let manifest = Manifest::new(content, row.manifest, Some(row.manifest_place));
        let mut nodes = std::mem::take(&mut self.nodes);
        let walked = new_nodes(&manifest, &mut nodes, |node| self.take_node(content, &node, tell.as_deref_mut()));
        self.nodes = nodes;
        walked
    }

    /// Children come before parents.
    fn take_node(&mut self, content: &Content, node: &StoredNode, mut tell: Option<&mut Tell<'_>>) -> Result<()> {
        let mut count = 0;
        for leaf in &node.leaves {
            match leaf.entry.kind {
                EntryKind::File { size, content: id, .. } if self.targets.contains(&id) => {
                    count += 1;
                    let found = self.found.entry(id).or_default();
                    found.size = size;
                    found.paths.insert(leaf.path.to_string());
                }
                _ => tell.as_deref_mut().map_or(Ok(()), |tell| self.needs.of_leaf(content, leaf, tell))?,
            }
        }
        if node.level > 0 {
            let parsed = Node::parse(TreeKind::Manifest, node.item.bytes())?;
            count = parsed.children().iter().map(|child| self.count_below(&child.id)).sum();
        }
        if count > 0 {
            self.counts.insert(node.id, count);
        }
        Ok(())
    }

    fn count_below(&self, node: &Id) -> u64 {
        self.counts.get(node).copied().unwrap_or(0)
    }
}

/// What can't be followed can't be told from what is to go.
fn unreadable(content: &Content, version: Id, fault: Error) -> Error {
    let hint = content.verify_hint();
    fault.within(format!("nothing is purged: version {} can't be followed", version.short())).hint(hint)
}
