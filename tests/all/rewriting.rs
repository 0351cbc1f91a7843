//! `squash` and `revert`: a version in the place of several, and one against another.

use serde_json::json;

use crate::life::Life;

#[test]
fn a_squash_has_the_content_of_the_last_and_the_first_as_its_parent() {
    let life = Life::new();
    let planned = life.json("squash ./store/set@1.0..main --as 2.0 --dry-run");
    assert_eq!((planned["version"].clone(), planned["dry_run"].clone()), (json!(null), json!(true)));
    let said = life.json("squash ./store/set@1.0..main --as 2.0");
    let replaced: Vec<_> = said["replaced"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!((replaced, said["branches"].clone()), (vec![json!("1.2"), json!("1.1")], json!(["main"])));
    let made = life.json("show ./store/set");
    assert_eq!(made["name"], "2.0");
    assert_eq!(made["parents"], json!([life.json("show ./store/set@1.0")["version"]]));
    assert_eq!(made["manifest"], life.json("show ./store/set@1.2")["manifest"]);
    assert_eq!((made["message"].clone(), life.files("set").len()), (json!("squash of 1.1, 1.2"), 3));
    life.run("undo ./store").text();
    assert_eq!(life.at("set"), "1.2");
    life.run("verify ./store").text();
}

#[test]
fn the_log_tells_a_squash_from_a_commit() {
    let life = Life::new();
    let _ = life.run("squash ./store/set@1.0..main --as 2.0").exits(0);
    assert_eq!(life.done(1), ["put 2.0 in the place of 1.2 on main of set"]);
}

#[test]
fn a_squash_inside_history_moves_no_branch() {
    let life = Life::new();
    life.publish("set", "1.3", &[("a", "3")]);
    let said = life.run("squash ./store/set@1.0..1.2 --as side").exits(0);
    assert!(said.stdout.contains("replaces 2 versions: 1.2, 1.1"), "{}", said.stdout);
    assert_eq!((life.at("set"), life.files("set@side").len()), ("1.3".to_owned(), 3));
}

#[test]
fn what_cannot_be_squashed_is_refused_and_nothing_written() {
    let life = Life::new();
    let before = life.newest();
    for (range, code, why) in [
        ("1.1..1.0", 2, "doesn't come from"),
        ("1.0..1.0", 2, "doesn't come from"),
        ("1.0", 2, "not A..B"),
        ("1.0..", 2, "not A..B"),
        ("1.0..nothing", 3, "no version name"),
    ] {
        let refused = life.run(&format!("squash ./store/set@{range} --as 2.0")).exits(code);
        assert!(refused.stderr.contains(why), "{range}: {}", refused.stderr);
    }
    let taken = life.run("squash ./store/set@1.0..main --as main").exits(4);
    assert!(taken.stderr.contains("taken"), "{}", taken.stderr);
    assert_eq!(life.newest(), before);
}

#[test]
fn a_workspace_stays_clean_when_its_branch_is_squashed() {
    let life = Life::new();
    let run = |line: &str| life.0.run_with("here", line.split(' '), b"");
    life.run("init here --dataset set --store ./store").text();
    run("switch main").text();
    run("squash 1.0..main --as 2.0").text();
    let status = run("status --json").json();
    assert_eq!((status["base_name"].clone(), status["behind"].clone()), (json!("2.0"), json!(false)));
    run("revert 2.0 -m back").text();
    assert_eq!(std::fs::read_to_string(life.0.path("here/a")).unwrap(), "1");
    assert!(!life.0.path("here/c").exists());
    assert_eq!(run("status --json").json()["modified"], json!([]));
}

#[test]
fn a_revert_takes_back_what_one_version_changed_and_keeps_the_rest() {
    let life = Life::new();
    let said = life.json("revert ./store/set@1.1 --as 1.3");
    assert_eq!((said["name"].clone(), said["changed"].clone()), (json!("1.3"), json!(true)));
    assert_eq!(life.files("set"), ["a=1", "b=1", "c=1"]);
    let made = life.json("show ./store/set");
    assert_eq!(made["message"], "revert 1.1");
    assert_eq!(made["parents"], json!([life.json("show ./store/set@1.2")["version"]]));
    assert_eq!(made["meta"]["revert.version"], life.json("show ./store/set@1.1")["version"]);
    // The newest one: what was before it. And what was reverted is back when that is reverted.
    life.run("revert ./store/set@1.3").text();
    assert_eq!(life.files("set"), ["a=2", "b=1", "c=1"]);
}

#[test]
fn what_changed_again_since_is_a_conflict_as_in_a_merge() {
    let life = Life::new();
    life.publish("set", "1.3", &[("a", "3"), ("b", "1"), ("c", "1")]);
    let before = life.newest();
    let said = life.run("revert ./store/set@1.1 --json").exits(4).document();
    assert_eq!((said["unresolved"].clone(), said["conflicts"][0]["path"].clone()), (json!(1), json!("a")));
    let sides: Vec<_> =
        said["conflicts"][0]["parents"].as_array().unwrap().iter().map(|it| it["ref"].clone()).collect();
    assert_eq!(sides, ["main", "before 1.1"]);
    assert_eq!(life.newest(), before);
    life.run("revert ./store/set@1.1 --on-conflict last").text();
    assert_eq!(life.files("set"), ["a=1", "b=1", "c=1"]);
}

#[test]
fn a_revert_needs_something_to_go_back_to() {
    let life = Life::new();
    let first = life.run("revert ./store/set@1.0").exits(2);
    assert!(first.stderr.contains("is a first one"), "{}", first.stderr);
    life.run("branch ./store/set@1.0 old").text();
    let elsewhere = life.run("revert ./store/set@1.1 --branch old").exits(4);
    assert!(elsewhere.stderr.contains("isn't in the history of the branch old"), "{}", elsewhere.stderr);
    life.0.write("source/d", "1");
    life.run("ingest source --into ./store/set --branch old").text();
    life.run("merge ./store/set@old --branch main --on-conflict first --as merged").text();
    let merged = life.run("revert ./store/set@merged").exits(2);
    assert!(merged.stderr.contains("merges 2 parents"), "{}", merged.stderr);
    life.run("revert ./store/set@merged --parent 1").text();
    assert_eq!(life.files("set"), ["a=2", "b=1", "c=1"]);
}

#[test]
fn what_was_merged_between_stays_a_parent_so_that_the_next_merge_knows_what_was_deleted() {
    let life = Life::new();
    life.publish("other", "1", &[("x", "1"), ("y", "1")]);
    life.run("merge ./store/set@main ./store/other@1:=o/ --branch main --as 1.3").text();
    life.0.run(["get", "./store/set@1.3", "tree"]).text();
    std::fs::remove_file(life.0.path("tree/o/x")).unwrap();
    life.run("ingest tree --into ./store/set --as 1.4").text();
    let planned = life.json("squash ./store/set@1.0..main --as 2.0 --dry-run");
    let said = life.json("squash ./store/set@1.0..main --as 2.0");
    assert_eq!((&said["merged"][0]["name"], &planned["merged"]), (&json!("1"), &said["merged"]));
    let made = life.json("show ./store/set");
    assert_eq!(made["roles"], json!(["", "other@1:=o/"]));
    life.publish("other", "2", &[("x", "1"), ("y", "2")]);
    life.run("merge ./store/set@main ./store/other@2:=o/ --branch main --as 2.1").text();
    assert_eq!(life.files("set"), ["a=2", "b=1", "c=1", "o/y=2"]);
}

#[test]
fn a_branch_that_was_merged_between_stays_a_parent() {
    let life = Life::new();
    life.run("branch ./store/set@1.0 side").text();
    life.0.write("tree/a", "1");
    life.0.write("tree/b", "1");
    life.0.write("tree/d", "1");
    life.run("ingest tree --into ./store/set --branch side --as s1").text();
    life.run("merge ./store/set@main ./store/set@side --branch main --as 1.3").text();
    life.publish("set", "1.4", &[("a", "2"), ("b", "1"), ("c", "1")]);
    let said = life.run("squash ./store/set@1.0..main --as 2.0").exits(0);
    assert!(said.stdout.contains("and what was merged on the way: s1"), "{}", said.stdout);
    assert!(said.stdout.contains("replaces 4 versions: 1.4, 1.3, 1.2, 1.1"), "{}", said.stdout);
    life.0.write("tree/b", "2");
    life.run("ingest tree --into ./store/set --branch side --as s2").text();
    life.run("merge ./store/set@main ./store/set@side --branch main").text();
    assert_eq!(life.files("set"), ["a=2", "b=2", "c=1"]);
}
