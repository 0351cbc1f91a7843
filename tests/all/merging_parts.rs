//! `merge` of a part of another dataset: what it says stands below its folder, and it says nothing of anything else.

use std::collections::BTreeMap;
use std::fs;

use dagset::base::Id;
use dagset::engine::MergeOptions;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::long_history::{branch_off, dataset, fill_once};
use crate::machine::{FAR, Machine, address};
use crate::merging::{Bench, owned};

/// A dataset `set` and a dataset `dogs`, of which parts are taken.
struct Two(Bench);

impl Two {
    fn new(set: &[(&str, &str)], dogs: &[(&str, &str)]) -> Two {
        let two = Two(Bench::new());
        two.0.publish("main", "1.0", &[], set);
        two.publish_dogs(dogs);
        two
    }

    fn publish_dogs(&self, files: &[(&str, &str)]) {
        let folder = self.0.0.path("dogs");
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        files.iter().for_each(|(path, content)| self.0.0.write(&format!("dogs/{path}"), content));
        self.0.0.run(["ingest", "dogs", "--into", "./store/dogs", "--create"]).text();
    }

    /// Merges parts of `dogs` into the branch `main`.
    fn merge(&self, part: &str, more: &[&str], exits: i32) -> Value {
        let address = format!("./store/dogs@main:{part}");
        let words = ["merge", "./store/set", &address, "--branch", "main", "--json"];
        self.0.0.run(words.iter().chain(more)).exits(exits).document()
    }

    fn has(&self, files: &[(&str, &str)]) {
        assert_eq!(self.0.files("main"), owned(files));
    }

    fn refused(&self, words: &[&str], code: i32, said: &str) {
        let outcome = self.0.0.run([&["merge"][..], words].concat()).exits(code);
        assert!(outcome.stderr.contains(said), "{words:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_part_stands_where_it_is_put_and_says_nothing_of_anything_else() {
    let two = Two::new(&[("cats/1", "c"), ("x", "x")], &[("other", "o"), ("sub/1", "1"), ("sub/deep/2", "2")]);
    let told = two.merge("sub/=as/there/", &[], 0);
    assert_eq!(told["parents"][1]["ref"], "dogs@main:sub/=as/there/");
    two.has(&[("as/there/1", "1"), ("as/there/deep/2", "2"), ("cats/1", "c"), ("x", "x")]);
    two.merge("sub/", &[], 0);
    two.merge("=dogs/", &[], 0);
    let all = ["as/there/1", "as/there/deep/2", "cats/1", "dogs/other", "dogs/sub/1", "dogs/sub/deep/2"];
    let paths: Vec<String> = two.0.files("main").into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [&all[..], &["sub/1", "sub/deep/2", "x"]].concat());
    let meta = |name: &str| two.0.0.run(["show", &format!("./store/set@{name}"), "--json"]).json()["meta"].clone();
    let recorded = meta("main~2")["merge.parts"].as_str().unwrap().to_owned();
    assert!(recorded.ends_with(" sub/=as/there/") && recorded.len() == 64 + " sub/=as/there/".len(), "{recorded}");
}

#[test]
fn a_newer_version_of_a_part_is_compared_with_the_one_that_was_taken() {
    let two = Two::new(
        &[("cats/1", "c")],
        &[("other", "o"), ("sub/gone", "0"), ("sub/here", "0"), ("sub/there", "0"), ("sub/x/1", "0")],
    );
    two.merge("sub/=as/", &[], 0);
    let here = [("as/gone", "0"), ("as/here", "h"), ("as/mine", "m"), ("as/there", "0"), ("cats/1", "c")];
    two.0.publish("main", "1.1", &[], &here);
    two.publish_dogs(&[("other", "o2"), ("sub/here", "0"), ("sub/there", "t"), ("sub/x/1", "1"), ("sub/x/2", "2")]);
    let told = two.merge("sub/=as/", &[], 4);
    assert_eq!((&told["unresolved"], &told["conflicts"][0]["path"]), (&json!(1), &json!("as/x/1")));
    let did: Vec<&Value> =
        told["conflicts"][0]["parents"].as_array().unwrap().iter().map(|side| &side["did"]).collect();
    assert_eq!(did, ["deleted", "changed"]);
    two.merge("sub/=as/", &["--on-conflict", "first"], 0);
    two.has(&[("as/here", "h"), ("as/mine", "m"), ("as/there", "t"), ("as/x/2", "2"), ("cats/1", "c")]);
    let again = two.merge("sub/=as/", &[], 0);
    assert_eq!((&again["changed"], &again["parents"][1]["adds_nothing"]), (&json!(false), &json!(true)));
    // In another place it is new.
    two.merge("sub/=too/", &[], 0);
    let too: Vec<_> = two.0.files("main").into_iter().filter(|(path, _)| path.starts_with("too/")).collect();
    assert_eq!(too, owned(&[("too/here", "0"), ("too/there", "t"), ("too/x/1", "1"), ("too/x/2", "2")]));
}

#[test]
fn what_clashes_with_a_part_is_a_conflict() {
    let two = Two::new(&[("as", "file"), ("x/deep/1", "1")], &[("sub/1", "1"), ("top/deep", "file")]);
    let told = two.merge("sub/=as/there/", &[], 4);
    let row = &told["conflicts"][0];
    assert_eq!((&told["unresolved"], &row["path"], &row["file_and_folder"]), (&json!(1), &json!("as"), &json!(true)));
    let told = two.merge("top/=x/", &[], 4);
    assert_eq!((&told["unresolved"], &told["conflicts"][0]["path"]), (&json!(1), &json!("x/deep")));
    two.merge("sub/=as/there/", &["--on-conflict", "dogs@main"], 0);
    two.merge("top/=x/", &["--rule", "x/**=dogs@main"], 0);
    two.has(&[("as/there/1", "1"), ("x/deep", "file")]);
}

#[test]
fn parts_that_cannot_be_merged_are_refused() {
    let two = Two::new(&[("x", "x")], &[("file", "f"), ("sub/1", "1"), ("sub/2", "2")]);
    let dogs = |part: &str| format!("./store/dogs@main:{part}");
    let into = |part: &str, code, said: &str| {
        two.refused(&["./store/set", &dogs(part), "--branch", "main"], code, said);
    };
    into("none/=as/", 3, "has no folder none");
    into("file", 2, "is no folder");
    into("sub/=../up/", 2, "..");
    into("../sub/", 2, "..");
    into("sub/=.dagset/", 2, "dagset's own");
    two.refused(&[&dogs("sub/"), "./store/set", "--branch", "new"], 2, "is a part of a version of");
    two.refused(&["./store/set@main:x/", "./store/dogs", "--branch", "main"], 2, "is a part of a version of");
    two.0.0.run(["dataset", "copy", "./store/dogs", "./store/pups"]).text();
    let of_copy = ["./store/dogs", "./store/pups@main:sub/=as/", "--branch", "main"];
    two.refused(&of_copy, 2, "dagset get './store//pups@main:sub/' DIR");
    two.refused(
        &["./store/set", &dogs("sub/"), &dogs("sub/=as/"), "--branch", "main"],
        2,
        "is of a version that is a parent already",
    );
}

#[test]
fn why_follows_a_path_into_the_part_and_refresh_takes_its_newest_version() {
    let two = Two::new(&[("x", "x")], &[("sub/1", "1"), ("sub/2", "2")]);
    two.merge("sub/=as/", &["--on-conflict", "last"], 0);
    two.0.publish("main", "1.1", &[], &[("as/1", "here"), ("as/2", "2"), ("x", "x")]);
    two.publish_dogs(&[("sub/1", "1 again"), ("sub/3", "3")]);
    let told = two.0.0.run(["refresh", "./store/set@main", "--json"]).json();
    assert_eq!(told["parents"][1]["ref"], "dogs@main:sub/=as/");
    two.has(&[("as/1", "1 again"), ("as/3", "3"), ("x", "x")]);
    let why = |path: &str| {
        let told = two.0.0.run(["why", &format!("./store/set@main:{path}"), "--json"]).json();
        let step = |step: &Value| ["dataset", "path", "how", "rule", "took"].map(|key| step[key].clone());
        told["steps"].as_array().unwrap().iter().map(step).collect::<Vec<_>>()
    };
    let merged =
        |path: &str, rule: &str| [json!("set"), json!(path), json!("merged"), json!(rule), json!("dogs@main:sub/=as/")];
    let did = |path: &str, what: &str| [json!("dogs"), json!(path), json!(what), Value::Null, Value::Null];
    assert_eq!(why("as/1"), [merged("as/1", "last"), did("sub/1", "changed")]);
    assert_eq!(why("as/2"), [merged("as/2", "only change"), did("sub/2", "deleted")]);
    assert_eq!(why("as/3"), [merged("as/3", "only change"), did("sub/3", "added")]);
    assert_eq!(why("x"), [[json!("set"), json!("x"), json!("added"), Value::Null, Value::Null]]);
}

#[test]
fn a_folder_that_is_gone_from_the_source_is_deleted_by_a_refresh_with_a_warning() {
    let two = Two::new(&[("x", "x")], &[("sub/1", "1"), ("sub/2", "2")]);
    two.merge("sub/=as/", &[], 0);
    two.publish_dogs(&[("renamed/1", "1")]);
    two.refused(&["./store/set", "./store/dogs@main:sub/=as/", "--branch", "main"], 3, "has no folder sub");
    let refreshed = two.0.0.run(["refresh", "./store/set@main", "--json"]).exits(0);
    assert_eq!(refreshed.stderr.matches("has no folder sub any more").count(), 1, "{}", refreshed.stderr);
    two.has(&[("x", "x")]);
}

#[test]
fn conflicts_with_a_part_are_solved_in_the_workspace() {
    let two =
        Two::new(&[("as/1", "here"), ("as/2", "here"), ("x", "x")], &[("sub/1", "1"), ("sub/2", "2"), ("sub/3", "3")]);
    let run = |words: &str| two.0.0.run_with("w", words.split(' '), b"");
    fs::create_dir_all(two.0.0.path("w")).unwrap();
    run("init --store ../store --dataset set").text();
    run("switch main").text();
    let _ = run("merge dogs@main:sub/=as/ --dry-run").exits(4);
    run("status --exit-code").text();
    let _ = run("merge dogs@main:sub/=as/").exits(4);
    let at = |path: &str| fs::read_to_string(two.0.0.path(&format!("w/{path}"))).ok();
    assert_eq!((at("as/1").as_deref(), at("as/3").as_deref()), (Some("here"), Some("3")));
    assert_eq!(at("as/1.dogs@main").as_deref(), Some("1"));
    run("resolve as/1 --take dogs@main").text();
    run("add as/2").text();
    assert_eq!((at("as/1").as_deref(), at("as/1.dogs@main")), (Some("1"), None));
    run("commit").text();
    two.has(&[("as/1", "1"), ("as/2", "here"), ("as/3", "3"), ("x", "x")]);
    let again = two.merge("sub/=as/", &[], 0);
    assert_eq!(again["parents"][1]["adds_nothing"], json!(true), "the commit has recorded the part");
}

#[test]
fn branches_that_took_a_part_are_merged_by_its_versions() {
    let two = Two::new(&[("x", "x")], &[("sub/1", "0"), ("sub/2", "0")]);
    two.merge("sub/=as/", &[], 0);
    two.0.0.run(["branch", "./store/set", "older"]).text();
    two.publish_dogs(&[("sub/2", "2")]);
    two.merge("sub/=as/", &[], 0);
    two.0.publish("older", "old", &[], &[("as/1", "0"), ("as/2", "0"), ("mine", "m"), ("x", "x")]);
    two.0.0.run(["merge", "./store/set@older", "--branch", "main"]).text();
    two.has(&[("as/2", "2"), ("mine", "m"), ("x", "x")]);
    // The whole of what only a part was taken of is new but for that part.
    two.0.0.run(["merge", "./store/set", "./store/dogs", "--branch", "main"]).text();
    two.has(&[("as/2", "2"), ("mine", "m"), ("sub/2", "2"), ("x", "x")]);
}

#[test]
fn a_newer_part_of_a_million_files_is_merged_by_what_differs() {
    let maker = Machine::with_store();
    fill_once(maker.far(), 20);
    let photo = |folder: u64, file: u64| format!("part-{folder:04}/image-{file:06}.jpg");
    let changed: Vec<String> = [7, 30_007].map(|file| photo(3, file)).into_iter().chain([photo(9, 1)]).collect();
    branch_off(maker.far(), "two", &changed);
    maker.write("source/x", "x");
    maker.ingest("set", "source");
    let merge = |branch: &str| {
        let parents = [format!("{FAR}//set"), format!("{FAR}//{}@{branch}:part-0003/=as/", dataset())];
        let parents = parents.map(|parent| address(&parent));
        let options = MergeOptions { branch: Some("main".to_owned()), ..MergeOptions::default() };
        let (report, cost) = Machine::new(maker.far()).run(|engine| engine.merge(&parents, &options));
        (report.published.expect("nothing is in conflict"), cost)
    };
    assert_eq!(merge("main").0.files, 50_001);
    let (published, cost) = merge("two");
    println!("merge: {cost:?}");
    assert_eq!((published.files, published.changed), (50_001, true));
    assert!(cost.requests() <= 60 && cost.received_bytes <= 600_000, "{cost:?}");
    assert!(published.stored_bytes <= 100_000, "{published:?}");
}

/// Names of files, and what they hold.
type Files = BTreeMap<u8, u8>;

fn any_files() -> impl Strategy<Value = Files> {
    proptest::collection::btree_map(0..6u8, 0..3u8, 0..6)
}

fn ingest(machine: &Machine, dataset: &str, files: &[(&str, &Files)]) {
    let source = machine.path("source");
    if source.exists() {
        fs::remove_dir_all(source).unwrap();
    }
    machine.write("source/kept", "kept");
    for (folder, files) in files {
        machine.write(&format!("source/{folder}/kept"), "kept");
        files.iter().for_each(|(name, content)| machine.write(&format!("source/{folder}/{name}"), [*content]));
    }
    machine.ingest(dataset, "source");
}

/// What each side's changes since `base` come to; where they disagree, what is here.
fn changed_by_both(base: &Files, here: &Files, there: &Files) -> Files {
    let value = |name: &u8| match (base.get(name), here.get(name), there.get(name)) {
        (base, here, there) if here == base => there.copied(),
        (_, here, _) => here.copied(),
    };
    (0..6).filter_map(|name| Some((name, value(&name)?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_changed_in_the_source_is_applied_below_the_folder(
        rounds in proptest::collection::vec((any_files(), any_files(), any_files()), 1..5), local in any_files())
    {
        let machine = Machine::with_store();
        let (mut base, mut here) = (Files::new(), local);
        for (there, elsewhere, edited) in &rounds {
            ingest(&machine, "set", &[("as/there", &here), ("sub", &Files::new())]);
            ingest(&machine, "other", &[("sub", there), ("elsewhere", elsewhere)]);
            let parents = ["set", "other@main:sub/=as/there/"].map(|parent| address(&format!("{FAR}//{parent}")));
            let options = MergeOptions {
                branch: Some("main".to_owned()),
                on_conflict: Some("first".to_owned()),
                ..MergeOptions::default()
            };
            prop_assert!(machine.run(|engine| engine.merge(&parents, &options)).0.published.is_some());
            here = changed_by_both(&base, &here, there);
            base.clone_from(there);
            let listed = machine.run(|engine| engine.list_entries(&address(&format!("{FAR}//set")), true)).0;
            let mut expected = vec![("as/there/kept".to_owned(), Id::of(b"kept"))];
            expected.extend(here.iter().map(|(name, content)| (format!("as/there/{name}"), Id::of(&[*content]))));
            expected.extend(["kept", "sub/kept"].map(|path| (path.to_owned(), Id::of(b"kept"))));
            expected.sort_unstable();
            let listed: Vec<(String, Id)> =
                listed.into_iter().filter_map(|entry| Some((entry.path, entry.content?))).collect();
            prop_assert_eq!(listed, expected);
            // Somebody goes on here.
            here.extend(edited.iter().filter(|(name, _)| **name < 2));
            here.retain(|name, _| *name != 5);
        }
    }
}
