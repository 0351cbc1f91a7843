//! `lock`, and what reads by it: exact versions, whatever the branches do.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use dagset::base::Observer;
use dagset::base::lock::FileLock;
use serde_json::json;

use crate::env::{Outcome, TestEnv};

fn ingest(env: &TestEnv, set: &str, content: &str, name: &str) {
    env.write("data/a", content);
    let into = format!("./project/store/{set}");
    let _ = env.run(["ingest", "data", "--into", &into, "--create", "--as", name, "--tag", "latest"]).exits(0);
}

fn run(env: &TestEnv, arguments: &[&str]) -> Outcome {
    env.run_with("project", arguments, b"")
}

/// A project with a store in it, two datasets, and pins of both.
fn project() -> TestEnv {
    let env = TestEnv::new();
    fs::create_dir(env.path("project")).unwrap();
    ingest(&env, "signs", "one", "1.0");
    ingest(&env, "vision/maps", "map", "1.0");
    let _ = run(&env, &["lock", "./store/signs", "./store//vision/maps@latest"]).exits(0);
    env
}

fn content(env: &TestEnv, path: &str) -> String {
    fs::read_to_string(env.path("project").join(path)).unwrap()
}

#[test]
fn pins_stay_until_they_are_updated() {
    let env = project();
    let before = content(&env, "dagset.lock");
    assert!(before.contains("store = \"./store\"\n") && before.contains("ref = \"latest\"\n"), "{before}");
    let _ = run(&env, &["lock", "./store/signs"]).exits(0);
    assert_eq!(content(&env, "dagset.lock"), before, "the same pins are the same bytes");
    assert_eq!(run(&env, &["lock", "--check", "--json"]).json()["moved"], json!(false));

    ingest(&env, "signs", "two", "2.0");
    let checked = run(&env, &["lock", "--check", "--json"]).exits(4).document();
    let signs = &checked["pins"][0];
    assert_eq!(
        (&signs["pin"], &signs["moved"], &checked["pins"][1]["moved"]),
        (&json!("signs"), &json!(true), &json!(false))
    );
    assert_eq!((&signs["from"]["name"], &signs["to"]["name"]), (&json!("1.0"), &json!("2.0")));
    let said = run(&env, &["lock", "--check"]).exits(4).stdout;
    assert!(said.contains("signs has moved: main is no longer 1.0 ") && said.contains(", but 2.0 "), "{said}");
    assert_eq!(content(&env, "dagset.lock"), before, "a check writes nothing");

    let got = run(&env, &["get", "--locked", "--json"]).json();
    assert_eq!(got["datasets"][1]["files"], json!(1), "each counted by itself: {got}");
    assert_eq!((content(&env, "signs/a"), content(&env, "vision/maps/a")), ("one".into(), "map".into()));
    let _ = run(&env, &["lock", "--update", "vision/maps"]).exits(0);
    assert_eq!(content(&env, "dagset.lock"), before);
    let _ = run(&env, &["lock", "--update"]).exits(0);
    let _ = run(&env, &["lock", "--check"]).exits(0);
    let _ = run(&env, &["get", "--locked", "signs", "./out"]).exits(0);
    assert_eq!(content(&env, "out/a"), "two");
}

#[test]
fn warm_and_run_read_by_the_lock() {
    let env = project();
    ingest(&env, "signs", "two", "2.0");
    let said = run(&env, &["run", "--locked", "signs", "--", "/bin/cat", "{}/a"]).exits(0);
    assert_eq!(said.stdout, "one");
    let said = run(&env, &["run", "--locked=dagset.lock", "--run", "r", "--", "/bin/cat", "{1}/a", "{2}/a"]).exits(0);
    assert_eq!(said.stdout, "onemap", "all, in the order of their names");
    let warmed = run(&env, &["warm", "--locked", "--json"]).json();
    assert_eq!((warmed["versions"].as_array().unwrap().len(), &warmed["complete"]), (2, &json!(true)));
    let uses = run(&env, &["uses", "--run", "r", "./store", "--json"]).json();
    assert_eq!(uses["uses"].as_array().unwrap().len(), 2);
}

#[test]
fn a_project_can_be_moved_with_its_store() {
    let env = project();
    fs::rename(env.path("project"), env.path("elsewhere")).unwrap();
    let _ = env.run_with("elsewhere", ["get", "--locked", "signs"], b"").exits(0);
    let _ = env.run(["get", "--locked=elsewhere/dagset.lock", "signs", "./out"]).exits(0);
    assert_eq!(fs::read_to_string(env.path("out/a")).unwrap(), "one");
}

#[test]
fn names_like_the_pinned_id_change_nothing() {
    let env = project();
    ingest(&env, "signs", "two", "2.0");
    let pinned = run(&env, &["show", "./store/signs@1.0", "--json"]).json()["version"].as_str().unwrap().to_owned();
    let _ = run(&env, &["tag", "./store/signs@2.0", &pinned]).exits(0);
    let _ = run(&env, &["get", "--locked", "signs", "./out"]).exits(0);
    assert_eq!(content(&env, "out/a"), "one");
}

#[test]
fn what_a_lock_cannot_mean_is_said() {
    let env = project();
    let text = content(&env, "dagset.lock");
    let fails = |text: &str, code: i32, why: &str| {
        fs::write(env.path("project/dagset.lock"), text).unwrap();
        let said = run(&env, &["get", "--locked", "signs", "./out"]).exits(code).stderr;
        assert!(said.contains(why) && said.contains("hint:"), "{why}: {said}");
        assert!(!env.path("project/out").exists());
    };
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    let zeros = "0".repeat(64);
    fails(&text.replace(&line("version"), &format!("version = \"{zeros}\"")), 3, "dagset lock --update");
    fails(&text.replace(&line("manifest"), &format!("manifest = \"{zeros}\"")), 4, "another manifest");
    fails(&text.replace("ref = ", "reef = "), 2, "reef");
    fails(&text.replace("format = 1", "format = 9"), 1, "newer dagset");
    fails(&text.replace("[dataset.signs]", "[dataset.sign]"), 3, "pins no signs");
    fs::remove_file(env.path("project/dagset.lock")).unwrap();
    let said = run(&env, &["lock", "--check"]).exits(3).stderr;
    assert!(said.contains("dagset lock ADDRESS"), "{said}");
    let _ = run(&env, &["lock"]).exits(2);
    let said = run(&env, &["lock", "./store/signs@1.0", "./store/signs"]).exits(2).stderr;
    assert!(said.contains("--name"), "{said}");
    let _ = run(&env, &["lock", "./store/signs@1.0", "--name", "old"]).exits(0);
    let _ = run(&env, &["lock", "./store/signs@9"]).exits(3);
    let _ = run(&env, &["get", "--locked", "old"]).exits(0);
    assert_eq!(content(&env, "old/a"), "one");
}

#[test]
fn a_manifest_that_is_not_the_version_s_is_found_by_a_check_and_put_right_by_an_update() {
    let env = project();
    let before = content(&env, "dagset.lock");
    let line = before.lines().find(|line| line.starts_with("manifest")).unwrap();
    let other = format!("manifest = \"{}\"", "0".repeat(64));
    env.write("project/dagset.lock", before.replacen(line, &other, 1));
    let checked = run(&env, &["lock", "--check", "--json"]).exits(4).document();
    assert_eq!((&checked["pins"][0]["moved"], &checked["pins"][1]["moved"]), (&json!(true), &json!(false)));
    let said = run(&env, &["lock", "--update"]).text();
    assert!(said.contains("signs has another manifest") && said.contains("the file said 000000000000"), "{said}");
    assert_eq!(content(&env, "dagset.lock"), before);
}

#[test]
fn a_get_of_all_pins_writes_nothing_unless_all_can_be_got_and_passes_over_what_is_there() {
    let env = project();
    env.write("project/vision/maps/mine", "x");
    let refused = run(&env, &["get", "--locked"]).exits(4);
    assert!(refused.stderr.contains("vision/maps isn't empty"), "{}", refused.stderr);
    assert!(!env.path("project/signs").exists(), "the pin before it was not written either");
    fs::remove_dir_all(env.path("project/vision")).unwrap();
    let _ = run(&env, &["get", "--locked", "signs"]).exits(0);
    let before = fs::metadata(env.path("project/signs/a")).unwrap().modified().unwrap();
    let both = run(&env, &["get", "--locked", "--json"]).json();
    assert_eq!((&both["datasets"][0]["files"], content(&env, "vision/maps/a").as_str()), (&json!(1), "map"));
    assert_eq!(fs::metadata(env.path("project/signs/a")).unwrap().modified().unwrap(), before);
    env.write("project/signs/a", "two");
    let _ = run(&env, &["get", "--locked", "signs"]).exits(4);
}

#[test]
fn a_path_that_the_version_lacks_is_not_pinned() {
    let env = project();
    let before = content(&env, "dagset.lock");
    let refused = run(&env, &["lock", "./store/signs:none/"]).exits(3);
    assert!(refused.stderr.contains("signs has no none in this version"), "{}", refused.stderr);
    assert_eq!(content(&env, "dagset.lock"), before);
    let _ = run(&env, &["lock", "./store/signs:a"]).exits(0);
    assert!(content(&env, "dagset.lock").contains("path = \"a\"\n"));
    fs::remove_file(env.path("data/a")).unwrap();
    env.write("data/b", "b");
    let _ = env.run(["ingest", "data", "--into", "./project/store/signs", "--as", "2.0"]).exits(0);
    let gone = run(&env, &["lock", "--update", "signs"]).exits(3);
    assert!(gone.stderr.contains("the pin signs can't be followed"), "{}", gone.stderr);
}

#[test]
fn a_lock_file_behind_a_link_is_written_where_it_is() {
    let env = project();
    fs::create_dir(env.path("jobs")).unwrap();
    let link = env.path("jobs/dagset.lock");
    std::os::unix::fs::symlink("../project/dagset.lock", &link).unwrap();
    ingest(&env, "signs", "two", "2.0");
    let job = |arguments: &[&str]| env.run_with("jobs", arguments, b"");
    let _ = job(&["lock", "--check"]).exits(4);
    let _ = job(&["lock", "--update"]).exits(0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "the link stays");
    let _ = run(&env, &["lock", "--check"]).exits(0);
    assert!(content(&env, "dagset.lock").contains("store = \"./store\"\n"), "named from where the file is");
    let _ = job(&["get", "--locked", "signs"]).exits(0);
    assert_eq!(fs::read_to_string(env.path("jobs/signs/a")).unwrap(), "two");
    let elsewhere = env.path("jobs/other.lock");
    let _ = run(&env, &["lock", "./store/signs@1.0", "--file", elsewhere.to_str().unwrap()]).exits(0);
    let _ = job(&["lock", "--check", "--file", "other.lock"]).exits(0);
    std::os::unix::fs::symlink("new.lock", env.path("jobs/to-new.lock")).unwrap();
    let _ = job(&["lock", "../project/store/signs", "--file", "to-new.lock"]).exits(0);
    assert!(env.path("jobs/new.lock").is_file(), "where a link leads, there or not");
    std::os::unix::fs::symlink("round.lock", env.path("jobs/round.lock")).unwrap();
    let _ = job(&["lock", "../project/store/signs", "--file", "round.lock"]).exits(2);
}

#[test]
fn a_pin_follows_its_dataset_when_that_is_renamed_and_one_that_fails_hides_no_other() {
    let env = project();
    let _ = run(&env, &["dataset", "rename", "./store/signs", "signals"]).exits(0);
    let got = run(&env, &["get", "--locked", "signs", "./out"]).exits(0);
    assert_eq!(content(&env, "out/a"), "one");
    assert!(got.stderr.contains("warning: signs is called signals by now; `dagset lock --update`"), "{}", got.stderr);
    let checked = run(&env, &["lock", "--check", "--json"]).exits(4).document();
    assert_eq!(
        (&checked["pins"][0]["renamed_from"], &checked["pins"][0]["dataset"]),
        (&json!("signs"), &json!("signals"))
    );
    let _ = run(&env, &["dataset", "delete", "./store//vision/maps", "--yes"]).exits(0);
    let said = run(&env, &["lock", "--check"]).exits(3);
    assert!(said.stdout.contains("signs is called signals by now"), "{}", said.stdout);
    assert!(said.stderr.contains("the pin vision/maps can't be followed"), "{}", said.stderr);
    let checked = run(&env, &["lock", "--check", "--json"]).exits(3).document();
    assert_eq!((&checked["pins"][0]["pin"], &checked["failed"][0]["pin"]), (&json!("signs"), &json!("vision/maps")));
    let said = run(&env, &["lock", "--update", "signs"]).exits(0).stdout;
    assert!(said.contains("signs is called signals by now"), "{said}");
    assert!(content(&env, "dagset.lock").contains("dataset = \"signals\"\n"));
    let _ = run(&env, &["lock", "--check", "signs"]).exits(0);
}

#[test]
fn a_store_is_named_from_the_lock_file_wherever_it_lies() {
    let env = project();
    fs::create_dir_all(env.path("project/jobs/a")).unwrap();
    std::os::unix::fs::symlink("project/jobs", env.path("link")).unwrap();
    let store = env.path("project/store/signs");
    let store = store.to_str().unwrap();
    let round = store.replace("/project/", "/project/jobs/../");
    for (folder, address, named) in [
        ("project", store, "./store"),
        ("project", &*round, "./store"),
        ("project", "../project/store/signs", "./store"),
        ("project/jobs/a", "../../store/signs", "../../store"),
        ("project/jobs", store, "../store"),
        ("link/a", store, "../../store"),
        ("link", "../store/signs", "../store"),
    ] {
        let _ = env.run_with(folder, ["lock", address, "--file", "x.lock"], b"").exits(0);
        let file = env.path(folder).join("x.lock");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!("store = \"{named}\"\n")), "{folder} {address}: {text}");
        let _ = env.run(["lock", "--check", "--file", file.to_str().unwrap()]).exits(0);
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn pins_that_are_written_at_once_are_all_kept_and_nothing_is_left_beside_them() {
    let env = project();
    let before = fs::read_dir(env.path("project")).unwrap().count();
    let lock = |number: u32| {
        let name = format!("p{number}");
        let mut command = env.command();
        command.current_dir(env.path("project")).args(["lock", "./store/signs@1.0", "--name", &name]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let running: Vec<_> = (0..8).map(lock).collect();
    assert!(running.into_iter().all(|mut child| child.wait().unwrap().success()));
    let text = content(&env, "dagset.lock");
    assert_eq!(text.matches("[dataset.").count(), 2 + 8, "{text}");
    assert_eq!(fs::read_dir(env.path("project")).unwrap().count(), before);
}

#[test]
fn who_writes_in_the_same_folder_is_waited_for() {
    let env = project();
    let held = FileLock::of_folder(&env.path("project"), Duration::ZERO, &Observer::new()).unwrap().unwrap();
    let mut command = env.command();
    command.current_dir(env.path("project")).args(["lock", "./store/signs@1.0", "--name", "late"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains(&format!("waiting for process {} ", std::process::id())), "{said}");
    let _ = run(&env, &["lock", "--check"]).exits(0);
    assert!(!content(&env, "dagset.lock").contains("[dataset.late]"));
    drop(held);
    assert!(child.wait().unwrap().success());
    assert!(content(&env, "dagset.lock").contains("[dataset.late]"));
}

#[test]
fn a_pin_whose_content_was_let_go_is_found_by_a_check_and_not_pinned() {
    let env = project();
    ingest(&env, "signs", "two", "2.0");
    let _ = run(&env, &["lock", "./store/signs@1.0", "--name", "old"]).exits(0);
    let _ = run(&env, &["meta", "set", "./store/signs", "keep.last=1"]).exits(0);
    for _ in 0..2 {
        let _ = run(&env, &["gc", "./store", "--grace", "0s"]).exits(0);
    }
    let _ = run(&env, &["get", "--locked", "old"]).exits(3);
    let before = content(&env, "dagset.lock");
    for arguments in [&["lock", "--check", "old"][..], &["lock", "--update", "old"], &["lock", "./store/signs@1.0"]] {
        let said = run(&env, arguments).exits(3);
        assert!(said.stderr.contains("keep rules let it go") && !said.stdout.contains("up to date"), "{}", said.text());
    }
    let checked = run(&env, &["lock", "--check", "--json"]).exits(3).document();
    let failed: Vec<_> = checked["failed"].as_array().unwrap().iter().map(|it| &it["pin"]).collect();
    assert_eq!(failed, ["old", "signs"], "that of main too, which is at 2.0 by now");
    let said = run(&env, &["lock", "--check", "signs"]).exits(3).stderr;
    assert!(said.contains("`dagset lock --update signs` pins"), "{said}");
    assert_eq!(content(&env, "dagset.lock"), before);
    let _ = run(&env, &["lock", "--update", "signs"]).exits(0);
    let _ = run(&env, &["lock", "--check", "signs"]).exits(0);
}

#[test]
fn a_pin_of_what_was_purged_is_told_and_is_not_up_to_date_to_a_script() {
    let env = project();
    let _ = run(&env, &["lock", "./store/signs:a", "--name", "one"]).exits(0);
    let _ = run(&env, &["purge", "./store/signs@1.0", "a", "--reason", "withdrawn", "--yes"]).exits(0);
    let said = run(&env, &["lock", "--check", "one"]).exits(8).stderr;
    assert!(said.contains("withdrawn"), "{said}");
    let checked = run(&env, &["lock", "--check", "--json"]).exits(8).document();
    let purged = |at: usize| checked["pins"][at]["purged"].as_array().unwrap().len();
    assert_eq!([purged(0), purged(1), purged(2)], [1, 1, 0], "{checked}");
    let _ = run(&env, &["get", "--locked", "one"]).exits(8);
}

#[test]
fn a_pin_does_not_go_over_to_a_stranger_of_its_dataset_s_name() {
    let env = project();
    let _ = run(&env, &["dataset", "rename", "./store/signs", "older"]).exits(0);
    ingest(&env, "signs", "stranger", "w1");
    let before = content(&env, "dagset.lock");
    for arguments in [["lock", "--check", "signs"], ["lock", "--update", "signs"]] {
        let said = run(&env, &arguments).exits(4);
        let told = "signs is another dataset by now, without the version 1.0, which older has";
        assert!(said.stderr.contains(told) && said.stderr.contains("//older --name signs`"), "{}", said.stderr);
        assert!(!said.stdout.contains("w1"), "{}", said.stdout);
    }
    assert_eq!(content(&env, "dagset.lock"), before);
    let _ = run(&env, &["get", "--locked", "signs", "./out"]).exits(0);
    assert_eq!(content(&env, "out/a"), "one");
    let _ = run(&env, &["lock", "./store//older", "--name", "signs"]).exits(0);
    let _ = run(&env, &["lock", "--check"]).exits(0);

    let _ = run(&env, &["dataset", "delete", "./store//vision/maps", "--yes"]).exits(0);
    ingest(&env, "vision/maps", "stranger", "w1");
    let said = run(&env, &["lock", "--update", "vision/maps"]).exits(3).stderr;
    assert!(said.contains("was one of the dataset vision/maps") && said.contains("dagset undo"), "{said}");
}

#[test]
fn pins_whose_folders_would_lie_in_each_other_are_refused() {
    let env = project();
    let before = content(&env, "dagset.lock");
    for name in ["signs/x", "vision"] {
        let said = run(&env, &["lock", "./store/signs", "--name", name]).exits(2).stderr;
        assert!(said.contains("--name NAME") && said.contains(name), "{said}");
    }
    assert_eq!(content(&env, "dagset.lock"), before);
    let _ = run(&env, &["lock", "./store/signs", "--name", "signs-x"]).exits(0);
    for _ in 0..2 {
        let _ = run(&env, &["get", "--locked"]).exits(0);
    }
}

#[test]
fn a_folder_that_reads_as_the_name_of_a_pin_is_told_how_to_write() {
    let env = project();
    let said = run(&env, &["get", "--locked", "signs", "g9"]).exits(3).stderr;
    assert!(said.contains("pins no g9") && said.contains("./g9"), "{said}");
    let said = run(&env, &["get", "--locked", "none", "g9"]).exits(3).stderr;
    assert!(!said.contains("./g9"), "{said}");
}
