//! The fold of a store's log in the user's mirror of it: kept so that the next command reads only what came since.
//!
//! It is never the truth. What can't be kept isn't, what can't be read is as if it weren't there, and what is damaged is removed.

use crate::base::{Event, Id, Observer, Result};
use crate::catalog::mirror::{Mirror, Mirrored};

use super::fold::Fold;
use super::state;

/// A mirror that follows one store's log.
#[derive(Clone)]
pub struct LocalCopy {
    mirror: Mirror,
    /// The bytes of the store's `dagset.json`.
    store_file: Vec<u8>,
    /// What the mirror holds, as far as this process knows: the record's hash.
    kept: Id,
    observer: Observer,
}

impl LocalCopy {
    /// The mirror of the store whose `dagset.json` has these bytes; nothing is known of what it holds.
    pub fn new(mirror: Mirror, store_file: Vec<u8>, observer: Observer) -> LocalCopy {
        LocalCopy { mirror, store_file, kept: Id::ZERO, observer }
    }

    /// What the mirror holds; a damaged one is removed.
    pub fn recall(mirror: Mirror, observer: Observer) -> Option<(LocalCopy, Fold)> {
        let held = mirror.load().and_then(|held| {
            held.map(|Mirrored { store_file, rows }| Ok((store_file, state::decode(&rows)?))).transpose()
        });
        match held {
            Ok(held) => {
                let (store_file, fold) = held?;
                Some((LocalCopy { mirror, store_file, kept: fold.record, observer }, fold))
            }
            Err(fault) => {
                let note = format!("the mirror of a store is made anew: {}", fault.in_one_line());
                observer.tell(Event::Note(note));
                mirror.remove();
                None
            }
        }
    }

    /// The bytes of the store's `dagset.json`.
    pub fn store_file(&self) -> &[u8] {
        &self.store_file
    }

    /// Removes all of the mirror: it isn't this store's.
    pub fn remove(self) {
        self.mirror.remove();
    }

    /// Keeps the fold, unless the mirror has it, or a newer one by now.
    pub(super) fn keep(&mut self, fold: &Fold) {
        if fold.number == 0 || fold.record == self.kept {
            return;
        }
        match self.try_keep(fold) {
            Ok(()) => self.kept = fold.record,
            Err(fault) => self.observer.tell(Event::Note(fault.in_one_line())),
        }
    }

    fn try_keep(&self, fold: &Fold) -> Result<()> {
        self.mirror.save(&self.store_file, fold.number, &state::encode(fold))
    }
}
