//! `ingest`: a folder becomes a version of a dataset, without a workspace.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::base::path::CONTROL_FOLDER;
use crate::base::{BranchName, DatasetName, Error, Event, Id, Kind, RefName, RepoPath, Result};
use crate::flow::propose::Proposal;
use crate::flow::session::LargeFiles;
use crate::flow::store_files::Outcome;
use crate::format::attrs::Attrs;
use crate::format::manifest::{Entry, EntryKind};
use crate::format::operation::IndexRow;
use crate::history::keep;
use crate::history::refs::DEFAULT_BRANCH;
use crate::store::address::Address;
use crate::store::locate::cut_for_creation;
use crate::tree::ignore::Rules;
use crate::tree::manifest::Manifest;
use crate::tree::scan::{Found, FoundKind, Scan, ScanOptions, scan};
use crate::tree::stat::{NodeKind, stat_file};

use super::metadata::refuse_reserved;
use super::number::Bump;
use super::open::OpenStore;
use super::publish::{Draft, Published, register_now};
use super::{Engine, ref_names};

/// What to ingest, and as what.
#[derive(Debug, Clone, Default)]
pub struct IngestOptions {
    /// A folder, a file, or a link to one.
    pub source: PathBuf,
    /// `[STORE/]DATASET`.
    pub into: String,
    pub name: Option<String>,
    /// The next number for a name; not with `name`.
    pub bump: Option<Bump>,
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

impl Engine {
    /// Stores a folder as a version of a dataset, or finds that nothing changed.
    ///
    /// Errors: [`Kind::NotFound`] where the store, the dataset or the source isn't there; [`Kind::Conflict`] where the branch isn't where it
    /// must be or the name is taken; [`Kind::Failed`] listing what can't be read.
    pub fn ingest(&self, options: &IngestOptions) -> Result<Published> {
        refuse_reserved(&options.meta)?;
        keep::Rules::check_of_version(&options.meta)?;
        self.awake(|| self.ingest_once(options))
    }

    fn ingest_once(&self, options: &IngestOptions) -> Result<Published> {
        let name = options.name.as_deref().map(RefName::new).transpose()?;
        let tags = ref_names(&options.tags)?;
        let branch = BranchName::new(options.branch.as_deref().unwrap_or(DEFAULT_BRANCH))?;
        // Before a store is made for it.
        Rules::new(&options.exclude)?;
        let source = self.path(&options.source);
        let source_kind = source_kind(&source)?;
        let (mut store, dataset) = self.open_for_ingest(options)?;

        let (proposal, parents_known) = {
            let target = store.timeline.fold().datasets.get(&dataset);
            let resolve = |text: &String| match target {
                Some(_) => crate::history::refs::resolve(
                    store.timeline.fold(),
                    &dataset,
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
                renews: false,
                repeats: true,
                seen_head,
            };
            let given = proposal.parents.iter().flatten();
            given.chain(&seen_head).try_for_each(|id| store.timeline.refuse_let_go(id))?;
            let known = seen_head.or(proposal.parents.as_ref().and_then(|parents| parents.first().copied()));
            (proposal, known)
        };

        self.keep_store_out(&source, &store)?;
        self.observer.tell(Event::Phase("scanning"));
        let found = self.find(&source, source_kind, options)?;
        let parent =
            parents_known.and_then(|id| store.timeline.fold().datasets.get(&dataset)?.versions.get(&id)).cloned();
        let OpenStore { timeline, content, .. } = &mut store;
        let manifest =
            parent.as_ref().map(|state| Manifest::new(content, state.row.manifest, Some(state.row.manifest_place)));
        let large = self.large_files(manifest.as_ref(), &found.found);
        let mut session = self.session(timeline, content, options.dry_run);
        parent.iter().for_each(|parent| session.use_version(parent.row.version));
        let base = match source_kind {
            NodeKind::Folder => source.clone(),
            _ => source.parent().map(Path::to_owned).unwrap_or_default(),
        };
        let actor = self.actor();
        let register = &mut |rows: Vec<IndexRow>| register_now(timeline, &actor, rows);
        let outcomes = session.store(&base, &found.found, &large, register)?;
        let (entries, left_out) = self.sort_out(found, outcomes, options.skip_unreadable)?;
        let draft = Draft {
            proposal,
            message: options.message.clone(),
            meta: options.meta.clone(),
            roles: Vec::new(),
            number: options.bump,
            create_dataset: options.create,
            into: Some(options.into.clone()),
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
        let (store, rest) = match self.open_store_around(&text) {
            Err(fault) if fault.kind() == Kind::NotFound && options.create => {
                let (root, dataset) = cut_for_creation(&text)?;
                DatasetName::new(&dataset)?;
                if options.dry_run {
                    self.refuse_around_stores(&root)?;
                    return Ok((self.imagined_store(&root)?, DatasetName::new(&dataset)?));
                }
                let store = match self.make_store(&root) {
                    Ok(_) => self.open_store(&root)?.0,
                    // Another process was first, perhaps: its store is as good.
                    Err(fault) if fault.kind() == Kind::Conflict => self.open_store(&root).map_err(|_| fault)?.0,
                    Err(fault) => return Err(fault),
                };
                (store, Some(dataset))
            }
            Err(fault) if fault.kind() == Kind::NotFound && !options.create => {
                // Where stores lie below, one of them is meant rather than a new one around them.
                let may_create = fault.next_step().is_some_and(|hint| hint.starts_with("dagset store create"));
                return Err(if may_create { fault.hint("--create makes the store and the dataset") } else { fault });
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

    /// Refuses a folder that the store lies in: each ingest would find what the one before wrote.
    fn keep_store_out(&self, source: &Path, store: &OpenStore) -> Result<()> {
        let root = Path::new(&self.absolute(&store.root)).canonicalize().unwrap_or_default();
        let Ok(below) = source
            .canonicalize()
            .and_then(|source| root.strip_prefix(source).map(Path::to_owned).map_err(std::io::Error::other))
        else {
            return Ok(());
        };
        match below.starts_with(CONTROL_FOLDER) {
            true => Ok(()),
            false => Err(Error::usage(format!("the store {} lies in the folder that is ingested", store.root))
                .hint("put the store beside the folder")),
        }
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
            let hint = "make them readable, leave them out with --exclude, or give --skip-unreadable (the exit code will be 8)";
            return Err(cannot_read(&unreadable, hint));
        }
        left_out.extend(unreadable);
        left_out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((entries, left_out))
    }
}

/// The entries of a version, in path order, and what was left out of it.
type SortedOut = (Vec<(RepoPath, Entry)>, Vec<LeftOutPath>);

impl Engine {
    /// What is known of large files from the parent. It only saves work: a parent that can't be read is told under `-v` and does without.
    pub(super) fn large_files(&self, manifest: Option<&Manifest<'_>>, found: &[Found]) -> LargeFiles {
        let known = manifest.map(|manifest| large_files(manifest, found)).unwrap_or_else(|| Ok(LargeFiles::new()));
        known.unwrap_or_else(|fault| {
            self.observer.tell(Event::Note(format!("the parent version can't be read: {fault}")));
            LargeFiles::new()
        })
    }
}

/// Content and size of the parent's files that are worth comparing before they are cut: the large ones that were found again.
fn large_files(manifest: &Manifest<'_>, found: &[Found]) -> Result<LargeFiles> {
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

/// The error that lists what can't be read; `hint` says what to do.
pub(super) fn cannot_read(paths: &[LeftOutPath], hint: &str) -> Error {
    let shown = paths.iter().take(20).map(|row| format!("{}: {}", row.path, row.why));
    let more = paths.len().saturating_sub(20);
    let rest = (more > 0).then(|| format!("… and {more} more"));
    let list = shown.chain(rest).collect::<Vec<_>>().join("\n  ");
    Error::new(Kind::Failed, format!("{} paths can't be read, so no version was made:\n  {list}", paths.len()))
        .hint(hint)
}
