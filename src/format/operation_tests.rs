use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::format::attrs::tests::any_value;
use crate::format::place::{Encoding, FramePlace};
use crate::format::tombstone::Purged;

fn any_id() -> impl Strategy<Value = Id> {
    any::<[u8; 32]>().prop_map(Id)
}

fn any_name() -> impl Strategy<Value = ObjectName> {
    (0u64..1_000_000, any::<[u8; 16]>()).prop_map(|(born, random)| ObjectName { born, random })
}

pub fn any_dataset() -> impl Strategy<Value = DatasetName> {
    "[a-z][a-z0-9.]{0,5}(/[a-z0-9]{1,3})?".prop_map(|name| DatasetName::new(&name).expect("a good name"))
}

pub fn any_branch() -> impl Strategy<Value = BranchName> {
    "[A-Z][a-z0-9+]{0,5}(/[a-z0-9]{1,3})?".prop_map(|name| BranchName::new(&name).expect("a good name"))
}

pub fn any_ref() -> impl Strategy<Value = RefName> {
    "[0-9][a-z0-9._-]{0,6}".prop_map(|name| RefName::new(&name).expect("a good name"))
}

pub fn any_place() -> impl Strategy<Value = Place> {
    let encoding = prop_oneof![Just(Encoding::Zstd), any_id().prop_map(Encoding::Based)];
    (any_name(), 16u32..1 << 30, 1u32..1_000_000, encoding, 0u32..1000, 1u32..1000, 0u32..1000).prop_map(
        |(pack, offset, stored_bytes, encoding, at, len, hint_len)| {
            let frame = FramePlace { pack, offset, stored_bytes, raw_bytes: 3_000, encoding };
            Place { frame, at, len, hint_len }
        },
    )
}

pub fn any_index_row() -> impl Strategy<Value = IndexRow> {
    (any_name(), any_id(), any::<[u64; 4]>()).prop_map(|(name, id, [bytes, packs, pack_bytes, meta_bytes])| IndexRow {
        name,
        bytes,
        id,
        packs,
        pack_bytes,
        meta_bytes,
    })
}

pub fn any_version_row() -> impl Strategy<Value = VersionRow> {
    let numbers = (any::<[u64; 3]>(), any::<i64>());
    (any_id(), any_id(), vec(any_id(), 0..4), numbers, any_place(), any_place()).prop_map(
        |(version, manifest, parents, ([files, bytes, stored_bytes], time), version_place, manifest_place)| {
            VersionRow {
                version,
                manifest,
                parents,
                time: Time(time),
                files,
                bytes,
                stored_bytes,
                version_place,
                manifest_place,
            }
        },
    )
}

fn any_things() -> impl Strategy<Value = Things> {
    (vec(any_id(), 0..3), vec(any_name(), 0..3)).prop_map(|(versions, packs)| Things { versions, packs })
}

fn any_known_operation() -> impl Strategy<Value = Operation> {
    let two = || proptest::option::of(any_id());
    prop_oneof![
        any::<[u8; 16]>().prop_map(|store| Operation::StoreCreated { store }),
        vec(any_index_row(), 0..3).prop_map(|indexes| Operation::Register { indexes }),
        any_dataset().prop_map(|dataset| Operation::CreateDataset { dataset }),
        (any_dataset(), any_version_row())
            .prop_map(|(dataset, row)| Operation::AddVersion { dataset, row: Box::new(row) }),
        (any_dataset(), any_branch(), two(), two()).prop_map(|(dataset, branch, old, new)| Operation::SetBranch {
            dataset,
            branch,
            old,
            new
        }),
        (any_dataset(), any_ref(), any_id()).prop_map(|(dataset, name, version)| Operation::TakeName {
            dataset,
            name,
            version
        }),
        (any_dataset(), any_ref(), two(), two(), any::<bool>())
            .prop_map(|(dataset, tag, old, new, protected)| Operation::SetTag { dataset, tag, old, new, protected }),
        (any_dataset(), any_id(), ".{0,9}").prop_map(|(dataset, version, note)| Operation::Publish {
            dataset,
            version,
            note
        }),
        (any_dataset(), two(), ".{1,9}", proptest::option::of(any_value()))
            .prop_map(|(dataset, version, key, value)| Operation::SetMetadata { dataset, version, key, value }),
        any_things().prop_map(Operation::Rely),
        (vec(any_name(), 0..3), vec(any_index_row(), 0..3))
            .prop_map(|(removed, added)| Operation::ReplaceIndexes { removed, added }),
        Just(Operation::Mark),
        any::<u64>().prop_map(|born| Operation::VoidBefore { born }),
        (any::<u64>(), any_things()).prop_map(|(mark, things)| Operation::Condemn { mark, things }),
        any_things().prop_map(Operation::Rescue),
        any_things().prop_map(Operation::Reclaim),
        (vec((any_id(), any::<u64>()), 0..3), ".{0,9}").prop_map(|(contents, reason)| {
            let contents = contents.into_iter().map(|(content, size)| Purged { content, size }).collect();
            Operation::Expel { contents, reason }
        }),
        vec(any_id(), 0..3).prop_map(|contents| Operation::Readmit { contents }),
        (any::<u64>(), vec(any_id(), 0..3)).prop_map(|(mark, versions)| Operation::CondemnContents { mark, versions }),
        vec(any_id(), 0..3).prop_map(|versions| Operation::LetGo { versions }),
        (any_dataset(), any_ref(), any_id()).prop_map(|(dataset, name, version)| Operation::DropName {
            dataset,
            name,
            version
        }),
        (any_dataset(), any_dataset()).prop_map(|(dataset, to)| Operation::RenameDataset { dataset, to }),
        any_dataset().prop_map(|dataset| Operation::DeleteDataset { dataset }),
        (any_dataset(), any::<u64>()).prop_map(|(dataset, deletion)| Operation::RestoreDataset { dataset, deletion }),
        ".{0,9}".prop_map(|text| Operation::Reason { text }),
    ]
}

pub fn any_operation() -> impl Strategy<Value = Operation> {
    let unknown = (26u8.., any::<bool>(), vec(any::<u8>(), 0..20));
    prop_oneof![
        9 => any_known_operation(),
        1 => unknown.prop_map(|(code, critical, payload)| Operation::Unknown { code, critical, payload }),
    ]
}

fn encode(operation: &Operation) -> Vec<u8> {
    let mut bytes = Vec::new();
    operation.put(&mut bytes);
    bytes
}

fn read(bytes: &[u8]) -> Result<Operation> {
    let mut reader = Reader::new("test", bytes);
    let operation = Operation::read(&mut reader)?;
    reader.end().map(|()| operation)
}

proptest! {
    #[test]
    fn operations_round_trip_and_no_part_of_one_is_one(operation in any_operation()) {
        let bytes = encode(&operation);
        prop_assert_eq!(read(&bytes).expect("own bytes"), operation);
        for end in 0..bytes.len() {
            prop_assert!(read(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_payload_is_used_up(operation in any_known_operation(), more: u8) {
        let mut bytes = vec![operation.code(), operation.is_critical().into()];
        bytes.put_bytes(&[&operation.payload()[..], &[more]].concat());
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn what_parses_is_canonical(operation in any_operation(), at: prop::sample::Index, with: u8) {
        let mut bytes = encode(&operation);
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(operation) = read(&bytes) {
            prop_assert_eq!(encode(&operation), bytes);
        }
    }
}

#[test]
fn the_bytes_are_frozen() {
    let dataset = DatasetName::new("d").expect("a good name");
    let branch = BranchName::new("b").expect("a good name");
    let operation = Operation::SetBranch { dataset, branch, old: None, new: Some(Id([9; 32])) };
    let expected = [&[5, 1, 38, 1, b'd', 1, b'b', 0, 1][..], &[9; 32]].concat();
    assert_eq!(encode(&operation), expected);
    assert_eq!(encode(&Operation::Mark), [12, 1, 0]);
    assert_eq!(encode(&Operation::VoidBefore { born: 258 }), [13, 1, 8, 2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encode(&Operation::Rely(Things::default())), [10, 0, 2, 0, 0]);
    assert_eq!(encode(&Operation::Reason { text: "x".to_owned() }), [18, 0, 2, 1, b'x'], "readers before it skip it");
}

#[test]
fn flags_are_those_of_the_code() {
    assert!(read(&[12, 0, 0]).is_err(), "a mark is critical");
    assert!(read(&[10, 1, 2, 0, 0]).is_err(), "reliance is not");
    assert!(read(&[12, 2, 0]).is_err(), "bits beside the first are zero");
    let unknown = |critical| Operation::Unknown { code: 200, critical, payload: vec![7] };
    assert_eq!(read(&[200, 0, 1, 7]).expect("kept"), unknown(false));
    assert_eq!(read(&[200, 1, 1, 7]).expect("kept"), unknown(true));
}

#[test]
fn metadata_fits_in_a_state() {
    let set = |key: &str, value: Value| {
        let dataset = DatasetName::new("d").expect("a good name");
        read(&encode(&Operation::SetMetadata { dataset, version: None, key: key.to_owned(), value: Some(value) }))
    };
    let text = |len: usize| Value::Text("x".repeat(len));
    assert!(set("k", Value::Null).is_ok() && set(&"k".repeat(255), text(MAX_META_VALUE - 4)).is_ok());
    assert!(set("", Value::Null).is_err() && set(&"k".repeat(256), Value::Null).is_err());
    assert!(set("k", text(MAX_META_VALUE - 3)).is_err());
}

#[test]
fn a_version_has_at_most_1024_parents() {
    let dataset = DatasetName::new("d").expect("a good name");
    let place = Place {
        frame: FramePlace {
            pack: ObjectName { born: 0, random: [0; 16] },
            offset: 16,
            stored_bytes: 9,
            raw_bytes: 9,
            encoding: Encoding::Raw,
        },
        at: 0,
        len: 9,
        hint_len: 0,
    };
    let add = |parents: usize| {
        let row = VersionRow {
            version: Id::MAX,
            manifest: Id::MAX,
            parents: vec![Id::ZERO; parents],
            time: Time(0),
            files: 0,
            bytes: 0,
            stored_bytes: 0,
            version_place: place,
            manifest_place: place,
        };
        read(&encode(&Operation::AddVersion { dataset: dataset.clone(), row: Box::new(row) }))
    };
    assert!(add(1_024).is_ok() && add(1_025).is_err());
}
