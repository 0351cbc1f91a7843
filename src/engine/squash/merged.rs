//! What was merged between the two ends of a squash and stays a parent: a later merge of the same branch or dataset has to know what was
//! seen of it, or what was deleted would come back.

use std::collections::HashSet;

use crate::base::{Error, Id, Result};
use crate::format::attrs::Attrs;
use crate::format::version::Parent;
use crate::history::bases::Graph;
use crate::history::dag::ancestry_in;
use crate::history::fold::Fold;
use crate::tree::part::Part;

use super::super::Engine;
use super::super::merge::record_parts;
use super::super::open::Target;

/// The parents of a squashed version, and its metadata.
#[derive(Default)]
pub(super) struct Merged {
    /// All but the base, as they were called in the merges.
    pub parents: Vec<Parent>,
    pub meta: Attrs,
}

impl Merged {
    /// `base` is an ancestor of `tip`.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where several parts of one version were merged.
    pub fn between(engine: &Engine, target: &Target, base: Id, tip: Id) -> Result<Merged> {
        let fold = target.store.timeline.fold();
        let line = line(fold, base, tip);
        let parts = engine.parts_before(target, [tip].into_iter())?;
        let of_line: HashSet<Id> = line.iter().copied().chain([base]).collect();
        let mut heads = vec![(base, Part::default())];
        let mut taken = Vec::new();
        for child in line.iter().rev() {
            let Some(state) = fold.version(child) else { continue };
            for parent in state.row.parents.iter().filter(|parent| !of_line.contains(*parent)) {
                let part = parts.get(&(*child, *parent)).cloned().unwrap_or_default();
                if !heads.contains(&(*parent, part.clone())) {
                    heads.push((*parent, part));
                    taken.push(*child);
                }
            }
        }
        let outrun = Graph { fold, parts: &parts }.outrun(&heads);
        let kept = heads.into_iter().zip(outrun).skip(1).zip(taken).filter(|((_, outrun), _)| !outrun);
        let kept: Vec<((Id, Part), Id)> = kept.map(|((head, _), child)| (head, child)).collect();
        let mut seen = HashSet::new();
        if let Some(((twice, _), _)) = kept.iter().find(|((parent, _), _)| !seen.insert(*parent)) {
            let message =
                format!("several parts of version {} were merged on the way, and one can be kept", twice.short());
            return Err(Error::conflict(message).hint("squash the versions before and after one of these merges"));
        }
        let children: Vec<_> = kept.iter().filter_map(|(_, child)| fold.version(child)).collect();
        let records = engine.version_records(&target.store, &children)?;
        let parent = |(((parent, _), _), record): (&((Id, Part), Id), &crate::format::version::Version)| {
            let known = record.parents.iter().find(|known| known.id == *parent);
            Parent { id: *parent, role: known.map(|known| known.role.clone()).unwrap_or_default() }
        };
        Ok(Merged {
            parents: kept.iter().zip(&records).map(parent).collect(),
            meta: record_parts(kept.iter().map(|((parent, part), _)| (*parent, part)))?,
        })
    }
}

/// The versions from `tip` back to the one that follows `base`, by first parents as far as these come from it.
fn line(fold: &Fold, base: Id, tip: Id) -> Vec<Id> {
    let mut from_base = HashSet::from([base]);
    for state in ancestry_in(|id| fold.version(id), &[tip]).into_iter().rev() {
        if state.row.parents.iter().any(|parent| from_base.contains(parent)) {
            from_base.insert(state.row.version);
        }
    }
    let mut line = Vec::new();
    let mut next = Some(tip);
    while let Some(state) = next.filter(|id| *id != base).and_then(|id| fold.version(&id)) {
        line.push(state.row.version);
        next = state.row.parents.iter().copied().find(|parent| from_base.contains(parent));
    }
    line
}
