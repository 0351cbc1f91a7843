//! The workspace's commands through the engine: what is saved stays saved, what isn't is never overwritten.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use dagset::base::{Kind, Observer};
use dagset::engine::{Address, CommitOptions, Engine, GetOptions, InitOptions, Location, Published, Settings};

/// A folder that is a workspace, with a state folder of its own.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir(bench.root()).expect("a folder");
        bench
            .engine()
            .init(&InitOptions { dataset: Some("signs".to_owned()), ..InitOptions::default() })
            .expect("init");
        bench
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("w")
    }

    pub fn engine(&self) -> Engine {
        let settings = Settings {
            folder: self.root().canonicalize().expect("the root"),
            home: None,
            author: "Ada <ada@example.org>".to_owned(),
            provenance: Default::default(),
            default_store: None,
            access: Default::default(),
            jobs: 2,
            state_folder: Some(self.folder.path().join("state")),
            caches: Vec::new(),
            user_cache: None,
        };
        Engine::new(settings, Observer::new())
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("writes");
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root().join(path)).ok()
    }

    pub fn commit_all(&self, name: &str) -> Published {
        let options = CommitOptions { all: true, name: Some(name.to_owned()), ..CommitOptions::default() };
        self.engine().commit(&options).expect("commits")
    }

    /// added, removed, modified, staged
    pub fn status(&self) -> [Vec<String>; 4] {
        let status = self.engine().status().expect("status");
        [status.added, status.removed, status.modified, status.staged]
    }
}

fn lists(parts: [&[&str]; 4]) -> [Vec<String>; 4] {
    parts.map(|part| part.iter().map(|text| text.to_string()).collect())
}

fn paths(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

#[test]
fn a_commit_takes_what_is_staged_and_all_takes_the_rest() {
    let bench = Bench::new();
    bench.write("a.txt", "a");
    bench.write("sub/b.txt", "b");
    assert_eq!(bench.status(), lists([&["a.txt", "sub/b.txt"], &[], &[], &[]]));
    assert_eq!(bench.engine().add(&paths(&["sub"])).expect("add"), ["sub/b.txt"]);
    assert_eq!(bench.status(), lists([&["a.txt", "sub/b.txt"], &[], &[], &["sub/b.txt"]]));
    let first = bench.engine().commit(&CommitOptions::default()).expect("commits");
    assert!(first.changed);
    assert_eq!(first.files, 1);
    assert_eq!(bench.status(), lists([&["a.txt"], &[], &[], &[]]));
    let second = bench.commit_all("1.0");
    assert_eq!((second.files, second.name.map(|name| name.to_string())), (2, Some("1.0".to_owned())));
    assert_eq!(bench.status(), lists([&[], &[], &[], &[]]));
    let nothing = bench.engine().commit(&CommitOptions { all: true, ..CommitOptions::default() }).expect("commits");
    assert!(!nothing.changed && nothing.stored_bytes == 0);
    assert_eq!(nothing.version, second.version);
}

#[test]
fn changes_of_every_kind_are_seen_and_an_unchanged_file_is_not_hashed_twice() {
    let bench = Bench::new();
    for name in ["edit", "grow", "mode", "gone", "kind", "same"] {
        bench.write(name, "text");
    }
    bench.commit_all("1");
    let path = |name: &str| bench.root().join(name);
    fs::write(path("edit"), "tex2").expect("writes");
    fs::write(path("grow"), "text and more").expect("writes");
    fs::set_permissions(path("mode"), fs::Permissions::from_mode(0o755)).expect("sets the mode");
    fs::remove_file(path("gone")).expect("removes");
    fs::remove_file(path("kind")).expect("removes");
    symlink("same", path("kind")).expect("links");
    fs::create_dir(path("empty")).expect("a folder");
    assert_eq!(bench.status(), lists([&["empty"], &["gone"], &["edit", "grow", "kind", "mode"], &[]]));
    bench.commit_all("2");
    // Young files may be hashed once more; then the index knows them.
    std::thread::sleep(std::time::Duration::from_millis(30));
    bench.status();
    let engine = bench.engine();
    assert!(engine.status().expect("status").is_clean());
    assert_eq!(engine.observer.get(dagset::base::Counter::HashedFiles), 0);
}

#[test]
fn rm_mv_restore_and_clean_do_what_git_users_expect() {
    let bench = Bench::new();
    bench.write("keep", "1");
    bench.write("sub/a", "2");
    bench.write("sub/b", "3");
    bench.commit_all("1");
    bench.write("sub/a", "changed");
    let refused = bench.engine().remove(&paths(&["sub"]), false).expect_err("changes would be lost");
    assert_eq!(refused.kind(), Kind::Conflict);
    assert_eq!(bench.engine().restore(&paths(&["sub"])).expect("restores"), ["sub/a"]);
    assert_eq!(bench.read("sub/a").as_deref(), Some("2"));
    assert_eq!(bench.engine().remove(&paths(&["sub"]), false).expect("removes"), ["sub/a", "sub/b"]);
    assert!(!bench.root().join("sub").exists());
    assert_eq!(bench.status(), lists([&[], &["sub/a", "sub/b"], &[], &["sub/a", "sub/b"]]));
    bench.engine().rename(Path::new("keep"), Path::new("kept")).expect("renames");
    assert_eq!(bench.status()[3], ["keep", "kept", "sub/a", "sub/b"]);
    let diff =
        bench.engine().diff_working(&Address::parse_in_workspace(":", None).expect("an address")).expect("diffs");
    assert_eq!(
        diff.renamed.iter().map(|pair| (pair.from.as_str(), pair.to.as_str())).collect::<Vec<_>>(),
        [("keep", "kept")]
    );
    bench.engine().commit(&CommitOptions::default()).expect("commits");
    bench.write("junk", "x");
    assert_eq!(bench.engine().clean(true).expect("says"), ["junk"]);
    assert!(bench.read("junk").is_some());
    bench.engine().clean(false).expect("cleans");
    assert!(bench.read("junk").is_none() && bench.read("kept").is_some());
    let missing = bench.engine().add(&paths(&["nothing"])).expect_err("isn't there");
    assert_eq!(missing.kind(), Kind::NotFound);
    assert_eq!(bench.engine().add(&paths(&["../outside"])).expect_err("outside").kind(), Kind::Usage);
}

#[test]
fn switch_goes_between_versions_and_never_overwrites_what_is_not_saved() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.write("folder/x", "1");
    bench.commit_all("1.0");
    bench.write("a", "2");
    fs::remove_dir_all(bench.root().join("folder")).expect("removes");
    bench.write("folder", "now a file");
    bench.write("new", "2");
    bench.commit_all("2.0");

    bench.engine().switch("1.0").expect("switches");
    assert_eq!(
        (bench.read("a"), bench.read("folder/x"), bench.read("new")),
        (Some("1".into()), Some("1".into()), None)
    );
    let detached = bench.engine().commit(&CommitOptions { all: true, ..CommitOptions::default() });
    assert_eq!(detached.expect_err("on no branch").kind(), Kind::Usage);

    bench.write("a", "unsaved");
    bench.write("new", "unsaved too");
    let refused = bench.engine().switch("main").expect_err("would overwrite");
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.to_string().contains("a\n  new"), "{refused}");
    assert_eq!((bench.read("a"), bench.read("new")), (Some("unsaved".into()), Some("unsaved too".into())));
    assert_eq!(bench.read("folder/x").as_deref(), Some("1"), "nothing is touched");

    // What is as the goal wants it is no conflict.
    bench.write("new", "2");
    bench.engine().restore(&paths(&["a"])).expect("restores");
    let back = bench.engine().switch("main").expect("switches");
    assert_eq!(back.branch.map(|branch| branch.to_string()).as_deref(), Some("main"));
    assert_eq!(
        (bench.read("a"), bench.read("folder"), bench.read("new")),
        (Some("2".into()), Some("now a file".into()), Some("2".into()))
    );
    assert!(bench.engine().status().expect("status").is_clean());
}

#[test]
fn an_unsaved_file_where_a_folder_must_come_is_a_conflict() {
    let bench = Bench::new();
    bench.write("base", "1");
    bench.commit_all("1");
    bench.write("way/x", "1");
    bench.commit_all("2");
    bench.engine().switch("1").expect("switches");
    bench.write("way", "unsaved");
    assert_eq!(bench.engine().switch("2").expect_err("in the way").kind(), Kind::Conflict);
    assert_eq!(bench.read("way").as_deref(), Some("unsaved"));
}

#[test]
fn a_workspace_that_is_behind_cannot_commit_over_another() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.commit_all("1");
    let state = fs::read(bench.root().join(".dagset/state.json")).expect("reads");
    bench.write("a", "2");
    bench.commit_all("2");
    fs::write(bench.root().join(".dagset/state.json"), state).expect("writes");
    bench.write("a", "3");
    let options = CommitOptions { all: true, ..CommitOptions::default() };
    assert_eq!(bench.engine().commit(&options).expect_err("moved").kind(), Kind::Conflict);
    assert!(bench.engine().status().expect("status").behind);
}

#[test]
fn a_version_comes_out_of_the_embedded_store_as_it_went_in() {
    let bench = Bench::new();
    bench.write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(bench.root().join("run.sh"), fs::Permissions::from_mode(0o755)).expect("sets the mode");
    bench.write("names with\nline feeds/ü", "x");
    symlink("nowhere", bench.root().join("link")).expect("links");
    bench.commit_all("1.0");
    let out = bench.folder.path().join("out");
    let address = Address::parse_in_workspace("1.0", None).expect("an address");
    bench.engine().get(&address, &GetOptions { folder: out.clone(), ..GetOptions::default() }).expect("gets");
    assert_eq!(fs::read_to_string(out.join("names with\nline feeds/ü")).expect("reads"), "x");
    assert_eq!(fs::read_link(out.join("link")).expect("a link"), Path::new("nowhere"));
    assert_eq!(fs::metadata(out.join("run.sh")).expect("there").permissions().mode() & 0o111, 0o111);
}

#[test]
fn a_branch_that_was_renamed_or_moved_back_is_told_as_that() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.commit_all("1");
    let here = Address { location: Location::Here, reference: None, path: None };
    bench.engine().rename_branch(&here, "main", "trunk").expect("renames");
    bench.write("a", "2");
    let second = bench.commit_all("2");
    assert_eq!(second.branch.as_str(), "trunk");
    bench.engine().undo(&here, None, None, false).expect("undoes");
    let status = bench.engine().status().expect("status");
    assert!(!status.behind && status.moved.flatten().is_some(), "{status:?}");
    bench.write("a", "3");
    let options = CommitOptions { all: true, ..CommitOptions::default() };
    let refused = bench.engine().commit(&options).expect_err("moved");
    assert!(refused.in_one_line().contains("moved back"), "{refused:?}");
}
