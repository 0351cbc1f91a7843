//! Publishing: a session's content becomes a version, and a record makes it so. `ingest`, `commit` and `merge` end here.

use crate::base::{BranchName, Counter, DatasetName, Error, Event, Id, Kind, RefName, Result, Time};
use crate::flow::merge_indexes::merge_indexes;
use crate::flow::propose::{Decision, Proposal, decide, tag_operations};
use crate::flow::session::{NewVersion, Session};
use crate::format::attrs::Attrs;
use crate::format::operation::{IndexRow, Operation, Things, VersionRow};
use crate::format::tree::Root;
use crate::format::version::{Parent, Version};
use crate::history::fold::Fold;
use crate::history::timeline::{Actor, Timeline};
use crate::tree::edit::Piece;

use super::Engine;
use super::ingest::LeftOutPath;

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
    pub files: u64,
    pub bytes: u64,
    /// Raw bytes of chunks that the store did not have.
    pub new_bytes: u64,
    /// All bytes written to the store.
    pub stored_bytes: u64,
    pub left_out: Vec<LeftOutPath>,
    pub dry_run: bool,
}

/// What is to be published, but for the content.
pub(super) struct Draft {
    pub proposal: Proposal,
    pub message: String,
    pub meta: Attrs,
    /// What each proposed parent is there as; an ordinary one has none.
    pub roles: Vec<(Id, String)>,
    pub create_dataset: bool,
}

impl Engine {
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
        let Draft { mut proposal, message, meta, roles, create_dataset } = draft;
        let actor = self.actor();
        let role_of = |id: &Id| roles.iter().find(|(parent, _)| parent == id).map(|(_, role)| role.clone());
        let mut root = None;
        let mut planned = None;
        let mut record = None;
        timeline.refresh()?;
        let content = session.content();
        let new = session.finish(pieces, |built| {
            root = Some(*built);
            proposal.manifest = built.id;
            let decision = decide(timeline.fold(), &proposal)?;
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
        let root: Root = root.expect("the session gave the root");
        let planned = planned.expect("the session asked for a decision");
        let planned_change = matches!(planned, Decision::New { changed: true, .. });
        let mut made = true;
        let version = match (dry_run, planned, new) {
            (true, Decision::Unchanged { version, .. }, _) => Some(version),
            (true, ..) => None,
            (false, Decision::Unchanged { version, .. }, _) => {
                self.give_names(timeline, &actor, &proposal, version)?;
                Some(version)
            }
            (false, Decision::New { parents, .. }, Some(new)) => {
                let time = record.map_or_else(Time::now, |record| record.time);
                let appended = self.append_version(timeline, &actor, &proposal, &parents, time, new, create_dataset)?;
                made = appended.made;
                Some(appended.version)
            }
            (false, Decision::New { .. }, None) => return Err(Error::new(Kind::Failed, "the version was not written")),
        };
        let changed = planned_change && made;
        let named = version
            .and_then(|version| Some(timeline.fold().datasets.get(&proposal.dataset)?.name_of(&version)?.clone()));
        let count = |counter| self.observer.get(counter);
        let published = Published {
            name: named.or(if dry_run && changed { proposal.name.clone() } else { None }),
            dataset: proposal.dataset,
            version,
            branch: proposal.branch,
            manifest: root.id,
            changed,
            files: root.weight.files,
            bytes: root.weight.bytes,
            new_bytes: count(Counter::NewBytes),
            stored_bytes: count(Counter::StoredBytes),
            left_out,
            dry_run,
        };
        if published.stored_bytes > 0 && !dry_run {
            // What was asked for is done; tidying up may fail without a word to the user but in the notes.
            merge_indexes(timeline, content, &actor, &self.observer).unwrap_or_else(|fault| {
                self.observer.tell(Event::Note(format!("indexes were not merged: {fault}")));
                false
            });
        }
        Ok(published)
    }

    fn give_names(&self, timeline: &mut Timeline, actor: &Actor, proposal: &Proposal, version: Id) -> Result<()> {
        timeline.append(actor, |fold, _| match decide(fold, proposal)? {
            Decision::Unchanged { version: now, operations } if now == version => Ok(operations),
            _ => Err(moved(proposal)),
        })?;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one record")]
    fn append_version(
        &self,
        timeline: &mut Timeline,
        actor: &Actor,
        proposal: &Proposal,
        parents: &[Id],
        time: Time,
        new: NewVersion,
        create_dataset: bool,
    ) -> Result<AppendedVersion> {
        let mut appended = AppendedVersion { version: new.id, made: true };
        timeline.append(actor, |fold, record_bytes| {
            match decide(fold, proposal)? {
                Decision::New { parents: now, .. } if now == parents => {
                    appended = AppendedVersion { version: new.id, made: true };
                }
                // Another writer published the same content meanwhile: that is what was asked for.
                Decision::Unchanged { version, operations } => {
                    appended = AppendedVersion { version, made: false };
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
            publishing_operations(fold, proposal, row, &new.indexes, create_dataset)
        })?;
        Ok(appended)
    }
}

struct AppendedVersion {
    version: Id,
    /// False if another writer had published the same content meanwhile.
    made: bool,
}

fn publishing_operations(
    fold: &Fold,
    proposal: &Proposal,
    row: VersionRow,
    indexes: &[IndexRow],
    create_dataset: bool,
) -> Result<Vec<Operation>> {
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
    if !row.parents.is_empty() {
        operations.push(Operation::Rely(Things { versions: row.parents.clone(), packs: Vec::new() }));
    }
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
    operations.extend(tag_operations(fold, proposal, version));
    Ok(operations)
}

fn moved(proposal: &Proposal) -> Error {
    Error::conflict(format!("the branch {} of {} moved meanwhile", proposal.branch, proposal.dataset))
        .because("others published there faster, time and again")
        .hint("run the command again: what was stored is not stored twice")
}

/// Registers indexes in a record of its own, so that a later run finds what this one stored.
pub(super) fn register_now(timeline: &mut Timeline, actor: &Actor, rows: Vec<IndexRow>) -> Result<()> {
    let operations = || if rows.is_empty() { Vec::new() } else { vec![Operation::Register { indexes: rows.clone() }] };
    timeline.append(actor, |_, _| Ok(operations())).map(drop)
}
