//! From a version to a folder: each file is verified and appears by rename, on all cores.
//!
//! Entries stream from the manifest in path order and are handed out in runs of neighbours, so that files that share a frame are
//! written by one worker from one decoded frame. From a far store a worker has its whole run read at once, and there are more workers than
//! cores: while some wait for theirs, others decode and write. By way of a cache a run is brought there first, and then linked or copied.
//!
//! Nothing is written through a link that stands in the target, nor through one that somebody puts there meanwhile: all goes through
//! folders that are held open (`base/open_folder.rs`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::base::files::{self, Durability, NewFile};
use crate::base::open_folder::{OpenFolder, OpenTree, split};
use crate::base::{Counter, Error, Id, Kind, Observer, Result, Spot, Stage, Tally};
use crate::cache::Key;
use crate::format::manifest::{Entry, EntryKind};
use crate::store::content::Content;
use crate::store::fetch::Ahead;
use crate::tree::stat::{NodeKind, Stat};

use super::by_cache::ByCache;
use super::fill::{Filler, Wanted};
use super::place_content::place_content;
use super::read_content::read_files_ahead;
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
    let tree = OpenTree::open(folder)?;
    let made = Mutex::new(HashMap::from([(String::new(), Known::Old)]));
    let writer = Writer { source, tree, existing, keep, observer, made };
    each_run(entries, limits, workers, observer, |run, stop, written| writer.write_run(run, stop, written))
}

/// What stands where a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Nothing,
    /// Its content is right, but it is a link where a file of its own was asked for, the other way round, or a link of another kind.
    InOtherForm,
    AsAsked,
    Other,
}

/// Whether a file that stands in a folder can be written to, and is no other file as well: a write would change that too.
pub fn is_of_its_own(there: &rustix::fs::Stat) -> bool {
    let is_file = FileType::from_raw_mode(there.st_mode) == FileType::RegularFile;
    is_file && there.st_nlink == 1 && there.st_mode & OWNER_WRITES != 0
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
    /// With nothing kept open but the root: each run goes on from a clone.
    tree: OpenTree,
    existing: Existing,
    keep: bool,
    observer: &'a Observer,
    /// Folders that were made or met as real folders, by their path below the target; the target itself is the first.
    made: Mutex<HashMap<String, Known>>,
}

impl Writer<'_> {
    fn write_run(&self, run: Vec<Placed>, stop: &AtomicBool, written: &mut Vec<Written>) -> Result<()> {
        let tally = Tally::new(self.observer, run.iter().map(|placed| placed.leaf.entry.bytes()).sum());
        let mut tree = self.tree.clone();
        let _ahead = match &self.source {
            Source::Store(content) => self.read_ahead(content, &mut tree, &run, &tally, |_| true)?,
            Source::Cache(by) => {
                let missing = run.iter().filter(|placed| self.is_missing(&mut tree, placed));
                let missing: Vec<_> = missing.filter_map(|placed| Wanted::of(&placed.leaf)).collect();
                match by.bring(&missing, stop, &tally)? {
                    true => None,
                    false => self.read_ahead(by.content(), &mut tree, &run, &tally, |file| by.lacks(file))?,
                }
            }
        };
        for placed in run {
            if stop.load(Ordering::Acquire) {
                break;
            }
            let stat = match self.write(&mut tree, &placed, &tally) {
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
        tree: &mut OpenTree,
        run: &[Placed],
        tally: &Arc<Tally>,
        comes: impl Fn(&Wanted) -> bool,
    ) -> Result<Option<Ahead>> {
        if !content.is_far() {
            return Ok(None);
        }
        let missing =
            run.iter().filter(|placed| self.is_missing(tree, placed)).filter_map(|placed| Wanted::of(&placed.leaf));
        let ahead = missing.filter(|file| file.size <= FAR.bytes && comes(file));
        let files: Vec<_> = ahead.map(|file| (file.key.content, file.size, file.place)).collect();
        read_files_ahead(content, &files, tally).map(Some)
    }

    /// Whether no file of this size, and as it was asked for, stands where this one goes.
    fn is_missing(&self, tree: &mut OpenTree, placed: &Placed) -> bool {
        let (folder, name) = split(&placed.target);
        let target = match self.enter(tree, folder) {
            Ok((folder, Known::Old)) => folder.spot(name),
            // A fault is met again when it is written.
            Ok((_, Known::Fresh)) | Err(_) => return true,
        };
        let EntryKind::File { size, content, executable } = placed.leaf.entry.kind else { return false };
        if let Source::Cache(by) = &self.source
            && by.is_linked_as_asked(Key { content, executable }, size, &target) == Some(true)
        {
            return false;
        }
        let is_there =
            target.stat().is_ok_and(|(stat, kind)| matches!(kind, NodeKind::File { .. }) && stat.size == size);
        !is_there || !self.is_in_form(&target, size)
    }

    fn write(&self, tree: &mut OpenTree, placed: &Placed, tally: &Arc<Tally>) -> Result<Stat> {
        let (folder, name) = split(&placed.target);
        let entry = &placed.leaf.entry;
        let (folder, known) = self.enter(tree, folder)?;
        let (target, is_fresh) = (folder.spot(name), known == Known::Fresh);
        match &entry.kind {
            EntryKind::EmptyFolder => {
                self.enter(tree, &placed.target)?;
            }
            EntryKind::Symlink { target: points_to } => {
                if !target.read_link().is_ok_and(|now| now == points_to.as_bytes()) {
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
        target.stat().map(|(stat, _)| stat)
    }

    fn write_file(&self, placed: &Placed, target: &Spot, tally: &Arc<Tally>) -> Result<()> {
        let Some(file) = Wanted::of(&placed.leaf) else { return Ok(()) };
        if let Source::Cache(by) = &self.source
            && by.place(&file, target, tally)?
        {
            tally.note(Stage::Placed, file.size);
            return Ok(());
        }
        let mut new = NewFile::create(target)?;
        let write = |at: u64, bytes: &[u8]| {
            tally.note(Stage::Placed, bytes.len() as u64);
            new.write_at(at, bytes).map_err(|fault| Error::io("write", &target.path(), fault))
        };
        place_content(self.source.content(), &file.key.content, file.size, file.place.as_ref(), tally, write)
            .map_err(|fault| fault.within(format!("{} can't be got", file.path)))?;
        if file.key.executable {
            new.set_executable()?;
        }
        new.publish(Durability::Renamed)
    }

    /// What stands where a file goes.
    fn look(&self, target: &Spot, content: &Id, size: u64, executable: bool) -> Result<Stands> {
        if let Source::Cache(by) = &self.source
            && let Some(is_as_asked) = by.is_linked_as_asked(Key { content: *content, executable }, size, target)
        {
            return Ok(if is_as_asked { Stands::AsAsked } else { Stands::InOtherForm });
        }
        let Ok((stat, kind)) = target.stat() else { return Ok(Stands::Nothing) };
        if kind != (NodeKind::File { executable }) || stat.size != size {
            return Ok(Stands::Other);
        }
        let mut file = target.open().map_err(|fault| Error::io("open", &target.path(), fault))?;
        match crate::tree::hash_file::hash_file(&target.path(), &mut file)? == *content {
            true if self.is_in_form(target, size) => Ok(Stands::AsAsked),
            true => Ok(Stands::InOtherForm),
            false => Ok(Stands::Other),
        }
    }

    /// Whether a file that stands there, and isn't the cached one that was asked for, is as files are that were.
    fn is_in_form(&self, target: &Spot, size: u64) -> bool {
        match &self.source {
            Source::Cache(by) if by.links(size) => false,
            _ => target.raw_stat().is_ok_and(|there| is_of_its_own(&there)),
        }
    }

    /// Takes an empty folder away that stands where a file goes. What a rename replaces may stay where that was asked for; a folder with
    /// something in it is never removed.
    fn make_room(&self, target: &Spot) -> Result<()> {
        match (target.stat(), self.existing) {
            (Err(_), _) => Ok(()),
            (Ok((_, NodeKind::Folder)), Existing::Replace) => target.remove_folder().map_err(|fault| {
                Error::conflict(format!("the folder {} stands where a file goes", target.path().display()))
                    .because(fault)
                    .hint("move the folder away, then run the command again")
            }),
            (Ok(_), Existing::Replace) => Ok(()),
            (Ok(_), Existing::Resume) => {
                Err(Error::conflict(format!("{} was changed since the get that was cut off", target.path().display()))
                    .hint("move the file away, or give --overwrite to replace it"))
            }
        }
    }

    /// Opens a folder below the target. It and those above it are made, or are real folders: a link there would lead the write elsewhere.
    fn enter(&self, tree: &mut OpenTree, folder: &str) -> Result<(OpenFolder, Known)> {
        // From the deepest one that is known, which is the folder itself but for the first file in it.
        let mut done = folder.len();
        let mut entered = loop {
            match self.known(&folder[..done]).and_then(|known| Some((tree.folder(&folder[..done]).ok()?, known))) {
                Some(entered) => break entered,
                None => done = folder[..done].rfind('/').unwrap_or(0),
            }
        };
        while done < folder.len() {
            let start = if done == 0 { 0 } else { done + 1 };
            done = folder[start..].find('/').map_or(folder.len(), |length| start + length);
            let known = self.make_folder(&entered.0.spot(&folder[start..done]))?;
            let opened = tree.folder(&folder[..done]).map_err(|fault| match fault {
                Errno::LOOP | Errno::NOTDIR | Errno::NOENT => Error::conflict(format!(
                    "{} is being changed by others",
                    entered.0.spot(&folder[start..done]).path().display()
                ))
                .hint("find out who does, then run the command again"),
                fault => Error::io("open the folder", &entered.0.spot(&folder[start..done]).path(), fault.into()),
            })?;
            // Another worker may have made it just before: then it said so, and that stands.
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            entered = (opened, *made.entry(folder[..done].to_owned()).or_insert(known));
        }
        Ok(entered)
    }

    fn known(&self, folder: &str) -> Option<Known> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).get(folder).copied()
    }

    /// Has a folder stand there, where what stands there may be replaced in its place.
    fn make_folder(&self, at: &Spot) -> Result<Known> {
        if files::make_folder(at).is_ok() {
            return Ok(Known::Fresh);
        }
        match (at.stat(), self.existing) {
            (Ok((_, NodeKind::Folder)), _) => Ok(Known::Old),
            (_, Existing::Resume) => Err(Error::conflict(format!("{} is not a folder", at.path().display()))),
            (_, Existing::Replace) => {
                at.remove_file().map_err(|fault| Error::io("replace", &at.path(), fault))?;
                files::make_folder(at).map_err(|fault| Error::io("create the folder", &at.path(), fault))?;
                Ok(Known::Fresh)
            }
        }
    }
}
