//! Files into a folder by way of a cache: brought there, then linked or copied from it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::{Event, Kind, Result, Spot, Tally};
use crate::cache::{Instead, Key, Link};
use crate::store::content::Content;

use super::fill::{Count, Filler, Wanted};

/// How often a file may go from the cache between being brought and being linked.
const TRIES: usize = 4;

/// How files were put into a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounts {
    pub reflinks: u64,
    pub hardlinks: u64,
    pub symlinks: u64,
    pub copies: u64,
    /// Copies instead of hardlinks, since a file has as many links as can be.
    pub too_many_links: u64,
    /// Likewise, since the cached file is another user's.
    pub of_another: u64,
}

/// A way through a cache.
pub struct ByCache<'a> {
    filler: Filler<'a>,
    link: Link,
    counts: &'a Mutex<LinkCounts>,
    /// Whether every file is read before it is linked; a copy is verified in any case.
    verifies: bool,
    /// Set once the cache can take no more: files that it lacks come straight from the store.
    is_left_out: AtomicBool,
}

impl<'a> ByCache<'a> {
    /// What is put where is added to `counts`.
    pub fn new(filler: Filler<'a>, link: Link, counts: &'a Mutex<LinkCounts>) -> ByCache<'a> {
        ByCache { filler, link, counts, verifies: false, is_left_out: AtomicBool::new(false) }
    }

    /// Reads every file before it is reflinked, as a copy does anyway: for who asked for files and not for links.
    pub fn verifying(self) -> ByCache<'a> {
        ByCache { verifies: self.link == Link::Reflink, ..self }
    }

    /// The store that the cache is filled from.
    pub fn content(&self) -> &Content {
        self.filler.content
    }

    /// Puts nothing more into the cache: what it lacks comes straight from the store. `why` is said.
    pub fn leave_out(&self, why: &str) {
        if !self.is_left_out.swap(true, Ordering::Relaxed) {
            let warning = format!("what the cache lacks comes straight from the store: {why}");
            self.filler.observer.tell(Event::Warning(warning));
        }
    }

    /// Makes sure that the cache has these files; `false` where it can't take them and they can do without.
    pub fn bring(&self, wanted: &[Wanted], stop: &AtomicBool, tally: &Arc<Tally>) -> Result<bool> {
        if self.is_left_out.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match self.filler.bring(wanted, stop, tally, Count::Nothing) {
            Ok(()) => Ok(true),
            // A failure of the store has another kind, and comes again from there.
            Err(fault) if matches!(fault.kind(), Kind::Failed | Kind::Busy) && self.can_do_without() => {
                self.leave_out(&fault.in_one_line());
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Whether the cache hasn't this file, so that it comes from the store where nothing is put into the cache any more.
    pub fn lacks(&self, file: &Wanted) -> bool {
        !self.filler.chain.filled().has(file.key, file.size)
    }

    /// Whether files are as good without the cache.
    fn can_do_without(&self) -> bool {
        matches!(self.link, Link::Copy | Link::Reflink)
    }

    /// Puts one file at `target`; `false` if it has to come straight from the store.
    pub fn place(&self, file: &Wanted, target: &Spot, tally: &Arc<Tally>) -> Result<bool> {
        let cache = self.filler.chain.filled();
        let mut tries = 0;
        let linked = loop {
            let checked = if self.verifies { cache.check_bytes(file.key) } else { Ok(()) };
            match checked.and_then(|()| cache.link_out(file.key, file.size, self.link, target)) {
                Ok(linked) => break linked,
                // It has rotted: what is right comes again.
                Err(fault) if fault.kind() == Kind::Damaged && tries < TRIES => {
                    cache.quarantine(file.key);
                    tries += 1;
                    if !self.bring(std::slice::from_ref(file), &AtomicBool::new(false), tally)? {
                        lock(self.counts).copies += 1;
                        return Ok(false);
                    }
                }
                Err(fault)
                    if cache.has(file.key, file.size)
                        || (tries == TRIES && !self.can_do_without() && !self.filler.observer.is_stopping()) =>
                {
                    return Err(fault.within(format!("{} can't be got", file.path)));
                }
                // Somebody made room just now, or it was never brought since all is to stop.
                Err(_) => {
                    self.filler.observer.go_on()?;
                    tries += 1;
                    if tries > TRIES || !self.bring(std::slice::from_ref(file), &AtomicBool::new(false), tally)? {
                        lock(self.counts).copies += 1;
                        return Ok(false);
                    }
                }
            }
        };
        let mut counts = lock(self.counts);
        match linked.by {
            Link::Reflink => counts.reflinks += 1,
            Link::Hardlink => counts.hardlinks += 1,
            Link::Symlink => counts.symlinks += 1,
            Link::Copy | Link::InView => counts.copies += 1,
        }
        match linked.instead {
            Some(Instead::TooManyLinks) => counts.too_many_links += 1,
            Some(Instead::OfAnother) => counts.of_another += 1,
            None => {}
        }
        Ok(true)
    }

    /// Whether `target` is a link to the cached file, of the kind that was asked for; `None` if it is no link to it.
    pub fn is_linked_as_asked(&self, key: Key, size: u64, target: &Spot) -> Option<bool> {
        let link = self.filler.chain.filled().linked_as(key, size, target)?;
        Some(self.links(size) && link == self.link)
    }

    /// Whether files of this size are to be links to cached ones. What is empty has nothing to share.
    pub fn links(&self, size: u64) -> bool {
        self.link == Link::Symlink || self.link == Link::Hardlink && size > 0
    }
}

fn lock(counts: &Mutex<LinkCounts>) -> MutexGuard<'_, LinkCounts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
