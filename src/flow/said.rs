//! What is said of a dataset and its versions beside refs, when they are carried to their counterpart in another store: which versions are
//! published, and metadata. Only what is said there of nothing yet is brought: a value that differs there stays, and is reported.

use std::collections::HashSet;

use crate::base::{DatasetName, Id};
use crate::format::attrs::Value;
use crate::format::operation::Operation;
use crate::history::dag::ancestry;
use crate::history::fold::Dataset;
use crate::history::keep::KEEP;

/// About so much of it is brought in one record; the rest comes in further ones.
const BYTES_A_RECORD: usize = 256 << 10;

/// What is said of a dataset and of some of its versions.
pub struct Said<'d> {
    from: &'d Dataset,
    versions: HashSet<Id>,
}

/// Metadata that both sides have, with different values.
#[derive(Debug, Clone, PartialEq)]
pub struct Differing {
    /// `None`: it is about the dataset.
    pub version: Option<Id>,
    pub key: String,
    /// What it is where it would come from.
    pub from: Value,
    /// What it is, and stays, where it would go to.
    pub to: Value,
}

impl<'d> Said<'d> {
    /// Of the dataset, and of the history of `tips`.
    pub fn of(from: &'d Dataset, tips: &[Id]) -> Said<'d> {
        Said { from, versions: ancestry(from, tips).iter().map(|state| state.row.version).collect() }
    }

    /// All that `to` doesn't say yet. It has the versions by then.
    pub fn lacking(&self, name: &DatasetName, to: Option<&Dataset>) -> Vec<Operation> {
        let is_published = |id: &Id| to.is_some_and(|to| to.is_published(id));
        let mut published: Vec<Id> =
            self.versions.iter().copied().filter(|id| self.from.is_published(id) && !is_published(id)).collect();
        published.sort_unstable();
        let publish = |version| Operation::Publish { dataset: name.clone(), version, note: String::new() };
        let has = |place: &(Option<Id>, String)| to.is_some_and(|to| to.meta.contains_key(place));
        let set = self.metadata().filter(|(place, _)| !has(place)).map(|((version, key), value)| {
            let (version, key, value) = (*version, key.clone(), Some(value.clone()));
            Operation::SetMetadata { dataset: name.clone(), version, key, value }
        });
        published.into_iter().map(publish).chain(set).collect()
    }

    /// As [`Said::lacking`], as much of it as one record brings.
    pub fn next(&self, name: &DatasetName, to: Option<&Dataset>) -> Vec<Operation> {
        let mut bytes = 0;
        let mut fits = |operation: &Operation| {
            bytes += about_bytes(operation);
            bytes <= BYTES_A_RECORD
        };
        self.lacking(name, to).into_iter().take_while(|operation| fits(operation)).collect()
    }

    /// What `to` says differently.
    pub fn differing(&self, to: Option<&Dataset>) -> Vec<Differing> {
        let Some(to) = to else { return Vec::new() };
        let theirs = self.metadata().filter_map(|(place, value)| Some((place, value, to.meta.get(place)?)));
        let differing = theirs.filter(|(_, from, to)| from != to);
        differing
            .map(|((version, key), from, to)| Differing {
                version: *version,
                key: key.clone(),
                from: from.clone(),
                to: to.clone(),
            })
            .collect()
    }

    fn metadata(&self) -> impl Iterator<Item = (&'d (Option<Id>, String), &'d Value)> {
        let is_meant = |version: &Option<Id>| version.is_none_or(|id| self.versions.contains(&id));
        // Keep rules are of a store, where the bytes lie.
        let is_rule = |version: &Option<Id>, key: &str| version.is_none() && key.starts_with(KEEP);
        self.from.meta.iter().filter(move |((version, key), _)| is_meant(version) && !is_rule(version, key))
    }
}

/// No less than an operation has.
fn about_bytes(operation: &Operation) -> usize {
    const NAMES_AND_ID: usize = 512;
    NAMES_AND_ID
        + match operation {
            Operation::SetMetadata { value: Some(Value::Text(text)), .. } => text.len(),
            _ => 0,
        }
}
