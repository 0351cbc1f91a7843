//! The newest record of a log has none behind it that tells what it must be. Rotten, it stops everybody, and is mended by what is named; gone, it
//! is missed by whoever saw it.

use std::fs;
use std::path::{Path, PathBuf};

use dagset::base::Kind;
use dagset::engine::RepairOptions;

use crate::env::TestEnv;
use crate::machine::{FAR, Machine, file_names};
use crate::stage::{copy_of, noise, objects, whole_text};
use crate::world::copy_folder;

const INGEST: [&str; 5] = ["ingest", "data", "--into", "./store//set", "--create"];

/// A store of a few versions, the last of which came by the newest record.
fn stage() -> TestEnv {
    let env = TestEnv::new();
    for version in ["1", "2", "3"] {
        publish(&env, version);
    }
    env
}

fn publish(env: &TestEnv, version: &str) {
    env.write("data/a", noise(version.len() as u64, 30_000));
    env.write("data/version", version);
    env.run([&INGEST[..], &["--as", version]].concat()).text();
}

fn copy(env: &TestEnv, to: &str) {
    copy_folder(&env.path("store"), &env.path(to));
}

fn log_of(env: &TestEnv, store: &str) -> Vec<(String, Vec<u8>)> {
    let folder = env.path(store).join("log/000/000");
    let mut log: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    log.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    log.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn newest(env: &TestEnv) -> PathBuf {
    env.path("store/log/000/000").join(&log_of(env, "store").last().unwrap().0)
}

fn rot(path: &Path) -> Vec<u8> {
    let garbage = noise(9, fs::read(path).unwrap().len());
    fs::remove_file(path).unwrap();
    fs::write(path, &garbage).unwrap();
    garbage
}

/// The user has never seen the store.
fn forget(env: &TestEnv) {
    fs::remove_dir_all(env.home(".cache/dagset")).ok();
}

fn versions(env: &TestEnv) -> usize {
    env.run(["log", "./store/set", "--json"]).json()["versions"].as_array().unwrap().len()
}

#[test]
fn a_rotten_one_is_named_by_every_command_and_comes_from_a_copy() {
    let env = stage();
    copy(&env, "copy");
    forget(&env);
    let object = format!("log/000/000/{}", log_of(&env, "store").last().unwrap().0);
    rot(&newest(&env));
    let set = "./store/set";
    let commands: [&[&str]; 8] = [
        &["ls", set],
        &["log", set],
        &["get", set, "out"],
        &INGEST,
        &["gc", "./store"],
        &["list", "./store"],
        &["audit", "./store"],
        &["doctor", "./store"],
    ];
    for command in commands {
        let refused = env.run(command).exits(5);
        let said = format!("{}{}", refused.stdout, refused.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&object), "{command:?}: {said}");
        assert!(said.contains("verify ./store --repair-from") || said.contains("store --repair-from COPY"), "{said}");
        assert!(said.contains("--fix"), "{command:?}: {said}");
    }
    let found = env.run(["verify", "./store", "--json"]).exits(5).document();
    assert!(found["findings"].to_string().contains(&object), "{found}");
    let planned = env.run(["verify", "./store", "--repair-from", "./copy", "--dry-run"]).text();
    assert!(planned.contains(&object), "{planned}");
    assert_ne!(log_of(&env, "store"), log_of(&env, "copy"), "a dry run writes nothing");
    env.run(["verify", "./store", "--repair-from", "./copy"]).text();
    assert_eq!(log_of(&env, "store"), log_of(&env, "copy"));
    assert_eq!(fs::read_dir(env.path("store/damaged")).unwrap().count(), 1, "what was damaged is kept");
    assert_eq!(versions(&env), 3);
}

#[test]
fn a_record_of_a_copy_that_went_another_way_is_not_taken() {
    let env = stage();
    copy(&env, "copy");
    publish(&env, "4");
    env.write("data/other", "other");
    env.run(["ingest", "data", "--into", "./copy//set", "--as", "5"]).text();
    assert_eq!(log_of(&env, "store").len(), log_of(&env, "copy").len());
    forget(&env);
    let garbage = rot(&newest(&env));
    drop(env.run(["verify", "./store", "--repair-from", "./copy"]).exits(5));
    assert_eq!(fs::read(newest(&env)).unwrap(), garbage);
    assert!(!env.path("store/damaged").exists());
}

#[test]
fn without_a_copy_doctor_sets_it_aside_and_work_goes_on() {
    let env = stage();
    env.run(["clone", "./store/set", "ws"]).text();
    forget(&env);
    let garbage = rot(&newest(&env));
    let before = log_of(&env, "store");
    drop(env.run(["doctor", "./store"]).exits(5));
    drop(env.run_with("ws", ["doctor", "--fix"], b"").exits(5));
    assert_eq!(log_of(&env, "store"), before, "only where the store is named");
    let number = before.len();
    let done = env.run(["doctor", "./store", "--fix"]).text();
    let said = done.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(&format!("record {number} of the log was damaged")) && said.contains("is lost"), "{said}");
    assert_eq!(log_of(&env, "store"), before[..number - 1]);
    let aside: Vec<_> = fs::read_dir(env.path("store/damaged")).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(aside.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), [garbage]);
    assert_eq!(versions(&env), 2);
    publish(&env, "3");
    env.run(["verify", "./store"]).text();
    assert_eq!(versions(&env), 3);
    let again = log_of(&env, "store");
    env.run(["doctor", "./store", "--fix"]).text();
    assert_eq!(log_of(&env, "store"), again, "what can be read stays");
}

#[test]
fn a_user_who_saw_it_has_it_put_back_by_doctor() {
    let env = stage();
    let before = log_of(&env, "store");
    rot(&newest(&env));
    env.run(["doctor", "./store", "--fix"]).text();
    assert_eq!(log_of(&env, "store"), before);
    assert_eq!(versions(&env), 3);
}

#[test]
fn who_saw_a_record_that_is_gone_says_so_and_writes_no_other_in_its_place() {
    let env = stage();
    let whole = log_of(&env, "store");
    fs::remove_file(newest(&env)).unwrap();
    let commands: [&[&str]; 4] =
        [&["ls", "./store/set"], &INGEST, &["tag", "./store/set@2", "late"], &["doctor", "./store"]];
    for command in commands {
        let refused = env.run(command).exits(5);
        let said = format!("{}{}", refused.stdout, refused.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        let gone_back = format!("has gone back from record {} to {}", whole.len(), whole.len() - 1);
        assert!(said.contains(&gone_back) && said.contains("--repair-from"), "{command:?}: {said}");
    }
    assert_eq!(log_of(&env, "store"), whole[..whole.len() - 1], "nothing was published");
    drop(env.run(["verify", "./store"]).exits(5));
    let kept = fs::read_dir(env.home(".cache/dagset/newest")).unwrap().next().unwrap().unwrap().path();
    env.run(["verify", "./store", "--repair-from", kept.to_str().unwrap()]).text();
    assert_eq!(log_of(&env, "store"), whole, "from what this user keeps");
    env.run(["verify", "./store"]).text();
    publish(&env, "4");
}

#[test]
fn several_records_that_are_gone_come_from_a_copy() {
    let env = stage();
    let before = log_of(&env, "store").len();
    publish(&env, "4");
    publish(&env, "5");
    copy(&env, "copy");
    let whole = log_of(&env, "store");
    for (name, _) in &whole[before - 1..] {
        fs::remove_file(env.path("store/log/000/000").join(name)).unwrap();
    }
    let kept = fs::read_dir(env.home(".cache/dagset/newest")).unwrap().next().unwrap().unwrap().path();
    let kept = kept.to_str().unwrap();
    drop(env.run(["verify", "./store", "--repair-from", kept]).exits(5));
    assert_eq!(log_of(&env, "store").len(), before - 1, "one record behind a gap helps nobody");
    env.run(["verify", "./store", "--repair-from", "./copy"]).text();
    assert_eq!(log_of(&env, "store"), whole);
}

#[test]
fn a_store_that_was_put_back_on_purpose_is_taken_as_it_is() {
    let env = stage();
    copy(&env, "backup");
    publish(&env, "4");
    fs::remove_dir_all(env.path("store")).unwrap();
    copy_folder(&env.path("backup"), &env.path("store"));
    drop(env.run(["ls", "./store/set"]).exits(5));
    drop(env.run(["doctor", "./store"]).exits(5));
    // What is kept of the lost end names objects that are lost too: it would make a whole store a damaged one.
    let before = log_of(&env, "store");
    drop(env.run(["verify", "./store", "--repair-from", "./backup"]));
    assert_eq!(log_of(&env, "store"), before);
    env.run(["doctor", "./store", "--fix"]).text();
    let saw = env.home(".cache/dagset/newest");
    assert!(file_names(&saw).iter().any(|name| name.ends_with(".old")), "{:?}", file_names(&saw));
    assert_eq!(versions(&env), 3);
    publish(&env, "4");
    // Who knows the record that another one stands for now is warned, and goes on.
    fs::remove_dir_all(env.path("store")).unwrap();
    copy_folder(&env.path("backup"), &env.path("store"));
    let own: Vec<_> = fs::read_dir(&saw).unwrap().map(|it| it.unwrap().path()).collect();
    let seen: Vec<_> = own.iter().map(|path| fs::read(path).unwrap()).collect();
    forget(&env);
    publish(&env, "other");
    own.iter().zip(seen).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let warned = env.run(["ls", "./store/set"]).exits(0);
    assert!(warned.stderr.contains("isn't the one that this machine has seen"), "{}", warned.stderr);
    let silent = env.run(["ls", "./store/set"]).exits(0);
    assert_eq!(silent.stderr, "");
}

#[test]
fn a_record_that_is_gone_and_whose_objects_are_there_is_put_back_by_doctor() {
    let env = stage();
    let whole = log_of(&env, "store");
    fs::remove_file(newest(&env)).unwrap();
    env.run(["doctor", "./store", "--fix"]).text();
    assert_eq!(log_of(&env, "store"), whole);
    assert_eq!(versions(&env), 3);
}

#[test]
fn the_record_of_a_collection_is_not_set_aside() {
    let env = stage();
    env.write("other/b", noise(5, 200_000));
    env.run(["ingest", "other", "--into", "./store//other", "--create"]).text();
    env.run(["dataset", "delete", "./store/other", "--yes"]).text();
    for _ in 0..2 {
        env.run(["gc", "./store", "--grace", "0s"]).text();
    }
    copy(&env, "copy");
    forget(&env);
    rot(&newest(&env));
    let before = log_of(&env, "store");
    let refused = env.run(["doctor", "./store", "--fix"]).exits(5);
    let said = format!("{}{}", refused.stdout, refused.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("of a collection or of a purge") && said.contains("--repair-from COPY"), "{said}");
    assert_eq!(log_of(&env, "store"), before);
    env.run(["verify", "./store", "--repair-from", "./copy"]).text();
    env.run(["verify", "./store"]).text();
    assert_eq!(versions(&env), 3);
}

/// This user saw a third version, the store was put back to the second, and another user made another third one.
#[test]
fn what_was_seen_before_the_store_went_another_way_is_not_put_back() {
    let env = TestEnv::new();
    publish(&env, "1");
    publish(&env, "2");
    copy(&env, "backup");
    publish(&env, "3");
    let seen = env.home(".cache/dagset");
    let mine = env.home("mine");
    fs::rename(&seen, &mine).unwrap();
    fs::remove_dir_all(env.path("store")).unwrap();
    copy_folder(&env.path("backup"), &env.path("store"));
    publish(&env, "other");
    copy(&env, "good");
    let right = log_of(&env, "store");
    fs::remove_dir_all(&seen).unwrap();
    fs::rename(&mine, &seen).unwrap();
    let mut bytes = fs::read(newest(&env)).unwrap();
    bytes[100] ^= 0xff;
    let path = newest(&env);
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    env.run(["verify", "./store", "--repair-from", "./good"]).text();
    assert_eq!(log_of(&env, "store"), right);
}

#[test]
fn a_record_of_another_log_gives_way_to_that_of_a_copy() {
    let env = stage();
    copy(&env, "copy");
    for version in ["1", "2", "3"] {
        env.write("data/more", version);
        env.run(["ingest", "data", "--into", "./second//set", "--create", "--as", version]).text();
    }
    let right = log_of(&env, "store");
    let foreign = env.path("second/log/000/000").join(&right.last().unwrap().0);
    forget(&env);
    fs::remove_file(newest(&env)).unwrap();
    fs::copy(foreign, env.path("store/log/000/000").join(&right.last().unwrap().0)).unwrap();
    drop(env.run(["ls", "./store/set"]).exits(5));
    env.run(["verify", "./store", "--repair-from", "./copy"]).text();
    assert_eq!(log_of(&env, "store"), right);
}

#[test]
fn of_a_far_store_too() {
    let machine = Machine::with_store();
    machine.publish("set", 3);
    let whole = copy_of(machine.far());
    let newest = objects(machine.far()).into_iter().rfind(|name| name.starts_with("log/")).expect("a log");
    machine.far().delete(&newest).expect("deletes");
    let (listed, _, _) = machine.try_run(Default::default(), |engine| engine.list_datasets(FAR, &Default::default()));
    let fault = listed.expect_err("it has gone back");
    assert_eq!(fault.kind(), Kind::Damaged, "{}", whole_text(&fault));
    assert!(whole_text(&fault).contains("has gone back from record"), "{}", whole_text(&fault));
    Machine::new(machine.far()).run(|engine| engine.list_datasets(FAR, &Default::default()));
    let folder = machine.path("state/newest");
    let kept = folder.join(file_names(&folder).first().expect("one is kept"));
    let options = RepairOptions { from: vec![kept.display().to_string()], ..RepairOptions::default() };
    let (repaired, _) = machine.run(|engine| engine.repair(FAR, &options));
    assert_eq!(repaired.left.findings, []);
    assert_eq!(machine.far().get(&newest).expect("is back"), whole.get(&newest).expect("was there"));
    machine.publish("set", 1);
}
