//! What an address, patterns and a share of a version mean together: which of its entries, and where each goes. Purged files aren't among them.

use std::collections::HashMap;

use crate::base::{Error, Id, Result};
use crate::flow::runs::Placed;
use crate::format::manifest::EntryKind;
use crate::tree::Selection;
use crate::tree::manifest::{Leaf, Manifest};
use crate::tree::share::Share;

use super::open::Target;
use super::purged::{PurgedPath, purged_among};
use super::read::no_such_path;
use super::sequence::{Sequence, Until};

/// A choice of a version's entries.
pub(super) struct Scope {
    /// The folder with a slash behind it, or empty.
    prefix: String,
    file: Option<Leaf>,
    patterns: Vec<String>,
    selection: Selection,
    share: Option<Share>,
    sequence: Sequence,
    /// Tells what was purged of the store by now.
    purged: String,
}

impl Scope {
    /// What the target's path means in its version: all below a folder, or one file; of that, what patterns and a share choose.
    pub(super) fn of(
        target: &Target,
        manifest: &Manifest<'_>,
        patterns: &[String],
        share: Option<&Share>,
    ) -> Result<Scope> {
        let path = target.folder();
        let selection = Selection::new(patterns)?;
        let below = |prefix: String, file: Option<Leaf>| Scope {
            prefix,
            file,
            patterns: patterns.to_vec(),
            selection,
            share: share.cloned(),
            sequence: Sequence::default(),
            purged: target.store.content.purged().keys().map(Id::to_string).collect(),
        };
        if path.is_empty() {
            return Ok(below(String::new(), None));
        }
        match manifest.find(path)? {
            Some(leaf) if leaf.entry.kind == EntryKind::EmptyFolder => Ok(below(format!("{path}/"), None)),
            Some(leaf) => {
                let folder = leaf.path.parent().map(|parent| format!("{parent}/")).unwrap_or_default();
                Ok(below(folder, Some(leaf)))
            }
            None if manifest.has_folder(path)? => Ok(below(format!("{path}/"), None)),
            None => Err(no_such_path(target, path)),
        }
    }

    /// Has what stands at these paths come first, each counted from where the patterns are. Gives the paths at which nothing stands.
    pub(super) fn start_with(&mut self, manifest: &Manifest<'_>, paths: &[String]) -> Result<Vec<String>> {
        let full = |path: &String| format!("{}{}", self.prefix, path.strip_prefix("./").unwrap_or(path));
        let mut sorted: Vec<String> = paths.iter().map(full).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let found = manifest.find_each(sorted.iter().map(String::as_str))?;
        let is_meant = |leaf: &Leaf| self.file.as_ref().is_none_or(|file| file.path == leaf.path);
        let there: HashMap<&str, Leaf> = sorted
            .iter()
            .zip(found)
            .filter_map(|(path, leaf)| Some((path.as_str(), leaf.filter(|leaf| is_meant(leaf))?)))
            .collect();
        let (mut first, mut unknown) = (Vec::new(), Vec::new());
        for path in paths {
            match there.get(full(path).as_str()) {
                Some(leaf) => first.extend(self.wanted(manifest, leaf.clone())?),
                None => unknown.push(path.clone()),
            }
        }
        self.sequence = Sequence::starting_with(first);
        Ok(unknown)
    }

    /// Ends after so many files of those that are chosen.
    pub(super) fn end_after(&mut self, manifest: &Manifest<'_>, until: Until) -> Result<()> {
        let mut files = 0;
        for placed in self.entries(manifest) {
            files += u64::from(placed?.leaf.entry.is_file());
        }
        self.sequence.ending_after(until.of(files));
        Ok(())
    }

    /// Whether it is all of the version.
    pub(super) fn is_whole(&self) -> bool {
        self.prefix.is_empty() && self.is_whole_folder()
    }

    /// Whether it is all of a folder.
    pub(super) fn is_whole_folder(&self) -> bool {
        self.file.is_none() && self.patterns.is_empty() && self.share.is_none() && self.sequence.is_plain()
    }

    /// The chosen entries, in path order where no other was asked for.
    pub(super) fn entries<'m>(
        &'m self,
        manifest: &Manifest<'m>,
    ) -> Box<dyn Iterator<Item = Result<Placed>> + Send + 'm> {
        let manifest = *manifest;
        let place = move |leaf: Leaf| self.wanted(&manifest, leaf).transpose();
        match &self.file {
            Some(leaf) => Box::new(place(leaf.clone()).into_iter()),
            None => {
                let entries = manifest.candidates(self.prefix.trim_end_matches('/'), &self.selection);
                let chosen = entries.filter_map(move |leaf| leaf.map_or_else(|fault| Some(Err(fault)), place));
                if self.sequence.is_plain() { Box::new(chosen) } else { Box::new(self.sequence.arrange(chosen)) }
            }
        }
    }

    /// The chosen files that were purged, in path order.
    pub(super) fn purged(&self, manifest: &Manifest<'_>) -> Result<Vec<PurgedPath>> {
        purged_among(manifest, self.leaves(manifest))
    }

    /// The chosen entries, purged ones too, in path order.
    pub(super) fn leaves<'m>(&'m self, manifest: &Manifest<'m>) -> Box<dyn Iterator<Item = Result<Leaf>> + 'm> {
        let manifest = *manifest;
        let place = move |leaf: Result<Leaf>| {
            let placed = leaf.and_then(|leaf| self.placed(&manifest, leaf));
            placed.map(|placed| placed.map(|placed| placed.leaf)).transpose()
        };
        match &self.file {
            Some(leaf) => Box::new(place(Ok(leaf.clone())).into_iter()),
            None => {
                let all = manifest.candidates(self.prefix.trim_end_matches('/'), &self.selection);
                Box::new(all.filter_map(place))
            }
        }
    }

    /// Where an entry goes; `None` if it isn't chosen, or can't be had any more.
    fn wanted(&self, manifest: &Manifest<'_>, leaf: Leaf) -> Result<Option<Placed>> {
        let placed = self.placed(manifest, leaf)?;
        Ok(placed.filter(|placed| manifest.content().tombstone_of(&placed.leaf.entry).is_none()))
    }

    /// Where an entry goes; `None` if it isn't chosen.
    fn placed(&self, manifest: &Manifest<'_>, leaf: Leaf) -> Result<Option<Placed>> {
        let Some(target) = leaf.path.as_str().strip_prefix(&*self.prefix) else { return Ok(None) };
        if !self.selection.matches(target) {
            return Ok(None);
        }
        if let Some(share) = &self.share
            && !share.has(&leaf, |entry| manifest.attributes(entry))?
        {
            return Ok(None);
        }
        Ok(Some(Placed { target: target.to_owned(), leaf }))
    }

    /// An error for a pattern that chose nothing, once all entries were gone through.
    pub(super) fn check_patterns(&self, target: &Target) -> Result<()> {
        match self.selection.unmatched().first() {
            None => Ok(()),
            Some(nothing) => Err(Error::not_found(format!("nothing in this version matches {nothing:?}"))
                .hint(format!("{} shows all paths", target.command("ls -R")))),
        }
    }

    /// The same for the same choice of the same content, whatever the version is called. Another one once something was purged: what was made
    /// before shows it.
    pub(super) fn id(&self, manifest: &Id) -> Id {
        let file = self.file.as_ref().map(|leaf| leaf.path.as_str()).unwrap_or_default();
        let share = self.share.as_ref().map(Share::to_string).unwrap_or_default();
        let what = [&manifest.to_string(), &self.prefix, file, &self.patterns.join("\n"), &share];
        let what = what.map(|part| format!("{} {part}\n", part.len())).concat();
        Id::of((what + &self.purged).as_bytes())
    }
}
