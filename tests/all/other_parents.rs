//! Versions whose parents are in another dataset of the store: their history goes on there.

use serde_json::{Value, json};

use crate::merging::Bench;

/// `set` 1.0, merged as 2.0 with version 1 of `dogs`, which has version 0 before it.
fn merged() -> Bench {
    let bench = Bench::new();
    bench.publish("main", "1.0", &[], &[("cats/1", "c")]);
    for (name, content) in [("0", "old"), ("1", "new")] {
        bench.0.write("other/dogs/1", content);
        bench.0.run(["ingest", "other", "--into", "./store/dogs", "--create", "--as", name]).text();
    }
    let words = ["merge", "./store/set@1.0", "./store/dogs@1", "--branch", "main", "--as", "2.0"];
    bench.0.run(words).text();
    bench
}

fn names(log: &Value) -> Vec<(Value, Value)> {
    let versions = log["versions"].as_array().unwrap().iter();
    versions.map(|version| (version["dataset"].clone(), version["name"].clone())).collect()
}

#[test]
fn log_goes_on_in_the_other_dataset_and_names_it() {
    let bench = merged();
    let log = bench.0.run(["log", "./store/set", "--json"]).json();
    let of_dogs = |name: &str| (json!("dogs"), json!(name));
    let own = |name: &str| (Value::Null, json!(name));
    assert_eq!(names(&log), [own("2.0"), of_dogs("1"), of_dogs("0"), own("1.0")]);
    let drawn = bench.0.run(["log", "./store/set", "--graph"]).text();
    assert!(drawn.contains("dogs@1 (dogs@main)") && drawn.contains("dogs@0"), "{drawn}");
    let path = bench.0.run(["log", "./store/set:dogs/1", "--json"]).json();
    assert_eq!(names(&path), [of_dogs("1"), of_dogs("0")]);
}

#[test]
fn steps_lead_to_the_other_dataset_and_on_in_it() {
    let bench = merged();
    for (at, name) in [("2.0^2", "1"), ("2.0^2~1", "0"), ("main^2^", "0")] {
        let shown = bench.0.run(["show", &format!("./store/set@{at}"), "--json"]).json();
        assert_eq!((&shown["dataset"], &shown["name"]), (&json!("dogs"), &json!(name)), "{at}");
    }
    let diff = bench.0.run(["diff", "./store/set@2.0^2", "./store/set@2.0", "--json"]).json();
    assert_eq!(diff["added"], json!(["cats/1"]));
    assert_eq!(bench.0.run(["cat", "./store/set@2.0^2~1:dogs/1"]).text(), "old");
    let beyond = bench.0.run(["show", "./store/set@2.0^2~2"]).exits(3);
    assert!(beyond.stderr.contains("of dogs has no parent number 1"), "{}", beyond.stderr);
    // What is written about such a version is written in its own dataset only.
    let _ = bench.0.run(["tag", "./store/set@2.0^2", "best"]).exits(3);
    bench.0.run(["init", "here", "--dataset", "set", "--store", "./store"]).text();
    let refused = bench.0.run_with("here", ["switch", "2.0^2"], b"").exits(2);
    assert!(refused.stderr.contains("is a version of dogs"), "{}", refused.stderr);
}

#[test]
fn where_the_other_dataset_was_deleted_it_is_said() {
    let bench = merged();
    bench.0.run(["dataset", "delete", "./store/dogs", "--yes", "--force"]).text();
    let deletion = bench.0.run(["oplog", "./store", "--json"]).json()["records"][0]["record"].clone();
    let log = bench.0.run(["log", "./store/set", "--json"]).json();
    assert_eq!(names(&log).len(), 2);
    let gone = &log["versions"][0]["gone_parents"];
    assert_eq!((&gone[0]["dataset"], &gone[0]["deleted_by"]), (&json!("dogs"), &deletion));
    let lineage = bench.0.run(["lineage", "./store/set", "--json"]).json();
    assert_eq!(&lineage["versions"].as_array().unwrap().last().unwrap()["gone_parents"], gone);
    for form in ["tree", "dot"] {
        let drawn = bench.0.run(["lineage", "./store/set", "--format", form]).text();
        assert!(drawn.contains(&format!("went with dogs, deleted by record {deletion}")), "{drawn}");
    }
    let said = bench.0.run(["log", "./store/set"]).text();
    assert!(said.contains(&format!("went with dogs, deleted by record {deletion}")), "{said}");
    for words in [["show", "./store/set@2.0^2"], ["ls", "./store/set@2.0^2~1"]] {
        let refused = bench.0.run(words).exits(3);
        assert!(refused.stderr.contains("was one of the dataset dogs"), "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("dagset undo STORE {deletion}")), "{}", refused.stderr);
    }
    bench.0.run(["undo", "./store", &deletion.to_string()]).text();
    assert_eq!(names(&bench.0.run(["log", "./store/set", "--json"]).json()).len(), 4);
}
