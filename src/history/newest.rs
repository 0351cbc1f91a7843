//! The newest record of a store that this user has seen, kept on this machine: it tells that a log has gone back, and puts its end back.
//!
//! A log without its newest record is the log of a moment before, and nothing in the store shows it. What is kept is the store's id and the
//! record's bytes, a file for each store; what can't be read is as if it weren't there, and what can't be written is a note.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::base::files::{self, Durability};
use crate::base::{Error, Event, Id, Observer, Result};
use crate::format::record::Record;

use super::timeline::Timeline;

const STORE_LEN: usize = 16;

/// Where the newest record of one store is kept.
pub struct Newest {
    file: PathBuf,
    store: [u8; STORE_LEN],
    seen: Option<Seen>,
    observer: Observer,
}

/// A record that stood in a store's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The store's id.
    pub store: [u8; STORE_LEN],
    pub number: u64,
    pub hash: Id,
    /// The object's bytes.
    pub bytes: Bytes,
}

impl Seen {
    /// The hash of the record before it, where there is one.
    pub fn before(&self) -> Result<Option<Id>> {
        let record = Record::parse(&self.bytes)?;
        Ok(Some(record.core.before).filter(|before| *before != Id::ZERO))
    }
}

impl Newest {
    /// What is kept of a store in `file`. To be called before the log is read: other processes go on.
    pub fn recall(file: PathBuf, store: [u8; STORE_LEN], observer: Observer) -> Newest {
        let seen = read(&file).filter(|seen| seen.store == store);
        Newest { file, store, seen, observer }
    }

    /// What was read of a store in `file`.
    pub fn of(file: PathBuf, seen: Seen, observer: Observer) -> Newest {
        Newest { file, store: seen.store, seen: Some(seen), observer }
    }

    /// The record that is kept.
    pub fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// Compares what is kept with the log. Another record in its place is told as a warning.
    ///
    /// Errors: [`Kind::Damaged`](crate::base::Kind::Damaged) for a log that ends before what is kept.
    pub fn check(&self, timeline: &Timeline) -> Result<()> {
        let Some(seen) = &self.seen else { return Ok(()) };
        let (fold, root) = (timeline.fold(), timeline.bucket().describe());
        if fold.number < seen.number {
            let message = format!("the store {root} has gone back from record {} to {}", seen.number, fold.number);
            return Err(Error::damaged(message).hint(format!(
                "records were removed: `dagset verify {root} --repair-from COPY` puts back what a copy of it has, `--repair-from {}` \
                 the record that is kept here; or an older copy was put in its place: `dagset doctor {root} --fix` takes that as it is",
                self.file.display()
            )));
        }
        let hash_there = match timeline.newest_records().iter().find(|core| core.number == seen.number + 1) {
            Some(next) => Some(next.before),
            None => Some(fold.record).filter(|_| fold.number == seen.number),
        };
        if hash_there.is_some_and(|there| there != seen.hash) {
            self.observer.tell(Event::Warning(format!(
                "record {} of {root} isn't the one that this machine has seen: the store was put back from a copy, and went another way since",
                seen.number
            )));
        }
        Ok(())
    }

    /// Keeps a record, unless a newer one is kept by now.
    pub(super) fn keep(&mut self, number: u64, hash: Id, bytes: &[u8]) {
        if number == 0 || self.seen.as_ref().is_some_and(|seen| seen.hash == hash) || Id::of(bytes) != hash {
            return;
        }
        let seen = Seen { store: self.store, number, hash, bytes: Bytes::copy_from_slice(bytes) };
        if read(&self.file).is_some_and(|kept| kept.store == self.store && kept.number > number) {
            return;
        }
        let text = [&self.store, bytes].concat();
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        let written = files::create_folders(folder)
            .and_then(|()| files::write_file(self.file.as_path(), &text, Durability::Renamed));
        if let Err(fault) = written {
            self.observer.tell(Event::Note(fault.in_one_line()));
        }
        self.seen = Some(seen);
    }

    /// Takes the store as it is from now on; gives where what was kept lies now.
    pub fn set_aside(&mut self) -> Result<PathBuf> {
        let aside = self.file.with_extension("old");
        files::rename(&self.file, &aside)?;
        self.seen = None;
        Ok(aside)
    }
}

/// The record that is kept in a file, if one is.
pub fn read(file: &Path) -> Option<Seen> {
    let bytes = Bytes::from(files::read(file).ok()?);
    let store = *bytes.first_chunk::<STORE_LEN>()?;
    let bytes = bytes.slice(STORE_LEN..);
    let record = Record::parse(&bytes).ok()?;
    Some(Seen { store, number: record.core.number, hash: Id::of(&bytes), bytes })
}
