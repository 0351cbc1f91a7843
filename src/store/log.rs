//! The log as objects: numbered create-only records (docs/format.md §2, §10). What they mean is `history`'s matter.

use bytes::Bytes;

use crate::base::{Error, Id, Kind, Result};
use crate::format::record::Record;

use super::objects::{Bucket, Created};

/// The highest number that has a name.
pub const MAX_NUMBER: u64 = 999_999_999;

/// Where the records are.
pub const FOLDER: &str = "log";

/// The object of a record: `log/000/123/456`.
pub fn record_name(number: u64) -> String {
    format!("log/{:03}/{:03}/{:03}", number / 1_000_000, number / 1000 % 1000, number % 1000)
}

/// Pages of a list of all records that are read before it is gone through level by level.
const PAGES: u32 = 2;

/// The number of the newest record, 0 for an empty log.
pub fn head(bucket: &Bucket) -> Result<u64> {
    head_behind(bucket, 0)
}

/// The number of the newest record, that of the record `known` (0: none) at least.
///
/// One list in a folder, and for less than a thousand records behind the known one, two for less than two thousand; four to a million records,
/// five beyond. A list is a hint, so what lies behind its answer is asked for by name. A writer that died may have left folders without a
/// record: those cost a list each.
pub fn head_behind(bucket: &Bucket, known: u64) -> Result<u64> {
    let mut newest = known;
    let mut after = (known > 0).then(|| record_name(known)[FOLDER.len() + 1..].to_owned());
    for _ in 0..PAGES {
        let below = bucket.list_below(FOLDER, after.as_deref())?;
        let shown = below.names.iter().filter_map(|name| number_at(bucket, name)).max();
        newest = newest.max(shown.unwrap_or(0));
        if below.reaches_end && (shown.is_some() || below.names.is_empty()) {
            return Ok(newest);
        }
        if shown.is_none() {
            refuse_strangers(bucket, &below.names)?;
        }
        after = below.names.last().filter(|name| number_of(name).is_some()).cloned();
        if after.is_none() {
            break;
        }
    }
    // Behind record 999,999 there is another folder at the top, and only then.
    let listed = match newest_below(bucket, "log/000", 1)? {
        Some(number) if number < 999_000 => number,
        _ => newest_below(bucket, FOLDER, 2)?.unwrap_or(0),
    };
    Ok(newest.max(listed))
}

/// The number whose place a name below `log` shows to be taken. In a folder that may be by a folder of whatever, and then by no record.
fn number_at(bucket: &Bucket, name: &str) -> Option<u64> {
    let cut = name.match_indices('/').nth(2).filter(|_| !bucket.is_far()).map_or(name.len(), |(at, _)| at);
    number_of(&name[..cut])
}

/// Refuses what stands in the place of one of the log's folders, as a folder shows it.
fn refuse_strangers(bucket: &Bucket, names: &[String]) -> Result<()> {
    let is_place = |name: &&String| name.split('/').all(|part| three_digits(part).is_some());
    let mut places = names.iter().filter(is_place).filter(|_| !bucket.is_far());
    places.try_for_each(|place| bucket.list(&format!("{FOLDER}/{place}")).map(drop))
}

/// The number of a record by its name below `log`.
fn number_of(name: &str) -> Option<u64> {
    let parts: Vec<u64> = name.split('/').map(|part| Some(three_digits(part)?.1)).collect::<Option<_>>()?;
    match parts[..] {
        [millions, thousands, rest] => Some(millions * 1_000_000 + thousands * 1000 + rest),
        _ => None,
    }
}

/// The highest number of a record below `folder`, which holds folders of folders, `depth` deep, of records.
fn newest_below(bucket: &Bucket, folder: &str, depth: u32) -> Result<Option<u64>> {
    let listing = bucket.list(folder)?;
    if depth == 0 {
        return Ok(listing
            .objects
            .iter()
            .filter_map(|object| three_digits(&object.name))
            .map(|(_, value)| value)
            .max());
    }
    let mut folders: Vec<_> = listing.folders.iter().filter_map(|name| three_digits(name)).collect();
    folders.sort_unstable();
    for (name, value) in folders.into_iter().rev() {
        if let Some(number) = newest_below(bucket, &format!("{folder}/{name}"), depth - 1)? {
            return Ok(Some(value * 1000u64.pow(depth) + number));
        }
    }
    Ok(None)
}

/// The last component of a listed name, if it is three digits, and its value.
pub(super) fn three_digits(name: &str) -> Option<(&str, u64)> {
    let last = name.trim_end_matches('/').rsplit('/').next()?;
    (last.len() == 3 && last.bytes().all(|b| b.is_ascii_digit())).then_some((last, last.parse().ok()?))
}

/// A record and the hash of its object; `None` if the number isn't taken.
pub fn read(bucket: &Bucket, number: u64) -> Result<Option<(Record, Id)>> {
    bucket.read_verified(|| read_once(bucket, number))
}

fn read_once(bucket: &Bucket, number: u64) -> Result<Option<(Record, Id)>> {
    let name = record_name(number);
    let bytes = match bucket.get(&name) {
        Ok(bytes) => bytes,
        Err(fault) if fault.kind() == Kind::NotFound => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let record = Record::parse(&bytes).map_err(|fault| match fault.kind() {
        Kind::Damaged => fault.within(format!("{name} is damaged")).hint(bucket.verify_hint()),
        _ => fault.within(format!("{name} can't be read")),
    })?;
    if record.core.number != number {
        return Err(Error::damaged(format!("{name} holds record {}", record.core.number)).hint(bucket.verify_hint()));
    }
    Ok(Some((record, Id::of(&bytes))))
}

/// What became of an append.
#[derive(Debug)]
pub enum Appended {
    /// The record stands under its number.
    Ours,
    /// Another writer's record does: that one, with the hash of its object.
    Taken(Box<(Record, Id)>),
}

/// Takes the record's number for it, if no other record has it.
///
/// `bytes` are the record's. "Already exists" may be the echo of a lost answer: the record there is read, and its nonce tells.
/// Where the store didn't answer at all it is asked once more, since the record may stand there for everyone to see.
pub fn append(bucket: &Bucket, record: &Record, bytes: &[u8]) -> Result<Appended> {
    let number = record.core.number;
    if number > MAX_NUMBER {
        return Err(Error::new(Kind::Failed, "the log is full"));
    }
    let name = record_name(number);
    let create = || bucket.create(&name, Bytes::copy_from_slice(bytes));
    let again = || match bucket.is_far() {
        // It has been asked for minutes: a look is enough, for what can be read there is durable.
        true => bucket.get_once(&name).map(|_| Created::Exists),
        false => create(),
    };
    let created = match create() {
        Err(fault) if fault.kind() == Kind::Unreachable => again().map_err(|_| fault),
        outcome => outcome,
    };
    match created? {
        Created::New => Ok(Appended::Ours),
        // What stands there and is no record is damage, and nothing that goes away by itself.
        Created::Exists => match read(bucket, number)? {
            Some((present, _)) if present.core.nonce == record.core.nonce => Ok(Appended::Ours),
            Some(present) => Ok(Appended::Taken(Box::new(present))),
            None => Err(Error::new(Kind::Unreachable, format!("{name} exists and can't be read"))),
        },
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
pub(super) mod tests;
