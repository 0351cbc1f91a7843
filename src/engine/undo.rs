//! `undo`: a record of the log is taken back by a new one, which can be undone like any other.

use crate::base::{Error, Id, Result};
use crate::format::attrs::Value;
use crate::format::operation::Operation;
use crate::format::record::RecordCore;
use crate::history::fold::Fold;
use crate::history::guard::{Reason, guarded};
use crate::history::records::{Backwards, record};
use crate::history::timeline::Actor;
use crate::history::undo::{UNDOES, bears_on, continues, inverse, still_may};

use super::deeds::{Deed, LogRecord, Names};
use super::open::OpenStore;
use super::{Address, Engine};

/// Of a command that made a dataset by several records: the first, and the number of the last. Of any other record: itself.
fn whole_of(store: &OpenStore, core: RecordCore) -> Result<(RecordCore, u64)> {
    let first = match continues(&core) {
        Some(first) => record(&store.timeline, first)?,
        None => core.clone(),
    };
    let made = |operation: &Operation| match operation {
        Operation::CreateDataset { dataset } => Some(dataset.clone()),
        _ => None,
    };
    let Some(dataset) = first.operations.iter().find_map(made) else {
        let number = core.number;
        return Ok((core, number));
    };
    let mut last = first.number;
    for newer in Backwards::new(&store.timeline, None) {
        let newer = newer?;
        if newer.number <= first.number {
            break;
        }
        match continues(&newer) == Some(first.number) {
            true => last = last.max(newer.number),
            // Somebody else's work came in between: it isn't to go along.
            false if newer.number < last && newer.operations.iter().any(|it| it.dataset() == Some(&dataset)) => {
                return Ok((core.clone(), core.number));
            }
            false => {}
        }
    }
    Ok((first, last))
}

/// Whether a record only notes where a remote's branches are, and what came with them; `remotes` are what such branches begin with.
fn only_tracks(core: &RecordCore, remotes: &[String]) -> bool {
    let mut notes = core.operations.iter().filter_map(|operation| match operation {
        Operation::SetBranch { branch, .. } => {
            Some(remotes.iter().any(|remote| branch.as_str().starts_with(remote.as_str())))
        }
        Operation::AddVersion { .. } | Operation::TakeName { .. } => None,
        operation => operation.dataset().map(|_| false),
    });
    notes.next().is_some_and(|first| first && notes.all(|notes| notes))
}

/// Newer records that an error names.
const SHOWN_RECORDS: usize = 5;

/// What was undone, and by what.
#[derive(Debug, Clone)]
pub struct UndoReport {
    /// The record that is taken back.
    pub undone: LogRecord,
    /// The new record; `None` for a dry run.
    pub record: Option<u64>,
    /// What taking it back does.
    pub deeds: Vec<Deed>,
    /// The workspace is on a branch that moved, and its folder still is this version.
    pub folder_at: Option<Id>,
}

impl Engine {
    /// Takes back a record of a store's log by a new one: the given one, else the newest that is this author's own and took effect on the
    /// place's dataset (on any, where it names a store alone), but for what only notes where a remote's branches are. Undoing what undid something does it again.
    ///
    /// Versions stay, and are found by their ids. Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where something newer depends on
    /// the record, it did what isn't taken back, or what is published or protected stands against it and no reason is given.
    pub fn undo(
        &self,
        place: &Address,
        number: Option<u64>,
        reason: Option<&Reason>,
        dry_run: bool,
    ) -> Result<UndoReport> {
        let (mut store, dataset) = self.open_log(place)?;
        let core = match number {
            Some(number) => record(&store.timeline, number)?,
            None => self.newest_own(&store, dataset)?,
        };
        let (core, last) = whole_of(&store, core)?;
        let mut before = store.timeline.as_of(core.number - 1)?;
        let operations = inverse(&mut before, &core)?;
        let after = match last > core.number {
            true => store.timeline.as_of(last)?,
            false => {
                let record = before.record;
                before.apply(&core, record)?;
                before
            }
        };
        if operations.is_empty() {
            let is_publish = |operation: &Operation| matches!(operation, Operation::Publish { .. });
            let message = match core.operations.iter().any(is_publish) {
                true => format!("record {} publishes a version, and that is for good", core.number),
                false => format!("record {} did nothing that is ever taken back", core.number),
            };
            return Err(Error::conflict(message).hint("`dagset oplog` shows what the others did"));
        }
        let held = |fault: Error| fault.within(format!("record {} can't be undone", core.number));
        guarded(store.timeline.fold(), operations.clone(), reason).map_err(held)?;
        let actor = self.undoing(core.number);
        let make = |fold: &Fold| {
            still_may(&after, &core, fold, &operations)?;
            guarded(fold, operations.clone(), reason)
        };
        let outcome = match dry_run {
            true => make(store.timeline.fold()).and_then(|operations| store.timeline.would_hold(&actor, operations)),
            false => store.timeline.append(&actor, |fold, _| make(fold)).map(drop),
        };
        if let Err(fault) = outcome {
            return Err(self.say_what_depends(&store, &core, &operations, fault));
        }
        let folder_at = if dry_run { None } else { self.follow_in_workspace(&store, &operations)? };
        let fold = store.timeline.fold();
        let names = Names::of(fold);
        Ok(UndoReport {
            undone: names.told(&core),
            record: (!dry_run).then_some(fold.number),
            deeds: names.deeds(&operations),
            folder_at,
        })
    }

    fn undoing(&self, number: u64) -> Actor {
        let mut actor = self.actor();
        actor.context.0.insert(UNDOES.to_owned(), Value::Int(number.cast_signed()));
        actor
    }

    fn newest_own(&self, store: &OpenStore, dataset: Option<crate::base::DatasetName>) -> Result<RecordCore> {
        let author = &self.settings.author;
        let config = self.workspace_on(store)?.map(|(_, config)| config);
        let remotes: Vec<String> =
            config.iter().flat_map(|config| config.remotes.keys()).map(|name| format!("{name}/")).collect();
        for core in self.records_of(store, dataset, None)? {
            let core = core?;
            let moves = |operation: &Operation| operation.dataset().is_some();
            if core.actor == *author && core.operations.iter().any(moves) && !only_tracks(&core, &remotes) {
                return Ok(core);
            }
        }
        Err(Error::not_found(format!("{author} did nothing here that could be undone"))
            .hint("`dagset oplog` shows what others did; `dagset undo RECORD` takes back one of those"))
    }

    /// Names the newer records that stand against undoing `core`.
    fn say_what_depends(&self, store: &OpenStore, core: &RecordCore, inverse: &[Operation], fault: Error) -> Error {
        let names = Names::of(store.timeline.fold());
        let newer = Backwards::new(&store.timeline, None).map_while(Result::ok);
        let mut depending: Vec<u64> = newer
            .take_while(|newer| newer.number > core.number)
            .filter(|newer| {
                let stands = |one: &Operation| inverse.iter().any(|operation| bears_on(one, operation));
                newer.operations.iter().any(stands)
            })
            .map(|newer| names.told(&newer).number)
            .collect();
        if depending.is_empty() {
            return fault.within(format!("record {} can't be undone", core.number));
        }
        let first = depending[0];
        let more = depending.len().saturating_sub(SHOWN_RECORDS);
        depending.truncate(SHOWN_RECORDS);
        let shown = depending.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = if depending.len() > 1 { "records" } else { "record" };
        let message = format!("record {} can't be undone: what {what} {shown}{more} did stands on it", core.number);
        fault
            .within(message)
            .hint(format!("`dagset oplog {first}` shows the newest of them; `dagset undo {first}` first"))
    }
}
