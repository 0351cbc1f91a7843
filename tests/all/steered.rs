//! A store in which something happens before each object is created: another's work, or a wait.

use std::sync::Arc;

use bytes::Bytes;
use dagset::base::Result;
use dagset::store::{Bucket, Created, Listing, Objects};

/// Calls `before` with the name of each object that is to be created.
#[derive(Clone)]
pub struct Steered {
    inner: Bucket,
    before: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Steered {
    pub fn bucket(inner: &Bucket, before: impl Fn(&str) + Send + Sync + 'static) -> Bucket {
        Bucket::new(Steered { inner: inner.clone(), before: Arc::new(before) })
    }
}

impl Objects for Steered {
    fn create(&self, name: &str, bytes: Bytes) -> Result<Created> {
        (self.before)(name);
        self.inner.create(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.inner.get(name)
    }

    fn get_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
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
