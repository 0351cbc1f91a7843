//! `warm`: versions into the cache, before anybody asks for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::{Counter, Event, Id, Result};
use crate::cache::{Cache, Chain, Changes, Held, Hold, Pruned};
use crate::tree::share::Share;

use super::caches::{Plan, end_of};
use super::open::Target;
use super::purged::PurgedPath;
use super::scope::Scope;
use super::sequence::Until;
use super::uses::Run;
use super::{Address, Engine};

/// What to warm.
#[derive(Debug, Clone, Default)]
pub struct WarmOptions {
    /// Paths and globs, from the address's path on; none: all.
    pub patterns: Vec<String>,
    /// Of these, one part of many.
    pub share: Option<Share>,
    /// Of these, the first so many.
    pub until: Option<Until>,
    /// Paths that come first, in this order, counted as the patterns are.
    pub order: Vec<String>,
    /// Only say how much is there.
    pub check: bool,
    /// Keep it, for ever or for so long.
    pub pin: Option<Option<Duration>>,
    /// The run that is recorded as using it.
    pub run: Option<Run>,
}

/// What was warmed, of one address.
#[derive(Debug, Clone)]
pub struct WarmReport {
    pub dataset: String,
    pub version: Id,
    pub cache: PathBuf,
    pub files: u64,
    pub bytes: u64,
    /// What was there before.
    pub cached_files: u64,
    pub cached_bytes: u64,
    /// Cached files that looked changed: what of them was right, and what is put aside and came again.
    pub changes: Changes,
    /// What went from the cache to make room.
    pub removed: Pruned,
    /// Whether all is there now.
    pub is_complete: bool,
    /// The name of the pin that was put.
    pub pin: Option<String>,
    /// Paths of the order at which nothing stands.
    pub unknown: Vec<String>,
    /// What of it was purged, and isn't in the cache.
    pub purged: Vec<PurgedPath>,
}

/// What is warmed of one address.
struct Choice {
    target: Target,
    scope: Scope,
    plan: Plan,
    unknown: Vec<String>,
    purged: Vec<PurgedPath>,
    changes: Changes,
}

impl Engine {
    /// Fills the cache with what addresses mean, one after the other; with `check`, says what of it is there. What doesn't fit together is
    /// refused before the first byte, and nothing of it goes before all is there. When it
    /// is asked to stop, files whose bytes are all here are finished.
    pub fn warm(&self, addresses: &[Address], options: &WarmOptions) -> Result<Vec<WarmReport>> {
        let _heeding = self.observer.heed_stop();
        let chain = self.chain()?;
        let cache = chain.filled();
        self.observer.tell(Event::Phase("looking"));
        let choices =
            addresses.iter().map(|address| self.choose(cache, address, options)).collect::<Result<Vec<_>>>()?;
        let mut all = Plan::default();
        choices.iter().for_each(|choice| all.join(&choice.plan));
        let mut reports: Vec<WarmReport> = Vec::new();
        for choice in &choices {
            reports.push(choice.report(cache.folder())?);
        }
        let Some(first) = choices.first().filter(|_| !options.check) else { return Ok(reports) };
        self.check_fit(cache, &all, 0)?;
        let mut removed = cache.removed_for_room();
        // What is all there takes no room, not even for a hold: the disk may be full.
        let is_held = !all.is_complete() || options.pin.is_some();
        let hold = is_held.then(|| self.hold_all(cache, &first.target, &all)).transpose()?;
        self.expect(all.files, all.bytes);
        // Before the rate is taken, so that it and the time left are those of what is fetched.
        self.observer.add(Counter::Files, all.cached_files);
        self.observer.add(Counter::Bytes, all.cached_bytes);
        self.observer.tell(Event::Phase("warming"));
        let mut met = cache.changes();
        let filled = choices.iter().zip(&mut reports).try_for_each(|(choice, report)| {
            let version = choice.target.version()?.row.version;
            let done = self.or_let_go(&choice.target, &version, self.fill_choice(&chain, choice, options.pin));
            report.removed = self.tell_removed(cache, removed);
            removed = cache.removed_for_room();
            report.pin = done?;
            report.is_complete = true;
            report.changes = report.changes.and(chain.filled().changes().since(met));
            met = chain.filled().changes();
            self.note_use(&choice.target, options.run.as_ref());
            Ok(())
        });
        hold.map_or(Ok(()), |hold| cache.release(&hold))?;
        filled.map(|()| reports)
    }

    /// Keeps all of it while it comes.
    fn hold_all(&self, cache: &Cache, first: &Target, all: &Plan) -> Result<String> {
        let held = Held::List(cache.put_list(&all.list())?);
        cache.hold(&self.own_hold(first, all, held)?)
    }

    fn choose(&self, cache: &Cache, address: &Address, options: &WarmOptions) -> Result<Choice> {
        let met = cache.changes();
        let target = self.open_target(address)?;
        let manifest = target.store.manifest(target.readable()?);
        let mut scope = Scope::of(&target, &manifest, &options.patterns, options.share.as_ref())?;
        let unknown = match options.order.is_empty() {
            true => Vec::new(),
            false => scope.start_with(&manifest, &options.order)?,
        };
        if let Some(until) = options.until {
            scope.end_after(&manifest, until)?;
        }
        let plan = self.plan(cache, &scope, &manifest)?;
        scope.check_patterns(&target)?;
        let purged = scope.purged(&manifest)?;
        Ok(Choice { target, scope, plan, unknown, purged, changes: cache.changes().since(met) })
    }

    /// Gives the name of the pin that was put.
    fn fill_choice(&self, chain: &Chain, choice: &Choice, pin: Option<Option<Duration>>) -> Result<Option<String>> {
        let Choice { target, scope, plan, .. } = choice;
        let manifest = target.store.manifest(target.version()?);
        self.fill(target, chain, scope, &manifest, plan)?;
        let Some(lasts) = pin else { return Ok(None) };
        let hold = self.hold_of(target, plan, Held::List(chain.filled().put_list(&plan.list())?))?;
        chain.filled().hold(&Hold { is_pin: true, ends: end_of(lasts), ..hold }).map(Some)
    }
}

impl Choice {
    fn report(&self, cache: &Path) -> Result<WarmReport> {
        let Choice { target, plan, unknown, purged, .. } = self;
        Ok(WarmReport {
            dataset: target.dataset.to_string(),
            version: target.version()?.row.version,
            cache: cache.to_owned(),
            files: plan.files,
            bytes: plan.bytes,
            cached_files: plan.cached_files,
            cached_bytes: plan.cached_bytes,
            changes: self.changes,
            removed: Pruned::default(),
            is_complete: plan.is_complete(),
            pin: None,
            unknown: unknown.clone(),
            purged: purged.clone(),
        })
    }
}
