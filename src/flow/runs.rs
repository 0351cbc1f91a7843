//! Entries in path order, handed out to workers in runs of neighbours.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use crate::base::{Kind, Observer, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::format::place::FramePlace;
use crate::tree::manifest::Leaf;

/// How long runs are.
#[derive(Clone, Copy)]
pub struct RunLimits {
    /// Runs of small folders are joined up to this.
    pub least_files: usize,
    pub files: usize,
    pub bytes: u64,
}

/// A run ends with its folder, so that two workers seldom write into one folder at a time; or here.
pub const NEAR: RunLimits = RunLimits { least_files: 64, files: 1024, bytes: 4 << 20 };
/// One request brings a run from a far store, or few.
pub const FAR: RunLimits = RunLimits { least_files: 4096, files: 4096, bytes: 8 << 20 };
/// Workers for a far store: as many runs are in memory.
pub const FAR_WORKERS: usize = 16;

/// An entry and where it goes, relative to the target.
#[derive(Debug, Clone)]
pub struct Placed {
    pub target: String,
    pub leaf: Leaf,
}

/// Has `work` done for all entries, on so many threads, and gives what it gave. After the first error no more is begun; `work` is told when to
/// stop within a run. Once the observer was asked to stop, no more is begun either, and what is interrupted by that in a run keeps
/// no other from finishing its own; then all fails with [`Kind::Interrupted`].
pub fn each_run<T: Send>(
    entries: impl Iterator<Item = Result<Placed>> + Send,
    limits: RunLimits,
    workers: usize,
    observer: &Observer,
    work: impl Fn(Vec<Placed>, &AtomicBool, &mut Vec<T>) -> Result<()> + Sync,
) -> Result<Vec<T>> {
    let stop = AtomicBool::new(false);
    let (queue, runs) = sync_channel::<Vec<Placed>>(workers * 2);
    let runs = Mutex::new(runs);
    let one_worker = || {
        let mut given = Ok(Vec::new());
        loop {
            let run = runs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(run) = run else { return given };
            // After a failure the queue is emptied: who fills it would wait for ever.
            let Ok(out) = &mut given else { continue };
            if observer.is_stopping() {
                continue;
            }
            if let Err(fault) = work(run, &stop, out) {
                stop.fetch_or(fault.kind() != Kind::Interrupted, Ordering::AcqRel);
                given = Err(fault);
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers.max(1)).map(|_| scope.spawn(one_worker)).collect();
        let fed = feed(entries, limits, &queue, || observer.is_stopping() || stop.load(Ordering::Acquire));
        stop.fetch_or(fed.as_ref().is_err_and(|fault| fault.kind() != Kind::Interrupted), Ordering::AcqRel);
        drop(queue);
        let mut given = Vec::new();
        let mut fault = fed.err();
        for worker in workers {
            match worker.join().expect("a worker doesn't panic") {
                Ok(part) => given.extend(part),
                Err(other) => fault = fault.or(Some(other)),
            }
        }
        fault.map_or(Ok(given), Err).and_then(|given| observer.go_on().map(|()| given))
    })
}

fn feed(
    entries: impl Iterator<Item = Result<Placed>>,
    limits: RunLimits,
    queue: &std::sync::mpsc::SyncSender<Vec<Placed>>,
    is_over: impl Fn() -> bool,
) -> Result<()> {
    let (mut run, mut bytes) = (Vec::new(), 0);
    for placed in entries {
        let placed = placed?;
        let next_folder = |before: &Placed| folder_of(&before.target) != folder_of(&placed.target);
        let ends = run.len() >= limits.least_files && run.last().is_some_and(next_folder);
        let size = placed.leaf.entry.bytes();
        // A frame that lies in two runs would be read for each.
        let splits = frame_of(&placed).is_some_and(|frame| run.last().and_then(frame_of) == Some(frame));
        let is_full = run.len() >= limits.files || (bytes > 0 && bytes + size > limits.bytes);
        if (ends || is_full) && !splits {
            bytes = 0;
            if is_over() || queue.send(std::mem::take(&mut run)).is_err() {
                return Ok(());
            }
        }
        bytes += size;
        run.push(placed);
    }
    // A closed queue means that the workers stopped at an error of their own.
    queue.send(run).ok();
    Ok(())
}

/// The frame in which a small file lies, with others perhaps; it holds so little that it doesn't make a run too long.
fn frame_of(placed: &Placed) -> Option<FramePlace> {
    placed.leaf.place.map(|place| place.frame).filter(|_| placed.leaf.entry.bytes() <= SMALL_FILE)
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
