//! `log ADDRESS:PATH`: the versions in which one path changed, back through renames and merges.

use std::collections::{BTreeSet, HashMap};

use crate::base::{Id, Result};
use crate::format::manifest::Entry;
use crate::history::dag::ancestry_in;
use crate::history::fold::VersionState;
use crate::tree::diff::{Change, diff, take_renames};

use super::diff::has;
use super::open::Target;
use super::read::no_such_path;
use super::refs::{VersionCard, card};
use super::{Address, Engine, LogOptions};

/// What a version did with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathChange {
    Added,
    Removed,
    Modified,
    /// The same content stood there in the parent.
    Renamed {
        from: String,
    },
    /// It differs from what every parent had.
    Merged,
}

/// A version in which the path changed.
#[derive(Debug, Clone)]
pub struct PathStep {
    pub card: VersionCard,
    /// What the path was called there.
    pub path: String,
    pub change: PathChange,
    /// Bytes of the file, or of the changed files of a folder, before and after; `None` where there was none.
    pub bytes_before: Option<u64>,
    pub bytes_after: Option<u64>,
}

/// As [`PathStep`], before the version's record was read.
struct Step {
    change: PathChange,
    bytes_before: Option<u64>,
    bytes_after: Option<u64>,
}

/// A parent, and what the path is called there.
type Onward = (Id, String);

impl Engine {
    /// The versions that changed what stands at the address's path, newest first, from the address's version on. Of a merge, only a
    /// parent that has the same is followed; if there is none, all are. A file that was renamed is followed under its old name.
    ///
    /// Errors: no version of this history has such a path.
    pub fn log_path(&self, address: &Address, options: LogOptions) -> Result<Vec<PathStep>> {
        let target = self.open_target(address)?;
        let fold = target.store.timeline.fold();
        let start = target.version()?.row.version;
        let mut wanted = HashMap::from([(start, BTreeSet::from([target.folder().to_owned()]))]);
        let mut found: Vec<(&VersionState, String, Step)> = Vec::new();
        let most = options.most.unwrap_or(usize::MAX);
        for state in ancestry_in(|id| fold.version(id), &[start]) {
            if found.len() >= most || wanted.is_empty() {
                break;
            }
            for path in wanted.remove(&state.row.version).unwrap_or_default() {
                let (step, goes_on) = step(&target, state, &path)?;
                for (parent, path) in goes_on {
                    wanted.entry(parent).or_default().insert(path);
                }
                found.extend(step.map(|step| (state, path, step)));
            }
        }
        if found.is_empty() {
            return Err(no_such_path(&target, target.folder()));
        }
        found.retain(|(state, ..)| options.since.is_none_or(|since| state.row.time >= since));
        found.truncate(most);
        let states: Vec<&VersionState> = found.iter().map(|(state, ..)| *state).collect();
        let records = self.version_records(&target.store, &states)?;
        let steps = found.into_iter().zip(records).map(|((state, path, step), record)| {
            let Step { change, bytes_before, bytes_after } = step;
            let card = card(&target, state, record)?;
            Ok(PathStep { card, path, change, bytes_before, bytes_after })
        });
        steps.collect()
    }
}

/// What `state` did with `path`, if anything, and where the path stood in which parents.
fn step(target: &Target, state: &VersionState, path: &str) -> Result<(Option<Step>, Vec<Onward>)> {
    let own = target.store.manifest(state);
    let mut parents = Vec::new();
    for parent in &state.row.parents {
        let Some(parent) = target.store.timeline.fold().version(parent) else { continue };
        let mut changes = Vec::new();
        diff(target.store.manifest(parent), target.store.manifest(state), path, |change| {
            changes.push(change);
            Ok(())
        })?;
        if changes.is_empty() {
            return Ok((None, vec![(parent.row.version, path.to_owned())]));
        }
        let had_it = has(&target.store.manifest(parent), path)?;
        parents.push((parent, had_it, changes));
    }
    if !has(&own, path)? {
        let had_it = parents.iter().find(|(_, had_it, _)| *had_it);
        let step = had_it.map(|(_, _, changes)| Step {
            change: PathChange::Removed,
            bytes_before: bytes(changes, |change| &change.before),
            bytes_after: None,
        });
        return Ok((step, those_that_had_it(&parents, path)));
    }
    if let Some((_, _, changes)) = parents.iter().find(|(_, had_it, _)| *had_it) {
        let change = if parents.len() > 1 { PathChange::Merged } else { PathChange::Modified };
        let step = Step {
            change,
            bytes_before: bytes(changes, |change| &change.before),
            bytes_after: bytes(changes, |change| &change.after),
        };
        return Ok((Some(step), those_that_had_it(&parents, path)));
    }
    for (parent, ..) in &parents {
        if let Some((from, size)) = renamed_from(target, parent, state, path)? {
            let goes_on = vec![(parent.row.version, from.clone())];
            let change = PathChange::Renamed { from };
            return Ok((Some(Step { change, bytes_before: Some(size), bytes_after: Some(size) }), goes_on));
        }
    }
    let bytes_after = match parents.first() {
        Some((_, _, changes)) => bytes(changes, |change| &change.after),
        None => own.entries(path).try_fold(None, |sum, leaf| leaf.map(|leaf| add(sum, &leaf.entry)))?,
    };
    Ok((Some(Step { change: PathChange::Added, bytes_before: None, bytes_after }), Vec::new()))
}

fn those_that_had_it(parents: &[(&VersionState, bool, Vec<Change>)], path: &str) -> Vec<Onward> {
    let those = parents.iter().filter(|(_, had_it, _)| *had_it);
    those.map(|(parent, ..)| (parent.row.version, path.to_owned())).collect()
}

/// Where the file at `path` stood in `parent`, and its bytes, if it was moved.
fn renamed_from(
    target: &Target,
    parent: &VersionState,
    state: &VersionState,
    path: &str,
) -> Result<Option<(String, u64)>> {
    let mut changes = Vec::new();
    diff(target.store.manifest(parent), target.store.manifest(state), "", |change| {
        changes.push(change);
        Ok(())
    })?;
    let pairs = take_renames(&mut changes).into_iter();
    let mut here = pairs.filter(|(_, to)| to.path.as_str() == path);
    Ok(here.next().map(|(from, to)| (from.path.to_string(), to.after.map_or(0, |entry| entry.bytes()))))
}

fn bytes(changes: &[Change], side: fn(&Change) -> &Option<Entry>) -> Option<u64> {
    changes.iter().filter_map(|change| side(change).as_ref()).fold(None, add)
}

fn add(sum: Option<u64>, entry: &Entry) -> Option<u64> {
    if entry.is_file() { Some(sum.unwrap_or(0) + entry.bytes()) } else { sum }
}
