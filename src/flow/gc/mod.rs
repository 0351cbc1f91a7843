//! Collection: what is dead is condemned, what was condemned long enough is reclaimed, what can't be named any more is deleted
//! (docs/design.md, "Collection").
//!
//! Each step is planned from the fold and takes effect by one record directly behind it, or is planned again. A step that is cut off leaves
//! what the next run finds.

use std::collections::{BTreeMap, HashSet};

use crate::base::{DatasetName, Error, Event, Id, Kind, ObjectName, Observer, Result, Time};
use crate::format::index::IndexPack;
use crate::format::operation::{Operation, Things};
use crate::format::record::RecordCore;
use crate::history::alive::{Grace, all_versions, live_versions};
use crate::history::fold::Fold;
use crate::history::records::Backwards;
use crate::history::timeline::{Actor, Timeline};
use crate::store::content::Content;

use super::without_packs::{packs_of, without};

pub mod clock;
mod forecast;
mod keeping;
mod mark;
pub mod needs;
pub mod repack;
pub mod sweep;
pub mod weigh;

pub use mark::Marker;

use mark::Live;

/// Versions and packs that one record condemns or reclaims, at most: it must stay far below its limit.
const THINGS_A_RECORD: usize = 50_000;
/// Rounds of losing the race for a record.
const PATIENCE: u32 = 100;

/// Gives the content of the fold that a timeline is at.
pub type ContentOf<'c> = dyn Fn(&Timeline) -> Result<Content> + 'c;

/// What a step condemned or reclaimed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gone {
    pub versions: Vec<Id>,
    /// Versions that stay, and whose content goes.
    pub contents: Vec<Id>,
    pub packs: u64,
    /// Bytes of the packs.
    pub bytes: u64,
}

/// What a round of marking found.
struct Survey {
    /// Condemned, and alive.
    alive: Things,
    /// Dead, and not condemned.
    dead: Things,
    /// Versions that stay, and whose content isn't to.
    let_go: Vec<Id>,
    packs: BTreeMap<ObjectName, IndexPack>,
    /// What stays; `None` where there are too many dead versions for one record.
    live: Option<Live>,
}

/// A collector at work on one store.
pub struct Collector<'a> {
    pub actor: Actor,
    pub observer: Observer,
    pub content_of: &'a ContentOf<'a>,
    /// Only versions of this dataset are condemned.
    pub only: Option<DatasetName>,
    /// Versions that stay whatever refs say.
    pub kept: Vec<Id>,
    /// The newest record that is older than the grace period.
    pub old: u64,
    /// What time it is for the store.
    pub now: Time,
    /// A pack of which less is needed than so many percent of its stored bytes is written anew.
    pub needed: u64,
    /// Nothing is written.
    pub dry_run: bool,
}

impl Collector<'_> {
    /// The records behind [`Collector::old`], oldest first.
    pub fn young(&self, timeline: &Timeline) -> Result<Vec<RecordCore>> {
        let young = Backwards::new(timeline, None);
        let mut young = young
            .take_while(|core| core.as_ref().map_or(true, |core| core.number > self.old))
            .collect::<Result<Vec<_>>>()?;
        young.reverse();
        Ok(young)
    }

    /// Condemns what is dead and isn't condemned yet. What is condemned and alive after all is rescued first: it is to be reclaimed only behind this.
    pub fn condemn(&self, timeline: &mut Timeline, marker: &mut Marker) -> Result<Gone> {
        let mut gone = Gone::default();
        for _ in 0..PATIENCE {
            let mark = timeline.fold().number;
            if marker.settled_at == Some(mark) {
                return Ok(gone);
            }
            self.observer.tell(Event::Phase("marking"));
            let survey = match self.survey(timeline, marker) {
                Err(fault) if !self.moved(timeline, mark)? => return Err(fault),
                // What couldn't be followed was collected by somebody else meanwhile.
                Err(_) => {
                    *marker = Marker::default();
                    continue;
                }
                Ok(survey) => survey,
            };
            let Survey { alive, dead, let_go, packs, .. } = survey;
            let rescues = alive != Things::default() && !self.dry_run;
            let wrote = match dead == Things::default() && let_go.is_empty() && !rescues {
                true => {
                    marker.settled_at = Some(mark);
                    return Ok(gone);
                }
                false if self.dry_run => true,
                false => timeline.append(&self.actor, |fold, _| {
                    let step = match (rescues, let_go.is_empty()) {
                        (true, _) => Operation::Rescue(alive.clone()),
                        // In a record of its own, which can be undone.
                        (false, false) => Operation::CondemnContents { mark, versions: let_go.clone() },
                        (false, true) => Operation::Condemn { mark, things: dead.clone() },
                    };
                    Ok(if fold.number == mark { vec![step] } else { Vec::new() })
                })?,
            };
            if wrote && !rescues {
                gone.contents.extend(&let_go);
                if let_go.is_empty() || self.dry_run {
                    count(&mut gone, &dead, &packs);
                }
            }
            if self.dry_run {
                return Ok(gone);
            }
        }
        Err(too_busy(timeline))
    }

    fn moved(&self, timeline: &mut Timeline, mark: u64) -> Result<bool> {
        timeline.refresh()?;
        Ok(timeline.fold().number != mark)
    }

    /// Marks, and gives the next things to do: versions are condemned first, and packs once all dead versions are, so that none of these can be
    /// brought into use without its packs.
    fn survey(&self, timeline: &Timeline, marker: &mut Marker) -> Result<Survey> {
        let content = (self.content_of)(timeline)?;
        let packs = packs_of(&content)?;
        marker.forget_unless_in(&packs);
        let fold = timeline.fold();
        let young = self.young(timeline)?;
        let grace = Grace { old: self.old, young: &young, kept: &self.kept };
        let condemned = &fold.condemned;
        // By a longer grace than the one that condemned it, or for a workspace, a version may be alive.
        let alive = live_versions(fold, grace, None).into_iter().filter(|id| condemned.versions.contains_key(id));
        let mut alive = Things { versions: alive.collect(), packs: Vec::new() };
        let (kept_by_any, kept) = self.kept_contents(timeline, grace)?;
        alive.versions.extend(condemned.contents.keys().filter(|id| kept_by_any.contains(id)));
        alive.versions.sort_unstable();
        alive.versions.dedup();
        let live = live_versions(fold, grace, self.only.as_ref());
        let known = all_versions(fold);
        let stays = |id: &Id| live.contains(id) && !condemned.versions.contains_key(id);
        let is_bare = |id: &Id| !kept.contains(id) || !fold.lasts(id);
        for row in known.values().filter(|row| stays(&row.version)) {
            match is_bare(&row.version) {
                true => marker.mark_manifest(&content, row)?,
                false => marker.mark(&content, row)?,
            }
        }
        let goes = |id: &&Id| stays(id) && !kept.contains(id) && fold.lasts(id);
        let mut let_go: Vec<Id> = known.keys().filter(goes).copied().collect();
        let_go.sort_unstable();
        let_go.truncate(THINGS_A_RECORD);
        let is_dead = |id: &&Id| !live.contains(*id) && !condemned.versions.contains_key(*id);
        let mut versions: Vec<Id> = known.keys().filter(is_dead).copied().collect();
        versions.sort_unstable();
        if versions.len() > THINGS_A_RECORD {
            versions.truncate(THINGS_A_RECORD);
            return Ok(Survey { alive, dead: Things { versions, packs: Vec::new() }, let_go, packs, live: None });
        }
        let live_packs = marker.live_packs(&content, |name| condemned.packs.contains_key(name))?;
        alive.packs.extend(live_packs.packs().filter(|name| condemned.packs.contains_key(name)));
        alive.packs.sort_unstable();
        let is_dead =
            |name: &&ObjectName| name.born < self.old && !live_packs.has(name) && !condemned.packs.contains_key(*name);
        let dead = packs.keys().filter(is_dead).copied().take(THINGS_A_RECORD).collect();
        Ok(Survey { alive, dead: Things { versions, packs: dead }, let_go, packs, live: Some(live_packs) })
    }

    /// Reclaims what was condemned before the grace period. Each record stands directly behind a marking that found nothing to rescue: rules and
    /// branches bring content back to life and rescue nothing. What the markings condemn is added to `condemned`.
    pub fn reclaim(&self, timeline: &mut Timeline, marker: &mut Marker, condemned: &mut Gone) -> Result<Gone> {
        let mut gone = Gone::default();
        for _ in 0..PATIENCE {
            if !self.dry_run && reclaimable(timeline.fold(), self.old) != Default::default() {
                add(condemned, self.condemn(timeline, marker)?);
            }
            let at = timeline.fold().number;
            let (things, contents) = reclaimable(timeline.fold(), self.old);
            if things == Things::default() && contents.is_empty() {
                return Ok(gone);
            }
            self.observer.tell(Event::Phase("reclaiming"));
            let content = (self.content_of)(timeline)?;
            let packs = packs_of(&content)?;
            if self.dry_run {
                gone.contents = contents;
                count(&mut gone, &things, &packs);
                return Ok(gone);
            }
            let replaced = match without(timeline, &content, &things.packs, true) {
                Err(fault) if !self.moved(timeline, at)? => return Err(fault),
                // Somebody else replaced the indexes meanwhile.
                Err(_) => continue,
                Ok(replaced) => replaced,
            };
            // A use is no record, which the log would show: the last look is the latest that there can be.
            if self.is_used(timeline, &contents)? {
                marker.settled_at = None;
                continue;
            }
            let wrote = timeline.append(&self.actor, |fold, _| {
                if fold.number != at {
                    return Ok(Vec::new());
                }
                let mut operations = vec![Operation::VoidBefore { born: self.old.max(fold.void_before) }];
                operations.extend((!contents.is_empty()).then(|| Operation::LetGo { versions: contents.clone() }));
                operations.push(Operation::Reclaim(things.clone()));
                operations.extend(replaced.clone());
                Ok(operations)
            })?;
            match wrote {
                true => {
                    gone.contents.extend(contents);
                    count(&mut gone, &things, &packs);
                }
                false => timeline.refresh()?,
            }
        }
        Err(too_busy(timeline))
    }

    /// Finds what nobody can need any more and deletes it; gives what it was. Sessions that began before [`Collector::old`] are made void where
    /// that frees something.
    pub fn sweep(&self, timeline: &mut Timeline, cutoff: Time, trials: Time) -> Result<Vec<sweep::Garbage>> {
        self.observer.tell(Event::Phase("listing"));
        timeline.refresh()?;
        let content = (self.content_of)(timeline)?;
        let void_before = timeline.fold().void_before.max(self.old);
        let young = self.young(timeline)?;
        let mut garbage = sweep::find_garbage(timeline, &content, void_before, &young, (cutoff, trials))?;
        if self.dry_run {
            return Ok(garbage);
        }
        let is_open = |fold: &Fold| garbage.iter().any(|it| it.born.is_some_and(|born| !fold.is_void(born)));
        timeline.append(&self.actor, |fold, _| {
            Ok(if is_open(fold) { vec![Operation::VoidBefore { born: void_before }] } else { Vec::new() })
        })?;
        // What was registered while we listed isn't garbage: its session was not void yet.
        let content = (self.content_of)(timeline)?;
        let mut named: HashSet<ObjectName> = timeline.fold().indexes.keys().copied().collect();
        named.extend(packs_of(&content)?.into_keys());
        let is_named = |it: &sweep::Garbage| {
            let name = it.object.rsplit('/').next().and_then(|name| ObjectName::parse(name).ok());
            name.is_some_and(|name| named.contains(&name))
        };
        garbage.retain(|it| !is_named(it));
        self.observer.tell(Event::Phase("deleting"));
        sweep::delete(timeline.bucket(), &garbage)?;
        Ok(garbage)
    }
}

/// What may go by now, versions and their content before packs.
fn reclaimable(fold: &Fold, old: u64) -> (Things, Vec<Id>) {
    let (mut things, mut contents) = (fold.condemned.up_to(old), fold.condemned.contents_up_to(old));
    if things.versions.len().max(contents.len()) > THINGS_A_RECORD {
        things.versions.truncate(THINGS_A_RECORD);
        contents.truncate(THINGS_A_RECORD);
        things.packs.clear();
    }
    // Of a version that goes whole nothing is left to be let go.
    let whole: HashSet<&Id> = things.versions.iter().collect();
    contents.retain(|id| !whole.contains(id));
    things.packs.truncate(THINGS_A_RECORD);
    (things, contents)
}

fn add(gone: &mut Gone, more: Gone) {
    gone.versions.extend(more.versions);
    gone.contents.extend(more.contents);
    gone.packs += more.packs;
    gone.bytes += more.bytes;
}

fn count(gone: &mut Gone, things: &Things, packs: &BTreeMap<ObjectName, IndexPack>) {
    gone.versions.extend(&things.versions);
    gone.packs += things.packs.len() as u64;
    gone.bytes += things.packs.iter().filter_map(|name| packs.get(name)).map(|pack| pack.bytes).sum::<u64>();
}

fn too_busy(timeline: &Timeline) -> Error {
    let message =
        format!("the log of {} moved {PATIENCE} times in a row before a collection", timeline.bucket().describe());
    Error::new(Kind::Busy, message).hint("run the command again when less is written; what was done stays done")
}
