//! Holds the architecture of docs/design.md: imports point down, storage has one door, the library is mute.

use std::fs;
use std::path::Path;

use crate::env::everything_below;
use crate::source::{Token, named_paths, tokens};

/// Top to bottom. A layer may use those below its own row; two in one row know nothing of each other.
const ROWS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["engine"],
    &["flow"],
    &["workspace", "cache"],
    &["history"],
    &["tree"],
    &["catalog"],
    &["store"],
    &["format"],
    &["chunk"],
    &["base"],
];

/// What the face may see: the engine does the work, `base` has the words that both speak.
const FACE_USES: &[&str] = &["cli", "engine", "base"];

/// Crates that may be named in one place only.
const DOORS: &[(&str, &str)] = &[
    ("object_store", "store/backend/"),
    ("tokio", "store/backend/"),
    ("reqwest", "store/backend/"),
    ("hyper", "store/backend/"),
    ("rusqlite", "catalog/"),
];

const PRINTERS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

const LONGEST_FILE: usize = 600;

fn row(layer: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&layer))
}

/// Where a file hangs in its crate: `store/log.rs` is `["store", "log"]`, `lib.rs` the root; `store/log_tests.rs` is
/// `["store", "log", "tests"]`, since the tests of a long file lie beside it.
fn module_of(file: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    if let Some(tested) = parts.last().and_then(|last| last.strip_suffix("_tests")) {
        parts.pop();
        parts.extend([tested, "tests"]);
    }
    if matches!(parts.last(), Some(&("mod" | "lib"))) || file == "main.rs" {
        parts.pop();
    }
    parts
}

/// Why `from` may not use `to`, if it may not.
fn forbidden(from: &str, to: &str) -> Option<&'static str> {
    let (Some(own), Some(used)) = (row(from), row(to)) else { return Some("is no layer") };
    if from == to {
        None
    } else if matches!(from, "main" | "cli") && !FACE_USES.contains(&to) {
        Some("is below the engine, which the face never reaches past")
    } else if used < own {
        Some("is above it")
    } else if used == own {
        Some("is beside it")
    } else {
        None
    }
}

/// What a file does against the rules, a line each. `file` is its path from `src/`.
fn violations(file: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let module = module_of(file);
    let layer = if file == "main.rs" { "main" } else { module.first().copied().unwrap_or("lib") };
    let is_face = matches!(layer, "main" | "cli");
    if layer != "lib" && row(layer).is_none() {
        found.push(format!("{file}: belongs to no layer"));
    }
    if source.lines().count() > LONGEST_FILE {
        found.push(format!("{file}: has more than {LONGEST_FILE} lines: cut it where its parts meet"));
    }
    for path in named_paths(source, &module) {
        let place = format!("{file}:{}: {}", path.line, path.segments.join("::"));
        match path.segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["crate"] if layer != "lib" => found.push(format!("{place} names the root: name the layer")),
            ["crate", used, ..] if layer != "lib" => {
                if let Some(why) = forbidden(layer, used) {
                    found.push(format!("{place}: {used} {why} (from {layer})"));
                }
            }
            ["std", "env", ..] if !is_face => found.push(format!("{place}: only main.rs and cli/ see the environment")),
            _ => {}
        }
    }
    let tokens = tokens(source);
    for (at, (token, line)) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let is_macro = matches!(tokens.get(at + 1), Some((Token::Sign('!'), _)));
        if is_macro && PRINTERS.contains(&word.as_str()) && !is_face {
            found.push(format!("{file}:{line}: {word}!: only main.rs and cli/ print"));
        }
        for (name, door) in DOORS {
            if word == name && !file.starts_with(door) {
                found.push(format!("{file}:{line}: {name} is named outside src/{door}"));
            }
        }
    }
    found
}

/// Every Rust file below `folder`, with its path from there.
fn rust_files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in everything_below(folder) {
        if entry.extension().is_some_and(|ending| ending == "rs") {
            let name = entry.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read_to_string(&entry).unwrap()));
        }
    }
    found
}

#[test]
fn the_sources_keep_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(&root.join("src"));
    assert!(files.iter().any(|(name, _)| name == "base/mod.rs"), "the sources were not found");
    let found: Vec<String> = files.iter().flat_map(|(name, source)| violations(name, source)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_tests_are_short_too() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, source) in rust_files(&root.join("tests")) {
        assert!(source.lines().count() <= LONGEST_FILE, "{name} has more than {LONGEST_FILE} lines");
    }
}

/// How many rules a crate of this one file breaks.
fn count(file: &str, source: &str) -> usize {
    violations(file, source).len()
}

#[test]
fn an_import_that_points_up_is_caught() {
    for (file, source) in [
        ("base/id.rs", "use crate::format::codec;"),
        ("base/id.rs", "use super::super::format;"),
        ("base/id.rs", "use super::super::{base::Id, store::Store};"),
        ("base/id.rs", "pub(crate) use crate::{base::Id, engine::{self as e}};"),
        ("base/mod.rs", "use super::chunk;"),
        ("base/id.rs", "mod tests { use super::super::super::store::Store; }"),
        ("base/id.rs", "fn f() { crate::flow::ingest() }"),
        ("base/id.rs", "fn f<T: crate::store::Backend>() {}"),
        ("base/id.rs", "macro_rules! m { () => { $crate::engine::run() } }"),
        ("format/mod.rs", "type T = dagset::store::T;"),
        ("workspace/mod.rs", "use crate::cache::Cache;"),
        ("cache/mod.rs", "use crate::workspace::Workspace;"),
        ("store/mod.rs", "use crate::*;"),
        ("store/mod.rs", "use crate as me;"),
        ("store/mod.rs", "use crate::Result;"),
        ("store/mod.rs", "const A: char = '\"'; use crate::flow; const B: char = '\"';"),
        ("store/mod.rs", "fn f<'a>(x: &'a str) { let q = '\\''; crate::flow::go(x, q) }"),
    ] {
        assert_eq!(count(file, source), 1, "{file}: {source}: {:?}", violations(file, source));
    }
}

#[test]
fn an_import_that_points_down_passes() {
    for (file, source) in [
        ("format/place.rs", "use crate::base::{Id, id::MAX_BORN}; use super::codec::Put;"),
        ("format/place.rs", "mod tests { use super::*; use super::super::codec; use crate::chunk::Cut; }"),
        ("format/place.rs", "mod tests { mod deep {} } use super::codec;"),
        ("engine/mod.rs", "use crate::{flow, workspace, cache::Cache, history::{dag, refs as r}};"),
        (
            "base/id.rs",
            "// use crate::engine;\n/* crate::flow::x /* nested */ */ const S: &str = \"use crate::store;\";",
        ),
        ("base/id.rs", "const S: &str = r#\"crate::store::x \" \"#; fn r#type() {}"),
        ("format/node_tests.rs", "use super::super::tree::NewNode; use super::*;"),
        ("base/id.rs", "pub(in crate::base) fn f() { std::fs::read(\"x\").ok(); }"),
        ("lib.rs", "pub mod base; pub use base::Error; pub use crate::engine::Engine;"),
        ("store/mod.rs", "fn f<'a>() -> impl Iterator + use<'a> { x(); y() } use super::base::Id;"),
        ("main.rs", "mod cli; fn main() { cli::run(dagset::engine::Engine::new()); crate::cli::x() }"),
    ] {
        assert!(violations(file, source).is_empty(), "{file}: {source}: {:?}", violations(file, source));
    }
}

#[test]
fn the_face_reaches_the_engine_only() {
    for used in ["store::Store", "catalog::Dag", "flow", "format::Place", "history", "tree", "workspace", "cache"] {
        assert_eq!(count("cli/ls.rs", &format!("use crate::{used};")), 1, "{used}");
        assert_eq!(count("main.rs", &format!("fn main() {{ let _ = dagset::{used}::x; }}")), 1, "{used}");
    }
    assert_eq!(count("cli/ls.rs", "use crate::{base::Id, engine::Engine}; use super::json;"), 0);
    assert_eq!(count("engine/mod.rs", "use crate::cli::Args;"), 1);
}

#[test]
fn each_door_is_the_only_one() {
    assert_eq!(count("store/log.rs", "use object_store::path::Path;"), 1);
    assert_eq!(count("store/log.rs", "fn f() { tokio::spawn(async {}) }"), 1);
    assert_eq!(count("store/backend/mod.rs", "use object_store::ObjectStore; use tokio::runtime::Runtime;"), 0);
    assert_eq!(count("history/dag.rs", "fn f(c: &rusqlite::Connection) {}"), 1);
    assert_eq!(count("catalog/stat.rs", "use {rusqlite::Connection, crate::base::Id};"), 0);
    assert_eq!(count("history/dag.rs", "// rusqlite is not used here"), 0);
}

#[test]
fn the_library_is_mute() {
    for source in [
        "fn f() { println!(\"x\") }",
        "fn f() { std::eprint !(\"x\") }",
        "use std::{env, fs};",
        "fn f() { ::std::env::var(\"HOME\") }",
    ] {
        assert_eq!(count("tree/scan.rs", source), 1, "{source}: {:?}", violations("tree/scan.rs", source));
        assert_eq!(count("cli/ui.rs", source), 0, "{source}");
        assert_eq!(count("main.rs", source), 0, "{source}");
    }
    assert_eq!(count("tree/scan.rs", "const V: &str = env!(\"CARGO_PKG_VERSION\"); fn print() { writeln!(out) }"), 0);
}

#[test]
fn strays_and_giants_are_caught() {
    assert_eq!(count("util.rs", ""), 1);
    assert_eq!(count("util/mod.rs", ""), 1);
    assert_eq!(count("engine.rs", "use crate::flow::x;"), 0);
    assert_eq!(count("base/id.rs", &"\n".repeat(LONGEST_FILE)), 0);
    assert_eq!(count("base/id.rs", &"\n".repeat(LONGEST_FILE + 1)), 1);
}
