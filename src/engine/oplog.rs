//! `oplog`: the records of a store's log, as what they did.

use crate::base::{DatasetName, Error, Result};
use crate::format::operation::Operation;
use crate::format::record::RecordCore;
use crate::history::fold::Fold;
use crate::history::records::{Backwards, record};

use super::deeds::{LogRecord, Names};
use super::open::OpenStore;
use super::{Address, Engine, Location};

/// Records of a log, newest first.
#[derive(Debug, Clone)]
pub struct LogPage {
    pub records: Vec<LogRecord>,
    /// How many records between these were passed over.
    pub hidden: u64,
    /// There are older ones: the number below which they begin.
    pub before: Option<u64>,
}

impl Engine {
    /// At most `most` records of a store's log, newest first, below number `before` if that is given; of a dataset those that say something
    /// of it, under whatever name it had then.
    ///
    /// The newest 32 or so cost no request beyond those of opening the store; further back, one for 32.
    ///
    /// Records that only keep the store's books are passed over, unless `all` are wanted.
    pub fn oplog(&self, place: &Address, before: Option<u64>, most: usize, all: bool) -> Result<LogPage> {
        let (store, dataset) = self.open_log(place)?;
        let names = Names::of(store.timeline.fold());
        let mut page = LogPage { records: Vec::new(), hidden: 0, before: None };
        let mut hidden = 0;
        for core in self.records_of(&store, dataset, before)? {
            let record = names.told(&core?);
            if !all && record.is_bookkeeping() {
                hidden += 1;
                continue;
            }
            if page.records.len() == most {
                page.before = page.records.last().map(|record| record.number);
                return Ok(page);
            }
            page.hidden += std::mem::take(&mut hidden);
            page.records.push(record);
        }
        page.hidden += hidden;
        Ok(page)
    }

    /// One record, whole.
    pub fn oplog_record(&self, place: &Address, number: u64) -> Result<LogRecord> {
        let (store, _) = self.open_log(place)?;
        Ok(Names::of(store.timeline.fold()).told(&record(&store.timeline, number)?))
    }

    /// The store that a place names, and the dataset, if it names one. A workspace names its dataset.
    pub(super) fn open_log(&self, place: &Address) -> Result<(OpenStore, Option<DatasetName>)> {
        if place.reference.is_some() || place.path.is_some() {
            return Err(Error::usage(format!("this is about a store or a dataset, and {place} is less than that"))
                .hint("leave out the REF and the path; another dataset is written STORE/DATASET"));
        }
        let text = self.location_text(place)?;
        let (store, rest) = self.open_store(&text)?;
        let dataset = match (&place.location, rest) {
            (Location::Store { .. }, None) => None,
            (_, rest) => Some(self.dataset_meant(&text, rest)?),
        };
        Ok((store, dataset))
    }

    /// The records of a store below `before`, or those of a dataset, newest first.
    pub(super) fn records_of<'s>(
        &self,
        store: &'s OpenStore,
        dataset: Option<DatasetName>,
        before: Option<u64>,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordCore>> + 's>> {
        let Some(dataset) = dataset else { return Ok(Box::new(Backwards::new(&store.timeline, before))) };
        let mut trail = Trail::of(store.timeline.fold(), dataset)?;
        let top = before.unwrap_or(u64::MAX);
        // From the newest, since names may have changed above `before`.
        let all = Backwards::new(&store.timeline, None);
        Ok(Box::new(all.filter(move |core| core.as_ref().map_or(true, |core| trail.passes(core) && core.number < top))))
    }
}

/// A dataset's name as it was, going back.
pub(super) struct Trail {
    name: DatasetName,
}

impl Trail {
    /// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) where the store never had such a dataset.
    pub fn of(fold: &Fold, name: DatasetName) -> Result<Trail> {
        match fold.deletion_of(&name) {
            None if !fold.renamed.contains_key(&name) => fold.dataset(&name).map(drop)?,
            _ => {}
        }
        Ok(Trail { name })
    }

    /// Whether a record is about the dataset; older ones are judged by the name that it had before.
    pub fn passes(&mut self, core: &RecordCore) -> bool {
        let renamed = core.operations.iter().find_map(|operation| match operation {
            Operation::RenameDataset { dataset, to } if *to == self.name => Some(dataset.clone()),
            _ => None,
        });
        let passes =
            renamed.is_some() || core.operations.iter().any(|operation| operation.dataset() == Some(&self.name));
        self.name = renamed.unwrap_or_else(|| self.name.clone());
        passes
    }
}
