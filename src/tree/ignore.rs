//! What a scan leaves out by rule: `.dagsetignore` files and the patterns of a command.
//!
//! Both are in gitignore's syntax. The patterns of a command are relative to the root and win; then the ignore file nearest to a path that says
//! anything about it decides, and in it the last line that does. What lies in a folder that is left out can't be taken back in: the folder is not read.

use std::sync::Arc;

use ::ignore::Match;
use ::ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::base::{Error, Kind, Result};

/// Name of an ignore file, in any folder; it is data itself.
pub const IGNORE_FILE: &str = ".dagsetignore";

/// The rules that hold in one folder. Cheap to clone; costs nothing where there are none.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    exclude: Option<Arc<Gitignore>>,
    nearest: Option<Arc<IgnoreFile>>,
}

#[derive(Debug)]
struct IgnoreFile {
    /// Length of its folder's path with the `/` behind it, 0 at the root.
    folder_bytes: usize,
    matcher: Gitignore,
    outer: Option<Arc<IgnoreFile>>,
}

impl Rules {
    /// The rules at the root: those of a command only. A pattern that can't be understood is a usage error.
    pub fn new(exclude: &[String]) -> Result<Rules> {
        if exclude.is_empty() {
            return Ok(Rules::default());
        }
        // gitignore takes `[` for itself where nothing closes it; who typed it just now meant something else.
        for pattern in exclude {
            globset::Glob::new(pattern.trim_start_matches('!'))
                .map_err(|why| Error::usage(format!("cannot understand the pattern {pattern:?}: {}", why.kind())))?;
        }
        let matcher = matcher(exclude.iter().map(String::as_str))
            .map_err(|(pattern, why)| Error::usage(format!("cannot understand the pattern {pattern:?}: {why}")))?;
        Ok(Rules { exclude: Some(Arc::new(matcher)), nearest: None })
    }

    /// The rules below `folder` (its path with a `/` behind it, or nothing for the root), in which stands an ignore file with this text.
    pub fn within(&self, folder: &str, text: &str) -> Result<Rules> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let matcher = matcher(text.lines()).map_err(|(line, why)| {
            Error::new(Kind::Failed, format!("cannot understand the line {line:?} of {folder}{IGNORE_FILE}: {why}"))
        })?;
        if matcher.is_empty() {
            return Ok(self.clone());
        }
        let file = IgnoreFile { folder_bytes: folder.len(), matcher, outer: self.nearest.clone() };
        Ok(Rules { exclude: self.exclude.clone(), nearest: Some(Arc::new(file)) })
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.exclude.is_none() && self.nearest.is_none()
    }

    /// Whether `path` is left out. The folders above it are not asked about: they weren't left out, else they wouldn't have been read.
    pub fn leave_out(&self, path: &str, is_folder: bool) -> bool {
        let says = |matcher: &Gitignore, path: &str| match matcher.matched(path, is_folder) {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        };
        let files = std::iter::successors(self.nearest.as_deref(), |file| file.outer.as_deref());
        let by_command = self.exclude.as_ref().and_then(|matcher| says(matcher, path));
        by_command
            .or_else(|| files.into_iter().find_map(|file| says(&file.matcher, &path[file.folder_bytes..])))
            .unwrap_or(false)
    }
}

fn matcher<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Gitignore, (String, ::ignore::Error)> {
    // Paths are handed in relative to the folder of the rules, so there is no root to strip.
    let mut builder = GitignoreBuilder::new(".");
    for line in lines {
        builder.add_line(None, line).map_err(|why| (line.to_owned(), why))?;
    }
    builder.build().map_err(|why| (String::new(), why))
}
