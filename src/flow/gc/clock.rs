//! The store's own clock: what is older than the grace period by the times that the store gives its objects, whatever this machine thinks.

use std::time::Duration;

use crate::base::files::random_bytes;
use crate::base::id::hex_fmt;
use crate::base::{Error, Result, Time};
use crate::store::log;
use crate::store::objects::Bucket;

/// What time it is for the store: an object is written, listed and removed, in a folder of trials that nobody reads.
pub fn store_time(bucket: &Bucket) -> Result<Time> {
    let mut folder = "check-".to_owned();
    hex_fmt(&random_bytes()?, &mut folder).map_err(|fault| Error::damaged("a name has no room").because(fault))?;
    let name = format!("{folder}/clock");
    bucket.create(&name, bytes::Bytes::from_static(b"what time is it?"))?;
    let listed = bucket.list(&folder);
    bucket.delete(&name)?;
    let written = listed?.objects.into_iter().find(|object| object.name == "clock");
    written.map(|object| object.modified).ok_or_else(|| {
        Error::new(crate::base::Kind::Failed, format!("{} doesn't list what was just written to it", bucket.describe()))
            .hint("run the command again")
    })
}

/// The newest record that was written at `before` or earlier, as all below it were; 0 if none was. A list for each thousand records from `head`
/// down. A list may lag: a record that it doesn't show counts as young.
pub fn newest_record_before(bucket: &Bucket, head: u64, before: Time) -> Result<u64> {
    let mut thousand = head / 1000;
    loop {
        let name = log::record_name(thousand * 1000);
        let folder = name.rsplit_once('/').map_or(name.as_str(), |(folder, _)| folder);
        let mut newest = None;
        for object in bucket.list(folder)?.objects {
            let Ok(number) = object.name.parse::<u64>() else { continue };
            if object.modified > before {
                break;
            }
            newest = Some(thousand * 1000 + number);
        }
        match newest {
            Some(newest) => return Ok(newest.min(head)),
            None if thousand == 0 => return Ok(0),
            None => thousand -= 1,
        }
    }
}

/// When a record was written, by the store's clock; a list of its thousand.
///
/// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) where the list doesn't show it.
pub fn time_of_record(bucket: &Bucket, number: u64) -> Result<Time> {
    let name = log::record_name(number);
    let (folder, last) = name.rsplit_once('/').unwrap_or(("", &name));
    let listed = bucket.list(folder)?.objects.into_iter().find(|object| object.name == last);
    listed.map(|object| object.modified).ok_or_else(|| Error::not_found(format!("{name} isn't listed")))
}

/// The point in time that is `grace` before `now`.
pub fn before(now: Time, grace: Duration) -> Time {
    Time(now.0.saturating_sub(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)))
}
