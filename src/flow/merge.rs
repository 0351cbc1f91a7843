//! Reads what versions differ in, and plans their merge. What all of them share is met as whole subtrees and skipped unread.

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::base::{Error, Id, Kind, RepoPath, Result};
use crate::format::manifest::{Entry, EntryAttrs};
use crate::tree::diff::diff;
use crate::tree::manifest::Manifest;
use crate::tree::merge::{Apart, Joined, Lineage, Outcome, settle};
use crate::tree::resolve::{Choices, Head, Look, Plan, Planner};

/// Changes that one version's reader is ahead of the slowest.
const AHEAD: usize = 512;

/// What a version has below a folder of its own.
#[derive(Clone)]
pub struct Tree<'a> {
    pub manifest: Manifest<'a>,
    /// `""`, or it ends with a slash.
    pub folder: String,
}

/// A folder of the outcome, but for the folders in it that are regions themselves.
pub struct Region<'a> {
    /// `""`, or it ends with a slash.
    pub folder: String,
    pub lineage: Lineage,
    /// What the lineage's versions have there; `None` for heads that are silent.
    pub trees: Vec<Option<Tree<'a>>>,
}

/// All regions by folder, the root first. The first head speaks in all of them, and its folders are the outcome's.
pub struct Regions<'a>(pub Vec<Region<'a>>);

/// Plans the merge of the regions' heads.
///
/// Where all versions have the same folder, each is compared with the first head by a thread of its own. Memory: what the heads differ in.
pub fn plan(regions: &Regions<'_>, heads: &[Head], choices: &Choices) -> Result<Plan> {
    let mut planner = Planner::new(heads, choices);
    let apart = regions.differ_in_parts()?;
    regions.take_each(&apart, &mut planner)?;
    for region in regions.0.iter().filter(|region| region.is_one_tree()) {
        regions.compare(region, &apart, &mut planner)?;
    }
    planner.finish(regions)
}

impl<'a> Regions<'a> {
    fn at(&self, path: &str) -> &Region<'a> {
        self.0.iter().rev().find(|region| path.starts_with(&region.folder)).expect("the root is a region")
    }

    fn is_in(&self, region: &Region<'_>, path: &RepoPath) -> bool {
        self.at(path.as_str()).folder == region.folder
    }

    fn first(&self) -> Manifest<'a> {
        self.0[0].trees[0].as_ref().expect("the first head speaks everywhere").manifest
    }

    /// Takes what versions differ in where all have the same folder, but for what was taken before.
    fn compare(&self, region: &Region<'a>, taken: &BTreeSet<RepoPath>, planner: &mut Planner<'_>) -> Result<()> {
        let (first, others, place) = region.to_compare();
        thread::scope(|scope| {
            let mut readers = Vec::with_capacity(others.len());
            for other in others {
                let (sender, receiver) = sync_channel(AHEAD);
                scope.spawn(move || {
                    let gone = || Error::new(Kind::Failed, "nobody reads on");
                    let folder = region.folder.trim_end_matches('/');
                    let read = diff(first, other, folder, |change| sender.send(Ok(change)).map_err(|_| gone()));
                    // Whoever went away has an error of its own.
                    if let Err(fault) = read {
                        sender.send(Err(fault)).ok();
                    }
                });
                readers.push(receiver.into_iter());
            }
            for joined in Joined::new(readers) {
                let (path, found) = joined?;
                if taken.contains(&path) || !self.is_in(region, &path) {
                    continue;
                }
                let value = |place: &Option<usize>| place.and_then(|place| found[place].clone());
                let mut values: Vec<Option<Entry>> = place.iter().map(value).collect();
                let further = region.lineage.asks_further(&values);
                for tree in region.trees[region.lineage.near..].iter().flatten() {
                    let leaf = if further { tree.manifest.find(path.as_str())? } else { None };
                    values.push(leaf.map(|leaf| leaf.entry));
                }
                let apart = self.attributes_apart(&region.lineage, &values)?;
                planner.take(&region.lineage, path, &values, &apart);
            }
            Ok(())
        })
    }

    /// The paths at which the outcome may differ from the first head where parts of other versions stand, and what of the first head they
    /// can't stand beside: a file that is a folder of theirs, and files below theirs.
    fn differ_in_parts(&self) -> Result<BTreeSet<RepoPath>> {
        let mut paths = BTreeSet::new();
        for region in self.0.iter().filter(|region| !region.is_one_tree()) {
            region.differ(|path| {
                if self.is_in(region, &path) {
                    paths.insert(path);
                }
            })?;
        }
        let around = self.first().around(paths.iter()).map(|leaf| Ok(leaf?.path)).collect::<Result<Vec<_>>>()?;
        paths.extend(around);
        Ok(paths)
    }

    /// Takes these paths.
    fn take_each(&self, paths: &BTreeSet<RepoPath>, planner: &mut Planner<'_>) -> Result<()> {
        for region in &self.0 {
            let paths: Vec<&RepoPath> = paths.iter().filter(|path| self.is_in(region, path)).collect();
            let mut columns = Vec::with_capacity(region.trees.len());
            for tree in &region.trees {
                columns.push(match tree {
                    Some(tree) => tree.find_each(&region.folder, &paths)?,
                    None => vec![None; paths.len()],
                });
            }
            for (row, path) in paths.into_iter().enumerate() {
                let values: Vec<Option<Entry>> = columns.iter_mut().map(|column| column[row].take()).collect();
                let apart = self.attributes_apart(&region.lineage, &values)?;
                planner.take(&region.lineage, path.clone(), &values, &apart);
            }
        }
        Ok(())
    }

    /// The attributes that are kept apart from these entries, where the entries as wholes don't settle it.
    fn attributes_apart(&self, lineage: &Lineage, values: &[Option<Entry>]) -> Result<Apart> {
        let mut apart = Apart::new();
        let is_apart = |entry: &Entry| matches!(entry.attrs, EntryAttrs::OutOfLine(_));
        let asks = values.iter().flatten().any(is_apart) && matches!(settle(lineage, values, &apart), Outcome::Open(_));
        for entry in values.iter().flatten().filter(|_| asks) {
            if let EntryAttrs::OutOfLine(id) = entry.attrs {
                apart.insert(id, self.first().attributes(entry)?);
            }
        }
        Ok(apart)
    }
}

impl<'a> Region<'a> {
    /// Whether all versions have the same folder here, so that what they share is the same nodes.
    fn is_one_tree(&self) -> bool {
        self.trees.iter().flatten().all(|tree| tree.folder == self.folder)
    }

    fn near(&self) -> impl Iterator<Item = (usize, &Tree<'a>)> {
        self.trees[..self.lineage.near].iter().enumerate().filter_map(|(number, tree)| Some((number, tree.as_ref()?)))
    }

    /// The first version's manifest, the different ones among the others, and for each near version which of all these is its own.
    fn to_compare(&self) -> (Manifest<'a>, Vec<Manifest<'a>>, Vec<Option<usize>>) {
        let first = self.trees[0].as_ref().expect("the first head speaks everywhere").manifest;
        let mut known: HashMap<Id, usize> = HashMap::from([(first.root(), 0)]);
        let mut others = Vec::new();
        let mut place = vec![None; self.lineage.near];
        for (number, tree) in self.near() {
            place[number] = Some(*known.entry(tree.manifest.root()).or_insert_with(|| {
                others.push(tree.manifest);
                others.len()
            }));
        }
        (first, others, place)
    }

    /// Gives the paths at which the outcome may differ from what the first head has; some twice.
    ///
    /// Versions that have the same folder here are compared with each other. Where none of them differ, a head of another folder is
    /// outdated by the first head if all that both came from is of its own folder. If they came from nothing, what it has may be new;
    /// else all has to be looked at.
    fn differ(&self, mut sink: impl FnMut(RepoPath)) -> Result<()> {
        let mut groups: HashMap<&str, Vec<(usize, &Tree<'a>)>> = HashMap::new();
        self.near().for_each(|(number, tree)| groups.entry(&tree.folder).or_default().push((number, tree)));
        let mut whole: BTreeSet<&str> = BTreeSet::new();
        for (head, tree) in
            self.near().filter(|(number, tree)| *number < self.lineage.heads && tree.folder != self.folder)
        {
            let is_own = |base: &usize| self.trees[*base].as_ref().is_some_and(|base| base.folder == tree.folder);
            match self.lineage.bases_of(0, head) {
                [] => drop(whole.insert(&tree.folder)),
                bases if bases.iter().all(is_own) => {}
                _ => whole.extend(groups.keys()),
            }
        }
        for (folder, trees) in groups {
            let mut give = |path: &RepoPath| {
                sink(RepoPath::new(format!("{}{}", self.folder, &path.as_str()[folder.len()..]))?);
                Ok::<(), Error>(())
            };
            let below = folder.trim_end_matches('/');
            let (first, others) = (&trees[0].1.manifest, &trees[1..]);
            for (_, other) in others.iter().filter(|(_, other)| other.manifest.root() != first.root()) {
                diff(*first, other.manifest, below, |change| {
                    if change.path.as_str() == below { Ok(()) } else { give(&change.path) }
                })?;
            }
            if whole.contains(folder) {
                for leaf in first.entries(below) {
                    let leaf = leaf?;
                    if leaf.path.as_str() != below {
                        give(&leaf.path)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Tree<'_> {
    /// The entries at paths of a region, which are in path order.
    fn find_each(&self, region: &str, paths: &[&RepoPath]) -> Result<Vec<Option<Entry>>> {
        let own: Vec<String> = paths.iter().map(|path| self.own(region, path.as_str())).collect();
        let found = self.manifest.find_each(own.iter().map(String::as_str))?;
        Ok(found.into_iter().map(|leaf| leaf.map(|leaf| leaf.entry)).collect())
    }

    /// What a path of a region is in the version itself.
    fn own(&self, region: &str, path: &str) -> String {
        format!("{}{}", self.folder, &path[region.len()..])
    }
}

impl Look for Regions<'_> {
    fn lineage_at(&self, path: &str) -> &Lineage {
        &self.at(path).lineage
    }

    fn values_at(&self, path: &str) -> Result<Vec<Option<Entry>>> {
        let region = self.at(path);
        let value = |tree: &Option<Tree<'_>>| match tree {
            Some(tree) => Ok(tree.manifest.find(&tree.own(&region.folder, path))?.map(|leaf| leaf.entry)),
            None => Ok(None),
        };
        region.trees.iter().map(value).collect()
    }

    fn has_folder(&self, head: usize, path: &str) -> Result<bool> {
        let folder = format!("{path}/");
        // A part that was put somewhere below makes the folders on the way there.
        let below = self.0.iter().filter(|region| region.folder.starts_with(&folder));
        let below = below.map(|region| (region, region.folder.as_str()));
        for (region, folder) in [(self.at(&folder), folder.as_str())].into_iter().chain(below) {
            let Some(tree) = &region.trees[head] else { continue };
            if tree.manifest.has_folder(tree.own(&region.folder, folder).trim_end_matches('/'))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
