//! What `cache` says to people and to programs.

use std::fs;

use serde_json::Value;

use crate::env::{Outcome, TestEnv, normalise};

/// A block of most disks.
const FILE: usize = 4096;

/// A small cache with a version in it, pinned and shown in a view.
fn used() -> TestEnv {
    let mut env = TestEnv::new();
    env.set("DAGSET_CACHE", "cache");
    let _ = env.run(["cache", "init", "cache", "--max", "40k", "--keep-free", "0"]).exits(0);
    for number in 0..3 {
        env.write(&format!("data/{number}"), vec![b'x' + number; FILE]);
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
    let is_hex = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let line = |line: &str| match line.trim_start().starts_with("disk") {
        true => "  disk   …".to_owned(),
        false => {
            let words = line.split(' ').map(|word| match word {
                word if is_hex(word) => "[name]",
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
      holds  12.3 kB in 3 files, 30% of at most 40.0 kB
      kept   12.3 kB in 3 files, by pins, jobs and views
      disk   …
    ");
    let info = env.run(["cache", "info", "--json"]).json()["caches"][0].clone();
    let keys: Vec<&String> = info.as_object().unwrap().keys().collect();
    insta::assert_snapshot!(format!("{keys:?}"), @r#"["bytes", "disk_free_bytes", "files", "filled", "folder", "group", "group_name", "keep_free_bytes", "keep_free_percent", "kept_bytes", "kept_files", "max_bytes", "writable"]"#);
    assert_eq!((&info["files"], &info["bytes"], &info["kept_bytes"]), (&3.into(), &12288.into(), &12288.into()));
    assert_eq!((&info["group"], &info["group_name"]), (&Value::Null, &Value::Null));
    let group = rustix::process::getegid().as_raw().to_string();
    let shared = env.run(["cache", "init", "other", "--shared", &group, "--json"]).json()["caches"][0].clone();
    assert_eq!(shared["group"].to_string(), group);
    assert!(shared["group_name"].is_string());
}

#[test]
fn the_list_says_what_is_kept_how_long() {
    let env = used();
    insta::assert_snapshot!(told(&env.run(["cache", "list"]).exits(0), &root(&env)), @"
    NAME          KIND   VERSION           SIZE  KEPT
    [name]  lease  ./store/set@1  12.3 kB  while [ROOT]/work/out is there
    [name]  pin    ./store/set@1  12.3 kB  until unpinned
    [name]  pin    ./store/set@1  12.3 kB  until [date] [time]
    [name]  lease  ./store/set@1  12.3 kB  until [date] [time] for job 77
    [name]  view   ./store/set@1  12.3 kB  used [date] [time]
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
    let said = env.run(["cache", "list"]).exits(0).stdout;
    let shown = said.lines().nth(1).unwrap().split(' ').next().unwrap();
    let _ = env.run(["cache", "unpin", &shown[..7]]).exits(3);
    assert_eq!(env.run(["cache", "unpin", shown, "--json"]).json()["released"], 1, "as it is shown");
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
    assert_eq!(both(&["--to", "12288"]), [1, 4096, 0], "what is in quarantine goes first");
    assert_eq!(both(&["--to", "6000"]), [2, 8192, 1]);
    let said = env.run(["cache", "prune", "--to", "0", "--dry-run"]).exits(0);
    assert!(said.stderr.starts_with("would remove 1 file, 4.1 kB, and 0 views from "), "{}", said.stderr);
    assert_eq!(both(&["--to", "0"]), [1, 4096, 0]);
}

#[test]
fn errors_name_the_next_step() {
    let mut env = used();
    env.bind_by_permissions();
    let cases: [(&[&str], i32, &str); 17] = [
        (&["cache", "init", "new", "--shared", "no-such-group"], 3, "`getent group` shows all"),
        (&["cache", "init", "new", "--shared", "0"], 1, "you must be a member of the group; `id` shows yours"),
        (&["cache", "init", "new", "--max", "lots"], 2, "not a size: \"lots\" (write 500G, 2T, 100GiB)"),
        (&["cache", "init", "new", "--keep-free", "100"], 2, "100 is not in 0..100"),
        (&["cache", "init", "/proc/new"], 1, "cannot create"),
        (&["cache", "unpin", "no-such-pin"], 3, "`dagset cache list` shows what is"),
        (&["cache", "unpin", "job:78"], 3, "held as job:78"),
        (&["cache", "prune"], 2, "`dagset cache prune --unused 30d`"),
        (&["cache", "pin", "./store/set@1", "--for", "999999999d"], 2, "too long: \"999999999d\" (36500d, a hundred"),
        (&["warm", "./store/set@1", "--pin=99999999999999999999999s"], 2, "not a duration"),
        (
            &["warm", "./store/set@1", "--pin", "0h"],
            2,
            "too short: \"0h\" is no time at all (write 90s, 30m, 12h, 7d, 2w)",
        ),
        (&["cache", "pin", "./store/set@1", "--for", "0"], 2, "not a duration: \"0\" (write 90s, 30m, 12h, 7d, 2w)"),
        (&["cache", "prune", "--unused", "5300w"], 2, "too long"),
        (&["cache", "info", "--cache", "./new:rw"], 2, "a folder of this name is written ./new:rw/"),
        (&["warm", "./store/set@1", "--cache", "cache,,:ro"], 2, "one of the caches has no name: \"cache,,:ro\""),
        (&["cache", "info", "--cache", ""], 2, "write them as DIR,DIR:ro"),
        (&["warm", "./store/set@1", "--cache", "cache:ro:RO"], 2, "followed by :ro or nothing, not by :RO"),
    ];
    for (command, code, part) in cases {
        let said = env.run(command).exits(code);
        assert!(said.stderr.contains(part), "{command:?}:\n{}", said.stderr);
    }
}

#[test]
fn a_list_fits_its_reader() {
    let mut env = used();
    let deep = "deep/".repeat(12) + "links";
    let _ = env.run(["get", "./store/set@1", &deep, "--link", "symlink"]).exits(0);
    for columns in ["80", "100"] {
        env.set("COLUMNS", columns);
        let list = env.run(["cache", "list"]).exits(0).stdout;
        let widest = list.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= columns.parse().unwrap() && widest > 70, "{list}");
        // What is needed to let go of something, and when a view was used, are whole.
        let is_whole = |line: &str| {
            let name = line.split(' ').next().unwrap();
            name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) && line.contains("./store/set@1")
        };
        assert!(list.lines().skip(1).all(is_whole), "{list}");
    }
}

#[test]
fn a_hold_is_put_as_it_was_meant_or_refused() {
    let env = used();
    let get =
        |out: &str, link: &str, hold: &str| env.run(["get", "./store/set@1", out, "--link", link, "--hold", hold]);
    for (link, hold, part) in [
        ("symlink", "abc", "write the number of a process, or job:NAME"),
        ("symlink", "99999999", "there is no process 99999999 on this machine"),
        ("symlink", "99999999999999", "there is no process 99999999999999 on this machine"),
        ("symlink", "job:", "neither a process nor a job"),
        ("copy", "job:9", "leave --hold out, or give --link hardlink, symlink or view"),
        ("auto", "job:9", "leave --hold out"),
    ] {
        let said = get("refused", link, hold).exits(2);
        assert!(said.stderr.contains(part), "{link} {hold}:\n{}", said.stderr);
    }
    let own = std::process::id().to_string();
    assert!(get("by-process", "symlink", &own).text().ends_with(&format!("held while process {own} runs\n")));
    for link in ["hardlink", "symlink", "view"] {
        let said = get(link, link, "job:abc").text();
        assert!(said.ends_with("held for job abc, for a day (`dagset cache unpin job:abc`)\n"), "{said}");
    }
    // Hardlinks and symlinks of one version are one lease of a job.
    assert_eq!(env.run(["cache", "unpin", "abc", "--json"]).json()["released"], 2);
    // The hold outlives what it was made for.
    let arguments = ["get", "./store/set@1", "again", "--link", "hardlink", "--hold", "job:9", "--json"];
    let lease = env.run(arguments).json()["lease"].as_str().unwrap().to_owned();
    let _ = env.run(["cache", "unpin", &lease]).exits(0);
}

#[test]
fn a_lease_of_a_job_outlives_its_hardlinks() {
    let mut env = used();
    env.set("DAGSET_CACHE", "other");
    let _ = env.run(["get", "./store/set@1", "links-of-job", "--link", "hardlink", "--hold", "job:9"]).exits(0);
    fs::remove_dir_all(env.path("links-of-job")).unwrap();
    let prune = || env.run(["cache", "prune", "--to", "0", "--json"]).json()["files"].clone();
    assert_eq!(prune(), 0);
    let _ = env.run(["cache", "unpin", "job:9"]).exits(0);
    assert_eq!(prune(), 3);
    let _ = env.run(["get", "./store/set@1", "links-alone", "--link", "hardlink"]).exits(0);
    assert_eq!(env.run(["cache", "list"]).exits(0).stdout, "", "hardlinks need no lease");
}

#[test]
fn a_cache_that_is_only_read_is_not_changed_nor_another_in_its_place() {
    let mut env = used();
    env.set("DAGSET_CACHE", "");
    let own = env.run(["warm", "./store/set@1", "--json"]).json()["versions"][0]["cache"].as_str().unwrap().to_owned();
    for command in [
        &["prune", "--to", "0"][..],
        &["prune", "--to", "0", "--dry-run"],
        &["verify"],
        &["unpin", "./store/set@1"],
        &["pin", "./store/set@1"],
        &["init", "cache", "--max", "50k"],
    ] {
        let said = env.run([&["--cache", "cache:ro", "cache"], command].concat()).exits(2);
        assert!(said.stderr.contains("cache:ro may not be written into"), "{command:?}:\n{}", said.stderr);
    }
    assert_eq!(env.run(["cache", "info", "--json"]).json()["caches"][0]["files"], 3, "one's own has all");
    let said = env.run(["--cache", "cache:ro", "cache", "prune", "--to", "0"]).exits(2);
    assert!(said.stderr.contains(&format!("--cache {own} names your own")), "{}", said.stderr);
    // A second one that may be written into is the one that is meant.
    let _ = env.run(["--cache", "cache:ro,second", "cache", "prune", "--to", "0"]).exits(0);
}

#[test]
fn a_damaged_cache_is_an_error_and_is_mended_by_init() {
    let group = rustix::process::getegid().as_raw().to_string();
    for shared in [false, true] {
        let env = used();
        if shared {
            let _ = env.run(["cache", "init", "cache", "--shared", &group]).exits(0);
        }
        for content in [&b""[..], b"max_bytes = -1", b"\0", b"\xff\xfe"] {
            fs::write(env.path("cache/cache.toml"), content).unwrap();
            for arguments in [&["warm", "./store/set@1"][..], &["cache", "info"], &["cache", "prune", "--to", "0"]] {
                let said = env.run(arguments).exits(5);
                assert!(said.stderr.contains("cache/cache.toml can't be understood"), "{}", said.stderr);
                assert!(said.stderr.contains("`dagset cache init "), "{}", said.stderr);
            }
            assert!(!env.home(".cache/dagset/files").exists(), "no other is filled instead");
            let _ = env.run(["cache", "init", "cache"]).exits(0);
            let info = env.run(["cache", "info", "--json"]).json()["caches"][0].clone();
            assert_eq!((info["files"].as_u64(), info["group"].is_null()), (Some(3), !shared), "{info}");
        }
    }
}
