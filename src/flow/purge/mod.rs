//! Purging: content goes from a store, and stays out (docs/design.md, "Purge").
//!
//! What holds some of it is written anew without it first. One record, directly behind the fold by which that was planned, puts the new indexes
//! in the place of the old ones, sets the tombstones and voids every session that began before: nobody can then name what the old packs
//! were, so they are deleted at once. Cut off before the record, nothing happened; behind it, the same command deletes what is left.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::base::files::random_bytes;
use crate::base::{Error, Event, Id, Kind, ObjectName, Observer, Result, Time};
use crate::format::header::ObjectKind;
use crate::format::index::{IndexBuilder, IndexPack};
use crate::format::operation::{IndexRow, Operation};
use crate::format::tombstone::Purged;
use crate::history::fold::Fold;
use crate::history::timeline::{Actor, Timeline};
use crate::store::content::Content;

use super::gc::{ContentOf, sweep};
use super::repair::ASIDE;
use super::rewrite_pack::{Rewritten, rewrite_pack};
use super::without_packs::{packs_of, without};

mod rewrite;
mod survey;
pub mod tombstones;

pub use survey::{Found, Survey};

use survey::{Item, survey};

/// What one record expels, at most: it must stay far below its limit.
pub const CONTENTS_A_RECORD: usize = 50_000;
/// Rounds of losing the race for the record.
const PATIENCE: u32 = 100;

/// What a purge did to the store, or would do.
#[derive(Debug, Default)]
pub struct Outcome {
    pub survey: Survey,
    /// Packs that were written anew, the packs and indexes that are in their place, and their bytes.
    pub rewritten_packs: u64,
    pub written_objects: u64,
    pub written_bytes: u64,
    /// What was deleted: the old packs and indexes, and what sessions that are void now had left.
    pub deleted_objects: u64,
    pub deleted_bytes: u64,
    /// The record that did it; `None` where it was done before, or isn't to be done.
    pub record: Option<u64>,
}

/// Somebody who purges one store.
pub struct Purger<'a> {
    pub actor: Actor,
    pub observer: Observer,
    pub content_of: &'a ContentOf<'a>,
    pub targets: &'a [Purged],
    pub reason: &'a str,
    /// Nothing is written.
    pub dry_run: bool,
}

/// Packs that were rewritten for a fold that was overtaken by another: good as long as the same things go, and their session isn't void.
#[derive(Default)]
struct Done {
    born: u64,
    dead: HashSet<Item>,
    packs: HashMap<ObjectName, Option<Rewritten>>,
    /// The record that purged, where what came behind it failed.
    record: Option<u64>,
}

impl Purger<'_> {
    /// Purges. `may` is asked, with the fold and what was found, before the record: it may refuse.
    pub fn purge(&self, timeline: &mut Timeline, may: impl Fn(&Fold, &Survey) -> Result<()>) -> Result<Outcome> {
        let mut done = Done::default();
        for _ in 0..PATIENCE {
            let at = timeline.fold().number;
            match self.try_once(timeline, &mut done, &may) {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => timeline.refresh()?,
                Err(fault) => {
                    timeline.refresh()?;
                    if timeline.fold().number == at {
                        return Err(fault);
                    }
                    // What couldn't be read was replaced by somebody else meanwhile, perhaps.
                    done = Done { record: done.record, ..Done::default() };
                }
            }
        }
        let message = format!("the log of {} moved {PATIENCE} times in a row", timeline.bucket().describe());
        Err(Error::new(Kind::Busy, message).hint("run the command again when less is written"))
    }

    /// `None` where another writer was first.
    fn try_once(
        &self,
        timeline: &mut Timeline,
        done: &mut Done,
        may: &impl Fn(&Fold, &Survey) -> Result<()>,
    ) -> Result<Option<Outcome>> {
        self.observer.tell(Event::Phase("looking"));
        let at = timeline.fold().number;
        let content = (self.content_of)(timeline)?;
        let survey = survey(&content, timeline.fold(), self.targets)?;
        may(timeline.fold(), &survey)?;
        let affected = rewrite::affected(&content, &survey.dead)?;
        let is_new = |it: &Purged| content.tombstone(&it.content).is_none();
        let is_done = affected.is_empty() && !self.targets.iter().any(is_new);
        let mut outcome = Outcome { survey, ..Outcome::default() };
        if !is_done {
            self.observer.tell(Event::Phase("rewriting"));
            let replaced = self.replace(timeline, &content, &affected, done, &mut outcome)?;
            if self.dry_run {
                self.foresee(timeline, &content, &replaced, &affected, &mut outcome)?;
                return Ok(Some(outcome));
            }
            let expel = Operation::Expel { contents: self.targets.to_vec(), reason: self.reason.to_owned() };
            let operations: Vec<Operation> = replaced.into_iter().chain([expel]).collect();
            let is_good = |fold: &Fold| fold.number == at && !fold.is_void(done.born);
            let wrote = timeline
                .append(&self.actor, |fold, _| Ok(if is_good(fold) { operations.clone() } else { Vec::new() }))?;
            if !wrote {
                return Ok(None);
            }
            done.record = Some(timeline.fold().number);
        }
        outcome.record = done.record;
        let garbage = self.garbage(timeline, &(self.content_of)(timeline)?, timeline.fold().void_before)?;
        if !self.dry_run {
            self.observer.tell(Event::Phase("deleting"));
            sweep::delete(timeline.bucket(), &garbage)?;
            (self.content_of)(timeline)?.forget_others()?;
        }
        outcome.deleted_objects += garbage.len() as u64;
        outcome.deleted_bytes += garbage.iter().map(|it| it.bytes).sum::<u64>();
        Ok(Some(outcome))
    }

    /// Writes packs without what goes, and the indexes that name them; the operation that puts these in the place of the old ones.
    fn replace(
        &self,
        timeline: &Timeline,
        content: &Content,
        affected: &BTreeSet<ObjectName>,
        done: &mut Done,
        outcome: &mut Outcome,
    ) -> Result<Option<Operation>> {
        let fold = timeline.fold();
        if done.dead != outcome.survey.dead || fold.is_void(done.born) {
            *done = Done { born: fold.number, dead: outcome.survey.dead.clone(), ..Done::default() };
        }
        if affected.is_empty() {
            return Ok(None);
        }
        let mut builder = IndexBuilder::new();
        let mut row = IndexRow::of_nothing(ObjectName { born: fold.number, random: random_bytes()? });
        for pack in rewrite::described(content.indexes()?, affected) {
            if !done.packs.contains_key(&pack.name) {
                let stores = (timeline.bucket(), content);
                let new = rewrite_pack(stores, &pack, &done.dead, done.born, !self.dry_run).map_err(hindered)?;
                done.packs.insert(pack.name, new);
            }
            if let Some(Some(new)) = done.packs.get(&pack.name) {
                row.count(new.kind, new.bytes);
                builder.add_pack(new.name, new.kind, new.bytes, &new.footer)?;
                outcome.written_bytes += new.bytes;
                outcome.written_objects += 1;
            }
            outcome.rewritten_packs += 1;
        }
        let gone: Vec<ObjectName> = affected.iter().copied().collect();
        let replaced = without(timeline, content, &gone, !self.dry_run)?;
        let Some(Operation::ReplaceIndexes { removed, mut added }) = replaced else {
            return Err(Error::damaged("no index names a pack that holds what is to be purged"));
        };
        if row.packs > 0 {
            let bytes = builder.finish()?;
            (row.bytes, row.id) = (bytes.len() as u64, Id::of(&bytes));
            if !self.dry_run {
                content.keep_index(&row, &bytes);
                let name = ObjectKind::Index.object(&row.name);
                timeline.bucket().ensure(&name, bytes.into(), None)?;
            }
            added.push(row);
        }
        outcome.written_objects += added.len() as u64;
        outcome.written_bytes += added.iter().map(|row| row.bytes).sum::<u64>();
        Ok(Some(Operation::ReplaceIndexes { removed, added }))
    }

    /// What nobody can name once all sessions from before record `void_before` are void.
    fn garbage(&self, timeline: &Timeline, content: &Content, void_before: u64) -> Result<Vec<sweep::Garbage>> {
        // States and trials of the place are left alone.
        let never = (Time(i64::MIN), Time(i64::MIN));
        let mut garbage = sweep::find_garbage(timeline, content, void_before, &[], never)?;
        // What a repair put aside may hold any of it.
        let aside = timeline.bucket().list(ASIDE)?.objects.into_iter();
        garbage.extend(aside.map(|it| sweep::Garbage {
            object: format!("{ASIDE}/{}", it.name),
            bytes: it.bytes,
            born: None,
        }));
        Ok(garbage)
    }

    /// Counts what the record would let be deleted.
    fn foresee(
        &self,
        timeline: &Timeline,
        content: &Content,
        replaced: &Option<Operation>,
        affected: &BTreeSet<ObjectName>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let fold = timeline.fold();
        let packs: HashMap<ObjectName, IndexPack> = packs_of(content)?.into_iter().collect();
        let mut bytes: Vec<u64> = affected.iter().filter_map(|name| Some(packs.get(name)?.bytes)).collect();
        if let Some(Operation::ReplaceIndexes { removed, .. }) = replaced {
            bytes.extend(removed.iter().filter_map(|name| Some(fold.indexes.get(name)?.bytes)));
        }
        bytes.extend(self.garbage(timeline, content, fold.number + 1)?.iter().map(|it| it.bytes));
        outcome.deleted_objects = bytes.len() as u64;
        outcome.deleted_bytes = bytes.iter().sum();
        Ok(())
    }
}

/// A pack that holds some of what goes, and beside it what is damaged and stays.
fn hindered(fault: Error) -> Error {
    if fault.kind() != Kind::Damaged {
        return fault;
    }
    let find = fault.next_step().map(|it| format!("{it}, ")).unwrap_or_default();
    let way_out = "`--repair-from COPY` mends it; without a copy purge the damaged files along with these";
    fault.within("nothing is purged: what stays of a pack is damaged").hint(format!("{find}{way_out}"))
}
