//! The newest record of a log, where it is damaged: it comes back from what this machine keeps of it, or the log goes on without it.

use crate::base::{Error, Id, Kind, Observer, Result};
use crate::format::record::Record;
use crate::history::fold::Fold;
use crate::history::newest::Seen;
use crate::history::timeline::Timeline;
use crate::store::log::{self, record_name};
use crate::store::log_end;
use crate::store::objects::Bucket;

use super::log::{missing_index, names_what_is_here};
use super::{damaged_bytes, put_aside, put_back};

/// What became of a damaged newest record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewestMended {
    /// It is there again.
    PutBack(u64),
    /// It lies below [`ASIDE`](super::ASIDE): what it said is lost, unless a copy of it is found.
    SetAside(u64),
}

/// Mends the newest record of a log, from `kept` where that is it. `None` where it can be read and follows the one before it.
///
/// Errors: [`Kind::Unreachable`] where two reads disagree; [`Kind::Damaged`] where the record before it can't be read either, or names indexes that
/// are gone: the record was a collection's or a purge's, and without it the store names what it took.
pub fn mend_newest(
    bucket: &Bucket,
    store: [u8; 16],
    kept: Option<&Seen>,
    observer: &Observer,
) -> Result<Option<NewestMended>> {
    let head = log_end::end(bucket)?.number;
    let name = record_name(head);
    if head == 0 {
        return Ok(None);
    }
    let bytes = damaged_bytes(bucket, &name)?;
    let parsed = match Record::parse(&bytes) {
        // A record of a newer dagset is none of ours to judge.
        Err(fault) if fault.kind() != Kind::Damaged => return Err(fault),
        parsed => parsed.ok().filter(|record| record.core.number == head),
    };
    let before = match head {
        1 => None,
        _ => log::read(bucket, head - 1).ok().flatten(),
    };
    let before_hash = before.as_ref().map_or(Id::ZERO, |(_, hash)| *hash);
    if parsed.is_some_and(|record| (before.is_none() && head > 1) || record.core.before == before_hash) {
        return Ok(None);
    }
    // What only came wrong stays where it is.
    if damaged_bytes(bucket, &name)? != bytes {
        let message = format!("{name} was read twice, and was not the same");
        return Err(Error::new(Kind::Unreachable, message).hint("look after the disk or the line, then try again"));
    }
    if head > 1 && before.is_none() {
        return Err(Error::damaged(format!(
            "{name} is damaged, and so is {}, or it is missing",
            record_name(head - 1)
        )));
    }
    if let Some(kept) = kept.filter(|kept| kept.number == head)
        && let Ok(record) = Record::parse(&kept.bytes)
        && record.core.before == before_hash
        && names_what_is_here(bucket, &record)?
    {
        put_back(bucket, &name, &kept.bytes)?;
        return Ok(Some(NewestMended::PutBack(head)));
    }
    let start = Timeline::at(bucket.clone(), Fold { store, ..Fold::default() }, observer.clone());
    if let Some(object) = missing_index(bucket, start.as_of(head - 1)?.indexes.values())? {
        let root = bucket.describe();
        return Err(Error::damaged(format!(
            "{name} is damaged, and without it the log names {object}, which is gone: it was the record of a collection or of a purge, and can't \
             be left out"
        ))
        .hint(format!("`dagset verify {root} --repair-from COPY` takes it from a copy of the store that has it")));
    }
    put_aside(bucket, &name)?;
    Ok(Some(NewestMended::SetAside(head)))
}

/// Puts the record that was seen back behind the log's newest, if it follows that one and the indexes that it names are there.
pub fn put_back_end(timeline: &Timeline, seen: &Seen) -> Result<bool> {
    let (bucket, fold) = (timeline.bucket(), timeline.fold());
    let record = Record::parse(&seen.bytes)?;
    let follows = seen.number == fold.number + 1 && record.core.before == fold.record;
    let fits = seen.store == fold.store && follows && names_what_is_here(bucket, &record)?;
    if fits {
        put_back(bucket, &record_name(seen.number), &seen.bytes)?;
    }
    Ok(fits)
}
