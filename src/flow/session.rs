//! One writer's work on a store: content becomes packs, packs an index, entries a manifest, and all of it durable before any
//! log record speaks of it.
//!
//! The order is packs → meta packs → index → record (by the caller). While workers go on, packs that are durable are registered now and
//! then, so that a later run finds what was stored: deduplication against registered packs is how work is resumed.

use std::collections::HashMap;
use std::path::Path;

use crate::base::words::{counted, first_of};
use crate::base::{Error, Event, Id, Observer, Result};
use crate::format::hint::{self, ChildShape};
use crate::format::index::Index;
use crate::format::manifest::FolderGuard;
use crate::format::node::{TreeKind, Weight};
use crate::format::operation::{IndexRow, Things};
use crate::format::pack::ItemKind;
use crate::format::place::Place;
use crate::format::recipe;
use crate::format::tree::{NewNode, Root, TreeBuilder};
use crate::format::version::Version;
use crate::store::content::{Content, Item};
use crate::store::objects::Bucket;
use crate::tree::edit::Piece;
use crate::tree::scan::Found;

use super::gather::gather;
use super::known::Known;
use super::meta_packer::{MetaPacker, TOP_RANK};
use super::node_order::NodeOrder;
use super::packer::join_tails;
use super::places::{NODE_RANK, Places};
use super::registrar::{Often, Register, Registrar, Unindexed};
use super::store_files::{Outcome, PendingRecipe, Workshop};
use super::upload::Uploads;

/// Nodes of a manifest that are held back, to lie together, are written when there are so many bytes of them.
const HELD_BYTES: usize = 16 << 20;

/// A version's objects, durable and not yet in the log.
#[derive(Debug, Clone)]
pub struct NewVersion {
    pub id: Id,
    pub root: Root,
    pub version_place: Place,
    pub manifest_place: Place,
}

/// What a session comes to.
#[derive(Debug, Clone, Default)]
pub struct Finished {
    /// `None`: no version was wanted.
    pub version: Option<NewVersion>,
    /// To be registered in the record that adds the version; without one, for whoever stores the same again.
    pub indexes: Vec<IndexRow>,
    /// What that record relies on: of others, and of what was registered before it.
    pub relies: Things,
}

/// Content and size, in the version that is probably the parent, of the files that are large now, by path.
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
    /// `None`: nothing is stored.
    uploads: Option<Uploads>,
    recipes: Vec<PendingRecipe>,
    registrar: Registrar<'a>,
}

impl<'a> Session<'a> {
    /// A session that stores; long work is registered `often`.
    pub fn new(bucket: Bucket, content: &'a Content, jobs: usize, often: Often, observer: Observer) -> Session<'a> {
        let born = content.record();
        let uploads = Some(Uploads::new(bucket.clone(), born, observer.clone()));
        let registrar = Registrar::new(bucket.clone(), content, often);
        let known = Known::new(content);
        Session { bucket, content, known, observer, born, jobs, uploads, recipes: Vec::new(), registrar }
    }

    /// A session that reads, hashes and counts, and writes nothing.
    pub fn dry(bucket: Bucket, content: &'a Content, jobs: usize, observer: Observer) -> Session<'a> {
        let mut session = Session::new(bucket, content, jobs, Often::default(), observer);
        session.uploads = None;
        session
    }

    /// What the store had when the session began.
    pub fn content(&self) -> &'a Content {
        self.content
    }

    /// Says that what is stored may be taken from this version, whose record is another one's.
    pub fn use_version(&self, version: Id) {
        self.known.use_version(version);
    }

    /// Stores what the store lacks of `files` (in path order, below `source`); gives what became of each.
    ///
    /// `register` is called with indexes that a log record should name now. In the end all that was stored is durable.
    pub fn store(
        &mut self,
        source: &Path,
        files: &[Found],
        parent: &LargeFiles,
        register: &mut Register<'_>,
    ) -> Result<Vec<Outcome>> {
        self.observer.tell(Event::Phase("storing"));
        let uploads = self.uploads.as_ref();
        let workshop = Workshop {
            source,
            content: self.content,
            known: &self.known,
            uploads,
            observer: &self.observer,
            jobs: self.jobs,
            parent,
        };
        let stored = match uploads {
            None => workshop.store(files),
            Some(uploads) => self.registrar.while_registering(uploads, register, || {
                let mut round = workshop.store(files)?;
                if let Some(tail) = join_tails(std::mem::take(&mut round.tails), uploads)? {
                    uploads.send(tail)?;
                }
                uploads.wait();
                Ok(round)
            }),
        };
        let round = match (stored, self.uploads.take()) {
            (Err(fault), Some(uploads)) => return uploads.conclude(Err(fault)).map(|(never, _)| never),
            (stored, uploads) => {
                self.uploads = uploads;
                stored?
            }
        };
        self.recipes.extend(round.recipes);
        self.refuse_purged(files, &round.outcomes)?;
        Ok(round.outcomes)
    }

    /// Refuses the whole where some of it was purged: a version without these files isn't what was asked for.
    fn refuse_purged(&self, files: &[Found], outcomes: &[Outcome]) -> Result<()> {
        let is_purged = |outcome: &Outcome| match outcome {
            Outcome::Purged(id) => Some((*id, self.content.tombstone(id)?)),
            _ => None,
        };
        let paths = files.iter().map(|found| found.path.as_str());
        let purged: Vec<_> = paths.zip(outcomes).filter_map(|(path, it)| Some((path, is_purged(it)?))).collect();
        if purged.is_empty() {
            return Ok(());
        }
        let shown = purged.iter().map(|(path, (_, tombstone))| {
            format!("{path}: by record {} at {}: {}", tombstone.record, tombstone.time, tombstone.reason)
        });
        let list = first_of(&shown.collect::<Vec<_>>());
        let have = counted(purged.len(), "path has", "paths have");
        let message = format!("{have} content that was purged from this store:{list}");
        Err(Error::conflict(message)
            .hint("leave them out; where they may come back: `dagset unpurge STORE FILE… --reason TEXT`"))
    }

    /// Writes the manifest of `pieces` (entries, in path order, and leaves that the store has), then the version record that `version` makes of its root.
    ///
    /// `version` may give `None`: no version is written then.
    pub fn finish(
        mut self,
        pieces: impl Iterator<Item = Result<impl Into<Piece>>>,
        version: impl FnOnce(&Root) -> Result<Option<Version>>,
    ) -> Result<Finished> {
        self.observer.tell(Event::Phase("publishing"));
        if self.uploads.is_none() {
            let mut builder = TreeBuilder::new(TreeKind::Manifest, |_| Ok(()));
            push_pieces(&mut builder, pieces)?;
            return version(&builder.finish()?).map(|_| Finished::default());
        }
        let data = self.finish_data()?;
        let uploads = Uploads::new(self.bucket.clone(), self.born, self.observer.clone());
        let written = self.write_version(&uploads, data.index(), pieces, version);
        let (version, packs) = uploads.conclude(written)?;
        self.known.use_packs_of(self.registrar.own());
        let indexes = self.registrar.write(data, packs)?.into_iter().collect();
        Ok(Finished { version, indexes, relies: self.known.used() })
    }

    /// Writes the recipes of what was stored; no manifest, and no version.
    pub fn finish_content(mut self) -> Result<Finished> {
        let data = self.finish_data()?;
        let uploads = Uploads::new(self.bucket.clone(), self.born, self.observer.clone());
        let mut write = || {
            let mut meta = MetaPacker::new(&uploads)?;
            self.write_recipes(&mut meta, data.index())?;
            meta.finish().map(drop)
        };
        let written = write();
        let ((), packs) = uploads.conclude(written)?;
        self.known.use_packs_of(self.registrar.own());
        let indexes = self.registrar.write(data, packs)?.into_iter().collect();
        Ok(Finished { version: None, indexes, relies: self.known.used() })
    }

    /// The meta objects of a version, without its index.
    fn write_version(
        &mut self,
        uploads: &Uploads,
        data: &Index,
        pieces: impl Iterator<Item = Result<impl Into<Piece>>>,
        version: impl FnOnce(&Root) -> Result<Option<Version>>,
    ) -> Result<Option<NewVersion>> {
        let mut meta = MetaPacker::new(uploads)?;
        self.write_recipes(&mut meta, data)?;
        let places = Places { data, own: self.registrar.own(), known: &self.known };
        let mut nodes = NodeWriter {
            meta: &mut meta,
            places: &places,
            order: NodeOrder::default(),
            held: Vec::new(),
            held_bytes: 0,
        };
        let mut builder = TreeBuilder::new(TreeKind::Manifest, |node| nodes.take(node));
        push_pieces(&mut builder, pieces)?;
        let root = builder.finish()?;
        nodes.write_held()?;
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
        Ok(Some(NewVersion { id, root, version_place, manifest_place }))
    }

    fn finish_data(&mut self) -> Result<Unindexed> {
        let uploads = self.uploads.take().expect("a session that stores has its uploads");
        self.registrar.gather(uploads.finish()?)
    }

    fn write_recipes(&mut self, meta: &mut MetaPacker<'_>, data: &Index) -> Result<()> {
        let places = Places { data, own: self.registrar.own(), known: &self.known };
        for pending in std::mem::take(&mut self.recipes) {
            if meta.place_of(&pending.content, ItemKind::RecipeRoot).is_some()
                || self
                    .registrar
                    .own()
                    .iter()
                    .any(|index| index.find_meta(&pending.content, ItemKind::RecipeRoot).is_some())
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
}

/// Writes the nodes of a manifest that the store lacks, by rank.
struct NodeWriter<'n, 'u> {
    meta: &'n mut MetaPacker<'u>,
    places: &'n Places<'n>,
    order: NodeOrder,
    held: Vec<(u8, NewNode)>,
    held_bytes: usize,
}

impl NodeWriter<'_, '_> {
    fn take(&mut self, node: NewNode) -> Result<()> {
        if self.places.meta(self.meta, &node.id, ItemKind::Node)?.is_some() {
            return Ok(());
        }
        if node.level == 1 {
            let as_it_is = |_: &MetaPacker<'_>, leaf: &Item| Ok(leaf.hint().to_vec());
            gather(self.meta, self.places, &node.bytes, self.places.known.content(), as_it_is)?;
        }
        let rank = self.order.rank(&node.bytes)?;
        if rank == NODE_RANK {
            return self.write(rank, &node);
        }
        self.held_bytes += node.bytes.len();
        self.held.push((rank, node));
        if self.held_bytes > HELD_BYTES { self.write_held() } else { Ok(()) }
    }

    /// Writes what was held back; children before parents, as their ranks are.
    fn write_held(&mut self) -> Result<()> {
        self.held_bytes = 0;
        let mut held = std::mem::take(&mut self.held);
        held.sort_by_key(|(rank, _)| *rank);
        held.iter().try_for_each(|(rank, node)| self.write(*rank, node))
    }

    fn write(&mut self, rank: u8, node: &NewNode) -> Result<()> {
        let places = self.places;
        self.meta.add(rank, ItemKind::Node, node.id, &node.bytes, |meta| places.node_hint(meta, &node.bytes))
    }
}

fn push_pieces<S: FnMut(NewNode) -> Result<()>>(
    builder: &mut TreeBuilder<S>,
    pieces: impl Iterator<Item = Result<impl Into<Piece>>>,
) -> Result<()> {
    let mut guard = FolderGuard::default();
    for piece in pieces {
        match piece?.into() {
            Piece::Entry(path, entry) => {
                guard.next(&path)?;
                let weight = Weight { entries: 1, files: entry.is_file().into(), bytes: entry.bytes() };
                builder.push(path.as_str().as_bytes(), &entry.encode(), weight)?;
            }
            Piece::Leaf { last_key, child } => builder.push_leaf(&last_key, child)?,
        }
    }
    Ok(())
}
