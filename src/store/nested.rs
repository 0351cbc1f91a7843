//! Stores that lie below a place: why none is made there, and what may have been meant by it.
//!
//! A bounded look, and so a hint: in a bucket one page of a list, in a folder some thousand names of its first levels. Names that
//! begin with `.` are passed over, as no dataset of a store around them could have such a name: a workspace's own store isn't found.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::locate::STORE_FILE;
use super::objects::Bucket;
use crate::base::Result;

/// Names that are looked at in a folder: as many as a page of a bucket's list has.
const MOST_NAMES: usize = 1_000;
/// Folders above a store that is looked for.
const DEEPEST: usize = 3;

/// Paths from the bucket's root to stores below it, in the order of their bytes.
pub fn stores_in_bucket(bucket: &Bucket) -> Result<Vec<String>> {
    let below = bucket.list_below("", None)?.names;
    let stores = below.iter().filter_map(|name| name.strip_suffix(STORE_FILE)?.strip_suffix('/'));
    Ok(stores.filter(|store| !store.split('/').any(|part| part.starts_with('.'))).map(str::to_owned).collect())
}

/// Paths from the folder to stores below it, the nearest first. What can't be read, or isn't there, holds none.
pub fn stores_in_folder(folder: &Path) -> Vec<String> {
    let mut stores = Vec::new();
    let mut left = MOST_NAMES;
    let mut folders = VecDeque::from([(PathBuf::new(), 0)]);
    while let Some((below, depth)) = folders.pop_front() {
        let Ok(entries) = std::fs::read_dir(folder.join(&below)) else { continue };
        let entries: Vec<_> = entries.take(left).flatten().collect();
        left -= entries.len();
        let folders_here = entries.iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut names: Vec<_> = folders_here.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort_unstable();
        for name in names {
            let found = below.join(name);
            if folder.join(&found).join(STORE_FILE).is_file() {
                stores.extend(found.to_str().map(str::to_owned));
            } else if depth + 1 < DEEPEST {
                folders.push_back((found, depth + 1));
            }
        }
    }
    stores
}
