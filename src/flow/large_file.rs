//! A file of many chunks: read in blocks, cut, hashed and compressed on all cores; what is new in an edited file against what stood there.
//!
//! ```text
//! a thread: read, cut  ──►  all cores: hash, compress  ──►  a thread: fill packs
//! ```
//!
//! The three steps work on neighbouring blocks at the same time, so that all cores have work. The whole file's digest is taken from the same bytes,
//! so that the content id is that of what was stored even if the file changes under us (which is noticed).

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};

use rayon::prelude::*;

use crate::base::{Counter, Id, Result};
use crate::chunk::cut::{self, Rule};
use crate::format::recipe::RecipeChild;
use crate::tree::read_file::fill;

use super::against::Against;
use super::known::Known;
use super::packer::{Compress, Packed, Packer, pack_frame};
use super::store_files::Workshop;

/// Bytes read at a time.
const BLOCK: usize = 8 << 20;
/// Blocks that wait between two steps.
const WAITING: usize = 2;

/// Bytes of a file from a chunk's start on, with the chunks that are decided.
struct Block {
    bytes: Vec<u8>,
    /// Ends of the decided chunks, ascending.
    cuts: Vec<usize>,
    /// Whether the file is compressed already and cut in fixed pieces.
    fixed: bool,
    at_end: bool,
}

/// A chunk of a block, hashed; `new` if the store doesn't have it.
struct Piece {
    id: Id,
    /// Where it is in its block.
    range: Range<usize>,
    new: bool,
    packed: Option<Packed>,
}

impl Piece {
    fn child(&self) -> RecipeChild {
        RecipeChild { id: self.id, bytes: self.range.len() as u64 }
    }
}

impl Workshop<'_> {
    /// Stores the chunks of a file that the store lacks, which was `then` in the parent's version; gives its content id and all its chunks in order.
    pub(super) fn store_chunks(
        &self,
        path: &Path,
        file: &mut File,
        then: Option<&(Id, u64)>,
        mut packer: Option<&mut Packer<'_>>,
    ) -> Result<(Id, Vec<RecipeChild>)> {
        let mut hasher = blake3::Hasher::new();
        let mut chunks = Vec::new();
        let stores = packer.is_some();
        let then = then.filter(|_| stores);
        let mut against = Against::new(self.content, then, self.observer, self.known)?;
        let prepare = |block: &Block| {
            let decided = &block.bytes[..block.cuts.last().copied().unwrap_or(0)];
            let hashed = rayon::join(|| hash_pieces(block, self.known), || hasher.update_rayon(decided)).0;
            let mut pieces = hashed?;
            if stores {
                pack_pieces(block, &mut pieces, &mut against)?;
            }
            self.observer.add(Counter::Bytes, decided.len() as u64);
            Ok(pieces)
        };
        let keep = |block: &Block, pieces: Vec<Piece>| {
            chunks.extend(pieces.iter().map(Piece::child));
            let mut new = pieces.into_iter().filter(|piece| piece.new);
            new.try_for_each(|piece| self.keep_piece(block, piece, packer.as_deref_mut()))
        };
        in_steps(BlockReader { path, file, rule: None, carry: Vec::new() }, prepare, keep)?;
        Ok((Id(*hasher.finalize().as_bytes()), chunks))
    }

    fn keep_piece(&self, block: &Block, piece: Piece, packer: Option<&mut Packer<'_>>) -> Result<()> {
        let bytes = &block.bytes[piece.range];
        self.observer.add(Counter::NewBytes, bytes.len() as u64);
        self.observer.add(Counter::NewChunks, 1);
        let Some(packer) = packer else { return Ok(()) };
        match piece.packed {
            Some(packed) => packer.add_packed_chunk(piece.id, bytes, Some(&packed)),
            None if bytes.len() >= SHARED_BELOW => packer.add_packed_chunk(piece.id, bytes, None),
            None => packer.add_chunk(piece.id, bytes, if block.fixed { Compress::No } else { Compress::Try }),
        }
    }
}

/// Chunks below this share frames, and are compressed there.
const SHARED_BELOW: usize = 64 << 10;

fn hash_pieces(block: &Block, known: &Known<'_>) -> Result<Vec<Piece>> {
    let starts = std::iter::once(0).chain(block.cuts.iter().copied());
    let ranges: Vec<Range<usize>> = starts.zip(&block.cuts).map(|(start, end)| start..*end).collect();
    let piece = |range: Range<usize>| {
        let id = Id::of(&block.bytes[range.clone()]);
        Ok(Piece { id, range, new: known.claim(&id)?, packed: None })
    };
    ranges.into_par_iter().map(piece).collect()
}

/// Compresses what is new; the small ones only if they are worth a frame of their own.
fn pack_pieces(block: &Block, pieces: &mut [Piece], against: &mut Against<'_>) -> Result<()> {
    let children: Vec<RecipeChild> = pieces.iter().map(Piece::child).collect();
    let bases = against.bases(&children, |number| pieces[number].new)?;
    let new = pieces.par_iter_mut().zip(&bases.of).filter(|(piece, _)| piece.new);
    new.try_for_each(|(piece, bases)| {
        let bytes = &block.bytes[piece.range.clone()];
        let alone = bytes.len() >= SHARED_BELOW;
        let plain = if !block.fixed && (alone || !bases.is_empty()) { pack_frame(bytes) } else { None };
        let plain_bytes = plain.as_ref().map_or(bytes.len(), |packed| packed.bytes.len());
        let based = against.pack(bytes, plain_bytes, bases)?;
        piece.packed = based.or(plain.filter(|_| alone));
        Ok(())
    })
}

/// Gives the blocks of a file to `prepare`, and what that makes of each to `keep`, both in order, while the next ones are read and cut.
fn in_steps(
    mut reader: BlockReader<'_>,
    mut prepare: impl FnMut(&Block) -> Result<Vec<Piece>> + Send,
    mut keep: impl FnMut(&Block, Vec<Piece>) -> Result<()> + Send,
) -> Result<()> {
    let Some(first) = reader.next(Vec::new())? else { return Ok(()) };
    if first.at_end {
        let pieces = prepare(&first)?;
        return keep(&first, pieces);
    }
    // Where one step ends early its channels close, and so the others end.
    std::thread::scope(|scope| {
        let (ready, blocks) = mpsc::sync_channel(WAITING);
        let (done_with, spare) = mpsc::channel();
        let (prepared, to_keep) = mpsc::sync_channel::<(Block, Vec<Piece>)>(WAITING);
        scope.spawn(move || read_on(reader, &ready, &spare));
        let keeper = scope.spawn(move || {
            to_keep.into_iter().try_for_each(|(block, pieces)| {
                keep(&block, pieces)?;
                done_with.send(block.bytes).ok();
                Ok(())
            })
        });
        let prepare_all = move || {
            for block in std::iter::once(Ok(first)).chain(blocks) {
                let block = block?;
                // On a thread of the pool: each step would wake one otherwise.
                let pieces = rayon::join(|| prepare(&block), || ()).0?;
                if prepared.send((block, pieces)).is_err() {
                    break;
                }
            }
            Ok(())
        };
        let all = prepare_all();
        keeper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(all)
    })
}

/// Reads the blocks of a file, to its end or the first error, or until nobody takes them any more.
fn read_on(mut reader: BlockReader<'_>, ready: &SyncSender<Result<Block>>, spare: &Receiver<Vec<u8>>) {
    while let Some(block) = reader.next(spare.try_recv().unwrap_or_default()).transpose() {
        let is_last = block.as_ref().map_or(true, |block| block.at_end);
        if ready.send(block).is_err() || is_last {
            return;
        }
    }
}

/// Cuts a file into blocks of whole chunks.
struct BlockReader<'f> {
    path: &'f Path,
    file: &'f mut File,
    rule: Option<Rule>,
    /// Bytes behind the last decided cut.
    carry: Vec<u8>,
}

impl BlockReader<'_> {
    /// The next block; `None` when the file has no more bytes. It takes the memory of one that was done with: fresh memory costs a fault a page.
    fn next(&mut self, mut bytes: Vec<u8>) -> Result<Option<Block>> {
        bytes.clear();
        bytes.reserve(self.carry.len() + BLOCK);
        bytes.append(&mut self.carry);
        let read = fill(self.path, self.file, &mut bytes, BLOCK)?;
        let at_end = read < BLOCK;
        if bytes.is_empty() {
            return Ok(None);
        }
        let rule = *self.rule.get_or_insert_with(|| cut::sniff(&bytes));
        let mut cuts = Vec::new();
        let mut start = 0;
        while let Some(len) = cut::next_cut(rule, &bytes[start..], at_end) {
            start += len;
            cuts.push(start);
            if start == bytes.len() {
                break;
            }
        }
        self.carry.extend_from_slice(&bytes[start..]);
        Ok(Some(Block { bytes, cuts, fixed: rule == Rule::Fixed, at_end }))
    }
}
