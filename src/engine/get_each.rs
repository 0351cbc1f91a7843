//! `get` of several versions, as a lock file pins them: all can be got, or nothing is written; and what is there already is passed over.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::files::{self, GET_MARKER, TEMPORARY_PREFIX};
use crate::base::{Event, Result};
use crate::cache::Pruned;
use crate::format::manifest::EntryKind;
use crate::tree::hash_file::hash_file;
use crate::tree::manifest::Manifest;
use crate::tree::scan::{ScanOptions, scan};
use crate::tree::stat::{NodeKind, stat_file};

use super::get::{GetOptions, GetReport, Marker, not_empty};
use super::open::Target;
use super::scope::Scope;
use super::{Address, Engine, LinkMode};

impl Engine {
    /// Gets each version into its folder, by the options but for the folder there. Whether all can be got is looked at before anything is
    /// written; a folder that has just what it should is left as it is.
    ///
    /// Errors: those of [`Engine::get`].
    pub fn get_each(&self, wanted: &[(Address, PathBuf)], options: &GetOptions) -> Result<Vec<GetReport>> {
        let _heeding = self.observer.heed_stop();
        let look = |(address, folder): &(Address, PathBuf)| {
            let target = self.open_target(address)?;
            let options = GetOptions { folder: folder.clone(), ..options.clone() };
            let standing = self.standing(&target, &options)?;
            Ok((target, options, standing))
        };
        let looked_at = wanted.iter().map(look).collect::<Result<Vec<_>>>()?;
        let get = |(target, options, standing): (Target, GetOptions, Option<GetReport>)| {
            let report = standing.map_or_else(|| self.get_target(&target, &options), Ok)?;
            self.note_use(&target, options.run.as_ref());
            Ok(report)
        };
        looked_at.into_iter().map(get).collect()
    }

    /// The report of a get that has nothing to do; `None` where it has, and may.
    fn standing(&self, target: &Target, options: &GetOptions) -> Result<Option<GetReport>> {
        let state = target.version()?;
        let folder = self.path(&options.folder);
        if options.overwrite || options.delete || options.link == Some(LinkMode::View) || is_free(&folder) {
            return Ok(None);
        }
        let manifest = target.store.manifest(state);
        let scope = Scope::of(target, &manifest, &options.patterns, options.share.as_ref())?;
        if Marker::new(&folder, &scope.id(&state.row.manifest)).is_there() {
            return Ok(None);
        }
        let (files, bytes) = self.held(&folder, &scope, &manifest)?.ok_or_else(|| not_empty(&folder))?;
        self.observer.tell(Event::Note(format!("{} is complete already", folder.display())));
        Ok(Some(GetReport {
            dataset: target.dataset.to_string(),
            version: state.row.version,
            folder,
            files,
            bytes,
            deleted: Vec::new(),
            resumed: false,
            links: None,
            removed: Pruned::default(),
            view: None,
            lease: None,
            purged: scope.purged(&manifest)?,
        }))
    }

    /// How many files and bytes a folder has of a choice; `None` where it hasn't all of it, or anything else.
    fn held(&self, folder: &Path, scope: &Scope, manifest: &Manifest<'_>) -> Result<Option<(u64, u64)>> {
        let placed = scope.entries(manifest).map(|placed| placed.map(|placed| (placed.target, placed.leaf.entry)));
        let entries = placed.collect::<Result<HashMap<_, _>>>()?;
        let options = ScanOptions { jobs: self.settings.jobs, ..ScanOptions::default() };
        if scan(folder, &options)?.found.iter().any(|found| !entries.contains_key(found.path.as_str())) {
            return Ok(None);
        }
        let (mut files, mut bytes) = (0, 0);
        for (path, entry) in entries {
            if !is_right(&folder.join(path), &entry.kind) {
                return Ok(None);
            }
            files += u64::from(matches!(entry.kind, EntryKind::File { .. }));
            bytes += entry.bytes();
        }
        Ok(Some((files, bytes)))
    }
}

/// Whether a folder isn't there or has nothing in it that counts.
fn is_free(folder: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(folder) else { return folder.symlink_metadata().is_err() };
    entries.all(|entry| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            name != GET_MARKER && name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
        })
    })
}

/// Whether exactly this stands there. What can't be read isn't it.
fn is_right(path: &Path, kind: &EntryKind) -> bool {
    match kind {
        EntryKind::EmptyFolder => matches!(stat_file(path), Ok((_, NodeKind::Folder))),
        EntryKind::Symlink { target } => fs::read_link(path).is_ok_and(|now| now.as_os_str() == &**target),
        EntryKind::File { size, content, executable } => {
            let is_same = |mut file: fs::File| hash_file(path, &mut file).is_ok_and(|now| now == *content);
            stat_file(path)
                .is_ok_and(|(stat, kind)| kind == (NodeKind::File { executable: *executable }) && stat.size == *size)
                && files::open_regular(path).is_ok_and(is_same)
        }
    }
}
