//! Reading files that others may be writing.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::stat::{NodeKind, Stat, stat_open};
use crate::base::files::not_regular;
use crate::base::open_folder::open_file;
use crate::base::{Error, Result};

/// A file that changes while it is read is read again, so often.
pub const ATTEMPTS: u32 = 3;

/// Reads with `read` until the file's stat is the same before and after; `None` if it never held still.
///
/// `read` gets the open file and its stat, and must read it from the start.
///
/// Errors: what isn't a regular file any more (a link or a FIFO took its place), without waiting for it.
pub fn read_settled<T>(path: &Path, mut read: impl FnMut(&mut File, &Stat) -> Result<T>) -> Result<Option<(T, Stat)>> {
    for _ in 0..ATTEMPTS {
        let mut file = open_file(path).map_err(|fault| Error::io("open", path, fault))?;
        let (before, kind) = stat_open(&file, path)?;
        if !matches!(kind, NodeKind::File { .. }) {
            return Err(Error::io("read", path, not_regular()));
        }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_took_the_place_of_a_file_is_neither_waited_for_nor_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let text_of = || read_settled(&path, |file, _| fill(&path, file, &mut Vec::new(), 9));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let refused = text_of().unwrap_err().in_one_line();
        assert!(refused.contains("it is no regular file"), "{refused}");
        fs::remove_file(&path).unwrap();
        let outside = folder.path().join("outside");
        fs::write(&outside, "secret").unwrap();
        std::os::unix::fs::symlink(&outside, &path).unwrap();
        assert!(text_of().is_err(), "a link leads anywhere");
        fs::remove_file(&path).unwrap();
        fs::rename(&outside, &path).unwrap();
        assert_eq!(text_of().unwrap().map(|(bytes, _)| bytes), Some(6));
    }
}
