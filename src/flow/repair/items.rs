//! Packs: what a damaged or missing one held, and what versions need and nobody here has, is read elsewhere by its id, verified, and stored anew.

use std::collections::{BTreeMap, HashSet};

use crate::base::{Error, Event, Id, Kind, ObjectName, Result};
use crate::format::header::ObjectKind;
use crate::format::operation::{IndexRow, Operation};
use crate::format::pack::ItemKind;
use crate::format::place::FramePlace;
use crate::history::timeline::Timeline;
use crate::store::content::{Content, Item as Stored};

use super::super::meta_packer::MetaPacker;
use super::super::packer::{Compress, Packer};
use super::super::registrar::{Often, Registrar};
use super::super::upload::Uploads;
use super::super::verify::Finding;
use super::{Item, Mended, Mender, found_of, put_aside};
use crate::flow::without_packs::without;

/// Items whose frames are read together.
const TOGETHER: usize = 512;
/// Rounds of losing the race for the record.
const PATIENCE: u32 = 20;

/// Takes the bytes of an item, with the hint that belongs to it.
pub(super) type Keep<'k> = dyn FnMut(Item, &[u8], &[u8]) -> Result<()> + 'k;

impl Mender<'_> {
    /// Stores anew what the packs in `findings` held, and what versions lack.
    pub(super) fn mend_items(&self, timeline: &mut Timeline, findings: &[Finding]) -> Result<Vec<Mended>> {
        let mut bad = found_of(findings, ObjectKind::Pack);
        bad.extend(found_of(findings, ObjectKind::MetaPack));
        let lacks: Vec<Item> = findings.iter().filter_map(|finding| finding.lacks).collect();
        if bad.is_empty() && lacks.is_empty() {
            return Ok(Vec::new());
        }
        for _ in 0..PATIENCE {
            timeline.refresh()?;
            if let Some(mended) = self.store_anew(timeline, &bad, &lacks)? {
                return Ok(mended);
            }
        }
        let message = format!("the log of {} moved while it was mended", timeline.bucket().describe());
        Err(Error::new(Kind::Busy, message).hint("run the command again when less is written"))
    }

    /// `None` if somebody else was first, and what was found need not hold any more.
    fn store_anew(
        &self,
        timeline: &mut Timeline,
        bad: &HashSet<ObjectName>,
        lacks: &[Item],
    ) -> Result<Option<Vec<Mended>>> {
        self.observer.tell(Event::Phase("mending packs"));
        let bucket = timeline.bucket().clone();
        let content = (self.content_of)(timeline)?;
        let named = named_packs(&content)?;
        let wanted = wanted(timeline, &content, bad, lacks)?;
        let mut new = Vec::new();
        let (found, row) = self.gather(timeline, &content, &wanted)?;
        new.extend(row);
        let mut mended: Vec<Mended> = lacks
            .iter()
            .filter(|item| found.contains(item))
            .map(|(id, _)| Mended { object: id.to_string(), how: "stored anew from a copy".to_owned() })
            .collect();
        mended.sort();
        mended.dedup();
        let dead: Vec<ObjectName> = bad.iter().filter(|name| named.contains_key(name)).copied().collect();
        let replaced = if self.dry_run { None } else { without(timeline, &content, &dead, true)? };
        let lost = wanted.len() - found.len();
        for name in &dead {
            let how = match lost {
                0 => "what it held is stored anew; no index names it any more".to_owned(),
                lost => {
                    format!("no index names it any more; {lost} things of what was damaged are nowhere to be found")
                }
            };
            mended.push(Mended { object: named[name].object(name), how });
        }
        if self.dry_run {
            mended.retain(|it| lost == 0 || !it.how.contains("nowhere"));
            return Ok(Some(mended));
        }
        let mut operations: Vec<Operation> = replaced.into_iter().collect();
        operations.extend((!new.is_empty()).then_some(Operation::Register { indexes: new }));
        let condemned = timeline.fold().condemned.clone();
        let mut holds = true;
        timeline.append(&self.actor, |fold, _| {
            let are_there = operations.iter().all(|operation| match operation {
                Operation::ReplaceIndexes { removed, .. } => removed.iter().all(|name| fold.indexes.contains_key(name)),
                _ => true,
            });
            // A collector may have counted on a copy that is damaged, and condemned a good one.
            holds = are_there && fold.condemned == condemned;
            Ok(if holds { operations.clone() } else { Vec::new() })
        })?;
        if !holds {
            return Ok(None);
        }
        for name in bad {
            for kind in [ObjectKind::Pack, ObjectKind::MetaPack] {
                let object = kind.object(name);
                match named.contains_key(name) {
                    true => put_aside(&bucket, &object)?,
                    false => mended.extend(self.leave(&bucket, object)?),
                }
            }
        }
        Ok(Some(mended))
    }

    /// Reads what is wanted, wherever it is, and stores it; gives what was found, and the index of it.
    fn gather(
        &self,
        timeline: &Timeline,
        content: &Content,
        wanted: &[Item],
    ) -> Result<(HashSet<Item>, Option<IndexRow>)> {
        if self.dry_run {
            return Ok((self.read(timeline, content, wanted, &mut |_, _, _| Ok(()))?, None));
        }
        let bucket = timeline.bucket().clone();
        let uploads = Uploads::new(bucket.clone(), content.record(), self.observer.clone());
        let mut packer = Packer::new(&uploads, None)?;
        let mut meta = MetaPacker::new(&uploads)?;
        let read = self.read(timeline, content, wanted, &mut |(id, kind), bytes, hint| match kind {
            ItemKind::Chunk => packer.add_chunk(id, bytes, Compress::Try),
            kind => meta.add(0, kind, id, bytes, |_| Ok(hint.to_vec())),
        });
        let sent = read.and_then(|found| {
            let tail = packer.into_tail()?;
            if !tail.builder.is_empty() {
                uploads.send(tail)?;
            }
            meta.finish()?;
            Ok(found)
        });
        let (found, packs) = uploads.conclude(sent)?;
        let mut registrar = Registrar::new(bucket, content, Often::default());
        let unindexed = registrar.gather(packs)?;
        Ok((found, registrar.write(unindexed, Vec::new())?))
    }

    /// What is left whole in the damaged packs first, then the stores, then files on this machine.
    fn read(
        &self,
        timeline: &Timeline,
        content: &Content,
        wanted: &[Item],
        keep: &mut Keep<'_>,
    ) -> Result<HashSet<Item>> {
        let own = timeline.fold().store;
        let mut found: HashSet<Item> = HashSet::new();
        let copies = self.stores.iter().map(|source| (&source.content, source.store == own));
        for (from, is_copy) in std::iter::once((content, true)).chain(copies) {
            let left: Vec<Item> = wanted.iter().filter(|item| !found.contains(item)).copied().collect();
            for some in left.chunks(TOGETHER) {
                let ahead = from.read_ahead(ObjectKind::Pack, &frames(from, some)?, None);
                ahead.wait()?;
                for item in some {
                    let Some(stored) = read_item(from, item)? else { continue };
                    // Another store's hints name its own packs.
                    keep(*item, stored.bytes(), if is_copy { stored.hint() } else { &[] })?;
                    found.insert(*item);
                }
            }
        }
        let left: HashSet<Item> = wanted.iter().filter(|item| !found.contains(item)).copied().collect();
        if !left.is_empty() {
            found.extend(self.read_files(timeline.fold(), content, &left, keep)?);
        }
        Ok(found)
    }
}

/// All that has to be stored: what lies in bad packs alone, and what is lacked.
fn wanted(timeline: &Timeline, content: &Content, bad: &HashSet<ObjectName>, lacks: &[Item]) -> Result<Vec<Item>> {
    let condemned = &timeline.fold().condemned.packs;
    let lasts = |pack: &ObjectName| !bad.contains(pack) && !condemned.contains_key(pack);
    let (mut held, mut bases): (HashSet<Item>, HashSet<Id>) = (lacks.iter().copied().collect(), HashSet::new());
    for index in content.indexes()? {
        let chunks = index.chunks().map(|(id, place)| ((id, ItemKind::Chunk), place));
        let metas = index.metas().map(|(id, kind, place)| ((id, kind), place));
        held.extend(chunks.chain(metas).filter(|(_, place)| bad.contains(&place.frame.pack)).map(|(item, _)| item));
        bases.extend(index.needed_bases().filter(|(pack, _)| !bad.contains(pack)).map(|(_, base)| base));
    }
    let mut wanted = Vec::new();
    for (id, kind) in held {
        let places = content.all_places(&id, kind)?;
        let serves = |place: &&crate::format::place::Place| {
            lasts(&place.frame.pack) && !(place.frame.encoding.needs_base() && bases.contains(&id))
        };
        if !places.iter().any(|place| serves(&place)) {
            wanted.push((id, kind));
        }
    }
    wanted.sort_unstable();
    Ok(wanted)
}

fn frames(from: &Content, items: &[Item]) -> Result<Vec<FramePlace>> {
    let mut frames = Vec::new();
    for (id, _) in items.iter().filter(|(_, kind)| *kind == ItemKind::Chunk) {
        frames.extend(from.find_chunk(id)?.map(|place| place.frame));
    }
    frames.sort_unstable_by_key(|frame| (frame.pack, frame.offset));
    frames.dedup();
    Ok(frames)
}

/// An item, verified; `None` where it isn't there or isn't good.
fn read_item(from: &Content, (id, kind): &Item) -> Result<Option<Stored>> {
    let read = match kind {
        ItemKind::Chunk => from.chunk(id, None),
        kind => from.meta(id, *kind, None),
    };
    match read {
        Ok(item) => Ok(Some(item)),
        Err(fault) if fault.kind() == Kind::Unreachable => Err(fault),
        Err(_) => Ok(None),
    }
}

/// The packs that indexes name, with their kinds.
fn named_packs(content: &Content) -> Result<BTreeMap<ObjectName, ObjectKind>> {
    Ok(content.indexes()?.iter().flat_map(|index| index.packs().map(|pack| (pack.name, pack.kind))).collect())
}
