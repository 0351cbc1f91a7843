//! What is damaged is mended from where it is whole: from a copy of the store, from another store with the same content, from files on
//! this machine. What is healthy isn't touched, and nothing is lost on the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dagset::base::Error;
use dagset::engine::{Address, DeleteOptions, Engine, GcOptions, Opener, RepairOptions, RepairReport};
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::{Bucket, Verb, backend};

use crate::env::{TestEnv, everything_below};
use crate::stage::{STORE, assert_comes_back, copy_of, engine, findings, ingest, lay_out, noise, objects, serving};
use crate::steered::Steered;

const INTO: &str = "/store//signs";
const OTHER: &str = "/other";

/// An engine that knows the store to be mended, and the one that it is mended from.
fn between(store: &Bucket, other: &Bucket) -> Engine {
    let (store, other) = (store.clone(), other.clone());
    engine(Opener::new(move |root, _| match root {
        STORE => Ok(store.clone()),
        OTHER => Ok(other.clone()),
        root => Err(Error::not_found(format!("no such folder: {root}"))),
    }))
}

fn repair(engine: &Engine, dry_run: bool) -> RepairReport {
    let options = RepairOptions { from: vec![OTHER.to_owned()], dry_run, ..RepairOptions::default() };
    engine.repair(STORE, &options).expect("a store that can be looked at")
}

/// A store with a state and based frames, and the folder that its newest version was made of.
struct Scene {
    root: tempfile::TempDir,
    store: Bucket,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { root: tempfile::tempdir().expect("a folder"), store: backend::memory() };
        let engine = serving(&scene.store);
        lay_out(&scene.source(), 0);
        for version in 0..34 {
            fs::write(scene.source().join("count"), format!("{version}\n")).expect("writes");
            ingest(&engine, &scene.source(), INTO, Some(&format!("1.{version}"))).expect("ingests");
        }
        scene
    }

    fn source(&self) -> PathBuf {
        self.root.path().join("source")
    }

    /// The first and the last object of each kind, and records that others stand on.
    fn victims(&self) -> Vec<String> {
        let all = objects(&self.store);
        let registered = |name: &String| !name.starts_with("index/") || self.is_registered(name);
        let mut victims = vec!["log/000/000/002".to_owned(), "log/000/000/033".to_owned()];
        for folder in ["packs/", "meta/", "index/", "state/", "log/", "dagset.json"] {
            let mut of_kind = all.iter().filter(|name| name.starts_with(folder) && registered(name));
            victims.extend(of_kind.next().cloned());
            victims.extend(of_kind.next_back().cloned());
        }
        victims.sort();
        victims.dedup();
        victims
    }

    /// Whether the store misses the index: those that were merged leave their objects.
    fn is_registered(&self, name: &str) -> bool {
        let store = copy_of(&self.store);
        store.delete(name).expect("deletes");
        !findings(&serving(&store), STORE).is_empty()
    }
}

fn replace(store: &Bucket, object: &str, bytes: Vec<u8>) {
    store.delete(object).expect("deletes");
    store.create(object, bytes.into()).expect("creates");
}

/// Damages an object in each way, a store for each.
fn damaged(store: &Bucket, object: &str) -> Vec<(&'static str, Bucket)> {
    let whole = store.get(object).expect("is there").to_vec();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    let deleted = copy_of(store);
    deleted.delete(object).expect("deletes");
    let mut all = vec![("deleted", deleted)];
    let ways = [("cut", whole[..whole.len() / 2].to_vec()), ("flipped", flipped), ("garbage", noise(5, whole.len()))];
    for (how, bytes) in ways {
        let copy = copy_of(store);
        replace(&copy, object, bytes);
        all.push((how, copy));
    }
    all
}

fn assert_mended(engine: &Engine, source: &Path, what: &str) {
    assert_eq!(findings(engine, STORE), [""; 0], "{what}");
    assert_comes_back(engine, "/store//signs@1.33", source);
}

#[test]
fn a_copy_of_the_store_mends_every_kind_of_object() {
    let scene = Scene::new();
    let newest = objects(&scene.store).into_iter().rfind(|name| name.starts_with("log/"));
    for object in scene.victims() {
        for (how, store) in damaged(&scene.store, &object) {
            let what = format!("{object} {how}");
            let engine = between(&store, &copy_of(&scene.store));
            let before = objects(&store);
            if how == "deleted" && newest.as_deref() == Some(&*object) {
                // A log without its newest record is the log of a moment before, for who has never seen it.
                assert_eq!(repair(&engine, false).left.findings, [], "{what}");
                assert_eq!(objects(&store), before, "{what}: a copy may have gone another way");
                continue;
            }
            let planned = repair(&engine, true);
            assert_eq!(objects(&store), before, "{what}: a dry run writes nothing");
            assert!(planned.mended.iter().any(|it| it.object == object), "{what}: {planned:?}");
            let done = repair(&engine, false);
            assert!(done.mended.iter().any(|it| it.object == object), "{what}: {done:?}");
            assert_eq!(done.left.findings, [], "{what}");
            assert_mended(&engine, &scene.source(), &what);
            let aside = objects(&store).into_iter().filter(|name| name.starts_with("damaged/")).count();
            assert_eq!(aside, usize::from(how != "deleted"), "{what}: what was damaged is kept");
            assert_eq!(repair(&engine, false).mended, [], "{what}: again there is nothing to do");
        }
    }
}

#[test]
fn another_store_with_the_same_content_mends_packs_and_indexes() {
    let scene = Scene::new();
    let other = backend::memory();
    ingest(&serving(&other), &scene.source(), "/store//theirs", Some("9.9")).expect("ingests");
    let stored = ["packs/", "index/", "state/"];
    for object in scene.victims().into_iter().filter(|name| stored.iter().any(|folder| name.starts_with(folder))) {
        for (how, store) in damaged(&scene.store, &object) {
            let what = format!("{object} {how}");
            let engine = between(&store, &other);
            let done = repair(&engine, false);
            // Of the 34 versions the other store has one: chunks of the others, which lie in the last pack, are lost.
            let lost: Vec<_> = done.left.findings.iter().filter(|it| it.path.as_deref() != Some("count")).collect();
            assert!(lost.is_empty(), "{what}: {lost:?}");
            assert_comes_back(&engine, "/store//signs@1.33", &scene.source());
        }
    }
}

#[test]
fn what_is_nowhere_is_listed_and_the_rest_is_mended() {
    let scene = Scene::new();
    let empty = backend::memory();
    serving(&empty).create_store(STORE).expect("creates");
    let pack = objects(&scene.store).into_iter().find(|name| name.starts_with("packs/")).expect("a pack");
    let store = copy_of(&scene.store);
    let mut bytes = store.get(&pack).expect("is there").to_vec();
    bytes[40] ^= 1;
    replace(&store, &pack, bytes);
    let engine = between(&store, &empty);
    let done = repair(&engine, false);
    assert!(!done.left.findings.is_empty());
    assert!(done.left.findings.iter().all(|it| it.kind == "missing" && it.path.is_some()), "{:?}", done.left.findings);
    // What stood beside the damaged frame was saved out of the damaged pack.
    assert!(done.left.findings.len() < 4, "{:?}", done.left.findings);
    let better = between(&store, &scene.store);
    assert_eq!(repair(&better, false).left.findings, [], "a better source mends what was left");
    assert_mended(&better, &scene.source(), "in two steps");
}

#[test]
fn a_repair_that_is_cut_off_at_any_call_is_ended_by_the_same_command() {
    let scene = Scene::new();
    let all = objects(&scene.store);
    let of = |folder: &str| all.iter().rfind(|name| name.starts_with(folder)).expect("one of each kind").clone();
    let base = copy_of(&scene.store);
    replace(&base, &of("packs/"), noise(1, 2_000));
    replace(&base, "log/000/000/012", noise(1, 200));
    replace(&base, &of("state/"), noise(1, 300));
    let options = || RepairOptions { from: vec![OTHER.to_owned()], ..RepairOptions::default() };
    let whole = Faulty::new(copy_of(&base));
    between(&whole.bucket(), &scene.store).repair(STORE, &options()).expect("mends");
    let writes = [Verb::Create, Verb::Delete];
    for (verb, calls) in writes.map(|verb| (verb, whole.calls_of(verb))) {
        assert!(calls > 0, "{verb:?}");
        for (call, fault) in (1..=calls).flat_map(|call| [(call, Fault::Before), (call, Fault::After)]) {
            let what = format!("{verb:?} {call} {fault:?}");
            let store = copy_of(&base);
            let faulty = Faulty::new(store.clone());
            faulty.plan(Plan::at(call, fault).of(verb).and_power_loss());
            between(&faulty.bucket(), &scene.store).repair(STORE, &options()).expect_err("the power is gone");
            assert_eq!(repair(&between(&store, &scene.store), false).left.findings, [], "{what}");
            assert_mended(&serving(&store), &scene.source(), &what);
        }
    }
}

#[test]
fn the_files_of_the_workspace_mend_its_store() {
    let env = TestEnv::new();
    env.write("ws/big.bin", noise(7, 600_000));
    env.write("ws/small.txt", "small\n");
    env.run_with("ws", ["init"], b"").text();
    env.run_with("ws", ["commit", "-a", "-m", "one"], b"").text();
    let packs = env.path("ws/.dagset/store/packs");
    for pack in fs::read_dir(&packs).unwrap() {
        fs::remove_file(pack.unwrap().path()).unwrap();
    }
    let found = env.run_with("ws", ["verify", "--json"], b"").exits(5).document();
    assert_eq!(found["findings"][0]["kind"], "missing", "{found}");
    // A source has to be named; that it has nothing is no matter.
    env.run(["store", "create", "./empty"]).text();
    let planned = env.run_with("ws", ["verify", "--repair-from", "../empty", "--dry-run"], b"").exits(0);
    assert!(planned.stdout.contains("would mend packs/"), "{}", planned.stdout);
    let done = env.run_with("ws", ["verify", "--repair-from", "../empty", "--json"], b"").exits(0).document();
    assert_eq!(done["findings"], serde_json::json!([]), "{done}");
    env.run(["get", "./ws", "out"]).text();
    assert_eq!(fs::read(env.path("out/big.bin")).unwrap(), noise(7, 600_000));
}

#[test]
fn a_nightly_verify_reads_what_is_new_and_a_sample_lists_no_packs() {
    let env = TestEnv::new();
    env.write("data/a", noise(1, 40_000));
    env.run(["ingest", "data", "--into", "./store//d", "--create", "--as", "1.0"]).text();
    std::thread::sleep(std::time::Duration::from_millis(20));
    env.write("data/b", noise(2, 50_000));
    env.run(["ingest", "data", "--into", "./store//d", "--as", "2.0"]).text();
    let all = env.run(["verify", "./store", "--json"]).json();
    let new = env.run(["verify", "./store", "--since", "./store//d@1.0", "--json"]).json();
    assert!(new["checked_bytes"].as_u64() < all["checked_bytes"].as_u64(), "{new} {all}");
    let none = env.run(["verify", "./store", "--since", "./store//d@2.0", "--json"]).json();
    assert!(none["checked_bytes"].as_u64() < new["checked_bytes"].as_u64(), "{none} {new}");
    let sampled = env.run(["verify", "./store", "--sample", "0.000001%", "--json"]).json();
    assert!(sampled["checked_bytes"].as_u64().unwrap() + 90_000 < all["checked_bytes"].as_u64().unwrap(), "{sampled}");
    assert!(sampled["requests"]["list"].as_u64() < all["requests"]["list"].as_u64(), "{sampled} {all}");
    // What is old and damaged is another night's matter.
    let mut packs: Vec<_> = fs::read_dir(env.path("store/packs")).unwrap().map(|it| it.unwrap().path()).collect();
    packs.sort();
    let mut bytes = fs::read(&packs[0]).unwrap();
    bytes[30] ^= 1;
    fs::remove_file(&packs[0]).unwrap();
    fs::write(&packs[0], bytes).unwrap();
    let time = fs::File::options().write(true).open(&packs[0]).unwrap();
    time.set_modified(std::time::UNIX_EPOCH).unwrap();
    env.run(["verify", "./store", "--since", "./store//d@1.0"]).text();
    drop(env.run(["verify", "./store"]).exits(5));
}

#[test]
fn what_a_clone_borrows_is_counted_and_not_asked_for() {
    let env = TestEnv::new();
    env.write("data/a", noise(1, 400_000));
    env.write("data/b", "b\n");
    env.run(["ingest", "data", "--into", "./store//d", "--create", "--as", "1.0"]).text();
    env.run(["clone", "./store//d", "copy"]).text();
    let local = env.run_with("copy", ["verify", "--local", "--json"], b"").json();
    assert!(local["borrowed"].as_u64().unwrap() >= 2, "{local}");
    fs::rename(env.path("store"), env.path("away")).unwrap();
    env.run_with("copy", ["verify", "--local"], b"").text();
    drop(env.run_with("copy", ["verify"], b"").exits(6));
    fs::rename(env.path("away"), env.path("store")).unwrap();
    env.run_with("copy", ["verify", "--remote"], b"").text();
    let pack = fs::read_dir(env.path("store/packs")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(pack).unwrap();
    drop(env.run_with("copy", ["verify", "--remote", "origin"], b"").exits(5));
    env.run_with("copy", ["verify", "--local"], b"").text();
}

#[test]
fn a_verify_beside_a_collection_that_deletes_misses_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let (kept, gone) = (root.path().join("kept"), root.path().join("gone"));
    lay_out(&kept, 1);
    lay_out(&gone, 2);
    let base = backend::memory();
    ingest(&serving(&base), &kept, INTO, Some("1.0")).expect("ingests");
    ingest(&serving(&base), &gone, "/store//other", Some("1.0")).expect("ingests");
    fs::write(gone.join("big.bin"), noise(3, 300_000)).expect("writes");
    ingest(&serving(&base), &gone, "/store//other", Some("2.0")).expect("ingests");
    let other = Address::parse("/store//other", None).expect("an address");
    serving(&base).delete_dataset(&other, &DeleteOptions::default()).expect("deletes");
    let collect = |store: &Bucket| {
        let whole = Address::parse(STORE, None).expect("an address");
        for _ in 0..2 {
            let options = GcOptions { grace: Duration::ZERO, dry_run: false };
            serving(store).gc(&whole, &options).expect("collects");
        }
    };
    let counted = Arc::new(AtomicUsize::new(0));
    let count = counted.clone();
    let counting = Steered::reading(&base, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(findings(&serving(&counting), STORE), [""; 0]);
    for at in 0..counted.load(Ordering::Relaxed) {
        let store = copy_of(&base);
        let (reads, shown) = (AtomicUsize::new(0), store.clone());
        let beside = Steered::reading(&store, move |_| {
            if reads.fetch_add(1, Ordering::Relaxed) == at {
                collect(&shown);
            }
        });
        assert_eq!(findings(&serving(&beside), STORE), [""; 0], "collected before read {at}");
        assert!(objects(&store).len() < objects(&base).len(), "read {at}: something went");
    }
}

#[test]
fn a_damaged_use_comes_from_a_store_that_has_it() {
    let env = TestEnv::new();
    env.write("data/a", noise(1, 4_000));
    env.run(["ingest", "data", "--into", "./store//d", "--create", "--as", "1.0"]).text();
    env.run(["use", "./store//d@1.0", "--run", "run-1", "--model", "model-1"]).text();
    crate::world::copy_folder(&env.path("store"), &env.path("copy"));
    let used = crate::env::everything_below(&env.path("store/uses")).into_iter().find(|path| path.is_file()).unwrap();
    fs::remove_file(&used).unwrap();
    fs::write(&used, b"rotten").unwrap();
    drop(env.run(["verify", "./store"]).exits(5));
    let planned = env.run(["verify", "./store", "--repair-from", "./copy", "--dry-run"]).text();
    assert!(planned.contains("would mend uses/"), "{planned}");
    env.run(["verify", "./store", "--repair-from", "./copy"]).text();
    let uses = env.run(["uses", "./store//d@1.0", "--json"]).json();
    assert_eq!(uses["uses"][0]["run"], "run-1", "{uses}");
    env.run(["verify", "./store"]).text();
}

#[test]
fn a_workspace_of_the_damaged_store_gives_its_files_by_whatever_path() {
    let env = TestEnv::new();
    env.run(["store", "create", "./home"]).text();
    std::os::unix::fs::symlink("home", env.path("link")).unwrap();
    env.write("ws/a.bin", noise(1, 300_000));
    env.run_with("ws", ["init", "--store", "../home"], b"").text();
    env.run_with("ws", ["commit", "-a", "-m", "one"], b"").text();
    for pack in fs::read_dir(env.path("home/packs")).unwrap() {
        fs::remove_file(pack.unwrap().path()).unwrap();
    }
    let refused = env.run(["verify", "./link", "--repair-from", "./home"]).exits(2);
    assert!(refused.stderr.contains("is the store that is to be mended"), "{}", refused.stderr);
    env.run(["verify", "./link", "--repair-from", "./ws"]).text();
    env.run(["verify", "./home"]).text();
}

#[test]
fn what_is_no_file_makes_room_for_the_copy_of_the_object() {
    let env = TestEnv::new();
    env.write("data/large.bin", noise(1, 300_000));
    let _ = env.run(["store", "create", "./store"]).exits(0);
    for number in 0..34 {
        env.write("data/count", format!("{number}"));
        let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    }
    copy_folder(&env.path("store"), &env.path("copy"));
    let below = |folder: &str| {
        let mut files = everything_below(&env.path(&format!("store/{folder}")));
        files.retain(|path| path.is_file());
        files.sort();
        files
    };
    let mut objects = ["packs", "meta", "index", "state", "log"].map(|folder| below(folder).remove(0)).to_vec();
    objects.extend(below("log").pop());
    objects.push(env.path("store/dagset.json"));
    let mut missed = 0;
    for object in objects {
        for is_pipe in [true, false] {
            let name = object.strip_prefix(env.path("store")).unwrap().display().to_string();
            fs::remove_file(&object).unwrap();
            match is_pipe {
                true => assert!(Command::new("mkfifo").arg(&object).status().unwrap().success()),
                false => fs::create_dir(&object).unwrap(),
            }
            let is_missed = env.run(["verify", "./store"]).code != Some(0);
            missed += usize::from(is_missed);
            let repaired = env.run(["verify", "./store", "--repair-from", "./copy"]);
            assert_eq!(repaired.code, Some(0), "{name}, {is_pipe}: {}{}", repaired.stdout, repaired.stderr);
            let _ = env.run(["verify", "./store"]).exits(0);
            let aside = fs::read_dir(env.path("store/damaged")).into_iter().flatten().map(|entry| entry.unwrap());
            let aside: Vec<_> = aside.filter(|entry| !entry.file_type().unwrap().is_file()).collect();
            assert_eq!(aside.len(), usize::from(is_missed), "{name}, {is_pipe}");
            let of_its_name =
                |name: &str| aside.iter().all(|entry| entry.file_name().to_str().unwrap().starts_with(name));
            assert!(of_its_name(&name.replace('/', ".")));
            fs::remove_dir_all(env.path("store")).unwrap();
            copy_folder(&env.path("copy"), &env.path("store"));
        }
    }
    // A folder in the place of an object that nothing names is no object, and harms nobody.
    assert!(missed > 12, "only {missed} were missed");
}

fn copy_folder(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn uses_that_are_gone_come_back_from_a_copy() {
    let env = TestEnv::new();
    env.write("data/file", "one");
    let _ = env.run(["ingest", "data", "--into", "./store//d", "--create", "--as", "1.0"]).exits(0);
    for run in ["run-1", "run-2"] {
        let _ = env.run(["use", "./store//d@1.0", "--run", run]).exits(0);
    }
    let runs = || env.run(["uses", "./store//d@1.0", "--json"]).json()["uses"].as_array().map_or(0, Vec::len);
    crate::world::copy_folder(&env.path("store"), &env.path("copy"));
    std::fs::remove_dir_all(env.path("store/uses")).unwrap();
    let repair = ["verify", "./store", "--repair-from", "./copy"];
    let _ = env.run([&repair[..], &["--dry-run"]].concat()).exits(0);
    assert_eq!(runs(), 0);
    let _ = env.run(repair).exits(0);
    assert_eq!(runs(), 2);
}
