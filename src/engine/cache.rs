//! Keeping the house of a cache: what it holds, what keeps it, what may go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::host::Host;
use crate::base::{Error, Event, Id, Kind, Result};
use crate::cache::{Cache, Contents, Holds, Limits, NamedHold, Pruned, Sharing, Space, UnreadHold, View};

use super::caches::CachePlace;
use super::{Address, Engine, WarmOptions, WarmReport};

/// A hold may be named by so many of the letters that its name begins with.
const SHORTEST_NAME: usize = 8;

/// One cache of the chain.
#[derive(Debug, Clone)]
pub struct CacheCard {
    pub folder: PathBuf,
    pub is_writable: bool,
    /// Whether this is the one that is filled.
    pub is_filled: bool,
    pub limits: Limits,
    pub sharing: Sharing,
    pub contents: Contents,
    pub space: Space,
}

/// What keeps files in a cache.
#[derive(Debug, Clone)]
pub struct CacheList {
    pub folder: PathBuf,
    /// This machine, as holds name it.
    pub host: String,
    pub holds: Vec<NamedHold>,
    /// What can't be understood, and so holds everything for a day.
    pub unread: Vec<UnreadHold>,
    pub views: Vec<View>,
}

/// What a verification of a cache found.
#[derive(Debug, Clone)]
pub struct CacheVerified {
    pub folder: PathBuf,
    pub files: u64,
    pub bytes: u64,
    /// Files whose bytes aren't what their name says; they are in quarantine now, if that could be.
    pub damaged: Vec<Id>,
}

impl Engine {
    /// Makes a cache, or changes the limits of one.
    pub fn init_cache(&self, folder: &Path, limits: Option<Limits>, sharing: Option<Sharing>) -> Result<CacheCard> {
        let folder = self.path(folder);
        let is_it = |place: &&CachePlace| place.read_only && self.path(&place.folder) == folder;
        if let Some(place) = self.settings.caches.iter().find(is_it) {
            return Err(Error::usage(format!("{place} may not be written into, so its limits can't be changed"))
                .hint(format!("give --cache {} to this command", folder.display())));
        }
        let there = match Cache::open(&folder, true, self.observer.clone()) {
            // It is written again.
            Err(fault) if fault.kind() == Kind::Damaged => None,
            there => there?,
        };
        let sharing = sharing.or(there.as_ref().map(Cache::sharing)).unwrap_or_else(|| Sharing::of_folder(&folder));
        let limits = limits.or(there.as_ref().map(Cache::limits));
        Cache::init(&folder, limits, sharing)?;
        let made = Cache::open(&folder, false, self.observer.clone())?;
        let made = made.ok_or_else(|| Error::not_found(format!("the cache {} went away", folder.display())))?;
        card(&made, true)
    }

    /// What the usual limits or those of the cache at `folder` are.
    pub fn cache_limits(&self, folder: &Path) -> Result<Option<Limits>> {
        Ok(Cache::open(&self.path(folder), true, self.observer.clone())?.map(|cache| cache.limits()))
    }

    /// The caches of the chain, in order.
    pub fn cache_info(&self) -> Result<Vec<CacheCard>> {
        let chain = self.chain()?;
        chain.caches().iter().map(|cache| card(cache, std::ptr::eq(cache, chain.filled()))).collect()
    }

    /// What keeps files in the cache that is filled.
    pub fn cache_list(&self) -> Result<CacheList> {
        let chain = self.chain()?;
        let cache = chain.filled();
        let host = Host::here().name;
        let Holds { named: holds, unread } = cache.holds()?;
        Ok(CacheList { folder: cache.folder().to_owned(), host, holds, unread, views: cache.views()? })
    }

    /// Removes files that nothing keeps: those not used for `unused_days`, then more until at most `most_bytes` are left. In a dry run it is
    /// only said what would go.
    pub fn prune_cache(
        &self,
        unused_days: Option<u64>,
        most_bytes: Option<u64>,
        dry_run: bool,
    ) -> Result<(PathBuf, Pruned)> {
        let chain = self.chain_to_change()?;
        let cache = chain.filled();
        self.observer.tell(Event::Phase("pruning"));
        let prune = if dry_run { Cache::rehearse_prune } else { Cache::prune };
        Ok((cache.folder().to_owned(), prune(cache, unused_days, most_bytes)?))
    }

    /// Reads every file of the cache that is filled.
    pub fn verify_cache(&self) -> Result<CacheVerified> {
        let chain = self.chain_to_change()?;
        let cache = chain.filled();
        self.observer.tell(Event::Phase("verifying"));
        let (files, bytes, damaged) = cache.verify()?;
        Ok(CacheVerified { folder: cache.folder().to_owned(), files, bytes, damaged })
    }

    /// Keeps what an address means, for ever or for so long; what is missing is fetched.
    pub fn pin(&self, address: Address, lasts: Option<Duration>) -> Result<WarmReport> {
        drop(self.chain_to_change()?);
        let options = WarmOptions { pin: Some(lasts), ..WarmOptions::default() };
        let mut reports = self.warm(&[address], &options)?;
        Ok(reports.remove(0))
    }

    /// Removes the pin or lease of this name, or the one whose name begins so, the pins of this address, the leases of the job `NAME` or `job:NAME`.
    pub fn unpin(&self, name: &str) -> Result<u64> {
        let chain = self.chain_to_change()?;
        let cache = chain.filled();
        let job = name.strip_prefix("job:").unwrap_or(name);
        let is_meant = |named: &NamedHold| {
            let hold = &named.hold;
            named.name == name || hold.is_pin && hold.address == name || hold.job.as_deref() == Some(job)
        };
        let Holds { named, unread } = cache.holds()?;
        let begins_so = |named: &&NamedHold| name.len() >= SHORTEST_NAME && named.name.starts_with(name);
        if let [one] = &named.iter().filter(begins_so).collect::<Vec<_>>()[..] {
            return cache.release(&one.name).map(|()| 1);
        }
        let unread = unread.into_iter().map(|hold| hold.name).filter(|unread| unread == name);
        let meant: Vec<_> = named.into_iter().filter(is_meant).map(|named| named.name).chain(unread).collect();
        meant.iter().try_for_each(|name| cache.release(name))?;
        match meant.len() {
            0 => Err(Error::not_found(format!("nothing in the cache is pinned or held as {name}"))
                .hint("`dagset cache list` shows what is")),
            count => Ok(count as u64),
        }
    }
}

fn card(cache: &Cache, is_filled: bool) -> Result<CacheCard> {
    Ok(CacheCard {
        folder: cache.folder().to_owned(),
        is_writable: cache.is_writable(),
        is_filled,
        limits: cache.limits(),
        sharing: cache.sharing(),
        contents: cache.contents()?,
        space: cache.space()?,
    })
}
