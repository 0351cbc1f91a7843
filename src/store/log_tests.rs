use super::*;
use crate::base::{Counter, Observer, Time};
use crate::format::attrs::Attrs;
use crate::format::record::{FOLD_RULE, RecordCore};
use crate::store::backend::{memory, open_folder};
use crate::store::faulty::{Fault, Faulty, Plan};
use crate::store::objects::Verb;
use crate::store::recording::Recording;

pub(crate) fn record(number: u64, nonce: u8) -> Record {
    let core = RecordCore {
        number,
        before: if number == 1 { Id::ZERO } else { Id::MAX },
        nonce: [nonce; 16],
        actor: "ann".to_owned(),
        time: Time(0),
        fold_rule: FOLD_RULE,
        context: Attrs::default(),
        operations: Vec::new(),
    };
    Record { core, state: None, earlier: Vec::new(), extensions: Vec::new() }
}

fn put(bucket: &Bucket, record: &Record) -> Result<Appended> {
    append(bucket, record, &record.encode())
}

#[test]
fn numbers_have_names() {
    assert_eq!(record_name(1), "log/000/000/001");
    assert_eq!(record_name(MAX_NUMBER), "log/999/999/999");
    assert!(put(&memory(), &record(MAX_NUMBER + 1, 1)).is_err());
}

#[test]
fn the_head_is_the_highest_number() {
    let bucket = memory();
    assert_eq!(head(&bucket).expect("an empty log"), 0);
    for number in [1, 2, 999, 1_000, 1_999, 2_000, 1_000_000, 123_456_789] {
        put(&bucket, &record(number, 1)).expect("appended");
        assert_eq!(head(&bucket).expect("a log"), number);
    }
    bucket.create("log/999/readme", Bytes::new()).expect("created");
    assert_eq!(head(&bucket).expect("a log"), 123_456_789, "what isn't three digits is no record");
}

#[test]
fn finding_the_head_of_a_short_log_is_one_list() {
    let observer = Observer::new();
    let lists = |bucket: &Bucket| {
        let before = observer.get(Counter::Lists);
        let newest = head(&Recording::new(bucket.clone(), observer.clone()).bucket()).expect("a log");
        (newest, observer.get(Counter::Lists) - before)
    };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = open_folder(folder.path().to_str().expect("UTF-8")).expect("a store");
    let cloud = memory();
    assert_eq!((lists(&cloud), lists(&folder)), ((0, 1), (0, 1)));
    for number in 1..=2_001 {
        cloud.create(&record_name(number), Bytes::from_static(b"x")).expect("created");
        if [1, 999, 1_000, 1_999, 2_000, 2_001].contains(&number) {
            folder.create(&record_name(number), Bytes::from_static(b"x")).expect("created");
            assert_eq!(lists(&cloud), (number, [1, 2, 4][number as usize / 1_000]));
            assert_eq!(lists(&folder), (number, 1));
        }
    }
    let behind = |known| {
        let before = observer.get(Counter::Lists);
        let newest = head_behind(&Recording::new(cloud.clone(), observer.clone()).bucket(), known).expect("a log");
        (newest, observer.get(Counter::Lists) - before)
    };
    assert_eq!((behind(1_002), behind(1_001), behind(2_001)), ((2_001, 1), (2_001, 2), (2_001, 1)));
    for (number, most) in [(998_999, 4), (999_000, 7), (1_000_000, 7), (123_456_789, 7)] {
        cloud.create(&record_name(number), Bytes::from_static(b"x")).expect("created");
        assert_eq!(lists(&cloud), (number, most));
    }
}

#[test]
fn folders_that_a_dead_writer_left_hold_no_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = open_folder(folder.path().to_str().expect("UTF-8")).expect("a store");
    let empty = |name: &str| std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
    empty("log/000/000");
    assert_eq!(head(&bucket).expect("a log"), 0);
    put(&bucket, &record(999, 1)).expect("appended");
    empty("log/000/001");
    assert_eq!(head(&bucket).expect("a log"), 999);
    empty("log/001/000");
    assert_eq!(head(&bucket).expect("a log"), 999);
}

#[test]
fn one_record_takes_a_number() {
    let bucket = memory();
    assert!(matches!(put(&bucket, &record(1, 1)).expect("appended"), Appended::Ours));
    assert!(matches!(put(&bucket, &record(1, 2)).expect("asked"), Appended::Taken(_)));
    assert!(matches!(put(&bucket, &record(1, 1)).expect("asked"), Appended::Ours), "the echo of a lost answer");
    let (present, hash) = read(&bucket, 1).expect("readable").expect("there");
    assert_eq!((present.core.nonce, hash), ([1; 16], Id::of(&record(1, 1).encode())));
    assert!(read(&bucket, 2).expect("readable").is_none());
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let near = || open_folder(folder.path().to_str().expect("UTF-8")).expect("a store");
    // A store that is far away was patient already: it is asked whether the record stands there.
    for (store, fault, stands, calls) in [
        (memory(), Fault::After, true, (1, 2)),
        (memory(), Fault::Before, false, (1, 1)),
        (near(), Fault::After, true, (2, 1)),
    ] {
        let faulty = Faulty::new(store);
        faulty.plan(Plan::at(1, fault).of(Verb::Create));
        assert_eq!(put(&faulty.bucket(), &record(1, 1)).is_ok_and(|it| matches!(it, Appended::Ours)), stands);
        assert_eq!((faulty.calls_of(Verb::Create), faulty.calls_of(Verb::Get)), calls);
    }
    // Somebody else was first, and the answer that says so is lost.
    let faulty = Faulty::new(memory());
    put(&faulty.bucket(), &record(1, 1)).expect("appended");
    faulty.plan(Plan::at(2, Fault::After).of(Verb::Create));
    assert!(matches!(put(&faulty.bucket(), &record(1, 2)).expect("asked"), Appended::Taken(_)));
    // A store that stays away.
    faulty.plan(Plan::at(faulty.calls() + 1, Fault::After).and_power_loss());
    assert_eq!(put(&faulty.bucket(), &record(2, 2)).expect_err("gone").kind(), Kind::Unreachable);
}

#[test]
fn a_flipped_bit_is_read_again_where_the_store_is_far() {
    let faulty = Faulty::new(memory());
    put(&faulty.bucket(), &record(1, 1)).expect("appended");
    faulty.plan(Plan::at(1, Fault::Flip { offset: 20 }).of(Verb::Get));
    assert!(read(&faulty.bucket(), 1).expect("readable").is_some());
    assert_eq!(faulty.calls_of(Verb::Get), 2);

    let folder = tempfile::tempdir().expect("a folder");
    let near = Faulty::new(open_folder(folder.path().to_str().expect("UTF-8")).expect("a store"));
    put(&near.bucket(), &record(1, 1)).expect("appended");
    near.plan(Plan::at(1, Fault::Flip { offset: 20 }).of(Verb::Get));
    assert_eq!(read(&near.bucket(), 1).expect_err("flipped").kind(), Kind::Damaged);
    assert_eq!(near.calls_of(Verb::Get), 1);
}

#[test]
fn a_record_under_another_number_is_damage() {
    let bucket = memory();
    bucket.create(&record_name(2), record(1, 1).encode().into()).expect("created");
    assert_eq!(read(&bucket, 2).expect_err("record 1").kind(), Kind::Damaged);
    bucket.create(&record_name(3), Bytes::from_static(b"junk")).expect("created");
    assert_eq!(read(&bucket, 3).expect_err("junk").kind(), Kind::Damaged);
}
