//! The world of the model: the real fold, what is stored, and how far everyone is.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use dagset::base::{BranchName, DatasetName, Id, ObjectName, Time};
use dagset::format::attrs::Attrs;
use dagset::format::operation::{IndexRow, Operation, VersionRow};
use dagset::format::place::{Encoding, FramePlace, Place};
use dagset::format::record::{FOLD_RULE, RecordCore};
use dagset::history::fold::Fold;
use dagset::history::state::encode;

use super::Broken;
use super::collector::Collector;
use super::writer::Writer;

/// What packs hold, each a bit: the chunk of the first version and of those that are written.
pub const WANTED: u8 = 1;
/// The chunk of the branch's head.
pub const KEPT: u8 = 2;
/// The same, compressed against the one that is wanted.
pub const BASED: u8 = 4;
/// The record and manifest of one version.
pub const META: u8 = 8;
/// What is no pack.
pub const INDEX: u8 = 16;

/// What there is to begin with, who is at work, and what they do wrong.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    pub broken: Broken,
    /// What each data pack holds at first.
    pub data: &'static [u8],
    /// Whether the first version has another one behind it, a branch's.
    pub has_head: bool,
    /// What that one needs.
    pub head_needs: u8,
    /// The rules keep the content of the heads of branches.
    pub keeps: bool,
    /// Who builds on a version takes its content over, and stores none.
    pub takes_over: bool,
    /// The second one purges, and collects nothing.
    pub purges: bool,
    /// Who of the two writers begins.
    pub writes: [bool; 2],
    /// How often each collector runs.
    pub runs: [u8; 2],
}

#[derive(Clone)]
pub struct World {
    pub scene: Scene,
    pub fold: Fold,
    /// Stored packs.
    pub packs: BTreeSet<ObjectName>,
    /// Stored indexes, and the packs that each names.
    pub indexes: BTreeMap<ObjectName, BTreeSet<ObjectName>>,
    pub writers: [(Writer, u8); 2],
    pub collectors: [(Collector, u8); 2],
}

/// What must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The fold shows a version that nobody can read.
    Lost(Id),
    /// A pack with purged content is named, or can still be.
    CameBack(ObjectName),
}

/// The version that there is at first.
pub fn old() -> Id {
    Id::of(b"old")
}

/// The one behind it.
pub fn head() -> Id {
    Id::of(b"head")
}

/// The content that is purged.
pub fn content() -> Id {
    Id::of(b"content")
}

pub fn dataset() -> DatasetName {
    DatasetName::new("set").unwrap()
}

pub fn name(born: u64, who: u8, session: u8, what: u8) -> ObjectName {
    let mut random = [0; 16];
    random[..3].copy_from_slice(&[who, session, what]);
    ObjectName { born, random }
}

/// What a pack holds.
pub fn holds(pack: &ObjectName) -> u8 {
    pack.random[2]
}

pub fn index_row(name: ObjectName) -> IndexRow {
    IndexRow { name, bytes: 1, id: Id::ZERO, packs: 1, pack_bytes: 1, meta_bytes: 1 }
}

pub fn version_row(version: Id, meta: ObjectName, parent: Option<Id>) -> VersionRow {
    let frame = FramePlace { pack: meta, offset: 16, stored_bytes: 1, raw_bytes: 1, encoding: Encoding::Raw };
    let place = Place { frame, at: 0, len: 1, hint_len: 0 };
    VersionRow {
        version,
        manifest: version,
        parents: parent.into_iter().collect(),
        time: Time(0),
        files: 1,
        bytes: 1,
        stored_bytes: 1,
        version_place: place,
        manifest_place: place,
    }
}

pub fn add(row: VersionRow) -> Operation {
    Operation::AddVersion { dataset: dataset(), row: Box::new(row) }
}

pub fn set_branch(who: u8, old: Option<Id>, new: Option<Id>) -> Operation {
    let branch = BranchName::new(&format!("b{who}")).unwrap();
    Operation::SetBranch { dataset: dataset(), branch, old, new }
}

impl World {
    /// A store with a version that no ref points at, and perhaps one behind it.
    pub fn begin(scene: Scene) -> World {
        let data = scene.data.iter().map(|holds| name(0, 9, 0, *holds));
        let (meta, index) = (name(0, 9, 0, META), name(0, 9, 0, INDEX));
        let packs: BTreeSet<ObjectName> = data.chain([meta]).collect();
        let mut world = World {
            scene,
            fold: Fold::default(),
            packs: packs.clone(),
            indexes: BTreeMap::from([(index, packs)]),
            writers: scene.writes.map(|begins| (if begins { Writer::Begins } else { Writer::Done }, 0)),
            collectors: [(Collector::Begins, 0), (Collector::Begins, 0)],
        };
        let created = vec![
            Operation::StoreCreated { store: [1; 16] },
            Operation::CreateDataset { dataset: dataset() },
            Operation::Register { indexes: vec![index_row(index)] },
            add(version_row(old(), meta, None)),
        ];
        assert!(world.append(created));
        if scene.has_head {
            let (meta, index) = (name(0, 9, 1, META), name(0, 9, 1, INDEX));
            world.packs.insert(meta);
            world.indexes.insert(index, BTreeSet::from([meta]));
            // Where rules judge, they are to keep the first one's manifest; else it is to die.
            let parent = scene.keeps.then(old);
            let operations = vec![
                Operation::Register { indexes: vec![index_row(index)] },
                add(version_row(head(), meta, parent)),
                set_branch(9, None, Some(head())),
            ];
            assert!(world.append(operations));
        }
        world
    }

    /// Takes the next number for a record, if it holds.
    pub fn append(&mut self, operations: Vec<Operation>) -> bool {
        let core = RecordCore {
            number: self.fold.number + 1,
            before: self.fold.record,
            nonce: [0; 16],
            actor: String::new(),
            time: Time(0),
            fold_rule: FOLD_RULE,
            context: Attrs::default(),
            operations,
        };
        let holds = self.fold.check(&core).is_ok();
        if holds {
            // By its number alone, so that two ways to the same outcome are one state.
            self.fold.apply(&core, Id::of(&core.number.to_le_bytes())).unwrap();
        }
        holds
    }

    pub fn registered(&self) -> BTreeSet<ObjectName> {
        self.fold.indexes.keys().filter_map(|index| self.indexes.get(index)).flatten().copied().collect()
    }

    pub fn is_purged(&self) -> bool {
        self.fold.expelled.contains_key(&content())
    }

    /// The chunks that a reader of a version asks for: of purged content it is told.
    pub fn needs(&self, version: &Id) -> u8 {
        let needs = if *version == head() { self.scene.head_needs } else { WANTED };
        if self.is_purged() { needs & !WANTED } else { needs }
    }

    /// What is wrong, if something is.
    pub fn wrong(&self) -> Option<Wrong> {
        self.lost().map(Wrong::Lost).or_else(|| self.came_back().map(Wrong::CameBack))
    }

    fn lost(&self) -> Option<Id> {
        let there: BTreeSet<ObjectName> = self.registered().intersection(&self.packs).copied().collect();
        let has_all_indexes = self.fold.indexes.keys().all(|index| self.indexes.contains_key(index));
        let held = there.iter().fold(0, |held, pack| held | holds(pack));
        let is_decoded = held & BASED != 0 && held & WANTED != 0;
        let readable = if is_decoded { held | KEPT } else { held };
        let versions = self.fold.datasets.values().flat_map(|dataset| dataset.versions.values());
        let mut lost = versions.filter(|it| {
            let id = &it.row.version;
            let needs = if self.fold.let_go.contains_key(id) { 0 } else { self.needs(id) };
            let is_whole = there.contains(&it.row.version_place.frame.pack) && needs & !readable == 0;
            !(has_all_indexes && is_whole)
        });
        lost.next().map(|it| it.row.version)
    }

    fn came_back(&self) -> Option<ObjectName> {
        let registered = self.registered();
        let can_be_named = |pack: &&ObjectName| registered.contains(pack) || !self.fold.is_void(pack.born);
        let mut with_it = self.packs.iter().filter(|pack| holds(pack) & WANTED != 0);
        if self.is_purged() { with_it.find(can_be_named).copied() } else { None }
    }

    /// Whether all has come to its end: nothing is stored but what is needed, and what was to be purged was.
    pub fn is_clean(&self) -> bool {
        let kept = self.kept_packs();
        self.is_purged() == self.scene.purges
            && self.packs == self.registered()
            && self.packs.iter().all(|pack| kept.get(pack) == Some(&holds(pack)))
    }

    pub fn key(&self) -> [u8; 16] {
        let mut bytes = Bytes(Vec::new());
        encode(&self.fold).hash(&mut bytes);
        (&self.packs, &self.indexes, &self.writers, &self.collectors).hash(&mut bytes);
        let [left, right] = [0, 16].map(|at| <[u8; 16]>::try_from(&Id::of(&bytes.0).0[at..at + 16]).unwrap());
        std::array::from_fn(|at| left[at] ^ right[at])
    }
}

/// A hasher that keeps what it is given.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
