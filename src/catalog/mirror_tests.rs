use super::*;

const STORE: &str = "s3://bucket/store";

fn rows(range: std::ops::Range<u64>) -> Vec<Row> {
    range.map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; 200])).collect()
}

fn held(rows: Vec<Row>) -> Option<Mirrored> {
    Some(Mirrored { store_file: b"{}".to_vec(), rows })
}

#[test]
fn what_is_kept_comes_back_and_an_older_state_does_not_replace_it() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path(), STORE);
    assert_eq!(mirror.load().unwrap(), None);
    mirror.save(b"{}", 1, &rows(0..100)).unwrap();
    assert_eq!(mirror.load().unwrap(), held(rows(0..100)));
    let mut newer = rows(50..150);
    newer[3].1 = b"changed".to_vec();
    mirror.save(b"{}", 2, &newer).unwrap();
    mirror.save(b"{}", 1, &rows(0..100)).unwrap();
    assert_eq!(mirror.load().unwrap(), held(newer));
    assert_eq!(Mirror::new(folder.path(), "s3://bucket/other").load().unwrap(), None);
    mirror.remove();
    assert_eq!(mirror.load().unwrap(), None);
}

#[test]
fn every_flipped_bit_is_damage_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path(), STORE);
    mirror.save(b"{}", 1, &rows(0..20)).unwrap();
    let whole = std::fs::read(mirror.file()).unwrap();
    let mut damaged = 0;
    for at in (0..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        mirror.remove();
        std::fs::create_dir_all(&mirror.folder).unwrap();
        std::fs::write(mirror.file(), bytes).unwrap();
        match mirror.load() {
            Ok(found) => assert!(found.is_none() || found == held(rows(0..20)), "byte {at}"),
            Err(fault) => {
                assert_eq!(fault.kind(), Kind::Damaged, "byte {at}");
                damaged += 1;
            }
        }
    }
    assert!(damaged > 20, "{damaged}");
}

#[test]
fn who_cannot_have_it_goes_without() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path(), STORE);
    mirror.save(b"{}", 1, &rows(0..3)).unwrap();
    let mut other = database::open(&mirror.file(), &SCHEMA, PATIENCE).unwrap();
    let writing = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    assert_eq!(mirror.save(b"{}", 2, &rows(0..4)).unwrap_err().kind(), Kind::Failed);
    assert_eq!(mirror.load().unwrap(), held(rows(0..3)), "readers aren't kept out");
    drop(writing);
    mirror.save(b"{}", 2, &rows(0..4)).unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let nowhere = Mirror::new(&file, STORE);
    assert!(nowhere.load().unwrap().is_none() && nowhere.save(b"{}", 1, &rows(0..3)).is_err());
}
