//! A purge that is cut off, is not alone, or meets a writer that is under way.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dagset::base::{Error, Id, Kind};
use dagset::engine::{Address, Engine, Opener, PurgeOptions, PurgeReport, Reason, RepairOptions};
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::{Bucket, Verb, backend};
use rustix::process::{Pid, Signal, kill_process};

use crate::env::TestEnv;
use crate::stage::{
    STORE, assert_comes_back, copy_of, engine, findings, get, ingest, lay_out, noise, objects, serving, whole_text,
};
use crate::steered::Steered;

fn options(contents: &[Id]) -> PurgeOptions {
    PurgeOptions {
        patterns: Vec::new(),
        contents: contents.to_vec(),
        condition: None,
        reason: Reason::new("it leaked").expect("a reason"),
        force: false,
        dry_run: false,
    }
}

fn purge(engine: &Engine, contents: &[Id]) -> dagset::base::Result<PurgeReport> {
    engine.purge(&Address::parse(STORE, None).expect("an address"), &options(contents))
}

/// A store in memory with two datasets, the contents of one that are to go, small and large, and the folders.
fn begin() -> (Bucket, [Id; 2], tempfile::TempDir) {
    let folders = tempfile::tempdir().expect("a folder");
    let bucket = backend::memory();
    let engine = serving(&bucket);
    engine.create_store(STORE).expect("creates");
    for (name, seed) in [("kept", 1), ("purged", 2)] {
        lay_out(&folders.path().join(name), seed);
        if name == "purged" {
            fs::write(folders.path().join("purged/large.bin"), noise(7, 400_000)).expect("writes");
            fs::write(folders.path().join("purged/small.txt"), noise(8, 900)).expect("writes");
        }
        ingest(&engine, &folders.path().join(name), &format!("/store//{name}"), None).expect("ingests");
    }
    (bucket, [Id::of(&noise(7, 400_000)), Id::of(&noise(8, 900))], folders)
}

/// Bytes of all packs.
fn pack_bytes(bucket: &Bucket) -> u64 {
    let packs = objects(bucket).into_iter().filter(|name| name.starts_with("packs/"));
    packs.map(|name| bucket.get(&name).expect("is listed").len() as u64).sum()
}

#[test]
fn a_purge_is_cut_off_at_every_call_and_the_next_one_ends_its_work() {
    let (base, contents, folders) = begin();
    let wanted = copy_of(&base);
    purge(&serving(&wanted), &contents).expect("purges");
    assert!(pack_bytes(&wanted) + 400_900 <= pack_bytes(&base));
    let counting = Faulty::new(copy_of(&base));
    purge(&serving(&counting.bucket()), &contents).expect("purges");
    let kinds = |bucket: &Bucket| {
        let folder = |name: &String| name.split('/').next().unwrap_or_default().to_owned();
        objects(bucket).iter().map(folder).filter(|it| !it.starts_with("check-")).collect::<Vec<_>>()
    };
    for call in 1..=counting.calls() {
        for fault in [Fault::Before, Fault::After] {
            let what = format!("call {call}: {fault:?}");
            let healthy = copy_of(&base);
            let faulty = Faulty::new(healthy.clone());
            faulty.plan(Plan::at(call, fault).and_power_loss());
            let _ = purge(&serving(&faulty.bucket()), &contents);
            let engine = serving(&healthy);
            assert_eq!(findings(&engine, STORE), [""; 0], "{what}");
            assert_comes_back(&engine, "/store//kept", &folders.path().join("kept"));
            purge(&engine, &contents).unwrap_or_else(|fault| panic!("{what}: {}", whole_text(&fault)));
            assert_eq!(findings(&engine, STORE), [""; 0], "{what}");
            assert_eq!(pack_bytes(&healthy), pack_bytes(&wanted), "{what}");
            assert_eq!(kinds(&healthy), kinds(&wanted), "{what}");
            assert_comes_back(&engine, "/store//kept", &folders.path().join("kept"));
        }
    }
}

#[test]
fn two_purges_at_once_do_both() {
    let (base, contents, folders) = begin();
    for same in [true, false] {
        let bucket = copy_of(&base);
        let each = if same { [contents.to_vec(), contents.to_vec()] } else { contents.map(|id| vec![id]) };
        std::thread::scope(|scope| {
            let purges = each.map(|some| {
                scope.spawn({
                    let bucket = bucket.clone();
                    move || purge(&serving(&bucket), &some).map(drop)
                })
            });
            for purge in purges {
                purge.join().expect("no panic").unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
            }
        });
        let engine = serving(&bucket);
        assert_eq!(findings(&engine, STORE), [""; 0]);
        assert_eq!(engine.verify_store(STORE, None).expect("verifies").purged, 2);
        assert_comes_back(&engine, "/store//kept", &folders.path().join("kept"));
        let again = purge(&engine, &contents).expect("purges");
        assert_eq!((again.record, again.deleted_objects), (None, 0), "nothing is left to do");
    }
}

#[test]
fn what_is_damaged_stops_a_purge_before_anything_is_written() {
    let (bucket, contents, _folders) = begin();
    let kept: Vec<String> = objects(&bucket).into_iter().filter(|name| name.starts_with("meta/")).collect();
    bucket.delete(&kept[0]).expect("deletes");
    let before = objects(&bucket);
    assert_eq!(purge(&serving(&bucket), &contents).expect_err("damage").kind(), Kind::Damaged);
    assert_eq!(objects(&bucket), before);
}

#[test]
fn a_writer_under_way_with_the_same_content_is_refused() {
    let env = TestEnv::new();
    env.write("data/large.bin", noise(2, 3_000_000));
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1.0"]).exits(0);
    env.write("much/0-large.bin", noise(2, 3_000_000));
    for number in 1..40 {
        env.write(&format!("much/{number}.bin"), noise(100 + number, 2_000_000));
    }
    let packs = || fs::read_dir(env.path("store/packs")).unwrap().count();
    let before = packs();
    let mut command = env.command();
    command.args(["ingest", "much", "--into", "./store/set", "--branch", "slow", "--jobs", "1", "-v"]);
    let writer = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&writer);
    while packs() == before {
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(pid, Signal::STOP).unwrap();
    let _ = env.run(["purge", "./store/set@1.0", "large.bin", "--reason", "it leaked", "--yes"]).exits(0);
    kill_process(pid, Signal::CONT).unwrap();
    let ended = writer.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{said}");
    assert!(said.contains("0-large.bin") && said.contains("it leaked"), "{said}");
    let _ = env.run(["get", "./store/set@slow", "out"]).exits(3);
    assert_eq!(env.run(["verify", "./store", "--json"]).json()["purged"], 1);
    fs::remove_file(env.path("much/0-large.bin")).unwrap();
    let _ = env.run(["ingest", "much", "--into", "./store/set", "--branch", "slow"]).exits(0);
    let _ = env.run(["verify", "./store"]).exits(0);
}

#[test]
fn who_reads_while_it_is_purged_is_told_so() {
    let (base, contents, _folders) = begin();
    let mut told = 0;
    for at in 0.. {
        let bucket = copy_of(&base);
        let (ranges, beside) = (AtomicUsize::new(0), bucket.clone());
        let reading = Steered::reading_ranges(&bucket, move |_| {
            if ranges.fetch_add(1, Ordering::Relaxed) == at {
                purge(&serving(&beside), &contents).expect("purges");
            }
        });
        let out = tempfile::tempdir().expect("a folder");
        let got = get(&serving(&reading), "/store//purged", out.path());
        if objects(&bucket) == objects(&base) {
            got.expect("nothing was purged");
            break;
        }
        if let Err(fault) = got {
            let said = whole_text(&fault);
            assert!(said.contains("it was purged by record") && said.contains("it leaked"), "range {at}: {said}");
            told += 1;
        }
        let again = tempfile::tempdir().expect("a folder");
        get(&serving(&bucket), "/store//purged", again.path()).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
    }
    assert!(told > 0, "some of it was still to be read");
}

#[test]
fn a_repair_does_not_bring_back_what_a_purge_was_taking_out() {
    let (base, contents, folders) = begin();
    let cut_off = Faulty::new(base.clone());
    // Behind the record, before anything is deleted. The first deletion is that of the clock's object.
    cut_off.plan(Plan::at(2, Fault::Before).of(Verb::Delete).and_power_loss());
    purge(&serving(&cut_off.bucket()), &contents).expect_err("the power is gone");
    assert_eq!(serving(&base).verify_store(STORE, None).expect("verifies").purged, 2, "it was recorded");
    for index in objects(&base).iter().filter(|name| name.starts_with("index/")) {
        base.delete(index).expect("deletes");
    }
    let other = backend::memory();
    serving(&other).create_store(STORE).expect("creates");
    let store = base.clone();
    let engine = engine(Opener::new(move |root, _| match root {
        STORE => Ok(store.clone()),
        "/other" => Ok(other.clone()),
        root => Err(Error::not_found(format!("no such folder: {root}"))),
    }));
    let options = RepairOptions { from: vec!["/other".to_owned()], ..RepairOptions::default() };
    let repaired = engine.repair(STORE, &options).expect("mends");
    assert_eq!(repaired.left.findings, []);
    assert_comes_back(&engine, "/store//kept", &folders.path().join("kept"));
    let ended = purge(&engine, &contents).expect("ends");
    assert_eq!((ended.record, ended.rewritten_packs), (None, 0), "no index names it");
    assert_eq!(findings(&engine, STORE), [""; 0]);
}
