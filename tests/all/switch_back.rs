//! Switches that can't end: each way leads out of a folder between two versions, and nothing is lost that no version holds.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::env::{Outcome, TestEnv, everything_below};

/// A store with 1.0 and, on `main`, 1.1, which removes `gone`, has `file` otherwise and `new/file` more; and a clone of it that is at 1.0 and
/// knows of 1.1.
struct Stage {
    env: TestEnv,
    /// The packs that came with 1.0, and those that came with 1.1.
    packs: [Vec<PathBuf>; 2],
}

impl Stage {
    /// In 1.1 a file and a folder are in each other's place, too.
    fn new() -> Stage {
        Stage::of(&["swapped", "swapped-too/file"], &["swapped/file", "swapped-too"])
    }

    /// With further files that only 1.0 and only 1.1 has.
    fn of(old_files: &[&str], new_files: &[&str]) -> Stage {
        let env = TestEnv::new();
        let _ = env.run(["store", "create", "./store"]).exits(0);
        env.write("source/file", "one");
        env.write("source/gone", "in 1.0 only");
        old_files.iter().for_each(|path| env.write(&format!("source/{path}"), "old"));
        let _ = env.run(["ingest", "source", "--into", "./store/signs", "--as", "1.0", "--create"]).exits(0);
        let _ = env.run(["clone", "./store/signs", "copy"]).exits(0);
        let old = packs(&env, "store");
        fs::remove_dir_all(env.path("source")).expect("removed");
        env.write("source/file", "two");
        env.write("source/new/file", "new".repeat(50_000));
        new_files.iter().for_each(|path| env.write(&format!("source/{path}"), "changed"));
        let _ = env.run(["ingest", "source", "--into", "./store/signs", "--as", "1.1"]).exits(0);
        let stage = Stage { packs: [old.clone(), without(packs(&env, "store"), &old)], env };
        let _ = stage.run(&["fetch"]).exits(0);
        stage
    }

    /// A command in the clone.
    fn run(&self, arguments: &[&str]) -> Outcome {
        self.env.run([&["-C", "copy"][..], arguments].concat())
    }

    fn file(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.env.path(&format!("copy/{path}"))).ok()
    }

    fn write(&self, path: &str, content: &str) {
        self.env.write(&format!("copy/{path}"), content);
    }

    /// As if a switch to 1.1 had come so far that only `new/file` is missing, and `gone` was removed.
    fn come_far(&self) {
        for path in ["gone", "swapped", "swapped-too/file"] {
            fs::remove_file(self.env.path(&format!("copy/{path}"))).ok();
        }
        fs::remove_dir(self.env.path("copy/swapped-too")).ok();
        self.write("file", "two");
        self.write("swapped/file", "changed");
        self.write("swapped-too", "changed");
    }

    /// Of the status: the version, a switch that hasn't ended, and what differs from the version.
    #[track_caller]
    fn status(&self) -> Value {
        let status = self.run(&["status", "--json"]).json();
        ["base_name", "unfinished_switch", "added", "modified", "removed"].map(|key| status[key].clone()).into()
    }

    /// `switch main` makes the folder 1.0 and nothing else, and a version can be made of it.
    #[track_caller]
    fn leads_back(&self) {
        let _ = self.run(&["switch", "main"]).exits(0);
        assert_eq!(self.status(), json!(["1.0", null, [], [], []]));
        let files = ["file", "gone"].map(|path| self.file(path).expect("is there"));
        assert_eq!(files, ["one", "in 1.0 only"]);
        assert!(!self.env.path("copy/new").exists(), "what only 1.1 has is gone");
        self.write("more", "more");
        let _ = self.run(&["commit", "-a", "-m", "more"]).exits(0);
    }
}

fn packs(env: &TestEnv, store: &str) -> Vec<PathBuf> {
    everything_below(&env.path(store).join("packs")).into_iter().filter(|path| path.is_file()).collect()
}

fn without(mut packs: Vec<PathBuf>, old: &[PathBuf]) -> Vec<PathBuf> {
    packs.retain(|pack| !old.contains(pack));
    assert!(!packs.is_empty(), "a version came with packs");
    packs
}

/// Damages packs wholly; a second time, they are whole again.
fn flip(packs: &[PathBuf]) {
    for pack in packs {
        let bytes = fs::read(pack).expect("a pack");
        fs::write(pack, bytes.iter().map(|byte| !byte).collect::<Vec<u8>>()).expect("flipped");
    }
}

/// What keeps a switch from its content, the exit code, and how it comes about.
type Cause = (&'static str, i32, fn(&Stage));

/// What was said, on one line.
fn said(outcome: Outcome) -> String {
    [outcome.stdout, outcome.stderr].concat().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn whatever_keeps_a_switch_from_its_content_the_way_leads_back() {
    let causes: [Cause; 5] = [
        ("damaged", 5, |stage| flip(&stage.packs[1])),
        ("lost", 5, |stage| stage.packs[1].iter().for_each(|pack| fs::remove_file(pack).expect("removed"))),
        ("away", 6, |stage| fs::rename(stage.env.path("store"), stage.env.path("elsewhere")).expect("renamed")),
        ("let go", 3, |stage| {
            stage.env.write("source/file", "three");
            fs::remove_dir_all(stage.env.path("source/new")).expect("removed");
            let _ = stage.env.run(["ingest", "source", "--into", "./store/signs", "--as", "1.2"]).exits(0);
            let _ = stage.env.run(["publish", "./store/signs@1.0"]).exits(0);
            let _ = stage.env.run(["meta", "set", "./store/signs", "keep.last=1"]).exits(0);
            for _ in 0..2 {
                let _ = stage.env.run(["gc", "./store", "--grace", "0s"]).exits(0);
            }
        }),
        ("purged", 3, |stage| {
            let purge = ["purge", "./store/signs@1.1", "file", "new/file", "--reason", "it leaked", "--yes"];
            let _ = stage.env.run(purge).exits(0);
        }),
    ];
    for (cause, code, befall) in causes {
        let stage = Stage::of(&[], &[]);
        befall(&stage);
        let told = said(stage.run(&["switch", "1.1"]).exits(code));
        assert!(told.contains("`dagset switch main` leads back"), "{cause}: {told}");
        assert_eq!(stage.file("gone").as_deref(), Some("in 1.0 only"), "{cause}: what only goes is removed last");
        stage.leads_back();
    }
}

#[test]
fn between_two_versions_each_command_names_both_ways() {
    let stage = Stage::new();
    flip(&stage.packs[1]);
    let told = said(stage.run(&["pull"]).exits(5));
    assert!(told.contains("`dagset switch main` leads back"), "{told}");
    for (arguments, code) in [(&["commit", "-a"][..], 4), (&["merge", "1.1"], 4), (&["status"], 0)] {
        let told = said(stage.run(arguments).exits(code)).replace('`', "");
        let ways = "dagset pull goes on, dagset switch main goes back";
        assert!(told.contains(ways), "{arguments:?}: {told}");
    }
    let doctor = said(stage.run(&["doctor"]));
    assert!(doctor.contains("dagset pull, or dagset switch main to go back"), "{doctor}");
    stage.leads_back();
}

#[test]
fn what_a_switch_wrote_and_removed_before_it_was_cut_off_is_undone() {
    let stage = Stage::new();
    flip(&stage.packs[1]);
    let _ = stage.run(&["switch", "1.1"]).exits(5);
    stage.come_far();
    stage.leads_back();
}

#[test]
fn the_switch_that_was_begun_is_ended_when_its_content_is_back() {
    let stage = Stage::new();
    flip(&stage.packs[1]);
    let _ = stage.run(&["switch", "1.1"]).exits(5);
    let told = said(stage.run(&["status"]));
    assert!(told.contains("dagset switch 1.1 goes on, dagset switch main goes back"), "{told}");
    let _ = stage.run(&["pull"]).exits(5);
    stage.come_far();
    flip(&stage.packs[1]);
    let _ = stage.run(&["pull"]).exits(0);
    assert_eq!(stage.status(), json!(["1.1", null, [], [], []]));
    assert_eq!(stage.file("gone"), None);
}

#[test]
fn by_the_name_of_the_version_too_the_way_leads_back_to_the_branch() {
    let stage = Stage::new();
    flip(&stage.packs[1]);
    let _ = stage.run(&["switch", "1.1"]).exits(5);
    let back = stage.run(&["switch", "1.0", "--json"]).json();
    assert_eq!((&back["branch"], &back["name"]), (&json!("main"), &json!("1.0")));
    // Whoever isn't on the way goes to the version, on no branch.
    let there = stage.run(&["switch", "1.0", "--json"]).json();
    assert_eq!(there["branch"], Value::Null);
}

#[test]
fn what_was_written_meanwhile_is_overwritten_and_removed_by_no_way() {
    let stage = Stage::new();
    flip(&stage.packs[1]);
    let _ = stage.run(&["switch", "1.1"]).exits(5);
    stage.come_far();
    for path in ["file", "gone", "new/file", "beside"] {
        stage.write(path, "my own");
    }
    flip(&stage.packs[1]);
    let refused = said(stage.run(&["switch", "1.1"]).exits(4));
    assert!(refused.contains("file gone new/file"), "{refused}");
    assert!(refused.contains("move them away") && !refused.contains("dagset commit"), "{refused}");
    let _ = stage.run(&["switch", "main"]).exits(0);
    for path in ["file", "gone", "new/file", "beside"] {
        assert_eq!(stage.file(path).as_deref(), Some("my own"), "{path}");
    }
    assert_eq!(stage.status(), json!(["1.0", null, ["beside", "new/file"], ["file", "gone"], []]));
    let _ = stage.run(&["restore", "file", "gone"]).exits(0);
    let _ = stage.run(&["clean"]).exits(0);
    stage.leads_back();
}

#[test]
fn switches_to_one_version_after_the_other_are_undone_together() {
    let stage = Stage::new();
    let known = packs(&stage.env, "store");
    stage.env.write("source/third", "in 1.2");
    stage.env.write("source/large", "large".repeat(50_000));
    let _ = stage.env.run(["ingest", "source", "--into", "./store/signs", "--as", "1.2"]).exits(0);
    let of_third = without(packs(&stage.env, "store"), &known);
    let _ = stage.run(&["fetch"]).exits(0);
    flip(&stage.packs[1]);
    let _ = stage.run(&["switch", "1.1"]).exits(5);
    stage.come_far();
    flip(&of_third);
    let _ = stage.run(&["switch", "1.2"]).exits(5);
    stage.write("third", "in 1.2");
    stage.leads_back();
    assert_eq!(stage.file("third"), None);
    flip(&stage.packs[1]);
    flip(&of_third);
    let _ = stage.run(&["switch", "1.2"]).exits(0);
    assert_eq!(stage.file("third").as_deref(), Some("in 1.2"));
}

#[test]
fn where_neither_version_can_be_got_nothing_is_lost_and_a_third_leads_out() {
    let stage = Stage::new();
    stage.env.write("other/own", "third");
    let third = ["ingest", "other", "--into", "./store/signs", "--branch", "third", "--as", "2.0"];
    let _ = stage.env.run(third).exits(0);
    let _ = stage.run(&["fetch"]).exits(0);
    flip(&stage.packs[1]);
    let _ = stage.run(&["switch", "1.1"]).exits(5);
    stage.come_far();
    stage.write("beside", "my own");
    flip(&stage.packs[0]);
    let told = said(stage.run(&["switch", "main"]).exits(5));
    assert!(told.contains("can't be got") && !told.contains("leads back"), "{told}");
    let _ = stage.run(&["commit", "-a"]).exits(4);
    assert_eq!(["file", "beside"].map(|path| stage.file(path).expect("is there")), ["two", "my own"]);
    let _ = stage.run(&["switch", "2.0"]).exits(0);
    assert_eq!(stage.status(), json!(["2.0", null, ["beside"], [], []]));
    assert_eq!(stage.file("own").as_deref(), Some("third"));
}

/// A workspace `w` at 1.0 with a store, in which a switch to the branch `side` was cut off; where its version has `file` otherwise and no `gone`.
fn cut_off_in_one_store(store: &[&str]) -> (TestEnv, String) {
    let env = TestEnv::new();
    let run = |arguments: &[&str]| env.run([&["-C", "w"][..], arguments].concat());
    fs::create_dir(env.path("w")).expect("a folder");
    let _ = env.run(["store", "create", "./home"]).exits(0);
    let _ = run(&[&["init", "--dataset", "signs"], store].concat()).exits(0);
    env.write("w/file", "one");
    env.write("w/gone", "in 1.0 only");
    let _ = run(&["commit", "-a", "--as", "1.0"]).exits(0);
    let place = if store.is_empty() { "w/.dagset/store" } else { "home" };
    let old = packs(&env, place);
    let _ = run(&["branch", "side"]).exits(0);
    let _ = run(&["switch", "side"]).exits(0);
    env.write("w/file", "two");
    env.write("w/new", "new".repeat(50_000));
    fs::remove_file(env.path("w/gone")).expect("removed");
    let side = run(&["commit", "-a", "--json"]).json()["version"].as_str().expect("an id").to_owned();
    let _ = run(&["switch", "main"]).exits(0);
    let of_side = without(packs(&env, place), &old);
    flip(&of_side);
    let _ = run(&["switch", "side"]).exits(5);
    env.write("w/file", "two");
    fs::remove_file(env.path("w/gone")).expect("removed");
    flip(&of_side);
    let _ = run(&["branch", "side", "--delete", "--force"]).exits(0);
    (env, side)
}

#[test]
fn collection_keeps_what_a_switch_was_begun_to() {
    let (env, side) = cut_off_in_one_store(&[]);
    let run = |arguments: &[&str]| env.run([&["-C", "w"][..], arguments].concat());
    for _ in 0..2 {
        let _ = run(&["gc", "--grace", "0s"]).exits(0);
    }
    let _ = run(&["switch", &side]).exits(0);
    assert_eq!(fs::read_to_string(env.path("w/new")).expect("is there").len(), 150_000);
    assert!(!env.path("w/gone").exists());
}

#[test]
fn to_a_base_whose_content_was_let_go_the_way_leads_back_while_it_needs_none_of_it() {
    let env = TestEnv::new();
    let run = |arguments: &[&str]| env.run([&["-C", "w"][..], arguments].concat());
    fs::create_dir(env.path("w")).expect("a folder");
    let _ = env.run(["store", "create", "./home"]).exits(0);
    let _ = run(&["init", "--dataset", "signs", "--store", "../home"]).exits(0);
    env.write("w/file", "one");
    let _ = run(&["commit", "-a", "--as", "1.0"]).exits(0);
    env.write("source/file", "two");
    let ingest = |version: &str| {
        let old = packs(&env, "home");
        env.write("source/own", version);
        let _ = env.run(["ingest", "source", "--into", "./home/signs", "--as", version]).exits(0);
        without(packs(&env, "home"), &old)
    };
    ingest("1.1");
    let of_last = ingest("1.2");
    flip(&of_last);
    let _ = run(&["switch", "1.2"]).exits(5);
    flip(&of_last);
    let _ = env.run(["meta", "set", "./home/signs", "keep.last=1"]).exits(0);
    for _ in 0..2 {
        let _ = env.run(["gc", "./home", "--grace", "0s"]).exits(0);
    }
    env.write("w/file", "two");
    let refused = said(run(&["switch", "1.0"]).exits(3));
    assert!(refused.contains("keep rules let it go"), "{refused}");
    env.write("w/file", "one");
    let _ = run(&["switch", "1.0"]).exits(0);
    let status = run(&["status", "--json"]).json();
    assert_eq!((&status["unfinished_switch"], &status["modified"]), (&Value::Null, &json!([])));
}

#[test]
fn from_a_version_that_others_collected_the_way_leads_back() {
    let (env, side) = cut_off_in_one_store(&["--store", "../home"]);
    let run = |arguments: &[&str]| env.run([&["-C", "w"][..], arguments].concat());
    for _ in 0..2 {
        let _ = env.run(["gc", "./home", "--grace", "0s"]).exits(0);
    }
    let _ = run(&["switch", &side]).exits(3);
    let status = run(&["status", "--json"]).json();
    assert_eq!((&status["switch_goes_on"], &status["switch_goes_back"]), (&Value::Null, &json!("dagset switch main")));
    let told = said(run(&["status"]).exits(0));
    assert!(told.contains("hasn't ended: dagset switch main goes back"), "{told}");
    // No version holds `two` any more.
    let told = said(run(&["switch", "main"]).exits(0));
    assert!(told.contains("counts as unsaved"), "{told}");
    assert_eq!(fs::read_to_string(env.path("w/gone")).expect("is back"), "in 1.0 only");
    let status = run(&["status", "--json"]).json();
    assert_eq!((&status["modified"], &status["removed"]), (&json!(["file"]), &json!([])));
    let _ = run(&["restore", "file"]).exits(0);
    assert_eq!(fs::read_to_string(env.path("w/file")).expect("is back"), "one");
}

/// The name of a temporary whose process has ended.
fn left_temporary() -> String {
    let mut ended = std::process::Command::new("true").spawn().expect("runs");
    ended.wait().expect("ends");
    format!(".dagset-tmp-{}-0123456789abcdef-4", ended.id())
}

#[test]
fn what_a_killed_switch_was_writing_is_in_nobodys_way() {
    // In the folder that a file became, and in one of a folder that only the goal has.
    for (old, new, folder, goal) in [
        (&["d"][..], &["d/x"][..], "d", "main"),
        (&["d"], &["d/x"], "d", "1.1"),
        (&[], &["d/e/y"], "d/e", "main"),
        (&[], &["d/e/y"], "d/e", "1.1"),
    ] {
        let stage = Stage::of(old, new);
        flip(&stage.packs[1]);
        let _ = stage.run(&["switch", "1.1"]).exits(5);
        flip(&stage.packs[1]);
        fs::remove_file(stage.env.path("copy/d")).ok();
        let left = format!("{folder}/{}", left_temporary());
        stage.write(&left, "half");
        match goal {
            "main" => stage.leads_back(),
            _ => {
                let _ = stage.run(&["switch", goal]).exits(0);
                assert_eq!(stage.status(), json!(["1.1", null, [], [], []]));
            }
        }
        assert_eq!(stage.file(&left), None, "{folder} {goal}");
        assert_eq!(stage.env.path("copy").join(folder).is_dir(), goal == "1.1", "{folder} {goal}");
    }
}

#[test]
fn doctor_sweeps_what_was_left_in_folders_below() {
    let stage = Stage::of(&["deep/er/file"], &[]);
    let left = format!("deep/er/{}", left_temporary());
    stage.write(&left, "half");
    let swept = said(stage.run(&["doctor", "--fix"]).exits(0));
    assert!(swept.contains("1 temporary files"), "{swept}");
    assert_eq!(stage.file(&left), None);
    assert_eq!(stage.file("deep/er/file").as_deref(), Some("old"));
}
