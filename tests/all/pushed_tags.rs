//! A push sends the tags that were set here, and leaves alone what others did to theirs.

use serde_json::Value;

use crate::env::TestEnv;

/// A store with the versions 1.0 and 2.0 of a dataset, the tag `prod` at 2.0, and a clone of it.
fn cloned() -> TestEnv {
    let env = TestEnv::new();
    for (number, tag) in [("1.0", "first"), ("2.0", "prod")] {
        env.write("data/file", number);
        let command = ["ingest", "data", "--into", "./s/a", "--create", "--as", number, "--tag", tag];
        let _ = env.run(command).exits(0);
    }
    let _ = env.run(["clone", "./s/a", "clone"]).exits(0);
    env
}

fn in_clone(env: &TestEnv, command: &[&str]) -> crate::env::Outcome {
    env.run_with("clone", command.iter().copied(), b"")
}

/// Commits in the clone and pushes; what became of the tag `prod`, `null` where it wasn't sent.
fn push(env: &TestEnv, content: &str, code: i32) -> Value {
    env.write("clone/file", content);
    let _ = in_clone(env, &["commit", "-a"]).exits(0);
    let document = in_clone(env, &["push", "--json"]).exits(code).document();
    let rows = document["refs"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["name"] == "main" && row["outcome"] == "moved"), "{document}");
    rows.iter().find(|row| row["name"] == "prod").map_or(Value::Null, |row| row["outcome"].clone())
}

/// The id of the version that a reference in the store stands for; `null` where there is none.
fn at(env: &TestEnv, reference: &str) -> Value {
    let shown = env.run(["show", &format!("./s/a@{reference}"), "--json"]);
    if shown.code == Some(0) { shown.document()["version"].clone() } else { Value::Null }
}

#[test]
fn a_tag_that_others_moved_back_or_deleted_stays_so() {
    let env = cloned();
    let _ = env.run(["tag", "./s/a@1.0", "prod"]).exits(0);
    assert_eq!(push(&env, "3", 0), "behind");
    assert_eq!(at(&env, "prod"), at(&env, "1.0"));
    let _ = env.run(["tag", "-d", "./s/a", "prod"]).exits(0);
    for content in ["4", "5"] {
        assert_eq!(push(&env, content, 0), Value::Null);
        let _ = in_clone(&env, &["fetch"]).exits(0);
        assert_eq!(at(&env, "prod"), Value::Null);
    }
    // Whoever asks for it gets it.
    let _ = in_clone(&env, &["push", "origin", "prod"]).exits(0);
    assert_eq!(at(&env, "prod"), at(&env, "2.0"));
}

#[test]
fn a_fetch_follows_a_tag_that_nobody_moved_here() {
    let env = cloned();
    let _ = env.run(["tag", "./s/a@1.0", "prod"]).exits(0);
    let _ = in_clone(&env, &["pull"]).exits(0);
    let here = |env: &TestEnv| in_clone(env, &["show", "prod", "--json"]).json()["version"].clone();
    assert_eq!(here(&env), at(&env, "1.0"));
    assert_eq!(push(&env, "3", 0), "same");
    // What was moved here since isn't taken back by what stands there.
    let _ = in_clone(&env, &["tag", "prod", "2.0"]).exits(0);
    let _ = in_clone(&env, &["fetch"]).exits(0);
    assert_eq!(here(&env), at(&env, "2.0"));
    assert_eq!(push(&env, "4", 0), "moved");
    assert_eq!(at(&env, "prod"), at(&env, "2.0"));
}

#[test]
fn a_tag_that_was_set_here_goes_along_and_one_that_both_moved_is_refused() {
    let env = cloned();
    env.write("clone/file", "3");
    let _ = in_clone(&env, &["commit", "-a"]).exits(0);
    let _ = in_clone(&env, &["tag", "prod", "main"]).exits(0);
    assert_eq!(push(&env, "4", 0), "moved");
    assert_eq!(push(&env, "5", 0), "same");

    let _ = in_clone(&env, &["tag", "prod", "main"]).exits(0);
    let _ = env.run(["tag", "./s/a@2.0", "prod"]).exits(0);
    env.write("clone/file", "6");
    let _ = in_clone(&env, &["commit", "-a"]).exits(0);
    let refused = in_clone(&env, &["push"]).exits(4);
    assert!(
        refused.stderr.contains("moved there too") && refused.stderr.contains("push REMOTE prod"),
        "{}",
        refused.stderr
    );
    assert_eq!(at(&env, "prod"), at(&env, "2.0"));
    // To have seen it there is no reason to undo it.
    let _ = in_clone(&env, &["fetch"]).exits(0);
    let _ = in_clone(&env, &["push"]).exits(4);
    assert_eq!(at(&env, "prod"), at(&env, "2.0"));
    let _ = in_clone(&env, &["push", "origin", "prod"]).exits(0);
    assert_ne!(at(&env, "prod"), at(&env, "2.0"));
}

#[test]
fn a_fetch_leaves_a_tag_that_was_moved_here_alone() {
    let env = cloned();
    let _ = in_clone(&env, &["tag", "prod", "1.0"]).exits(0);
    let said = in_clone(&env, &["fetch"]).exits(0).stdout;
    assert!(said.contains("tag prod stays here at"), "{said}");
    let here = in_clone(&env, &["show", "prod", "--json"]).json()["version"].clone();
    assert_eq!(here, at(&env, "1.0"));
    let _ = in_clone(&env, &["push", "origin", "prod"]).exits(0);
    assert_eq!(at(&env, "prod"), at(&env, "1.0"));
}
