//! Versions between stores: clone, push, fetch, pull.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use dagset::base::{Kind, Observer};
use dagset::engine::{
    Address, CloneOptions, CommitOptions, Engine, GetOptions, IngestOptions, InitOptions, Missing, Opener, Published,
    PushOptions, PushReport, Settings,
};
use dagset::store::faulty::{Fault, Faulty, Plan};
use dagset::store::recording::Recording;
use dagset::store::{Bucket, Verb, backend};

use crate::stage::{contents, copy_of, findings, noise, whole_text};
use crate::steered::Steered;

/// Where everybody's remote is.
const FAR: &str = "s3://far";
const DATASET: &str = "s3://far//team/signs";

/// People with folders of their own and one store far away.
struct Team {
    folder: tempfile::TempDir,
    far: Bucket,
}

impl Team {
    /// The far store is there and empty.
    fn new() -> Team {
        let team = Team { folder: tempfile::tempdir().expect("a folder"), far: backend::memory() };
        team.engine("").create_store(FAR).expect("a store");
        team
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("the folder").join(name)
    }

    fn engine(&self, name: &str) -> Engine {
        self.engine_over(name, self.far.clone())
    }

    /// An engine in the folder `name` to which `far` is the far store.
    fn engine_over(&self, name: &str, far: Bucket) -> Engine {
        let folder = self.path(name);
        fs::create_dir_all(&folder).expect("a folder");
        let settings = Settings {
            folder,
            home: None,
            author: "Ada <ada@example.org>".to_owned(),
            provenance: Default::default(),
            default_store: None,
            access: Default::default(),
            jobs: 1,
            state_folder: Some(self.path("state")),
            caches: Vec::new(),
            user_cache: None,
        };
        let opener = Opener::new(move |root, missing| match (root == FAR, missing) {
            (true, _) => Ok(far.clone()),
            (false, _) if root.contains("://") => Err(dagset::base::Error::not_found(root)),
            (false, Missing::Fails) => backend::open_folder(root),
            (false, Missing::IsMade) => backend::create_folder(root),
        });
        Engine::with_opener(settings, Observer::new(), opener)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("is below")).expect("a folder");
        fs::write(path, content).expect("writes");
    }

    /// A workspace `name` of its own with a first version `1.0` of a few files, large and small.
    fn author(&self, name: &str) {
        let options = InitOptions { dataset: Some("team/signs".to_owned()), ..InitOptions::default() };
        self.engine(name).init(&options).expect("a workspace");
        for number in 0..20 {
            self.write(&format!("{name}/labels/{number}.txt"), format!("label {number}"));
        }
        self.write(&format!("{name}/big.bin"), noise(7, 400_000));
        self.commit(name, Some("1.0"));
    }

    fn commit(&self, name: &str, version: Option<&str>) -> Published {
        let options = CommitOptions { all: true, name: version.map(str::to_owned), ..CommitOptions::default() };
        self.engine(name).commit(&options).expect("commits")
    }

    fn push(&self, name: &str) -> PushReport {
        self.engine(name).push(&to_far(&[])).expect("pushes")
    }

    fn clone(&self, name: &str) {
        let options = CloneOptions { address: DATASET.to_owned(), folder: Some(self.path(name)), no_content: false };
        self.engine("").clone_dataset(&options).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
    }

    /// What the folder of a workspace holds beside `.dagset/`.
    fn files(&self, name: &str) -> Vec<(String, String)> {
        contents(&self.path(name)).into_iter().filter(|(path, _)| !path.starts_with(".dagset")).collect()
    }

    fn assert_is_sound(&self) {
        assert_eq!(findings(&self.engine(""), FAR), Vec::<String>::new());
    }
}

fn to_far(refs: &[&str]) -> PushOptions {
    let refs = refs.iter().map(|name| name.to_string()).collect();
    PushOptions { remote: Some(DATASET.to_owned()), refs, ..PushOptions::default() }
}

fn outcomes(report: &PushReport) -> Vec<(&str, &str)> {
    report.refs.iter().map(|row| (row.name.as_str(), row.outcome)).collect()
}

#[test]
fn what_one_pushes_another_clones_changes_and_gives_back() {
    let team = Team::new();
    team.author("ada");
    let pushed = team.push("ada");
    assert_eq!(outcomes(&pushed), [("main", "new"), ("1.0", "new")]);
    team.clone("bob");
    assert_eq!(team.files("bob"), team.files("ada"));
    fs::rename(team.path("bob/labels/1.txt"), team.path("bob/one.txt")).expect("renames");
    team.write("bob/labels/2.txt", "label two");
    team.commit("bob", Some("1.1"));
    let pushed = team.engine("bob").push(&PushOptions::default()).expect("pushes to its origin");
    assert_eq!((pushed.versions, pushed.new_chunks), (1, 1));
    assert_eq!(outcomes(&pushed), [("main", "moved"), ("1.0", "same"), ("1.1", "new")]);

    // The first author has no remote by that name yet: a clone beside it does.
    team.clone("ada2");
    assert_eq!(team.files("ada2"), team.files("bob"));
    team.write("bob/three.txt", "three");
    team.commit("bob", None);
    let upstream = |name: &str| team.engine(name).status().expect("status").upstream.map(|it| (it.ahead, it.behind));
    assert_eq!(upstream("bob"), Some((1, 0)));
    team.engine("bob").push(&PushOptions::default()).expect("pushes");
    assert_eq!(upstream("bob"), Some((0, 0)));
    team.engine("ada2").fetch(None).expect("fetches");
    assert_eq!(upstream("ada2"), Some((0, 1)));
    let pulled = team.engine("ada2").pull(None).expect("pulls");
    assert_eq!((pulled.fetched.versions, pulled.written, pulled.removed), (0, 1, 0));
    assert_eq!(team.files("ada2"), team.files("bob"));
    assert!(team.engine("ada2").status().expect("status").is_clean());
    team.assert_is_sound();
}

#[test]
fn a_clone_holds_no_content_until_it_makes_some_and_still_gives_every_version() {
    let team = Team::new();
    team.author("ada");
    team.write("ada/big.bin", noise(8, 400_000));
    team.commit("ada", Some("2.0"));
    team.push("ada");
    team.clone("bob");
    let packs = team.engine("bob").store_info(team.path("bob/.dagset/store").to_str().expect("UTF-8")).expect("info");
    assert_eq!((packs.versions, packs.pack_bytes), (2, 0));
    let home = team.path("bob/.dagset/store");
    assert_eq!(
        findings(&team.engine("bob"), home.to_str().expect("UTF-8")),
        Vec::<String>::new(),
        "borrowed, not missing"
    );
    assert_eq!(findings(&team.engine(""), home.to_str().expect("UTF-8")), Vec::<String>::new(), "and so from outside");
    let out = team.path("out");
    let address = Address::parse_in_workspace("1.0:big.bin", None).expect("an address");
    let options = GetOptions { folder: out.clone(), ..GetOptions::default() };
    team.engine("bob").get(&address, &options).expect("gets an old version");
    assert_eq!(fs::read(out.join("big.bin")).expect("reads"), noise(7, 400_000));
    team.engine("bob").switch("1.0").expect("switches");
    team.engine("bob").switch("main").expect("switches back");
    assert_eq!(team.files("bob"), team.files("ada"));
}

#[test]
fn renames_send_no_content_and_a_push_with_nothing_to_do_writes_nothing() {
    let team = Team::new();
    team.author("ada");
    team.push("ada");
    fs::rename(team.path("ada/labels"), team.path("ada/signs")).expect("renames");
    fs::rename(team.path("ada/big.bin"), team.path("ada/signs/big.bin")).expect("renames");
    team.commit("ada", None);
    let recording = Recording::keeping_calls(team.far.clone(), Observer::new());
    let pushed = team.engine_over("ada", recording.bucket()).push(&to_far(&[])).expect("pushes");
    assert_eq!((pushed.versions, pushed.new_chunks), (1, 0));
    let created: Vec<String> =
        recording.take_calls().into_iter().filter(|call| call.verb == Verb::Create).map(|call| call.name).collect();
    let folders: Vec<&str> = created.iter().filter_map(|name| name.split('/').next()).collect();
    assert_eq!(folders, ["meta", "index", "log"], "no pack");
    team.engine_over("ada", recording.bucket()).push(&to_far(&[])).expect("pushes");
    assert!(recording.take_calls().iter().all(|call| call.verb != Verb::Create));
}

#[test]
fn of_a_frame_only_what_is_wanted_goes_along() {
    let team = Team::new();
    let lone = team.path("lone");
    team.write("lone/labels/3.txt", "label 3");
    let options =
        IngestOptions { source: lone, into: "s3://far//other".to_owned(), create: true, ..IngestOptions::default() };
    team.engine("").ingest(&options).expect("ingests");
    team.author("ada");
    let dry = team.engine("ada").push(&PushOptions { dry_run: true, ..to_far(&[]) }).expect("counts");
    assert_eq!(team.engine("").list_datasets(FAR, &Default::default()).expect("lists").len(), 1, "nothing was sent");
    let pushed = team.push("ada");
    assert_eq!((dry.new_chunks, dry.new_bytes), (pushed.new_chunks, pushed.new_bytes));
    let labels: u64 = (0..20).filter(|number| *number != 3).map(|number| format!("label {number}").len() as u64).sum();
    assert_eq!(pushed.new_bytes, 400_000 + labels, "what another dataset has is not sent");
    team.assert_is_sound();
    team.clone("bob");
    assert_eq!(team.files("bob"), team.files("ada"));
}

#[test]
fn both_sides_went_on_is_a_conflict_and_nothing_moves() {
    let team = Team::new();
    team.author("ada");
    team.push("ada");
    team.clone("bob");
    team.write("ada/x", "ada");
    team.commit("ada", Some("ada-1"));
    team.push("ada");
    team.write("bob/x", "bob");
    team.commit("bob", Some("bob-1"));
    let before = objects_of(&team.far);
    let refused = team.engine("bob").push(&PushOptions::default()).expect_err("diverged");
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.next_step().is_some_and(|hint| hint.contains("dagset pull")), "{}", whole_text(&refused));
    assert_eq!(objects_of(&team.far), before);
    assert_eq!(team.engine("bob").pull(None).expect_err("diverged").kind(), Kind::Conflict);
    assert_eq!(fs::read_to_string(team.path("bob/x")).expect("reads"), "bob");
}

#[test]
fn what_a_refused_push_sent_is_not_sent_again() {
    let team = Team::new();
    team.author("ada");
    team.push("ada");
    team.clone("bob");
    team.write("ada/x", "ada");
    team.commit("ada", Some("ada-1"));
    team.write("bob/large.bin", noise(9, 3_000_000));
    team.commit("bob", Some("bob-1"));

    // Ada is faster, while what Bob pushes is on its way.
    let faster = Mutex::new(Some(team.engine("ada")));
    let meanwhile = Steered::bucket(&team.far, move |name| {
        let ada = faster.lock().expect("no push panics").take_if(|_| name.starts_with("packs/"));
        ada.iter().for_each(|ada| drop(ada.push(&to_far(&[])).expect("pushes")));
    });
    let refused = team.engine_over("bob", meanwhile).push(&to_far(&["main"])).expect_err("the branch moved");
    assert_eq!(refused.kind(), Kind::Conflict, "{}", whole_text(&refused));

    let again = team.engine("bob").push(&to_far(&["bob-1"])).expect("pushes");
    assert!(again.stored_bytes < 100_000, "{} bytes were stored again", again.stored_bytes);
    team.assert_is_sound();
}

fn objects_of(bucket: &Bucket) -> Vec<String> {
    crate::stage::objects(bucket)
}

#[test]
fn a_pull_spares_what_is_not_saved() {
    let team = Team::new();
    team.author("ada");
    team.push("ada");
    team.clone("bob");
    team.write("ada/labels/1.txt", "from ada");
    team.commit("ada", None);
    team.push("ada");
    team.write("bob/labels/1.txt", "unsaved");
    assert_eq!(team.engine("bob").pull(None).expect_err("in the way").kind(), Kind::Conflict);
    assert_eq!(fs::read_to_string(team.path("bob/labels/1.txt")).expect("reads"), "unsaved");
    team.write("bob/labels/1.txt", "label 1");
    team.engine("bob").pull(None).expect("pulls");
    assert_eq!(fs::read_to_string(team.path("bob/labels/1.txt")).expect("reads"), "from ada");
}

#[test]
fn names_stay_unique_and_tags_go_where_they_are_sent() {
    let team = Team::new();
    team.author("ada");
    team.push("ada");
    team.clone("bob");
    team.write("ada/x", "1");
    team.commit("ada", Some("2.0"));
    team.push("ada");
    // The same name, for something else, on another branch.
    let here = Address::parse_in_workspace("1.0", None).expect("an address");
    team.engine("bob").create_branch(&here, "fixes").expect("a branch");
    team.engine("bob").switch("fixes").expect("switches");
    team.write("bob/y", "2");
    team.commit("bob", Some("2.0"));
    let pushed = team.engine("bob").push(&PushOptions::default()).expect("all but the name");
    assert_eq!(outcomes(&pushed), [("fixes", "new"), ("1.0", "same"), ("2.0", "refused")]);
    let options = PushOptions { refs: vec!["fixes".to_owned()], ..PushOptions::default() };
    assert_eq!(outcomes(&team.engine("bob").push(&options).expect("the branch alone")), [("fixes", "same")]);

    let tag = |at: &str| {
        let address = Address::parse_in_workspace(at, None).expect("an address");
        team.engine("bob").set_tag(&address, "prod", None, None).expect("a tag");
        let options = PushOptions { refs: vec!["prod".to_owned()], ..PushOptions::default() };
        outcomes(&team.engine("bob").push(&options).expect("pushes")).first().map(|(_, outcome)| outcome.to_string())
    };
    assert_eq!(tag("fixes").as_deref(), Some("new"));
    assert_eq!(tag("1.0").as_deref(), Some("moved"), "a tag that is named goes back too");
    team.assert_is_sound();
}

#[test]
fn a_transfer_that_fails_at_any_call_is_ended_by_the_same_command() {
    let team = Team::new();
    team.author("ada");
    let empty = copy_of(&team.far);
    let healthy = Faulty::new(copy_of(&empty));
    team.engine_over("ada", healthy.bucket()).push(&to_far(&[])).expect("no fault is planned");
    let calls = healthy.calls();
    assert!(calls > 5);
    for call in 1..=calls {
        for fault in [Fault::Before, Fault::After] {
            let faulty = Faulty::new(copy_of(&empty));
            faulty.plan(Plan::at(call, fault).and_power_loss());
            // The store is as it was before all pushes: who saw those would miss their records.
            fs::remove_dir_all(team.path("state/newest")).expect("is there");
            team.engine_over("ada", faulty.bucket()).push(&to_far(&[])).ok();
            faulty.revive();
            let pushed = team.engine_over("ada", faulty.bucket()).push(&to_far(&[])).expect("the same command");
            assert!(pushed.refs.iter().all(|row| matches!(row.outcome, "new" | "same")));
            let engine = team.engine_over("", faulty.bucket());
            assert_eq!(findings(&engine, FAR), Vec::<String>::new(), "call {call}, {fault:?}");
        }
    }
}

#[test]
fn a_clone_that_is_cut_off_goes_on() {
    let team = Team::new();
    team.author("ada");
    team.push("ada");
    let healthy = Faulty::new(team.far.clone());
    let into =
        |name: &str| CloneOptions { address: DATASET.to_owned(), folder: Some(team.path(name)), no_content: false };
    // Each time on a machine that has read nothing of the store yet.
    let forget = || fs::remove_dir_all(team.path("state/mirrors")).expect("is there");
    forget();
    team.engine_over("", healthy.bucket()).clone_dataset(&into("whole")).expect("no fault is planned");
    let mut cut_off = 0;
    for call in 1..=healthy.calls() {
        forget();
        let name = format!("clone-{call}");
        let faulty = Faulty::new(team.far.clone());
        faulty.plan(Plan::at(call, Fault::Before).and_power_loss());
        // How many calls a clone takes depends on what its threads share: the last ones may not come.
        if team.engine_over("", faulty.bucket()).clone_dataset(&into(&name)).is_err() {
            cut_off += 1;
            let again = team.engine("").clone_dataset(&into(&name));
            again.unwrap_or_else(|fault| panic!("{call}: {}", whole_text(&fault)));
        }
        assert_eq!(team.files(&name), team.files("ada"), "call {call}");
    }
    assert!(cut_off > 8, "{cut_off}");
    let twice = team.engine("").clone_dataset(&into("whole")).expect_err("is there");
    assert_eq!(twice.kind(), Kind::Conflict);
}

#[test]
fn a_long_history_is_carried_in_few_objects() {
    const VERSIONS: usize = 600;
    let team = Team::new();
    let source = team.path("source");
    let home = team.path("home");
    let home = home.to_str().expect("UTF-8");
    team.engine("").create_store(home).expect("a store");
    for number in 0..VERSIONS {
        team.write("source/file", format!("content {number}"));
        let into = format!("{home}//team/signs");
        let options = IngestOptions { source: source.clone(), into, create: true, ..IngestOptions::default() };
        team.engine("").ingest(&options).expect("ingests");
    }
    let options = InitOptions { dataset: Some("team/signs".to_owned()), store: Some(home.to_owned()), folder: None };
    team.engine("ada").init(&options).expect("a workspace");
    let recording = Recording::keeping_calls(team.far.clone(), Observer::new());
    let pushed = team.engine_over("ada", recording.bucket()).push(&to_far(&["main"])).expect("pushes");
    assert_eq!(pushed.versions, VERSIONS as u64);
    let created = recording.take_calls().into_iter().filter(|call| call.verb == Verb::Create).count();
    assert_eq!(created, 5, "a pack, a meta pack, an index, two records");
    team.assert_is_sound();
    team.clone("bob");
    assert_eq!(fs::read_to_string(team.path("bob/file")).expect("reads"), format!("content {}", VERSIONS - 1));
    team.engine("bob").switch("main~400").expect("an old version");
    assert_eq!(fs::read_to_string(team.path("bob/file")).expect("reads"), format!("content {}", VERSIONS - 401));
}

#[test]
fn a_home_that_others_may_use_gets_all_content() {
    let team = Team::new();
    team.author("ada");
    team.push("ada");
    let home = team.path("shared");
    let home = home.to_str().expect("UTF-8");
    team.engine("").create_store(home).expect("a store");
    let options = InitOptions { dataset: Some("team/signs".to_owned()), store: Some(home.to_owned()), folder: None };
    team.engine("bob").init(&options).expect("a workspace");
    add_origin(&team.path("bob"));
    team.engine("bob").pull(None).expect("pulls");
    assert_eq!(team.files("bob"), team.files("ada"));
    assert_eq!(findings(&team.engine(""), home), Vec::<String>::new(), "whole in itself");
}

fn add_origin(workspace: &Path) {
    let path = workspace.join(".dagset/config.toml");
    let text = fs::read_to_string(&path).expect("reads");
    fs::write(path, format!("{text}\n[remote.origin]\nurl = \"{DATASET}\"\n")).expect("writes");
}
