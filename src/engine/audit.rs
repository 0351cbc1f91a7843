//! `audit`: who did what, with the chain of the log checked record by record.
//!
//! No record's word is taken for another, and no state's for any: each object is read, its hash must be what the next record names, and
//! what a record repeats must be what the records before it say. From record 1 on they are folded anew, and that must be the fold that
//! everyone works with. It takes a request for each record, many at once.

use rayon::prelude::*;

use crate::base::{DatasetName, Event, Id, Kind, Result, Time};
use crate::format::record::{Record, RecordCore};
use crate::history::fold::Fold;
use crate::history::records::Backwards;
use crate::history::refs;
use crate::history::state::encode;
use crate::store::log;

use super::deeds::{LogRecord, Names};
use super::open::OpenStore;
use super::oplog::Trail;
use super::{Address, Engine, RefExpr};

/// Records that are read at once.
const AT_ONCE: u64 = 256;

/// What was done to a dataset, or in a store, and whether the log can be believed.
#[derive(Debug, Clone)]
pub struct Audit {
    pub dataset: Option<DatasetName>,
    /// Newest first.
    pub records: Vec<LogRecord>,
    /// The chain was checked from this record; 1: from the beginning.
    pub from: u64,
    /// To this one.
    pub to: u64,
    pub broken: Option<BrokenChain>,
}

/// Where the log can't be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenChain {
    pub record: u64,
    pub why: String,
}

impl Engine {
    /// Tells what was done to a dataset, in a whole store, or with a REF to one version, not before `since`; checks the chain of the log from the first record,
    /// or with `since` from the newest one before that time.
    ///
    /// A broken chain is no error: the report names the record.
    pub fn audit(&self, address: &Address, since: Option<Time>) -> Result<Audit> {
        let whole = Address { reference: None, ..address.clone() };
        let (store, dataset) = self.open_log(&whole)?;
        let version = self.audited_version(&store, dataset.as_ref(), address.reference.as_ref())?;
        let to = store.timeline.fold().number;
        let from = first_since(&store, since)?;
        self.observer.tell(Event::Phase("reading the log"));
        let mut chain = Chain { fold: Fold::default(), before: None, cores: Vec::new() };
        let mut broken = None;
        for start in (from..=to).step_by(AT_ONCE as usize) {
            let end = to.min(start + AT_ONCE - 1);
            let read = |number| (number, log::read(store.timeline.bucket(), number));
            let records: Vec<_> = (start..=end).into_par_iter().map(read).collect();
            broken = chain.take_all(records)?;
            if broken.is_some() {
                break;
            }
        }
        if broken.is_none() {
            broken = chain.check_fold(store.timeline.fold(), from);
        }
        let names = Names::of(store.timeline.fold());
        let mut trail = dataset.clone().map(|dataset| Trail::of(store.timeline.fold(), dataset)).transpose()?;
        let mut records = Vec::new();
        for core in chain.cores.iter().rev() {
            let is_of_dataset = trail.as_mut().is_none_or(|trail| trail.passes(core));
            if is_of_dataset && since.is_none_or(|since| core.time >= since) {
                records.push(names.told(core));
            }
        }
        if let Some(version) = version {
            records.retain(|record| record.deeds.iter().any(|deed| deed.is_about(&version)));
        }
        Ok(Audit { dataset, records, from, to, broken })
    }

    fn audited_version(
        &self,
        store: &OpenStore,
        dataset: Option<&DatasetName>,
        reference: Option<&RefExpr>,
    ) -> Result<Option<Id>> {
        let (Some(dataset), Some(reference)) = (dataset, reference) else { return Ok(None) };
        refs::resolve(store.timeline.fold(), dataset, reference, refs::DEFAULT_BRANCH).map(Some)
    }
}

/// The newest record before `since`, so that the first one after it is tied to something.
fn first_since(store: &OpenStore, since: Option<Time>) -> Result<u64> {
    let Some(since) = since else { return Ok(1) };
    for core in Backwards::new(&store.timeline, None) {
        let core = core?;
        if core.time < since {
            return Ok(core.number);
        }
    }
    Ok(1)
}

/// The records that were found good, one after the other.
struct Chain {
    /// Of all of them, where they begin with the first.
    fold: Fold,
    /// The record before, and the hash of its object.
    before: Option<(Record, Id)>,
    cores: Vec<RecordCore>,
}

type Read = (u64, Result<Option<(Record, Id)>>);

impl Chain {
    /// Takes records in their order; gives the first that doesn't hold. Errors: those of a store that can't be read.
    fn take_all(&mut self, records: Vec<Read>) -> Result<Option<BrokenChain>> {
        for (number, read) in records {
            let broken = |why: String| Ok(Some(BrokenChain { record: number, why }));
            let (record, hash) = match read {
                Ok(Some(found)) => found,
                Ok(None) => return broken(format!("{} is missing", log::record_name(number))),
                Err(fault) if fault.kind() == Kind::Damaged => return broken(fault.in_one_line()),
                Err(fault) => return Err(fault),
            };
            if let Some((before, before_hash)) = &self.before {
                if record.core.before != *before_hash {
                    let why = format!("record {number} names another hash for it: it was replaced");
                    return Ok(Some(BrokenChain { record: number - 1, why }));
                }
                if record.earlier.last().is_some_and(|repeated| *repeated != before.core) {
                    return broken(format!("it repeats record {} as something else", number - 1));
                }
            }
            if number == self.fold.number + 1
                && let Err(fault) = self.fold.apply(&record.core, hash)
            {
                match fault.kind() {
                    Kind::Damaged => return broken(fault.in_one_line()),
                    _ => return Err(fault),
                }
            }
            self.cores.push(record.core.clone());
            self.before = Some((record, hash));
        }
        Ok(None)
    }

    /// Whether the records come to what the newest one and its state say.
    fn check_fold(&self, fold: &Fold, from: u64) -> Option<BrokenChain> {
        let newest = self.before.as_ref()?;
        let broken = |why: &str| Some(BrokenChain { record: newest.0.core.number, why: why.to_owned() });
        if newest.1 != fold.record {
            return broken("it isn't the record that was read a moment ago");
        }
        match from == 1 && encode(&self.fold) != encode(fold) {
            true => broken("its state isn't what the records come to"),
            false => None,
        }
    }
}
