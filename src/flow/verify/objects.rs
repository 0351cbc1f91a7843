//! Object by object: whether each is what was written.

use rayon::prelude::*;

use crate::base::{Counter, Event, Id, Kind, ObjectName, Result};
use crate::chunk::compress::decompress;
use crate::format::header::ObjectKind;
use crate::format::index::Index;
use crate::format::pack::{ItemKind, PackFrame, PackItem, frame_is_intact, parse_pack};
use crate::format::place::Encoding;
use crate::format::recipe::RecipeRoot;
use crate::store::content::Content;
use crate::store::uses;

use super::{Check, Finding};

/// What the objects pass reads; records and the log's states are read as the log names them.
const LISTED: [ObjectKind; 5] =
    [ObjectKind::Pack, ObjectKind::MetaPack, ObjectKind::Index, ObjectKind::State, ObjectKind::Use];

struct Stored {
    kind: ObjectKind,
    name: String,
    bytes: u64,
}

/// What was found in one object.
struct Looked {
    damage: Vec<String>,
    /// `None` where it couldn't be read.
    bytes: Option<u64>,
}

impl Check<'_> {
    /// Reads all objects that are asked for.
    pub(super) fn objects(&self, content: &Content) -> Result<()> {
        let mut objects = Vec::new();
        let is_part = self.extent.sample < 100.0 || self.extent.since.is_some();
        for kind in LISTED {
            match (kind, content.indexes()) {
                // Nothing rests on a use, and each version's are a list of their own.
                (ObjectKind::Use, _) if is_part => {}
                (ObjectKind::Pack, Ok(indexes)) if is_part && self.extent.since.is_none() => {
                    let packs = indexes.iter().flat_map(Index::packs).filter(|pack| pack.kind == kind);
                    objects.extend(packs.map(|pack| Stored { kind, name: kind.object(&pack.name), bytes: pack.bytes }));
                }
                _ => self.list_below(kind, kind.folder().to_owned(), &mut objects)?,
            }
        }
        objects.retain(|object| self.is_in_sample(object.kind, &object.name));
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        objects.dedup_by(|a, b| a.name == b.name);
        self.observer.add(Counter::BytesTotal, objects.iter().map(|object| object.bytes).sum());
        objects.par_iter().try_for_each(|object| self.object(object, content))
    }

    fn list_below(&self, kind: ObjectKind, folder: String, into: &mut Vec<Stored>) -> Result<()> {
        let listing = match self.bucket.list(&folder) {
            // Something else stands there: that is found beforehand.
            Err(fault) if fault.kind() == Kind::Damaged => return Ok(()),
            listing => listing?,
        };
        for object in listing.objects {
            let name = format!("{folder}/{}", object.name);
            if is_foreign(kind, &object.name) {
                if !is_hidden(&object.name) {
                    let told =
                        format!("{name} is no object of a store, and nobody reads it: remove it if nobody needs it");
                    self.observer.tell(Event::Warning(told));
                }
                continue;
            }
            self.seen().insert(name.clone(), object.bytes);
            if self.extent.since.is_none_or(|since| object.modified > since.time) {
                into.push(Stored { kind, name, bytes: object.bytes });
            }
        }
        let mut folders = listing.folders.into_iter().filter(|name| !is_hidden(name));
        folders.try_for_each(|name| self.list_below(kind, format!("{folder}/{name}"), into))
    }

    fn object(&self, object: &Stored, content: &Content) -> Result<()> {
        let mut looked = self.look_into(object, content)?;
        // As with `Bucket::read_verified`: a bit may flip on the way.
        if !looked.damage.is_empty() && self.bucket.is_far() {
            looked = self.look_into(object, content)?;
        }
        looked.damage.iter().for_each(|why| self.find(Finding::damaged(&object.name, why)));
        if let Some(bytes) = looked.bytes {
            self.seen().insert(object.name.clone(), bytes);
            self.count(bytes);
        }
        Ok(())
    }

    fn look_into(&self, object: &Stored, content: &Content) -> Result<Looked> {
        let bytes = match self.bucket.get(&object.name) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
            // Whether it must be there is seen when all that the log names is looked for.
            Err(fault) if fault.kind() == Kind::NotFound => {
                self.seen().remove(&object.name);
                return Ok(Looked { damage: Vec::new(), bytes: None });
            }
            Err(fault) => return Ok(Looked { damage: vec![fault.in_one_line()], bytes: None }),
        };
        let damage = match object.kind {
            ObjectKind::Index => Index::parse(bytes.clone()).map(|_| Vec::new()),
            ObjectKind::Use => uses::check(&object.name, &bytes).map(|_| Vec::new()),
            kind => self.pack_damage(kind, &object.name, &bytes, content),
        };
        let damage = damage.unwrap_or_else(|fault| vec![fault.in_one_line()]);
        Ok(Looked { damage, bytes: Some(bytes.len() as u64) })
    }

    /// All that is wrong with a pack that can be read at all.
    fn pack_damage(&self, kind: ObjectKind, name: &str, bytes: &[u8], content: &Content) -> Result<Vec<String>> {
        let mut damage = Vec::new();
        let footer = parse_pack(kind, bytes)?;
        let pack = name.rsplit('/').next().and_then(|last| ObjectName::parse(last).ok());
        if !pack.is_some_and(|pack| self.agreement.holds(pack, &footer)) {
            damage.push("holds other things than an index says of it".to_owned());
        }
        // Nobody reads what no index names: its bases may be gone.
        let is_read = kind == ObjectKind::State || pack.is_some_and(|pack| self.agreement.speaks_of(pack));
        for (frame, items) in footer.items_by_frame() {
            let stored = &bytes[frame.offset as usize..(frame.offset + frame.stored_bytes) as usize];
            if frame.check.is_some_and(|check| !frame_is_intact(stored, check)) {
                damage.push(format!("the frame at byte {} doesn't match its check", frame.offset));
                continue;
            }
            if frame.encoding.needs_base() && !is_read {
                continue;
            }
            let found = frame_damage(kind, frame, items, stored, content);
            damage.extend(found.into_iter().map(|why| format!("the frame at byte {} {why}", frame.offset)));
        }
        Ok(damage)
    }
}

/// What file managers and network file systems leave behind.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Whether no object of this kind has such a name: it hurts nobody.
fn is_foreign(kind: ObjectKind, name: &str) -> bool {
    is_hidden(name) || kind != ObjectKind::Use && ObjectName::parse(name).is_err()
}

fn frame_damage(
    kind: ObjectKind,
    frame: &PackFrame,
    items: &[PackItem],
    stored: &[u8],
    content: &Content,
) -> Vec<String> {
    let raw = match frame.encoding {
        Encoding::Raw => Ok(stored.to_vec()),
        Encoding::Zstd => decompress(stored, frame.raw_bytes as usize, None),
        Encoding::Based(base) => content
            .plain_copy(kind, &base)
            .and_then(|base| decompress(stored, frame.raw_bytes as usize, Some(base.bytes()))),
    };
    let raw = match raw {
        Ok(raw) => raw,
        Err(fault) => return vec![format!("can't be decoded: {}", fault.in_one_line())],
    };
    let is_wrong = |item: &&PackItem| {
        let object = &raw[item.at as usize..(item.at + item.len) as usize];
        match item.kind {
            ItemKind::RecipeRoot => !RecipeRoot::parse(object).is_ok_and(|root| root.content == item.id),
            kind => kind.is_named_by_hash() && Id::of(object) != item.id,
        }
    };
    items.iter().filter(is_wrong).map(|item| format!("doesn't hold {}", item.id.short())).collect()
}
