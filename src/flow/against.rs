//! New chunks of an edited file, compressed against what stood at their place in the parent's version of it (docs/design.md, Frames and packs).
//!
//! A base is a saving and nothing else: where it can't be had, or saves little, a chunk is stored without one. A reader of the chunk reads
//! its base too, so little is not enough.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::{Event, Id, Kind, Observer, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::format::header::ObjectKind;
use crate::format::pack::ItemKind;
use crate::format::recipe::RecipeChild;
use crate::store::content::{Base, Content};
use crate::store::fetch::Ahead;

use super::former::Former;
use super::known::Known;
use super::packer::{Packed, pack_frame_against};
use super::read_content::Chunks;

/// What index and hint take to name a base is less.
const NAMING_BYTES: usize = 100;
/// Chunks that are tried whatever came of others; beyond, where few found a base, only one of so many is tried.
const PATIENCE: usize = 16;
const PAUSE: usize = 16;

/// What one file's new chunks can be compressed against.
pub(super) struct Against<'a> {
    content: &'a Content,
    observer: &'a Observer,
    known: &'a Known<'a>,
    /// `None`: there was no such file, or it can't be read.
    former: Option<Former<'a>>,
    tried: AtomicUsize,
    kept: AtomicUsize,
}

/// What each of some pieces can be compressed against; what is far away has come.
#[derive(Default)]
pub(super) struct Bases {
    pub of: Vec<Vec<Base>>,
    _ahead: Ahead,
}

impl<'a> Against<'a> {
    /// For a file that was `then` (content and size) in the parent's version.
    ///
    /// Fails where the store doesn't answer, as all here; what else goes wrong is told, and costs the bases.
    pub fn new(
        content: &'a Content,
        then: Option<&(Id, u64)>,
        observer: &'a Observer,
        known: &'a Known<'a>,
    ) -> Result<Against<'a>> {
        let former = then.map_or(Ok(None), |(id, size)| former(content, *id, *size));
        let former = or_nothing(former, observer)?;
        Ok(Against { content, observer, known, former, tried: AtomicUsize::new(0), kept: AtomicUsize::new(0) })
    }

    /// The bases for the next pieces of the file; none for those that aren't new, or that aren't worth a try.
    pub fn bases(&mut self, pieces: &[RecipeChild], is_new: impl Fn(usize) -> bool) -> Result<Bases> {
        let Some(former) = &mut self.former else {
            return Ok(Bases { of: vec![Vec::new(); pieces.len()], ..Bases::default() });
        };
        let Some(stood) = or_nothing(former.stood_at(pieces).map(Some), self.observer)? else {
            self.former = None;
            return self.bases(pieces, is_new);
        };
        let step = self.step();
        let mut candidates = 0;
        let mut of = Vec::with_capacity(pieces.len());
        for (number, stood) in stood.iter().enumerate() {
            let mut bases = Vec::new();
            for id in stood.iter().flatten().filter(|_| is_new(number)) {
                bases.extend(self.content.base_like(id)?.filter(|base| !bases.contains(base)));
            }
            candidates += usize::from(!bases.is_empty());
            if candidates % step != 0 {
                bases.clear();
            }
            of.push(bases);
        }
        let frames: Vec<_> = of.iter().flatten().map(|base| base.place.frame).collect();
        let ahead = self.content.read_ahead(ObjectKind::Pack, &frames, None);
        ahead.wait()?;
        Ok(Bases { of, _ahead: ahead })
    }

    /// The form of a chunk that needs one of `bases`, if that is far smaller than the one that needs none, of `plain_bytes`.
    pub fn pack(&self, chunk: &[u8], plain_bytes: usize, bases: &[Base]) -> Result<Option<Packed>> {
        let mut best: Option<(Packed, &Base)> = None;
        for base in bases {
            let Some(item) = or_nothing(self.content.base(base).map(Some), self.observer)? else { continue };
            let packed = pack_frame_against(chunk, base.id, item.bytes()).map(|packed| (packed, base));
            let bytes =
                |form: &Option<(Packed, &Base)>| form.as_ref().map_or(usize::MAX, |(packed, _)| packed.bytes.len());
            if bytes(&packed) < bytes(&best) {
                best = packed;
            }
        }
        let best = best.filter(|(packed, _)| packed.bytes.len() + NAMING_BYTES <= plain_bytes / 2);
        if !bases.is_empty() {
            self.tried.fetch_add(1, Ordering::Relaxed);
        }
        Ok(best.map(|(packed, base)| {
            self.kept.fetch_add(1, Ordering::Relaxed);
            self.known.use_pack(base.place.frame.pack);
            packed
        }))
    }

    /// Of so many candidates one is tried. What came of older tries counts for less.
    fn step(&mut self) -> usize {
        let (tried, kept) = (*self.tried.get_mut(), *self.kept.get_mut());
        (*self.tried.get_mut(), *self.kept.get_mut()) = (tried / 2, kept / 2);
        if tried >= PATIENCE && kept < tried / 8 { PAUSE } else { 1 }
    }
}

/// A file's chunks then; nothing where they are in another store, since a base must be in the same one.
fn former(content: &Content, id: Id, size: u64) -> Result<Option<Former<'_>>> {
    if size <= SMALL_FILE {
        let only = (size > 0).then_some(Ok(RecipeChild { id, bytes: size }));
        return Former::new(Box::new(only.into_iter())).map(Some);
    }
    let Some(place) = content.find_meta(&id, ItemKind::RecipeRoot)? else { return Ok(None) };
    let mut chunks = Chunks::open(content, &id, size, Some(&place))?;
    let next = move || {
        let next = chunks.next_chunk().transpose()?;
        Some(next.map(|chunk| RecipeChild { id: chunk.id, bytes: chunk.len.into() }))
    };
    Former::new(Box::new(std::iter::from_fn(next))).map(Some)
}

fn or_nothing<T>(outcome: Result<Option<T>>, observer: &Observer) -> Result<Option<T>> {
    match outcome {
        Err(fault) if fault.kind() != Kind::Unreachable => {
            observer.tell(Event::Note(format!("a file of the parent version can't be read: {fault}")));
            Ok(None)
        }
        outcome => outcome,
    }
}
