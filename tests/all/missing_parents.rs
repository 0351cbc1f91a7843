//! Merges in a store that lacks parents of their parents: what they had in common isn't guessed.

use crate::env::TestEnv;

/// `a`, whose branches b1 and b2 each merged a version of `c`; the later one of these deleted `f`.
fn merged_twice() -> TestEnv {
    let env = TestEnv::new();
    env.write("a/a", "a");
    env.write("c/f", "1");
    env.write("c/g", "1");
    env.run("ingest a --into ./s/a --create --as 1".split(' ')).text();
    env.run("ingest c --into ./s/c --create --as 1".split(' ')).text();
    env.run("merge ./s/a@1 ./s/c@1 --branch b1".split(' ')).text();
    std::fs::remove_file(env.path("c/f")).unwrap();
    env.run("ingest c --into ./s/c --as 2".split(' ')).text();
    env.run("merge ./s/a@1 ./s/c@2 --branch b2".split(' ')).text();
    env
}

fn has_f(env: &TestEnv, address: &str) -> bool {
    let listed = env.run(["ls", "--json", address]).json();
    listed["entries"].as_array().unwrap().iter().any(|entry| entry["path"] == "f")
}

#[test]
fn a_clone_that_lacks_them_merges_once_they_were_fetched() {
    let env = merged_twice();
    env.run(["clone", "./s/a", "cl"]).text();
    let here = |line: &str| env.run_with("cl", line.split(' '), b"");
    here("switch b1").text();
    let refused = here("merge origin/b2").exits(4);
    for said in ["(c@", "isn't in this store", "remote add NAME STORE/c", "--allow-missing"] {
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    assert!(env.path("cl/f").exists());
    here("remote add c ../s/c").text();
    here("fetch c").text();
    here("merge origin/b2").text();
    assert!(!env.path("cl/f").exists() && env.path("cl/g").exists());
    here("why :g").text();
}

#[test]
fn who_says_so_merges_without_them() {
    let env = merged_twice();
    env.run(["clone", "./s/a", "cl"]).text();
    let here = |line: &str| env.run_with("cl", line.split(' '), b"");
    here("switch b1").text();
    here("merge origin/b2 --allow-missing").text();
    assert!(env.path("cl/f").exists());
    // It came from the very version that isn't here.
    let told = here("why :f").exits(0);
    for said in ["the merge may have seen more", "isn't in this store: what it had at f isn't known"] {
        assert!(told.stderr.contains(said), "{}", told.stderr);
    }
}

#[test]
fn a_deleted_dataset_is_named_and_its_return_is_the_way_on() {
    let env = merged_twice();
    env.run("dataset delete ./s/c --yes --force".split(' ')).text();
    let deletion = env.run(["oplog", "./s", "--json"]).json()["records"][0]["record"].to_string();
    let merge = || env.run("merge ./s/a@b1 ./s/a@b2 --branch out".split(' '));
    let refused = merge().exits(4);
    assert!(refused.stderr.contains(&format!("went with c, deleted by record {deletion}")), "{}", refused.stderr);
    env.run(["undo", "./s", &deletion]).text();
    merge().text();
    assert!(!has_f(&env, "./s/a@out"));
}

#[test]
fn one_that_only_one_side_came_from_hides_nothing() {
    let env = merged_twice();
    env.write("a/new", "n");
    env.run("ingest a --into ./s/a --as 2".split(' ')).text();
    env.run("dataset delete ./s/c --yes --force".split(' ')).text();
    let merged = env.run("merge ./s/a@main ./s/a@b1 --branch out --json".split(' ')).exits(0);
    assert!(has_f(&env, "./s/a@out"));
    let warning = merged.document()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("(c@1)") && warning.contains("went with c, deleted by record"), "{warning}");
    assert!(merged.stderr.contains(&warning), "{}", merged.stderr);
}

#[test]
fn one_that_both_sides_came_from_by_the_same_version_hides_nothing() {
    let env = merged_twice();
    env.run("dataset delete ./s/c --yes --force".split(' ')).text();
    for name in ["x", "y"] {
        env.write(&format!("{name}/{name}"), name);
        env.run(["ingest", name, "--into", "./s/a", "--branch", name, "--parent", "b1"]).text();
    }
    let merged = env.run("merge ./s/a@x ./s/a@y --branch out --json".split(' ')).exits(0);
    assert_eq!(merged.document()["warnings"], serde_json::json!([]));
    assert!(!has_f(&env, "./s/a@out"));
}
