//! The stat index: which content a path of a workspace had when its stat was this. A cache: without it files are hashed again.
//!
//! Rows are kept in pages of some hundred paths, in path order, each one SQLite row: a million files are read in a thousand steps. Where
//! pages end depends on paths alone, so that a change rewrites its own page and no other.
//!
//! **The racy-time rule**, after git's: a row is kept only if the file's times lie before the moment at which its hashing began, by the
//! clock of the file system that holds it. A later change then has a later time, and is seen. Files that are too young are hashed again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::base::stat::Stat;
use crate::base::{Error, Id, Kind, RepoPath, Result};
use crate::format::codec::{Put, Reader};

use super::database::{self, Schema};

/// Its version changes whenever the rows do.
const SCHEMA: Schema = Schema { version: 1, tables: &[("pages", "first BLOB PRIMARY KEY, rows BLOB NOT NULL")] };
const PATIENCE: Duration = Duration::from_secs(5);

/// A file as it was when it was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatRow {
    pub path: RepoPath,
    pub stat: Stat,
    pub content: Id,
}

impl StatRow {
    /// Whether the row may be kept, for a hashing that began at `began_ns` by the file system's clock.
    pub fn is_settled(&self, began_ns: i64) -> bool {
        self.stat.mtime_ns < began_ns && self.stat.ctime_ns < began_ns
    }
}

/// The index of one workspace.
pub struct StatIndex {
    connection: Connection,
}

impl StatIndex {
    /// Opens the index of the workspace at `root` in `folder`, which must lie on a local disk; makes it where it isn't there or can't be
    /// read. Without a folder, or where it can't be written, the index lives in memory for this command.
    pub fn open(folder: Option<&Path>, root: &Path) -> Result<StatIndex> {
        let file = folder.map(|folder| file_of(folder, root));
        let on_disk = file.and_then(|file| {
            crate::base::files::create_folders(file.parent()?).ok()?;
            let open = || database::open(&file, &SCHEMA, PATIENCE);
            open()
                .or_else(|_| {
                    database::remove(&file);
                    open()
                })
                .ok()
        });
        let connection = match on_disk {
            Some(connection) => connection,
            None => database::open_in_memory(&SCHEMA).map_err(failed)?,
        };
        Ok(StatIndex { connection })
    }

    /// Whether the index of a workspace can be read; one that isn't there yet can be made. Writes nothing.
    ///
    /// Errors: [`Kind::Damaged`] for one that will be made anew.
    pub fn look(folder: &Path, root: &Path) -> Result<()> {
        let file = file_of(folder, root);
        if !file.exists() {
            return Ok(());
        }
        let damaged = || Error::damaged(format!("{} can't be read", file.display()));
        match database::is_sound(&file) {
            Ok(true) => Ok(()),
            Ok(false) => Err(damaged()),
            Err(fault) => Err(damaged().because(fault)),
        }
    }

    /// All rows in path order. A page that can't be read is as if it weren't there.
    pub fn rows(&self) -> Result<Vec<StatRow>> {
        let mut statement = self.connection.prepare("SELECT rows FROM pages ORDER BY first").map_err(failed)?;
        let mut pages = statement.query([]).map_err(failed)?;
        let mut rows = Vec::new();
        while let Some(page) = pages.next().map_err(failed)? {
            let bytes = page.get_ref(0).ok().and_then(|value| value.as_blob().ok()).unwrap_or_default();
            rows.extend(decode_page(bytes).unwrap_or_default());
        }
        Ok(rows)
    }

    /// Replaces all rows by these, in path order; writes only pages that differ.
    pub fn replace(&mut self, rows: &[StatRow]) -> Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
        {
            let mut old = transaction.prepare("SELECT rows FROM pages WHERE first = ?1").map_err(failed)?;
            let mut put =
                transaction.prepare("INSERT OR REPLACE INTO pages (first, rows) VALUES (?1, ?2)").map_err(failed)?;
            let mut drop_between =
                transaction.prepare("DELETE FROM pages WHERE first > ?1 AND first < ?2").map_err(failed)?;
            let mut last_first: &[u8] = b"";
            for page in pages_of(rows) {
                let first = page[0].path.as_str().as_bytes();
                drop_between.execute(params![last_first, first]).map_err(failed)?;
                last_first = first;
                let bytes = encode_page(page);
                let known: Option<Vec<u8>> = old.query_row([first], |row| row.get(0)).optional().map_err(failed)?;
                if known.as_deref() != Some(&bytes) {
                    put.execute(params![first, bytes]).map_err(failed)?;
                }
            }
            transaction.execute("DELETE FROM pages WHERE first > ?1", [last_first]).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }
}

/// The file of a workspace's index, by the workspace's path.
fn file_of(folder: &Path, root: &Path) -> PathBuf {
    let id = Id::of(root.as_os_str().as_encoded_bytes());
    folder.join("workspaces").join(format!("{}.sqlite", id.short()))
}

fn failed(fault: rusqlite::Error) -> Error {
    Error::new(Kind::Failed, "the workspace's stat index can't be used").because(fault)
}

/// Pages end behind a path whose hash says so: about 256 rows each.
fn pages_of(rows: &[StatRow]) -> impl Iterator<Item = &[StatRow]> {
    let ends = |row: &StatRow| Id::of(row.path.as_str().as_bytes()).word().is_multiple_of(256);
    rows.split_inclusive(ends)
}

fn encode_page(rows: &[StatRow]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * 96);
    out.put_count(rows.len());
    let mut before = "";
    for row in rows {
        let path = row.path.as_str();
        let shared = path.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
        out.put_count(shared);
        out.put_bytes(&path.as_bytes()[shared..]);
        out.put_varint(row.stat.size);
        out.put_i64(row.stat.mtime_ns);
        out.put_i64(row.stat.ctime_ns);
        out.put_varint(row.stat.ino);
        out.put_varint(row.stat.dev);
        out.put_id(&row.content);
        before = path;
    }
    out
}

fn decode_page(bytes: &[u8]) -> Result<Vec<StatRow>> {
    let mut reader = Reader::new("a page of the stat index", bytes);
    let count = reader.count(50)?;
    let mut rows = Vec::with_capacity(count);
    let mut path = Vec::new();
    for _ in 0..count {
        let shared = reader.varint()? as usize;
        if shared > path.len() {
            return Err(reader.fault("a path shares more than there is"));
        }
        path.truncate(shared);
        path.extend_from_slice(reader.bytes(4096)?);
        let text = std::str::from_utf8(&path).map_err(|_| reader.fault("a path isn't UTF-8"))?;
        let stat = Stat {
            size: reader.varint()?,
            mtime_ns: reader.i64()?,
            ctime_ns: reader.i64()?,
            ino: reader.varint()?,
            dev: reader.varint()?,
        };
        rows.push(StatRow { path: RepoPath::new(text)?, stat, content: reader.id()? });
    }
    reader.end()?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, n: u64) -> StatRow {
        let stat = Stat { size: n, mtime_ns: -5, ctime_ns: 7, ino: n, dev: 1 };
        StatRow { path: RepoPath::new(name).expect("good path"), stat, content: Id::of(&n.to_le_bytes()) }
    }

    fn rows(count: u64) -> Vec<StatRow> {
        (0..count).map(|n| row(&format!("folder/{n:06}"), n)).collect()
    }

    #[test]
    fn rows_come_back_and_change_by_pages() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut kept = rows(5_000);
        let mut index = StatIndex::open(Some(folder.path()), Path::new("/w")).expect("opens");
        assert!(index.rows().expect("empty").is_empty());
        index.replace(&kept).expect("writes");
        assert_eq!(index.rows().expect("reads"), kept);
        kept.remove(2_500);
        kept.insert(0, row("a", 1));
        kept.push(row("z", 2));
        index.replace(&kept).expect("writes");
        drop(index);
        let index = StatIndex::open(Some(folder.path()), Path::new("/w")).expect("opens again");
        assert_eq!(index.rows().expect("reads"), kept);
        let other = StatIndex::open(Some(folder.path()), Path::new("/other")).expect("opens");
        assert!(other.rows().expect("its own").is_empty());
    }

    #[test]
    fn a_damaged_index_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = file_of(folder.path(), Path::new("/w"));
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        std::fs::write(&file, b"this is no database, and long enough to be looked at as one").expect("writes");
        let mut index = StatIndex::open(Some(folder.path()), Path::new("/w")).expect("opens");
        index.replace(&rows(3)).expect("writes");
        assert_eq!(index.rows().expect("reads").len(), 3);
    }

    #[test]
    fn without_a_folder_it_lives_in_memory() {
        let mut index = StatIndex::open(None, Path::new("/w")).expect("opens");
        index.replace(&rows(3)).expect("writes");
        assert_eq!(index.rows().expect("reads").len(), 3);
    }

    #[test]
    fn a_young_file_is_not_settled() {
        let row = row("a", 1);
        assert!(row.is_settled(8));
        assert!(!row.is_settled(7) && !row.is_settled(-5));
    }
}
