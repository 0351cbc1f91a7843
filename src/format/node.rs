//! Nodes of the sorted maps that manifests and states are (docs/format.md §7).

use crate::base::{Error, Id, Result};

use super::codec::{Put, Reader, varint_len};

/// No node is longer.
pub const MAX_NODE: usize = 65_536;
/// No key is longer.
pub const MAX_KEY: usize = 4_200;
/// The keys of a node, written out in full, are no longer together.
pub const MAX_KEYS: usize = 262_144;
const MAX_LEVEL: u8 = 15;

/// Which map a node belongs to: its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeKind {
    Manifest,
    State,
}

impl TreeKind {
    fn tag(self) -> u8 {
        match self {
            TreeKind::Manifest => 1,
            TreeKind::State => 7,
        }
    }
}

/// What an inner node says of a child: its id and what lies below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeChild {
    pub id: Id,
    pub weight: Weight,
}

/// How much lies below a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    pub entries: u64,
    /// Entries that are files.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
}

impl Weight {
    /// The sum, or `None` if it exceeds 64 bits.
    pub fn plus(self, other: Weight) -> Option<Weight> {
        Some(Weight {
            entries: self.entries.checked_add(other.entries)?,
            files: self.files.checked_add(other.files)?,
            bytes: self.bytes.checked_add(other.bytes)?,
        })
    }

    fn is_possible(self) -> bool {
        self.files <= self.entries && (self.files > 0 || self.bytes == 0)
    }
}

/// A node: validated whole, after which no accessor fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    level: u8,
    /// Keys and values, back to back.
    arena: Vec<u8>,
    /// For each item: where its key ends and where its value ends in the arena.
    ends: Vec<(u32, u32)>,
    children: Vec<NodeChild>,
    /// Bytes of all keys.
    key_bytes: usize,
}

impl Node {
    /// Parses a node and checks every rule that concerns it alone.
    pub fn parse(kind: TreeKind, bytes: &[u8]) -> Result<Node> {
        let mut reader = Reader::new("a node", bytes);
        if bytes.len() > MAX_NODE {
            return Err(reader.fault("it is too long"));
        }
        if reader.u8()? != kind.tag() {
            return Err(reader.fault("it has the wrong tag"));
        }
        let level = reader.u8()?;
        if level > MAX_LEVEL {
            return Err(reader.fault("its level is too high"));
        }
        let count = reader.count(if level == 0 { 4 } else { 38 })?;
        if level > 0 && count == 0 {
            return Err(reader.fault("it has no children"));
        }
        let mut node = Node {
            level,
            arena: Vec::with_capacity(bytes.len() * 2),
            ends: Vec::with_capacity(count),
            children: Vec::with_capacity(if level == 0 { 0 } else { count }),
            key_bytes: 0,
        };
        for _ in 0..count {
            node.read_item(&mut reader)?;
        }
        reader.end()?;
        Ok(node)
    }

    fn read_item(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let previous = self.ends.len().checked_sub(1).map(|last| self.key_range(last));
        let shared = reader.varint()? as usize;
        let rest = reader.bytes(MAX_KEY)?;
        let previous_len = previous.as_ref().map_or(0, |range| range.len());
        if shared > previous_len || shared + rest.len() > MAX_KEY || shared + rest.len() == 0 {
            return Err(reader.fault("a key has an impossible length"));
        }
        if let Some(range) = previous {
            let follows = match (self.arena[range.clone()].get(shared), rest.first()) {
                (None, Some(_)) => true,
                (Some(before), Some(now)) => before < now,
                _ => false,
            };
            if !follows {
                return Err(reader.fault("keys are out of order or share more than they say"));
            }
            self.arena.extend_from_within(range.start..range.start + shared);
        }
        self.arena.extend_from_slice(rest);
        self.key_bytes += shared + rest.len();
        if self.key_bytes > MAX_KEYS {
            return Err(reader.fault("its keys are too long together"));
        }
        let key_end = self.arena.len() as u32;
        if self.level == 0 {
            self.arena.extend_from_slice(reader.bytes(MAX_NODE)?);
        } else {
            let id = reader.id()?;
            let weight = Weight { entries: reader.varint()?, files: reader.varint()?, bytes: reader.varint()? };
            if !weight.is_possible() || weight.entries == 0 {
                return Err(reader.fault("a child's counts can't be"));
            }
            self.children.push(NodeChild { id, weight });
        }
        self.ends.push((key_end, self.arena.len() as u32));
        Ok(())
    }

    fn key_range(&self, index: usize) -> std::ops::Range<usize> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].1 as usize);
        start..self.ends[index].0 as usize
    }

    /// 0 for a leaf.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True only for the root of an empty map.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The key of an item; of an inner node, the last key below the child.
    pub fn key(&self, index: usize) -> &[u8] {
        &self.arena[self.key_range(index)]
    }

    /// The value of a leaf's item; empty in an inner node.
    pub fn value(&self, index: usize) -> &[u8] {
        let (key_end, value_end) = self.ends[index];
        &self.arena[key_end as usize..value_end as usize]
    }

    /// A child of an inner node. Panics in a leaf.
    pub fn child(&self, index: usize) -> NodeChild {
        self.children[index]
    }

    /// The children of an inner node; none in a leaf.
    pub fn children(&self) -> &[NodeChild] {
        &self.children
    }

    /// The last key.
    pub fn last_key(&self) -> Option<&[u8]> {
        self.len().checked_sub(1).map(|last| self.key(last))
    }

    /// Checks what this node, an inner one, says of the child that stands at `index`.
    ///
    /// With it a walk down can't go in circles, and keys ascend over the whole map. That a child's files and bytes are what
    /// is said of a leaf isn't seen here: its entries aren't parsed.
    pub fn check_child(&self, index: usize, child: &Node) -> Result<()> {
        let own = self.child(index).weight;
        let below = child.children.iter().try_fold(Weight::default(), |sum, child| sum.plus(child.weight));
        let weighs = match child.level {
            0 => child.len() as u64 == own.entries,
            _ => below == Some(own),
        };
        let ascends = index == 0 || !child.is_empty() && self.key(index - 1) < child.key(0);
        match child.level + 1 == self.level && child.last_key() == Some(self.key(index)) && ascends && weighs {
            true => Ok(()),
            false => Err(Error::damaged("a node isn't what its parent says")),
        }
    }

    /// Checks what holds for the root of a map: an inner one has two children at least, else the one would be the root.
    pub fn check_root(&self) -> Result<()> {
        match self.level == 0 || self.len() > 1 {
            true => Ok(()),
            false => Err(Error::damaged("the root of a map has but one child")),
        }
    }

    /// The first item whose key is at least `key`; `len()` if there is none. In an inner node that is the child to descend to.
    pub fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.key(middle) < key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}

/// Writes one node, item by item.
#[derive(Debug, Clone)]
pub(super) struct NodeWriter {
    level: u8,
    items: Vec<u8>,
    count: usize,
    last_key: Vec<u8>,
    /// Bytes of all keys, written out in full.
    key_bytes: usize,
    pub weight: Weight,
}

impl NodeWriter {
    pub fn new(level: u8) -> NodeWriter {
        NodeWriter { level, items: Vec::new(), count: 0, last_key: Vec::new(), key_bytes: 0, weight: Weight::default() }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// Whether an item with this key and payload still fits.
    pub fn has_room_for(&self, key: &[u8], payload: usize) -> bool {
        let rest = key.len() - shared_prefix(&self.last_key, key);
        let item = varint_len((key.len() - rest) as u64) + varint_len(rest as u64) + rest + payload;
        2 + varint_len(self.count as u64 + 1) + self.items.len() + item <= MAX_NODE
            && self.key_bytes + key.len() <= MAX_KEYS
    }

    pub fn push(&mut self, key: &[u8], payload: &[u8]) {
        let shared = if self.count == 0 { 0 } else { shared_prefix(&self.last_key, key) };
        self.items.put_count(shared);
        self.items.put_bytes(&key[shared..]);
        self.items.put_slice(payload);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.key_bytes += key.len();
        self.count += 1;
    }

    pub fn encode(&self, kind: TreeKind) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.items.len() + 6);
        out.put_u8(kind.tag());
        out.put_u8(self.level);
        out.put_count(self.count);
        out.put_slice(&self.items);
        out
    }
}

fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
