//! What becomes of the refs of one dataset when they are carried to its counterpart in another store.

use std::collections::BTreeMap;

use crate::base::{BranchName, DatasetName, Id, RefName};
use crate::format::operation::Operation;
use crate::history::dag::is_ancestor;
use crate::history::fold::Dataset;

/// A ref that is carried, by its name over there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carried {
    Branch(BranchName),
    /// A branch that only follows: it goes wherever the other went.
    Tracking(BranchName),
    Name(RefName),
    Tag(RefName),
    /// A tag that the user named: it is set wherever it is, as by hand.
    NamedTag(RefName),
}

impl Carried {
    /// The name over there.
    pub fn as_str(&self) -> &str {
        match self {
            Carried::Branch(name) | Carried::Tracking(name) => name.as_str(),
            Carried::Name(name) | Carried::Tag(name) | Carried::NamedTag(name) => name.as_str(),
        }
    }
}

/// What would become of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, at that version.
    Same,
    New,
    /// It moves on from an ancestor, or follows.
    Moves,
    /// A tag that stays where it is, and is protected from now on. None is unprotected in passing.
    Protects,
    /// It is further on over there, or was moved there and not here.
    Behind,
    /// Something stands against it.
    Refused(String),
}

/// A ref, and what carrying it would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefMove {
    pub what: Carried,
    /// Where it points over there.
    pub old: Option<Id>,
    pub new: Id,
    pub verdict: Verdict,
    /// It is a tag that is protected over there, and stands elsewhere.
    pub is_held: bool,
    /// Of a tag: what it is here.
    protected: bool,
}

/// Judges one ref of `from`, at version `new`, against what `to` has; no dataset over there is an empty one.
pub fn judge(from: &Dataset, to: Option<&Dataset>, what: Carried, new: Id) -> RefMove {
    let empty = Dataset::default();
    let to = to.unwrap_or(&empty);
    let text = what.as_str();
    let protected = match &what {
        Carried::Tag(tag) | Carried::NamedTag(tag) => from.tags.get(tag).is_some_and(|tag| tag.protected),
        _ => false,
    };
    let old = match &what {
        Carried::Branch(name) | Carried::Tracking(name) => to.branches.get(name).copied(),
        Carried::Name(name) => to.names.get(name).copied(),
        Carried::Tag(name) | Carried::NamedTag(name) => to.tags.get(name).map(|tag| tag.version),
    };
    let is_held = match &what {
        Carried::Tag(tag) | Carried::NamedTag(tag) => {
            old != Some(new) && to.tags.get(tag).is_some_and(|tag| tag.protected)
        }
        _ => false,
    };
    let verdict = match (old, &what) {
        (Some(old), Carried::Tag(tag) | Carried::NamedTag(tag))
            if old == new && protected && to.tags.get(tag).is_some_and(|there| !there.protected) =>
        {
            Verdict::Protects
        }
        (Some(old), _) if old == new => Verdict::Same,
        (None, Carried::Name(_)) if to.name_of(&new).is_some() => {
            let name = to.name_of(&new).map(RefName::to_string).unwrap_or_default();
            Verdict::Refused(format!("version {} is named {name} already", new.short()))
        }
        (None, _) if to.has_ref(text) => Verdict::Refused(format!("another kind of ref has the name {text} already")),
        (None, _) => Verdict::New,
        (Some(old), _) if is_held => Verdict::Refused(format!("it is protected, at {}", old.short())),
        (Some(_), Carried::Tracking(_) | Carried::NamedTag(_)) => Verdict::Moves,
        (Some(old), Carried::Name(_)) => {
            Verdict::Refused(format!("it stands for version {} already, not for {}", old.short(), new.short()))
        }
        (Some(old), _) if is_ancestor(from, &old, &new) => Verdict::Moves,
        (Some(old), _) if is_ancestor(to, &new, &old) => Verdict::Behind,
        (Some(old), _) => {
            Verdict::Refused(format!("it is at {}, which isn't in the history of {}", old.short(), new.short()))
        }
    };
    RefMove { what, old, new, verdict, is_held, protected }
}

/// What becomes of a tag that goes along with a push and wasn't named, by where such tags were `seen` over there last: only what was set
/// here since moves. What both sides moved is refused. `None` for one that was deleted over there and not moved here, unless `all` are to be there.
pub fn only_own(step: RefMove, seen: &BTreeMap<RefName, Id>, all: bool) -> Option<RefMove> {
    let Carried::Tag(tag) = &step.what else { return Some(step) };
    let last = seen.get(tag).copied();
    if step.old == last || matches!(step.verdict, Verdict::Same | Verdict::Protects) {
        return Some(step);
    }
    let verdict = match (last, step.old) {
        (Some(last), None) if last == step.new => return all.then_some(step),
        (Some(last), Some(_)) if last == step.new => Verdict::Behind,
        (Some(last), None) => Verdict::Refused(format!("it was deleted there, where it was at {}", last.short())),
        (last, Some(old)) if step.verdict == Verdict::Moves => Verdict::Refused(match last {
            Some(last) => format!("it was moved there too, from {} to {}", last.short(), old.short()),
            None => format!("it was set there too, to {}", old.short()),
        }),
        _ => return Some(step),
    };
    Some(RefMove { verdict, ..step })
}

/// What becomes of a tag that a fetch brings, by where such tags were `seen` over there last: one that wasn't moved here follows, also back, and one
/// that was moved here alone stays.
pub fn following(step: RefMove, seen: &BTreeMap<RefName, Id>) -> RefMove {
    let Carried::Tag(tag) = &step.what else { return step };
    let last = seen.get(tag).copied();
    let stays_back = matches!(step.verdict, Verdict::Behind | Verdict::Refused(_));
    let verdict = match step.old {
        Some(old) if last == Some(old) && stays_back && !step.is_held => Verdict::Moves,
        Some(_) if last == Some(step.new) && step.verdict == Verdict::Moves => Verdict::Behind,
        _ => return step,
    };
    RefMove { verdict, ..step }
}

impl RefMove {
    /// The tag of this move, if it is one and stands at the same version on both sides once the move is done.
    pub fn agreed_tag(&self) -> Option<&RefName> {
        let agrees = matches!(self.verdict, Verdict::Same | Verdict::New | Verdict::Moves | Verdict::Protects);
        match &self.what {
            Carried::Tag(tag) | Carried::NamedTag(tag) if agrees => Some(tag),
            _ => None,
        }
    }
}

/// What makes a ref move, if it does.
pub fn operation(dataset: &DatasetName, step: &RefMove) -> Option<Operation> {
    if !matches!(step.verdict, Verdict::New | Verdict::Moves | Verdict::Protects) {
        return None;
    }
    let dataset = dataset.clone();
    Some(match &step.what {
        Carried::Branch(branch) | Carried::Tracking(branch) => {
            Operation::SetBranch { dataset, branch: branch.clone(), old: step.old, new: Some(step.new) }
        }
        Carried::Name(name) => Operation::TakeName { dataset, name: name.clone(), version: step.new },
        Carried::Tag(tag) | Carried::NamedTag(tag) => Operation::SetTag {
            dataset,
            tag: tag.clone(),
            old: step.old,
            new: Some(step.new),
            protected: step.protected,
        },
    })
}
