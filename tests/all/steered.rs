//! A store in which something happens before each object is created, or read: another's work, or a wait.

use std::sync::Arc;

use bytes::Bytes;
use dagset::base::Result;
use dagset::store::{Bucket, Created, Listing, Objects};

type Before = Arc<dyn Fn(&str) + Send + Sync>;

/// Calls a function with the name of each object that is to be created, to be read whole, or in a part.
#[derive(Clone)]
pub struct Steered {
    inner: Bucket,
    before_create: Before,
    before_get: Before,
    before_range: Before,
}

impl Steered {
    fn of(inner: &Bucket) -> Steered {
        let nothing: Before = Arc::new(|_| ());
        let (before_create, before_get, before_range) = (nothing.clone(), nothing.clone(), nothing);
        Steered { inner: inner.clone(), before_create, before_get, before_range }
    }

    pub fn bucket(inner: &Bucket, before: impl Fn(&str) + Send + Sync + 'static) -> Bucket {
        Bucket::new(Steered { before_create: Arc::new(before), ..Steered::of(inner) })
    }

    pub fn reading(inner: &Bucket, before: impl Fn(&str) + Send + Sync + 'static) -> Bucket {
        Bucket::new(Steered { before_get: Arc::new(before), ..Steered::of(inner) })
    }

    pub fn reading_parts(inner: &Bucket, before: impl Fn(&str) + Send + Sync + 'static) -> Bucket {
        Bucket::new(Steered { before_range: Arc::new(before), ..Steered::of(inner) })
    }
}

impl Objects for Steered {
    fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        (self.before_create)(name);
        self.inner.create(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        (self.before_get)(name);
        self.inner.get(name)
    }

    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
        (self.before_range)(name);
        self.inner.get_range(name, offset, bytes)
    }

    fn get_tail(&self, name: &str, bytes: u64) -> Result<(Bytes, u64)> {
        self.inner.get_tail(name, bytes)
    }

    fn list(&self, folder: &str) -> Result<Listing> {
        self.inner.list(folder)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.inner.size(name)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn is_far(&self) -> bool {
        self.inner.is_far()
    }
}
