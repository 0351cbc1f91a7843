//! Who wins where the parents of a merge disagree: from the words of the user, and back to words.

use std::collections::{BTreeMap, HashMap};

use crate::base::{Error, Id, RepoPath, Result};
use crate::format::attrs::{Attrs, Value};
use crate::format::manifest::{Entry, EntryKind};
use crate::history::bases::reaches;
use crate::history::refs;
use crate::tree::resolve::{Choice, Choices, Conflict, Side};
use crate::tree::select::Selection;
use crate::workspace::merging::{Merging, OpenConflict, Solved};

use super::super::RefExpr;
use super::super::open::Target;
use super::super::read::ListedKind;
use super::parents::role;
use super::parts::recorded_parts;
use super::{MergeConflict, MergeOptions, MergeParent, MergeSide};

/// Metadata of a merged version: who won where its parents disagreed.
pub(super) const META_OTHERWISE: &str = "merge.on-conflict";
/// The same by path: `GLOB=CHOICE` a line, the first that fits counts.
pub(super) const META_RULES: &str = "merge.rules";
/// What was to be merged, a line each, where the roles of its parents don't tell: some of it added nothing.
pub(super) const META_PARENTS: &str = "merge.parents";
/// The id of the merge that this one is, made again of what its parents were by then.
pub(super) const META_REFRESHES: &str = "merge.refreshes";
/// Who won at single paths, as they were solved in a workspace.
pub(super) const META_SOLVED: &str = "merge.solved";
/// A text in metadata holds 64 KiB.
const MOST_SOLVED_BYTES: usize = 60 << 10;

/// The choices that the user gave. A parent that adds nothing is stood for by one that has its history.
pub(in crate::engine) fn choices(
    options: &MergeOptions,
    target: &Target,
    parents: &[MergeParent],
    used: &[MergeParent],
) -> Result<Choices> {
    let stand_in = |text: &str| {
        let named = parents.iter().find(|parent| parent.adds_nothing && is_called(&parent.reference, text))?;
        let fold = target.store.timeline.fold();
        used.iter().position(|parent| reaches(fold, &parent.version, &named.version)).map(Choice::Head)
    };
    let parse = |text: &str| choice(text, target, used).or_else(|fault| stand_in(text).ok_or(fault));
    let rule = |text: &String| {
        let (glob, choice) = text
            .rsplit_once('=')
            .filter(|(glob, _)| !glob.is_empty() && !glob.contains('\n'))
            .ok_or_else(|| Error::usage(format!("not GLOB=CHOICE: {text:?}")).hint("as in --rule 'labels/**=last'"))?;
        Ok((Selection::new(&[glob.to_owned()])?, parse(choice)?))
    };
    Ok(Choices {
        exactly: HashMap::new(),
        by_path: options.rules.iter().map(rule).collect::<Result<Vec<_>>>()?,
        otherwise: options.on_conflict.as_deref().map_or(Ok(Choice::Fail), parse)?,
    })
}

/// The choices of a merge in progress, with what was solved so far.
pub(super) fn choices_of(merging: &Merging) -> Result<Choices> {
    let by_reference = |text: &str| merging.parents.iter().position(|(_, reference)| is_called(reference, text));
    let rule = |(glob, text): &(String, String)| {
        let choice = keyword(text).or_else(|| by_reference(text).map(Choice::Head));
        let choice = choice.ok_or_else(|| Error::damaged(format!("{text} is no parent of the merge in progress")))?;
        Ok((Selection::new(std::slice::from_ref(glob))?, choice))
    };
    let solved = |conflict: &OpenConflict| {
        let choice = match conflict.solved? {
            Solved::ByHand => Choice::ByHand,
            Solved::Taken(parent) => Choice::Head(parent),
        };
        Some((conflict.path.clone(), choice))
    };
    Ok(Choices {
        exactly: merging.conflicts.iter().filter_map(solved).collect(),
        by_path: merging.rules.iter().map(rule).collect::<Result<Vec<_>>>()?,
        otherwise: Choice::Fail,
    })
}

/// The rules as they stay true when branches move on: with parents by what they are called in the merge.
pub(super) fn in_words(options: &MergeOptions, choices: &Choices, used: &[MergeParent]) -> Vec<(String, String)> {
    let globs = options.rules.iter().filter_map(|rule| Some(rule.rsplit_once('=')?.0));
    let choices = choices.by_path.iter().map(|(_, choice)| *choice).chain([choices.otherwise]);
    globs.chain(["**"]).zip(choices).map(|(glob, choice)| (glob.to_owned(), word_of(choice, used))).collect()
}

fn word_of(choice: Choice, used: &[MergeParent]) -> String {
    match choice {
        Choice::Fail => "fail".to_owned(),
        Choice::ByHand => "by hand".to_owned(),
        Choice::First => "first".to_owned(),
        Choice::Last => "last".to_owned(),
        Choice::Newest => "newest".to_owned(),
        Choice::Both => "both".to_owned(),
        Choice::Head(head) => used[head].reference.clone(),
    }
}

fn keyword(text: &str) -> Option<Choice> {
    match text {
        "fail" => Some(Choice::Fail),
        "first" => Some(Choice::First),
        "last" => Some(Choice::Last),
        "newest" => Some(Choice::Newest),
        "both" => Some(Choice::Both),
        _ => None,
    }
}

fn choice(text: &str, target: &Target, used: &[MergeParent]) -> Result<Choice> {
    let by_reference = || used.iter().position(|parent| is_called(&parent.reference, text));
    let by_version = || {
        let id =
            refs::resolve(target.store.timeline.fold(), &target.dataset, &RefExpr::parse(text).ok()?, text).ok()?;
        used.iter().position(|parent| parent.version == id)
    };
    keyword(text).or_else(|| by_reference().or_else(by_version).map(Choice::Head)).ok_or_else(|| {
        let known = used.iter().map(MergeParent::word).collect::<Vec<_>>().join(", ");
        Error::usage(format!("{text} is no parent of this merge that adds something"))
            .hint(format!("fail, first, last, newest, both, or one of: {known}"))
    })
}

/// What a parent is called but for the part of it: no REF holds a colon.
pub(super) fn without_part(reference: &str) -> &str {
    reference.split(':').next().unwrap_or(reference)
}

/// Whether a text names a parent: in full, or without the part.
pub(super) fn is_called(reference: &str, text: &str) -> bool {
    reference == text || without_part(reference) == text
}

/// The content of a file, and its bytes.
pub(super) fn content_of(entry: &Entry) -> Option<(Id, u64)> {
    match entry.kind {
        EntryKind::File { content, size, .. } => Some((content, size)),
        _ => None,
    }
}

pub(super) fn side_of(side: Side, parent: &MergeParent) -> MergeSide {
    let content = side.entry.as_ref().and_then(content_of);
    let executable = matches!(side.entry, Some(Entry { kind: EntryKind::File { executable: true, .. }, .. }));
    MergeSide {
        executable,
        reference: parent.reference.clone(),
        did: side.did,
        kind: match side.entry.map(|entry| entry.kind) {
            Some(EntryKind::File { .. }) => Some(ListedKind::File),
            Some(EntryKind::Symlink { .. }) => Some(ListedKind::Symlink),
            Some(EntryKind::EmptyFolder) => Some(ListedKind::Folder),
            None => side.folder.then_some(ListedKind::Folder),
        },
        content: content.map(|(content, _)| content),
        bytes: content.map(|(_, bytes)| bytes),
    }
}

pub(in crate::engine) fn conflict_of(conflict: Conflict, used: &[MergeParent]) -> MergeConflict {
    MergeConflict {
        path: conflict.path.to_string(),
        file_and_folder: conflict.file_and_folder,
        choice: match conflict.choice {
            Choice::Fail => None,
            choice => Some(word_of(choice, used)),
        },
        beside: Vec::new(),
        sides: conflict.sides.into_iter().zip(used).map(|(side, parent)| side_of(side, parent)).collect(),
    }
}

/// What the workspace notes of a conflict that it is to solve.
pub(super) fn open_conflict(conflict: &MergeConflict) -> Result<OpenConflict> {
    Ok(OpenConflict {
        path: RepoPath::new(conflict.path.as_str())?,
        did: conflict.sides.iter().map(|side| side.did.to_string()).collect(),
        beside: Vec::new(),
        solved: None,
    })
}

pub(super) fn recorded(options: &MergeOptions, parents: &[MergeParent], used: &[MergeParent]) -> Result<Attrs> {
    let words = recorded_words(options, parents, used)?;
    Ok(words.into_iter().map(|(key, text)| (key, Value::Text(text))).collect())
}

/// What the metadata of the merged version says of its rules and of the parts that it took; and of what was to be merged, where the roles
/// of its parents don't tell.
pub(super) fn recorded_words(
    options: &MergeOptions,
    parents: &[MergeParent],
    used: &[MergeParent],
) -> Result<BTreeMap<String, String>> {
    let all = || parents.iter().map(|parent| parent.reference.as_str()).collect::<Vec<_>>().join("\n");
    let is_told = |parent: &MergeParent| !parent.adds_nothing && role(&parent.reference) == parent.reference;
    let asked = (!parents.iter().all(is_told)).then(|| (META_PARENTS.to_owned(), all()));
    Ok(recorded_choice(options)
        .chain(asked)
        .chain(recorded_parts(used.iter().map(|parent| (parent.version, &parent.part)))?)
        .collect())
}

/// What the metadata of a version says of who won, as it was asked for.
pub(in crate::engine) fn recorded_choice(options: &MergeOptions) -> impl Iterator<Item = (String, String)> {
    let otherwise = options.on_conflict.iter().map(|choice| (META_OTHERWISE.to_owned(), choice.clone()));
    let rules = (!options.rules.is_empty()).then(|| (META_RULES.to_owned(), options.rules.join("\n")));
    otherwise.chain(rules)
}

/// What the metadata says of conflicts that were solved one by one, as a JSON object: of each path whose entry was taken, or null where
/// it was edited. Those that have no room are left out.
pub(super) fn solved_words(merging: &Merging) -> Option<(String, String)> {
    let mut told = serde_json::Map::new();
    let mut bytes = 0;
    for conflict in &merging.conflicts {
        let value = match conflict.solved {
            Some(Solved::Taken(parent)) => serde_json::Value::from(merging.parents[parent].1.as_str()),
            _ => serde_json::Value::Null,
        };
        bytes += serde_json::Value::from(conflict.path.as_str()).to_string().len() + value.to_string().len() + 2;
        if bytes > MOST_SOLVED_BYTES {
            break;
        }
        told.insert(conflict.path.to_string(), value);
    }
    (!told.is_empty()).then(|| (META_SOLVED.to_owned(), serde_json::Value::Object(told).to_string()))
}
