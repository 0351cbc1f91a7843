//! Deleting: what no registered index names, of sessions that are void, can never be named again. It needs no memory of what was reclaimed,
//! so that what a killed collector left is found by the next one.

use std::collections::HashSet;

use crate::base::{ObjectName, Result, Time};
use crate::format::header::ObjectKind;
use crate::format::operation::Operation;
use crate::format::record::RecordCore;
use crate::history::timeline::Timeline;
use crate::store::content::Content;
use crate::store::lanes::side_by_side;
use crate::store::log;
use crate::store::objects::{Bucket, ObjectMeta};

/// Objects of a bucket that are deleted at once.
const AT_ONCE: usize = 16;

/// An object that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// Its name in the store.
    pub object: String,
    pub bytes: u64,
    /// The record at which its session began, where that is why nobody can need it.
    pub born: Option<u64>,
}

/// What may be deleted once all sessions that began before `void_before` are void.
///
/// `young` are the records of the grace period: indexes that were replaced in it stay for readers that are under way. States that were
/// written at `cutoff` or before go, and what trials left that was at `trials`: one may be under way.
pub fn find_garbage(
    timeline: &Timeline,
    content: &Content,
    void_before: u64,
    young: &[RecordCore],
    (cutoff, trials): (Time, Time),
) -> Result<Vec<Garbage>> {
    let bucket = timeline.bucket();
    let mut kept: HashSet<ObjectName> = timeline.fold().indexes.keys().copied().collect();
    kept.extend(content.indexes()?.iter().flat_map(|index| index.packs().map(|pack| pack.name)));
    for operation in young.iter().flat_map(|core| &core.operations) {
        if let Operation::ReplaceIndexes { removed, .. } = operation {
            kept.extend(removed);
        }
    }
    let mut garbage = Vec::new();
    for kind in [ObjectKind::Pack, ObjectKind::MetaPack, ObjectKind::Index] {
        for (name, object) in named(bucket, kind)? {
            if name.born < void_before && !kept.contains(&name) {
                garbage.push(garbage_of(kind, &object, Some(name.born)));
            }
        }
    }
    let states = last_states(timeline)?;
    let newest = states.iter().map(|state| state.born).max().unwrap_or(0);
    for (name, object) in named(bucket, ObjectKind::State)? {
        if name.born < newest && !states.contains(&name) && object.modified <= cutoff {
            garbage.push(garbage_of(ObjectKind::State, &object, None));
        }
    }
    for folder in bucket.list("")?.folders.iter().filter(|folder| folder.starts_with("check-")) {
        let old = bucket.list(folder)?.objects.into_iter().filter(|object| object.modified <= trials);
        let found = |it: ObjectMeta| Garbage { object: format!("{folder}/{}", it.name), bytes: it.bytes, born: None };
        garbage.extend(old.map(found));
    }
    Ok(garbage)
}

/// Deletes all of it; what is gone already is well.
pub fn delete(bucket: &Bucket, garbage: &[Garbage]) -> Result<()> {
    let most = if bucket.is_far() { AT_ONCE } else { 1 };
    side_by_side(garbage, most, |it| bucket.delete(&it.object)).into_iter().collect()
}

fn named(bucket: &Bucket, kind: ObjectKind) -> Result<Vec<(ObjectName, ObjectMeta)>> {
    let objects = bucket.list(kind.folder())?.objects.into_iter();
    Ok(objects.filter_map(|object| Some((ObjectName::parse(&object.name).ok()?, object))).collect())
}

fn garbage_of(kind: ObjectKind, object: &ObjectMeta, born: Option<u64>) -> Garbage {
    Garbage { object: format!("{}/{}", kind.folder(), object.name), bytes: object.bytes, born }
}

/// The state that the newest record names, and the one before it.
fn last_states(timeline: &Timeline) -> Result<Vec<ObjectName>> {
    let Some(newest) = timeline.state() else { return Ok(Vec::new()) };
    let before = log::read(timeline.bucket(), newest.number)?.and_then(|(record, _)| record.state);
    Ok([newest.pack()].into_iter().chain(before.map(|state| state.pack())).collect())
}
