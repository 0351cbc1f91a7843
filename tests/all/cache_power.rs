//! Power loss: what had not reached the disk is found by its hash, and only that is looked at.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::env::{TestEnv, everything_below};

fn marks(env: &TestEnv) -> Vec<PathBuf> {
    everything_below(&env.home(".cache/dagset/files/unsettled"))
}

/// Zeroes in place of a cached file's bytes, with size and time as they were: what a crash leaves of blocks that were never written.
fn lose(path: &Path) {
    let meta = fs::metadata(path).unwrap();
    let (time, mode) = (meta.modified().unwrap(), meta.permissions());
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, vec![0; meta.len() as usize]).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

fn cached(env: &TestEnv, content: &str) -> PathBuf {
    let name = blake3::hash(content.as_bytes()).to_hex().to_string();
    env.home(&format!(".cache/dagset/files/files/{}/{name}", &name[..2]))
}

fn warmed() -> TestEnv {
    let env = TestEnv::new();
    for name in ["a", "b", "c"] {
        env.write(&format!("data/{name}"), format!("content of {name}"));
    }
    let said = env.run(["ingest", "data", "--into", "./store/set", "--create", "--json"]).json();
    assert_eq!(said["files"], 3);
    let said = env.run(["get", "./store/set", "view", "--link", "view", "--json"]).json();
    assert_eq!(said["files"], 3);
    env
}

/// As if the machine had been started anew since the marks were put.
fn start_anew(env: &TestEnv) {
    let [mark] = &marks(env)[..] else { panic!("one mark: {:?}", marks(env)) };
    fs::rename(mark, mark.with_file_name("00000000-0000-0000-0000-000000000000")).unwrap();
}

#[test]
fn what_did_not_reach_the_disk_is_never_handed_out() {
    let env = warmed();
    start_anew(&env);
    lose(&cached(&env, "content of b"));
    let said = env.run(["warm", "./store/set", "--check"]).exits(3);
    assert!(said.stderr.contains("what had not reached the disk was removed (1)"), "{}", said.stderr);
    assert!(!env.path("view/a").exists(), "the view showed the lost file");
    assert_eq!(marks(&env), Vec::<PathBuf>::new());
    for link in ["hardlink", "view"] {
        let got = env.run(["get", "./store/set", &format!("by-{link}"), "--link", link, "--json"]).json();
        assert_eq!(got["files"], 3);
        assert_eq!(fs::read_to_string(env.path(&format!("by-{link}/b"))).unwrap(), "content of b");
    }
}

#[test]
fn under_the_same_start_nothing_is_read_again() {
    let env = warmed();
    assert_eq!(marks(&env).len(), 1);
    // Rot that only a verification finds: nothing else has a reason to look.
    lose(&cached(&env, "content of b"));
    let said = env.run(["warm", "./store/set", "--check", "--json"]).json();
    assert_eq!(said["complete"], true);
    let found = env.run(["cache", "verify", "--json"]).exits(5).document();
    assert_eq!(found["damaged"].as_array().unwrap().len(), 1);
    // The job that reads through the view keeps it; the next one gets another, to which then both lead.
    assert!(env.path("view/a").exists());
    let _ = env.run(["get", "./store/set", "next", "--link", "view", "--json"]).json();
    for job in ["view", "next"] {
        assert_eq!(fs::read_to_string(env.path(job).join("b")).unwrap(), "content of b");
    }
}

#[test]
fn a_large_warm_up_waits_for_the_disk() {
    let env = TestEnv::new();
    env.write("data/large", vec![1; 65 << 20]);
    let said = env.run(["ingest", "data", "--into", "./store/set", "--create", "--json"]).json();
    assert_eq!(said["files"], 1);
    let said = env.run(["warm", "./store/set", "--json"]).json();
    assert_eq!(said["complete"], true);
    assert_eq!(marks(&env), Vec::<PathBuf>::new());
}
