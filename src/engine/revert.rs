//! `revert`: a new version that takes back what one changed, and keeps what came after it.
//!
//! It is a merge of the branch's head with the version's parent, both as if they came from the version: what the version did is undone
//! where nothing changed it since, and where something did it is a conflict like that of any merge.

use std::collections::HashMap;

use crate::base::{BranchName, Error, Event, Id, RefName, Result};
use crate::flow::merge::{Region, Regions, Tree, plan};
use crate::flow::propose::Proposal;
use crate::format::attrs::Value;
use crate::history::dag::is_ancestor;
use crate::history::fold::VersionState;
use crate::tree::edit::edited;
use crate::tree::manifest::Manifest;
use crate::tree::merge::Lineage;
use crate::tree::part::Part;
use crate::tree::resolve::Head;

use super::here::{Ready, Untracked};
use super::merge::{choices, conflict_of, recorded_choice};
use super::open::{OpenStore, Target};
use super::publish::Draft;
use super::{Address, Engine, Location, MergeOptions, MergeParent, MergeReport};

/// Metadata of a version that takes one back: the id of that one.
pub const META_REVERTS: &str = "revert.version";

impl Engine {
    /// Makes a version on a branch (in a workspace its own, elsewhere `main`, if not given) that takes back what a version in its history
    /// changed: of a merge what it changed in its parent of the number `parent`, from 1. In a workspace on that branch, the folder becomes
    /// the outcome. The report's parents are the branch and what stood before the version.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where the workspace has unsaved changes, or the version isn't in the branch's
    /// history. Changes that came after it and stand in the way are no error: the report has them.
    pub fn revert(&self, version: &Address, parent: Option<usize>, options: &MergeOptions) -> Result<MergeReport> {
        self.awake(|| self.revert_once(version, parent, options))
    }

    fn revert_once(&self, version: &Address, parent: Option<usize>, options: &MergeOptions) -> Result<MergeReport> {
        let given = options.branch.as_deref().map(BranchName::new).transpose()?;
        let own = if self.in_workspace() { self.workspace_branch()? } else { None };
        if version.location == Location::Here && (given.is_none() || given == own) {
            return self.revert_here(version, parent, options);
        }
        let branch = given.map_or_else(|| BranchName::new(crate::history::refs::DEFAULT_BRANCH), Ok)?;
        let mut target = self.open_target(version)?;
        self.revert_on(&mut target, &branch, parent, options, &Untracked::default())
    }

    fn revert_here(&self, version: &Address, parent: Option<usize>, options: &MergeOptions) -> Result<MergeReport> {
        let Ready { mut workspace, branch, untracked, lock: _lock } =
            self.ready_here(options.branch.as_deref(), options.dry_run)?;
        workspace.target.reference = version.reference.clone();
        let mut report = self.revert_on(&mut workspace.target, &branch, parent, options, &untracked)?;
        self.become_outcome(workspace.state.base, &mut report)?;
        Ok(report)
    }

    fn revert_on(
        &self,
        target: &mut Target,
        branch: &BranchName,
        parent: Option<usize>,
        options: &MergeOptions,
        untracked: &Untracked,
    ) -> Result<MergeReport> {
        let name = options.name.as_deref().map(RefName::new).transpose()?;
        let dataset = target.dataset()?;
        let undone = target.version()?.clone();
        let shown = dataset.called(&undone.row.version);
        let head = dataset.branches.get(branch).copied().ok_or_else(|| {
            Error::not_found(format!("{} has no branch {branch}", target.dataset)).hint("`dagset branch` lists them")
        })?;
        if !is_ancestor(dataset, &undone.row.version, &head) {
            let message = format!("version {shown} isn't in the history of the branch {branch}");
            return Err(Error::conflict(message).hint("--branch names the branch that it is to be taken back on"));
        }
        let before = parent_of(&undone, &shown, parent)?;
        target.store.timeline.refuse_let_go(&before)?;
        let side = |reference: String, version: Id| MergeParent {
            reference,
            version,
            version_name: dataset.name_of(&version).cloned(),
            part: Part::default(),
            adds_nothing: false,
        };
        let sides = vec![side(branch.to_string(), head), side(format!("before {shown}"), before)];
        let choices = choices(options, target, &sides, &sides)?;
        let states = [head, before]
            .iter()
            .map(|id| target.version_state(id).cloned())
            .chain([Ok(undone.clone())])
            .collect::<Result<Vec<_>>>()?;
        let heads: Vec<Head> = sides
            .iter()
            .zip(&states)
            .map(|(side, state)| Head { word: side.reference.clone(), time: state.row.time.0 })
            .collect();
        let lineage = Lineage { heads: 2, near: 3, bases: HashMap::from([((0, 1), vec![2])]), silent: Vec::new() };
        let OpenStore { timeline, content, .. } = &mut target.store;
        let manifest =
            |state: &VersionState| Manifest::new(content, state.row.manifest, Some(state.row.manifest_place));
        let whole = |state| Some(Tree { manifest: manifest(state), folder: String::new() });
        let trees = states.iter().map(whole).collect();
        let regions = Regions(vec![Region { folder: String::new(), lineage, trees }]);
        self.observer.tell(Event::Phase("comparing"));
        let plan = plan(&regions, &heads, &choices)?;
        let mut report = MergeReport {
            dataset: target.dataset.clone(),
            branch: branch.clone(),
            conflicts: plan.conflicts.into_iter().map(|conflict| conflict_of(conflict, &sides)).collect(),
            parents: sides,
            warnings: Vec::new(),
            published: None,
            switched: None,
            in_progress: false,
        };
        if report.unresolved().next().is_some() {
            return Ok(report);
        }
        untracked.refuse_in_the_way(manifest(&states[0]), &plan.edits)?;
        let session = self.session(timeline, content, options.dry_run);
        // What is taken back stands in it, and it is no parent.
        session.use_version(before);
        let proposal = Proposal {
            dataset: target.dataset.clone(),
            branch: branch.clone(),
            manifest: Id::ZERO,
            parents: None,
            expect: None,
            name,
            tags: Vec::new(),
            seen_head: Some(head),
            renews: false,
            repeats: false,
        };
        let reverts = (META_REVERTS.to_owned(), undone.row.version.to_string());
        let words = recorded_choice(options).chain([reverts]).map(|(key, text)| (key, Value::Text(text)));
        let draft = Draft {
            proposal,
            message: options.message.clone().unwrap_or_else(|| format!("revert {shown}")),
            meta: words.collect(),
            roles: Vec::new(),
            create_dataset: false,
            into: None,
            number: options.bump,
        };
        let pieces = edited(manifest(&states[0]), plan.edits);
        report.published = Some(self.publish(timeline, session, pieces, draft, Vec::new(), options.dry_run)?);
        Ok(report)
    }
}

/// The parent from which the version's changes are seen.
fn parent_of(undone: &VersionState, shown: &str, asked: Option<usize>) -> Result<Id> {
    let parents = &undone.row.parents;
    match (parents.as_slice(), asked) {
        ([], _) => Err(Error::usage(format!("version {shown} is a first one: nothing was before it"))
            .hint("`dagset rm` takes files away")),
        ([only], None) => Ok(*only),
        (several, None) => Err(Error::usage(format!("version {shown} merges {} parents", several.len()))
            .hint("--parent N says from which of them its changes are seen; `dagset show` lists them")),
        (_, Some(number)) => number.checked_sub(1).and_then(|at| parents.get(at)).copied().ok_or_else(|| {
            Error::not_found(format!("version {shown} has no parent number {number}")).hint("`dagset show` lists them")
        }),
    }
}
