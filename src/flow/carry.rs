//! Versions on their way from one store to another: only what the other lacks, found out from its indexes.
//!
//! Manifests are walked from the root; what a version that the target has shares is never entered. The new nodes are kept in memory
//! until a flush, which writes data packs, then the meta objects whose hints name them, then an index. A frame whose every chunk
//! is wanted travels as it is stored; of any other only the wanted chunks do, packed anew, so that no unwanted neighbour comes along.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rayon::prelude::*;

use crate::base::{Counter, Id, Kind, ObjectName, Observer, Result, Stage, Tally};
use crate::chunk::cut::SMALL_FILE;
use crate::format::header::{HEADER_LEN, ObjectKind};
use crate::format::hint::{ChildShape, encode as encode_hint};
use crate::format::index::Index;
use crate::format::manifest::EntryKind;
use crate::format::operation::{IndexRow, Things, VersionRow};
use crate::format::pack::{ItemKind, NewItem};
use crate::format::place::{Encoding, FramePlace, Place};
use crate::format::recipe::{RecipeChild, RecipePage, RecipeRoot};
use crate::store::content::{Content, Item};
use crate::store::objects::Bucket;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::subtrees::{StoredNode, new_nodes, node_ids};

use super::based_frames::BasedFrames;
use super::gather::gather;
use super::known::Known;
use super::meta_packer::{MetaPacker, TOP_RANK};
use super::node_order::{NodeOrder, is_above_leaves, is_leaf};
use super::packer::{Compress, Packer};
use super::places::Places;
use super::read_content::{ChunkToRead, recipe_places};
use super::registrar::{Often, Register, Registrar};
use super::upload::{OpenPack, Uploads};

/// Chunks are read and packed in batches of about this many bytes.
const BATCH_BYTES: u64 = 64 << 20;
/// And of at most so many.
const BATCH_CHUNKS: usize = 1 << 17;
/// Frames that are read together, before they are packed.
const GROUP_FRAMES: usize = 128;
/// Versions whose metadata is on its way at once.
const VERSIONS_AHEAD: usize = 16;
/// What is read with a version's root, before it: its new nodes, if it was published by itself.
const NODES_BYTES: u32 = 128 << 10;
/// No more is taken for the metadata of one version.
const STRETCH_BYTES: u32 = 1 << 20;
/// Meta objects are written when this many bytes of them wait.
const QUEUED_BYTES: usize = 64 << 20;

/// What of a version is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All that the target needs to give the version to anybody.
    Whole,
    /// The record and the manifest, whose hints go on naming the packs of the store that they come from. For a store that
    /// borrows content from there.
    Metadata,
}

/// One transfer into a store. Dropped before its rows are registered, it leaves objects that no record names.
pub struct Carrier<'a> {
    from: &'a Content,
    to: &'a Content,
    extent: Extent,
    /// Whether the files of versions come along by now.
    takes_content: bool,
    bucket: Bucket,
    born: u64,
    observer: Observer,
    /// `None`: nothing is written, only counted.
    uploads: Option<Uploads>,
    /// What has gone to a far store, whose packs are sent while later ones are filled; into a near one what comes is counted.
    sent: Option<Arc<Tally>>,
    tail: Option<OpenPack>,
    known: Known<'a>,
    based: BasedFrames<'a>,
    /// Manifest nodes that the target has or will have, with all below.
    nodes: HashSet<Id>,
    /// Large files that were seen.
    recipes: HashSet<Id>,
    wanted: Vec<ChunkToRead>,
    wanted_bytes: u64,
    node_order: NodeOrder,
    queue: Vec<Queued>,
    queued_bytes: usize,
    registrar: Registrar<'a>,
    carried: Vec<VersionRow>,
    /// Content that the target has purged.
    left_out: HashSet<Id>,
}

/// What a transfer came to.
#[derive(Default)]
pub struct Arrived {
    /// Of the carried versions, in the order in which they came, with their places in the target.
    pub rows: Vec<VersionRow>,
    /// To be registered with them.
    pub indexes: Vec<IndexRow>,
    /// What was in the target and what came needs.
    pub relies: Things,
    /// Contents that the target has purged, and that stayed behind.
    pub left_out: u64,
}

/// A meta object that waits for a flush.
struct Queued {
    rank: u8,
    id: Id,
    /// Copied out of its frame, which would else be kept whole.
    object: Box<[u8]>,
    hint: Box<[u8]>,
    what: What,
}

enum What {
    Node,
    Page(RecipePage),
    Recipe(RecipeRoot),
    Version { manifest: Id },
}

impl<'a> Carrier<'a> {
    /// A transfer into the store at `bucket`, whose content is `to`. With `dry`, nothing is written.
    pub fn new(
        from: &'a Content,
        (to, bucket): (&'a Content, Bucket),
        extent: Extent,
        dry: bool,
        often: Often,
        observer: Observer,
    ) -> Carrier<'a> {
        let born = to.record();
        let registrar = Registrar::new(bucket.clone(), to, often);
        let sent = bucket.is_far().then(|| Tally::new(&observer, u64::MAX));
        let uploads = (!dry).then(|| Uploads::telling(bucket.clone(), born, observer.clone(), sent.clone()));
        Carrier {
            from,
            to,
            extent,
            takes_content: extent == Extent::Whole,
            born,
            uploads,
            sent,
            tail: None,
            known: Known::new(to),
            based: BasedFrames::new(to),
            nodes: HashSet::new(),
            recipes: HashSet::new(),
            wanted: Vec::new(),
            wanted_bytes: 0,
            queue: Vec::new(),
            queued_bytes: 0,
            node_order: NodeOrder::default(),
            registrar,
            carried: Vec::new(),
            left_out: HashSet::new(),
            bucket,
            observer,
        }
    }

    /// Says that the target has all of a version; only the inner nodes of its manifest are read.
    pub fn target_has(&mut self, version: Id, manifest: &Manifest<'_>) -> Result<()> {
        self.known.use_version(version);
        node_ids(manifest, &mut self.nodes)
    }

    /// Carries versions, parents before children; what they descend from else was carried before or is in the target. `register` is called with
    /// indexes that a record should name now.
    pub fn carry(&mut self, rows: &[&VersionRow], register: &mut Register<'_>) -> Result<()> {
        // First the nodes of the newest version, which most readers want: so they lie together.
        if let [_, .., newest] = rows {
            self.carry_nodes(newest, register)?;
        }
        for rows in rows.chunks(VERSIONS_AHEAD) {
            let _ahead = self.from.read_ahead(ObjectKind::MetaPack, &stretches(rows), None);
            rows.iter().try_for_each(|row| self.carry_one(row, register))?;
        }
        Ok(())
    }

    fn carry_nodes(&mut self, row: &VersionRow, register: &mut Register<'_>) -> Result<()> {
        let manifest = Manifest::new(self.from, row.manifest, Some(row.manifest_place));
        let mut nodes = std::mem::take(&mut self.nodes);
        let walked = new_nodes(&manifest, &mut nodes, |node| self.take_node(node, register));
        self.nodes = nodes;
        walked
    }

    fn carry_one(&mut self, row: &VersionRow, register: &mut Register<'_>) -> Result<()> {
        self.carry_nodes(row, register)?;
        let item = self.from.meta(&row.version, ItemKind::Version, Some(&row.version_place))?;
        self.enqueue(TOP_RANK, row.version, &item, What::Version { manifest: row.manifest });
        self.carried.push(row.clone());
        Ok(())
    }

    /// Carries no content of the files of versions from now on, of which the store that they come from has none. What was carried before stays
    /// whole: the nodes that they share aren't entered again.
    pub fn leave_content(&mut self) {
        self.takes_content = false;
    }

    /// Writes the rest.
    pub fn finish(mut self, register: &mut Register<'_>) -> Result<Arrived> {
        self.copy_wanted(register)?;
        let indexes = self.flush(register)?;
        let mut rows = std::mem::take(&mut self.carried);
        if let Some(uploads) = self.uploads.take() {
            uploads.finish()?;
            for row in &mut rows {
                row.version_place = self.place_of(&row.version, ItemKind::Version)?;
                row.manifest_place = self.place_of(&row.manifest, ItemKind::Node)?;
            }
        }
        self.known.use_packs_of(self.registrar.own());
        Ok(Arrived { rows, indexes, relies: self.known.used(), left_out: self.left_out.len() as u64 })
    }

    fn place_of(&self, id: &Id, kind: ItemKind) -> Result<Place> {
        let own = self.registrar.own().iter().find_map(|index| index.find_meta(id, kind));
        let place = own.map_or_else(|| self.known.meta(id, kind), |place| Ok(Some(place)))?;
        place.ok_or_else(|| crate::base::Error::new(Kind::Failed, "an object that was carried has no place"))
    }

    fn take_node(&mut self, node: StoredNode, register: &mut Register<'_>) -> Result<()> {
        if self.takes_content {
            let recipes = node.leaves.iter().filter(|leaf| leaf.entry.bytes() > SMALL_FILE);
            let frames: Vec<FramePlace> = recipes.filter_map(|leaf| Some(leaf.place?.frame)).collect();
            self.from.prefetch(ObjectKind::MetaPack, &frames);
            for leaf in &node.leaves {
                self.take_content(leaf)?;
            }
        }
        let rank = self.node_order.rank(node.item.bytes())?;
        self.enqueue(rank, node.id, &node.item, What::Node);
        if self.wanted_bytes >= BATCH_BYTES || self.wanted.len() >= BATCH_CHUNKS {
            self.copy_wanted(register)?;
        }
        if self.queued_bytes >= QUEUED_BYTES {
            self.copy_wanted(register)?;
            let rows = self.flush(register)?;
            register(rows)?;
        }
        Ok(())
    }

    fn enqueue(&mut self, rank: u8, id: Id, item: &Item, what: What) {
        self.queued_bytes += item.bytes().len() + item.hint().len();
        self.queue.push(Queued { rank, id, object: item.bytes().into(), hint: item.hint().into(), what });
    }

    fn take_content(&mut self, leaf: &Leaf) -> Result<()> {
        let EntryKind::File { size, content, .. } = leaf.entry.kind else { return Ok(()) };
        if size == 0 || self.from.tombstone(&content).is_some() {
            return Ok(());
        }
        if self.to.tombstone(&content).is_some() {
            self.left_out.insert(content);
            return Ok(());
        }
        if size <= SMALL_FILE {
            return self.want(ChunkToRead { id: content, len: size as u32, place: leaf.place });
        }
        if !self.recipes.insert(content) {
            return Ok(());
        }
        let item = self.from.meta(&content, ItemKind::RecipeRoot, leaf.place.as_ref())?;
        let root = RecipeRoot::parse(item.bytes())?;
        self.take_children(root.level, &root.children, item.hint())?;
        self.enqueue(root.level, content, &item, What::Recipe(root));
        Ok(())
    }

    fn take_children(&mut self, level: u8, children: &[RecipeChild], hint: &[u8]) -> Result<()> {
        let places = recipe_places(level, children, hint);
        if level > 0 {
            let frames: Vec<FramePlace> = places.iter().flatten().map(|place| place.frame).collect();
            self.from.prefetch(ObjectKind::MetaPack, &frames);
        }
        for (&RecipeChild { id, bytes }, place) in children.iter().zip(places) {
            if level == 0 {
                self.want(ChunkToRead { id, len: bytes as u32, place })?;
            } else if self.recipes.insert(id) {
                let item = self.from.meta(&id, ItemKind::RecipePage, place.as_ref())?;
                let page = RecipePage::parse(item.bytes(), level - 1, bytes)?;
                self.take_children(page.level, &page.children, item.hint())?;
                self.enqueue(page.level, id, &item, What::Page(page));
            }
        }
        Ok(())
    }

    fn want(&mut self, chunk: ChunkToRead) -> Result<()> {
        if self.known.claim(&chunk.id)? {
            self.observer.add(Counter::NewChunks, 1);
            self.observer.add(Counter::NewBytes, chunk.len.into());
            if self.uploads.is_some() {
                self.observer.add(Counter::BytesTotal, chunk.len.into());
            }
            self.wanted_bytes += u64::from(chunk.len);
            self.wanted.push(chunk);
        }
        Ok(())
    }

    /// Packs the chunks that are wanted by now. A fault of the target comes before that of the work, which is its consequence.
    fn copy_wanted(&mut self, register: &mut Register<'_>) -> Result<()> {
        match (self.pack_wanted(register), &self.uploads) {
            (Err(fault), Some(_)) => {
                let uploads = self.uploads.take().expect("seen just now");
                uploads.conclude(Err(fault)).map(|((), _)| ())
            }
            (outcome, _) => outcome,
        }
    }

    fn pack_wanted(&mut self, register: &mut Register<'_>) -> Result<()> {
        let wanted = std::mem::take(&mut self.wanted);
        self.wanted_bytes = 0;
        let Some(uploads) = &self.uploads else { return Ok(()) };
        let from = self.from;
        let mut parts = by_frame(from, wanted)?;
        for part in &mut parts {
            part.decide(&mut self.based, &self.known)?;
        }
        let mut packer = Packer::new(uploads, self.tail.take())?;
        let fill = || {
            // Read by all cores, packed in order: a group is what the cores hold at a time. From afar, groups are on their way before.
            let mut groups = parts.chunks(GROUP_FRAMES);
            let mut coming = VecDeque::new();
            loop {
                while coming.is_empty() || (from.is_far() && from.may_read_on()) {
                    let Some(group) = groups.next() else { break };
                    let frames: Vec<FramePlace> = group.iter().filter_map(|part| part.frame).collect();
                    let bytes = if self.sent.is_some() { 0 } else { group.iter().map(Part::bytes).sum() };
                    let tally = Tally::new(&self.observer, bytes);
                    coming.push_back((group, from.read_ahead(ObjectKind::Pack, &frames, Some(&tally)), tally));
                }
                let Some((group, ahead, tally)) = coming.pop_front() else { break };
                ahead.wait()?;
                let read = group.par_iter().map(|part| part.read(from)).collect::<Result<Vec<_>>>()?;
                for (part, read) in group.iter().zip(read) {
                    tally.note(Stage::Placed, part.bytes());
                    match read {
                        Read::Frame(frame, stored) => packer.add_stored_frame(&frame, &stored, &part.items())?,
                        Read::Chunks(items) => {
                            for (chunk, item) in part.chunks.iter().zip(items) {
                                packer.add_chunk(chunk.id, item.bytes(), Compress::Try)?;
                            }
                        }
                    }
                }
            }
            packer.into_tail()
        };
        self.tail = Some(self.registrar.while_registering(uploads, register, fill)?);
        Ok(())
    }

    /// Writes what waits, and an index of all since the last flush; gives its row, if there is anything.
    fn flush(&mut self, register: &mut Register<'_>) -> Result<Vec<IndexRow>> {
        let mut queue = std::mem::take(&mut self.queue);
        self.queued_bytes = 0;
        let Some(uploads) = self.uploads.take() else { return Ok(Vec::new()) };
        let tail = self.tail.take().filter(|tail| !tail.builder.is_empty());
        let sent = self.registrar.while_registering(&uploads, register, || {
            tail.map_or(Ok(()), |tail| uploads.send(tail))?;
            uploads.wait();
            Ok(())
        });
        let ((), packs) = uploads.conclude(sent)?;
        let data = self.registrar.gather(packs)?;
        let uploads = Uploads::new(self.bucket.clone(), self.born, self.observer.clone());
        // Children come before what points at them: by rank, and as they came within a rank.
        queue.sort_by_key(|queued| queued.rank);
        let written = self.write_queue(&uploads, data.index(), queue);
        let ((), packs) = uploads.conclude(written)?;
        let sent = self.sent.clone();
        self.uploads = Some(Uploads::telling(self.bucket.clone(), self.born, self.observer.clone(), sent));
        Ok(self.registrar.write(data, packs)?.into_iter().collect())
    }

    fn write_queue(&self, uploads: &Uploads, data: &Index, queue: Vec<Queued>) -> Result<()> {
        let places = Places { data, own: self.registrar.own(), known: &self.known };
        let mut meta = MetaPacker::new(uploads)?;
        for Queued { rank, id, object, hint, what } in queue {
            let kind = match what {
                What::Node => ItemKind::Node,
                What::Page(_) => ItemKind::RecipePage,
                What::Recipe(_) => ItemKind::RecipeRoot,
                What::Version { .. } => ItemKind::Version,
            };
            // A version's record is stored in any case: where it lies says when its session began.
            let is_there = match kind {
                ItemKind::Version => self.registrar.own().iter().any(|index| index.find_meta(&id, kind).is_some()),
                _ => places.meta(&meta, &id, kind)?.is_some(),
            };
            if is_there {
                continue;
            }
            // To read them from afar would cost what it saves.
            if kind == ItemKind::Node && is_above_leaves(rank) && !self.from.lies_far() {
                gather(&mut meta, &places, &object, self.from, |meta, leaf| match self.extent {
                    Extent::Metadata => Ok(leaf.hint().to_vec()),
                    Extent::Whole => places.node_hint(meta, leaf.bytes()),
                })?;
            }
            meta.add(rank, kind, id, &object, |meta| match &what {
                What::Node if is_leaf(rank) && self.extent == Extent::Metadata => Ok(hint.to_vec()),
                What::Node => places.node_hint(meta, &object),
                What::Page(page) => places.recipe_hint(meta, page.level, &page.children),
                What::Recipe(root) => places.recipe_hint(meta, root.level, &root.children),
                What::Version { manifest } => {
                    Ok(encode_hint(&[(ChildShape::Meta, places.meta(meta, manifest, ItemKind::Node)?)]))
                }
            })?;
        }
        meta.finish().map(drop)
    }
}

/// Where all lies that a version wrote which was published by itself: its new nodes, the root behind them, and its record behind that. A pack of
/// several versions holds more than such a stretch.
fn stretches(rows: &[&VersionRow]) -> Vec<FramePlace> {
    let mut versions: HashMap<ObjectName, usize> = HashMap::new();
    rows.iter().for_each(|row| *versions.entry(row.version_place.frame.pack).or_default() += 1);
    let stretch = |row: &&VersionRow| {
        let (root, record) = (row.manifest_place.frame, row.version_place.frame);
        let offset = root.offset.saturating_sub(NODES_BYTES).max(HEADER_LEN as u32);
        let bytes = record.offset.checked_add(record.stored_bytes)?.checked_sub(offset)?;
        let is_one = root.pack == record.pack && root.offset <= record.offset && versions[&record.pack] == 1;
        (is_one && bytes <= STRETCH_BYTES).then_some(FramePlace {
            offset,
            stored_bytes: bytes,
            raw_bytes: bytes,
            encoding: Encoding::Raw,
            ..root
        })
    };
    rows.iter().filter_map(stretch).collect()
}

/// Chunks of one frame that are wanted.
struct Part {
    frame: Option<FramePlace>,
    /// In the order of the frame.
    chunks: Vec<ChunkToRead>,
    /// Whether the frame goes as it is stored.
    goes_whole: bool,
}

enum Read {
    /// As it is stored.
    Frame(FramePlace, bytes::Bytes),
    Chunks(Vec<Item>),
}

impl Part {
    fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.len)).sum()
    }

    fn items(&self) -> Vec<NewItem> {
        let item = |chunk: &ChunkToRead| NewItem { id: chunk.id, kind: ItemKind::Chunk, len: chunk.len, hint_len: 0 };
        self.chunks.iter().map(item).collect()
    }

    /// Decides whether the frame goes as it is: only if all of it is wanted.
    fn decide(&mut self, based: &mut BasedFrames<'_>, known: &Known<'_>) -> Result<()> {
        let Some(frame) = self.frame.filter(|frame| u64::from(frame.raw_bytes) == self.bytes()) else { return Ok(()) };
        self.goes_whole = match (frame.encoding, &self.chunks[..]) {
            (Encoding::Raw | Encoding::Zstd, _) => true,
            (Encoding::Based(base), [chunk]) => based.go(&chunk.id, &base, known)?,
            (Encoding::Based(_), _) => false,
        };
        Ok(())
    }

    fn read(&self, from: &Content) -> Result<Read> {
        if let Some(frame) = self.frame.filter(|_| self.goes_whole) {
            let ids: Vec<(Id, u32)> = self.chunks.iter().map(|chunk| (chunk.id, chunk.len)).collect();
            match from.whole_frame(&frame, &ids) {
                Ok(stored) => return Ok(Read::Frame(frame, stored)),
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                // The place was stale; each chunk finds its own.
                Err(_) => {}
            }
        }
        let chunks = self.chunks.iter().map(|chunk| from.chunk(&chunk.id, chunk.place.as_ref()));
        Ok(Read::Chunks(chunks.collect::<Result<Vec<_>>>()?))
    }
}

/// Chunks of one frame together, frames in the order in which they are first met.
fn by_frame(from: &Content, wanted: Vec<ChunkToRead>) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut numbers: HashMap<(ObjectName, u32), usize> = HashMap::new();
    for mut chunk in wanted {
        chunk.place = match from.place_now(&chunk.id, ItemKind::Chunk, chunk.place) {
            None => from.find_chunk(&chunk.id)?,
            place => place,
        };
        let frame = chunk.place.map(|place| place.frame);
        let number = match frame {
            Some(frame) => *numbers.entry((frame.pack, frame.offset)).or_insert(parts.len()),
            None => parts.len(),
        };
        match parts.get_mut(number).filter(|part| part.frame == frame) {
            Some(part) => part.chunks.push(chunk),
            None => parts.push(Part { frame, chunks: vec![chunk], goes_whole: false }),
        }
    }
    for part in &mut parts {
        part.chunks.sort_by_key(|chunk| chunk.place.map(|place| place.at));
    }
    Ok(parts)
}
