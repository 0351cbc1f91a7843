//! A store that isn't to be asked: every call fails and says so.

use bytes::Bytes;

use super::objects::{Below, Created, Listing, Objects};
use crate::base::{Error, Kind, Result};

/// Stands for a store in a cloud while nothing may be asked of it; holds its URL.
pub struct Offline(pub String);

impl Offline {
    fn refuse<T>(&self, object: &str) -> Result<T> {
        let object = if object.is_empty() { "the list of its objects" } else { object };
        let message = format!("offline, and {object} of {} isn't kept on this machine", self.0);
        Err(Error::new(Kind::Unreachable, message).hint("run the command without --offline"))
    }
}

impl Objects for Offline {
    fn create(&self, name: &str, _: Bytes) -> Result<Created> {
        let message = format!("offline, and {name} would have to be written to {}", self.0);
        Err(Error::new(Kind::Unreachable, message).hint("run the command without --offline"))
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.refuse(name)
    }

    fn get_range(&self, name: &str, _: u64, _: u64) -> Result<Bytes> {
        self.refuse(name)
    }

    fn get_tail(&self, name: &str, _: u64) -> Result<(Bytes, u64)> {
        self.refuse(name)
    }

    fn list(&self, folder: &str) -> Result<Listing> {
        self.refuse(folder)
    }

    fn list_below(&self, folder: &str, _after: Option<&str>) -> Result<Below> {
        self.refuse(folder)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.refuse(name)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.refuse(name)
    }

    fn describe(&self) -> String {
        self.0.clone()
    }
}
