//! What a workspace's folder is while a merge is in progress in it, and how it becomes that.
//!
//! Only such bytes are overwritten or removed that some version holds: those of the base, and those that a parent of the merge has at the
//! same path, or at the path in conflict that they were put beside.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::base::files::rename;
use crate::base::{Error, Event, Id, RepoPath, Result};
use crate::format::manifest::Entry;
use crate::tree::diff::{Change, diff};
use crate::tree::edit::Edits;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::part::Part;
use crate::tree::resolve::{Choice, Choices, Conflict};
use crate::workspace::compare::LocalChange;
use crate::workspace::merging::Merging;

use super::super::get::remove_with_empty_folders;
use super::super::workspace::Workspace;
use super::super::{Engine, Switched};
use super::MergeParent;
use super::parents::Ancestry;
use super::parts::{META_PARTS, parts_in};
use super::rules::choices_of;

/// The folder of a merge in progress, as far as it differs from the workspace's base.
#[derive(Default)]
pub(in crate::engine) struct Layout {
    pub steps: BTreeMap<RepoPath, Option<Entry>>,
    /// What was put beside paths in conflict: where it stands, and the path.
    pub beside: BTreeMap<RepoPath, RepoPath>,
    pub conflicts: Vec<Conflict>,
}

/// What is done about bytes that no version holds and that are in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsaved {
    /// Nothing is touched, and the error names them.
    Refuse,
    /// They are put beside their path as `name.unsaved.ext`.
    SetAside,
}

/// Which paths of the folder are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent<'p> {
    /// All: the folder may be anything between the base and either layout, as a process that was killed leaves it.
    Whole,
    /// Those at which the layouts differ, and all at and below these.
    Differing(&'p [RepoPath]),
}

/// Values at paths in several versions: of each path the leaves that there are.
type Leaves = HashMap<RepoPath, Vec<Leaf>>;

/// A merge in progress, with the versions that it is about.
pub(in crate::engine) struct OpenMerge<'w> {
    workspace: &'w Workspace,
    ancestry: Ancestry,
    /// Of each parent its manifest, and the part of it that is merged.
    parents: Vec<(Manifest<'w>, Part)>,
}

impl<'w> OpenMerge<'w> {
    pub(in crate::engine) fn of(engine: &Engine, workspace: &'w Workspace, merging: &Merging) -> Result<OpenMerge<'w>> {
        let text = merging.meta.get(META_PARTS).map(String::as_str).unwrap_or_default();
        let parts: HashMap<Id, Part> = parts_in(text)
            .ok_or_else(|| Error::damaged("the parts of the merge in progress can't be understood"))?
            .into_iter()
            .collect();
        let parent = |(version, reference): &(_, String)| MergeParent {
            reference: reference.clone(),
            version: *version,
            version_name: None,
            part: parts.get(version).cloned().unwrap_or_default(),
            adds_nothing: false,
        };
        let used: Vec<MergeParent> = merging.parents.iter().map(parent).collect();
        let ancestry = Ancestry::of(engine, &workspace.target, &used)?;
        let content = &workspace.target.store.content;
        let parents = used.into_iter().map(|it| (ancestry.manifest(content, &it.version), it.part)).collect();
        Ok(OpenMerge { workspace, ancestry, parents })
    }

    /// The first parent.
    pub(super) fn first(&self) -> Manifest<'w> {
        self.parents[0].0
    }

    /// What the folder is to be, with what was solved so far.
    pub(in crate::engine) fn layout(&self, engine: &Engine, merging: &Merging) -> Result<Layout> {
        self.layout_by(engine, &choices_of(merging)?)
    }

    /// What the folder was to be before anything was solved.
    pub(super) fn first_layout(&self, engine: &Engine, merging: &Merging) -> Result<Layout> {
        self.layout_by(engine, &Choices { exactly: HashMap::new(), ..choices_of(merging)? })
    }

    fn layout_by(&self, engine: &Engine, choices: &Choices) -> Result<Layout> {
        let plan = self.ancestry.plan(engine, &self.workspace.target.store.content, choices)?;
        let mut steps = BTreeMap::new();
        let mut step = |change: Change| {
            steps.insert(change.path, change.after);
            Ok(())
        };
        let first = self.parents[0].0;
        match self.workspace.manifest()? {
            Some(base) => diff(base, first, "", step)?,
            None => first.entries("").try_for_each(|leaf| {
                let Leaf { path, entry, .. } = leaf?;
                step(Change { path, before: None, after: Some(entry) })
            })?,
        }
        steps.extend(plan.edits);
        Ok(Layout { steps, beside: plan.beside.into_iter().collect(), conflicts: plan.conflicts })
    }

    /// What the parents have at paths, which are looked for where `sources` says they come from.
    fn at_parents<'p>(&self, paths: impl Iterator<Item = &'p RepoPath>, sources: &Sources<'_>) -> Result<Leaves> {
        let paths: Vec<&RepoPath> = paths.collect();
        let wanted: BTreeSet<&RepoPath> = paths.iter().map(|path| sources.of(path)).collect();
        let mut found: HashMap<&RepoPath, Vec<Leaf>> = HashMap::new();
        for (manifest, part) in &self.parents {
            let has = wanted.iter().filter_map(|path| Some((*path, part.source(path.as_str())?)));
            let has: Vec<(&RepoPath, String)> = has.collect();
            let leaves = manifest.find_each(has.iter().map(|(_, source)| source.as_str()))?;
            for ((path, _), leaf) in has.into_iter().zip(leaves) {
                found.entry(path).or_default().extend(leaf);
            }
        }
        let of = |path: &RepoPath| found.get(sources.of(path)).cloned().unwrap_or_default();
        Ok(paths.into_iter().map(|path| (path.clone(), of(path))).collect())
    }
}

/// Where what stands at a path comes from: the path in conflict that it was put beside, or the path itself.
struct Sources<'l>([&'l Layout; 2]);

impl Sources<'_> {
    fn of<'p>(&'p self, path: &'p RepoPath) -> &'p RepoPath {
        self.0.iter().find_map(|layout| layout.beside.get(path)).unwrap_or(path)
    }
}

impl Engine {
    /// Brings the folder from one layout to another. Gives where unsaved bytes were put, too.
    pub(super) fn lay(
        &self,
        open: &OpenMerge<'_>,
        was: &Layout,
        goal: &Layout,
        extent: Extent<'_>,
        unsaved: Unsaved,
    ) -> Result<(Switched, Vec<String>)> {
        let workspace = open.workspace;
        let root = workspace.control.root();
        let base = workspace.manifest()?;
        let mut compared = self.compare(workspace, base)?;
        let sources = Sources([was, goal]);
        let also: HashSet<&str> = match extent {
            Extent::Whole => HashSet::new(),
            Extent::Differing(also) => also.iter().map(RepoPath::as_str).collect(),
        };
        let is_sought = |path: &RepoPath| match extent {
            Extent::Whole => true,
            Extent::Differing(_) => also.contains(path.as_str()) || folders_above(path).any(|it| also.contains(it)),
        };
        let mut below = Vec::new();
        if let (Extent::Differing(also), Some(base)) = (extent, base) {
            for leaf in also.iter().flat_map(|place| base.entries(place.as_str())) {
                below.push(leaf?.path);
            }
        }
        let in_conflict = was.conflicts.iter().chain(&goal.conflicts).map(|conflict| &conflict.path);
        let mut domain: BTreeSet<&RepoPath> =
            was.steps.keys().chain(goal.steps.keys()).chain(in_conflict).chain(&below).collect();
        // What people made of a path in conflict is theirs.
        let by_hand = goal.conflicts.iter().filter(|conflict| conflict.choice == Choice::ByHand);
        by_hand.for_each(|conflict| {
            domain.remove(&conflict.path);
        });
        let at_base = match base {
            Some(base) => base.find_each(domain.iter().map(|path| path.as_str()))?,
            None => vec![None; domain.len()],
        };
        let staged = workspace.control.staged()?;
        let mut steps = Vec::new();
        let mut from_base = HashMap::new();
        for (path, leaf) in domain.iter().zip(at_base) {
            let of = |layout: &Layout| match layout.steps.get(*path) {
                Some(entry) => entry.clone(),
                None => leaf.as_ref().map(|leaf| leaf.entry.clone()),
            };
            let (before, after) = (of(was), of(goal));
            // What was put beside and is chosen by its own name stays.
            let is_kept = after.is_none() && was.beside.contains_key(*path) && staged.contains(*path);
            if !is_kept && (is_sought(path) || before != after) {
                steps.push(Change { path: (*path).clone(), before, after });
            }
            from_base.extend(leaf.map(|leaf| ((*path).clone(), leaf)));
        }
        let at_parents = open.at_parents(steps.iter().map(|step| &step.path), &sources)?;
        let open_paths = goal.conflicts.iter().filter(|conflict| conflict.choice == Choice::Fail);
        let open_paths: BTreeSet<&RepoPath> = open_paths.map(|conflict| &conflict.path).collect();
        let mut edited: BTreeSet<&RepoPath> = BTreeSet::new();
        let (mut aside, mut local) = (BTreeSet::new(), Vec::new());
        let mut found: HashMap<&RepoPath, Option<Entry>> = HashMap::new();
        let coming = steps.iter().filter(|step| unsaved == Unsaved::SetAside && step.after.is_some());
        let coming: HashMap<&str, &RepoPath> = coming.map(|step| (step.path.as_str(), &step.path)).collect();
        let blocked = |path: &RepoPath| folders_above(path).find_map(|folder| coming.get(folder).copied());
        for change in &compared.comparison.changes {
            match self.held_by_a_parent(workspace, change, at_parents.get(&change.path))? {
                Some(entry) => drop(found.insert(&change.path, entry)),
                None if unsaved == Unsaved::SetAside && at_parents.contains_key(&change.path) => {
                    aside.insert(change.path.clone());
                    found.insert(&change.path, None);
                }
                // A folder stands where a file is to come back: all of it goes.
                None if blocked(&change.path).is_some() => aside.extend(blocked(&change.path).cloned()),
                None if open_paths.contains(&change.path) => {
                    edited.insert(&change.path);
                }
                None => local.push(change.clone()),
            }
        }
        steps.retain(|step| !edited.contains(&step.path));
        for step in &mut steps {
            if let Some(entry) = found.get(&step.path) {
                step.before.clone_from(entry);
            } else if is_sought(&step.path) {
                step.before = from_base.get(&step.path).map(|leaf| leaf.entry.clone());
            }
        }
        let is_there =
            |step: &Change| step.before.as_ref().map(|it| &it.kind) == step.after.as_ref().map(|it| &it.kind);
        // What is neither the base's nor was seen to be ours is an ignored file: no version holds it.
        let is_unseen = |step: &Change| {
            step.after.is_none() && !found.contains_key(&step.path) && !from_base.contains_key(&step.path)
        };
        // What was edited isn't there, though the base has it.
        let unsaved_paths: HashSet<&RepoPath> = local.iter().map(|change| &change.path).collect();
        let is_edited = |step: &Change| matches!(extent, Extent::Differing(_)) && unsaved_paths.contains(&step.path);
        steps.retain(|step| (!is_there(step) || is_edited(step)) && !is_unseen(step));
        // First all that can fail, then what is set aside, then what comes to those places.
        let (freed, steps): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| aside.contains(&step.path));
        let (gone, mut come): (Vec<_>, Vec<_>) =
            self.open_steps(workspace, &local, steps)?.into_iter().partition(|step| step.after.is_none());
        for step in &gone {
            remove_with_empty_folders(root, step.path.as_str())?;
        }
        let kept = aside.iter().map(|path| set_aside(root, path)).collect::<Result<Vec<_>>>()?;
        come.extend(freed.into_iter().filter(|step| step.after.is_some()));
        self.observer.tell(Event::Phase("writing"));
        let leaf = |step: &Change| {
            let entry = step.after.clone()?;
            let known = at_parents.get(&step.path).into_iter().flatten().chain(from_base.get(&step.path));
            let place = known.filter(|leaf| leaf.entry.kind == entry.kind).find_map(|leaf| leaf.place);
            Some(Ok(Leaf { path: step.path.clone(), entry, place }))
        };
        let leaves: Vec<Result<Leaf>> = come.iter().filter_map(leaf).collect();
        let written = self.write_leaves(workspace, leaves.into_iter())?;
        let switched = Switched {
            purged: Vec::new(),
            branch: workspace.state.branch.clone(),
            version: workspace.state.base.unwrap_or_default(),
            version_name: None,
            made_from: None,
            written: written.len() as u64,
            removed: gone.len() as u64,
        };
        self.remember(&mut compared, written)?;
        Ok((switched, kept))
    }

    /// What stands at a changed path, where a parent of the merge has the same; `None` where no version may hold it.
    fn held_by_a_parent(
        &self,
        workspace: &Workspace,
        change: &LocalChange,
        leaves: Option<&Vec<Leaf>>,
    ) -> Result<Option<Option<Entry>>> {
        if leaves.is_some() && change.after.is_none() {
            return Ok(Some(None));
        }
        for leaf in leaves.into_iter().flatten() {
            if self.is_already(workspace, change, Some(&leaf.entry))? {
                return Ok(Some(Some(leaf.entry.clone())));
            }
        }
        Ok(None)
    }

    /// Whether all of the changes are what parents of the merge have at those paths, or is the first that isn't.
    pub(super) fn first_unsaved(
        &self,
        open: &OpenMerge<'_>,
        layout: &Layout,
        changes: &[&LocalChange],
    ) -> Result<Option<RepoPath>> {
        let at_parents = open.at_parents(changes.iter().map(|change| &change.path), &Sources([layout, layout]))?;
        for change in changes {
            if self.held_by_a_parent(open.workspace, change, at_parents.get(&change.path))?.is_none() {
                return Ok(Some(change.path.clone()));
            }
        }
        Ok(None)
    }
}

/// Makes the edits of a commit those of a merge: entries that are as it laid them have the attributes that it gave them.
///
/// `changed` are the paths at which the folder isn't as the base.
pub(in crate::engine) fn with_attributes(
    edits: &mut Edits,
    merged: &BTreeMap<RepoPath, Option<Entry>>,
    changed: &HashSet<RepoPath>,
    base: Option<Manifest<'_>>,
) -> Result<()> {
    for (path, entry) in edits.iter_mut() {
        let Some(Some(merged)) = merged.get(path) else { continue };
        if entry.as_ref().is_some_and(|entry| entry.kind == merged.kind) {
            *entry = Some(merged.clone());
        }
    }
    let Some(base) = base else { return Ok(()) };
    let unchanged: Vec<(&RepoPath, &Entry)> = merged
        .iter()
        .filter_map(|(path, entry)| Some((path, entry.as_ref()?)))
        .filter(|(path, _)| !changed.contains(*path))
        .collect();
    let before = base.find_each(unchanged.iter().map(|(path, _)| path.as_str()))?;
    for ((path, entry), leaf) in unchanged.into_iter().zip(before) {
        if leaf.is_some_and(|leaf| leaf.entry.kind == entry.kind && leaf.entry.attrs != entry.attrs) {
            edits.push((path.clone(), Some(entry.clone())));
        }
    }
    edits.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(())
}

/// The folders that a path lies in, outermost first.
fn folders_above(path: &RepoPath) -> impl Iterator<Item = &str> {
    path.as_str().match_indices('/').map(|(at, _)| &path.as_str()[..at])
}

/// Renames what stands at a path to a name that nothing has.
fn set_aside(root: &Path, path: &RepoPath) -> Result<String> {
    let text = path.as_str();
    let (folder, name) = text.rsplit_once('/').map_or(("", text), |(folder, name)| (folder, name));
    let (stem, ending) = match name.rfind('.').filter(|at| *at > 0) {
        Some(at) => name.split_at(at),
        None => (name, ""),
    };
    let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut number = 1u64;
    loop {
        let count = if number == 1 { String::new() } else { format!("-{number}") };
        let free = format!("{folder}{stem}.unsaved{count}{ending}");
        if root.join(&free).symlink_metadata().is_err() {
            rename(&root.join(text), &root.join(&free))?;
            return Ok(free);
        }
        number += 1;
    }
}
