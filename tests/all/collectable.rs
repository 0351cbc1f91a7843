//! What `du` calls collectable is what two collections without grace free, by whatever came to be dead.

use std::fs;

use crate::env::{TestEnv, everything_below};
use crate::stage::noise;

/// Bytes of packs and indexes: of records and states a collection writes more.
fn stored(env: &TestEnv) -> u64 {
    let files = ["packs", "meta", "index"].map(|folder| everything_below(&env.path("store").join(folder)));
    let files = files.into_iter().flatten().map(|path| fs::symlink_metadata(path).unwrap());
    files.filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
}

fn collectable(env: &TestEnv) -> u64 {
    env.run(["du", "./store", "--json"]).answer()["collectable_bytes"].as_u64().unwrap()
}

fn ingest(env: &TestEnv, folder: &str, more: &[&str]) {
    let _ = env.run([&["ingest", folder, "--into", "./store/set", "--create"], more].concat()).exits(0);
}

/// Lines that differ from each other and compress well.
fn table(seed: u64, lines: usize) -> String {
    (0..lines).map(|line| format!("{seed},{line},{}\n", line as u64 * seed % 977)).collect()
}

/// Files of all kinds: small ones that share frames, a large one of many chunks, text that compresses.
fn lay_out(env: &TestEnv, folder: &str, seed: u64) {
    for number in 0..60 {
        env.write(&format!("{folder}/small/{number}.json"), table(seed + number, 40));
    }
    env.write(&format!("{folder}/large.bin"), noise(seed, 900_000));
    env.write(&format!("{folder}/table.csv"), table(seed, 30_000));
}

fn deleted_branch(env: &TestEnv) {
    lay_out(env, "data", 1);
    ingest(env, "data", &[]);
    lay_out(env, "trial", 2);
    ingest(env, "trial", &["--branch", "trial"]);
    let _ = env.run(["branch", "-d", "./store/set", "trial", "--force"]).exits(0);
}

/// Of one pack every other file stays, of frames that files share too.
fn half_dead(env: &TestEnv, small: impl Fn(u64) -> Vec<u8>) {
    for folder in ["all", "some"] {
        lay_out(env, folder, 1);
        (0..60).for_each(|number| env.write(&format!("{folder}/small/{number}.json"), small(number)));
    }
    for number in (0..60).step_by(2) {
        fs::remove_file(env.path(&format!("some/small/{number}.json"))).unwrap();
    }
    fs::remove_file(env.path("some/table.csv")).unwrap();
    ingest(env, "all", &["--branch", "all"]);
    ingest(env, "some", &["--branch", "main"]);
    let _ = env.run(["branch", "-d", "./store/set", "all", "--force"]).exits(0);
}

fn sparse_packs(env: &TestEnv) {
    half_dead(env, |number| noise(number, 2_000));
}

fn sparse_texts(env: &TestEnv) {
    half_dead(env, |number| table(number, 40).into_bytes());
}

fn keep_rules(env: &TestEnv) {
    for version in 1..5 {
        lay_out(env, "data", version);
        env.write("data/same.bin", noise(99, 500_000));
        ingest(env, "data", &[]);
    }
    let _ = env.run(["meta", "set", "./store/set", "keep.last=1"]).exits(0);
}

fn purged(env: &TestEnv) {
    deleted_branch(env);
    let _ = env.run(["purge", "./store/set:table.csv", "--reason", "a test", "--yes"]).exits(0);
}

/// What an earlier run condemned, and one without grace hasn't deleted yet.
fn condemned(env: &TestEnv) {
    deleted_branch(env);
    let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
}

/// Packs and indexes of sessions that never ended.
fn leftovers(env: &TestEnv) {
    deleted_branch(env);
    let name = format!("000000000001-{}", "0a".repeat(16));
    for folder in ["packs", "meta", "index"] {
        env.write(&format!("store/{folder}/{name}"), noise(5, 40_000));
    }
}

/// What it is called, and what makes it.
type History = (&'static str, fn(&TestEnv));

#[test]
fn what_is_collectable_is_what_two_collections_free() {
    let histories: [History; 7] = [
        ("a deleted branch", deleted_branch),
        ("sparse packs", sparse_packs),
        ("sparse texts", sparse_texts),
        ("keep rules", keep_rules),
        ("a purge", purged),
        ("condemned before", condemned),
        ("leftovers", leftovers),
    ];
    for (what, history) in histories {
        let env = TestEnv::new();
        history(&env);
        let (said, before) = (collectable(&env), stored(&env));
        let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
        let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
        let freed = before - stored(&env);
        assert!(freed > 50_000, "{what}: {freed} freed");
        // What stays of texts that shared a frame is taken not to compress.
        let more = if what == "sparse texts" { freed / 2 } else { freed / 50 };
        assert!(said <= freed + 4_096 && freed <= said + more + 4_096, "{what}: {freed} freed, {said} said");
        assert!(collectable(&env) < 4_096, "{what}: {} is left", collectable(&env));
    }
}
