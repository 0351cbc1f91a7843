//! What stands in a folder store where a folder or a record of it belongs and is none: found, named, moved away, and never taken for nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use dagset::base::Observer;
use dagset::store::log::{head, record_name};
use dagset::store::{Created, backend};

use crate::env::{Outcome, TestEnv, everything_below};
use crate::s3::{Server, server};
use crate::world::copy_folder;

/// The store's own folders, and those of its log in which records lie.
const FOLDERS: [&str; 8] = ["packs", "meta", "index", "state", "uses", "log", "log/000", "log/000/000"];
const INGEST: [&str; 6] = ["ingest", "data", "--into", "./store//set", "--as", "new"];
const COMMANDS: [&[&str]; 6] = [
    &["ls", "./store/set"],
    &["get", "./store/set", "out", "--overwrite"],
    &INGEST,
    &["gc", "./store"],
    &["verify", "./store"],
    &["doctor", "./store"],
];
const REPAIR: [&str; 4] = ["verify", "./store", "--repair-from", "./copy"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stranger {
    File,
    Folder,
    Fifo,
    Socket,
    /// A link that leads nowhere.
    Link,
    /// A link that leads to itself.
    Loop,
}

impl Stranger {
    /// Takes the place of what stands at a path.
    fn take(self, path: &Path) {
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => drop(fs::remove_file(path)),
        }
        match self {
            Stranger::File => fs::write(path, "no folder").unwrap(),
            Stranger::Folder => fs::create_dir(path).unwrap(),
            Stranger::Fifo => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            Stranger::Socket => drop(UnixListener::bind(path).unwrap()),
            Stranger::Link => symlink("nowhere", path).unwrap(),
            Stranger::Loop => symlink(path.file_name().unwrap(), path).unwrap(),
        }
    }
}

/// A store of three versions and its copy, beside a folder that makes a fourth; nothing is kept of the store on this machine.
fn stage() -> TestEnv {
    let env = TestEnv::new();
    for version in ["1", "2", "3"] {
        env.write(&format!("data/{version}"), version);
        env.run(["ingest", "data", "--into", "./store//set", "--create", "--as", version]).text();
    }
    env.write("data/new", "new");
    copy_folder(&env.path("store"), &env.path("copy"));
    fs::remove_dir_all(env.home(".cache/dagset")).ok();
    env
}

fn put_back(env: &TestEnv) {
    for left in [env.path("store"), env.path("out"), env.home(".cache/dagset")] {
        fs::remove_dir_all(left).ok();
    }
    copy_folder(&env.path("copy"), &env.path("store"));
}

/// Runs a command that would wait for ever if it opened a pipe.
fn within_a_while(env: &TestEnv, command: &[&str]) -> Outcome {
    let dagset = env.command();
    let mut timeout = Command::new("timeout");
    timeout.arg("20").arg(dagset.get_program()).args(command).current_dir(env.path("."));
    timeout.env_clear().envs(dagset.get_envs().filter_map(|(name, value)| Some((name, value?))));
    env.finish(timeout, b"")
}

fn said(outcome: &Outcome) -> String {
    format!("{} {}", outcome.stdout, outcome.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is in `damaged/` and was moved there from a place.
fn moved_from(env: &TestEnv, place: &str) -> usize {
    let aside = fs::read_dir(env.path("store/damaged")).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    aside.filter(|name| name.to_str().unwrap().starts_with(&format!("{}-", place.replace('/', ".")))).count()
}

/// Each command ends in time, well or with an error of damage that names the place and leads to the repair; the repair mends.
fn met_by_each_command(env: &TestEnv, place: &str, stranger: Stranger) {
    let what = format!("{stranger:?} in the place of {place}");
    for command in COMMANDS {
        let ended = within_a_while(env, command);
        let said = said(&ended);
        let must_fail = matches!(command[0], "verify" | "doctor") || place.starts_with("log");
        match ended.code {
            Some(0) => assert!(!must_fail, "{what}: {command:?}: {said}"),
            Some(5) => {
                assert!(said.contains(place), "{what}: {command:?}: {said}");
                let leads_out = said.contains("--repair-from") || said.contains("dagset verify");
                assert!(leads_out, "{what}: {command:?}: {said}");
            }
            code => panic!("{what}: {command:?}: {code:?} {said}"),
        }
    }
    let planned = within_a_while(env, &[&REPAIR[..], &["--dry-run"]].concat());
    assert!(said(&planned).contains(place) && moved_from(env, place) == 0, "{what}: {}", said(&planned));
    let repaired = within_a_while(env, &REPAIR);
    assert_eq!(repaired.code, Some(0), "{what}: {}", said(&repaired));
    assert_eq!(moved_from(env, place), 1, "{what}");
    let _ = env.run(["verify", "./store"]).exits(0);
    let _ = env.run(["get", "./store/set@3", "out", "--overwrite"]).exits(0);
    assert_eq!(fs::read(env.path("out/3")).unwrap(), b"3");
    let _ = env.run(INGEST).exits(0);
}

#[test]
fn in_the_place_of_a_folder_it_is_named_and_makes_room() {
    let env = stage();
    for place in FOLDERS {
        for stranger in [Stranger::File, Stranger::Fifo, Stranger::Socket, Stranger::Link, Stranger::Loop] {
            stranger.take(&env.path("store").join(place));
            met_by_each_command(&env, place, stranger);
            put_back(&env);
        }
    }
}

#[test]
fn in_the_place_of_the_newest_record_it_is_named_and_makes_room() {
    let env = stage();
    let newest = record_name(3);
    for stranger in [Stranger::Folder, Stranger::Fifo, Stranger::Socket, Stranger::Link, Stranger::Loop] {
        stranger.take(&env.path("store").join(&newest));
        met_by_each_command(&env, &newest, stranger);
        put_back(&env);
    }
    // One that holds something is no record either.
    Stranger::Folder.take(&env.path("store").join(&newest));
    fs::write(env.path("store").join(&newest).join("note"), "mine").unwrap();
    met_by_each_command(&env, &newest, Stranger::Folder);
    let kept = everything_below(&env.path("store/damaged")).into_iter().filter(|path| path.is_file());
    assert_eq!(kept.map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), [b"mine"]);
}

#[test]
fn what_a_repair_would_do_it_says_with_the_same_code() {
    let env = stage();
    Stranger::Fifo.take(&env.path("store/log"));
    let planned = within_a_while(&env, &[&REPAIR[..], &["--dry-run"]].concat());
    assert!(planned.code == Some(0) && said(&planned).contains("log"), "{}", said(&planned));
    let _ = env.run(REPAIR).exits(0);
    let nowhere = said(&env.run(["verify", "./store", "--repair-from", "/nope"]).exits(3));
    assert!(!nowhere.contains("store create") && nowhere.contains("name a store"), "{nowhere}");
}

#[test]
fn a_link_to_itself_in_the_place_of_an_object_is_named_and_makes_room() {
    let env = stage();
    let index = fs::read_dir(env.path("store/index")).unwrap().next().unwrap().unwrap().file_name();
    for place in ["dagset.json".to_owned(), format!("index/{}", index.to_str().unwrap())] {
        Stranger::Loop.take(&env.path("store").join(&place));
        let missed = within_a_while(&env, &["verify", "./store"]);
        assert!(missed.code == Some(5) && said(&missed).contains(&place), "{place}: {}", said(&missed));
        let _ = env.run(REPAIR).exits(0);
        assert_eq!(moved_from(&env, &place), 1, "{place}");
        let _ = env.run(["verify", "./store"]).exits(0);
    }
}

#[test]
fn without_a_copy_doctor_makes_room_and_says_what_is_lost() {
    let env = stage();
    for place in FOLDERS.iter().filter(|place| !place.starts_with("log")) {
        Stranger::Fifo.take(&env.path("store").join(place));
        let mended = within_a_while(&env, &["doctor", "./store", "--fix"]);
        assert!(said(&mended).contains(place), "{place}: {}", said(&mended));
        assert_eq!(moved_from(&env, place), 1, "{place}");
        let verified = within_a_while(&env, &["verify", "./store"]);
        let is_needed = !matches!(*place, "state" | "uses");
        assert_eq!(verified.code, Some(if is_needed { 5 } else { 0 }), "{place}: {}", said(&verified));
        assert!(!said(&verified).contains("is no folder"), "{place}: {}", said(&verified));
        put_back(&env);
    }
    // What a record said is lost, what is before it isn't.
    Stranger::Folder.take(&env.path("store").join(record_name(3)));
    let mended = env.run(["doctor", "./store", "--fix"]).exits(0);
    assert!(said(&mended).contains("record 3 of the log") && said(&mended).contains("is lost"), "{}", said(&mended));
    let _ = env.run(["ls", "./store/set@2"]).exits(0);
    let _ = env.run(INGEST).exits(0);
    let _ = env.run(["verify", "./store"]).exits(0);
    put_back(&env);
    // Without its log a store would seem to be empty, and the next writer would begin another.
    Stranger::Fifo.take(&env.path("store/log"));
    for command in [&["doctor", "./store", "--fix"][..], &["verify", "./store", "--repair-from", "./data"]] {
        assert_ne!(within_a_while(&env, command).code, Some(0), "{command:?}");
        assert_eq!(moved_from(&env, "log"), 0, "{command:?}");
    }
    fs::remove_file(env.path("store/log")).unwrap();
    let missed = env.run(["verify", "./store"]).exits(5);
    assert!(said(&missed).contains("no record that names them"), "{}", said(&missed));
    let _ = env.run(REPAIR).exits(0);
    let _ = env.run(["verify", "./store"]).exits(0);
}

#[test]
fn where_repairs_put_things_it_is_said_to_move_that_away() {
    let env = stage();
    Stranger::File.take(&env.path("store/damaged"));
    Stranger::Fifo.take(&env.path("store/packs"));
    for command in [&["doctor", "./store"][..], &REPAIR] {
        let refused = env.run(command).exits(5);
        assert!(said(&refused).contains("store/damaged away"), "{command:?}: {}", said(&refused));
    }
    fs::remove_file(env.path("store/damaged")).unwrap();
    let _ = env.run(REPAIR).exits(0);
    let _ = env.run(["verify", "./store"]).exits(0);
}

#[test]
fn a_folder_without_rights_is_a_refusal() {
    let mut env = stage();
    env.bind_by_permissions();
    for place in FOLDERS {
        let folder = env.path("store").join(place);
        let mode = fs::metadata(&folder).unwrap_or_else(|_| fs::metadata(env.path("store")).unwrap()).permissions();
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
        for command in COMMANDS.iter().chain([&&REPAIR[..]]) {
            let ended = env.run(*command);
            let said = said(&ended);
            let must_fail = matches!(command[0], "verify" | "doctor") || place.starts_with("log");
            match ended.code {
                Some(0) => assert!(!must_fail, "{place}: {command:?}: {said}"),
                Some(6) => assert!(said.contains(place) && said.contains("denied"), "{place}: {command:?}: {said}"),
                code => panic!("{place}: {command:?}: {code:?} {said}"),
            }
        }
        fs::set_permissions(&folder, mode).unwrap();
        fs::remove_dir_all(env.path("out")).ok();
    }
    let _ = env.run(["verify", "./store"]).exits(0);
}

#[test]
fn in_a_bucket_nobody_stands_in_anybodys_way() {
    let Some(s3) = server(Server::Real) else { return };
    let mut env = TestEnv::new();
    s3.reach_from(&mut env);
    let store = s3.url("in-the-way");
    let into = format!("{store}//set");
    let ingest = |env: &TestEnv, version: &str| {
        env.write("data/version", version);
        env.run(["ingest", "data", "--into", &into, "--create", "--as", version]).text();
    };
    ingest(&env, "1");
    ingest(&env, "2");
    let bucket = backend::open(&store, &s3.access(), &Observer::new()).unwrap();
    let newest = head(&bucket).unwrap();
    // Below the newest record, the next one, and what would be a folder of the log.
    for name in [record_name(newest), record_name(newest + 1), "log/001".to_owned()] {
        assert_eq!(bucket.create(&format!("{name}/sub"), "mine".into()).unwrap(), Created::New);
    }
    fs::remove_dir_all(env.home(".cache/dagset")).ok();
    ingest(&env, "3");
    assert_eq!(head(&bucket).unwrap(), newest + 1);
    env.run(["get", &format!("{into}@3"), "out"]).text();
    let _ = env.run(["verify", &store]).exits(0);
}
