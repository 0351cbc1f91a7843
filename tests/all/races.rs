//! Many writers on one store that never see each other, and writers that are killed: nothing that was acknowledged is lost, the
//! log's chain holds, and the same command run again ends well.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use dagset::base::{Kind, Result};
use dagset::engine::{Address, Engine, IngestOptions, Missing, Opener, Published};
use dagset::store::{Bucket, Created, Listing, Objects, backend};

use crate::stage::{assert_comes_back, engine, findings, lay_out};

const WRITERS: usize = 16;

/// A folder store, and a folder of data for each writer.
struct Arena {
    root: tempfile::TempDir,
}

impl Arena {
    fn new() -> Arena {
        let arena = Arena { root: tempfile::tempdir().expect("a folder") };
        here().create_store(&arena.store()).expect("creates");
        arena
    }

    fn store(&self) -> String {
        self.root.path().join("store").to_str().expect("UTF-8").to_owned()
    }

    fn dataset(&self, name: &str) -> String {
        format!("{}//{name}", self.store())
    }

    fn source(&self, number: usize) -> PathBuf {
        let folder = self.root.path().join(format!("source-{number}"));
        if !folder.exists() {
            lay_out(&folder, number as u64);
        }
        folder
    }

    /// Runs all ingests at the same moment, an engine each.
    fn race(&self, ingests: Vec<IngestOptions>) -> Vec<Result<Published>> {
        let start = std::sync::Barrier::new(ingests.len());
        let run = |options: IngestOptions| {
            start.wait();
            here().ingest(&options)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = ingests.into_iter().map(|options| scope.spawn(|| run(options))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no writer panics")).collect()
        })
    }

    fn assert_is_sound(&self) {
        assert_eq!(findings(&here(), &self.store()), [""; 0]);
    }

    fn versions(&self) -> u64 {
        here().list_datasets(&self.store(), &Default::default()).expect("lists").iter().map(|card| card.versions).sum()
    }
}

/// An engine on real folders.
fn here() -> Engine {
    engine(Opener::default())
}

fn plain(source: PathBuf, into: String) -> IngestOptions {
    IngestOptions { source, into, create: true, ..IngestOptions::default() }
}

fn all_succeed(outcomes: Vec<Result<Published>>) -> Vec<Published> {
    outcomes.into_iter().map(|outcome| outcome.expect("no writer is in another's way")).collect()
}

/// The winners, and how many lost by a conflict; nothing else may happen.
fn winners(outcomes: Vec<Result<Published>>) -> (Vec<Published>, usize) {
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    for fault in lost.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(fault.kind(), Kind::Conflict, "{fault}");
        assert!(fault.next_step().is_some(), "{fault}");
    }
    (all_succeed(won), lost.len())
}

#[test]
fn writers_of_different_datasets_and_branches_all_succeed() {
    let arena = Arena::new();
    let one_each = |number| plain(arena.source(number), arena.dataset(&format!("set-{number}")));
    all_succeed(arena.race((0..WRITERS).map(one_each).collect()));
    let branch_each = |number| IngestOptions {
        branch: Some(format!("branch/{number}")),
        name: Some(format!("1.{number}")),
        ..plain(arena.source(number), arena.dataset("shared"))
    };
    let made = all_succeed(arena.race((0..WRITERS).map(branch_each).collect()));
    assert_eq!(arena.versions(), 2 * WRITERS as u64);
    for (number, version) in made.iter().enumerate() {
        assert!(version.changed);
        assert_comes_back(&here(), &arena.dataset(&format!("set-{number}")), &arena.source(number));
        assert_comes_back(&here(), &arena.dataset(&format!("shared@branch/{number}")), &arena.source(number));
        assert_comes_back(&here(), &arena.dataset(&format!("shared@1.{number}")), &arena.source(number));
    }
    arena.assert_is_sound();
}

#[test]
fn the_same_content_under_the_same_name_is_one_version() {
    let arena = Arena::new();
    let same = || IngestOptions { name: Some("1.0".to_owned()), ..plain(arena.source(1), arena.dataset("signs")) };
    let made = all_succeed(arena.race((0..WRITERS).map(|_| same()).collect()));
    assert!(made.iter().all(|version| version.version == made[0].version && version.name == made[0].name));
    assert_eq!(made.iter().filter(|version| version.changed).count(), 1, "one writer made it");
    assert_eq!(arena.versions(), 1);
    arena.assert_is_sound();
}

#[test]
fn other_content_under_the_same_name_is_a_conflict() {
    let arena = Arena::new();
    let writer = |number: usize| IngestOptions {
        name: Some("1.0".to_owned()),
        branch: Some(format!("b{number}")),
        ..plain(arena.source(number), arena.dataset("signs"))
    };
    let (won, lost) = winners(arena.race((0..WRITERS).map(writer).collect()));
    assert_eq!((won.len(), lost), (1, WRITERS - 1));
    assert_eq!(arena.versions(), 1);
    arena.assert_is_sound();
}

#[test]
fn of_writers_on_one_branch_none_is_lost() {
    let arena = Arena::new();
    let writer = |number: usize| plain(arena.source(number), arena.dataset("signs"));
    let mut waiting: Vec<usize> = (0..WRITERS).collect();
    let mut acknowledged = Vec::new();
    let mut rounds = 0;
    while !waiting.is_empty() {
        rounds += 1;
        assert!(rounds <= WRITERS, "each round has a winner");
        let outcomes = arena.race(waiting.iter().map(|number| writer(*number)).collect());
        let won: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        acknowledged.extend(winners(outcomes).0);
        assert!(won.contains(&true));
        let mut won = won.into_iter();
        waiting.retain(|_| !won.next().expect("an outcome each"));
    }
    let head = Address::parse(&arena.dataset("signs"), None).expect("an address");
    let log = here().log(&head, Default::default()).expect("a log");
    assert_eq!(log.len(), WRITERS, "each version stands on the one before");
    for version in acknowledged {
        assert!(log.iter().any(|card| Some(card.version) == version.version));
    }
    arena.assert_is_sound();
}

/// A store whose process ends without a farewell at one of its calls.
struct Abyss {
    inner: Bucket,
    state: std::sync::Arc<Countdown>,
}

/// Calls until the end.
struct Countdown {
    calls_left: std::sync::atomic::AtomicI64,
    after: bool,
}

impl Countdown {
    fn around<T>(&self, call: impl FnOnce() -> T) -> T {
        let last = self.calls_left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1;
        if last && !self.after {
            kill_this_process();
        }
        let answer = call();
        if last {
            kill_this_process();
        }
        answer
    }
}

fn kill_this_process() -> ! {
    use rustix::process::{Signal, getpid, kill_process};
    kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
    unreachable!("nothing runs after that")
}

impl Objects for Abyss {
    fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        self.state.around(|| self.inner.create(name, bytes))
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.state.around(|| self.inner.get(name))
    }

    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
        self.state.around(|| self.inner.get_range(name, offset, bytes))
    }

    fn get_tail(&self, name: &str, bytes: u64) -> Result<(Bytes, u64)> {
        self.state.around(|| self.inner.get_tail(name, bytes))
    }

    fn list(&self, folder: &str) -> Result<Listing> {
        self.state.around(|| self.inner.list(folder))
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.state.around(|| self.inner.size(name))
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.state.around(|| self.inner.delete(name))
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }
}

/// What the child process does, told by its environment.
const CHILD: &str = "DAGSET_TEST_CHILD";

/// One ingest in a process of its own, which ends at call `kill_at` of the store (0: it doesn't). What it acknowledges, it writes
/// into a file.
struct Job {
    source: PathBuf,
    into: String,
    branch: String,
    acknowledged: PathBuf,
    kill_at: i64,
    after: bool,
}

impl Job {
    fn start(&self) -> Child {
        let text = [
            self.source.to_str().expect("UTF-8"),
            &self.into,
            &self.branch,
            self.acknowledged.to_str().expect("UTF-8"),
            &self.kill_at.to_string(),
            &self.after.to_string(),
        ];
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "races::child_process", "--test-threads", "1"]).env(CHILD, text.join("|"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a child")
    }

    fn read(text: &str) -> Job {
        let [source, into, branch, acknowledged, kill_at, after] =
            text.split('|').collect::<Vec<_>>().try_into().expect("written by start");
        Job {
            source: source.into(),
            into: into.to_owned(),
            branch: branch.to_owned(),
            acknowledged: acknowledged.into(),
            kill_at: kill_at.parse().expect("a number"),
            after: after == "true",
        }
    }

    fn options(&self) -> IngestOptions {
        IngestOptions { branch: Some(self.branch.clone()), ..plain(self.source.clone(), self.into.clone()) }
    }

    /// The version that the child said it had made.
    fn version(&self) -> Option<String> {
        fs::read_to_string(&self.acknowledged).ok().filter(|text| text.len() == 64)
    }

    /// What was acknowledged is there; the same command ends well, and the branch has what was ingested.
    fn assert_converges(&self) {
        if let Some(version) = self.version() {
            assert_comes_back(&here(), &format!("{}@{version}", self.into), &self.source);
        }
        let again = here().ingest(&self.options()).expect("the same command");
        assert!(self.version().is_none_or(|version| again.version.expect("a version").to_string() == version));
        assert_comes_back(&here(), &format!("{}@{}", self.into, self.branch), &self.source);
        assert!(!here().ingest(&self.options()).expect("once more").changed);
    }
}

/// No test of its own: the process that is killed. Without its variable it does nothing.
#[test]
fn child_process() {
    let Ok(text) = std::env::var(CHILD) else { return };
    let job = Job::read(&text);
    let state = std::sync::Arc::new(Countdown { calls_left: job.kill_at.into(), after: job.after });
    let opener = Opener::new(move |root, missing| {
        let inner = match missing {
            Missing::Fails => backend::open_folder(root)?,
            Missing::IsMade => backend::create_folder(root)?,
        };
        Ok(Bucket::new(Abyss { inner, state: state.clone() }))
    });
    let published = engine(opener).ingest(&job.options()).expect("ingests");
    let version = published.version.expect("no dry run").to_string();
    dagset::base::files::write_file(&job.acknowledged, version.as_bytes(), dagset::base::files::Durability::Renamed)
        .expect("acknowledges");
}

#[test]
fn a_process_that_dies_at_any_call_leaves_a_whole_store() {
    for after in [false, true] {
        let mut calls = 0;
        for kill_at in 1.. {
            // A store of its own: in one store each ingest reads the indexes of all before.
            let arena = Arena::new();
            let job = Job {
                source: arena.source(1),
                into: arena.dataset("signs"),
                branch: "main".to_owned(),
                acknowledged: arena.root.path().join("acknowledged"),
                kill_at,
                after,
            };
            let survived = job.start().wait().expect("a child").success();
            arena.assert_is_sound();
            job.assert_converges();
            if survived {
                break;
            }
            assert!(job.version().is_none(), "died at call {kill_at} and acknowledged");
            assert!(kill_at < 100, "an ingest of a small folder has few calls");
            calls = kill_at;
        }
        assert!(calls > 8, "an ingest has more calls than {calls}");
    }
}

#[test]
fn processes_killed_at_any_moment_lose_nothing() {
    const ROUNDS: u64 = 40;
    let arena = Arena::new();
    let mut jobs = Vec::new();
    let undisturbed = Job {
        source: arena.source(0),
        into: arena.dataset("a"),
        branch: "main".to_owned(),
        acknowledged: arena.root.path().join("undisturbed"),
        kill_at: 0,
        after: false,
    };
    let begun = Instant::now();
    assert!(undisturbed.start().wait().expect("a child").success());
    // Three at a time, on a store that grows.
    let longest = begun.elapsed() * 3;
    for round in 0..ROUNDS {
        let job = |writer: usize| Job {
            source: arena.source((round as usize + writer) % 8),
            into: arena.dataset(["a", "b", "b"][writer]),
            branch: format!("r{round}-{writer}"),
            acknowledged: arena.root.path().join(format!("acknowledged-{round}-{writer}")),
            kill_at: 0,
            after: false,
        };
        let running: Vec<_> = (0..3).map(|writer| (job(writer), job(writer).start())).collect();
        // From before the first call to after the last: the moment is what is tried, so that nothing could be waited for.
        std::thread::sleep(longest * (round as u32 + 1) / ROUNDS as u32);
        for (job, mut child) in running {
            child.kill().expect("is a child of ours");
            child.wait().expect("has ended");
            jobs.push(job);
        }
        if round % 8 == 7 {
            arena.assert_is_sound();
        }
    }
    let acknowledged = jobs.iter().filter(|job| job.version().is_some()).count();
    assert!(acknowledged < jobs.len(), "none was killed in time");
    jobs.iter().for_each(Job::assert_converges);
    arena.assert_is_sound();
    assert_eq!(left_in_places_of_objects(Path::new(&arena.store())), 0);
}

/// Files of a store that have the name of an object and are no whole object: there are none, whatever was killed.
fn left_in_places_of_objects(store: &Path) -> usize {
    let files = crate::env::everything_below(store).into_iter().filter(|path| path.is_file());
    files
        .filter(|path| {
            !path.to_str().is_some_and(|name| name.contains('#'))
                && fs::metadata(path).map_or(0, |meta| meta.len()) == 0
        })
        .count()
}
