//! From what a user wrote to a version: names, tags, branches, id prefixes, `~n`, `^n`.

use crate::base::{DatasetName, Error, Id, Result};
use crate::store::address::{RefBase, RefExpr, Step};

use super::fold::Dataset;

/// The branch that is meant where none is named.
pub const DEFAULT_BRANCH: &str = "main";
/// An id prefix needs this many hex digits.
const LEAST_PREFIX: usize = 8;

/// The version that `reference` means in `dataset`; `default` is what no reference at all means.
///
/// Names win over tags, tags over branches (they share one namespace), and all of them over id prefixes.
pub fn resolve(name: &DatasetName, dataset: &Dataset, reference: &RefExpr, default: &str) -> Result<Id> {
    let start = match &reference.base {
        RefBase::Default => resolve_word(name, dataset, default)?,
        RefBase::Word(word) => resolve_word(name, dataset, word)?,
        RefBase::Pinned { version, manifest } => resolve_pinned(name, dataset, version, manifest)?,
    };
    reference.steps.iter().try_fold(start, |version, step| follow(name, dataset, version, step))
}

fn resolve_pinned(name: &DatasetName, dataset: &Dataset, version: &Id, manifest: &Id) -> Result<Id> {
    let hint =
        "`dagset lock --check` compares the lock file with the store, `dagset lock --update` pins what is there now";
    match dataset.versions.get(version) {
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

fn follow(name: &DatasetName, dataset: &Dataset, version: Id, step: &Step) -> Result<Id> {
    let parent = |version: Id, which: usize| {
        let parents = dataset.versions.get(&version).map(|state| state.row.parents.as_slice()).unwrap_or_default();
        parents.get(which).copied().ok_or_else(|| {
            let which = which + 1;
            Error::not_found(format!("version {} of {name} has no parent number {which}", version.short()))
        })
    };
    match *step {
        Step::Ancestor(generations) => (0..generations).try_fold(version, |version, _| parent(version, 0)),
        Step::Parent(0) => Ok(version),
        Step::Parent(which) => parent(version, which as usize - 1),
    }
}

#[cfg(test)]
#[path = "refs_tests.rs"]
mod tests;
