//! Names that stand for something else at a remote: they stay behind, are told with what helps, and all the rest is pushed.

use serde_json::{Value, json};

use crate::env::TestEnv;

/// Two clones, `ada` and `bob`, of one dataset; both made a version that they call `2.0`, and set a tag `prod`. Ada has pushed hers.
fn two_of_a_name() -> TestEnv {
    let env = TestEnv::new();
    env.write("data/a.txt", "a");
    let _ = env.run(["ingest", "data", "--into", "./far/signs", "--create", "--as", "1.0"]).exits(0);
    for who in ["ada", "bob"] {
        let _ = env.run(["clone", "./far/signs", who]).exits(0);
        let _ = env.run_with(who, ["branch", who], b"").exits(0);
        let _ = env.run_with(who, ["switch", who], b"").exits(0);
        env.write(&format!("{who}/a.txt"), who);
        let _ = env.run_with(who, ["commit", "-a", "--as", "2.0"], b"").exits(0);
        let _ = env.run_with(who, ["tag", "prod", "2.0"], b"").exits(0);
    }
    let _ = env.run_with("ada", ["push"], b"").exits(0);
    env
}

fn id(env: &TestEnv, who: &str) -> String {
    env.run_with(who, ["show", "2.0", "--json"], b"").json()["version"].as_str().unwrap().to_owned()
}

fn outcomes(document: &Value) -> Vec<(&str, &str)> {
    let rows = document["refs"].as_array().unwrap().iter();
    rows.map(|row| (row["name"].as_str().unwrap(), row["outcome"].as_str().unwrap())).collect()
}

#[test]
fn the_branch_goes_and_what_clashes_is_rejected() {
    let env = two_of_a_name();
    let (ada, bob) = (id(&env, "ada"), id(&env, "bob"));
    let pushed = env.run_with("bob", ["push", "--json"], b"").exits(4);
    let document = pushed.document();
    assert_eq!(outcomes(&document), [("bob", "new"), ("1.0", "same"), ("2.0", "refused"), ("prod", "refused")]);
    let name = &document["refs"][2];
    assert_eq!((&name["old"], &name["new"]), (&json!(ada), &json!(bob)));
    assert!(pushed.stderr.contains("rejected: name 2.0: "), "{}", pushed.stderr);
    assert!(pushed.stderr.contains(&ada[..12]) && pushed.stderr.contains(&bob[..12]), "{}", pushed.stderr);
    let there = env.run(["log", "./far/signs@bob", "--json"]).json();
    assert_eq!(there["versions"][0]["version"], json!(bob));
    assert_eq!(env.run(["cat", "./far/signs@2.0:a.txt"]).text(), "ada");
}

#[test]
fn what_is_hinted_helps() {
    let env = two_of_a_name();
    for _ in 0..2 {
        let said = env.run_with("bob", ["push"], b"").exits(4).stderr;
        assert!(said.contains("dagset tag OTHER 2.0") && said.contains("dagset push REMOTE prod"), "{said}");
    }
    let _ = env.run_with("bob", ["tag", "bobs-2.0", "2.0"], b"").exits(0);
    let _ = env.run_with("bob", ["push", "origin", "bobs-2.0", "prod"], b"").exits(0);
    for tag in ["bobs-2.0", "prod"] {
        assert_eq!(env.run(["cat", &format!("./far/signs@{tag}:a.txt")]).text(), "bob");
    }
}

#[test]
fn a_version_that_only_a_rejected_name_leads_to_stays_here() {
    let env = two_of_a_name();
    let pushed = env.run_with("bob", ["push", "--tags", "--json"], b"").exits(4).document();
    assert_eq!(outcomes(&pushed), [("1.0", "same"), ("2.0", "refused"), ("prod", "refused")]);
    assert_eq!((&pushed["versions"], &pushed["new_chunks"]), (&json!(0), &json!(0)));
    assert_eq!(env.run(["list", "./far", "--json"]).json()["datasets"][0]["versions"], 2);
}

#[test]
fn a_fetch_says_each_time_what_helps() {
    let env = two_of_a_name();
    let _ = env.run_with("ada", ["push", "origin", "prod"], b"").exits(0);
    let adas = id(&env, "ada")[..12].to_owned();
    for _ in 0..2 {
        let said = env.run_with("bob", ["fetch"], b"").exits(0).stderr;
        for (name, hint) in
            [("2.0", format!("`dagset tag OTHER {adas}`")), ("prod", format!("`dagset tag prod {adas}`"))]
        {
            let line = said.lines().find(|line| line.starts_with(&format!("warning: {name} was not taken over: ")));
            assert!(line.is_some_and(|line| line.contains(&hint)), "{said}");
        }
    }
    let _ = env.run_with("bob", ["tag", "OTHER", &adas], b"").exits(0);
    let _ = env.run_with("bob", ["tag", "prod", &adas], b"").exits(0);
    for tag in ["OTHER", "prod"] {
        assert_eq!(env.run_with("bob", ["cat", &format!("{tag}:a.txt")], b"").text(), "ada");
    }
    let said = env.run_with("bob", ["fetch"], b"").exits(0).stderr;
    assert!(said.contains("2.0 was") && !said.contains("prod was"), "{said}");
}

#[test]
fn what_was_stored_for_a_version_that_was_refused_is_not_stored_twice() {
    let env = TestEnv::new();
    env.write("one/f", "1");
    env.write("two/f", crate::stage::noise(2, 400_000));
    let ingest = |folder: &str, more: &[&str]| {
        env.run([&["ingest", folder, "--into", "./far/set", "--create", "--json"], more].concat())
    };
    let _ = ingest("one", &["--as", "1.0"]).exits(0);
    let refused = ingest("two", &["--as", "1.0"]).exits(4).document();
    assert!(refused["sent_bytes"].as_u64().unwrap() > 400_000, "{refused}");
    let done = ingest("two", &["--as", "2.0"]).json();
    assert_eq!(done["new_bytes"], 0);
    assert!(done["sent_bytes"].as_u64().unwrap() < 10_000, "{done}");
    let _ = env.run(["verify", "./far"]).exits(0);
}
