//! States and indexes, put back byte for byte: the log says what each must be.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::files::random_bytes;
use crate::base::{Event, Id, Kind, ObjectName, Result};
use crate::format::header::ObjectKind;
use crate::format::index::Index;
use crate::format::operation::{IndexRow, Operation};
use crate::format::record::StateRef;
use crate::history::state;
use crate::history::timeline::Timeline;
use crate::store::content::Content;
use crate::store::log;
use crate::store::objects::Bucket;

use super::super::loose_packs::Loose;
use super::super::verify::Finding;
use super::{Mended, Mender, found_of, put_aside};

impl Mender<'_> {
    /// States: folded anew from the records before them, which gives the same bytes; else those of a copy.
    pub(super) fn mend_states(&self, timeline: &Timeline, findings: &[Finding]) -> Result<Vec<Mended>> {
        let found = found_of(findings, ObjectKind::State);
        if found.is_empty() {
            return Ok(Vec::new());
        }
        self.observer.tell(Event::Phase("mending states"));
        let bucket = timeline.bucket();
        let named = named_states(bucket, timeline.fold().number)?;
        let mut mended = Vec::new();
        for name in found {
            let object = ObjectKind::State.object(&name);
            let Some(state) = named.get(&name) else {
                mended.extend(self.leave(bucket, object)?);
                continue;
            };
            let folded = timeline.as_of(state.number).and_then(|fold| state::packed(&fold, name));
            let bytes = match folded {
                Ok((bytes, made)) if made == *state => Some((Bytes::from(bytes), "made anew from the log")),
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                // Another version of the compressor, perhaps.
                _ => self.copied_state(state, &object, timeline.fold().store),
            };
            if let Some((bytes, how)) = bytes {
                self.put_back(bucket, &object, &bytes)?;
                mended.push(Mended { object, how: how.to_owned() });
            }
        }
        Ok(mended)
    }

    fn copied_state(&self, state: &StateRef, object: &str, store: [u8; 16]) -> Option<(Bytes, &'static str)> {
        let good = |bucket: &Bucket| state::read(bucket, state).ok().and_then(|_| bucket.get(object).ok());
        let bytes = self.copies(store).find_map(|copy| good(&copy.bucket))?;
        Some((bytes, "put back from a copy of the store"))
    }

    /// Indexes: from the mirror, from a copy of the store, or made anew from the footers of the packs that no other index names.
    pub(super) fn mend_indexes(&self, timeline: &mut Timeline, findings: &[Finding]) -> Result<Vec<Mended>> {
        let found = found_of(findings, ObjectKind::Index);
        if found.is_empty() {
            return Ok(Vec::new());
        }
        self.observer.tell(Event::Phase("mending indexes"));
        let bucket = timeline.bucket().clone();
        let content = (self.content_of)(timeline)?;
        let (mut mended, mut lost) = (Vec::new(), Vec::new());
        for name in found {
            let object = ObjectKind::Index.object(&name);
            match timeline.fold().indexes.get(&name) {
                None => mended.extend(self.leave(&bucket, object)?),
                Some(row) => match self.copied_index(&content, row, timeline.fold().store) {
                    Some(bytes) => {
                        self.put_back(&bucket, &object, &bytes)?;
                        mended.push(Mended { object, how: "put back from a copy".to_owned() });
                    }
                    None => lost.push(row.clone()),
                },
            }
        }
        mended.extend(self.index_anew(timeline, &content, &lost)?);
        Ok(mended)
    }

    fn copied_index(&self, content: &Content, row: &IndexRow, store: [u8; 16]) -> Option<Bytes> {
        let name = ObjectKind::Index.object(&row.name);
        let kept = content.index(row).ok().map(|index| index.bytes().clone());
        let is_it = |bytes: &Bytes| Id::of(bytes) == row.id;
        kept.or_else(|| self.copies(store).find_map(|copy| copy.bucket.get(&name).ok().filter(is_it)))
    }

    fn index_anew(&self, timeline: &mut Timeline, content: &Content, lost: &[IndexRow]) -> Result<Vec<Mended>> {
        if lost.is_empty() {
            return Ok(Vec::new());
        }
        let bucket = timeline.bucket().clone();
        let healthy: Vec<Index> = timeline.fold().indexes.values().filter_map(|row| content.index(row).ok()).collect();
        // What a purge took out, and couldn't delete yet, stays out.
        let loose = Loose::find(&bucket, &healthy)?.without_purged(&bucket, &healthy, &timeline.fold().expelled)?;
        let (mut mended, mut left) = (Vec::new(), Vec::new());
        for row in lost {
            let object = ObjectKind::Index.object(&row.name);
            match loose.index_of(row)? {
                Some(bytes) => {
                    self.put_back(&bucket, &object, &bytes)?;
                    mended.push(Mended { object, how: "made anew from the footers of its packs".to_owned() });
                }
                None => left.push(row),
            }
        }
        if left.is_empty() {
            return Ok(mended);
        }
        // Which packs were in which can't be told: one index for all that can be read in full takes their place.
        let removed: Vec<ObjectName> = left.iter().map(|row| row.name).collect();
        let name = ObjectName { born: timeline.fold().number, random: random_bytes()? };
        let made = loose.readable(&healthy).index(name)?;
        let how = match &made {
            Some((_, row)) => format!("{} that no index names were indexed anew", packs(row.packs)),
            None => "no pack of it is there; it was taken out of the log".to_owned(),
        };
        mended.extend(removed.iter().map(|name| Mended { object: ObjectKind::Index.object(name), how: how.clone() }));
        if self.dry_run {
            return Ok(mended);
        }
        let added: Vec<IndexRow> = made.iter().map(|(_, row)| row.clone()).collect();
        if let Some((bytes, row)) = made {
            bucket.ensure(&ObjectKind::Index.object(&row.name), bytes.into(), None)?;
        }
        timeline.append(&self.actor, |fold, _| {
            let are_there = removed.iter().all(|name| fold.indexes.contains_key(name));
            let step = Operation::ReplaceIndexes { removed: removed.clone(), added: added.clone() };
            Ok(if are_there { vec![step] } else { Vec::new() })
        })?;
        for name in &removed {
            put_aside(&bucket, &ObjectKind::Index.object(name))?;
        }
        Ok(mended)
    }

    /// What nobody names any more has only to leave its place.
    pub(super) fn leave(&self, bucket: &Bucket, object: String) -> Result<Option<Mended>> {
        if !bucket.is_taken(&object)? {
            return Ok(None);
        }
        if !self.dry_run {
            put_aside(bucket, &object)?;
        }
        Ok(Some(Mended { object, how: format!("nothing names it; it was moved to {}/", super::ASIDE) }))
    }
}

/// The states that records name.
fn named_states(bucket: &Bucket, newest: u64) -> Result<BTreeMap<ObjectName, StateRef>> {
    let mut named = BTreeMap::new();
    let mut number = newest;
    while number > 0 {
        let record = match log::read(bucket, number) {
            Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
            read => read.ok().flatten(),
        };
        let Some((record, _)) = record else {
            number -= 1;
            continue;
        };
        // A state is named by the records behind it, until the next one is.
        number = record.state.as_ref().map_or(0, |state| state.number.min(number - 1));
        named.extend(record.state.map(|state| (state.pack(), state)));
    }
    Ok(named)
}

fn packs(count: u64) -> String {
    format!("{count} pack{}", if count == 1 { "" } else { "s" })
}
