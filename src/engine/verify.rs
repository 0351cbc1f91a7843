//! `verify`: reads what a store holds and says what is wrong.

use rayon::prelude::*;

use crate::base::{Error, Event, Kind, Result, Tally};
use crate::flow::read_content::read_content;
use crate::flow::verify::{Extent, Finding, Report, verify_store};
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
        let sample = sample.unwrap_or(100.0);
        if !(sample > 0.0 && sample <= 100.0) {
            return Err(Error::usage("--sample takes more than 0% and at most 100%"));
        }
        self.observer.tell(Event::Phase("verifying"));
        let located = self.locate(&self.expand(store)?)?;
        let (fold, object, fault) = match StoreFile::parse(&located.store_file, &located.store_root) {
            Err(fault) if StoreFile::is_sealed(&located.store_file) && fault.kind() != Kind::Damaged => {
                return Err(fault);
            }
            Err(fault) => (Fold::default(), STORE_FILE, Some(fault)),
            Ok(file) => match Timeline::open(located.bucket.clone(), file.store, self.observer.clone()) {
                Ok(timeline) => (timeline.fold().clone(), LOG, None),
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                Err(fault) => (Fold::default(), LOG, Some(fault)),
            },
        };
        let mut content = Content::new(located.bucket.clone(), fold.indexes.values().cloned().collect());
        content = content.without(fold.expelled.clone());
        self.borrow_for(&located.store_root, &mut content)?;
        let mut report = verify_store(&located.bucket, &fold, &content, Extent { sample }, &self.observer)?;
        report.checked_bytes += located.store_file.len() as u64;
        report.objects += 1;
        match fault {
            // A log that needs a newer dagset is no damage, unless it is a flipped bit that makes it look so.
            Some(fault) if fault.kind() != Kind::Damaged && object == LOG && report.findings.is_empty() => {
                return Err(fault);
            }
            Some(fault) => {
                let why = fault.in_one_line();
                report.findings.push(Finding { kind: "damaged", object: object.to_owned(), path: None, why });
                report.findings.sort();
            }
            None => {}
        }
        Ok(report)
    }

    /// Reads all content of one version, or of a part of it; gives all findings.
    pub fn verify_version(&self, address: &Address) -> Result<Report> {
        self.observer.tell(Event::Phase("verifying"));
        let mut target = self.open_target(address)?;
        target.store.content.ask_stores_alone();
        let manifest = target.store.manifest(target.version()?);
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
                    Err(fault) => Ok(Some(Finding {
                        kind: "damaged",
                        object: content.to_string(),
                        path: Some(leaf.path.to_string()),
                        why: fault.in_one_line(),
                    })),
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
