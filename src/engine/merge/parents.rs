//! The parents of a merge: which versions are meant, which of them add something, and how they descend from each other.

use std::collections::{HashMap, HashSet};

use crate::base::{BranchName, DatasetName, Error, Event, Id, Kind, Result};
use crate::flow::merge::{Region, Regions, Tree, plan};
use crate::history::bases::{self, Graph};
use crate::history::fold::VersionState;
use crate::history::gaps::Gap;
use crate::history::refs;
use crate::store::content::Content;
use crate::tree::manifest::Manifest;
use crate::tree::part::Part;
use crate::tree::resolve::{Choices, Head, Plan};

use super::super::open::Target;
use super::super::{Address, Engine, Location, RefExpr};
use super::MergeParent;
use super::parts::part_of;

/// Longest role of a parent, in bytes (docs/format.md §10).
const MAX_ROLE: usize = 255;
const MERGE_ANYWAY: &str = "with --allow-missing it is merged all the same, and what one side deleted may come back";

/// What a merge is about: its parents, and what they came from.
pub(super) struct Ancestry {
    regions: Vec<bases::Region>,
    gap: Option<Gap>,
    one_sided: Option<Gap>,
    states: HashMap<Id, VersionState>,
    heads: Vec<Head>,
}

impl Ancestry {
    /// `used` are the parents that add something, in their order.
    pub(super) fn of(engine: &Engine, target: &Target, used: &[MergeParent]) -> Result<Ancestry> {
        let parts = engine.parts_before(target, used.iter().map(|parent| parent.version))?;
        let graph = Graph { fold: target.store.timeline.fold(), parts: &parts };
        let heads: Vec<(Id, Part)> = used.iter().map(|parent| (parent.version, parent.part.clone())).collect();
        let regions = graph.regions(&heads);
        let gap = graph.gap(&regions);
        let one_sided = if gap.is_none() { graph.one_sided(&regions) } else { None };
        let nodes = regions.iter().flat_map(|region| region.nodes.iter().flatten());
        let versions: HashSet<Id> = nodes.map(|node| node.version).chain(heads.iter().map(|(id, _)| *id)).collect();
        let states = versions.into_iter().map(|id| Ok((id, known_version(target, &id)?.clone())));
        let states: HashMap<Id, VersionState> = states.collect::<Result<_>>()?;
        let head =
            |parent: &MergeParent| Head { word: parent.word().to_owned(), time: states[&parent.version].row.time.0 };
        let heads = used.iter().map(head).collect();
        Ok(Ancestry { regions, gap, one_sided, states, heads })
    }

    /// What stands against judging the parents, where the store doesn't tell what they have in common.
    pub(super) fn gap(&self, engine: &Engine, target: &Target) -> Result<Option<Error>> {
        let Some(gap) = self.gap else { return Ok(None) };
        let Missing { words, dataset, deletion } = Missing::of(gap, engine, target)?;
        let fault = Error::conflict(format!("what the parents have in common can't be told: {words}"));
        Ok(Some(fault.hint(match deletion {
            Some(record) => {
                format!("`dagset undo {} {record}` brings {dataset} back; {MERGE_ANYWAY}", target.store.root)
            }
            None => format!(
                "`dagset remote add NAME STORE/{dataset}` and `dagset fetch NAME`, in a workspace, bring it from a store that has it; {MERGE_ANYWAY}"
            ),
        })))
    }

    /// What is to be said where one parent alone came from a version that the store lacks: the merge is right by what is known.
    pub(super) fn warning(&self, engine: &Engine, target: &Target) -> Result<Option<String>> {
        let Some(gap) = self.one_sided else { return Ok(None) };
        Ok(Some(format!("merged by what this store knows: {}", Missing::of(gap, engine, target)?.words)))
    }

    /// The manifest of one of the versions.
    pub(super) fn manifest<'c>(&self, content: &'c Content, version: &Id) -> Manifest<'c> {
        let row = &self.states[version].row;
        Manifest::new(content, row.manifest, Some(row.manifest_place))
    }

    pub(super) fn regions<'c>(&self, content: &'c Content) -> Regions<'c> {
        let tree =
            |node: &bases::Node| Tree { manifest: self.manifest(content, &node.version), folder: node.folder.clone() };
        let region = |region: &bases::Region| Region {
            folder: region.folder.clone(),
            lineage: region.lineage.clone(),
            trees: region.nodes.iter().map(|node| node.as_ref().map(tree)).collect(),
        };
        Regions(self.regions.iter().map(region).collect())
    }

    /// What the parents come to, as edits of the first one.
    pub(super) fn plan(&self, engine: &Engine, content: &Content, choices: &Choices) -> Result<Plan> {
        engine.observer.tell(Event::Phase("comparing"));
        plan(&self.regions(content), &self.heads, choices)
    }
}

/// A missing version in words.
struct Missing {
    /// What it is, and why it is missing.
    words: String,
    /// The dataset that it was of, as far as that is known.
    dataset: String,
    /// The record that deleted that.
    deletion: Option<u64>,
}

impl Missing {
    fn of(Gap { parent, child }: Gap, engine: &Engine, target: &Target) -> Result<Missing> {
        let state = known_version(target, &child)?;
        let record = engine.version_records(&target.store, &[state])?.remove(0);
        let role = record.parents.into_iter().find(|known| known.id == parent).map(|known| known.role);
        let role = role.filter(|role| !role.is_empty());
        let called = role.as_ref().map_or_else(|| parent.short(), |role| format!("{} ({role})", parent.short()));
        let which = format!("{called}, from which {} was made,", child.short());
        Ok(match target.store.timeline.fold().deletion_with(&parent) {
            Some((record, dataset)) => Missing {
                words: format!("{which} went with {dataset}, deleted by record {record}"),
                dataset: dataset.to_string(),
                deletion: Some(record),
            },
            None => Missing {
                words: format!("{which} isn't in this store"),
                dataset: role.as_deref().and_then(|it| it.split_once('@')).map_or("DATASET", |(it, _)| it).to_owned(),
                deletion: None,
            },
        })
    }
}

impl Engine {
    /// A parent that the user named, in the target's store; the folder of a part may be gone where it was merged before.
    pub(super) fn parent(&self, target: &Target, address: &Address, is_recorded: bool) -> Result<MergeParent> {
        let dataset = self.dataset_of(target, address)?;
        let default = match address.location {
            Location::Here => target.default_reference.as_str(),
            _ => refs::DEFAULT_BRANCH,
        };
        let reference = address.reference.clone().map_or_else(|| RefExpr::parse(default), Ok)?;
        let fold = target.store.timeline.fold();
        let known = fold.dataset(&dataset)?;
        let version = refs::resolve(fold, &dataset, &reference, default)?;
        let version_name = known.name_of(&version).cloned();
        let full = format!("{dataset}@{reference}");
        let reference = if dataset == target.dataset { reference.to_string() } else { full.clone() };
        let mut parent = MergeParent { reference, version, version_name, part: Part::default(), adds_nothing: false };
        if let Some(path) = address.path.as_deref().filter(|path| !path.is_empty()) {
            let shown = format!("{}//{full}", target.store.root.trim_end_matches('/'));
            let part = Part::parse(path)?;
            // By the version: one of a copy of this dataset is this one's too, and nobody could tell later that only a part was taken.
            if target.dataset()?.versions.contains_key(&version) {
                let message = format!("{}:{path} is a part of a version of {}", parent.reference, target.dataset);
                return Err(Error::usage(message).hint(format!(
                    "of the dataset that is merged into, whole versions are merged: leave out what follows the colon; `dagset get '{shown}:{}' DIR` takes files out of one",
                    part.from()
                )));
            }
            let manifest = target.store.manifest(known_version(target, &version)?);
            parent.part = match part_of(part.clone(), &shown, &manifest) {
                Err(fault) if is_recorded && fault.kind() == Kind::NotFound => {
                    let told = format!("{fault} any more: what came from it is deleted here, unless it was changed");
                    self.observer.tell(Event::Warning(told));
                    part
                }
                found => found?,
            };
        }
        if !parent.part.is_whole() {
            parent.reference = format!("{}:{}", parent.reference, parent.part);
        }
        Ok(parent)
    }

    /// The dataset of an address, which must be in the target's store.
    fn dataset_of(&self, target: &Target, address: &Address) -> Result<DatasetName> {
        let text = self.location_text(address)?;
        let below = text.strip_prefix(&target.store.root).filter(|rest| rest.starts_with('/'));
        let known = below.and_then(|rest| DatasetName::new(rest.trim_start_matches('/')).ok());
        if let Some(known) = known.filter(|known| target.store.timeline.fold().datasets.contains_key(known)) {
            return Ok(known);
        }
        let (other, rest) = self.open_store_around(&text)?;
        if other.file.store != target.store.file.store {
            let there = rest.as_deref().map_or("DATASET", |rest| rest.rsplit('/').next().unwrap_or(rest));
            return Err(Error::usage(format!("{} is another store than {}", other.root, target.store.root))
                .hint(format!(
                    "`dagset dataset copy {text} {}//{there}` brings its versions here, to be merged as {there}@REF; in a workspace of {}, `dagset remote add NAME {text}` and `dagset fetch NAME` do, and then `dagset merge NAME/main`",
                    target.store.root.trim_end_matches('/'), target.dataset
                )));
        }
        self.dataset_meant(&text, rest)
    }
}

pub(super) fn no_parents() -> Error {
    Error::usage("there is nothing to merge").hint("name versions: dagset merge REF…")
}

impl Engine {
    /// All parents to tell of, and those that add something, with the branch's head as the first where it is to be one.
    pub(super) fn parents_of(
        &self,
        target: &Target,
        asked: Vec<MergeParent>,
        branch: &BranchName,
        head: Option<Id>,
    ) -> Result<(Vec<MergeParent>, Vec<MergeParent>)> {
        let fold = target.store.timeline.fold();
        let mut all = asked;
        let named = |id: &Id| all.iter().any(|parent| parent.version == *id && parent.part.is_whole());
        let is_implied = head.is_some_and(|head| !named(&head));
        if let Some(version) = head.filter(|_| is_implied) {
            let version_name = fold.datasets.values().find_map(|dataset| dataset.name_of(&version).cloned());
            let reference = branch.to_string();
            let head = MergeParent { reference, version, version_name, part: Part::default(), adds_nothing: false };
            all.insert(0, head);
        }
        let mut taken: Vec<(Id, Part)> = Vec::new();
        for parent in &mut all {
            let head = (parent.version, parent.part.clone());
            match taken.contains(&head) {
                true => parent.adds_nothing = true,
                false => taken.push(head),
            }
        }
        let parts = self.parts_before(target, taken.iter().map(|(version, _)| *version))?;
        let outrun = Graph { fold, parts: &parts }.outrun(&taken);
        for ((version, part), is_outrun) in taken.iter().zip(outrun) {
            let those = all.iter_mut().filter(|parent| parent.version == *version && parent.part == *part);
            those.for_each(|parent| parent.adds_nothing |= is_outrun);
        }
        if is_implied && all[0].adds_nothing {
            all.remove(0);
        }
        let used: Vec<MergeParent> = all.iter().filter(|parent| !parent.adds_nothing).cloned().collect();
        refuse_as_parents(&used)?;
        Ok((all, used))
    }
}

/// A version is one parent, and the first is what the others are merged into.
fn refuse_as_parents(used: &[MergeParent]) -> Result<()> {
    if let Some(first) = used.first().filter(|first| !first.part.is_whole()) {
        return Err(Error::usage(format!(
            "{} is a part, and the first parent must be a whole version",
            first.reference
        ))
        .hint("name a branch that has versions, or a whole version first"));
    }
    let twice = |(at, parent): (usize, &MergeParent)| used[..at].iter().any(|other| other.version == parent.version);
    match used.iter().enumerate().find(|(at, parent)| twice((*at, parent))) {
        None => Ok(()),
        Some((_, parent)) => {
            Err(Error::usage(format!("{} is of a version that is a parent already", parent.reference))
                .hint("merge one part of a version after the other"))
        }
    }
}

pub(super) fn known_version<'t>(target: &'t Target, id: &Id) -> Result<&'t VersionState> {
    target.version_state(id)
}

pub(super) fn message(used: &[MergeParent], branch: &BranchName) -> String {
    let others = used.iter().filter(|parent| parent.reference != branch.as_str());
    let others: Vec<_> = others.map(|parent| parent.reference.as_str()).collect();
    format!("merge {} into {branch}", others.join(", "))
}

pub(super) fn role(reference: &str) -> String {
    let end = (0..=reference.len().min(MAX_ROLE)).rev().find(|at| reference.is_char_boundary(*at)).unwrap_or(0);
    reference[..end].to_owned()
}
