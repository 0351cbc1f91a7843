//! `fetch` and `pull` killed at any moment: the same command ends what was begun, and nothing is damaged on the way.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::env::TestEnv;
use crate::stage::noise;

/// Moments at which each command is killed.
const MOMENTS: u32 = 6;

/// What a command that was killed is tried on: workspaces at the first of two versions, one whose own store borrows, one whose store is
/// shared and gets all content.
struct Stage {
    env: TestEnv,
}

impl Stage {
    fn new() -> Stage {
        let env = TestEnv::new();
        for version in 0..2 {
            for number in 0..300 {
                env.write(&format!("data/{}/{number}", number % 6), noise(version << 20 | number, 4_000));
            }
            env.write("data/large", noise(version, 5 << 20));
            let _ = env.run(["ingest", "data", "--into", "./far/set", "--create"]).exits(0);
            if version == 0 {
                let _ = env.run(["clone", "./far/set", "thin/work"]).exits(0);
                fs::create_dir_all(env.path("whole/work")).unwrap();
                let _ = env.run(["store", "create", "./whole/home"]).exits(0);
                let _ = env.run_with("whole/work", ["init", "--store", "../home", "--dataset", "set"], b"").exits(0);
                let _ = env.run_with("whole/work", ["remote", "add", "origin", "../../far/set"], b"").exits(0);
                let _ = env.run_with("whole/work", ["pull"], b"").exits(0);
            }
        }
        Stage { env }
    }

    /// A copy of one of the workspaces, with its store.
    fn copy(&self, of: &str, name: &str) {
        let copied =
            Command::new("/bin/cp").arg("-a").arg(self.env.path(of)).arg(self.env.path(name)).status().unwrap();
        assert!(copied.success());
        let config = self.env.path(&format!("{name}/work/.dagset/config.toml"));
        let text = fs::read_to_string(&config).unwrap();
        fs::write(config, text.replace(&format!("/{of}/home"), &format!("/{name}/home"))).unwrap();
    }

    /// Starts a command in a workspace and kills it after a while; whether it had ended by itself.
    fn kill(&self, name: &str, command: &str, after: Duration) -> bool {
        let mut started = self.env.command();
        started.current_dir(self.env.path(&format!("{name}/work"))).arg(command);
        let mut child = started.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The moment is what is tried, so that nothing could be waited for.
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap().success()
    }

    fn run(&self, name: &str, command: &str) {
        let _ = self.env.run_with(&format!("{name}/work"), [command], b"").exits(0);
    }

    fn verify(&self, of: &str, name: &str) {
        let store = if of == "thin" { format!("./{name}/work/.dagset/store") } else { format!("./{name}/home") };
        let _ = self.env.run(["verify", &store]).exits(0);
    }
}

fn ends_what_was_killed(command: &str) {
    let stage = Stage::new();
    let mut killed = 0;
    for of in ["thin", "whole"] {
        let name = format!("{of}-whole");
        stage.copy(of, &name);
        let begun = Instant::now();
        stage.run(&name, command);
        let mut longest = begun.elapsed();
        for moment in 1..=MOMENTS {
            let name = format!("{of}-{moment}");
            stage.copy(of, &name);
            match stage.kill(&name, command, longest * moment / (MOMENTS + 1)) {
                // A busy machine made the first run look long.
                true => longest /= 2,
                false => killed += 1,
            }
            stage.verify(of, &name);
            stage.run(&name, command);
            stage.verify(of, &name);
            stage.run(&name, "pull");
            let files = |folder: &str| {
                let mut all = crate::stage::contents(&stage.env.path(folder));
                all.retain(|path, _| !path.starts_with(".dagset") && path != ".gitignore");
                all
            };
            assert_eq!(files(&format!("{name}/work")), files("data"), "{command} of {of}, moment {moment}");
        }
    }
    assert!(killed > 1, "only {killed} were killed in time");
}

#[test]
fn a_fetch_that_is_killed_is_ended_by_the_same_command() {
    ends_what_was_killed("fetch");
}

#[test]
fn a_pull_that_is_killed_is_ended_by_the_same_command() {
    ends_what_was_killed("pull");
}
