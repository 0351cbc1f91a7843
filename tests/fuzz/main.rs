//! Every parser of stored bytes, and of what users write, on mutated inputs: it neither panics nor takes more memory than
//! docs/format.md §1 allows, and what it takes encodes to the same bytes. How to run it for long: fuzz/README.md.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests read the environment and write the corpus, report, and may panic"
)]

mod files;
mod mutate;
mod seeds;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

use mutate::{Random, mutate};
use targets::Target;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Tests take turns, so that one's memory isn't counted as another's.
static TURN: Mutex<()> = Mutex::new(());

/// What docs/format.md §1 allows a parser: so many bytes for each of its input, and so many beside.
const TIMES_INPUT: usize = 64;
const BESIDE: usize = 1 << 20;

/// No input may take longer, in any profile.
const PATIENCE: Duration = Duration::from_secs(10);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder().join("corpus").join(target.name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// What is wrong with how `target` takes `input`, if anything is.
fn fault(target: &Target, input: &[u8]) -> Option<String> {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        (target.parse)(input);
        let taken = MEMORY.peak_usage().saturating_sub(before);
        (target.check)(input);
        taken
    }));
    let allowed = TIMES_INPUT * input.len() + BESIDE;
    match outcome {
        Err(_) => Some("it panics".to_owned()),
        Ok(taken) if target.is_bounded && taken > allowed => Some(format!("it takes {taken} bytes, not {allowed}")),
        Ok(_) if begun.elapsed() > PATIENCE => Some(format!("it takes {:?}", begun.elapsed())),
        Ok(_) => None,
    }
}

/// Runs one input; a fault is kept as a file and ends the test.
fn run(target: &Target, input: &[u8]) {
    if let Some(fault) = fault(target, input) {
        let failures = folder().join("failures").join(target.name);
        fs::create_dir_all(&failures).unwrap();
        let path = failures.join(dagset::base::Id::of(input).short());
        fs::write(&path, input).unwrap();
        panic!("{}: {fault}: {}", target.name, path.display());
    }
}

/// One mutation of an input of the corpus, sealed again more often than not.
fn mutation(target: &Target, corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    mutate(&mut input, &corpus[random.below(corpus.len())], random);
    if !random.one_in(8) {
        (target.seal)(&mut input);
    }
    input
}

#[test]
fn the_corpus_and_some_thousand_mutations_of_it() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for target in targets::all() {
        let corpus = corpus(&target);
        corpus.iter().for_each(|input| run(&target, input));
        let mut random = Random::new(1);
        (0..target.rounds).for_each(|_| run(&target, &mutation(&target, &corpus, &mut random)));
    }
}

#[test]
fn seeds_parse_and_no_target_is_without() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let seeds = seeds::all();
    let targets = targets::all();
    assert_eq!(seeds.len(), targets.len());
    for target in targets {
        let kept = corpus(&target);
        for seed in &seeds[target.name] {
            assert!(kept.contains(seed), "{}: a seed isn't in the corpus: see fuzz/README.md", target.name);
        }
    }
}

/// Writes the seeds into the corpus; what else is there stays.
#[test]
#[ignore = "changes the corpus"]
fn write_seeds() {
    for (target, seeds) in seeds::all() {
        let folder = folder().join("corpus").join(target);
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}

/// Mutations of all targets in turn, or of the one named by DAGSET_FUZZ_TARGET, for DAGSET_FUZZ_SECONDS. DAGSET_FUZZ_SEED repeats a run.
#[test]
#[ignore = "runs for as long as it is told: scripts/fuzz"]
fn for_long() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = Duration::from_secs(number("DAGSET_FUZZ_SECONDS").unwrap_or(60));
    let seed = number("DAGSET_FUZZ_SEED").unwrap_or_else(|| std::process::id().into());
    let only = std::env::var("DAGSET_FUZZ_TARGET").ok();
    let mut random = Random::new(seed);
    let chosen = targets::all().into_iter().filter(|target| only.as_deref().is_none_or(|only| only == target.name));
    let mut work: Vec<_> = chosen.map(Work::new).collect();
    assert!(!work.is_empty(), "no such target");
    println!("seed {seed}");
    let begun = Instant::now();
    while begun.elapsed() < seconds {
        work.iter_mut().for_each(|work| (0..100).for_each(|_| work.step(&mut random)));
    }
    println!("{:>12} {:>12}", "inputs", "parsed");
    work.iter().for_each(|work| println!("{:>12} {:>12} {}", work.runs, work.taken, work.target.name));
}

/// A target under way.
struct Work {
    target: Target,
    /// The corpus, and behind it mutations that parsed: chains of them go further than one. The corpus itself stays.
    starts: Vec<Vec<u8>>,
    kept_from: usize,
    runs: u64,
    taken: u64,
}

impl Work {
    /// So many mutations are kept, none longer than this.
    const KEPT: usize = 256;
    const LONGEST_KEPT: usize = 32 << 10;

    fn new(target: Target) -> Work {
        let starts = corpus(&target);
        Work { target, kept_from: starts.len(), starts, runs: 0, taken: 0 }
    }

    fn step(&mut self, random: &mut Random) {
        let input = mutation(&self.target, &self.starts, random);
        run(&self.target, &input);
        self.runs += 1;
        if !(self.target.parse)(&input) {
            return;
        }
        self.taken += 1;
        if random.one_in(32) && input.len() <= Self::LONGEST_KEPT {
            let kept = self.starts.len() - self.kept_from;
            if kept < Self::KEPT {
                self.starts.push(input);
            } else {
                let at = self.kept_from + random.below(kept);
                self.starts[at] = input;
            }
        }
    }
}
