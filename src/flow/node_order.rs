//! Where the nodes of a manifest are written, among each other.
//!
//! A listing of a folder that holds large subfolders reads the leaves in which one folder ends and another begins, and the inner nodes
//! above them. In path order they would lie as far apart as the subfolders are large. So they rank behind all other leaves, and lie
//! together, right before the root.

use crate::base::Result;
use crate::format::node::{Node, TreeKind};

use super::places::NODE_RANK;

/// The rank of a leaf between folders.
const BETWEEN_RANK: u8 = NODE_RANK + 1;

/// Ranks the nodes of one manifest after another, each in the order in which they are made.
#[derive(Default)]
pub struct NodeOrder {
    /// The folder in which the leaf before ended, with the slash.
    folder: Option<Vec<u8>>,
}

impl NodeOrder {
    /// The rank of the next node among meta objects.
    pub fn rank(&mut self, bytes: &[u8]) -> Result<u8> {
        let node = Node::parse(TreeKind::Manifest, bytes)?;
        let (Some(last), 0) = (node.last_key(), node.level()) else { return Ok(BETWEEN_RANK + node.level()) };
        let (first, last) = (folder_of(node.key(0)), folder_of(last));
        let goes_on = first == last && self.folder.as_deref() == Some(first);
        self.folder = Some(last.to_vec());
        Ok(if goes_on { NODE_RANK } else { BETWEEN_RANK })
    }
}

/// Whether it is the rank of a leaf.
pub fn is_leaf(rank: u8) -> bool {
    matches!(rank, NODE_RANK | BETWEEN_RANK)
}

/// Whether it is the rank of an inner node whose children are leaves.
pub fn is_above_leaves(rank: u8) -> bool {
    rank == BETWEEN_RANK + 1
}

fn folder_of(key: &[u8]) -> &[u8] {
    let end = key.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    &key[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::node::Weight;
    use crate::format::tree::TreeBuilder;

    #[test]
    fn leaves_between_folders_rank_behind_the_others() {
        let mut order = NodeOrder::default();
        let mut ranks = Vec::new();
        let mut builder = TreeBuilder::new(TreeKind::Manifest, |node| {
            ranks.push((node.level, order.rank(&node.bytes)?));
            Ok(())
        });
        // An entry of an empty folder: as short as one can be.
        let (value, weight) = ([2], Weight { entries: 1, files: 0, bytes: 0 });
        for number in 0..20_000 {
            let key = format!("{}/{number:05}", number / 10_000);
            builder.push(key.as_bytes(), &value, weight).expect("ascending keys");
        }
        builder.finish().expect("a root");
        let leaves: Vec<u8> = ranks.iter().filter(|(level, _)| *level == 0).map(|(_, rank)| *rank).collect();
        assert!(leaves.len() > 40 && leaves.iter().all(|rank| is_leaf(*rank)));
        assert_eq!(
            leaves.iter().filter(|rank| **rank == BETWEEN_RANK).count(),
            2,
            "the first, and the one in the middle"
        );
        assert!(ranks.iter().all(|(level, rank)| *level == 0 || *rank == BETWEEN_RANK + level));
    }
}
