//! Collection where chunks are stored against others: a frame that stays has its base, needed or not.

use std::fs;
use std::time::Duration;

use dagset::engine::{Address, GcOptions, GcReport, Opener};
use serde_json::Value;

use crate::env::TestEnv;
use crate::stage::{engine, noise};

const BYTES: usize = 300_000;

/// The content of `large.bin` after an edit in each of its chunks.
fn edited() -> Vec<u8> {
    let mut bytes = noise(1, BYTES);
    (0..BYTES).step_by(10_000).for_each(|at| bytes[at] ^= 1);
    bytes
}

/// A collection as one with a grace period is: it rewrites packs by how much of them is needed.
pub fn collect_by_shares(env: &TestEnv) -> GcReport {
    let store = Address::parse(env.path("store").to_str().unwrap(), None).unwrap();
    let options = GcOptions { grace: Duration::from_millis(1), dry_run: false };
    engine(Opener::default()).gc(&store, &options).unwrap()
}

/// How many data packs the store has.
pub fn packs(env: &TestEnv) -> usize {
    fs::read_dir(env.path("store/packs")).unwrap().count()
}

#[test]
fn a_frame_that_nothing_needs_keeps_its_base_as_long_as_it_lies_in_a_pack_that_stays() {
    let env = TestEnv::new();
    env.write("data/large.bin", noise(1, BYTES));
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    env.write("data/large.bin", edited());
    env.write("data/kept.bin", noise(2, 100_000));
    let second = env.run(["ingest", "data", "--into", "./store/set", "--json"]).answer();
    assert!(
        second["stored_bytes"].as_u64().unwrap() < 150_000,
        "the edits are stored against what stood there: {second}"
    );
    env.write("other/kept.bin", noise(2, 100_000));
    let _ = env.run(["ingest", "other", "--into", "./store/other", "--create"]).exits(0);
    let _ = env.run(["dataset", "delete", "./store/set", "--yes"]).exits(0);
    let before = packs(&env);
    for _ in 0..3 {
        let _ = collect_by_shares(&env);
        assert_eq!(env.run(["verify", "./store", "--json"]).json()["findings"], Value::Array(Vec::new()));
    }
    assert_eq!(packs(&env), before, "the pack of the kept file stays, and that of the bases with it");

    env.write("again/large.bin", edited());
    let again = env.run(["ingest", "again", "--into", "./store/again", "--create", "--json"]).answer();
    assert!(again["stored_bytes"].as_u64().unwrap() < 50_000, "its chunks are there: {again}");
    let _ = env.run(["get", "./store/again", "out"]).exits(0);
    assert_eq!(fs::read(env.path("out/large.bin")).unwrap(), edited());
    let _ = env.run(["dataset", "delete", "./store/other", "--yes"]).exits(0);
    let _ = env.run(["dataset", "delete", "./store/again", "--yes"]).exits(0);
    for _ in 0..2 {
        let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
    }
    assert_eq!(packs(&env), 0, "where nothing stays, neither do bases");
}
