//! `meta`: what is said of datasets and versions, each change a record.

use serde_json::{Value, json};

use crate::env::TestEnv;

fn a_set() -> TestEnv {
    let env = TestEnv::new();
    env.write("data/a", "1");
    let ingest = ["ingest", "data", "--into", "./store/set", "--create", "--as", "1.0", "--meta", "task=detection"];
    env.run([&ingest[..], &["--quiet"]].concat()).text();
    env
}

fn meta(env: &TestEnv, address: &str) -> Value {
    env.run(["meta", "list", address, "--json"]).json()["meta"].clone()
}

fn records(env: &TestEnv) -> usize {
    crate::env::everything_below(&env.path("store/log")).iter().filter(|path| path.is_file()).count()
}

const SET: &str = "./store/set";
const ONE: &str = "./store/set@1.0";

#[test]
fn values_are_typed_and_several_are_one_record() {
    let env = a_set();
    let before = records(&env);
    let pairs = ["description=city lights", "frames=7", "share=0.5", "open=true", "licence=null", "lot=\"007\""];
    let said = env.run([&["meta", "set", SET], &pairs[..]].concat()).text();
    assert_eq!(said, "set 6 values of set\n");
    assert_eq!(records(&env), before + 1);
    let expected = json!({
        "description": "city lights", "frames": 7, "share": 0.5, "open": true, "licence": null, "lot": "007",
    });
    assert_eq!(meta(&env, SET), expected);
    assert_eq!(env.run(["meta", "set", SET, "frames=7"]).text(), "nothing changed: set is so already\n");
    assert_eq!(records(&env), before + 1);
    assert_eq!(env.run(["meta", "get", SET, "description", "frames"]).text(), "city lights\n7\n");
    assert_eq!(env.run(["meta", "get", SET, "frames", "--json"]).json()["meta"], json!({"frames": 7}));
    env.run(["meta", "unset", SET, "frames", "share", "--quiet"]).text();
    assert_eq!(records(&env), before + 2);
    assert_eq!(meta(&env, SET).as_object().unwrap().len(), 4);
    insta::assert_snapshot!(env.run(["meta", "list", SET]).text(), @"
    description  city lights
    licence      null
    lot          007
    open         true
    ");
}

#[test]
fn a_text_of_several_lines_is_shown_in_lines() {
    let env = a_set();
    env.run(["meta", "set", ONE, "note=first\nsecond", "--quiet"]).text();
    insta::assert_snapshot!(env.run(["meta", "list", ONE]).text(), @"
    note  first
          second
    task  detection
    ");
    let shown = env.run(["show", ONE]).text();
    assert!(shown.contains("\n  note  first\n        second\n"), "{shown}");
}

#[test]
fn of_a_version_what_is_set_later_covers_what_it_was_made_with() {
    let env = a_set();
    assert_eq!(meta(&env, ONE), json!({"task": "detection"}));
    assert_eq!(meta(&env, SET), json!({}), "the dataset's is its own");
    env.run(["meta", "set", ONE, "task=tracking", "reviewed=true", "--quiet"]).text();
    let now = json!({"task": "tracking", "reviewed": true});
    assert_eq!(meta(&env, ONE), now);
    assert_eq!(env.run(["show", ONE, "--json"]).json()["meta"], now);
    env.run(["meta", "unset", ONE, "reviewed", "--quiet"]).text();
    insta::assert_snapshot!(env.run(["meta", "unset", ONE, "task"]).snapshot(), @"
    exit: 4
    --- stdout
    --- stderr
    error: ./store/set@1.0 was made with the metadata task, and a version never changes
    hint: `dagset meta set ./store/set@1.0 task=null` covers it
    ");
}

#[test]
fn what_is_not_there_or_can_not_be_is_refused() {
    let env = a_set();
    let refused = |words: &[&str], code: i32| env.run([&["meta"], words].concat()).exits(code).stderr;
    assert!(refused(&["get", SET, "none"], 3).contains("has no metadata none"));
    assert!(refused(&["unset", SET, "none"], 3).contains("`dagset meta list ./store/set` shows all"));
    assert!(refused(&["list", "./store/other"], 3).contains("no dataset other"));
    assert!(refused(&["set", SET, "no pair"], 2).contains("not KEY=VALUE"));
    assert!(refused(&["set", SET, "two words=1"], 2).contains("a key of metadata may hold"));
    assert!(refused(&["set", SET, &format!("k={}", "x".repeat(40 << 10))], 2).contains("too long"));
    assert!(refused(&["list", "./store/set:a"], 2).contains("is a path in one"));
    assert_eq!(meta(&env, SET), json!({}));
}

#[test]
fn in_a_workspace_a_dot_is_the_dataset_and_a_word_a_version() {
    let env = TestEnv::new();
    env.run(["init", "--quiet", "--dataset", "set"]).text();
    env.write("a", "1");
    env.run(["commit", "-a", "--as", "1.0", "--quiet"]).text();
    env.run(["meta", "set", ".", "task=x", "--quiet"]).text();
    env.run(["meta", "set", "1.0", "task=y", "--quiet"]).text();
    assert_eq!(env.run(["meta", "get", ".", "task"]).text(), "x\n");
    assert_eq!(env.run(["meta", "get", "main", "task"]).text(), "y\n");
    assert_eq!(env.run(["meta", "list", "--json"]).json()["meta"], json!({"task": "x"}));
}

#[test]
fn what_says_how_a_version_was_made_is_not_set_by_hand() {
    let env = a_set();
    env.write("data/a", "2");
    let before = records(&env);
    let given = ["merge.rules=**=first", "revert.version=0000"];
    for pair in given {
        let ingest = ["ingest", "data", "--into", SET, "--meta", pair];
        for line in [
            &["meta", "set", SET, pair][..],
            &["meta", "set", ONE, pair],
            &ingest,
            &["use", ONE, "--run", "r", "--meta", pair],
        ] {
            let refused = env.run(line).exits(2);
            assert!(refused.stderr.contains("is dagset's own"), "{line:?}: {}", refused.stderr);
        }
    }
    let _ = env.run(["clone", SET, "work"]).exits(0);
    env.write("work/a", "3");
    let _ = env.run_with("work", ["commit", "-a", "--meta", given[0]], b"").exits(2);
    assert_eq!(records(&env), before);
    assert!(!env.path("store/uses").exists() || crate::env::everything_below(&env.path("store/uses")).is_empty());
    let _ = env.run(["meta", "set", ONE, "merged=true", "revert-of=1"]).exits(0);
}
