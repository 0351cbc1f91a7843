//! A part of a version, as a merge takes it: what lies below one of its folders, and the folder below which that stands in the other.
//!
//! Folders are the beginnings of paths here: `""` for the root, else they end with a slash. A version as a whole is the part that takes
//! the root to the root.

use std::fmt;

use crate::base::{Error, RepoPath, Result};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Part {
    from: String,
    to: String,
}

impl Part {
    /// `FROM/=TO/`, or `FROM/` for the same place. An `=` cuts only behind a slash or at the very beginning, so that `date=2024/` is a folder.
    pub fn parse(text: &str) -> Result<Part> {
        let cut = if text.starts_with('=') { Some(0) } else { text.find("/=").map(|slash| slash + 1) };
        let (from, to) = cut.map_or((text, text), |cut| (&text[..cut], &text[cut + 1..]));
        if text.contains('\n') {
            return Err(Error::usage(format!("a part's folder holds no line break: {text:?}")));
        }
        let folder = |path: &str| match path.trim_end_matches('/') {
            "" if path.is_empty() => Ok(String::new()),
            path => RepoPath::new(path).map(|path| format!("{path}/")),
        };
        let part = folder(from).and_then(|from| Ok(Part { from, to: folder(to)? }));
        part.map_err(|fault| fault.hint("write a part as DATASET@REF:sub/ or DATASET@REF:sub/=as/there/"))
    }

    /// Whether it is a version as a whole.
    pub fn is_whole(&self) -> bool {
        self.from.is_empty() && self.to.is_empty()
    }

    /// The folder that it takes.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Below which that stands.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Where what stands at a path, or below a folder, came from; `None`: the part says nothing about it.
    pub fn source(&self, place: &str) -> Option<String> {
        Some(format!("{}{}", self.from, place.strip_prefix(&self.to)?))
    }

    /// This part as it is seen by who takes a part of the version that took it; `None`: nothing of it.
    pub fn through(&self, outer: &Part) -> Option<Part> {
        if let Some(below) = self.to.strip_prefix(&outer.from) {
            return Some(Part { from: self.from.clone(), to: format!("{}{below}", outer.to) });
        }
        let below = outer.from.strip_prefix(&self.to)?;
        Some(Part { from: format!("{}{below}", self.from), to: outer.to.clone() })
    }
}

/// As it is parsed.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from == self.to {
            true => f.write_str(&self.from),
            false => write!(f, "{}={}", self.from, self.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Part {
        Part::parse(text).unwrap()
    }

    #[test]
    fn parts_are_told_as_they_are_written() {
        for text in ["sub/", "sub/=as/there/", "=as/", "sub/=", "by/date=2024/", "a/date=1/=b/date=1/", ""] {
            assert_eq!(part(text).to_string(), text);
        }
        assert_eq!(part("sub"), part("sub/=sub"));
        assert!(part("").is_whole() && part("=").is_whole() && !part("=as/").is_whole());
        for bad in ["../x/", "a//b/", "/a/", "a/=/b/", "a/=../b/", "a\n/", "a/=.dagset/", "/"] {
            assert_eq!(Part::parse(bad).unwrap_err().kind(), crate::base::Kind::Usage, "{bad:?}");
        }
    }

    #[test]
    fn paths_and_folders_come_from_the_part_or_from_nowhere() {
        let moved = part("sub/=as/there/");
        assert_eq!(moved.source("as/there/x/y").as_deref(), Some("sub/x/y"));
        assert_eq!(moved.source("as/there/").as_deref(), Some("sub/"));
        assert_eq!([moved.source("as/"), moved.source("as/there"), moved.source("as/therefore")], [None, None, None]);
        assert_eq!(part("").source("x").as_deref(), Some("x"));
        assert_eq!(part("=as/").source("as/x").as_deref(), Some("x"));
    }

    #[test]
    fn parts_of_parts_are_parts() {
        let through = |inner, outer| part(inner).through(&part(outer)).map(|part| part.to_string());
        assert_eq!(through("x/=sub/y/", "sub/=as/").as_deref(), Some("x/=as/y/"));
        assert_eq!(through("x/=sub/", "sub/y/=as/").as_deref(), Some("x/y/=as/"));
        assert_eq!(through("x/=", "sub/=as/").as_deref(), Some("x/sub/=as/"));
        assert_eq!(through("x/=other/", "sub/=as/"), None);
        assert_eq!(through("x/=sub/", "").as_deref(), Some("x/=sub/"));
        assert_eq!(through("", "sub/=as/").as_deref(), Some("sub/=as/"));
    }
}
