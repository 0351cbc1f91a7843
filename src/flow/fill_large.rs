//! A large file into a cache, put together from what this machine has of it: what came before it was cut off, and older files.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use crate::base::{Error, Event, Kind, Result, Stage, Tally, size};
use crate::cache::{Cache, Key, NewCached};

use super::fill::{Filler, LARGE, Wanted};
use super::rebuild::{self, Large, Plan};

/// A file that one of the caches has.
struct Cached<'a> {
    cache: &'a Cache,
    file: Wanted,
}

impl Cached<'_> {
    /// Reads it; one that isn't right is put aside, and that is said.
    fn is_right(&self) -> bool {
        let checked = self.cache.check_bytes(self.file.key);
        if checked.as_ref().is_err_and(|fault| fault.kind() == Kind::Damaged) {
            self.cache.quarantine(self.file.key);
        }
        checked.is_ok()
    }
}

impl Filler<'_> {
    /// Makes a large file from what came of it before, from older ones that are cached, and what else is new; `false` where there is nothing
    /// of these. What turns out to be wrong meanwhile is put aside.
    pub(super) fn put_together(&self, cache: &Cache, file: &Wanted, tally: &Arc<Tally>) -> Result<bool> {
        self.content.refuse_purged(&file.key.content)?;
        let mut begun = cache.resume(file.key);
        let mut olders = self.cached_before(file)?;
        while let Some((plan, came)) = self.plan(file, &mut olders, begun.as_ref().map_or(0, NewCached::length))? {
            let mut new = begun.take().map_or_else(|| cache.begin(file.key), Ok)?;
            new.cut(came)?;
            let mut sources: Vec<_> = olders.iter().map(|older| older.cache.path_of(older.file.key)).collect();
            sources.push(new.path());
            let mut at = 0;
            let write = |bytes: &[u8]| {
                tally.note(Stage::Cached, bytes.len() as u64);
                at += bytes.len() as u64;
                match at <= came {
                    true => Ok(()),
                    false => new.write_all(bytes).map_err(|fault| Error::io("write", &cache.path_of(file.key), fault)),
                }
            };
            match plan.carry_out(self.content, &sources, tally, write) {
                Ok(()) => {
                    let shared = plan.local;
                    self.observer.tell(Event::Note(format!("{}: {} of it were cached", file.path, size(shared))));
                    return new.publish().map(|()| true);
                }
                // What came before isn't what it seemed.
                Err(fault) if fault.kind() == Kind::Damaged && came > 0 => {
                    self.observer.tell(Event::Note(fault.in_one_line()));
                }
                // An older file is not what it seems: without those that aren't, the whole may come from the store.
                Err(fault) if fault.kind() == Kind::Damaged => {
                    self.observer.tell(Event::Note(fault.in_one_line()));
                    let count = olders.len();
                    olders.retain(Cached::is_right);
                    if olders.len() == count {
                        break;
                    }
                }
                Err(fault) => {
                    keep_what_came(cache, new, &fault);
                    return Err(fault);
                }
            }
        }
        Ok(false)
    }

    /// How the file is made, and how many of the bytes that had `begun` are used; `None` where nothing helps.
    fn plan(&self, file: &Wanted, olders: &mut Vec<Cached<'_>>, begun: u64) -> Result<Option<(Plan, u64)>> {
        let large = |file: &Wanted| Large { content: file.key.content, size: file.size, place: file.place };
        while !olders.is_empty() {
            let larges: Vec<_> = olders.iter().map(|older| large(&older.file)).collect();
            if let Some(plan) = rebuild::plan(self.content, &large(file), &larges)? {
                return Ok(Some(plan.begun_with(begun, olders.len())));
            }
            olders.remove(0);
        }
        if begun == 0 { Ok(None) } else { rebuild::plan_rest(self.content, &large(file), begun) }
    }

    /// What stood at a file's path in the versions before, of what is cached, each content once.
    fn cached_before(&self, file: &Wanted) -> Result<Vec<Cached<'_>>> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for before in self.before {
            let Some(older) = before.find(&file.path)?.as_ref().and_then(Wanted::of) else { continue };
            let keys = [older.key, Key { executable: !older.key.executable, ..older.key }];
            let mut places = self.chain.caches().iter().flat_map(|from| keys.map(|key| (from, key)));
            let is_wanted = older.size >= LARGE && seen.insert(older.key.content);
            if let Some((cache, key)) = places.find(|(from, key)| is_wanted && from.has(*key, older.size)) {
                found.push(Cached { cache, file: Wanted { key, ..older } });
            }
        }
        Ok(found)
    }
}

/// Keeps what came of a large file where the rest may come another time.
pub(super) fn keep_what_came(cache: &Cache, new: NewCached, fault: &Error) {
    if matches!(fault.kind(), Kind::Interrupted | Kind::Unreachable) && new.length() >= LARGE {
        cache.set_aside(new);
    }
}
