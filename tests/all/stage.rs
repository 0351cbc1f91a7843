//! What the tests of faults, races and damage share: engines on a store of the test's choosing, folders of data, and what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use dagset::base::{Error, Observer, Result};
use dagset::engine::{Address, Engine, GetOptions, IngestOptions, Opener, Published, Settings};
use dagset::format::store_file::StoreFile;
use dagset::history::timeline::Timeline;
use dagset::store::{Bucket, backend};

/// Where [`serving`] has its store.
pub const STORE: &str = "/store";

/// An engine of one thread, so that the order of its calls is the same in each run.
pub fn engine(opener: Opener) -> Engine {
    let settings = Settings {
        folder: PathBuf::from("/"),
        home: None,
        author: "Ada <ada@example.org>".to_owned(),
        provenance: Default::default(),
        default_store: None,
        access: Default::default(),
        jobs: 1,
        state_folder: None,
        caches: Vec::new(),
        user_cache: None,
    };
    Engine::with_opener(settings, Observer::new(), opener)
}

/// An engine that knows one store, at [`STORE`].
pub fn serving(bucket: &Bucket) -> Engine {
    let bucket = bucket.clone();
    engine(Opener::new(move |root, _| match root {
        STORE => Ok(bucket.clone()),
        other => Err(Error::not_found(format!("no such folder: {other}"))),
    }))
}

/// Ingests a folder into `STORE/DATASET`, which is made if need be.
pub fn ingest(engine: &Engine, source: &Path, into: &str, name: Option<&str>) -> Result<Published> {
    engine.ingest(&IngestOptions {
        source: source.to_owned(),
        into: into.to_owned(),
        name: name.map(str::to_owned),
        create: true,
        ..IngestOptions::default()
    })
}

/// Gets a version into a folder.
pub fn get(engine: &Engine, address: &str, folder: &Path) -> Result<()> {
    let options = GetOptions { folder: folder.to_owned(), ..GetOptions::default() };
    engine.get(&Address::parse(address, None)?, &options).map(drop)
}

/// What verify finds wrong, a line each.
pub fn findings(engine: &Engine, store: &str) -> Vec<String> {
    let report = engine.verify_store(store, None).expect("a store that can be looked at");
    report.findings.iter().map(|finding| format!("{}: {}", finding.object, finding.why)).collect()
}

/// An error with its causes, and its hint.
pub fn whole_text(fault: &Error) -> String {
    let parts = std::iter::once(fault.to_string()).chain(fault.causes());
    parts.chain(fault.next_step().map(|hint| format!("hint: {hint}"))).collect::<Vec<_>>().join("\n")
}

/// A copy of all objects, in memory.
pub fn copy_of(bucket: &Bucket) -> Bucket {
    let copy = backend::memory();
    for name in objects(bucket) {
        copy.create(&name, bucket.get(&name).expect("is listed")).expect("memory takes all");
    }
    copy
}

/// The names of all objects, sorted.
pub fn objects(bucket: &Bucket) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let listing = bucket.list(&folder).expect("lists");
        let inside = |name: &String| if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        names.extend(listing.objects.iter().map(|object| inside(&object.name)));
        folders.extend(listing.folders.iter().map(inside));
    }
    names.sort();
    names
}

/// The objects that the store rests on: not the indexes that a merged one stands for, which may be lost without loss.
pub fn needed(store: &Bucket) -> Vec<String> {
    let file = StoreFile::parse(&store.get("dagset.json").expect("is there"), "the store").expect("is a store's");
    let timeline = Timeline::open(store.clone(), file.store, Observer::new()).expect("opens");
    let registered: Vec<_> = timeline.fold().indexes.keys().map(|name| format!("index/{name}")).collect();
    let is_needed = |name: &String| !name.starts_with("index/") || registered.contains(name);
    objects(store).into_iter().filter(is_needed).collect()
}

/// Lays out a small folder with all that a version can hold; another `seed` gives a few other files.
pub fn lay_out(folder: &Path, seed: u64) {
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("is below the folder")).expect("a folder");
        fs::write(path, bytes).expect("writes");
    };
    write("labels.csv", b"name,class\nimg-1,stop\nimg-2,yield\n".repeat(20).as_slice());
    write("images/a.png", &[&b"\x89PNG\r\n\x1a\n"[..], &noise(1, 2_000)].concat());
    write("images/b ü\n.png", &noise(seed, 500));
    write("big.bin", &noise(2, 300_000));
    write("empty", b"");
    write("run.sh", format!("#!/bin/sh\necho {seed}\n").as_bytes());
    fs::set_permissions(folder.join("run.sh"), fs::Permissions::from_mode(0o755)).expect("sets the mode");
    symlink("labels.csv", folder.join("link")).expect("links");
    fs::create_dir_all(folder.join("nothing")).expect("a folder");
}

/// Bytes that don't compress, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Everything below a folder: kind, bytes and mode of each path.
pub fn contents(folder: &Path) -> BTreeMap<String, String> {
    contents_by(folder, |path| fs::symlink_metadata(path).expect("is listed"))
}

/// The same as who reads it sees it who doesn't look at links into a cache, which lead to the name of a content.
pub fn contents_read(folder: &Path) -> BTreeMap<String, String> {
    contents_by(folder, |path| match fs::read_link(path) {
        Ok(leads_to) if leads_to.file_name().is_some_and(|name| name.len() >= 2 * blake3::OUT_LEN) => {
            fs::metadata(path).unwrap_or_else(|fault| panic!("{leads_to:?}: {fault}"))
        }
        _ => fs::symlink_metadata(path).expect("is listed"),
    })
}

fn contents_by(folder: &Path, look: impl Fn(&Path) -> fs::Metadata) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if !folder.exists() {
        return all;
    }
    for path in crate::env::everything_below(folder) {
        let meta = look(&path);
        let what = if meta.is_symlink() {
            format!("link to {:?}", fs::read_link(&path).expect("a link"))
        } else if meta.is_dir() {
            "folder".to_owned()
        } else {
            let executable = meta.permissions().mode() & 0o100 != 0;
            format!("{} {executable}", blake3::hash(&fs::read(&path).expect("reads")))
        };
        let path = path.strip_prefix(folder).expect("is below").to_str().expect("UTF-8").to_owned();
        all.insert(path, what);
    }
    all
}

/// Asserts that a version comes back as it went in.
#[track_caller]
pub fn assert_comes_back(engine: &Engine, address: &str, source: &Path) {
    let out = tempfile::tempdir().expect("a folder");
    get(engine, address, out.path()).unwrap_or_else(|fault| panic!("{address}: {}", whole_text(&fault)));
    assert_eq!(contents(out.path()), contents(source), "{address}");
}
