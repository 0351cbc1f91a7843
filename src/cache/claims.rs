//! Who fetches a file: a byte of a lock file for each content, locked by the open file (`F_OFD_SETLK`, Linux 3.15), so that a claim
//! ends with its process, however that ends, and leaves nothing behind.
//!
//! The bytes are spread over some files, as the kernel looks through all locks of a file for each new one.

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::files::Key;

const LOCK_FILES: usize = 64;

/// Names of the lock files.
pub(super) fn lock_names() -> impl Iterator<Item = String> {
    (0..LOCK_FILES).map(|number| format!("claims-{number:02}"))
}

/// The claims of one process on one cache.
pub(super) struct Claims {
    files: Vec<(PathBuf, OnceLock<Option<File>>)>,
    /// Threads of one process share the open files, so these locks don't keep them apart.
    own: Mutex<HashSet<Key>>,
}

/// The right to fetch a file; given back when dropped.
#[must_use = "the claim is held only while this lives"]
pub struct Claim<'a> {
    claims: &'a Claims,
    key: Key,
}

impl Claims {
    pub(super) fn new(folder: PathBuf) -> Claims {
        let files = lock_names().map(|name| (folder.join(name), OnceLock::new())).collect();
        Claims { files, own: Mutex::default() }
    }

    pub(super) fn take(&self, key: Key) -> Option<Claim<'_>> {
        if !self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            return None;
        }
        let claim = Claim { claims: self, key };
        // Where locks can't be had everybody fetches for himself.
        let is_free = !matches!(self.set(key, libc::F_WRLCK), Err(nix::Error::EAGAIN | nix::Error::EACCES));
        is_free.then_some(claim)
    }

    fn set(&self, key: Key, kind: i32) -> nix::Result<()> {
        let (path, file) = &self.files[usize::from(key.content.0[31]) % LOCK_FILES];
        let Some(file) = file.get_or_init(|| open(path)) else { return Ok(()) };
        let byte = (key.content.word() << 1 | u64::from(key.executable)) & (i64::MAX as u64 >> 1);
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: byte as libc::off_t,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(drop)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // It also ends with the process.
        self.claims.set(self.key, libc::F_UNLCK).ok();
        self.claims.own.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[expect(clippy::disallowed_methods, reason = "a lock file has no content to tear")]
fn open(path: &PathBuf) -> Option<File> {
    File::options().read(true).write(true).open(path).ok()
}
