//! `list`: which datasets, in which order, and what it costs where there are many.

use dagset::base::{DatasetName, Id, ObjectName, Observer, Time};
use dagset::engine::Value as MetaValue;
use dagset::format::operation::{Operation, VersionRow};
use dagset::format::place::{Encoding, FramePlace, Place};
use dagset::format::store_file::StoreFile;
use dagset::history::timeline::{Actor, Timeline};
use dagset::store::backend;
use serde_json::{Value, json};

use crate::env::TestEnv;

/// Three datasets: signs of two versions, lights and vision/lanes of one.
fn three_datasets() -> TestEnv {
    let env = TestEnv::new();
    let ingest = |dataset: &str, files: usize, more: &[&str]| {
        (0..files).for_each(|file| env.write(&format!("{dataset}-data/{file}"), dataset));
        let (source, into) = (format!("{dataset}-data"), format!("./store//{dataset}"));
        env.run([&["ingest", &source, "--into", &into, "--create", "--quiet"], more].concat()).text();
    };
    ingest("signs", 1, &["--as", "1.0", "--meta", "task=detection"]);
    ingest("signs", 3, &["--as", "2.0", "--meta", "task=detection", "--tag", "prod"]);
    ingest("lights", 2, &["--as", "0.1", "--meta", "task=tracking", "--author", "Bob <bob@x.example>"]);
    ingest("vision/lanes", 5, &["--tag", "prod", "--tag", "old"]);
    env.run(["meta", "set", "./store//vision/lanes", "task=detection", "frames=90", "--quiet"]).text();
    env
}

fn listed(env: &TestEnv, more: &[&str]) -> Vec<String> {
    let said = env.run([&["list", "./store", "--json"], more].concat()).json();
    said["datasets"].as_array().unwrap().iter().map(|card| card["dataset"].as_str().unwrap().to_owned()).collect()
}

fn sorted(env: &TestEnv, more: &[&str]) -> Vec<String> {
    listed(env, &[&["--sort", "name"], more].concat())
}

#[test]
fn names_tags_and_times_choose() {
    let env = three_datasets();
    assert_eq!(sorted(&env, &["--match", "*ig*"]), ["lights", "signs"]);
    assert_eq!(sorted(&env, &["--match", "vision"]), ["vision/lanes"]);
    assert_eq!(sorted(&env, &["--match", "vision/*", "--match", "signs"]), ["signs", "vision/lanes"]);
    assert_eq!(sorted(&env, &["--tag", "prod"]), ["signs", "vision/lanes"]);
    assert_eq!(sorted(&env, &["--tag", "prod", "--tag", "old"]), ["vision/lanes"]);
    assert_eq!(sorted(&env, &["--updated-since", "1h"]).len(), 3);
    assert_eq!(sorted(&env, &["--updated-since", "2026-01-01"]).len(), 3);
    assert_eq!(sorted(&env, &["--updated-since", "2999-01-01"]), [""; 0]);
    let _ = env.run(["list", "./store", "--updated-since", "soon"]).exits(2);
    let none = env.run(["list", "./store", "--match", "none"]).exits(0);
    assert!(none.stdout.is_empty() && none.stderr.contains("no such datasets"), "{none:?}");
}

#[test]
fn conditions_choose() {
    let env = three_datasets();
    let with = |condition: &str| sorted(&env, &["--where", condition]);
    assert_eq!(with("meta.task = \"detection\""), ["signs", "vision/lanes"], "of the newest version, or the dataset");
    assert_eq!(with("meta.frames >= 90"), ["vision/lanes"]);
    assert_eq!(with("not meta.task = 'detection' or files > 4"), ["lights", "vision/lanes"]);
    assert_eq!(with("name = '2.0' and versions = 2"), ["signs"]);
    assert_eq!(with("name = null"), ["vision/lanes"]);
    assert_eq!(with("author = 'Bob <bob@x.example>'"), ["lights"]);
    assert_eq!(with("time > '2026-01-01' and dataset != 'signs' and bytes < 1e6"), ["lights", "vision/lanes"]);
    insta::assert_snapshot!(env.run(["list", "./store", "--where", "files > 1 and size > 2"]).snapshot(), @"
    exit: 2
    --- stdout
    --- stderr
    error: can't understand the condition: this is no field; there are dataset, name, author, time, versions, files, bytes, meta.KEY
      files > 1 and size > 2
                    ^
    ");
}

#[test]
fn the_order_is_the_users() {
    let env = three_datasets();
    assert_eq!(listed(&env, &[]), ["vision/lanes", "lights", "signs"], "the last that was updated first");
    assert_eq!(listed(&env, &["--sort", "name", "--reverse"]), ["vision/lanes", "signs", "lights"]);
    assert_eq!(listed(&env, &["--sort", "files"]), ["vision/lanes", "signs", "lights"]);
    assert_eq!(listed(&env, &["--sort", "versions"]), ["signs", "lights", "vision/lanes"]);
    let _ = env.run(["list", "./store", "--sort", "colour"]).exits(2);
}

#[test]
fn the_name_of_a_card_is_that_of_its_version() {
    let env = three_datasets();
    env.write("signs-data/more", "more");
    env.run(["ingest", "signs-data", "--into", "./store//signs", "--quiet"]).text();
    let shown = env.run(["show", "./store//signs", "--json"]).json();
    let card = env.run(["list", "./store", "--match", "signs", "--json"]).json()["datasets"][0].clone();
    assert_eq!((&card["version"], &card["name"]), (&shown["version"], &Value::Null));
    assert_eq!(sorted(&env, &["--where", "name = '2.0'"]), [""; 0]);
    assert_eq!(sorted(&env, &["--where", "name = null"]), ["signs", "vision/lanes"]);
    let text = env.run(["list", "./store", "--match", "signs"]).text();
    assert!(text.contains(&shown["version"].as_str().unwrap()[..12]) && !text.contains("2.0"), "{text}");
}

#[test]
fn cards_show_tags_and_what_is_published() {
    let env = three_datasets();
    env.run(["tag", "--protect", "./store/signs", "prod", "--quiet"]).text();
    env.run(["publish", "./store/signs@1.0", "--quiet"]).text();
    let cards = env.run(["list", "./store", "--match", "signs", "--json"]).json();
    let card = &cards["datasets"][0];
    assert_eq!(card["tags"], json!([{"name": "prod", "protected": true, "content_let_go": null}]));
    assert_eq!((&card["published"]["name"], &card["meta"]), (&json!("1.0"), &json!({"task": "detection"})));
    let other = env.run(["list", "./store", "--match", "lights", "--json"]).json();
    assert_eq!((&other["datasets"][0]["published"], &other["datasets"][0]["tags"]), (&Value::Null, &json!([])));
    let text = env.run(["list", "./store"]).text();
    assert!(text.lines().next().unwrap().contains("PUBLISHED  TAGS"), "{text}");
    let row = text.lines().find(|line| line.starts_with("signs")).unwrap();
    assert!(row.contains("1.0") && row.trim_end().ends_with("prod (protected)"), "{row}");
}

/// A store with this many datasets of a version each, told by one record; the versions are named in the log alone.
fn many_datasets(env: &TestEnv, count: usize) {
    env.run(["store", "create", "./store", "--quiet"]).text();
    let root = env.path("store");
    let bytes = std::fs::read(root.join("dagset.json")).unwrap();
    let store = StoreFile::parse(&bytes, "the store").unwrap().store;
    let bucket = backend::open_folder(root.to_str().unwrap()).unwrap();
    let mut timeline = Timeline::open(bucket, store, Observer::new()).unwrap();
    let actor = Actor { name: "Ann".to_owned(), context: Default::default() };
    let operations: Vec<Operation> = (0..count).flat_map(one_dataset).collect();
    timeline.append(&actor, |_, _| Ok(operations.clone())).unwrap();
}

fn one_dataset(number: usize) -> Vec<Operation> {
    let dataset = DatasetName::new(&format!("sets/{number}")).unwrap();
    let version = Id::of(&number.to_le_bytes());
    let pack = ObjectName { born: 1, random: [7; 16] };
    let frame = FramePlace { pack, offset: 16, stored_bytes: 100, raw_bytes: 100, encoding: Encoding::Raw };
    let place = Place { frame, at: 0, len: 100, hint_len: 0 };
    let row = VersionRow {
        version,
        manifest: version,
        parents: Vec::new(),
        time: Time(1_767_225_600_000),
        files: number as u64,
        bytes: 1,
        stored_bytes: 1,
        version_place: place,
        manifest_place: place,
    };
    let task = MetaValue::Text(if number.is_multiple_of(2) { "detection" } else { "tracking" }.to_owned());
    let meta = Operation::SetMetadata {
        dataset: dataset.clone(),
        version: Some(version),
        key: "task".to_owned(),
        value: Some(task),
    };
    let create = Operation::CreateDataset { dataset: dataset.clone() };
    vec![create, Operation::AddVersion { dataset, row: Box::new(row) }, meta]
}

#[test]
fn a_list_of_a_thousand_costs_what_a_list_of_one_does() {
    let condition = "meta.task = 'detection' and files >= 900 and time < '2027-01-01'";
    let list = |count: usize| {
        let env = TestEnv::new();
        many_datasets(&env, count);
        env.run(["list", "./store", "--where", condition, "--sort", "files", "--json"]).json()
    };
    let (few, many) = (list(1), list(1_000));
    assert_eq!(many["datasets"].as_array().unwrap().len(), 50);
    assert_eq!(many["datasets"][0]["dataset"], "sets/998");
    assert_eq!(many["requests"], few["requests"]);
}
