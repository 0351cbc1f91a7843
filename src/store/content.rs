//! Reading what a store holds: by place, by hint, by index. Nothing is returned that isn't verified, but by [`Content::copy_unverified`].
//!
//! A hint or a place is advice: what lies there must be what was asked for, else the indexes say where else it lies. Only when no
//! copy is good is that an error, and it names the object that is damaged.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::base::once::Once;
use crate::base::{Error, Id, Kind, ObjectName, Observer, Result, Tally};
use crate::chunk::compress::decompress;
use crate::format::header::{HEADER_LEN, ObjectKind};
use crate::format::index::Index;
use crate::format::operation::IndexRow;
use crate::format::pack::ItemKind;
use crate::format::place::{Encoding, FramePlace, Place};
use crate::format::recipe::RecipeRoot;

use super::fetch::{Ahead, Fetcher};
use super::frames::FrameCache;
use super::kept_frames::KeptFrames;
use super::kept_indexes::KeptIndexes;
use super::lanes::side_by_side;
use super::objects::Bucket;
use super::pack_ranges::PackRanges;

mod bases;
mod distance;
mod lasting;
mod lent;
mod purged;
mod renewal;
mod stale;
mod unverified;

pub use bases::Base;
pub use purged::WasPurged;

/// Roots that are read ahead are kept so many: two versions may be compared.
const PARTS: usize = 2;
/// Indexes that are read from a bucket at once.
const INDEXES_AT_ONCE: usize = 8;

/// An item's bytes inside its decoded frame.
#[derive(Clone)]
pub struct Item {
    frame: Bytes,
    place: Place,
}

impl Item {
    /// The object: a chunk, or a meta object's canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        let at = self.place.at as usize;
        &self.frame[at..at + self.place.len as usize]
    }

    /// The hint behind it.
    pub fn hint(&self) -> &[u8] {
        let at = self.place.at as usize + self.place.len as usize;
        &self.frame[at..at + self.place.hint_len as usize]
    }

    /// Where it lay.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

/// The readable content of a store as of one state of its log.
pub struct Content {
    bucket: Bucket,
    rows: Vec<IndexRow>,
    indexes: Once<Vec<Index>>,
    kept_indexes: Option<KeptIndexes>,
    kept_frames: Option<KeptFrames>,
    frames: Mutex<FrameCache>,
    ranges: Arc<PackRanges>,
    fetcher: Fetcher,
    parts: Mutex<VecDeque<Part>>,
    lenders: Vec<Lender>,
    /// The record of the log that this is the content of.
    record: u64,
    condemned: HashSet<ObjectName>,
    tombstones: Arc<purged::Tombstones>,
    renewal: Option<renewal::Renewal>,
    /// Versions whose content the store let go.
    let_go: HashSet<Id>,
    /// The packs that the own indexes name.
    own_packs: Once<HashSet<ObjectName>>,
}

/// Stored bytes of a pack that were read ahead.
struct Part {
    kind: ObjectKind,
    pack: ObjectName,
    start: u64,
    bytes: Bytes,
}

impl Part {
    fn slice(&self, kind: ObjectKind, pack: ObjectName, offset: u64, len: u64) -> Option<Bytes> {
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        let is_in = self.kind == kind && self.pack == pack && end <= self.bytes.len();
        is_in.then(|| self.bytes.slice(start..end))
    }
}

/// Another store's content, which is opened when something is missing.
struct Lender {
    open: Box<dyn Fn() -> Result<Content> + Send + Sync>,
    content: Once<Content>,
    /// It couldn't be opened, and is asked again only where no other has what is wanted.
    failed: AtomicBool,
    /// Whether what is kept of it on this machine isn't to be read.
    is_asked_alone: bool,
}

impl Lender {
    fn content(&self) -> Result<&Content> {
        let opened = self.content.get_or_make(|| {
            let mut content = (self.open)()?;
            if self.is_asked_alone {
                content.ask_stores_alone();
            }
            Ok(content)
        });
        opened.inspect_err(|_| self.failed.store(true, Ordering::Relaxed))
    }

    fn ready(&self) -> Option<&Content> {
        if self.failed.load(Ordering::Relaxed) { None } else { self.content().ok() }
    }
}

impl Content {
    /// Content that the given indexes describe; they are read when first needed.
    pub fn new(bucket: Bucket, rows: Vec<IndexRow>) -> Content {
        let ranges = Arc::new(PackRanges::new(bucket.clone(), 0));
        Content {
            fetcher: Fetcher::new(ranges.clone()),
            ranges,
            bucket,
            rows,
            indexes: Once::new(),
            kept_indexes: None,
            kept_frames: None,
            frames: Mutex::default(),
            parts: Mutex::default(),
            lenders: Vec::new(),
            record: 0,
            condemned: HashSet::new(),
            tombstones: Arc::default(),
            renewal: None,
            let_go: HashSet::new(),
            own_packs: Once::new(),
        }
    }

    /// Keeps indexes as files in `folder`, and reads them from there.
    pub fn keep_indexes_in(&mut self, folder: PathBuf, observer: &Observer) {
        self.kept_indexes = Some(KeptIndexes::new(folder, observer.clone()));
    }

    /// Keeps frames of meta packs as files in `folder`, up to 256 MiB, and reads them from there.
    pub fn keep_frames_in(&mut self, folder: PathBuf, observer: &Observer) {
        self.kept_frames = Some(KeptFrames::new(folder, observer.clone()));
    }

    /// Removes from this machine what is kept of packs that no index names any more.
    pub fn forget_others(&self) -> Result<()> {
        let Some(kept) = &self.kept_frames else { return Ok(()) };
        let named: HashSet<ObjectName> = self.indexes()?.iter().flat_map(Index::packs).map(|pack| pack.name).collect();
        kept.remove_others(&named);
        Ok(())
    }

    /// Reads nothing that is kept on this machine: for whoever wants to know what the stores hold.
    pub fn ask_stores_alone(&mut self) {
        (self.kept_indexes, self.kept_frames) = (None, None);
        self.lenders.iter_mut().for_each(|lender| lender.is_asked_alone = true);
    }

    /// Keeps an index that was just written to the store, as the next reader will need it.
    pub fn keep_index(&self, row: &IndexRow, bytes: &[u8]) {
        if let Some(kept) = &self.kept_indexes {
            kept.put(row, bytes);
        }
    }

    /// Reads what it lacks from another store too, behind the ones given before. What it *has* is still what its own indexes name.
    pub fn borrow_from(&mut self, open: impl Fn() -> Result<Content> + Send + Sync + 'static) {
        let (open, content, failed) = (Box::new(open), Once::new(), AtomicBool::new(false));
        self.lenders.push(Lender { open, content, failed, is_asked_alone: false });
    }

    /// The indexes, each verified against the hash in the log.
    pub fn indexes(&self) -> Result<&[Index]> {
        let most = if self.bucket.is_far() { INDEXES_AT_ONCE } else { 1 };
        let load = || {
            let loaded = side_by_side(&self.rows, most, |row| self.index(row)).into_iter().collect();
            let loaded = self.or_newer_indexes(loaded)?;
            if let Some(kept) = &self.kept_indexes {
                kept.remove_others(&self.rows);
            }
            Ok(loaded)
        };
        self.indexes.get_or_make(load).map(Vec::as_slice)
    }

    /// The index that a log record registers, verified against the hash there.
    pub fn index(&self, row: &IndexRow) -> Result<Index> {
        if let Some(index) = self.kept_indexes.as_ref().and_then(|kept| kept.get(row)) {
            return Ok(index);
        }
        let index = load_index(&self.bucket, row)?;
        self.keep_index(row, index.bytes());
        Ok(index)
    }

    /// Whether an index names the chunk.
    pub fn has_chunk(&self, id: &Id) -> Result<bool> {
        Ok(self.indexes()?.iter().any(|index| index.find_chunk(id).is_some()))
    }

    /// Where an index says that a meta object lies.
    pub fn find_meta(&self, id: &Id, kind: ItemKind) -> Result<Option<Place>> {
        Ok(self.indexes()?.iter().find_map(|index| index.find_meta(id, kind)))
    }

    /// Where an index says that a chunk lies.
    pub fn find_chunk(&self, id: &Id) -> Result<Option<Place>> {
        Ok(self.indexes()?.iter().find_map(|index| index.find_chunk(id)))
    }

    /// A chunk, verified against its id.
    pub fn chunk(&self, id: &Id, hint: Option<&Place>) -> Result<Item> {
        self.item(id, ItemKind::Chunk, hint)
    }

    /// A meta object, verified against its id (a recipe root against its check and its content id).
    pub fn meta(&self, id: &Id, kind: ItemKind, hint: Option<&Place>) -> Result<Item> {
        self.item(id, kind, hint)
    }

    fn item_as_known(&self, id: &Id, kind: ItemKind, hint: Option<&Place>) -> Result<Item> {
        let own_hint = match hint {
            // To look for its pack here would cost a failing request for each item.
            Some(place) if self.is_lent(&place.frame.pack)? => None,
            hint => hint.filter(|place| !self.ranges.is_gone(&place.frame.pack)),
        };
        let hint_fault = match own_hint.map(|place| self.item_at(id, kind, place)) {
            Some(Ok(item)) => return Ok(item),
            // A store that doesn't answer isn't damaged.
            Some(Err(fault)) if fault.kind() == Kind::Unreachable => return Err(fault),
            Some(Err(fault)) => Some(fault),
            None => None,
        };
        let mut first_fault = None;
        for index in self.indexes()? {
            let Some(place) = index.find(id, kind) else { continue };
            self.ranges.ask_anew(&place.frame.pack);
            let read = || self.item_at(id, kind, &place);
            // What the hint led to was read once already.
            let outcome = if own_hint == Some(&place) { read() } else { self.bucket.read_verified(read) };
            match outcome {
                Ok(item) => return Ok(item),
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                Err(fault) => first_fault.get_or_insert(fault),
            };
        }
        let mut first_fault = first_fault.or(hint_fault);
        let mut unreachable = None;
        for (lender, hint) in self.lenders_in_turn(hint) {
            match lender.content().and_then(|content| content.item(id, kind, hint)) {
                Ok(item) => return Ok(item),
                Err(fault) if fault.kind() == Kind::Unreachable => unreachable = unreachable.or(Some(fault)),
                Err(fault) => first_fault = Some(fault),
            };
        }
        Err(unreachable.or(first_fault).unwrap_or_else(|| {
            let message = format!("no index of {} names {} {}", self.bucket.describe(), describe(kind), id.short());
            Error::damaged(message).hint(self.bucket.verify_hint())
        }))
    }

    /// Those that can be opened first, each with the hint if that is for it. Of several, the one before all that has the hint's pack:
    /// the others would be asked for it in vain, or have the object where nothing was read ahead.
    fn lenders_in_turn<'h>(&self, hint: Option<&'h Place>) -> Vec<(&Lender, Option<&'h Place>)> {
        let own_hint = |lender: &Lender| match self.lenders.len() {
            1 => hint,
            _ => hint.filter(|place| lender.ready().is_some_and(|content| content.lends(&place.frame.pack))),
        };
        let mut lenders: Vec<_> = self.lenders.iter().map(|lender| (lender, own_hint(lender))).collect();
        lenders.sort_by_key(|(lender, hint)| (lender.ready().is_none(), hint.is_none()));
        lenders
    }

    /// Whether a pack is its own, or that of a store that it borrows from.
    fn lends(&self, pack: &ObjectName) -> bool {
        self.owns(pack).unwrap_or(false)
            || self.lenders.iter().filter_map(Lender::ready).any(|content| content.lends(pack))
    }

    fn owns(&self, pack: &ObjectName) -> Result<bool> {
        Ok(self.named_packs()?.contains(pack))
    }

    fn named_packs(&self) -> Result<&HashSet<ObjectName>> {
        self.own_packs.get_or_make(|| Ok(self.indexes()?.iter().flat_map(Index::packs).map(|pack| pack.name).collect()))
    }

    fn item_at(&self, id: &Id, kind: ItemKind, place: &Place) -> Result<Item> {
        let folder = kind.home();
        let frame = self.frame(folder, &place.frame).inspect_err(|_| self.forget(folder, &place.frame))?;
        let item = Item { frame, place: *place };
        let good = place.is_possible() && place.frame.raw_bytes as usize == item.frame.len() && {
            match kind {
                ItemKind::RecipeRoot => RecipeRoot::parse(item.bytes()).is_ok_and(|root| root.content == *id),
                _ => Id::of(item.bytes()) == *id,
            }
        };
        if !good {
            // The next reader asks the store again: perhaps it was the reading that went wrong.
            self.cache(|cache| cache.forget(&place.frame));
            self.forget(folder, &place.frame);
        }
        match good {
            true => Ok(item),
            false => Err(self.damaged(folder, &place.frame, &format!("isn't {} {}", describe(kind), id.short()))),
        }
    }

    /// Has a frame that turned out wrong read from the store, by whoever asks for it next.
    fn forget(&self, folder: ObjectKind, place: &FramePlace) {
        self.fetcher.forget(place);
        self.parts().clear();
        if let Some(kept) = self.kept(folder) {
            kept.remove(place);
        }
    }

    /// The frames of such packs that are kept on this machine.
    fn kept(&self, folder: ObjectKind) -> Option<&KeptFrames> {
        self.kept_frames.as_ref().filter(|_| folder == ObjectKind::MetaPack)
    }

    fn keep(&self, folder: ObjectKind, place: &FramePlace, stored: &[u8]) {
        if let Some(kept) = self.kept(folder) {
            kept.put(place, stored);
        }
    }

    /// The stored bytes of a data frame that holds exactly `chunks` (ids and lengths), each verified.
    pub fn whole_frame(&self, place: &FramePlace, chunks: &[(Id, u32)]) -> Result<Bytes> {
        let folder = ObjectKind::Pack;
        let stored = self.stored(folder, place)?;
        let raw = self.decode(folder, place, stored.clone())?;
        let mut at = 0;
        for (id, len) in chunks {
            let bytes = raw.get(at..at + *len as usize).filter(|bytes| Id::of(bytes) == *id);
            at += bytes.ok_or_else(|| self.damaged(folder, place, &format!("lacks chunk {}", id.short())))?.len();
        }
        match at == raw.len() {
            true => Ok(stored),
            false => Err(self.damaged(folder, place, "holds more than it should")),
        }
    }

    fn stored(&self, folder: ObjectKind, place: &FramePlace) -> Result<Bytes> {
        if let Some(stored) = self.fetcher.held(place) {
            return Ok(stored);
        }
        if let Some(stored) = self.kept(folder).and_then(|kept| kept.get(place)) {
            return Ok(stored);
        }
        let object = folder.object(&place.pack);
        if !self.may_be_there(&place.pack) {
            return Err(Error::damaged(format!("no index names {object}")).hint(self.bucket.verify_hint()));
        }
        let read = self.read(folder, place.pack, place.offset.into(), place.stored_bytes.into());
        read.inspect(|stored| self.keep(folder, place, stored)).map_err(|fault| match fault.kind() {
            Kind::NotFound => {
                Error::damaged(format!("{object} is missing")).because(fault).hint(self.bucket.verify_hint())
            }
            Kind::Damaged if fault.next_step().is_none() => fault.hint(self.bucket.verify_hint()),
            _ => fault,
        })
    }

    fn frame(&self, folder: ObjectKind, place: &FramePlace) -> Result<Bytes> {
        if let Some(frame) = self.cache(|cache| cache.get(place)) {
            return Ok(frame);
        }
        match self.fetcher.held(place) {
            // It is in memory as long as who reads ahead wants it; in the cache it would keep all of its range there.
            Some(stored) if place.encoding == Encoding::Raw => self.decode(folder, place, stored),
            held => {
                let stored = held.map_or_else(|| self.stored(folder, place), Ok)?;
                let decoded = self.decode(folder, place, stored)?;
                self.cache(|cache| cache.put(place, decoded.clone()));
                Ok(decoded)
            }
        }
    }

    /// Begins to read frames of packs that are far away: neighbours in one request, several requests at once. Reading what lies in them
    /// asks the store nothing until what this gives is dropped.
    ///
    /// What comes is told to `tally`, if there is one. `places` are advice, as hints are: a frame that can't be had is left to whoever asks for it, and nothing is verified here. What is
    /// held counts as stored, not decoded.
    ///
    /// The frames of their bases are read along.
    pub fn read_ahead(&self, kind: ObjectKind, places: &[FramePlace], tally: Option<&Arc<Tally>>) -> Ahead {
        let mut ahead = Ahead::default();
        for (content, places) in self.far_owners(places) {
            content.fetcher.start(kind, &content.with_bases(kind, places), tally, &mut ahead);
        }
        ahead
    }

    /// As [`Content::read_ahead`], without the bases: for a caller that has them.
    pub fn read_ahead_alone(&self, kind: ObjectKind, places: &[FramePlace], tally: Option<&Arc<Tally>>) -> Ahead {
        let mut ahead = Ahead::default();
        for (content, places) in self.far_owners(places) {
            content.fetcher.start(kind, &places, tally, &mut ahead);
        }
        ahead
    }

    fn far_owners(&self, places: &[FramePlace]) -> impl Iterator<Item = (&Content, Vec<FramePlace>)> {
        self.owners(places).into_iter().filter(|(content, _)| content.bucket.is_far())
    }

    /// Whether what is held in memory leaves room to read on.
    pub fn may_read_on(&self) -> bool {
        self.fetcher.has_room() && self.lenders.iter().filter_map(Lender::ready).all(Content::may_read_on)
    }

    /// Reads frames ahead that are about to be asked for, neighbours in one request each, and keeps them decoded.
    ///
    /// As [`Content::read_ahead`], near stores included. What is kept is bounded, 32 MiB: a caller with more goes on in steps.
    pub fn prefetch(&self, kind: ObjectKind, places: &[FramePlace]) {
        for (content, mut places) in self.owners(places) {
            let is_read =
                |place: &FramePlace| content.part(kind, place.pack, place.offset.into(), place.stored_bytes.into());
            let is_kept = |place: &FramePlace| content.kept(kind).is_some_and(|kept| kept.has(place));
            places.retain(|place| {
                content.cache(|cache| cache.get(place)).is_none() && is_read(place).is_none() && !is_kept(place)
            });
            // One frame costs no more when it is asked for.
            if places.len() > 1 {
                content.keep_decoded(kind, &places);
            }
        }
    }

    fn keep_decoded(&self, kind: ObjectKind, places: &[FramePlace]) {
        let mut ahead = Ahead::default();
        self.fetcher.start(kind, places, None, &mut ahead);
        ahead.wait().ok();
        for place in places {
            let Some(stored) = self.fetcher.held(place) else { continue };
            self.keep(kind, place, &stored);
            if let Ok(decoded) = self.decode(kind, place, stored) {
                // A copy of a slice: it would keep all of its range in memory.
                let decoded = if place.encoding == Encoding::Raw { Bytes::copy_from_slice(&decoded) } else { decoded };
                self.cache(|cache| cache.put(place, decoded));
            }
        }
    }

    /// Which of the places are this store's, and which those of stores that lend.
    fn owners(&self, places: &[FramePlace]) -> Vec<(&Content, Vec<FramePlace>)> {
        let is_own = |place: &FramePlace| self.lenders.is_empty() || self.owns(&place.pack).unwrap_or(true);
        let (mut own, lent): (Vec<FramePlace>, Vec<FramePlace>) = places.iter().partition(|place| is_own(place));
        own.retain(|place| self.may_lead(&place.pack));
        let mut owners = vec![(self, own)];
        if !lent.is_empty() {
            let is_alone = self.lenders.len() == 1;
            for content in self.lenders.iter().filter_map(Lender::ready) {
                let its =
                    lent.iter().filter(|place| is_alone || content.lends(&place.pack)).copied().collect::<Vec<_>>();
                owners.extend(content.owners(&its));
            }
        }
        owners
    }

    /// Reads a root's frame ahead, and up to `before` stored bytes that stand before it: there its children are, if they were written
    /// with it. Kept as it is, until two others are read so.
    pub fn prefetch_root(&self, kind: ObjectKind, root: &FramePlace, before: u32) {
        if self.kept(kind).is_some_and(|kept| kept.has(root)) || !self.may_lead(&root.pack) {
            return;
        }
        let start = root.offset.saturating_sub(before).max(HEADER_LEN as u32).into();
        let end = u64::from(root.offset) + u64::from(root.stored_bytes);
        if let Ok(bytes) = self.read(kind, root.pack, start, end.saturating_sub(start)) {
            let mut parts = self.parts();
            parts.truncate(PARTS - 1);
            parts.push_front(Part { kind, pack: root.pack, start, bytes });
        }
    }

    fn parts(&self) -> MutexGuard<'_, VecDeque<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of a pack, if they were read ahead.
    fn part(&self, kind: ObjectKind, pack: ObjectName, offset: u64, len: u64) -> Option<Bytes> {
        self.parts().iter().find_map(|part| part.slice(kind, pack, offset, len))
    }

    fn read(&self, kind: ObjectKind, pack: ObjectName, offset: u64, len: u64) -> Result<Bytes> {
        match self.part(kind, pack, offset, len) {
            Some(bytes) => Ok(bytes),
            None => self.ranges.read(kind, pack, offset, len, None),
        }
    }

    fn decode(&self, folder: ObjectKind, place: &FramePlace, stored: Bytes) -> Result<Bytes> {
        let raw_bytes = place.raw_bytes as usize;
        let decoded = match place.encoding {
            Encoding::Raw => stored,
            Encoding::Zstd => decompress(&stored, raw_bytes, None)
                .map_err(|fault| self.damaged(folder, place, "can't be decoded").because(fault))?
                .into(),
            Encoding::Based(base) => {
                let base = self.plain_copy(folder, &base)?;
                decompress(&stored, raw_bytes, Some(base.bytes()))
                    .map_err(|fault| self.damaged(folder, place, "can't be decoded").because(fault))?
                    .into()
            }
        };
        match decoded.len() == raw_bytes {
            true => Ok(decoded),
            false => Err(self.damaged(folder, place, "has the wrong length")),
        }
    }

    fn damaged(&self, folder: ObjectKind, place: &FramePlace, why: &str) -> Error {
        let message = format!("{}/{}: the frame at byte {} {why}", folder.folder(), place.pack, place.offset);
        Error::damaged(message).hint(self.bucket.verify_hint())
    }

    /// The hint of an error about damage in the store.
    pub fn verify_hint(&self) -> String {
        self.bucket.verify_hint()
    }

    fn cache<T>(&self, with: impl FnOnce(&mut FrameCache) -> T) -> T {
        with(&mut self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn load_index(bucket: &Bucket, row: &IndexRow) -> Result<Index> {
    let name = format!("index/{}", row.name);
    let missing = |fault: Error| match fault.kind() {
        Kind::NotFound => Error::damaged(format!("{name} is missing")).because(fault).hint(bucket.verify_hint()),
        _ => fault,
    };
    let read = || {
        let bytes = bucket.get(&name)?;
        match Id::of(&bytes) == row.id {
            true => Ok(bytes),
            false => Err(Error::damaged(format!("{name} isn't what the log registered")).hint(bucket.verify_hint())),
        }
    };
    let bytes = bucket.read_verified(read).map_err(missing)?;
    Index::parse(bytes).map_err(|fault| fault.within(format!("{name} is damaged")).hint(bucket.verify_hint()))
}

fn describe(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Chunk => "chunk",
        ItemKind::Node => "the manifest node",
        ItemKind::RecipeRoot => "the recipe of content",
        ItemKind::RecipePage => "the recipe page",
        ItemKind::Version => "the version record",
        ItemKind::Attributes => "the attributes",
        ItemKind::Tombstone => "the tombstone",
        ItemKind::StateNode => "the state node",
    }
}
