//! What the keep rules of a store's datasets come to: the rules are in the fold, what time is new by them and what is used are asked of the store.

use std::collections::{BTreeMap, HashSet};

use crate::base::{DatasetName, Event, Id, Result};
use crate::history::alive::Grace;
use crate::history::keep::{Keeping, Rules, kept_contents};
use crate::history::timeline::Timeline;
use crate::store::uses;

use super::{Collector, clock};

impl Collector<'_> {
    /// The versions whose content stays: by the rules of all datasets, and by those of the dataset that is collected.
    pub(super) fn kept_contents(&self, timeline: &Timeline, grace: Grace<'_>) -> Result<(HashSet<Id>, HashSet<Id>)> {
        let mut keeping = self.keeping(timeline)?;
        let used = match keeping.is_empty() {
            true => HashSet::new(),
            false => uses::used_versions(timeline.bucket())?,
        };
        let by_all = kept_contents(timeline.fold(), grace, &keeping, &used);
        keeping.retain(|name, _| self.only.as_ref().is_none_or(|only| only == name));
        let kept = kept_contents(timeline.fold(), grace, &keeping, &used);
        Ok((by_all, kept))
    }

    /// Whether a use names any of these versions by now, and rules keep it for that; a list, where rules do.
    pub(super) fn is_used(&self, timeline: &Timeline, versions: &[Id]) -> Result<bool> {
        let datasets = &timeline.fold().datasets;
        let keeping = datasets.iter().filter(|(name, dataset)| {
            versions.iter().any(|id| dataset.versions.contains_key(id))
                && Rules::of(name, dataset).is_ok_and(|rules| rules.is_some_and(|rules| rules.used))
        });
        let keeping: Vec<_> = keeping.map(|(_, dataset)| dataset).collect();
        if keeping.is_empty() {
            return Ok(false);
        }
        let used = uses::used_versions(timeline.bucket())?;
        let is_kept = |id: &Id| used.contains(id) && keeping.iter().any(|dataset| dataset.versions.contains_key(id));
        Ok(versions.iter().any(is_kept))
    }

    fn keeping(&self, timeline: &Timeline) -> Result<BTreeMap<DatasetName, Keeping>> {
        let fold = timeline.fold();
        let mut keeping = BTreeMap::new();
        for (name, dataset) in &fold.datasets {
            let rules = Rules::of(name, dataset).unwrap_or_else(|fault| {
                let told = format!("{}: all its versions keep their content", fault.in_one_line());
                self.observer.tell(Event::Warning(told));
                None
            });
            let Some(rules) = rules else { continue };
            let since =
                |newer| clock::newest_record_before(timeline.bucket(), fold.number, clock::before(self.now, newer));
            let old = rules.newer.map(since).transpose()?;
            keeping.insert(name.clone(), Keeping { rules, old });
        }
        Ok(keeping)
    }
}
