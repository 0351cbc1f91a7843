//! What the user's mirror of a store spares: it is opened by asking for what came since; with `offline`, nothing is asked.
//!
//! Stores in folders have no mirror: reading them in place is as fast.

use std::collections::HashMap;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::base::{Event, Id, Result};
use crate::catalog::mirror::Mirror;
use crate::format::header::ObjectKind;
use crate::format::pack::ItemKind;
use crate::format::store_file::StoreFile;
use crate::format::version::Version;
use crate::history::fold::VersionState;
use crate::history::local_copy::LocalCopy;
use crate::history::newest::Newest;
use crate::history::timeline::Timeline;
use crate::store::address::is_remote;
use crate::store::locate::candidates;
use crate::store::probe::FileSystem;
use crate::store::uses::{self, FoundUses, Keeper, Wanted};

use super::Engine;
use super::open::{Missing, OpenStore};

/// The uses in a mirror; that they can't be kept is a note.
struct KeptUses<'e> {
    mirror: Mirror,
    engine: &'e Engine,
}

impl Keeper for KeptUses<'_> {
    fn kept(&self, names: &[String]) -> HashMap<String, Vec<u8>> {
        self.mirror.uses(names)
    }

    fn keep(&self, read: &[(String, Vec<u8>)]) {
        if let Err(fault) = self.mirror.keep_uses(read) {
            self.engine.observer.tell(Event::Note(fault.in_one_line()));
        }
    }
}

impl Engine {
    /// Finds uses in a store; those that the mirror has aren't read again.
    pub(super) fn find_uses(&self, store: &OpenStore, wanted: &Wanted<'_>) -> Result<FoundUses> {
        let kept = self.mirror_of(&store.root).map(|mirror| KeptUses { mirror, engine: self });
        uses::find(store.timeline.bucket(), wanted, kept.as_ref().map(|kept| kept as &dyn Keeper))
    }

    /// The mirror of the store at `root`, where one is kept: not on a file system of several machines, whose locks SQLite can't trust.
    pub(super) fn mirror_of(&self, root: &str) -> Option<Mirror> {
        let folder = self.settings.state_folder.as_deref().filter(|_| is_remote(root))?;
        let existing = folder.ancestors().find(|above| above.exists())?;
        let is_local = FileSystem::of(existing).is_ok_and(|system| !system.is_shared);
        is_local.then(|| Mirror::new(folder, root))
    }

    /// What is kept here of the newest record of the store at `root`. To be asked for before its log is read.
    pub(super) fn newest_of(&self, root: &str, store: [u8; 16]) -> Option<Newest> {
        Some(Newest::recall(self.newest_file(root)?, store, self.observer.clone()))
    }

    /// Where the newest record of the store at `root` is kept.
    pub(super) fn newest_file(&self, root: &str) -> Option<PathBuf> {
        let root = self.absolute(root.trim_end_matches('/'));
        Some(self.settings.state_folder.as_deref()?.join("newest").join(Id::of(root.as_bytes()).short()))
    }

    /// Opens the store that `text` begins with, if a prefix of it has a mirror; what follows is given back.
    pub(super) fn open_mirrored(&self, text: &str) -> Result<Option<(OpenStore, Option<String>)>> {
        for (root, rest) in candidates(text) {
            let held = self.mirror_of(root).and_then(|mirror| LocalCopy::recall(mirror, self.observer.clone()));
            let Some((local, fold)) = held else { continue };
            let Ok(file) = StoreFile::parse(local.store_file(), root) else {
                local.remove();
                continue;
            };
            let bucket = self.open_objects(root, Missing::Fails)?;
            let newest = self.newest_of(root, file.store);
            let timeline = match self.settings.access.offline {
                true => Some(Timeline::at(bucket, fold, self.observer.clone())),
                false => Timeline::resume(bucket, fold, self.observer.clone())?,
            };
            let Some(mut timeline) = timeline else {
                let note = format!("{root} isn't the store that it was: what was kept of it here is made anew");
                self.observer.tell(Event::Note(note));
                local.remove();
                continue;
            };
            if let Some(newest) = newest.filter(|_| !self.settings.access.offline) {
                timeline.remember_in(newest)?;
            }
            timeline.keep_in(local);
            return Ok(Some((self.open_store_of(root, file, timeline)?, rest)));
        }
        Ok(None)
    }

    /// The records of versions, in their order; those that the mirror lacks are read and kept.
    pub(super) fn version_records(&self, store: &OpenStore, states: &[&VersionState]) -> Result<Vec<Version>> {
        let mirror = self.mirror_of(&store.root);
        let ids: Vec<Id> = states.iter().map(|state| state.row.version).collect();
        let mut records = mirror.as_ref().map(|mirror| mirror.version_records(&ids)).unwrap_or_default();
        let missing: Vec<_> = states.iter().filter(|state| !records.contains_key(&state.row.version)).collect();
        let frames: Vec<_> = missing.iter().map(|state| state.row.version_place.frame).collect();
        store.content.prefetch(ObjectKind::MetaPack, &frames);
        let read = missing.par_iter().map(|state| {
            let (id, place) = (state.row.version, &state.row.version_place);
            Ok((id, store.content.meta(&id, ItemKind::Version, Some(place))?.bytes().to_vec()))
        });
        let read = read.collect::<Result<Vec<_>>>()?;
        if let Some(mirror) = mirror.filter(|_| !read.is_empty())
            && let Err(fault) = mirror.keep_version_records(&read)
        {
            self.observer.tell(Event::Note(fault.in_one_line()));
        }
        records.extend(read);
        ids.iter().map(|id| Version::parse(&records[id])).collect()
    }
}
