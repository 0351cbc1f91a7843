//! The one place that writes files outside a store: to a temporary in the same folder, then renamed.
//!
//! Where something is to appear is a [`Spot`]: a path, or a name in a folder that is held open, for who writes where others write too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, renameat, symlinkat};
use rustix::io::Errno;

use super::folders::remove_tree;
use super::host::Process;
use super::open_folder::{OpenTree, Spot};
use super::{Error, Result};

/// Temporary files begin with this and are swept by whoever owns the folder.
pub const TEMPORARY_PREFIX: &str = ".dagset-tmp-";

/// Whether a write waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// File and folder are synced before and after the rename: survives power loss.
    Synced,
    /// Renamed only: whole or not there after a crash of the process.
    Renamed,
}

/// A file being written beside its final place; dropped without [`NewFile::publish`], it is removed.
#[must_use = "a new file appears only when it is published"]
pub struct NewFile {
    file: Option<File>,
    temporary: Spot,
    target: Spot,
}

impl NewFile {
    /// Begins a file that will appear at `target`, whose folder must exist.
    pub fn create(target: impl Into<Spot>) -> Result<NewFile> {
        let target = target.into();
        let temporary = target.beside(&temporary_name());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let _going_on = going_on();
        let (folder, name) = temporary.parts();
        let file = openat(folder, name, flags, Mode::from_raw_mode(0o666))
            .map_err(|fault| Error::io("create", &target.path(), fault.into()))?;
        being_written(|all| all.insert(temporary.path(), temporary.clone()));
        Ok(NewFile { file: Some(file.into()), temporary, target })
    }

    /// Goes on with a file of this user's that stands at `begun`, as [`NewFile::set_aside`] leaves it: it will appear at `target`, in a folder
    /// of the same file system. Writing begins at its beginning. `None` where it can't be had; what is another's stays there.
    pub fn resume(begun: &Path, target: impl Into<Spot>) -> Option<NewFile> {
        let is_own = |meta: &fs::Metadata| {
            meta.is_file() && meta.uid() == rustix::process::geteuid().as_raw() && meta.nlink() == 1
        };
        fs::symlink_metadata(begun).ok().filter(is_own)?;
        let target = target.into();
        let temporary = target.beside(&temporary_name());
        let _going_on = going_on();
        // By the rename it is this process' alone.
        rename_over(&Spot::from(begun), &temporary).ok()?;
        being_written(|all| all.insert(temporary.path(), temporary.clone()));
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let (folder, name) = temporary.parts();
        let opened = openat(folder, name, flags, Mode::empty()).ok().map(File::from);
        let file = opened.filter(|file| file.metadata().is_ok_and(|meta| is_own(&meta)));
        if file.is_none() {
            temporary.remove_file().ok();
            being_written(|all| all.remove(&temporary.path()));
        }
        file.map(|file| NewFile { file: Some(file), temporary, target })
    }

    /// Leaves what was written so far at `begun`, for [`NewFile::resume`].
    pub fn set_aside(mut self, begun: &Path) -> Result<()> {
        self.file = None;
        let renamed = {
            let _going_on = going_on();
            rename_over(&self.temporary, &Spot::from(begun))
                .inspect(|()| drop(being_written(|all| all.remove(&self.temporary.path()))))
        };
        renamed.map_err(|fault| {
            self.remove();
            Error::io("write", begun, fault)
        })
    }

    /// Where it is until it appears.
    pub fn temporary_path(&self) -> PathBuf {
        self.temporary.path()
    }

    /// Makes the file executable for whoever may read it, as far as the umask grants.
    pub fn set_executable(&mut self) -> Result<()> {
        let result = self.file().metadata().and_then(|meta| {
            let mode = meta.permissions().mode();
            self.file().set_permissions(fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))
        });
        result.map_err(|fault| Error::io("set the mode of", &self.target.path(), fault))
    }

    /// Sets the mode outright, whatever the umask.
    pub fn set_mode(&mut self, mode: u32) -> Result<()> {
        let set = self.file().set_permissions(fs::Permissions::from_mode(mode));
        set.map_err(|fault| Error::io("set the mode of", &self.target.path(), fault))
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.file.as_ref().expect("present until published")
    }

    /// Writes all of `bytes` from the byte `at` on, over what was written there.
    pub fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file().write_all_at(bytes, at)
    }

    /// Renames it into place, over what is there.
    pub fn publish(mut self, durability: Durability) -> Result<()> {
        let file = self.file.take().expect("present until published");
        let outcome = (|| {
            if durability == Durability::Synced {
                file.sync_all()?;
            }
            drop(file);
            {
                let _going_on = going_on();
                rename_over(&self.temporary, &self.target)?;
                being_written(|all| all.remove(&self.temporary.path()));
            }
            if durability == Durability::Synced {
                self.target.sync_folder()?;
            }
            Ok(())
        })();
        outcome.map_err(|fault| {
            self.remove();
            Error::io("write", &self.target.path(), fault)
        })
    }

    fn remove(&self) {
        let _going_on = going_on();
        self.temporary.remove_file().ok();
        being_written(|all| all.remove(&self.temporary.path()));
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.remove();
        }
    }
}

/// Held for reading while a file begins or appears; for writing by who ends the process.
static GOING_ON: RwLock<()> = RwLock::new(());
/// The temporaries of this process, files and folders.
static BEING_WRITTEN: Mutex<BTreeMap<PathBuf, Spot>> = Mutex::new(BTreeMap::new());

pub(super) fn going_on() -> RwLockReadGuard<'static, ()> {
    GOING_ON.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn being_written<T>(with: impl FnOnce(&mut BTreeMap<PathBuf, Spot>) -> T) -> T {
    with(&mut BEING_WRITTEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Nobody begins or publishes a file, or makes a folder, while this is there.
#[must_use = "dropped, it lets those go on whose files are gone: the process is to end before"]
pub struct Abandoned(#[expect(dead_code, reason = "is held")] RwLockWriteGuard<'static, ()>);

/// Removes all files and folders that this process is writing, as its last deed.
pub fn abandon_files() -> Abandoned {
    let alone = Abandoned(GOING_ON.write().unwrap_or_else(PoisonError::into_inner));
    being_written(|all| {
        for (path, _) in all.iter().filter(|(_, temporary)| temporary.remove_file().is_err()) {
            remove_tree(path).ok();
        }
    });
    alone
}

/// A name for a temporary that no other process or thread uses.
pub fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}{count}", own_prefix())
}

/// What the temporaries of this process begin with. Its number alone comes again: in a container each run has the same.
fn own_prefix() -> &'static str {
    static OWN: LazyLock<String> = LazyLock::new(|| {
        let word = |bytes: [u8; 16]| bytes[..8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        format!("{TEMPORARY_PREFIX}{}-{:016x}-", std::process::id(), random_bytes().map_or(0, word))
    });
    &OWN
}

/// The name of this process in those of its temporaries; no other process has it, on any machine.
pub fn process_name() -> &'static str {
    own_prefix().strip_prefix(TEMPORARY_PREFIX).unwrap_or_default().trim_end_matches('-')
}

/// The name of the process that made a temporary; whatever follows the temporary's own name.
pub fn maker_of(name: &str) -> Option<&str> {
    name.strip_prefix(TEMPORARY_PREFIX)?.rsplit_once('-').map(|(maker, _)| maker)
}

/// Removes the temporaries below `folder` whose process has ended, as far as it may; links are not followed. Gives how many.
pub fn sweep_temporaries(folder: &Path) -> u64 {
    let Ok(mut tree) = OpenTree::open(folder) else { return 0 };
    let mut waiting = vec![String::new()];
    let mut swept = 0;
    while let Some(path) = waiting.pop() {
        let Ok(open) = tree.folder(&path) else { continue };
        for (name, is_folder) in open.list().unwrap_or_default() {
            if is_folder {
                waiting.push(if path.is_empty() { name } else { [&path, "/", &name].concat() });
            } else if is_abandoned(&name) {
                swept += u64::from(open.spot(&name).remove_file().is_ok());
            }
        }
    }
    swept
}

/// The temporaries directly in `folder` whose process has ended.
pub fn abandoned_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let left = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_abandoned));
    left.map(|entry| entry.path()).collect()
}

/// The mark of a `get` that hasn't ended; a temporary too.
pub const GET_MARKER: &str = ".dagset-tmp-get";

/// Whether a name is that of a temporary of ours, by its exact form: a user's `.dagset-tmp-notes` is data.
pub fn is_temporary(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(TEMPORARY_PREFIX) else { return false };
    let parts: Vec<&str> = rest.split('-').collect();
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    name == GET_MARKER
        || matches!(parts[..], [process, random, count] if digits(process, 10) && random.len() == 16 && digits(random, 16) && digits(count, 10))
}

/// Whether this is the name of a temporary whose process doesn't run here any more.
fn is_abandoned(name: &str) -> bool {
    let number = || name.strip_prefix(TEMPORARY_PREFIX)?.split_once('-')?.0.parse().ok();
    let Some(number) = number().filter(|number| *number > 0) else { return false };
    match number == rustix::process::getpid().as_raw_pid() {
        // An earlier process had our number.
        true => !name.starts_with(own_prefix()),
        false => Process::with(number).is_none(),
    }
}

/// Writes a whole small file.
pub fn write_file(target: impl Into<Spot>, bytes: &[u8], durability: Durability) -> Result<()> {
    let mut new = NewFile::create(target)?;
    new.write_all(bytes).map_err(|fault| Error::io("write", &new.target.path(), fault))?;
    new.publish(durability)
}

/// Puts a symlink at `target`, replacing a file or link there by rename.
pub fn write_symlink(target: impl Into<Spot>, points_to: &str) -> Result<()> {
    let target = target.into();
    let temporary = target.beside(&temporary_name());
    let _going_on = going_on();
    let (folder, name) = temporary.parts();
    let made = symlinkat(points_to, folder, name).map_err(io::Error::from);
    made.and_then(|()| rename_over(&temporary, &target)).map_err(|fault| {
        temporary.remove_file().ok();
        Error::io("create the symlink", &target.path(), fault)
    })
}

/// Gives a file, at a path below an open folder, a second name; a file that has that name is replaced by rename.
pub fn hard_link(folder: &File, source: &str, target: &Spot) -> io::Result<()> {
    let link = |to: &Spot| {
        let (to, name) = to.parts();
        linkat(folder, source, to, name, AtFlags::empty())
    };
    let _going_on = going_on();
    match link(target) {
        Err(Errno::EXIST) => {
            let temporary = target.beside(&temporary_name());
            link(&temporary)?;
            let renamed = rename_over(&temporary, target);
            // Where both were one file already, the rename does nothing.
            temporary.remove_file().ok();
            renamed
        }
        made => Ok(made?),
    }
}

/// Renames a file or folder of the user's; what stands at `to` must not be there.
pub fn rename(from: impl Into<Spot>, to: impl Into<Spot>) -> Result<()> {
    let from = from.into();
    rename_over(&from, &to.into()).map_err(|fault| Error::io("rename", &from.path(), fault))
}

fn rename_over(from: &Spot, to: &Spot) -> io::Result<()> {
    let ((from, old), (to, new)) = (from.parts(), to.parts());
    Ok(renameat(from, old, to, new)?)
}

/// Makes one folder; whoever is interrupted makes no more.
pub fn make_folder(at: &Spot) -> io::Result<()> {
    let _going_on = going_on();
    let (folder, name) = at.parts();
    Ok(mkdirat(folder, name, Mode::from_raw_mode(0o777))?)
}

/// Creates a folder and those above it.
pub fn create_folders(path: &Path) -> Result<()> {
    let _going_on = going_on();
    fs::create_dir_all(path).map_err(|fault| Error::io("create the folder", path, fault))
}

/// Opens a file for reading; links are followed. A FIFO, a socket or a device in its place is an error, and nothing is waited for.
pub fn open_regular(path: &Path) -> io::Result<File> {
    check_regular(path)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Reads a whole file, as [`open_regular`] opens it.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Likewise, as UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Refuses what is there and no regular file: somebody else is about to open it, and would wait.
pub fn check_regular(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() { Ok(()) } else { Err(not_regular()) }
}

/// What opening something else than a regular file comes to.
pub fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")
}

/// Waits until a file that is there, and its name, are on the disk.
pub fn sync(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.and_then(|()| Spot::from(path).sync_folder()).map_err(|fault| Error::io("sync", path, fault))
}

/// 16 bytes from the system's random source.
pub fn random_bytes() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(16) => Ok(bytes),
        Ok(_) => Err(Error::new(super::Kind::Failed, "the system's random source gave too few bytes")),
        Err(fault) => Err(Error::new(super::Kind::Failed, "the system's random source failed").because(fault)),
    }
}
