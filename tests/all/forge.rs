//! A writer who keeps to the format and to nothing else: what it puts into a store is registered as any publishing is.

use std::path::Path;

use dagset::base::{BranchName, DatasetName, Id, ObjectName, Observer, Time};
use dagset::format::attrs::Attrs;
use dagset::format::codec::Put;
use dagset::format::header::ObjectKind;
use dagset::format::index::IndexBuilder;
use dagset::format::operation::{IndexRow, Operation, VersionRow};
use dagset::format::pack::{FinishedPack, ItemKind, NewItem, PackBuilder};
use dagset::format::place::{Encoding, Place};
use dagset::format::store_file::StoreFile;
use dagset::format::version::Version;
use dagset::history::timeline::{Actor, Timeline};
use dagset::store::{Bucket, backend};

/// A store's folder, open to be written into by hand, and what the next version brings along.
pub struct Forge {
    bucket: Bucket,
    timeline: Timeline,
    meta: PackBuilder,
    data: PackBuilder,
    /// Who the log says it was.
    pub actor: Actor,
}

impl Forge {
    /// The store must be there.
    pub fn open(store: &Path) -> Forge {
        let bucket = backend::open_folder(store.to_str().unwrap()).unwrap();
        let file = StoreFile::parse(&bucket.get("dagset.json").unwrap(), "the store").unwrap();
        let timeline = Timeline::open(bucket.clone(), file.store, Observer::new()).unwrap();
        let (meta, data) = (PackBuilder::new(ObjectKind::MetaPack), PackBuilder::new(ObjectKind::Pack));
        Forge { bucket, timeline, meta, data, actor: Actor { name: "mallory".to_owned(), context: Attrs::default() } }
    }

    /// Brings a meta object, whatever its bytes, under `id`.
    pub fn meta_as(&mut self, kind: ItemKind, id: Id, bytes: &[u8]) {
        let item = NewItem { id, kind, len: bytes.len() as u32, hint_len: 0 };
        self.meta.add_frame(bytes, item.len, Encoding::Raw, &[item]).unwrap();
    }

    /// Likewise, under the id that is its hash.
    pub fn meta(&mut self, kind: ItemKind, bytes: &[u8]) -> Id {
        self.meta_as(kind, Id::of(bytes), bytes);
        Id::of(bytes)
    }

    /// Brings a chunk of so many bytes, as a frame of these stored ones.
    pub fn chunk(&mut self, id: Id, stored: &[u8], raw_bytes: u32, encoding: Encoding) {
        let item = NewItem { id, kind: ItemKind::Chunk, len: raw_bytes, hint_len: 0 };
        self.data.add_frame(stored, raw_bytes, encoding, &[item]).unwrap();
    }

    /// Brings a small file's content as it is, and gives its id.
    pub fn content(&mut self, bytes: &[u8]) -> Id {
        self.chunk(Id::of(bytes), bytes, bytes.len() as u32, Encoding::Raw);
        Id::of(bytes)
    }

    /// Publishes a version of all that was brought, in a dataset of its own, on its branch `main`.
    pub fn publish(&mut self, dataset: &str, version: &Version) {
        let bytes = version.encode().unwrap();
        let id = self.meta(ItemKind::Version, &bytes);
        let meta = std::mem::replace(&mut self.meta, PackBuilder::new(ObjectKind::MetaPack)).finish();
        let data = std::mem::replace(&mut self.data, PackBuilder::new(ObjectKind::Pack)).finish();
        let born = self.timeline.fold().number;
        let name = |kind: u8| ObjectName { born, random: [kind; 16] };
        let mut index = IndexBuilder::new();
        let mut row = IndexRow::of_nothing(name(b'i'));
        let mut keep = |pack: &FinishedPack, name: ObjectName| {
            self.bucket.create(&format!("{}/{name}", pack.kind.folder()), pack.bytes.clone().into()).unwrap();
            index.add_pack(name, pack.kind, pack.bytes.len() as u64, &pack.footer).unwrap();
            row.count(pack.kind, pack.bytes.len() as u64);
        };
        keep(&meta, name(b'm'));
        if !data.footer.items.is_empty() {
            keep(&data, name(b'p'));
        }
        let index = index.finish().unwrap();
        (row.bytes, row.id) = (index.len() as u64, Id::of(&index));
        self.bucket.create(&format!("index/{}", row.name), index.into()).unwrap();
        let place_of = |id: &Id| -> Option<Place> {
            let item = meta.footer.items.iter().find(|item| item.id == *id)?;
            Some(meta.footer.place(name(b'm'), item))
        };
        let version_place = place_of(&id).unwrap();
        let added = VersionRow {
            version: id,
            manifest: version.manifest,
            parents: version.parents.iter().map(|parent| parent.id).collect(),
            time: version.time,
            files: version.files,
            bytes: version.bytes,
            stored_bytes: 1,
            version_place,
            manifest_place: place_of(&version.manifest).unwrap_or(version_place),
        };
        let dataset = DatasetName::new(dataset).unwrap();
        let branch = BranchName::new("main").unwrap();
        let operations = vec![
            Operation::Register { indexes: vec![row] },
            Operation::CreateDataset { dataset: dataset.clone() },
            Operation::AddVersion { dataset: dataset.clone(), row: Box::new(added) },
            Operation::SetBranch { dataset, branch, old: None, new: Some(id) },
        ];
        self.append(&operations);
    }

    /// Appends a record of these operations.
    pub fn append(&mut self, operations: &[Operation]) {
        assert!(self.timeline.append(&self.actor, |_, _| Ok(operations.to_vec())).unwrap());
    }
}

/// A version without parents that says so much of its manifest.
pub fn version(manifest: Id, files: u64, bytes: u64) -> Version {
    Version {
        manifest,
        files,
        bytes,
        parents: Vec::new(),
        author: "mallory".to_owned(),
        time: Time(1_700_000_000_000),
        message: String::new(),
        meta: Attrs::default(),
        provenance: Attrs::default(),
        extensions: Vec::new(),
    }
}

/// A leaf of a manifest with these keys and values, in this order.
pub fn leaf<K: AsRef<[u8]>>(items: &[(K, Vec<u8>)]) -> Vec<u8> {
    node(0, items, |out, value| out.put_bytes(value))
}

/// An inner node: last keys, ids of children, and how many entries, files and bytes are said to lie below.
pub fn inner<K: AsRef<[u8]>>(level: u8, children: &[(K, (Id, [u64; 3]))]) -> Vec<u8> {
    node(level, children, |out, (id, weight)| {
        out.put_id(id);
        weight.iter().for_each(|number| out.put_varint(*number));
    })
}

fn node<K: AsRef<[u8]>, T>(level: u8, items: &[(K, T)], put: impl Fn(&mut Vec<u8>, &T)) -> Vec<u8> {
    let mut out = vec![1, level];
    out.put_count(items.len());
    let mut before: &[u8] = &[];
    for (key, value) in items {
        let key = key.as_ref();
        let shared = before.iter().zip(key).take_while(|(a, b)| a == b).count();
        out.put_count(shared);
        out.put_bytes(&key[shared..]);
        put(&mut out, value);
        before = key;
    }
    out
}
