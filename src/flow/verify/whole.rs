//! Whether what the log names is there in full: indexes, their packs, and all that each version needs.

use std::collections::HashSet;

use crate::base::{Error, Id, Kind, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::format::header::ObjectKind;
use crate::format::index::Index;
use crate::format::manifest::{Entry, EntryKind};
use crate::format::node::{Node, TreeKind};
use crate::format::pack::ItemKind;
use crate::format::recipe::{RecipeChild, RecipePage, RecipeRoot};
use crate::format::version::Version;
use crate::history::alive::all_versions;
use crate::history::fold::{Fold, VersionState};
use crate::store::content::Content;
use crate::tree::manifest::Manifest;
use crate::tree::subtrees::node_ids;

use super::objects::object_name;
use super::{Check, Finding, Snapshot};

impl Check<'_> {
    /// Every registered index is what was registered, and the packs that it names are there in full.
    pub(super) fn registered(&self, fold: &Fold) -> Result<()> {
        for row in fold.indexes.values() {
            let name = object_name(ObjectKind::Index, &row.name);
            let read = || {
                let bytes = self.bucket.get(&name)?;
                match Id::of(&bytes) == row.id {
                    true => Index::parse(bytes),
                    false => Err(Error::damaged("isn't what the log registered")),
                }
            };
            match self.bucket.read_verified(read) {
                Ok(index) => self.packs_of(&index)?,
                Err(fault) if fault.kind() == Kind::Unreachable => return Err(fault),
                Err(fault) if fault.kind() == Kind::NotFound => {
                    self.find(Finding::missing(&name, "the log registers it"));
                }
                Err(fault) => self.find(Finding::damaged(&name, fault.in_one_line())),
            }
        }
        Ok(())
    }

    fn packs_of(&self, index: &Index) -> Result<()> {
        for pack in index.packs() {
            let name = object_name(pack.kind, &pack.name);
            if !self.is_in_sample(pack.kind, &name) {
                continue;
            }
            // A list may lag behind.
            let seen = self.seen().get(&name).copied();
            match seen.map_or_else(|| self.bucket.size(&name), |bytes| Ok(Some(bytes)))? {
                Some(bytes) if bytes == pack.bytes => {}
                Some(bytes) => self.find(Finding::damaged(&name, format!("has {bytes} bytes, not {}", pack.bytes))),
                None => self.find(Finding::missing(&name, "an index names it")),
            }
        }
        Ok(())
    }

    pub(super) fn versions(&self, shown: &Snapshot) -> Result<()> {
        let Snapshot { fold, content } = shown;
        let mut walk = Walk { check: self, content, seen: HashSet::new(), lent: HashSet::new() };
        // What was deleted can be brought back, so it must be whole.
        let datasets = fold.datasets.values().chain(fold.deleted.values());
        let since = self.extent.since.map_or(0, |since| since.record);
        let (new, old): (Vec<_>, Vec<_>) =
            datasets.flat_map(|dataset| dataset.versions.values()).partition(|state| state.record > since);
        walk.pass_over_parents(fold, &new, &old);
        new.iter().try_for_each(|state| walk.version(state))?;
        let lent = walk.lent.len() as u64;
        self.report().borrowed = lent;
        Ok(())
    }
}

/// A walk through all that versions need; what they share is met once.
struct Walk<'w> {
    check: &'w Check<'w>,
    content: &'w Content,
    seen: HashSet<Id>,
    lent: HashSet<Id>,
}

impl Walk<'_> {
    /// What new versions share with old parents isn't looked at, as far as it can be told.
    fn pass_over_parents(&mut self, fold: &Fold, new: &[&VersionState], old: &[&VersionState]) {
        let known = all_versions(fold);
        let is_old = |id: &&Id| old.iter().any(|state| state.row.version == **id);
        for parent in new.iter().flat_map(|state| &state.row.parents).filter(is_old) {
            let Some(row) = known.get(parent) else { continue };
            let manifest = Manifest::new(self.content, row.manifest, Some(row.manifest_place));
            node_ids(&manifest, &mut self.seen).ok();
        }
    }

    fn version(&mut self, state: &VersionState) -> Result<()> {
        let id = state.row.version;
        match self.content.meta(&id, ItemKind::Version, Some(&state.row.version_place)) {
            Ok(item) => match Version::parse(item.bytes()) {
                Ok(version) if version.manifest == state.row.manifest => {}
                Ok(_) => self.damaged(&id, None, "the log and the record name different manifests"),
                Err(fault) => self.damaged(&id, None, fault.in_one_line()),
            },
            Err(fault) => self.unread(&id, ItemKind::Version, None, fault)?,
        }
        self.node(&state.row.manifest, None, "")
    }

    fn node(&mut self, id: &Id, level: Option<u8>, path: &str) -> Result<()> {
        if !self.seen.insert(*id) {
            return Ok(());
        }
        let item = match self.content.meta(id, ItemKind::Node, None) {
            Ok(item) => item,
            Err(fault) => return self.unread(id, ItemKind::Node, Some(path), fault),
        };
        let node = match Node::parse(TreeKind::Manifest, item.bytes()) {
            Ok(node) if level.is_none_or(|level| level == node.level()) => node,
            Ok(_) => {
                self.damaged(id, Some(path), "is of the wrong level");
                return Ok(());
            }
            Err(fault) => {
                self.damaged(id, Some(path), fault.in_one_line());
                return Ok(());
            }
        };
        for index in 0..node.len() {
            let path = String::from_utf8_lossy(node.key(index)).into_owned();
            if node.level() > 0 {
                self.node(&node.child(index).id, Some(node.level() - 1), &path)?;
                continue;
            }
            match Entry::decode(node.value(index)) {
                Ok(entry) => self.entry(&entry, &path)?,
                Err(fault) => self.damaged(id, Some(&path), fault.in_one_line()),
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, path: &str) -> Result<()> {
        let EntryKind::File { size, content, .. } = &entry.kind else { return Ok(()) };
        if *size == 0 || !self.seen.insert(*content) {
            return Ok(());
        }
        if self.content.tombstone(content).is_some() {
            self.check.report().purged += 1;
            return Ok(());
        }
        if *size <= SMALL_FILE {
            return self.chunk(content, path);
        }
        match self.recipe_item(content, ItemKind::RecipeRoot)? {
            None => Ok(()),
            Some(item) => match item.and_then(|item| RecipeRoot::parse(item.bytes())) {
                Ok(root) => self.recipe(root.level, &root.children, path),
                Err(fault) => self.unread(content, ItemKind::RecipeRoot, Some(path), fault),
            },
        }
    }

    fn recipe(&mut self, level: u8, children: &[RecipeChild], path: &str) -> Result<()> {
        for child in children {
            if level == 0 {
                self.chunk(&child.id, path)?;
                continue;
            }
            if !self.seen.insert(child.id) {
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
    fn recipe_item(&mut self, id: &Id, kind: ItemKind) -> Result<Option<Result<crate::store::content::Item>>> {
        if self.check.extent.is_lent && self.content.find_meta(id, kind)?.is_none() {
            self.lent.insert(*id);
            return Ok(None);
        }
        Ok(Some(self.content.meta(id, kind, None)))
    }

    /// That a chunk's bytes are right was seen when its pack was read.
    fn chunk(&mut self, id: &Id, path: &str) -> Result<()> {
        if self.content.has_chunk(id)? || !self.check.extent.is_lent && self.content.can_borrow_chunk(id)? {
            return Ok(());
        }
        if self.check.extent.is_lent {
            self.lent.insert(*id);
            return Ok(());
        }
        self.missing(id, ItemKind::Chunk, Some(path), "no index names this chunk");
        Ok(())
    }

    fn unread(&self, id: &Id, kind: ItemKind, path: Option<&str>, fault: Error) -> Result<()> {
        if fault.kind() == Kind::Unreachable {
            return Err(fault);
        }
        self.missing(id, kind, path, fault.in_one_line());
        Ok(())
    }

    fn missing(&self, id: &Id, kind: ItemKind, path: Option<&str>, why: impl ToString) {
        let path = path.map(str::to_owned);
        self.check.find(Finding { path, lacks: Some((*id, kind)), ..Finding::missing(&id.to_string(), why) });
    }

    fn damaged(&self, id: &Id, path: Option<&str>, why: impl ToString) {
        let path = path.map(str::to_owned);
        self.check.find(Finding { path, ..Finding::damaged(&id.to_string(), why) });
    }
}
