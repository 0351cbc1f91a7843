//! What `--progress json` says while a command runs.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::cache_bounds::{keep_from, staged};

#[test]
fn rate_and_time_left_are_null_until_known_and_then_right() {
    let env = staged();
    let (some, others) = (keep_from(&env, 0..32), keep_from(&env, 32..64));
    let mut command = env.command();
    command.args(["warm", "./store/set@1", "./store/set@2", "--progress", "json"]).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let first = next();
    let told = ["phase", "bytes", "bytes_total", "bytes_per_second", "seconds_left"].map(|key| first[key].clone());
    assert_eq!(told, [json!("warming"), json!(0), json!(1_600_000), Value::Null, Value::Null]);
    drop(some);
    // Half of all comes at once, and then no more.
    let (mut line, mut bytes) = (next(), first["bytes"].clone());
    while line["bytes"] == 0 || line["bytes"] != bytes {
        bytes = line["bytes"].clone();
        line = next();
    }
    let [bytes, rate, left] = ["bytes", "bytes_per_second", "seconds_left"].map(|key| line[key].as_f64().unwrap());
    let mean = bytes / line["seconds"].as_f64().unwrap();
    assert!((mean / 2.0..mean * 2.0).contains(&rate), "{line}");
    assert_eq!(left, ((1_600_000.0 - bytes) / rate).ceil());
    drop(others);
    assert_eq!(lines.map_while(Result::ok).filter(|line| line.contains("error")).count(), 0);
    assert!(child.wait().unwrap().success());
}
