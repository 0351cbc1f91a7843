//! Tags that move and tags that are held, and versions that are frozen.

use std::fs;

use dagset::engine::{Address, Opener};
use dagset::format::operation::Operation;
use dagset::format::record::Record;
use serde_json::{Value, json};

use crate::env::{TestEnv, everything_below};

/// Two versions of a set, `1.0` and `2.0`.
fn two_versions() -> TestEnv {
    let env = TestEnv::new();
    for version in ["1.0", "2.0"] {
        env.write("data/a", version);
        env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", version, "--quiet"]).text();
    }
    env
}

fn tag_at(env: &TestEnv, tag: &str) -> Value {
    env.run(["show", &format!("./store/set@{tag}"), "--json"]).json()["name"].clone()
}

const ONE: &str = "./store/set@1.0";
const TWO: &str = "./store/set@2.0";

#[test]
fn a_tag_moves_without_force_and_says_from_where() {
    let env = two_versions();
    insta::assert_snapshot!(env.run(["tag", ONE, "latest"]).text(), @"set the tag latest, at 1.0");
    insta::assert_snapshot!(env.run(["tag", TWO, "latest"]).text(), @"moved the tag latest from 1.0 to 2.0");
    insta::assert_snapshot!(env.run(["tag", TWO, "latest"]).text(), @"the tag latest is at 2.0 already");
    let moved = env.run(["tag", ONE, "latest", "--json"]).json();
    assert_eq!(
        (&moved["action"], &moved["version_name"], &moved["from_name"]),
        (&json!("set"), &json!("1.0"), &json!("2.0"))
    );
    insta::assert_snapshot!(env.run(["tag", "-d", "./store/set", "latest"]).text(), @"deleted the tag latest, was at 1.0");
    let refused = env.run(["tag", "./store/set", "1.0"]).exits(4).stderr;
    assert!(refused.contains("has a version name or branch 1.0 already"), "{refused}");
}

#[test]
fn a_protected_tag_moves_by_force_and_reason_alone() {
    let env = two_versions();
    env.run(["tag", ONE, "prod", "--protect", "--quiet"]).text();
    insta::assert_snapshot!(env.run(["tag", TWO, "prod"]).snapshot(), @"
    exit: 4
    --- stdout
    --- stderr
    error: the tag prod of set is protected, and is at 1.0
    hint: where it has to be: add --force --reason TEXT; the log keeps the reason
    ");
    let _ = env.run(["tag", "-d", "./store/set", "prod"]).exits(4);
    let _ = env.run(["tag", TWO, "prod", "--force"]).exits(2);
    let _ = env.run(["tag", TWO, "prod", "--force", "--reason", " "]).exits(2);
    assert_eq!(tag_at(&env, "prod"), "1.0");
    let forced = env.run(["tag", TWO, "prod", "--force", "--reason", "labels mended", "--json"]).json();
    assert_eq!((&forced["from_name"], &forced["protected"]), (&json!("1.0"), &json!(true)), "and stays protected");
    assert_eq!(reasons(&env), ["labels mended"]);
    env.run(["tag", "--unprotect", "./store/set", "prod", "--quiet"]).text();
    env.run(["tag", ONE, "prod", "--quiet"]).text();
    assert_eq!(tag_at(&env, "prod"), "1.0");
    let _ = env.run(["tag", "--protect", "./store/set", "none"]).exits(3);
}

/// The operations of the store's records, oldest first.
fn operations(env: &TestEnv) -> Vec<Operation> {
    let paths = everything_below(&env.path("store/log")).into_iter().filter(|path| path.is_file());
    paths.flat_map(|path| Record::parse(&fs::read(path).unwrap()).unwrap().core.operations).collect()
}

fn reasons(env: &TestEnv) -> Vec<String> {
    let reason = |operation| match operation {
        Operation::Reason { text } => Some(text),
        _ => None,
    };
    operations(env).into_iter().filter_map(reason).collect()
}

#[test]
fn no_command_moves_a_protected_tag_in_passing() {
    let env = two_versions();
    env.run(["tag", TWO, "prod", "--protect", "--quiet"]).text();
    env.write("data/a", "3.0");
    let refused = env.run(["ingest", "data", "--into", "./store/set", "--tag", "prod"]).exits(4).stderr;
    assert!(refused.contains("the tag prod of set is protected"), "{refused}");
    let planned = env.run(["ingest", "data", "--into", "./store/set", "--tag", "prod", "--dry-run"]).exits(4).stderr;
    assert_eq!(planned, refused, "a dry run says the same");
    assert_eq!(env.run(["list", "./store", "--json"]).json()["datasets"][0]["versions"], 2, "all or nothing");
}

#[test]
fn an_ingest_of_what_is_there_sets_its_tags_and_says_what_it_leaves() {
    let env = two_versions();
    env.write("data/a", "alone");
    env.run(["ingest", "data", "--into", "./store/set", "--branch", "alone", "--quiet"]).text();
    env.run(["tag", "./store/set@alone", "prod", "--protect", "--quiet"]).text();
    env.run(["tag", TWO, "latest", "--quiet"]).text();
    env.write("data/a", "1.0");
    let records = || operations(&env).len();
    let ingest = |more: &[&str]| env.run([&["ingest", "data", "--into", "./store/set", "--as", "1.0"], more].concat());
    let before = records();
    let planned = ingest(&["--tag", "stable", "--dry-run", "--json"]).json();
    let stable = json!([{ "name": "stable", "from": null, "from_name": null }]);
    assert_eq!((&planned["tagged"], records()), (&stable, before));
    let set = ingest(&["--tag", "stable", "--json"]).json();
    assert_eq!((&set["tagged"], &set["changed"], &set["warnings"]), (&stable, &json!(false), &json!([])));
    assert_eq!((tag_at(&env, "stable"), records()), (json!("1.0"), before + 1));
    let again = ingest(&["--tag", "stable", "--json"]).json();
    assert_eq!((&again["tagged"], records()), (&json!([]), before + 1), "the same again writes nothing");

    let older = ingest(&["--tag", "latest"]).exits(0);
    assert!(older.stdout.ends_with(", and main went on from it\n"), "{}", older.stdout);
    let older = older.stderr;
    assert!(
        older.contains("the tag latest stays at 2.0, which came of 1.0; `dagset tag ./store/set@1.0 latest` takes"),
        "{older}"
    );
    assert_eq!((tag_at(&env, "latest"), records()), (json!("2.0"), before + 1), "an older job takes nothing back");
    env.run(["tag", TWO, "held", "--protect", "--quiet"]).text();
    let refused = ingest(&["--tag", "held"]).exits(4).stderr;
    assert!(refused.contains("the tag held of set is protected"), "{refused}");
    for dry in [&[][..], &["--dry-run"]] {
        let refused = ingest(&[&["--tag", "prod"], dry].concat()).exits(4).stderr;
        assert!(refused.contains("the tag prod of set is protected"), "{refused}");
    }
}

#[test]
fn whatever_finds_an_older_version_takes_no_tag_back_from_what_came_of_it() {
    let env = two_versions();
    env.run(["tag", TWO, "latest", "--quiet"]).text();
    env.write("data/a", "1.0");
    let stays = |told: &crate::env::Outcome| {
        let warning = "the tag latest stays at 2.0, which came of 1.0";
        assert!(told.stderr.contains(warning) && !told.stdout.contains("latest"), "{}{}", told.stdout, told.stderr);
        assert_eq!(tag_at(&env, "latest"), "2.0");
    };
    let named = ["ingest", "data", "--into", "./store/set", "--as", "1.0", "--tag", "latest", "--branch", "new"];
    stays(&env.run([&named[..], &["--dry-run"]].concat()).exits(0));
    stays(&env.run(named).exits(0));
    assert_eq!(env.run(["show", "./store/set@new", "--json"]).json()["name"], "1.0", "the branch is made all the same");
    env.run(["branch", "./store/set@1.0", "old", "--quiet"]).text();
    let unnamed = ["ingest", "data", "--into", "./store/set", "--branch", "old", "--tag", "latest"];
    stays(&env.run([&unnamed[..], &["--dry-run"]].concat()).exits(0));
    stays(&env.run(unnamed).exits(0));
    env.run(["clone", "./store/set", "copy", "--quiet"]).text();
    let here = |command: &[&str]| env.run_with("copy", command.iter().copied(), b"");
    here(&["branch", "here", "1.0", "--quiet"]).text();
    here(&["switch", "here", "--quiet"]).text();
    let committed = here(&["commit", "-a", "--tag", "latest"]).exits(0);
    let warning = "the tag latest stays at 2.0, which came of 1.0; `dagset tag latest 1.0` takes it back";
    assert!(committed.stderr.contains(warning), "{}", committed.stderr);
    assert_eq!(here(&["show", "latest", "--json"]).json()["name"], "2.0");
    here(&["tag", "latest", "1.0", "--quiet"]).text();
    assert_eq!(here(&["show", "latest", "--json"]).json()["name"], "1.0", "the command that the warning names does so");
}

#[test]
fn publishing_says_from_where_it_moves_a_tag() {
    let env = two_versions();
    env.run(["tag", ONE, "latest", "--quiet"]).text();
    let last = |told: &str| told.lines().filter(|line| line.contains("latest")).collect::<Vec<_>>().join("\n");
    let ingest =
        |more: &[&str]| env.run([&["ingest", "data", "--into", "./store/set", "--tag", "latest"], more].concat());
    let there = ingest(&["--dry-run", "--json"]).json();
    assert_eq!(there["tagged"][0]["from_name"], "1.0");
    assert!(last(&ingest(&[]).text()).starts_with("moved the tag latest from 1.0 to 2.0"));
    env.write("data/a", "3.0");
    let planned = last(&ingest(&["--as", "3.0", "--dry-run"]).text());
    assert_eq!(planned, "would move the tag latest from 2.0 to 3.0");
    assert_eq!(last(&ingest(&["--as", "3.0"]).text()), "moved the tag latest from 2.0 to 3.0");
    env.write("data/a", "4.0");
    let made = ingest(&["--json"]).json();
    assert_eq!((&made["tagged"][0]["name"], &made["tagged"][0]["from_name"]), (&json!("latest"), &json!("3.0")));
}

#[test]
fn metadata_of_a_version_that_was_there_is_not_dropped_unsaid() {
    let env = two_versions();
    env.write("data/a", "1.0");
    let ingest = || env.run(["ingest", "data", "--into", "./store/set", "--as", "1.0", "--meta", "task=x", "--json"]);
    let told = ingest().exits(0);
    let warning =
        "version 1.0 was there already, and task isn't said of it; `dagset meta set ./store/set@1.0 task=VALUE` does";
    assert!(told.stderr.contains(warning), "{}", told.stderr);
    assert!(told.json()["warnings"] == json!([warning]));
    env.run(["meta", "set", ONE, "task=x", "--quiet"]).text();
    assert_eq!(ingest().json()["warnings"], json!([]), "it is said by now");
    env.run(["clone", "./store/set", "copy", "--quiet"]).text();
    let committed = env.run_with("copy", ["commit", "-a", "--meta", "task=y", "--json"], b"").exits(0).document();
    let told = committed["warnings"][0].as_str().unwrap();
    assert!(told.starts_with("version 2.0 was there") && told.contains("`dagset meta set 2.0 task=VALUE`"), "{told}");
}

#[test]
fn a_push_leaves_a_protected_tag_where_it_is() {
    let env = two_versions();
    env.run(["clone", "./store/set", "copy", "--quiet"]).text();
    env.run(["tag", ONE, "prod", "--protect", "--quiet"]).text();
    let _ = env.run_with("copy", ["tag", "prod", "2.0"], b"").exits(0);
    let pushed = env.run_with("copy", ["push", "origin", "prod", "--json"], b"").exits(4).document();
    let row = &pushed["refs"][0];
    assert_eq!((&row["name"], &row["outcome"]), (&json!("prod"), &json!("refused")), "{pushed}");
    assert!(row["hint"].as_str().unwrap().contains("--force --reason"), "{row}");
    assert_eq!(tag_at(&env, "prod"), "1.0");
}

#[test]
fn a_published_version_keeps_its_protected_tags() {
    let env = two_versions();
    let published = env.run(["publish", ONE, "--note", "for the paper", "--json"]).json();
    assert_eq!((&published["name"], &published["changed"]), (&json!("1.0"), &json!(true)));
    assert_eq!(env.run(["publish", ONE, "--json"]).json()["changed"], false);
    env.run(["tag", ONE, "prod", "--protect", "--quiet"]).text();
    let refused = env.run(["tag", "--unprotect", "./store/set", "prod"]).exits(4).stderr;
    assert!(refused.contains("is on the published version 1.0, so it stays protected"), "{refused}");
    let forced = ["tag", "--unprotect", "./store/set", "prod", "--force", "--reason", "withdrawn", "--quiet"];
    env.run(forced).text();
    assert_eq!(reasons(&env), ["withdrawn"]);
    env.run(["tag", "-d", "./store/set", "prod", "--quiet"]).text();
}

#[test]
fn log_and_show_say_what_is_protected_and_published() {
    let env = two_versions();
    env.run(["publish", ONE, "--quiet"]).text();
    env.run(["tag", ONE, "prod", "--protect", "--quiet"]).text();
    env.run(["tag", ONE, "old", "--quiet"]).text();
    let shown = env.run(["show", ONE, "--json"]).json();
    assert_eq!(shown["tags"], json!(["old", "prod"]));
    assert_eq!((&shown["protected_tags"], &shown["published"]), (&json!(["prod"]), &json!(true)));
    let line = |words: &[&str]| {
        let text = env.run(words).text();
        text.lines().find(|line| line.contains("prod")).expect("a line of refs").trim().to_owned()
    };
    assert!(line(&["log", "./store/set"]).ends_with("1.0 (tag old, tag prod protected, published)"));
    assert!(line(&["show", ONE]).contains("tag old, tag prod protected, published"));
    assert!(line(&["tag", "./store/set"]).ends_with("protected"));
}

/// Many at once that move a tag back and forth, and one that protects it: from then on it stays.
#[test]
fn who_is_late_sees_the_protection() {
    let env = two_versions();
    env.run(["tag", ONE, "prod", "--quiet"]).text();
    let store = env.path("store");
    let address = |rest: &str| Address::parse(&format!("{}/{rest}", store.display()), None).unwrap();
    let new_engine = || crate::stage::engine(Opener::default());
    std::thread::scope(|scope| {
        for mover in 0..8 {
            let to = address(if mover % 2 == 0 { "set@1.0" } else { "set@2.0" });
            scope.spawn(move || {
                // Refused where the tag is protected by then, and only there.
                let outcomes: Vec<_> = (0..4).map(|_| new_engine().set_tag(&to, "prod", None, None)).collect();
                outcomes.into_iter().filter_map(Result::err).for_each(|fault| {
                    assert!(fault.to_string().contains("is protected"), "{fault}");
                });
            });
        }
        scope.spawn(|| new_engine().protect_tag(&address("set"), "prod", true, None).unwrap());
    });
    let protected = |operation: Operation| match operation {
        Operation::SetTag { protected, .. } => Some(protected),
        _ => None,
    };
    let moves: Vec<bool> = operations(&env).into_iter().filter_map(protected).collect();
    let first = moves.iter().position(|protected| *protected).expect("it was protected");
    assert_eq!(first, moves.len() - 1, "nothing moved it behind that: {moves:?}");
}
