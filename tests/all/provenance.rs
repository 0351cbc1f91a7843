//! What a version says of where it was made, by itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::env::{TestEnv, left_out};

/// Runs git, if there is one; gives what it prints.
fn git(env: &TestEnv, folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", env.home("")).current_dir(folder);
    let output = command.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments).output().ok()?;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// A repository with one commit in the working folder; none without git.
fn repository(env: &TestEnv) -> Option<String> {
    let folder = env.path(".");
    let Some(_) = git(env, &folder, &["init", "-q", "-b", "trunk"]) else {
        left_out("there is no git");
        return None;
    };
    env.write("train.py", "print(1)");
    git(env, &folder, &["add", "train.py"]);
    git(env, &folder, &["commit", "-q", "-m", "one"]);
    git(env, &folder, &["rev-parse", "HEAD"])
}

/// The provenance of a version that is made now, in a folder.
fn made(env: &TestEnv, folder: &str, more: &[&str]) -> Value {
    let store = env.path("store");
    let dataset = format!("{}//set", store.display());
    let count = fs::read_dir(store.join("log/000/000")).map_or(0, |listing| listing.count());
    env.write("data/a", count.to_string());
    let data = env.path("data");
    let ingest = ["ingest", data.to_str().unwrap(), "--into", &dataset, "--create", "--json"];
    let version = env.run_with(folder, [&ingest[..], more].concat(), b"").json()["version"].clone();
    env.run(["show", &format!("{dataset}@{}", version.as_str().unwrap()), "--json"]).json()["provenance"].clone()
}

#[test]
fn a_version_says_host_user_tool_command_and_job() {
    let mut env = TestEnv::new();
    for (name, value) in [("CI_JOB_URL", "https://ci.example/7"), ("CI_JOB_NAME", "nightly"), ("CI_COMMIT_SHA", "abc")]
    {
        env.set(name, value);
    }
    let found = made(&env, ".", &["--meta", "api_token=hush"]);
    for key in ["host", "user", "tool", "command"] {
        assert!(found[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {found}");
    }
    assert!(!found.to_string().contains("hush"), "{found}");
    assert_eq!((&found["ci_url"], &found["ci_job_name"]), (&json!("https://ci.example/7"), &json!("nightly")));
    assert_eq!(found["git_commit"], "abc", "where the folder is no work tree, the job says it");
    assert_eq!(found.get("git_dirty"), None);
    assert_eq!(made(&env, ".", &["--no-provenance"]), json!({}));
}

#[test]
fn the_commit_of_the_working_folder_and_whether_it_is_all() {
    let env = TestEnv::new();
    let Some(commit) = repository(&env) else { return };
    env.write("sub/x", "untracked");
    let found = made(&env, "sub", &[]);
    assert_eq!((&found["git_commit"], &found["git_dirty"]), (&json!(commit), &json!(false)), "{found}");
    git(&env, &env.path("."), &["pack-refs", "--all"]);
    env.write("train.py", "print(2)");
    let found = made(&env, ".", &[]);
    assert_eq!((&found["git_commit"], &found["git_dirty"]), (&json!(commit), &json!(true)), "{found}");
    git(&env, &env.path("."), &["worktree", "add", "-q", "other", "-b", "side"]);
    let found = made(&env, "other", &[]);
    assert_eq!((&found["git_commit"], &found["git_dirty"]), (&json!(commit), &json!(false)), "{found}");
    git(&env, &env.path("other"), &["checkout", "-q", "--detach"]);
    assert_eq!(made(&env, "other", &[])["git_commit"], json!(commit));
    let used = env.run(["use", "./store//set", "--run", "r", "--json"]).json();
    assert_eq!(used["provenance"]["git_commit"], json!(commit), "a use says it too");
}

#[test]
fn a_git_that_hangs_or_a_broken_repository_holds_nobody_up() {
    let mut env = TestEnv::new();
    let Some(commit) = repository(&env) else { return };
    env.write("bin/git", "#!/bin/sh\nexec /bin/sleep 600\n");
    fs::set_permissions(env.path("bin/git"), fs::Permissions::from_mode(0o755)).unwrap();
    env.set("PATH", env.path("bin").to_str().unwrap());
    let found = made(&env, ".", &[]);
    assert_eq!((&found["git_commit"], found.get("git_dirty")), (&json!(commit), None));
    fs::write(env.path(".git/HEAD"), "ref: refs/heads/../../../../etc/passwd\n").unwrap();
    assert_eq!(made(&env, ".", &[]).get("git_commit"), None);
}
