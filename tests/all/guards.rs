//! What is published stays, by whatever command it might go: with `--force --reason` alone it goes, and the log says why.

use serde_json::json;

use crate::life::Life;

/// Versions 1.0 ← 1.1 ← 1.2 of `set`, of which 1.2 is published.
fn published() -> Life {
    let life = Life::new();
    life.run("publish ./store/set@1.2 --note paper").text();
    life
}

/// Asserts that a command is refused, and why, and that it writes nothing; done with a reason, that stands in the log.
#[track_caller]
fn needs_a_reason(life: &Life, line: &str, why: &str) {
    let before = life.newest();
    let refused = life.run(&format!("{line} --json")).exits(4).document();
    let said = refused["error"].to_string();
    assert!(said.contains(why), "{line}: {said}");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--force --reason"), "{line}: {said}");
    let _ = life.run(&format!("{} --force --reason", line.replace(" --force", ""))).exits(2);
    assert_eq!(life.newest(), before, "{line}");
    let line = format!("{} --force --reason withdrawn", line.replace(" --force", ""));
    life.run(&line).text();
    let record = life.json(&format!("oplog ./store {}", life.newest()));
    let reasons: Vec<_> =
        record["operations"].as_array().unwrap().iter().filter(|it| it["kind"] == "reason").cloned().collect();
    assert_eq!(reasons.iter().map(|it| it["text"].clone()).collect::<Vec<_>>(), [json!("withdrawn")], "{record}");
    assert!(life.run("audit ./store/set").text().contains("reason: withdrawn"), "{line}");
}

#[test]
fn undo_takes_no_name_from_a_published_version() {
    let life = published();
    needs_a_reason(&life, "undo ./store 3", "the version 1.2 of set is published, and keeps its name");
    assert_eq!(life.at("set"), "1.1");
    let again = life.newest();
    life.run(&format!("undo ./store {again}")).text();
    assert_eq!(life.at("set"), "1.2");
    assert_eq!(life.json("show ./store/set@1.2")["published"], true, "publishing isn't undone");
    let for_good = life.run("undo ./store 4").exits(4);
    assert!(for_good.stderr.contains("that is for good"), "{}", for_good.stderr);
}

#[test]
fn a_published_version_has_one_name() {
    let life = published();
    let refused = life.run("name ./store/set@1.2 2.0").exits(4);
    assert!(refused.stderr.contains("has the name 1.2 already"), "{}", refused.stderr);
}

#[test]
fn a_squash_stops_at_what_is_published_or_protected() {
    let life = published();
    needs_a_reason(&life, "squash ./store/set@1.0..main --as 2.0", "version 1.2 is published, and would be replaced");
    assert_eq!((life.at("set"), life.at("set@1.2")), ("2.0".to_owned(), "1.2".to_owned()));
    let life = Life::new();
    life.run("tag ./store/set@1.1 prod --protect").text();
    needs_a_reason(&life, "squash ./store/set@1.0..main --as 2.0", "the protected tag prod is on version 1.1");
}

#[test]
fn a_dataset_with_something_published_or_protected_is_not_deleted_by_force_alone() {
    let life = published();
    let line = "dataset delete ./store/set --yes --force";
    needs_a_reason(&life, line, "a version of set is published");
    life.run("undo ./store").text();
    assert_eq!(life.json("show ./store/set@1.2")["published"], true, "brought back whole");
    let life = Life::new();
    life.run("tag ./store/set@1.1 prod --protect").text();
    needs_a_reason(&life, line, "the tag prod of set is protected");
}

/// A version on a branch of its own, without a name.
fn side(life: &Life) {
    life.0.write("source/d", "1");
    life.run("ingest source --into ./store/set --branch side --parent 1.0").text();
}

#[test]
fn the_last_ref_that_leads_to_a_published_version_stays() {
    let life = Life::new();
    side(&life);
    life.run("publish ./store/set@side").text();
    let alone = life.run("branch -d ./store/set side").exits(4);
    assert!(alone.stderr.contains("1 version would be on no other branch"), "{}", alone.stderr);
    life.run("tag ./store/set@side kept").text();
    life.run("branch -d ./store/set side").text();
    let why = "no branch, tag or name of set would lead to the published version";
    needs_a_reason(&life, "tag ./store/set@1.0 kept", why);
    life.run("undo ./store").text();
    needs_a_reason(&life, "tag -d ./store/set kept", why);
    life.run("undo ./store").text();
    life.run("branch ./store/set@kept side").text();
    life.run("tag -d ./store/set kept").text();
    needs_a_reason(&life, "branch -d ./store/set side --force", why);
}

#[test]
fn undo_leaves_a_published_version_on_a_branch() {
    let life = Life::new();
    side(&life);
    let made = life.newest();
    life.run("publish ./store/set@side").text();
    needs_a_reason(&life, &format!("undo ./store {made}"), "would lead to the published version");
}

#[test]
fn undo_moves_no_protected_tag() {
    let life = Life::new();
    life.run("tag ./store/set@1.0 prod").text();
    life.run("tag ./store/set@1.1 prod --protect").text();
    let moved = life.newest();
    needs_a_reason(&life, &format!("undo ./store {moved}"), "the tag prod of set is protected, and is at 1.1");
    assert_eq!(life.at("set@prod"), "1.0");
}

#[test]
fn force_alone_is_enough_for_what_is_neither_published_nor_protected() {
    let life = Life::new();
    side(&life);
    let said = life.run("branch -d ./store/set side --force").exits(0);
    assert!(said.stderr.contains("only ids lead to 1 version now"), "{}", said.stderr);
    life.run("dataset delete ./store/set --yes --force").text();
    let _ = life.run("dataset delete ./store/set --yes --reason text").exits(2);
}

#[test]
fn no_dataset_of_a_published_version_is_renamed() {
    let life = published();
    needs_a_reason(&life, "dataset rename ./store/set other", "a version of set is published");
    assert_eq!(life.at("other"), "1.2");
    needs_a_reason(&life, &format!("undo ./store {}", life.newest()), "a version of other is published");
    assert_eq!(life.at("set"), "1.2");
}
