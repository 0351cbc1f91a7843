//! `merge` of a part of another dataset: what it says stands below its folder, and it says nothing of anything else.

use std::fs;

use serde_json::{Value, json};

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
    two.refused(&[&dogs("sub/"), "./store/set", "--branch", "new"], 2, "is a part of the dataset");
    two.refused(&["./store/set@main:x/", "./store/dogs", "--branch", "main"], 2, "is a part of the dataset");
    two.refused(
        &["./store/set", &dogs("sub/"), &dogs("sub/=as/"), "--branch", "main"],
        2,
        "is of a version that is a parent already",
    );
}
