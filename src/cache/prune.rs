//! Making room: what was used least goes first, by the day, and never what is held.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::base::{Counter, Event, Id, Result};

use super::at_work::AtWork;
use super::kept::{HeldViews, Kept};
use super::{Cache, Key};

pub(super) const DAY: i64 = 24 * 3600;
/// Where files of the cache are that nobody is given.
pub(super) const ASIDE_FOLDERS: [&str; 2] = ["quarantine", "begun"];

/// What was removed, in bytes of the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub files: u64,
    pub bytes: u64,
    pub views: u64,
}

impl Pruned {
    /// Both together.
    pub fn and(self, other: Pruned) -> Pruned {
        Pruned { files: self.files + other.files, bytes: self.bytes + other.bytes, views: self.views + other.views }
    }

    /// What went since an earlier look.
    pub fn since(self, earlier: Pruned) -> Pruned {
        Pruned {
            files: self.files - earlier.files,
            bytes: self.bytes - earlier.bytes,
            views: self.views - earlier.views,
        }
    }
}

/// What a cache holds, in bytes of the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    pub files: u64,
    pub bytes: u64,
    /// Of these, what pins, leases and views keep, or a link of a job.
    pub kept_files: u64,
    pub kept_bytes: u64,
}

/// What a cache holds in bytes of the disk, with what was put aside, and what of it could be removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removable {
    pub bytes: u64,
    pub removable_bytes: u64,
}

/// A file that somebody changed, or the beginning of one that was cut off.
pub(super) struct Aside {
    path: PathBuf,
    pub(super) bytes: u64,
    /// When it was put aside.
    pub(super) day: i64,
}

/// A file that was met.
pub(super) struct Met<'a> {
    pub(super) key: Key,
    pub(super) path: &'a Path,
    length: u64,
    /// What it takes of the disk.
    pub(super) bytes: u64,
    /// The day of the last use.
    pub(super) day: i64,
    /// Other names: a job's links, a view's.
    pub(super) is_linked: bool,
    is_untouched: bool,
    /// When it was last changed or linked, in seconds since 1970.
    changed: i64,
}

impl Met<'_> {
    /// Whether its bytes are what its name says.
    fn is_right(&self) -> bool {
        let hashed = fs::File::open(self.path).and_then(|mut file| {
            let mut hasher = blake3::Hasher::new();
            std::io::copy(&mut file, &mut hasher)?;
            Ok(hasher.finalize())
        });
        hashed.is_ok_and(|hash| hash.as_bytes() == &self.key.content.0)
    }
}

/// How many files there are of each size, in bytes of the disk.
type Sizes = BTreeMap<u64, u64>;

/// Of these, few that have so many bytes together, which all have: one that isn't twice as much rather than many, and else the largest that
/// aren't too much.
fn enough(mut sizes: Sizes, wanted: u64) -> Sizes {
    let (mut chosen, mut lacking) = (Sizes::new(), wanted);
    while lacking > 0 {
        let above = sizes.range(lacking..).next().map(|(bytes, _)| *bytes);
        let below = sizes.range(1..lacking).next_back().map(|(bytes, _)| *bytes);
        let bytes = match (above, below) {
            // All that are smaller weren't enough.
            (Some(above), None) if above >= wanted => return Sizes::from([(above, 1)]),
            (Some(above), below) if below.is_none() || above <= lacking.saturating_mul(2) => above,
            (_, Some(below)) => below,
            _ => break,
        };
        let left = sizes.remove(&bytes).unwrap_or_default();
        let count = left.min((lacking / bytes).max(1));
        *chosen.entry(bytes).or_default() += count;
        lacking = lacking.saturating_sub(bytes.saturating_mul(count));
        sizes.extend((count < left).then_some((bytes, left - count)));
    }
    chosen
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// Removes files by last use: those not used for `unused_days`, and then more until at most `most_bytes` are left.
    pub fn prune(&self, unused_days: Option<u64>, most_bytes: Option<u64>) -> Result<Pruned> {
        let _lock = self.lock_room()?;
        self.sweep();
        // Those that hold no longer go.
        self.holds()?;
        let today = crate::base::Time::now().0 / 1000 / DAY;
        let oldest = unused_days.map(|days| today - i64::try_from(days).unwrap_or(i64::MAX).min(today));
        let mut removed = Pruned::default();
        if let Some(oldest) = oldest {
            self.remove_aside(oldest, &mut removed)?;
            self.remove_views(oldest, &mut removed)?;
            self.remove_files(&self.kept()?, u64::MAX, oldest, &mut removed)?;
        }
        let left = self.count_files()?;
        if let Some(excess) = most_bytes.and_then(|most| left.checked_sub(most)).filter(|excess| *excess > 0) {
            removed = removed.and(self.remove(excess, &[])?);
        }
        self.note_usage(self.count_usage(self.at_work()?.reserved)?)?;
        Ok(removed)
    }

    /// What the cache holds.
    pub fn contents(&self) -> Result<Contents> {
        let kept = self.kept()?;
        let [files, bytes, kept_files, kept_bytes] = [const { AtomicU64::new(0) }; 4];
        self.each_file(|met| {
            files.fetch_add(1, Ordering::Relaxed);
            bytes.fetch_add(met.bytes, Ordering::Relaxed);
            if met.is_linked || kept.has(met.key) {
                kept_files.fetch_add(1, Ordering::Relaxed);
                kept_bytes.fetch_add(met.bytes, Ordering::Relaxed);
            }
        })?;
        let bytes = bytes.into_inner();
        // Who counts anyway finds out whether the number is wrong that others go by.
        if self.is_writable && self.at_work()?.is_alone() {
            let held = bytes + self.set_aside_files()?.iter().map(|file| file.bytes).sum::<u64>();
            if self.noted_usage().is_some_and(|noted| noted.bytes != held) {
                self.recount().ok();
            }
        }
        Ok(Contents {
            files: files.into_inner(),
            bytes,
            kept_files: kept_files.into_inner(),
            kept_bytes: kept_bytes.into_inner(),
        })
    }

    /// What could be removed if these contents, sorted, were wanted. A file that a job links to could not.
    pub fn removable(&self, wanted: &[u128]) -> Result<Removable> {
        let kept = self.kept()?;
        let [bytes, removable] = [const { AtomicU64::new(0) }; 2];
        self.each_file(|met| {
            bytes.fetch_add(met.bytes, Ordering::Relaxed);
            let is_wanted = wanted.binary_search(&super::list_entry(met.key)).is_ok();
            // What only views link to goes with them.
            let is_free = !kept.is_held(met.key) && (!met.is_linked || kept.is_shown_by_own(met.key));
            if !is_wanted && is_free {
                removable.fetch_add(met.bytes, Ordering::Relaxed);
            }
        })?;
        let aside: u64 = self.set_aside_files()?.iter().map(|file| file.bytes).sum();
        Ok(Removable { bytes: bytes.into_inner() + aside, removable_bytes: removable.into_inner() + aside })
    }

    /// Reads all files; what isn't what its name says goes into quarantine. Looks at the folders of all views, and refuses those that were changed. Gives how many files and bytes were read, and what was wrong.
    pub fn verify(&self) -> Result<(u64, u64, Vec<Id>)> {
        let [files, bytes] = [const { AtomicU64::new(0) }; 2];
        let damaged = Mutex::new(Vec::new());
        self.holds()?;
        self.each_file(|met| {
            files.fetch_add(1, Ordering::Relaxed);
            bytes.fetch_add(met.length, Ordering::Relaxed);
            self.observer.add(Counter::Files, 1);
            self.observer.add(Counter::Bytes, met.length);
            let is_right = match met.is_untouched {
                true => met.is_right() || !met.path.exists(),
                false => self.judge(met.key, met.length),
            };
            if !is_right {
                if met.is_untouched {
                    self.quarantine(met.key);
                }
                lock(&damaged).push(met.key.content);
            }
        })?;
        self.verify_views()?;
        // On a disk without room for it, the next one counts.
        self.recount().ok();
        Ok((files.into_inner(), bytes.into_inner(), damaged.into_inner().unwrap_or_default()))
    }

    /// Removes files that changed since a time and aren't what their names say.
    pub(super) fn remove_damaged_since(&self, since: i64) -> Result<u64> {
        let removed = Mutex::new(Vec::new());
        self.each_file(|met| {
            if met.changed >= since && !met.is_right() && fs::remove_file(met.path).is_ok() {
                lock(&removed).push(super::list_entry(met.key));
            }
        })?;
        let removed = removed.into_inner().unwrap_or_default();
        if !removed.is_empty() {
            // All that read here have ended with the machine: what starts now finds nothing rather than wrong bytes.
            self.retire_views_with(&removed)?.iter().for_each(|view| self.clear_view(view, &HeldViews::default()));
        }
        Ok(removed.len() as u64)
    }

    /// Bytes of all files, those put aside too.
    pub(super) fn count_files(&self) -> Result<u64> {
        let bytes = AtomicU64::new(0);
        self.each_file(|met| {
            bytes.fetch_add(met.bytes, Ordering::Relaxed);
        })?;
        Ok(bytes.into_inner() + self.set_aside_files()?.iter().map(|file| file.bytes).sum::<u64>())
    }

    /// What counts as the cache's, and is the first to go.
    pub(super) fn set_aside_files(&self) -> Result<Vec<Aside>> {
        let mut aside = Vec::new();
        for folder in ASIDE_FOLDERS.map(|name| self.folder.join(name)) {
            let look = |name: String| {
                let path = folder.join(name);
                let stat = rustix::fs::lstat(&path).ok()?;
                Some(Aside { path, bytes: self.on_disk(stat.st_size as u64), day: stat.st_ctime / DAY })
            };
            aside.extend(super::holds::names_in(&folder)?.into_iter().filter_map(look));
        }
        Ok(aside)
    }

    /// Removes what was put aside before a day.
    fn remove_aside(&self, before: i64, removed: &mut Pruned) -> Result<()> {
        for file in self.set_aside_files()? {
            if file.day < before && fs::remove_file(file.path).is_ok() {
                removed.files += 1;
                removed.bytes += file.bytes;
            }
        }
        Ok(())
    }

    /// Removes at least `bytes` if that can be, but nothing of what is `wanted`, sorted. The lock on the room is held by the caller.
    pub(super) fn remove(&self, bytes: u64, wanted: &[u128]) -> Result<Pruned> {
        let mut removed = Pruned::default();
        self.sweep();
        self.remove_aside(i64::MAX, &mut removed)?;
        let today = crate::base::Time::now().0 / 1000 / DAY;
        // First without views that were used today, then with all that nobody holds.
        for newest in [today, i64::MAX] {
            self.remove_views(newest, &mut removed)?;
            let rest = bytes - removed.bytes.min(bytes);
            self.remove_files(&self.kept()?.and_held(wanted), rest, i64::MAX, &mut removed)?;
            if removed.bytes >= bytes {
                break;
            }
        }
        Ok(removed)
    }

    /// Removes unheld views that were last used before this day.
    fn remove_views(&self, before: i64, removed: &mut Pruned) -> Result<()> {
        let held = self.held_views()?;
        for view in self.views()?.into_iter().filter(|view| !held.has(&view.key)) {
            if (view.used as i64) / DAY < before && self.remove_view(&view)? {
                removed.views += 1;
            }
        }
        Ok(())
    }

    /// Removes files that nothing keeps, last used before a day, oldest first, until `wanted` bytes are gone.
    fn remove_files(&self, kept: &Kept, wanted: u64, before: i64, removed: &mut Pruned) -> Result<()> {
        if wanted == 0 {
            return Ok(());
        }
        let may_go = |met: &Met<'_>| !met.is_linked && met.day < before && !kept.has(met.key);
        let days = Mutex::new(BTreeMap::<i64, Sizes>::new());
        self.each_file(|met| {
            if may_go(&met) {
                *lock(&days).entry(met.day).or_default().entry(met.bytes).or_default() += 1;
            }
        })?;
        let mut lacking = wanted;
        let (mut last_day, mut of_last) = (i64::MIN, Sizes::new());
        for (day, sizes) in days.into_inner().unwrap_or_default() {
            let sum: u64 = sizes.iter().map(|(bytes, count)| bytes.saturating_mul(*count)).sum();
            last_day = day;
            if sum >= lacking {
                of_last = enough(sizes, lacking);
                break;
            }
            lacking -= sum;
            of_last = sizes;
        }
        // All of the days before, and of the last one as much as is needed.
        let of_last = Mutex::new(of_last);
        let is_one_of_last = |met: &Met<'_>| {
            let mut left = lock(&of_last);
            let Some(count) = left.get_mut(&met.bytes).filter(|count| **count > 0) else { return false };
            *count -= 1;
            true
        };
        let [files, bytes] = [const { AtomicU64::new(0) }; 2];
        self.each_file(|met| {
            let goes = may_go(&met) && (met.day < last_day || met.day == last_day && is_one_of_last(&met));
            if goes && fs::remove_file(met.path).is_ok() {
                files.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(met.bytes, Ordering::Relaxed);
            }
        })?;
        removed.files += files.into_inner();
        removed.bytes += bytes.into_inner();
        Ok(())
    }

    /// Takes away what killed processes and others left of this user's, if there seems to be something.
    pub fn tidy(&self) {
        if self.is_writable {
            match self.at_work() {
                Ok(at_work) if at_work.has_dead() => self.sweep_left(&at_work),
                Ok(at_work) if self.has_left_views() => drop(self.sweep_views(&at_work)),
                _ => {}
            }
        }
    }

    /// Takes away what killed processes left.
    fn sweep(&self) {
        if let Ok(at_work) = self.at_work() {
            self.sweep_left(&at_work);
        }
    }

    /// As these marks tell. They stay locked meanwhile, so who looks again takes them for those of living processes.
    fn sweep_left(&self, at_work: &AtWork) {
        if let Err(fault) = self.sweep_views(at_work) {
            self.observer.tell(Event::Warning(fault.in_one_line()));
        }
        let inner = ["", "views", "lists", "holds", "recent", "locks", "unsettled"].map(str::to_owned);
        for folder in inner.into_iter().chain((0..=u8::MAX).map(|byte| format!("files/{byte:02x}"))) {
            let Ok(listing) = fs::read_dir(self.folder.join(folder)) else { continue };
            for path in listing.flatten().map(|entry| entry.path()) {
                // A folder is a view that is being made.
                if at_work.is_abandoned(&path) && !path.is_dir() {
                    fs::remove_file(path).ok();
                }
            }
        }
        at_work.forget_dead();
    }

    pub(super) fn each_file(&self, act: impl Fn(Met<'_>) + Sync) -> Result<()> {
        (0..=u8::MAX).into_par_iter().try_for_each(|byte| {
            let folder = self.folder.join(format!("files/{byte:02x}"));
            for name in super::holds::names_in(&folder)? {
                let Some(key) = Key::of_name(&name) else { continue };
                let path = folder.join(name);
                // It may have gone meanwhile.
                let Ok(stat) = rustix::fs::lstat(&path) else { continue };
                act(Met {
                    key,
                    path: &path,
                    length: stat.st_size as u64,
                    bytes: self.on_disk(stat.st_size as u64),
                    day: stat.st_atime / DAY,
                    is_linked: stat.st_nlink > 1,
                    is_untouched: super::files::is_untouched(&stat, key),
                    changed: stat.st_ctime,
                });
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_go_and_little_more_than_is_needed() {
        let sizes = |of: &[(u64, u64)]| of.iter().copied().collect::<Sizes>();
        let there = || sizes(&[(0, 3), (50, 190), (10_000, 1), (100_000, 1)]);
        assert_eq!(enough(there(), 9_500), sizes(&[(10_000, 1)]), "one rather than 190");
        assert_eq!(enough(there(), 1_000), sizes(&[(50, 20)]), "not a file ten times as large");
        assert_eq!(enough(there(), 1_020), sizes(&[(50, 21)]));
        assert_eq!(enough(there(), 40_000), sizes(&[(100_000, 1)]), "small ones alone aren't enough");
        assert_eq!(enough(there(), 110_050), sizes(&[(100_000, 1), (10_000, 1), (50, 1)]));
        assert_eq!(enough(sizes(&[(7, 1)]), 1), sizes(&[(7, 1)]), "where there is no other");
    }
}
