//! `store check`: the way to a store, step by step, and what was found on each.
//!
//! A step that fails doesn't end the check: what can still be tried is tried, what rests on the failed step is left out.

use std::path::Path;

use crate::base::{Error, Event, Kind, Result};
use crate::format::store_file::StoreFile;
use crate::store::address::{Address, Location, divide};
use crate::store::backend;
use crate::store::fault::is_denied;
use crate::store::locate::read_store_file;
use crate::store::log;
use crate::store::log_end;
use crate::store::objects::Bucket;
use crate::store::probe::{Approach, FileSystem};
use crate::store::trial::{RACERS, Raced, Trial};

use super::Engine;
use super::open::Missing;
use super::place::{SAFE_PLACES, rounds, why_unsafe};

/// A store's clock may be so far from ours: servers refuse requests of clocks that are 15 minutes off.
const MOST_SKEW_MS: i64 = 60_000;
/// With less than this a publish of any size fails.
const LEAST_FREE_BYTES: u64 = 100 << 20;

/// How a step came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    Ok,
    Failed(Kind),
    /// Not tried: it rests on a step that failed, or doesn't apply.
    LeftOut,
}

/// One step of the way to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckStep {
    pub name: &'static str,
    pub outcome: StepOutcome,
    /// What was found, on one line.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// All steps, in the order in which they were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCheck {
    /// The store's path or URL.
    pub root: String,
    /// What the text named behind that: a dataset's name, not looked for.
    dataset: Option<String>,
    pub steps: Vec<CheckStep>,
}

impl StoreCheck {
    /// The kind of the first failure; `None` if all that was tried holds.
    pub fn failure(&self) -> Option<Kind> {
        self.steps.iter().find_map(|step| match step.outcome {
            StepOutcome::Failed(kind) => Some(kind),
            _ => None,
        })
    }

    fn step(&mut self, name: &'static str, outcome: StepOutcome, detail: impl Into<String>) -> &mut CheckStep {
        self.steps.push(CheckStep { name, outcome, detail: detail.into(), hint: None });
        self.steps.last_mut().expect("one was pushed")
    }

    fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.step(name, StepOutcome::Ok, detail);
    }

    fn failed(&mut self, name: &'static str, fault: &Error) {
        let detail = fault.in_one_line();
        // The check's own title says of which store it speaks.
        let told = ["read from", "write to"].map(|doing| format!("cannot {doing} the store {}: ", self.root));
        let detail = told.iter().find_map(|told| detail.strip_prefix(told)).unwrap_or(&detail).to_owned();
        let step = self.step(name, StepOutcome::Failed(fault.kind()), detail);
        step.hint = fault.next_step().map(str::to_owned);
    }

    fn leave_out(&mut self, names: &[&'static str], why: &str) {
        for name in names {
            self.step(name, StepOutcome::LeftOut, why);
        }
    }
}

const RESOLVES: &str = "name resolves";
const REACHED: &str = "reached";
const SIGNED_IN: &str = "signed in";
const BUCKET: &str = "bucket";
const FOLDER: &str = "folder";
const FILE_SYSTEM: &str = "file system";
const FREE_SPACE: &str = "free space";
const LIST: &str = "may list";
const READ: &str = "may read";
const WRITE: &str = "may write";
const EXCLUSIVE: &str = "exclusive create";
const CLOCK: &str = "clock";
const DELETE: &str = "may delete";

/// What is asked of the objects, in this order.
const OF_OBJECTS: [&str; 6] = [LIST, READ, WRITE, EXCLUSIVE, CLOCK, DELETE];

impl Engine {
    /// Walks the steps to the store at `text` (`STORE` or `STORE/DATASET`), or to a place where one is to be made.
    ///
    /// Writes a few small objects where it may, and removes them where it may. Fails only where `text` makes no sense.
    pub fn check_store(&self, text: &str) -> Result<StoreCheck> {
        let text = self.expand(text)?;
        let address = Address::parse(&text, self.settings.home.as_deref())?;
        let Address { location: Location::Store { text }, reference: None, path: None } = address else {
            let hint = "write its path or URL, as ./store or s3://bucket/data";
            return Err(Error::usage(format!("names no store: {text}")).hint(hint));
        };
        // What stands behind `//` is a dataset's name, and the check is of its store.
        let text = divide(&text).map_or(text.as_str(), |(store, _)| store).to_owned();
        self.observer.tell(Event::Phase("checking"));
        let mut check = StoreCheck { root: text.trim_end_matches('/').to_owned(), dataset: None, steps: Vec::new() };
        let approach = match backend::approach(&self.absolute(&text), &self.settings.access) {
            Ok(approach) => approach,
            Err(fault) if fault.kind() == Kind::Usage => return Err(fault),
            Err(fault) => {
                check.failed(SIGNED_IN, &fault);
                check.leave_out(&[&[BUCKET], &OF_OBJECTS[..]].concat(), "not signed in");
                return Ok(check);
            }
        };
        match approach {
            Some(approach) => self.check_bucket(&mut check, &approach),
            None => self.check_folder(&mut check),
        }
        Ok(check)
    }

    fn check_bucket(&self, check: &mut StoreCheck, approach: &Approach) {
        if !reach(check, approach) {
            return check.leave_out(&[&[SIGNED_IN, BUCKET], &OF_OBJECTS[..]].concat(), "no server is reached");
        }
        match self.find_objects(check) {
            Ok(bucket) => {
                check.ok(SIGNED_IN, format!("as {}", approach.who));
                check.ok(BUCKET, "is there");
                self.check_objects(check, &bucket);
            }
            Err(fault) if is_about_bucket(&fault) => {
                check.ok(SIGNED_IN, format!("as {}", approach.who));
                check.failed(BUCKET, &fault);
                check.leave_out(&OF_OBJECTS, "no bucket");
            }
            Err(fault) => {
                check.failed(SIGNED_IN, &fault);
                check.leave_out(&[&[BUCKET], &OF_OBJECTS[..]].concat(), "not signed in");
            }
        }
    }

    fn check_folder(&self, check: &mut StoreCheck) {
        match self.find_objects(check) {
            Ok(bucket) => {
                let file_system = FileSystem::of(Path::new(&self.absolute(&check.root)));
                check.ok(FOLDER, "is there");
                describe(check, file_system);
                self.check_objects(check, &bucket);
            }
            Err(fault) => {
                let hint = format!("`dagset store create {}` makes it", check.root);
                let is_missing = fault.kind() == Kind::NotFound;
                let why = if is_missing { "there is no folder" } else { "the folder can't be entered" };
                let fault = if is_missing { fault.hint(hint) } else { fault };
                check.failed(FOLDER, &fault);
                check.leave_out(&[&[FILE_SYSTEM, FREE_SPACE], &OF_OBJECTS[..]].concat(), why);
            }
        }
    }

    /// The objects of the store that the text begins with, whose root is noted; of the text itself where there is no store yet, or
    /// where none may be looked for.
    fn find_objects(&self, check: &mut StoreCheck) -> Result<Bucket> {
        match self.locate(&check.root) {
            Ok(located) => {
                check.dataset = located.rest;
                check.root = located.store_root;
                Ok(located.bucket)
            }
            Err(fault) if fault.kind() == Kind::NotFound || is_denied(&fault) => {
                self.open_objects(&check.root, Missing::Fails)
            }
            Err(fault) => Err(fault),
        }
    }

    fn check_objects(&self, check: &mut StoreCheck, bucket: &Bucket) {
        match bucket.list("") {
            Ok(_) => check.ok(LIST, "the store's objects"),
            Err(fault) => check.failed(LIST, &fault),
        }
        match read_store_file(bucket, &check.root) {
            Ok((bytes, _)) => match StoreFile::parse(&bytes, &check.root) {
                // Each object has rights of its own, in a folder: what was written last tells more than what was written first.
                Ok(file) => match log_end::end(bucket).and_then(|end| match end.newest {
                    None if end.number > 0 => log::read(bucket, end.number),
                    newest => Ok(newest),
                }) {
                    Ok(_) => {
                        let dataset = check.dataset.as_ref().map(|name| {
                            format!("; {name} is read as a dataset in it, since a store can't lie in a store")
                        });
                        let read = format!("the store {} and its newest record", file.store_hex());
                        check.ok(READ, read + &dataset.unwrap_or_default());
                    }
                    Err(fault) => check.failed(READ, &fault),
                },
                Err(fault) => check.failed(READ, &fault),
            },
            Err(fault) if fault.kind() == Kind::NotFound => check.ok(READ, self.no_store_yet(&check.root)),
            Err(fault) => check.failed(READ, &fault),
        }
        match Trial::new(bucket.clone()) {
            Ok(trial) => self.check_writing(check, trial),
            Err(fault) => check.failed(WRITE, &fault),
        }
    }

    /// What stands of a place without a store: whether one may be made there is as it is for `store create`.
    fn no_store_yet(&self, root: &str) -> String {
        let what = "there is no store here yet";
        match self.refuse_around_stores(root) {
            Ok(()) => what.to_owned(),
            Err(fault) => format!("{what}, and none can be made: {fault}, and a store can't lie in a store"),
        }
    }

    fn check_writing(&self, check: &mut StoreCheck, mut trial: Trial) {
        let wrote = match trial.write() {
            Ok(wrote) => wrote,
            Err(fault) => {
                check.failed(WRITE, &fault);
                let why = match fault.kind() {
                    Kind::Unreachable => "nothing may be written; list, get, clone and pull only read",
                    _ => "writing failed",
                };
                check.leave_out(&[EXCLUSIVE, CLOCK, DELETE], why);
                trial.clean();
                return;
            }
        };
        check.ok(WRITE, "an object was created and read back");
        let rounds = rounds(&check.root);
        match trial.race(rounds) {
            Ok(Raced::OneWon) => {
                check.ok(EXCLUSIVE, format!("{rounds} times one of {RACERS} writers won: evidence, no proof"));
            }
            Ok(raced) => {
                let fault = Error::new(Kind::Failed, why_unsafe(raced)).hint(SAFE_PLACES);
                check.failed(EXCLUSIVE, &fault);
            }
            Err(fault) => check.failed(EXCLUSIVE, &fault),
        }
        check_clock(check, wrote.clock_ahead_ms);
        let folder = trial.folder().to_owned();
        match trial.clean() {
            0 => check.ok(DELETE, "what this check wrote was removed"),
            left => {
                let detail = format!("not needed; {left} small objects of this check stay below {folder}/");
                check.leave_out(&[DELETE], &detail);
            }
        }
    }
}

/// Resolves and connects, step by step; whether the server was reached.
fn reach(check: &mut StoreCheck, approach: &Approach) -> bool {
    if let Some(proxy) = &approach.proxy {
        check.leave_out(&[RESOLVES, REACHED], &format!("the proxy {proxy} does that"));
        return true;
    }
    let addresses = match approach.server.addresses() {
        Ok(addresses) => addresses,
        Err(fault) => {
            check.failed(RESOLVES, &fault.hint("check the endpoint and the network's name server"));
            check.leave_out(&[REACHED], "the name doesn't resolve");
            return false;
        }
    };
    let more = match addresses.len() {
        1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    let first = addresses[0].ip().to_string();
    let found = match first == approach.server.host {
        true => format!("{first} is an address"),
        false => format!("{} is {first}{more}", approach.server.host),
    };
    check.ok(RESOLVES, found);
    match approach.server.connect(&addresses) {
        Ok((address, took)) => {
            check.ok(REACHED, format!("port {} in {} ms", address.port(), took.as_millis()));
            true
        }
        Err(fault) => {
            check
                .failed(REACHED, &fault.hint("check that the server runs, the endpoint's port, and firewalls between"));
            false
        }
    }
}

fn describe(check: &mut StoreCheck, file_system: Result<FileSystem>) {
    let file_system = match file_system {
        Ok(file_system) => file_system,
        Err(fault) => return check.leave_out(&[FILE_SYSTEM, FREE_SPACE], &fault.in_one_line()),
    };
    let name = file_system.name.unwrap_or("of a kind unknown here");
    check.ok(
        FILE_SYSTEM,
        match file_system.is_shared {
            false => name.to_owned(),
            true => format!("{name}: readers on other machines see new objects when their client's cache allows"),
        },
    );
    let free = format!("{:.1} GB", file_system.free_bytes as f64 / 1e9);
    match file_system.free_bytes < LEAST_FREE_BYTES {
        false => check.ok(FREE_SPACE, free),
        true => check.failed(FREE_SPACE, &Error::new(Kind::Failed, format!("only {free}")).hint("free some space")),
    }
}

fn check_clock(check: &mut StoreCheck, ahead_ms: i64) {
    let seconds = ahead_ms.unsigned_abs() / 1000;
    let direction = if ahead_ms < 0 { "behind" } else { "ahead of" };
    match ahead_ms.abs() {
        0..1000 => check.ok(CLOCK, "the store's agrees with this machine's"),
        1000..=MOST_SKEW_MS => check.ok(CLOCK, format!("the store's is {seconds} s {direction} this machine's")),
        _ => {
            let fault = Error::new(Kind::Failed, format!("the store's is {seconds} s {direction} this machine's"));
            check.failed(CLOCK, &fault.hint("set the one that is wrong: signatures and grace periods rest on both"));
        }
    }
}

/// Whether what was answered is that the bucket isn't there, or is elsewhere.
fn is_about_bucket(fault: &Error) -> bool {
    let text = fault.to_string();
    text.contains(": there is no bucket ") || text.contains(": the bucket ")
}
