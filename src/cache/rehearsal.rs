//! What a pruning would remove, by its rules, with nothing changed.
//!
//! One thing can't be known before: a file that a job has hardlinked, and that is in a view which would go, stays, and is counted here.

use std::sync::{Mutex, PoisonError};

use crate::base::{Result, Time};

use super::kept::Kept;
use super::prune::{DAY, Pruned};
use super::{Cache, Key, View, list_entry};

struct Candidate {
    key: Key,
    bytes: u64,
    day: i64,
    is_linked: bool,
}

/// What is left as it goes on.
struct Rehearsal<'a> {
    cache: &'a Cache,
    kept: Kept,
    views: Vec<View>,
    /// What was put aside: the day of each, and its bytes.
    aside: Vec<(i64, u64)>,
    /// Oldest first.
    files: Vec<Candidate>,
    /// Contents of views that are gone, sorted.
    freed: Vec<u128>,
    removed: Pruned,
}

impl Cache {
    /// What [`Cache::prune`] would remove.
    pub fn rehearse_prune(&self, unused_days: Option<u64>, most_bytes: Option<u64>) -> Result<Pruned> {
        let kept = self.kept()?;
        let views = self.views()?.into_iter().filter(|view| !kept.has_view(&view.key)).collect();
        let files = Mutex::new(Vec::new());
        self.each_file(|met| {
            let candidate = Candidate { key: met.key, bytes: met.bytes, day: met.day, is_linked: met.is_linked };
            files.lock().unwrap_or_else(PoisonError::into_inner).push(candidate);
        })?;
        let mut files = files.into_inner().unwrap_or_default();
        files.sort_by_key(|file| (file.day, file.key));
        let aside = self.set_aside_files()?.into_iter();
        let aside: Vec<_> = aside.map(|file| (file.day, file.bytes)).collect();
        let total = files.iter().map(|file| file.bytes).chain(aside.iter().map(|(_, bytes)| *bytes)).sum::<u64>();
        let (freed, removed) = (Vec::new(), Pruned::default());
        let mut rehearsal = Rehearsal { cache: self, kept, views, aside, files, freed, removed };
        let today = Time::now().0 / 1000 / DAY;
        if let Some(days) = unused_days {
            let oldest = today - i64::try_from(days).unwrap_or(i64::MAX).min(today);
            rehearsal.remove_aside(oldest);
            rehearsal.remove(oldest, oldest, u64::MAX)?;
        }
        if most_bytes.is_some_and(|most| total - rehearsal.removed.bytes > most) {
            rehearsal.remove_aside(i64::MAX);
        }
        // As a pruning does: first without views that were used today.
        for newest in [today, i64::MAX] {
            let left = total - rehearsal.removed.bytes;
            let excess = most_bytes.map_or(0, |most| left.saturating_sub(most));
            if excess > 0 {
                rehearsal.remove(newest, i64::MAX, excess)?;
            }
        }
        Ok(rehearsal.removed)
    }
}

impl Rehearsal<'_> {
    fn remove_aside(&mut self, before: i64) {
        for (_, bytes) in self.aside.extract_if(.., |(day, _)| *day < before) {
            self.removed.files += 1;
            self.removed.bytes += bytes;
        }
    }

    /// Views and files that were last used before these days; of the files, the oldest until `wanted` bytes are gone.
    fn remove(&mut self, views_before: i64, files_before: i64, wanted: u64) -> Result<()> {
        let is_old = |view: &mut View| (view.used as i64) / DAY < views_before;
        for view in self.views.extract_if(.., is_old) {
            // Another user's is put aside, and its links stay for now.
            if self.cache.may_take_down(&view.card.tree) {
                self.freed.extend(self.cache.read_list(&view.card.list)?);
            }
            self.removed.views += 1;
        }
        self.freed.sort_unstable();
        let mut shown = Vec::new();
        for view in &self.views {
            shown.extend(self.cache.read_list(&view.card.list)?);
        }
        shown.sort_unstable();
        let mut bytes = 0;
        let may_go = |file: &mut Candidate| {
            let content = list_entry(file.key);
            let is_kept = self.kept.is_held(file.key) || shown.binary_search(&content).is_ok();
            let is_free = !file.is_linked || self.freed.binary_search(&content).is_ok();
            let goes = bytes < wanted && file.day < files_before && !is_kept && is_free;
            bytes += if goes { file.bytes } else { 0 };
            goes
        };
        self.removed.files += self.files.extract_if(.., may_go).count() as u64;
        self.removed.bytes += bytes;
        Ok(())
    }
}
