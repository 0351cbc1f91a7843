//! The first `switch` in a clone: to a branch that only a remote has, and to content that was left out.

use serde_json::{Value, json};

use crate::env::{Outcome, TestEnv};

/// A store with 1.0 and, on `main`, 1.1; and what a clone of it, made with `arguments`, said.
fn clone_of(address: &str, arguments: &[&str]) -> (TestEnv, String) {
    let env = TestEnv::new();
    let _ = env.run(["store", "create", "./store"]).exits(0);
    for (name, text) in [("1.0", "one"), ("1.1", "two")] {
        env.write("source/file", text);
        let _ = env.run(["ingest", "source", "--into", "./store/signs", "--as", name, "--create"]).exits(0);
    }
    let said = env.run([&["clone", address, "copy"][..], arguments].concat()).text();
    (env, said)
}

fn in_copy(env: &TestEnv, arguments: &[&str]) -> Outcome {
    env.run([&["-C", "copy"][..], arguments].concat())
}

fn file(env: &TestEnv) -> Option<String> {
    std::fs::read_to_string(env.path("copy/file")).ok()
}

fn parts(document: &Value, keys: &[&str]) -> Value {
    keys.iter().map(|key| document[key].clone()).collect()
}

#[test]
fn a_branch_that_one_remote_has_is_made_by_switching_to_it() {
    let (env, _) = clone_of("./store/signs@1.0", &[]);
    assert_eq!(file(&env).as_deref(), Some("one"));
    let said = in_copy(&env, &["switch", "main"]).text();
    assert_eq!(said, "new branch main from origin/main\nat 1.1, on main: 1 path written, 0 removed\n");
    assert_eq!(file(&env).as_deref(), Some("two"));
    env.write("copy/file", "three");
    let _ = in_copy(&env, &["commit", "-a", "--as", "1.2"]).exits(0);
    assert!(in_copy(&env, &["status"]).text().contains("1 version ahead of origin/main"));

    let _ = in_copy(&env, &["switch", "fixes"]).exits(3);
    let _ = env.run(["branch", "./store/signs@1.0", "fixes"]).exits(0);
    let _ = in_copy(&env, &["switch", "fixes"]).exits(3);
    let _ = in_copy(&env, &["fetch"]).exits(0);
    let switched = in_copy(&env, &["switch", "fixes", "--json"]).json();
    assert_eq!(parts(&switched, &["branch", "name", "made_from"]), json!(["fixes", "1.0", "origin/fixes"]));
    let again = in_copy(&env, &["switch", "main", "--json"]).json();
    assert_eq!(parts(&again, &["branch", "name", "made_from"]), json!(["main", "1.2", null]));
}

#[test]
fn of_a_branch_that_several_remotes_have_none_is_chosen() {
    let (env, _) = clone_of("./store/signs@1.0", &[]);
    let _ = in_copy(&env, &["remote", "add", "other", "../store//signs"]).exits(0);
    let _ = in_copy(&env, &["fetch", "other"]).exits(0);
    let refused = in_copy(&env, &["switch", "main"]).exits(2).stderr;
    assert!(refused.contains("several remotes have a branch main: origin/main, other/main"), "{refused}");
    assert!(refused.contains("`dagset branch main other/main`"), "{refused}");
    let _ = in_copy(&env, &["branch", "main", "other/main"]).exits(0);
    assert_eq!(in_copy(&env, &["switch", "main", "--json"]).json()["branch"], "main");
}

#[test]
fn a_clone_without_content_says_where_it_is_and_how_to_write_it() {
    for (address, reference, place, text) in [
        ("./store/signs@1.0", "1.0", "on no branch, at 1.0", "one"),
        ("./store/signs", "main", "on main, at 1.1", "two"),
    ] {
        let (env, said) = clone_of(address, &["--no-content"]);
        assert!(said.contains(&format!("next: dagset -C ./copy switch {reference} writes the content")), "{said}");
        let status = in_copy(&env, &["status"]).text();
        assert_eq!(status, format!("signs {place}\nits content isn't here yet; dagset switch {reference} writes it\n"));
        let status = in_copy(&env, &["status", "--json"]).json();
        let name = if text == "one" { "1.0" } else { "1.1" };
        assert_eq!(parts(&status, &["base_name", "without_content", "behind"]), json!([name, true, false]));
        assert!(in_copy(&env, &["log"]).text().contains(name), "no REF is the version that it is at");
        let refused = in_copy(&env, &["restore", "."]).exits(3).stderr;
        assert!(refused.contains(&format!("`dagset switch {reference}` writes it")), "{refused}");
        assert_eq!(file(&env), None);

        let _ = env.run(["-C", "copy", "switch", reference]).exits(0);
        assert_eq!(file(&env).as_deref(), Some(text));
        let status = in_copy(&env, &["status", "--json"]).json();
        assert_eq!(parts(&status, &["base_name", "without_content", "added"]), json!([name, false, []]));
    }
}
