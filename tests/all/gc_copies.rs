//! Collection where content lies in several packs: a copy that is condemned is no copy to rely on, nor is one that is gone.

use std::fs;

use serde_json::Value;

use crate::env::TestEnv;
use crate::gc_bases::packs;
use crate::stage::noise;

/// A store in which `shared.bin` of the dataset `kept` lies in a pack of its own, and in one with `other.bin` of the dataset `left`.
fn twice_stored() -> TestEnv {
    let env = TestEnv::new();
    env.write("kept/shared.bin", noise(1, 50_000));
    env.write("left/shared.bin", noise(1, 50_000));
    env.write("left/other.bin", noise(2, 50_000));
    let _ = env.run(["ingest", "kept", "--into", "./store/kept", "--create"]).exits(0);
    // Condemned, its content is stored anew by the next; then it comes back.
    let _ = env.run(["branch", "-d", "./store/kept", "main", "--force"]).exits(0);
    let deletion = newest_record(&env);
    let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
    let _ = env.run(["ingest", "left", "--into", "./store/left", "--create"]).exits(0);
    let _ = env.run(["undo", "./store", &deletion]).exits(0);
    assert_eq!(packs(&env), 2, "the content lies in two packs");
    env
}

fn newest_record(env: &TestEnv) -> String {
    let records = env.run(["oplog", "./store", "--json"]).json()["records"].clone();
    records[0]["record"].to_string()
}

fn collect(env: &TestEnv, place: &str, grace: &str) {
    let _ = env.run(["gc", place, "--grace", grace]).exits(0);
}

#[track_caller]
fn assert_kept(env: &TestEnv) {
    assert_eq!(env.run(["verify", "./store", "--json"]).json()["findings"], Value::Array(Vec::new()));
    let _ = env.run(["get", "./store/kept", "out"]).exits(0);
    assert_eq!(fs::read(env.path("out/shared.bin")).unwrap(), noise(1, 50_000));
    fs::remove_dir_all(env.path("out")).unwrap();
}

#[test]
fn a_collection_of_another_dataset_or_grace_counts_no_condemned_copy() {
    for between in [["./store/kept", "0s"], ["./store", "1h"], ["./store/left", "1h"]] {
        // Which copy a collector chooses goes by the random names of packs.
        for _ in 0..4 {
            let env = twice_stored();
            let _ = env.run(["branch", "-d", "./store/left", "main", "--force"]).exits(0);
            collect(&env, "./store", "0s");
            let [place, grace] = between;
            collect(&env, place, grace);
            for _ in 0..3 {
                collect(&env, "./store", "0s");
                assert_kept(&env);
            }
            assert_eq!(packs(&env), 1, "one copy is enough");
        }
    }
}

#[test]
fn a_version_that_a_workspace_is_on_is_rescued_before_it_goes() {
    let env = TestEnv::new();
    env.write("work/first.txt", "first");
    let _ = env.run(["-C", "work", "init"]).exits(0);
    let _ = env.run(["-C", "work", "commit", "-a", "-m", "one"]).exits(0);
    let _ = env.run(["-C", "work", "branch", "side"]).exits(0);
    let _ = env.run(["-C", "work", "switch", "side"]).exits(0);
    env.write("work/second.bin", noise(4, 50_000));
    let made = env.run(["-C", "work", "commit", "-a", "-m", "two", "--json"]).answer();
    let version = made["version"].as_str().unwrap().to_owned();
    let _ = env.run(["-C", "work", "switch", "main"]).exits(0);
    let _ = env.run(["-C", "work", "branch", "-d", "side", "--force"]).exits(0);
    let _ = env.run(["-C", "work", "gc", "--grace", "0s"]).exits(0);
    let _ = env.run(["-C", "work", "switch", &version]).exits(0);
    for _ in 0..3 {
        let _ = env.run(["-C", "work", "gc", "--grace", "0s"]).exits(0);
    }
    fs::remove_file(env.path("work/second.bin")).unwrap();
    let _ = env.run(["-C", "work", "restore", "second.bin"]).exits(0);
    assert_eq!(fs::read(env.path("work/second.bin")).unwrap(), noise(4, 50_000));
}

#[test]
fn a_dataset_that_is_not_there_is_no_dataset_without_garbage() {
    let env = twice_stored();
    let _ = env.run(["gc", "./store/typo", "--grace", "0s"]).exits(3);
    assert_kept(&env);
}
