//! `prune --pushed`: what a remote can give back leaves the store of a workspace, and nothing else does.

use std::fs;
use std::path::Path;

use dagset::engine::{Engine, Opener};
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::{Bucket, Verb, backend};

use crate::env::{TestEnv, everything_below};
use crate::stage::{engine, noise};
use crate::steered::Steered;

const STORE: &str = "ws/.dagset/store";

/// Bytes of the data packs in the workspace's store.
fn data_bytes(env: &TestEnv) -> u64 {
    let files = everything_below(&env.path(&format!("{STORE}/packs")));
    files.iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// A workspace with a version that was pushed, and one behind it that wasn't.
fn stage() -> TestEnv {
    let env = TestEnv::new();
    let mut big = noise(1, 2_000_000);
    env.write("ws/big.bin", &big);
    env.write("ws/old.txt", noise(2, 5_000));
    env.write("ws/gone.bin", noise(4, 1_000_000));
    env.run_with("ws", ["init"], b"").text();
    env.run_with("ws", ["commit", "-a", "-m", "one", "--as", "1.0"], b"").text();
    env.run(["store", "create", "./far"]).text();
    env.run_with("ws", ["remote", "add", "origin", "../far/ws"], b"").text();
    env.run_with("ws", ["push", "origin"], b"").text();
    fs::remove_file(env.path("ws/gone.bin")).unwrap();
    // A frame of this is based on what was pushed.
    big[1_000_000] ^= 1;
    env.write("ws/big.bin", &big);
    env.write("ws/new.bin", noise(3, 400_000));
    env.run_with("ws", ["commit", "-a", "-m", "two", "--as", "2.0"], b"").text();
    env
}

fn prune(env: &TestEnv) -> serde_json::Value {
    env.run_with("ws", ["prune", "--pushed", "--json"], b"").json()
}

#[test]
fn nothing_goes_that_an_unpushed_version_needs() {
    let env = stage();
    let before = data_bytes(&env);
    let planned = env.run_with("ws", ["prune", "--pushed", "--dry-run", "--json"], b"").json();
    assert_eq!((data_bytes(&env), &planned["unpushed_versions"]), (before, &1.into()), "{planned}");
    let done = prune(&env);
    assert!(
        data_bytes(&env) + 900_000 < before,
        "gone.bin is at the remote, and no version here alone needs it: {done}"
    );
    assert_eq!(done["freed_bytes"], before - data_bytes(&env));
    fs::rename(env.path("far"), env.path("away")).unwrap();
    env.run_with("ws", ["get", "2.0", "../out"], b"").text();
    assert_eq!(fs::read(env.path("out/big.bin")).unwrap(), fs::read(env.path("ws/big.bin")).unwrap());
    assert_eq!(fs::read(env.path("out/new.bin")).unwrap(), noise(3, 400_000));
}

#[test]
fn what_was_pushed_is_borrowed_from_then_on() {
    let env = stage();
    env.run_with("ws", ["push", "origin"], b"").text();
    let before = data_bytes(&env);
    let done = prune(&env);
    assert_eq!((&done["unpushed_versions"], data_bytes(&env)), (&0.into(), 0), "{done} of {before}");
    assert_eq!(done["freed_bytes"], before);
    env.run_with("ws", ["verify"], b"").text();
    assert_eq!(prune(&env)["packs"], 0, "again there is nothing to free");
    env.run_with("ws", ["get", "1.0", "../one"], b"").text();
    assert_eq!(fs::read(env.path("one/big.bin")).unwrap(), noise(1, 2_000_000));
    env.run_with("ws", ["diff", "1.0", "2.0"], b"").text();
    env.run_with("ws", ["switch", "1.0"], b"").text();
    env.run_with("ws", ["switch", "main"], b"").text();
    env.write("ws/third.txt", "three\n");
    env.run_with("ws", ["commit", "-a", "-m", "three", "--as", "3.0"], b"").text();
    env.run(["store", "create", "./second"]).text();
    env.run_with("ws", ["remote", "add", "second", "../second/ws"], b"").text();
    env.run_with("ws", ["push", "second"], b"").text();
    env.run(["verify", "./second"]).text();
    env.run(["get", "./second/ws@3.0", "three"]).text();
    assert_eq!(fs::read(env.path("three/new.bin")).unwrap(), noise(3, 400_000));
    env.run_with("ws", ["remote", "remove", "second"], b"").text();
    fs::rename(env.path("far"), env.path("away")).unwrap();
    // What was borrowed once is in the user's cache.
    fs::remove_dir_all(env.home(".cache/dagset/files")).unwrap();
    let refused = env.run_with("ws", ["get", "1.0", "../again"], b"").exits(6);
    assert!(refused.stderr.contains("far/ws") && refused.stderr.contains("remote check origin"), "{}", refused.stderr);
    drop(env.run_with("ws", ["prune", "--pushed"], b"").exits(3));
}

#[test]
fn what_the_remote_lost_stays() {
    let env = stage();
    env.run_with("ws", ["push", "origin"], b"").text();
    let before = data_bytes(&env);
    let (packs, aside) = (env.path("far/packs"), env.path("far/aside"));
    fs::rename(&packs, &aside).unwrap();
    assert_eq!((&prune(&env)["packs"], data_bytes(&env)), (&0.into(), before), "the packs aren't there");
    fs::rename(&aside, &packs).unwrap();
    assert!(prune(&env)["packs"].as_u64() > Some(0), "now they are");
}

#[test]
fn a_store_that_others_may_use_is_not_thinned() {
    let env = TestEnv::new();
    env.run(["store", "create", "./home"]).text();
    env.write("ws/a", "a\n");
    env.run_with("ws", ["init", "--store", "../home"], b"").text();
    let refused = env.run_with("ws", ["prune", "--pushed"], b"").exits(2);
    assert!(refused.stderr.contains("isn't embedded"), "{}", refused.stderr);
    drop(env.run_with("ws", ["prune"], b"").exits(2));
    env.write("own/a", "a\n");
    env.run_with("own", ["init"], b"").text();
    drop(env.run_with("own", ["prune", "--pushed"], b"").exits(3));
}

/// An engine in the workspace whose embedded store is this bucket.
fn in_workspace(root: &Path, bucket: Bucket) -> Engine {
    let mut engine = engine(Opener::new(move |root, _| match root.ends_with(STORE) {
        true => Ok(bucket.clone()),
        false => backend::open_folder(root),
    }));
    engine.settings.folder = root.join("ws");
    engine
}

#[test]
fn a_thinning_that_is_cut_off_at_any_call_is_ended_by_the_same_command() {
    let base = stage();
    let copy = |root: &Path| {
        let copied = std::process::Command::new("/bin/cp").arg("-a").arg(base.path(".")).arg(root).status().unwrap();
        assert!(copied.success());
    };
    let open = |root: &Path| Faulty::new(backend::open_folder(root.join(STORE).to_str().unwrap()).unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let whole = scratch.path().join("whole");
    copy(&whole);
    let faulty = open(&whole);
    let wanted = in_workspace(&whole, faulty.bucket()).prune_pushed(false).unwrap();
    assert!(wanted.thinned.packs > 0, "{wanted:?}");
    for (verb, calls) in [Verb::Create, Verb::Delete].map(|verb| (verb, faulty.calls_of(verb))) {
        assert!(calls > 0, "{verb:?}");
        for (call, fault) in (1..=calls).flat_map(|call| [(call, Fault::Before), (call, Fault::After)]) {
            let what = format!("{verb:?} {call} {fault:?}");
            let root = scratch.path().join("try");
            copy(&root);
            let faulty = open(&root);
            faulty.plan(Plan::at(call, fault).of(verb).and_power_loss());
            in_workspace(&root, faulty.bucket()).prune_pushed(false).expect_err("the power is gone");
            faulty.revive();
            let again = in_workspace(&root, faulty.bucket());
            again.prune_pushed(false).unwrap_or_else(|fault| panic!("{what}: {fault}"));
            assert_eq!(again.prune_pushed(true).unwrap().thinned.packs, 0, "{what}");
            let store = root.join(STORE);
            let report = again.verify_store(store.to_str().unwrap(), None).unwrap();
            assert_eq!(report.findings, [], "{what}");
            fs::remove_dir_all(&root).unwrap();
        }
    }
}

#[test]
fn what_only_grace_keeps_at_the_remote_stays_when_a_cut_off_thinning_is_ended() {
    let env = stage();
    env.run_with("ws", ["push", "origin"], b"").text();
    let before = data_bytes(&env);
    let faulty = Faulty::new(backend::open_folder(env.path(STORE).to_str().unwrap()).unwrap());
    // The first deletion is behind the record that takes the packs out.
    faulty.plan(Plan::at(1, Fault::Before).of(Verb::Delete).and_power_loss());
    in_workspace(&env.path("."), faulty.bucket()).prune_pushed(false).expect_err("the power is gone");
    env.run(["dataset", "delete", "./far/ws", "--yes"]).text();
    let done = prune(&env);
    assert!(done["kept_packs"].as_u64() > Some(0), "{done}");
    assert_eq!((data_bytes(&env), &done["unpushed_versions"]), (before, &2.into()), "{done}");
    env.run(["gc", "./far", "--grace", "0s"]).text();
    env.run(["gc", "./far", "--grace", "0s"]).text();
    env.run_with("ws", ["verify", "--local"], b"").text();
    env.run_with("ws", ["get", "1.0", "../one"], b"").text();
    assert_eq!(fs::read(env.path("one/gone.bin")).unwrap(), noise(4, 1_000_000));
    env.run_with("ws", ["get", "2.0", "../two"], b"").text();
    assert_eq!(fs::read(env.path("two/new.bin")).unwrap(), noise(3, 400_000));
}

#[test]
fn what_the_remote_loses_before_the_deletion_stays() {
    let env = stage();
    env.run_with("ws", ["push", "origin"], b"").text();
    let before = data_bytes(&env);
    let (packs, away) = (env.path("far/packs"), env.path("away"));
    let home = backend::open_folder(env.path(STORE).to_str().unwrap()).unwrap();
    // When the record is written all was looked at.
    let home = Steered::bucket(&home, move |name| {
        if name.starts_with("log/") {
            fs::rename(&packs, &away).ok();
        }
    });
    let report = in_workspace(&env.path("."), home).prune_pushed(false).unwrap();
    assert!(env.path("away").exists() && report.thinned.kept_packs > 0, "{report:?}");
    assert_eq!((data_bytes(&env), report.thinned.freed_bytes), (before, 0), "{report:?}");
    fs::remove_dir_all(env.path("far")).unwrap();
    env.run_with("ws", ["verify", "--local"], b"").text();
    env.run_with("ws", ["get", "1.0", "../one"], b"").text();
    assert_eq!(fs::read(env.path("one/big.bin")).unwrap(), noise(1, 2_000_000));
    env.run_with("ws", ["get", "2.0", "../two"], b"").text();
    assert_eq!(fs::read(env.path("two/new.bin")).unwrap(), noise(3, 400_000));
}
