//! A large file from older ones that lie on this machine: what they share is copied from there, the rest comes from the store.
//!
//! Recipes are compared from the top: a page that both have covers the same bytes in both, so it is not even read. The whole is verified against
//! the content id, whatever the older files held. What is stored against a chunk of an older file is decoded with that; only where this goes wrong
//! does the base come from the store too. Bases aren't chained, so one may be of a version long before: where the first of the older files lacks
//! some, the others are looked into.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use crate::base::{Error, Id, Result, Stage, Tally};
use crate::format::header::ObjectKind;
use crate::format::pack::ItemKind;
use crate::format::place::Place;
use crate::format::recipe::{RecipeChild, RecipePage, RecipeRoot};
use crate::store::content::{Content, Item};

use super::read_content::{ChunkToRead, fetch_chunk, recipe_places};

/// Bytes from the store that are on their way at a time.
const WINDOW: u64 = 32 << 20;
const COPY_BUFFER: usize = 1 << 20;
/// Where less than this part of a file is known, it is read like any other.
const LEAST_SHARE: u64 = 8;

/// The lowest pages of a file of some TB.
const MOST_PAGES: usize = 1 << 19;

/// A content that has a recipe, and where that is thought to lie.
#[derive(Debug, Clone, Copy)]
pub struct Large {
    pub content: Id,
    pub size: u64,
    pub place: Option<Place>,
}

/// The next bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Local(Stretch),
    Stored { id: Id, len: u32, place: Option<Place>, base: Option<Stretch> },
}

impl Step {
    fn len(&self) -> u64 {
        match self {
            Step::Local(stretch) => stretch.len,
            Step::Stored { len, .. } => u64::from(*len),
        }
    }
}

/// Bytes of one of the older files.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    /// The number of the file.
    file: usize,
    at: u64,
    len: u64,
}

/// How a file is put together.
pub struct Plan {
    steps: Vec<Step>,
    content: Id,
    /// Bytes that need not be fetched.
    pub local: u64,
}

type Child = (RecipeChild, Option<Place>);

/// The lowest pages of a recipe, or the chunks of one that has no pages, with where each begins.
struct Bottom {
    has_pages: bool,
    children: Vec<(Child, u64)>,
}

/// Which chunks lie in the older files, and where.
#[derive(Default)]
struct Known {
    chunks: HashMap<Id, Stretch>,
    /// Pages that were looked into, or need not be.
    pages: HashSet<Id>,
}

impl Known {
    /// Looks into an older file, but for pages that need not be.
    fn look_into(&mut self, store: &Content, file: usize, older: &Bottom) -> Result<()> {
        let is_new = |((page, _), _): &&(Child, u64)| !(older.has_pages && self.pages.contains(&page.id));
        let unseen: Vec<_> = older.children.iter().filter(is_new).copied().collect();
        each_chunk(store, older.has_pages, unseen.iter().copied(), |chunk, _, at| {
            self.chunks.entry(chunk.id).or_insert(Stretch { file, at, len: chunk.bytes });
            Ok(())
        })?;
        self.pages.extend(older.children.iter().map(|((page, _), _)| page.id));
        Ok(())
    }

    /// Takes from the older files what they have, of what was to come from the store, and the bases of the rest. Says whether a base is unknown.
    fn resolve(&self, steps: &mut [Step]) -> bool {
        let mut lacks_bases = false;
        for step in steps {
            let Step::Stored { id, place, base, .. } = step else { continue };
            if let Some(known) = self.chunks.get(id) {
                *step = Step::Local(*known);
            } else if let (None, Some(needed)) = (*base, place.and_then(|place| place.frame.encoding.base())) {
                *base = self.chunks.get(&needed).copied();
                lacks_bases |= base.is_none();
            }
        }
        lacks_bases
    }
}

/// How `new` is made from `olds`, likeliest first; `None` where that saves too little.
pub fn plan(store: &Content, new: &Large, olds: &[Large]) -> Result<Option<Plan>> {
    let Some((first, others)) = olds.split_first() else { return Ok(None) };
    let (Some(newer), Some(older)) = (bottom(store, new)?, bottom(store, first)?) else { return Ok(None) };
    // Of the older recipe, what lies in pages that the newer doesn't have.
    let mut known = Known { pages: newer.children.iter().map(|((page, _), _)| page.id).collect(), ..Known::default() };
    known.look_into(store, 0, &older)?;
    let shared = older.children.iter().filter(|_| older.has_pages).map(|((page, _), at)| (page.id, *at));
    let shared: HashMap<Id, u64> = shared.collect();
    let unshared = newer.children.iter().filter(|((page, _), _)| !shared.contains_key(&page.id));
    prefetch_pages(store, newer.has_pages, unshared);
    let mut steps = Vec::new();
    for child in newer.children {
        let ((page, _), _) = child;
        if let Some(at) = shared.get(&page.id).filter(|_| newer.has_pages) {
            steps.push(Step::Local(Stretch { file: 0, at: *at, len: page.bytes }));
            continue;
        }
        each_chunk(store, newer.has_pages, std::iter::once(child), |chunk, place, _| {
            steps.push(Step::Stored { id: chunk.id, len: chunk.bytes as u32, place, base: None });
            Ok(())
        })?;
    }
    let mut lacks_bases = known.resolve(&mut steps);
    // What the newer shares with those behind isn't known from the first.
    known.pages = older.children.iter().map(|((page, _), _)| page.id).collect();
    for (file, other) in others.iter().enumerate() {
        if lacks_bases && let Some(other) = bottom(store, other)? {
            known.look_into(store, file + 1, &other)?;
            lacks_bases = known.resolve(&mut steps);
        }
    }
    let plan = Plan::of(steps, new.content);
    Ok(Some(plan).filter(|plan| plan.local >= new.size / LEAST_SHARE))
}

/// How `new` is made where `begun` bytes of it came before, and nothing else is known; `None` where that is too much to be held. Those are
/// the file `0`.
pub fn plan_rest(store: &Content, new: &Large, begun: u64) -> Result<Option<(Plan, u64)>> {
    let Some(newer) = bottom(store, new)? else { return Ok(None) };
    let (has, lacks): (Vec<_>, Vec<_>) =
        newer.children.into_iter().partition(|((child, _), at)| at + child.bytes <= begun);
    let local = |((child, _), at): ((RecipeChild, _), u64)| Step::Local(Stretch { file: 0, at, len: child.bytes });
    let mut steps: Vec<Step> = has.into_iter().map(local).collect();
    each_chunk(store, newer.has_pages, lacks.into_iter(), |chunk, place, _| {
        steps.push(Step::Stored { id: chunk.id, len: chunk.bytes as u32, place, base: None });
        Ok(())
    })?;
    Ok(Some(Plan::of(steps, new.content).begun_with(begun, 0)))
}

impl Plan {
    /// The same plan where the first `begun` bytes came before and are the file of that number, but for a chunk that isn't whole; and how
    /// many bytes these are.
    pub fn begun_with(self, begun: u64, file: usize) -> (Plan, u64) {
        let mut end = 0;
        let mut rest = self.steps.into_iter().peekable();
        while let Some(step) = rest.next_if(|step| end + step.len() <= begun) {
            end += step.len();
        }
        let mut steps: Vec<Step> = rest.collect();
        // Bytes of an older file may be cut anywhere.
        if let Some(Step::Local(stretch)) = steps.first_mut() {
            let came = begun - end;
            (stretch.at, stretch.len, end) = (stretch.at + came, stretch.len - came, begun);
        }
        let came = Step::Local(Stretch { file, at: 0, len: end });
        let steps = Some(came).filter(|_| end > 0).into_iter().chain(steps).collect();
        (Plan::of(steps, self.content), end)
    }

    fn of(steps: Vec<Step>, content: Id) -> Plan {
        let mut plan = Plan { steps: Vec::new(), content, local: 0 };
        for step in steps {
            let Step::Local(next) = step else {
                plan.steps.push(step);
                continue;
            };
            plan.local += next.len;
            match plan.steps.last_mut() {
                Some(Step::Local(last)) if (last.file, last.at + last.len) == (next.file, next.at) => {
                    last.len += next.len;
                }
                _ => plan.steps.push(step),
            }
        }
        plan
    }

    /// Gives the file to `sink` piece by piece, and tells `tally` what has come, from here or there; an error behind the last piece if the whole isn't the content.
    pub fn carry_out(
        &self,
        store: &Content,
        olders: &[PathBuf],
        tally: &Arc<Tally>,
        mut sink: impl FnMut(&[u8]) -> Result<()> + Send,
    ) -> Result<()> {
        let open = |path: &PathBuf| File::open(path).map_err(|fault| Error::io("open", path, fault));
        let files = olders.iter().map(open).collect::<Result<Vec<_>>>()?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; COPY_BUFFER];
        for window in windows(&self.steps) {
            let mut stored = fetch(store, window, &files, tally)?.into_iter();
            for step in window {
                let Step::Local(Stretch { file, mut at, mut len }) = *step else {
                    let item = stored.next().ok_or_else(|| Error::damaged("a chunk was not read"))?;
                    hasher.update(item.bytes());
                    sink(item.bytes())?;
                    continue;
                };
                while len > 0 {
                    let piece = &mut buffer[..(len as usize).min(COPY_BUFFER)];
                    let older = files.get(file).zip(olders.get(file));
                    let (older, path) = older.ok_or_else(|| Error::damaged("an older file is gone"))?;
                    older.read_exact_at(piece, at).map_err(|fault| Error::io("read", path, fault))?;
                    hasher.update(piece);
                    tally.note(Stage::Came, piece.len() as u64);
                    sink(piece)?;
                    at += piece.len() as u64;
                    len -= piece.len() as u64;
                }
            }
        }
        match hasher.finalize().as_bytes() == &self.content.0 {
            true => Ok(()),
            false => Err(Error::damaged(format!("what {} is made from isn't right", self.content.short()))),
        }
    }
}

fn windows(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    let mut rest = steps;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let stored = |step: &Step| if matches!(step, Step::Stored { .. }) { step.len() } else { 0 };
        let begins_within = |step: &&Step| {
            let before = bytes;
            bytes += stored(step);
            before < WINDOW
        };
        let count = rest.iter().take_while(begins_within).count();
        let (window, later) = rest.split_at(count);
        rest = later;
        (!window.is_empty()).then_some(window)
    })
}

fn fetch(store: &Content, window: &[Step], olders: &[File], tally: &Arc<Tally>) -> Result<Vec<Item>> {
    let chunks = window.iter().filter_map(|step| match *step {
        Step::Stored { id, len, place, base } => {
            let place = store.place_now(&id, ItemKind::Chunk, place);
            Some((ChunkToRead { id, len, place }, base))
        }
        Step::Local(_) => None,
    });
    let chunks: Vec<_> = chunks.collect();
    let frames_of = |has_base: bool| {
        let chunks = chunks.iter().filter(|(_, base)| base.is_some() == has_base);
        let mut frames: Vec<_> = chunks.filter_map(|(chunk, _)| Some(chunk.place?.frame)).collect();
        frames.dedup();
        frames
    };
    let ahead = store.read_ahead(ObjectKind::Pack, &frames_of(false), Some(tally));
    let based = store.read_ahead_alone(ObjectKind::Pack, &frames_of(true), Some(tally));
    ahead.wait()?;
    based.wait()?;
    let read = |(chunk, base): &(ChunkToRead, Option<Stretch>)| {
        if let (Some(place), Some(base)) = (&chunk.place, base) {
            let mut bytes = vec![0; base.len as usize];
            let is_read = olders.get(base.file).is_some_and(|older| older.read_exact_at(&mut bytes, base.at).is_ok());
            if let Some(item) = store.chunk_against(&chunk.id, place, &bytes).filter(|_| is_read) {
                return Ok(item);
            }
        }
        fetch_chunk(store, chunk)
    };
    chunks.par_iter().map(read).collect()
}

/// Opens a recipe down to its lowest pages; `None` where they are too many to be held. A few pages that name each other over and over can claim
/// as many as there are bytes.
fn bottom(store: &Content, large: &Large) -> Result<Option<Bottom>> {
    let item = store.meta(&large.content, ItemKind::RecipeRoot, large.place.as_ref())?;
    let root = RecipeRoot::parse(item.bytes())?;
    if root.size != large.size {
        return Err(Error::damaged(format!("the recipe of {} isn't of {} bytes", large.content.short(), large.size)));
    }
    let mut level = root.level;
    let mut children = with_places(level, root.children, item.hint());
    while level > 1 {
        level -= 1;
        prefetch(store, &children);
        let mut below = Vec::new();
        for (child, place) in children {
            let item = store.meta(&child.id, ItemKind::RecipePage, place.as_ref())?;
            let page = RecipePage::parse(item.bytes(), level, child.bytes)?;
            below.extend(with_places(level, page.children, item.hint()));
            if below.len() > MOST_PAGES {
                return Ok(None);
            }
        }
        children = below;
    }
    let mut at = 0;
    let placed = children.into_iter().map(|child| {
        at += child.0.bytes;
        (child, at - child.0.bytes)
    });
    Ok(Some(Bottom { has_pages: level == 1, children: placed.collect() }))
}

/// The chunks below some of the lowest nodes, with where each begins.
fn each_chunk(
    store: &Content,
    has_pages: bool,
    nodes: impl Iterator<Item = (Child, u64)> + Clone,
    mut tell: impl FnMut(RecipeChild, Option<Place>, u64) -> Result<()>,
) -> Result<()> {
    if !has_pages {
        return nodes.into_iter().try_for_each(|((chunk, place), at)| tell(chunk, place, at));
    }
    prefetch(store, &nodes.clone().map(|(page, _)| page).collect::<Vec<_>>());
    for ((child, place), mut at) in nodes {
        let item = store.meta(&child.id, ItemKind::RecipePage, place.as_ref())?;
        let page = RecipePage::parse(item.bytes(), 0, child.bytes)?;
        for (chunk, place) in with_places(0, page.children, item.hint()) {
            tell(chunk, place, at)?;
            at += chunk.bytes;
        }
    }
    Ok(())
}

fn prefetch_pages<'a>(store: &Content, has_pages: bool, nodes: impl Iterator<Item = &'a (Child, u64)>) {
    if has_pages {
        prefetch(store, &nodes.map(|(child, _)| *child).collect::<Vec<_>>());
    }
}

fn prefetch(store: &Content, children: &[Child]) {
    let places: Vec<_> = children.iter().filter_map(|(_, place)| Some((*place)?.frame)).collect();
    store.prefetch(ObjectKind::MetaPack, &places);
}

fn with_places(level: u8, children: Vec<RecipeChild>, hint: &[u8]) -> Vec<Child> {
    let places = recipe_places(level, &children, hint);
    children.into_iter().zip(places).collect()
}
