//! Whole files on a machine, in front of any store, shared by its users: plain files, no database.
//!
//! ```text
//! cache.toml             what the cache may hold, and whose it is
//! files/ab/<content id>  read-only, with a fixed time; `…-x` where executable
//! views/<key>            trees of links, each shared by all jobs that want that selection of a version
//! lists/<key>            the contents that something holds, sorted
//! recent/<hash>          the versions of a dataset that were cached last
//! holds/<random>         who holds a view or a list, and until when
//! quarantine/            files that somebody changed
//! begun/<content id>     the beginnings of large files, whose coming was cut off
//! ballast, spares/        room for leases where the disk has none
//! unsettled/<start>      files were written that may not be on the disk yet
//! locks/                 advisory locks, that die with their process, and what each process has reserved
//! usage                  about how many bytes the files take, and when they were counted
//! ```
//!
//! A file appears by rename once its content was verified, so what is visible is right. Locks only spare work: where they are lost, a file is
//! fetched twice, and no more. Modes are set outright, whatever the umask; nothing of another user's is ever changed but its name.

mod at_work;
mod ballast;
mod claims;
mod config;
mod files;
mod filling;
mod hold;
mod holds;
mod kept;
mod link;
mod mend;
mod prune;
mod purge;
mod recent;
mod rehearsal;
mod room;
mod stamps;
mod unsettled;
mod usage;
mod views;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::{Error, Observer, Result};

pub use claims::Claim;
pub use config::{Limits, Sharing, is_cache, may_write};
pub use files::{Key, NewCached};
pub use hold::{Held, Hold, LEASE_MS};
pub use holds::{Holds, NamedHold, UnreadHold, list_entry};
pub use link::{Instead, Link, Linked};
pub use mend::Changes;
pub use prune::{Contents, Pruned, Removable};
pub use purge::PurgedFiles;
pub use room::{Reserved, Space};
pub use views::{NewView, View, ViewCard};

/// One cache folder.
pub struct Cache {
    folder: PathBuf,
    /// The folder of files, open.
    files: File,
    limits: Limits,
    sharing: Sharing,
    is_writable: bool,
    claims: claims::Claims,
    /// What files take of the disk is a multiple of this.
    block_bytes: u64,
    room: room::Room,
    observer: Observer,
    unsettled: unsettled::Unsettled,
    /// Files that changed since then, in seconds since 1970, may lack bytes, and this user can't mend that.
    suspect_since: Option<i64>,
    changes: mend::Met,
    /// Warnings that were given.
    said: Mutex<HashSet<String>>,
}

impl Cache {
    /// Opens the cache at `folder`; `None` if there is none. With `read_only` nothing is written into it even where it could be.
    pub fn open(folder: &Path, read_only: bool, observer: Observer) -> Result<Option<Cache>> {
        let Some((limits, sharing)) = config::read(folder)? else { return Ok(None) };
        if !read_only {
            config::complete(folder, sharing);
        }
        let is_writable = !read_only && config::may_write(folder);
        let claims = claims::Claims::new(folder.join("locks"));
        let block_bytes = room::block_bytes(folder)?;
        let room = room::Room::new(limits.max_bytes);
        let unsettled = unsettled::Unsettled::new(folder);
        let folder = folder.to_owned();
        // Nothing is found in a cache without its files, as below the cache's own folder.
        let files = File::open(folder.join("files")).or_else(|_| File::open(&folder));
        let files = files.map_err(|fault| Error::io("open", &folder, fault))?;
        let mut cache = Cache {
            folder,
            files,
            limits,
            sharing,
            is_writable,
            claims,
            block_bytes,
            room,
            observer,
            unsettled,
            suspect_since: None,
            changes: mend::Met::default(),
            said: Mutex::default(),
        };
        cache.check_after_power_loss()?;
        Ok(Some(cache))
    }

    /// Opens the cache at `folder`, made for this user alone with the usual limits if there is none.
    pub fn open_or_make(folder: &Path, observer: Observer) -> Result<Cache> {
        if let Some(cache) = Cache::open(folder, false, observer.clone())? {
            return Ok(cache);
        }
        config::make(folder, None, Sharing::Private)?;
        let made = Cache::open(folder, false, observer)?;
        made.ok_or_else(|| Error::not_found(format!("the cache {} went away", folder.display())))
    }

    /// Makes a cache at `folder`, or changes the limits of the one that is there.
    pub fn init(folder: &Path, limits: Option<Limits>, sharing: Sharing) -> Result<()> {
        config::make(folder, limits, sharing)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whose it is.
    pub fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Whether this process may put files into it.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Takes the right to fetch a file; `None` while another process or thread has it.
    pub fn claim(&self, key: Key) -> Option<Claim<'_>> {
        self.claims.take(key)
    }
}

/// Caches in the order in which they are asked: the first that may be written into is filled.
pub struct Chain {
    caches: Vec<Cache>,
    filled: usize,
}

impl Chain {
    /// A chain; one of the caches must be writable.
    pub fn new(caches: Vec<Cache>) -> Result<Chain> {
        let filled = caches.iter().position(Cache::is_writable);
        let filled = filled.ok_or_else(|| Error::usage("no cache may be written into"))?;
        Ok(Chain { caches, filled })
    }

    /// The cache that is filled.
    pub fn filled(&self) -> &Cache {
        &self.caches[self.filled]
    }

    /// All of them.
    pub fn caches(&self) -> &[Cache] {
        &self.caches
    }
}
