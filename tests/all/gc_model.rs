//! A model of collection: every interleaving of two writers and two collectors, by the real fold and its operations.
//!
//! A process takes one step at a time, and any process may take the next one. Who takes no step any more was killed, who takes none for long
//! sleeps, so that kills and sleep at every point are in the search without being written down. The grace is none: what grace adds is time.
//! What is looked for is a version that the fold shows and that can't be read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};

use dagset::base::{BranchName, DatasetName, Id, ObjectName, Time};
use dagset::format::attrs::Attrs;
use dagset::format::operation::{IndexRow, Operation, Things, VersionRow};
use dagset::format::place::{Encoding, FramePlace, Place};
use dagset::format::record::{FOLD_RULE, RecordCore};
use dagset::history::fold::{Fold, refs_of};
use dagset::history::state::encode;

/// A rule that the processes of a model break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    None,
    /// Writers go on however old their session is.
    Void,
    /// A collector condemns by what it saw a while ago.
    Mark,
    /// Writers don't say what they use of others.
    Rely,
    /// Writers don't say from which version they take content over.
    Inherit,
}

/// How often a writer begins.
const SESSIONS: u8 = 1;
/// How often the first collector runs: once more than the other.
const RUNS: u8 = 2;

/// What a pack holds: the chunk that all versions need, or the record and manifest of one.
const DATA: u8 = 1;
const META: u8 = 2;
const INDEX: u8 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Writer {
    Begins,
    /// Has read the log, and chosen what it uses of others.
    Opened(Session),
    Stored(Session),
    Registered(Session),
    Published(Id),
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Session {
    born: u64,
    /// The pack whose copy of the chunk is used; `None`: it stores its own.
    used: Option<ObjectName>,
    parent: Option<Id>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Collector {
    Begins,
    /// Has stored new indexes. `old` is what the store's clock calls old: with no grace, all that there was.
    Replaces {
        old: u64,
        things: Vec<ObjectName>,
        versions: Vec<Id>,
        /// Versions whose content goes.
        contents: Vec<Id>,
        removed: Vec<ObjectName>,
        added: Vec<ObjectName>,
    },
    /// Has found what is dead.
    Condemns {
        old: u64,
        mark: u64,
        versions: Vec<Id>,
        packs: Vec<ObjectName>,
    },
    /// Has found whose content the keep rules let go.
    CondemnsContents {
        old: u64,
        mark: u64,
        versions: Vec<Id>,
    },
    Lists,
    Deletes(Vec<ObjectName>),
}

#[derive(Clone)]
struct World {
    fold: Fold,
    /// The rules keep the content of the heads of branches.
    keeps: bool,
    /// Stored packs.
    packs: BTreeSet<ObjectName>,
    /// Stored indexes, and the packs that each names.
    indexes: BTreeMap<ObjectName, BTreeSet<ObjectName>>,
    writers: [(Writer, u8); 2],
    collectors: [(Collector, u8); 2],
}

/// The version that there is at first.
fn old() -> Id {
    Id::of(b"old")
}

/// The one behind it, which has no file.
fn head() -> Id {
    Id::of(b"head")
}

fn dataset() -> DatasetName {
    DatasetName::new("set").unwrap()
}

fn name(born: u64, who: u8, session: u8, what: u8) -> ObjectName {
    let mut random = [0; 16];
    random[..3].copy_from_slice(&[who, session, what]);
    ObjectName { born, random }
}

fn index_row(name: ObjectName) -> IndexRow {
    IndexRow { name, bytes: 1, id: Id::ZERO, packs: 1, pack_bytes: 1, meta_bytes: 1 }
}

fn has_chunk(pack: &ObjectName) -> bool {
    pack.random[2] == DATA
}

fn version_row(version: Id, meta: ObjectName, parent: Option<Id>) -> VersionRow {
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

fn add(row: VersionRow) -> Operation {
    Operation::AddVersion { dataset: dataset(), row: Box::new(row) }
}

fn set_branch(who: u8, old: Option<Id>, new: Option<Id>) -> Operation {
    let branch = BranchName::new(&format!("b{who}")).unwrap();
    Operation::SetBranch { dataset: dataset(), branch, old, new }
}

impl World {
    /// A store with a version that no ref points at.
    fn begin() -> World {
        let (data, meta, index) = (name(0, 9, 0, DATA), name(0, 9, 0, META), name(0, 9, 0, INDEX));
        let mut world = World {
            fold: Fold::default(),
            keeps: false,
            packs: BTreeSet::from([data, meta]),
            indexes: BTreeMap::from([(index, BTreeSet::from([data, meta]))]),
            writers: [(Writer::Begins, 0), (Writer::Begins, 0)],
            collectors: [(Collector::Begins, 0), (Collector::Begins, 0)],
        };
        let created = vec![
            Operation::StoreCreated { store: [1; 16] },
            Operation::CreateDataset { dataset: dataset() },
            Operation::Register { indexes: vec![index_row(index)] },
            add(version_row(old(), meta, None)),
        ];
        assert!(world.append(created));
        world
    }

    /// A store in which that version has another one behind it, a branch's, that needs nothing of it; and rules that keep heads alone.
    fn begin_keeping() -> World {
        let mut world = World { keeps: true, ..World::begin() };
        let (meta, index) = (name(0, 9, 1, META), name(0, 9, 1, INDEX));
        world.packs.insert(meta);
        world.indexes.insert(index, BTreeSet::from([meta]));
        let operations = vec![
            Operation::Register { indexes: vec![index_row(index)] },
            add(version_row(head(), meta, Some(old()))),
            set_branch(9, None, Some(head())),
        ];
        assert!(world.append(operations));
        world
    }

    /// Versions that stay and whose content doesn't.
    fn bare(&self) -> BTreeSet<Id> {
        let set = &self.fold.datasets[&dataset()];
        let heads: BTreeSet<&Id> = set.branches.values().collect();
        let goes = |id: &&Id| self.fold.let_go.contains_key(id) || self.keeps && !heads.contains(id);
        set.versions.keys().filter(goes).copied().collect()
    }

    /// Takes the next number for a record, if it holds.
    fn append(&mut self, operations: Vec<Operation>) -> bool {
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

    fn registered(&self) -> BTreeSet<ObjectName> {
        self.fold.indexes.keys().filter_map(|index| self.indexes.get(index)).flatten().copied().collect()
    }

    /// The version that the fold shows and nobody can read, if there is one.
    fn unreadable(&self) -> Option<Id> {
        let there: BTreeSet<ObjectName> = self.registered().intersection(&self.packs).copied().collect();
        let has_all_indexes = self.fold.indexes.keys().all(|index| self.indexes.contains_key(index));
        let chunk_is_there = there.iter().any(has_chunk);
        let versions = self.fold.datasets.values().flat_map(|dataset| dataset.versions.values());
        let mut lost = versions.filter(|it| {
            let needs_chunk = it.row.version != head() && !self.fold.let_go.contains_key(&it.row.version);
            let is_whole = there.contains(&it.row.version_place.frame.pack) && (chunk_is_there || !needs_chunk);
            !(has_all_indexes && is_whole)
        });
        lost.next().map(|it| it.row.version)
    }

    /// What no live version needs.
    fn dead(&self, old: u64) -> (Vec<Id>, Vec<ObjectName>) {
        let set = &self.fold.datasets[&dataset()];
        let mut live = BTreeSet::new();
        let mut open: Vec<Id> = refs_of(set).copied().collect();
        while let Some(id) = open.pop() {
            if live.insert(id) {
                open.extend(&set.versions[&id].row.parents);
            }
        }
        let registered = self.registered();
        let mut needed: BTreeSet<ObjectName> =
            live.iter().map(|id| set.versions[id].row.version_place.frame.pack).collect();
        let bare = self.bare();
        if live.iter().any(|id| *id != head() && !bare.contains(id)) {
            // One copy is enough; one that isn't condemned comes first.
            let copies = registered.iter().filter(|pack| has_chunk(pack));
            needed.extend(copies.min_by_key(|pack| (self.fold.condemned.packs.contains_key(pack), **pack)));
        }
        let condemned = &self.fold.condemned;
        let is_dead = |id: &&Id| !live.contains(id) && !condemned.versions.contains_key(id);
        let versions = set.versions.keys().filter(is_dead).copied().collect::<BTreeSet<_>>();
        let packs = registered
            .into_iter()
            .filter(|pack| pack.born < old && !needed.contains(pack) && !condemned.packs.contains_key(pack));
        (versions.into_iter().collect(), packs.collect())
    }

    /// The next step of a writer; false if it has none.
    fn write(&mut self, who: u8, broken: Broken) -> bool {
        let (writer, session) = self.writers[usize::from(who)].clone();
        let own = |born: u64, what: u8| name(born, who, session, what);
        let mut again = false;
        let next = match writer {
            Writer::Begins => {
                let usable = |pack: &&ObjectName| has_chunk(pack) && !self.fold.condemned.packs.contains_key(pack);
                let used = self.registered().iter().find(usable).copied();
                let inherits =
                    who == 1 && self.fold.version(&old()).is_some() && self.fold.refuse_let_go(&old()).is_ok();
                // Content is taken over as a version's, and then nothing is said of packs.
                let used = used.filter(|_| !(self.keeps && inherits));
                Writer::Opened(Session { born: self.fold.number, used, parent: inherits.then(old) })
            }
            Writer::Opened(it) => {
                self.packs.insert(own(it.born, META));
                let stores = it.used.is_none() && !(self.keeps && it.parent.is_some());
                let data = stores.then(|| own(it.born, DATA));
                self.packs.extend(data);
                let packs = data.into_iter().chain([own(it.born, META)]).collect();
                self.indexes.insert(own(it.born, INDEX), packs);
                Writer::Stored(it)
            }
            // One of the two registers what it stored in a record of its own, as long work does.
            Writer::Stored(it) if who == 0 => {
                let register = Operation::Register { indexes: vec![index_row(own(it.born, INDEX))] };
                again = !self.append_as(broken, |_| vec![register.clone()]);
                Writer::Registered(it)
            }
            Writer::Stored(it) | Writer::Registered(it) => {
                let version = Id::of(&[who, session]);
                let mut packs: Vec<ObjectName> = it.used.into_iter().collect();
                let mut operations = Vec::new();
                match who {
                    0 => packs
                        .extend([own(it.born, META)].into_iter().chain(it.used.is_none().then(|| own(it.born, DATA)))),
                    _ => operations.push(Operation::Register { indexes: vec![index_row(own(it.born, INDEX))] }),
                }
                if broken == Broken::Rely {
                    packs.clear();
                }
                let parents = it.parent.into_iter().filter(|_| broken != Broken::Inherit);
                operations.push(Operation::Rely(Things { versions: parents.collect(), packs }));
                operations.push(add(version_row(version, own(it.born, META), it.parent)));
                operations.push(set_branch(who, None, Some(version)));
                again = !self.append_as(broken, |fold| fold.settle(operations.clone()));
                Writer::Published(version)
            }
            Writer::Published(version) if who == 0 => {
                assert!(self.append(vec![set_branch(who, Some(version), None)]));
                Writer::Done
            }
            Writer::Published(_) | Writer::Done => return false,
        };
        self.writers[usize::from(who)] = match again {
            false => (next, session),
            true if session + 1 < SESSIONS => (Writer::Begins, session + 1),
            true => (Writer::Done, session),
        };
        true
    }

    fn append_as(&mut self, broken: Broken, operations: impl Fn(&Fold) -> Vec<Operation>) -> bool {
        let void_before = self.fold.void_before;
        if broken == Broken::Void {
            self.fold.void_before = 0;
        }
        let holds = self.append(operations(&self.fold));
        self.fold.void_before = void_before;
        holds
    }

    /// The next step of a collector; false if it has none.
    fn collect(&mut self, who: u8, broken: Broken) -> bool {
        let (collector, run) = self.collectors[usize::from(who)].clone();
        let mut ended = false;
        let next = match collector {
            Collector::Begins if run == RUNS - who => return false,
            Collector::Begins => self.mark(who, run, self.fold.number),
            Collector::Replaces { old, things, versions, contents, removed, added } => {
                let operations = vec![
                    Operation::VoidBefore { born: old },
                    Operation::LetGo { versions: contents },
                    Operation::Reclaim(Things { versions, packs: things }),
                    Operation::ReplaceIndexes { removed, added: added.into_iter().map(index_row).collect() },
                ];
                match self.append(operations) {
                    true => Collector::Lists,
                    false => self.reclaim(who, run, old),
                }
            }
            Collector::Condemns { old, mark, versions, packs } => {
                let mark = if broken == Broken::Mark { self.fold.number } else { mark };
                match self.append(vec![Operation::Condemn { mark, things: Things { versions, packs } }]) {
                    true => self.reclaim(who, run, old),
                    false => self.mark(who, run, old),
                }
            }
            Collector::CondemnsContents { old, mark, versions } => {
                let mark = if broken == Broken::Mark { self.fold.number } else { mark };
                self.append(vec![Operation::CondemnContents { mark, versions }]);
                self.mark(who, run, old)
            }
            Collector::Lists => {
                let registered = self.registered();
                let void = |name: &&ObjectName| self.fold.is_void(name.born);
                let packs = self.packs.iter().filter(|name| !registered.contains(name)).filter(void);
                let indexes = self.indexes.keys().filter(|name| !self.fold.indexes.contains_key(name)).filter(void);
                Collector::Deletes(packs.chain(indexes).copied().collect())
            }
            // At once: who is killed half way harms less, and the next one lists what is left.
            Collector::Deletes(names) => {
                self.packs.retain(|name| !names.contains(name));
                self.indexes.retain(|name, _| !names.contains(name));
                ended = true;
                Collector::Begins
            }
        };
        self.collectors[usize::from(who)] = (next, run + u8::from(ended));
        true
    }

    fn reclaim(&mut self, who: u8, run: u8, old: u64) -> Collector {
        let (things, contents) = (self.fold.condemned.up_to(old), self.fold.condemned.contents_up_to(old));
        match things == Things::default() && contents.is_empty() {
            true => Collector::Lists,
            false => self.replace(who, run, old, things, contents),
        }
    }

    fn mark(&mut self, who: u8, run: u8, old: u64) -> Collector {
        let (versions, packs) = self.dead(old);
        let mut going = self.bare();
        going.retain(|id| self.fold.lasts(id) && !versions.contains(id));
        if !going.is_empty() {
            let versions = going.into_iter().collect();
            return Collector::CondemnsContents { old, mark: self.fold.number, versions };
        }
        match versions.is_empty() && packs.is_empty() {
            true => self.reclaim(who, run, old),
            false => Collector::Condemns { old, mark: self.fold.number, versions, packs },
        }
    }

    /// Stores indexes without the packs that go.
    fn replace(&mut self, who: u8, run: u8, old: u64, things: Things, mut contents: Vec<Id>) -> Collector {
        contents.retain(|id| !things.versions.contains(id));
        let gone: BTreeSet<ObjectName> = things.packs.iter().copied().collect();
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (number, index) in self.fold.indexes.keys().enumerate() {
            let Some(packs) = self.indexes.get(index).filter(|packs| !packs.is_disjoint(&gone)).cloned() else {
                continue;
            };
            removed.push(*index);
            let left: BTreeSet<ObjectName> = packs.difference(&gone).copied().collect();
            if !left.is_empty() {
                let new = name(self.fold.number, 10 + who, run, number as u8);
                self.indexes.insert(new, left);
                added.push(new);
            }
        }
        Collector::Replaces { old, things: things.packs, versions: things.versions, contents, removed, added }
    }

    fn key(&self) -> [u8; 16] {
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

/// What a search came to.
struct Found {
    states: usize,
    /// The version that was lost.
    lost: Option<Id>,
    /// Whether some state shows every version, and nothing dead is stored.
    collected: bool,
}

/// Looks at every state that can be reached, or at all up to the first in which a version is lost.
fn search(broken: Broken, begin: World) -> Found {
    // Half of a hash is enough, and there are many.
    let mut seen: HashSet<[u8; 16]> = HashSet::new();
    let mut open = vec![begin];
    let mut collected = false;
    while let Some(world) = open.pop() {
        let lost = world.unreadable();
        if lost.is_some() {
            return Found { states: seen.len(), lost, collected };
        }
        let mut steps = 0;
        for who in 0..2 {
            let (mut written, mut cleared) = (world.clone(), world.clone());
            for next in [written.write(who, broken).then_some(written), cleared.collect(who, broken).then_some(cleared)]
            {
                let Some(next) = next else { continue };
                steps += 1;
                if seen.insert(next.key()) {
                    open.push(next);
                }
            }
        }
        collected |= steps == 0 && world.packs == world.registered() && world.packs.len() <= 3;
    }
    Found { states: seen.len(), lost: None, collected }
}

#[test]
fn no_version_is_ever_lost() {
    let found = search(Broken::None, World::begin());
    assert_eq!(found.lost, None);
    assert!(found.collected, "in the end only what is alive is stored");
    assert!(found.states > 10_000, "only {} states", found.states);
}

#[test]
fn without_any_of_the_rules_one_is() {
    for broken in [Broken::Void, Broken::Mark, Broken::Rely] {
        assert!(search(broken, World::begin()).lost.is_some(), "{broken:?}");
    }
}

#[test]
fn nothing_that_is_kept_needs_content_that_was_let_go() {
    let found = search(Broken::None, World::begin_keeping());
    assert_eq!(found.lost, None);
    assert!(found.states > 10_000, "only {} states", found.states);
}

#[test]
fn without_any_of_the_rules_something_does() {
    for broken in [Broken::Void, Broken::Mark, Broken::Inherit] {
        assert!(search(broken, World::begin_keeping()).lost.is_some(), "{broken:?}");
    }
}
