use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::base::{BranchName, ObjectName, RefName, Time};
use crate::format::operation::{Operation, VersionRow};
use crate::format::place::{Encoding, FramePlace, Place};
use crate::history::fold::{Tag, VersionState};

const NO_GRACE: Grace<'_> = Grace { old: u64::MAX, young: &[], kept: &[] };

fn owner() -> DatasetName {
    DatasetName::new("set").expect("a good name")
}

fn id(number: usize) -> Id {
    Id::of(&number.to_le_bytes())
}

/// Version `number`, which record `number + 1` added.
fn state(number: usize, parents: &[usize], published: bool) -> VersionState {
    let pack = ObjectName { born: 0, random: [0; 16] };
    let frame = FramePlace { pack, offset: 16, stored_bytes: 1, raw_bytes: 1, encoding: Encoding::Raw };
    let place = Place { frame, at: 0, len: 1, hint_len: 0 };
    let row = VersionRow {
        version: id(number),
        manifest: id(number),
        parents: parents.iter().map(|parent| id(*parent)).collect(),
        time: Time(0),
        files: 1,
        bytes: 1,
        stored_bytes: 1,
        version_place: place,
        manifest_place: place,
    };
    VersionState { row, record: number as u64 + 1, published }
}

/// A dataset: each version's parents are older, and all sets are of versions.
#[derive(Debug, Clone)]
struct Drawn {
    parents: Vec<Vec<usize>>,
    heads: BTreeSet<usize>,
    tags: BTreeSet<usize>,
    protected: BTreeSet<usize>,
    names: BTreeSet<usize>,
    published: BTreeSet<usize>,
    used: BTreeSet<usize>,
}

const VERSIONS: usize = 12;

fn any_drawn() -> impl Strategy<Value = Drawn> {
    let some = || btree_set(0..VERSIONS, 0..4);
    let parents = vec(vec(0..VERSIONS, 0..3), VERSIONS);
    (parents, btree_set(0..VERSIONS, 1..4), some(), some(), some(), some(), some()).prop_map(
        |(mut parents, heads, tags, protected, names, published, used)| {
            for (number, parents) in parents.iter_mut().enumerate() {
                parents.retain(|parent| *parent < number);
            }
            Drawn { parents, heads, tags, protected, names, published, used }
        },
    )
}

impl Drawn {
    fn fold(&self, rules: &[(&str, Value)]) -> Fold {
        let mut dataset = Dataset::default();
        for (number, parents) in self.parents.iter().enumerate() {
            dataset.versions.insert(id(number), state(number, parents, self.published.contains(&number)));
        }
        let name = |kind: &str, number: &usize| RefName::new(&format!("{kind}{number}")).expect("a good name");
        for head in &self.heads {
            dataset.branches.insert(BranchName::new(&format!("b{head}")).expect("a good name"), id(*head));
        }
        for (kind, protected, tagged) in [("t", false, &self.tags), ("p", true, &self.protected)] {
            let tags = tagged.iter().map(|at| (name(kind, at), Tag { version: id(*at), protected }));
            dataset.tags.extend(tags);
        }
        dataset.names.extend(self.names.iter().map(|at| (name("n", at), id(*at))));
        dataset.meta.extend(rules.iter().map(|(key, value)| ((None, format!("keep.{key}")), value.clone())));
        Fold { datasets: [(owner(), dataset)].into(), ..Fold::default() }
    }

    fn ids(of: &BTreeSet<usize>) -> HashSet<Id> {
        of.iter().map(|number| id(*number)).collect()
    }

    /// What the rules keep; by `keep.newer`, what came behind record 6.
    fn kept(&self, rules: &[(&str, Value)]) -> HashSet<Id> {
        let fold = self.fold(rules);
        let rules = Rules::of(&owner(), &fold.datasets[&owner()]).expect("good rules");
        let keeping = rules.map(|rules| (owner(), Keeping { old: rules.newer.map(|_| 6), rules }));
        kept_contents(&fold, NO_GRACE, &keeping.into_iter().collect(), &Drawn::ids(&self.used))
    }
}

fn rule(key: &'static str) -> (&'static str, Value) {
    match key {
        "last" => (key, Value::Int(3)),
        "newer" => (key, Value::Text("90d".to_owned())),
        key => (key, Value::Bool(true)),
    }
}

const KEYS: [&str; 6] = RULES;

proptest! {
    #[test]
    fn a_version_keeps_its_content_that_fulfils_one_rule(drawn in any_drawn(), chosen in btree_set(0usize..4, 1..4)) {
        let rules: Vec<_> = chosen.iter().map(|at| rule(KEYS[*at])).collect();
        let each = rules.iter().map(|rule| drawn.kept(std::slice::from_ref(rule)));
        let by_one: HashSet<Id> = each.flatten().collect();
        prop_assert_eq!(drawn.kept(&rules), by_one, "rules together keep what each keeps");
    }

    #[test]
    fn what_is_never_let_go_is_kept_by_any_rule(drawn in any_drawn(), key in 0usize..6) {
        let kept = drawn.kept(&[rule(KEYS[key])]);
        for always in [&drawn.heads, &drawn.protected, &drawn.published, &drawn.used] {
            prop_assert!(Drawn::ids(always).is_subset(&kept), "{:?} by {}", always, KEYS[key]);
        }
        let by_rule = match KEYS[key] {
            "tagged" => Drawn::ids(&drawn.tags),
            "named" => Drawn::ids(&drawn.names),
            "newer" => (6..VERSIONS).map(id).collect(),
            _ => HashSet::new(),
        };
        prop_assert!(by_rule.is_subset(&kept));
    }

    #[test]
    fn the_last_of_a_branch_are_its_first_parents(drawn in any_drawn(), most in 1i64..6) {
        let others = [("used", Value::Bool(false)), ("published", Value::Bool(false))];
        let rules: Vec<_> = [("last", Value::Int(most))].into_iter().chain(others).collect();
        let mut wanted = Drawn::ids(&drawn.protected);
        for head in &drawn.heads {
            let mut next = Some(*head);
            for _ in 0..most {
                let Some(at) = next else { break };
                wanted.insert(id(at));
                next = drawn.parents[at].first().copied();
            }
        }
        prop_assert_eq!(drawn.kept(&rules), wanted);
    }
}

fn drawn() -> Drawn {
    let parents = (0..VERSIONS).map(|number| number.checked_sub(1).into_iter().collect()).collect();
    let none = BTreeSet::new;
    let (tags, names, used) = (none(), none(), none());
    Drawn { parents, heads: [11].into(), tags, protected: none(), names, published: [2].into(), used }
}

#[test]
fn without_a_rule_all_is_kept() {
    let none = [("last", Value::Null), ("tagged", Value::Bool(false)), ("published", Value::Bool(false))];
    let defaults = [("published", Value::Bool(true)), ("used", Value::Bool(true))];
    for rules in [&none[..0], &none[..1], &none[..], &defaults[..1], &defaults[1..], &defaults[..]] {
        assert_eq!(drawn().kept(rules).len(), VERSIONS, "{rules:?}");
    }
    assert_eq!(drawn().kept(&[rule("tagged")]), [id(11), id(2)].into(), "the head, and what is published");
}

#[test]
fn the_grace_period_keeps_what_it_saw() {
    let fold = drawn().fold(&[rule("tagged")]);
    let rules = Rules::of(&owner(), &fold.datasets[&owner()]).expect("good rules").expect("some");
    let keeping = [(owner(), Keeping { rules, old: None })].into();
    let moved = Operation::SetBranch {
        dataset: owner(),
        branch: BranchName::new("b").expect("a good name"),
        old: Some(id(5)),
        new: Some(id(6)),
    };
    let core = crate::format::record::RecordCore {
        number: 10,
        before: Id::ZERO,
        nonce: [0; 16],
        actor: String::new(),
        time: Time(0),
        fold_rule: 1,
        context: Attrs::default(),
        operations: vec![moved],
    };
    let grace = Grace { old: 10, young: &[core], kept: &[id(0)] };
    let kept = kept_contents(&fold, grace, &keeping, &HashSet::new());
    // At work on; published; left by a branch; added by records behind 10; and the head.
    assert_eq!(kept, [0, 2, 5, 10, 11].map(id).into());
}

#[test]
fn what_is_no_rule_lets_nothing_go() {
    for (key, value) in [
        ("last", Value::Int(0)),
        ("last", Value::Text("3".to_owned())),
        ("newer", Value::Text("soon".to_owned())),
        ("tagged", Value::Text("yes".to_owned())),
        ("lats", Value::Int(3)),
    ] {
        let fold = drawn().fold(&[(key, value.clone()), rule("named")]);
        assert!(Rules::of(&owner(), &fold.datasets[&owner()]).is_err(), "{key}");
        let values = Attrs([(format!("keep.{key}"), value)].into());
        assert!(Rules::check(&values).is_err(), "{key}");
    }
    for near in ["keep_last", "Keep.last", "keep-last", "keepLast", "keep", "KEEP.lats"] {
        assert!(Rules::check(&Attrs([(near.to_owned(), Value::Int(3))].into())).is_err(), "{near}");
    }
    let others = Attrs([("keeper".to_owned(), Value::Int(0)), ("kept".to_owned(), Value::Null)].into());
    assert!(Rules::check(&others).is_ok());
}
