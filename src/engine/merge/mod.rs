//! `merge`: several versions become one.

use crate::base::{BranchName, DatasetName, Error, Event, Id, Kind, RefName, RepoPath, Result};
use crate::flow::propose::Proposal;
use crate::format::operation::Operation;
use crate::history::fold::Fold;
use crate::tree::edit::edited;
use crate::tree::part::Part;
use crate::tree::resolve::Choices;
use crate::workspace::merging::{MOST_CONFLICTS, Merging};

use super::here::{Ready, Untracked};
use super::number::{self, Bump, is_number};
use super::open::{OpenStore, Target};
use super::publish::{Draft, Published};
use super::read::ListedKind;
use super::workspace::Workspace;
use super::{Address, Did, Engine, Switched};

mod beside;
pub(super) mod layout;
mod meeting;
mod parents;
mod parts;
mod refresh;
mod rules;
mod solve;
mod why;

pub use solve::{Aborted, Resolved};
pub use why::{DoneBy, How, Kept, MergeRule, Why, WhyStep};

use parents::{Ancestry, known_version, message, no_parents, role};
pub(super) use parts::record_parts;
use refresh::{Afresh, Recorded};
use rules::recorded;
pub(super) use rules::{choices, conflict_of, recorded_choice};

/// The version that a merge, or what is done as one, makes; and who wins.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// The branch that gets it; in a workspace its own, if not given.
    pub branch: Option<String>,
    pub name: Option<String>,
    /// The next number for a name; not with `name`.
    pub bump: Option<Bump>,
    /// What was done, if not given.
    pub message: Option<String>,
    /// `fail`, `first`, `last`, `newest`, `both` or one of the parents; `fail` if not given.
    pub on_conflict: Option<String>,
    /// `GLOB=CHOICE` for some paths; the first that fits counts.
    pub rules: Vec<String>,
    /// Also where the store lacks parents that hide what the versions have in common: what one side deleted may come back then.
    pub allow_missing: bool,
    pub dry_run: bool,
}

/// A version that was to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeParent {
    /// What it is called: REF, or DATASET@REF for one of another dataset, and behind a colon the part of it that is meant.
    pub reference: String,
    pub version: Id,
    pub version_name: Option<RefName>,
    /// How much of it is merged, and where it stands.
    pub(in crate::engine) part: Part,
    /// Another parent is this version, or has it among its ancestors.
    pub adds_nothing: bool,
}

impl MergeParent {
    /// What it is called for short: without the part.
    fn word(&self) -> &str {
        rules::without_part(&self.reference)
    }
}

/// What one parent did to a path, and has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeSide {
    /// The parent's.
    pub reference: String,
    pub did: Did,
    pub kind: Option<ListedKind>,
    pub content: Option<Id>,
    pub bytes: Option<u64>,
    /// Of a file.
    pub executable: bool,
}

/// A path at which parents disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeConflict {
    pub path: String,
    /// It is a file for some and a folder for others.
    pub file_and_folder: bool,
    /// Who wins; `None`: it isn't resolved.
    pub choice: Option<String>,
    /// Where the workspace's folder has what other parents have there.
    pub beside: Vec<RepoPath>,
    /// Of each parent that adds something, in their order.
    pub sides: Vec<MergeSide>,
}

/// What merging came to.
#[derive(Debug, Clone)]
pub struct MergeReport {
    pub dataset: DatasetName,
    pub branch: BranchName,
    pub parents: Vec<MergeParent>,
    /// By path, those that a rule resolved too.
    pub conflicts: Vec<MergeConflict>,
    /// `None`: conflicts are left, and no version was made.
    pub published: Option<Published>,
    /// What is to be known of the merge, as was told already.
    pub warnings: Vec<String>,
    /// The conflicts were laid into the workspace's folder, to be solved there.
    pub in_progress: bool,
    /// What the workspace's folder became.
    pub switched: Option<Switched>,
}

impl MergeReport {
    /// Conflicts that nothing resolved.
    pub fn unresolved(&self) -> impl Iterator<Item = &MergeConflict> {
        self.conflicts.iter().filter(|conflict| conflict.choice.is_none())
    }
}

/// What a merge is asked to do, understood.
struct Question {
    name: Option<RefName>,
    /// The branch's head.
    head: Option<Id>,
    /// All parents, and those that add something.
    parents: Vec<MergeParent>,
    used: Vec<MergeParent>,
    choices: Choices,
    /// It is a recorded merge that is made again, and the branch's head is nothing but its outcome.
    afresh: Option<Afresh>,
    /// What must not be in the way of the outcome.
    untracked: Untracked,
}

impl Engine {
    /// Makes one version of several of one store, in their order, each compared with the others by what they came from (see [`tree::merge`](crate::tree::merge)).
    ///
    /// The branch's head is the first parent, unless it is among the parents or an ancestor of one. Where all but one add nothing, no
    /// version is made, and the branch moves on to that one, which gets the name if it has none. In a workspace its branch is merged into, and the folder becomes the outcome;
    /// conflicts are laid into it, to be solved there, unless `on_conflict` is `fail`.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where the workspace has unsaved changes, a name is taken or can't be had, the branch moved
    /// meanwhile, or the store lacks what tells what the parents have in common. Parents that disagree are no error: the report has them.
    pub fn merge(&self, parents: &[Address], options: &MergeOptions) -> Result<MergeReport> {
        self.awake(|| self.merge_once(parents, options))
    }

    fn merge_once(&self, parents: &[Address], options: &MergeOptions) -> Result<MergeReport> {
        let given = options.branch.as_deref().map(BranchName::new).transpose()?;
        let own = if self.in_workspace() { self.workspace_branch()? } else { None };
        if self.in_workspace() && (given.is_none() || given == own) {
            return self.merge_here(parents, options, None);
        }
        let branch = given.ok_or_else(|| {
            Error::usage("a merge outside of a workspace needs the branch that it makes or moves")
                .hint("add --branch BRANCH")
        })?;
        let first = parents.first().ok_or_else(no_parents)?;
        let mut target = self.open_target(first)?;
        let question = self.understand(&target, &branch, parents, options, false)?;
        self.decide_merge(&mut target, &branch, options, &question)
    }

    /// `recorded` is the merge that is made again, if it is one.
    fn merge_here(
        &self,
        parents: &[Address],
        options: &MergeOptions,
        recorded: Option<&Recorded>,
    ) -> Result<MergeReport> {
        let Ready { mut workspace, branch, untracked, lock: _lock } =
            self.ready_here(options.branch.as_deref(), options.dry_run)?;
        let mut question = Question {
            untracked,
            ..self.understand(&workspace.target, &branch, parents, options, recorded.is_some())?
        };
        question.afresh = self.afresh(&workspace.target, &branch, parents, options, recorded, &question)?;
        let mut report = self.decide_merge(&mut workspace.target, &branch, options, &question)?;
        if report.published.is_none() && question.afresh.take().is_some() {
            // Conflicts are laid into a folder that has the outcome of the merge before: they are to be those with that.
            report = self.decide_merge(&mut workspace.target, &branch, options, &question)?;
        }
        let open = report.unresolved().count();
        if open > 0 && open <= MOST_CONFLICTS && options.on_conflict.as_deref() != Some("fail") {
            question.name.as_ref().map_or(Ok(()), |name| refuse_taken(&workspace.target, name))?;
            let base = workspace.state.base;
            let merging = begin(base, &branch, options, &question, &report)?;
            if options.dry_run {
                self.layout_to_come(&workspace, &merging, &question.untracked)?;
                return Ok(report);
            }
            self.lay_out(&workspace, merging, &question.untracked, &mut report)?;
            return Ok(report);
        }
        self.become_outcome(workspace.state.base, &mut report)?;
        Ok(report)
    }

    fn understand(
        &self,
        target: &Target,
        branch: &BranchName,
        parents: &[Address],
        options: &MergeOptions,
        is_recorded: bool,
    ) -> Result<Question> {
        let name = options.name.as_deref().map(RefName::new).transpose()?;
        let parent = |address| match self.parent(target, address, is_recorded) {
            Err(fault) if is_recorded && fault.kind() == Kind::NotFound => Err(refresh::lacks_parent(fault)),
            parent => parent,
        };
        let asked = parents.iter().map(parent).collect::<Result<Vec<_>>>()?;
        if asked.is_empty() {
            return Err(no_parents());
        }
        let fold = target.store.timeline.fold();
        let head = fold.dataset(&target.dataset)?.branches.get(branch).copied();
        let (parents, used) = self.parents_of(target, asked, branch, head)?;
        let choices = choices(options, target, &parents, &used)?;
        Ok(Question { name, head, parents, used, choices, afresh: None, untracked: Untracked::default() })
    }

    /// Answers the question, and makes the version where nothing is left open.
    fn decide_merge(
        &self,
        target: &mut Target,
        branch: &BranchName,
        options: &MergeOptions,
        question: &Question,
    ) -> Result<MergeReport> {
        let Question { name, head, parents, used, choices, afresh, untracked } = question;
        let mut report = MergeReport {
            dataset: target.dataset.clone(),
            branch: branch.clone(),
            parents: parents.clone(),
            conflicts: Vec::new(),
            warnings: Vec::new(),
            published: None,
            in_progress: false,
            switched: None,
        };
        if let [only] = used.as_slice() {
            untracked.refuse_in_the_way(target.store.manifest(known_version(target, &only.version)?), &Vec::new())?;
        }
        if let [only] = used.as_slice()
            && let Some(published) = self.move_on(target, branch, only.version, name.as_ref(), options)?
        {
            report.published = Some(published);
            return Ok(report);
        }
        let (sources, choices) = afresh.as_ref().map_or((used, choices), |afresh| (&afresh.used, &afresh.choices));
        let timeline = &target.store.timeline;
        sources.iter().try_for_each(|source| timeline.refuse_let_go(&source.version))?;
        let ancestry = Ancestry::of(self, target, sources)?;
        if let Some(fault) = ancestry.gap(self, target)?.filter(|_| !options.allow_missing) {
            return Err(fault);
        }
        report.warnings.extend(ancestry.warning(self, target)?);
        report.warnings.iter().for_each(|warning| self.observer.tell(Event::Warning(warning.clone())));
        let OpenStore { timeline, content, .. } = &mut target.store;
        let plan = ancestry.plan(self, content, choices)?;
        report.conflicts = plan.conflicts.into_iter().map(|conflict| conflict_of(conflict, sources)).collect();
        if report.unresolved().next().is_some() {
            return Ok(report);
        }
        untracked.refuse_in_the_way(ancestry.manifest(content, &sources[0].version), &plan.edits)?;
        let session = self.session(timeline, content, options.dry_run);
        // Of a merge that is made again not all sources are parents.
        sources.iter().for_each(|source| session.use_version(source.version));
        let proposal = Proposal {
            dataset: target.dataset.clone(),
            branch: branch.clone(),
            manifest: Id::ZERO,
            parents: Some(used.iter().map(|parent| parent.version).collect()),
            expect: None,
            name: name.clone(),
            tags: Vec::new(),
            renews: false,
            repeats: false,
            seen_head: *head,
        };
        let draft = Draft {
            proposal,
            message: options.message.clone().unwrap_or_else(|| message(used, branch)),
            meta: match afresh {
                Some(afresh) => afresh.recorded(options, used)?,
                None => recorded(options, parents, used)?,
            },
            roles: used.iter().map(|parent| (parent.version, role(&parent.reference))).collect(),
            number: options.bump,
            create_dataset: false,
            into: None,
        };
        let pieces = edited(ancestry.manifest(content, &sources[0].version), plan.edits);
        report.published = Some(self.publish(timeline, session, pieces, draft, Vec::new(), options.dry_run)?);
        Ok(report)
    }

    /// Moves the branch to a version that there is, and names it if it has no name, in one record; `None` where a version has to be made after
    /// all, since this one is another dataset's.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where the version has another name than the one that is asked for, or where
    /// something else has that.
    fn move_on(
        &self,
        target: &mut Target,
        branch: &BranchName,
        version: Id,
        name: Option<&RefName>,
        options: &MergeOptions,
    ) -> Result<Option<Published>> {
        let dry_run = options.dry_run;
        let dataset = target.dataset()?;
        let Some(state) = dataset.versions.get(&version) else { return Ok(None) };
        let known_name = dataset.name_of(&version).cloned();
        let old = dataset.branches.get(branch).copied();
        let moves = old != Some(version);
        refuse_other_name(target, version, known_name.as_ref(), name, options.bump)?;
        let is_named = name.is_none() || known_name.is_some();
        let step = match options.bump.filter(|_| known_name.is_none()) {
            None => None,
            Some(bump) => {
                let (fold, content) = (target.store.timeline.fold(), &target.store.content);
                let manifest = target.store.manifest(state);
                Some(number::step(fold, &target.dataset, content, bump, &state.row.parents, manifest)?)
            }
        };
        let numbered =
            |target: &Target, step| number::next(target.store.timeline.fold(), &target.dataset, Some(&version), step);
        let would_be = step.map(|step| numbered(target, step)).transpose()?.flatten();
        let mut published = Published {
            dataset: target.dataset.clone(),
            version: Some(version),
            name: known_name.or(name.cloned()).or(would_be),
            branch: branch.clone(),
            manifest: state.row.manifest,
            changed: moves,
            named: !is_named || step.is_some(),
            made: false,
            files: state.row.files,
            bytes: state.row.bytes,
            new_bytes: 0,
            stored_bytes: 0,
            left_out: Vec::new(),
            behind: false,
            tagged: Vec::new(),
            warnings: Vec::new(),
            dry_run,
        };
        let dataset = target.dataset.clone();
        // Others may do the same just now: what they have done is done.
        let make = |fold: &Fold| {
            let now = fold.dataset(&dataset)?;
            let is_there = now.branches.get(branch) == Some(&version);
            let set =
                || Operation::SetBranch { dataset: dataset.clone(), branch: branch.clone(), old, new: Some(version) };
            let is_its_name = |name: &&RefName| now.name_of(&version) == Some(*name);
            let take = name.filter(|_| !is_named).filter(|name| !is_its_name(name)).map(|name| Operation::TakeName {
                dataset: dataset.clone(),
                name: name.clone(),
                version,
            });
            let named = take.or(number::take(fold, &dataset, version, step)?);
            Ok((moves && !is_there).then(set).into_iter().chain(named).collect::<Vec<_>>())
        };
        if dry_run {
            let operations = make(target.store.timeline.fold())?;
            target.store.timeline.would_hold(&self.actor(), operations)?;
            return Ok(Some(published));
        }
        target.store.timeline.append(&self.actor(), |fold, _| {
            let operations = make(fold)?;
            published.changed = operations.iter().any(|step| matches!(step, Operation::SetBranch { .. }));
            published.named = operations.iter().any(|step| matches!(step, Operation::TakeName { .. }));
            Ok(operations)
        })?;
        published.name = target.dataset()?.name_of(&version).cloned();
        Ok(Some(published))
    }
}

/// Refuses a name for a version that is there already, unless it can have it, or has it; and a number where its name is none.
fn refuse_other_name(
    target: &Target,
    version: Id,
    known: Option<&RefName>,
    name: Option<&RefName>,
    bump: Option<Bump>,
) -> Result<()> {
    let asked = match (name, known) {
        (Some(name), Some(known)) if name != known => format!("so it can't be named {name}"),
        (Some(name), None) => return refuse_taken(target, name),
        (None, Some(known)) if bump.is_some() && !is_number(known) => "which is no number".to_owned(),
        _ => return Ok(()),
    };
    let known = known.map(RefName::to_string).unwrap_or_default();
    let message = format!(
        "nothing is to be merged: the outcome is version {} of {}, which has the name {known} already, {asked}",
        version.short(),
        target.dataset
    );
    let dataset = target.dataset()?;
    let free = name.filter(|name| !dataset.has_ref(name.as_str()));
    let tag = free.map_or_else(|| "TAG".to_owned(), RefName::to_string);
    let address = format!("{}//{}@{known}", target.store.root.trim_end_matches('/'), target.dataset);
    Err(Error::conflict(message).hint(format!(
        "`dagset tag {address} {tag}` has {tag} lead to it too; without {} the branch moves there under its name",
        if name.is_some() { "--as" } else { "--bump" }
    )))
}

fn refuse_taken(target: &Target, name: &RefName) -> Result<()> {
    match target.dataset()?.has_ref(name.as_str()) {
        false => Ok(()),
        true => Err(Error::conflict(format!("the name {name} is taken in {}", target.dataset))
            .hint("choose another name, or give none")),
    }
}

/// Refuses what would pull the folder from under a merge whose conflicts are being solved in it.
pub(super) fn refuse_in_progress(workspace: &Workspace) -> Result<()> {
    match workspace.control.merging(&workspace.state)? {
        None => Ok(()),
        Some(_) => Err(Error::conflict("a merge is in progress in this workspace").hint(
            "`dagset status` shows its conflicts; `dagset merge --continue` ends it, `dagset merge --abort` drops it",
        )),
    }
}

/// What is noted of a merge that left conflicts.
fn begin(
    base: Option<Id>,
    branch: &BranchName,
    options: &MergeOptions,
    question: &Question,
    report: &MergeReport,
) -> Result<Merging> {
    Ok(Merging {
        base,
        parents: question.used.iter().map(|parent| (parent.version, parent.reference.clone())).collect(),
        name: options.name.clone(),
        bump: options.bump.map(|bump| bump.word().to_owned()),
        message: options.message.clone().unwrap_or_else(|| message(&question.used, branch)),
        rules: rules::in_words(options, &question.choices, &question.used),
        meta: rules::recorded_words(options, &question.parents, &question.used)?,
        conflicts: report.unresolved().map(rules::open_conflict).collect::<Result<_>>()?,
        is_laid: false,
    })
}
