//! What a merge of very large versions reads and writes: what differs, and the way there.

use dagset::base::Observer;
use dagset::engine::MergeOptions;
use dagset::store::recording::Recording;

use crate::long_history::{branch_off, dataset, fill_once};
use crate::machine::{FAR, Machine, address};

const FOLDERS: u64 = 800;
const CHANGED: u64 = 500;
/// Of about 45 MB that the manifest of a million such files takes.
const MOST_RECEIVED: u64 = 2_000_000;
const MOST_WRITTEN: u64 = 500_000;
const MOST_REQUESTS: u64 = 80;

#[test]
fn two_versions_of_a_million_files_that_differ_in_a_thousand_are_merged_by_what_differs() {
    let maker = Machine::with_store();
    fill_once(maker.far(), FOLDERS);
    let paths =
        |folder: u64| (0..CHANGED).map(|file| format!("part-{folder:04}/image-{file:06}.jpg")).collect::<Vec<_>>();
    branch_off(maker.far(), "one", &paths(3));
    branch_off(maker.far(), "two", &paths(700));
    let recording = Recording::keeping_calls(maker.far().clone(), Observer::new());
    let machine = Machine::new(&recording.bucket());
    let parent = |branch: &str| address(&format!("{FAR}/{}@{branch}", dataset()));
    let options = MergeOptions { branch: Some("both".to_owned()), ..MergeOptions::default() };
    let (report, cost) = machine.run(|engine| engine.merge(&[parent("one"), parent("two")], &options));
    println!("merge: {cost:?}");
    let calls = recording.take_calls();
    let published = report.published.expect("nothing is in conflict");
    assert_eq!((published.files, published.changed), (1_000_000, true));
    assert!(cost.requests() <= MOST_REQUESTS && cost.received_bytes <= MOST_RECEIVED, "{cost:?} {calls:#?}");
    assert!(published.stored_bytes <= MOST_WRITTEN, "{published:?}");
    for (branch, folder) in [("one", 3), ("two", 700)] {
        let (differs, _) = machine.run(|engine| engine.diff(&parent(branch), &parent("both")));
        let other = if folder == 3 { 700 } else { 3 };
        let modified: Vec<String> = differs.modified.into_iter().map(|entry| entry.path).collect();
        assert_eq!(modified, paths(other), "{branch} came to what the other changed");
        assert!(differs.added.is_empty() && differs.removed.is_empty() && differs.renamed.is_empty());
    }
}
