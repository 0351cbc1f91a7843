//! What storing costs in writes: few and full packs, and hardly anything beside them.

use dagset::base::{Counter, Observer};
use dagset::store::recording::Recording;
use dagset::store::{Verb, backend};

use crate::stage::{STORE, ingest, noise, serving};

const FILES: u64 = 20_000;
const FILE_BYTES: usize = 2_000;

#[test]
fn many_small_files_take_few_writes() {
    let source = tempfile::tempdir().expect("a folder");
    for number in 0..FILES {
        let path = source.path().join(format!("{:03}/{number:06}", number % 200));
        std::fs::create_dir_all(path.parent().expect("is below the folder")).expect("a folder");
        std::fs::write(path, noise(number, FILE_BYTES)).expect("writes");
    }
    for jobs in [1, 4] {
        let bucket = backend::memory();
        serving(&bucket).create_store(STORE).expect("a store");
        let recording = Recording::keeping_calls(bucket, Observer::new());
        let mut engine = serving(&recording.bucket());
        engine.settings.jobs = jobs;
        ingest(&engine, source.path(), "/store//set", None).expect("ingests");
        let writes: Vec<_> = recording.take_calls().into_iter().filter(|call| call.verb == Verb::Create).collect();
        let stored = engine.observer.get(Counter::StoredBytes);
        assert!(stored > FILES * FILE_BYTES as u64);
        assert!(writes.len() as u64 <= stored / (24 << 20) + 20);
        // What the 20 are for, with the tails of all workers in as few packs as they fill.
        let of = |folder: &str| writes.iter().filter(|call| call.name.starts_with(folder)).count() as u64;
        assert!(of("packs/") <= stored / (24 << 20) + 1, "{jobs} workers: {} packs of {stored} bytes", of("packs/"));
        assert_eq!([of("meta/"), of("index/"), of("log/"), of("state/")], [1, 1, 1, 0], "{jobs} workers");
        assert_eq!(writes.len() as u64, of("packs/") + 3);
    }
}
