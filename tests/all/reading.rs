//! Reading from a far store: few requests for what lies together, right however a request goes wrong.

use std::path::Path;

use dagset::base::{Counter, Observer};
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::recording::{Call, Recording};
use dagset::store::{Bucket, Verb, backend};

use crate::stage::{assert_comes_back, contents, get, ingest, noise, serving, whole_text};

const INTO: &str = "/store//signs";
const MIB: usize = 1 << 20;

/// 3,000 small files, ten of a few chunks, and one that is read piece by piece: 29 MiB, which don't shrink.
fn lay_out(folder: &Path) {
    for number in 0..3_000 {
        let path = folder.join(format!("{:02}/{number:04}.bin", number % 20));
        std::fs::create_dir_all(path.parent().expect("is below the folder")).expect("a folder");
        std::fs::write(path, noise(number, 2_000)).expect("writes");
    }
    for number in 0..10 {
        std::fs::write(folder.join(format!("middle-{number}")), noise(10_000 + number, 500_000)).expect("writes");
    }
    std::fs::write(folder.join("large"), noise(20_000, 18 * MIB)).expect("writes");
}

fn stored(source: &Path) -> Bucket {
    let bucket = backend::memory();
    ingest(&serving(&bucket), source, INTO, None).expect("ingests");
    bucket
}

/// Requests for packs of content.
fn of_packs(calls: &[Call]) -> Vec<&Call> {
    calls.iter().filter(|call| call.name.starts_with("packs/")).collect()
}

#[test]
fn what_lies_together_comes_in_few_requests() {
    let source = tempfile::tempdir().expect("a folder");
    lay_out(source.path());
    let recording = Recording::keeping_calls(stored(source.path()), Observer::new());
    let engine = serving(&recording.bucket());
    recording.take_calls();
    assert_comes_back(&engine, INTO, source.path());
    let calls = recording.take_calls();
    // Runs of 8 MiB, and the large file in pieces of 4 MiB; a run's frames may lie on both sides of another's.
    assert!(of_packs(&calls).len() <= 16, "{:#?}", of_packs(&calls));
    assert!(calls.len() <= 40, "{} requests", calls.len());
    let bytes: u64 = of_packs(&calls).iter().map(|call| call.bytes).sum();
    assert!(bytes < 32 * MIB as u64, "{bytes} bytes of packs");
}

#[test]
fn one_file_is_got_by_its_range() {
    let source = tempfile::tempdir().expect("a folder");
    lay_out(source.path());
    let bucket = stored(source.path());
    // The large one in five pieces, each with a frame of small chunks that may lie apart.
    for (path, most_bytes, most_requests) in
        [("07/0007.bin", 300_000, 1), ("middle-3", 900_000, 1), ("large", 19 * MIB, 10)]
    {
        let recording = Recording::keeping_calls(bucket.clone(), Observer::new());
        let engine = serving(&recording.bucket());
        let out = tempfile::tempdir().expect("a folder");
        get(&engine, &format!("{INTO}:{path}"), out.path()).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        let calls = recording.take_calls();
        let bytes: u64 = of_packs(&calls).iter().map(|call| call.bytes).sum();
        assert!(bytes <= most_bytes as u64, "{path}: {bytes} bytes");
        assert!(of_packs(&calls).len() <= most_requests, "{path}: {:#?}", of_packs(&calls));
        assert_eq!(engine.observer.get(Counter::Files), 1);
    }
}

#[test]
fn a_range_that_came_wrong_is_read_anew() {
    let source = tempfile::tempdir().expect("a folder");
    lay_out(source.path());
    let bucket = stored(source.path());
    let expected = contents(source.path());
    let healthy = Faulty::new(bucket.clone());
    assert_comes_back(&serving(&healthy.bucket()), INTO, source.path());
    let ranges = healthy.calls_of(Verb::GetRange);
    for fault in [Fault::Flip { offset: 70_000 }, Fault::Short] {
        for call in (1..=ranges).step_by(2) {
            let faulty = Faulty::new(bucket.clone());
            faulty.plan(Plan::at(call, fault).of(Verb::GetRange));
            let out = tempfile::tempdir().expect("a folder");
            get(&serving(&faulty.bucket()), INTO, out.path()).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
            assert_eq!(contents(out.path()), expected, "{fault:?} of call {call} of {ranges}");
        }
    }
    let faulty = Faulty::new(bucket);
    faulty.plan(Plan::at(6, Fault::Before).of(Verb::GetRange).and_power_loss());
    let out = tempfile::tempdir().expect("a folder");
    get(&serving(&faulty.bucket()), INTO, out.path()).expect_err("the store is gone");
    assert!(contents(out.path()).iter().all(|(path, what)| expected.get(path).is_none_or(|right| right == what)));
    faulty.revive();
    get(&serving(&faulty.bucket()), INTO, out.path()).expect("goes on");
    assert_eq!(contents(out.path()), expected);
}
