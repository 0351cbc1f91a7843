//! A limit on bytes a second that all connections share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Hands out time: each caller learns how long to wait before its bytes may pass, so that all together keep the rate.
#[derive(Debug)]
pub(super) struct Throttle {
    rate: f64,
    /// When all that was handed out so far has passed.
    free_at: Mutex<Instant>,
}

/// Silence buys no more than this much of the rate at once.
const BURST: Duration = Duration::from_millis(50);

impl Throttle {
    /// `rate` is in bytes a second.
    pub(super) fn new(rate: u64) -> Throttle {
        Throttle { rate: rate.max(1) as f64, free_at: Mutex::new(Instant::now()) }
    }

    /// How long to wait before `bytes` more bytes may pass.
    pub(super) fn reserve(&self, bytes: usize) -> Duration {
        self.reserve_at(Instant::now(), bytes)
    }

    fn reserve_at(&self, now: Instant, bytes: usize) -> Duration {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = now.checked_sub(BURST).map_or(*free_at, |earliest| earliest.max(*free_at));
        *free_at = start + Duration::from_secs_f64(bytes as f64 / self.rate);
        free_at.saturating_duration_since(now)
    }

    /// Bytes that pass at once: a twentieth of a second's, and what a socket takes at most.
    pub(super) fn piece(&self) -> usize {
        ((self.rate / 20.0) as usize).clamp(256, 64 * 1024)
    }
}

/// The limits of both directions, where there are any.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    pub(super) up: Option<Arc<Throttle>>,
    pub(super) down: Option<Arc<Throttle>>,
}

impl Limits {
    /// `rate` bytes a second each way.
    pub(super) fn new(rate: Option<u64>) -> Limits {
        let limit = || rate.map(|rate| Arc::new(Throttle::new(rate)));
        Limits { up: limit(), down: limit() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_together_keep_the_rate_without_bursts() {
        let throttle = Throttle::new(1_000_000);
        let start = Instant::now() + Duration::from_secs(1);
        let waits: Vec<Duration> = (0..100).map(|_| throttle.reserve_at(start, 50_000)).collect();
        assert!(waits.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(50)), "{waits:?}");
        assert_eq!(waits[99], Duration::from_millis(100 * 50 - 50));
        // A minute of silence is no minute of credit.
        let later = start + Duration::from_secs(65);
        assert_eq!(throttle.reserve_at(later, 1_000_000), Duration::from_millis(950));
    }
}
