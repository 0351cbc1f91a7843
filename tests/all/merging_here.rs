//! A merge whose conflicts are solved in a workspace: laid into the folder, solved, committed, dropped.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::env::{Outcome, TestEnv, everything_below};

/// A workspace on `main` beside whose head stands that of `fixes`.
struct Parted(TestEnv);

type Files<'a> = &'a [(&'a str, &'a str)];

impl Parted {
    fn new(base: Files<'_>, main: Files<'_>, fixes: Files<'_>) -> Parted {
        let parted = Parted(TestEnv::new());
        parted.fill(base);
        parted.run("init").text();
        parted.run("commit -a --as 1.0").text();
        parted.run("branch fixes").text();
        parted.run("switch fixes").text();
        parted.fill(fixes);
        parted.run("commit -a -m theirs").text();
        parted.run("switch main").text();
        parted.fill(main);
        parted.run("commit -a -m ours").text();
        parted
    }

    /// Makes the folder hold these files and no others.
    fn fill(&self, files: Files<'_>) {
        fs::create_dir_all(self.0.path("w")).unwrap();
        for path in self.files().keys() {
            fs::remove_file(self.0.path(&format!("w/{path}"))).unwrap();
        }
        let folders = everything_below(&self.0.path("w")).into_iter().rev();
        folders
            .filter(|path| path.is_dir() && !path.components().any(|it| it.as_os_str() == ".dagset"))
            .for_each(|path| fs::remove_dir(path).unwrap());
        files.iter().for_each(|(path, content)| self.0.write(&format!("w/{path}"), content));
    }

    fn run(&self, words: &str) -> Outcome {
        self.0.run_with("w", words.split(' '), b"")
    }

    fn files(&self) -> BTreeMap<String, String> {
        let root = self.0.path("w");
        let name = |path: &std::path::Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let data =
            everything_below(&root).into_iter().filter(|path| path.is_file() && !name(path).starts_with(".dagset"));
        data.map(|path| (name(&path), fs::read_to_string(path).unwrap())).collect()
    }

    fn has(&self, files: Files<'_>) {
        let expected: BTreeMap<String, String> =
            files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect();
        assert_eq!(self.files(), expected);
    }

    fn status(&self) -> Value {
        self.run("status --json").json()
    }
}

/// Three conflicts, a change of each side, and a deletion.
fn fought() -> Parted {
    Parted::new(
        &[("a.csv", "0"), ("b.csv", "0"), ("gone", "0"), ("ours", "0"), ("theirs", "0")],
        &[("a.csv", "main"), ("gone", "0"), ("new", "main"), ("ours", "main"), ("theirs", "0")],
        &[("a.csv", "fixes"), ("b.csv", "fixes"), ("new", "fixes"), ("ours", "0"), ("theirs", "fixes")],
    )
}

const LAID: Files<'_> = &[
    ("a.csv", "main"),
    ("a.fixes.csv", "fixes"),
    ("b.csv", "fixes"),
    ("new", "main"),
    ("new.fixes", "fixes"),
    ("ours", "main"),
    ("theirs", "fixes"),
];

#[test]
fn conflicts_are_laid_into_the_folder_and_status_says_how_to_go_on() {
    let parted = fought();
    let told = parted.run("merge fixes --json").exits(4).document();
    assert_eq!((&told["in_progress"], &told["unresolved"], &told["version"]), (&json!(true), &json!(3), &Value::Null));
    assert_eq!(told["conflicts"][0]["beside"], json!(["a.fixes.csv"]));
    parted.has(LAID);
    let status = parted.status();
    assert_eq!(status["conflicts"], json!(["a.csv", "b.csv", "new"]));
    assert_eq!((&status["staged"], &status["added"]), (&json!(["gone", "theirs"]), &json!([])));
    insta::assert_snapshot!(parted.run("status").snapshot(), @r"
    exit: 0
    --- stdout
    w on main, at [id 1]
    merging main, fixes: dagset merge --continue ends it, --abort drops it

    Conflicts: dagset resolve PATH --take REF, dagset add PATH, or dagset rm PATH
      a.csv  changed by main, changed by fixes
        beside it: a.fixes.csv
      b.csv  deleted by main, changed by fixes
      new  added by main, added by fixes
        beside it: new.fixes

    Staged: dagset merge --continue
      modified  theirs
      removed   gone
    --- stderr
    ");
}

#[test]
fn a_commit_is_refused_until_each_conflict_is_solved_and_then_has_all_parents() {
    let parted = fought();
    let parents = [parted.run("show main --json").json(), parted.run("show fixes --json").json()];
    let _ = parted.run("merge fixes --as 2.0 --rule none=last").exits(4);
    for refused in ["commit", "commit -a", "merge --continue"] {
        let said = parted.run(refused).exits(4);
        assert!(said.stderr.contains("3 conflicts of the merge are not solved"), "{}", said.stderr);
    }
    parted.run("resolve a.csv --take fixes").text();
    parted.run("rm b.csv").text();
    let said = parted.run("commit -a").exits(4);
    assert!(said.stderr.contains("1 conflict of the merge") && said.stderr.contains("  new"), "{}", said.stderr);
    parted.0.write("w/new", "both");
    parted.run("add .").text();
    parted.has(&[("a.csv", "fixes"), ("new", "both"), ("ours", "main"), ("theirs", "fixes")]);
    let made = parted.run("commit --json").json();
    assert_eq!((&made["name"], &made["changed"]), (&json!("2.0"), &json!(true)));
    let shown = parted.run("show 2.0 --json").json();
    assert_eq!(shown["parents"], json!([parents[0]["version"], parents[1]["version"]]));
    assert_eq!((&shown["roles"], &shown["message"]), (&json!(["main", "fixes"]), &json!("merge fixes into main")));
    assert_eq!(
        shown["meta"],
        json!({"merge.rules": "none=last", "merge.solved": r#"{"a.csv":"fixes","b.csv":null,"new":null}"#})
    );
    let status = parted.status();
    assert_eq!((&status["merge"], &status["base"]), (&Value::Null, &made["version"]));
    parted.run("status --exit-code").text();
    parted.run("switch fixes").text();
    parted.run("switch main").text();
    parted.has(&[("a.csv", "fixes"), ("new", "both"), ("ours", "main"), ("theirs", "fixes")]);
}

#[test]
fn what_was_put_beside_stays_if_it_is_chosen_by_name() {
    let parted = fought();
    let _ = parted.run("merge fixes").exits(4);
    parted.run("add a.fixes.csv").text();
    parted.run("add a.csv b.csv new").text();
    parted.run("merge --continue --as 2.0").text();
    parted.has(&[
        ("a.csv", "main"),
        ("a.fixes.csv", "fixes"),
        ("b.csv", "fixes"),
        ("new", "main"),
        ("ours", "main"),
        ("theirs", "fixes"),
    ]);
    parted.run("status --exit-code").text();
}

#[test]
fn an_abort_restores_the_folder_and_keeps_what_no_version_holds() {
    let parted = fought();
    let before = parted.files();
    let _ = parted.run("merge fixes").exits(4);
    let aborted = parted.run("merge --abort --json").json();
    assert_eq!(aborted["kept"], json!([]));
    assert_eq!(parted.files(), before);
    assert_eq!(parted.status()["merge"], Value::Null);
    parted.run("status --exit-code").text();

    let _ = parted.run("merge fixes").exits(4);
    parted.run("resolve a.csv --take fixes").text();
    parted.0.write("w/new", "edited");
    parted.0.write("w/theirs", "edited");
    parted.0.write("w/other", "mine");
    let aborted = parted.run("merge --abort --json").json();
    assert_eq!(aborted["kept"], json!(["new.unsaved", "theirs.unsaved"]));
    let mut expected = before;
    let unsaved = [("new.unsaved", "edited"), ("theirs.unsaved", "edited"), ("other", "mine")];
    expected.extend(unsaved.map(|(path, text)| (path.to_owned(), text.to_owned())));
    assert_eq!(parted.files(), expected);
    let _ = parted.run("merge --abort").exits(3);
}

#[test]
fn nothing_pulls_the_folder_from_under_a_merge() {
    let parted = fought();
    let _ = parted.run("merge fixes").exits(4);
    for refused in ["switch fixes", "merge fixes", "clean"] {
        let said = parted.run(refused).exits(4);
        assert!(said.stderr.contains("a merge is in progress"), "{refused}: {}", said.stderr);
    }
    parted.0.write("w/a.csv", "edited");
    let _ = parted.run("resolve a.csv --take fixes").exits(4);
    let _ = parted.run("resolve a.csv --take base").exits(2);
    let _ = parted.run("resolve ours --take fixes").exits(3);
    let _ = parted.run("rm a.csv").exits(4);
    assert_eq!(parted.files()["a.csv"], "edited");
    assert_eq!(parted.status()["conflicts"], json!(["a.csv", "b.csv", "new"]));
    parted.run("rm --force a.csv").text();
    assert_eq!(parted.files().get("a.fixes.csv"), None);
}

#[test]
fn a_file_against_a_folder_can_be_taken_either_way() {
    let parted = || Parted::new(&[("x", "x")], &[("d", "file"), ("x", "x")], &[("d/1", "1"), ("d/2", "2"), ("x", "x")]);
    for (take, expected) in
        [("main", &[("d", "file"), ("x", "x")][..]), ("fixes", &[("d/1", "1"), ("d/2", "2"), ("x", "x")])]
    {
        let parted = parted();
        let before = parted.files();
        let _ = parted.run("merge fixes").exits(4);
        parted.has(&[("d.main", "file"), ("d/1", "1"), ("d/2", "2"), ("x", "x")]);
        parted.run("merge --abort").text();
        assert_eq!(parted.files(), before);
        let _ = parted.run("merge fixes").exits(4);
        parted.run(&format!("resolve d --take {take}")).text();
        parted.has(expected);
        parted.run("commit").text();
        parted.run("status --exit-code").text();
        parted.run("switch fixes").text();
        parted.run("switch main").text();
        parted.has(expected);
    }
}

#[test]
fn fail_leaves_the_folder_as_it_is_and_so_does_a_dry_run() {
    let parted = fought();
    let before = parted.files();
    for words in ["merge fixes --on-conflict fail", "merge fixes --dry-run"] {
        let told = parted.run(&format!("{words} --json")).exits(4).document();
        assert_eq!((&told["in_progress"], &told["unresolved"]), (&json!(false), &json!(3)));
        assert_eq!(parted.files(), before);
        parted.run("status --exit-code").text();
    }
}

/// What a process leaves that was killed while it wrote the folder: some paths are there, others are not.
fn cut_off(parted: &Parted, undone: Files<'_>, missing: &[&str]) {
    let path = parted.0.path("w/.dagset/merge.json");
    let mut cut: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(cut["laid"].take(), true);
    (cut["laid"], cut["check"]) = (json!(false), Value::Null);
    fs::write(path, cut.to_string()).unwrap();
    undone.iter().for_each(|(path, content)| parted.0.write(&format!("w/{path}"), content));
    missing.iter().for_each(|path| fs::remove_file(parted.0.path(&format!("w/{path}"))).unwrap());
}

#[test]
fn a_merge_that_was_cut_off_goes_on_or_is_dropped() {
    let parted = fought();
    let before = parted.files();
    for is_dropped in [true, false] {
        let _ = parted.run("merge fixes").exits(4);
        cut_off(&parted, &[("theirs", "0"), ("gone", "0")], &["a.fixes.csv", "b.csv"]);
        assert_eq!(parted.status()["merge"]["cut_off"], json!(true));
        let said = parted.run("commit").exits(4);
        assert!(said.stderr.contains("merge --continue"), "{}", said.stderr);
        if is_dropped {
            parted.run("merge --abort").text();
            assert_eq!(parted.files(), before);
            continue;
        }
        let said = parted.run("merge --continue").exits(4);
        assert!(said.stderr.contains("3 conflicts"), "{}", said.stderr);
        parted.has(LAID);
        parted.run("add b.csv").text();
        parted.0.write("w/new", "both");
        parted.run("add new").text();
        parted.run("resolve a.csv --take fixes").text();
        cut_off(&parted, &[("a.csv", "main"), ("a.fixes.csv", "fixes")], &[]);
        parted.run("merge --continue").text();
        parted.has(&[("a.csv", "fixes"), ("b.csv", "fixes"), ("new", "both"), ("ours", "main"), ("theirs", "fixes")]);
        parted.run("status --exit-code").text();
    }
}

#[test]
fn what_is_left_of_a_merge_that_has_ended_says_nothing() {
    let parted = fought();
    let _ = parted.run("merge fixes").exits(4);
    let path = parted.0.path("w/.dagset/merge.json");
    parted.run("add .").text();
    let left = fs::read(&path).unwrap();
    parted.run("commit").text();
    assert!(!path.exists());
    fs::write(&path, left).unwrap();
    assert_eq!(parted.status()["merge"], Value::Null);
    parted.run("switch fixes").text();
}

#[test]
fn what_a_parent_has_is_written_where_it_stood_whatever_was_made_of_it() {
    let parted = fought();
    let _ = parted.run("merge fixes").exits(4);
    parted.run("rm a.csv").text();
    parted.run("resolve a.csv --take main").text();
    assert_eq!(parted.files()["a.csv"], "main");
    // The base had it, and main deleted it.
    parted.run("resolve b.csv --take main").text();
    assert!(!parted.files().contains_key("b.csv"));
    parted.0.write("w/new", "mine");
    parted.run("add new").text();
    let refused = parted.run("resolve new --take main").exits(4);
    assert!(refused.stderr.contains("new"), "{}", refused.stderr);
    assert_eq!(parted.files()["new"], "mine");
    fs::remove_file(parted.0.path("w/new")).unwrap();
    parted.run("resolve new --take main").text();
    parted.run("commit").text();
    let now = parted.files();
    assert_eq!((now["a.csv"].as_str(), now["new"].as_str()), ("main", "main"));
    assert_eq!(parted.run("cat :a.csv").text(), "main");
}

#[test]
fn what_no_version_holds_and_is_ignored_is_neither_written_over_nor_removed() {
    let ignore = (".dagsetignore", "x.fixes.txt");
    let parted = Parted::new(&[ignore, ("x.txt", "0")], &[ignore, ("x.txt", "main")], &[ignore, ("x.txt", "fixes")]);
    parted.0.write("w/x.fixes.txt", "mine");
    assert!(parted.run("merge fixes").exits(4).stderr.contains("x.fixes.txt"));
    assert_eq!((parted.files()["x.fixes.txt"].as_str(), parted.files()["x.txt"].as_str()), ("mine", "main"));
    let _ = parted.run("merge --abort").exits(3);
    fs::rename(parted.0.path("w/x.fixes.txt"), parted.0.path("mine")).unwrap();
    let _ = parted.run("merge fixes").exits(4);
    parted.run("add x.txt").text();
    parted.run("commit").text();
    // An ignored side stays: nobody can tell what was made of it.
    parted.has(&[("x.fixes.txt", "fixes"), ("x.txt", "main")]);
}

#[test]
fn a_side_that_is_ignored_and_was_edited_stays() {
    let ignore = (".dagsetignore", "*.fixes.txt");
    let parted = Parted::new(&[ignore, ("x.txt", "0")], &[ignore, ("x.txt", "main")], &[ignore, ("x.txt", "fixes")]);
    let _ = parted.run("merge fixes").exits(4);
    parted.0.write("w/x.fixes.txt", "edited");
    parted.run("add x.txt").text();
    assert_eq!(parted.files()["x.fixes.txt"], "edited");
}

#[test]
fn abort_sets_a_folder_aside_that_stands_where_a_file_comes_back() {
    let parted = Parted::new(&[("a", "0"), ("img/d", "0")], &[("a", "main"), ("img/d", "0")], &[("a", "fixes")]);
    let _ = parted.run("merge fixes").exits(4);
    parted.0.write("w/a", "edited");
    parted.0.write("w/img/d/u", "mine");
    parted.run("merge --abort").text();
    let mut expected = vec![("a", "main"), ("a.unsaved", "edited"), ("img/d", "0"), ("img/d.unsaved/u", "mine")];
    expected.sort_unstable();
    parted.has(&expected);
}

#[test]
fn what_the_version_was_to_be_called_is_kept_until_the_commit() {
    let parted = fought();
    assert!(parted.run("merge fixes --as 1.0").exits(4).stderr.contains("the name 1.0 is taken"));
    parted.has(&[("a.csv", "main"), ("gone", "0"), ("new", "main"), ("ours", "main"), ("theirs", "0")]);
    let _ = parted.run("merge fixes --bump major").exits(4);
    parted.run("resolve . --take fixes").text();
    parted.run("commit").text();
    assert_eq!(parted.run("show --json").json()["name"], "2.0");
}

#[test]
fn a_branch_that_moved_meanwhile_costs_nothing_that_was_solved() {
    let parted = fought();
    let _ = parted.run("merge fixes").exits(4);
    parted.run("resolve . --take fixes").text();
    parted.0.write("other/more", "1");
    let store = "./w/.dagset/store/w";
    let _ = parted.0.run(["ingest", "other", "--into", store]).exits(0);
    let refused = parted.run("commit").exits(4);
    assert!(
        refused.stderr.contains("moved since") && refused.stderr.contains("--continue --branch NEW"),
        "{}",
        refused.stderr
    );
    let _ = parted.run("merge --continue --branch fixes").exits(4);
    parted.run("merge --continue --branch solved").text();
    assert_eq!(parted.status()["branch"], "solved");
    let parents = parted.run("show --json").json()["parents"].as_array().unwrap().len();
    assert_eq!((parents, parted.files()["a.csv"].as_str()), (2, "fixes"));
    parted.run("switch main").text();
    let _ = parted.run("merge solved --on-conflict last").exits(0);
}

#[test]
fn files_that_nobody_added_stay_unless_they_are_in_the_way() {
    let base: Files<'_> = &[("a", "0"), ("folder/x", "0")];
    let fixes: Files<'_> = &[("a", "0"), ("folder", "file"), ("new/deep", "fixes")];
    for (main, refused_at, is_conflict) in [(base, "new", false), (&[("a", "m"), ("folder/x", "m")][..], "new", true)] {
        let parted = Parted::new(base, main, fixes);
        let before = parted.run("log --json").json()["versions"].clone();
        for in_the_way in [refused_at, "new/deep"] {
            parted.0.write(&format!("w/{in_the_way}"), "mine");
            let refused = parted.run("merge fixes").exits(4);
            assert!(refused.stderr.contains(&format!("would be written:\n  {in_the_way}\n")), "{}", refused.stderr);
            assert_eq!(parted.run("log --json").json()["versions"], before);
            assert_eq!(parted.status()["merge"], Value::Null);
            fs::remove_file(parted.0.path(&format!("w/{in_the_way}"))).unwrap();
        }
        parted.0.write("w/notes/mine", "mine");
        let _ = parted.run("merge fixes").exits(if is_conflict { 4 } else { 0 });
        if is_conflict {
            let status = parted.status();
            assert_eq!(
                (&status["conflicts"], &status["added"]),
                (&json!(["folder", "folder/x"]), &json!(["new/deep", "notes/mine"]))
            );
            parted.run("resolve folder --take fixes").text();
            parted.run("merge --continue").text();
        }
        assert_eq!(parted.files()["notes/mine"], "mine");
        assert_eq!(parted.files()["folder"], "file");
        let listed = parted.run("ls -R --json").json();
        assert!(!listed.to_string().contains("notes"), "{listed}");
    }
}

#[test]
fn nothing_unsaved_of_what_is_tracked_or_added_is_taken_along() {
    let parted = Parted::new(&[("a", "0")], &[("a", "0"), ("b", "m")], &[("a", "f")]);
    parted.0.write("w/c", "staged");
    parted.run("add c").text();
    let refused = parted.run("merge fixes").exits(4);
    assert!(refused.stderr.contains("1 path has changes that no version holds"), "{}", refused.stderr);
}

#[test]
fn who_would_remove_what_was_put_beside_is_told_how_it_goes() {
    let parted = fought();
    let _ = parted.run("merge fixes").exits(4);
    for command in ["rm", "restore"] {
        let refused = parted.run(&format!("{command} a.fixes.csv")).exits(4);
        assert!(refused.stderr.contains("another parent of the merge has at a.csv"), "{}", refused.stderr);
        assert!(refused.stderr.contains("`dagset resolve a.csv --take REF`"), "{}", refused.stderr);
    }
    let refused = parted.run("switch fixes").exits(4);
    assert!(
        refused.stderr.contains("merge --continue") && refused.stderr.contains("merge --abort"),
        "{}",
        refused.stderr
    );
}
