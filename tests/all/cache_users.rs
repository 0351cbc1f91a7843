//! One cache, two real users of one group, of whom one makes everything private and the other nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::env::{everything_below, left_out};
use crate::stage::{contents_read, lay_out};
use crate::users::{User, Users};

/// A store that all can read, with two versions of a dataset, and a shared cache that the first user made.
struct Machine {
    users: Users,
    cache: String,
    data: PathBuf,
    set: String,
}

impl Machine {
    fn new() -> Option<Machine> {
        let users = Users::new()?;
        let env = &users.env;
        let data = env.path("data");
        lay_out(&data, 1);
        let _ = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", "1"]).exits(0);
        lay_out(&env.path("later"), 2);
        let _ = env.run(["ingest", "later", "--into", "./store/set", "--as", "2"]).exits(0);
        let set = env.path("store/set").to_str().unwrap().to_owned();
        let place = env.path("node");
        fs::create_dir(&place).unwrap();
        std::os::unix::fs::chown(&place, Some(users.both[0].number), Some(users.group_number())).unwrap();
        let cache = place.join("cache").to_str().unwrap().to_owned();
        // Others of the group may come to it.
        fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let _ = users
            .run(
                &users.both[0],
                &["cache", "init", &cache, "--shared", users.group(), "--max", "100M", "--keep-free", "0"],
            )
            .exits(0);
        Some(Machine { users, cache, data, set })
    }

    fn both(&self) -> [&User; 2] {
        [&self.users.both[0], &self.users.both[1]]
    }

    /// Runs a command that must succeed, by way of the cache, and gives what it said.
    #[track_caller]
    fn done(&self, user: &User, arguments: &[&str]) -> serde_json::Value {
        let all = [arguments, &["--cache", &self.cache, "--json"]].concat();
        let said = self.users.run(user, &all).exits(0);
        assert!(!said.stderr.to_lowercase().contains("permission denied"), "{}", said.stderr);
        said.json()
    }

    fn version(&self, name: &str) -> String {
        format!("{}@{name}", self.set)
    }

    #[track_caller]
    fn get(&self, user: &User, version: &str, folder: &str, link: &str) -> serde_json::Value {
        self.done(user, &["get", &self.version(version), folder, "--link", link])
    }

    fn cached(&self, what: &str) -> Vec<PathBuf> {
        everything_below(&Path::new(&self.cache).join(what))
    }
}

#[test]
fn both_warm_get_and_prune_whatever_their_umask() {
    let Some(machine) = Machine::new() else { return };
    for (at, user) in machine.both().into_iter().enumerate() {
        let warm = machine.done(user, &["warm", &machine.version("1")]);
        assert_eq!(warm["versions"][0]["complete"], true);
        assert_eq!(warm["received_bytes"].as_u64().unwrap() > 300_000, at == 0, "one fetches: {warm}");
    }
    for user in machine.both().into_iter().rev() {
        for link in ["auto", "copy", "hardlink", "symlink", "view"] {
            machine.get(user, "1", link, link);
            assert_eq!(contents_read(&user.home(link)), contents_read(&machine.data), "{link}");
        }
        machine.done(user, &["cache", "info"]);
        machine.done(user, &["cache", "verify"]);
        let pin = machine.done(user, &["cache", "pin", &machine.version("2")]);
        machine.done(user, &["cache", "list"]);
        machine.done(user, &["cache", "unpin", pin["pin"].as_str().unwrap()]);
    }
    for user in machine.both() {
        machine.done(user, &["cache", "prune", "--to", "0"]);
    }
    // All folders and files are the group's, and open to it, but for the trees of views, which nobody writes.
    for path in machine.cached("").iter().filter(|path| !path.starts_with(Path::new(&machine.cache).join("views"))) {
        let meta = fs::symlink_metadata(path).unwrap();
        assert_eq!(meta.gid(), machine.users.group_number(), "{}", path.display());
        let wanted = if meta.is_dir() { 0o2770 } else { 0o040 };
        assert_eq!(meta.mode() & wanted, wanted, "{} {:o}", path.display(), meta.mode());
    }
}

#[test]
fn neither_alters_what_the_other_reads_through_links() {
    let Some(machine) = Machine::new() else { return };
    let [first, second] = machine.both();
    for link in ["hardlink", "symlink", "view"] {
        machine.get(first, "1", link, link);
        machine.get(second, "1", link, link);
        for command in [
            format!("echo changed > {link}/labels.csv"),
            format!("echo more >> {link}/labels.csv"),
            format!("truncate -s 0 {link}/big.bin"),
            format!("echo 1 > {link}/images/../run.sh"),
        ] {
            // A hardlink that became a copy is the job's own.
            let is_copy = |user: &User| fs::metadata(user.home(link).join("big.bin")).unwrap().nlink() == 1;
            for user in machine.both() {
                let may = link == "hardlink" && is_copy(user);
                assert_eq!(machine.users.can(user, &command), may, "{}: {command}", user.home("").display());
            }
        }
        // What comes away is a job's own names.
        assert_eq!(machine.users.can(second, &format!("rm -f {link}/labels.csv")), link != "view", "{link}");
        assert_eq!(contents_read(&first.home(link)), contents_read(&machine.data), "{link}");
    }
    // A view is one tree: neither its files nor its folders can be moved or removed, by either.
    for user in machine.both() {
        for command in [
            "rm -f view/run.sh",
            "mv view/run.sh view/walk.sh",
            "rm -rf view/images/",
            "touch view/new",
            "rmdir view/nothing",
        ] {
            assert!(!machine.users.can(user, command), "{command}");
        }
    }
    assert_eq!(contents_read(&second.home("view")), contents_read(&machine.data));
    machine.done(second, &["cache", "verify"]);
}

#[test]
fn hardlinks_of_another_users_files_become_copies_and_are_said() {
    let Some(machine) = Machine::new() else { return };
    if fs::read_to_string("/proc/sys/fs/protected_hardlinks").unwrap().trim() != "1" {
        return;
    }
    let [first, second] = machine.both();
    let own = machine.get(first, "1", "own", "hardlink");
    assert!(own["links"]["hardlinks"].as_u64().unwrap() >= 5 && own["links"]["copies"] == 1, "one is empty: {own}");
    let arguments = ["get", &machine.version("1"), "other", "--link", "hardlink", "--cache", &machine.cache];
    let said = machine.users.run(second, &arguments).exits(0);
    let all = format!("{}{}", said.stdout, said.stderr);
    assert!(all.contains("copied instead of linked: another user cached them"), "{all}");
    assert_eq!(contents_read(&second.home("other")), contents_read(&machine.data));
}

#[test]
fn a_lease_that_another_user_cannot_see_holds() {
    let Some(machine) = Machine::new() else { return };
    let [first, second] = machine.both();
    for link in ["symlink", "view"] {
        machine.get(first, "1", link, link);
        // The home of the first is closed to the second.
        machine.done(second, &["cache", "prune", "--to", "0"]);
        assert_eq!(contents_read(&first.home(link)), contents_read(&machine.data), "{link}");
        assert!(machine.users.can(first, &format!("rm -r {link}")));
        // Seen by whom it belongs to.
        machine.done(first, &["cache", "list"]);
        let removed = machine.done(second, &["cache", "prune", "--to", "0"]);
        assert!(removed["files"].as_u64().unwrap() + removed["views"].as_u64().unwrap() > 0, "{link}: {removed}");
        machine.done(first, &["cache", "prune", "--to", "0"]);
        assert_eq!(machine.done(second, &["cache", "info"])["caches"][0]["bytes"], 0);
    }
}

#[test]
fn a_view_that_another_user_puts_aside_is_taken_down_by_its_maker() {
    let Some(machine) = Machine::new() else { return };
    let [first, second] = machine.both();
    machine.get(first, "1", "view", "view");
    assert!(machine.users.can(first, "rm view"));
    machine.done(first, &["cache", "list"]);
    assert_eq!(machine.done(second, &["cache", "prune", "--to", "0"])["views"], 1);
    let trees = || machine.cached("views").len();
    assert!(trees() > 0, "its folders are the first's");
    // It is out of use: the second makes another, of links to files that are the first's.
    machine.get(second, "1", "view", "view");
    assert_eq!(contents_read(&second.home("view")), contents_read(&machine.data));
    let both = trees();
    machine.done(first, &["cache", "info"]);
    assert!(trees() < both, "the maker's next command takes the old one down");
    assert_eq!(contents_read(&second.home("view")), contents_read(&machine.data));
    assert!(machine.users.can(second, "rm view"));
    machine.done(second, &["cache", "prune", "--to", "0"]);
    assert_eq!(machine.cached("views"), Vec::<PathBuf>::new());
    assert_eq!(machine.done(second, &["cache", "info"])["caches"][0]["bytes"], 0);
}

#[test]
fn a_cache_that_may_only_be_read_serves_what_it_has() {
    let Some(machine) = Machine::new() else { return };
    let [first, second] = machine.both();
    machine.done(first, &["warm", &machine.version("1")]);
    let modes = |folders: &str, files: &str| {
        let command = format!(
            "find {0} -type d -exec chmod {folders} {{}} +; chmod {files} {0}/locks/* {0}/usage",
            machine.cache
        );
        assert!(machine.users.can(first, &command));
    };
    modes("0755", "0644");
    let before = machine.cached("");
    let warm = machine.done(second, &["warm", &machine.version("1")]);
    assert!(warm["received_bytes"].as_u64().unwrap() < 100_000, "content comes from the cache: {warm}");
    let own = second.home(".cache/dagset/files");
    assert_eq!(warm["versions"][0]["cache"], own.to_str().unwrap());
    for link in ["copy", "hardlink", "symlink", "view"] {
        machine.get(second, "2", link, link);
        assert_eq!(contents_read(&second.home(link)), contents_read(&machine.users.env.path("later")), "{link}");
    }
    assert_eq!(machine.cached(""), before);
    modes("2770", "0660");
}

/// The first has warmed, and the second's view has symlinks to those files, which it may not link; `None` where the kernel lets it.
fn with_a_view_of_the_others_files() -> Option<Machine> {
    let machine = Machine::new()?;
    if fs::read_to_string("/proc/sys/fs/protected_hardlinks").unwrap().trim() != "1" {
        left_out("fs.protected_hardlinks is off, so others' files can be linked");
        return None;
    }
    let [first, second] = machine.both();
    machine.done(first, &["warm", &machine.version("1")]);
    machine.get(second, "1", "view", "view");
    Some(machine)
}

#[test]
fn what_its_owner_changed_behind_a_view_is_handed_to_nobody() {
    let Some(machine) = with_a_view_of_the_others_files() else { return };
    let [first, second] = machine.both();
    for (at, (path, change)) in [
        ("labels.csv", "chmod u+w F && echo changed >> F"),
        ("images/a.png", "chmod u+w F && echo changed >> F && touch -d @1000000000 F && chmod 444 F"),
        ("big.bin", "rm -f F"),
        ("run.sh", "chmod u+w F"),
    ]
    .into_iter()
    .enumerate()
    {
        let cached = fs::canonicalize(second.home("view").join(path)).unwrap();
        assert_eq!(fs::metadata(&cached).unwrap().uid(), first.number, "{path} is the first's");
        assert!(machine.users.can(first, &change.replace('F', &format!("'{}'", cached.display()))), "{change}");
        // Each is the first to look.
        if at % 2 == 0 {
            let job = format!("job-{at}");
            machine.get(second, "1", &job, "view");
            assert_eq!(contents_read(&second.home(&job)), contents_read(&machine.data), "{change}");
        } else {
            let (version, read) = (machine.version("1"), format!("{{}}/{path}"));
            let arguments = ["run", &version, "--cache", &machine.cache, "--", "sha256sum", &read];
            let said = machine.users.run(second, &arguments).exits(0);
            let right = std::process::Command::new("sha256sum").arg(machine.data.join(path)).output().unwrap().stdout;
            assert_eq!(said.stdout.as_bytes()[..64], right[..64], "{change}");
        }
        assert_eq!(contents_read(&second.home("view")), contents_read(&machine.data), "{change}: who had it before");
    }
}

#[test]
fn a_view_is_right_by_whatever_path_the_cache_is_seen() {
    let Some(mut machine) = with_a_view_of_the_others_files() else { return };
    let moved = Path::new(&machine.cache).parent().unwrap().with_file_name("elsewhere");
    fs::rename(Path::new(&machine.cache).parent().unwrap(), &moved).unwrap();
    machine.cache = moved.join("cache").to_str().unwrap().to_owned();
    let second = &machine.users.both[1];
    let arguments = ["get", &machine.version("1"), "job", "--link", "view", "--cache", &machine.cache];
    let said = machine.users.run(second, &arguments).exits(0);
    assert!(!said.stderr.contains("made anew"), "{}", said.stderr);
    assert_eq!(contents_read(&second.home("job")), contents_read(&machine.data));
    assert!(fs::read_link(second.home("job/labels.csv")).unwrap().is_relative());
}

#[test]
fn an_edit_by_the_owner_is_put_aside_by_the_other() {
    let Some(machine) = Machine::new() else { return };
    let [first, second] = machine.both();
    machine.get(first, "1", "data", "hardlink");
    assert!(machine.users.can(first, "chmod u+w data/labels.csv && echo changed > data/labels.csv"));
    let all = ["get", &machine.version("1"), "data", "--link", "symlink", "--cache", &machine.cache];
    let said = machine.users.run(second, &all).exits(0);
    assert!(said.stderr.contains("was changed since it was cached: moved to"), "{}", said.stderr);
    assert_eq!(contents_read(&second.home("data")), contents_read(&machine.data));
    machine.done(first, &["cache", "verify"]);
}
