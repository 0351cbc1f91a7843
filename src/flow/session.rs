//! One writer's work on a store: content becomes packs, packs an index, entries a manifest, and all of it durable before any
//! log record speaks of it.
//!
//! The order is packs → index → meta packs → index object → record (by the caller). Long work is sealed and registered every GiB,
//! so that a later run finds what was stored: deduplication against registered packs is how work is resumed.

use std::collections::HashMap;
use std::path::Path;

use crate::base::files::random_bytes;
use crate::base::{Counter, Event, Id, ObjectName, Observer, RepoPath, Result};
use crate::format::header::ObjectKind;
use crate::format::hint::{self, ChildShape};
use crate::format::index::{Index, IndexBuilder};
use crate::format::manifest::{Entry, FolderGuard};
use crate::format::node::{TreeKind, Weight};
use crate::format::operation::IndexRow;
use crate::format::pack::ItemKind;
use crate::format::place::Place;
use crate::format::recipe;
use crate::format::tree::{NewNode, Root, TreeBuilder};
use crate::format::version::Version;
use crate::store::content::Content;
use crate::store::objects::Bucket;
use crate::tree::scan::Found;

use super::known::Known;
use super::meta_packer::{MetaPacker, TOP_RANK};
use super::packer::join_tails;
use super::places::{NODE_RANK, Places};
use super::store_files::{Outcome, PendingRecipe, Workshop};
use super::upload::{OpenPack, StoredPack, Uploads};

/// Work is sealed when this much was stored since the last time.
const SEAL_BYTES: u64 = 1 << 30;
/// Files are given to the workers in rounds of this many bytes, so that sealing has its turn.
const ROUND_BYTES: u64 = 1 << 30;

/// A version's objects, durable and not yet in the log.
#[derive(Debug, Clone)]
pub struct NewVersion {
    pub id: Id,
    pub root: Root,
    pub version_place: Place,
    pub manifest_place: Place,
    /// To be registered in the record that adds the version.
    pub indexes: Vec<IndexRow>,
}

/// Content and size of large files of the version that is probably the parent, by path.
pub type LargeFiles = HashMap<Box<str>, (Id, u64)>;

/// One writer's work. Dropped before it is published, it leaves objects that no record names.
pub struct Session<'a> {
    bucket: Bucket,
    content: &'a Content,
    known: Known<'a>,
    observer: Observer,
    /// The log number that this session has seen.
    born: u64,
    jobs: usize,
    uploads: Option<Uploads>,
    tails: Vec<OpenPack>,
    recipes: Vec<PendingRecipe>,
    /// Indexes that this session wrote.
    own: Vec<Index>,
    sealed_bytes: u64,
}

impl<'a> Session<'a> {
    /// A session that stores.
    pub fn new(bucket: Bucket, content: &'a Content, born: u64, jobs: usize, observer: Observer) -> Session<'a> {
        let uploads = Some(Uploads::start(bucket.clone(), born, observer.clone()));
        Session {
            bucket,
            content,
            known: Known::new(content),
            observer,
            born,
            jobs,
            uploads,
            tails: Vec::new(),
            recipes: Vec::new(),
            own: Vec::new(),
            sealed_bytes: 0,
        }
    }

    /// A session that reads, hashes and counts, and writes nothing.
    pub fn dry(bucket: Bucket, content: &'a Content, jobs: usize, observer: Observer) -> Session<'a> {
        let mut session = Session::new(bucket, content, 0, jobs, observer);
        session.uploads = None;
        session
    }

    /// What the store had when the session began.
    pub fn content(&self) -> &'a Content {
        self.content
    }

    /// Stores what the store lacks of `files` (in path order, below `source`); gives what became of each.
    ///
    /// `register` is called with indexes that a log record should name now, after each GiB.
    pub fn store(
        &mut self,
        source: &Path,
        files: &[Found],
        parent: &LargeFiles,
        mut register: impl FnMut(Vec<IndexRow>) -> Result<()>,
    ) -> Result<Vec<Outcome>> {
        self.observer.tell(Event::Phase("storing"));
        let mut outcomes = Vec::with_capacity(files.len());
        let mut rest = files;
        while !rest.is_empty() {
            let (round, behind) = rest.split_at(round_len(rest));
            rest = behind;
            outcomes.extend(self.store_round(source, round, parent)?);
            if !rest.is_empty() && self.stored_since_seal() >= SEAL_BYTES {
                let rows = self.seal()?;
                register(rows)?;
            }
        }
        Ok(outcomes)
    }

    fn store_round(&mut self, source: &Path, files: &[Found], parent: &LargeFiles) -> Result<Vec<Outcome>> {
        let workshop = Workshop {
            source,
            content: self.content,
            known: &self.known,
            uploads: self.uploads.as_ref(),
            observer: &self.observer,
            jobs: self.jobs,
            parent,
        };
        let stored = workshop.store(files, std::mem::take(&mut self.tails)).and_then(|mut round| {
            let tails = std::mem::take(&mut round.tails);
            let tail = self.uploads.as_ref().map_or(Ok(None), |uploads| join_tails(tails, uploads))?;
            Ok((round, tail))
        });
        let (round, tail) = match (stored, self.uploads.take()) {
            (Err(fault), Some(uploads)) => return uploads.conclude(Err(fault)).map(|(never, _)| never),
            (stored, uploads) => {
                self.uploads = uploads;
                stored?
            }
        };
        self.recipes.extend(round.recipes);
        self.tails.extend(tail);
        Ok(round.outcomes)
    }

    fn stored_since_seal(&self) -> u64 {
        self.observer.get(Counter::StoredBytes) - self.sealed_bytes
    }

    /// Makes all content so far durable and indexed; gives the rows to register.
    fn seal(&mut self) -> Result<Vec<IndexRow>> {
        let data = self.finish_data()?;
        let uploads = Uploads::start(self.bucket.clone(), self.born, self.observer.clone());
        let written = MetaPacker::new(&uploads).and_then(|mut meta| {
            self.write_recipes(&mut meta, &data.index)?;
            meta.finish().map(drop)
        });
        let ((), packs) = uploads.conclude(written)?;
        let row = self.write_index(data, packs)?;
        self.sealed_bytes = self.observer.get(Counter::StoredBytes);
        Ok(row.into_iter().collect())
    }

    /// Writes the manifest of `entries` (in path order), then the version record that `version` makes of its root.
    ///
    /// `version` may give `None`: nothing more is written then, and nothing is to be published.
    pub fn finish(
        mut self,
        entries: impl Iterator<Item = Result<(RepoPath, Entry)>>,
        version: impl FnOnce(&Root) -> Result<Option<Version>>,
    ) -> Result<Option<NewVersion>> {
        self.observer.tell(Event::Phase("publishing"));
        if self.uploads.is_none() {
            let mut builder = TreeBuilder::new(TreeKind::Manifest, |_| Ok(()));
            push_entries(&mut builder, entries)?;
            return version(&builder.finish()?).map(|_| None);
        }
        let data = self.finish_data()?;
        let uploads = Uploads::start(self.bucket.clone(), self.born, self.observer.clone());
        let written = self.write_version(&uploads, &data.index, entries, version);
        let (written, packs) = uploads.conclude(written)?;
        let Some(written) = written else { return Ok(None) };
        let indexes = self.write_index(data, packs)?.into_iter().collect();
        Ok(Some(NewVersion { indexes, ..written }))
    }

    /// The meta objects of a version, without its index.
    fn write_version(
        &mut self,
        uploads: &Uploads,
        data: &Index,
        entries: impl Iterator<Item = Result<(RepoPath, Entry)>>,
        version: impl FnOnce(&Root) -> Result<Option<Version>>,
    ) -> Result<Option<NewVersion>> {
        let mut meta = MetaPacker::new(uploads)?;
        self.write_recipes(&mut meta, data)?;
        let places = Places { data, own: &self.own, content: self.content };
        let mut builder = TreeBuilder::new(TreeKind::Manifest, |node| write_node(&mut meta, &places, node));
        push_entries(&mut builder, entries)?;
        let root = builder.finish()?;
        let Some(version) = version(&root)? else { return Ok(None) };
        let record = version.encode()?;
        let id = Id::of(&record);
        meta.add(TOP_RANK, ItemKind::Version, id, &record, |meta| {
            Ok(hint::encode(&[(ChildShape::Meta, places.meta(meta, &root.id, ItemKind::Node)?)]))
        })?;
        let old_place = places.meta(&meta, &root.id, ItemKind::Node)?;
        let placed = meta.finish()?;
        let missing = || crate::base::Error::damaged("an object of the new version has no place");
        let version_place = placed.get(&(id, ItemKind::Version)).copied().ok_or_else(missing)?;
        let manifest_place = placed.get(&(root.id, ItemKind::Node)).copied().or(old_place).ok_or_else(missing)?;
        Ok(Some(NewVersion { id, root, version_place, manifest_place, indexes: Vec::new() }))
    }

    fn finish_data(&mut self) -> Result<DataPacks> {
        let uploads = self.uploads.take().expect("a session that stores has its uploads");
        let next = Uploads::start(self.bucket.clone(), self.born, self.observer.clone());
        let tails = std::mem::take(&mut self.tails);
        let sent = tails.into_iter().try_for_each(|tail| uploads.send(tail));
        let ((), packs) = uploads.conclude(sent)?;
        self.uploads = Some(next);
        let mut builder = IndexBuilder::new();
        let mut totals = Totals::default();
        for pack in packs {
            totals.add(&pack);
            builder.add_pack(pack.name, pack.kind, pack.bytes, &pack.footer)?;
        }
        Ok(DataPacks { index: Index::parse(builder.finish()?)?, totals })
    }

    fn write_recipes(&mut self, meta: &mut MetaPacker<'_>, data: &Index) -> Result<()> {
        let places = Places { data, own: &self.own, content: self.content };
        for pending in std::mem::take(&mut self.recipes) {
            if meta.place_of(&pending.content, ItemKind::RecipeRoot).is_some()
                || self.own.iter().any(|index| index.find_meta(&pending.content, ItemKind::RecipeRoot).is_some())
            {
                continue;
            }
            let root = recipe::build(pending.content, pending.chunks, |id, page, bytes| {
                if places.meta(meta, &id, ItemKind::RecipePage)?.is_some() {
                    return Ok(());
                }
                meta.add(page.level, ItemKind::RecipePage, id, &bytes, |meta| {
                    places.recipe_hint(meta, page.level, &page.children)
                })
            })?;
            meta.add(root.level, ItemKind::RecipeRoot, root.content, &root.encode(), |meta| {
                places.recipe_hint(meta, root.level, &root.children)
            })?;
        }
        Ok(())
    }

    fn write_index(&mut self, data: DataPacks, meta: Vec<StoredPack>) -> Result<Option<IndexRow>> {
        let DataPacks { index, mut totals } = data;
        if totals.packs == 0 && meta.is_empty() {
            return Ok(None);
        }
        let mut builder = IndexBuilder::new();
        builder.add_index(&index, |_| false)?;
        for pack in meta {
            totals.add(&pack);
            builder.add_pack(pack.name, pack.kind, pack.bytes, &pack.footer)?;
        }
        let index = Index::parse(builder.finish()?)?;
        let name = ObjectName { born: self.born, random: random_bytes()? };
        self.bucket.create(&format!("{}/{name}", ObjectKind::Index.folder()), index.bytes().clone())?;
        let bytes = index.bytes().len() as u64;
        let row = IndexRow {
            name,
            bytes,
            id: Id::of(index.bytes()),
            packs: totals.packs,
            pack_bytes: totals.pack_bytes,
            meta_bytes: totals.meta_bytes,
        };
        self.content.keep_index(&row, index.bytes());
        self.own.push(index);
        Ok(Some(row))
    }
}

/// The data packs since the last seal.
struct DataPacks {
    index: Index,
    totals: Totals,
}

#[derive(Default)]
struct Totals {
    packs: u64,
    pack_bytes: u64,
    meta_bytes: u64,
}

impl Totals {
    fn add(&mut self, pack: &StoredPack) {
        self.packs += 1;
        match pack.kind {
            ObjectKind::Pack => self.pack_bytes += pack.bytes,
            _ => self.meta_bytes += pack.bytes,
        }
    }
}

fn write_node(meta: &mut MetaPacker<'_>, places: &Places<'_>, node: NewNode) -> Result<()> {
    if places.meta(meta, &node.id, ItemKind::Node)?.is_some() {
        return Ok(());
    }
    meta.add(NODE_RANK + node.level, ItemKind::Node, node.id, &node.bytes, |meta| places.node_hint(meta, &node.bytes))
}

fn push_entries<S: FnMut(NewNode) -> Result<()>>(
    builder: &mut TreeBuilder<S>,
    entries: impl Iterator<Item = Result<(RepoPath, Entry)>>,
) -> Result<()> {
    let mut guard = FolderGuard::default();
    for entry in entries {
        let (path, entry) = entry?;
        guard.next(&path)?;
        let weight = Weight { entries: 1, files: entry.is_file().into(), bytes: entry.bytes() };
        builder.push(path.as_str().as_bytes(), &entry.encode(), weight)?;
    }
    Ok(())
}

fn round_len(files: &[Found]) -> usize {
    let mut bytes = 0u64;
    let fits = |found: &&Found| {
        bytes = bytes.saturating_add(found.stat.size);
        bytes <= ROUND_BYTES
    };
    files.iter().take_while(fits).count().max(1)
}
