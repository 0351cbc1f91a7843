//! A view that is wrong is refused to new jobs, and stays with those that read through it; what is only touched is mended.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::env::{TestEnv, everything_below};
use crate::stage::{contents_read, noise};

/// A view of a version with some folders, in `job`.
fn staged() -> TestEnv {
    let env = TestEnv::new();
    for number in 0..12 {
        env.write(&format!("data/{}/{number}", number % 3), noise(number, 5_000));
    }
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let _ = view(&env, "job");
    env
}

#[track_caller]
fn view(env: &TestEnv, folder: &str) -> Value {
    env.run(["get", "./store/set", folder, "--link", "view", "--json"]).json()
}

#[track_caller]
fn is_right(env: &TestEnv, folder: &str) {
    assert_eq!(contents_read(&env.path(folder)), contents_read(&env.path("data")), "{folder}");
}

fn cache(env: &TestEnv, what: &str) -> PathBuf {
    env.home(".cache/dagset/files").join(what)
}

/// The tree that a job reads, whatever its name leads to later.
fn tree(env: &TestEnv, job: &str) -> PathBuf {
    env.path(job).canonicalize().unwrap()
}

fn edit(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn touch(path: &Path) {
    File::open(path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
}

#[test]
fn a_changed_file_takes_no_view_away_from_a_job() {
    let env = staged();
    let before = tree(&env, "job");
    edit(&env.path("job/1/1"), b"changed");
    let warm = env.run(["warm", "./store/set", "--json"]).json();
    assert_eq!((&warm["versions"][0]["mended"], &warm["versions"][0]["put_aside"]), (&0.into(), &1.into()), "{warm}");
    assert_eq!(tree(&env, "job"), before);
    assert_eq!(fs::read(env.path("job/2/2")).unwrap(), noise(2, 5_000), "the job goes on");
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    assert_eq!(fs::read(env.path("job/2/2")).unwrap(), noise(2, 5_000), "its lease holds");
    let _ = view(&env, "next");
    is_right(&env, "next");
    is_right(&env, "job");
    assert_ne!(tree(&env, "job"), before, "both lead to the new one");
    assert!(before.join("2/2").exists(), "who works in the old one finds it there");
    for job in ["job", "next"] {
        fs::remove_file(env.path(job)).unwrap();
    }
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    assert_eq!(everything_below(&cache(&env, "views")), Vec::<PathBuf>::new());
}

#[test]
fn a_touched_file_is_mended_and_not_fetched() {
    let env = staged();
    let before = tree(&env, "job");
    for number in 0..3 {
        touch(&env.path(&format!("job/{number}/{number}")));
    }
    let said = env.run(["warm", "./store/set", "--json"]).json();
    let version = &said["versions"][0];
    assert_eq!((&version["mended"], &version["put_aside"]), (&3.into(), &0.into()), "{said}");
    assert_eq!(version["cached_before"]["files"], 12, "nothing is fetched: {said}");
    assert_eq!(everything_below(&cache(&env, "quarantine")), Vec::<PathBuf>::new());
    let _ = view(&env, "next");
    assert_eq!((tree(&env, "next"), tree(&env, "job")), (before.clone(), before));
    touch(&env.path("job/0/0"));
    let people = env.run(["warm", "./store/set"]).exits(0).stdout;
    assert!(people.contains("mended 1 cached file"), "{people}");
    let again = env.run(["warm", "./store/set", "--json"]).json();
    assert_eq!(again["versions"][0]["mended"], 0, "{again}");
}

/// Changes a tree by a shell's command. Whoever isn't root has to open it, which is a change already.
fn alter(tree: &Path, change: &str) {
    let [open, close] =
        if rustix::process::geteuid().is_root() { ["true", "true"] } else { ["chmod -R u+w .", "chmod -R u-w ."] };
    let command = format!("cd '{}' && {open} && {change} && {close}", tree.display());
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{change}");
}

#[test]
fn verify_finds_a_view_whose_folders_were_changed() {
    let env = staged();
    let before = tree(&env, "job");
    assert!(!env.run(["cache", "verify"]).exits(0).stderr.contains("was changed"));
    alter(&before, "touch 2/new");
    assert!(env.run(["cache", "verify"]).exits(0).stderr.contains("was changed since it was made"));
    assert!(!env.run(["get", "./store/set", "next", "--link", "view"]).exits(0).stderr.contains("was changed"));
    is_right(&env, "next");
    is_right(&env, "job");
}

#[test]
fn a_view_whose_folders_were_changed_is_made_anew() {
    for change in [
        "rm 1/1",
        "touch 1/new",
        "mv 1/1 1/other",
        "cp 1/4 1/x && mv -f 1/x 1/1",
        "mkdir 2/more",
        "rm -r 0",
        "chmod u+w 1",
    ] {
        let env = staged();
        let before = tree(&env, "job");
        alter(&before, change);
        let said = env.run(["get", "./store/set", "next", "--link", "view"]).exits(0);
        assert!(said.stderr.contains("was changed since it was made, and is made anew"), "{change}: {}", said.stderr);
        is_right(&env, "next");
        is_right(&env, "job");
        let again = env.run(["get", "./store/set", "third", "--link", "view"]).exits(0);
        assert!(!again.stderr.contains("made anew"), "{}", again.stderr);
        assert_eq!(tree(&env, "third"), tree(&env, "next"));
    }
}

#[test]
fn a_link_that_nothing_holds_is_taken_up_by_the_same_command() {
    let env = staged();
    let leases = || env.run(["cache", "list", "--json"]).json()["holds"].as_array().unwrap().clone();
    // As a `get` of before left it that was killed.
    let _ = env.run(["cache", "unpin", leases()[0]["name"].as_str().unwrap()]).exits(0);
    assert_eq!(leases().len(), 0);
    for _ in 0..2 {
        assert!(view(&env, "job")["lease"].is_string());
        assert_eq!(leases().len(), 1);
    }
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    is_right(&env, "job");
}

#[test]
fn a_link_that_cannot_be_put_leaves_no_lease() {
    let env = staged();
    env.write("file", "in the way");
    let said = env.run(["get", "./store/set", "file/job", "--link", "view"]).exits(1);
    assert!(said.stderr.contains("cannot create the folder"), "{}", said.stderr);
    // As files: a command that lists them would take away what nobody needs.
    assert_eq!(everything_below(&cache(&env, "holds")).len(), 1, "the other job's");
}

#[test]
fn an_unreadable_hold_holds_everything_for_a_day() {
    let env = staged();
    fs::remove_file(env.path("job")).unwrap();
    let holds = cache(&env, "holds");
    for (name, bytes) in [("empty", &b""[..]), ("garbage", b"{\"held\":"), ("binary", &[0xff, 0])] {
        let _ = env.run(["warm", "./store/set"]).exits(0);
        fs::write(holds.join(name), bytes).unwrap();
        let said = env.run(["cache", "prune", "--to", "0", "--json"]).exits(0);
        assert!(said.stderr.contains(&format!("`dagset cache unpin {name}` removes it")), "{}", said.stderr);
        assert_eq!(said.json()["files"], 0, "{name}");
        let _ = env.run(["warm", "./store/set"]).exits(0);
        let list = env.run(["cache", "list", "--json"]).json();
        assert_eq!(list["unread"][0]["name"], name, "{list}");
        let _ = env.run(["cache", "unpin", name]).exits(0);
        assert_eq!(env.run(["cache", "prune", "--to", "0", "--json"]).json()["files"], 12, "{name}");
        fs::write(holds.join(name), bytes).unwrap();
        assert!(Command::new("touch").args(["-d", "25 hours ago"]).arg(holds.join(name)).status().unwrap().success());
        let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
        assert!(!holds.join(name).exists(), "its day is over");
    }
}

#[test]
fn folders_of_a_cache_that_are_missing_are_made_again() {
    for missing in ["files", "files/*", "holds", "views", "lists", "locks", "quarantine", "recent"] {
        let env = staged();
        fs::remove_file(env.path("job")).unwrap();
        let remove = format!("chmod -R u+w {0} && rm -rf {0}", cache(&env, missing).to_str().unwrap());
        assert!(Command::new("sh").args(["-c", &remove]).status().unwrap().success());
        for command in [
            &["cache", "info"][..],
            &["cache", "list"],
            &["cache", "verify"],
            &["warm", "./store/set", "--pin"],
            &["get", "./store/set", "job", "--link", "view"],
            &["get", "./store/set", "linked", "--link", "symlink"],
            &["cache", "prune", "--to", "0"],
        ] {
            let said = env.run(command).exits(0);
            assert!(!said.stderr.contains("a cache is left out"), "{missing}: {}", said.stderr);
        }
        is_right(&env, "job");
        is_right(&env, "linked");
    }
}

/// What a `get` of a view has left in the cache that is no one's any more.
fn left(env: &TestEnv) -> Vec<PathBuf> {
    let is_left = |path: &PathBuf| path.to_str().unwrap().contains("/.dagset-tmp-");
    everything_below(&env.path("cache")).into_iter().filter(is_left).collect()
}

#[test]
fn what_is_cut_off_leaves_no_half_made_view() {
    let env = TestEnv::new();
    for number in 0..2_000 {
        env.write(&format!("data/{}/{number}", number % 40), number.to_string());
    }
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let _ = env.run(["cache", "init", "cache", "--keep-free", "0"]).exits(0);
    for signal in ["INT", "TERM", "KILL"] {
        let mut cut = 0;
        for _ in 0..4 {
            let arguments = ["get", "./store/set", "job", "--link", "view", "--cache", "./cache"];
            let mut command = env.command();
            let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // Until some of the tree is there, and not all of it.
            let views = env.path("cache/views");
            while fs::read_dir(&views).unwrap().count() == 0 && child.try_wait().unwrap().is_none() {}
            let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
            cut += u32::from(sent.success() && !child.wait().unwrap().success());
            if signal == "KILL" {
                let _ = env.run(["cache", "info", "--cache", "./cache"]).exits(0);
            }
            assert_eq!(left(&env), Vec::<PathBuf>::new(), "{signal}");
            fs::remove_file(env.path("job")).ok();
            let _ = env.run(["cache", "prune", "--to", "0", "--cache", "./cache"]).exits(0);
        }
        assert!(cut > 0, "{signal} came too late each time");
    }
}

#[test]
fn an_edit_or_another_mode_of_any_file_is_found_by_a_warm_up() {
    for (number, change) in
        ["echo junk >> empty", "chmod 755 1/1", "chmod 000 1/1", "chmod 4777 1/2"].into_iter().enumerate()
    {
        let env = TestEnv::new();
        env.write("data/empty", "");
        for (file, seed) in [("1/1", 1), ("1/2", 2)] {
            env.write(&format!("data/{file}"), noise(seed, 3_000));
        }
        let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
        let _ = env.run(["get", "./store/set", "job", "--link", "view"]).exits(0);
        alter(&tree(&env, "job"), &format!("chmod u+w empty; {change}"));
        let warmed = env.run(["warm", "./store/set", "--json"]).exits(0).document()["versions"][0].clone();
        let found = warmed["mended"].as_u64().unwrap() + warmed["put_aside"].as_u64().unwrap();
        assert!(found > 0, "{change}: {warmed}");
        for link in ["view", "hardlink", "symlink"] {
            let folder = format!("{link}-{number}");
            let _ = env.run(["get", "./store/set", &folder, "--link", link]).exits(0);
            is_right(&env, &folder);
            let mode = fs::metadata(env.path(&folder).join("1/1")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o444, "{change} {link}");
        }
    }
}

#[test]
fn a_file_that_was_edited_through_a_view_is_found_by_the_next_job() {
    let env = staged();
    let first = tree(&env, "job");
    edit(&env.path("job/1/1"), b"changed");
    let said = env.run(["get", "./store/set", "job-2", "--link", "view"]).exits(0);
    assert!(said.stderr.contains("was changed since it was made, and is made anew"), "{}", said.stderr);
    is_right(&env, "job-2");
    assert_eq!(fs::read(first.join("1/1")).unwrap(), b"changed", "who began with it keeps it");
    // What is only touched is mended, and costs one view.
    touch(&env.path("job-2/2/2"));
    let _ = view(&env, "job-3");
    assert_ne!(tree(&env, "job-3"), first);
    let _ = view(&env, "job-4");
    assert_eq!(tree(&env, "job-4"), tree(&env, "job-3"));
    is_right(&env, "job-4");
}
