//! Each command that writes, on a disk that has room for nothing, for a page, for a few: an error that says so and what to do, nothing
//! lost, and the same command ends its work once there is room. Stores, workspaces and the home folder are all on that disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::env::{Outcome, TestEnv, everything_below};
use crate::full_disk::SmallDisk;
use crate::stage::noise;

const PAGE: u64 = 4_096;
/// Pages that are left, until a command ends well.
const PAGES_LEFT: [u64; 6] = [0, 1, 2, 4, 8, 16];

/// A folder of the disk and the command that runs there.
type Case = (&'static str, &'static [&'static str]);

const CASES: [Case; 27] = [
    ("dirty", &["commit", "-a", "-m", "more"]),
    ("dirty", &["restore", "a"]),
    ("dirty", &["add", "new"]),
    ("behind", &["switch", "side"]),
    ("behind", &["merge", "side"]),
    ("behind", &["fetch"]),
    ("behind", &["pull"]),
    ("own", &["push"]),
    ("own", &["prune", "--pushed"]),
    ("own", &["revert", "2.0"]),
    (".", &["merge", "./store/set", "./store/set@side", "--branch", "merged"]),
    (".", &["clone", "./store/set", "copy"]),
    (".", &["tag", "./store/set@1.0", "best"]),
    (".", &["branch", "./store/set", "other"]),
    (".", &["name", "./store/plain", "first"]),
    (".", &["meta", "set", "./store/set", "owner=me"]),
    (".", &["gc", "./store", "--grace", "0s"]),
    (".", &["purge", "./store/set@1.0", "gone", "--reason", "it leaked", "--yes"]),
    (".", &["verify", "./broken", "--repair-from", "./store"]),
    (".", &["lock", "./store/set"]),
    (".", &["init", "fresh"]),
    (".", &["use", "./store/set@1.0", "--run", "r1"]),
    (".", &["undo", "./store"]),
    (".", &["dataset", "copy", "./store/set", "./far/copied"]),
    (".", &["dataset", "rename", "./store/set", "renamed"]),
    (".", &["dataset", "delete", "./store/plain", "--yes"]),
    (".", &["ingest", "data", "--into", "./store/set", "--as", "3.0"]),
];

/// What no version holds, and no case may touch.
const UNSAVED: [&str; 2] = ["dirty/new", "behind/untracked"];

struct Scene {
    env: TestEnv,
    disk: SmallDisk,
    /// All that was on the disk before the first case.
    kept: tempfile::TempDir,
}

impl Scene {
    fn new() -> Option<Scene> {
        let disk = SmallDisk::mount("commands on a full disk")?;
        disk.resize("24m");
        let mut env = TestEnv::new();
        for (name, folder) in [
            ("HOME", "home"),
            ("XDG_CONFIG_HOME", "home/config"),
            ("XDG_CACHE_HOME", "home/cache"),
            ("XDG_DATA_HOME", "home/data"),
            ("XDG_STATE_HOME", "home/state"),
            ("TMPDIR", "tmp"),
        ] {
            let folder = disk.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            env.set(name, folder.to_str().unwrap());
        }
        let scene = Scene { env, disk, kept: tempfile::tempdir().unwrap() };
        scene.lay_out();
        copy(&scene.disk.path(), scene.kept.path());
        Some(scene)
    }

    fn lay_out(&self) {
        for (path, bytes) in [("a", noise(1, 9_000)), ("big", noise(2, 300_000)), ("gone", noise(3, 90_000))] {
            self.write(&format!("data/{path}"), &bytes);
        }
        for store in ["store", "far"] {
            self.run(".", &["ingest", "data", "--into", &format!("./{store}/set"), "--create", "--as", "1.0"]).text();
        }
        self.run(".", &["branch", "./store/set@1.0", "side"]).text();
        for workspace in ["dirty", "behind"] {
            self.run(".", &["clone", "./far/set", workspace]).text();
        }
        fs::remove_file(self.path("data/gone")).unwrap();
        for store in ["store", "far"] {
            self.write("data/a", &noise(4, 9_000));
            self.run(".", &["ingest", "data", "--into", &format!("./{store}/set"), "--as", "2.0"]).text();
        }
        self.write("data/side", &noise(5, 20_000));
        self.write("data/a", &noise(1, 9_000));
        self.run(".", &["ingest", "data", "--into", "./store/set", "--branch", "side"]).text();
        self.run(".", &["ingest", "data", "--into", "./store/plain", "--create"]).text();
        self.run(".", &["ingest", "data", "--into", "./store/trial", "--create"]).text();
        self.run(".", &["dataset", "delete", "./store/trial", "--yes"]).text();
        for words in [&["branch", "side"][..], &["switch", "side"]] {
            self.run("behind", words).text();
        }
        self.write("behind/side", &noise(6, 200_000));
        for words in [&["commit", "-a", "-m", "side"][..], &["switch", "main"]] {
            self.run("behind", words).text();
        }
        self.write("behind/untracked", b"mine");
        self.write("own/big", &noise(7, 200_000));
        for words in [
            &["init"][..],
            &["commit", "-a", "-m", "one", "--as", "1.0"],
            &["remote", "add", "origin", "../far/own"],
            &["push", "origin"],
        ] {
            self.run("own", words).text();
        }
        self.write("own/big", &noise(8, 200_000));
        self.run("own", &["commit", "-a", "-m", "two", "--as", "2.0"]).text();
        self.write("dirty/a", b"changed");
        self.write("dirty/new", &noise(9, 100_000));
        self.write("data/more", &noise(10, 50_000));
        copy(&self.path("store"), &self.path("broken"));
        let pack = everything_below(&self.path("broken/packs")).swap_remove(0);
        fs::remove_file(pack).unwrap();
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.disk.path().join(relative)
    }

    fn write(&self, relative: &str, bytes: &[u8]) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn run(&self, folder: &str, words: &[&str]) -> Outcome {
        self.env.run_with(self.path(folder).to_str().unwrap(), words.iter().copied(), b"")
    }

    /// Puts everything back as it was before the first case.
    fn reset(&self) {
        for entry in fs::read_dir(self.disk.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        }
        copy(self.kept.path(), &self.disk.path());
    }

    /// Records of all logs on the disk, and files that nobody saved.
    fn precious(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let is_record = |path: &PathBuf| path.is_file() && path.components().any(|part| part.as_os_str() == "log");
        let records = everything_below(&self.disk.path()).into_iter().filter(is_record);
        let all = records.chain(UNSAVED.map(|path| self.path(path)));
        all.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
    }

    /// What is less than before, or damaged.
    fn harm(&self, before: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
        let is_whole = |(path, bytes): &(&PathBuf, &Vec<u8>)| fs::read(path).is_ok_and(|now| now == **bytes);
        let lost = before.iter().filter(|it| !is_whole(it)).map(|(path, _)| format!("{path:?} isn't what it was"));
        let damage = ["./store", "./far", "./dirty", "./behind", "./own"].into_iter().filter_map(|store| {
            let found = self.run(".", &["verify", store]);
            (found.code != Some(0)).then(|| format!("verify of {store}: {}{}", found.stdout, found.stderr))
        });
        lost.chain(damage).collect()
    }

    /// Runs a case with so much room, then with enough; gives whether it ended well at once, and what isn't as it must be.
    fn try_with(&self, (folder, words): Case, pages: u64) -> (bool, Vec<String>) {
        self.reset();
        let before = self.precious();
        self.disk.leave_free(pages * PAGE);
        let first = self.run(folder, words);
        fs::remove_file(self.path("filler")).unwrap();
        let mut wrong = self.harm(&before);
        if first.code != Some(0) {
            let said = first.stderr.to_lowercase();
            let says_so = said.contains("no space left") || said.contains("don't fit");
            if first.code != Some(1) || !says_so || !said.contains("hint: free space") {
                wrong.push(format!("it doesn't say what to do: {:?} {}", first.code, first.stderr));
            }
            let again = self.run(folder, words);
            if again.code != Some(0) {
                wrong
                    .push(format!("after {}\nthere is room, and yet: {:?} {}", first.stderr, again.code, again.stderr));
            }
            wrong.extend(self.harm(&before));
        }
        let what = format!("{folder}: {words:?} with {pages} pages left");
        (first.code == Some(0), wrong.into_iter().map(|text| format!("{what}: {text}")).collect())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let copied = Command::new("/bin/cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn every_command_says_that_the_disk_is_full_and_ends_its_work_later() {
    let Some(scene) = Scene::new() else { return };
    let mut complaints = Vec::new();
    for case in CASES {
        for pages in PAGES_LEFT {
            let (ended_well, wrong) = scene.try_with(case, pages);
            complaints.extend(wrong);
            if ended_well && pages == 0 {
                complaints.push(format!("{case:?} needs no room: it shows nothing here"));
            }
            if ended_well {
                break;
            }
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n\n{}", complaints.len(), complaints.join("\n\n"));
}

#[test]
fn what_only_reads_needs_no_room() {
    let Some(scene) = Scene::new() else { return };
    for (folder, words) in [
        ("dirty", &["status"][..]),
        ("dirty", &["diff"]),
        (".", &["log", "./store/set"]),
        (".", &["ls", "-R", "./store/set"]),
        (".", &["stat", "./store/set:a"]),
        (".", &["verify", "./store"]),
        (".", &["du", "./store/set"]),
        (".", &["doctor"]),
    ] {
        scene.reset();
        scene.disk.leave_free(0);
        let _ = scene.run(folder, words).exits(0);
    }
}
