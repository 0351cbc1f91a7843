//! `lineage`: sources, the version, what was made from it, runs and models.

use serde_json::{Value, json};

use crate::env::{TestEnv, normalise};

/// 2.0 is merged from two branches of 1.0, 2.1 comes after it; a run with two models used 2.0, another one 2.1.
fn a_family() -> TestEnv {
    let env = TestEnv::new();
    let ingest = |file: &str, more: &[&str]| {
        env.write("data/a", "a");
        env.write(&format!("data/{file}"), file);
        let _ = env.run([&["ingest", "data", "--into", "./store/signs", "--create"], more].concat()).exits(0);
    };
    ingest("a", &["--as", "1.0"]);
    ingest("b", &["--as", "1.1", "--branch", "fixes", "--parent", "1.0"]);
    ingest("c", &["--as", "1.2"]);
    let _ = env.run(["merge", "./store/signs@main", "./store/signs@fixes", "--branch", "main", "--as", "2.0"]).exits(0);
    ingest("d", &["--as", "2.1"]);
    for (version, run, model) in [("2.0", "r1", "net"), ("2.0", "r1", "say \"hi\"\\n"), ("2.1", "r2", "net")] {
        let _ = env.run(["use", &format!("./store/signs@{version}"), "--run", run, "--model", model]).exits(0);
    }
    env
}

/// Without the times of people, which differ.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.len() > 4 && word.bytes().all(|b| b.is_ascii_digit() || b"-:".contains(&b));
    let line =
        |line: &str| line.split(' ').filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ").trim_end().to_owned();
    normalise(&text.lines().map(line).collect::<Vec<_>>().join("\n"), "/no/such")
}

#[test]
fn a_tree_for_people() {
    let env = a_family();
    let tree = env.run(["lineage", "./store/signs@2.0"]).text();
    insta::assert_snapshot!(without_times(&tree), @r#"
    signs@2.0  [id 1]
    ├── made from
    │   ├── signs@1.2  [id 2]   as main
    │   │   └── signs@1.0  [id 3]
    │   └── signs@1.1  [id 4]   as fixes
    │       └── signs@1.0  [id 3]   (above)
    ├── made from it
    │   └── signs@2.1  [id 5]
    │       └── run r2   Test Author <author@test.example>
    │           └── model net
    └── used by
        └── run r1   Test Author <author@test.example>
            ├── model say "hi"\n
            └── model net
    "#);
    let near = env.run(["lineage", "./store/signs@2.1", "--depth", "1"]).text();
    insta::assert_snapshot!(without_times(&near), @r#"
    signs@2.1  [id 1]
    ├── made from
    │   └── signs@2.0  [id 2]
    │       └── …  --depth shows more
    └── used by
        └── run r2   Test Author <author@test.example>
            └── model net
    "#);
}

#[test]
fn json_has_nodes_edges_and_uses() {
    let env = a_family();
    let found = env.run(["lineage", "./store/signs@2.0", "--json"]).json();
    let version = |it: &Value| (it["name"].as_str().unwrap().to_owned(), it["distance"].as_i64().unwrap());
    let mut versions: Vec<_> = found["versions"].as_array().unwrap().iter().map(version).collect();
    versions.sort();
    let expected = [("1.0", -2), ("1.1", -1), ("1.2", -1), ("2.0", 0), ("2.1", 1)];
    assert_eq!(versions, expected.map(|(name, distance)| (name.to_owned(), distance)));
    assert_eq!(found["edges"].as_array().unwrap().len(), 5);
    assert!(found["edges"].as_array().unwrap().iter().any(|edge| edge["role"] == "fixes"), "{found}");
    assert_eq!((found["uses"].as_array().unwrap().len(), &found["left_out"]), (3, &json!(0)));
    let near = env.run(["lineage", "./store/signs@2.0", "--depth", "0", "--format", "json"]).json();
    assert_eq!((near["versions"].as_array().unwrap().len(), &near["versions"][0]["cut"]), (1, &json!(true)));
}

#[test]
fn dot_is_escaped() {
    let env = a_family();
    let dot = env.run(["lineage", "./store/signs@2.0", "--format", "dot"]).text();
    assert!(dot.starts_with("digraph lineage {\n") && dot.ends_with("}\n"), "{dot}");
    assert!(dot.contains(r#""run r1" -> "model say \"hi\"\\n";"#), "{dot}");
    assert!(dot.contains(" [label=\"fixes\"];"), "{dot}");
    assert_eq!(dot.matches("\"model net\" [").count(), 1, "a model of two runs is one: {dot}");
    for line in dot.lines().filter(|line| line.starts_with("  ")) {
        let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert!(line.ends_with(';') && quotes % 2 == 0, "{line}");
    }
}

#[test]
fn sources_in_other_datasets_are_followed() {
    let env = a_family();
    env.write("maps/m", "m");
    let _ = env.run(["ingest", "maps", "--into", "./store/maps", "--as", "7", "--create"]).exits(0);
    let merge = ["merge", "./store/signs@main", "./store/maps@7", "--branch", "main", "--as", "3.0"];
    let _ = env.run(merge).exits(0);
    let found = env.run(["lineage", "./store/maps@7", "--json"]).json();
    let child = &found["versions"][1];
    assert_eq!((&child["dataset"], &child["name"], &child["distance"]), (&json!("signs"), &json!("3.0"), &json!(1)));
    let tree = env.run(["lineage", "./store/signs@3.0"]).text();
    assert!(tree.contains("─ maps@7 "), "{tree}");
}

#[test]
fn a_damaged_use_hides_no_others() {
    let env = a_family();
    let uses = crate::env::everything_below(&env.path("store/uses"));
    let damaged = uses.into_iter().rfind(|path| path.is_file()).unwrap();
    std::fs::write(&damaged, "no use").unwrap();
    let told = env.run(["lineage", "./store/signs@1.0", "--json"]).exits(5).document();
    assert_eq!(told["uses"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(told["damaged"].as_array().unwrap().len(), 1);
    let tree = env.run(["lineage", "./store/signs@1.0"]).exits(5);
    assert!(tree.stdout.contains("used by") || tree.stdout.contains("run r"), "{}", tree.stdout);
    assert!(tree.stderr.contains("uses/"), "{}", tree.stderr);
}
