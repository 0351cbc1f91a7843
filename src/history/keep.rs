//! Keep rules: which versions of a dataset keep their content (docs/design.md, "Keep rules"). Pure: from the fold, and what is known beside it.
//!
//! The rules are metadata of the dataset, `keep.…`. A version that fulfils one keeps its content; where there is none, or one that isn't
//! understood, all do. Whatever the rules say, kept are the heads of branches, what a protected tag is at, what was added or led to within the
//! grace period, and, unless the rules say otherwise, what is published and what a recorded use names.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::base::time::parse_duration;
use crate::base::{DatasetName, Error, Id, Result};
use crate::format::attrs::{Attrs, Value};

use super::alive::{Grace, left};
use super::fold::{Dataset, Fold};

/// Metadata of a dataset that is a keep rule begins with this.
pub const KEEP: &str = "keep.";

const RULES: [&str; 6] = ["last", "newer", "tagged", "named", "published", "used"];
const KNOWN: &str = "there are keep.last=COUNT, keep.newer=DURATION, keep.tagged, keep.named, keep.published and keep.used (true or false)";

/// The rules of one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The head of each branch and its first parents, so many in all.
    last: u64,
    /// What came into this store within this time.
    pub newer: Option<Duration>,
    tagged: bool,
    named: bool,
    published: bool,
    /// What a recorded use names.
    pub used: bool,
}

impl Rules {
    /// The rules in a dataset's metadata; `None` where it has none.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) for a rule that isn't understood; then nothing may be let go.
    pub fn of(owner: &DatasetName, dataset: &Dataset) -> Result<Option<Rules>> {
        let of_dataset = dataset.meta.range((None, KEEP.to_owned())..);
        let rules = of_dataset.map_while(|((version, key), value)| {
            version.is_none().then(|| key.strip_prefix(KEEP)).flatten().map(|what| (what, value))
        });
        Rules::read(rules).map_err(|why| {
            Error::conflict(format!("a keep rule of {owner} isn't understood: {why}"))
                .hint(format!("`dagset meta set [STORE/]{owner} KEY=VALUE` sets it; {KNOWN}"))
        })
    }

    /// Refuses metadata of a dataset that would be a keep rule and is none, be it written otherwise.
    pub fn check(values: &Attrs) -> Result<()> {
        let mistaken = given(values).find_map(|key| Some((key, meant(key)?)));
        if let Some((key, rule)) = mistaken {
            return Err(Error::usage(format!("{key} is no keep rule: {rule} is")).hint(KNOWN));
        }
        let rules = values.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(KEEP)?, value)));
        Rules::read(rules).map(drop).map_err(|why| Error::usage(why).hint(KNOWN))
    }

    /// Refuses metadata of a version that would be a keep rule of its dataset.
    pub fn check_of_version(values: &Attrs) -> Result<()> {
        match given(values).find(|key| is_like_a_rule(key)) {
            None => Ok(()),
            Some(key) => Err(Error::usage(format!("{key} has no effect on a version: keep rules are of a dataset"))
                .hint(
                    "`dagset meta set [STORE/]DATASET KEY=VALUE` sets one; `dagset tag --protect` keeps one version",
                )),
        }
    }

    fn read<'m>(given: impl Iterator<Item = (&'m str, &'m Value)>) -> std::result::Result<Option<Rules>, String> {
        let mut rules = Rules { last: 1, newer: None, tagged: false, named: false, published: true, used: true };
        let mut keeps_some = false;
        for (what, value) in given {
            let yes = || match value {
                Value::Bool(yes) => Ok(*yes),
                _ => Err(format!("{KEEP}{what} is true or false")),
            };
            match (what, value) {
                // As if it weren't there: so what another store says can be covered.
                (_, Value::Null) => continue,
                ("last", Value::Int(count)) if *count > 0 => rules.last = count.unsigned_abs(),
                ("last", _) => return Err(format!("{KEEP}last is a count of versions, 1 or more")),
                ("newer", Value::Text(text)) => rules.newer = Some(parse_duration(text)?),
                ("newer", _) => return Err(format!("{KEEP}newer is a duration, as 90d")),
                ("tagged", _) => rules.tagged = yes()?,
                ("named", _) => rules.named = yes()?,
                ("published", _) => rules.published = yes()?,
                ("used", _) => rules.used = yes()?,
                _ => return Err(format!("{KEEP}{what} is no keep rule")),
            }
            // The other two say what stays beside what rules keep; their defaults, restated, let nothing go.
            keeps_some |= matches!(what, "last" | "newer" | "tagged" | "named") && *value != Value::Bool(false);
        }
        Ok(keeps_some.then_some(rules))
    }
}

/// The keys that aren't only covered.
fn given(values: &Attrs) -> impl Iterator<Item = &str> {
    values.0.iter().filter(|(_, value)| **value != Value::Null).map(|(key, _)| key.as_str())
}

fn is_like_a_rule(key: &str) -> bool {
    key.get(..KEEP.len()).is_some_and(|start| start.eq_ignore_ascii_case(KEEP))
}

/// The rule that is meant by a key which is nearly one.
fn meant(key: &str) -> Option<String> {
    let letters: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let what = letters.strip_prefix("keep")?;
    let rule = RULES.iter().find(|rule| **rule == what).map(|rule| format!("{KEEP}{rule}"));
    let unclear = (what.is_empty() || is_like_a_rule(key)).then(|| format!("{KEEP}last"));
    rule.or(unclear).filter(|_| !key.starts_with(KEEP))
}

/// The rules of a dataset, and since when a version is new by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    pub rules: Rules,
    /// Versions that a later record than this one added are newer than the rules ask for; `None` where they don't ask.
    pub old: Option<u64>,
}

/// The versions whose content stays. Those of a dataset that isn't in `keeping` all do; of one that several datasets have it is enough that one
/// keeps it. `used` are those that a recorded use names.
pub fn kept_contents(
    fold: &Fold,
    grace: Grace<'_>,
    keeping: &BTreeMap<DatasetName, Keeping>,
    used: &HashSet<Id>,
) -> HashSet<Id> {
    let mut kept: HashSet<Id> = grace.kept.iter().copied().collect();
    kept.extend(grace.young.iter().flat_map(|core| &core.operations).filter_map(left));
    for ((record, _), dataset) in &fold.deleted {
        // What only deleted datasets have isn't for rules of others to judge.
        let stays = |id: &&Id| *record > grace.old || fold.version(id).is_none();
        kept.extend(dataset.versions.keys().filter(stays));
    }
    for (name, dataset) in &fold.datasets {
        match keeping.get(name) {
            None => kept.extend(dataset.versions.keys()),
            Some(keeping) => keep_of(fold, dataset, keeping, grace.old, used, &mut kept),
        }
    }
    kept
}

fn keep_of(
    fold: &Fold,
    dataset: &Dataset,
    Keeping { rules, old }: &Keeping,
    grace_old: u64,
    used: &HashSet<Id>,
    kept: &mut HashSet<Id>,
) {
    for head in dataset.branches.values() {
        let parent = |id: &Id| fold.version(id).and_then(|state| state.row.parents.first().copied());
        let line = std::iter::successors(Some(*head), parent);
        kept.extend(line.take(usize::try_from(rules.last).unwrap_or(usize::MAX)));
    }
    kept.extend(dataset.tags.values().filter(|tag| rules.tagged || tag.protected).map(|tag| tag.version));
    if rules.named {
        kept.extend(dataset.names.values());
    }
    let stays = |id: &Id, record: u64, published: bool| {
        record > grace_old
            || old.is_some_and(|old| record > old)
            || rules.published && published
            || rules.used && used.contains(id)
    };
    let states = dataset.versions.iter();
    kept.extend(states.filter(|(id, state)| stays(id, state.record, state.published)).map(|(id, _)| *id));
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;
