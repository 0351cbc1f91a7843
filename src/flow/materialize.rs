//! From a version to a folder: each file is verified and appears by rename, on all cores.
//!
//! Entries stream from the manifest in path order and are handed out in runs of neighbours, so that files that share a frame are
//! written by one worker from one decoded frame. From a far store a worker has its whole run read at once, and there are more workers than
//! cores: while some wait for theirs, others decode and write.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use crate::base::files::{self, Durability, NewFile};
use crate::base::{Counter, Error, Id, Observer, Result};
use crate::format::manifest::{Entry, EntryKind};
use crate::store::content::Content;
use crate::store::fetch::Ahead;
use crate::tree::manifest::Leaf;
use crate::tree::stat::{NodeKind, Stat, stat_file};

use super::read_content::{read_content, read_files_ahead};

/// A run ends with its folder, so that two workers seldom write into one folder at a time; or here.
const NEAR: RunLimits = RunLimits { least_files: 64, files: 1024, bytes: 4 << 20 };
/// One request brings a run from a far store, or few.
const FAR: RunLimits = RunLimits { least_files: 4096, files: 4096, bytes: 8 << 20 };
/// Workers for a far store: as many runs are in memory.
const FAR_WORKERS: usize = 16;

/// How long runs are.
#[derive(Clone, Copy)]
struct RunLimits {
    /// Runs of small folders are joined up to this.
    least_files: usize,
    files: usize,
    bytes: u64,
}

/// An entry and where it goes, relative to the target.
pub struct Placed {
    pub target: String,
    pub leaf: Leaf,
}

/// What is done where something stands already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is expected to be there: a file that is there was written by a run that was cut off, and is kept if it is right.
    Resume,
    /// It is replaced unless it is right already.
    Replace,
}

/// What was written, for a stat index.
#[derive(Debug, Clone)]
pub struct Written {
    pub target: String,
    pub entry: Entry,
    pub stat: Stat,
}

/// Writes entries below `folder`, which exists. Gives what was written if `keep` is set, in no order.
pub fn write_entries(
    content: &Content,
    folder: &Path,
    entries: impl Iterator<Item = Result<Placed>> + Send,
    existing: Existing,
    keep: bool,
    jobs: usize,
    observer: &Observer,
) -> Result<Vec<Written>> {
    let writer =
        Writer { content, folder, existing, keep, observer, made: Mutex::default(), stop: AtomicBool::new(false) };
    let (limits, workers) = if content.is_far() { (FAR, jobs.max(FAR_WORKERS)) } else { (NEAR, jobs.max(1)) };
    let (queue, runs) = sync_channel::<Vec<Placed>>(jobs * 2);
    let runs = Mutex::new(runs);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| writer.work(&runs))).collect();
        let fed = feed(entries, limits, &queue, &writer.stop);
        drop(queue);
        let mut written = Vec::new();
        let mut fault = fed.err();
        for worker in workers {
            match worker.join().expect("a worker doesn't panic") {
                Ok(part) => written.extend(part),
                Err(other) => fault = fault.or(Some(other)),
            }
        }
        fault.map_or(Ok(written), Err)
    })
}

fn feed(
    entries: impl Iterator<Item = Result<Placed>>,
    limits: RunLimits,
    queue: &std::sync::mpsc::SyncSender<Vec<Placed>>,
    stop: &AtomicBool,
) -> Result<()> {
    let (mut run, mut bytes) = (Vec::new(), 0);
    for placed in entries {
        let placed = placed.inspect_err(|_| stop.store(true, Ordering::Release))?;
        let next_folder = |before: &Placed| folder_of(&before.target) != folder_of(&placed.target);
        let ends = run.len() >= limits.least_files && run.last().is_some_and(next_folder);
        let size = placed.leaf.entry.bytes();
        if ends || run.len() >= limits.files || (bytes > 0 && bytes + size > limits.bytes) {
            bytes = 0;
            if stop.load(Ordering::Acquire) || queue.send(std::mem::take(&mut run)).is_err() {
                return Ok(());
            }
        }
        bytes += size;
        run.push(placed);
    }
    // A closed queue means that the workers stopped at an error of their own.
    queue.send(run).ok();
    Ok(())
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
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
    content: &'a Content,
    folder: &'a Path,
    existing: Existing,
    keep: bool,
    observer: &'a Observer,
    /// Folders that are known to be real folders.
    made: Mutex<HashMap<PathBuf, Known>>,
    stop: AtomicBool,
}

impl Writer<'_> {
    fn work(&self, runs: &Mutex<Receiver<Vec<Placed>>>) -> Result<Vec<Written>> {
        let mut written = Ok(Vec::new());
        loop {
            let run = runs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(run) = run else { return written };
            // After a failure the queue is emptied: who fills it would wait for ever.
            let Ok(done) = &mut written else { continue };
            if let Err(fault) = self.write_run(run, done) {
                self.stop.store(true, Ordering::Release);
                written = Err(fault);
            }
        }
    }

    fn write_run(&self, run: Vec<Placed>, written: &mut Vec<Written>) -> Result<()> {
        let _ahead = self.read_ahead(&run)?;
        for placed in run {
            if self.stop.load(Ordering::Acquire) {
                break;
            }
            let stat = self.write(&placed)?;
            if self.keep {
                written.push(Written { target: placed.target, entry: placed.leaf.entry, stat });
            }
        }
        Ok(())
    }

    /// Has the content of a run's files read, but of those that seem to be there and of those that are read piece by piece.
    fn read_ahead(&self, run: &[Placed]) -> Result<Option<Ahead>> {
        if !self.content.is_far() {
            return Ok(None);
        }
        let is_missing = |placed: &Placed, size| {
            let there = stat_file(&self.folder.join(&placed.target));
            !there.is_ok_and(|(stat, kind)| matches!(kind, NodeKind::File { .. }) && stat.size == size)
        };
        let file = |placed: &Placed| match placed.leaf.entry.kind {
            EntryKind::File { size, content, .. } if size <= FAR.bytes && is_missing(placed, size) => {
                Some((content, size, placed.leaf.place))
            }
            _ => None,
        };
        read_files_ahead(self.content, &run.iter().filter_map(file).collect::<Vec<_>>()).map(Some)
    }

    fn write(&self, placed: &Placed) -> Result<Stat> {
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
                if is_fresh || !self.is_right(&target, content, *size, *executable)? {
                    if !is_fresh {
                        self.make_room(&target)?;
                    }
                    self.write_file(placed, &target, content, *size, *executable)?;
                } else {
                    self.observer.add(Counter::Bytes, *size);
                }
                self.observer.add(Counter::Files, 1);
            }
        }
        if !self.keep {
            return Ok(Stat::default());
        }
        stat_file(&target).map(|(stat, _)| stat)
    }

    fn write_file(&self, placed: &Placed, target: &Path, content: &Id, size: u64, executable: bool) -> Result<()> {
        let mut new = NewFile::create(target)?;
        let write = |bytes: &[u8]| {
            // Piece by piece, so that a large file is seen to advance.
            self.observer.add(Counter::Bytes, bytes.len() as u64);
            new.write_all(bytes).map_err(|fault| Error::io("write", target, fault))
        };
        read_content(self.content, content, size, placed.leaf.place.as_ref(), write)
            .map_err(|fault| fault.within(format!("{} can't be got", placed.leaf.path)))?;
        if executable {
            new.set_executable()?;
        }
        new.publish(Durability::Renamed)
    }

    /// Whether exactly this file stands there already.
    fn is_right(&self, target: &Path, content: &Id, size: u64, executable: bool) -> Result<bool> {
        let Ok((stat, kind)) = stat_file(target) else { return Ok(false) };
        if kind != (NodeKind::File { executable }) || stat.size != size {
            return Ok(false);
        }
        let mut file = fs::File::open(target).map_err(|fault| Error::io("open", target, fault))?;
        Ok(crate::tree::read_file::hash_file(target, &mut file)? == *content)
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
        let mut known = match fs::create_dir(folder) {
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
