//! Files that were not synced when the power went: what is visible must be right all the same.
//!
//! Cached files are renamed into place without waiting for the disk. Before its first one a process puts a mark, which is synced, named by
//! the start of the machine; once all is on the disk, the last process takes it away. Who finds the mark of an earlier start hashes what was
//! written or linked since then (ctime), and removes what is wrong. On a network file system there are no marks: there a close sends
//! the data to the server, which other machines don't lose.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock, syncfs};

use crate::base::files::Durability;
use crate::base::host::Host;
use crate::base::{Error, Event, Result};
use crate::store::probe::FileSystem;

use super::Cache;
use super::holds::names_in;

const FOLDER: &str = "unsettled";

/// The mark that this process holds.
pub(super) struct Unsettled {
    held: Mutex<Option<File>>,
    /// `None` on a network file system.
    boot: Option<String>,
}

impl Unsettled {
    pub(super) fn new(folder: &std::path::Path) -> Unsettled {
        let is_shared = FileSystem::of(folder).is_ok_and(|system| system.is_shared);
        Unsettled { held: Mutex::default(), boot: (!is_shared).then(|| Host::here().boot) }
    }

    /// The start of the machine that marks are named by.
    pub(super) fn start(&self) -> Option<&str> {
        self.boot.as_deref()
    }
}

impl Cache {
    /// Marks that something is being written; before the first file.
    pub(super) fn mark_unsettled(&self) -> Result<()> {
        let mut held = self.unsettled.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = self.mark_path().filter(|_| held.is_none()) else { return Ok(()) };
        loop {
            if !path.exists() {
                let text = b"files were written that may not be on the disk yet\n";
                self.write_common(&path, text, Durability::Synced)?;
            }
            let mark = match File::open(&path) {
                Ok(mark) => mark,
                Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => continue,
                Err(fault) => return Err(Error::io("open", &path, fault)),
            };
            flock(&mark, FlockOperation::LockShared).ok();
            // The last one before may have taken it away just now.
            let inode = |meta: fs::Metadata| meta.ino();
            if fs::metadata(&path).ok().map(inode) == mark.metadata().ok().map(inode) {
                *held = Some(mark);
                return Ok(());
            }
        }
    }

    /// Waits until what was written is on the disk, and takes the mark away unless others still write.
    pub fn settle(&self) -> Result<()> {
        let mut held = self.unsettled.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(mark), Some(path)) = (held.take(), self.mark_path()) else { return Ok(()) };
        syncfs(&mark).map_err(|fault| Error::io("sync", &self.folder, fault.into()))?;
        if flock(&mark, FlockOperation::NonBlockingLockExclusive).is_ok() {
            fs::remove_file(path).ok();
        }
        Ok(())
    }

    /// Looks for marks of earlier starts, and checks what was written under them.
    pub(super) fn check_after_power_loss(&mut self) -> Result<()> {
        let Some(boot) = self.unsettled.boot.clone() else { return Ok(()) };
        let marks = || -> Result<Vec<PathBuf>> {
            let names = names_in(&self.folder.join(FOLDER))?.into_iter().filter(|name| *name != boot);
            Ok(names.map(|name| self.folder.join(FOLDER).join(name)).collect())
        };
        if marks()?.is_empty() {
            return Ok(());
        }
        let _alone = if self.is_writable { self.lock_room()? } else { None };
        // Another process may have done it meanwhile.
        let marks = marks()?;
        let since = marks.iter().filter_map(|mark| Some(fs::metadata(mark).ok()?.mtime())).min();
        let Some(since) = since else { return Ok(()) };
        if !self.is_writable {
            self.suspect_since = Some(since);
            return Ok(());
        }
        self.observer.tell(Event::Note(format!("{}: checking files after an unclean start", self.folder.display())));
        let removed = self.remove_damaged_since(since)?;
        if removed > 0 {
            let folder = self.folder.display();
            self.observer
                .tell(Event::Warning(format!("{folder}: what had not reached the disk was removed ({removed})")));
        }
        marks.iter().for_each(|mark| drop(fs::remove_file(mark)));
        Ok(())
    }

    /// Whether only this machine uses the file system.
    pub(super) fn is_on_own_disk(&self) -> bool {
        self.unsettled.boot.is_some()
    }

    fn mark_path(&self) -> Option<PathBuf> {
        self.unsettled.boot.as_ref().map(|boot| self.folder.join(FOLDER).join(boot))
    }
}
