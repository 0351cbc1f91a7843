//! How full a cache is: bytes are reserved before they are written, so the limits hold while it is filled.
//!
//! [`Usage`] is a number that every process adds to, under a lock, in steps. It can only be too high (a killed process gives nothing back), and
//! where it seems too high, the files are counted, with what living processes have reserved and not yet written.
//!
//! Room is made for what is known to come, and for little more. Where removing files gave the disk no room (others write, or jobs share the
//! blocks by reflinks), no more are removed for its sake.
//!
//! Bytes are those of the disk: a file takes whole blocks. What a file system says of a file that is there (`st_blocks`) isn't asked: it is known
//! too late on some (ZFS, NFS), and is less than a copy elsewhere would take on others (compression).

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::files::random_bytes;
use crate::base::lock::FileLock;
use crate::base::{Error, Kind, Observer, Result, size};

use super::Cache;
use super::at_work::Mark;
use super::ballast::BALLAST_BYTES;
use super::prune::Pruned;
use super::usage::Usage;

pub(super) const LOCK: &str = "room";
/// Others count files or make room meanwhile.
const PATIENCE: Duration = Duration::from_secs(600);
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// How long a process waits for those that have what it lacks, and lack something too.
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);
const LARGEST_STEP: u64 = 64 << 20;
/// The part of the limit that a process may hold without use.
const STEP_SHARE: u64 = 512;
/// Of file systems that name the size of a request instead, as those of a network do.
const USUAL_BLOCK: u64 = 4096;
const LARGEST_BLOCK: u64 = 64 << 10;

/// More is removed than is needed, so that not each new file looks through the cache: this part of what is used.
const SLACK_SHARE: u64 = 20;

/// What this process has reserved.
pub(super) struct Room {
    books: Mutex<Books>,
    step: u64,
    /// Of each process another.
    patience: Duration,
    /// Bytes that are going to be used, as far as that was said.
    to_come: AtomicU64,
    /// Removing files has made no room on the disk.
    is_in_vain: AtomicBool,
    /// What was removed to make room.
    removed: Mutex<Pruned>,
}

#[derive(Default)]
struct Books {
    /// Put with the first work.
    mark: Option<Mark>,
    /// Reserved for what is being written.
    pending: u64,
    /// Reserved for later.
    spare: u64,
}

impl Books {
    /// Tells other processes. Without a mark they can't know, and limits are kept less well.
    fn tell(&self) {
        if let Some(mark) = &self.mark {
            mark.set(self.pending + self.spare).ok();
        }
    }
}

impl Room {
    pub(super) fn new(max_bytes: u64) -> Room {
        let random = random_bytes().map_or(0, |bytes| u32::from(bytes[0]));
        let patience = LONGEST_PATIENCE * random / u32::from(u8::MAX);
        Room {
            books: Mutex::default(),
            step: LARGEST_STEP.min(max_bytes / STEP_SHARE),
            patience,
            to_come: AtomicU64::new(u64::MAX),
            is_in_vain: AtomicBool::new(false),
            removed: Mutex::default(),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that may be written; dropped once they are, or aren't wanted any more.
#[must_use = "what is reserved counts while this lives"]
pub struct Reserved<'a> {
    cache: &'a Cache,
    bytes: u64,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut books = self.cache.room.books();
        books.pending -= self.bytes;
        books.tell();
    }
}

/// Why nothing more could be reserved.
struct Short {
    /// So many bytes; 0 where it isn't for want of room.
    lacks: u64,
    fault: Error,
}

impl From<Error> for Short {
    fn from(fault: Error) -> Short {
        Short { lacks: 0, fault }
    }
}

/// How many bytes there are for a cache on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub free: u64,
    /// What the floor keeps free.
    pub floor: u64,
}

/// The unit in which the file system of a cache gives room to files.
pub(super) fn block_bytes(folder: &Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(folder).map_err(|fault| Error::io("look at", folder, fault.into()))?;
    Ok(if (1..=LARGEST_BLOCK).contains(&disk.f_frsize) { disk.f_frsize } else { USUAL_BLOCK })
}

impl Cache {
    /// What a file of this length takes of the disk.
    pub fn on_disk(&self, length: u64) -> u64 {
        length.div_ceil(self.block_bytes).saturating_mul(self.block_bytes)
    }

    /// Says how many bytes of the disk are going to be used from now on, so that no more is reserved, nor made room for.
    pub fn foresee(&self, bytes: u64) {
        self.room.to_come.store(bytes, Ordering::Relaxed);
    }

    /// What this process has removed to make room.
    pub fn removed_for_room(&self) -> Pruned {
        *self.room.removed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that `bytes` more of the disk may be used, by removing what was used least where that is needed. What others have reserved is
    /// waited for: it becomes files that may be shared or removed, or is given back.
    pub fn reserve(&self, bytes: u64) -> Result<Reserved<'_>> {
        let deadline = Instant::now() + PATIENCE;
        let (mut wait, mut given_up_at, mut was_alone) = (SHORTEST_WAIT, None, false);
        loop {
            self.observer.go_on()?;
            let mut books = self.room.books();
            self.mark(&mut books);
            let lacks = bytes.saturating_sub(books.spare);
            // Near the limit, what is needed and no more.
            let step = self.room.step.min(self.room.to_come.load(Ordering::Relaxed)).max(lacks);
            let grown = match lacks {
                0 => Ok(()),
                _ => self.grow(&mut books, step).or_else(|_| self.grow(&mut books, lacks)),
            };
            match grown {
                Ok(()) => {
                    books.spare -= bytes;
                    books.pending += bytes;
                    let less = |to_come: u64| (to_come != u64::MAX).then(|| to_come.saturating_sub(bytes));
                    self.room.to_come.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
                    return Ok(Reserved { cache: self, bytes });
                }
                Err(short) => {
                    self.return_spare(&mut books);
                    let at_work = self.at_work()?;
                    let now = Instant::now();
                    // Of several that keep what they have and lack the rest, the first to give up lets the others go on.
                    let last = match (at_work.reserved, at_work.is_alone()) {
                        // Those who had it may have ended just now.
                        (0, true) if was_alone => now,
                        (0, false) => *given_up_at.get_or_insert(now + self.room.patience),
                        _ => deadline,
                    };
                    was_alone = at_work.is_alone();
                    if now >= last {
                        drop(books);
                        let by_others = if short.lacks > 0 { self.filled_by_others(short.lacks, &[])? } else { None };
                        return Err(by_others.unwrap_or(short.fault));
                    }
                }
            }
            drop(books);
            std::thread::sleep(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Lets other processes see that this one lives, and makes something.
    pub(super) fn be_at_work(&self) {
        self.mark(&mut self.room.books());
    }

    fn mark(&self, books: &mut Books) {
        if books.mark.is_none() {
            self.keep_ballast();
            books.mark = self.put_mark();
        }
    }

    /// Gives back what was reserved for later.
    pub fn give_back(&self) {
        self.return_spare(&mut self.room.books());
    }

    fn return_spare(&self, books: &mut Books) {
        if books.spare == 0 {
            return;
        }
        let Ok(_lock) = self.lock_room() else { return };
        // Without a number that can be relied on, the next one counts.
        if self.noted_usage().is_none_or(|used| self.note_usage(used.without(books.spare)).is_ok()) {
            books.spare = 0;
            books.tell();
        }
    }

    /// Keeps others from counting and making room; `None` where locks can't be had: then limits are kept less well.
    pub(super) fn lock_room(&self) -> Result<Option<FileLock>> {
        match FileLock::take(&self.folder.join("locks").join(LOCK), PATIENCE, &Observer::new()) {
            Ok(lock) => Ok(Some(lock)),
            Err(fault) if fault.kind() == Kind::Busy => Err(fault),
            Err(_) => Ok(None),
        }
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

    /// Adds to the usage, for later.
    fn grow(&self, books: &mut Books, bytes: u64) -> Result<(), Short> {
        let _lock = self.lock_room()?;
        let reserved = self.at_work()?.reserved;
        let lacking = |used: Usage, space: Space| {
            let over_max = (used.bytes + bytes).saturating_sub(self.limits.max_bytes);
            (over_max, (space.floor + reserved + bytes).saturating_sub(space.free))
        };
        let mut used = self.noted_usage().map_or_else(|| self.count_usage(reserved), Ok)?;
        if lacking(used, self.space()?) != (0, 0) {
            used = self.count_usage(reserved)?;
            let (over_max, over_disk) = lacking(used, self.space()?);
            let lacks = over_max.max(over_disk);
            let was_in_vain = over_disk > 0 && self.room.is_in_vain.load(Ordering::Relaxed);
            // What isn't enough stays.
            if lacks > 0 && !was_in_vain && lacks <= self.removable(&[])?.removable_bytes {
                let slack = (used.bytes / SLACK_SHARE).min(self.room.to_come.load(Ordering::Relaxed));
                used = used.without(self.make_room(lacks, slack, &[])?);
                if lacking(used, self.space()?).1 > 0 {
                    // Some file systems (btrfs) give back what was removed with their next commit.
                    rustix::fs::syncfs(&self.files).ok();
                    self.room.is_in_vain.store(lacking(used, self.space()?).1 > 0, Ordering::Relaxed);
                }
            }
            self.note_usage(used)?;
            let (over_max, over_disk) = lacking(used, self.space()?);
            if over_max.max(over_disk) > 0 {
                return Err(Short { lacks: over_max.max(over_disk), fault: self.is_full(bytes, used.bytes) });
            }
        }
        self.note_usage(used.and(bytes))?;
        books.spare += bytes;
        books.tell();
        Ok(())
    }

    /// Sees to it that so many bytes of the disk are free, by removing what was used least, but nothing of what is `wanted`, sorted. What isn't
    /// enough stays. With a floor, that stays free beside them.
    pub fn clear_disk(&self, bytes: u64, with_floor: bool, wanted: &[u128]) -> Result<()> {
        if self.lacks_on_disk(bytes, with_floor, 0)? == 0 || !self.is_writable {
            return Ok(());
        }
        let _lock = self.lock_room()?;
        self.clear_locked_disk(bytes, with_floor, wanted)
    }

    /// Likewise, where the caller holds the lock on the room.
    pub(super) fn clear_locked_disk(&self, bytes: u64, with_floor: bool, wanted: &[u128]) -> Result<()> {
        let reserved = self.at_work()?.reserved;
        let mut lacks = self.lacks_on_disk(bytes, with_floor, reserved)?;
        // What is written for a hold is so little that it needs nothing of the files, of which it may hold some.
        if !with_floor && (1..=BALLAST_BYTES).contains(&lacks) && self.is_writable {
            self.drop_ballast();
            lacks = self.lacks_on_disk(bytes, with_floor, reserved)?;
        }
        if lacks == 0 || !self.is_writable {
            return Ok(());
        }
        let there = self.removable(wanted)?;
        if lacks > there.removable_bytes {
            return Ok(());
        }
        let went = self.make_room(lacks, 0, wanted)?;
        if self.lacks_on_disk(bytes, with_floor, reserved)? > 0 {
            rustix::fs::syncfs(&self.files).ok();
        }
        // Without a number that can be relied on, the next one counts.
        self.noted_usage().map_or(Ok(()), |used| self.note_usage(used.without(went)))
    }

    pub(super) fn lacks_on_disk(&self, bytes: u64, with_floor: bool, reserved: u64) -> Result<u64> {
        let space = self.space()?;
        let floor = if with_floor { space.floor } else { 0 };
        Ok(floor.saturating_add(reserved).saturating_add(bytes).saturating_sub(space.free))
    }

    /// Removes what was used least, but nothing of what is `wanted`; gives its bytes.
    fn make_room(&self, bytes: u64, slack: u64, wanted: &[u128]) -> Result<u64> {
        let went = self.remove(bytes.saturating_add(slack), wanted)?;
        let mut removed = self.room.removed.lock().unwrap_or_else(PoisonError::into_inner);
        *removed = removed.and(went);
        Ok(went.bytes)
    }

    fn is_full(&self, bytes: u64, used: u64) -> Error {
        let disk = self.space().map(|space| format!(", its disk has {space}")).unwrap_or_default();
        let message = format!(
            "the cache {} is full: {} more don't fit: {} of at most {} are in use{disk}, and the rest is pinned or used by jobs",
            self.folder.display(),
            size(bytes),
            size(used),
            size(self.limits.max_bytes),
        );
        Error::new(Kind::Failed, message).hint(
            "`dagset cache list` shows what is held; unpin it, or give the cache more by `dagset cache init --max`",
        )
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.floor {
            0 => write!(f, "{} free", size(self.free)),
            floor if floor > self.free => write!(f, "only {} free where {} must stay so", size(self.free), size(floor)),
            floor => write!(f, "{} free, {} of which must stay so", size(self.free), size(floor)),
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.give_back();
    }
}
