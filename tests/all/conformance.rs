//! What every implementation of `Objects` must do, run against each of them.

use std::sync::Barrier;
use std::thread;

use bytes::Bytes;

use dagset::base::{Kind, Observer, Time};
use dagset::store::backend;
use dagset::store::faulty::Faulty;
use dagset::store::recording::Recording;
use dagset::store::{Below, Bucket, Created, Listing};

use crate::s3::{Server, server};

fn suite(fresh: &dyn Fn() -> Bucket) {
    create_is_if_absent(&fresh());
    one_of_many_wins(&fresh());
    reads_have_exact_edges(&fresh());
    lists_one_level(&fresh());
    lists_are_whole(&fresh());
    deletes(&fresh());
    bad_names_are_refused(&fresh());
    reads_from_many_threads(&fresh());
}

#[test]
fn folder() {
    let folder = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    suite(&|| {
        next.set(next.get() + 1);
        backend::create_folder(folder.path().join(next.get().to_string()).to_str().unwrap()).unwrap()
    });
}

#[test]
fn memory() {
    suite(&backend::memory);
}

#[test]
fn recording() {
    suite(&|| Recording::keeping_calls(backend::memory(), Observer::new()).bucket());
}

#[test]
fn faulty() {
    suite(&|| Faulty::new(backend::memory()).bucket());
}

#[test]
fn s3() {
    let Some(server) = server(Server::Real) else { return };
    suite(&|| server.bucket("conformance"));
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn create_is_if_absent(bucket: &Bucket) {
    assert_eq!(bucket.create("log/000/000/001", bytes("first")).unwrap(), Created::New);
    assert_eq!(bucket.create("log/000/000/001", bytes("second")).unwrap(), Created::Exists);
    assert_eq!(bucket.create("log/000/000/001", bytes("first")).unwrap(), Created::Exists);
    assert_eq!(bucket.get("log/000/000/001").unwrap(), "first");
    assert!(!bucket.describe().is_empty());
}

fn one_of_many_wins(bucket: &Bucket) {
    const WRITERS: usize = 16;
    for round in 0..8 {
        let name = format!("log/{round:03}/000/001");
        let start = Barrier::new(WRITERS);
        let outcomes: Vec<Created> = thread::scope(|scope| {
            let write = |writer: usize| {
                let (start, name) = (&start, &name);
                let body = Bytes::from(vec![writer as u8; 100_000 + writer]);
                scope.spawn(move || {
                    start.wait();
                    let created = bucket.create(name, body).unwrap();
                    let read = bucket.get(name).unwrap();
                    assert_eq!(read.len(), 100_000 + usize::from(read[0]), "whole as soon as it is there");
                    created
                })
            };
            let writers: Vec<_> = (0..WRITERS).map(write).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..WRITERS).filter(|&writer| outcomes[writer] == Created::New).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        let read = bucket.get(&name).unwrap();
        assert!(read.len() == 100_000 + winners[0] && read.iter().all(|&byte| usize::from(byte) == winners[0]));
    }
}

fn reads_have_exact_edges(bucket: &Bucket) {
    bucket.create("packs/a", bytes("0123456789")).unwrap();
    bucket.create("packs/empty", Bytes::new()).unwrap();

    assert_eq!(bucket.get("packs/a").unwrap(), "0123456789");
    assert_eq!(bucket.get("packs/empty").unwrap(), "");
    // In a folder what else stands there is damage, and no absence.
    let (blocked, absent) = match bucket.is_far() {
        true => (vec![], vec!["packs/b", "nowhere/b", "packs/a/b", "packs"]),
        false => (vec!["packs/a/b", "packs"], vec!["packs/b", "nowhere/b"]),
    };
    for blocked in blocked {
        assert_eq!(bucket.get(blocked).unwrap_err().kind(), Kind::Damaged, "{blocked}");
        assert_eq!(bucket.get_range(blocked, 0, 1).unwrap_err().kind(), Kind::Damaged, "{blocked}");
        assert_eq!(bucket.get_tail(blocked, 1).unwrap_err().kind(), Kind::Damaged, "{blocked}");
        assert_eq!(bucket.size(blocked).unwrap_err().kind(), Kind::Damaged, "{blocked}");
    }
    for absent in absent {
        assert_eq!(bucket.get(absent).unwrap_err().kind(), Kind::NotFound, "{absent}");
        assert_eq!(bucket.get_range(absent, 0, 1).unwrap_err().kind(), Kind::NotFound, "{absent}");
        assert_eq!(bucket.get_range(absent, 0, 0).unwrap_err().kind(), Kind::NotFound, "{absent}");
        assert_eq!(bucket.get_tail(absent, 1).unwrap_err().kind(), Kind::NotFound, "{absent}");
        assert_eq!(bucket.get_tail(absent, 0).unwrap_err().kind(), Kind::NotFound, "{absent}");
        assert_eq!(bucket.size(absent).unwrap(), None, "{absent}");
    }

    for (offset, length, expected) in [(0, 10, "0123456789"), (3, 4, "3456"), (9, 1, "9"), (10, 0, ""), (0, 0, "")] {
        assert_eq!(bucket.get_range("packs/a", offset, length).unwrap(), expected);
    }
    for (offset, length) in [(0, 11), (9, 2), (10, 1), (11, 0), (11, 1), (1, u64::MAX), (u64::MAX, 1), (u64::MAX, 0)] {
        let fault = bucket.get_range("packs/a", offset, length).unwrap_err();
        assert_eq!(fault.kind(), Kind::Damaged, "{offset} {length}");
    }
    assert_eq!(bucket.get_range("packs/empty", 0, 0).unwrap(), "");
    assert_eq!(bucket.get_range("packs/empty", 0, 1).unwrap_err().kind(), Kind::Damaged);

    for (length, expected) in [(0, ""), (1, "9"), (10, "0123456789"), (11, "0123456789"), (u64::MAX, "0123456789")] {
        assert_eq!(bucket.get_tail("packs/a", length).unwrap(), (bytes(expected), 10));
        assert_eq!(bucket.get_tail("packs/empty", length).unwrap(), (Bytes::new(), 0));
    }
    assert_eq!(bucket.size("packs/a").unwrap(), Some(10));
    assert_eq!(bucket.size("packs/empty").unwrap(), Some(0));
}

fn lists_one_level(bucket: &Bucket) {
    assert_eq!(bucket.list("").unwrap(), Listing::default());
    for name in ["dagset.json", "log/001/000/000", "log/000/002/000", "log/000/001/000", "log/x", "log-b/y", "lo/z"] {
        bucket.create(name, bytes(name)).unwrap();
    }
    let names = |folder: &str| {
        let listing = bucket.list(folder).unwrap();
        (listing.folders, listing.objects.into_iter().map(|object| object.name).collect::<Vec<_>>())
    };
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(""), (owned(&["lo", "log", "log-b"]), owned(&["dagset.json"])));
    assert_eq!(names("log"), (owned(&["000", "001"]), owned(&["x"])));
    assert_eq!(names("log/000"), (owned(&["001", "002"]), vec![]));
    assert_eq!(names("log/000/001"), (vec![], owned(&["000"])));
    assert_eq!(names("l"), (vec![], vec![]), "a prefix is a whole component");
    assert_eq!(names("missing/folder"), (vec![], vec![]));
    // An object is no folder; in a folder it stands in the place of one.
    match bucket.list("log/x") {
        Err(fault) if !bucket.is_far() => assert_eq!(fault.kind(), Kind::Damaged, "{fault}"),
        listed => assert_eq!(listed.unwrap(), Listing::default()),
    }

    let below = bucket.list_below("log", None).unwrap();
    assert!(below.reaches_end && below.names.is_sorted(), "{below:?}");
    assert_eq!(below.names.iter().filter(|name| name.starts_with("001/")).collect::<Vec<_>>(), ["001/000/000"]);
    assert_eq!(bucket.list_below("missing/folder", None).unwrap(), Below { names: vec![], reaches_end: true });
    if bucket.is_far() {
        // A folder shows its last names, wherever the list is to begin.
        let behind = bucket.list_below("log", Some("001/000/000")).unwrap();
        assert_eq!(behind, Below { names: vec!["x".to_owned()], reaches_end: true });
    }

    let object = bucket.list("log").unwrap().objects.remove(0);
    assert_eq!(object.bytes, 5);
    assert!((Time::now().0 - object.modified.0).abs() < 600_000, "written just now: {}", object.modified);
}

fn lists_are_whole(bucket: &Bucket) {
    let name = |number: usize| format!("{:04}", number * 7919 % 1201);
    thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                for number in (part..1201).step_by(4) {
                    bucket.create(&format!("packs/{}", name(number)), Bytes::new()).unwrap();
                }
            });
        }
    });
    let listed: Vec<String> = bucket.list("packs").unwrap().objects.into_iter().map(|object| object.name).collect();
    assert_eq!(listed, (0..1201).map(|number| format!("{number:04}")).collect::<Vec<_>>());
}

fn deletes(bucket: &Bucket) {
    bucket.create("packs/a", bytes("a")).unwrap();
    bucket.delete("packs/a").unwrap();
    bucket.delete("packs/a").unwrap();
    bucket.delete("never/there").unwrap();
    assert_eq!(bucket.get("packs/a").unwrap_err().kind(), Kind::NotFound);
    assert!(bucket.list("packs").unwrap().objects.is_empty());
    assert_eq!(bucket.create("packs/a", bytes("b")).unwrap(), Created::New);
}

fn bad_names_are_refused(bucket: &Bucket) {
    for name in ["", "/a", "../a", "a#1", "a b", "a%41", "a//b", "a/"] {
        assert_eq!(bucket.create(name, Bytes::new()).unwrap_err().kind(), Kind::Usage, "{name}");
        assert_eq!(bucket.get(name).unwrap_err().kind(), Kind::Usage, "{name}");
        assert_eq!(bucket.get_range(name, 0, 1).unwrap_err().kind(), Kind::Usage, "{name}");
        assert_eq!(bucket.get_tail(name, 1).unwrap_err().kind(), Kind::Usage, "{name}");
        assert_eq!(bucket.size(name).unwrap_err().kind(), Kind::Usage, "{name}");
        assert_eq!(bucket.delete(name).unwrap_err().kind(), Kind::Usage, "{name}");
    }
    assert_eq!(bucket.list("../a").unwrap_err().kind(), Kind::Usage);
}

fn reads_from_many_threads(bucket: &Bucket) {
    let body: Bytes = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    bucket.create("packs/big", body.clone()).unwrap();
    rayon::scope(|scope| {
        for part in 0..30 {
            let body = &body;
            scope.spawn(move |_| {
                let offset = part * 256 * 1024;
                let read = bucket.get_range("packs/big", offset as u64, 256 * 1024).unwrap();
                assert_eq!(read, body[offset..offset + 256 * 1024]);
            });
        }
    });
}
