//! The log: records without a gap, each naming the one before, and the states that they name.

use rayon::prelude::*;

use crate::base::{Error, Id, Kind, Result};
use crate::format::header::ObjectKind;
use crate::format::record::{Record, StateRef};
use crate::history::fold::Fold;
use crate::history::state;
use crate::store::{log, log_end};

use super::{Check, Finding};

/// Records that are read before they are looked at in order.
const RECORDS: usize = 64;
/// Collection keeps so many of the states that the log names.
const KEPT_STATES: usize = 2;

impl Check<'_> {
    /// The records from `from` up to the one that the fold ends with; where there is no fold, up to where the log seems to end. Then what stands
    /// behind that, and is no record.
    ///
    /// In memory and time by what is there: a number may claim that any number of records were before it.
    pub(super) fn chain(&self, fold: &Fold, from: u64) -> Result<()> {
        let end = match log_end::end_and_all_behind(self.bucket) {
            // One of its folders is none: that is found beforehand.
            Err(fault) if fault.kind() == Kind::Damaged => return Ok(()),
            end => end?,
        };
        let newest = if fold.number == 0 { end.number } else { fold.number };
        let mut there = log_end::numbers(self.bucket, from)?;
        there.retain(|number| *number <= newest);
        let mut before = if from == 1 { Id::ZERO } else { Id::MAX };
        let mut next = from;
        let numbers = asked_for(&there, from, newest);
        let read = |number: &u64| (*number, self.record(*number));
        let records = numbers.chunks(RECORDS).flat_map(|some| some.par_iter().map(read).collect::<Vec<_>>());
        for (number, record) in records {
            let record = match record {
                Ok(None) => continue,
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                record => record,
            };
            if next < number {
                self.find_gap(next, number);
                before = Id::MAX;
            }
            next = number + 1;
            let name = log::record_name(number);
            match record {
                Ok(Some((record, hash))) => {
                    if record.core.before != before && before != Id::MAX {
                        self.find(Finding::damaged(&name, "doesn't name the record before it"));
                    }
                    before = hash;
                    self.name_state(record.state);
                }
                Ok(None) => {}
                Err(fault) => {
                    before = Id::MAX;
                    self.find(Finding::damaged(&name, fault.in_one_line()));
                }
            }
        }
        if next <= newest {
            self.find_gap(next, newest + 1);
        }
        self.behind_the_end(&end.strangers)
    }

    /// Records that are missing, `end` not among them.
    fn find_gap(&self, first: u64, end: u64) {
        let name = log::record_name(first);
        self.find(match end - first {
            1 => Finding::missing(&name, "the log has a gap"),
            records => {
                let last = log::record_name(end - 1);
                Finding::missing(&name, format!("the log has a gap of {records} records, up to {last}"))
            }
        });
    }

    /// What is behind the end and no record. Others may have gone on meanwhile.
    fn behind_the_end(&self, numbers: &[u64]) -> Result<()> {
        for number in numbers {
            match self.record(*number) {
                Err(fault) if fault.kind() == Kind::Damaged => {
                    let why = format!("is behind the end of the log, and no record: {}", fault.in_one_line());
                    self.find(Finding::damaged(&log::record_name(*number), why));
                }
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                _ => {}
            }
        }
        Ok(())
    }

    /// A record that is whole and stands under its own number, and the hash of its object.
    fn record(&self, number: u64) -> Result<Option<(Record, Id)>> {
        let name = log::record_name(number);
        let read = || match self.bucket.get(&name) {
            Ok(bytes) => {
                let record = Record::parse(&bytes)?;
                self.count(bytes.len() as u64);
                match record.core.number == number {
                    true => Ok(Some((record, Id::of(&bytes)))),
                    false => Err(Error::damaged(format!("holds record {}", record.core.number))),
                }
            }
            Err(fault) if fault.kind() == Kind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        };
        self.bucket.read_verified(read)
    }

    fn name_state(&self, state: Option<StateRef>) {
        let mut states = self.states.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let last = states.last().map(StateRef::pack);
        states.extend(state.filter(|it| last.is_none_or(|last| last != it.pack())));
    }

    /// The states that records name: the last of them must be there, and what is there must be what was named.
    pub(super) fn named_states(&self) -> Result<()> {
        let states = self.states.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let kept = states.len().saturating_sub(KEPT_STATES);
        states.iter().enumerate().try_for_each(|(number, state)| self.state(state, number >= kept))
    }

    fn state(&self, state: &StateRef, is_kept: bool) -> Result<()> {
        let name = ObjectKind::State.object(&state.pack());
        match (state::read(self.bucket, state), self.bucket.is_taken(&name)?) {
            (Err(fault), _) if fault.kind() == Kind::Unreachable => return Err(fault),
            (_, false) if !is_kept => {}
            (_, false) => self.find(Finding::missing(&name, "the log names it")),
            (Err(fault), _) if !self.is_found(&name) => self.find(Finding::damaged(&name, fault.in_one_line())),
            _ => {}
        }
        Ok(())
    }
}

/// The records that are read: those that lists show, and, since a list may lag behind, the first ones of each gap.
fn asked_for(there: &[u64], from: u64, newest: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut next = from;
    for number in there.iter().copied().chain([newest + 1]) {
        numbers.extend(next..number.min(next + RECORDS as u64));
        numbers.extend(Some(number).filter(|number| *number <= newest));
        next = number + 1;
    }
    numbers
}
