//! Where mends come from: what the user names, and what of this machine is looked into anyway.

use std::path::{Path, PathBuf};

use crate::base::{Error, Event, Id, Kind, RepoPath, Result};
use crate::cache::{Cache, Key, is_cache};
use crate::flow::repair::SourceStore;
use crate::history::newest::{self, Seen};
use crate::store::address::is_remote;
use crate::workspace::control::Control;

use super::super::Engine;

/// What a repair may take from; nothing of it is trusted.
#[derive(Default)]
pub(super) struct Sources {
    pub stores: Vec<SourceStore>,
    /// Records that stood in the log, as machines keep them that saw them.
    pub seen: Vec<Seen>,
    caches: Vec<Cache>,
    workspaces: Vec<PathBuf>,
}

impl Sources {
    /// Where a content may lie on this machine.
    pub(super) fn find(&self, content: &Id, size: u64, path: &RepoPath) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for cache in &self.caches {
            let keys = [false, true].map(|executable| Key { content: *content, executable });
            found.extend(keys.iter().filter(|key| cache.has(**key, size)).map(|key| cache.path_of(*key)));
        }
        found.extend(self.workspaces.iter().map(|root| root.join(path.as_str())));
        found
    }
}

impl Engine {
    /// Opens what the user names to mend the store at `store`; a source that isn't there is an error.
    pub(super) fn repair_sources(&self, store: &str, from: &[String]) -> Result<Sources> {
        let mut sources = Sources::default();
        let home = self.store_meant(store)?.into_owned();
        let own = |root: &str| self.newest_file(root).and_then(|file| newest::read(&file));
        sources.seen.extend(own(&home));
        for text in from {
            let text = self.expand(text)?;
            let place = PathBuf::from(self.absolute(&text));
            if is_remote(&text) {
                sources.stores.push(self.source_store(&text, &home)?);
            } else if is_cache(&place) {
                sources.caches.extend(Cache::open(&place, true, self.observer.clone())?);
            } else if place.is_file() {
                let seen = newest::read(&place).ok_or_else(|| {
                    Error::usage(format!("{text} is no record of a log that a machine kept"))
                        .hint("name a store, a cache, a workspace, or the file that the error named")
                })?;
                sources.seen.push(seen);
            } else if let Some(control) = Control::find(&place).filter(|it| it.root() == place) {
                sources.workspaces.push(place);
                let its_home = control.store_text(&control.config()?);
                match self.is_one_store(&its_home, &home) {
                    // Its files are what it has, and what this machine keeps of its store.
                    true => sources.seen.extend(own(&its_home)),
                    false => sources.stores.push(self.source_store(&its_home, &home)?),
                }
            } else {
                sources.stores.push(self.source_store(&text, &home)?);
            }
        }
        for place in &self.settings.caches {
            match Cache::open(&self.path(&place.folder), true, self.observer.clone()) {
                Ok(cache) => sources.caches.extend(cache),
                Err(fault) => self.observer.tell(Event::Note(fault.in_one_line())),
            }
        }
        if let Ok(Some((control, _))) = self.embedding(&home) {
            sources.workspaces.push(control.root().to_owned());
        }
        if let Some(control) = Control::find(&self.settings.folder)
            && let Ok(config) = control.config()
            && self.is_one_store(&control.store_text(&config), &home)
        {
            sources.workspaces.push(control.root().to_owned());
        }
        Ok(sources)
    }

    fn source_store(&self, text: &str, home: &str) -> Result<SourceStore> {
        if self.is_one_store(text, home) {
            return Err(Error::usage(format!("{text} is the store that is to be mended"))
                .hint("name another store, a cache or a workspace that has what is damaged"));
        }
        let (open, _) = self.open_store(text).map_err(|fault| match fault.kind() {
            Kind::NotFound => fault.hint("name a store, a cache or a workspace that has what is damaged"),
            _ => fault,
        })?;
        if self.is_one_store(&open.root, home) {
            return Err(Error::usage(format!("{text} is in the store that is to be mended"))
                .hint("name another store, a cache or a workspace that has what is damaged"));
        }
        Ok(SourceStore { bucket: open.timeline.bucket().clone(), store: open.file.store, content: open.content })
    }

    /// Whether two texts of stores mean one place: one folder by whatever path, or one URL.
    pub(in crate::engine) fn is_one_store(&self, one: &str, other: &str) -> bool {
        use std::os::unix::fs::MetadataExt;
        let absolute = |root: &str| self.absolute(root.trim_end_matches('/'));
        let (one, other) = (absolute(one), absolute(other));
        // The log is what makes a store, also where its dagset.json is gone.
        let log = |root: &str| std::fs::metadata(Path::new(root).join("log")).ok().map(|it| (it.dev(), it.ino()));
        one == other || log(&one).is_some_and(|id| log(&other) == Some(id))
    }
}
