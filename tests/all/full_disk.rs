//! A disk that is full: an error that says so, nothing half-visible, and the same command works when there is room.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use dagset::base::{Error, Kind};
use dagset::engine::{Address, GetOptions, Opener};

use crate::env::{TestEnv, everything_below};
use crate::stage::{assert_comes_back, contents, engine, findings, ingest, lay_out, noise, whole_text};

/// A small file system in memory, unmounted at the end.
pub struct SmallDisk {
    root: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, said loudly, where mounting isn't allowed.
    pub fn mount(test: &str) -> Option<SmallDisk> {
        let disk = SmallDisk { root: tempfile::tempdir().expect("a folder") };
        fs::create_dir(disk.path()).expect("a folder");
        let mounted = disk.mount_with("size=2m");
        if !mounted {
            // Past the capture of a test's output: what is left out must be seen.
            writeln!(std::io::stderr(), "LEFT OUT: {test}: only root may mount a small tmpfs").expect("stderr");
        }
        mounted.then_some(disk)
    }

    pub fn path(&self) -> PathBuf {
        self.root.path().join("disk")
    }

    fn grow(&self) {
        self.resize("40m");
    }

    pub fn resize(&self, size: &str) {
        assert!(self.mount_with(&format!("remount,size={size}")));
    }

    /// Fills the disk until so many bytes are free, by a file that is called `filler`.
    pub fn leave_free(&self, bytes: u64) {
        let filler = self.path().join("filler");
        fs::remove_file(&filler).ok();
        let space = rustix::fs::statvfs(self.path()).expect("a disk");
        let free = space.f_bavail * space.f_frsize;
        fs::write(filler, vec![1; (free - bytes) as usize]).expect("writes");
    }

    fn mount_with(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "dagset-test"]).arg(self.path());
        command.output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.path()).output().ok();
    }
}

/// A folder with more data than the disk has room for.
fn large_folder(root: &Path) -> PathBuf {
    let folder = root.join("large");
    lay_out(&folder, 1);
    for number in 0..12 {
        fs::write(folder.join(format!("noise-{number}")), noise(100 + number, 400_000)).expect("writes");
    }
    folder
}

#[track_caller]
fn assert_says_full(fault: &Error) {
    let text = whole_text(fault);
    assert_eq!(fault.kind(), Kind::Failed, "{text}");
    assert!(text.to_lowercase().contains("no space left") && text.contains("hint: free space"), "{text}");
}

#[test]
fn an_ingest_into_a_full_store_changes_nothing_and_works_later() {
    let Some(disk) = SmallDisk::mount("an ingest into a full store") else { return };
    let data = tempfile::tempdir().expect("a folder");
    let small = data.path().join("small");
    lay_out(&small, 1);
    let large = large_folder(data.path());
    let store = disk.path().join("store").to_str().expect("UTF-8").to_owned();
    let into = format!("{store}//signs");
    let engine = engine(Opener::default());
    ingest(&engine, &small, &into, Some("1.0")).expect("fits");
    let before = everything_below(Path::new(&store));
    for _ in 0..3 {
        assert_says_full(&ingest(&engine, &large, &into, Some("2.0")).expect_err("doesn't fit"));
        assert_eq!(everything_below(Path::new(&store)), before, "nothing is left of it");
    }
    assert_eq!(findings(&engine, &store), [""; 0]);
    assert_comes_back(&engine, &into, &small);
    disk.grow();
    assert!(ingest(&engine, &large, &into, Some("2.0")).expect("fits now").changed);
    assert_comes_back(&engine, &into, &large);
    assert_eq!(findings(&engine, &store), [""; 0]);
}

#[test]
fn a_get_into_a_full_disk_says_so_and_goes_on_later() {
    let Some(disk) = SmallDisk::mount("a get into a full disk") else { return };
    let data = tempfile::tempdir().expect("a folder");
    let large = large_folder(data.path());
    let into = format!("{}//signs", data.path().join("store").to_str().expect("UTF-8"));
    let engine = engine(Opener::default());
    ingest(&engine, &large, &into, None).expect("ingests");
    let out = disk.path().join("out");
    let address = Address::parse(&into, None).expect("an address");

    let whole = GetOptions { folder: out.clone(), ..GetOptions::default() };
    let refused = engine.get(&address, &whole).expect_err("doesn't fit");
    assert!(refused.to_string().contains("don't fit") && refused.next_step().is_some(), "{}", whole_text(&refused));
    assert!(contents(&out).is_empty(), "it is refused before the first byte");

    // With patterns it isn't known beforehand what is needed.
    let matching = GetOptions { patterns: vec!["**".to_owned()], ..whole };
    for _ in 0..2 {
        assert_says_full(&engine.get(&address, &matching).expect_err("doesn't fit"));
        let (got, wanted) = (contents(&out), contents(&large));
        let placed = got.iter().filter(|(path, _)| *path != ".dagset-tmp-get");
        placed.for_each(|(path, what)| assert_eq!(wanted.get(path), Some(what), "{path}"));
    }
    disk.grow();
    assert!(engine.get(&address, &matching).expect("fits now").resumed);
    assert_eq!(contents(&out), contents(&large));
}

#[test]
fn a_collection_without_room_to_write_packs_anew_frees_what_is_dead() {
    let Some(disk) = SmallDisk::mount("a collection on a full disk") else { return };
    disk.resize("16m");
    let env = TestEnv::new();
    let store = disk.path().join("store").display().to_string();
    let ingest = |folder: &str, branch: &str| {
        let into = format!("{store}//set");
        env.run(["ingest", folder, "--into", &into, "--create", "--branch", branch]).text();
    };
    env.write("main/kept.bin", noise(1, 500_000));
    ingest("main", "main");
    env.write("dead/dead.bin", noise(2, 2_000_000));
    ingest("dead", "dead");
    env.write("half/stays.bin", noise(3, 1_500_000));
    env.write("half/goes.bin", noise(4, 1_500_000));
    ingest("half", "half");
    fs::remove_file(env.path("half/goes.bin")).unwrap();
    ingest("half", "other");
    for branch in ["dead", "half"] {
        env.run(["branch", "-d", &format!("{store}//set"), branch, "--force"]).text();
    }
    let stored = || {
        let packs = fs::read_dir(disk.path().join("store/packs")).unwrap();
        packs.map(|pack| pack.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let collect = || env.run(["gc", &store, "--grace", "0s"]).exits(0).stderr;
    let before = stored();
    disk.leave_free(200_000);
    assert!(collect().contains("were not written anew"));
    assert!(collect().contains("were not written anew"));
    assert!(before - stored() >= 2_000_000, "{} of {before} left", stored());
    // Now there is room for the rest.
    assert!(!collect().contains("written anew"));
    assert!(!collect().contains("written anew"));
    assert!(before - stored() >= 3_500_000, "{} of {before} left", stored());
    let _ = env.run(["verify", &store]).exits(0);
}
