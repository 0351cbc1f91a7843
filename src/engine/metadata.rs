//! `meta`: what is said of versions and datasets, and can be said anew. Each change is a record.

use crate::base::{DatasetName, Error, Id, RefName, Result};
use crate::format::attrs::{Attrs, Value};
use crate::format::operation::{Operation, metadata_is_possible};
use crate::history::fold::Dataset;
use crate::history::keep::Rules;
use crate::history::numbers::Policy;

use super::open::Target;
use super::refs::whole_versions_only;
use super::{Address, Engine};

/// What is said of a version, or of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    pub dataset: DatasetName,
    /// `None`: it is about the dataset.
    pub version: Option<Id>,
    /// The version's name.
    pub name: Option<RefName>,
    pub meta: Attrs,
    /// Whether a record was written.
    pub changed: bool,
}

impl Engine {
    /// The metadata of the version that the address's REF means, or without one of the dataset.
    pub fn metadata(&self, address: &Address) -> Result<Metadata> {
        let target = self.open_target(address)?;
        let version = subject(&target, address)?;
        self.metadata_of(&target, version, false)
    }

    /// Sets each key of `values`, all in one record; no record where all are so already.
    ///
    /// Errors: [`Kind::Usage`](crate::base::Kind::Usage) for a key or value that can't be kept, that dagset sets itself, or that the numbering
    /// policy doesn't know.
    pub fn set_metadata(&self, address: &Address, values: &Attrs) -> Result<Metadata> {
        let mut target = self.open_target(address)?;
        let version = subject(&target, address)?;
        refuse_reserved(values)?;
        for (key, value) in &values.0 {
            check(key, value)?;
        }
        match version {
            Some(_) => Rules::check_of_version(values)?,
            None => {
                Policy::check(values)?;
                Rules::check(values)?;
            }
        }
        let (dataset, actor) = (target.dataset.clone(), self.actor());
        let changed = target.store.timeline.append(&actor, |fold, _| {
            let now = &fold.dataset(&dataset)?.meta;
            let differs = |(key, value): &(&String, &Value)| now.get(&(version, (*key).clone())) != Some(*value);
            Ok(values.0.iter().filter(differs).map(|(key, value)| set(&dataset, version, key, Some(value))).collect())
        })?;
        self.metadata_of(&target, version, changed)
    }

    /// Takes keys away, all in one record.
    ///
    /// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) where one isn't set; [`Kind::Conflict`](crate::base::Kind::Conflict) where the
    /// version was made with it, since a version never changes: its key can be set anew, to `null` too.
    pub fn unset_metadata(&self, address: &Address, keys: &[String]) -> Result<Metadata> {
        let mut target = self.open_target(address)?;
        let version = subject(&target, address)?;
        let made_with = self.made_with(&target, version)?;
        let (dataset, actor) = (target.dataset.clone(), self.actor());
        let changed = target.store.timeline.append(&actor, |fold, _| {
            let now = &fold.dataset(&dataset)?.meta;
            let unset = |key: &String| match now.contains_key(&(version, key.clone())) {
                _ if made_with.0.contains_key(key) => Err(made_with_it(key, address)),
                true => Ok(set(&dataset, version, key, None)),
                false => Err(no_key(key, address)),
            };
            keys.iter().map(unset).collect()
        })?;
        self.metadata_of(&target, version, changed)
    }

    fn metadata_of(&self, target: &Target, version: Option<Id>, changed: bool) -> Result<Metadata> {
        let dataset = target.dataset()?;
        Ok(Metadata {
            dataset: target.dataset.clone(),
            version,
            name: version.and_then(|version| dataset.name_of(&version).cloned()),
            meta: changed_since(dataset, version, self.made_with(target, version)?),
            changed,
        })
    }

    /// The metadata that stands in a version's own record.
    fn made_with(&self, target: &Target, version: Option<Id>) -> Result<Attrs> {
        let Some(version) = version else { return Ok(Attrs::default()) };
        let state = target.version_state(&version)?;
        Ok(self.version_records(&target.store, &[state])?.remove(0).meta)
    }
}

/// What these keys begin with says how a version was made: `why`, `refresh` and `revert` act by it.
const RESERVED: [&str; 2] = ["merge.", "revert."];

/// Errors: [`Kind::Usage`](crate::base::Kind::Usage) where a user gives a key that dagset itself sets.
pub(super) fn refuse_reserved(given: &Attrs) -> Result<()> {
    match given.0.keys().find(|key| is_reserved(key)) {
        None => Ok(()),
        Some(key) => Err(Error::usage(format!("the metadata {key} is dagset's own: it says how a version was made"))
            .hint("keys that begin with merge. or revert. are set by these commands; choose another key")),
    }
}

/// Whether metadata is dagset's own.
pub(super) fn is_reserved(key: &str) -> bool {
    RESERVED.iter().any(|prefix| key.starts_with(prefix))
}

/// The error for a key that isn't set.
pub fn no_key(key: &str, address: &Address) -> Error {
    Error::not_found(format!("{address} has no metadata {key}")).hint(format!("`dagset meta list {address}` shows all"))
}

/// `made_with`, and over it what the log has set since: of a version, or of the dataset.
pub(super) fn changed_since(dataset: &Dataset, version: Option<Id>, made_with: Attrs) -> Attrs {
    let mut meta = made_with;
    meta.0.extend(set_in_log(dataset, version).map(|(key, value)| (key.clone(), value.clone())));
    meta
}

/// What the log has set of a version, or of the dataset.
pub(super) fn set_in_log(dataset: &Dataset, version: Option<Id>) -> impl Iterator<Item = (&String, &Value)> {
    let of_subject = dataset.meta.range((version, String::new())..);
    of_subject.take_while(move |((subject, _), _)| *subject == version).map(|((_, key), value)| (key, value))
}

/// What sets the metadata that a version is made with in the log too, where lists find it without reading the version. What is too long
/// for the log stands in the version alone.
pub(super) fn also_in_log(dataset: &DatasetName, version: Id, meta: &Attrs) -> Vec<Operation> {
    let fits = meta.0.iter().filter(|(key, value)| metadata_is_possible(key, value));
    fits.map(|(key, value)| set(dataset, Some(version), key, Some(value))).collect()
}

fn set(dataset: &DatasetName, version: Option<Id>, key: &str, value: Option<&Value>) -> Operation {
    Operation::SetMetadata { dataset: dataset.clone(), version, key: key.to_owned(), value: value.cloned() }
}

fn subject(target: &Target, address: &Address) -> Result<Option<Id>> {
    whole_versions_only(address)?;
    match &address.reference {
        None => target.dataset().map(|_| None),
        Some(_) => Ok(Some(target.version()?.row.version)),
    }
}

fn check(key: &str, value: &Value) -> Result<()> {
    let is_plain = key.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !is_plain {
        return Err(Error::usage(format!(
            "a key of metadata may hold letters, digits, . _ - and must begin with a letter, digit or _: {key:?}"
        )));
    }
    match metadata_is_possible(key, value) {
        true => Ok(()),
        false => {
            Err(Error::usage(format!("the metadata {key} is too long: a key has at most 255 bytes, a value 32 KiB")))
        }
    }
}

fn made_with_it(key: &str, address: &Address) -> Error {
    Error::conflict(format!("{address} was made with the metadata {key}, and a version never changes"))
        .hint(format!("`dagset meta set {address} {key}=null` covers it"))
}
