//! `dataset rename|delete|copy|use`: datasets as wholes.

use std::collections::BTreeSet;

use crate::base::{BranchName, Counter, DatasetName, Error, Id, Kind, Result};
use crate::flow::ref_moves::{Carried, RefMove, judge, operation};
use crate::format::operation::{Operation, VersionRow};
use crate::history::dag::ancestry;
use crate::history::fold::{Dataset, Fold};
use crate::history::guard::{Reason, guarded};
use crate::history::refs::DEFAULT_BRANCH;
use crate::workspace::control::{Config, Control, State};

use super::open::{OpenStore, Target};
use super::transfer::{Missing, Stored, VERSIONS_A_RECORD, Way, adding, bring_rest};
use super::{Address, Engine, Location};

/// A dataset that was renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamedDataset {
    pub from: DatasetName,
    pub to: DatasetName,
    /// The log record that did it.
    pub record: u64,
}

/// How a dataset is deleted.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Also where other datasets build on it.
    pub force: bool,
    /// Why; published versions and protected tags go too then.
    pub reason: Option<Reason>,
    pub dry_run: bool,
}

/// A dataset that was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedDataset {
    pub dataset: DatasetName,
    pub versions: u64,
    pub published: u64,
    /// Other datasets of which versions build on its.
    pub used_by: Vec<DatasetName>,
    /// The log record that did it; `None` for a dry run.
    pub record: Option<u64>,
}

/// A dataset that was copied.
#[derive(Debug, Clone)]
pub struct CopiedDataset {
    pub dataset: DatasetName,
    /// The store that it is in.
    pub store: String,
    pub versions: u64,
    /// Branches, names and tags.
    pub refs: u64,
    /// Raw bytes of chunks that the store did not have.
    pub new_bytes: u64,
    /// All bytes written to the store.
    pub stored_bytes: u64,
}

impl Engine {
    /// Gives a dataset another name, in its store. A workspace of it that this is called in goes along.
    ///
    /// Errors: [`Kind::Conflict`] where a version is published or a tag protected, without a reason: addresses of it are written down elsewhere.
    pub fn rename_dataset(&self, address: &Address, to: &str, reason: Option<&Reason>) -> Result<RenamedDataset> {
        let to = DatasetName::new(to).map_err(|fault| {
            fault.hint("the new name is one within the same store; `dagset dataset copy` goes to another store")
        })?;
        let mut target = self.whole_dataset(address)?;
        target.dataset()?;
        let operations = vec![Operation::RenameDataset { dataset: target.dataset.clone(), to: to.clone() }];
        target.store.timeline.append(&self.actor(), |fold, _| {
            fold.dataset(&target.dataset)?;
            guarded(fold, operations.clone(), reason)
        })?;
        self.follow_in_workspace(&target.store, &operations)?;
        Ok(RenamedDataset { from: target.dataset, to, record: target.store.timeline.fold().number })
    }

    /// Deletes a dataset: its refs and versions are gone for everyone, and come back whole when that record is undone.
    ///
    /// Errors: [`Kind::Conflict`] where versions of other datasets build on its, without `force`, or some of its are published or a tag is
    /// protected, without a reason, which the log keeps.
    pub fn delete_dataset(&self, address: &Address, options: &DeleteOptions) -> Result<DeletedDataset> {
        let mut target = self.whole_dataset(address)?;
        target.dataset()?;
        let name = target.dataset.clone();
        let delete = |fold: &Fold| {
            let report = deletion(fold, &name, options)?;
            let operations = vec![Operation::DeleteDataset { dataset: name.clone() }];
            Ok::<_, Error>((report, guarded(fold, operations, options.reason.as_ref())?))
        };
        let (mut report, _) = delete(target.store.timeline.fold())?;
        if !options.dry_run {
            target.store.timeline.append(&self.actor(), |fold, _| {
                let (deleted, operations) = delete(fold)?;
                report = deleted;
                Ok(operations)
            })?;
            report.record = Some(target.store.timeline.fold().number);
        }
        Ok(report)
    }

    /// Makes the dataset `to` of the versions that `from` means, with the refs that lead to them: of the whole dataset, or with a REF of that
    /// version and its ancestors. Within a store nothing is sent; to another one what it lacks. A copy that was cut off is ended.
    ///
    /// Errors: [`Kind::Conflict`] where `to` has versions that `from` hasn't; [`Kind::NotFound`] where keep rules let the content of the version go that REF names.
    pub fn copy_dataset(&self, from: &Address, to: &Address) -> Result<CopiedDataset> {
        if to.reference.is_some() || to.path.is_some() || to.location == Location::Here {
            return Err(Error::usage(format!("not a name for a dataset: {to}")).hint("write STORE/DATASET, or DATASET"));
        }
        let source = self.open_target(from)?;
        let known = source.dataset()?.clone();
        let refs = self.refs_to_copy(&source, &known)?;
        let text = self.location_text(to)?;
        let (mut store, rest) = self.open_store_around(&text)?;
        let name = self.dataset_meant(&text, rest)?;
        refuse_other_versions(store.timeline.fold(), &name, &known)?;
        let there = store.timeline.fold().datasets.get(&name);
        let folds = (source.store.timeline.fold(), store.timeline.fold());
        let missing = Missing::find((folds.0, &known), refs.iter().map(|(_, id)| *id), (folds.1, there), &known);
        let judge_all = |there: Option<&Dataset>| -> Result<Vec<RefMove>> {
            Ok(refs.iter().map(|(what, id)| judge(&known, there, what.clone(), *id)).collect())
        };
        let versions = missing.rows.len() as u64;
        match store.file.store == source.store.file.store {
            true => self.copy_inside(&mut store, &name, &missing, judge_all)?,
            false => drop(self.carry(&source.store.content, &mut store, &name, &missing, Way::Out, judge_all)?),
        }
        let differing = missing.said.differing(store.timeline.fold().datasets.get(&name));
        self.warn_of(&differing, &known, |what, key, reference| {
            format!("the {what} is another one in {name}, and stays; `dagset meta set {}//{name}{reference} {key}=VALUE` changes it", store.root)
        });
        Ok(CopiedDataset {
            dataset: name,
            store: store.root,
            versions,
            refs: refs.len() as u64,
            new_bytes: self.observer.get(Counter::NewBytes),
            stored_bytes: self.observer.get(Counter::StoredBytes),
        })
    }

    /// Makes the workspace one of another dataset of its home store, which must have the version that the folder is based on: for one that
    /// was renamed, or copied.
    pub fn use_dataset(&self, name: &str) -> Result<DatasetName> {
        let name = DatasetName::new(name)?;
        let control = self.find_workspace()?;
        let _lock = control.lock(&self.observer)?;
        let mut config = control.config()?;
        let (store, _) = self.open_store(&control.store_text(&config))?;
        let dataset = store.timeline.fold().dataset(&name)?;
        if let Some(base) = control.state()?.at().filter(|base| !dataset.versions.contains_key(base)) {
            let message = format!("{name} doesn't have the version {} that this folder is based on", base.short());
            return Err(
                Error::conflict(message).hint(format!("`dagset clone {}//{name}` makes a workspace of it", store.root))
            );
        }
        config.dataset = name.clone();
        control.write_config(&config)?;
        Ok(name)
    }

    fn whole_dataset(&self, address: &Address) -> Result<Target> {
        match address.reference.is_none() && address.path.is_none() {
            true => self.open_target(address),
            false => Err(Error::usage(format!("this is about a whole dataset, and {address} is a part of one"))
                .hint("leave out the REF and the path; in a workspace `other@` is the dataset other")),
        }
    }

    /// The refs that a copy has, and their versions.
    fn refs_to_copy(&self, source: &Target, known: &Dataset) -> Result<Vec<(Carried, Id)>> {
        let followed = self.embedding(&source.store.root)?.map(|(_, config)| config.remotes).unwrap_or_default();
        let follows = |text: &str| {
            text.split_once('/').is_some_and(|(first, _)| followed.keys().any(|remote| remote.as_str() == first))
        };
        let mut refs: Vec<(Carried, Id)> = Vec::new();
        let branches = known.branches.iter().filter(|(branch, _)| !follows(branch.as_str()));
        refs.extend(branches.map(|(branch, id)| (Carried::Branch(branch.clone()), *id)));
        refs.extend(known.names.iter().map(|(name, id)| (Carried::Name(name.clone()), *id)));
        refs.extend(known.tags.iter().map(|(tag, to)| (Carried::Tag(tag.clone()), to.version)));
        if source.reference.is_some() {
            // A branch of the copy is to be at it.
            let tip = source.readable()?.row.version;
            let inside: BTreeSet<Id> = ancestry(known, &[tip]).iter().map(|state| state.row.version).collect();
            refs.retain(|(what, id)| inside.contains(id) && !matches!(what, Carried::Branch(_)));
            refs.push((Carried::Branch(BranchName::new(DEFAULT_BRANCH)?), tip));
        }
        Ok(refs)
    }

    fn copy_inside(
        &self,
        store: &mut OpenStore,
        name: &DatasetName,
        missing: &Missing<'_>,
        judge_all: impl Fn(Option<&Dataset>) -> Result<Vec<RefMove>>,
    ) -> Result<()> {
        // What they cost to store is told of where they come from.
        let rows: Vec<VersionRow> =
            missing.rows.iter().map(|row| VersionRow { stored_bytes: 0, ..row.clone() }).collect();
        let last = rows.len() - rows.len().min(VERSIONS_A_RECORD);
        let mut actor = self.actor();
        for group in rows[..last].chunks(VERSIONS_A_RECORD) {
            store.timeline.append(&actor, |fold, _| Ok(adding(fold, name, group, missing, Stored::default())))?;
            actor.goes_on(&store.timeline);
        }
        store.timeline.append(&actor, |fold, _| {
            let mut operations = adding(fold, name, &rows[last..], missing, Stored::default());
            operations.extend(judge_all(fold.datasets.get(name))?.iter().filter_map(|step| operation(name, step)));
            operations.extend(missing.said.next(name, fold.datasets.get(name)));
            Ok(operations)
        })?;
        actor.goes_on(&store.timeline);
        bring_rest(&mut store.timeline, &actor, name, &missing.said)
    }

    /// Has the workspace that commands run in go along with what happened to its dataset and branch. Gives the version that its folder is,
    /// where its branch is at another one now.
    pub(super) fn follow_in_workspace(&self, store: &OpenStore, operations: &[Operation]) -> Result<Option<Id>> {
        let Some((control, config)) = self.workspace_on(store)? else { return Ok(None) };
        let dataset = config.dataset.clone();
        let mut folder_at = None;
        for operation in operations.iter().filter(|operation| operation.dataset() == Some(&dataset)) {
            match operation {
                Operation::RenameDataset { to, .. } => {
                    let _lock = control.lock(&self.observer)?;
                    let config = control.config()?;
                    if config.dataset == dataset {
                        control.write_config(&Config { dataset: to.clone(), ..config })?;
                    }
                    break;
                }
                Operation::SetBranch { branch, old, new, .. } => {
                    let _lock = control.lock(&self.observer)?;
                    let state = control.state()?;
                    if state.branch.as_ref() != Some(branch) || state.base == *new {
                        continue;
                    }
                    folder_at = state.base;
                    // A branch that is gone begins anew: what is in the folder is its first version.
                    if new.is_none() && state.base == *old && state.checkout.is_none() {
                        control.write_state(&State { base: None, ..state })?;
                        folder_at = None;
                    }
                }
                _ => {}
            }
        }
        Ok(folder_at)
    }

    /// The workspace that commands run in, if it is of this dataset.
    pub(super) fn workspace_of(&self, store: &OpenStore, dataset: &DatasetName) -> Result<Option<Control>> {
        let on_store = self.workspace_on(store)?;
        Ok(on_store.filter(|(_, config)| config.dataset == *dataset).map(|(control, _)| control))
    }

    /// The workspace that commands run in, if this is its home store.
    pub(super) fn workspace_on(&self, store: &OpenStore) -> Result<Option<(Control, Config)>> {
        let Some(control) = Control::find(&self.settings.folder) else { return Ok(None) };
        let config = control.config()?;
        let plain = |root: &str| self.absolute(root).trim_end_matches('/').to_owned();
        let is_home = plain(&control.store_text(&config)) == plain(&store.root);
        Ok(is_home.then_some((control, config)))
    }
}

/// What a deletion would take, or why it is refused.
fn deletion(fold: &Fold, name: &DatasetName, options: &DeleteOptions) -> Result<DeletedDataset> {
    let dataset = fold.dataset(name)?;
    let builds_on = |other: &Dataset| {
        let foreign = |parent: &&Id| dataset.versions.contains_key(*parent) && !other.versions.contains_key(*parent);
        other.versions.values().any(|state| state.row.parents.iter().any(|parent| foreign(&parent)))
    };
    let others = fold.datasets.iter().filter(|(other, _)| *other != name);
    let used_by: Vec<DatasetName> =
        others.filter(|(_, other)| builds_on(other)).map(|(other, _)| other.clone()).collect();
    let published = dataset.versions.values().filter(|state| state.published).count() as u64;
    if !used_by.is_empty() && !options.force {
        let shown = used_by.iter().map(DatasetName::to_string).collect::<Vec<_>>().join(", ");
        return Err(Error::conflict(format!("versions of {shown} build on versions of {name}"))
            .hint("--force deletes it all the same: those versions stay, and merges can't look behind them"));
    }
    Ok(DeletedDataset {
        dataset: name.clone(),
        versions: dataset.versions.len() as u64,
        published,
        used_by,
        record: None,
    })
}

fn refuse_other_versions(fold: &Fold, name: &DatasetName, known: &Dataset) -> Result<()> {
    let foreign = fold
        .datasets
        .get(name)
        .and_then(|there| there.versions.keys().find(|id| !known.versions.contains_key(*id)).copied());
    match foreign {
        None => Ok(()),
        Some(id) => {
            Err(Error::new(Kind::Conflict, format!("{name} is there, with versions of its own, as {}", id.short()))
                .hint("choose another name"))
        }
    }
}
