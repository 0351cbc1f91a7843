//! What a store in a folder needs beyond `object_store`'s local backend: folders that outlive power loss, and crash
//! leftovers.
//!
//! `object_store` 0.14.2 writes `NAME#1` (`#2`, … where that exists), syncs it, links it to `NAME` and syncs the
//! folder. Four gaps remain:
//! - It syncs the entry of a folder that it makes itself. A writer that finds the folder just made by another may be
//!   acknowledged before that entry is on disk, and so may one that finds the name taken. `Settled` closes both.
//! - It makes folders up to and above the store's root: an unmounted store would come back as a fresh one. `Settled`
//!   looks for the root first.
//! - Its files have the modes that the writer's umask leaves: one writer with 077 would lock all others out. `Settled` gives them
//!   the rights that the root gives, and so it does, when the store is opened, to what was there before the root got its rights.
//! - A crash leaves `NAME#1`, which its listings hide. [`sweep_staging`] removes those.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::fault::classify;
use super::locate::STORE_FILE;
use super::log::record_name;
use crate::base::{Error, ObjectName, Result, Time, files};

/// The folders of one store whose entries this process knows to be on disk.
pub(super) struct Settled {
    root: PathBuf,
    /// The root's mode.
    mode: u32,
    known: Mutex<HashSet<String>>,
}

impl Settled {
    pub(super) fn new(root: PathBuf) -> Settled {
        let mode = fs::metadata(&root).map_or(0, |meta| meta.permissions().mode());
        let settled = Settled { root, mode, known: Mutex::default() };
        // Where the folder got its rights after the store was made in it. Another's, or not there: there is nothing to see to.
        [STORE_FILE.to_owned(), record_name(1)].iter().for_each(|name| settled.share(name).unwrap_or_default());
        settled
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// To be called before a write: the root must still be there if the folder of `name` isn't known yet.
    pub(super) fn check_root(&self, name: &str) -> io::Result<()> {
        match self.is_known(parent(name)) || self.root.is_dir() {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "the store's folder is gone")),
        }
    }

    /// Lets those read an object just written, and use the folders above it, who may do so with the root, whatever the umask.
    pub(super) fn share(&self, name: &str) -> io::Result<()> {
        match grant(&self.root.join(name), self.mode & 0o444) {
            // A collector has removed it already, as it may where the writer's session is void: the record that names it is refused then.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            granted => granted?,
        }
        let mut folder = parent(name);
        while !folder.is_empty() && !self.is_known(folder) {
            grant(&self.root.join(folder), self.mode & 0o2777)?;
            folder = parent(folder);
        }
        Ok(())
    }

    /// Syncs the entry of each folder above `name`, once per folder and process.
    pub(super) fn settle(&self, name: &str) -> io::Result<()> {
        let mut folder = parent(name);
        while !folder.is_empty() && !self.is_known(folder) {
            self.sync(parent(folder))?;
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
            folder = parent(folder);
        }
        Ok(())
    }

    /// Syncs the folder that holds `name`: its entry is there, perhaps by a writer that hasn't synced it yet.
    pub(super) fn settle_entry(&self, name: &str) -> io::Result<()> {
        self.sync(parent(name))
    }

    /// Removes the folder of `name` where that is a trial's and empty.
    pub(super) fn tidy(&self, name: &str) {
        let folder = self.root.join(parent(name));
        if is_of_trial(&folder, &self.root) {
            remove_if_empty(&folder);
        }
    }

    fn is_known(&self, folder: &str) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }

    fn sync(&self, folder: &str) -> io::Result<()> {
        File::open(self.root.join(folder))?.sync_all()
    }
}

/// Adds rights to those that a file or folder of this user's has.
fn grant(path: &Path, rights: u32) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & rights == rights {
        return Ok(());
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(mode | rights)) {
        // Another user's: to see to it was up to that one.
        Err(fault) if fault.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        outcome => outcome,
    }
}

pub(super) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Makes the folder of a new store and those above it, durably.
pub(super) fn create_root(path: &Path) -> Result<()> {
    let there = path.ancestors().position(Path::is_dir);
    files::create_folders(path)?;
    let made = there.unwrap_or_else(|| path.ancestors().count());
    for folder in path.ancestors().skip(1).take(made) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder).and_then(|open| open.sync_all()).map_err(|fault| Error::io("sync", folder, fault))?;
    }
    Ok(())
}

/// Removes the empty folders that trials of the place left.
pub fn sweep_trials(root: &Path) {
    let folders = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.filter(|folder| is_of_trial(folder, root)).for_each(|folder| remove_if_empty(&folder));
}

/// Removes a folder of a store if nothing is in it. For folders that only their maker writes into: another could just be about to.
fn remove_if_empty(folder: &Path) {
    // Not empty, not there, not allowed: it stays, and harms nobody.
    fs::remove_dir(folder).ok();
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    pub files: u64,
    pub bytes: u64,
}

/// Removes what writers that died left in a folder store: `NAME#<digits>`, last written more than `age` before `now`.
///
/// Age alone is no proof that a writer is dead: a machine may sleep for a week between write and link. If its staging
/// file were swept and another writer's took the same name, it would wake up and link the other's half-written bytes as
/// its own. So a leftover goes only where that can't happen: where `NAME` exists (a link would fail), or where `NAME`
/// ends in random bytes (nobody else would use it, and the sleeper's link fails for want of its file), or lies in the folder of a trial. A leftover of a
/// log number not yet taken stays until it is.
pub fn sweep_staging(root: &Path, now: Time, age: Duration) -> Result<Swept> {
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let mut swept = Swept::default();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        // Its maker may remove a folder meanwhile, as that of a trial.
        let is_gone = |fault: &io::Error| fault.kind() == io::ErrorKind::NotFound && folder != root;
        let entries = match fs::read_dir(&folder) {
            Err(fault) if is_gone(&fault) => continue,
            entries => entries.map_err(|fault| unlisted(root, &folder, fault))?,
        };
        for entry in entries {
            let entry = match entry {
                Err(fault) if is_gone(&fault) => break,
                entry => entry.map_err(|fault| unlisted(root, &folder, fault))?,
            };
            let path = entry.path();
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(path);
                continue;
            }
            let Some(target) = entry.file_name().to_str().and_then(staged_for).map(str::to_owned) else { continue };
            let modified = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            let modified_ms = i64::try_from(modified.as_millis()).unwrap_or(i64::MAX);
            let old = now.0.saturating_sub(modified_ms) > age_ms;
            let is_of_nobody = is_of_trial(&folder, root) || is_random(&target) || folder.join(&target).exists();
            if !old || !meta.is_file() || !is_of_nobody {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => {
                    swept.files += 1;
                    swept.bytes += meta.len();
                }
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
                Err(fault) => return Err(Error::io("remove the leftover", &path, fault)),
            }
            if is_of_trial(&folder, root) {
                remove_if_empty(&folder);
            }
        }
    }
    Ok(swept)
}

fn unlisted(root: &Path, folder: &Path, fault: io::Error) -> Error {
    classify(fault.kind(), "read from", &root.display().to_string()).because(format!("{}: {fault}", folder.display()))
}

/// Whether a trial of the place wrote into `folder`: its name is random, so that nobody else does.
fn is_of_trial(folder: &Path, root: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    folder.parent() == Some(root) && name.and_then(|name| name.strip_prefix("check-")).is_some_and(is_random)
}

/// The names in a folder, and whether each is a folder or leads to one; without those that a writer has yet to link.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<(String, bool)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        if staged_for(&name).is_none() {
            entries.push((name, kind.is_dir() || kind.is_symlink() && entry.path().is_dir()));
        }
    }
    Ok(entries)
}

fn staged_for(file_name: &str) -> Option<&str> {
    let (target, count) = file_name.rsplit_once('#')?;
    (!target.is_empty() && !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit())).then_some(target)
}

fn is_random(target: &str) -> bool {
    let hex = |text: &str| text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    hex(target) || ObjectName::parse(target).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_old_leftovers_that_no_link_can_use() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let pack = format!("packs/{}", ObjectName { born: 3, random: [7; 16] });
        let random = "0123456789abcdef0123456789abcdef";
        let trial = format!("check-{random}");
        for sub in ["packs", "log/000/000", "uses/ab", &trial] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        let make = |name: &str| fs::write(root.join(name), b"half").unwrap();
        let gone =
            [format!("{pack}#1"), "log/000/000/001#2".into(), format!("uses/ab/{random}#12"), format!("{trial}/2#16")];
        let kept = ["log/000/000/001".into(), "log/000/000/002#1".into(), "packs/x#y".into(), format!("{pack}#")];
        gone.iter().chain(&kept).for_each(|name| make(name));

        let age = Duration::from_secs(3600);
        assert_eq!(sweep_staging(root, Time::now(), age).unwrap(), Swept::default(), "all are young");
        let later = Time(Time::now().0 + 3_700_000);
        assert_eq!(sweep_staging(root, later, age).unwrap(), Swept { files: 4, bytes: 16 });
        assert!(gone.iter().all(|name| !root.join(name).exists()) && !root.join(trial).exists());
        assert!(kept.iter().all(|name| root.join(name).exists()));
    }

    #[test]
    fn a_sweep_passes_over_folders_that_go_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let trials: Vec<_> = (0..64).map(|number| folder.path().join(format!("check-{number:032x}"))).collect();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    trials.iter().for_each(|trial| fs::create_dir(trial).unwrap());
                    trials.iter().for_each(|trial| fs::remove_dir(trial).unwrap());
                }
            });
            let sweep = |_| sweep_staging(folder.path(), Time::now(), Duration::from_secs(3600));
            let swept: Vec<_> = (0..500).map(sweep).collect();
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(swept.iter().all(Result::is_ok), "{swept:?}");
        });
        assert!(
            sweep_staging(&folder.path().join("none"), Time::now(), Duration::ZERO).is_err(),
            "but not over the store"
        );
    }

    #[test]
    fn what_was_collected_right_behind_its_writer_needs_no_rights_and_a_root_that_is_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        fs::create_dir_all(root.join("packs")).unwrap();
        let settled = Settled::new(root.clone());
        settled.share("packs/gone").unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(settled.share("packs/gone").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_root_is_made_with_those_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b/c");
        create_root(&root).unwrap();
        create_root(&root).unwrap();
        assert!(root.is_dir());
    }
}
