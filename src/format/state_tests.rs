use proptest::prelude::*;

use super::*;
use crate::format::attrs::tests::any_value;
use crate::format::operation::tests::{any_branch, any_dataset, any_index_row, any_ref, any_version_row};

fn any_row() -> impl Strategy<Value = StateRow> {
    let of_dataset = any_live_row().prop_filter("a row of a dataset", |row| b"dbntvm".contains(&row.key()[0]));
    prop_oneof![
        8 => any_live_row(),
        1 => (any_dataset(), any_dataset(), any::<u64>())
            .prop_map(|(dataset, to, record)| StateRow::Renamed { dataset, to, record }),
        1 => (0u64..1_000_000_000_000, of_dataset)
            .prop_map(|(record, row)| StateRow::Deleted { record, row: Box::new(row) }),
    ]
}

fn any_live_row() -> impl Strategy<Value = StateRow> {
    let id = || any::<[u8; 32]>().prop_map(Id);
    prop_oneof![
        (any::<u64>(), id(), any::<u16>(), any::<[u8; 16]>())
            .prop_map(|(number, record, fold_rule, store)| StateRow::Head { number, record, fold_rule, store }),
        any_index_row().prop_map(StateRow::Index),
        (any_dataset(), any::<i64>())
            .prop_map(|(dataset, created)| StateRow::Dataset { dataset, created: Time(created) }),
        (any_dataset(), any_branch(), id()).prop_map(|(dataset, branch, version)| StateRow::Branch {
            dataset,
            branch,
            version
        }),
        (any_dataset(), any_ref(), id()).prop_map(|(dataset, name, version)| StateRow::Name { dataset, name, version }),
        (any_dataset(), any_ref(), id(), any::<bool>()).prop_map(|(dataset, tag, version, protected)| StateRow::Tag {
            dataset,
            tag,
            version,
            protected
        }),
        (any_dataset(), any::<u64>(), any_version_row(), any::<bool>()).prop_map(
            |(dataset, record, row, published)| {
                StateRow::Version { dataset, record, row: Box::new(row), published }
            }
        ),
        (any_dataset(), proptest::option::of(id()), ".{1,9}", any_value())
            .prop_map(|(dataset, version, key, value)| StateRow::Metadata { dataset, version, key, value }),
        any::<u64>().prop_map(|born| StateRow::VoidBefore { born }),
        (id(), any::<u64>()).prop_map(|(version, record)| StateRow::CondemnedVersion { version, record }),
        (id(), any::<u64>()).prop_map(|(version, record)| StateRow::CondemnedContent { version, record }),
        (id(), any::<u64>(), any::<i64>()).prop_map(|(version, record, time)| StateRow::LetGo {
            version,
            record,
            time: Time(time)
        }),
        (0u64..1_000_000_000_000, any::<[u8; 16]>(), any::<u64>())
            .prop_map(|(born, random, record)| StateRow::CondemnedPack { pack: ObjectName { born, random }, record }),
        (id(), any::<u64>(), any::<i64>(), any::<u64>(), ".{0,9}").prop_map(|(content, record, time, size, reason)| {
            let tombstone = Tombstone { record, time: Time(time), size, reason: reason.into() };
            StateRow::Expelled { content, tombstone }
        }),
        ("[j-l][a-z\0]{0,5}", proptest::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(key, value)| StateRow::Unknown { key: key.into_bytes(), value }),
    ]
}

proptest! {
    #[test]
    fn rows_round_trip(row in any_row()) {
        prop_assert_eq!(StateRow::parse(&row.key(), &row.value()).expect("own bytes"), row);
    }

    #[test]
    fn what_parses_is_canonical(row in any_row(), in_key: bool, at: prop::sample::Index, with: u8, more: bool) {
        let (mut key, mut value) = (row.key(), row.value());
        let part = if in_key || value.is_empty() { &mut key } else { &mut value };
        let at = at.index(part.len());
        match more {
            true => part.insert(at, with),
            false => part[at] = with,
        }
        match StateRow::parse(&key, &value) {
            Ok(row) => prop_assert_eq!((row.key(), row.value()), (key, value)),
            Err(fault) => prop_assert_eq!(fault.kind(), crate::base::Kind::Damaged),
        }
    }

    #[test]
    fn values_are_used_up(row in any_row()) {
        let (key, value) = (row.key(), row.value());
        if !matches!(row, StateRow::Unknown { .. }) {
            prop_assert!(StateRow::parse(&key, &[&value[..], &[0]].concat()).is_err());
            prop_assert!(StateRow::parse(&key, &value[..value.len() - 1]).is_err());
        }
    }
}

#[test]
fn keys_are_those_of_the_format() {
    let dataset = || DatasetName::new("a/b").expect("a good name");
    let id = Id([0xab; 32]);
    let branch = StateRow::Branch { dataset: dataset(), branch: BranchName::new("x/y").expect("good"), version: id };
    assert_eq!(branch.key(), b"ba/b\0x/y");
    let of_dataset =
        StateRow::Metadata { dataset: dataset(), version: None, key: "k\0".to_owned(), value: Value::Null };
    assert_eq!(of_dataset.key(), b"ma/b\0\0k\0");
    let of_version = StateRow::Metadata { dataset: dataset(), version: Some(id), key: "k".into(), value: Value::Null };
    let row = Box::new(StateRow::Dataset { dataset: dataset(), created: Time(0) });
    assert_eq!(StateRow::Deleted { record: 12, row }.key(), b"D000000000012da/b");
    let renamed = StateRow::Renamed { dataset: dataset(), to: DatasetName::new("c").expect("good"), record: 3 };
    assert_eq!((renamed.key(), renamed.value()), (b"Ra/b".to_vec(), vec![1, b'c', 3]));
    assert_eq!(of_version.key(), [&b"ma/b\0"[..], "ab".repeat(32).as_bytes(), b"\0k"].concat());
}

#[test]
fn keys_that_lack_or_repeat_a_part_are_refused() {
    let refused = |key: &[u8], value: &[u8]| StateRow::parse(key, value).is_err();
    assert!(refused(b"", b""));
    assert!(refused(b"da\0b", &[0; 8]), "a dataset has no second part");
    assert!(refused(b"ba", &[0; 32]) && refused(b"ba\0b\0c", &[0; 32]) && refused(b"b\0b", &[0; 32]));
    assert!(refused(b"na\0b/c", &[0; 32]), "a name has no folders");
    assert!(refused(b"ma\0\0", &[0]) && refused(b"ma\0k", &[0]) && refused(b"ma\0ff\0k", &[0]));
    assert!(refused(b"va\0short", &[0; 80]));
    assert!(refused(b"Ra\0b", &[1, b'c', 0]), "a new name has no second part");
    assert!(refused(b"D000000000012", &[]) && refused(b"D12da", &[0; 8]) && refused(b"D00000000001xda", &[0; 8]));
    assert!(refused(b"D000000000012h", &[0; 58]) && refused(b"D000000000012D000000000012da", &[0; 8]));
    assert!(refused(b"i000000000001-ff", &[0; 40]));
}
