//! The recipes of docs/recipes: the scripts are run as their schedulers would, the commands in the YAML files by a shell.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::env::TestEnv;

/// A store with a version, a cache, and a folder with `dagset` and what the recipes run beside it.
struct Node {
    env: TestEnv,
    programs: PathBuf,
}

impl Node {
    fn new() -> Node {
        let env = TestEnv::new();
        for number in 0..12 {
            env.write(&format!("data/{number}"), format!("content {number}\n"));
        }
        let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1"]).exits(0);
        let _ = env.run(["cache", "init", "cache", "--keep-free", "0"]).exits(0);
        let programs = env.path("programs");
        fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_dagset"), programs.join("dagset")).unwrap();
        let node = Node { env, programs };
        // It prints what it was given, a line a file.
        node.program("python", "for path in \"$3\"/*; do basename \"$path\"; done");
        node
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.programs.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn address(&self) -> String {
        format!("{}@1", self.env.path("store/set").display())
    }

    /// Runs a shell with these variables; gives what it prints.
    #[track_caller]
    fn shell(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        // As the node's own environment has it.
        let dagset = self.env.command();
        let mut command = Command::new("/bin/sh");
        command.args(arguments).env_clear().current_dir(self.env.path("."));
        command.envs(dagset.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.programs.display()));
        command.env("DAGSET_CACHE", self.env.path("cache")).env("DATA", self.address());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Pins in the cache.
    fn pins(&self) -> usize {
        let list = self.env.run(["cache", "list", "--json", "--cache", "cache"]).json();
        list["holds"].as_array().unwrap().iter().filter(|hold| hold["kind"] == "pin").count()
    }
}

fn recipe(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes").join(path)
}

/// The lines of a recipe that begin so, without that.
fn commands(path: &str, beginning: &str) -> Vec<String> {
    let text = fs::read_to_string(recipe(path)).unwrap();
    let found: Vec<_> =
        text.lines().filter_map(|line| line.trim().strip_prefix(beginning)).map(str::to_owned).collect();
    assert!(!found.is_empty(), "{path} has no line {beginning}");
    found
}

/// What each of some readers printed is all of the files, each once.
#[track_caller]
fn assert_all_once(printed: &[String]) {
    let mut names: Vec<&str> = printed.iter().flat_map(|text| text.lines()).collect();
    names.sort_by_key(|name| name.parse::<u32>().unwrap());
    assert_eq!(names, (0..12).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn slurm_prolog_and_job() {
    let node = Node::new();
    let prolog = recipe("slurm/prolog.sh");
    // Without root nobody can be become, and without a log daemon nothing be logged.
    node.program("setpriv", "while [ \"$1\" != env ]; do shift; done; exec \"$@\"");
    node.program("logger", "cat >&2");
    let (prolog, comment) = (prolog.to_str().unwrap(), format!("dagset:{}", node.address()));
    let user = [("SLURM_JOB_USER", "root")];
    for comment in ["", "my third try"] {
        node.shell(&[prolog], &[user[0], ("SLURM_JOB_COMMENT", comment)]);
    }
    assert_eq!(node.pins(), 0);
    node.shell(&[prolog], &[user[0], ("SLURM_JOB_COMMENT", &comment)]);
    assert_eq!(node.pins(), 1);
    let _ = node.env.run(["warm", &node.address(), "--check", "--cache", "cache"]).exits(0);
    node.shell(&[prolog], &[user[0], ("SLURM_JOB_COMMENT", "dagset:/no/such/store@1")]);

    let job = recipe("slurm/job.sh");
    let task = |number: &str| {
        let arguments = [job.to_str().unwrap(), &node.address(), "python", "train.py", "--data", "{}"];
        node.shell(&arguments, &[("SLURM_PROCID", number), ("SLURM_NTASKS", "3")])
    };
    assert_all_once(&["0", "1", "2"].map(task));
    node.program("srun", "for SLURM_PROCID in 0 1; do export SLURM_PROCID; \"$@\" || exit; done");
    let arguments = [job.to_str().unwrap(), &node.address(), "python", "train.py", "--data", "{}"];
    assert_all_once(&[node.shell(&arguments, &[("SLURM_NTASKS", "2")])]);
}

#[test]
fn kubernetes_pod() {
    let node = Node::new();
    let scripts: Vec<String> = commands("kubernetes/pod.yaml", "command: [sh, -c, '")
        .into_iter()
        .map(|rest| rest.strip_suffix("']").unwrap().to_owned())
        .collect();
    let [warm, train] = &scripts[..] else { panic!("{scripts:?}") };
    node.shell(&["-c", warm], &[]);
    assert_eq!(node.pins(), 1);
    fs::rename(node.env.path("store/packs"), node.env.path("store/away")).unwrap();
    assert_all_once(&[node.shell(&["-c", train], &[])]);
}

#[test]
fn gitlab_and_github_runners() {
    let node = Node::new();
    let [evaluate, ingest] = &commands("gitlab/gitlab-ci.yml", "- dagset ")[..] else { panic!("two lines") };
    let part = |number: &str| {
        node.shell(&["-c", &format!("dagset {evaluate}")], &[("CI_NODE_INDEX", number), ("CI_NODE_TOTAL", "4")])
    };
    assert_all_once(&["1", "2", "3", "4"].map(part));
    node.env.write("predictions/1", "0.5");
    let ingest = format!("dagset {ingest}").replace("s3://bucket/data", "./store");
    let published = node.shell(&["-c", &ingest], &[("CI_PIPELINE_ID", "17")]);
    assert!(published.contains("predictions"), "{published}");
    let _ = node.env.run(["show", "./store/predictions@ci-17"]).exits(0);

    let steps = commands("github/workflow.yml", "- run: ");
    let part = |number: u32| {
        let run = |step: &String| node.shell(&["-c", &step.replace("${{ matrix.part }}", &format!("{number}/4"))], &[]);
        steps.iter().map(run).next_back().unwrap()
    };
    assert_all_once(&[1, 2, 3, 4].map(part));
}
