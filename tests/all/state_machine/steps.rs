//! What may happen next, in the world and in the model.

use std::fs;
use std::path::Path;

use dagset::base::{Id, Kind};
use dagset::engine::{
    Attrs, CloneOptions, CommitOptions, Engine, GcOptions, MergeOptions, MergeReport, PushOptions, RefExpr,
    SquashOptions, Value,
};

use crate::stage::{noise, whole_text};
use crate::world::at_once;

use super::model::{Files, Version, merged};
use super::{FAR, PATHS, Person, Play, address, assert_conflict, files_in};

/// The steps, each as often as it stands here.
pub const NAMES: [&str; 33] = [
    "write", "write", "write", "write", "edit", "delete", "rename", "commit", "commit", "commit", "commit", "branch",
    "switch", "switch", "merge", "merge", "tag", "name", "push", "push", "push", "fetch", "pull", "pull", "squash",
    "revert", "undo", "gc", "gc", "dry-gc", "clone", "reopen", "keep",
];

impl Play {
    pub fn step(&mut self, who: usize) {
        let name = NAMES[self.dice.below(NAMES.len())];
        let told = format!("{} {name}", self.people[who].folder);
        self.tell(told);
        match name {
            "write" => self.write(who),
            "edit" => self.edit(who),
            "delete" => self.delete(who),
            "rename" => self.rename(who),
            "commit" => self.commit(who),
            "branch" => self.branch(who),
            "switch" => self.switch(who),
            "merge" => self.merge(who),
            "tag" => self.tag(who),
            "name" => self.name(who),
            "push" => self.push(who),
            "fetch" => self.fetch(who),
            "pull" => self.pull(who),
            "squash" => self.squash(who),
            "revert" => self.revert(who),
            "undo" => self.undo(who),
            "gc" => self.collect(who, false),
            "dry-gc" => self.collect(who, true),
            "keep" => self.keep(who),
            "clone" => self.clone_far(),
            "reopen" => drop(fs::remove_dir_all(self.world.kept())),
            other => unreachable!("{other}"),
        }
    }

    fn engine(&self, who: usize) -> Engine {
        self.world.engine(self.people[who].folder)
    }

    fn detail(&mut self, text: String) {
        if let Some(last) = self.told.last_mut() {
            *last = format!("{last} {text}");
        }
    }

    fn put(&mut self, who: usize, path: &str, bytes: Vec<u8>) {
        self.world.write(&format!("{}/{path}", self.people[who].folder), &bytes);
        self.people[who].files.insert(path.to_owned(), bytes);
    }

    /// Takes a file out of the folder, and the folders that are empty then: an empty folder is an entry of its own.
    fn take_away(&mut self, who: usize, path: &str) -> Vec<u8> {
        let root = self.world.path(self.people[who].folder);
        fs::remove_file(root.join(path)).expect("is there");
        for folder in Path::new(path).ancestors().skip(1).filter(|folder| *folder != Path::new("")) {
            fs::remove_dir(root.join(folder)).ok();
        }
        self.people[who].files.remove(path).expect("is in the model")
    }

    fn write(&mut self, who: usize) {
        let path = PATHS[self.dice.below(PATHS.len())];
        // Few contents, so that the same is made twice and comes back; at times one of several chunks.
        let (seed, len) = (self.dice.below(6) as u64, [0, 10, 10, 700, 3_000][self.dice.below(5)]);
        let len = if path == "big" { 150_000 + 40_000 * self.dice.below(3) } else { len };
        self.detail(format!("{path} {seed} {len}"));
        self.put(who, path, noise(seed, len));
    }

    fn edit(&mut self, who: usize) {
        let Some((path, mut bytes)) = self.dice.one_of(self.people[who].files.clone()) else { return };
        let at = self.dice.below(bytes.len());
        bytes.splice(at..at, noise(self.dice.below(9) as u64, 5));
        self.detail(format!("{path} at {at}"));
        self.put(who, &path, bytes);
    }

    fn delete(&mut self, who: usize) {
        let Some(path) = self.dice.one_of(self.people[who].files.keys().cloned()) else { return };
        self.detail(path.clone());
        self.take_away(who, &path);
    }

    fn rename(&mut self, who: usize) {
        let Some(from) = self.dice.one_of(self.people[who].files.keys().cloned()) else { return };
        let to = PATHS[self.dice.below(PATHS.len())];
        if self.people[who].files.contains_key(to) {
            return;
        }
        self.detail(format!("{from} to {to}"));
        match self.dice.below(2) {
            0 => {
                let bytes = self.take_away(who, &from);
                self.put(who, to, bytes);
            }
            _ => {
                let renamed = self.engine(who).rename(Path::new(&from), Path::new(to));
                renamed.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
                let bytes = self.people[who].files.remove(&from).expect("is in the model");
                self.people[who].files.insert(to.to_owned(), bytes);
                // What is left of a folder would be an entry.
                let root = self.world.path(self.people[who].folder);
                for folder in ["d", "e/f", "e"] {
                    fs::remove_dir(root.join(folder)).ok();
                }
            }
        }
    }

    fn is_clean(&self, who: usize) -> bool {
        let person = &self.people[who];
        person.base.map_or(person.files.is_empty(), |base| self.versions.get(&base).files == person.files)
    }

    /// The head of the branch that a workspace is on.
    fn head(&self, who: usize) -> Option<Id> {
        let person = &self.people[who];
        person.refs.branches.get(&person.branch).copied()
    }

    /// What the person's branch became by the newest record.
    fn made(&mut self, who: usize, id: Id, version: Option<Version>) {
        if let Some(version) = version {
            self.versions.add(id, version);
        }
        let person = &mut self.people[who];
        person.undoable = Some(person.refs.clone());
        person.refs.branches.insert(person.branch.clone(), id);
        person.base = Some(id);
    }

    fn commit(&mut self, who: usize) {
        let options =
            CommitOptions { all: true, message: format!("step {}", self.told.len()), ..CommitOptions::default() };
        let (base, head) = (self.people[who].base, self.head(who));
        let outcome = self.engine(who).commit(&options);
        if base.is_none() && self.people[who].files.is_empty() {
            // Nothing that a first version could hold.
            return assert!(outcome.is_ok_and(|made| !made.changed));
        }
        if base != head && !self.is_clean(who) {
            return assert_conflict(outcome, "a commit on a branch that moved");
        }
        let made = outcome.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        assert_eq!(made.changed, !self.is_clean(who));
        if made.changed {
            let files = self.people[who].files.clone();
            let version = Version { files, parents: base.into_iter().collect() };
            self.made(who, made.version.expect("no dry run"), Some(version));
        }
    }

    /// Saves what isn't saved, so that the folder may become something else; whether that could be.
    fn settle(&mut self, who: usize) -> bool {
        if !self.is_clean(who) {
            self.commit(who);
        }
        self.is_clean(who) && self.people[who].base.is_some() && self.people[who].base == self.head(who)
    }

    fn new_name(&mut self, who: usize) -> String {
        self.taken += 1;
        format!("{}-{}", self.people[who].folder, self.taken)
    }

    fn branch(&mut self, who: usize) {
        let Some(base) = self.head(who) else { return };
        let name = ["one", "two", "three"][self.dice.below(3)].to_owned();
        let branch = self.people[who].branch.clone();
        self.detail(name.clone());
        let place = address(&format!("{}//set@{branch}", self.people[who].home));
        let is_there = self.people[who].refs.branches.contains_key(&name);
        if is_there && name != branch && self.dice.below(2) == 0 {
            self.engine(who).delete_branch(&place, &name, true, None).expect("is there");
            let person = &mut self.people[who];
            person.undoable = Some(person.refs.clone());
            person.refs.branches.remove(&name);
            return;
        }
        let outcome = self.engine(who).create_branch(&place, &name);
        if is_there {
            return assert_conflict(outcome, "a branch that is there");
        }
        outcome.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        let person = &mut self.people[who];
        person.undoable = Some(person.refs.clone());
        person.refs.branches.insert(name, base);
    }

    /// To another branch, with or without unsaved changes.
    fn switch(&mut self, who: usize) {
        let own = |name: &&String| !name.starts_with("origin/");
        let Some(branch) = self.dice.one_of(self.people[who].refs.branches.keys().filter(own).cloned()) else { return };
        self.detail(branch.clone());
        let person = &self.people[who];
        let goal_id = person.refs.branches[&branch];
        let goal = self.versions.get(&goal_id).files.clone();
        let before = person.base.map_or(Files::new(), |base| self.versions.get(&base).files.clone());
        let mut outcome = person.files.clone();
        let mut is_in_the_way = false;
        let paths: Vec<String> = before.keys().chain(goal.keys()).cloned().collect();
        for path in paths.into_iter().filter(|path| before.get(path) != goal.get(path)) {
            let (was, is, is_to_be) = (before.get(&path), person.files.get(&path), goal.get(&path));
            is_in_the_way |= is != was && is != is_to_be;
            match is_to_be {
                Some(bytes) => outcome.insert(path, bytes.clone()),
                None => outcome.remove(&path),
            };
        }
        let switched = self.engine(who).switch(&branch);
        if is_in_the_way {
            return assert_conflict(switched, "a switch over what isn't saved");
        }
        switched.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        let person = &mut self.people[who];
        (person.branch, person.base, person.files) = (branch, Some(goal_id), outcome);
    }

    /// The version that the person's folder became; `None` where the dice say that nothing can be merged.
    fn merge(&mut self, who: usize) {
        if !self.settle(who) {
            return;
        }
        let own = self.head(who).expect("is settled");
        let others = self.people[who].refs.branches.clone();
        let Some((branch, other)) = self.dice.one_of(others.into_iter().filter(|(_, id)| *id != own)) else { return };
        self.detail(branch.clone());
        let bases = self.versions.merge_bases(own, other);
        let options = MergeOptions { on_conflict: Some("first".to_owned()), ..MergeOptions::default() };
        if bases.len() > 1 {
            return;
        }
        let engine = self.engine(who);
        let report =
            engine.merge(&[dagset::engine::Address::parse_in_workspace(&branch, None).expect("a branch")], &options);
        let report = report.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        if bases == [other] {
            return assert!(report.published.is_none_or(|published| !published.changed), "it adds nothing");
        }
        let empty = Files::new();
        let (first, second) = (&self.versions.get(&own).files, &self.versions.get(&other).files);
        let base = bases.first().map_or(&empty, |base| &self.versions.get(base).files);
        let files = merged(base, first, second);
        let is_ahead = bases == [own];
        let version = (!is_ahead).then(|| Version { files: files.clone(), parents: vec![own, other] });
        self.became(who, report, version, files, is_ahead.then_some(other));
    }

    fn became(&mut self, who: usize, report: MergeReport, version: Option<Version>, files: Files, id: Option<Id>) {
        assert_eq!(report.unresolved().count(), 0);
        let made = report.published.and_then(|published| published.version).expect("a version");
        assert_eq!(id.unwrap_or(made), made);
        self.made(who, made, version);
        self.people[who].files = files;
    }

    fn revert(&mut self, who: usize) {
        if !self.settle(who) {
            return;
        }
        let head = self.head(who).expect("is settled");
        let has_parents = |id: &Id| !self.versions.get(id).parents.is_empty();
        let past: Vec<Id> = self.versions.history([head]).into_iter().filter(has_parents).collect();
        let Some(undone) = self.dice.one_of(past) else { return };
        self.detail(undone.short());
        let parents = self.versions.get(&undone).parents.clone();
        let parent = (parents.len() > 1).then(|| 1 + self.dice.below(parents.len()));
        let before = parents[parent.unwrap_or(1) - 1];
        let options = MergeOptions { on_conflict: Some("first".to_owned()), ..MergeOptions::default() };
        let version = dagset::engine::Address::parse_in_workspace(&undone.to_string(), None).expect("an id");
        let is_let_go = self.is_let_go(self.people[who].home, &before);
        let report = self.engine(who).revert(&version, parent, &options);
        if is_let_go {
            return assert_conflict(report, "a revert to what was let go");
        }
        let of = |id: &Id| &self.versions.get(id).files;
        let files = merged(of(&undone), of(&head), of(&before));
        if files == *of(&head) {
            // Nothing of it is left to take back: whatever it answers, the branch stays.
            return match report {
                Ok(report) => assert!(report.published.is_none_or(|published| !published.changed)),
                Err(fault) => assert_eq!(fault.kind(), Kind::Conflict, "{}", whole_text(&fault)),
            };
        }
        let report = report.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        self.became(who, report, Some(Version { files: files.clone(), parents: vec![head] }), files, None);
    }

    fn squash(&mut self, who: usize) {
        if !self.settle(who) {
            return;
        }
        let tip = self.head(who).expect("is settled");
        let past: Vec<Id> = self.versions.history([tip]).into_iter().filter(|id| *id != tip).collect();
        let Some(base) = self.dice.one_of(past) else { return };
        self.detail(base.short());
        let name = self.new_name(who);
        let options = SquashOptions {
            base: dagset::engine::Address::parse_in_workspace(&base.to_string(), None).expect("an id"),
            tip: RefExpr::parse(&tip.to_string()).expect("an id"),
            name: name.clone(),
            message: None,
            reason: None,
            dry_run: false,
        };
        let squashed = self.engine(who).squash(&options).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        let made = squashed.version.expect("no dry run");
        let parents: Vec<Id> = [base].into_iter().chain(squashed.merged.iter().map(|point| point.version)).collect();
        let files = self.versions.get(&tip).files.clone();
        self.versions.add(made, Version { files, parents });
        let person = &mut self.people[who];
        person.undoable = Some(person.refs.clone());
        let own = |(name, id): &(&String, &mut Id)| **id == tip && !name.starts_with("origin/");
        person.refs.branches.iter_mut().filter(own).for_each(|(_, id)| *id = made);
        person.refs.names.insert(name, made);
        person.base = Some(made);
    }

    fn tag(&mut self, who: usize) {
        let Some(head) = self.head(who) else { return };
        let tag = format!("{}-tag-{}", self.people[who].folder, self.dice.below(2));
        let person = &self.people[who];
        let place = address(&format!("{}//set@{}", person.home, person.branch));
        let moved = self.engine(who).set_tag(&place, &tag, None, None);
        let moved = moved.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        let person = &mut self.people[who];
        if moved.before.map(|at| at.version) != Some(head) {
            person.undoable = Some(person.refs.clone());
        }
        person.refs.tags.insert(tag, head);
    }

    fn name(&mut self, who: usize) {
        let Some(head) = self.head(who) else { return };
        let name = self.new_name(who);
        let person = &self.people[who];
        let place = address(&format!("{}//set@{}", person.home, person.branch));
        match self.engine(who).name_version(&place, &name) {
            Ok(_) => {
                let person = &mut self.people[who];
                person.undoable = Some(person.refs.clone());
                person.refs.names.insert(name, head);
            }
            // It may have come from the other person with its name.
            Err(fault) => assert_eq!(fault.kind(), Kind::Conflict, "{}", whole_text(&fault)),
        }
    }

    fn push(&mut self, who: usize) {
        let Some(head) = self.head(who) else { return };
        let branch = self.people[who].branch.clone();
        let there = self.far.branches.get(&branch).copied();
        let stays_away = there != Some(head) && self.is_let_go(FAR, &head);
        let outcome = self.engine(who).push(&PushOptions::default());
        if there.is_some_and(|there| !self.versions.is_ancestor(&there, &head)) {
            // Where this side adds nothing, nothing is sent, or it is said that the branch is behind.
            let adds_nothing = there.is_some_and(|there| self.versions.is_ancestor(&head, &there));
            return if !adds_nothing || outcome.is_err() {
                assert_conflict(outcome, "a push over other versions")
            };
        }
        if stays_away {
            return assert_conflict(outcome, "a push of a branch to where the content of its version was let go");
        }
        outcome.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        self.far.branches.insert(branch.clone(), head);
        let person = &mut self.people[who];
        person.refs.branches.insert(format!("origin/{branch}"), head);
        person.undoable = None;
    }

    /// What a fetch makes of the refs that follow the remote's.
    fn follow(&mut self, who: usize) {
        let person = &mut self.people[who];
        for (branch, id) in &self.far.branches {
            person.refs.branches.insert(format!("origin/{branch}"), *id);
        }
        person.undoable = None;
    }

    fn fetch(&mut self, who: usize) {
        if self.far.branches.is_empty() {
            return;
        }
        self.engine(who).fetch(None).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        self.follow(who);
    }

    fn pull(&mut self, who: usize) {
        if self.far.branches.is_empty() || !self.settle(who) {
            return;
        }
        let (own, branch) = (self.head(who).expect("is settled"), self.people[who].branch.clone());
        let outcome = self.engine(who).pull(None);
        self.follow(who);
        let Some(there) = self.far.branches.get(&branch).copied() else {
            return assert!(outcome.is_err_and(|fault| fault.kind() == Kind::NotFound));
        };
        if self.versions.is_ancestor(&there, &own) {
            return assert!(outcome.is_ok_and(|report| report.new == own));
        }
        if !self.versions.is_ancestor(&own, &there) {
            return assert_conflict(outcome, "a pull where both sides went on");
        }
        outcome.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        let person: &mut Person = &mut self.people[who];
        person.refs.branches.insert(branch, there);
        (person.base, person.files) = (Some(there), self.versions.get(&there).files.clone());
    }

    /// Takes the newest record back, where that is one that moved refs alone; and lets the folder follow.
    fn undo(&mut self, who: usize) {
        if !self.settle(who) {
            return;
        }
        let Some(before) = self.people[who].undoable.take() else { return };
        let now = self.people[who].refs.clone();
        let branch = self.people[who].branch.clone();
        if !before.branches.contains_key(&branch) {
            self.people[who].undoable = Some(before);
            return;
        }
        let place = address(&format!("{}//set", self.people[who].home));
        let undone = self.engine(who).undo(&place, None, None, false);
        undone.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        self.engine(who).switch(&branch).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        let id = before.branches[&branch];
        let person = &mut self.people[who];
        (person.refs, person.undoable) = (before, Some(now));
        (person.base, person.files) = (Some(id), self.versions.get(&id).files.clone());
    }

    /// Collects one of the stores; nothing that a ref or a folder needs goes, and twice in a row all else does.
    fn collect(&mut self, who: usize, dry_run: bool) {
        let store = if self.dice.below(3) == 0 { FAR } else { self.people[who].home };
        self.detail(store.to_owned());
        let place = address(store);
        if dry_run {
            let options = GcOptions { dry_run, ..at_once() };
            self.engine(who).gc(&place, &options).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
            return;
        }
        for _ in 0..2 {
            self.engine(who).gc(&place, &at_once()).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        }
        let third = self.engine(who).gc(&place, &at_once()).expect("collects");
        assert_eq!((third.condemned.packs, third.reclaimed.packs), (0, 0), "two in a row free everything");
        if store != FAR {
            self.people[who].undoable = None;
        }
    }

    /// Other keep rules for a dataset: what no branch is near keeps its content no more.
    fn keep(&mut self, who: usize) {
        let store = if self.dice.below(2) == 0 { FAR } else { self.people[who].home };
        let is_there = if store == FAR { !self.far.branches.is_empty() } else { self.head(who).is_some() };
        if !is_there {
            return;
        }
        let last = 1 + self.dice.below(3) as i64;
        self.detail(format!("{store} {last}"));
        let rules = Attrs([("keep.last".to_owned(), Value::Int(last))].into());
        let set = self.world.engine("").set_metadata(&address(&format!("{store}//set")), &rules);
        set.unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        if store != FAR {
            self.people[who].undoable = None;
        }
    }

    /// Somebody else has the dataset as the remote has it.
    fn clone_far(&mut self) {
        let Some(head) = self.far.branches.get("main").copied() else { return };
        fs::remove_dir_all(self.world.path("cloned")).ok();
        let options = CloneOptions {
            address: format!("{FAR}//set"),
            folder: Some(self.world.path("cloned")),
            no_content: self.dice.below(3) == 0,
        };
        let cloned =
            self.world.engine("").clone_dataset(&options).unwrap_or_else(|fault| panic!("{}", whole_text(&fault)));
        assert_eq!(cloned.version, Some(head));
        let wanted = if options.no_content { Files::new() } else { self.versions.get(&head).files.clone() };
        assert_eq!(files_in(&self.world, "cloned"), wanted);
    }
}
