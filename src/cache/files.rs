//! The files of a cache: looked at before they are handed out, and appearing whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use crate::base::files::{self, Durability, NewFile, temporary_name};
use crate::base::{Error, Event, Id, Result};

use super::{Cache, list_entry};

/// The time of every file, in seconds since 1970 (2001-09-09): an edit gives a file another.
const FIXED_TIME: i64 = 1_000_000_000;
/// A use is noted again after this long.
const COARSE: Duration = Duration::from_secs(24 * 3600);

/// A file of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub content: Id,
    pub executable: bool,
}

impl Key {
    /// Below the folder of files.
    pub(super) fn relative(&self) -> String {
        let hex = self.content.to_string();
        [&hex[..2], "/", &hex, if self.executable { "-x" } else { "" }].concat()
    }

    /// Of a file's name; `None` for what is no file of a cache.
    pub(super) fn of_name(name: &str) -> Option<Key> {
        let (hex, executable) = name.strip_suffix("-x").map_or((name, false), |hex| (hex, true));
        Some(Key { content: Id::from_hex(hex)?, executable })
    }

    pub(super) fn mode(&self) -> u32 {
        if self.executable { 0o555 } else { 0o444 }
    }
}

/// What stands in a cache under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// When it was last used and last changed or linked, in seconds since 1970.
    Whole {
        used: i64,
        changed: i64,
    },
    Missing,
    /// Its size, time or mode is another: somebody changed it, or only touched it.
    Changed,
}

impl Cache {
    /// Where a file is, if it is there.
    pub fn path_of(&self, key: Key) -> PathBuf {
        self.folder.join("files").join(key.relative())
    }

    /// Whether the file is there, unchanged as far as its size, time and mode tell; then this counts as a use of it. Where
    /// the size is right it is read, and mended if its bytes are right. One that was changed is put into quarantine, and said.
    pub fn has(&self, key: Key, size: u64) -> bool {
        let relative = key.relative();
        match look(&self.files, &relative, key, size) {
            Look::Whole { changed, .. } if self.suspect_since.is_some_and(|since| changed >= since) => false,
            Look::Whole { used, .. } => {
                self.note_use(&relative, used);
                true
            }
            Look::Missing => false,
            Look::Changed => self.judge(key, size),
        }
    }

    /// Takes a file out of use, for somebody to look at, and the views that show it.
    pub fn quarantine(&self, key: Key) {
        let path = self.path_of(key);
        let to = self.folder.join("quarantine").join(format!("{}{}", key.content, temporary_name()));
        let moved = self.is_writable && files::rename(&path, &to).is_ok();
        // Its links in views are the changed file too.
        if moved && let Err(fault) = self.refuse_views_with(key) {
            self.observer.tell(Event::Warning(fault.in_one_line()));
        }
        self.changes.note_put_aside();
        let what = if moved { format!("moved to {}", to.display()) } else { "not used".to_owned() };
        self.observer.tell(Event::Warning(format!("{} was changed since it was cached: {what}", path.display())));
    }

    /// Refuses the views to new jobs that show a file; what nobody holds of them goes.
    fn refuse_views_with(&self, key: Key) -> Result<()> {
        let retired = self.retire_views_with(&[list_entry(key)])?;
        if !retired.is_empty() {
            let held = self.held_views()?;
            retired.iter().for_each(|view| self.clear_view(view, &held));
        }
        Ok(())
    }

    /// Begins a file. Whoever writes it verifies it, then publishes it.
    pub fn begin(&self, key: Key) -> Result<NewCached> {
        self.mark_unsettled()?;
        self.be_at_work();
        let path = self.path_of(key);
        let file = NewFile::create(&path).or_else(|fault| {
            // Somebody may have removed the folder.
            let folder = path.parent().filter(|folder| !folder.exists()).ok_or(fault)?;
            super::config::make_folder(folder, self.sharing)?;
            NewFile::create(&path)
        });
        Ok(NewCached { file: file?, key })
    }

    /// What came of a large file before its coming was cut off, to go on with; its claim is the caller's. Only its own user's is taken.
    pub fn resume(&self, key: Key) -> Option<NewCached> {
        let begun = self.begun_path(key);
        if !self.is_writable || !begun.exists() {
            return None;
        }
        self.mark_unsettled().ok()?;
        self.be_at_work();
        NewFile::resume(&begun, &*self.path_of(key)).map(|file| NewCached { file, key })
    }

    /// Keeps what came of a file, for [`Cache::resume`]; where that can't be it is gone.
    pub fn set_aside(&self, new: NewCached) {
        let begun = self.begun_path(new.key);
        if let Err(fault) = new.file.set_aside(&begun) {
            self.observer.tell(Event::Note(fault.in_one_line()));
        }
    }

    fn begun_path(&self, key: Key) -> PathBuf {
        let relative = key.relative();
        self.folder.join("begun").join(relative.split_once('/').map_or(&*relative, |(_, name)| name))
    }

    /// The last use is the time of the last access, which the owner sets outright and the kernel keeps, a day coarse too, for who
    /// merely reads.
    fn note_use(&self, relative: &str, used: i64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if !self.is_writable || now < Duration::from_secs(used.max(0) as u64) + COARSE {
            return;
        }
        // An edit just now keeps the time that tells of it.
        let kept = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let only_use = Timestamps { last_modification: kept, ..times() };
        if rustix::fs::utimensat(&self.files, relative, &only_use, AtFlags::SYMLINK_NOFOLLOW).is_err() {
            let path = self.folder.join("files").join(relative);
            File::open(path).and_then(|mut file| file.read(&mut [0])).ok();
        }
    }
}

/// What stands at a path below the folder of files, which is open: a short way for the kernel.
fn look(files: &File, relative: &str, key: Key, size: u64) -> Look {
    let Ok(stat) = rustix::fs::statat(files, relative, AtFlags::SYMLINK_NOFOLLOW) else { return Look::Missing };
    let is_whole = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_size as u64 == size
        && is_untouched(&stat, key);
    match is_whole {
        true => Look::Whole { used: stat.st_atime, changed: stat.st_ctime },
        false => Look::Changed,
    }
}

/// Whether a file has the time and the mode that every such file of a cache has.
pub(super) fn is_untouched(stat: &rustix::fs::Stat, key: Key) -> bool {
    has_fixed_time(stat) && stat.st_mode & 0o7777 == key.mode()
}

/// Likewise, where it isn't known which file it is.
pub(super) fn looks_untouched(stat: &rustix::fs::Stat) -> bool {
    has_fixed_time(stat) && [0o444, 0o555].contains(&(stat.st_mode & 0o7777))
}

fn has_fixed_time(stat: &rustix::fs::Stat) -> bool {
    stat.st_mtime == FIXED_TIME && stat.st_mtime_nsec == 0
}

pub(super) fn times() -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        last_modification: Timespec { tv_sec: FIXED_TIME, tv_nsec: 0 },
    }
}

/// A file that is being put into a cache; dropped before it is published, it is gone.
#[must_use = "a file appears only when it is published"]
pub struct NewCached {
    file: NewFile,
    key: Key,
}

impl NewCached {
    /// How many bytes of it were written.
    pub fn length(&self) -> u64 {
        self.file.file().metadata().map_or(0, |meta| meta.len())
    }

    /// Where it is until it is published.
    pub fn path(&self) -> PathBuf {
        self.file.temporary_path()
    }

    /// Drops what is behind the first `bytes`, and goes on there.
    pub fn cut(&self, bytes: u64) -> Result<()> {
        let mut file = self.file.file();
        let cut = file.set_len(bytes).and_then(|()| file.seek(SeekFrom::Start(bytes)));
        cut.map(drop).map_err(|fault| Error::io("cut", &self.path(), fault))
    }

    /// Writes all of `bytes` from the byte `at` on, over what was written there.
    pub fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(at, bytes)
    }

    /// Lets the file be seen: read-only, with the fixed time.
    pub fn publish(mut self) -> Result<()> {
        self.file.set_mode(self.key.mode())?;
        rustix::fs::futimens(self.file.file(), &times()).map_err(|fault| {
            Error::new(crate::base::Kind::Failed, "cannot set the time of a cached file").because(fault)
        })?;
        self.file.publish(Durability::Renamed)
    }
}

impl Write for NewCached {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
