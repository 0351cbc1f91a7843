//! What is damaged × how × which command is run then: never a panic, never wrong bytes, an error that names the object and the next
//! step; and `verify` finds it.

use std::path::{Path, PathBuf};

use dagset::base::{Error, Kind};
use dagset::engine::{Address, Engine};
use dagset::store::{Bucket, backend};

use crate::stage::{
    STORE, contents, copy_of, findings, get, ingest, lay_out, needed, noise, objects, serving, whole_text,
};

const INTO: &str = "/store//signs";

/// A way to damage an object.
#[derive(Debug, Clone)]
pub enum Damage {
    Deleted,
    Truncated(usize),
    Flipped { byte: usize, bit: u8 },
    Garbage,
    SwappedWith(String),
}

/// A store with a state, and the folder that its newest version was made of.
struct Scene {
    root: tempfile::TempDir,
    store: Bucket,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { root: tempfile::tempdir().expect("a folder"), store: backend::memory() };
        let engine = serving(&scene.store);
        lay_out(&scene.source(), 0);
        for version in 0..35 {
            std::fs::write(scene.source().join("count"), format!("{version}\n")).expect("writes");
            ingest(&engine, &scene.source(), INTO, Some(&format!("1.{version}"))).expect("ingests");
        }
        lay_out(&scene.next(), 7);
        scene
    }

    fn source(&self) -> PathBuf {
        self.root.path().join("source")
    }

    /// What is ingested after the damage.
    fn next(&self) -> PathBuf {
        self.root.path().join("next")
    }

    /// Of each kind of object the first and the last, and the records and states that are read.
    fn victims(&self) -> Vec<String> {
        let all = needed(&self.store);
        let mut victims = Vec::new();
        for folder in ["packs/", "meta/", "index/", "state/", "log/", "dagset.json"] {
            let mut of_kind = all.iter().filter(|name| name.starts_with(folder));
            victims.extend(of_kind.next().cloned());
            victims.extend(of_kind.next_back().cloned());
        }
        // The two records behind which nothing repeats what they say, and one in the middle.
        victims.extend(["log/000/000/002", "log/000/000/020", "log/000/000/033"].map(str::to_owned));
        victims.sort();
        victims.dedup();
        assert!(victims.len() > 12, "{victims:?}");
        victims
    }
}

/// Every damage that is tried on an object.
fn damages(store: &Bucket, object: &str) -> Vec<Damage> {
    let len = store.size(object).expect("is listed").expect("is there") as usize;
    let bytes = [0, 6, 7, 9, 16, 20, len / 3, len / 2, len * 2 / 3, len - 60, len - 45, len - 9, len - 1];
    let flips = bytes.into_iter().zip(0..).map(|(byte, bit)| Damage::Flipped { byte, bit: bit % 8 });
    let folder = object.split('/').next().unwrap_or_default();
    let all = needed(store);
    let mut others = all.iter().filter(|name| *name != object && name.contains('/') && name.starts_with(folder));
    let swaps = [others.next().cloned(), others.next_back().cloned()].into_iter().flatten();
    let cuts = [0, 15, len / 2, len - 1].map(Damage::Truncated);
    [Damage::Deleted, Damage::Garbage]
        .into_iter()
        .chain(cuts)
        .chain(flips)
        .chain(swaps.map(Damage::SwappedWith))
        .collect()
}

fn replace(store: &Bucket, object: &str, bytes: Vec<u8>) {
    store.delete(object).expect("deletes");
    store.create(object, bytes.into()).expect("creates");
}

pub fn harm(store: &Bucket, object: &str, damage: &Damage) {
    let mut bytes = store.get(object).expect("is there").to_vec();
    match damage {
        Damage::Deleted => return store.delete(object).expect("deletes"),
        Damage::Truncated(len) => bytes.truncate(*len),
        Damage::Flipped { byte, bit } => bytes[*byte] ^= 1 << bit,
        Damage::Garbage => bytes = noise(77, bytes.len()),
        Damage::SwappedWith(other) => {
            let theirs = store.get(other).expect("is there").to_vec();
            replace(store, other, std::mem::replace(&mut bytes, theirs));
        }
    }
    replace(store, object, bytes);
}

/// A damaged store is refused as such, by an error that names the object and what to do next; what isn't so.
fn complaint(command: &str, fault: &Error, object: &str, damage: &Damage) -> Option<String> {
    let text = whole_text(fault);
    (!is_clear(fault, object, damage)).then(|| format!("{command}, {object}: {damage:?}: {:?}: {text}", fault.kind()))
}

/// Whether the error says that this object is damaged, and what to do next.
pub fn is_clear(fault: &Error, object: &str, damage: &Damage) -> bool {
    let text = whole_text(fault);
    let newer = fault.kind() == Kind::Failed && text.contains("newer dagset");
    let envelope = matches!(damage, Damage::Flipped { byte: 7, .. }) && newer;
    let kind_is_right = matches!(fault.kind(), Kind::Damaged | Kind::NotFound) || envelope;
    let swapped = matches!(damage, Damage::SwappedWith(other) if text.contains(other));
    // Without its newest record a log is that of yesterday; without dagset.json there is no store.
    let absent = *object == *"dagset.json" || fault.kind() == Kind::NotFound;
    let is_named = text.contains(object) || swapped || absent;
    kind_is_right && fault.next_step().is_some() && is_named
}

fn list(engine: &Engine, address: &str) -> Result<Vec<String>, Error> {
    let entries = engine.list_entries(&Address::parse(address, None)?, true)?;
    Ok(entries.into_iter().map(|entry| format!("{} {:?} {:?}", entry.path, entry.content, entry.target)).collect())
}

/// Gets the version into an empty folder: all of it is right, or what is there is.
fn try_get(engine: &Engine, address: &str, source: &Path) -> Result<(), Error> {
    let out = tempfile::tempdir().expect("a folder");
    let outcome = get(engine, address, out.path());
    let (got, wanted) = (contents(out.path()), contents(source));
    match outcome.is_ok() {
        true => assert_eq!(got, wanted),
        false => {
            let placed = got.iter().filter(|(path, _)| !path.contains(".dagset-tmp-"));
            placed.for_each(|(path, what)| assert_eq!(wanted.get(path), Some(what)));
        }
    }
    outcome
}

#[test]
fn no_damage_panics_gives_wrong_bytes_or_goes_unseen() {
    let scene = Scene::new();
    let truth = list(&serving(&scene.store), "/store//signs@1.34").expect("lists");
    let newest = objects(&scene.store).into_iter().rfind(|name| name.starts_with("log/"));
    let mut complaints = Vec::new();
    for object in scene.victims() {
        for damage in damages(&scene.store, &object) {
            let store = copy_of(&scene.store);
            harm(&store, &object, &damage);
            let engine = serving(&store);
            let what = format!("{object}: {damage:?}");

            let verified = engine.verify_store(STORE, None);
            // Who has lost the newest record has a log that ends one record earlier, and is whole.
            let unseen = newest.as_deref() == Some(&*object) && matches!(damage, Damage::Deleted);
            match verified {
                Ok(report) => {
                    let named = report.findings.iter().any(|finding| finding.object.contains(&object));
                    if !named && !unseen {
                        complaints.push(format!("verify, {what}: {:?}", report.findings));
                    }
                }
                Err(fault) => complaints.extend(complaint("verify", &fault, &object, &damage)),
            }
            match list(&engine, "/store//signs@1.34") {
                Ok(entries) => assert_eq!(entries, truth, "{what}"),
                Err(fault) => complaints.extend(complaint("ls", &fault, &object, &damage)),
            }
            if let Err(fault) = try_get(&engine, "/store//signs@1.34", &scene.source()) {
                complaints.extend(complaint("get", &fault, &object, &damage));
            }
            match ingest(&engine, &scene.next(), "/store//other", None) {
                Ok(_) => {
                    if let Err(fault) = try_get(&engine, "/store//other", &scene.next()) {
                        complaints.extend(complaint("get after ingest", &fault, &object, &damage));
                    }
                }
                Err(fault) => complaints.extend(complaint("ingest", &fault, &object, &damage)),
            }
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n\n{}", complaints.len(), complaints.join("\n\n"));
}

#[test]
fn verify_finds_a_flipped_bit_of_any_byte() {
    let root = tempfile::tempdir().expect("a folder");
    let source = root.path().join("source");
    std::fs::create_dir(&source).expect("a folder");
    std::fs::write(source.join("text"), "to be or not to be\n".repeat(9)).expect("writes");
    std::fs::write(source.join("noise"), noise(3, 90)).expect("writes");
    let store = backend::memory();
    ingest(&serving(&store), &source, INTO, Some("1.0")).expect("ingests");
    assert_eq!(findings(&serving(&store), STORE), [""; 0]);
    for object in objects(&store) {
        let whole = store.get(&object).expect("is there").to_vec();
        for byte in 0..whole.len() {
            harm(&store, &object, &Damage::Flipped { byte, bit: (byte % 8) as u8 });
            let found = findings(&serving(&store), STORE);
            assert!(found.iter().any(|line| line.starts_with(&object)), "{object}, byte {byte}: {found:?}");
            replace(&store, &object, whole.clone());
        }
    }
}

#[test]
fn without_its_state_a_log_is_read_from_the_beginning() {
    let scene = Scene::new();
    let state = objects(&scene.store).into_iter().find(|name| name.starts_with("state/")).expect("a state");
    scene.store.delete(&state).expect("deletes");
    let engine = serving(&scene.store);
    try_get(&engine, "/store//signs@1.3", &{
        let then = scene.root.path().join("then");
        lay_out(&then, 0);
        std::fs::write(then.join("count"), "3\n").expect("writes");
        then
    })
    .expect("every record is there");
    ingest(&engine, &scene.next(), INTO, Some("2.0")).expect("the log goes on");
    try_get(&engine, "/store//signs@2.0", &scene.next()).expect("gets");
    assert_eq!(engine.list_datasets(STORE, &Default::default()).expect("lists")[0].versions, 36);
}

#[test]
fn a_get_that_fails_early_ends() {
    let root = tempfile::tempdir().expect("a folder");
    let source = root.path().join("source");
    std::fs::create_dir(&source).expect("a folder");
    // Far more runs than the queue of the writers holds.
    for number in 0..1_500 {
        std::fs::write(source.join(format!("{number}")), number.to_string()).expect("writes");
    }
    let store = backend::memory();
    ingest(&serving(&store), &source, INTO, None).expect("ingests");
    let pack = objects(&store).into_iter().find(|name| name.starts_with("packs/")).expect("a pack");
    store.delete(&pack).expect("deletes");
    let fault = try_get(&serving(&store), INTO, &source).expect_err("nothing is there to get");
    assert_eq!(complaint("get", &fault, &pack, &Damage::Deleted), None);
}
