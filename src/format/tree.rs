//! Building the sorted maps that manifests and states are (docs/format.md §7).
//!
//! Keys come in ascending order; nodes leave as soon as they are complete, children before parents. Where nodes end depends on keys
//! alone, so that the same map has the same root whoever built it. Memory: one open node a level.

use crate::base::{Error, Id, Kind, Result};

use super::codec::{Put, varint_len};
use super::node::{MAX_KEY, MAX_NODE, NodeChild, NodeWriter, TreeKind, Weight};

/// A finished node on its way to storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    pub id: Id,
    pub level: u8,
    pub bytes: Vec<u8>,
}

/// The root of a finished map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    pub id: Id,
    pub level: u8,
    pub weight: Weight,
}

/// Builds one map.
pub struct TreeBuilder<S> {
    kind: TreeKind,
    sink: S,
    levels: Vec<NodeWriter>,
    /// The last node that each level has handed on.
    closed: Vec<Option<NodeChild>>,
    last_key: Option<Vec<u8>>,
}

impl<S: FnMut(NewNode) -> Result<()>> TreeBuilder<S> {
    /// A builder that hands finished nodes to `sink`.
    pub fn new(kind: TreeKind, sink: S) -> Self {
        TreeBuilder { kind, sink, levels: vec![NodeWriter::new(0)], closed: vec![None], last_key: None }
    }

    /// Adds the next item; `weight` is what it counts for.
    ///
    /// Errors: keys out of order, an item that is too long, or the sink's.
    pub fn push(&mut self, key: &[u8], value: &[u8], weight: Weight) -> Result<()> {
        if self.last_key.as_deref().is_some_and(|last| last >= key) || key.is_empty() || key.len() > MAX_KEY {
            return Err(Error::new(Kind::Failed, "keys of a map are out of order or too long"));
        }
        if value.len() + key.len() + 32 > MAX_NODE {
            return Err(Error::usage("an entry is too long for a manifest"));
        }
        self.last_key = Some(key.to_vec());
        let mut payload = Vec::with_capacity(value.len() + varint_len(value.len() as u64));
        payload.put_bytes(value);
        self.add(0, key, &payload, weight)
    }

    /// Adds a whole leaf of another map of this kind, whose last key is `last_key`, unread.
    ///
    /// Errors ([`Kind::Failed`]): this map isn't at a cut, or the leaf doesn't end with one whatever follows. Where both hold, the leaf
    /// is what its items would become here.
    pub fn push_leaf(&mut self, last_key: &[u8], child: NodeChild) -> Result<()> {
        let ascends = self.last_key.as_deref().is_none_or(|last| last < last_key);
        if self.levels[0].count() > 0 || !ends_leaf(last_key) || !ascends {
            return Err(Error::new(Kind::Failed, "a leaf doesn't fit where it is put"));
        }
        self.last_key = Some(last_key.to_vec());
        self.closed[0] = Some(child);
        self.add(1, last_key, &child_payload(&child), child.weight)
    }

    fn add(&mut self, level: usize, key: &[u8], payload: &[u8], weight: Weight) -> Result<()> {
        if level == self.levels.len() {
            self.levels.push(NodeWriter::new(level as u8));
            self.closed.push(None);
        }
        if self.levels[level].count() > 0 && !self.levels[level].has_room_for(key, payload.len()) {
            self.close(level)?;
        }
        let node = &mut self.levels[level];
        node.push(key, payload);
        node.weight = node.weight.plus(weight).ok_or_else(|| Error::usage("a map counts more than 64 bits hold"))?;
        let cut = match level {
            0 => ends_leaf(key),
            _ => node.count() >= 2 && ends_node(key, level as u32),
        };
        if cut { self.close(level) } else { Ok(()) }
    }

    fn close(&mut self, level: usize) -> Result<()> {
        let (child, last_key) = self.emit(level)?;
        self.add(level + 1, &last_key, &child_payload(&child), child.weight)
    }

    fn emit(&mut self, level: usize) -> Result<(NodeChild, Vec<u8>)> {
        let node = std::mem::replace(&mut self.levels[level], NodeWriter::new(level as u8));
        let bytes = node.encode(self.kind);
        let child = NodeChild { id: Id::of(&bytes), weight: node.weight };
        (self.sink)(NewNode { id: child.id, level: level as u8, bytes })?;
        self.closed[level] = Some(child);
        Ok((child, node.last_key().to_vec()))
    }

    /// Closes what is open; gives the root: the only node of its level.
    pub fn finish(mut self) -> Result<Root> {
        let mut level = 0;
        while level + 1 < self.levels.len() {
            if self.levels[level].count() > 0 {
                self.close(level)?;
            }
            level += 1;
        }
        // The topmost level has closed nothing. With one child, that child is the only node of its level.
        let (level, child) = match self.levels[level].count() {
            1 if level > 0 => (level - 1, self.closed[level - 1].expect("it is the one that was added above")),
            _ => (level, self.emit(level)?.0),
        };
        Ok(Root { id: child.id, level: level as u8, weight: child.weight })
    }
}

fn child_payload(child: &NodeChild) -> Vec<u8> {
    let mut payload = Vec::with_capacity(48);
    payload.put_id(&child.id);
    payload.put_varint(child.weight.entries);
    payload.put_varint(child.weight.files);
    payload.put_varint(child.weight.bytes);
    payload
}

fn hash_of(key: &[u8]) -> u64 {
    Id::of(key).word()
}

/// Whether a leaf ends with this key whatever follows it.
pub fn ends_leaf(key: &[u8]) -> bool {
    hash_of(key).is_multiple_of(256)
}

fn ends_node(key: &[u8], level: u32) -> bool {
    hash_of(key).rotate_right(8 + 6 * (level - 1)).is_multiple_of(64)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::super::node::Node;
    use super::*;

    type Stored = HashMap<Id, Vec<u8>>;

    fn build(map: &BTreeMap<Vec<u8>, Vec<u8>>) -> (Root, Stored) {
        let mut stored = Stored::new();
        let mut builder = TreeBuilder::new(TreeKind::State, |node: NewNode| {
            assert_eq!(Id::of(&node.bytes), node.id);
            stored.insert(node.id, node.bytes);
            Ok(())
        });
        for (key, value) in map {
            builder.push(key, value, Weight { entries: 1, files: 1, bytes: 3 }).expect("ascending keys");
        }
        let root = builder.finish().expect("a root");
        (root, stored)
    }

    fn walk(stored: &Stored, id: &Id, into: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> u8 {
        let node = Node::parse(TreeKind::State, &stored[id]).expect("own node");
        for index in 0..node.len() {
            if node.level() == 0 {
                into.insert(node.key(index).to_vec(), node.value(index).to_vec());
            } else {
                let child = node.child(index);
                assert_eq!(walk(stored, &child.id, into) + 1, node.level());
                assert_eq!(into.last_key_value().expect("not empty").0, node.key(index));
            }
        }
        node.level()
    }

    fn numbered(count: u32) -> BTreeMap<Vec<u8>, Vec<u8>> {
        (0..count).map(|n| (format!("folder/{:06}.json", n * 7).into_bytes(), vec![n as u8; 34])).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_map_comes_back(map in proptest::collection::btree_map(
            proptest::collection::vec(any::<u8>(), 1..20), proptest::collection::vec(any::<u8>(), 0..40), 0..700))
        {
            let (root, stored) = build(&map);
            let mut back = BTreeMap::new();
            prop_assert_eq!(walk(&stored, &root.id, &mut back), root.level);
            prop_assert_eq!(root.weight.entries, map.len() as u64);
            prop_assert_eq!(back, map);
        }

        #[test]
        fn what_parses_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..96), level in 0u8..2) {
            let bytes: Vec<u8> = [7, level].into_iter().chain(bytes).collect();
            if let Ok(node) = Node::parse(TreeKind::State, &bytes) {
                prop_assume!(node.level() == 0);
                let mut writer = NodeWriter::new(0);
                for index in 0..node.len() {
                    let mut payload = Vec::new();
                    payload.put_bytes(node.value(index));
                    writer.push(node.key(index), &payload);
                }
                prop_assert_eq!(writer.encode(TreeKind::State), bytes);
            }
        }
    }

    #[test]
    fn the_same_map_has_the_same_nodes_and_an_edit_few_new_ones() {
        let mut map = numbered(40_000);
        let (before, nodes_before) = build(&map);
        assert!(before.level >= 2);
        map.insert(b"folder/000001.json".to_vec(), vec![1; 34]);
        let (after, nodes_after) = build(&map);
        assert_ne!(before.id, after.id);
        let new = nodes_after.keys().filter(|id| !nodes_before.contains_key(id)).count();
        assert!(new <= usize::from(after.level) * 2 + 3, "{new} new nodes");
        map.remove(&b"folder/000001.json"[..]);
        assert_eq!(build(&map).0, before);
    }

    #[test]
    fn an_empty_map_is_one_empty_leaf() {
        let (root, stored) = build(&BTreeMap::new());
        assert_eq!((root.level, root.weight, stored.len()), (0, Weight::default(), 1));
    }

    #[test]
    fn no_node_passes_the_limit() {
        let map: BTreeMap<_, _> = (0..400u32).map(|n| (format!("{n:04}").into_bytes(), vec![0; 3000])).collect();
        let (_, stored) = build(&map);
        assert!(stored.values().all(|bytes| bytes.len() <= MAX_NODE));
        assert!(stored.len() > 15);
    }

    #[test]
    fn keys_must_ascend() {
        let mut builder = TreeBuilder::new(TreeKind::State, |_| Ok(()));
        builder.push(b"b", b"", Weight::default()).expect("first");
        assert!(builder.push(b"a", b"", Weight::default()).is_err());
        assert!(builder.push(b"b", b"", Weight::default()).is_err());
    }
}
