//! Tombstones that go along with versions to another store: a version whose files were purged where it comes from is whole there too.

use std::collections::HashSet;

use crate::base::{Error, Id, Kind, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::flow::gc::ContentOf;
use crate::format::manifest::EntryKind;
use crate::format::operation::{Operation, VersionRow};
use crate::format::pack::ItemKind;
use crate::format::tombstone::Purged;
use crate::history::timeline::{Actor, Timeline};
use crate::store::content::Content;
use crate::tree::manifest::Manifest;
use crate::tree::subtrees::new_nodes;

use super::CONTENTS_A_RECORD;

const PATIENCE: u32 = 100;

/// The content that versions name and `from` has purged.
pub fn named_by<'r>(from: &Content, rows: impl Iterator<Item = &'r VersionRow>) -> Result<Vec<Purged>> {
    let mut named = HashSet::new();
    let mut nodes = HashSet::new();
    if !from.purged().is_empty() {
        for row in rows {
            let manifest = Manifest::new(from, row.manifest, Some(row.manifest_place));
            new_nodes(&manifest, &mut nodes, |node| {
                named.extend(node.leaves.iter().filter_map(|leaf| match leaf.entry.kind {
                    EntryKind::File { size, content, .. } => from.tombstone(&content).map(|_| Purged { content, size }),
                    _ => None,
                }));
                Ok(())
            })?;
        }
    }
    let mut named: Vec<Purged> = named.into_iter().collect();
    named.sort_unstable();
    Ok(named)
}

/// Sets the tombstones that `from` has of `contents` in the store of `timeline`, where that has neither a tombstone nor the content itself.
/// Whoever writes there by this call begins behind it.
pub fn bring(
    from: &Content,
    contents: &[Purged],
    timeline: &mut Timeline,
    content_of: &ContentOf<'_>,
    actor: &Actor,
) -> Result<()> {
    for _ in 0..PATIENCE {
        let at = timeline.fold().number;
        let to = content_of(timeline)?;
        let mut lacking: Vec<(&str, Purged)> = Vec::new();
        for purged in contents {
            let Some(tombstone) = from.tombstone(&purged.content) else { continue };
            match to.tombstone(&purged.content) {
                Some(_) => {}
                None if holds(&to, purged)? => {}
                None => lacking.push((&tombstone.reason, *purged)),
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        lacking.sort_unstable();
        lacking.truncate(CONTENTS_A_RECORD);
        let by_reason = lacking.chunk_by(|a, b| a.0 == b.0);
        let expel = |group: &[(&str, Purged)]| Operation::Expel {
            contents: group.iter().map(|(_, purged)| *purged).collect(),
            reason: group[0].0.to_owned(),
        };
        let operations: Vec<Operation> = by_reason.map(expel).collect();
        let wrote =
            timeline.append(actor, |fold, _| Ok(if fold.number == at { operations.clone() } else { Vec::new() }))?;
        if !wrote {
            timeline.refresh()?;
        }
    }
    let message = format!("the log of {} moved {PATIENCE} times in a row", timeline.bucket().describe());
    Err(Error::new(Kind::Busy, message).hint("run the command again when less is written"))
}

/// What `from` has purged, and `to` has and hasn't purged.
pub fn held(from: &Content, to: &Content) -> Result<Vec<Purged>> {
    let mut held = Vec::new();
    for (content, tombstone) in from.purged() {
        let purged = Purged { content: *content, size: tombstone.size };
        if to.tombstone(content).is_none() && holds(to, &purged)? {
            held.push(purged);
        }
    }
    Ok(held)
}

/// Whether a store itself has some content.
pub fn holds(content: &Content, purged: &Purged) -> Result<bool> {
    let holds = |id: &Id, kind| Ok(!content.all_places(id, kind)?.is_empty());
    match purged.size {
        size if size <= SMALL_FILE => holds(&purged.content, ItemKind::Chunk),
        _ => holds(&purged.content, ItemKind::RecipeRoot),
    }
}
