//! From what each path comes to, to the edits that make the merged version: who wins where heads disagree, and what is no tree.
//!
//! Paths are judged one by one, so that a file and a folder of one name can be left standing together: that is a conflict too. An empty
//! folder gives way to what is in it.

use std::collections::HashMap;

use crate::base::{Error, RepoPath, Result};
use crate::format::manifest::{Entry, EntryKind};

use super::edit::Edits;
use super::merge::{Apart, Did, Lineage, Outcome, did, settle};
use super::select::Selection;

/// Who wins where heads disagree. Heads that changed nothing, or that others have outdated, are no candidates but for [`Choice::Head`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Nobody: it stays a conflict. The edits lay it out: the first entry stands at the path, the others beside it.
    Fail,
    /// Somebody looks at it: the first entry stands at the path until that is done, and nothing beside it.
    ByHand,
    First,
    Last,
    /// The version that was made last.
    Newest,
    /// All of them, side by side under names that say whose.
    Both,
    /// This head, whatever it did.
    Head(usize),
}

/// The heads as far as choices ask for them, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// What it is called in the names of files.
    pub word: String,
    /// Milliseconds since 1970.
    pub time: i64,
}

/// Choices by path, the first that fits; and one for all other paths.
#[derive(Debug)]
pub struct Choices {
    /// What was chosen for single paths; it goes before all others.
    pub exactly: HashMap<RepoPath, Choice>,
    pub by_path: Vec<(Selection, Choice)>,
    pub otherwise: Choice,
}

impl Choices {
    fn at(&self, path: &RepoPath) -> Choice {
        if let Some(choice) = self.exactly.get(path) {
            return *choice;
        }
        let fits = self.by_path.iter().find(|(selection, _)| selection.matches(path.as_str()));
        fits.map_or(self.otherwise, |(_, choice)| *choice)
    }
}

/// What one head has at a path, and did there.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    pub did: Did,
    pub entry: Option<Entry>,
    /// It has files below the path.
    pub folder: bool,
}

/// A path at which heads disagree.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    pub path: RepoPath,
    /// Of each head.
    pub sides: Vec<Side>,
    /// It is a file for some and a folder for others.
    pub file_and_folder: bool,
    /// [`Choice::Fail`]: it isn't resolved.
    pub choice: Choice,
}

/// What the heads come to.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// What differs from the first head.
    pub edits: Edits,
    /// In path order.
    pub conflicts: Vec<Conflict>,
    /// What the edits put beside paths that stay in conflict, in path order: where it stands, and the path.
    pub beside: Vec<(RepoPath, RepoPath)>,
}

/// Answers about the versions of a merge that single paths can't give.
pub trait Look {
    /// How the versions descend from each other, as far as a path goes.
    fn lineage_at(&self, path: &str) -> &Lineage;
    /// The entry of each version of that lineage at the path.
    fn values_at(&self, path: &str) -> Result<Vec<Option<Entry>>>;
    /// Whether a head has something below a path.
    fn has_folder(&self, head: usize, path: &str) -> Result<bool>;
}

/// Collects what paths come to.
pub struct Planner<'a> {
    heads: &'a [Head],
    choices: &'a Choices,
    settled: Vec<Settled>,
    aside: Vec<Aside>,
    conflicts: Vec<Conflict>,
    beside: Vec<(RepoPath, RepoPath)>,
}

/// An entry that stands beside where it stood.
struct Aside {
    path: RepoPath,
    /// Whose it is.
    head: usize,
    entry: Entry,
    /// The path stays in conflict.
    is_open: bool,
}

/// A path at which heads differ.
struct Settled {
    path: RepoPath,
    entry: Option<Entry>,
    /// It isn't what the first head has.
    is_edit: bool,
}

impl<'a> Planner<'a> {
    pub fn new(heads: &'a [Head], choices: &'a Choices) -> Planner<'a> {
        Planner { heads, choices, settled: Vec::new(), aside: Vec::new(), conflicts: Vec::new(), beside: Vec::new() }
    }

    /// Takes a path at which versions differ, each such path once, and the values of all of them; `apart` as for [`settle`].
    pub fn take(&mut self, lineage: &Lineage, path: RepoPath, values: &[Option<Entry>], apart: &Apart) {
        let entry = match settle(lineage, values, apart) {
            Outcome::Settled(entry) => entry,
            Outcome::Open(standing) => {
                let choice = self.choices.at(&path);
                let side = |head| Side { did: did(lineage, values, head), entry: values[head].clone(), folder: false };
                let sides = (0..lineage.heads).map(side).collect();
                self.conflicts.push(Conflict { path: path.clone(), sides, file_and_folder: false, choice });
                match self.pick(choice, &standing) {
                    None => self.keep_all(choice, &path, values, &standing),
                    Some(head) => values[head].clone(),
                }
            }
        };
        let is_edit = entry != values[0];
        self.settled.push(Settled { path, entry, is_edit });
    }

    fn pick(&self, choice: Choice, standing: &[usize]) -> Option<usize> {
        match choice {
            Choice::Fail | Choice::ByHand | Choice::Both => None,
            Choice::First => standing.first().copied(),
            Choice::Last => standing.last().copied(),
            Choice::Newest => standing.iter().copied().max_by_key(|head| self.heads[*head].time),
            Choice::Head(head) => Some(head),
        }
    }

    /// What stays at the path itself where nobody wins: an entry against its deletion. Of entries against each other all step aside, or the
    /// first stays as long as that is open.
    fn keep_all(
        &mut self,
        choice: Choice,
        path: &RepoPath,
        values: &[Option<Entry>],
        standing: &[usize],
    ) -> Option<Entry> {
        let mut kept: Vec<(usize, &Entry)> = Vec::new();
        for head in standing {
            if let Some(entry) = &values[*head]
                && kept.iter().all(|(_, other)| *other != entry)
            {
                kept.push((*head, entry));
            }
        }
        let is_open = choice == Choice::Fail;
        let (stays, aside) = match (choice, kept.as_slice()) {
            (Choice::Both, several @ [_, _, ..]) => (None, several),
            (_, []) => (None, &[][..]),
            (Choice::ByHand, [(_, first), ..]) => (Some((*first).clone()), &[][..]),
            (_, [(_, first), others @ ..]) => (Some((*first).clone()), others),
        };
        let aside = aside
            .iter()
            .map(|(head, entry)| Aside { path: path.clone(), head: *head, entry: (*entry).clone(), is_open })
            .collect::<Vec<_>>();
        self.aside.extend(aside);
        stays
    }

    /// The plan, after the last path.
    pub fn finish(mut self, look: &impl Look) -> Result<Plan> {
        self.settled.sort_by(|a, b| a.path.cmp(&b.path));
        self.place_aside(look)?;
        self.part_files_from_folders(look)?;
        self.place_aside(look)?;
        self.conflicts.sort_by(|a, b| a.path.cmp(&b.path));
        self.beside.sort_unstable();
        let edits = self.settled.into_iter().filter(|settled| settled.is_edit);
        let edits = edits.map(|settled| (settled.path, settled.entry)).collect();
        Ok(Plan { edits, conflicts: self.conflicts, beside: self.beside })
    }

    fn place_aside(&mut self, look: &impl Look) -> Result<()> {
        for Aside { path: of, head, entry, is_open } in std::mem::take(&mut self.aside) {
            let path = self.free_name(&of, head, look)?;
            if is_open {
                self.beside.push((path.clone(), of));
            }
            let at = self.settled.partition_point(|settled| settled.path < path);
            self.settled.insert(at, Settled { path, entry: Some(entry), is_edit: true });
        }
        Ok(())
    }

    /// Decides where one path is a folder of another. All heads are trees, so heads differ at both paths, and both were taken.
    fn part_files_from_folders(&mut self, look: &impl Look) -> Result<()> {
        let mut above: Vec<usize> = Vec::new();
        let mut file_wins: HashMap<usize, bool> = HashMap::new();
        for at in 0..self.settled.len() {
            if self.settled[at].entry.is_none() {
                continue;
            }
            let path = self.settled[at].path.clone();
            above.retain(|other| path.as_str().starts_with(self.settled[*other].path.as_str()));
            let folders: Vec<usize> =
                above.iter().copied().filter(|other| path.is_below(self.settled[*other].path.as_str())).collect();
            let mut stays = true;
            for folder in folders {
                let is_empty = self.settled[folder].entry.as_ref().is_some_and(|it| it.kind == EntryKind::EmptyFolder);
                if !is_empty && !file_wins.contains_key(&folder) {
                    let wins = self.file_wins(folder, look)?;
                    file_wins.insert(folder, wins);
                }
                if file_wins.get(&folder) == Some(&true) {
                    self.drop(at);
                    stays = false;
                    break;
                }
                self.drop(folder);
                above.retain(|other| *other != folder);
            }
            if stays {
                above.push(at);
            }
        }
        Ok(())
    }

    fn drop(&mut self, at: usize) {
        let settled = &mut self.settled[at];
        (settled.entry, settled.is_edit) = (None, true);
    }

    /// Whether the file stays and what is below its path goes, rather than the other way round.
    fn file_wins(&mut self, at: usize, look: &impl Look) -> Result<bool> {
        let path = self.settled[at].path.clone();
        let values = look.values_at(path.as_str())?;
        let mut sides = Vec::with_capacity(self.heads.len());
        for head in 0..self.heads.len() {
            let folder = look.has_folder(head, path.as_str())?;
            let did = match did(look.lineage_at(path.as_str()), &values, head) {
                Did::Unchanged if folder => Did::Added,
                Did::Deleted if folder => Did::Changed,
                did => did,
            };
            sides.push(Side { did, entry: values[head].clone(), folder });
        }
        let standing: Vec<usize> = (0..sides.len())
            .filter(|head| sides[*head].folder || sides[*head].entry == self.settled[at].entry)
            .collect();
        let choice = self.choices.at(&path);
        let holder = sides.iter().position(|side| side.entry == self.settled[at].entry);
        let wins = match self.pick(choice, &standing) {
            Some(head) => sides[head].entry.is_some(),
            None => false,
        };
        if let (Choice::Both | Choice::Fail, Some(entry), Some(head)) = (choice, self.settled[at].entry.clone(), holder)
        {
            self.aside.push(Aside { path: path.clone(), head, entry, is_open: choice == Choice::Fail });
        }
        self.conflicts.retain(|conflict| conflict.path != path);
        self.conflicts.push(Conflict { path, sides, file_and_folder: true, choice });
        Ok(wins)
    }

    /// `dir/name.WORD.ext`, or with a number behind the word where that is taken.
    fn free_name(&self, path: &RepoPath, head: usize, look: &impl Look) -> Result<RepoPath> {
        for number in 1u32.. {
            let free = name_beside(path, &self.heads[head].word, number)
                .map_err(|fault| Error::conflict(format!("there is no name for a second {path}")).because(fault))?;
            if !self.is_taken(&free, look)? {
                return Ok(free);
            }
        }
        Err(Error::conflict(format!("there is no name for a second {path}")))
    }

    /// Whether the merged version, or any head, has something at or below the path.
    fn is_taken(&self, path: &RepoPath, look: &impl Look) -> Result<bool> {
        let at = self.settled.partition_point(|settled| settled.path < *path);
        if self.settled.get(at).is_some_and(|settled| settled.path == *path)
            || look.values_at(path.as_str())?[..self.heads.len()].iter().any(Option::is_some)
        {
            return Ok(true);
        }
        for head in 0..self.heads.len() {
            if look.has_folder(head, path.as_str())? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The name by which what the head of this name has at `path` stands beside it: the first, or a later one where that was taken.
pub fn name_beside(path: &RepoPath, word: &str, number: u32) -> Result<RepoPath> {
    let word = word.replace('/', "-");
    let name = path.file_name();
    let (stem, ending) = match name.rfind('.').filter(|at| *at > 0) {
        Some(at) => name.split_at(at),
        None => (name, ""),
    };
    let folder = path.parent().map(|parent| format!("{parent}/")).unwrap_or_default();
    let count = if number == 1 { String::new() } else { format!("-{number}") };
    RepoPath::new(format!("{folder}{stem}.{word}{count}{ending}"))
}

/// The path beside which `path` may have been put for a head of this name: it without `.WORD`, or `.WORD-n`, before its ending.
pub fn word_beside(path: &RepoPath, word: &str) -> Option<RepoPath> {
    let word = word.replace('/', "-");
    let name = path.file_name();
    let without = |mark: &str| {
        let at = name.rfind(mark)?;
        let rest = &name[at + mark.len()..];
        let number = rest.strip_prefix('-').map_or(0, |rest| 1 + rest.bytes().take_while(u8::is_ascii_digit).count());
        let ending = &rest[number..];
        let is_ending = ending.is_empty() || ending.starts_with('.') && !ending[1..].contains('.');
        is_ending.then(|| format!("{}{ending}", &name[..at]))
    };
    let folder = path.parent().map(|parent| format!("{parent}/")).unwrap_or_default();
    RepoPath::new(format!("{folder}{}", without(&format!(".{word}"))?)).ok()
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
