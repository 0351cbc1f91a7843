//! Every answer says what it took: requests by verb, and bytes.

use serde_json::{Value, json};

use crate::cli_main_job::three_versions;
use crate::env::TestEnv;

const NOTHING: [u64; 5] = [0; 5];

/// Requests by verb of a document: get, put, list, head, delete.
fn requests(document: &Value) -> [u64; 5] {
    ["get", "put", "list", "head", "delete"].map(|verb| document["requests"][verb].as_u64().unwrap())
}

#[test]
fn every_document_says_what_it_took() {
    let env = three_versions();
    let asks: &[&[&str]] = &[
        &["list", "./store"],
        &["ls", "./store/signs"],
        &["log", "./store/signs"],
        &["show", "./store/signs"],
        &["diff", "./store/signs@1.0.0", "./store/signs"],
        &["get", "./store/signs@1.0.0", "out"],
        &["store", "info", "./store"],
        &["verify", "./store"],
        &["branch", "./store/signs"],
        &["ls", "./store/other"],
    ];
    for arguments in asks {
        let document = env.run([arguments, &["--json"][..]].concat()).document();
        let [get, put, ..] = requests(&document);
        assert!(get > 0 && put == 0, "{arguments:?}: {document}");
        assert!(document["received_bytes"].as_u64().unwrap() > 0 && document["sent_bytes"] == 0, "{document}");
    }
    for arguments in [&["config", "get"][..], &["completions", "bash"], &["ls", "no-store"], &["no-such-command"]] {
        let document = env.run([arguments, &["--json"]].concat()).document();
        assert_eq!(requests(&document), NOTHING, "{arguments:?}: {document}");
        assert_eq!((&document["sent_bytes"], &document["received_bytes"]), (&json!(0), &json!(0)));
    }
}

#[test]
fn what_is_sent_is_what_is_stored() {
    let env = TestEnv::new();
    env.write("data/a", "12345");
    let said = env.run(["ingest", "data", "--into", "./store/set", "--create", "--json"]).json();
    assert!(requests(&said)[1] > 4, "pack, index, meta pack, store file and records: {said}");
    let again = env.run(["ingest", "data", "--into", "./store/set", "--json"]).json();
    assert_eq!((requests(&again)[1], again["sent_bytes"].clone()), (0, 0.into()), "nothing changed");
}

#[test]
fn a_line_under_v_says_it_too() {
    let env = three_versions();
    let said = env.run(["list", "./store", "-v"]).exits(0);
    let document = env.run(["list", "./store", "--json"]).json();
    let [get, put, list, head, delete] = requests(&document);
    assert_eq!((put, head, delete), (0, 0, 0));
    let line = format!("{} requests ({get} get, {list} list), sent 0 B, received ", get + list);
    assert_eq!(said.stderr.lines().count(), 1);
    assert!(said.stderr.starts_with(&line), "{}", said.stderr);
    let failed = env.run(["ls", "./store/other", "-v"]).exits(3);
    assert!(failed.stderr.lines().next().unwrap().contains(" requests ("), "before the error: {}", failed.stderr);
    for silent in [&["list", "./store"][..], &["list", "./store", "-v", "-q"], &["config", "get", "-v"]] {
        assert_eq!(env.run(silent).exits(0).stderr, "", "{silent:?}");
    }
}

#[test]
fn with_nothing_to_do_a_store_in_a_folder_is_asked_four_times_at_most() {
    let env = TestEnv::new();
    for number in 0..40 {
        env.write("data/a", number.to_string());
        let _ = env.run(["ingest", "data", "--into", "./store/team/set", "--create"]).exits(0);
    }
    let _ = env.run(["clone", "./store/team/set", "work"]).exits(0);
    for command in ["fetch", "push", "pull"] {
        let said = env.run(["-C", "work", command, "--json"]).json();
        let [get, put, list, head, delete] = requests(&said);
        // `dagset.json`, the newest record, the state that it names.
        assert_eq!((get, put, list, head + delete), (3, 0, 1, 0), "{command}: {said}");
    }
}
