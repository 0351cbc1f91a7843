//! The records of a log, newest first. A record repeats those before it, so that one request brings up to 32.

use std::collections::VecDeque;

use crate::base::{Error, Result};
use crate::format::record::RecordCore;
use crate::store::log;
use crate::store::objects::Bucket;

use super::timeline::Timeline;

/// Walks back from a record. What a record repeats is taken from it as it says: it stands under that record's hash, not under its own.
pub struct Backwards {
    bucket: Bucket,
    /// The next ones, oldest first.
    held: VecDeque<RecordCore>,
    /// The number that comes next; 0 at the end.
    next: u64,
}

impl Backwards {
    /// From the newest record below `before`, if that is given, else from the newest that the timeline knows. What the timeline has read
    /// isn't read again.
    pub fn new(timeline: &Timeline, before: Option<u64>) -> Backwards {
        let next = before.map_or(u64::MAX, |before| before.saturating_sub(1)).min(timeline.fold().number);
        let held = timeline.newest_records().iter().filter(|core| core.number <= next).cloned().collect();
        Backwards { bucket: timeline.bucket().clone(), held, next }
    }

    fn step(&mut self) -> Result<Option<RecordCore>> {
        if self.next == 0 {
            return Ok(None);
        }
        if self.held.is_empty() {
            let name = log::record_name(self.next);
            let (record, _) = log::read(&self.bucket, self.next)?
                .ok_or_else(|| Error::damaged(format!("{name} is missing")).hint(self.bucket.verify_hint()))?;
            self.held.extend(record.earlier);
            self.held.push_back(record.core);
        }
        let core = self.held.pop_back();
        self.next -= 1;
        Ok(core)
    }
}

impl Iterator for Backwards {
    type Item = Result<RecordCore>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.next = 0;
        }
        step.transpose()
    }
}

/// A record by its number; the timeline's own, where it has it.
///
/// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) where the log isn't that long.
pub fn record(timeline: &Timeline, number: u64) -> Result<RecordCore> {
    let newest = timeline.fold().number;
    if number == 0 || number > newest {
        return Err(Error::not_found(format!("the log has no record {number}: the newest is {newest}"))
            .hint("`dagset oplog` shows the records"));
    }
    if let Some(core) = timeline.newest_records().iter().find(|core| core.number == number) {
        return Ok(core.clone());
    }
    let found = log::read(timeline.bucket(), number)?;
    found.map(|(record, _)| record.core).ok_or_else(|| {
        Error::damaged(format!("{} is missing", log::record_name(number))).hint(timeline.bucket().verify_hint())
    })
}
