//! Indexes don't pile up: many small publishes leave few, and everything is still found.

use std::fs;

use serde_json::Value;

use crate::env::TestEnv;

#[test]
fn many_publishes_leave_few_indexes() {
    let env = TestEnv::new();
    for version in 0..40 {
        env.write("data/steady.txt", "the same all along");
        env.write(&format!("data/{version}.txt"), format!("content of {version}"));
        let name = version.to_string();
        let made = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", &name, "--json"]).json();
        assert_eq!(made["changed"], Value::Bool(true));
    }
    let info: Value = env.run(["store", "info", "./store", "--json"]).json();
    let indexes = info["indexes"].as_u64().expect("a count");
    assert!(indexes < 17, "{indexes} indexes");
    let verified = env.run(["verify", "./store", "--json"]).json();
    assert_eq!(verified["findings"], Value::Array(Vec::new()));
    assert_eq!(env.run(["get", "./store/set@7", "out", "--json"]).json()["files"], Value::from(9));
    let got: Vec<_> = fs::read_dir(env.path("out")).expect("a folder").collect();
    assert_eq!(got.len(), 9);
    let again: Value = env.run(["ingest", "data", "--into", "./store/set", "--json"]).json();
    assert_eq!((&again["changed"], &again["new_bytes"]), (&Value::Bool(false), &Value::from(0)));
}
