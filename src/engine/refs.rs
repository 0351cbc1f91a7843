//! `log`, `show`, `branch`: versions and what points at them.

use std::collections::HashSet;

use crate::base::lock::FileLock;
use crate::base::{BranchName, DatasetName, Error, Id, RefName, Result, Time};
use crate::format::attrs::Attrs;
use crate::format::operation::Operation;
use crate::format::version::Version;
use crate::history::dag::{ancestry, ancestry_in};
use crate::history::fold::{Dataset, Fold, LetGo, VersionState};
use crate::history::guard::{Reason, guarded};
use crate::workspace::control::{Control, State};

use super::metadata::changed_since;
use super::open::Target;
use super::{Address, Engine, Location};

/// A version with what its record says.
#[derive(Debug, Clone)]
pub struct VersionCard {
    /// Another dataset than the one that was asked about, of which the version is.
    pub other_dataset: Option<DatasetName>,
    pub version: Id,
    pub name: Option<RefName>,
    pub branches: Vec<BranchName>,
    pub tags: Vec<RefName>,
    /// Those of the tags that are protected.
    pub protected_tags: Vec<RefName>,
    /// Frozen by `publish`.
    pub published: bool,
    pub parents: Vec<Id>,
    /// What each parent is there as; empty for an ordinary one.
    pub roles: Vec<String>,
    /// Parents that no dataset of the store has any more.
    pub gone_parents: Vec<GoneParent>,
    pub author: String,
    pub time: Time,
    pub message: String,
    /// As it was made, and changed since.
    pub meta: Attrs,
    pub provenance: Attrs,
    pub manifest: Id,
    pub files: u64,
    pub bytes: u64,
    /// All that its publishing wrote to the store.
    pub stored_bytes: u64,
    /// Keep rules let its content go, by which record and when.
    pub let_go: Option<LetGo>,
}

/// A parent that no dataset of the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneParent {
    pub version: Id,
    /// The dataset that had it, and the record that deleted this one; `None` where it never came here.
    pub deleted: Option<(DatasetName, u64)>,
}

/// Which versions `log` gives.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOptions {
    /// At most so many.
    pub most: Option<usize>,
    /// None that is older.
    pub since: Option<Time>,
}

/// What kind of ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefKind {
    Branch,
    Tag,
}

/// A branch or a tag, and the version that it points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefRow {
    pub name: String,
    pub version: Id,
    /// The version's name.
    pub version_name: Option<RefName>,
    pub protected: bool,
    /// Keep rules let the version's content go.
    pub let_go: Option<LetGo>,
}

impl Engine {
    /// The address's version and its ancestors, newest first, those in other datasets of the store too.
    pub fn log(&self, address: &Address, options: LogOptions) -> Result<Vec<VersionCard>> {
        whole_versions_only(address)?;
        let target = self.open_target(address)?;
        let dataset = target.dataset()?;
        if dataset.versions.is_empty() && address.reference.is_none() {
            return Ok(Vec::new());
        }
        let start = target.version()?.row.version;
        let fold = target.store.timeline.fold();
        let known = |id: &Id| dataset.versions.get(id).or_else(|| fold.version(id));
        let states: Vec<&VersionState> = ancestry_in(known, &[start])
            .into_iter()
            .filter(|state| options.since.is_none_or(|since| state.row.time >= since))
            .take(options.most.unwrap_or(usize::MAX))
            .collect();
        let records = self.version_records(&target.store, &states)?;
        states.iter().zip(records).map(|(state, record)| card(&target, state, record)).collect()
    }

    /// One version.
    pub fn show(&self, address: &Address) -> Result<VersionCard> {
        whole_versions_only(address)?;
        let target = self.open_target(address)?;
        let state = target.version()?;
        let record = self.version_records(&target.store, &[state])?.remove(0);
        card(&target, state, record)
    }

    /// All branches of the address's dataset, or all its tags, by name.
    pub fn list_refs(&self, address: &Address, kind: RefKind) -> Result<Vec<RefRow>> {
        let target = self.open_target(address)?;
        let dataset = target.dataset()?;
        let row = |name: String, version: Id, protected| RefRow {
            version_name: dataset.name_of(&version).cloned(),
            let_go: target.store.timeline.fold().let_go.get(&version).copied(),
            name,
            version,
            protected,
        };
        Ok(match kind {
            RefKind::Branch => dataset.branches.iter().map(|(name, id)| row(name.to_string(), *id, false)).collect(),
            RefKind::Tag => {
                dataset.tags.iter().map(|(name, tag)| row(name.to_string(), tag.version, tag.protected)).collect()
            }
        })
    }

    /// Makes a branch at the address's version. It must not be there.
    pub fn create_branch(&self, address: &Address, branch: &str) -> Result<RefRow> {
        let branch = new_branch(branch)?;
        let mut target = self.open_target(address)?;
        let version = target.version()?.row.version;
        if target.dataset()?.branches.contains_key(&branch) {
            return Err(Error::conflict(format!("{} has a branch {branch} already", target.dataset))
                .hint("choose another name, or move it with `dagset branch -m`"));
        }
        let dataset = target.dataset.clone();
        target.store.timeline.append(&self.actor(), |_, _| {
            Ok(vec![Operation::SetBranch {
                dataset: dataset.clone(),
                branch: branch.clone(),
                old: None,
                new: Some(version),
            }])
        })?;
        Ok(RefRow { name: branch.to_string(), version, version_name: None, protected: false, let_go: None })
    }

    /// Takes a branch away; the versions stay. The number of those is given that only an id leads to from now on.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where there are such, without `force`, or published ones among them, without a
    /// reason too; and for the workspace's own branch.
    pub fn delete_branch(
        &self,
        address: &Address,
        branch: &str,
        force: bool,
        reason: Option<&Reason>,
    ) -> Result<(RefRow, u64)> {
        let branch = BranchName::new(branch)?;
        let here = self.lock_at(address)?;
        let mut target = self.open_target(address)?;
        let version = branch_head(&target, &branch)?;
        if here.as_ref().is_some_and(|here| here.state.branch.as_ref() == Some(&branch)) {
            return Err(Error::conflict(format!("the workspace is on the branch {branch}"))
                .hint("`dagset switch` to another one first"));
        }
        let dataset = target.dataset.clone();
        let mut alone = 0;
        target.store.timeline.append(&self.actor(), |fold, _| {
            alone = only_on(fold.dataset(&dataset)?, &branch);
            if alone > 0 && !force {
                let versions = if alone == 1 { "1 version".to_owned() } else { format!("{alone} versions") };
                let message = format!("{versions} would be on no other branch, tag or name than {branch}");
                return Err(Error::conflict(message).hint(
                    "a tag or a branch keeps them; --force deletes it all the same: ids still find them, and `dagset undo` brings it back",
                ));
            }
            let delete = Operation::SetBranch {
                dataset: dataset.clone(),
                branch: branch.clone(),
                old: Some(version),
                new: None,
            };
            guarded(fold, vec![delete], reason)
        })?;
        Ok((RefRow { name: branch.to_string(), version, version_name: None, protected: false, let_go: None }, alone))
    }

    /// Gives a branch another name, in one record; a workspace on it goes along.
    pub fn rename_branch(&self, address: &Address, from: &str, to: &str) -> Result<RefRow> {
        let (from, to) = (BranchName::new(from)?, new_branch(to)?);
        let here = self.lock_at(address)?;
        let mut target = self.open_target(address)?;
        let version = branch_head(&target, &from)?;
        let dataset = target.dataset.clone();
        target.store.timeline.append(&self.actor(), |_, _| {
            let set = |branch: &BranchName, old, new| Operation::SetBranch {
                dataset: dataset.clone(),
                branch: branch.clone(),
                old,
                new,
            };
            Ok(vec![set(&from, Some(version), None), set(&to, None, Some(version))])
        })?;
        if let Some(Held { control, state, .. }) = &here
            && state.branch.as_ref() == Some(&from)
        {
            control.write_state(&State { branch: Some(to.clone()), ..state.clone() })?;
        }
        Ok(RefRow { name: to.to_string(), version, version_name: None, protected: false, let_go: None })
    }

    /// The workspace's state, held, where the address is about its dataset.
    fn lock_at(&self, address: &Address) -> Result<Option<Held>> {
        if address.location != Location::Here {
            return Ok(None);
        }
        let control = self.find_workspace()?;
        let lock = control.lock(&self.observer)?;
        Ok(Some(Held { state: control.state()?, control, _lock: lock }))
    }
}

/// Where a workspace stands, as long as nobody else may change that.
struct Held {
    control: Control,
    state: State,
    _lock: FileLock,
}

/// A path says nothing to a command about versions.
pub(super) fn whole_versions_only(address: &Address) -> Result<()> {
    match &address.path {
        None => Ok(()),
        Some(path) => Err(Error::usage(format!("this is about versions, and {path:?} is a path in one"))
            .hint(format!("leave out what follows the colon; `dagset stat {address}` is about the path"))),
    }
}

/// How many versions only this branch leads to.
fn only_on(dataset: &Dataset, branch: &BranchName) -> u64 {
    let Some(head) = dataset.branches.get(branch) else { return 0 };
    let branches = dataset.branches.iter().filter(|(other, _)| *other != branch).map(|(_, id)| *id);
    let others: Vec<Id> =
        branches.chain(dataset.names.values().copied()).chain(dataset.tags.values().map(|tag| tag.version)).collect();
    let kept: HashSet<Id> = ancestry(dataset, &others).iter().map(|state| state.row.version).collect();
    ancestry(dataset, &[*head]).iter().filter(|state| !kept.contains(&state.row.version)).count() as u64
}

/// Errors: [`Kind::Usage`](crate::base::Kind::Usage) of a whole id: it would win over the version that has it.
fn new_branch(name: &str) -> Result<BranchName> {
    match Id::from_hex(name) {
        Some(id) => Err(Error::usage(format!("{}… reads as the id of a version, and no branch", id.short()))
            .hint("choose a name that isn't 64 hex digits")),
        None => BranchName::new(name),
    }
}

fn branch_head(target: &Target, branch: &BranchName) -> Result<Id> {
    target.dataset()?.branches.get(branch).copied().ok_or_else(|| {
        Error::not_found(format!("{} has no branch {branch}", target.dataset)).hint("`dagset branch` lists them")
    })
}

/// What is told of a version to who asked about the target's dataset.
pub(super) fn card(target: &Target, state: &VersionState, record: Version) -> Result<VersionCard> {
    let id = state.row.version;
    let (home, dataset) = target.home_of(&id)?;
    let points_here = |to: &Id| *to == id;
    let tags = || dataset.tags.iter().filter(|(_, to)| points_here(&to.version));
    Ok(VersionCard {
        other_dataset: Some(home).filter(|home| **home != target.dataset).cloned(),
        version: id,
        name: dataset.name_of(&id).cloned(),
        branches: dataset.branches.iter().filter(|(_, to)| points_here(to)).map(|(name, _)| name.clone()).collect(),
        tags: tags().map(|(name, _)| name.clone()).collect(),
        protected_tags: tags().filter(|(_, to)| to.protected).map(|(name, _)| name.clone()).collect(),
        published: state.published,
        parents: state.row.parents.clone(),
        gone_parents: gone(target.store.timeline.fold(), &state.row.parents),
        roles: record.parents.into_iter().map(|parent| parent.role).collect(),
        author: record.author,
        time: record.time,
        message: record.message,
        meta: changed_since(dataset, Some(id), record.meta),
        provenance: record.provenance,
        manifest: record.manifest,
        files: record.files,
        bytes: record.bytes,
        stored_bytes: state.row.stored_bytes,
        let_go: target.store.timeline.fold().let_go.get(&id).copied(),
    })
}

pub(super) fn gone(fold: &Fold, parents: &[Id]) -> Vec<GoneParent> {
    let told = |version: &Id| GoneParent {
        version: *version,
        deleted: fold.deletion_with(version).map(|(record, dataset)| (dataset.clone(), record)),
    };
    parents.iter().filter(|parent| fold.version(parent).is_none()).map(told).collect()
}
