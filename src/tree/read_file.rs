//! Reading files that others may be writing.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::stat::{Stat, stat_open};
use crate::base::open_folder::open_file;
use crate::base::{Error, Result};

/// Bytes read at a time from large files.
pub const BLOCK: usize = 16 << 20;

/// A file that changes while it is read is read again, so often.
pub const ATTEMPTS: u32 = 3;

/// Reads with `read` until the file's stat is the same before and after; `None` if it never held still.
///
/// `read` gets the open file and its stat, and must read it from the start.
pub fn read_settled<T>(path: &Path, mut read: impl FnMut(&mut File, &Stat) -> Result<T>) -> Result<Option<(T, Stat)>> {
    for _ in 0..ATTEMPTS {
        let mut file = open_file(path).map_err(|fault| Error::io("open", path, fault))?;
        let (before, _) = stat_open(&file, path)?;
        let value = read(&mut file, &before)?;
        let (after, _) = stat_open(&file, path)?;
        if before == after {
            return Ok(Some((value, after)));
        }
    }
    Ok(None)
}

/// Appends up to `most` bytes to `buffer`; fewer only at the end of the file.
pub fn fill(path: &Path, file: &mut File, buffer: &mut Vec<u8>, most: usize) -> Result<usize> {
    file.take(most as u64).read_to_end(buffer).map_err(|fault| Error::io("read", path, fault))
}

/// Appends what a file of that stat holds, to `most` bytes. No call is spent on finding its end: what it grew by meanwhile its stat says. Files of
/// some file systems say that they are empty and aren't.
pub fn fill_as_said(path: &Path, file: &mut File, stat: &Stat, buffer: &mut Vec<u8>, most: usize) -> Result<usize> {
    let said = usize::try_from(stat.size).unwrap_or(usize::MAX);
    fill(path, file, buffer, if said == 0 { most } else { said.min(most) })
}
