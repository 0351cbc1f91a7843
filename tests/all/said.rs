//! What is said of versions and datasets goes along with push, fetch and copy: published, metadata, protection.

use serde_json::json;

use crate::env::Outcome;
use crate::life::Life;

/// `set` with a tag on 1.0, and a clone of it in `clone`.
fn cloned() -> Life {
    let life = Life::new();
    life.run("tag ./store/set@1.0 prod").text();
    life.run("clone ./store/set clone").text();
    life
}

fn in_clone(life: &Life, line: &str) -> Outcome {
    life.0.run_with("clone", line.split(' '), b"")
}

/// What is said of the dataset `address` and its version 1.0.
#[track_caller]
fn said(life: &Life, address: &str) -> serde_json::Value {
    let shown = life.json(&format!("show {address}@1.0"));
    let dataset = life.json(&format!("meta list {address}"));
    json!([shown["published"], shown["protected_tags"], shown["meta"]["quality"], dataset["meta"]["task"]])
}

fn all_said() -> serde_json::Value {
    json!([true, ["prod"], "good", "detection"])
}

#[test]
fn a_push_says_over_there_what_was_said_later_here() {
    let life = cloned();
    in_clone(&life, "publish 1.0").text();
    in_clone(&life, "meta set 1.0 quality=good").text();
    in_clone(&life, "meta set . task=detection").text();
    in_clone(&life, "tag --protect prod").text();
    let before = life.newest();
    let planned = in_clone(&life, "push --dry-run --json").json();
    assert_eq!((planned["published"].clone(), planned["metadata"].clone()), (json!(1), json!(2)), "{planned}");
    assert_eq!(life.newest(), before);
    let pushed = in_clone(&life, "push").text();
    assert!(pushed.contains("tag prod is protected now"), "{pushed}");
    assert!(pushed.contains("1 version published, 2 values of metadata"), "{pushed}");
    assert_eq!(said(&life, "./store/set"), all_said());
    assert_eq!(life.newest(), before + 1, "one record");
    assert_eq!(in_clone(&life, "push").text(), "everything is there already\n");
    assert_eq!(life.newest(), before + 1);
}

#[test]
fn a_fetch_brings_what_was_said_over_there() {
    let life = cloned();
    life.run("publish ./store/set@1.0").text();
    life.run("meta set ./store/set@1.0 quality=good").text();
    life.run("meta set ./store/set task=detection").text();
    life.run("tag --protect ./store/set prod").text();
    let fetched = in_clone(&life, "fetch --json").json();
    assert_eq!((fetched["published"].clone(), fetched["metadata"].clone()), (json!(1), json!(2)), "{fetched}");
    assert!(fetched["refs"].as_array().unwrap().iter().any(|row| row["outcome"] == "protected"), "{fetched}");
    assert_eq!(said(&life, "./clone//set"), all_said());
    let again = in_clone(&life, "fetch").text();
    assert!(again.contains("nothing new at origin"), "{again}");
    let refused = in_clone(&life, "tag prod 1.1").exits(4);
    assert!(refused.stderr.contains("is protected"), "{}", refused.stderr);
}

#[test]
fn metadata_that_differs_stays_and_is_told() {
    let life = cloned();
    life.run("meta set ./store/set@1.0 quality=good").text();
    in_clone(&life, "meta set 1.0 quality=bad").text();
    let before = life.newest();
    let pushed = in_clone(&life, "push --json").exits(0);
    assert!(pushed.stderr.contains("metadata quality of version 1.0 is another one at origin"), "{}", pushed.stderr);
    let rows = pushed.document()["differing"].clone();
    let version = life.json("show ./store/set@1.0")["version"].clone();
    assert_eq!(rows, json!([{"version": version, "key": "quality", "here": "bad", "there": "good"}]));
    assert_eq!((life.newest(), said(&life, "./store/set")[2].clone()), (before, json!("good")));
    let fetched = in_clone(&life, "fetch --json").exits(0);
    assert_eq!(fetched.document()["differing"], rows, "here and there are the same two, whichever way it goes");
    // The command that the warning names.
    let hint = fetched.stderr.split('`').nth(1).unwrap().replace("VALUE", "good");
    in_clone(&life, hint.strip_prefix("dagset ").unwrap()).text();
    assert_eq!(in_clone(&life, "push --json").json()["differing"], json!([]));
}

#[test]
fn no_push_unprotects_a_tag_in_passing() {
    let life = cloned();
    life.run("tag --protect ./store/set prod").text();
    for push in ["push", "push origin prod"] {
        in_clone(&life, push).text();
        assert_eq!(said(&life, "./store/set")[1], json!(["prod"]), "{push}");
    }
}

#[test]
fn a_copy_is_published_and_protected_as_what_it_copies() {
    let life = Life::new();
    life.run("tag ./store/set@1.0 prod --protect").text();
    life.run("publish ./store/set@1.0").text();
    life.run("meta set ./store/set@1.0 quality=good").text();
    life.run("meta set ./store/set task=detection").text();
    life.run("store create ./other").text();
    for to in ["./store/copy", "./other/copy"] {
        life.run(&format!("dataset copy ./store/set {to}")).text();
        assert_eq!(said(&life, to), all_said(), "{to}");
    }
    let kept = life.run("dataset delete ./store/copy --yes").exits(4);
    assert!(kept.stderr.contains("a version of copy is published"), "{}", kept.stderr);
}

#[test]
fn much_metadata_comes_in_several_records() {
    let life = Life::new();
    let values: Vec<String> = (0..20).map(|key| format!("key{key}={}", "x".repeat(30_000))).collect();
    life.run(&format!("meta set ./store/set {}", values.join(" "))).text();
    let before = life.newest();
    life.run("dataset copy ./store/set ./store/copy").text();
    assert_eq!(life.newest(), before + 3, "8 values of 30 kB in each");
    let meta = life.json("meta list ./store/copy")["meta"].clone();
    assert_eq!(meta, life.json("meta list ./store/set")["meta"]);
    assert_eq!(meta.as_object().unwrap().len(), 20);
    // One undo takes back what one command did, whichever of its records is named; and what it deleted comes back whole.
    for number in [before + 1, before + 3] {
        life.run(&format!("undo ./store {number}")).text();
        let _ = life.run("log ./store/copy").exits(3);
        life.run(&format!("undo ./store {}", life.newest())).text();
        assert_eq!(life.json("meta list ./store/copy")["meta"], meta);
    }
    life.run("undo ./store").text();
    let _ = life.run("log ./store/copy").exits(3);
    life.run(&format!("undo ./store {}", life.newest())).text();
    life.run("meta set ./store/copy key1=mine").text();
    let refused = life.run(&format!("undo ./store {}", before + 3)).exits(4);
    assert!(refused.stderr.contains("stands on it"), "{}", refused.stderr);
}
