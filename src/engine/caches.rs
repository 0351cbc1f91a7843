//! The caches that an operation goes through, and what it holds in them.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::host::{Host, Process};
use crate::base::{Counter, Error, Event, Id, Kind, Result, Time};
use crate::cache::{Cache, Chain, Held, Hold, Key, LEASE_MS, list_entry};
use crate::flow::fill::Filler;
use crate::flow::runs::{NEAR, each_run};
use crate::format::manifest::EntryKind;
use crate::tree::manifest::Manifest;

use super::Engine;
use super::open::Target;
use super::scope::Scope;

/// After a warm-up of so many bytes the disk is waited for.
const SETTLED_FROM: u64 = 64 << 20;
/// Versions that are looked into for the predecessors of large files.
const MOST_BEFORE: usize = 4;

/// A cache folder as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlace {
    pub folder: PathBuf,
    pub read_only: bool,
}

impl fmt::Display for CachePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.folder.display(), if self.read_only { ":ro" } else { "" })
    }
}

/// Who reads what is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldBy {
    Process(i32),
    Job(String),
}

impl HoldBy {
    /// Parses `PID`, `pid:PID` or `job:NAME`.
    pub fn parse(text: &str) -> Result<HoldBy> {
        let process = |number: &str| match number.parse().ok().filter(|number| *number > 0) {
            Some(number) if Process::with(number).is_some() => Ok(HoldBy::Process(number)),
            _ => Err(Error::usage(format!("there is no process {number} on this machine"))
                .hint(format!("for a job of a scheduler write job:{number}"))),
        };
        match text.split_once(':') {
            Some(("pid", number)) => process(number),
            Some(("job", name)) if !name.is_empty() => Ok(HoldBy::Job(name.to_owned())),
            None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => process(text),
            _ => Err(Error::usage(format!("neither a process nor a job: {text:?}"))
                .hint("write the number of a process, or job:NAME")),
        }
    }
}

/// What a choice of files asks of a cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub files: u64,
    pub bytes: u64,
    /// Of these, what the cache has.
    pub cached_files: u64,
    pub cached_bytes: u64,
    /// Different contents, sorted.
    pub(super) contents: Vec<Planned>,
    /// Of different contents, as the disk counts.
    pub(super) needed_bytes: u64,
    pub(super) missing_bytes: u64,
}

/// A content that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Planned {
    /// As lists have it.
    content: u128,
    /// Of the disk.
    bytes: u64,
    is_cached: bool,
}

impl Plan {
    /// Whether the cache has all.
    pub fn is_complete(&self) -> bool {
        self.cached_files == self.files
    }

    /// What is wanted, as a list has it.
    pub(super) fn list(&self) -> Vec<u128> {
        self.contents.iter().map(|planned| planned.content).collect()
    }

    /// Whether the cache had this file.
    fn was_cached(&self, key: Key) -> bool {
        let found = self.contents.binary_search_by_key(&list_entry(key), |planned| planned.content);
        found.is_ok_and(|at| self.contents[at].is_cached)
    }

    /// Takes up what another choice asks of the same cache; what both want counts once in what is needed and missing.
    pub(super) fn join(&mut self, other: &Plan) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.cached_files += other.cached_files;
        self.cached_bytes += other.cached_bytes;
        self.want(other.contents.iter().copied());
    }

    fn want(&mut self, more: impl IntoIterator<Item = Planned>) {
        self.contents.extend(more);
        self.contents.sort_unstable();
        self.contents.dedup_by_key(|planned| planned.content);
        self.needed_bytes = self.contents.iter().map(|planned| planned.bytes).sum();
        self.missing_bytes =
            self.contents.iter().filter(|planned| !planned.is_cached).map(|planned| planned.bytes).sum();
    }
}

impl Engine {
    /// The caches of the settings; the user's own where none of them can be filled.
    pub(super) fn chain(&self) -> Result<Chain> {
        let mut caches = self.named_caches()?;
        if !caches.iter().any(Cache::is_writable) {
            let own = self.settings.user_cache.as_deref().ok_or_else(|| {
                Error::usage("there is no cache to fill, and no home folder to make one in").hint("name one by --cache")
            })?;
            caches.push(Cache::open_or_make(own, self.observer.clone())?);
        }
        let chain = Chain::new(caches)?;
        chain.filled().tidy();
        Ok(chain)
    }

    /// The caches of the settings, for who changes the one that is filled: where caches are named and none may be written into, the user's
    /// own isn't taken for them.
    pub(super) fn chain_to_change(&self) -> Result<Chain> {
        if self.settings.caches.is_empty() {
            return self.chain();
        }
        let caches = self.named_caches()?;
        if caches.iter().any(Cache::is_writable) {
            return Chain::new(caches);
        }
        let named: Vec<String> = self.settings.caches.iter().map(CachePlace::to_string).collect();
        let own = self.settings.user_cache.as_deref().unwrap_or(Path::new("DIR")).display().to_string();
        let message = format!("{} may not be written into, so nothing in it can be changed", named.join(","));
        Err(Error::usage(message).hint(format!("leave `:ro` out where you may write; --cache {own} names your own")))
    }

    /// A cache that can't be used is left out, and said; one that is damaged, or of a newer dagset, is an error: whoever put it there counts
    /// on it.
    fn named_caches(&self) -> Result<Vec<Cache>> {
        let mut caches = Vec::new();
        for place in &self.settings.caches {
            let folder = self.path(&place.folder);
            let observer = self.observer.clone();
            let opened = match place.read_only {
                true => Cache::open(&folder, true, observer),
                false => Cache::open_or_make(&folder, observer).map(Some),
            };
            match opened {
                Ok(Some(cache)) => caches.push(cache),
                Ok(None) => self.observer.tell(Event::Warning(format!("there is no cache {}", folder.display()))),
                Err(fault) if matches!(fault.kind(), Kind::Damaged | Kind::Usage) => return Err(fault),
                Err(fault) => {
                    self.observer.tell(Event::Warning(format!("a cache is left out: {}", fault.in_one_line())))
                }
            }
        }
        Ok(caches)
    }

    /// Goes through the chosen files and looks which of them the cache has.
    pub(super) fn plan(&self, cache: &Cache, scope: &Scope, manifest: &Manifest<'_>) -> Result<Plan> {
        let total = Mutex::new(Plan::default());
        let contents = each_run(scope.entries(manifest), NEAR, self.settings.jobs, &self.observer, |run, _, out| {
            let mut part = Plan::default();
            for placed in &run {
                let EntryKind::File { size, content, executable } = placed.leaf.entry.kind else { continue };
                let key = Key { content, executable };
                let is_cached = cache.has(key, size);
                part.files += 1;
                part.bytes += size;
                part.cached_files += u64::from(is_cached);
                part.cached_bytes += if is_cached { size } else { 0 };
                out.push(Planned { content: list_entry(key), bytes: cache.on_disk(size), is_cached });
            }
            total.lock().unwrap_or_else(PoisonError::into_inner).join(&part);
            Ok(())
        })?;
        let mut plan = total.into_inner().unwrap_or_default();
        plan.want(contents);
        Ok(plan)
    }

    /// A hold on what was chosen, for whoever reads it.
    pub(super) fn hold_of(&self, target: &Target, plan: &Plan, held: Held) -> Result<Hold> {
        let here = Host::here();
        let now = Time::now().0;
        Ok(Hold {
            held,
            address: target.shown.clone(),
            version: target.version()?.row.version.to_string(),
            files: plan.files,
            bytes: plan.bytes,
            is_pin: false,
            host: here.name,
            machine: here.machine,
            boot: here.boot,
            processes: here.processes,
            mounts: here.mounts,
            process: None,
            maker: None,
            job: None,
            link: None,
            made: now,
            ends: Some(now + LEASE_MS),
        })
    }

    /// A hold for as long as this process lives.
    pub(super) fn own_hold(&self, target: &Target, plan: &Plan, held: Held) -> Result<Hold> {
        let own = Process::own();
        Ok(Hold { process: Some((own.number, own.started)), ..self.hold_of(target, plan, held)? })
    }

    /// Fills the cache with what was chosen, held against removal by this process meanwhile.
    pub(super) fn fill(
        &self,
        target: &Target,
        chain: &Chain,
        scope: &Scope,
        manifest: &Manifest<'_>,
        plan: &Plan,
    ) -> Result<()> {
        let cache = chain.filled();
        if plan.is_complete() {
            return Ok(());
        }
        let list = cache.put_list(&plan.list())?;
        let name = cache.hold(&self.own_hold(target, plan, Held::List(list))?)?;
        self.observer.tell(Event::Phase("warming"));
        let before = Engine::before(target, cache)?;
        let filler = Filler { content: &target.store.content, chain, observer: &self.observer, before: &before };
        let filled = filler.fill(scope.entries(manifest), self.settings.jobs, |key| plan.was_cached(key));
        cache.give_back();
        cache.release(&name)?;
        filled?;
        if plan.missing_bytes >= SETTLED_FROM {
            self.observer.tell(Event::Phase("settling"));
            cache.settle()?;
        }
        cache.note_recent(&dataset_id(target), target.version()?.row.version)
    }

    /// Versions of which files may be cached, likeliest first: those cached last, then the parents.
    pub(super) fn before<'t>(target: &'t Target, cache: &Cache) -> Result<Vec<Manifest<'t>>> {
        let row = &target.version()?.row;
        let dataset = target.dataset()?;
        let recent = cache.recent(&dataset_id(target));
        let mut seen = HashSet::from([row.version]);
        let candidates = recent.iter().chain(&row.parents).copied().filter(|candidate| seen.insert(*candidate));
        let states = candidates.filter_map(|candidate| dataset.versions.get(&candidate));
        Ok(states
            .take(MOST_BEFORE)
            .map(|state| Manifest::new(&target.store.content, state.row.manifest, Some(state.row.manifest_place)))
            .collect())
    }

    /// What is going to be dealt with, for the progress.
    pub(super) fn expect(&self, files: u64, bytes: u64) {
        self.observer.add(Counter::FilesTotal, files);
        self.observer.add(Counter::BytesTotal, bytes);
    }
}

/// What tells a dataset from all others, in any store.
pub(super) fn dataset_id(target: &Target) -> Id {
    let store = target.store.file.store.map(|byte| format!("{byte:02x}")).concat();
    Id::of(format!("{store}/{}", target.dataset).as_bytes())
}

/// A pin's end from how long it lasts.
pub(super) fn end_of(lasts: Option<Duration>) -> Option<i64> {
    lasts.map(|lasts| Time::now().0.saturating_add(i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX)))
}
