//! Frames that need a base, on their way to another store: which of them go as they are.
//!
//! The base must have a plain copy over there, or go along as one. So a chunk that others need goes plainly, and nothing is sent against one that doesn't.

use std::collections::HashSet;

use crate::base::{Id, Result};
use crate::store::content::Content;

use super::known::Known;

/// What one transfer sent against bases. It grows with the edits that are carried, not with the files.
pub(super) struct BasedFrames<'a> {
    to: &'a Content,
    sent: HashSet<Id>,
    needed: HashSet<Id>,
}

impl<'a> BasedFrames<'a> {
    pub fn new(to: &'a Content) -> BasedFrames<'a> {
        BasedFrames { to, sent: HashSet::new(), needed: HashSet::new() }
    }

    /// Whether the frame of `chunk`, which needs `base`, is to go as it is; `known` are the chunks that are over there or go.
    pub fn go(&mut self, chunk: &Id, base: &Id, known: &Known<'_>) -> Result<bool> {
        if self.needed.contains(chunk) {
            return Ok(false);
        }
        match self.to.plain_base(base)? {
            Some(there) => known.use_pack(there.place.frame.pack),
            None if known.is_claimed(base) && !self.sent.contains(base) => {}
            None => return Ok(false),
        }
        self.sent.insert(*chunk);
        self.needed.insert(*base);
        Ok(true)
    }
}
