//! Where a log ends: with its newest record, whatever else stands behind that.
//!
//! Records have no gaps, so that a place behind one where nothing is can't be a record's unless records were lost. A record that stands there shows
//! that they were, and the log ends with it. Whatever is no record of that number is a stranger: whoever may write can put one anywhere, and it
//! must not take the store from everybody. What stands right behind the newest record is none: it would be taken for a shorter log, and its number
//! is the next writer's.

use crate::base::{Id, Kind, Result};
use crate::format::record::Record;

use super::log::{FOLDER, head_behind, read, record_name, three_digits};
use super::objects::Bucket;

/// The end of a log.
#[derive(Debug)]
pub struct End {
    /// The newest record's, 0 for an empty log. It is damaged where [`End::newest`] isn't given.
    pub number: u64,
    pub newest: Option<(Record, Id)>,
    /// Numbers behind a gap whose places hold no record, lowest first.
    pub strangers: Vec<u64>,
}

/// Where the log ends.
pub fn end(bucket: &Bucket) -> Result<End> {
    end_behind(bucket, 0)
}

/// Likewise, with the record `known` (0: none) at least; that one isn't read.
///
/// Reads the newest name that lists show. Only where that is no record the log is listed level by level, and names are read down to one that is.
pub fn end_behind(bucket: &Bucket, known: u64) -> Result<End> {
    let shown = head_behind(bucket, known)?;
    if shown <= known {
        return Ok(End { number: known, newest: None, strangers: Vec::new() });
    }
    if let Some(newest) = whole(bucket, shown)? {
        return Ok(End { number: shown, newest, strangers: Vec::new() });
    }
    let mut there = numbers(bucket, known + 1)?;
    if there.last().is_none_or(|last| *last < shown) {
        there.push(shown);
    }
    let mut end = End { number: known, newest: None, strangers: Vec::new() };
    while let Some(number) = there.pop() {
        match if number == shown { None } else { whole(bucket, number)? } {
            Some(newest) => {
                (end.number, end.newest) = (number, newest);
                break;
            }
            None => end.strangers.insert(0, number),
        }
    }
    // What seems to be the newest may have something behind it that lists don't show.
    let is_next = |end: &End| end.strangers.first() == Some(&(end.number + 1));
    if !is_next(&end) && bucket.is_taken(&record_name(end.number + 1))? {
        end.strangers.insert(0, end.number + 1);
    }
    while is_next(&end) {
        (end.number, end.newest) = (end.strangers.remove(0), None);
    }
    Ok(end)
}

/// Likewise, with all strangers: those too that nobody meets yet, as an empty folder. Lists the log level by level.
pub fn end_and_all_behind(bucket: &Bucket) -> Result<End> {
    let mut end = end(bucket)?;
    for number in numbers(bucket, end.number + 1)? {
        if !end.strangers.contains(&number) && whole(bucket, number)?.is_none() {
            end.strangers.push(number);
        }
    }
    end.strangers.sort_unstable();
    Ok(end)
}

/// What stands under a number, if it is a record of that number: `Some(None)` is one that needs a newer dagset.
fn whole(bucket: &Bucket, number: u64) -> Result<Option<Option<(Record, Id)>>> {
    match read(bucket, number) {
        Ok(found) => Ok(found.map(Some)),
        Err(fault) => match fault.kind() {
            Kind::Damaged => Ok(None),
            Kind::Failed => Ok(Some(None)),
            _ => Err(fault),
        },
    }
}

/// The numbers from `from` on whose places lists show to be taken, lowest first; by level, so that the time is by what is there.
///
/// What stands in the place of a folder has no numbers: [`in_place_of_folders`](super::strangers::in_place_of_folders) finds it.
pub fn numbers(bucket: &Bucket, from: u64) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    numbers_below(bucket, FOLDER, 3, 0, from, &mut found)?;
    Ok(found)
}

/// The numbers below a folder that has 1000 to the power of `depth`, beginning with `first`.
fn numbers_below(bucket: &Bucket, folder: &str, depth: u32, first: u64, from: u64, found: &mut Vec<u64>) -> Result<()> {
    let listing = match bucket.list(folder) {
        Err(fault) if fault.kind() == Kind::Damaged => return Ok(()),
        listing => listing?,
    };
    let each = 1000u64.pow(depth - 1);
    // In a folder store a folder may stand in a record's place.
    let is_place = depth == 1;
    let folders = listing.folders.iter().filter(|_| !is_place || !bucket.is_far());
    let objects = listing.objects.iter().map(|object| &object.name).filter(|_| is_place);
    let mut parts: Vec<_> = folders.chain(objects).filter_map(|name| three_digits(name)).collect();
    parts.sort_unstable();
    parts.dedup();
    for (name, part) in parts {
        let number = first + part * each;
        if number + each <= from || number == 0 && is_place {
            continue;
        }
        match is_place {
            true => found.push(number),
            false => numbers_below(bucket, &format!("{folder}/{name}"), depth - 1, number, from, found)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::backend::memory;
    use super::super::log::tests::record;
    use super::*;

    /// The end of a log with whole records of some numbers, and other objects under others.
    fn end_of(records: &[u64], others: &[u64]) -> (u64, bool, Vec<u64>) {
        let bucket = memory();
        records
            .iter()
            .for_each(|number| drop(bucket.create(&record_name(*number), record(*number, 1).encode().into())));
        others.iter().for_each(|number| drop(bucket.create(&record_name(*number), Bytes::from_static(b"mine"))));
        let end = end(&bucket).expect("an end");
        (end.number, end.newest.is_some(), end.strangers)
    }

    #[test]
    fn what_is_no_record_and_stands_behind_a_gap_is_not_of_the_log() {
        assert_eq!(end_of(&[], &[]), (0, false, vec![]));
        assert_eq!(end_of(&[1, 2], &[4, 5, 1_000, 999_999_999]), (2, true, vec![4, 5, 1_000, 999_999_999]));
        assert_eq!(end_of(&[], &[7]), (0, false, vec![7]));
    }

    #[test]
    fn what_stands_right_behind_the_newest_record_is_of_the_log() {
        assert_eq!(end_of(&[1, 2], &[3]), (3, false, vec![]));
        assert_eq!(end_of(&[1, 2], &[3, 4, 6]), (4, false, vec![6]));
        assert_eq!(end_of(&[], &[1]), (1, false, vec![]));
    }

    #[test]
    fn a_record_behind_a_gap_shows_that_records_were_lost() {
        assert_eq!(end_of(&[1, 2, 7], &[9]), (7, true, vec![9]));
        assert_eq!(end_of(&[1, 2, 7], &[6, 8]), (8, false, vec![]));
    }

    #[test]
    fn the_numbers_that_are_there_are_listed_by_what_is_there() {
        let bucket = memory();
        let there = [1, 2, 999, 1_000, 123_456_789, 999_999_999];
        there.iter().for_each(|number| drop(bucket.create(&record_name(*number), Bytes::new())));
        bucket.create("log/000/000/note", Bytes::new()).expect("created");
        assert_eq!(numbers(&bucket, 1).expect("listed"), there);
        assert_eq!(numbers(&bucket, 1_000).expect("listed"), there[3..]);
    }
}
