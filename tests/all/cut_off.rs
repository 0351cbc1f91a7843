//! A large file whose coming into a cache is cut off: what had come is gone on with.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dagset::base::{Kind, Observer};
use dagset::engine::WarmOptions;

use crate::machine::{Cost, FAR, Machine, address};
use crate::stage::noise;
use crate::steered::Steered;

const BYTES: usize = 48 << 20;
/// The request for a part of a pack at which the user has had enough.
const ENOUGH: usize = 6;
/// What a warm-up receives beside the bytes that are lacking: records, the recipe, and gaps between frames that are read along.
const OTHER_BYTES: u64 = 1 << 20;

/// A far store with a large file, and a machine on which warming was interrupted in the middle of it.
struct CutOff {
    machine: Machine,
    content: Vec<u8>,
}

impl CutOff {
    fn new() -> CutOff {
        let maker = Machine::with_store();
        let content = noise(1, BYTES);
        maker.write("source/large", &content);
        maker.ingest("set", "source");
        let watched: Arc<OnceLock<Observer>> = Arc::default();
        let (observer, asked) = (watched.clone(), AtomicUsize::new(0));
        let far = Steered::reading_ranges(maker.far(), move |name| {
            if name.starts_with("packs/") && asked.fetch_add(1, Ordering::Relaxed) == ENOUGH {
                observer.get().expect("is at work").stop();
            }
        });
        let machine = Machine::new(&far).with_cache();
        let (outcome, _, _) = machine.try_run(Default::default(), |engine| {
            watched.set(engine.observer.clone()).ok();
            engine.warm(&[address(&format!("{FAR}//set"))], &WarmOptions::default())
        });
        assert_eq!(outcome.expect_err("was interrupted").kind(), Kind::Interrupted);
        CutOff { machine, content }
    }

    /// What came of the file, if anything is kept.
    fn begun(&self) -> Option<PathBuf> {
        let kept = fs::read_dir(self.machine.path("cache/begun")).expect("a folder");
        kept.map(|entry| entry.expect("an entry").path()).next()
    }

    fn warm(&self) -> Cost {
        let set = address(&format!("{FAR}//set"));
        let cost = self.machine.run(|engine| engine.warm(std::slice::from_ref(&set), &WarmOptions::default())).1;
        let id = blake3::hash(&self.content).to_hex();
        let cached = self.machine.path(&format!("cache/files/{}/{id}", &id[..2]));
        assert!(fs::read(cached).expect("is cached") == self.content);
        assert_eq!(self.begun(), None, "nothing is left");
        cost
    }
}

#[test]
fn what_came_of_a_large_file_before_an_interrupt_is_not_asked_for_again() {
    let cut_off = CutOff::new();
    let begun = fs::metadata(cut_off.begun().expect("the beginning is kept")).expect("is there").len();
    assert!(begun >= 4 << 20 && begun < BYTES as u64, "{begun}");
    let cost = cut_off.warm();
    let lacking = BYTES as u64 - begun;
    assert!((lacking..lacking + OTHER_BYTES).contains(&cost.received_bytes), "{begun}: {cost:?}");
}

#[test]
fn a_beginning_that_is_wrong_is_dropped() {
    let cut_off = CutOff::new();
    let begun = cut_off.begun().expect("the beginning is kept");
    let mut bytes = fs::read(&begun).expect("is there");
    bytes[1_000_000] ^= 1;
    fs::write(&begun, bytes).expect("writes");
    let cost = cut_off.warm();
    assert!(cost.received_bytes >= BYTES as u64, "all of it comes: {cost:?}");
}

#[test]
fn a_beginning_counts_as_the_caches_and_goes_with_what_is_pruned() {
    let cut_off = CutOff::new();
    let begun = fs::metadata(cut_off.begun().expect("the beginning is kept")).expect("is there").len();
    let pruned = cut_off.machine.run(|engine| engine.prune_cache(None, Some(0), false)).0.1;
    assert!(pruned.bytes >= begun, "{pruned:?}");
    assert_eq!(cut_off.begun(), None);
}
