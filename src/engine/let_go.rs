//! Versions whose content keep rules let go: what is asked of them that needs it is refused, with what still helps.

use std::collections::{BTreeMap, HashSet};

use crate::base::{Error, Id, Result};
use crate::history::fold::{Dataset, Fold, LetGo, VersionState};

use super::open::Target;

impl Target {
    /// The version that the address means, to be read.
    ///
    /// Errors: beside those of [`Target::version`], those of [`Target::check_content`].
    pub fn readable(&self) -> Result<&VersionState> {
        let state = self.version()?;
        self.check_content(&state.row.version)?;
        Ok(state)
    }

    /// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) where keep rules let the content of a version go; it says when, and by which record.
    pub fn check_content(&self, id: &Id) -> Result<()> {
        let fold = self.store.timeline.fold();
        let Some(LetGo { record, time }) = fold.let_go.get(id) else { return Ok(()) };
        let (home, dataset) = self.home_of(id)?;
        let called = dataset.called(id);
        let fault = Error::not_found(format!(
            "the content of {home}@{called} isn't here any more: keep rules let it go, record {record} of the log, {time}"
        ));
        let root = self.store.root.trim_end_matches('/');
        Err(fault.hint(match newest_kept_after(fold, dataset, id) {
            Some(next) => {
                let next = dataset.called(&next);
                format!("the newest version that came of it and has content is {next}: `dagset get {root}//{home}@{next} DIR`; another store may have {called} whole")
            }
            None => format!("another store may have it whole; `dagset log {root}//{home}` marks the versions without content"),
        }))
    }
}

/// The newest version that has the given one in its history, and content that stays.
fn newest_kept_after(fold: &Fold, dataset: &Dataset, id: &Id) -> Option<Id> {
    let mut children: BTreeMap<&Id, Vec<&Id>> = BTreeMap::new();
    for (child, state) in &dataset.versions {
        state.row.parents.iter().for_each(|parent| children.entry(parent).or_default().push(child));
    }
    let (mut open, mut met) = (vec![id], HashSet::from([id]));
    while let Some(next) = open.pop() {
        open.extend(children.get(next).into_iter().flatten().copied().filter(|child| met.insert(child)));
    }
    let kept = met.into_iter().filter(|met| *met != id && fold.lasts(met));
    let states = kept.filter_map(|kept| dataset.versions.get(kept));
    states.max_by_key(|state| (state.record, state.row.time, state.row.version)).map(|state| state.row.version)
}
