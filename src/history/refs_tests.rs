use super::*;
use crate::base::{BranchName, Kind, RefName};
use crate::history::fold::tests::{dataset as name, version, version_row};
use crate::history::fold::{Tag, VersionState};

/// 1 ← 2 ← 4 and 1 ← 3 ← 4; names, tags and branches on them.
fn dataset() -> Fold {
    let mut dataset = Dataset::default();
    let parents: [(u8, &[u8]); 4] = [(1, &[]), (2, &[1]), (3, &[1]), (4, &[2, 3])];
    for (seed, parents) in parents {
        let row = version_row(seed, parents);
        dataset.versions.insert(row.version, VersionState { row, record: seed.into(), published: false });
    }
    let named = |text: &str| RefName::new(text).expect("a good name");
    let branch = |text: &str| BranchName::new(text).expect("a good name");
    dataset.names.insert(named("1.0"), version(1));
    dataset.tags.insert(named("best"), Tag { version: version(2), protected: false });
    dataset.branches.insert(branch("main"), version(4));
    dataset.branches.insert(branch("team/a"), version(3));
    // Like an id's beginning, and a ref all the same.
    dataset.tags.insert(named("01010101"), Tag { version: version(3), protected: false });
    Fold { datasets: [(name(), dataset)].into(), ..Fold::default() }
}

fn resolved(text: &str) -> Result<u8> {
    let reference = RefExpr::parse(text)?;
    resolve(&dataset(), &name(), &reference, DEFAULT_BRANCH).map(|id| id.0[0])
}

fn is(text: &str) -> u8 {
    resolved(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn refused(text: &str) -> Kind {
    resolved(text).expect_err(text).kind()
}

#[test]
fn words() {
    assert_eq!([is("1.0"), is("best"), is("main"), is("team/a")], [1, 2, 4, 3]);
    assert_eq!(is("0202020202"), 2, "an id's first digits");
    assert_eq!(is("01010101"), 3, "refs win over ids");
    assert_eq!(is("010101010"), 1);
    assert_eq!(refused("0202020"), Kind::NotFound);
    assert_eq!(refused("none"), Kind::NotFound);
    assert_eq!(refused("team"), Kind::NotFound);
}

#[test]
fn a_beginning_of_several_ids_is_none() {
    let mut fold = dataset();
    let dataset = fold.datasets.get_mut(&name()).expect("there");
    let mut twin = version_row(2, &[]);
    twin.version.0[31] = 9;
    dataset.versions.insert(twin.version, VersionState { row: twin, record: 9, published: false });
    let resolve = |text: &str| resolve(&fold, &name(), &RefExpr::parse(text)?, DEFAULT_BRANCH);
    assert_eq!(resolve("02020202").expect_err("two").kind(), Kind::Usage);
    assert_eq!(resolve(&"02".repeat(32)).expect("the whole id"), version(2));
}

#[test]
fn steps() {
    assert_eq!([is("main~1"), is("main~"), is("main~2"), is("main~0")], [2, 2, 1, 4]);
    assert_eq!([is("main^"), is("main^1"), is("main^2"), is("main^2~1")], [2, 2, 3, 1]);
    assert_eq!([is("~"), is("^2"), is("^2^")], [2, 3, 1]);
    for beyond in ["main~3", "main^3", "1.0~", "best^2", "~4294967295"] {
        assert_eq!(refused(beyond), Kind::NotFound, "{beyond}");
    }
}
