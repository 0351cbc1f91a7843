//! What a machine keeps of a store in a cloud: what it saves, and that it is never the truth.

use std::fs;

use dagset::base::Kind;
use dagset::engine::{Access, CloneOptions, DoctorOptions, GetOptions, LogOptions, PushOptions, RefKind};

use crate::machine::{Cost, FAR, Machine, address, file_names};
use crate::stage::copy_of;

fn offline() -> Access {
    Access { offline: true, ..Access::default() }
}

/// Requests of listing the far store's datasets.
#[track_caller]
fn cost_of_listing(machine: &Machine) -> Cost {
    machine.run(|engine| engine.list_datasets(FAR, &Default::default())).1
}

#[test]
fn with_nothing_new_a_command_asks_twice() {
    let machine = Machine::with_store();
    machine.publish("team/signs", 3);
    let cost = cost_of_listing(&machine);
    assert_eq!((cost.gets, cost.lists, cost.puts), (2, 0, 0), "the record that it knows, and the next");
    let signs = address(&format!("{FAR}/team/signs"));
    let cost = machine.run(|engine| engine.list_refs(&signs, RefKind::Branch)).1;
    assert_eq!((cost.gets, cost.lists), (2, 0), "no prefix is tried");
    let cold = Machine::new(machine.far());
    let cost = cold.run(|engine| engine.list_refs(&signs, RefKind::Branch)).1;
    assert_eq!((cost.gets, cost.lists), (4, 1), "two prefixes, the newest record, and the next");
    assert_eq!(cost_of_listing(&cold).requests(), 2);
}

#[test]
fn a_push_or_fetch_with_nothing_to_do_asks_twice() {
    let machine = Machine::with_store();
    machine.publish("team/signs", 2);
    let options =
        CloneOptions { address: format!("{FAR}//team/signs"), folder: Some(machine.path("work")), no_content: false };
    fs::remove_dir_all(machine.path("work")).ok();
    machine.run(|engine| engine.clone_dataset(&options));
    let (fetched, cost) = machine.run(|engine| engine.fetch(None));
    assert_eq!(fetched.versions, 0);
    assert_eq!(cost.requests(), 2, "{cost:?}");
    let (pushed, cost) = machine.run(|engine| engine.push(&PushOptions::default()));
    assert_eq!(pushed.versions, 0);
    assert_eq!(cost.requests(), 2, "{cost:?}");
    for cold in [false, true] {
        if cold {
            fs::remove_dir_all(machine.mirrors()).expect("is there");
        }
        let (_, cost) = machine.run(|engine| engine.fetch(None));
        assert_eq!((cost.gets, cost.lists), if cold { (3, 1) } else { (2, 0) });
    }
    fs::remove_dir_all(machine.mirrors()).expect("is there");
    let (_, cost) = machine.run(|engine| engine.push(&PushOptions::default()));
    assert_eq!((cost.gets, cost.lists), (3, 1), "dagset.json, where the log ends, the newest record, and the next");
}

#[test]
fn what_others_appended_is_followed_one_by_one_or_by_the_newest_and_a_state() {
    let machine = Machine::with_store();
    machine.publish("set", 1);
    let other = Machine::new(machine.far());
    for (records, most) in [(1, 3), (3, 5), (20, 12), (100, 16)] {
        other.publish("set", records);
        let cost = cost_of_listing(&machine);
        assert!(cost.requests() <= most, "{records}: {cost:?}");
        let of = |machine: &Machine| {
            machine.run(|engine| engine.log(&address(&format!("{FAR}//set")), LogOptions::default())).0
        };
        assert_eq!(format!("{:?}", of(&machine)), format!("{:?}", of(&Machine::new(machine.far()))));
    }
    // Both write on from what they know.
    machine.publish("mine", 2);
    other.publish("set", 2);
    assert_eq!(
        crate::stage::findings(&Machine::new(machine.far()).engine(Access::default()), FAR),
        Vec::<String>::new()
    );
}

#[test]
fn a_store_that_was_restored_or_made_anew_is_noticed() {
    let machine = Machine::with_store();
    machine.publish("set", 2);
    let backup = copy_of(machine.far());
    machine.publish("set", 3);
    let another = Machine::new(&backup);
    another.publish("other", 1);
    let machine = machine.facing(another.far());
    let (listed, _, notes) =
        machine.try_run(Access::default(), |engine| engine.list_datasets(FAR, &Default::default()));
    assert_eq!(listed.expect_err("it has gone back").kind(), Kind::Damaged);
    assert!(notes.contains("isn't the store that it was"), "{notes}");
    let options = DoctorOptions { store: Some(FAR.to_owned()), fix: true };
    machine.run(|engine| Ok(engine.doctor(&options)));
    let listed = machine.run(|engine| engine.list_datasets(FAR, &Default::default())).0;
    assert_eq!(listed.len(), 2, "what the backup and its new writer have");
    assert_eq!(cost_of_listing(&machine).requests(), 2, "and is known now");
    let machine = machine.facing(Machine::with_store().far());
    assert_eq!(machine.run(|engine| engine.list_datasets(FAR, &Default::default())).0.len(), 0);
    machine.publish("set", 1);
    let gone = machine.facing(&dagset::store::backend::memory());
    let (listed, _, _) = gone.try_run(Access::default(), |engine| engine.list_datasets(FAR, &Default::default()));
    assert_eq!(listed.expect_err("no store any more").kind(), Kind::NotFound);
}

#[test]
fn a_damaged_mirror_is_made_anew() {
    let machine = Machine::with_store();
    machine.publish("set", 2);
    let listed =
        |machine: &Machine| machine.try_run(Access::default(), |engine| engine.list_datasets(FAR, &Default::default()));
    for path in crate::env::everything_below(&machine.mirrors()).into_iter().filter(|path| path.is_file()) {
        fs::write(path, b"no longer what it was, and longer than a header of some kind would be").expect("writes");
    }
    let (found, cost, notes) = listed(&machine);
    assert_eq!(found.expect("lists").len(), 1);
    assert!(cost.lists == 1 && notes.contains("is made anew"), "{cost:?} {notes}");
    assert_eq!(cost_of_listing(&machine).requests(), 2);
    machine.publish("set", 1);
}

#[test]
fn offline_answers_what_is_kept_and_says_what_is_not() {
    let machine = Machine::with_store();
    machine.publish("set", 3);
    let set = address(&format!("{FAR}/set"));
    let (branches, cost, _) = machine.try_run(offline(), |engine| engine.list_refs(&set, RefKind::Branch));
    assert_eq!((branches.expect("is kept").len(), cost.requests()), (1, 0));
    let read = |access, text: &str| {
        let (versions, cost, _) = machine.try_run(access, |engine| engine.log(&address(text), LogOptions::default()));
        (versions.map(|versions| versions.len()).map_err(|fault| fault.kind()), cost.requests())
    };
    let (set, newest) = (format!("{FAR}/set"), format!("{FAR}/set@main"));
    assert_eq!(read(offline(), &set), (Err(Kind::Unreachable), 0), "no record was ever read");
    assert_eq!(read(Access::default(), &format!("{set}@main~1")), (Ok(2), 2 + 2));
    assert_eq!(read(Access::default(), &newest), (Ok(3), 2 + 1), "those that were read are kept");
    assert_eq!(read(offline(), &newest), (Ok(3), 0));
    let set = address(&set);
    let out = GetOptions { folder: machine.path("out"), ..GetOptions::default() };
    let (got, cost, _) = machine.try_run(offline(), |engine| engine.get(&set, &out));
    let fault = got.expect_err("content isn't kept");
    assert_eq!((fault.kind(), cost.requests()), (Kind::Unreachable, 0));
    let said = crate::stage::whole_text(&fault);
    assert!(said.contains("offline, and meta/") && said.contains("without --offline"), "{said}");
    let stranger = Machine::new(machine.far());
    let (listed, cost, _) = stranger.try_run(offline(), |engine| engine.list_datasets(FAR, &Default::default()));
    assert_eq!((listed.expect_err("knows nothing").kind(), cost.requests()), (Kind::Unreachable, 0));
}

#[test]
fn only_new_indexes_are_fetched_and_old_ones_leave() {
    let machine = Machine::with_store();
    for number in 0..3 {
        machine.write("source/file", format!("content {number}"));
        machine.ingest("set", "source");
    }
    // The writer keeps what it wrote: three indexes, the database and what SQLite keeps beside it while it is open.
    let kept =
        |machine: &Machine| file_names(&machine.mirrors()).iter().filter(|name| name.starts_with("0000")).count();
    assert_eq!(kept(&machine), 3);
    let other = Machine::new(machine.far());
    other.write("source/file", "content 3");
    let (_, cold) = other.ingest("set", "source");
    assert_eq!((cold.gets, cold.lists), (7, 1), "the store file, two looks for a newer record, three indexes");
    other.write("source/file", "content 4");
    let (_, warm) = other.ingest("set", "source");
    assert_eq!((warm.gets, warm.lists), (3, 0), "no index is fetched");
    machine.write("source/file", "content 5");
    let (_, behind) = machine.ingest("set", "source");
    assert_eq!((behind.gets, behind.lists), (3 + 2 + 2, 0), "two records and their indexes");
    for number in 0..12 {
        other.write("source/file", format!("more {number}"));
        other.ingest("set", "source");
    }
    let listed = other.run(|engine| engine.store_info(FAR)).0.indexes as usize;
    assert!(listed < 8, "they were merged: {listed}");
    assert_eq!(kept(&other), listed);
}

#[test]
fn many_share_a_mirror_and_none_fails_by_it() {
    let machine = Machine::with_store();
    machine.publish("set", 1);
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let machine = &machine;
            scope.spawn(move || {
                let source = format!("source-{writer}");
                for number in 0..3 {
                    machine.write(&format!("{source}/file"), format!("{writer} {number}"));
                    machine.ingest(&format!("set-{writer}"), &source);
                }
            });
        }
    });
    let cards = machine.run(|engine| engine.list_datasets(FAR, &Default::default())).0;
    assert_eq!(cards.iter().map(|card| card.versions).sum::<u64>(), 1 + 16 * 3);
    let fresh = Machine::new(machine.far()).run(|engine| engine.list_datasets(FAR, &Default::default())).0;
    assert_eq!(format!("{cards:?}"), format!("{fresh:?}"));
}

/// A machine that has listed, and a store with one version of 300 files in two folders.
fn after_listing() -> Machine {
    let maker = Machine::with_store();
    for number in 0..300 {
        maker.write(&format!("source/{}/{number}", number % 2), format!("content {number}"));
    }
    maker.ingest("set", "source");
    let machine = Machine::new(maker.far());
    assert_eq!(listed_at(&machine, Access::default()).0, Ok(300));
    machine
}

/// How many entries a listing of everything gives, and what it took.
fn listed_at(machine: &Machine, access: Access) -> (Result<usize, Kind>, Cost) {
    let set = address(&format!("{FAR}/set"));
    let (listed, cost, _) = machine.try_run(access, |engine| engine.list_entries(&set, true));
    (listed.map(|listed| listed.len()).map_err(|fault| fault.kind()), cost)
}

/// The kept frames of manifests and other metadata.
fn kept_frames(machine: &Machine) -> Vec<std::path::PathBuf> {
    let is_frame = |path: &std::path::PathBuf| path.is_file() && path.parent().is_some_and(|at| at.ends_with("meta"));
    crate::env::everything_below(&machine.mirrors()).into_iter().filter(is_frame).collect()
}

#[test]
fn what_was_read_of_a_manifest_is_not_read_again() {
    let machine = after_listing();
    let (_, again) = listed_at(&machine, Access::default());
    assert_eq!((again.gets, again.lists), (2, 0), "the record that it knows, and the next");
    let (listed, cost) = listed_at(&machine, offline());
    assert_eq!((listed, cost.requests()), (Ok(300), 0));
    let file = address(&format!("{FAR}/set:1/7"));
    let (_, cost) = machine.run(|engine| engine.cat(&file, &mut Vec::new()));
    assert_eq!(cost.gets, 2 + 1, "and the file's range");
    let (report, cost) = machine.run(|engine| engine.verify_version(&address(&format!("{FAR}/set"))));
    assert!(report.findings.is_empty() && cost.gets > 3, "it reads the store: {cost:?}");
}

#[test]
fn a_kept_frame_that_is_damaged_is_read_again() {
    let machine = after_listing();
    let frames = kept_frames(&machine);
    assert!(!frames.is_empty());
    for spoil in [
        |bytes: &mut Vec<u8>| bytes[20] ^= 1,
        |bytes: &mut Vec<u8>| bytes.truncate(20),
        |bytes: &mut Vec<u8>| bytes.clear(),
    ] {
        for frame in &frames {
            let mut bytes = fs::read(frame).expect("reads");
            spoil(&mut bytes);
            fs::write(frame, bytes).expect("writes");
        }
        let (listed, cost) = listed_at(&machine, Access::default());
        assert!(listed == Ok(300) && cost.gets > 2, "{cost:?}");
        assert_eq!(listed_at(&machine, Access::default()).1.requests(), 2, "and is kept anew");
    }
    fs::remove_dir_all(machine.mirrors()).expect("is there");
    assert_eq!(listed_at(&machine, Access::default()).0, Ok(300));
}

#[test]
fn two_versions_of_a_dataset_are_compared_by_opening_it_once() {
    let machine = Machine::with_store();
    machine.publish("set", 2);
    let (old, new) = (address(&format!("{FAR}/set@main~1")), address(&format!("{FAR}/set@main")));
    let cold = Machine::new(machine.far());
    let (found, cost) = cold.run(|engine| engine.diff(&old, &new));
    assert_eq!(found.modified.len(), 1);
    assert_eq!((cost.gets, cost.lists), (3 + 2, 1), "dagset.json, the newest record, the next, the two roots");
    let (_, cost) = cold.run(|engine| engine.diff(&old, &new));
    assert_eq!((cost.gets, cost.lists), (2, 0), "the record that it knows, and the next");
}

#[test]
fn no_request_goes_to_a_pack_that_no_index_names() {
    let maker = Machine::with_store();
    for number in 0..40 {
        maker.write(&format!("source/{number:02}"), crate::stage::noise(number, 30_000));
    }
    maker.ingest("set", "source");
    let machine = Machine::new(maker.far());
    assert_eq!(listed_at(&machine, Access::default()).0, Ok(40));
    let contents = vec![dagset::base::Id::of(&crate::stage::noise(0, 30_000))];
    let options = dagset::engine::PurgeOptions {
        patterns: Vec::new(),
        contents,
        condition: None,
        reason: dagset::engine::Reason::new("it leaked").expect("a reason"),
        force: false,
        dry_run: false,
    };
    maker.run(|engine| engine.purge(&address(FAR), &options));
    let read = |number: usize| {
        let file = address(&format!("{FAR}/set:{number:02}"));
        machine.run(|engine| engine.cat(&file, &mut Vec::new())).1.gets
    };
    // Opened by the record that it knows, the next one and the one behind; a hint that leads nowhere, the index, the file's range.
    let first = read(1);
    assert_eq!(read(2), 2 + 1, "the first took {first}; the index says that the hint's pack is gone");
    let out = GetOptions { folder: machine.path("out"), ..GetOptions::default() };
    let (got, cost) = machine.run(|engine| engine.get(&address(&format!("{FAR}/set")), &out));
    assert_eq!((got.purged.len(), cost.gets), (1, 2 + 1), "one pack, read in one go");
}
