//! How full a cache is: bytes are reserved before they are written, so the limits hold while it is filled.
//!
//! `usage` is a number that every process adds to, under a lock, in steps. It can only be too high (a killed process gives nothing back), and
//! where it seems too high, the files are counted.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::files::{Durability, NewFile};
use crate::base::lock::FileLock;
use crate::base::{Error, Kind, Result};

use super::Cache;

pub(super) const LOCK: &str = "room";
const FILE: &str = "usage";
/// Others count files or make room meanwhile.
const PATIENCE: Duration = Duration::from_secs(600);
const LARGEST_STEP: u64 = 64 << 20;
/// The part of the limit that a process may hold without use.
const STEP_SHARE: u64 = 512;

/// What this process has reserved and not yet used.
pub(super) struct Room {
    left: Mutex<u64>,
    step: u64,
}

impl Room {
    pub(super) fn new(max_bytes: u64) -> Room {
        Room { left: Mutex::new(0), step: LARGEST_STEP.min(max_bytes / STEP_SHARE) }
    }
}

/// How many bytes there are for a cache on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub free: u64,
    /// What the floor keeps free.
    pub floor: u64,
}

impl Cache {
    /// Makes sure that `bytes` more may be written, by removing what was used least where that is needed.
    pub fn reserve(&self, bytes: u64) -> Result<()> {
        let mut left = self.room.left.lock().unwrap_or_else(PoisonError::into_inner);
        if *left < bytes {
            let step = self.room.step.max(bytes - *left);
            // Near the limit, what is needed and no more.
            *left += self.grow(step).or_else(|_| self.grow(bytes - *left))?;
        }
        *left -= bytes;
        Ok(())
    }

    /// Gives back what was reserved and isn't used.
    pub fn give_back(&self) {
        let mut left = self.room.left.lock().unwrap_or_else(PoisonError::into_inner);
        if *left == 0 {
            return;
        }
        if let Ok(_lock) = self.lock_room() {
            let used = self.usage().saturating_sub(*left);
            if self.set_usage(used).is_ok() {
                *left = 0;
            }
        }
    }

    /// About how many bytes the files take: never less, but for files of processes that lost their lock.
    pub fn usage(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(FILE)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    pub(super) fn set_usage(&self, bytes: u64) -> Result<()> {
        let path = self.folder.join(FILE);
        let mut new = NewFile::create(&path)?;
        std::io::Write::write_all(&mut new, format!("{bytes}\n").as_bytes())
            .map_err(|fault| Error::io("write", &path, fault))?;
        new.set_mode(self.sharing.common_mode())?;
        new.publish(Durability::Renamed)
    }

    pub(super) fn lock_room(&self) -> Result<FileLock> {
        FileLock::take(&self.folder.join("locks").join(LOCK), PATIENCE)
    }

    /// What the disk has, and what of it stays free.
    pub fn space(&self) -> Result<Space> {
        let disk =
            rustix::fs::statvfs(&self.folder).map_err(|fault| Error::io("look at", &self.folder, fault.into()))?;
        let total = disk.f_blocks.saturating_mul(disk.f_frsize);
        Ok(Space {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            floor: total / 100 * u64::from(self.limits.keep_free_percent),
        })
    }

    /// Adds to the usage, and gives what was added.
    fn grow(&self, bytes: u64) -> Result<u64> {
        let _lock = self.lock_room()?;
        let mut used = self.usage();
        let lacking = |used: u64, space: Space| {
            let over_max = (used + bytes).saturating_sub(self.limits.max_bytes);
            over_max.max((space.floor + bytes).saturating_sub(space.free))
        };
        if lacking(used, self.space()?) > 0 {
            used = self.count_files()?;
            let lacks = lacking(used, self.space()?);
            if lacks > 0 {
                let freed = self.remove_least_used(lacks)?;
                used = used.saturating_sub(freed.bytes);
                self.set_usage(used)?;
                if lacking(used, self.space()?) > 0 {
                    return Err(self.is_full(bytes, used));
                }
            }
        }
        self.set_usage(used + bytes)?;
        Ok(bytes)
    }

    fn is_full(&self, bytes: u64, used: u64) -> Error {
        let Limits { max_bytes, .. } = self.limits;
        let space = self.space().unwrap_or(Space { free: 0, floor: 0 });
        let message = format!(
            "the cache {} is full: {bytes} bytes more don't fit: {used} of at most {max_bytes} bytes are in use, the disk has {} bytes free of which {} stay free, and the rest is pinned or used by jobs",
            self.folder.display(),
            space.free,
            space.floor
        );
        Error::new(Kind::Failed, message).hint(
            "`dagset cache list` shows what is held; unpin it, or give the cache more by `dagset cache init --max`",
        )
    }
}

use super::Limits;

impl Drop for Cache {
    fn drop(&mut self) {
        self.give_back();
    }
}
