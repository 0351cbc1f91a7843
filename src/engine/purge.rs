//! `purge`: content goes from a store and from what of it this machine has, and stays out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::{DatasetName, Error, Event, Id, RefName, Result, Time, files};
use crate::cache::{Cache, PurgedFiles};
use crate::chunk::cut::SMALL_FILE;
use crate::flow::gc::clock;
use crate::flow::purge::{CONTENTS_A_RECORD, Outcome, Purger, Survey, tombstones};
use crate::format::manifest::EntryKind;
use crate::format::pack::ItemKind;
use crate::format::recipe::RecipeRoot;
use crate::format::tombstone::Purged;
use crate::history::alive::all_versions;
use crate::history::fold::{Dataset, Fold};
use crate::history::guard::{Reason, stands};
use crate::history::timeline::Timeline;
use crate::store::folder::sweep_staging;
use crate::store::uses::Wanted;
use crate::tree::hash_file::hash_file;
use crate::tree::manifest::Manifest;
use crate::workspace::control::Control;

use super::filter::FileFilter;
use super::open::OpenStore;
use super::scope::Scope;
use super::uses::{UseCard, card};
use super::{Address, Engine};

mod condition;

/// Uses that a report lists, the newest.
const MOST_USES: usize = 1_000;
/// Staging files of writers that are older than this go: all sessions from before are void.
const STAGING_AGE: Duration = Duration::from_secs(60);
/// Names of versions that an error lists.
const SHOWN_VERSIONS: usize = 5;

/// What to purge.
#[derive(Debug, Clone)]
pub struct PurgeOptions {
    /// Paths and globs, from the address's path on.
    pub patterns: Vec<String>,
    /// Content ids; the address is then that of a store or a dataset.
    pub contents: Vec<Id>,
    /// The files of the dataset's versions of which this holds; of one version, where the address names it.
    pub condition: Option<FileFilter>,
    pub reason: Reason,
    /// Also what published versions have.
    pub force: bool,
    pub dry_run: bool,
}

/// Content that was purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedContent {
    pub content: Id,
    pub bytes: u64,
    /// Where it stood, in whatever version.
    pub paths: Vec<String>,
}

/// A version that had some of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedVersion {
    pub dataset: DatasetName,
    pub version: Id,
    pub name: Option<RefName>,
    pub is_published: bool,
    /// The dataset is deleted, and could be brought back.
    pub is_deleted: bool,
    /// How many of its files are gone.
    pub files: u64,
}

/// What a cache of this machine had of it.
#[derive(Debug, Clone)]
pub struct CachePurge {
    pub folder: PathBuf,
    pub files: PurgedFiles,
    /// Why it couldn't be purged.
    pub why_not: Option<String>,
}

/// A store that has it, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    pub store: String,
    /// Whether that was looked at, and is so.
    pub is_certain: bool,
}

/// What a purge did, or would do.
#[derive(Debug)]
pub struct PurgeReport {
    /// The store's path or URL.
    pub store: String,
    pub reason: String,
    pub dry_run: bool,
    /// The record of the log; `None` where nothing was left to do, or for a dry run.
    pub record: Option<u64>,
    pub contents: Vec<PurgedContent>,
    /// By dataset, newest first.
    pub versions: Vec<PurgedVersion>,
    /// Runs and models that had one of the versions, newest first, and how many older ones there are.
    pub uses: Vec<UseCard>,
    pub more_uses: usize,
    pub rewritten_packs: u64,
    pub written_objects: u64,
    pub written_bytes: u64,
    pub deleted_objects: u64,
    pub deleted_bytes: u64,
    /// Bytes of chunks that other files need too, and that stay.
    pub shared_bytes: u64,
    pub caches: Vec<CachePurge>,
    /// Files of this workspace that have it; they are the user's.
    pub workspace_files: Vec<PathBuf>,
    pub elsewhere: Vec<Elsewhere>,
}

impl PurgeReport {
    /// Whether it is refused without [`PurgeOptions::force`]: published versions have it.
    pub fn needs_force(&self) -> bool {
        self.versions.iter().any(|it| it.is_published)
    }

    /// What the store has less of than before.
    pub fn freed_bytes(&self) -> u64 {
        self.deleted_bytes.saturating_sub(self.written_bytes)
    }
}

impl Engine {
    /// Removes content from all versions of a store, and from the caches of this machine; leaves a tombstone for each, by which nobody adds it
    /// again. Chunks that other files need too stay.
    ///
    /// Needs the right to delete. Cut off, the same call ends the work. Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where published
    /// versions have it and it isn't forced; [`Kind::NotFound`](crate::base::Kind::NotFound) where no version has it.
    pub fn purge(&self, address: &Address, options: &PurgeOptions) -> Result<PurgeReport> {
        let (mut store, targets) = self.purge_targets(address, options)?;
        // Who may not delete is told before anything is written.
        if !options.dry_run {
            clock::store_time(store.timeline.bucket())?;
        }
        let root = store.root.clone();
        let content_of = |timeline: &Timeline| self.content_at(&root, timeline);
        let purger = Purger {
            actor: self.actor(),
            observer: self.observer.clone(),
            content_of: &content_of,
            targets: &targets,
            reason: options.reason.text(),
            dry_run: options.dry_run,
        };
        // A dry run shows all that it would be.
        let is_asked = options.force || options.dry_run;
        let may = |fold: &Fold, survey: &Survey| if is_asked { Ok(()) } else { refuse_published(fold, survey) };
        let outcome = purger.purge(&mut store.timeline, may)?;
        if let Some(folder) = Some(PathBuf::from(self.absolute(&root))).filter(|root| !options.dry_run && root.is_dir())
        {
            sweep_staging(&folder, Time::now(), STAGING_AGE)?;
        }
        store.content = content_of(&store.timeline)?;
        self.purge_report(&store, &targets, outcome, options)
    }

    /// The content that is meant, each once.
    fn purge_targets(&self, address: &Address, options: &PurgeOptions) -> Result<(OpenStore, Vec<Purged>)> {
        let mut targets = BTreeSet::new();
        let store = match (options.contents.is_empty(), &options.condition) {
            (_, Some(condition)) => {
                let target = self.open_target(address)?;
                targets = self.fulfilling(&target, address, condition)?;
                target.store
            }
            (true, None) => {
                let target = self.open_target(address)?;
                if address.path.is_none() && options.patterns.is_empty() {
                    return Err(Error::usage("what is to be purged must be named").hint(
                        "write ADDRESS:PATH, a PATH or GLOB behind the address, --where CONDITION, or --content ID",
                    ));
                }
                let manifest = target.store.manifest(target.version()?);
                let scope = Scope::of(&target, &manifest, &options.patterns, None)?;
                for leaf in scope.leaves(&manifest) {
                    if let EntryKind::File { size, content, .. } = leaf?.entry.kind
                        && size > 0
                    {
                        targets.insert(Purged { content, size });
                    }
                }
                scope.check_patterns(&target)?;
                target.store
            }
            (false, None) => {
                let (store, _) = self.open_log(address)?;
                for content in &options.contents {
                    targets.insert(Purged { content: *content, size: size_of(&store, content)? });
                }
                store
            }
        };
        match targets.len() {
            0 => Err(Error::not_found("there is no content at what was named: only links, or empty files and folders")),
            count if count > CONTENTS_A_RECORD => Err(Error::usage(format!(
                "{count} contents are too many for one purge, which takes {CONTENTS_A_RECORD}"
            ))
            .hint("purge them folder by folder")),
            _ => Ok((store, targets.into_iter().collect())),
        }
    }

    fn purge_report(
        &self,
        store: &OpenStore,
        targets: &[Purged],
        outcome: Outcome,
        options: &PurgeOptions,
    ) -> Result<PurgeReport> {
        let survey = &outcome.survey;
        let versions: Vec<Id> = survey.versions.keys().copied().collect();
        let found = match versions.is_empty() {
            true => Default::default(),
            false => self.find_uses(store, &Wanted { versions: &versions, run: None, model: None, most: MOST_USES })?,
        };
        found.damaged.iter().for_each(|fault| self.observer.tell(Event::Warning(fault.in_one_line())));
        let fold = store.timeline.fold();
        let contents: Vec<Id> = targets.iter().map(|it| it.content).collect();
        let of_target = |it: &Purged| PurgedContent {
            content: it.content,
            bytes: it.size,
            paths: survey.found.get(&it.content).map(|found| found.paths.iter().cloned().collect()).unwrap_or_default(),
        };
        Ok(PurgeReport {
            store: store.root.clone(),
            reason: options.reason.text().to_owned(),
            dry_run: options.dry_run,
            record: outcome.record,
            contents: targets.iter().map(of_target).collect(),
            versions: versions_of(fold, survey),
            uses: found.uses.into_iter().map(|used| card(fold, used)).collect(),
            more_uses: found.left_out,
            rewritten_packs: outcome.rewritten_packs,
            written_objects: outcome.written_objects,
            written_bytes: outcome.written_bytes,
            deleted_objects: outcome.deleted_objects,
            deleted_bytes: outcome.deleted_bytes,
            shared_bytes: survey.shared_bytes,
            caches: self.purge_caches(&contents, options.dry_run),
            workspace_files: self.workspace_files(targets, survey)?,
            elsewhere: self.elsewhere(store, targets)?,
        })
    }

    /// Removes content from the caches of the settings, and from the user's own.
    fn purge_caches(&self, contents: &[Id], dry_run: bool) -> Vec<CachePurge> {
        let named = self.settings.caches.iter().map(|place| (self.path(&place.folder), place.read_only));
        let mut folders: Vec<(PathBuf, bool)> = named.collect();
        folders.extend(self.settings.user_cache.clone().map(|folder| (folder, false)));
        folders.dedup();
        let purge = |folder: &Path, read_only: bool| {
            let Some(cache) = Cache::open(folder, read_only, self.observer.clone())? else { return Ok(None) };
            cache.purge(contents, dry_run || !cache.is_writable()).map(|files| Some((files, cache.is_writable())))
        };
        let mut caches = Vec::new();
        for (folder, read_only) in folders {
            match purge(&folder, read_only) {
                Ok(None) => {}
                Ok(Some((files, true))) => caches.push(CachePurge { folder, files, why_not: None }),
                Ok(Some((files, false))) => {
                    let left_files = files.files + files.left_files;
                    if left_files > 0 {
                        let files = PurgedFiles { left_files, ..PurgedFiles::default() };
                        let why_not = Some("it may not be written into".to_owned());
                        caches.push(CachePurge { folder, files, why_not });
                    }
                }
                Err(fault) => {
                    let why_not = Some(fault.in_one_line());
                    caches.push(CachePurge { folder, files: PurgedFiles::default(), why_not });
                }
            }
        }
        caches
    }

    /// Files of the workspace that the command is run in which have such content, at the paths where versions have it.
    fn workspace_files(&self, targets: &[Purged], survey: &Survey) -> Result<Vec<PathBuf>> {
        let Some(control) = Control::find(&self.settings.folder) else { return Ok(Vec::new()) };
        let mut files = BTreeSet::new();
        for found in survey.found.values() {
            for path in &found.paths {
                let path = control.root().join(path);
                let is_file = path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == found.size);
                let Ok(mut file) = files::open_regular(&path) else { continue };
                let is_it = |id: Id| targets.iter().any(|it| it.content == id);
                if is_file && hash_file(&path, &mut file).is_ok_and(is_it) {
                    files.insert(path);
                }
            }
        }
        Ok(files.into_iter().collect())
    }

    /// Other stores of the workspace: the home store is looked into, remotes aren't asked.
    fn elsewhere(&self, store: &OpenStore, targets: &[Purged]) -> Result<Vec<Elsewhere>> {
        let Some(control) = Control::find(&self.settings.folder) else { return Ok(Vec::new()) };
        let config = control.config()?;
        let mut elsewhere = Vec::new();
        let is_home = self.workspace_on(store)?.is_some();
        if !is_home {
            let (home, _) = self.open_store(&control.store_text(&config))?;
            let has = targets.iter().any(|it| tombstones::holds(&home.content, it).unwrap_or(true));
            if has {
                elsewhere.push(Elsewhere { store: home.root, is_certain: true });
            }
        }
        let own = store.root.trim_end_matches('/');
        let remotes = config.remotes.values().map(|remote| remote.url.clone());
        let others = remotes.filter(|url| !url.starts_with(own));
        elsewhere.extend(others.map(|store| Elsewhere { store, is_certain: false }));
        Ok(elsewhere)
    }
}

/// How long some content is.
///
/// Errors: it is neither in a version nor purged.
fn size_of(store: &OpenStore, content: &Id) -> Result<u64> {
    if let Some(tombstone) = store.content.tombstone(content) {
        return Ok(tombstone.size);
    }
    if store.content.find_meta(content, ItemKind::RecipeRoot)?.is_some() {
        return Ok(RecipeRoot::parse(store.content.meta(content, ItemKind::RecipeRoot, None)?.bytes())?.size);
    }
    if let Some(place) = store.content.find_chunk(content)?.filter(|place| u64::from(place.len) <= SMALL_FILE) {
        return Ok(place.len.into());
    }
    // A store that borrows knows it by its versions alone.
    for row in all_versions(store.timeline.fold()).values() {
        for leaf in Manifest::new(&store.content, row.manifest, Some(row.manifest_place)).entries("") {
            match leaf?.entry.kind {
                EntryKind::File { size, content: id, .. } if id == *content => return Ok(size),
                _ => {}
            }
        }
    }
    Err(Error::not_found(format!("no version in {} has content {}", store.root, content.short()))
        .hint("`dagset stat ADDRESS:PATH` shows a file's content id"))
}

fn versions_of(fold: &Fold, survey: &Survey) -> Vec<PurgedVersion> {
    let live = fold.datasets.iter().map(|(name, dataset)| (name, dataset, false));
    let deleted = fold.deleted.iter().map(|((_, name), dataset)| (name, dataset, true));
    let of = |(name, dataset, is_deleted): (&DatasetName, &Dataset, bool)| {
        let had = survey.versions.iter().filter_map(|(id, files)| Some((dataset.versions.get(id)?, *files)));
        let mut had: Vec<_> = had.collect();
        had.sort_by_key(|(state, _)| (std::cmp::Reverse(state.row.time), state.row.version));
        let told = had.into_iter().map(|(state, files)| PurgedVersion {
            dataset: name.clone(),
            version: state.row.version,
            name: dataset.name_of(&state.row.version).cloned(),
            is_published: state.published,
            is_deleted,
            files,
        });
        told.collect::<Vec<_>>()
    };
    live.chain(deleted).flat_map(of).collect()
}

/// A published version is what was promised to stay.
fn refuse_published(fold: &Fold, survey: &Survey) -> Result<()> {
    let published: Vec<_> = versions_of(fold, survey).into_iter().filter(|version| version.is_published).collect();
    if published.is_empty() {
        return Ok(());
    }
    let called = |it: &PurgedVersion| {
        let name = it.name.as_ref().map_or_else(|| it.version.short(), RefName::to_string);
        format!("{}@{name}", it.dataset)
    };
    let shown: Vec<String> = published.iter().take(SHOWN_VERSIONS).map(called).collect();
    let more = if published.len() > SHOWN_VERSIONS { ", …" } else { "" };
    Err(stands(format!("published versions have it: {}{more}", shown.join(", "))))
}
