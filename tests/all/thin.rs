//! A clone's own store is thin: from wherever it is looked at, its remotes lend what it lacks; without them that is said.

use std::fs;

use crate::env::{TestEnv, everything_below};
use crate::stage::{contents, noise};

/// A store `far` with two versions of `signs`, and a clone `thin` of it.
fn with_clone() -> TestEnv {
    let env = TestEnv::new();
    for version in 1..=2 {
        env.write("data/label.txt", format!("label {version}"));
        env.write("data/deep/big.bin", noise(version, 300_000));
        let name = format!("{version}.0");
        let _ = env.run(["ingest", "data", "--into", "./far/signs", "--create", "--as", &name]).exits(0);
    }
    let _ = env.run(["clone", "./far/signs", "thin"]).exits(0);
    env
}

fn move_far_away(env: &TestEnv) {
    fs::rename(env.path("far"), env.path("elsewhere")).unwrap();
}

#[test]
fn from_outside_it_is_as_whole_as_from_inside() {
    let env = with_clone();
    for store in ["./thin", "./thin/.dagset/store", "./thin//signs", "./thin/.dagset/store/signs@1.0"] {
        let _ = env.run(["verify", store]).exits(0);
    }
    assert!(env.run(["list", "./thin"]).text().contains("signs"));
    assert_eq!(env.run(["cat", "./thin@1.0:label.txt"]).text(), "label 1");
    let _ = env.run(["get", "./thin", "out"]).exits(0);
    assert_eq!(contents(&env.path("out")), contents(&env.path("data")));
    let _ = env.run(["clone", "./thin", "copy"]).exits(0);
    assert_eq!(fs::read(env.path("copy/deep/big.bin")).unwrap(), noise(2, 300_000));
    assert_eq!(env.run_with("copy", ["branch"], b"").text().matches("origin/").count(), 1, "not those of its remote");
    let _ = env.run_with("copy", ["switch", "1.0"], b"").exits(0);
    assert_eq!(fs::read(env.path("copy/deep/big.bin")).unwrap(), noise(1, 300_000));
}

#[test]
fn clones_of_each_other_lend_in_turns_and_come_to_an_end() {
    let env = with_clone();
    let _ = env.run(["clone", "./thin", "copy"]).exits(0);
    let _ = env.run_with("thin", ["remote", "add", "copy", "../copy//signs"], b"").exits(0);
    let _ = env.run(["verify", "./copy"]).exits(0);
    move_far_away(&env);
    let said = env.run(["cat", "./copy@1.0:label.txt"]).exits(6).stderr;
    assert!(said.contains("far//signs, which can't be opened") && said.contains("remote check origin"), "{said}");
}

#[test]
fn a_clone_that_fails_leaves_nothing_or_says_that_it_goes_on() {
    let env = with_clone();
    move_far_away(&env);
    let said = env.run(["clone", "./thin", "copy"]).exits(6).stderr;
    assert!(said.contains("isn't a whole clone yet; the same command goes on"), "{said}");
    fs::rename(env.path("elsewhere"), env.path("far")).unwrap();
    let said = env.run(["clone", "./thin", "copy"]).text();
    assert!(said.contains("2 versions"), "{said}");
    assert_eq!(fs::read(env.path("copy/deep/big.bin")).unwrap(), noise(2, 300_000));

    for pack in everything_below(&env.path("far/packs")) {
        fs::remove_file(pack).unwrap();
    }
    fs::create_dir(env.path("empty")).unwrap();
    for folder in ["gone", "empty"] {
        let _ = env.run(["clone", "./far/signs", folder]).exits(5);
    }
    assert!(!env.path("gone").exists());
    assert_eq!(everything_below(&env.path("empty")), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn a_remote_whose_store_is_gone_is_called_that() {
    let env = with_clone();
    move_far_away(&env);
    for command in ["fetch", "pull", "push"] {
        let said = env.run_with("thin", [command], b"").exits(3).stderr;
        assert!(said.contains("the remote origin at ") && said.contains("has no store any more"), "{said}");
        assert!(said.contains("remote remove origin") && !said.contains("store create"), "{said}");
    }
    let _ = env.run_with("thin", ["remote", "remove", "origin"], b"").exits(0);
    let _ = env.run_with("thin", ["remote", "add", "origin", "../elsewhere/signs"], b"").exits(0);
    let _ = env.run_with("thin", ["pull"], b"").exits(0);
    // One that never was is to be made.
    let _ = env.run_with("thin", ["remote", "add", "new", "../new/signs"], b"").exits(0);
    assert!(env.run_with("thin", ["push", "new"], b"").exits(3).stderr.contains("store create"));
}

#[test]
fn of_several_remotes_one_that_can_be_opened_is_enough() {
    let env = with_clone();
    let _ = env.run(["store", "create", "./second"]).exits(0);
    let _ = env.run_with("thin", ["remote", "add", "second", "../second/signs"], b"").exits(0);
    let _ = env.run_with("thin", ["push", "second"], b"").exits(0);
    move_far_away(&env);
    let _ = env.run_with("thin", ["switch", "1.0"], b"").exits(0);
    assert_eq!(fs::read(env.path("thin/deep/big.bin")).unwrap(), noise(1, 300_000));
    let _ = env.run(["verify", "./thin"]).exits(0);
    fs::rename(env.path("second"), env.path("elsewhere/second")).unwrap();
    let said = env.run_with("thin", ["switch", "main"], b"").exits(6).stderr;
    assert!(said.contains("which can't be opened"), "{said}");
}

#[test]
fn of_several_remotes_that_have_it_one_is_asked_and_in_ranges() {
    let env = TestEnv::new();
    (0..150).for_each(|at| env.write(&format!("data/{at:03}"), noise(at, 3_000)));
    let _ = env.run(["ingest", "data", "--into", "./far/signs", "--create", "--as", "1.0"]).exits(0);
    for name in ["second", "third", "fourth"] {
        let _ = env.run(["store", "create", &format!("./{name}")]).exits(0);
    }
    let _ = env.run(["clone", "./far/signs", "thin"]).exits(0);
    let push = |to: &str| {
        let _ = env.run_with("thin", ["remote", "add", to, &format!("../{to}/signs")], b"").exits(0);
        let gets =
            env.run_with("thin", ["push", to, "--json"], b"").exits(0).document()["requests"]["get"].as_u64().unwrap();
        let _ = env.run_with("thin", ["fetch", to], b"").exits(0);
        let _ = env.run(["verify", &format!("./{to}")]).exits(0);
        gets
    };
    let alone = push("second");
    // What the second store has lies elsewhere in it than in the first, whose places the clone knows.
    let beside = push("third").max(push("fourth"));
    assert!(beside <= alone + 8, "{alone} from one, {beside} from several");
}

#[test]
fn its_remotes_are_reached_from_outside_as_it_says() {
    let mut env = with_clone();
    env.set("AWS_ACCESS_KEY_ID", "key");
    env.set("AWS_SECRET_ACCESS_KEY", "secret");
    let _ = env.run_with("thin", ["remote", "remove", "origin"], b"").exits(0);
    let lab = ["remote", "add", "lab", "s3://bucket/lab/signs", "--endpoint", "http://127.0.0.2:2"];
    let _ = env.run_with("thin", lab, b"").exits(0);
    let said = env.run(["cat", "./thin@1.0:label.txt"]).exits(6).stderr;
    assert!(said.contains("127.0.0.2:2"), "{said}");
}
