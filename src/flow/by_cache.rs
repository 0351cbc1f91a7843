//! Files into a folder by way of a cache: brought there, then linked or copied from it.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;

use crate::base::Result;
use crate::cache::{Instead, Key, Link};
use crate::store::content::Content;

use super::fill::{Filler, Wanted};

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
}

impl<'a> ByCache<'a> {
    /// What is put where is added to `counts`.
    pub fn new(filler: Filler<'a>, link: Link, counts: &'a Mutex<LinkCounts>) -> ByCache<'a> {
        ByCache { filler, link, counts }
    }

    /// The store that the cache is filled from.
    pub fn content(&self) -> &Content {
        self.filler.content
    }

    /// Makes sure that the cache has these files.
    pub fn bring(&self, wanted: &[Wanted], stop: &AtomicBool) -> Result<()> {
        self.filler.bring(wanted, stop, false)
    }

    /// Puts one file at `target`.
    pub fn place(&self, file: &Wanted, target: &Path) -> Result<()> {
        let cache = self.filler.chain.filled();
        let mut tries = 0;
        let linked = loop {
            match cache.link_out(file.key, file.size, self.link, target) {
                Ok(linked) => break linked,
                // Somebody made room just now.
                Err(_) if tries < TRIES && !cache.has(file.key, file.size) => {
                    tries += 1;
                    self.filler.bring(std::slice::from_ref(file), &AtomicBool::new(false), false)?;
                }
                Err(fault) => return Err(fault.within(format!("{} can't be got", file.path))),
            }
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
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
        Ok(())
    }

    /// Whether `target` is a link to the cached file.
    pub fn is_linked(&self, key: Key, target: &Path) -> bool {
        matches!(self.link, Link::Hardlink | Link::Symlink) && self.filler.chain.filled().is_linked(key, target)
    }
}
