//! What a machine that knows nothing of a store reads for one answer, however many files and versions there are.

use std::fs;

use dagset::base::Observer;
use dagset::engine::{CloneOptions, CommitOptions, GetOptions, InitOptions, LogOptions, PushOptions};
use dagset::store::recording::{Call, Recording};
use dagset::store::{Verb, backend};

use crate::long_history::{
    BUSY_FOLDER, CONTENT_BYTES, FILES, FOLDERS, VERSIONS, dataset, fill, fill_folder, fill_once, path,
};
use crate::machine::{Cost, FAR, Machine, address};

const MOST_REQUESTS: u64 = 13;
/// Bytes received, beside the list of at most a thousand records.
const MOST_BYTES: u64 = 1_600_000;

#[track_caller]
fn assert_is_cheap(cost: &Cost, recording: &Recording) -> Vec<Call> {
    let calls = recording.take_calls();
    assert!(cost.requests() <= MOST_REQUESTS && cost.received_bytes <= MOST_BYTES, "{cost:?} {calls:#?}");
    assert!(calls.iter().all(|call| !call.name.starts_with("index/")), "hints are enough: {calls:#?}");
    let packs: u64 = calls.iter().filter(|call| call.name.starts_with("packs/")).map(|call| call.bytes).sum();
    assert!(calls.iter().all(|call| call.verb != Verb::Get || call.name.starts_with("log/")), "{calls:#?}");
    assert!(packs < 100_000, "a range, and not the pack: {calls:#?}");
    calls
}

#[test]
fn one_answer_from_a_million_files_and_a_thousand_versions_takes_few_requests() {
    let maker = Machine::with_store();
    fill(maker.far());
    let recording = Recording::keeping_calls(maker.far().clone(), Observer::new());
    let cold = || Machine::new(&recording.bucket());
    for version in [1, VERSIONS / 2 + 1, VERSIONS] {
        for folder in [0, BUSY_FOLDER, FOLDERS - 1] {
            let text = format!("{FAR}/{}@v{version}:part-{folder:03}/", dataset());
            let (listed, cost) = cold().run(|engine| engine.list_entries(&address(&text), false));
            assert_eq!(listed.len() as u64, FILES);
            assert_eq!(listed[7].path, path(folder, 7));
            let calls = assert_is_cheap(&cost, &recording);
            let records = calls.iter().filter(|call| call.verb == Verb::Get).count();
            assert_eq!(records, 1, "a version's name never moves, so nobody asks what came behind: {calls:#?}");
            println!("ls v{version} part-{folder}: {cost:?}");
        }
        let file = address(&format!("{FAR}/{}@v{version}:{}", dataset(), path(333, 33)));
        let mut content = Vec::new();
        let (_, cost) = cold().run(|engine| engine.cat(&file, &mut content));
        assert_eq!(content.len(), CONTENT_BYTES);
        assert_is_cheap(&cost, &recording);
        println!("cat v{version}: {cost:?}");
        let machine = cold();
        let options = GetOptions { folder: machine.path("out"), ..GetOptions::default() };
        let (_, cost) = machine.run(|engine| engine.get(&file, &options));
        assert_eq!(fs::read(machine.path("out/image-0033.jpg")).expect("was got"), content);
        assert_is_cheap(&cost, &recording);
        println!("get v{version}: {cost:?}");
        let machine = cold();
        let patterns = [path(333, 33), "part-502/image-003?.jpg".to_owned()].to_vec();
        let options = GetOptions { folder: machine.path("out"), patterns, ..GetOptions::default() };
        let all = address(&format!("{FAR}/{}@v{version}", dataset()));
        let (got, cost) = machine.run(|engine| engine.get(&all, &options));
        assert_eq!(got.files, 11);
        println!("get v{version} PATH GLOB: {cost:?}");
        assert_is_cheap(&cost, &recording);
    }
}

/// How the versions of a history come into the far store.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Coming {
    Committed,
    PushedEach,
    PushedTogether,
}

/// Versions of one folder, each of which changes a file that is far from those that others change, are named `v1` and so on; then each of a few
/// is listed by a machine that knows nothing.
fn list_a_folder_that_each_version_changed(coming: Coming) {
    const FILES: usize = 4_000;
    const VERSIONS: usize = 60;
    let machine = Machine::with_store();
    let file = |number: usize| format!("work/all/{number:06}.txt");
    (0..FILES).for_each(|number| machine.write(&file(number), number.to_string()));
    let store = (coming == Coming::Committed).then(|| FAR.to_owned());
    let options = InitOptions { folder: None, dataset: Some("set".to_owned()), store };
    machine.run(|engine| engine.init(&options));
    let mut received = 0;
    for version in 1..=VERSIONS {
        machine.write(&file(version * 1_517 % FILES), format!("version {version}"));
        let name = Some(format!("v{version}"));
        let options = CommitOptions { all: true, name, ..CommitOptions::default() };
        received += machine.run(|engine| engine.commit(&options)).1.received_bytes;
        let is_pushed = coming == Coming::PushedEach || coming == Coming::PushedTogether && version == VERSIONS;
        if is_pushed {
            let options = PushOptions { remote: Some(format!("{FAR}//set")), tags: true, ..PushOptions::default() };
            machine.run(|engine| engine.push(&options));
        }
    }
    assert!(received < 100_000 * VERSIONS as u64, "what is taken along is a small part: {received}");
    for version in [1, VERSIONS / 2, VERSIONS] {
        let folder = address(&format!("{FAR}/set@v{version}:all/"));
        let (listed, cost) = Machine::new(machine.far()).run(|engine| engine.list_entries(&folder, false));
        assert_eq!(listed.len(), FILES);
        assert!(cost.requests() <= 13 && cost.received_bytes <= 1_000_000, "{coming:?}: {cost:?}");
    }
}

#[test]
fn a_folder_that_each_commit_changed_somewhere_is_listed_with_few_requests() {
    list_a_folder_that_each_version_changed(Coming::Committed);
}

#[test]
fn a_folder_that_each_push_changed_somewhere_is_listed_with_few_requests() {
    list_a_folder_that_each_version_changed(Coming::PushedEach);
}

#[test]
fn a_folder_that_each_version_of_one_push_changed_somewhere_is_listed_with_few_requests() {
    list_a_folder_that_each_version_changed(Coming::PushedTogether);
}

#[test]
fn the_root_of_a_million_files_is_listed_without_a_request_for_each_folder() {
    // Each leaf in which one folder ends and another begins has to be read: 11 kB for one that names contents of its own.
    for (folders, most_requests, most_bytes) in
        [(20, 8, 600_000), (100, 8, 2_000_000), (1_000, 10, 17_000_000), (2_000, 12, 25_000_000)]
    {
        let maker = Machine::with_store();
        fill_once(maker.far(), folders);
        let machine = Machine::new(maker.far());
        let all = address(&format!("{FAR}/{}", dataset()));
        let (listed, cost) = machine.run(|engine| engine.list_entries(&all, false));
        println!("ls of {folders} folders: {cost:?}");
        assert_eq!(listed.len() as u64, folders);
        assert!(cost.requests() <= most_requests && cost.received_bytes <= most_bytes, "{folders}: {cost:?}");
    }
}

#[test]
fn the_log_of_a_history_that_was_pushed_takes_few_requests() {
    let machine = Machine::with_store();
    let near = machine.path("near");
    let near = near.to_str().expect("UTF-8");
    machine.run(|engine| engine.create_store(near));
    fill_folder(&backend::open_folder(near).expect("a store"));
    let (from, to) = [near, FAR].map(|store| address(&format!("{store}//{}", dataset()))).into();
    machine.run(|engine| engine.copy_dataset(&from, &to));
    let recording = Recording::keeping_calls(machine.far().clone(), Observer::new());
    let cold = Machine::new(&recording.bucket());
    let (log, cost) = cold.run(|engine| engine.log(&to, LogOptions::default()));
    assert_eq!(log.len() as u64, VERSIONS);
    println!("log of {VERSIONS} versions: {cost:?}");
    assert!(cost.requests() <= 8 && cost.received_bytes <= 500_000, "{cost:?} {:#?}", recording.take_calls());
}

#[test]
fn a_history_that_was_published_one_by_one_is_cloned_by_a_request_a_version() {
    const PUBLISHED: u64 = 40;
    let maker = Machine::with_store();
    for number in 0..1_000 {
        maker.write(&format!("source/{:02}/{number:04}", number % 20), format!("{number}"));
    }
    for version in 0..PUBLISHED {
        maker.write(&format!("source/{:02}/0007", version % 20), format!("in version {version}"));
        maker.ingest("set", "source");
    }
    let recording = Recording::keeping_calls(maker.far().clone(), Observer::new());
    let cold = Machine::new(&recording.bucket());
    let options = CloneOptions { address: format!("{FAR}//set"), folder: Some(cold.path("clone")), no_content: true };
    let (cloned, cost) = cold.run(|engine| engine.clone_dataset(&options));
    assert_eq!(cloned.versions, PUBLISHED);
    let calls = recording.take_calls();
    let of_meta = calls.iter().filter(|call| call.name.starts_with("meta/"));
    let (requests, bytes) = of_meta.fold((0, 0), |(requests, bytes), call| (requests + 1, bytes + call.bytes));
    println!("a clone of {PUBLISHED} versions: {cost:?}, {requests} requests for metadata of {bytes} bytes");
    assert!(requests <= PUBLISHED + 6, "{calls:#?}");
    let names = maker.far().list("meta").expect("is listed").objects.into_iter();
    let stored: u64 = names.map(|pack| pack.bytes).sum();
    assert!(bytes <= stored + stored / 8, "{bytes} of {stored} bytes");
}
