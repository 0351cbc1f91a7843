//! Reading everything and saying what is wrong: findings, not the first error.
//!
//! Objects first ([`objects`]: every stored bit is covered by some hash, and a pack must be the one that the indexes speak of), then the log's
//! chain with the states that it names ([`chain`]), then whether each version is complete ([`whole`]: every node, recipe and chunk that it
//! needs stands in a registered index).
//!
//! Others go on meanwhile, collectors too: before something is called missing, the log is looked at once more, and what a newer record
//! doesn't name any more isn't missed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{Id, Kind, Observer, Result, Time};
use crate::format::header::ObjectKind;
use crate::format::pack::ItemKind;
use crate::history::fold::Fold;
use crate::history::lost_log;
use crate::store::content::Content;
use crate::store::lanes::with_threads;
use crate::store::objects::Bucket;
use crate::store::{log, strangers};

use super::agree::Agreement;

mod chain;
mod contents;
mod objects;
mod walk;
mod whole;

/// Objects of a far store that are read at once; packs are read whole, 32 MiB each.
const FAR_OBJECTS: usize = 6;
/// How often the log is looked at again where it moves on and something seems missing.
const LOOKS: u32 = 8;

/// Something that isn't as it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// `damaged` or `missing`.
    pub kind: &'static str,
    /// The stored object, or the id of what is missing.
    pub object: String,
    /// A path that needs it, where known.
    pub path: Option<String>,
    pub why: String,
    /// What a version needs and nobody can read.
    pub(crate) lacks: Option<(Id, ItemKind)>,
}

impl Finding {
    /// A damaged object.
    pub fn damaged(object: &str, why: impl ToString) -> Finding {
        Finding { kind: "damaged", object: object.to_owned(), path: None, why: why.to_string(), lacks: None }
    }

    /// An object that isn't there.
    pub fn missing(object: &str, why: impl ToString) -> Finding {
        Finding { kind: "missing", ..Finding::damaged(object, why) }
    }
}

/// What a verification saw.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub checked_bytes: u64,
    pub objects: u64,
    /// Chunks and recipes that versions need and another store lends, where that wasn't asked.
    pub borrowed: u64,
    /// Contents that versions name and that were purged.
    pub purged: u64,
    /// Sorted.
    pub findings: Vec<Finding>,
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Percent of the data packs, 0 < sample ≤ 100.
    pub sample: f64,
    /// Only what was written since.
    pub since: Option<Since>,
    /// Whether what the indexes don't name is lent by a store that isn't asked. Without, it is missing.
    pub is_lent: bool,
}

/// A point of a store's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// The newest record that isn't looked at.
    pub record: u64,
    /// By the store's clock: objects that were written later are looked at.
    pub time: Time,
}

/// What the log says as of a record, and the content of that.
pub struct Snapshot {
    pub fold: Fold,
    pub content: Content,
}

/// Gives what the log says now, where that is newer than the record.
pub type Again<'a> = dyn Fn(u64) -> Result<Option<Snapshot>> + 'a;

/// Reads the objects of a store, and checks that every version is complete.
///
/// An empty fold, where the log itself can't be read, leaves the check of objects. What its content can borrow from another store isn't missing.
/// Errors: a store that doesn't answer; all else is a finding.
pub fn verify_store(
    bucket: &Bucket,
    first: Snapshot,
    again: &Again<'_>,
    extent: Extent,
    observer: &Observer,
) -> Result<Report> {
    let agreement = match first.content.indexes() {
        Ok(indexes) => Agreement::of(indexes),
        Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
        // That one is damaged or missing is found below.
        Err(_) => Agreement::default(),
    };
    let check = Check {
        bucket,
        extent,
        agreement,
        seen: Mutex::default(),
        states: Mutex::default(),
        observer,
        report: Mutex::default(),
    };
    let read = || {
        check.folders()?;
        check.objects(&first.content)?;
        check.chain(&first.fold, extent.since.map_or(1, |since| since.record.max(1)))
    };
    if bucket.is_far() {
        with_threads(FAR_OBJECTS, read)??
    } else {
        read()?
    };
    let mut shown = first;
    for _ in 0..LOOKS {
        let before = check.report().findings.len();
        check.needs(&shown)?;
        if check.report().findings.is_empty() {
            break;
        }
        let Some(newer) = again(shown.fold.number)? else { break };
        check.report().findings.truncate(before);
        check.forget_what_went()?;
        check.chain(&newer.fold, shown.fold.number)?;
        shown = newer;
    }
    let mut report = check.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.findings.sort();
    report.findings.dedup();
    Ok(report)
}

/// One verification under way.
struct Check<'a> {
    bucket: &'a Bucket,
    extent: Extent,
    agreement: Agreement,
    /// Length of every object that a list showed or that was read.
    seen: Mutex<HashMap<String, u64>>,
    /// The states that records name, oldest first.
    states: Mutex<Vec<crate::format::record::StateRef>>,
    observer: &'a Observer,
    report: Mutex<Report>,
}

impl Check<'_> {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, finding: Finding) {
        self.report().findings.push(finding);
    }

    fn is_found(&self, object: &str) -> bool {
        self.report().findings.iter().any(|finding| finding.object == object)
    }

    fn count(&self, bytes: u64) {
        self.observer.add(crate::base::Counter::Bytes, bytes);
        let mut report = self.report();
        report.checked_bytes += bytes;
        report.objects += 1;
    }

    /// What stands in the place of the store's own folders.
    fn folders(&self) -> Result<()> {
        let taken = strangers::in_place_of_folders(self.bucket)?;
        taken.into_iter().for_each(|it| self.find(Finding::damaged(&it.place, it.why.in_one_line())));
        Ok(())
    }

    /// That the log has lost all of it, or its end, as what is there shows.
    fn log_is_whole(&self, fold: &Fold) {
        let written: Vec<String> = self.seen().keys().filter(|name| is_written_by_sessions(name)).cloned().collect();
        let is_index = |name: &String| name.starts_with(ObjectKind::Index.folder());
        let why = match fold.number {
            0 => {
                // Where the log is there and can't be read, that is said already.
                let is_gone = || log::head(self.bucket).is_ok_and(|head| head == 0);
                let is_lost = written.iter().any(is_index) && is_gone();
                is_lost.then(|| "there are indexes, and no record that names them".to_owned())
            }
            newest => {
                let seen = |name: &String| Some((lost_log::born_behind(name, newest)?, name.clone()));
                let last = written.iter().filter_map(seen).max();
                last.map(|(seen, name)| {
                    format!("the log ends with record {newest}, and the writer of {name} had seen record {seen}: its end was lost")
                })
            }
        };
        if let Some(why) = why {
            self.find(Finding::missing(log::FOLDER, why));
        }
    }

    /// Where the log moved on, a collector may be at work: what lists showed is asked for again, and what is gone isn't damaged.
    fn forget_what_went(&self) -> Result<()> {
        self.seen().clear();
        let found = std::mem::take(&mut self.report().findings);
        for finding in found {
            if finding.kind == "missing" || self.bucket.is_taken(&finding.object)? {
                self.find(finding);
            }
        }
        Ok(())
    }

    /// Whether a data pack is one of those that are read. Decided by its random name, so that all readers of one sample read the same.
    fn is_in_sample(&self, kind: ObjectKind, name: &str) -> bool {
        let share = f64::from(Id::of(name.as_bytes()).word() as u32) / f64::from(u32::MAX) * 100.0;
        kind != ObjectKind::Pack || self.extent.sample >= 100.0 || share < self.extent.sample
    }

    /// All that rests on the log as it is now.
    fn needs(&self, shown: &Snapshot) -> Result<()> {
        self.report().purged = 0;
        self.log_is_whole(&shown.fold);
        self.named_states()?;
        self.registered(&shown.fold)?;
        match shown.content.indexes() {
            Ok(_) => self.versions(shown),
            Err(fault) if fault.kind() == Kind::Unreachable => Err(fault),
            // A damaged or missing index was found above; what versions need can't be told without it.
            Err(_) => Ok(()),
        }
    }
}

/// Whether the name of a listed object says which record its writer had seen.
fn is_written_by_sessions(name: &str) -> bool {
    let folder = name.split_once('/').map_or(name, |(folder, _)| folder);
    [ObjectKind::Index, ObjectKind::Pack, ObjectKind::MetaPack].iter().any(|kind| kind.folder() == folder)
}
