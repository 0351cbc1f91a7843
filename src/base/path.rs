//! Paths inside a version (docs/format.md §7.1). An invalid one can't be built.

use std::borrow::Borrow;
use std::fmt;

use super::{Error, Result};

/// The folder of a workspace's own files; never part of a version.
pub const CONTROL_FOLDER: &str = ".dagset";
/// So many characters of a bad path stand in its error.
const MOST_SHOWN: usize = 300;

/// A path from a dataset's root: `/` between components, ordered by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(Box<str>);

impl RepoPath {
    /// Checks every rule of the format; the error says which one is broken.
    pub fn new(text: impl Into<Box<str>>) -> Result<RepoPath> {
        let text = text.into();
        match RepoPath::fault(&text) {
            None => Ok(RepoPath(text)),
            Some(why) => {
                let shown: String = text.chars().take(MOST_SHOWN).collect();
                let rest = if shown.len() < text.len() { "…" } else { "" };
                Err(Error::usage(format!("path {shown:?}{rest} {why}")))
            }
        }
    }

    /// What is wrong with `text` as a path of a version, if anything is.
    pub fn fault(text: &str) -> Option<&'static str> {
        if text.is_empty() {
            return Some("is empty");
        }
        if text.len() > 4096 {
            return Some("is longer than 4096 bytes");
        }
        if text.split('/').next() == Some(CONTROL_FOLDER) {
            return Some("is dagset's own");
        }
        text.split('/').find_map(|part| match part {
            "" => Some("has an empty component"),
            "." | ".." => Some("has a component . or .."),
            _ if part.len() > 255 => Some("has a component longer than 255 bytes"),
            _ if part.contains('\0') => Some("holds a NUL"),
            _ => None,
        })
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder that holds it, `None` at the root.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(folder, _)| folder)
    }

    /// Whether it lies below `folder` (not `folder` itself).
    pub fn is_below(&self, folder: &str) -> bool {
        folder.is_empty() || self.0.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl Borrow<str> for RepoPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RepoPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_stay_inside_are_built() {
        for good in ["a", "a/b", "a b\n", "ä/…", ".git/config", "a/.dagset", "..."] {
            assert!(RepoPath::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", ".", "a/../b", "..", "a\0b", ".dagset", ".dagset/x"] {
            assert!(RepoPath::new(bad).is_err(), "{bad}");
        }
        assert!(RepoPath::new("x".repeat(256)).is_err());
        assert!(RepoPath::new("x/".repeat(2048) + "x").is_err());
    }

    #[test]
    fn below_means_a_whole_component() {
        let path = RepoPath::new("train/a.jpg").expect("good path");
        assert!(path.is_below("train") && path.is_below(""));
        assert!(!path.is_below("tra") && !path.is_below("train/a.jpg"));
    }
}
