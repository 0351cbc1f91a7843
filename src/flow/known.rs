//! What need not be stored: what the store has and doesn't condemn, and what this session has claimed.
//!
//! What is used of the store is noted, pack by pack: the record that publishes it says so, and holds only if none of it was condemned
//! meanwhile ([`crate::history::fold`]).

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{Id, ObjectName, Result};
use crate::format::index::Index;
use crate::format::operation::Things;
use crate::format::pack::ItemKind;
use crate::format::place::{Encoding, Place};
use crate::store::content::Content;

const SHARDS: usize = 64;

/// Shared by all workers of a session.
pub struct Known<'a> {
    content: &'a Content,
    claimed: Vec<Mutex<HashSet<Id>>>,
    versions: Mutex<Vec<Id>>,
    packs: Mutex<HashSet<ObjectName>>,
}

impl<'a> Known<'a> {
    /// What `content` has, and nothing claimed.
    pub fn new(content: &'a Content) -> Known<'a> {
        let claimed = (0..SHARDS).map(|_| Mutex::default()).collect();
        Known { content, claimed, versions: Mutex::default(), packs: Mutex::default() }
    }

    /// True for exactly one caller of all that ask for a chunk that the store doesn't have: that one must store it.
    pub fn claim(&self, id: &Id) -> Result<bool> {
        if self.chunk(id)?.is_some() {
            return Ok(false);
        }
        Ok(self.shard(id).insert(*id))
    }

    /// Whether somebody claimed the chunk, and stores it or has stored it.
    pub fn is_claimed(&self, id: &Id) -> bool {
        self.shard(id).contains(id)
    }

    fn shard(&self, id: &Id) -> MutexGuard<'_, HashSet<Id>> {
        lock(&self.claimed[usize::from(id.0[31]) % SHARDS])
    }

    /// Where the store has a chunk, which is used then, with its base where it needs one: where nothing else needed the chunk, the base may be gone.
    pub fn chunk(&self, id: &Id) -> Result<Option<Place>> {
        let Some(place) = self.content.lasting_chunk(id)? else { return Ok(None) };
        if let Encoding::Based(base) = &place.frame.encoding {
            let Some(base) = self.content.plain_base(base)? else { return Ok(None) };
            self.use_pack(base.place.frame.pack);
        }
        self.use_pack(place.frame.pack);
        Ok(Some(place))
    }

    /// Where the store has a meta object in a frame that needs no base, which is used then.
    pub fn meta(&self, id: &Id, kind: ItemKind) -> Result<Option<Place>> {
        Ok(self.place_of(id, kind)?.inspect(|place| self.use_pack(place.frame.pack)))
    }

    /// As [`Known::meta`], of what is only looked at.
    pub fn place_of(&self, id: &Id, kind: ItemKind) -> Result<Option<Place>> {
        Ok(self.content.lasting_meta(id, kind)?.filter(|place| !place.frame.encoding.needs_base()))
    }

    /// What the store had when the session began.
    pub fn content(&self) -> &'a Content {
        self.content
    }

    /// Notes that a version is used, with all that it needs.
    pub fn use_version(&self, id: Id) {
        lock(&self.versions).push(id);
    }

    /// Notes that all packs of indexes that were registered are used.
    pub fn use_packs_of(&self, indexes: &[Index]) {
        indexes.iter().flat_map(Index::packs).for_each(|pack| self.use_pack(pack.name));
    }

    /// Notes that a pack is used that was registered.
    pub fn use_pack(&self, name: ObjectName) {
        lock(&self.packs).insert(name);
    }

    /// All that was used.
    pub fn used(&self) -> Things {
        let mut packs: Vec<ObjectName> = lock(&self.packs).iter().copied().collect();
        packs.sort_unstable();
        Things { versions: lock(&self.versions).clone(), packs }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
