//! `use` and `uses`: which runs read a version, which models came of it, and the way back.

use std::collections::HashSet;

use crate::base::{DatasetName, Error, Event, Id, Kind, RefName, Result, Time};
use crate::format::attrs::Attrs;
use crate::format::usage::Use;
use crate::history::fold::Fold;
use crate::store::address::Location;
use crate::store::objects::Created;
use crate::store::uses::{self, Wanted};

use super::metadata::refuse_reserved;
use super::open::{OpenStore, Target};
use super::read::check_path;
use super::{Address, Engine};

/// Uses that a push sends.
const MOST_CARRIED: usize = 1000;

/// What reads a version: a job, an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What it is called by whoever runs it.
    pub id: String,
    /// Who runs it, where the environment told: `slurm`, `gitlab`. `None`: the user named it.
    pub system: Option<String>,
    /// Where it can be looked at.
    pub url: Option<String>,
}

impl Run {
    /// A run that the user names.
    pub fn named(id: &str) -> Run {
        Run { id: id.to_owned(), system: None, url: None }
    }
}

/// What is recorded of a run beside what it read.
#[derive(Debug, Clone, Default)]
pub struct UseOptions {
    /// The model that came of it.
    pub model: Option<String>,
    pub meta: Attrs,
}

/// A use and what the store knows of its version.
#[derive(Debug, Clone)]
pub struct UseCard {
    pub dataset: String,
    pub version: Id,
    pub name: Option<RefName>,
    pub path: Option<String>,
    pub run: Run,
    pub model: Option<String>,
    pub actor: String,
    pub time: Time,
    pub meta: Attrs,
    pub provenance: Attrs,
}

/// A use that was recorded.
#[derive(Debug, Clone)]
pub struct UseReport {
    pub card: UseCard,
    /// Whether it wasn't there already.
    pub is_new: bool,
}

/// Which uses are asked for.
#[derive(Debug, Clone, Default)]
pub struct UsesOptions {
    pub run: Option<String>,
    pub model: Option<String>,
    /// Of all versions of the dataset; with a run or a model and no REF it is so anyway.
    pub all: bool,
    /// At most so many, the newest.
    pub most: usize,
}

/// The uses that were found, newest first.
#[derive(Debug)]
pub struct UsesReport {
    pub uses: Vec<UseCard>,
    /// How many older ones there are.
    pub left_out: usize,
    /// What is wrong with those that are damaged, and so aren't among `uses`.
    pub damaged: Vec<Error>,
}

impl Engine {
    /// Records that a run used what the address means. One object is created; the same again changes nothing.
    pub fn record_use(&self, address: &Address, run: &Run, options: &UseOptions) -> Result<UseReport> {
        refuse_reserved(&options.meta)?;
        let target = self.open_target(address)?;
        check_path(&target)?;
        let used = self.use_of(&target, run, options)?;
        let created = uses::record(target.store.timeline.bucket(), &used)
            .map_err(|fault| fault.within(format!("cannot record what run {} used", run.id)))?;
        Ok(UseReport { card: card(target.store.timeline.fold(), used), is_new: created == Created::New })
    }

    /// As [`Engine::record_use`] for a command whose work is another, and done: that it fails is told, and no more. A store that may only
    /// be read is no fault of who didn't name the run.
    pub(super) fn note_use(&self, target: &Target, run: Option<&Run>) {
        let Some(run) = run else { return };
        let recorded = self
            .use_of(target, run, &UseOptions::default())
            .and_then(|used| uses::record(target.store.timeline.bucket(), &used));
        self.observer.tell(match recorded {
            Ok(_) => Event::Note(format!("recorded that run {} uses {}", run.id, target.dataset)),
            Err(fault) => {
                let told = format!("what run {} uses wasn't recorded: {}", run.id, fault.in_one_line());
                let by_itself = run.system.is_some() && fault.kind() == Kind::Unreachable;
                if by_itself { Event::Note(told) } else { Event::Warning(told) }
            }
        });
    }

    fn use_of(&self, target: &Target, run: &Run, options: &UseOptions) -> Result<Use> {
        let version = target.version()?.row.version;
        Ok(Use {
            version,
            dataset: target.home_of(&version)?.0.clone(),
            path: Some(target.folder().to_owned()).filter(|path| !path.is_empty()),
            run: run.id.clone(),
            model: options.model.clone(),
            system: run.system.clone(),
            url: run.url.clone(),
            actor: self.settings.author.clone(),
            time: Time::now(),
            meta: options.meta.clone(),
            provenance: self.provenance(),
            more: Attrs::default(),
        })
    }

    /// The uses of the version that the address means; with a run or a model, those by them in the whole dataset where it names no version,
    /// and in the whole store where it names no dataset.
    pub fn uses(&self, address: &Address, options: &UsesOptions) -> Result<UsesReport> {
        let across = options.all || options.run.is_some() || options.model.is_some();
        if let Some(store) = self.whole_store(address, across)? {
            let datasets = store.timeline.fold().datasets.values();
            let versions: Vec<Id> = datasets.flat_map(|dataset| dataset.versions.keys().copied()).collect();
            return self.uses_of(&store, &versions, options);
        }
        let target = self.open_target(address)?;
        let versions = match across && (target.reference.is_none() || options.all) {
            true => target.dataset()?.versions.keys().copied().collect(),
            false => vec![target.version()?.row.version],
        };
        self.uses_of(&target.store, &versions, options)
    }

    fn uses_of(&self, store: &OpenStore, versions: &[Id], options: &UsesOptions) -> Result<UsesReport> {
        if options.most == 0 {
            return Err(Error::usage("at least one use must be asked for"));
        }
        let (run, model) = (options.run.as_deref(), options.model.as_deref());
        let found = self.find_uses(store, &Wanted { versions, run, model, most: options.most })?;
        let fold = store.timeline.fold();
        Ok(UsesReport {
            uses: found.uses.into_iter().map(|used| card(fold, used)).collect(),
            left_out: found.left_out,
            damaged: found.damaged,
        })
    }

    /// Brings uses of a dataset's versions from one store to another, as far as it may: what else is done is done. Gives how many.
    pub(super) fn carry_uses(&self, from: &OpenStore, to: &OpenStore, dataset: &DatasetName) -> u64 {
        let Some(known) = to.timeline.fold().datasets.get(dataset) else { return 0 };
        let versions: HashSet<Id> = known.versions.keys().copied().collect();
        match uses::carry(from.timeline.bucket(), to.timeline.bucket(), &versions, MOST_CARRIED) {
            Ok((created, left)) => {
                if left > 0 {
                    self.observer.tell(Event::Warning(format!("{left} older uses are left; the next push sends more")));
                }
                created as u64
            }
            Err(fault) => {
                let told = format!("what is recorded of uses wasn't sent: {}", fault.in_one_line());
                self.observer.tell(Event::Warning(told));
                0
            }
        }
    }

    /// The store, if the address names that and nothing in it, and all of it may be meant.
    fn whole_store(&self, address: &Address, across: bool) -> Result<Option<OpenStore>> {
        let Location::Store { text } = &address.location else { return Ok(None) };
        if !across || address.reference.is_some() {
            return Ok(None);
        }
        let (store, rest) = self.open_store(text)?;
        Ok(rest.is_none().then_some(store))
    }
}

/// A use, under the name that its dataset has now.
pub(super) fn card(fold: &Fold, used: Use) -> UseCard {
    let has_it = |name: &&DatasetName| {
        fold.datasets.get(*name).is_some_and(|dataset| dataset.versions.contains_key(&used.version))
    };
    let renamed = || fold.new_name(&used.dataset).map(|(to, _)| to).filter(has_it);
    let dataset = Some(&used.dataset).filter(has_it).or_else(renamed).unwrap_or(&used.dataset);
    UseCard {
        name: fold.datasets.get(dataset).and_then(|known| known.name_of(&used.version)).cloned(),
        dataset: dataset.to_string(),
        version: used.version,
        path: used.path,
        run: Run { id: used.run, system: used.system, url: used.url },
        model: used.model,
        actor: used.actor,
        time: used.time,
        meta: used.meta,
        provenance: used.provenance,
    }
}
