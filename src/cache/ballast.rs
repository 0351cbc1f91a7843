//! Room that is given up where the disk is full, so that what is read can still be held: else `run` and views failed on a disk that has all
//! of the version that they want, and no byte more.
//!
//! The ballast is a file that goes as a whole, for lists, views and leases. Whoever else writes to that disk may take what it gave. So beside it
//! there are spares of each user: files of one block each, into which leases are written where nothing else can be had, and which leases that have ended
//! become again.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::base::files::{self, Durability, NewFile};
use crate::base::{Error, Result};

use super::Cache;

/// Enough for the leases of some dozens of jobs, or for the list of a version of 10,000 files.
pub(super) const BALLAST_BYTES: u64 = 256 << 10;
/// It is kept where the disk has so many times as much room.
const ROOM: u64 = 4;
/// How many leases of one user are had on a disk without any room.
const SPARES: usize = 16;

impl Cache {
    /// Keeps the files, where the disk has room to spare.
    pub(super) fn keep_ballast(&self) {
        let path = self.ballast();
        let missing: Vec<PathBuf> = self.spares().filter(|spare| !spare.exists()).collect();
        if !self.is_writable || (path.exists() && missing.is_empty()) {
            return;
        }
        let needed = (ROOM * BALLAST_BYTES).max(SPARES as u64 * self.block_bytes);
        if self.space().is_ok_and(|space| space.free >= space.floor + needed) {
            // Without them things are as they were.
            if !path.exists() {
                self.write_common(&path, &vec![b'.'; BALLAST_BYTES as usize], Durability::Renamed).ok();
            }
            let block = vec![b'.'; self.block_bytes as usize];
            missing.iter().for_each(|spare| drop(self.write_common(spare, &block, Durability::Renamed)));
        }
    }

    /// Gives the ballast's room away.
    pub(super) fn drop_ballast(&self) {
        fs::remove_file(self.ballast()).ok();
    }

    /// Writes a small file, in the place of a spare where the disk has no room for it.
    pub(super) fn write_somehow(&self, path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
        self.write_common(path, bytes, durability).or_else(|fault| {
            let fits =
                |spare: &NewFile| spare.file().metadata().is_ok_and(|meta| bytes.len() as u64 <= meta.blocks() * 512);
            let spare = self.spares().filter_map(|spare| NewFile::resume(&spare, path)).find(fits);
            let mut new = spare.ok_or(fault)?;
            let written = new.write_all(bytes).and_then(|()| new.file().set_len(bytes.len() as u64));
            written.map_err(|fault| Error::io("write", path, fault))?;
            new.set_mode(self.sharing.common_mode())?;
            new.publish(durability)
        })
    }

    /// Makes a spare of a file that isn't wanted any more, if there is one too few; else it stays.
    pub(super) fn make_spare(&self, path: &Path) -> bool {
        let is_own = fs::symlink_metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.uid() == rustix::process::geteuid().as_raw());
        let missing = self.spares().find(|spare| !spare.exists());
        missing.is_some_and(|spare| is_own && files::rename(path, &*spare).is_ok())
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    fn spares(&self) -> impl Iterator<Item = PathBuf> {
        let folder = self.folder.join("spares");
        let user = rustix::process::geteuid().as_raw();
        (0..SPARES).map(move |number| folder.join(format!("{user}-{number}")))
    }
}
