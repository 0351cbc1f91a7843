//! What the stores have that are borrowed from, and of which versions they let the content go.

use std::collections::HashSet;

use crate::base::{Id, Result};
use crate::format::pack::ItemKind;

use super::{Content, Lender};

impl Content {
    /// Says of which versions the store let the content go.
    pub fn without_content_of(mut self, versions: impl IntoIterator<Item = Id>) -> Content {
        self.let_go = versions.into_iter().collect();
        self
    }

    /// Whether anything may lie in another store.
    pub fn borrows(&self) -> bool {
        !self.lenders.is_empty()
    }

    /// Versions whose content a store let go that is borrowed from. What can't be reached is passed over.
    pub fn let_go_by_lenders(&self) -> HashSet<Id> {
        let lenders = self.lenders.iter().filter_map(Lender::ready);
        lenders.flat_map(|content| content.let_go.iter().copied()).collect()
    }

    /// Whether an index of the store names this.
    pub fn has(&self, id: &Id, kind: ItemKind) -> Result<bool> {
        match kind {
            ItemKind::Chunk => self.has_chunk(id),
            kind => Ok(self.find_meta(id, kind)?.is_some()),
        }
    }

    /// Whether a store that is borrowed from has this, or can borrow it.
    pub fn can_borrow(&self, id: &Id, kind: ItemKind) -> Result<bool> {
        for (lender, _) in self.lenders_in_turn(None) {
            let content = lender.content()?;
            if content.has(id, kind)? || content.can_borrow(id, kind)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// [`Content::can_borrow`] of a chunk.
    pub fn can_borrow_chunk(&self, id: &Id) -> Result<bool> {
        self.can_borrow(id, ItemKind::Chunk)
    }
}
