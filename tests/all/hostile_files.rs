//! Files that dagset keeps for itself, as somebody else may have left them: each is refused or passed over, in words that steer no terminal.

use std::fs;
use std::process::Command;

use crate::env::TestEnv;
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
