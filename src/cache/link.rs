//! From a cache to where a job reads: links where the file system has them, else copies.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::ioctl_ficlone;
use rustix::io::Errno;

use crate::base::files::{self, Durability, NewFile};
use crate::base::{Error, Result, Spot};

use super::{Cache, Key};

const COPY_BUFFER: usize = 256 << 10;
/// How often a link is tried to a file that others replace.
const TRIES: usize = 20;

/// How files get from a cache to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A copy that shares its blocks with the original until one of them is written: btrfs, XFS, bcachefs.
    Reflink,
    /// The cached file itself under another name, read-only.
    Hardlink,
    /// A link that says where the cached file is.
    Symlink,
    Copy,
    /// A hardlink; a symlink where that can't be.
    InView,
}

/// How one file got there, which may be otherwise than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linked {
    pub by: Link,
    /// Why a hardlink wasn't possible.
    pub instead: Option<Instead>,
}

/// Why a file was copied instead of hardlinked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// The file system allows no more links to one file (65,000 on ext4).
    TooManyLinks,
    /// It is another user's, and the kernel allows no links to those (`fs.protected_hardlinks`).
    OfAnother,
}

impl Cache {
    /// Puts a file of the cache at `target`, over a file that is there. What is empty is a file of its own but in a view: so many
    /// links to the one empty file would be of no use to anybody.
    pub fn link_out(&self, key: Key, size: u64, link: Link, target: &Spot) -> Result<Linked> {
        let source = self.path_of(key);
        let by = |by| Linked { by, instead: None };
        match link {
            // Unlike the others, it can be made to nothing.
            Link::Symlink if !self.has(key, size) => Err(Error::io("link to", &source, io::ErrorKind::NotFound.into())),
            Link::Symlink => point_to(&source, target).map(|()| by(link)),
            // What is empty too: a file of the view's own would be looked at by nobody.
            Link::InView => match files::hard_link(&self.files, &key.relative(), target) {
                Ok(()) => Ok(by(Link::Hardlink)),
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => Err(Error::io("link", &target.path(), fault)),
                Err(_) if !self.has(key, size) => Err(Error::io("link to", &source, io::ErrorKind::NotFound.into())),
                Err(_) => {
                    point_to(&self.path_in_view(key, &target.path()), target)?;
                    Ok(by(Link::Symlink))
                }
            },
            Link::Hardlink if size > 0 => match files::hard_link(&self.files, &key.relative(), target) {
                Ok(()) => Ok(by(link)),
                Err(fault) => {
                    let instead = match Errno::from_io_error(&fault) {
                        Some(Errno::MLINK) => Instead::TooManyLinks,
                        Some(Errno::PERM | Errno::ACCESS) => Instead::OfAnother,
                        _ => return Err(Error::io("link", &target.path(), fault)),
                    };
                    copy(&source, target, key)?;
                    Ok(Linked { by: Link::Copy, instead: Some(instead) })
                }
            },
            Link::Hardlink | Link::Copy => copy(&source, target, key).map(|()| by(Link::Copy)),
            Link::Reflink => {
                let mut new = NewFile::create(target)?;
                let from = File::open(&source).map_err(|fault| Error::io("open", &source, fault))?;
                ioctl_ficlone(new.file(), &from)
                    .map_err(|fault| Error::io("clone into", &target.path(), fault.into()))?;
                if key.executable {
                    new.set_executable()?;
                }
                new.publish(Durability::Renamed)?;
                Ok(by(link))
            }
        }
    }

    /// Reads a file, and fails if it isn't what its name says.
    pub fn check_bytes(&self, key: Key) -> Result<()> {
        read_verified(&self.path_of(key), key, |_| Ok(()))
    }

    /// Tries which links the file systems of the cache and of `folder` can have: a reflink, a hardlink.
    pub fn probe(&self, folder: &Path) -> Result<(bool, bool)> {
        let tried = self.folder.join("cache.toml");
        let target = Spot::from(&folder.join(files::temporary_name()));
        let from = File::open(&tried).map_err(|fault| Error::io("open", &tried, fault))?;
        let new = NewFile::create(&target)?;
        let reflinks = ioctl_ficlone(new.file(), &from).is_ok();
        drop(new);
        // Another's file can't be linked, which says nothing about the file system.
        let link = || files::hard_link(&self.files, "../cache.toml", &target);
        // A file that others replace just now has no name for a moment, as when several make one cache.
        let is_there =
            |linked: &io::Result<()>| !linked.as_ref().is_err_and(|fault| fault.kind() == io::ErrorKind::NotFound);
        let hardlinks = match (1..TRIES).map(|_| link()).find(is_there).unwrap_or_else(link) {
            Ok(()) => true,
            Err(fault) => matches!(Errno::from_io_error(&fault), Some(Errno::PERM | Errno::ACCESS | Errno::MLINK)),
        };
        target.remove_file().ok();
        Ok((reflinks, hardlinks))
    }

    /// What kind of link to this very file, which nobody changed, `target` is; `None` if it is none.
    pub fn linked_as(&self, key: Key, size: u64, target: &Spot) -> Option<Link> {
        self.kind_of_link(key, target).filter(|_| self.has(key, size))
    }

    fn kind_of_link(&self, key: Key, target: &Spot) -> Option<Link> {
        let source = self.path_of(key);
        if target.read_link().is_ok_and(|points_to| points_to == source.as_os_str().as_encoded_bytes()) {
            return Some(Link::Symlink);
        }
        let (one, other) = (rustix::fs::lstat(&source).ok()?, target.raw_stat().ok()?);
        ((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)).then_some(Link::Hardlink)
    }
}

fn point_to(source: &Path, target: &Spot) -> Result<()> {
    let points_to = source
        .to_str()
        .ok_or_else(|| Error::usage(format!("{} is not text, which links of ours are", source.display())))?;
    files::write_symlink(target, points_to)
}

/// Copies a file, verified on its way; [`Kind::Damaged`](crate::base::Kind::Damaged) if it isn't what its name says.
fn copy(source: &Path, target: &Spot, key: Key) -> Result<()> {
    let mut new = NewFile::create(target)?;
    let write = |bytes: &[u8]| new.write_all(bytes).map_err(|fault| Error::io("copy to", &target.path(), fault));
    read_verified(source, key, write)?;
    if key.executable {
        new.set_executable()?;
    }
    new.publish(Durability::Renamed)
}

/// Reads a cached file; an error behind the last piece if it isn't what its name says.
fn read_verified(source: &Path, key: Key, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let fault = |fault| Error::io("read", source, fault);
    let mut file = File::open(source).map_err(fault)?;
    let size = file.metadata().map_err(fault)?.len();
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(COPY_BUFFER).clamp(1, COPY_BUFFER)];
    let mut hasher = blake3::Hasher::new();
    loop {
        let read = file.read(&mut buffer).map_err(fault)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        sink(&buffer[..read])?;
    }
    match hasher.finalize().as_bytes() == &key.content.0 {
        true => Ok(()),
        false => Err(Error::damaged(format!("{} isn't what it was cached as", source.display()))),
    }
}
