//! `run`: a command gets versions to read, and they stay while it runs, whoever is killed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::env::{TestEnv, left_out};

/// Two datasets in a folder store.
fn two_datasets() -> TestEnv {
    let env = TestEnv::new();
    for (name, content) in [("one", "first"), ("two", "second")] {
        env.write(&format!("{name}/deep/a b.txt"), content);
        let _ = env.run(["ingest", name, "--into", &format!("./store/{name}"), "--create"]).exits(0);
    }
    env
}

/// What holds something in the cache.
fn holds(env: &TestEnv) -> Vec<serde_json::Value> {
    env.run(["cache", "list", "--json"]).json()["holds"].as_array().unwrap().clone()
}

/// Files that go when nothing is spared that nobody holds.
fn pruned(env: &TestEnv) -> u64 {
    env.run(["cache", "prune", "--to", "0", "--json"]).json()["files"].as_u64().unwrap()
}

/// Starts `dagset` with a pipe to and from the command, and reads the line that it begins with.
fn start(env: &TestEnv, arguments: &[&str]) -> (Child, BufReader<ChildStdout>, String) {
    let mut command: Command = env.command();
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    (child, lines, line.trim().to_owned())
}

fn signal(number: i32, signal: Signal) {
    kill_process(Pid::from_raw(number).unwrap(), signal).unwrap();
}

#[test]
fn the_command_is_told_where_the_files_are() {
    let env = two_datasets();
    let run = ["run", "./store/one", "./store/two:deep", "--"];
    let said = env.run([&run[..], &["cat", "{}/deep/a b.txt", "{2}/a b.txt"]].concat()).text();
    assert_eq!(said, "firstsecond");
    let script = r#"cat "$DAGSET_DATA/deep/a b.txt" "$DAGSET_DATA_1/deep/a b.txt" "$DAGSET_DATA_2/a b.txt""#;
    assert_eq!(env.run([&run[..], &["sh", "-c", script]].concat()).text(), "firstfirstsecond");
    let own = ["echo", "-q", "--json", "--exec", "--", "${1}", "{{}}", "{3}"];
    assert_eq!(env.run([&run[..], &own].concat()).text(), "-q --json --exec -- ${1} {} {3}\n");
    assert!(holds(&env).is_empty(), "what has ended holds nothing");
}

#[test]
fn input_and_exit_codes_go_through() {
    let env = two_datasets();
    for exec in [&[][..], &["--exec"]] {
        let run = |command: &[&str], input: &[u8]| {
            let arguments = [&["run", "./store/one"], exec, &["--"], command].concat();
            env.run_with(".", arguments, input)
        };
        assert_eq!(run(&["cat"], b"in").text(), "in");
        let _ = run(&["sh", "-c", "exit 7"], b"").exits(7);
        assert!(run(&["no-such-command"], b"").exits(127).stderr.contains("there is no command no-such-command"));
        let _ = run(&["/"], b"").exits(126);
    }
    let _ = env.run(["run", "./store/one", "--", "sh", "-c", "kill -TERM $$"]).exits(128 + 15);
    let _ = env.run(["run", "./store/none", "--", "true"]).exits(3);
    assert_eq!(env.run(["run", "./store/one", "--exec", "--", "sh", "-c", "kill -TERM $$"]).code, None);
}

#[test]
fn signals_are_passed_on() {
    let env = two_datasets();
    let ignored = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    for (name, sent) in [("HUP", Signal::HUP), ("INT", Signal::INT), ("TERM", Signal::TERM), ("USR1", Signal::USR1)] {
        // What is ignored from the start stays so for all children, and no shell can trap it.
        if ignored >> (sent.as_raw() - 1) & 1 == 1 {
            left_out(&format!("a process that heeds SIG{name}, which is ignored here (nohup)"));
            continue;
        }
        let script = format!("trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done");
        let (mut child, mut rest, line) = start(&env, &["run", "./store/one", "--", "sh", "-c", &script]);
        assert_eq!(line, "ready");
        signal(Pid::from_child(&child).as_raw_pid(), sent);
        let mut said = String::new();
        rest.read_to_string(&mut said).unwrap();
        assert_eq!(said, format!("got {name}\n"));
        assert_eq!(child.wait().unwrap().code(), Some(9), "{name}");
    }
}

#[test]
fn files_stay_while_the_command_runs_and_no_longer() {
    let env = two_datasets();
    let (mut child, _rest, number) = start(&env, &["run", "./store/one", "--", "sh", "-c", "echo $$; read line"]);
    let held = holds(&env);
    assert_eq!(held.len(), 1);
    assert_eq!(held[0]["process"].to_string(), number, "it is the command that holds");
    assert_eq!(pruned(&env), 0);
    drop(child.stdin.take());
    child.wait().unwrap();
    let left = fs::read_dir(env.home(".cache/dagset/files/holds")).unwrap().count();
    assert_eq!(left, 0, "who waited has taken the lease away");
    assert_eq!(pruned(&env), 1);
}

#[test]
fn a_command_whose_waiter_was_killed_keeps_its_files() {
    let env = two_datasets();
    let script = "echo $$; read line; echo end; read line";
    let (mut child, mut rest, number) = start(&env, &["run", "./store/one", "--", "sh", "-c", script]);
    let mut input = child.stdin.take().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    writeln!(input).unwrap();
    let mut line = String::new();
    rest.read_line(&mut line).unwrap();
    assert_eq!(line, "end\n", "it runs on");
    assert_eq!((holds(&env).len(), pruned(&env)), (1, 0));
    drop(input);
    // Its end closes the pipe.
    rest.read_to_end(&mut Vec::new()).unwrap();
    while rustix::process::test_kill_process(Pid::from_raw(number.parse().unwrap()).unwrap()).is_ok()
        && !is_dead(&number)
    {
        std::thread::yield_now();
    }
    assert_eq!((holds(&env).len(), pruned(&env)), (0, 1));
}

/// Whether a process only waits to be asked how it ended.
fn is_dead(number: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}
