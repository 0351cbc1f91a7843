use super::*;
use crate::base::{Error, Id};
use crate::format::attrs::Value;

fn entry(content: u8, attrs: &[(&str, i64)]) -> Option<Entry> {
    let kind = EntryKind::File { size: 1, content: Id([content; 32]), executable: false };
    let attrs: Attrs = Attrs(attrs.iter().map(|(key, value)| (key.to_string(), Value::Int(*value))).collect());
    Some(Entry { kind, attrs: if attrs.is_empty() { EntryAttrs::None } else { EntryAttrs::Inline(attrs) } })
}

/// Heads that all came from the last of `values`.
fn one_base(values: &[Option<Entry>]) -> Outcome {
    one_base_apart(values, &Apart::new())
}

fn one_base_apart(values: &[Option<Entry>], apart: &Apart) -> Outcome {
    let base = values.len() - 1;
    let pairs = (0..base).flat_map(|a| (a + 1..base).map(move |b| ((a, b), vec![base])));
    settle(&Lineage { heads: base, near: base + 1, bases: pairs.collect(), silent: Vec::new() }, values, apart)
}

#[test]
fn content_and_attributes_are_merged_by_themselves() {
    let base = entry(1, &[("kept", 1), ("gone", 1), ("old", 1)]);
    let one = entry(2, &[("kept", 1), ("gone", 1), ("old", 2)]);
    let two = entry(1, &[("kept", 1), ("old", 1), ("new", 3)]);
    let all = entry(2, &[("kept", 1), ("old", 2), ("new", 3)]);
    assert_eq!(one_base(&[one.clone(), two.clone(), base.clone()]), Outcome::Settled(all.clone()));
    assert_eq!(one_base(&[two, base.clone(), one, base]), Outcome::Settled(all));
}

#[test]
fn an_attribute_that_two_changed_is_a_conflict_and_so_is_a_change_of_one_against_a_deletion() {
    let base = entry(1, &[("label", 1)]);
    let [one, two] = [2, 3].map(|label| entry(1, &[("label", label)]));
    assert_eq!(one_base(&[one.clone(), two, base.clone()]), Outcome::Open(vec![0, 1]));
    assert_eq!(one_base(&[None, one.clone(), base.clone()]), Outcome::Open(vec![0, 1]));
    assert_eq!(one_base(&[None, base.clone(), base.clone(), one, base]), Outcome::Open(vec![0, 3]));
}

#[test]
fn attributes_that_do_not_fit_together_or_are_kept_apart_are_a_conflict() {
    let long = |key: &str| {
        let attrs = Attrs([(key.repeat(60), Value::Int(1))].into());
        entry(1, &[]).map(|entry| Entry { attrs: EntryAttrs::Inline(attrs), ..entry })
    };
    assert_eq!(one_base(&[long("a"), long("b"), entry(1, &[])]), Outcome::Open(vec![0, 1]));
    let apart = entry(1, &[]).map(|entry| Entry { attrs: EntryAttrs::OutOfLine(Id::of(b"attrs")), ..entry });
    assert_eq!(one_base(&[apart.clone(), entry(1, &[("b", 1)]), entry(1, &[])]), Outcome::Open(vec![0, 1]));
    assert_eq!(one_base(&[apart.clone(), entry(1, &[]), entry(1, &[])]), Outcome::Settled(apart));
}

#[test]
fn attributes_kept_apart_are_merged_by_key_where_the_outcome_needs_no_new_object() {
    let attrs = |keys: &[&str]| Attrs(keys.iter().map(|key| (key.repeat(70), Value::Int(1))).collect());
    let sets = [attrs(&["a", "b"]), attrs(&["a", "b", "c"]), attrs(&["a", "b", "c", "d"]), attrs(&["a", "b", "d"])];
    let id = |number: u8| Id([number; 32]);
    let apart: Apart = sets.into_iter().zip(0..).map(|(attrs, number)| (id(number), attrs)).collect();
    let with =
        |content, number| entry(content, &[]).map(|entry| Entry { attrs: EntryAttrs::OutOfLine(id(number)), ..entry });
    let [base, c, all, d] = [0, 1, 2, 3].map(|number| with(1, number));
    assert_eq!(one_base_apart(&[c.clone(), with(2, 0), base.clone()], &apart), Outcome::Settled(with(2, 1)));
    assert_eq!(one_base_apart(&[c.clone(), d.clone(), base.clone()], &apart), Outcome::Settled(all));
    let fewer: Apart = apart.into_iter().filter(|(known, _)| *known != id(2)).collect();
    assert_eq!(one_base_apart(&[c.clone(), d.clone(), base.clone()], &fewer), Outcome::Open(vec![0, 1]));
    assert_eq!(one_base(&[c, d, base]), Outcome::Open(vec![0, 1]));
}

#[test]
fn what_each_head_did_is_told() {
    let pairs = [((0, 1), vec![3]), ((0, 2), vec![3]), ((1, 2), vec![3])];
    let lineage = Lineage { heads: 3, near: 4, bases: pairs.into(), silent: Vec::new() };
    let told = |values: [Option<Entry>; 4]| [0, 1, 2].map(|head| did(&lineage, &values, head));
    let [a, b, c] = [1, 2, 3].map(|content| entry(content, &[]));
    assert_eq!(told([None, b.clone(), a.clone(), a.clone()]), [Did::Deleted, Did::Changed, Did::Unchanged]);
    assert_eq!(told([b.clone(), c, None, None]), [Did::Added, Did::Added, Did::Unchanged]);
    assert_eq!(told([b.clone(), b.clone(), b.clone(), a.clone()]), [Did::Changed; 3]);
    let pairs = [((0, 1), vec![3]), ((0, 2), vec![4]), ((1, 2), vec![4])];
    let shared = Lineage { heads: 3, near: 5, bases: pairs.into(), silent: Vec::new() };
    let told = |values: [Option<Entry>; 5]| [0, 1, 2].map(|head| did(&shared, &values, head));
    let both = told([b.clone(), b.clone(), a.clone(), b.clone(), a.clone()]);
    assert_eq!(both, [Did::Changed, Did::Changed, Did::Unchanged], "what two heads share, the third hasn't seen");
    let one = told([None, b.clone(), a.clone(), b, a]);
    assert_eq!(one, [Did::Deleted, Did::Unchanged, Did::Unchanged], "the first has seen what the second has");
}

#[test]
fn changes_are_joined_by_path_and_the_first_error_ends_them() {
    let change = |path: &str, before: Option<Entry>, after: Option<Entry>| {
        Ok(Change { path: RepoPath::new(path).expect("a good path"), before, after })
    };
    let [a, b, c] = [1, 2, 3].map(|content| entry(content, &[]));
    let one = vec![change("p", a.clone(), b.clone()), change("q", a.clone(), None)];
    let two = vec![change("o", None, c.clone()), change("q", a.clone(), b.clone()), Err(Error::damaged("a node"))];
    let mut joined = Joined::new([one.into_iter(), two.into_iter()]);
    let mut next = || joined.next().expect("goes on").map(|(path, values)| (path.to_string(), values));
    assert_eq!(next().expect("o"), ("o".to_owned(), vec![None, None, c]));
    assert_eq!(next().expect("p"), ("p".to_owned(), vec![a.clone(), b.clone(), a.clone()]));
    assert_eq!(next().expect("q"), ("q".to_owned(), vec![a, None, b]));
    assert_eq!(next().expect_err("a node").to_string(), "a node");
}
