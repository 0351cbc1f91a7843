//! What stands directly in a folder of a manifest: level by level, reading only nodes that may hold more than one subfolder.

use std::collections::BTreeMap;

use crate::base::{RepoPath, Result};
use crate::format::manifest::Entry;

use super::manifest::{Leaf, Manifest, Opened, shape_of};
use super::stretch::Stretch;

/// Nodes that are read together, and in memory at once on each level.
const NODES_AT_ONCE: usize = 512;

/// What stands directly in a folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Child {
    Entry(Leaf),
    /// A folder that isn't empty; its path.
    Folder(RepoPath),
}

impl Child {
    /// Its path from the dataset's root.
    pub fn path(&self) -> &RepoPath {
        match self {
            Child::Entry(leaf) => &leaf.path,
            Child::Folder(path) => path,
        }
    }
}

/// A node, and the key that it lies behind.
struct Part {
    opened: Opened,
    before: Option<Vec<u8>>,
}

struct Finder<'a> {
    manifest: Manifest<'a>,
    /// Of the folder, with a slash behind it; empty for the root.
    prefix: String,
    stretch: [Stretch; 1],
    entries: Vec<Child>,
    folders: BTreeMap<String, RepoPath>,
}

/// What stands directly in `folder`, in the order of names. Where the keys around a node say that it lies in one subfolder, it isn't read.
pub(super) fn children(manifest: Manifest<'_>, folder: &str) -> Result<Vec<Child>> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let stretch = [Stretch::below(folder)];
    let mut finder = Finder { manifest, prefix, stretch, entries: Vec::new(), folders: BTreeMap::new() };
    finder.look_into(vec![Part { opened: manifest.open_root()?, before: None }])?;
    let Finder { mut entries, folders, .. } = finder;
    entries.extend(folders.into_values().map(Child::Folder));
    entries.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(entries)
}

impl Finder<'_> {
    /// Looks into nodes of one level.
    fn look_into(&mut self, parts: Vec<Part>) -> Result<()> {
        if parts.first().is_none_or(|part| part.opened.node.level() == 0) {
            return parts.iter().try_for_each(|part| self.take_leaf(&part.opened));
        }
        let stretch = self.stretch.clone();
        let mut inside: Vec<(&Part, usize)> = Vec::new();
        for part in &parts {
            for child in part.opened.wanted(0, &stretch) {
                match self.only_subfolder(part, child)? {
                    Some(name) => self.add_folder(&name)?,
                    None => inside.push((part, child)),
                }
            }
        }
        for batch in inside.chunks(NODES_AT_ONCE) {
            self.manifest.read_ahead(batch.iter().map(|(part, child)| (&part.opened, *child)));
            let open = |(part, child): &(&Part, usize)| {
                let before = part.before_child(*child).map(<[u8]>::to_vec);
                Ok(Part { opened: self.manifest.open_child(&part.opened, *child)?, before })
            };
            let below = batch.iter().map(open).collect::<Result<Vec<Part>>>()?;
            self.look_into(below)?;
        }
        Ok(())
    }

    /// The subfolder that all of a child lies in, if its first and last key show that it does.
    fn only_subfolder(&self, part: &Part, child: usize) -> Result<Option<String>> {
        let name = |key: &[u8]| {
            Some(key.strip_prefix(self.prefix.as_bytes())?.split_inclusive(|b| *b == b'/').next()?.to_vec())
        };
        let first = part.before_child(child).and_then(name);
        let last = name(part.opened.node.key(child));
        let same = first.filter(|first| first.ends_with(b"/") && Some(first) == last.as_ref());
        // A key that isn't UTF-8 is refused where it is read as a path.
        Ok(same.and_then(|name| String::from_utf8(name).ok()))
    }

    /// Adds a subfolder by its name with the slash behind it.
    fn add_folder(&mut self, name: &str) -> Result<()> {
        if !self.folders.contains_key(name) {
            let path = RepoPath::new(format!("{}{}", self.prefix, name.trim_end_matches('/')))?;
            self.folders.insert(name.to_owned(), path);
        }
        Ok(())
    }

    fn take_leaf(&mut self, leaf: &Opened) -> Result<()> {
        let node = &leaf.node;
        let mut hinted = 0;
        let mut index = 0;
        while index < node.len() {
            let has_hint = usize::from(shape_of(&Entry::decode(node.value(index))?).is_some());
            let entry = leaf.leaf(index, Some(hinted))?;
            hinted += has_hint;
            index += 1;
            if self.stretch[0].ends_by(entry.path.as_str().as_bytes()) {
                break;
            }
            let Some(rest) = entry.path.as_str().strip_prefix(&self.prefix) else { continue };
            match rest.find('/') {
                None => self.entries.push(Child::Entry(entry)),
                Some(end) => {
                    let name = rest[..=end].to_owned();
                    self.add_folder(&name)?;
                }
            }
        }
        Ok(())
    }
}

impl Part {
    /// The key that a child lies behind, as far as it is known.
    fn before_child(&self, child: usize) -> Option<&[u8]> {
        match child.checked_sub(1) {
            Some(before) => Some(self.opened.node.key(before)),
            None => self.before.as_deref(),
        }
    }
}
