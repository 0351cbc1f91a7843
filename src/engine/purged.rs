//! Files of a version that were purged: whoever gets the version is told which, and where the version goes the tombstones go along.

use crate::base::{Event, Id, Result, Time};
use crate::flow::carry::Extent;
use crate::flow::purge::tombstones;
use crate::format::manifest::EntryKind;
use crate::format::tombstone::Purged;
use crate::history::timeline::Timeline;
use crate::store::content::Content;
use crate::tree::manifest::{Leaf, Manifest};

use super::Engine;
use super::open::OpenStore;
use super::transfer::{Missing, Way};

/// A file of a version whose content was purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedPath {
    pub path: String,
    pub content: Id,
    /// The log record that purged it, when, and why.
    pub record: u64,
    pub time: Time,
    pub reason: String,
}

/// Those of some entries; reads nothing where nothing was ever purged.
pub(super) fn purged_among(
    manifest: &Manifest<'_>,
    leaves: impl Iterator<Item = Result<Leaf>>,
) -> Result<Vec<PurgedPath>> {
    let mut purged = Vec::new();
    if manifest.content().purged().is_empty() {
        return Ok(purged);
    }
    for leaf in leaves {
        let Leaf { path, entry, .. } = leaf?;
        if let (EntryKind::File { content, .. }, Some(why)) = (&entry.kind, manifest.content().tombstone_of(&entry)) {
            let (record, time, reason) = (why.record, why.time, why.reason.to_string());
            purged.push(PurgedPath { path: path.to_string(), content: *content, record, time, reason });
        }
    }
    Ok(purged)
}

impl Engine {
    /// Sets in `to` the tombstones that `from` has of what `missing` versions name: whoever reads them there is told why files are gone. A store
    /// that borrows its content gets all, as it may name any of it. Before a session begins there, since it voids those that are under way.
    pub(super) fn bring_tombstones(
        &self,
        from: &Content,
        to: &mut OpenStore,
        missing: &Missing<'_>,
        way: Way,
    ) -> Result<()> {
        if from.purged().is_empty() {
            return Ok(());
        }
        let contents = match way {
            Way::In(Extent::Metadata) => {
                let all = from.purged().iter();
                all.map(|(content, tombstone)| Purged { content: *content, size: tombstone.size }).collect()
            }
            _ => tombstones::named_by(from, missing.rows.iter())?,
        };
        let root = to.root.clone();
        let content_of = |timeline: &Timeline| self.content_at(&root, timeline);
        let at = to.timeline.fold().number;
        tombstones::bring(from, &contents, &mut to.timeline, &content_of, &self.actor())?;
        if to.timeline.fold().number != at {
            to.content = content_of(&to.timeline)?;
        }
        let held = tombstones::held(from, &to.content)?;
        if let Some(first) = held.first() {
            let told = format!(
                "{} contents that are purged on the other side are in {root}; `dagset purge {root} --content {} --reason TEXT` removes the first",
                held.len(),
                first.content
            );
            self.observer.tell(Event::Warning(told));
        }
        Ok(())
    }
}
