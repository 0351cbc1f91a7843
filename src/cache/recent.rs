//! Which versions of a dataset were cached last: a large file of a new one is made from what is here of them.

use crate::base::files::{self, Durability};
use crate::base::{Id, Result};

use super::Cache;

/// So many are remembered.
const MOST: usize = 4;

impl Cache {
    /// The versions of a dataset that were cached last, newest first. The dataset is told from others by any id of it.
    pub fn recent(&self, dataset: &Id) -> Vec<Id> {
        let text = files::read_text(&self.folder.join("recent").join(dataset.to_string())).unwrap_or_default();
        text.lines().take(MOST).filter_map(Id::from_hex).collect()
    }

    /// Remembers that a version was cached.
    pub fn note_recent(&self, dataset: &Id, version: Id) -> Result<()> {
        let mut versions = self.recent(dataset);
        if versions.first() == Some(&version) || !self.is_writable {
            return Ok(());
        }
        versions.retain(|other| *other != version);
        versions.insert(0, version);
        let lines: String = versions.iter().take(MOST).map(|version| format!("{version}\n")).collect();
        self.write_common(&self.folder.join("recent").join(dataset.to_string()), lines.as_bytes(), Durability::Renamed)
    }
}
