//! Collection in the fold: what is condemned, what is gone, and who is too late (docs/format.md §10, codes 10 and 12 to 16; the reasons
//! are in docs/design.md, "Collection").

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use crate::base::{DatasetName, Error, Id, ObjectName, Result};
use crate::format::operation::{Operation, Things, VersionRow};

use super::{Dataset, Fold, Undo};

/// What goes with the next reclaim, unless it is rescued: each thing with the record that condemned it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condemned {
    pub versions: BTreeMap<Id, u64>,
    /// Versions that stay, and whose content goes.
    pub contents: BTreeMap<Id, u64>,
    pub packs: BTreeMap<ObjectName, u64>,
}

/// Why an object of a session that slept through a collection isn't taken.
#[derive(Debug)]
pub struct Void {
    before: u64,
}

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing that was begun before record {} may be published any more", self.before)
    }
}

impl std::error::Error for Void {}

impl Void {
    /// Whether an error comes from that: the same work holds if it is begun anew.
    pub fn caused(fault: &Error) -> bool {
        let first: &(dyn std::error::Error + 'static) = fault;
        std::iter::successors(Some(first), |fault| fault.source()).any(|fault| fault.is::<Void>())
    }
}

impl Condemned {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.contents.is_empty() && self.packs.is_empty()
    }

    /// The record that condemned a version or its content, if one did.
    pub(super) fn of_version(&self, id: &Id) -> Option<u64> {
        self.versions.get(id).or_else(|| self.contents.get(id)).copied()
    }

    /// The versions whose content was condemned by records up to `number`.
    pub fn contents_up_to(&self, number: u64) -> Vec<Id> {
        self.contents.iter().filter(|(_, by)| **by <= number).map(|(id, _)| *id).collect()
    }

    /// What was condemned by records up to `number`, whole.
    pub fn up_to(&self, number: u64) -> Things {
        let versions = self.versions.iter().filter(|(_, by)| **by <= number).map(|(id, _)| *id);
        let packs = self.packs.iter().filter(|(_, by)| **by <= number).map(|(name, _)| *name);
        Things { versions: versions.collect(), packs: packs.collect() }
    }
}

impl Fold {
    /// Whether a session that began when `born` was the newest record is too late to register or add anything.
    pub fn is_void(&self, born: u64) -> bool {
        born < self.void_before
    }

    /// A dataset as it is listed: without what is condemned.
    pub fn listed<'d>(&self, dataset: &'d Dataset) -> Cow<'d, Dataset> {
        let condemned = |id: &Id| self.condemned.versions.contains_key(id);
        if !dataset.versions.keys().any(condemned) {
            return Cow::Borrowed(dataset);
        }
        let mut listed = dataset.clone();
        listed.versions.retain(|id, _| !condemned(id));
        Cow::Owned(listed)
    }

    /// Readies operations for the record behind this fold: what they use of what is condemned is rescued first.
    ///
    /// Of the packs that they rely on only those stay, since the record would else grow with the dataset. Nothing is lost by it: that the others
    /// aren't condemned was just seen, and the record takes its number only if nothing came between.
    pub fn settle(&self, mut operations: Vec<Operation>) -> Vec<Operation> {
        let mut rescued = Things::default();
        for operation in &operations {
            rescued.versions.extend(self.pointed_at(operation).filter(|id| self.condemned.of_version(id).is_some()));
        }
        for operation in &mut operations {
            if let Operation::Rely(things) = operation {
                things.packs.retain(|name| self.condemned.packs.contains_key(name));
                rescued.packs.extend(&things.packs);
            }
        }
        operations.retain(|operation| !matches!(operation, Operation::Rely(things) if *things == Things::default()));
        rescued.versions.sort_unstable();
        rescued.versions.dedup();
        if rescued != Things::default() {
            operations.insert(0, Operation::Rescue(rescued));
        }
        operations
    }

    /// The versions that an operation would bring into use.
    fn pointed_at<'f>(&'f self, operation: &'f Operation) -> Box<dyn Iterator<Item = Id> + 'f> {
        match operation {
            Operation::AddVersion { row, .. } => Box::new(std::iter::once(row.version)),
            Operation::SetBranch { new, .. } | Operation::SetTag { new, .. } => Box::new(new.iter().copied()),
            Operation::TakeName { version, .. } | Operation::Publish { version, .. } => {
                Box::new(std::iter::once(*version))
            }
            Operation::Rely(things) => Box::new(things.versions.iter().copied()),
            Operation::RestoreDataset { dataset, deletion } => {
                let set_aside = self.deleted.get(&(*deletion, dataset.clone()));
                Box::new(set_aside.into_iter().flat_map(|dataset| dataset.versions.keys().copied()))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Refuses an operation that brings a condemned version into use.
    pub(super) fn check_not_condemned(&self, operation: &Operation) -> Result<()> {
        match self.pointed_at(operation).find_map(|id| Some((id, self.condemned.of_version(&id)?))) {
            None => Ok(()),
            Some((id, by)) => Err(Error::conflict(format!("version {} was condemned by record {by}", id.short()))),
        }
    }

    pub(super) fn check_relied_on(&self, things: &Things) -> Result<()> {
        let live = |id: &Id| self.datasets.values().any(|dataset| dataset.versions.contains_key(id));
        if let Some(gone) = things.versions.iter().find(|id| !live(id)) {
            return Err(Error::conflict(format!("version {} is gone", gone.short())));
        }
        match things.packs.iter().find_map(|name| Some((name, self.condemned.packs.get(name)?))) {
            None => Ok(()),
            Some((name, by)) => Err(Error::conflict(format!("pack {name} was condemned by record {by}"))),
        }
    }

    /// Refuses an object of a session that began before what voids it.
    pub(super) fn check_not_void(&self, what: &str, born: u64) -> Result<()> {
        if !self.is_void(born) {
            return Ok(());
        }
        let message = format!(
            "this {what} was stored by a session that began at record {born}, and the store was collected since"
        );
        Err(Error::conflict(message)
            .because(Void { before: self.void_before })
            .hint("run the command again: what was registered before isn't stored twice"))
    }

    /// A version that is new in a dataset must be new in the store, and of a session that isn't void, or be there.
    pub(super) fn check_addition(&self, row: &VersionRow) -> Result<()> {
        match self.version(&row.version) {
            Some(_) => Ok(()),
            None => self.check_not_void("version", row.version_place.frame.pack.born),
        }
    }

    pub(super) fn void_before(&mut self, born: u64, number: u64, undo: &mut Vec<Undo>) -> Result<()> {
        if born >= number {
            return Err(Error::conflict(format!("record {number} can't void sessions that begin behind it")));
        }
        undo.push(Undo::VoidBefore(self.void_before));
        self.void_before = self.void_before.max(born);
        Ok(())
    }

    pub(super) fn condemn(&mut self, mark: u64, things: &Things, number: u64, undo: &mut Vec<Undo>) -> Result<()> {
        if mark + 1 != number {
            return Err(Error::conflict(format!("the log moved since record {mark}, by which things were condemned")));
        }
        let pointed: HashSet<&Id> = self.datasets.values().flat_map(refs_of).collect();
        for id in &things.versions {
            let all = self.datasets.values().chain(self.deleted.values());
            if pointed.contains(id) || !all.into_iter().any(|dataset| dataset.versions.contains_key(id)) {
                return Err(Error::conflict(format!("version {} is in use, or isn't there", id.short())));
            }
        }
        undo.push(Undo::Condemned(self.condemned.clone()));
        for id in &things.versions {
            self.condemned.versions.entry(*id).or_insert(number);
        }
        for name in &things.packs {
            self.condemned.packs.entry(*name).or_insert(number);
        }
        Ok(())
    }

    /// Takes things back. With a version among them all is: which packs that version needs isn't known here.
    pub(super) fn rescue(&mut self, things: &Things, undo: &mut Vec<Undo>) {
        undo.push(Undo::Condemned(self.condemned.clone()));
        match things.versions.is_empty() {
            true => self.condemned.packs.retain(|name, _| !things.packs.contains(name)),
            false => self.condemned = Condemned::default(),
        }
    }

    pub(super) fn reclaim(&mut self, things: &Things, undo: &mut Vec<Undo>) -> Result<()> {
        let mut left = self.condemned.clone();
        for id in &things.versions {
            left.contents.remove(id);
        }
        let gone = things.versions.iter().map(|id| (id.short(), left.versions.remove(id)));
        let gone = gone.collect::<Vec<_>>().into_iter();
        for (what, by) in gone.chain(things.packs.iter().map(|name| (name.to_string(), left.packs.remove(name)))) {
            if by.is_none_or(|by| by > self.void_before) {
                return Err(Error::conflict(format!("{what} isn't condemned, or sessions from before aren't void")));
            }
        }
        // A version that can still be rescued keeps all that it may need.
        let newest = things.packs.iter().filter_map(|name| self.condemned.packs.get(name)).max();
        if let (Some(newest), Some(oldest)) = (newest, left.versions.values().chain(left.contents.values()).min())
            && oldest <= newest
        {
            return Err(Error::conflict("packs go with or behind the versions that were condemned before them"));
        }
        undo.push(Undo::Condemned(std::mem::replace(&mut self.condemned, left)));
        let versions: BTreeSet<&Id> = things.versions.iter().collect();
        for id in &things.versions {
            undo.extend(self.let_go.remove(id).map(|was| Undo::LetGo(*id, Some(was))));
        }
        let touched = |dataset: &Dataset| dataset.versions.keys().any(|id| versions.contains(id));
        for (name, dataset) in self.datasets.iter_mut().filter(|(_, dataset)| touched(dataset)) {
            undo.push(Undo::DatasetWas(name.clone(), Box::new(dataset.clone())));
            forget(dataset, &versions);
        }
        let set_aside: Vec<(u64, DatasetName)> =
            self.deleted.iter().filter(|(_, dataset)| touched(dataset)).map(|(key, _)| key.clone()).collect();
        for key in set_aside {
            let Some(mut dataset) = self.deleted.remove(&key) else { continue };
            undo.push(Undo::DeletedWas(key.clone(), Box::new(dataset.clone())));
            forget(&mut dataset, &versions);
            // What can't come back whole doesn't come back.
            if refs_of(&dataset).all(|id| dataset.versions.contains_key(id)) {
                self.deleted.insert(key, dataset);
            }
        }
        Ok(())
    }
}

/// The versions that refs of a dataset point at.
pub fn refs_of(dataset: &Dataset) -> impl Iterator<Item = &Id> {
    let tags = dataset.tags.values().map(|tag| &tag.version);
    dataset.branches.values().chain(dataset.names.values()).chain(tags)
}

fn forget(dataset: &mut Dataset, gone: &BTreeSet<&Id>) {
    dataset.versions.retain(|id, _| !gone.contains(id));
    dataset.meta.retain(|(version, _), _| version.is_none_or(|id| !gone.contains(&id)));
}
