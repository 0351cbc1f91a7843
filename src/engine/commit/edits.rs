//! What the chosen changes of a folder make of its base version.

use std::collections::HashSet;

use crate::base::{Error, RepoPath, Result};
use crate::catalog::stat_index::StatRow;
use crate::engine::ingest::{LeftOutPath, cannot_read};
use crate::flow::store_files::Outcome;
use crate::format::manifest::{Entry, EntryKind};
use crate::tree::edit::{Edits, Piece, edited};
use crate::tree::manifest::Manifest;
use crate::tree::scan::{Found, FoundKind};

/// What becomes of the paths that go and of those that were stored, and rows for the stat index; both in path order.
pub fn edits_of(gone: Vec<RepoPath>, found: Vec<Found>, outcomes: Vec<Outcome>) -> Result<(Edits, Vec<StatRow>)> {
    let mut edits: Edits = gone.into_iter().map(|path| (path, None)).collect();
    edits.reserve(found.len());
    let mut rows = Vec::with_capacity(found.len());
    for (Found { path, kind, .. }, outcome) in found.into_iter().zip(outcomes) {
        let kind = match (kind, outcome) {
            (FoundKind::File { executable }, Outcome::Stored { content, size, stat }) => {
                rows.push(StatRow { path: path.clone(), stat, content });
                Some(EntryKind::File { size, content, executable })
            }
            (FoundKind::File { .. }, Outcome::Unreadable(why)) => {
                let row = LeftOutPath { path: path.to_string(), why, incomplete: true };
                return Err(cannot_read(&[row], "make it readable, then run the command again"));
            }
            (FoundKind::File { .. }, _) => None,
            (FoundKind::Symlink { target }, _) => Some(EntryKind::Symlink { target }),
            (FoundKind::EmptyFolder, _) => Some(EntryKind::EmptyFolder),
        };
        edits.push((path, kind.map(Entry::plain)));
    }
    edits.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((edits, rows))
}

/// Makes room for paths that the base doesn't have: an empty folder gives way to what is put into it, though only the latter was chosen.
///
/// Anything else that can't stand beside one has to be chosen too.
pub fn make_room(edits: &mut Edits, base: Option<Manifest<'_>>, new: &[RepoPath]) -> Result<()> {
    let Some(base) = base.filter(|_| !new.is_empty()) else { return Ok(()) };
    let chosen: HashSet<RepoPath> = edits.iter().map(|(path, _)| path.clone()).collect();
    let mut gives_way = Vec::new();
    for leaf in base.around(new.iter()) {
        let leaf = leaf?;
        if chosen.contains(&leaf.path) {
            continue;
        }
        if leaf.entry.kind != EntryKind::EmptyFolder {
            let message = format!("{} is gone, and something new stands in its way", leaf.path);
            return Err(Error::conflict(message).hint(format!("`dagset add {}` stages that, too", leaf.path)));
        }
        gives_way.push((leaf.path, None));
    }
    edits.extend(gives_way);
    edits.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(())
}

/// The base with the edits applied; without a base, what they put there.
pub fn pieces<'a>(base: Option<Manifest<'a>>, edits: Edits) -> Box<dyn Iterator<Item = Result<Piece>> + 'a> {
    match base {
        Some(base) => Box::new(edited(base, edits)),
        None => Box::new(edits.into_iter().filter_map(|(path, entry)| Some(Ok(Piece::Entry(path, entry?))))),
    }
}

/// The rows with fresh ones in the place of their paths', those that may be kept. All in path order.
pub fn with_fresh(rows: Vec<StatRow>, fresh: Vec<StatRow>, may_stay: impl Fn(&StatRow) -> bool) -> Vec<StatRow> {
    let mut all = Vec::with_capacity(rows.len() + fresh.len());
    let mut fresh = fresh.into_iter().peekable();
    for row in rows {
        while let Some(before) = fresh.next_if(|new| new.path < row.path) {
            all.extend(Some(before).filter(&may_stay));
        }
        match fresh.next_if(|new| new.path == row.path) {
            Some(new) => all.extend(Some(new).filter(&may_stay)),
            None => all.push(row),
        }
    }
    all.extend(fresh.filter(may_stay));
    all
}
