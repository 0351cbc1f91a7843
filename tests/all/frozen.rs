//! Stores of every released format, kept for ever in `fixtures/frozen/`: each must be read as it was written.
//!
//! A frozen store holds the fixture's versions, enough records for a state, and a chunk that is stored against a base, written by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dagset::base::{Id, ObjectName, Observer};
use dagset::chunk::compress_against;
use dagset::engine::{Address, Engine, GetOptions, IngestOptions, Settings};
use dagset::format::header::ObjectKind;
use dagset::format::index::IndexBuilder;
use dagset::format::operation::{IndexRow, Operation};
use dagset::format::pack::{ItemKind, NewItem, PackBuilder};
use dagset::format::place::Encoding;
use dagset::format::store_file::StoreFile;
use dagset::history::timeline::{Actor, Timeline};
use dagset::store::backend;

const DATASETS: &[&str] = &["signs@1.0", "signs@1.1", "signs@2.0", "based@2"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn engine(folder: &Path) -> Engine {
    let settings = Settings {
        folder: folder.to_owned(),
        home: None,
        author: "Ada <ada@example.org>".to_owned(),
        provenance: Default::default(),
        default_store: None,
        access: Default::default(),
        jobs: 2,
        state_folder: None,
        caches: Vec::new(),
        user_cache: None,
    };
    Engine::new(settings, Observer::new())
}

/// Every path of a version with what it is: the listing that is kept beside a frozen store.
fn listing(engine: &Engine, address: &str) -> Vec<String> {
    let address = Address::parse(address, None).unwrap();
    let entries = engine.list_entries(&address, true).unwrap();
    // The pictures are from before a listing told what was purged.
    entries.iter().map(|entry| format!("{entry:?}").replace(", purged: None }", " }")).collect()
}

#[test]
fn every_frozen_store_is_read() {
    let formats: Vec<_> = fs::read_dir(fixtures().join("frozen")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!formats.is_empty());
    for format in formats {
        let engine = engine(&format);
        let report = engine.verify_store("./store", None).unwrap();
        assert_eq!(report.findings, [], "{}", format.display());
        let expected = fs::read_to_string(format.join("expected.txt")).unwrap();
        assert_eq!(expected_listing(&engine), expected, "{}", format.display());
        for dataset in DATASETS {
            let out = tempfile::tempdir().unwrap();
            let options = GetOptions { folder: out.path().to_owned(), ..GetOptions::default() };
            engine.get(&Address::parse(&format!("./store//{dataset}"), None).unwrap(), &options).unwrap();
            assert_content(&engine, &format!("./store//{dataset}"), out.path());
        }
    }
}

fn expected_listing(engine: &Engine) -> String {
    let of =
        |dataset: &&str| format!("{dataset}\n  {}\n", listing(engine, &format!("./store//{dataset}")).join("\n  "));
    DATASETS.iter().map(of).collect()
}

fn assert_content(engine: &Engine, address: &str, folder: &Path) {
    for entry in engine.list_entries(&Address::parse(address, None).unwrap(), true).unwrap() {
        if let Some(content) = entry.content {
            assert_eq!(Id::of(&fs::read(folder.join(&entry.path)).unwrap()), content, "{}", entry.path);
        }
    }
}

fn ingest(engine: &Engine, source: &Path, dataset: &str, name: &str) {
    let options = IngestOptions {
        source: source.to_owned(),
        into: format!("./store//{dataset}"),
        name: Some(name.to_owned()),
        message: format!("version {name}"),
        create: true,
        ..IngestOptions::default()
    };
    engine.ingest(&options).unwrap();
}

/// Writes `fixtures/frozen/<format>`; run once for each format, when it is released.
#[test]
#[ignore = "writes the fixture; for a new format only"]
fn freeze() {
    let folder = fixtures().join("frozen").join(dagset::format::store_file::FORMAT.to_string());
    assert!(!folder.exists(), "{} is frozen already", folder.display());
    fs::create_dir_all(&folder).unwrap();
    let engine = engine(&folder);
    for (version, name) in [("v1", "1.0"), ("v2", "1.1"), ("v3", "2.0")] {
        let source = tempfile::tempdir().unwrap();
        let source = source.path().join("signs");
        let laid = std::process::Command::new(fixtures().join("prepare.sh")).arg(version).arg(&source).status();
        assert!(laid.unwrap().success());
        ingest(&engine, &source, "signs", name);
    }
    let source = tempfile::tempdir().unwrap();
    let base: Vec<u8> = (0..20_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()).collect();
    let mut edited = base.clone();
    edited[40_000..40_010].copy_from_slice(b"an edit!!!");
    fs::write(source.path().join("data.bin"), &base).unwrap();
    ingest(&engine, source.path(), "based", "1");
    store_against(&folder, &base, &edited);
    fs::write(source.path().join("data.bin"), &edited).unwrap();
    ingest(&engine, source.path(), "based", "2");
    for round in 0..40 {
        let address = Address::parse(&format!("./store//signs@{}", ["1.0", "1.1"][round % 2]), None).unwrap();
        engine.set_tag(&address, "latest", None, None).unwrap();
    }
    fs::write(folder.join("expected.txt"), expected_listing(&engine)).unwrap();
}

/// Registers a pack in which `edited` is a chunk compressed against the chunk `base`.
fn store_against(folder: &Path, base: &[u8], edited: &[u8]) {
    let bucket = backend::open_folder(folder.join("store").to_str().unwrap()).unwrap();
    let file = StoreFile::parse(&bucket.get("dagset.json").unwrap(), "store").unwrap();
    let packed = compress_against(edited, base).unwrap();
    assert!(packed.len() < 1_000);
    let mut pack = PackBuilder::new(ObjectKind::Pack);
    let item = NewItem { id: Id::of(edited), kind: ItemKind::Chunk, len: edited.len() as u32, hint_len: 0 };
    pack.add_frame(&packed, edited.len() as u32, Encoding::Based(Id::of(base)), &[item]).unwrap();
    let pack = pack.finish();
    let name = ObjectName { born: 4, random: [7; 16] };
    let mut index = IndexBuilder::new();
    index.add_pack(name, ObjectKind::Pack, pack.bytes.len() as u64, &pack.footer).unwrap();
    let index = index.finish().unwrap();
    let row = IndexRow {
        name,
        bytes: index.len() as u64,
        id: Id::of(&index),
        packs: 1,
        pack_bytes: pack.bytes.len() as u64,
        meta_bytes: 0,
    };
    bucket.create(&format!("packs/{name}"), pack.bytes.into()).unwrap();
    bucket.create(&format!("index/{name}"), Bytes::from(index)).unwrap();
    let actor = Actor { name: "Ada".to_owned(), context: Default::default() };
    let mut timeline = Timeline::open(bucket, file.store, Observer::new()).unwrap();
    timeline.append(&actor, |_, _| Ok(vec![Operation::Register { indexes: vec![row.clone()] }])).unwrap();
}

#[test]
fn a_frozen_store_holds_what_it_must() {
    let folder = fixtures().join("frozen/1/store");
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for path in crate::env::everything_below(&folder) {
        let kind = path.strip_prefix(&folder).unwrap().components().next().unwrap();
        *count.entry(kind.as_os_str().to_str().unwrap().to_owned()).or_default() += 1;
    }
    for kind in ["packs", "meta", "index", "log", "state", "dagset.json"] {
        assert!(count.contains_key(kind), "no {kind} among {count:?}");
    }
}
