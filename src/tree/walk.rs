//! Walking through a manifest's entries in path order, or through the stretches of them that are wanted.

use std::sync::Arc;

use crate::base::Result;
use crate::format::manifest::{Entry, FolderGuard};
use crate::format::node::Node;

use super::manifest::{Leaf, Manifest, Opened, shape_of};
use super::stretch::{Stretch, meet};

/// Children of one node that are read ahead at most.
const MOST_LEAVES_AHEAD: usize = 128;
const MOST_NODES_AHEAD: usize = 32;

/// A position in a manifest's entries. Of the nodes on its way it reads those ahead that the wanted stretches lie in.
struct Cursor<'a> {
    manifest: Manifest<'a>,
    /// From the root down.
    stack: Vec<Step>,
    /// How many of the leaf's entries before the position have a hint.
    hinted: usize,
}

/// An open node, and the child or entry of it that is being visited.
struct Step {
    opened: Arc<Opened>,
    index: usize,
    /// Children before this one were read ahead, as far as they are wanted.
    ahead: usize,
}

impl Step {
    fn new(opened: Opened, index: usize) -> Step {
        Step { opened: Arc::new(opened), index, ahead: 0 }
    }

    fn node(&self) -> &Node {
        &self.opened.node
    }
}

impl<'a> Cursor<'a> {
    fn new(manifest: Manifest<'a>) -> Cursor<'a> {
        Cursor { manifest, stack: Vec::new(), hinted: 0 }
    }

    /// Moves to the first entry whose key is at least `key`, which isn't before the position. Nodes that the position shares are not fetched again.
    fn seek(&mut self, key: &[u8], wanted: &[Stretch]) -> Result<()> {
        if self.stack.is_empty() {
            self.stack.push(Step::new(self.manifest.open_root()?, 0));
        }
        let covers = |step: &Step| step.node().last_key().is_some_and(|last| key <= last);
        while self.stack.len() > 1 && !self.stack.last().is_some_and(covers) {
            self.stack.pop();
        }
        if let Some(step) = self.stack.last_mut() {
            step.index = step.node().lower_bound(key);
        }
        self.descend(wanted, |node| node.lower_bound(key))
    }

    /// From the innermost open node down to a leaf, taking the child that `choose` gives.
    fn descend(&mut self, wanted: &[Stretch], choose: impl Fn(&Node) -> usize) -> Result<()> {
        while let Some(step) = self.stack.last_mut() {
            if step.node().level() == 0 || step.index >= step.node().len() {
                break;
            }
            read_ahead(&self.manifest, step, wanted);
            let child = self.manifest.open_child(&step.opened, step.index)?;
            let index = choose(&child.node);
            self.stack.push(Step::new(child, index));
        }
        self.count_hints()
    }

    fn count_hints(&mut self) -> Result<()> {
        self.hinted = 0;
        if let Some(step) = self.stack.last()
            && step.node().level() == 0
        {
            for before in 0..step.index {
                self.hinted += usize::from(shape_of(&Entry::decode(step.node().value(before))?).is_some());
            }
        }
        Ok(())
    }

    /// The leaf that the position is in, and where; `None` behind the last entry.
    fn at(&self) -> Option<(&Opened, usize)> {
        let step = self.stack.last()?;
        (step.node().level() == 0 && step.index < step.node().len()).then_some((&*step.opened, step.index))
    }

    fn key(&self) -> Option<&[u8]> {
        self.at().map(|(opened, index)| opened.node.key(index))
    }

    /// The entry at the position; `None` behind the last.
    fn leaf(&self) -> Result<Option<Leaf>> {
        self.at().map(|(opened, index)| opened.leaf(index, Some(self.hinted))).transpose()
    }

    /// Moves to the next entry.
    fn advance(&mut self, wanted: &[Stretch]) -> Result<()> {
        let Some(step) = self.stack.last_mut() else { return Ok(()) };
        if step.node().level() == 0 && step.index < step.node().len() {
            self.hinted += usize::from(shape_of(&Entry::decode(step.node().value(step.index))?).is_some());
            step.index += 1;
            if step.index < step.node().len() {
                return Ok(());
            }
        }
        // Up to the innermost node that has a further child, then down to its first leaf.
        while self.stack.len() > 1 {
            self.stack.pop();
            if let Some(step) = self.stack.last_mut() {
                step.index += 1;
                if step.index < step.node().len() {
                    return self.descend(wanted, |_| 0);
                }
            }
        }
        Ok(())
    }
}

/// Reads wanted children of an inner node ahead, from the visited one on, once it isn't among those that were.
fn read_ahead(manifest: &Manifest<'_>, step: &mut Step, wanted: &[Stretch]) {
    if step.index < step.ahead {
        return;
    }
    let most = if step.node().level() == 1 { MOST_LEAVES_AHEAD } else { MOST_NODES_AHEAD };
    let children: Vec<usize> = step.opened.wanted(step.index, wanted).take(most).collect();
    step.ahead = children.last().map_or(step.index, |last| last + 1);
    manifest.read_children_ahead(&step.opened, children.into_iter());
}

impl Opened {
    /// The children of an inner node, from `first` on, that may hold keys of the stretches, which ascend.
    pub(super) fn wanted<'s>(&'s self, first: usize, stretches: &'s [Stretch]) -> impl Iterator<Item = usize> + 's {
        let before = |child: usize| child.checked_sub(1).map(|before| self.node.key(before));
        (first..self.node.len()).filter(move |child| meet(stretches, before(*child), self.node.key(*child)))
    }
}

/// Entries in path order. Checks as it goes that no path is a folder of another.
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    /// What is wanted, ascending; the ones before `next` are done with.
    stretches: Vec<Stretch>,
    next: usize,
    guard: FolderGuard,
    started: bool,
}

impl<'a> Entries<'a> {
    /// The entries in `stretches`, which ascend and don't touch.
    pub(super) fn new(manifest: Manifest<'a>, stretches: Vec<Stretch>) -> Entries<'a> {
        Entries { cursor: Cursor::new(manifest), stretches, next: 0, guard: FolderGuard::default(), started: false }
    }

    /// The first entry whose key is `key` or behind it.
    pub(super) fn first_from(manifest: Manifest<'a>, key: &[u8]) -> Result<Option<Leaf>> {
        let mut cursor = Cursor::new(manifest);
        cursor.seek(key, &[])?;
        cursor.leaf()
    }

    fn step(&mut self) -> Result<Option<Leaf>> {
        if self.started && self.is_in_last_key() {
            // What comes next in the manifest isn't wanted, so it isn't read.
            self.next += 1;
        } else if self.started {
            self.cursor.advance(&self.stretches[self.next..])?;
        }
        loop {
            let Some(stretch) = self.stretches.get(self.next) else { return Ok(None) };
            let wanted = &self.stretches[self.next..];
            match self.cursor.key() {
                Some(key) if stretch.ends_by(key) => self.next += 1,
                Some(key) if *stretch.start <= *key => break,
                None if self.started => return Ok(None),
                _ => {
                    self.started = true;
                    self.cursor.seek(&stretch.start, wanted)?;
                }
            }
        }
        let leaf = self.cursor.leaf()?;
        if let Some((leaf, (opened, _))) = leaf.as_ref().zip(self.cursor.at()) {
            self.guard.next(&leaf.path).map_err(|fault| opened.unreadable(fault))?;
        }
        Ok(leaf)
    }

    /// Whether the position is the last that its stretch can hold.
    fn is_in_last_key(&self) -> bool {
        let stretch = self.stretches.get(self.next);
        self.cursor.key().zip(stretch).is_some_and(|(key, stretch)| stretch.ends_with(key))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Leaf>;

    fn next(&mut self) -> Option<Result<Leaf>> {
        self.step().transpose()
    }
}
