//! What a commit makes of its base: the manifest that the folder itself has, whatever changed in between.

use std::fs;
use std::path::{Path, PathBuf};

use dagset::base::{Id, Kind};
use dagset::engine::CommitOptions;

use crate::stage::{contents, get, ingest, noise};
use crate::workspace::Bench;

/// Enough for manifests of several leaves.
const FILES: u64 = 1_500;
const ROUNDS: u64 = 12;
const CHANGES: u64 = 60;

/// Numbers that look random, the same ones each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        Id::of(&self.0.to_le_bytes()).word() % bound
    }
}

/// `f3/g1/n07`, or a longer name of which that is the beginning, or a path below it.
fn any_path(dice: &mut Dice) -> PathBuf {
    let ending = ["", "", "", ".json", "/x", "/x/y"][dice.below(6) as usize];
    format!("f{}/g{}/n{:02}{ending}", dice.below(5), dice.below(4), dice.below(40)).into()
}

/// Puts a file there; what stands in its way goes.
fn put(root: &Path, path: &Path, bytes: &[u8]) {
    for above in path.ancestors().skip(1).filter(|above| root.join(above).is_file()) {
        fs::remove_file(root.join(above)).expect("removes");
    }
    let path = root.join(path);
    if path.is_dir() {
        fs::remove_dir_all(&path).expect("removes");
    }
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("writes");
}

#[test]
fn a_commit_has_the_manifest_of_its_folder_whatever_changed() {
    let bench = Bench::new();
    let (root, engine, mut dice) = (bench.root(), bench.engine(), Dice(0));
    let compared = tempfile::tempdir().expect("a folder");
    let store = format!("{}/store", compared.path().display());
    engine.create_store(&store).expect("creates");
    for number in 0..FILES {
        put(&root, &any_path(&mut dice), &noise(number, 20));
    }
    for round in 0..ROUNDS {
        for number in 0..dice.below(CHANGES) {
            let path = any_path(&mut dice);
            match dice.below(3) {
                0 if root.join(&path).is_file() => fs::remove_file(root.join(&path)).expect("removes"),
                1 if root.join(&path).is_dir() => fs::remove_dir_all(root.join(&path)).expect("removes"),
                _ => put(&root, &path, &noise(round * 1_000 + number, 20)),
            }
        }
        let committed = bench.commit_all(&format!("{round}.0"));
        let plain = tempfile::tempdir().expect("a folder");
        let got = plain.path().join("got");
        get(&engine, &format!("signs@{round}.0"), &got).expect("gets");
        let mut there = contents(&root);
        there.retain(|path, _| !path.starts_with(".dagset"));
        assert_eq!(contents(&got), there, "round {round}");
        let wanted = ingest(&engine, &got, &format!("{store}//plain"), None).expect("ingests");
        assert_eq!(committed.manifest, wanted.manifest, "round {round}");
        assert!(bench.status().iter().all(Vec::is_empty), "round {round}");
    }
}

#[test]
fn what_stands_in_the_way_of_a_new_file_is_chosen_with_it() {
    let bench = Bench::new();
    bench.write("kind", "a file");
    bench.write("kind-and-more", "beside it");
    fs::create_dir(bench.root().join("empty")).expect("a folder");
    bench.commit_all("1.0");
    fs::remove_file(bench.root().join("kind")).expect("removes");
    bench.write("kind/below", "in a folder");
    bench.write("empty/full", "not empty");
    let engine = bench.engine();
    let add = |path: &str| engine.add(&[PathBuf::from(path)]).expect("stages");
    let commit = || engine.commit(&CommitOptions::default());
    add("kind/below");
    let refused = commit().expect_err("the file is in its way");
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.next_step().is_some_and(|hint| hint.contains("dagset add kind")), "{refused:?}");
    add("kind");
    add("empty/full");
    commit().expect("commits");
    assert!(bench.status().iter().all(Vec::is_empty));
}
