//! Packs of which little is alive are written anew, and what they held is where the indexes say.

use std::fs;
use std::path::Path;

use dagset::engine::{Address, CommitOptions, InitOptions};
use serde_json::Value;

use crate::env::{TestEnv, everything_below};
use crate::gc_bases::collect_by_shares;
use crate::stage::noise;
use crate::world::{World, at_once};

/// Bytes of the store's data packs.
fn data_bytes(env: &TestEnv, store: &str) -> u64 {
    let files = everything_below(&env.path(store).join("packs")).into_iter();
    files.filter_map(|file| fs::metadata(file).ok()).filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
}

fn ingest(env: &TestEnv, folder: &str, into: &str) {
    let _ = env.run(["ingest", folder, "--into", into, "--create"]).exits(0);
}

fn collect(env: &TestEnv) -> Value {
    env.run(["gc", "./store", "--grace", "0s", "--json"]).answer()
}

#[track_caller]
fn assert_is(env: &TestEnv, address: &str, folder: &Path) {
    assert_eq!(env.run(["verify", "./store", "--json"]).json()["findings"], Value::Array(Vec::new()));
    let _ = env.run(["get", address, "out"]).exits(0);
    assert_eq!(crate::stage::contents(&env.path("out")), crate::stage::contents(folder));
    fs::remove_dir_all(env.path("out")).unwrap();
}

/// A branch `all` with files of which the branch `main` has every other one, deleted; `sizes` are the files'.
fn half_dead(env: &TestEnv, sizes: &[usize]) {
    for (number, size) in sizes.iter().enumerate() {
        let (name, bytes) = (format!("{number:03}.bin"), noise(number as u64, *size));
        if number % 2 == 0 {
            env.write(&format!("some/{name}"), bytes.clone());
        }
        env.write(&format!("all/{name}"), bytes);
    }
    let _ = env.run(["ingest", "all", "--into", "./store/set", "--create", "--branch", "all"]).exits(0);
    let _ = env.run(["ingest", "some", "--into", "./store/set", "--branch", "main"]).exits(0);
    let _ = env.run(["branch", "-d", "./store/set", "all", "--force"]).exits(0);
}

#[test]
fn a_half_dead_pack_shrinks_to_what_a_fresh_store_would_have() {
    // Frames of one file each, frames that many files share, and a file of many chunks.
    for sizes in [vec![90_000; 12], vec![2_000; 300], vec![700_000; 4]] {
        let env = TestEnv::new();
        half_dead(&env, &sizes);
        ingest(&env, "some", "./fresh/set");
        let planned = env.run(["gc", "./store", "--grace", "0s", "--dry-run", "--json"]).answer();
        let first = collect(&env);
        assert_ne!(first["rewritten"]["packs"], 0, "{first}");
        assert_eq!(planned["rewritten"], first["rewritten"], "a dry run says what comes");
        assert_is(&env, "./store/set", &env.path("some"));
        let second = collect(&env);
        assert_eq!(second["rewritten"]["packs"], 0, "{second}");
        assert_is(&env, "./store/set", &env.path("some"));
        let (left, fresh) = (data_bytes(&env, "store"), data_bytes(&env, "fresh"));
        assert!(left < fresh + fresh / 50, "{left} bytes are left, {fresh} in a fresh store");
    }
}

#[test]
fn a_pack_that_is_mostly_alive_stays() {
    let env = TestEnv::new();
    for number in 0..10 {
        env.write(&format!("all/{number}.bin"), noise(number, 90_000));
        if number > 0 {
            env.write(&format!("some/{number}.bin"), noise(number, 90_000));
        }
    }
    let _ = env.run(["ingest", "all", "--into", "./store/set", "--create", "--branch", "all"]).exits(0);
    let _ = env.run(["ingest", "some", "--into", "./store/set", "--branch", "main"]).exits(0);
    let _ = env.run(["branch", "-d", "./store/set", "all", "--force"]).exits(0);
    assert_eq!(collect_by_shares(&env).rewritten_packs, 0);
    assert_eq!(collect(&env)["rewritten"]["packs"], 1, "without grace, nothing that is dead stays");
}

#[test]
fn a_base_whose_pack_is_rewritten_goes_along() {
    let env = TestEnv::new();
    let mut large = noise(1, 3_000_000);
    env.write("data/large.bin", large.clone());
    env.write("data/other.bin", noise(2, 6_000_000));
    ingest(&env, "data", "./store/set");
    (0..3_000_000).step_by(500_000).for_each(|at| large[at] ^= 1);
    env.write("data/large.bin", large.clone());
    let second = env.run(["ingest", "data", "--into", "./store/set", "--json"]).answer();
    assert!(second["stored_bytes"].as_u64().unwrap() < 100_000, "the edits need what stood there: {second}");
    env.write("again/large.bin", large);
    ingest(&env, "again", "./store/again");
    let _ = env.run(["dataset", "delete", "./store/set", "--yes"]).exits(0);
    assert_ne!(collect(&env)["rewritten"]["packs"], 0);
    for _ in 0..2 {
        assert_is(&env, "./store/again", &env.path("again"));
        collect(&env);
    }
    let left = data_bytes(&env, "store");
    assert!(left < 3_600_000, "{left} bytes are left of the larger file, whose base is kept for the smaller");
}

#[test]
fn what_a_deleted_version_had_comes_back_from_a_pack_that_was_rewritten() {
    let env = TestEnv::new();
    half_dead(&env, &[90_000; 12]);
    let deletion = env.run(["oplog", "./store", "--json"]).json()["records"][0]["record"].to_string();
    collect(&env);
    // Condemned and not yet gone: to name it is to rescue it.
    let _ = env.run(["undo", "./store", &deletion]).exits(0);
    for _ in 0..3 {
        assert_is(&env, "./store/set@all", &env.path("all"));
        assert_is(&env, "./store/set@main", &env.path("some"));
        collect(&env);
    }
}

/// The commits of a folder write some nodes once more, to lie with others: nearly all of their meta packs are sparse, and many of them have
/// copies of the same nodes.
#[test]
fn two_runs_write_anew_however_many_packs_are_sparse() {
    const STORE: &str = "s3://bucket/home";
    let world = World::new(&[STORE]);
    let file = |number: usize| format!("work/all/{:04}.txt", number % 1_500);
    (0..1_500).for_each(|number| world.write(&file(number), number.to_string()));
    let engine = world.engine("work");
    let options = InitOptions { folder: None, dataset: Some("set".to_owned()), store: Some(STORE.to_owned()) };
    engine.init(&options).expect("makes a workspace");
    for version in 0..260 {
        world.write(&file(version * 577), format!("version {version}"));
        let options = CommitOptions { all: true, ..CommitOptions::default() };
        engine.commit(&options).expect("commits");
    }
    let home = Address::parse(STORE, None).expect("an address");
    let collect = || engine.gc(&home, &at_once()).expect("collects");
    let first = collect();
    assert!(first.rewritten_packs > 100, "{first:?}");
    let second = collect();
    assert_eq!((second.rewritten_packs, second.condemned.packs, second.waiting_packs), (0, 0, 0), "{second:?}");
    let third = collect();
    assert_eq!((third.reclaimed.packs, third.deleted_objects), (0, 0), "{third:?}");
    assert_eq!(world.findings(STORE), [""; 0]);
}
