//! A manifest with some paths changed, as the pieces of the new one. Leaves without a change are handed on unread.

use crate::base::{RepoPath, Result};
use crate::format::manifest::Entry;
use crate::format::node::NodeChild;
use crate::format::tree::ends_leaf;

use super::manifest::{Manifest, Opened};

/// What becomes of paths, in path order; `None`: gone.
pub type Edits = Vec<(RepoPath, Option<Entry>)>;

/// A part of a manifest that is being built.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Entry(RepoPath, Entry),
    /// A whole leaf of another manifest, that ends with this key and stands in the new one as it is.
    Leaf {
        last_key: Vec<u8>,
        child: NodeChild,
    },
}

impl From<(RepoPath, Entry)> for Piece {
    fn from((path, entry): (RepoPath, Entry)) -> Piece {
        Piece::Entry(path, entry)
    }
}

/// The pieces of `manifest` with the edits applied, in path order.
///
/// A leaf stands as it is where nothing in it changes, and it begins and ends where any manifest with these keys cuts: the one before
/// ends so, too.
pub fn edited<'a>(manifest: Manifest<'a>, edits: Edits) -> impl Iterator<Item = Result<Piece>> + use<'a> {
    let mut pieces = Pieces { manifest, stack: None, edits, next: 0, ready: Vec::new(), at_cut: true };
    std::iter::from_fn(move || pieces.step().transpose())
}

struct Pieces<'a> {
    manifest: Manifest<'a>,
    /// Inner nodes from the root down, with the child that is next; `None` before the root is read.
    stack: Option<Vec<(Opened, usize)>>,
    edits: Edits,
    /// The edits before this one are done.
    next: usize,
    /// Pieces of a leaf that was read, the last first.
    ready: Vec<Piece>,
    /// Whether a leaf ends with what was handed on so far, whatever comes.
    at_cut: bool,
}

impl Pieces<'_> {
    fn step(&mut self) -> Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop() {
                return Ok(Some(piece));
            }
            let Some(stack) = &mut self.stack else {
                let root = self.manifest.open_root()?;
                match root.node.level() {
                    0 => self.apply_to(&root, true)?,
                    _ => self.read_ahead(&root),
                }
                let inner = if root.node.level() == 0 { Vec::new() } else { vec![(root, 0)] };
                self.stack = Some(inner);
                continue;
            };
            let Some((parent, index)) = stack.last_mut() else {
                if self.next == self.edits.len() {
                    return Ok(None);
                }
                self.ready = self.edits_to(None);
                self.ready.reverse();
                continue;
            };
            if *index == parent.node.len() {
                stack.pop();
                continue;
            }
            let at = *index;
            *index += 1;
            let (last_key, child) = (parent.node.key(at).to_vec(), parent.node.child(at));
            if parent.node.level() == 1
                && self.at_cut
                && ends_leaf(&last_key)
                && !reach(&self.edits[self.next..], &last_key)
            {
                return Ok(Some(Piece::Leaf { last_key, child }));
            }
            let opened = self.manifest.open_child(parent, at)?;
            match opened.node.level() {
                0 => self.apply_to(&opened, false)?,
                _ => {
                    self.read_ahead(&opened);
                    if let Some(stack) = &mut self.stack {
                        stack.push((opened, 0));
                    }
                }
            }
        }
    }

    /// What the edits up to `key` put there, or all that are left.
    fn edits_to(&mut self, key: Option<&[u8]>) -> Vec<Piece> {
        let mut come = Vec::new();
        while self.next < self.edits.len() && key.is_none_or(|key| reach(&self.edits[self.next..], key)) {
            let (path, entry) = &mut self.edits[self.next];
            come.extend(entry.take().map(|entry| Piece::Entry(path.clone(), entry)));
            self.next += 1;
        }
        come
    }

    /// Makes a leaf's entries ready, with the edits that come before its end, or with all that are left.
    fn apply_to(&mut self, leaf: &Opened, is_last: bool) -> Result<()> {
        let mut ready = Vec::with_capacity(leaf.node.len());
        for index in 0..leaf.node.len() {
            let key = leaf.node.key(index);
            ready.extend(self.edits_to(Some(key)));
            let is_edited = self.next > 0 && self.edits[self.next - 1].0.as_str().as_bytes() == key;
            if !is_edited {
                let kept = leaf.leaf(index, None)?;
                ready.push(Piece::Entry(kept.path, kept.entry));
            }
        }
        if is_last {
            ready.extend(self.edits_to(None));
        }
        if let Some(Piece::Entry(path, _)) = ready.last() {
            self.at_cut = ends_leaf(path.as_str().as_bytes());
        }
        ready.reverse();
        self.ready = ready;
        Ok(())
    }

    /// Reads those children ahead that will be opened, as far as that is known now.
    fn read_ahead(&self, parent: &Opened) {
        let mut done = self.next;
        let mut wanted = Vec::new();
        for index in 0..parent.node.len() {
            let key = parent.node.key(index);
            let end = done + self.edits[done..].partition_point(|(path, _)| path.as_str().as_bytes() <= key);
            if end > done || parent.node.level() > 1 {
                wanted.push(index);
            }
            done = end;
        }
        self.manifest.read_children_ahead(parent, wanted.into_iter());
    }
}

/// Whether the first of `edits` is at or before `key`.
fn reach(edits: &[(RepoPath, Option<Entry>)], key: &[u8]) -> bool {
    edits.first().is_some_and(|(path, _)| path.as_str().as_bytes() <= key)
}
