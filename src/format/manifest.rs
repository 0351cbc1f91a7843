//! Entries of a manifest (docs/format.md §7.1).

use crate::base::{Error, Id, RepoPath, Result};

use super::attrs::Attrs;
use super::codec::{Put, Reader};

/// Attributes that encode to more stand out of line.
pub const MAX_INLINE_ATTRS: usize = 128;
/// No symlink's target is longer.
pub const MAX_TARGET: usize = 4_095;

/// What a path of a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: EntryKind,
    pub attrs: EntryAttrs,
}

/// The kinds of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    File { size: u64, content: Id, executable: bool },
    Symlink { target: Box<str> },
    EmptyFolder,
}

/// Where an entry's attributes stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EntryAttrs {
    #[default]
    None,
    Inline(Attrs),
    OutOfLine(Id),
}

impl Entry {
    /// An entry without attributes.
    pub fn plain(kind: EntryKind) -> Entry {
        Entry { kind, attrs: EntryAttrs::None }
    }

    /// Whether `target` can be a symlink's.
    pub fn target_is_possible(target: &str) -> bool {
        (1..=MAX_TARGET).contains(&target.len()) && !target.contains('\0')
    }

    /// The size of a file, 0 of anything else.
    pub fn bytes(&self) -> u64 {
        match self.kind {
            EntryKind::File { size, .. } => size,
            _ => 0,
        }
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, EntryKind::File { .. })
    }

    /// The value in the manifest's leaf.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        let kind = match &self.kind {
            EntryKind::File { executable, .. } => u8::from(*executable) << 2,
            EntryKind::Symlink { .. } => 1,
            EntryKind::EmptyFolder => 2,
        };
        let attrs = match &self.attrs {
            EntryAttrs::None => 0,
            EntryAttrs::Inline(_) => 1 << 3,
            EntryAttrs::OutOfLine(_) => 1 << 4,
        };
        out.put_u8(kind | attrs);
        match &self.kind {
            EntryKind::File { size, content, .. } => {
                out.put_varint(*size);
                out.put_id(content);
            }
            EntryKind::Symlink { target } => out.put_string(target),
            EntryKind::EmptyFolder => {}
        }
        match &self.attrs {
            EntryAttrs::None => {}
            EntryAttrs::Inline(attrs) => attrs.put(&mut out),
            EntryAttrs::OutOfLine(id) => out.put_id(id),
        }
        out
    }

    /// Parses a value of a manifest's leaf.
    pub fn decode(bytes: &[u8]) -> Result<Entry> {
        let mut reader = Reader::new("a manifest entry", bytes);
        let bits = reader.u8()?;
        let kind = match bits & 0b1110_0111 {
            0 | 0b100 => {
                EntryKind::File { size: reader.varint()?, content: reader.id()?, executable: bits & 0b100 != 0 }
            }
            1 => {
                let target = reader.string(MAX_TARGET)?;
                if !Entry::target_is_possible(target) {
                    return Err(reader.fault("a symlink's target is empty or holds a NUL"));
                }
                EntryKind::Symlink { target: target.into() }
            }
            2 => EntryKind::EmptyFolder,
            _ => return Err(reader.fault("an entry's kind is unknown")),
        };
        let attrs = match bits >> 3 & 3 {
            0 => EntryAttrs::None,
            1 => {
                let start = reader.position();
                let attrs = Attrs::read(&mut reader)?;
                if attrs.is_empty() || reader.position() - start > MAX_INLINE_ATTRS {
                    return Err(reader.fault("inline attributes are empty or too long"));
                }
                EntryAttrs::Inline(attrs)
            }
            2 => EntryAttrs::OutOfLine(reader.id()?),
            _ => return Err(reader.fault("attributes stand in two places")),
        };
        reader.end()?;
        Ok(Entry { kind, attrs })
    }
}

/// Checks, over ascending paths, that none is a folder of another.
///
/// Between `a` and `a/b` may stand `a.txt`, so that all paths which are a prefix of the present one are kept.
#[derive(Debug, Default)]
pub struct FolderGuard {
    prefixes: Vec<RepoPath>,
}

impl FolderGuard {
    /// Takes the next path; refuses it if a path before it is one of its folders.
    pub fn next(&mut self, path: &RepoPath) -> Result<()> {
        let text = path.as_str();
        while self.prefixes.last().is_some_and(|prefix| !text.starts_with(prefix.as_str())) {
            self.prefixes.pop();
        }
        if let Some(folder) = self.prefixes.iter().map(RepoPath::as_str).find(|prefix| path.is_below(prefix)) {
            return Err(Error::damaged(format!("{folder:?} is both a file and the folder of {text:?}")));
        }
        self.prefixes.push(path.clone());
        Ok(())
    }

    /// The paths that the last one begins with, itself among them: those that can be folders of what comes next.
    pub fn open(self) -> Vec<RepoPath> {
        self.prefixes
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::format::attrs::tests::any_attrs;
    use proptest::prelude::*;

    pub fn any_entry() -> impl Strategy<Value = Entry> {
        let kind =
            prop_oneof![
                (any::<u64>(), any::<[u8; 32]>(), any::<bool>())
                    .prop_map(|(size, content, executable)| EntryKind::File { size, content: Id(content), executable }),
                "[a-z./]{1,20}".prop_map(|target| EntryKind::Symlink { target: target.into() }),
                Just(EntryKind::EmptyFolder),
            ];
        let attrs = prop_oneof![
            Just(EntryAttrs::None),
            any_attrs()
                .prop_filter("inline", |attrs| !attrs.is_empty() && attrs.encode().len() <= MAX_INLINE_ATTRS)
                .prop_map(EntryAttrs::Inline),
            any::<[u8; 32]>().prop_map(|id| EntryAttrs::OutOfLine(Id(id))),
        ];
        (kind, attrs).prop_map(|(kind, attrs)| Entry { kind, attrs })
    }

    proptest! {
        #[test]
        fn entries_round_trip(entry in any_entry()) {
            prop_assert_eq!(Entry::decode(&entry.encode()).expect("own bytes"), entry);
        }

        #[test]
        fn what_parses_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(entry) = Entry::decode(&bytes) {
                prop_assert_eq!(entry.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_file_is_no_folder() {
        let check = |paths: &[&str]| {
            let mut guard = FolderGuard::default();
            paths.iter().try_for_each(|path| guard.next(&RepoPath::new(*path).expect("good path")))
        };
        assert!(check(&["a", "a.txt", "a0", "b/c", "b/d"]).is_ok());
        assert!(check(&["a", "a/b"]).is_err());
        assert!(check(&["a", "a-", "a.txt", "a/b"]).is_err());
        assert!(check(&["x/a", "x/a.d/e", "x/a/b"]).is_err());
    }
}
