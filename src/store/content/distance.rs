//! How far away what is read lies.

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
}
