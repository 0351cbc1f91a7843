//! Publishing: a session's content becomes a version, and a record makes it so. `ingest`, `commit` and `merge` end here.

use crate::base::{BranchName, Counter, DatasetName, Error, Event, Id, Kind, RefName, Result, Time};
use crate::flow::merge_indexes::merge_indexes;
use crate::flow::propose::{Decision, Proposal, decide, tag_operations};
use crate::flow::session::{Finished, NewVersion, Session};
use crate::format::attrs::Attrs;
use crate::format::operation::{IndexRow, Operation, Things, VersionRow};
use crate::format::pack::ItemKind;
use crate::format::tree::Root;
use crate::format::version::{Parent, Version};
use crate::history::fold::{Dataset, Fold, Void};
use crate::history::numbers::Step;
use crate::history::timeline::{Actor, Timeline};
use crate::store::content::Content;
use crate::tree::edit::Piece;
use crate::tree::manifest::Manifest;

use super::Engine;
use super::deeds::Point;
use super::ingest::LeftOutPath;
use super::metadata::{also_in_log, changed_since, is_reserved};
use super::number::{self, Bump};

/// Work begins so often where it is collected under its hands: collectors without grace may follow one on another.
const BEGINNINGS: u32 = 6;

/// What publishing came to.
#[derive(Debug, Clone)]
pub struct Published {
    pub dataset: DatasetName,
    /// `None` only for a dry run that would make a version.
    pub version: Option<Id>,
    pub name: Option<RefName>,
    pub branch: BranchName,
    pub manifest: Id,
    /// Whether a version with other content than the head's was made (or would be).
    pub changed: bool,
    /// Whether a version was made (or would be): of the head's content too, under a name of its own.
    pub made: bool,
    /// Whether a version that was there got its name now (or would).
    pub named: bool,
    pub files: u64,
    pub bytes: u64,
    /// Raw bytes of chunks that the store did not have.
    pub new_bytes: u64,
    /// All bytes written to the store.
    pub stored_bytes: u64,
    pub left_out: Vec<LeftOutPath>,
    /// The branch went on from the version, which was there before, and stays where it is.
    pub behind: bool,
    /// Tags that lead to the version by this (or would).
    pub tagged: Vec<Tagged>,
    /// What was asked for and isn't done, as was told already.
    pub warnings: Vec<String>,
    pub dry_run: bool,
}

/// A tag that publishing set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    pub tag: RefName,
    /// Where it was, if it was there.
    pub from: Option<Point>,
}

/// What is to be published, but for the content.
pub(super) struct Draft {
    pub proposal: Proposal,
    pub message: String,
    pub meta: Attrs,
    /// What each proposed parent is there as; an ordinary one has none.
    pub roles: Vec<(Id, String)>,
    /// It gets the next number for its name.
    pub number: Option<Bump>,
    pub create_dataset: bool,
    /// The dataset's address as it was given, to be named in hints; empty in its workspace.
    pub into: Option<String>,
}

impl Engine {
    /// Does work anew if it slept through a collection: what it registered before is found again, and not stored twice.
    pub(super) fn awake<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        for _ in 1..BEGINNINGS {
            match work() {
                Err(fault) if Void::caused(&fault) => {
                    self.observer.tell(Event::Note(format!("{}: beginning anew", fault.in_one_line())));
                }
                outcome => return outcome,
            }
        }
        work()
    }

    /// A writer's work on an open store; a dry one writes nothing and counts what it would.
    pub(super) fn session<'c>(&self, timeline: &Timeline, content: &'c Content, dry_run: bool) -> Session<'c> {
        let (bucket, jobs) = (timeline.bucket().clone(), self.settings.jobs);
        match dry_run {
            true => Session::dry(bucket, content, jobs, self.observer.clone()),
            false => Session::new(bucket, content, jobs, self.often, self.observer.clone()),
        }
    }

    /// Writes the manifest and, if it is to become one, the version; then the record that publishes it.
    pub(super) fn publish(
        &self,
        timeline: &mut Timeline,
        session: Session<'_>,
        pieces: impl Iterator<Item = Result<impl Into<Piece>>>,
        draft: Draft,
        left_out: Vec<LeftOutPath>,
        dry_run: bool,
    ) -> Result<Published> {
        let Draft { mut proposal, message, meta, roles, number, create_dataset, into } = draft;
        let actor = self.actor();
        let role_of = |id: &Id| roles.iter().find(|(parent, _)| parent == id).map(|(_, role)| role.clone());
        let mut root = None;
        let mut planned = None;
        let mut record = None;
        let mut refused = None;
        timeline.refresh()?;
        let content = session.content();
        if let Some(bump) = number {
            number::check(timeline.fold(), &proposal.dataset, bump)?;
            proposal.renews = says_more(timeline.fold(), content, &proposal, &meta)?;
        }
        let Finished { version: new, indexes, relies } = session.finish(pieces, |built| {
            root = Some(*built);
            proposal.manifest = built.id;
            let decision = match decide(timeline.fold(), &proposal) {
                Ok(decision) => decision,
                Err(fault) => {
                    refused = Some(timeline.placed(fault));
                    return Ok(None);
                }
            };
            let version = match &decision {
                Decision::Unchanged { .. } => None,
                Decision::New { parents, .. } => Some(Version {
                    manifest: built.id,
                    files: built.weight.files,
                    bytes: built.weight.bytes,
                    parents: parents
                        .iter()
                        .map(|id| Parent { id: *id, role: role_of(id).unwrap_or_default() })
                        .collect(),
                    author: actor.name.clone(),
                    time: Time::now(),
                    message: message.clone(),
                    meta: meta.clone(),
                    provenance: self.provenance(),
                    extensions: Vec::new(),
                }),
            };
            planned = Some(decision);
            record = version.clone();
            Ok(if dry_run { None } else { version })
        })?;
        if let Some(fault) = refused {
            return Err(keep_stored(timeline, &actor, indexes, fault));
        }
        let root: Root = root.expect("the session gave the root");
        let planned = planned.expect("the session asked for a decision");
        let step = match number {
            None => None,
            Some(bump) => bump_step(timeline.fold(), content, &proposal.dataset, bump, &planned, new.as_ref())?,
        };
        let planned_change = matches!(planned, Decision::New { changed: true, .. });
        let is_planned = matches!(planned, Decision::New { .. });
        let given: &[Operation] = match &planned {
            Decision::Unchanged { operations, .. } => operations,
            Decision::New { .. } => &[],
        };
        let takes_name = matches!(planned, Decision::Unchanged { .. }) && step.is_some()
            || given.iter().any(|step| matches!(step, Operation::TakeName { .. }));
        let moves_on = given.iter().any(|step| matches!(step, Operation::SetBranch { .. }));
        let mut tagged = match &planned {
            Decision::Unchanged { .. } => tagged_by(timeline.fold(), given),
            Decision::New { .. } if dry_run => {
                tagged_by(timeline.fold(), &tag_operations(timeline.fold(), &proposal, Id::ZERO)?)
            }
            Decision::New { .. } => Vec::new(),
        };
        let mut was_there = match &planned {
            Decision::Unchanged { version, ahead, .. } => Some((*version, ahead.clone())),
            Decision::New { .. } => None,
        };
        if dry_run {
            would_publish(timeline, &actor, &proposal, &planned)?;
        }
        let appended = match (planned, new) {
            _ if dry_run => None,
            (Decision::Unchanged { version, .. }, _) => {
                Some(self.give_names(timeline, &actor, &proposal, version, step)?)
            }
            (Decision::New { parents, .. }, Some(new)) => {
                let time = record.map_or_else(Time::now, |record| record.time);
                let addition = Addition {
                    proposal: &proposal,
                    parents: &parents,
                    time,
                    meta: &meta,
                    step,
                    create_dataset,
                    indexes: &indexes,
                    relies: &relies,
                };
                let appended = self.append_version(timeline, &actor, &addition, new);
                Some(appended.map_err(|fault| keep_stored(timeline, &actor, indexes.clone(), fault))?)
            }
            (Decision::New { .. }, None) => return Err(Error::new(Kind::Failed, "the version was not written")),
        };
        let made = is_planned && appended.as_ref().is_none_or(|appended| appended.made);
        let version = appended.as_ref().map(|it| it.version).or(was_there.as_ref().map(|(version, _)| *version));
        if let Some(appended) = appended {
            tagged = appended.tagged;
            was_there = (!appended.made).then_some((appended.version, appended.ahead));
        }
        let warnings = match was_there {
            None => Vec::new(),
            Some((version, ahead)) => {
                not_said(timeline.fold(), content, &proposal.dataset, into, (version, &ahead), &meta)?
            }
        };
        let changed = planned_change && made || moves_on;
        let named = version
            .and_then(|version| Some(timeline.fold().datasets.get(&proposal.dataset)?.name_of(&version)?.clone()));
        let would_be_named = match (dry_run, step) {
            (true, Some(step)) => number::next(timeline.fold(), &proposal.dataset, version.as_ref(), step)?,
            (true, None) if is_planned || takes_name => proposal.name.clone(),
            _ => None,
        };
        let count = |counter| self.observer.get(counter);
        let head = timeline.fold().datasets.get(&proposal.dataset).and_then(|it| it.branches.get(&proposal.branch));
        let behind = !changed && version.is_some() && head.is_some_and(|head| Some(*head) != version);
        let published = Published {
            name: named.or(would_be_named),
            dataset: proposal.dataset,
            version,
            branch: proposal.branch,
            manifest: root.id,
            changed,
            made,
            named: takes_name,
            files: root.weight.files,
            bytes: root.weight.bytes,
            new_bytes: count(Counter::NewBytes),
            stored_bytes: count(Counter::StoredBytes),
            left_out,
            behind,
            tagged,
            warnings,
            dry_run,
        };
        published.warnings.iter().for_each(|warning| self.observer.tell(Event::Warning(warning.clone())));
        if published.stored_bytes > 0 && !dry_run {
            // What was asked for is done; tidying up may fail without a word to the user but in the notes.
            merge_indexes(timeline, content, &actor, &self.observer).unwrap_or_else(|fault| {
                self.observer.tell(Event::Note(format!("indexes were not merged: {fault}")));
                false
            });
        }
        Ok(published)
    }

    fn give_names(
        &self,
        timeline: &mut Timeline,
        actor: &Actor,
        proposal: &Proposal,
        version: Id,
        step: Option<Step>,
    ) -> Result<Appended> {
        let mut appended = Appended::default();
        timeline.append(actor, |fold, _| match decide(fold, proposal)? {
            Decision::Unchanged { version: now, mut operations, ahead } if now == version => {
                operations.extend(number::take(fold, &proposal.dataset, version, step)?);
                appended = Appended { version, made: false, ahead, tagged: tagged_by(fold, &operations) };
                Ok(operations)
            }
            _ => Err(moved(proposal)),
        })?;
        Ok(appended)
    }

    fn append_version(
        &self,
        timeline: &mut Timeline,
        actor: &Actor,
        addition: &Addition<'_>,
        new: NewVersion,
    ) -> Result<Appended> {
        let Addition { proposal, parents, time, step, .. } = *addition;
        let mut appended = Appended::default();
        timeline.append(actor, |fold, record_bytes| {
            match decide(fold, proposal)? {
                Decision::New { parents: now, .. } if now == parents => {}
                // Another writer published the same content meanwhile: that is what was asked for.
                Decision::Unchanged { version, mut operations, ahead } => {
                    operations.extend(number::take(fold, &proposal.dataset, version, step)?);
                    appended = Appended { version, made: false, ahead, tagged: tagged_by(fold, &operations) };
                    return Ok(operations);
                }
                Decision::New { .. } => return Err(moved(proposal)),
            }
            let row = VersionRow {
                version: new.id,
                manifest: new.root.id,
                parents: parents.to_vec(),
                time,
                files: new.root.weight.files,
                bytes: new.root.weight.bytes,
                stored_bytes: self.observer.get(Counter::StoredBytes) + record_bytes,
                version_place: new.version_place,
                manifest_place: new.manifest_place,
            };
            let operations = publishing_operations(fold, addition, row)?;
            appended =
                Appended { version: new.id, made: true, ahead: Vec::new(), tagged: tagged_by(fold, &operations) };
            Ok(operations)
        })?;
        Ok(appended)
    }
}

/// A version that is stored, and what its record is to say of it.
struct Addition<'a> {
    proposal: &'a Proposal,
    parents: &'a [Id],
    time: Time,
    meta: &'a Attrs,
    /// How far the number moves that it gets for its name.
    step: Option<Step>,
    indexes: &'a [IndexRow],
    relies: &'a Things,
    create_dataset: bool,
}

/// What a record that publishes came to.
#[derive(Default)]
struct Appended {
    version: Id,
    /// False for a version that was there, by another writer perhaps, who published the same content meanwhile.
    made: bool,
    /// Tags that stay at what came of the version.
    ahead: Vec<RefName>,
    tagged: Vec<Tagged>,
}

/// The step of the number that the version is to get; `None` where it has a name, or isn't stored to be compared.
fn bump_step(
    fold: &Fold,
    content: &Content,
    owner: &DatasetName,
    bump: Bump,
    planned: &Decision,
    new: Option<&NewVersion>,
) -> Result<Option<Step>> {
    let (parents, manifest) = match (planned, new) {
        (Decision::Unchanged { version, .. }, _) => {
            let dataset = fold.dataset(owner)?;
            let Some(row) = dataset.versions.get(version).map(|state| &state.row) else { return Ok(None) };
            if dataset.name_of(version).is_some() {
                return Ok(None);
            }
            (&row.parents, Manifest::new(content, row.manifest, Some(row.manifest_place)))
        }
        (Decision::New { parents, .. }, Some(new)) => {
            (parents, Manifest::new(content, new.root.id, Some(new.manifest_place)))
        }
        (Decision::New { .. }, None) => return Ok(bump.given()),
    };
    number::step(fold, owner, content, bump, parents, manifest).map(Some)
}

/// Whether the metadata that a version is to have says other things than that of the branch's head.
fn says_more(fold: &Fold, content: &Content, proposal: &Proposal, meta: &Attrs) -> Result<bool> {
    let Some(dataset) = fold.datasets.get(&proposal.dataset) else { return Ok(false) };
    let head = dataset.branches.get(&proposal.branch);
    Ok(!head.map_or(Ok(Vec::new()), |head| lacking(dataset, content, head, meta))?.is_empty())
}

/// The keys of `meta` of which a version says something else, or nothing.
fn lacking<'m>(dataset: &Dataset, content: &Content, version: &Id, meta: &'m Attrs) -> Result<Vec<&'m str>> {
    let Some(state) = dataset.versions.get(version).filter(|_| !meta.is_empty()) else { return Ok(Vec::new()) };
    let record = content.meta(version, ItemKind::Version, Some(&state.row.version_place))?;
    let known = changed_since(dataset, Some(*version), Version::parse(record.bytes())?.meta);
    let differing = meta.0.iter().filter(|(key, value)| known.0.get(*key) != Some(*value));
    Ok(differing.map(|(key, _)| key.as_str()).collect())
}

/// What was asked to be said of a version that is there already, and isn't: its record stays as it was made.
fn not_said(
    fold: &Fold,
    content: &Content,
    owner: &DatasetName,
    into: Option<String>,
    (version, ahead): (Id, &[RefName]),
    meta: &Attrs,
) -> Result<Vec<String>> {
    let dataset = fold.dataset(owner)?;
    let called = dataset.called(&version);
    let is_here = into.as_deref() == Some("");
    let address = match into.unwrap_or_else(|| format!("[STORE/]{owner}")).trim_end_matches('/') {
        "" => called.clone(),
        into => format!("{into}@{called}"),
    };
    let left = |tag: &RefName| {
        let at = dataset.tags.get(tag).map(|tag| dataset.called(&tag.version)).unwrap_or_default();
        let words = if is_here { format!("{tag} {called}") } else { format!("{address} {tag}") };
        format!("the tag {tag} stays at {at}, which came of {called}; `dagset tag {words}` takes it back")
    };
    let unsaid: Vec<&str> =
        lacking(dataset, content, &version, meta)?.into_iter().filter(|key| !is_reserved(key)).collect();
    let unsaid = (!unsaid.is_empty()).then(|| {
        let (keys, sets) = (unsaid.join(", "), unsaid.iter().map(|key| format!(" {key}=VALUE")).collect::<String>());
        format!(
            "version {called} was there already, and {keys} isn't said of it; `dagset meta set {address}{sets}` does"
        )
    });
    Ok(ahead.iter().map(left).chain(unsaid).collect())
}

/// Errors: those of the record that would publish it, as far as they are known before content is stored.
fn would_publish(timeline: &mut Timeline, actor: &Actor, proposal: &Proposal, planned: &Decision) -> Result<()> {
    match planned {
        Decision::Unchanged { operations, .. } if operations.is_empty() => Ok(()),
        Decision::Unchanged { operations, .. } => timeline.would_hold(actor, operations.clone()),
        Decision::New { parents, .. } => {
            parents.iter().try_for_each(|parent| timeline.refuse_let_go(parent))?;
            // The version has no id yet; what stands against moving a tag doesn't depend on where to.
            tag_operations(timeline.fold(), proposal, Id::ZERO).map(drop)
        }
    }
}

/// The tags that operations on a fold set, and where they were.
fn tagged_by(fold: &Fold, operations: &[Operation]) -> Vec<Tagged> {
    let tagged = |operation: &Operation| match operation {
        Operation::SetTag { dataset, tag, old, .. } => {
            let name = |version: &Id| fold.datasets.get(dataset)?.name_of(version).cloned();
            let from = old.map(|version| Point { version, name: name(&version) });
            Some(Tagged { tag: tag.clone(), from })
        }
        _ => None,
    };
    operations.iter().filter_map(tagged).collect()
}

fn publishing_operations(fold: &Fold, addition: &Addition<'_>, row: VersionRow) -> Result<Vec<Operation>> {
    let Addition { proposal, meta, step, create_dataset, indexes, relies, .. } = *addition;
    let dataset = || proposal.dataset.clone();
    let known = fold.datasets.get(&proposal.dataset);
    let mut operations = vec![Operation::Register { indexes: indexes.to_vec() }];
    if known.is_none() {
        if !create_dataset {
            fold.dataset(&proposal.dataset)?;
        }
        operations.push(Operation::CreateDataset { dataset: dataset() });
    }
    let version = row.version;
    let used = relies.versions.iter().filter(|id| !row.parents.contains(id));
    let versions = row.parents.iter().chain(used).copied().collect();
    operations.push(Operation::Rely(Things { versions, packs: relies.packs.clone() }));
    operations.push(Operation::AddVersion { dataset: dataset(), row: Box::new(row) });
    operations.push(Operation::SetBranch {
        dataset: dataset(),
        branch: proposal.branch.clone(),
        old: known.and_then(|known| known.branches.get(&proposal.branch)).copied(),
        new: Some(version),
    });
    operations.extend(proposal.name.iter().map(|name| Operation::TakeName {
        dataset: dataset(),
        name: name.clone(),
        version,
    }));
    operations.extend(number::take(fold, &proposal.dataset, version, step)?);
    operations.extend(tag_operations(fold, proposal, version)?);
    operations.extend(also_in_log(&proposal.dataset, version, meta));
    Ok(operations)
}

fn moved(proposal: &Proposal) -> Error {
    Error::conflict(format!("the branch {} of {} moved meanwhile", proposal.branch, proposal.dataset))
        .because("another writer published there between the look at it and this record")
        .hint("run the command again: it looks at what is there now, and what was stored is not stored twice")
}

/// What was stored for a version that came to nothing is registered all the same where another try makes sense: it finds that, and stores
/// nothing twice. Gives the fault of the version.
pub(super) fn keep_stored(timeline: &mut Timeline, actor: &Actor, indexes: Vec<IndexRow>, fault: Error) -> Error {
    match fault.kind() {
        Kind::Conflict | Kind::Busy => match register_now(timeline, actor, indexes) {
            Ok(()) => fault,
            Err(other) => fault.because(other),
        },
        _ => fault,
    }
}

/// Registers indexes in a record of its own, so that a later run finds what this one stored.
pub(super) fn register_now(timeline: &mut Timeline, actor: &Actor, rows: Vec<IndexRow>) -> Result<()> {
    let operations = || if rows.is_empty() { Vec::new() } else { vec![Operation::Register { indexes: rows.clone() }] };
    timeline.append(actor, |_, _| Ok(operations())).map(drop)
}
