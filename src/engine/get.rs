//! `get`: a version, or a part of it, becomes a folder.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::files::{self, Durability, GET_MARKER, TEMPORARY_PREFIX};
use crate::base::lock::FileLock;
use crate::base::path::CONTROL_FOLDER;
use crate::base::{Counter, Error, Event, Id, Kind, Result};
use crate::flow::materialize::{Existing, Placed, write_entries};
use crate::format::manifest::EntryKind;
use crate::store::locate::STORE_FILE;
use crate::tree::Selection;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::scan::{ScanOptions, scan};

use super::read::no_such_path;
use super::{Address, Engine};

/// What to get, and into what.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    pub folder: PathBuf,
    /// Paths and globs, from the address's path on; none: all.
    pub patterns: Vec<String>,
    /// Replace what stands there.
    pub overwrite: bool,
    /// Remove what the version doesn't have.
    pub delete: bool,
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
}

impl Engine {
    /// Writes what the address means into a folder, each file verified and renamed into place.
    ///
    /// A folder that isn't empty is refused unless it was left by the same `get`, cut off, or `overwrite` or `delete` is given.
    pub fn get(&self, address: &Address, options: &GetOptions) -> Result<GetReport> {
        let target = self.open_target(address)?;
        let state = target.version()?;
        let manifest = target.store.manifest(state);
        let selection = Selection::new(&options.patterns)?;
        let part = Part::of(&manifest, target.folder())?.ok_or_else(|| no_such_path(&target, target.folder()))?;
        let folder = self.path(&options.folder);
        let marker = Marker::new(&folder, &state.row.manifest, &part, &options.patterns);
        if options.delete && (!options.patterns.is_empty() || part.file.is_some()) {
            return Err(Error::usage(
                "--delete makes a folder all that a version or a folder of it is, so it takes no PATH",
            )
            .hint(format!("name the folder in the address: `dagset get {}:FOLDER/ DIR --delete`", target.shown)));
        }
        keep_off_stores(&folder, &self.absolute(&target.store.root))?;
        let resumed = self.make_ready(&folder, &marker, options)?;
        if options.patterns.is_empty() && part.prefix.is_empty() {
            self.observer.add(Counter::FilesTotal, state.row.files);
            self.observer.add(Counter::BytesTotal, state.row.bytes);
            // What stands there already needs no room, and nobody knows yet how much that is.
            if !resumed && !options.overwrite && !options.delete {
                check_space(&folder, state.row.bytes)?;
            }
        }
        let _alone = marker.put(resumed)?;
        self.observer.tell(Event::Phase("getting"));
        let existing = if options.overwrite || options.delete { Existing::Replace } else { Existing::Resume };
        let deleted = if options.delete { self.delete_others(&folder, &part, &manifest)? } else { Vec::new() };
        let entries = part.entries(&manifest, &selection).filter(|placed| match placed {
            Ok(placed) => selection.matches(&placed.target),
            Err(_) => true,
        });
        write_entries(&target.store.content, &folder, entries, existing, false, self.settings.jobs, &self.observer)?;
        if let Some(nothing) = selection.unmatched().first() {
            marker.remove()?;
            return Err(Error::not_found(format!("nothing in this version matches {nothing:?}"))
                .hint(format!("{} shows all paths", target.command("ls -R"))));
        }
        marker.remove()?;
        Ok(GetReport {
            dataset: target.dataset.to_string(),
            version: state.row.version,
            folder,
            files: self.observer.get(Counter::Files),
            bytes: self.observer.get(Counter::Bytes),
            deleted,
            resumed,
        })
    }

    /// Makes the folder, or checks that it may be written into. True if a `get` that was cut off goes on.
    fn make_ready(&self, folder: &Path, marker: &Marker, options: &GetOptions) -> Result<bool> {
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
            false => Err(Error::conflict(format!("{} isn't empty", folder.display())).hint(
                "choose an empty folder, or give --overwrite (and --delete to remove what the version doesn't have)",
            )),
        }
    }

    /// Removes what the version doesn't have, and what stands where it has something of another kind. Ignored files stay.
    fn delete_others(&self, folder: &Path, part: &Part, manifest: &Manifest<'_>) -> Result<Vec<String>> {
        let options = ScanOptions { jobs: self.settings.jobs, ..ScanOptions::default() };
        let kept = part
            .entries(manifest, &Selection::new(&[])?)
            .map(|placed| Ok(placed?.target))
            .collect::<Result<HashSet<String>>>()?;
        let found = scan(folder, &options)?.found;
        let others: Vec<&str> =
            found.iter().map(|found| found.path.as_str()).filter(|path| !kept.contains(*path)).collect();
        if let Some(store) = others.iter().find(|path| path.rsplit('/').next() == Some(STORE_FILE)) {
            return Err(Error::conflict(format!("{} holds a store: {store}", folder.display()))
                .hint("choose another folder, or get without --delete"));
        }
        others.iter().try_for_each(|path| remove_with_empty_folders(folder, path))?;
        Ok(others.into_iter().map(str::to_owned).collect())
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

/// Whether a path lies in a workspace's own folder, which no command takes for data.
fn in_control_folder(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == CONTROL_FOLDER)
}

/// Removes a file, link or empty folder, then the folders above it that are empty now.
pub(super) fn remove_with_empty_folders(root: &Path, path: &str) -> Result<()> {
    let full = root.join(path);
    let is_folder = full.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let removed = if is_folder { fs::remove_dir(&full) } else { fs::remove_file(&full) };
    match removed {
        Ok(()) => {}
        // What rules leave out may still be in a folder: then it stays.
        Err(fault) if matches!(fault.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {}
        Err(fault) => return Err(Error::io("remove", &full, fault)),
    }
    let mut above = full.parent();
    while let Some(parent) = above.filter(|parent| *parent != root) {
        if fs::remove_dir(parent).is_err() {
            break;
        }
        above = parent.parent();
    }
    Ok(())
}

/// Refuses what can't fit, before the first byte.
pub(super) fn check_space(folder: &Path, bytes: u64) -> Result<()> {
    let Ok(space) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    match bytes <= free {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Failed,
            format!("{bytes} bytes don't fit: {} has {free} bytes free", folder.display()),
        )
        .hint("free some space, or get a part, by a folder in the address or by patterns")),
    }
}

/// What the address's path means: all below a folder, or one file.
struct Part {
    /// The folder with a slash behind it, or empty.
    prefix: String,
    file: Option<Leaf>,
}

impl Part {
    fn of(manifest: &Manifest<'_>, path: &str) -> Result<Option<Part>> {
        if path.is_empty() {
            return Ok(Some(Part { prefix: String::new(), file: None }));
        }
        match manifest.find(path)? {
            Some(leaf) if leaf.entry.kind == EntryKind::EmptyFolder => {
                Ok(Some(Part { prefix: format!("{path}/"), file: None }))
            }
            Some(leaf) => Ok(Some(Part {
                prefix: leaf.path.parent().map(|parent| format!("{parent}/")).unwrap_or_default(),
                file: Some(leaf),
            })),
            None if manifest.has_folder(path)? => Ok(Some(Part { prefix: format!("{path}/"), file: None })),
            None => Ok(None),
        }
    }

    /// Entries among which are all that are selected.
    fn entries<'m>(
        &'m self,
        manifest: &Manifest<'m>,
        selection: &Selection,
    ) -> Box<dyn Iterator<Item = Result<Placed>> + Send + 'm> {
        let prefix = &self.prefix;
        let place = move |leaf: Leaf| {
            leaf.path
                .as_str()
                .strip_prefix(&**prefix)
                .map(|target| Placed { target: target.to_owned(), leaf: leaf.clone() })
        };
        match &self.file {
            Some(leaf) => Box::new(place(leaf.clone()).map(Ok).into_iter()),
            None => {
                let entries = manifest.candidates(prefix.trim_end_matches('/'), selection);
                Box::new(entries.filter_map(move |leaf| leaf.map(place).transpose()))
            }
        }
    }
}

/// The mark of a `get` that hasn't ended: a temporary of ours, so that no scan takes it for data.
struct Marker {
    path: PathBuf,
    text: String,
}

impl Marker {
    fn new(folder: &Path, manifest: &Id, part: &Part, patterns: &[String]) -> Marker {
        let file = part.file.as_ref().map(|leaf| leaf.path.as_str()).unwrap_or_default();
        let what = [manifest.to_string(), part.prefix.clone(), file.to_owned(), patterns.join("\n")].join("\n");
        let text = format!("dagset get, not ended: run the same command again\n{}\n", Id::of(what.as_bytes()));
        Marker { path: folder.join(GET_MARKER), text }
    }

    fn is_there(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.text)
    }

    /// Puts the mark, and keeps every other `get` off while the lock is held. On a file system without locks there is none.
    fn put(&self, resumed: bool) -> Result<Option<FileLock>> {
        if !resumed || !self.is_there() {
            files::write_file(&self.path, self.text.as_bytes(), Durability::Synced)?;
        }
        match FileLock::take(&self.path, Duration::ZERO) {
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
