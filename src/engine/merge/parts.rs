//! Parts of versions as parents: which folder of which dataset is meant, and what versions record of that.

use std::collections::HashSet;

use crate::base::{Error, Id, Result};
use crate::format::attrs::{Attrs, Value};
use crate::history::bases::Parts;
use crate::history::fold::Fold;
use crate::tree::manifest::Manifest;
use crate::tree::part::Part;

use super::super::Engine;
use super::super::open::Target;

/// Metadata of a merged version: a line `VERSION PART` for each parent of which a part was taken.
pub(super) const META_PARTS: &str = "merge.parts";
/// A text in metadata holds 64 KiB.
const MOST_BYTES: usize = 60 << 10;

/// The part that an address of another dataset names by its path; `manifest` is its version's.
///
/// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) where it has no such folder.
pub(super) fn part_of(part: Part, shown: &str, manifest: &Manifest<'_>) -> Result<Part> {
    let folder = part.from().trim_end_matches('/');
    if folder.is_empty() || manifest.has_folder(folder)? {
        return Ok(part);
    }
    Err(match manifest.find(folder)? {
        Some(_) => Error::usage(format!("{folder} is no folder with files in {shown}: a part is one"))
            .hint("name the folder that it is in"),
        None => Error::not_found(format!("{shown} has no folder {folder}"))
            .hint(format!("`dagset ls {shown}` shows what is there")),
    })
}

/// What the metadata of a merge says of its parents that are parts.
pub(super) fn recorded_parts<'p>(parents: impl Iterator<Item = (Id, &'p Part)>) -> Result<Option<(String, String)>> {
    let taken = parents.filter(|(_, part)| !part.is_whole());
    let lines: Vec<String> = taken.map(|(version, part)| format!("{version} {part}")).collect();
    let text = lines.join("\n");
    if text.len() > MOST_BYTES {
        return Err(
            Error::usage("the merge is of more parts than a version can record").hint("merge some of them first")
        );
    }
    Ok((!text.is_empty()).then(|| (META_PARTS.to_owned(), text)))
}

/// The same as metadata of a version.
pub(in crate::engine) fn record_parts<'p>(parents: impl Iterator<Item = (Id, &'p Part)>) -> Result<Attrs> {
    let recorded = recorded_parts(parents)?.into_iter();
    Ok(Attrs(recorded.map(|(key, text)| (key, Value::Text(text))).collect()))
}

/// The parents of which a part was taken, as a merge recorded them.
pub(super) fn parts_in(text: &str) -> Option<Vec<(Id, Part)>> {
    let line = |line: &str| {
        let (id, part) = line.split_once(' ')?;
        Some((Id::from_hex(id)?, Part::parse(part).ok()?))
    };
    text.lines().map(line).collect()
}

/// The same of a version's metadata.
pub(super) fn parts_of(version: &Id, meta: &Attrs) -> Result<Vec<(Id, Part)>> {
    let Some(Value::Text(text)) = meta.0.get(META_PARTS) else { return Ok(Vec::new()) };
    parts_in(text)
        .ok_or_else(|| Error::damaged(format!("{META_PARTS} of version {} can't be understood", version.short())))
}

impl Engine {
    /// The parts that the versions and their ancestors took. Only a version with a parent in another dataset can have taken one: no
    /// other's record is read.
    pub(in crate::engine) fn parts_before(&self, target: &Target, versions: impl Iterator<Item = Id>) -> Result<Parts> {
        let fold = target.store.timeline.fold();
        let mut open: Vec<Id> = versions.collect();
        let mut seen: HashSet<Id> = open.iter().copied().collect();
        let mut merges = Vec::new();
        while let Some(state) = open.pop().map(|id| fold.version(&id)) {
            let Some(state) = state else { continue };
            if has_foreign_parent(fold, &state.row.version, &state.row.parents) {
                merges.push(state);
            }
            open.extend(state.row.parents.iter().copied().filter(|parent| seen.insert(*parent)));
        }
        let mut parts = Parts::new();
        for (state, record) in merges.iter().zip(self.version_records(&target.store, &merges)?) {
            let version = state.row.version;
            let taken = parts_of(&version, &record.meta)?;
            parts.extend(taken.into_iter().map(|(parent, part)| ((version, parent), part)));
        }
        Ok(parts)
    }
}

fn has_foreign_parent(fold: &Fold, version: &Id, parents: &[Id]) -> bool {
    let mut homes = fold.datasets.values().filter(|dataset| dataset.versions.contains_key(version));
    parents.len() > 1 && !homes.any(|home| parents.iter().all(|parent| home.versions.contains_key(parent)))
}
