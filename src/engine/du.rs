//! `du`: what a store, or a version in it, takes, and what could be had back.

use std::collections::HashSet;
use std::time::Duration;

use crate::base::{Event, Id, RefName, Result};
use crate::cache::{Cache, Key};
use crate::flow::gc::weigh::Weight;
use crate::format::index::Index;
use crate::format::manifest::EntryKind;
use crate::history::fold::LetGo;

use super::refs::whole_versions_only;
use super::{Address, Engine, GcOptions};

/// What a store takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUsage {
    pub store: String,
    pub versions: u64,
    /// Bytes of data packs, meta packs and indexes that are in use.
    pub data_bytes: u64,
    pub meta_bytes: u64,
    pub index_bytes: u64,
    /// What collection frees if it is run twice without grace, less what it writes: more, where what stays of packs that are written anew
    /// compresses well. Records and states aren't counted.
    pub collectable_bytes: u64,
}

/// What a version takes of its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionUsage {
    pub dataset: String,
    pub version: Id,
    pub name: Option<RefName>,
    pub files: u64,
    /// Of its files.
    pub bytes: u64,
    /// Stored bytes of all that it needs.
    pub stored_bytes: u64,
    /// Of these, what no other version needs.
    pub own_bytes: u64,
    /// What collection would free if this version went: the packs that hold nothing of others.
    pub freed_bytes: u64,
    /// Stored bytes that a `get` would read, but for files in the caches.
    pub get_bytes: u64,
    /// Files that the caches have.
    pub cached_files: u64,
    /// Keep rules let its content go: what it takes is its manifest.
    pub let_go: Option<LetGo>,
}

impl Engine {
    /// What a store takes, and what collection would free.
    pub fn store_usage(&self, place: &Address) -> Result<StoreUsage> {
        let (store, _) = self.open_log(place)?;
        let plan = self.gc(place, &GcOptions { grace: Duration::ZERO, dry_run: true })?;
        let fold = store.timeline.fold();
        let rows = || fold.indexes.values();
        Ok(StoreUsage {
            versions: fold.datasets.values().map(|dataset| fold.listed(dataset).versions.len() as u64).sum(),
            data_bytes: rows().map(|row| row.pack_bytes).sum(),
            meta_bytes: rows().map(|row| row.meta_bytes).sum(),
            index_bytes: rows().map(|row| row.bytes).sum(),
            collectable_bytes: plan.frees_bytes.unwrap_or(0),
            store: store.root,
        })
    }

    /// What a version takes. Every manifest and recipe of the store is read for it, each once.
    pub fn version_usage(&self, address: &Address) -> Result<VersionUsage> {
        whole_versions_only(address)?;
        let target = self.open_target(address)?;
        let row = target.version()?.row.clone();
        let content = &target.store.content;
        let fold = target.store.timeline.fold();
        self.observer.tell(Event::Phase("weighing"));
        let mut own = Weight::default();
        match fold.let_go.contains_key(&row.version) {
            true => own.add_manifest(content, &row)?,
            false => own.add(content, &row)?,
        }
        let mut others = Weight::default();
        let mut seen = HashSet::from([row.version]);
        let datasets = fold.datasets.values().chain(fold.deleted.values());
        for other in datasets.flat_map(|dataset| dataset.versions.values()) {
            let id = other.row.version;
            if fold.condemned.versions.contains_key(&id) || !seen.insert(id) {
                continue;
            }
            match fold.let_go.contains_key(&id) {
                true => others.add_manifest(content, &other.row)?,
                false => others.add(content, &other.row)?,
            }
        }
        let freed = own.packs_beside(&others);
        let packs = content.indexes()?.iter().flat_map(Index::packs);
        let mut sizes: Vec<_> = packs.filter(|pack| freed.contains(&pack.name)).map(|it| (it.name, it.bytes)).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let caches = self.caches_to_look_at();
        let mut wanted = Weight::default();
        let mut cached_files = 0;
        for leaf in target.store.manifest(target.version()?).entries("") {
            let EntryKind::File { size, content: id, executable } = leaf?.entry.kind else { continue };
            match caches.iter().any(|cache| cache.has(Key { content: id, executable }, size)) {
                true => cached_files += 1,
                false => wanted.add_content(content, &id, size)?,
            }
        }
        Ok(VersionUsage {
            dataset: target.dataset.to_string(),
            version: row.version,
            name: target.dataset()?.name_of(&row.version).cloned(),
            files: row.files,
            bytes: row.bytes,
            stored_bytes: own.bytes(),
            own_bytes: own.bytes_beside(&others),
            freed_bytes: sizes.iter().map(|(_, bytes)| bytes).sum(),
            get_bytes: wanted.bytes(),
            cached_files,
            let_go: fold.let_go.get(&row.version).copied(),
        })
    }

    /// The caches that are there; none is made.
    fn caches_to_look_at(&self) -> Vec<Cache> {
        let named = self.settings.caches.iter().map(|place| self.path(&place.folder));
        let folders = named.chain(self.settings.user_cache.clone());
        folders.filter_map(|folder| Cache::open(&folder, true, self.observer.clone()).ok().flatten()).collect()
    }
}
