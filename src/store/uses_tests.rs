//! What finding uses costs, and that recording them is idempotent.

use super::*;
use crate::base::{Counter, DatasetName, Observer};
use crate::format::attrs::Attrs;
use crate::store::backend;
use crate::store::recording::Recording;

fn version(number: u32) -> Id {
    Id::of(&number.to_le_bytes())
}

/// Run 3 of version 2 is "run-2-3", and made the model "even" or "odd".
fn a_use(of: u32, run: u32) -> Use {
    Use {
        version: version(of),
        dataset: DatasetName::new("signs").unwrap(),
        path: None,
        run: format!("run-{of}-{run}"),
        model: Some(["even", "odd"][run as usize % 2].to_owned()),
        system: None,
        url: None,
        actor: "ann".to_owned(),
        time: Time(i64::from(run)),
        meta: Attrs::default(),
        provenance: Attrs::default(),
        more: Attrs::default(),
    }
}

/// So many uses of each of so many versions, and what the store is asked from then on.
fn with_uses(versions: u32, each: u32) -> (Bucket, Vec<Id>, Observer) {
    let (memory, observer) = (backend::memory(), Observer::new());
    for of in 0..versions {
        (0..each).for_each(|run| assert_eq!(record(&memory, &a_use(of, run)).unwrap(), Created::New));
    }
    let bucket = Recording::new(memory, observer.clone()).bucket();
    (bucket, (0..versions).map(version).collect(), observer)
}

fn asked(observer: &Observer) -> (u64, u64) {
    (observer.get(Counter::Lists), observer.get(Counter::Gets))
}

#[test]
fn the_same_again_is_there_already() {
    let bucket = backend::memory();
    assert_eq!(record(&bucket, &a_use(1, 1)).unwrap(), Created::New);
    let later = Use { time: Time(99), actor: "bob".to_owned(), ..a_use(1, 1) };
    assert_eq!(record(&bucket, &later).unwrap(), Created::Exists);
    let found = find(&bucket, &Wanted { versions: &[version(1)], run: None, model: None, most: 9 }, None).unwrap();
    assert_eq!(found.uses, [a_use(1, 1)]);
}

#[test]
fn few_uses_cost_one_list_and_a_get_for_each_that_is_wanted() {
    let (bucket, versions, observer) = with_uses(20, 10);
    let found =
        find(&bucket, &Wanted { versions: &versions, run: Some("run-7-4"), model: None, most: 100 }, None).unwrap();
    assert_eq!(found.uses, [a_use(7, 4)]);
    assert_eq!(asked(&observer), (1, 1));
    let model = Wanted { versions: &versions[..2], run: None, model: Some("odd"), most: 100 };
    let found = find(&bucket, &model, None).unwrap();
    assert_eq!(found.uses.iter().map(|used| used.time.0).collect::<Vec<_>>(), [9, 9, 7, 7, 5, 5, 3, 3, 1, 1]);
    assert_eq!(asked(&observer), (2, 11));
}

#[test]
fn many_uses_cost_a_list_for_each_version_and_no_more_gets_than_asked_for() {
    let (bucket, versions, observer) = with_uses(30, 50);
    let one = Wanted { versions: &versions[3..4], run: None, model: None, most: 5 };
    let found = find(&bucket, &one, None).unwrap();
    assert_eq!((found.uses.len(), found.left_out), (5, 45));
    assert_eq!(asked(&observer), (1, 5), "of one version: its folder");
    let run = Wanted { versions: &versions, run: Some("run-29-49"), model: None, most: 5 };
    assert_eq!(find(&bucket, &run, None).unwrap().uses, [a_use(29, 49)]);
    assert_eq!(asked(&observer), (1 + 2 + 30, 5 + 1));
    let stranger = Wanted { versions: &[version(77), version(78)], run: None, model: None, most: 5 };
    assert!(find(&bucket, &stranger, None).unwrap().uses.is_empty());
    assert_eq!(asked(&observer), (33 + 2, 6), "versions without uses cost nothing");
}

#[test]
fn a_use_under_another_name_is_damage() {
    let bucket = backend::memory();
    let bytes = Bytes::from(a_use(1, 1).encode().unwrap());
    let name = Use { version: version(2), ..a_use(1, 1) }.object_name();
    bucket.create(&name, bytes).unwrap();
    let found = find(&bucket, &Wanted { versions: &[version(2)], run: None, model: None, most: 5 }, None);
    let found = found.unwrap();
    assert!(found.uses.is_empty());
    assert_eq!(found.damaged.iter().map(|fault| fault.kind()).collect::<Vec<_>>(), [Kind::Damaged]);
}

/// Keeps what it is given.
#[derive(Default)]
struct Shelf(std::sync::Mutex<HashMap<String, Vec<u8>>>);

impl Keeper for Shelf {
    fn kept(&self, _: &[String]) -> HashMap<String, Vec<u8>> {
        self.0.lock().unwrap().clone()
    }

    fn keep(&self, read: &[(String, Vec<u8>)]) {
        self.0.lock().unwrap().extend(read.iter().cloned());
    }
}

#[test]
fn of_a_hundred_thousand_uses_those_asked_for_are_read_once() {
    let (bucket, versions, observer) = with_uses(500, 200);
    let shelf = Shelf::default();
    let wanted = |run, model, versions| Wanted { versions, run, model, most: 100 };
    for (asked_for, lists) in [
        (wanted(None, None, &versions[7..8]), 1),
        (wanted(None, Some("odd"), &versions[..]), 2 + 500),
        (wanted(Some("run-499-199"), None, &versions[..]), 2 + 500),
    ] {
        let before = asked(&observer);
        let first = find(&bucket, &asked_for, Some(&shelf)).unwrap();
        let between = asked(&observer);
        assert!(between.0 - before.0 == lists && between.1 - before.1 <= 100, "{before:?} {between:?}");
        assert_eq!(find(&bucket, &asked_for, Some(&shelf)).unwrap().uses, first.uses);
        assert_eq!(asked(&observer), (between.0 + lists, between.1), "what never changes isn't read again");
    }
    let name = a_use(7, 199).object_name();
    shelf.keep(&[(name, b"rotten".to_vec())]);
    let before = asked(&observer).1;
    find(&bucket, &wanted(None, None, &versions[7..8]), Some(&shelf)).unwrap();
    assert_eq!(asked(&observer).1 - before, 1, "what was kept is checked");
}

#[test]
fn uses_are_carried_once_and_no_more_than_are_allowed() {
    let (from, versions, _) = with_uses(3, 10);
    let (to, observer) = (backend::memory(), Observer::new());
    let to = Recording::new(to, observer.clone()).bucket();
    let chosen: HashSet<Id> = versions[..2].iter().copied().collect();
    assert_eq!(carry(&from, &to, &HashSet::from([version(77)]), 15).unwrap(), (0, 0));
    assert_eq!(asked(&observer), (0, 0), "nothing to carry, nothing asked");
    assert_eq!(carry(&from, &to, &chosen, 15).unwrap(), (15, 5));
    assert_eq!(carry(&from, &to, &chosen, 15).unwrap(), (5, 0));
    assert_eq!(carry(&from, &to, &chosen, 15).unwrap(), (0, 0));
    assert_eq!((asked(&observer), observer.get(Counter::Puts)), ((3, 0), 20));
    let found = find(&to, &Wanted { versions: &versions, run: None, model: None, most: 100 }, None).unwrap();
    assert_eq!(found.uses.len(), 20);
}
