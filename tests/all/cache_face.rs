//! What `cache` says to people and to programs.

use std::fs;

use serde_json::Value;

use crate::env::{Outcome, TestEnv, normalise};

/// A small cache with a version in it, pinned and shown in a view.
fn used() -> TestEnv {
    let mut env = TestEnv::new();
    env.set("DAGSET_CACHE", "cache");
    let _ = env.run(["cache", "init", "cache", "--max", "10k", "--keep-free", "0"]).exits(0);
    for number in 0..3 {
        env.write(&format!("data/{number}"), vec![b'x' + number; 1000]);
    }
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1"]).exits(0);
    let _ = env.run(["get", "./store/set@1:", "out", "--link", "view"]).exits(0);
    let _ = env.run(["cache", "pin", "./store/set@1"]).exits(0);
    let _ = env.run(["cache", "pin", "./store/set@1", "--for", "7d"]).exits(0);
    let _ = env.run(["get", "./store/set@1", "links", "--link", "symlink", "--hold", "job:77"]).exits(0);
    env
}

/// Text without what differs between runs and machines: names of holds, times, the disk.
fn told(said: &Outcome, root: &str) -> String {
    let is_hex = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let line = |line: &str| match line.trim_start().starts_with("disk") {
        true => "  disk   …".to_owned(),
        false => {
            let words = line.split(' ').map(|word| match word {
                word if is_hex(word) => "[name 16 wide]",
                word if word.starts_with("20") && word.len() == 10 => "[date]",
                word if word.len() >= 5 && word.as_bytes()[2] == b':' => "[time]",
                word => word,
            });
            words.collect::<Vec<_>>().join(" ")
        }
    };
    normalise(&said.stdout.lines().map(line).collect::<Vec<_>>().join("\n"), root)
}

fn root(env: &TestEnv) -> String {
    env.path("..").canonicalize().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn info_says_how_full_it_is() {
    let env = used();
    insta::assert_snapshot!(told(&env.run(["cache", "info"]).exits(0), &root(&env)), @"
    [ROOT]/work/cache (filled, one user's)
      holds  3.0 kB in 3 files, 30% of at most 10.0 kB
      kept   3.0 kB in 3 files, by pins, jobs and views
      disk   …
    ");
    let info = env.run(["cache", "info", "--json"]).json()["caches"][0].clone();
    let keys: Vec<&String> = info.as_object().unwrap().keys().collect();
    insta::assert_snapshot!(format!("{keys:?}"), @r#"["bytes", "disk_free_bytes", "files", "filled", "folder", "group", "group_name", "keep_free_bytes", "keep_free_percent", "kept_bytes", "kept_files", "max_bytes", "writable"]"#);
    assert_eq!((&info["files"], &info["bytes"], &info["kept_bytes"]), (&3.into(), &3000.into(), &3000.into()));
    assert_eq!((&info["group"], &info["group_name"]), (&Value::Null, &Value::Null));
    let group = rustix::process::getegid().as_raw().to_string();
    let shared = env.run(["cache", "init", "other", "--shared", &group, "--json"]).json()["caches"][0].clone();
    assert_eq!(shared["group"].to_string(), group);
    assert!(shared["group_name"].is_string());
}

#[test]
fn the_list_says_until_when() {
    let env = used();
    insta::assert_snapshot!(told(&env.run(["cache", "list"]).exits(0), &root(&env)), @"
    NAME              KIND   VERSION          SIZE  UNTIL
    [name 16 wide]  lease  ./store/set@1  3.0 kB  [ROOT]/work/out is gone
    [name 16 wide]  pin    ./store/set@1  3.0 kB  unpinned
    [name 16 wide]  pin    ./store/set@1  3.0 kB  [date] [time]
    [name 16 wide]  lease  ./store/set@1  3.0 kB  [date] [time] for job 77
    [name 16 wide]  view   ./store/set@1  3.0 kB  room is needed; used [date] [time]
    ");
    let list = env.run(["cache", "list", "--json"]).json();
    let kinds: Vec<&str> = list["holds"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["lease", "pin", "pin", "lease"]);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    insta::assert_snapshot!(format!("{:?}\n{:?}", keys(&list["holds"][0]), keys(&list["views"][0])), @r#"
    ["address", "bytes", "ends", "files", "host", "job", "kind", "link", "made", "name", "process", "version"]
    ["address", "bytes", "files", "name", "used", "version"]
    "#);
    let until: Vec<bool> = list["holds"].as_array().unwrap().iter().map(|it| it["ends"].is_string()).collect();
    assert_eq!(until, [true, false, true, true]);
}

#[test]
fn what_is_pinned_goes_only_when_it_is_let_go() {
    let env = used();
    fs::remove_file(env.path("out")).unwrap();
    let prune = || env.run(["cache", "prune", "--to", "0", "--json"]).json()["files"].clone();
    assert_eq!(prune(), 0);
    assert_eq!(env.run(["cache", "unpin", "./store/set@1", "--json"]).json()["released"], 2);
    assert_eq!(prune(), 0, "a job of a scheduler may still read");
    let holds = env.run(["cache", "list", "--json"]).json()["holds"].clone();
    assert_eq!(holds[0]["job"], "77");
    let _ = env.run(["cache", "unpin", holds[0]["name"].as_str().unwrap()]).exits(0);
    assert_eq!(prune(), 3);
    assert_eq!(env.run(["cache", "list"]).exits(0).stdout, "");
}

#[test]
fn a_dry_run_says_what_a_prune_then_removes() {
    let env = used();
    let _ = env.run(["cache", "unpin", "./store/set@1"]).exits(0);
    let what = |document: &Value| ["files", "bytes", "views"].map(|key| document[key].as_u64().unwrap());
    let prune = |arguments: &[&str]| what(&env.run([&["cache", "prune", "--json"], arguments].concat()).json());
    let both = |arguments: &[&str]| {
        let said = prune(&[arguments, &["--dry-run"]].concat());
        assert_eq!(prune(&[arguments, &["-n"]].concat()), said, "nothing was changed");
        assert_eq!(prune(arguments), said, "{arguments:?}");
        said
    };
    assert_eq!(both(&["--to", "0"]), [0, 0, 0], "links hold it");
    fs::remove_file(env.path("out")).unwrap();
    let lease = env.run(["cache", "list", "--json"]).json()["holds"][0]["name"].as_str().unwrap().to_owned();
    let _ = env.run(["cache", "unpin", &lease]).exits(0);
    assert_eq!(both(&["--unused", "1d"]), [0, 0, 0]);
    fs::write(env.path("cache/quarantine/odd"), [0; 500]).unwrap();
    assert_eq!(both(&["--to", "3000"]), [1, 500, 0], "what is in quarantine goes first");
    assert_eq!(both(&["--to", "1500"]), [2, 2000, 1]);
    let said = env.run(["cache", "prune", "--to", "0", "--dry-run"]).exits(0);
    assert!(said.stderr.starts_with("would remove 1 file, 1.0 kB, and 0 views from "), "{}", said.stderr);
    assert_eq!(both(&["--to", "0"]), [1, 1000, 0]);
}

#[test]
fn errors_name_the_next_step() {
    let mut env = used();
    env.bind_by_permissions();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["cache", "init", "new", "--shared", "no-such-group"], 3, "`getent group` shows all"),
        (&["cache", "init", "new", "--shared", "0"], 1, "you must be a member of the group; `id` shows yours"),
        (&["cache", "init", "new", "--max", "lots"], 2, "not a size: \"lots\" (write 500G, 2T, 100GiB)"),
        (&["cache", "init", "new", "--keep-free", "100"], 2, "100 is not in 0..100"),
        (&["cache", "init", "/proc/new"], 1, "cannot create"),
        (&["cache", "unpin", "no-such-pin"], 3, "`dagset cache list` shows what is pinned"),
        (&["cache", "prune"], 2, "`dagset cache prune --unused 30d`"),
    ];
    for (command, code, part) in cases {
        let said = env.run(command).exits(code);
        assert!(said.stderr.contains(part), "{command:?}:\n{}", said.stderr);
    }
}
