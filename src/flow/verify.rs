//! Reading everything and saying what is wrong: findings, not the first error.
//!
//! Objects first (every stored bit is covered by some hash, and a pack must be the one that the indexes speak of), then the log's
//! chain with the states that it names, then whether each version is complete: every node, recipe and chunk that it needs stands
//! in a registered index.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::PoisonError;

use rayon::prelude::*;

use crate::base::{Counter, Error, Id, Kind, ObjectName, Observer, Result};
use crate::chunk::compress::decompress;
use crate::chunk::cut::SMALL_FILE;
use crate::format::header::ObjectKind;
use crate::format::index::Index;
use crate::format::manifest::{Entry, EntryKind};
use crate::format::node::{Node, TreeKind};
use crate::format::pack::{ItemKind, frame_is_intact, parse_pack};
use crate::format::place::Encoding;
use crate::format::recipe::{RecipePage, RecipeRoot};
use crate::format::record::{Record, StateRef};
use crate::format::version::Version;
use crate::history::fold::Fold;
use crate::history::state;
use crate::store::content::Content;
use crate::store::lanes::with_threads;
use crate::store::log;
use crate::store::objects::Bucket;
use crate::store::uses;

use super::agree::Agreement;

/// Objects of a far store that are read at once; packs are read whole, 32 MiB each.
const FAR_OBJECTS: usize = 6;
/// Records that are read before they are looked at in order.
const RECORDS: usize = 64;

/// Something that isn't as it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// `damaged` or `missing`.
    pub kind: &'static str,
    /// The stored object, or the id of what is missing.
    pub object: String,
    /// A path that needs it, where known.
    pub path: Option<String>,
    pub why: String,
}

/// What a verification saw.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub checked_bytes: u64,
    pub objects: u64,
    /// Contents that versions name and that were purged.
    pub purged: u64,
    /// Sorted.
    pub findings: Vec<Finding>,
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Percent of the packs, 0 < sample ≤ 100.
    pub sample: f64,
}

/// Reads all objects of a store, or a sample of its packs, and checks that every version is complete.
///
/// `fold` is what the log says; an empty one, where the log itself can't be read, leaves the check of objects. `content` is that fold's; what
/// it can borrow from another store isn't missing.
pub fn verify_store(
    bucket: &Bucket,
    fold: &Fold,
    content: &Content,
    extent: Extent,
    observer: &Observer,
) -> Result<Report> {
    let agreement = match content.indexes() {
        Ok(indexes) => Agreement::of(indexes),
        Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
        // That one is damaged or missing is found below.
        Err(_) => Agreement::default(),
    };
    let objects = list_objects(bucket)?;
    let listed = objects.iter().map(|object| (object.name.clone(), object.bytes)).collect();
    let check = Check { bucket, content, agreement, listed, observer, report: Mutex::default() };
    let sampled: Vec<_> = objects.into_iter().filter(|object| object.is_due(extent.sample)).collect();
    observer.add(Counter::BytesTotal, sampled.iter().map(|object| object.bytes).sum());
    let read = || sampled.par_iter().try_for_each(|object| check.object(object)).and_then(|()| check.chain(fold));
    if bucket.is_far() {
        with_threads(FAR_OBJECTS, read)??
    } else {
        read()?
    };
    check.registered(fold)?;
    match content.indexes() {
        Ok(_) => check.versions(fold)?,
        Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
        // A damaged or missing index was found above; what versions need can't be told without it.
        Err(_) => {}
    }
    let mut report = check.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.findings.sort();
    report.findings.dedup();
    Ok(report)
}

struct Stored {
    kind: Option<ObjectKind>,
    name: String,
    bytes: u64,
}

impl Stored {
    /// All small objects are read; of packs, those whose random name falls into the sample.
    fn is_due(&self, sample: f64) -> bool {
        let share = f64::from(Id::of(self.name.as_bytes()).word() as u32) / f64::from(u32::MAX) * 100.0;
        self.kind != Some(ObjectKind::Pack) || sample >= 100.0 || share < sample
    }
}

fn list_objects(bucket: &Bucket) -> Result<Vec<Stored>> {
    let mut objects = Vec::new();
    for kind in ObjectKind::ALL {
        list_below(bucket, kind, kind.folder().to_owned(), &mut objects)?;
    }
    Ok(objects)
}

fn list_below(bucket: &Bucket, kind: ObjectKind, folder: String, into: &mut Vec<Stored>) -> Result<()> {
    let listing = bucket.list(&folder)?;
    for object in listing.objects {
        into.push(Stored { kind: Some(kind), name: format!("{folder}/{}", object.name), bytes: object.bytes });
    }
    listing.folders.into_iter().try_for_each(|name| list_below(bucket, kind, format!("{folder}/{name}"), into))
}

struct Check<'a> {
    bucket: &'a Bucket,
    content: &'a Content,
    agreement: Agreement,
    /// Length of every object that a list shows.
    listed: HashMap<String, u64>,
    observer: &'a Observer,
    report: Mutex<Report>,
}

/// What was found in one object.
struct Looked {
    damage: Vec<String>,
    /// `None` where it couldn't be read.
    bytes: Option<u64>,
}

impl Check<'_> {
    fn find(&self, kind: &'static str, object: &str, path: Option<&str>, why: impl ToString) {
        let finding = Finding { kind, object: object.to_owned(), path: path.map(str::to_owned), why: why.to_string() };
        self.report.lock().unwrap_or_else(PoisonError::into_inner).findings.push(finding);
    }

    fn object(&self, object: &Stored) -> Result<()> {
        let mut looked = self.look_into(object)?;
        // As with `Bucket::read_verified`: a bit may flip on the way.
        if !looked.damage.is_empty() && self.bucket.is_far() {
            looked = self.look_into(object)?;
        }
        looked.damage.iter().for_each(|why| self.find("damaged", &object.name, None, why));
        let Some(bytes) = looked.bytes else { return Ok(()) };
        self.observer.add(Counter::Bytes, bytes);
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.checked_bytes += bytes;
        report.objects += 1;
        Ok(())
    }

    fn look_into(&self, object: &Stored) -> Result<Looked> {
        let bytes = match self.bucket.get(&object.name) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
            Err(fault) => return Ok(Looked { damage: vec![fault.in_one_line()], bytes: None }),
        };
        let damage = match object.kind {
            Some(ObjectKind::Index) => Index::parse(bytes.clone()).map(|_| Vec::new()),
            Some(ObjectKind::Record) => record(&object.name, &bytes).map(|()| Vec::new()),
            Some(ObjectKind::Use) => uses::check(&object.name, &bytes).map(|_| Vec::new()),
            None => Ok(Vec::new()),
            Some(kind) => self.pack_damage(kind, &object.name, &bytes),
        };
        let damage = damage.unwrap_or_else(|fault| vec![fault.in_one_line()]);
        Ok(Looked { damage, bytes: Some(bytes.len() as u64) })
    }

    /// All that is wrong with a pack that can be read at all.
    fn pack_damage(&self, kind: ObjectKind, name: &str, bytes: &[u8]) -> Result<Vec<String>> {
        let mut damage = Vec::new();
        let footer = parse_pack(kind, bytes)?;
        let pack = name.rsplit('/').next().and_then(|last| ObjectName::parse(last).ok());
        if !pack.is_some_and(|pack| self.agreement.holds(pack, &footer)) {
            damage.push("holds other things than an index says of it".to_owned());
        }
        // Nobody reads what no index names, as what a killed writer left: its bases may never have come.
        let is_read = kind == ObjectKind::State || pack.is_some_and(|pack| self.agreement.speaks_of(pack));
        for (frame, items) in footer.items_by_frame() {
            let stored = &bytes[frame.offset as usize..(frame.offset + frame.stored_bytes) as usize];
            let at = |why: &str| format!("the frame at byte {} {why}", frame.offset);
            if frame.check.is_some_and(|check| !frame_is_intact(stored, check)) {
                damage.push(at("doesn't match its check"));
                continue;
            }
            if frame.encoding.needs_base() && !is_read {
                continue;
            }
            let raw = match frame.encoding {
                Encoding::Raw => Ok(stored.to_vec()),
                Encoding::Zstd => decompress(stored, frame.raw_bytes as usize, None),
                Encoding::Based(base) => self
                    .content
                    .plain_copy(kind, &base)
                    .and_then(|base| decompress(stored, frame.raw_bytes as usize, Some(base.bytes()))),
            };
            let raw = match raw {
                Ok(raw) => raw,
                Err(fault) => {
                    damage.push(at(&format!("can't be decoded: {}", fault.in_one_line())));
                    continue;
                }
            };
            for item in items {
                let object = &raw[item.at as usize..(item.at + item.len) as usize];
                let good = match item.kind {
                    ItemKind::RecipeRoot => RecipeRoot::parse(object).is_ok_and(|root| root.content == item.id),
                    kind if kind.is_named_by_hash() => Id::of(object) == item.id,
                    _ => true,
                };
                if !good {
                    damage.push(at(&format!("doesn't hold {}", item.id.short())));
                }
            }
        }
        Ok(damage)
    }

    fn is_found(&self, object: &str) -> bool {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.findings.iter().any(|finding| finding.object == object)
    }

    /// The chain of records without a gap, each naming the one before, and the states that they name.
    fn chain(&self, fold: &Fold) -> Result<()> {
        let mut before = Id::ZERO;
        let mut states: Vec<StateRef> = Vec::new();
        let numbers: Vec<u64> = (1..=fold.number).collect();
        let read = |number: &u64| (*number, log::read(self.bucket, *number));
        let records = numbers.chunks(RECORDS).flat_map(|some| some.par_iter().map(read).collect::<Vec<_>>());
        for (number, record) in records {
            let name = log::record_name(number);
            match record {
                Ok(Some((record, hash))) => {
                    if record.core.before != before && before != Id::MAX {
                        self.find("damaged", &name, None, "doesn't name the record before it");
                    }
                    before = hash;
                    states.extend(record.state.filter(|it| states.last().is_none_or(|last| last.pack() != it.pack())));
                }
                Ok(None) => {
                    self.find("missing", &name, None, "the log has a gap");
                    before = Id::MAX;
                }
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                Err(fault) => {
                    before = Id::MAX;
                    // Most damage was found when the object was read.
                    if !self.is_found(&name) {
                        self.find("damaged", &name, None, fault.in_one_line());
                    }
                }
            }
        }
        // Collection keeps the last two.
        let kept = states.len().saturating_sub(2);
        states.iter().enumerate().try_for_each(|(number, state)| self.state(state, number >= kept))
    }

    fn state(&self, state: &StateRef, is_kept: bool) -> Result<()> {
        let name = format!("{}/{}", ObjectKind::State.folder(), state.pack());
        match (state::read(self.bucket, state), self.bucket.size(&name)?) {
            (Err(fault), _) if fault.kind() == Kind::Unreachable => return Err(fault),
            (_, None) if !is_kept => {}
            (_, None) => self.find("missing", &name, None, "the log names it"),
            (Err(fault), _) if !self.is_found(&name) => self.find("damaged", &name, None, fault.in_one_line()),
            _ => {}
        }
        Ok(())
    }

    /// Every registered index is what was registered, and the packs that it names are there in full.
    fn registered(&self, fold: &Fold) -> Result<()> {
        for row in fold.indexes.values() {
            let name = format!("index/{}", row.name);
            let read = || {
                let bytes = self.bucket.get(&name)?;
                match Id::of(&bytes) == row.id {
                    true => Index::parse(bytes),
                    false => Err(Error::damaged("isn't what the log registered")),
                }
            };
            let index = match self.bucket.read_verified(read) {
                Ok(index) => Ok(index),
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                Err(fault) if fault.kind() == Kind::NotFound => {
                    self.find("missing", &name, None, "the log registers it");
                    continue;
                }
                Err(fault) => Err(fault),
            };
            match index {
                Ok(index) => self.packs_of(&index)?,
                Err(fault) => self.find("damaged", &name, None, fault.in_one_line()),
            }
        }
        Ok(())
    }

    fn packs_of(&self, index: &Index) -> Result<()> {
        for pack in index.packs() {
            let name = format!("{}/{}", pack.kind.folder(), pack.name);
            // A list may lag behind.
            let listed = self.listed.get(&name).copied();
            match listed.map_or_else(|| self.bucket.size(&name), |bytes| Ok(Some(bytes)))? {
                Some(bytes) if bytes == pack.bytes => {}
                Some(bytes) => {
                    self.find("damaged", &name, None, format!("has {bytes} bytes, not {}", pack.bytes));
                }
                None => self.find("missing", &name, None, "an index names it"),
            }
        }
        Ok(())
    }

    fn versions(&self, fold: &Fold) -> Result<()> {
        let mut seen = HashSet::new();
        // What was deleted can be brought back, so it must be whole.
        let datasets = fold.datasets.values().chain(fold.deleted.values());
        let rows = datasets.flat_map(|dataset| dataset.versions.values());
        for state in rows {
            let id = state.row.version;
            match self.content.meta(&id, ItemKind::Version, Some(&state.row.version_place)) {
                Ok(item) => match Version::parse(item.bytes()) {
                    Ok(version) if version.manifest == state.row.manifest => {}
                    Ok(_) => {
                        self.find("damaged", &id.to_string(), None, "the log and the record name different manifests")
                    }
                    Err(fault) => self.find("damaged", &id.to_string(), None, fault.in_one_line()),
                },
                Err(fault) => self.missing(&id, None, fault)?,
            }
            self.node(&state.row.manifest, None, "", &mut seen)?;
        }
        Ok(())
    }

    fn node(&self, id: &Id, level: Option<u8>, path: &str, seen: &mut HashSet<Id>) -> Result<()> {
        if !seen.insert(*id) {
            return Ok(());
        }
        let item = match self.content.meta(id, ItemKind::Node, None) {
            Ok(item) => item,
            Err(fault) => return self.missing(id, Some(path), fault),
        };
        let node = match Node::parse(TreeKind::Manifest, item.bytes()) {
            Ok(node) if level.is_none_or(|level| level == node.level()) => node,
            Ok(_) => {
                self.find("damaged", &id.to_string(), Some(path), "is of the wrong level");
                return Ok(());
            }
            Err(fault) => {
                self.find("damaged", &id.to_string(), Some(path), fault.in_one_line());
                return Ok(());
            }
        };
        for index in 0..node.len() {
            let path = String::from_utf8_lossy(node.key(index)).into_owned();
            if node.level() > 0 {
                self.node(&node.child(index).id, Some(node.level() - 1), &path, seen)?;
                continue;
            }
            match Entry::decode(node.value(index)) {
                Ok(entry) => self.entry(&entry, &path, seen)?,
                Err(fault) => self.find("damaged", &id.to_string(), Some(&path), fault.in_one_line()),
            }
        }
        Ok(())
    }

    fn entry(&self, entry: &Entry, path: &str, seen: &mut HashSet<Id>) -> Result<()> {
        let EntryKind::File { size, content, .. } = &entry.kind else { return Ok(()) };
        if *size == 0 || !seen.insert(*content) {
            return Ok(());
        }
        if self.content.tombstone(content).is_some() {
            self.report.lock().unwrap_or_else(PoisonError::into_inner).purged += 1;
            return Ok(());
        }
        if *size <= SMALL_FILE {
            return self.chunk(content, path);
        }
        match self.content.meta(content, ItemKind::RecipeRoot, None).and_then(|item| RecipeRoot::parse(item.bytes())) {
            Ok(root) => self.recipe(root.level, &root.children, path, seen),
            Err(fault) => self.missing(content, Some(path), fault),
        }
    }

    fn recipe(
        &self,
        level: u8,
        children: &[crate::format::recipe::RecipeChild],
        path: &str,
        seen: &mut HashSet<Id>,
    ) -> Result<()> {
        for child in children {
            if level == 0 {
                self.chunk(&child.id, path)?;
                continue;
            }
            if !seen.insert(child.id) {
                continue;
            }
            let page = self
                .content
                .meta(&child.id, ItemKind::RecipePage, None)
                .and_then(|item| RecipePage::parse(item.bytes(), level - 1, child.bytes));
            match page {
                Ok(page) => self.recipe(page.level, &page.children, path, seen)?,
                Err(fault) => self.missing(&child.id, Some(path), fault)?,
            }
        }
        Ok(())
    }

    /// That a chunk's bytes are right was seen when its pack was read.
    fn chunk(&self, id: &Id, path: &str) -> Result<()> {
        if !self.content.has_chunk(id)? && !self.content.can_borrow_chunk(id)? {
            self.find("missing", &id.to_string(), Some(path), "no index names this chunk");
        }
        Ok(())
    }

    fn missing(&self, id: &Id, path: Option<&str>, fault: Error) -> Result<()> {
        if fault.kind() == Kind::Unreachable {
            return Err(fault);
        }
        self.find("missing", &id.to_string(), path, fault.in_one_line());
        Ok(())
    }
}

/// A record is whole, and stands under its own number.
fn record(name: &str, bytes: &[u8]) -> Result<()> {
    let number = Record::parse(bytes)?.core.number;
    match log::record_name(number) == name {
        true => Ok(()),
        false => Err(Error::damaged(format!("holds record {number}"))),
    }
}
