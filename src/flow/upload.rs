//! Finished packs on their way into the store, while the next ones are filled.
//!
//! A few are written at once, more to a far store where that brings more; hardly any waits, so that memory is bounded and a slow store slows the
//! workers. The first error wins: every later `send` returns at once and [`Uploads::finish`] gives that error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::base::files::random_bytes;
use crate::base::{Counter, Error, Kind, ObjectName, Observer, Result, Stage, Tally};
use crate::format::header::ObjectKind;
use crate::format::pack::{Footer, PackBuilder};
use crate::store::lanes::Lanes;
use crate::store::objects::{Bucket, Watch};
use crate::store::pace::Pace;

/// A pack is closed when it has grown to this.
pub const PACK_BYTES: usize = 32 << 20;
/// Packs that are written to a folder at once.
const NEAR: usize = 2;
/// And at most to a bucket: each takes its 32 MiB of memory.
const FAR: usize = 4;
/// Packs that may wait for their turn.
const WAITING: usize = 1;

/// A pack being filled, under the name that it will have.
pub struct OpenPack {
    pub name: ObjectName,
    pub kind: ObjectKind,
    pub builder: PackBuilder,
}

impl OpenPack {
    /// Whether `more` stored bytes belong in the next pack.
    pub fn is_full_for(&self, more: usize) -> bool {
        !self.builder.is_empty() && self.builder.len() + more > PACK_BYTES
    }
}

/// A pack that the store has.
pub struct StoredPack {
    pub name: ObjectName,
    pub kind: ObjectKind,
    pub bytes: u64,
    pub footer: Footer,
}

/// The writing end of a store for one session.
pub struct Uploads {
    lanes: Lanes,
    shared: Arc<Shared>,
}

struct Shared {
    bucket: Bucket,
    observer: Observer,
    born: u64,
    failed: AtomicBool,
    outcome: Mutex<Outcome>,
    /// A pack became durable, or whoever waits for one is to look up.
    stored: Condvar,
    spare: Arc<Spare>,
    tally: Option<Arc<Tally>>,
}

/// Buffers of packs that were written: taking fresh memory for each pack costs a quarter of storing large files.
#[derive(Default)]
struct Spare(Mutex<Vec<Vec<u8>>>);

/// A pack's bytes, whose memory goes back to the spare buffers.
struct Lent {
    bytes: Vec<u8>,
    spare: Arc<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() >= PACK_BYTES {
            self.spare.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
    }
}

#[derive(Default)]
struct Outcome {
    stored: Vec<StoredPack>,
    fault: Option<Error>,
}

impl Outcome {
    fn stored_bytes(&self) -> u64 {
        self.stored.iter().map(|pack| pack.bytes).sum()
    }
}

impl Uploads {
    /// Uploads to `bucket`, none yet; `born` is the log number that the session has seen.
    pub fn new(bucket: Bucket, born: u64, observer: Observer) -> Uploads {
        Uploads::telling(bucket, born, observer, None)
    }

    /// Likewise; the bytes in data packs are told to `tally` as they go.
    pub fn telling(bucket: Bucket, born: u64, observer: Observer, tally: Option<Arc<Tally>>) -> Uploads {
        let most = if bucket.is_far() { FAR } else { NEAR };
        let shared = Shared {
            bucket,
            observer,
            born,
            failed: AtomicBool::new(false),
            outcome: Mutex::default(),
            stored: Condvar::new(),
            spare: Arc::default(),
            tally,
        };
        Uploads { lanes: Lanes::new(Pace::new(NEAR, most)), shared: Arc::new(shared) }
    }

    /// An empty pack with a fresh name.
    pub fn open_pack(&self, kind: ObjectKind) -> Result<OpenPack> {
        let name = ObjectName { born: self.shared.born, random: random_bytes()? };
        let spare = || self.shared.spare.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = if kind == ObjectKind::Pack { spare().unwrap_or_default() } else { Vec::new() };
        Ok(OpenPack { name, kind, builder: PackBuilder::reusing(kind, buffer) })
    }

    /// Has a pack written; waits while others wait already. Fails at once when an earlier pack failed.
    pub fn send(&self, pack: OpenPack) -> Result<()> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(Error::new(Kind::Failed, "writing to the store was given up"));
        }
        let shared = self.shared.clone();
        self.lanes.submit_when_near(WAITING, move || shared.take(pack));
        Ok(())
    }

    /// Bytes of the packs that are durable and were not taken.
    pub fn stored_bytes(&self) -> u64 {
        self.shared.outcome().stored_bytes()
    }

    /// Takes the packs that are durable by now; others go on.
    pub fn take_stored(&self) -> Vec<StoredPack> {
        std::mem::take(&mut self.shared.outcome().stored)
    }

    /// Waits until a pack is durable that wasn't taken (told to `is_enough` by the bytes of all such), `ended`, or at most so long.
    pub fn wait_for_stored(&self, is_enough: impl Fn(u64) -> bool, ended: &AtomicBool, at_most: Duration) {
        let outcome = self.shared.outcome();
        let goes_on = |outcome: &mut Outcome| !ended.load(Ordering::Acquire) && !is_enough(outcome.stored_bytes());
        drop(self.shared.stored.wait_timeout_while(outcome, at_most, goes_on).unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends [`Uploads::wait_for_stored`].
    pub fn end_wait(&self, ended: &AtomicBool) {
        let _held = self.shared.outcome();
        ended.store(true, Ordering::Release);
        self.shared.stored.notify_all();
    }

    /// Writes no more; whoever waits for the end gets `fault`, if there was none before.
    pub fn give_up(&self, fault: Error) {
        self.shared.fail(fault);
    }

    /// Waits until what was sent is durable, or came to an error that [`Uploads::finish`] gives.
    pub fn wait(&self) {
        self.lanes.wait();
    }

    /// Waits until all is durable and gives what was stored and not taken; or the first error.
    pub fn finish(self) -> Result<Vec<StoredPack>> {
        if !self.lanes.finish() {
            self.shared.fail(Error::new(Kind::Failed, "a writer of the store panicked"));
        }
        let mut outcome = self.shared.outcome();
        match outcome.fault.take() {
            Some(fault) => Err(fault),
            None => Ok(std::mem::take(&mut outcome.stored)),
        }
    }

    /// As [`Uploads::finish`], with the outcome of the work that filled the packs. A writer's error comes before that of the
    /// work, which is its consequence.
    pub fn conclude<T>(self, work: Result<T>) -> Result<(T, Vec<StoredPack>)> {
        let stored = self.finish()?;
        Ok((work?, stored))
    }
}

impl Shared {
    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a pack unless all was given up; gives its bytes.
    fn take(&self, pack: OpenPack) -> Option<u64> {
        if self.failed.load(Ordering::Acquire) {
            return None;
        }
        let stored = self.write(pack).map_err(|fault| self.fail(fault)).ok()?;
        let bytes = stored.bytes;
        self.outcome().stored.push(stored);
        self.stored.notify_all();
        Some(bytes)
    }

    fn write(&self, pack: OpenPack) -> Result<StoredPack> {
        let OpenPack { name, kind, builder } = pack;
        let finished = builder.finish();
        let bytes = finished.bytes.len() as u64;
        let lent = Lent { bytes: finished.bytes, spare: self.spare.clone() };
        let object = kind.object(&name);
        let watch = self.tally.as_ref().filter(|_| kind == ObjectKind::Pack).map(|tally| -> Watch {
            let raw_bytes = finished.footer.frames.iter().map(|frame| u64::from(frame.raw_bytes)).sum();
            Arc::new(tally.scaled(Stage::Placed, bytes, raw_bytes))
        });
        self.bucket.ensure(&object, Bytes::from_owner(lent), watch.as_ref())?;
        self.observer.add(Counter::Packs, 1);
        Ok(StoredPack { name, kind, bytes, footer: finished.footer })
    }

    fn fail(&self, fault: Error) {
        self.failed.store(true, Ordering::Release);
        self.outcome().fault.get_or_insert(fault);
    }
}
