//! Each call that an operation makes to its store goes wrong once, in each way: what was there stays whole, and the same command
//! run again does its work.

use std::path::{Path, PathBuf};

use dagset::base::{Kind, Observer};
use dagset::engine::Engine;
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::recording::Recording;
use dagset::store::{Bucket, Verb, backend};

use crate::stage::{
    STORE, assert_comes_back, contents, copy_of, findings, get, ingest, lay_out, noise, objects, serving, whole_text,
};

const INTO: &str = "/store//signs";

/// Two folders that share most of their data.
struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    fn new() -> Folders {
        let folders = Folders { root: tempfile::tempdir().expect("a folder") };
        lay_out(&folders.first(), 1);
        lay_out(&folders.second(), 2);
        std::fs::write(folders.second().join("new.bin"), noise(9, 200_000)).expect("writes");
        folders
    }

    fn first(&self) -> PathBuf {
        self.root.path().join("first")
    }

    fn second(&self) -> PathBuf {
        self.root.path().join("second")
    }
}

/// A store with one fault in it, and what was asked of it.
struct Stage {
    healthy: Bucket,
    recording: Recording,
    faulty: Faulty,
}

impl Stage {
    fn new(base: &Bucket) -> Stage {
        let healthy = copy_of(base);
        let recording = Recording::keeping_calls(healthy.clone(), Observer::new());
        let faulty = Faulty::new(recording.bucket());
        Stage { healthy, recording, faulty }
    }

    /// The name of the object that the fault wrote wrongly, if it did: no later run can mend that, `verify` must find it.
    fn spoilt(&self, call: u64, fault: Fault) -> Option<String> {
        let silent = matches!(fault, Fault::Short | Fault::Flip { .. });
        let made = self.recording.take_calls().into_iter().nth(call as usize - 1)?;
        (silent && made.verb == Verb::Create).then_some(made.name)
    }
}

/// How many calls `run` makes on a healthy copy of `base`.
fn calls_of(base: &Bucket, run: impl Fn(&Engine)) -> u64 {
    let faulty = Faulty::new(copy_of(base));
    run(&serving(&faulty.bucket()));
    faulty.calls()
}

/// Every way in which call `call` goes wrong.
fn plans(call: u64) -> Vec<(Plan, Fault, String)> {
    let flip = |offset| Fault::Flip { offset };
    let faults = [Fault::Before, Fault::After, Fault::Short, flip(call * 7), flip(call * 131 + 40)];
    let once = faults.map(|fault| (Plan::at(call, fault), fault, format!("call {call}: {fault:?}")));
    let losses = [Fault::Before, Fault::After].map(|fault| {
        let what = format!("call {call}: {fault:?} and power loss");
        (Plan::at(call, fault).and_power_loss(), fault, what)
    });
    once.into_iter().chain(losses).collect()
}

fn versions(engine: &Engine) -> u64 {
    engine.list_datasets(STORE, &Default::default()).expect("lists").iter().map(|card| card.versions).sum()
}

#[test]
fn an_ingest_survives_every_fault_of_its_store() {
    let folders = Folders::new();
    let empty = backend::memory();
    serving(&empty).create_store(STORE).expect("creates");
    let one = copy_of(&empty);
    ingest(&serving(&one), &folders.first(), INTO, Some("1.0")).expect("ingests");
    for (base, source, earlier) in [(&empty, folders.first(), None), (&one, folders.second(), Some(folders.first()))] {
        for name in [None, Some("next")] {
            let wanted = ingest(&serving(&copy_of(base)), &source, INTO, name).expect("ingests").manifest;
            let total = calls_of(base, |engine| drop(ingest(engine, &source, INTO, name).expect("ingests")));
            for (plan, fault, what) in (1..=total).flat_map(plans) {
                let stage = Stage::new(base);
                stage.faulty.plan(plan);
                let first = ingest(&serving(&stage.faulty.bucket()), &source, INTO, name);
                let healthy = serving(&stage.healthy);
                let call = call_of(&what);
                if let Some(object) = stage.spoilt(call, fault) {
                    let found = findings(&healthy, STORE);
                    assert!(found.iter().any(|line| line.contains(&object)), "{what}: {object} isn't in {found:?}");
                    never_wrong(&healthy, &source);
                    continue;
                }
                assert_eq!(findings(&healthy, STORE), [""; 0], "{what}");
                if let Some(earlier) = &earlier {
                    assert_comes_back(&healthy, "/store//signs@1.0", earlier);
                }
                let landed = versions(&healthy) == 1 + u64::from(earlier.is_some());
                assert!(landed || first.is_err(), "{what}: acknowledged and not there");
                let again = ingest(&healthy, &source, INTO, name).unwrap_or_else(|fault| panic!("{what}: {fault}"));
                assert_eq!((again.manifest, again.changed), (wanted, !landed), "{what}");
                assert_eq!(versions(&healthy), 1 + u64::from(earlier.is_some()), "{what}");
                assert_eq!(again.name.map(|name| name.to_string()).as_deref(), name, "{what}");
                assert_comes_back(&healthy, INTO, &source);
                assert_eq!(findings(&healthy, STORE), [""; 0], "{what}");
            }
        }
    }
}

/// The number in a plan's description.
fn call_of(what: &str) -> u64 {
    let digits: String = what.chars().skip("call ".len()).take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a plan begins with its call")
}

/// What comes out of a store with a spoilt object is right, or an error that says what is damaged.
fn never_wrong(engine: &Engine, source: &Path) {
    let out = tempfile::tempdir().expect("a folder");
    match get(engine, INTO, out.path()) {
        Ok(()) => {}
        Err(fault) if fault.kind() == Kind::NotFound => {}
        Err(fault) => {
            assert_eq!(fault.kind(), Kind::Damaged, "{}", whole_text(&fault));
            assert!(fault.next_step().is_some(), "no next step: {}", whole_text(&fault));
            only_right_files(out.path(), source);
        }
    }
}

/// Each file that a `get` left in its place is one of the version's.
fn only_right_files(got: &Path, source: &Path) {
    let wanted = contents(source);
    for (path, what) in contents(got).into_iter().filter(|(path, _)| !path.contains(".dagset-tmp-")) {
        assert_eq!(wanted.get(&path), Some(&what), "{path}");
    }
}

#[test]
fn a_get_never_writes_wrong_bytes_and_can_be_run_again() {
    let folders = Folders::new();
    let store = backend::memory();
    ingest(&serving(&store), &folders.first(), INTO, Some("1.0")).expect("ingests");
    ingest(&serving(&store), &folders.second(), INTO, None).expect("ingests");
    let run = |engine: &Engine, out: &Path| get(engine, INTO, out);
    let total = calls_of(&store, |engine| run(engine, tempfile::tempdir().expect("a folder").path()).expect("gets"));
    for (plan, _, what) in (1..=total).flat_map(plans) {
        let stage = Stage::new(&store);
        stage.faulty.plan(plan);
        let out = tempfile::tempdir().expect("a folder");
        match run(&serving(&stage.faulty.bucket()), out.path()) {
            Ok(()) => assert_eq!(contents(out.path()), contents(&folders.second()), "{what}"),
            Err(fault) => {
                let kinds = [Kind::Unreachable, Kind::Damaged, Kind::NotFound];
                assert!(kinds.contains(&fault.kind()), "{what}: {}", whole_text(&fault));
                only_right_files(out.path(), &folders.second());
                run(&serving(&stage.healthy), out.path()).unwrap_or_else(|fault| panic!("{what}: {fault}"));
                assert_eq!(contents(out.path()), contents(&folders.second()), "{what}");
            }
        }
    }
}

#[test]
fn a_store_whose_creation_was_cut_off_is_made_by_the_same_command() {
    let folders = Folders::new();
    let base = backend::memory();
    let total = calls_of(&base, |engine| drop(engine.create_store(STORE).expect("creates")));
    for (plan, fault, what) in (1..=total).flat_map(plans) {
        let stage = Stage::new(&base);
        stage.faulty.plan(plan);
        let first = serving(&stage.faulty.bucket()).create_store(STORE);
        let healthy = serving(&stage.healthy);
        let spoilt = stage.spoilt(call_of(&what), fault);
        if spoilt.is_some_and(|object| !object.starts_with("check-")) {
            let again = healthy.store_info(STORE).expect_err("the only record, or the store's file, is damaged");
            assert_eq!(again.kind(), Kind::Damaged, "{what}");
            continue;
        }
        match healthy.create_store(STORE) {
            Ok(_) => assert!(first.is_err(), "{what}: made twice"),
            Err(fault) => assert_eq!(fault.kind(), Kind::Conflict, "{what}"),
        }
        // What a trial of the place wrote may stay where a request failed.
        let of_store: Vec<_> = objects(&stage.healthy).into_iter().filter(|name| !name.starts_with("check-")).collect();
        assert_eq!(of_store, ["dagset.json", "log/000/000/001"], "{what}");
        ingest(&healthy, &folders.first(), INTO, None).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        assert_comes_back(&healthy, INTO, &folders.first());
        assert_eq!(findings(&healthy, STORE), [""; 0], "{what}");
    }
}

#[test]
fn a_byte_flipped_while_reading_spoils_no_creation_and_no_check() {
    let mut flipped = 0;
    for verb in [Verb::Get, Verb::GetTail] {
        let healthy = Faulty::new(backend::memory());
        serving(&healthy.bucket()).create_store(STORE).expect("creates");
        serving(&healthy.bucket()).check_store(STORE).expect("checks");
        for call in 1..=healthy.calls_of(verb) {
            let faulty = Faulty::new(backend::memory());
            faulty.plan(Plan::at(call, Fault::Flip { offset: 7 }).of(verb));
            let engine = serving(&faulty.bucket());
            let made = engine.create_store(STORE);
            made.unwrap_or_else(|fault| panic!("{verb:?} {call}: {}", whole_text(&fault)));
            let check = engine.check_store(STORE).expect("a store's address");
            assert_eq!(check.failure(), None, "{verb:?} {call}: {check:?}");
            flipped += u32::from(faulty.fired());
        }
    }
    assert!(flipped > 8, "{flipped}");
}

#[test]
fn a_landed_ingest_with_an_expected_head_is_recognised() {
    let folders = Folders::new();
    let store = backend::memory();
    let engine = serving(&store);
    let first = ingest(&engine, &folders.first(), INTO, None).expect("ingests").version.expect("a version");
    let options = dagset::engine::IngestOptions {
        source: folders.second(),
        into: INTO.to_owned(),
        expect: Some(first.to_string()),
        ..Default::default()
    };
    let second = engine.ingest(&options).expect("the head is as expected");
    let again = engine.ingest(&options).expect("that is what was asked for");
    assert_eq!((again.version, again.changed), (second.version, false));
    let other = dagset::engine::IngestOptions { source: folders.first(), ..options };
    assert_eq!(engine.ingest(&other).expect_err("the head has moved").kind(), Kind::Conflict);
}

#[test]
fn a_get_sweeps_what_one_that_died_has_left() {
    let folders = Folders::new();
    let store = backend::memory();
    ingest(&serving(&store), &folders.first(), INTO, None).expect("ingests");
    // As in a container, where each run has the same number; and of a process that was killed before its marker was there.
    let ours = format!(".dagset-tmp-{}-0", std::process::id());
    let out = tempfile::tempdir().expect("a folder");
    std::fs::write(out.path().join(ours), "half of a mark").expect("writes");
    get(&serving(&store), INTO, out.path()).expect("gets");
    assert_eq!(contents(out.path()), contents(&folders.first()));
}
