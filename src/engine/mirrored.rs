//! Opening a store through the user's mirror of it: only what came since is asked for; with `offline`, nothing is.
//!
//! Stores in folders have no mirror: reading them in place is as fast.

use crate::base::{Event, Result};
use crate::catalog::mirror::Mirror;
use crate::format::store_file::StoreFile;
use crate::history::local_copy::LocalCopy;
use crate::history::timeline::Timeline;
use crate::store::address::is_remote;
use crate::store::locate::candidates;

use super::Engine;
use super::open::{Missing, OpenStore};

impl Engine {
    /// The mirror of the store at `root`, where one is kept.
    pub(super) fn mirror_of(&self, root: &str) -> Option<Mirror> {
        let folder = self.settings.state_folder.as_deref().filter(|_| is_remote(root))?;
        Some(Mirror::new(folder, root))
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
            timeline.keep_in(local);
            return Ok(Some((self.open_store_of(root, file, timeline), rest)));
        }
        Ok(None)
    }
}
