//! Folders that are held open, so that nobody can lead away what is written below them.
//!
//! The system looks a path up anew in each call that gets it: who may write in a folder can swap a part of the path for a symlink between
//! a look and a write. A descriptor goes on meaning the folder that it was opened for. So the root of a tree is opened once, by
//! the path that the user gave; a folder below is reached from there by one call that follows no link; what is in it is named by
//! its last component alone.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::stat::{NodeKind, Stat, from_raw};
use super::{Error, Result};

/// For being named in calls, not for reading.
const AS_PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Neighbours in path order lie in one folder, or near. Each worker of a tree holds so many open.
const KEPT_OPEN: usize = 4;
/// Longer paths are opened in two steps.
const MOST_IN_A_CALL: usize = 4_000;

/// A folder held open, and the path that its user knows it by. A clone is the same descriptor.
#[derive(Debug, Clone)]
pub struct OpenFolder {
    handle: Arc<OwnedFd>,
    path: Arc<Path>,
}

impl OpenFolder {
    /// Opens the folder at a path that the user gave, through the links that are in it.
    pub fn open(path: &Path) -> Result<OpenFolder> {
        let flags = AS_PLACE.difference(OFlags::NOFOLLOW);
        let handle = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|fault| Error::io("open the folder", path, fault.into()))?;
        Ok(OpenFolder { handle: Arc::new(handle), path: path.into() })
    }

    /// Opens a folder that nobody may have put a link in place of.
    pub(super) fn open_itself(path: &Path) -> io::Result<OpenFolder> {
        let handle = rustix::fs::open(path, AS_PLACE, Mode::empty())?;
        Ok(OpenFolder { handle: Arc::new(handle), path: path.into() })
    }

    /// Sets the folder's mode.
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::chmodat(&self.handle, ".", Mode::from_raw_mode(mode), AtFlags::empty())?)
    }

    /// The folder at a relative path without `..`; an error of the system's if any part of it is a link, or no folder.
    pub fn below(&self, relative: &str) -> Result<OpenFolder, Errno> {
        let handle = open_below(self.handle.as_fd(), relative, AS_PLACE)?;
        Ok(OpenFolder { handle: Arc::new(handle), path: self.path.join(relative).into() })
    }

    /// What stands, or is to stand, in it under a name of one component.
    pub fn spot(&self, name: &str) -> Spot {
        debug_assert!(!name.contains('/'), "a name in a folder, not a path");
        Spot { folder: Some(self.clone()), name: name.into() }
    }

    /// The names in it that are UTF-8, and whether each is a folder.
    pub fn list(&self) -> io::Result<Vec<(String, bool)>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut names = Vec::new();
        for entry in Dir::new(rustix::fs::openat(&self.handle, ".", flags, Mode::empty())?)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let is_folder = match entry.file_type() {
                FileType::Unknown => matches!(self.spot(name).stat(), Ok((_, NodeKind::Folder))),
                known => known == FileType::Directory,
            };
            if name != "." && name != ".." {
                names.push((name.to_owned(), is_folder));
            }
        }
        Ok(names)
    }
}

/// Opens a folder below another for reading its names. What is said of [`OpenFolder::below`] holds.
pub fn open_for_listing(root: &OwnedFd, relative: &str) -> Result<OwnedFd, Errno> {
    open_below(root.as_fd(), relative, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC)
}

fn open_below(root: BorrowedFd<'_>, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
    match rustix::fs::openat2(root, relative, flags, Mode::empty(), resolve) {
        // An older kernel, one that keeps the call from containers, or a path of 4,096 bytes, which is one too long for a call.
        Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => walk(root, relative, flags),
        opened => opened,
    }
}

/// As one call would open it, part by part.
fn walk(root: BorrowedFd<'_>, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut parts = relative.split('/').peekable();
    let mut folder: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_some() { AS_PLACE } else { flags };
        let from = folder.as_ref().map_or(root, AsFd::as_fd);
        folder = Some(rustix::fs::openat(from, part, flags, Mode::empty())?);
    }
    folder.ok_or(Errno::INVAL)
}

/// Opens a file for reading, also by a path that is longer than the system takes in one call. A link in its place is refused, and nothing is
/// waited for should it be a FIFO: whether it is a regular file is for the caller to see.
pub fn open_file(path: &Path) -> io::Result<File> {
    match Spot::from(path).open() {
        Err(fault) if Errno::from_io_error(&fault) == Some(Errno::NAMETOOLONG) => {
            let text = path.to_str().ok_or(fault)?;
            let cut = text.char_indices().take_while(|(at, _)| *at < MOST_IN_A_CALL).filter(|(_, c)| *c == '/').last();
            let (at, _) = cut.ok_or(Errno::NAMETOOLONG)?;
            let (folder, name) = split(&text[at + 1..]);
            let top = rustix::fs::open(&text[..at], AS_PLACE.difference(OFlags::NOFOLLOW), Mode::empty())?;
            let top = OpenFolder { handle: Arc::new(top), path: Path::new(&text[..at]).into() };
            let folder = if folder.is_empty() { top } else { top.below(folder)? };
            folder.spot(name).open()
        }
        opened => opened,
    }
}

/// Where something stands or is to appear: a name in an open folder, or a path that is looked up as the system does it.
#[derive(Debug, Clone)]
pub struct Spot {
    folder: Option<OpenFolder>,
    name: PathBuf,
}

impl From<&Path> for Spot {
    fn from(path: &Path) -> Spot {
        Spot { folder: None, name: path.to_owned() }
    }
}

impl From<&PathBuf> for Spot {
    fn from(path: &PathBuf) -> Spot {
        Spot::from(path.as_path())
    }
}

impl From<&Spot> for Spot {
    fn from(spot: &Spot) -> Spot {
        spot.clone()
    }
}

impl Spot {
    /// The path as the user knows it: for messages.
    pub fn path(&self) -> PathBuf {
        match &self.folder {
            Some(folder) => folder.path.join(&self.name),
            None => self.name.clone(),
        }
    }

    /// What a call that takes a folder and a name is to be given.
    pub(super) fn parts(&self) -> (BorrowedFd<'_>, &Path) {
        (self.folder.as_ref().map_or(CWD, |folder| folder.handle.as_fd()), &self.name)
    }

    /// Another name in the same folder.
    pub(super) fn beside(&self, name: &str) -> Spot {
        Spot { folder: self.folder.clone(), name: self.name.with_file_name(name) }
    }

    /// Waits until the names in its folder are on the disk.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        let (folder, _) = self.parts();
        let above = self.name.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::fsync(rustix::fs::openat(folder, above, flags, Mode::empty())?)?)
    }

    /// What the system says of what stands here; a link is not followed.
    pub fn raw_stat(&self) -> io::Result<rustix::fs::Stat> {
        let (folder, name) = self.parts();
        Ok(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Likewise, in our words.
    pub fn stat(&self) -> Result<(Stat, NodeKind)> {
        self.raw_stat().map(|raw| from_raw(&raw)).map_err(|fault| Error::io("look at", &self.path(), fault))
    }

    /// Where the link that stands here points to.
    pub fn read_link(&self) -> io::Result<Vec<u8>> {
        let (folder, name) = self.parts();
        Ok(rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes())
    }

    /// Opens the file that stands here for reading. A link is refused, and nothing is waited for should it be a FIFO.
    pub fn open(&self) -> io::Result<File> {
        let (folder, name) = self.parts();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?.into())
    }

    /// Removes a file or a link.
    pub fn remove_file(&self) -> io::Result<()> {
        let (folder, name) = self.parts();
        Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    pub fn remove_folder(&self) -> io::Result<()> {
        let (folder, name) = self.parts();
        Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
    }
}

/// A tree whose folders are opened as they are asked for; the last few stay open for their neighbours. Each thread has its own.
#[derive(Debug, Clone)]
pub struct OpenTree {
    root: OpenFolder,
    /// By path below the root, the last used in front.
    kept: VecDeque<(String, OpenFolder)>,
}

impl OpenTree {
    /// The tree below the folder at `root`, which must be there.
    pub fn open(root: &Path) -> Result<OpenTree> {
        Ok(OpenTree { root: OpenFolder::open(root)?, kept: VecDeque::new() })
    }

    /// The folder at a path below the root, `""` for the root itself; an error of the system's if a link or something else stands there.
    pub fn folder(&mut self, path: &str) -> Result<OpenFolder, Errno> {
        if path.is_empty() {
            return Ok(self.root.clone());
        }
        if let Some(at) = self.kept.iter().position(|(kept, _)| kept == path) {
            self.kept.swap(0, at);
            return Ok(self.kept[0].1.clone());
        }
        let opened = self.root.below(path)?;
        self.kept.truncate(KEPT_OPEN - 1);
        self.kept.push_front((path.to_owned(), opened.clone()));
        Ok(opened)
    }

    /// What stands at a path below the root; its folder must be there.
    pub fn spot(&mut self, path: &str) -> Result<Spot> {
        let (folder, name) = split(path);
        let folder = self.folder(folder);
        let folder = folder.map_err(|fault| Error::io("reach", &self.root.path.join(path), fault.into()))?;
        Ok(folder.spot(name))
    }

    /// Removes a file, link or empty folder, then the folders above it that are empty now, but for the root. What isn't there, or only by
    /// way of a link, is removed already.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        let failed = |root: &OpenFolder, fault: io::Error| Err(Error::io("remove", &root.path.join(path), fault));
        let (mut folder, name) = split(path);
        let spot = match self.folder(folder) {
            Ok(open) => open.spot(name),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(fault) => return failed(&self.root, fault.into()),
        };
        let removed = match spot.remove_file() {
            Err(fault) if fault.kind() == io::ErrorKind::IsADirectory => spot.remove_folder(),
            removed => removed,
        };
        match removed {
            Ok(()) => {}
            // What rules leave out may still be in a folder: then it stays.
            Err(fault) if matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
            Err(fault) => return failed(&self.root, fault),
        }
        while !folder.is_empty() {
            let (above, name) = split(folder);
            let gone = self.folder(above).is_ok_and(|above| above.spot(name).remove_folder().is_ok());
            if !gone {
                break;
            }
            self.kept.retain(|(kept, _)| kept != folder);
            folder = above;
        }
        Ok(())
    }
}

/// A path's folder, `""` at the root, and its last component.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder `in/a/b`, and a link `in/out` to a folder beside it.
    fn stage() -> tempfile::TempDir {
        let stage = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(stage.path().join("in/a/b")).expect("folders");
        fs::create_dir_all(stage.path().join("beside/b")).expect("folders");
        symlink("../beside", stage.path().join("in/out")).expect("a link");
        stage
    }

    #[test]
    fn one_call_and_the_walk_reach_the_same_and_no_link() {
        let stage = stage();
        let root = OpenFolder::open(&stage.path().join("in")).expect("opens");
        let inode = |handle: &OwnedFd| rustix::fs::fstat(handle).expect("a stat").st_ino;
        for path in ["a", "a/b"] {
            let by_walk = walk(root.handle.as_fd(), path, AS_PLACE).expect("opens");
            assert_eq!(inode(&root.below(path).expect("opens").handle), inode(&by_walk));
        }
        for path in ["out", "out/b", "none", "a/none"] {
            assert!(root.below(path).is_err() && walk(root.handle.as_fd(), path, AS_PLACE).is_err(), "{path}");
        }
    }

    #[test]
    fn what_was_opened_stays_itself_when_a_link_takes_its_name() {
        let stage = stage();
        let mut tree = OpenTree::open(&stage.path().join("in")).expect("opens");
        let spot = tree.spot("a/b/file").expect("reached");
        fs::rename(stage.path().join("in/a"), stage.path().join("in/moved")).expect("moves");
        symlink("../beside", stage.path().join("in/a")).expect("a link");
        super::super::files::write_file(&spot, b"x", super::super::files::Durability::Synced).expect("writes");
        assert!(stage.path().join("in/moved/b/file").exists());
        assert!(!stage.path().join("beside/b/file").exists());
        assert_eq!(spot.path(), stage.path().join("in/a/b/file"));
        let mut later = OpenTree::open(&stage.path().join("in")).expect("opens");
        assert!(later.spot("a/b/file").is_err());
    }

    #[test]
    fn removing_takes_empty_folders_along_and_stops_at_links() {
        let stage = stage();
        fs::write(stage.path().join("in/a/b/file"), "x").expect("writes");
        fs::write(stage.path().join("beside/b/file"), "x").expect("writes");
        let mut tree = OpenTree::open(&stage.path().join("in")).expect("opens");
        for path in ["a/b/file", "out/b/file", "none", "a/b/none"] {
            tree.remove(path).expect("removes");
        }
        assert!(!stage.path().join("in/a").exists());
        assert!(stage.path().join("beside/b/file").exists());
        tree.remove("out").expect("removes the link");
        assert_eq!(fs::read_dir(stage.path().join("in")).expect("the root stays").count(), 0);
    }
}
