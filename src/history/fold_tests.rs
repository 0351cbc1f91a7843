use proptest::prelude::*;

use super::*;
use crate::format::attrs::Attrs;
use crate::format::operation::Things;
use crate::format::place::{Encoding, FramePlace, Place};
use crate::format::tombstone::Purged;

pub fn dataset() -> DatasetName {
    DatasetName::new("signs").expect("a good name")
}

fn named(text: &str) -> RefName {
    RefName::new(text).expect("a good name")
}

fn branch(text: &str) -> BranchName {
    BranchName::new(text).expect("a good name")
}

pub fn version(seed: u8) -> Id {
    Id([seed; 32])
}

pub fn version_row(seed: u8, parents: &[u8]) -> VersionRow {
    let pack = ObjectName { born: 1, random: [seed; 16] };
    let frame = FramePlace { pack, offset: 16, stored_bytes: 90, raw_bytes: 90, encoding: Encoding::Raw };
    let place = Place { frame, at: 0, len: 80, hint_len: 10 };
    VersionRow {
        version: version(seed),
        manifest: Id::of(&[seed]),
        parents: parents.iter().map(|parent| version(*parent)).collect(),
        time: Time(i64::from(seed)),
        files: 1,
        bytes: 2,
        stored_bytes: 3,
        version_place: place,
        manifest_place: place,
    }
}

pub fn add(seed: u8, parents: &[u8]) -> Operation {
    Operation::AddVersion { dataset: dataset(), row: Box::new(version_row(seed, parents)) }
}

fn set_branch(text: &str, old: Option<u8>, new: Option<u8>) -> Operation {
    Operation::SetBranch { dataset: dataset(), branch: branch(text), old: old.map(version), new: new.map(version) }
}

fn set_tag(text: &str, old: Option<u8>, new: Option<u8>) -> Operation {
    let (old, new) = (old.map(version), new.map(version));
    Operation::SetTag { dataset: dataset(), tag: named(text), old, new, protected: true }
}

fn take_name(text: &str, seed: u8) -> Operation {
    Operation::TakeName { dataset: dataset(), name: named(text), version: version(seed) }
}

fn set_meta(seed: Option<u8>, value: Option<i64>) -> Operation {
    let (version, value) = (seed.map(version), value.map(Value::Int));
    Operation::SetMetadata { dataset: dataset(), version, key: "k".to_owned(), value }
}

fn publish(seed: u8) -> Operation {
    Operation::Publish { dataset: dataset(), version: version(seed), note: String::new() }
}

fn index(seed: u8, bytes: u64) -> IndexRow {
    let name = ObjectName { born: 0, random: [seed; 16] };
    IndexRow { name, bytes, id: Id([seed; 32]), packs: 1, pack_bytes: 2, meta_bytes: 3 }
}

fn register(seed: u8, bytes: u64) -> Operation {
    Operation::Register { indexes: vec![index(seed, bytes)] }
}

fn replace(removed: &[u8], added: &[u8]) -> Operation {
    Operation::ReplaceIndexes {
        removed: removed.iter().map(|seed| index(*seed, 0).name).collect(),
        added: added.iter().map(|seed| index(*seed, 1)).collect(),
    }
}

fn next(fold: &Fold, operations: Vec<Operation>) -> RecordCore {
    RecordCore {
        number: fold.number + 1,
        before: fold.record,
        nonce: [0; 16],
        actor: "ann".to_owned(),
        time: Time(5),
        fold_rule: FOLD_RULE,
        context: Attrs::default(),
        operations,
    }
}

/// Folds a record of `operations` in; whether it had to have an effect, by `check`, which must leave the fold alone.
fn apply(fold: &mut Fold, operations: Vec<Operation>) -> bool {
    let core = next(fold, operations);
    let before = fold.clone();
    let holds = fold.check(&core).is_ok();
    assert_eq!(*fold, before, "a check changes nothing");
    let record = Id::of(&core.number.to_le_bytes());
    fold.apply(&core, record).expect("known operations");
    assert_eq!((fold.number, fold.record), (core.number, record));
    if !holds {
        assert_eq!(*fold, Fold { number: fold.number, record, ..before }, "a record that doesn't hold has no effect");
    }
    holds
}

/// A store with versions 1 and 2 ← 1, branch `main` at 2, tag `t` and name `n` at 1, index 1.
fn begun() -> Fold {
    let mut fold = Fold::default();
    let created = Operation::StoreCreated { store: [9; 16] };
    let operations = vec![
        created,
        Operation::CreateDataset { dataset: dataset() },
        add(1, &[]),
        add(2, &[1]),
        set_branch("main", None, Some(2)),
        set_tag("t", None, Some(1)),
        take_name("n", 1),
        set_meta(Some(1), Some(1)),
        register(1, 1),
    ];
    assert!(apply(&mut fold, operations));
    fold
}

fn holds(operation: Operation) -> bool {
    apply(&mut begun(), vec![operation])
}

#[test]
fn datasets_and_versions() {
    assert!(!holds(Operation::CreateDataset { dataset: dataset() }));
    assert!(!holds(Operation::StoreCreated { store: [1; 16] }), "the store exists");
    let other = DatasetName::new("other").expect("a good name");
    assert!(!holds(Operation::AddVersion { dataset: other.clone(), row: Box::new(version_row(3, &[])) }));
    assert!(holds(Operation::CreateDataset { dataset: other }));
    assert!(holds(add(3, &[77])), "a parent may be of elsewhere");
    let mut fold = begun();
    assert!(apply(&mut fold, vec![publish(1)]) && apply(&mut fold, vec![add(1, &[2])]));
    let state = &fold.datasets[&dataset()].versions[&version(1)];
    assert!(state.published && state.record == 1 && state.row.parents.is_empty(), "added once");
    assert!(!holds(publish(3)));
}

#[test]
fn branches() {
    assert!(holds(set_branch("main", Some(2), Some(1))) && holds(set_branch("main", Some(2), None)));
    assert!(!holds(set_branch("main", Some(1), Some(2))) && !holds(set_branch("main", None, Some(2))));
    assert!(!holds(set_branch("main", Some(2), Some(3))), "no such version");
    assert!(holds(set_branch("new", None, Some(1))) && !holds(set_branch("new", Some(1), None)));
    assert!(!holds(set_branch("n", None, Some(1))) && !holds(set_branch("t", None, Some(1))), "one namespace");
    assert!(holds(set_branch("n", None, None)), "nothing stays nothing");
}

#[test]
fn tags_and_names() {
    assert!(holds(set_tag("t", Some(1), Some(2))) && holds(set_tag("t", Some(1), None)));
    assert!(!holds(set_tag("t", Some(2), Some(1))) && !holds(set_tag("t", None, Some(1))));
    assert!(!holds(set_tag("main", None, Some(1))) && !holds(set_tag("n", None, Some(1))), "one namespace");
    assert!(holds(set_tag("n", None, None)), "nothing stays nothing");
    assert!(holds(take_name("n", 1)) && !holds(take_name("n", 2)), "a name stays");
    assert!(!holds(take_name("m", 1)), "a version has one name");
    assert!(holds(take_name("m", 2)) && !holds(take_name("main", 2)) && !holds(take_name("t", 2)));
    assert!(!holds(take_name("m", 3)), "no such version");
}

#[test]
fn metadata_and_indexes() {
    assert!(holds(set_meta(Some(1), None)) && holds(set_meta(None, Some(2))) && holds(set_meta(None, None)));
    assert!(!holds(set_meta(Some(3), Some(1))), "no such version");
    assert!(holds(register(1, 1)) && holds(register(2, 7)) && !holds(register(1, 7)), "a name is one object");
    assert!(holds(replace(&[1], &[2, 3])) && holds(replace(&[1], &[1])));
    assert!(!holds(replace(&[2], &[])) && !holds(replace(&[1, 1], &[])));
    let rely = |seed| Operation::Rely(Things { versions: vec![version(seed)], packs: Vec::new() });
    assert!(holds(rely(1)) && !holds(rely(3)));
}

fn other() -> DatasetName {
    DatasetName::new("other").expect("a good name")
}

fn rename(dataset: DatasetName, to: DatasetName) -> Operation {
    Operation::RenameDataset { dataset, to }
}

fn delete() -> Operation {
    Operation::DeleteDataset { dataset: dataset() }
}

fn restore(deletion: u64) -> Operation {
    Operation::RestoreDataset { dataset: dataset(), deletion }
}

fn things(versions: &[u8], packs: &[u8]) -> Things {
    let pack = |seed: &u8| version_row(*seed, &[]).version_place.frame.pack;
    Things { versions: versions.iter().map(|seed| version(*seed)).collect(), packs: packs.iter().map(pack).collect() }
}

fn condemn(mark: u64, versions: &[u8], packs: &[u8]) -> Operation {
    Operation::Condemn { mark, things: things(versions, packs) }
}

/// The store of [`begun`] with a version 3 that no ref leads to, which record 3 condemned, with its pack.
fn collecting() -> Fold {
    let mut fold = begun();
    assert!(apply(&mut fold, vec![add(3, &[1])]));
    let mark = fold.number;
    assert!(apply(&mut fold, vec![condemn(mark, &[3], &[3])]));
    fold
}

#[test]
fn what_is_condemned_may_not_be_used_but_by_rescue() {
    let with = |operations: Vec<Operation>| apply(&mut collecting(), operations);
    let rely = |versions: &[u8], packs: &[u8]| Operation::Rely(things(versions, packs));
    let rescue = |versions: &[u8], packs: &[u8]| Operation::Rescue(things(versions, packs));
    for uses in
        [set_branch("new", None, Some(3)), set_tag("new", None, Some(3)), take_name("new", 3), publish(3), add(3, &[])]
    {
        assert!(!with(vec![uses.clone()]), "{uses:?}");
        assert!(with(vec![rescue(&[3], &[]), uses]));
    }
    assert!(!with(vec![rely(&[3], &[])]) && !with(vec![rely(&[], &[3])]) && with(vec![rely(&[2], &[2])]));
    assert!(with(vec![rescue(&[], &[3]), rely(&[], &[3])]));
    let mut fold = collecting();
    assert!(apply(&mut fold, vec![rescue(&[3], &[])]));
    assert!(fold.condemned.is_empty(), "the packs of a rescued version come back with it");
    let settled = collecting().settle(vec![rely(&[2], &[2, 3]), set_branch("new", None, Some(3))]);
    assert!(with(settled.clone()), "{settled:?}");
    assert_eq!(settled[0], rescue(&[3], &[3]));
    assert_eq!(settled[1], rely(&[2], &[3]), "packs that aren't condemned need not be named");
}

#[test]
fn a_condemnation_stands_right_behind_its_mark_and_spares_what_refs_name() {
    let mark = begun().number;
    assert!(!apply(&mut begun(), vec![condemn(mark - 1, &[], &[3])]));
    assert!(!apply(&mut begun(), vec![condemn(mark, &[2], &[])]), "main is there");
    assert!(!apply(&mut begun(), vec![condemn(mark, &[7], &[])]), "no such version");
    assert!(apply(&mut begun(), vec![condemn(mark, &[], &[3])]));
}

#[test]
fn what_is_reclaimed_was_condemned_before_all_sessions_that_go_on() {
    let by = collecting().number;
    let void = |born| Operation::VoidBefore { born };
    let reclaim = |versions: &[u8], packs: &[u8]| Operation::Reclaim(things(versions, packs));
    let with = |operations: Vec<Operation>| apply(&mut collecting(), operations);
    assert!(!with(vec![void(by + 1)]), "nobody can have begun behind the newest record");
    assert!(!with(vec![reclaim(&[3], &[3])]) && !with(vec![void(by - 1), reclaim(&[3], &[3])]));
    assert!(!with(vec![void(by), reclaim(&[2], &[])]), "that one isn't condemned");
    assert!(!with(vec![void(by), reclaim(&[], &[3])]), "its version could still be rescued");
    let mut fold = collecting();
    assert!(apply(&mut fold, vec![void(by), reclaim(&[3], &[3])]));
    assert!(fold.condemned.is_empty() && fold.version(&version(3)).is_none());
    assert!(!apply(&mut fold, vec![register(9, 1)]) && !apply(&mut fold, vec![add(9, &[])]), "from before");
    assert!(apply(&mut fold, vec![register(1, 1), replace(&[1], &[])]), "what is registered stays");
    assert!(apply(&mut fold, vec![Operation::CreateDataset { dataset: other() }]));
    let copied = Operation::AddVersion { dataset: other(), row: Box::new(version_row(2, &[1])) };
    assert!(apply(&mut fold, vec![copied]), "what the store has can be copied in it");
}

#[test]
fn a_dataset_set_aside_goes_whole_once_a_ref_of_it_leads_nowhere() {
    let mut fold = begun();
    assert!(apply(&mut fold, vec![delete()]));
    let deletion = fold.number;
    assert!(apply(&mut fold, vec![condemn(deletion, &[1, 2], &[1, 2])]));
    assert!(!apply(&mut fold, vec![restore(deletion)]));
    let settled = fold.settle(vec![restore(deletion)]);
    assert!(apply(&mut fold.clone(), settled));
    let by = fold.number;
    let reclaim = Operation::Reclaim(things(&[1, 2], &[1, 2]));
    assert!(apply(&mut fold, vec![Operation::VoidBefore { born: by }, reclaim]));
    assert!(fold.deleted.is_empty() && !apply(&mut fold, vec![restore(deletion)]));
}

fn condemn_contents(mark: u64, seeds: &[u8]) -> Operation {
    Operation::CondemnContents { mark, versions: things(seeds, &[]).versions }
}

fn let_go(seeds: &[u8]) -> Operation {
    Operation::LetGo { versions: things(seeds, &[]).versions }
}

/// The store of [`begun`], of whose version 1 record 2 condemned the content.
fn fading() -> Fold {
    let mut fold = begun();
    let mark = fold.number;
    assert!(apply(&mut fold, vec![condemn_contents(mark, &[1])]));
    fold
}

#[test]
fn content_is_condemned_as_versions_are_but_of_no_branch() {
    let mark = begun().number;
    for wrong in [condemn_contents(mark - 1, &[1]), condemn_contents(mark, &[2]), condemn_contents(mark, &[7])] {
        assert!(!apply(&mut begun(), vec![wrong.clone()]), "{wrong:?}");
    }
    let with = |operations: Vec<Operation>| apply(&mut fading(), operations);
    let rescue = Operation::Rescue(things(&[1], &[]));
    for uses in [set_branch("new", None, Some(1)), set_tag("new", None, Some(1)), publish(1), add(1, &[])] {
        assert!(!with(vec![uses.clone()]), "{uses:?}");
        assert!(with(vec![rescue.clone(), uses.clone()]));
        assert!(with(fading().settle(vec![uses])), "writers rescue what they use");
    }
    assert!(!with(vec![Operation::Rely(things(&[1], &[]))]) && with(vec![add(3, &[1])]), "a child need not use it");
    let mut fold = fading();
    assert!(apply(&mut fold, vec![rescue]) && fold.condemned.is_empty());
}

#[test]
fn content_goes_before_the_packs_and_history_stays() {
    let by = fading().number;
    let void = |born| Operation::VoidBefore { born };
    let with = |operations: Vec<Operation>| apply(&mut fading(), operations);
    assert!(!with(vec![let_go(&[1])]) && !with(vec![void(by - 1), let_go(&[1])]), "sessions from before go on");
    assert!(!with(vec![void(by), let_go(&[1, 2])]), "that of 2 isn't condemned");
    let mut fold = fading();
    assert!(apply(&mut fold, vec![condemn(by, &[], &[1])]));
    let (by, reclaim) = (fold.number, Operation::Reclaim(things(&[], &[1])));
    assert!(!apply(&mut fold.clone(), vec![void(by), reclaim.clone()]), "the content could still be rescued");
    assert!(!apply(&mut fold.clone(), vec![void(by), reclaim.clone(), let_go(&[1])]));
    let before = fold.datasets.clone();
    assert!(apply(&mut fold, vec![void(by), let_go(&[1]), reclaim]));
    assert_eq!(fold.datasets, before, "rows, refs and metadata are what they were");
    assert_eq!(fold.let_go.get(&version(1)), Some(&LetGo { record: fold.number, time: Time(5) }));
    for relies in [set_branch("new", None, Some(1)), Operation::Rely(things(&[1], &[]))] {
        assert!(!apply(&mut fold.clone(), vec![relies.clone()]), "{relies:?}");
        let settled = fold.settle(vec![relies]);
        assert!(!apply(&mut fold.clone(), settled), "nothing brings it back");
    }
    assert!(apply(&mut fold.clone(), vec![set_tag("new", None, Some(1))]), "a push may bring a tag");
    let mark = fold.number;
    assert!(!apply(&mut fold.clone(), vec![condemn_contents(mark, &[1])]), "it is gone already");
}

#[test]
fn a_version_comes_without_content_only_where_nobody_has_it() {
    let bare =
        |dataset: DatasetName, seed: u8| Operation::AddVersion { dataset, row: Box::new(version_row(seed, &[])) };
    let mut fold = begun();
    assert!(apply(&mut fold, vec![bare(dataset(), 3), let_go(&[3])]));
    assert!(!fold.lasts(&version(3)) && fold.lasts(&version(1)));
    assert!(!apply(&mut fold.clone(), vec![add(4, &[]), let_go(&[5])]), "no such version");
    let create = Operation::CreateDataset { dataset: other() };
    assert!(
        !apply(&mut fold.clone(), vec![create.clone(), bare(other(), 1), let_go(&[1])]),
        "it is whole in the other"
    );
    assert!(apply(&mut fold.clone(), vec![create, bare(other(), 3)]), "a copy has the mark of the original");
    let mark = fold.number;
    assert!(apply(&mut fold, vec![condemn(mark, &[3], &[3])]));
    let by = fold.number;
    assert!(apply(&mut fold, vec![Operation::VoidBefore { born: by }, Operation::Reclaim(things(&[3], &[3]))]));
    assert!(fold.let_go.is_empty(), "the mark goes with the version");
}

fn drop_name(text: &str, seed: u8) -> Operation {
    Operation::DropName { dataset: dataset(), name: named(text), version: version(seed) }
}

#[test]
fn a_name_is_given_up_by_its_version_alone() {
    assert!(!holds(drop_name("n", 2)) && !holds(drop_name("m", 1)) && !holds(drop_name("t", 1)));
    let mut fold = begun();
    assert!(apply(&mut fold, vec![drop_name("n", 1), take_name("n", 2)]));
    assert_eq!(fold.datasets[&dataset()].names[&named("n")], version(2));
}

#[test]
fn a_renamed_dataset_is_told_by_its_old_name() {
    let mut fold = begun();
    let whole = fold.datasets[&dataset()].clone();
    assert!(!holds(rename(other(), dataset())) && !holds(rename(dataset(), dataset())));
    assert!(apply(&mut fold, vec![rename(dataset(), other())]));
    assert_eq!(fold.datasets, BTreeMap::from([(other(), whole.clone())]));
    let third = DatasetName::new("third").expect("a good name");
    assert!(apply(&mut fold, vec![rename(other(), third.clone())]));
    assert_eq!(fold.new_name(&dataset()), Some((&third, 3)));
    let said = fold.dataset(&dataset()).expect_err("it is gone").to_string();
    assert_eq!(said, "the dataset signs is called third since record 3 of the log");
    assert!(apply(&mut fold, vec![rename(third.clone(), dataset())]));
    assert_eq!((fold.new_name(&dataset()), fold.new_name(&other())), (None, Some((&dataset(), 4))));
    assert_eq!(fold.datasets, BTreeMap::from([(dataset(), whole)]));
}

#[test]
fn a_deleted_dataset_comes_back_whole_unless_its_name_is_taken() {
    let mut fold = begun();
    let whole = fold.datasets[&dataset()].clone();
    assert!(apply(&mut fold, vec![delete()]) && !apply(&mut fold, vec![delete()]));
    assert!(fold.datasets.is_empty() && fold.version(&version(1)).is_none());
    let said = fold.dataset(&dataset()).expect_err("it is gone").to_string();
    assert_eq!(said, "the dataset signs was deleted by record 2 of the log");
    assert!(apply(&mut fold, vec![Operation::CreateDataset { dataset: dataset() }]));
    assert!(!apply(&mut fold, vec![restore(2)]), "another has the name");
    assert!(apply(&mut fold, vec![rename(dataset(), other()), restore(2)]));
    assert_eq!(fold.datasets[&dataset()], whole);
    assert!(fold.deleted.is_empty() && !apply(&mut fold, vec![restore(2)]));
    let again = vec![delete(), Operation::CreateDataset { dataset: dataset() }, delete()];
    assert!(!apply(&mut fold, again), "one record deletes a name once");
}

#[test]
fn unknown_operations() {
    let unknown =
        |critical| vec![set_tag("u", None, Some(1)), Operation::Unknown { code: 99, critical, payload: vec![1] }];
    let mut fold = begun();
    assert!(apply(&mut fold, unknown(false)));
    assert!(fold.datasets[&dataset()].tags.contains_key(&named("u")), "skipped, the others hold");
    let mut fold = begun();
    let before = fold.clone();
    let fault = fold.apply(&next(&before, unknown(true)), Id::MAX).expect_err("a newer dagset is needed");
    assert_eq!(fault.kind(), Kind::Failed);
    assert_eq!(fold, before, "nothing was folded");
}

fn expel(seed: u8, reason: &str) -> Operation {
    let contents = vec![Purged { content: version(seed), size: u64::from(seed) }];
    Operation::Expel { contents, reason: reason.to_owned() }
}

fn readmit(seed: u8) -> Operation {
    Operation::Readmit { contents: vec![version(seed)] }
}

#[test]
fn what_is_expelled_has_a_tombstone_and_voids_all_who_began_before() {
    let mut fold = begun();
    assert!(!apply(&mut fold, vec![readmit(9)]), "it isn't expelled");
    assert!(apply(&mut fold, vec![replace(&[], &[7]), expel(9, "first")]), "indexes of the same record are taken");
    let by = fold.number;
    assert_eq!((fold.void_before, &*fold.expelled[&version(9)].reason), (by, "first"));
    assert!(!apply(&mut fold, vec![register(8, 1)]), "its session began before");
    assert!(apply(&mut fold, vec![expel(9, "again")]));
    let tombstone = &fold.expelled[&version(9)];
    assert_eq!((tombstone.record, &*tombstone.reason, tombstone.size), (by, "first", 9), "the older one stays");
    assert!(fold.void_before > by, "and who began since is void too");
    assert!(apply(&mut fold, vec![readmit(9)]) && fold.expelled.is_empty());
}

#[test]
fn the_chain_holds() {
    let mut fold = begun();
    let good = next(&fold, Vec::new());
    for bad in [
        RecordCore { number: 3, ..good.clone() },
        RecordCore { number: 1, ..good.clone() },
        RecordCore { before: Id::MAX, ..good.clone() },
    ] {
        assert_eq!(fold.apply(&bad, Id::MAX).expect_err("out of turn").kind(), Kind::Damaged);
    }
    let newer = RecordCore { fold_rule: FOLD_RULE + 1, ..good.clone() };
    assert_eq!(fold.apply(&newer, Id::MAX).expect_err("a newer rule").kind(), Kind::Failed);
    assert_eq!(fold, begun());
    fold.apply(&good, Id::MAX).expect("in turn");
}

fn any_step() -> impl Strategy<Value = Operation> {
    let seed = || 1u8..5;
    let maybe = || proptest::option::of(1u8..5);
    let text = || prop::sample::select(vec!["main", "n", "t", "x"]);
    prop_oneof![
        seed().prop_map(|seed| add(seed, &[1])),
        (text(), maybe(), maybe()).prop_map(|(text, old, new)| set_branch(text, old, new)),
        (text(), maybe(), maybe()).prop_map(|(text, old, new)| set_tag(text, old, new)),
        (text(), seed()).prop_map(|(text, seed)| take_name(text, seed)),
        seed().prop_map(publish),
        (maybe(), proptest::option::of(any::<i64>())).prop_map(|(seed, value)| set_meta(seed, value)),
        (seed(), 1u64..3).prop_map(|(seed, bytes)| register(seed, bytes)),
        (seed(), seed()).prop_map(|(from, to)| replace(&[from], &[to])),
        Just(Operation::CreateDataset { dataset: DatasetName::new("b").expect("a good name") }),
        Just(Operation::StoreCreated { store: [4; 16] }),
        (text(), seed()).prop_map(|(text, seed)| drop_name(text, seed)),
        any::<bool>().prop_map(|there| match there {
            true => rename(dataset(), other()),
            false => rename(other(), dataset()),
        }),
        Just(delete()),
        (1u64..12).prop_map(restore),
        Just(Operation::CreateDataset { dataset: dataset() }),
        (1u64..12, seed()).prop_map(|(mark, seed)| condemn(mark, &[seed], &[seed])),
        (seed(), any::<bool>())
            .prop_map(|(seed, pack)| Operation::Rescue(things(if pack { &[] } else { &[1] }, &[seed]))),
        seed().prop_map(|seed| Operation::Reclaim(things(&[seed], &[seed]))),
        (1u64..12).prop_map(|born| Operation::VoidBefore { born }),
        seed().prop_map(|seed| Operation::Rely(things(&[], &[seed]))),
        seed().prop_map(|seed| expel(seed, "a reason")),
        seed().prop_map(readmit),
    ]
}

proptest! {
    #[test]
    fn a_record_happens_whole_or_not_at_all(records in proptest::collection::vec(proptest::collection::vec(any_step(), 1..5), 1..12)) {
        let mut fold = begun();
        for operations in records {
            apply(&mut fold, operations);
            let rows = crate::history::state::encode(&fold);
            prop_assert_eq!(crate::history::state::decode(&rows).expect("own rows"), fold.clone());
        }
    }

    #[test]
    fn one_that_fails_undoes_the_others(steps in proptest::collection::vec(any_step(), 0..6)) {
        let mut fold = begun();
        let failing = publish(200);
        prop_assert!(!apply(&mut fold, steps.into_iter().chain([failing]).collect()));
    }
}
