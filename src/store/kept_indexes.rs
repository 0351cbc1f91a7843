//! Indexes of a store that is far away, as files under their own names. Whatever isn't what the log says is fetched again, and that is
//! noted.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::base::files::{self, Durability, create_folders, write_file};
use crate::base::{Event, Id, ObjectName, Observer};
use crate::format::index::Index;
use crate::format::operation::IndexRow;

/// A folder of indexes; shared by processes, since a file appears whole and never changes.
pub(super) struct KeptIndexes {
    folder: PathBuf,
    observer: Observer,
}

impl KeptIndexes {
    pub fn new(folder: PathBuf, observer: Observer) -> KeptIndexes {
        KeptIndexes { folder, observer }
    }

    /// The index of a row, if it is here and what the row says.
    pub fn get(&self, row: &IndexRow) -> Option<Index> {
        let bytes = files::read(&self.file(&row.name)).ok()?;
        if Id::of(&bytes) == row.id {
            return Index::parse(bytes).ok();
        }
        let note = format!("{} is damaged, and fetched again", self.file(&row.name).display());
        self.observer.tell(Event::Note(note));
        None
    }

    /// Whether there is a file for each row.
    pub fn has_all(&self, rows: &[IndexRow]) -> bool {
        rows.iter().all(|row| self.file(&row.name).exists())
    }

    /// Keeps an index, as far as it may: who can't write here fetches again.
    pub fn put(&self, row: &IndexRow, bytes: &[u8]) {
        if create_folders(&self.folder).is_ok() {
            write_file(&self.file(&row.name), bytes, Durability::Renamed).ok();
        }
    }

    /// Removes the indexes that no row names. Another process may follow the log further than this one: it fetches them again.
    pub fn remove_others(&self, rows: &[IndexRow]) {
        let named: HashSet<String> = rows.iter().map(|row| row.name.to_string()).collect();
        let Ok(listing) = std::fs::read_dir(&self.folder) else { return };
        for entry in listing.flatten() {
            let name = entry.file_name();
            let is_index = name.to_str().is_some_and(|name| !name.starts_with('.') && !named.contains(name));
            if is_index {
                std::fs::remove_file(entry.path()).ok();
            }
        }
        crate::base::files::sweep_temporaries(&self.folder);
    }

    fn file(&self, name: &ObjectName) -> PathBuf {
        self.folder.join(name.to_string())
    }
}
