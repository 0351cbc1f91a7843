//! `push` and `fetch`: versions and refs between the workspace's home store and a remote.
//!
//! What the branches of a remote are is kept in the home store as branches `REMOTE/BRANCH`. A home store that is embedded in its workspace
//! fetches records and manifests only, and borrows content from the remotes; one that others may use gets everything.

use std::collections::{BTreeMap, HashSet};

use crate::base::{BranchName, Counter, DatasetName, Error, Event, Id, Kind, Observer, RefName, Result};
use crate::flow::carry::{Arrived, Carrier, Extent};
use crate::flow::merge_indexes::merge_indexes;
use crate::flow::ref_moves::{Carried, RefMove, Verdict, following, judge, only_own, operation};
use crate::flow::said::{Differing, Said};
use crate::format::operation::Operation;
use crate::history::dag::ancestry;
use crate::history::fold::{Dataset, Fold};
use crate::history::timeline::{Actor, Timeline};
use crate::store::address::Location;
use crate::store::content::Content;
use crate::tree::manifest::Manifest;
use crate::workspace::control::{Control, EMBEDDED};
use crate::workspace::seen_tags::SeenTags;

use super::let_go::let_go_by;
use super::open::{OpenStore, Target};
use super::publish::{keep_stored, register_now};
use super::{Address, Engine};

mod missing;

pub(super) use missing::{Missing, Stored, adding};

/// A record adds no more versions than this.
pub(super) const VERSIONS_A_RECORD: usize = 512;

/// What to push, and where.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// A remote's name, or a store's path or URL; the only remote or `origin` if not given.
    pub remote: Option<String>,
    /// Branches, tags and version names; none: the current branch with the names and tags on it.
    pub refs: Vec<String>,
    /// All tags and version names too.
    pub tags: bool,
    pub dry_run: bool,
}

/// A ref as a push or fetch left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedRef {
    /// `branch`, `name` or `tag`.
    pub kind: &'static str,
    /// As it is called on the side that was written.
    pub name: String,
    pub old: Option<Id>,
    pub new: Id,
    /// `new`, `moved`, `same`, `protected` (a tag that stays where it is), `behind` or `refused`.
    pub outcome: &'static str,
    /// Why it was refused.
    pub why: Option<String>,
    /// The command that helps then.
    pub hint: Option<String>,
}

/// What a push did, or would do.
#[derive(Debug, Clone)]
pub struct PushReport {
    /// As it is configured; `None` for a store that was named by its URL.
    pub remote: Option<RefName>,
    pub url: String,
    pub dataset: DatasetName,
    pub refs: Vec<MovedRef>,
    /// Versions that the remote didn't have.
    pub versions: u64,
    pub said: SaidReport,
    /// Uses of its versions that the remote didn't have.
    pub uses: u64,
    /// Chunks that the remote didn't have, and their raw bytes.
    pub new_chunks: u64,
    pub new_bytes: u64,
    /// All bytes written to the remote.
    pub stored_bytes: u64,
    pub dry_run: bool,
}

/// What a fetch brought.
#[derive(Debug, Clone)]
pub struct FetchReport {
    pub remote: RefName,
    pub url: String,
    pub dataset: DatasetName,
    pub refs: Vec<MovedRef>,
    /// Versions that were not here.
    pub versions: u64,
    pub said: SaidReport,
}

/// What a push or fetch brought beside versions and refs.
#[derive(Debug, Clone, PartialEq)]
pub struct SaidReport {
    /// Versions that the other side didn't know as published.
    pub published: u64,
    /// Values of metadata that it didn't have.
    pub metadata: u64,
    /// Those that stay different.
    pub differing: Vec<Differing>,
}

/// A remote's store, open, and the dataset that is meant there.
struct Far {
    name: Option<RefName>,
    url: String,
    store: OpenStore,
    dataset: DatasetName,
}

/// Which way versions go: the home store is at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In(Extent),
}

impl Engine {
    /// Sends versions and refs to a remote; only what it lacks. All refs that can move do so in one record: a version name or tag that
    /// stands for something else there stays behind, as refused, with the versions that only it leads to.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where a branch there has versions that this one hasn't; then nothing is sent.
    pub fn push(&self, options: &PushOptions) -> Result<PushReport> {
        self.awake(|| self.push_once(options))
    }

    fn push_once(&self, options: &PushOptions) -> Result<PushReport> {
        let near = self.uncounted();
        let mut home = near.open_target(&here())?;
        let mut far = self.open_far(options.remote.as_deref(), &home)?;
        let dataset = home.dataset()?.clone();
        let wanted = self.refs_to_push(&dataset, &home.dataset, options)?;
        let shown = far.name.as_ref().map_or_else(|| far.url.clone(), RefName::to_string);
        let control = self.find_workspace()?;
        let seen = control.seen_tags(&far.url)?;
        let judge_all = |there: Option<&Dataset>, wanted: &[(Carried, Id)]| {
            let judged = wanted.iter().map(|(what, id)| judge(&dataset, there, what.clone(), *id));
            let judged = judged.filter_map(|step| match &seen {
                Some(seen) => only_own(step, seen, options.tags),
                None => Some(step),
            });
            refuse_branches(judged.collect(), &shown)
        };
        let there = far.store.timeline.fold().datasets.get(&far.dataset);
        let is_refused = |step: &RefMove| matches!(step.verdict, Verdict::Refused(_));
        let (refused, planned): (Vec<_>, Vec<_>) = judge_all(there, &wanted)?.into_iter().partition(is_refused);
        let going: Vec<(Carried, Id)> = planned.iter().map(|step| (step.what.clone(), step.new)).collect();
        let folds = (home.store.timeline.fold(), far.store.timeline.fold());
        let missing = Missing::find((folds.0, &dataset), going.iter().map(|(_, id)| *id), (folds.1, there), &dataset);
        let said = said_report(&missing.said, &far.dataset, there);
        let carried = match options.dry_run {
            true => self.count_only(&home.store.content, &far.store, &missing).map(|()| planned),
            false => {
                let judge_all = |there: Option<&Dataset>| judge_all(there, &going);
                self.carry(&home.store.content, &mut far.store, &far.dataset, &missing, Way::Out, judge_all)
            }
        };
        let mut moves = carried.map_err(|fault| match fault.kind() {
            // What is borrowed from there can't be sent there.
            Kind::Damaged => going.iter().find_map(|(_, id)| let_go_by(&home, id, &far.store)).unwrap_or(fault),
            _ => fault,
        })?;
        if let (Some(name), false) = (&far.name, options.dry_run) {
            near.follow(&mut home, name, &moves)?;
        }
        if !options.dry_run {
            let mut sent = seen.clone().unwrap_or_default();
            sent.extend(moves.iter().filter_map(|step| Some((step.agreed_tag()?.clone(), step.new))));
            note_seen(&control, &far.url, seen, sent)?;
        }
        let uses = if options.dry_run { 0 } else { self.carry_uses(&home.store, &far.store, &far.dataset) };
        self.warn_of(&said.differing, &dataset, |what, key, reference| {
            format!("the {what} is another one at {shown}, and stays; `dagset meta set {}//{}{reference} {key}=VALUE` changes it there", far.store.root.trim_end_matches('/'), far.dataset)
        });
        moves.extend(refused);
        moves.sort_by(|a, b| a.what.cmp(&b.what));
        let count = |counter| self.observer.get(counter);
        Ok(PushReport {
            remote: far.name,
            url: far.url,
            dataset: far.dataset,
            refs: moves.into_iter().map(|step| moved_ref(step, way_out_of_push)).collect(),
            versions: missing.rows.len() as u64,
            said,
            uses,
            new_chunks: count(Counter::NewChunks),
            new_bytes: count(Counter::NewBytes),
            stored_bytes: count(Counter::StoredBytes),
            dry_run: options.dry_run,
        })
    }

    /// Brings the versions of a remote, or of the only one or `origin`, into the home store, and what its refs are: its branches as `REMOTE/BRANCH`,
    /// its version names and tags as they are called, but where those stand for something else here.
    pub fn fetch(&self, remote: Option<&str>) -> Result<FetchReport> {
        self.awake(|| self.fetch_once(remote))
    }

    fn fetch_once(&self, remote: Option<&str>) -> Result<FetchReport> {
        let near = self.uncounted();
        let mut home = near.open_target(&here())?;
        let far = self.open_far(remote, &home)?;
        let name = far.name.ok_or_else(|| {
            Error::usage(format!("{} is no remote of this workspace", far.url))
                .hint(format!("`dagset remote add origin {}`", far.url))
        })?;
        let there = far.store.timeline.fold().dataset(&far.dataset);
        let list = || format!("`dagset list {}` shows the datasets that the remote {name} has", far.store.root);
        let there = there.map_err(|fault| fault.hint(list()))?.clone();
        let mut wanted: Vec<(Carried, Id)> = Vec::new();
        // Where a workspace's own store is the remote, what follows others there is theirs.
        let followed = self.embedding(&far.store.root)?.map(|(_, config)| config.remotes).unwrap_or_default();
        let follows = |branch: &BranchName| {
            let first = branch.as_str().split_once('/').map(|(first, _)| first);
            followed.keys().any(|remote| Some(remote.as_str()) == first)
        };
        for (branch, id) in there.branches.iter().filter(|(branch, _)| !follows(branch)) {
            wanted.push((Carried::Tracking(BranchName::new(&format!("{name}/{branch}"))?), *id));
        }
        wanted.extend(there.names.iter().map(|(name, id)| (Carried::Name(name.clone()), *id)));
        wanted.extend(there.tags.iter().map(|(tag, to)| (Carried::Tag(tag.clone()), to.version)));
        let control = self.find_workspace()?;
        let seen = control.seen_tags(&far.url)?;
        let judge_all = |here: Option<&Dataset>| {
            let judged = wanted.iter().map(|(what, id)| judge(&there, here, what.clone(), *id));
            Ok(judged.map(|step| following(step, seen.as_ref().unwrap_or(&SeenTags::new()))).collect::<Vec<_>>())
        };
        let known = home.dataset()?;
        let folds = (far.store.timeline.fold(), home.store.timeline.fold());
        let missing = Missing::find((folds.0, &there), wanted.iter().map(|(_, id)| *id), (folds.1, Some(known)), known);
        let said = said_report(&missing.said, &home.dataset, Some(known));
        let extent = if near.home_is_embedded()? { Extent::Metadata } else { Extent::Whole };
        let dataset = home.dataset.clone();
        let moves = self.carry(&far.store.content, &mut home.store, &dataset, &missing, Way::In(extent), judge_all)?;
        note_seen(&control, &far.url, seen.clone(), seen_by_fetch(home.dataset()?, &there, &moves, seen))?;
        let refs: Vec<MovedRef> = moves.into_iter().map(|step| moved_ref(step, way_out_of_fetch)).collect();
        for MovedRef { name, why, hint, .. } in &refs {
            if let Some(why) = why {
                let hint = hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                self.observer.tell(Event::Warning(format!("{name} was not taken over: {why}{hint}")));
            }
        }
        self.warn_of(&said.differing, &there, |what, key, reference| {
            let subject = if reference.is_empty() { "." } else { &reference[1..] };
            format!("the {what} is another one at {name}, and stays; `dagset meta set {subject} {key}=VALUE` changes it here")
        });
        let versions = missing.rows.len() as u64;
        if extent == Extent::Metadata {
            self.warn_of_let_go(&home, &far.store)?;
        }
        Ok(FetchReport { remote: name, url: far.url, dataset: far.dataset, refs, versions, said })
    }

    /// Carries `missing` (parents first) into `to` and appends the records that add them and move the refs that `judge_all` gives.
    pub(super) fn carry(
        &self,
        from: &Content,
        to: &mut OpenStore,
        name: &DatasetName,
        missing: &Missing<'_>,
        way: Way,
        judge_all: impl Fn(Option<&Dataset>) -> Result<Vec<RefMove>>,
    ) -> Result<Vec<RefMove>> {
        self.bring_tombstones(from, to, missing, way)?;
        let OpenStore { root, timeline, content, .. } = to;
        let mut actor = self.actor();
        let extent = if let Way::In(extent) = way { extent } else { Extent::Whole };
        let mut arrived = Arrived::default();
        if !missing.rows.is_empty() {
            self.observer.tell(Event::Phase(if way == Way::Out { "pushing" } else { "fetching" }));
            let target = (&*content, timeline.bucket().clone());
            let mut carrier = Carrier::new(from, target, extent, false, self.often, self.observer.clone());
            let near = if way == Way::Out { from } else { &*content };
            for row in &missing.held {
                carrier.target_has(row.version, &Manifest::new(near, row.manifest, Some(row.manifest_place)))?;
            }
            let register = &mut |rows| register_now(timeline, &actor, rows);
            missing.carry_by(&mut carrier, register)?;
            arrived = carrier.finish(register)?;
            missing.put_in_order(&mut arrived.rows);
        }
        let Arrived { mut rows, mut indexes, relies, left_out } = arrived;
        if left_out > 0 {
            let told = format!("{left_out} contents were purged from {root}, and stay out of it");
            self.observer.tell(Event::Warning(told));
        }
        // What a push wrote is told of its newest version; what was fetched keeps the figures of where it comes from.
        if way == Way::Out {
            rows.iter_mut().for_each(|row| row.stored_bytes = 0);
        }
        let stored_bytes = self.observer.get(Counter::StoredBytes);
        let mut last = rows.split_off(rows.len().saturating_sub(VERSIONS_A_RECORD));
        for group in rows.chunks(VERSIONS_A_RECORD) {
            let indexes = std::mem::take(&mut indexes);
            let stored = Stored { indexes: &indexes, relies: &relies };
            timeline.append(&actor, |fold, _| Ok(adding(fold, name, group, missing, stored)))?;
            actor.goes_on(timeline);
        }
        let mut moves = Vec::new();
        let appended = timeline.append(&actor, |fold, record_bytes| {
            if let Some(tip) = last.last_mut().filter(|_| way == Way::Out) {
                tip.stored_bytes = stored_bytes + record_bytes;
            }
            moves = judge_all(fold.datasets.get(name))?;
            moves.iter_mut().for_each(|step| leave_let_go(fold, step));
            let mut operations = adding(fold, name, &last, missing, Stored { indexes: &indexes, relies: &relies });
            operations.extend(moves.iter().filter_map(|step| operation(name, step)));
            operations.extend(missing.said.next(name, fold.datasets.get(name)));
            Ok(operations)
        });
        appended.map_err(|fault| keep_stored(timeline, &actor, indexes, fault))?;
        actor.goes_on(timeline);
        bring_rest(timeline, &actor, name, &missing.said)?;
        if !missing.rows.is_empty() {
            // What was asked for is done; tidying up may fail without a word to the user but in the notes.
            merge_indexes(timeline, content, &actor, &self.observer).unwrap_or_else(|fault| {
                self.observer.tell(Event::Note(format!("indexes were not merged: {fault}")));
                false
            });
        }
        Ok(moves)
    }

    /// Counts what a push would send, and sends nothing.
    fn count_only(&self, from: &Content, far: &OpenStore, missing: &Missing<'_>) -> Result<()> {
        let target = (&far.content, far.timeline.bucket().clone());
        let mut carrier = Carrier::new(from, target, Extent::Whole, true, self.often, self.observer.clone());
        for row in &missing.held {
            carrier.target_has(row.version, &Manifest::new(from, row.manifest, Some(row.manifest_place)))?;
        }
        missing.carry_by(&mut carrier, &mut |_| Ok(()))?;
        carrier.finish(&mut |_| Ok(())).map(drop)
    }

    /// Sets the branches that follow the remote's, where they aren't so already.
    fn follow(&self, home: &mut Target, remote: &RefName, moves: &[RefMove]) -> Result<()> {
        let pushed = moves.iter().filter(|step| matches!(step.what, Carried::Branch(_)));
        let following = |step: &RefMove| {
            Ok((Carried::Tracking(BranchName::new(&format!("{remote}/{}", step.what.as_str()))?), step.new))
        };
        let wanted = pushed.map(following).collect::<Result<Vec<_>>>()?;
        let dataset = home.dataset.clone();
        home.store.timeline.append(&self.actor(), |fold, _| {
            let here = fold.dataset(&dataset)?;
            let steps = wanted.iter().map(|(what, id)| judge(here, Some(here), what.clone(), *id));
            Ok(steps.filter_map(|step| operation(&dataset, &step)).collect())
        })?;
        Ok(())
    }

    /// The refs that are meant, and where they point here.
    fn refs_to_push(&self, dataset: &Dataset, name: &DatasetName, options: &PushOptions) -> Result<Vec<(Carried, Id)>> {
        let mut wanted = BTreeMap::new();
        for text in &options.refs {
            let (what, id) = named_ref(dataset, name, text)?;
            wanted.insert(what, id);
        }
        let mut all = options.tags;
        if options.refs.is_empty() && !options.tags {
            let branch = self.workspace_branch()?.ok_or_else(|| {
                Error::usage("this workspace is on no branch").hint("name what to push: `dagset push REMOTE REF`")
            })?;
            let head = dataset.branches.get(&branch).copied().ok_or_else(|| {
                Error::not_found(format!("the branch {branch} has no version yet")).hint("`dagset commit -a` makes one")
            })?;
            let on_it: HashSet<Id> = ancestry(dataset, &[head]).iter().map(|state| state.row.version).collect();
            wanted.insert(Carried::Branch(branch), head);
            let names = dataset.names.iter().filter(|(_, id)| on_it.contains(id));
            wanted.extend(names.map(|(name, id)| (Carried::Name(name.clone()), *id)));
            let tags = dataset.tags.iter().filter(|(_, tag)| on_it.contains(&tag.version));
            wanted.extend(tags.map(|(tag, to)| (Carried::Tag(tag.clone()), to.version)));
            all = false;
        }
        if all {
            wanted.extend(dataset.names.iter().map(|(name, id)| (Carried::Name(name.clone()), *id)));
            wanted.extend(dataset.tags.iter().map(|(tag, to)| (Carried::Tag(tag.clone()), to.version)));
        }
        Ok(wanted.into_iter().collect())
    }

    /// Opens a remote by its name, its URL, or the one that is meant where none is given.
    fn open_far(&self, remote: Option<&str>, home: &Target) -> Result<Far> {
        let (name, url) = self.choose_remote(remote)?;
        let opened = self.open_store_around(&url).map_err(|fault| match &name {
            Some(name) if fault.kind() == Kind::NotFound && has_fetched(home, name) => gone(name, &url, fault),
            _ => fault,
        });
        let (store, rest) = opened?;
        let dataset = rest.map_or_else(|| Ok(home.dataset.clone()), |rest| DatasetName::new(&rest))?;
        refuse_gone(name.as_ref(), &store, &dataset)?;
        Ok(Far { name, url, store, dataset })
    }

    fn choose_remote(&self, remote: Option<&str>) -> Result<(Option<RefName>, String)> {
        let named = remote.map(|text| Address::parse(text, self.settings.home.as_deref()));
        match named {
            Some(Ok(Address { location: Location::Store { text }, reference: None, path: None })) => {
                let same = self.remotes()?.into_iter().find(|remote| remote.url == text);
                Ok((same.map(|remote| remote.name), text))
            }
            _ => self.remote(remote).map(|remote| (Some(remote.name), remote.url)),
        }
    }

    /// Says of metadata that differs, and stays, what it is of and what helps: `text` is given that, the key, and the `@REF` of a version.
    pub(super) fn warn_of(
        &self,
        differing: &[Differing],
        dataset: &Dataset,
        text: impl Fn(&str, &str, &str) -> String,
    ) {
        for Differing { version, key, .. } in differing {
            let called = version.map(|id| dataset.called(&id));
            let of = called.as_ref().map_or("the dataset".to_owned(), |called| format!("version {called}"));
            let reference = called.map(|called| format!("@{called}")).unwrap_or_default();
            self.observer.tell(Event::Warning(text(&format!("metadata {key} of {of}"), key, &reference)));
        }
    }

    fn home_is_embedded(&self) -> Result<bool> {
        Ok(self.find_workspace()?.config()?.store == EMBEDDED)
    }

    /// The same engine with counters of its own: requests to the home store are none to a remote.
    fn uncounted(&self) -> Engine {
        Engine { observer: Observer::new(), ..self.clone() }
    }
}

/// Where the tags of a remote are known to stand, once a fetch has followed them. Of one that stands elsewhere here what was known before stays, so
/// that a push goes on telling who moved it.
fn seen_by_fetch(here: &Dataset, there: &Dataset, moves: &[RefMove], before: Option<SeenTags>) -> SeenTags {
    let mut seen = before.unwrap_or_default();
    seen.retain(|tag, _| there.tags.contains_key(tag) || here.tags.contains_key(tag));
    for step in moves {
        if let Carried::Tag(tag) = &step.what
            && (step.agreed_tag().is_some() || step.old.is_none() || !seen.contains_key(tag))
        {
            seen.insert(tag.clone(), step.new);
        }
    }
    seen
}

fn note_seen(control: &Control, url: &str, before: Option<SeenTags>, now: SeenTags) -> Result<()> {
    if before.as_ref() == Some(&now) { Ok(()) } else { control.write_seen_tags(url, &now) }
}

pub(super) fn here() -> Address {
    Address { location: Location::Here, reference: None, path: None }
}

/// Whether a branch of the remote is known: then it was there.
fn has_fetched(home: &Target, remote: &RefName) -> bool {
    let of_remote = |branch: &BranchName| branch.as_str().split_once('/').is_some_and(|(it, _)| it == remote.as_str());
    home.dataset().is_ok_and(|dataset| dataset.branches.keys().any(of_remote))
}

fn gone(remote: &RefName, url: &str, fault: Error) -> Error {
    Error::not_found(format!("the remote {remote} at {url} has no store any more")).because(fault).hint(format!(
        "if it was moved: `dagset remote remove {remote}`, then `dagset remote add {remote} STORE/DATASET` with its new address"
    ))
}

/// A dataset that others renamed or deleted there is neither fetched from nor made anew by a push.
fn refuse_gone(remote: Option<&RefName>, store: &OpenStore, dataset: &DatasetName) -> Result<()> {
    let fold = store.timeline.fold();
    let (Err(fault), Some(_)) = (fold.dataset(dataset), fold.gone(dataset)) else { return Ok(()) };
    Err(fault.hint(store.where_it_went(dataset, |to, root| match remote {
        Some(remote) => format!("`dagset remote remove {remote}`, then `dagset remote add {remote} {root}//{to}`"),
        None => format!("write {root}//{to}"),
    })))
}

/// A branch, version name or tag by its name.
fn named_ref(dataset: &Dataset, name: &DatasetName, text: &str) -> Result<(Carried, Id)> {
    let ref_name = RefName::new(text).ok();
    let named = ref_name.as_ref().and_then(|it| Some((Carried::Name(it.clone()), *dataset.names.get(it)?)));
    let tagged =
        || ref_name.as_ref().and_then(|it| Some((Carried::NamedTag(it.clone()), dataset.tags.get(it)?.version)));
    let branch =
        || BranchName::new(text).ok().and_then(|it| Some((Carried::Branch(it.clone()), *dataset.branches.get(&it)?)));
    named.or_else(tagged).or_else(branch).ok_or_else(|| {
        Error::not_found(format!("{name} has no branch, tag or version name {text}"))
            .hint("`dagset branch` and `dagset tag` list them")
    })
}

/// A branch that follows a remote's stays where it is, where it would come to a version whose content was let go here.
fn leave_let_go(fold: &Fold, step: &mut RefMove) {
    let moves = matches!(step.what, Carried::Tracking(_)) && matches!(step.verdict, Verdict::New | Verdict::Moves);
    if moves && let Err(why) = fold.refuse_let_go(&step.new) {
        step.verdict = Verdict::Refused(why.to_string());
    }
}

/// Brings what the record of the refs had no room for.
pub(super) fn bring_rest(timeline: &mut Timeline, actor: &Actor, name: &DatasetName, said: &Said<'_>) -> Result<()> {
    while timeline.append(actor, |fold, _| Ok(said.next(name, fold.datasets.get(name))))? {}
    Ok(())
}

fn said_report(said: &Said<'_>, name: &DatasetName, there: Option<&Dataset>) -> SaidReport {
    let lacking = said.lacking(name, there);
    let published = lacking.iter().filter(|it| matches!(it, Operation::Publish { .. })).count();
    SaidReport {
        published: published as u64,
        metadata: (lacking.len() - published) as u64,
        differing: said.differing(there),
    }
}

/// Refuses the whole push where a branch can't move.
fn refuse_branches(moves: Vec<RefMove>, remote: &str) -> Result<Vec<RefMove>> {
    let stands_back = |step: &&RefMove| {
        matches!((&step.what, &step.verdict), (Carried::Branch(_), Verdict::Behind | Verdict::Refused(_)))
    };
    match moves.iter().find(stands_back) {
        None => Ok(moves),
        Some(step) => {
            let name = step.what.as_str();
            Err(Error::conflict(format!("the branch {name} has versions at {remote} that aren't here"))
                .hint("`dagset pull` brings them; then merge, and push again"))
        }
    }
}

/// What helps where a name or tag was refused here.
fn way_out_of_fetch(step: &RefMove) -> Option<String> {
    let (name, new) = (step.what.as_str(), step.new.short());
    match step.what {
        Carried::Name(_) => Some(format!("`dagset tag OTHER {new}` gives that version a tag here")),
        Carried::Tag(_) => Some(format!("`dagset tag {name} {new}` moves the tag here to where it is there")),
        _ => None,
    }
}

/// What helps where a name or tag was refused over there.
fn way_out_of_push(step: &RefMove) -> Option<String> {
    let name = step.what.as_str();
    match step.what {
        _ if step.is_held => Some(format!("where it is protected: `dagset tag ADDRESS {name} --force --reason TEXT`")),
        Carried::Name(_) => Some(format!(
            "a version's name never moves: `dagset tag OTHER {name}` gives this one a tag, and `dagset push REMOTE OTHER` sends that"
        )),
        Carried::Tag(_) => Some(format!("`dagset push REMOTE {name}` moves the tag there to where it is here")),
        _ => None,
    }
}

fn moved_ref(step: RefMove, way_out: fn(&RefMove) -> Option<String>) -> MovedRef {
    let hint = matches!(step.verdict, Verdict::Refused(_)).then(|| way_out(&step)).flatten();
    let (outcome, why) = match step.verdict {
        Verdict::Same => ("same", None),
        Verdict::New => ("new", None),
        Verdict::Moves => ("moved", None),
        Verdict::Protects => ("protected", None),
        Verdict::Behind => ("behind", None),
        Verdict::Refused(why) => ("refused", Some(why)),
    };
    let kind = match step.what {
        Carried::Branch(_) | Carried::Tracking(_) => "branch",
        Carried::Name(_) => "name",
        Carried::Tag(_) | Carried::NamedTag(_) => "tag",
    };
    MovedRef { kind, name: step.what.as_str().to_owned(), old: step.old, new: step.new, outcome, why, hint }
}
