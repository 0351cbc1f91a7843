//! What stands behind a log's end: rubbish stops nobody, a record shows that records were lost, and a number's size costs nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use dagset::format::record::Record;
use dagset::store::log::record_name;

use crate::env::{Outcome, TestEnv};
use crate::hostile::bounded;
use crate::world::copy_folder;

/// A store whose newest record is 4, and its copy; nothing is kept of it on this machine.
fn stage() -> TestEnv {
    let env = TestEnv::new();
    for version in ["1", "2", "3"] {
        env.write(&format!("data/{version}"), version);
        let _ = env.run(["ingest", "data", "--into", "./store//set", "--create", "--as", version]).exits(0);
    }
    copy_folder(&env.path("store"), &env.path("copy"));
    fs::remove_dir_all(env.home(".cache/dagset")).unwrap();
    env
}

fn newest(env: &TestEnv) -> u64 {
    (1..).take_while(|number| env.path("store").join(record_name(*number)).is_file()).last().unwrap()
}

fn said(outcome: &Outcome) -> String {
    format!("{} {}", outcome.stdout, outcome.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

const STRANGERS: [fn(&Path); 5] = [
    |path| fs::write(path, "").unwrap(),
    |path| fs::create_dir_all(path.join("inner")).unwrap(),
    |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("note"), "mine").unwrap();
    },
    |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
    |path| symlink("nowhere", path).unwrap(),
];

#[test]
fn rubbish_behind_the_end_stops_nobody_is_named_and_moves_away() {
    for (which, stand) in STRANGERS.into_iter().enumerate() {
        for far in [2, 1_000, 999_995, 999_999_990] {
            let env = stage();
            let name = record_name(newest(&env) + far);
            let path = env.path("store").join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            stand(&path);
            let _ = env.run(["ls", "./store/set@3"]).exits(0);
            let _ = env.run(["gc", "./store"]).exits(0);
            let doctor = said(&env.run(["doctor", "./store"]));
            assert!(doctor.contains(&name), "{which} {name}: {doctor}");
            let verified = said(&env.run(["verify", "./store"]).exits(5));
            assert!(verified.contains(&name), "{which} {name}: {verified}");
            let mended = match far {
                2 => env.run(["doctor", "./store", "--fix"]),
                _ => env.run(["verify", "./store", "--repair-from", "./copy"]),
            };
            assert!(said(&mended.exits(0)).contains(&name), "{which} {name}");
            assert!(path.symlink_metadata().is_err(), "{which} {name}");
            let _ = env.run(["verify", "./store"]).exits(0);
            env.write("data/new", "new");
            let _ = env.run(["ingest", "data", "--into", "./store//set", "--as", "new"]).exits(0);
        }
    }
}

#[test]
fn a_record_behind_a_gap_shows_that_records_were_lost() {
    let env = stage();
    let newest = newest(&env);
    fs::remove_file(env.path("store").join(record_name(newest - 1))).unwrap();
    fs::write(env.path("store").join(record_name(newest + 4)), "rubbish").unwrap();
    let verified = said(&env.run(["verify", "./store"]).exits(5));
    for number in [newest - 1, newest + 4] {
        assert!(verified.contains(&record_name(number)), "{number}: {verified}");
    }
    let _ = env.run(["verify", "./store", "--repair-from", "./copy"]).exits(0);
    assert!(env.path("store").join(record_name(newest - 1)).is_file());
    let _ = env.run(["ls", "./store/set@3"]).exits(0);
}

#[test]
fn gaps_are_ranges_however_large_a_number_is() {
    let env = stage();
    // Without its first records a log can't be folded, and one more seems to end it far away.
    fs::remove_file(env.path("store").join(record_name(1))).unwrap();
    let far = env.path("store").join(record_name(999_999_999));
    fs::create_dir_all(far.parent().unwrap()).unwrap();
    let mut record = Record::parse(&fs::read(env.path("store").join(record_name(2))).unwrap()).unwrap();
    record.core.number = 999_999_999;
    record.earlier.clear();
    fs::write(&far, record.encode()).unwrap();
    for command in [&["verify", "./store"][..], &["verify", "./store", "--repair-from", "./copy"]] {
        let verified = bounded(&env, command).exits(5);
        assert!(said(&verified).contains("gap of 999999995 records"), "{}", said(&verified));
    }
    fs::remove_file(far).unwrap();
    let _ = env.run(["verify", "./store", "--repair-from", "./copy"]).exits(0);
}

#[test]
fn a_store_whose_log_is_gone_gets_no_new_one() {
    let lose: [fn(&Path); 3] = [
        |log| fs::remove_dir_all(log).unwrap(),
        |log| fs::remove_dir_all(log.join("000")).unwrap(),
        |log| {
            fs::remove_dir_all(log).unwrap();
            fs::create_dir_all(log.join("000/000")).unwrap();
        },
    ];
    for lose in lose {
        let env = stage();
        lose(&env.path("store/log"));
        for state in [".cache", ".local/state"] {
            fs::remove_dir_all(env.home(state)).ok();
        }
        let ingest = ["ingest", "data", "--into", "./store//set", "--create", "--as", "other"];
        for command in
            [&ingest[..], &["gc", "./store", "--grace", "0s"], &["doctor", "./store"], &["verify", "./store"]]
        {
            let told = said(&env.run(command).exits(5));
            assert!(told.contains("--repair-from"), "{command:?}: {told}");
        }
        let _ = env.run(["verify", "./store", "--repair-from", "./copy"]).exits(0);
        let _ = env.run(["ls", "./store/set@3"]).exits(0);
        let _ = env.run(ingest).exits(0);
        let _ = env.run(["verify", "./store"]).exits(0);
    }
}

#[test]
fn a_repair_says_what_a_copy_with_another_first_record_means() {
    let env = stage();
    fs::remove_dir_all(env.path("store")).unwrap();
    fs::create_dir(env.path("store")).unwrap();
    fs::copy(env.path("copy/dagset.json"), env.path("store/dagset.json")).unwrap();
    let _ = env.run(["ingest", "data", "--into", "./store//set", "--create", "--as", "1"]).exits(0);
    let told = said(&env.run(["verify", "./store", "--repair-from", "./copy"]).exits(0));
    assert!(told.contains("begins with another record"), "{told}");
}

#[test]
fn a_log_that_lost_its_end_is_told_by_what_was_written_since() {
    let env = stage();
    fs::remove_file(env.path("store").join(record_name(newest(&env)))).unwrap();
    fs::remove_file(env.path("store").join(record_name(newest(&env)))).unwrap();
    let packs = || fs::read_dir(env.path("store/packs")).unwrap().count();
    let before = packs();
    let missed = said(&env.run(["verify", "./store"]).exits(5));
    assert!(missed.contains("its end was lost"), "{missed}");
    for _ in 0..2 {
        let _ = env.run(["gc", "./store", "--grace", "0s"]);
    }
    assert_eq!(packs(), before, "what is of lost records stays");
}
