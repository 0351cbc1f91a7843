//! Keep rules: the content of versions that fulfil none goes in two steps, and their history stays what it was.

use std::fs;

use serde_json::Value;

use crate::env::{TestEnv, everything_below};
use crate::stage::noise;

/// Four versions, `1.1` to `1.4`, on `main`: each has a file of its own and shares one with all.
pub fn begin(env: &TestEnv, into: &str) {
    env.write("data/common.bin", noise(9, 400_000));
    for number in 1..=4 {
        env.write("data/own.bin", noise(number, 300_000));
        env.write(&format!("data/added-{number}.txt"), "new");
        let _ = env.run(["ingest", "data", "--into", into, "--create", "--as", &format!("1.{number}")]).exits(0);
    }
}

pub fn keep(env: &TestEnv, dataset: &str, rules: &[&str]) {
    let _ = env.run([&["meta", "set", dataset], rules].concat()).exits(0);
}

pub fn collect(env: &TestEnv, more: &[&str]) -> Value {
    env.run([&["gc", "./store", "--grace", "0s", "--json"], more].concat()).answer()
}

/// What a step did to the content of versions, by their names.
pub fn contents(step: &Value) -> Vec<String> {
    let versions = step["contents"].as_array().unwrap().iter();
    versions.map(|version| version["name"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
pub fn assert_reads(env: &TestEnv, address: &str, number: u64) {
    let _ = env.run(["get", address, "out"]).exits(0);
    assert_eq!(fs::read(env.path("out/own.bin")).unwrap(), noise(number, 300_000), "{address}");
    assert_eq!(fs::read(env.path("out/common.bin")).unwrap(), noise(9, 400_000), "{address}");
    fs::remove_dir_all(env.path("out")).unwrap();
}

#[track_caller]
pub fn assert_sound(env: &TestEnv, store: &str) {
    assert_eq!(env.run(["verify", store, "--json"]).json()["findings"], Value::Array(Vec::new()));
}

fn data_bytes(env: &TestEnv) -> u64 {
    everything_below(&env.path("store/packs")).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn content_goes_in_two_steps_and_history_stays() {
    let env = TestEnv::new();
    begin(&env, "./store/set");
    let _ = env.run(["tag", "./store/set@1.2", "good"]).exits(0);
    let asked = [
        vec!["log", "./store/set", "--json"],
        vec!["ls", "-R", "./store/set@1.1", "--json"],
        vec!["diff", "./store/set@1.1", "./store/set@1.4", "--json"],
        vec!["why", "./store/set@1.4:added-1.txt", "--json"],
        vec!["tag", "./store/set", "--json"],
        vec!["list", "./store", "--json"],
    ];
    let answers = || -> Vec<Value> {
        let plain = |mut answer: Value| {
            for version in answer["versions"].as_array_mut().into_iter().flatten() {
                version.as_object_mut().unwrap().remove("content_let_go");
            }
            for dataset in answer["datasets"].as_array_mut().into_iter().flatten() {
                let dataset = dataset.as_object_mut().unwrap();
                dataset.retain(|key, _| key != "meta" && key != "versions_let_go");
            }
            answer
        };
        asked.iter().map(|question| plain(env.run(question).answer())).collect()
    };
    let before = answers();
    assert_eq!(contents(&collect(&env, &[])["condemned"]), [""; 0], "without a rule all is kept");
    let whole = data_bytes(&env);
    keep(&env, "./store/set", &["keep.last=1", "keep.tagged=true"]);
    let planned = collect(&env, &["--dry-run"]);
    assert_eq!(contents(&planned["condemned"]), ["1.3", "1.1"]);
    assert_eq!(planned["condemned"]["versions"], Value::Array(Vec::new()));
    let condemned = collect(&env, &[]);
    assert_eq!(
        (contents(&condemned["condemned"]), contents(&condemned["reclaimed"])),
        (contents(&planned["condemned"]), vec![])
    );
    assert_eq!(condemned["waiting"]["contents"], 2);
    for number in 1..=4 {
        assert_reads(&env, &format!("./store/set@1.{number}"), number);
    }
    let reclaimed = collect(&env, &[]);
    assert_eq!(contents(&reclaimed["reclaimed"]), ["1.3", "1.1"]);
    assert!(data_bytes(&env) + 590_000 < whole, "{} of {whole} bytes are left", data_bytes(&env));
    assert!(data_bytes(&env) > 990_000);
    assert_reads(&env, "./store/set@good", 2);
    assert_reads(&env, "./store/set", 4);
    assert_sound(&env, "./store");
    assert_eq!(answers(), before);
    let again = collect(&env, &[]);
    assert_eq!((contents(&again["condemned"]), &again["deleted"]["objects"]), (vec![], &Value::from(0)));
}

#[test]
fn who_asks_for_content_that_was_let_go_is_told_when_why_and_what_helps() {
    let env = TestEnv::new();
    begin(&env, "./store/set");
    keep(&env, "./store/set", &["keep.tagged=true"]);
    for _ in 0..2 {
        let _ = collect(&env, &[]);
    }
    env.write("again/common.bin", noise(9, 400_000));
    env.write("again/own.bin", noise(1, 300_000));
    env.write("again/added-1.txt", "new");
    let show = env.run(["show", "./store/set@1.1", "--json"]).answer();
    let record = show["content_let_go"]["record"].as_u64().unwrap();
    for question in [
        vec!["get", "./store/set@1.1", "out"],
        vec!["cat", "./store/set@1.1:own.bin"],
        vec!["warm", "./store/set@1.1"],
        vec!["run", "./store/set@1.1", "--", "true"],
        vec!["verify", "./store/set@1.1"],
    ] {
        let refused = env.run(&question).exits(3);
        let said = &refused.stderr;
        assert!(said.contains(&format!("keep rules let it go, record {record} of the log")), "{question:?}: {said}");
        assert!(said.contains("has content is 1.4"), "{question:?}: {said}");
    }
    for question in [
        vec!["tag", "./store/set@1.1", "late"],
        vec!["branch", "./store/set@1.1", "late"],
        vec!["publish", "./store/set@1.1"],
        vec!["name", "./store/set@1.1", "late"],
        vec!["merge", "./store/set@1.1", "--branch", "late", "--dry-run"],
        vec!["merge", "./store/set@1.1", "--branch", "late"],
        vec!["ingest", "data", "--into", "./store/set", "--branch", "side", "--parent", "1.1"],
        vec!["revert", "./store/set@1.2"],
        // The same content under the name that it has: it isn't there already.
        vec!["ingest", "again", "--into", "./store/set", "--as", "1.1"],
    ] {
        let refused = env.run(&question).exits(4);
        let said = &refused.stderr;
        assert!(said.contains("keep rules let the content of version 1.1 go"), "{question:?}: {said}");
        assert!(said.contains("has content is 1.4: `dagset show /"), "{question:?}: {said}");
        assert!(said.contains("/store//set@1.4`"), "with its address: {said}");
    }
    let log = env.run(["log", "./store/set"]).text();
    assert_eq!(log.matches("content let go").count(), 3, "{log}");
    assert_sound(&env, "./store");
}

#[test]
fn lists_mark_what_has_no_content_and_no_copy_begins_there() {
    let env = TestEnv::new();
    begin(&env, "./store/set");
    let _ = env.run(["tag", "./store/set@1.2", "old"]).exits(0);
    let _ = env.run(["publish", "./store/set@1.1"]).exits(0);
    env.write("data/own.bin", noise(5, 300_000));
    let _ = env.run(["ingest", "data", "--into", "./store/set"]).exits(0);
    let marks = || {
        let list = env.run(["list", "./store", "--json"]).answer()["datasets"][0].clone();
        let tag = env.run(["tag", "./store/set", "--json"]).answer()["tags"][0].clone();
        let lineage = env.run(["lineage", "./store/set", "--json"]).answer()["versions"].clone();
        let drawn = lineage.as_array().unwrap().iter().map(|it| it["content_let_go"].clone()).collect::<Vec<_>>();
        let of_list = [&list["content_let_go"], &list["published"]["content_let_go"]].map(Value::clone);
        (of_list, [list["tags"][0]["content_let_go"].clone(), tag["content_let_go"].clone()], drawn)
    };
    let none = Value::Null;
    assert_eq!(marks(), ([none.clone(), none.clone()], [none.clone(), none.clone()], vec![none.clone(); 5]));
    keep(&env, "./store/set", &["keep.last=1", "keep.published=false"]);
    for _ in 0..2 {
        let _ = collect(&env, &[]);
    }
    let mark = env.run(["show", "./store/set@1.1", "--json"]).answer()["content_let_go"].clone();
    let drawn = [vec![mark.clone(); 4], vec![none.clone()]].concat();
    assert_eq!(marks(), ([none.clone(), mark.clone()], [mark.clone(), mark.clone()], drawn));
    let list = env.run(["list", "./store"]).text();
    for shown in ["1.1 (content let go)", "old (content let go)"] {
        assert!(list.contains(shown), "{list}");
    }
    assert_eq!(env.run(["list", "./store", "--json"]).answer()["datasets"][0]["versions_let_go"], 4);
    assert!(env.run(["tag", "./store/set"]).text().contains("content let go"));
    assert_eq!(env.run(["lineage", "./store/set"]).text().matches("content let go").count(), 4);
    let _ = env.run(["store", "create", "./other"]).exits(0);
    for copy in ["./store//copy", "./other/copy"] {
        let refused = env.run(["dataset", "copy", "./store/set@1.2", copy]).exits(3).stderr;
        let told =
            format!("the content of set@1.2 isn't here any more: keep rules let it go, record {}", mark["record"]);
        assert!(refused.contains(&told), "{refused}");
    }
}

#[test]
fn what_was_condemned_is_taken_back_by_undo_by_a_ref_and_by_other_rules() {
    for way in ["undo", "tag", "rules", "use"] {
        let env = TestEnv::new();
        begin(&env, "./store/set");
        keep(&env, "./store/set", &["keep.last=3"]);
        assert_eq!(contents(&collect(&env, &[])["condemned"]), ["1.1"]);
        match way {
            "undo" => {
                let log = env.run(["oplog", "./store", "--all", "--json"]).answer();
                let is_it = |record: &&Value| {
                    record["operations"].to_string().contains("condemn content")
                        || record.to_string().contains("condemn content")
                };
                let number = log["records"].as_array().unwrap().iter().find(is_it).unwrap()["record"].to_string();
                let _ = env.run(["undo", "./store", &number]).exits(0);
                let _ = env.run(["meta", "unset", "./store/set", "keep.last"]).exits(0);
            }
            "tag" => {
                let _ = env.run(["tag", "./store/set@1.1", "wanted"]).exits(0);
                keep(&env, "./store/set", &["keep.tagged=true"]);
            }
            "rules" => keep(&env, "./store/set", &["keep.last=4"]),
            _ => {
                let _ = env.run(["use", "./store/set@1.1", "--run", "train-7"]).exits(0);
            }
        }
        for _ in 0..2 {
            assert_eq!(contents(&collect(&env, &[])["reclaimed"]), [""; 0], "{way}");
        }
        assert_reads(&env, "./store/set@1.1", 1);
        assert_sound(&env, "./store");
    }
}

#[test]
fn the_grace_period_keeps_what_came_within_it() {
    let env = TestEnv::new();
    begin(&env, "./store/set");
    keep(&env, "./store/set", &["keep.last=1"]);
    for _ in 0..2 {
        let young = env.run(["gc", "./store", "--json"]).answer();
        assert_eq!(contents(&young["condemned"]), [""; 0], "all came within two weeks");
    }
    assert_reads(&env, "./store/set@1.1", 1);
}

#[test]
fn a_rule_that_is_not_understood_is_refused_and_lets_nothing_go() {
    let env = TestEnv::new();
    begin(&env, "./store/set");
    for bad in ["keep.last=0", "keep.lats=3", "keep.newer=soon", "keep.tagged=1"] {
        let refused = env.run(["meta", "set", "./store/set", bad]).exits(2);
        assert!(refused.stderr.contains("keep."), "{}", refused.stderr);
    }
    for near in ["keep_last=1", "Keep.last=1", "keep-last=1", "keep=1"] {
        let refused = env.run(["meta", "set", "./store/set", near]).exits(2);
        assert!(refused.stderr.contains("keep.last"), "{}", refused.stderr);
    }
    for of_a_version in [
        vec!["meta", "set", "./store/set@1.1", "keep.last=1"],
        vec!["ingest", "data", "--into", "./store/set", "--meta", "keep.last=1"],
    ] {
        let refused = env.run(&of_a_version).exits(2);
        assert!(refused.stderr.contains("keep rules are of a dataset"), "{}", refused.stderr);
    }
    keep(&env, "./store/set", &["keep.newer=1d", "keep.used=false"]);
    assert_eq!(contents(&collect(&env, &["--dry-run"])["condemned"]), [""; 0], "all came within a day");
}

#[test]
fn what_rules_keep_by_default_switches_none_on() {
    let env = TestEnv::new();
    begin(&env, "./store/set");
    let goes = || contents(&collect(&env, &["--dry-run"])["condemned"]).len();
    keep(&env, "./store/set", &["keep.published=true", "keep.used=true"]);
    assert_eq!(goes(), 0);
    keep(&env, "./store/set", &["keep.last=1"]);
    assert_eq!(goes(), 3);
    let _ = env.run(["meta", "unset", "./store/set", "keep.last"]).exits(0);
    assert_eq!(goes(), 0);
}

#[test]
fn other_datasets_keep_what_their_rules_say() {
    let env = TestEnv::new();
    begin(&env, "./store/set");
    let _ = env.run(["dataset", "copy", "./store/set", "./store//copy"]).exits(0);
    keep(&env, "./store/set", &["keep.last=1"]);
    assert_eq!(contents(&collect(&env, &[])["condemned"]), [""; 0], "the copy keeps all, and has no rules");
    let _ = env.run(["dataset", "delete", "./store/copy", "--yes"]).exits(0);
    for _ in 0..3 {
        let _ = collect(&env, &[]);
    }
    assert_eq!(env.run(["get", "./store/set@1.1", "out"]).code, Some(3));
    assert_reads(&env, "./store/set", 4);
    assert_sound(&env, "./store");
}

#[test]
fn a_merge_over_a_base_without_content_is_the_merge_that_it_was() {
    let merged = |lets_go: bool| {
        let env = TestEnv::new();
        env.write("base/gone.txt", "deleted on one side");
        env.write("base/stays.bin", noise(1, 200_000));
        env.write("base/changed.txt", "one");
        let _ = env.run(["ingest", "base", "--into", "./store/set", "--create", "--as", "base"]).exits(0);
        let _ = env.run(["branch", "./store/set", "side"]).exits(0);
        fs::remove_file(env.path("base/gone.txt")).unwrap();
        env.write("base/new.bin", noise(2, 200_000));
        let _ = env.run(["ingest", "base", "--into", "./store/set", "--as", "left"]).exits(0);
        env.write("base/gone.txt", "deleted on one side");
        fs::remove_file(env.path("base/new.bin")).unwrap();
        fs::remove_file(env.path("base/stays.bin")).unwrap();
        env.write("base/changed.txt", "two");
        let _ = env.run(["ingest", "base", "--into", "./store/set", "--branch", "side", "--as", "right"]).exits(0);
        if lets_go {
            keep(&env, "./store/set", &["keep.last=1"]);
            for _ in 0..2 {
                let _ = collect(&env, &[]);
            }
            assert_eq!(env.run(["get", "./store/set@base", "out"]).code, Some(3));
        }
        let merge = ["merge", "./store/set@main", "./store/set@side", "--branch", "main", "--as", "merged", "--json"];
        let _ = env.run(merge).exits(0);
        let _ = env.run(["get", "./store/set@merged", "out"]).exits(0);
        assert_sound(&env, "./store");
        crate::stage::contents(&env.path("out"))
    };
    let with_content = merged(false);
    assert!(!with_content.contains_key("gone.txt") && !with_content.contains_key("stays.bin"));
    assert_eq!(merged(true), with_content);
}

#[test]
fn purge_and_du_count_what_kept_versions_need() {
    let env = TestEnv::new();
    begin(&env, "./store/set");
    keep(&env, "./store/set", &["keep.last=1"]);
    for _ in 0..2 {
        let _ = collect(&env, &[]);
    }
    let head = env.run(["du", "./store/set", "--json"]).answer();
    assert!(
        head["own_bytes"].as_u64().unwrap() > 690_000,
        "what it shared with versions without content is its own: {head}"
    );
    assert!(env.run(["du", "./store/set@1.1", "--json"]).answer()["stored_bytes"].as_u64().unwrap() < 20_000);
    let _ = env.run(["purge", "./store/set", "own.bin", "--reason", "withdrawn", "--yes"]).exits(0);
    let _ = env.run(["get", "./store/set", "out"]).exits(8);
    assert_eq!(fs::read(env.path("out/common.bin")).unwrap(), noise(9, 400_000));
    assert_sound(&env, "./store");
}
