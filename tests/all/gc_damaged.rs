//! Damaged content hinders a collection, or a purge, only where it stands.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::env::{TestEnv, everything_below};
use crate::stage::noise;

/// The datasets `a` of eight files, `b` of the last two of them, and `c` of others, in packs of their own; `a` and `c` are deleted.
fn two_of_eight() -> TestEnv {
    let env = TestEnv::new();
    for number in 1..=8 {
        let bytes = noise(number, 300_000);
        env.write(&format!("a/a{number}"), bytes.clone());
        if number > 6 {
            env.write(&format!("b/a{number}"), bytes);
        }
    }
    env.write("c/large", noise(9, 3_000_000));
    for dataset in ["a", "b", "c"] {
        let _ =
            env.run(["ingest", dataset, "--into", &format!("./store/{dataset}"), "--create", "--as", "1.0"]).exits(0);
    }
    for dataset in ["a", "c"] {
        let _ = env.run(["dataset", "delete", &format!("./store/{dataset}"), "--yes"]).exits(0);
    }
    env
}

/// The data packs, oldest first.
fn packs(env: &TestEnv) -> Vec<PathBuf> {
    everything_below(&env.path("store/packs"))
}

/// Flips a bit of the content `bytes` where a pack holds its end, which is stored as it is.
fn damage(env: &TestEnv, bytes: &[u8]) {
    let end = &bytes[bytes.len() - 64..];
    for path in packs(env) {
        let mut pack = fs::read(&path).unwrap();
        if let Some(at) = pack.windows(end.len()).position(|window| window == end) {
            pack[at + 32] ^= 1;
            fs::write(path, pack).unwrap();
            return;
        }
    }
    panic!("no pack holds it");
}

#[test]
fn a_damaged_live_file_stops_the_rewriting_of_its_pack_alone() {
    let env = two_of_eight();
    let before = packs(&env);
    assert_eq!(before.len(), 2);
    damage(&env, &noise(8, 300_000));
    let of_c = before.iter().find(|path| fs::metadata(path).unwrap().len() > 2_900_000).unwrap();
    for _ in 0..2 {
        let ended = env.run(["gc", "./store", "--grace", "0s", "--json"]).exits(5);
        let damaged = ended.document()["damaged_packs"].clone();
        let name = before.iter().find(|path| *path != of_c).unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(damaged, json!([format!("packs/{name}")]));
        assert!(ended.stderr.contains(name) && ended.stderr.contains("--repair-from"), "{}", ended.stderr);
    }
    assert!(!of_c.exists(), "what is wholly dead goes");
    assert_eq!(packs(&env).len(), 1);
    let _ = env.run(["get", "./store/b@1.0:a7", "out"]).exits(0);

    let refused = env.run(["purge", "./store/b@1.0:a7", "--reason", "it leaked", "--yes"]).exits(5);
    assert!(
        refused.stderr.contains("packs/") && refused.stderr.contains("purge the damaged files along"),
        "{}",
        refused.stderr
    );
    let _ = env.run(["purge", "./store/b@1.0", "a7", "a8", "--reason", "it leaked", "--yes"]).exits(0);
    assert_eq!(env.run(["verify", "./store", "--json"]).json()["findings"], json!([]));
    let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
}

#[test]
fn damage_to_what_is_dead_goes_with_it() {
    // Alone in its frame, and in one that small files share with a live one.
    for size in [300_000, 20_000] {
        let env = TestEnv::new();
        for number in 1..=8 {
            let bytes = noise(number, size);
            env.write(&format!("a/a{number}"), bytes.clone());
            if number == 8 {
                env.write("b/a8", bytes);
            }
        }
        for dataset in ["a", "b"] {
            let _ = env
                .run(["ingest", dataset, "--into", &format!("./store/{dataset}"), "--create", "--as", "1.0"])
                .exits(0);
        }
        let _ = env.run(["dataset", "delete", "./store/a", "--yes"]).exits(0);
        damage(&env, &noise(7, size));
        let _ = env.run(["verify", "./store/b@1.0"]).exits(0);
        for _ in 0..2 {
            let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
        }
        assert_eq!(
            env.run(["verify", "./store", "--json"]).json()["findings"],
            json!([]),
            "nothing of it was carried over"
        );
        let _ = env.run(["get", "./store/b@1.0", "out"]).exits(0);
        assert_eq!(fs::read(env.path("out/a8")).unwrap(), noise(8, size));
    }
}

#[test]
fn a_damaged_file_is_purged_from_the_frame_that_it_shares() {
    let env = TestEnv::new();
    for number in 1..=4 {
        env.write(&format!("a/a{number}"), noise(number, 20_000));
    }
    let _ = env.run(["ingest", "a", "--into", "./store/a", "--create", "--as", "1.0"]).exits(0);
    damage(&env, &noise(2, 20_000));
    let _ = env.run(["purge", "./store/a@1.0:a2", "--reason", "it leaked", "--yes"]).exits(0);
    assert_eq!(env.run(["verify", "./store", "--json"]).json()["findings"], json!([]));
    let _ = env.run(["get", "./store/a@1.0:a3", "out"]).exits(0);
}
