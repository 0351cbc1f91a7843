//! A walk through all that versions need, each thing once however many share it: whether it is there, and whether it makes sense together,
//! as every reader wants it (docs/format.md §6, §7).
//!
//! What is said of a node is kept as its [`Edge`], so that a node which many versions share is read once and held against each of its parents.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::base::{Error, Id, Kind, RepoPath, Result};
use crate::format::manifest::{Entry, FolderGuard};
use crate::format::node::{Node, NodeChild, TreeKind, Weight};
use crate::format::pack::ItemKind;
use crate::format::version::Version;
use crate::history::alive::all_versions;
use crate::history::fold::{Fold, VersionState};
use crate::store::content::Content;
use crate::tree::manifest::{Manifest, path_of};
use crate::tree::subtrees::node_ids;

use super::{Check, Finding};

/// See the module.
pub(super) struct Walk<'w> {
    pub(super) check: &'w Check<'w>,
    pub(super) content: &'w Content,
    /// The nodes that were met; `None` of those that have no sound edge, or that weren't looked at.
    nodes: HashMap<Id, Option<Rc<Edge>>>,
    /// Contents, with the size that an entry gave.
    pub(super) contents: HashSet<(Id, u64)>,
    /// Recipe pages, with what their parent said: level and bytes below.
    pub(super) pages: HashSet<(Id, u8, u64)>,
    pub(super) lent: HashSet<Id>,
    /// The content of files that are met now isn't looked at: it was let go.
    is_bare: bool,
}

/// What neighbours and parents of a node have to agree with. It has an item at least.
struct Edge {
    level: u8,
    first: RepoPath,
    last: RepoPath,
    weight: Weight,
    /// The paths in it that can be folders of what comes behind: those that the last one begins with.
    open: Vec<RepoPath>,
}

impl Edge {
    /// Whether this is the child that an inner node of `level` says stands behind the key `before` and ends with `last`.
    ///
    /// The rule of [`Node::check_child`], and of a leaf the files and bytes too: its entries are parsed here.
    fn is(&self, child: &NodeChild, level: u8, before: Option<&[u8]>, last: &[u8]) -> bool {
        self.level + 1 == level
            && self.last.as_str().as_bytes() == last
            && before.is_none_or(|before| before < self.first.as_str().as_bytes())
            && self.weight == child.weight
    }
}

impl<'w> Walk<'w> {
    pub(super) fn new(check: &'w Check<'w>, content: &'w Content) -> Walk<'w> {
        Walk {
            check,
            content,
            nodes: HashMap::new(),
            contents: HashSet::new(),
            pages: HashSet::new(),
            lent: HashSet::new(),
            is_bare: false,
        }
    }

    /// How much of what was met another store lends.
    pub(super) fn lent(&self) -> u64 {
        self.lent.len() as u64
    }

    /// What new versions share with old parents isn't looked at, as far as it can be told.
    pub(super) fn pass_over_parents(&mut self, fold: &Fold, new: &[&VersionState], old: &[&VersionState]) {
        let known = all_versions(fold);
        let is_old = |id: &&Id| old.iter().any(|state| state.row.version == **id);
        let mut passed = HashSet::new();
        for parent in new.iter().flat_map(|state| &state.row.parents).filter(is_old) {
            // What an old parent has no content of any more, a new version needs all the same.
            let Some(row) = known.get(parent).filter(|_| !fold.let_go.contains_key(parent)) else { continue };
            let manifest = Manifest::new(self.content, row.manifest, Some(row.manifest_place));
            node_ids(&manifest, &mut passed).ok();
        }
        self.nodes.extend(passed.into_iter().map(|id| (id, None)));
    }

    /// What a version needs besides the content of its files, and that no version needed which was looked at before: all of those with content are.
    pub(super) fn bare_version(&mut self, state: &VersionState) -> Result<()> {
        self.is_bare = true;
        self.version(state)
    }

    pub(super) fn version(&mut self, state: &VersionState) -> Result<()> {
        let id = state.row.version;
        match self.content.meta(&id, ItemKind::Version, Some(&state.row.version_place)) {
            Ok(item) => match Version::parse(item.bytes()) {
                Ok(version) if version.manifest == state.row.manifest => {}
                Ok(_) => self.damaged(&id, None, "the log and the record name different manifests"),
                Err(fault) => self.damaged(&id, None, fault.in_one_line()),
            },
            Err(fault) => self.unread(&id, ItemKind::Version, None, fault)?,
        }
        let root = state.row.manifest;
        let manifest = Manifest::new(self.content, root, Some(state.row.manifest_place));
        self.node(&manifest, &root, None, "").map(drop)
    }

    /// Looks at a node and at all below it. `level` is the one that its parent says, `None` for a root; `path` is its last one.
    fn node(&mut self, manifest: &Manifest<'_>, id: &Id, level: Option<u8>, path: &str) -> Result<Option<Rc<Edge>>> {
        if let Some(known) = self.nodes.get(id) {
            return Ok(known.clone());
        }
        self.nodes.insert(*id, None);
        let item = match self.content.meta(id, ItemKind::Node, None) {
            Ok(item) => item,
            Err(fault) => {
                self.unread(id, ItemKind::Node, Some(path), fault)?;
                return Ok(None);
            }
        };
        let node = match Node::parse(TreeKind::Manifest, item.bytes()) {
            // It ends: levels fall on the way down.
            Ok(node) if level.is_none_or(|level| level == node.level()) => node,
            Ok(_) => {
                self.damaged(id, Some(path), "is of the wrong level");
                return Ok(None);
            }
            Err(fault) => {
                self.damaged(id, Some(path), fault.in_one_line());
                return Ok(None);
            }
        };
        if level.is_none()
            && let Err(fault) = node.check_root()
        {
            self.damaged(id, None, fault.in_one_line());
        }
        let edge = match node.level() {
            0 => self.leaf(id, &node)?,
            _ => self.inner(manifest, id, &node)?,
        };
        let edge = edge.map(Rc::new);
        self.nodes.insert(*id, edge.clone());
        Ok(edge)
    }

    fn leaf(&mut self, id: &Id, node: &Node) -> Result<Option<Edge>> {
        let mut guard = FolderGuard::default();
        let mut first = None;
        let mut last = None;
        let mut weight = Some(Weight::default());
        let mut is_sound = true;
        for index in 0..node.len() {
            let read = path_of(node, index).and_then(|path| {
                guard.next(&path)?;
                Ok((path, Entry::decode(node.value(index))?))
            });
            match read {
                Ok((path, entry)) => {
                    if !self.is_bare {
                        self.entry(&entry, path.as_str())?;
                    }
                    let own = Weight { entries: 1, files: entry.is_file().into(), bytes: entry.bytes() };
                    weight = weight.and_then(|sum| sum.plus(own));
                    first.get_or_insert(path.clone());
                    last = Some(path);
                }
                Err(fault) => {
                    self.damaged(id, Some(&String::from_utf8_lossy(node.key(index))), fault.in_one_line());
                    is_sound = false;
                }
            }
        }
        let whole = first.zip(last).zip(weight).filter(|_| is_sound);
        Ok(whole.map(|((first, last), weight)| Edge { level: 0, first, last, weight, open: guard.open() }))
    }

    fn inner(&mut self, manifest: &Manifest<'_>, id: &Id, node: &Node) -> Result<Option<Edge>> {
        let mut edges: Vec<Rc<Edge>> = Vec::new();
        let mut open: Vec<RepoPath> = Vec::new();
        let mut weight = Some(Weight::default());
        for index in 0..node.len() {
            let (child, last) = (node.child(index), node.key(index));
            let path = String::from_utf8_lossy(last);
            weight = weight.and_then(|sum| sum.plus(child.weight));
            let Some(edge) = self.node(manifest, &child.id, Some(node.level() - 1), &path)? else {
                open.clear();
                continue;
            };
            let before = index.checked_sub(1).map(|before| node.key(before));
            if !edge.is(&child, node.level(), before, last) {
                self.damaged(&child.id, Some(&path), "a node isn't what its parent says");
                return Ok(None);
            }
            for folder in &open {
                if has_below(manifest, &edge, folder)? {
                    self.damaged(id, Some(&path), format!("{:?} is both a file and a folder", folder.as_str()));
                }
            }
            open.retain(|folder| edge.last.as_str().starts_with(folder.as_str()));
            open.extend(edge.open.iter().cloned());
            edges.push(edge);
        }
        if weight.is_none() {
            self.damaged(id, None, "its children's counts exceed 64 bits");
        }
        let whole = edges.len() == node.len();
        let ends = edges.first().zip(edges.last()).zip(weight).filter(|_| whole);
        Ok(ends.map(|((first, last), weight)| Edge {
            level: node.level(),
            first: first.first.clone(),
            last: last.last.clone(),
            weight,
            open,
        }))
    }

    pub(super) fn unread(&self, id: &Id, kind: ItemKind, path: Option<&str>, fault: Error) -> Result<()> {
        if fault.kind() == Kind::Unreachable {
            return Err(fault);
        }
        self.missing(id, kind, path, fault.in_one_line());
        Ok(())
    }

    pub(super) fn missing(&self, id: &Id, kind: ItemKind, path: Option<&str>, why: impl ToString) {
        let path = path.map(str::to_owned);
        self.check.find(Finding { path, lacks: Some((*id, kind)), ..Finding::missing(&id.to_string(), why) });
    }

    pub(super) fn damaged(&self, id: &Id, path: Option<&str>, why: impl ToString) {
        let path = path.map(str::to_owned);
        self.check.find(Finding { path, ..Finding::damaged(&id.to_string(), why) });
    }
}

/// Whether a node, that stands behind the entry `folder`, has entries below that path.
///
/// The manifest is only asked where the node's ends don't tell: where names such as `folder.txt` stand between.
fn has_below(manifest: &Manifest<'_>, edge: &Edge, folder: &RepoPath) -> Result<bool> {
    let (start, end) = (format!("{folder}/"), format!("{folder}0"));
    let (first, last) = (edge.first.as_str(), edge.last.as_str());
    if first >= &*end || last < &*start {
        return Ok(false);
    }
    if first >= &*start || last < &*end {
        return Ok(true);
    }
    match manifest.has_folder(folder.as_str()) {
        Err(fault) if fault.kind() == Kind::Unreachable => Err(fault),
        // What can't be read is found where it stands.
        asked => Ok(asked.unwrap_or(false)),
    }
}
