//! `doctor`: each thing that can be wrong is named, with the command that mends it; nothing that is wrong makes it fail, and it changes nothing.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::env::{TestEnv, everything_below};

/// A workspace with a remote, a version in both, and a cache.
fn stage() -> TestEnv {
    let env = TestEnv::new();
    env.write("ws/a.txt", "one\n");
    env.write("ws/b.bin", vec![7; 300_000]);
    env.run_with("ws", ["init"], b"").text();
    env.run_with("ws", ["commit", "-a", "-m", "one"], b"").text();
    env.run(["store", "create", "./far"]).text();
    env.run_with("ws", ["remote", "add", "origin", "../far/ws"], b"").text();
    env.run_with("ws", ["push"], b"").text();
    env.run_with("ws", ["status"], b"").text();
    env.run_with("ws", ["config", "set", "cache", env.path("cache").to_str().unwrap()], b"").text();
    env.run(["warm", "./far/ws"]).text();
    env
}

/// Every path of the stage, with what it holds.
fn picture(env: &TestEnv) -> Vec<(String, Vec<u8>)> {
    let roots = [env.path("."), env.home(".")];
    let all = roots.iter().flat_map(|root| everything_below(root));
    // SQLite keeps these beside a database as long as somebody reads it.
    let is_kept = |path: &Path| !["-shm", "-wal"].iter().any(|end| path.to_str().unwrap().ends_with(end));
    all.filter(|path| is_kept(path))
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap_or_default()))
        .collect()
}

fn checks(document: &Value) -> Vec<&Value> {
    document["checks"].as_array().unwrap().iter().filter(|it| it["health"] != "ok").collect()
}

#[test]
fn a_healthy_setup_is_said_to_be_so_and_left_as_it_is() {
    let env = stage();
    let before = picture(&env);
    let found = env.run_with("ws", ["doctor", "--json"], b"").json();
    assert_eq!(checks(&found), [] as [&Value; 0], "{found}");
    let areas: Vec<&str> = found["checks"].as_array().unwrap().iter().map(|it| it["area"].as_str().unwrap()).collect();
    assert_eq!(areas, ["dagset", "configuration", "workspace", "cache", "store", "store"]);
    assert!(picture(&env) == before, "a look changes nothing");
    let text = env.run_with("ws", ["doctor"], b"").text();
    assert!(text.ends_with("ok: nothing is wrong that a quick look sees\n"), "{text}");
    env.run(["doctor", "./far"]).text();
}

#[test]
fn what_is_wrong_is_named_with_the_command_that_mends_it() {
    let garbage = |path: &Path| {
        fs::remove_file(path).unwrap();
        fs::write(path, b"\xff\x00 this is nothing = [").unwrap();
    };
    let remove = |path: &Path| match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    };
    type Harm<'h> = &'h dyn Fn(&Path);
    // What is harmed (the newest file of a folder that ends with /), how, the exit code, the area, and a word of the mend.
    let cases: [(&str, Harm<'_>, i32, &str, &str); 17] = [
        ("work/ws/.dagset/state.json", &garbage, 5, "workspace", "doctor --fix"),
        ("work/ws/.dagset/config.toml", &garbage, 5, "workspace", "config.toml"),
        ("work/ws/.dagset/config.toml", &remove, 3, "workspace", "dataset ="),
        ("work/ws/.dagset/store/dagset.json", &garbage, 5, "store", "--repair-from"),
        ("work/ws/.dagset/store/dagset.json", &remove, 5, "store", "--repair-from"),
        ("work/ws/.dagset/store/index/", &garbage, 5, "store", "--repair-from"),
        ("work/ws/.dagset/store/index/", &remove, 5, "store", "--repair-from"),
        ("work/ws/.dagset/store/log/000/000/", &garbage, 5, "store", "--repair-from"),
        ("work/ws/.dagset/store", &remove, 3, "store", ""),
        ("work/far/dagset.json", &garbage, 5, "store", "--repair-from"),
        ("work/far/index/", &garbage, 5, "store", "--repair-from"),
        ("work/far", &remove, 3, "store", ""),
        ("work/cache/cache.toml", &garbage, 5, "cache", "cache init"),
        ("work/cache/usage", &garbage, 0, "cache", "cache info"),
        ("home/.config/dagset/config.toml", &garbage, 5, "configuration", "correct"),
        ("home/.cache/dagset/workspaces/", &garbage, 0, "workspace", "status"),
        ("work/ws/.dagset/staged", &|path| fs::write(path, b"\xff\xfe").unwrap(), 5, "workspace", "rm"),
    ];
    for (what, harm, code, area, mend) in cases {
        let env = stage();
        let root = env.path("..");
        let path = match what.ends_with('/') {
            true => everything_below(&root.join(what)).into_iter().rfind(|path| path.is_file()).unwrap(),
            false => root.join(what),
        };
        harm(&path);
        let before = picture(&env);
        let found = env.run_with("ws", ["doctor", "--json"], b"").exits(code).document();
        let wrong = checks(&found);
        let is_named =
            wrong.iter().any(|it| it["area"] == area && it["fix"].as_str().unwrap_or_default().contains(mend));
        assert!(is_named, "{what}: {wrong:#?}");
        assert!(picture(&env) == before, "{what}: a look changes nothing");
        assert_eq!(found["healthy"], code == 0, "{what}");
    }
}

#[test]
fn what_was_cut_off_is_told_with_the_way_on() {
    let env = stage();
    let state = env.path("ws/.dagset/state.json");
    let mut cut_off: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    cut_off["checkout"] = json!({"branch": "main", "version": cut_off["base"]});
    cut_off["check"] = Value::Null;
    fs::write(&state, cut_off.to_string()).unwrap();
    env.write("home-of-secrets", "");
    let found = env.run_with("ws", ["doctor", "--json"], b"").json();
    let wrong = checks(&found);
    assert_eq!((wrong.len(), wrong[0]["fix"].as_str()), (1, Some("dagset switch main")), "{wrong:?}");
    env.run_with("ws", ["switch", "main"], b"").text();
    assert_eq!(checks(&env.run_with("ws", ["doctor", "--json"], b"").json()), [] as [&Value; 0]);
}

#[test]
fn what_can_be_made_anew_is() {
    let env = stage();
    let state = env.path("ws/.dagset/state.json");
    fs::write(&state, "{").unwrap();
    fs::write(env.path("cache/usage"), "?").unwrap();
    // No process has this number.
    let left = env.path("ws/.dagset/.dagset-tmp-999999999-0123456789abcdef-0");
    fs::write(&left, "half").unwrap();
    drop(env.run_with("ws", ["status"], b"").exits(5));
    let fixed = env.run_with("ws", ["doctor", "--fix", "--json"], b"").json();
    let done = fixed["checks"].as_array().unwrap().iter().filter(|it| it["fixed"] == true).count();
    assert_eq!(done, 3, "{fixed}");
    assert!(!left.exists() && env.path("ws/.dagset/state.json.damaged").exists());
    assert!(env.run_with("ws", ["status", "--json"], b"").json()["changes"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(checks(&env.run_with("ws", ["doctor", "--json"], b"").json()), [] as [&Value; 0]);
}

#[test]
fn unknown_keys_and_open_secrets_are_warned_of() {
    let env = stage();
    let config = env.home(".config/dagset/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\ncahce = \"/nowhere\"\n")).unwrap();
    fs::create_dir_all(env.home(".aws")).unwrap();
    fs::write(env.home(".aws/credentials"), "[default]\n").unwrap();
    let found = env.run_with("ws", ["doctor", "--json"], b"").json();
    let wrong: Vec<&str> = checks(&found).iter().map(|it| it["fix"].as_str().unwrap()).collect();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("remove it from") && wrong[1].starts_with("chmod 600"), "{wrong:?}");
}

#[test]
fn no_trial_of_a_place_leaves_its_folder() {
    let env = stage();
    let trials = || {
        let names = fs::read_dir(env.path("far")).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("check-")).collect::<Vec<_>>()
    };
    env.run(["store", "check", "./far"]).text();
    env.run(["verify", "./far", "--since", "1d"]).text();
    env.run(["gc", "./far", "--grace", "0s"]).text();
    assert_eq!(trials(), [""; 0]);
    let [empty, used] = ["check-0123456789abcdef0123456789abcdef", "check-1123456789abcdef0123456789abcdef"];
    fs::create_dir(env.path("far").join(empty)).unwrap();
    env.write(&format!("far/{used}/1"), "of one under way");
    env.run(["doctor", "./far"]).text();
    assert_eq!(trials().len(), 2, "a look changes nothing");
    env.run(["doctor", "./far", "--fix"]).text();
    assert_eq!(trials(), [used]);
}
