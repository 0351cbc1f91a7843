//! Names that users choose: datasets, branches, version names, tags (docs/format.md §10).

use std::fmt;

use super::{Error, Result};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $slashes:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks the alphabet and the length.
            pub fn new(text: &str) -> Result<Self> {
                match fault(text, $max, $slashes) {
                    None => Ok(Self(text.to_owned())),
                    Some(why) => Err(Error::usage(format!(concat!($what, " {:?} {}"), text, why))),
                }
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// A named line of versions in a store; `/` makes folders of names.
    DatasetName, "dataset name", 255, true
);
name_type!(
    /// A branch: moves, and may hold `/`.
    BranchName, "branch name", 255, true
);
name_type!(
    /// A version name or a tag.
    RefName, "name", 128, false
);

fn fault(text: &str, max: usize, slashes: bool) -> Option<&'static str> {
    let part_is_good = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
    };
    match text {
        "" => Some("is empty"),
        _ if text.len() > max => Some("is too long"),
        _ if slashes && !text.split('/').all(part_is_good) => {
            Some("may hold letters, digits, . _ + - and begin with a letter or digit, in parts joined by /")
        }
        _ if !slashes && !part_is_good(text) => {
            Some("may hold letters, digits, . _ + - and must begin with a letter or digit")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_holds() {
        for good in ["1.2.0", "a", "v1+build-7", "A_b"] {
            assert!(RefName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a b", "a/b", "a@b", "a:b", "é", "a\n", &"a".repeat(129)] {
            assert!(RefName::new(bad).is_err(), "{bad}");
        }
        assert!(DatasetName::new("vision/bdd100k").is_ok());
        for bad in ["a//b", "/a", "a/", "a/../b", "a/.b"] {
            assert!(DatasetName::new(bad).is_err(), "{bad}");
        }
    }
}
