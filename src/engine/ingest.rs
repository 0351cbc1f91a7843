//! `ingest`: a folder becomes a version of a dataset, without a workspace.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::base::{BranchName, DatasetName, Error, Event, Id, Kind, RefName, RepoPath, Result, Time};
use crate::flow::merge_indexes::merge_indexes;
use crate::flow::propose::{Decision, Proposal, decide, tag_operations};
use crate::flow::session::{LargeFiles, NewVersion, Session};
use crate::flow::store_files::Outcome;
use crate::format::attrs::Attrs;
use crate::format::manifest::{Entry, EntryKind};
use crate::format::operation::{IndexRow, Operation, VersionRow};
use crate::format::tree::Root;
use crate::format::version::{Parent, Version};
use crate::history::fold::Fold;
use crate::history::refs::DEFAULT_BRANCH;
use crate::history::timeline::{Actor, Timeline};
use crate::store::address::Address;
use crate::store::locate::cut_for_creation;
use crate::tree::manifest::Manifest;
use crate::tree::scan::{Found, FoundKind, Scan, ScanOptions, scan};
use crate::tree::stat::{NodeKind, stat_file};

use super::open::OpenStore;
use super::{Engine, ref_names};

/// What to ingest, and as what.
#[derive(Debug, Clone, Default)]
pub struct IngestOptions {
    /// A folder, a file, or a link to one.
    pub source: PathBuf,
    /// `[STORE/]DATASET`.
    pub into: String,
    pub name: Option<String>,
    /// `main` if not given.
    pub branch: Option<String>,
    /// Exactly these parents; none given: the branch's head.
    pub parents: Vec<String>,
    /// The branch's head must be this.
    pub expect: Option<String>,
    pub message: String,
    pub meta: Attrs,
    pub tags: Vec<String>,
    /// Make the store and the dataset where they aren't there.
    pub create: bool,
    pub skip_unreadable: bool,
    /// Patterns in gitignore's syntax.
    pub exclude: Vec<String>,
    /// Only these paths, relative to the source.
    pub only: Option<Vec<String>>,
    pub dry_run: bool,
}

/// A path that was left out, and why; `incomplete` if the version lacks something for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOutPath {
    pub path: String,
    pub why: String,
    pub incomplete: bool,
}

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

impl Engine {
    /// Stores a folder as a version of a dataset, or finds that nothing changed.
    ///
    /// Errors: [`Kind::NotFound`] where the store, the dataset or the source isn't there; [`Kind::Conflict`] where the branch isn't where it
    /// must be or the name is taken; [`Kind::Failed`] listing what can't be read.
    pub fn ingest(&self, options: &IngestOptions) -> Result<Published> {
        let name = options.name.as_deref().map(RefName::new).transpose()?;
        let tags = ref_names(&options.tags)?;
        let branch = BranchName::new(options.branch.as_deref().unwrap_or(DEFAULT_BRANCH))?;
        let source = self.path(&options.source);
        let source_kind = source_kind(&source)?;
        let (mut store, dataset) = self.open_for_ingest(options)?;

        let (proposal, parents_known) = {
            let target = store.timeline.fold().datasets.get(&dataset);
            let resolve = |text: &String| match target {
                Some(known) => crate::history::refs::resolve(
                    &dataset,
                    known,
                    &crate::store::RefExpr::parse(text)?,
                    branch.as_str(),
                ),
                None => Err(Error::not_found(format!("the dataset {dataset} is new: it has no version {text}"))),
            };
            let parents = options.parents.iter().map(resolve).collect::<Result<Vec<_>>>()?;
            let seen_head = target.and_then(|known| known.branches.get(&branch)).copied();
            let proposal = Proposal {
                dataset: dataset.clone(),
                branch: branch.clone(),
                manifest: Id::ZERO,
                parents: (!parents.is_empty()).then_some(parents),
                expect: options.expect.as_ref().map(resolve).transpose()?,
                name,
                tags,
                seen_head,
            };
            let known = seen_head.or(proposal.parents.as_ref().and_then(|parents| parents.first().copied()));
            (proposal, known)
        };

        self.observer.tell(Event::Phase("scanning"));
        let found = self.find(&source, source_kind, options)?;
        let parent =
            parents_known.and_then(|id| store.timeline.fold().datasets.get(&dataset)?.versions.get(&id)).cloned();
        let OpenStore { timeline, content, .. } = &mut store;
        let large = match &parent {
            Some(state) => {
                large_files(&Manifest::new(content, state.row.manifest, Some(state.row.manifest_place)), &found.found)?
            }
            None => LargeFiles::new(),
        };
        let (bucket, born, jobs) = (timeline.bucket().clone(), timeline.fold().number, self.settings.jobs);
        let mut session = match options.dry_run {
            true => Session::dry(bucket, content, jobs, self.observer.clone()),
            false => Session::new(bucket, content, born, jobs, self.observer.clone()),
        };
        let base = match source_kind {
            NodeKind::Folder => source.clone(),
            _ => source.parent().map(Path::to_owned).unwrap_or_default(),
        };
        let actor = self.actor();
        let register = |rows: Vec<IndexRow>| register_now(timeline, &actor, rows);
        let outcomes = session.store(&base, &found.found, &large, register)?;
        let (entries, left_out) = self.sort_out(found, outcomes, options.skip_unreadable)?;
        let draft = Draft {
            proposal,
            message: options.message.clone(),
            meta: options.meta.clone(),
            create_dataset: options.create,
        };
        self.publish(timeline, session, entries.into_iter().map(Ok), draft, left_out, options.dry_run)
    }

    fn open_for_ingest(&self, options: &IngestOptions) -> Result<(OpenStore, DatasetName)> {
        let address = Address::parse(&options.into, self.settings.home.as_deref())?;
        if address.reference.is_some() || address.path.is_some() {
            return Err(Error::usage(format!("--into takes [STORE/]DATASET, not a REF or PATH: {}", options.into))
                .hint("the branch is given by --branch, the version's name by --as"));
        }
        let text = self.location_text(&address)?;
        let (store, rest) = match self.open_store(&text) {
            Err(fault) if fault.kind() == Kind::NotFound && options.create && !options.dry_run => {
                let (root, dataset) = cut_for_creation(&text)?;
                DatasetName::new(&dataset)?;
                match self.make_store(&root) {
                    Ok(_) => {}
                    // Another process was first: its store is as good.
                    Err(fault) if fault.kind() == Kind::Conflict => {}
                    Err(fault) => return Err(fault),
                }
                (self.open_store(&root)?.0, Some(dataset))
            }
            Err(fault) if fault.kind() == Kind::NotFound && !options.create => {
                return Err(fault.hint("--create makes the store and the dataset"));
            }
            opened => opened?,
        };
        let name = rest.ok_or_else(|| Error::usage(format!("{text} names a store and no dataset in it")))?;
        let dataset = DatasetName::new(&name)?;
        if !options.create {
            store.timeline.fold().dataset(&dataset).map_err(|fault| fault.hint("--create makes the dataset"))?;
        }
        Ok((store, dataset))
    }

    fn find(&self, source: &Path, kind: NodeKind, options: &IngestOptions) -> Result<Scan> {
        let mut found = match kind {
            NodeKind::Folder => {
                let scan_options = ScanOptions {
                    exclude: options.exclude.clone(),
                    jobs: self.settings.jobs,
                    observer: self.observer.clone(),
                };
                scan(source, &scan_options)?
            }
            _ => one_file(source)?,
        };
        if let Some(only) = &options.only {
            choose(&mut found, only)?;
        }
        Ok(found)
    }

    /// Entries of what was stored; what was left out is told, and refused unless allowed.
    fn sort_out(&self, found: Scan, outcomes: Vec<Outcome>, skip_unreadable: bool) -> Result<SortedOut> {
        let mut unreadable = Vec::new();
        let mut left_out: Vec<LeftOutPath> = Vec::new();
        for path in found.left_out {
            let row = LeftOutPath { incomplete: path.why.is_incomplete(), why: path.why.to_string(), path: path.path };
            match path.why {
                crate::tree::LeftOutReason::Unreadable(_) => unreadable.push(row),
                _ => left_out.push(row),
            }
        }
        let mut entries = Vec::with_capacity(found.found.len());
        for (found, outcome) in found.found.into_iter().zip(outcomes) {
            let Found { path, kind, .. } = found;
            match (kind, outcome) {
                (FoundKind::File { executable }, Outcome::Stored { content, size, .. }) => {
                    entries.push((path, Entry::plain(EntryKind::File { size, content, executable })));
                }
                (FoundKind::File { .. }, Outcome::Unreadable(why)) => {
                    unreadable.push(LeftOutPath { path: path.to_string(), why, incomplete: true });
                }
                (FoundKind::File { .. }, _) => {}
                (FoundKind::Symlink { target }, _) if Entry::target_is_possible(&target) => {
                    entries.push((path, Entry::plain(EntryKind::Symlink { target })));
                }
                (FoundKind::Symlink { .. }, _) => left_out.push(LeftOutPath {
                    path: path.to_string(),
                    why: "its target is too long".to_owned(),
                    incomplete: true,
                }),
                (FoundKind::EmptyFolder, _) => entries.push((path, Entry::plain(EntryKind::EmptyFolder))),
            }
        }
        if !unreadable.is_empty() && !skip_unreadable {
            return Err(cannot_read(&unreadable));
        }
        left_out.extend(unreadable);
        left_out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((entries, left_out))
    }
}

/// The entries of a version, in path order, and what was left out of it.
type SortedOut = (Vec<(RepoPath, Entry)>, Vec<LeftOutPath>);

/// What is to be published, but for the content.
pub(super) struct Draft {
    pub proposal: Proposal,
    pub message: String,
    pub meta: Attrs,
    pub create_dataset: bool,
}

impl Engine {
    /// Writes the manifest and, if it is to become one, the version; then the record that publishes it.
    pub(super) fn publish(
        &self,
        timeline: &mut Timeline,
        session: Session<'_>,
        entries: impl Iterator<Item = Result<(RepoPath, Entry)>>,
        draft: Draft,
        left_out: Vec<LeftOutPath>,
        dry_run: bool,
    ) -> Result<Published> {
        let Draft { mut proposal, message, meta, create_dataset } = draft;
        let actor = self.actor();
        let mut root = None;
        let mut planned = None;
        let mut record = None;
        timeline.refresh()?;
        let new = session.finish(entries, |built| {
            root = Some(*built);
            proposal.manifest = built.id;
            let decision = decide(timeline.fold(), &proposal)?;
            let version = match &decision {
                Decision::Unchanged { .. } => None,
                Decision::New { parents, .. } => Some(Version {
                    manifest: built.id,
                    files: built.weight.files,
                    bytes: built.weight.bytes,
                    parents: parents.iter().map(|id| Parent { id: *id, role: String::new() }).collect(),
                    author: actor.name.clone(),
                    time: Time::now(),
                    message: message.clone(),
                    meta: meta.clone(),
                    provenance: actor.context.clone(),
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
            new_bytes: count(crate::base::Counter::NewBytes),
            stored_bytes: count(crate::base::Counter::StoredBytes),
            left_out,
            dry_run,
        };
        if published.stored_bytes > 0 && !dry_run {
            // What was asked for is done; tidying up may fail without a word to the user but in the notes.
            merge_indexes(timeline, &actor, &self.observer).unwrap_or_else(|fault| {
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
        let stored_before = self.observer.get(crate::base::Counter::StoredBytes);
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
            let stored_now = self.observer.get(crate::base::Counter::StoredBytes).max(stored_before);
            let row = VersionRow {
                version: new.id,
                manifest: new.root.id,
                parents: parents.to_vec(),
                time,
                files: new.root.weight.files,
                bytes: new.root.weight.bytes,
                stored_bytes: stored_now + record_bytes,
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
        operations.push(Operation::Rely(crate::format::operation::Things {
            versions: row.parents.clone(),
            packs: Vec::new(),
        }));
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
        .hint("run the command again: what was stored is not stored again")
}

/// Registers indexes in a record of its own, so that a later run finds what this one stored.
pub(super) fn register_now(timeline: &mut Timeline, actor: &Actor, rows: Vec<IndexRow>) -> Result<()> {
    let rows: Vec<_> = rows.into_iter().collect();
    let operations = || if rows.is_empty() { Vec::new() } else { vec![Operation::Register { indexes: rows.clone() }] };
    timeline.append(actor, |_, _| Ok(operations())).map(drop)
}

/// Content and size of the parent's files that are worth comparing before they are cut: the large ones that were found again.
pub(super) fn large_files(manifest: &Manifest<'_>, found: &[Found]) -> Result<LargeFiles> {
    let is_large = |size: u64| size > crate::chunk::cut::SMALL_FILE;
    let wanted = found.iter().filter(|found| matches!(found.kind, FoundKind::File { .. }) && is_large(found.stat.size));
    let mut large = LargeFiles::new();
    for found in wanted {
        if let Some(leaf) = manifest.find(found.path.as_str())?
            && let EntryKind::File { size, content, .. } = leaf.entry.kind
        {
            large.insert(found.path.as_str().into(), (content, size));
        }
    }
    Ok(large)
}

fn source_kind(source: &Path) -> Result<NodeKind> {
    let missing = |fault: std::io::Error| match fault.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!("there is no {}", source.display())),
        _ => Error::io("look at", source, fault),
    };
    let real = source.canonicalize().map_err(missing)?;
    match stat_file(&real)?.1 {
        NodeKind::Special(what) => Err(Error::usage(format!("{} is {what}, not data", source.display()))),
        kind => Ok(kind),
    }
}

/// The scan of a source that is a single file, kept under its own name.
fn one_file(source: &Path) -> Result<Scan> {
    let name = source.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::usage(format!("the name of {} isn't UTF-8", source.display())))?;
    let real = source.canonicalize().map_err(|fault| Error::io("look at", source, fault))?;
    let (stat, kind) = stat_file(&real)?;
    let NodeKind::File { executable } = kind else {
        return Err(Error::usage(format!("{} is neither a folder nor a file", source.display())));
    };
    let found = Found { path: RepoPath::new(name)?, kind: FoundKind::File { executable }, stat };
    Ok(Scan { found: vec![found], left_out: Vec::new() })
}

/// Keeps only the named paths; each must have been found, itself or as a folder.
fn choose(found: &mut Scan, only: &[String]) -> Result<()> {
    let normal = |path: &'_ str| path.strip_prefix("./").unwrap_or(path).trim_end_matches('/').to_owned();
    let mut unseen: HashSet<String> = only.iter().map(|path| normal(path)).collect();
    let wanted = unseen.clone();
    found.found.retain(|found| {
        let path = found.path.as_str();
        let mut prefixes = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
        let chosen = prefixes.find(|prefix| wanted.contains(*prefix) || wanted.contains("."));
        if let Some(prefix) = chosen {
            unseen.remove(prefix);
        }
        chosen.is_some()
    });
    unseen.remove(".");
    match unseen.iter().min() {
        None => Ok(()),
        Some(missing) => Err(Error::not_found(format!("the list names {missing:?}, which isn't in the source"))),
    }
}

fn cannot_read(paths: &[LeftOutPath]) -> Error {
    let shown = paths.iter().take(20).map(|row| format!("{}: {}", row.path, row.why));
    let more = paths.len().saturating_sub(20);
    let rest = (more > 0).then(|| format!("… and {more} more"));
    let list = shown.chain(rest).collect::<Vec<_>>().join("\n  ");
    Error::new(Kind::Failed, format!("{} paths can't be read, so no version was made:\n  {list}", paths.len()))
        .hint("make them readable, leave them out with --exclude, or give --skip-unreadable (the exit code will be 8)")
}
