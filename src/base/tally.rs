//! How far a few files have come, counted byte by byte as they come, are cached and are placed.
//!
//! Each byte is counted once, by the stage that is furthest: so the rate and the time left follow what is slow, whichever that is, and at the
//! end the sum is right to the byte. A byte that comes twice, as after a failed try, counts once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Counter, Observer};

/// What a byte goes through; it may leave some of it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// It came from a store, or was copied from where it was already.
    Came,
    /// It is in the cache.
    Cached,
    /// It is where it is wanted.
    Placed,
}

/// The bytes of a few files.
pub struct Tally {
    observer: Observer,
    bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stages: [u64; 3],
    counted: u64,
}

impl Tally {
    /// Of files with so many bytes, which are counted as [`Counter::Bytes`] of the observer; of none, nothing is counted.
    pub fn new(observer: &Observer, bytes: u64) -> Arc<Tally> {
        Arc::new(Tally { observer: observer.clone(), bytes, state: Mutex::default() })
    }

    /// So many bytes more have got to a stage.
    pub fn note(&self, stage: Stage, bytes: u64) {
        self.note_all(&[stage], bytes);
    }

    /// So many bytes more have got through several stages at once.
    pub fn note_all(&self, stages: &[Stage], bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for stage in stages {
            state.stages[*stage as usize] += bytes;
        }
        let furthest = state.stages.into_iter().max().unwrap_or_default().min(self.bytes);
        self.observer.add(Counter::Bytes, furthest - state.counted);
        state.counted = furthest;
    }

    /// Takes note of what comes in other units: of so many `units` all are `bytes`. Says whether more is wanted.
    pub fn scaled(
        self: &Arc<Self>,
        stage: Stage,
        units: u64,
        bytes: u64,
    ) -> impl Fn(u64) -> bool + Send + Sync + use<> {
        let (tally, seen) = (self.clone(), AtomicU64::new(0));
        let at = move |seen: u64| (u128::from(seen.min(units)) * u128::from(bytes) / u128::from(units.max(1))) as u64;
        move |more| {
            let before = seen.fetch_add(more, Ordering::Relaxed);
            tally.note(stage, at(before + more) - at(before));
            !tally.is_stopping()
        }
    }

    /// Whether who waits for these bytes was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.observer.is_stopping()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_counts_once_by_the_furthest_stage() {
        let observer = Observer::new();
        let tally = Tally::new(&observer, 100);
        let counts = |stage, bytes| {
            tally.note(stage, bytes);
            observer.get(Counter::Bytes)
        };
        assert_eq!(counts(Stage::Came, 30), 30);
        assert_eq!(counts(Stage::Cached, 20), 30);
        assert_eq!(counts(Stage::Came, 30), 60);
        assert_eq!(counts(Stage::Came, 90), 100, "some of it came twice");
        assert_eq!([counts(Stage::Cached, 80), counts(Stage::Placed, 100)], [100, 100]);
        tally.note_all(&[Stage::Came, Stage::Placed], 5);
        assert_eq!(observer.get(Counter::Bytes), 100);
    }

    #[test]
    fn what_is_scaled_adds_up() {
        let observer = Observer::new();
        let came = Tally::new(&observer, 1000).scaled(Stage::Came, 7, 100);
        let after = [3, 1, 2, 1, 5].map(|more| {
            assert!(came(more));
            observer.get(Counter::Bytes)
        });
        assert_eq!(after, [42, 57, 85, 100, 100]);
    }
}
