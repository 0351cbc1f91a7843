//! Blocking requests side by side: as many at once as their [`Pace`] lets.
//!
//! A thread starts when there is work that no idle one can take, and ends with the last handle: lanes that are never used cost nothing.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::pace::Pace;
use crate::base::{Error, Kind, Result};

/// What runs in a lane. It gives the bytes that it moved, `None` if it failed.
type Job = Box<dyn FnOnce() -> Option<u64> + Send>;

/// Lanes for one kind of request. Dropped, it waits until all that was submitted has run.
pub struct Lanes {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something changed for the lanes.
    work: Condvar,
    /// Something changed for those that wait to submit, or for the end.
    room: Condvar,
}

struct State {
    pace: Pace,
    waiting: VecDeque<Job>,
    running: usize,
    threads: Vec<JoinHandle<()>>,
    idle: usize,
    closed: bool,
    panicked: bool,
}

impl Lanes {
    /// No thread yet.
    pub fn new(pace: Pace) -> Lanes {
        let state = State {
            pace,
            waiting: VecDeque::new(),
            running: 0,
            threads: Vec::new(),
            idle: 0,
            closed: false,
            panicked: false,
        };
        Lanes { shared: Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new() }) }
    }

    /// Has `job` run as soon as a lane is free; those that were submitted before come first.
    pub fn submit(&self, job: impl FnOnce() -> Option<u64> + Send + 'static) {
        self.shared.push(self.shared.lock(), Box::new(job));
    }

    /// As [`Lanes::submit`], but waits first until fewer than `most` others wait.
    pub fn submit_when_near(&self, most: usize, job: impl FnOnce() -> Option<u64> + Send + 'static) {
        let state = self.shared.lock();
        let full = |state: &mut State| state.waiting.len() >= most;
        let state = self.shared.room.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        self.shared.push(state, Box::new(job));
    }

    /// Waits until all that was submitted by now has run.
    pub fn wait(&self) {
        let busy = |state: &mut State| state.running > 0 || !state.waiting.is_empty();
        drop(self.shared.room.wait_while(self.shared.lock(), busy).unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until all that was submitted has run. False if a job panicked.
    pub fn finish(self) -> bool {
        self.close()
    }

    fn close(&self) -> bool {
        let threads = {
            let mut state = self.shared.lock();
            state.closed = true;
            self.shared.work.notify_all();
            std::mem::take(&mut state.threads)
        };
        for thread in threads {
            thread.join().expect("a lane catches panics");
        }
        !self.shared.lock().panicked
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, mut state: MutexGuard<'_, State>, job: Job) {
        state.waiting.push_back(job);
        self.open_lanes(&mut state);
        self.work.notify_one();
    }

    /// Starts threads for what waits, as far as the pace lets.
    fn open_lanes(self: &Arc<Self>, state: &mut State) {
        while !state.closed && state.waiting.len() > state.idle && state.threads.len() < state.pace.now() {
            let shared = self.clone();
            state.threads.push(std::thread::spawn(move || shared.serve()));
            state.idle += 1;
        }
    }

    fn serve(self: &Arc<Self>) {
        let mut state = self.lock();
        loop {
            let nothing_to_do =
                |state: &mut State| state.running >= state.pace.now() || (state.waiting.is_empty() && !state.closed);
            state = self.work.wait_while(state, nothing_to_do).unwrap_or_else(PoisonError::into_inner);
            let Some(job) = state.waiting.pop_front() else { return };
            state.idle -= 1;
            state.running += 1;
            state.pace.started(Instant::now());
            drop(state);
            self.room.notify_all();
            let outcome = catch_unwind(AssertUnwindSafe(job));
            state = self.lock();
            state.running -= 1;
            state.idle += 1;
            state.panicked |= outcome.is_err();
            match outcome {
                Ok(Some(bytes)) => state.pace.moved(bytes, Instant::now()),
                _ => state.pace.failed(),
            }
            self.open_lanes(&mut state);
            // The pace may let more of them run now, or the last job may have been taken.
            self.work.notify_all();
            self.room.notify_all();
        }
    }
}

/// Runs `work` with so many threads for its parallel iterators: where they wait for a far store, more than there are cores.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|fault| Error::new(Kind::Failed, "no thread could be started").because(fault))?;
    Ok(pool.install(work))
}

/// What `work` gives for each item, in order: `most` at once, each on a thread of its own.
pub fn side_by_side<T: Sync, R: Send>(items: &[T], most: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if most.min(items.len()) < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let serve = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else { return done };
            done.push((number, work(item)));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..most.min(items.len())).map(|_| scope.spawn(serve)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the work doesn't panic")).collect()
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn all_that_was_submitted_runs_and_never_too_many_at_once() {
        let lanes = Lanes::new(Pace::new(3, 3));
        let [now, most, done] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        for _ in 0..200 {
            let (now, most, done) = (now.clone(), most.clone(), done.clone());
            lanes.submit_when_near(2, move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
                Some(1)
            });
        }
        lanes.wait();
        assert_eq!(done.load(Ordering::SeqCst), 200);
        assert!(lanes.finish());
        assert!(most.load(Ordering::SeqCst) <= 3);
    }

    #[test]
    fn outcomes_keep_the_order_of_their_items() {
        let items: Vec<usize> = (0..100).collect();
        for most in [1, 4, 200] {
            assert_eq!(
                side_by_side(&items, most, |item| item * 2),
                items.iter().map(|item| item * 2).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn jobs_run_side_by_side() {
        let lanes = Lanes::new(Pace::new(4, 4));
        let all_there = Arc::new(Barrier::new(4));
        for _ in 0..4 {
            let all_there = all_there.clone();
            lanes.submit(move || {
                all_there.wait();
                Some(1)
            });
        }
        assert!(lanes.finish());
    }

    #[test]
    fn what_is_unused_starts_no_thread_and_a_panic_is_told() {
        let unused = Lanes::new(Pace::new(2, 8));
        assert!(unused.shared.lock().threads.is_empty());
        drop(unused);
        let lanes = Lanes::new(Pace::new(1, 1));
        let done = Arc::new(AtomicUsize::new(0));
        lanes.submit(|| panic!("as planned"));
        let seen = done.clone();
        lanes.submit(move || {
            seen.fetch_add(1, Ordering::SeqCst);
            None
        });
        assert!(!lanes.finish());
        assert_eq!(done.load(Ordering::SeqCst), 1, "the lane goes on");
    }
}
