//! Versions whose content keep rules let go: what is asked of them that needs it is refused, with what still helps.

use std::collections::{HashSet, VecDeque};

use crate::base::words::{counted, first_of};
use crate::base::{DatasetName, Error, Event, Id, Kind, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::flow::gc::needs::Needs;
use crate::format::manifest::EntryKind;
use crate::history::dag::ancestry;
use crate::history::fold::{Dataset, Fold, LetGo, VersionState};
use crate::tree::diff::Change;

use super::Engine;
use super::open::{OpenStore, Target};
use super::workspace::Workspace;

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

    /// Refuses steps that take files from the folder whose content is nowhere else: a store from which it was borrowed let it go.
    ///
    /// No store is asked that isn't read for the steps anyway, and where one can't be reached nothing is refused.
    pub(super) fn refuse_last_copies(&self, workspace: &Workspace, steps: &[Change]) -> Result<()> {
        let content = &workspace.target.store.content;
        let taken = steps.iter().filter_map(|step| match step.before.as_ref().map(|entry| &entry.kind) {
            Some(EntryKind::File { size, content, .. }) if *size > 0 => Some((&step.path, *content, *size)),
            _ => None,
        });
        let mut lent = Vec::new();
        for (path, id, size) in taken.filter(|_| content.borrows()) {
            if size > SMALL_FILE || !content.has_chunk(&id)? {
                lent.push((path, id, size));
            }
        }
        if lent.is_empty() || !self.rests_on_let_go(workspace)? {
            return Ok(());
        }
        let mut last = Vec::new();
        for (path, id, size) in lent {
            let mut is_whole = true;
            Needs::default().of_content(content, &id, size, &mut |id, kind| {
                let is_somewhere = content.has(&id, kind)? || content.can_borrow(&id, kind)?;
                is_whole &= is_somewhere;
                Ok(is_somewhere)
            })?;
            last.extend((!is_whole).then(|| path.to_string()));
        }
        if last.is_empty() {
            return Ok(());
        }
        let have = counted(last.len(), "path has", "paths have");
        let folder = workspace.control.root().display();
        let message =
            format!("{have} content that only this folder holds, since keep rules let it go:{}", first_of(&last));
        Err(Error::conflict(message).hint(format!(
            "`dagset verify {folder} --repair-from {folder}` stores it anew; then run the command again"
        )))
    }

    /// Whether the version that the workspace stands on, or what it was made of since the last fetch, is one whose content a lender let go.
    fn rests_on_let_go(&self, workspace: &Workspace) -> Result<bool> {
        let target = &workspace.target;
        let let_go = target.store.content.let_go_by_lenders();
        if let_go.is_empty() {
            return Ok(false);
        }
        let dataset = target.dataset()?;
        let followed = dataset.branches.iter().filter(|(branch, _)| self.follows_a_remote(branch));
        let heads: Vec<Id> = followed.map(|(_, head)| *head).collect();
        // What is whole over there needs nothing of what is before it.
        let fetched: HashSet<Id> = ancestry(dataset, &heads).iter().map(|state| state.row.version).collect();
        let mut open: Vec<Id> = workspace.state.base.into_iter().collect();
        let mut met: HashSet<Id> = open.iter().copied().collect();
        while let Some(next) = open.pop() {
            if let_go.contains(&next) {
                return Ok(true);
            }
            let parents = dataset.versions.get(&next).filter(|_| !fetched.contains(&next)).into_iter();
            open.extend(parents.flat_map(|it| &it.row.parents).filter(|parent| met.insert(**parent)));
        }
        Ok(false)
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
