//! Reads what versions differ in, and plans their merge. What all of them share is met as whole subtrees and skipped unread.

use std::collections::HashMap;
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::base::{Error, Id, Kind, Result};
use crate::format::manifest::{Entry, EntryAttrs};
use crate::tree::diff::diff;
use crate::tree::manifest::Manifest;
use crate::tree::merge::{Apart, Joined, Lineage, Outcome, settle};
use crate::tree::resolve::{Choices, Head, Look, Plan, Planner};

/// Changes that one version's reader is ahead of the slowest.
const AHEAD: usize = 512;

/// Plans the merge of the lineage's heads; `manifests` are those of all its versions.
///
/// Each version is compared with the first head by a thread of its own. Memory: what the heads differ in.
pub fn plan(manifests: &[Manifest<'_>], lineage: &Lineage, heads: &[Head], choices: &Choices) -> Result<Plan> {
    let versions = Versions { manifests };
    let (first, others, place) = versions.to_compare(lineage.near);
    let mut planner = Planner::new(lineage, heads, choices);
    thread::scope(|scope| {
        let mut readers = Vec::with_capacity(others.len());
        for other in others {
            let (sender, receiver) = sync_channel(AHEAD);
            scope.spawn(move || {
                let gone = || Error::new(Kind::Failed, "nobody reads on");
                let read = diff(first, other, "", |change| sender.send(Ok(change)).map_err(|_| gone()));
                // Whoever went away has an error of its own.
                if let Err(fault) = read {
                    sender.send(Err(fault)).ok();
                }
            });
            readers.push(receiver.into_iter());
        }
        for joined in Joined::new(readers) {
            let (path, found) = joined?;
            let mut values: Vec<Option<Entry>> = place.iter().map(|place| found[*place].clone()).collect();
            let further = lineage.asks_further(&values);
            for manifest in &manifests[lineage.near..] {
                let leaf = if further { manifest.find(path.as_str())? } else { None };
                values.push(leaf.map(|leaf| leaf.entry));
            }
            let apart = versions.attributes_apart(lineage, &values)?;
            planner.take(path, &values, &apart);
        }
        Ok::<(), Error>(())
    })?;
    planner.finish(&versions)
}

struct Versions<'a> {
    manifests: &'a [Manifest<'a>],
}

impl<'a> Versions<'a> {
    /// The attributes that are kept apart from these entries, where the entries as wholes don't settle it.
    fn attributes_apart(&self, lineage: &Lineage, values: &[Option<Entry>]) -> Result<Apart> {
        let mut apart = Apart::new();
        let is_apart = |entry: &Entry| matches!(entry.attrs, EntryAttrs::OutOfLine(_));
        let asks = values.iter().flatten().any(is_apart) && matches!(settle(lineage, values, &apart), Outcome::Open(_));
        for entry in values.iter().flatten().filter(|_| asks) {
            if let EntryAttrs::OutOfLine(id) = entry.attrs {
                apart.insert(id, self.manifests[0].attributes(entry)?);
            }
        }
        Ok(apart)
    }

    /// The first version's manifest, the different ones among the others, and for each version which of all these is its own.
    fn to_compare(&self, near: usize) -> (Manifest<'a>, Vec<Manifest<'a>>, Vec<usize>) {
        let first = self.manifests[0];
        let mut known: HashMap<Id, usize> = HashMap::from([(first.root(), 0)]);
        let mut others = Vec::new();
        let mut place = Vec::with_capacity(near);
        for manifest in &self.manifests[..near] {
            place.push(*known.entry(manifest.root()).or_insert_with(|| {
                others.push(*manifest);
                others.len()
            }));
        }
        (first, others, place)
    }
}

impl Look for Versions<'_> {
    fn values_at(&self, path: &str) -> Result<Vec<Option<Entry>>> {
        self.manifests.iter().map(|manifest| Ok(manifest.find(path)?.map(|leaf| leaf.entry))).collect()
    }

    fn has_folder(&self, head: usize, path: &str) -> Result<bool> {
        self.manifests[head].has_folder(path)
    }
}
