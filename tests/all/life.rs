//! A store whose datasets live: versions are made, named, moved, taken back. What the tests of that share.

use std::fs;

use serde_json::Value;

use crate::env::{Outcome, TestEnv};

/// A store `./store`, written by `ingest`.
pub struct Life(pub TestEnv);

impl Life {
    /// A store with versions 1.0 ← 1.1 ← 1.2 of `set` on main: `a` and `b`; `a` changed; `c` added.
    pub fn new() -> Life {
        let life = Life(TestEnv::new());
        life.publish("set", "1.0", &[("a", "1"), ("b", "1")]);
        life.publish("set", "1.1", &[("a", "2"), ("b", "1")]);
        life.publish("set", "1.2", &[("a", "2"), ("b", "1"), ("c", "1")]);
        life
    }

    /// Publishes these files, (path, content), as the next version of a dataset's main.
    pub fn publish(&self, dataset: &str, name: &str, files: &[(&str, &str)]) {
        let folder = self.0.path("source");
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(path, content)| self.0.write(&format!("source/{path}"), content));
        self.0.run(["ingest", "source", "--into", &format!("./store/{dataset}"), "--create", "--as", name]).text();
    }

    /// Runs a command line whose words hold no spaces.
    pub fn run(&self, line: &str) -> Outcome {
        self.0.run(line.split(' '))
    }

    /// What a command says with `--json`.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} --json")).json()
    }

    /// The name of the version that a REF means.
    #[track_caller]
    pub fn at(&self, address: &str) -> String {
        self.json(&format!("show ./store/{address}"))["name"].as_str().unwrap_or("none").to_owned()
    }

    /// `path=content` of all files of a version.
    #[track_caller]
    pub fn files(&self, address: &str) -> Vec<String> {
        let listed = self.json(&format!("ls -R ./store/{address}"));
        let paths = listed["entries"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap());
        paths.map(|path| format!("{path}={}", self.run(&format!("cat ./store/{address}:{path}")).text())).collect()
    }

    /// What the newest records did, newest first.
    #[track_caller]
    pub fn done(&self, most: usize) -> Vec<String> {
        let page = self.json(&format!("oplog ./store -n {most}"));
        let records = page["records"].as_array().unwrap();
        records.iter().map(|record| record["summary"].as_str().unwrap().to_owned()).collect()
    }

    /// The number of the newest record.
    pub fn newest(&self) -> u64 {
        self.json("store info ./store")["records"].as_u64().unwrap()
    }
}
