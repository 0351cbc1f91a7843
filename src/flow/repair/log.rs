//! Records of the log, byte for byte from copies of the store. What a record must be is known from the one behind it, which names its hash.
//!
//! The newest has none behind it. Taken is what stood here but for some bytes; else what this machine keeps of it, or a copy has, if it joins on to
//! what is here and the indexes that it names are here too: a store that was put back, or a copy, may have gone another way since.

use bytes::Bytes;

use crate::base::{Id, Kind, Observer, Result};
use crate::format::header::ObjectKind;
use crate::format::operation::{IndexRow, Operation};
use crate::format::record::Record;
use crate::history::newest::Seen;
use crate::history::timeline::Timeline;
use crate::store::log::{self, record_name};
use crate::store::log_end;
use crate::store::objects::Bucket;

use super::{ASIDE, Mended, SourceStore, damaged_bytes, put_aside, put_back};

/// So many bytes of a record may have rotted for what is left to tell which one it was.
const FLIPPED_BYTES: usize = 8;

/// Where the records of a store's log may be found.
pub struct LogSources<'a> {
    /// The store's id: others are no copies.
    pub store: [u8; 16],
    pub stores: &'a [SourceStore],
    /// Records that stood in the log.
    pub seen: &'a [Seen],
}

struct Found {
    record: Record,
    hash: Id,
    bytes: Bytes,
}

/// Puts back the records that are damaged or missing, where a copy of the store has them.
///
/// Behind the newest that is there only what leads to a record that was seen. Errors: a newer dagset wrote the log ([`Kind::Failed`]).
pub fn mend_log(bucket: &Bucket, sources: &LogSources<'_>, dry_run: bool) -> Result<Vec<Mended>> {
    let log_end::End { number: head, strangers, .. } = log_end::end_and_all_behind(bucket)?;
    let mut mended = move_strangers(bucket, &strangers, dry_run)?;
    if head == 0
        && let Some(copied) = sources.whole(bucket, dry_run)?
    {
        mended.push(copied);
        return Ok(mended);
    }
    let mut put = |number: u64, found: &Found, how: &str| {
        let object = record_name(number);
        if !dry_run {
            put_back(bucket, &object, &found.bytes)?;
        }
        mended.push(Mended { object, how: how.to_owned() });
        Ok::<_, crate::base::Error>(())
    };
    let mut lost = sources.lost_end(bucket, head)?;
    // The hash that the record behind names.
    let mut must_be: Option<Id> = lost.last().map(|found| found.record.core.before);
    let there = log_end::numbers(bucket, 1)?;
    let mut next = head;
    while next > 0 {
        let number = next;
        let mut own = read(bucket, number)?;
        if number == head && must_be.is_none() {
            own = own.filter(|own| !is_foreign(bucket, own));
        }
        if number == head && own.as_ref().is_some_and(|own| must_be.is_some_and(|must_be| own.hash != must_be)) {
            // What was seen stood behind another record: the store has gone another way since.
            (lost, must_be) = (Vec::new(), None);
        }
        own = own.filter(|own| must_be.is_none_or(|must_be| own.hash == must_be));
        let record = match own {
            Some(own) => Some(own),
            None => {
                let found = match must_be {
                    Some(must_be) => sources.find(number, &|it| it.hash == must_be)?,
                    None if number == head => sources.newest(bucket, number)?,
                    None => None,
                };
                if let Some((found, how)) = &found {
                    put(number, found, how)?;
                }
                found.map(|(found, _)| found)
            }
        };
        if number == head && record.is_none() {
            lost.clear();
        }
        must_be = record.map(|found| found.record.core.before);
        // Which record is missing isn't known where nothing leads to it, and a number may claim that there were any number of them.
        next = match must_be {
            Some(_) => number - 1,
            None => there.iter().rfind(|there| **there < number).copied().unwrap_or(0),
        };
    }
    for found in lost.iter().rev() {
        put(found.record.core.number, found, "put back at the end of the log")?;
    }
    Ok(mended)
}

/// Moves what is no record, and stands behind the log's end, out of its way.
pub fn move_strangers(bucket: &Bucket, strangers: &[u64], dry_run: bool) -> Result<Vec<Mended>> {
    let mut moved = Vec::new();
    for object in strangers.iter().copied().map(record_name) {
        if !dry_run {
            put_aside(bucket, &object)?;
        }
        moved.push(Mended { object, how: format!("is no record, and was moved to {ASIDE}/") });
    }
    Ok(moved)
}

const FROM_COPY: &str = "put back from a copy of the store";
const FROM_HERE: &str = "put back from what is kept of it on this machine";

impl LogSources<'_> {
    /// A record that is the one that is looked for, and where it comes from.
    fn find(&self, number: u64, is_it: &dyn Fn(&Found) -> bool) -> Result<Option<(Found, &'static str)>> {
        if let Some(found) = self.kept(number).find(is_it) {
            return Ok(Some((found, FROM_HERE)));
        }
        for copy in self.copies() {
            if let Some(found) = read(&copy.bucket, number)?.filter(is_it) {
                return Ok(Some((found, FROM_COPY)));
            }
        }
        Ok(None)
    }

    /// The records of this number that were seen in this store.
    fn kept(&self, number: u64) -> impl Iterator<Item = Found> {
        let seen = self.seen.iter().filter(move |seen| seen.store == self.store && seen.number == number);
        seen.filter_map(move |seen| parse(seen.bytes.clone(), number))
    }

    fn copies(&self) -> impl Iterator<Item = &SourceStore> {
        self.stores.iter().filter(|source| source.store == self.store)
    }

    /// The records behind `head` up to the newest that was seen, newest first; none where one of them isn't found, or names what is gone too:
    /// the store was put back, and its end belongs to what it was.
    fn lost_end(&self, bucket: &Bucket, head: u64) -> Result<Vec<Found>> {
        let of_store = self.seen.iter().filter(|seen| seen.store == self.store && seen.number > head);
        let Some(last) = of_store.max_by_key(|seen| seen.number) else { return Ok(Vec::new()) };
        let (mut must_be, mut lost) = (last.hash, Vec::new());
        for number in (head + 1..=last.number).rev() {
            let Some((found, _)) = self.find(number, &|it| it.hash == must_be)? else { return Ok(Vec::new()) };
            if !names_what_is_here(bucket, &found.record)? {
                return Ok(Vec::new());
            }
            must_be = found.record.core.before;
            lost.push(found);
        }
        Ok(lost)
    }

    /// Puts a whole log back, of which nothing is here, from a copy whose log names the indexes that are here.
    fn whole(&self, bucket: &Bucket, dry_run: bool) -> Result<Option<Mended>> {
        for copy in self.copies() {
            let there = match Timeline::open(copy.bucket.clone(), self.store, Observer::new()) {
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                Err(_) => continue,
                Ok(there) => there,
            };
            let fold = there.fold();
            if fold.number == 0 || missing_index(bucket, fold.indexes.values())?.is_some() {
                continue;
            }
            let mut before = Id::ZERO;
            for number in 1..=fold.number {
                let found = read(&copy.bucket, number)?.filter(|found| found.record.core.before == before);
                let Some(found) = found else { break };
                before = found.hash;
            }
            if before != fold.record {
                continue;
            }
            // From the first on: that one is what a writer would take next.
            for number in (1..=fold.number).filter(|_| !dry_run) {
                let found = read(&copy.bucket, number)?;
                found.map_or(Ok(()), |found| put_back(bucket, &record_name(number), &found.bytes))?;
            }
            let how = format!("{} records put back from a copy of the store", fold.number);
            return Ok(Some(Mended { object: log::FOLDER.to_owned(), how }));
        }
        Ok(None)
    }

    /// What can stand in the place of the newest record, which is damaged or of another log.
    fn newest(&self, bucket: &Bucket, number: u64) -> Result<Option<(Found, &'static str)>> {
        let damaged = damaged_bytes(bucket, &record_name(number))?;
        if let Some(found) = self.find(number, &|it| is_what_stood(&damaged, &it.bytes))? {
            return Ok(Some(found));
        }
        let before = read(bucket, number - 1)?.map(|it| it.hash);
        let follows = |it: &Found| before.is_none_or(|before| it.record.core.before == before);
        for found in self.kept(number).filter(follows) {
            if names_what_is_here(bucket, &found.record)? {
                return Ok(Some((found, FROM_HERE)));
            }
        }
        for copy in self.copies() {
            if let Some(found) = read(&copy.bucket, number)?
                && joins(bucket, copy, &found)?
                && names_what_is_here(bucket, &found.record)?
            {
                let how = "put back from a copy of the store, where it follows the record that it follows here";
                return Ok(Some((found, how)));
            }
        }
        Ok(None)
    }
}

/// What stands under a record's number, where that is this record.
fn read(bucket: &Bucket, number: u64) -> Result<Option<Found>> {
    let name = record_name(number);
    let read = || match bucket.get(&name) {
        Ok(bytes) => Record::parse(&bytes).map(|_| bytes),
        Err(fault) => Err(fault),
    };
    match bucket.read_verified(read) {
        Ok(bytes) => Ok(parse(bytes, number)),
        Err(fault) if fault.kind() == Kind::Unreachable => Err(fault),
        Err(_) => Ok(None),
    }
}

fn parse(bytes: Bytes, number: u64) -> Option<Found> {
    let record = Record::parse(&bytes).ok().filter(|record| record.core.number == number)?;
    Some(Found { record, hash: Id::of(&bytes), bytes })
}

/// Whether a damaged object is this record but for a few bytes. Its nonce, 16 bytes drawn at random, no other record has.
fn is_what_stood(damaged: &[u8], record: &[u8]) -> bool {
    let differ = damaged.iter().zip(record).filter(|(a, b)| a != b).count();
    damaged.len() == record.len() && differ <= FLIPPED_BYTES
}

/// Whether the log of a copy up to a record is the log here; what is damaged here in between is taken to be what the copy has.
fn joins(bucket: &Bucket, copy: &SourceStore, found: &Found) -> Result<bool> {
    let mut must_be = found.record.core.before;
    for number in (1..found.record.core.number).rev() {
        if let Some(own) = read(bucket, number)? {
            return Ok(own.hash == must_be);
        }
        match read(&copy.bucket, number)?.filter(|it| it.hash == must_be) {
            Some(before) => must_be = before.record.core.before,
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// Whether a newest record is one of another log: it follows another record than the one before it, which itself follows its own.
fn is_foreign(bucket: &Bucket, newest: &Found) -> bool {
    let Some(number) = newest.record.core.number.checked_sub(1).filter(|number| *number > 0) else { return false };
    let Ok(Some(before)) = read(bucket, number) else { return false };
    let fits = || match number {
        1 => before.record.core.before == Id::ZERO,
        _ => matches!(read(bucket, number - 1), Ok(Some(it)) if it.hash == before.record.core.before),
    };
    before.hash != newest.record.core.before && fits()
}

/// Whether the indexes that a record registers are here: they have random names, so that another writer's are not.
pub(super) fn names_what_is_here(bucket: &Bucket, record: &Record) -> Result<bool> {
    for operation in &record.core.operations {
        let (Operation::Register { indexes: added } | Operation::ReplaceIndexes { added, .. }) = operation else {
            continue;
        };
        if missing_index(bucket, added)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The name of the first of these indexes that isn't there as its row says, if there is one.
pub(super) fn missing_index<'r>(
    bucket: &Bucket,
    rows: impl IntoIterator<Item = &'r IndexRow>,
) -> Result<Option<String>> {
    for row in rows {
        let object = ObjectKind::Index.object(&row.name);
        match bucket.size(&object) {
            Ok(Some(bytes)) if bytes == row.bytes => {}
            Err(fault) if fault.kind() != Kind::Damaged => return Err(fault),
            _ => return Ok(Some(object)),
        }
    }
    Ok(None)
}
