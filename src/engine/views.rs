//! `get --link view`: a folder that is one symlink to a tree which all jobs of a version share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::base::host::Process;
use crate::base::{Error, Event, Id, Result, files};
use crate::cache::{Cache, Chain, Held, Hold, Key, View, ViewCard};
use crate::flow::by_cache::{ByCache, LinkCounts};
use crate::flow::fill::Filler;
use crate::flow::materialize::{Existing, Source, write_entries};
use crate::tree::manifest::Manifest;

use super::Engine;
use super::caches::{HoldBy, Plan, dataset_id};
use super::get::{GetOptions, GetReport};
use super::open::Target;
use super::scope::Scope;

/// How often it is looked whether another process has made the tree.
const WAIT: Duration = Duration::from_millis(20);
/// How often a view is made that is gone at once: where locks are lost, several make it.
const TRIES: usize = 20;

impl Engine {
    pub(super) fn get_view(
        &self,
        target: &Target,
        manifest: &Manifest<'_>,
        scope: &Scope,
        folder: &Path,
        options: &GetOptions,
    ) -> Result<GetReport> {
        let chain = self.chain()?;
        let cache = chain.filled();
        let state = target.version()?;
        let key = scope.id(&state.row.manifest).to_string();
        check_free(cache, folder, &key, options.overwrite)?;
        let removed = cache.removed_for_room();
        let own = Process::own();
        let (view, lease) = self.held_view(&chain, target, manifest, scope, |plan, held| {
            let lease = self.lease(target, plan, held, folder, options.hold.as_ref())?;
            Ok(Hold { maker: Some((own.number, own.started)), ..lease })
        })?;
        let tree = cache.view_folder(&view.key);
        // Behind the lease: what is killed leaves no link that nothing holds.
        if !cache.is_link_to_view(folder, &key)
            && let Err(fault) = put_link(folder, &tree)
        {
            // It would end by itself.
            cache.release(&lease).ok();
            return Err(fault);
        }
        Ok(GetReport {
            dataset: target.dataset.to_string(),
            version: state.row.version,
            folder: folder.to_owned(),
            files: view.card.files,
            bytes: view.card.bytes,
            deleted: Vec::new(),
            resumed: false,
            links: None,
            removed: cache.removed_for_room().since(removed),
            view: Some(tree),
            lease: Some(lease),
            purged: scope.purged(manifest)?,
        })
    }

    /// The view of a choice, made if need be, and held by what `lease` gives for it; the name of that too.
    pub(super) fn held_view(
        &self,
        chain: &Chain,
        target: &Target,
        manifest: &Manifest<'_>,
        scope: &Scope,
        lease: impl Fn(&Plan, Held) -> Result<Hold>,
    ) -> Result<(View, String)> {
        let _heeding = self.observer.heed_stop();
        let removed = chain.filled().removed_for_room();
        let held = self.make_and_hold_view(chain, target, manifest, scope, lease);
        // Holding it may need room too.
        self.tell_removed(chain.filled(), removed);
        held
    }

    fn make_and_hold_view(
        &self,
        chain: &Chain,
        target: &Target,
        manifest: &Manifest<'_>,
        scope: &Scope,
        lease: impl Fn(&Plan, Held) -> Result<Hold>,
    ) -> Result<(View, String)> {
        let cache = chain.filled();
        let key = scope.id(&target.version()?.row.manifest);
        let mut tries = 0;
        loop {
            let there = cache.unchanged_view(&key.to_string())?;
            let made = || self.make_view(chain, target, manifest, scope, &key);
            let Some(view) = there.map_or_else(made, |view| Ok(Some(view)))? else {
                tries += 1;
                if tries < TRIES {
                    continue;
                }
                return Err(Error::conflict("the view was taken down while it was made").hint("run the command again"));
            };
            let plan = Plan { files: view.card.files, bytes: view.card.bytes, ..Plan::default() };
            let name = cache.hold(&lease(&plan, Held::View(view.card.tree.clone()))?)?;
            // It may have been taken down, or refused, just before it was held.
            if cache.view(&view.key).is_some_and(|now| now.card == view.card) {
                cache.use_view(&view);
                return Ok((view, name));
            }
            cache.release(&name)?;
        }
    }

    /// Makes the tree, or waits for whoever is making it; `None` where it was replaced or taken down at once.
    fn make_view(
        &self,
        chain: &Chain,
        target: &Target,
        manifest: &Manifest<'_>,
        scope: &Scope,
        key: &Id,
    ) -> Result<Option<View>> {
        let cache = chain.filled();
        let name = key.to_string();
        let _alone = loop {
            match cache.claim(Key { content: *key, executable: false }) {
                Some(claim) => break claim,
                None => std::thread::sleep(WAIT),
            }
        };
        if let Some(view) = cache.view(&name) {
            return Ok(Some(view));
        }
        self.observer.tell(Event::Phase("looking"));
        let plan = self.plan(cache, scope, manifest)?;
        scope.check_patterns(target)?;
        self.check_fit(cache, &plan, 0)?;
        // Links of the view hold what is there; until they are made, this does.
        let list = cache.put_list(&plan.list())?;
        let held = cache.hold(&self.own_hold(target, &plan, Held::List(list.clone()))?)?;
        self.expect(plan.files, plan.bytes);
        self.observer.tell(Event::Phase("linking"));
        let new = cache.begin_view(&name)?;
        let counts = Mutex::new(LinkCounts::default());
        let before = Engine::before(target, cache)?;
        let filler = Filler { content: &target.store.content, chain, observer: &self.observer, before: &before };
        let source = Source::Cache(ByCache::new(filler, crate::cache::Link::InView, &counts));
        let folder = new.folder().to_owned();
        let entries = scope.entries(manifest);
        let written =
            write_entries(source, &folder, entries, Existing::Resume, false, self.settings.jobs, &self.observer);
        cache.give_back();
        let published = written.and_then(|_| {
            let card = ViewCard {
                address: target.shown.clone(),
                version: target.version()?.row.version.to_string(),
                list,
                files: plan.files,
                bytes: plan.bytes,
                tree: new.tree.clone(),
            };
            new.publish(&card)
        });
        cache.release(&held)?;
        published?;
        cache.note_recent(&dataset_id(target), target.version()?.row.version)?;
        Ok(cache.view(&name))
    }

    /// A lease for who reads through `folder`.
    pub(super) fn lease(
        &self,
        target: &Target,
        plan: &Plan,
        held: Held,
        folder: &Path,
        by: Option<&HoldBy>,
    ) -> Result<Hold> {
        let hold = self.hold_of(target, plan, held)?;
        Ok(match by {
            None => Hold { link: Some(folder.to_owned()), ..hold },
            Some(HoldBy::Process(number)) => {
                let process = Process::with(*number).map(|process| (process.number, process.started));
                Hold { process, link: Some(folder.to_owned()), ..hold }
            }
            Some(HoldBy::Job(job)) => Hold { job: Some(job.clone()), ..hold },
        })
    }
}

/// Makes `folder` a link to a tree.
fn put_link(folder: &Path, tree: &Path) -> Result<()> {
    let points_to = tree.to_str().ok_or_else(|| Error::usage(format!("{} is not text", tree.display())))?;
    if let Some(parent) = folder.parent() {
        files::create_folders(parent)?;
    }
    if folder.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        fs::remove_dir(folder).map_err(|fault| Error::io("replace", folder, fault))?;
    }
    files::write_symlink(folder, points_to)
}

/// Refuses a folder where something of the user's stands. A link to this very view is what a `get` left that was cut off, or done; one to
/// another is replaced where that was asked for.
fn check_free(cache: &Cache, folder: &Path, key: &str, overwrite: bool) -> Result<()> {
    let Ok(meta) = folder.symlink_metadata() else { return Ok(()) };
    if cache.is_link_to_view(folder, key) {
        return Ok(());
    }
    let is_view = || fs::read_link(folder).is_ok_and(|to: PathBuf| to.starts_with(cache.view_folder("")));
    let is_empty = || fs::read_dir(folder).is_ok_and(|mut listing| listing.next().is_none());
    if meta.is_symlink() && is_view() && overwrite || meta.is_dir() && is_empty() {
        return Ok(());
    }
    let hint = match meta.is_symlink() && is_view() {
        true => "give --overwrite to let it lead to this version, or choose another name",
        false => "choose a name where nothing stands",
    };
    Err(Error::conflict(format!("{} is there already", folder.display())).hint(hint))
}
