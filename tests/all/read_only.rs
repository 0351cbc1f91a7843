//! A store that this user may only read: every command that reads it works, and each that writes says what is missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cli_main_job::three_versions;
use crate::env::{TestEnv, everything_below};

/// Sets the mode of a folder's files and folders.
pub fn set_modes(folder: &Path, mode: u32) {
    for path in everything_below(folder).into_iter().chain([folder.to_owned()]) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// The fixture's versions, in a store whose files and folders have the mode 0555.
fn closed_store() -> TestEnv {
    let mut env = three_versions();
    set_modes(&env.path("store"), 0o555);
    env.bind_by_permissions();
    env
}

#[test]
fn a_closed_store_can_be_looked_at_verified_and_got_from() {
    let env = closed_store();
    for arguments in [
        &["list", "./store"][..],
        &["store", "info", "./store"],
        &["ls", "-l", "./store/signs"],
        &["tree", "./store/signs@1.0.0"],
        &["stat", "./store/signs:labels.csv"],
        &["cat", "./store/signs:labels.csv"],
        &["log", "--graph", "./store/signs"],
        &["show", "./store/signs"],
        &["diff", "./store/signs@1.0.0", "./store/signs"],
        &["branch", "./store/signs"],
        &["tag", "./store/signs"],
        &["verify", "./store"],
        &["verify", "./store/signs@1.0.0"],
        &["get", "./store/signs@1.0.0", "copy"],
        &["get", "./store/signs:labels.csv", "labels"],
        &["ingest", "v1", "--into", "./store/signs", "--branch", "side", "--dry-run"],
    ] {
        let said = env.run([arguments, &["-q"]].concat()).exits(0);
        assert_eq!(said.stderr, "", "{arguments:?}");
    }
    set_modes(&env.path("store"), 0o755);
}

#[test]
fn a_closed_store_can_be_cloned_from_and_its_workspace_switched() {
    let env = closed_store();
    let _ = env.run(["clone", "./store/signs", "mine"]).exits(0);
    let _ = env.run_with("mine", ["fetch"], b"").exits(0);
    let _ = env.run_with("mine", ["pull"], b"").exits(0);
    let _ = env.run_with("mine", ["switch", "1.0.0"], b"").exits(0);
    let _ = env.run_with("mine", ["status"], b"").exits(0);
    let _ = env.run_with("mine", ["switch", "main"], b"").exits(0);
    env.write("mine/new.txt", "of this machine");
    fs::set_permissions(env.path("mine"), fs::Permissions::from_mode(0o777)).unwrap();
    let _ = env.run_with("mine", ["commit", "-a", "-m", "mine alone"], b"").exits(0);
    let said = env.run_with("mine", ["push"], b"").exits(6);
    assert!(said.stderr.contains("permission denied"), "{}", said.stderr);
    set_modes(&env.path("store"), 0o755);
}

#[test]
fn what_would_write_to_a_closed_store_is_refused_and_leaves_it_as_it_was() {
    let env = closed_store();
    let before = everything_below(&env.path("store"));
    env.write("data/a", "new");
    for arguments in [
        &["ingest", "data", "--into", "./store/signs"][..],
        &["ingest", "data", "--into", "./store/other", "--create"],
        &["branch", "./store/signs@1.0.0", "fixes"],
        &["tag", "./store/signs@1.0.0", "stable"],
    ] {
        let said = env.run(arguments).exits(6);
        assert!(said.stderr.contains("permission denied"), "{arguments:?}: {}", said.stderr);
    }
    assert_eq!(everything_below(&env.path("store")), before);
    set_modes(&env.path("store"), 0o755);
}
