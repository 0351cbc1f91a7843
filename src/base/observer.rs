//! What a long operation tells whoever watches: counters that only grow, and events.
//!
//! The screen polls the counters; tests assert them. An [`Observer`] is cheap to clone and to update from many threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Kind;

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

    /// Takes the events that came since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
