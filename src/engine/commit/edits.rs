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
pub fn edits_of(
    gone: Vec<RepoPath>,
    mut found: Vec<Found>,
    mut outcomes: Vec<Outcome>,
) -> Result<(Edits, Vec<StatRow>)> {
    let mut edits: Edits = gone.into_iter().map(|path| (path, None)).collect();
    edits.reserve(found.len());
    let mut rows = Vec::with_capacity(found.len());
    while let (Some(Found { path, kind, .. }), Some(outcome)) = (take_last(&mut found), take_last(&mut outcomes)) {
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
    edits.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    rows.reverse();
    Ok((edits, rows))
}

/// The last of a list whose memory goes as it does: a million files would else take theirs twice.
fn take_last<T>(list: &mut Vec<T>) -> Option<T> {
    const STEP: usize = 1 << 16;
    if list.len().is_multiple_of(STEP) {
        list.shrink_to_fit();
    }
    list.pop()
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
pub fn with_fresh(
    mut rows: Vec<StatRow>,
    mut fresh: Vec<StatRow>,
    may_stay: impl Fn(&StatRow) -> bool,
) -> Vec<StatRow> {
    let mut of_fresh = fresh.iter().peekable();
    rows.retain(|row| {
        while of_fresh.next_if(|new| new.path < row.path).is_some() {}
        of_fresh.next_if(|new| new.path == row.path).is_none()
    });
    fresh.retain(may_stay);
    if rows.is_empty() {
        return fresh;
    }
    rows.reserve_exact(fresh.len());
    rows.append(&mut fresh);
    // Two runs, each in order already.
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    rows
}
