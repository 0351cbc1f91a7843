//! Links where file systems set bounds to them: how many, across which disks, with reflinks; cut off, replaced, refused.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::env::{TestEnv, everything_below, left_out};
use crate::stage::{contents_read, lay_out, noise};

const LINKS: [&str; 5] = ["auto", "copy", "hardlink", "symlink", "view"];

/// A file system in a file, mounted below the working folder and unmounted at the end.
struct Disk {
    path: PathBuf,
}

impl Disk {
    /// `None`, said loudly, where that can't be done here.
    fn mount(env: &TestEnv, name: &str, kind: &str, megabytes: u64) -> Option<Disk> {
        let (image, path) = (env.path(&format!("{name}.image")), env.path(name));
        fs::create_dir(&path).unwrap();
        fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null());
            command.output().is_ok_and(|output| output.status.success())
        };
        let (from, to) = (image.to_str().unwrap(), path.to_str().unwrap());
        let is_mounted = run(&format!("mkfs.{kind}"), &["-q", from]) && run("mount", &["-o", "loop", from, to]);
        if !is_mounted {
            left_out(&format!("needs root, mkfs.{kind} and loop devices"));
        }
        is_mounted.then_some(Disk { path })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.path).output().ok();
    }
}

fn staged() -> TestEnv {
    let env = TestEnv::new();
    lay_out(&env.path("v1"), 1);
    lay_out(&env.path("v2"), 2);
    env.write("v1/only-1", "gone in the next");
    for version in ["v1", "v2"] {
        let _ = env.run(["ingest", version, "--into", "./store/set", "--create", "--as", version]).exits(0);
    }
    env
}

#[track_caller]
fn get(env: &TestEnv, version: &str, folder: &str, more: &[&str]) -> Value {
    let address = format!("./store/set@{version}");
    env.run([&["get", &address, folder, "--json"], more].concat()).json()
}

#[test]
fn more_links_than_a_file_may_have_become_copies() {
    let env = TestEnv::new();
    // 65,000 names for each file: inodes for folders alone, and those of the copies.
    let Some(disk) = Disk::mount(&env, "disk", "ext4", 192) else { return };
    let out = disk.path.to_str().unwrap().to_owned();
    for name in 0..8_200 {
        env.write(&format!("data/{}/{name}", name % 10), "the same in all");
    }
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let cache = ["--cache".to_owned(), format!("{out}/cache")];
    let _ = env.run(["cache", "init", &cache[1], "--keep-free", "0"]).exits(0);
    let mut links = (0, 0);
    for job in 0..8 {
        let arguments =
            ["get", "./store/set", &format!("{out}/job-{job}"), "--link", "hardlink", "--json"].map(str::to_owned);
        let said = env.run(arguments.iter().chain(&cache)).json();
        links.0 += said["links"]["hardlinks"].as_u64().unwrap();
        links.1 += said["links"]["copies"].as_u64().unwrap();
        assert_eq!(contents_read(&disk.path.join(format!("job-{job}"))), contents_read(&env.path("data")), "{job}");
    }
    assert_eq!(links, (64_999, 8 * 8_200 - 64_999));
    let last = ["get", "./store/set", &format!("{out}/last"), "--link", "hardlink", &cache[0], &cache[1]];
    let last = env.run(last).exits(0).stderr;
    assert!(last.contains("8,200 files copied instead of linked: a file has as many links"), "{last}");
    let _ = env.run(["get", "./store/set", &format!("{out}/view"), "--link", "view", &cache[0], &cache[1]]).exits(0);
    assert_eq!(contents_read(&disk.path.join("view")), contents_read(&env.path("data")));
}

#[test]
fn reflinks_are_made_where_the_file_system_has_them() {
    let env = TestEnv::new();
    let Some(disk) = Disk::mount(&env, "disk", "xfs", 400) else { return };
    env.write("data/large", noise(1, 20 << 20));
    lay_out(&env.path("data/more"), 1);
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let used = || rustix::fs::statvfs(&disk.path).map(|disk| (disk.f_blocks - disk.f_bfree) * disk.f_frsize).unwrap();
    let cache = "./disk/cache";
    let _ = env.run(["cache", "init", cache, "--keep-free", "0"]).exits(0);
    let _ = env.run(["warm", "./store/set", "--cache", cache]).exits(0);
    let before = used();
    for (job, link) in ["auto", "reflink"].into_iter().enumerate() {
        let folder = format!("disk/job-{job}");
        let said = env.run(["get", "./store/set", &folder, "--link", link, "--cache", cache, "--json"]).json();
        assert_eq!(said["links"]["reflinks"], said["files"], "{said}");
        assert_eq!(contents_read(&env.path(&folder)), contents_read(&env.path("data")));
    }
    let more = used().saturating_sub(before);
    assert!(more < 10 << 20, "two jobs share the blocks of 20 MB: {more}");
    // Written on, a clone is a file of its own.
    let mut large = fs::File::options().write(true).open(env.path("disk/job-0/large")).unwrap();
    large.write_all(b"changed").unwrap();
    assert_eq!(contents_read(&env.path("disk/job-1")), contents_read(&env.path("data")));
    let _ = env.run(["cache", "verify", "--cache", cache]).exits(0);
}

#[test]
fn a_link_that_cannot_be_is_refused_and_leaves_nothing() {
    let env = staged();
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    let cache = other.path().join("cache").to_str().unwrap().to_owned();
    for link in ["hardlink", "reflink"] {
        let said = env.run(["get", "./store/set", "job", "--link", link, "--cache", &cache]).exits(1);
        assert!(
            said.stderr.contains("different file systems") && said.stderr.contains("--link symlink"),
            "{}",
            said.stderr
        );
        assert!(fs::symlink_metadata(env.path("job")).is_err(), "no empty folder");
        fs::create_dir(env.path("job")).unwrap();
        let _ = env.run(["get", "./store/set", "job", "--link", link, "--cache", &cache]).exits(1);
        fs::remove_dir(env.path("job")).unwrap();
    }
    for link in ["auto", "copy", "symlink", "view"] {
        let _ = env.run(["get", "./store/set@v1", link, "--link", link, "--cache", &cache]).exits(0);
        assert_eq!(contents_read(&env.path(link)), contents_read(&env.path("v1")), "{link}");
    }
}

#[test]
fn versions_replace_one_another_by_each_link() {
    for before in LINKS {
        for link in LINKS.into_iter().filter(|link| *link != "view") {
            let env = staged();
            let _ = get(&env, "v1", "other-job", &["--link", before]);
            let _ = get(&env, "v1", "job", &["--link", before]);
            let more: &[&str] = if before == "view" { &["--overwrite"] } else { &["--delete"] };
            let _ = get(&env, "v2", "job", &[&["--link", link], more].concat());
            assert_eq!(contents_read(&env.path("job")), contents_read(&env.path("v2")), "{before} then {link}");
            assert_eq!(contents_read(&env.path("other-job")), contents_read(&env.path("v1")), "{before} then {link}");
            let _ = env.run(["cache", "verify"]).exits(0);
        }
    }
}

/// How many files below a folder have another name too, and how many their owner may write to.
fn linked_and_writable(folder: &Path) -> (usize, usize) {
    let files = everything_below(folder).into_iter().filter_map(|path| fs::symlink_metadata(path).ok());
    let files: Vec<_> = files.filter(|meta| meta.is_file() && meta.len() > 0).collect();
    let count = |is: fn(&fs::Metadata) -> bool| files.iter().filter(|meta| is(meta)).count();
    (count(|meta| meta.nlink() > 1), count(|meta| meta.mode() & 0o200 != 0))
}

#[test]
fn files_of_one_version_become_what_is_asked_for_last() {
    let env = staged();
    let _ = get(&env, "v1", "job", &["--link", "hardlink"]);
    let (all, writable) = linked_and_writable(&env.path("job"));
    assert!(all > 0 && writable == 0);
    for copies in [&["--link", "copy"][..], &["--writable"], &["--no-cache"], &[]] {
        let _ = get(&env, "v1", "job", &[copies, &["--overwrite"]].concat());
        assert_eq!(linked_and_writable(&env.path("job")), (0, all), "{copies:?}");
        let file = env.path("job/only-1");
        let before = fs::metadata(&file).unwrap().ino();
        let _ = get(&env, "v1", "job", &[copies, &["--overwrite"]].concat());
        assert_eq!(fs::metadata(&file).unwrap().ino(), before, "what is right already stays: {copies:?}");
        fs::File::options().write(true).open(&file).unwrap().write_all(b"GONE").unwrap();
        let _ = env.run(["cache", "verify"]).exits(0);
        let _ = get(&env, "v1", "job", &["--link", "hardlink", "--overwrite"]);
        assert_eq!(linked_and_writable(&env.path("job")), (all, 0), "{copies:?}");
        assert_eq!(contents_read(&env.path("job")), contents_read(&env.path("v1")), "{copies:?}");
    }
}

#[test]
fn links_of_one_kind_become_those_of_another_and_keep_what_they_show() {
    let env = staged();
    let contents = contents_read(&env.path("v1"));
    let is_symlink = |path: &Path| fs::symlink_metadata(path).unwrap().is_symlink();
    for (before, link) in [("symlink", "hardlink"), ("hardlink", "symlink")] {
        let job = format!("{before}-{link}");
        let _ = get(&env, "v1", &job, &["--link", before]);
        let said = env.run(["get", "./store/set@v1", &job, "--link", link, "--overwrite", "--json"]).json();
        assert!(said["links"][format!("{link}s")].as_u64().unwrap() > 0, "{said}");
        assert_eq!(is_symlink(&env.path(&job).join("only-1")), link == "symlink", "{said}");
        assert_eq!(said["lease"].is_string(), link == "symlink", "{said}");
        let again = env.run(["get", "./store/set@v1", &job, "--link", link, "--overwrite", "--json"]).json();
        assert_eq!(again["links"][format!("{link}s")], 0, "what is as asked stays: {again}");
        let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
        assert_eq!(contents_read(&env.path(&job)), contents, "{before} then {link}");
    }
}

#[test]
fn a_view_is_not_written_into() {
    let env = staged();
    let _ = get(&env, "v1", "job", &["--link", "view"]);
    for arguments in [
        &["get", "./store/set@v2", "job", "--delete"][..],
        &["get", "./store/set@v2", "job/images/inner"],
        &["get", "./store/set@v2", "job/images", "--overwrite"],
        &["get", "./store/set@v2", "job", "--link", "copy"],
        &["get", "./store/set@v2", "job", "--link", "view"],
        &["get", "./store/set@v2", "job/images", "--link", "view", "--overwrite"],
    ] {
        let _ = env.run(arguments).exits(4);
        assert_eq!(contents_read(&env.path("job")), contents_read(&env.path("v1")), "{arguments:?}");
    }
    let _ = get(&env, "v2", "job", &["--link", "view", "--overwrite"]);
    assert_eq!(contents_read(&env.path("job")), contents_read(&env.path("v2")));
}

#[test]
fn a_get_that_is_killed_is_ended_by_the_same_command() {
    let env = TestEnv::new();
    for number in 0..400 {
        env.write(&format!("data/{}/{number}", number % 7), noise(number, 20_000));
    }
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let mut killed = 0;
    for (at, link) in LINKS.into_iter().enumerate() {
        for moment in 1..=4 {
            let (folder, cache) = (format!("{link}-{moment}"), format!("./cache-{at}-{moment}"));
            let arguments = ["get", "./store/set", &folder, "--link", link, "--cache", &cache];
            let mut child = env.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // The moment is what is tried, so that nothing could be waited for.
            std::thread::sleep(Duration::from_millis(moment * 15));
            child.kill().unwrap();
            killed += u32::from(!child.wait().unwrap().success());
            let _ = env.run(arguments).exits(0);
            assert_eq!(contents_read(&env.path(&folder)), contents_read(&env.path("data")), "{link} {moment}");
            let _ = env.run(["cache", "verify", "--cache", &cache]).exits(0);
            fs::remove_dir_all(env.path(&cache)).unwrap();
        }
    }
    assert!(killed > 4, "only {killed} were killed in time");
}

#[test]
fn results_are_right_without_locks() {
    let lose = |env: &TestEnv, how: &str| {
        let locks = env.path("cache/locks");
        match how {
            "folder" => fs::remove_dir_all(&locks).unwrap(),
            "files" => everything_below(&locks).iter().for_each(|path| fs::remove_file(path).unwrap()),
            // What can't be opened as a file.
            _ => everything_below(&locks).iter().for_each(|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
        }
    };
    for how in ["folder", "files", "broken"] {
        let env = staged();
        let _ = env.run(["cache", "init", "cache", "--max", "1M", "--keep-free", "0"]).exits(0);
        lose(&env, how);
        for link in LINKS {
            let arguments = ["get", "./store/set@v1", "--link", link, "--cache", "./cache"].map(str::to_owned);
            let start = |folder: String| {
                env.command().args(arguments.iter().chain([&folder])).stdout(Stdio::null()).spawn().unwrap()
            };
            let mut children: Vec<_> = (0..4).map(|job| start(format!("{link}-{job}"))).collect();
            children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success(), "{how} {link}"));
            for job in 0..4 {
                assert_eq!(
                    contents_read(&env.path(&format!("{link}-{job}"))),
                    contents_read(&env.path("v1")),
                    "{how} {link}"
                );
            }
        }
        let _ = env.run(["cache", "prune", "--to", "0", "--cache", "./cache"]).exits(0);
        let _ = env.run(["cache", "verify", "--cache", "./cache"]).exits(0);
    }
}
