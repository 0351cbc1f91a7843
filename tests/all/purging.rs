//! `purge`: content goes from every version and stays out, and whoever asks for it is told.

use std::fs;
use std::path::Path;

use dagset::chunk::compress::decompress;
use dagset::format::header::ObjectKind;
use dagset::format::pack::parse_pack;
use dagset::format::place::Encoding;
use serde_json::{Value, json};

use crate::env::{TestEnv, everything_below};
use crate::s3::{Server, server};
use crate::stage::noise;

/// Small, so that it shares its frame with neighbours and compresses.
const SECRET: &[u8] = b"key = 0123456789abcdef, which nobody was to see\n";

/// Whether a run of bytes stands somewhere in the decoded frames of a store's packs. Frames that need a base aren't looked into.
fn holds(store: &Path, wanted: &[u8]) -> bool {
    let is_in = |bytes: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let packs = [ObjectKind::Pack, ObjectKind::MetaPack].map(|kind| (kind, store.join(kind.folder())));
    packs.iter().any(|(kind, folder)| {
        everything_below(folder).into_iter().filter(|path| path.is_file()).any(|path| {
            let bytes = fs::read(path).unwrap();
            let footer = parse_pack(*kind, &bytes).unwrap();
            footer.frames.iter().any(|frame| {
                let stored = &bytes[frame.offset as usize..(frame.offset + frame.stored_bytes) as usize];
                match frame.encoding {
                    Encoding::Raw => is_in(stored),
                    Encoding::Zstd => is_in(&decompress(stored, frame.raw_bytes as usize, None).unwrap()),
                    Encoding::Based(_) => false,
                }
            })
        })
    })
}

/// Two versions that have a secret, small, and a large file; one that doesn't; and a dataset of its own that has the secret elsewhere.
fn begin(env: &TestEnv) {
    env.write("data/large.bin", noise(1, 1_000_000));
    env.write("data/notes/secret.txt", SECRET);
    env.write("data/notes/a.txt", "a neighbour in its frame");
    env.write("data/notes/b.txt", "another neighbour in its frame");
    env.write("data/other.bin", noise(2, 500_000));
    for version in ["1.0", "1.1"] {
        env.write("data/changes.txt", version);
        let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", version]).exits(0);
    }
    env.write("elsewhere/copy.txt", SECRET);
    env.write("elsewhere/own.txt", "of the other dataset");
    let _ = env.run(["ingest", "elsewhere", "--into", "./store/other", "--create"]).exits(0);
}

fn purge_and_exit(env: &TestEnv, more: &[&str], code: i32) -> Value {
    let words = [&["purge", "./store/set@1.0", "--reason", "it leaked", "--yes", "--json"], more].concat();
    env.run(words).exits(code).document()
}

fn purge(env: &TestEnv, more: &[&str]) -> Value {
    purge_and_exit(env, more, 0)
}

fn assert_verified(env: &TestEnv, purged: u64) {
    let verified = env.run(["verify", "./store", "--json"]).json();
    assert_eq!((&verified["findings"], &verified["purged"]), (&json!([]), &json!(purged)));
}

#[test]
fn content_goes_from_all_versions_and_from_nothing_else() {
    let env = TestEnv::new();
    begin(&env);
    let _ = env.run(["use", "./store/set@1.0", "--run", "run-1", "--model", "model-1"]).exits(0);
    let before = everything_below(&env.path("store"));
    let planned = purge(&env, &["notes/secret.txt", "large.bin", "--dry-run"]);
    assert_eq!(everything_below(&env.path("store")), before, "a dry run writes nothing");
    let report = purge(&env, &["notes/secret.txt", "large.bin"]);
    for key in ["contents", "versions", "uses", "rewritten_packs", "shared_bytes", "deleted"] {
        assert_eq!(planned[key], report[key], "{key}: a dry run says what comes");
    }
    let named: Vec<_> =
        report["versions"].as_array().unwrap().iter().map(|it| (&it["dataset"], &it["files"])).collect();
    assert_eq!(named, [(&json!("other"), &json!(1)), (&json!("set"), &json!(2)), (&json!("set"), &json!(2))]);
    let paths: Vec<_> = report["contents"].as_array().unwrap().iter().map(|it| it["paths"].clone()).collect();
    assert!(paths.contains(&json!(["copy.txt", "notes/secret.txt"])) && paths.contains(&json!(["large.bin"])));
    assert_eq!((&report["uses"][0]["run"], &report["uses"][0]["model"]), (&json!("run-1"), &json!("model-1")));
    assert!((1_000_000..1_050_000).contains(&report["freed_bytes"].as_u64().unwrap()), "{report}");

    assert!(!holds(&env.path("store"), SECRET));
    for at in (0..1_000_000).step_by(50_000) {
        assert!(!holds(&env.path("store"), &noise(1, 1_000_000)[at..at + 64]), "byte {at} of the large file is there");
    }
    assert!(holds(&env.path("store"), b"a neighbour in its frame"), "what is looked for can be found");
    assert_verified(&env, 2);
    let got = env.run(["get", "./store/set@1.1", "out", "--json"]).exits(8).document();
    let told: Vec<_> = got["purged"].as_array().unwrap().iter().map(|it| (&it["path"], &it["reason"])).collect();
    assert_eq!(told, [(&json!("large.bin"), &json!("it leaked")), (&json!("notes/secret.txt"), &json!("it leaked"))]);
    assert_eq!(got["files"], 4);
    for path in ["notes/a.txt", "notes/b.txt", "other.bin", "changes.txt"] {
        assert_eq!(fs::read(env.path("out").join(path)).unwrap(), fs::read(env.path("data").join(path)).unwrap());
    }
    assert!(!env.path("out/large.bin").exists());
    let again = purge(&env, &["notes/secret.txt", "large.bin"]);
    assert_eq!((&again["record"], &again["deleted"]["objects"]), (&Value::Null, &json!(0)), "it is done: {again}");
}

#[test]
fn versions_without_it_are_looked_at_as_before() {
    let env = TestEnv::new();
    begin(&env);
    let _ = purge(&env, &["large.bin"]);
    let listed = env.run(["ls", "-R", "./store/set@1.0", "--json"]).json();
    assert!(listed["entries"].as_array().unwrap().iter().any(|entry| entry["path"] == "large.bin"), "{listed}");
    let changed = env.run(["diff", "./store/set@1.0", "./store/set@1.1", "--json"]).json();
    assert_eq!(changed["modified"].as_array().map(Vec::len).unwrap_or(1), 1, "{changed}");
    for _ in 0..2 {
        let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
    }
    let _ = env.run(["du", "./store/set@1.0"]).exits(0);
    assert_verified(&env, 1);
    let refused = env.run(["cat", "./store/set@1.0:large.bin"]).exits(3);
    assert!(refused.stderr.contains("purged by record") && refused.stderr.contains("it leaked"), "{}", refused.stderr);
    let _ = env.run(["get", "./store/set@1.0:notes/", "notes"]).exits(0);
    let warmed = env.run(["warm", "./store/set@1.0", "--json"]).exits(8).document();
    assert_eq!((&warmed["complete"], &warmed["versions"][0]["purged"][0]["path"]), (&json!(true), &json!("large.bin")));
    let ran = env.run(["run", "./store/set@1.0", "--", "ls", "{}"]).exits(0);
    assert!(!ran.stdout.contains("large.bin") && ran.stderr.contains("large.bin"), "{}", ran.stderr);
}

#[test]
fn the_same_content_is_refused_until_it_is_let_in_again() {
    let env = TestEnv::new();
    begin(&env);
    let report = purge(&env, &["notes/secret.txt", "large.bin"]);
    let packs = || everything_below(&env.path("store/packs")).len();
    let before = packs();
    for dry_run in [&[][..], &["--dry-run"]] {
        let refused = env.run([&["ingest", "data", "--into", "./store/set"], dry_run].concat()).exits(4);
        for said in ["large.bin", "notes/secret.txt", "it leaked", "dagset unpurge"] {
            assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
        }
    }
    for at in (0..1_000_000).step_by(50_000) {
        assert!(
            !holds(&env.path("store"), &noise(1, 1_000_000)[at..at + 64]),
            "a large file is known before it is cut"
        );
    }
    assert_eq!(packs(), before);
    env.write("data/other", "never purged");
    let _ = env.run(["unpurge", "./store", "data/large.bin", "data/other", "--reason", "no"]).exits(3);
    let back = ["unpurge", "./store", "data/large.bin", "data/notes/secret.txt", "--reason", "they agreed", "--json"];
    assert_eq!(env.run(back).json()["contents"].as_array().map(Vec::len), report["contents"].as_array().map(Vec::len));
    let _ = env.run(["get", "./store/set@1.0", "out"]).exits(0);
    assert_eq!(fs::read(env.path("out/large.bin")).unwrap(), noise(1, 1_000_000), "old versions have it again too");
    assert_verified(&env, 0);
}

#[test]
fn chunks_that_other_files_need_stay() {
    let env = TestEnv::new();
    let large = noise(1, 1_500_000);
    env.write("data/whole.bin", &large);
    env.write("data/edited.bin", [&large[..1_000_000], &noise(5, 400_000)].concat());
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1.0"]).exits(0);
    let report = purge(&env, &["whole.bin"]);
    let shared = report["shared_bytes"].as_u64().unwrap();
    assert!((800_000..1_000_001).contains(&shared), "{report}");
    let freed = report["freed_bytes"].as_u64().unwrap();
    assert!((450_000..700_000).contains(&freed), "{report}");
    assert!(!holds(&env.path("store"), &large[1_400_000..1_400_064]), "what was only its own is gone");
    let _ = env.run(["get", "./store/set", "out", "edited.bin"]).exits(0);
    assert_eq!(fs::read(env.path("out/edited.bin")).unwrap(), fs::read(env.path("data/edited.bin")).unwrap());
    assert_verified(&env, 1);
}

#[test]
fn what_was_compressed_against_it_is_packed_anew() {
    let env = TestEnv::new();
    let mut large = noise(1, 3_000_000);
    env.write("data/large.bin", &large);
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1.0"]).exits(0);
    for at in [500_000, 1_500_000, 2_500_000] {
        large[at..at + 10].copy_from_slice(b"edited now");
    }
    env.write("data/large.bin", &large);
    let edited = env.run(["ingest", "data", "--into", "./store/set", "--as", "1.1", "--json"]).json();
    assert!(edited["stored_bytes"].as_u64().unwrap() < 60_000, "the edit is stored against what stood there: {edited}");
    let report = purge(&env, &["large.bin"]);
    assert_eq!(report["versions"].as_array().unwrap().len(), 1, "{report}");
    let _ = env.run(["get", "./store/set@1.1", "out"]).exits(0);
    assert_eq!(fs::read(env.path("out/large.bin")).unwrap(), large);
    assert_verified(&env, 1);
    assert!(!holds(&env.path("store"), &noise(1, 3_000_000)[499_980..500_030]), "the base is gone");
}

#[test]
fn what_is_published_needs_force_and_a_yes_is_needed() {
    let env = TestEnv::new();
    begin(&env);
    let _ = env.run(["publish", "./store/set@1.1"]).exits(0);
    let words = ["purge", "./store/set@1.0", "large.bin", "--reason", "it leaked"];
    let asked = env.run(words).exits(4);
    assert!(asked.stderr.contains("set@1.1") && asked.stderr.contains("--force"), "{}", asked.stderr);
    let planned = env.run([&words[..], &["--dry-run", "--json"]].concat()).json();
    assert_eq!((&planned["needs_force"], &planned["record"]), (&json!(true), &Value::Null));
    assert_eq!(planned["versions"].as_array().unwrap().len(), 2, "{planned}");
    let refused = env.run([&words[..], &["--force"]].concat()).exits(2);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    let _ = env.run(["purge", "./store/set@1.0", "--reason", "all", "--yes"]).exits(2);
    let _ = env.run(["purge", "./store", "--content", &"ab".repeat(32), "--reason", "no", "--yes"]).exits(3);
    let done = env.run([&words[..], &["--force", "--yes", "--json"]].concat()).json();
    let record = done["record"].as_u64().unwrap();
    let undone = env.run(["undo", "./store", &record.to_string()]).exits(4);
    assert!(undone.stderr.contains("unpurge"), "{}", undone.stderr);
    let log = env.run(["oplog", "./store", "--json"]).json();
    let newest = &log["records"][0];
    assert!(newest["summary"].as_str().unwrap().contains("purged: it leaked"), "{newest}");
    assert_eq!(newest["operations"].as_array().unwrap().last().unwrap()["kind"], "purged");
    let _ = env.run(["audit", "./store"]).exits(0);
}

#[test]
fn caches_of_this_machine_lose_it() {
    let env = TestEnv::new();
    begin(&env);
    let _ = env.run(["get", "./store/set@1.0", "view", "--link", "view"]).exits(0);
    let _ = env.run(["get", "./store/set@1.0", "linked", "--link", "copy"]).exits(0);
    let held = purge_and_exit(&env, &["large.bin"], 8);
    let cache = &held["caches"][0];
    assert_eq!((&cache["files"], &cache["bytes"]), (&json!(1), &json!(1_000_000)), "{held}");
    assert_eq!(cache["held_views"].as_array().unwrap().len(), 1, "a reader keeps what it has: {held}");
    fs::remove_file(env.path("view")).unwrap();
    let free = purge(&env, &["large.bin"]);
    assert_eq!(free["caches"][0]["held_views"], json!([]), "{free}");
    let large = noise(1, 1_000_000);
    let has_it = |path: &Path| path.is_file() && fs::read(path).unwrap() == large;
    assert!(!everything_below(&env.home("")).iter().any(|path| has_it(path)));
    let _ = env.run(["get", "./store/set@1.0", "view", "--link", "view"]).exits(8);
    assert!(!env.path("view/large.bin").exists() && env.path("view/other.bin").exists());
}

#[test]
fn a_workspace_goes_on_without_it() {
    let env = TestEnv::new();
    fs::create_dir(env.path("work")).unwrap();
    let run = |arguments: &[&str]| env.run_with("work", arguments, b"");
    let _ = run(&["init", "--dataset", "set"]).exits(0);
    env.write("work/secret.txt", SECRET);
    env.write("work/rest.txt", "stays");
    let _ = run(&["commit", "-a", "-m", "first"]).exits(0);
    let purged = run(&["purge", ":secret.txt", "--reason", "it leaked", "--yes", "--json"]).answer();
    assert_eq!(purged["workspace_files"].as_array().unwrap().len(), 1, "the user's own file is the user's: {purged}");
    assert_eq!(fs::read(env.path("work/secret.txt")).unwrap(), SECRET);
    env.write("work/rest.txt", "is edited");
    let _ = run(&["commit", "-a", "-m", "what isn't stored anew may stay named"]).exits(0);
    env.write("work/copied.txt", SECRET);
    let refused = run(&["commit", "-a", "-m", "again"]).exits(4);
    assert!(refused.stderr.contains("copied.txt"), "{}", refused.stderr);
    fs::remove_file(env.path("work/copied.txt")).unwrap();
    fs::remove_file(env.path("work/secret.txt")).unwrap();
    let restored = run(&["restore", "secret.txt"]).exits(0);
    assert!(restored.stderr.contains("isn't restored"), "{}", restored.stderr);
    let _ = run(&["commit", "-a", "-m", "without"]).exits(0);
    let first = run(&["switch", "main~1", "--json"]).exits(8).document();
    assert_eq!(first["purged"][0]["path"], "secret.txt", "{first}");
    let _ = run(&["switch", "main"]).exits(0);
    env.write("work/secret.txt", "no secret any more");
    let _ = run(&["add", "secret.txt"]).exits(0);
    let _ = run(&["commit", "-m", "another file at its path"]).exits(0);
    let _ = run(&["switch", "main~2"]).exits(8);
    assert!(!env.path("work/secret.txt").exists());
    let _ = run(&["switch", "main"]).exits(0);
    assert_eq!(fs::read_to_string(env.path("work/secret.txt")).unwrap(), "no secret any more");
    assert_eq!(fs::read_to_string(env.path("work/rest.txt")).unwrap(), "is edited");
}

#[test]
fn what_is_purged_goes_to_no_other_store_and_comes_from_none() {
    let env = TestEnv::new();
    begin(&env);
    let _ = env.run(["clone", "./store/set", "clone"]).exits(0);
    let _ = env.run(["store", "create", "./full"]).exits(0);
    let _ = env.run(["store", "create", "./new"]).exits(0);
    let _ = env.run(["dataset", "copy", "./store/set", "./full/set"]).exits(0);
    let purged = env
        .run(["-C", "clone", "purge", "../store/set@1.0:large.bin", "--reason", "it leaked", "--yes", "--json"])
        .answer();
    assert_eq!(purged["workspace_files"].as_array().unwrap().len(), 1, "{purged}");

    // A store that borrows takes note with the next fetch.
    fs::remove_file(env.path("clone/large.bin")).unwrap();
    let before = env.run(["cat", "./clone@1.0:large.bin"]).exits(3);
    assert!(before.stderr.contains("purged by record"), "{}", before.stderr);
    let _ = env.run(["-C", "clone", "fetch"]).exits(0);
    let got = env.run(["get", "./clone@1.0", "from-clone", "--json"]).exits(8).document();
    assert_eq!(got["purged"][0]["path"], "large.bin", "{got}");
    let _ = env.run(["verify", "./clone/.dagset/store"]).exits(0);

    // A new store gets the versions, and is told why files are gone.
    let _ = env.run(["dataset", "copy", "./store/set", "./new/set"]).exits(0);
    assert_eq!(env.run(["verify", "./new", "--json"]).json()["purged"], 1);
    let _ = env.run(["get", "./new/set@1.1", "from-new"]).exits(8);

    // What comes from a store that still has it stays out.
    env.write("data/changes.txt", "later");
    let _ = env.run(["ingest", "data", "--into", "./full/set", "--as", "1.2"]).exits(0);
    let _ = env.run(["clone", "./full/set", "work"]).exits(0);
    let pushed = env.run(["-C", "work", "push", "../store/set"]).exits(0);
    assert!(pushed.stderr.contains("stay out of it"), "{}", pushed.stderr);
    for at in (0..1_000_000).step_by(50_000) {
        assert!(!holds(&env.path("store"), &noise(1, 1_000_000)[at..at + 64]));
    }
    let _ = env.run(["verify", "./store"]).exits(0);
    let _ = env.run(["get", "./store/set@main", "out"]).exits(8);
    assert_eq!(fs::read_to_string(env.path("out/changes.txt")).unwrap(), "later");
}

#[test]
fn a_bucket_and_what_a_mirror_keeps_of_it_lose_it() {
    let Some(s3) = server(Server::Real) else { return };
    let mut env = TestEnv::new();
    s3.reach_from(&mut env);
    let store = s3.url("purge");
    let _ = env.run(["store", "create", &store]).exits(0);
    env.write("data/large.bin", noise(1, 500_000));
    env.write("data/other.bin", noise(2, 300_000));
    let _ = env.run(["ingest", "data", "--into", &format!("{store}//set"), "--create", "--as", "1.0"]).exits(0);
    let _ = env.run(["get", &format!("{store}//set"), "before"]).exits(0);
    let kept = || {
        let all = everything_below(&env.home(".cache")).into_iter();
        let names = all.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        // Frames are files `BORN-RANDOM-OFFSET`.
        names.filter(|name| name.matches('-').count() == 2 && name.starts_with("000")).collect::<Vec<_>>()
    };
    let before = kept();
    assert!(!before.is_empty());
    let address = format!("{store}//set:large.bin");
    let purged = env.run(["purge", &address, "--reason", "it leaked", "--yes", "--json"]).json();
    let deletes = purged["requests"]["delete"].as_u64().unwrap();
    assert_eq!(deletes, purged["deleted"]["objects"].as_u64().unwrap() + 1, "one for each object, and the clock's");
    assert!(purged["freed_bytes"].as_u64().unwrap() >= 500_000, "{purged}");
    assert!(kept().iter().all(|name| !before.contains(name)), "what is kept of packs that went");
    let _ = env.run(["verify", &store]).exits(0);
    let _ = env.run(["get", &format!("{store}//set"), "after"]).exits(8);
    assert_eq!(fs::read(env.path("after/other.bin")).unwrap(), noise(2, 300_000));
}

#[test]
fn a_condition_chooses_files_of_all_versions() {
    let env = TestEnv::new();
    env.write("data/people/ann/face.png", noise(1, 3_000));
    env.write("data/people/bob/face.PNG", noise(2, 3_000));
    env.write("data/people/ann/notes.txt", noise(3, 300));
    env.write("data/other/face.png", noise(4, 90_000));
    let _ = env
        .run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1.0", "--meta", "task=faces"])
        .exits(0);
    fs::remove_dir_all(env.path("data/people/ann")).unwrap();
    env.write("data/people/eve/face.png", noise(5, 3_000));
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--as", "2.0"]).exits(0);
    let before = everything_below(&env.path("store"));
    let chosen = |place: &str, condition: &str| {
        let words = ["purge", place, "--where", condition, "--reason", "asked to", "--dry-run", "--json"];
        let planned = env.run(words).json();
        let mut paths: Vec<String> = planned["contents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["paths"][0].as_str().unwrap().to_owned())
            .collect();
        paths.sort();
        paths.join(" ")
    };
    let set = "./store/set";
    let all = "people/ann/face.png people/bob/face.PNG people/eve/face.png";
    assert_eq!(chosen(set, "path ~ 'people' and suffix = 'png'"), all);
    assert_eq!(chosen(set, "path ~ 'people/*/face.png' and not path ~ 'people/eve'"), "people/ann/face.png");
    assert_eq!(chosen(set, "bytes > 1e4 or suffix ~ 't?t'"), "other/face.png people/ann/notes.txt");
    assert_eq!(chosen("./store/set@2.0", "path ~ 'people'"), "people/bob/face.PNG people/eve/face.png");
    assert_eq!(chosen(set, "path ~ 'people/ann' and meta.task = 'faces'"), "people/ann/face.png people/ann/notes.txt");
    assert_eq!(
        chosen(set, "name = '2.0' and executable = false and attr.none = null and bytes < 1e4"),
        "people/bob/face.PNG people/eve/face.png"
    );
    assert_eq!(everything_below(&env.path("store")), before, "a dry run writes nothing");

    let words =
        |condition: &'static str| ["purge", set, "--where", condition, "--reason", "asked to", "--yes", "--json"];
    let none = env.run(words("path ~ 'nobody'")).exits(3);
    assert!(none.stderr.contains("fulfils path ~"), "{}", none.stderr);
    assert!(env.run(words("author = 'Ann'")).exits(2).stderr.contains("path, suffix, bytes"));
    assert!(env.run(words("bytes ~ 'x'")).exits(2).stderr.contains("is expected"));
    let with_path = ["purge", "./store/set:people", "--where", "bytes > 1", "--reason", "asked to", "--yes"];
    let _ = env.run(with_path).exits(2);
    let unasked = ["purge", set, "--where", "path ~ 'people'", "--reason", "asked to"];
    let _ = env.run(unasked).exits(2);
    assert_eq!(everything_below(&env.path("store")), before);
    let done = env.run(words("path ~ 'people/ann'")).json();
    assert_eq!(done["contents"].as_array().unwrap().len(), 2, "{done}");
    assert_verified(&env, 2);
    let _ = env.run(["get", "./store/set@2.0", "out"]).exits(0);
}

#[test]
fn a_listing_marks_what_is_gone() {
    let env = TestEnv::new();
    begin(&env);
    let _ = purge(&env, &["notes/secret.txt"]);
    let lines = env.run(["ls", "-R", "./store/set@1.1"]).text();
    let marked: Vec<&str> = lines.lines().filter(|line| line.contains("purged")).collect();
    assert_eq!(marked, ["notes/secret.txt  purged: it leaked"], "{lines}");
    assert!(env.run(["ls", "-l", "./store/set:notes/"]).text().contains("purged"));
    assert!(env.run(["tree", "./store/set"]).text().contains("secret.txt  48 B  purged: it leaked"));
    let listed = env.run(["ls", "./store/set:notes/", "--json"]).json();
    let why: Vec<_> = listed["entries"].as_array().unwrap().iter().map(|it| &it["purged"]["reason"]).collect();
    assert_eq!(why, [&Value::Null, &Value::Null, &json!("it leaked")], "{listed}");
    let stated = env.run(["stat", "./store/set:notes/secret.txt", "--json"]).json();
    assert_eq!(stated["purged"]["reason"], "it leaked");
    assert!(env.run(["stat", "./store/set:notes/secret.txt"]).text().contains("purged    by record"));
}
