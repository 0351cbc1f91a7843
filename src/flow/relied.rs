//! The packs of others that a writer's frames need: its record names them, so that no collector takes them away meanwhile.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::base::ObjectName;

/// A set of packs shared by all workers of a session.
#[derive(Default)]
pub struct Relied(Mutex<BTreeSet<ObjectName>>);

impl Relied {
    /// Says that this session relies on a pack.
    pub fn on(&self, pack: ObjectName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pack);
    }

    /// All of them, ascending.
    pub fn packs(&self) -> Vec<ObjectName> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}
