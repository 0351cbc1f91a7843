//! A pack with less in it: frames of which all stays are copied as they are stored, others are packed anew. A frame that was compressed against
//! something that goes is packed without a base.

use bytes::Bytes;

use crate::base::files::random_bytes;
use crate::base::{Error, Id, ObjectName, Result};
use crate::chunk::compress::decompress;
use crate::format::header::ObjectKind;
use crate::format::index::IndexPack;
use crate::format::pack::{Footer, NewItem, PackBuilder, PackFrame, PackItem, frame_is_intact, parse_pack};
use crate::format::place::Encoding;
use crate::store::content::Content;
use crate::store::objects::Bucket;

use super::packer::pack_frame;

/// What stays of a pack.
pub trait Stays {
    /// Whether an item of the pack does, in its frame.
    fn item(&self, pack: &ObjectName, frame: &PackFrame, item: &PackItem) -> bool;

    /// Whether frames may go on needing this base.
    fn base(&self, base: &Id) -> bool;
}

/// A pack in the place of another one.
pub struct Rewritten {
    pub name: ObjectName,
    pub kind: ObjectKind,
    pub bytes: u64,
    pub footer: Footer,
}

/// Reads a pack, and makes one of what stays of it, named as of record `born`; `None` if nothing does. `write` says whether it is stored.
pub fn rewrite_pack(
    (bucket, content): (&Bucket, &Content),
    pack: &IndexPack,
    stays: &dyn Stays,
    born: u64,
    write: bool,
) -> Result<Option<Rewritten>> {
    let old = pack.kind.object(&pack.name);
    let damaged = |fault: Error| fault.within(format!("{old} can't be rewritten")).hint(content.verify_hint());
    let read = || {
        let bytes = bucket.get(&old)?;
        let footer = parse_pack(pack.kind, &bytes)?;
        Ok((bytes, footer))
    };
    let (bytes, footer) = bucket.read_verified(read).map_err(damaged)?;
    let mut builder = PackBuilder::new(pack.kind);
    for (frame, items) in footer.items_by_frame() {
        add_rest(&mut builder, content, &Old { pack, bytes: &bytes, frame, items }, stays).map_err(damaged)?;
    }
    if builder.is_empty() {
        return Ok(None);
    }
    let finished = builder.finish();
    let name = ObjectName { born, random: random_bytes()? };
    let bytes = finished.bytes.len() as u64;
    if write {
        bucket.ensure(&pack.kind.object(&name), finished.bytes.into(), None)?;
    }
    Ok(Some(Rewritten { name, kind: pack.kind, bytes, footer: finished.footer }))
}

/// A frame of the pack that was read.
struct Old<'p> {
    pack: &'p IndexPack,
    bytes: &'p Bytes,
    frame: &'p PackFrame,
    items: &'p [PackItem],
}

fn add_rest(builder: &mut PackBuilder, content: &Content, old: &Old<'_>, stays: &dyn Stays) -> Result<()> {
    let needs_gone = old.frame.encoding.base().is_some_and(|base| !stays.base(&base));
    let stays = |item: &&PackItem| stays.item(&old.pack.name, old.frame, item);
    if !old.items.iter().any(|item| stays(&item)) {
        return Ok(());
    }
    let stored = old.stored();
    let raw = old.decode(content, stored)?;
    old.check(&raw)?;
    let items: Vec<NewItem> = old.items.iter().filter(stays).map(new_item).collect();
    if items.len() == old.items.len() && !needs_gone {
        builder.add_frame(stored, old.frame.raw_bytes, old.frame.encoding, &items)?;
        return Ok(());
    }
    let rest: Vec<u8> = old.items.iter().filter(stays).flat_map(|item| whole(&raw, item)).copied().collect();
    let packed = pack_frame(&rest);
    let (stored, encoding) = packed.as_ref().map_or((&rest[..], Encoding::Raw), |it| (&it.bytes, it.encoding));
    builder.add_frame(stored, rest.len() as u32, encoding, &items)?;
    Ok(())
}

impl Old<'_> {
    fn stored(&self) -> &[u8] {
        let start = self.frame.offset as usize;
        &self.bytes[start..start + self.frame.stored_bytes as usize]
    }

    fn decode(&self, content: &Content, stored: &[u8]) -> Result<Vec<u8>> {
        let raw_bytes = self.frame.raw_bytes as usize;
        if self.frame.check.is_some_and(|check| !frame_is_intact(stored, check)) {
            return Err(self.fault("doesn't match its check"));
        }
        match self.frame.encoding {
            Encoding::Raw => Ok(stored.to_vec()),
            Encoding::Zstd => decompress(stored, raw_bytes, None),
            Encoding::Based(base) => {
                decompress(stored, raw_bytes, Some(content.plain_copy(self.pack.kind, &base)?.bytes()))
            }
        }
    }

    /// What was damaged before must not become good by being copied.
    fn check(&self, raw: &[u8]) -> Result<()> {
        let is_right = |item: &&PackItem| {
            let object = raw.get(item.at as usize..(item.at + item.len) as usize);
            object.is_some_and(|object| !item.kind.is_named_by_hash() || Id::of(object) == item.id)
        };
        match self.items.iter().find(|item| !is_right(item)) {
            None => Ok(()),
            Some(item) => Err(self.fault(&format!("doesn't hold {}", item.id.short()))),
        }
    }

    fn fault(&self, why: &str) -> Error {
        Error::damaged(format!("the frame at byte {} {why}", self.frame.offset))
    }
}

/// An item and its hint.
fn whole<'r>(raw: &'r [u8], item: &PackItem) -> &'r [u8] {
    &raw[item.at as usize..(item.at + item.len + item.hint_len) as usize]
}

fn new_item(item: &PackItem) -> NewItem {
    NewItem { id: item.id, kind: item.kind, len: item.len, hint_len: item.hint_len }
}
