//! A file that is given up where the disk is full, so that what is read can still be held: else `run` and views failed on a disk that has all
//! of the version that they want, and no byte more.

use std::fs;
use std::path::PathBuf;

use crate::base::files::Durability;

use super::Cache;

/// Enough for the leases of some dozens of jobs, or for the list of a version of 10,000 files.
pub(super) const BALLAST_BYTES: u64 = 256 << 10;
/// It is kept where the disk has so many times as much room.
const ROOM: u64 = 4;

impl Cache {
    /// Keeps the file, where the disk has room to spare.
    pub(super) fn keep_ballast(&self) {
        let path = self.ballast();
        let has_room = || self.space().is_ok_and(|space| space.free >= space.floor + ROOM * BALLAST_BYTES);
        if self.is_writable && !path.exists() && has_room() {
            // Without it things are as they were.
            self.write_common(&path, &vec![b'.'; BALLAST_BYTES as usize], Durability::Renamed).ok();
        }
    }

    /// Gives its room away.
    pub(super) fn drop_ballast(&self) {
        fs::remove_file(self.ballast()).ok();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}
