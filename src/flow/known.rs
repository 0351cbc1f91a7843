//! Which chunks need not be stored: those of the store's indexes, and those that this session has claimed.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{Id, Result};
use crate::store::content::Content;

const SHARDS: usize = 64;

/// A set of chunk ids shared by all workers of a session.
pub struct Known<'a> {
    content: &'a Content,
    claimed: Vec<Mutex<HashSet<Id>>>,
}

impl<'a> Known<'a> {
    /// What `content` has, and nothing claimed.
    pub fn new(content: &'a Content) -> Known<'a> {
        Known { content, claimed: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// True for exactly one caller of all that ask for a chunk that the store doesn't have: that one must store it.
    pub fn claim(&self, id: &Id) -> Result<bool> {
        if self.content.has_chunk(id)? {
            return Ok(false);
        }
        Ok(self.shard(id).insert(*id))
    }

    /// Whether somebody claimed the chunk, and stores it or has stored it.
    pub fn is_claimed(&self, id: &Id) -> bool {
        self.shard(id).contains(id)
    }

    fn shard(&self, id: &Id) -> MutexGuard<'_, HashSet<Id>> {
        self.claimed[usize::from(id.0[31]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
