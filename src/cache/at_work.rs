//! Who is at work in a cache: a file for each process, locked while that lives, which says how many bytes it has reserved and not yet
//! written.
//!
//! So reservations end with their process, and what a killed one left is told from what is being made, from any machine or container.
//! Where locks are lost all seem to have ended: then limits are kept less well, and what was not touched for a while is swept.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::base::files::{self, Durability};
use crate::base::{Error, Result};

use super::Cache;
use super::holds::names_in;

const PREFIX: &str = "work-";
const TRIES: usize = 100;
/// What was written later is left alone even if nobody seems to be at it.
const UNTOUCHED: Duration = Duration::from_secs(60);

/// The mark of one process.
pub(super) struct Mark {
    file: File,
    path: PathBuf,
}

/// What all marks say together.
#[derive(Default)]
pub(super) struct AtWork {
    processes: HashSet<String>,
    pub(super) reserved: u64,
    /// Of these, what other processes than this one have reserved.
    pub(super) reserved_by_others: u64,
}

impl Mark {
    /// Says how many bytes are reserved and not yet written.
    pub(super) fn set(&self, reserved: u64) -> Result<()> {
        let text = format!("{reserved:020}\n");
        self.file.write_all_at(text.as_bytes(), 0).map_err(|fault| Error::io("write", &self.path, fault))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

impl AtWork {
    /// Whether this process is the only one.
    pub(super) fn is_alone(&self) -> bool {
        self.processes.iter().all(|process| process == files::process_name())
    }

    /// Whether another process of this number is at work, on whatever machine.
    pub(super) fn has_other(&self, number: i32) -> bool {
        let is_it = |process: &&String| process.split_once('-').is_some_and(|(own, _)| own == number.to_string());
        self.processes.iter().filter(is_it).any(|process| process != files::process_name())
    }

    /// Whether a temporary was left by a process that has ended.
    pub(super) fn is_abandoned(&self, path: &Path) -> bool {
        let maker = path.file_name().and_then(|name| files::maker_of(name.to_str()?));
        let written = || fs::symlink_metadata(path).and_then(|meta| meta.modified());
        let is_untouched = || written().is_ok_and(|time| time.elapsed().is_ok_and(|age| age >= UNTOUCHED));
        maker.is_some_and(|maker| !self.processes.contains(maker)) && is_untouched()
    }
}

impl Cache {
    /// Puts a mark; `None` where there can't be one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the number in it has a fixed width, and no reader before it is locked"
    )]
    pub(super) fn put_mark(&self) -> Option<Mark> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join("locks").join(format!("{PREFIX}{}-{number}", files::process_name()));
        for _ in 0..TRIES {
            self.write_common(&path, format!("{:020}\n", 0).as_bytes(), Durability::Renamed).ok()?;
            let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
            // Who looks just now takes it for that of a process that has ended, and removes it.
            if flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK) {
                continue;
            }
            let inode = |meta: fs::Metadata| meta.ino();
            if fs::metadata(&path).ok().map(inode) == file.metadata().ok().map(inode) {
                return Some(Mark { file, path });
            }
        }
        None
    }

    /// Looks who is at work, and removes the marks of those that have ended.
    pub(super) fn at_work(&self) -> Result<AtWork> {
        let mut all = AtWork::default();
        for name in names_in(&self.folder.join("locks"))? {
            let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-'));
            let Some((process, _)) = maker else { continue };
            let path = self.folder.join("locks").join(&name);
            let Ok(mark) = File::open(&path) else { continue };
            if flock(&mark, FlockOperation::NonBlockingLockExclusive).is_ok() {
                fs::remove_file(&path).ok();
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let reserved = text.trim().parse().unwrap_or(0);
            all.reserved = all.reserved.saturating_add(reserved);
            if process != files::process_name() {
                all.reserved_by_others = all.reserved_by_others.saturating_add(reserved);
            }
            all.processes.insert(process.to_owned());
        }
        Ok(all)
    }
}
