//! A value that is made when it is first asked for, where making it may fail.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::Result;

/// Made once; of many that ask at once, one makes it and the others wait. After a failure the next one tries again.
#[derive(Debug)]
pub struct Once<T> {
    value: OnceLock<T>,
    making: Mutex<()>,
}

impl<T> Once<T> {
    /// Not made yet.
    pub fn new() -> Once<T> {
        Once { value: OnceLock::new(), making: Mutex::new(()) }
    }

    /// Whether it has been made.
    pub fn is_made(&self) -> bool {
        self.value.get().is_some()
    }

    /// The value, made by `make` if it isn't there.
    pub fn get_or_make(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let value = make()?;
        Ok(self.value.get_or_init(|| value))
    }
}

impl<T> Default for Once<T> {
    fn default() -> Once<T> {
        Once::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Error, Kind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn it_is_made_once_and_a_failure_is_not_kept() {
        let once = Once::new();
        let made = AtomicUsize::new(0);
        once.get_or_make(|| Err::<u32, _>(Error::new(Kind::Failed, "not now"))).unwrap_err();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let make = || Ok(made.fetch_add(1, Ordering::SeqCst) as u32 + 7);
                    assert_eq!(*once.get_or_make(make).unwrap(), 7);
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }
}
