//! Purging: files leave a cache whoever holds them, and views that show them are given to nobody any more.

use std::collections::BTreeSet;
use std::fs;

use crate::base::files::sweep_temporaries;
use crate::base::{Id, Result};

use super::holds::names_in;
use super::prune::ASIDE_FOLDERS;
use super::views::key_of_tree;
use super::{Cache, Key, list_entry};

/// What of some content a cache had, or still has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgedFiles {
    /// Files that are gone, or would be, those put aside among them; and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// Files that can't be removed by this user.
    pub left_files: u64,
    /// Views that show some of it, and that somebody still reads: their keys. A reader keeps what it has.
    pub held_views: Vec<String>,
}

impl Cache {
    /// Removes the files of these contents; in a dry run it is only said what would go.
    pub fn purge(&self, contents: &[Id], dry_run: bool) -> Result<PurgedFiles> {
        let mut purged = PurgedFiles::default();
        if !dry_run {
            // What processes were fetching that have ended may be of it.
            sweep_temporaries(&self.folder.join("files"));
        }
        let keys = contents.iter().flat_map(|id| [false, true].map(|executable| Key { content: *id, executable }));
        let keys: Vec<Key> = keys.collect();
        let is_one = |name: &str| name.get(..64).and_then(Id::from_hex).is_some_and(|id| contents.contains(&id));
        let aside = ASIDE_FOLDERS.map(|name| self.folder.join(name)).into_iter().flat_map(|folder| {
            let names = names_in(&folder).unwrap_or_default().into_iter().filter(|name| is_one(name));
            names.map(|name| folder.join(name)).collect::<Vec<_>>()
        });
        for path in keys.iter().map(|key| self.path_of(*key)).chain(aside) {
            let Ok(meta) = path.symlink_metadata() else { continue };
            match dry_run || fs::remove_file(&path).is_ok() {
                true => {
                    purged.files += 1;
                    purged.bytes += meta.len();
                }
                false => purged.left_files += 1,
            }
        }
        if !dry_run {
            let entries: BTreeSet<u128> = keys.iter().map(|key| list_entry(*key)).collect();
            purged.held_views = self.purge_views(&entries)?;
        }
        Ok(purged)
    }

    /// Takes down the views that show one of `entries`; gives those that somebody still reads.
    fn purge_views(&self, entries: &BTreeSet<u128>) -> Result<Vec<String>> {
        let mut showing = BTreeSet::new();
        for described in self.cards()? {
            // What it shows isn't known where its list can't be read.
            let shown = self.read_list(&described.card.list);
            if shown.is_err() || shown.is_ok_and(|all| all.iter().any(|entry| entries.contains(entry))) {
                if !described.is_stale {
                    self.retire_view(&described.key)?;
                }
                showing.insert(described.key);
            }
        }
        if showing.is_empty() {
            return Ok(Vec::new());
        }
        let held = self.held_views()?;
        showing.iter().for_each(|key| self.clear_view(key, &held));
        let left = names_in(&self.views_folder())?;
        let is_left = |key: &String| left.iter().any(|name| key_of_tree(name) == Some(key));
        Ok(showing.into_iter().filter(is_left).collect())
    }
}
