//! The small trait that everything stored goes through, and the handle on it.
//!
//! A name is relative to the store's root: components joined by `/`, each of `A-Z a-z 0-9 . _ -` and not beginning with
//! `.` (so no backend has anything to encode, and none can leave its root). What the format names fits;
//! another name is a [`Kind::Usage`](crate::base::Kind::Usage) error on every backend.
//!
//! Promises that each backend keeps, and `tests/all/conformance.rs` tests:
//! - An object appears whole or not at all, and never changes. Of many that create one name, one gets [`Created::New`].
//! - What [`Objects::create`] acknowledges survives power loss, with [`Created::Exists`] too: who lost a race builds on a
//!   durable object. A read promises less: in a folder it may see an object that its writer is about to sync.
//! - An error from `create` leaves open whether the object is there; so does `Exists` after a request that was repeated
//!   (its first answer may have been lost). Who must know reads the object back.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Error, Kind, Result, Time};

/// What came of creating an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Created {
    /// The object is this caller's.
    New,
    /// The name was taken; nothing was written.
    Exists,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its name inside the folder that was listed: the last component.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written, by the store's own clock.
    pub modified: Time,
}

/// One level of a store, each list sorted by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Names of the folders in it (last components). A local folder may be empty.
    pub folders: Vec<String>,
    /// The objects directly in it.
    pub objects: Vec<ObjectMeta>,
}

/// Names of objects below a folder, however deep, as far as one request shows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Below {
    /// Paths from the folder that was asked for, in the order of their bytes.
    pub names: Vec<String>,
    /// Whether none lies behind the last of them.
    pub reaches_end: bool,
}

/// The methods of [`Objects`], for decorators that count or fail them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    Create,
    Get,
    GetRange,
    GetTail,
    List,
    Size,
    Delete,
}

/// How many verbs there are.
pub(super) const VERBS: usize = Verb::Delete as usize + 1;

/// Is told how many bytes more have moved, those of failed tries too; says whether the rest is still wanted.
pub type Watch = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// What belongs in a place of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belongs {
    Folder,
    Object,
}

/// The objects of one store.
///
/// Callable from any thread. Errors are [`NotFound`](crate::base::Kind::NotFound) for an absent object,
/// [`Unreachable`](crate::base::Kind::Unreachable) for a store that can't be reached or refuses,
/// [`Damaged`](crate::base::Kind::Damaged) for an object that is too short, else
/// [`Failed`](crate::base::Kind::Failed), as for a full disk.
pub trait Objects: Send + Sync {
    /// Creates the object if its name is free; durable when this returns.
    fn create(&self, name: &str, bytes: Bytes) -> Result<Created>;

    /// As [`Objects::create`], watched as it goes, and always to its end; where that can't be seen, told then.
    fn create_watched(&self, name: &str, bytes: Bytes, watch: &Watch) -> Result<Created> {
        let length = bytes.len() as u64;
        let created = self.create(name, bytes)?;
        watch(length);
        Ok(created)
    }

    /// The whole object. For objects whose size is bounded by their creation: it is read into memory.
    fn get(&self, name: &str) -> Result<Bytes>;

    /// As [`Objects::get`], by one try, however patient the store is: for who has outwaited it already.
    fn get_once(&self, name: &str) -> Result<Bytes> {
        self.get(name)
    }

    /// Exactly `bytes` bytes from `offset`; an object that ends before is damaged.
    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes>;

    /// As [`Objects::get_range`], watched as it comes; where that can't be seen, at its end. What has come is given alone where the rest
    /// isn't wanted any more.
    fn get_range_watched(&self, name: &str, offset: u64, bytes: u64, watch: &Watch) -> Result<Bytes> {
        let read = self.get_range(name, offset, bytes)?;
        watch(bytes);
        Ok(read)
    }

    /// The last `bytes` bytes, or all where it has fewer, and the object's whole length, in one request.
    fn get_tail(&self, name: &str, bytes: u64) -> Result<(Bytes, u64)>;

    /// One level below `folder` (`""`: the root), all pages; a missing folder is empty. In a folder [`Damaged`](crate::base::Kind::Damaged)
    /// where something else stands in its place.
    /// A hint: an object created meanwhile may be missing, even where a later one shows.
    fn list(&self, folder: &str) -> Result<Listing>;

    /// Names below `folder`, by one request: a bucket's list begins behind `after`, a name below the folder, or with the first; a folder's
    /// with the last folder that holds any, and shows whatever stands there, an empty folder with a slash. As much of a hint as a list.
    ///
    /// A decorator that doesn't pass it on shows none, and its caller lists level by level.
    fn list_below(&self, _folder: &str, _after: Option<&str>) -> Result<Below> {
        Ok(Below::default())
    }

    /// Whether a list shows all that was there when it was asked for, as on this machine's own disks. Elsewhere it is a hint.
    fn lists_exactly(&self) -> bool {
        false
    }

    /// The object's length, `None` if it is absent.
    fn size(&self, name: &str) -> Result<Option<u64>>;

    /// Removes the object; absent is well. For collection only. Not durable: after power loss it may be back.
    fn delete(&self, name: &str) -> Result<()>;

    /// Moves what stands in the place of an object or a folder and is none, as a FIFO or a device may in a folder, to another place of the store;
    /// false where what belongs there stands there, or nothing. For repairs only.
    ///
    /// A decorator that doesn't pass it on moves nothing.
    fn move_stranger(&self, _name: &str, _belongs: Belongs, _to: &str) -> Result<bool> {
        Ok(false)
    }

    /// The store's path or URL, for messages.
    fn describe(&self) -> String;

    /// Whether an answer takes its time to come, so that many requests are worth having under way at once. A folder's don't.
    fn is_far(&self) -> bool {
        false
    }

    /// Whether requests and bytes are counted where they are made: each try, each page. A decorator that counts calls then doesn't.
    fn counts_requests(&self) -> bool {
        false
    }
}

/// A handle on a store's objects, cheap to clone.
#[derive(Clone)]
pub struct Bucket(Arc<dyn Objects>);

impl Bucket {
    /// A handle on `objects`.
    pub fn new(objects: impl Objects + 'static) -> Bucket {
        Bucket(Arc::new(objects))
    }

    /// What `read` reads and verifies. Where that lies far away and what came is damaged, or seems to be of a newer format, it is read
    /// once more before that is believed: a bit may flip on the way.
    pub fn read_verified<T>(&self, read: impl Fn() -> Result<T>) -> Result<T> {
        match read() {
            Err(fault) if matches!(fault.kind(), Kind::Damaged | Kind::Failed) && self.is_far() => read(),
            outcome => outcome,
        }
    }

    /// Whether something stands in an object's place, be it no object, as a FIFO may in a folder.
    pub fn is_taken(&self, name: &str) -> Result<bool> {
        match self.size(name) {
            Err(fault) if fault.kind() == Kind::Damaged => Ok(true),
            size => Ok(size?.is_some()),
        }
    }

    /// What to do where a store is damaged, as a hint of an error.
    pub fn verify_hint(&self) -> String {
        format!("`dagset verify {}` lists all damage", self.describe())
    }
}

impl Deref for Bucket {
    type Target = dyn Objects;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.describe())
    }
}

/// Refuses a name that isn't of the form above.
pub(super) fn check_name(name: &str) -> Result<()> {
    let part_is_good = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    match name.split('/').all(part_is_good) {
        true => Ok(()),
        false => Err(Error::usage(format!("not a name of a stored object: {name:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_nothing_that_a_backend_would_encode() {
        for good in ["dagset.json", "packs/000000000007-00ff", "log/000/000/001"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", ".", "../a", "a/.b", "a#1", "a%41", "a b", "a~", "ä", "a\0", "a\\b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
