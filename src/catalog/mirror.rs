//! What a user's machine keeps of one store: the fold of its log as the rows of a state, its `dagset.json`, the version records that
//! and uses that were read, its indexes and frames of its meta packs as files.
//!
//! One folder for each path or URL of a store. It is a cache that many processes share: whoever finds it busy, or can't write, goes
//! without it. SQLite doesn't see a flipped bit, so that a hash over everything is kept beside the rows, and what doesn't fit it
//! is damaged.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::base::{Error, Id, Kind, Result};

use super::database::{self, Schema, is_damage};

/// Its version changes whenever what is kept does, or how rows of a state are encoded.
const SCHEMA: Schema = Schema {
    version: 2,
    tables: &[
        ("rows", "key BLOB PRIMARY KEY, value BLOB NOT NULL"),
        ("facts", "name TEXT PRIMARY KEY, value BLOB NOT NULL"),
        ("versions", "id BLOB PRIMARY KEY, record BLOB NOT NULL"),
        ("uses", "name TEXT PRIMARY KEY, body BLOB NOT NULL"),
    ],
};
/// A command waits no longer for others: asking the store takes a fraction of a second, too.
const PATIENCE: Duration = Duration::from_millis(200);

/// A row of a state: key and value.
type Row = (Vec<u8>, Vec<u8>);

/// Where the mirror of a store is; cheap to clone, holds nothing open.
#[derive(Debug, Clone)]
pub struct Mirror {
    folder: PathBuf,
}

/// What a mirror holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// The bytes of the store's `dagset.json`.
    pub store_file: Vec<u8>,
    /// By key.
    pub rows: Vec<Row>,
}

impl Mirror {
    /// The mirror, in the folder for all of them, of the store at a path or URL. `folder` must lie on a local disk.
    pub fn new(folder: &Path, store: &str) -> Mirror {
        Mirror { folder: folder.join("mirrors").join(Id::of(store.as_bytes()).short()) }
    }

    /// Where indexes of the store are kept, under their names.
    pub fn index_folder(&self) -> PathBuf {
        self.folder.join("index")
    }

    /// Where frames of the store's meta packs are kept.
    pub fn frame_folder(&self) -> PathBuf {
        self.folder.join("meta")
    }

    fn file(&self) -> PathBuf {
        self.folder.join("mirror.sqlite")
    }

    /// What is there; `None` where there is nothing, or it can't be had now.
    ///
    /// Errors: [`Kind::Damaged`] for a mirror that should be removed.
    pub fn load(&self) -> Result<Option<Mirrored>> {
        let file = self.file();
        if !file.exists() {
            return Ok(None);
        }
        match database::open(&file, &SCHEMA, PATIENCE).and_then(|mut connection| read(&mut connection)) {
            Ok(None) => Ok(None),
            Ok(Some((held, check))) if check_of(&held.store_file, &held.rows) == check => Ok(Some(held)),
            Ok(Some(_)) => Err(Error::damaged(format!("{} doesn't hold what was kept", file.display()))),
            Err(fault) if is_damage(&fault) => Err(Error::damaged(format!("{}", file.display())).because(fault)),
            Err(_) => Ok(None),
        }
    }

    /// Keeps `rows` (by key) of the state at record `number`, unless a state of a later one is there. Only what differs is written.
    pub fn save(&self, store_file: &[u8], number: u64, rows: &[Row]) -> Result<()> {
        crate::base::files::create_folders(&self.folder)?;
        let file = self.file();
        let saved = database::open(&file, &SCHEMA, PATIENCE)
            .and_then(|mut connection| write(&mut connection, store_file, number, rows));
        match saved {
            Err(fault) if is_damage(&fault) => {
                database::remove(&file);
                Err(failed(&file, fault))
            }
            saved => saved.map_err(|fault| failed(&file, fault)),
        }
    }

    /// The version records that are kept, of those asked for; each is what its id says.
    pub fn version_records(&self, ids: &[Id]) -> HashMap<Id, Vec<u8>> {
        let file = self.file();
        let found = || {
            let connection = database::open(&file, &SCHEMA, PATIENCE)?;
            let mut statement = connection.prepare("SELECT record FROM versions WHERE id = ?1")?;
            let mut found = HashMap::new();
            for id in ids {
                let record: Option<Vec<u8>> = statement.query_row([id.0], |row| row.get(0)).optional()?;
                found.extend(record.filter(|record| Id::of(record) == *id).map(|record| (*id, record)));
            }
            Ok::<_, rusqlite::Error>(found)
        };
        if file.exists() { found().unwrap_or_default() } else { HashMap::new() }
    }

    /// Keeps version records, as far as it may: they never change.
    pub fn keep_version_records(&self, records: &[(Id, Vec<u8>)]) -> Result<()> {
        let keep = || {
            let mut connection = database::open(&self.file(), &SCHEMA, PATIENCE)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (id, record) in records {
                let values = params![id.0, record];
                transaction.execute("INSERT OR REPLACE INTO versions (id, record) VALUES (?1, ?2)", values)?;
            }
            transaction.commit()
        };
        crate::base::files::create_folders(&self.folder)?;
        keep().map_err(|fault| failed(&self.file(), fault))
    }

    /// The uses that are kept, of those objects; what they say is for the reader to check.
    pub fn uses(&self, names: &[String]) -> HashMap<String, Vec<u8>> {
        let file = self.file();
        let found = || {
            let connection = database::open(&file, &SCHEMA, PATIENCE)?;
            let mut statement = connection.prepare("SELECT body FROM uses WHERE name = ?1")?;
            let mut found = HashMap::new();
            for name in names {
                let body: Option<Vec<u8>> = statement.query_row([name], |row| row.get(0)).optional()?;
                found.extend(body.map(|body| (name.clone(), body)));
            }
            Ok::<_, rusqlite::Error>(found)
        };
        if file.exists() { found().unwrap_or_default() } else { HashMap::new() }
    }

    /// Keeps uses, by the names of their objects, as far as it may: they never change.
    pub fn keep_uses(&self, read: &[(String, Vec<u8>)]) -> Result<()> {
        let keep = || {
            let mut connection = database::open(&self.file(), &SCHEMA, PATIENCE)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (name, body) in read {
                let values = params![name, body];
                transaction.execute("INSERT OR REPLACE INTO uses (name, body) VALUES (?1, ?2)", values)?;
            }
            transaction.commit()
        };
        crate::base::files::create_folders(&self.folder)?;
        keep().map_err(|fault| failed(&self.file(), fault))
    }

    /// Removes all that is kept of the store.
    pub fn remove(&self) {
        database::remove(&self.file());
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn failed(file: &Path, fault: rusqlite::Error) -> Error {
    Error::new(Kind::Failed, format!("the mirror {} can't be written", file.display())).because(fault)
}

fn read(connection: &mut Connection) -> rusqlite::Result<Option<(Mirrored, Id)>> {
    // One transaction: both tables as of one moment.
    let transaction = connection.transaction()?;
    let (Some(store_file), Some(check)) = (fact(&transaction, "store_file")?, fact(&transaction, "check")?) else {
        return Ok(None);
    };
    let rows = all_rows(&transaction)?;
    Ok(Some((Mirrored { store_file, rows }, Id(check.try_into().unwrap_or_default()))))
}

fn all_rows(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Row>> {
    let mut statement = transaction.prepare("SELECT key, value FROM rows ORDER BY key")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn fact(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    transaction.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn write(connection: &mut Connection, store_file: &[u8], number: u64, rows: &[Row]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let kept = fact(&transaction, "number")?.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    if kept.is_some_and(|kept| kept > number) {
        return Ok(());
    }
    {
        let old = all_rows(&transaction)?;
        let mut put = transaction.prepare("INSERT OR REPLACE INTO rows (key, value) VALUES (?1, ?2)")?;
        for (key, value) in rows {
            let known = old.binary_search_by(|(old, _)| old.cmp(key)).ok();
            if known.is_none_or(|known| old[known].1 != *value) {
                put.execute(params![key, value])?;
            }
        }
        let mut drop_row = transaction.prepare("DELETE FROM rows WHERE key = ?1")?;
        for (key, _) in &old {
            if rows.binary_search_by(|(new, _)| new.cmp(key)).is_err() {
                drop_row.execute([key])?;
            }
        }
        let mut put_fact = transaction.prepare("INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)")?;
        put_fact.execute(params!["number", number.to_be_bytes()])?;
        put_fact.execute(params!["store_file", store_file])?;
        put_fact.execute(params!["check", check_of(store_file, rows).0])?;
    }
    transaction.commit()
}

/// A hash of all that a mirror's answers rest on.
fn check_of(store_file: &[u8], rows: &[Row]) -> Id {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(store_file).chain(rows.iter().flat_map(|(key, value)| [&key[..], &value[..]])) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    Id(*hasher.finalize().as_bytes())
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
