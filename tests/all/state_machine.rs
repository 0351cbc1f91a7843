//! Random sequences of commands, against a model of plain maps: after each step the stores and the folders are what the model says.
//!
//! Two people with a workspace and a home store each, and a remote that both push to. Each case has a number, from which all
//! that happens in it follows; one that fails prints it and its steps. `DAGSET_TEST_CASE=NUMBER` runs one alone,
//! `DAGSET_TEST_CASES=COUNT` other ones than usual.

mod model;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use dagset::base::{Id, Kind};
use dagset::engine::{Address, GetOptions, InitOptions, LogOptions, RefKind};

use crate::env::everything_below;
use crate::stage::whole_text;
use crate::world::World;

use model::{Dice, Files, Refs, Versions};

const CASES: u64 = 2000;
/// One case in so many is a long one: what needs much history to go wrong is found by few, and what doesn't by many.
const LONG_EVERY: u64 = 49;
const LONG: usize = 60;
const SHORT: usize = 8;
/// All is verified so often, in steps.
const VERIFY_EVERY: usize = 20;

const FAR: &str = "s3://bucket/far";
const HOMES: [&str; 2] = ["s3://bucket/ada", "s3://bucket/bob"];
const FOLDERS: [&str; 2] = ["ada", "bob"];
/// No path is a folder of another, so that a merge has no conflict of that kind.
const PATHS: [&str; 8] = ["a", "b ü", "c.csv", "d/x", "d/y", "e/f/z", "big", "run.sh"];

/// A workspace and its home store, as the model has them.
struct Person {
    folder: &'static str,
    home: &'static str,
    refs: Refs,
    branch: String,
    base: Option<Id>,
    files: Files,
    /// The refs before the newest record, where that is one to take back.
    undoable: Option<Refs>,
}

/// The world, and the model of it.
struct Play {
    world: World,
    dice: Dice,
    versions: Versions,
    people: [Person; 2],
    far: Refs,
    /// Of all names that were ever given, which can't be given again.
    taken: usize,
    told: Vec<String>,
    case: u64,
}

impl Drop for Play {
    #[expect(clippy::print_stderr, reason = "a test that fails says how it is run again")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("DAGSET_TEST_CASE={}; its steps:\n{}", self.case, self.told.join("\n"));
        }
    }
}

impl Play {
    fn new(case: u64) -> Play {
        let world = World::new(&[FAR, HOMES[0], HOMES[1]]);
        let person = |number: usize| Person {
            folder: FOLDERS[number],
            home: HOMES[number],
            refs: Refs::default(),
            branch: "main".to_owned(),
            base: None,
            files: Files::new(),
            undoable: None,
        };
        let people = [person(0), person(1)];
        for person in &people {
            let engine = world.engine(person.folder);
            let options =
                InitOptions { folder: None, dataset: Some("set".to_owned()), store: Some(person.home.to_owned()) };
            engine.init(&options).expect("makes a workspace");
            engine.add_remote("origin", &format!("{FAR}//set"), Default::default()).expect("adds");
        }
        Play {
            world,
            dice: Dice::new(case),
            versions: Versions::default(),
            people,
            far: Refs::default(),
            taken: 0,
            told: Vec::new(),
            case,
        }
    }

    fn run(&mut self) {
        let steps = if self.case.is_multiple_of(LONG_EVERY) { LONG } else { SHORT };
        for step in 1..=steps {
            let who = self.dice.below(2);
            self.step(who);
            self.compare(who);
            if step % VERIFY_EVERY == 0 || step == steps {
                for store in [FAR, HOMES[0], HOMES[1]] {
                    assert_eq!(self.world.findings(store), [""; 0], "{store}");
                }
            }
        }
    }

    fn tell(&mut self, step: impl Into<String>) {
        self.told.push(step.into());
    }

    /// Everything that can be looked at cheaply, and one version of one store whole.
    fn compare(&mut self, who: usize) {
        let person = &self.people[who];
        assert_eq!(files_in(&self.world, person.folder), person.files, "the folder");
        let status = self.world.engine(person.folder).status().expect("a status");
        assert_eq!(status.base, person.base, "the base");
        assert_eq!(status.branch.as_ref().map(ToString::to_string).as_deref(), Some(&*person.branch));
        let empty = Files::new();
        let before = person.base.map_or(&empty, |base| &self.versions.get(&base).files);
        let now = &person.files;
        let added: Vec<&String> = now.keys().filter(|path| !before.contains_key(*path)).collect();
        let removed: Vec<&String> = before.keys().filter(|path| !now.contains_key(*path)).collect();
        let is_other = |path: &&String| now.get(*path).is_some_and(|bytes| *bytes != before[*path]);
        let modified: Vec<&String> = before.keys().filter(is_other).collect();
        let said = |paths: &Vec<String>| paths.iter().map(String::clone).collect::<BTreeSet<_>>();
        let meant = |paths: Vec<&String>| paths.into_iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(said(&status.added), meant(added), "added");
        assert_eq!(said(&status.removed), meant(removed), "removed");
        assert_eq!(said(&status.modified), meant(modified), "modified");
        let (home, refs) = (person.home, person.refs.clone());
        self.compare_refs(home, &refs);
        let far = self.far.clone();
        if !far.branches.is_empty() {
            self.compare_refs(FAR, &far);
        }
        let (store, refs) = if self.dice.below(3) == 0 { (FAR, far) } else { (home, refs) };
        let heads = refs.branches.values().copied().collect();
        let known = refs.branches.values().chain(refs.tags.values()).copied();
        if let Some(version) = self.dice.one_of(self.versions.history(known)) {
            self.compare_version(store, &version, &heads);
        }
    }

    fn compare_refs(&self, store: &str, refs: &Refs) {
        let engine = self.world.engine("");
        let set = address(&format!("{store}//set"));
        let of = |kind| {
            let rows = engine.list_refs(&set, kind).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
            rows.into_iter().map(|row| (row.name, row.version)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(of(RefKind::Branch), refs.branches, "{store}");
        // Tags come along with a push and a fetch; here it matters that those that were set are where they were set.
        let mut tags = of(RefKind::Tag);
        assert!(tags.values().all(|version| self.versions.knows(version)), "{store}: {tags:?}");
        tags.retain(|tag, _| refs.tags.contains_key(tag));
        assert_eq!(tags, refs.tags, "{store}");
        for (name, version) in &refs.names {
            let card = engine.show(&address(&format!("{store}//set@{name}"))).expect("is named");
            assert_eq!(card.version, *version, "{store}: {name}");
        }
    }

    /// Whether the content of a version was let go in a store.
    pub fn is_let_go(&self, store: &str, version: &Id) -> bool {
        let card = self.world.engine("").show(&address(&format!("{store}//set@{version}")));
        card.is_ok_and(|card| card.let_go.is_some())
    }

    /// A version's content and history, on a machine that may know nothing.
    fn compare_version(&mut self, store: &str, version: &Id, heads: &BTreeSet<Id>) {
        let engine = if self.dice.below(4) == 0 { self.world.stranger() } else { self.world.engine("") };
        let whole = address(&format!("{store}//set@{version}"));
        let log = engine.log(&whole, LogOptions::default()).expect("a log");
        let logged: BTreeSet<Id> = log.into_iter().map(|card| card.version).collect();
        assert_eq!(logged, self.versions.history([*version]), "{store}: the log of {version}");
        let out = self.world.path("out");
        fs::remove_dir_all(&out).ok();
        if self.is_let_go(store, version) {
            assert!(!heads.contains(version), "{store}: a branch is at {version}, whose content was let go");
            let refused = engine.get(&whole, &GetOptions { folder: out, ..GetOptions::default() });
            return assert_eq!(refused.expect_err("has no content").kind(), Kind::NotFound);
        }
        let options = GetOptions { folder: out, ..GetOptions::default() };
        engine.get(&whole, &options).unwrap_or_else(|fault| panic!("{store}: {}", whole_text(&fault)));
        let wanted = &self.versions.get(version).files;
        assert_eq!(files_in(&self.world, "out"), *wanted, "{store}: {version}");
        if let Some((path, bytes)) = self.dice.one_of(wanted) {
            let mut read = Vec::new();
            engine.cat(&address(&format!("{store}//set@{version}:{path}")), &mut read).expect("is there");
            assert_eq!(read, *bytes, "{store}: {version}: {path}");
        }
    }
}

fn address(text: &str) -> Address {
    Address::parse(text, None).expect("an address")
}

/// The files of a folder, but dagset's own.
fn files_in(world: &World, folder: &str) -> Files {
    let root = world.path(folder);
    let files = everything_below(&root).into_iter().filter(|path| path.is_file());
    let files = files.map(|path| {
        let name = path.strip_prefix(&root).expect("is below").to_str().expect("UTF-8").to_owned();
        (name, fs::read(path).expect("reads"))
    });
    files.filter(|(name, _)| !name.starts_with(".dagset/")).collect()
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Plays every second case, the even or the odd ones.
fn play_half(half: u64) {
    if let Some(case) = number_of("DAGSET_TEST_CASE") {
        return if case % 2 == half {
            Play::new(case).run()
        };
    }
    let mut done = BTreeMap::<String, u64>::new();
    for case in (half..number_of("DAGSET_TEST_CASES").unwrap_or(CASES)).step_by(2) {
        let mut play = Play::new(case);
        play.run();
        for step in &play.told {
            *done.entry(step.split(' ').nth(1).unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    let lacking: Vec<_> = steps::NAMES.iter().filter(|name| !done.contains_key(**name)).collect();
    assert!(lacking.is_empty(), "never done: {lacking:?} of {done:?}");
}

#[test]
fn whatever_is_done_all_is_as_plain_maps_say() {
    play_half(0);
}

#[test]
fn whatever_is_done_all_is_as_plain_maps_say_in_other_cases_too() {
    play_half(1);
}

/// A refusal that the model expects.
fn assert_conflict<T>(outcome: dagset::base::Result<T>, what: &str) {
    let fault = outcome.err().unwrap_or_else(|| panic!("{what}: it isn't refused"));
    assert_eq!(fault.kind(), Kind::Conflict, "{what}: {}", whole_text(&fault));
}
