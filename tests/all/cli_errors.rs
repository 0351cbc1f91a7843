//! How commands refuse: kinds, exit codes, what is said, and what is left as it was.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::cli_main_job::three_versions;
use crate::env::{TestEnv, everything_below};

/// Asserts exit code and JSON kind of a refusal; gives the error.
#[track_caller]
fn refused(env: &TestEnv, arguments: &[&str], code: i32, kind: &str) -> Value {
    let said = env.run([arguments, &["--json"]].concat()).exits(code);
    let error = said.document()["error"].clone();
    assert_eq!(error["kind"], kind, "{error}");
    for key in ["message", "causes", "hint"] {
        assert!(error.get(key).is_some(), "no {key} in {error}");
    }
    error
}

#[test]
fn each_kind_has_its_code() {
    let env = three_versions();
    let before = everything_below(&env.path("store")).len();
    for (arguments, code, kind) in [
        (&["ls", "./nowhere/set"][..], 3, "not_found"),
        (&["ls", "./store/other"], 3, "not_found"),
        (&["ls", "./store/signs@9.9"], 3, "not_found"),
        (&["ls", "./store/signs:nope"], 3, "not_found"),
        (&["cat", "./store/signs:nope"], 3, "not_found"),
        (&["-C", "nowhere", "list", "./store"], 3, "not_found"),
        (&["ingest", "nowhere", "--into", "./store/signs"], 3, "not_found"),
        (&["ingest", "v1", "--into", "./nowhere/set"], 3, "not_found"),
        (&["ingest", "v1", "--into", "./store/new"], 3, "not_found"),
        (&["ingest", "v1", "--into", "./store/signs", "--parent", "nope"], 3, "not_found"),
        (&["ingest", "v1", "--into", "./store/signs", "--as", "a b"], 2, "usage"),
        (&["ingest", "v1", "--into", "./store/signs@main"], 2, "usage"),
        (&["ingest", "v1", "--into", "./store/signs", "--meta", "x"], 2, "usage"),
        (&["ingest", "v1", "--into", "./store/signs", "--exclude", "["], 2, "usage"),
        (&["ingest", "v1", "--into", "./other/signs", "--create", "--exclude", "a{b"], 2, "usage"),
        (&["ingest", "v1"], 2, "usage"),
        (&["ls"], 2, "usage"),
        (&["no-such-command"], 2, "usage"),
        (&["list", "store"], 2, "usage"),
        (&["ls", "signs"], 2, "usage"),
        (&["cat", "./store/signs"], 2, "usage"),
        (&["log", "./store/signs", "--since", "yesterday"], 2, "usage"),
        (&["verify", "./store", "--sample", "0%"], 2, "usage"),
        (&["verify", "./store/signs", "--sample", "5%"], 2, "usage"),
        (&["store", "create", "./store"], 4, "conflict"),
        (&["store", "create", "./store/inner"], 4, "conflict"),
        (&["ingest", "v1", "--into", "./store/signs", "--as", "2.0.0"], 4, "conflict"),
        (&["ingest", "v1", "--into", "./store/signs", "--expect", "1.0.0"], 4, "conflict"),
        (&["ingest", "v1", "--into", "./store/signs", "--parent", "1.0.0"], 4, "conflict"),
        (&["get", "./store/signs", "v1"], 4, "conflict"),
    ] {
        refused(&env, arguments, code, kind);
    }
    assert_eq!(everything_below(&env.path("store")).len(), before, "a refusal changes nothing");
    assert!(!env.path("other").exists(), "nor makes a store");
}

#[test]
fn a_url_with_nothing_behind_it_makes_no_store() {
    let env = TestEnv::new();
    let before = everything_below(&env.path("."));
    for url in ["s3://", "gs://", "az://", "file://", "s3:///", "s3:///x", "s3:////"] {
        let of = |command: &[&str]| refused(&env, &[command, &[url]].concat(), 2, "usage")["message"].clone();
        let said = of(&["store", "create"]);
        assert_eq!([of(&["store", "check"]), of(&["list"])], [said.clone(), said], "{url}");
    }
    assert_eq!(everything_below(&env.path(".")), before);
}

#[test]
fn a_store_that_is_typed_wins_over_that_of_the_workspace() {
    let env = three_versions();
    let _ = env.run(["init", "ws", "--dataset", "own"]).exits(0);
    let store = env.path("store");
    let store = store.to_str().unwrap();
    let both = |command: &[&str]| {
        let of = |folder: &str| {
            let typed = ["-C", folder, "--store", store, "--json"];
            let mut answer = env.run([&typed[..], command].concat()).json();
            let sums = ["requests", "sent_bytes", "received_bytes"];
            answer.as_object_mut().unwrap().retain(|key, _| !sums.contains(&key.as_str()));
            answer
        };
        assert_eq!(of("ws"), of("."), "{command:?}");
        of("ws")
    };
    assert_eq!(both(&["list"])["datasets"].as_array().unwrap().len(), 1);
    assert_eq!(both(&["store", "info"])["root"], store);
    let dataset = both(&["list"])["datasets"][0]["dataset"].as_str().unwrap().to_owned();
    assert!(both(&["log", &format!("{dataset}@main")])["versions"].as_array().unwrap().len() > 1);
}

#[test]
fn a_hint_can_be_run_as_it_stands() {
    let env = three_versions();
    for (arguments, code, commands) in [
        (&["ls", "./store/other"][..], 3, &["list ./store"][..]),
        (&["ls", "./store/signs@1.0.0:no"], 3, &["ls ./store/signs@1.0.0", "ls -R ./store/signs@1.0.0"]),
        (&["show", "./store/signs:labels.csv"], 2, &["stat ./store/signs:labels.csv"]),
        (&["get", "./store/signs", "out", "no/*"], 3, &["ls -R ./store/signs"]),
    ] {
        let error = refused(&env, arguments, code, if code == 3 { "not_found" } else { "usage" });
        for command in commands {
            assert!(error["hint"].as_str().unwrap().contains(&format!("`dagset {command}`")), "{error}");
            let _ = env.run(command.split(' ')).exits(0);
        }
    }
    let newest = everything_below(&env.path("store/log")).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&newest, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&newest, bytes).unwrap();
    let error = refused(&env, &["list", "./store"], 5, "damaged");
    let command = error["hint"].as_str().unwrap().split('`').nth(1).unwrap();
    assert!(command.starts_with("dagset verify /"), "{error}");
    let _ = env.run(command.split(' ').skip(1)).exits(5);
}

#[test]
fn an_error_says_what_and_what_next() {
    let env = TestEnv::new();
    env.write("data/a", "1");
    insta::assert_snapshot!(env.run(["ingest", "data", "--into", "./store/set"]).snapshot(), @"
    exit: 3
    --- stdout
    --- stderr
    error: no store at ./store/set
    hint: --create makes the store and the dataset
    ");
    insta::assert_snapshot!(env.run(["ls", "./store/set", "--json"]).snapshot(), @r#"
    exit: 3
    --- stdout
    {"schema":1,"error":{"kind":"not_found","message":"no store at ./store/set","causes":[],"hint":"dagset store create ./store"},"requests":{"get":1,"put":0,"list":0,"head":0,"delete":0},"sent_bytes":0,"received_bytes":0}
    --- stderr
    error: no store at ./store/set
    hint: dagset store create ./store
    "#);
    insta::assert_snapshot!(env.run(["ingest", "--json"]).snapshot(), @r#"
    exit: 2
    --- stdout
    {"schema":1,"error":{"kind":"usage","message":"the following required arguments were not provided:\n  --into <[STORE/]DATASET>\n  <SRC>","causes":[],"hint":"dagset ingest --into <[STORE/]DATASET> --json <SRC>"},"requests":{"get":0,"put":0,"list":0,"head":0,"delete":0},"sent_bytes":0,"received_bytes":0}
    --- stderr
    error: the following required arguments were not provided:
      --into <[STORE/]DATASET>
      <SRC>

    Usage: dagset ingest --into <[STORE/]DATASET> --json <SRC>

    For more information, try '--help'.
    "#);
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    insta::assert_snapshot!(env.run(["ls", "./store/set@9"]).snapshot(), @"
    exit: 3
    --- stdout
    --- stderr
    error: set has no version name, tag, branch or id 9
    hint: `dagset log` shows the versions, `dagset branch` and `dagset tag` the refs of set
    ");
}

#[test]
fn a_store_of_a_newer_format_and_what_is_no_store_are_refused() {
    let env = TestEnv::new();
    let _ = env.run(["store", "create", "./store"]).exits(0);
    let file = env.path("store/dagset.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, text.replacen("\"format\":1", "\"format\":99", 1).replacen("\"format\": 1", "\"format\": 99", 1))
        .unwrap();
    let said = env.run(["list", "./store"]);
    assert!(said.code != Some(0) && said.stderr.contains("newer"), "{said:?}");
    fs::write(&file, "{}").unwrap();
    let _ = env.run(["list", "./store"]).exits(5);
}

#[test]
fn a_name_belongs_to_one_content() {
    let env = TestEnv::new();
    env.write("data/a", "1");
    let ingest =
        |more: &[&str]| env.run([&["ingest", "data", "--into", "./store/set", "--create", "--json"], more].concat());
    let first = ingest(&[]).json();
    let named = ingest(&["--as", "1.0"]).json();
    assert_eq!((named["name"].clone(), named["changed"].clone()), ("1.0".into(), false.into()));
    assert_eq!(named["version"], first["version"], "the head had no name");
    let again = ingest(&["--as", "1.0"]).json();
    assert_eq!((again["version"].clone(), again["changed"].clone()), (first["version"].clone(), false.into()));
    let other = ingest(&["--as", "1.1"]).json();
    assert_eq!((other["name"].clone(), other["changed"].clone()), ("1.1".into(), false.into()));
    assert_ne!(other["version"], first["version"], "one name per version");
    assert_eq!(other["manifest"], first["manifest"]);
    env.write("data/a", "2");
    let _ = ingest(&["--as", "1.0"]).exits(4);
    let _ = ingest(&["--as", "2.0"]).exits(0);
}

#[test]
fn expectations_and_parents_are_held() {
    let env = TestEnv::new();
    let ingest = |content: &str, more: &[&str]| {
        env.write("data/a", content);
        env.run([&["ingest", "data", "--into", "./store/set", "--create", "--json"], more].concat())
    };
    let first = ingest("1", &["--as", "1"]).json();
    let _ = ingest("2", &["--as", "2", "--expect", "1"]).exits(0);
    let _ = ingest("3", &["--expect", "1"]).exits(4);
    let _ = ingest("3", &["--parent", "1"]).exits(4);
    let _ = ingest("3", &["--parent", "1", "--branch", "side"]).exits(0);
    let merged = ingest("4", &["--parent", "main", "--parent", "side"]).json();
    let show = env.run(["show", "./store/set", "--json"]).json();
    assert_eq!((show["version"].clone(), show["parents"].as_array().unwrap().len()), (merged["version"].clone(), 2));
    let log = env.run(["log", "./store/set", "--json"]).json();
    assert_eq!(log["versions"].as_array().unwrap().len(), 4);
    assert_eq!(log["versions"][3]["version"], first["version"]);
    let graph = env.run(["log", "./store/set", "--graph"]).text();
    let marks = |line: &&str| line.contains('●') || line.contains('╮') || line.contains('╯');
    let shape: Vec<String> = graph.lines().filter(marks).map(|line| line.chars().take(3).collect()).collect();
    assert_eq!(shape, ["●  ", "├─╮", "│ ●", "● │", "├─╯", "●  "], "{graph}");
}

#[test]
fn what_cannot_be_kept_is_said() {
    let env = TestEnv::new();
    env.write("data/a", "1");
    let made = std::process::Command::new("mkfifo").arg(env.path("data/pipe")).status().unwrap();
    assert!(made.success());
    let ingest = ["ingest", "data", "--into", "./store/set", "--create"];
    let said = env.run(ingest).exits(0);
    assert!(said.stderr.contains("left out: pipe: "), "{}", said.stderr);
    fs::write(env.path("data").join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    env.write("data/b", "2");
    let said = env.run([&ingest[..], &["--json"]].concat()).exits(8);
    let document = said.document();
    assert_eq!((document["changed"].clone(), document["files"].clone()), (true.into(), 2.into()));
    let left_out = document["left_out"].as_array().unwrap();
    assert_eq!(left_out.iter().filter(|it| it["incomplete"] == true).count(), 1, "{document}");
    assert!(said.stderr.contains("isn't UTF-8"), "{}", said.stderr);
}

#[test]
fn an_unreadable_file_makes_no_version() {
    let mut env = TestEnv::new();
    env.write("data/a", "1");
    env.write("data/secret", "2");
    env.write("data/closed/b", "3");
    for closed in ["data/secret", "data/closed"] {
        fs::set_permissions(env.path(closed), fs::Permissions::from_mode(0o000)).unwrap();
    }
    env.bind_by_permissions();
    let _ = env.run(["store", "create", "./store"]).exits(0);
    let ingest = ["ingest", "data", "--into", "./store/set", "--create"];
    let said = env.run(ingest).exits(1);
    for expected in ["secret", "closed", "--skip-unreadable"] {
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    let _ = env.run(["ls", "./store/set"]).exits(3);
    let said = env.run([&ingest[..], &["--skip-unreadable", "--json"]].concat()).exits(8);
    let document = said.document();
    let paths: Vec<_> = document["left_out"].as_array().unwrap().iter().map(|row| &row["path"]).collect();
    assert_eq!(paths, ["closed", "secret"]);
    fs::set_permissions(env.path("data/closed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn names_cannot_steer_the_terminal() {
    let env = TestEnv::new();
    let evil = "a\x1b[31m\nb\u{202e}c";
    env.write(&format!("data/{evil}"), "1");
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "-m", "hi\x1b]0;x\x07"]).exits(0);
    for arguments in [
        &["ls", "./store/set"][..],
        &["ls", "-l", "./store/set"],
        &["tree", "./store/set"],
        &["log", "./store/set"],
        &["show", "./store/set"],
        &["diff", "./store/set"],
    ] {
        let said = env.run(arguments).text();
        assert!(!said.contains('\x1b') && !said.contains('\x07') && !said.contains('\u{202e}'), "{said:?}");
    }
    let listed = env.run(["ls", "./store/set", "--json"]).json();
    assert_eq!(listed["entries"][0]["path"], evil);
    let said = env.run(["ls", "./store/set:no\x1b[1m"]).exits(3);
    assert!(!said.stderr.contains('\x1b'), "{said:?}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let env = TestEnv::new();
    for number in 0..3_000 {
        env.write(&format!("data/a-rather-long-name-that-fills-the-pipe-{number}"), "");
    }
    env.write("data/large", vec![b'x'; 1 << 20]);
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    for arguments in [&["ls", "./store/set"][..], &["ls", "./store/set", "--json"], &["cat", "./store/set:large"]] {
        let mut child = env.command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(ended.status.code(), Some(0));
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = env.command().args(["ls", "./store/set"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "a full disk is an error");
}

#[test]
fn verify_finds_a_flipped_bit_in_every_kind_of_object() {
    let env = three_versions();
    for folder in ["packs", "meta", "index", "log"] {
        let objects: Vec<_> =
            everything_below(&env.path("store").join(folder)).into_iter().filter(|it| it.is_file()).collect();
        assert!(!objects.is_empty(), "no {folder}");
        for object in [objects.first().unwrap(), objects.last().unwrap()] {
            let whole = fs::read(object).unwrap();
            fs::set_permissions(object, fs::Permissions::from_mode(0o644)).unwrap();
            for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x10;
                fs::write(object, &bytes).unwrap();
                let said = env.run(["verify", "./store", "--json"]).exits(5).document();
                let findings = said["findings"].as_array().unwrap();
                assert!(!findings.is_empty(), "{folder} {at}");
                for key in ["kind", "object", "path"] {
                    assert!(findings[0].get(key).is_some(), "{said}");
                }
            }
            fs::write(object, &whole).unwrap();
        }
    }
    let said = env.run(["verify", "./store", "--json"]).json();
    assert_eq!(said["findings"], json!([]));
    assert!(said["checked_bytes"].as_u64().unwrap() > 100_000);
    let _ = env.run(["verify", "./store", "--sample", "50%"]).exits(0);
    let _ = env.run(["verify", "./store/signs@1.0.0:images"]).exits(0);
}

#[test]
fn quiet_leaves_answers_and_errors() {
    let env = three_versions();
    assert!(!env.run(["ls", "./store/signs", "-q"]).text().is_empty());
    assert!(env.run(["get", "./store/signs", "out", "-q"]).text().is_empty());
    let said = env.run(["ls", "./store/nope", "-q"]).exits(3);
    assert!(!said.stderr.is_empty());
}

#[test]
fn an_interrupt_has_its_own_code_and_document() {
    let env = TestEnv::new();
    env.write("data/a", "1");
    let piped = std::process::Stdio::piped;
    let mut command = env.command();
    // It waits for its list as long as nobody ends that.
    command.args(["ingest", "data", "--into", "./store/set", "--create", "--json", "--files-from", "-"]);
    let mut child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    let list = child.stdin.take();
    let catches_interrupts = || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        u64::from_str_radix(&caught, 16).unwrap() & 1 << 1 != 0
    };
    while !catches_interrupts() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(list);
    assert_eq!(output.status.code(), Some(130));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["kind"], "interrupted");
}

#[test]
fn a_document_names_the_argument_that_is_missing() {
    let env = TestEnv::new();
    for (command, missing) in [
        (&["clone", "--json"][..], "<ADDRESS>"),
        (&["--json", "get"], "ADDRESS"),
        (&["store", "create", "--json"], "<STORE>"),
        (&["store", "--json"], "subcommand"),
        (&["--json"], "subcommand"),
    ] {
        let refused = env.run(command).exits(2);
        let error = refused.document()["error"].clone();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(missing) && error["kind"] == "usage", "{command:?}: {error}");
    }
    // Help that was asked for is text, with --json too.
    assert!(env.run(["clone", "--json", "--help"]).text().contains("Usage:"));
}

#[test]
fn a_store_in_a_folder_here_is_hinted_at_where_an_address_forgets_its_dot() {
    let env = TestEnv::new();
    env.write("w/a", "x");
    let run = |arguments: &[&str]| env.run_with("w", arguments, b"");
    let _ = run(&["init"]).exits(0);
    let said = run(&["get", ".dagset/store/w@main", "out"]).exits(2).stderr;
    assert!(said.contains("hint: write ./.dagset/store/w@main"), "{said}");
}
