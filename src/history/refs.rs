//! From what a user wrote to a version: names, tags, branches, id prefixes, `~n`, `^n`. A parent may be in another dataset of the store.

use crate::base::{DatasetName, Error, Id, Result};
use crate::store::address::{RefBase, RefExpr, Step};

use super::fold::{Dataset, Fold};

/// The branch that is meant where none is named.
pub const DEFAULT_BRANCH: &str = "main";
/// An id prefix needs this many hex digits.
const LEAST_PREFIX: usize = 8;

/// The version that `reference` means in the dataset `name`; `default` is what no reference at all means.
///
/// Names win over tags, tags over branches (they share one namespace), and all of them over id prefixes.
pub fn resolve(fold: &Fold, name: &DatasetName, reference: &RefExpr, default: &str) -> Result<Id> {
    let dataset = fold.dataset(name)?;
    let start = match &reference.base {
        RefBase::Default => resolve_word(name, dataset, default)?,
        RefBase::Word(word) => resolve_word(name, dataset, word)?,
        RefBase::Pinned { version, manifest } => resolve_pinned(fold, name, version, manifest)?,
    };
    reference.steps.iter().try_fold(start, |version, step| follow(fold, name, version, step))
}

fn resolve_pinned(fold: &Fold, name: &DatasetName, version: &Id, manifest: &Id) -> Result<Id> {
    let hint =
        "`dagset lock --check` compares the lock file with the store, `dagset lock --update` pins what is there now";
    match fold.home_of(version, name).map(|(_, home)| &home.versions[version]) {
        None => {
            Err(Error::not_found(format!("{name} has no version {}, which the lock file pins", version.short()))
                .hint(hint))
        }
        Some(state) if state.row.manifest != *manifest => {
            let message = format!("version {} of {name} has another manifest than the lock file says", version.short());
            Err(Error::conflict(message).hint(hint))
        }
        Some(_) => Ok(*version),
    }
}

fn resolve_word(name: &DatasetName, dataset: &Dataset, word: &str) -> Result<Id> {
    let by_ref = || {
        let named = dataset.names.iter().find(|(key, _)| key.as_str() == word).map(|(_, id)| *id);
        let tagged = || dataset.tags.iter().find(|(key, _)| key.as_str() == word).map(|(_, tag)| tag.version);
        let branch = || dataset.branches.iter().find(|(key, _)| key.as_str() == word).map(|(_, id)| *id);
        named.or_else(tagged).or_else(branch)
    };
    if let Some(version) = by_ref() {
        return Ok(version);
    }
    if word.len() >= LEAST_PREFIX && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        let mut matching = dataset.versions.keys().filter(|id| id.to_string().starts_with(word));
        match (matching.next(), matching.next()) {
            (Some(version), None) => return Ok(*version),
            (Some(_), Some(_)) => {
                return Err(Error::usage(format!("{word} begins several version ids of {name}"))
                    .hint("give more digits of the id"));
            }
            _ => {}
        }
    }
    let hint = format!("`dagset log` shows the versions, `dagset branch` and `dagset tag` the refs of {name}");
    Err(Error::not_found(format!("{name} has no version name, tag, branch or id {word}")).hint(hint))
}

fn follow(fold: &Fold, name: &DatasetName, version: Id, step: &Step) -> Result<Id> {
    let parent = |version: Id, which: usize| {
        let (home, dataset) = fold.home_of(&version, name).ok_or_else(|| missing_version(fold, name, &version))?;
        dataset.versions[&version].row.parents.get(which).copied().ok_or_else(|| {
            let which = which + 1;
            Error::not_found(format!("version {} of {home} has no parent number {which}", version.short()))
        })
    };
    match *step {
        Step::Ancestor(generations) => (0..generations).try_fold(version, |version, _| parent(version, 0)),
        Step::Parent(0) => Ok(version),
        Step::Parent(which) => parent(version, which as usize - 1),
    }
}

/// The error for a version that no dataset has, from which one of `name` came.
pub fn missing_version(fold: &Fold, name: &DatasetName, version: &Id) -> Error {
    let version_id = version.short();
    match fold.deletion_with(version) {
        Some((record, other)) => Error::not_found(format!(
            "version {version_id} was one of the dataset {other}, which record {record} of the log deleted"
        ))
        .hint(format!("`dagset undo STORE {record}` brings the dataset back")),
        None => Error::not_found(format!("{name} has no version {version_id}, and no other dataset here has it")),
    }
}

#[cfg(test)]
#[path = "refs_tests.rs"]
mod tests;
