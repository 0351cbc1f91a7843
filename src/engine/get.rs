//! `get`: a version, or a part of it, becomes a folder.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::base::files::{self, Durability, GET_MARKER, TEMPORARY_PREFIX};
use crate::base::lock::FileLock;
use crate::base::open_folder::OpenTree;
use crate::base::path::CONTROL_FOLDER;
use crate::base::{Counter, Error, Event, Id, Kind, Observer, Result, size};
use crate::cache::{Cache, Chain, Held, Link, Pruned, is_cache};
use crate::flow::by_cache::{ByCache, LinkCounts};
use crate::flow::fill::Filler;
use crate::flow::materialize::{Existing, Source, write_entries};
use crate::store::locate::STORE_FILE;
use crate::tree::manifest::Manifest;
use crate::tree::scan::{ScanOptions, scan};
use crate::tree::share::Share;

use super::caches::{HoldBy, dataset_id};
use super::open::Target;
use super::purged::PurgedPath;
use super::scope::Scope;
use super::uses::Run;
use super::{Address, Engine};

/// What to get, and into what.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    pub folder: PathBuf,
    /// Paths and globs, from the address's path on; none: all.
    pub patterns: Vec<String>,
    /// Of these, one part of many.
    pub share: Option<Share>,
    /// Replace what stands there.
    pub overwrite: bool,
    /// Remove what the version doesn't have.
    pub delete: bool,
    /// How files come from the cache. `None`: by the cache only from a store that is far, as [`LinkMode::Auto`].
    pub link: Option<LinkMode>,
    /// Leave the cache out.
    pub no_cache: bool,
    /// Who reads through the links, if that can be told better than by the folder.
    pub hold: Option<HoldBy>,
    /// The run that is recorded as using it.
    pub run: Option<Run>,
}

/// How files get from a cache to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMode {
    /// Reflinks where the file system has them, else copies.
    Auto,
    Reflink,
    Hardlink,
    Symlink,
    Copy,
    /// One symlink to a tree that all jobs share.
    View,
}

impl LinkMode {
    fn asked(self) -> Option<Link> {
        match self {
            LinkMode::Auto => None,
            LinkMode::Reflink => Some(Link::Reflink),
            LinkMode::Hardlink => Some(Link::Hardlink),
            LinkMode::Symlink => Some(Link::Symlink),
            LinkMode::Copy => Some(Link::Copy),
            LinkMode::View => Some(Link::InView),
        }
    }
}

/// What was got.
#[derive(Debug, Clone)]
pub struct GetReport {
    pub dataset: String,
    pub version: Id,
    pub folder: PathBuf,
    pub files: u64,
    pub bytes: u64,
    /// Paths that were removed.
    pub deleted: Vec<String>,
    /// Whether an earlier run that was cut off was gone on with.
    pub resumed: bool,
    /// How files came from the cache; `None` where it was left out.
    pub links: Option<LinkCounts>,
    /// What went from the cache to make room.
    pub removed: Pruned,
    /// The shared tree that the folder is a link to.
    pub view: Option<PathBuf>,
    /// The name of the lease by which what is read through links stays in the cache.
    pub lease: Option<String>,
    /// What of it was purged, and isn't in the folder.
    pub purged: Vec<PurgedPath>,
}

impl Engine {
    /// Writes what the address means into a folder, each file verified and renamed into place.
    ///
    /// When it is asked to stop, files whose bytes are all here are finished, and the same `get` goes on with the rest.
    ///
    /// A folder that isn't empty is refused unless it was left by the same `get`, cut off, or `overwrite` or `delete` is given.
    pub fn get(&self, address: &Address, options: &GetOptions) -> Result<GetReport> {
        let _heeding = self.observer.heed_stop();
        let target = self.open_target(address)?;
        let report = self.get_target(&target, options)?;
        self.note_use(&target, options.run.as_ref());
        Ok(report)
    }

    pub(super) fn get_target(&self, target: &Target, options: &GetOptions) -> Result<GetReport> {
        let version = target.version()?.row.version;
        self.or_let_go(target, &version, self.get_readable(target, options))
    }

    fn get_readable(&self, target: &Target, options: &GetOptions) -> Result<GetReport> {
        let counted = |counter| self.observer.get(counter);
        // Others may have been got before by the same command.
        let before_this = [Counter::Files, Counter::Bytes].map(counted);
        let state = target.readable()?;
        let manifest = target.store.manifest(state);
        let scope = Scope::of(target, &manifest, &options.patterns, options.share.as_ref())?;
        let folder = self.path(&options.folder);
        if options.delete && !scope.is_whole_folder() {
            return Err(Error::usage(
                "--delete makes a folder all that a version or a folder of it is, so it takes no PATH",
            )
            .hint(format!("name the folder in the address: `dagset get {}:FOLDER/ DIR --delete`", target.shown)));
        }
        if options.hold.is_some() && !reads_cache(options.link) {
            return Err(Error::usage(
                "--hold keeps what is read through links, and files of one's own need nothing kept",
            )
            .hint("leave --hold out, or give --link hardlink, symlink or view"));
        }
        keep_off_stores(&folder, &self.absolute(&target.store.root))?;
        if options.link == Some(LinkMode::View) {
            return self.get_view(target, &manifest, &scope, &folder, options);
        }
        let marker = Marker::new(&folder, &scope.id(&state.row.manifest));
        let by_cache = !options.no_cache
            && (options.link.is_some() || target.store.content.is_far() && self.settings.user_cache.is_some());
        let chain = match by_cache.then(|| self.chain()).transpose() {
            Err(fault) if !needs_cache(options.link) => {
                self.observer.tell(Event::Warning(format!("no cache is used: {}", fault.in_one_line())));
                None
            }
            chain => chain?,
        };
        let was_there = folder.symlink_metadata().is_ok();
        let resumed = self.make_ready(&folder, &marker, options)?;
        let begin = |chain: &Chain| {
            let link = choose_link(chain.filled(), options.link, &folder)?;
            if !matches!(link, Link::Symlink | Link::Hardlink) {
                return Ok((link, None));
            }
            self.observer.tell(Event::Phase("looking"));
            let plan = self.plan(chain.filled(), &scope, &manifest)?;
            self.check_fit(chain.filled(), &plan, 0)?;
            Ok((link, Some(plan)))
        };
        let begun = chain.as_ref().map(begin).transpose().inspect_err(|_| {
            if !was_there {
                fs::remove_dir(&folder).ok();
            }
        })?;
        let (link, plan) = begun.map_or((None, None), |(link, plan)| (Some(link), plan));
        let removed = chain.as_ref().map(|chain| chain.filled().removed_for_room()).unwrap_or_default();
        let why_not = match (&chain, link, &plan) {
            (Some(chain), Some(link), None) => {
                self.why_not_to_fill(chain.filled(), link, &state.row, (&scope, &manifest), &folder)?
            }
            _ => None,
        };
        if scope.is_whole() {
            self.expect(state.row.files, state.row.bytes);
            // What stands there already needs no room, and nobody knows yet how much that is.
            let copies = matches!(link, None | Some(Link::Copy));
            if copies && !resumed && !options.overwrite && !options.delete {
                check_space(
                    &folder,
                    state.row.bytes,
                    "free some space, or get a part, by a folder in the address or by patterns",
                )?;
            }
        }
        let _alone = marker.put(resumed)?;
        self.observer.tell(Event::Phase("getting"));
        let existing = if options.overwrite || options.delete { Existing::Replace } else { Existing::Resume };
        let deleted = if options.delete { self.delete_others(&folder, &scope, &manifest)? } else { Vec::new() };
        let counts = Mutex::new(LinkCounts::default());
        let before =
            chain.as_ref().map(|chain| Engine::before(target, chain.filled())).transpose()?.unwrap_or_default();
        let mut lease = None;
        let source = match (&chain, link) {
            (Some(chain), Some(link)) => {
                if let Some(plan) = &plan {
                    // Held first: who makes room from now on leaves it.
                    let held = Held::List(chain.filled().put_list(&plan.list())?);
                    let by = options.hold.as_ref();
                    let hold = match link {
                        // A hardlink keeps the file, once it is made.
                        Link::Hardlink if by.is_none() => self.own_hold(target, plan, held)?,
                        _ => self.lease(target, plan, held, &folder, by)?,
                    };
                    lease = Some(chain.filled().hold(&hold)?);
                }
                let filler =
                    Filler { content: &target.store.content, chain, observer: &self.observer, before: &before };
                let by = ByCache::new(filler, link, &counts);
                let by = if options.link.is_none() { by.verifying() } else { by };
                if let (None, Some(why)) = (&plan, &why_not) {
                    by.leave_out(why);
                }
                Source::Cache(by)
            }
            _ => Source::Store(&target.store.content),
        };
        let entries = scope.entries(&manifest);
        let written = write_entries(source, &folder, entries, existing, false, self.settings.jobs, &self.observer);
        if let (Some(chain), Some(name), Some(Link::Hardlink), None) = (&chain, &lease, link, &options.hold) {
            lease = chain.filled().release(name).map(|()| None)?;
        }
        let removed = chain.as_ref().map(|chain| self.tell_removed(chain.filled(), removed)).unwrap_or_default();
        written?;
        marker.remove()?;
        scope.check_patterns(target)?;
        if let Some(chain) = &chain {
            chain.filled().give_back();
            // All is there, whatever the cache can still take.
            chain.filled().note_recent(&dataset_id(target), state.row.version).ok();
        }
        let links = counts.into_inner().unwrap_or_default();
        Ok(GetReport {
            dataset: target.dataset.to_string(),
            version: state.row.version,
            folder,
            files: counted(Counter::Files) - before_this[0],
            bytes: counted(Counter::Bytes) - before_this[1],
            deleted,
            resumed,
            links: chain.map(|_| links),
            removed,
            view: None,
            lease,
            purged: scope.purged(&manifest)?,
        })
    }

    /// Makes the folder, or checks that it may be written into. True if a `get` that was cut off goes on.
    fn make_ready(&self, folder: &Path, marker: &Marker, options: &GetOptions) -> Result<bool> {
        if options.overwrite && is_link_to_view(folder) {
            // What it leads to is read by other jobs.
            fs::remove_file(folder).map_err(|fault| Error::io("replace", folder, fault))?;
        }
        keep_off_caches(folder)?;
        files::create_folders(folder)?;
        let listing = fs::read_dir(folder).map_err(|fault| Error::io("list", folder, fault))?;
        let names = listing
            .map(|entry| entry.map(|entry| entry.file_name()).map_err(|fault| Error::io("list", folder, fault)))
            .collect::<Result<Vec<_>>>()?;
        // A `get` that was cut off while it wrote its marker leaves a temporary of that and nothing else.
        let is_leftover = |name: &OsString| {
            name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()) && Some(&**name) != marker.path.file_name()
        };
        let resumes = marker.is_there();
        match resumes || names.iter().all(is_leftover) || options.overwrite || options.delete {
            true => {
                if !names.is_empty() {
                    files::sweep_temporaries(folder);
                }
                Ok(resumes)
            }
            false => Err(not_empty(folder)),
        }
    }

    /// Removes what the version doesn't have, and what stands where it has something of another kind. Ignored files stay.
    fn delete_others(&self, folder: &Path, scope: &Scope, manifest: &Manifest<'_>) -> Result<Vec<String>> {
        let options = ScanOptions { jobs: self.settings.jobs, ..ScanOptions::default() };
        let kept = scope.entries(manifest).map(|placed| Ok(placed?.target)).collect::<Result<HashSet<String>>>()?;
        let found = scan(folder, &options)?.found;
        let others: Vec<&str> =
            found.iter().map(|found| found.path.as_str()).filter(|path| !kept.contains(*path)).collect();
        if let Some(store) = others.iter().find(|path| path.rsplit('/').next() == Some(STORE_FILE)) {
            return Err(Error::conflict(format!("{} holds a store: {store}", folder.display()))
                .hint("choose another folder, or get without --delete"));
        }
        let mut tree = OpenTree::open(folder)?;
        others.iter().try_for_each(|path| tree.remove(path))?;
        Ok(others.into_iter().map(str::to_owned).collect())
    }
}

pub(super) fn not_empty(folder: &Path) -> Error {
    Error::conflict(format!("{} isn't empty", folder.display()))
        .hint("choose an empty folder, or give --overwrite (and --delete to remove what the version doesn't have)")
}

/// The link for a folder: what was asked for if the file systems can have it, else an error that says what they can.
fn choose_link(cache: &Cache, asked: Option<LinkMode>, folder: &Path) -> Result<Link> {
    let refuse = |what: &str, why: &str| {
        let (cache, folder) = (cache.folder().display(), folder.display());
        let message = format!("no {what} can be made from the cache {cache} to {folder}: {why}");
        Err(Error::new(Kind::Failed, message)
            .hint("give --link symlink, view or copy, or name a cache on the same disk by --cache"))
    };
    match asked.and_then(LinkMode::asked) {
        Some(Link::Reflink) if !cache.probe(folder)?.0 => {
            refuse("reflinks", "they are on different file systems, or this one has none (XFS and btrfs have)")
        }
        Some(Link::Hardlink) if !cache.probe(folder)?.1 => refuse("hardlinks", "they are on different file systems"),
        Some(link) => Ok(link),
        None => Ok(if cache.probe(folder)?.0 { Link::Reflink } else { Link::Copy }),
    }
}

/// Refuses a folder that lies in a store, or that a store lies in.
fn keep_off_stores(folder: &Path, store: &str) -> Result<()> {
    let refuse = |what: &str| {
        Err(Error::conflict(format!("{} {what} a store, which a get must not write into", folder.display()))
            .hint("choose a folder beside the store"))
    };
    let existing = folder.ancestors().find_map(|above| above.canonicalize().ok()).unwrap_or_default();
    if existing.ancestors().any(|above| above.join(STORE_FILE).is_file() && above.join("log").is_dir()) {
        return refuse("lies in");
    }
    match Path::new(store).canonicalize() {
        Ok(store)
            if folder.canonicalize().is_ok_and(|folder| store.starts_with(&folder)) && !in_control_folder(&store) =>
        {
            refuse("holds")
        }
        _ => Ok(()),
    }
}

/// Whether files can't come without a cache.
fn needs_cache(link: Option<LinkMode>) -> bool {
    !matches!(link, None | Some(LinkMode::Auto | LinkMode::Copy))
}

/// Whether a job reads the cached files themselves.
fn reads_cache(link: Option<LinkMode>) -> bool {
    matches!(link, Some(LinkMode::Hardlink | LinkMode::Symlink | LinkMode::View))
}

/// Refuses a folder that lies in a cache, or leads there: all jobs read what is in it.
fn keep_off_caches(folder: &Path) -> Result<()> {
    let existing = folder.ancestors().find_map(|above| above.canonicalize().ok()).unwrap_or_default();
    match existing.ancestors().any(is_cache) {
        true => Err(Error::conflict(format!("{} lies in a cache, whose files other jobs read", folder.display()))
            .hint("choose another folder, or give --overwrite where it is a link to a view")),
        false => Ok(()),
    }
}

fn is_link_to_view(folder: &Path) -> bool {
    let leads_to = fs::read_link(folder).unwrap_or_default();
    leads_to.parent().and_then(Path::parent).is_some_and(is_cache)
}

/// Whether a path lies in a workspace's own folder, which no command takes for data.
fn in_control_folder(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == CONTROL_FOLDER)
}

/// Refuses what can't fit, before the first byte; `hint` says what to do.
pub(super) fn check_space(folder: &Path, bytes: u64, hint: &str) -> Result<()> {
    let Ok(space) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    match bytes <= free {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Failed,
            format!("{} don't fit: {} has {} free", size(bytes), folder.display(), size(free)),
        )
        .hint(hint)),
    }
}

/// The mark of a `get` that hasn't ended: a temporary of ours, so that no scan takes it for data.
pub(super) struct Marker {
    path: PathBuf,
    text: String,
}

impl Marker {
    /// For a choice with this id.
    pub(super) fn new(folder: &Path, what: &Id) -> Marker {
        let text = format!("dagset get, not ended: run the same command again\n{what}\n");
        Marker { path: folder.join(GET_MARKER), text }
    }

    pub(super) fn is_there(&self) -> bool {
        files::read_text(&self.path).is_ok_and(|text| text == self.text)
    }

    /// Puts the mark, and keeps every other `get` off while the lock is held. On a file system without locks there is none.
    fn put(&self, resumed: bool) -> Result<Option<FileLock>> {
        if !resumed || !self.is_there() {
            files::write_file(&self.path, self.text.as_bytes(), Durability::Synced)?;
        }
        match FileLock::take(&self.path, Duration::ZERO, &Observer::new()) {
            Ok(lock) => Ok(Some(lock)),
            Err(fault) if fault.kind() == Kind::Busy => Err(fault),
            Err(_) => Ok(None),
        }
    }

    fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &self.path, fault)),
            _ => Ok(()),
        }
    }
}
