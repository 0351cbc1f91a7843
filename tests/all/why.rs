//! `why`: where what stands at a path came from.

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
}

#[test]
fn what_was_solved_by_hand_is_told() {
    let bench = merged(&["--on-conflict", "first"]);
    let run = |words: &str| bench.0.run_with("w", words.split(' '), b"");
    std::fs::create_dir_all(bench.0.path("w")).unwrap();
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
}
