use std::collections::BTreeSet;

use super::*;
use crate::base::{BranchName, RefName};
use crate::history::fold::tests::{add, dataset, version};
use crate::store::backend::memory;
use crate::store::faulty::{Fault, Faulty, Plan};
use crate::store::objects::Verb;
use crate::store::recording::Recording;

const STORE: [u8; 16] = [7; 16];

fn actor() -> Actor {
    Actor { name: "ann".to_owned(), context: Attrs::default() }
}

fn open(bucket: &Bucket) -> Timeline {
    Timeline::open(bucket.clone(), STORE, Observer::new()).expect("a log")
}

/// A log of one record, with the dataset and version 1 in it.
fn begin(bucket: &Bucket) -> Timeline {
    let mut timeline = open(bucket);
    let operations = || vec![Operation::CreateDataset { dataset: dataset() }, add(1, &[])];
    let wrote = timeline.append(&actor(), |fold, _| Ok(if fold.number == 0 { operations() } else { Vec::new() }));
    assert!(wrote.expect("a first record"));
    timeline
}

fn tag(text: &str) -> Operation {
    let tag = RefName::new(text).expect("a good name");
    Operation::SetTag { dataset: dataset(), tag, old: None, new: Some(version(1)), protected: false }
}

fn tags(fold: &Fold) -> BTreeSet<String> {
    fold.datasets[&dataset()].tags.keys().map(RefName::to_string).collect()
}

/// Sets a tag, once: nothing where it is there already.
fn set_once(timeline: &mut Timeline, text: &str) -> Result<bool> {
    timeline.append(&actor(), |fold, _| Ok(if tags(fold).contains(text) { Vec::new() } else { vec![tag(text)] }))
}

/// Reads every record by its number and folds it from nothing.
fn refold(bucket: &Bucket) -> Fold {
    let mut fold = Fold { store: STORE, ..Fold::default() };
    while let Some((record, hash)) = log::read(bucket, fold.number + 1).expect("a whole record") {
        fold.apply(&record.core, hash).expect("the chain is whole");
    }
    fold
}

#[test]
fn the_first_record_creates_the_store() {
    let bucket = memory();
    let mut timeline = open(&bucket);
    assert_eq!(timeline.fold().number, 0);
    timeline.begin(&actor()).expect("a first record");
    timeline.begin(&actor()).expect("nothing to do");
    assert_eq!(timeline.fold().number, 1);
    let (first, _) = log::read(&bucket, 1).expect("readable").expect("there");
    assert_eq!(first.core.operations, [Operation::StoreCreated { store: STORE }]);
    let other = Timeline::open(bucket, [8; 16], Observer::new());
    assert_eq!(other.err().expect("another store's log").kind(), Kind::Damaged);
}

#[test]
fn a_long_log_reopens_equal_and_cheap() {
    let bucket = memory();
    let mut timeline = begin(&bucket);
    for number in 2..=200 {
        assert!(set_once(&mut timeline, &format!("t{number}")).expect("appended"));
        if number % 23 == 0 || number >= 195 {
            assert_eq!(open(&bucket).fold(), timeline.fold(), "record {number}");
        }
    }
    assert_eq!(timeline.fold().number, 200);
    assert_eq!(refold(&bucket), *timeline.fold());
    let states = bucket.list("state").expect("a listing").objects.len() as u64;
    assert_eq!(states, (200 - 1) / REPEATED_RECORDS as u64, "one every 32 records");

    let recording = Recording::keeping_calls(bucket, Observer::new());
    open(&recording.bucket());
    let calls = recording.take_calls();
    let of = |verb| calls.iter().filter(|call| call.verb == verb).count();
    // A list; the newest record, and the one that might follow it; the nodes of a state that fits in one or two.
    assert_eq!((of(Verb::List), of(Verb::Get)), (1, 2), "{calls:?}");
    assert!((1..=4).contains(&of(Verb::GetRange)), "{calls:?}");
    assert_eq!(calls.len(), of(Verb::List) + of(Verb::Get) + of(Verb::GetRange));
}

#[test]
fn cores_too_long_to_repeat_are_read_from_their_records() {
    let bucket = memory();
    let mut timeline = begin(&bucket);
    for number in 0..40 {
        let bulky = || Operation::Unknown { code: 99, critical: false, payload: vec![number; 30 << 10] };
        timeline.append(&actor(), |_, _| Ok(vec![bulky()])).expect("appended");
    }
    let (newest, _) = log::read(&bucket, 41).expect("readable").expect("there");
    assert_eq!(newest.earlier.len(), 2, "64 KiB of them");
    assert_eq!(open(&bucket).fold(), timeline.fold());
}

#[test]
fn racing_writers_lose_nothing() {
    const EACH: usize = 12;
    let bucket = memory();
    begin(&bucket);
    let observer = Observer::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (bucket, observer) = (bucket.clone(), observer.clone());
            scope.spawn(move || {
                let mut timeline = Timeline::open(bucket, STORE, observer).expect("a log");
                for number in 0..EACH {
                    assert!(set_once(&mut timeline, &format!("t{thread}-{number}")).expect("appended"));
                }
            });
        }
    });
    let fold = refold(&bucket);
    assert_eq!(fold.number as usize, 1 + 8 * EACH, "each append is one record");
    assert_eq!(tags(&fold).len(), 8 * EACH);
    assert_eq!(*open(&bucket).fold(), fold);
}

#[test]
fn who_is_late_decides_anew() {
    let bucket = memory();
    let (mut early, mut late) = (begin(&bucket), open(&bucket));
    assert!(set_once(&mut early, "t").expect("appended"));
    assert!(!set_once(&mut late, "t").expect("it sees that the tag is there"));
    assert_eq!(late.fold(), early.fold());
    let branch = BranchName::new("main").expect("a good name");
    let create = |timeline: &mut Timeline| {
        let operation =
            Operation::SetBranch { dataset: dataset(), branch: branch.clone(), old: None, new: Some(version(1)) };
        timeline.append(&actor(), |_, _| Ok(vec![operation.clone()]))
    };
    assert!(create(&mut early).expect("appended"));
    assert_eq!(create(&mut late).expect_err("it is there").kind(), Kind::Conflict);
    assert_eq!(refold(&bucket).number, 3);
}

#[test]
fn a_lost_answer_does_not_append_twice() {
    let faulty = Faulty::new(memory());
    let mut timeline = begin(&faulty.bucket());
    faulty.plan(Plan::at(faulty.calls_of(Verb::Create) + 1, Fault::After).of(Verb::Create));
    let wrote = timeline.append(&actor(), |_, _| Ok(vec![tag("once")])).expect("its own record is found");
    assert!(wrote && faulty.fired());
    assert_eq!(refold(&faulty.bucket()).number, 2);
    assert_eq!(*timeline.fold(), refold(&faulty.bucket()));
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let bucket = memory();
    let mut timeline = begin(&bucket);
    let long = || Operation::Unknown { code: 99, critical: false, payload: vec![0; 4 << 20] };
    assert_eq!(timeline.append(&actor(), |_, _| Ok(vec![long()])).expect_err("too long").kind(), Kind::Usage);
    let shouting = Actor { name: "a".repeat(2_000), context: Attrs::default() };
    assert!(timeline.append(&shouting, |_, _| Ok(vec![tag("t")])).is_err());
    assert!(set_once(&mut timeline, "t").expect("the log goes on"));
    assert_eq!(refold(&bucket).number, 2);
}

/// Two appends with a state between them.
fn publish_two(bucket: &Bucket) -> Result<()> {
    let mut timeline = Timeline::open(bucket.clone(), STORE, Observer::new())?;
    set_once(&mut timeline, "first")?;
    set_once(&mut timeline, "second")?;
    Ok(())
}

/// A log that needs a state before its next record but one.
fn before_a_state() -> Bucket {
    let bucket = memory();
    let mut timeline = begin(&bucket);
    for number in 2..REPEATED_RECORDS {
        set_once(&mut timeline, &format!("t{number}")).expect("appended");
    }
    bucket
}

#[test]
fn power_may_fail_at_any_call() {
    let healthy = Faulty::new(before_a_state());
    publish_two(&healthy.bucket()).expect("no fault is planned");
    let calls = healthy.calls();
    assert_eq!(healthy.bucket().list("state").expect("a listing").objects.len(), 1);
    for call in 1..=calls {
        for fault in [Fault::Before, Fault::After] {
            let inner = before_a_state();
            let faulty = Faulty::new(inner.clone());
            faulty.plan(Plan::at(call, fault).and_power_loss());
            publish_two(&faulty.bucket()).ok();
            assert!(faulty.fired());
            let left = refold(&inner);
            assert_eq!(*open(&inner).fold(), left, "call {call} {fault:?}");
            publish_two(&inner).expect("a second run converges");
            let fold = refold(&inner);
            assert_eq!(fold.number as usize, REPEATED_RECORDS + 1, "call {call} {fault:?}");
            assert!(tags(&fold).contains("first") && tags(&fold).contains("second"));
        }
    }
}
