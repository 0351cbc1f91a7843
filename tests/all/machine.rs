//! A user's machine, and a store far away whose every request is counted.

use std::fs;
use std::path::{Path, PathBuf};

use dagset::base::{Counter, Event, Observer, Result};
use dagset::engine::{Access, Address, Engine, IngestOptions, Opener, Published, Settings};
use dagset::store::{Bucket, backend};

/// Where the far store is.
pub const FAR: &str = "s3://bucket/teams/far";

/// Folders of a user; each command is an engine of its own, as processes are.
pub struct Machine {
    folder: tempfile::TempDir,
    far: Bucket,
    has_cache: bool,
}

/// What a command asked of stores.
#[derive(Debug, PartialEq, Eq)]
pub struct Cost {
    pub gets: u64,
    pub lists: u64,
    pub puts: u64,
    /// Heads and deletes.
    pub others: u64,
    pub received_bytes: u64,
}

impl Cost {
    pub fn requests(&self) -> u64 {
        self.gets + self.lists + self.puts + self.others
    }
}

impl Machine {
    /// A machine that knows nothing of `far` yet.
    pub fn new(far: &Bucket) -> Machine {
        Machine { folder: tempfile::tempdir().expect("a folder"), far: far.clone(), has_cache: false }
    }

    /// A machine on which an empty far store was made.
    pub fn with_store() -> Machine {
        let machine = Machine::new(&backend::memory());
        machine.run(|engine| engine.create_store(FAR));
        machine
    }

    /// The same machine, whose user has a cache of files.
    pub fn with_cache(self) -> Machine {
        Machine { has_cache: true, ..self }
    }

    /// The same machine, as if the far store were another.
    pub fn facing(self, far: &Bucket) -> Machine {
        Machine { far: far.clone(), ..self }
    }

    pub fn far(&self) -> &Bucket {
        &self.far
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("the folder").join(name)
    }

    /// The mirrors of this machine.
    pub fn mirrors(&self) -> PathBuf {
        self.path("state/mirrors")
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("is below")).expect("a folder");
        fs::write(path, content).expect("writes");
    }

    /// An engine in the folder `work`. What lies under other URLs is empty, and asked for all the same.
    pub fn engine(&self, access: Access) -> Engine {
        let folder = self.path("work");
        fs::create_dir_all(&folder).expect("a folder");
        let settings = Settings {
            folder,
            home: None,
            author: "Ada <ada@example.org>".to_owned(),
            provenance: Default::default(),
            default_store: None,
            access,
            jobs: 1,
            state_folder: Some(self.path("state")),
            caches: Vec::new(),
            user_cache: self.has_cache.then(|| self.path("cache")),
        };
        let far = self.far.clone();
        let opener = Opener::new(move |root, missing| match root {
            FAR => Ok(far.clone()),
            _ if root.starts_with("s3://") => Ok(backend::memory()),
            _ => match missing {
                dagset::engine::Missing::Fails => backend::open_folder(root),
                dagset::engine::Missing::IsMade => backend::create_folder(root),
            },
        });
        Engine::with_opener(settings, Observer::new(), opener)
    }

    /// Runs a command; what it says in notes is given too.
    pub fn try_run<T>(&self, access: Access, command: impl FnOnce(&Engine) -> Result<T>) -> (Result<T>, Cost, String) {
        let engine = self.engine(access);
        let outcome = command(&engine);
        let count = |counter| engine.observer.get(counter);
        let cost = Cost {
            gets: count(Counter::Gets),
            lists: count(Counter::Lists),
            puts: count(Counter::Puts),
            others: count(Counter::Heads) + count(Counter::Deletes),
            received_bytes: count(Counter::ReceivedBytes),
        };
        let notes = engine.observer.take_events().into_iter().filter_map(|event| match event {
            Event::Note(note) => Some(note),
            _ => None,
        });
        (outcome, cost, notes.collect::<Vec<_>>().join("\n"))
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub fn run<T>(&self, command: impl FnOnce(&Engine) -> Result<T>) -> (T, Cost) {
        let (outcome, cost, _) = self.try_run(Access::default(), command);
        (outcome.unwrap_or_else(|fault| panic!("{}", crate::stage::whole_text(&fault))), cost)
    }

    /// Ingests the folder `source` into a dataset of the far store.
    #[track_caller]
    pub fn ingest(&self, dataset: &str, source: &str) -> (Published, Cost) {
        let options = IngestOptions {
            source: self.path(source),
            into: format!("{FAR}//{dataset}"),
            create: true,
            ..IngestOptions::default()
        };
        self.run(|engine| engine.ingest(&options))
    }

    /// Publishes `count` versions of a dataset, each of another content of one file.
    pub fn publish(&self, dataset: &str, count: usize) {
        for number in 0..count {
            let versions = self
                .run(|engine| engine.list_datasets(FAR, &Default::default()))
                .0
                .iter()
                .map(|card| card.versions)
                .sum::<u64>();
            self.write("source/file", format!("{versions} and {number}"));
            self.ingest(dataset, "source");
        }
    }
}

/// An address as it is typed outside of a workspace.
pub fn address(text: &str) -> Address {
    Address::parse(text, None).expect("an address")
}

/// The names of the files below a folder, without the folders they are in.
pub fn file_names(folder: &Path) -> Vec<String> {
    let paths = crate::env::everything_below(folder).into_iter().filter(|path| path.is_file());
    paths.map(|path| path.file_name().expect("has a name").to_string_lossy().into_owned()).collect()
}
