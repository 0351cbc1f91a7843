//! What a dataset is, as plain maps: versions of paths and bytes, refs that lead to them.

use std::collections::{BTreeMap, BTreeSet};

use dagset::base::Id;

/// Path → bytes.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A version.
#[derive(Debug, Clone)]
pub struct Version {
    pub files: Files,
    pub parents: Vec<Id>,
}

/// What points at versions in one store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refs {
    /// Those of remotes too, as `REMOTE/BRANCH`.
    pub branches: BTreeMap<String, Id>,
    pub tags: BTreeMap<String, Id>,
    pub names: BTreeMap<String, Id>,
}

/// All versions that were ever made, in whatever store.
#[derive(Default)]
pub struct Versions(BTreeMap<Id, Version>);

impl Versions {
    pub fn add(&mut self, id: Id, version: Version) {
        let known = self.0.insert(id, version.clone());
        assert!(known.is_none_or(|known| known.files == version.files), "an id stands for one content");
    }

    pub fn get(&self, id: &Id) -> &Version {
        &self.0[id]
    }

    pub fn knows(&self, id: &Id) -> bool {
        self.0.contains_key(id)
    }

    /// The versions themselves and all that they come from.
    pub fn history(&self, heads: impl IntoIterator<Item = Id>) -> BTreeSet<Id> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<Id> = heads.into_iter().collect();
        while let Some(id) = open.pop() {
            if reached.insert(id) {
                open.extend(&self.get(&id).parents);
            }
        }
        reached
    }

    pub fn is_ancestor(&self, older: &Id, newer: &Id) -> bool {
        self.history([*newer]).contains(older)
    }

    /// The common ancestors of two versions that are no ancestors of another one.
    pub fn merge_bases(&self, one: Id, other: Id) -> Vec<Id> {
        let common: Vec<Id> = self.history([one]).intersection(&self.history([other])).copied().collect();
        let is_best = |id: &Id| !common.iter().any(|other| other != id && self.is_ancestor(id, other));
        common.iter().copied().filter(is_best).collect()
    }
}

/// What two heads come to that were one `base`: where both put something else at a path, `first` wins.
pub fn merged(base: &Files, first: &Files, second: &Files) -> Files {
    let paths: BTreeSet<&String> = base.keys().chain(first.keys()).chain(second.keys()).collect();
    let stands = |path: &String| match first.get(path) == base.get(path) {
        true => second.get(path),
        false => first.get(path),
    };
    paths.into_iter().filter_map(|path| Some((path.clone(), stands(path)?.clone()))).collect()
}

/// Numbers that are the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number below `most`.
    pub fn below(&mut self, most: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % most.max(1) as u64) as usize
    }

    /// One of them, if there is any.
    pub fn one_of<T: Clone>(&mut self, from: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = from.into_iter().collect();
        let at = self.below(all.len());
        all.get(at).cloned()
    }
}
