//! Ranges of packs, of which some may be gone: a hint may name one that a collection has replaced since.
//!
//! Only packs of void sessions can be. As long as nobody knows whether such a one is there, one request asks for it, and whoever else wants
//! something of it waits for what that brings. Of a pack that turned out to be gone, nothing more is asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::base::{Error, Kind, ObjectName, Result};
use crate::format::header::ObjectKind;

use super::objects::{Bucket, Watch};

/// An answer that is longer than a refusal's words is of a pack that is there.
const MORE_THAN_WORDS: u64 = 64 << 10;

/// Reads packs of one store.
pub(super) struct PackRanges {
    bucket: Bucket,
    void_before: u64,
    sights: Arc<Sights>,
}

/// What is known of packs that were asked for.
#[derive(Default)]
struct Sights {
    of: Mutex<HashMap<ObjectName, Sight>>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// The first request is under way.
    Asked,
    /// It is there, or that can't be told: nobody waits any more.
    Open,
    Gone,
}

impl PackRanges {
    /// Packs of sessions that began before the record `void_before` may be gone.
    pub(super) fn new(bucket: Bucket, void_before: u64) -> PackRanges {
        PackRanges { bucket, void_before, sights: Arc::default() }
    }

    /// Whether the store is far away.
    pub(super) fn are_far(&self) -> bool {
        self.bucket.is_far()
    }

    /// Whether the pack may be gone, where nobody has asked for it yet.
    pub(super) fn may_be_gone(&self, pack: &ObjectName) -> bool {
        pack.born < self.void_before
    }

    /// Whether the pack was asked for, and isn't there.
    pub(super) fn is_gone(&self, pack: &ObjectName) -> bool {
        self.sights.of().get(pack) == Some(&Sight::Gone)
    }

    /// Has the pack asked for though it seemed to be gone: an index says that it must be there.
    pub(super) fn ask_anew(&self, pack: &ObjectName) {
        let mut of = self.sights.of();
        if of.get(pack) == Some(&Sight::Gone) {
            of.remove(pack);
        }
    }

    /// A range of a pack, as [`Objects::get_range_watched`](super::objects::Objects::get_range_watched) gives it.
    pub(super) fn read(
        &self,
        kind: ObjectKind,
        pack: ObjectName,
        offset: u64,
        bytes: u64,
        watch: Option<&Watch>,
    ) -> Result<Bytes> {
        let object = kind.object(&pack);
        let is_first = self.may_be_gone(&pack) && self.sights.is_first(pack);
        if self.is_gone(&pack) {
            return Err(Error::not_found(format!("the store {} has no object {object}", self.bucket.describe())));
        }
        let first = is_first.then(|| First { sights: &self.sights, pack });
        let watch = if is_first { Some(self.sights.opening(pack, watch.cloned())) } else { watch.cloned() };
        let read = match watch {
            Some(watch) => self.bucket.get_range_watched(&object, offset, bytes, &watch),
            None => self.bucket.get_range(&object, offset, bytes),
        };
        if read.as_ref().is_err_and(|fault| fault.kind() == Kind::NotFound) {
            self.sights.of().insert(pack, Sight::Gone);
        }
        drop(first);
        read
    }
}

impl Sights {
    fn of(&self) -> MutexGuard<'_, HashMap<ObjectName, Sight>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True for one caller, who is to ask; the others wait until that has told something.
    fn is_first(&self, pack: ObjectName) -> bool {
        let mut of = self.of();
        if of.contains_key(&pack) {
            let is_asked = |of: &mut HashMap<_, _>| of.get(&pack) == Some(&Sight::Asked);
            drop(self.changed.wait_while(of, is_asked).unwrap_or_else(PoisonError::into_inner));
            return false;
        }
        of.insert(pack, Sight::Asked);
        true
    }

    fn open(&self, pack: ObjectName) {
        let mut of = self.of();
        if of.get(&pack) == Some(&Sight::Asked) {
            of.insert(pack, Sight::Open);
        }
        self.changed.notify_all();
    }

    /// A watch that lets the others go on as soon as the pack is seen to be there.
    fn opening(self: &Arc<Self>, pack: ObjectName, watch: Option<Watch>) -> Watch {
        let (sights, moved) = (self.clone(), AtomicU64::new(0));
        Arc::new(move |bytes| {
            let before = moved.fetch_add(bytes, Ordering::Relaxed);
            if before <= MORE_THAN_WORDS && before + bytes > MORE_THAN_WORDS {
                sights.open(pack);
            }
            watch.as_ref().is_none_or(|watch| watch(bytes))
        })
    }
}

/// Who asks for a pack first. Dropped, it keeps nobody waiting.
struct First<'s> {
    sights: &'s Sights,
    pack: ObjectName,
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        self.sights.open(self.pack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Observer;
    use crate::store::backend::memory;
    use crate::store::recording::Recording;

    const READERS: usize = 8;

    fn pack(born: u64) -> ObjectName {
        ObjectName { born, random: [7; 16] }
    }

    /// What many readers at once get of a pack, and the requests that this took.
    fn read_by_many(bucket: &Bucket, void_before: u64, pack: ObjectName) -> (Vec<Result<Bytes>>, usize) {
        let recording = Recording::keeping_calls(bucket.clone(), Observer::new());
        let ranges = PackRanges::new(recording.bucket(), void_before);
        let read = || ranges.read(ObjectKind::Pack, pack, 1, 2, None);
        let came = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        assert_eq!(ranges.is_gone(&pack), bucket.size(&format!("packs/{pack}")).unwrap().is_none());
        (came, recording.take_calls().len())
    }

    #[test]
    fn one_request_finds_out_that_a_pack_is_gone() {
        let bucket = memory();
        let (came, requests) = read_by_many(&bucket, 5, pack(4));
        assert!(came.iter().all(|read| read.as_ref().is_err_and(|fault| fault.kind() == Kind::NotFound)));
        assert_eq!(requests, 1);

        bucket.create(&format!("packs/{}", pack(4)), Bytes::from_static(b"1234")).unwrap();
        let (came, requests) = read_by_many(&bucket, 5, pack(4));
        assert!(came.iter().all(|read| read.as_ref().is_ok_and(|bytes| bytes == "23")));
        assert_eq!(requests, READERS, "what is there is read by all");
    }

    #[test]
    fn an_index_has_a_pack_asked_for_again() {
        let bucket = memory();
        let ranges = PackRanges::new(bucket.clone(), 0);
        let read = || ranges.read(ObjectKind::Pack, pack(4), 0, 4, None);
        assert_eq!(read().unwrap_err().kind(), Kind::NotFound);
        bucket.create(&format!("packs/{}", pack(4)), Bytes::from_static(b"1234")).unwrap();
        assert_eq!(read().unwrap_err().kind(), Kind::NotFound, "nothing is asked");
        ranges.ask_anew(&pack(4));
        assert_eq!(read().unwrap(), "1234");
    }

    #[test]
    fn who_waits_goes_on_when_more_than_a_refusal_has_come() {
        let sights = Arc::new(Sights::default());
        assert!(sights.is_first(pack(1)));
        let watch = sights.opening(pack(1), None);
        assert!(watch(MORE_THAN_WORDS) && sights.of().get(&pack(1)) == Some(&Sight::Asked));
        assert!(watch(1) && sights.of().get(&pack(1)) == Some(&Sight::Open));
        assert!(!sights.is_first(pack(1)), "nobody waits");
    }
}
