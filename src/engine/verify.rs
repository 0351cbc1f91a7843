//! `verify`: reads what a store holds and says what is wrong.

use rayon::prelude::*;

use crate::base::{Error, Event, Kind, Result, Tally, Time};
use crate::flow::gc::clock;
use crate::flow::read_content::read_content;
use crate::flow::verify::{Extent, Finding, Report, Since, Snapshot, verify_store};
use crate::format::manifest::EntryKind;
use crate::format::store_file::StoreFile;
use crate::history::fold::Fold;
use crate::history::timeline::Timeline;
use crate::store::content::Content;
use crate::store::lanes::with_threads;
use crate::store::locate::STORE_FILE;
use crate::tree::manifest::Leaf;

use super::read::no_such_path;
use super::{Address, Engine, Location};

const BATCH: usize = 1_024;
/// What is damaged where the records can't be folded.
const LOG: &str = "log";

/// Files of a far store that are read at once.
const FAR_FILES: usize = 16;

/// What of a store to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Percent of the data packs, above 0 and at most 100; all if not given.
    pub sample: Option<f64>,
    /// Only what was written since.
    pub since: Option<VerifySince>,
    /// Ask no other store: what the store borrows is counted and not checked.
    pub local: bool,
}

/// From where on a store is verified.
#[derive(Debug, Clone)]
pub enum VerifySince {
    Time(Time),
    /// Behind the record that added it.
    Version(Address),
}

impl Engine {
    /// Whether an address names a store as a whole, and no dataset in it.
    pub fn names_a_store(&self, address: &Address) -> Result<bool> {
        match &address.location {
            Location::Store { text } if address.reference.is_none() && address.path.is_none() => {
                Ok(self.locate(text)?.rest.is_none())
            }
            _ => Ok(false),
        }
    }

    /// Reads a whole store, or `sample` percent of its packs; gives all findings.
    pub fn verify_store(&self, store: &str, sample: Option<f64>) -> Result<Report> {
        self.verify(store, &VerifyOptions { sample, ..VerifyOptions::default() })
    }

    /// Reads a store, or what the options choose of it; gives all findings.
    pub fn verify(&self, store: &str, options: &VerifyOptions) -> Result<Report> {
        let sample = options.sample.unwrap_or(100.0);
        if !(sample > 0.0 && sample <= 100.0) {
            return Err(Error::usage("--sample takes more than 0% and at most 100%"));
        }
        self.observer.tell(Event::Phase("verifying"));
        let located = self.locate(&self.expand(store)?)?;
        let (bucket, root) = (&located.bucket, &located.store_root);
        let mut id = None;
        let (opened, object, fault) = match StoreFile::parse(&located.store_file, root) {
            Err(fault) if StoreFile::is_sealed(&located.store_file) && fault.kind() != Kind::Damaged => {
                return Err(fault);
            }
            Err(fault) => (None, STORE_FILE, Some(fault)),
            Ok(file) => {
                let newest = self.newest_of(root, file.store);
                match Timeline::open(bucket.clone(), *id.insert(file.store), self.observer.clone()) {
                    Ok(timeline) => {
                        let gone_back = newest.and_then(|newest| newest.check(&timeline).err());
                        (Some(timeline), LOG, gone_back)
                    }
                    Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                    Err(fault) => (None, LOG, Some(fault)),
                }
            }
        };
        let since = match (&options.since, &opened) {
            (Some(since), Some(timeline)) => Some(self.since(timeline, root, since)?),
            _ => None,
        };
        let is_lent = options.local && self.embedding(root)?.is_some_and(|(_, config)| !config.remotes.is_empty());
        let snapshot = |fold: Fold| {
            let content = Content::new(bucket.clone(), fold.indexes.values().cloned().collect());
            let mut content = content.without(fold.expelled.clone());
            if !options.local {
                self.borrow_for(root, &mut content)?;
            }
            Ok::<_, Error>(Snapshot { fold, content })
        };
        let again = |number: u64| {
            // Where the log can't be read that was said already.
            let newer = id.and_then(|id| Timeline::open(bucket.clone(), id, self.observer.clone()).ok());
            let newer = newer.filter(|timeline| timeline.fold().number > number);
            newer.map(|timeline| snapshot(timeline.fold().clone())).transpose()
        };
        let first = snapshot(opened.map(|timeline| timeline.fold().clone()).unwrap_or_default())?;
        let extent = Extent { sample, since, is_lent };
        let mut report = verify_store(bucket, first, &again, extent, &self.observer)?;
        report.checked_bytes += located.store_file.len() as u64;
        report.objects += 1;
        match fault {
            // A log that needs a newer dagset is no damage, unless it is a flipped bit that makes it look so.
            Some(fault) if fault.kind() != Kind::Damaged && object == LOG && report.findings.is_empty() => {
                return Err(fault);
            }
            Some(fault) => {
                report.findings.push(Finding::damaged(object, fault.in_one_line()));
                report.findings.sort();
                report.findings.dedup();
            }
            None => {}
        }
        Ok(report)
    }

    /// The point of a store's history that is meant: the newest record before a time, by the store's clock, or the one that added a version.
    fn since(&self, timeline: &Timeline, root: &str, since: &VerifySince) -> Result<Since> {
        let (bucket, fold) = (timeline.bucket(), timeline.fold());
        match since {
            VerifySince::Time(time) => {
                let record = clock::newest_record_before(bucket, fold.number, *time)?;
                Ok(Since { record, time: *time })
            }
            VerifySince::Version(address) => {
                let target = self.open_target(address)?;
                let same = target.store.file.store == fold.store;
                let record = target.version()?.record;
                if !same {
                    return Err(Error::usage(format!("{address} isn't a version of {root}"))
                        .hint("--since takes a duration, a date, or a version of the store that is verified"));
                }
                let time = clock::time_of_record(bucket, record)?;
                Ok(Since { record, time })
            }
        }
    }

    /// Reads all content of one version, or of a part of it; gives all findings.
    pub fn verify_version(&self, address: &Address) -> Result<Report> {
        self.observer.tell(Event::Phase("verifying"));
        let mut target = self.open_target(address)?;
        target.store.content.ask_stores_alone();
        let manifest = target.store.manifest(target.readable()?);
        let folder = target.folder();
        if !folder.is_empty() && manifest.find(folder)?.is_none() && !manifest.has_folder(folder)? {
            return Err(no_such_path(&target, folder));
        }
        let mut report = Report::default();
        let mut entries = manifest.entries(folder);
        loop {
            let batch = entries.by_ref().take(BATCH).collect::<Result<Vec<_>>>()?;
            if batch.is_empty() {
                break;
            }
            let is_purged = |leaf: &&Leaf| target.store.content.tombstone_of(&leaf.entry).is_some();
            report.purged += batch.iter().filter(is_purged).count() as u64;
            report.checked_bytes += batch.iter().map(|leaf| leaf.entry.bytes()).sum::<u64>();
            let check = |leaf: &Leaf| {
                let EntryKind::File { size, content, .. } = &leaf.entry.kind else { return Ok(None) };
                if target.store.content.tombstone(content).is_some() {
                    return Ok(None);
                }
                match read_content(
                    &target.store.content,
                    content,
                    *size,
                    leaf.place.as_ref(),
                    &Tally::new(&self.observer, 0),
                    |_| Ok(()),
                ) {
                    Ok(()) => Ok(None),
                    Err(fault) if fault.kind() == Kind::Unreachable => Err(fault),
                    Err(fault) => {
                        let finding = Finding::damaged(&content.to_string(), fault.in_one_line());
                        Ok(Some(Finding { path: Some(leaf.path.to_string()), ..finding }))
                    }
                }
            };
            let check_all = || batch.par_iter().map(check).collect::<Result<Vec<_>>>();
            let is_far = target.store.content.is_far();
            let findings = if is_far { with_threads(FAR_FILES, check_all)?? } else { check_all()? };
            report.objects += batch.len() as u64;
            report.findings.extend(findings.into_iter().flatten());
        }
        Ok(report)
    }
}
