//! What a pin asks for, followed to what that is now; and whether what it pins can still be got.

use std::collections::HashSet;
use std::path::Path;

use crate::base::{DatasetName, Error, Id, Result};
use crate::format::lock_file::Pin;
use crate::history::fold::{Dataset, Fold};
use crate::history::refs::missing_version;
use crate::store::address::RefExpr;

use super::super::Engine;
use super::super::open::Target;
use super::super::purged::PurgedPath;
use super::super::read::check_path;
use super::super::scope::Scope;

/// What a pin asks for, as it is now.
pub(super) struct Followed {
    pub now: Pin,
    /// What can't be got any more: of the version that is pinned for a check, of the one that is there now for an update.
    pub purged: Vec<PurgedPath>,
}

impl Engine {
    /// Errors: beside those of an address that means nothing, where keep rules let the content go of what is there now, or, for a check, of
    /// what is pinned; and where another dataset has the old one's name.
    pub(super) fn follow_pin(&self, key: &DatasetName, old: &Pin, file: &Path, update: bool) -> Result<Followed> {
        let within = |fault: Error| fault.within(format!("the pin {key} can't be followed"));
        let follow = || {
            let reference = old.reference.as_deref().map(RefExpr::parse).transpose()?;
            let mut target = self.open_target(&self.address_of(old, file, reference)?)?;
            target.follow_rename();
            refuse_stranger(&target, key, &old.version)?;
            let version = target.readable()?;
            check_path(&target)?;
            let now = Pin {
                dataset: target.dataset.clone(),
                version: version.row.version,
                name: target.dataset()?.name_of(&version.row.version).cloned(),
                manifest: version.row.manifest,
                ..old.clone()
            };
            Ok((target, now))
        };
        let (target, now) = follow().map_err(within)?;
        if !update && now.version != old.version {
            target.check_content(&old.version).map_err(|fault| {
                let moves_on = format!("`dagset lock --update {key}` pins what {} is now", target.shown);
                fault.within(format!("what the pin {key} pins can't be got")).hint(moves_on)
            })?;
        }
        let purged = purged_of(&target, if update { &now.version } else { &old.version }).map_err(within)?;
        Ok(Followed { now, purged })
    }
}

/// Refuses to follow a name that another dataset has by now: its versions have nothing to do with what was pinned.
fn refuse_stranger(target: &Target, key: &DatasetName, pinned: &Id) -> Result<()> {
    let (fold, name) = (target.store.timeline.fold(), &target.dataset);
    if comes_of(fold, target.dataset()?, pinned) {
        return Ok(());
    }
    let root = target.store.root.trim_end_matches('/');
    let again = |address: &str| format!("`dagset lock {address} --name {key}`");
    match fold.home_of(pinned, name) {
        Some((home, dataset)) => {
            let called = dataset.called(pinned);
            let message = format!("{name} is another dataset by now, without the version {called}, which {home} has");
            let pins = again(&format!("{root}//{home}"));
            Err(Error::conflict(message).hint(format!("{pins} pins what that is now, with @REF another version")))
        }
        None => match fold.deletion_with(pinned) {
            Some((record, _)) => Err(missing_version(fold, name, pinned).hint(format!(
                "`dagset undo {root} {record}` brings it back; {} pins a version of the dataset that has the name now",
                again(&format!("{root}//{name}"))
            ))),
            // Collected, as nothing led to it: nobody knows whose it was.
            None => Ok(()),
        },
    }
}

/// Whether a dataset has a version, or has any that came of it.
fn comes_of(fold: &Fold, dataset: &Dataset, id: &Id) -> bool {
    if dataset.versions.contains_key(id) {
        return true;
    }
    let of_others = |parent: &&Id| !dataset.versions.contains_key(*parent);
    let parents = dataset.versions.values().flat_map(|state| &state.row.parents);
    let mut met: HashSet<Id> = parents.filter(of_others).copied().collect();
    let mut open: Vec<Id> = met.iter().copied().collect();
    while let Some(next) = open.pop() {
        if next == *id {
            return true;
        }
        let parents = fold.version(&next).into_iter().flat_map(|state| &state.row.parents);
        open.extend(parents.filter(|parent| met.insert(**parent)));
    }
    false
}

/// What was purged of a version's part that the target names; nothing of a version that isn't there.
pub(super) fn purged_of(target: &Target, version: &Id) -> Result<Vec<PurgedPath>> {
    match target.version_state(version) {
        Ok(state) if !target.store.content.purged().is_empty() => {
            let manifest = target.store.manifest(state);
            Scope::of(target, &manifest, &[], None)?.purged(&manifest)
        }
        _ => Ok(Vec::new()),
    }
}
