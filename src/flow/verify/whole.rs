//! Whether what the log names is there in full: indexes, their packs, and all that each version needs.

use crate::base::{Error, Id, Kind, Result};
use crate::format::header::ObjectKind;
use crate::format::index::Index;
use crate::history::fold::Fold;

use super::walk::Walk;
use super::{Check, Finding, Snapshot};

impl Check<'_> {
    /// Every registered index is what was registered, and the packs that it names are there in full.
    pub(super) fn registered(&self, fold: &Fold) -> Result<()> {
        for row in fold.indexes.values() {
            let name = ObjectKind::Index.object(&row.name);
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
            let name = pack.kind.object(&pack.name);
            if !self.is_in_sample(pack.kind, &name) {
                continue;
            }
            // A list may lag behind.
            let seen = self.seen().get(&name).copied();
            match seen.map_or_else(|| self.bucket.size(&name), |bytes| Ok(Some(bytes))) {
                Ok(Some(bytes)) if bytes == pack.bytes => {}
                Ok(Some(bytes)) => {
                    self.find(Finding::damaged(&name, format!("has {bytes} bytes, not {}", pack.bytes)));
                }
                Ok(None) => self.find(Finding::missing(&name, "an index names it")),
                // Something else stands in its place, or in that of its folder.
                Err(fault) if fault.kind() == Kind::Damaged => {
                    self.find(Finding::damaged(&name, fault.in_one_line()));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    pub(super) fn versions(&self, shown: &Snapshot) -> Result<()> {
        let Snapshot { fold, content } = shown;
        let mut walk = Walk::new(self, content);
        // What was deleted can be brought back, so it must be whole.
        let datasets = fold.datasets.values().chain(fold.deleted.values());
        let since = self.extent.since.map_or(0, |since| since.record);
        let (new, old): (Vec<_>, Vec<_>) =
            datasets.flat_map(|dataset| dataset.versions.values()).partition(|state| state.record > since);
        walk.pass_over_parents(fold, &new, &old);
        let (bare, with_content): (Vec<_>, Vec<_>) =
            new.into_iter().partition(|state| fold.let_go.contains_key(&state.row.version));
        with_content.into_iter().try_for_each(|state| walk.version(state))?;
        bare.into_iter().try_for_each(|state| walk.bare_version(state))?;
        self.report().borrowed = walk.lent();
        Ok(())
    }
}
