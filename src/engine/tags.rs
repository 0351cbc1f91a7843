//! `name`, `tag`, `publish`: what a version is called, and that it stays as it is.

use crate::base::{DatasetName, Error, Id, RefName, Result};
use crate::format::operation::{MAX_NOTE, Operation};
use crate::history::fold::{Dataset, Tag};
use crate::history::guard::{Reason, guarded, tag_change};

use super::refs::whole_versions_only;
use super::{Address, Engine};

/// A version, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedVersion {
    pub dataset: DatasetName,
    pub version: Id,
    pub name: Option<RefName>,
    /// False where it was so already, and no record was written.
    pub changed: bool,
}

/// Where a tag is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagAt {
    pub version: Id,
    /// The version's name.
    pub version_name: Option<RefName>,
    pub protected: bool,
}

/// What became of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagMove {
    pub tag: RefName,
    pub before: Option<TagAt>,
    /// `None`: it was taken away.
    pub after: Option<TagAt>,
}

impl Engine {
    /// Gives the address's version a name, which it then has for good.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where it has another name, or another version, a branch or a tag has this one.
    pub fn name_version(&self, address: &Address, name: &str) -> Result<NamedVersion> {
        whole_versions_only(address)?;
        let name = RefName::new(name)?;
        let mut target = self.open_target(address)?;
        let version = target.version()?.row.version;
        let dataset = target.dataset.clone();
        let changed = target.store.timeline.append(&self.actor(), |fold, _| {
            if fold.dataset(&dataset)?.names.get(&name) == Some(&version) {
                return Ok(Vec::new());
            }
            fold.refuse_let_go(&version)?;
            Ok(vec![Operation::TakeName { dataset: dataset.clone(), name: name.clone(), version }])
        })?;
        Ok(NamedVersion { dataset, version, name: Some(name), changed })
    }

    /// Freezes the address's version: what removes it, or a protected tag on it, needs a reason from now on. The note goes into the log.
    pub fn publish_version(&self, address: &Address, note: &str) -> Result<NamedVersion> {
        whole_versions_only(address)?;
        if note.len() > MAX_NOTE {
            return Err(Error::usage(format!("a note has at most {MAX_NOTE} bytes, and this one has {}", note.len())));
        }
        let mut target = self.open_target(address)?;
        let version = target.version()?.row.version;
        let dataset = target.dataset.clone();
        let changed = target.store.timeline.append(&self.actor(), |fold, _| {
            let state = fold.dataset(&dataset)?.versions.get(&version);
            if state.is_some_and(|state| state.published) {
                return Ok(Vec::new());
            }
            fold.refuse_let_go(&version)?;
            Ok(vec![Operation::Publish { dataset: dataset.clone(), version, note: note.to_owned() }])
        })?;
        let name = target.dataset()?.name_of(&version).cloned();
        Ok(NamedVersion { dataset, version, name, changed })
    }

    /// Points a tag at the address's version, wherever it points now; it is protected from then on, or no longer, where `protect` says so.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where the tag is protected and no reason is given.
    pub fn set_tag(
        &self,
        address: &Address,
        tag: &str,
        protect: Option<bool>,
        reason: Option<&Reason>,
    ) -> Result<TagMove> {
        let target = self.open_target(address)?;
        let version = target.version()?.row.version;
        self.change_tag(target, tag, reason, |now| {
            let protected = protect.unwrap_or(now.is_some_and(|now| now.protected));
            Ok(Some(Tag { version, protected }))
        })
    }

    /// Protects a tag where it is, or no longer.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where it is to be unprotected on a published version and no reason is given.
    pub fn protect_tag(
        &self,
        address: &Address,
        tag: &str,
        protected: bool,
        reason: Option<&Reason>,
    ) -> Result<TagMove> {
        let target = self.open_target(address)?;
        let missing = no_tag(&target.dataset, tag);
        self.change_tag(target, tag, reason, |now| match now {
            Some(now) => Ok(Some(Tag { protected, ..now })),
            None => Err(missing()),
        })
    }

    /// Takes a tag away.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where the tag is protected and no reason is given.
    pub fn delete_tag(&self, address: &Address, tag: &str, reason: Option<&Reason>) -> Result<TagMove> {
        let target = self.open_target(address)?;
        let missing = no_tag(&target.dataset, tag);
        self.change_tag(target, tag, reason, |now| match now {
            Some(_) => Ok(None),
            None => Err(missing()),
        })
    }

    fn change_tag(
        &self,
        mut target: super::open::Target,
        tag: &str,
        reason: Option<&Reason>,
        to: impl Fn(Option<Tag>) -> Result<Option<Tag>>,
    ) -> Result<TagMove> {
        let tag = RefName::new(tag)?;
        let owner = target.dataset.clone();
        target.dataset()?;
        let mut moved = TagMove { tag: tag.clone(), before: None, after: None };
        target.store.timeline.append(&self.actor(), |fold, _| {
            let dataset = fold.dataset(&owner)?;
            let now = dataset.tags.get(&tag).copied();
            let next = to(now)?;
            let moves_to = next.filter(|next| now.is_none_or(|now| now.version != next.version));
            moves_to.map_or(Ok(()), |next| fold.refuse_let_go(&next.version))?;
            (moved.before, moved.after) = (now.map(|now| at(dataset, now)), next.map(|next| at(dataset, next)));
            guarded(fold, tag_change(&owner, dataset, &tag, next).into_iter().collect(), reason)
        })?;
        Ok(moved)
    }
}

fn at(dataset: &Dataset, tag: Tag) -> TagAt {
    let Tag { version, protected } = tag;
    TagAt { version, version_name: dataset.name_of(&version).cloned(), protected }
}

fn no_tag(dataset: &DatasetName, tag: &str) -> impl Fn() -> Error + use<> {
    let text = format!("{dataset} has no tag {tag}");
    move || Error::not_found(text.clone()).hint("`dagset tag` lists them; named with a REF, a tag is made")
}
