//! Records of the log, byte for byte from copies of the store. What a record must be is known from the one behind it, which names its hash.

use crate::base::{Id, Kind, Observer, Result};
use crate::format::record::Record;
use crate::store::log;
use crate::store::objects::Bucket;

use super::{Mended, SourceStore, put_back};

/// So many bytes of a record may have rotted for what is left to tell which one it was.
const FLIPPED_BYTES: usize = 8;

/// Puts back the records that are damaged or missing, where a copy of the store has them.
///
/// The newest has none behind it, and a copy may have gone another way since: a copy's is taken only where all but some bytes of it stand here.
/// Errors: a newer dagset wrote the log ([`Kind::Failed`]).
pub fn mend_log(
    bucket: &Bucket,
    store: [u8; 16],
    sources: &[SourceStore],
    observer: &Observer,
    dry_run: bool,
) -> Result<Vec<Mended>> {
    observer.tell(crate::base::Event::Phase("mending the log"));
    let head = log::head(bucket)?;
    let mut mended = Vec::new();
    // The hash that the record behind names.
    let mut must_be: Option<Id> = None;
    for number in (1..=head).rev() {
        let name = log::record_name(number);
        let own = read(bucket, &name)?.filter(|(_, hash, _)| must_be.is_none_or(|must_be| *hash == must_be));
        let record = match own.filter(|(record, _, _)| record.core.number == number) {
            Some((record, _, _)) => Some(record),
            None => {
                let is_it = |(record, hash, bytes): &Found| match must_be {
                    Some(must_be) => *hash == must_be,
                    None => record.core.number == number && is_what_stood(bucket, &name, bytes),
                };
                let copies = sources.iter().filter(|source| source.store == store);
                let found = copies.map(|source| read(&source.bucket, &name)).collect::<Result<Vec<_>>>()?;
                let found = found.into_iter().flatten().find(is_it);
                if let Some((_, _, bytes)) = &found {
                    if !dry_run {
                        put_back(bucket, &name, bytes)?;
                    }
                    mended.push(Mended { object: name, how: "put back from a copy of the store".to_owned() });
                }
                found.map(|(record, _, _)| record)
            }
        };
        must_be = record.map(|record| record.core.before);
    }
    Ok(mended)
}

type Found = (Record, Id, bytes::Bytes);

/// What stands under a record's name, where that is a record.
fn read(bucket: &Bucket, name: &str) -> Result<Option<Found>> {
    let read = || {
        let bytes = bucket.get(name)?;
        Ok((Record::parse(&bytes)?, Id::of(&bytes), bytes))
    };
    match bucket.read_verified(read) {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.kind() == Kind::Unreachable => Err(fault),
        Err(_) => Ok(None),
    }
}

/// Whether a damaged object is this record but for a few bytes. Its nonce, 16 bytes drawn at random, no other record has.
fn is_what_stood(bucket: &Bucket, name: &str, record: &[u8]) -> bool {
    let Ok(damaged) = bucket.get(name) else { return false };
    let differ = damaged.iter().zip(record).filter(|(a, b)| a != b).count();
    damaged.len() == record.len() && differ <= FLIPPED_BYTES
}
