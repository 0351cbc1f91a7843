//! Uses as objects: `uses/<version>/<key>` (docs/format.md §12), each created once, found by lists alone and then read.
//!
//! Recording is one request, and needs no other right than that to create. Finding those of one version is a list of its folder. Those of
//! a run or a model are told from the names, by one list while a far store has fewer than a thousand uses in all, else by a list for each
//! version that has any. Then those that are wanted are read, the newest first, and no more than were asked for: once, where somebody keeps
//! them, since they never change.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::base::{Error, Id, Kind, Result, Time};
use crate::format::header::ObjectKind;
use crate::format::usage::{Use, UseKey};

use super::lanes::side_by_side;
use super::objects::{Bucket, Created};

/// Requests that are under way at once to a far store.
const AT_ONCE: usize = 16;

/// Which uses.
pub struct Wanted<'a> {
    /// Of these versions.
    pub versions: &'a [Id],
    pub run: Option<&'a str>,
    pub model: Option<&'a str>,
    /// At most so many are read.
    pub most: usize,
}

/// Keeps uses that were read, by the names of their objects.
pub trait Keeper {
    /// Those of these names that are kept.
    fn kept(&self, names: &[String]) -> HashMap<String, Vec<u8>>;
    fn keep(&self, read: &[(String, Vec<u8>)]);
}

/// What was found, newest first.
#[derive(Debug, Default)]
pub struct FoundUses {
    pub uses: Vec<Use>,
    /// How many more there are, older than these by the store's clock.
    pub left_out: usize,
    /// What is wrong with those that are damaged and were to be read.
    pub damaged: Vec<Error>,
}

/// A use as a list shows it.
struct Listed {
    version: Id,
    name: String,
    /// Not shown by every list.
    modified: Option<Time>,
}

impl Listed {
    fn object_name(&self) -> String {
        format!("{}/{}", folder(&self.version), self.name)
    }
}

/// Writes a use. [`Created::Exists`]: the same has been recorded before.
pub fn record(bucket: &Bucket, used: &Use) -> Result<Created> {
    bucket.create(&used.object_name(), Bytes::from(used.encode()?))
}

/// Finds uses by their names, and reads those that nobody kept. Damaged ones hide no others.
pub fn find(bucket: &Bucket, wanted: &Wanted<'_>, keeper: Option<&dyn Keeper>) -> Result<FoundUses> {
    let mut listed = list(bucket, wanted)?;
    // The store's clock decides which are read; what they say themselves, in which order they are given.
    listed.sort_by_key(|listed| std::cmp::Reverse(listed.modified));
    let left_out = listed.len().saturating_sub(wanted.most);
    listed.truncate(wanted.most);
    let names: Vec<String> = listed.iter().map(Listed::object_name).collect();
    let kept = keeper.map(|keeper| keeper.kept(&names)).unwrap_or_default();
    let mut uses: Vec<Use> = Vec::with_capacity(names.len());
    let mut missing = Vec::new();
    for name in names {
        match kept.get(&name).and_then(|bytes| check(&name, bytes).ok()) {
            Some(used) => uses.push(used),
            None => missing.push(name),
        }
    }
    let read = side_by_side(&missing, at_once(bucket), |name| bucket.read_verified(|| read(bucket, name)));
    let mut bodies = Vec::new();
    let mut damaged = Vec::new();
    for (name, read) in missing.into_iter().zip(read) {
        match read {
            Ok((used, bytes)) => {
                bodies.push((name, bytes.to_vec()));
                uses.push(used);
            }
            Err(fault) if fault.kind() == Kind::Damaged => damaged.push(fault),
            Err(fault) => return Err(fault),
        }
    }
    if let Some(keeper) = keeper.filter(|_| !bodies.is_empty()) {
        keeper.keep(&bodies);
    }
    // A name holds parts of hashes only.
    uses.retain(|used| wanted.run.is_none_or(|run| used.run == run));
    uses.retain(|used| wanted.model.is_none_or(|model| used.model.as_deref() == Some(model)));
    uses.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.run.cmp(&b.run)));
    Ok(FoundUses { uses, left_out, damaged })
}

/// The versions that uses name: a list of the folders, of which each holds one at least.
pub fn used_versions(bucket: &Bucket) -> Result<HashSet<Id>> {
    let folders = bucket.list(ObjectKind::Use.folder())?.folders;
    Ok(folders.iter().filter_map(|name| Id::from_hex(name)).collect())
}

/// What is wrong with a use under this name, if anything is.
pub fn check(name: &str, bytes: &[u8]) -> Result<Use> {
    let used = Use::parse(bytes)?;
    match used.object_name() == name {
        true => Ok(used),
        false => Err(Error::damaged("it is the use of another name")),
    }
}

/// Creates in one store what another has of uses of these versions and it doesn't: the newest, at most `most`. Gives how many were created,
/// and how many are left.
///
/// Where `from` has none, `to` isn't asked.
pub fn carry(from: &Bucket, to: &Bucket, versions: &HashSet<Id>, most: usize) -> Result<(usize, usize)> {
    let folders = from.list(ObjectKind::Use.folder())?.folders;
    let used: Vec<Id> =
        folders.iter().filter_map(|name| Id::from_hex(name)).filter(|id| versions.contains(id)).collect();
    let mut listed = list_each(from, &used, |_| true)?;
    if listed.is_empty() {
        return Ok((0, 0));
    }
    let chosen: HashSet<&Id> = used.iter().collect();
    let there = match list_all(to, |version, _| chosen.contains(version))? {
        Some(there) => there,
        None => list_each(to, &used, |_| true)?,
    };
    let there: HashSet<String> = there.iter().map(Listed::object_name).collect();
    listed.retain(|listed| !there.contains(&listed.object_name()));
    listed.sort_by_key(|listed| std::cmp::Reverse(listed.modified));
    let left = listed.len().saturating_sub(most);
    listed.truncate(most);
    let created = side_by_side(&listed, at_once(to), |listed| {
        let name = listed.object_name();
        let (_, bytes) = from.read_verified(|| read(from, &name))?;
        to.create(&name, bytes)
    });
    Ok((created.into_iter().collect::<Result<Vec<_>>>()?.len(), left))
}

fn read(bucket: &Bucket, name: &str) -> Result<(Use, Bytes)> {
    let bytes = bucket.get(name)?;
    let used = check(name, &bytes).map_err(|fault| match fault.kind() {
        Kind::Damaged => fault.within(format!("{name} is damaged")).hint(bucket.verify_hint()),
        _ => fault.within(format!("{name} can't be read")),
    })?;
    Ok((used, bytes))
}

fn folder(version: &Id) -> String {
    format!("{}/{version}", ObjectKind::Use.folder())
}

fn at_once(bucket: &Bucket) -> usize {
    if bucket.is_far() { AT_ONCE } else { 1 }
}

fn list(bucket: &Bucket, wanted: &Wanted<'_>) -> Result<Vec<Listed>> {
    let fits = |name: &str| UseKey::parse(name).is_some_and(|key| key.may_be(wanted.run, wanted.model));
    let versions = match wanted.versions {
        [one] => vec![*one],
        several => {
            let several: HashSet<&Id> = several.iter().collect();
            if let Some(listed) = list_all(bucket, |version, name| several.contains(version) && fits(name))?
                && listed.len() <= wanted.most
            {
                return Ok(listed);
            }
            let folders = bucket.list(ObjectKind::Use.folder())?.folders;
            folders.iter().filter_map(|name| Id::from_hex(name)).filter(|id| several.contains(id)).collect()
        }
    };
    list_each(bucket, &versions, fits)
}

/// Those of each version.
fn list_each(bucket: &Bucket, versions: &[Id], fits: impl Fn(&str) -> bool) -> Result<Vec<Listed>> {
    let lists = side_by_side(versions, at_once(bucket), |version| Ok((*version, bucket.list(&folder(version))?)));
    let lists = lists.into_iter().collect::<Result<Vec<_>>>()?;
    let of_version = |(version, listing): (Id, super::Listing)| {
        let fitting = listing.objects.into_iter().filter(|object| fits(&object.name));
        fitting.map(move |object| Listed { version, name: object.name, modified: Some(object.modified) })
    };
    Ok(lists.into_iter().flat_map(of_version).collect())
}

/// All by one request, without times; `None` where that isn't enough to see them, and in a folder, where a list of each costs nothing.
fn list_all(bucket: &Bucket, fits: impl Fn(&Id, &str) -> bool) -> Result<Option<Vec<Listed>>> {
    if !bucket.is_far() {
        return Ok(None);
    }
    let below = bucket.list_below(ObjectKind::Use.folder(), None)?;
    let listed = below.names.iter().filter_map(|path| {
        let (version, name) = path.split_once('/')?;
        let version = Id::from_hex(version).filter(|version| fits(version, name))?;
        Some(Listed { version, name: name.to_owned(), modified: None })
    });
    Ok(below.reaches_end.then(|| listed.collect()))
}

#[cfg(test)]
#[path = "uses_tests.rs"]
mod tests;
