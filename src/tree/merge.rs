//! What several versions come to together, path by path. Pure: values in, an outcome out.
//!
//! A *value* is what stands at a path, or that nothing does. The value of one head is *outdated by* another head if the two differ and it
//! is the value that both came from: the other has seen it, and has put something else in its place. The values of the heads that no other
//! head outdates *stand*. If they are all alike, that is the outcome; else the heads disagree.
//!
//! So a deletion is a change like any other, the same change made twice is one, a head that changed nothing has no say, and the order of
//! the heads plays no part. What two heads came from is the value of their merge base; nothing, where they have none. Of several bases
//! (criss-cross histories) it is what those come to, by the same rule; where they disagree, each of their values.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::iter::Peekable;

use crate::base::{Id, RepoPath, Result};
use crate::format::attrs::{Attrs, Value};
use crate::format::manifest::{Entry, EntryAttrs, EntryKind, MAX_INLINE_ATTRS};

use super::diff::Change;

/// How the versions that a merge is about descend from each other. They are numbered: the heads first, then the bases of two heads, then
/// the bases of bases.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lineage {
    /// How many heads there are.
    pub heads: usize,
    /// How many of the versions are heads or bases of two of them.
    pub near: usize,
    /// The merge bases of two versions, the lower number first; no entry: they have none, or it isn't asked for.
    pub bases: HashMap<(usize, usize), Vec<usize>>,
    /// Heads that say nothing about the paths that are asked about: they are parts which lie elsewhere.
    pub silent: Vec<usize>,
}

impl Lineage {
    /// The heads that have a say.
    pub fn speaking(&self) -> impl Iterator<Item = usize> {
        (0..self.heads).filter(|head| !self.silent.contains(head))
    }

    /// The merge bases of two versions.
    pub fn bases_of(&self, a: usize, b: usize) -> &[usize] {
        self.bases.get(&(a.min(b), a.max(b))).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether two heads have several bases that differ by `values`, so that what the bases came from matters.
    pub fn asks_further<P: PartialEq>(&self, values: &[Option<P>]) -> bool {
        let bases = |(a, b): (usize, usize)| if b < self.heads { self.bases_of(a, b) } else { &[] };
        self.bases.keys().any(|pair| bases(*pair).windows(2).any(|two| values[two[0]] != values[two[1]]))
    }
}

/// What a head did to a path since it parted from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    Unchanged,
    Added,
    Changed,
    Deleted,
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Did::Unchanged => "unchanged",
            Did::Added => "added",
            Did::Changed => "changed",
            Did::Deleted => "deleted",
        })
    }
}

/// What becomes of a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Settled(Option<Entry>),
    /// The heads disagree: those whose values stand, or all that did something where none does.
    Open(Vec<usize>),
}

/// Attributes that are kept apart from their entries, as far as they were read.
pub type Apart = HashMap<Id, Attrs>;

/// What a path comes to; `values` are those of all versions of the lineage. Attributes that are kept apart are merged by key if `apart` has
/// all of them.
pub fn settle(lineage: &Lineage, values: &[Option<Entry>], apart: &Apart) -> Outcome {
    let heads: Vec<usize> = lineage.speaking().collect();
    let whole = Question::new(lineage, values.iter().map(Option::as_ref).collect());
    let standing = whole.standing(&heads);
    if let Some(value) = whole.only_value(&standing) {
        return Outcome::Settled(value.cloned());
    }
    if let Some(entry) = settle_in_parts(lineage, values, &standing, apart) {
        return Outcome::Settled(Some(entry));
    }
    match standing.is_empty() {
        false => Outcome::Open(standing),
        true => {
            let acted: Vec<usize> =
                heads.iter().copied().filter(|head| did(lineage, values, *head) != Did::Unchanged).collect();
            Outcome::Open(if acted.is_empty() { heads } else { acted })
        }
    }
}

/// What a head did since it parted from the others: nothing, where another head outdates its value. What it has in common with one head alone
/// is its doing as well, as seen by the others.
pub fn did(lineage: &Lineage, values: &[Option<Entry>], head: usize) -> Did {
    if lineage.silent.contains(&head) {
        return Did::Unchanged;
    }
    let question = Question::new(lineage, values.iter().map(Option::as_ref).collect());
    let value = values[head].as_ref();
    let heads: Vec<usize> = lineage.speaking().collect();
    let others = heads.iter().copied().filter(|other| *other != head);
    let mut origins =
        others.flat_map(|other| question.origins(head, other)).filter(|origin| *origin != value).peekable();
    if origins.peek().is_none() || question.is_outdated(head, &heads) {
        return Did::Unchanged;
    }
    match value {
        None => Did::Deleted,
        Some(_) if origins.all(|origin| origin.is_none()) => Did::Added,
        Some(_) => Did::Changed,
    }
}

/// Where all of `heads` have an entry: its content and each of its attributes by themselves. `None` where they disagree in one.
fn settle_in_parts(lineage: &Lineage, values: &[Option<Entry>], heads: &[usize], apart: &Apart) -> Option<Entry> {
    if heads.is_empty() || heads.iter().any(|head| values[*head].is_none()) {
        return None;
    }
    let kinds = Question::new(lineage, values.iter().map(|value| value.as_ref().map(|entry| &entry.kind)).collect());
    let kind: &EntryKind = kinds.only_value(&kinds.standing(heads))??;
    let attrs = values
        .iter()
        .map(|value| value.as_ref().map_or(Some(None), |entry| at_hand(entry, apart)))
        .collect::<Option<Vec<_>>>()?;
    let keys: BTreeSet<&String> =
        heads.iter().filter_map(|head| attrs[*head]).flat_map(|attrs| attrs.0.keys()).collect();
    let mut merged = Attrs::default();
    for key in keys {
        let of_key: Vec<Option<&Value>> = attrs.iter().map(|attrs| attrs.and_then(|attrs| attrs.0.get(key))).collect();
        let question = Question::new(lineage, of_key);
        if let Some(value) = question.only_value(&question.standing(heads))? {
            merged.0.insert(key.clone(), value.clone());
        }
    }
    let attrs = match merged.is_empty() {
        true => EntryAttrs::None,
        false if merged.encode().len() <= MAX_INLINE_ATTRS => EntryAttrs::Inline(merged),
        // What one of the versions keeps apart is in the store; a merge writes no such object.
        false => EntryAttrs::OutOfLine(apart.iter().find(|(_, attrs)| **attrs == merged).map(|(id, _)| *id)?),
    };
    Some(Entry { kind: kind.clone(), attrs })
}

/// `None`: the attributes aren't at hand.
fn at_hand<'v>(entry: &'v Entry, apart: &'v Apart) -> Option<Option<&'v Attrs>> {
    match &entry.attrs {
        EntryAttrs::None => Some(None),
        EntryAttrs::Inline(attrs) => Some(Some(attrs)),
        EntryAttrs::OutOfLine(id) => apart.get(id).map(Some),
    }
}

type Values<'a, P> = Vec<Option<&'a P>>;

/// The rule of this module for one value of each version.
struct Question<'a, P> {
    lineage: &'a Lineage,
    values: Values<'a, P>,
    /// What pairs with several bases came from: asked again and again where such pairs stand on each other.
    known: RefCell<HashMap<(usize, usize), Values<'a, P>>>,
}

impl<'a, P: PartialEq> Question<'a, P> {
    fn new(lineage: &'a Lineage, values: Values<'a, P>) -> Self {
        Question { lineage, values, known: RefCell::default() }
    }

    /// Those of `heads` whose value no other of them outdates.
    fn standing(&self, heads: &[usize]) -> Vec<usize> {
        heads.iter().copied().filter(|head| !self.is_outdated(*head, heads)).collect()
    }

    /// Whether one of `heads` has seen the value of a head, and has put something else in its place.
    fn is_outdated(&self, head: usize, heads: &[usize]) -> bool {
        let value = &self.values[head];
        heads.iter().any(|by| self.values[*by] != *value && self.origins(head, *by).contains(value))
    }

    /// The value of all of `heads`, if they have one and the same.
    fn only_value(&self, heads: &[usize]) -> Option<Option<&'a P>> {
        let (first, rest) = heads.split_first()?;
        rest.iter().all(|head| self.values[*head] == self.values[*first]).then_some(self.values[*first])
    }

    /// What two versions came from.
    fn origins(&self, a: usize, b: usize) -> Values<'a, P> {
        let bases = self.lineage.bases_of(a, b);
        let Some(first) = bases.first() else { return vec![None] };
        if self.only_value(bases).is_some() {
            return vec![self.values[*first]];
        }
        let pair = (a.min(b), a.max(b));
        if let Some(known) = self.known.borrow().get(&pair) {
            return known.clone();
        }
        let origins = match self.only_value(&self.standing(bases)) {
            Some(value) => vec![value],
            None => bases.iter().map(|base| self.values[*base]).collect(),
        };
        self.known.borrow_mut().insert(pair, origins.clone());
        origins
    }
}

/// Joins what differs from one version to each of several others, in path order: for each path at which one differs, the value of that
/// version and of each of the others.
pub struct Joined<I: Iterator<Item = Result<Change>>> {
    changes: Vec<Peekable<I>>,
}

impl<I: Iterator<Item = Result<Change>>> Joined<I> {
    /// `changes` are the changes to each of the others, each in path order.
    pub fn new(changes: impl IntoIterator<Item = I>) -> Joined<I> {
        Joined { changes: changes.into_iter().map(Iterator::peekable).collect() }
    }

    fn step(&mut self) -> Result<Option<(RepoPath, Vec<Option<Entry>>)>> {
        let mut next: Option<RepoPath> = None;
        for changes in &mut self.changes {
            match changes.peek() {
                Some(Ok(change)) if next.as_ref().is_none_or(|path| change.path < *path) => {
                    next = Some(change.path.clone())
                }
                Some(Err(_)) => return changes.next().transpose().map(|_| None),
                _ => {}
            }
        }
        let Some(path) = next else { return Ok(None) };
        let mut before = None;
        let mut come = Vec::with_capacity(self.changes.len());
        for changes in &mut self.changes {
            let change =
                changes.next_if(|change| change.as_ref().is_ok_and(|change| change.path == path)).transpose()?;
            come.push(change.map(|change| {
                before = change.before;
                change.after
            }));
        }
        let others = come.into_iter().map(|after| after.unwrap_or_else(|| before.clone())).collect::<Vec<_>>();
        Ok(Some((path, std::iter::once(before).chain(others).collect())))
    }
}

impl<I: Iterator<Item = Result<Change>>> Iterator for Joined<I> {
    /// The path; the value of the one version, then those of the others.
    type Item = Result<(RepoPath, Vec<Option<Entry>>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
