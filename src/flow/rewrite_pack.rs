//! A pack with less in it: frames of which all stays are copied as they are stored, others are packed anew. A frame that was compressed against
//! something that goes is packed without a base.
//!
//! What stays is verified. Damage to what goes is left behind with it.

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
    let rest: Vec<&PackItem> = old.items.iter().filter(|item| stays.item(&old.pack.name, old.frame, item)).collect();
    if rest.is_empty() {
        return Ok(());
    }
    let raw = old.decode(content)?;
    let is_intact = old.check(&raw, &rest)?;
    let items: Vec<NewItem> = rest.iter().map(|item| new_item(item)).collect();
    if rest.len() == old.items.len() && is_intact && !needs_gone {
        builder.add_frame(old.stored(), old.frame.raw_bytes, old.frame.encoding, &items)?;
        return Ok(());
    }
    let rest: Vec<u8> = rest.iter().flat_map(|item| whole(&raw, item)).copied().collect();
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

    fn decode(&self, content: &Content) -> Result<Vec<u8>> {
        let (stored, raw_bytes) = (self.stored(), self.frame.raw_bytes as usize);
        match self.frame.encoding {
            Encoding::Raw => Ok(stored.to_vec()),
            Encoding::Zstd => decompress(stored, raw_bytes, None),
            Encoding::Based(base) => {
                decompress(stored, raw_bytes, Some(content.plain_copy(self.pack.kind, &base)?.bytes()))
            }
        }
    }

    /// What was damaged before must not become good by being copied. What goes may be damaged: whether the frame as it is stored is whole, as far
    /// as its check says.
    fn check(&self, raw: &[u8], rest: &[&PackItem]) -> Result<bool> {
        let is_intact = self.frame.check.is_none_or(|check| frame_is_intact(self.stored(), check));
        // What no id covers is covered by the check of the frame alone.
        if !is_intact && rest.iter().any(|item| !item.kind.is_named_by_hash() || item.hint_len > 0) {
            return Err(self.fault("doesn't match its check"));
        }
        let is_right = |item: &PackItem| {
            let object = raw.get(item.at as usize..(item.at + item.len) as usize);
            object.is_some_and(|object| !item.kind.is_named_by_hash() || Id::of(object) == item.id)
        };
        match rest.iter().find(|item| !is_right(item)) {
            None => Ok(is_intact),
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
