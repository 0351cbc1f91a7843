//! What stands in a workspace's folder where a merge or a revert would write: refused before anything is done, and by the dry run as well.

use std::collections::BTreeMap;
use std::fs;

use crate::env::{Outcome, TestEnv, everything_below};

/// A workspace on `main`, behind which `theirs` went on.
struct Here(TestEnv);

impl Here {
    /// `base` is the version that both come from; what `theirs` then has is laid over it, without the paths that are `None`.
    fn new(base: &[(&str, &str)], theirs: &[(&str, Option<&str>)]) -> Here {
        let here = Here(TestEnv::new());
        base.iter().for_each(|(path, text)| here.write(path, text));
        fs::create_dir_all(here.0.path("w")).unwrap();
        here.run("init").text();
        here.run("commit -a --as 1.0").text();
        here.run("branch theirs").text();
        here.run("switch theirs").text();
        for (path, text) in theirs {
            match text {
                Some(text) => here.write(path, text),
                None => fs::remove_file(here.0.path(&format!("w/{path}"))).unwrap(),
            }
        }
        here.run("commit -a --as theirs-1").text();
        here.run("switch main").text();
        here
    }

    /// Main goes on by itself, so that a merge has to make a version.
    fn parted(self, path: &str, text: &str) -> Here {
        self.write(path, text);
        self.run("commit -a --as ours-1").text();
        self
    }

    fn write(&self, path: &str, text: &str) {
        self.0.write(&format!("w/{path}"), text);
    }

    fn run(&self, words: &str) -> Outcome {
        self.0.run_with("w", words.split(' '), b"")
    }

    /// All files of the folder, those of the store in it too.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let root = self.0.path("w");
        let is_ours = |path: &str| !path.starts_with(".dagset") || path.contains("/log/") || path.contains("merging");
        let files = everything_below(&root).into_iter().filter(|path| path.is_file());
        let named = files.map(|path| (path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), path));
        named.filter(|(name, _)| is_ours(name)).map(|(name, path)| (name, fs::read(path).unwrap())).collect()
    }

    /// The command and its dry run are refused alike, because of the file, and do nothing; with the file away both do what they say.
    fn refuses(&self, words: &str, file: &str, then: i32) {
        let before = self.files();
        let planned = self.run(&format!("{words} --dry-run")).exits(4).stderr;
        let refused = self.run(words).exits(4).stderr;
        assert_eq!(planned, refused);
        assert!(refused.contains(&format!(":\n  {file}\n")), "{words}: {refused}");
        assert!(self.files() == before, "{words} wrote something");
        fs::rename(self.0.path(&format!("w/{file}")), self.0.path("away")).unwrap();
        let _ = self.run(&format!("{words} --dry-run")).exits(then);
        let _ = self.run(words).exits(then);
    }
}

const RULED: [(&str, &str); 2] = [("a", "1"), (".dagsetignore", "*.ign\n")];
const UNRULED: [(&str, Option<&str>); 2] = [(".dagsetignore", None), ("s.ign", Some("theirs"))];

#[test]
fn an_ignored_file_stops_a_merge_that_only_moves_the_branch() {
    let here = Here::new(&RULED, &UNRULED);
    here.write("s.ign", "mine");
    here.refuses("merge theirs", "s.ign", 0);
}

#[test]
fn an_ignored_file_stops_a_merge_of_two_sides() {
    let here = Here::new(&RULED, &UNRULED).parted("b", "ours");
    here.write("s.ign", "mine");
    let refused = here.run("merge theirs").exits(4).stderr;
    insta::assert_snapshot!(refused, @"
    error: files that no version holds are where the outcome would be written:
      s.ign
    hint: move them away: rules leave them out, so that no commit keeps them; nothing was done
    ");
    here.refuses("merge theirs", "s.ign", 0);
}

#[test]
fn an_ignored_file_stops_the_folder_and_the_file_that_would_take_its_place() {
    let below = Here::new(&RULED, &[("dd", Some("a file"))]);
    below.write("dd/s.ign", "mine");
    assert!(below.run("merge theirs").exits(4).stderr.contains(":\n  dd/s.ign\n"));
    fs::remove_file(below.0.path("w/dd/s.ign")).unwrap();
    below.refuses("merge theirs", "dd", 0);
    let above = Here::new(&RULED, &[(".dagsetignore", None), ("d.ign/x", Some("theirs"))]);
    above.write("d.ign", "mine");
    above.refuses("merge theirs", "d.ign", 0);
}

#[test]
fn an_ignored_file_stops_a_revert() {
    let here = Here::new(&[("a", "1"), ("s.ign", "old")], &[("b", Some("theirs"))]);
    fs::remove_file(here.0.path("w/s.ign")).unwrap();
    let here = here.parted(".dagsetignore", "*.ign\n");
    here.write("s.ign", "mine");
    here.refuses("revert ours-1", "s.ign", 0);
}

#[test]
fn an_ignored_file_stops_what_a_conflict_would_put_beside_its_path() {
    let here = Here::new(&[("a", "1"), (".dagsetignore", "a.theirs\n")], &[("a", Some("theirs"))]).parted("a", "ours");
    here.write("a.theirs", "mine");
    here.refuses("merge theirs", "a.theirs", 4);
    assert_eq!(fs::read_to_string(here.0.path("w/a.theirs")).unwrap(), "theirs", "the merge is begun");
}

#[test]
fn what_is_not_saved_stops_a_dry_run_too() {
    for parts in [false, true] {
        let here = || {
            let here = Here::new(&[("a", "1"), ("b", "1")], &[("a", Some("2")), ("new", Some("theirs"))]);
            if parts { here.parted("b", "ours") } else { here }
        };
        let untracked = here();
        untracked.write("new", "mine");
        untracked.refuses("merge theirs", "new", 0);
        let changed = here();
        changed.write("a", "mine");
        let planned = changed.run("merge theirs --dry-run").exits(4).stderr;
        assert_eq!(planned, changed.run("merge theirs").exits(4).stderr);
        assert!(planned.contains("1 path has changes that no version holds:\n  a\n"), "{planned}");
    }
}
