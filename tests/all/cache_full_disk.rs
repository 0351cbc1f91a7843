//! A cache on a disk that is full, or nearly: nothing goes from it for what wouldn't fit all the same, and what it has can be used.

use std::path::Path;

use serde_json::{Value, json};

use crate::cache_bounds::staged;
use crate::env::{TestEnv, everything_below};
use crate::full_disk::SmallDisk;
use crate::stage::contents_read;

/// Of each version, on the disk.
const VERSION: u64 = 20 * 40_960;

/// The store of [`staged`], and a cache on a disk of 8 MiB with versions `1` and `2` in it; a tenth of the disk stays free.
fn on_small_disk(test: &str) -> Option<(TestEnv, SmallDisk)> {
    let disk = SmallDisk::mount(test)?;
    disk.resize("8m");
    let mut env = staged();
    let cache = disk.path().join("cache").to_str().unwrap().to_owned();
    let _ = env.run(["cache", "init", &cache, "--max", "1G", "--keep-free", "10"]).exits(0);
    env.set("DAGSET_CACHE", &cache);
    let _ = env.run(["warm", "./store/set@1", "./store/set@2"]).exits(0);
    Some((env, disk))
}

fn cached_bytes(env: &TestEnv) -> Value {
    env.run(["cache", "info", "--json"]).json()["caches"][0]["bytes"].clone()
}

fn get(env: &TestEnv, version: u64, folder: &Path) -> (Value, String) {
    let folder = folder.to_str().unwrap();
    let said = env.run(["get", &format!("./store/set@{version}"), folder, "--link", "copy", "--json"]).exits(0);
    assert_eq!(contents_read(Path::new(folder)), contents_read(&env.path(&format!("v{version}"))));
    (said.document(), said.stderr)
}

#[test]
fn what_would_not_fit_beside_the_cache_takes_nothing_out_of_it() {
    let Some((env, disk)) = on_small_disk("a get beside a cache on a full disk") else { return };
    let _ = env.run(["cache", "pin", "./store/set@1"]).exits(0);
    disk.leave_free(VERSION * 3 / 2);
    let (got, said) = get(&env, 3, &disk.path().join("job"));
    let why = "what the cache lacks comes straight from the store: 819.2 kB are missing and don't fit into the cache";
    assert!(said.contains(why) && said.contains("819.2 kB go beside it"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!((&got["made_room"]["files"], cached_bytes(&env)), (&json!(0), json!(VERSION * 2)));
    // What it has is used all the same, and it doesn't matter that it can take no more.
    let (_, said) = get(&env, 2, &env.path("elsewhere"));
    assert_eq!(said, "");
}

#[test]
fn as_much_goes_as_is_needed_and_that_is_said() {
    let Some((env, disk)) = on_small_disk("a get that makes room in a cache") else { return };
    // A tenth of the disk stays free: that is two of the twenty files too little.
    disk.leave_free((8 << 20) / 10 + VERSION - 2 * 40_960);
    let (got, said) = get(&env, 3, &env.path("elsewhere"));
    let made_room = &got["made_room"];
    assert!((2..=5).contains(&made_room["files"].as_u64().unwrap()), "{made_room}");
    assert!(said.contains("used longest ago, went from the cache") && said.contains("to make room"), "{said}");
    assert_eq!(cached_bytes(&env), json!(VERSION * 3 - made_room["bytes"].as_u64().unwrap()));
    let report = env.run(["warm", "./store/set@4", "--json"]).json();
    assert!(report["versions"][0]["made_room"]["files"].as_u64().unwrap() < 30, "{report}");
}

#[test]
fn copies_beside_the_cache_get_room_from_it() {
    let Some((env, disk)) = on_small_disk("a get of copies that makes room in a cache") else { return };
    let floor = (8 << 20) / 10;
    // What comes into the cache fits, and so do half of the copies.
    disk.leave_free(floor + VERSION * 3 / 2);
    let (got, said) = get(&env, 3, &disk.path().join("job"));
    assert!(said.contains("to make room") && !said.contains("straight from the store"), "{said}");
    assert!((10..=13).contains(&got["made_room"]["files"].as_u64().unwrap()), "{got}");
    let free = |disk: &SmallDisk| rustix::fs::statvfs(disk.path()).map(|disk| disk.f_bavail * disk.f_frsize).unwrap();
    assert!(free(&disk) >= floor, "{}", free(&disk));
    // All is cached: only the copies need room, and nothing of the version goes.
    let _ = env.run(["warm", "./store/set@3", "--check"]).exits(0);
    disk.leave_free(floor + VERSION / 2);
    let (got, said) = get(&env, 3, &disk.path().join("job-2"));
    assert!(got["made_room"]["files"].as_u64().unwrap() >= 10, "{got} {said}");
    let _ = env.run(["warm", "./store/set@3", "--check"]).exits(0);
    assert!(free(&disk) >= floor, "{}", free(&disk));
}

#[test]
fn a_full_disk_gets_room_from_the_cache_for_what_holds_a_version() {
    for (test, command) in [
        ("a warm-up on a full disk", &["warm", "./store/set@3"][..]),
        ("a run on a full disk", &["run", "./store/set@2", "--", "true"]),
        ("a view on a full disk", &["get", "./store/set@2", "job", "--link", "view"]),
        ("symlinks on a full disk", &["get", "./store/set@2", "job", "--link", "symlink"]),
    ] {
        let Some((env, disk)) = on_small_disk(test) else { return };
        let cache = disk.path().join("cache").to_str().unwrap().to_owned();
        let _ = env.run(["cache", "init", &cache, "--keep-free", "0"]).exits(0);
        disk.leave_free(0);
        let before = cached_bytes(&env);
        let said = env.run(command).exits(0).stderr;
        let went = env.run(["warm", "./store/set@1", "./store/set@2", "--check"]).code != Some(0);
        assert_eq!(said.contains("to make room"), went, "{test}: {before} {said}");
        let version = if command[0] == "warm" { "./store/set@3" } else { "./store/set@2" };
        let _ = env.run(["warm", version, "--check"]).exits(0);
    }
}

#[test]
fn a_warm_up_of_what_is_there_needs_no_room() {
    let Some((env, disk)) = on_small_disk("a warm-up on a full disk") else { return };
    disk.leave_free(0);
    for arguments in [&["warm", "./store/set@1", "./store/set@2"][..], &["warm", "./store/set@2", "--check"]] {
        let _ = env.run(arguments).exits(0);
    }
    assert_eq!(cached_bytes(&env), json!(VERSION * 2));
    let _ = env.run(["cache", "verify"]).exits(0);
    let _ = get(&env, 1, &env.path("elsewhere"));
    let said = env.run(["warm", "./store/set@3"]).exits(1);
    assert!(said.stderr.contains("must stay so, and of the 1.6 MB in use 1.6 MB can be removed"), "{}", said.stderr);
    assert_eq!(everything_below(&disk.path().join("cache/holds")), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_view_that_cannot_be_held_is_given_to_nobody() {
    let Some((env, disk)) = on_small_disk("views on a disk that can hold no more leases") else { return };
    let _ = env.run(["cache", "pin", "./store/set@1"]).exits(0);
    let _ = env.run(["get", "./store/set@1", "job", "--link", "view"]).exits(0);
    let _ = env.run(["cache", "prune", "--to", "0"]).exits(0);
    let job = |number: usize| env.path(&format!("job-{number}"));
    // Each job takes one of the blocks that are kept for leases.
    let failed = (0..100).find(|number| {
        disk.leave_free(0);
        let job = job(*number);
        env.run(["get", "./store/set@1", job.to_str().unwrap(), "--link", "view"]).code != Some(0)
    });
    let failed = failed.expect("no room for so many");
    assert!(failed > 10 && job(failed - 1).is_symlink(), "{failed}");
    assert!(!job(failed).is_symlink(), "nothing would hold what it leads to");
}

#[test]
fn a_full_disk_that_has_just_the_version_can_be_read() {
    for (test, command) in [
        ("a run of all that a full disk has", &["run", "./store/set@1", "--", "true"][..]),
        ("a view of all that a full disk has", &["get", "./store/set@1", "job", "--link", "view"]),
        ("symlinks to all that a full disk has", &["get", "./store/set@1", "job", "--link", "symlink"]),
    ] {
        let Some(disk) = SmallDisk::mount(test) else { return };
        disk.resize("8m");
        let mut env = staged();
        let cache = disk.path().join("cache").to_str().unwrap().to_owned();
        let _ = env.run(["cache", "init", &cache, "--max", "1G", "--keep-free", "0"]).exits(0);
        env.set("DAGSET_CACHE", &cache);
        let _ = env.run(["warm", "./store/set@1"]).exits(0);
        // Others take at once what was given up.
        for _ in 0..5 {
            disk.leave_free(0);
            let _ = env.run(command).exits(0);
            std::fs::remove_file(env.path("job")).or_else(|_| std::fs::remove_dir_all(env.path("job"))).ok();
        }
        assert_eq!(cached_bytes(&env), json!(VERSION), "nothing of it went");
    }
}
