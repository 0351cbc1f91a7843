//! Thinning a store whose content others have: chunks that a remote can give back leave its indexes and packs. Metadata stays.
//!
//! A chunk goes if a version that needs it is at a remote, where a ref leads to it, that remote's own indexes name it in a pack that is there and isn't condemned, and no
//! version needs it that all remotes lack. What stays keeps its bases. One record takes the packs out; then they are deleted. What is cut off
//! before that record leaves packs that no index names, what is cut off behind it leaves what the next run deletes. Whatever is deleted, the remotes
//! are asked again directly before.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::base::files::random_bytes;
use crate::base::{Error, Event, Id, Kind, ObjectName, Observer, Result};
use crate::format::header::ObjectKind;
use crate::format::index::Index;
use crate::format::operation::{IndexRow, Operation, VersionRow};
use crate::format::pack::{ItemKind, NewItem};
use crate::format::place::{Encoding, Place};
use crate::history::alive::{Grace, all_versions, live_versions};
use crate::history::fold::Fold;
use crate::history::timeline::{Actor, Timeline};
use crate::store::content::Content;
use crate::store::objects::Bucket;

use super::gc::ContentOf;
use super::gc::needs::Needs;
use super::loose_packs::Loose;
use super::packer::{Compress, Packer};
use super::registrar::{Often, Registrar};
use super::upload::Uploads;
use super::without_packs::without;

/// A pack is written anew without what goes if that is at least one part of so many.
const LEAST_SHARE: u64 = 4;
/// Rounds of losing the race for the record.
const PATIENCE: u32 = 20;

/// A store that has what may go.
pub struct Keeper {
    pub bucket: Bucket,
    pub fold: Fold,
    pub content: Content,
}

/// Who thins a store.
pub struct Thinner<'a> {
    pub actor: Actor,
    pub observer: Observer,
    pub content_of: &'a ContentOf<'a>,
    pub keepers: &'a [Keeper],
    /// Asks the same stores anew.
    pub keepers_now: &'a dyn Fn() -> Result<Vec<Keeper>>,
    /// Nothing is written.
    pub dry_run: bool,
}

/// The chunks that versions here need, by what the remotes say.
struct Asked {
    /// A remote can give them back, and no unpushed version needs them.
    lent: HashSet<Id>,
    /// All others.
    stays: HashSet<Id>,
    /// Versions that no remote has.
    unpushed: u64,
}

/// What went, or would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thinned {
    pub chunks: u64,
    pub packs: u64,
    /// Bytes of the packs, without what was written anew of them.
    pub freed_bytes: u64,
    /// Versions that no remote has.
    pub unpushed: u64,
    /// Packs that stay after all: what a remote was to give back it lost meanwhile, or keeps for its grace period alone.
    pub kept_packs: u64,
}

impl Thinner<'_> {
    /// Takes out what may go, and deletes it.
    pub fn thin(&self, timeline: &mut Timeline) -> Result<Thinned> {
        let mut thinned = None;
        for _ in 0..PATIENCE {
            timeline.refresh()?;
            thinned = self.take_out(timeline)?;
            if thinned.is_some() {
                break;
            }
        }
        let thinned = thinned.ok_or_else(|| {
            let message = format!("the log of {} moved while it was thinned", timeline.bucket().describe());
            Error::new(Kind::Busy, message).hint("run the command again when less is written")
        })?;
        match self.dry_run {
            true => Ok(thinned),
            false => self.sweep(timeline, thinned),
        }
    }

    /// `None` if somebody else was first, and what was found need not hold any more.
    fn take_out(&self, timeline: &mut Timeline) -> Result<Option<Thinned>> {
        self.observer.tell(Event::Phase("looking for what the remotes have"));
        let content = (self.content_of)(timeline)?;
        let at = timeline.fold().number;
        let Asked { lent, unpushed, .. } = Asked::of(self.keepers, timeline.fold(), &content)?;
        let packs = Packs::choose(&content, timeline.fold(), lent)?;
        let mut thinned = Thinned {
            unpushed,
            chunks: packs.gone,
            packs: packs.out.len() as u64,
            freed_bytes: packs.bytes,
            kept_packs: 0,
        };
        if packs.out.is_empty() {
            return Ok(Some(thinned));
        }
        let kept = packs.kept(&content)?;
        if self.dry_run {
            let stays = kept.iter().map(|(_, place)| u64::from(place.frame.stored_bytes.min(place.len))).sum();
            thinned.freed_bytes = thinned.freed_bytes.saturating_sub(stays);
            return Ok(Some(thinned));
        }
        self.observer.tell(Event::Phase("thinning"));
        let new = self.store_kept(timeline, &content, &kept)?;
        thinned.freed_bytes = thinned.freed_bytes.saturating_sub(new.as_ref().map_or(0, |row| row.pack_bytes));
        let out: Vec<ObjectName> = packs.out.iter().copied().collect();
        let replaced = without(timeline, &content, &out, true)?;
        let wrote = timeline.append(&self.actor, |fold, _| {
            if fold.number != at {
                return Ok(Vec::new());
            }
            // Who began before doesn't know that these packs went.
            let mut operations = vec![Operation::VoidBefore { born: at }];
            operations.extend(replaced.clone());
            operations.extend(new.clone().map(|row| Operation::Register { indexes: vec![row] }));
            Ok(operations)
        })?;
        Ok(wrote.then_some(thinned))
    }

    /// Writes what stays of the packs that go.
    fn store_kept(&self, timeline: &Timeline, content: &Content, kept: &[(Id, Place)]) -> Result<Option<IndexRow>> {
        let bucket = timeline.bucket().clone();
        let uploads = Uploads::new(bucket.clone(), content.record(), self.observer.clone());
        let fill = || {
            let mut packer = Packer::new(&uploads, None)?;
            for (id, place) in kept {
                match place.frame.encoding {
                    Encoding::Based(_) => {
                        let stored = content.whole_frame(&place.frame, &[(*id, place.len)])?;
                        let item = NewItem { id: *id, kind: ItemKind::Chunk, len: place.len, hint_len: 0 };
                        packer.add_stored_frame(&place.frame, &stored, &[item])?;
                    }
                    _ => packer.add_chunk(*id, content.chunk(id, Some(place))?.bytes(), Compress::Try)?,
                }
            }
            let tail = packer.into_tail()?;
            if tail.builder.is_empty() { Ok(()) } else { uploads.send(tail) }
        };
        let filled = fill();
        let ((), packs) = uploads.conclude(filled)?;
        let mut registrar = Registrar::new(bucket, content, Often::default());
        let unindexed = registrar.gather(packs)?;
        registrar.write(unindexed, Vec::new())
    }

    /// Deletes data packs that no index names and no session can name any more, those of a run that was cut off too. Directly before, the remotes
    /// are asked once more: what they were to give back and can't any more is put back into an index here.
    fn sweep(&self, timeline: &mut Timeline, mut thinned: Thinned) -> Result<Thinned> {
        let bucket = timeline.bucket().clone();
        let content = (self.content_of)(timeline)?;
        let loose = Loose::find(&bucket, content.indexes()?)?.void_data(timeline.fold().void_before);
        let lost = self.lost(timeline, &content, &loose)?;
        let kept = loose.holding(&lost);
        let name = ObjectName { born: timeline.fold().number, random: random_bytes()? };
        if let Some((bytes, row)) = kept.index(name)? {
            bucket.ensure(&ObjectKind::Index.object(&name), bytes.into(), None)?;
            timeline.append(&self.actor, |_, _| Ok(vec![Operation::Register { indexes: vec![row.clone()] }]))?;
            thinned.kept_packs = kept.packs().count() as u64;
            thinned.packs = thinned.packs.saturating_sub(thinned.kept_packs);
            thinned.chunks = thinned.chunks.saturating_sub(kept.items().count() as u64);
            thinned.freed_bytes = thinned.freed_bytes.saturating_sub(kept.packs().map(|(_, bytes)| bytes).sum());
        }
        let kept: HashSet<ObjectName> = kept.packs().map(|(name, _)| name).collect();
        for (name, _) in loose.packs().filter(|(name, _)| !kept.contains(name)) {
            bucket.delete(&ObjectKind::Pack.object(&name))?;
        }
        Ok(thinned)
    }

    /// The chunks in these packs that versions need, and that neither an index here names nor a remote lends now.
    fn lost(&self, timeline: &Timeline, content: &Content, loose: &Loose) -> Result<HashSet<Id>> {
        let mut lost: HashSet<Id> = HashSet::new();
        for (id, _) in loose.items() {
            if content.find_chunk(&id)?.is_none() {
                lost.insert(id);
            }
        }
        if lost.is_empty() {
            return Ok(lost);
        }
        // Where they can't be asked, nobody knows what they have.
        let asked = Asked::of(&(self.keepers_now)()?, timeline.fold(), content)?;
        lost.retain(|id| asked.stays.contains(id));
        Ok(lost)
    }
}

impl Asked {
    fn of(keepers: &[Keeper], fold: &Fold, content: &Content) -> Result<Asked> {
        // What only the grace period keeps alive there goes with it.
        let now = |keeper: &Keeper| {
            let grace = Grace { old: keeper.fold.number, young: &[], kept: &[] };
            let mut live = live_versions(&keeper.fold, grace, None);
            live.retain(|id| keeper.fold.lasts(id));
            live
        };
        let live: Vec<HashSet<Id>> = keepers.iter().map(now).collect();
        let mut rows = all_versions(fold);
        // Whose content was let go needs none.
        rows.retain(|id, _| !fold.let_go.contains_key(id));
        let (mut stays, mut unpushed, mut walked) = (HashSet::new(), 0, Needs::default());
        for row in rows.values().filter(|row| !live.iter().any(|live| live.contains(&row.version))) {
            unpushed += 1;
            each_chunk(&mut walked, content, row, &mut stays)?;
        }
        let (mut lent, mut missing) = (HashSet::new(), HashSet::new());
        for (keeper, live) in keepers.iter().zip(&live) {
            let (mut needed, mut walked) = (HashSet::new(), Needs::default());
            for row in rows.values().filter(|row| live.contains(&row.version)) {
                each_chunk(&mut walked, content, row, &mut needed)?;
            }
            let there = There::of(keeper)?;
            for id in needed {
                if stays.contains(&id) || lent.contains(&id) {
                    continue;
                }
                match there.gives(&id)? {
                    true => lent.insert(id),
                    false => missing.insert(id),
                };
            }
        }
        stays.extend(missing.difference(&lent));
        Ok(Asked { lent, stays, unpushed })
    }
}

/// Adds the chunks that a version needs, as far as its recipes are here.
fn each_chunk(walked: &mut Needs, content: &Content, row: &VersionRow, chunks: &mut HashSet<Id>) -> Result<()> {
    walked.of_version(content, row, &mut |id, kind| match kind {
        ItemKind::Chunk => {
            chunks.insert(id);
            Ok(false)
        }
        ItemKind::RecipeRoot | ItemKind::RecipePage => Ok(content.find_meta(&id, kind)?.is_some()),
        _ => Ok(true),
    })
}

/// What a remote has of packs right now.
struct There<'k> {
    content: &'k Content,
    /// Those that are there in full.
    packs: HashSet<ObjectName>,
}

impl There<'_> {
    fn of(keeper: &Keeper) -> Result<There<'_>> {
        let folder = ObjectKind::Pack.folder();
        let listed: HashMap<String, u64> =
            keeper.bucket.list(folder)?.objects.into_iter().map(|object| (object.name, object.bytes)).collect();
        let mut packs = HashSet::new();
        for pack in keeper.content.indexes()?.iter().flat_map(Index::packs).filter(|it| it.kind == ObjectKind::Pack) {
            let name = pack.name.to_string();
            // A list may lag behind.
            let bytes = match listed.get(&name) {
                Some(bytes) => Some(*bytes),
                None => keeper.bucket.size(&format!("{folder}/{name}"))?,
            };
            if bytes == Some(pack.bytes) {
                packs.insert(pack.name);
            }
        }
        Ok(There { content: &keeper.content, packs })
    }

    /// Whether it names the chunk in a pack that is there and stays, and its base too where it needs one.
    fn gives(&self, id: &Id) -> Result<bool> {
        let Some(place) = self.content.lasting_chunk(id)? else { return Ok(false) };
        if !self.packs.contains(&place.frame.pack) {
            return Ok(false);
        }
        match place.frame.encoding {
            Encoding::Based(base) => {
                Ok(self.content.plain_base(&base)?.is_some_and(|base| self.packs.contains(&base.place.frame.pack)))
            }
            _ => Ok(true),
        }
    }
}

/// Which packs go, and what goes with them.
struct Packs {
    lent: HashSet<Id>,
    out: HashSet<ObjectName>,
    gone: u64,
    bytes: u64,
}

impl Packs {
    /// Those of which enough goes. What a frame that stays is based on stays too, so that both are found together.
    fn choose(content: &Content, fold: &Fold, mut lent: HashSet<Id>) -> Result<Packs> {
        let indexes = content.indexes()?;
        let sizes: BTreeMap<ObjectName, u64> =
            indexes.iter().flat_map(Index::packs).map(|pack| (pack.name, pack.bytes)).collect();
        loop {
            let mut shares: HashMap<ObjectName, (u64, u64)> = HashMap::new();
            for (id, place) in indexes.iter().flat_map(Index::chunks) {
                let (goes, all) = shares.entry(place.frame.pack).or_default();
                *all += u64::from(place.len);
                *goes += if lent.contains(&id) { u64::from(place.len) } else { 0 };
            }
            let is_out = |(name, (goes, all)): &(&ObjectName, &(u64, u64))| {
                goes * LEAST_SHARE >= *all && *goes > 0 && !fold.condemned.packs.contains_key(*name)
            };
            let out: HashSet<ObjectName> = shares.iter().filter(is_out).map(|(name, _)| *name).collect();
            let before = lent.len();
            let mut gone = HashSet::new();
            for (id, place) in indexes.iter().flat_map(Index::chunks) {
                let goes = out.contains(&place.frame.pack) && lent.contains(&id);
                match place.frame.encoding {
                    _ if goes => drop(gone.insert(id)),
                    Encoding::Based(base) => drop(lent.remove(&base)),
                    _ => {}
                }
            }
            if lent.len() == before {
                let bytes = out.iter().filter_map(|name| sizes.get(name)).sum();
                return Ok(Packs { lent, out, gone: gone.len() as u64, bytes });
            }
        }
    }

    /// What lies in packs that go, and stays: once, a plain copy where there is one.
    fn kept(&self, content: &Content) -> Result<Vec<(Id, Place)>> {
        let indexes = content.indexes()?;
        let stays_elsewhere: HashSet<(Id, bool)> = indexes
            .iter()
            .flat_map(Index::chunks)
            .filter(|(_, place)| !self.out.contains(&place.frame.pack))
            .map(|(id, place)| (id, place.frame.encoding.needs_base()))
            .collect();
        let mut kept: BTreeMap<Id, Place> = BTreeMap::new();
        for (id, place) in indexes.iter().flat_map(Index::chunks) {
            let is_out = self.out.contains(&place.frame.pack);
            if !is_out || self.lent.contains(&id) || stays_elsewhere.contains(&(id, false)) {
                continue;
            }
            let known = kept.entry(id).or_insert(place);
            if known.frame.encoding.needs_base() && !place.frame.encoding.needs_base() {
                *known = place;
            }
        }
        kept.retain(|id, place| !(place.frame.encoding.needs_base() && stays_elsewhere.contains(&(*id, true))));
        let mut kept: Vec<(Id, Place)> = kept.into_iter().collect();
        kept.sort_unstable_by_key(|(_, place)| (place.frame.pack, place.frame.offset, place.at));
        Ok(kept)
    }
}
