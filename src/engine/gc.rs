//! `gc`: what no ref leads to any more is condemned, and deleted once the grace period is over.

use std::path::Path;
use std::time::Duration;

use crate::base::{DatasetName, Event, Id, RefName, Result, Time};
use crate::flow::gc::repack::{NEEDED, Repacked};
use crate::flow::gc::{Collector, Gone, Marker, clock};
use crate::history::fold::Fold;
use crate::history::lost_log;
use crate::history::timeline::Timeline;
use crate::store::fault::is_full;
use crate::store::folder::sweep_staging;

use super::open::OpenStore;
use super::{Address, Engine};

/// How long what was deleted can be brought back, unless the user says otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(14 * 24 * 3600);

/// Staging files of writers are left alone for so long, however short the grace: they may be half written.
const STAGING_AGE: Duration = Duration::from_secs(3600);

/// How to collect.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// How long what was deleted can be brought back.
    pub grace: Duration,
    pub dry_run: bool,
}

/// A version that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcVersion {
    pub dataset: DatasetName,
    pub version: Id,
    pub name: Option<RefName>,
    pub time: Time,
}

/// What a step of a collection came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcStep {
    /// Newest first.
    pub versions: Vec<GcVersion>,
    /// Versions that stay, and whose content goes by the keep rules of their dataset; newest first.
    pub contents: Vec<GcVersion>,
    pub packs: u64,
    /// Bytes of the packs.
    pub bytes: u64,
}

/// What a collection did, or would do.
#[derive(Debug, Clone)]
pub struct GcReport {
    /// The store's path or URL.
    pub store: String,
    pub grace: Duration,
    pub dry_run: bool,
    /// What can still be rescued until the grace period is over.
    pub condemned: GcStep,
    /// Packs of which too little is alive, and their bytes: what is alive was written anew, and they are condemned.
    pub rewritten_packs: u64,
    pub rewritten_bytes: u64,
    /// Objects that were to be written anew, and stay: something that is needed of them is damaged. All else was done.
    pub damaged_packs: Vec<String>,
    /// What was condemned before the grace period, and is gone.
    pub reclaimed: GcStep,
    /// Objects that were deleted, and their bytes. A dry run counts the packs in that it would reclaim.
    pub deleted_objects: u64,
    pub deleted_bytes: u64,
    /// Of a dry run without grace: what it and the run behind it would free, less what they write.
    pub frees_bytes: Option<u64>,
    /// Versions and packs that are condemned now, by this run or before.
    pub waiting_versions: u64,
    pub waiting_packs: u64,
    /// Versions that stay, and whose content is condemned now.
    pub waiting_contents: u64,
}

impl Engine {
    /// Collects a store, or the versions of one dataset in it.
    ///
    /// Safe beside any number of writers and other collectors, and when it is cut off at any point: the next run goes on. Needs the right to
    /// delete. Errors: [`Kind::Damaged`](crate::base::Kind::Damaged) where a live version can't be followed; nothing is collected then. Damaged
    /// content of one hinders nothing but the packs that hold it: [`GcReport::damaged_packs`].
    pub fn gc(&self, place: &Address, options: &GcOptions) -> Result<GcReport> {
        let (mut store, only) = self.open_log(place)?;
        let root = store.root.clone();
        if store.timeline.fold().number == 0 {
            lost_log::refuse_lost(store.timeline.bucket())?;
        }
        if let Some(name) = only.as_ref().filter(|name| store.timeline.fold().deletion_of(name).is_none()) {
            let new_name = |to: &DatasetName, root: &str| format!("write {root}//{to}");
            let there = store.timeline.fold().dataset(name);
            there.map_err(|fault| fault.hint(store.where_it_went(name, new_name)))?;
        }
        // Who may not delete is told before anything is written to the log.
        let now = match options.dry_run {
            true => Time::now(),
            false => clock::store_time(store.timeline.bucket()).map_err(|fault| match is_full(&fault) {
                true => {
                    fault.hint("free space: a collection writes some kB there before it deletes; then run it again")
                }
                false => fault,
            })?,
        };
        let cutoff = if options.grace.is_zero() { Time(i64::MAX) } else { clock::before(now, options.grace) };
        let old = self.old_record(&store, options.grace, cutoff)?;
        let content_of = |timeline: &Timeline| self.content_at(&root, timeline);
        let before = store.timeline.fold().clone();
        let mut collector = Collector {
            actor: self.actor(),
            observer: self.observer.clone(),
            content_of: &content_of,
            only,
            kept: self.worked_on(&store)?,
            old,
            now,
            // Without grace, nothing that is dead stays.
            needed: if options.grace.is_zero() { 100 } else { NEEDED },
            dry_run: options.dry_run,
        };
        let timeline = &mut store.timeline;
        let mut marker = Marker::default();
        let mut condemned = collector.condemn(timeline, &mut marker)?;
        let rewritten = match collector.repack(timeline, &mut marker) {
            // What is dead takes less room to be rid of than what is half alive, and makes some.
            Err(fault) if is_full(&fault) => {
                self.observer.tell(Event::Warning(format!(
                    "{fault}: packs of which too little is alive were not written anew; `dagset gc {root}` does that once there is room"
                )));
                Repacked::default()
            }
            rewritten => rewritten?,
        };
        let mut damaged_packs = Vec::new();
        for (pack, fault) in rewritten.damaged {
            self.observer.tell(Event::Warning(format!(
                "{}: it stays as it is, with what is dead in it; `dagset verify {root} --repair-from COPY` mends it",
                fault.in_one_line()
            )));
            damaged_packs.push(pack);
        }
        let reclaimed = collector.reclaim(timeline, &mut marker, &mut condemned)?;
        if options.grace.is_zero() {
            collector.old = timeline.fold().number;
        }
        let garbage = collector.sweep(timeline, cutoff, cutoff.min(clock::before(now, STAGING_AGE)))?;
        let frees = match options.dry_run && options.grace.is_zero() {
            true => Some(collector.forecast(timeline, &mut marker, &garbage)?),
            false => None,
        };
        let mut deleted = (garbage.len() as u64, garbage.iter().map(|it| it.bytes).sum::<u64>());
        if options.dry_run {
            deleted = (deleted.0 + reclaimed.packs, deleted.1 + reclaimed.bytes);
        } else if let Some(folder) = Some(self.absolute(&root)).filter(|root| Path::new(root).is_dir()) {
            let swept = sweep_staging(Path::new(&folder), now, options.grace.max(STAGING_AGE))?;
            deleted = (deleted.0 + swept.files, deleted.1 + swept.bytes);
        }
        let waiting = &store.timeline.fold().condemned;
        Ok(GcReport {
            store: root.clone(),
            grace: options.grace,
            dry_run: options.dry_run,
            condemned: step(&before, condemned),
            rewritten_packs: rewritten.gone.packs,
            rewritten_bytes: rewritten.gone.bytes,
            damaged_packs,
            reclaimed: step(&before, reclaimed),
            deleted_objects: deleted.0,
            deleted_bytes: deleted.1,
            frees_bytes: frees,
            waiting_versions: waiting.versions.len() as u64,
            waiting_packs: waiting.packs.len() as u64,
            waiting_contents: waiting.contents.len() as u64,
        })
    }

    /// The versions that the workspaces which are known here stand on: the one that the store is embedded in, and the one that the command is run in.
    fn worked_on(&self, store: &OpenStore) -> Result<Vec<Id>> {
        let around = self.embedding(&store.root)?.map(|(control, _)| control);
        let here = self.workspace_on(store)?.map(|(control, _)| control);
        let mut versions = Vec::new();
        for control in around.into_iter().chain(here) {
            let state = control.state()?;
            versions.extend([state.at(), state.base].into_iter().flatten());
            versions.extend(state.checkout.iter().flat_map(|begun| begun.versions()));
            if let Some(merging) = control.merging(&state)? {
                versions.extend(merging.base.into_iter().chain(merging.parents.iter().map(|(id, _)| *id)));
            }
        }
        Ok(versions)
    }

    /// The newest record that is older than the grace period by the store's own times.
    fn old_record(&self, store: &OpenStore, grace: Duration, cutoff: Time) -> Result<u64> {
        let head = store.timeline.fold().number;
        match grace.is_zero() {
            true => Ok(head),
            false => clock::newest_record_before(store.timeline.bucket(), head, cutoff),
        }
    }
}

fn step(fold: &Fold, gone: Gone) -> GcStep {
    let deleted = fold.deleted.iter().map(|((_, name), dataset)| (name, dataset));
    let datasets: Vec<_> = fold.datasets.iter().chain(deleted).collect();
    let told = |id: &Id| {
        let (name, dataset) = datasets.iter().find(|(_, dataset)| dataset.versions.contains_key(id))?;
        let row = &dataset.versions.get(id)?.row;
        let version_name = dataset.name_of(id).cloned();
        Some(GcVersion { dataset: (*name).clone(), version: *id, name: version_name, time: row.time })
    };
    let all_told = |ids: &[Id]| {
        let mut versions: Vec<GcVersion> = ids.iter().filter_map(told).collect();
        versions.sort_by_key(|it| (std::cmp::Reverse(it.time), it.version));
        versions
    };
    let (versions, contents) = (all_told(&gone.versions), all_told(&gone.contents));
    GcStep { versions, contents, packs: gone.packs, bytes: gone.bytes }
}
