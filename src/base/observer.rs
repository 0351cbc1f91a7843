//! What a long operation tells whoever watches: counters that only grow, and events.
//!
//! It also carries the one word the other way: that the work is to stop, from whoever watches to those that heed it.
//!
//! The screen polls the counters; tests assert them. An [`Observer`] is cheap to clone and to update from many threads.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Error, Kind, Result};

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Files that this operation has to deal with, as far as known.
    FilesTotal,
    /// Files dealt with.
    Files,
    /// Bytes of files that this operation has to deal with, as far as known.
    BytesTotal,
    /// Bytes of files dealt with.
    Bytes,
    /// Raw bytes of chunks that the store did not have.
    NewBytes,
    /// Chunks that the store did not have.
    NewChunks,
    /// Bytes written to the store, all objects.
    StoredBytes,
    /// Files whose content was read and hashed.
    HashedFiles,
    /// Packs written.
    Packs,
    /// Requests to the store by verb, each try and each list page.
    Gets,
    Puts,
    Lists,
    Heads,
    Deletes,
    /// Bytes sent to and received from the store.
    SentBytes,
    ReceivedBytes,
    /// Log records that lost the race for their number.
    LostRaces,
}

const COUNTERS: usize = Counter::LostRaces as usize + 1;

/// Something worth a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new stage began: "scanning", "storing", "publishing".
    Phase(&'static str),
    /// A path was left out, and why; `kind` is `Incomplete` if the exit code must say so.
    LeftOut { path: String, why: String, kind: Option<Kind> },
    /// Shown under `-v`.
    Note(String),
    /// Shown unless `--quiet`.
    Warning(String),
}

/// Counters and events of one operation.
#[derive(Clone, Default)]
pub struct Observer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    counters: [AtomicU64; COUNTERS],
    events: Mutex<Vec<Event>>,
    is_stopping: AtomicBool,
    heeding: AtomicUsize,
}

/// While this is there, somebody heeds [`Observer::stop`].
#[must_use = "it counts while it lives"]
pub struct Heeding(Observer);

impl Drop for Heeding {
    fn drop(&mut self) {
        self.0.0.heeding.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Observer {
    /// Nothing counted, nothing said.
    pub fn new() -> Observer {
        Observer::default()
    }

    /// Adds to a counter.
    pub fn add(&self, counter: Counter, amount: u64) {
        self.0.counters[counter as usize].fetch_add(amount, Ordering::Relaxed);
    }

    /// What a counter stands at.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// Records an event.
    pub fn tell(&self, event: Event) {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// From now on the work ends soon after [`Observer::stop`]: what has come is finished, and no more is asked of stores.
    pub fn heed_stop(&self) -> Heeding {
        self.0.heeding.fetch_add(1, Ordering::AcqRel);
        Heeding(self.clone())
    }

    /// Asks the work to stop; false if nobody heeds that.
    pub fn stop(&self) -> bool {
        let is_heeded = self.0.heeding.load(Ordering::Acquire) > 0;
        self.0.is_stopping.fetch_or(is_heeded, Ordering::AcqRel);
        is_heeded
    }

    /// Whether the work was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Ordering::Acquire)
    }

    /// Fails with [`Kind::Interrupted`] once the work was asked to stop.
    pub fn go_on(&self) -> Result<()> {
        if self.is_stopping() { Err(Error::new(Kind::Interrupted, "interrupted")) } else { Ok(()) }
    }

    /// Takes the events that came since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
