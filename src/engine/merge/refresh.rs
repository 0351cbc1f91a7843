//! `refresh`: a recorded merge once more, of what its parents are now.

use crate::base::{BranchName, DatasetName, Error, Id, Result};
use crate::format::attrs::Value;
use crate::format::version::Version;
use crate::history::bases::reaches;
use crate::history::refs::DEFAULT_BRANCH;
use crate::store::address::RefBase;

use super::super::open::Target;
use super::super::{Address, Engine, Location, RefExpr};
use super::parents::known_version;
use super::rules::{META_OTHERWISE, META_PARENTS, META_RULES};
use super::{MergeOptions, MergeReport};

/// How to run a recorded merge again.
#[derive(Debug, Clone)]
pub struct RefreshOptions {
    /// A branch, or a version that one branch has in its history.
    pub address: Address,
    /// The name of the new version.
    pub name: Option<String>,
    pub message: Option<String>,
    pub dry_run: bool,
}

impl Engine {
    /// Merges again what the newest merge in the first line of the address's history was of, with the rules that it recorded: each parent
    /// by what it was called then, so that a branch is what it is now. The branch's head is a parent too, so what was solved by hand stays.
    ///
    /// Errors: [`Kind::NotFound`](crate::base::Kind::NotFound) where there is no such merge, or a parent's branch is gone.
    pub fn refresh(&self, options: &RefreshOptions) -> Result<MergeReport> {
        let address = &options.address;
        let mut target = self.open_target(address)?;
        let (branch, version) = self.branch_to_refresh(&target, address)?;
        let record = self.newest_merge(&target, version)?;
        let text = |key: &str| match record.meta.0.get(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let asked = text(META_PARENTS);
        let roles = record.parents.iter().map(|parent| parent.role.as_str());
        let asked: Vec<&str> = asked.as_ref().map_or_else(|| roles.collect(), |asked| asked.lines().collect());
        let parents = asked.into_iter().map(|role| parent_again(&target, address, role));
        let again = MergeOptions {
            parents: parents.collect::<Result<_>>()?,
            branch: Some(branch.to_string()),
            name: options.name.clone(),
            message: options.message.clone(),
            on_conflict: text(META_OTHERWISE),
            rules: text(META_RULES).iter().flat_map(|rules| rules.lines()).map(str::to_owned).collect(),
            dry_run: options.dry_run,
            bump: None,
        };
        if address.location == Location::Here && self.workspace_branch()?.as_ref() == Some(&branch) {
            return self.merge_here(&again);
        }
        let question = self.understand(&target, &branch, &again)?;
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
    fn newest_merge(&self, target: &Target, version: Id) -> Result<Version> {
        let mut next = Some(version);
        while let Some(id) = next {
            let state = known_version(target, &id)?;
            if state.row.parents.len() > 1 {
                let record = self.version_records(&target.store, &[state])?.remove(0);
                if record.parents.iter().all(|parent| !parent.role.is_empty()) {
                    return Ok(record);
                }
            }
            next = state.row.parents.first().copied();
        }
        Err(Error::not_found(format!("no merge is recorded in the history of {}", version.short()))
            .hint("`dagset log --graph` shows the history; `dagset merge REF…` makes a merge"))
    }
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
