//! `remote`: adding, listing, removing, checking; and what is never written into a workspace's files.

use std::fs;

use serde_json::{Value, json};

use crate::env::TestEnv;

/// An environment whose working folder is a workspace.
fn workspace() -> TestEnv {
    let env = TestEnv::new();
    let _ = env.run(["init", "--dataset", "signs"]).exits(0);
    env
}

fn remotes(env: &TestEnv) -> Value {
    env.run(["remote", "list", "--json"]).json()["remotes"].clone()
}

#[test]
fn remotes_are_added_listed_and_removed() {
    let env = workspace();
    assert_eq!(env.run(["remote", "list"]).text(), "");
    let settings = ["--profile", "team", "--endpoint", "http://127.0.0.1:9000", "--region", "eu-1", "--path-style"];
    let added =
        env.run([&["remote", "add", "origin", "s3://bucket/data/signs", "--json"][..], &settings].concat()).json();
    assert_eq!(
        (added["action"].clone(), added["remote"]["url"].clone()),
        ("added".into(), "s3://bucket/data/signs".into())
    );
    let _ = env.run(["remote", "add", "nas", "../nas//vision/signs"]).exits(0);
    let nas = env.path("x").parent().unwrap().parent().unwrap().join("nas");
    assert_eq!(
        remotes(&env),
        json!([
            {"name": "nas", "url": format!("{}//vision/signs", nas.display()), "settings": {}},
            {"name": "origin", "url": "s3://bucket/data/signs", "settings":
                {"profile": "team", "endpoint": "http://127.0.0.1:9000", "region": "eu-1", "path_style": true}},
        ])
    );
    let said = env.run(["remote", "list"]).text();
    assert!(said.contains("profile team, endpoint http://127.0.0.1:9000, region eu-1, path style\n"), "{said}");
    let _ = env.run(["remote", "remove", "nas"]).exits(0);
    let _ = env.run(["remote", "remove", "nas"]).exits(3);
    assert_eq!(remotes(&env).as_array().unwrap().len(), 1);
}

#[test]
fn a_remote_that_makes_no_sense_is_refused() {
    let env = workspace();
    let _ = env.run(["remote", "add", "origin", "s3://bucket/data"]).exits(0);
    let before = fs::read(env.path(".dagset/config.toml")).unwrap();
    for (arguments, code) in [
        (&["origin", "s3://bucket/other"][..], 4),
        (&["a/b", "s3://bucket/data"], 2),
        (&["new", "signs"], 2),
        (&["new", "s3://bucket/data@1.0"], 2),
        (&["new", "s3://bucket/data:path"], 2),
        (&["new", "../nas", "--profile", "team"], 2),
        (&["new", "s3://bucket/data", "--endpoint", "host:9000"], 2),
        (&["new", "s3://bucket/data", "--ca-file", "nowhere.pem"], 3),
    ] {
        let _ = env.run([&["remote", "add"][..], arguments].concat()).exits(code);
    }
    assert_eq!(fs::read(env.path(".dagset/config.toml")).unwrap(), before);
    fs::create_dir(env.path("../elsewhere")).unwrap();
    for arguments in [&["list"][..], &["add", "a", "s3://b"], &["remove", "a"], &["check"]] {
        let _ = env.run_with("../elsewhere", [&["remote"][..], arguments].concat(), b"").exits(3);
    }
}

#[test]
fn secrets_are_not_taken_and_not_repeated() {
    let env = workspace();
    for arguments in [
        &["s3://AKIAX:hush@bucket/data"][..],
        &["s3://hush@bucket/data"],
        &["s3://bucket/data?X-Amz-Signature=hush"],
        &["s3://bucket/data", "--endpoint", "https://me:hush@host"],
    ] {
        let said = env.run([&["remote", "add", "new"][..], arguments, &["--json"]].concat()).exits(2);
        assert!(!format!("{}{}", said.stdout, said.stderr).contains("hush"), "{said:?}");
        assert!(said.stderr.contains("AWS_ACCESS_KEY_ID"), "{said:?}");
    }
    assert!(!fs::read_to_string(env.path(".dagset/config.toml")).unwrap().contains("remote"));
}

#[test]
fn a_check_takes_the_only_remote_or_origin() {
    let env = workspace();
    let _ = env.run(["remote", "check"]).exits(3);
    let _ = env.run(["store", "create", "../nas"]).exits(0);
    let _ = env.run(["remote", "add", "nas", "../nas/signs"]).exits(0);
    let checked = |arguments: &[&str]| env.run([&["remote", "check", "--json"][..], arguments].concat());
    assert_eq!(checked(&[]).json()["remote"], "nas");
    let _ = env.run(["remote", "add", "lab", "../lab/signs"]).exits(0);
    let _ = checked(&[]).exits(2);
    assert_eq!(checked(&["nas"]).json()["holds"], true);
    assert_eq!(checked(&["lab"]).exits(3).document()["steps"][0]["outcome"], "failed");
    let _ = checked(&["other"]).exits(3);
    let _ = env.run(["remote", "add", "origin", "../nas"]).exits(0);
    assert_eq!(checked(&[]).json()["remote"], "origin");
}

#[test]
fn a_store_has_its_settings_in_the_users_configuration() {
    let env = workspace();
    let set = |key: &str, value: &str| env.run(["config", "set", key, value]);
    let _ = set("store.s3://bucket/data.v2/.profile", "team").exits(0);
    let _ = set("store.s3://bucket/data.v2.path_style", "true").exits(0);
    let _ = set("author", "Ann").exits(0);
    let file = env.home(".config/dagset/config.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("[store.\"s3://bucket/data.v2\"]\n"), "{text}");
    assert_eq!(env.run(["config", "get", "store.s3://bucket/data.v2.path_style"]).text(), "true\n");
    assert_eq!(
        env.run(["config", "get"]).text(),
        "author = Ann\nstore.s3://bucket/data.v2.profile = team\nstore.s3://bucket/data.v2.path_style = true\n"
    );
    for (key, value) in [
        ("store.s3://bucket.secret_access_key", "hush"),
        ("store.bucket.profile", "team"),
        ("store.s3://bucket.path_style", "maybe"),
        ("store.s3://bucket.endpoint", "https://me:hush@host"),
        ("store.s3://me:hush@bucket.profile", "team"),
        ("default_store", "s3://me:hush@bucket/data"),
    ] {
        let said = set(key, value).exits(2);
        assert!(!said.stderr.contains("me:hush"), "{}", said.stderr);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    for key in ["store.s3://bucket/data.v2.profile", "store.s3://bucket/data.v2.path_style"] {
        let _ = env.run(["config", "set", key]).exits(0);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "author = \"Ann\"\n");
    fs::write(&file, "[store.\"s3://bucket\"]\nsecret_access_key = \"hush\"\n").unwrap();
    let said = env.run(["list", "../nas"]).exits(2);
    assert!(said.stderr.contains("secrets are not kept here"), "{}", said.stderr);
}

#[test]
fn the_configuration_says_how_a_store_is_reached() {
    let env = workspace();
    let closed = "http://127.0.0.1:1";
    let _ = env.run(["config", "set", "store.s3://bucket.endpoint", closed]).exits(0);
    let _ = env.run(["remote", "add", "lab", "s3://bucket/lab/signs", "--endpoint", "http://127.0.0.2:2"]).exits(0);
    let port = |url: &str| {
        let mut command = env.command();
        let keys = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        let output = command.envs(keys).args(["store", "check", url, "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(6));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["steps"][1]["detail"].as_str().unwrap().to_owned()
    };
    assert!(port("s3://bucket/data").contains("127.0.0.1 port 1"), "by the user's configuration");
    for of_remote in ["s3://bucket/lab", "s3://bucket/lab/signs"] {
        assert!(port(of_remote).contains("127.0.0.2 port 2"), "by the remote's");
    }
}

#[test]
fn a_clone_has_a_remote_that_can_be_checked_and_file_urls_are_folders() {
    let env = TestEnv::new();
    let store = format!("file://{}", env.path("shared/store").to_str().unwrap());
    let _ = env.run(["store", "create", &store]).exits(0);
    assert!(env.path("shared/store/dagset.json").is_file());
    env.write("data/a.txt", "a");
    let _ = env.run(["ingest", "data", "--into", &format!("{store}/signs"), "--create"]).exits(0);
    let _ = env.run(["store", "check", &store]).exits(0);
    let _ = env.run(["list", &format!("{store}-none")]).exits(3);
    let _ = env.run(["clone", &format!("{store}/signs"), "copy"]).exits(0);
    let _ = env.run_with("copy", ["remote", "check"], b"").exits(0);
    let _ = env.run_with("copy", ["pull"], b"").exits(0);
}
