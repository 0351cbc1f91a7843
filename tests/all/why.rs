//! `why`: where what stands at a path came from.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::machine::{FAR, Machine, address};
use crate::merging::{Bench, version};

fn why(bench: &Bench, place: &str) -> Vec<Value> {
    let told = bench.0.run(["why", &format!("./store/set@{place}"), "--json"]).json();
    told["steps"].as_array().unwrap().clone()
}

/// Of each step: the version's name, what it did, what decided and whose was taken.
fn in_short(steps: &[Value]) -> Vec<[Value; 4]> {
    steps.iter().map(|step| ["name", "how", "rule", "took"].map(|key| step[key].clone())).collect()
}

fn merged(choice: &[&str]) -> Bench {
    let bench = Bench::new();
    bench.part(
        &[("gone", "0"), ("kept", "0"), ("l.csv", "0"), ("one", "0")],
        &[
            ("a", &[("kept", "0"), ("l.csv", "a"), ("one", "a")]),
            ("b", &[("gone", "0"), ("kept", "0"), ("l.csv", "b"), ("new", "b"), ("one", "0")]),
        ],
    );
    bench.merge(&["a", "b"], &[choice, &["--as", "2.0"]].concat(), 0);
    bench.publish("out", "2.1", &[], &[("kept", "0"), ("l.csv", "b"), ("new", "b"), ("one", "a"), ("x", "x")]);
    bench
}

#[test]
fn each_path_is_followed_to_the_version_that_put_it_there() {
    let bench = merged(&["--rule", "*.csv=last"]);
    let merged = |rule: &str, took: &str| [json!("2.0"), json!("merged"), json!(rule), json!(took)];
    let did = |name: &str, what: &str| [json!(name), json!(what), Value::Null, Value::Null];
    assert_eq!(in_short(&why(&bench, "2.1:kept")), [did("base", "added")]);
    assert_eq!(in_short(&why(&bench, "2.1:x")), [did("2.1", "added")]);
    assert_eq!(in_short(&why(&bench, "2.1:one")), [merged("only change", "a"), did("a", "changed")]);
    assert_eq!(in_short(&why(&bench, "2.1:new")), [merged("only change", "b"), did("b", "added")]);
    assert_eq!(in_short(&why(&bench, "2.1:gone")), [merged("only change", "a"), did("a", "deleted")]);
    let steps = why(&bench, "2.1:l.csv");
    assert_eq!(in_short(&steps), [merged("*.csv=last", "b"), did("b", "changed")]);
    let content = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
    let side =
        |name: &str| json!({"ref": name, "did": "changed", "kind": "file", "content": content(name), "bytes": 1});
    assert_eq!(steps[0]["parents"], json!([side("a"), side("b")]), "what lost is told");
    assert_eq!(steps[1]["version"], version(&bench, "b"));
    let shown = bench.0.run(["why", "./store/set@2.1:l.csv"]);
    insta::assert_snapshot!(shown.snapshot(), @r"
    exit: 0
    --- stdout
    l.csv  [id 1], 1 B
    2.0  merged: took b (*.csv=last)
        [time]  Test Author  merge a, b into out
        a: changed  [id 2]  1 B
        b: changed  [id 1]  1 B
    b  changed
        [time]  Test Author
    --- stderr
    ");
    let _ = bench.0.run(["why", "./store/set@2.1:none"]).exits(3);
    let _ = bench.0.run(["why", "./store/set@2.1"]).exits(2);
}

#[test]
fn what_stands_beside_is_followed_to_where_it_stood() {
    let bench = merged(&["--on-conflict", "both"]);
    let steps = why(&bench, "2.0:l.b.csv");
    let expected = [
        [json!("2.0"), json!("merged"), json!("both"), json!("b")],
        [json!("b"), json!("changed"), Value::Null, Value::Null],
    ];
    assert_eq!(in_short(&steps), expected);
    assert_eq!((&steps[0]["path"], &steps[1]["path"]), (&json!("l.b.csv"), &json!("l.csv")));
    let did: Vec<_> = steps[0]["parents"].as_array().unwrap().iter().map(|side| &side["did"]).collect();
    assert_eq!(did, ["changed", "changed"], "at the path where it stood");
}

#[test]
fn of_a_path_that_was_kept_twice_it_is_told_where_and_of_whom() {
    let bench = merged(&["--on-conflict", "both"]);
    let steps = why(&bench, "2.0:l.csv");
    assert_eq!(in_short(&steps), [[json!("2.0"), json!("merged"), json!("both"), Value::Null]]);
    let kept = json!([{"ref": "a", "path": "l.a.csv"}, {"ref": "b", "path": "l.b.csv"}]);
    assert_eq!(steps[0]["kept"], kept);
    insta::assert_snapshot!(bench.0.run(["why", "./store/set@2.0:l.csv"]).snapshot(), @"
    exit: 0
    --- stdout
    l.csv
    2.0  merged: kept each under a name of its own (both)
        [time]  Test Author  merge a, b into out
        a: changed  [id 1]  1 B  as l.a.csv
        b: changed  [id 2]  1 B  as l.b.csv
    --- stderr
    ");
}

#[test]
fn what_was_solved_by_hand_is_told() {
    let bench = merged(&["--on-conflict", "first"]);
    let run = |words: &str| bench.0.run_with("w", words.split(' '), b"");
    fs::create_dir_all(bench.0.path("w")).unwrap();
    run("init --store ../store --dataset set").text();
    run("switch on-a").text();
    let _ = run("merge on-b").exits(4);
    bench.0.write("w/l.csv", "both");
    run("add l.csv").text();
    run("commit --as 3.0").text();
    let told = run("why :l.csv --json").json();
    let steps = in_short(told["steps"].as_array().unwrap());
    assert_eq!(steps, [[json!("3.0"), json!("merged"), json!("by hand"), Value::Null]]);
}

#[test]
fn only_the_way_to_the_path_is_read() {
    let machine = Machine::with_store();
    for number in 0..300 {
        machine.write(&format!("source/{}/{number}", number % 3), format!("{number}"));
    }
    const VERSIONS: u64 = 40;
    for number in 0..VERSIONS {
        machine.write("source/0/file", format!("{number}"));
        machine.ingest("set", "source");
    }
    let reader = Machine::new(machine.far());
    let at = |path: &str| address(&format!("{FAR}/set:{path}"));
    let (told, cost) = reader.run(|engine| engine.why(&at("0/file")));
    assert_eq!(told.steps.len(), 1);
    assert!(cost.requests() <= 14, "the newest two versions: {cost:?}");
    let (told, cost) = Machine::new(machine.far()).run(|engine| engine.why(&at("1/1")));
    assert_eq!(told.steps.len(), 1);
    assert!(cost.requests() <= 2 * VERSIONS + 12, "a root and what differs, of each version: {cost:?}");
}

#[test]
fn parents_that_did_the_same_are_all_named() {
    let bench = Bench::new();
    bench.part(
        &[("one", "0"), ("two", "0")],
        &[
            ("a", &[("one", "1"), ("two", "a")]),
            ("b", &[("one", "1"), ("two", "0")]),
            ("c", &[("one", "0"), ("two", "0")]),
        ],
    );
    bench.merge(&["c", "a", "b"], &["--as", "2.0"], 0);
    let also = |path: &str| why(&bench, path)[0]["also"].clone();
    assert_eq!((also("2.0:one"), also("2.0:two")), (json!(["b"]), json!([])));
    let told = bench.0.run(["why", "./store/set@2.0:one"]).text();
    assert!(told.contains("merged: took a and b (same change)"), "{told}");
}

/// Of a merge's step: what each parent did, and the version that made the change which was taken, by the parents' names.
fn by_parent(step: &Value) -> (Vec<Value>, Vec<[Value; 2]>) {
    let rows = |key: &str| step[key].as_array().unwrap().clone();
    let by = rows("by").into_iter().map(|by| ["ref", "name"].map(|key| by[key].clone()));
    (rows("parents").into_iter().map(|side| side["did"].clone()).collect(), by.collect())
}

#[test]
fn where_all_parents_did_the_same_each_is_named_with_the_version_that_did_it() {
    let bench = Bench::new();
    let base = [("changed", "0"), ("gone", "0"), ("kept", "0")];
    let same = [("changed", "1"), ("kept", "0"), ("new", "1")];
    bench.part(&base, &[("a", &same), ("b", &same)]);
    bench.publish("on-b", "b2", &[], &[&same[..], &[("z", "b")]].concat());
    bench.publish("on-c", "c", &["a"], &[&same[..], &[("z", "b")]].concat());
    bench.merge(&["a", "b2", "base"], &["--as", "2.0"], 0);
    for (path, did) in [("new", "added"), ("changed", "changed"), ("gone", "deleted")] {
        let steps = why(&bench, &format!("2.0:{path}"));
        let merged = [json!("2.0"), json!("merged"), json!("same change"), json!("a")];
        assert_eq!(in_short(&steps), [merged, [json!("a"), json!(did), Value::Null, Value::Null]]);
        assert_eq!(steps[0]["also"], json!(["b2"]));
        let expected = [[json!("a"), json!("a")], [json!("b2"), json!("b")]];
        assert_eq!(by_parent(&steps[0]), (vec![json!(did); 2], expected.to_vec()), "{path}");
    }
    assert_eq!(why(&bench, "2.0:kept").len(), 1, "who left it alone is no step");
    bench.merge(&["c", "b2"], &["--branch", "more", "--as", "3.0"], 0);
    let steps = why(&bench, "3.0:new");
    assert_eq!(by_parent(&steps[0]).1, [[json!("c"), json!("a")], [json!("b2"), json!("b")]]);
    let shown = bench.0.run(["why", "./store/set@3.0:new"]);
    insta::assert_snapshot!(shown.snapshot(), @r"
    exit: 0
    --- stdout
    new  [id 1], 1 B
    3.0  merged: took c and b2 (same change)
        [time]  Test Author  merge c, b2 into more
        c: added  [id 1]  1 B  by a
        b2: added  [id 1]  1 B  by b
    a  added
        [time]  Test Author
    --- stderr
    ");
}

#[test]
fn a_clone_that_lacks_a_part_tells_what_came_from_it_and_all_about_the_rest() {
    let bench = Bench::new();
    bench.publish("main", "1.0", &[], &[("own", "0")]);
    bench.0.write("dogs/sub/d", "d");
    bench.0.run(["ingest", "dogs", "--into", "./store/dogs", "--create"]).text();
    let merge = ["merge", "./store/set@main", "./store/dogs@main:sub/=dogs/", "--branch", "main", "--as", "2.0"];
    bench.0.run(merge).text();
    bench.0.run(["clone", "./store/set", "work"]).text();
    let why = |path: &str| bench.0.run_with("work", ["why", path, "--json"], b"").exits(0);
    let steps = |told: &Value| in_short(told["steps"].as_array().unwrap());
    let (own, dogs) = (why(":own"), why(":dogs/d"));
    assert_eq!(steps(&own.document()), [[json!("1.0"), json!("added"), Value::Null, Value::Null]]);
    assert_eq!(own.stderr, "", "the part has no say there");
    let merged = [json!("2.0"), json!("merged"), json!("only change"), json!("dogs@main:sub/=dogs/")];
    assert_eq!(steps(&dogs.document()), [merged]);
    assert!(dogs.stderr.contains("isn't in this store: what it had at dogs/d isn't known"), "{}", dogs.stderr);
}

#[test]
fn what_two_of_three_parents_share_is_told_as_done_by_both() {
    let bench = Bench::new();
    bench.part(&[("x", "0"), ("y", "0")], &[("a", &[("x", "1"), ("y", "0")]), ("c", &[("x", "0"), ("y", "c")])]);
    bench.publish("on-b", "b", &["a"], &[("x", "1"), ("y", "0"), ("z", "b")]);
    bench.publish("on-a", "a2", &["a"], &[("x", "1"), ("y", "0"), ("z", "b")]);
    bench.merge(&["a2", "b", "c"], &["--as", "2.0"], 0);
    let steps = why(&bench, "2.0:x");
    let did = ["changed", "changed", "unchanged"].map(|did| json!(did)).to_vec();
    assert_eq!(by_parent(&steps[0]), (did, vec![[json!("a2"), json!("a")], [json!("b"), json!("a")]]));
}

#[test]
fn what_a_revert_took_back_is_told_with_the_rule_that_it_followed() {
    let bench = Bench::new();
    bench.publish("main", "1.0", &[], &[("clean", "0"), ("fought", "0")]);
    bench.publish("main", "1.1", &[], &[("clean", "1"), ("fought", "1"), ("new", "1")]);
    bench.publish("main", "1.2", &[], &[("clean", "1"), ("fought", "2"), ("new", "1")]);
    let refused = bench.0.run(["revert", "./store/set@1.1", "--json"]).exits(4).document();
    assert_eq!(refused["conflicts"][0]["path"], "fought");
    bench.0.run(["revert", "./store/set@1.1", "--on-conflict", "last", "--bump", "major"]).text();
    let shown = bench.0.run(["show", "./store/set@2.0", "--json"]).json();
    let undone = version(&bench, "1.1");
    assert_eq!(shown["meta"], json!({"merge.on-conflict": "last", "revert.version": undone}));
    let reverted = |rule: &str| [json!("2.0"), json!("reverted"), json!(rule), Value::Null];
    let added = [json!("1.0"), json!("added"), Value::Null, Value::Null];
    assert_eq!(in_short(&why(&bench, "2.0:clean")), [reverted("only change"), added.clone()]);
    assert_eq!(in_short(&why(&bench, "2.0:fought")), [reverted("last"), added]);
    assert_eq!(in_short(&why(&bench, "2.0:new")), [reverted("only change")], "what had never been there");
    let told = bench.0.run(["why", "./store/set@2.0:fought"]).text();
    assert!(told.contains("reverted: took back 1.1 (last)"), "{told}");
    let logged = bench.0.run(["oplog", "./store"]).text();
    let line = logged.lines().nth(1).unwrap();
    assert!(line.ends_with("commit 2.0 to main, taking back 1.1 of set"), "{logged}");
    let number = line.split_whitespace().next().unwrap();
    let whole = bench.0.run(["oplog", "./store", number]).text();
    assert!(whole.contains("  metadata revert.version of 2.0 set to 1.1 of set\n"), "{whole}");
}

#[test]
fn where_a_file_met_a_folder_the_rule_is_told_and_what_it_took() {
    let bench = Bench::new();
    bench.part(&[("k", "0")], &[("a", &[("k", "0"), ("p", "a")]), ("b", &[("k", "0"), ("p/x", "b")])]);
    let merge = |rule: &[&str], name: &str| {
        bench.merge(&["a", "b"], &[rule, &["--as", name, "--branch", &format!("to-{name}")]].concat(), 0);
    };
    merge(&["--rule", "p=last"], "2.0");
    merge(&["--rule", "p=first"], "3.0");
    merge(&["--on-conflict", "both"], "4.0");
    let merged = |name: &str, rule: &str, took: &str| [json!(name), json!("merged"), json!(rule), json!(took)];
    let added = |name: &str| [json!(name), json!("added"), Value::Null, Value::Null];
    let steps = why(&bench, "2.0:p");
    assert_eq!(in_short(&steps), [merged("2.0", "p=last", "b")], "the folder was taken, and no file was ever deleted");
    let sides = |steps: &[Value]| {
        let sides = steps[0]["parents"].as_array().unwrap().iter();
        sides.map(|side| (side["did"].clone(), side["kind"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(sides(&steps), [(json!("added"), json!("file")), (json!("added"), json!("folder"))]);
    assert_eq!(in_short(&why(&bench, "2.0:p/x")), [merged("2.0", "p=last", "b"), added("b")]);
    assert_eq!(in_short(&why(&bench, "3.0:p")), [merged("3.0", "p=first", "a"), added("a")]);
    let lost = why(&bench, "3.0:p/x");
    assert_eq!(in_short(&lost), [merged("3.0", "p=first", "a"), added("a")]);
    assert_eq!(lost[1]["path"], "p", "the file stands where its folder would");
    assert_eq!(in_short(&why(&bench, "4.0:p")), [merged("4.0", "both", "b")]);
    assert_eq!(in_short(&why(&bench, "4.0:p/x")), [merged("4.0", "both", "b"), added("b")]);
    assert_eq!(in_short(&why(&bench, "4.0:p.a")), [merged("4.0", "both", "a"), added("a")]);
}

#[test]
fn a_folder_that_became_a_file_was_changed_and_one_that_was_filled_was_not_deleted() {
    let bench = Bench::new();
    bench.part(
        &[("k", "0"), ("p/x", "0")],
        &[("a", &[("k", "0"), ("p", "a")]), ("b", &[("k", "0"), ("p/x", "b")]), ("c", &[("k", "1"), ("p/x", "0")])],
    );
    bench.merge(&["a", "c"], &["--as", "2.0"], 0);
    let changed = |name: &str| [json!(name), json!("changed"), Value::Null, Value::Null];
    let only = [json!("2.0"), json!("merged"), json!("only change"), json!("a")];
    assert_eq!(in_short(&why(&bench, "2.0:p")), [only.clone(), changed("a")], "c left the folder alone");
    bench.merge(&["a", "b"], &["--rule", "**=first", "--as", "3.0", "--branch", "out-3"], 0);
    let steps = why(&bench, "3.0:p/x");
    assert_eq!(steps[0]["rule"], "**=first");
    std::fs::create_dir(bench.0.path("source/e")).unwrap();
    let ingest = |name: &str| {
        let to = ["ingest", "source", "--into", "./store/set", "--branch", "main", "--as", name];
        bench.0.run(to).text();
    };
    ingest("1.1");
    bench.0.write("source/e/x", "x");
    ingest("1.2");
    assert_eq!(in_short(&why(&bench, "1.2:e")), [changed("1.2")], "something is in it");
}

#[test]
fn a_refresh_that_leaves_what_one_parent_had_names_that_parent_though_it_adds_nothing() {
    let bench = Bench::new();
    let heads = ["p", "q", "r"].map(|name| (name, [("a", name), ("k", "0")]));
    bench.part(&[("a", "0"), ("k", "0")], &heads.each_ref().map(|(name, files)| (*name, &files[..])));
    bench.merge(&["on-p", "on-q", "on-r"], &["--on-conflict", "both"], 0);
    for name in ["q", "r"] {
        bench.publish(&format!("on-{name}"), &format!("{name}2"), &[], &[("k", "0")]);
    }
    bench.0.run(["refresh", "./store/set@out"]).text();
    assert_eq!(bench.0.run(["cat", "./store/set@out:a"]).text(), "p");
    let expected = [
        [Value::Null, json!("merged"), json!("both"), json!("on-p")],
        [json!("p"), json!("changed"), Value::Null, Value::Null],
    ];
    assert_eq!(in_short(&why(&bench, "out:a")), expected);
}

#[test]
fn what_several_parents_did_alike_is_told_of_all_where_it_was_put_beside() {
    let bench = Bench::new();
    bench.part(&[("l", "0")], &[("b", &[("l", "1")]), ("c", &[("l", "1")]), ("d", &[("l", "2")])]);
    bench.merge(&["b", "c", "d"], &["--on-conflict", "both", "--as", "2.0"], 0);
    let beside = why(&bench, "2.0:l.b");
    let expected = [
        [json!("2.0"), json!("merged"), json!("both"), json!("b")],
        [json!("b"), json!("changed"), Value::Null, Value::Null],
    ];
    assert_eq!((in_short(&beside), &beside[0]["also"]), (expected.to_vec(), &json!(["c"])));
    assert_eq!(by_parent(&beside[0]).1, [[json!("b"), json!("b")], [json!("c"), json!("c")]]);
    let kept = json!([
        {"ref": "b", "path": "l.b"},
        {"ref": "c", "path": "l.b"},
        {"ref": "d", "path": "l.d"},
    ]);
    assert_eq!(why(&bench, "2.0:l")[0]["kept"], kept);
}

#[test]
fn where_each_was_kept_beside_nobody_s_deletion_was_taken() {
    let bench = Bench::new();
    let deleted: &[(&str, &str)] = &[("k", "0")];
    let base: &[(&str, &str)] = &[("k", "0"), ("l", "0")];
    bench.part(base, &[("p", &[("k", "0"), ("l", "p")]), ("q", &[("k", "0"), ("l", "q")]), ("v", deleted)]);
    bench.merge(&["p", "q", "v"], &["--on-conflict", "both", "--as", "2.0"], 0);
    let steps = why(&bench, "2.0:l");
    assert_eq!(in_short(&steps), [[json!("2.0"), json!("merged"), json!("both"), Value::Null]]);
    assert_eq!(steps[0]["kept"], json!([{"ref": "p", "path": "l.p"}, {"ref": "q", "path": "l.q"}]));
    assert_eq!(by_parent(&steps[0]).0, ["changed", "changed", "deleted"]);
}

#[test]
fn who_made_a_file_executable_is_told_and_who_gave_it_its_content() {
    let bench = Bench::new();
    bench.part(&[("a", "0"), ("k", "0")], &[("y", &[("a", "0"), ("k", "y")])]);
    bench.0.write("source/k", "0");
    let set_mode = |mode| fs::set_permissions(bench.0.path("source/a"), fs::Permissions::from_mode(mode)).unwrap();
    let ingest = |name: &str, parent: &str| {
        let words = ["ingest", "source", "--into", "./store/set", "--branch", "on-x", "--as", name, "--parent", parent];
        bench.0.run(words).text();
    };
    set_mode(0o755);
    ingest("x", "base");
    bench.merge(&["x", "y"], &["--as", "2.0"], 0);
    let told = bench.0.run(["why", "./store/set@2.0:a"]).text();
    assert!(told.contains("  1 B  executable\n") && told.contains("x  made executable\n"), "{told}");
    let did: Vec<Value> = why(&bench, "2.0:a").iter().map(|step| step["how"].clone()).collect();
    assert_eq!(did, ["merged", "made executable", "added"]);
    set_mode(0o644);
    ingest("x2", "x");
    assert_eq!(why(&bench, "x2:a")[0]["how"], "made no longer executable");
}
