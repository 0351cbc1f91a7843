//! `warm`: versions into the cache, before anybody asks for them.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::{Event, Id, Result};
use crate::cache::{Held, Hold};
use crate::tree::share::Share;

use super::caches::end_of;
use super::scope::Scope;
use super::{Address, Engine};

/// What to warm.
#[derive(Debug, Clone, Default)]
pub struct WarmOptions {
    /// Paths and globs, from the address's path on; none: all.
    pub patterns: Vec<String>,
    /// Of these, one part of many.
    pub share: Option<Share>,
    /// Only say how much is there.
    pub check: bool,
    /// Keep it, for ever or for so long.
    pub pin: Option<Option<Duration>>,
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
    /// Whether all is there now.
    pub is_complete: bool,
    /// The name of the pin that was put.
    pub pin: Option<String>,
}

impl Engine {
    /// Fills the cache with what an address means; with `check`, says what of it is there.
    pub fn warm(&self, address: &Address, options: &WarmOptions) -> Result<WarmReport> {
        let target = self.open_target(address)?;
        let state = target.version()?;
        let manifest = target.store.manifest(state);
        let scope = Scope::of(&target, &manifest, &options.patterns, options.share.as_ref())?;
        let chain = self.chain()?;
        let cache = chain.filled();
        self.observer.tell(Event::Phase("looking"));
        let plan = self.plan(cache, &scope, &manifest)?;
        scope.check_patterns(&target)?;
        let report = WarmReport {
            dataset: target.dataset.to_string(),
            version: state.row.version,
            cache: cache.folder().to_owned(),
            files: plan.files,
            bytes: plan.bytes,
            cached_files: plan.cached_files,
            cached_bytes: plan.cached_bytes,
            is_complete: plan.is_complete(),
            pin: None,
        };
        if options.check {
            return Ok(report);
        }
        self.check_fit(cache, &plan)?;
        self.expect(plan.files, plan.bytes);
        let list = self.fill(&target, &chain, &scope, &manifest, &plan)?;
        let pin = match options.pin {
            None => None,
            Some(lasts) => {
                let hold = self.hold_of(&target, &plan, Held::List(list))?;
                Some(cache.hold(&Hold { is_pin: true, ends: end_of(lasts), ..hold })?)
            }
        };
        Ok(WarmReport { is_complete: true, pin, ..report })
    }
}
