//! What records of the log did, with the names that versions have: what `oplog`, `undo` and `audit` tell.

use std::collections::HashMap;

use crate::base::{DatasetName, Id, RefName, Time};
use crate::format::attrs::{Attrs, Value};
use crate::format::operation::Operation;
use crate::format::record::RecordCore;
use crate::history::fold::Fold;
use crate::history::undo::UNDOES;

use super::metadata::is_reserved;

/// A version, and the name that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub version: Id,
    pub name: Option<RefName>,
}

/// One thing that a record did.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// What it was done to; `None`: the store.
    pub dataset: Option<DatasetName>,
    pub what: What,
}

/// What was done.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    StoreCreated,
    DatasetCreated,
    DatasetRenamed {
        to: DatasetName,
    },
    DatasetDeleted,
    DatasetRestored {
        /// The record that had deleted it.
        deletion: u64,
    },
    VersionAdded {
        version: Point,
        parents: Vec<Point>,
        files: u64,
        bytes: u64,
    },
    BranchSet {
        branch: String,
        old: Option<Point>,
        new: Option<Point>,
    },
    TagSet {
        tag: String,
        old: Option<Point>,
        new: Option<Point>,
        protected: bool,
    },
    NameTaken {
        name: String,
        version: Point,
    },
    NameDropped {
        name: String,
        version: Point,
    },
    Published {
        version: Point,
        note: String,
    },
    MetadataSet {
        version: Option<Point>,
        key: String,
        /// `None`: the key was removed.
        value: Option<Value>,
        /// It says how the version was made, and was set by what made it.
        is_own: bool,
        /// The version whose id the value then is, if it is one.
        names: Option<Point>,
    },
    /// Packs were registered, or indexes of theirs replaced by others.
    Registered {
        packs: u64,
        bytes: u64,
        replaced: u64,
    },
    /// Why the record does what protection or publishing stands against.
    Reason(String),
    /// Content was purged, with its bytes.
    Purged {
        contents: Vec<Id>,
        bytes: u64,
        reason: String,
    },
    /// Purged content may be added again.
    Readmitted(Vec<Id>),
    /// A step of collection, by its name.
    Collection(&'static str),
    /// An operation of a newer dagset.
    Unknown(u8),
}

impl Deed {
    /// Whether it names this version.
    pub fn is_about(&self, id: &Id) -> bool {
        let is = |point: &Point| point.version == *id;
        match &self.what {
            What::VersionAdded { version, .. }
            | What::NameTaken { version, .. }
            | What::NameDropped { version, .. }
            | What::Published { version, .. } => is(version),
            What::BranchSet { old, new, .. } | What::TagSet { old, new, .. } => old.iter().chain(new).any(is),
            What::MetadataSet { version, .. } => version.as_ref().is_some_and(is),
            _ => false,
        }
    }
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    pub number: u64,
    pub time: Time,
    /// Who, as `Name <mail>`.
    pub actor: String,
    /// Host, user, tool, command, CI job.
    pub context: Attrs,
    /// The record that this one undid.
    pub undoes: Option<u64>,
    pub deeds: Vec<Deed>,
}

impl LogRecord {
    /// Whether it says only where things lie: packs were registered, or indexes merged, and nothing was undone.
    pub fn is_bookkeeping(&self) -> bool {
        self.undoes.is_none() && self.deeds.iter().all(|deed| matches!(deed.what, What::Registered { .. }))
    }
}

/// The names of versions, by the present fold.
pub(super) struct Names<'f>(HashMap<Id, &'f RefName>);

impl<'f> Names<'f> {
    pub fn of(fold: &'f Fold) -> Names<'f> {
        let datasets = fold.deleted.values().chain(fold.datasets.values());
        Names(datasets.flat_map(|dataset| dataset.names.iter().map(|(name, id)| (*id, name))).collect())
    }

    pub fn point(&self, id: &Id) -> Point {
        Point { version: *id, name: self.0.get(id).map(|name| (*name).clone()) }
    }

    /// A record as it is told.
    pub fn told(&self, core: &RecordCore) -> LogRecord {
        LogRecord {
            number: core.number,
            time: core.time,
            actor: core.actor.clone(),
            undoes: undoes(&core.context),
            context: core.context.clone(),
            deeds: self.deeds(&core.operations),
        }
    }

    /// What operations do. What a writer only relies on isn't told.
    pub fn deeds(&self, operations: &[Operation]) -> Vec<Deed> {
        operations.iter().filter_map(|operation| self.deed(operation)).collect()
    }

    fn deed(&self, operation: &Operation) -> Option<Deed> {
        let point = |id: &Id| self.point(id);
        let of = |id: &Option<Id>| id.as_ref().map(point);
        let what = match operation {
            Operation::Rely(_) => return None,
            Operation::StoreCreated { .. } => What::StoreCreated,
            Operation::CreateDataset { .. } => What::DatasetCreated,
            Operation::RenameDataset { to, .. } => What::DatasetRenamed { to: to.clone() },
            Operation::DeleteDataset { .. } => What::DatasetDeleted,
            Operation::RestoreDataset { deletion, .. } => What::DatasetRestored { deletion: *deletion },
            Operation::AddVersion { row, .. } => What::VersionAdded {
                version: point(&row.version),
                parents: row.parents.iter().map(point).collect(),
                files: row.files,
                bytes: row.bytes,
            },
            Operation::SetBranch { branch, old, new, .. } => {
                What::BranchSet { branch: branch.to_string(), old: of(old), new: of(new) }
            }
            Operation::SetTag { tag, old, new, protected, .. } => {
                What::TagSet { tag: tag.to_string(), old: of(old), new: of(new), protected: *protected }
            }
            Operation::TakeName { name, version, .. } => {
                What::NameTaken { name: name.to_string(), version: point(version) }
            }
            Operation::DropName { name, version, .. } => {
                What::NameDropped { name: name.to_string(), version: point(version) }
            }
            Operation::Publish { version, note, .. } => What::Published { version: point(version), note: note.clone() },
            Operation::SetMetadata { version, key, value, .. } => {
                let is_own = is_reserved(key);
                let named = value.as_ref().filter(|_| is_own).and_then(id_in);
                let (version, value) = (of(version), value.clone());
                What::MetadataSet { version, key: key.clone(), value, is_own, names: of(&named) }
            }
            Operation::Register { indexes } => registered(0, indexes),
            Operation::ReplaceIndexes { removed, added } => registered(removed.len() as u64, added),
            Operation::Reason { text } => What::Reason(text.clone()),
            Operation::Mark => What::Collection("mark"),
            Operation::VoidBefore { .. } => What::Collection("void before"),
            Operation::Condemn { .. } => What::Collection("condemn"),
            Operation::CondemnContents { .. } => What::Collection("condemn content"),
            Operation::LetGo { .. } => What::Collection("let content go"),
            Operation::Rescue(_) => What::Collection("rescue"),
            Operation::Reclaim(_) => What::Collection("reclaim"),
            Operation::Expel { contents, reason } => What::Purged {
                contents: contents.iter().map(|it| it.content).collect(),
                bytes: contents.iter().map(|it| it.size).fold(0, u64::saturating_add),
                reason: reason.clone(),
            },
            Operation::Readmit { contents } => What::Readmitted(contents.clone()),
            Operation::Unknown { code, .. } => What::Unknown(*code),
        };
        Some(Deed { dataset: operation.dataset().cloned(), what })
    }
}

/// A whole id, and nothing beside it.
fn id_in(value: &Value) -> Option<Id> {
    match value {
        Value::Text(text) => Id::from_hex(text),
        _ => None,
    }
}

fn registered(replaced: u64, rows: &[crate::format::operation::IndexRow]) -> What {
    let bytes = rows.iter().map(|row| row.pack_bytes + row.meta_bytes).sum();
    What::Registered { packs: rows.iter().map(|row| row.packs).sum(), bytes, replaced }
}

fn undoes(context: &Attrs) -> Option<u64> {
    match context.0.get(UNDOES) {
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    }
}
