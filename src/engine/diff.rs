//! `diff` of two versions.

use crate::base::{Error, Id, Result};
use crate::format::manifest::{Entry, EntryKind};
use crate::tree::diff::{Change, diff, take_renames};
use crate::tree::manifest::Manifest;

use super::read::{ListedKind, no_such_path};
use super::{Address, Engine};

/// A path that was added, removed or modified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffEntry {
    pub path: String,
    pub kind: ListedKind,
    /// Bytes of the file before and after; `None` where there was none.
    pub bytes_before: Option<u64>,
    pub bytes_after: Option<u64>,
}

/// A file that is elsewhere now, with the same content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    pub from: String,
    pub to: String,
    pub bytes: u64,
}

/// What differs, each list in path order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffReport {
    pub added: Vec<DiffEntry>,
    pub removed: Vec<DiffEntry>,
    pub modified: Vec<DiffEntry>,
    pub renamed: Vec<Rename>,
    /// The folder that was compared; empty for the root.
    pub folder: String,
}

impl DiffReport {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.modified.is_empty() && self.renamed.is_empty()
    }

    /// Sorts changes into a report; renames are found by content.
    pub(super) fn of(mut changes: Vec<Change>, folder: &str) -> DiffReport {
        let renames = take_renames(&mut changes);
        let mut report = DiffReport { folder: folder.to_owned(), ..DiffReport::default() };
        for (from, to) in renames {
            let bytes = to.after.as_ref().map_or(0, Entry::bytes);
            report.renamed.push(Rename { from: from.path.to_string(), to: to.path.to_string(), bytes });
        }
        for change in changes {
            let row = entry_of(&change);
            match (&change.before, &change.after) {
                (None, _) => report.added.push(row),
                (_, None) => report.removed.push(row),
                _ => report.modified.push(row),
            }
        }
        report
    }
}

fn entry_of(change: &Change) -> DiffEntry {
    let bytes = |entry: &Option<Entry>| entry.as_ref().filter(|entry| entry.is_file()).map(Entry::bytes);
    let shown = change.after.as_ref().or(change.before.as_ref());
    let kind = match shown.map(|entry| &entry.kind) {
        Some(EntryKind::Symlink { .. }) => ListedKind::Symlink,
        Some(EntryKind::EmptyFolder) => ListedKind::Folder,
        _ => ListedKind::File,
    };
    DiffEntry {
        path: change.path.to_string(),
        kind,
        bytes_before: bytes(&change.before),
        bytes_after: bytes(&change.after),
    }
}

impl Engine {
    /// What differs from one version to another, below the first address's path where it has one. The two may lie in different stores.
    pub fn diff(&self, before: &Address, after: &Address) -> Result<DiffReport> {
        let a = self.open_target(before)?;
        let elsewhere = if before.location == after.location { None } else { Some(self.open_target(after)?) };
        let (old, new) = match &elsewhere {
            None => (a.store.manifest(a.version()?), a.store.manifest(a.version_at(after.reference.as_ref())?)),
            Some(b) => (a.store.manifest(a.version()?), b.store.manifest(b.version()?)),
        };
        let folder = a.folder().to_owned();
        if after.path.as_ref().is_some_and(|path| path.trim_matches('/') != folder) {
            return Err(Error::usage("the two addresses name different paths"));
        }
        if !folder.is_empty() && !has(&old, &folder)? && !has(&new, &folder)? {
            return Err(no_such_path(&a, &folder));
        }
        let mut changes = Vec::new();
        diff(old, new, &folder, |change| {
            changes.push(change);
            Ok(())
        })?;
        Ok(DiffReport::of(changes, &folder))
    }

    /// What differs from a version's first parent to it, below the address's path where it has one; everything is added in a version
    /// without a parent.
    pub fn diff_to_parent(&self, address: &Address) -> Result<DiffReport> {
        let target = self.open_target(address)?;
        let state = target.version()?;
        let new = target.store.manifest(state);
        let folder = target.folder();
        let mut changes = Vec::new();
        match state.row.parents.first().map(|parent: &Id| target.version_state(parent)).transpose()? {
            Some(parent) => {
                let old = target.store.manifest(parent);
                if !folder.is_empty() && !has(&old, folder)? && !has(&new, folder)? {
                    return Err(no_such_path(&target, folder));
                }
                diff(old, new, folder, |change| {
                    changes.push(change);
                    Ok(())
                })?;
            }
            None => {
                for leaf in new.entries(folder) {
                    let leaf = leaf?;
                    changes.push(Change { path: leaf.path, before: None, after: Some(leaf.entry) });
                }
                if changes.is_empty() && !folder.is_empty() {
                    return Err(no_such_path(&target, folder));
                }
            }
        }
        Ok(DiffReport::of(changes, folder))
    }
}

/// Whether there is an entry at `path`, or one below it.
pub(super) fn has(manifest: &Manifest<'_>, path: &str) -> Result<bool> {
    Ok(manifest.find(path)?.is_some() || manifest.has_folder(path)?)
}
