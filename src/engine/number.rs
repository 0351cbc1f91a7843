//! `--bump`: the number that a version gets, found when it is published.
//!
//! The number is chosen by the fold that its record is made from, anew each time that another writer is first: two never get the same.

use std::collections::HashSet;

use crate::base::{DatasetName, Id, RefName, Result};
use crate::format::operation::{Operation, VersionRow};
use crate::history::dag::ancestry;
use crate::history::fold::{Dataset, Fold};
use crate::history::numbers::{Differences, Number, Policy, Step, highest, next_name};
use crate::store::content::Content;
use crate::tree::diff::diff;
use crate::tree::manifest::Manifest;

/// Which part of the number grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bump {
    Major,
    Minor,
    Patch,
    /// What the dataset's policy says of what differs from the highest number among the version's ancestors.
    Auto,
}

impl Bump {
    /// The word by which it is asked for.
    pub(super) fn word(self) -> &'static str {
        match self {
            Bump::Major => "major",
            Bump::Minor => "minor",
            Bump::Patch => "patch",
            Bump::Auto => "auto",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Bump> {
        [Bump::Major, Bump::Minor, Bump::Patch, Bump::Auto].into_iter().find(|bump| bump.word() == word)
    }

    /// The step, where it is known without looking at content.
    pub(super) fn given(self) -> Option<Step> {
        match self {
            Bump::Major => Some(Step::Major),
            Bump::Minor => Some(Step::Minor),
            Bump::Patch => Some(Step::Patch),
            Bump::Auto => None,
        }
    }
}

/// Whether a name is one that `--bump` may give.
pub(super) fn is_number(name: &RefName) -> bool {
    Number::parse(name.as_str()).is_some()
}

/// Fails where no number could be given, before any work is done for it.
pub(super) fn check(fold: &Fold, owner: &DatasetName, bump: Bump) -> Result<()> {
    let Some(dataset) = fold.datasets.get(owner) else { return Ok(()) };
    if bump == Bump::Auto {
        Policy::of(owner, dataset)?;
    }
    next_name(owner, dataset, Step::Patch).map(drop)
}

/// The step for a version that is stored: its own, or that of what differs from the version that it is compared with.
pub(super) fn step(
    fold: &Fold,
    owner: &DatasetName,
    content: &Content,
    bump: Bump,
    parents: &[Id],
    new: Manifest<'_>,
) -> Result<Step> {
    let empty = Dataset::default();
    let dataset = fold.datasets.get(owner).unwrap_or(&empty);
    if let Some(step) = bump.given() {
        return Ok(step);
    }
    let policy = Policy::of(owner, dataset)?;
    let Some(base) = compared_with(dataset, parents) else { return Ok(Step::Major) };
    let mut differences = Differences::default();
    diff(Manifest::new(content, base.manifest, Some(base.manifest_place)), new, "", |change| {
        match (change.before, change.after) {
            (None, _) => differences.added = true,
            (_, None) => differences.removed = true,
            _ => differences.changed = true,
        }
        Ok(())
    })?;
    Ok(policy.step(differences))
}

/// Of the parents and their ancestors, the version of the highest number; where none has one, of the whole dataset.
fn compared_with<'d>(dataset: &'d Dataset, parents: &[Id]) -> Option<&'d VersionRow> {
    let before: HashSet<Id> = ancestry(dataset, parents).iter().map(|state| state.row.version).collect();
    let ancestors = highest(dataset.names.iter().filter(|(_, id)| before.contains(id)));
    let (_, version) = ancestors.or_else(|| highest(dataset.names.iter()))?;
    dataset.versions.get(version).map(|state| &state.row)
}

/// The name that the version takes as the fold is now; `None` where it has one.
pub(super) fn next(fold: &Fold, owner: &DatasetName, version: Option<&Id>, step: Step) -> Result<Option<RefName>> {
    let empty = Dataset::default();
    let dataset = fold.datasets.get(owner).unwrap_or(&empty);
    match version.and_then(|version| dataset.name_of(version)) {
        Some(_) => Ok(None),
        None => next_name(owner, dataset, step).map(Some),
    }
}

/// The operation by which a version takes its number, where it has no name and one is asked for.
pub(super) fn take(fold: &Fold, owner: &DatasetName, version: Id, step: Option<Step>) -> Result<Option<Operation>> {
    let Some(step) = step else { return Ok(None) };
    let name = next(fold, owner, Some(&version), step)?;
    Ok(name.map(|name| Operation::TakeName { dataset: owner.clone(), name, version }))
}
