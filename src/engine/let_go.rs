//! Versions whose content keep rules let go: what is asked of them that needs it is refused, with what still helps.

use std::collections::{HashSet, VecDeque};

use crate::base::{DatasetName, Error, Event, Id, Kind, Result};
use crate::history::fold::{Dataset, Fold, LetGo, VersionState};

use super::Engine;
use super::open::{OpenStore, Target};

impl Target {
    /// The version that the address means, to be read.
    ///
    /// Errors: beside those of [`Target::version`], those of [`Target::check_content`].
    pub fn readable(&self) -> Result<&VersionState> {
        let state = self.version()?;
        self.check_content(&state.row.version)?;
        Ok(state)
    }

    /// Errors: [`Kind::NotFound`] where keep rules let the content of a version go; it says when, and by which record.
    pub fn check_content(&self, id: &Id) -> Result<()> {
        let fold = self.store.timeline.fold();
        match fold.let_go.get(id) {
            None => Ok(()),
            Some(let_go) => Err(gone(fold, self.home_of(id)?, id, let_go, "here", &self.store.root)),
        }
    }
}

impl Engine {
    /// Has a fault about the content of a version say that a store from which it is borrowed let it go, where that is so. Only then are those
    /// stores asked.
    pub(super) fn or_let_go<T>(&self, target: &Target, id: &Id, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|fault| match fault.kind() {
            Kind::Damaged => self.let_go_by_lender(target, id).unwrap_or(fault),
            _ => fault,
        })
    }

    /// Says of the version that the workspace stands on where a store from which its content is borrowed let that go: the folder may be the last to have it.
    pub(super) fn warn_of_let_go(&self, target: &Target, lender: &OpenStore) -> Result<()> {
        let workspace = self.find_workspace()?;
        let base = workspace.state()?.base;
        if let Some(fault) = base.and_then(|base| let_go_by(target, &base, lender)) {
            let told = fault.in_one_line();
            let folder = workspace.root().display();
            self.observer.tell(Event::Warning(format!(
                "{told}; `dagset verify {folder} --repair-from {folder}` stores the files anew that stand in the folder, before others take their place"
            )));
        }
        Ok(())
    }

    fn let_go_by_lender(&self, target: &Target, id: &Id) -> Option<Error> {
        let lending = self.lending(&target.store.root).ok()??;
        let lenders = lending.remotes.into_iter().filter_map(|(_, url)| lending.engine.open_store(&url).ok());
        lenders.into_iter().find_map(|(lender, _)| let_go_by(target, id, &lender))
    }
}

/// Why a store from which content is borrowed lacks that of a version: its keep rules let it go, or that of a version from which it was taken over.
pub(super) fn let_go_by(target: &Target, id: &Id, lender: &OpenStore) -> Option<Error> {
    let (fold, far) = (target.store.timeline.fold(), lender.timeline.fold());
    let (mut open, mut met) = (VecDeque::from([*id]), HashSet::from([*id]));
    let found = loop {
        let next = open.pop_front()?;
        if far.let_go.contains_key(&next) {
            break next;
        }
        // What is whole over there needs nothing of what is before it.
        let parents =
            fold.version(&next).filter(|_| !far.has_version(&next)).into_iter().flat_map(|it| &it.row.parents);
        open.extend(parents.filter(|parent| met.insert(**parent)));
    };
    let home = far.home_of(&found, &target.dataset)?;
    let place = format!("at {}", lender.root);
    let fault = gone(far, home, &found, far.let_go.get(&found)?, &place, &lender.root);
    if found == *id {
        return Some(fault);
    }
    let message = format!("version {} takes content over that is nowhere", id.short());
    let root = &target.store.root;
    Some(fault.within(message).hint(format!(
        "`dagset verify {root} --repair-from FOLDER`, with the folder of a workspace that has the files, stores them anew; then run the command again"
    )))
}

fn gone(
    fold: &Fold,
    (home, dataset): (&DatasetName, &Dataset),
    id: &Id,
    LetGo { record, time }: &LetGo,
    place: &str,
    root: &str,
) -> Error {
    let called = dataset.called(id);
    let root = root.trim_end_matches('/');
    let fault = Error::not_found(format!(
        "the content of {home}@{called} isn't {place} any more: keep rules let it go, record {record} of the log, {time}"
    ));
    fault.hint(match fold.newest_kept_after(dataset, id) {
        Some(next) => {
            let next = dataset.called(&next);
            format!("the newest version that came of it and has content is {next}: `dagset get {root}//{home}@{next} DIR`; another store may have {called} whole")
        }
        None => format!("another store may have it whole; `dagset log {root}//{home}` marks the versions without content"),
    })
}
