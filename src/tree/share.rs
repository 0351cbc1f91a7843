//! Parts of a version for many readers: each entry in exactly one, and as the dataset grows it stays there.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998): an entry belongs to the part for which its key and the part's number hash highest.
//! The key is the content's, or that of a group of entries which are to stay together. So what part an entry is in depends on nothing but
//! its key and the number of parts: others that come or go don't move it, and of N parts that become N+1, one in N+1 keys moves, to the
//! new one.
//!
//! Every key has the same chance in every part, so each part has 1/N of the bytes but for chance: its standard deviation from that is
//! √((1/N)(1−1/N)·Σs²) where s are the bytes of the keys (of the groups, if there are some). Many files of like sizes are balanced within
//! percents; one that is larger than a part should be can't be balanced by anybody.

use std::fmt;

use crate::base::{Error, Id, Result};
use crate::format::attrs::Attrs;
use crate::format::manifest::{Entry, EntryKind};

use super::grouping::Grouping;
use super::manifest::Leaf;

const MOST_PARTS: u32 = 1_000_000;

/// One part of some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// From 1.
    number: u32,
    of: u32,
    by: Grouping,
}

impl Share {
    /// Parses `2/8`: by content.
    pub fn parse(text: &str) -> Result<Share> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if 1 <= number && number <= of && of <= MOST_PARTS => {
                Ok(Share { number, of, by: Grouping::Content })
            }
            _ => Err(Error::usage(format!("not a part: {text:?}")).hint("write I/N with 1 ≤ I ≤ N, as 2/8")),
        }
    }

    /// The same, with what stays together.
    pub fn by(self, by: Grouping) -> Share {
        Share { by, ..self }
    }

    /// Whether an entry belongs to this part. `attributes` reads those of an entry; it is called only where they matter.
    pub fn has(&self, leaf: &Leaf, attributes: impl FnOnce(&Entry) -> Result<Attrs>) -> Result<bool> {
        let key = match (self.by.key(leaf, attributes)?, &leaf.entry.kind) {
            (Some(key), _) => key.word(),
            (None, EntryKind::File { content, .. }) => content.word(),
            (None, _) => Id::of(leaf.path.as_str().as_bytes()).word(),
        };
        let weight = |number: u32| mixed(key ^ mixed(u64::from(number)));
        let own = weight(self.number);
        // Equal weights are as good as impossible; the lower number has them then.
        Ok((1..=self.of)
            .all(|other| other == self.number || weight(other) < own || (weight(other) == own && other > self.number)))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} by {}", self.number, self.of, self.by)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
fn mixed(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
#[path = "share_tests.rs"]
mod tests;
