//! The fold: what all records up to a number amount to (docs/format.md §10).
//!
//! A record's operations are checked one after the other against the fold as they are taken; one that doesn't hold undoes those
//! before it, and the record has no effect. Writers check the same before they append, so that this is seen in broken logs only.

use std::collections::{BTreeMap, HashMap};

use crate::base::{BranchName, DatasetName, Error, Id, Kind, ObjectName, RefName, Result, Time};
use crate::format::attrs::Value;
use crate::format::operation::{IndexRow, Operation, VersionRow};
use crate::format::record::{FOLD_RULE, RecordCore};
use crate::format::tombstone::Tombstone;

mod collection;
mod datasets;
mod let_go;
mod purge;

pub use collection::{Condemned, Void, refs_of};
pub use datasets::Gone;
pub use let_go::LetGo;

/// A version as the log knows it, without reading its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionState {
    pub row: VersionRow,
    /// The log record that added it.
    pub record: u64,
    /// Frozen by `publish`.
    pub published: bool,
}

/// Where a tag points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    pub version: Id,
    pub protected: bool,
}

/// One dataset: its refs and its versions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dataset {
    pub created: Time,
    pub branches: BTreeMap<BranchName, Id>,
    pub names: BTreeMap<RefName, Id>,
    pub tags: BTreeMap<RefName, Tag>,
    pub versions: HashMap<Id, VersionState>,
    pub meta: BTreeMap<(Option<Id>, String), Value>,
}

impl Dataset {
    /// The name of a version, if it has one: a version has at most one.
    pub fn name_of(&self, version: &Id) -> Option<&RefName> {
        self.names.iter().find(|(_, id)| *id == version).map(|(name, _)| name)
    }

    /// What a version is called: its name, else its short id.
    pub fn called(&self, version: &Id) -> String {
        self.name_of(version).map_or_else(|| version.short(), RefName::to_string)
    }

    /// Whether the version is frozen.
    pub fn is_published(&self, version: &Id) -> bool {
        self.versions.get(version).is_some_and(|state| state.published)
    }

    /// The version that was added last.
    pub fn newest(&self) -> Option<&VersionState> {
        self.versions.values().max_by_key(|state| (state.record, state.row.time, state.row.version))
    }

    /// Whether a version name, tag or branch of this text exists: they share one namespace.
    pub fn has_ref(&self, text: &str) -> bool {
        self.names.keys().chain(self.tags.keys()).any(|name| name.as_str() == text)
            || self.branches.keys().any(|name| name.as_str() == text)
    }
}

/// All records up to `number`, folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fold {
    /// The newest record that is folded in; 0 for an empty log.
    pub number: u64,
    /// The hash of that record's object.
    pub record: Id,
    pub store: [u8; 16],
    pub indexes: BTreeMap<ObjectName, IndexRow>,
    pub datasets: BTreeMap<DatasetName, Dataset>,
    /// What was deleted and can be brought back, by the record that did it and the name that it had.
    pub deleted: BTreeMap<(u64, DatasetName), Dataset>,
    /// Names that datasets had: what each was renamed to, and by which record.
    pub renamed: BTreeMap<DatasetName, (DatasetName, u64)>,
    /// Sessions that began before this record are void: nothing of them enters the log any more.
    pub void_before: u64,
    pub condemned: Condemned,
    /// Versions that stay without their content, by id.
    pub let_go: BTreeMap<Id, LetGo>,
    /// Purged content.
    pub expelled: BTreeMap<Id, Tombstone>,
}

/// What a name was renamed to before, if it was.
type WasRenamed = Option<(DatasetName, u64)>;

/// How one step of a record is taken back.
enum Undo {
    Store([u8; 16]),
    Index(ObjectName),
    IndexBack(IndexRow),
    Dataset(DatasetName, WasRenamed),
    Renamed { from: (DatasetName, WasRenamed), to: (DatasetName, WasRenamed) },
    Deleted((u64, DatasetName)),
    Restored((u64, DatasetName), WasRenamed),
    Version(DatasetName, Id),
    Branch(DatasetName, BranchName, Option<Id>),
    Name(DatasetName, RefName, Option<Id>),
    Tag(DatasetName, RefName, Option<Tag>),
    Published(DatasetName, Id, bool),
    Meta(DatasetName, (Option<Id>, String), Option<Value>),
    VoidBefore(u64),
    Condemned(Condemned),
    LetGo(Id, Option<LetGo>),
    Expelled(Id, Option<Tombstone>),
    DatasetWas(DatasetName, Box<Dataset>),
    DeletedWas((u64, DatasetName), Box<Dataset>),
}

impl Fold {
    /// The version with this id, in whichever dataset it is.
    pub fn version(&self, id: &Id) -> Option<&VersionState> {
        self.datasets.values().find_map(|dataset| dataset.versions.get(id))
    }

    /// The dataset that has a version, `near` rather than another one.
    pub fn home_of(&self, id: &Id, near: &DatasetName) -> Option<(&DatasetName, &Dataset)> {
        let has_it = |(_, dataset): &(&DatasetName, &Dataset)| dataset.versions.contains_key(id);
        self.datasets.get_key_value(near).filter(has_it).or_else(|| self.datasets.iter().find(has_it))
    }

    /// The newest deletion of a dataset that had a version: the record that did it, and the dataset's name.
    pub fn deletion_with(&self, id: &Id) -> Option<(u64, &DatasetName)> {
        let had_it = self.deleted.iter().rev().find(|(_, dataset)| dataset.versions.contains_key(id));
        had_it.map(|((record, name), _)| (*record, name))
    }

    /// Folds in the next record. An operation that doesn't hold leaves only the number advanced.
    ///
    /// Errors: an unknown critical operation or fold rule ([`Kind::Failed`]: a newer dagset is needed); a record out of turn
    /// ([`Kind::Damaged`]).
    pub fn apply(&mut self, core: &RecordCore, record: Id) -> Result<()> {
        if core.number != self.number + 1 || core.before != self.record {
            let message =
                format!("log record {} doesn't follow record {}: the chain is broken", core.number, self.number);
            return Err(Error::damaged(message));
        }
        if core.fold_rule > FOLD_RULE {
            return Err(needs_newer(core.number));
        }
        let mut undo = Vec::new();
        for operation in &core.operations {
            if let Err(fault) = self.take(operation, core, &mut undo) {
                undo.into_iter().rev().for_each(|step| self.take_back(step));
                if fault.kind() == Kind::Failed {
                    return Err(fault);
                }
                break;
            }
        }
        self.number = core.number;
        self.record = record;
        Ok(())
    }

    /// Whether all of `operations` would hold in the next record; the error says what stands against it.
    pub fn check(&mut self, core: &RecordCore) -> Result<()> {
        let mut undo = Vec::new();
        let outcome = core.operations.iter().try_for_each(|operation| self.take(operation, core, &mut undo));
        undo.into_iter().rev().for_each(|step| self.take_back(step));
        outcome
    }

    fn take(&mut self, operation: &Operation, core: &RecordCore, undo: &mut Vec<Undo>) -> Result<()> {
        self.check_not_condemned(operation)?;
        self.check_not_let_go(operation)?;
        match operation {
            Operation::StoreCreated { store } => {
                if core.number != 1 {
                    return Err(Error::conflict("the store was created before"));
                }
                undo.push(Undo::Store(std::mem::replace(&mut self.store, *store)));
            }
            Operation::Register { indexes } => indexes.iter().try_for_each(|row| self.add_index(row, undo))?,
            Operation::ReplaceIndexes { removed, added } => {
                for name in removed {
                    let row =
                        self.indexes.remove(name).ok_or_else(|| Error::conflict(format!("index {name} is gone")))?;
                    undo.push(Undo::IndexBack(row));
                }
                added.iter().try_for_each(|row| self.add_index(row, undo))?;
            }
            Operation::CreateDataset { dataset } => {
                self.create_dataset(dataset, Dataset { created: core.time, ..Dataset::default() }, undo)?;
            }
            Operation::RenameDataset { dataset, to } => self.rename_dataset(dataset, to, core.number, undo)?,
            Operation::DeleteDataset { dataset } => self.delete_dataset(dataset, core.number, undo)?,
            Operation::RestoreDataset { dataset, deletion } => self.restore_dataset(dataset, *deletion, undo)?,
            Operation::AddVersion { dataset, row } => self.add_version(dataset, row, core.number, undo)?,
            Operation::SetBranch { dataset, branch, old, new } => self.set_branch(dataset, branch, *old, *new, undo)?,
            Operation::TakeName { dataset, name, version } => self.take_name(dataset, name, *version, undo)?,
            Operation::DropName { dataset, name, version } => self.drop_name(dataset, name, *version, undo)?,
            Operation::SetTag { dataset, tag, old, new, protected } => {
                let new = new.map(|version| Tag { version, protected: *protected });
                self.set_tag(dataset, tag, *old, new, undo)?;
            }
            Operation::Publish { dataset, version, .. } => {
                let state = self.version_mut(dataset, version)?;
                let before = std::mem::replace(&mut state.published, true);
                undo.push(Undo::Published(dataset.clone(), *version, before));
            }
            Operation::SetMetadata { dataset, version, key, value } => {
                if let Some(version) = version {
                    self.version_mut(dataset, version)?;
                }
                let target = self.dataset_mut(dataset)?;
                let key = (*version, key.clone());
                let before = match value {
                    Some(value) => target.meta.insert(key.clone(), value.clone()),
                    None => target.meta.remove(&key),
                };
                undo.push(Undo::Meta(dataset.clone(), key, before));
            }
            Operation::Rely(things) => self.check_relied_on(things)?,
            Operation::VoidBefore { born } => self.void_before(*born, core.number, undo)?,
            Operation::Condemn { mark, things } => self.condemn(*mark, things, core.number, undo)?,
            Operation::CondemnContents { mark, versions } => {
                self.condemn_contents(*mark, versions, core.number, undo)?;
            }
            Operation::LetGo { versions } => self.let_go(versions, core, undo)?,
            Operation::Rescue(things) => self.rescue(things, undo),
            Operation::Reclaim(things) => self.reclaim(things, undo)?,
            Operation::Mark | Operation::Reason { .. } | Operation::Unknown { critical: false, .. } => {}
            Operation::Expel { contents, reason } => self.expel(contents, reason, core, undo),
            Operation::Readmit { contents } => self.readmit(contents, undo)?,
            Operation::Unknown { .. } => return Err(needs_newer(core.number)),
        }
        Ok(())
    }

    fn add_index(&mut self, row: &IndexRow, undo: &mut Vec<Undo>) -> Result<()> {
        match self.indexes.get(&row.name) {
            Some(present) if present == row => Ok(()),
            Some(_) => Err(Error::conflict(format!("index {} is registered as another object", row.name))),
            None => {
                self.check_not_void("index", row.name.born)?;
                self.indexes.insert(row.name, row.clone());
                undo.push(Undo::Index(row.name));
                Ok(())
            }
        }
    }

    fn add_version(
        &mut self,
        dataset: &DatasetName,
        row: &VersionRow,
        record: u64,
        undo: &mut Vec<Undo>,
    ) -> Result<()> {
        if self.dataset(dataset)?.versions.contains_key(&row.version) {
            return Ok(());
        }
        self.check_addition(row)?;
        let target = self.dataset_mut(dataset)?;
        target.versions.insert(row.version, VersionState { row: row.clone(), record, published: false });
        undo.push(Undo::Version(dataset.clone(), row.version));
        Ok(())
    }

    fn set_branch(
        &mut self,
        dataset: &DatasetName,
        branch: &BranchName,
        old: Option<Id>,
        new: Option<Id>,
        undo: &mut Vec<Undo>,
    ) -> Result<()> {
        if let Some(version) = new {
            self.version_mut(dataset, &version)?;
        }
        let target = self.dataset_mut(dataset)?;
        let present = target.branches.get(branch).copied();
        if present != old {
            let message = format!("the branch {branch} of {dataset} moved to {}", describe(present));
            return Err(Error::conflict(message));
        }
        if present.is_none() && new.is_some() && target.has_ref(branch.as_str()) {
            return Err(Error::conflict(format!("{dataset} has a version name or tag {branch} already")));
        }
        match new {
            Some(version) => target.branches.insert(branch.clone(), version),
            None => target.branches.remove(branch),
        };
        undo.push(Undo::Branch(dataset.clone(), branch.clone(), present));
        Ok(())
    }

    fn take_name(&mut self, dataset: &DatasetName, name: &RefName, version: Id, undo: &mut Vec<Undo>) -> Result<()> {
        self.version_mut(dataset, &version)?;
        let target = self.dataset_mut(dataset)?;
        if target.names.get(name) == Some(&version) {
            return Ok(());
        }
        if target.has_ref(name.as_str()) {
            return Err(Error::conflict(format!("the name {name} is taken in {dataset}"))
                .hint(format!("choose another name; `dagset show {dataset}@{name}` says what has it")));
        }
        if let Some(other) = target.name_of(&version) {
            return Err(Error::conflict(format!("version {} has the name {other} already", version.short()))
                .hint("a version has one name, which never moves; `dagset tag` sets a tag that can"));
        }
        target.names.insert(name.clone(), version);
        undo.push(Undo::Name(dataset.clone(), name.clone(), None));
        Ok(())
    }

    fn drop_name(&mut self, dataset: &DatasetName, name: &RefName, version: Id, undo: &mut Vec<Undo>) -> Result<()> {
        let target = self.dataset_mut(dataset)?;
        if target.names.get(name) != Some(&version) {
            return Err(Error::conflict(format!("version {} of {dataset} isn't named {name}", version.short())));
        }
        target.names.remove(name);
        undo.push(Undo::Name(dataset.clone(), name.clone(), Some(version)));
        Ok(())
    }

    fn set_tag(
        &mut self,
        dataset: &DatasetName,
        tag: &RefName,
        old: Option<Id>,
        new: Option<Tag>,
        undo: &mut Vec<Undo>,
    ) -> Result<()> {
        if let Some(new) = new {
            self.version_mut(dataset, &new.version)?;
        }
        let target = self.dataset_mut(dataset)?;
        let present = target.tags.get(tag).copied();
        if present.map(|tag| tag.version) != old {
            let message = format!("the tag {tag} of {dataset} moved to {}", describe(present.map(|tag| tag.version)));
            return Err(Error::conflict(message));
        }
        if present.is_none() && new.is_some() && target.has_ref(tag.as_str()) {
            return Err(Error::conflict(format!("{dataset} has a version name or branch {tag} already")));
        }
        match new {
            Some(new) => target.tags.insert(tag.clone(), new),
            None => target.tags.remove(tag),
        };
        undo.push(Undo::Tag(dataset.clone(), tag.clone(), present));
        Ok(())
    }

    fn dataset_mut(&mut self, name: &DatasetName) -> Result<&mut Dataset> {
        self.dataset(name)?;
        Ok(self.datasets.get_mut(name).expect("it is there, as was just seen"))
    }

    fn version_mut(&mut self, dataset: &DatasetName, version: &Id) -> Result<&mut VersionState> {
        self.dataset_mut(dataset)?
            .versions
            .get_mut(version)
            .ok_or_else(|| Error::not_found(format!("{dataset} has no version {}", version.short())))
    }

    fn take_back(&mut self, step: Undo) {
        match step {
            Undo::Store(store) => self.store = store,
            Undo::Index(name) => {
                self.indexes.remove(&name);
            }
            Undo::IndexBack(row) => {
                self.indexes.insert(row.name, row);
            }
            step @ (Undo::Dataset(..) | Undo::Renamed { .. } | Undo::Deleted(..) | Undo::Restored(..)) => {
                self.put_back_dataset(step);
            }
            Undo::VoidBefore(born) => self.void_before = born,
            Undo::Condemned(condemned) => self.condemned = condemned,
            Undo::LetGo(version, was) => put_back(&mut self.let_go, version, was),
            Undo::Expelled(content, was) => put_back(&mut self.expelled, content, was),
            Undo::DatasetWas(name, dataset) => drop(self.datasets.insert(name, *dataset)),
            Undo::DeletedWas(key, dataset) => drop(self.deleted.insert(key, *dataset)),
            Undo::Version(dataset, id) => self.undo_in(&dataset, |target| {
                target.versions.remove(&id);
            }),
            Undo::Name(dataset, name, old) => self.undo_in(&dataset, |target| put_back(&mut target.names, name, old)),
            Undo::Branch(dataset, branch, old) => {
                self.undo_in(&dataset, |target| put_back(&mut target.branches, branch, old));
            }
            Undo::Tag(dataset, tag, old) => self.undo_in(&dataset, |target| put_back(&mut target.tags, tag, old)),
            Undo::Meta(dataset, key, old) => self.undo_in(&dataset, |target| put_back(&mut target.meta, key, old)),
            Undo::Published(dataset, id, old) => self.undo_in(&dataset, |target| {
                if let Some(state) = target.versions.get_mut(&id) {
                    state.published = old;
                }
            }),
        }
    }

    fn undo_in(&mut self, dataset: &DatasetName, step: impl FnOnce(&mut Dataset)) {
        if let Some(target) = self.datasets.get_mut(dataset) {
            step(target);
        }
    }
}

fn put_back<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, old: Option<V>) {
    match old {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn describe(version: Option<Id>) -> String {
    version.map_or_else(|| "nothing".to_owned(), |id| id.short())
}

fn needs_newer(number: u64) -> Error {
    Error::new(Kind::Failed, format!("log record {number} needs a newer dagset"))
        .hint("install the newest dagset; this one neither reads nor writes the store, so nothing is harmed")
}

#[cfg(test)]
#[path = "fold_tests.rs"]
pub mod tests;
