//! Whether a manifest becomes a version, and how: the rules of `ingest`, `commit` and `merge`, as a pure function of the log.

use crate::base::{BranchName, DatasetName, Error, Id, RefName, Result};
use crate::format::operation::Operation;
use crate::history::bases::reaches;
use crate::history::dag::is_ancestor;
use crate::history::fold::{Dataset, Fold, Tag};
use crate::history::guard::{guarded, tag_change};

/// What a user asks to publish.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub dataset: DatasetName,
    pub branch: BranchName,
    pub manifest: Id,
    /// `None`: the branch's head is the parent.
    pub parents: Option<Vec<Id>>,
    /// The head must be this version.
    pub expect: Option<Id>,
    pub name: Option<RefName>,
    pub tags: Vec<RefName>,
    /// Content that the head has becomes a version all the same, where the head has a name: something else is new.
    pub renews: bool,
    /// It may be asked for once more, long after: that the name is that of an older version of the branch, with the same content, is what it
    /// was to come to.
    pub repeats: bool,
    /// The branch's head when the content was looked at.
    pub seen_head: Option<Id>,
}

/// What has to happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The content has a version already; at most names and tags are given to it, and the branch moves on to it. The tags that `ahead` names
    /// lead to versions that came of it, and stay there.
    Unchanged { version: Id, operations: Vec<Operation>, ahead: Vec<RefName> },
    /// A new version with these parents; `changed` unless the head has the same content and the version only gets a name of its own.
    New { parents: Vec<Id>, changed: bool },
}

/// Decides by the present fold. Called again for each newer fold.
///
/// Errors: a conflict when the branch isn't where it must be, or the name is taken by other content.
pub fn decide(fold: &Fold, proposal: &Proposal) -> Result<Decision> {
    let empty = Dataset::default();
    let dataset = fold.datasets.get(&proposal.dataset).unwrap_or(&empty);
    let head = dataset.branches.get(&proposal.branch).copied();
    let head_manifest = head.and_then(|id| dataset.versions.get(&id)).map(|state| state.row.manifest);
    let where_it_is = || head.map_or_else(|| "isn't there".to_owned(), |id| format!("is at {}", id.short()));

    if let Some(name) = &proposal.name {
        if let Some(version) = dataset.names.get(name) {
            let same = dataset.versions.get(version).is_some_and(|state| state.row.manifest == proposal.manifest);
            return match same {
                // Who asked for it to be stored is to find it stored.
                true => fold.refuse_let_go(version).and_then(|()| has_name(fold, dataset, proposal, name, *version)),
                false => Err(name_is_taken(proposal, name, "a version of other content")),
            };
        }
        if dataset.has_ref(name.as_str()) {
            return Err(name_is_taken(proposal, name, "a branch or a tag"));
        }
    }
    // Content that stands right behind the expected version is what an earlier run of the same command published.
    let stands_behind = |expected: &Id| {
        let head = head.and_then(|id| dataset.versions.get(&id));
        head.is_some_and(|head| head.row.manifest == proposal.manifest && head.row.parents.contains(expected))
    };
    if let Some(expected) = proposal.expect.filter(|expected| head != Some(*expected) && !stands_behind(expected)) {
        let message = format!(
            "the branch {} of {} {}, not at {}",
            proposal.branch,
            proposal.dataset,
            where_it_is(),
            expected.short()
        );
        return Err(Error::conflict(message).hint("`dagset log` shows what is there now"));
    }
    let adds_no_parent = |head: &Id| match &proposal.parents {
        None => true,
        Some(given) => given.iter().all(|parent| is_ancestor(dataset, parent, head)),
    };
    if let Some(head) = head.filter(|head| head_manifest == Some(proposal.manifest) && adds_no_parent(head)) {
        return match (&proposal.name, dataset.name_of(&head)) {
            (name, Some(_)) if name.is_some() || proposal.renews => {
                Ok(Decision::New { parents: vec![head], changed: false })
            }
            (name, _) => {
                let take = name.iter().map(|name| Operation::TakeName {
                    dataset: proposal.dataset.clone(),
                    name: name.clone(),
                    version: head,
                });
                has_content(fold, dataset, proposal, head, take.collect())
            }
        };
    }
    match &proposal.parents {
        Some(parents) => match head.filter(|head| !parents.iter().any(|parent| reaches(fold, parent, head))) {
            None => Ok(Decision::New { parents: parents.clone(), changed: true }),
            Some(head) => {
                let (branch, dataset) = (&proposal.branch, &proposal.dataset);
                let message = format!(
                    "the head {} of branch {branch} of {dataset} isn't in the history of the parents",
                    head.short()
                );
                Err(Error::conflict(message).hint(format!("add --parent {}, or choose another --branch", head.short())))
            }
        },
        None if head == proposal.seen_head => Ok(Decision::New { parents: head.into_iter().collect(), changed: true }),
        None => {
            let message =
                format!("the branch {} of {} moved meanwhile: it {}", proposal.branch, proposal.dataset, where_it_is());
            let went_on = head.is_some_and(|head| proposal.seen_head.is_none_or(|seen| reaches(fold, &head, &seen)));
            Err(match went_on {
                true => Error::conflict(message)
                    .because("another version was published there since this content was looked at, and must not be undone by it")
                    .hint("run an ingest again: what was stored is not stored twice; a workspace moves on by `dagset switch` to the branch"),
                false => Error::conflict(message)
                    .because("it was moved back, renamed or deleted since this content was looked at")
                    .hint("`dagset oplog` shows by what; `dagset branch NAME` and `dagset switch NAME` go on from here on a branch of its own"),
            })
        }
    }
}

/// Decides where the name is that of a version with the same content: on the branch, or ahead of it, that version is the answer.
fn has_name(fold: &Fold, dataset: &Dataset, proposal: &Proposal, name: &RefName, version: Id) -> Result<Decision> {
    let head = dataset.branches.get(&proposal.branch).copied();
    if proposal.repeats && head.is_some_and(|head| head != version && is_ancestor(dataset, &version, &head)) {
        // It may be an older job that is run again: what went on with the branch isn't taken back.
        return has_content(fold, dataset, proposal, version, Vec::new());
    }
    let is_expected = proposal.expect.is_none_or(|expected| head == Some(expected));
    let mut before = head.iter().chain(proposal.parents.iter().flatten());
    if head != Some(version) && !(is_expected && before.all(|before| is_ancestor(dataset, before, &version))) {
        let whose = format!("a version of the same content that the branch {} isn't at", proposal.branch);
        return Err(name_is_taken(proposal, name, &whose));
    }
    let set = Operation::SetBranch {
        dataset: proposal.dataset.clone(),
        branch: proposal.branch.clone(),
        old: head,
        new: Some(version),
    };
    has_content(fold, dataset, proposal, version, Some(set).filter(|_| head != Some(version)).into_iter().collect())
}

/// The version is there already: it gets what `first` gives it, and the proposed tags but for those that came further. These are left where
/// they are, whatever the branch: who asks may be an older job that is run again, or be at an older version.
fn has_content(
    fold: &Fold,
    dataset: &Dataset,
    proposal: &Proposal,
    version: Id,
    first: Vec<Operation>,
) -> Result<Decision> {
    let went_on = |tag: &RefName| {
        let now = dataset.tags.get(tag).filter(|now| !now.protected).map(|now| now.version);
        now.is_some_and(|now| now != version && is_ancestor(dataset, &version, &now))
    };
    let (ahead, tags): (Vec<RefName>, Vec<RefName>) = proposal.tags.iter().cloned().partition(went_on);
    let tags = set_tags(fold, &proposal.dataset, &tags, version)?;
    Ok(Decision::Unchanged { version, operations: first.into_iter().chain(tags).collect(), ahead })
}

/// The operations that point the proposed tags at `version`, where they don't yet. A protected one stays: a conflict.
pub fn tag_operations(fold: &Fold, proposal: &Proposal, version: Id) -> Result<Vec<Operation>> {
    set_tags(fold, &proposal.dataset, &proposal.tags, version)
}

fn set_tags(fold: &Fold, owner: &DatasetName, tags: &[RefName], version: Id) -> Result<Vec<Operation>> {
    let empty = Dataset::default();
    let dataset = fold.datasets.get(owner).unwrap_or(&empty);
    let mut operations = Vec::new();
    for tag in tags {
        let protected = dataset.tags.get(tag).is_some_and(|tag| tag.protected);
        operations.extend(tag_change(owner, dataset, tag, Some(Tag { version, protected })));
    }
    guarded(fold, operations, None).map_err(|fault| {
        fault.hint("where it has to be: `dagset tag … --force --reason TEXT`; the log keeps the reason")
    })
}

fn name_is_taken(proposal: &Proposal, name: &RefName, by: &str) -> Error {
    Error::conflict(format!("the name {name} is taken in {} by {by}", proposal.dataset))
        .hint("choose another name, or give none")
}
