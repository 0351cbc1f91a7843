//! From a version to a folder: each file is verified and appears by rename, on all cores.
//!
//! Entries stream from the manifest in path order and are handed out in runs of neighbours, so that files that share a frame are
//! written by one worker from one decoded frame. From a far store a worker has its whole run read at once, and there are more workers than
//! cores: while some wait for theirs, others decode and write. By way of a cache a run is brought there first, and then linked or copied.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::files::{self, Durability, NewFile};
use crate::base::folders::make_folder;
use crate::base::{Counter, Error, Id, Kind, Observer, Result, Stage, Tally};
use crate::cache::Key;
use crate::format::manifest::{Entry, EntryKind};
use crate::store::content::Content;
use crate::store::fetch::Ahead;
use crate::tree::stat::{NodeKind, Stat, stat_file};

use super::by_cache::ByCache;
use super::fill::{Filler, Wanted};
use super::read_content::{read_content, read_files_ahead};
use super::runs::{FAR, Placed, each_run};

const OWNER_WRITES: u32 = 0o200;

/// Where files come from.
pub enum Source<'a> {
    Store(&'a Content),
    /// The store, by way of a cache.
    Cache(ByCache<'a>),
}

impl Source<'_> {
    fn content(&self) -> &Content {
        match self {
            Source::Store(content) => content,
            Source::Cache(by) => by.content(),
        }
    }
}

/// What is done where something stands already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is expected to be there: a file that is there was written by a run that was cut off, and is kept if it is right.
    Resume,
    /// It is replaced unless it is right already: the content, and whether it is a file of its own or a link to a cache.
    Replace,
}

/// What was written, for a stat index.
#[derive(Debug, Clone)]
pub struct Written {
    pub target: String,
    pub entry: Entry,
    pub stat: Stat,
}

/// Writes entries below `folder`, which exists, from the store or by way of a cache. Gives what was written if `keep` is set, in no order.
pub fn write_entries(
    source: Source<'_>,
    folder: &Path,
    entries: impl Iterator<Item = Result<Placed>> + Send,
    existing: Existing,
    keep: bool,
    jobs: usize,
    observer: &Observer,
) -> Result<Vec<Written>> {
    let (limits, workers) = Filler::pace(source.content(), jobs);
    let writer = Writer { source, folder, existing, keep, observer, made: Mutex::default() };
    each_run(entries, limits, workers, observer, |run, stop, written| writer.write_run(run, stop, written))
}

/// What stands where a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Nothing,
    /// Its content is right, but it is a link where a file of its own was asked for, or the other way round.
    InOtherForm,
    AsAsked,
    Other,
}

/// Whether a file that stands in a folder can be written to, and is no other file as well: a write would change that too.
pub fn is_of_its_own(there: &fs::Metadata) -> bool {
    there.is_file() && there.nlink() == 1 && there.mode() & OWNER_WRITES != 0
}

/// What is known of a folder that files go into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Made by this run: nothing of others is in it.
    Fresh,
    /// It was there.
    Old,
}

struct Writer<'a> {
    source: Source<'a>,
    folder: &'a Path,
    existing: Existing,
    keep: bool,
    observer: &'a Observer,
    /// Folders that are known to be real folders.
    made: Mutex<HashMap<PathBuf, Known>>,
}

impl Writer<'_> {
    fn write_run(&self, run: Vec<Placed>, stop: &AtomicBool, written: &mut Vec<Written>) -> Result<()> {
        let tally = Tally::new(self.observer, run.iter().map(|placed| placed.leaf.entry.bytes()).sum());
        let _ahead = match &self.source {
            Source::Store(content) => self.read_ahead(content, &run, &tally, |_| true)?,
            Source::Cache(by) => {
                let missing = run.iter().filter(|placed| self.is_missing(placed));
                let missing: Vec<_> = missing.filter_map(|placed| Wanted::of(&placed.leaf)).collect();
                match by.bring(&missing, stop, &tally)? {
                    true => None,
                    false => self.read_ahead(by.content(), &run, &tally, |file| by.lacks(file))?,
                }
            }
        };
        for placed in run {
            if stop.load(Ordering::Acquire) {
                break;
            }
            let stat = match self.write(&placed, &tally) {
                // What has come of others is finished.
                Err(fault) if fault.kind() == Kind::Interrupted => continue,
                stat => stat?,
            };
            if self.keep {
                written.push(Written { target: placed.target, entry: placed.leaf.entry, stat });
            }
        }
        Ok(())
    }

    /// Has the content of a run's files read, but of those that seem to be there, of those that `comes` says come otherwise and of those that
    /// are read piece by piece.
    fn read_ahead(
        &self,
        content: &Content,
        run: &[Placed],
        tally: &Arc<Tally>,
        comes: impl Fn(&Wanted) -> bool,
    ) -> Result<Option<Ahead>> {
        if !content.is_far() {
            return Ok(None);
        }
        let missing = run.iter().filter(|placed| self.is_missing(placed)).filter_map(|placed| Wanted::of(&placed.leaf));
        let ahead = missing.filter(|file| file.size <= FAR.bytes && comes(file));
        let files: Vec<_> = ahead.map(|file| (file.key.content, file.size, file.place)).collect();
        read_files_ahead(content, &files, tally).map(Some)
    }

    /// Whether no file of this size, and as it was asked for, stands where this one goes.
    fn is_missing(&self, placed: &Placed) -> bool {
        let target = self.folder.join(&placed.target);
        // A fault is met again when it is written.
        if target.parent().is_some_and(|parent| matches!(self.make_folder(parent), Ok(Known::Fresh))) {
            return true;
        }
        let EntryKind::File { size, content, executable } = placed.leaf.entry.kind else { return false };
        if let Source::Cache(by) = &self.source
            && by.is_linked(Key { content, executable }, size, &target)
        {
            return false;
        }
        let there = stat_file(&target);
        let is_there = there.is_ok_and(|(stat, kind)| matches!(kind, NodeKind::File { .. }) && stat.size == size);
        !is_there || !self.is_in_form(&target, size)
    }

    fn write(&self, placed: &Placed, tally: &Arc<Tally>) -> Result<Stat> {
        let target = self.folder.join(&placed.target);
        let entry = &placed.leaf.entry;
        let is_fresh = match target.parent() {
            Some(parent) => self.make_folder(parent)? == Known::Fresh,
            None => false,
        };
        match &entry.kind {
            EntryKind::EmptyFolder => {
                self.make_folder(&target)?;
            }
            EntryKind::Symlink { target: points_to } => {
                if !fs::read_link(&target).is_ok_and(|now| now.as_os_str() == &**points_to) {
                    if !is_fresh {
                        self.make_room(&target)?;
                    }
                    files::write_symlink(&target, points_to)?;
                }
            }
            EntryKind::File { size, content, executable } => {
                let stands = if is_fresh { Stands::Nothing } else { self.look(&target, content, *size, *executable)? };
                match stands {
                    Stands::AsAsked => tally.note(Stage::Placed, *size),
                    Stands::InOtherForm | Stands::Nothing => self.write_file(placed, &target, tally)?,
                    Stands::Other => {
                        self.make_room(&target)?;
                        self.write_file(placed, &target, tally)?;
                    }
                }
                self.observer.add(Counter::Files, 1);
            }
        }
        if !self.keep {
            return Ok(Stat::default());
        }
        stat_file(&target).map(|(stat, _)| stat)
    }

    fn write_file(&self, placed: &Placed, target: &Path, tally: &Arc<Tally>) -> Result<()> {
        let Some(file) = Wanted::of(&placed.leaf) else { return Ok(()) };
        if let Source::Cache(by) = &self.source
            && by.place(&file, target, tally)?
        {
            tally.note(Stage::Placed, file.size);
            return Ok(());
        }
        let mut new = NewFile::create(target)?;
        let write = |bytes: &[u8]| {
            tally.note(Stage::Placed, bytes.len() as u64);
            new.write_all(bytes).map_err(|fault| Error::io("write", target, fault))
        };
        read_content(self.source.content(), &file.key.content, file.size, file.place.as_ref(), tally, write)
            .map_err(|fault| fault.within(format!("{} can't be got", file.path)))?;
        if file.key.executable {
            new.set_executable()?;
        }
        new.publish(Durability::Renamed)
    }

    /// What stands where a file goes.
    fn look(&self, target: &Path, content: &Id, size: u64, executable: bool) -> Result<Stands> {
        if let Source::Cache(by) = &self.source
            && by.is_linked(Key { content: *content, executable }, size, target)
        {
            return Ok(Stands::AsAsked);
        }
        let Ok((stat, kind)) = stat_file(target) else { return Ok(Stands::Nothing) };
        if kind != (NodeKind::File { executable }) || stat.size != size {
            return Ok(Stands::Other);
        }
        let mut file = fs::File::open(target).map_err(|fault| Error::io("open", target, fault))?;
        match crate::tree::read_file::hash_file(target, &mut file)? == *content {
            true if self.is_in_form(target, size) => Ok(Stands::AsAsked),
            true => Ok(Stands::InOtherForm),
            false => Ok(Stands::Other),
        }
    }

    /// Whether a file that stands there, and isn't the cached one that was asked for, is as files are that were.
    fn is_in_form(&self, target: &Path, size: u64) -> bool {
        match &self.source {
            Source::Cache(by) if by.links(size) => false,
            _ => fs::symlink_metadata(target).is_ok_and(|meta| is_of_its_own(&meta)),
        }
    }

    /// Takes an empty folder away that stands where a file goes. What a rename replaces may stay where that was asked for; a folder with
    /// something in it is never removed.
    fn make_room(&self, target: &Path) -> Result<()> {
        match (stat_file(target), self.existing) {
            (Err(_), _) => Ok(()),
            (Ok((_, NodeKind::Folder)), Existing::Replace) => fs::remove_dir(target).map_err(|fault| {
                Error::conflict(format!("the folder {} stands where a file goes", target.display()))
                    .because(fault)
                    .hint("move the folder away, then run the command again")
            }),
            (Ok(_), Existing::Replace) => Ok(()),
            (Ok(_), Existing::Resume) => {
                Err(Error::conflict(format!("{} was changed since the get that was cut off", target.display()))
                    .hint("move the file away, or give --overwrite to replace it"))
            }
        }
    }

    /// Makes `folder` and those above it, up to the target, real folders: a symlink there would lead the write elsewhere.
    fn make_folder(&self, folder: &Path) -> Result<Known> {
        if folder == self.folder {
            return Ok(Known::Old);
        }
        let known = || self.made.lock().unwrap_or_else(PoisonError::into_inner).get(folder).copied();
        if let Some(known) = known() {
            return Ok(known);
        }
        if let Some(parent) = folder.parent() {
            self.make_folder(parent)?;
        }
        let mut known = match make_folder(folder) {
            Ok(()) => Known::Fresh,
            Err(_) => Known::Old,
        };
        if known == Known::Old && !matches!(stat_file(folder), Ok((_, NodeKind::Folder))) {
            if self.existing != Existing::Replace {
                return Err(Error::conflict(format!("{} is not a folder", folder.display())));
            }
            fs::remove_file(folder).map_err(|fault| Error::io("replace", folder, fault))?;
            files::create_folders(folder)?;
            known = Known::Fresh;
        }
        // Another worker may have made it just before: then it said so, and that stands.
        Ok(*self.made.lock().unwrap_or_else(PoisonError::into_inner).entry(folder.to_owned()).or_insert(known))
    }
}
