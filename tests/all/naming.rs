//! What versions are called: names, and numbers that follow one another however many writers ask at once.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::env::TestEnv;

const SET: &str = "./store/set";

/// A dataset whose versions are made by writing files.
struct Numbered(TestEnv);

impl Numbered {
    /// With these files, (path, content), as its first version.
    fn new(name: &[&str], files: &[(&str, &str)]) -> Numbered {
        let numbered = Numbered(TestEnv::new());
        numbered.write(files);
        numbered.ingest(&[&["--create"], name].concat());
        numbered
    }

    fn write(&self, files: &[(&str, &str)]) {
        files.iter().for_each(|(path, content)| self.0.write(&format!("data/{path}"), content));
    }

    fn ingest(&self, more: &[&str]) -> Value {
        self.0.run([&["ingest", "data", "--into", SET, "--json"], more].concat()).json()
    }

    fn bump(&self, part: &str) -> Value {
        self.ingest(&["--bump", part])["name"].clone()
    }

    fn versions(&self) -> u64 {
        self.0.run(["list", "./store", "--json"]).json()["datasets"][0]["versions"].as_u64().unwrap()
    }
}

#[test]
fn a_name_is_given_later_once_and_for_good() {
    let numbered = Numbered::new(&[], &[("a", "1")]);
    let env = &numbered.0;
    let named = env.run(["name", SET, "first", "--json"]).json();
    assert_eq!((&named["name"], &named["changed"]), (&json!("first"), &json!(true)));
    let again = env.run(["name", SET, "first"]).text();
    assert!(again.starts_with("named set first ") && again.ends_with(" already\n"), "{again}");
    let refused = env.run(["name", SET, "second"]).exits(4).stderr;
    assert!(refused.contains("has the name first already"), "{refused}");
    numbered.write(&[("a", "2")]);
    numbered.ingest(&[]);
    for taken in ["first", "main"] {
        let refused = env.run(["name", SET, taken]).exits(4).stderr;
        assert!(refused.contains(&format!("the name {taken} is taken in set")), "{refused}");
    }
    for bad in ["", "-x", ".x", "a/b", "a b", "é", &"x".repeat(129)] {
        let refused = env.run(["name", SET, "--", bad]).exits(2).stderr;
        assert!(refused.contains("name"), "{bad}: {refused}");
    }
    assert_eq!(env.run(["show", SET, "--json"]).json()["name"], Value::Null, "no refusal leaves anything");
}

#[test]
fn in_a_workspace_a_version_is_named_by_ref_or_as_what_it_is_based_on() {
    let env = TestEnv::new();
    env.run(["init", "--quiet", "--dataset", "set"]).text();
    env.write("a", "1");
    assert_eq!(env.run(["commit", "-a", "--bump", "minor", "--json"]).json()["name"], "1.0.0");
    env.write("a", "2");
    env.run(["commit", "-a", "--quiet"]).text();
    env.run(["name", "here", "--quiet"]).text();
    assert_eq!(env.run(["show", "--json"]).json()["name"], "here");
    env.write("b", "3");
    env.run(["commit", "-a", "--quiet"]).text();
    env.run(["name", "main", "there", "--quiet"]).text();
    assert_eq!(env.run(["show", "there", "--json"]).json()["branches"], json!(["main"]));
}

#[test]
fn numbers_follow_the_highest_in_its_style() {
    let numbered = Numbered::new(&["--as", "v0.9"], &[("a", "1")]);
    for (content, part, name) in
        [("2", "minor", "v0.10"), ("3", "major", "v1.0"), ("4", "patch", "v1.0.1"), ("5", "minor", "v1.1.0")]
    {
        numbered.write(&[("a", content)]);
        assert_eq!(numbered.ingest(&["--bump", part, "--dry-run"])["name"], name, "said before");
        assert_eq!(numbered.bump(part), name);
    }
    assert_eq!(numbered.bump("minor"), "v1.1.0", "nothing changed, so no number is used");
    assert_eq!(numbered.versions(), 5);
    let both = numbered.0.run(["ingest", "data", "--into", SET, "--bump", "minor", "--as", "x"]).exits(2);
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
}

#[test]
fn names_that_are_no_numbers_are_not_followed() {
    let numbered = Numbered::new(&["--as", "beta"], &[("a", "1")]);
    numbered.write(&[("a", "2")]);
    insta::assert_snapshot!(numbered.0.run(["ingest", "data", "--into", SET, "--bump", "auto"]).snapshot(), @"
    exit: 4
    --- stdout
    --- stderr
    error: no version name of set is a number as 1.2 or v1.2.3 (beta), so none is next
    hint: name this version with --as 1.0.0; later ones follow it
    ");
    assert_eq!(numbered.versions(), 1);
    numbered.ingest(&["--as", "0.1"]);
    numbered.write(&[("a", "3")]);
    assert_eq!(numbered.bump("minor"), "0.2");
}

#[test]
fn auto_looks_at_what_changed_and_at_the_policy() {
    let numbered = Numbered::new(&["--as", "1.0.0"], &[("a", "1"), ("b", "1")]);
    numbered.write(&[("c", "1")]);
    assert_eq!(numbered.bump("auto"), "1.1.0", "added");
    numbered.write(&[("c", "2")]);
    assert_eq!(numbered.bump("auto"), "2.0.0", "changed");
    std::fs::remove_file(numbered.0.path("data/c")).unwrap();
    assert_eq!(numbered.bump("auto"), "3.0.0", "removed");
    assert_eq!(numbered.ingest(&["--bump", "auto", "--meta", "task=new"])["name"], "3.0.1", "only metadata");
    assert_eq!(numbered.ingest(&["--bump", "auto", "--meta", "task=new"])["name"], "3.0.1", "which is so already");
    let policy = ["bump.changed=minor", "bump.added=patch"];
    numbered.0.run([&["meta", "set", SET, "--quiet"], &policy[..]].concat()).text();
    numbered.write(&[("a", "2"), ("d", "1")]);
    assert_eq!(numbered.bump("auto"), "3.1.0", "the larger step");
    numbered.write(&[("e", "1")]);
    assert_eq!(numbered.bump("auto"), "3.1.1");
    for (setting, code) in [("bump.changed=huge", 2), ("bump.renamed=minor", 2), ("bump.metadata=1", 2)] {
        let _ = numbered.0.run(["meta", "set", SET, setting]).exits(code);
    }
}

#[test]
fn auto_numbers_what_is_committed_in_a_clone() {
    let numbered = Numbered::new(&["--as", "1.0"], &[("a", "1"), ("b", "1")]);
    numbered.0.run(["clone", SET, "work"]).text();
    for (file, name) in [("c", "1.1"), ("a", "2.0")] {
        fs::write(numbered.0.path("work").join(file), "2").unwrap();
        numbered.0.run(["-C", "work", "commit", "-a", "--bump", "auto"]).text();
        let shown = numbered.0.run(["-C", "work", "show", "--json"]).json();
        assert_eq!(shown["name"], name);
    }
}

#[test]
fn auto_compares_with_the_number_and_not_with_versions_since() {
    let numbered = Numbered::new(&["--as", "1.0"], &[("a", "1"), ("b", "1")]);
    std::fs::remove_file(numbered.0.path("data/b")).unwrap();
    numbered.ingest(&[]);
    numbered.write(&[("c", "1")]);
    assert_eq!(numbered.bump("auto"), "2.0", "what was there in 1.0 is gone");
}

#[test]
fn a_version_without_a_name_gets_its_number_when_it_is_ingested_again() {
    let numbered = Numbered::new(&["--as", "1.0"], &[("a", "1")]);
    numbered.write(&[("b", "1")]);
    numbered.ingest(&[]);
    assert_eq!(numbered.bump("auto"), "1.1");
    assert_eq!(numbered.versions(), 2);
}

#[test]
fn a_merge_gets_a_number_too() {
    let numbered = Numbered::new(&["--as", "1.0"], &[("a", "1"), ("b", "1")]);
    numbered.write(&[("a", "2")]);
    numbered.ingest(&["--branch", "left", "--parent", "1.0"]);
    numbered.write(&[("a", "1"), ("b", "2")]);
    numbered.ingest(&["--branch", "right", "--parent", "1.0"]);
    let merge = |words: &[&str]| {
        let addresses = ["./store/set@left", "./store/set@right"];
        numbered.0.run([&["merge", "--json"], &addresses[..], words].concat()).json()
    };
    let merged = merge(&["--branch", "out", "--bump", "auto"]);
    assert_eq!(merged["name"], "2.0");
    let moved = numbered.0.run(["merge", "./store/set@left", "--branch", "main", "--bump", "minor", "--json"]).json();
    assert_eq!(moved["name"], "2.1", "the branch moved on to a version that had no name");
}

/// Writers that run at once; a third share a branch, so that some lose it to others and are run again.
const WRITERS: usize = 16;

#[test]
fn bumps_at_once_get_a_number_each() {
    let numbered = Numbered::new(&["--as", "1.0.0"], &[("a", "1")]);
    let env = &numbered.0;
    let start = |number: usize| {
        let branch = if number.is_multiple_of(3) { "main".to_owned() } else { format!("own-{number}") };
        let mut command = env.command();
        command.args(["ingest", &format!("data-{number}"), "--into", SET, "--branch", &branch]);
        command.args(["--bump", "minor", "--json"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("starts")
    };
    (0..WRITERS).for_each(|number| env.write(&format!("data-{number}/x"), number.to_string()));
    let children: Vec<_> = (0..WRITERS).map(start).collect();
    let mut names = BTreeSet::new();
    for (number, child) in children.into_iter().enumerate() {
        let mut output = child.wait_with_output().expect("ends");
        while output.status.code() == Some(4) {
            assert!(String::from_utf8_lossy(&output.stderr).contains("moved meanwhile"), "{output:?}");
            output = start(number).wait_with_output().expect("ends");
        }
        let said: Value = serde_json::from_slice(&output.stdout).expect("a document");
        names.insert(said["name"].as_str().expect("a name").to_owned());
    }
    let expected: BTreeSet<_> = (1..=WRITERS).map(|minor| format!("1.{minor}.0")).collect();
    assert_eq!(names, expected, "each has its own, and none is left out");
    for (number, name) in names.iter().enumerate() {
        let shown = env.run(["show", &format!("{SET}@{name}"), "--json"]).json();
        assert_eq!(shown["files"], 1, "{number}");
    }
    assert_eq!(numbered.versions(), WRITERS as u64 + 1, "none lost");
}

#[test]
fn merges_at_once_that_reach_the_same_have_all_reached_it() {
    let numbered = Numbered::new(&["--as", "1.0"], &[("a", "1")]);
    numbered.write(&[("b", "1")]);
    numbered.ingest(&["--branch", "dev", "--parent", "1.0"]);
    let env = &numbered.0;
    let start = |_| {
        let mut command = env.command();
        command.args(["merge", "./store/set@dev", "--branch", "main", "--bump", "minor", "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
    };
    let children: Vec<_> = (0..WRITERS / 2).map(start).collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().expect("ends"));
    let said: Vec<Value> = outputs.map(|output| serde_json::from_slice(&output.stdout).expect("a document")).collect();
    assert!(said.iter().all(|said| said["name"] == "1.1"), "{said:#?}");
    assert_eq!(said.iter().filter(|said| said["named"] == json!(true)).count(), 1, "{said:#?}");
}

#[test]
fn a_name_for_content_that_is_there_is_said_to_be_given_or_a_version_to_be_made() {
    let numbered = Numbered::new(&[], &[("a", "1")]);
    let told = |more: &[&str]| numbered.0.run([&["ingest", "data", "--into", SET], more].concat()).text();
    let would = told(&["--as", "1.0", "--dry-run"]);
    assert!(would.starts_with("Would name 1.0 "), "{would}");
    let named = told(&["--as", "1.0"]);
    assert!(named.starts_with("Named 1.0 ") && named.contains("the content is as before"), "{named}");
    assert!(told(&["--as", "1.0"]).starts_with("Nothing changed: "), "the same again");
    let said = numbered.ingest(&["--as", "2.0", "--dry-run"]);
    assert_eq!((&said["made"], &said["named"], &said["name"]), (&json!(true), &json!(false), &json!("2.0")));
    let made = told(&["--as", "2.0"]);
    assert!(made.starts_with("Made 2.0 "), "{made}");
    assert_eq!(numbered.versions(), 2);
    let merged = numbered.0.run(["merge", "./store/set@2.0", "--branch", "main", "--as", "3.0"]).exits(4);
    assert!(merged.stderr.contains("has the name 2.0 already, so it can't be named 3.0"), "{}", merged.stderr);
    assert_eq!(numbered.versions(), 2, "a merge makes none for another name");
}

#[test]
fn a_name_that_the_content_has_is_where_it_was_asked_for_or_it_is_refused() {
    let numbered = Numbered::new(&["--as", "1.0"], &[("a", "1")]);
    numbered.write(&[("b", "1")]);
    numbered.ingest(&["--as", "2.0", "--tag", "latest"]);
    let made = numbered.ingest(&["--branch", "new", "--as", "2.0", "--tag", "newest"]);
    assert_eq!((&made["name"], &made["changed"], &made["made"]), (&json!("2.0"), &json!(true), &json!(false)));
    let at = |reference: &str| numbered.0.run(["show", &format!("{SET}@{reference}"), "--json"]).json()["name"].clone();
    assert_eq!((at("new"), at("newest")), (json!("2.0"), json!("2.0")));
    numbered.ingest(&["--branch", "old", "--parent", "1.0", "--as", "1.5"]);
    let run = |words: &[&str]| numbered.0.run([&["ingest", "data", "--into", SET], words].concat());
    let refused = run(&["--branch", "old", "--as", "2.0"]).exits(4).stderr;
    assert!(refused.contains("a version of the same content that the branch old isn't at"), "{refused}");
    fs::remove_file(numbered.0.path("data/b")).unwrap();
    numbered.write(&[("a", "1")]);
    let late = numbered.ingest(&["--as", "1.0", "--tag", "latest"]);
    assert_eq!((&late["name"], &late["changed"]), (&json!("1.0"), &json!(false)), "an older ingest once more");
    assert_eq!((at("main"), at("latest")), (json!("2.0"), json!("2.0")), "takes nothing back");
    let clone = numbered.0.run(["clone", SET, "work", "--quiet"]);
    let _ = clone.exits(0);
    fs::remove_file(numbered.0.path("work/b")).unwrap();
    let refused = numbered.0.run_with("work", ["commit", "-a", "--as", "1.0"], b"").exits(4).stderr;
    assert!(refused.contains("a version of the same content that the branch main isn't at"), "{refused}");
    let status = numbered.0.run_with("work", ["status", "--json"], b"").json();
    assert_eq!(status["base_name"], "2.0", "{status}");
}

#[test]
fn a_branch_is_not_called_as_the_id_of_a_version() {
    let env = TestEnv::new();
    env.write("data/a", "a");
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let id = env.run(["show", "./store/set", "--json"]).json()["version"].as_str().unwrap().to_owned();
    let _ = env.run(["branch", "./store/set", &id]).exits(2);
    let refused = env.run(["branch", "./store/set", "-m", "main", &id]).exits(2).stderr;
    assert!(refused.contains("reads as the id of a version") && refused.contains("hint:"), "{refused}");
    let _ = env.run(["branch", "./store/set", "main2"]).exits(0);
}
