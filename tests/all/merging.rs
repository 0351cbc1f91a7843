//! `merge` through the binary: what several versions come to, and what is said where they disagree.

use std::fs;

use serde_json::{Value, json};

use crate::env::TestEnv;

/// A store in which versions are made by writing files.
pub struct Bench(pub TestEnv);

impl Bench {
    pub fn new() -> Bench {
        Bench(TestEnv::new())
    }

    /// Publishes these files, (path, content), as a version of a branch; with parents other than the branch's head where some are given.
    pub fn publish(&self, branch: &str, name: &str, parents: &[&str], files: &[(&str, &str)]) {
        let folder = self.0.path("source");
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(path, content)| self.0.write(&format!("source/{path}"), content));
        let mut words = vec!["ingest", "source", "--into", "./store/set", "--create", "--branch", branch, "--as", name];
        parents.iter().for_each(|parent| words.extend(["--parent", parent]));
        self.0.run(words).text();
    }

    /// `base` on main, then a branch for each of `heads` with a version of its name.
    pub fn part(&self, base: &[(&str, &str)], heads: &[(&str, &[(&str, &str)])]) {
        self.publish("main", "base", &[], base);
        for (name, files) in heads {
            self.publish(&format!("on-{name}"), name, &["base"], files);
        }
    }

    /// Merges versions into a new branch `out`; the answer, whatever the exit code.
    pub fn merge(&self, parents: &[&str], more: &[&str], exits: i32) -> Value {
        let addresses: Vec<String> = parents.iter().map(|parent| format!("./store/set@{parent}")).collect();
        let words = ["merge"].into_iter().chain(addresses.iter().map(String::as_str)).chain(["--json"]);
        let words = words.chain(if more.contains(&"--branch") { vec![] } else { vec!["--branch", "out"] });
        self.0.run(words.chain(more.iter().copied())).exits(exits).document()
    }

    /// Paths and contents of a version.
    pub fn files(&self, reference: &str) -> Vec<(String, String)> {
        let listed = self.0.run(["ls", "--recursive", "--json", &format!("./store/set@{reference}")]).json();
        let paths =
            listed["entries"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned());
        paths
            .map(|path| (path.clone(), self.0.run(["cat", &format!("./store/set@{reference}:{path}")]).text()))
            .collect()
    }

    pub fn versions(&self) -> usize {
        self.0.run(["list", "./store", "--json"]).json()["datasets"][0]["versions"].as_u64().unwrap() as usize
    }
}

pub fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(path, content)| (path.to_string(), content.to_string())).collect()
}

#[test]
fn of_three_parents_each_change_counts_and_a_deletion_survives() {
    let bench = Bench::new();
    let base = [("gone.txt", "old"), ("kept.txt", "kept"), ("labels.csv", "1"), ("same.txt", "old")];
    bench.part(
        &base,
        &[
            ("a", &[("kept.txt", "kept"), ("labels.csv", "1"), ("same.txt", "new")]),
            ("b", &[("gone.txt", "old"), ("kept.txt", "kept"), ("labels.csv", "2"), ("same.txt", "new")]),
            (
                "c",
                &[("gone.txt", "old"), ("kept.txt", "kept"), ("labels.csv", "1"), ("more/x", "x"), ("same.txt", "old")],
            ),
        ],
    );
    let expected = owned(&[("kept.txt", "kept"), ("labels.csv", "2"), ("more/x", "x"), ("same.txt", "new")]);
    let mut manifests = Vec::new();
    for (number, order) in [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]].iter().enumerate() {
        let branch = format!("out{number}");
        let made = bench.merge(order, &["--branch", &branch, "--as", &format!("2.{number}")], 0);
        assert_eq!((&made["unresolved"], &made["changed"]), (&json!(0), &json!(true)));
        assert_eq!(bench.files(&branch), expected);
        manifests.push(made["manifest"].clone());
        let log = bench.0.run(["log", &format!("./store/set@2.{number}"), "--json"]).json();
        let parents: Vec<Value> = order.iter().map(|name| version(&bench, name)).collect();
        assert_eq!(log["versions"][0]["parents"], json!(parents), "in the order in which they were named");
        assert_eq!(log["versions"][0]["roles"], json!(order));
        assert_eq!(log["versions"].as_array().unwrap().len(), 5);
    }
    assert!(manifests.iter().all(|manifest| *manifest == manifests[0]), "the order plays no part");
}

pub fn version(bench: &Bench, reference: &str) -> Value {
    bench.0.run(["show", &format!("./store/set@{reference}"), "--json"]).json()["version"].clone()
}

#[test]
fn conflicts_are_data_and_nothing_is_written() {
    let bench = Bench::new();
    bench.part(
        &[("both.txt", "0"), ("fought.txt", "0")],
        &[
            ("a", &[("both.txt", "a"), ("fought.txt", "a"), ("new.txt", "a")]),
            ("b", &[("both.txt", "b"), ("new.txt", "b")]),
            ("c", &[("both.txt", "0"), ("fought.txt", "0")]),
        ],
    );
    let before = bench.versions();
    let told = bench.merge(&["a", "b", "c"], &["--as", "2.0"], 4);
    assert_eq!((&told["unresolved"], &told["version"], &told["stored_bytes"]), (&json!(3), &Value::Null, &json!(0)));
    let content = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
    let side = |of: &str, did: &str, text: Option<&str>| match text {
        Some(text) => json!({"ref": of, "did": did, "kind": "file", "content": content(text), "bytes": text.len()}),
        None => json!({"ref": of, "did": did, "kind": null, "content": null, "bytes": null}),
    };
    let conflict = |path: &str, sides: [Value; 3]| json!({"path": path, "file_and_folder": false, "choice": null, "beside": [], "parents": sides});
    let expected = json!([
        conflict(
            "both.txt",
            [side("a", "changed", Some("a")), side("b", "changed", Some("b")), side("c", "unchanged", Some("0")),]
        ),
        conflict(
            "fought.txt",
            [side("a", "changed", Some("a")), side("b", "deleted", None), side("c", "unchanged", Some("0")),]
        ),
        conflict(
            "new.txt",
            [side("a", "added", Some("a")), side("b", "added", Some("b")), side("c", "unchanged", None),]
        ),
    ]);
    assert_eq!(told["conflicts"], expected);
    assert_eq!(bench.versions(), before);
    let shown = bench.0.run(["merge", "./store/set@a", "./store/set@b", "--branch", "out"]).exits(4);
    insta::assert_snapshot!(shown.snapshot(), @r"
    exit: 4
    --- stdout
    PATH        PARENT  DID      CONTENT       SIZE
    both.txt    a       changed  [id 1]   1 B
                b       changed  [id 2]   1 B
    fought.txt  a       changed  [id 1]   1 B
                b       deleted
    new.txt     a       added    [id 1]   1 B
                b       added    [id 2]   1 B
    3 conflicts, so nothing was written
    --- stderr
    give --on-conflict first|last|newest|both|REF, or --rule 'GLOB=CHOICE'
    ");
}

#[test]
fn a_choice_says_who_wins_for_all_paths_or_by_path() {
    let base = [("fought.txt", "0"), ("labels/l.csv", "0")];
    let heads: [(&str, &[(&str, &str)]); 2] =
        [("a", &[("fought.txt", "a"), ("labels/l.csv", "a")]), ("b", &[("fought.txt", "b"), ("labels/l.csv", "b")])];
    let fought = |content| owned(&[("fought.txt", content), ("labels/l.csv", content)]);
    let aside =
        owned(&[("fought.a.txt", "a"), ("fought.b.txt", "b"), ("labels/l.a.csv", "a"), ("labels/l.b.csv", "b")]);
    let mixed = owned(&[("fought.a.txt", "a"), ("fought.b.txt", "b"), ("labels/l.csv", "b")]);
    let cases: [(&[&str], _); 7] = [
        (&["--on-conflict", "first"], fought("a")),
        (&["--on-conflict", "last"], fought("b")),
        (&["--on-conflict", "newest"], fought("b")),
        (&["--on-conflict", "on-a"], fought("a")),
        (&["--on-conflict", "b"], fought("b")),
        (&["--on-conflict", "both"], aside),
        (&["--rule", "labels/**=last", "--rule", "**=both"], mixed),
    ];
    for (choice, expected) in cases {
        let bench = Bench::new();
        bench.part(&base, &heads);
        let made = bench.merge(&["a", "b"], choice, 0);
        assert_eq!(bench.files("out"), expected, "{choice:?}");
        assert_eq!(made["conflicts"].as_array().unwrap().len(), 2, "{choice:?}: they are told all the same");
        let meta = &bench.0.run(["show", "./store/set@out", "--json"]).json()["meta"];
        match choice[0] {
            "--rule" => assert_eq!(*meta, json!({"merge.rules": "labels/**=last\n**=both"})),
            _ => assert_eq!(*meta, json!({"merge.on-conflict": choice[1]})),
        }
    }
}

#[test]
fn a_rule_leaves_other_paths_in_conflict_and_a_change_can_win_over_a_deletion() {
    let bench = Bench::new();
    bench.part(&[("a.txt", "0"), ("b.txt", "0")], &[("a", &[("a.txt", "a"), ("b.txt", "a")]), ("b", &[])]);
    let told = bench.merge(&["a", "b"], &["--rule", "a.*=first"], 4);
    assert_eq!((&told["unresolved"], &told["conflicts"][0]["choice"]), (&json!(1), &json!("first")));
    bench.merge(&["a", "b"], &["--on-conflict", "both"], 0);
    assert_eq!(
        bench.files("out"),
        owned(&[("a.txt", "a"), ("b.txt", "a")]),
        "under its own name: nothing else claims it"
    );
    bench.merge(&["a", "b"], &["--on-conflict", "last", "--branch", "emptied"], 0);
    assert_eq!(bench.files("emptied"), owned(&[]));
}

#[test]
fn a_file_and_a_folder_of_one_name_are_a_conflict() {
    let bench = Bench::new();
    bench.part(&[("x", "x")], &[("a", &[("d", "file"), ("x", "x")]), ("b", &[("d/1", "1"), ("d/2", "2"), ("x", "x")])]);
    let told = bench.merge(&["a", "b"], &[], 4);
    assert_eq!(told["conflicts"].as_array().unwrap().len(), 1);
    let row = &told["conflicts"][0];
    assert_eq!((&row["path"], &row["file_and_folder"]), (&json!("d"), &json!(true)));
    assert_eq!((&row["parents"][0]["kind"], &row["parents"][1]["kind"]), (&json!("file"), &json!("folder")));
    for (choice, expected) in [
        ("a", owned(&[("d", "file"), ("x", "x")])),
        ("last", owned(&[("d/1", "1"), ("d/2", "2"), ("x", "x")])),
        ("both", owned(&[("d.a", "file"), ("d/1", "1"), ("d/2", "2"), ("x", "x")])),
    ] {
        bench.merge(&["a", "b"], &["--on-conflict", choice, "--branch", &format!("out-{choice}")], 0);
        assert_eq!(bench.files(&format!("out-{choice}")), expected, "{choice}");
    }
}

#[test]
fn a_parent_that_another_came_from_adds_nothing_and_the_branch_moves_on() {
    let bench = Bench::new();
    bench.part(&[("x", "0")], &[("a", &[("x", "a")])]);
    let before = bench.versions();
    let moved = bench.merge(&["a"], &["--branch", "main"], 0);
    assert_eq!((&moved["version"], &moved["changed"]), (&version(&bench, "a"), &json!(true)));
    let again = bench.merge(&["base", "a"], &["--branch", "main"], 0);
    assert_eq!((&again["changed"], &again["parents"][0]["adds_nothing"]), (&json!(false), &json!(true)));
    assert_eq!(bench.versions(), before, "no version was made");
}

#[test]
fn a_version_that_is_the_outcome_already_gets_the_name_or_nothing_happens() {
    let bench = Bench::new();
    bench.part(&[("x", "0")], &[("a", &[("x", "a")])]);
    bench.0.write("source/x", "late");
    bench.0.run(["ingest", "source", "--into", "./store/set", "--branch", "on-a"]).text();
    let records = || bench.0.run(["oplog", "./store", "--json"]).json()["records"].as_array().unwrap().len();
    let before = (bench.versions(), records());
    let merge = |parent: &str, words: &[&str], exits: i32| {
        bench.merge(&[parent], &[&["--branch", "new"], words].concat(), exits)
    };
    let planned = merge("on-a", &["--as", "2.0", "--dry-run"], 0);
    assert_eq!((&planned["name"], &planned["named"], &planned["changed"]), (&json!("2.0"), &json!(true), &json!(true)));
    for words in [&["--as", "2.0"][..], &["--bump", "minor"], &["--as", "base"], &["--as", "2.0", "--dry-run"]] {
        let refused = merge("a", words, 4)["error"].clone();
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("which has the name a already"), "{message}");
        assert!(refused["hint"].as_str().unwrap().starts_with("`dagset tag ./store//set@a "), "{refused}");
    }
    let taken = merge("on-a", &["--as", "base"], 4)["error"]["message"].clone();
    assert_eq!(taken, "the name base is taken in set");
    assert_eq!((bench.versions(), records()), before, "nothing was written");
    let made = merge("on-a", &["--as", "2.0"], 0);
    assert_eq!((&made["named"], &made["changed"], &made["made"]), (&json!(true), &json!(true), &json!(false)));
    assert_eq!((bench.versions(), records()), (before.0, before.1 + 1), "the branch and the name came in one record");
    assert_eq!(version(&bench, "2.0"), version(&bench, "new"));
    for words in [&["--as", "2.0"][..], &["--bump", "minor"]] {
        let again = merge("on-a", words, 0);
        assert_eq!((&again["name"], &again["changed"]), (&json!("2.0"), &json!(false)), "the same again");
    }
    assert_eq!(records(), before.1 + 1);
}

#[test]
fn the_head_of_the_branch_is_the_first_parent_and_the_same_merge_again_is_none() {
    let bench = Bench::new();
    bench.part(&[("x", "0"), ("y", "0")], &[("a", &[("x", "a"), ("y", "0")])]);
    bench.publish("main", "1.1", &[], &[("x", "0"), ("y", "m")]);
    let made = bench.merge(&["a"], &["--branch", "main"], 0);
    let refs: Vec<&Value> = made["parents"].as_array().unwrap().iter().map(|parent| &parent["ref"]).collect();
    assert_eq!(refs, ["main", "a"]);
    assert_eq!(bench.files("main"), owned(&[("x", "a"), ("y", "m")]));
    let again = bench.merge(&["a"], &["--branch", "main"], 0);
    assert_eq!((&again["changed"], &again["version"]), (&json!(false), &made["version"]));
    let shown = bench.0.run(["show", "./store/set@main", "--json"]).json();
    assert_eq!((&shown["message"], &shown["roles"]), (&json!("merge a into main"), &json!(["main", "a"])));
}

#[test]
fn a_dry_run_tells_what_would_come_and_writes_nothing() {
    let bench = Bench::new();
    bench.part(&[("x", "0"), ("y", "0")], &[("a", &[("x", "a"), ("y", "0")]), ("b", &[("x", "0"), ("y", "b")])]);
    let before = bench.versions();
    let told = bench.merge(&["a", "b"], &["--dry-run"], 0);
    assert_eq!((&told["dry_run"], &told["version"], &told["files"]), (&json!(true), &Value::Null, &json!(2)));
    assert_eq!(bench.versions(), before);
    assert_eq!(bench.merge(&["a", "b"], &[], 0)["manifest"], told["manifest"]);
}

#[test]
fn datasets_without_a_common_ancestor_are_united() {
    let bench = Bench::new();
    bench.publish("main", "1.0", &[], &[("cats/1", "c"), ("shared", "s")]);
    bench.0.write("other/dogs/1", "d");
    bench.0.write("other/shared", "s");
    bench.0.run(["ingest", "other", "--into", "./store/dogs", "--create"]).text();
    let made = bench.0.run(["merge", "./store/set@1.0", "./store/dogs", "--branch", "main", "--json"]).json();
    assert_eq!(made["parents"][1]["ref"], "dogs@main");
    assert_eq!(bench.files("main"), owned(&[("cats/1", "c"), ("dogs/1", "d"), ("shared", "s")]));
    // What came from the other dataset is known the next time: its deletion there is one here.
    fs::remove_dir_all(bench.0.path("other/dogs")).unwrap();
    bench.0.run(["ingest", "other", "--into", "./store/dogs"]).text();
    bench.0.run(["merge", "./store/set", "./store/dogs", "--branch", "main"]).text();
    assert_eq!(bench.files("main"), owned(&[("cats/1", "c"), ("shared", "s")]));
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let bench = Bench::new();
    bench.part(&[("x", "0")], &[("a", &[("x", "a")]), ("b", &[("y", "b")])]);
    let refused = |words: &[&str], code: i32, said: &str| {
        let outcome = bench.0.run([&["merge"][..], words].concat()).exits(code);
        assert!(outcome.stderr.contains(said), "{words:?}: {}", outcome.stderr);
    };
    refused(&["./store/set@a"], 2, "needs the branch");
    refused(&["./store/set@a", "./store/set@no", "--branch", "out"], 3, "no version name, tag, branch or id no");
    refused(&["./store/set@a:x", "./store/set@b", "--branch", "out"], 2, "is a part of a version of");
    refused(&["./store/set@a", "./store/set@b", "--branch", "out", "--on-conflict", "base"], 2, "is no parent");
    refused(&["./store/set@a", "./store/set@b", "--branch", "out", "--rule", "labels"], 2, "GLOB=CHOICE");
    refused(
        &["./store/set@a", "./store/set@b", "--branch", "out", "--on-conflict", "first", "--as", "a"],
        4,
        "is taken",
    );
    bench.0.write("far/x", "1");
    bench.0.run(["ingest", "far", "--into", "./else/far", "--create"]).text();
    refused(&["./store/set@a", "./else/far", "--branch", "out"], 2, "is another store");
    refused(&["./store/set@a", "./else/far", "--branch", "out"], 2, "dagset dataset copy ./else/far ./store//far");
}

#[test]
fn in_a_workspace_its_branch_is_merged_into_and_the_folder_follows() {
    let bench = Bench::new();
    let env = &bench.0;
    env.write("w/x", "0");
    env.write("w/gone", "0");
    let run = |words: &[&str]| env.run_with("w", words.iter().copied(), b"");
    run(&["init"]).text();
    run(&["commit", "-a", "--as", "1.0"]).text();
    run(&["branch", "fixes"]).text();
    run(&["switch", "fixes"]).text();
    fs::remove_file(env.path("w/gone")).unwrap();
    env.write("w/new", "n");
    run(&["commit", "-a", "-m", "fixes"]).text();
    run(&["switch", "main"]).text();
    env.write("w/x", "1");
    let refused = run(&["merge", "fixes"]).exits(4);
    assert!(refused.stderr.contains("1 path has changes that no version holds:\n  x\n"), "{}", refused.stderr);
    run(&["commit", "-a", "-m", "main"]).text();
    let made = run(&["merge", "fixes", "--as", "2.0", "--json"]).json();
    assert_eq!((&made["written"], &made["removed"]), (&json!(1), &json!(1)));
    let have = ["x", "new", "gone"].map(|name| fs::read_to_string(env.path(&format!("w/{name}"))).ok());
    assert_eq!(have, [Some("1".to_owned()), Some("n".to_owned()), None]);
    let status = run(&["status", "--json"]).json();
    assert_eq!((&status["branch"], &status["base"]), (&json!("main"), &made["version"]));
    run(&["status", "--exit-code"]).text();
}
