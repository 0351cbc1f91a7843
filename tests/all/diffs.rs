//! What differs, in the forms that people and merge requests read; and the history of one path.

use serde_json::{Value, json};

use crate::env::TestEnv;

/// A store with a dataset `set` whose versions `a` and `b` differ in each way, in two folders.
fn two_versions() -> TestEnv {
    let env = TestEnv::new();
    for (path, content) in [
        ("train/1.jpg", "one"),
        ("train/2.jpg", "two"),
        ("train/<b>|`3`.JPG", "three"),
        ("labels/1.json", "{}"),
        ("README", "text"),
    ] {
        env.write(&format!("data/{path}"), content);
    }
    let ingest = ["ingest", "data", "--into", "./store/set", "--create", "--as"];
    let _ = env.run([&ingest[..], &["a"]].concat()).exits(0);
    std::fs::remove_file(env.path("data/train/1.jpg")).unwrap();
    std::fs::rename(env.path("data/train/2.jpg"), env.path("data/labels/2.png")).unwrap();
    env.write("data/train/<b>|`3`.JPG", "three and more");
    env.write("data/labels/4.json", "{\"x\": 4}");
    let _ = env.run([&ingest[..], &["b"]].concat()).exits(0);
    env
}

const PAIR: [&str; 3] = ["diff", "./store/set@a", "./store/set@b"];

fn shown(env: &TestEnv, format: &str) -> String {
    env.run([&PAIR[..], &["--format", format]].concat()).text()
}

#[test]
fn a_table_counts_by_folder_and_by_type() {
    let env = two_versions();
    insta::assert_snapshot!(shown(&env, "table"), @"
    FOLDER   ADDED  REMOVED  MODIFIED  RENAMED  BYTES
    labels/      1        ·         ·        1  +11 B
    train/       ·        1         1        ·   +3 B
    all          1        1         1        1  +14 B

    TYPE   ADDED  REMOVED  MODIFIED  RENAMED  BYTES
    .jpg       ·        1         1        ·   +3 B
    .json      1        ·         ·        ·   +8 B
    .png       ·        ·         ·        1   +3 B
    all        1        1         1        1  +14 B
    ");
    assert_eq!(env.run([&PAIR[..], &["--stat"]].concat()).text(), shown(&env, "table"));
    insta::assert_snapshot!(env.run(["diff", "./store/set@b:train", "--stat"]).text(), @"
    FOLDER  ADDED  REMOVED  MODIFIED  RENAMED  BYTES
    .           ·        2         1        ·   +3 B

    TYPE  ADDED  REMOVED  MODIFIED  RENAMED  BYTES
    .jpg      ·        2         1        ·   +3 B
    ");
    let _ = env.run(["diff", "./store/set@b:nowhere"]).exits(3);
}

#[test]
fn markdown_fits_a_comment_and_no_name_is_read_as_markup() {
    let env = two_versions();
    insta::assert_snapshot!(shown(&env, "markdown"), @r"
    ### ./store/set&#64;a → ./store/set&#64;b

    1 added, 1 removed, 1 modified, 1 renamed (+14 B)

    | folder | added | removed | modified | renamed | bytes |
    | :-- | --: | --: | --: | --: | --: |
    | labels/ | 1 |  |  | 1 | +11 B |
    | train/ |  | 1 | 1 |  | +3 B |

    | type | added | removed | modified | renamed | bytes |
    | :-- | --: | --: | --: | --: | --: |
    | .jpg |  | 1 | 1 |  | +3 B |
    | .json | 1 |  |  |  | +8 B |
    | .png |  |  |  | 1 | +3 B |

    <details><summary>4 paths</summary>

    |  | path | size |
    | :-- | :-- | --: |
    | renamed | train/2.jpg → labels/2.png | 3 B |
    | added | labels/4.json | 8 B |
    | removed | train/1.jpg | 3 B |
    | modified | train/&lt;b&gt;\|\`3\`.JPG | 5 B → 14 B |

    </details>
    ");
    let same = env.run(["diff", "./store/set@a", "./store/set@a", "--format", "markdown"]).text();
    assert!(same.ends_with("no differences\n\n"), "{same}");
}

#[test]
fn html_is_a_page_of_its_own() {
    let env = two_versions();
    let page = shown(&env, "html");
    assert!(page.starts_with("<!doctype html>\n") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("train/&lt;b&gt;|`3`.JPG") && !page.contains("<b>"), "{page}");
    assert!(page.contains("<td>labels/</td><td class=\"n\">1</td>"), "{page}");
}

#[test]
fn a_comment_lists_a_bounded_number_of_paths() {
    let env = TestEnv::new();
    (0..250).for_each(|at| env.write(&format!("data/{at:03}"), at.to_string()));
    let _ = env.run(["ingest", "data", "--into", "./store/set", "--create"]).exits(0);
    let text = env.run(["diff", "./store/set", "--format", "markdown"]).text();
    assert_eq!(text.matches("| added | ").count(), 202, "200 rows and two heads: {text}");
    assert!(text.contains("and 50 more"), "{text}");
}

#[test]
fn the_document_has_the_same_numbers() {
    let env = two_versions();
    let said = env.run([&PAIR[..], &["--json"]].concat()).answer();
    let asked: Value = serde_json::from_str(&shown(&env, "json")).unwrap();
    assert_eq!(asked["by_folder"], said["by_folder"]);
    let labels = json!({
        "name": "labels/", "added": 1, "removed": 0, "modified": 0, "renamed": 1, "bytes_before": 0, "bytes_after": 11,
    });
    assert_eq!(said["by_folder"][0], labels);
    let types: Vec<&str> =
        said["by_type"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(types, [".jpg", ".json", ".png"]);
    let _ = env.run([&PAIR[..], &["--json", "--format", "html"]].concat()).exits(2);
}

/// The history of a path: what the versions are called, what they did, with which path.
fn history(env: &TestEnv, address: &str) -> Vec<(String, String, String)> {
    let said = env.run(["log", address, "--json"]).json();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("-").to_owned();
    let rows = said["versions"].as_array().unwrap().iter();
    rows.map(|row| (text(row, "name"), text(row, "change"), text(row, "path"))).collect()
}

fn rows(expected: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
}

#[test]
fn a_path_is_followed_through_renames_and_merges() {
    let env = TestEnv::new();
    let ingest = |name: &str, branch: &str| {
        let _ =
            env.run(["ingest", "data", "--into", "./store/set", "--create", "--branch", branch, "--as", name]).exits(0);
    };
    env.write("data/other", "1");
    env.write("data/old/x.txt", "first");
    ingest("1", "main");
    env.write("data/other", "2");
    ingest("2", "main");
    std::fs::rename(env.path("data/old"), env.path("data/new")).unwrap();
    ingest("3", "main");
    let _ = env.run(["branch", "./store/set@3", "side"]).exits(0);
    env.write("data/other", "3");
    ingest("4", "main");
    env.write("data/other", "2");
    env.write("data/new/x.txt", "first and second");
    ingest("5", "side");
    let _ = env.run(["merge", "./store/set@main", "./store/set@side", "--branch", "main", "--as", "6"]).exits(0);
    let expected = rows(&[("5", "modified", "new/x.txt"), ("3", "renamed", "new/x.txt"), ("1", "added", "old/x.txt")]);
    assert_eq!(history(&env, "./store/set:new/x.txt"), expected);
    assert_eq!(history(&env, "./store/set@4:new/x.txt"), expected[1..]);
    assert_eq!(history(&env, "./store/set:old"), rows(&[("3", "removed", "old"), ("1", "added", "old")]));
    let text = env.run(["log", "./store/set:new/x.txt"]).text();
    assert!(
        text.contains("modified  new/x.txt  5 B → 16 B") && text.contains("renamed  old/x.txt → new/x.txt"),
        "{text}"
    );
    assert_eq!(
        env.run(["log", "./store/set:new/x.txt", "-n", "1", "--json"]).json()["versions"].as_array().unwrap().len(),
        1
    );
    assert!(env.run(["log", "./store/set:nowhere"]).exits(3).stderr.contains("no nowhere"));
    let _ = env.run(["log", "./store/set:other", "--graph"]).exits(2);
    // A conflict that a rule decided differs from nobody: the winner's history goes on.
    env.write("data/new/x.txt", "third");
    ingest("7", "side");
    env.write("data/new/x.txt", "fourth!");
    ingest("8", "main");
    let _ = env
        .run([
            "merge",
            "./store/set@main",
            "./store/set@side",
            "--branch",
            "main",
            "--on-conflict",
            "last",
            "--as",
            "9",
        ])
        .exits(0);
    assert_eq!(history(&env, "./store/set:new/x.txt")[0].0, "7");
}
