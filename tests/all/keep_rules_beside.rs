//! Keep rules beside others: other stores, writers that sleep, collectors that are killed.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dagset::base::{Id, Kind};
use dagset::engine::{Address, Attrs, Engine, IngestOptions, MergeOptions, Run, UseOptions, Value};
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::{Bucket, backend};

use crate::env::TestEnv;
use crate::keep_rules::{assert_reads, assert_sound, begin, collect, contents, keep};
use crate::stage::{STORE, assert_comes_back, copy_of, findings, ingest, noise, objects, serving, whole_text};
use crate::steered::Steered;
use crate::world::at_once;

fn let_go(env: &TestEnv) {
    begin(env, "./store/set");
    keep(env, "./store/set", &["keep.last=2"]);
    for _ in 0..2 {
        let _ = collect(env, &[]);
    }
}

#[test]
fn a_fresh_store_gets_what_is_kept_whole_and_the_rest_with_its_mark() {
    let env = TestEnv::new();
    let_go(&env);
    let _ = env.run(["store", "create", "./far"]).exits(0);
    let _ = env.run(["dataset", "copy", "./store/set", "./far//set"]).exits(0);
    for number in [3, 4] {
        assert_reads(&env, &format!("./far/set@1.{number}"), number);
    }
    for number in [1, 2] {
        let refused = env.run(["get", &format!("./far/set@1.{number}"), "out"]).exits(3);
        assert!(refused.stderr.contains("keep rules let it go"), "{}", refused.stderr);
    }
    assert_sound(&env, "./far");
    let log = |store: &str| env.run(["log", store, "--json"]).answer()["versions"].as_array().unwrap().len();
    assert_eq!(log("./far/set"), log("./store/set"));
    let rules = env.run(["meta", "list", "./far/set", "--json"]).answer();
    assert_eq!(rules["meta"], serde_json::json!({}), "rules are of a store");
    // What its nodes are shared with is whole for others who write there.
    env.write("data/own.bin", noise(1, 300_000));
    let _ = env.run(["ingest", "data", "--into", "./far/set", "--as", "1.5"]).exits(0);
    assert_reads(&env, "./far/set@1.5", 1);
    for _ in 0..2 {
        let _ = env.run(["gc", "./far", "--grace", "0s"]).exits(0);
    }
    assert_reads(&env, "./far/set@1.5", 1);
    assert_reads(&env, "./far/set@1.3", 3);
    assert_sound(&env, "./far");
}

#[test]
fn a_clone_of_it_reads_what_is_kept_and_goes_on() {
    let env = TestEnv::new();
    let_go(&env);
    let _ = env.run(["clone", "./store//set", "ws"]).exits(0);
    let within = |arguments: &[&str]| env.run_with("ws", arguments, b"");
    assert_eq!(within(&["switch", "1.1"]).code, Some(3));
    let _ = within(&["switch", "1.3"]).exits(0);
    let _ = within(&["switch", "main"]).exits(0);
    env.write("ws/more.txt", "more");
    let _ = within(&["commit", "-a", "-m", "more", "--as", "1.5"]).exits(0);
    let _ = within(&["push"]).exits(0);
    assert_reads(&env, "./store/set@1.5", 4);
    assert_sound(&env, "./store");
}

#[test]
fn a_push_counts_on_no_content_that_the_other_side_let_go() {
    let env = TestEnv::new();
    begin(&env, "./home/set");
    let _ = env.run(["store", "create", "./store"]).exits(0);
    let _ = env.run(["dataset", "copy", "./home/set", "./store//set"]).exits(0);
    let _ = env.run(["branch", "./home/set@1.1", "old"]).exits(0);
    env.write("ws/x", "x");
    let _ = env.run_with("ws", ["init", "--store", "../home", "--dataset", "set"], b"").exits(0);
    fs::remove_file(env.path("ws/x")).unwrap();
    let _ = env.run_with("ws", ["switch", "old"], b"").exits(0);
    env.write("ws/more.txt", "more");
    let _ = env.run_with("ws", ["commit", "-a", "-m", "on an old one", "--as", "1.1.1"], b"").exits(0);
    keep(&env, "./store/set", &["keep.last=1"]);
    for _ in 0..2 {
        let _ = collect(&env, &[]);
    }
    assert_eq!(env.run(["get", "./store/set@1.1", "out"]).code, Some(3));
    let _ = env.run_with("ws", ["push", "../store//set", "old", "1.1.1"], b"").exits(0);
    assert_reads(&env, "./store/set@1.1.1", 1);
    for _ in 0..2 {
        let _ = collect(&env, &[]);
    }
    assert_reads(&env, "./store/set@1.1.1", 1);
    assert_sound(&env, "./store");
    assert_eq!(env.run(["get", "./store/set@1.1", "out"]).code, Some(3), "its mark stays");
}

/// A clone that stands on `1.4`, whose content its remote let go since.
fn left_behind(env: &TestEnv) {
    begin(env, "./store/set");
    let _ = env.run(["clone", "./store//set", "ws"]).exits(0);
    env.write("data/own.bin", noise(5, 300_000));
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--as", "1.5"]).exits(0);
    keep(env, "./store/set", &["keep.last=1"]);
    for _ in 0..2 {
        let _ = collect(env, &[]);
    }
}

#[test]
fn a_clone_from_before_is_told_what_its_remote_let_go() {
    let env = TestEnv::new();
    left_behind(&env);
    let commands: [&[&str]; 4] =
        [&["get", "1.1", "../out"], &["cat", "1.1:own.bin"], &["warm", "1.1"], &["restore", "own.bin"]];
    for command in commands {
        match command[0] {
            "restore" => fs::remove_file(env.path("ws/own.bin")).unwrap(),
            _ => env.write("ws/own.bin", noise(4, 300_000)),
        }
        let refused = env.run_with("ws", command, b"").exits(3);
        let said = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in ["isn't at", "keep rules let it go, record", "has content is 1.5"] {
            assert!(said.contains(expected), "{command:?}: {said}");
        }
        fs::remove_dir_all(env.path("out")).ok();
    }
}

#[test]
fn the_last_copy_of_what_was_let_go_is_not_replaced_unasked() {
    let env = TestEnv::new();
    left_behind(&env);
    let within = |arguments: &[&str]| env.run_with("ws", arguments, b"");
    // What differs lies nowhere else; what is the same over there may go.
    for command in [&["switch", "1.1"][..], &["pull"], &["merge", "origin/main"]] {
        let refused = within(command).exits(4);
        let said = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("content that only this folder holds"), "{command:?}: {said}");
        assert!(said.contains("own.bin") && !said.contains("common.bin"), "{command:?}: {said}");
        assert!(said.contains("--repair-from"), "{command:?}: {said}");
        assert_eq!(fs::read(env.path("ws/own.bin")).unwrap(), noise(4, 300_000), "{command:?}");
    }
    // What older versions had is nowhere.
    let _ = env.run(["verify", "./ws", "--repair-from", "./ws"]).exits(5);
    let _ = within(&["pull"]).exits(0);
    assert_eq!(fs::read(env.path("ws/own.bin")).unwrap(), noise(5, 300_000));
    let _ = within(&["switch", "1.4"]).exits(0);
    assert_eq!(fs::read(env.path("ws/own.bin")).unwrap(), noise(4, 300_000));
}

#[test]
fn who_built_on_what_is_gone_is_told_and_stores_anew_what_stands_in_the_folder() {
    let env = TestEnv::new();
    left_behind(&env);
    let within = |arguments: &[&str]| env.run_with("ws", arguments, b"");
    env.write("ws/more.txt", "more");
    let _ = within(&["commit", "-a", "-m", "more", "--as", "1.4.1"]).exits(0);
    let refused = within(&["push", "../store//set", "1.4.1"]).exits(3);
    assert!(refused.stderr.contains("takes content over that is nowhere"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--repair-from"), "{}", refused.stderr);
    let told = within(&["fetch"]).exits(0);
    assert!(told.stderr.contains("keep rules let it go") && told.stderr.contains("--repair-from"), "{}", told.stderr);
    // What older versions had, and nobody else, stays gone.
    let _ = env.run(["verify", "./ws", "--repair-from", "./ws"]).exits(5);
    let _ = within(&["push", "../store//set", "1.4.1"]).exits(0);
    assert_reads(&env, "./store/set@1.4.1", 4);
    assert_sound(&env, "./store");
    let told = within(&["fetch"]).exits(0);
    assert!(!told.stderr.contains("keep rules"), "{}", told.stderr);
}

#[test]
fn thinning_trusts_no_remote_with_what_its_rules_let_go() {
    let env = TestEnv::new();
    env.write("ws/common.bin", noise(9, 400_000));
    let within = |arguments: &[&str]| env.run_with("ws", arguments, b"");
    let _ = env.run(["store", "create", "./store"]).exits(0);
    let _ = within(&["init", "--dataset", "set"]).exits(0);
    let _ = within(&["remote", "add", "origin", "../store//set"]).exits(0);
    for number in 1..=2 {
        env.write("ws/own.bin", noise(number, 300_000));
        let _ = within(&["commit", "-a", "-m", "more", "--as", &format!("1.{number}")]).exits(0);
    }
    let _ = within(&["push"]).exits(0);
    keep(&env, "./store/set", &["keep.last=1"]);
    for _ in 0..2 {
        let _ = collect(&env, &[]);
    }
    let _ = within(&["prune", "--pushed"]).exits(0);
    fs::rename(env.path("store"), env.path("away")).unwrap();
    fs::remove_dir_all(env.home(".cache/dagset")).ok();
    assert_reads(&env, "./ws@1.1", 1);
    fs::rename(env.path("away"), env.path("store")).unwrap();
    assert_reads(&env, "./ws@1.2", 2);
}

#[test]
fn two_collectors_at_once_let_go_of_the_same() {
    let env = TestEnv::new();
    begin(&env, "./store/set");
    keep(&env, "./store/set", &["keep.last=1"]);
    for _ in 0..3 {
        let start = || {
            let mut command = env.command();
            command.args(["gc", "./store", "--grace", "0s"]);
            command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
            command.stderr(std::process::Stdio::piped()).spawn().unwrap()
        };
        for collector in [start(), start(), start()] {
            let ended = collector.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
    }
    assert_eq!(contents(&collect(&env, &[])["condemned"]), [""; 0]);
    assert_reads(&env, "./store/set", 4);
    assert_eq!(env.run(["get", "./store/set@1.1", "out"]).code, Some(3));
    assert_sound(&env, "./store");
}

/// A store in memory with rules; the sources of its versions, the oldest first.
fn in_memory() -> (Bucket, tempfile::TempDir, Vec<Id>) {
    let folders = tempfile::tempdir().expect("a folder");
    let bucket = backend::memory();
    let engine = serving(&bucket);
    engine.create_store(STORE).expect("creates");
    let mut versions = Vec::new();
    for number in 1..=3 {
        let folder = folders.path().join(format!("{number}"));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("own.bin"), noise(number, 200_000)).expect("writes");
        fs::write(folder.join("small.txt"), format!("{number}")).expect("writes");
        fs::write(folder.join("common.bin"), noise(9, 200_000)).expect("writes");
        let made = ingest(&engine, &folder, "/store//set", Some(&format!("1.{number}"))).expect("ingests");
        versions.push(made.version.expect("made"));
    }
    let rules = Attrs([("keep.last".to_owned(), Value::Int(1))].into());
    engine.set_metadata(&address("/store//set"), &rules).expect("sets");
    (bucket, folders, versions)
}

fn address(text: &str) -> Address {
    Address::parse(text, None).expect("an address")
}

fn gc(engine: &Engine) -> dagset::base::Result<dagset::engine::GcReport> {
    engine.gc(&address(STORE), &at_once())
}

fn is_let_go(engine: &Engine, version: &Id) -> bool {
    engine.show(&address(&format!("/store//set@{version}"))).expect("is there").let_go.is_some()
}

#[test]
fn a_collector_is_cut_off_at_every_call_and_the_next_one_lets_go() {
    let (base, folders, versions) = in_memory();
    let one = copy_of(&base);
    gc(&serving(&one)).expect("condemns");
    let wanted = copy_of(&one);
    gc(&serving(&wanted)).expect("lets go");
    let packs = |bucket: &Bucket| objects(bucket).into_iter().filter(|name| name.starts_with("packs/")).count();
    assert!(is_let_go(&serving(&wanted), &versions[0]));
    for stage in [&base, &one] {
        let counting = Faulty::new(copy_of(stage));
        gc(&serving(&counting.bucket())).expect("collects");
        for call in 1..=counting.calls() {
            for fault in [Fault::Before, Fault::After] {
                let what = format!("call {call}: {fault:?}");
                let healthy = copy_of(stage);
                let faulty = Faulty::new(healthy.clone());
                faulty.plan(Plan::at(call, fault).and_power_loss());
                let _ = gc(&serving(&faulty.bucket()));
                let engine = serving(&healthy);
                assert_eq!(findings(&engine, STORE), [""; 0], "{what}");
                for (number, version) in versions.iter().enumerate() {
                    if !is_let_go(&engine, version) {
                        let source = folders.path().join(format!("{}", number + 1));
                        assert_comes_back(&engine, &format!("/store//set@{version}"), &source);
                    }
                }
                for _ in 0..2 {
                    gc(&engine).unwrap_or_else(|fault| panic!("{what}: {}", whole_text(&fault)));
                }
                assert_eq!(findings(&engine, STORE), [""; 0], "{what}");
                assert_eq!(packs(&healthy), packs(&wanted), "{what}");
                assert!(is_let_go(&engine, &versions[0]) && is_let_go(&engine, &versions[1]), "{what}");
                assert_comes_back(&engine, "/store//set", &folders.path().join("3"));
            }
        }
    }
}

/// What brings content back to life without a word of it.
type Change = fn(&Engine);

/// Has rules change before each object that the collector creates which lets content go: what hadn't gone by then stays.
fn changed_everywhere(change: Change) {
    let (base, folders, versions) = in_memory();
    let first = versions[0];
    let keep = Attrs([("keep.last".to_owned(), Value::Int(2))].into());
    serving(&base).set_metadata(&address("/store//set"), &keep).expect("sets");
    gc(&serving(&base)).expect("condemns");
    let mut kept = 0;
    for stop in 1.. {
        let bucket = copy_of(&base);
        let (created, was_gone) = (AtomicUsize::new(0), Arc::new(Mutex::new(None)));
        let changing = {
            let (bucket, was_gone) = (bucket.clone(), was_gone.clone());
            move |_: &str| {
                if created.fetch_add(1, Ordering::SeqCst) + 1 == stop {
                    let engine = serving(&bucket);
                    let gone = is_let_go(&engine, &first);
                    change(&engine);
                    *was_gone.lock().expect("nobody panicked") = Some(gone);
                }
            }
        };
        let collected = gc(&serving(&Steered::bucket(&bucket, changing)));
        collected.unwrap_or_else(|fault| panic!("stop {stop}: {}", whole_text(&fault)));
        let Some(was_gone) = *was_gone.lock().expect("nobody panicked") else { break };
        let engine = serving(&bucket);
        gc(&engine).expect("collects");
        assert_eq!(findings(&engine, STORE), [""; 0], "stop {stop}");
        if !was_gone {
            kept += 1;
            assert_comes_back(&engine, "/store//set@1.1", &folders.path().join("1"));
        }
    }
    assert!(kept > 1, "the record that lets it go is not the first object");
}

#[test]
fn what_other_rules_keep_since_the_marking_stays() {
    changed_everywhere(|engine| {
        let keep = Attrs([("keep.last".to_owned(), Value::Int(10))].into());
        engine.set_metadata(&address("/store//set"), &keep).expect("sets");
    });
    changed_everywhere(|engine| {
        engine.unset_metadata(&address("/store//set"), &["keep.last".to_owned()]).expect("unsets");
    });
}

#[test]
fn what_a_branch_brings_under_a_rule_since_the_marking_stays() {
    changed_everywhere(|engine| {
        engine.create_branch(&address("/store//set@1.2"), "side").expect("makes a branch");
    });
}

#[test]
fn what_is_used_since_the_marking_stays() {
    let (bucket, folders, versions) = in_memory();
    gc(&serving(&bucket)).expect("condemns");
    let using = {
        let (bucket, first) = (bucket.clone(), format!("/store//set@{}", versions[0]));
        // Manifests are read behind the look at uses by which content is marked.
        move |name: &str| {
            if name.starts_with("meta/") {
                let used = serving(&bucket).record_use(&address(&first), &Run::named("run"), &UseOptions::default());
                used.expect("records");
            }
        }
    };
    gc(&serving(&Steered::reading_ranges(&bucket, using))).expect("collects");
    let engine = serving(&bucket);
    assert_eq!(bucket.list("uses").expect("lists").folders, [versions[0].to_string()], "it was used meanwhile");
    assert!(!is_let_go(&engine, &versions[0]));
    assert_comes_back(&engine, "/store//set@1.1", &folders.path().join("1"));
    for _ in 0..2 {
        gc(&engine).expect("collects");
    }
    assert!(is_let_go(&engine, &versions[1]), "nobody used that one");
    assert_comes_back(&engine, "/store//set@1.1", &folders.path().join("1"));
    assert_eq!(findings(&engine, STORE), [""; 0]);
}

/// What a writer does who is stopped.
type Work = fn(&Engine, &Path, &[Id]) -> dagset::base::Result<Option<Id>>;

/// Has a writer stop before each object that it creates, as long as two collections take; whatever comes of it is whole.
fn stopped_everywhere(work: Work) -> usize {
    let (base, folders, versions) = in_memory();
    let mut made = 0;
    for stop in 1.. {
        let bucket = copy_of(&base);
        let (created, collected) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let collecting = {
            let (bucket, collected) = (bucket.clone(), collected.clone());
            let created = created.clone();
            move |_: &str| {
                if created.fetch_add(1, Ordering::SeqCst) + 1 == stop {
                    let gone = [gc(&serving(&bucket)), gc(&serving(&bucket))];
                    collected.lock().expect("nobody panicked").extend(gone);
                }
            }
        };
        let writer = serving(&Steered::bucket(&bucket, collecting));
        let outcome = work(&writer, folders.path(), &versions);
        let gone = std::mem::take(&mut *collected.lock().expect("nobody panicked"));
        let is_last = gone.is_empty();
        gone.into_iter().for_each(|report| drop(report.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)))));
        let engine = serving(&bucket);
        for _ in 0..2 {
            gc(&engine).unwrap_or_else(|fault| panic!("stop {stop}: {}", whole_text(&fault)));
            assert_eq!(findings(&engine, STORE), [""; 0], "stop {stop}");
            match &outcome {
                Ok(version) => {
                    let version = version.expect("made one");
                    let out = tempfile::tempdir().expect("a folder");
                    let read = crate::stage::get(&engine, &format!("/store//set@{version}"), out.path());
                    read.unwrap_or_else(|fault| panic!("stop {stop}: {}", whole_text(&fault)));
                }
                Err(fault) => {
                    assert_eq!(fault.kind(), Kind::Conflict, "stop {stop}: {}", whole_text(fault));
                }
            }
        }
        made += usize::from(outcome.is_ok());
        if is_last {
            break;
        }
    }
    made
}

fn ingest_on(engine: &Engine, source: &Path, branch: &str, parent: Option<Id>) -> dagset::base::Result<Option<Id>> {
    let made = engine.ingest(&IngestOptions {
        source: source.to_owned(),
        into: "/store//set".to_owned(),
        branch: Some(branch.to_owned()),
        parents: parent.iter().map(Id::to_string).collect(),
        ..IngestOptions::default()
    })?;
    Ok(made.version)
}

#[test]
fn a_writer_that_stops_while_its_parent_is_let_go_publishes_nothing_without_content() {
    // The content of version 1.1 again, on 1.1: all of it is there when the writer begins.
    let on_the_parent: Work = |engine, folders, versions| {
        fs::write(folders.join("1/new.txt"), "new").expect("writes");
        let made = ingest_on(engine, &folders.join("1"), "side", Some(versions[0]));
        fs::remove_file(folders.join("1/new.txt")).expect("is there");
        made
    };
    let made = stopped_everywhere(on_the_parent);
    assert!(made >= 1, "the last one isn't stopped");
}

#[test]
fn a_writer_that_stops_while_what_it_found_is_let_go_stores_it_anew() {
    let of_its_own: Work = |engine, folders, _| ingest_on(engine, &folders.join("1"), "side", None);
    let made = stopped_everywhere(of_its_own);
    assert!(made > 3, "it begins anew by itself");
}

#[test]
fn a_reverting_writer_that_stops_takes_nothing_from_what_was_let_go() {
    let reverting: Work = |engine, _, versions| {
        let options = MergeOptions::default();
        let report = engine.revert(&address(&format!("/store//set@{}", versions[2])), None, &options)?;
        Ok(report.published.and_then(|published| published.version))
    };
    let made = stopped_everywhere(reverting);
    assert!(made >= 1, "the last one isn't stopped");
}
