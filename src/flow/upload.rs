//! Finished packs on their way into the store, while the next ones are filled.
//!
//! A few threads write; the queue is short, so that memory is bounded and a slow store slows the workers. The first error
//! wins: every later `send` returns at once and [`Uploads::finish`] gives that error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;

use crate::base::files::random_bytes;
use crate::base::{Counter, Error, Kind, ObjectName, Observer, Result};
use crate::format::header::ObjectKind;
use crate::format::pack::{Footer, PackBuilder};
use crate::store::objects::Bucket;

/// A pack is closed when it has grown to this.
pub const PACK_BYTES: usize = 32 << 20;
const WRITERS: usize = 2;

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
    queue: Option<SyncSender<OpenPack>>,
    writers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    bucket: Bucket,
    observer: Observer,
    born: u64,
    failed: AtomicBool,
    outcome: Mutex<Outcome>,
    spare: Arc<Spare>,
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

impl Uploads {
    /// Starts the writers; `born` is the log number that the session has seen.
    pub fn start(bucket: Bucket, born: u64, observer: Observer) -> Uploads {
        let shared = Arc::new(Shared {
            bucket,
            observer,
            born,
            failed: AtomicBool::new(false),
            outcome: Mutex::default(),
            spare: Arc::default(),
        });
        let (queue, jobs) = sync_channel(WRITERS);
        let jobs = Arc::new(Mutex::new(jobs));
        let writers = (0..WRITERS)
            .map(|_| {
                let (shared, jobs) = (shared.clone(), jobs.clone());
                std::thread::spawn(move || shared.write_all(&jobs))
            })
            .collect();
        Uploads { queue: Some(queue), writers, shared }
    }

    /// An empty pack with a fresh name.
    pub fn open_pack(&self, kind: ObjectKind) -> Result<OpenPack> {
        let name = ObjectName { born: self.shared.born, random: random_bytes()? };
        let spare = || self.shared.spare.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = if kind == ObjectKind::Pack { spare().unwrap_or_default() } else { Vec::new() };
        Ok(OpenPack { name, kind, builder: PackBuilder::reusing(kind, buffer) })
    }

    /// Queues a pack; waits while the queue is full. Fails at once when an earlier pack failed.
    pub fn send(&self, pack: OpenPack) -> Result<()> {
        let queue = self.queue.as_ref().expect("open until finished");
        if self.shared.failed.load(Ordering::Acquire) || queue.send(pack).is_err() {
            return Err(Error::new(Kind::Failed, "writing to the store was given up"));
        }
        Ok(())
    }

    /// Waits until all is durable and gives what was stored; or the first error.
    pub fn finish(mut self) -> Result<Vec<StoredPack>> {
        self.stop();
        let mut outcome = self.shared.outcome.lock().unwrap_or_else(PoisonError::into_inner);
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

    fn stop(&mut self) {
        self.queue = None;
        for writer in self.writers.drain(..) {
            if writer.join().is_err() {
                self.shared.fail(Error::new(Kind::Failed, "a writer of the store panicked"));
            }
        }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn write_all(&self, jobs: &Mutex<Receiver<OpenPack>>) {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(pack) = job else { return };
            if self.failed.load(Ordering::Acquire) {
                continue;
            }
            match self.write(pack) {
                Ok(stored) => self.outcome.lock().unwrap_or_else(PoisonError::into_inner).stored.push(stored),
                Err(fault) => self.fail(fault),
            }
        }
    }

    fn write(&self, pack: OpenPack) -> Result<StoredPack> {
        let OpenPack { name, kind, builder } = pack;
        let finished = builder.finish();
        let bytes = finished.bytes.len() as u64;
        let lent = Lent { bytes: finished.bytes, spare: self.spare.clone() };
        self.bucket.create(&format!("{}/{name}", kind.folder()), Bytes::from_owner(lent))?;
        self.observer.add(Counter::Packs, 1);
        Ok(StoredPack { name, kind, bytes, footer: finished.footer })
    }

    fn fail(&self, fault: Error) {
        self.failed.store(true, Ordering::Release);
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).fault.get_or_insert(fault);
    }
}
