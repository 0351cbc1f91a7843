//! Processes of all kinds on one store, killed at any moment, over and over: what was acknowledged stays, what is verified is whole, and the
//! user's files are the user's. `scripts/soak` runs it for long, here and on a bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::env::{TestEnv, everything_below};
use crate::s3::{Server, server};
use crate::stage::noise;

/// Rounds in a usual run of the tests; `DAGSET_TEST_RUNS` says another number.
const RUNS: u64 = 200;
/// All is looked at so often, in rounds.
const CHECK_EVERY: u64 = 25;
const PEOPLE: [&str; 2] = ["ada", "bob"];

/// What a process was asked to do, and what comes of it once it has said that it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    Ingest { branch: String, source: String },
    Commit(&'static str),
    Push(&'static str),
    Pull(&'static str),
    Merge(&'static str),
    Collect,
    Get { folder: String },
    Warm,
}

/// A process under way.
struct Running {
    task: Task,
    child: Child,
    output: std::path::PathBuf,
}

struct Soak {
    env: TestEnv,
    store: String,
    /// Versions that were acknowledged to be in the shared store: by id, the folder that each was made of.
    ingested: BTreeMap<String, BTreeMap<String, String>>,
    /// Versions that were acknowledged in a person's own store, and those that were pushed.
    committed: BTreeSet<(&'static str, String)>,
    pushed: BTreeSet<String>,
    /// Hashes of all that any file ever held.
    contents: BTreeSet<String>,
    /// By person, the files that no version holds.
    unsaved: BTreeMap<&'static str, BTreeMap<String, String>>,
    dice: u64,
    round: u64,
    killed: BTreeMap<String, u64>,
    ended: BTreeMap<String, u64>,
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_string()
}

impl Soak {
    fn new(store: String, env: TestEnv, seed: u64) -> Soak {
        let mut soak = Soak {
            env,
            store,
            ingested: BTreeMap::new(),
            committed: BTreeSet::new(),
            pushed: BTreeSet::new(),
            contents: BTreeSet::new(),
            unsaved: BTreeMap::new(),
            dice: seed,
            round: 0,
            killed: BTreeMap::new(),
            ended: BTreeMap::new(),
        };
        let _ = soak.env.run(["cache", "init", "./cache"]).exits(0);
        let cache = soak.env.path("cache").to_str().unwrap().to_owned();
        soak.env.set("DAGSET_CACHE", &cache);
        soak.put("first/data", noise(1, 300_000));
        let _ = soak.env.run(["store", "create", &soak.store]).exits(0);
        let set = format!("{}//set", soak.store);
        let _ = soak.env.run(["ingest", "first", "--into", &set, "--create"]).exits(0);
        for person in PEOPLE {
            let _ = soak.env.run(["clone", &set, person]).exits(0);
            soak.unsaved.insert(person, BTreeMap::new());
        }
        soak
    }

    fn below(&mut self, most: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % most
    }

    fn put(&mut self, path: &str, bytes: Vec<u8>) {
        self.contents.insert(hash(&bytes));
        self.env.write(path, bytes);
    }

    /// The next thing that a process does; the person's files change right before.
    fn task_of(&mut self, lane: usize) -> Task {
        let round = self.round;
        match lane {
            0 => {
                let source = format!("source-{}", self.below(6));
                let seed = self.below(9);
                self.put(&format!("{source}/large"), [noise(1, 300_000), noise(seed, 30_000)].concat());
                let small = self.below(4);
                self.put(&format!("{source}/{small}"), noise(round, 2_000));
                Task::Ingest { branch: format!("run-{round}"), source }
            }
            1 | 2 => {
                let person = PEOPLE[lane - 1];
                let task = self.below(6);
                if task <= 2 {
                    let path = format!("{person}/{person}-{}", self.below(5));
                    self.put(&path, noise(round + 10_000 * lane as u64, 40_000));
                }
                match task {
                    0..=1 => Task::Commit(person),
                    2 => {
                        // What is lying there while others' versions come in.
                        let name = format!("unsaved-{round}");
                        let bytes = noise(round, 900);
                        self.unsaved.get_mut(person).unwrap().insert(name.clone(), hash(&bytes));
                        self.put(&format!("{person}/{name}"), bytes);
                        Task::Pull(person)
                    }
                    3 => Task::Pull(person),
                    4 => Task::Merge(person),
                    _ => Task::Push(person),
                }
            }
            _ => match self.below(3) {
                0 => Task::Collect,
                1 => Task::Get { folder: "got".to_owned() },
                _ => Task::Warm,
            },
        }
    }

    fn start(&self, task: Task, lane: usize) -> Running {
        let set = format!("{}//set", self.store);
        let here = |person: &'static str, words: &[&str]| (person, words.iter().map(|&word| word.to_owned()).collect());
        let at_root = |words: &[&str]| here(".", words);
        let (folder, mut words): (_, Vec<String>) = match &task {
            Task::Ingest { branch, source } => at_root(&["ingest", source, "--into", &set, "--branch", branch]),
            Task::Commit(person) => here(person, &["commit", "-a", "-m", "soaked"]),
            Task::Push(person) => here(person, &["push"]),
            Task::Pull(person) => here(person, &["pull"]),
            Task::Merge(person) => here(person, &["merge", "origin/main", "--on-conflict", "first"]),
            Task::Collect => at_root(&["gc", &self.store, "--grace", "0s"]),
            Task::Get { folder } => at_root(&["get", &set, folder, "--overwrite", "--delete"]),
            Task::Warm => at_root(&["warm", &set]),
        };
        words.push("--json".to_owned());
        let output = self.env.path(&format!("output-{lane}"));
        let mut command = self.env.command();
        command.current_dir(self.env.path(folder)).args(&words).stdin(Stdio::null());
        command.stdout(fs::File::create(&output).unwrap());
        command.stderr(fs::File::create(output.with_extension("errors")).unwrap());
        Running { task, child: command.spawn().unwrap(), output }
    }

    /// One round: processes of all kinds at once, killed after a while.
    fn run_round(&mut self, longest: Duration) {
        self.round += 1;
        let tasks: Vec<Task> = (0..4).map(|lane| self.task_of(lane)).collect();
        let running: Vec<Running> = tasks.into_iter().enumerate().map(|(lane, task)| self.start(task, lane)).collect();
        let begun = Instant::now();
        let mut running: Vec<(u64, Running)> = running.into_iter().map(|it| (self.below(1_000), it)).collect();
        running.sort_by_key(|(moment, _)| *moment);
        for (moment, mut process) in running {
            // The moment is what is tried, so that nothing could be waited for.
            std::thread::sleep(longest.mul_f64(moment as f64 / 1_000.0).saturating_sub(begun.elapsed()));
            process.child.kill().unwrap();
            let status = process.child.wait().unwrap();
            self.take_note(&process, status);
        }
        for person in PEOPLE {
            self.assert_files_are_the_users(person);
        }
    }

    fn take_note(&mut self, process: &Running, status: ExitStatus) {
        let name = format!("{:?}", process.task).split([' ', '(']).next().unwrap_or_default().to_owned();
        let Some(code) = status.code() else { return *self.killed.entry(name).or_default() += 1 };
        *self.ended.entry(format!("{name} {code}")).or_default() += 1;
        let errors = fs::read_to_string(process.output.with_extension("errors")).unwrap();
        // Others were first, or a process that was killed left half of its work: the next one goes on. Nothing else goes wrong.
        assert!([0, 4, 7].contains(&code), "{:?} ended by {code}:\n{errors}", process.task);
        assert!(code != 7 || errors.contains("locked"), "{errors}");
        if code != 0 {
            return;
        }
        let text = fs::read_to_string(&process.output).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        let version = document["version"].as_str().map(str::to_owned);
        match &process.task {
            Task::Ingest { source, .. } => {
                let files = self.files_in(source);
                self.ingested.insert(version.expect("an id"), files);
            }
            Task::Commit(person) => {
                self.committed.extend(version.map(|version| (*person, version)));
                // Nothing is unsaved after it.
                self.unsaved.get_mut(person).unwrap().clear();
            }
            Task::Push(_) => {
                let moved = document["refs"].as_array().expect("a list").iter();
                let branches = moved.filter(|step| step["kind"] == "branch" && step["name"] == "main");
                self.pushed.extend(branches.filter_map(|step| Some(step["new"].as_str()?.to_owned())));
            }
            _ => {}
        }
    }

    /// By path, the hashes of a folder's files, but dagset's own.
    fn files_in(&self, folder: &str) -> BTreeMap<String, String> {
        let root = self.env.path(folder);
        let files = everything_below(&root).into_iter().filter(|path| path.is_file());
        let files = files.map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            (name, hash(&fs::read(path).unwrap()))
        });
        files.filter(|(name, _)| !name.contains(".dagset")).collect()
    }

    /// No file of the folder is half of something, and what no version holds is there as it was.
    fn assert_files_are_the_users(&self, person: &str) {
        let files = self.files_in(person);
        for (path, content) in &files {
            assert!(self.contents.contains(content), "{person}/{path} holds what nobody wrote");
        }
        for (path, content) in &self.unsaved[person] {
            assert_eq!(files.get(path), Some(content), "{person}/{path} is lost");
        }
    }

    fn log_of(&self, place: &str) -> BTreeSet<String> {
        let log = self.env.run(["log", place, "--json"]).json();
        let versions = log["versions"].as_array().expect("a list").iter();
        versions.map(|card| card["version"].as_str().expect("an id").to_owned()).collect()
    }

    /// Whole stores, and in them all that was ever acknowledged.
    fn check(&mut self) {
        let own = PEOPLE.map(|person| format!("./{person}/.dagset/store"));
        for store in [&self.store].into_iter().chain(&own) {
            let findings = self.env.run(["verify", store, "--json"]).json();
            assert_eq!(findings["findings"], serde_json::json!([]), "{store}");
        }
        let logged = self.log_of(&format!("{}//set@main", self.store));
        for version in &self.pushed {
            assert!(logged.contains(version), "the push of {version} was acknowledged");
        }
        for person in PEOPLE {
            let logged = self.log_of(&format!("./{person}/.dagset/store//set@main"));
            for (_, version) in self.committed.iter().filter(|(who, _)| *who == person) {
                assert!(logged.contains(version), "{person}'s commit of {version} was acknowledged");
            }
        }
        // Each of those that came since, and one of the others.
        let before = self.below(self.ingested.len().max(1) as u64) as usize;
        let fresh = self.ingested.len().saturating_sub(5);
        for (number, (version, files)) in self.ingested.iter().enumerate() {
            if number >= fresh || number == before {
                let place = format!("{}//set@{version}", self.store);
                let _ = self.env.run(["get", &place, "out", "--overwrite", "--delete", "--no-cache"]).exits(0);
                assert_eq!(self.files_in("out"), *files, "the ingest of {version} was acknowledged");
            }
        }
    }

    /// What was cut off is ended by the same commands, and each has a commit that nobody kills.
    fn settle(&mut self, round: u64) {
        for (lane, person) in PEOPLE.into_iter().enumerate() {
            for words in [
                &["commit", "-a", "-m", "the last"][..],
                &["pull"],
                &["merge", "origin/main", "--on-conflict", "first"],
                &["push"],
            ] {
                let outcome = self.env.run_with(person, words, b"");
                assert!(matches!(outcome.code, Some(0 | 4)), "{words:?}: {}", outcome.stderr);
            }
            self.put(&format!("{person}/settled"), noise(round + 20_000 * (lane as u64 + 1), 5_000));
            let outcome = self.env.run_with(person, ["commit", "-a", "-m", "settled", "--json"], b"");
            if outcome.code == Some(0) {
                let version = outcome.json()["version"].as_str().expect("an id").to_owned();
                self.committed.insert((person, version));
                self.unsaved.get_mut(person).unwrap().clear();
            }
        }
    }

    /// Everyone ends in peace.
    fn end(&mut self) {
        self.settle(self.round + 1);
        for person in PEOPLE {
            let status = self.env.run_with(person, ["status", "--json"], b"").json();
            assert_eq!(status["unfinished_switch"], serde_json::Value::Null, "{status}");
            self.assert_files_are_the_users(person);
        }
        self.check();
        for _ in 0..2 {
            let _ = self.env.run(["gc", &self.store, "--grace", "0s"]).exits(0);
        }
        self.check();
    }

    fn run(&mut self, runs: u64) {
        // As long as such a round takes undisturbed, and longer than most of its processes.
        let begun = Instant::now();
        let set = format!("{}//set", self.store);
        let _ = self.env.run(["get", &set, "timed"]).exits(0);
        let longest = (begun.elapsed() * 6).clamp(Duration::from_millis(80), Duration::from_millis(600));
        for round in 1..=runs {
            self.run_round(longest);
            if round % CHECK_EVERY == 0 {
                self.settle(round);
                self.check();
            }
        }
        self.end();
        let killed: u64 = self.killed.values().sum();
        let said = format!(
            "SOAK: {}: {runs} rounds, {killed} processes killed {:?}, ended {:?}; acknowledged {} ingests, {} commits, {} pushes\n",
            self.store,
            self.killed,
            self.ended,
            self.ingested.len(),
            self.committed.len(),
            self.pushed.len()
        );
        std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes()).unwrap();
        assert!(killed > runs / 2, "{said}");
        assert!(!self.ingested.is_empty() && !self.committed.is_empty(), "{said}");
    }
}

fn runs() -> u64 {
    std::env::var("DAGSET_TEST_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS)
}

fn seed() -> u64 {
    std::env::var("DAGSET_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[test]
fn processes_killed_over_and_over_lose_nothing_of_a_folder() {
    Soak::new("./far".to_owned(), TestEnv::new(), seed()).run(runs());
}

#[test]
fn processes_killed_over_and_over_lose_nothing_of_a_bucket() {
    let Some(s3) = server(Server::Real) else { return };
    let mut env = TestEnv::new();
    s3.reach_from(&mut env);
    Soak::new(s3.url("soak"), env, seed() + 1).run(runs());
}
