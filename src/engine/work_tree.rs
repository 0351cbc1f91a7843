//! What git knows of the folder that a command is run in: the commit, and whether a tracked file differs from it.
//!
//! The commit is read from git's own files. Only the state needs the program; it is asked for a moment, and where it doesn't answer nothing
//! is said. Nothing here fails.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::format::attrs::{Attrs, Value};

/// How long git may think about what differs.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer files of git's aren't read: one of all refs of a large repository has some MiB.
const MOST_BYTES: u64 = 16 << 20;

/// `git_commit` and `git_dirty`, as far as they are known.
pub fn describe(folder: &Path) -> Attrs {
    let Some(commit) = git_folder(folder).and_then(|git| commit(&git)) else { return Attrs::default() };
    let dirty = is_dirty(folder).map(|dirty| ("git_dirty".to_owned(), Value::Bool(dirty)));
    [("git_commit".to_owned(), Value::Text(commit))].into_iter().chain(dirty).collect()
}

/// The folder in which git keeps what it knows of this work tree.
fn git_folder(folder: &Path) -> Option<PathBuf> {
    let (root, git) = folder.ancestors().map(|root| (root, root.join(".git"))).find(|(_, git)| git.exists())?;
    match git.is_dir() {
        true => Some(git),
        // Of a further work tree, or a submodule.
        false => Some(root.join(text(&git)?.strip_prefix("gitdir:")?.trim())),
    }
}

fn commit(git: &Path) -> Option<String> {
    let head = text(&git.join("HEAD"))?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return as_commit(&head) };
    let shared = text(&git.join("commondir")).map_or_else(|| git.to_owned(), |shared| git.join(shared.trim()));
    let loose = [git, &shared].into_iter().find_map(|folder| text(&folder.join(name)));
    let packed = || {
        let refs = text(&shared.join("packed-refs"))?;
        refs.lines().find_map(|line| line.split_once(' ').filter(|(_, of)| *of == name).map(|(id, _)| id.to_owned()))
    };
    as_commit(&loose.or_else(packed)?)
}

fn as_commit(text: &str) -> Option<String> {
    let text = text.trim();
    let is_id = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_owned())
}

fn text(path: &Path) -> Option<String> {
    let is_small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MOST_BYTES);
    is_small.then(|| fs::read_to_string(path).ok()).flatten()
}

/// Whether git lists a change; its first byte is enough.
fn is_dirty(folder: &Path) -> Option<bool> {
    // A program that the repository names must not run for a look, and nothing be written.
    const LOOK: [&str; 8] = [
        "-c",
        "core.fsmonitor=false",
        "--no-optional-locks",
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--ignore-submodules=dirty",
        "--no-renames",
    ];
    let mut git = Command::new("git");
    // Inside one of git's hooks these name another repository.
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    git.args(LOOK).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = git.spawn().ok()?;
    let mut said = child.stdout.take()?;
    let (send, first) = mpsc::channel();
    std::thread::spawn(move || send.send(said.read(&mut [0])));
    match first.recv_timeout(PATIENCE) {
        Ok(Ok(0)) => child.wait().ok()?.success().then_some(false),
        Ok(Ok(_)) => end(child, Some(true)),
        _ => end(child, None),
    }
}

/// Ends git, which has said enough.
fn end(mut child: Child, answer: Option<bool>) -> Option<bool> {
    child.kill().and_then(|()| child.wait()).ok();
    answer
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What git's `HEAD` says, what its list of packed refs does, and the commit that is found.
    fn found(head: &str, packed: &str) -> Option<String> {
        let git = tempfile::tempdir().expect("a folder");
        fs::write(git.path().join("HEAD"), head).expect("writes");
        fs::write(git.path().join("packed-refs"), packed).expect("writes");
        commit(git.path())
    }

    #[test]
    fn a_commit_stands_in_head_or_in_the_packed_refs() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(found(&format!("{id}\n"), "").as_deref(), Some(id));
        let packed = format!("# pack-refs with: peeled\n{id} refs/heads/main\n^{id}\n");
        assert_eq!(found("ref: refs/heads/main\n", &packed).as_deref(), Some(id));
        assert_eq!(found("ref: refs/heads/other\n", &packed), None);
        // Whatever file the name leads to: nothing of it is told unless it is a commit.
        assert_eq!(found("ref: /etc/hostname\n", ""), None);
    }

    proptest! {
        #[test]
        fn whatever_git_has_there_gives_a_commit_or_nothing(
            head in "(ref: |)(refs/heads/)?[ -~\\PC\n]{0,50}",
            packed in "([0-9a-f]{38,42} ?(refs/heads/)?[ -~\\PC]{0,9}\n){0,4}",
        ) {
            let commit = found(&head, &packed);
            prop_assert!(commit.is_none_or(|commit| matches!(commit.len(), 40 | 64)));
        }
    }
}
