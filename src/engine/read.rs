//! `ls`, `tree`, `stat`, `cat`: looking into a version without a copy of it.

use std::io::Write;

use crate::base::{Error, Event, Id, Result, Tally};
use crate::flow::read_content::read_content;
use crate::format::attrs::Attrs;
use crate::format::manifest::EntryKind;
use crate::format::tombstone::Tombstone;
use crate::store::content::Content;
use crate::tree::manifest::{Child, Leaf, Manifest};

use super::open::Target;
use super::{Address, Engine};

/// What stands at a path of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedKind {
    File,
    Symlink,
    Folder,
}

/// A path of a version as `ls` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEntry {
    /// From the dataset's root.
    pub path: String,
    pub kind: ListedKind,
    /// Of a file.
    pub bytes: Option<u64>,
    /// Of a file.
    pub content: Option<Id>,
    pub executable: bool,
    /// Of a symlink.
    pub target: Option<String>,
    /// Of a file whose content isn't in the store any more: which record purged it, when and why.
    pub purged: Option<Tombstone>,
}

/// What `stat` tells of one path.
#[derive(Debug, Clone)]
pub struct Stated {
    pub dataset: String,
    pub version: Id,
    pub entry: ListedEntry,
    pub attributes: Attrs,
    /// Of a folder: entries, files and bytes below it.
    pub below: Option<(u64, u64, u64)>,
}

impl Engine {
    /// The entries of a folder: one level, or all below it if `recursive`. A path that is a file lists that file.
    pub fn list_entries(&self, address: &Address, recursive: bool) -> Result<Vec<ListedEntry>> {
        let target = self.open_to_read(address)?;
        let state = target.version()?;
        if let Err(fault) = target.check_content(&state.row.version) {
            self.observer.tell(Event::Warning(fault.in_one_line()));
        }
        let manifest = target.store.manifest(state);
        let folder = target.folder();
        if let Some(leaf) = exact(&manifest, folder)? {
            let is_folder = leaf.entry.kind == EntryKind::EmptyFolder;
            return Ok(if is_folder { Vec::new() } else { vec![listed(&leaf, manifest.content())] });
        }
        let entries = match recursive {
            true => manifest
                .entries(folder)
                .map(|leaf| leaf.map(|leaf| listed(&leaf, manifest.content())))
                .collect::<Result<Vec<_>>>()?,
            false => manifest.children(folder)?.iter().map(|child| listed_child(child, manifest.content())).collect(),
        };
        match entries.is_empty() && !folder.is_empty() {
            true => Err(no_such_path(&target, folder)),
            false => Ok(entries),
        }
    }

    /// What stands at the address's path.
    pub fn stat(&self, address: &Address) -> Result<Stated> {
        let target = self.open_to_read(address)?;
        let state = target.version()?;
        let manifest = target.store.manifest(state);
        let path = target.folder();
        let (entry, attributes, below) = match exact(&manifest, path)? {
            Some(leaf) => (listed(&leaf, manifest.content()), manifest.attributes(&leaf.entry)?, None),
            None => {
                let (mut entries, mut files, mut bytes) = (0, 0, 0);
                for leaf in manifest.entries(path) {
                    let leaf = leaf?;
                    entries += 1;
                    files += u64::from(leaf.entry.is_file());
                    bytes += leaf.entry.bytes();
                }
                if entries == 0 && !path.is_empty() {
                    return Err(no_such_path(&target, path));
                }
                (folder_entry(path), Attrs::default(), Some((entries, files, bytes)))
            }
        };
        Ok(Stated { dataset: target.dataset.to_string(), version: state.row.version, entry, attributes, below })
    }

    /// Writes the content of the file at the address's path to `out`, verified piece by piece.
    pub fn cat(&self, address: &Address, out: &mut (dyn Write + Send)) -> Result<()> {
        let target = self.open_to_read(address)?;
        let state = target.readable()?;
        let manifest = target.store.manifest(state);
        let path = target.folder();
        if path.is_empty() {
            return Err(Error::usage("cat needs the path of a file").hint(format!(
                "write {}:PATH; {} shows the paths",
                target.shown,
                target.command("ls -R")
            )));
        }
        let leaf = exact(&manifest, path)?.ok_or_else(|| no_such_path(&target, path))?;
        match &leaf.entry.kind {
            EntryKind::File { size, content, .. } => {
                let sink = |bytes: &[u8]| {
                    out.write_all(bytes).map_err(|fault| {
                        Error::new(crate::base::Kind::Failed, "cannot write the output").because(fault)
                    })
                };
                let tally = Tally::new(&self.observer, 0);
                let read = read_content(&target.store.content, content, *size, leaf.place.as_ref(), &tally, sink);
                self.or_let_go(&target, &state.row.version, read)
            }
            EntryKind::Symlink { target } => Err(Error::usage(format!("{path} is a symlink to {target}"))),
            EntryKind::EmptyFolder => Err(Error::usage(format!("{path} is a folder"))),
        }
    }
}

fn exact(manifest: &Manifest<'_>, path: &str) -> Result<Option<Leaf>> {
    if path.is_empty() { Ok(None) } else { manifest.find(path) }
}

/// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) where the version that is meant has nothing at the path.
pub(super) fn check_path(target: &Target) -> Result<()> {
    let path = target.folder();
    let manifest = target.store.manifest(target.version()?);
    match path.is_empty() || manifest.find(path)?.is_some() || manifest.has_folder(path)? {
        true => Ok(()),
        false => Err(no_such_path(target, path)),
    }
}

/// The error for a path that a version doesn't have.
pub(super) fn no_such_path(target: &Target, path: &str) -> Error {
    Error::not_found(format!("{} has no {path} in this version", target.dataset)).hint(format!(
        "{} shows what is there, {} all of it",
        target.command("ls"),
        target.command("ls -R")
    ))
}

/// An entry as `ls` shows it.
fn listed(leaf: &Leaf, content: &Content) -> ListedEntry {
    let base = folder_entry(leaf.path.as_str());
    let purged = content.tombstone_of(&leaf.entry).cloned();
    match &leaf.entry.kind {
        EntryKind::File { size, content, executable } => ListedEntry {
            kind: ListedKind::File,
            bytes: Some(*size),
            content: Some(*content),
            executable: *executable,
            purged,
            ..base
        },
        EntryKind::Symlink { target } => {
            ListedEntry { kind: ListedKind::Symlink, target: Some(target.to_string()), ..base }
        }
        EntryKind::EmptyFolder => base,
    }
}

fn listed_child(child: &Child, content: &Content) -> ListedEntry {
    match child {
        Child::Entry(leaf) => listed(leaf, content),
        Child::Folder(path) => folder_entry(path.as_str()),
    }
}

fn folder_entry(path: &str) -> ListedEntry {
    let path = path.to_owned();
    ListedEntry {
        path,
        kind: ListedKind::Folder,
        bytes: None,
        content: None,
        executable: false,
        target: None,
        purged: None,
    }
}
