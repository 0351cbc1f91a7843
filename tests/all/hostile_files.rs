//! Files that dagset keeps for itself, as somebody else may have left them: each is refused or passed over, in words that steer no terminal.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::env::{Outcome, TestEnv, everything_below};
use crate::hostile::{STEERING, bounded, steering};

/// What may stand in any of them.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str| open.repeat(100_000).into_bytes();
    vec![
        ("nothing", Vec::new()),
        ("escapes", STEERING.into()),
        ("escapes in TOML", format!("{STEERING:?} = {STEERING}\n").into()),
        ("escapes in JSON", format!("{{\"schema\": 1, \"{STEERING}\": ").into()),
        ("no UTF-8", vec![0xff; 300]),
        ("zeros", vec![0; 1 << 20]),
        ("lists in lists", deep("[")),
        ("maps in maps", deep("{\"a\":")),
        ("tables in tables", [b"a = ".to_vec(), deep("[")].concat()),
        ("a long key", deep("a.")),
        ("a table of a long name", [b"[".to_vec(), deep("a.")].concat()),
        ("a huge number", [b"schema = 1".to_vec(), vec![b'0'; 100_000]].concat()),
    ]
}

/// Puts each content, and then a link that leads out, in the place of a file, and runs commands that read it.
#[track_caller]
fn harm(env: &TestEnv, file: &str, commands: &[&[&str]]) {
    let path = env.path(file);
    let whole = fs::read(&path).ok();
    for (what, bytes) in contents() {
        fs::write(&path, bytes).unwrap();
        for command in commands {
            let outcome = bounded(env, command);
            let said = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(matches!(outcome.code, Some(0..=8)), "{file}: {what}: {command:?}: {:?}: {said}", outcome.code);
            assert!(!said.contains("panicked"), "{file}: {what}: {command:?}: {said}");
            assert_eq!(steering(&said), None, "{file}: {what}: {command:?}: {said:?}");
        }
    }
    match whole {
        Some(bytes) => fs::write(&path, bytes).unwrap(),
        None => fs::remove_file(&path).unwrap(),
    }
}

fn staged() -> TestEnv {
    let env = TestEnv::new();
    env.write("data/a", "1");
    env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1"]).text();
    env
}

#[test]
fn of_a_workspace() {
    let env = staged();
    env.run(["clone", "./store/set", "work"]).text();
    env.write("work/b", "2");
    let commands: [&[&str]; 4] = [
        &["-C", "work", "status"],
        &["-C", "work", "log"],
        &["-C", "work", "add", "b"],
        &["-C", "work", "switch", "1"],
    ];
    for file in ["config.toml", "state.json", "staged", "merge.json"] {
        harm(&env, &format!("work/.dagset/{file}"), &commands);
    }
    harm(&env, "work/.dagsetignore", &commands[..1]);
    harm(&env, "dagset.lock", &[&["lock", "--check"], &["get", "set", "out", "--locked"]]);
}

#[test]
fn of_a_store_and_of_a_user() {
    let env = staged();
    harm(&env, "store/dagset.json", &[&["list", "./store"], &["verify", "./store"], &["get", "./store/set", "out"]]);
    fs::create_dir_all(env.home(".config/dagset")).unwrap();
    harm(&env, "../home/.config/dagset/config.toml", &[&["list", "./store"], &["config", "list"]]);
    fs::create_dir_all(env.home(".aws")).unwrap();
    harm(&env, "../home/.aws/config", &[&["list", "s3://bucket/x", "--offline"]]);
}

#[test]
fn of_a_cache() {
    let env = staged();
    env.run(["cache", "init", "cache", "--keep-free", "0"]).text();
    let get = ["get", "./store/set", "out", "--overwrite", "--cache", "cache"];
    let view = [&get[..3], &["--link", "view", "--cache", "cache"]].concat();
    let view: Vec<&str> = view.iter().map(|word| if *word == "out" { "view" } else { word }).collect();
    env.run(view).text();
    let copy = [&get[..], &["--link", "copy"]].concat();
    let commands: [&[&str]; 4] = [
        &["cache", "info", "--cache", "cache"],
        &["cache", "list", "--cache", "cache"],
        &["cache", "prune", "--dry-run", "--cache", "cache"],
        &copy,
    ];
    let below = |folder: &str| {
        let mut names = fs::read_dir(env.path(&format!("cache/{folder}"))).unwrap().map(|entry| entry.unwrap());
        let file = names.find(|entry| entry.file_type().unwrap().is_file()).unwrap().file_name();
        format!("cache/{folder}/{}", file.to_str().unwrap())
    };
    for file in ["cache/cache.toml".to_owned(), below("views"), below("lists"), below("holds"), below("recent")] {
        harm(&env, &file, &commands);
    }
    harm(&env, "cache/usage", &commands);
    let _ = env.run(copy.clone()).exits(0);
}

#[test]
fn a_lock_is_not_opened_through_a_link_nor_waited_for_at_a_pipe() {
    let env = staged();
    env.run(["clone", "./store/set", "work"]).text();
    let lock = env.path("work/.dagset/lock");
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(env.path("outside"), &lock).unwrap();
    let refused = env.run(["-C", "work", "switch", "1"]).exits(1);
    assert!(refused.stderr.contains("cannot open the lock"), "{}", refused.stderr);
    assert!(!env.path("outside").exists());
    fs::remove_file(&lock).unwrap();
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let _ = env.run(["-C", "work", "switch", "1"]).exits(1);
}

/// Puts a pipe or a socket in the place of a file; gives what was there.
fn put_special(path: &Path, is_pipe: bool) -> Option<Vec<u8>> {
    let whole = fs::read(path).ok();
    fs::remove_file(path).ok();
    match is_pipe {
        true => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        false => drop(UnixListener::bind(path).unwrap()),
    }
    whole
}

fn put_back(path: &Path, whole: Option<Vec<u8>>) {
    fs::remove_file(path).unwrap();
    whole.into_iter().for_each(|bytes| fs::write(path, bytes).unwrap());
}

/// Runs a command that would wait for ever if it opened a pipe.
fn within_a_while(env: &TestEnv, command: &[&str]) -> Outcome {
    let dagset = env.command();
    let mut timeout = Command::new("timeout");
    timeout.arg("60").arg(dagset.get_program()).args(command).current_dir(env.path("."));
    timeout.env_clear().envs(dagset.get_envs().filter_map(|(name, value)| Some((name, value?))));
    env.finish(timeout, b"")
}

#[test]
fn no_command_waits_for_a_pipe_or_socket_in_a_workspace() {
    let env = staged();
    env.run(["clone", "./store/set", "work"]).text();
    for file in ["config.toml", "state.json", "staged", "merge.json"] {
        for is_pipe in [true, false] {
            let path = env.path("work/.dagset").join(file);
            let whole = put_special(&path, is_pipe);
            for command in [["-C", "work", "status"], ["-C", "work", "doctor"]] {
                let refused = within_a_while(&env, &command).exits(5);
                let said = format!("{}{}", refused.stdout, refused.stderr);
                let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(said.contains("no regular file") && said.contains(file), "{file}: {command:?}: {said}");
            }
            put_back(&path, whole);
        }
    }
    let ignore = env.path("work/.dagsetignore");
    assert_eq!(put_special(&ignore, true), None);
    assert_ne!(within_a_while(&env, &["-C", "work", "status"]).code, Some(124));
    put_back(&ignore, None);
    let _ = env.run(["-C", "work", "status"]).exits(0);
}

#[test]
fn no_command_waits_for_a_pipe_or_socket_in_a_store() {
    let env = staged();
    let below = |folder: &str| {
        let mut files: Vec<_> = everything_below(&env.path(&format!("store/{folder}")));
        files.retain(|path| path.is_file());
        files.sort();
        files.last().unwrap().strip_prefix(env.path("store")).unwrap().to_str().unwrap().to_owned()
    };
    for object in ["dagset.json".to_owned(), below("log"), below("index"), below("meta"), below("packs")] {
        for is_pipe in [true, false] {
            let path = env.path("store").join(&object);
            let whole = put_special(&path, is_pipe);
            let commands: [&[&str]; 3] = [
                &["verify", "./store"],
                &["get", "./store/set", "out", "--overwrite"],
                &["ingest", "data", "--into", "./store/set"],
            ];
            for command in commands {
                let ended = within_a_while(&env, command);
                let said = format!("{}{}", ended.stdout, ended.stderr);
                // What needs none of it ends well.
                assert!(matches!(ended.code, Some(0 | 5)), "{object}: {command:?}: {:?} {said}", ended.code);
                if command[0] == "verify" {
                    assert!(ended.code == Some(5) && said.contains(&object), "{object}: {said}");
                    assert!(said.contains("no regular file"), "{object}: {said}");
                }
            }
            put_back(&path, whole);
            fs::remove_dir_all(env.path("out")).ok();
        }
    }
    env.run(["verify", "./store"]).text();
}
