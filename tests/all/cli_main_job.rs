//! The main job through the binary: folders become versions, are looked at, compared, and come back byte for byte.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::env::{TestEnv, everything_below};

/// A store with the three versions of the fixture dataset, whose folders stand beside it.
pub fn three_versions() -> TestEnv {
    let env = TestEnv::new();
    for (folder, name) in [("v1", "1.0.0"), ("v2", "1.1.0"), ("v3", "2.0.0")] {
        env.lay_out_signs(folder, folder);
        let _ = env.run(["ingest", folder, "--into", "./store/signs", "--create", "--as", name, "-m", folder]).exits(0);
    }
    env
}

/// What of a path is kept: kind, executable bit, content or target.
fn kept(path: &Path) -> (String, bool, Vec<u8>) {
    let meta = fs::symlink_metadata(path).unwrap();
    if meta.is_symlink() {
        ("link".into(), false, fs::read_link(path).unwrap().into_os_string().into_encoded_bytes())
    } else if meta.is_dir() {
        ("folder".into(), false, Vec::new())
    } else {
        ("file".into(), meta.permissions().mode() & 0o100 != 0, fs::read(path).unwrap())
    }
}

/// Asserts that two folders hold the same, to the last bit that is kept.
#[track_caller]
pub fn assert_same(a: &Path, b: &Path) {
    let relative = |root: &Path| {
        let below = everything_below(root);
        below.iter().map(|path| path.strip_prefix(root).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(relative(a), relative(b));
    for path in relative(a) {
        assert!(kept(&a.join(&path)) == kept(&b.join(&path)), "{} differs", path.display());
    }
}

#[test]
fn every_version_comes_back_as_it_was() {
    let env = three_versions();
    for (folder, name) in [("v1", "1.0.0"), ("v2", "1.1.0"), ("v3", "2.0.0")] {
        let out = format!("out-{folder}");
        let got = env.run(["get", &format!("./store/signs@{name}"), &out, "--json"]).json();
        let files = everything_below(&env.path(folder)).into_iter();
        let files = files.filter(|path| fs::symlink_metadata(path).unwrap().is_file()).count();
        assert_eq!(got["files"], files, "{got}");
        assert_same(&env.path(folder), &env.path(&out));
    }
    let _ = env.run(["verify", "./store"]).exits(0);
}

#[test]
fn a_card_tells_of_the_new_version() {
    let env = TestEnv::new();
    env.write("data/a.txt", "one");
    env.write("data/b/c.txt", "two");
    let said = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1.0"]).exits(0);
    assert!(said.stderr.is_empty(), "{}", said.stderr);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(lines[0].starts_with("╭─ set 1.0 ─"), "{}", said.stdout);
    assert!(lines[1].contains(" on main"), "{}", said.stdout);
    assert!(lines[2].contains("2 files, 6 B"), "{}", said.stdout);
    assert_eq!(*lines.last().unwrap(), "next: dagset ls ./store/set@1.0");
}

#[test]
fn an_unchanged_folder_makes_no_version() {
    let env = TestEnv::new();
    env.write("data/a.txt", "one");
    let ingest = ["ingest", "data", "--into", "./store/set", "--create"];
    let first = env.run([&ingest[..], &["--json"]].concat()).json();
    assert_eq!((first["changed"].clone(), first["files"].clone()), (true.into(), 1.into()));
    let second = env.run([&ingest[..], &["--json"]].concat()).json();
    assert_eq!((second["changed"].clone(), second["stored_bytes"].clone()), (false.into(), 0.into()));
    assert_eq!(second["version"], first["version"]);
    let said = env.run(ingest).text();
    assert!(said.starts_with("Nothing changed: set on main is "), "{said}");
    assert!(env.run([&ingest[..], &["-q"]].concat()).text().is_empty());
}

#[test]
fn a_dry_run_stores_nothing() {
    let env = three_versions();
    let before = everything_below(&env.path("store")).len();
    env.write("v3/new.txt", "new");
    let said = env.run(["ingest", "v3", "--into", "./store/signs", "--dry-run", "--json"]).json();
    assert_eq!((said["changed"].clone(), said["version"].clone()), (true.into(), serde_json::Value::Null));
    assert_eq!(said["new_bytes"], 3);
    assert_eq!(everything_below(&env.path("store")).len(), before);
}

#[test]
fn parts_are_got_by_path_and_glob() {
    let env = three_versions();
    let _ = env.run(["get", "./store/signs@1.0.0:images/train/", "train"]).exits(0);
    assert_same(&env.path("v1/images/train"), &env.path("train"));
    let _ = env.run(["get", "./store/signs@1.0.0:labels.csv", "one"]).exits(0);
    assert_eq!(fs::read(env.path("one/labels.csv")).unwrap(), fs::read(env.path("v1/labels.csv")).unwrap());
    let _ = env.run(["get", "./store/signs@1.0.0", "some", "**/*.csv"]).exits(0);
    let files = everything_below(&env.path("some")).into_iter().filter(|path| path.is_file());
    assert!(files.clone().count() >= 2 && files.clone().all(|path| path.extension().is_some_and(|it| it == "csv")));
    let nothing = env.run(["get", "./store/signs", "none", "*.nope"]).exits(3);
    assert!(nothing.stderr.contains("*.nope"), "{}", nothing.stderr);
}

#[test]
fn get_refuses_what_is_there_and_replaces_when_told() {
    let env = three_versions();
    env.write("full/mine.txt", "mine");
    env.write("full/labels.csv", "old");
    let refused = env.run(["get", "./store/signs", "full"]).exits(4);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    assert_eq!(fs::read(env.path("full/labels.csv")).unwrap(), b"old");
    let _ = env.run(["get", "./store/signs", "full", "--overwrite"]).exits(0);
    assert_eq!(fs::read(env.path("full/mine.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(env.path("full/labels.csv")).unwrap(), fs::read(env.path("v3/labels.csv")).unwrap());
    let said = env.run(["get", "./store/signs", "full", "--delete", "--json"]).json();
    assert_eq!(said["deleted"], serde_json::json!(["mine.txt"]));
    assert_same(&env.path("v3"), &env.path("full"));
}

#[test]
fn a_get_that_was_cut_off_goes_on() {
    let env = three_versions();
    // A file that can't be made where it must be cuts it off.
    let damaged = everything_below(&env.path("store/packs"));
    let saved: Vec<_> = damaged.iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    for (path, bytes) in &saved {
        let mut bytes = bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let cut = env.run(["get", "./store/signs@1.0.0", "out"]).exits(5);
    assert!(cut.stderr.contains("error: "), "{}", cut.stderr);
    for (path, bytes) in &saved {
        fs::write(path, bytes).unwrap();
    }
    // What a process leaves that is killed: no process has this number.
    env.write("out/images/.dagset-tmp-2147483647-1", "half a fi");
    let other = env.run(["get", "./store/signs@2.0.0", "out"]).exits(4);
    assert!(other.stderr.contains("isn't empty"), "{}", other.stderr);
    let said = env.run(["get", "./store/signs@1.0.0", "out", "--json"]).json();
    assert_eq!(said["resumed"], true);
    assert_same(&env.path("v1"), &env.path("out"));
}

#[test]
fn cat_prints_the_bytes_and_ls_their_ids() {
    let env = three_versions();
    assert_eq!(
        env.run(["cat", "./store/signs@1.0.0:labels.csv"]).text(),
        fs::read_to_string(env.path("v1/labels.csv")).unwrap()
    );
    let listed = env.run(["ls", "./store/signs@1.0.0", "-R", "--json"]).json();
    let entries = listed["entries"].as_array().unwrap();
    assert_eq!(entries.iter().filter(|it| it["kind"] == "symlink").count(), 1);
    for entry in entries.iter().filter(|it| it["kind"] == "file") {
        let bytes = fs::read(env.path("v1").join(entry["path"].as_str().unwrap())).unwrap();
        assert_eq!(entry["content"], blake3::hash(&bytes).to_hex().as_str(), "{entry}");
        assert_eq!(entry["bytes"], bytes.len());
    }
}

#[test]
fn two_stores_give_one_manifest() {
    let env = TestEnv::new();
    env.lay_out_signs("v2", "a");
    env.lay_out_signs("v2", "b");
    let manifest = |folder: &str, store: &str| {
        env.run(["ingest", folder, "--into", store, "--create", "--json"]).json()["manifest"].clone()
    };
    assert_eq!(manifest("a", "./one/set"), manifest("b", "./two/other"));
}

#[test]
fn a_list_of_files_is_taken_by_line_and_by_nul() {
    let env = TestEnv::new();
    env.lay_out_signs("v1", "v1");
    env.write("list", "labels.csv\nimages/test\n");
    let by_line = ["ingest", "v1", "--into", "./store/a", "--create", "--files-from", "list", "--json"];
    let by_line = env.run(by_line).json();
    let by_nul = ["ingest", "v1", "--into", "./store/b", "--create", "--files-from", "-", "--json"];
    let by_nul = env.run_with(".", by_nul, b"images/test\0labels.csv\0").json();
    assert_eq!(by_line["manifest"], by_nul["manifest"]);
    assert_eq!(by_line["files"], 4);
    let gone = ["ingest", "v1", "--into", "./store/a", "--files-from", "-"];
    let _ = env.run_with(".", gone, b"nothing-such\n").exits(3);
    let empty = env.run_with(".", gone, b"").exits(2);
    assert!(empty.stderr.contains("is empty"), "{}", empty.stderr);
}

#[test]
fn a_single_file_and_a_link_to_a_folder_are_sources() {
    let env = TestEnv::new();
    env.write("data/a.txt", "one");
    std::os::unix::fs::symlink("data", env.path("link")).unwrap();
    let by_link = env.run(["ingest", "link", "--into", "./store/a", "--create", "--json"]).json();
    let direct = env.run(["ingest", "data", "--into", "./store/b", "--create", "--json"]).json();
    let file = env.run(["ingest", "data/a.txt", "--into", "./store/c", "--create", "--json"]).json();
    assert_eq!(by_link["manifest"], direct["manifest"]);
    assert_eq!(file["manifest"], direct["manifest"]);
}
