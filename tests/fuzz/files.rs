//! Targets that are files in a folder: what a workspace and a cache keep for themselves, and anybody could have put there.
//!
//! Each has a folder of its own below the one that cargo gives tests.

use dagset::base::{DatasetName, Error, Id, Observer, Result};
use dagset::cache::{Cache, Sharing};
use dagset::workspace::control::{Config, Control, EMBEDDED, State};
use std::fs;
use tempfile::TempDir;

use super::targets::Target;

/// Every target of this kind.
pub fn all() -> Vec<Target> {
    vec![
        of_workspace(
            "workspace-config",
            "config.toml",
            |control| control.config(),
            |control, config| control.write_config(config),
        ),
        of_workspace(
            "workspace-state",
            "state.json",
            |control| control.state(),
            |control, state| control.write_state(state),
        ),
        of_workspace(
            "workspace-staged",
            "staged",
            |control| control.staged(),
            |control, staged| control.write_staged(staged),
        ),
        of_workspace("workspace-merge", "merge.json", merging, |control, merging| control.write_merging(merging)),
        of_cache("cache-config", "cache.toml", |_| Ok(())),
        of_cache("cache-hold", "holds/0123456789abcdef", |cache| cache.holds().map(drop)),
        of_cache("cache-view", &format!("views/{}.toml", view()), |cache| {
            cache.view(&view()).map(drop).ok_or_else(nothing)
        }),
        of_cache("cache-usage", "usage", |cache| cache.usage(0).map(drop)),
    ]
}

/// The one that has been given to the fuzzed file of a cache.
fn view() -> String {
    Id::of(b"view").to_string()
}

fn nothing() -> Error {
    Error::not_found("nothing that can be understood")
}

/// The merge in progress of a workspace that is at no version.
fn merging(control: &Control) -> Result<dagset::workspace::merging::Merging> {
    control.merging(&State::default())?.ok_or_else(nothing)
}

/// Each writes a file, and some wait for the disk.
const ROUNDS: u64 = 100;

fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A target that has its folder as long as it lives.
fn target(
    name: &'static str,
    folder: TempDir,
    parse: impl Fn(&[u8]) -> bool + 'static,
    check: impl Fn(&[u8]) + 'static,
) -> Target {
    let parse = move |bytes: &[u8]| folder.path().exists() && parse(bytes);
    // What a parser of text formats takes is its crate's matter.
    Target { name, parse: Box::new(parse), check: Box::new(check), seal: |_| (), is_bounded: false, rounds: ROUNDS }
}

/// A file of a workspace: what was read and written again reads the same.
fn of_workspace<T: PartialEq + std::fmt::Debug + 'static>(
    name: &'static str,
    file: &'static str,
    read: fn(&Control) -> Result<T>,
    write: fn(&Control, &T) -> Result<()>,
) -> Target {
    let folder = scratch();
    let config =
        Config { dataset: DatasetName::new("set").unwrap(), store: EMBEDDED.to_owned(), remotes: Default::default() };
    let control = Control::create(folder.path(), &config, &State::default()).unwrap();
    let path = control.folder().join(file);
    let (again, same_path) = (control.clone(), path.clone());
    target(
        name,
        folder,
        move |bytes| fs::write(&path, bytes).is_ok() && read(&control).is_ok(),
        move |bytes| {
            fs::write(&same_path, bytes).unwrap();
            let Ok(value) = read(&again) else { return };
            write(&again, &value).unwrap();
            assert_eq!(read(&again).unwrap(), value);
        },
    )
}

/// A file of a cache that is opened to be read.
fn of_cache(name: &'static str, file: &str, read: fn(&Cache) -> Result<()>) -> Target {
    let scratch = scratch();
    let folder = scratch.path().join("cache");
    Cache::init(&folder, None, Sharing::Private).unwrap();
    let path = folder.join(file);
    let parse = move |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let opened = Cache::open(&folder, true, Observer::new()).and_then(|cache| cache.ok_or_else(nothing));
        opened.and_then(|cache| read(&cache)).is_ok()
    };
    target(name, scratch, parse, |_| ())
}
