use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;
use crate::base::Kind;
use crate::tree::stat::{NodeKind, stat_file};

/// A folder that goes with the test.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(paths: &[&str]) -> Tree {
        let tree = Tree(tempfile::tempdir().expect("a temporary folder"));
        for path in paths {
            match path.strip_suffix('/') {
                Some(folder) => fs::create_dir_all(tree.at(folder)).expect("create a folder"),
                None => tree.write(path, path),
            }
        }
        tree
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("create a folder");
        fs::write(path, text).expect("write a file");
    }

    fn scan_with(&self, exclude: &[&str]) -> Result<Scan> {
        let exclude = exclude.iter().map(|pattern| (*pattern).to_owned()).collect();
        scan(self.0.path(), &ScanOptions { exclude, jobs: 2, observer: Observer::new() })
    }

    fn scan(&self) -> Scan {
        self.scan_with(&[]).expect("a folder that can be scanned")
    }

    fn paths(&self) -> Vec<String> {
        paths(&self.scan())
    }
}

/// Paths as found; an empty folder's with a `/` behind it.
fn paths(scan: &Scan) -> Vec<String> {
    assert!(scan.found.is_sorted_by(|a, b| a.path < b.path), "in the order of paths");
    let shown = |found: &Found| match found.kind {
        FoundKind::EmptyFolder => format!("{}/", found.path),
        _ => found.path.to_string(),
    };
    scan.found.iter().map(shown).collect()
}

fn told(scan: &Scan) -> Vec<String> {
    scan.left_out.iter().map(|left| format!("{} {}", left.path, left.why)).collect()
}

#[test]
fn paths_are_in_the_order_of_their_bytes() {
    let tree = Tree::new(&["a/b", "a.txt", "a-b/c", "a0", "a/b.c", "b/c/d/e", "b/c.d", "b/c-d/x", "é", "Z"]);
    let expected = ["Z", "a-b/c", "a.txt", "a/b", "a/b.c", "a0", "b/c-d/x", "b/c.d", "b/c/d/e", "é"];
    assert_eq!(tree.paths(), expected);
}

#[test]
fn an_empty_folder_is_an_entry_in_its_own_place() {
    let tree = Tree::new(&["a/", "a.txt", "a-b", "b/c/d/", "b/c.d", "e/x", "f/g/", "f/h/"]);
    assert_eq!(tree.paths(), ["a/", "a-b", "a.txt", "b/c.d", "b/c/d/", "e/x", "f/g/", "f/h/"]);
    assert_eq!(Tree::new(&[]).paths(), [""; 0]);
    let scan = tree.scan();
    assert_eq!(scan.found[0].stat, stat_file(&tree.at("a")).expect("it is there").0);
}

#[test]
fn hidden_files_are_data_and_our_own_are_not() {
    let tree = Tree::new(&[".git/config", ".hidden", ".gitignore", "x", "sub/.dagset/data", ".dagset/workspace"]);
    tree.write(".gitignore", "x\n");
    tree.write(&format!("sub/{}", crate::base::files::temporary_name()), "half");
    tree.write("sub/.dagset-tmp-notes", "a user's");
    let kept = [".git/config", ".gitignore", ".hidden", "sub/.dagset-tmp-notes", "sub/.dagset/data", "x"];
    assert_eq!(tree.paths(), kept);
    assert!(tree.scan().left_out.is_empty());
    let file = Tree::new(&["x", ".dagset"]);
    assert_eq!(file.paths(), ["x"]);
}

#[test]
fn links_are_kept_and_never_followed() {
    let tree = Tree::new(&["real/x", "run.sh"]);
    symlink("real", tree.at("link")).expect("link");
    symlink("/nowhere/at all", tree.at("dangling")).expect("link");
    symlink("..", tree.at("real/up")).expect("link");
    fs::set_permissions(tree.at("run.sh"), fs::Permissions::from_mode(0o744)).expect("chmod");
    fs::set_permissions(tree.at("real/x"), fs::Permissions::from_mode(0o655)).expect("chmod");
    let scan = tree.scan();
    let kinds: Vec<_> = scan.found.iter().map(|found| (found.path.as_str(), found.kind.clone())).collect();
    let link = |target: &str| FoundKind::Symlink { target: target.into() };
    let expected = [
        ("dangling", link("/nowhere/at all")),
        ("link", link("real")),
        ("real/up", link("..")),
        ("real/x", FoundKind::File { executable: false }),
        ("run.sh", FoundKind::File { executable: true }),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn the_root_may_be_a_link_but_must_be_a_folder() {
    let tree = Tree::new(&["real/x"]);
    symlink("real", tree.at("link")).expect("link");
    let found = scan(&tree.at("link"), &ScanOptions::default()).expect("a link to a folder");
    assert_eq!(paths(&found), ["x"]);
    let kind = |path: &str| scan(&tree.at(path), &ScanOptions::default()).expect_err("no folder").kind();
    assert_eq!(kind("gone"), Kind::NotFound);
    assert_eq!(kind("real/x"), Kind::Usage);
}

#[test]
fn stats_and_counters_are_those_of_the_files() {
    let tree = Tree::new(&["a", "b/c"]);
    tree.write("b/c", "12345");
    let options = ScanOptions::default();
    let scan = scan(tree.0.path(), &options).expect("a folder");
    let (stat, kind) = stat_file(&tree.at("b/c")).expect("it is there");
    assert_eq!((scan.found[1].stat, kind), (stat, NodeKind::File { executable: false }));
    assert!(stat.size == 5 && stat.mtime_ns > 1_500_000_000_000_000_000);
    assert_eq!(options.observer.get(Counter::FilesTotal), 2);
    assert_eq!(options.observer.get(Counter::BytesTotal), 6);
}

#[test]
fn what_is_no_data_is_told_and_not_missed() {
    let tree = Tree::new(&["sub/"]);
    let folder = fs::File::open(tree.0.path()).expect("open the folder");
    rustix::fs::mknodat(&folder, "sub/pipe", rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .expect("a FIFO");
    let _socket = std::os::unix::net::UnixListener::bind(tree.at("door")).expect("a socket");
    let scan = tree.scan();
    assert_eq!(paths(&scan), ["sub/"]);
    assert_eq!(told(&scan), ["door is a socket", "sub/pipe is a FIFO"]);
    assert!(scan.left_out.iter().all(|left| !left.why.is_incomplete()));
}

#[test]
fn names_that_are_not_utf8_are_told() {
    let tree = Tree::new(&["sub/good"]);
    let bad = |bytes: &'static [u8]| OsStr::from_bytes(bytes);
    fs::write(tree.at("sub").join(bad(b"caf\xe9\x1b.txt")), "x").expect("write");
    fs::create_dir(tree.0.path().join(bad(b"\xff"))).expect("create");
    symlink(bad(b"\xfe"), tree.at("link")).expect("link");
    let scan = tree.scan();
    assert_eq!(paths(&scan), ["sub/good"]);
    assert_eq!(told(&scan), ["\\xff isn't UTF-8", "link isn't UTF-8", "sub/caf\\xe9\\u{1b}.txt isn't UTF-8"]);
    assert!(scan.left_out.iter().all(|left| left.why.is_incomplete()));
}

#[test]
fn ignore_files_hold_where_they_stand() {
    let tree =
        Tree::new(&["a.tmp", "keep.tmp", "build/x", "sub/build/x", "sub/a.tmp", "sub/b.log", "sub/deep/c.log", "root"]);
    tree.write(".dagsetignore", "# comment\n*.tmp\n!keep.tmp\n/build/\n/root\n");
    tree.write("sub/.dagsetignore", "*.log\n!a.tmp\n");
    tree.write("sub/deep/.dagsetignore", "!c.log\n");
    let expected = [
        ".dagsetignore",
        "keep.tmp",
        "sub/.dagsetignore",
        "sub/a.tmp",
        "sub/build/x",
        "sub/deep/.dagsetignore",
        "sub/deep/c.log",
    ];
    assert_eq!(tree.paths(), expected);
    assert!(tree.scan().left_out.is_empty());
}

#[test]
fn a_folder_that_is_left_out_is_not_entered_and_one_whose_all_is_stays() {
    let tree = Tree::new(&["out/keep", "logs/a.log", "logs/b/c.log"]);
    tree.write(".dagsetignore", "out\n!out/keep\n*.log\n");
    assert_eq!(tree.paths(), [".dagsetignore", "logs/b/"]);
    let tree = Tree::new(&["logs/a.log", "x/b"]);
    assert_eq!(paths(&tree.scan_with(&["*.log", "x/"]).expect("good patterns")), ["logs/"]);
}

#[test]
fn patterns_of_the_command_win() {
    let tree = Tree::new(&["a.bin", "b.bin", "sub/c.bin"]);
    tree.write("sub/.dagsetignore", "!c.bin\n");
    let found = paths(&tree.scan_with(&["*.bin", "!/b.bin"]).expect("good patterns"));
    assert_eq!(found, ["b.bin", "sub/.dagsetignore"]);
    assert_eq!(tree.scan_with(&["a{"]).expect_err("no pattern").kind(), Kind::Usage);
}

#[test]
fn an_ignore_file_that_cannot_be_understood_stops_the_scan() {
    let tree = Tree::new(&["x"]);
    tree.write("sub/.dagsetignore", "fine\n{a\n");
    let fault = tree.scan_with(&[]).expect_err("a bad line");
    assert!(fault.to_string().contains("\"{a\" of sub/.dagsetignore"), "{fault}");
    fs::write(tree.at("sub/.dagsetignore"), b"\xff").expect("write");
    assert!(tree.scan_with(&[]).is_err());
}

#[test]
fn depth_ends_where_paths_become_too_long() {
    let tree = Tree::new(&[]);
    let name = "d".repeat(100);
    let mut folder: OwnedFd = fs::File::open(tree.0.path()).expect("open the folder").into();
    for _ in 0..10_000 {
        rustix::fs::mkdirat(&folder, &*name, Mode::from_raw_mode(0o755)).expect("create a folder");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        folder = rustix::fs::openat(&folder, &*name, flags, Mode::empty()).expect("open the folder");
    }
    let scan = tree.scan();
    assert_eq!(scan.found.len(), 1, "the deepest that a path reaches is a folder of which nothing is kept");
    assert_eq!(scan.found[0].path.as_str().len(), 40 * 101 - 1);
    assert_eq!(scan.left_out.len(), 1);
    assert_eq!(scan.left_out[0].why.to_string(), "is longer than 4096 bytes");
    assert!(scan.left_out[0].why.is_incomplete());
}

#[test]
fn the_longest_path_is_read() {
    let tree = Tree::new(&[]);
    let parts: Vec<String> = (0..2048).map(|_| "d".to_owned()).collect();
    let mut folder: OwnedFd = fs::File::open(tree.0.path()).expect("open the folder").into();
    for part in &parts {
        rustix::fs::mkdirat(&folder, &**part, Mode::from_raw_mode(0o755)).expect("create a folder");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        folder = rustix::fs::openat(&folder, &**part, flags, Mode::empty()).expect("open the folder");
    }
    assert_eq!(tree.paths(), [parts.join("/") + "/"]);
}

#[test]
fn a_flat_folder_is_shared_by_threads() {
    let tree = Tree::new(&[]);
    let names: Vec<String> = (0..9_000).map(|n| format!("{n:05}")).collect();
    for name in &names {
        fs::File::create(tree.at(name)).expect("create a file");
    }
    assert_eq!(tree.paths(), names);
}

#[test]
fn a_scan_of_a_changing_folder_ends_well() {
    let tree = Tree::new(&["stay/x"]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for n in 0..20 {
                    tree.write(&format!("go{n}/deep/file"), "x");
                }
                for n in 0..20 {
                    fs::remove_dir_all(tree.at(&format!("go{n}"))).expect("remove");
                }
            }
        });
        let seen = (0..100).map(|_| tree.scan()).collect::<Vec<_>>();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for scan in seen {
            assert!(scan.left_out.is_empty(), "{:?}", scan.left_out);
            assert_eq!(paths(&scan).last().map(String::as_str), Some("stay/x"));
        }
    });
}
