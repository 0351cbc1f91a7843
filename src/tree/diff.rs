//! What differs between two manifests. Subtrees that both share are skipped unread.
//!
//! A manifest in which a path is both a file and a folder is refused, as far as it is read: of what is skipped only the last path is known.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use crate::base::{Id, RepoPath, Result};
use crate::format::manifest::{Entry, EntryKind, FolderGuard};

use super::manifest::{Leaf, Manifest, Opened};
use super::stretch::{Stretch, holds, meet};

/// Children of one node that are read ahead at most.
const MOST_AHEAD: usize = 128;

/// A path at which two manifests differ; at least one side is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub path: RepoPath,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

/// Gives each path at or below `folder` (`""`: all) that differs to `sink`, in path order. Nodes elsewhere aren't read.
pub fn diff(
    before: Manifest<'_>,
    after: Manifest<'_>,
    folder: &str,
    mut sink: impl FnMut(Change) -> Result<()>,
) -> Result<()> {
    let (mut a, mut b) = (Walk::new(before, folder), Walk::new(after, folder));
    loop {
        match (a.head(), b.head()) {
            (Head::End, Head::End) => return Ok(()),
            (Head::Subtree { id: x, .. }, Head::Subtree { id: y, .. }) if x == y => {
                a.step()?;
                b.step()?;
            }
            (Head::Subtree { level: x, .. }, Head::Subtree { level: y, .. }) => {
                if x >= y {
                    a.open()?;
                }
                if y >= x {
                    b.open()?;
                }
                if x == y {
                    a.read_ahead(&b);
                    b.read_ahead(&a);
                }
            }
            (Head::Subtree { .. }, _) => a.open()?,
            (_, Head::Subtree { .. }) => b.open()?,
            (Head::Entry, Head::Entry) => match a.key().cmp(b.key()) {
                Ordering::Less => sink(a.gone()?)?,
                Ordering::Greater => sink(b.come()?)?,
                Ordering::Equal => {
                    if a.value() != b.value() {
                        let (old, new) = (a.leaf()?, b.leaf()?);
                        sink(Change { path: new.path, before: Some(old.entry), after: Some(new.entry) })?;
                    }
                    a.step()?;
                    b.step()?;
                }
            },
            (Head::Entry, Head::End) => sink(a.gone()?)?,
            (Head::End, Head::Entry) => sink(b.come()?)?,
        }
    }
}

enum Head {
    End,
    Entry,
    Subtree { level: u8, id: Id },
}

/// A position that knows the next subtree before it is opened.
struct Walk<'a> {
    manifest: Manifest<'a>,
    /// Before the root is opened: whether it still stands ahead.
    root_ahead: bool,
    wanted: Vec<Stretch>,
    stack: Vec<(Opened, usize)>,
    guard: FolderGuard,
}

impl<'a> Walk<'a> {
    fn new(manifest: Manifest<'a>, folder: &str) -> Walk<'a> {
        let wanted = Stretch::union(Stretch::at_and_below(folder));
        Walk { manifest, root_ahead: true, wanted, stack: Vec::new(), guard: FolderGuard::default() }
    }

    /// Reads children of the innermost node ahead that the other side's doesn't have, while both stand at the beginning of theirs.
    fn read_ahead(&self, other: &Walk<'_>) {
        let (Some((opened, index)), Some((others, _))) = (self.stack.last(), other.stack.last()) else { return };
        if opened.node.level() == 0 || others.node.level() != opened.node.level() {
            return;
        }
        let shared: HashSet<Id> = others.node.children().iter().map(|child| child.id).collect();
        let own = opened.wanted(*index, &self.wanted).filter(|child| !shared.contains(&opened.node.child(*child).id));
        self.manifest.read_children_ahead(opened, own.take(MOST_AHEAD));
    }

    fn head(&self) -> Head {
        if self.root_ahead {
            // The root's level isn't known before it is read; it is opened first on either side.
            return Head::Subtree { level: u8::MAX, id: self.manifest.root() };
        }
        match self.stack.last() {
            None => Head::End,
            Some((opened, _)) if opened.node.level() == 0 => Head::Entry,
            Some((opened, index)) => Head::Subtree { level: opened.node.level() - 1, id: opened.node.child(*index).id },
        }
    }

    fn open(&mut self) -> Result<()> {
        let opened = if self.root_ahead {
            self.root_ahead = false;
            self.manifest.open_root()?
        } else {
            let (parent, index) = self.stack.last().expect("a subtree stands ahead");
            self.manifest.open_child(parent, *index)?
        };
        self.stack.push((opened, 0));
        self.settle();
        Ok(())
    }

    /// Past the entry or the subtree that stands ahead; of a subtree the last path is known unread.
    fn step(&mut self) -> Result<()> {
        if std::mem::take(&mut self.root_ahead) {
            return Ok(());
        }
        if let Some((opened, index)) = self.stack.last_mut() {
            self.guard.next(&opened.path(*index)?).map_err(|fault| opened.unreadable(fault))?;
            *index += 1;
        }
        self.settle();
        Ok(())
    }

    /// Past what isn't wanted, and out of nodes that have ended.
    fn settle(&mut self) {
        while let Some((opened, index)) = self.stack.last_mut() {
            let (node, at) = (&opened.node, *index);
            if at >= node.len() {
                self.stack.pop();
                if let Some((_, index)) = self.stack.last_mut() {
                    *index += 1;
                }
                continue;
            }
            let before = at.checked_sub(1).map(|before| node.key(before));
            let is_wanted = match node.level() {
                0 => holds(&self.wanted, node.key(at)),
                _ => meet(&self.wanted, before, node.key(at)),
            };
            if is_wanted {
                return;
            }
            *index += 1;
        }
    }

    fn at(&self) -> (&Opened, usize) {
        let (opened, index) = self.stack.last().expect("an entry stands ahead");
        (opened, *index)
    }

    fn key(&self) -> &[u8] {
        let (opened, index) = self.at();
        opened.node.key(index)
    }

    fn value(&self) -> &[u8] {
        let (opened, index) = self.at();
        opened.node.value(index)
    }

    fn leaf(&self) -> Result<Leaf> {
        let (opened, index) = self.at();
        opened.leaf(index, None)
    }

    fn gone(&mut self) -> Result<Change> {
        let leaf = self.leaf()?;
        self.step()?;
        Ok(Change { path: leaf.path, before: Some(leaf.entry), after: None })
    }

    fn come(&mut self) -> Result<Change> {
        let leaf = self.leaf()?;
        self.step()?;
        Ok(Change { path: leaf.path, before: None, after: Some(leaf.entry) })
    }
}

/// Takes the pairs out of `changes` in which a file was removed and one of the same content was added: (from, to), by `to`.
///
/// Empty files are never paired: all of them are alike.
pub fn take_renames(changes: &mut Vec<Change>) -> Vec<(Change, Change)> {
    let content = |entry: &Option<Entry>| match entry.as_ref().map(|entry| &entry.kind) {
        Some(EntryKind::File { size, content, .. }) if *size > 0 => Some(*content),
        _ => None,
    };
    let mut removed: HashMap<Id, Vec<usize>> = HashMap::new();
    for (index, change) in changes.iter().enumerate().rev() {
        if let (Some(id), None) = (content(&change.before), &change.after) {
            removed.entry(id).or_default().push(index);
        }
    }
    let mut partner: HashMap<usize, usize> = HashMap::new();
    for (index, change) in changes.iter().enumerate() {
        if let (None, Some(id)) = (&change.before, content(&change.after))
            && let Some(from) = removed.get_mut(&id).and_then(Vec::pop)
        {
            partner.insert(index, from);
        }
    }
    let mut taken: Vec<Option<Change>> = std::mem::take(changes).into_iter().map(Some).collect();
    let mut pairs = Vec::new();
    for to in 0..taken.len() {
        let Some(from) = partner.get(&to) else { continue };
        if let (Some(before), Some(after)) = (taken[*from].take(), taken[to].take()) {
            pairs.push((before, after));
        }
    }
    *changes = taken.into_iter().flatten().collect();
    pairs
}
