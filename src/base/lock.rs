//! Advisory locks on files: they die with their process, and nothing's correctness rests on them.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{Error, Kind, Result};

/// A held lock; released when dropped.
#[must_use = "the lock is held only while this lives"]
#[derive(Debug)]
pub struct FileLock {
    _file: File,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock at `path`, waiting up to `patience`. Another holder after that: [`Kind::Busy`].
    #[expect(clippy::disallowed_methods, reason = "a lock file has no content to tear")]
    pub fn take(path: &Path, patience: Duration) -> Result<FileLock> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            // Whoever may write in the folder could have put a link there, or a FIFO, whose opening waits for a reader.
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)
            .map_err(|fault| Error::io("open the lock", path, fault))?;
        let deadline = Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(FileLock { _file: file, path: path.to_owned() }),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let message = format!("another dagset works here: {} is locked", path.display());
                    return Err(Error::new(Kind::Busy, message).hint("wait for it to end, then run the command again"));
                }
                Err(fault) => return Err(Error::io("lock", path, fault.into())),
            }
        }
    }

    /// The lock's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
