//! A user's folders, and stores of any number under URLs of clouds, all in memory: quick to make, to copy whole, and to look at from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dagset::base::{Event, Observer};
use dagset::engine::{Address, CachePlace, Engine, GcOptions, IngestOptions, Missing, Opener, Published, Settings};
use dagset::store::{Bucket, backend};

use crate::stage::{copy_of, whole_text};

/// Folders of a user, and the stores that this machine reaches; each command is an engine of its own, as processes are.
pub struct World {
    root: tempfile::TempDir,
    stores: BTreeMap<String, Bucket>,
    pub has_cache: bool,
}

impl World {
    /// A world in which a store was made under each of the URLs.
    pub fn new(urls: &[&str]) -> World {
        let stores = urls.iter().map(|url| ((*url).to_owned(), backend::memory())).collect();
        let world = World { root: scratch(), stores, has_cache: false };
        urls.iter().for_each(|url| {
            world.engine("").create_store(url).expect("creates");
        });
        world
    }

    /// Another world that is just like this one, in another place.
    pub fn copy(&self) -> World {
        let stores = self.stores.iter().map(|(url, bucket)| (url.clone(), copy_of(bucket))).collect();
        let copy = World { root: scratch(), stores, has_cache: self.has_cache };
        copy_folder(self.root.path(), copy.root.path());
        copy
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn store(&self, url: &str) -> &Bucket {
        &self.stores[url]
    }

    /// Puts another bucket in the place of a store's; gives the one that was there.
    pub fn replace_store(&mut self, url: &str, bucket: Bucket) -> Bucket {
        self.stores.insert(url.to_owned(), bucket).expect("a store of this world")
    }

    /// What this machine keeps of stores and workspaces, and can make again.
    pub fn kept(&self) -> PathBuf {
        self.path("state")
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("is below")).expect("a folder");
        fs::write(path, content).expect("writes");
    }

    /// An engine in one of the folders, of one thread.
    pub fn engine(&self, folder: &str) -> Engine {
        self.engine_keeping(folder, Some(self.kept()))
    }

    /// An engine of a machine that knows nothing of any store.
    pub fn stranger(&self) -> Engine {
        self.engine_keeping("", None)
    }

    fn engine_keeping(&self, folder: &str, kept: Option<PathBuf>) -> Engine {
        let folder = self.path(folder);
        fs::create_dir_all(&folder).expect("a folder");
        let cache = || CachePlace { folder: self.path("cache"), read_only: false };
        let settings = Settings {
            folder,
            home: None,
            author: "Ada <ada@example.org>".to_owned(),
            provenance: Default::default(),
            default_store: None,
            access: Default::default(),
            jobs: 1,
            state_folder: kept,
            caches: self.has_cache.then(cache).into_iter().collect(),
            user_cache: None,
        };
        let stores = self.stores.clone();
        let opener = Opener::new(move |root, missing| match (stores.get(root), missing) {
            (Some(bucket), _) => Ok(bucket.clone()),
            // Prefixes of a store's URL are asked, too, for the store that they may be.
            _ if root.starts_with("s3://") => Ok(backend::memory()),
            (None, Missing::Fails) => backend::open_folder(root),
            (None, Missing::IsMade) => backend::create_folder(root),
        });
        Engine::with_opener(settings, Observer::new(), opener)
    }

    /// Ingests a folder into `STORE//DATASET`, which is made if need be.
    #[track_caller]
    pub fn ingest(&self, source: &str, into: &str, branch: Option<&str>, name: Option<&str>) -> Published {
        let options = IngestOptions {
            source: self.path(source),
            into: into.to_owned(),
            branch: branch.map(str::to_owned),
            name: name.map(str::to_owned),
            create: true,
            ..IngestOptions::default()
        };
        self.engine("").ingest(&options).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)))
    }

    /// What verify finds wrong with a store, a line each.
    pub fn findings(&self, url: &str) -> Vec<String> {
        crate::stage::findings(&self.stranger(), url)
    }

    /// The paths of a version whose content can be read and is right, for a machine that knows nothing.
    pub fn readable(&self, address: &str) -> BTreeSet<String> {
        let engine = self.stranger();
        let address = Address::parse(address, None).expect("an address");
        let (Ok(entries), Ok(report)) = (engine.list_entries(&address, true), engine.verify_version(&address)) else {
            return BTreeSet::new();
        };
        let bad: BTreeSet<_> = report.findings.iter().filter_map(|finding| finding.path.clone()).collect();
        entries.into_iter().map(|entry| entry.path).filter(|path| !bad.contains(path)).collect()
    }
}

/// What an engine said in notes and warnings.
pub fn notes(engine: &Engine) -> String {
    let notes = engine.observer.take_events().into_iter().filter_map(|event| match event {
        Event::Note(text) | Event::Warning(text) => Some(text),
        _ => None,
    });
    notes.collect::<Vec<_>>().join("\n")
}

/// Options of a collection that waits for nothing.
pub fn at_once() -> GcOptions {
    GcOptions { grace: std::time::Duration::ZERO, dry_run: false }
}

/// A folder in memory where this machine has such, since nothing here depends on a disk.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// Copies all that is below a folder, with the times of files; links as links.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("lists").map(|entry| entry.expect("lists")) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("has a kind");
        if kind.is_dir() {
            copy_folder(&from, &to);
        } else if kind.is_symlink() {
            symlink(fs::read_link(&from).expect("a link"), &to).expect("links");
        } else {
            fs::copy(&from, &to).expect("copies");
            let modified = entry.metadata().expect("is there").modified().expect("a time");
            fs::File::open(&to).expect("opens").set_modified(modified).expect("sets the time");
        }
    }
}
