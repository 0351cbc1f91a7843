//! Many processes that want one version at once fetch each byte once, and none needs another to live.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::env::{TestEnv, everything_below};
use crate::proxy::Proxy;
use crate::s3::{Server, server};
use crate::stage::{contents_read, noise};

const PROCESSES: usize = 16;
const FILES: u64 = 150;
const FILE: usize = 60_000;
const ALL: u64 = FILES * FILE as u64;

/// Content that doesn't compress, so that its bytes can be counted on their way, and one file that is much larger than others.
fn lay_out(env: &TestEnv) {
    for number in 0..FILES {
        env.write(&format!("data/{}/{number}", number % 5), noise(number, FILE));
    }
    env.write("data/large", noise(1 << 20, ALL as usize));
}

fn start(env: &TestEnv, arguments: &[&str]) -> Child {
    let mut command = env.command();
    command.args(arguments).arg("--json").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// What a process said that succeeded.
fn ended(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Half of the processes warm, the others get by a link each.
fn start_all(env: &TestEnv, set: &str) -> Vec<Child> {
    let links = ["copy", "hardlink", "symlink", "view"];
    let one = |at: usize| match at % 2 {
        0 => start(env, &["warm", set]),
        _ => start(env, &["get", set, &format!("job-{at}"), "--link", links[at / 2 % 4]]),
    };
    (0..PROCESSES).map(one).collect()
}

fn assert_nothing_is_left(env: &TestEnv) {
    let cache = env.home(".cache/dagset/files");
    let names = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let leftover = |path: &&std::path::PathBuf| names(path).starts_with("work-");
    assert_eq!(everything_below(&cache.join("locks")).iter().filter(leftover).count(), 0);
    let _ = env.run(["cache", "verify"]).exits(0);
}

#[test]
fn sixteen_processes_fetch_each_byte_once_from_a_folder() {
    let env = TestEnv::new();
    lay_out(&env);
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let said: Vec<Value> = start_all(&env, "./store/set").into_iter().map(ended).collect();
    let received: u64 = said.iter().map(|said| said["received_bytes"].as_u64().unwrap()).sum();
    // Each reads the store's records and manifest for itself.
    let meta = 100_000 * PROCESSES as u64;
    assert!((2 * ALL..2 * ALL + meta).contains(&received), "{received} of {}", 2 * ALL);
    for at in (1..PROCESSES).step_by(2) {
        assert_eq!(contents_read(&env.path(&format!("job-{at}"))), contents_read(&env.path("data")));
    }
    assert_nothing_is_left(&env);
}

#[test]
fn sixteen_processes_ask_a_server_for_each_byte_once() {
    let Some(s3) = server(Server::Real) else { return };
    let mut env = TestEnv::new();
    lay_out(&env);
    let proxy = Proxy::before(&s3.endpoint);
    let set = format!("{}/set", s3.url("once"));
    s3.through(proxy.endpoint.clone()).reach_from(&mut env);
    let _ = env.run(["ingest", "data", "--into", &set, "--create"]).exits(0);
    proxy.take_answered();
    let said: Vec<Value> = start_all(&env, &set).into_iter().map(ended).collect();
    let answered = proxy.take_answered();
    let packs: u64 = answered.iter().filter(|(path, _)| path.contains("/packs/")).map(|(_, bytes)| bytes).sum();
    assert!((2 * ALL..2 * ALL * 102 / 100).contains(&packs), "{packs} of {}", 2 * ALL);
    assert_eq!(said.len(), PROCESSES);
    for at in (1..PROCESSES).step_by(2) {
        assert_eq!(contents_read(&env.path(&format!("job-{at}"))), contents_read(&env.path("data")));
    }
    assert_nothing_is_left(&env);
}

#[test]
fn the_others_finish_when_some_are_killed() {
    let env = TestEnv::new();
    lay_out(&env);
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let mut killed = 0;
    for round in 0..3_u64 {
        let mut children = start_all(&env, "./store/set");
        for at in 0..PROCESSES as u64 {
            // The moment is what is tried, so that nothing could be waited for.
            std::thread::sleep(Duration::from_millis(2 + 5 * round));
            if at % 3 == 0 {
                let mut child = children.remove(0);
                child.kill().unwrap();
                killed += u32::from(!child.wait().unwrap().success());
            } else {
                children.rotate_left(1);
            }
        }
        children.into_iter().for_each(|child| drop(ended(child)));
        let _ = env.run(["warm", "./store/set", "--check"]).exits(0);
        let _ = env.run(["cache", "verify"]).exits(0);
        for entry in std::fs::read_dir(env.path(".")).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let is_link = entry.file_type().unwrap().is_symlink();
            match name.starts_with("job-") {
                true if is_link => std::fs::remove_file(entry.path()).unwrap(),
                true => std::fs::remove_dir_all(entry.path()).unwrap(),
                false => {}
            }
        }
        let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
        let list = env.run(["cache", "list", "--json"]).json();
        assert_eq!((&list["holds"], &list["views"]), (&serde_json::json!([]), &serde_json::json!([])));
        let left = env.run(["cache", "info", "--json"]).json();
        assert_eq!(left["caches"][0]["bytes"], 0, "{left}");
        assert_nothing_is_left(&env);
    }
    assert!(killed > 5, "only {killed} were killed in time");
}
