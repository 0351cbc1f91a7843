//! What a cache holds while it is filled, what goes first, and what stays.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde_json::{Value, json};

use crate::env::{TestEnv, everything_below, left_out};
use crate::stage::{contents_read, noise};

const FILE: usize = 40_000;
/// Of each version.
const FILES: u64 = 20;

/// A store with versions `1` to `4` that share nothing, and a cache with room for two of them and a half.
pub fn staged() -> TestEnv {
    let mut env = TestEnv::new();
    for version in 1..=4 {
        for number in 0..FILES {
            env.write(&format!("v{version}/{}/{number}", number % 3), noise(version << 20 | number, FILE));
        }
        let name = version.to_string();
        let _ =
            env.run(["ingest", &format!("v{version}"), "--into", "./store/set", "--create", "--as", &name]).exits(0);
    }
    let cache = env.path("cache").to_str().unwrap().to_owned();
    let _ = env.run(["cache", "init", &cache, "--max", &MOST.to_string(), "--keep-free", "0"]).exits(0);
    env.set("DAGSET_CACHE", &cache);
    env
}

const MOST: u64 = FILES * FILE as u64 * 5 / 2;

/// Bytes of all files of the cache, also of those that are being written or were put aside, as `du` counts what has several names once.
fn held(cache: &Path) -> u64 {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![cache.join("files"), cache.join("quarantine")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.iter().filter_map(|path| fs::symlink_metadata(path).ok()).map(|meta| meta.len()).sum()
}

fn bytes(env: &TestEnv) -> u64 {
    held(&env.path("cache"))
}

fn warm(env: &TestEnv, version: u64) -> Value {
    env.run(["warm", &format!("./store/set@{version}"), "--json"]).json()
}

fn is_warm(env: &TestEnv, version: u64) -> bool {
    env.run(["warm", &format!("./store/set@{version}"), "--check"]).code == Some(0)
}

/// Makes all files of the cache look as if they were last used so many days ago, but for those used since the last call.
fn age(env: &TestEnv, days: u32) {
    for path in everything_below(&env.path("cache/files")).iter().filter(|path| path.is_file()) {
        let date = format!("{days} days ago");
        assert!(Command::new("touch").args(["-a", "-d", &date]).arg(path).status().unwrap().success());
    }
}

/// Runs `act` while a thread looks again and again at what the cache holds; the most that it saw.
fn watched(env: &TestEnv, act: impl FnOnce()) -> u64 {
    let (cache, ended) = (env.path("cache"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(held(&cache));
            }
            most
        });
        let acted = catch_unwind(AssertUnwindSafe(act));
        ended.store(true, Ordering::Relaxed);
        let most = watcher.join().unwrap();
        acted.unwrap_or_else(|why| resume_unwind(why));
        assert!(most > MOST / 3, "it saw the cache being filled: {most}");
        most
    })
}

fn all_succeed(children: [Child; 4]) {
    children.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success(), "both fit"));
}

fn start(env: &TestEnv, arguments: &[&str]) -> Child {
    let mut command = env.command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn the_limit_holds_while_versions_come_and_go() {
    let env = staged();
    let most = watched(&env, || {
        for version in [1, 2, 3, 4, 1, 3] {
            assert_eq!(warm(&env, version)["complete"], true);
        }
    });
    assert!(most <= MOST, "{most} of {MOST}");
    assert!(is_warm(&env, 3));
}

#[test]
fn the_limit_holds_with_several_processes_at_once() {
    let env = staged();
    let most = watched(&env, || {
        for round in 0..3 {
            all_succeed([1, 2, 1, 2].map(|version| start(&env, &["warm", &format!("./store/set@{version}")])));
            age(&env, 3);
            let jobs = [0, 1, 2, 3].map(|job| (3 + job % 2, format!("job-{round}-{job}")));
            all_succeed(jobs.clone().map(|(version, job)| {
                start(&env, &["get", &format!("./store/set@{version}"), &job, "--link", "symlink"])
            }));
            for (version, job) in jobs {
                let read = |number: u64| fs::read(env.path(&job).join(format!("{}/{number}", number % 3))).unwrap();
                (0..FILES).for_each(|number| assert_eq!(read(number), noise(version << 20 | number, FILE)));
                fs::remove_dir_all(env.path(&job)).unwrap();
            }
        }
    });
    assert!(most <= MOST, "{most} of {MOST}");
}

#[test]
fn of_several_that_do_not_fit_together_one_gives_up_and_the_others_finish() {
    let env = staged();
    let most = watched(&env, || {
        for _ in 0..3 {
            let children = [1, 2, 3].map(|version| start(&env, &["warm", &format!("./store/set@{version}")]));
            let done = children.map(|mut child| child.wait().unwrap().code().unwrap());
            assert!(done.contains(&0) && done.iter().all(|code| [0, 7].contains(code)), "{done:?}");
            let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
        }
    });
    assert!(most <= MOST, "{most} of {MOST}");
}

/// Keeps every process from fetching the files of so many of 64 claims, until it is dropped.
pub fn keep_from(env: &TestEnv, claims: std::ops::Range<u8>) -> Vec<fs::File> {
    let lock = |number: u8| {
        let path = env.path(&format!("cache/locks/claims-{number:02}"));
        let file = fs::File::options().read(true).write(true).open(path).unwrap();
        let all = libc::flock { l_type: libc::F_WRLCK as _, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&all)).unwrap();
        file
    };
    claims.map(lock).collect()
}

#[test]
fn who_finds_another_warm_up_filling_the_cache_is_told_which_and_comes_again() {
    let env = staged();
    let half = keep_from(&env, 0..32);
    let mut first = start(&env, &["warm", "./store/set@1", "./store/set@2"]);
    // What it may fetch it has.
    while everything_below(&env.path("cache/files")).iter().filter(|path| path.is_file()).count() < 10 {
        std::thread::yield_now();
    }
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let told = format!("is being filled by process {} on {machine} with ./store/set@1 (1.6 MB): ", first.id());
    for arguments in
        [&["warm", "./store/set@3", "./store/set@4"][..], &["warm", "./store/set@3", "./store/set@4", "--pin"]]
    {
        let said = env.run(arguments).exits(7);
        assert!(said.stderr.contains(&told) && said.stderr.contains("again later"), "{}", said.stderr);
    }
    drop(half);
    assert!(first.wait().unwrap().success());
    let _ = env.run(["warm", "./store/set@3", "./store/set@4"]).exits(0);
}

/// What the files of the cache take of the disk, as `du` has it.
fn on_disk(env: &TestEnv) -> u64 {
    let files = everything_below(&env.path("cache/files")).into_iter().map(|path| fs::symlink_metadata(path).unwrap());
    files.filter(|meta| meta.is_file()).map(|meta| meta.blocks() * 512).sum()
}

#[test]
fn small_files_count_as_the_disk_counts_them() {
    let mut env = TestEnv::new();
    for number in 0..4000 {
        env.write(&format!("small/{}/{number}", number % 4), format!("{number:0100}"));
    }
    let _ = env.run(["ingest", "small", "--into", "./store/set", "--create", "--as", "1"]).exits(0);
    env.set("DAGSET_CACHE", env.path("cache").to_str().unwrap());
    let init = |most: u64| env.run(["cache", "init", "cache", "--keep-free", "0", "--max", &most.to_string()]).exits(0);
    let block = rustix::fs::statvfs(env.path(".")).unwrap().f_frsize;
    // Lengths are of 400,000 bytes.
    drop(init(block * 3999));
    let said = env.run(["warm", "./store/set@1"]).exits(1);
    assert!(said.stderr.contains("and all of it takes"), "{}", said.stderr);
    let said = env.run(["get", "./store/set@1", "copies", "--link", "copy"]).exits(0);
    assert!(said.stderr.contains("and all of it takes"), "{}", said.stderr);
    assert_eq!(on_disk(&env), 0);
    drop(init(block * 2200));
    for folder in ["0", "1", "2", "3", "0"] {
        assert_eq!(env.run(["warm", "./store/set@1", folder, "--json"]).json()["complete"], true);
        assert!(on_disk(&env) <= block * 2200, "{} after {folder}", on_disk(&env));
    }
    let info = env.run(["cache", "info", "--json"]).json()["caches"][0].clone();
    assert_eq!(info["bytes"], on_disk(&env));
    let _ = env.run(["cache", "prune", "--to", &(block * 100).to_string()]).exits(0);
    assert_eq!(on_disk(&env), block * 100);
}

#[test]
fn what_cannot_fit_is_refused_with_figures_before_the_first_byte() {
    let env = staged();
    let _ = env.run(["cache", "init", "cache", "--max", "500k"]).exits(0);
    for arguments in [
        &["warm", "./store/set@1"][..],
        &["get", "./store/set@1", "job", "--link", "view"],
        &["get", "./store/set@1", "job", "--link", "symlink"],
        &["get", "./store/set@1", "job", "--link", "hardlink"],
    ] {
        let said = env.run(arguments).exits(1);
        assert!(said.stderr.contains("it holds at most 500.0 kB, and all of it takes 819.2 kB"), "{}", said.stderr);
        assert_eq!(bytes(&env), 0);
    }
    // Pinned, one leaves no room for two more.
    let _ = env.run(["cache", "init", "cache", "--max", "1500000"]).exits(0);
    let _ = env.run(["cache", "pin", "./store/set@1"]).exits(0);
    let said = env.run(["warm", "./store/set@2"]).exits(1);
    assert!(said.stderr.contains("of the 819.2 kB in use 0 B can be removed"), "{}", said.stderr);
    let said = env.run(["cache", "init", "cache", "--keep-free", "99"]).exits(0);
    assert!(said.stdout.contains("99%"), "{}", said.stdout);
    let _ = env.run(["cache", "unpin", "./store/set@1"]).exits(0);
    let said = env.run(["warm", "./store/set@2"]).exits(1);
    assert!(said.stderr.contains(" must stay so, and of the 819.2 kB in use 819.2 kB can"), "{}", said.stderr);
    assert!(is_warm(&env, 1));
}

#[test]
fn what_was_used_least_goes_first() {
    let env = staged();
    let _ = warm(&env, 1);
    age(&env, 9);
    let _ = warm(&env, 2);
    // Used again, the older one stays.
    age(&env, 5);
    assert!(is_warm(&env, 1), "and that is a use");
    let _ = warm(&env, 3);
    assert!(is_warm(&env, 1) && is_warm(&env, 3) && !is_warm(&env, 2));
}

#[test]
fn views_go_first_and_what_is_kept_never() {
    let env = staged();
    let _ = env.run(["get", "./store/set@1", "view", "--link", "view"]).exits(0);
    fs::remove_file(env.path("view")).unwrap();
    let _ = env.run(["cache", "pin", "./store/set@2"]).exits(0);
    age(&env, 3);
    let _ = warm(&env, 3);
    assert!(!is_warm(&env, 1) && is_warm(&env, 2) && is_warm(&env, 3));
    assert_eq!(everything_below(&env.path("cache/views")), Vec::<PathBuf>::new());
    for (link, path) in [("symlink", "job-1"), ("view", "job-2"), ("hardlink", "job-3")] {
        let _ = env.run(["get", "./store/set@4", path, "--link", link]).exits(0);
        age(&env, 9);
        let said = env.run(["warm", "./store/set@1"]).exits(1);
        assert!(said.stderr.contains("don't fit") || said.stderr.contains("full"), "{}", said.stderr);
        let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
        assert!(is_warm(&env, 4) && is_warm(&env, 2), "{link}");
        assert_eq!(contents_read(&env.path(path)).len(), FILES as usize + 3);
        match link {
            "view" => fs::remove_file(env.path(path)).unwrap(),
            _ => fs::remove_dir_all(env.path(path)).unwrap(),
        }
    }
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    assert!(!is_warm(&env, 4) && is_warm(&env, 2));
}

#[test]
fn a_lease_lives_as_long_as_the_process_that_it_names() {
    let env = staged();
    let mut reader = Command::new("sleep").arg("1000").spawn().unwrap();
    let by = format!("pid:{}", reader.id());
    let _ = env.run(["get", "./store/set@1", "job", "--link", "symlink", "--hold", &by]).exits(0);
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    assert!(is_warm(&env, 1));
    reader.kill().unwrap();
    reader.wait().unwrap();
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    assert_eq!(bytes(&env), 0, "the folder is there, the process isn't");
}

/// Rewrites the only hold.
fn change_hold(env: &TestEnv, change: impl Fn(&mut Value)) {
    let [hold] = &everything_below(&env.path("cache/holds"))[..] else { panic!("one hold") };
    let mut said: Value = serde_json::from_slice(&fs::read(hold).unwrap()).unwrap();
    change(&mut said);
    fs::write(hold, said.to_string()).unwrap();
}

#[test]
fn a_lease_of_another_machine_holds_until_its_end() {
    let env = staged();
    let _ = env.run(["get", "./store/set@1", "job", "--link", "symlink"]).exits(0);
    fs::remove_dir_all(env.path("job")).unwrap();
    change_hold(&env, |hold| hold["host"] = json!("another"));
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    assert!(is_warm(&env, 1));
    change_hold(&env, |hold| hold["ends"] = json!(hold["made"].as_i64().unwrap() - 1));
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    assert_eq!(bytes(&env), 0);
    assert_eq!(everything_below(&env.path("cache/holds")), Vec::<PathBuf>::new());
}

#[test]
fn another_machine_of_this_name_keeps_its_lease() {
    let own = fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
    if own.len() != 32 {
        left_out("this machine has no id of its own (/etc/machine-id)");
        return;
    }
    let env = staged();
    let get = || env.run(["get", "./store/set@1", "job", "--link", "symlink", "--overwrite"]).exits(0);
    let _ = get();
    change_hold(&env, |hold| {
        assert_eq!(hold["machine"], json!(own));
        hold["machine"] = json!("0".repeat(32));
        hold["boot"] = json!("its own start");
    });
    // A lease of this machine for the same folder is another one.
    let _ = get();
    fs::remove_dir_all(env.path("job")).unwrap();
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    assert!(is_warm(&env, 1), "it holds until its end");
    change_hold(&env, |hold| hold["machine"] = json!(own));
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    assert_eq!(bytes(&env), 0, "this machine was started anew");
}

#[test]
fn a_lease_is_let_go_when_its_link_leads_elsewhere() {
    let env = staged();
    let _ = env.run(["get", "./store/set@1", "job", "--link", "view"]).exits(0);
    let _ = env.run(["get", "./store/set@2", "job", "--link", "view", "--overwrite"]).exits(0);
    let _ = env.run(["get", "./store/set@2", "job", "--link", "view", "--overwrite"]).exits(0);
    let list = env.run(["cache", "list", "--json"]).json();
    assert_eq!(list["holds"].as_array().unwrap().len(), 1, "{list}");
    // By whatever path the cache is come to.
    std::os::unix::fs::symlink("cache", env.path("elsewhere")).unwrap();
    let _ = env.run(["cache", "prune", "--to", "0", "--cache", "./elsewhere"]).exits(0);
    assert!(!is_warm(&env, 1) && is_warm(&env, 2));
}

#[test]
fn a_killed_process_leaves_nothing_that_counts() {
    let env = staged();
    for moment in 0..12 {
        let mut child = start(&env, &["warm", "./store/set@1"]);
        // The moment is what is tried, so that nothing could be waited for.
        std::thread::sleep(std::time::Duration::from_millis(moment * 4));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // All that the limit allows fits.
    assert_eq!(warm(&env, 1)["complete"], true);
    assert_eq!(warm(&env, 2)["complete"], true);
    assert!(is_warm(&env, 1) && is_warm(&env, 2));
    let used = noted_usage(&env);
    assert!(used <= MOST, "{used}");
    let _ = env.run(["cache", "verify"]).exits(0);
    let list = env.run(["cache", "list", "--json"]).json();
    assert_eq!(list["holds"], json!([]), "its lease ended with it");
    let marks = everything_below(&env.path("cache/locks"));
    assert!(!marks.iter().any(|path| path.file_name().unwrap().to_str().unwrap().starts_with("work-")), "{marks:?}");
}

/// What the cache has noted of how much is in it.
fn noted_usage(env: &TestEnv) -> u64 {
    fs::read_to_string(env.path("cache/usage")).unwrap().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_usage_that_is_wrong_is_counted_again() {
    let env = staged();
    let _ = warm(&env, 1);
    let usage = env.path("cache/usage");
    let of_one = fs::read(&usage).unwrap();
    // Edited, damaged or gone: neither does too much nor too little of it count.
    for content in [&(MOST * 2).to_string()[..], "0", "0\n", "", "\0", "-1 2 3 4"] {
        fs::write(&usage, content).unwrap();
        let _ = warm(&env, 2);
        assert!(is_warm(&env, 1), "there was room");
        assert_eq!(noted_usage(&env), on_disk(&env), "{content:?}");
        let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
        let _ = warm(&env, 1);
    }
    let edited = String::from_utf8(of_one.clone()).unwrap().replacen(&on_disk(&env).to_string(), "0", 1);
    fs::write(&usage, edited).unwrap();
    let _ = warm(&env, 2);
    age(&env, 3);
    let most = watched(&env, || drop(warm(&env, 3)));
    assert!(most <= MOST && is_warm(&env, 3), "{most}");
}

#[test]
fn a_usage_that_is_behind_is_found_out_by_who_looks() {
    let env = staged();
    let _ = warm(&env, 1);
    let usage = env.path("cache/usage");
    let of_one = fs::read(&usage).unwrap();
    let _ = warm(&env, 2);
    for look in
        [&["cache", "info"][..], &["cache", "verify"], &["warm", "./store/set@1", "./store/set@2", "./store/set@3:0/"]]
    {
        fs::write(&usage, &of_one).unwrap();
        assert!(noted_usage(&env) < on_disk(&env));
        let _ = env.run(look).exits(0);
        assert_eq!(noted_usage(&env), on_disk(&env), "{look:?}");
    }
}

#[test]
fn a_get_of_copies_goes_on_without_a_cache_that_is_full() {
    let env = staged();
    let _ = env.run(["cache", "pin", "./store/set@1"]).exits(0);
    let _ = env.run(["cache", "pin", "./store/set@2"]).exits(0);
    let said = env.run(["get", "./store/set@3", "job", "--link", "copy"]).exits(0);
    assert!(said.stderr.contains("comes straight from the store: 819.2 kB are missing"), "{}", said.stderr);
    assert_eq!(contents_read(&env.path("job")), contents_read(&env.path("v3")));
    assert!(bytes(&env) <= MOST);
    let said = env.run(["get", "./store/set@4", "linked", "--link", "hardlink"]).exits(1);
    assert!(said.stderr.contains("819.2 kB are missing and don't fit"), "{}", said.stderr);
    assert!(!env.path("linked").exists(), "nothing was begun");
}

#[test]
fn what_was_put_aside_counts_and_goes_first() {
    let env = staged();
    let _ = warm(&env, 1);
    let _ = warm(&env, 2);
    for path in everything_below(&env.path("cache/files")).iter().filter(|path| path.is_file()).take(10) {
        let content = fs::read(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path, content.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()).unwrap();
    }
    let most = watched(&env, || {
        assert!(!is_warm(&env, 1) || !is_warm(&env, 2));
        let _ = warm(&env, 1);
        let _ = warm(&env, 2);
        assert!(is_warm(&env, 1) && is_warm(&env, 2));
        let _ = warm(&env, 3);
    });
    assert!(most <= MOST, "{most} of {MOST}");
    assert_eq!(everything_below(&env.path("cache/quarantine")), Vec::<PathBuf>::new());
}

#[test]
fn a_get_of_copies_needs_no_room_in_a_cache() {
    let mut env = staged();
    let whole = |env: &TestEnv, job: &str, why: &str| {
        let said = env.run(["get", "./store/set@1", job, "--link", "copy"]).exits(0);
        assert!(said.stderr.contains(why), "{}", said.stderr);
        assert_eq!(contents_read(&env.path(job)), contents_read(&env.path("v1")));
    };
    let _ = warm(&env, 2);
    let _ = env.run(["cache", "init", "cache", "--keep-free", "99"]).exits(0);
    whole(&env, "small-disk", "of the 819.2 kB in use 819.2 kB can be removed");
    let _ = env.run(["cache", "init", "cache", "--keep-free", "0", "--max", "500k"]).exits(0);
    whole(&env, "small-cache", "it holds at most 500.0 kB, and all of it takes 819.2 kB");
    assert!(is_warm(&env, 2), "nothing went for what would not fit");
    env.set("DAGSET_CACHE", "/proc/none");
    env.set("XDG_CACHE_HOME", "/proc/none");
    whole(&env, "none", "no cache is used: cannot create the folder");
}
