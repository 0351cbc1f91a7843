//! What protection and publishing stand against, and how that is overridden: by a reason, which the log keeps (docs/format.md §10, 18).
//!
//! Writers hold to it, no reader does: whoever changes a tag makes its operations here, anew for each newer fold.

use crate::base::{DatasetName, Error, RefName, Result};
use crate::format::operation::{MAX_NOTE, Operation};

use super::fold::{Dataset, Tag};

/// Why something protected is changed after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Checks that it says something, in at most 4 KiB.
    pub fn new(text: &str) -> Result<Reason> {
        match text.trim() {
            "" => Err(Error::usage("a reason is needed, and this one is empty").hint("--reason 'why it has to be'")),
            text if text.len() > MAX_NOTE => {
                Err(Error::usage(format!("a reason has at most {MAX_NOTE} bytes, and this one has {}", text.len())))
            }
            text => Ok(Reason(text.to_owned())),
        }
    }

    /// The operation that logs it.
    pub fn operation(&self) -> Operation {
        Operation::Reason { text: self.0.clone() }
    }
}

/// What sets a tag (`to`) or takes it away (`None`), with the reason if there is one; nothing where it is so already.
///
/// Errors: a conflict where the tag is protected and moves or goes, or is on a published version and is no longer to be protected, and
/// no reason is given.
pub fn tag_change(
    owner: &DatasetName,
    dataset: &Dataset,
    tag: &RefName,
    to: Option<Tag>,
    reason: Option<&Reason>,
) -> Result<Vec<Operation>> {
    let now = dataset.tags.get(tag).copied();
    if now == to {
        return Ok(Vec::new());
    }
    if let (Some(why), None) = (now.and_then(|now| what_holds(dataset, now, to)), reason) {
        return Err(Error::conflict(format!("the tag {tag} of {owner} {why}"))
            .hint("where it has to be: `dagset tag … --force --reason TEXT`; the log keeps the reason"));
    }
    let set = Operation::SetTag {
        dataset: owner.clone(),
        tag: tag.clone(),
        old: now.map(|now| now.version),
        new: to.map(|to| to.version),
        protected: to.is_some_and(|to| to.protected),
    };
    Ok([set].into_iter().chain(reason.map(Reason::operation)).collect())
}

/// What stands against moving the tag from where it is, if anything does.
fn what_holds(dataset: &Dataset, now: Tag, to: Option<Tag>) -> Option<String> {
    let version = || dataset.name_of(&now.version).map_or_else(|| now.version.short(), RefName::to_string);
    let is_published = dataset.versions.get(&now.version).is_some_and(|state| state.published);
    match (now.protected, to) {
        (false, _) => None,
        (true, Some(to)) if to.version == now.version && to.protected => None,
        (true, Some(to)) if to.version == now.version => {
            is_published.then(|| format!("is on the published version {}, so it stays protected", version()))
        }
        (true, _) => Some(format!("is protected, and is at {}", version())),
    }
}
