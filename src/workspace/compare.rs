//! What changed in a workspace since its base version.
//!
//! Three lists in path order are walked side by side: the scan of the folder, the base's manifest, the stat index. A file whose stat is the
//! index's has the index's content; any other is hashed, unless its size already tells that it differs.

use std::path::Path;

use rayon::prelude::*;

use crate::base::stat::Stat;
use crate::base::{Counter, Id, Observer, RepoPath, Result};
use crate::catalog::stat_index::StatRow;
use crate::chunk::cut::SMALL_FILE;
use crate::format::manifest::{Entry, EntryKind};
use crate::tree::hash_file::hash_file;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::read_file::{fill_as_said, read_settled};
use crate::tree::scan::{Found, FoundKind, LeftOut, Scan};

/// A path that isn't as in the base.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalChange {
    pub path: RepoPath,
    pub before: Option<Entry>,
    /// `None`: it is gone.
    pub after: Option<Found>,
}

/// What changed, and what is known of the files now.
#[derive(Debug, Default)]
pub struct Comparison {
    /// In path order.
    pub changes: Vec<LocalChange>,
    /// Rows for a new stat index: settled files whose content is known. In path order.
    pub rows: Vec<StatRow>,
    /// Whether `rows` differ from the index that was given.
    pub rows_changed: bool,
    /// In path order.
    pub left_out: Vec<LeftOut>,
    /// Files that could not be read to compare them.
    pub unreadable: Vec<(RepoPath, String)>,
}

/// A file that must be hashed to know whether it changed.
struct Doubtful {
    found: Found,
    before: Leaf,
}

/// Compares the scan of `root` with `base`. `began_ns` is the file system's time before the scan.
pub fn compare(
    root: &Path,
    scan: Scan,
    base: Option<Manifest<'_>>,
    index: Vec<StatRow>,
    began_ns: i64,
    observer: &Observer,
) -> Result<Comparison> {
    let mut result = Comparison { left_out: scan.left_out, ..Comparison::default() };
    let mut doubtful = Vec::new();
    let index_rows = index.len();
    let mut index = index.into_iter().peekable();
    let mut known = |found: &Found| {
        while index.next_if(|row| row.path < found.path).is_some() {}
        index.next_if(|row| row.path == found.path).filter(|row| row.stat == found.stat)
    };
    let mut base = base.map(|base| base.entries("")).into_iter().flatten();
    let mut before = base.next().transpose()?;
    for found in scan.found {
        while let Some(leaf) = before.take_if(|leaf| leaf.path < found.path) {
            result.changes.push(removed(leaf));
            before = base.next().transpose()?;
        }
        let row = known(&found);
        let content = row.as_ref().map(|row| row.content);
        result.rows.extend(row);
        let leaf = match before.take_if(|leaf| leaf.path == found.path) {
            None => {
                result.changes.push(LocalChange { path: found.path.clone(), before: None, after: Some(found) });
                continue;
            }
            Some(leaf) => leaf,
        };
        before = base.next().transpose()?;
        match verdict(&found, &leaf.entry, content.as_ref()) {
            Verdict::Same => {}
            Verdict::Differs => result.changes.push(modified(found, leaf)),
            Verdict::Doubtful => doubtful.push(Doubtful { found, before: leaf }),
        }
    }
    while let Some(leaf) = before.take() {
        result.changes.push(removed(leaf));
        before = base.next().transpose()?;
    }
    // Every row of the index was kept, and no file had to be hashed: it says what it said.
    result.rows_changed = result.rows.len() != index_rows || !doubtful.is_empty();
    settle(root, doubtful, began_ns, &mut result, observer)?;
    Ok(result)
}

enum Verdict {
    Same,
    Differs,
    Doubtful,
}

fn verdict(found: &Found, entry: &Entry, content: Option<&Id>) -> Verdict {
    let same = |same: bool| if same { Verdict::Same } else { Verdict::Differs };
    match (&found.kind, &entry.kind) {
        (FoundKind::File { executable }, EntryKind::File { size, content: base, executable: was }) => {
            match (executable == was && found.stat.size == *size, content) {
                (false, _) => Verdict::Differs,
                (true, Some(content)) => same(content == base),
                (true, None) => Verdict::Doubtful,
            }
        }
        (FoundKind::Symlink { target }, EntryKind::Symlink { target: base }) => same(target == base),
        (FoundKind::EmptyFolder, EntryKind::EmptyFolder) => Verdict::Same,
        _ => Verdict::Differs,
    }
}

fn removed(leaf: Leaf) -> LocalChange {
    LocalChange { path: leaf.path, before: Some(leaf.entry), after: None }
}

fn modified(found: Found, leaf: Leaf) -> LocalChange {
    LocalChange { path: leaf.path, before: Some(leaf.entry), after: Some(found) }
}

/// Hashes the doubtful files on all cores.
fn settle(
    root: &Path,
    doubtful: Vec<Doubtful>,
    began_ns: i64,
    result: &mut Comparison,
    observer: &Observer,
) -> Result<()> {
    if doubtful.is_empty() {
        return Ok(());
    }
    let hashed: Vec<_> = doubtful
        .into_par_iter()
        .map(|doubtful| {
            let outcome = hash_path(&root.join(doubtful.found.path.as_str()));
            observer.add(Counter::HashedFiles, 1);
            (doubtful, outcome)
        })
        .collect();
    for (Doubtful { mut found, before }, outcome) in hashed {
        match outcome {
            Ok(Some((content, stat))) => {
                let row = StatRow { path: found.path.clone(), stat, content };
                if row.is_settled(began_ns) {
                    result.rows.push(row);
                }
                let same = matches!(before.entry.kind, EntryKind::File { content: base, .. } if base == content);
                if !same {
                    found.stat = stat;
                    result.changes.push(modified(found, before));
                }
            }
            // Read as changing: whoever commits it reads it again.
            Ok(None) => result.changes.push(modified(found, before)),
            Err(why) => result.unreadable.push((found.path, why)),
        }
    }
    result.changes.sort_by(|a, b| a.path.cmp(&b.path));
    result.rows.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

/// The content of a file; `None` if it changes while it is read.
pub fn hash_path(path: &Path) -> Result<Option<(Id, Stat)>, String> {
    let hash = |file: &mut std::fs::File, stat: &Stat| {
        if stat.size > SMALL_FILE {
            return hash_file(path, file);
        }
        let mut bytes = Vec::with_capacity(stat.size as usize + 1);
        fill_as_said(path, file, stat, &mut bytes, SMALL_FILE as usize + 1)?;
        Ok(Id::of(&bytes))
    };
    read_settled(path, hash)
        .map_err(|fault| std::error::Error::source(&fault).map_or_else(|| fault.to_string(), ToString::to_string))
}
