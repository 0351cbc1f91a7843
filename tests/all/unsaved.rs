//! What no version holds is never overwritten or removed unless that very thing was asked for.

use std::fs;

use serde_json::Value;

use crate::env::TestEnv;

/// A workspace with two versions: 1 has `model.bin` and `out`, 2 has neither and leaves both out by rule.
fn ruled() -> TestEnv {
    let env = TestEnv::new();
    env.write("model.bin", "of version 1");
    env.write("out", "a file in version 1");
    env.write("same", "same");
    let _ = env.run(["init", "--dataset", "set"]).exits(0);
    let _ = env.run(["commit", "-a", "--as", "1"]).exits(0);
    fs::remove_file(env.path("model.bin")).unwrap();
    fs::remove_file(env.path("out")).unwrap();
    env.write(".dagsetignore", "model.bin\nout/\n");
    let _ = env.run(["commit", "-a", "--as", "2"]).exits(0);
    env
}

fn read(env: &TestEnv, path: &str) -> String {
    fs::read_to_string(env.path(path)).unwrap()
}

#[test]
fn switch_spares_what_rules_leave_out() {
    let env = ruled();
    env.write("model.bin", "unsaved");
    let said = env.run(["switch", "1"]).exits(4);
    assert!(said.stderr.contains("model.bin"), "{}", said.stderr);
    assert_eq!(read(&env, "model.bin"), "unsaved");
    fs::remove_file(env.path("model.bin")).unwrap();
    env.write("out/w", "unsaved");
    let said = env.run(["switch", "1"]).exits(4);
    assert!(said.stderr.contains("out/w"), "{}", said.stderr);
    assert_eq!(read(&env, "out/w"), "unsaved");
    fs::remove_dir_all(env.path("out")).unwrap();
    let _ = env.run(["switch", "1"]).exits(0);
    assert_eq!(read(&env, "model.bin"), "of version 1");
}

#[test]
fn clean_keeps_the_rules_and_what_they_protect() {
    let env = TestEnv::new();
    env.write("data", "the only copy");
    let _ = env.run(["init", "--dataset", "set"]).exits(0);
    let _ = env.run(["clean"]).exits(4);
    let _ = env.run(["commit", "-a"]).exits(0);
    env.write(".dagsetignore", "*.o\n");
    env.write("x.o", "protected");
    env.write("only/y.o", "protected");
    env.write("junk", "junk");
    for _ in 0..2 {
        let _ = env.run(["clean"]).exits(0);
    }
    assert!(!env.path("junk").exists());
    assert_eq!(
        (read(&env, "x.o"), read(&env, "only/y.o"), read(&env, "data").len()),
        ("protected".into(), "protected".into(), 13)
    );
}

#[test]
fn restore_does_not_lead_through_or_over_what_is_not_saved() {
    let env = TestEnv::new();
    env.write("f", "1");
    env.write("s/g", "2");
    let _ = env.run(["init", "--dataset", "set"]).exits(0);
    let _ = env.run(["commit", "-a"]).exits(0);
    fs::remove_file(env.path("f")).unwrap();
    env.write("f/p", "unsaved");
    let _ = env.run(["restore", "f"]).exits(4);
    assert_eq!(read(&env, "f/p"), "unsaved");
    fs::remove_dir_all(env.path("s")).unwrap();
    std::os::unix::fs::symlink("elsewhere", env.path("s")).unwrap();
    let _ = env.run(["restore", "s/g"]).exits(4);
    assert_eq!(fs::read_link(env.path("s")).unwrap().to_str(), Some("elsewhere"));
}

#[test]
fn get_stays_out_of_stores_and_deletes_only_where_it_is_told() {
    let env = TestEnv::new();
    env.write("data/f", "1");
    env.write("data/s/g", "2");
    let _ = env.run(["ingest", "data", "--into", "./in/store/set", "--create"]).exits(0);
    for target in ["in/store", "in/store/packs", "in"] {
        let _ = env.run(["get", "./in/store/set", target, "--overwrite", "--delete"]).exits(4);
    }
    let verified = env.run(["verify", "./in/store", "--json"]).json();
    assert_eq!(verified["findings"], Value::Array(Vec::new()));
    env.write("out/mine", "3");
    for part in [&["./in/store/set", "out", "s"][..], &["./in/store/set:f", "out"]] {
        let _ = env.run([&["get"], part, &["--overwrite", "--delete"]].concat()).exits(2);
    }
    env.write("out/f/keep", "4");
    let _ = env.run(["get", "./in/store/set", "out", "--overwrite"]).exits(4);
    assert_eq!((read(&env, "out/mine"), read(&env, "out/f/keep")), ("3".into(), "4".into()));
    let report = env.run(["get", "./in/store/set", "out", "--overwrite", "--delete", "--json"]).json();
    assert_eq!(report["files"], Value::from(2));
    assert_eq!((read(&env, "out/f"), env.path("out/mine").exists()), ("1".into(), false));
}

#[test]
fn names_that_only_begin_like_a_temporary_are_data() {
    let env = TestEnv::new();
    env.write("data/.dagset-tmp-notes.txt", "mine");
    let made = env.run(["ingest", "data", "--into", "./store/set", "--create", "--json"]).json();
    assert_eq!(made["files"], Value::from(1));
}

#[test]
fn nothing_is_published_where_nothing_is() {
    let env = TestEnv::new();
    env.write("data/f", "1");
    let dry = env.run(["ingest", "data", "--into", "./none/set", "--create", "--dry-run", "--json"]).json();
    assert_eq!(
        (&dry["changed"], &dry["files"], env.path("none").exists()),
        (&Value::Bool(true), &Value::from(1), false)
    );
    let _ = env.run(["ingest", ".", "--into", "./none/set", "--create"]).exits(2);
    let _ = env.run(["-C", "data", "init", "--dataset", "set"]).exits(0);
    let nothing = env.run(["-C", "data", "commit", "--json"]).json();
    assert_eq!((&nothing["changed"], &nothing["version"]), (&Value::Bool(false), &Value::Null));
}

#[test]
fn a_workspace_of_an_older_dataset_starts_with_what_is_in_the_folder() {
    let env = TestEnv::new();
    env.write("data/f", "1");
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1"]).exits(0);
    fs::create_dir(env.path("w")).unwrap();
    let _ = env.run(["-C", "w", "init", "--store", "../store", "--dataset", "set"]).exits(0);
    let _ = env.run(["-C", "w", "commit", "-a"]).exits(0);
    let _ = env.run(["-C", "w", "switch", "main"]).exits(0);
    assert_eq!(read(&env, "w/f"), "1");
    let _ = env.run(["verify", "./store/set:nothing"]).exits(3);
    let _ = env.run(["show", "./store/set:f"]).exits(2);
}

#[test]
fn clean_takes_what_ended_processes_were_writing_though_nobody_asked_how_they_ended() {
    let env = TestEnv::new();
    env.write("data", "1");
    let _ = env.run(["init", "--dataset", "set"]).exits(0);
    let _ = env.run(["commit", "-a"]).exits(0);
    let mut ended = std::process::Command::new("/bin/true").spawn().unwrap();
    let stat = format!("/proc/{}/stat", ended.id());
    while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (own, others) = (std::process::id(), ended.id());
    let [running, gone] = [own, others].map(|process| format!(".dagset-tmp-{process}-0123456789abcdef-1"));
    env.write(&running, "a file that is being written");
    env.write(&gone, "a file that was");
    let _ = env.run(["clean"]).exits(0);
    assert!(env.path(&running).exists() && !env.path(&gone).exists());
    ended.wait().unwrap();
}
