//! How many requests to have under way at once: more while more brings more bytes, fewer after a failure.
//!
//! Completed requests are counted in windows of a few for each that may run. After a window the number is doubled for the next; if that one
//! wasn't clearly faster, it goes back and stays for a while. Time is handed in.

use std::time::Instant;

/// A window has this many completions for each request that may run.
const WINDOW: usize = 2;
/// What counts as faster.
const GAIN: f64 = 1.1;
/// Windows without another try after one that gained nothing, and after a failure.
const REST: u32 = 16;

/// The number of requests that may run at once, from what came of those before.
#[derive(Debug, Clone)]
pub struct Pace {
    least: usize,
    most: usize,
    now: usize,
    /// When the window began, once something ran in it.
    began: Option<Instant>,
    done: usize,
    bytes: u64,
    /// The number before it was raised, and its rate.
    raised_from: Option<(usize, f64)>,
    rest: u32,
}

impl Pace {
    /// Begins with `least` and stays within `least..=most`.
    pub fn new(least: usize, most: usize) -> Pace {
        Pace { least, most, now: least, began: None, done: 0, bytes: 0, raised_from: None, rest: 0 }
    }

    /// How many may run.
    pub fn now(&self) -> usize {
        self.now
    }

    /// A request begins.
    pub fn started(&mut self, at: Instant) {
        self.began.get_or_insert(at);
    }

    /// A request moved so many bytes.
    pub fn moved(&mut self, bytes: u64, at: Instant) {
        self.done += 1;
        self.bytes += bytes;
        let Some(began) = self.began.filter(|_| self.done >= self.now * WINDOW && self.least < self.most) else {
            return;
        };
        let rate = self.bytes as f64 / at.duration_since(began).as_secs_f64().max(1e-6);
        (self.began, self.done, self.bytes) = (Some(at), 0, 0);
        match self.raised_from.take() {
            Some((before, its_rate)) if rate < its_rate * GAIN => (self.now, self.rest) = (before, REST),
            _ if self.rest > 0 => self.rest -= 1,
            _ if self.now < self.most => {
                self.raised_from = Some((self.now, rate));
                self.now = (self.now * 2).min(self.most);
            }
            _ => {}
        }
    }

    /// A request failed, as when the store asks for less.
    pub fn failed(&mut self) {
        self.now = (self.now / 2).max(self.least);
        (self.began, self.done, self.bytes) = (None, 0, 0);
        (self.raised_from, self.rest) = (None, REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Lets rounds of requests of 1 MB run against a store that gives `rate(n)` bytes a second when `n` run at once.
    fn run(pace: &mut Pace, from: Instant, rounds: usize, rate: impl Fn(usize) -> f64) -> Instant {
        let mut at = from;
        for _ in 0..rounds {
            let together = pace.now();
            pace.started(at);
            at += Duration::from_secs_f64(together as f64 * 1e6 / rate(together));
            (0..together).for_each(|_| pace.moved(1_000_000, at));
        }
        at
    }

    #[test]
    fn it_grows_while_more_at_once_brings_more() {
        let mut pace = Pace::new(2, 32);
        // Each request alone gets 10 MB/s, all together no more than 100.
        run(&mut pace, Instant::now(), 15, |n| (n as f64 * 10e6).min(100e6));
        assert_eq!(pace.now(), 16, "8 don't fill the line, 32 bring no more than 16");
        let mut far = Pace::new(2, 32);
        run(&mut far, Instant::now(), 15, |n| n as f64 * 10e6);
        assert_eq!(far.now(), 32);
    }

    #[test]
    fn it_stays_where_more_brings_nothing_and_tries_again_later() {
        let mut pace = Pace::new(4, 32);
        let at = run(&mut pace, Instant::now(), 5, |_| 100e6);
        assert_eq!(pace.now(), 4);
        // Windows of rest go by, then the line is found to be wider.
        run(&mut pace, at, 60, |n| n as f64 * 25e6);
        assert_eq!(pace.now(), 32);
    }

    #[test]
    fn a_failure_halves_it_and_a_fixed_one_never_moves() {
        let mut pace = Pace::new(2, 32);
        let at = run(&mut pace, Instant::now(), 15, |n| n as f64 * 10e6);
        pace.failed();
        assert_eq!(pace.now(), 16);
        run(&mut pace, at, 3, |n| n as f64 * 10e6);
        assert_eq!(pace.now(), 16, "it rests first");
        (0..9).for_each(|_| pace.failed());
        assert_eq!(pace.now(), 2);
        let mut fixed = Pace::new(3, 3);
        run(&mut fixed, at, 20, |n| n as f64 * 10e6);
        fixed.failed();
        assert_eq!(fixed.now(), 3);
    }
}
