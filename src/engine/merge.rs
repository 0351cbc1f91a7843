//! `merge`: several versions become one.

use crate::base::{BranchName, DatasetName, Error, Id, RefName, Result};
use crate::flow::merge::plan;
use crate::flow::propose::Proposal;
use crate::flow::session::Session;
use crate::format::attrs::{Attrs, Value};
use crate::format::manifest::EntryKind;
use crate::format::operation::Operation;
use crate::history::bases::{lineage, outrun};
use crate::history::fold::{Fold, VersionState};
use crate::history::refs;
use crate::tree::edit::edited;
use crate::tree::manifest::Manifest;
use crate::tree::resolve::{Choice, Choices, Conflict, Head, Side};
use crate::tree::select::Selection;

use super::commit::unfinished;
use super::number::{self, Bump};
use super::open::{OpenStore, Target};
use super::publish::{Draft, Published};
use super::read::ListedKind;
use super::{Address, Did, Engine, Location, RefExpr, Switched};

/// Longest role of a parent, in bytes (docs/format.md §10).
const MAX_ROLE: usize = 255;
/// Metadata of a merged version: who won where its parents disagreed.
const META_OTHERWISE: &str = "merge.on-conflict";
/// The same by path: `GLOB=CHOICE` a line, the first that fits counts.
const META_RULES: &str = "merge.rules";

/// What to merge, into what, and who wins.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// The versions, in their order. All are in one store.
    pub parents: Vec<Address>,
    /// The branch of the first one's dataset that moves; in a workspace its own, if not given.
    pub branch: Option<String>,
    pub name: Option<String>,
    /// The next number for a name; not with `name`.
    pub bump: Option<Bump>,
    /// What was merged into what, if not given.
    pub message: Option<String>,
    /// `fail`, `first`, `last`, `newest`, `both` or one of the parents; `fail` if not given.
    pub on_conflict: Option<String>,
    /// `GLOB=CHOICE` for some paths; the first that fits counts.
    pub rules: Vec<String>,
    pub dry_run: bool,
}

/// A version that was to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeParent {
    /// What it is called: REF, or DATASET@REF for one of another dataset.
    pub reference: String,
    pub version: Id,
    pub version_name: Option<RefName>,
    /// Another parent is this version, or has it among its ancestors.
    pub adds_nothing: bool,
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
}

/// A path at which parents disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeConflict {
    pub path: String,
    /// It is a file for some and a folder for others.
    pub file_and_folder: bool,
    /// Who wins; `None`: it isn't resolved.
    pub choice: Option<String>,
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
    /// `None`: conflicts are left, and nothing was written.
    pub published: Option<Published>,
    /// What the workspace's folder became.
    pub switched: Option<Switched>,
}

impl MergeReport {
    /// Conflicts that nothing resolved.
    pub fn unresolved(&self) -> impl Iterator<Item = &MergeConflict> {
        self.conflicts.iter().filter(|conflict| conflict.choice.is_none())
    }
}

impl Engine {
    /// Makes one version of several, each compared with the others by what they came from (see [`tree::merge`](crate::tree::merge)).
    ///
    /// The branch's head is the first parent, unless it is among the parents or an ancestor of one. Where all but one add nothing, no
    /// version is made, and the branch moves on to that one. In a workspace its branch is merged into, and the folder becomes the outcome.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where the workspace has unsaved changes, a name is taken, or the branch moved meanwhile. Parents that
    /// disagree are no error: the report has them.
    pub fn merge(&self, options: &MergeOptions) -> Result<MergeReport> {
        let given = options.branch.as_deref().map(BranchName::new).transpose()?;
        let own = if self.in_workspace() { self.workspace_branch()? } else { None };
        if self.in_workspace() && (given.is_none() || given == own) {
            return self.merge_here(options);
        }
        let branch = given.ok_or_else(|| {
            Error::usage("a merge outside of a workspace needs the branch that it makes or moves")
                .hint("add --branch BRANCH")
        })?;
        let first = options.parents.first().ok_or_else(no_parents)?;
        let mut target = self.open_target(first)?;
        self.merge_into(&mut target, &branch, options)
    }

    fn merge_here(&self, options: &MergeOptions) -> Result<MergeReport> {
        let mut workspace = self.open_workspace()?;
        let _lock = workspace.control.lock()?;
        if workspace.state.checkout.is_some() {
            return Err(unfinished(&workspace));
        }
        let branch = workspace.state.branch.clone().ok_or_else(|| {
            Error::usage("this workspace is on no branch").hint("`dagset switch BRANCH` first, or give --branch")
        })?;
        let unsaved = self.compare(&workspace, workspace.manifest()?)?.comparison.changes.len();
        if unsaved > 0 && !options.dry_run {
            return Err(Error::conflict(format!("the workspace has {unsaved} changes that no version holds"))
                .hint("`dagset commit -a` keeps them; `dagset status` shows them"));
        }
        let mut report = self.merge_into(&mut workspace.target, &branch, options)?;
        let version = report.published.as_ref().filter(|published| !published.dry_run).and_then(|it| it.version);
        if let Some(version) = version.filter(|version| workspace.state.base != Some(*version)) {
            // What was just published is found by a store that is opened after it.
            let workspace = self.open_workspace()?;
            let switched = self.go_to(&workspace, Some(branch), version);
            report.switched = Some(switched.map_err(|fault| {
                fault.within(format!("the merge is version {}, but the folder isn't switched to it", version.short()))
            })?);
        }
        Ok(report)
    }

    fn merge_into(&self, target: &mut Target, branch: &BranchName, options: &MergeOptions) -> Result<MergeReport> {
        let name = options.name.as_deref().map(RefName::new).transpose()?;
        let asked = options.parents.iter().map(|address| self.parent(target, address)).collect::<Result<Vec<_>>>()?;
        if asked.is_empty() {
            return Err(no_parents());
        }
        let fold = target.store.timeline.fold();
        let head = fold.dataset(&target.dataset)?.branches.get(branch).copied();
        let (parents, used) = parents_of(fold, asked, branch, head);
        let choices = choices(options, target, &used)?;
        let mut report = MergeReport {
            dataset: target.dataset.clone(),
            branch: branch.clone(),
            parents,
            conflicts: Vec::new(),
            published: None,
            switched: None,
        };
        if let [only] = used.as_slice()
            && let Some(published) = self.move_on(target, branch, only.version, name.as_ref(), options)?
        {
            report.published = Some(published);
            return Ok(report);
        }
        let ids: Vec<Id> = used.iter().map(|parent| parent.version).collect();
        let (versions, lineage) = lineage(target.store.timeline.fold(), &ids);
        let states = versions.iter().map(|id| known_version(target, id).cloned()).collect::<Result<Vec<_>>>()?;
        let heads: Vec<Head> = used
            .iter()
            .zip(&states)
            .map(|(parent, state)| Head { word: parent.reference.clone(), time: state.row.time.0 })
            .collect();
        let OpenStore { timeline, content, .. } = &mut target.store;
        let manifest =
            |state: &VersionState| Manifest::new(content, state.row.manifest, Some(state.row.manifest_place));
        let manifests: Vec<Manifest<'_>> = states.iter().map(manifest).collect();
        self.observer.tell(crate::base::Event::Phase("comparing"));
        let plan = plan(&manifests, &lineage, &heads, &choices)?;
        report.conflicts = plan.conflicts.into_iter().map(|conflict| conflict_of(conflict, &used)).collect();
        if report.unresolved().next().is_some() {
            return Ok(report);
        }
        let session = match options.dry_run {
            true => Session::dry(timeline.bucket().clone(), content, self.settings.jobs, self.observer.clone()),
            false => {
                let (bucket, born) = (timeline.bucket().clone(), timeline.fold().number);
                Session::new(bucket, content, born, self.settings.jobs, self.often, self.observer.clone())
            }
        };
        let proposal = Proposal {
            dataset: target.dataset.clone(),
            branch: branch.clone(),
            manifest: Id::ZERO,
            parents: Some(ids),
            expect: None,
            name,
            tags: Vec::new(),
            renews: false,
            seen_head: head,
        };
        let draft = Draft {
            proposal,
            message: options.message.clone().unwrap_or_else(|| message(&used, branch)),
            meta: recorded(options),
            roles: used.iter().map(|parent| (parent.version, role(&parent.reference))).collect(),
            number: options.bump,
            create_dataset: false,
        };
        let pieces = edited(manifests[0], plan.edits);
        report.published = Some(self.publish(timeline, session, pieces, draft, Vec::new(), options.dry_run)?);
        Ok(report)
    }

    /// A parent that the user named, in the target's store.
    fn parent(&self, target: &Target, address: &Address) -> Result<MergeParent> {
        if let Some(path) = &address.path {
            return Err(Error::usage(format!("a part of a version can't be merged yet, and {path:?} is one"))
                .hint("leave out what follows the colon"));
        }
        let dataset = self.dataset_of(target, address)?;
        let default = match address.location {
            Location::Here => target.default_reference.as_str(),
            _ => refs::DEFAULT_BRANCH,
        };
        let reference = address.reference.clone().map_or_else(|| RefExpr::parse(default), Ok)?;
        let fold = target.store.timeline.fold();
        let known = fold.dataset(&dataset)?;
        let version = refs::resolve(&dataset, known, &reference, default)?;
        let reference = match dataset == target.dataset {
            true => reference.to_string(),
            false => format!("{dataset}@{reference}"),
        };
        Ok(MergeParent { reference, version, version_name: known.name_of(&version).cloned(), adds_nothing: false })
    }

    /// The dataset of an address, which must be in the target's store.
    fn dataset_of(&self, target: &Target, address: &Address) -> Result<DatasetName> {
        let text = self.location_text(address)?;
        let below = text.strip_prefix(&target.store.root).filter(|rest| rest.starts_with('/'));
        let known = below.and_then(|rest| DatasetName::new(rest.trim_start_matches('/')).ok());
        if let Some(known) = known.filter(|known| target.store.timeline.fold().datasets.contains_key(known)) {
            return Ok(known);
        }
        let (other, rest) = self.open_store(&text)?;
        if other.file.store != target.store.file.store {
            return Err(Error::usage(format!("{} is another store than {}", other.root, target.store.root))
                .hint("`dagset push` or `dagset fetch` brings its versions there; then merge"));
        }
        self.dataset_meant(&text, rest)
    }

    /// Moves the branch to a version that there is; `None` where a version has to be made after all, since this one is another
    /// dataset's or has another name.
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
        if name.is_some() && known_name.is_some() && known_name.as_ref() != name {
            return Ok(None);
        }
        let old = dataset.branches.get(branch).copied();
        let moves = old != Some(version);
        let is_named = name.is_none() || known_name.is_some();
        let step = match options.bump.filter(|_| known_name.is_none()) {
            None => None,
            Some(bump) => {
                let (fold, content) = (target.store.timeline.fold(), &target.store.content);
                let manifest = target.store.manifest(state);
                Some(number::step(fold, &target.dataset, content, bump, &state.row.parents, manifest)?)
            }
        };
        if let Some(taken) = name.filter(|name| !is_named && dataset.has_ref(name.as_str())) {
            return Err(Error::conflict(format!("the name {taken} is taken in {}", target.dataset))
                .hint("choose another name, or give none"));
        }
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
            files: state.row.files,
            bytes: state.row.bytes,
            new_bytes: 0,
            stored_bytes: 0,
            left_out: Vec::new(),
            dry_run,
        };
        if dry_run || (!moves && is_named && step.is_none()) {
            return Ok(Some(published));
        }
        let dataset = target.dataset.clone();
        target.store.timeline.append(&self.actor(), |fold, _| {
            let set =
                Operation::SetBranch { dataset: dataset.clone(), branch: branch.clone(), old, new: Some(version) };
            let take = name.filter(|_| !is_named).map(|name| Operation::TakeName {
                dataset: dataset.clone(),
                name: name.clone(),
                version,
            });
            let number = number::take(fold, &dataset, version, step)?;
            Ok(Some(set).filter(|_| moves).into_iter().chain(take).chain(number).collect())
        })?;
        published.name = target.dataset()?.name_of(&version).cloned();
        Ok(Some(published))
    }
}

fn no_parents() -> Error {
    Error::usage("there is nothing to merge").hint("name versions: dagset merge REF…")
}

/// All parents to tell of, and those that add something, with the branch's head as the first where it is to be one.
fn parents_of(
    fold: &Fold,
    asked: Vec<MergeParent>,
    branch: &BranchName,
    head: Option<Id>,
) -> (Vec<MergeParent>, Vec<MergeParent>) {
    let mut all = asked;
    let named = |id: &Id| all.iter().any(|parent| parent.version == *id);
    let is_implied = head.is_some_and(|head| !named(&head));
    if let Some(version) = head.filter(|_| is_implied) {
        let version_name = fold.datasets.values().find_map(|dataset| dataset.name_of(&version).cloned());
        let reference = branch.to_string();
        all.insert(0, MergeParent { reference, version, version_name, adds_nothing: false });
    }
    let mut ids: Vec<Id> = Vec::new();
    for parent in &mut all {
        match ids.contains(&parent.version) {
            true => parent.adds_nothing = true,
            false => ids.push(parent.version),
        }
    }
    for (id, is_outrun) in ids.iter().zip(outrun(fold, &ids)) {
        all.iter_mut().filter(|parent| parent.version == *id).for_each(|parent| parent.adds_nothing |= is_outrun);
    }
    if is_implied && all[0].adds_nothing {
        all.remove(0);
    }
    let used = all.iter().filter(|parent| !parent.adds_nothing).cloned().collect();
    (all, used)
}

fn known_version<'t>(target: &'t Target, id: &Id) -> Result<&'t VersionState> {
    target.store.timeline.fold().version(id).ok_or_else(|| {
        Error::not_found(format!("version {}, from which others came, isn't in {}", id.short(), target.store.root))
            .hint("`dagset fetch` or `dagset push` brings a whole history")
    })
}

pub(super) fn choices(options: &MergeOptions, target: &Target, used: &[MergeParent]) -> Result<Choices> {
    let parse = |text: &str| choice(text, target, used);
    let rule = |text: &String| {
        let (glob, choice) = text
            .rsplit_once('=')
            .filter(|(glob, _)| !glob.is_empty() && !glob.contains('\n'))
            .ok_or_else(|| Error::usage(format!("not GLOB=CHOICE: {text:?}")).hint("as in --rule 'labels/**=last'"))?;
        Ok((Selection::new(&[glob.to_owned()])?, parse(choice)?))
    };
    Ok(Choices {
        by_path: options.rules.iter().map(rule).collect::<Result<Vec<_>>>()?,
        otherwise: options.on_conflict.as_deref().map_or(Ok(Choice::Fail), parse)?,
    })
}

fn choice(text: &str, target: &Target, used: &[MergeParent]) -> Result<Choice> {
    let word = match text {
        "fail" => Some(Choice::Fail),
        "first" => Some(Choice::First),
        "last" => Some(Choice::Last),
        "newest" => Some(Choice::Newest),
        "both" => Some(Choice::Both),
        _ => None,
    };
    let by_reference = || used.iter().position(|parent| parent.reference == text);
    let by_version = || {
        let id = refs::resolve(&target.dataset, target.dataset().ok()?, &RefExpr::parse(text).ok()?, text).ok()?;
        used.iter().position(|parent| parent.version == id)
    };
    word.or_else(|| by_reference().or_else(by_version).map(Choice::Head)).ok_or_else(|| {
        let known = used.iter().map(|parent| parent.reference.as_str()).collect::<Vec<_>>().join(", ");
        Error::usage(format!("{text} is no parent of this merge that adds something"))
            .hint(format!("fail, first, last, newest, both, or one of: {known}"))
    })
}

pub(super) fn conflict_of(conflict: Conflict, used: &[MergeParent]) -> MergeConflict {
    let side = |(side, parent): (Side, &MergeParent)| {
        let kind = side.entry.as_ref().map(|entry| &entry.kind);
        MergeSide {
            reference: parent.reference.clone(),
            did: side.did,
            kind: match kind {
                Some(EntryKind::File { .. }) => Some(ListedKind::File),
                Some(EntryKind::Symlink { .. }) => Some(ListedKind::Symlink),
                Some(EntryKind::EmptyFolder) => Some(ListedKind::Folder),
                None => side.folder.then_some(ListedKind::Folder),
            },
            content: match kind {
                Some(EntryKind::File { content, .. }) => Some(*content),
                _ => None,
            },
            bytes: match kind {
                Some(EntryKind::File { size, .. }) => Some(*size),
                _ => None,
            },
        }
    };
    MergeConflict {
        path: conflict.path.to_string(),
        file_and_folder: conflict.file_and_folder,
        choice: match conflict.choice {
            Choice::Fail => None,
            Choice::First => Some("first".to_owned()),
            Choice::Last => Some("last".to_owned()),
            Choice::Newest => Some("newest".to_owned()),
            Choice::Both => Some("both".to_owned()),
            Choice::Head(head) => Some(used[head].reference.clone()),
        },
        sides: conflict.sides.into_iter().zip(used).map(side).collect(),
    }
}

fn message(used: &[MergeParent], branch: &BranchName) -> String {
    let others = used.iter().filter(|parent| parent.reference != branch.as_str());
    let others: Vec<_> = others.map(|parent| parent.reference.as_str()).collect();
    format!("merge {} into {branch}", others.join(", "))
}

fn role(reference: &str) -> String {
    let end = (0..=reference.len().min(MAX_ROLE)).rev().find(|at| reference.is_char_boundary(*at)).unwrap_or(0);
    reference[..end].to_owned()
}

fn recorded(options: &MergeOptions) -> Attrs {
    let mut meta = Attrs::default();
    if let Some(choice) = &options.on_conflict {
        meta.0.insert(META_OTHERWISE.to_owned(), Value::Text(choice.clone()));
    }
    if !options.rules.is_empty() {
        meta.0.insert(META_RULES.to_owned(), Value::Text(options.rules.join("\n")));
    }
    meta
}
