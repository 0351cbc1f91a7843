//! What `--progress json` says while a command runs, and what an interrupt leaves of what has come.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::cache_bounds::{keep_from, staged};
use crate::env::{TestEnv, everything_below};
use crate::s3::{S3, Server, server};
use crate::stage::noise;

#[test]
fn rate_and_time_left_are_null_until_known_and_then_right() {
    let env = staged();
    let (some, others) = (keep_from(&env, 0..32), keep_from(&env, 32..64));
    let mut command = env.command();
    command.args(["warm", "./store/set@1", "./store/set@2", "--progress", "json"]).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let first = next();
    let told = ["phase", "bytes", "bytes_total", "bytes_per_second", "seconds_left"].map(|key| first[key].clone());
    assert_eq!(told, [json!("warming"), json!(0), json!(1_600_000), Value::Null, Value::Null]);
    drop(some);
    // Half of all comes at once, and then no more.
    let (mut line, mut bytes) = (next(), first["bytes"].clone());
    while line["bytes"] == 0 || line["bytes"] != bytes {
        bytes = line["bytes"].clone();
        line = next();
    }
    let [bytes, rate, left] = ["bytes", "bytes_per_second", "seconds_left"].map(|key| line[key].as_f64().unwrap());
    let mean = bytes / line["seconds"].as_f64().unwrap();
    assert!((mean / 2.0..mean * 2.0).contains(&rate), "{line}");
    assert_eq!(left, ((1_600_000.0 - bytes) / rate).ceil());
    drop(others);
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(!rest.iter().any(|line| line.contains("error")), "{rest:?}");
    let last = rest.iter().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap();
    assert_eq!((&last["bytes"], &last["seconds_left"]), (&json!(1_600_000), &json!(0)));
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_never_began_has_no_progress() {
    let env = TestEnv::new();
    let said = env.run(["push", "--progress", "json"]);
    assert!(said.code != Some(0) && !said.stderr.contains("\"phase\""), "{}", said.stderr);
}

const FILE: u64 = 100_000;
const FILES: u64 = 40;
const ALL: u64 = FILES * FILE;

/// A dataset of many files, and one of a large file, in a bucket that gives them in four seconds or so each.
fn slow_bucket() -> Option<(TestEnv, S3, String)> {
    let s3 = server(Server::Real)?;
    let mut env = TestEnv::new();
    for number in 0..FILES {
        env.write(&format!("many/{}/{number}", number % 3), noise(number, FILE as usize));
    }
    env.write("large/file", noise(FILES, ALL as usize));
    let url = s3.url("slow");
    s3.reach_from(&mut env);
    for set in ["many", "large"] {
        let _ = env.run(["ingest", set, "--into", &format!("{url}/{set}"), "--create"]).exits(0);
    }
    Some((env, s3, url))
}

/// Starts a command that moves a megabyte a second.
fn start(env: &TestEnv, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut command = env.command();
    command.args(["--limit-rate", "1M", "--progress", "json"]).args(arguments).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, lines)
}

fn figure(line: &Value, key: &str) -> u64 {
    line[key].as_u64().unwrap_or_else(|| panic!("{key} in {line}"))
}

#[test]
fn bytes_count_as_they_come_whatever_the_command() {
    let Some((env, _s3, url)) = slow_bucket() else { return };
    let _ = env.run(["store", "create", "./here"]).exits(0);
    let _ = env.run(["clone", &format!("{url}/large"), "clone"]).exits(0);
    let (many, large) = (format!("{url}/many"), format!("{url}/large"));
    let _ = env.run(["store", "create", &format!("{url}-2")]).exits(0);
    let _ = env.run_with("clone", ["remote", "add", "other", &format!("{url}-2//large")], b"").exits(0);
    for arguments in [
        &["warm", &many][..],
        &["get", &large, "plain", "--no-cache"],
        &["get", &large, "cached"],
        &["run", &large, "--cache", "another", "--", "true"],
        &["clone", &many, "clone-2"],
        &["-C", "clone", "push", "other"],
    ] {
        let (mut child, lines) = start(&env, arguments);
        let lines: Vec<Value> =
            lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()).collect();
        assert!(child.wait().unwrap().success(), "{arguments:?}");
        let figures = |line| (figure(line, "bytes"), figure(line, "bytes_total"));
        assert!(lines.iter().map(figures).all(|(bytes, total)| bytes <= total), "{arguments:?}: {lines:#?}");
        let (last, total) = figures(lines.last().unwrap());
        assert_eq!(last, total, "{arguments:?}");
        // All is at most as far as what has come, and not by as much as a file behind it.
        let seen = lines.iter().filter(|line| (1..ALL).contains(&figure(line, "bytes"))).count();
        assert!(seen >= 2, "{arguments:?}: {lines:#?}");
    }
}

#[test]
fn what_has_come_is_kept_at_an_interrupt() {
    let Some((env, _s3, url)) = slow_bucket() else { return };
    let set = format!("{url}/many");
    for (arguments, place, signals) in [
        (&["warm", &set, "--cache", "warmed"][..], "warmed/files", 1),
        (&["get", &set, "plain", "--no-cache"], "plain", 1),
        (&["get", &set, "links", "--link", "symlink", "--cache", "linked"], "linked/files", 1),
        // The second one waits for nothing.
        (&["get", &set, "at-once", "--no-cache"], "at-once", 2),
    ] {
        let (mut child, mut lines) = start(&env, arguments);
        let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
        let come = std::iter::repeat_with(|| figure(&next(), "bytes")).find(|bytes| *bytes > ALL / 4).unwrap();
        for _ in 0..signals {
            kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        }
        let said: Vec<String> = lines.map_while(Result::ok).collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said:?}");
        assert_eq!(said.iter().filter(|line| line.starts_with("interrupted: ")).count(), 1, "{said:?}");
        let files = everything_below(&env.path(place)).into_iter().filter(|path| path.is_file());
        let (whole, rest): (Vec<_>, Vec<_>) = files.partition(|path| path.metadata().unwrap().len() == FILE);
        // The file that was coming, and what lies between files in a pack.
        let least = if signals == 1 { come - 2 * FILE } else { 0 };
        assert!((least..ALL).contains(&(whole.len() as u64 * FILE)), "{} files of {come} bytes", whole.len());
        assert!(rest.iter().all(|path| path.ends_with(dagset::base::files::GET_MARKER)), "{rest:?}");
        let _ = env.run(arguments).exits(0);
    }
    let _ = env.run(["cache", "verify", "--cache", "warmed"]).exits(0);
    assert_eq!(env.run(["cache", "list", "--json", "--cache", "warmed"]).json()["holds"], json!([]));
}
