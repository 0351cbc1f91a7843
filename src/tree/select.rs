//! Choosing paths of a version by patterns.
//!
//! A pattern without any of `* ? [ {` is a path: it selects that path and all below it. Any other is a glob over the whole path, in which `*` and `?` stay within
//! a component and `**` crosses them; it selects what it matches and all below, and the path that is spelled just like it.
//! No pattern at all selects everything, and so does `.`. A `./` before a pattern and a `/` behind it mean nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::base::{Error, Result};

use super::stretch::Stretch;

/// A choice of paths. Remembers which of its patterns ever selected anything.
#[derive(Debug)]
pub struct Selection {
    patterns: Vec<String>,
    used: Vec<AtomicBool>,
    /// Paths as they are spelled, to numbers of patterns.
    literal: HashMap<String, Vec<usize>>,
    /// For each glob two: itself, and all below it.
    globs: GlobSet,
    /// Numbers of the patterns behind the globs.
    glob_patterns: Vec<usize>,
}

impl Selection {
    /// All of the patterns together; none of them: everything. One that can't be understood is a usage error.
    pub fn new(patterns: &[String]) -> Result<Selection> {
        let mut literal: HashMap<String, Vec<usize>> = HashMap::new();
        let mut globs = GlobSetBuilder::new();
        let mut glob_patterns = Vec::new();
        for (number, pattern) in patterns.iter().enumerate() {
            let path = plain(pattern);
            if path.is_empty() {
                return Err(Error::usage(format!("the pattern {pattern:?} names no path")));
            }
            literal.entry(path.to_owned()).or_default().push(number);
            if !has_glob(path) {
                continue;
            }
            let below = format!("{path}/**");
            for glob in [path, &below] {
                let glob = GlobBuilder::new(glob)
                    .literal_separator(true)
                    .build()
                    .map_err(|why| Error::usage(format!("cannot understand the pattern {pattern:?}")).because(why))?;
                globs.add(glob);
                glob_patterns.push(number);
            }
        }
        let globs = globs.build().map_err(|why| Error::usage("the patterns are too much together").because(why))?;
        let used = patterns.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Selection { patterns: patterns.to_vec(), used, literal, globs, glob_patterns })
    }

    /// Whether everything is selected, whatever its path.
    pub fn is_everything(&self) -> bool {
        self.patterns.is_empty() || self.literal.contains_key(".")
    }

    /// Whether `path` is selected; the patterns that do it count as used.
    pub fn matches(&self, path: &str) -> bool {
        if self.patterns.is_empty() {
            return true;
        }
        let mut selected = self.use_literal(".") | self.use_literal(path);
        for (cut, _) in path.match_indices('/') {
            selected |= self.use_literal(&path[..cut]);
        }
        if !self.glob_patterns.is_empty() {
            for glob in self.globs.matches(path) {
                self.used[self.glob_patterns[glob]].store(true, Ordering::Relaxed);
                selected = true;
            }
        }
        selected
    }

    /// The patterns that selected nothing in any call of [`Selection::matches`] so far.
    pub fn unmatched(&self) -> Vec<&str> {
        let unused = self.patterns.iter().zip(&self.used).filter(|(_, used)| !used.load(Ordering::Relaxed));
        unused.map(|(pattern, _)| pattern.as_str()).collect()
    }

    /// Where in a manifest all lies whose path from `folder` on is selected; ascending.
    pub(super) fn stretches(&self, folder: &str) -> Vec<Stretch> {
        if self.is_everything() {
            return vec![Stretch::below(folder)];
        }
        let full = |path: &str| if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") };
        let of = |pattern: &String| {
            let path = plain(pattern);
            match fixed_part(path) {
                fixed if fixed.len() < path.len() => vec![Stretch::beginning_with(&full(fixed))],
                path => Stretch::at_and_below(&full(path)).to_vec(),
            }
        };
        Stretch::union(self.patterns.iter().flat_map(of))
    }

    fn use_literal(&self, path: &str) -> bool {
        let Some(numbers) = self.literal.get(path) else {
            return false;
        };
        for &number in numbers {
            self.used[number].store(true, Ordering::Relaxed);
        }
        true
    }
}

fn plain(pattern: &str) -> &str {
    let mut path = pattern;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    let path = path.trim_end_matches('/');
    if path.is_empty() && pattern.starts_with("./") { "." } else { path }
}

fn has_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// What every path begins with that a pattern matches; all of it if it is no glob.
fn fixed_part(path: &str) -> &str {
    match path.find(['*', '?', '[', '{', '\\']) {
        Some(at) if has_glob(path) => &path[..at],
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(patterns: &[&str]) -> Selection {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Selection::new(&patterns).expect("good patterns")
    }

    fn of<'a>(selection: &Selection, paths: &[&'a str]) -> Vec<&'a str> {
        paths.iter().copied().filter(|path| selection.matches(path)).collect()
    }

    #[test]
    fn no_pattern_is_everything() {
        for everything in [selection(&[]), selection(&["."]), selection(&["./"])] {
            assert!(everything.is_everything() && everything.matches("a/b"));
            assert!(everything.unmatched().is_empty());
            assert_eq!(everything.stretches("a"), [Stretch::below("a")]);
        }
    }

    #[test]
    fn a_path_selects_itself_and_all_below() {
        let paths = ["train", "train.txt", "train/a", "train/b/c", "x/train/a"];
        assert_eq!(of(&selection(&["train"]), &paths), ["train", "train/a", "train/b/c"]);
        assert_eq!(of(&selection(&["./train/"]), &paths), ["train", "train/a", "train/b/c"]);
        assert_eq!(of(&selection(&["train/b", "train.txt"]), &paths), ["train.txt", "train/b/c"]);
    }

    #[test]
    fn globs_cover_the_whole_path_and_what_lies_below() {
        let paths = ["a.jpg", "b.png", "d/a.jpg", "d/e/a.jpg", "set1/x", "set2/y/z", "set22/x"];
        assert_eq!(of(&selection(&["*.jpg"]), &paths), ["a.jpg"]);
        assert_eq!(of(&selection(&["**/*.jpg"]), &paths), ["a.jpg", "d/a.jpg", "d/e/a.jpg"]);
        assert_eq!(of(&selection(&["d/*.jpg"]), &paths), ["d/a.jpg"]);
        assert_eq!(of(&selection(&["set?"]), &paths), ["set1/x", "set2/y/z"]);
        assert_eq!(of(&selection(&["*.{jpg,png}"]), &paths), ["a.jpg", "b.png"]);
        assert_eq!(of(&selection(&["set[13]"]), &paths), ["set1/x"]);
        assert_eq!(of(&selection(&["a[1].jpg"]), &["a1.jpg", "a[1].jpg", "a.jpg"]), ["a1.jpg", "a[1].jpg"]);
    }

    #[test]
    fn patterns_without_effect_are_told() {
        let some = selection(&["train", "trian", "*.jpg", "*.jpeg"]);
        assert_eq!(of(&some, &["train/a", "b.jpg"]).len(), 2);
        assert_eq!(some.unmatched(), ["trian", "*.jpeg"]);
    }

    #[test]
    fn stretches_bound_where_to_look() {
        let union = |all: &[Stretch]| Stretch::union(all.iter().cloned());
        let (train, val) = (Stretch::at_and_below("train"), Stretch::beginning_with("val/"));
        let both = [&train[..], &[val]].concat();
        assert_eq!(selection(&["train", "train/a", "val/*.jpg", "val/x"]).stretches(""), union(&both));
        assert_eq!(selection(&["train", "**/x"]).stretches(""), [Stretch::below("")]);
        assert_eq!(selection(&["img_0?.{jpg,png}"]).stretches("a/b"), [Stretch::beginning_with("a/b/img_0")]);
        assert_eq!(selection(&["*"]).stretches("a"), [Stretch::below("a")]);
    }

    #[test]
    fn bad_patterns_are_usage_errors() {
        for bad in ["", "/", "a[", "{a"] {
            let fault = Selection::new(&[bad.to_owned()]).expect_err(bad);
            assert_eq!(fault.kind(), crate::base::Kind::Usage);
        }
    }
}
