//! Reading a manifest: only the nodes that the question needs are fetched.

use crate::base::{Error, Id, RepoPath, Result};
use crate::chunk::cut::SMALL_FILE;
use crate::format::attrs::{Attrs, parse_out_of_line};
use crate::format::header::ObjectKind;
use crate::format::hint::{self, ChildShape};
use crate::format::manifest::{Entry, EntryAttrs, EntryKind};
use crate::format::node::{Node, TreeKind};
use crate::format::pack::ItemKind;
use crate::format::place::Place;
use crate::store::content::{Content, Item};

use super::children;
use super::select::Selection;
use super::stretch::Stretch;

pub use super::children::Child;
pub use super::walk::Entries;

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
        self.read_leaf(index, hinted).map_err(|fault| self.unreadable(fault))
    }

    fn read_leaf(&self, index: usize, hinted: Option<usize>) -> Result<Leaf> {
        let entry = Entry::decode(self.node.value(index))?;
        let place = shape_of(&entry).and(hinted).and_then(|hinted| self.places.get(hinted).copied().flatten());
        Ok(Leaf { path: path_of(&self.node, index)?, entry, place })
    }

    /// The path of an entry, or the last one below a child.
    pub(super) fn path(&self, index: usize) -> Result<RepoPath> {
        path_of(&self.node, index).map_err(|fault| self.unreadable(fault))
    }

    /// A fault of what it holds, with its name.
    pub(super) fn unreadable(&self, fault: Error) -> Error {
        unreadable(&Id::of(self.item.bytes()), fault)
    }
}

impl<'a> Manifest<'a> {
    /// The manifest with this root; `place` is where it is thought to lie.
    pub fn new(content: &'a Content, root: Id, place: Option<Place>) -> Manifest<'a> {
        Manifest { content, root, place }
    }

    /// The store that it is read from.
    pub fn content(&self) -> &'a Content {
        self.content
    }

    /// The id of the root: the manifest id.
    pub fn root(&self) -> Id {
        self.root
    }

    /// All entries at or below `folder` (`""`: all) in path order.
    pub fn entries(&self, folder: &str) -> Entries<'a> {
        Entries::new(*self, Stretch::union(Stretch::at_and_below(folder)))
    }

    /// The entries below `folder` (`""`: all) among which are all whose paths from there are selected, in path order. What lies apart from
    /// them is not read.
    pub fn candidates(&self, folder: &str, selection: &Selection) -> Entries<'a> {
        Entries::new(*self, selection.stretches(folder))
    }

    /// The entries that `paths` can't stand beside as they like: those at them, below them, and at the folders that they are in.
    pub fn around<'p>(&self, paths: impl Iterator<Item = &'p RepoPath>) -> Entries<'a> {
        let mut wanted = Vec::new();
        for path in paths {
            wanted.extend(Stretch::at_and_below(path.as_str()));
            let slashes = path.as_str().match_indices('/');
            wanted.extend(slashes.map(|(slash, _)| Stretch::at(&path.as_str()[..slash])));
        }
        Entries::new(*self, Stretch::union(wanted))
    }

    /// The entry at exactly `path`.
    pub fn find(&self, path: &str) -> Result<Option<Leaf>> {
        Entries::new(*self, vec![Stretch::at(path)]).next().transpose()
    }

    /// The entries at `paths`, which are in path order; neighbours cost one way down the tree.
    pub fn find_each<'p>(&self, paths: impl Iterator<Item = &'p str> + Clone) -> Result<Vec<Option<Leaf>>> {
        let mut entries = Entries::new(*self, paths.clone().map(Stretch::at).collect()).peekable();
        let is_at = |leaf: &Result<Leaf>, path: &str| leaf.as_ref().map_or(true, |leaf| leaf.path.as_str() == path);
        paths.map(|path| entries.next_if(|leaf| is_at(leaf, path)).transpose()).collect()
    }

    /// Whether anything lies below `folder`.
    pub fn has_folder(&self, folder: &str) -> Result<bool> {
        let below = Stretch::below(folder);
        let first = Entries::first_from(*self, &below.start)?;
        Ok(first.is_some_and(|leaf| !below.ends_by(leaf.path.as_str().as_bytes())))
    }

    /// What stands directly in `folder`, in the order of names; whole subfolders are skipped, not read.
    pub fn children(&self, folder: &str) -> Result<Vec<Child>> {
        children::children(*self, folder)
    }

    /// The attributes of an entry; fetched where they are kept apart from it.
    pub fn attributes(&self, entry: &Entry) -> Result<Attrs> {
        match &entry.attrs {
            EntryAttrs::None => Ok(Attrs::default()),
            EntryAttrs::Inline(attrs) => Ok(attrs.clone()),
            EntryAttrs::OutOfLine(id) => parse_out_of_line(self.content.meta(id, ItemKind::Attributes, None)?.bytes()),
        }
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
        self.read_ahead(wanted.map(|index| (parent, index)));
    }

    /// Reads children of inner nodes ahead, neighbours in one request.
    pub(super) fn read_ahead<'o>(&self, wanted: impl Iterator<Item = (&'o Opened, usize)>) {
        let place = |(parent, index): (&'o Opened, usize)| {
            self.content.place_now(&parent.node.child(index).id, ItemKind::Node, parent.places[index])
        };
        let frames: Vec<_> = wanted.filter_map(|child| Some(place(child)?.frame)).collect();
        self.content.prefetch(ObjectKind::MetaPack, &frames);
    }

    fn open(&self, id: &Id, place: Option<&Place>) -> Result<Opened> {
        let item = self.content.meta(id, ItemKind::Node, place)?;
        let (node, shapes) = read_node(item.bytes()).map_err(|fault| unreadable(id, fault))?;
        // A hint that can't be read is no hint: the indexes know.
        let places = hint::decode(item.hint(), &shapes).unwrap_or_else(|_| vec![None; shapes.len()]);
        Ok(Opened { node, item, places })
    }
}

/// The path of a manifest node's item, which must be one that a version may have.
pub fn path_of(node: &Node, index: usize) -> Result<RepoPath> {
    let key = std::str::from_utf8(node.key(index)).map_err(|_| Error::damaged("a path isn't UTF-8"))?;
    RepoPath::new(key).map_err(|fault| Error::damaged("a manifest holds a forbidden path").because(fault))
}

fn read_node(bytes: &[u8]) -> Result<(Node, Vec<ChildShape>)> {
    let node = Node::parse(TreeKind::Manifest, bytes)?;
    let shapes = shapes(&node)?;
    Ok((node, shapes))
}

/// A fault of a node, with its name.
fn unreadable(id: &Id, fault: Error) -> Error {
    let named = fault.within(format!("the manifest node {} can't be used", id.short()));
    named.hint("`dagset verify STORE` lists all damage")
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

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
