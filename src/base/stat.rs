//! What the file system says of one file.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FileType, Mode};

use super::{Error, Result};

/// What changes when a file changes, as far as the file system tells. Two equal ones, the later taken after reading, mean that what was
/// read is what is there, but for changes within one tick of the file system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Bytes of the file.
    pub size: u64,
    /// Last change of the content: nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of the inode: nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Number of the inode.
    pub ino: u64,
    /// The device that the inode is on.
    pub dev: u64,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file; executable if its owner may execute it.
    File { executable: bool },
    /// A symlink itself, not what it points at.
    Symlink,
    /// A folder.
    Folder,
    /// What a version can't hold: "a FIFO", "a socket", "a device".
    Special(&'static str),
}

/// Looks at `path` itself: a symlink is not followed.
pub fn stat_file(path: &Path) -> Result<(Stat, NodeKind)> {
    rustix::fs::lstat(path).map(|raw| from_raw(&raw)).map_err(|fault| Error::io("look at", path, fault.into()))
}

/// Looks at an open file; `path` is for the error alone.
pub fn stat_open(file: &File, path: &Path) -> Result<(Stat, NodeKind)> {
    rustix::fs::fstat(file).map(|raw| from_raw(&raw)).map_err(|fault| Error::io("look at", path, fault.into()))
}

pub(crate) fn from_raw(raw: &rustix::fs::Stat) -> (Stat, NodeKind) {
    let nanos = |secs: i64, nanos: i64| secs.saturating_mul(1_000_000_000).saturating_add(nanos);
    #[allow(clippy::unnecessary_cast, reason = "the types of the fields differ by platform")]
    let stat = Stat {
        size: raw.st_size as u64,
        mtime_ns: nanos(raw.st_mtime as i64, raw.st_mtime_nsec as i64),
        ctime_ns: nanos(raw.st_ctime as i64, raw.st_ctime_nsec as i64),
        ino: raw.st_ino as u64,
        dev: raw.st_dev as u64,
    };
    let kind = match FileType::from_raw_mode(raw.st_mode) {
        FileType::RegularFile => NodeKind::File { executable: Mode::from_raw_mode(raw.st_mode).contains(Mode::XUSR) },
        FileType::Symlink => NodeKind::Symlink,
        FileType::Directory => NodeKind::Folder,
        other => NodeKind::Special(special(other)),
    };
    (stat, kind)
}

/// What to call a kind of file that a version can't hold.
fn special(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "of an unknown kind",
    }
}
