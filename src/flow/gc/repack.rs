//! Packs of which little is needed are written anew, with what is.
//!
//! One record, directly behind the fold that was marked, registers the new packs and condemns the old ones: from then on they are like all that
//! is condemned. Until they are reclaimed whoever knows them reads them, and whoever relied on something in them rescues them.

use std::collections::{HashMap, HashSet};

use crate::base::files::random_bytes;
use crate::base::{Error, Event, Id, Kind, ObjectName, Result};
use crate::flow::rewrite_pack::{Rewritten, Stays, rewrite_pack};
use crate::format::header::ObjectKind;
use crate::format::index::{Index, IndexBuilder, IndexPack};
use crate::format::operation::{IndexRow, Operation, Things};
use crate::format::pack::{PackFrame, PackItem};
use crate::format::place::Place;
use crate::history::timeline::Timeline;
use crate::store::content::Content;
use crate::store::lanes::side_by_side;

use super::mark::{Live, Marker};
use super::{Collector, Gone, PATIENCE, Survey, too_busy};

/// A pack is written anew if less than so much of its stored bytes is needed, in percent: at most a third more than is needed stays.
pub const NEEDED: u64 = 75;
/// Packs that are read and written at once, 32 MiB each.
const AT_ONCE: usize = 4;
/// Packs that one record puts in the place of others: a busy log moves while many are written.
const PACKS_A_RECORD: usize = 64;

/// What became of packs of which too little is needed.
#[derive(Debug, Default)]
pub struct Repacked {
    /// Those that were written anew, as they were.
    pub gone: Gone,
    /// Those that stay, since something that is needed of them is damaged, and what of it.
    pub damaged: Vec<(String, Error)>,
}

/// Packs that come in the place of others.
struct Replaced {
    /// Their index; `None` where there are none.
    row: Option<IndexRow>,
    new: Vec<Rewritten>,
    /// The others.
    old: Vec<IndexPack>,
    /// Those that can't be read.
    damaged: Vec<(IndexPack, Error)>,
}

impl Stays for Live {
    fn item(&self, pack: &ObjectName, frame: &PackFrame, item: &PackItem) -> bool {
        self.needs_spot(pack, frame.offset, item.at)
    }

    /// A plain copy of it is kept, wherever that lies.
    fn base(&self, _: &Id) -> bool {
        true
    }
}

impl Collector<'_> {
    /// Writes packs anew of which too little is needed. Nothing may be left to condemn or to rescue. A pack that is damaged where it is needed
    /// stays as it is, and hinders no other.
    pub fn repack(&self, timeline: &mut Timeline, marker: &mut Marker) -> Result<Repacked> {
        let mut done = Repacked::default();
        let mut unreadable: HashSet<ObjectName> = HashSet::new();
        let mut lost = 0;
        while lost < PATIENCE {
            let mark = timeline.fold().number;
            let fits = match self.survey(timeline, marker) {
                Err(fault) if !self.moved(timeline, mark)? => return Err(fault),
                Err(_) => None,
                Ok(survey) => Some(survey),
            };
            let Some(Survey { live: Some(live), alive, dead, let_go, .. }) = fits else {
                lost += 1;
                continue;
            };
            let content = (self.content_of)(timeline)?;
            let mut sparse = self.sparse(timeline, &content, &live)?;
            sparse.retain(|pack| !unreadable.contains(&pack.name));
            // What died meanwhile isn't condemned yet, and whoever names it would rescue nothing.
            let is_settled = dead.versions.is_empty() && let_go.is_empty();
            if alive != Things::default() || !(is_settled || self.dry_run) || sparse.is_empty() {
                return Ok(done);
            }
            if self.dry_run {
                add(&mut done.gone, &sparse);
                return Ok(done);
            }
            sparse.truncate(PACKS_A_RECORD);
            self.observer.tell(Event::Phase("rewriting"));
            let replaced = self.replace(timeline, &content, &live, &sparse);
            let is_hindered = replaced.as_ref().map_or(true, |replaced| !replaced.damaged.is_empty());
            let replaced = match replaced {
                // Somebody else collected what was to be read.
                _ if is_hindered && self.moved(timeline, mark)? => None,
                replaced => Some(replaced?),
            };
            let Some(Replaced { row, new, old, damaged }) = replaced else {
                lost += 1;
                continue;
            };
            unreadable.extend(damaged.iter().map(|(pack, _)| pack.name));
            let named = |(pack, fault): (IndexPack, Error)| (pack.kind.object(&pack.name), fault);
            done.damaged.extend(damaged.into_iter().map(named));
            let Some(row) = row else { continue };
            let packs: Vec<ObjectName> = old.iter().map(|pack| pack.name).collect();
            let things = Things { versions: Vec::new(), packs: packs.clone() };
            let operations = [Operation::Register { indexes: vec![row] }, Operation::Condemn { mark, things }];
            let wrote = timeline.append(&self.actor, |fold, _| {
                Ok(if fold.number == mark { operations.to_vec() } else { Vec::new() })
            })?;
            match wrote {
                true => {
                    marker.moved(&packs, new.iter().map(|pack| (pack.name, &pack.footer)));
                    add(&mut done.gone, &old);
                }
                false => {
                    lost += 1;
                    timeline.refresh()?;
                }
            }
        }
        Err(too_busy(timeline))
    }

    /// The packs that stay, of sessions before the grace period, of which too little is needed; in the order of their names.
    pub(super) fn sparse(&self, timeline: &Timeline, content: &Content, live: &Live) -> Result<Vec<IndexPack>> {
        let mut needed: HashMap<ObjectName, u64> = HashMap::new();
        let mut stored: HashMap<ObjectName, u64> = HashMap::new();
        let mut weigh = |place: Place| {
            let share = u64::from(place.len + place.hint_len) * u64::from(place.frame.stored_bytes)
                / u64::from(place.frame.raw_bytes).max(1);
            *stored.entry(place.frame.pack).or_default() += share;
            if live.needs_spot(&place.frame.pack, place.frame.offset, place.at) {
                *needed.entry(place.frame.pack).or_default() += share;
            }
        };
        for index in content.indexes()? {
            index.chunks().for_each(|(_, place)| weigh(place));
            index.metas().for_each(|(_, _, place)| weigh(place));
        }
        let condemned = &timeline.fold().condemned.packs;
        let is_sparse = |pack: &IndexPack| {
            let of = |sums: &HashMap<ObjectName, u64>| sums.get(&pack.name).copied().unwrap_or(0);
            let may_go = pack.name.born < self.old && live.has(&pack.name) && !condemned.contains_key(&pack.name);
            may_go && of(&needed) * 100 < of(&stored) * self.needed
        };
        let mut sparse: Vec<IndexPack> = content.indexes()?.iter().flat_map(Index::packs).filter(is_sparse).collect();
        sparse.sort_unstable_by_key(|pack| pack.name);
        sparse.dedup_by_key(|pack| pack.name);
        Ok(sparse)
    }

    /// Writes what is needed of packs as new ones, and an index of these.
    fn replace(&self, timeline: &Timeline, content: &Content, live: &Live, packs: &[IndexPack]) -> Result<Replaced> {
        let born = timeline.fold().number;
        let bucket = timeline.bucket();
        let rewritten = side_by_side(packs, AT_ONCE, |pack| rewrite_pack((bucket, content), pack, live, born, true));
        let mut builder = IndexBuilder::new();
        let mut row = IndexRow::of_nothing(ObjectName { born, random: random_bytes()? });
        let mut replaced = Replaced { row: None, new: Vec::new(), old: Vec::new(), damaged: Vec::new() };
        for (pack, outcome) in packs.iter().zip(rewritten) {
            match outcome {
                Err(fault) if matches!(fault.kind(), Kind::Damaged | Kind::NotFound) => {
                    replaced.damaged.push((*pack, fault));
                }
                outcome => {
                    replaced.new.extend(outcome?);
                    replaced.old.push(*pack);
                }
            }
        }
        if replaced.old.is_empty() {
            return Ok(replaced);
        }
        for pack in &replaced.new {
            row.count(pack.kind, pack.bytes);
            builder.add_pack(pack.name, pack.kind, pack.bytes, &pack.footer)?;
        }
        let bytes = builder.finish()?;
        (row.bytes, row.id) = (bytes.len() as u64, Id::of(&bytes));
        content.keep_index(&row, &bytes);
        bucket.ensure(&ObjectKind::Index.object(&row.name), bytes.into(), None)?;
        Ok(Replaced { row: Some(row), ..replaced })
    }
}

fn add(gone: &mut Gone, packs: &[IndexPack]) {
    gone.packs += packs.len() as u64;
    gone.bytes += packs.iter().map(|pack| pack.bytes).sum::<u64>();
}
