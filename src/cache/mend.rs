//! A cached file that looks changed: read, and then right again, or put aside.
//!
//! Who owns a file sets its time and mode back where its bytes are right. Another user can't, and uses it as it is where its time alone is
//! another: it is read each time until its owner comes by.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::Event;

use super::files::times;
use super::{Cache, Key};

/// How often a file is read that others change meanwhile.
const TRIES: usize = 3;

/// Files that looked changed since a cache was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Their bytes were right.
    pub mended: u64,
    /// They are in quarantine, or not used where that can't be.
    pub put_aside: u64,
}

impl Changes {
    /// What came since an earlier look.
    pub fn since(self, earlier: Changes) -> Changes {
        Changes { mended: self.mended - earlier.mended, put_aside: self.put_aside - earlier.put_aside }
    }

    /// Both together.
    pub fn and(self, other: Changes) -> Changes {
        Changes { mended: self.mended + other.mended, put_aside: self.put_aside + other.put_aside }
    }
}

#[derive(Default)]
pub(super) struct Met {
    mended: AtomicU64,
    put_aside: AtomicU64,
}

impl Met {
    pub(super) fn note_put_aside(&self) {
        self.put_aside.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a file turned out to be.
enum Judged {
    Right,
    Wrong,
    /// It became another while it was read.
    Moving,
}

impl Cache {
    /// Files that looked changed so far.
    pub fn changes(&self) -> Changes {
        Changes {
            mended: self.changes.mended.load(Ordering::Relaxed),
            put_aside: self.changes.put_aside.load(Ordering::Relaxed),
        }
    }

    /// Whether a file that looks changed may be used all the same; else it is put into quarantine.
    pub(super) fn judge(&self, key: Key, size: u64) -> bool {
        for _ in 0..TRIES {
            match self.look_closely(key, size) {
                Ok(Judged::Right) => return true,
                Ok(Judged::Moving) => {}
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => return false,
                Ok(Judged::Wrong) | Err(_) => break,
            }
        }
        self.quarantine(key);
        false
    }

    fn look_closely(&self, key: Key, size: u64) -> io::Result<Judged> {
        let path = self.path_of(key);
        if !path.symlink_metadata()?.is_file() {
            return Ok(Judged::Wrong);
        }
        let mut file = File::open(&path)?;
        // The time of the change tells of every write, and of a time that was set back.
        let state =
            |file: &File| file.metadata().map(|meta| (meta.ctime(), meta.ctime_nsec(), meta.size(), meta.mtime()));
        let before = state(&file)?;
        if before.2 != size {
            return Ok(Judged::Wrong);
        }
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut file, &mut hasher)?;
        let is_same = path.symlink_metadata()?.ino() == file.metadata()?.ino();
        if state(&file)? != before || !is_same {
            return Ok(Judged::Moving);
        }
        if hasher.finalize().as_bytes() != &key.content.0 {
            return Ok(Judged::Wrong);
        }
        let mode = std::fs::Permissions::from_mode(key.mode());
        let is_mended =
            self.is_writable && file.set_permissions(mode).is_ok() && rustix::fs::futimens(&file, &times()).is_ok();
        if is_mended {
            self.changes.mended.fetch_add(1, Ordering::Relaxed);
        } else if file.metadata()?.mode() & 0o7777 != key.mode() {
            // Links would hand the mode on.
            return Ok(Judged::Wrong);
        }
        let what = if is_mended { "mended" } else { "used as it is, its owner can mend it" };
        self.observer.tell(Event::Note(format!(
            "{}: its time or mode was changed and its bytes are right: {what}",
            path.display()
        )));
        Ok(Judged::Right)
    }
}
