//! Who used what: recorded by `use`, `get`, `warm` and `run`, and asked for in both directions.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::env::{TestEnv, everything_below};

/// Two versions of one dataset and one of another.
fn three_sets() -> TestEnv {
    let env = TestEnv::new();
    for (set, name) in [("signs", "1.0"), ("signs", "2.0"), ("maps", "1.0")] {
        env.write("data/a", format!("{set} {name}"));
        let _ = env.run(["ingest", "data", "--into", &format!("./store/{set}"), "--create", "--as", name]).exits(0);
    }
    env
}

/// Run, model and version of each use.
fn told(answer: &Value) -> Vec<(&str, Option<&str>, String)> {
    let used = |used: &'_ Value| format!("{}@{}", used["dataset"].as_str().unwrap(), used["name"].as_str().unwrap());
    let uses = answer["uses"].as_array().unwrap();
    uses.iter().map(|it| (it["run"].as_str().unwrap(), it["model"].as_str(), used(it))).collect()
}

fn objects(env: &TestEnv) -> usize {
    let folder = env.path("store/uses");
    if folder.exists() { everything_below(&folder).iter().filter(|path| path.is_file()).count() } else { 0 }
}

#[test]
fn a_use_is_recorded_once_and_found_from_both_ends() {
    let env = three_sets();
    let first = env.run(["use", "./store/signs@1.0", "--run", "r1", "--meta", "lr=0.1", "--json"]).json();
    assert_eq!((&first["new"], &first["meta"]), (&json!(true), &json!({"lr": 0.1})));
    assert_eq!(first["provenance"]["tool"], json!(concat!("dagset ", env!("CARGO_PKG_VERSION"))));
    assert_eq!(first["actor"], json!(crate::env::AUTHOR));
    assert_eq!(first["requests"]["put"], json!(1), "one object: {first}");
    let again = env.run(["use", "./store/signs@1.0", "--run", "r1", "--meta", "lr=0.1", "--json"]).json();
    assert_eq!((&again["new"], objects(&env)), (&json!(false), 1));
    for (address, run) in [("signs@2.0", "r1"), ("maps@1.0", "r1"), ("signs@2.0", "r2")] {
        let _ = env.run(["use", &format!("./store/{address}"), "--run", run, "--model", "resnet"]).exits(0);
    }
    let uses = |more: &[&str]| env.run([&["uses", "--json"], more].concat()).json();
    assert_eq!(told(&uses(&["./store/signs@1.0"])), [("r1", None, "signs@1.0".into())]);
    let newest = uses(&["./store/signs"]);
    assert_eq!(told(&newest)[0], ("r2", Some("resnet"), "signs@2.0".into()), "newest first");
    assert_eq!(told(&newest).len(), 2, "without REF it is the branch main");
    assert_eq!(told(&uses(&["./store/signs", "--all"])).len(), 3);
    assert_eq!(told(&uses(&["--run", "r1", "./store/signs"])).len(), 2, "with a run: any version");
    assert_eq!(told(&uses(&["--run", "r1", "./store"])).len(), 3, "and any dataset");
    assert_eq!(told(&uses(&["--run", "r1", "./store/signs@1.0"])).len(), 1);
    assert_eq!(
        told(&uses(&["--model", "resnet", "--run", "r2", "./store"])),
        [("r2", Some("resnet"), "signs@2.0".into())]
    );
    assert_eq!(uses(&["--model", "vgg", "./store"])["uses"], json!([]));
    let nothing = |more: &[&str]| env.run([&["uses"], more].concat()).exits(0).stderr;
    assert_eq!(
        nothing(&["--model", "vgg", "./store"]),
        "no use for model vgg is recorded: `dagset uses ./store --all` lists all\n"
    );
    assert!(nothing(&["./store/maps@1.0", "--run", "r9"]).contains("`dagset uses ./store/maps@1.0 --all` lists"));
    assert_eq!(told(&uses(&["./store/signs@1.0", "--all"])).len(), 3, "of all versions, whichever is named");
    let bounded = uses(&["--model", "resnet", "./store", "-n", "1"]);
    assert_eq!((told(&bounded).len(), &bounded["left_out"]), (1, &json!(2)));
    let _ = env.run(["verify", "./store"]).exits(0);
}

#[test]
fn people_get_a_table() {
    let env = three_sets();
    let said = env.run(["use", "./store/signs@1.0:a", "--run", "train\u{1b}[31m-7", "--model", "resnet:3"]).text();
    assert!(
        said.starts_with("run train\\x1b[31m-7 used signs 1.0 ") && said.ends_with(", made model resnet:3\n"),
        "{said}"
    );
    let table = env.run(["uses", "./store/signs@1.0"]).text();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "RUN              MODEL     VERSION      TIME              BY");
    assert!(lines[1].starts_with("train\\x1b[31m-7  resnet:3  signs@1.0:a  20"), "{table}");
    assert!(lines[1].ends_with(crate::env::AUTHOR), "{table}");
    let told = "no uses of this version are recorded; --all asks for those of all versions\n";
    assert_eq!(env.run(["uses", "./store/maps"]).exits(0).stderr, told);
}

#[test]
fn get_warm_and_run_record_when_they_are_told_a_run() {
    let env = three_sets();
    let _ = env.run(["get", "./store/signs@1.0", "plain"]).exits(0);
    assert_eq!(objects(&env), 0, "nobody told them to");
    let _ = env.run(["get", "./store/signs@1.0", "copy", "--run", "r1"]).exits(0);
    let _ = env.run(["get", "./store/signs@1.0", "view", "--link", "view", "--run", "r2"]).exits(0);
    let _ = env.run(["warm", "./store/signs@1.0", "./store/maps@1.0", "--run", "r3"]).exits(0);
    let _ = env.run(["warm", "./store/signs@1.0", "--check", "--run", "r4"]).exits(0);
    let _ = env.run(["run", "./store/signs@1.0", "./store/signs@2.0", "--run", "r5", "--", "true"]).exits(0);
    let answer = env.run(["uses", "./store/signs@1.0", "--json"]).json();
    let mut runs: Vec<&str> = told(&answer).into_iter().map(|(run, ..)| run).collect();
    runs.sort_unstable();
    assert_eq!(runs, ["r1", "r2", "r3", "r5"], "a check uses nothing");
    assert_eq!(told(&env.run(["uses", "--run", "r5", "./store", "--json"]).json()).len(), 2);
}

#[test]
fn a_jobs_environment_names_the_run_unless_that_is_not_wanted() {
    let mut env = three_sets();
    env.set("SLURM_JOB_ID", "4711");
    env.set("SLURM_CLUSTER_NAME", "big");
    let _ = env.run(["get", "./store/signs@1.0", "copy"]).exits(0);
    let answer = env.run(["uses", "--run", "4711", "./store", "--json"]).json();
    assert_eq!(answer["uses"][0]["system"], json!("slurm:big"));
    let _ = env.run(["get", "./store/maps", "named", "--run", "mine"]).exits(0);
    assert_eq!(told(&env.run(["uses", "./store/maps", "--json"]).json()), [("mine", None, "maps@1.0".into())]);

    let _ = env.run(["config", "set", "record_uses", "maybe"]).exits(2);
    let _ = env.run(["config", "set", "record_uses", "false"]).exits(0);
    let _ = env.run(["get", "./store/signs@2.0", "quiet"]).exits(0);
    assert_eq!(objects(&env), 2);
    env.set("DAGSET_RECORD_USES", "1");
    let _ = env.run(["get", "./store/signs@2.0", "again"]).exits(0);
    assert_eq!(objects(&env), 3, "the variable is nearer");
    env.set("DAGSET_RECORD_USES", "0");
    let _ = env.run(["get", "./store/maps@1.0", "off"]).exits(0);
    assert_eq!(objects(&env), 3);
}

#[test]
fn a_read_only_store_fails_use_and_never_a_get() {
    let mut env = three_sets();
    crate::read_only::set_modes(&env.path("store"), 0o555);
    env.bind_by_permissions();
    let said = env.run(["use", "./store/signs", "--run", "r"]).exits(6);
    assert!(said.stderr.contains("permission denied") && said.stderr.contains("hint:"), "{}", said.stderr);
    let said = env.run(["get", "./store/signs", "asked", "--run", "r"]).exits(0);
    assert!(said.stderr.contains("what run r uses wasn't recorded"), "{}", said.stderr);
    env.set("WANDB_RUN_ID", "w");
    let said = env.run(["get", "./store/signs", "unasked"]).exits(0);
    assert!(!said.stderr.contains("recorded"), "nobody asked: {}", said.stderr);
    let said = env.run(["get", "./store/signs", "shown", "-v"]).exits(0);
    assert!(said.stderr.contains("what run w uses wasn't recorded"), "{}", said.stderr);
    crate::read_only::set_modes(&env.path("store"), 0o755);
}

#[test]
fn of_sixteen_processes_at_once_none_is_lost() {
    let env = three_sets();
    let start = |number: usize| {
        let mut command = env.command();
        // Two of each.
        command.args(["use", "./store/signs@1.0", "--run", &format!("r{}", number / 2)]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..16).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!((objects(&env), told(&env.run(["uses", "./store/signs@1.0", "--json"]).json()).len()), (8, 8));
}

#[test]
fn a_damaged_use_is_found_by_verify_and_by_who_reads_it() {
    let env = three_sets();
    let _ = env.run(["use", "./store/signs@1.0", "--run", "r"]).exits(0);
    let object = everything_below(&env.path("store/uses")).into_iter().find(|path| path.is_file()).unwrap();
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[40] ^= 1;
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, bytes).unwrap();
    let _ = env.run(["use", "./store/signs@1.0", "--run", "whole"]).exits(0);
    let said = env.run(["uses", "./store/signs@1.0"]).exits(5);
    assert!(said.stderr.contains("dagset verify") && said.stdout.contains("whole"), "{}{}", said.stdout, said.stderr);
    let said = env.run(["uses", "./store/signs@1.0", "--json"]).exits(5).document();
    assert_eq!((told(&said).len(), said["damaged"].as_array().unwrap().len()), (1, 1));
    let _ = env.run(["verify", "./store"]).exits(5);
}

#[test]
fn what_makes_no_sense_is_said() {
    let env = three_sets();
    let _ = env.run(["use", "./store/signs"]).exits(2);
    let _ = env.run(["use", "./store/signs", "--run", ""]).exits(2);
    let _ = env.run(["use", "./store/signs", "--run", &"x".repeat(1025)]).exits(2);
    let _ = env.run(["use", "./store/signs@9", "--run", "r"]).exits(3);
    let _ = env.run(["uses", "./store/none"]).exits(3);
    let _ = env.run(["uses", "./store/signs", "-n", "0"]).exits(2);
    let said = env.run(["uses", "./store"]).exits(2);
    assert!(said.stderr.contains("dataset"), "{}", said.stderr);
}

#[test]
fn a_push_sends_the_uses_that_are_recorded_here() {
    let env = TestEnv::new();
    env.write("w/a", "1");
    let run = |line: &str| env.run_with("w", line.split(' '), b"");
    run("init --dataset signs").text();
    run("commit -a --as 1.0").text();
    run("use 1.0 --run r1 --model resnet").text();
    env.run(["store", "create", "./shared"]).text();
    run("remote add origin ../shared//signs").text();
    assert_eq!(run("push --json").json()["uses"], json!(1));
    let shared = |run: &str| env.run(["uses", "./shared", "--run", run, "--json"]).json();
    assert_eq!(told(&shared("r1")), [("r1", Some("resnet"), "signs@1.0".into())]);
    assert!(run("push").text().contains("everything is there already"));
    run("use 1.0 --run r2").text();
    let sent = run("push").text();
    assert!(sent.contains("1 use recorded here") && !sent.contains("already"), "{sent}");
    assert_eq!(told(&shared("r2")), [("r2", None, "signs@1.0".into())]);
    env.run(["verify", "./shared"]).text();
}

#[test]
fn a_use_of_a_path_that_the_version_lacks_is_refused() {
    let env = three_sets();
    let refused = env.run(["use", "./store/signs@1.0:none", "--run", "r"]).exits(3);
    assert!(refused.stderr.contains("signs has no none in this version"), "{}", refused.stderr);
    assert_eq!(objects(&env), 0);
}

#[test]
fn uses_go_by_the_name_that_their_dataset_has_now() {
    let env = three_sets();
    let _ = env.run(["use", "./store/signs@1.0", "--run", "r1"]).exits(0);
    let _ = env.run(["dataset", "rename", "./store/signs", "road/signs"]).exits(0);
    let renamed = [("r1", None, "road/signs@1.0".to_owned())];
    assert_eq!(told(&env.run(["uses", "./store//road/signs@1.0", "--json"]).json()), renamed);
    assert_eq!(told(&env.run(["lineage", "./store//road/signs@1.0", "--json"]).json()), renamed);
}

#[test]
fn what_environments_say_of_jobs_is_kept_without_secrets() {
    let mut env = three_sets();
    env.set("CI_JOB_URL", "https://bot:hush@ci.example/a/-/jobs/7?private_token=hush");
    let used = env.run(["get", "./store/signs@1.0", "out", "--json"]).exits(0);
    assert!(!used.stdout.contains("hush"), "{}", used.stdout);
    let told = env.run(["uses", "./store/signs@1.0", "--json"]).json();
    let found = &told["uses"][0];
    let clean = json!("https://ci.example/a/-/jobs/7");
    assert_eq!((&found["run"], &found["url"], &found["provenance"]["ci_url"]), (&clean, &clean, &clean), "{found}");
    env.set("CI_JOB_URL", "");
    for (name, value) in
        [("GITHUB_RUN_ID", "9"), ("GITHUB_SERVER_URL", "https://bot:hush@git.example"), ("GITHUB_REPOSITORY", "a/b")]
    {
        env.set(name, value);
    }
    let _ = env.run(["get", "./store/signs@2.0", "out-2"]).exits(0);
    let told = env.run(["uses", "./store/signs@2.0", "--json"]).json();
    assert_eq!(told["uses"][0]["url"], "https://git.example/a/b/actions/runs/9");
    assert!(!told.to_string().contains("hush"), "{told}");
}

#[test]
fn auto_is_the_run_that_the_environment_names() {
    let mut env = three_sets();
    let _ = env.run(["use", "./store/signs@1.0", "--run", "auto"]).exits(2);
    let said = env.run(["uses", "--run", "auto", "./store"]).exits(2).stderr;
    assert!(said.contains("it names none") && said.contains("hint:"), "{said}");
    env.set("SLURM_JOB_ID", "12");
    let _ = env.run(["get", "./store/signs@1.0", "out", "--run", "auto"]).exits(0);
    assert_eq!(told(&env.run(["uses", "--run", "auto", "./store", "--json"]).json()).len(), 1);
    assert_eq!(told(&env.run(["uses", "--run", "12", "./store", "--json"]).json()).len(), 1);
}
