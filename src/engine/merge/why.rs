//! `why`: where what stands at a path came from, back through merges to the version that put it there.
//!
//! Of a version with one parent the two are compared at the path alone: nodes that they share aren't read. Of a merge the path is looked up
//! in its parents and in what they came from, and judged again, by the rule that the merge followed. Where several parents made the change
//! that it took, each of them is followed to the version that made it there.

use std::collections::{HashMap, HashSet};

use crate::base::{DatasetName, Error, Event, Id, RefName, RepoPath, Result, Time};
use crate::format::attrs::Value;
use crate::format::header::ObjectKind;
use crate::format::manifest::{Entry, EntryKind};
use crate::format::version::Version;
use crate::history::fold::VersionState;
use crate::tree::diff::{Change, diff};
use crate::tree::merge::{Apart, Did, Outcome, did, settle};
use crate::tree::part::Part;
use crate::tree::resolve::Look;
use crate::tree::select::Selection;

use super::super::META_REVERTS;
use super::super::open::Target;
use super::super::read::no_such_path;
use super::super::{Address, Engine};
use super::beside::{Beside, came_from_beside, went_beside};
use super::meeting::{meeting, side_at};
use super::parents::{Ancestry, known_version};
use super::parts::parts_of;
use super::rules::{META_OTHERWISE, META_REFRESHES, META_RULES, META_SOLVED, content_of, side_of};
use super::{MergeParent, MergeSide};

/// Roots of manifests that are read ahead: as many again as were needed, up to so many.
const MOST_AHEAD: usize = 64;

/// The way of a path's entry to a version, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    pub dataset: DatasetName,
    pub path: String,
    /// What stands there; `None`: nothing, and the steps tell what became of it.
    pub content: Option<Id>,
    pub bytes: Option<u64>,
    /// The merges that chose it, then the version that put it there: by the first parent that made the change, where several did.
    pub steps: Vec<WhyStep>,
}

/// A version that decided what stands at the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyStep {
    pub dataset: DatasetName,
    pub version: Id,
    pub version_name: Option<RefName>,
    /// Where it stood then.
    pub path: String,
    pub author: String,
    pub time: Time,
    pub message: String,
    pub how: How,
}

/// How a version came to have what it has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It did this itself.
    Did(Did),
    /// It made the file executable, or no longer so, and left its content alone: the next step is whose that was.
    MadeExecutable(bool),
    /// It took back what another version, which is called this, had changed.
    Reverted { undone: String, rule: MergeRule },
    /// It is a merge of versions that differ there.
    Merged {
        rule: MergeRule,
        /// The parent whose entry, or deletion, it took; `None`: it has what no parent had.
        took: Option<String>,
        /// Other parents that had done the same.
        also: Vec<String>,
        /// The version that did it first, in `took` and in each of `also`; without those in whose history none is found that did.
        by: Vec<DoneBy>,
        /// Where it put what parents had at the path, and of whom: it kept all of them, each beside it.
        kept: Vec<Kept>,
        /// Of each parent: what it had at the path, or at the one beside which this stands.
        sides: Vec<MergeSide>,
    },
}

/// The version in the history of a merge's parent which made the change that the merge took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneBy {
    /// The parent's.
    pub reference: String,
    pub dataset: DatasetName,
    pub version: Id,
    pub version_name: Option<RefName>,
}

/// What a merge kept of a parent under another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The parent's.
    pub reference: String,
    pub path: String,
}

/// What decided a merge at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeRule {
    /// One side had left alone what the other did.
    OnlyChange,
    /// Several did the same, and the others had left it alone.
    SameChange,
    /// `GLOB=CHOICE`, or the choice for all other paths.
    Given(String),
    /// Somebody chose.
    ByHand,
}

impl Engine {
    /// What gave the address's path its content, which rule decided where versions were merged, and what lost.
    pub fn why(&self, address: &Address) -> Result<Why> {
        let target = self.open_target(address)?;
        let path = match target.folder() {
            "" => return Err(Error::usage("why asks about a path").hint(format!("write {}:PATH", target.shown))),
            path => RepoPath::new(path)?,
        };
        let version = target.version()?.row.version;
        let entry = self.manifest_of(&target, &version)?.find(path.as_str())?.map(|leaf| leaf.entry);
        let side = entry.as_ref().and_then(content_of);
        let mut why = Why {
            dataset: target.dataset.clone(),
            path: path.to_string(),
            content: side.map(|(content, _)| content),
            bytes: side.map(|(_, bytes)| bytes),
            steps: Vec::new(),
        };
        let Way { mut steps, forks } = self.walk(&target, Place { version, path, entry })?;
        for at in 0..steps.len() {
            let (to_it, before) = steps.split_at_mut(at + 1);
            if let How::Merged { took: Some(took), by, .. } = &mut to_it[at].how {
                by.extend(done_by(took, before));
            }
        }
        for Fork { step, reference, place } in forks {
            let done = done_by(&reference, &self.walk(&target, place)?.steps);
            if let How::Merged { by, .. } = &mut steps[step].how {
                by.extend(done);
            }
        }
        why.steps = steps;
        match why.steps.is_empty() {
            true => Err(no_such_path(&target, target.folder())),
            false => Ok(why),
        }
    }

    /// Goes back from a version as far as the path's entry came.
    fn walk(&self, target: &Target, from: Place) -> Result<Way> {
        let (mut way, mut place) = (Way::default(), Some(from));
        let mut ahead = ReadAhead { left: 0, next: 2 };
        while let Some(at) = place {
            ahead.step(target, &at.version);
            place = self.step_back(target, at, &mut way)?;
        }
        Ok(way)
    }

    /// Goes from a version to the one from which it has the path's entry, and notes where there was a choice; `None` at the end.
    fn step_back(&self, target: &Target, at: Place, way: &mut Way) -> Result<Option<Place>> {
        let state = known_version(target, &at.version)?;
        match state.row.parents.as_slice() {
            [] => {
                if at.entry.is_some() {
                    way.steps.push(self.why_step(target, state, &at.path, How::Did(Did::Added))?);
                }
                Ok(None)
            }
            [parent] => {
                let (before, after) = (self.manifest_of(target, parent)?, self.manifest_of(target, &at.version)?);
                let mut changed = None;
                diff(before, after, at.path.as_str(), |change| {
                    changed = Some(change).filter(|change| change.path == at.path).or(changed.take());
                    Ok(())
                })?;
                let Some(change) = changed else { return Ok(Some(Place { version: *parent, ..at })) };
                let record = self.version_records(&target.store, &[state])?.remove(0);
                if let Some(undone) = reverted_by(target, &record) {
                    return self.step_back_from_revert(target, at, state, (undone, &record, &change.before), way);
                }
                if let Some(executable) = only_mode(&change).filter(|_| change.path == at.path) {
                    way.steps.push(self.why_step(target, state, &at.path, How::MadeExecutable(executable))?);
                    return Ok(Some(Place { version: *parent, entry: change.before, ..at }));
                }
                let what = match (change.before, change.after) {
                    (None, _) if !before.has_folder(at.path.as_str())? => Did::Added,
                    (_, None) if !after.has_folder(at.path.as_str())? => Did::Deleted,
                    _ => Did::Changed,
                };
                way.steps.push(self.why_step(target, state, &at.path, How::Did(what))?);
                Ok(None)
            }
            _ => self.step_back_from_merge(target, at, state, way),
        }
    }

    /// Of a version that took another one back, where it changed the path of the head before it.
    fn step_back_from_revert(
        &self,
        target: &Target,
        at: Place,
        state: &VersionState,
        (undone, record, head): (&VersionState, &Version, &Option<Entry>),
        way: &mut Way,
    ) -> Result<Option<Place>> {
        let entry_in = |version: &Id| -> Result<Option<Entry>> {
            Ok(self.manifest_of(target, version)?.find(at.path.as_str())?.map(|leaf| leaf.entry))
        };
        let rule = match entry_in(&undone.row.version)? == *head {
            true => MergeRule::OnlyChange,
            false => rule_at(record, &at.path).unwrap_or(MergeRule::ByHand),
        };
        let (_, dataset) = target.home_of(&undone.row.version)?;
        let how = How::Reverted { undone: dataset.called(&undone.row.version), rule };
        way.steps.push(self.why_step(target, state, &at.path, how)?);
        for before in &undone.row.parents {
            if entry_in(before)? == at.entry {
                return Ok(Some(Place { version: *before, ..at }));
            }
        }
        Ok(None)
    }

    fn step_back_from_merge(
        &self,
        target: &Target,
        at: Place,
        state: &VersionState,
        way: &mut Way,
    ) -> Result<Option<Place>> {
        let record = self.version_records(&target.store, &[state])?.remove(0);
        let parts: HashMap<Id, Part> = parts_of(&at.version, &record.meta)?.into_iter().collect();
        let is_here = |parent: &MergeParent| target.version_state(&parent.version).is_ok();
        let (parents, missing): (Vec<MergeParent>, Vec<_>) = merge_parents(&record, &parts).partition(is_here);
        let unseen: Vec<MergeParent> =
            missing.into_iter().filter(|parent| parent.part.source(at.path.as_str()).is_some()).collect();
        for parent in &unseen {
            let (reference, id) = (&parent.reference, parent.version.short());
            let told = format!("{reference} ({id}) isn't in this store: what it had at {} isn't known", at.path);
            self.observer.tell(Event::Warning(told));
        }
        // Its entry, where no parent that is here has it.
        let of_unseen = || match (unseen.as_slice(), rule_at(&record, &at.path)) {
            (_, Some(MergeRule::ByHand)) => None,
            ([only], rule) => Some((rule.unwrap_or(MergeRule::OnlyChange), only.reference.clone())),
            _ => None,
        };
        if parents.first().is_none_or(|first| !first.part.is_whole()) {
            let (rule, took) = of_unseen().map_or((MergeRule::ByHand, None), |(rule, took)| (rule, Some(took)));
            let how = How::Merged { rule, took, also: Vec::new(), by: Vec::new(), kept: Vec::new(), sides: Vec::new() };
            way.steps.push(self.why_step(target, state, &at.path, how)?);
            return Ok(None);
        }
        let ancestry = Ancestry::of(self, target, &parents)?;
        if let Some(gap) = ancestry.gap(self, target)? {
            self.observer.tell(Event::Warning(format!("{gap}: the merge may have seen more")));
        }
        let regions = ancestry.regions(&target.store.content);
        let (lineage, values) = (regions.lineage_at(at.path.as_str()), regions.values_at(at.path.as_str())?);
        let heads = &values[..parents.len()];
        let all_have_it = lineage.speaking().all(|head| heads[head] == at.entry);
        if all_have_it && lineage.speaking().all(|head| did(lineage, &values, head) == Did::Unchanged) {
            return Ok(Some(Place { version: parents[0].version, ..at }));
        }
        let content = &target.store.content;
        let in_parent =
            |parent: &MergeParent| (ancestry.manifest(content, &parent.version), parent.part.source(at.path.as_str()));
        let met = meeting(&regions, &at.path, &parents.iter().map(in_parent).collect::<Vec<_>>())?;
        let mut sides = Vec::with_capacity(parents.len());
        for (head, parent) in parents.iter().enumerate() {
            let side = side_at(&regions, &at.path, &values, head, met.as_ref() == Some(&at.path))?;
            sides.push(side_of(side, parent));
        }
        let rule_there = |path: &RepoPath| rule_at(&record, path).unwrap_or(MergeRule::ByHand);
        if let Some(met) = met.as_ref().filter(|met| **met != at.path && at.entry.is_none()) {
            // A file stands where the path's folder would: it is what was taken.
            let file = self.manifest_of(target, &at.version)?.find(met.as_str())?.map(|leaf| leaf.entry);
            let there = regions.values_at(met.as_str())?;
            let took = (0..parents.len()).find(|head| file.is_some() && same_kind(&there[*head], &file));
            let named = took.map(|head| parents[head].reference.clone());
            let how = How::Merged {
                rule: rule_there(met),
                took: named,
                also: Vec::new(),
                by: Vec::new(),
                kept: Vec::new(),
                sides,
            };
            way.steps.push(self.why_step(target, state, &at.path, how)?);
            let place = |head: usize| Ok(Place { entry: file, ..place_in(&parents[head], met)? });
            return took.map(place).transpose();
        }
        let (rule, candidates) = match settle(lineage, &values, &Apart::new()) {
            Outcome::Settled(entry) if same_kind(&entry, &at.entry) => {
                (met.as_ref().map_or(MergeRule::OnlyChange, rule_there), lineage.speaking().collect())
            }
            Outcome::Settled(_) => match came_from_beside(&parents, &regions, (&at.path, &at.entry))? {
                Some(Beside { heads, from, sides }) => {
                    let place = |head: usize| Ok(Place { entry: at.entry.clone(), ..place_in(&parents[head], &from)? });
                    let mut called = heads.iter().map(|head| parents[*head].reference.clone());
                    let (rule, took) = (rule_there(&from), called.next());
                    let also: Vec<String> = called.collect();
                    for (head, reference) in heads[1..].iter().zip(&also) {
                        let reference = reference.clone();
                        way.forks.push(Fork { step: way.steps.len(), reference, place: place(*head)? });
                    }
                    let how = How::Merged { rule, took, also, by: Vec::new(), kept: Vec::new(), sides };
                    way.steps.push(self.why_step(target, state, &at.path, how)?);
                    return place(heads[0]).map(Some);
                }
                None => {
                    // A refresh judges its parents themselves, not what was made of them before.
                    let refreshed = record.meta.0.contains_key(META_REFRESHES);
                    let rule = refreshed.then(|| rule_at(&record, &at.path).unwrap_or(MergeRule::OnlyChange));
                    let rule = rule.or(met.as_ref().map(rule_there));
                    (rule.unwrap_or(MergeRule::ByHand), lineage.speaking().collect())
                }
            },
            Outcome::Open(standing) => (rule_there(&at.path), standing),
        };
        let kept = match at.entry {
            None => went_beside(&parents, heads, &at.path, &self.manifest_of(target, &at.version)?)?,
            Some(_) => Vec::new(),
        };
        // Where each was kept beside the path nobody's deletion was taken; but a folder may stay there.
        let is_beside = !kept.is_empty() && keeps_both(&rule);
        let stays = |head: usize| !is_beside || sides[head].kind.is_some();
        let has_it = |head: &&usize| stays(**head) && same_kind(&values[**head], &at.entry);
        let acted = |head: &&usize| has_it(head) && sides[**head].did != Did::Unchanged;
        let all: Vec<usize> = lineage.speaking().collect();
        let took =
            candidates.iter().find(acted).or(candidates.iter().find(has_it)).or(all.iter().find(has_it)).copied();
        let refreshed = record.meta.0.get(META_REFRESHES).filter(|_| took.is_none() && at.entry.is_some());
        let earlier = refreshed.map(|_| self.parent_before(target, &at, &parents)).transpose()?.flatten();
        let called = |head: usize| parents[head].reference.clone();
        let place = |head: usize| Ok(Place { entry: values[head].clone(), ..place_in(&parents[head], &at.path)? });
        let also = candidates.iter().filter(|head| took.is_some_and(|took| took != **head) && acted(head));
        let also: Vec<usize> = also.copied().collect();
        for head in &also {
            way.forks.push(Fork { step: way.steps.len(), reference: called(*head), place: place(*head)? });
        }
        let rule = if rule == MergeRule::OnlyChange && !also.is_empty() { MergeRule::SameChange } else { rule };
        let also = also.into_iter().map(called).collect();
        let (rule, named) = match (&earlier, of_unseen().filter(|_| took.is_none() && !is_beside)) {
            (Some(earlier), _) => (rule, Some(earlier.reference.clone())),
            (None, Some((rule, unseen))) => (rule, Some(unseen)),
            (None, None) => (rule, took.map(called)),
        };
        let how = How::Merged { rule, took: named, also, by: Vec::new(), kept, sides };
        way.steps.push(self.why_step(target, state, &at.path, how)?);
        match earlier {
            Some(earlier) => Ok(Some(Place { entry: at.entry, ..place_in(&earlier, &at.path)? })),
            None => took.map(place).transpose(),
        }
    }

    /// The parent of the merges before a refresh which has the entry: a refresh judges it again, though it adds nothing new and isn't a parent
    /// any more.
    fn parent_before(&self, target: &Target, at: &Place, parents: &[MergeParent]) -> Result<Option<MergeParent>> {
        let mut seen: HashSet<String> = parents.iter().map(|parent| parent.reference.clone()).collect();
        let mut next = parents.first().map(|first| first.version);
        while let Some(id) = next {
            let Ok(state) = target.version_state(&id) else { break };
            let record = self.version_records(&target.store, &[state])?.remove(0);
            let parts: HashMap<Id, Part> = parts_of(&id, &record.meta)?.into_iter().collect();
            for parent in merge_parents(&record, &parts) {
                let Some(source) =
                    parent.part.source(at.path.as_str()).filter(|_| seen.insert(parent.reference.clone()))
                else {
                    continue;
                };
                if target.version_state(&parent.version).is_err() {
                    continue;
                }
                let there = self.manifest_of(target, &parent.version)?.find(&source)?.map(|leaf| leaf.entry);
                if same_kind(&there, &at.entry) {
                    return Ok(Some(parent));
                }
            }
            let goes_on = record.meta.0.contains_key(META_REFRESHES);
            next = state.row.parents.first().copied().filter(|_| goes_on);
        }
        Ok(None)
    }

    fn why_step(&self, target: &Target, state: &VersionState, path: &RepoPath, how: How) -> Result<WhyStep> {
        let record = self.version_records(&target.store, &[state])?.remove(0);
        let version = state.row.version;
        let (dataset, known) = target.home_of(&version)?;
        Ok(WhyStep {
            dataset: dataset.clone(),
            version,
            version_name: known.name_of(&version).cloned(),
            path: path.to_string(),
            author: record.author,
            time: record.time,
            message: record.message,
            how,
        })
    }

    fn manifest_of<'t>(&self, target: &'t Target, version: &Id) -> Result<crate::tree::manifest::Manifest<'t>> {
        let row = &known_version(target, version)?.row;
        Ok(crate::tree::manifest::Manifest::new(&target.store.content, row.manifest, Some(row.manifest_place)))
    }
}

/// The version that a version takes back, if it does and the store has it.
fn reverted_by<'t>(target: &'t Target, record: &Version) -> Option<&'t VersionState> {
    match record.meta.0.get(META_REVERTS) {
        Some(Value::Text(id)) => target.version_state(&Id::from_hex(id)?).ok(),
        _ => None,
    }
}

/// What a path is in a parent that says something about it.
fn place_in(parent: &MergeParent, path: &RepoPath) -> Result<Place> {
    let source = parent.part.source(path.as_str()).unwrap_or_else(|| path.to_string());
    Ok(Place { version: parent.version, path: RepoPath::new(source)?, entry: None })
}

/// Where the search stands: what this version has at this path is what is asked about.
struct Place {
    version: Id,
    path: RepoPath,
    entry: Option<Entry>,
}

/// What was met on the way back from a version.
#[derive(Default)]
struct Way {
    steps: Vec<WhyStep>,
    forks: Vec<Fork>,
}

/// A parent that had done what a merge took from another one, and wasn't followed.
struct Fork {
    /// The merge's place among the steps.
    step: usize,
    reference: String,
    place: Place,
}

/// Of the steps from a merge's parent back the version that made the change.
fn done_by(reference: &str, steps: &[WhyStep]) -> Option<DoneBy> {
    let passed_on = |step: &&WhyStep| matches!(step.how, How::Merged { took: Some(_), .. });
    let step = steps.iter().find(|step| !passed_on(step))?;
    Some(DoneBy {
        reference: reference.to_owned(),
        dataset: step.dataset.clone(),
        version: step.version,
        version_name: step.version_name.clone(),
    })
}

/// Reads roots of manifests ahead, further the longer a path stays the same.
struct ReadAhead {
    left: usize,
    next: usize,
}

impl ReadAhead {
    fn step(&mut self, target: &Target, version: &Id) {
        if self.left > 0 {
            self.left -= 1;
            return;
        }
        let fold = target.store.timeline.fold();
        let mut frames = Vec::with_capacity(self.next);
        let mut version = Some(*version);
        while let Some(state) = version.and_then(|id| fold.version(&id)).filter(|_| frames.len() < self.next) {
            frames.push(state.row.manifest_place.frame);
            version = match state.row.parents.as_slice() {
                [only] => Some(*only),
                _ => None,
            };
        }
        target.store.content.prefetch(ObjectKind::MetaPack, &frames);
        self.left = frames.len().saturating_sub(2);
        self.next = (2 * self.next).min(MOST_AHEAD);
    }
}

/// The parents of a merge, by its record.
fn merge_parents<'r>(record: &'r Version, parts: &'r HashMap<Id, Part>) -> impl Iterator<Item = MergeParent> + 'r {
    record.parents.iter().map(|parent| MergeParent {
        reference: if parent.role.is_empty() { parent.id.short() } else { parent.role.clone() },
        version: parent.id,
        version_name: None,
        part: parts.get(&parent.id).cloned().unwrap_or_default(),
        adds_nothing: false,
    })
}

/// Whether a file is executable by a change of nothing else.
fn only_mode(change: &Change) -> Option<bool> {
    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
    match after.kind {
        EntryKind::File { executable, .. } if content_of(before) == content_of(after) && before.kind != after.kind => {
            Some(executable)
        }
        _ => None,
    }
}

/// Whether a rule keeps what each parent has, beside the path.
fn keeps_both(rule: &MergeRule) -> bool {
    matches!(rule, MergeRule::Given(rule) if rule.rsplit('=').next() == Some("both"))
}

/// Attributes of several parents may have been merged, so that the entry is nobody's as a whole.
pub(super) fn same_kind(one: &Option<Entry>, other: &Option<Entry>) -> bool {
    one.as_ref().map(|entry| &entry.kind) == other.as_ref().map(|entry| &entry.kind)
}

/// What the record of a merge says of who wins at a path.
fn rule_at(record: &Version, path: &RepoPath) -> Option<MergeRule> {
    let text = |key: &str| match record.meta.0.get(key) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let solved: Option<serde_json::Map<String, serde_json::Value>> =
        text(META_SOLVED).and_then(|text| serde_json::from_str(text).ok());
    if solved.is_some_and(|solved| solved.contains_key(path.as_str())) {
        return Some(MergeRule::ByHand);
    }
    let fits = |rule: &&str| {
        let glob = rule.rsplit_once('=').map(|(glob, _)| glob.to_owned());
        glob.and_then(|glob| Selection::new(&[glob]).ok()).is_some_and(|selection| selection.matches(path.as_str()))
    };
    let by_path = text(META_RULES).into_iter().flat_map(str::lines).find(fits);
    by_path.or(text(META_OTHERWISE)).map(|rule| MergeRule::Given(rule.to_owned()))
}
