//! Chunks and recipes out of whole files on this machine: those of a cache, or of the workspace. Cut as they were, they give the same ids.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use crate::base::{Error, Id, RepoPath, Result, files};
use crate::chunk::cut::{SMALL_FILE, next_cut, sniff};
use crate::format::manifest::EntryKind;
use crate::format::pack::ItemKind;
use crate::format::recipe::{self, RecipeChild};
use crate::history::alive::all_versions;
use crate::history::fold::Fold;
use crate::store::content::Content;
use crate::tree::manifest::Manifest;

use super::super::read_content::Chunks;
use super::items::Keep;
use super::{Item, Mender};

/// Read at a time; more than the longest chunk.
const BUFFER: usize = 4 << 20;

impl Mender<'_> {
    /// Looks through the files of all versions for those that need something of `left`; gives what was found in files here.
    pub(super) fn read_files(
        &self,
        fold: &Fold,
        content: &Content,
        left: &HashSet<Item>,
        keep: &mut Keep<'_>,
    ) -> Result<HashSet<Item>> {
        let (mut found, mut seen) = (HashSet::new(), HashSet::new());
        for row in all_versions(fold).values() {
            let manifest = Manifest::new(content, row.manifest, Some(row.manifest_place));
            for leaf in manifest.entries("") {
                // A version whose manifest is damaged is another finding.
                let Ok(leaf) = leaf else { break };
                let EntryKind::File { size, content: id, .. } = leaf.entry.kind else { continue };
                if !needs(content, &id, size, left) || found.len() == left.len() {
                    continue;
                }
                let path: &RepoPath = &leaf.path;
                for file in (self.find_file)(&id, size, path) {
                    if !seen.insert((id, file.clone())) {
                        continue;
                    }
                    // A file that can't be read, or isn't it, gives nothing.
                    let mut wanted: HashSet<Item> = left.difference(&found).copied().collect();
                    let taken = take(&file, &id, size, &mut wanted, keep)?;
                    found.extend(taken);
                }
            }
        }
        Ok(found)
    }
}

/// Whether a file's content needs something that is left; one whose recipe can't be read may.
fn needs(content: &Content, id: &Id, size: u64, left: &HashSet<Item>) -> bool {
    if size <= SMALL_FILE {
        return left.contains(&(*id, ItemKind::Chunk));
    }
    if left.contains(&(*id, ItemKind::RecipeRoot)) {
        return true;
    }
    let Ok(mut chunks) = Chunks::open(content, id, size, None) else { return true };
    loop {
        match chunks.next_chunk() {
            Ok(Some(chunk)) if left.contains(&(chunk.id, ItemKind::Chunk)) => return true,
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// Cuts a file, and keeps what is wanted of it: each chunk is what its id says; recipes only where the whole is the content.
fn take(
    path: &Path,
    content: &Id,
    size: u64,
    wanted: &mut HashSet<Item>,
    keep: &mut Keep<'_>,
) -> Result<HashSet<Item>> {
    let mut taken = HashSet::new();
    let Ok(file) = files::open_regular(path) else { return Ok(taken) };
    if file.metadata().map_or(true, |meta| !meta.is_file() || meta.len() != size) {
        return Ok(taken);
    }
    let mut offer = |item: Item, bytes: &[u8], taken: &mut HashSet<Item>| {
        if wanted.remove(&item) {
            keep(item, bytes, &[])?;
            taken.insert(item);
        }
        Ok::<_, Error>(())
    };
    let (mut hasher, mut chunks) = (blake3::Hasher::new(), Vec::new());
    let (mut buffer, mut begin, mut at_end, mut rule) = (Vec::new(), 0, false, None);
    let mut reader = file.take(size + 1);
    loop {
        if !at_end && buffer.len() - begin < BUFFER / 2 {
            buffer.drain(..begin);
            begin = 0;
            let Ok(read) = reader.by_ref().take(BUFFER as u64).read_to_end(&mut buffer) else { return Ok(taken) };
            at_end = read == 0;
            continue;
        }
        let rest = &buffer[begin..];
        let rule = *rule.get_or_insert_with(|| sniff(rest));
        let cut = if size <= SMALL_FILE { rest.len() } else { next_cut(rule, rest, at_end).unwrap_or(0) };
        if cut == 0 {
            break;
        }
        let piece = &rest[..cut];
        hasher.update(piece);
        let id = Id::of(piece);
        offer((id, ItemKind::Chunk), piece, &mut taken)?;
        chunks.push(RecipeChild { id, bytes: cut as u64 });
        begin += cut;
    }
    if hasher.finalize().as_bytes() != &content.0 || size <= SMALL_FILE {
        return Ok(taken);
    }
    let root = recipe::build(*content, chunks, |id, _, bytes| offer((id, ItemKind::RecipePage), &bytes, &mut taken))?;
    offer((*content, ItemKind::RecipeRoot), &root.encode(), &mut taken)?;
    Ok(taken)
}
