//! `oplog` and `undo`: each record of the log is an operation that can be looked at, and taken back.

use serde_json::json;

use crate::env::AUTHOR;
use crate::life::Life;
use crate::machine::{FAR, Machine, address};

#[test]
fn the_log_reads_as_what_was_done() {
    let life = Life::new();
    life.run("tag ./store/set@1.0 prod").text();
    life.run("tag ./store/set@1.1 prod").text();
    life.run("branch ./store/set@1.0 fixes").text();
    life.run("branch -d ./store/set fixes").text();
    let expected = [
        "branch fixes deleted, was at 1.0 of set",
        "branch fixes made at 1.0 of set",
        "tag prod moved from 1.0 to 1.1 of set",
        "tag prod made at 1.0 of set",
        "commit 1.2 to main of set",
        "commit 1.1 to main of set",
        "store created; commit 1.0 to main of set",
    ];
    assert_eq!(life.done(20), expected);
    let text = life.run("oplog ./store/set").text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8, "{text}");
    assert!(lines[0].starts_with("RECORD  TIME") && lines[3].contains("Test Author"), "{text}");
    assert!(expected.iter().zip(&lines[1..]).all(|(expected, line)| line.ends_with(expected)), "{text}");
}

#[test]
fn the_log_is_paged_and_one_record_is_shown_whole() {
    let life = Life::new();
    let page = life.json("oplog ./store -n 2");
    assert_eq!((page["records"][1]["record"].clone(), page["before"].clone()), (json!(2), json!(2)));
    let older = life.json("oplog ./store -n 2 --before 2");
    assert_eq!((older["records"].as_array().unwrap().len(), older["before"].clone()), (1, json!(null)));
    let record = life.json("oplog ./store 2");
    assert_eq!(record["actor"], AUTHOR);
    assert!(record["context"]["command"].as_str().unwrap().starts_with("dagset ingest source"), "{record}");
    let kinds: Vec<_> = record["operations"].as_array().unwrap().iter().map(|it| it["kind"].clone()).collect();
    assert_eq!(kinds, ["registered", "version", "branch", "name"]);
    assert_eq!(record["operations"][1]["parents"][0]["name"], "1.0");
    let text = life.run("oplog ./store 2").text();
    assert!(text.contains("branch main moved from 1.0 to 1.1 of set") && text.contains("tool"), "{text}");
    let missing = life.run("oplog ./store 99").exits(3);
    assert!(missing.stderr.contains("the newest is 3"), "{}", missing.stderr);
    let _ = life.run("oplog ./store/nothing").exits(3);
    let _ = life.run("oplog ./store/set@1.0").exits(2);
}

#[test]
fn the_newest_records_take_one_request_and_older_ones_come_by_32() {
    let machine = Machine::with_store();
    machine.publish("set", 70);
    let place = address(FAR);
    let (_, opening) = machine.run(|engine| engine.list_datasets(FAR, &Default::default()));
    let (page, cost) = machine.run(|engine| engine.oplog(&place, None, 5, true));
    assert_eq!(page.records.len(), 5);
    assert!(cost.requests() <= opening.requests() + 1, "{cost:?}");
    let (page, cost) = machine.run(|engine| engine.oplog(&place, None, usize::MAX, true));
    let records = page.records.len() as u64;
    assert_eq!(page.records.last().map(|record| record.number), Some(1));
    assert!(cost.requests() <= opening.requests() + records / 32 + 2, "{records} records: {cost:?}");
}

#[test]
fn what_moved_goes_back_and_an_undo_undone_is_done_again() {
    let life = Life::new();
    life.run("tag ./store/set@1.0 prod").text();
    life.run("tag ./store/set@1.1 prod").text();
    let undone = life.json("undo ./store");
    assert_eq!((undone["undone"]["record"].clone(), undone["record"].clone()), (json!(5), json!(6)));
    assert_eq!(life.at("set@prod"), "1.0");
    assert_eq!(life.done(1), ["undo of 5: tag prod moved from 1.1 to 1.0 of set"]);
    assert_eq!(life.run("undo ./store/set").text(), "tag prod moved from 1.0 to 1.1 of set\n");
    assert_eq!(life.at("set@prod"), "1.1");
    // A commit: the branch goes back, and the version is found by its id.
    let version = life.json("show ./store/set@1.2")["version"].as_str().unwrap().to_owned();
    life.run("undo ./store 3").text();
    assert_eq!((life.at("set"), life.at(&format!("set@{version}"))), ("1.1".to_owned(), "none".to_owned()));
    life.run("undo ./store").text();
    assert_eq!((life.at("set"), life.at("set@1.2")), ("1.2".to_owned(), "1.2".to_owned()));
    assert_eq!(life.run("verify ./store").exits(0).code, Some(0));
}

#[test]
fn what_newer_records_stand_on_is_not_undone_and_they_are_named() {
    let life = Life::new();
    let before = life.newest();
    let refused = life.run("undo ./store 2 --json").exits(4);
    let said = refused.document();
    assert_eq!(said["error"]["message"], "record 2 can't be undone: what record 3 did stands on it");
    assert!(said["error"]["hint"].as_str().unwrap().contains("dagset undo 3"), "{said}");
    life.run("undo ./store 3 --dry-run").text();
    let all = life.run("undo ./store 1").exits(4);
    assert!(all.stderr.contains("records 3, 2 did"), "{}", all.stderr);
    assert_eq!(life.newest(), before, "nothing was written");
    life.run("undo ./store 3").text();
    life.run("undo ./store 2").text();
    let _ = life.run("undo ./store 1").exits(4);
    assert_eq!(life.at("set"), "1.0");
    let _ = life.run("undo ./store 99").exits(3);
}

#[test]
fn the_first_version_of_a_dataset_undone_takes_the_dataset_along() {
    let life = Life::new();
    life.publish("other", "1", &[("x", "x")]);
    life.run("undo ./store").text();
    let _ = life.run("log ./store/other").exits(3);
    life.run("undo ./store").text();
    assert_eq!(life.files("other@1"), ["x=x"]);
}

#[test]
fn only_ones_own_newest_change_is_undone_unasked() {
    let mut life = Life::new();
    life.0.set("DAGSET_AUTHOR", "Bob <bob@test.example>");
    let nothing = life.run("undo ./store").exits(3);
    assert!(nothing.stderr.contains("Bob"), "{}", nothing.stderr);
    life.run("tag ./store/set@1.0 mine").text();
    life.0.set("DAGSET_AUTHOR", AUTHOR);
    life.run("undo ./store").text();
    assert_eq!((life.at("set"), life.at("set@mine")), ("1.1".to_owned(), "1.0".to_owned()));
}

#[test]
fn in_a_workspace_the_first_commit_undone_leaves_its_files_to_commit_again() {
    let life = Life::new();
    life.0.write("work/a", "1");
    let run = |line: &str| life.0.run_with("work", line.split(' '), b"");
    run("init").text();
    run("commit -a -m first").text();
    run("undo").text();
    let status = run("status --json").json();
    assert_eq!((status["added"].clone(), status["branch"].clone()), (json!(["a"]), json!("main")));
    run("commit -a -m again").text();
    life.0.write("work/a", "2");
    run("commit -a -m second").text();
    let said = run("undo").exits(0);
    assert!(said.stderr.contains("the folder is still version"), "{}", said.stderr);
    run("switch main").text();
    assert_eq!(std::fs::read_to_string(life.0.path("work/a")).unwrap(), "1");
}

#[test]
fn what_a_push_noted_of_the_remote_is_not_what_undo_takes_back() {
    let life = Life::new();
    life.run("clone ./store/set cl").text();
    life.0.write("cl/d", "1");
    let here = |line: &str| life.0.run_with("cl", line.split(' '), b"");
    here("add d").text();
    here("commit -m d --as 1.3").text();
    here("push").text();
    let undone = here("undo --json").json();
    let deeds: Vec<_> = undone["operations"].as_array().unwrap().iter().map(|it| it["kind"].clone()).collect();
    assert!(deeds.contains(&json!("branch")), "{undone}");
    assert_eq!(here("show main --json").json()["name"], "1.2");
    assert_eq!(
        here("show origin/main --json").json()["parents"],
        json!([life.json("show ./store/set@1.2")["version"]])
    );
}

#[test]
fn records_of_bookkeeping_are_left_out_and_counted() {
    let life = Life::new();
    let all = life.json("oplog ./store --all -n 100");
    assert_eq!((all["records"].as_array().unwrap().len(), &all["hidden"]), (3, &json!(0)), "nothing but work");
    for number in 0..40 {
        life.publish("set", &format!("2.{number}"), &[("a", &number.to_string())]);
    }
    let newest = life.newest() as usize;
    let page = life.json("oplog ./store -n 100");
    let shown = page["records"].as_array().unwrap().len();
    let hidden = page["hidden"].as_u64().unwrap() as usize;
    assert_eq!(shown, 43, "the versions");
    assert!(hidden > 0 && shown + hidden == newest, "{hidden} of {newest}: indexes were merged");
    assert_eq!(life.json("oplog ./store -n 100 --all")["records"].as_array().unwrap().len(), newest);
    let said = life.run("oplog ./store -n 100").stderr;
    assert!(said.contains(&format!("left out: {hidden} record")) && said.contains("--all shows them"), "{said}");
    let few = life.json("oplog ./store -n 2");
    assert_eq!(few["records"].as_array().unwrap().len(), 2);
}
