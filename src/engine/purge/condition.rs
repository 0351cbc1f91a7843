//! `purge --where`: the content of those files of a dataset of which a condition holds.

use std::collections::{BTreeSet, HashSet};

use crate::base::{Error, Id, RefName, Result};
use crate::format::attrs::Attrs;
use crate::format::manifest::EntryKind;
use crate::format::tombstone::Purged;
use crate::history::fold::VersionState;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::subtrees::new_nodes;

use super::super::filter::{FileFacts, FileFilter};
use super::super::metadata::changed_since;
use super::super::open::Target;
use super::super::{Address, Engine};

impl Engine {
    /// The content of the files of a dataset's versions, of all or of the one that is meant, of which the condition holds. What versions share
    /// is read once, unless the condition asks of the version.
    pub(super) fn fulfilling(
        &self,
        target: &Target,
        address: &Address,
        condition: &FileFilter,
    ) -> Result<BTreeSet<Purged>> {
        if address.path.is_some() {
            return Err(Error::usage("--where is asked of all files of a dataset")
                .hint("say the path in the condition: --where 'path ~ \"people/ann\"'"));
        }
        let dataset = target.dataset()?;
        let versions: Vec<&VersionState> = match &address.reference {
            None => dataset.versions.values().collect(),
            Some(_) => vec![target.version()?],
        };
        let (mut found, mut seen) = (BTreeSet::new(), HashSet::new());
        for state in versions {
            let asks = condition.asks_of_version();
            let meta = match asks {
                true => {
                    let made_with = self.version_records(&target.store, &[state])?.remove(0).meta;
                    changed_since(dataset, Some(state.row.version), made_with)
                }
                false => Attrs::default(),
            };
            let of_version = OfVersion {
                name: dataset.name_of(&state.row.version).map(RefName::as_str),
                state,
                meta: &meta,
                condition,
            };
            let manifest = target.store.manifest(state);
            if asks {
                seen = HashSet::new();
            }
            new_nodes(&manifest, &mut seen, |node| {
                node.leaves.iter().try_for_each(|leaf| of_version.take(&manifest, leaf, &mut found))
            })?;
        }
        match found.is_empty() {
            false => Ok(found),
            true => Err(Error::not_found(format!("no file in {address} fulfils {condition}"))
                .hint("`dagset ls -R -l ADDRESS` shows paths and sizes of a version")),
        }
    }
}

/// A version whose files are looked at.
struct OfVersion<'v> {
    name: Option<&'v str>,
    state: &'v VersionState,
    meta: &'v Attrs,
    condition: &'v FileFilter,
}

impl OfVersion<'_> {
    fn take(&self, manifest: &Manifest<'_>, leaf: &Leaf, found: &mut BTreeSet<Purged>) -> Result<()> {
        let EntryKind::File { size, content, executable } = leaf.entry.kind else { return Ok(()) };
        if size == 0 {
            return Ok(());
        }
        let attrs = match self.condition.asks_attributes() {
            true => manifest.attributes(&leaf.entry)?,
            false => Attrs::default(),
        };
        let facts = FileFacts {
            path: leaf.path.as_str(),
            bytes: size,
            executable,
            attrs: &attrs,
            name: self.name,
            time: self.state.row.time,
            meta: self.meta,
        };
        let content: Id = content;
        if self.condition.holds(&facts) {
            found.insert(Purged { content, size });
        }
        Ok(())
    }
}
