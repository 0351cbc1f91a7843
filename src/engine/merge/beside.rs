//! What a merge kept of several parents at one path, each under a name of its own beside it: found again from either end.

use crate::base::{RepoPath, Result};
use crate::flow::merge::Regions;
use crate::format::manifest::Entry;
use crate::tree::manifest::Manifest;
use crate::tree::merge::Did;
use crate::tree::resolve::{Look, name_beside, word_beside};

use super::meeting::side_at;
use super::rules::side_of;
use super::why::{Kept, same_kind};
use super::{MergeParent, MergeSide};

/// Names that are tried for what a merge put beside a path: the first is taken seldom.
const MOST_NAMES: u32 = 8;

/// Where an entry stood that a merge put beside its path.
pub(super) struct Beside {
    /// Whose it was: the first of them gave it its name.
    pub heads: Vec<usize>,
    pub from: RepoPath,
    /// What each parent had there.
    pub sides: Vec<MergeSide>,
}

/// Whether a merge put the entry here from beside another path, where a parent has it.
pub(super) fn came_from_beside(
    parents: &[MergeParent],
    regions: &Regions<'_>,
    (path, entry): (&RepoPath, &Option<Entry>),
) -> Result<Option<Beside>> {
    for (head, parent) in parents.iter().enumerate() {
        let Some(from) = word_beside(path, parent.word()) else { continue };
        let values = regions.values_at(from.as_str())?;
        if entry.is_some() && values[head] == *entry {
            let side = |(head, parent)| Ok(side_of(side_at(regions, &from, &values, head, false)?, parent));
            let sides = parents.iter().enumerate().map(side).collect::<Result<Vec<_>>>()?;
            let did_it = |other: &usize| values[*other] == *entry && sides[*other].did != Did::Unchanged;
            let others = (0..parents.len()).filter(|other| *other != head).filter(did_it);
            let heads = [head].into_iter().chain(others).collect();
            return Ok(Some(Beside { heads, from, sides }));
        }
    }
    Ok(None)
}

/// Where the merged version has what parents had at a path that it hasn't itself; `values` are theirs.
pub(super) fn went_beside(
    parents: &[MergeParent],
    values: &[Option<Entry>],
    path: &RepoPath,
    merged: &Manifest<'_>,
) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    let mut found: Vec<&Option<Entry>> = Vec::new();
    for (parent, value) in parents.iter().zip(values).filter(|(_, value)| value.is_some()) {
        // What several did alike stands there once.
        if let Some(at) = found.iter().position(|known| same_kind(known, value)) {
            let first: &Kept = &kept[at];
            let path = first.path.clone();
            kept.push(Kept { reference: parent.reference.clone(), path });
            found.push(value);
            continue;
        }
        for number in 1..=MOST_NAMES {
            let Ok(beside) = name_beside(path, parent.word(), number) else { break };
            let there = merged.find(beside.as_str())?.map(|leaf| leaf.entry);
            if same_kind(&there, value) {
                kept.push(Kept { reference: parent.reference.clone(), path: beside.to_string() });
                found.push(value);
                break;
            }
        }
    }
    Ok(kept)
}
