//! Files from a store into a cache: each fetched once however many processes want it, verified before it is seen.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::{Counter, Error, Event, Kind, Observer, Result, Stage, Tally};
use crate::cache::{Cache, Chain, Claim, Key};
use crate::format::manifest::EntryKind;
use crate::format::place::Place;
use crate::store::content::Content;
use crate::tree::manifest::{Leaf, Manifest};

use super::fill_large::keep_what_came;
use super::place_content::place_content;
use super::read_content::read_files_ahead;
use super::runs::{FAR, FAR_WORKERS, NEAR, Placed, RunLimits, each_run};

/// How often it is looked whether another process has fetched a file.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Smaller files are fetched whole.
pub(super) const LARGE: u64 = 1 << 20;

/// What is counted of files that are dealt with, besides their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Files,
    /// They are dealt with later.
    Nothing,
}

/// A file that is wanted in a cache.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub key: Key,
    pub size: u64,
    pub place: Option<Place>,
    /// For errors.
    pub path: String,
}

impl Wanted {
    /// The file behind a leaf of a manifest; `None` for links and empty folders.
    pub fn of(leaf: &Leaf) -> Option<Wanted> {
        match leaf.entry.kind {
            EntryKind::File { size, content, executable } => {
                Some(Wanted { key: Key { content, executable }, size, place: leaf.place, path: leaf.path.to_string() })
            }
            _ => None,
        }
    }
}

/// Fills a cache from a store.
pub struct Filler<'a> {
    pub content: &'a Content,
    pub chain: &'a Chain,
    pub observer: &'a Observer,
    /// Versions whose files may be cached: a large file is made from what stood at its path there.
    pub before: &'a [Manifest<'a>],
}

impl Filler<'_> {
    /// How files are best handed out to workers, and to how many.
    pub fn pace(content: &Content, jobs: usize) -> (RunLimits, usize) {
        if content.is_far() { (FAR, jobs.max(FAR_WORKERS)) } else { (NEAR, jobs.max(1)) }
    }

    /// Puts all files of the entries into the cache. Those that were `counted` before, as they were there, are looked at again and not
    /// counted.
    pub fn fill(
        &self,
        entries: impl Iterator<Item = Result<Placed>> + Send,
        jobs: usize,
        counted: impl Fn(Key) -> bool + Sync,
    ) -> Result<()> {
        let (limits, workers) = Filler::pace(self.content, jobs);
        each_run::<()>(entries, limits, workers, self.observer, |run, stop, _| {
            let wanted = run.iter().filter_map(|placed| Wanted::of(&placed.leaf));
            let (counted, new): (Vec<_>, Vec<_>) = wanted.partition(|wanted| counted(wanted.key));
            let tally = Tally::new(self.observer, new.iter().map(|file| file.size).sum());
            self.bring(&new, stop, &tally, Count::Files)?;
            self.bring(&counted, stop, &Tally::new(self.observer, 0), Count::Nothing)
        })
        .map(drop)
    }

    /// Makes sure that these files are in the cache that is filled, but for what is to stop.
    pub fn bring(&self, wanted: &[Wanted], stop: &AtomicBool, tally: &Arc<Tally>, count: Count) -> Result<()> {
        let cache = self.chain.filled();
        let is_there = |file: &Wanted| {
            tally.note_all(&[Stage::Came, Stage::Cached], file.size);
            self.count(count);
        };
        let is_over = || stop.load(Ordering::Acquire) || self.observer.is_stopping();
        let mut seen = HashSet::new();
        let mut missing: Vec<&Wanted> = Vec::new();
        for file in wanted {
            if cache.has(file.key, file.size) || !seen.insert(file.key) {
                is_there(file);
            } else {
                missing.push(file);
            }
        }
        let mut wait = SHORTEST_WAIT;
        while !missing.is_empty() && !is_over() {
            let (mut own, mut others): (Vec<(&Wanted, Claim<'_>)>, Vec<&Wanted>) = (Vec::new(), Vec::new());
            for file in std::mem::take(&mut missing) {
                // From afar, whoever has the first has its neighbours too: files share frames, and what lies between two is read along.
                let is_left_alone = self.content.is_far() && !others.is_empty();
                match (!is_left_alone).then(|| cache.claim(file.key)).flatten() {
                    // It may have come just before.
                    Some(_) if cache.has(file.key, file.size) => is_there(file),
                    Some(claim) => own.push((file, claim)),
                    None => others.push(file),
                }
            }
            let progressed = !own.is_empty();
            self.fetch(cache, own, stop, tally, count)?;
            for file in others {
                if cache.has(file.key, file.size) { is_there(file) } else { missing.push(file) }
            }
            if !missing.is_empty() {
                wait = if progressed { SHORTEST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
                std::thread::sleep(wait);
            }
        }
        Ok(())
    }

    fn fetch(
        &self,
        cache: &Cache,
        files: Vec<(&Wanted, Claim<'_>)>,
        stop: &AtomicBool,
        tally: &Arc<Tally>,
        count: Count,
    ) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let _room = cache.reserve(files.iter().map(|(file, _)| cache.on_disk(file.size)).sum())?;
        let mut from_store = Vec::new();
        for (file, claim) in files {
            if self.copy_from_others(cache, file, tally)? {
                self.count(count);
            } else {
                from_store.push((file, claim));
            }
        }
        let ahead: Vec<_> = from_store
            .iter()
            .filter(|(file, _)| self.content.is_far() && file.size <= self.read_whole_up_to())
            .map(|(file, _)| (file.key.content, file.size, file.place))
            .collect();
        let _ahead = read_files_ahead(self.content, &ahead, tally)?;
        for (file, _claim) in from_store {
            if stop.load(Ordering::Acquire) {
                break;
            }
            match self.fetch_one(cache, file, tally) {
                Ok(()) => self.count(count),
                // What has come of others is finished.
                Err(fault) if fault.kind() == Kind::Interrupted => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    fn fetch_one(&self, cache: &Cache, file: &Wanted, tally: &Arc<Tally>) -> Result<()> {
        if file.size >= LARGE && self.put_together(cache, file, tally)? {
            return Ok(());
        }
        let new = cache.begin(file.key)?;
        let write = |at: u64, bytes: &[u8]| {
            tally.note(Stage::Cached, bytes.len() as u64);
            new.write_at(at, bytes).map_err(|fault| Error::io("write", &cache.path_of(file.key), fault))
        };
        match place_content(self.content, &file.key.content, file.size, file.place.as_ref(), tally, write) {
            Ok(()) => new.publish(),
            Err(fault) => {
                keep_what_came(cache, new, &fault);
                Err(fault.within(format!("{} can't be got", file.path)))
            }
        }
    }

    fn count(&self, what: Count) {
        if what == Count::Files {
            self.observer.add(Counter::Files, 1);
        }
    }

    /// Larger files are read piece by piece, or made from older ones.
    fn read_whole_up_to(&self) -> u64 {
        if self.before.is_empty() { FAR.bytes } else { LARGE - 1 }
    }

    /// Copies a file that another cache of the chain has, or this one with the other mode, if it is what it should be.
    fn copy_from_others(&self, cache: &Cache, file: &Wanted, tally: &Tally) -> Result<bool> {
        let twin = Key { executable: !file.key.executable, ..file.key };
        let sources = self.chain.caches().iter().flat_map(|other| [(other, file.key), (other, twin)]);
        for (other, key) in sources {
            let is_own = std::ptr::eq(other, cache);
            // It was just looked for; and for a small file with another mode it isn't worth looking.
            if is_own && (key == file.key || file.size < LARGE) || !other.has(key, file.size) {
                continue;
            }
            match copy_verified(other, key, cache, file, tally) {
                Ok(true) => return Ok(true),
                Ok(false) => other.quarantine(key),
                // Without this disk there is no room for what the store gives either.
                Err(fault) if fault.kind() == Kind::Failed && self.chain.caches().len() == 1 => return Err(fault),
                Err(fault) => self.observer.tell(Event::Note(fault.in_one_line())),
            }
        }
        Ok(false)
    }
}

/// `false` if the source has other bytes than its name says.
fn copy_verified(from: &Cache, key: Key, to: &Cache, file: &Wanted, tally: &Tally) -> Result<bool> {
    let path = from.path_of(key);
    let mut source = File::open(&path).map_err(|fault| Error::io("open", &path, fault))?;
    let mut new = to.begin(file.key)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = source.read(&mut buffer).map_err(|fault| Error::io("read", &path, fault))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        tally.note_all(&[Stage::Came, Stage::Cached], read as u64);
        new.write_all(&buffer[..read]).map_err(|fault| Error::io("write", &to.path_of(file.key), fault))?;
    }
    if hasher.finalize().as_bytes() != &file.key.content.0 {
        return Ok(false);
    }
    new.publish().map(|()| true)
}
