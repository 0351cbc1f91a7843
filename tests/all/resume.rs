//! Long work that is cut off goes on where it was: what was registered is not sent again, within one huge file too.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use dagset::base::{Counter, Error, Observer};
use dagset::engine::{CloneOptions, Missing, Often, Opener, PushOptions};
use dagset::format::store_file::StoreFile;
use dagset::history::timeline::Timeline;
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::locate::STORE_FILE;
use dagset::store::{Bucket, Verb, backend};

use crate::stage::{STORE, assert_comes_back, engine, findings, ingest, noise, serving};
use crate::steered::Steered;

const INTO: &str = "/store//signs";
const MIB: u64 = 1 << 20;
/// Four packs and a part of one.
const HUGE: u64 = 136 * MIB;

const WITH_EACH_PACK: Often = Often { bytes: 1, time: Duration::ZERO };
const NEVER: Often = Often { bytes: u64::MAX, time: Duration::MAX };

fn huge_file() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("huge.bin"), noise(1, HUGE as usize)).expect("writes");
    folder
}

fn empty_store() -> Bucket {
    let bucket = backend::memory();
    serving(&bucket).create_store(STORE).expect("a store");
    bucket
}

/// Bytes of packs that the log speaks of, and how many records it has.
fn registered(bucket: &Bucket) -> (u64, u64) {
    let file = StoreFile::parse(&bucket.get(STORE_FILE).expect("is there"), STORE).expect("a store's file");
    let timeline = Timeline::open(bucket.clone(), file.store, Observer::new()).expect("a log");
    let fold = timeline.fold();
    (fold.indexes.values().map(|row| row.pack_bytes).sum(), fold.number)
}

#[test]
fn a_huge_file_that_was_cut_off_is_not_sent_again() {
    let source = huge_file();
    let mut most_kept = 0;
    for cut_at in [5, 8] {
        let bucket = empty_store();
        let faulty = Faulty::new(bucket.clone());
        faulty.plan(Plan::at(cut_at, Fault::Before).of(Verb::Create).and_power_loss());
        let first = serving(&faulty.bucket()).registering(WITH_EACH_PACK);
        ingest(&first, source.path(), INTO, None).expect_err("the store goes away");
        let (kept, _) = registered(&bucket);

        let second = serving(&bucket);
        ingest(&second, source.path(), INTO, None).expect("goes on");
        let sent = second.observer.get(Counter::SentBytes);
        assert!(sent < HUGE - kept + MIB, "cut at {cut_at}: {kept} registered, {sent} sent");
        most_kept = most_kept.max(kept);
        assert_comes_back(&second, INTO, source.path());
        assert_eq!(findings(&second, STORE), Vec::<String>::new());
    }
    assert!(most_kept >= 32 * MIB, "{most_kept}");
}

#[test]
fn something_is_registered_before_the_end_just_if_it_is_time() {
    let source = huge_file();
    let records = |often| {
        let bucket = empty_store();
        ingest(&serving(&bucket).registering(often), source.path(), INTO, None).expect("ingests");
        let (bytes, records) = registered(&bucket);
        assert!(bytes > HUGE);
        records
    };
    // One is the store's first, one publishes the version.
    assert_eq!(records(NEVER), 2);
    let each_pack = records(WITH_EACH_PACK);
    assert!((3..=2 + 5).contains(&each_pack), "{each_pack} records for four full packs and a part");
    let by_bytes = records(Often { bytes: 60 * MIB, ..NEVER });
    assert!((3..=2 + 2).contains(&by_bytes), "{by_bytes} records for two times two packs");
    let by_time = records(Often { time: Duration::ZERO, ..NEVER });
    assert!((3..=2 + 5).contains(&by_time), "{by_time} records");
}

/// A line so slow that whoever fills packs has ended before the first of two is durable; the second waits for a record, and stays away without one.
fn slow_line(to: &Bucket) -> Bucket {
    #[derive(Default)]
    struct Seen {
        packs: u64,
        records: u64,
    }
    let seen: Arc<(Mutex<Seen>, Condvar)> = Arc::default();
    Steered::bucket(to, move |name| {
        let (state, changed) = &*seen;
        let mut state = state.lock().expect("no writer panics");
        state.packs += u64::from(name.starts_with("packs/"));
        state.records += u64::from(name.starts_with("log/") && state.packs > 0);
        changed.notify_all();
        if name.starts_with("packs/") {
            let is_first = state.packs == 1;
            let waits = |seen: &mut Seen| if is_first { seen.packs < 2 } else { seen.records == 0 };
            let long = Duration::from_secs(60);
            let (state, patience) = changed.wait_timeout_while(state, long, waits).expect("no writer panics");
            drop(state);
            assert!(!patience.timed_out(), "nobody registers what is durable while the last pack is on its way");
        }
    })
}

#[test]
fn what_is_durable_is_registered_while_all_wait_for_a_slow_line() {
    const FAR: &str = "s3://far";
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path().canonicalize().expect("is there");
    std::fs::create_dir(root.join("data")).expect("a folder");
    std::fs::write(root.join("data/huge.bin"), noise(1, 40 << 20)).expect("writes");
    let near = empty_store();
    ingest(&serving(&slow_line(&near)).registering(WITH_EACH_PACK), &root.join("data"), INTO, None).expect("ingests");
    let (_, records) = registered(&near);
    assert!((3..=4).contains(&records), "{records} records of an ingest");

    let far = backend::memory();
    let knowing = |far: Bucket| {
        let near = near.clone();
        let mut engine = engine(Opener::new(move |place, missing| match (place, missing) {
            (STORE, _) => Ok(near.clone()),
            (FAR, _) => Ok(far.clone()),
            (other, _) if other.contains("://") => Err(Error::not_found(other)),
            (folder, Missing::Fails) => backend::open_folder(folder),
            (folder, Missing::IsMade) => backend::create_folder(folder),
        }));
        engine.settings.folder = root.join("clone");
        engine
    };
    knowing(far.clone()).create_store(FAR).expect("a store");
    let clone = CloneOptions { address: INTO.to_owned(), folder: Some(root.join("clone")), no_content: true };
    std::fs::create_dir(root.join("clone")).expect("a folder");
    knowing(far.clone()).clone_dataset(&clone).expect("clones");
    let push =
        PushOptions { remote: Some(format!("{FAR}//signs")), refs: vec!["main".to_owned()], ..PushOptions::default() };
    knowing(slow_line(&far)).registering(WITH_EACH_PACK).push(&push).expect("pushes");
    let (_, records) = registered(&far);
    assert!((3..=4).contains(&records), "{records} records of a push");
}
