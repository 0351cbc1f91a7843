//! Large files from a store in a folder: written as they are read, and verified as a whole.

use std::fs;
use std::path::Path;

use dagset::base::{Kind, Observer};
use dagset::engine::Engine;
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::recording::{Call, Recording};
use dagset::store::{Bucket, Verb, backend};

use crate::env::TestEnv;
use crate::gc_bases::packs;
use crate::stage::{get, ingest, noise, serving, whole_text};

const INTO: &str = "/store//signs";
const BYTES: usize = 9_000_000;

/// Noise, what shrinks, and a piece of many small chunks that share frames.
fn large() -> Vec<u8> {
    let mut bytes = noise(1, BYTES / 2);
    bytes.extend((0u32..).flat_map(|row| format!("{row},{},label\n", row * 7919 % 1009).into_bytes()).take(BYTES / 2));
    bytes
}

/// A store in a folder with a large file.
fn stored(root: &Path) -> Bucket {
    let source = root.join("source");
    fs::create_dir(&source).expect("a folder");
    fs::write(source.join("large.bin"), large()).expect("writes");
    let place = root.join("store");
    let bucket = backend::create_folder(place.to_str().expect("is text")).expect("a folder");
    ingest(&serving(&bucket), &source, INTO, None).expect("ingests");
    bucket
}

fn ranges(calls: &[Call]) -> Vec<&Call> {
    calls.iter().filter(|call| call.verb == Verb::GetRange).collect()
}

fn of_packs(calls: &[Call]) -> usize {
    ranges(calls).iter().filter(|call| call.name.starts_with("packs/")).count()
}

fn got(engine: &Engine, out: &Path) -> Vec<u8> {
    get(engine, INTO, out).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
    fs::read(out.join("large.bin")).expect("is there")
}

#[test]
fn a_large_file_is_read_once_and_once_more_where_a_piece_of_it_came_wrong() {
    let root = tempfile::tempdir().expect("a folder");
    let bucket = stored(root.path());
    let healthy = Recording::keeping_calls(bucket.clone(), Observer::new());
    assert!(got(&serving(&healthy.bucket()), &root.path().join("out")) == large());
    let calls = healthy.take_calls();
    let (frames, all) = (of_packs(&calls), ranges(&calls).len());
    assert!(frames > 50, "{frames}");
    let read = |call: usize| {
        let faulty = Faulty::new(bucket.clone());
        faulty.plan(Plan::at(call as u64, Fault::Flip { offset: 7_000 }).of(Verb::GetRange));
        let recording = Recording::keeping_calls(faulty.bucket(), Observer::new());
        assert!(got(&serving(&recording.bucket()), &root.path().join(format!("out-{call}"))) == large());
        of_packs(&recording.take_calls())
    };
    // A frame of metadata, or one that can't be decoded, is read again at once; for one that is only wrong, all that wasn't kept decoded.
    let reads: Vec<usize> = (1..=all).step_by(9).map(read).collect();
    assert!(reads.iter().all(|read| *read <= 2 * frames), "{reads:?} frames are read for {frames}");
    assert!(
        reads.iter().filter(|read| **read > frames + frames / 2).count() > 2,
        "{reads:?} frames are read for {frames}"
    );
}

#[test]
fn a_damaged_frame_is_named_and_no_file_appears() {
    let root = tempfile::tempdir().expect("a folder");
    let bucket = stored(root.path());
    let pack = fs::read_dir(root.path().join("store/packs")).expect("lists").next().expect("a pack").expect("lists");
    let whole = fs::read(pack.path()).expect("is there");
    for byte in [100_000, BYTES / 2 - 100_000, whole.len() - 20_000] {
        let mut bytes = whole.clone();
        bytes[byte] ^= 4;
        fs::write(pack.path(), bytes).expect("writes");
        let out = root.path().join("out");
        let fault = get(&serving(&bucket), INTO, &out).expect_err("is damaged");
        let text = whole_text(&fault);
        assert_eq!(fault.kind(), Kind::Damaged, "{text}");
        assert!(text.contains(pack.file_name().to_str().expect("is text")) && text.contains("large.bin"), "{text}");
        assert!(text.contains("verify"), "{text}");
        assert!(!out.join("large.bin").exists(), "byte {byte}");
        fs::write(pack.path(), &whole).expect("writes");
        assert!(got(&serving(&bucket), &out) == large());
        fs::remove_dir_all(&out).expect("removes");
    }
}

#[test]
fn of_two_copies_the_good_one_is_taken_with_a_cache_and_without() {
    let env = TestEnv::new();
    let shared = noise(1, 600_000);
    env.write("kept/shared.bin", &shared);
    env.write("left/shared.bin", &shared);
    env.write("left/other.bin", noise(2, 50_000));
    let _ = env.run(["ingest", "kept", "--into", "./store/kept", "--create"]).exits(0);
    // Condemned, its content is stored anew by the next; then it comes back.
    let _ = env.run(["branch", "-d", "./store/kept", "main", "--force"]).exits(0);
    let deletion = env.run(["oplog", "./store", "--json"]).json()["records"][0]["record"].to_string();
    let _ = env.run(["gc", "./store", "--grace", "0s"]).exits(0);
    let _ = env.run(["ingest", "left", "--into", "./store/left", "--create"]).exits(0);
    let _ = env.run(["undo", "./store", &deletion]).exits(0);
    assert_eq!(packs(&env), 2, "the content lies in two packs");
    for pack in fs::read_dir(env.path("store/packs")).unwrap().map(|entry| entry.unwrap().path()) {
        let whole = fs::read(&pack).unwrap();
        let mut bytes = whole.clone();
        bytes[300_000] ^= 1;
        fs::write(&pack, bytes).unwrap();
        for dataset in ["./store/kept", "./store/left"] {
            for options in ["--no-cache", "--cache=fresh --link=hardlink"] {
                let _ = env.run(["get", dataset, "out"].into_iter().chain(options.split(' '))).exits(0);
                assert!(fs::read(env.path("out/shared.bin")).unwrap() == shared, "{dataset} {options}");
                fs::remove_dir_all(env.path("out")).unwrap();
            }
            fs::remove_dir_all(env.path("fresh")).unwrap();
        }
        fs::write(&pack, whole).unwrap();
    }
}
