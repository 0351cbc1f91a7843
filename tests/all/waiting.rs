//! A command that waited for its workspace works on what the command before it made of that.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::fs::{FlockOperation, flock};

use crate::env::TestEnv;

/// A workspace `w` on `main`, at version 1.0, and one beside it on the same store, from which `w` is changed while a command waits for it.
struct Two(TestEnv);

impl Two {
    fn new() -> Two {
        let two = Two(TestEnv::new());
        two.run(".", "store create ./s");
        two.0.write("w/a", "1");
        two.run("w", "init --store ../s --dataset d");
        two.run("w", "commit -a --as 1.0");
        two.0.write("beside/.keep", "");
        two.run("beside", "init --store ../s --dataset d");
        two.0.write("beside/a", "1");
        fs::remove_file(two.0.path("beside/.keep")).unwrap();
        two.run("beside", "switch main");
        two.run("beside", "branch side");
        two
    }

    fn run(&self, folder: &str, words: &str) -> String {
        self.0.run_with(folder, words.split(' '), b"").text()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path(path)).unwrap()
    }

    /// Makes version 2.0 on `main`, and has `w` stand at it.
    fn go_on(&self) {
        self.0.write("beside/a", "2");
        self.0.write("beside/b", "2");
        self.run("beside", "commit -a --as 2.0");
        self.become_beside(&["a", "b"]);
    }

    /// Makes `w` what the workspace beside it is, as a switch leaves it.
    fn become_beside(&self, files: &[&str]) {
        for file in files.iter().chain(&[".dagset/state.json"]) {
            fs::copy(self.0.path(&format!("beside/{file}")), self.0.path(&format!("w/{file}"))).unwrap();
        }
    }

    /// Runs a command in `w` that waits until the change was made. Gives its exit code and what it said.
    fn run_after(&self, words: &str, change: impl FnOnce()) -> (Option<i32>, String) {
        let lock = File::options().create(true).append(true).open(self.0.path("w/.dagset/lock")).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let mut command = self.0.command();
        command.current_dir(self.0.path("w")).args(words.split(' '));
        let mut waiting = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(waiting.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("waiting for") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "{words} doesn't wait");
        }
        change();
        drop(lock);
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        let output = waiting.wait_with_output().unwrap();
        text.push_str(&String::from_utf8(output.stdout).unwrap());
        (output.status.code(), text)
    }
}

#[test]
fn clean_takes_nothing_that_a_version_has_by_now() {
    let two = Two::new();
    two.0.write("w/stray", "");
    let (code, said) = two.run_after("clean", || two.go_on());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((two.read("w/a"), two.read("w/b")), ("2".to_owned(), "2".to_owned()), "{said}");
    assert!(!two.0.path("w/stray").exists(), "{said}");
}

#[test]
fn restore_brings_the_version_that_the_folder_is_by_now() {
    let two = Two::new();
    let (code, said) = two.run_after("restore a", || {
        two.go_on();
        two.0.write("w/a", "mine, and longer");
    });
    assert_eq!((code, two.read("w/a").as_str()), (Some(0), "2"), "{said}");
}

#[test]
fn add_and_rm_know_the_files_of_the_version_that_the_folder_is_by_now() {
    let two = Two::new();
    let (code, said) = two.run_after("rm b", || two.go_on());
    assert_eq!((code, two.0.path("w/b").exists()), (Some(0), false), "{said}");
    two.run("w", "restore b");
    let two = Two::new();
    let (code, said) = two.run_after("add a", || two.go_on());
    assert_eq!(code, Some(0), "{said}");
    let status: serde_json::Value = serde_json::from_str(&two.run("w", "status --json")).unwrap();
    assert_eq!(status["staged"], serde_json::json!([]), "{said}");
}

#[test]
fn merge_goes_on_from_the_head_that_there_is_by_now() {
    let two = Two::new();
    two.run("beside", "switch side");
    two.0.write("beside/c", "side");
    two.run("beside", "commit -a");
    two.run("beside", "switch main");
    let (code, said) = two.run_after("merge side", || two.go_on());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(["a", "b", "c"].map(|file| two.read(&format!("w/{file}"))), ["2", "2", "side"], "{said}");
    let card: serde_json::Value = serde_json::from_str(&two.run("w", "show --json")).unwrap();
    assert_eq!(card["parents"].as_array().map(Vec::len), Some(2), "{card}");
    let merged = card["version"].clone();
    // Another that waited for one and the same merge finds nothing to do.
    let (code, said) = two.run_after("merge side", || {});
    assert_eq!(code, Some(0), "{said}");
    let card: serde_json::Value = serde_json::from_str(&two.run("w", "show --json")).unwrap();
    assert_eq!(card["version"], merged, "{said}");
}

#[test]
fn merge_makes_nothing_on_another_branch_than_was_meant() {
    let two = Two::new();
    two.run("beside", "switch side");
    two.0.write("beside/c", "side");
    two.run("beside", "commit -a");
    let (code, said) = two.run_after("merge 1.0 --branch main", || two.become_beside(&["c"]));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("went from the branch main to side"), "{said}");
}

#[test]
fn a_branch_that_gets_another_name_takes_along_who_is_on_it_by_now() {
    let two = Two::new();
    two.run("beside", "switch side");
    let (code, said) = two.run_after("branch --rename main trunk", || two.become_beside(&[]));
    assert_eq!(code, Some(0), "{said}");
    let status: serde_json::Value = serde_json::from_str(&two.run("w", "status --json")).unwrap();
    assert_eq!(status["branch"], "side", "{said}");
}
