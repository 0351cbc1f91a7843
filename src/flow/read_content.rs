//! A file's content from a store: its only chunk, or its recipe's chunks in order. Verified against the content id.

use std::collections::VecDeque;
use std::sync::Arc;

use rayon::prelude::*;

use crate::base::{Error, Id, Kind, Result, Tally};
use crate::chunk::cut::SMALL_FILE;
use crate::format::header::ObjectKind;
use crate::format::hint::{self, ChildShape};
use crate::format::pack::ItemKind;
use crate::format::place::{FramePlace, Place};
use crate::format::recipe::{RecipeChild, RecipePage, RecipeRoot};
use crate::store::content::{Content, Item};
use crate::store::fetch::Ahead;

/// Chunks are fetched and decoded in groups of this many bytes.
const GROUP_BYTES: u64 = 16 << 20;
/// From a far store in smaller ones, of which many are on their way.
const FAR_GROUP_BYTES: u64 = 4 << 20;

/// And no more of them: of chunks that no hint says a place of nothing is on its way, and nothing would end the planning.
const MOST_GROUPS: usize = 64;

/// A chunk that is to be read.
#[derive(Debug, Clone, Copy)]
pub struct ChunkToRead {
    pub id: Id,
    pub len: u32,
    pub place: Option<Place>,
}

/// Gives the content of a file to `sink`, piece by piece, each verified; fails behind the last piece if the whole isn't `content`.
///
/// `place` is where the only chunk, or the recipe, is thought to lie. What comes from afar is told to `tally` as it comes.
pub fn read_content(
    store: &Content,
    content: &Id,
    size: u64,
    place: Option<&Place>,
    tally: &Arc<Tally>,
    mut sink: impl FnMut(&[u8]) -> Result<()> + Send,
) -> Result<()> {
    if size == 0 {
        return match *content == Id::of(b"") {
            true => Ok(()),
            false => Err(Error::damaged(format!("content {} can't be empty", content.short()))),
        };
    }
    store.refuse_purged(content)?;
    if size <= SMALL_FILE {
        let item = store.chunk(content, place).map_err(|fault| store.or_purged(content, fault))?;
        return match item.bytes().len() as u64 == size {
            true => sink(item.bytes()),
            false => Err(Error::damaged(format!("content {} isn't of {size} bytes", content.short()))),
        };
    }
    read_large(store, content, Chunks::open(store, content, size, place)?, tally, sink)
        .map_err(|fault| store.or_purged(content, fault))
}

/// Gives the chunks of a file to `sink`, those of a group while the next one is read.
fn read_large(
    store: &Content,
    content: &Id,
    chunks: Chunks<'_>,
    tally: &Arc<Tally>,
    mut sink: impl FnMut(&[u8]) -> Result<()> + Send,
) -> Result<()> {
    let mut hasher = blake3::Hasher::new();
    let bytes = if store.is_far() { FAR_GROUP_BYTES } else { GROUP_BYTES };
    let mut groups = Groups::new(store, chunks, tally, bytes);
    let mut ready: Vec<Item> = Vec::new();
    loop {
        let group = match groups.next() {
            // What has come is given all the same: somebody may go on from there.
            Err(fault) => {
                ready.iter().try_for_each(|item| sink(item.bytes()))?;
                return Err(fault);
            }
            Ok(None) if ready.is_empty() => break,
            Ok(group) => group,
        };
        // Who writes does nothing else: that alone takes about as long as all the rest.
        let (next, taken) = rayon::join(
            || {
                let items = group.map_or(Ok(Vec::new()), |group| fetch(store, group))?;
                items.iter().for_each(|item| _ = hasher.update(item.bytes()));
                Ok(items)
            },
            || ready.iter().try_for_each(|item| sink(item.bytes())),
        );
        taken?;
        ready = next?;
    }
    match hasher.finalize().as_bytes() == &content.0 {
        true => Ok(()),
        false => Err(Error::damaged(format!("the recipe of content {} doesn't give that content", content.short()))
            .hint(store.verify_hint())),
    }
}

/// A large file's chunks in groups; those of a far store are on their way before they are asked for, as many as memory lets.
pub(super) struct Groups<'a> {
    store: &'a Content,
    chunks: Chunks<'a>,
    /// About so many in a group.
    bytes: u64,
    tally: &'a Arc<Tally>,
    coming: VecDeque<(Vec<ChunkToRead>, Ahead)>,
    /// Frames of the group that was planned last: small chunks of the next may lie in them too.
    planned: Vec<FramePlace>,
    /// What holds the group that is being read, and the one before it.
    held: [Ahead; 2],
}

impl<'a> Groups<'a> {
    pub(super) fn new(store: &'a Content, chunks: Chunks<'a>, tally: &'a Arc<Tally>, bytes: u64) -> Groups<'a> {
        Groups { store, chunks, bytes, tally, coming: VecDeque::new(), planned: Vec::new(), held: Default::default() }
    }

    /// The next group, which has come and is held until the one after the next is asked for; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Vec<ChunkToRead>>> {
        let is_far = self.store.is_far();
        while self.coming.is_empty() || (is_far && self.coming.len() < MOST_GROUPS && self.store.may_read_on()) {
            let group = self.chunks.group(self.bytes)?;
            if group.is_empty() {
                break;
            }
            let frames = if is_far { frames_of(&group) } else { Vec::new() };
            let new: Vec<FramePlace> = frames.iter().filter(|frame| !self.planned.contains(frame)).copied().collect();
            self.planned = frames;
            let ahead = self.store.read_ahead(ObjectKind::Pack, &new, Some(self.tally));
            self.coming.push_back((group, ahead));
        }
        let Some((group, ahead)) = self.coming.front() else { return Ok(None) };
        ahead.wait()?;
        if self.store.have_led_nowhere(&frames_of(group)) {
            self.plan_anew();
        }
        let Some((group, ahead)) = self.coming.pop_front() else { return Ok(None) };
        ahead.wait()?;
        self.held.rotate_left(1);
        self.held[1] = ahead;
        Ok(Some(group))
    }

    /// Has what is planned by hints that lead nowhere read from where the indexes say.
    fn plan_anew(&mut self) {
        for (group, ahead) in &mut self.coming {
            if self.store.have_led_nowhere(&frames_of(group)) {
                group.iter_mut().for_each(|chunk| {
                    chunk.place = self.store.place_now(&chunk.id, ItemKind::Chunk, chunk.place);
                });
                *ahead = self.store.read_ahead(ObjectKind::Pack, &frames_of(group), Some(self.tally));
            }
        }
    }
}

fn frames_of(chunks: &[ChunkToRead]) -> Vec<FramePlace> {
    let mut frames: Vec<FramePlace> = chunks.iter().filter_map(|chunk| Some(chunk.place?.frame)).collect();
    frames.dedup();
    frames
}

/// Has the content of files read from a far store, in as few requests as may be: id, size and place of each. What is large is best read alone.
///
/// Fails only where the store doesn't answer; other faults are those of the file that is read.
pub fn read_files_ahead(store: &Content, files: &[(Id, u64, Option<Place>)], tally: &Arc<Tally>) -> Result<Ahead> {
    let recipes = files.iter().filter(|(_, size, _)| *size > SMALL_FILE);
    let roots: Vec<FramePlace> = recipes.filter_map(|(_, _, place)| Some((*place)?.frame)).collect();
    store.prefetch(ObjectKind::MetaPack, &roots);
    let frames = frames_of_files(store, files)?;
    let ahead = store.read_ahead(ObjectKind::Pack, &frames, Some(tally));
    ahead.wait()?;
    if !store.have_led_nowhere(&frames) {
        return Ok(ahead);
    }
    // The indexes know by now what hints were wrong about; what has come is held until that is asked for.
    let anew = store.read_ahead(ObjectKind::Pack, &frames_of_files(store, files)?, Some(tally));
    anew.wait()?;
    Ok(anew)
}

fn frames_of_files(store: &Content, files: &[(Id, u64, Option<Place>)]) -> Result<Vec<FramePlace>> {
    let mut frames = Vec::new();
    for (content, size, place) in files {
        if *size <= SMALL_FILE {
            frames.extend(store.place_now(content, ItemKind::Chunk, *place).map(|place| place.frame));
            continue;
        }
        let chunks = Chunks::open(store, content, *size, place.as_ref()).and_then(|mut chunks| chunks.group(u64::MAX));
        match chunks {
            Ok(chunks) => frames.extend(frames_of(&chunks)),
            Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
            Err(_) => {}
        }
    }
    Ok(frames)
}

fn fetch(store: &Content, group: Vec<ChunkToRead>) -> Result<Vec<Item>> {
    group.par_iter().map(|chunk| fetch_chunk(store, chunk)).collect()
}

/// A chunk, verified, and as long as its recipe says.
pub(super) fn fetch_chunk(store: &Content, chunk: &ChunkToRead) -> Result<Item> {
    let item = store.chunk(&chunk.id, chunk.place.as_ref())?;
    match item.bytes().len() == chunk.len as usize {
        true => Ok(item),
        false => Err(Error::damaged(format!("chunk {} isn't of {} bytes", chunk.id.short(), chunk.len))),
    }
}

/// The chunks of one file in order, pages read as they are reached.
pub struct Chunks<'a> {
    store: &'a Content,
    /// Nodes of the recipe that have children not yet given, the innermost last.
    open: Vec<OpenPage>,
}

/// What is left of a recipe's root or page.
struct OpenPage {
    level: u8,
    /// In reverse.
    children: Vec<(RecipeChild, Option<Place>)>,
}

impl<'a> Chunks<'a> {
    /// Reads the recipe's root.
    pub fn open(store: &'a Content, content: &Id, size: u64, place: Option<&Place>) -> Result<Chunks<'a>> {
        let item = store.meta(content, ItemKind::RecipeRoot, place).map_err(|fault| store.or_purged(content, fault))?;
        let root = RecipeRoot::parse(item.bytes())?;
        if root.size != size {
            return Err(Error::damaged(format!("the recipe of {} isn't of {size} bytes", content.short())));
        }
        let mut chunks = Chunks { store, open: Vec::new() };
        chunks.enter(OpenPage::new(root.level, root.children, item.hint()));
        Ok(chunks)
    }

    /// The next chunk; `None` behind the last.
    pub fn next_chunk(&mut self) -> Result<Option<ChunkToRead>> {
        while let Some(page) = self.open.last_mut() {
            let level = page.level;
            let Some((child, place)) = page.children.pop() else {
                self.open.pop();
                continue;
            };
            if level == 0 {
                return Ok(Some(ChunkToRead { id: child.id, len: child.bytes as u32, place }));
            }
            let item = self.store.meta(&child.id, ItemKind::RecipePage, place.as_ref())?;
            let page = RecipePage::parse(item.bytes(), level - 1, child.bytes)?;
            self.enter(OpenPage::new(page.level, page.children, item.hint()));
        }
        Ok(None)
    }

    fn enter(&mut self, page: OpenPage) {
        if page.level > 0 {
            let places = page.children.iter().filter_map(|(_, place)| Some((*place)?.frame));
            self.store.prefetch(ObjectKind::MetaPack, &places.collect::<Vec<_>>());
        }
        self.open.push(page);
    }

    /// The next chunks, of about `most` bytes together.
    fn group(&mut self, most: u64) -> Result<Vec<ChunkToRead>> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while bytes < most {
            let Some(mut chunk) = self.next_chunk()? else { break };
            chunk.place = self.store.place_now(&chunk.id, ItemKind::Chunk, chunk.place);
            bytes += u64::from(chunk.len);
            group.push(chunk);
        }
        Ok(group)
    }
}

impl OpenPage {
    fn new(level: u8, children: Vec<RecipeChild>, hint: &[u8]) -> OpenPage {
        let places = recipe_places(level, &children, hint);
        OpenPage { level, children: children.into_iter().zip(places).rev().collect() }
    }
}

/// Where the children of a recipe's root or page lay, as far as its hint knows.
pub fn recipe_places(level: u8, children: &[RecipeChild], hint: &[u8]) -> Vec<Option<Place>> {
    let shape = |child: &RecipeChild| match level {
        0 => ChildShape::Chunk { len: child.bytes as u32 },
        _ => ChildShape::Meta,
    };
    let shapes: Vec<_> = children.iter().map(shape).collect();
    // A hint that can't be read is no hint: the indexes know.
    hint::decode(hint, &shapes).unwrap_or_else(|_| vec![None; shapes.len()])
}
