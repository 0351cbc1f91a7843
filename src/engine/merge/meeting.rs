//! Where a file of one parent met a folder of another: the conflict is about the file's path, and decides all paths below it too.

use crate::base::{RepoPath, Result};
use crate::flow::merge::Regions;
use crate::format::manifest::{Entry, EntryKind};
use crate::tree::manifest::Manifest;
use crate::tree::merge::{Apart, Did, Outcome, did, settle};
use crate::tree::resolve::{Look, Side};

/// So many files of a folder are looked at for one that a merge would keep there: what was only deleted with its folder met nothing.
const MOST_LOOKED_AT: usize = 1_000;

/// The path, `path` or one above it, at which a file met a folder that a merge would keep too. `folders` are the parents with the path at
/// which each has what is `path` in the merge.
pub(super) fn meeting(
    regions: &Regions<'_>,
    path: &RepoPath,
    folders: &[(Manifest<'_>, Option<String>)],
) -> Result<Option<RepoPath>> {
    let ends = path.as_str().match_indices('/').map(|(end, _)| end);
    for end in ends.chain([path.as_str().len()]) {
        let at = &path.as_str()[..end];
        let heads = || regions.lineage_at(at).speaking();
        let mut has_folder = false;
        if comes_to(regions, at, |entry| entry.kind != EntryKind::EmptyFolder)? {
            for head in heads() {
                has_folder |= regions.has_folder(head, at)?;
            }
        }
        let keeps = || match end == path.as_str().len() {
            true => keeps_some(regions, path, folders),
            false => comes_to(regions, path.as_str(), |_| true),
        };
        if has_folder && keeps()? {
            return RepoPath::new(at).map(Some);
        }
    }
    Ok(None)
}

/// Whether a path comes to such an entry, or may.
fn comes_to(regions: &Regions<'_>, path: &str, is_such: impl Fn(&Entry) -> bool) -> Result<bool> {
    let values = regions.values_at(path)?;
    Ok(match settle(regions.lineage_at(path), &values, &Apart::new()) {
        Outcome::Settled(entry) => entry.is_some_and(|entry| is_such(&entry)),
        Outcome::Open(standing) => standing.iter().filter_map(|head| values[*head].as_ref()).any(is_such),
    })
}

fn keeps_some(regions: &Regions<'_>, path: &RepoPath, folders: &[(Manifest<'_>, Option<String>)]) -> Result<bool> {
    for (manifest, source) in folders {
        let Some(source) = source else { continue };
        for leaf in manifest.entries(source).take(MOST_LOOKED_AT) {
            let leaf = leaf?;
            let Some(rest) = leaf.path.as_str().strip_prefix(source.as_str()).filter(|rest| !rest.is_empty()) else {
                continue;
            };
            if comes_to(regions, &format!("{path}{rest}"), |_| true)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What a parent has at a path, and did there: what has become a folder, or was one, isn't deleted.
///
/// `met` is whether a file met a folder just there: then who has the folder did something in it.
pub(super) fn side_at(
    regions: &Regions<'_>,
    path: &RepoPath,
    values: &[Option<Entry>],
    head: usize,
    met: bool,
) -> Result<Side> {
    let lineage = regions.lineage_at(path.as_str());
    let entry = values[head].clone();
    let folder = entry.is_none() && regions.has_folder(head, path.as_str())?;
    let did = match did(lineage, values, head) {
        Did::Deleted if folder => Did::Changed,
        Did::Unchanged if folder && !had_folder(regions, path)? => Did::Added,
        Did::Unchanged if folder && met => Did::Changed,
        Did::Added if had_folder(regions, path)? => Did::Changed,
        did => did,
    };
    Ok(Side { did, entry, folder })
}

/// Whether one of the versions that the parents came from has a folder there.
fn had_folder(regions: &Regions<'_>, path: &RepoPath) -> Result<bool> {
    let lineage = regions.lineage_at(path.as_str());
    for base in lineage.heads..lineage.near {
        if regions.has_folder(base, path.as_str())? {
            return Ok(true);
        }
    }
    Ok(false)
}
