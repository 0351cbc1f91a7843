//! Versions that stay without their content, in the fold (docs/format.md §10, codes 24 and 25; the reasons are in docs/design.md, "Keep rules").
//!
//! Such a version keeps its row, its refs and its manifest, so that history stays what it was. What is refused is to rely on its content: no
//! branch comes to stand at it, and no record says that it builds on it. Names and tags lead to it as before.

use std::collections::{BTreeMap, HashSet};

use crate::base::{Error, Id, Result, Time};
use crate::format::operation::Operation;
use crate::format::record::RecordCore;

use super::{Dataset, Fold, Undo};

/// When the content of a version was let go, and by which record; of one that came without it, the record that it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetGo {
    pub record: u64,
    pub time: Time,
}

impl Fold {
    /// Whether all that a version needs is here to stay: its content wasn't let go, and isn't condemned.
    pub fn lasts(&self, id: &Id) -> bool {
        !self.let_go.contains_key(id) && self.condemned.of_version(id).is_none()
    }

    /// Whether the content of a version was let go, or is to be: nobody need count on it.
    pub fn is_bare(&self, id: &Id) -> bool {
        self.let_go.contains_key(id) || self.condemned.contents.contains_key(id)
    }

    /// Whether some dataset has a version, be it set aside.
    pub fn has_version(&self, id: &Id) -> bool {
        self.holders(id).next().is_some()
    }

    /// Errors: a conflict where keep rules let the content of a version go.
    pub fn refuse_let_go(&self, id: &Id) -> Result<()> {
        match self.let_go.get(id) {
            None => Ok(()),
            Some(let_go) => Err(self.content_is_gone(id, let_go)),
        }
    }

    fn content_is_gone(&self, id: &Id, LetGo { record, time }: &LetGo) -> Error {
        let home = self.datasets.iter().find(|(_, dataset)| dataset.versions.contains_key(id));
        let called = home.map_or_else(|| id.short(), |(_, dataset)| dataset.called(id));
        let fault = Error::conflict(format!(
            "keep rules let the content of version {called} go: record {record} of the log, {time}"
        ));
        let Some((owner, dataset)) = home else { return fault };
        fault.hint(match self.newest_kept_after(dataset, id) {
            Some(next) => {
                let next = dataset.called(&next);
                format!(
                    "the newest version that came of it and has content is {next}: `dagset show [STORE/]{owner}@{next}`"
                )
            }
            None => format!("`dagset log [STORE/]{owner}` marks the versions without content"),
        })
    }

    /// The newest version that has the given one in its history, and content that stays.
    pub fn newest_kept_after(&self, dataset: &Dataset, id: &Id) -> Option<Id> {
        let mut children: BTreeMap<&Id, Vec<&Id>> = BTreeMap::new();
        for (child, state) in &dataset.versions {
            state.row.parents.iter().for_each(|parent| children.entry(parent).or_default().push(child));
        }
        let (mut open, mut met) = (vec![id], HashSet::from([id]));
        while let Some(next) = open.pop() {
            open.extend(children.get(next).into_iter().flatten().copied().filter(|child| met.insert(child)));
        }
        let kept = met.into_iter().filter(|met| *met != id && self.lasts(met));
        let states = kept.filter_map(|kept| dataset.versions.get(kept));
        states.max_by_key(|state| (state.record, state.row.time, state.row.version)).map(|state| state.row.version)
    }

    /// Refuses an operation that builds on the content of a version which has none any more.
    pub(super) fn check_not_let_go(&self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::SetBranch { new: Some(version), .. } => self.refuse_let_go(version),
            Operation::Rely(things) => things.versions.iter().try_for_each(|id| self.refuse_let_go(id)),
            _ => Ok(()),
        }
    }

    pub(super) fn condemn_contents(
        &mut self,
        mark: u64,
        versions: &[Id],
        number: u64,
        undo: &mut Vec<Undo>,
    ) -> Result<()> {
        if mark + 1 != number {
            return Err(Error::conflict(format!("the log moved since record {mark}, by which content was condemned")));
        }
        let heads: HashSet<&Id> = self.datasets.values().flat_map(|dataset| dataset.branches.values()).collect();
        for id in versions {
            if heads.contains(id) || self.let_go.contains_key(id) || !self.has_version(id) {
                return Err(Error::conflict(format!(
                    "version {} is a branch's, isn't there or has no content",
                    id.short()
                )));
            }
        }
        undo.push(Undo::Condemned(self.condemned.clone()));
        for id in versions {
            self.condemned.contents.entry(*id).or_insert(number);
        }
        Ok(())
    }

    /// What was condemned long enough goes; what comes without content is new with this record, in every dataset that has it.
    pub(super) fn let_go(&mut self, versions: &[Id], core: &RecordCore, undo: &mut Vec<Undo>) -> Result<()> {
        undo.push(Undo::Condemned(self.condemned.clone()));
        for id in versions {
            let is_due = self.condemned.contents.remove(id).is_some_and(|by| by <= self.void_before);
            let is_older = |dataset: &Dataset| dataset.versions[id].record < core.number;
            let is_new = self.has_version(id) && !self.holders(id).any(is_older);
            if !is_due && !is_new {
                return Err(Error::conflict(format!(
                    "the content of version {} isn't condemned, or sessions from before aren't void",
                    id.short()
                )));
            }
            let was = self.let_go.insert(*id, LetGo { record: core.number, time: core.time });
            undo.push(Undo::LetGo(*id, was));
        }
        Ok(())
    }

    /// The datasets that have a version, those that are set aside too.
    fn holders<'f>(&'f self, id: &'f Id) -> impl Iterator<Item = &'f Dataset> {
        let all = self.datasets.values().chain(self.deleted.values());
        all.filter(|dataset| dataset.versions.contains_key(id))
    }
}
