//! The JSON of every command, and what people see of the same.

use serde_json::{Value, json};

use crate::cli_main_job::three_versions;
use crate::env::{AUTHOR, TestEnv};

#[track_caller]
fn has_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "no {key} in {value}");
    }
}

#[track_caller]
fn is_id(value: &Value) {
    let text = value.as_str().unwrap();
    assert!(text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()), "{value}");
}

const VERSION_KEYS: [&str; 10] =
    ["version", "name", "parents", "author", "time", "message", "meta", "manifest", "files", "bytes"];

#[test]
fn ingest() {
    let env = TestEnv::new();
    env.write("data/a.txt", "one");
    let said = env.run(["ingest", "data", "--into", "./store/set", "--create", "--json"]).json();
    let keys = [
        "dataset",
        "version",
        "name",
        "manifest",
        "changed",
        "files",
        "bytes",
        "new_bytes",
        "stored_bytes",
        "left_out",
        "behind",
        "tagged",
        "warnings",
    ];
    has_keys(&said, &keys);
    is_id(&said["version"]);
    is_id(&said["manifest"]);
    assert_eq!(said["name"], Value::Null);
    assert_eq!(said["new_bytes"], 3);
    env.write("data/b.txt", "two");
    let said = env.run(["ingest", "data", "--into", "./store/set", "--json"]).json();
    assert_eq!(said["sent_bytes"], said["stored_bytes"]);
}

#[test]
fn log_and_show() {
    let env = three_versions();
    let log = env.run(["log", "./store/signs", "--json"]).json();
    let versions = log["versions"].as_array().unwrap();
    let names: Vec<&str> = versions.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["2.0.0", "1.1.0", "1.0.0"]);
    versions.iter().for_each(|it| has_keys(it, &VERSION_KEYS));
    assert_eq!(versions[0]["parents"], json!([versions[1]["version"]]));
    assert_eq!(versions[2]["parents"], json!([]));
    assert_eq!(versions[0]["author"], AUTHOR);
    assert!(versions[0]["time"].as_str().unwrap().ends_with('Z'));
    let show = env.run(["show", "./store/signs@2.0.0~1", "--json"]).json();
    has_keys(&show, &VERSION_KEYS);
    assert_eq!(show["version"], versions[1]["version"]);
    let two = env.run(["log", "./store/signs", "-n", "2", "--json"]).json();
    assert_eq!(two["versions"].as_array().unwrap().len(), 2);
    let none = env.run(["log", "./store/signs", "--since", "2999-01-01", "--json"]).json();
    assert_eq!(none["versions"], json!([]));
}

#[test]
fn list_and_store_info() {
    let env = three_versions();
    let list = env.run(["list", "./store", "--json"]).json();
    let card = &list["datasets"][0];
    has_keys(card, &["dataset", "name", "version", "updated", "versions", "files", "bytes", "stored_bytes"]);
    assert_eq!(
        (card["dataset"].clone(), card["name"].clone(), card["versions"].clone()),
        ("signs".into(), "2.0.0".into(), 3.into())
    );
    let info = env.run(["store", "info", "./store", "--json"]).json();
    has_keys(&info, &["store", "format", "tool", "datasets", "versions", "pack_bytes"]);
    let new = env.run(["store", "create", "./other", "--json"]).json();
    assert_eq!((new["datasets"].clone(), new["format"].clone()), (0.into(), 1.into()));
}

#[test]
fn ls_stat_and_tree() {
    let env = three_versions();
    let ls = env.run(["ls", "./store/signs:images", "--json"]).json();
    for entry in ls["entries"].as_array().unwrap() {
        has_keys(entry, &["path", "kind", "bytes", "content", "executable", "target", "purged"]);
        assert!(entry["path"].as_str().unwrap().starts_with("images/"), "from the dataset's root: {entry}");
    }
    let stat = env.run(["stat", "./store/signs:tools/count.sh", "--json"]).json();
    assert_eq!((stat["kind"].clone(), stat["executable"].clone()), ("file".into(), true.into()));
    is_id(&stat["content"]);
    let folder = env.run(["stat", "./store/signs:images", "--json"]).json();
    assert_eq!(folder["kind"], "folder");
    assert!(folder["below"]["files"].as_u64().unwrap() > 5);
    let tree = env.run(["tree", "./store/signs", "--json"]).answer();
    assert_eq!(tree, env.run(["ls", "-R", "./store/signs", "--json"]).answer());
}

#[test]
fn diff() {
    let env = TestEnv::new();
    for (path, content) in [("kept", "1"), ("gone", "2"), ("moved", "three"), ("edited", "4")] {
        env.write(&format!("data/{path}"), content);
    }
    let ingest = ["ingest", "data", "--into", "./store/set", "--create", "--as"];
    let _ = env.run([&ingest[..], &["a"]].concat()).exits(0);
    std::fs::remove_file(env.path("data/gone")).unwrap();
    std::fs::rename(env.path("data/moved"), env.path("data/new place")).unwrap();
    env.write("data/edited", "44");
    env.write("data/fresh", "5");
    let _ = env.run([&ingest[..], &["b"]].concat()).exits(0);
    let said = env.run(["diff", "./store/set@a", "./store/set@b", "--json"]).answer();
    assert_eq!(said["added"], json!(["fresh"]));
    assert_eq!(said["removed"], json!(["gone"]));
    assert_eq!(said["modified"], json!(["edited"]));
    assert_eq!(said["renamed"], json!([{"from": "moved", "to": "new place"}]));
    assert_eq!(env.run(["diff", "./store/set@b", "--json"]).answer(), said, "to its parent");
    let short = env.run(["diff", "./store/set@a", "./store/set@b", "--name-status", "--exit-code"]).exits(1);
    assert_eq!(short.stdout, "M\tedited\nA\tfresh\nD\tgone\nR\tmoved\tnew place\n");
    let _ = env.run(["diff", "./store/set@a", "./store/set@a", "--exit-code"]).exits(0);
    insta::assert_snapshot!(env.run(["diff", "./store/set@a", "./store/set@b"]).text(), @"
    modified  edited  1 B → 2 B
    added     fresh  1 B
    removed   gone  1 B
    renamed   moved → new place  5 B
    1 added, 1 removed, 1 modified, 1 renamed
    ");
    insta::assert_snapshot!(env.run(["diff", "./store/set@a", "./store/set@b", "--stat"]).text(), @"
    FOLDER  ADDED  REMOVED  MODIFIED  RENAMED  BYTES
    .           1        1         1        1   +1 B

    TYPE       ADDED  REMOVED  MODIFIED  RENAMED  BYTES
    no ending      1        1         1        1   +1 B
    ");
}

#[test]
fn branch_and_tag() {
    let env = three_versions();
    let _ = env.run(["branch", "./store/signs@1.0.0", "fixes"]).exits(0);
    let _ = env.run(["branch", "./store/signs@1.0.0", "fixes"]).exits(4);
    let _ = env.run(["branch", "-m", "./store/signs", "fixes", "done"]).exits(0);
    let names = |said: &Value, key: &str| {
        said[key].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let listed = env.run(["branch", "./store/signs", "--json"]).json();
    assert_eq!(names(&listed, "branches"), ["done", "main"]);
    assert_eq!(listed["branches"][0]["version_name"], "1.0.0");
    let _ = env.run(["branch", "-d", "./store/signs", "done"]).exits(0);
    let _ = env.run(["branch", "-d", "./store/signs", "done"]).exits(3);
    let set = env.run(["tag", "./store/signs@1.0.0", "stable", "--json"]).json();
    assert_eq!((set["action"].clone(), set["name"].clone()), ("set".into(), "stable".into()));
    let _ = env.run(["tag", "./store/signs@2.0.0", "stable"]).exits(0);
    assert_eq!(env.run(["show", "./store/signs@stable", "--json"]).json()["name"], "2.0.0");
    let _ = env.run(["tag", "-d", "./store/signs", "stable"]).exits(0);
    assert_eq!(env.run(["tag", "./store/signs", "--json"]).json()["tags"], json!([]));
}

#[test]
fn config_completions_and_man() {
    let env = three_versions();
    let _ = env.run(["config", "get", "default_store"]).exits(3);
    let _ = env.run(["config", "set", "default_store", "./store"]).exits(0);
    let value = env.run(["config", "get", "default_store", "--json"]).json();
    assert_eq!(value["value"], env.path("store").to_str().unwrap(), "lasting, wherever it is used from");
    assert_eq!(env.run_with("v1", ["log", "signs", "--json"], b"").json()["versions"].as_array().unwrap().len(), 3);
    let _ = env.run(["list"]).exits(0);
    let _ = env.run(["config", "set", "colour", "red"]).exits(2);
    let _ = env.run(["config", "set", "default_store"]).exits(0);
    let _ = env.run(["list"]).exits(2);
    for shell in ["bash", "zsh", "fish"] {
        assert!(env.run(["completions", shell]).text().contains("ingest"), "{shell}");
    }
    let pages = env.run(["man", "pages", "--json"]).json();
    assert!(pages["files"].as_array().unwrap().len() > 15);
    assert!(std::fs::read_to_string(env.path("pages/dagset-ingest.1")).unwrap().contains("gitignore"));
}

#[test]
fn authors_are_found_in_their_order() {
    let mut env = TestEnv::new();
    let mut counter = 0;
    let author = |env: &TestEnv, more: &[&str], counter: &mut u32| {
        *counter += 1;
        env.write("data/a", counter.to_string());
        let _ = env.run([&["ingest", "data", "--into", "./store/set", "--create"], more].concat()).exits(0);
        env.run(["show", "./store/set", "--json"]).json()["author"].as_str().unwrap().to_owned()
    };
    env.set("DAGSET_AUTHOR", "");
    env.set("USER", "ann");
    assert!(author(&env, &[], &mut counter).starts_with("ann@"));
    std::fs::write(env.home(".gitconfig"), "[user]\n\tname = Git Ann\n\temail = git@x.example\n").unwrap();
    assert_eq!(author(&env, &[], &mut counter), "Git Ann <git@x.example>");
    let _ = env.run(["config", "set", "author", "Config Ann"]).exits(0);
    assert_eq!(author(&env, &[], &mut counter), "Config Ann");
    env.set("DAGSET_AUTHOR", "Env Ann");
    assert_eq!(author(&env, &[], &mut counter), "Env Ann");
    assert_eq!(author(&env, &["--author", "Arg Ann"], &mut counter), "Arg Ann");
}

#[test]
fn metadata_is_typed_and_secrets_are_not_recorded() {
    let mut env = TestEnv::new();
    env.set("CI_JOB_ID", "42");
    env.write("data/a", "1");
    let meta = [
        "--meta",
        "lr=0.1",
        "--meta",
        "n=3",
        "--meta",
        "ok=true",
        "--meta",
        "who=x",
        "--meta",
        "api_token=hush",
        "--meta",
        "id=99999999999999999999",
    ];
    let _ = env.run([&["ingest", "data", "--into", "./store/set", "--create"], &meta[..]].concat()).exits(0);
    let show = env.run(["show", "./store/set", "--json"]).json();
    assert_eq!(
        show["meta"],
        json!({"lr": 0.1, "n": 3, "ok": true, "who": "x", "api_token": "hush", "id": "99999999999999999999"})
    );
    assert_eq!(show["provenance"]["ci_job"], "42");
    assert!(!show["provenance"].to_string().contains("hush"), "{show}");
}

#[test]
fn progress_as_json_is_on_stderr() {
    let env = TestEnv::new();
    env.write("data/a", "12345");
    let said =
        env.run(["ingest", "data", "--into", "./store/set", "--create", "--json", "--progress", "json"]).exits(0);
    let last: Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
    has_keys(&last, &["schema", "phase", "files", "files_total", "bytes", "bytes_total", "seconds"]);
    assert_eq!((last["files"].clone(), last["bytes"].clone()), (1.into(), 5.into()));
    assert_eq!(said.document()["files"], 1);
}
