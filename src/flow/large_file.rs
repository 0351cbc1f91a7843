//! A file of many chunks: read in blocks, cut, hashed and compressed on all cores.
//!
//! While one block's chunks are hashed and compressed, the next block is read and cut. The whole file's digest is taken from the
//! same bytes, so that the content id is that of what was stored even if the file changes under us (which is noticed).

use std::fs::File;
use std::path::Path;

use rayon::prelude::*;

use crate::base::{Counter, Id, Result};
use crate::chunk::cut::{self, Rule};
use crate::format::recipe::RecipeChild;
use crate::tree::read_file::{BLOCK, fill};

use super::known::Known;
use super::packer::{Compress, Packer, pack_frame};
use super::store_files::Workshop;

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
struct Piece<'b> {
    id: Id,
    bytes: &'b [u8],
    new: bool,
    packed: Option<Vec<u8>>,
}

impl Workshop<'_> {
    /// Stores the chunks of a file that the store lacks; gives its content id and all its chunks in order.
    pub(super) fn store_chunks(
        &self,
        path: &Path,
        file: &mut File,
        mut packer: Option<&mut Packer<'_>>,
    ) -> Result<(Id, Vec<RecipeChild>)> {
        let mut hasher = blake3::Hasher::new();
        let mut chunks = Vec::new();
        let mut reader = BlockReader { path, file, rule: None, carry: Vec::new() };
        let mut next = reader.next()?;
        while let Some(block) = next.take() {
            let following = || if block.at_end { Ok(None) } else { reader.next() };
            let process = || {
                let decided = &block.bytes[..block.cuts.last().copied().unwrap_or(0)];
                rayon::join(|| hash_pieces(&block, self.known, packer.is_some()), || hasher.update_rayon(decided)).0
            };
            let (pieces, read) = rayon::join(process, following);
            next = read?;
            let compress = if block.fixed { Compress::No } else { Compress::Try };
            for piece in pieces? {
                chunks.push(RecipeChild { id: piece.id, bytes: piece.bytes.len() as u64 });
                if piece.new {
                    self.keep_piece(piece, compress, packer.as_deref_mut())?;
                }
            }
            self.observer.add(Counter::Bytes, block.cuts.last().copied().unwrap_or(0) as u64);
            (self.pause)()?;
        }
        Ok((Id(*hasher.finalize().as_bytes()), chunks))
    }

    fn keep_piece(&self, piece: Piece<'_>, compress: Compress, packer: Option<&mut Packer<'_>>) -> Result<()> {
        self.observer.add(Counter::NewBytes, piece.bytes.len() as u64);
        self.observer.add(Counter::NewChunks, 1);
        let Some(packer) = packer else { return Ok(()) };
        match piece.packed {
            Some(packed) => packer.add_packed_chunk(piece.id, piece.bytes, Some(&packed)),
            None if piece.bytes.len() >= SHARED_BELOW => packer.add_packed_chunk(piece.id, piece.bytes, None),
            None => packer.add_chunk(piece.id, piece.bytes, compress),
        }
    }
}

/// Chunks below this share frames, and are compressed there.
const SHARED_BELOW: usize = 64 << 10;

fn hash_pieces<'b>(block: &'b Block, known: &Known<'_>, keep: bool) -> Result<Vec<Piece<'b>>> {
    let starts = std::iter::once(0).chain(block.cuts.iter().copied());
    let ranges: Vec<(usize, usize)> = starts.zip(block.cuts.iter().copied()).collect();
    let piece = |(start, end): (usize, usize)| {
        let bytes = &block.bytes[start..end];
        let id = Id::of(bytes);
        let new = known.claim(&id)?;
        let worth_trying = new && keep && !block.fixed && bytes.len() >= SHARED_BELOW;
        let packed = if worth_trying { pack_frame(bytes) } else { None };
        Ok(Piece { id, bytes, new, packed })
    };
    ranges.into_par_iter().map(piece).collect()
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
    /// The next block; `None` when the file has no more bytes.
    fn next(&mut self) -> Result<Option<Block>> {
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.reserve(BLOCK);
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
        self.carry = bytes[start..].to_vec();
        Ok(Some(Block { bytes, cuts, fixed: rule == Rule::Fixed, at_end }))
    }
}
