//! Advisory locks on files: they die with their process, and nothing's correctness rests on them.
//!
//! Who holds one is asked of the system, which can't be out of date as a note in the file would be; a holder on another machine has no name.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock, major, minor};

use super::{Error, Event, Kind, Observer, Result};

/// Who waits for so long is told for whom.
const SAID_AFTER: Duration = Duration::from_millis(250);
/// No more of a command is shown.
const SHOWN_CHARS: usize = 120;

/// A held lock; released when dropped.
#[must_use = "the lock is held only while this lives"]
#[derive(Debug)]
pub struct FileLock {
    _file: File,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock at `path`, waiting up to `patience`; a longer wait is told as a warning. Another holder after that: [`Kind::Busy`].
    #[expect(clippy::disallowed_methods, reason = "a lock file has no content to tear")]
    pub fn take(path: &Path, patience: Duration, observer: &Observer) -> Result<FileLock> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            // Whoever may write in the folder could have put a link there, or a FIFO, whose opening waits for a reader.
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)
            .map_err(|fault| Error::io("open the lock", path, fault))?;
        FileLock::wait_for(file, path, patience, observer)
    }

    /// Likewise, the lock of a folder itself: nothing is left there. `None` on a file system that locks no folders, as some network ones.
    pub fn of_folder(folder: &Path, patience: Duration, observer: &Observer) -> Result<Option<FileLock>> {
        let open = File::open(folder).map_err(|fault| Error::io("open the folder", folder, fault))?;
        match FileLock::wait_for(open, folder, patience, observer) {
            Ok(lock) => Ok(Some(lock)),
            Err(fault) if fault.kind() == Kind::Busy => Err(fault),
            Err(_) => Ok(None),
        }
    }

    fn wait_for(file: File, path: &Path, patience: Duration, observer: &Observer) -> Result<FileLock> {
        let begun = Instant::now();
        let mut is_said = false;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(FileLock { _file: file, path: path.to_owned() }),
                Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < patience => {
                    if begun.elapsed() > SAID_AFTER && !std::mem::replace(&mut is_said, true) {
                        let wait = format!("waiting for {}, which has locked {}", holder(&file), path.display());
                        observer.tell(Event::Warning(wait));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let message = format!("{} works here: {} is locked", holder(&file), path.display());
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

/// The process that holds the lock, in words: its number and command where it runs on this machine.
fn holder(file: &File) -> String {
    named_holder(file).unwrap_or_else(|| "another dagset".to_owned())
}

fn named_holder(file: &File) -> Option<String> {
    let meta = file.metadata().ok()?;
    let place = format!("{:02x}:{:02x}:{}", major(meta.dev()), minor(meta.dev()), meta.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let number = locks.lines().find_map(|line| match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        [_, "FLOCK", _, "WRITE", number, at, ..] if at == place => number.parse::<u32>().ok().filter(|it| *it > 0),
        _ => None,
    })?;
    let words = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).trim_end_matches('\0').replace('\0', " ");
    let shown: String = words.chars().map(|c| if c.is_control() { '?' } else { c }).take(SHOWN_CHARS).collect();
    Some(format!("process {number} ({})", if shown.is_empty() { "its command isn't known" } else { &shown }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_for_whom_and_a_lock_ends_with_its_holder() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, observer) = (folder.path().join("lock"), Observer::new());
        let held = FileLock::take(&path, Duration::ZERO, &observer).expect("is free");
        let fault = FileLock::take(&path, SAID_AFTER * 2, &observer).expect_err("is held");
        let here = format!("process {}", std::process::id());
        assert_eq!(fault.kind(), Kind::Busy);
        assert!(fault.to_string().starts_with(&here) && fault.next_step().is_some(), "{fault}");
        let events = observer.take_events();
        let is_said = |event: &Event| matches!(event, Event::Warning(text) if text.contains(&here));
        assert_eq!(events.iter().filter(|event| is_said(event)).count(), 1, "{events:?}");
        drop(held);
        let _lock = FileLock::take(&path, Duration::ZERO, &observer).expect("is free again");
        assert!(observer.take_events().is_empty());
    }

    #[test]
    fn a_folder_is_locked_without_a_file_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = || FileLock::of_folder(folder.path(), Duration::ZERO, &Observer::new());
        let held = lock().expect("is free");
        assert!(held.is_some());
        assert_eq!(lock().expect_err("is held").kind(), Kind::Busy);
        drop(held);
        assert!(lock().expect("is free again").is_some());
        assert_eq!(std::fs::read_dir(folder.path()).expect("is there").count(), 0);
    }
}
