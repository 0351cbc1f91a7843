//! `audit`: who did what, and whether the log can be believed.

use std::fs;

use dagset::format::record::Record;
use serde_json::json;

use crate::env::AUTHOR;
use crate::life::Life;

#[test]
fn an_audit_tells_who_did_what_from_where() {
    let mut life = Life::new();
    for (name, value) in [("CI_PROJECT_PATH", "team/data"), ("CI_JOB_ID", "77"), ("CI_COMMIT_SHA", "abc")] {
        life.0.set(name, value);
    }
    life.run("tag ./store/set@1.1 prod").text();
    let said = life.json("audit ./store/set");
    assert_eq!(said["chain"], json!({"from": 1, "to": 4, "holds": true, "broken": null}));
    let newest = &said["records"][0];
    assert_eq!(
        (newest["actor"].clone(), newest["summary"].clone()),
        (json!(AUTHOR), json!("tag prod made at 1.1 of set"))
    );
    assert_eq!(
        (newest["context"]["ci_job"].clone(), newest["context"]["git_commit"].clone()),
        (json!("77"), json!("abc"))
    );
    let text = life.run("audit ./store/set@1.1").exits(0);
    assert_eq!(text.stdout.lines().count(), 4, "{}", text.stdout);
    assert!(text.stdout.contains("team/data 77") && text.stderr.contains("records 1 to 4 hold"), "{text:?}");
    let later = life.json("audit ./store/set --since 2999-01-01");
    assert_eq!((later["records"].clone(), later["chain"]["from"].clone()), (json!([]), json!(4)));
}

#[test]
fn a_record_that_was_replaced_breaks_the_chain() {
    let life = Life::new();
    let path = life.0.path("store/log/000/000/002");
    let mut record = Record::parse(&fs::read(&path).unwrap()).unwrap();
    record.core.actor = "Mallory <m@test.example>".to_owned();
    fs::remove_file(&path).unwrap();
    fs::write(&path, record.encode()).unwrap();
    life.run("log ./store/set").text();
    let said = life.run("audit ./store/set --json").exits(5).document();
    assert_eq!((said["chain"]["holds"].clone(), said["chain"]["broken"]["record"].clone()), (json!(false), json!(2)));
    let text = life.run("audit ./store").exits(5);
    assert!(text.stdout.contains("the log is broken at record 2"), "{}", text.stdout);
}

#[test]
fn a_record_that_rotted_or_is_missing_is_named() {
    let life = Life::new();
    let path = life.0.path("store/log/000/000/001");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    let said = life.run("audit ./store/set --json").exits(5).document();
    assert_eq!(said["chain"]["broken"]["record"], 1);
    fs::remove_file(&path).unwrap();
    let said = life.run("audit ./store/set --json").exits(5).document();
    assert!(said["chain"]["broken"]["why"].as_str().unwrap().contains("log/000/000/001 is missing"), "{said}");
}
