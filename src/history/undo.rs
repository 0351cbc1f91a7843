//! Undoing a record by a new one. Pure: from the fold before it and the record itself to the operations that take it back, and whether
//! they still may.
//!
//! Taken back is what moves: branches, tags, names, metadata, datasets as wholes. What a record registered or added stays, so a version
//! whose branch moved back is still found by its id, and what was published stays so. A record that made a dataset is undone by
//! deleting it.

use std::collections::BTreeSet;

use crate::base::{DatasetName, Error, Result};
use crate::format::attrs::Value;
use crate::format::operation::{Operation, Things};
use crate::format::record::RecordCore;

use super::fold::Fold;

/// In the context of a record: the number of the one that it undid (docs/format.md §10).
pub const UNDOES: &str = "undoes";

/// In the context of a record: the number of the first record of the same command, which had no room for all.
pub const CONTINUES: &str = "continues";

/// The record whose work a record goes on with, if it does.
pub fn continues(core: &RecordCore) -> Option<u64> {
    match core.context.0.get(CONTINUES) {
        Some(Value::Int(first)) => u64::try_from(*first).ok().filter(|first| *first < core.number),
        _ => None,
    }
}

/// The operations that take back what `core` did on top of `before`; none for a record that did nothing that is ever taken back.
///
/// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where it did something that can't be, or had no effect.
pub fn inverse(before: &mut Fold, core: &RecordCore) -> Result<Vec<Operation>> {
    let number = core.number;
    before.check(core).map_err(|fault| fault.within(format!("record {number} had no effect")))?;
    let made: BTreeSet<&DatasetName> = core.operations.iter().filter_map(made_dataset).collect();
    let mut inverse = Vec::new();
    for operation in core.operations.iter().rev() {
        match operation.dataset() {
            Some(dataset) if made.contains(dataset) => {
                inverse.extend(made_dataset(operation).map(|_| Operation::DeleteDataset { dataset: dataset.clone() }));
            }
            _ => inverse.extend(taken_back(before, operation, number)?),
        }
    }
    Ok(inverse)
}

fn made_dataset(operation: &Operation) -> Option<&DatasetName> {
    match operation {
        Operation::CreateDataset { dataset } => Some(dataset),
        _ => None,
    }
}

fn taken_back(before: &Fold, operation: &Operation, number: u64) -> Result<Option<Operation>> {
    Ok(Some(match operation.clone() {
        Operation::SetBranch { dataset, branch, old, new } => {
            Operation::SetBranch { dataset, branch, old: new, new: old }
        }
        Operation::SetTag { dataset, tag, old, new, .. } => {
            let was = before.datasets.get(&dataset).and_then(|dataset| dataset.tags.get(&tag));
            let protected = was.is_some_and(|tag| tag.protected);
            Operation::SetTag { dataset, tag, old: new, new: old, protected }
        }
        Operation::TakeName { dataset, name, version } => {
            let had = before.datasets.get(&dataset).is_some_and(|dataset| dataset.names.contains_key(&name));
            return Ok((!had).then_some(Operation::DropName { dataset, name, version }));
        }
        Operation::DropName { dataset, name, version } => Operation::TakeName { dataset, name, version },
        Operation::SetMetadata { dataset, version, key, .. } => {
            let was = before.datasets.get(&dataset).and_then(|dataset| dataset.meta.get(&(version, key.clone())));
            Operation::SetMetadata { value: was.cloned(), dataset, version, key }
        }
        Operation::RenameDataset { dataset, to } => Operation::RenameDataset { dataset: to, to: dataset },
        Operation::DeleteDataset { dataset } => Operation::RestoreDataset { dataset, deletion: number },
        Operation::RestoreDataset { dataset, .. } => Operation::DeleteDataset { dataset },
        Operation::CondemnContents { versions, .. } => Operation::Rescue(Things { versions, packs: Vec::new() }),
        Operation::Publish { .. }
        | Operation::StoreCreated { .. }
        | Operation::Register { .. }
        | Operation::CreateDataset { .. }
        | Operation::AddVersion { .. }
        | Operation::Rely(_)
        | Operation::Rescue(_)
        | Operation::Reason { .. }
        | Operation::ReplaceIndexes { .. } => return Ok(None),
        Operation::Expel { .. } => {
            return Err(Error::conflict(format!("record {number} purged content, which is gone for good"))
                .hint("`dagset unpurge STORE FILE…` brings the content back"));
        }
        Operation::Readmit { .. } => {
            return Err(Error::conflict(format!("record {number} lets purged content be added again"))
                .hint("`dagset purge` removes what was added since"));
        }
        Operation::LetGo { .. } => {
            return Err(Error::conflict(format!(
                "record {number} let the content of versions go, which is gone for good"
            ))
            .hint("another store may have it; keep rules are shown by `dagset meta list [STORE/]DATASET`"));
        }
        Operation::Mark
        | Operation::VoidBefore { .. }
        | Operation::Condemn { .. }
        | Operation::Reclaim(_)
        | Operation::Unknown { .. } => {
            return Err(Error::conflict(format!("record {number} did what only collection takes back")));
        }
    }))
}

/// Whether nothing that came since stands against undoing `core`; `after` is the fold behind it and what continues it, `now` the present
/// one. The operations' own conditions are checked when they are appended, and [`super::guard`] has a say.
pub fn still_may(after: &Fold, core: &RecordCore, now: &Fold, inverse: &[Operation]) -> Result<()> {
    for operation in inverse {
        match operation {
            Operation::DeleteDataset { dataset } if now.dataset(dataset)? != after.dataset(dataset)? => {
                return Err(Error::conflict(format!("the dataset {dataset} isn't as record {} left it", core.number)));
            }
            Operation::SetMetadata { dataset, version, key, .. } => {
                let place = (*version, key.clone());
                if now.dataset(dataset)?.meta.get(&place) != after.dataset(dataset)?.meta.get(&place) {
                    return Err(Error::conflict(format!("the metadata {key} of {dataset} was set anew")));
                }
            }
            Operation::Rescue(Things { versions, .. }) => {
                let gone = versions.iter().find(|id| now.condemned.contents.get(id) != Some(&core.number));
                if let Some(id) = gone {
                    let message = format!("the content of version {} isn't condemned any more", id.short());
                    return Err(Error::conflict(message).hint("`dagset show` says whether it was let go"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether what `newer` did stands on, or in the way of, what `operation` would change.
pub fn bears_on(newer: &Operation, operation: &Operation) -> bool {
    let (Some(dataset), Some(of_newer)) = (operation.dataset(), newer.dataset()) else { return false };
    let to_name = |operation: &Operation| match operation {
        Operation::RenameDataset { to, .. } => Some(to.clone()),
        _ => None,
    };
    if to_name(newer).as_ref() == Some(dataset) || to_name(operation).as_ref() == Some(of_newer) {
        return true;
    }
    if dataset != of_newer {
        return false;
    }
    match (newer, operation) {
        (
            Operation::CreateDataset { .. }
            | Operation::RenameDataset { .. }
            | Operation::DeleteDataset { .. }
            | Operation::RestoreDataset { .. },
            _,
        )
        | (_, Operation::DeleteDataset { .. }) => true,
        (Operation::SetMetadata { version, key, .. }, Operation::SetMetadata { version: v, key: k, .. }) => {
            version == v && key == k
        }
        // A name that was given up can be taken by another, and a version that lost its name can get a new one.
        (Operation::TakeName { version, .. }, Operation::TakeName { version: of, .. }) if version == of => true,
        _ => match (ref_text(newer), ref_text(operation)) {
            (Some(newer), Some(text)) => newer == text,
            _ => false,
        },
    }
}

fn ref_text(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::SetBranch { branch, .. } => Some(branch.as_str()),
        Operation::SetTag { tag, .. } => Some(tag.as_str()),
        Operation::TakeName { name, .. } | Operation::DropName { name, .. } => Some(name.as_str()),
        _ => None,
    }
}
