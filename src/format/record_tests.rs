use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::format::attrs::tests::any_attrs;
use crate::format::operation::tests::{any_operation, any_place};

fn core(number: u64, operations: Vec<Operation>) -> RecordCore {
    RecordCore {
        number,
        before: if number == 1 { Id::ZERO } else { Id::of(b"before") },
        nonce: [3; 16],
        actor: "ann".to_owned(),
        time: Time(1_700_000_000_000),
        fold_rule: FOLD_RULE,
        context: Attrs::default(),
        operations,
    }
}

fn small() -> Record {
    let state = StateRef { number: 3, place: place(), root: Id::of(b"root") };
    let extensions = vec![Extension { key: "sig".to_owned(), critical: false, value: vec![1, 2] }];
    Record {
        core: core(6, vec![Operation::Mark]),
        state: Some(state),
        earlier: vec![core(4, Vec::new()), core(5, vec![Operation::VoidBefore { born: 2 }])],
        extensions,
    }
}

fn place() -> Place {
    let bytes = [&[3][..], &[7; 16], &[16, 50, 60, 1, 2, 30, 5]].concat();
    Place::read(&mut Reader::new("test", &bytes)).expect("a place")
}

fn any_core() -> impl Strategy<Value = RecordCore> {
    let who = (any::<[u8; 16]>(), ".{0,9}", any::<i64>(), 1u16.., any_attrs());
    (who, vec(any_operation(), 0..5)).prop_map(|((nonce, actor, time, fold_rule, context), operations)| RecordCore {
        nonce,
        actor,
        time: Time(time),
        fold_rule,
        context,
        ..core(0, operations)
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    (any_core(), vec(any_core(), 0..4), any::<u32>(), proptest::option::of((any_place(), any::<u32>()))).prop_map(
        |(mut core, mut earlier, base, state)| {
            let first = 1 + u64::from(base);
            for (number, core) in (first..).zip(earlier.iter_mut().chain([&mut core])) {
                core.number = number;
                core.before = if number == 1 { Id::ZERO } else { Id::of(b"before") };
            }
            let state = state.filter(|_| core.number > 1).map(|(place, number)| StateRef {
                number: 1 + u64::from(number) % (core.number - 1),
                place,
                root: Id::of(b"root"),
            });
            Record { core, state, earlier, extensions: Vec::new() }
        },
    )
}

/// `bytes` with the hash that a record of them must end with.
fn sealed(body: &[u8]) -> Vec<u8> {
    [body, &Id::of(body).0].concat()
}

/// What a reader says of a record that was changed before it was sealed.
fn changed(change: impl FnOnce(&mut Record)) -> Result<Record> {
    let mut record = small();
    change(&mut record);
    Record::parse(&record.encode())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn records_round_trip(record in any_record()) {
        let bytes = record.encode();
        let back = Record::parse(&bytes).expect("own bytes");
        prop_assert_eq!(back.encode(), bytes);
        prop_assert_eq!(back, record);
    }

    #[test]
    fn what_parses_is_canonical(record in any_record(), at: prop::sample::Index, with: u8) {
        let mut body = record.encode();
        body.truncate(body.len() - HASH_LEN);
        let at = at.index(body.len());
        body[at] = with;
        let bytes = sealed(&body);
        if let Ok(record) = Record::parse(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = small().encode();
    assert_eq!(Record::parse(&bytes).expect("own bytes"), small());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Record::parse(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_record_is_whole() {
    let bytes = small().encode();
    for end in 0..bytes.len() {
        assert!(Record::parse(&bytes[..end]).is_err());
        // Cut before it was sealed.
        assert!(end < HEADER_LEN || end + HASH_LEN >= bytes.len() || Record::parse(&sealed(&bytes[..end])).is_err());
    }
    let longer = [&bytes[..bytes.len() - HASH_LEN], &[0]].concat();
    assert!(Record::parse(&sealed(&longer)).is_err());
}

#[test]
fn the_bytes_are_frozen() {
    let record = Record { core: core(1, vec![Operation::Mark]), state: None, earlier: vec![], extensions: vec![] };
    let mut body = header(ObjectKind::Record).to_vec();
    body.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    body.extend([0; 32]);
    body.extend([3; 16]);
    body.extend([3, b'a', b'n', b'n']);
    body.extend(1_700_000_000_000i64.to_le_bytes());
    body.extend([1, 0, 0, 1, 12, 1, 0]);
    body.extend([0, 0, 0]);
    assert_eq!(record.encode(), sealed(&body));
}

#[test]
fn what_is_repeated_leads_up_to_the_record() {
    assert!(changed(|record| record.earlier.truncate(0)).is_ok());
    assert!(changed(|record| drop(record.earlier.remove(0))).is_ok());
    assert!(changed(|record| drop(record.earlier.pop())).is_err(), "a gap before the record");
    assert!(changed(|record| record.earlier[0].number = 3).is_err(), "a gap between the repeated");
    assert!(changed(|record| record.earlier.swap(0, 1)).is_err());
    assert!(changed(|record| record.core.number = u64::MAX).is_err());
    assert!(changed(|record| record.earlier.push(core(6, Vec::new()))).is_err());
}

#[test]
fn a_state_folds_records_before_it() {
    let with_state = |number| changed(|record| record.state.iter_mut().for_each(|state| state.number = number));
    assert!(with_state(1).is_ok() && with_state(5).is_ok());
    assert!(with_state(0).is_err() && with_state(6).is_err() && with_state(u64::MAX).is_err());
}

#[test]
fn only_the_first_record_names_none_before() {
    assert!(changed(|record| record.core.before = Id::ZERO).is_err());
    assert!(changed(|record| record.earlier[0].before = Id::ZERO).is_err());
    let first = |before| {
        let core = RecordCore { before, ..core(1, Vec::new()) };
        Record::parse(&Record { core, state: None, earlier: vec![], extensions: vec![] }.encode())
    };
    assert!(first(Id::ZERO).is_ok() && first(Id::of(b"x")).is_err());
}

#[test]
fn numbers_and_limits() {
    assert!(changed(|record| record.core.fold_rule = 0).is_err());
    assert!(changed(|record| record.core.fold_rule = 9).is_ok(), "the fold refuses it, not the parser");
    assert!(changed(|record| record.core.actor = "a".repeat(MAX_AUTHOR)).is_ok());
    assert!(changed(|record| record.core.actor = "a".repeat(MAX_AUTHOR + 1)).is_err());
    let long = vec![Operation::Unknown { code: 99, critical: false, payload: vec![0; MAX_RECORD] }];
    assert!(changed(|record| record.core.operations = long).is_err());
    let unknown = |critical| move |record: &mut Record| record.extensions[0].critical = critical;
    assert!(changed(unknown(false)).is_ok());
    assert_eq!(changed(unknown(true)).expect_err("critical").kind(), crate::base::Kind::Failed);
}
