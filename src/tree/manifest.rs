//! Reading a manifest: only the nodes that the question needs are fetched.

use std::sync::Arc;

use crate::base::{Error, Id, RepoPath, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::format::header::ObjectKind;
use crate::format::hint::{self, ChildShape};
use crate::format::manifest::{Entry, EntryKind, FolderGuard};
use crate::format::node::{Node, TreeKind};
use crate::format::pack::ItemKind;
use crate::format::place::Place;
use crate::store::content::{Content, Item};

/// A manifest in a store.
#[derive(Clone, Copy)]
pub struct Manifest<'a> {
    content: &'a Content,
    root: Id,
    place: Option<Place>,
}

/// An entry of a manifest, with the place of its only chunk or of its recipe as far as the hint knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    pub path: RepoPath,
    pub entry: Entry,
    pub place: Option<Place>,
}

/// What stands directly in a folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Child {
    Entry(Leaf),
    /// A folder that isn't empty; its path.
    Folder(RepoPath),
}

impl Child {
    /// Its path from the dataset's root.
    pub fn path(&self) -> &RepoPath {
        match self {
            Child::Entry(leaf) => &leaf.path,
            Child::Folder(path) => path,
        }
    }
}

/// A node with the places of its children.
pub(super) struct Opened {
    pub(super) node: Node,
    /// The stored node and its hint.
    pub(super) item: Item,
    places: Vec<Option<Place>>,
}

impl Opened {
    /// The entry of a leaf; `hinted` is its number among those that a hint speaks of.
    pub(super) fn leaf(&self, index: usize, hinted: Option<usize>) -> Result<Leaf> {
        let entry = Entry::decode(self.node.value(index))?;
        let place = shape_of(&entry).and(hinted).and_then(|hinted| self.places.get(hinted).copied().flatten());
        let key = std::str::from_utf8(self.node.key(index)).map_err(|_| Error::damaged("a path isn't UTF-8"))?;
        let path =
            RepoPath::new(key).map_err(|fault| Error::damaged("a manifest holds a forbidden path").because(fault))?;
        Ok(Leaf { path, entry, place })
    }
}

impl<'a> Manifest<'a> {
    /// The manifest with this root; `place` is where it is thought to lie.
    pub fn new(content: &'a Content, root: Id, place: Option<Place>) -> Manifest<'a> {
        Manifest { content, root, place }
    }

    /// The id of the root: the manifest id.
    pub fn root(&self) -> Id {
        self.root
    }

    /// All entries at or below `folder` (`""`: all) in path order.
    pub fn entries(&self, folder: &str) -> Entries<'a> {
        let cursor = Cursor::new(*self, folder);
        Entries { cursor, folder: folder.into(), guard: FolderGuard::default(), started: false }
    }

    /// The entry at exactly `path`.
    pub fn find(&self, path: &str) -> Result<Option<Leaf>> {
        let mut cursor = Cursor::new(*self, path);
        cursor.seek(path.as_bytes())?;
        Ok(cursor.leaf()?.filter(|leaf| leaf.path.as_str() == path))
    }

    /// The entries at `paths`, which are in path order; neighbours cost one way down the tree.
    pub fn find_each<'p>(&self, paths: impl Iterator<Item = &'p str>) -> Result<Vec<Option<Leaf>>> {
        let mut cursor = Cursor::new(*self, "");
        let mut found = Vec::new();
        for path in paths {
            let mut leaf = cursor.leaf()?.filter(|leaf| leaf.path.as_str() == path);
            if leaf.is_none() {
                cursor.seek(path.as_bytes())?;
                leaf = cursor.leaf()?.filter(|leaf| leaf.path.as_str() == path);
            }
            if leaf.is_some() {
                cursor.advance()?;
            }
            found.push(leaf);
        }
        Ok(found)
    }

    /// Whether anything lies below `folder`.
    pub fn has_folder(&self, folder: &str) -> Result<bool> {
        Ok(self
            .entries(folder)
            .find_map(|leaf| match leaf {
                Ok(leaf) if leaf.path.as_str() == folder => None,
                other => Some(other),
            })
            .transpose()?
            .is_some())
    }

    /// What stands directly in `folder`, in the order of names; whole subfolders are skipped, not read.
    pub fn children(&self, folder: &str) -> Result<Vec<Child>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut cursor = Cursor::new(*self, folder);
        cursor.seek(prefix.as_bytes())?;
        let mut children = Vec::new();
        while let Some(leaf) = cursor.leaf()? {
            let Some(rest) = leaf.path.as_str().strip_prefix(&prefix) else { break };
            match rest.split_once('/') {
                None => {
                    children.push(Child::Entry(leaf));
                    cursor.advance()?;
                }
                Some((name, _)) => {
                    let path = format!("{prefix}{name}");
                    // '0' is the byte behind '/': the first key that can't be below the folder.
                    cursor.seek(format!("{path}0").as_bytes())?;
                    children.push(Child::Folder(RepoPath::new(path)?));
                }
            }
        }
        children.sort_by(|a, b| a.path().cmp(b.path()));
        Ok(children)
    }

    pub(super) fn open_root(&self) -> Result<Opened> {
        let root = self.open(&self.root, self.place.as_ref())?;
        root.node.check_root().map_err(|fault| unreadable(&self.root, fault))?;
        Ok(root)
    }

    /// Opens a child of an inner node; it must be what that says of it.
    pub(super) fn open_child(&self, parent: &Opened, index: usize) -> Result<Opened> {
        let id = parent.node.child(index).id;
        let child = self.open(&id, parent.places[index].as_ref())?;
        parent.node.check_child(index, &child.node).map_err(|fault| unreadable(&id, fault))?;
        Ok(child)
    }

    /// Reads children of an inner node ahead, neighbours in one request.
    pub(super) fn read_children_ahead(&self, parent: &Opened, wanted: impl Iterator<Item = usize>) {
        let frames: Vec<_> = wanted.filter_map(|index| Some(parent.places[index]?.frame)).collect();
        self.content.prefetch(ObjectKind::MetaPack, &frames);
    }

    fn open(&self, id: &Id, place: Option<&Place>) -> Result<Opened> {
        let item = self.content.meta(id, ItemKind::Node, place)?;
        let node = Node::parse(TreeKind::Manifest, item.bytes())?;
        let shapes = shapes(&node)?;
        // A hint that can't be read is no hint: the indexes know.
        let places = hint::decode(item.hint(), &shapes).unwrap_or_else(|_| vec![None; shapes.len()]);
        Ok(Opened { node, item, places })
    }
}

fn unreadable(id: &Id, fault: Error) -> Error {
    fault.within(format!("the manifest node {} can't be used", id.short()))
}

/// The children of a node that a hint speaks of.
pub fn shapes(node: &Node) -> Result<Vec<ChildShape>> {
    if node.level() > 0 {
        return Ok(vec![ChildShape::Meta; node.len()]);
    }
    let shape = |index| Ok(shape_of(&Entry::decode(node.value(index))?));
    (0..node.len()).filter_map(|index| shape(index).transpose()).collect()
}

/// What a hint says of an entry: nothing of what has no content.
pub fn shape_of(entry: &Entry) -> Option<ChildShape> {
    match entry.kind {
        EntryKind::File { size, .. } if size > SMALL_FILE => Some(ChildShape::Meta),
        EntryKind::File { size, .. } if size > 0 => Some(ChildShape::Chunk { len: size as u32 }),
        _ => None,
    }
}

/// Leaves that are read ahead when the reading first goes on from one to the next, and the most.
const FIRST_AHEAD: usize = 8;
const MOST_AHEAD: usize = 128;

/// A position in a manifest's entries.
///
/// Who goes on from a leaf to the next probably wants more of them: they are read ahead, more each time, up to the end of the folder.
struct Cursor<'a> {
    manifest: Manifest<'a>,
    /// The first key behind the folder that is looked at; empty for the root.
    end: Vec<u8>,
    /// How many leaves are read ahead next, and the last key of those that were.
    ahead: usize,
    covered: Vec<u8>,
    /// From the root down, each with the child that is being visited.
    stack: Vec<(Arc<Opened>, usize)>,
    /// How many of the leaf's entries before the position have a hint.
    hinted: usize,
}

impl<'a> Cursor<'a> {
    fn new(manifest: Manifest<'a>, folder: &str) -> Cursor<'a> {
        // '0' is the byte behind '/'.
        let end = if folder.is_empty() { Vec::new() } else { format!("{folder}0").into_bytes() };
        Cursor { manifest, end, ahead: FIRST_AHEAD, covered: Vec::new(), stack: Vec::new(), hinted: 0 }
    }

    /// Moves to the first entry whose key is at least `key`. Nodes that the position shares are not fetched again.
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        if self.stack.is_empty() {
            self.stack.push((Arc::new(self.manifest.open_root()?), 0));
        }
        let covers = |(opened, _): &(Arc<Opened>, usize)| opened.node.last_key().is_some_and(|last| key <= last);
        while self.stack.len() > 1 && !self.stack.last().is_some_and(covers) {
            self.stack.pop();
            self.ahead = FIRST_AHEAD;
        }
        if let Some((opened, index)) = self.stack.last_mut() {
            *index = opened.node.lower_bound(key);
        }
        self.descend(|node| node.lower_bound(key))
    }

    /// Reads the leaves below `parent` ahead, from the child `index` on.
    fn read_ahead(&mut self, parent: &Opened, index: usize) {
        if parent.node.level() != 1 || parent.node.key(index) <= &*self.covered {
            return;
        }
        let is_behind = |child: usize| !self.end.is_empty() && parent.node.key(child - 1) >= &*self.end;
        let most = (index + self.ahead).min(parent.node.len());
        let end = (index + 1..most).find(|child| is_behind(*child)).unwrap_or(most);
        self.manifest.read_children_ahead(parent, index..end);
        self.covered = parent.node.key(end - 1).to_vec();
        self.ahead = (self.ahead * 2).min(MOST_AHEAD);
    }

    /// From the innermost open node down to a leaf, taking the child that `choose` gives.
    fn descend(&mut self, choose: impl Fn(&Node) -> usize) -> Result<()> {
        while let Some((opened, index)) = self.stack.last().cloned() {
            if opened.node.level() == 0 || index >= opened.node.len() {
                break;
            }
            let child = self.manifest.open_child(&opened, index)?;
            let index = choose(&child.node);
            self.stack.push((Arc::new(child), index));
        }
        self.count_hints()
    }

    /// To the first leaf below the position, reading on.
    fn go_on(&mut self) -> Result<()> {
        while let Some((opened, index)) = self.stack.last().cloned() {
            if opened.node.level() == 0 {
                break;
            }
            self.read_ahead(&opened, index);
            self.stack.push((Arc::new(self.manifest.open_child(&opened, index)?), 0));
        }
        self.count_hints()
    }

    fn count_hints(&mut self) -> Result<()> {
        self.hinted = 0;
        if let Some((opened, index)) = self.stack.last()
            && opened.node.level() == 0
        {
            for before in 0..*index {
                self.hinted += usize::from(shape_of(&Entry::decode(opened.node.value(before))?).is_some());
            }
        }
        Ok(())
    }

    /// The entry at the position; `None` behind the last.
    fn leaf(&self) -> Result<Option<Leaf>> {
        let Some((opened, index)) =
            self.stack.last().filter(|(opened, index)| opened.node.level() == 0 && *index < opened.node.len())
        else {
            return Ok(None);
        };
        opened.leaf(*index, Some(self.hinted)).map(Some)
    }

    /// Moves to the next entry.
    fn advance(&mut self) -> Result<()> {
        let Some((opened, index)) = self.stack.last_mut() else { return Ok(()) };
        if opened.node.level() == 0 && *index < opened.node.len() {
            self.hinted += usize::from(shape_of(&Entry::decode(opened.node.value(*index))?).is_some());
            *index += 1;
            if *index < opened.node.len() {
                return Ok(());
            }
        }
        // Up to the innermost node that has a further child, then down to its first leaf.
        while self.stack.len() > 1 {
            self.stack.pop();
            if let Some((opened, index)) = self.stack.last_mut() {
                *index += 1;
                if *index < opened.node.len() {
                    return self.go_on();
                }
            }
        }
        Ok(())
    }
}

/// Entries in path order. Checks as it goes that no path is a folder of another.
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    folder: Box<str>,
    guard: FolderGuard,
    started: bool,
}

impl Entries<'_> {
    fn step(&mut self) -> Result<Option<Leaf>> {
        if !self.started {
            self.started = true;
            self.cursor.seek(self.folder.as_bytes())?;
        } else {
            self.cursor.advance()?;
        }
        loop {
            let Some(leaf) = self.cursor.leaf()? else { return Ok(None) };
            let path = leaf.path.as_str();
            if path == &*self.folder || leaf.path.is_below(&self.folder) {
                self.guard.next(&leaf.path)?;
                return Ok(Some(leaf));
            }
            if !path.starts_with(&*self.folder) {
                return Ok(None);
            }
            // Names that begin like the folder's and sort before what is below it: `a-b` stands between `a` and `a/c`.
            let below = format!("{}/", self.folder);
            if path.as_bytes() > below.as_bytes() {
                return Ok(None);
            }
            self.cursor.seek(below.as_bytes())?;
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Leaf>;

    fn next(&mut self) -> Option<Result<Leaf>> {
        self.step().transpose()
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
