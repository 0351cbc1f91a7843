//! Many processes of one user share a mirror: none fails by it, what one of them throws away is made anew, and none is told old news.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dagset::base::{Error, Observer};
use dagset::engine::{Address, CommitOptions, Engine, InitOptions, LogOptions, Missing, Opener, Settings};
use dagset::store::backend;

use crate::stage::{findings, whole_text};

const PROCESSES: usize = 32;
const COMMITS: usize = 3;
/// In truth a folder; its URL gives it a mirror.
const FAR: &str = "s3://far";
/// What a child process does, told by its environment.
const CHILD: &str = "DAGSET_TEST_MIRROR_CHILD";

/// An engine in the workspace of one process; `root` holds the far store and the mirror of all.
fn engine(root: &Path, number: usize, state: &str) -> Engine {
    let folder = root.join(format!("work-{number}"));
    fs::create_dir_all(&folder).expect("a folder");
    let settings = Settings {
        folder,
        home: None,
        author: "Ada <ada@example.org>".to_owned(),
        provenance: Default::default(),
        default_store: None,
        access: Default::default(),
        jobs: 1,
        state_folder: Some(root.join(state)),
        caches: Vec::new(),
        user_cache: None,
    };
    let far = root.join("far").to_str().expect("UTF-8").to_owned();
    let opener = Opener::new(move |place, missing| match (place, missing) {
        (FAR, Missing::Fails) => backend::open_folder(&far),
        (FAR, Missing::IsMade) => backend::create_folder(&far),
        (other, _) if other.contains("://") => Err(Error::not_found(other)),
        (folder, Missing::Fails) => backend::open_folder(folder),
        (folder, Missing::IsMade) => backend::create_folder(folder),
    });
    Engine::with_opener(settings, Observer::new(), opener)
}

fn start(root: &Path, number: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "mirror_processes::child_process", "--test-threads", "1", "--nocapture"]);
    command.env(CHILD, format!("{number}|{}", root.display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child")
}

/// No test of its own: one of many processes. Each of its commands is an engine of its own, as a command is.
#[test]
fn child_process() {
    let Ok(text) = std::env::var(CHILD) else { return };
    let (number, root) = text.split_once('|').expect("written by start");
    let (number, root) = (number.parse().expect("a number"), PathBuf::from(root));
    let engine = || engine(&root, number, "state");
    let dataset = format!("set-{number}");
    let init = InitOptions { dataset: Some(dataset.clone()), store: Some(FAR.to_owned()), folder: None };
    engine().init(&init).unwrap_or_else(|fault| panic!("init: {}", whole_text(&fault)));
    for commit in 0..COMMITS {
        fs::write(root.join(format!("work-{number}/file")), format!("{number} {commit}")).expect("writes");
        let options = CommitOptions { all: true, ..CommitOptions::default() };
        engine().commit(&options).unwrap_or_else(|fault| panic!("commit: {}", whole_text(&fault)));
        let address = Address::parse(&format!("{FAR}//{dataset}"), None).expect("an address");
        let log = engine().log(&address, LogOptions::default());
        let seen = log.unwrap_or_else(|fault| panic!("log: {}", whole_text(&fault))).len();
        assert_eq!(seen, commit + 1, "what was just published is seen");
        let listed = engine()
            .list_datasets(FAR, &Default::default())
            .unwrap_or_else(|fault| panic!("list: {}", whole_text(&fault)));
        assert!(listed.iter().any(|card| card.dataset == dataset && card.versions == commit as u64 + 1));
        if number == 0 {
            // Somebody clears the cache while all use it.
            fs::remove_dir_all(root.join("state/mirrors")).ok();
        }
    }
}

#[test]
fn many_processes_share_a_mirror_and_none_fails_by_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("is there");
    engine(&root, 0, "state").create_store(FAR).expect("a store");
    let children: Vec<Child> = (0..PROCESSES).map(|number| start(&root, number)).collect();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "process {number}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let listed =
        |state| format!("{:?}", engine(&root, 0, state).list_datasets(FAR, &Default::default()).expect("lists"));
    assert_eq!(listed("state"), listed("another"), "by the mirror of all, and by none");
    let cards = engine(&root, 0, "state").list_datasets(FAR, &Default::default()).expect("lists");
    assert_eq!(cards.iter().map(|card| card.versions).sum::<u64>(), (PROCESSES * COMMITS) as u64);
    assert_eq!(findings(&engine(&root, 0, "state"), FAR), Vec::<String>::new());
}
