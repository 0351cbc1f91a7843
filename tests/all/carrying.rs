//! From one far store into another: what is carried is read once, in long ranges, though answers take their time.

use std::fs;
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use dagset::base::{Error, Observer, Result};
use dagset::engine::{CloneOptions, Engine, Opener, PushOptions};
use dagset::store::recording::Recording;
use dagset::store::{Bucket, Created, Listing, Objects, Verb, backend};

use crate::stage::{engine, findings, ingest, noise};

const FROM: &str = "s3://from";
const TO: &str = "s3://to";

/// A store that gives no piece of a pack before so many were asked for: who reads ahead asks for all of them, and for none twice.
#[derive(Clone)]
struct Late {
    inner: Bucket,
    asked: Arc<(Mutex<usize>, Condvar)>,
}

impl Late {
    const ASKED_AT_ONCE: usize = 6;

    fn new(inner: Bucket) -> Late {
        Late { inner, asked: Arc::default() }
    }
}

impl Objects for Late {
    fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        self.inner.create(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.inner.get(name)
    }

    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
        if name.starts_with("packs/") {
            let (asked, more) = &*self.asked;
            let mut asked = asked.lock().expect("no reader panics");
            *asked += 1;
            more.notify_all();
            drop(more.wait_while(asked, |asked| *asked < Late::ASKED_AT_ONCE).expect("no reader panics"));
        }
        self.inner.get_range(name, offset, bytes)
    }

    fn get_tail(&self, name: &str, bytes: u64) -> Result<(Bytes, u64)> {
        self.inner.get_tail(name, bytes)
    }

    fn list(&self, folder: &str) -> Result<Listing> {
        self.inner.list(folder)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.inner.size(name)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn is_far(&self) -> bool {
        true
    }
}

fn knowing(from: &Bucket, to: &Bucket) -> Engine {
    let (from, to) = (from.clone(), to.clone());
    engine(Opener::new(move |root, missing| match (root, missing) {
        (FROM, _) => Ok(from.clone()),
        (TO, _) => Ok(to.clone()),
        (other, _) if other.contains("://") => Err(Error::not_found(other)),
        (folder, dagset::engine::Missing::Fails) => backend::open_folder(folder),
        (folder, dagset::engine::Missing::IsMade) => backend::create_folder(folder),
    }))
}

#[test]
fn a_clone_that_is_pushed_elsewhere_reads_its_remote_once() {
    let (from, to) = (backend::memory(), backend::memory());
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("is there");
    for number in 0..6 {
        let part = root.join(format!("data/{number}"));
        fs::create_dir_all(&part).expect("a folder");
        fs::write(part.join("large.bin"), noise(1 << 20 | number, 16 << 20)).expect("writes");
        for small in 0..100 {
            let size = 3_000 + 240 * small as usize;
            fs::write(part.join(format!("{small}.bin")), noise(number << 8 | small, size)).expect("writes");
        }
    }
    let mut writer = knowing(&from, &to);
    writer.settings.jobs = 4;
    [FROM, TO].iter().for_each(|store| drop(writer.create_store(store).expect("a store")));
    ingest(&writer, &root.join("data"), &format!("{FROM}//signs"), None).expect("ingests");
    let clone = CloneOptions { address: format!("{FROM}//signs"), folder: Some(root.join("clone")), no_content: true };
    knowing(&from, &to).clone_dataset(&clone).expect("clones");

    let recording = Recording::keeping_calls(Bucket::new(Late::new(from.clone())), Observer::new());
    let mut pusher = knowing(&recording.bucket(), &to);
    pusher.settings.folder = root.join("clone");
    let options =
        PushOptions { remote: Some(format!("{TO}//signs")), refs: vec!["main".to_owned()], ..PushOptions::default() };
    let pushed = pusher.push(&options).expect("pushes");
    let calls = recording.take_calls();
    let of_packs = || calls.iter().filter(|call| call.name.starts_with("packs/"));
    assert!(of_packs().all(|call| call.verb == Verb::GetRange));
    let read: u64 = of_packs().map(|call| call.bytes).sum();
    assert!(read * 100 <= pushed.new_bytes * 105, "{read} bytes of packs read for {}", pushed.new_bytes);
    // How the files of one folder lie in the packs is a matter of which of the writer's workers came first: some ranges are short.
    assert!(of_packs().count() as u64 <= pushed.new_bytes / (2 << 20), "{} requests", of_packs().count());
    assert_eq!(findings(&knowing(&from, &to), TO), Vec::<String>::new());
}
