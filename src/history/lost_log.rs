//! Whether a log has lost its end, or all of it, as objects tell that are still there: the names of packs and indexes say which record their writer
//! had seen. A log that ends before that is the log of a moment before, and whoever went on with it would give its numbers away anew.

use crate::base::{Error, ObjectName, Result};
use crate::format::header::ObjectKind;
use crate::store::objects::Bucket;

/// Refuses a log without a record in a store that has had some: [`Kind::Damaged`](crate::base::Kind::Damaged). One list, of the indexes.
///
/// A store whose creation was cut off has no record either; what is written into that was written by who had seen none.
pub fn refuse_lost(bucket: &Bucket) -> Result<()> {
    let listing = bucket.list(ObjectKind::Index.folder())?;
    let seen = listing.objects.iter().filter_map(|object| born_behind(&object.name, 0)).max();
    let Some(seen) = seen else { return Ok(()) };
    let root = bucket.describe();
    Err(Error::damaged(format!(
        "the log of {root} is gone: it has no record, and an index is there whose writer had seen record {seen}"
    ))
    .hint(format!(
        "`dagset verify {root} --repair-from COPY` puts it back from a copy of the store; a new log would hide all that is there"
    )))
}

/// The record that the writer of an object had seen, by the object's name, where that is behind `newest`.
pub fn born_behind(name: &str, newest: u64) -> Option<u64> {
    let name = ObjectName::parse(name.rsplit('/').next()?).ok()?;
    Some(name.born).filter(|born| *born > newest)
}
