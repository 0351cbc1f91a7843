//! Whether the contents that entries name are there in full, and of the size that is said. That their bytes are right is seen where
//! packs are read.

use crate::base::{Error, Id, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::format::manifest::{Entry, EntryKind};
use crate::format::pack::ItemKind;
use crate::format::recipe::{RecipeChild, RecipePage, RecipeRoot};
use crate::store::content::Item;

use super::walk::Walk;

impl Walk<'_> {
    pub(super) fn entry(&mut self, entry: &Entry, path: &str) -> Result<()> {
        let EntryKind::File { size, content, .. } = &entry.kind else { return Ok(()) };
        if !self.contents.insert((*content, *size)) {
            return Ok(());
        }
        if *size == 0 {
            if *content != Id::of(b"") {
                self.damaged(content, Some(path), "it can't be empty");
            }
            return Ok(());
        }
        if self.content.tombstone(content).is_some() {
            self.check.report().purged += 1;
            return Ok(());
        }
        if *size <= SMALL_FILE {
            return self.chunk(content, *size, path);
        }
        let Some(item) = self.recipe_item(content, ItemKind::RecipeRoot)? else { return Ok(()) };
        match item.and_then(|item| RecipeRoot::parse(item.bytes())) {
            Ok(root) if root.size == *size => self.recipe(root.level, &root.children, path),
            Ok(root) => {
                self.damaged(content, Some(path), format!("its recipe is of {} bytes, not {size}", root.size));
                Ok(())
            }
            Err(fault) => self.unread(content, ItemKind::RecipeRoot, Some(path), fault),
        }
    }

    fn recipe(&mut self, level: u8, children: &[RecipeChild], path: &str) -> Result<()> {
        for child in children {
            if level == 0 {
                self.chunk(&child.id, child.bytes, path)?;
                continue;
            }
            if !self.pages.insert((child.id, level - 1, child.bytes)) {
                continue;
            }
            let Some(item) = self.recipe_item(&child.id, ItemKind::RecipePage)? else { continue };
            match item.and_then(|item| RecipePage::parse(item.bytes(), level - 1, child.bytes)) {
                Ok(page) => self.recipe(page.level, &page.children, path)?,
                Err(fault) => self.unread(&child.id, ItemKind::RecipePage, Some(path), fault)?,
            }
        }
        Ok(())
    }

    /// A piece of a recipe; `None` where another store lends it that isn't asked.
    fn recipe_item(&mut self, id: &Id, kind: ItemKind) -> Result<Option<Result<Item, Error>>> {
        if self.check.extent.is_lent && self.content.find_meta(id, kind)?.is_none() {
            self.lent.insert(*id);
            return Ok(None);
        }
        Ok(Some(self.content.meta(id, kind, None)))
    }

    fn chunk(&mut self, id: &Id, bytes: u64, path: &str) -> Result<()> {
        if let Some(place) = self.content.find_chunk(id)? {
            if u64::from(place.len) != bytes {
                self.damaged(id, Some(path), format!("it has {} bytes, not {bytes}", place.len));
            }
            return Ok(());
        }
        if self.check.extent.is_lent {
            self.lent.insert(*id);
            return Ok(());
        }
        if !self.content.can_borrow_chunk(id)? {
            self.missing(id, ItemKind::Chunk, Some(path), "no index names this chunk");
        }
        Ok(())
    }
}
