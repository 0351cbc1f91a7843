//! What the folders of a view were when it was made: a job finds out by a look at each of them whether something was added, removed or
//! renamed in the view since, without a look at its files.
//!
//! `views/<key>-<random>.folders` has a line for each folder, outer ones first: the second and nanosecond of its last change, as the kernel
//! keeps it (nobody sets that back, and a change of the mode counts), and its path. A second job of a view is to wait for a few milliseconds
//! and no more, and looks at the first [`MOST`] of them; `cache verify` looks at all.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, statat};

use crate::base::files::Durability;
use crate::base::{Error, Event, Result};

use super::{Cache, View};

/// So many folders are looked at: 20 to 40 ms.
const MOST: usize = 20_000;
const STAMPS: &str = ".folders";

impl Cache {
    /// The view, if new jobs may have it and nobody changed its folders; if somebody did, it is refused from now on.
    pub fn unchanged_view(&self, key: &str) -> Result<Option<View>> {
        let Some(view) = self.view(key) else { return Ok(None) };
        if self.has_its_stamps(&view.card.tree, MOST) {
            return Ok(Some(view));
        }
        self.refuse_changed(&view).map(|()| None)
    }

    /// Looks at all folders of all views; gives the keys of those that were changed, which new jobs don't get any more.
    pub(super) fn verify_views(&self) -> Result<Vec<String>> {
        let mut changed = Vec::new();
        for view in self.views()?.into_iter().filter(|view| !self.has_its_stamps(&view.card.tree, usize::MAX)) {
            self.refuse_changed(&view)?;
            changed.push(view.key);
        }
        Ok(changed)
    }

    fn refuse_changed(&self, view: &View) -> Result<()> {
        let folder = self.views_folder().join(&view.card.tree);
        if !self.is_writable {
            return Err(Error::damaged(format!("{} was changed since it was made", folder.display())));
        }
        self.observer
            .tell(Event::Warning(format!("{} was changed since it was made, and is made anew", folder.display())));
        self.retire_view(&view.key)
    }

    /// Notes what the folders of a tree are, below it.
    pub(super) fn stamp(&self, tree: &str, folders: &[PathBuf]) -> Result<()> {
        let root = self.views_folder().join(tree);
        let open = File::open(&root).map_err(|fault| Error::io("open", &root, fault))?;
        let mut text = String::new();
        for folder in folders.iter().filter_map(|folder| folder.to_str()) {
            let (second, nanosecond) = changed(&open, folder)
                .ok_or_else(|| Error::io("look at", &root.join(folder), std::io::ErrorKind::NotFound.into()))?;
            // A NUL is in no path.
            write!(text, "{second} {nanosecond} {folder}\0").ok();
        }
        self.write_common(&self.stamps_path(tree), text.as_bytes(), Durability::Renamed)
    }

    fn has_its_stamps(&self, tree: &str, most: usize) -> bool {
        let Ok(text) = fs::read_to_string(self.stamps_path(tree)) else { return false };
        let Ok(open) = File::open(self.views_folder().join(tree)) else { return false };
        let mut stamps = text.split_terminator('\0').take(most).peekable();
        stamps.peek().is_some()
            && stamps.all(|stamp| {
                let mut parts = stamp.splitn(3, ' ');
                let mut number = || parts.next()?.parse::<i64>().ok();
                let then = number().zip(number());
                then.is_some() && parts.next().and_then(|folder| changed(&open, folder)) == then
            })
    }

    pub(super) fn stamps_path(&self, tree: &str) -> PathBuf {
        self.views_folder().join(format!("{tree}{STAMPS}"))
    }
}

/// When a folder was last changed, in seconds since 1970 and nanoseconds.
fn changed(root: &File, folder: &str) -> Option<(i64, i64)> {
    let folder = if folder.is_empty() { Path::new(".") } else { Path::new(folder) };
    let stat = statat(root, folder, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some((stat.st_ctime, i64::try_from(stat.st_ctime_nsec).ok()?))
}
