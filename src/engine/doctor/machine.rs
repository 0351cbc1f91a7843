//! What this machine keeps for itself: caches and mirrors.

use crate::base::{Error, Kind};
use crate::cache::{Cache, Sharing};
use crate::history::state;

use super::super::{CachePlace, Engine};
use super::{Checkup, Health};

const CACHE: &str = "cache";
const MIRROR: &str = "mirror";

impl Engine {
    pub(super) fn look_at_caches(&self, fix: bool) -> Vec<Checkup> {
        let mut places = self.settings.caches.clone();
        let own = self.settings.user_cache.as_ref().filter(|own| own.exists());
        if let Some(own) = own.filter(|own| places.iter().all(|place| self.path(&place.folder) != **own)) {
            places.push(CachePlace { folder: own.clone(), read_only: false });
        }
        places.iter().flat_map(|place| self.look_at_cache(place, fix)).collect()
    }

    fn look_at_cache(&self, place: &CachePlace, fix: bool) -> Vec<Checkup> {
        let folder = self.path(&place.folder);
        let shown = folder.display().to_string();
        let init = format!("dagset cache init {shown}");
        let cache = match Cache::open(&folder, place.read_only || !fix, self.observer.clone()) {
            Ok(Some(cache)) => cache,
            Ok(None) if place.read_only => {
                let fault = Error::not_found("there is no cache");
                return vec![Checkup::broken(CACHE, shown, &fault).mended_by(init)];
            }
            Ok(None) => return vec![Checkup::ok(CACHE, shown, "is made by the first command that fills it")],
            Err(fault) => return vec![Checkup::broken(CACHE, shown, &fault).mended_by(init)],
        };
        let mut found = Vec::new();
        if !place.read_only && !crate::cache::may_write(&folder) {
            let why = match cache.sharing() {
                Sharing::Group(group) => format!("may not be written by this user: it is of group {group}"),
                Sharing::Private => "may not be written by this user".to_owned(),
            };
            let how = format!("name it {shown}:ro, or have its owner add you to the group");
            found.push(Checkup::warning(CACHE, &shown, why).mended_by(how));
        }
        match cache.noted_bytes() {
            None => {
                let fixed = fix && cache.recount().is_ok();
                let found_it =
                    Checkup::warning(CACHE, &shown, "what its files take isn't known, or was noted long ago");
                found.push(found_it.mended_by("dagset cache info counts them").fixed_if(fixed));
            }
            Some(bytes) if bytes > cache.limits().max_bytes => {
                let detail = format!("takes {bytes} bytes, more than its limit of {}", cache.limits().max_bytes);
                found.push(Checkup::warning(CACHE, &shown, detail).mended_by("dagset cache prune"));
            }
            Some(_) => {}
        }
        match cache.holds() {
            Ok(holds) if !holds.unread.is_empty() => {
                let detail = format!("{} holds can't be understood, and hold everything for a day", holds.unread.len());
                found.push(Checkup::warning(CACHE, &shown, detail).mended_by("dagset cache list shows them"));
            }
            Ok(_) => {}
            Err(fault) => found.push(Checkup::broken(CACHE, &shown, &fault)),
        }
        let aside = std::fs::read_dir(folder.join("quarantine")).map_or(0, Iterator::count);
        if aside > 0 {
            let detail = format!("{aside} files that somebody changed are in quarantine");
            let how = format!("dagset cache verify, then look into {shown}/quarantine and empty it");
            found.push(Checkup::warning(CACHE, &shown, detail).mended_by(how));
        }
        if found.iter().all(|it| it.health == Health::Ok) {
            found.insert(0, Checkup::ok(CACHE, shown, "can be read, and is within its limit"));
        }
        found
    }

    /// The mirror of a store behind a network; `store` is that store's id, where it is known.
    pub(super) fn look_at_mirror(&self, root: &str, store: Option<[u8; 16]>, fix: bool) -> Option<Checkup> {
        let mirror = self.mirror_of(root)?;
        let wrong = match mirror.load().and_then(|held| held.map(|held| state::decode(&held.rows)).transpose()) {
            Ok(None) => return None,
            Ok(Some(fold)) if store.is_none_or(|store| store == fold.store) => {
                return Some(Checkup::ok(MIRROR, root, format!("holds the log up to record {}", fold.number)));
            }
            Ok(Some(_)) => Error::new(Kind::Conflict, "is of another store that was at this place"),
            Err(fault) => fault,
        };
        if fix {
            mirror.remove();
        }
        let found = Checkup { health: Health::Warning, ..Checkup::broken(MIRROR, root, &wrong) };
        Some(found.mended_by("dagset doctor --fix; the next command makes it anew").fixed_if(fix))
    }
}
