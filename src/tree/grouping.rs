//! What stays together when a version is shared out: files of a folder, of a name's stem, of an attribute's value.

use std::fmt;

use crate::base::{Error, Id, Result};
use crate::format::attrs::Attrs;
use crate::format::manifest::Entry;

use super::manifest::Leaf;

/// A path has no more components.
const MOST_COMPONENTS: usize = 4096;
/// A name has no more bytes.
const LONGEST_PATTERN: usize = 255;

/// How entries are grouped. What belongs to no group goes by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// Equal files only.
    Content,
    /// By the folder they are in, or by so many components of that.
    Folder(Option<usize>),
    /// By a piece of the file's name.
    Name(NamePattern),
    /// By the value of an attribute.
    Attribute(String),
}

impl Grouping {
    /// Parses `content`, `folder`, `folder:N`, `name:PATTERN`, `attr:NAME`.
    pub fn parse(text: &str) -> Result<Grouping> {
        let bad = || {
            Error::usage(format!("not a key: {text:?}"))
                .hint("write folder, folder:2 (its first two components), name:{}_*.png, attr:NAME, or content")
        };
        match text.split_once(':') {
            None if text == "content" => Ok(Grouping::Content),
            None if text == "folder" => Ok(Grouping::Folder(None)),
            Some(("folder", count)) => {
                let count = count.parse().ok().filter(|count| (1..=MOST_COMPONENTS).contains(count));
                count.map(|count| Grouping::Folder(Some(count))).ok_or_else(bad)
            }
            Some(("name", pattern)) => NamePattern::parse(pattern).map(Grouping::Name).ok_or_else(bad),
            Some(("attr", name)) if !name.is_empty() => Ok(Grouping::Attribute(name.to_owned())),
            _ => Err(bad()),
        }
    }

    /// The key of the group that an entry is in, if it is in one.
    pub(super) fn key(&self, leaf: &Leaf, attributes: impl FnOnce(&Entry) -> Result<Attrs>) -> Result<Option<Id>> {
        let path = leaf.path.as_str();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok(match self {
            Grouping::Content => None,
            Grouping::Folder(None) => Some(Id::of(folder.as_bytes())),
            Grouping::Folder(Some(count)) => {
                let end = folder.match_indices('/').nth(count - 1).map_or(folder.len(), |(at, _)| at);
                Some(Id::of(&folder.as_bytes()[..end]))
            }
            Grouping::Name(pattern) => pattern.key(name.as_bytes()).map(Id::of),
            Grouping::Attribute(name) => attributes(&leaf.entry)?.0.get(name).map(|value| {
                let mut bytes = Vec::new();
                value.put(&mut bytes);
                Id::of(&bytes)
            }),
        })
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grouping::Content => f.write_str("content"),
            Grouping::Folder(None) => f.write_str("folder"),
            Grouping::Folder(Some(count)) => write!(f, "folder:{count}"),
            Grouping::Name(pattern) => write!(f, "name:{}{{}}{}", pattern.before, pattern.after),
            Grouping::Attribute(name) => write!(f, "attr:{name}"),
        }
    }
}

/// A pattern of names with one `{}`, which is the key; `*` is anything, also nothing. Where several keys are possible it is the first and
/// shortest, and never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    before: String,
    after: String,
}

impl NamePattern {
    fn parse(text: &str) -> Option<NamePattern> {
        let (before, after) = text.split_once("{}")?;
        let is_good = text.len() <= LONGEST_PATTERN && !text.contains('/') && !after.contains("{}");
        is_good.then(|| NamePattern { before: before.to_owned(), after: after.to_owned() })
    }

    fn key<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let starts = (0..name.len()).filter(|start| matches(self.before.as_bytes(), &name[..*start]));
        let ends = |start: usize| (start + 1..=name.len()).find(|end| matches(self.after.as_bytes(), &name[*end..]));
        starts.into_iter().find_map(|start| ends(start).map(|end| &name[start..end]))
    }
}

/// Whether `*`s can stand for bytes so that the pattern is the text. Only the last star is ever thought over again, so the time is bounded by
/// the product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            last = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, taken)) = last {
            last = Some((star, taken + 1));
            (p, t) = (star + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_a_piece_of_the_name() {
        let cases: [(&str, &str, Option<&str>); 10] = [
            ("{}.*", "img_1.left.png", Some("img_1")),
            ("{}_*.png", "a_b_c.png", Some("a")),
            ("*_{}.wav", "take_3_ann.wav", Some("3_ann")),
            ("*-{}-*", "x-ann-1-2", Some("ann")),
            ("scan{}.dcm", "scan0007.dcm", Some("0007")),
            ("scan{}.dcm", "scan.dcm", None),
            ("scan{}.dcm", "other7.dcm", None),
            ("{}", "anything", Some("anything")),
            ("*{}*", "é", Some("\u{e9}")),
            ("{}é*", "aéb", Some("a")),
        ];
        for (pattern, name, key) in cases {
            let found = NamePattern::parse(pattern).expect("a pattern").key(name.as_bytes()).map(<[u8]>::to_vec);
            let wanted =
                if pattern == "*{}*" { Some(name.as_bytes()[..1].to_vec()) } else { key.map(|key| key.into()) };
            assert_eq!(found, wanted, "{pattern} of {name}");
        }
    }

    #[test]
    fn keys_are_parsed_and_shown_alike() {
        for text in ["content", "folder", "folder:3", "name:{}_*.png", "attr:subject"] {
            assert_eq!(Grouping::parse(text).expect(text).to_string(), text);
        }
        for text in ["", "folders", "folder:0", "folder:x", "name:", "name:*", "name:{}{}", "name:{}/x", "attr:", "x:y"]
        {
            assert_eq!(Grouping::parse(text).expect_err(text).kind(), crate::base::Kind::Usage);
        }
        let long = format!("name:{{}}{}", "*".repeat(300));
        assert!(Grouping::parse(&long).is_err());
    }
}
