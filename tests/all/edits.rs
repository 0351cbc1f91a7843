//! Edited files: what is new in them is stored against what stood there, costs about what was edited, and comes back byte for byte.

use std::fs;
use std::path::PathBuf;

use dagset::base::{Error, Id, Kind, Observer, RepoPath};
use dagset::engine::{
    Address, CloneOptions, CommitOptions, Engine, InitOptions, Missing, Opener, Published, PushOptions, RefExpr,
    Settings, SquashOptions,
};
use dagset::flow::registrar::Often;
use dagset::flow::session::{LargeFiles, Session};
use dagset::format::header::ObjectKind;
use dagset::format::manifest::Entry;
use dagset::format::pack::{Footer, parse_pack};
use dagset::format::store_file::StoreFile;
use dagset::history::timeline::Timeline;
use dagset::store::content::Content;
use dagset::store::locate::STORE_FILE;
use dagset::store::recording::Recording;
use dagset::store::{Bucket, Verb, backend};
use dagset::tree::scan::{ScanOptions, scan};

use crate::stage::{STORE, findings, ingest, noise, objects, serving, whole_text};

const INTO: &str = "/store//set";
const FILE: &str = "data.bin";
/// What an edit of a kilobyte or less may take in packs, beside what is new.
const EDIT_BYTES: u64 = 1_500;

/// A store in memory, and a folder of one file that is ingested there.
struct Scene {
    root: tempfile::TempDir,
    store: Bucket,
}

impl Scene {
    fn new() -> Scene {
        Scene { root: tempfile::tempdir().expect("a folder"), store: backend::memory() }
    }

    /// Makes a version of these bytes; gives what it added to the packs.
    fn ingest(&self, bytes: &[u8]) -> u64 {
        let before = pack_bytes(&self.store);
        fs::write(self.root.path().join(FILE), bytes).expect("writes");
        ingest(&serving(&self.store), self.root.path(), INTO, None).expect("ingests");
        pack_bytes(&self.store) - before
    }

    /// The bytes of a version.
    fn cat(&self, reference: &str) -> Result<Vec<u8>, Error> {
        cat(&serving(&self.store), &format!("{INTO}@{reference}:{FILE}"))
    }

    #[track_caller]
    fn assert_holds(&self, versions: &[Vec<u8>]) {
        for (back, version) in versions.iter().rev().enumerate() {
            assert!(self.cat(&format!("main~{back}")).expect("reads") == *version, "main~{back}");
        }
        assert_eq!(findings(&serving(&self.store), STORE), Vec::<String>::new());
    }
}

fn cat(engine: &Engine, address: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    engine.cat(&Address::parse(address, None)?, &mut bytes).map(|()| bytes)
}

fn packs(store: &Bucket) -> impl Iterator<Item = String> {
    objects(store).into_iter().filter(|name| name.starts_with("packs/"))
}

fn pack_bytes(store: &Bucket) -> u64 {
    packs(store).map(|name| store.size(&name).expect("is listed").expect("is there")).sum()
}

fn footer(store: &Bucket, pack: &str) -> Footer {
    parse_pack(ObjectKind::Pack, &store.get(pack).expect("is listed")).expect("is a pack")
}

/// Frames of the store's data packs that need a base, and bytes of all that don't.
fn based_and_plain(store: &Bucket) -> (usize, u64) {
    let frames: Vec<_> = packs(store).flat_map(|pack| footer(store, &pack).frames).collect();
    let plain = frames.iter().filter(|frame| !frame.encoding.needs_base());
    (frames.len() - plain.clone().count(), plain.map(|frame| u64::from(frame.stored_bytes)).sum())
}

fn bases(footer: &Footer) -> impl Iterator<Item = Id> {
    footer.frames.iter().filter_map(|frame| frame.encoding.base())
}

/// The bytes with a kilobyte written over them at each of `places`.
fn overwritten(bytes: &[u8], seed: u64, places: &[usize]) -> Vec<u8> {
    let mut edited = bytes.to_vec();
    for (number, place) in (0u64..).zip(places) {
        edited[*place..place + 1_000].copy_from_slice(&noise(seed << 8 | number, 1_000));
    }
    edited
}

#[test]
fn an_edit_costs_what_it_says_and_so_do_those_that_follow_it() {
    let scene = Scene::new();
    let mut versions = vec![noise(1, 3_000_000)];
    scene.ingest(&versions[0]);
    for edit in 0..5 {
        let next = overwritten(&versions[edit], edit as u64, &[1_500_000 + 1_200 * edit, 2_500_000]);
        let added = scene.ingest(&next);
        assert!(added < (edit as u64 + 2) * 1_000 + 2 * EDIT_BYTES, "{added} bytes for edit {edit}");
        versions.push(next);
    }
    let mut inserted = versions[5].clone();
    inserted.splice(700_000..700_000, noise(9, 300));
    assert!(scene.ingest(&inserted) < 300 + 2 * EDIT_BYTES);
    versions.push(inserted);
    scene.assert_holds(&versions);
    assert_eq!(based_and_plain(&scene.store).1, 3_000_000, "all that needs no base is the first version");
}

#[test]
fn what_is_new_altogether_is_stored_plainly() {
    let scene = Scene::new();
    let versions = [noise(1, 3_000_000), noise(2, 3_000_000)];
    versions.iter().for_each(|version| assert!(scene.ingest(version) >= 3_000_000));
    scene.assert_holds(&versions);
    assert_eq!(based_and_plain(&scene.store), (0, 6_000_000));
}

#[test]
fn a_file_that_outgrew_a_chunk_and_one_cut_in_fixed_pieces_have_bases_too() {
    let photo = [&b"\x89PNG\r\n\x1a\n"[..], &noise(3, 2_500_000)].concat();
    for (before, grown) in [(noise(1, 130_000), 20_000), (photo, 500)] {
        let scene = Scene::new();
        let after = [&before[..60_000], &noise(2, grown), &before[60_000..]].concat();
        scene.ingest(&before);
        let added = scene.ingest(&after);
        assert!(added < grown as u64 + 3 * EDIT_BYTES + before.len() as u64 / 5, "{added} bytes");
        scene.assert_holds(&[before, after]);
    }
}

/// The data packs on which a session relies that stores `bytes` as the next version, and doesn't publish it.
fn relied(scene: &Scene, before: &[u8], bytes: &[u8]) -> Vec<String> {
    let file = StoreFile::parse(&scene.store.get(STORE_FILE).expect("a store"), "here").expect("a store's file");
    let timeline = Timeline::open(scene.store.clone(), file.store, Observer::new()).expect("a log");
    let content = Content::new(scene.store.clone(), timeline.fold().indexes.values().cloned().collect());
    let mut session = Session::new(scene.store.clone(), &content, 1, Often::default(), Observer::new());
    fs::write(scene.root.path().join(FILE), bytes).expect("writes");
    let found = scan(scene.root.path(), &ScanOptions::default()).expect("scans").found;
    let then = LargeFiles::from([(FILE.into(), (Id::of(before), before.len() as u64))]);
    session.store(scene.root.path(), &found, &then, &mut |_| Ok(())).expect("stores");
    let nothing = std::iter::empty::<Result<(RepoPath, Entry), Error>>();
    let relies = session.finish(nothing, |_| Ok(None)).expect("finishes").relies;
    relies.packs.iter().map(|pack| format!("packs/{pack}")).filter(|name| scene.store.get(name).is_ok()).collect()
}

#[test]
fn a_version_relies_on_the_packs_of_its_bases() {
    let scene = Scene::new();
    let first = noise(1, 200_000);
    scene.ingest(&first);
    let bases = packs(&scene.store).collect::<Vec<_>>();
    // Every chunk is new, so no pack is used but for bases.
    let places: Vec<usize> = (0..first.len() - 1_000).step_by(15_000).collect();
    let second = overwritten(&first, 2, &places);
    assert_eq!(relied(&scene, &first, &noise(9, 200_000)), Vec::<String>::new());
    assert_eq!(relied(&scene, &first, &second), bases);
    scene.ingest(&second);
    let third = relied(&scene, &second, &overwritten(&second, 3, &places));
    assert!(bases.iter().all(|pack| third.contains(pack)), "a base has none itself: {third:?}");
}

#[test]
fn a_damaged_base_is_named_by_readers_and_done_without_by_writers() {
    let scene = Scene::new();
    let versions = [noise(1, 1_000_000), overwritten(&noise(1, 1_000_000), 2, &[500_000])];
    scene.ingest(&versions[0]);
    let pack = packs(&scene.store).next().expect("one pack");
    scene.ingest(&versions[1]);
    let base = packs(&scene.store).find_map(|pack| bases(&footer(&scene.store, &pack)).next()).expect("a base");
    let footer = footer(&scene.store, &pack);
    let item = footer.items.iter().find(|item| item.id == base).expect("lies in the first pack");
    let mut spoilt = scene.store.get(&pack).expect("is there").to_vec();
    spoilt[(footer.frames[item.frame as usize].offset + item.at) as usize] ^= 1;
    scene.store.delete(&pack).expect("deletes");
    for damaged in [Some(spoilt), None] {
        let is_there = damaged.is_some();
        if let Some(bytes) = damaged {
            scene.store.create(&pack, bytes.into()).expect("creates");
        }
        let fault = scene.cat("main").expect_err("a base is wrong");
        assert!(fault.kind() == Kind::Damaged && whole_text(&fault).contains(&pack), "{}", whole_text(&fault));
        let found = findings(&serving(&scene.store), STORE);
        assert!(found.iter().any(|line| line.contains(&pack)) && found.len() > 1, "{found:?}");
        if is_there {
            let third = overwritten(&versions[1], 3, &[500_100]);
            assert!(scene.ingest(&third) > 16_384, "a chunk that needs no base");
            scene.store.delete(&pack).expect("deletes");
        }
    }
}

#[test]
fn an_edit_in_a_far_store_fetches_the_bases_and_nothing_else_of_the_packs() {
    let scene = Scene::new();
    let first = noise(1, 20_000_000);
    scene.ingest(&first);
    let places: Vec<usize> = (0..8).map(|number| 1_000_000 + number * 2_300_000).collect();
    let edited = overwritten(&first, 2, &places);
    fs::write(scene.root.path().join(FILE), &edited).expect("writes");
    let recording = Recording::keeping_calls(scene.store.clone(), Observer::new());
    ingest(&serving(&recording.bucket()), scene.root.path(), INTO, None).expect("ingests");
    let calls = recording.take_calls();
    let of_packs: Vec<_> =
        calls.iter().filter(|call| call.name.starts_with("packs/") && call.verb != Verb::Create).collect();
    let read: u64 = of_packs.iter().map(|call| call.bytes).sum();
    assert!((1..=10).contains(&of_packs.len()), "{} requests", of_packs.len());
    assert!(read <= 10 * 262_144, "{read} bytes: small chunks share a frame of so many");

    let requests_to_read = |reference: &str| {
        let reader = Recording::keeping_calls(scene.store.clone(), Observer::new());
        let read = cat(&serving(&reader.bucket()), &format!("{INTO}@{reference}:{FILE}")).expect("reads");
        (read, reader.take_calls().iter().filter(|call| call.name.starts_with("packs/")).count())
    };
    let ((_, plain), (read, based)) = (requests_to_read("main~1"), requests_to_read("main"));
    assert!(read == edited);
    assert!(based <= plain + places.len(), "{based} requests, not {plain}: bases come with their neighbours");
}

/// A store far away, and workspaces.
struct Team {
    folder: tempfile::TempDir,
    far: Bucket,
}

const FAR: &str = "s3://far";

impl Team {
    fn new() -> Team {
        let team = Team { folder: tempfile::tempdir().expect("a folder"), far: backend::memory() };
        team.engine("").create_store(FAR).expect("a store");
        team
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("is there").join(name)
    }

    fn engine(&self, workspace: &str) -> Engine {
        let settings = Settings {
            folder: self.path(workspace),
            home: None,
            author: "Ada <ada@example.org>".to_owned(),
            provenance: Default::default(),
            default_store: None,
            access: Default::default(),
            jobs: 2,
            state_folder: Some(self.path("state")),
            caches: Vec::new(),
            user_cache: None,
        };
        let far = self.far.clone();
        let opener = Opener::new(move |root, missing| match (root == FAR, missing) {
            (true, _) => Ok(far.clone()),
            (false, _) if root.contains("://") => Err(Error::not_found(root)),
            (false, Missing::Fails) => backend::open_folder(root),
            (false, Missing::IsMade) => backend::create_folder(root),
        });
        Engine::with_opener(settings, Observer::new(), opener)
    }

    #[track_caller]
    fn assert_is_sound(&self, store: &str) {
        assert_eq!(findings(&self.engine(""), store), Vec::<String>::new());
    }

    fn commit(&self, workspace: &str, name: &str, bytes: &[u8]) -> Published {
        fs::write(self.path(workspace).join(FILE), bytes).expect("writes");
        let options = CommitOptions { all: true, name: Some(name.to_owned()), ..CommitOptions::default() };
        self.engine(workspace).commit(&options).expect("commits")
    }

    /// A workspace, and its own store.
    fn init(&self, workspace: &str) -> Bucket {
        let folder = self.path(workspace);
        fs::create_dir(&folder).expect("a folder");
        let options = InitOptions { dataset: Some("set".to_owned()), ..InitOptions::default() };
        self.engine(workspace).init(&options).expect("inits");
        backend::open_folder(folder.join(".dagset/store").to_str().expect("UTF-8")).expect("opens")
    }

    /// Pushes the branch, or all versions.
    fn push(&self, workspace: &str, tags: bool) {
        let (remote, refs) = (Some(format!("{FAR}//set")), vec!["main".to_owned()]);
        let options = PushOptions { remote, refs, tags, ..PushOptions::default() };
        self.engine(workspace).push(&options).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
    }
}

/// Small numbers, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 += 1;
        let bytes = noise(self.0, 8);
        (u64::from_le_bytes(bytes.try_into().expect("8 bytes")) % most as u64) as usize
    }

    /// A length: mostly of a few bytes, or of a few chunks.
    fn length(&mut self) -> usize {
        let most = [50, 2_000, 200_000][self.below(3)];
        self.below(most)
    }

    /// A few edits of all sorts, of which some reach across chunks.
    fn edit(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut edited = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(edited.len());
            let old = self.length().min(edited.len() - at);
            let new = match self.below(4) {
                0 => old,
                1 => 0,
                _ => self.length(),
            };
            let seed = self.0;
            edited.splice(at..at + old, noise(seed, new));
        }
        edited
    }
}

#[test]
fn thirty_versions_come_back_from_here_from_where_they_are_pushed_and_from_a_clone() {
    let team = Team::new();
    let own = team.init("ada");
    let mut dice = Dice(1_000);
    let mut versions = vec![noise(7, 1_500_000)];
    for number in 0..30 {
        team.commit("ada", &format!("v{number}"), &versions[number]);
        if number == 12 {
            team.push("ada", true);
        }
        versions.push(dice.edit(&versions[number]));
    }
    versions.truncate(30);
    team.push("ada", true);
    let clone = CloneOptions { address: format!("{FAR}//set"), folder: Some(team.path("ben")), no_content: true };
    team.engine("").clone_dataset(&clone).expect("clones");
    let (based_here, _) = based_and_plain(&own);
    let (based_there, _) = based_and_plain(&team.far);
    assert!(based_here > 30, "{based_here} based frames");
    assert!(based_there * 10 >= based_here * 9, "{based_there} of {based_here} went as they are");
    for (number, version) in versions.iter().enumerate() {
        for place in
            [team.path("ada").display().to_string(), format!("{FAR}//set"), team.path("ben").display().to_string()]
        {
            let read = cat(&team.engine(""), &format!("{place}@v{number}:{FILE}"));
            assert!(read.expect("reads") == *version, "version {number} of {place}");
        }
    }
    team.assert_is_sound(FAR);
    team.assert_is_sound(team.path("ada/.dagset/store").to_str().expect("UTF-8"));
}

#[test]
fn a_chunk_whose_base_stays_behind_is_pushed_plainly() {
    let team = Team::new();
    let own = team.init("ada");
    let first = noise(1, 600_000);
    let second = [&first[..200_000], &noise(2, 400_000), &first[200_000..]].concat();
    let third = overwritten(&second, 3, &[400_000]);
    for (name, version) in [("v1", &first), ("v2", &second), ("v3", &third)] {
        team.commit("ada", name, version);
    }
    let (here, _) = based_and_plain(&own);
    assert!(here > 1, "an end of what was inserted, and the edit in it");
    let base = Address::parse(&format!("{}@v1", team.path("ada").display()), None).expect("an address");
    let tip = RefExpr::parse("v3").expect("a ref");
    let squash = SquashOptions { base, tip, name: "v4".to_owned(), message: None, reason: None, dry_run: false };
    team.engine("ada").squash(&squash).expect("squashes");
    team.push("ada", false);
    assert_eq!(based_and_plain(&team.far).0, here - 1, "the version with the edit's base isn't there");
    assert!(cat(&team.engine(""), &format!("{FAR}//set:{FILE}")).expect("reads") == third);
    team.assert_is_sound(FAR);
}
