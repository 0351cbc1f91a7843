//! `refresh`: a recorded merge once more, of what its parents are now.
//!
//! Where the branch's head is the outcome of that merge and nothing else, the new content is what its parents come to by themselves: just
//! that of a merge made now. Where somebody solved conflicts or went on from it, the head is one of the parents, so that their work stays.

use crate::base::{BranchName, DatasetName, Error, Id, Result};
use crate::format::attrs::{Attrs, Value};
use crate::format::version::Version;
use crate::history::bases::reaches;
use crate::history::fold::Fold;
use crate::history::refs::DEFAULT_BRANCH;
use crate::store::address::RefBase;
use crate::tree::resolve::Choices;

use super::super::open::Target;
use super::super::{Address, Engine, Location, RefExpr};
use super::parents::known_version;
use super::rules::{META_OTHERWISE, META_PARENTS, META_REFRESHES, META_RULES, META_SOLVED, choices, recorded};
use super::{MergeOptions, MergeParent, MergeReport, Question};

impl Engine {
    /// Merges again what the newest merge in the first line of the address's history was of, with the rules that it recorded: each parent
    /// by what it was called then, so that a branch is what it is now, also in a dataset that was renamed since. The address is a branch, or a version that one branch has in its
    /// history; who wins is as it was recorded, whatever the options say of that.
    ///
    /// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) where there is no such merge, or a parent's branch is gone.
    pub fn refresh(&self, address: &Address, options: &MergeOptions) -> Result<MergeReport> {
        self.awake(|| self.refresh_once(address, options))
    }

    fn refresh_once(&self, address: &Address, options: &MergeOptions) -> Result<MergeReport> {
        let mut target = self.open_target(address)?;
        let (branch, version) = self.branch_to_refresh(&target, address)?;
        let recorded = self.newest_merge(&target, version)?;
        let fold = target.store.timeline.fold();
        let parents = recorded.asked().into_iter().map(|role| parent_again(&target, address, &now_called(fold, role)));
        let parents = parents.collect::<Result<Vec<_>>>()?;
        let rule_again = |rule: &str| match rule.rsplit_once('=') {
            Some((glob, choice)) => format!("{glob}={}", now_called(fold, choice)),
            None => rule.to_owned(),
        };
        let again = MergeOptions {
            branch: Some(branch.to_string()),
            on_conflict: recorded.text(META_OTHERWISE).map(|choice| now_called(fold, choice)),
            rules: recorded.text(META_RULES).into_iter().flat_map(str::lines).map(rule_again).collect(),
            ..options.clone()
        };
        if address.location == Location::Here && self.workspace_branch()?.as_ref() == Some(&branch) {
            return self.merge_here(&parents, &again, Some(&recorded));
        }
        let mut question = self.understand(&target, &branch, &parents, &again, true)?;
        question.afresh = self.afresh(&target, &branch, &parents, &again, Some(&recorded), &question)?;
        self.decide_merge(&mut target, &branch, &again, &question)
    }

    /// The branch that is meant, and the version at which to look for its merge.
    fn branch_to_refresh(&self, target: &Target, address: &Address) -> Result<(BranchName, Id)> {
        let dataset = target.dataset()?;
        let named = match &address.reference {
            Some(RefExpr { base: RefBase::Word(word), steps }) if steps.is_empty() => BranchName::new(word).ok(),
            Some(_) => None,
            None if address.location == Location::Here => self.workspace_branch()?,
            None => Some(BranchName::new(DEFAULT_BRANCH)?),
        };
        if let Some((branch, head)) = named.and_then(|branch| dataset.branches.get_key_value(&branch)) {
            return Ok((branch.clone(), *head));
        }
        let version = target.version()?.row.version;
        let fold = target.store.timeline.fold();
        let holders: Vec<&BranchName> = dataset
            .branches
            .iter()
            .filter(|(_, head)| reaches(fold, head, &version))
            .map(|(branch, _)| branch)
            .collect();
        match holders.as_slice() {
            [only] => Ok(((*only).clone(), version)),
            _ => Err(Error::usage(format!(
                "version {} is in the history of {} branches",
                version.short(),
                holders.len()
            ))
            .hint("name the branch: dagset refresh BRANCH")),
        }
    }

    /// The record of the nearest version, along first parents, that `merge` made.
    fn newest_merge(&self, target: &Target, version: Id) -> Result<Recorded> {
        let mut next = Some(version);
        while let Some(id) = next {
            let state = known_version(target, &id)?;
            if state.row.parents.len() > 1 {
                let record = self.version_records(&target.store, &[state])?.remove(0);
                if record.parents.iter().all(|parent| !parent.role.is_empty()) {
                    return Ok(Recorded { version: id, record });
                }
            }
            next = state.row.parents.first().copied();
        }
        Err(Error::not_found(format!("no merge is recorded in the history of {}", version.short()))
            .hint("`dagset log --graph` shows the history; `dagset merge REF…` makes a merge"))
    }
}

impl Engine {
    /// How the recorded merge is made without its outcome as a parent; `None` where that outcome isn't all that the branch's head is, or
    /// where nothing that it was made of moved on by itself.
    pub(super) fn afresh(
        &self,
        target: &Target,
        branch: &BranchName,
        parents: &[Address],
        options: &MergeOptions,
        recorded: Option<&Recorded>,
        question: &Question,
    ) -> Result<Option<Afresh>> {
        let Some(recorded) = recorded.filter(|recorded| question.head == Some(recorded.version)) else {
            return Ok(None);
        };
        let is_taken_up = !question.used.iter().any(|parent| parent.version == recorded.version);
        if recorded.text(META_SOLVED).is_some() || is_taken_up || question.used.len() < 2 {
            return Ok(None);
        }
        let origin_id = recorded.text(META_REFRESHES).map_or(Some(recorded.version), Id::from_hex);
        let state = origin_id.and_then(|origin| target.store.timeline.fold().version(&origin));
        let Some(state) = state else { return Ok(None) };
        let origin = self.version_records(&target.store, &[state])?.remove(0);
        let own = origin.parents.iter().find(|parent| parent.role == branch.as_str());
        // But for the head, where that is implied.
        let asked = &question.parents[question.parents.len() - parents.len()..];
        let mut asked: Vec<MergeParent> =
            asked.iter().map(|parent| MergeParent { adds_nothing: false, ..parent.clone() }).collect();
        for parent in asked.iter_mut().filter(|parent| parent.reference == branch.as_str()) {
            let Some(before) = own else { return Ok(None) };
            parent.version = before.id;
        }
        let (parents, used) = self.parents_of(target, asked, branch, None)?;
        // Of a branch whose version before has no content any more, what it is now stands for that.
        if used.iter().any(|parent| target.store.timeline.fold().let_go.contains_key(&parent.version)) {
            return Ok(None);
        }
        let choices = choices(options, target, &parents, &used)?;
        Ok(Some(Afresh { origin: state.row.version, parents, used, choices }))
    }
}

/// The error for a recorded merge of which a parent isn't there any more.
pub(super) fn lacks_parent(fault: Error) -> Error {
    fault.within("what the recorded merge was of isn't there any more").hint(
        "`dagset log --graph` shows it, and `dagset branch REF NAME` brings a branch back; `dagset merge REF…` merges others",
    )
}

/// A version that `merge` made.
pub(super) struct Recorded {
    version: Id,
    record: Version,
}

impl Recorded {
    fn text(&self, key: &str) -> Option<&str> {
        match self.record.meta.0.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// What was to be merged, in its order.
    fn asked(&self) -> Vec<&str> {
        match self.text(META_PARENTS) {
            Some(asked) => asked.lines().collect(),
            None => self.record.parents.iter().map(|parent| parent.role.as_str()).collect(),
        }
    }
}

/// A recorded merge as it would be made now.
pub(super) struct Afresh {
    /// The merge that was made first, and refreshed since.
    origin: Id,
    /// All that is merged, and what of it adds something; the branch is what it was before the first merge.
    parents: Vec<MergeParent>,
    pub(super) used: Vec<MergeParent>,
    pub(super) choices: Choices,
}

impl Afresh {
    /// What the metadata of the new version says; `used` are its parents.
    pub(super) fn recorded(&self, options: &MergeOptions, used: &[MergeParent]) -> Result<Attrs> {
        let mut meta = recorded(options, &self.parents, used)?;
        let asked: Vec<&str> = self.parents.iter().map(|parent| parent.reference.as_str()).collect();
        meta.0.insert(META_PARENTS.to_owned(), Value::Text(asked.join("\n")));
        meta.0.insert(META_REFRESHES.to_owned(), Value::Text(self.origin.to_string()));
        Ok(meta)
    }
}

/// A role, or who wins by a rule, with the name that its dataset has now.
fn now_called(fold: &Fold, words: &str) -> String {
    let renamed = words.split_once('@').and_then(|(dataset, rest)| {
        let dataset = DatasetName::new(dataset).ok().filter(|name| !fold.datasets.contains_key(name))?;
        Some(format!("{}@{rest}", fold.new_name(&dataset)?.0))
    });
    renamed.unwrap_or_else(|| words.to_owned())
}

/// The address of a parent by its role: REF, or DATASET@REF, perhaps with a part.
fn parent_again(target: &Target, address: &Address, role: &str) -> Result<Address> {
    let (role, path) = role.split_once(':').map_or((role, None), |(role, path)| (role, Some(path.to_owned())));
    let (dataset, reference) = match role.rsplit_once('@') {
        Some((dataset, reference)) => (Some(DatasetName::new(dataset)?), reference),
        None => (None, role),
    };
    let location = match dataset {
        None => match address.location {
            Location::Here => Location::Here,
            _ => Location::Store { text: format!("{}//{}", target.store.root, target.dataset) },
        },
        Some(dataset) => Location::Store { text: format!("{}//{dataset}", target.store.root) },
    };
    Ok(Address { location, reference: Some(RefExpr::parse(reference)?), path })
}
