//! Whether there is room: found out before the first byte comes, so that nothing is removed for what wouldn't fit all the same.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::base::{Error, Event, Kind, Result, size};
use crate::cache::{Cache, Link, Pruned};
use crate::flow::materialize::is_of_its_own;
use crate::format::operation::VersionRow;
use crate::tree::manifest::Manifest;

use super::Engine;
use super::caches::Plan;
use super::scope::Scope;

impl Engine {
    /// Refuses what the cache can't hold, before the first byte is fetched; `beside` it, so many bytes go onto the same disk.
    pub(super) fn check_fit(&self, cache: &Cache, plan: &Plan, beside: u64) -> Result<()> {
        if plan.missing_bytes == 0 {
            return Ok(());
        }
        let to_come = plan.missing_bytes + beside;
        cache.foresee(plan.missing_bytes);
        let (limits, space) = (cache.limits(), cache.space()?);
        let most = limits.max_bytes;
        let refuse = |why: String| {
            let missing = size(plan.missing_bytes);
            let message =
                format!("{missing} are missing and don't fit into the cache {}: {why}", cache.folder().display());
            Err(Error::new(Kind::Failed, message)
                .hint("warm a part (--part 1/4, PATH), unpin what isn't needed, or raise the limit by `dagset cache init --max`"))
        };
        let all_free = cache.usage(plan.needed_bytes - plan.missing_bytes)? + plan.missing_bytes <= most;
        if all_free && space.floor + to_come <= space.free {
            return Ok(());
        }
        if plan.needed_bytes > most {
            return refuse(format!("it holds at most {}, and all of it takes {}", size(most), size(plan.needed_bytes)));
        }
        // Only now is it worth looking at everything that is there.
        let list = plan.list();
        let there = cache.removable(&list)?;
        let used_after = there.bytes - there.removable_bytes + plan.missing_bytes;
        let over_most = used_after.saturating_sub(most);
        let over_disk = (space.floor + to_come).saturating_sub(space.free + there.removable_bytes);
        if over_most.max(over_disk) == 0 {
            return Ok(());
        }
        if let Some(by_others) = cache.filled_by_others(over_most.max(over_disk), &list)? {
            return Err(by_others);
        }
        let removable = format!("of the {} in use {} can be removed", size(there.bytes), size(there.removable_bytes));
        match over_most {
            0 if beside > 0 => refuse(format!("its disk has {space}, {} go beside it, and {removable}", size(beside))),
            0 => refuse(format!("its disk has {space}, and {removable}")),
            _ => refuse(format!("it holds at most {}, and {removable}", size(most))),
        }
    }

    /// Why files of one's own, put into `folder`, had better come without the cache taking up what it lacks; `None` if that fits. On
    /// one disk they need room beside it.
    pub(super) fn why_not_to_fill(
        &self,
        cache: &Cache,
        link: Link,
        row: &VersionRow,
        (scope, manifest): (&Scope, &Manifest<'_>),
        folder: &Path,
    ) -> Result<Option<String>> {
        let (limits, space) = (cache.limits(), cache.space()?);
        let is_beside = link == Link::Copy && is_same_disk(cache.folder(), folder);
        // What a version can take at most is known without a look at its files: each may end in a block that isn't full.
        let most = row.bytes.saturating_add(row.files.saturating_mul(cache.on_disk(1)));
        let on_disk = if is_beside { most.saturating_mul(2) } else { most };
        if cache.usage(0)?.saturating_add(most) <= limits.max_bytes && space.floor.saturating_add(on_disk) <= space.free
        {
            return Ok(None);
        }
        self.observer.tell(Event::Phase("looking"));
        let plan = self.plan(cache, scope, manifest)?;
        let beside = if is_beside { missing_below(folder, cache, scope, manifest)? } else { 0 };
        match self.check_fit(cache, &plan, beside) {
            // Nobody else would make room for the copies.
            Ok(()) if is_beside => {
                cache.clear_disk(plan.missing_bytes.saturating_add(beside), true, &plan.list()).map(|()| None)
            }
            Ok(()) => Ok(None),
            Err(fault) if matches!(fault.kind(), Kind::Failed | Kind::Busy) => Ok(Some(fault.to_string())),
            Err(fault) => Err(fault),
        }
    }

    /// Says what went to make room since `before`.
    pub(super) fn tell_removed(&self, cache: &Cache, before: Pruned) -> Pruned {
        let removed = cache.removed_for_room().since(before);
        if removed != Pruned::default() {
            let (files, views) = (removed.files, removed.views);
            let files = format!("{files} file{} ({})", if files == 1 { "" } else { "s" }, size(removed.bytes));
            let views = if views == 0 {
                String::new()
            } else {
                format!(" and {views} view{}", if views == 1 { "" } else { "s" })
            };
            let what = format!("{files}{views}, used longest ago, went from the cache {}", cache.folder().display());
            self.observer.tell(Event::Warning(format!("{what} to make room")));
        }
        removed
    }
}

/// Whether two folders draw on the same free space.
fn is_same_disk(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
    device(one) == device(other)
}

/// What files take of the disk that don't stand in a folder yet as files of their own, as far as their size tells.
fn missing_below(folder: &Path, cache: &Cache, scope: &Scope, manifest: &Manifest<'_>) -> Result<u64> {
    let mut bytes = 0;
    for placed in scope.entries(manifest) {
        let placed = placed?;
        let size = placed.leaf.entry.bytes();
        let there = rustix::fs::lstat(folder.join(&placed.target));
        if !there.is_ok_and(|stat| stat.st_size as u64 == size && is_of_its_own(&stat)) {
            bytes += cache.on_disk(size);
        }
    }
    Ok(bytes)
}
