//! Datasets as wholes: renamed, deleted, brought back, copied; and branches that are deleted.

use std::fs;

use serde_json::json;

use crate::life::Life;
use crate::machine::{FAR, Machine, address};

#[test]
fn a_branch_is_deleted_unless_versions_would_be_lost_from_sight() {
    let life = Life::new();
    life.run("branch ./store/set@1.0 fixes").text();
    life.run("branch -d ./store/set fixes").text();
    let ingest = "ingest source --into ./store/set --branch side --parent 1.0";
    life.0.write("source/d", "1");
    life.run(ingest).text();
    let refused = life.run("branch -d ./store/set side --json").exits(4).document();
    let said = "1 version would be on no other branch, tag or name than side";
    assert_eq!(refused["error"]["message"], said);
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--force"), "{refused}");
    let head = life.json("show ./store/set@side")["version"].clone();
    life.run("branch -d ./store/set side --force").text();
    let _ = life.run("show ./store/set@side").exits(3);
    life.run("undo ./store").text();
    assert_eq!(life.json("show ./store/set@side")["version"], head);
    life.run("tag ./store/set@side kept").text();
    life.run("branch -d ./store/set side").text();
}

#[test]
fn a_renamed_dataset_is_found_from_its_old_name() {
    let life = Life::new();
    let said = life.json("dataset rename ./store/set team/signs");
    assert_eq!((said["from"].clone(), said["dataset"].clone()), (json!("set"), json!("team/signs")));
    assert_eq!(life.at("team/signs"), "1.2");
    let gone = life.run("log ./store/set --json").exits(3).document();
    assert_eq!(gone["error"]["message"], "the dataset set is called team/signs since record 4 of the log");
    assert_eq!(gone["error"]["hint"], "write ./store//team/signs");
    for (line, hint) in [
        ("get ./store/set copy", "write ./store//team/signs"),
        ("clone ./store/set copy", "`dagset clone ./store//team/signs`"),
    ] {
        let gone = life.run(&format!("{line} --json")).exits(3).document();
        assert_eq!(
            gone["error"]["message"], "the dataset set is called team/signs since record 4 of the log",
            "{line}"
        );
        assert_eq!(gone["error"]["hint"], hint, "{line}");
    }
    life.run("clone ./store//team/signs copy").text();
    let _ = life.run("dataset rename ./store/team/signs bad@name").exits(2);
    life.publish("set", "1", &[("x", "x")]);
    let taken = life.run("dataset rename ./store/team/signs set").exits(4);
    assert!(taken.stderr.contains("exists already"), "{}", taken.stderr);
    assert_eq!(life.json("oplog ./store/team/signs")["records"].as_array().unwrap().len(), 4, "its old name's too");
    life.run("dataset rename ./store/set other").text();
    life.run("undo ./store 4").text();
    assert_eq!(life.at("set"), "1.2");
}

#[test]
fn a_deleted_dataset_is_brought_back_whole() {
    let life = Life::new();
    life.run("tag ./store/set@1.0 prod").text();
    let refused = life.run("dataset delete ./store/set").exits(2);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    let planned = life.json("dataset delete ./store/set --dry-run");
    assert_eq!((planned["versions"].clone(), planned["record"].clone()), (json!(3), json!(null)));
    assert_eq!(life.json("dataset delete ./store/set --yes")["record"], 5);
    assert_eq!(life.json("list ./store")["datasets"], json!([]));
    let gone = life.run("cat ./store/set:a --json").exits(3).document();
    assert_eq!(gone["error"]["message"], "the dataset set was deleted by record 5 of the log");
    assert_eq!(gone["error"]["hint"], "`dagset undo ./store 5` brings it back");
    life.run("verify ./store").text();
    life.publish("set", "1", &[("x", "x")]);
    let taken = life.run("undo ./store 5").exits(4);
    assert!(taken.stderr.contains("another dataset is called set by now"), "{}", taken.stderr);
    life.run("dataset rename ./store/set other").text();
    life.run("undo ./store 5").text();
    assert_eq!((life.at("set"), life.at("set@prod")), ("1.2".to_owned(), "1.0".to_owned()));
    assert_eq!(life.files("set@1.1"), ["a=2", "b=1"]);
    assert_eq!(life.files("other"), ["x=x"]);
    // The log is long enough now for a state that holds what is set aside.
    life.run("dataset delete ./store/other --yes").text();
    for round in 0..20 {
        life.run(&format!("tag ./store/set@1.{} prod", round % 3)).text();
        life.run(&format!("tag ./store/set@1.{} next", round % 3)).text();
    }
    let deletion = life.json("oplog ./store/other")["records"][0]["record"].as_u64().unwrap();
    life.run(&format!("undo ./store {deletion}")).text();
    assert_eq!(life.files("other"), ["x=x"]);
}

#[test]
fn a_dataset_that_others_build_on_is_deleted_only_by_force() {
    let life = Life::new();
    life.publish("other", "1", &[("x", "x")]);
    life.run("merge ./store/other@1 ./store/set@1.2 --branch main").text();
    let refused = life.run("dataset delete ./store/set --yes").exits(4);
    assert!(refused.stderr.contains("versions of other build on versions of set"), "{}", refused.stderr);
    let said = life.json("dataset delete ./store/set --yes --force");
    assert_eq!(said["used_by"], json!(["other"]));
    assert_eq!(life.files("other"), ["a=2", "b=1", "c=1", "x=x"]);
}

#[test]
fn a_copy_inside_a_store_sends_no_content() {
    let machine = Machine::with_store();
    machine.publish("set", 3);
    let copied = |to: &str| machine.run(|engine| engine.copy_dataset(&address(&format!("{FAR}//set")), &address(to)));
    let (report, cost) = copied(&format!("{FAR}//copy"));
    assert_eq!((report.versions, cost.puts), (3, 1), "one record");
    assert_eq!(report.new_bytes, 0);
    let (again, cost) = copied(&format!("{FAR}//copy"));
    assert_eq!((again.versions, cost.puts), (0, 0), "there already");
}

/// Of each version of a dataset what isn't about the store that it is in.
fn told(life: &Life, dataset: &str) -> Vec<String> {
    let log = life.json(&format!("log {dataset}"));
    let keys = ["version", "name", "branches", "tags", "parents", "author", "message"];
    let versions = log["versions"].as_array().unwrap().iter();
    versions.map(|version| keys.map(|key| version[key].to_string()).join(" ")).collect()
}

#[test]
fn a_copy_has_versions_names_and_tags_and_goes_its_own_way() {
    let life = Life::new();
    life.run("tag ./store/set@1.1 prod").text();
    life.run("store create ./other").text();
    for to in ["./store/copy", "./other/copy"] {
        let said = life.json(&format!("dataset copy ./store/set {to}"));
        assert_eq!((said["versions"].clone(), said["refs"].clone()), (json!(3), json!(5)), "{said}");
        assert_eq!(told(&life, to), told(&life, "./store/set"), "{to}");
    }
    life.run("dataset copy ./store/set@1.1 ./other/part").text();
    assert_eq!(life.json("log ./other/part")["versions"].as_array().unwrap().len(), 2);
    fs::rename(life.0.path("store"), life.0.path("away")).unwrap();
    life.run("verify ./other").text();
    assert_eq!(life.run("cat ./other/copy:a").text(), "2");
    fs::rename(life.0.path("away"), life.0.path("store")).unwrap();
    life.publish("copy", "2.0", &[("z", "z")]);
    let refused = life.run("dataset copy ./store/set ./store/copy").exits(4);
    assert!(refused.stderr.contains("versions of its own"), "{}", refused.stderr);
}

#[test]
fn workspaces_and_clones_of_a_dataset_that_moved_say_what_to_do() {
    let life = Life::new();
    let run = |folder: &str, line: &str| life.0.run_with(folder, line.split(' '), b"");
    life.run("init here --dataset set --store ./store").text();
    run("here", "switch main").text();
    life.run("clone ./store/set clone").text();
    life.run("dataset rename ./store/set signs").text();
    let lost = run("here", "status").exits(3);
    assert!(lost.stderr.contains("`dagset dataset use signs`"), "{}", lost.stderr);
    run("here", "dataset use signs").text();
    run("here", "status").text();
    let root = life.0.path("store");
    for command in ["fetch", "push"] {
        let lost = run("clone", command).exits(3);
        let hint = format!("`dagset remote add origin {}//signs`", root.display());
        assert!(lost.stderr.contains(&hint), "{}", lost.stderr);
    }
    // Whoever renames in a workspace goes along.
    run("here", "dataset rename signs set").text();
    run("here", "status").text();
    run("clone", "fetch").text();
    life.run("dataset delete ./store/set --yes").text();
    for (folder, command) in [("here", "commit -a -m x"), ("clone", "push"), ("clone", "fetch")] {
        let lost = run(folder, command).exits(3);
        assert!(
            lost.stderr.contains("was deleted by record") && lost.stderr.contains("dagset undo"),
            "{}",
            lost.stderr
        );
    }
    run("here", "undo").text();
    run("here", "status").text();
    let _ = run("here", "dataset use nothing").exits(3);
}
