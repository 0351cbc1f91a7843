//! From files on disk to chunks in packs: the workers.
//!
//! Files come in path order and are handed out in runs of neighbours, so that a folder's files lie next to each other in a pack.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::base::{Counter, Error, Id, Observer, Result};
use crate::chunk::cut::{self, Rule, SMALL_FILE};
use crate::format::pack::ItemKind;
use crate::format::recipe::{self, RecipeChild};
use crate::store::content::Content;
use crate::tree::hash_file::hash_file;
use crate::tree::read_file::{fill_as_said, read_settled};
use crate::tree::scan::{Found, FoundKind};
use crate::tree::stat::Stat;

use super::known::Known;
use super::packer::{Compress, Packer};
use super::upload::{OpenPack, Uploads};

/// A worker takes neighbours of up to so many files and bytes at a time.
const RUN_FILES: usize = 256;
const RUN_BYTES: u64 = 4 << 20;

/// What became of a path of the scan.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Its bytes are in the store or in packs on their way there.
    Stored { content: Id, size: u64, stat: Stat },
    /// A symlink or an empty folder: nothing to store.
    NoContent,
    /// It could not be read, and why.
    Unreadable(String),
    /// The store has purged it, and takes it no more.
    Purged(Id),
    /// It is gone.
    Vanished,
}

/// The chunks of a file that has many, until its recipe is written.
#[derive(Debug)]
pub struct PendingRecipe {
    pub content: Id,
    pub size: u64,
    pub chunks: Vec<RecipeChild>,
}

/// What the workers share.
pub struct Workshop<'a> {
    pub source: &'a Path,
    pub content: &'a Content,
    pub known: &'a Known<'a>,
    /// `None`: nothing is stored, as in a dry run.
    pub uploads: Option<&'a Uploads>,
    pub observer: &'a Observer,
    pub jobs: usize,
    /// Content and size in the parent version of the files that are large now, by path.
    pub parent: &'a HashMap<Box<str>, (Id, u64)>,
}

/// What a round of storing gives.
pub struct Round {
    /// In the order of the files given.
    pub outcomes: Vec<Outcome>,
    pub recipes: Vec<PendingRecipe>,
    pub tails: Vec<OpenPack>,
}

impl Workshop<'_> {
    /// Stores `files`, which are in path order.
    pub fn store(&self, files: &[Found]) -> Result<Round> {
        let runs = cut_runs(files);
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let tails = Mutex::default();
        // Each run's outcomes go where they belong at once: a list of lists would hold a million of them twice.
        let done = Mutex::new(Done { outcomes: vec![Outcome::NoContent; files.len()], recipes: Vec::new() });
        let work = || {
            let outcome = self.work(files, &runs, &next, &stop, &tails, &done);
            if outcome.is_err() {
                stop.store(true, Ordering::Release);
            }
            outcome
        };
        let workers = self.jobs.clamp(1, runs.len().max(1));
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            handles
                .into_iter()
                .map(|handle| handle.join().expect("a worker doesn't panic"))
                .collect::<Result<Vec<()>>>()
        })?;
        let Done { outcomes, mut recipes } = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        recipes.sort_unstable_by_key(|(run, _)| *run);
        let recipes = recipes.into_iter().flat_map(|(_, recipes)| recipes).collect();
        Ok(Round { outcomes, recipes, tails: tails.into_inner().unwrap_or_else(PoisonError::into_inner) })
    }

    fn work(
        &self,
        files: &[Found],
        runs: &[std::ops::Range<usize>],
        next: &AtomicUsize,
        stop: &AtomicBool,
        tails: &Mutex<Vec<OpenPack>>,
        done: &Mutex<Done>,
    ) -> Result<()> {
        let mut packer = self.uploads.map(|uploads| Packer::new(uploads, None)).transpose()?;
        let (mut buffer, mut outcomes) = (Vec::new(), Vec::with_capacity(RUN_FILES));
        while !stop.load(Ordering::Acquire) {
            let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let mut recipes = Vec::new();
            outcomes.clear();
            for found in &files[run.clone()] {
                outcomes.push(self.store_one(found, packer.as_mut(), &mut buffer, &mut recipes)?);
                self.observer.add(Counter::Files, 1);
            }
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.outcomes[run.clone()].swap_with_slice(&mut outcomes);
            if !recipes.is_empty() {
                done.recipes.push((run.start, recipes));
            }
        }
        if let Some(packer) = packer {
            let tail = packer.into_tail()?;
            tails.lock().unwrap_or_else(PoisonError::into_inner).push(tail);
        }
        Ok(())
    }

    fn store_one(
        &self,
        found: &Found,
        packer: Option<&mut Packer<'_>>,
        buffer: &mut Vec<u8>,
        recipes: &mut Vec<PendingRecipe>,
    ) -> Result<Outcome> {
        let FoundKind::File { .. } = found.kind else { return Ok(Outcome::NoContent) };
        let path = self.source.join(found.path.as_str());
        let mut packer = packer;
        let mut pending = None;
        let mut small = false;
        let mut size = 0;
        let settled = read_settled(&path, |file, stat| {
            pending = None;
            small = stat.size <= SMALL_FILE;
            if small {
                buffer.clear();
                size = fill_as_said(&path, file, stat, buffer, SMALL_FILE as usize + 1)? as u64;
                small = size <= SMALL_FILE;
            }
            if small {
                return Ok(Id::of(buffer));
            }
            std::io::Seek::rewind(file).map_err(|fault| Error::io("read", &path, fault))?;
            if self.content.purged_some_of(stat.size) {
                // Before a chunk of it is stored.
                let content = hash_file(&path, file)?;
                if self.content.tombstone(&content).is_some() {
                    return Ok(content);
                }
                std::io::Seek::rewind(file).map_err(|fault| Error::io("read", &path, fault))?;
            }
            let then = self.parent.get(found.path.as_str());
            if let Some((content, parent_size)) = then
                && *parent_size == stat.size
                && self.known.meta(content, ItemKind::RecipeRoot)?.is_some()
                && hash_file(&path, file)? == *content
            {
                self.observer.add(Counter::Bytes, stat.size);
                size = stat.size;
                return Ok(*content);
            }
            std::io::Seek::rewind(file).map_err(|fault| Error::io("read", &path, fault))?;
            let (content, chunks) = self.store_chunks(&path, file, then, packer.as_deref_mut())?;
            size = chunks.iter().map(|chunk| chunk.bytes).sum();
            pending = Some(PendingRecipe { content, size, chunks });
            Ok(content)
        });
        match settled {
            Ok(Some((content, _))) if self.content.tombstone(&content).is_some() => Ok(Outcome::Purged(content)),
            Ok(Some((content, stat))) => {
                self.observer.add(Counter::HashedFiles, 1);
                if small {
                    self.observer.add(Counter::Bytes, buffer.len() as u64);
                    self.keep_small(content, buffer, packer)?;
                }
                if let Some(recipe) = pending
                    && !self.has_recipe(&recipe)?
                {
                    recipes.push(recipe);
                }
                Ok(Outcome::Stored { content, size, stat })
            }
            Ok(None) => Ok(Outcome::Unreadable("it changed each time that it was read".to_owned())),
            Err(fault) => unreadable(&path, fault),
        }
    }

    /// Whether the store has a file's recipe and all pages of it: it may have lost some that nothing else needed.
    fn has_recipe(&self, recipe: &PendingRecipe) -> Result<bool> {
        let mut has_all = self.known.meta(&recipe.content, ItemKind::RecipeRoot)?.is_some();
        if has_all {
            recipe::build(recipe.content, recipe.chunks.clone(), |id, _, _| {
                has_all &= self.known.meta(&id, ItemKind::RecipePage)?.is_some();
                Ok(())
            })?;
        }
        Ok(has_all)
    }

    fn keep_small(&self, content: Id, bytes: &[u8], packer: Option<&mut Packer<'_>>) -> Result<()> {
        if bytes.is_empty() || !self.known.claim(&content)? {
            return Ok(());
        }
        self.observer.add(Counter::NewBytes, bytes.len() as u64);
        self.observer.add(Counter::NewChunks, 1);
        let compress = match cut::sniff(bytes) {
            Rule::Fixed => Compress::No,
            Rule::Content => Compress::Try,
        };
        packer.map_or(Ok(()), |packer| packer.add_chunk(content, bytes, compress))
    }
}

/// What the workers have done by now.
struct Done {
    /// Of all files, in their order.
    outcomes: Vec<Outcome>,
    /// With the first file of the run that they are of.
    recipes: Vec<(usize, Vec<PendingRecipe>)>,
}

/// A fault of the file is an outcome, a fault of the store ends the round.
fn unreadable(path: &Path, fault: Error) -> Result<Outcome> {
    let cause = std::error::Error::source(&fault).and_then(|source| source.downcast_ref::<std::io::Error>());
    match cause.map(|cause| cause.kind()) {
        Some(std::io::ErrorKind::NotFound) if path.symlink_metadata().is_err() => Ok(Outcome::Vanished),
        Some(_) => Ok(Outcome::Unreadable(cause.map(ToString::to_string).unwrap_or_default())),
        None => Err(fault),
    }
}

fn cut_runs(files: &[Found]) -> Vec<std::ops::Range<usize>> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, found) in files.iter().enumerate() {
        let size = match found.kind {
            FoundKind::File { .. } => found.stat.size,
            _ => 0,
        };
        if index > start && (index - start >= RUN_FILES || bytes + size > RUN_BYTES) {
            runs.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < files.len() {
        runs.push(start..files.len());
    }
    runs
}
