//! Chunks become frames, frames become packs of about 32 MiB.

use crate::base::{Id, Result};
use crate::chunk::compress::{compress, compress_against};
use crate::format::header::ObjectKind;
use crate::format::pack::{ItemKind, NewItem};
use crate::format::place::{Encoding, FramePlace};

use super::upload::{OpenPack, PACK_BYTES, Uploads};

/// Small neighbours share frames of up to this many raw bytes.
const SHARED_DATA_FRAME: usize = 256 << 10;
/// A chunk of at least this is a frame alone.
const ALONE: usize = 64 << 10;

/// Whether it is worth trying to compress something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compress {
    Try,
    /// Compressed by its maker already.
    No,
}

/// A frame as it is stored, where that isn't its raw bytes.
pub struct Packed {
    pub bytes: Vec<u8>,
    pub encoding: Encoding,
}

/// A frame being filled with small neighbours.
#[derive(Default)]
struct OpenFrame {
    raw: Vec<u8>,
    items: Vec<NewItem>,
}

/// Fills data packs; each worker has its own, so that neighbours stay together.
pub struct Packer<'a> {
    uploads: &'a Uploads,
    pack: OpenPack,
    /// Two lanes, so that photographs between labels don't keep the labels from compressing.
    compressible: OpenFrame,
    compressed_already: OpenFrame,
}

impl<'a> Packer<'a> {
    /// A packer that hands full packs to `uploads` and goes on filling `tail`.
    pub fn new(uploads: &'a Uploads, tail: Option<OpenPack>) -> Result<Packer<'a>> {
        let pack = tail.map_or_else(|| uploads.open_pack(ObjectKind::Pack), Ok)?;
        Ok(Packer { uploads, pack, compressible: OpenFrame::default(), compressed_already: OpenFrame::default() })
    }

    /// Adds a chunk that the store doesn't have.
    pub fn add_chunk(&mut self, id: Id, bytes: &[u8], compress: Compress) -> Result<()> {
        let item = NewItem { id, kind: ItemKind::Chunk, len: bytes.len() as u32, hint_len: 0 };
        if bytes.len() >= ALONE {
            let packed = match compress {
                Compress::Try => pack_frame(bytes),
                Compress::No => None,
            };
            return self.add_frame(bytes, packed.as_ref(), &[item]);
        }
        let lane = match compress {
            Compress::Try => &mut self.compressible,
            Compress::No => &mut self.compressed_already,
        };
        if lane.raw.len() + bytes.len() > SHARED_DATA_FRAME {
            self.close_frame(compress)?;
        }
        self.lane(compress).push(item, &[bytes]);
        Ok(())
    }

    /// Adds a chunk of a large file whose frame was made elsewhere: `packed` is its compressed form, `None` to keep it raw.
    pub fn add_packed_chunk(&mut self, id: Id, bytes: &[u8], packed: Option<&Packed>) -> Result<()> {
        let item = NewItem { id, kind: ItemKind::Chunk, len: bytes.len() as u32, hint_len: 0 };
        self.add_frame(bytes, packed, &[item])
    }

    /// Adds a frame of another pack as it is stored there; `items` fill it.
    pub fn add_stored_frame(&mut self, frame: &FramePlace, stored: &[u8], items: &[NewItem]) -> Result<()> {
        self.make_room(stored.len())?;
        self.pack.builder.add_frame(stored, frame.raw_bytes, frame.encoding, items)?;
        Ok(())
    }

    /// Closes the open frames and gives what hasn't filled a pack.
    pub fn into_tail(mut self) -> Result<OpenPack> {
        self.close_frame(Compress::Try)?;
        self.close_frame(Compress::No)?;
        Ok(self.pack)
    }

    fn lane(&mut self, compress: Compress) -> &mut OpenFrame {
        match compress {
            Compress::Try => &mut self.compressible,
            Compress::No => &mut self.compressed_already,
        }
    }

    fn close_frame(&mut self, compress: Compress) -> Result<()> {
        let mut lane = std::mem::take(self.lane(compress));
        if !lane.items.is_empty() {
            let packed = match compress {
                Compress::Try => pack_frame(&lane.raw),
                Compress::No => None,
            };
            self.add_frame(&lane.raw, packed.as_ref(), &lane.items)?;
        }
        lane.raw.clear();
        lane.items.clear();
        *self.lane(compress) = lane;
        Ok(())
    }

    fn add_frame(&mut self, raw: &[u8], packed: Option<&Packed>, items: &[NewItem]) -> Result<()> {
        let (stored, encoding) = packed.map_or((raw, Encoding::Raw), |packed| (&packed.bytes, packed.encoding));
        self.make_room(stored.len())?;
        self.pack.builder.add_frame(stored, raw.len() as u32, encoding, items)?;
        Ok(())
    }

    fn make_room(&mut self, stored: usize) -> Result<()> {
        if self.pack.is_full_for(stored) {
            let full = std::mem::replace(&mut self.pack, self.uploads.open_pack(ObjectKind::Pack)?);
            self.uploads.send(full)?;
        }
        Ok(())
    }
}

impl OpenFrame {
    fn push(&mut self, item: NewItem, parts: &[&[u8]]) {
        self.items.push(item);
        parts.iter().for_each(|part| self.raw.extend_from_slice(part));
    }
}

/// The compressed form of a frame, if it is worth keeping.
pub fn pack_frame(raw: &[u8]) -> Option<Packed> {
    compress(raw).map(|bytes| Packed { bytes, encoding: Encoding::Zstd })
}

/// The form of a frame that needs the chunk `id`, whose bytes are `base`, if it is worth keeping.
pub fn pack_frame_against(raw: &[u8], id: Id, base: &[u8]) -> Option<Packed> {
    compress_against(raw, base).map(|bytes| Packed { bytes, encoding: Encoding::Based(id) })
}

/// Joins the tails of several packers into as few packs as they fill; gives the last, which may be far from full.
pub fn join_tails(tails: Vec<OpenPack>, uploads: &Uploads) -> Result<Option<OpenPack>> {
    let mut open: Option<OpenPack> = None;
    for tail in tails.into_iter().filter(|tail| !tail.builder.is_empty()) {
        open = Some(match open.take() {
            None => tail,
            Some(mut pack) if pack.builder.len() + tail.builder.len() <= PACK_BYTES + PACK_BYTES / 4 => {
                pack.builder.append(tail.builder)?;
                pack
            }
            Some(pack) => {
                uploads.send(pack)?;
                tail
            }
        });
    }
    Ok(open)
}
