//! Every link gives the same tree, and nothing that was changed is handed out.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::env::{TestEnv, everything_below};
use crate::stage::{contents_read, lay_out, noise};

/// All that leave links to cached files, and those that don't.
const SHARING: [&str; 3] = ["hardlink", "symlink", "view"];
const OWN: [&str; 2] = ["auto", "copy"];

/// The content of `labels.csv` that [`lay_out`] writes.
const LABELS: &str = "name,class\nimg-1,stop\nimg-2,yield\n";

fn staged() -> TestEnv {
    let env = TestEnv::new();
    lay_out(&env.path("data"), 1);
    env.write("data/Ünïcode \\ name/%41 'quoted' \"double\" *?", "odd");
    env.write("data/second-empty", "");
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    env
}

#[track_caller]
fn get(env: &TestEnv, folder: &str, more: &[&str]) -> Value {
    env.run([&["get", "./store/set", folder, "--json"], more].concat()).json()
}

/// Files of the usual cache below one of its folders.
fn cached(env: &TestEnv, what: &str) -> Vec<PathBuf> {
    let all = everything_below(&env.home(".cache/dagset/files").join(what));
    all.into_iter().filter(|path| path.symlink_metadata().unwrap().is_file()).collect()
}

fn cached_labels(env: &TestEnv) -> PathBuf {
    let name = blake3::hash(LABELS.repeat(20).as_bytes()).to_hex().to_string();
    env.home(&format!(".cache/dagset/files/files/{}/{name}", &name[..2]))
}

/// Writes over a read-only file as its owner can; with its time as it was if `quietly`.
fn edit(path: &Path, bytes: &[u8], quietly: bool) {
    let meta = fs::metadata(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    if quietly {
        File::options().write(true).open(path).unwrap().set_modified(meta.modified().unwrap()).unwrap();
    }
    fs::set_permissions(path, meta.permissions()).unwrap();
}

/// Other bytes of the same number.
fn altered(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    bytes
}

#[test]
fn every_link_gives_the_same_tree() {
    let env = staged();
    let wanted = contents_read(&env.path("data"));
    for link in SHARING.into_iter().chain(OWN) {
        let said = get(&env, link, &["--link", link]);
        assert_eq!(said["files"], 8, "{said}");
        assert_eq!(contents_read(&env.path(link)), wanted, "{link}");
        assert!(env.path(link).join("link").symlink_metadata().unwrap().is_symlink());
        assert!(env.path(link).join("nothing").is_dir());
        let mode = |name: &str| env.path(link).join(name).metadata().unwrap().mode() & 0o222;
        assert_eq!(mode("big.bin") == 0, SHARING.contains(&link), "{link}");
        let again = get(&env, &format!("again-{link}"), &["--link", link]);
        assert!(again["received_bytes"].as_u64().unwrap() < 100_000, "content comes from the cache: {again}");
    }
    let inode = |path: &str| env.path(path).metadata().unwrap().ino();
    assert_eq!(inode("hardlink/big.bin"), inode("symlink/big.bin"));
    assert_eq!(inode("hardlink/big.bin"), inode("view/big.bin"));
    assert_eq!(inode("view/big.bin"), inode("again-view/big.bin"));
    // Twenty jobs with a million empty files would else meet the limit of links; a view is there once.
    assert_ne!(inode("hardlink/empty"), inode("hardlink/second-empty"));
    assert_eq!(inode("view/empty"), inode("view/second-empty"));
    assert_eq!(fs::metadata(env.path("view/empty")).unwrap().mode() & 0o222, 0);
    let copied = get(&env, "writable", &["--link", "auto", "--writable"]);
    assert_eq!(copied["links"]["copies"].as_u64().unwrap() + copied["links"]["reflinks"].as_u64().unwrap(), 8);
    env.write("writable/labels.csv", "mine");
    assert_eq!(contents_read(&env.path("view")), wanted);
}

#[test]
fn an_edited_file_is_never_handed_out() {
    for link in SHARING.into_iter().chain(OWN) {
        for (what, bytes) in [
            ("size", b"longer than it was".repeat(100)),
            ("time", LABELS.replace("stop", "STOP").repeat(20).into_bytes()),
        ] {
            let env = staged();
            let _ = get(&env, "before", &["--link", link]);
            edit(&cached_labels(&env), &bytes, what == "size");
            let said =
                env.run(["get", "./store/set", "after", "--link", if link == "view" { "hardlink" } else { link }]);
            let said = said.exits(0);
            assert!(
                said.stderr.contains("was changed since it was cached: moved to"),
                "{link} {what}: {}",
                said.stderr
            );
            assert_eq!(contents_read(&env.path("after")), contents_read(&env.path("data")), "{link} {what}");
            let [aside] = &cached(&env, "quarantine")[..] else { panic!("one is put aside") };
            assert_eq!(fs::read(aside).unwrap(), bytes);
            // A view that shows the edited file is out of use.
            let _ = get(&env, "view", &["--link", "view"]);
            assert_eq!(contents_read(&env.path("view")), contents_read(&env.path("data")), "{link} {what}");
            let _ = env.run(["cache", "verify"]).exits(0);
        }
    }
}

#[test]
fn an_edit_through_a_hardlink_is_mended_by_the_same_get() {
    let env = staged();
    let _ = get(&env, "job", &["--link", "hardlink"]);
    let labels = env.path("job/labels.csv");
    edit(&labels, &altered(&labels), false);
    let _ = get(&env, "job", &["--link", "hardlink", "--overwrite"]);
    assert_eq!(contents_read(&env.path("job")), contents_read(&env.path("data")));
    assert_eq!(cached(&env, "quarantine").len(), 1);
}

#[test]
fn rot_without_a_trace_is_found_by_verify_and_then_right_again() {
    let env = staged();
    let _ = get(&env, "view", &["--link", "view"]);
    let _ = get(&env, "linked", &["--link", "symlink"]);
    edit(&cached_labels(&env), &altered(&cached_labels(&env)), true);
    let found = env.run(["cache", "verify", "--json"]).exits(5).document();
    assert_eq!(found["damaged"].as_array().unwrap().len(), 1, "{found}");
    let _ = env.run(["cache", "verify"]).exits(0);
    for link in SHARING.into_iter().chain(OWN) {
        let folder = format!("after-{link}");
        let _ = get(&env, &folder, &["--link", link]);
        assert_eq!(contents_read(&env.path(&folder)), contents_read(&env.path("data")), "{link}");
    }
    // The links of before lead to right files again.
    assert_eq!(contents_read(&env.path("view")), contents_read(&env.path("data")));
    for path in everything_below(&env.path("linked")).iter().filter(|path| path.is_file()) {
        let relative = path.strip_prefix(env.path("linked")).unwrap();
        assert_eq!(fs::read(path).unwrap(), fs::read(env.path("data").join(relative)).unwrap(), "{relative:?}");
    }
}

#[test]
fn rot_is_found_where_files_are_copied() {
    let env = staged();
    let _ = get(&env, "first", &["--link", "copy"]);
    edit(&cached_labels(&env), &altered(&cached_labels(&env)), true);
    let said = env.run(["get", "./store/set", "second", "--link", "copy"]).exits(0);
    assert!(said.stderr.contains("was changed since it was cached"), "{}", said.stderr);
    assert_eq!(contents_read(&env.path("second")), contents_read(&env.path("data")));
    assert_eq!(env.run(["cache", "verify", "--json"]).json()["damaged"], serde_json::json!([]));
}

#[test]
fn a_wrong_file_of_a_chained_cache_is_not_taken_over() {
    let env = staged();
    let _ = env.run(["warm", "./store/set", "--cache", "./far"]).exits(0);
    let far = env.path("far/files");
    let large = noise(2, 300_000);
    let hash = blake3::hash(&large).to_hex().to_string();
    let planted = far.join(&hash[..2]).join(&hash);
    edit(&planted, &altered(&planted), true);
    let before = everything_below(&env.path("far"));
    let said = env.run(["get", "./store/set", "job", "--cache", "./near,./far:ro", "--link", "hardlink"]).exits(0);
    assert!(said.stderr.contains(&format!("{hash} was changed since it was cached: not used")), "{}", said.stderr);
    assert_eq!(contents_read(&env.path("job")), contents_read(&env.path("data")));
    let _ = env.run(["cache", "verify", "--cache", "./near"]).exits(0);
    assert_eq!(everything_below(&env.path("far")), before, "it is only read");
    let _ = env.run(["cache", "verify", "--cache", "./far"]).exits(5);
}

#[test]
fn links_change_nothing_for_who_keeps_versions_of_them() {
    let env = staged();
    let _ = get(&env, "job", &["--link", "hardlink"]);
    let version = |folder: &str| {
        let said = env.run(["ingest", folder, "--into", "./store/set", "--json"]).json();
        (said["changed"].clone(), said["version"].clone())
    };
    let first = version("job");
    assert_eq!(first.0, false);
    // Another job's links change the inodes.
    let _ = get(&env, "other", &["--link", "hardlink"]);
    assert_eq!(version("job"), first);
    let _ = env.run_with("job", ["init", "--store", "../store", "--dataset", "own"], b"").exits(0);
    let _ = env.run_with("job", ["commit", "-a", "-m", "all"], b"").exits(0);
    let _ = get(&env, "third", &["--link", "hardlink"]);
    let status = env.run_with("job", ["status", "--json"], b"").json();
    for what in ["added", "modified", "removed"] {
        assert_eq!(status[what], serde_json::json!([]), "{status}");
    }
}

#[test]
fn of_files_used_on_one_day_few_go_and_little_more_than_is_needed() {
    let env = TestEnv::new();
    for number in 0..190 {
        env.write(&format!("data/{number}"), crate::stage::noise(number, 4096));
    }
    env.write("data/large", crate::stage::noise(1_000, 190 * 4096));
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let _ = env.run(["cache", "init", "cache", "--max", "1G", "--keep-free", "0"]).exits(0);
    let prune = |to: u64| {
        let _ = env.run(["warm", "./store/set", "--cache", "cache"]).exits(0);
        let pruned = env.run(["cache", "prune", "--to", &to.to_string(), "--cache", "cache", "--json"]).json();
        ["files", "bytes"].map(|key| pruned[key].as_u64().unwrap())
    };
    let all = 2 * 190 * 4096;
    assert_eq!(prune(all - 4096), [1, 4096], "one small file is enough");
    assert_eq!(prune(all - 20 * 4096), [20, 20 * 4096], "twenty of them, and not the large one");
    assert_eq!(prune(all - 185 * 4096), [1, 190 * 4096], "one large file rather than 185 small ones");
    assert_eq!(prune(all - 191 * 4096), [2, 191 * 4096]);
}
