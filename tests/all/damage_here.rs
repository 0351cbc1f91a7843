//! Each file that dagset keeps on a user's machine × how it is damaged × which command comes upon it. What can be made again is, and that is
//! noted; what can't (where a workspace stands) is named. The answer is never another one, and the user's files stay what they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dagset::base::{Kind, Result};
use dagset::engine::{
    Address, CommitOptions, Engine, GetOptions, InitOptions, LinkMode, LogOptions, PushOptions, WarmOptions,
};

use crate::env::everything_below;
use crate::stage::{contents, lay_out, noise, whole_text};
use crate::world::{World, notes};

const HOME: &str = "s3://bucket/home";
const FAR: &str = "s3://bucket/far";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Damage {
    Deleted,
    Emptied,
    Truncated,
    /// At so many hundredths of the length.
    Flipped(usize),
    Garbage,
    SwappedWith(PathBuf),
}

/// A file that is damaged, relative to the world, and one of its kind.
struct Victim {
    kind: &'static str,
    file: PathBuf,
    other: Option<PathBuf>,
    /// It can be made again from the store: no command fails.
    is_kept: bool,
}

/// Two workspaces of one dataset, each with changes of which some are staged; all that is kept of them and of their stores; a cache.
fn scene() -> World {
    let mut world = World::new(&[HOME, FAR]);
    world.has_cache = true;
    for (seed, store) in [(1, HOME), (2, FAR)] {
        let source = format!("source-{seed}");
        lay_out(&world.path(&source), seed);
        for version in 0..3 {
            world.write(&format!("{source}/count"), format!("{seed} {version}\n"));
            world.ingest(&source, &format!("{store}//set"), Some(["main", "theirs"][seed as usize - 1]), None);
        }
    }
    for workspace in ["work", "beside"] {
        let options = InitOptions { folder: None, dataset: Some("set".to_owned()), store: Some(HOME.to_owned()) };
        let engine = world.engine(workspace);
        engine.init(&options).expect("makes a workspace");
        engine.add_remote("origin", &format!("{FAR}//set"), Default::default()).expect("adds");
        engine.switch("main").expect("switches");
        world.write(&format!("{workspace}/{workspace}.bin"), noise(7, 5_000));
        engine.add(&[format!("{workspace}.bin").into()]).expect("stages");
    }
    ["source-1", "source-2"].iter().for_each(|source| fs::remove_dir_all(world.path(source)).expect("removes"));
    read_all(&world);
    world
}

/// Has all kept that can be kept.
fn read_all(world: &World) {
    for store in [HOME, FAR] {
        let branch = if store == HOME { "main" } else { "theirs" };
        let address = address(&format!("{store}//set@{branch}"));
        world.engine("").log(&address, LogOptions::default()).expect("a log");
        world.engine("").warm(&[address], &WarmOptions::default()).expect("fills the cache");
    }
    world.engine("work").status().expect("a status");
}

fn address(text: &str) -> Address {
    Address::parse(text, None).expect("an address")
}

fn victims(world: &World) -> Vec<Victim> {
    let files = everything_below(&world.path("")).into_iter().filter(|path| path.is_file());
    let files: Vec<PathBuf> =
        files.map(|path| path.strip_prefix(world.path("")).expect("is below").to_owned()).collect();
    let of = |part: &str| {
        let fits = |file: &&PathBuf| file.to_str().is_some_and(|text| text.contains(part));
        files.iter().filter(fits).cloned().collect::<Vec<_>>()
    };
    let mut victims = Vec::new();
    for (kind, part) in [
        ("mirror", "mirror.sqlite"),
        ("kept index", "/index/"),
        ("kept frame", "/meta/"),
        ("cached file", "cache/files/"),
        ("usage", "cache/usage"),
    ] {
        let all = of(part);
        assert!(!all.is_empty(), "no {kind} in {files:?}");
        for (number, file) in all.iter().enumerate().take(2) {
            let other = all.get((number + 1) % all.len()).filter(|other| *other != file).cloned();
            victims.push(Victim { kind, file: file.clone(), other, is_kept: true });
        }
    }
    // Under another name in each copy of the world, by the workspace's path.
    let stat_index = |workspace: &str| Path::new("stat index of").join(workspace);
    let (file, other) = (stat_index("work"), Some(stat_index("beside")));
    victims.push(Victim { kind: "stat index", file, other, is_kept: true });
    for (kind, name) in [("configuration", "config.toml"), ("state", "state.json"), ("staged paths", "staged")] {
        let place = |workspace: &str| Path::new(workspace).join(".dagset").join(name);
        victims.push(Victim { kind, file: place("work"), other: Some(place("beside")), is_kept: false });
    }
    victims
}

/// A stat index of this very copy of the world, known by what it is the first to make.
fn stat_index_of(world: &World, workspace: &str) -> PathBuf {
    let folder = world.path("state/workspaces");
    fs::remove_dir_all(&folder).expect("was there");
    world.engine(workspace).status().expect("a status");
    let made = everything_below(&folder).into_iter().find(|path| path.extension().is_some_and(|it| it == "sqlite"));
    made.expect("is made").strip_prefix(world.path("")).expect("is below").to_owned()
}

fn harm(world: &World, victim: &Victim, damage: &Damage) {
    let path = world.path("").join(&victim.file);
    let meta = fs::metadata(&path).expect("is there");
    let mut bytes = fs::read(&path).expect("reads");
    match damage {
        Damage::Deleted => return fs::remove_file(&path).expect("removes"),
        Damage::Emptied => bytes.clear(),
        Damage::Truncated => bytes.truncate(bytes.len() * 2 / 3),
        Damage::Flipped(_) if bytes.is_empty() => {}
        Damage::Flipped(hundredths) => {
            let at = (bytes.len() - 1) * hundredths / 100;
            bytes[at] ^= 1 << (hundredths % 7);
        }
        Damage::Garbage => bytes = noise(3, bytes.len()),
        Damage::SwappedWith(other) => {
            let other = world.path("").join(other);
            rot(&path, &fs::read(&other).expect("reads"), &meta);
            return rot(&other, &bytes, &fs::metadata(&other).expect("is there"));
        }
    }
    rot(&path, &bytes, &meta);
}

/// Other bytes in a file that looks as it did, as a disk does it.
fn rot(path: &Path, bytes: &[u8], meta: &fs::Metadata) {
    fs::remove_file(path).expect("removes");
    fs::write(path, bytes).expect("writes");
    fs::File::open(path).expect("opens").set_modified(meta.modified().expect("a time")).expect("sets the time");
    fs::set_permissions(path, meta.permissions()).expect("sets the mode");
}

/// A command, and what it says that doesn't differ from run to run.
struct Command {
    name: &'static str,
    run: fn(&World, &Engine) -> Result<String>,
}

const COMMANDS: [Command; 9] = [
    Command { name: "ls", run: |_, engine| Ok(format!("{:?}", engine.list_entries(&main(), true)?)) },
    Command { name: "log", run: |_, engine| Ok(format!("{:?}", engine.log(&main(), LogOptions::default())?)) },
    Command {
        name: "cat",
        run: |_, engine| {
            let mut out = Vec::new();
            engine.cat(&address(&format!("{HOME}//set@main:big.bin")), &mut out)?;
            Ok(blake3::hash(&out).to_string())
        },
    },
    Command { name: "get", run: get },
    Command {
        name: "warm",
        run: |world, engine| {
            engine.warm(&[main()], &WarmOptions::default())?;
            get(world, &world.engine(""))
        },
    },
    Command { name: "status", run: |_, engine| status(engine) },
    Command {
        name: "commit",
        run: |world, engine| {
            engine.commit(&CommitOptions { message: "staged".to_owned(), ..CommitOptions::default() })?;
            let head = world.stranger().log(&main(), LogOptions::default())?;
            Ok(format!(
                "{} {} {}",
                head.len(),
                head[0].manifest,
                status(engine)?.replace(&head[0].version.to_string(), "the new one")
            ))
        },
    },
    Command { name: "push", run: |_, engine| Ok(format!("{:?}", engine.push(&PushOptions::default())?.refs)) },
    Command { name: "fetch", run: |_, engine| Ok(format!("{:?}", engine.fetch(None)?.refs)) },
];

fn main() -> Address {
    address(&format!("{HOME}//set@main"))
}

fn get(world: &World, engine: &Engine) -> Result<String> {
    let folder = world.path("out");
    let options = GetOptions { folder: folder.clone(), link: Some(LinkMode::Copy), ..GetOptions::default() };
    engine.get(&main(), &options)?;
    Ok(format!("{:?}", contents(&folder)))
}

fn status(engine: &Engine) -> Result<String> {
    let status = engine.status()?;
    Ok(format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        status.branch,
        status.base.map(|id| id.to_string()),
        status.staged,
        status.added,
        status.modified,
        status.removed
    ))
}

fn files_of_user(world: &World) -> BTreeMap<String, String> {
    let mut files = contents(&world.path("work"));
    files.retain(|path, _| !path.starts_with(".dagset"));
    files
}

/// Runs a command in a copy of the world with the damage; what is wrong, and what it noted.
fn run(healthy: &World, victim: &Victim, damage: &Damage, command: &Command, wanted: &str) -> (Option<String>, String) {
    let world = healthy.copy();
    match victim.kind {
        "stat index" => {
            let other = stat_index_of(&world, "beside");
            let bytes = fs::read(world.path("").join(&other)).expect("reads");
            let file = stat_index_of(&world, "work");
            fs::write(world.path("").join(&other), bytes).expect("writes");
            let swapped = matches!(damage, Damage::SwappedWith(_)).then_some(Damage::SwappedWith(other));
            harm(&world, &Victim { file, other: None, ..*victim }, swapped.as_ref().unwrap_or(damage));
        }
        _ => harm(&world, victim, damage),
    }
    let files = files_of_user(&world);
    let engine = world.engine("work");
    let outcome = (command.run)(&world, &engine);
    assert_eq!(files_of_user(&world), files, "{}: {damage:?}: {}", victim.kind, command.name);
    let complaint = match outcome {
        Ok(answer) if answer == wanted => None,
        // What was staged is staged no more where nothing says so: the files are there, and `status` tells.
        Ok(_)
            if victim.kind == "staged paths"
                && matches!(damage, Damage::Deleted | Damage::Emptied | Damage::SwappedWith(_)) =>
        {
            None
        }
        Ok(answer) => Some(format!("{answer}\ninstead of {wanted}")),
        Err(fault) => {
            let text = whole_text(&fault);
            let name = victim.file.file_name().and_then(|name| name.to_str()).expect("a name");
            let is_named = fault.kind() == Kind::Damaged && text.contains(name);
            // Its user may edit the configuration: a name in it may be another one, and is looked for.
            let is_another =
                victim.kind == "configuration" && matches!(fault.kind(), Kind::NotFound | Kind::Usage | Kind::Conflict);
            let is_clear = !victim.is_kept && (is_named || is_another) && fault.next_step().is_some();
            (!is_clear).then_some(format!("{:?}: {text}", fault.kind()))
        }
    };
    for store in [HOME, FAR] {
        assert_eq!(world.findings(store), [""; 0], "{}: {damage:?}: {}", victim.kind, command.name);
    }
    let what = format!("{}, {} {}: {damage:?}", command.name, victim.kind, victim.file.display());
    (complaint.map(|text| format!("{what}: {text}")), notes(&engine))
}

#[test]
fn what_is_kept_here_is_made_again_and_what_is_not_is_named() {
    let healthy = scene();
    let wanted: Vec<String> = COMMANDS
        .iter()
        .map(|command| {
            let world = healthy.copy();
            (command.run)(&world, &world.engine("work")).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)))
        })
        .collect();
    let (mut complaints, mut said) = (Vec::new(), BTreeMap::<_, String>::new());
    for victim in victims(&healthy) {
        let swap = victim.other.clone().map(Damage::SwappedWith);
        let flips = [2, 55, 98].map(Damage::Flipped);
        let others = [Damage::Deleted, Damage::Emptied, Damage::Truncated, Damage::Garbage];
        for damage in others.into_iter().chain(flips).chain(swap) {
            for (command, wanted) in COMMANDS.iter().zip(&wanted) {
                let (complaint, notes) = run(&healthy, &victim, &damage, command, wanted);
                complaints.extend(complaint);
                if matches!(damage, Damage::Garbage | Damage::Truncated) {
                    *said.entry((victim.kind, victim.is_kept)).or_default() += &notes;
                }
            }
        }
    }
    for ((kind, is_kept), notes) in said {
        let is_said = ["anew", "fetched again", "quarantine"].iter().any(|word| notes.contains(word));
        if is_kept && kind != "usage" && !is_said {
            complaints.push(format!("a damaged {kind} is not said: {notes}"));
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n\n{}", complaints.len(), complaints.join("\n\n"));
}
