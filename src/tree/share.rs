//! Parts of a version for many readers: each entry in exactly one, and as the dataset grows it stays there.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998): an entry belongs to the part for which its key and the part's number hash highest. The
//! parts are equal in what is expected of them, so of many files they have about as many bytes each.

use std::fmt;

use crate::base::{Error, Id, Result};
use crate::format::manifest::EntryKind;

use super::manifest::Leaf;

const MOST_PARTS: u32 = 1_000_000;

/// One part of some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// From 1.
    number: u32,
    of: u32,
}

impl Share {
    /// Parses `2/8`.
    pub fn parse(text: &str) -> Result<Share> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if 1 <= number && number <= of && of <= MOST_PARTS => Ok(Share { number, of }),
            _ => Err(Error::usage(format!("not a part: {text:?}")).hint("write I/N with 1 ≤ I ≤ N, as 2/8")),
        }
    }

    /// Whether an entry belongs to this part.
    pub fn has(&self, leaf: &Leaf) -> bool {
        let key = match leaf.entry.kind {
            EntryKind::File { content, .. } => content.word(),
            _ => Id::of(leaf.path.as_str().as_bytes()).word(),
        };
        let weight = |number: u32| mixed(key ^ mixed(u64::from(number)));
        let own = weight(self.number);
        // Equal weights are as good as impossible; the lower number has them then.
        (1..=self.of)
            .all(|other| other == self.number || weight(other) < own || (weight(other) == own && other > self.number))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
fn mixed(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
