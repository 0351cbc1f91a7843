//! What a cache may hold and whose it is: `cache.toml`, and the folders beside it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::files::{self, Durability, NewFile};
use crate::base::{Error, Result};

const FILE: &str = "cache.toml";
const FORMAT: u32 = 1;
/// Of the disk, where nothing else is asked for.
const USUAL_SHARE: u64 = 2;
const USUAL_KEEP_FREE: u8 = 10;
pub(super) const FOLDERS: [&str; 10] =
    ["files", "views", "lists", "holds", "recent", "quarantine", "begun", "spares", "unsettled", "locks"];

/// What a cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that files may take of the disk, each in whole blocks.
    pub max_bytes: u64,
    /// The part of the disk that stays free, in percent.
    pub keep_free_percent: u8,
}

/// Who uses a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Its owner.
    Private,
    /// The members of a group, by number. Who may prune may also replace: members trust each other.
    Group(u32),
}

impl Sharing {
    /// As the folder of a cache shows it whose `cache.toml` can't be read.
    pub fn of_folder(folder: &Path) -> Sharing {
        let Ok(meta) = fs::metadata(folder.join("files")) else { return Sharing::Private };
        let is_shared = meta.permissions().mode() & 0o7777 == Sharing::Group(0).folder_mode();
        if is_shared { Sharing::Group(meta.gid()) } else { Sharing::Private }
    }

    pub(super) fn folder_mode(self) -> u32 {
        match self {
            Sharing::Private => 0o700,
            // What is made in it belongs to the group too.
            Sharing::Group(_) => 0o2770,
        }
    }

    /// Of files that processes write together: locks, counts.
    pub(super) fn common_mode(self) -> u32 {
        match self {
            Sharing::Private => 0o600,
            Sharing::Group(_) => 0o660,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Text {
    format: u32,
    max_bytes: u64,
    keep_free_percent: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u32>,
}

/// Whether a cache is at `folder`.
pub fn is_cache(folder: &Path) -> bool {
    folder.join(FILE).is_file() && FOLDERS.iter().any(|inner| folder.join(inner).is_dir())
}

/// What the cache at `folder` says of itself; `None` if there is none.
pub(super) fn read(folder: &Path) -> Result<Option<(Limits, Sharing)>> {
    let path = folder.join(FILE);
    let not_understood = |why: String| {
        Error::damaged(format!("{} can't be understood", path.display()))
            .because(why)
            .hint(format!("`dagset cache init {}` writes it again", folder.display()))
    };
    let content = match files::read_text(&path) {
        Ok(content) => content,
        Err(fault) if matches!(fault.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(fault) if fault.kind() == std::io::ErrorKind::InvalidData => return Err(not_understood(fault.to_string())),
        Err(fault) => return Err(Error::io("read", &path, fault)),
    };
    let text: Text = toml::from_str(&content).map_err(|fault| not_understood(fault.message().to_owned()))?;
    if text.format != FORMAT {
        return Err(Error::usage(format!("the cache {} is of a newer dagset", folder.display()))
            .hint("update dagset, or name another cache by --cache"));
    }
    let sharing = text.group.map_or(Sharing::Private, Sharing::Group);
    Ok(Some((Limits { max_bytes: text.max_bytes, keep_free_percent: text.keep_free_percent.min(99) }, sharing)))
}

/// Whether this user may add files to the cache at `folder`.
pub fn may_write(folder: &Path) -> bool {
    ["files", "locks", "holds"].iter().all(|inner| {
        let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(folder.join(inner), wanted).is_ok()
    })
}

/// Makes the folders again that somebody removed, as far as this user may.
pub(super) fn complete(folder: &Path, sharing: Sharing) {
    if FOLDERS.iter().any(|name| !folder.join(name).exists()) {
        // Where that can't be done, what needs them says so.
        make_inner(folder, sharing).ok();
    }
}

/// Makes the folders and locks that are missing.
fn make_inner(folder: &Path, sharing: Sharing) -> Result<()> {
    for name in FOLDERS {
        make_folder(&folder.join(name), sharing)?;
    }
    // All at once: a member's own would be closed to the others until its mode is set.
    for byte in 0..=u8::MAX {
        make_folder(&folder.join(format!("files/{byte:02x}")), sharing)?;
    }
    for name in super::claims::lock_names().chain([super::room::LOCK.to_owned()]) {
        let path = folder.join("locks").join(name);
        if !path.exists() {
            write(&path, b"", sharing.common_mode(), sharing)?;
        }
    }
    Ok(())
}

/// Makes what is missing, then writes the file.
pub(super) fn make(folder: &Path, limits: Option<Limits>, sharing: Sharing) -> Result<()> {
    files::create_folders(folder)?;
    let limits = match limits {
        Some(limits) => limits,
        None => usual_limits(folder)?,
    };
    make_folder(folder, sharing)?;
    make_inner(folder, sharing)?;
    let group = match sharing {
        Sharing::Private => None,
        Sharing::Group(group) => Some(group),
    };
    let text = Text { format: FORMAT, max_bytes: limits.max_bytes, keep_free_percent: limits.keep_free_percent, group };
    let text = toml::to_string(&text).map_err(|fault| Error::usage("these limits can't be written").because(fault))?;
    write(&folder.join(FILE), text.as_bytes(), 0o644, sharing)
}

pub(super) fn make_folder(path: &Path, sharing: Sharing) -> Result<()> {
    let made = match fs::create_dir(path) {
        Ok(()) => true,
        Err(_) if path.is_dir() => false,
        Err(fault) => return Err(Error::io("create the folder", path, fault)),
    };
    let owned = fs::symlink_metadata(path)
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == rustix::process::geteuid().as_raw());
    if made || owned {
        set(path, sharing.folder_mode(), sharing)?;
    }
    Ok(())
}

/// Owner's group first, since a change of group may take bits of the mode away.
fn set(path: &Path, mode: u32, sharing: Sharing) -> Result<()> {
    if let Sharing::Group(group) = sharing {
        chown(path, None, Some(group)).map_err(|fault| {
            Error::io("give to the group", path, fault).hint("you must be a member of the group; `id` shows yours")
        })?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|fault| Error::io("set the mode of", path, fault))
}

fn write(path: &Path, bytes: &[u8], mode: u32, sharing: Sharing) -> Result<()> {
    let mut new = NewFile::create(path)?;
    std::io::Write::write_all(&mut new, bytes).map_err(|fault| Error::io("write", path, fault))?;
    new.set_mode(mode)?;
    new.publish(Durability::Synced)?;
    set(path, mode, sharing)
}

/// Half of the disk, a tenth of it kept free.
fn usual_limits(folder: &Path) -> Result<Limits> {
    let space = rustix::fs::statvfs(folder).map_err(|fault| Error::io("look at", folder, fault.into()))?;
    let max_bytes = space.f_blocks.saturating_mul(space.f_frsize) / USUAL_SHARE;
    Ok(Limits { max_bytes, keep_free_percent: USUAL_KEEP_FREE })
}
