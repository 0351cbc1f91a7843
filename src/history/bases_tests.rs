use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::format::manifest::{Entry, EntryKind};
use crate::history::fold::tests::{dataset, version, version_row};
use crate::history::fold::{Dataset, VersionState};
use crate::tree::merge::{Apart, Outcome, settle};

/// A store of versions given as (seed, parents).
fn fold(versions: &[(u8, Vec<u8>)]) -> Fold {
    let state = |(seed, parents): &(u8, Vec<u8>)| {
        (version(*seed), VersionState { row: version_row(*seed, parents), record: u64::from(*seed), published: false })
    };
    let one = Dataset { versions: versions.iter().map(state).collect(), ..Dataset::default() };
    Fold { datasets: BTreeMap::from([(dataset(), one)]), ..Fold::default() }
}

fn whole(version: Id) -> Node {
    Node { version, folder: String::new() }
}

fn heads(ids: &[Id]) -> Vec<(Id, Part)> {
    ids.iter().map(|id| (*id, Part::default())).collect()
}

fn merge_bases(fold: &Fold, a: &Id, b: &Id) -> Vec<Id> {
    let bases = Graph { fold, parts: &Parts::new() }.merge_bases(&whole(*a), &whole(*b));
    bases.into_iter().map(|node| node.version).collect()
}

fn outrun(fold: &Fold, ids: &[Id]) -> Vec<bool> {
    Graph { fold, parts: &Parts::new() }.outrun(&heads(ids))
}

/// The versions that a merge is about, none of which is a part, and how they descend from each other.
fn lineage(fold: &Fold, ids: &[Id]) -> (Vec<Id>, Lineage) {
    let mut regions = Graph { fold, parts: &Parts::new() }.regions(&heads(ids));
    assert_eq!(regions.len(), 1);
    let Region { nodes, lineage, .. } = regions.remove(0);
    (nodes.into_iter().flatten().map(|node| node.version).collect(), lineage)
}

fn seeds(ids: &[Id]) -> Vec<u8> {
    ids.iter().map(|id| id.0[0]).collect()
}

#[test]
fn bases_are_the_common_ancestors_that_no_other_came_from() {
    let ladder = [(1, vec![]), (2, vec![1]), (3, vec![1]), (4, vec![2, 3]), (5, vec![3, 2]), (6, vec![4]), (9, vec![])];
    let fold = fold(&ladder);
    let bases = |a, b| seeds(&merge_bases(&fold, &version(a), &version(b)));
    assert_eq!(bases(2, 3), [1]);
    assert_eq!(bases(4, 5), [2, 3], "they criss-cross");
    assert_eq!(bases(6, 5), [2, 3]);
    assert_eq!(bases(6, 4), [4], "an ancestor is what both came from");
    assert_eq!(bases(6, 9), [0u8; 0], "nothing is shared");
    assert_eq!(outrun(&fold, &[6, 2, 9].map(version)), [false, true, false]);
}

#[test]
fn a_lineage_numbers_the_heads_first_and_then_what_they_came_from() {
    let fold = fold(&[(1, vec![]), (2, vec![1]), (3, vec![1]), (4, vec![2, 3]), (5, vec![2, 3])]);
    let (versions, lineage) = lineage(&fold, &[5, 4].map(version));
    assert_eq!(seeds(&versions), [5, 4, 2, 3, 1]);
    assert_eq!((lineage.heads, lineage.near), (2, 4));
    assert_eq!(lineage.bases, HashMap::from([((0, 1), vec![2, 3]), ((2, 3), vec![4])]));
}

/// A history of one path, in which each change has a content of its own.
#[derive(Default)]
struct History {
    versions: Vec<(u8, Vec<u8>)>,
    values: Vec<Option<Entry>>,
    /// The contents that each version or its ancestors had, and those of them that were changed or deleted by hand.
    seen: Vec<BTreeSet<Id>>,
    removed: Vec<BTreeSet<Id>>,
}

fn file(content: Id) -> Entry {
    Entry::plain(EntryKind::File { size: 1, content, executable: false })
}

fn content(entry: &Option<Entry>) -> Option<Id> {
    entry.as_ref().map(|entry| match &entry.kind {
        EntryKind::File { content, .. } => *content,
        kind => panic!("a history has files, not {kind:?}"),
    })
}

/// What the next version is made of: parents by number, and what is done by hand.
type Step = (Vec<prop::sample::Index>, Hand);

#[derive(Debug, Clone, Copy)]
enum Hand {
    Nothing,
    Change,
    Delete,
}

impl History {
    fn of(steps: &[Step]) -> History {
        let mut history = History::default();
        for (parents, hand) in steps {
            history.add(parents, *hand);
        }
        history
    }

    fn choose(&self, picks: &[prop::sample::Index]) -> Vec<usize> {
        let chosen: BTreeSet<usize> = picks.iter().map(|pick| pick.index(self.versions.len())).collect();
        chosen.into_iter().collect()
    }

    fn settle(&self, heads: &[usize]) -> Outcome {
        let ids: Vec<Id> = heads.iter().map(|head| version(self.versions[*head].0)).collect();
        let (versions, lineage) = lineage(&fold(&self.versions), &ids);
        let values: Vec<_> = versions.iter().map(|id| self.values[usize::from(id.0[0]) - 1].clone()).collect();
        settle(&lineage, &values, &Apart::new())
    }

    /// What the heads know of, and nobody among them or before them has changed or deleted.
    fn alive(&self, heads: &[usize]) -> BTreeSet<Id> {
        let all = |sets: &[BTreeSet<Id>]| heads.iter().flat_map(|head| sets[*head].clone()).collect::<BTreeSet<Id>>();
        all(&self.seen).difference(&all(&self.removed)).copied().collect()
    }

    fn add(&mut self, picks: &[prop::sample::Index], hand: Hand) {
        let number = self.versions.len();
        let parents = if number == 0 { Vec::new() } else { self.choose(picks) };
        let outcome = if parents.is_empty() { Outcome::Settled(None) } else { self.settle(&parents) };
        let all =
            |sets: &[BTreeSet<Id>]| parents.iter().flat_map(|parent| sets[*parent].clone()).collect::<BTreeSet<Id>>();
        let (mut seen, mut removed) = (all(&self.seen), all(&self.removed));
        let fresh = Id([100 + number as u8; 32]);
        let value = match (outcome, hand) {
            (Outcome::Settled(value), Hand::Nothing) => value,
            // A person who resolves a conflict changes or deletes what was fought over.
            (Outcome::Open(_), Hand::Nothing) | (_, Hand::Change) => Some(file(fresh)),
            (_, Hand::Delete) => None,
        };
        if content(&value) == Some(fresh) || value.is_none() {
            removed.extend(seen.iter().copied());
        }
        seen.extend(content(&value));
        let seed = |number: usize| number as u8 + 1;
        self.versions.push((seed(number), parents.iter().map(|parent| seed(*parent)).collect()));
        self.values.push(value);
        self.seen.push(seen);
        self.removed.push(removed);
    }
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let hand = prop_oneof![Just(Hand::Nothing), Just(Hand::Change), Just(Hand::Delete)];
    proptest::collection::vec((proptest::collection::vec(any::<prop::sample::Index>(), 0..4), hand), 2..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn what_was_deleted_stays_deleted_and_no_change_is_lost(
        steps in any_steps(), picks in proptest::collection::vec(any::<prop::sample::Index>(), 2..5))
    {
        let history = History::of(&steps);
        let heads = history.choose(&picks);
        let alive = history.alive(&heads);
        if let Outcome::Settled(value) = history.settle(&heads) {
            prop_assert_eq!(content(&value).into_iter().collect::<BTreeSet<Id>>(), alive);
        }
    }

    #[test]
    fn the_order_of_the_heads_plays_no_part(
        steps in any_steps(), picks in proptest::collection::vec(any::<prop::sample::Index>(), 2..5))
    {
        let history = History::of(&steps);
        let heads = history.choose(&picks);
        let turned: Vec<usize> = heads.iter().rev().copied().collect();
        let sorted = |outcome: Outcome, heads: &[usize]| match outcome {
            Outcome::Settled(value) => (Some(value), BTreeSet::new()),
            Outcome::Open(standing) => (None, standing.iter().map(|at| heads[*at]).collect::<BTreeSet<usize>>()),
        };
        prop_assert_eq!(sorted(history.settle(&heads), &heads), sorted(history.settle(&turned), &turned));
    }

    #[test]
    fn with_an_ancestor_a_version_comes_to_itself(steps in any_steps(), pick in any::<prop::sample::Index>()) {
        let history = History::of(&steps);
        let last = history.versions.len() - 1;
        let fold = fold(&history.versions);
        let above = |at: &usize| reaches(&fold, &version(last as u8 + 1), &version(*at as u8 + 1));
        let ancestors: Vec<usize> = (0..last).filter(above).collect();
        // Half of the histories end with a version that came from nothing.
        if ancestors.is_empty() {
            return Ok(());
        }
        let other = *pick.get(&ancestors);
        prop_assert_eq!(history.settle(&[last, other]), Outcome::Settled(history.values[last].clone()));
        prop_assert_eq!(outrun(&fold, &[last, other].map(|at| version(at as u8 + 1))), [false, true]);
    }

    #[test]
    fn bases_are_as_they_are_defined(steps in any_steps(), picks in any::<[prop::sample::Index; 2]>()) {
        let history = History::of(&steps);
        let fold = fold(&history.versions);
        let [a, b] = picks.map(|pick| version(pick.index(history.versions.len()) as u8 + 1));
        let common: Vec<Id> = (0..history.versions.len())
            .map(|at| version(at as u8 + 1))
            .filter(|id| reaches(&fold, &a, id) && reaches(&fold, &b, id))
            .collect();
        let is_best = |id: &&Id| !common.iter().any(|other| other != *id && reaches(&fold, other, id));
        prop_assert_eq!(merge_bases(&fold, &a, &b), common.iter().filter(is_best).copied().collect::<Vec<_>>());
    }
}

/// (version, parents, content or none) of one path.
type Told = (u8, &'static [u8], Option<u8>);

fn outcome(told: &[Told], heads: &[u8]) -> Outcome {
    let versions: Vec<(u8, Vec<u8>)> = told.iter().map(|(seed, parents, _)| (*seed, parents.to_vec())).collect();
    let ids: Vec<Id> = heads.iter().map(|seed| version(*seed)).collect();
    let (versions, lineage) = lineage(&fold(&versions), &ids);
    let value =
        |id: &Id| told.iter().find(|told| told.0 == id.0[0]).and_then(|told| told.2).map(|it| file(Id([it; 32])));
    settle(&lineage, &versions.iter().map(value).collect::<Vec<_>>(), &Apart::new())
}

#[test]
fn criss_cross_histories_have_one_answer() {
    // 3 added a file, 4 and 5 are merges of both sides, and 6 and 7 go on from there.
    let with = |six: Option<u8>, seven: Option<u8>| {
        let told: [Told; 7] = [
            (1, &[], None),
            (2, &[1], None),
            (3, &[1], Some(1)),
            (4, &[2, 3], Some(1)),
            (5, &[3, 2], Some(1)),
            (6, &[4], six),
            (7, &[5], seven),
        ];
        outcome(&told, &[6, 7])
    };
    let settled = |content: Option<u8>| Outcome::Settled(content.map(|it| file(Id([it; 32]))));
    assert_eq!(with(None, Some(1)), settled(None), "one deleted it, the other left it alone");
    assert_eq!(with(None, Some(2)), Outcome::Open(vec![0, 1]), "a deletion against a change");
    assert_eq!(with(Some(2), Some(1)), settled(Some(2)));
    assert_eq!(with(Some(2), Some(2)), settled(Some(2)));
}

#[test]
fn where_the_bases_disagree_each_of_their_values_is_an_old_one() {
    // 2 and 3 changed the file differently; 4 took the one, 5 the other.
    let with = |four, five| {
        outcome(
            &[
                (1, &[], Some(1)),
                (2, &[1], Some(2)),
                (3, &[1], Some(3)),
                (4, &[2, 3], Some(four)),
                (5, &[2, 3], Some(five)),
            ],
            &[4, 5],
        )
    };
    assert_eq!(with(2, 3), Outcome::Open(vec![0, 1]));
    assert_eq!(with(2, 9), Outcome::Settled(Some(file(Id([9; 32])))));
    assert_eq!(with(8, 9), Outcome::Open(vec![0, 1]));
}
