//! In which order files are dealt with, and how many of them: what a user's list names first, then the rest in path order.

use std::collections::HashSet;

use crate::base::{Error, Result};
use crate::flow::runs::Placed;

/// How much of a choice is wanted, counted in files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Until {
    Files(u64),
    /// Above 0, at most 100.
    Percent(f64),
}

impl Until {
    /// Parses `30%` or `5000`.
    pub fn parse(text: &str) -> Result<Until> {
        let bad = || Error::usage(format!("not a part of the files: {text:?}")).hint("write 30% or a number of files");
        let until = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|part| 0.0 < *part && *part <= 100.0).map(Until::Percent),
            None => text.parse().ok().filter(|count| *count > 0).map(Until::Files),
        };
        until.ok_or_else(bad)
    }

    /// How many files that is of so many; a part of a file is all of it.
    pub(super) fn of(self, files: u64) -> u64 {
        match self {
            Until::Files(count) => count.min(files),
            Until::Percent(percent) => (files as f64 * percent / 100.0).ceil() as u64,
        }
    }
}

/// What comes first, and where it ends.
#[derive(Default)]
pub(super) struct Sequence {
    /// In this order.
    first: Vec<Placed>,
    paths: HashSet<String>,
    /// So many files, then no more.
    files: Option<u64>,
}

impl Sequence {
    /// These first. One that is named twice comes where it is named first.
    pub(super) fn starting_with(first: impl IntoIterator<Item = Placed>) -> Sequence {
        let mut paths = HashSet::new();
        let first = first.into_iter().filter(|placed| paths.insert(placed.target.clone())).collect();
        Sequence { first, paths, files: None }
    }

    /// Ends after so many files.
    pub(super) fn ending_after(&mut self, files: u64) {
        self.files = Some(files);
    }

    /// Whether the order is that of paths, to the end.
    pub(super) fn is_plain(&self) -> bool {
        self.first.is_empty() && self.files.is_none()
    }

    /// Entries in path order, in this order.
    pub(super) fn arrange<'s>(
        &'s self,
        entries: impl Iterator<Item = Result<Placed>> + Send + 's,
    ) -> impl Iterator<Item = Result<Placed>> + Send + 's {
        let is_new =
            |placed: &Result<Placed>| placed.as_ref().map_or(true, |placed| !self.paths.contains(&placed.target));
        let mut left = self.files;
        let goes_on = move |placed: &Result<Placed>| {
            let is_file = placed.as_ref().is_ok_and(|placed| placed.leaf.entry.is_file());
            match &mut left {
                Some(0) => false,
                Some(left) => {
                    *left -= u64::from(is_file);
                    true
                }
                None => true,
            }
        };
        self.first.iter().cloned().map(Ok).chain(entries.filter(is_new)).take_while(goes_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_files_are_parsed_and_counted() {
        for (text, of_seven) in [("30%", 3), ("0.1%", 1), ("100%", 7), ("5", 5), ("5000", 7)] {
            assert_eq!(Until::parse(text).expect(text).of(7), of_seven, "{text}");
        }
        for text in ["", "0", "0%", "101%", "-1", "x", "%", "nan%", "1.5"] {
            assert_eq!(Until::parse(text).expect_err(text).kind(), crate::base::Kind::Usage);
        }
    }
}
