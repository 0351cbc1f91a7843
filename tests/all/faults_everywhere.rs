//! Every operation that writes × every call that it makes to a store × every way in which that goes wrong: then all stores are whole, and the same
//! command comes to what it comes to where nothing goes wrong.
//!
//! What a store is made to keep wrongly, so that nothing but `verify` can find it, is tried in `faults.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dagset::base::{Error, Kind, Result};
use dagset::engine::{
    Address, Attrs, CloneOptions, CommitOptions, DeleteOptions, GetOptions, InitOptions, LogOptions, MergeOptions,
    PushOptions, Reason, RefExpr, RefKind, Run, SquashOptions, UseOptions, UsesOptions, Value, WarmOptions,
};
use dagset::store::Verb;
use dagset::store::faulty::{Fault, Faulty, Plan};

use crate::stage::{contents, noise, whole_text};
use crate::world::{World, at_once};

const HOME: &str = "s3://bucket/home";
const FAR: &str = "s3://bucket/far";
/// The home store of another workspace, which lags behind the remote.
const THIRD: &str = "s3://bucket/third";
const STORES: [&str; 3] = [HOME, FAR, THIRD];
const VERBS: [Verb; 7] = [Verb::Create, Verb::Get, Verb::GetRange, Verb::GetTail, Verb::List, Verb::Size, Verb::Delete];

/// A command.
struct Operation {
    name: &'static str,
    run: fn(&World) -> Result<()>,
}

/// A workspace and a remote, each with versions that the other lacks, two branches that went apart, tags, and something that is dead.
fn scene() -> World {
    let mut world = World::new(&STORES);
    world.has_cache = true;
    let lay_out = |version: u64| {
        world.write("source/large.bin", [noise(1, 150_000), noise(version, 9_000)].concat());
        world.write("source/folder/small", format!("{version}"));
        world.write(&format!("source/only-{version}"), "of this version");
    };
    let into = format!("{HOME}//set");
    lay_out(1);
    world.ingest("source", &into, None, Some("1.0"));
    world.engine("").create_branch(&address(&into), "side").expect("makes a branch");
    for (folder, store) in [("work", HOME), ("third", THIRD)] {
        let options = InitOptions { folder: None, dataset: Some("set".to_owned()), store: Some(store.to_owned()) };
        let engine = world.engine(folder);
        engine.init(&options).expect("makes a workspace");
        engine.add_remote("origin", &format!("{FAR}//set"), Default::default()).expect("adds");
    }
    world.engine("work").switch("main").expect("switches");
    world.engine("work").push(&PushOptions::default()).expect("pushes");
    for (version, branch, name) in [(2, "main", Some("2.0")), (3, "main", None), (4, "side", None), (5, "dead", None)] {
        lay_out(version);
        world.ingest("source", &into, Some(branch), name);
    }
    for (version, name) in [(6, "6.0"), (7, "7.0")] {
        lay_out(version);
        world.ingest("source", &format!("{FAR}//set"), Some("theirs"), Some(name));
        if version == 6 {
            world.engine("third").fetch(None).expect("fetches");
            world.engine("third").switch("theirs").expect("switches");
        }
    }
    let set = address(&into);
    world.engine("").set_tag(&set, "good", None, None).expect("tags");
    world.engine("").delete_branch(&set, "dead", true, None).expect("deletes");
    world.engine("").set_metadata(&set, &meta("old")).expect("says");
    world.engine("work").switch("main").expect("switches");
    fs::remove_dir_all(world.path("source")).expect("removes");
    world
}

fn meta(key: &str) -> Attrs {
    Attrs([(key.to_owned(), Value::Int(1))].into())
}

fn address(text: &str) -> Address {
    Address::parse(text, None).expect("an address")
}

fn here(text: &str) -> Address {
    Address::parse_in_workspace(text, None).expect("an address")
}

fn set() -> Address {
    address(&format!("{HOME}//set"))
}

fn change(world: &World) {
    world.write("work/new.bin", noise(70, 140_000));
    world.write("work/folder/small", "changed");
}

fn commit(world: &World, name: Option<&str>, tags: &[&str]) -> Result<()> {
    change(world);
    let options = CommitOptions {
        all: true,
        message: "more".to_owned(),
        name: name.map(str::to_owned),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..CommitOptions::default()
    };
    world.engine("work").commit(&options).map(drop)
}

fn first_wins() -> MergeOptions {
    MergeOptions { on_conflict: Some("first".to_owned()), ..MergeOptions::default() }
}

fn reason() -> Reason {
    Reason::new("because").expect("says something")
}

/// What moves refs and versions of one store.
const LOCAL: [Operation; 22] = [
    Operation { name: "commit", run: |world| commit(world, None, &[]) },
    Operation { name: "commit with a name and a tag", run: |world| commit(world, Some("3.0"), &["fresh"]) },
    Operation { name: "switch", run: |world| world.engine("work").switch("side").map(drop) },
    Operation { name: "merge", run: |world| world.engine("work").merge(&[here("side")], &first_wins()).map(drop) },
    Operation { name: "squash", run: squash },
    Operation { name: "revert", run: |world| world.engine("work").revert(&here("2.0"), None, &first_wins()).map(drop) },
    Operation { name: "branch", run: |world| world.engine("").create_branch(&set(), "fresh").map(drop) },
    Operation { name: "branch -d", run: |world| world.engine("").delete_branch(&set(), "side", true, None).map(drop) },
    Operation { name: "branch -m", run: |world| world.engine("").rename_branch(&set(), "side", "moved").map(drop) },
    Operation { name: "tag", run: |world| world.engine("").set_tag(&set(), "fresh", None, None).map(drop) },
    Operation {
        name: "tag --protect",
        run: |world| world.engine("").protect_tag(&set(), "good", true, None).map(drop),
    },
    Operation { name: "tag -d", run: |world| world.engine("").delete_tag(&set(), "good", None).map(drop) },
    Operation { name: "name", run: |world| world.engine("").name_version(&set(), "9.0").map(drop) },
    Operation {
        name: "publish",
        run: |world| world.engine("").publish_version(&address(&format!("{HOME}//set@2.0")), "a note").map(drop),
    },
    Operation { name: "meta set", run: |world| world.engine("").set_metadata(&set(), &meta("fresh")).map(drop) },
    Operation {
        name: "meta unset",
        run: |world| world.engine("").unset_metadata(&set(), &["old".to_owned()]).map(drop),
    },
    Operation { name: "dataset rename", run: |world| world.engine("").rename_dataset(&set(), "moved", None).map(drop) },
    Operation {
        name: "dataset delete",
        run: |world| {
            let options = DeleteOptions { force: true, reason: Some(reason()), dry_run: false };
            world.engine("").delete_dataset(&set(), &options).map(drop)
        },
    },
    Operation {
        name: "dataset copy",
        run: |world| world.engine("").copy_dataset(&set(), &address(&format!("{HOME}//copy"))).map(drop),
    },
    // The record that set the metadata: by its number, since a second run would else take back the first.
    Operation { name: "undo", run: undo },
    Operation {
        name: "uses",
        run: |world| world.engine("").record_use(&set(), &Run::named("run-1"), &UseOptions::default()).map(drop),
    },
    Operation {
        name: "lock",
        run: |world| world.engine("").lock(&[set()], &world.path("dagset.lock"), None).map(drop),
    },
];

/// What carries content, from a store to another or to this machine.
const CARRYING: [Operation; 8] = [
    Operation { name: "push", run: |world| world.engine("work").push(&PushOptions::default()).map(drop) },
    Operation { name: "fetch", run: |world| world.engine("work").fetch(None).map(drop) },
    Operation { name: "pull", run: |world| world.engine("third").pull(None).map(drop) },
    Operation { name: "clone", run: clone },
    Operation {
        name: "copy to another store",
        run: |world| world.engine("").copy_dataset(&set(), &address(&format!("{FAR}//copy"))).map(drop),
    },
    Operation {
        name: "get",
        run: |world| {
            let options = GetOptions { folder: world.path("out"), ..GetOptions::default() };
            world.engine("").get(&set(), &options).map(drop)
        },
    },
    Operation { name: "warm", run: |world| world.engine("").warm(&[set()], &WarmOptions::default()).map(drop) },
    Operation {
        name: "gc",
        run: |world| {
            world.engine("work").gc(&address(HOME), &at_once())?;
            world.engine("work").gc(&address(HOME), &at_once()).map(drop)
        },
    },
];

fn squash(world: &World) -> Result<()> {
    let options = SquashOptions {
        base: here("1.0"),
        tip: RefExpr::parse("main")?,
        name: "squashed".to_owned(),
        message: None,
        reason: None,
        dry_run: false,
    };
    world.engine("work").squash(&options).map(drop)
}

fn undo(world: &World) -> Result<()> {
    let page = world.stranger().oplog(&set(), None, 1, false);
    let newest = page?.records[0].number;
    let number = if fs::exists(world.path("undone")).expect("a look") { None } else { Some(newest) };
    match number {
        // The first run noted which record it was to take back.
        None => {
            let number = fs::read_to_string(world.path("undone")).expect("reads").parse().expect("a number");
            world.engine("").undo(&set(), Some(number), None, false).map(drop)
        }
        Some(number) => {
            world.write("undone", number.to_string());
            world.engine("").undo(&set(), Some(number), None, false).map(drop)
        }
    }
}

fn clone(world: &World) -> Result<()> {
    let options =
        CloneOptions { address: format!("{FAR}//set"), folder: Some(world.path("cloned")), no_content: false };
    world.engine("").clone_dataset(&options).map(drop)
}

/// All that a user sees of stores and folders, without what differs from run to run.
fn seen(world: &World) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let engine = world.stranger();
    for store in STORES {
        for card in engine.list_datasets(store, &Default::default()).expect("lists") {
            let of = |place: &str| address(&format!("{store}//{}{place}", card.dataset));
            let mut tell = |what: &str, text: String| all.insert(format!("{store}//{} {what}", card.dataset), text);
            tell(
                "card",
                format!("{} versions, {:?}, published {}", card.versions, card.meta, card.published.is_some()),
            );
            let manifest = |id| engine.show(&of(&format!("@{id}"))).expect("is there").manifest;
            for kind in [RefKind::Branch, RefKind::Tag] {
                for row in engine.list_refs(&of(""), kind).expect("lists") {
                    let log = engine.log(&of(&format!("@{}", row.version)), LogOptions::default()).expect("a log");
                    let names: Vec<_> = log.iter().map(|card| card.name.as_ref().map(ToString::to_string)).collect();
                    let text = format!("{} {} {names:?}", manifest(row.version), row.protected);
                    tell(&format!("{kind:?} {}", row.name), text);
                }
            }
            let uses = engine.uses(&of(""), &UsesOptions { all: true, most: 9, ..UsesOptions::default() });
            tell("uses", uses.expect("uses").uses.len().to_string());
        }
    }
    for folder in ["work", "third", "out", "cloned"].map(Path::new) {
        let mut files = contents(&world.path(folder.to_str().expect("UTF-8")));
        files.retain(|path, _| !path.starts_with(".dagset"));
        all.insert(format!("files of {}", folder.display()), format!("{files:?}"));
    }
    for folder in ["work", "third"] {
        let status = match world.engine(folder).status() {
            Ok(status) => format!(
                "{:?} {:?} {:?} {:?} {:?} {}",
                status.branch, status.added, status.modified, status.removed, status.unfinished_switch, status.behind
            ),
            Err(fault) => format!("{:?}", fault.kind()),
        };
        all.insert(format!("status of {folder}"), status);
    }
    all
}

/// A world whose stores all fail together, as planned.
fn faulty(base: &World) -> (World, Faulty) {
    let mut world = base.copy();
    let mut faulty: Option<Faulty> = None;
    for store in STORES {
        let inner = world.store(store).clone();
        let stage = faulty.as_ref().map_or_else(|| Faulty::new(inner.clone()), |first| first.beside(inner.clone()));
        world.replace_store(store, stage.bucket());
        faulty.get_or_insert(stage);
    }
    (world, faulty.expect("some stores"))
}

/// Each way in which call `call` of a verb goes wrong.
fn plans(verb: Verb, call: u64) -> Vec<Plan> {
    let plan = |fault| Plan::at(call, fault).of(verb);
    let flip = Fault::Flip { offset: call * 131 + 40 };
    match verb {
        Verb::Create => [Fault::Before, Fault::After, Fault::Taken]
            .into_iter()
            .flat_map(|fault| [plan(fault), plan(fault).and_power_loss()])
            .collect(),
        Verb::Delete => [Fault::Before, Fault::After]
            .into_iter()
            .flat_map(|fault| [plan(fault), plan(fault).and_power_loss()])
            .collect(),
        Verb::Size => vec![plan(Fault::Before)],
        Verb::List => [Fault::Before, Fault::Short].map(plan).into(),
        _ => [Fault::Before, Fault::Short, flip].map(plan).into(),
    }
}

/// What goes wrong with an operation; how many faults were tried.
fn try_all(base: &World, operation: &Operation) -> (u64, Vec<String>) {
    let (healthy, counting) = faulty(base);
    (operation.run)(&healthy).unwrap_or_else(|fault| panic!("{}: {}", operation.name, whole_text(&fault)));
    let calls = VERBS.map(|verb| (verb, counting.calls_of(verb)));
    let wanted = seen(&healthy);
    let mut tried = 0;
    let mut complaints = Vec::new();
    for plan in calls.iter().flat_map(|(verb, calls)| (1..=*calls).flat_map(|call| plans(*verb, call))) {
        let (world, stage) = faulty(base);
        stage.plan(plan);
        let first = (operation.run)(&world);
        stage.revive();
        tried += 1;
        let mut complain = |text: String| complaints.push(format!("{}, {plan:?}: {text}", operation.name));
        let is_clear = |fault: &Error| match fault.kind() {
            Kind::Unreachable | Kind::Damaged | Kind::NotFound => true,
            kind => kind == Kind::Failed && fault.next_step() == Some("run the command again"),
        };
        if let Err(fault) = first.as_ref()
            && !is_clear(fault)
        {
            complain(format!("{:?}: {}", fault.kind(), whole_text(fault)));
        }
        for store in STORES {
            let found = world.findings(store);
            if !found.is_empty() {
                complain(format!("verify of {store}: {found:?}"));
            }
        }
        if first.is_ok() && stage.fired() && seen(&world) == wanted {
            continue;
        }
        let second = (operation.run)(&world);
        if let Err(fault) = &second {
            go_on(&world, fault);
        }
        let now = seen(&world);
        if now != wanted {
            let differs = wanted
                .iter()
                .filter(|(key, text)| now.get(*key) != Some(text))
                .map(|(key, text)| format!("{key}: {:?} instead of {text}", now.get(key)));
            let more = now.keys().filter(|key| !wanted.contains_key(*key)).cloned();
            let differs: Vec<_> = differs.chain(more).collect();
            let said = second.as_ref().err().map(whole_text);
            complain(format!("{:#?}\nfirst: {:?}, then: {said:?}", differs, first.as_ref().err().map(whole_text)));
        }
    }
    (tried, complaints)
}

/// What a user does whose command is refused since the first run of it had done its work, but not brought the folder there: the
/// hint says it, or the branch moved under a folder that has its content.
fn go_on(world: &World, fault: &Error) {
    let hint = fault.next_step().unwrap_or_default();
    let named = hint.strip_prefix("`dagset switch ").and_then(|rest| rest.split('`').next());
    if fault.kind() == Kind::Conflict {
        world.engine("work").switch(named.unwrap_or("main")).ok();
    }
}

#[track_caller]
fn assert_all_converge(operations: &[Operation]) {
    assert_all_converge_from(&scene(), operations);
}

#[track_caller]
fn assert_all_converge_from(base: &World, operations: &[Operation]) {
    let mut all = Vec::new();
    for operation in operations {
        let (tried, complaints) = try_all(base, operation);
        assert!(tried > 3, "{}: {tried} faults", operation.name);
        all.extend(complaints);
    }
    assert!(all.is_empty(), "{} complaints:\n\n{}", all.len(), all.join("\n\n"));
}

#[test]
fn what_moves_refs_survives_every_fault() {
    assert_all_converge(&LOCAL);
}

#[test]
fn what_carries_content_survives_every_fault() {
    assert_all_converge(&CARRYING);
}

/// A switch to `side` that was cut off in the middle: its version is written, but for one file.
fn scene_between() -> World {
    let base = scene();
    let begun = (1..20).find_map(|call| {
        let (world, stage) = faulty(&base);
        stage.plan(Plan::at(call, Fault::Before).of(Verb::GetRange).and_ever_after());
        world.engine("work").switch("side").err()?;
        stage.revive();
        world.engine("work").status().expect("status").unfinished_switch.map(|_| world.copy())
    });
    let world = begun.expect("at one of the calls it had begun");
    world.write("work/folder/small", "4");
    world.write("work/only-4", "of this version");
    world
}

#[test]
fn a_way_out_of_a_switch_survives_every_fault() {
    let ways = [
        Operation { name: "switch back", run: |world| world.engine("work").switch("main").map(drop) },
        Operation { name: "switch on", run: |world| world.engine("work").switch("side").map(drop) },
        Operation { name: "switch elsewhere", run: |world| world.engine("work").switch("1.0").map(drop) },
    ];
    assert_all_converge_from(&scene_between(), &ways);
    let world = scene_between();
    let files = |world: &World| {
        let mut files = contents(&world.path("work"));
        files.retain(|path, _| !path.starts_with(".dagset"));
        files
    };
    world.engine("work").switch("main").expect("leads back");
    assert_eq!(files(&world), files(&scene()));
}
