use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::base::{ObjectName, Observer};
use crate::format::header::ObjectKind;
use crate::format::index::IndexBuilder;
use crate::format::node::Weight;
use crate::format::operation::IndexRow;
use crate::format::pack::{NewItem, PackBuilder};
use crate::format::place::Encoding;
use crate::format::tree::{NewNode, TreeBuilder};
use crate::store::backend::memory;
use crate::store::objects::Bucket;
use crate::store::recording::Recording;
use crate::tree::diff::{Change, diff};
use crate::tree::edit::{Piece, edited};

type Model = BTreeMap<String, Entry>;

fn file(seed: u64) -> Entry {
    let size = [0, 9, SMALL_FILE, SMALL_FILE + 1][seed as usize % 4];
    Entry::plain(EntryKind::File { size, content: Id::of(&seed.to_le_bytes()), executable: seed.is_multiple_of(3) })
}

/// A store of manifests, written without content: each node a frame alone, hints between them, one index.
struct Store {
    bucket: Bucket,
    pack: PackBuilder,
    places: HashMap<Id, Place>,
}

const PACK: ObjectName = ObjectName { born: 0, random: [1; 16] };
const INDEX: ObjectName = ObjectName { born: 0, random: [2; 16] };

impl Store {
    fn new() -> Store {
        Store { bucket: memory(), pack: PackBuilder::new(ObjectKind::MetaPack), places: HashMap::new() }
    }

    /// Writes the manifest of `items`, without any check of their keys and values; gives its root.
    fn write(&mut self, items: impl IntoIterator<Item = (Vec<u8>, Vec<u8>, Weight)>) -> Id {
        let mut builder = TreeBuilder::new(TreeKind::Manifest, |node| self.keep(&node));
        for (key, value, weight) in items {
            builder.push(&key, &value, weight).expect("ascending keys");
        }
        builder.finish().expect("a root").id
    }

    fn write_model(&mut self, model: &Model) -> Id {
        self.write(model.iter().map(|(path, entry)| {
            let weight = Weight { entries: 1, files: entry.is_file().into(), bytes: entry.bytes() };
            (path.clone().into_bytes(), entry.encode(), weight)
        }))
    }

    fn keep(&mut self, node: &NewNode) -> Result<()> {
        if self.places.contains_key(&node.id) {
            return Ok(());
        }
        let parsed = Node::parse(TreeKind::Manifest, &node.bytes)?;
        let below = parsed.children().iter().map(|child| (ChildShape::Meta, self.places.get(&child.id).copied()));
        let hint = hint::encode(&below.collect::<Vec<_>>());
        let item =
            NewItem { id: node.id, kind: ItemKind::Node, len: node.bytes.len() as u32, hint_len: hint.len() as u32 };
        let raw = [&node.bytes[..], &hint].concat();
        let frame = self.pack.add_frame(&raw, raw.len() as u32, Encoding::Raw, &[item])?;
        let frame = self.pack.footer().frames[frame as usize].place(PACK);
        self.places.insert(node.id, Place { frame, at: 0, len: item.len, hint_len: item.hint_len });
        Ok(())
    }

    /// What a reader has who knows the index; its calls are recorded.
    fn open(self) -> (Content, Recording) {
        let pack = self.pack.finish();
        let mut index = IndexBuilder::new();
        index.add_pack(PACK, ObjectKind::MetaPack, pack.bytes.len() as u64, &pack.footer).expect("a pack");
        let index = index.finish().expect("an index");
        let row = IndexRow {
            name: INDEX,
            bytes: index.len() as u64,
            id: Id::of(&index),
            packs: 1,
            pack_bytes: 0,
            meta_bytes: pack.bytes.len() as u64,
        };
        self.bucket.create(&format!("meta/{PACK}"), pack.bytes.into()).expect("created");
        self.bucket.create(&format!("index/{INDEX}"), index.into()).expect("created");
        let recording = Recording::keeping_calls(self.bucket, Observer::new());
        (Content::new(recording.bucket(), vec![row]), recording)
    }
}

/// Paths whose order by bytes isn't that of folders: `a-b` and `a.txt` stand between `a` and `a/b`, `a0` behind.
fn any_model() -> impl Strategy<Value = Model> {
    let name = || prop::sample::select(vec!["a", "a-b", "a.txt", "a0", "b", "ä", "a ", "~"]);
    let path = proptest::collection::vec(name(), 1..4).prop_map(|parts| parts.join("/"));
    proptest::collection::btree_map(path, any::<u64>(), 0..60).prop_map(|map| {
        let paths: Vec<String> = map.keys().cloned().collect();
        let is_folder = |path: &str| paths.iter().any(|other| other.starts_with(&format!("{path}/")));
        map.into_iter().filter(|(path, _)| !is_folder(path)).map(|(path, seed)| (path, file(seed))).collect()
    })
}

/// `model` among enough other entries for inner nodes.
fn among_others(model: Model) -> Model {
    let others = (0..1_200u64).map(|number| (format!("a-b/{number:05}/~"), file(number)));
    let is_free = |model: &Model| !model.keys().any(|path| path == "a-b" || path.starts_with("a-b/"));
    if is_free(&model) { model.into_iter().chain(others).collect() } else { model }
}

/// What is at or below `folder`.
fn below(model: &Model, folder: &str) -> Vec<(String, Entry)> {
    let is_in = |path: &str| folder.is_empty() || path == folder || path.starts_with(&format!("{folder}/"));
    model.iter().filter(|(path, _)| is_in(path)).map(|(path, entry)| (path.clone(), entry.clone())).collect()
}

/// Names directly in `folder`, with whether each is a folder.
fn directly_in(model: &Model, folder: &str) -> BTreeMap<String, bool> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let rest = model.keys().filter_map(|path| path.strip_prefix(&prefix));
    rest.map(|rest| match rest.split_once('/') {
        Some((name, _)) => (format!("{prefix}{name}"), true),
        None => (format!("{prefix}{rest}"), false),
    })
    .collect()
}

fn changes(before: &Model, after: &Model) -> Vec<(String, Option<Entry>, Option<Entry>)> {
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let sides = |path: &String| (path.clone(), before.get(path).cloned(), after.get(path).cloned());
    paths.into_iter().map(sides).filter(|(_, before, after)| before != after).collect()
}

fn run_diff(before: Manifest<'_>, after: Manifest<'_>) -> Vec<(String, Option<Entry>, Option<Entry>)> {
    diff_below(before, after, "")
}

fn diff_below(before: Manifest<'_>, after: Manifest<'_>, folder: &str) -> Vec<(String, Option<Entry>, Option<Entry>)> {
    let mut found = Vec::new();
    let sink = |Change { path, before, after }| {
        found.push((path.to_string(), before, after));
        Ok(())
    };
    diff(before, after, folder, sink).expect("whole manifests");
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_manifest_answers_as_a_map_does(model in any_model(), large: bool) {
        let model = if large { among_others(model) } else { model };
        let mut store = Store::new();
        let root = store.write_model(&model);
        let (content, _) = store.open();
        let manifest = Manifest::new(&content, root, None);
        for folder in ["", "a", "a-b", "a.txt", "a0", "b", "a/a", "a/a-b", "a /a", "ä", "~", "none", "a/none"] {
            let entries: Result<Vec<_>> =
                manifest.entries(folder).map(|leaf| leaf.map(|leaf| (leaf.path.to_string(), leaf.entry))).collect();
            prop_assert_eq!(entries.expect("a whole manifest"), below(&model, folder), "entries of {:?}", folder);
            let found = manifest.find(folder).expect("a whole manifest").map(|leaf| leaf.entry);
            prop_assert_eq!(found.as_ref(), model.get(folder), "find {:?}", folder);
            let children = manifest.children(folder).expect("a whole manifest");
            let children: Vec<_> =
                children.iter().map(|child| (child.path().to_string(), matches!(child, Child::Folder(_)))).collect();
            prop_assert_eq!(children, directly_in(&model, folder).into_iter().collect::<Vec<_>>(), "children of {:?}", folder);
            let has = manifest.has_folder(folder).expect("a whole manifest");
            prop_assert_eq!(has, !directly_in(&model, folder).is_empty(), "has_folder {:?}", folder);
        }
    }

    #[test]
    fn a_diff_is_what_the_maps_differ_in(before in any_model(), after in any_model(), large: (bool, bool)) {
        let sized = |model, large| if large { among_others(model) } else { model };
        let (before, after) = (sized(before, large.0), sized(after, large.1));
        let mut store = Store::new();
        let (old, new) = (store.write_model(&before), store.write_model(&after));
        let (content, _) = store.open();
        let manifest = |root| Manifest::new(&content, root, None);
        prop_assert_eq!(run_diff(manifest(old), manifest(new)), changes(&before, &after));
        prop_assert_eq!(run_diff(manifest(new), manifest(old)), changes(&after, &before));
        prop_assert!(run_diff(manifest(new), manifest(new)).is_empty());
        for folder in ["a", "a-b", "a/a", "none"] {
            let (old_part, new_part) = (below(&before, folder), below(&after, folder));
            let expected = changes(&old_part.into_iter().collect(), &new_part.into_iter().collect());
            prop_assert_eq!(diff_below(manifest(old), manifest(new), folder), expected, "below {:?}", folder);
        }
    }
}

fn many() -> Model {
    (0..100_000u64).map(|number| (format!("train/{:03}/{number:06}.jpg", number / 500), file(number))).collect()
}

#[test]
fn a_change_of_one_file_among_many_reads_few_nodes() {
    let before = many();
    let mut after = before.clone();
    after.insert("train/100/050123.jpg".to_owned(), file(7_000_001));
    let mut store = Store::new();
    let (old, new) = (store.write_model(&before), store.write_model(&after));
    let (old_place, new_place) = (store.places[&old], store.places[&new]);
    let (content, recording) = store.open();
    let (old, new) = (Manifest::new(&content, old, Some(old_place)), Manifest::new(&content, new, Some(new_place)));
    assert_eq!(run_diff(old, new), changes(&before, &after));
    let calls = recording.take_calls();
    // A leaf and the inner nodes above it on each side; hints find them, so that no index is read.
    assert!(calls.len() <= 2 * 4, "{calls:?}");
    assert!(calls.iter().all(|call| call.name.starts_with("meta/")), "{calls:?}");
}

#[test]
fn a_question_about_one_path_reads_one_path_down() {
    let mut store = Store::new();
    let root = store.write_model(&many());
    let place = store.places[&root];
    let (content, recording) = store.open();
    let manifest = Manifest::new(&content, root, Some(place));
    assert!(manifest.find("train/007/003500.jpg").expect("whole").is_some());
    assert!(recording.take_calls().len() <= 4);
    // 200 folders in one: each is skipped with at most the leaf in which the next begins.
    assert_eq!(manifest.children("train").expect("whole").len(), 200);
    let calls = recording.take_calls().len();
    assert!(calls <= 210, "{calls}");
}

#[test]
fn a_diff_reads_what_differs_below_the_folder_and_reads_it_together() {
    let before = many();
    let after: Model = before
        .iter()
        .map(|(path, entry)| (path.clone(), if path < &"train/150".to_owned() { entry.clone() } else { file(7) }))
        .collect();
    let mut store = Store::new();
    let (old, new) = (store.write_model(&before), store.write_model(&after));
    let (old_place, new_place) = (store.places[&old], store.places[&new]);
    let (content, recording) = store.open();
    let (old, new) = (Manifest::new(&content, old, Some(old_place)), Manifest::new(&content, new, Some(new_place)));
    assert_eq!(diff_below(old, new, "train/177").len(), 500);
    let calls = recording.take_calls().len();
    assert!(calls <= 12, "a way down on each side, and some leaves: {calls}");
    assert_eq!(run_diff(old, new).len(), 25_000);
    let calls = recording.take_calls().len();
    assert!(calls <= 24, "a hundred leaves on each side: {calls}");
}

/// Whether a manifest of these keys is read to its end.
fn is_readable(keys: &[&str]) -> bool {
    let mut store = Store::new();
    let weight = Weight { entries: 1, files: 1, bytes: 9 };
    let root = store.write(keys.iter().map(|key| (key.as_bytes().to_vec(), file(1).encode(), weight)));
    let (content, _) = store.open();
    Manifest::new(&content, root, None).entries("").collect::<Result<Vec<_>>>().is_ok()
}

#[test]
fn what_no_folder_can_hold_is_refused() {
    assert!(is_readable(&["a", "a-b", "b/a"]));
    assert!(!is_readable(&["a", "a/b"]) && !is_readable(&["a", "a-b", "a.txt", "a/b"]), "a file and a folder");
    assert!(!is_readable(&["../a"]) && !is_readable(&["a//b"]) && !is_readable(&[".dagset/x"]));
}

#[test]
fn a_node_that_is_not_what_its_parent_says_is_refused() {
    let leaf_of = |store: &mut Store, names: &[&str]| {
        let weight = Weight { entries: 1, files: 1, bytes: 9 };
        store.write(names.iter().map(|name| (name.as_bytes().to_vec(), file(1).encode(), weight)))
    };
    let readable = |first: (&str, u8), second: (&str, u8), leaves: [&[&str]; 2]| {
        let mut store = Store::new();
        let ids = leaves.map(|names| leaf_of(&mut store, names));
        let mut bytes = vec![1, 1, 2];
        for ((key, entries), id) in [first, second].into_iter().zip(ids) {
            bytes.extend([0, key.len() as u8]);
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(&id.0);
            bytes.extend([entries, entries, entries * 9]);
        }
        let root = NewNode { id: Id::of(&bytes), level: 1, bytes };
        store.keep(&root).expect("a node");
        let (content, _) = store.open();
        Manifest::new(&content, root.id, None).entries("").collect::<Result<Vec<_>>>().is_ok()
    };
    assert!(readable(("b", 2), ("d", 1), [&["a", "b"], &["d"]]));
    assert!(!readable(("b", 1), ("d", 1), [&["a", "b"], &["d"]]), "another count");
    assert!(!readable(("c", 2), ("d", 1), [&["a", "b"], &["d"]]), "another last key");
    assert!(!readable(("b", 2), ("d", 2), [&["a", "b"], &["b", "d"]]), "a key twice");
}

/// Some hundreds of paths in a few leaves, and edits among and around them.
fn any_edits() -> impl Strategy<Value = (Model, BTreeMap<String, Option<Entry>>)> {
    let edits = proptest::collection::btree_map(0..3_000u64, proptest::option::of(any::<u64>()), 0..40);
    (prop_oneof![Just(0u64), 1..40u64, Just(2_000)], edits).prop_map(|(count, edits)| {
        let path = |number: u64| format!("f/{number:05}");
        let model = (0..count).map(|number| (path(number * 2_000 / count), file(number))).collect();
        (model, edits.into_iter().map(|(number, seed)| (path(number), seed.map(file))).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn an_edited_manifest_is_as_if_built_anew_and_few_leaves_are_read((model, edits) in any_edits()) {
        let mut after = model.clone();
        for (path, entry) in &edits {
            match entry {
                Some(entry) => drop(after.insert(path.clone(), entry.clone())),
                None => drop(after.remove(path)),
            }
        }
        let mut store = Store::new();
        let (root, expected) = (store.write_model(&model), Store::new().write_model(&after));
        let (content, recording) = store.open();
        let listed = edits.iter().map(|(path, entry)| (RepoPath::new(path.as_str()).expect("a good path"), entry.clone()));
        let mut builder = TreeBuilder::new(TreeKind::Manifest, |_| Ok(()));
        let mut whole_leaves = 0;
        for piece in edited(Manifest::new(&content, root, None), listed.collect()) {
            match piece.expect("reads") {
                Piece::Entry(path, entry) => {
                    let weight = Weight { entries: 1, files: entry.is_file().into(), bytes: entry.bytes() };
                    builder.push(path.as_str().as_bytes(), &entry.encode(), weight).expect("ascending paths");
                }
                Piece::Leaf { last_key, child } => {
                    whole_leaves += 1;
                    builder.push_leaf(&last_key, child).expect("it fits");
                }
            }
        }
        prop_assert_eq!(builder.finish().expect("a root").id, expected);
        if edits.is_empty() && model.len() > 1_000 {
            let calls = recording.take_calls();
            let nodes = calls.iter().filter(|call| call.name.starts_with("meta/")).count();
            prop_assert!(whole_leaves >= 3 && nodes <= 3, "{} leaves, {:?}", whole_leaves, calls);
        }
    }
}
