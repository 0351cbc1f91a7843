//! Files in a store's folders that are none of its objects.

use std::fs;

use serde_json::json;

use crate::env::TestEnv;
use crate::stage::noise;

#[test]
fn what_is_no_object_hurts_nobody_and_is_told_unless_it_is_hidden() {
    let env = TestEnv::new();
    env.write("data/a.bin", noise(1, 300_000));
    let _ = env.run(["ingest", "data", "--into", "./store/a", "--create", "--as", "1.0"]).exits(0);
    for folder in ["packs", "index", "meta"] {
        for name in [".DS_Store", ".nfs0000000000000001", ".Trash/x"] {
            env.write(&format!("store/{folder}/{name}"), "left by others");
        }
    }
    assert_eq!(env.run(["verify", "./store"]).exits(0).stderr, "");
    env.write("store/packs/Thumbs.db", "left by others");
    let verified = env.run(["verify", "./store", "--json"]).exits(0);
    assert_eq!(verified.document()["findings"], json!([]));
    let warnings: Vec<&str> = verified.stderr.lines().collect();
    assert!(warnings.len() == 1 && warnings[0].contains("packs/Thumbs.db"), "{warnings:?}");
    let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
    let _ = env.run(["doctor", "./store"]).exits(0);
    assert!(env.path("store/packs/Thumbs.db").exists());
    // The name alone doesn't excuse an object.
    let mut packs = fs::read_dir(env.path("store/packs")).unwrap().map(|entry| entry.unwrap().path());
    let pack = packs.find(|path| path.to_str().unwrap().contains("/packs/0")).unwrap();
    fs::rename(&pack, pack.with_file_name("copy-of-it")).unwrap();
    let _ = env.run(["verify", "./store"]).exits(5);
    let doctor = env.run(["doctor", "./store", "--json"]).exits(5);
    assert!(doctor.stdout.contains("is missing"), "{}", doctor.stdout);
}
