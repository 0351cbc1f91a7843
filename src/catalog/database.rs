//! How a database is opened: in WAL mode, on a local disk, and never waited for to reach it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

/// The tables of a database, each of columns and without row ids. A database of another version is emptied.
pub(super) struct Schema {
    pub version: i64,
    pub tables: &'static [(&'static str, &'static str)],
}

/// Opens `file`, whose folder must exist, and makes it where it isn't there; waits for other processes up to `busy` each time.
#[expect(clippy::disallowed_methods, reason = "the catalog is where SQLite is opened")]
pub(super) fn open(file: &Path, schema: &Schema, busy: Duration) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(busy)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // All that is here can be made again: after power loss it may be older, or damaged and made anew.
    connection.pragma_update(None, "synchronous", "off")?;
    prepare(&connection, schema)?;
    Ok(connection)
}

/// Whether an existing database holds together, as far as SQLite can tell; it is only read.
#[expect(clippy::disallowed_methods, reason = "the catalog is where SQLite is opened")]
pub(super) fn is_sound(file: &Path) -> rusqlite::Result<bool> {
    let connection = Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok(verdict == "ok")
}

/// An empty database that is lost with the connection.
#[expect(clippy::disallowed_methods, reason = "the catalog is where SQLite is opened")]
pub(super) fn open_in_memory(schema: &Schema) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    prepare(&connection, schema)?;
    Ok(connection)
}

fn prepare(connection: &Connection, schema: &Schema) -> rusqlite::Result<()> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == schema.version {
        return Ok(());
    }
    for (name, columns) in schema.tables {
        connection.execute_batch(&format!(
            "DROP TABLE IF EXISTS {name}; CREATE TABLE IF NOT EXISTS {name} ({columns}) WITHOUT ROWID"
        ))?;
    }
    connection.pragma_update(None, "user_version", schema.version)
}

/// Removes a database and the files beside it.
pub(super) fn remove(file: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        std::fs::remove_file(name).ok();
    }
}

/// Whether the database isn't what was written: it should be removed.
pub(super) fn is_damage(fault: &rusqlite::Error) -> bool {
    let code = fault.sqlite_error_code();
    matches!(code, Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown))
        || matches!(fault, rusqlite::Error::InvalidColumnType(..))
}

/// Whether there is no room for what was to be written.
pub(super) fn is_full(fault: &rusqlite::Error) -> bool {
    fault.sqlite_error_code() == Some(ErrorCode::DiskFull)
}
