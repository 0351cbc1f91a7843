//! One folder's names and stats, as compact as a million of them asks for.
//!
//! Everything is looked at relative to the open folder, so that no path is resolved for a file. Names lie in one string; an item
//! has a fixed size. What can't be kept is told apart here; what rules leave out never becomes an item.

use std::ops::Range;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::ignore::{IGNORE_FILE, Rules};
use super::scan::{LeftOut, LeftOutReason};
use super::stat::{NodeKind, Stat, from_raw};
use crate::base::files::is_temporary;
use crate::base::open_folder::open_for_listing;
use crate::base::path::CONTROL_FOLDER;
use crate::base::{Error, RepoPath, Result};

/// Folders with more items than this are looked at by several threads.
const MANY_ITEMS: usize = 8_192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKind {
    /// Listed, and not yet looked at.
    Unseen,
    File {
        executable: bool,
    },
    /// Ordinal in the targets.
    Symlink(u32),
    /// Ordinal among the folder's subfolders, in the order of the items.
    Folder(u32),
    /// Gone, or told as left out.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    start: u32,
    len: u8,
    pub kind: ItemKind,
    pub stat: Stat,
}

/// What a folder holds, ascending as [`order`] says.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The folder's path with a `/` behind it; empty for the root.
    pub prefix: String,
    pub stat: Stat,
    pub items: Vec<Item>,
    pub targets: Vec<Box<str>>,
    /// How many of the items are folders.
    pub folders: u32,
    names: String,
}

/// What came of reading a folder.
pub(super) struct Outcome {
    /// `None` for a folder that vanished or can't be listed.
    pub listing: Option<Listing>,
    pub left_out: Vec<LeftOut>,
    /// The rules that hold in its subfolders.
    pub rules: Rules,
}

impl Listing {
    pub fn name(&self, item: &Item) -> &str {
        &self.names[item.range()]
    }

    /// The path of an item; names were checked when they were listed.
    pub fn path(&self, name: &str) -> String {
        let mut path = String::with_capacity(self.prefix.len() + name.len());
        path.push_str(&self.prefix);
        path.push_str(name);
        path
    }

    /// Sorts the items into the order of the paths that will come of them; `holds_paths` says which subfolders become paths below them
    /// rather than an entry of their own.
    pub fn sort(&mut self, holds_paths: impl Fn(u32) -> bool) {
        let names = &self.names;
        let key =
            |item: &Item| (&names.as_bytes()[item.range()], matches!(item.kind, ItemKind::Folder(n) if holds_paths(n)));
        self.items.sort_unstable_by(|a, b| order(key(a), key(b)));
    }
}

impl Item {
    fn range(&self) -> Range<usize> {
        self.start as usize..self.start as usize + usize::from(self.len)
    }
}

/// The order of names as their paths will have it: a folder's name counts with the `/` that follows it.
pub(super) fn order(a: (&[u8], bool), b: (&[u8], bool)) -> std::cmp::Ordering {
    let shared = a.0.len().min(b.0.len());
    let next = |(name, is_folder): (&[u8], bool)| name.get(shared).copied().or(is_folder.then_some(b'/'));
    a.0[..shared].cmp(&b.0[..shared]).then_with(|| next(a).cmp(&next(b)))
}

/// Reads the folder `prefix` below `root`. Errors are those of ignore files only; all else is told in the outcome.
pub(super) fn read(root: &OwnedFd, prefix: String, rules: &Rules, jobs: usize) -> Result<Outcome> {
    let mut outcome = Outcome { listing: None, left_out: Vec::new(), rules: rules.clone() };
    let path = prefix.trim_end_matches('/').to_owned();
    let opened = open_for_listing(root, if path.is_empty() { "." } else { &path }).and_then(|folder| {
        let stat = from_raw(&rustix::fs::fstat(&folder)?).0;
        let dir = Dir::read_from(&folder)?;
        Ok((folder, dir, stat))
    });
    let (folder, dir, stat) = match opened {
        Ok(opened) => opened,
        // Vanished, or replaced by something else: what the next scan will see.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(outcome),
        Err(fault) => {
            outcome
                .left_out
                .push(LeftOut { path: shown(path.as_bytes()), why: LeftOutReason::Unreadable(fault.into()) });
            return Ok(outcome);
        }
    };
    let mut listing = Listing { prefix, stat, ..Listing::default() };
    if let Err(fault) = list(dir, &mut listing, &mut outcome.left_out) {
        let why = LeftOutReason::Unreadable(fault.into());
        outcome.left_out.push(LeftOut { path: shown(path.as_bytes()), why });
        return Ok(outcome);
    }
    if listing.items.iter().any(|item| listing.name(item) == IGNORE_FILE) {
        outcome.rules = read_rules(&folder, &listing.prefix, rules)?;
    }
    look_at_all(&folder, &mut listing, &outcome.rules, jobs, &mut outcome.left_out);
    outcome.listing = Some(listing);
    Ok(outcome)
}

/// The names in a folder that may become paths; folders are known by their type already where the file system tells it.
fn list(dir: Dir, listing: &mut Listing, left_out: &mut Vec<LeftOut>) -> Result<(), Errno> {
    let prefix = listing.prefix.clone();
    let full = |name: &[u8]| [prefix.as_bytes(), name].concat();
    for entry in dir {
        let entry = entry?;
        let raw = entry.file_name().to_bytes();
        if raw == b"." || raw == b".." || std::str::from_utf8(raw).is_ok_and(is_temporary) {
            continue;
        }
        if prefix.is_empty() && raw == CONTROL_FOLDER.as_bytes() {
            continue;
        }
        let Ok(name) = std::str::from_utf8(raw) else {
            left_out.push(LeftOut { path: shown(&full(raw)), why: LeftOutReason::NotUtf8 });
            continue;
        };
        let (Ok(len), true) = (u8::try_from(name.len()), prefix.len() + name.len() <= 4096) else {
            let why = RepoPath::fault(&(prefix.clone() + name)).unwrap_or("is too long");
            left_out.push(LeftOut { path: shown(&full(raw)), why: LeftOutReason::Forbidden(why) });
            continue;
        };
        let Ok(start) = u32::try_from(listing.names.len()) else {
            return Err(Errno::OVERFLOW);
        };
        listing.names.push_str(name);
        let kind = match entry.file_type() {
            FileType::Directory => ItemKind::Folder(0),
            _ => ItemKind::Unseen,
        };
        listing.items.push(Item { start, len, kind, stat: Stat::default() });
    }
    Ok(())
}

/// The rules with the folder's ignore file, if that is a file.
fn read_rules(folder: &OwnedFd, prefix: &str, rules: &Rules) -> Result<Rules> {
    let failed = |fault: std::io::Error| Error::io("read", format!("{prefix}{IGNORE_FILE}").as_ref(), fault);
    // Not blocking, should it be a FIFO.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(folder, IGNORE_FILE, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(rules.clone()),
        Err(fault) => return Err(failed(fault.into())),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Ok(rules.clone());
    }
    rules.within(prefix, &std::io::read_to_string(file).map_err(failed)?)
}

/// Applies the rules, takes the stats, reads the symlinks and brings all in order.
fn look_at_all(folder: &OwnedFd, listing: &mut Listing, rules: &Rules, jobs: usize, left_out: &mut Vec<LeftOut>) {
    let mut items = std::mem::take(&mut listing.items);
    let threads = if items.len() > MANY_ITEMS { jobs } else { 1 };
    if threads > 1 {
        let share = items.len().div_ceil(threads);
        let names: &Listing = listing;
        std::thread::scope(|scope| {
            let parts = items.chunks_mut(share);
            let running: Vec<_> = parts.map(|part| scope.spawn(move || look_at(folder, names, part, rules))).collect();
            for part in running {
                left_out.extend(part.join().expect("looking at files doesn't panic"));
            }
        });
    } else {
        left_out.extend(look_at(folder, listing, &mut items, rules));
    }
    for item in &mut items {
        if let ItemKind::Symlink(ordinal) = &mut item.kind {
            *ordinal = listing.targets.len() as u32;
            match read_target(folder, listing.name(item)) {
                Ok(target) => listing.targets.push(target),
                Err(why) => {
                    left_out.extend(why.map(|why| left(listing, item, why)));
                    item.kind = ItemKind::Nothing;
                }
            }
        }
    }
    items.retain(|item| item.kind != ItemKind::Nothing);
    items.shrink_to_fit();
    listing.items = items;
    listing.sort(|_| true);
    // A folder that changes while it is read may show a name twice.
    let names = std::mem::take(&mut listing.names);
    listing.items.dedup_by(|a, b| names[a.range()] == names[b.range()]);
    listing.names = names;
    for item in &mut listing.items {
        if let ItemKind::Folder(ordinal) = &mut item.kind {
            *ordinal = listing.folders;
            listing.folders += 1;
        }
    }
}

fn look_at(folder: &OwnedFd, listing: &Listing, items: &mut [Item], rules: &Rules) -> Vec<LeftOut> {
    let mut left_out = Vec::new();
    let ruled_out = |item: &Item, is_folder: bool| {
        !rules.is_empty() && rules.leave_out(&listing.path(listing.name(item)), is_folder)
    };
    for item in items {
        if matches!(item.kind, ItemKind::Folder(_)) {
            if ruled_out(item, true) {
                item.kind = ItemKind::Nothing;
            }
            continue;
        }
        let looked = rustix::fs::statat(folder, listing.name(item), AtFlags::SYMLINK_NOFOLLOW);
        let known = looked.map(|raw| from_raw(&raw));
        item.kind = match &known {
            Ok((_, kind)) if ruled_out(item, *kind == NodeKind::Folder) => ItemKind::Nothing,
            Err(_) if ruled_out(item, false) => ItemKind::Nothing,
            Ok((_, NodeKind::File { executable })) => ItemKind::File { executable: *executable },
            Ok((_, NodeKind::Symlink)) => ItemKind::Symlink(0),
            Ok((_, NodeKind::Folder)) => ItemKind::Folder(0),
            Ok((_, NodeKind::Special(what))) => {
                left_out.push(left(listing, item, LeftOutReason::Special(what)));
                ItemKind::Nothing
            }
            Err(Errno::NOENT) => ItemKind::Nothing,
            Err(fault) => {
                left_out.push(left(listing, item, LeftOutReason::Unreadable((*fault).into())));
                ItemKind::Nothing
            }
        };
        item.stat = known.map(|(stat, _)| stat).unwrap_or_default();
    }
    left_out
}

fn left(listing: &Listing, item: &Item, why: LeftOutReason) -> LeftOut {
    LeftOut { path: shown(listing.path(listing.name(item)).as_bytes()), why }
}

/// A symlink's target; why it can't be kept, or nothing if it is gone.
fn read_target(folder: &OwnedFd, name: &str) -> Result<Box<str>, Option<LeftOutReason>> {
    let target = match rustix::fs::readlinkat(folder, name, Vec::new()) {
        Ok(target) => target,
        Err(Errno::NOENT | Errno::INVAL) => return Err(None),
        Err(fault) => return Err(Some(LeftOutReason::Unreadable(fault.into()))),
    };
    match target.into_string() {
        Ok(target) if target.is_empty() => Err(Some(LeftOutReason::Forbidden("is a symlink to nothing"))),
        Ok(target) => Ok(target.into()),
        Err(_) => Err(Some(LeftOutReason::NotUtf8)),
    }
}

/// A path as it may be shown: what isn't UTF-8 and what would steer a terminal is escaped.
fn shown(path: &[u8]) -> String {
    let mut text = String::new();
    for part in path.utf8_chunks() {
        for c in part.valid().chars() {
            if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
        }
        for byte in part.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}
