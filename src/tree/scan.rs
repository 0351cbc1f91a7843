//! Scanning a folder: what a version of it would hold, in the order of its paths.
//!
//! Kept: regular files with the owner's executable bit, symlinks as links, folders of which nothing else is kept. Hidden files and `.git/` are data.
//! Left out silently: `.dagset` at the root, our own temporaries, what the rules of `.dagsetignore` files and of the command say.
//! Left out and told: special files, names that aren't UTF-8, paths that a version can't hold, what can't be looked at.
//! A symlink is never followed, but for the root itself. What vanishes during the scan was never there.
//!
//! Folders are read by several threads from one stack of work; each becomes a compact listing, sorted by itself. A path's order is that of its bytes, and a folder's paths all
//! begin with its name and `/`, so putting the listings one into the other gives the order of the whole. Nothing recurses: depth is bounded by the length of a path
//! and costs no stack. A million files take about 200 bytes each while they are put together.

use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::ignore::Rules;
use super::listing::{self, ItemKind, Listing, Outcome};
use super::stat::Stat;
use crate::base::{Counter, Error, Observer, RepoPath, Result};

/// What a scan found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file; executable if its owner may execute it.
    File { executable: bool },
    /// A symlink, kept as a link.
    Symlink { target: Box<str> },
    /// A folder of which nothing else is kept.
    EmptyFolder,
}

/// A path that a version of the folder would hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: RepoPath,
    pub kind: FoundKind,
    pub stat: Stat,
}

/// Why a path can't be kept.
#[derive(Debug)]
pub enum LeftOutReason {
    /// Its name, or a symlink's target, isn't UTF-8.
    NotUtf8,
    /// A FIFO, a socket, a device: not data.
    Special(&'static str),
    /// It can't be looked at, or its folder can't be listed.
    Unreadable(io::Error),
    /// A version can't hold such a path.
    Forbidden(&'static str),
}

impl LeftOutReason {
    /// Whether data may be missing for it, so that the exit code must say so.
    pub fn is_incomplete(&self) -> bool {
        !matches!(self, LeftOutReason::Special(_))
    }
}

impl std::fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LeftOutReason::NotUtf8 => f.write_str("isn't UTF-8"),
            LeftOutReason::Special(what) => write!(f, "is {what}"),
            LeftOutReason::Unreadable(fault) => write!(f, "can't be read: {fault}"),
            LeftOutReason::Forbidden(why) => f.write_str(why),
        }
    }
}

/// A path that was left out though no rule says so.
#[derive(Debug)]
pub struct LeftOut {
    /// Relative to the root; what isn't UTF-8 or would steer a terminal is escaped. Empty: the root itself.
    pub path: String,
    pub why: LeftOutReason,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// Ascending by the bytes of the path.
    pub found: Vec<Found>,
    /// Ascending by path.
    pub left_out: Vec<LeftOut>,
}

/// How to scan.
#[derive(Clone, Default)]
pub struct ScanOptions {
    /// Patterns of what to leave out, in gitignore's syntax, relative to the root.
    pub exclude: Vec<String>,
    /// Threads; 0 counts as 1.
    pub jobs: usize,
    /// Sees [`Counter::FilesTotal`] and [`Counter::BytesTotal`] grow.
    pub observer: Observer,
}

/// Scans the folder `root`, or what it links to.
///
/// Fails if `root` isn't a folder that can be opened, or if an ignore file can't be read or understood: without it, data might be kept that must not be.
pub fn scan(root: &Path, options: &ScanOptions) -> Result<Scan> {
    let rules = Rules::new(&options.exclude)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty()).map_err(|fault| match fault {
        Errno::NOENT => Error::not_found(format!("there is no folder {}", root.display())),
        Errno::NOTDIR => Error::usage(format!("{} is not a folder", root.display())),
        fault => Error::io("open the folder", root, fault.into()),
    })?;
    let jobs = options.jobs.max(1);
    let work = Work::new(rules);
    std::thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(|| work.run(&folder, jobs, &options.observer));
        }
        work.run(&folder, jobs, &options.observer);
    });
    let state = work.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(fault) = state.fault {
        return Err(fault);
    }
    let mut left_out = state.left_out;
    left_out.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Scan { found: put_together(state.folders)?, left_out })
}

/// The folders still to read, and what was read.
struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    todo: Vec<Task>,
    /// Folders that are in `todo` or being read.
    open: usize,
    folders: Vec<Folder>,
    left_out: Vec<LeftOut>,
    /// The first error wins; nothing more is begun after it.
    fault: Option<Error>,
}

struct Task {
    number: usize,
    prefix: String,
    rules: Rules,
}

#[derive(Default)]
struct Folder {
    /// `None` for one that vanished or can't be listed.
    listing: Option<Listing>,
    /// Number of its first subfolder; the others follow it.
    first_child: usize,
}

impl Work {
    fn new(rules: Rules) -> Work {
        let todo = vec![Task { number: 0, prefix: String::new(), rules }];
        let folders = vec![Folder::default()];
        let state = State { todo, open: 1, folders, left_out: Vec::new(), fault: None };
        Work { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every thread does until no folder is left.
    fn run(&self, root: &OwnedFd, jobs: usize, observer: &Observer) {
        while let Some(task) = self.next() {
            let read = listing::read(root, task.prefix, &task.rules, jobs);
            if let Ok(Outcome { listing: Some(listing), .. }) = &read {
                count(listing, observer);
            }
            self.done(task.number, read);
        }
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.open == 0 || state.fault.is_some() {
                return None;
            }
            match state.todo.pop() {
                Some(task) => return Some(task),
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn done(&self, number: usize, read: Result<Outcome>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.open -= 1;
        match read {
            Err(fault) => state.fault = state.fault.take().or(Some(fault)),
            Ok(Outcome { listing, left_out, rules }) => {
                state.left_out.extend(left_out);
                let first_child = state.folders.len();
                if let Some(listing) = &listing {
                    let subfolders = listing.items.iter().filter(|item| matches!(item.kind, ItemKind::Folder(_)));
                    let tasks = subfolders.enumerate().map(|(n, item)| Task {
                        number: first_child + n,
                        prefix: listing.path(listing.name(item)) + "/",
                        rules: rules.clone(),
                    });
                    state.todo.extend(tasks);
                    let count = listing.folders as usize;
                    state.open += count;
                    state.folders.resize_with(first_child + count, Folder::default);
                }
                state.folders[number] = Folder { listing, first_child };
            }
        }
        drop(guard);
        self.changed.notify_all();
    }
}

fn count(listing: &Listing, observer: &Observer) {
    let files = listing.items.iter().filter(|item| matches!(item.kind, ItemKind::File { .. }));
    let (files, bytes) = files.fold((0, 0), |(files, bytes), item| (files + 1, bytes + item.stat.size));
    observer.add(Counter::FilesTotal, files);
    observer.add(Counter::BytesTotal, bytes);
}

/// Puts each folder's paths where its name stands in the folder above.
fn put_together(mut folders: Vec<Folder>) -> Result<Vec<Found>> {
    // A listed subfolder always becomes a path, if only its own as an empty one: no need to look further down.
    let is_listed: Vec<bool> = folders.iter().map(|folder| folder.listing.is_some()).collect();
    let is_empty: Vec<bool> = folders.iter().map(|folder| folder.is_empty(&is_listed)).collect();
    let total = folders.iter().filter_map(|folder| folder.listing.as_ref()).map(|listing| listing.items.len()).sum();
    let mut found = Vec::with_capacity(total);
    // The folders that are being put out, outermost first, and the next item of each.
    let mut within = Vec::new();
    let enter = |folders: &mut Vec<Folder>, number: usize| {
        let Folder { listing, first_child } = std::mem::take(&mut folders[number]);
        let mut listing = listing?;
        let children = first_child..first_child + listing.folders as usize;
        if is_empty[children].contains(&true) {
            listing.sort(|child| !is_empty[first_child + child as usize]);
        }
        Some((listing, first_child, 0))
    };
    within.extend(enter(&mut folders, 0));
    while let Some((listing, first_child, next)) = within.last_mut() {
        let Some(item) = listing.items.get(*next).copied() else {
            within.pop();
            continue;
        };
        *next += 1;
        let kind = match item.kind {
            ItemKind::File { executable } => FoundKind::File { executable },
            ItemKind::Symlink(target) => {
                FoundKind::Symlink { target: std::mem::take(&mut listing.targets[target as usize]) }
            }
            ItemKind::Folder(child) if is_empty[*first_child + child as usize] => FoundKind::EmptyFolder,
            ItemKind::Folder(child) => {
                let child = *first_child + child as usize;
                within.extend(enter(&mut folders, child));
                continue;
            }
            ItemKind::Unseen | ItemKind::Nothing => continue,
        };
        let stat = match (&kind, item.kind) {
            (FoundKind::EmptyFolder, ItemKind::Folder(child)) => {
                let listing = folders[*first_child + child as usize].listing.as_ref();
                listing.map(|listing| listing.stat).unwrap_or_default()
            }
            _ => item.stat,
        };
        found.push(Found { path: RepoPath::new(listing.path(listing.name(&item)))?, kind, stat });
    }
    Ok(found)
}

impl Folder {
    fn is_empty(&self, is_listed: &[bool]) -> bool {
        self.listing.as_ref().is_some_and(|listing| {
            listing.items.iter().all(|item| match item.kind {
                ItemKind::Folder(child) => !is_listed[self.first_child + child as usize],
                _ => false,
            })
        })
    }
}

#[cfg(test)]
mod tests;
