//! `warm`: which files, in which order, and what is said of it.

use serde_json::{Value, json};

use crate::env::{Outcome, TestEnv};

/// Ten files of ten bytes in two folders, and a second version with one more.
fn ten_files() -> TestEnv {
    let env = TestEnv::new();
    for number in 0..10 {
        env.write(&format!("data/{}/{number}", if number < 4 { "a" } else { "b" }), format!("content {number}\n"));
    }
    let ingest = ["ingest", "data", "--into", "./store/set", "--create", "--as"];
    let _ = env.run([&ingest[..], &["1"]].concat()).exits(0);
    env.write("data/c", "content c\n");
    let _ = env.run([&ingest[..], &["2"]].concat()).exits(0);
    env
}

fn warm(env: &TestEnv, more: &[&str]) -> Outcome {
    env.run([&["warm", "./store/set@1", "--json"], more].concat())
}

/// How many of the version's files a check of these finds.
fn cached(env: &TestEnv, more: &[&str]) -> (u64, u64) {
    let report = warm(env, &[&["--check"], more].concat()).document()["versions"][0].clone();
    (report["cached_before"]["files"].as_u64().unwrap(), report["files"].as_u64().unwrap())
}

#[test]
fn the_first_so_many_files_in_path_order() {
    let env = ten_files();
    let report = warm(&env, &["--until", "25%"]).json()["versions"][0].clone();
    assert_eq!((report["files"].as_u64(), report["bytes"].as_u64()), (Some(3), Some(30)));
    assert_eq!((cached(&env, &["a/0", "a/1", "a/2"]), cached(&env, &[])), ((3, 3), (3, 10)));
    let _ = warm(&env, &["--until", "5"]).exits(0);
    assert_eq!((cached(&env, &["a", "b/4"]), cached(&env, &[])), ((5, 5), (5, 10)));
    let _ = warm(&env, &["--until", "1", "b"]).exits(0);
    assert_eq!(cached(&env, &[]), (5, 10), "the first that is chosen is there");
    let _ = warm(&env, &["--until", "5", "--check"]).exits(0);
    let _ = warm(&env, &["--until", "6", "--check"]).exits(3);
    let _ = warm(&env, &["--until", "0"]).exits(2);
}

#[test]
fn a_list_says_what_comes_first() {
    let env = ten_files();
    env.write("list", "b/9\n./a/3\nb/9\n");
    let ordered = ["--order", "list", "--until"];
    let _ = warm(&env, &[&ordered[..], &["2"]].concat()).exits(0);
    assert_eq!((cached(&env, &["a/3", "b/9"]), cached(&env, &[])), ((2, 2), (2, 10)));
    let _ = warm(&env, &[&ordered[..], &["4"]].concat()).exits(0);
    assert_eq!(cached(&env, &["a/0", "a/1", "a/3", "b/9"]), (4, 4), "then in path order");
    let _ = warm(&env, &[&ordered[..], &["1", "b"]].concat()).exits(0);
    assert_eq!(cached(&env, &[]), (4, 10), "only what is chosen counts");
    let _ = warm(&env, &["--order", "list"]).exits(0);
    assert_eq!(cached(&env, &[]), (10, 10), "the rest comes too");
}

#[test]
fn unknown_paths_of_a_list_are_said() {
    let env = ten_files();
    let command = ["warm", "./store/set@1", "--order", "-", "--until", "1"];
    let said = env.run_with(".", command, b"no/such\nb/7\0".as_slice()).exits(8);
    assert!(said.stderr.contains("left out: no/such\\nb/7: set has no such path"), "NUL parts it: {}", said.stderr);
    let many: String = (0..12).map(|number| format!("none/{number}\n")).chain(["b/7\n".to_owned()]).collect();
    let said = env.run_with(".", command, many.as_bytes()).exits(8);
    assert!(
        said.stderr.contains("left out: none/9: ") && said.stderr.ends_with("and 2 paths more\n"),
        "{}",
        said.stderr
    );
    assert_eq!(cached(&env, &["b/7", "a/0"]), (2, 2));
    let said = env.run_with(".", [&command[..], &["--json", "--quiet"]].concat(), b"x\n").exits(8);
    assert_eq!((&said.document()["versions"][0]["unknown"], &*said.stderr), (&json!(["x"]), ""));
    let empty = env.run_with(".", command, b"").exits(2);
    assert!(empty.stderr.contains("the list of --order is empty"), "{}", empty.stderr);
}

#[test]
fn several_addresses_and_paths_are_told_apart() {
    let env = ten_files();
    let files = |arguments: &[&str]| {
        let document = env.run([&["warm", "--check", "--json"], arguments].concat()).exits(3).document();
        document["versions"].as_array().unwrap().iter().map(|it| it["files"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(files(&["./store/set@1", "./store/set@2"]), [10, 11]);
    assert_eq!(files(&["./store/set@1", "./store/set@2", "a"]), [4, 4]);
    assert_eq!(files(&["./store/set@1", "a", "b/7"]), [5]);
    assert_eq!(files(&["./store/set@1", "./store/set", "--", "./a/1", "b/7"]), [2, 2]);
    let _ = env.run(["init", "space", "--store", "./store"]).exits(0);
    let here = env.run_with("space", ["warm", "--check", "--json", "set@1", "set@2"], b"").document();
    assert_eq!(here["versions"].as_array().unwrap().len(), 2, "{here}");
}

#[test]
fn versions_that_share_files_are_warmed_together() {
    let env = ten_files();
    let both = ["warm", "./store/set@1", "./store/set@2", "--json", "--progress", "json"];
    let said = env.run(both).exits(0);
    let last: Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
    let figures = ["files", "files_total", "bytes", "bytes_total"].map(|key| last[key].as_u64().unwrap());
    assert_eq!(figures, [21, 21, 210, 210]);
    assert_eq!(said.document()["complete"], true);
    // 21 blocks of the disk are asked for, 11 are different.
    let block = rustix::fs::statvfs(env.path(".")).unwrap().f_frsize;
    let cache = ["cache", "init", "small", "--max", &(11 * block).to_string(), "--keep-free", "0"];
    let _ = env.run(cache).exits(0);
    let _ = env.run(["warm", "./store/set@1", "./store/set@2", "--cache", "small"]).exits(0);
}

#[test]
fn what_is_there_counts_once_in_the_progress() {
    let env = ten_files();
    let _ = warm(&env, &["--until", "5"]).exits(0);
    for _ in 0..2 {
        let said = warm(&env, &["--progress", "json"]).exits(0);
        let last: Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
        let figures = ["files", "files_total", "bytes", "bytes_total"].map(|key| last[key].as_u64().unwrap());
        assert_eq!((figures, &last["seconds_left"]), ([10, 10, 100, 100], &json!(0)));
    }
}

#[test]
fn a_check_says_how_much_is_there() {
    let env = ten_files();
    let _ = warm(&env, &["a"]).exits(0);
    let said = env.run(["warm", "./store/set@1", "--check"]).exits(3);
    insta::assert_snapshot!(said.snapshot(), @"
    exit: 3
    --- stdout
    set [id 1] is 40% warm: 6 of 10 files missing, 60 B of 100 B
    --- stderr
    ");
    let document = warm(&env, &["--check"]).exits(3).document();
    assert_eq!(document["complete"], false);
    assert_eq!(document["versions"][0]["cached_before"], json!({"files": 4, "bytes": 40}));
    let _ = warm(&env, &[]).exits(0);
    insta::assert_snapshot!(env.run(["warm", "./store/set@1", "--check"]).exits(0).snapshot(), @"
    exit: 0
    --- stdout
    set [id 1] is warm: 10 files, 100 B
    --- stderr
    ");
}

#[test]
fn parts_of_readers_are_disjoint_and_complete() {
    let env = ten_files();
    for by in [&[][..], &["--by", "folder"], &["--by", "name:{}"]] {
        let mut all = Vec::new();
        for part in ["1/3", "2/3", "3/3"] {
            let out = format!("out-{}-{}", part.replace('/', "-"), by.join("-").replace([':', '{', '}'], ""));
            let _ = env.run([&["get", "./store/set@1", &out, "--part", part], by].concat()).exits(0);
            let files = crate::env::everything_below(&env.path(&out)).into_iter().filter(|path| path.is_file());
            let below = |path: std::path::PathBuf| path.strip_prefix(env.path(&out)).unwrap().to_owned();
            let files: Vec<_> = files.map(below).collect();
            if by == ["--by", "folder"] {
                let in_a = files.iter().filter(|path| path.starts_with("a")).count();
                assert!(in_a == 0 || in_a == 4, "a folder stays together: {files:?}");
            }
            let warmed = env.run([&["warm", "./store/set@1", "--part", part, "--check", "--json"], by].concat());
            assert_eq!(warmed.document()["versions"][0]["files"], files.len(), "warm and get choose the same");
            all.extend(files);
        }
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!((count, all.len()), (10, 10), "{by:?}");
    }
    let _ = env.run(["get", "./store/set@1", "out", "--by", "folder"]).exits(2);
    let bad = env.run(["get", "./store/set@1", "out", "--part", "1/2", "--by", "folders"]).exits(2);
    assert!(bad.stderr.contains("write folder, folder:2"), "{}", bad.stderr);
}

#[test]
fn a_check_of_what_does_not_exist_is_told_from_one_of_what_is_not_all_there() {
    let env = ten_files();
    let check = |address: &str| env.run(["warm", address, "--check", "--json"]).exits(3).document();
    let missing = check("./store/set@1");
    assert_eq!((&missing["complete"], &missing["error"]), (&json!(false), &Value::Null));
    for address in ["./store/set@9", "./store/sets@1", "./stores/set@1", "./store/set@1:c"] {
        let unknown = check(address);
        assert_eq!((&unknown["complete"], &unknown["error"]["kind"]), (&Value::Null, &json!("not_found")), "{address}");
        // Whoever warms after the check is told too.
        let _ = env.run(["warm", address]).exits(3);
    }
}
