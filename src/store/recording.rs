//! Counts what a store is asked, and keeps the list of calls where a test wants to look at it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::objects::{Belongs, Below, Bucket, Created, Listing, Objects, Verb, Watch};
use crate::base::{Counter, Observer, Result};

/// One call to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub verb: Verb,
    /// The object, or the folder of a list.
    pub name: String,
    /// Where a range begins; 0 otherwise.
    pub offset: u64,
    /// Bytes sent by a create, asked for by a range or tail, else 0.
    pub bytes: u64,
}

/// A decorator that adds each call to an [`Observer`]: requests by verb, bytes sent and received.
///
/// A call is counted when it is made, so failed ones count too; a list counts once, however many pages it took. A bucket
/// behind a network counts its requests itself, to the observer that it was opened with: there this decorator keeps calls
/// and stored bytes only.
///
/// Once the observer was asked to stop, nothing more is asked of the store.
#[derive(Clone)]
pub struct Recording {
    inner: Bucket,
    observer: Observer,
    calls: Option<Arc<Mutex<Vec<Call>>>>,
    counts_requests: bool,
}

impl Recording {
    /// Counts only.
    pub fn new(inner: Bucket, observer: Observer) -> Recording {
        Recording { counts_requests: !inner.counts_requests(), inner, observer, calls: None }
    }

    /// Counts bytes stored, and no requests.
    pub fn of_stored_bytes(inner: Bucket, observer: Observer) -> Recording {
        Recording { counts_requests: false, ..Recording::new(inner, observer) }
    }

    /// Counts, and keeps every call: for tests, as it grows without bound.
    pub fn keeping_calls(inner: Bucket, observer: Observer) -> Recording {
        Recording { calls: Some(Arc::default()), ..Recording::new(inner, observer) }
    }

    /// A handle on the decorated store; this value goes on answering [`Recording::take_calls`].
    pub fn bucket(&self) -> Bucket {
        Bucket::new(self.clone())
    }

    /// The calls since the last time, in the order in which they were made.
    pub fn take_calls(&self) -> Vec<Call> {
        let take =
            |calls: &Arc<Mutex<Vec<Call>>>| std::mem::take(&mut *calls.lock().unwrap_or_else(PoisonError::into_inner));
        self.calls.as_ref().map(take).unwrap_or_default()
    }

    fn note(&self, verb: Verb, name: &str, offset: u64, bytes: u64) -> Result<()> {
        self.observer.go_on()?;
        let counter = match verb {
            Verb::Create => Counter::Puts,
            Verb::Get | Verb::GetRange | Verb::GetTail => Counter::Gets,
            Verb::List => Counter::Lists,
            Verb::Size => Counter::Heads,
            Verb::Delete => Counter::Deletes,
        };
        self.count(counter, 1);
        if let Some(calls) = &self.calls {
            let call = Call { verb, name: name.to_owned(), offset, bytes };
            calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        }
        Ok(())
    }

    fn count(&self, counter: Counter, amount: u64) {
        if self.counts_requests {
            self.observer.add(counter, amount);
        }
    }

    fn created(&self, created: Created, bytes: u64) {
        if created == Created::New {
            self.observer.add(Counter::StoredBytes, bytes);
        }
    }

    fn received(&self, bytes: Bytes) -> Bytes {
        self.count(Counter::ReceivedBytes, bytes.len() as u64);
        bytes
    }
}

impl Objects for Recording {
    fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        self.note(Verb::Create, name, 0, bytes.len() as u64)?;
        self.count(Counter::SentBytes, bytes.len() as u64);
        let len = bytes.len() as u64;
        self.inner.create(name, bytes).inspect(|created| self.created(*created, len))
    }

    fn create_watched(&self, name: &str, bytes: Bytes, watch: &Watch) -> Result<Created> {
        self.note(Verb::Create, name, 0, bytes.len() as u64)?;
        self.count(Counter::SentBytes, bytes.len() as u64);
        let len = bytes.len() as u64;
        self.inner.create_watched(name, bytes, watch).inspect(|created| self.created(*created, len))
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.note(Verb::Get, name, 0, 0)?;
        self.inner.get(name).map(|bytes| self.received(bytes))
    }

    fn get_once(&self, name: &str) -> Result<Bytes> {
        self.note(Verb::Get, name, 0, 0)?;
        self.inner.get_once(name).map(|bytes| self.received(bytes))
    }

    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
        self.note(Verb::GetRange, name, offset, bytes)?;
        self.inner.get_range(name, offset, bytes).map(|bytes| self.received(bytes))
    }

    fn get_range_watched(&self, name: &str, offset: u64, bytes: u64, watch: &Watch) -> Result<Bytes> {
        self.note(Verb::GetRange, name, offset, bytes)?;
        self.inner.get_range_watched(name, offset, bytes, watch).map(|bytes| self.received(bytes))
    }

    fn get_tail(&self, name: &str, bytes: u64) -> Result<(Bytes, u64)> {
        self.note(Verb::GetTail, name, 0, bytes)?;
        self.inner.get_tail(name, bytes).map(|(bytes, length)| (self.received(bytes), length))
    }

    fn list(&self, folder: &str) -> Result<Listing> {
        self.note(Verb::List, folder, 0, 0)?;
        self.inner.list(folder)
    }

    fn list_below(&self, folder: &str, after: Option<&str>) -> Result<Below> {
        self.note(Verb::List, folder, 0, 0)?;
        self.inner.list_below(folder, after)
    }

    fn lists_exactly(&self) -> bool {
        self.inner.lists_exactly()
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.note(Verb::Size, name, 0, 0)?;
        self.inner.size(name)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.note(Verb::Delete, name, 0, 0)?;
        self.inner.delete(name)
    }

    fn move_stranger(&self, name: &str, belongs: Belongs, to: &str) -> Result<bool> {
        self.inner.move_stranger(name, belongs, to)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }

    fn counts_requests(&self) -> bool {
        self.inner.counts_requests()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::backend;

    #[test]
    fn every_call_is_counted_and_kept() {
        let observer = Observer::new();
        let recording = Recording::keeping_calls(backend::memory(), observer.clone());
        let bucket = recording.bucket();
        bucket.create("packs/a", Bytes::from_static(b"12345")).unwrap();
        bucket.create("packs/a", Bytes::from_static(b"12345")).unwrap();
        bucket.get("packs/a").unwrap();
        bucket.get_range("packs/a", 1, 2).unwrap();
        bucket.get_tail("packs/a", 3).unwrap();
        bucket.get("packs/b").unwrap_err();
        bucket.list("packs").unwrap();
        bucket.size("packs/a").unwrap();
        bucket.delete("packs/a").unwrap();

        let counted = [
            (Counter::Puts, 2),
            (Counter::Gets, 4),
            (Counter::Lists, 1),
            (Counter::Heads, 1),
            (Counter::Deletes, 1),
            (Counter::SentBytes, 10),
            (Counter::ReceivedBytes, 10),
        ];
        for (counter, expected) in counted {
            assert_eq!(observer.get(counter), expected, "{counter:?}");
        }
        let calls = recording.take_calls();
        assert_eq!(calls.len(), 9);
        assert_eq!(calls[3], Call { verb: Verb::GetRange, name: "packs/a".into(), offset: 1, bytes: 2 });
        assert!(recording.take_calls().is_empty());
    }
}
