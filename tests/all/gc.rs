//! `gc`: what is dead goes, what is alive stays, whoever writes, sleeps or is killed meanwhile.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dagset::base::{DatasetName, Kind, Observer};
use dagset::engine::{Address, Engine, GcOptions, GcReport};
use dagset::format::pack::ItemKind;
use dagset::format::store_file::StoreFile;
use dagset::history::fold::Fold;
use dagset::history::timeline::Timeline;
use dagset::store::content::Content;
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::locate::STORE_FILE;
use dagset::store::recording::Recording;
use dagset::store::{Bucket, Verb, backend};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::env::{TestEnv, everything_below};
use crate::s3::{Server, server};
use crate::stage::{STORE, assert_comes_back, copy_of, findings, ingest, lay_out, noise, objects, serving, whole_text};

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> u64 {
    let files = everything_below(folder).into_iter().map(|path| fs::symlink_metadata(path).unwrap());
    files.filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
}

fn size_of_folders(store: &Path, folders: &[&str]) -> u64 {
    folders.iter().map(|folder| size_of(&store.join(folder))).sum()
}

/// A store with versions on `main`, others on the branch `trial`, and a dataset of its own; some chunks are shared by all.
fn begin(env: &TestEnv) {
    env.write("data/common.bin", noise(1, 400_000));
    env.write("data/small.txt", "the same all along");
    for version in ["1.0", "1.1"] {
        env.write("data/changes.txt", version);
        let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", version]).exits(0);
    }
    env.write("trial/common.bin", noise(1, 400_000));
    env.write("trial/large.bin", noise(2, 3_000_000));
    let _ = env.run(["ingest", "trial", "--into", "./store/set", "--branch", "trial"]).exits(0);
    env.write("other/common.bin", noise(1, 400_000));
    env.write("other/large.bin", noise(3, 2_000_000));
    let _ = env.run(["ingest", "other", "--into", "./store/other", "--create"]).exits(0);
}

fn delete_all_but_main(env: &TestEnv) {
    let _ = env.run(["branch", "-d", "./store/set", "trial", "--force"]).exits(0);
    let _ = env.run(["dataset", "delete", "./store/other", "--yes"]).exits(0);
}

fn collect(env: &TestEnv, more: &[&str]) -> Value {
    env.run([&["gc", "./store", "--json"], more].concat()).answer()
}

fn assert_whole(env: &TestEnv) {
    assert_eq!(env.run(["verify", "./store", "--json"]).json()["findings"], Value::Array(Vec::new()));
    for version in ["1.0", "1.1"] {
        let out = format!("out-{version}");
        let _ = env.run(["get", &format!("./store/set@{version}"), &out]).exits(0);
        assert_eq!(fs::read(env.path(&out).join("common.bin")).unwrap(), noise(1, 400_000));
        assert_eq!(fs::read_to_string(env.path(&out).join("changes.txt")).unwrap(), version);
        fs::remove_dir_all(env.path(&out)).unwrap();
    }
}

#[test]
fn two_runs_without_grace_leave_what_a_fresh_store_would_have() {
    let env = TestEnv::new();
    begin(&env);
    let fresh = TestEnv::new();
    begin(&fresh);
    delete_all_but_main(&env);
    let planned = collect(&env, &["--grace", "0s", "--dry-run"]);
    let first = collect(&env, &["--grace", "0s"]);
    assert_eq!(planned["condemned"], first["condemned"], "a dry run says what comes");
    assert_eq!(first["condemned"]["versions"].as_array().unwrap().len(), 2);
    assert!(first["condemned"]["bytes"].as_u64().unwrap() > 5_000_000, "{first}");
    assert_eq!(
        env.run(["list", "./store", "--json"]).json()["datasets"][0]["versions"],
        2,
        "condemned ones aren't listed"
    );
    assert_whole(&env);

    let second = collect(&env, &["--grace", "0s"]);
    assert_eq!(second["reclaimed"]["packs"], first["condemned"]["packs"]);
    assert!(second["deleted"]["bytes"].as_u64().unwrap() > 5_000_000, "{second}");
    assert_whole(&env);
    let data = size_of(&env.path("store/packs"));
    assert!(data < 500_000, "{data} bytes of data are left");
    let third = collect(&env, &["--grace", "0s"]);
    assert_eq!((&third["condemned"]["packs"], &third["waiting"]["packs"]), (&Value::from(0), &Value::from(0)));
    assert_eq!(third["condemned"]["versions"], Value::Array(Vec::new()));

    // The same versions, and nothing else, in a store of their own.
    let only = TestEnv::new();
    only.write("data/common.bin", noise(1, 400_000));
    only.write("data/small.txt", "the same all along");
    for version in ["1.0", "1.1"] {
        only.write("data/changes.txt", version);
        let _ = only.run(["ingest", "data", "--into", "./store/set", "--create", "--as", version]).exits(0);
    }
    assert_eq!(data, size_of(&only.path("store/packs")), "not a byte of data more than in a fresh store");
    let meta = |env: &TestEnv| size_of_folders(&env.path("store"), &["meta", "index"]);
    assert!(meta(&env) < meta(&only) + 2_000, "{} bytes, {} in a fresh store", meta(&env), meta(&only));
}

#[test]
fn quiet_collects_without_a_word() {
    let env = TestEnv::new();
    begin(&env);
    delete_all_but_main(&env);
    let planned = env.run(["gc", "./store", "--grace", "0s", "--quiet", "--dry-run"]).text();
    assert!(planned.contains("would be condemned"), "what is asked for is told: {planned}");
    for _ in 0..2 {
        let quiet = env.run(["gc", "./store", "--grace", "0s", "--quiet"]).exits(0);
        assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    }
    assert_whole(&env);
}

#[test]
fn what_was_deleted_within_the_grace_comes_back() {
    let env = TestEnv::new();
    begin(&env);
    delete_all_but_main(&env);
    for _ in 0..3 {
        let report = collect(&env, &[]);
        assert_eq!((&report["condemned"]["packs"], &report["deleted"]["objects"]), (&Value::from(0), &Value::from(0)));
    }
    let _ = env.run(["undo", "./store/other"]).exits(0);
    let _ = env.run(["get", "./store/other", "back"]).exits(0);
    assert_eq!(fs::read(env.path("back/large.bin")).unwrap(), noise(3, 2_000_000));
    let _ = env.run(["undo", "./store/set"]).exits(0);
    let _ = env.run(["get", "./store/set@trial", "tried"]).exits(0);
    assert_whole(&env);
}

/// Has the store say of all its objects that they were written so many days before they were.
fn age(env: &TestEnv, days: u64) {
    for path in everything_below(&env.path("store")).into_iter().filter(|path| path.is_file()) {
        let file = fs::File::open(&path).unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - Duration::from_secs(days * 86_400)).unwrap();
    }
}

#[test]
fn the_grace_goes_by_what_the_store_says_of_its_objects() {
    let env = TestEnv::new();
    begin(&env);
    delete_all_but_main(&env);
    let condemned = |report: &Value| report["condemned"]["versions"].as_array().unwrap().len();
    let reclaimed = |report: &Value| report["reclaimed"]["versions"].as_array().unwrap().len();
    age(&env, 13);
    assert_eq!(condemned(&collect(&env, &[])), 0, "the deletions are 13 days old");
    age(&env, 2);
    let report = collect(&env, &[]);
    assert_eq!((condemned(&report), reclaimed(&report)), (2, 0));
    age(&env, 13);
    let report = collect(&env, &[]);
    assert_eq!((condemned(&report), reclaimed(&report)), (0, 0), "condemned 13 days ago");
    age(&env, 2);
    let report = collect(&env, &["--dry-run"]);
    assert_eq!((reclaimed(&report), &report["waiting"]["versions"]), (2, &Value::from(2)));
    let report = collect(&env, &[]);
    assert_eq!((condemned(&report), reclaimed(&report)), (0, 2));
    assert!(size_of(&env.path("store/packs")) < 500_000);
    assert_whole(&env);
}

#[test]
fn du_says_what_is_a_versions_own_and_what_would_be_freed() {
    let env = TestEnv::new();
    begin(&env);
    let version = |address: &str| env.run(["du", address, "--json"]).answer();
    let trial = version("./store/set@trial");
    let own = trial["own_bytes"].as_u64().unwrap();
    assert!((3_000_000..3_100_000).contains(&own), "{trial}");
    assert!(trial["stored_bytes"].as_u64().unwrap() > own + 390_000, "it shares a file: {trial}");
    assert!(trial["freed_bytes"].as_u64().unwrap() >= 3_000_000, "{trial}");
    assert!(version("./store/set@1.1")["own_bytes"].as_u64().unwrap() < 20_000);
    let store = || env.run(["du", "./store", "--json"]).answer();
    assert_eq!(store()["collectable_bytes"], 0);
    delete_all_but_main(&env);
    let collectable = store()["collectable_bytes"].as_u64().unwrap();
    assert!(collectable > 5_000_000);
    let before = size_of(&env.path("store"));
    let _ = collect(&env, &["--grace", "0s"]);
    let _ = collect(&env, &["--grace", "0s"]);
    let freed = before - size_of(&env.path("store"));
    assert!(freed.abs_diff(collectable) < 20_000, "{freed} freed, {collectable} said");
}

#[test]
fn a_reader_that_a_collection_overtakes_looks_at_the_log_once_more() {
    let (bucket, _folders) = with_a_deleted_branch();
    let timeline = || {
        let file = StoreFile::parse(&bucket.get(STORE_FILE).expect("a store"), STORE).expect("a store's file");
        Timeline::open(bucket.clone(), file.store, Observer::new()).expect("a log")
    };
    let content = |fold: &Fold| {
        let rows = fold.indexes.values().cloned().collect();
        Content::new(bucket.clone(), rows).as_of(fold.number, Default::default())
    };
    let before = timeline().fold().clone();
    let version = |name: &str| {
        let dataset = &before.datasets[&DatasetName::new(name).expect("a name")];
        dataset.newest().expect("a version").row.version
    };
    let (kept, dead) = (version("kept"), version("dead"));
    run(&serving(&bucket), false).expect("condemns");
    run(&serving(&bucket), false).expect("reclaims");
    let read = |content: &Content, id| content.meta(&id, ItemKind::Version, None).map(|item| item.bytes().len());
    assert_eq!(read(&content(&before), kept).expect_err("an index of that time is gone").kind(), Kind::Damaged);
    let now = timeline().fold().clone();
    let (bucket, rows) = (bucket.clone(), now.indexes.values().cloned().collect::<Vec<_>>());
    let mut overtaken = content(&before);
    overtaken.renew_by(move || Ok(Content::new(bucket.clone(), rows.clone()).as_of(now.number, Default::default())));
    assert!(read(&overtaken, kept).expect("is alive") > 0);
    assert!(read(&overtaken, dead).is_err(), "is gone");
}

#[test]
fn what_is_condemned_is_rescued_by_naming_it() {
    let env = TestEnv::new();
    begin(&env);
    let trial = env.run(["show", "./store/set@trial", "--json"]).json()["version"].as_str().unwrap().to_owned();
    delete_all_but_main(&env);
    let _ = collect(&env, &["--grace", "0s"]);
    let condemned = format!("./store/set@{trial}");
    let _ = env.run(["get", &condemned, "readable"]).exits(0);
    let _ = env.run(["tag", &condemned, "kept"]).exits(0);
    let after = collect(&env, &["--grace", "0s"]);
    assert_eq!(after["reclaimed"]["packs"], 0, "a rescued version has all its packs: {after}");
    let _ = collect(&env, &["--grace", "0s"]);
    let _ = env.run(["get", "./store/set@kept", "kept"]).exits(0);
    assert_eq!(fs::read(env.path("kept/large.bin")).unwrap(), noise(2, 3_000_000));
    let gone = env.run(["undo", "./store/other"]);
    assert_ne!(gone.code, Some(0), "its versions are gone for good");
    assert_whole(&env);
}

#[test]
fn content_that_is_condemned_is_stored_anew_and_lives() {
    let env = TestEnv::new();
    begin(&env);
    delete_all_but_main(&env);
    let _ = collect(&env, &["--grace", "0s"]);
    let again = env.run(["ingest", "trial", "--into", "./store/set", "--branch", "again", "--json"]).json();
    assert!(again["new_bytes"].as_u64().unwrap() >= 3_000_000, "nothing is built on condemned packs: {again}");
    let _ = collect(&env, &["--grace", "0s"]);
    let _ = collect(&env, &["--grace", "0s"]);
    let _ = env.run(["get", "./store/set@again", "again"]).exits(0);
    assert_eq!(fs::read(env.path("again/large.bin")).unwrap(), noise(2, 3_000_000));
    assert_whole(&env);
}

#[test]
fn a_writer_that_sleeps_through_a_collection_begins_anew() {
    let env = TestEnv::new();
    begin(&env);
    // What is about to be collected is what the writer has found in the store.
    for number in 0..40 {
        env.write(&format!("much/{number}.bin"), noise(100 + number, 2_000_000));
    }
    env.write("much/0-large.bin", noise(2, 3_000_000));
    let packs = || fs::read_dir(env.path("store/packs")).unwrap().count();
    let before = packs();
    let mut command = env.command();
    command.args(["ingest", "much", "--into", "./store/set", "--branch", "slow", "--jobs", "1", "-v"]);
    let writer = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&writer);
    while packs() == before {
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(pid, Signal::STOP).unwrap();
    delete_all_but_main(&env);
    for _ in 0..2 {
        let _ = collect(&env, &["--grace", "0s"]);
    }
    kill_process(pid, Signal::CONT).unwrap();
    let ended = writer.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("beginning anew"), "{said}");
    let _ = env.run(["get", "./store/set@slow", "slow"]).exits(0);
    assert_eq!(fs::read(env.path("slow/0-large.bin")).unwrap(), noise(2, 3_000_000));
    assert_eq!(fs::read(env.path("slow/39.bin")).unwrap(), noise(139, 2_000_000));
    assert_whole(&env);
}

#[test]
fn two_collectors_at_once_do_the_work_of_one() {
    let env = TestEnv::new();
    begin(&env);
    delete_all_but_main(&env);
    for _ in 0..3 {
        let start = || {
            let mut command = env.command();
            command.args(["gc", "./store", "--grace", "0s"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        for collector in [start(), start(), start()] {
            let ended = collector.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
    }
    assert!(size_of(&env.path("store/packs")) < 500_000);
    assert_whole(&env);
}

/// A store in memory in which a branch was deleted; the sources of what is alive, and of what isn't.
fn with_a_deleted_branch() -> (Bucket, tempfile::TempDir) {
    let folders = tempfile::tempdir().expect("a folder");
    let bucket = backend::memory();
    let engine = serving(&bucket);
    engine.create_store(STORE).expect("creates");
    for (name, seed) in [("kept", 1), ("dead", 2)] {
        lay_out(&folders.path().join(name), seed);
        fs::write(folders.path().join(name).join("own.bin"), noise(seed, 200_000)).expect("writes");
        ingest(&engine, &folders.path().join(name), &format!("/store//{name}"), None).expect("ingests");
    }
    let dead = Address::parse("/store//dead", None).expect("an address");
    engine.delete_branch(&dead, "main", true, None).expect("deletes");
    (bucket, folders)
}

fn run(engine: &Engine, dry_run: bool) -> dagset::base::Result<GcReport> {
    let store = Address::parse(STORE, None).expect("an address");
    engine.gc(&store, &GcOptions { grace: Duration::ZERO, dry_run })
}

#[test]
fn a_collector_is_cut_off_at_every_call_and_the_next_one_ends_its_work() {
    let (base, folders) = with_a_deleted_branch();
    let one = copy_of(&base);
    run(&serving(&one), false).expect("condemns");
    let wanted = copy_of(&one);
    run(&serving(&wanted), false).expect("reclaims");
    let packs = |bucket: &Bucket| objects(bucket).into_iter().filter(|name| name.starts_with("packs/")).count();
    assert!(packs(&wanted) < packs(&base));
    for stage in [&base, &one] {
        let counting = Faulty::new(copy_of(stage));
        run(&serving(&counting.bucket()), false).expect("collects");
        for call in 1..=counting.calls() {
            for fault in [Fault::Before, Fault::After] {
                let what = format!("call {call}: {fault:?}");
                let healthy = copy_of(stage);
                let faulty = Faulty::new(healthy.clone());
                faulty.plan(Plan::at(call, fault).and_power_loss());
                let _ = run(&serving(&faulty.bucket()), false);
                let engine = serving(&healthy);
                assert_eq!(findings(&engine, STORE), [""; 0], "{what}");
                assert_comes_back(&engine, "/store//kept", &folders.path().join("kept"));
                for _ in 0..2 {
                    run(&engine, false).unwrap_or_else(|fault| panic!("{what}: {}", whole_text(&fault)));
                }
                assert_eq!(findings(&engine, STORE), [""; 0], "{what}");
                assert_eq!(packs(&healthy), packs(&wanted), "{what}");
                assert_comes_back(&engine, "/store//kept", &folders.path().join("kept"));
            }
        }
    }
}

#[test]
fn a_version_that_cannot_be_followed_stops_the_collection() {
    let (bucket, _folders) = with_a_deleted_branch();
    for name in objects(&bucket).into_iter().filter(|name| name.starts_with("meta/")) {
        bucket.delete(&name).expect("deletes");
    }
    let before = objects(&bucket);
    assert_eq!(run(&serving(&bucket), false).expect_err("damage").kind(), Kind::Damaged);
    assert_eq!(objects(&bucket), before, "nothing was written and nothing deleted");
}

#[test]
fn a_dry_run_writes_nothing_and_a_run_writes_little() {
    let (bucket, _folders) = with_a_deleted_branch();
    let recording = Recording::keeping_calls(bucket.clone(), Observer::new());
    let engine = serving(&recording.bucket());
    let before = objects(&bucket);
    let planned = run(&engine, true).expect("plans");
    assert_eq!(objects(&bucket), before);
    recording.take_calls();
    let condemned = run(&engine, false).expect("condemns");
    assert_eq!(condemned.condemned, planned.condemned);
    // But for the object that the store's clock is asked by, and who may delete is told by.
    let is_work = |call: &&dagset::store::recording::Call| !call.name.starts_with("check-");
    let creates = |calls: &[dagset::store::recording::Call]| {
        let creates = calls.iter().filter(is_work).filter(|call| call.verb == Verb::Create);
        creates.map(|call| call.name.clone()).collect::<Vec<_>>()
    };
    let written = creates(&recording.take_calls());
    assert!(written.len() <= 2 && written.iter().all(|name| name.starts_with("log/")), "{written:?}");
    let reclaimed = run(&engine, false).expect("reclaims");
    assert_eq!(reclaimed.reclaimed.versions, condemned.condemned.versions);
    let calls = recording.take_calls();
    let deletes = calls.iter().filter(is_work).filter(|call| call.verb == Verb::Delete).count() as u64;
    assert_eq!(deletes, reclaimed.deleted_objects, "one request for each object that goes");
    assert!(creates(&calls).len() <= 3, "{:?}", creates(&calls));
}

#[test]
fn what_a_workspace_stands_on_stays() {
    let env = TestEnv::new();
    fs::create_dir(env.path("work")).unwrap();
    let run = |arguments: &[&str]| env.run_with("work", arguments, b"").exits(0);
    let _ = run(&["init", "--dataset", "set"]);
    env.write("work/large.bin", noise(1, 500_000));
    let _ = run(&["commit", "-a", "-m", "first"]);
    let first = run(&["show", "--json"]).json()["version"].as_str().unwrap().to_owned();
    env.write("work/large.bin", noise(2, 500_000));
    let _ = run(&["commit", "-a", "-m", "second"]);
    let _ = run(&["switch", &first]);
    let _ = run(&["branch", "-d", "main", "--force"]);
    for _ in 0..2 {
        let _ = run(&["gc", "--grace", "0s"]);
    }
    let _ = env.run(["verify", "./work/.dagset/store"]).exits(0);
    fs::remove_file(env.path("work/large.bin")).unwrap();
    let _ = run(&["restore", "large.bin"]);
    assert_eq!(fs::read(env.path("work/large.bin")).unwrap(), noise(1, 500_000));
    let packs = size_of(&env.path("work/.dagset/store/packs"));
    assert!((500_000..600_000).contains(&packs), "the second version is gone: {packs}");
}

#[test]
fn a_bucket_is_collected_by_its_own_clock_and_few_requests() {
    let Some(s3) = server(Server::Real) else { return };
    let mut env = TestEnv::new();
    s3.reach_from(&mut env);
    let store = s3.url("gc");
    let _ = env.run(["store", "create", &store]).exits(0);
    for (name, seed) in [("kept", 1), ("dead", 2)] {
        env.write(&format!("{name}/own.bin"), noise(seed, 500_000));
        env.write(&format!("{name}/common.bin"), noise(3, 500_000));
        let _ = env.run(["ingest", name, "--into", &format!("{store}//{name}"), "--create"]).exits(0);
    }
    let _ = env.run(["dataset", "delete", &format!("{store}//dead"), "--yes"]).exits(0);
    let collect = |grace: &str| env.run(["gc", &store, "--grace", grace, "--json"]).json();
    let young = collect("1d");
    assert_eq!(young["condemned"]["packs"], 0, "{young}");
    let put = &young["requests"]["put"];
    assert_eq!((put, &young["requests"]["delete"]), (&Value::from(1), &Value::from(1)), "to ask what time it is");
    assert_eq!(collect("0s")["condemned"]["versions"].as_array().unwrap().len(), 1);
    let gone = collect("0s");
    let deletes = gone["requests"]["delete"].as_u64().unwrap();
    assert_eq!(deletes, gone["deleted"]["objects"].as_u64().unwrap() + 1, "one for each object, and the clock's");
    assert!((500_000..600_000).contains(&gone["reclaimed"]["bytes"].as_u64().unwrap()), "{gone}");
    let _ = env.run(["verify", &store]).exits(0);
    let _ = env.run(["get", &format!("{store}//kept"), "out"]).exits(0);
    assert_eq!(fs::read(env.path("out/common.bin")).unwrap(), noise(3, 500_000));
}

#[test]
fn a_grace_of_none_needs_no_unit() {
    let env = TestEnv::new();
    begin(&env);
    let told = env.run(["gc", "./store", "--grace", "0", "--dry-run", "--json"]).json();
    assert_eq!(told["grace_seconds"], 0);
}

#[test]
fn a_size_is_that_of_a_version_and_not_of_a_path() {
    let env = TestEnv::new();
    begin(&env);
    let refused = env.run(["du", "./store/set@main:large.bin"]).exits(2);
    assert!(refused.stderr.contains("is a path in one"), "{}", refused.stderr);
}
