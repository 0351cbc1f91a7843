//! Stores that somebody forged: each command refuses them by name, in little memory, and writes nothing outside its target.

use std::fs;
use std::process::Command;

use dagset::base::{DatasetName, Id, RefName};
use dagset::chunk::compress;
use dagset::format::attrs::{Attrs, Value};
use dagset::format::manifest::{Entry, EntryKind};
use dagset::format::operation::Operation;
use dagset::format::pack::ItemKind;
use dagset::format::place::Encoding;
use dagset::format::recipe::{RecipeChild, RecipePage, RecipeRoot};
use dagset::format::version::Parent;

use crate::env::{Outcome, TestEnv, everything_below};
use crate::forge::{Forge, inner, leaf, version};
use crate::stage::contents;

/// No command has more data in memory, in KiB: what is claimed is in GiB.
const MEMORY: u32 = 100 << 10;

/// A store with one honest dataset, and a file beside it that nobody may touch.
fn honest() -> TestEnv {
    let env = TestEnv::new();
    env.write("data/h", "honest");
    env.run(["ingest", "data", "--into", "./store/good", "--create"]).text();
    env.write("outside/b", "precious");
    env
}

/// Runs `dagset` with no more memory than it may take.
pub fn bounded(env: &TestEnv, arguments: &[&str]) -> Outcome {
    let dagset = env.command();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("ulimit -d {MEMORY} && exec \"$@\""), "sh"]).arg(dagset.get_program()).args(arguments);
    shell.env_clear().envs(dagset.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(env.path("."));
    env.finish(shell, b"")
}

fn file(size: u64, content: Id) -> Vec<u8> {
    Entry::plain(EntryKind::File { size, content, executable: false }).encode()
}

fn link(target: &str) -> Vec<u8> {
    Entry::plain(EntryKind::Symlink { target: target.into() }).encode()
}

/// What of a forged version is wrong.
#[derive(PartialEq)]
enum Wrong {
    /// The manifest: nothing can be made of it.
    Manifest,
    /// What it names: who only reads the manifest doesn't see it.
    Content,
}

/// Runs every command that reads a version on a forged one; gives what isn't as it must be. What needs what is wrong must refuse it, and
/// name the object, or the pack that it lies in.
fn complaints(env: &TestEnv, dataset: &str, wrong: Wrong, named: &[Id]) -> Vec<String> {
    let address = format!("./store/{dataset}");
    let (out, copy) = (format!("out-{dataset}"), format!("clone-{dataset}"));
    let a = format!("{address}:a");
    let whole: [&[&str]; 4] = [
        // What doesn't fit would else be refused for that.
        &["get", &address, &out, "--overwrite"],
        &["clone", &address, &copy],
        &["verify", &address],
        &["verify", "./store"],
    ];
    let in_part: [&[&str]; 11] = [
        &["diff", "./store/good", &address],
        &["merge", "./store/good", &address, "--branch", "merged"],
        &["merge", "./store/good", &address, "--branch", "last", "--on-conflict", "last"],
        &["ls", &address],
        &["ls", "-R", &address],
        &["tree", &address],
        &["cat", &a],
        &["log", &address],
        &["lineage", &address],
        &["du", &address],
        &["gc", "./store", "--dry-run"],
    ];
    let mut complaints = Vec::new();
    let mut complain = |command: &[&str], outcome: &Outcome, why: &str| {
        complaints.push(format!("{dataset}: {command:?}: {why}: {:?}: {}", outcome.code, outcome.stderr));
    };
    let named: Vec<String> = named.iter().map(Id::short).chain(["packs/", "meta/"].map(str::to_owned)).collect();
    for command in whole.iter().chain(&in_part) {
        let outcome = bounded(env, command);
        let refuses = outcome.code == Some(5);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        let compares = wrong == Wrong::Manifest && matches!(command[0], "diff" | "merge");
        if (whole.contains(command) || compares) && !refuses {
            complain(command, &outcome, "it isn't refused");
        }
        if !refuses && !matches!(outcome.code, Some(0 | 2 | 3 | 4)) {
            complain(command, &outcome, "another end than may be");
        }
        if refuses && !named.iter().any(|name| said.contains(name)) {
            complain(command, &outcome, &format!("it doesn't name one of {named:?}"));
        }
    }
    complaints
}

#[test]
fn paths_that_no_version_may_have() {
    let evil = || file(4, Id::of(b"evil"));
    let elsewhere = honest();
    let outside = elsewhere.path("outside").to_str().unwrap().to_owned();
    let before = contents(&elsewhere.path("outside"));
    let long = "d/".repeat(2_048) + "f";
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("above", leaf(&[("../outside/b", evil())])),
        ("dots", leaf(&[("a/../../outside/b", evil())])),
        ("dot", leaf(&[("./a", evil())])),
        ("absolute", leaf(&[(format!("{outside}/b"), evil())])),
        ("nul", leaf(&[("a\0b", evil())])),
        ("empty", leaf(&[("", evil())])),
        ("hole", leaf(&[("a//b", evil())])),
        ("slash", leaf(&[("a/", evil())])),
        ("own", leaf(&[(".dagset/config.toml", evil())])),
        ("bytes", leaf(&[(b"\xff\xfe", evil())])),
        ("twice", leaf(&[("a", evil()), ("a", evil())])),
        ("unsorted", leaf(&[("b", evil()), ("a", evil())])),
        ("both", leaf(&[("a", evil()), ("a/b", evil())])),
        ("apart", leaf(&[("a", evil()), ("a.txt", evil()), ("a/b", evil())])),
        ("through", leaf(&[("a", link(&outside)), ("a/b", evil())])),
        ("long", leaf(&[(long, evil())])),
        ("component", leaf(&[("x".repeat(256), evil())])),
    ];
    let mut wrong = Vec::new();
    for (dataset, bytes) in cases {
        let env = honest();
        let mut forge = Forge::open(&env.path("store"));
        forge.content(b"evil");
        let manifest = forge.meta(ItemKind::Node, &bytes);
        forge.publish(dataset, &version(manifest, 1, 4));
        wrong.extend(complaints(&env, dataset, Wrong::Manifest, &[manifest]));
        assert_eq!(contents(&env.path("outside")), before, "{dataset}");
        let out = env.path(&format!("out-{dataset}"));
        let written = if out.exists() { everything_below(&out) } else { Vec::new() };
        assert!(written.iter().all(|path| fs::read(path).is_ok_and(|bytes| bytes != b"evil")), "{written:?}");
    }
    assert_eq!(contents(&elsewhere.path("outside")), before);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_link_that_leads_out_is_a_link_and_nothing_is_written_through_it() {
    let env = honest();
    let mut forge = Forge::open(&env.path("store"));
    let content = forge.content(b"evil");
    let outside = env.path("outside").to_str().unwrap().to_owned();
    let first = forge.meta(ItemKind::Node, &leaf(&[("a", link(&outside)), ("z", file(4, content))]));
    forge.publish("links", &version(first, 1, 4));
    let content = forge.content(b"evil too");
    let second = forge.meta(ItemKind::Node, &leaf(&[("a/b", file(8, content))]));
    forge.publish("files", &version(second, 1, 8));
    let before = contents(&env.path("outside"));
    let _ = bounded(&env, &["get", "./store/links", "out"]).exits(0);
    assert_eq!(fs::read_link(env.path("out/a")).unwrap(), env.path("outside"));
    let _ = bounded(&env, &["get", "./store/files", "out", "--overwrite"]).exits(0);
    assert_eq!(fs::read(env.path("out/a/b")).unwrap(), b"evil too");
    let _ = bounded(&env, &["get", "./store/links", "out", "--delete"]).exits(0);
    assert_eq!(fs::read_link(env.path("out/a")).unwrap(), env.path("outside"));
    assert_eq!(contents(&env.path("outside")), before);
}

#[test]
fn manifests_that_claim_more_than_there_is() {
    let [first, second] = ["a", "b"].map(|name| leaf(&[(name, file(4, Id::of(b"evil")))]));
    let claims =
        |level, counts: [u64; 3]| inner(level, &[("a", (Id::of(&first), counts)), ("b", (Id::of(&second), [1, 1, 4]))]);
    let (huge, nowhere) = (1 << 60, Id::of(b"nowhere"));
    let cases = [
        ("deep", claims(15, [1, 1, 4])),
        ("deeper", claims(200, [1, 1, 4])),
        ("many", claims(1, [huge, huge, huge])),
        ("overflowing", claims(1, [u64::MAX; 3])),
        ("lone", inner(1, &[("a", (Id::of(&first), [1, 1, 4]))])),
        ("gone", inner(1, &[("a", (nowhere, [1, 1, 4])), ("b", (Id::of(&second), [1, 1, 4]))])),
        // 2^56 entries are claimed in a few bytes.
        ("counted", [&[1, 0][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]].concat()),
    ];
    let mut wrong = Vec::new();
    for (dataset, bytes) in cases {
        let env = honest();
        let mut forge = Forge::open(&env.path("store"));
        forge.content(b"evil");
        let manifest = forge.meta(ItemKind::Node, &bytes);
        for leaf in [&first, &second] {
            forge.meta(ItemKind::Node, leaf);
        }
        forge.publish(dataset, &version(manifest, 2, 8));
        wrong.extend(complaints(&env, dataset, Wrong::Manifest, &[manifest, Id::of(&first), nowhere]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Zeros, so many blocks of 128 KiB, as a zstd frame that says it holds `declared` bytes.
fn bomb(declared: u64, blocks: u32) -> Vec<u8> {
    // A single segment, whose size has 8 bytes; then blocks of one repeated byte (RFC 8878 §3.1.1).
    let mut frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000][..], &declared.to_le_bytes()].concat();
    for block in 1..=blocks {
        let head = u32::from(block == blocks) | 1 << 1 | (128 << 10) << 3;
        frame.extend([&head.to_le_bytes()[..3], &[0]].concat());
    }
    frame
}

/// Publishes a file of what `bring` brings, of so many bytes; gives what isn't as it must be. `bring` gives the content and what may be named.
fn content_complaints(dataset: &str, size: u64, bring: impl FnOnce(&mut Forge) -> (Id, Vec<Id>)) -> Vec<String> {
    let env = honest();
    let mut forge = Forge::open(&env.path("store"));
    let (content, named) = bring(&mut forge);
    let manifest = forge.meta(ItemKind::Node, &leaf(&[("a", file(size, content))]));
    forge.publish(dataset, &version(manifest, 1, size));
    complaints(&env, dataset, Wrong::Content, &[&named[..], &[content]].concat())
}

/// Brings a recipe of these children for a content that has no bytes of its own.
fn recipe(forge: &mut Forge, size: u64, level: u8, children: Vec<RecipeChild>) -> Id {
    let content = Id::of(b"claimed");
    forge.meta_as(ItemKind::RecipeRoot, content, &RecipeRoot { content, size, level, children }.encode());
    content
}

#[test]
fn contents_that_are_not_what_they_claim() {
    let size: u64 = 1 << 60;
    let child = |id: Id, bytes: u64| RecipeChild { id, bytes };
    let page = |forge: &mut Forge, level: u8, child| {
        let page = RecipePage { level, children: vec![child; 1024] };
        forge.meta(ItemKind::RecipePage, &page.encode())
    };
    let mut wrong = content_complaints("huge-small", size, |forge| (forge.content(b"small"), Vec::new()));
    wrong.extend(content_complaints("huge-recipe", size, |forge| {
        let nowhere = Id::of(b"no page");
        (recipe(forge, size, 8, vec![child(nowhere, size)]), vec![nowhere])
    }));
    wrong.extend(content_complaints("repeating", size, |forge| {
        // Each page names the one below it over and over: four of them claim 2^40 chunks.
        let chunk = forge.content(&[7; 1000]);
        let mut below = child(chunk, 1 << 20);
        for level in 0..4 {
            below = child(page(forge, level, below), below.bytes << 10);
        }
        (recipe(forge, size, 4, vec![below]), vec![chunk])
    }));
    wrong.extend(content_complaints("other-sum", 200_000, |forge| {
        let chunk = forge.content(&[8; 1000]);
        (recipe(forge, 1000, 0, vec![child(chunk, 1000)]), Vec::new())
    }));
    let raw: u32 = 100_000;
    for (dataset, declared, blocks) in
        [("bomb", raw.into(), 100_000), ("big-bomb", 4 << 30, 32_768), ("short", raw.into(), 1)]
    {
        wrong.extend(content_complaints(dataset, raw.into(), |forge| {
            let content = Id::of(dataset.as_bytes());
            forge.chunk(content, &bomb(declared, blocks), raw, Encoding::Zstd);
            (content, Vec::new())
        }));
    }
    wrong.extend(content_complaints("circle", 50_000, |forge| {
        // Two frames, each the base of the other.
        let both = [vec![1u8; 50_000], vec![2u8; 50_000]];
        for (raw, base) in [(&both[0], &both[1]), (&both[1], &both[0])] {
            forge.chunk(Id::of(raw), &compress(raw).unwrap(), 50_000, Encoding::Based(Id::of(base)));
        }
        (Id::of(&both[0]), vec![Id::of(&both[1])])
    }));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// 2,048 folders in each other, as many as a path can have.
#[test]
fn the_deepest_path_comes_and_goes() {
    let env = honest();
    let mut forge = Forge::open(&env.path("store"));
    let content = forge.content(b"deep");
    let path = "d/".repeat(2_047) + "f";
    let manifest = forge.meta(ItemKind::Node, &leaf(&[(&path, file(4, content))]));
    forge.publish("deep", &version(manifest, 1, 4));
    let listed = bounded(&env, &["ls", "-R", "--json", "./store/deep"]).json();
    assert_eq!(listed["entries"].as_array().unwrap().last().unwrap()["path"], *path);
    for command in [
        &["tree", "./store/deep"][..],
        &["diff", "./store/good", "./store/deep"],
        &["verify", "./store"],
        &["get", "./store/deep", "out"],
        &["get", "./store/deep", "out", "--overwrite"],
        &["ingest", "out", "--into", "./store/again", "--create"],
        &["merge", "./store/good", "./store/deep", "--branch", "merged"],
        &["get", "./store/good@merged", "both"],
        &["get", "./store/good", "both", "--delete"],
        &["get", "./store/good", "out", "--delete"],
    ] {
        let _ = bounded(&env, command).exits(0);
    }
    let differs = bounded(&env, &["diff", "--json", "./store/again", "./store/deep", "--exit-code"]);
    let _ = differs.exits(0);
    assert_eq!(contents(&env.path("both")), contents(&env.path("data")));
    assert_eq!(contents(&env.path("out")), contents(&env.path("data")));
}

/// Red, a bell, a line of one's own, a title for the window, and text that runs the other way.
pub const STEERING: &str = "x\u{1b}[31m\u{7}\ny\u{1b}]0;t\u{9b}2J\u{202e}z\u{2066}";

/// The first character that would steer a terminal.
pub fn steering(text: &str) -> Option<char> {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t') || turns(*c))
}

#[test]
fn nothing_steers_a_terminal() {
    let env = honest();
    let mut forge = Forge::open(&env.path("store"));
    forge.actor.name = STEERING.to_owned();
    forge.actor.context = [("command", STEERING), (STEERING, STEERING)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::Text(value.to_owned())))
        .collect();
    let content = forge.content(b"evil");
    let items = [(STEERING, file(4, content)), ("zlink", link(STEERING))];
    let manifest = forge.meta(ItemKind::Node, &leaf(&items));
    let text = |key: &str| (key.to_owned(), Value::Text(STEERING.to_owned()));
    let all: Attrs = ["host", "user", "command", STEERING].map(text).into_iter().collect();
    let evil = version(manifest, 1, 4);
    let parents = vec![Parent { id: Id::of(b"nobody"), role: STEERING.to_owned() }];
    forge.publish(
        "evil",
        &dagset::format::version::Version {
            author: STEERING.to_owned(),
            message: STEERING.to_owned(),
            meta: all.clone(),
            provenance: all,
            parents,
            ..evil
        },
    );
    let dataset = DatasetName::new("evil").unwrap();
    let set = |key: &str| Operation::SetMetadata {
        dataset: dataset.clone(),
        version: None,
        key: key.to_owned(),
        value: Some(Value::Text(STEERING.to_owned())),
    };
    forge.append(&[set("key"), set(STEERING), Operation::Reason { text: STEERING.to_owned() }]);
    let path = format!("./store/evil:{STEERING}");
    for command in [
        &["ls", "./store/evil"][..],
        &["ls", "-l", "-R", "./store/evil"],
        &["tree", "./store/evil"],
        &["stat", &path],
        &["log", "./store/evil"],
        &["log", "--graph", "./store/evil"],
        &["log", &path],
        &["show", "./store/evil"],
        &["lineage", "./store/evil"],
        &["why", &path],
        &["meta", "list", "./store/evil"],
        &["list", "./store", "-v"],
        &["audit", "./store", "-v"],
        &["oplog", "./store", "-v"],
        &["diff", "./store/good", "./store/evil"],
        &["diff", "./store/good", "./store/evil", "--stat"],
        &["diff", "./store/good", "./store/evil", "--format", "markdown"],
        &["diff", "./store/good", "./store/evil", "--name-status"],
        &["merge", "./store/good", "./store/evil", "--dry-run", "--branch", "m"],
        &["verify", "./store", "-v"],
        &["gc", "./store", "--dry-run", "-v"],
        &["du", "./store/evil"],
        &["get", "./store/evil", "out", "-v"],
        &["get", "./store/evil", "out", "--delete", "-v"],
        &["ingest", "out", "--into", "./store/mine", "--create", "-v"],
        &["get", &format!("{path}/x"), "other"],
        &["clone", "./store/evil", "copy", "-v"],
        &["-C", "copy", "status"],
        &["-C", "copy", "rm", STEERING],
        &["-C", "copy", "status"],
        &["-C", "copy", "diff"],
        &["-C", "copy", "commit", "-m", STEERING],
        &["ls", STEERING],
    ] {
        let outcome = bounded(&env, command);
        for (what, text) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
            let found = steering(text);
            assert!(found.is_none(), "{command:?}: {found:?} in {what}:\n{}", clean(text));
        }
        assert!(!outcome.stderr.contains("unexpected argument"), "{command:?}: {}", outcome.stderr);
    }
    let listed = bounded(&env, &["ls", "--json", "./store/evil"]).json();
    assert_eq!(listed["entries"][0]["path"], STEERING);
    let logged = bounded(&env, &["log", "--json", "./store/evil"]).json();
    assert_eq!(
        (&logged["versions"][0]["author"], &logged["versions"][0]["message"]),
        (&STEERING.into(), &STEERING.into())
    );
    assert!(RefName::new(STEERING).is_err() && DatasetName::new(STEERING).is_err());
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { "\n".to_owned() } else { c.escape_debug().to_string() }).collect()
}
