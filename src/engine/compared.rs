//! A workspace's folder, compared with a version.

use crate::base::{Event, Result};
use crate::catalog::stat_index::StatIndex;
use crate::tree::manifest::Manifest;
use crate::tree::scan::{ScanOptions, scan};
use crate::workspace::compare::{Comparison, compare};

use super::Engine;
use super::workspace::Workspace;

/// A workspace compared with its base.
pub(super) struct Compared {
    pub comparison: Comparison,
    pub index: StatIndex,
    pub began_ns: i64,
}

impl Compared {
    /// Whether the folder is empty: not even a path that is left out is there.
    pub fn finds_nothing(&self) -> bool {
        self.comparison.changes.is_empty() && self.comparison.left_out.is_empty()
    }
}

impl Engine {
    /// Compares the workspace with `base`, and keeps what was learned of its files.
    pub(super) fn compare(&self, workspace: &Workspace, base: Option<Manifest<'_>>) -> Result<Compared> {
        let mut compared = self.look(workspace, base)?;
        if compared.comparison.rows_changed {
            compared.index.replace(&compared.comparison.rows)?;
        }
        Ok(compared)
    }

    /// As [`Engine::compare`], and leaves it to the caller to keep what was found out about the files.
    pub(super) fn look(&self, workspace: &Workspace, base: Option<Manifest<'_>>) -> Result<Compared> {
        let root = workspace.control.root();
        let began_ns = workspace.control.clock_ns()?;
        let mut index = StatIndex::open(self.settings.state_folder.as_deref(), root, &self.observer)?;
        let options = ScanOptions { exclude: Vec::new(), jobs: self.settings.jobs, observer: self.observer.clone() };
        self.observer.tell(Event::Phase("scanning"));
        let (found, rows) = std::thread::scope(|scope| {
            let scanning = scope.spawn(|| scan(root, &options));
            let rows = index.rows();
            (scanning.join().expect("a scan doesn't panic"), rows)
        });
        let comparison = compare(root, found?, base, rows?, began_ns, &self.observer)?;
        Ok(Compared { comparison, index, began_ns })
    }
}
