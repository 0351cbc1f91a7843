//! Each kind of a store's objects × how it is damaged × which command comes upon it: never a panic, never a wrong answer, an error that names
//! the object and what to do, and a store that is no worse for it.
//!
//! A command meets the damage on a machine that knows nothing. Then the object's bytes are put back, as from a backup: the same
//! command ends its work, and nothing that was written meanwhile is damaged.
//!
//! The last column is `verify --repair-from` a copy of the store: it mends every cell but one, of which nothing is to be seen, and then each
//! command does its work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use dagset::base::{Error, Kind, Result};
use dagset::engine::{Address, CommitOptions, Engine, GetOptions, LogOptions, PushOptions, RepairOptions};

use crate::damage::{Damage, harm, is_clear};
use crate::stage::{contents, copy_of, lay_out, needed, noise, objects, whole_text};
use crate::world::{World, at_once};

const HOME: &str = "s3://bucket/home";
const FAR: &str = "s3://bucket/far";
/// A copy of the damaged store, from before the damage.
const COPY: &str = "s3://bucket/copy";
const HERE: &str = "s3://bucket/home//set@1.33";
const THERE: &str = "s3://bucket/far//set@theirs";

/// A workspace with changes, whose home store has what the remote lacks and the other way round, and has something to collect.
fn scene() -> World {
    let world = World::new(&[HOME, FAR, COPY]);
    lay_out(&world.path("source"), 0);
    for version in 0..34 {
        world.write("source/count", format!("{version}\n"));
        if version > 31 {
            world.write("source/big.bin", [noise(2, 300_000), noise(version, 9_000)].concat());
        }
        world.ingest("source", &format!("{HOME}//set"), None, Some(&format!("1.{version}")));
        if version == 30 {
            init(&world);
            world.engine("work").push(&PushOptions::default()).expect("pushes");
        }
    }
    lay_out(&world.path("trial"), 5);
    world.write("trial/lost.bin", noise(50, 200_000));
    world.ingest("trial", &format!("{HOME}//set"), Some("trial"), None);
    world.engine("").delete_branch(&address(&format!("{HOME}//set")), "trial", true, None).expect("deletes");
    world.write("theirs/new.bin", noise(60, 150_000));
    lay_out(&world.path("theirs"), 6);
    world.ingest("theirs", &format!("{FAR}//set"), Some("theirs"), None);
    world.engine("work").switch("main").expect("switches");
    world.write("work/added.bin", noise(70, 250_000));
    world.write("work/big.bin", [noise(71, 4_000), noise(2, 300_000)].concat());
    ["trial", "theirs"].iter().for_each(|folder| fs::remove_dir_all(world.path(folder)).expect("removes"));
    world
}

fn init(world: &World) {
    let options =
        dagset::engine::InitOptions { folder: None, dataset: Some("set".to_owned()), store: Some(HOME.to_owned()) };
    let engine = world.engine("work");
    engine.init(&options).expect("makes a workspace");
    engine.add_remote("origin", &format!("{FAR}//set"), Default::default()).expect("adds");
}

/// A command that comes upon the damage, and what must be so once it is done.
struct Command {
    name: &'static str,
    run: fn(&World, &Truth) -> Result<()>,
    /// What is so once it has ended well in a world without damage.
    holds: fn(&World, &Truth),
    writes: bool,
    /// Of which kinds of objects it needs none.
    needs_no: &'static [&'static str],
}

/// What readers are to find.
struct Truth {
    listed: String,
    logged: String,
    status: String,
    source: BTreeMap<String, String>,
}

impl Truth {
    fn of(world: &World) -> Truth {
        let here = address(HERE);
        let engine = world.stranger();
        Truth {
            listed: list(&engine, &here).expect("lists"),
            logged: log(&engine, &here).expect("a log"),
            status: status(&world.engine("work")).expect("a status"),
            source: contents(&world.path("source")),
        }
    }
}

fn list(engine: &Engine, address: &Address) -> Result<String> {
    Ok(format!("{:?}", engine.list_entries(address, true)?))
}

fn log(engine: &Engine, address: &Address) -> Result<String> {
    Ok(format!("{:?}", engine.log(address, LogOptions::default())?))
}

fn status(engine: &Engine) -> Result<String> {
    let status = engine.status()?;
    Ok(format!("{:?} {:?} {:?} {:?}", status.base, status.added, status.modified, status.removed))
}

fn address(text: &str) -> Address {
    Address::parse(text, None).expect("an address")
}

fn try_list(world: &World, truth: &Truth) -> Result<()> {
    assert_eq!(list(&world.engine(""), &address(HERE))?, truth.listed);
    Ok(())
}

fn try_status(world: &World, truth: &Truth) -> Result<()> {
    assert_eq!(status(&world.engine("work"))?, truth.status);
    Ok(())
}

fn try_log(world: &World, truth: &Truth) -> Result<()> {
    assert_eq!(log(&world.engine(""), &address(HERE))?, truth.logged);
    Ok(())
}

fn try_get(world: &World, truth: &Truth) -> Result<()> {
    let folder = world.path("out");
    fs::remove_dir_all(&folder).ok();
    let options = GetOptions { folder: folder.clone(), ..GetOptions::default() };
    let outcome = world.engine("").get(&address(HERE), &options);
    let got = contents(&folder);
    for (path, what) in got.iter().filter(|(path, _)| !path.contains(".dagset-tmp-")) {
        assert_eq!(truth.source.get(path), Some(what), "{path}");
    }
    if outcome.is_ok() {
        assert_eq!(got, truth.source);
    }
    outcome.map(drop)
}

fn try_cat(world: &World, truth: &Truth) -> Result<()> {
    let mut out = Vec::new();
    world.engine("").cat(&address(&format!("{HERE}:big.bin")), &mut out)?;
    assert_eq!(truth.source["big.bin"], format!("{} false", blake3::hash(&out)));
    Ok(())
}

fn try_commit(world: &World, _: &Truth) -> Result<()> {
    let options = CommitOptions { all: true, message: "more".to_owned(), ..CommitOptions::default() };
    world.engine("work").commit(&options).map(drop)
}

fn assert_committed(world: &World, _: &Truth) {
    assert!(world.engine("work").status().expect("a status").is_clean());
    let files = contents(&world.path("work"));
    for file in ["added.bin", "big.bin"] {
        let mut out = Vec::new();
        let committed = format!("{HOME}//set:{file}");
        world.stranger().cat(&address(&committed), &mut out).expect("is there");
        assert_eq!(files[file], format!("{} false", blake3::hash(&out)), "{file}");
    }
}

fn assert_pushed(world: &World, truth: &Truth) {
    let there = address(&HERE.replace(HOME, FAR));
    assert_eq!(list(&world.stranger(), &there).expect("lists"), truth.listed);
    assert_eq!(world.stranger().verify_version(&there).expect("is there").findings, []);
}

fn assert_fetched(world: &World, _: &Truth) {
    let fetched = address(&format!("{HOME}//set@origin/theirs"));
    let there = list(&world.stranger(), &address(THERE)).expect("lists");
    assert_eq!(list(&world.stranger(), &fetched).expect("lists"), there);
    assert_eq!(world.stranger().verify_version(&fetched).expect("is there").findings, []);
}

fn try_gc(world: &World, _: &Truth) -> Result<()> {
    for _ in 0..2 {
        world.engine("").gc(&address(HOME), &at_once())?;
    }
    Ok(())
}

fn assert_nothing(_: &World, _: &Truth) {}

const COMMANDS: [Command; 9] = [
    Command { name: "ls", run: try_list, holds: assert_nothing, writes: false, needs_no: &["packs"] },
    Command { name: "get", run: try_get, holds: assert_nothing, writes: false, needs_no: &[] },
    Command { name: "cat", run: try_cat, holds: assert_nothing, writes: false, needs_no: &[] },
    Command { name: "status", run: try_status, holds: assert_nothing, writes: false, needs_no: &["packs"] },
    Command { name: "commit", run: try_commit, holds: assert_committed, writes: true, needs_no: &[] },
    Command {
        name: "push",
        run: |world, _| world.engine("work").push(&PushOptions::default()).map(drop),
        holds: assert_pushed,
        writes: true,
        needs_no: &[],
    },
    Command {
        name: "fetch",
        run: |world, _| world.engine("work").fetch(None).map(drop),
        holds: assert_fetched,
        writes: true,
        needs_no: &[],
    },
    Command { name: "gc", run: try_gc, holds: assert_nothing, writes: true, needs_no: &[] },
    Command { name: "log", run: try_log, holds: assert_nothing, writes: false, needs_no: &["packs", "index"] },
];

/// Of each kind of object of a store the first and the last, and records that nothing repeats.
fn victims(world: &World, url: &str) -> Vec<String> {
    let all = needed(world.store(url));
    let mut victims = vec!["dagset.json".to_owned()];
    for folder in ["packs/", "meta/", "index/", "state/", "log/"] {
        let mut of_kind = all.iter().filter(|name| name.starts_with(folder));
        victims.extend(of_kind.next().cloned());
        victims.extend(of_kind.next_back().cloned());
    }
    victims.extend(all.iter().find(|name| name.ends_with("/020")).cloned());
    victims.sort();
    victims.dedup();
    victims
}

/// One of each way to damage an object: the body and the footer have a flipped bit each.
fn damages(world: &World, url: &str, object: &str) -> Vec<Damage> {
    let len = world.store(url).size(object).expect("is listed").expect("is there") as usize;
    let folder = object.split('/').next().unwrap_or_default();
    let all = needed(world.store(url));
    let other = all.iter().rev().find(|name| *name != object && name.contains('/') && name.starts_with(folder));
    [
        Damage::Deleted,
        Damage::Truncated(0),
        Damage::Truncated(len * 2 / 3),
        Damage::Flipped { byte: len / 2, bit: 3 },
        Damage::Flipped { byte: len - 60, bit: 5 },
        Damage::Garbage,
    ]
    .into_iter()
    .chain(other.cloned().map(Damage::SwappedWith))
    .collect()
}

/// What a damaged cell of the matrix came to.
struct Cell<'a> {
    truth: &'a Truth,
    healthy: &'a World,
    url: &'a str,
    object: &'a str,
    damage: &'a Damage,
}

impl Cell<'_> {
    fn what(&self, command: &str) -> String {
        format!("{command}, {}/{}: {:?}", self.url, self.object, self.damage)
    }

    /// What must not become less by the command: all that is readable; for one that only reads, the objects of the stores.
    fn known(&self, command: &Command, world: &World) -> BTreeMap<String, BTreeSet<String>> {
        match command.writes {
            true => readable(world),
            false => [HOME, FAR].map(|url| (url.to_owned(), objects(world.store(url)).into_iter().collect())).into(),
        }
    }

    fn lost(
        &self,
        before: &BTreeMap<String, BTreeSet<String>>,
        now: &BTreeMap<String, BTreeSet<String>>,
    ) -> Vec<String> {
        let gone = before.iter().filter(|(place, known)| !known.is_subset(&now[*place]));
        gone.map(|(place, known)| format!("lost of {place}: {:?}", known - &now[place])).collect()
    }

    fn run(&self, command: &Command) -> Vec<String> {
        let mut world = self.healthy.copy();
        fs::remove_dir_all(world.kept()).ok();
        let whole = copy_of(world.store(self.url));
        harm(world.store(self.url), self.object, self.damage);
        let before = self.known(command, &world);
        let mut complaints = Vec::new();
        let outcome = (command.run)(&world, self.truth);
        match &outcome {
            Ok(()) => {}
            Err(fault) if self.is_refused_well(command, fault) => {}
            Err(fault) => complaints.push(whole_text(fault)),
        }
        complaints.extend(self.lost(&before, &self.known(command, &world)));
        self.put_back(&mut world, &whole);
        match (command.run)(&world, self.truth) {
            Ok(()) => (command.holds)(&world, self.truth),
            Err(fault) => complaints.push(format!("the object is back, and yet: {}", whole_text(&fault))),
        }
        for url in [HOME, FAR] {
            complaints.extend(world.findings(url).into_iter().map(|line| format!("then verify of {url}: {line}")));
        }
        complaints.into_iter().map(|text| format!("{}: {text}", self.what(command.name))).collect()
    }

    fn is_refused_well(&self, command: &Command, fault: &Error) -> bool {
        let kind = self.object.split('/').next().unwrap_or_default();
        // A log without its newest record is whole, and one record shorter: what it moved has not moved.
        let is_older = matches!(self.damage, Damage::Deleted) && self.object.starts_with("log/");
        let is_conflict = is_older && fault.kind() == Kind::Conflict && fault.next_step().is_some();
        !command.needs_no.contains(&kind) && (is_conflict || is_clear(fault, self.object, self.damage))
    }

    /// The column "mended".
    fn mend(&self, is_newest: bool) -> Vec<String> {
        let mut world = self.healthy.copy();
        fs::remove_dir_all(world.kept()).ok();
        let whole = copy_of(world.store(self.url));
        drop(world.replace_store(COPY, whole));
        harm(world.store(self.url), self.object, self.damage);
        let options = RepairOptions { from: vec![COPY.to_owned()], ..RepairOptions::default() };
        let repaired = world.stranger().repair(self.url, &options).expect("a store that can be looked at");
        let mut complaints: Vec<String> = repaired.left.findings.iter().map(|it| format!("left: {it:?}")).collect();
        let is_mended = repaired.mended.iter().any(|it| it.object == self.object);
        // Without its newest record a log is the whole log of a moment before: there is nothing to be seen, and a copy may be the one
        // that is ahead. Whoever has seen the record says that the store went back.
        let is_unseen = is_newest && matches!(self.damage, Damage::Deleted);
        if is_mended == is_unseen {
            complaints.push(format!("mended: {:?}", repaired.mended));
        }
        // First those that look at what those behind them change.
        let (writers, readers): (Vec<_>, Vec<_>) = COMMANDS.iter().partition(|command| command.writes);
        for command in readers.into_iter().chain(writers).filter(|_| !is_unseen) {
            match (command.run)(&world, self.truth) {
                Ok(()) => (command.holds)(&world, self.truth),
                Err(fault) => complaints.push(format!("then {}: {}", command.name, whole_text(&fault))),
            }
        }
        for url in [HOME, FAR] {
            complaints.extend(world.findings(url).into_iter().map(|line| format!("then verify of {url}: {line}")));
        }
        complaints.into_iter().map(|text| format!("{}: {text}", self.what("verify --repair-from"))).collect()
    }

    /// Puts the object's own bytes back, and those of the one that it was swapped with, unless they were collected meanwhile.
    fn put_back(&self, world: &mut World, whole: &dagset::store::Bucket) {
        let store = world.store(self.url);
        let other = match self.damage {
            Damage::SwappedWith(other) => Some(&**other),
            _ => None,
        };
        for name in [self.object].into_iter().chain(other) {
            let is_there = store.size(name).expect("a size").is_some();
            let was_deleted = matches!(self.damage, Damage::Deleted);
            // Where a record was lost, another one may have taken its number.
            if is_there && !was_deleted {
                store.delete(name).expect("deletes");
            }
            if is_there != was_deleted {
                store.create(name, whole.get(name).expect("was there")).expect("creates");
            }
        }
    }
}

/// The paths of versions that stay which can be read.
fn readable(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let versions = ["1.0", "1.20", "1.33"].map(|name| format!("{HOME}//set@{name}"));
    let there = [THERE.to_owned(), format!("{FAR}//set@1.30")];
    versions.into_iter().chain(there).map(|address| (address.clone(), world.readable(&address))).collect()
}

fn matrix_of(url: &str) {
    let healthy = scene();
    let truth = Truth::of(&healthy);
    fs::remove_dir_all(healthy.path("source")).expect("removes");
    let mut complaints = Vec::new();
    let mut cells = 0;
    let newest = objects(healthy.store(url)).into_iter().rfind(|name| name.starts_with("log/"));
    for object in victims(&healthy, url) {
        for damage in damages(&healthy, url, &object) {
            let cell = Cell { truth: &truth, healthy: &healthy, url, object: &object, damage: &damage };
            for command in &COMMANDS {
                complaints.extend(cell.run(command));
                cells += 1;
            }
            complaints.extend(cell.mend(newest.as_ref() == Some(&object)));
        }
    }
    assert!(cells > 9 * 6 * 8, "{cells}");
    assert!(complaints.is_empty(), "{} complaints:\n\n{}", complaints.len(), complaints.join("\n\n"));
}

#[test]
fn whatever_is_damaged_at_home_no_command_lies_or_makes_it_worse() {
    matrix_of(HOME);
}

#[test]
fn whatever_is_damaged_far_away_no_command_lies_or_makes_it_worse() {
    matrix_of(FAR);
}
