//! The newest record of a log, where it is damaged: it comes back from what this machine keeps of it, or the log goes on without it.

use crate::base::{Error, Kind, Result};
use crate::format::record::Record;
use crate::history::newest::Seen;
use crate::store::log::{self, record_name};
use crate::store::objects::Bucket;

use super::{put_aside, put_back};

/// What became of a damaged newest record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewestMended {
    /// It is there again.
    PutBack(u64),
    /// It lies below [`ASIDE`](super::ASIDE): what it said is lost, unless a copy of it is found.
    SetAside(u64),
}

/// Mends the newest record of a log, from `kept` where that is it. `None` where it can be read.
///
/// Errors: [`Kind::Unreachable`] where two reads disagree; [`Kind::Damaged`] where the record before it can't be read either, so that nothing
/// would be won.
pub fn mend_newest(bucket: &Bucket, kept: Option<&Seen>) -> Result<Option<NewestMended>> {
    let head = log::head(bucket)?;
    let name = record_name(head);
    if head == 0 {
        return Ok(None);
    }
    let bytes = bucket.get(&name)?;
    match Record::parse(&bytes) {
        Ok(record) if record.core.number == head => return Ok(None),
        // A record of a newer dagset is none of ours to judge.
        Err(fault) if fault.kind() != Kind::Damaged => return Err(fault),
        _ => {}
    }
    // What only came wrong stays where it is.
    if bucket.get(&name)? != bytes {
        let message = format!("{name} was read twice, and was not the same");
        return Err(Error::new(Kind::Unreachable, message).hint("look after the disk or the line, then try again"));
    }
    let before =
        match head {
            1 => None,
            _ => Some(log::read(bucket, head - 1)?.map(|(_, hash)| hash).ok_or_else(|| {
                Error::damaged(format!("{name} is damaged, and {} is missing", record_name(head - 1)))
            })?),
        };
    if let Some(kept) = kept.filter(|kept| kept.number == head)
        && kept.before()? == before
    {
        put_back(bucket, &name, &kept.bytes)?;
        return Ok(Some(NewestMended::PutBack(head)));
    }
    put_aside(bucket, &name)?;
    Ok(Some(NewestMended::SetAside(head)))
}
