//! The least rights of docs/stores.md are enough, on a real server: reading, creating, and listing of one prefix, without deleting.

use crate::env::TestEnv;
use crate::s3::{self, S3, Server};

/// What a user of few rights does from.
fn user(s3: &S3, who: &str) -> TestEnv {
    let mut env = TestEnv::new();
    s3.limited_to(who).reach_from(&mut env);
    env
}

#[test]
fn a_writer_makes_a_store_and_publishes_without_deleting() {
    let Some(s3) = s3::server(Server::Real) else { return };
    let store = s3.limited_to("writer").url("least");
    let set = format!("{store}/signs");
    let writer = user(&s3, "writer");
    let _ = writer.run(["store", "create", &store]).exits(0);
    for content in ["one", "two"] {
        writer.write("data/a", content);
        let _ = writer.run(["ingest", "data", "--into", &set, "--create", "--as", content]).exits(0);
    }
    let check = writer.run(["store", "check", &store, "--json"]).json();
    assert_eq!(check["holds"], true, "{check}");
    let last = check["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((last["step"].clone(), last["outcome"].clone()), ("may delete".into(), "left_out".into()));

    let reader = user(&s3, "reader");
    for arguments in
        [&["list", &store][..], &["log", &set], &["get", &set, "copy"], &["clone", &set, "mine"], &["verify", &store]]
    {
        let _ = reader.run(arguments).exits(0);
    }
    assert_eq!(std::fs::read_to_string(reader.path("copy/a")).unwrap(), "two");
    assert_eq!(reader.run(["cat", &format!("{set}@one:a")]).text(), "one");
    let _ = reader.run(["ls", &format!("{store}/other")]).exits(3);
}

#[test]
fn a_reader_is_refused_what_writes() {
    let Some(s3) = s3::server(Server::Real) else { return };
    let store = s3.limited_to("reader").url("closed");
    let reader = user(&s3, "reader");
    reader.write("data/a", "1");
    let set = format!("{store}/signs");
    for arguments in [&["store", "create", &store][..], &["ingest", "data", "--into", &set, "--create"]] {
        let said = reader.run(arguments).exits(6);
        assert!(said.stderr.contains("s3:PutObject"), "{}", said.stderr);
    }
    let check = reader.run(["store", "check", &store, "--json"]).exits(6).document();
    let failed = check["steps"].as_array().unwrap().iter().find(|step| step["outcome"] == "failed").unwrap().clone();
    assert_eq!(failed["step"], "may write", "{check}");
}
