//! `refresh`: a recorded merge once more, of what its parents are now.

use serde_json::{Value, json};

use crate::merging::{Bench, owned, version};

const BASE: &[(&str, &str)] = &[("labels/l", "0"), ("x", "0"), ("y", "0")];

/// Two branches that disagree about a label, merged into `out` by a rule.
fn merged() -> Bench {
    let bench = Bench::new();
    bench.part(
        BASE,
        &[("a", &[("labels/l", "a"), ("x", "a"), ("y", "0")]), ("b", &[("labels/l", "b"), ("x", "0"), ("y", "b")])],
    );
    bench.merge(&["on-a", "on-b"], &["--rule", "labels/**=on-b", "--as", "2.0"], 0);
    bench
}

fn refresh(bench: &Bench, words: &[&str]) -> Value {
    bench.0.run(["refresh", "./store/set@out", "--json"].iter().chain(words)).json()
}

#[test]
fn a_merge_is_run_again_on_the_newest_versions_of_its_parents_by_its_rules() {
    let bench = merged();
    let before = bench.versions();
    let told = refresh(&bench, &[]);
    assert_eq!((&told["changed"], &told["version"]), (&json!(false), &version(&bench, "2.0")), "nothing is new");
    assert_eq!(bench.versions(), before);

    bench.publish("on-a", "a2", &[], &[("labels/l", "a2"), ("x", "a2"), ("y", "0"), ("z", "a2")]);
    let told = refresh(&bench, &["--dry-run"]);
    assert_eq!((&told["changed"], &told["version"], bench.versions()), (&json!(true), &Value::Null, before + 1));
    let told = refresh(&bench, &[]);
    let refs: Vec<&Value> = told["parents"].as_array().unwrap().iter().map(|parent| &parent["ref"]).collect();
    assert_eq!(refs, ["out", "on-a", "on-b"]);
    assert_eq!(told["parents"][2]["adds_nothing"], json!(true));
    let choice = &told["conflicts"][0]["choice"];
    assert_eq!(choice, "on-b", "the rule is followed again, among the parents themselves");
    assert_eq!(bench.files("out"), owned(&[("labels/l", "b"), ("x", "a2"), ("y", "b"), ("z", "a2")]));

    bench.publish("on-b", "b2", &[], &[("labels/l", "b2"), ("x", "0"), ("y", "b2")]);
    refresh(&bench, &[]);
    let expected = owned(&[("labels/l", "b2"), ("x", "a2"), ("y", "b2"), ("z", "a2")]);
    assert_eq!(bench.files("out"), expected, "a parent that once added nothing is asked again");
}

#[test]
fn a_merge_of_a_branch_that_is_gone_is_not_made_again_and_says_how_to_bring_it_back() {
    let bench = merged();
    bench.0.run(["branch", "-d", "./store/set", "on-b"]).text();
    insta::assert_snapshot!(bench.0.run(["refresh", "./store/set@out"]).snapshot(), @"
    exit: 3
    --- stdout
    --- stderr
    error: what the recorded merge was of isn't there any more
      because: set has no version name, tag, branch or id on-b
    hint: `dagset log --graph` shows it, and `dagset branch REF NAME` brings a branch back; `dagset merge REF…` merges others
    ");
    bench.0.run(["branch", "./store/set@b", "on-b"]).text();
    assert_eq!(refresh(&bench, &[])["changed"], json!(false));
}

#[test]
fn a_refresh_comes_to_what_a_fresh_merge_comes_to_whatever_the_rule() {
    let base = [("l.txt", "0"), ("x", "0")];
    let of = |name: &'static str| [("l.txt", name), ("x", "0")];
    for choice in ["first", "last", "both", "newest", "on-b"] {
        for order in [["on-a", "on-b", "on-c"], ["on-b", "on-a", "on-c"], ["on-c", "on-b", "on-a"]] {
            let bench = Bench::new();
            bench.part(&base, &[("a", &of("a")), ("b", &of("b")), ("c", &[("l.txt", "0"), ("x", "c")])]);
            let rule = ["--on-conflict", choice];
            bench.merge(&order, &rule, 0);
            for (branch, name) in [("on-a", "a2"), ("on-b", "b2"), ("on-a", "a3"), ("on-c", "c2")] {
                bench.publish(branch, name, &[], &[("l.txt", name), ("x", "0"), (name, "more")]);
                refresh(&bench, &[]);
                let fresh = format!("fresh-{name}");
                bench.merge(&order, &[&rule[..], &["--branch", &fresh]].concat(), 0);
                assert_eq!(bench.files("out"), bench.files(&fresh), "{choice}, {order:?}, {name}");
            }
            assert_eq!(refresh(&bench, &[])["changed"], json!(false));
        }
    }
}

#[test]
fn a_refresh_of_a_branch_that_had_versions_keeps_its_place() {
    let bench = Bench::new();
    bench.part(&[("l", "0"), ("x", "0")], &[("a", &[("l", "a"), ("x", "0")]), ("b", &[("l", "0"), ("x", "b")])]);
    bench.publish("main", "1.1", &[], &[("l", "m"), ("x", "0")]);
    bench.merge(&["on-a", "on-b"], &["--branch", "main", "--on-conflict", "last"], 0);
    assert_eq!(bench.files("main"), owned(&[("l", "a"), ("x", "b")]));
    bench.publish("on-a", "a2", &[], &[("l", "0"), ("x", "0")]);
    bench.0.run(["refresh", "./store/set@main"]).text();
    assert_eq!(bench.files("main"), owned(&[("l", "m"), ("x", "b")]), "what lost against `on-a` is back");
}

#[test]
fn what_was_done_on_top_of_a_merge_stays_when_it_is_refreshed() {
    let bench = merged();
    bench.publish("out", "2.1", &[], &[("labels/l", "hand"), ("x", "a"), ("y", "b")]);
    bench.publish("on-a", "a2", &[], &[("labels/l", "a"), ("x", "a2"), ("y", "0")]);
    refresh(&bench, &[]);
    assert_eq!(bench.files("out"), owned(&[("labels/l", "hand"), ("x", "a2"), ("y", "b")]));
}

#[test]
fn what_was_solved_stays_and_what_came_since_is_taken() {
    let bench = merged();
    bench.publish("on-a", "a2", &[], &[("labels/l", "a"), ("x", "a2"), ("y", "0"), ("z", "a2")]);
    bench.publish("on-b", "b2", &[], &[("labels/l", "b2"), ("x", "0"), ("y", "b")]);
    let told = refresh(&bench, &["--as", "3.0"]);
    assert_eq!((&told["name"], &told["unresolved"]), (&json!("3.0"), &json!(0)));
    assert_eq!(bench.files("out"), owned(&[("labels/l", "b2"), ("x", "a2"), ("y", "b"), ("z", "a2")]));
    let shown = bench.0.run(["show", "./store/set@3.0", "--json"]).json();
    assert_eq!(shown["roles"], json!(["out", "on-a", "on-b"]));
    let asked = json!({"merge.parents": "on-a\non-b", "merge.refreshes": version(&bench, "2.0"), "merge.rules": "labels/**=on-b"});
    assert_eq!(shown["meta"], asked);
    let again = bench.0.run(["refresh", "./store/set@3.0", "--json"]).json();
    assert_eq!(again["changed"], json!(false), "a version that one branch has is as good as the branch");
}

#[test]
fn what_is_no_merge_cannot_be_refreshed() {
    let bench = merged();
    let said = bench.0.run(["refresh", "./store/set@on-a"]).exits(3);
    assert!(said.stderr.contains("no merge is recorded"), "{}", said.stderr);
    let said = bench.0.run(["refresh", "./store/set@base"]).exits(2);
    assert!(said.stderr.contains("4 branches"), "{}", said.stderr);
}

#[test]
fn a_dataset_that_was_renamed_since_is_followed_in_roles_and_rules() {
    let bench = Bench::new();
    bench.publish("main", "1.0", &[], &[("l", "own")]);
    let dogs = |into: &str, content: &str| {
        bench.0.write("dogs/l", content);
        bench.0.run(["ingest", "dogs", "--into", into, "--create"]).text();
    };
    dogs("./store/dogs", "1");
    let merge = "merge ./store/set@main ./store/dogs@main --branch out --rule l=dogs@main";
    bench.0.run(merge.split(' ')).text();
    bench.0.run("dataset rename ./store/dogs hounds".split(' ')).text();
    dogs("./store/hounds", "2");
    refresh(&bench, &[]);
    assert_eq!(bench.files("out"), owned(&[("l", "2")]));
}
