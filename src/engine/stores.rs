//! `store create`, `store info`.

use crate::base::{Kind, Result, Time};
use crate::history::timeline::Timeline;
use crate::store::address::{refuse_secret, without_file_scheme};

use super::Engine;
use super::open::{OpenStore, create_hint};

/// What a store is and holds.
#[derive(Debug, Clone)]
pub struct StoreInfo {
    pub root: String,
    pub store: String,
    pub format: u32,
    pub chunking: &'static str,
    pub created: Time,
    pub tool: String,
    pub datasets: u64,
    pub versions: u64,
    /// The newest log record.
    pub records: u64,
    pub indexes: u64,
    pub packs: u64,
    /// Bytes of registered data packs, of meta packs, of indexes.
    pub pack_bytes: u64,
    pub meta_bytes: u64,
    pub index_bytes: u64,
    pub chunks: u64,
}

impl Engine {
    /// Creates an empty store: a folder, or a prefix of a bucket. A creation that was cut off is ended.
    pub fn create_store(&self, store: &str) -> Result<StoreInfo> {
        let store = self.expand(store)?;
        let (root, file, bucket) = match self.make_store(&store) {
            Err(fault) if fault.kind() == Kind::Conflict => self.unfinished_store(&store)?.ok_or(fault)?,
            made => made?,
        };
        let mut timeline = Timeline::open(bucket, file.store, self.observer.clone())?;
        timeline.begin(&self.actor())?;
        self.store_info(&root)
    }

    /// What a store is and holds.
    pub fn store_info(&self, store: &str) -> Result<StoreInfo> {
        let open = self.open_whole_store(store)?;
        let fold = open.timeline.fold();
        let rows = || fold.indexes.values();
        Ok(StoreInfo {
            store: open.file.store_hex(),
            format: crate::format::store_file::FORMAT,
            chunking: crate::format::store_file::CHUNKING,
            created: open.file.created,
            tool: open.file.tool.clone(),
            datasets: fold.datasets.len() as u64,
            versions: fold.datasets.values().map(|dataset| fold.listed(dataset).versions.len() as u64).sum(),
            records: fold.number,
            indexes: fold.indexes.len() as u64,
            packs: rows().map(|row| row.packs).sum(),
            pack_bytes: rows().map(|row| row.pack_bytes).sum(),
            meta_bytes: rows().map(|row| row.meta_bytes).sum(),
            index_bytes: rows().map(|row| row.bytes).sum(),
            chunks: open.content.indexes()?.iter().map(|index| index.chunk_count() as u64).sum(),
            root: open.root,
        })
    }

    /// The store that a text means which names no dataset.
    pub(super) fn open_whole_store(&self, store: &str) -> Result<OpenStore> {
        let text = self.expand(store)?;
        let opened = self.open_store(&text).map_err(|fault| {
            let advises = fault.next_step().is_some_and(|hint| hint.starts_with("dagset store create"));
            if advises && !text.contains("//") { fault.hint(create_hint(&text)) } else { fault }
        });
        opened.map(|(open, _)| open)
    }

    /// A store's text with `~/` expanded; one that may hold a secret is refused.
    pub(super) fn expand(&self, store: &str) -> Result<String> {
        refuse_secret(store, "a store's URL")?;
        let store = without_file_scheme(store);
        match store.strip_prefix("~/") {
            None => Ok(store.to_owned()),
            Some(rest) => match &self.settings.home {
                Some(home) => Ok(home.join(rest).to_string_lossy().into_owned()),
                None => Err(crate::base::Error::usage("~/ needs a home folder, and none is known")),
            },
        }
    }
}
