//! Collection: what is dead is condemned, what was condemned long enough is reclaimed, what can't be named any more is deleted
//! (docs/design.md, "Collection").
//!
//! Each step is planned from the fold and takes effect by one record directly behind it, or is planned again. A step that is cut off leaves
//! what the next run finds.

use std::collections::{BTreeMap, HashSet};

use crate::base::files::random_bytes;
use crate::base::{DatasetName, Error, Event, Id, Kind, ObjectName, Observer, Result};
use crate::format::header::ObjectKind;
use crate::format::index::{Index, IndexPack, merge};
use crate::format::operation::{IndexRow, Operation, Things};
use crate::format::pack::ItemKind;
use crate::format::place::Encoding;
use crate::format::record::RecordCore;
use crate::history::alive::{Grace, all_versions, live_versions};
use crate::history::fold::Fold;
use crate::history::records::Backwards;
use crate::history::timeline::{Actor, Timeline};
use crate::store::content::Content;

pub mod clock;
mod mark;
mod needs;
pub mod sweep;
pub mod weigh;

use mark::Marker;

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
    pub packs: u64,
    /// Bytes of the packs.
    pub bytes: u64,
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

    /// Condemns what is dead and isn't condemned yet.
    pub fn condemn(&self, timeline: &mut Timeline) -> Result<Gone> {
        let mut marker = Marker::default();
        let mut gone = Gone::default();
        for _ in 0..PATIENCE {
            self.observer.tell(Event::Phase("marking"));
            let mark = timeline.fold().number;
            let content = (self.content_of)(timeline)?;
            let (things, packs) = self.dead(timeline, &content, &mut marker)?;
            let wrote = match things == Things::default() {
                true => return Ok(gone),
                false if self.dry_run => true,
                false => timeline.append(&self.actor, |fold, _| {
                    let condemn = Operation::Condemn { mark, things: things.clone() };
                    Ok(if fold.number == mark { vec![condemn] } else { Vec::new() })
                })?,
            };
            if wrote {
                count(&mut gone, &things, &packs);
            }
            if self.dry_run {
                return Ok(gone);
            }
        }
        Err(too_busy(timeline))
    }

    /// The next things to condemn: versions first, and packs once all dead versions are condemned, so that none of these can be brought
    /// into use without its packs.
    fn dead(
        &self,
        timeline: &Timeline,
        content: &Content,
        marker: &mut Marker,
    ) -> Result<(Things, BTreeMap<ObjectName, IndexPack>)> {
        let fold = timeline.fold();
        let young = self.young(timeline)?;
        let live = live_versions(fold, Grace { old: self.old, young: &young, kept: &self.kept }, self.only.as_ref());
        let known = all_versions(fold);
        for row in known.values().filter(|row| live.contains(&row.version)) {
            marker.mark(content, row)?;
        }
        let is_dead = |id: &&Id| !live.contains(*id) && !fold.condemned.versions.contains_key(*id);
        let mut versions: Vec<Id> = known.keys().filter(is_dead).copied().collect();
        versions.sort_unstable();
        let packs = packs_of(content)?;
        if versions.len() > THINGS_A_RECORD {
            versions.truncate(THINGS_A_RECORD);
            return Ok((Things { versions, packs: Vec::new() }, packs));
        }
        // A dead version that is to stay readable keeps its packs: with `only`, those of other datasets are live.
        let condemned = &fold.condemned.packs;
        let mut live_packs = marker.live_packs(|name| condemned.contains_key(name));
        keep_bases(content, &mut live_packs)?;
        let is_dead =
            |name: &&ObjectName| name.born < self.old && !live_packs.contains(*name) && !condemned.contains_key(*name);
        let dead = packs.keys().filter(is_dead).copied().take(THINGS_A_RECORD).collect();
        Ok((Things { versions, packs: dead }, packs))
    }

    /// Reclaims what was condemned before the grace period.
    pub fn reclaim(&self, timeline: &mut Timeline) -> Result<Gone> {
        let mut gone = Gone::default();
        for _ in 0..PATIENCE {
            let fold = timeline.fold();
            let at = fold.number;
            let things = reclaimable(fold, self.old);
            if things == Things::default() {
                return Ok(gone);
            }
            self.observer.tell(Event::Phase("reclaiming"));
            let content = (self.content_of)(timeline)?;
            let packs = packs_of(&content)?;
            if self.dry_run {
                count(&mut gone, &things, &packs);
                return Ok(gone);
            }
            let replaced = without(timeline, &content, &things.packs)?;
            let wrote = timeline.append(&self.actor, |fold, _| {
                if fold.number != at {
                    return Ok(Vec::new());
                }
                let mut operations = vec![
                    Operation::VoidBefore { born: self.old.max(fold.void_before) },
                    Operation::Reclaim(things.clone()),
                ];
                operations.extend(replaced.clone());
                Ok(operations)
            })?;
            match wrote {
                true => count(&mut gone, &things, &packs),
                false => timeline.refresh()?,
            }
        }
        Err(too_busy(timeline))
    }

    /// Finds what nobody can need any more and deletes it; gives what it was. Sessions that began before [`Collector::old`] are made void where
    /// that frees something.
    pub fn sweep(&self, timeline: &mut Timeline, cutoff: crate::base::Time) -> Result<Vec<sweep::Garbage>> {
        self.observer.tell(Event::Phase("listing"));
        timeline.refresh()?;
        let content = (self.content_of)(timeline)?;
        let void_before = timeline.fold().void_before.max(self.old);
        let young = self.young(timeline)?;
        let mut garbage = sweep::find_garbage(timeline, &content, void_before, &young, cutoff)?;
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

/// Keeps a plain copy of the base of every frame in a pack that stays, needed or not: a pack that stays can be read whole.
fn keep_bases(content: &Content, live: &mut HashSet<ObjectName>) -> Result<()> {
    loop {
        let mut more = HashSet::new();
        for (_, place) in content.indexes()?.iter().flat_map(Index::chunks) {
            let Encoding::Based(base) = place.frame.encoding else { continue };
            if !live.contains(&place.frame.pack) {
                continue;
            }
            let mut plain = content.all_places(&base, ItemKind::Chunk)?;
            plain.retain(|place| !place.frame.encoding.needs_base());
            if !plain.iter().any(|place| live.contains(&place.frame.pack)) {
                more.extend(plain.iter().map(|place| place.frame.pack).min());
            }
        }
        if more.is_empty() {
            return Ok(());
        }
        live.extend(more);
    }
}

/// What may go by now, versions before packs.
fn reclaimable(fold: &Fold, old: u64) -> Things {
    let mut things = fold.condemned.up_to(old);
    if things.versions.len() > THINGS_A_RECORD {
        things.versions.truncate(THINGS_A_RECORD);
        things.packs.clear();
    }
    things.packs.truncate(THINGS_A_RECORD);
    things
}

fn packs_of(content: &Content) -> Result<BTreeMap<ObjectName, IndexPack>> {
    Ok(content.indexes()?.iter().flat_map(Index::packs).map(|pack| (pack.name, pack)).collect())
}

fn count(gone: &mut Gone, things: &Things, packs: &BTreeMap<ObjectName, IndexPack>) {
    gone.versions.extend(&things.versions);
    gone.packs += things.packs.len() as u64;
    gone.bytes += things.packs.iter().filter_map(|name| packs.get(name)).map(|pack| pack.bytes).sum::<u64>();
}

/// Writes indexes without the rows of dead packs; the operation that puts them in the place of the old ones, if there is any.
fn without(timeline: &Timeline, content: &Content, dead: &[ObjectName]) -> Result<Option<Operation>> {
    let dead: HashSet<&ObjectName> = dead.iter().collect();
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for row in timeline.fold().indexes.values() {
        let index = content.index(row)?;
        if !index.packs().any(|pack| dead.contains(&pack.name)) {
            continue;
        }
        removed.push(row.name);
        let live: Vec<IndexPack> = index.packs().filter(|pack| !dead.contains(&pack.name)).collect();
        if live.is_empty() {
            continue;
        }
        let bytes = merge(&[index], |name| dead.contains(name))?;
        let name = ObjectName { born: timeline.fold().number, random: random_bytes()? };
        let mut new = IndexRow { bytes: bytes.len() as u64, id: Id::of(&bytes), ..IndexRow::of_nothing(name) };
        live.iter().for_each(|pack| new.count(pack.kind, pack.bytes));
        content.keep_index(&new, &bytes);
        timeline.bucket().create(&format!("{}/{name}", ObjectKind::Index.folder()), bytes.into())?;
        added.push(new);
    }
    Ok((!removed.is_empty()).then_some(Operation::ReplaceIndexes { removed, added }))
}

fn too_busy(timeline: &Timeline) -> Error {
    let message =
        format!("the log of {} moved {PATIENCE} times in a row before a collection", timeline.bucket().describe());
    Error::new(Kind::Busy, message).hint("run the command again when less is written; what was done stays done")
}
