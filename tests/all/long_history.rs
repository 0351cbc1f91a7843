//! A dataset of very many files and versions, in seconds: the first version is written as every version is, the ones behind it by
//! exchanging one content in one leaf, with the packs, indexes, hints and records that a publish of that change would write.

use std::collections::HashMap;

use dagset::base::files::random_bytes;
use dagset::base::{BranchName, DatasetName, Id, ObjectName, Observer, RefName, RepoPath, Time};
use dagset::chunk::compress::compress;
use dagset::flow::merge_indexes::merge_indexes;
use dagset::flow::registrar::Often;
use dagset::flow::session::{Finished, LargeFiles, Session};
use dagset::format::attrs::Attrs;
use dagset::format::header::ObjectKind;
use dagset::format::hint::{self, ChildShape};
use dagset::format::index::IndexBuilder;
use dagset::format::manifest::{Entry, EntryKind};
use dagset::format::node::{Node, TreeKind};
use dagset::format::operation::{IndexRow, Operation, VersionRow};
use dagset::format::pack::{ItemKind, NewItem, PackBuilder};
use dagset::format::place::{Encoding, Place};
use dagset::format::store_file::StoreFile;
use dagset::format::version::{Parent, Version};
use dagset::history::timeline::{Actor, Timeline};
use dagset::store::Bucket;
use dagset::store::content::Content;
use dagset::store::locate::STORE_FILE;
use dagset::tree::edit::edited;
use dagset::tree::manifest::{Manifest, shapes};
use dagset::tree::scan::{ScanOptions, scan};
use dagset::tree::subtrees::new_nodes;

use crate::stage::noise;

/// Folders, and files in each.
pub const FOLDERS: u64 = 800;
pub const FILES: u64 = 1_250;
pub const VERSIONS: u64 = 1_000;
/// The folder in which half of the changes are, but for the last versions: each of its leaves was changed last by a version of its own, and
/// the nodes above them by others.
pub const BUSY_FOLDER: u64 = 502;
const QUIET_VERSIONS: u64 = 50;
/// Contents that all files share, and the bytes of each.
const CONTENTS: u64 = 64;
pub const CONTENT_BYTES: usize = 1_000;

pub fn dataset() -> DatasetName {
    DatasetName::new("sets/photos").expect("a good name")
}

pub fn path(folder: u64, file: u64) -> String {
    format!("part-{folder:03}/image-{file:04}.jpg")
}

/// A node as it lies in the store.
struct Held {
    bytes: Vec<u8>,
    hint: Vec<u8>,
    place: Place,
}

struct History {
    timeline: Timeline,
    contents: Vec<Id>,
    chunk_places: HashMap<Id, Place>,
    nodes: HashMap<Id, Held>,
    root: Id,
    parent: Option<Id>,
    folders: u64,
    /// The folder in which half of the changes are, and how many versions at the end leave it alone.
    busy: u64,
    quiet: u64,
    path: fn(u64, u64) -> String,
    /// Entries and bytes of each version.
    weight: (u64, u64),
}

/// Fills an empty store; the versions are named `v1` and so on.
pub fn fill(bucket: &Bucket) {
    let entry = |contents: &[Id], number: u64| {
        (path(number / FILES, number % FILES), contents[number as usize % contents.len()])
    };
    let entries = |contents: &[Id]| (0..FOLDERS * FILES).map(|number| entry(contents, number)).collect();
    History { quiet: QUIET_VERSIONS, ..History::begin(bucket, FOLDERS, entries) }.change_to(VERSIONS);
}

/// As [`fill`], with one folder.
pub fn fill_folder(bucket: &Bucket) {
    let entry = |contents: &[Id], number: u64| (path(0, number), contents[number as usize % contents.len()]);
    let entries = |contents: &[Id]| (0..FILES).map(|number| entry(contents, number)).collect();
    History { busy: 0, ..History::begin(bucket, 1, entries) }.change_to(VERSIONS);
}

/// As [`fill`], in which each file has a content of its own that nobody has, with so many folders and versions.
pub fn fill_wide(bucket: &Bucket, folders: u64, versions: u64) {
    let path = |folder: u64, file: u64| format!("part-{folder:04}/image-{file:04}.jpg");
    let entry = |number: u64| (path(number / FILES, number % FILES), Id::of(&number.to_le_bytes()));
    let history = History::begin(bucket, folders, |_| (0..folders * FILES).map(entry).collect());
    History { busy: folders / 2, path, ..history }.change_to(versions);
}

/// Fills an empty store with one version of a million files in so many folders, each of another content that nobody has.
pub fn fill_once(bucket: &Bucket, folders: u64) {
    let files = FOLDERS * FILES / folders;
    let entry = |number: u64| {
        let content = Id::of(&number.to_le_bytes());
        (format!("part-{:04}/image-{:06}.jpg", number / files, number % files), content)
    };
    History::begin(bucket, folders, |_| (0..folders * files).map(entry).collect());
}

/// Publishes a version on a new branch: the head of `main` with each of these paths given a content that nobody has.
pub fn branch_off(bucket: &Bucket, name: &str, changed: &[String]) {
    let file = StoreFile::parse(&bucket.get(STORE_FILE).expect("a store"), "here").expect("a store's file");
    let mut timeline = Timeline::open(bucket.clone(), file.store, Observer::new()).expect("a log");
    let content = content_of(&timeline);
    let main = BranchName::new("main").expect("a good name");
    let known = timeline.fold().dataset(&dataset()).expect("it is there");
    let parent = known.versions[&known.branches[&main]].row.clone();
    let edit = |path: &String| {
        let content = Id::of(format!("{name} {path}").as_bytes());
        let kind = EntryKind::File { size: CONTENT_BYTES as u64, content, executable: false };
        (RepoPath::new(path.as_str()).expect("a good path"), Some(Entry::plain(kind)))
    };
    let pieces = edited(Manifest::new(&content, parent.manifest, None), changed.iter().map(edit).collect());
    let session = Session::new(bucket.clone(), &content, 1, Often::default(), Observer::new());
    let weight = (parent.files, parent.bytes);
    let new = session.finish(pieces, |root| Ok(Some(version_of(root.id, weight, Some(parent.version), 2))));
    let Finished { version, indexes, .. } = new.expect("writes");
    let new = version.expect("a version");
    let row = VersionRow {
        version: new.id,
        manifest: new.root.id,
        parents: vec![parent.version],
        version_place: new.version_place,
        manifest_place: new.manifest_place,
        ..parent
    };
    let branch = BranchName::new(name).expect("a good name");
    let operations = [
        Operation::Register { indexes },
        Operation::AddVersion { dataset: dataset(), row: Box::new(row) },
        Operation::SetBranch { dataset: dataset(), branch, old: None, new: Some(new.id) },
    ];
    timeline.append(&actor(), |_, _| Ok(operations.to_vec())).expect("appends");
}

fn actor() -> Actor {
    Actor { name: "Ada <ada@example.org>".to_owned(), context: Attrs::default() }
}

fn content_of(timeline: &Timeline) -> Content {
    Content::new(timeline.bucket().clone(), timeline.fold().indexes.values().cloned().collect())
}

impl History {
    /// Publishes the first version: the entries that `entries` makes of the contents that are there.
    fn begin(bucket: &Bucket, folders: u64, entries: impl FnOnce(&[Id]) -> Vec<(String, Id)>) -> History {
        let file = StoreFile::parse(&bucket.get(STORE_FILE).expect("a store"), "here").expect("a store's file");
        let timeline = Timeline::open(bucket.clone(), file.store, Observer::new()).expect("a log");
        let source = tempfile::tempdir().expect("a folder");
        let mut contents = Vec::new();
        for number in 0..CONTENTS {
            let bytes = noise(number, CONTENT_BYTES);
            std::fs::write(source.path().join(format!("{number:02}")), &bytes).expect("writes");
            contents.push(Id::of(&bytes));
        }
        let content = content_of(&timeline);
        let mut session = Session::new(timeline.bucket().clone(), &content, 1, Often::default(), Observer::new());
        let found = scan(source.path(), &ScanOptions::default()).expect("scans").found;
        session.store(source.path(), &found, &LargeFiles::new(), &mut |_| Ok(())).expect("stores");
        let entries = entries(&contents).into_iter().map(|(path, content)| {
            let kind = EntryKind::File { size: CONTENT_BYTES as u64, content, executable: false };
            Ok((RepoPath::new(path).expect("a good path"), Entry::plain(kind)))
        });
        let (mut weight, mut record) = ((0, 0), Vec::new());
        let new = session.finish(entries, |root| {
            weight = (root.weight.files, root.weight.bytes);
            let version = version_of(root.id, weight, None, 1);
            record = version.encode()?;
            Ok(Some(version))
        });
        let Finished { version, indexes, .. } = new.expect("writes");
        let new = version.expect("a version");
        let mut history = History {
            timeline,
            contents,
            chunk_places: HashMap::new(),
            nodes: HashMap::new(),
            root: new.root.id,
            parent: None,
            folders,
            busy: BUSY_FOLDER,
            quiet: 0,
            path,
            weight,
        };
        history.publish(1, new.id, new.version_place, new.manifest_place, indexes);
        history
    }

    /// Reads all nodes of the first version.
    fn learn(&mut self) {
        let content = content_of(&self.timeline);
        let manifest = Manifest::new(&content, self.root, None);
        let nodes = &mut self.nodes;
        new_nodes(&manifest, &mut Default::default(), |node| {
            let (bytes, hint) = (node.item.bytes().to_vec(), node.item.hint().to_vec());
            nodes.insert(node.id, Held { bytes, hint, place: *node.item.place() });
            Ok(())
        })
        .expect("reads");
        for id in &self.contents {
            self.chunk_places.insert(*id, content.find_chunk(id).expect("reads").expect("is there"));
        }
    }

    /// Publishes the versions behind the first one.
    fn change_to(mut self, versions: u64) {
        self.learn();
        for number in 2..=versions {
            // Every other time in one folder, so that its leaves come to lie in as many packs.
            let is_busy = number.is_multiple_of(2) && number + self.quiet <= versions;
            self.change(number, if is_busy { self.busy } else { number * 7_919 % self.folders });
        }
    }

    /// Publishes a version in which one file of a folder has another content.
    fn change(&mut self, number: u64, folder: u64) {
        let name = ObjectName { born: self.timeline.fold().number, random: random_bytes().expect("random") };
        let mut pack = PackBuilder::new(ObjectKind::MetaPack);
        let key = (self.path)(folder, number * 31 % FILES).into_bytes();
        let mut way = vec![self.root];
        while let Some(node) = way.last().map(|id| self.node(*id)).filter(|node| node.level() > 0) {
            way.push(node.child(node.lower_bound(&key)).id);
        }
        let leaf = way.last().map(|id| self.node(*id)).expect("the root at least");
        let old_content = content_at(&leaf, leaf.lower_bound(&key));
        let new_content = *self.contents.iter().find(|id| **id != old_content).expect("there are others");
        let (mut old, mut new) = (old_content, new_content);
        for id in way.into_iter().rev() {
            let held = &self.nodes[&id];
            let bytes = exchange(&held.bytes, &old, &new);
            let node = Node::parse(TreeKind::Manifest, &bytes).expect("a good node");
            let shapes = shapes(&node).expect("good entries");
            let mut places = hint::decode(&held.hint, &shapes).expect("a good hint");
            for (child, place) in places.iter_mut().enumerate() {
                *place = match node.level() {
                    0 => self.chunk_places.get(&content_at(&node, child)).copied(),
                    _ if node.child(child).id == new => Some(self.nodes[&new].place),
                    _ => *place,
                };
            }
            let hint = hint::encode(&shapes.iter().copied().zip(places).collect::<Vec<_>>());
            (old, new) = (id, Id::of(&bytes));
            let place = add(&mut pack, name, new, ItemKind::Node, &bytes, &hint);
            self.nodes.insert(new, Held { bytes, hint, place });
        }
        self.root = new;
        let manifest_place = self.nodes[&new].place;
        let record = version_of(new, self.weight, self.parent, number).encode().expect("fits");
        let hint = hint::encode(&[(ChildShape::Meta, Some(manifest_place))]);
        let version = Id::of(&record);
        let version_place = add(&mut pack, name, version, ItemKind::Version, &record, &hint);
        let row = store(self.timeline.bucket(), name, pack);
        self.publish(number, version, version_place, manifest_place, vec![row]);
    }

    fn node(&self, id: Id) -> Node {
        Node::parse(TreeKind::Manifest, &self.nodes[&id].bytes).expect("a good node")
    }

    fn publish(
        &mut self,
        number: u64,
        version: Id,
        version_place: Place,
        manifest_place: Place,
        indexes: Vec<IndexRow>,
    ) {
        let dataset = dataset();
        let row = VersionRow {
            version,
            manifest: self.root,
            parents: self.parent.into_iter().collect(),
            time: Time(number as i64 * 1_000),
            files: self.weight.0,
            bytes: self.weight.1,
            stored_bytes: 1,
            version_place,
            manifest_place,
        };
        let mut operations = vec![Operation::Register { indexes }];
        if self.parent.is_none() {
            operations.push(Operation::CreateDataset { dataset: dataset.clone() });
        }
        operations.push(Operation::AddVersion { dataset: dataset.clone(), row: Box::new(row) });
        let branch = BranchName::new("main").expect("a good name");
        operations.push(Operation::SetBranch {
            dataset: dataset.clone(),
            branch,
            old: self.parent,
            new: Some(version),
        });
        let name = RefName::new(&format!("v{number}")).expect("a good name");
        operations.push(Operation::TakeName { dataset, name, version });
        self.timeline.append(&actor(), |_, _| Ok(operations.clone())).expect("appends");
        self.parent = Some(version);
        let content = content_of(&self.timeline);
        merge_indexes(&mut self.timeline, &content, &actor(), &Observer::new()).expect("merges");
    }
}

fn version_of(manifest: Id, (files, bytes): (u64, u64), parent: Option<Id>, number: u64) -> Version {
    Version {
        manifest,
        files,
        bytes,
        parents: parent.into_iter().map(|id| Parent { id, role: String::new() }).collect(),
        author: actor().name,
        time: Time(number as i64 * 1_000),
        message: format!("version {number}"),
        meta: Attrs::default(),
        provenance: Attrs::default(),
        extensions: Vec::new(),
    }
}

fn content_at(leaf: &Node, index: usize) -> Id {
    match Entry::decode(leaf.value(index)).expect("a good entry").kind {
        EntryKind::File { content, .. } => content,
        _ => panic!("all entries are files"),
    }
}

/// The bytes with the first `old` in them replaced by `new`.
fn exchange(bytes: &[u8], old: &Id, new: &Id) -> Vec<u8> {
    let at = bytes.windows(32).position(|window| window == old.0).expect("is in it");
    [&bytes[..at], &new.0, &bytes[at + 32..]].concat()
}

fn add(pack: &mut PackBuilder, name: ObjectName, id: Id, kind: ItemKind, object: &[u8], hint: &[u8]) -> Place {
    let raw = [object, hint].concat();
    let packed = compress(&raw);
    let (stored, encoding) = packed.as_deref().map_or((&raw[..], Encoding::Raw), |bytes| (bytes, Encoding::Zstd));
    let item = NewItem { id, kind, len: object.len() as u32, hint_len: hint.len() as u32 };
    let ordinal = pack.add_frame(stored, raw.len() as u32, encoding, &[item]).expect("fits");
    let frame = pack.footer().frames[ordinal as usize].place(name);
    Place { frame, at: 0, len: item.len, hint_len: item.hint_len }
}

/// Stores a pack and its index.
fn store(bucket: &Bucket, name: ObjectName, pack: PackBuilder) -> IndexRow {
    let pack = pack.finish();
    let bytes = pack.bytes.len() as u64;
    let mut index = IndexBuilder::new();
    index.add_pack(name, ObjectKind::MetaPack, bytes, &pack.footer).expect("a pack");
    let index = index.finish().expect("an index");
    bucket.create(&format!("meta/{name}"), pack.bytes.into()).expect("created");
    let row =
        IndexRow { name, bytes: index.len() as u64, id: Id::of(&index), packs: 1, pack_bytes: 0, meta_bytes: bytes };
    bucket.create(&format!("index/{name}"), index.into()).expect("created");
    row
}
