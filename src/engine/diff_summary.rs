//! Differences in numbers: in all, by folder, by type.

use std::collections::BTreeMap;

use super::diff::{DiffEntry, DiffReport};
use super::read::ListedKind;

/// Changes that are told as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffCounts {
    pub added: u64,
    pub removed: u64,
    pub modified: u64,
    /// Renames count where the file is now.
    pub renamed: u64,
    /// Bytes of the files that were here before and have changed or gone.
    pub bytes_before: u64,
    /// Bytes of the files that have changed or come.
    pub bytes_after: u64,
}

/// A report in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffSummary {
    pub all: DiffCounts,
    /// By the first folder below the one that was compared, as `train/`; `.` for what lies beside these.
    pub folders: BTreeMap<String, DiffCounts>,
    /// By the ending of the name in lower case, as `.jpg`; `symlink`, `folder`, or `no ending`.
    pub types: BTreeMap<String, DiffCounts>,
}

impl DiffReport {
    /// Counts of changes and bytes. A rename takes its bytes from the folder where the file was to the one where it is.
    pub fn summary(&self) -> DiffSummary {
        let mut summary = DiffSummary::default();
        for (entries, count) in [
            (&self.added, (|it| &mut it.added) as fn(&mut DiffCounts) -> &mut u64),
            (&self.removed, |it| &mut it.removed),
            (&self.modified, |it| &mut it.modified),
        ] {
            for entry in entries {
                let DiffEntry { path, kind, bytes_before, bytes_after } = entry;
                for counts in [
                    &mut summary.all,
                    summary.folders.entry(self.folder_of(path)).or_default(),
                    summary.types.entry(type_of(path, *kind)).or_default(),
                ] {
                    *count(counts) += 1;
                    counts.bytes_before += bytes_before.unwrap_or(0);
                    counts.bytes_after += bytes_after.unwrap_or(0);
                }
            }
        }
        for rename in &self.renamed {
            let types = [(type_of(&rename.from, ListedKind::File), type_of(&rename.to, ListedKind::File))];
            let folders = [(self.folder_of(&rename.from), self.folder_of(&rename.to))];
            summary.all.renamed += 1;
            for (groups, pairs) in [(&mut summary.folders, folders), (&mut summary.types, types)] {
                for (from, to) in pairs {
                    groups.entry(to.clone()).or_default().renamed += 1;
                    if from != to {
                        groups.entry(from).or_default().bytes_before += rename.bytes;
                        groups.entry(to).or_default().bytes_after += rename.bytes;
                    }
                }
            }
        }
        summary
    }

    fn folder_of(&self, path: &str) -> String {
        let below = path.strip_prefix(&self.folder).unwrap_or(path).trim_start_matches('/');
        below.split_once('/').map_or_else(|| ".".to_owned(), |(top, _)| format!("{top}/"))
    }
}

fn type_of(path: &str, kind: ListedKind) -> String {
    match kind {
        ListedKind::Symlink => return "symlink".to_owned(),
        ListedKind::Folder => return "folder".to_owned(),
        ListedKind::File => {}
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        // A hidden file's first dot begins no ending; longer ones are parts of names with dots.
        Some((stem, ending)) if !stem.is_empty() && (1..=12).contains(&ending.chars().count()) => {
            format!(".{}", ending.to_lowercase())
        }
        _ => "no ending".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_the_ending_of_a_name() {
        for (path, kind) in [
            ("a.d/x.JPG", ".jpg"),
            ("x.tar.gz", ".gz"),
            ("a.d/x", "no ending"),
            (".hidden", "no ending"),
            ("x.", "no ending"),
            ("frame.0000000000001", "no ending"),
        ] {
            assert_eq!(type_of(path, ListedKind::File), kind, "{path}");
        }
        assert_eq!(type_of("x.jpg", ListedKind::Symlink), "symlink");
    }
}
