//! `squash`: one version in the place of several.

use std::collections::{BTreeSet, HashSet};

use crate::base::{BranchName, Counter, DatasetName, Error, Id, RefName, Result, Time};
use crate::flow::session::NewVersion;
use crate::format::operation::{IndexRow, Operation, Things, VersionRow};
use crate::format::version::{Parent, Version};
use crate::history::dag::{ancestry, is_ancestor};
use crate::history::fold::Dataset;
use crate::history::guard::{Reason, guarded, stands};
use crate::tree::edit::edited;
use crate::tree::manifest::Manifest;

use super::deeds::{Names, Point};
use super::open::OpenStore;
use super::{Address, Engine, RefExpr};

mod merged;

use merged::Merged;

/// What to squash, and as what.
#[derive(Debug, Clone)]
pub struct SquashOptions {
    /// The version that becomes the parent.
    pub base: Address,
    /// The version whose content it is, in the same dataset.
    pub tip: RefExpr,
    pub name: String,
    /// Which versions it replaces, if not given.
    pub message: Option<String>,
    /// Why; published versions and those with a protected tag are replaced too then.
    pub reason: Option<Reason>,
    pub dry_run: bool,
}

/// What squashing came to.
#[derive(Debug, Clone)]
pub struct Squashed {
    pub dataset: DatasetName,
    /// `None` for a dry run.
    pub version: Option<Id>,
    pub name: RefName,
    pub base: Point,
    /// Its other parents: what was merged between base and tip.
    pub merged: Vec<Point>,
    /// The versions that it stands for, newest first. They stay, and are found by their names and ids.
    pub replaced: Vec<Point>,
    /// Those that were at the tip.
    pub branches: Vec<BranchName>,
    pub files: u64,
    pub bytes: u64,
}

impl Engine {
    /// Makes a version of the tip's content, with the base as its first parent and what was merged in between as the others; branches that are at the tip move to it, and the
    /// workspace goes along.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where a version that it would replace is published or has a protected tag and
    /// no reason is given, or the name is taken; [`Kind::Usage`](crate::base::Kind::Usage) where the base isn't an ancestor of the tip.
    pub fn squash(&self, options: &SquashOptions) -> Result<Squashed> {
        self.awake(|| self.squash_once(options))
    }

    fn squash_once(&self, options: &SquashOptions) -> Result<Squashed> {
        let name = RefName::new(&options.name)?;
        let mut target = self.open_target(&options.base)?;
        let base = target.version()?.row.version;
        let tip = target.version_at(Some(&options.tip))?.row.clone();
        let dataset = target.dataset()?;
        if base == tip.version || !is_ancestor(dataset, &base, &tip.version) {
            let message = format!("version {} doesn't come from {}", tip.version.short(), base.short());
            return Err(
                Error::usage(message).hint("write OLDER..NEWER; `dagset log --graph` shows what came from what")
            );
        }
        if dataset.has_ref(name.as_str()) {
            return Err(
                Error::conflict(format!("the name {name} is taken in {}", target.dataset)).hint("choose another name")
            );
        }
        let merged = Merged::between(self, &target, base, tip.version)?;
        let parents: Vec<Id> = [base].into_iter().chain(merged.parents.iter().map(|parent| parent.id)).collect();
        let replaced = replaceable(dataset, &parents, &tip.version, options.reason.as_ref())?;
        let names = Names::of(target.store.timeline.fold());
        let mut report = Squashed {
            dataset: target.dataset.clone(),
            version: None,
            name,
            base: names.point(&base),
            merged: parents[1..].iter().map(|id| names.point(id)).collect(),
            replaced: replaced.iter().map(|id| names.point(id)).collect(),
            branches: self.branches_at(dataset, &tip.version),
            files: tip.files,
            bytes: tip.bytes,
        };
        if options.dry_run {
            return Ok(report);
        }
        let time = Time::now();
        let record = Version {
            manifest: tip.manifest,
            files: tip.files,
            bytes: tip.bytes,
            parents: [Parent { id: base, role: String::new() }].into_iter().chain(merged.parents).collect(),
            author: self.settings.author.clone(),
            time,
            message: options.message.clone().unwrap_or_else(|| message(&report)),
            meta: merged.meta,
            provenance: self.provenance(),
            extensions: Vec::new(),
        };
        let (new, indexes, relies) = self.write_record(&target.store, &tip, record)?;
        let (dataset, name) = (&target.dataset, &report.name);
        let mut branches = Vec::new();
        target.store.timeline.append(&self.actor(), |fold, record_bytes| {
            let known = fold.dataset(dataset)?;
            replaceable(known, &parents, &tip.version, options.reason.as_ref())?;
            branches = self.branches_at(known, &tip.version);
            let stored_bytes = self.observer.get(Counter::StoredBytes) + record_bytes;
            let row = VersionRow {
                version: new.id,
                parents: parents.clone(),
                time,
                stored_bytes,
                version_place: new.version_place,
                manifest_place: new.manifest_place,
                ..tip.clone()
            };
            // Content is taken over from the tip alone.
            let stays = |id: &&Id| **id == tip.version || !fold.let_go.contains_key(*id);
            let live = parents.iter().chain([&tip.version]).filter(|id| fold.version(id).is_some()).filter(stays);
            let versions = relies.versions.iter().chain(live).copied().collect::<BTreeSet<Id>>();
            let relied = Things { versions: versions.into_iter().collect(), packs: relies.packs.clone() };
            let register = Operation::Register { indexes: indexes.clone() };
            let operations = [register, Operation::Rely(relied)];
            let operations = operations.into_iter().chain(operations_of(known, dataset, row, name, &branches));
            guarded(fold, operations.collect(), options.reason.as_ref())
        })?;
        report.version = Some(new.id);
        report.branches = branches;
        self.keep_folder(&target.store, &report, tip.version)?;
        Ok(report)
    }

    /// The branches at a version, but those that say where a remote's are: these don't move by what is done here.
    fn branches_at(&self, dataset: &Dataset, version: &Id) -> Vec<BranchName> {
        let at = dataset.branches.iter().filter(|(_, id)| *id == version).map(|(branch, _)| branch);
        at.filter(|branch| !self.follows_a_remote(branch)).cloned().collect()
    }

    /// Writes the record of a version whose manifest the store has.
    fn write_record(
        &self,
        store: &OpenStore,
        tip: &VersionRow,
        record: Version,
    ) -> Result<(NewVersion, Vec<IndexRow>, Things)> {
        let session = self.session(&store.timeline, &store.content, false);
        let manifest = Manifest::new(&store.content, tip.manifest, Some(tip.manifest_place));
        let finished = session.finish(edited(manifest, Vec::new()), |built| match built.id == tip.manifest {
            true => Ok(Some(record)),
            false => Err(Error::damaged(format!("the manifest of version {} isn't what it was", tip.version.short()))),
        })?;
        let missing = || Error::new(crate::base::Kind::Failed, "the version was not written");
        Ok((finished.version.ok_or_else(missing)?, finished.indexes, finished.relies))
    }

    /// A workspace that is at the tip, on a branch that moved, is at the new version: the same files.
    fn keep_folder(&self, store: &OpenStore, report: &Squashed, tip: Id) -> Result<()> {
        let Some(control) = self.workspace_of(store, &report.dataset)? else { return Ok(()) };
        let _lock = control.lock(&self.observer)?;
        let state = control.state()?;
        let moved = state.branch.as_ref().is_some_and(|branch| report.branches.contains(branch));
        if moved && state.base == Some(tip) && state.checkout.is_none() {
            control.write_state(&crate::workspace::control::State { base: report.version, ..state })?;
        }
        Ok(())
    }
}

/// What is an ancestor of the tip, or it, and not of the new parents; newest first. Without a reason, none that is published or held by a tag.
fn replaceable(dataset: &Dataset, parents: &[Id], tip: &Id, reason: Option<&Reason>) -> Result<Vec<Id>> {
    let versions = |heads: &[Id]| ancestry(dataset, heads).into_iter().map(|state| state.row.version);
    let kept: HashSet<Id> = versions(parents).collect();
    let replaced: Vec<Id> = versions(&[*tip]).filter(|id| !kept.contains(id)).collect();
    if reason.is_some() {
        return Ok(replaced);
    }
    if let Some(id) = replaced.iter().find(|id| dataset.is_published(id)) {
        return Err(stands(format!("version {} is published, and would be replaced", dataset.called(id))));
    }
    let mut tags = dataset.tags.iter().filter(|(_, tag)| tag.protected);
    match tags.find(|(_, tag)| replaced.contains(&tag.version)) {
        None => Ok(replaced),
        Some((tag, to)) => {
            let version = dataset.called(&to.version);
            Err(stands(format!("the protected tag {tag} is on version {version}, which would be replaced")))
        }
    }
}

fn message(report: &Squashed) -> String {
    let shown = |point: &Point| point.name.as_ref().map_or_else(|| point.version.short(), ToString::to_string);
    let listed = report.replaced.iter().rev().map(shown).collect::<Vec<_>>().join(", ");
    format!("squash of {listed}")
}

/// The new version, its name, and the branches that move to it.
fn operations_of(
    known: &Dataset,
    dataset: &DatasetName,
    row: VersionRow,
    name: &RefName,
    branches: &[BranchName],
) -> Vec<Operation> {
    let version = row.version;
    let set = |branch: &BranchName| Operation::SetBranch {
        dataset: dataset.clone(),
        branch: branch.clone(),
        old: known.branches.get(branch).copied(),
        new: Some(version),
    };
    let add = Operation::AddVersion { dataset: dataset.clone(), row: Box::new(row) };
    let take = Operation::TakeName { dataset: dataset.clone(), name: name.clone(), version };
    [add, take].into_iter().chain(branches.iter().map(set)).collect()
}
