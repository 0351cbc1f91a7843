//! The log of one store, followed and extended.
//!
//! Following: the newest record, the cores that it repeats and the state that it names give the fold. Where a mirror has the fold of a
//! record, that record is read to see that it is the same log, and then what came behind it. Extending: the operations are made from the fold, checked against it, and take the next number; if another writer was first, its record is folded in and
//! the operations are made anew. A writer whose answer was lost finds its own nonce under its number.

use std::time::Duration;

use crate::base::files::random_bytes;
use crate::base::{Counter, Error, Event, Id, Kind, Observer, Result, Time};
use crate::format::attrs::{Attrs, Value};
use crate::format::operation::Operation;
use crate::format::record::{FOLD_RULE, Record, RecordCore, StateRef};
use crate::store::log::{self, Appended};
use crate::store::log_end;
use crate::store::objects::Bucket;

use super::fold::Fold;
use super::local_copy::LocalCopy;
use super::lost_log;
use super::newest::Newest;
use super::state;
use super::undo::CONTINUES;

/// A record repeats at most so many cores, and this many bytes of them.
const REPEATED_RECORDS: usize = 32;
const REPEATED_BYTES: usize = 64 << 10;
/// How long a network's file system may take to show a record, try by try.
const LATE: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(2)];
/// Records that are read one by one before the newest is looked for: finding it and reading it takes five requests or so.
const FOLLOWED_ONE_BY_ONE: u32 = 4;
/// Rounds of losing before a writer gives up.
const PATIENCE: u32 = 200;

/// Who appends, as the record will say.
#[derive(Debug, Clone)]
pub struct Actor {
    pub name: String,
    pub context: Attrs,
}

impl Actor {
    /// Notes that what it does next goes on with the record that it has just written, or with the one that this goes on with.
    pub fn goes_on(&mut self, timeline: &Timeline) {
        let first = Value::Int(timeline.fold.number.cast_signed());
        self.context.0.entry(CONTINUES.to_owned()).or_insert(first);
    }
}

/// What hints of the fold write in the place of the store.
const SOME_STORE: &str = "[STORE/]";

/// The folded log of a store, and what is needed to write its next record.
pub struct Timeline {
    bucket: Bucket,
    store: [u8; 16],
    fold: Fold,
    state: Option<StateRef>,
    /// The newest cores after the state, oldest first: as many as the next record can repeat.
    since_state: Vec<RecordCore>,
    observer: Observer,
    local: Option<LocalCopy>,
    /// The bytes of the newest record that was read.
    newest: Vec<u8>,
    kept: Option<Newest>,
}

impl Timeline {
    /// Reads the log up to its newest record.
    pub fn open(bucket: Bucket, store: [u8; 16], observer: Observer) -> Result<Timeline> {
        Timeline::open_for(bucket, store, observer, |_| false)
    }

    /// As [`Timeline::open`]; but where what lists show is enough, nobody asks whether a newer record stands behind it.
    pub fn open_for(
        bucket: Bucket,
        store: [u8; 16],
        observer: Observer,
        is_enough: impl FnOnce(&Fold) -> bool,
    ) -> Result<Timeline> {
        let fold = Fold { store, ..Fold::default() };
        let mut timeline = Timeline::at(bucket, fold, observer);
        timeline.jump()?;
        if !timeline.bucket.lists_exactly() && !is_enough(&timeline.fold) {
            timeline.refresh()?;
        }
        if timeline.fold.number > 0 && timeline.fold.store != store {
            let message =
                format!("dagset.json and the log of {} speak of different stores", timeline.bucket.describe());
            return Err(Error::damaged(message).hint("put back the dagset.json that this store had"));
        }
        Ok(timeline)
    }

    /// Reads what came behind a fold that was kept: one request where nothing did, and one for the record that it ends with.
    ///
    /// `None` if that record isn't there, or another: the store was restored, copied or made anew, and the fold isn't its.
    pub fn resume(bucket: Bucket, fold: Fold, observer: Observer) -> Result<Option<Timeline>> {
        let number = fold.number;
        let mut timeline = Timeline::at(bucket.clone(), fold, observer);
        let (last, next) = std::thread::scope(|scope| {
            let last = scope.spawn(|| read(&bucket, number));
            let next = read(&bucket, number + 1);
            (last.join(), next)
        });
        let last = last.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let Some((last, _)) = last.filter(|(_, hash)| *hash == timeline.fold.record) else { return Ok(None) };
        timeline.newest = last.encode();
        timeline.since_state = last.earlier;
        timeline.since_state.push(last.core);
        timeline.adopt(last.state);
        if let Some((next, hash)) = next? {
            timeline.take_next(next, hash)?;
            timeline.refresh()?;
        }
        Ok(Some(timeline))
    }

    /// The log up to a record that is in it, as if nothing had come behind.
    pub fn as_of(&self, number: u64) -> Result<Fold> {
        let fold = Fold { store: self.store, ..Fold::default() };
        let mut then = Timeline::at(self.bucket.clone(), fold, self.observer.clone());
        if number > 0 {
            let (record, hash) = log::read(&self.bucket, number)?
                .ok_or_else(|| Error::damaged(format!("{} is missing", log::record_name(number))))?;
            then.go_to(record, hash)?;
        }
        Ok(then.fold)
    }

    /// The newest records as far as they were read, oldest first and without a gap.
    pub fn newest_records(&self) -> &[RecordCore] {
        &self.since_state
    }

    /// The newest state that a record names, as far as records were read.
    pub fn state(&self) -> Option<&StateRef> {
        self.state.as_ref()
    }

    /// A fold that was kept, as it is: for readers that ask the store nothing.
    pub fn at(bucket: Bucket, fold: Fold, observer: Observer) -> Timeline {
        let store = fold.store;
        let (since_state, newest) = (Vec::new(), Vec::new());
        Timeline { bucket, store, fold, state: None, since_state, observer, local: None, newest, kept: None }
    }

    /// Keeps the fold in `local`, now and behind each record that is appended.
    pub fn keep_in(&mut self, local: LocalCopy) {
        self.local.insert(local).keep(&self.fold);
    }

    /// Keeps the newest record in `newest`, now and behind each record that is appended.
    ///
    /// Errors: as for [`Newest::check`], once what another machine wrote had time to show here: a home that both share may tell of it sooner.
    pub fn remember_in(&mut self, newest: Newest) -> Result<()> {
        // A list, or a file system of several machines, may lag behind what another process has seen: the record itself is asked for.
        for pause in LATE {
            let Some(seen) = newest.seen().filter(|seen| self.fold.number < seen.number) else { break };
            std::thread::sleep(pause);
            if let Some((record, hash)) = read(&self.bucket, seen.number)?.filter(|(_, hash)| *hash == seen.hash) {
                self.go_to(record, hash)?;
                self.refresh()?;
            }
        }
        newest.check(self)?;
        self.kept.insert(newest).keep(self.fold.number, self.fold.record, &self.newest);
        Ok(())
    }

    /// The fold of all records that have been read.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// The store's objects.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Goes on to the newest record that lists show.
    fn jump(&mut self) -> Result<()> {
        let end = log_end::end_behind(&self.bucket, self.fold.number)?;
        if let Some(first) = end.strangers.first() {
            let (name, root) = (log::record_name(*first), self.bucket.describe());
            self.observer.tell(Event::Note(format!(
                "{name} of {root} is behind the log's end, and no record: `dagset doctor {root} --fix` moves it away"
            )));
        }
        if end.number <= self.fold.number {
            return Ok(());
        }
        let name = || log::record_name(end.number);
        let newest = end.newest.map_or_else(|| read(&self.bucket, end.number), |newest| Ok(Some(newest)))?;
        let (newest, hash) = newest.ok_or_else(|| Error::damaged(format!("{} is listed and not there", name())))?;
        self.go_to(newest, hash)
    }

    fn go_to(&mut self, newest: Record, hash: Id) -> Result<()> {
        let bytes = newest.encode();
        let first_repeated = newest.earlier.first().map_or(newest.core.number, |core| core.number);
        let mut state = newest.state;
        if let Some(newer) = state.as_ref().filter(|state| self.fold.number < state.number)
            && self.fold.number + 1 < first_repeated
        {
            match state::read(&self.bucket, newer) {
                Ok(fold) => self.fold = fold,
                // A state only saves reading: all records are there, and they are the truth.
                Err(fault) if fault.kind() == Kind::Damaged => {
                    let note = format!("{fault}: the log is read record by record; {}", self.bucket.verify_hint());
                    self.observer.tell(Event::Note(note));
                    state = None;
                }
                Err(fault) => return Err(fault),
            }
        }
        while self.fold.number + 1 < first_repeated {
            if !self.read_next()? {
                let name = log::record_name(self.fold.number + 1);
                return Err(Error::damaged(format!("{name} is missing")).hint(self.bucket.verify_hint()));
            }
        }
        // The hash of a repeated record stands in the one behind it.
        let hashes: Vec<Id> =
            newest.earlier.iter().skip(1).map(|core| core.before).chain([newest.core.before]).collect();
        for (core, hash) in newest.earlier.into_iter().zip(hashes) {
            if core.number > self.fold.number {
                self.take(core, hash)?;
            }
        }
        self.take(newest.core, hash)?;
        self.adopt(state);
        self.newest = bytes;
        Ok(())
    }

    /// Folds in what has been appended since.
    pub fn refresh(&mut self) -> Result<()> {
        for _ in 0..FOLLOWED_ONE_BY_ONE {
            if !self.read_next()? {
                return Ok(());
            }
        }
        self.jump()?;
        while self.read_next()? {}
        Ok(())
    }

    fn read_next(&mut self) -> Result<bool> {
        let Some((record, hash)) = read(&self.bucket, self.fold.number + 1)? else { return Ok(false) };
        self.take_next(record, hash)?;
        Ok(true)
    }

    fn take_next(&mut self, record: Record, hash: Id) -> Result<()> {
        self.newest = record.encode();
        self.adopt(record.state);
        self.take(record.core, hash)
    }

    /// Names a newer state in the next record.
    fn adopt(&mut self, state: Option<StateRef>) {
        if let Some(state) = state.filter(|state| self.state.as_ref().is_none_or(|own| own.number < state.number)) {
            self.since_state.retain(|core| core.number > state.number);
            self.state = Some(state);
        }
    }

    fn take(&mut self, core: RecordCore, hash: Id) -> Result<()> {
        self.fold.apply(&core, hash).map_err(|fault| match fault.kind() {
            Kind::Damaged => fault.hint(self.bucket.verify_hint()),
            _ => fault,
        })?;
        self.since_state.push(core);
        Ok(())
    }

    /// Writes record 1 where the log is empty.
    pub fn begin(&mut self, actor: &Actor) -> Result<()> {
        let store = self.store;
        self.append(actor, |fold, _| match fold.number {
            0 => Ok(vec![Operation::StoreCreated { store }]),
            _ => Ok(Vec::new()),
        })?;
        Ok(())
    }

    /// Appends one record with the operations that `make` gives for the present fold; nothing if it gives none.
    ///
    /// `make` is called again for each newer fold when another writer was first: it must check its preconditions each time. It is
    /// also told how many bytes the record has, so that a version can say what its publishing wrote in all; it must otherwise give
    /// the same operations for the same fold. Returns whether a record was written.
    ///
    /// Errors: [`Kind::Damaged`] where it would be the first record of a store that has lost its log.
    pub fn append(&mut self, actor: &Actor, make: impl FnMut(&Fold, u64) -> Result<Vec<Operation>>) -> Result<bool> {
        let done = self.append_record(actor, make);
        done.map_err(|fault| self.placed(fault))
    }

    fn append_record(
        &mut self,
        actor: &Actor,
        mut make: impl FnMut(&Fold, u64) -> Result<Vec<Operation>>,
    ) -> Result<bool> {
        for round in 0..PATIENCE {
            if make(&self.fold, 0)?.is_empty() {
                return Ok(false);
            }
            if self.fold.number == 0 {
                lost_log::refuse_lost(&self.bucket)?;
            }
            self.renew_state()?;
            let record = self.compose(actor, &mut make)?;
            self.fold.check(&record.core)?;
            let bytes = record.encode();
            // What no reader takes would end the log: nobody could ever follow it further.
            Record::parse(&bytes).map_err(|fault| {
                Error::usage("what is to be published doesn't fit in a record of the log").because(fault)
            })?;
            match log::append(&self.bucket, &record, &bytes)? {
                Appended::Ours => {
                    self.take(record.core, Id::of(&bytes))?;
                    if let Some(local) = &mut self.local {
                        local.keep(&self.fold);
                    }
                    if let Some(kept) = &mut self.kept {
                        kept.keep(self.fold.number, self.fold.record, &bytes);
                    }
                    return Ok(true);
                }
                Appended::Taken(first) => {
                    self.observer.add(Counter::LostRaces, 1);
                    std::thread::sleep(jitter(round)?);
                    let (record, hash) = *first;
                    self.take_next(record, hash)?;
                    self.refresh()?;
                }
            }
        }
        let message =
            format!("the log of {} moved {PATIENCE} times in a row before this record", self.bucket.describe());
        Err(Error::new(Kind::Busy, message).hint("run the command again: what was stored is not stored again"))
    }

    /// Whether a record of these operations would hold if it were the next one; the error says what stands against it.
    pub fn would_hold(&mut self, actor: &Actor, operations: Vec<Operation>) -> Result<()> {
        let record = self.compose(actor, &mut |_: &Fold, _| Ok(operations.clone()))?;
        self.fold.check(&record.core).map_err(|fault| self.placed(fault))
    }

    /// Errors: a conflict where keep rules let the content of a version go.
    pub fn refuse_let_go(&self, id: &Id) -> Result<()> {
        self.fold.refuse_let_go(id).map_err(|fault| self.placed(fault))
    }

    /// A fault of the fold, which doesn't know where its store lies, with that in its hint.
    pub fn placed(&self, fault: Error) -> Error {
        let root = self.bucket.describe();
        let placed = |hint: &str| hint.replace(SOME_STORE, &format!("{}//", root.trim_end_matches('/')));
        match fault.next_step().filter(|hint| hint.contains(SOME_STORE)).map(placed) {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }

    /// The next record. Its length stands in it, so that it is composed until the length agrees.
    fn compose(&self, actor: &Actor, make: &mut impl FnMut(&Fold, u64) -> Result<Vec<Operation>>) -> Result<Record> {
        let mut record = Record {
            core: RecordCore {
                number: self.fold.number + 1,
                before: self.fold.record,
                nonce: random_bytes()?,
                actor: actor.name.clone(),
                time: Time::now(),
                fold_rule: FOLD_RULE,
                context: actor.context.clone(),
                operations: Vec::new(),
            },
            state: self.state.clone(),
            earlier: self.repeated(),
            extensions: Vec::new(),
        };
        let mut bytes = 0;
        for _ in 0..4 {
            let mut operations = self.fold.settle(make(&self.fold, bytes)?);
            let begun = matches!(operations.first(), Some(Operation::StoreCreated { .. }));
            if self.fold.number == 0 && !begun {
                operations.insert(0, Operation::StoreCreated { store: self.store });
            }
            record.core.operations = operations;
            let length = record.encode().len() as u64;
            if length == bytes {
                break;
            }
            bytes = length;
        }
        Ok(record)
    }

    /// Writes a state when the newest one is too far back for a record to repeat what came since.
    fn renew_state(&mut self) -> Result<()> {
        let newest_state = self.state.as_ref().map_or(0, |state| state.number);
        if self.fold.number - newest_state < REPEATED_RECORDS as u64 {
            return Ok(());
        }
        self.observer.tell(Event::Note(format!("writing the state of the log at record {}", self.fold.number)));
        self.state = Some(state::write(&self.bucket, &self.fold)?);
        self.since_state.clear();
        Ok(())
    }

    fn repeated(&self) -> Vec<RecordCore> {
        let mut bytes = 0;
        let fitting = self.since_state.iter().rev().take(REPEATED_RECORDS).take_while(|core| {
            bytes += core.encoded_len();
            bytes <= REPEATED_BYTES
        });
        let count = fitting.count();
        self.since_state[self.since_state.len() - count..].to_vec()
    }
}

/// A record and its hash. Where it is damaged and none stands on it, the error says what mends that.
fn read(bucket: &Bucket, number: u64) -> Result<Option<(Record, Id)>> {
    log::read(bucket, number).map_err(|fault| match fault.kind() {
        Kind::Damaged if log_end::end(bucket).is_ok_and(|end| end.number == number) => {
            let (first, root) = (bucket.verify_hint(), bucket.describe());
            fault.hint(format!(
                "{first}; it is the newest record: `dagset verify {root} --repair-from COPY` takes it from a copy of the store; where there is \
                 none, `dagset doctor {root} --fix` moves it to damaged/, and what it said is lost"
            ))
        }
        _ => fault,
    })
}

/// Full jitter, growing with lost rounds up to a second.
fn jitter(round: u32) -> Result<Duration> {
    let [low, high, ..] = random_bytes()?;
    let ceiling = 5u64 << round.min(8);
    Ok(Duration::from_millis(ceiling.min(1000) * u64::from(u16::from_le_bytes([low, high])) / 65_536))
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
