//! Version names that are numbers: which is the highest, and which comes next.
//!
//! A number is `MAJOR.MINOR` or `MAJOR.MINOR.PATCH`, perhaps behind a `v`. What else names are is passed over.

use std::fmt;

use crate::base::{DatasetName, Error, RefName, Result};
use crate::format::attrs::{Attrs, Value};

use super::fold::Dataset;

/// Digits of a part: what has more is a date or a build, and no number to follow.
const MOST_DIGITS: usize = 9;
/// The number of the first version.
const FIRST: &str = "1.0.0";
/// Names that an error shows.
const SHOWN_NAMES: usize = 3;

/// Which part of a number grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Patch,
    Minor,
    Major,
}

impl Step {
    fn parse(text: &str) -> Option<Step> {
        match text {
            "patch" => Some(Step::Patch),
            "minor" => Some(Step::Minor),
            "major" => Some(Step::Major),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Patch => "patch",
            Step::Minor => "minor",
            Step::Major => "major",
        })
    }
}

/// A version name that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    has_v: bool,
    major: u64,
    minor: u64,
    patch: Option<u64>,
}

impl Number {
    /// The number that a name is, if it is one.
    pub fn parse(name: &str) -> Option<Number> {
        let digits = name.strip_prefix('v').unwrap_or(name);
        let mut parts = digits.split('.').map(part);
        let (major, minor) = (parts.next()??, parts.next()??);
        let patch = match parts.next() {
            None => None,
            Some(patch) => Some(patch?),
        };
        let number = Number { has_v: digits.len() < name.len(), major, minor, patch };
        parts.next().is_none().then_some(number)
    }

    /// The next one, in the same style; a patch needs its part.
    pub fn next(self, step: Step) -> Number {
        let patch = self.patch.map(|_| 0);
        match step {
            Step::Major => Number { major: self.major + 1, minor: 0, patch, ..self },
            Step::Minor => Number { minor: self.minor + 1, patch, ..self },
            Step::Patch => Number { patch: Some(self.patch.unwrap_or(0) + 1), ..self },
        }
    }

    /// What numbers are ordered by; of `1.2`, `1.2.0` and `v1.2.0`, which are as high, the last.
    fn rank(&self) -> (u64, u64, u64, bool, bool) {
        (self.major, self.minor, self.patch.unwrap_or(0), self.patch.is_some(), self.has_v)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Number { has_v, major, minor, patch } = self;
        write!(f, "{}{major}.{minor}", if *has_v { "v" } else { "" })?;
        patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

fn part(text: &str) -> Option<u64> {
    let is_number = (1..=MOST_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let has_leading_zero = text.len() > 1 && text.starts_with('0');
    if is_number && !has_leading_zero { text.parse().ok() } else { None }
}

/// The highest number among names, and whose it is.
pub fn highest<'a, T>(names: impl Iterator<Item = (&'a RefName, T)>) -> Option<(Number, T)> {
    let numbered = names.filter_map(|(name, of)| Some((Number::parse(name.as_str())?, of)));
    numbered.max_by_key(|(number, _)| number.rank())
}

/// The name that follows the highest number of the dataset, past what tags and branches have; 1.0.0 where no version has a name.
///
/// Errors: a conflict where versions have names and none is a number.
pub fn next_name(owner: &DatasetName, dataset: &Dataset, step: Step) -> Result<RefName> {
    let Some((highest, _)) = highest(dataset.names.iter()) else {
        return match dataset.names.is_empty() {
            true => RefName::new(FIRST),
            false => Err(nothing_to_follow(owner, dataset)),
        };
    };
    let mut next = highest.next(step);
    while dataset.has_ref(&next.to_string()) {
        next = next.next(step);
    }
    RefName::new(&next.to_string())
}

fn nothing_to_follow(owner: &DatasetName, dataset: &Dataset) -> Error {
    let shown: Vec<_> = dataset.names.keys().take(SHOWN_NAMES).map(RefName::as_str).collect();
    let more = if dataset.names.len() > SHOWN_NAMES { ", …" } else { "" };
    let names = shown.join(", ");
    Error::conflict(format!("no version name of {owner} is a number as 1.2 or v1.2.3 ({names}{more}), so none is next"))
        .hint("name this version with --as 1.0.0; later ones follow it")
}

/// What differs from one version to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Differences {
    pub added: bool,
    pub removed: bool,
    pub changed: bool,
}

/// How far a number moves by itself: for each kind of difference a step, the largest of which counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    added: Step,
    removed: Step,
    changed: Step,
    /// Where no path differs.
    metadata: Step,
}

/// Metadata of a dataset that is its policy.
const POLICY: &str = "bump.";

impl Policy {
    /// The policy in a dataset's metadata; what isn't set there is as usual: added minor, removed and changed major, metadata patch.
    pub fn of(owner: &DatasetName, dataset: &Dataset) -> Result<Policy> {
        let step = |what: &str, usual: Step| match dataset.meta.get(&(None, format!("{POLICY}{what}"))) {
            None => Ok(usual),
            Some(value) => step_of(value).ok_or_else(|| {
                Error::conflict(format!("the setting {POLICY}{what} of {owner} is none of major, minor, patch"))
                    .hint(format!("`dagset meta set [STORE/]{owner} {POLICY}{what}={usual}` sets it"))
            }),
        };
        Ok(Policy {
            added: step("added", Step::Minor)?,
            removed: step("removed", Step::Major)?,
            changed: step("changed", Step::Major)?,
            metadata: step("metadata", Step::Patch)?,
        })
    }

    /// Refuses metadata of a dataset that would be a policy and is none.
    pub fn check(values: &Attrs) -> Result<()> {
        let settings = values.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(POLICY)?, value)));
        for (what, value) in settings {
            if !["added", "removed", "changed", "metadata"].contains(&what) {
                return Err(Error::usage(format!("{POLICY}{what} is no setting of a dataset"))
                    .hint("there are bump.added, bump.removed, bump.changed, bump.metadata"));
            }
            if step_of(value).is_none() {
                return Err(Error::usage(format!("{POLICY}{what} is major, minor or patch")));
            }
        }
        Ok(())
    }

    /// How far a number moves by these differences.
    pub fn step(&self, differences: Differences) -> Step {
        let Differences { added, removed, changed } = differences;
        let steps = [(added, self.added), (removed, self.removed), (changed, self.changed)];
        steps.into_iter().filter_map(|(is_there, step)| is_there.then_some(step)).max().unwrap_or(self.metadata)
    }
}

fn step_of(value: &Value) -> Option<Step> {
    match value {
        Value::Text(text) => Step::parse(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Id;

    fn named(names: &[&str]) -> Dataset {
        let names = names.iter().map(|name| (RefName::new(name).expect("a good name"), Id::ZERO));
        Dataset { names: names.collect(), ..Dataset::default() }
    }

    fn next(names: &[&str], step: Step) -> String {
        let owner = DatasetName::new("set").expect("a good name");
        next_name(&owner, &named(names), step).map_or_else(|fault| fault.to_string(), |name| name.to_string())
    }

    #[test]
    fn the_next_follows_the_highest_in_its_style() {
        assert_eq!(next(&[], Step::Patch), "1.0.0");
        assert_eq!(next(&["1.9.0", "1.10.0", "beta", "1.2.0-rc1"], Step::Minor), "1.11.0");
        assert_eq!(next(&["v1.2.3", "v0.9.9"], Step::Patch), "v1.2.4");
        assert_eq!(next(&["1.2"], Step::Minor), "1.3");
        assert_eq!(next(&["1.2"], Step::Major), "2.0");
        assert_eq!(next(&["1.2"], Step::Patch), "1.2.1");
        assert_eq!(next(&["1.2", "1.2.0"], Step::Major), "2.0.0");
        assert_eq!(next(&["2026.11.21", "1.0"], Step::Patch), "2026.11.22");
    }

    #[test]
    fn what_is_no_number_is_passed_over_and_alone_refused() {
        for text in ["1", "1.", ".1", "1.2.3.4", "01.2", "1.2.x", "1.-2", "vv1.2", "V1.2", "1.2.0-rc1", "1.1234567890"]
        {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        assert!(next(&["alpha", "beta"], Step::Minor).contains("(alpha, beta), so none is next"));
    }

    #[test]
    fn a_number_that_a_tag_or_branch_has_is_passed_over() {
        let mut dataset = named(&["1.0"]);
        let owner = DatasetName::new("set").expect("a good name");
        dataset.branches.insert(crate::base::BranchName::new("1.1").expect("a good name"), Id::ZERO);
        assert_eq!(next_name(&owner, &dataset, Step::Minor).expect("a number").as_str(), "1.2");
    }

    #[test]
    fn the_largest_step_of_the_policy_counts() {
        let owner = DatasetName::new("set").expect("a good name");
        let mut dataset = Dataset::default();
        let step = |dataset: &Dataset, [added, removed, changed]: [bool; 3]| {
            Policy::of(&owner, dataset).map(|policy| policy.step(Differences { added, removed, changed }))
        };
        assert_eq!(step(&dataset, [true, false, false]).expect("usual"), Step::Minor);
        assert_eq!(step(&dataset, [true, true, false]).expect("usual"), Step::Major);
        assert_eq!(step(&dataset, [false, false, true]).expect("usual"), Step::Major);
        assert_eq!(step(&dataset, [false, false, false]).expect("usual"), Step::Patch);
        dataset.meta.insert((None, "bump.changed".to_owned()), Value::Text("patch".to_owned()));
        assert_eq!(step(&dataset, [true, false, true]).expect("set"), Step::Minor);
        dataset.meta.insert((None, "bump.changed".to_owned()), Value::Text("big".to_owned()));
        assert!(step(&dataset, [true, false, false]).is_err());
    }
}
