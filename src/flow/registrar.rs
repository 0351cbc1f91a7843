//! What one writer stored becomes indexes, and long work is registered now and then: a later run finds its chunks and goes on.
//!
//! Packs that are durable are indexed while others are still on their way: nobody who fills packs waits for those. A thread of its own does it,
//! so that it goes on where all others wait for a slow store.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::base::files::random_bytes;
use crate::base::{Id, ObjectName, Result};
use crate::format::header::ObjectKind;
use crate::format::index::{Index, IndexBuilder};
use crate::format::operation::IndexRow;
use crate::format::pack::Footer;
use crate::store::content::Content;
use crate::store::objects::Bucket;

use super::upload::{StoredPack, Uploads};

/// How much work may be lost: stored packs are registered when either is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Often {
    /// Stored bytes that no record speaks of.
    pub bytes: u64,
    /// Since the last time.
    pub time: Duration,
}

impl Default for Often {
    fn default() -> Often {
        Often { bytes: 1 << 30, time: Duration::from_secs(60) }
    }
}

/// As good as forever, and no sum of times overflows.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Puts indexes into the log.
pub type Register<'r> = dyn FnMut(Vec<IndexRow>) -> Result<()> + Send + 'r;

/// The indexes of one writer.
pub struct Registrar<'a> {
    bucket: Bucket,
    content: &'a Content,
    born: u64,
    often: Often,
    own: Vec<Index>,
    /// Packs that need others which aren't durable yet.
    held: Vec<StoredPack>,
    last: Instant,
}

/// Stored packs that no index object names yet.
pub struct Unindexed {
    index: Index,
    row: IndexRow,
}

impl Unindexed {
    /// Where the chunks in them lie.
    pub fn index(&self) -> &Index {
        &self.index
    }
}

impl<'a> Registrar<'a> {
    /// No index yet; `content` is what the store had when the writer began.
    pub fn new(bucket: Bucket, content: &'a Content, often: Often) -> Registrar<'a> {
        let born = content.record();
        Registrar { bucket, content, born, often, own: Vec::new(), held: Vec::new(), last: Instant::now() }
    }

    /// The indexes that were written.
    pub fn own(&self) -> &[Index] {
        &self.own
    }

    /// Does `work`, which fills packs or waits for them, and meanwhile indexes and registers those that are durable as often as is asked.
    ///
    /// A fault of that ends the `uploads`: whoever fills packs, or concludes, gets it.
    pub fn while_registering<T>(
        &mut self,
        uploads: &Uploads,
        register: &mut Register<'_>,
        work: impl FnOnce() -> T,
    ) -> T {
        let ended = AtomicBool::new(false);
        let ending = Ending { uploads, ended: &ended };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if let Err(fault) = self.register_until(&ended, uploads, register) {
                    uploads.give_up(fault);
                }
            });
            let _ending = ending;
            work()
        })
    }

    fn register_until(&mut self, ended: &AtomicBool, uploads: &Uploads, register: &mut Register<'_>) -> Result<()> {
        while !ended.load(Ordering::Acquire) {
            let bytes = uploads.stored_bytes();
            let rest = self.often.time.saturating_sub(self.last.elapsed());
            if bytes == 0 {
                uploads.wait_for_stored(|bytes| bytes > 0, ended, LONG);
            } else if bytes < self.often.bytes && !rest.is_zero() {
                uploads.wait_for_stored(|bytes| bytes >= self.often.bytes, ended, rest.min(LONG));
            } else {
                self.register_stored(uploads, register)?;
            }
        }
        Ok(())
    }

    fn register_stored(&mut self, uploads: &Uploads, register: &mut Register<'_>) -> Result<()> {
        let packs = self.complete(uploads.take_stored())?;
        let rest = self.index(packs)?;
        let rows = self.write(rest, Vec::new())?;
        register(rows.into_iter().collect())?;
        self.last = Instant::now();
        Ok(())
    }

    /// What an index will say of `packs`, which are all that there is, and of those that were held back.
    pub fn gather(&mut self, mut packs: Vec<StoredPack>) -> Result<Unindexed> {
        packs.append(&mut self.held);
        self.index(packs)
    }

    /// The packs whose every base is in them, or registered before; the others are held back. *Else who finds a chunk in the log may find it without
    /// its base.*
    fn complete(&mut self, mut packs: Vec<StoredPack>) -> Result<Vec<StoredPack>> {
        packs.append(&mut self.held);
        while packs.iter().any(|pack| bases(&pack.footer).next().is_some()) {
            let here: HashSet<Id> = packs.iter().flat_map(|pack| pack.footer.plain_ids()).collect();
            let mut lacking = Vec::new();
            for (number, pack) in packs.iter().enumerate() {
                for base in bases(&pack.footer).filter(|base| !here.contains(base)) {
                    let own =
                        |index: &Index| index.find_chunk(&base).is_some_and(|place| !place.frame.encoding.needs_base());
                    if !self.own.iter().any(own) && self.content.plain_base(&base)?.is_none() {
                        lacking.push(number);
                        break;
                    }
                }
            }
            if lacking.is_empty() {
                break;
            }
            self.held.extend(lacking.into_iter().rev().map(|number| packs.remove(number)));
        }
        Ok(packs)
    }

    fn index(&self, packs: Vec<StoredPack>) -> Result<Unindexed> {
        let mut row = IndexRow::of_nothing(ObjectName { born: self.born, random: random_bytes()? });
        let mut builder = IndexBuilder::new();
        add_packs(&mut builder, &mut row, packs)?;
        Ok(Unindexed { index: Index::parse(builder.finish()?)?, row })
    }

    /// Writes an index of `rest` and `more`; gives the row to register, if there is any pack.
    pub fn write(&mut self, rest: Unindexed, more: Vec<StoredPack>) -> Result<Option<IndexRow>> {
        let Unindexed { mut index, mut row } = rest;
        if !more.is_empty() {
            let mut builder = IndexBuilder::new();
            builder.add_index(&index, |_| false)?;
            add_packs(&mut builder, &mut row, more)?;
            index = Index::parse(builder.finish()?)?;
        }
        if row.packs == 0 {
            return Ok(None);
        }
        self.bucket.ensure(&ObjectKind::Index.object(&row.name), index.bytes().clone(), None)?;
        row.bytes = index.bytes().len() as u64;
        row.id = Id::of(index.bytes());
        self.content.keep_index(&row, index.bytes());
        self.own.push(index);
        Ok(Some(row))
    }
}

/// Ends the registering beside some work, also where that panics.
struct Ending<'e> {
    uploads: &'e Uploads,
    ended: &'e AtomicBool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.uploads.end_wait(self.ended);
    }
}

/// The bases that frames of a pack need.
fn bases(footer: &Footer) -> impl Iterator<Item = Id> {
    footer.frames.iter().filter_map(|frame| frame.encoding.base())
}

fn add_packs(builder: &mut IndexBuilder, row: &mut IndexRow, packs: Vec<StoredPack>) -> Result<()> {
    for pack in packs {
        row.count(pack.kind, pack.bytes);
        builder.add_pack(pack.name, pack.kind, pack.bytes, &pack.footer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::pack::{ItemKind, NewItem, PackBuilder};
    use crate::format::place::Encoding;
    use crate::store::backend;

    /// A pack with the chunk `text`, which needs `base`.
    fn pack(text: &[u8], base: Option<&[u8]>) -> StoredPack {
        let mut builder = PackBuilder::new(ObjectKind::Pack);
        let item = NewItem { id: Id::of(text), kind: ItemKind::Chunk, len: text.len() as u32, hint_len: 0 };
        let encoding = base.map_or(Encoding::Raw, |base| Encoding::Based(Id::of(base)));
        builder.add_frame(text, item.len, encoding, &[item]).expect("adds");
        let finished = builder.finish();
        let name = ObjectName { born: 1, random: [text[0]; 16] };
        StoredPack { name, kind: ObjectKind::Pack, bytes: finished.bytes.len() as u64, footer: finished.footer }
    }

    #[test]
    fn a_pack_waits_for_those_that_hold_its_bases() {
        let content = Content::new(backend::memory(), Vec::new());
        let mut registrar = Registrar::new(backend::memory(), &content, Often::default());
        let mut complete = |packs| {
            let complete = registrar.complete(packs).expect("no index fails");
            complete.iter().map(|pack| pack.name.random[0]).collect::<Vec<_>>()
        };
        assert_eq!(complete(vec![pack(b"b", Some(b"a")), pack(b"c", None)]), b"c");
        assert_eq!(complete(vec![pack(b"d", Some(b"b"))]), b"", "a chunk that needs a base is none");
        assert_eq!(complete(vec![pack(b"a", None)]), b"ab");
        let rest = registrar.gather(Vec::new()).expect("indexes");
        assert_eq!(rest.index().pack_count(), 1, "in the end all is there, as its writer says");
    }
}
