//! A `get` that is stopped: by Ctrl-C it leaves no half-written file, by a kill none that the next run doesn't sweep.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use dagset::base::files::{GET_MARKER, is_temporary};
use rustix::process::{Pid, Signal, kill_process};

use crate::env::{TestEnv, everything_below};
use crate::stage::{contents, noise};

const ROUNDS: u32 = 10;

/// Half-written files below a folder.
fn half_written(folder: &Path) -> Vec<String> {
    if !folder.exists() {
        return Vec::new();
    }
    let names = everything_below(folder).into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    names.filter(|name| is_temporary(name) && name != GET_MARKER).collect()
}

#[test]
fn half_written_files_go_at_an_interrupt_and_after_a_kill() {
    let env = TestEnv::new();
    for number in 0..600 {
        env.write(&format!("data/{}/{number}", number % 40), noise(number, 6_000));
    }
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let get = ["get", "./store/set", "out", "--quiet"];
    let begun = Instant::now();
    let _ = env.run(get).exits(0);
    let mut longest = begun.elapsed();
    let mut stopped = [0, 0];
    for round in 0..ROUNDS {
        let signal = if round % 2 == 0 { Signal::INT } else { Signal::KILL };
        fs::remove_dir_all(env.path("out")).unwrap();
        let mut command = env.command();
        let mut child = command.args(get).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The moment is what is tried, so that nothing could be waited for.
        std::thread::sleep(Duration::from_millis(5) + longest * round / ROUNDS);
        kill_process(Pid::from_child(&child), signal).unwrap();
        match child.wait().unwrap().code() {
            // A busy machine made the first run look long.
            Some(0) => {
                longest /= 2;
                continue;
            }
            // By its handler, or before that was set.
            Some(130) | None => stopped[(round % 2) as usize] += 1,
            code => panic!("ended with {code:?}"),
        }
        if signal == Signal::INT {
            assert_eq!(half_written(&env.path("out")), Vec::<String>::new(), "round {round}");
        }
        // One that was stopped behind its last file is whole.
        let is_whole = || env.path("out").exists() && contents(&env.path("out")) == contents(&env.path("data"));
        if round % 6 < 2 && !is_whole() {
            let _ = env.run(get).exits(0);
            assert_eq!(contents(&env.path("out")), contents(&env.path("data")), "round {round}");
        }
        fs::create_dir_all(env.path("out")).unwrap();
    }
    assert!(stopped.iter().all(|count| *count > 0), "too few were stopped in time: {stopped:?}");
}
