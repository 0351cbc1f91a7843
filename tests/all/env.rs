//! The stage of a test: a folder of its own, an environment that holds nothing else, and the built binary.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The author of every version that a test makes.
pub const AUTHOR: &str = "Test Author <author@test.example>";

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

/// A folder with a home, and a working folder in which commands run.
pub struct TestEnv {
    root: TempDir,
    variables: BTreeMap<String, String>,
    /// Set where commands are run by `nobody`.
    binary: Option<PathBuf>,
}

impl TestEnv {
    /// An empty home and an empty working folder.
    pub fn new() -> TestEnv {
        let root = tempfile::Builder::new().prefix("dagset-test-").tempdir().unwrap();
        let mut variables = BTreeMap::new();
        for (name, folder) in [
            ("HOME", "home"),
            ("XDG_CONFIG_HOME", "home/.config"),
            ("XDG_CACHE_HOME", "home/.cache"),
            ("XDG_DATA_HOME", "home/.local/share"),
            ("XDG_STATE_HOME", "home/.local/state"),
            ("TMPDIR", "tmp"),
        ] {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            variables.insert(name.to_owned(), folder.to_str().unwrap().to_owned());
        }
        fs::create_dir(root.path().join("work")).unwrap();
        for (name, value) in [("DAGSET_AUTHOR", AUTHOR), ("TZ", "UTC"), ("COLUMNS", "100")] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        TestEnv { root, variables, binary: None }
    }

    /// Sets a variable for every command that follows.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// A path in the working folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join("work").join(relative)
    }

    /// A path in the home folder.
    pub fn home(&self, relative: &str) -> PathBuf {
        self.root.path().join("home").join(relative)
    }

    /// Writes a file of the working folder, and the folders above it.
    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Lays out a version of the fixture dataset (`v1`, `v2`, `v3`) in a folder of the working folder.
    pub fn lay_out_signs(&self, version: &str, relative: &str) -> PathBuf {
        let target = self.path(relative);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/prepare.sh");
        let mut command = Command::new("/bin/sh");
        command.arg(script).arg(version).arg(&target).env_clear().env("PATH", "/usr/bin:/bin");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target
    }

    /// Has all commands that follow run by a user whom permissions bind. Root gives all files of this environment to `nobody` for it.
    pub fn bind_by_permissions(&mut self) {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let binary = self.copy_of_binary();
        let give = |path: &Path| std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        give(self.root.path());
        everything_below(self.root.path()).iter().for_each(|path| give(path));
        self.binary = Some(binary);
    }

    /// The binary where other users may run it too: the build's folder may be closed to them.
    pub fn copy_of_binary(&self) -> PathBuf {
        let binary = self.root.path().join("dagset");
        // By another process: a child that a test beside this one starts could else hold it open for writing, and it couldn't be run.
        let copied = Command::new("/bin/cp").arg(env!("CARGO_BIN_EXE_dagset")).arg(&binary).status().unwrap();
        assert!(copied.success());
        binary
    }

    /// Lets all users reach what is in this environment.
    pub fn open_to_all(&self) {
        fs::set_permissions(self.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs `dagset` in the working folder.
    pub fn run<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        self.run_with(".", arguments, b"")
    }

    /// Runs `dagset` in a folder below the working folder, with something on its input.
    pub fn run_with<S: AsRef<str>>(
        &self,
        folder: &str,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Outcome {
        let mut command = self.command();
        command.current_dir(self.path(folder)).args(arguments.into_iter().map(|it| it.as_ref().to_owned()));
        self.finish(command, input)
    }

    /// Runs a command to its end, with something on its input.
    pub fn finish(&self, mut command: Command, input: &[u8]) -> Outcome {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // A command may end before it has read its input: that breaks the pipe, which is no failure here.
            scope.spawn(move || stdin.write_all(input).ok());
            child.wait_with_output().unwrap()
        });
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            root: self.root.path().to_str().unwrap().to_owned(),
        }
    }

    /// The binary in this environment and the working folder, for tests that start it themselves.
    pub fn command(&self) -> Command {
        let mut command = match &self.binary {
            None => Command::new(env!("CARGO_BIN_EXE_dagset")),
            Some(binary) => {
                let mut command = Command::new(binary);
                command.uid(NOBODY).gid(NOBODY);
                command
            }
        };
        command.env_clear().envs(&self.variables).current_dir(self.path("."));
        command
    }
}

/// What a command said and how it ended.
#[must_use = "what a command says is what is tested"]
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    root: String,
}

impl Outcome {
    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Outcome {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts exit code 0, and returns what stands on stdout.
    #[track_caller]
    pub fn text(self) -> String {
        self.exits(0).stdout
    }

    /// Asserts exit code 0, and returns the one JSON document that stands on stdout.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        self.exits(0).document()
    }

    /// The one JSON document on stdout, whatever the exit code.
    #[track_caller]
    pub fn document(&self) -> serde_json::Value {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&self.stdout);
        let value =
            parsed.unwrap_or_else(|fault| panic!("{fault} in stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr));
        assert_eq!(value["schema"], 1, "a document says its schema: {value}");
        value
    }

    /// As [`Outcome::json`], without what the answer has cost: equal answers may be found in different ways.
    #[track_caller]
    pub fn answer(self) -> serde_json::Value {
        let mut document = self.json();
        let fields = document.as_object_mut().unwrap();
        let cost = ["requests", "sent_bytes", "received_bytes"].map(|key| fields.remove(key));
        assert!(cost.iter().all(Option::is_some), "a document says what it took: {document}");
        document
    }

    /// Exit code, stdout and stderr for an inline snapshot, with what differs between runs put into words.
    pub fn snapshot(&self) -> String {
        let code = self.code.map_or("signal".to_owned(), |code| code.to_string());
        let all = format!("exit: {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr);
        normalise(&all, &self.root)
    }
}

/// Says loudly, past the harness that swallows what a passing test prints, that this test can't be made here, and why.
pub fn left_out(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::io::stderr().write_all(format!("LEFT OUT: {test}: {why}\n").as_bytes()).unwrap();
}

/// Every file, link and folder below a folder, sorted, each folder before what it holds; links are not followed. What others remove
/// meanwhile is left out.
pub fn everything_below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut here: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    while !here.is_empty() {
        let below = here.iter().filter_map(|path| fs::read_dir(path).ok().filter(|_| !path.is_symlink()));
        let below = below.flatten().map(|entry| entry.unwrap().path()).collect();
        all.append(&mut here);
        here = below;
    }
    all.retain(|path| fs::symlink_metadata(path).is_ok());
    all.sort();
    all
}

/// Replaces the test's folder by `[ROOT]`, ids by `[id 1]`, `[id 2]`… in the order of their first mention (a short form
/// gets the number of its id), names of stored objects by `[object]`, random ids by `[random]` and times by `[time]`.
pub fn normalise(text: &str, root: &str) -> String {
    let text = text.replace(root, "[ROOT]");
    let mut ids: Vec<String> = Vec::new();
    let mut out = String::new();
    let mut rest = text.as_str();
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let at_start = !before.is_ascii_alphanumeric();
        let run = rest.find(|c: char| !matches!(c, '0'..='9' | 'a'..='f')).unwrap_or(rest.len());
        let ends = !rest[run..].starts_with(|c: char| c.is_ascii_alphanumeric());
        let (word, len) = if let Some(len) = time_length(rest).filter(|_| at_start) {
            ("[time]".to_owned(), len)
        } else if at_start && is_object_name(rest) {
            ("[object]".to_owned(), 45)
        } else if at_start && ends && run == 32 {
            ("[random]".to_owned(), run)
        } else if at_start && ends && (run == 64 || run == 12) {
            let known = ids.iter().position(|id| id.starts_with(&rest[..run]) || rest[..run].starts_with(id.as_str()));
            let number = known.unwrap_or_else(|| {
                ids.push(rest[..run].to_owned());
                ids.len() - 1
            });
            (format!("[id {}]", number + 1), run)
        } else {
            (c.to_string(), c.len_utf8())
        };
        out.push_str(&word);
        before = rest[..len].chars().next_back().unwrap_or(' ');
        rest = &rest[len..];
    }
    out
}

/// `000000000007-` and 32 hex digits.
fn is_object_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 45
        && bytes[..12].iter().all(u8::is_ascii_digit)
        && bytes[12] == b'-'
        && bytes[13..45].iter().all(u8::is_ascii_hexdigit)
        && !bytes.get(45).is_some_and(u8::is_ascii_alphanumeric)
}

/// How long the time is that `text` begins with: in RFC 3339, or as people are shown it.
fn time_length(text: &str) -> Option<usize> {
    let shape = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    if has_shape(bytes, b"0000-00-00 00:00") {
        return Some(b"0000-00-00 00:00".len());
    }
    let fits = bytes.len() > shape.len() && has_shape(bytes, shape);
    let fraction = text.get(shape.len()..)?.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    (fits && bytes[shape.len() + fraction] == b'Z').then_some(shape.len() + fraction + 1)
}

/// Whether `bytes` begin like `shape`, in which 0 is any digit.
fn has_shape(bytes: &[u8], shape: &[u8]) -> bool {
    let fits = |(s, b): (&u8, &u8)| if *s == b'0' { b.is_ascii_digit() } else { s == b };
    bytes.len() >= shape.len() && shape.iter().zip(bytes).all(fits)
}

#[test]
fn the_binary_says_its_version() {
    let env = TestEnv::new();
    assert_eq!(env.run(["--version"]).text(), concat!("dagset ", env!("CARGO_PKG_VERSION"), "\n"));
    let refused = env.run(["--no-such-option"]).exits(2);
    assert!(refused.stdout.is_empty() && !refused.stderr.is_empty());
}

#[test]
fn what_differs_between_runs_is_put_into_words() {
    let long = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    let other = long.replace("af13", "0f13");
    let text = format!(
        "{short} {other} {long}, /tmp/x/work at 2026-01-02T03:04:05.678Z packs/000000000007-{random} {random} 1234 decade",
        short = &long[..12],
        random = &long[..32],
    );
    insta::assert_snapshot!(
        normalise(&text, "/tmp/x"),
        @"[id 1] [id 2] [id 1], [ROOT]/work at [time] packs/[object] [random] 1234 decade"
    );
}

#[test]
fn the_fixture_dataset_is_laid_out_whole() {
    let env = TestEnv::new();
    for version in ["v1", "v2", "v3"] {
        let below = everything_below(&env.lay_out_signs(version, version));
        let any = |what: &str, is: &dyn Fn(&Path, &fs::Metadata) -> bool| {
            let found = below.iter().any(|path| is(path, &fs::symlink_metadata(path).unwrap()));
            assert!(found, "{version} has no {what}");
        };
        any("empty folder", &|path, meta| meta.is_dir() && fs::read_dir(path).unwrap().next().is_none());
        any("symlink", &|_, meta| meta.is_symlink());
        any("empty file", &|_, meta| meta.is_file() && meta.len() == 0);
        any("file of several chunks", &|_, meta| meta.is_file() && meta.len() > 131_072);
        any("executable", &|_, meta| meta.is_file() && meta.permissions().mode() & 0o777 == 0o755);
        any("Unicode name", &|path, _| !path.file_name().unwrap().to_str().unwrap().is_ascii());
        any("name with a space", &|path, _| path.file_name().unwrap().to_str().unwrap().contains(' '));
        for ending in ["png", "jpg", "csv", "jsonl", "parquet", "tar"] {
            any(ending, &|path, _| path.extension().is_some_and(|found| found == ending));
        }
    }
}
