//! `list`: the datasets of a store, which of them, and in which order.
//!
//! All that is shown and asked stands in the fold, so a list costs what opening the store costs, however many datasets there are; but the
//! author of a version stands in the version: those that a condition depends on are read, together.

use std::cmp::Ordering;

use crate::base::{DatasetName, Id, RefName, Result, Time};
use crate::format::attrs::Attrs;
use crate::format::version::Version;
use crate::history::fold::{Dataset, Fold, LetGo, Tag, VersionState};
use crate::tree::select::Selection;

use super::Engine;
use super::filter::{Facts, Filter};
use super::metadata::{changed_since, set_in_log};
use super::open::OpenStore;

/// A dataset at a glance: what its newest version is and what its publishing has cost.
#[derive(Debug, Clone)]
pub struct DatasetCard {
    pub dataset: String,
    /// The newest version; `None` for a dataset without one.
    pub version: Option<Id>,
    /// That version's name.
    pub name: Option<RefName>,
    /// Keep rules let that version's content go.
    pub let_go: Option<LetGo>,
    pub updated: Time,
    pub versions: u64,
    /// Versions whose content keep rules let go.
    pub versions_let_go: u64,
    /// Of the newest version.
    pub files: u64,
    pub bytes: u64,
    /// The sum of what its publishes wrote.
    pub stored_bytes: u64,
    pub tags: Vec<ListedTag>,
    /// The newest version that is published.
    pub published: Option<ListedVersion>,
    /// The dataset's, and beneath it the newest version's.
    pub meta: Attrs,
}

/// A tag of a listed dataset.
#[derive(Debug, Clone)]
pub struct ListedTag {
    pub tag: RefName,
    pub protected: bool,
    /// Keep rules let the content of the version go that it is at.
    pub let_go: Option<LetGo>,
}

/// A version of a listed dataset.
#[derive(Debug, Clone)]
pub struct ListedVersion {
    pub version: Id,
    pub name: Option<RefName>,
    pub let_go: Option<LetGo>,
}

/// Which datasets are listed, and how.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Patterns of names, any of which is enough; a name without one of `*?[{` means all below it too. None: all.
    pub patterns: Vec<String>,
    /// Tags, all of which must be there.
    pub tags: Vec<String>,
    pub filter: Option<Filter>,
    /// None that was updated before.
    pub updated_since: Option<Time>,
    pub sort: DatasetSort,
    pub reverse: bool,
}

/// What comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DatasetSort {
    Name,
    /// The last that was updated.
    #[default]
    Updated,
    /// The most, or the largest, of each.
    Versions,
    Files,
    Bytes,
    Stored,
}

impl DatasetSort {
    fn compare(self, a: &DatasetCard, b: &DatasetCard) -> Ordering {
        let most_first = match self {
            DatasetSort::Name => Ordering::Equal,
            DatasetSort::Updated => b.updated.cmp(&a.updated),
            DatasetSort::Versions => b.versions.cmp(&a.versions),
            DatasetSort::Files => b.files.cmp(&a.files),
            DatasetSort::Bytes => b.bytes.cmp(&a.bytes),
            DatasetSort::Stored => b.stored_bytes.cmp(&a.stored_bytes),
        };
        most_first.then_with(|| a.dataset.cmp(&b.dataset))
    }
}

impl Engine {
    /// A card for each dataset of a store.
    pub fn list_datasets(&self, store: &str, options: &ListOptions) -> Result<Vec<DatasetCard>> {
        let patterns = Selection::new(&options.patterns)?;
        let open = self.open_whole_store(store)?;
        let datasets = open.timeline.fold().datasets.iter();
        let mut cards: Vec<DatasetCard> = datasets
            .filter(|(name, _)| patterns.matches(name.as_str()))
            .map(|(name, dataset)| card(open.timeline.fold(), name, &open.timeline.fold().listed(dataset)))
            .filter(|card| options.updated_since.is_none_or(|since| card.updated >= since))
            .filter(|card| options.tags.iter().all(|tag| card.tags.iter().any(|known| known.tag.as_str() == tag)))
            .collect();
        if let Some(filter) = &options.filter {
            cards = self.filtered(&open, cards, filter)?;
        }
        cards.sort_by(|a, b| options.sort.compare(a, b));
        if options.reverse {
            cards.reverse();
        }
        Ok(cards)
    }

    /// Those of which the condition holds. What depends on the author is decided by the records of the newest versions, read together.
    fn filtered(&self, open: &OpenStore, cards: Vec<DatasetCard>, filter: &Filter) -> Result<Vec<DatasetCard>> {
        let judged: Vec<_> = cards.into_iter().map(|card| (filter.holds(&facts(&card, None)), card)).collect();
        let fold = open.timeline.fold();
        let is_open = |(holds, card): &&(Option<bool>, DatasetCard)| holds.is_none() && card.version.is_some();
        let versions = judged.iter().filter(is_open).filter_map(|(_, card)| card.version);
        let states: Vec<&VersionState> = versions.filter_map(|id| fold.version(&id)).collect();
        let records = if states.is_empty() { Vec::new() } else { self.version_records(open, &states)? };
        let author = |card: &DatasetCard| {
            let at = states.iter().position(|state| Some(state.row.version) == card.version)?;
            records.get(at).map(|record: &Version| record.author.as_str())
        };
        let holds = |holds: Option<bool>, card: &DatasetCard| {
            // Without a version there is no author.
            holds.unwrap_or_else(|| {
                filter.holds(&facts(card, Some(author(card).unwrap_or_default()))).unwrap_or_default()
            })
        };
        Ok(judged.into_iter().filter_map(|(known, card)| holds(known, &card).then_some(card)).collect())
    }
}

fn card(fold: &Fold, name: &DatasetName, dataset: &Dataset) -> DatasetCard {
    let let_go = |id: &Id| fold.let_go.get(id).copied();
    let newest = dataset.newest();
    // All versions of a copy may have come with one record.
    let age = |state: &VersionState| (state.record, state.row.time);
    let published = dataset.versions.values().filter(|state| state.published).max_by_key(|state| age(state));
    let of_version = changed_since(dataset, newest.map(|state| state.row.version), Attrs::default());
    let tag = |(tag, at): (&RefName, &Tag)| ListedTag {
        tag: tag.clone(),
        protected: at.protected,
        let_go: let_go(&at.version),
    };
    let mut meta = if newest.is_some() { of_version } else { Attrs::default() };
    meta.0.extend(set_in_log(dataset, None).map(|(key, value)| (key.clone(), value.clone())));
    DatasetCard {
        dataset: name.to_string(),
        version: newest.map(|state| state.row.version),
        name: newest.and_then(|state| dataset.name_of(&state.row.version)).cloned(),
        let_go: newest.and_then(|state| let_go(&state.row.version)),
        updated: newest.map_or(dataset.created, |state| state.row.time),
        versions: dataset.versions.len() as u64,
        versions_let_go: dataset.versions.keys().filter(|id| fold.let_go.contains_key(*id)).count() as u64,
        files: newest.map_or(0, |state| state.row.files),
        bytes: newest.map_or(0, |state| state.row.bytes),
        stored_bytes: dataset.versions.values().map(|state| state.row.stored_bytes).sum(),
        tags: dataset.tags.iter().map(tag).collect(),
        published: published.map(|state| ListedVersion {
            version: state.row.version,
            name: dataset.name_of(&state.row.version).cloned(),
            let_go: let_go(&state.row.version),
        }),
        meta,
    }
}

fn facts<'c>(card: &'c DatasetCard, author: Option<&'c str>) -> Facts<'c> {
    Facts {
        dataset: &card.dataset,
        name: card.name.as_ref().map(RefName::as_str),
        author,
        time: card.updated,
        versions: card.versions,
        files: card.files,
        bytes: card.bytes,
        meta: &card.meta,
    }
}
