//! What a view was when it was made: a job finds out by some looks whether something was added, removed or renamed in it since, or a file
//! edited through a link.
//!
//! `views/<key>-<random>.folders` has a line for each folder, outer ones first: the second and nanosecond of its last change, as the kernel
//! keeps it (nobody sets that back, and a change of the mode counts), and its path. Of files the time and mode are looked at. A second job of
//! a view is to wait for a few milliseconds and no more: it looks at [`MOST_FOLDERS`], and at files, from a folder on that is chosen at random, up
//! to [`LOOKS`] of both. So a view with no more of both is looked at whole, and of a larger one each job sees another part. `cache verify`
//! looks at all folders, and reads the files themselves.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Stat, statat};

use crate::base::files::{Durability, random_bytes};
use crate::base::{Error, Event, Result};

use super::files::looks_untouched;
use super::{Cache, View};

/// So many folders are looked at: 20 to 40 ms.
const MOST_FOLDERS: usize = 20_000;
/// As long as there were no more looks than this, files too: 20 ms.
const LOOKS: usize = 8_000;
const STAMPS: &str = ".folders";

impl Cache {
    /// The view, if new jobs may have it and nobody seems to have changed it; if somebody did, it is refused from now on.
    pub fn unchanged_view(&self, key: &str) -> Result<Option<View>> {
        let Some(view) = self.view(key) else { return Ok(None) };
        if self.has_its_stamps(&view.card.tree, MOST_FOLDERS, LOOKS) {
            return Ok(Some(view));
        }
        self.refuse_changed(&view).map(|()| None)
    }

    /// Looks at all folders of all views; gives the keys of those that were changed, which new jobs don't get any more.
    pub(super) fn verify_views(&self) -> Result<Vec<String>> {
        let mut changed = Vec::new();
        for view in self.views()?.into_iter().filter(|view| !self.has_its_stamps(&view.card.tree, usize::MAX, 0)) {
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

    /// By a look at so many folders at most, and then at files, as long as there were no more of both than `looks`.
    fn has_its_stamps(&self, tree: &str, most_folders: usize, looks: usize) -> bool {
        let path = self.stamps_path(tree);
        let (Ok(text), Ok(made)) = (fs::read_to_string(&path), rustix::fs::stat(&path)) else { return false };
        let Ok(root) = File::open(self.views_folder().join(tree)) else { return false };
        let stamp = |text| {
            let mut parts = str::splitn(text, 3, ' ');
            let mut number = || parts.next()?.parse::<i64>().ok();
            let then = number().zip(number())?;
            Some((then, parts.next()?))
        };
        let stamps: Option<Vec<_>> = text.split_terminator('\0').take(most_folders).map(stamp).collect();
        let Some(stamps) = stamps.filter(|stamps| !stamps.is_empty()) else { return false };
        let folders = || stamps.iter().map(|(_, folder)| self.views_folder().join(tree).join(folder));
        let first = random_bytes().map_or(0, |bytes| usize::from(bytes[0]) << 8 | usize::from(bytes[1])) % stamps.len();
        let turned = folders().skip(first).chain(folders().take(first));
        let files = turned.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        let files = files.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        stamps.iter().all(|(then, folder)| changed(&root, folder) == Some(*then))
            && files.take(looks.saturating_sub(stamps.len())).all(|file| is_as_linked(&file.path(), &made))
    }

    pub(super) fn stamps_path(&self, tree: &str) -> PathBuf {
        self.views_folder().join(format!("{tree}{STAMPS}"))
    }
}

/// Whether a file looks as every cached one does, or did not so already when the view was made: another user's may have been touched before.
fn is_as_linked(file: &Path, made: &Stat) -> bool {
    let changed = |stat: &Stat| (stat.st_ctime, stat.st_ctime_nsec);
    rustix::fs::lstat(file).is_ok_and(|stat| looks_untouched(&stat) || changed(&stat) < changed(made))
}

/// When a folder was last changed, in seconds since 1970 and nanoseconds.
fn changed(root: &File, folder: &str) -> Option<(i64, i64)> {
    let folder = if folder.is_empty() { Path::new(".") } else { Path::new(folder) };
    let stat = statat(root, folder, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some((stat.st_ctime, i64::try_from(stat.st_ctime_nsec).ok()?))
}
