//! The parents of a merge: which versions are meant, which of them add something, and how they descend from each other.

use crate::base::{BranchName, DatasetName, Error, Event, Id, Result};
use crate::flow::merge::plan;
use crate::format::manifest::Entry;
use crate::history::bases::{lineage, outrun};
use crate::history::fold::{Fold, VersionState};
use crate::history::refs;
use crate::store::content::Content;
use crate::tree::manifest::Manifest;
use crate::tree::merge::Lineage;
use crate::tree::resolve::{Choices, Head, Plan};

use super::super::open::Target;
use super::super::{Address, Engine, Location, RefExpr};
use super::MergeParent;

/// Longest role of a parent, in bytes (docs/format.md §10).
const MAX_ROLE: usize = 255;

/// The versions that a merge is about: its parents first, then what they came from.
pub(super) struct Ancestry {
    states: Vec<VersionState>,
    pub(super) lineage: Lineage,
    heads: Vec<Head>,
}

impl Ancestry {
    /// `used` are the parents that add something, in their order.
    pub(super) fn of(target: &Target, used: &[MergeParent]) -> Result<Ancestry> {
        let ids: Vec<Id> = used.iter().map(|parent| parent.version).collect();
        let (versions, lineage) = lineage(target.store.timeline.fold(), &ids);
        let states = versions.iter().map(|id| known_version(target, id).cloned()).collect::<Result<Vec<_>>>()?;
        let head = |(parent, state): (&MergeParent, &VersionState)| Head {
            word: parent.reference.clone(),
            time: state.row.time.0,
        };
        let heads = used.iter().zip(&states).map(head).collect();
        Ok(Ancestry { states, lineage, heads })
    }

    /// The manifests of all versions.
    pub(super) fn manifests<'c>(&self, content: &'c Content) -> Vec<Manifest<'c>> {
        let manifest =
            |state: &VersionState| Manifest::new(content, state.row.manifest, Some(state.row.manifest_place));
        self.states.iter().map(manifest).collect()
    }

    /// What all versions have at a path.
    pub(super) fn values_at(&self, content: &Content, path: &str) -> Result<Vec<Option<Entry>>> {
        let values =
            self.manifests(content).into_iter().map(|manifest| Ok(manifest.find(path)?.map(|leaf| leaf.entry)));
        values.collect()
    }

    /// What the parents come to, as edits of the first one.
    pub(super) fn plan(&self, engine: &Engine, manifests: &[Manifest<'_>], choices: &Choices) -> Result<Plan> {
        engine.observer.tell(Event::Phase("comparing"));
        plan(manifests, &self.lineage, &self.heads, choices)
    }
}

impl Engine {
    /// A parent that the user named, in the target's store.
    pub(super) fn parent(&self, target: &Target, address: &Address) -> Result<MergeParent> {
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
                .hint(format!(
                    "in a workspace of {}, `dagset remote add NAME {}` and `dagset fetch NAME` bring its versions there; then `dagset merge NAME/main`",
                    target.dataset, text
                )));
        }
        self.dataset_meant(&text, rest)
    }
}

pub(super) fn no_parents() -> Error {
    Error::usage("there is nothing to merge").hint("name versions: dagset merge REF…")
}

/// All parents to tell of, and those that add something, with the branch's head as the first where it is to be one.
pub(super) fn parents_of(
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

pub(super) fn known_version<'t>(target: &'t Target, id: &Id) -> Result<&'t VersionState> {
    target.store.timeline.fold().version(id).ok_or_else(|| {
        Error::not_found(format!("version {}, from which others came, isn't in {}", id.short(), target.store.root))
            .hint("`dagset fetch` or `dagset push` brings a whole history")
    })
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
