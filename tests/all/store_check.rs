//! `store check`, and what `store create` refuses: step by step, what holds and what doesn't.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use dagset::base::{Error, Kind, Result};
use dagset::engine::{StepOutcome, StoreCheck};
use dagset::store::{Bucket, Created, Listing, Objects, backend};
use serde_json::Value;

use crate::env::{TestEnv, everything_below};
use crate::s3::{self, Server};
use crate::stage::{STORE, ingest, lay_out, objects, serving, whole_text};

/// The outcomes of a check's document, by step.
fn outcomes(document: &Value) -> HashMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    document["steps"].as_array().unwrap().iter().map(|step| (text(&step["step"]), text(&step["outcome"]))).collect()
}

fn outcome(check: &StoreCheck, step: &str) -> StepOutcome {
    check.steps.iter().find(|found| found.name == step).unwrap().outcome
}

#[test]
fn a_good_folder_passes_and_is_left_as_it_was() {
    let env = TestEnv::new();
    let _ = env.run(["store", "create", "./store"]).exits(0);
    let before = everything_below(&env.path("store"));
    let document = env.run(["store", "check", "./store", "--json"]).json();
    assert_eq!(document["holds"], true);
    assert!(outcomes(&document).values().all(|outcome| outcome == "ok"), "{document}");
    assert_eq!(document["requests"]["put"], 65, "one object, and 4 races of 16 writers");
    assert_eq!(document["requests"]["delete"], 5);
    assert_eq!(everything_below(&env.path("store")), before);
    let said = env.run(["store", "check", "./store"]).text();
    assert!(said.contains("exclusive create  4 times one of 16 writers won: evidence, no proof\n"), "{said}");
    assert!(said.ends_with("ok: all that was tried holds\n"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
}

#[test]
fn the_store_of_a_dataset_is_what_is_checked() {
    let env = TestEnv::new();
    let _ = env.run(["store", "create", "./store"]).exits(0);
    let document = env.run(["store", "check", "./store/vision/signs", "--json"]).json();
    assert_eq!(document["root"], "./store");
    for wrong in ["signs", "./store@1.0", "./store:path"] {
        let _ = env.run(["store", "check", wrong]).exits(2);
    }
}

#[test]
fn a_missing_folder_is_the_first_step_to_fail() {
    let env = TestEnv::new();
    insta::assert_snapshot!(env.run(["store", "check", "./store"]).snapshot(), @"
    exit: 3
    --- stdout
    ./store
    failed    folder            no such folder: [ROOT]/work/store
                                hint: `dagset store create ./store` makes it
    left out  file system, free space, may list, may read, may write, exclusive
              create, clock, may delete: there is no folder
    failed: 1 step
    --- stderr
    ");
    assert!(!env.path("store").exists());
}

#[test]
fn a_store_that_may_only_be_read_says_so() {
    let mut env = TestEnv::new();
    let _ = env.run(["store", "create", "./store"]).exits(0);
    for path in everything_below(&env.path("store")).into_iter().chain([env.path("store")]) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    }
    env.bind_by_permissions();
    let document = env.run(["store", "check", "./store", "--json"]).exits(6).document();
    let found = outcomes(&document);
    for (step, outcome) in
        [("may list", "ok"), ("may read", "ok"), ("may write", "failed"), ("exclusive create", "left_out")]
    {
        assert_eq!(found[step], outcome, "{document}");
    }
    fs::create_dir(env.path("closed")).unwrap();
    fs::set_permissions(env.path("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    for new in ["./closed", "./closed/store"] {
        let said = env.run(["store", "create", new]).exits(6);
        assert!(said.stderr.contains("permission denied"), "{new}: {}", said.stderr);
    }
    for path in [env.path("store"), env.path("closed")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// What is wrong with a store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Whoever creates an object is told that it is new.
    AllWin,
    /// What one created is soon another's.
    Replaces,
    /// Nothing may be deleted: that is no flaw.
    KeepsAll,
    /// Its clock is an hour behind.
    Slow,
}

struct Flawed {
    inner: Bucket,
    flaw: Flaw,
}

impl Flawed {
    fn store(flaw: Flaw) -> Bucket {
        Bucket::new(Flawed { inner: backend::memory(), flaw })
    }
}

impl Objects for Flawed {
    fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        let created = self.inner.create(name, bytes)?;
        Ok(if self.flaw == Flaw::AllWin { Created::New } else { created })
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        let is_raced_for = name.starts_with("check-") && !name.ends_with("/1");
        if self.flaw == Flaw::Replaces && is_raced_for {
            return Ok(Bytes::from_static(b"another's"));
        }
        self.inner.get(name)
    }

    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
        self.inner.get_range(name, offset, bytes)
    }

    fn get_tail(&self, name: &str, bytes: u64) -> Result<(Bytes, u64)> {
        self.inner.get_tail(name, bytes)
    }

    fn list(&self, folder: &str) -> Result<Listing> {
        let mut listing = self.inner.list(folder)?;
        if self.flaw == Flaw::Slow {
            listing.objects.iter_mut().for_each(|object| object.modified.0 -= 3_600_000);
        }
        Ok(listing)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.inner.size(name)
    }

    fn delete(&self, name: &str) -> Result<()> {
        match self.flaw {
            Flaw::KeepsAll => Err(Error::new(Kind::Unreachable, format!("access denied: {name}"))),
            _ => self.inner.delete(name),
        }
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[test]
fn a_store_on_which_two_writers_win_is_not_made() {
    let data = tempfile::tempdir().unwrap();
    lay_out(data.path(), 1);
    for (flaw, why) in
        [(Flaw::AllWin, "16 of 16 writers were told"), (Flaw::Replaces, "replaced after its writer was told")]
    {
        let store = Flawed::store(flaw);
        let engine = serving(&store);
        let refusals = [
            engine.create_store(STORE).expect_err("is refused"),
            ingest(&engine, data.path(), "/store//signs", None).expect_err("is refused"),
        ];
        for refusal in refusals {
            assert_eq!(refusal.kind(), Kind::Failed);
            assert!(whole_text(&refusal).contains(why), "{}", whole_text(&refusal));
        }
        assert_eq!(objects(&store), [""; 0], "nothing is created, and what tried it is gone");
        let check = engine.check_store(STORE).unwrap();
        assert_eq!(outcome(&check, "exclusive create"), StepOutcome::Failed(Kind::Failed));
        assert_eq!(outcome(&check, "may write"), StepOutcome::Ok);
        assert_eq!(check.failure(), Some(Kind::Failed));
    }
}

#[test]
fn where_nothing_may_be_deleted_a_check_says_what_it_leaves() {
    let store = Flawed::store(Flaw::KeepsAll);
    let engine = serving(&store);
    engine.create_store(STORE).unwrap();
    let made = objects(&store).len();
    let check = engine.check_store(STORE).unwrap();
    assert_eq!((check.failure(), outcome(&check, "may delete")), (None, StepOutcome::LeftOut));
    assert!(check.steps.last().unwrap().detail.starts_with("not needed; 5 small objects"), "{check:?}");
    assert_eq!((made, objects(&store).len()), (4 + 2, 4 + 2 + 5));
    let data = tempfile::tempdir().unwrap();
    lay_out(data.path(), 1);
    ingest(&engine, data.path(), "/store//signs", None).unwrap();
    assert_eq!(engine.verify_store(STORE, None).unwrap().findings, []);
}

#[test]
fn a_clock_that_is_off_is_found() {
    let engine = serving(&Flawed::store(Flaw::Slow));
    let check = engine.check_store(STORE).unwrap();
    let clock = check.steps.iter().find(|step| step.name == "clock").unwrap();
    assert_eq!(clock.outcome, StepOutcome::Failed(Kind::Failed));
    assert!(clock.detail.contains("behind this machine's"), "{clock:?}");
}

/// The first step of a check that failed, with what was said of it and the hint.
fn first_failure(document: &Value) -> (String, String) {
    let steps = document["steps"].as_array().unwrap();
    let failed = steps.iter().find(|step| step["outcome"] == "failed").unwrap();
    (failed["step"].as_str().unwrap().to_owned(), format!("{} {}", failed["detail"], failed["hint"]))
}

#[test]
fn a_good_bucket_passes_and_is_left_as_it_was() {
    let Some(s3) = s3::server(Server::Real) else { return };
    let mut env = TestEnv::new();
    s3.reach_from(&mut env);
    let url = s3.url("checked");
    for step in ["before", "after"] {
        let document = env.run(["store", "check", &url, "--json"]).json();
        assert!(outcomes(&document).values().all(|outcome| outcome == "ok"), "{step}: {document}");
        let [put, delete] = ["put", "delete"].map(|verb| document["requests"][verb].as_u64().unwrap());
        assert!(put >= 161 && delete >= 11, "each try counts: {document}");
        if step == "before" {
            let _ = env.run(["store", "create", &url]).exits(0);
        }
    }
    let names = objects(&dagset::store::backend::open(&url, &s3.access(), &Default::default()).unwrap());
    assert_eq!(names, ["dagset.json", "log/000/000/001"]);
}

#[test]
fn each_step_to_a_bucket_fails_by_its_name() {
    let Some(s3) = s3::server(Server::Real) else { return };
    let url = s3.url("nothing");
    let closed = "http://127.0.0.1:1";
    let cases = [
        ("AWS_ENDPOINT_URL", closed, url.as_str(), "reached", "no connection to 127.0.0.1 port 1"),
        ("AWS_SECRET_ACCESS_KEY", "hush", &url, "signed in", "the secret doesn't fit the access key"),
        ("AWS_ACCESS_KEY_ID", "nobody", &url, "signed in", "doesn't know this access key"),
        ("AWS_REGION", "us-east-1", "s3://no-such-bucket/data", "bucket", "there is no bucket no-such-bucket"),
    ];
    for (variable, value, url, step, said) in cases {
        let mut env = TestEnv::new();
        s3.reach_from(&mut env);
        env.set(variable, value);
        let found = env.run(["store", "check", url, "--json"]).exits(6);
        let (failed, text) = first_failure(&found.document());
        assert_eq!(failed, step, "{text}");
        assert!(text.contains(said) && !text.contains("hush"), "{text}");
        let holds =
            found.document()["steps"].as_array().unwrap().iter().take_while(|step| step["outcome"] == "ok").count();
        assert_eq!(outcomes(&found.document()).values().filter(|outcome| *outcome == "ok").count(), holds, "{text}");
    }
}

#[test]
fn a_server_whose_conditional_writes_are_not_atomic_is_refused() {
    let Some(s3) = s3::server(Server::Weak) else { return };
    let mut env = TestEnv::new();
    s3.reach_from(&mut env);
    env.write("data/a", "1");
    let url = s3.url("weak");
    let into = format!("{url}/set");
    for arguments in [&["store", "create", &url][..], &["ingest", "data", "--into", &into, "--create"]] {
        let said = env.run(arguments).exits(1);
        assert!(said.stderr.contains("of 16 writers were told that they had created one object"), "{}", said.stderr);
    }
    let document = env.run(["store", "check", &url, "--json"]).exits(1).document();
    assert_eq!(first_failure(&document).0, "exclusive create");
    assert_eq!(objects(&dagset::store::backend::open(&url, &s3.access(), &Default::default()).unwrap()), [""; 0]);
}
