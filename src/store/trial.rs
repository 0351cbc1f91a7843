//! Trying a store out: does it write, and does "create if absent" let exactly one of many win?
//!
//! Everything in a store rests on that one promise, and some servers and file systems break it: they look for the object, then
//! write it, and two writers pass between. So it is tried where a store is made or checked. What is seen is evidence and no
//! proof: a race that came out well may come out otherwise under load.
//!
//! A trial writes a few objects of some dozen bytes into a folder of its own, `check-<random>/`, which no reader looks into,
//! and removes them as far as it may: ordinary rights hold no deleting, so they may stay.

use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use super::objects::{Bucket, Created};
use crate::base::files::random_bytes;
use crate::base::{Error, Kind, Result, Time};

/// Writers that race for one name.
pub const RACERS: usize = 16;

/// How a race ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raced {
    /// In each round one writer got the name, and its bytes stand there.
    OneWon,
    /// So many were told in one round that the object is theirs.
    SeveralWon(usize),
    /// One was told so, and another's bytes stand there.
    Replaced,
}

/// What a write has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrote {
    /// Milliseconds by which the store's clock is ahead of ours, as far as whole seconds tell.
    pub clock_ahead_ms: i64,
}

/// Objects that were written to learn something; [`Trial::clean`] ends it.
#[must_use = "what a trial wrote is removed when it is cleaned"]
pub struct Trial {
    bucket: Bucket,
    folder: String,
    objects: u32,
}

impl Trial {
    /// A trial that has written nothing yet.
    pub fn new(bucket: Bucket) -> Result<Trial> {
        let random: String = random_bytes()?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Trial { bucket, folder: format!("check-{random}"), objects: 0 })
    }

    /// The folder that it writes into.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Creates an object, reads it back, and looks at the time that the store gave it.
    pub fn write(&mut self) -> Result<Wrote> {
        let name = self.next_name();
        let before = Time::now();
        self.bucket.create(&name, Bytes::from(name.clone()))?;
        let after = Time::now();
        if self.read_back(&name, |there| there == name.as_bytes())? != name.as_bytes() {
            return Err(Error::new(Kind::Failed, format!("{name} holds something else than was written to it")));
        }
        let listed = self.bucket.list(&self.folder)?.objects.pop();
        let listed = listed.ok_or_else(|| Error::new(Kind::Failed, format!("{name} was written and isn't listed")))?;
        // A time of whole seconds may stand for any moment of its second.
        let (earliest, latest) = (before.0 - 1000, after.0);
        let clock_ahead_ms = listed.modified.0 - listed.modified.0.clamp(earliest, latest);
        Ok(Wrote { clock_ahead_ms })
    }

    /// Races [`RACERS`] writers for a fresh name, `rounds` times; stops at the first round in which not exactly one won.
    ///
    /// Where a request fails there is no verdict but that error.
    pub fn race(&mut self, rounds: u32) -> Result<Raced> {
        for _ in 0..rounds {
            let raced = self.round()?;
            if raced != Raced::OneWon {
                return Ok(raced);
            }
        }
        Ok(Raced::OneWon)
    }

    fn round(&mut self) -> Result<Raced> {
        let name = self.next_name();
        let bytes_of = |racer: usize| Bytes::from(format!("{name} by writer {racer}"));
        let gate = RwLock::new(());
        let create = |racer: usize| {
            drop(gate.read());
            self.bucket.create(&name, bytes_of(racer))
        };
        let outcomes: Vec<Result<Created>> = std::thread::scope(|scope| {
            let closed = gate.write().unwrap_or_else(PoisonError::into_inner);
            let create = &create;
            let racers: Vec<_> = (0..RACERS).map(|racer| scope.spawn(move || create(racer))).collect();
            drop(closed);
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let created = outcomes.into_iter().collect::<Result<Vec<Created>>>()?;
        let winners: Vec<usize> = (0..RACERS).filter(|racer| created[*racer] == Created::New).collect();
        let is_expected = |there: &Bytes| match winners[..] {
            [winner] => *there == bytes_of(winner),
            _ => (0..RACERS).any(|racer| *there == bytes_of(racer)),
        };
        let there = self.read_back(&name, is_expected)?;
        Ok(match winners[..] {
            [winner] if there == bytes_of(winner) => Raced::OneWon,
            [_] => Raced::Replaced,
            // The winner's answer was lost, and its second try found its own object.
            [] if (0..RACERS).any(|racer| there == bytes_of(racer)) => Raced::OneWon,
            [] => Raced::Replaced,
            _ => Raced::SeveralWon(winners.len()),
        })
    }

    /// What stands there; read once more if it isn't as expected, as a byte may have been flipped on its way.
    fn read_back(&self, name: &str, is_expected: impl Fn(&Bytes) -> bool) -> Result<Bytes> {
        let there = self.bucket.get(name)?;
        if is_expected(&there) { Ok(there) } else { self.bucket.get(name) }
    }

    /// Removes what was written; gives how many objects stay, since this user may delete nothing.
    pub fn clean(self) -> u32 {
        let removed = (1..=self.objects).take_while(|number| self.bucket.delete(&self.name(*number)).is_ok());
        self.objects - removed.count() as u32
    }

    fn next_name(&mut self) -> String {
        self.objects += 1;
        self.name(self.objects)
    }

    fn name(&self, number: u32) -> String {
        format!("{}/{number}", self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ObjectName;
    use crate::store::backend;

    #[test]
    fn one_wins_in_memory_and_in_a_folder_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        for bucket in [backend::memory(), backend::open_folder(folder.path().to_str().unwrap()).unwrap()] {
            let mut trial = Trial::new(bucket.clone()).unwrap();
            assert_eq!(trial.write().unwrap(), Wrote { clock_ahead_ms: 0 });
            assert_eq!(trial.race(3).unwrap(), Raced::OneWon);
            let folder = trial.folder().to_owned();
            assert_eq!(bucket.list(&folder).unwrap().objects.len(), 4);
            assert_eq!(trial.clean(), 0);
            assert!(bucket.list(&folder).unwrap().objects.is_empty());
        }
    }

    #[test]
    fn its_names_are_taken_for_no_object_of_a_store() {
        let trial = Trial::new(backend::memory()).unwrap();
        assert!(trial.folder().starts_with("check-") && ObjectName::parse(trial.folder()).is_err());
        assert_eq!(trial.clean(), 0);
    }
}
