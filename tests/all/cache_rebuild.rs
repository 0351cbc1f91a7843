//! A large file of a new version is made from the older one that is cached, and what is new of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::env::{TestEnv, everything_below};

const SIZE: usize = 12 << 20;
/// The store's file, its log and the manifests, besides content.
const OVERHEAD: u64 = 64 << 10;

/// A workspace of one large file, ingested, cached, edited here and there, and ingested again.
struct Edited {
    env: TestEnv,
    content: Vec<u8>,
    /// What the second version sent to the store.
    new_bytes: u64,
}

fn received(document: &Value) -> u64 {
    document["received_bytes"].as_u64().unwrap()
}

fn ingest(env: &TestEnv, name: &str) -> u64 {
    let said = env.run(["ingest", "data", "--into", "./store/set", "--create", "--as", name, "--json"]).json();
    said["sent_bytes"].as_u64().unwrap()
}

impl Edited {
    fn new() -> Edited {
        let env = TestEnv::new();
        let mut content = vec![0; SIZE];
        blake3::Hasher::new().finalize_xof().fill(&mut content);
        env.write("data/large.bin", &content);
        ingest(&env, "1");
        let cold = env.run(["warm", "./store/set@1", "--json"]).json();
        assert!(received(&cold) >= SIZE as u64, "{cold}");
        // Two pieces change, one comes in: what lies behind it moves.
        content[1_000_000..1_000_100].fill(7);
        content[7_000_000..7_000_100].fill(7);
        content.splice(4_000_000..4_000_000, [9; 500]);
        env.write("data/large.bin", &content);
        let new_bytes = ingest(&env, "2");
        Edited { env, content, new_bytes }
    }

    fn cached(&self, content: &[u8]) -> PathBuf {
        let name = blake3::hash(content).to_hex().to_string();
        let all = everything_below(&self.env.home(".cache/dagset/files/files"));
        all.into_iter().find(|path| path.ends_with(&name)).unwrap()
    }
}

#[test]
fn an_edited_file_costs_what_is_new_of_it() {
    let edited = Edited::new();
    let env = &edited.env;
    let warm = env.run(["warm", "./store/set@2", "--json"]).json();
    assert!(received(&warm) <= edited.new_bytes * 6 / 5 + OVERHEAD, "{} new: {warm}", edited.new_bytes);
    assert!(edited.new_bytes < SIZE as u64 / 10, "the edits are small");
    assert_eq!(fs::read(edited.cached(&edited.content)).unwrap(), edited.content);
}

#[test]
fn versions_between_may_be_missing() {
    let mut edited = Edited::new();
    let mut last = edited.new_bytes;
    for name in ["3", "4", "5", "6", "7"] {
        edited.content[9_000_000..9_000_100].fill(name.as_bytes()[0]);
        edited.env.write("data/large.bin", &edited.content);
        last = ingest(&edited.env, name);
    }
    let warm = edited.env.run(["warm", "./store/set", "--json"]).json();
    assert!(received(&warm) <= (edited.new_bytes + last) * 6 / 5 + OVERHEAD, "{warm}");
    assert_eq!(fs::read(edited.cached(&edited.content)).unwrap(), edited.content);
}

#[test]
fn a_base_may_be_of_a_version_before_the_last() {
    let Edited { env, mut content, .. } = Edited::new();
    // The same chunks change twice, and both times they are stored against what stood there first.
    let mut edit = |name: &str| {
        (0..11).for_each(|piece| content[piece * 1_000_000 + 200_000..][..100].fill(name.as_bytes()[0]));
        env.write("data/large.bin", &content);
        let sent = ingest(&env, name);
        (sent, env.run(["warm", &format!("./store/set@{name}"), "--json"]).json())
    };
    let _ = edit("3");
    let (sent, warm) = edit("4");
    assert!(received(&warm) <= sent * 6 / 5 + OVERHEAD, "{sent} new: {warm}");
    let _ = env.run(["cache", "verify"]).exits(0);
}

#[test]
fn rot_in_the_older_file_is_not_inherited() {
    let edited = Edited::new();
    let env = &edited.env;
    let older = everything_below(&env.home(".cache/dagset/files/files"));
    let older = older.iter().find(|path| fs::metadata(path).unwrap().len() == SIZE as u64).unwrap();
    let time = fs::metadata(older).unwrap().modified().unwrap();
    assert!(SystemTime::now().duration_since(time).unwrap() > Duration::from_secs(86_400));
    let mut bytes = fs::read(older).unwrap();
    bytes[11_000_000] ^= 1;
    fs::set_permissions(older, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(older, bytes).unwrap();
    fs::File::options().write(true).open(older).unwrap().set_modified(time).unwrap();
    // As rot leaves it: neither the time nor the mode tells.
    fs::set_permissions(older, fs::Permissions::from_mode(0o444)).unwrap();
    let said = env.run(["get", "./store/set@2", "out", "--link", "copy", "--json"]).exits(0);
    let got = said.document();
    assert!(received(&got) > SIZE as u64, "it came from the store: {got}");
    assert_eq!(fs::read(env.path("out/large.bin")).unwrap(), edited.content);
    // What was met is said, and out of use.
    assert!(said.stderr.contains("was changed since it was cached: moved to"), "{}", said.stderr);
    assert!(!older.exists());
    let _ = env.run(["cache", "verify"]).exits(0);
}
