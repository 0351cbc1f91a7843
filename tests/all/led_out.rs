//! Somebody who may write in the target swaps its folders for links that lead out, as fast as can be: nothing is written or removed there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::env::{Outcome, TestEnv};
use crate::stage::contents;

const FOLDERS: usize = 6;
const FILES: usize = 20;
const ROUNDS: usize = 30;

/// A store with two versions in which every file differs, and a folder outside that has a file of its own at each of their names.
struct Scene {
    env: TestEnv,
}

impl Scene {
    fn new() -> Scene {
        let env = TestEnv::new();
        for version in ["1", "2"] {
            for (folder, file) in places() {
                env.write(&format!("data/d{folder}/sub/{file}"), format!("version {version} of {folder}/{file}"));
            }
            env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", version]).text();
            fs::rename(env.path("data"), env.path(&format!("data{version}"))).unwrap();
        }
        for (_, file) in places() {
            env.write(&format!("outside/sub/{file}"), "precious");
            env.write(&format!("outside/{file}"), "precious");
        }
        Scene { env }
    }

    /// Runs `work` in rounds while folders of `target` are swapped for links to the folder outside, and back.
    fn under_attack(&self, target: &str, mut work: impl FnMut(usize)) {
        let (outside, target) = (self.env.path("outside"), self.env.path(target));
        let before = contents(&outside);
        let (over, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    for folder in 0..FOLDERS {
                        let place = target.join(format!("d{folder}"));
                        swap(&place, &outside, &swaps);
                        swap(&place.join("sub"), &outside.join("sub"), &swaps);
                    }
                }
            });
            (0..ROUNDS).for_each(&mut work);
            over.store(true, Ordering::Release);
        });
        assert!(swaps.into_inner() > 100, "the attack was none");
        assert_eq!(contents(&outside), before);
    }

    fn is_whole(&self, target: &str, version: &str) -> bool {
        let mut got = contents(&self.env.path(target));
        got.retain(|path, _| !path.starts_with(".dagset"));
        got == contents(&self.env.path(&format!("data{version}")))
    }
}

fn places() -> impl Iterator<Item = (usize, usize)> {
    (0..FOLDERS).flat_map(|folder| (0..FILES).map(move |file| (folder, file)))
}

/// Has a link stand at `place` for a moment, where a folder is.
fn swap(place: &Path, leads_to: &Path, swaps: &AtomicU64) {
    let aside = aside(place);
    if fs::rename(place, &aside).is_ok() {
        swaps.fetch_add(u64::from(symlink(leads_to, place).is_ok()), Ordering::Relaxed);
        // Long enough for somebody to meet it.
        (0..100).for_each(|_| std::thread::yield_now());
        // Whoever replaced the link meanwhile keeps what is there now.
        if fs::read_link(place).is_ok() {
            fs::remove_file(place).ok();
        }
        if fs::rename(&aside, place).is_err() {
            fs::remove_dir_all(&aside).ok();
        }
    }
}

fn aside(place: &Path) -> PathBuf {
    place.with_file_name(format!(".aside-{}", place.file_name().unwrap().to_str().unwrap()))
}

/// It did what it was to, or says in one of the ways that are known why it couldn't.
#[track_caller]
fn ended_well(outcome: &Outcome) {
    let knows_why = outcome.stderr.starts_with("error: ");
    let is_known = matches!(outcome.code, Some(0)) || matches!(outcome.code, Some(1 | 3 | 4)) && knows_why;
    assert!(is_known, "{:?}\n{}", outcome.code, outcome.stderr);
}

#[test]
fn get_writes_and_deletes_nothing_through_links() {
    let scene = Scene::new();
    fs::create_dir(scene.env.path("out")).unwrap();
    let version = |round| ["1", "2"][round % 2];
    let get = |round: usize, mode| scene.env.run(["get", &format!("./store/set@{}", version(round)), "out", mode]);
    scene.under_attack("out", |round| ended_well(&get(round, ["--overwrite", "--delete"][round / 2 % 2])));
    let _ = get(0, "--delete").exits(0);
    assert!(scene.is_whole("out", "1"));
}

#[test]
fn switch_restore_and_clean_write_and_remove_nothing_through_links() {
    let scene = Scene::new();
    scene.env.run(["clone", "./store/set", "work"]).text();
    let here = |line: &str| scene.env.run_with("work", line.split(' '), b"");
    scene.under_attack("work", |round| {
        // What it finds swapped counts as changed, so that a switch may be refused until that is undone.
        let version = ["switch 1", "switch 2"][round / 2 % 2];
        ["restore .", "clean", version].iter().for_each(|line| ended_well(&here(line)));
    });
    for line in ["switch 1", "switch 2", "restore .", "clean", "switch 2", "switch 1"] {
        ended_well(&here(line));
    }
    assert!(scene.is_whole("work", "1"));
}
