//! Hints in what one store got from another, and hints that lead to packs which are gone: whoever reads by them asks little more than who reads
//! what was ingested.

use std::collections::BTreeMap;
use std::time::Duration;

use dagset::base::Observer;
use dagset::engine::{
    Access, CommitOptions, DeleteOptions, GcOptions, GetOptions, IngestOptions, InitOptions, PushOptions,
};
use dagset::store::recording::Recording;
use dagset::store::{Bucket, backend};

use crate::machine::{FAR, Machine, address};
use crate::stage::{contents_read, noise, whole_text};

const FOLDERS: u64 = 15;
const FILES: u64 = 100;

/// An empty store at [`FAR`]: far away, or in a folder of a machine.
fn machine_with_store(is_far: bool) -> Machine {
    match is_far {
        true => Machine::with_store(),
        false => {
            let machine = Machine::new(&backend::memory());
            let folder = machine.path("near");
            let store = backend::create_folder(folder.to_str().expect("UTF-8")).expect("a folder");
            let machine = machine.facing(&store);
            machine.run(|engine| engine.create_store(FAR));
            machine
        }
    }
}

/// Many small files below `folder`; another `seed` gives other ones.
fn lay_out(machine: &Machine, folder: &str, seed: u64) {
    for number in 0..FOLDERS * FILES {
        let path = format!("{folder}/{:02}/{number:04}.bin", number / FILES);
        machine.write(&path, noise(seed << 32 | number, 2_000));
    }
}

/// What a machine that knows nothing asks for all of a version, and for one folder of it.
fn cold_gets(store: &Bucket, reference: &str) -> [u64; 2] {
    ["", ":03/"].map(|part| {
        let machine = Machine::new(store);
        let options = GetOptions { folder: machine.path("out"), ..GetOptions::default() };
        let (got, cost) =
            machine.run(|engine| engine.get(&address(&format!("{FAR}/signs{reference}{part}")), &options));
        assert_eq!(got.files, if part.is_empty() { FOLDERS * FILES } else { FILES });
        cost.requests()
    })
}

#[track_caller]
fn assert_is_as_cheap(gets: [u64; 2], ingested: [u64; 2], more: u64) {
    assert!(gets.iter().zip(ingested).all(|(get, ingested)| *get <= ingested + more), "{gets:?}, not {ingested:?}");
}

#[test]
fn what_came_from_another_store_is_got_by_as_few_requests_as_what_was_ingested() {
    for is_far in [true, false] {
        let ingester = machine_with_store(is_far);
        lay_out(&ingester, "source", 0);
        ingester.ingest("signs", "source");
        let ingested = cold_gets(ingester.far(), "");
        assert!(!is_far || ingested.iter().all(|requests| *requests <= 12), "{ingested:?}");

        let copier = machine_with_store(is_far);
        lay_out(&copier, "source", 0);
        let other = copier.path("other").to_str().expect("UTF-8").to_owned();
        let into = format!("{other}//signs");
        let options = IngestOptions { source: copier.path("source"), into, create: true, ..IngestOptions::default() };
        copier.run(|engine| engine.ingest(&options));
        let [from, to] = [&*other, FAR].map(|store| address(&format!("{store}//signs")));
        copier.run(|engine| engine.copy_dataset(&from, &to));
        assert_is_as_cheap(cold_gets(copier.far(), ""), ingested, 2);

        let pusher = machine_with_store(is_far);
        lay_out(&pusher, "work", 0);
        let dataset = Some("signs".to_owned());
        pusher.run(|engine| engine.init(&InitOptions { dataset, ..InitOptions::default() }));
        let push = |name: &str| {
            let options = CommitOptions { all: true, name: Some(name.to_owned()), ..CommitOptions::default() };
            pusher.run(|engine| engine.commit(&options));
            let to_far = PushOptions { remote: Some(format!("{FAR}//signs")), ..PushOptions::default() };
            pusher.run(|engine| engine.push(&to_far));
        };
        push("1");
        assert_is_as_cheap(cold_gets(pusher.far(), "@1"), ingested, 2);
        for number in 0..5 {
            pusher.write(&format!("work/{:02}/{:04}.bin", 3 * number, 3 * number * FILES), noise(number, 2_001));
        }
        push("2");
        // Leaves and contents lie in one more pack each; a folder's files are read one by one.
        let more = if is_far { 4 } else { 60 };
        assert_is_as_cheap(cold_gets(pusher.far(), "@2"), ingested, more);
        assert_is_as_cheap(cold_gets(pusher.far(), "@1"), ingested, more);
    }
}

/// Three packs of small files and of large ones, of which a collection has let half go: the hints of what is left name the packs that were there before.
fn store_of_stale_hints(is_far: bool) -> Machine {
    let machine = machine_with_store(is_far);
    for part in 0..3 {
        for number in 0..200 {
            let bytes = noise(part << 16 | number, 2_000);
            if number % 2 == 0 {
                machine.write(&format!("some/{part}/{number:03}.bin"), bytes.clone());
            }
            machine.write(&format!("all/{part}/{number:03}.bin"), bytes);
        }
        machine.write(&format!("all/{part}/let-go"), noise(part << 16 | 1_000, 12 << 20));
        let large = noise(part << 16 | 1_001, 9 << 20);
        machine.write(&format!("some/{part}/large"), large.clone());
        machine.write(&format!("all/{part}/large"), large);
        machine.ingest("all", "all");
    }
    machine.ingest("signs", "some");
    machine.run(|engine| engine.delete_dataset(&address(&format!("{FAR}/all")), &DeleteOptions::default()));
    let options = GcOptions { grace: Duration::ZERO, dry_run: false };
    (0..2).for_each(|_| drop(machine.run(|engine| engine.gc(&address(FAR), &options))));
    machine
}

#[test]
fn of_a_pack_that_is_gone_nothing_is_asked_twice() {
    for is_far in [true, false] {
        let maker = store_of_stale_hints(is_far);
        let is_there = |name: &str| maker.far().size(name).expect("asked").is_some();
        let fresh = machine_with_store(is_far);
        fresh.ingest("signs", maker.path("some").to_str().expect("UTF-8"));
        let got_from = |store: &Bucket| {
            let recording = Recording::keeping_calls(store.clone(), Observer::new());
            let machine = Machine::new(&recording.bucket());
            let mut engine = machine.engine(Access::default());
            engine.settings.jobs = 4;
            let options = GetOptions { folder: machine.path("out"), ..GetOptions::default() };
            let got = engine.get(&address(&format!("{FAR}/signs")), &options);
            got.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
            assert_eq!(contents_read(&machine.path("out")), contents_read(&maker.path("some")));
            recording.take_calls()
        };
        let calls = got_from(maker.far());
        let mut vain: BTreeMap<&str, usize> = BTreeMap::new();
        for call in calls.iter().filter(|call| call.name.starts_with("packs/") || call.name.starts_with("meta/")) {
            if !is_there(&call.name) {
                *vain.entry(&call.name).or_default() += 1;
            }
        }
        // Who reads first decides how many of the packs that are gone are asked for before the indexes are read.
        assert!(!vain.is_empty(), "the hints are stale: {} calls", calls.len());
        assert!(vain.values().all(|times| *times == 1), "{vain:?}");
        let usual = got_from(fresh.far()).len();
        // Packs that were written anew lie otherwise than fresh ones.
        assert!(calls.len() <= usual + usual / 10 + vain.len() + 8, "{} calls where {usual} are usual", calls.len());
    }
}
