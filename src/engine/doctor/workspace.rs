//! The workspace: its own small files, what was cut off in it, its stat index and the lock file beside it.

use std::path::Path;
use std::time::Duration;

use crate::base::lock::FileLock;
use crate::base::path::CONTROL_FOLDER;
use crate::base::{BranchName, Error, Kind, Observer, Result, files};
use crate::catalog::stat_index::StatIndex;
use crate::history::refs::DEFAULT_BRANCH;
use crate::store::address::is_remote;
use crate::workspace::control::{Control, State};

use super::super::begun::Ways;
use super::super::lock::LOCK_FILE;
use super::super::transfer::here;
use super::super::{Engine, PinReport, RefreshReport};
use super::{Checkup, Health};

const AREA: &str = "workspace";

impl Engine {
    pub(super) fn look_at_workspace(&self, control: Option<&Control>, fix: bool) -> Vec<Checkup> {
        let Some(control) = control else {
            let mut found: Vec<Checkup> = self.without_config().into_iter().collect();
            found.extend(self.look_at_lock_file(&self.settings.folder));
            return found;
        };
        let root = control.root().display().to_string();
        let mut found = Vec::new();
        if let Err(fault) = control.config() {
            let fix = format!(
                "write {root}/{CONTROL_FOLDER}/config.toml again: dataset = \"NAME\", store = \"embedded\" or a store's path or URL"
            );
            found.push(Checkup::broken(AREA, "configuration", &fault).mended_by(fix));
        }
        match control.state() {
            Ok(state) => found.extend(self.look_at_state(control, &state)),
            Err(fault) => {
                let fixed = fix && self.write_state_anew(control).is_ok();
                let how =
                    "dagset doctor --fix takes the branch main at its newest version, and keeps the old file beside it";
                found.push(Checkup::broken(AREA, "state", &fault).mended_by(how).fixed_if(fixed));
            }
        }
        if let Err(fault) = control.staged() {
            let how = format!("rm {}/staged, then dagset add the paths again", control.folder().display());
            found.push(Checkup::broken(AREA, "staged paths", &fault).mended_by(how));
        }
        if let Err(fault) = control.seen_tags("") {
            found.push(Checkup::broken(AREA, "tags that were seen", &fault));
        }
        found.extend(self.look_at_index(control, fix));
        found.extend(look_at_lock(control, &self.observer));
        found.extend(look_at_leftovers(control, fix));
        found.extend(self.look_at_lock_file(control.root()));
        if found.iter().all(|it| it.health == Health::Ok) {
            found.insert(0, Checkup::ok(AREA, root, "its files are in order"));
        }
        found
    }

    /// A `.dagset/` without its configuration is no workspace to any command.
    fn without_config(&self) -> Option<Checkup> {
        let holds = |folder: &&Path| folder.join(CONTROL_FOLDER).join("state.json").exists();
        let folder = self.settings.folder.ancestors().find(holds)?.join(CONTROL_FOLDER);
        let fault = Error::not_found(format!("{} has no config.toml, so this is no workspace", folder.display()));
        Some(
            Checkup::broken(AREA, "configuration", &fault)
                .mended_by("write it again: dataset = \"NAME\", store = \"embedded\" or a store's path or URL"),
        )
    }

    fn look_at_state(&self, control: &Control, state: &State) -> Vec<Checkup> {
        let mut found = Vec::new();
        // What opens a store behind a network writes its mirror, which is still to be looked at; without one versions have ids.
        let store = state.checkout.as_ref().and_then(|_| Some(control.store_text(&control.config().ok()?)));
        let target = store.filter(|store| !is_remote(store)).and_then(|_| self.open_target(&here()).ok());
        if let Some(ways) = Ways::of(state, target.as_ref().and_then(|target| target.dataset().ok())) {
            let on = ways.on.map(|on| format!("dagset {on}"));
            let back = ways.back.map(|back| format!("dagset {back} to go back"));
            let ways: Vec<_> = [on, back].into_iter().flatten().collect();
            let detail = "a switch hasn't ended, so the folder is between two versions";
            found.push(Checkup::warning(AREA, "switch", detail).mended_by(ways.join(", or ")));
        }
        match control.merging(state) {
            Ok(None) => {}
            Ok(Some(merging)) => {
                let open = merging.conflicts.iter().filter(|conflict| conflict.solved.is_none()).count();
                let (detail, how) = match (open, merging.is_laid) {
                    (0, _) => ("a merge is ready to be committed".to_owned(), "dagset merge --continue"),
                    (_, false) => ("a merge was cut off while it was laid out".to_owned(), "dagset merge --continue"),
                    (open, _) => (
                        format!("a merge has {open} open conflicts"),
                        "dagset status shows them, dagset resolve ends them",
                    ),
                };
                found.push(Checkup::warning(AREA, "merge", detail).mended_by(how));
            }
            Err(fault) => {
                let how = format!("rm {}/merge.json, which gives the merge up", control.folder().display());
                found.push(Checkup::broken(AREA, "merge", &fault).mended_by(how));
            }
        }
        found
    }

    /// The state as a fresh clone has it. What can't be read is kept beside it.
    fn write_state_anew(&self, control: &Control) -> Result<()> {
        let _lock = control.lock(&self.observer)?;
        let branch = BranchName::new(DEFAULT_BRANCH)?;
        let config = control.config()?;
        let (store, _) = self.open_store(&control.store_text(&config))?;
        let dataset = store.timeline.fold().dataset(&config.dataset)?;
        let base = dataset.branches.get(&branch).copied();
        let path = control.folder().join("state.json");
        if path.exists() {
            files::rename(&path, &control.folder().join("state.json.damaged"))?;
        }
        control.write_state(&State { branch: Some(branch), base, ..State::default() })
    }

    fn look_at_index(&self, control: &Control, fix: bool) -> Option<Checkup> {
        let folder = self.settings.state_folder.as_deref()?;
        match StatIndex::look(folder, control.root()) {
            Ok(()) => None,
            Err(fault) => {
                let fixed = fix && self.read_index(folder, control).is_ok();
                let found = Checkup { health: Health::Warning, ..Checkup::broken(AREA, "stat index", &fault) };
                Some(found.mended_by("dagset doctor --fix, or dagset status, which makes it anew").fixed_if(fixed))
            }
        }
    }

    /// Reads the index, which makes a damaged one anew.
    fn read_index(&self, folder: &Path, control: &Control) -> Result<()> {
        StatIndex::open(Some(folder), control.root(), &self.observer)?.rows().map(drop)
    }

    /// Pins that moved on, or can't be read.
    fn look_at_lock_file(&self, folder: &Path) -> Option<Checkup> {
        let file = folder.join(LOCK_FILE);
        if !file.exists() {
            return None;
        }
        let checked = self.refresh_lock(&file, &[], false);
        Some(match checked {
            Ok(RefreshReport { failed, .. }) if !failed.is_empty() => Checkup::broken(AREA, LOCK_FILE, &failed[0].1),
            Ok(RefreshReport { pins, .. }) if pins.iter().any(PinReport::moved) => {
                let moved = pins.iter().filter(|pin| pin.moved()).count();
                Checkup::warning(AREA, LOCK_FILE, format!("{moved} of {} pins are behind", pins.len()))
                    .mended_by("dagset lock --update")
            }
            Ok(RefreshReport { pins, .. }) => {
                Checkup::ok(AREA, LOCK_FILE, format!("{} pins are up to date", pins.len()))
            }
            Err(fault) => Checkup::broken(AREA, LOCK_FILE, &fault),
        })
    }
}

/// Whether another command works here right now.
fn look_at_lock(control: &Control, observer: &Observer) -> Option<Checkup> {
    let path = control.folder().join("lock");
    if !path.exists() {
        return None;
    }
    match FileLock::take(&path, Duration::ZERO, observer) {
        Ok(_) => None,
        Err(fault) if fault.kind() == Kind::Busy => {
            Some(Checkup::warning(AREA, "lock", "another dagset works here now").mended_by("wait for it to end"))
        }
        Err(fault) => Some(Checkup::broken(AREA, "lock", &fault)),
    }
}

/// Files that processes left which have ended: those where most are, and where they are swept those anywhere below.
fn look_at_leftovers(control: &Control, fix: bool) -> Option<Checkup> {
    let left = match fix {
        true => files::sweep_temporaries(control.root()),
        false => [control.folder().as_path(), control.root()].map(files::abandoned_in).iter().flatten().count() as u64,
    };
    if left == 0 {
        return None;
    }
    let detail = format!("{left} temporary files of processes that have ended");
    Some(Checkup::warning(AREA, "leftovers", detail).mended_by("dagset doctor --fix").fixed_if(fix))
}
