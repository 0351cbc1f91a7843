//! How far away what is read lies, and in whose store.

use crate::base::{ObjectName, Result};

use super::Content;

impl Content {
    /// Whether the store itself is far away, whomever it borrows from.
    pub fn lies_far(&self) -> bool {
        self.bucket.is_far()
    }

    /// Whether reading ahead pays: some of what is read here is far away.
    pub fn is_far(&self) -> bool {
        self.lies_far() || !self.lenders.is_empty()
    }

    /// Whether a pack is that of a store from which content is borrowed. What a session has just written here is named by no index yet: it is
    /// born when this content is of.
    pub(super) fn is_lent(&self, pack: &ObjectName) -> Result<bool> {
        Ok(!self.lenders.is_empty() && pack.born != self.record && !self.owns(pack)?)
    }
}
