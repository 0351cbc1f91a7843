use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::base::Id;
use crate::format::manifest::FolderGuard;
use crate::tree::diff::Change;
use crate::tree::merge::Joined;

type Tree = BTreeMap<RepoPath, Entry>;

/// Heads, then the version that all of them came from.
#[derive(Debug)]
struct Trees(Vec<Tree>);

impl Look for (&Trees, &Lineage) {
    fn lineage_at(&self, _: &str) -> &Lineage {
        self.1
    }

    fn values_at(&self, path: &str) -> Result<Vec<Option<Entry>>> {
        Ok(self.0.0.iter().map(|tree| tree.get(path).cloned()).collect())
    }

    fn has_folder(&self, head: usize, path: &str) -> Result<bool> {
        Ok(self.0.0[head].keys().any(|other| other.is_below(path)))
    }
}

fn changes(from: &Tree, to: &Tree) -> Vec<Result<Change>> {
    let paths: BTreeSet<&RepoPath> = from.keys().chain(to.keys()).collect();
    let change =
        |path: &RepoPath| Change { path: path.clone(), before: from.get(path).cloned(), after: to.get(path).cloned() };
    paths.into_iter().map(change).filter(|change| change.before != change.after).map(Ok).collect()
}

impl Trees {
    fn plan(&self, choice: Choice) -> Plan {
        let heads = self.0.len() - 1;
        let pairs = (0..heads).flat_map(|a| (a + 1..heads).map(move |b| ((a, b), vec![heads])));
        let lineage = Lineage { heads, near: heads + 1, bases: pairs.collect(), silent: Vec::new() };
        let words: Vec<Head> = (0..heads).map(|head| Head { word: format!("h{head}"), time: head as i64 }).collect();
        let choices = Choices { exactly: HashMap::new(), by_path: Vec::new(), otherwise: choice };
        let mut planner = Planner::new(&words, &choices);
        let found: Vec<_> = self.0[1..].iter().map(|other| changes(&self.0[0], other).into_iter()).collect();
        for joined in Joined::new(found) {
            let (path, values) = joined.expect("no reading, no error");
            planner.take(&lineage, path, &values, &Apart::new());
        }
        planner.finish(&(self, &lineage)).expect("names are short")
    }

    fn merged(&self, choice: Choice) -> Tree {
        let mut merged = self.0[0].clone();
        for (path, entry) in self.plan(choice).edits {
            match entry {
                Some(entry) => drop(merged.insert(path, entry)),
                None => drop(merged.remove(&path)),
            }
        }
        merged
    }
}

fn path(text: &str) -> RepoPath {
    RepoPath::new(text).expect("a good path")
}

fn file(content: u8) -> Entry {
    Entry::plain(EntryKind::File { size: 1, content: Id([content; 32]), executable: false })
}

fn tree(entries: &[(&str, u8)]) -> Tree {
    entries.iter().map(|(text, content)| (path(text), file(*content))).collect()
}

fn is_tree(tree: &Tree) -> bool {
    let mut guard = FolderGuard::default();
    tree.keys().all(|path| guard.next(path).is_ok())
}

const PATHS: &[&str] = &["a", "a-", "a/b", "a/b/c", "a/d", "a.h0", "e", "e/f"];

/// Few paths, so that they meet: files of two contents and empty folders.
fn any_tree() -> impl Strategy<Value = Tree> {
    let entry = prop_oneof![(0..2u8).prop_map(file), Just(Entry::plain(EntryKind::EmptyFolder))];
    proptest::collection::vec((proptest::sample::select(PATHS), entry), 0..6).prop_map(|entries| {
        let mut tree = Tree::new();
        for (text, entry) in entries {
            tree.insert(path(text), entry);
            if !is_tree(&tree) {
                tree.remove(text);
            }
        }
        tree
    })
}

fn any_trees() -> impl Strategy<Value = Trees> {
    proptest::collection::vec(any_tree(), 3..5).prop_map(Trees)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whoever_wins_the_outcome_is_a_tree(trees in any_trees()) {
        for choice in
            [Choice::Fail, Choice::ByHand, Choice::First, Choice::Last, Choice::Newest, Choice::Both, Choice::Head(1)]
        {
            prop_assert!(is_tree(&trees.merged(choice)), "{:?}: {:?}", choice, trees.merged(choice));
        }
    }

    #[test]
    fn what_one_side_did_is_what_its_difference_does(base in any_tree(), one in any_tree(), untouched in 1..3usize) {
        let mut all = vec![base.clone(); untouched];
        all.push(one.clone());
        all.push(base);
        let trees = Trees(all);
        prop_assert!(trees.plan(Choice::Fail).conflicts.is_empty());
        prop_assert_eq!(trees.merged(Choice::Fail), one);
    }

    #[test]
    fn without_a_rule_of_order_the_order_plays_no_part(trees in any_trees()) {
        let heads = trees.0.len() - 1;
        let turned = Trees(trees.0[..heads].iter().rev().chain(&trees.0[heads..]).cloned().collect());
        let paths = |plan: Plan| plan.conflicts.into_iter().map(|it| (it.path, it.file_and_folder)).collect::<Vec<_>>();
        let (there, back) = (paths(trees.plan(Choice::Fail)), paths(turned.plan(Choice::Fail)));
        if there.is_empty() {
            prop_assert_eq!(trees.merged(Choice::Fail), turned.merged(Choice::Fail));
        }
        prop_assert_eq!(there.is_empty(), back.is_empty());
    }

    #[test]
    fn what_stays_open_is_laid_out_whole_and_each_path_beside_is_told(trees in any_trees()) {
        let plan = trees.plan(Choice::Fail);
        let laid = trees.merged(Choice::Fail);
        for (beside, path) in &plan.beside {
            prop_assert!(plan.conflicts.iter().any(|conflict| conflict.path == *path), "{} of {}", beside, path);
            prop_assert!(laid.contains_key(beside));
        }
        for conflict in plan.conflicts.iter().filter(|conflict| !conflict.file_and_folder) {
            let beside = plan.beside.iter().filter(|(_, path)| *path == conflict.path).map(|(beside, _)| &laid[beside]);
            let laid: Vec<&Entry> = beside.chain(laid.get(&conflict.path)).collect();
            let changed = conflict.sides.iter().filter(|side| !matches!(side.did, Did::Unchanged | Did::Deleted));
            let has_folder = trees.0.iter().any(|tree| tree.keys().any(|path| path.is_below(conflict.path.as_str())));
            prop_assert!(has_folder || changed.filter_map(|side| side.entry.as_ref()).all(|entry| laid.contains(&entry)));
        }
    }

    #[test]
    fn both_keeps_every_content_that_a_head_put_there(trees in any_trees()) {
        let (base, heads) = trees.0.split_last().expect("three at least");
        let contents = |tree: &Tree| tree.values().filter(|it| it.is_file()).map(Entry::encode).collect::<BTreeSet<_>>();
        let kept = contents(&trees.merged(Choice::Both));
        for head in heads {
            let put = changes(base, head).into_iter().filter_map(|change| change.expect("no error").after);
            for entry in put.filter(Entry::is_file) {
                prop_assert!(kept.contains(&entry.encode()), "{:?} of {:?}", entry, head);
            }
        }
    }
}

#[test]
fn a_name_beside_another_is_never_one_that_is_taken() {
    let trees = Trees(vec![
        tree(&[("d/x.txt", 1), ("d/x.h0.txt", 7)]),
        tree(&[("d/x.txt", 2), ("d/x.h0-2.txt/y", 8)]),
        tree(&[]),
    ]);
    let expected = tree(&[("d/x.h0-2.txt/y", 8), ("d/x.h0-3.txt", 1), ("d/x.h0.txt", 7), ("d/x.h1.txt", 2)]);
    assert_eq!(trees.merged(Choice::Both), expected);
}

#[test]
fn a_hidden_file_and_one_without_an_ending_keep_their_beginning() {
    let trees = Trees(vec![tree(&[(".env", 1), ("make", 1)]), tree(&[(".env", 2), ("make", 2)]), tree(&[])]);
    let names: Vec<String> = trees.merged(Choice::Both).keys().map(ToString::to_string).collect();
    assert_eq!(names, [".env.h0", ".env.h1", "make.h0", "make.h1"]);
}
