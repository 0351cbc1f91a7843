use super::*;
use crate::history::fold::tests::{version, version_row};

/// A dataset of versions given as (seed, record, parents).
fn dataset(versions: &[(u8, u64, &[u8])]) -> Dataset {
    let mut dataset = Dataset::default();
    for (seed, record, parents) in versions {
        let row = version_row(*seed, parents);
        dataset.versions.insert(row.version, VersionState { row, record: *record, published: false });
    }
    dataset
}

fn order(dataset: &Dataset, from: &[u8]) -> Vec<u8> {
    let from: Vec<Id> = from.iter().map(|seed| version(*seed)).collect();
    ancestry(dataset, &from).iter().map(|state| state.row.version.0[0]).collect()
}

#[test]
fn a_merge_stands_before_both_its_sides_and_what_they_share_comes_once() {
    let diamond = dataset(&[(1, 1, &[]), (2, 2, &[1]), (3, 3, &[1]), (4, 4, &[2, 3]), (5, 5, &[3])]);
    assert_eq!(order(&diamond, &[4]), [4, 3, 2, 1]);
    assert_eq!(order(&diamond, &[2]), [2, 1]);
    assert_eq!(order(&diamond, &[5, 4]), [5, 4, 3, 2, 1]);
    assert_eq!(order(&diamond, &[4, 1, 4]), [4, 3, 2, 1], "a start that another reaches");
}

#[test]
fn a_parent_never_comes_before_its_child() {
    // One record adds all, and the parent's clock was ahead.
    assert_eq!(order(&dataset(&[(1, 7, &[]), (2, 7, &[9]), (9, 7, &[1])]), &[2]), [2, 9, 1]);
    // The parent was added later than its child.
    assert_eq!(order(&dataset(&[(1, 8, &[]), (2, 3, &[1]), (3, 4, &[2])]), &[3]), [3, 2, 1]);
    // The long way round reaches 1 later than the short one.
    assert_eq!(order(&dataset(&[(1, 9, &[]), (2, 2, &[1]), (3, 3, &[2]), (4, 4, &[1, 3])]), &[4]), [4, 3, 2, 1]);
}

#[test]
fn a_parent_that_is_not_there_is_left_out() {
    let grafted = dataset(&[(2, 2, &[1]), (3, 3, &[2])]);
    assert_eq!(order(&grafted, &[3]), [3, 2]);
    assert_eq!(order(&grafted, &[1]), [0u8; 0]);
    assert!(is_ancestor(&grafted, &version(1), &version(3)), "it is known to be one");
}

#[test]
fn ancestors() {
    let diamond = dataset(&[(1, 1, &[]), (2, 2, &[1]), (3, 3, &[1]), (4, 4, &[2, 3])]);
    let above = |ancestor, of| is_ancestor(&diamond, &version(ancestor), &version(of));
    assert!(above(1, 4) && above(3, 4) && above(4, 4));
    assert!(!above(4, 1) && !above(2, 3));
}
