//! Writing the fold as a state, and reading it back (docs/format.md §7.2).

use std::collections::HashMap;

use crate::base::files::random_bytes;
use crate::base::{DatasetName, Error, Id, ObjectName, Result};
use crate::chunk::compress::compress;
use crate::format::header::ObjectKind;
use crate::format::hint::{self, ChildShape};
use crate::format::node::{Node, TreeKind, Weight};
use crate::format::pack::{ItemKind, NewItem, PackBuilder};
use crate::format::place::{Encoding, FramePlace, Place};
use crate::format::record::{FOLD_RULE, StateRef};
use crate::format::state::StateRow;
use crate::format::tree::{NewNode, TreeBuilder};
use crate::store::content::Content;
use crate::store::objects::Bucket;

use super::fold::{Condemned, Dataset, Fold, LetGo, Tag, VersionState};

/// States up to this length are read in one request.
const READ_WHOLE_BYTES: u32 = 1 << 20;

/// Stores `fold` as a state object; durable when this returns.
pub fn write(bucket: &Bucket, fold: &Fold) -> Result<StateRef> {
    let name = ObjectName { born: fold.number, random: random_bytes()? };
    let (bytes, state) = packed(fold, name)?;
    bucket.ensure(&ObjectKind::State.object(&name), bytes.into(), None)?;
    Ok(state)
}

/// The object that is the state of `fold` under a name: the same bytes for the same fold.
pub fn packed(fold: &Fold, name: ObjectName) -> Result<(Vec<u8>, StateRef)> {
    let mut pack = PackBuilder::new(ObjectKind::State);
    let mut places: HashMap<Id, Place> = HashMap::new();
    let rows = encode(fold);
    let mut builder = TreeBuilder::new(TreeKind::State, |node: NewNode| {
        let place = add_node(&mut pack, name, &node, &places)?;
        places.insert(node.id, place);
        Ok(())
    });
    for (key, value) in &rows {
        builder.push(key, value, Weight { entries: 1, files: 0, bytes: 0 })?;
    }
    let root = builder.finish()?;
    Ok((pack.finish().bytes, StateRef { number: fold.number, place: places[&root.id], root: root.id }))
}

fn add_node(pack: &mut PackBuilder, name: ObjectName, node: &NewNode, places: &HashMap<Id, Place>) -> Result<Place> {
    let parsed = Node::parse(TreeKind::State, &node.bytes)?;
    let children: Vec<_> =
        parsed.children().iter().map(|child| (ChildShape::Meta, places.get(&child.id).copied())).collect();
    let hint = hint::encode(&children);
    let raw = [&node.bytes[..], &hint].concat();
    let packed = compress(&raw);
    let (stored, encoding) = packed.as_deref().map_or((&raw[..], Encoding::Raw), |bytes| (bytes, Encoding::Zstd));
    let item =
        NewItem { id: node.id, kind: ItemKind::StateNode, len: node.bytes.len() as u32, hint_len: hint.len() as u32 };
    let ordinal = pack.add_frame(stored, raw.len() as u32, encoding, &[item])?;
    let frame: FramePlace = pack.footer().frames[ordinal as usize].place(name);
    Ok(Place { frame, at: 0, len: item.len, hint_len: item.hint_len })
}

/// The rows of a fold: keys and values, by key.
pub fn encode(fold: &Fold) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows: Vec<_> = rows(fold).iter().map(|row| (row.key(), row.value())).collect();
    rows.sort_unstable();
    rows
}

/// The fold that rows were made of.
pub fn decode(rows: &[(Vec<u8>, Vec<u8>)]) -> Result<Fold> {
    let mut fold = Fold::default();
    rows.iter().try_for_each(|(key, value)| take_row(&mut fold, StateRow::parse(key, value)?))?;
    Ok(fold)
}

fn rows(fold: &Fold) -> Vec<StateRow> {
    let mut rows =
        vec![StateRow::Head { number: fold.number, record: fold.record, fold_rule: FOLD_RULE, store: fold.store }];
    rows.extend(fold.indexes.values().cloned().map(StateRow::Index));
    rows.extend(fold.datasets.iter().flat_map(|(name, dataset)| rows_of(name, dataset)));
    for ((record, name), dataset) in &fold.deleted {
        let aside = |row| StateRow::Deleted { record: *record, row: Box::new(row) };
        rows.extend(rows_of(name, dataset).into_iter().map(aside));
    }
    rows.extend(fold.renamed.iter().map(|(dataset, (to, record))| StateRow::Renamed {
        dataset: dataset.clone(),
        to: to.clone(),
        record: *record,
    }));
    rows.extend((fold.void_before > 0).then_some(StateRow::VoidBefore { born: fold.void_before }));
    let Condemned { versions, contents, packs } = &fold.condemned;
    rows.extend(versions.iter().map(|(id, by)| StateRow::CondemnedVersion { version: *id, record: *by }));
    rows.extend(packs.iter().map(|(name, by)| StateRow::CondemnedPack { pack: *name, record: *by }));
    rows.extend(contents.iter().map(|(id, by)| StateRow::CondemnedContent { version: *id, record: *by }));
    rows.extend(fold.let_go.iter().map(|(id, it)| StateRow::LetGo { version: *id, record: it.record, time: it.time }));
    let expelled = fold.expelled.iter();
    rows.extend(expelled.map(|(id, it)| StateRow::Expelled { content: *id, tombstone: it.clone() }));
    rows
}

fn rows_of(name: &DatasetName, dataset: &Dataset) -> Vec<StateRow> {
    let owner = || name.clone();
    let mut rows = vec![StateRow::Dataset { dataset: owner(), created: dataset.created }];
    rows.extend(dataset.branches.iter().map(|(branch, version)| StateRow::Branch {
        dataset: owner(),
        branch: branch.clone(),
        version: *version,
    }));
    rows.extend(dataset.names.iter().map(|(name, version)| StateRow::Name {
        dataset: owner(),
        name: name.clone(),
        version: *version,
    }));
    rows.extend(dataset.tags.iter().map(|(tag, to)| StateRow::Tag {
        dataset: owner(),
        tag: tag.clone(),
        version: to.version,
        protected: to.protected,
    }));
    rows.extend(dataset.versions.values().map(|state| StateRow::Version {
        dataset: owner(),
        record: state.record,
        row: Box::new(state.row.clone()),
        published: state.published,
    }));
    rows.extend(dataset.meta.iter().map(|((version, key), value)| StateRow::Metadata {
        dataset: owner(),
        version: *version,
        key: key.clone(),
        value: value.clone(),
    }));
    rows
}

/// Reads a state that a record names.
pub fn read(bucket: &Bucket, state: &StateRef) -> Result<Fold> {
    bucket.read_verified(|| read_once(bucket, state))
}

fn read_once(bucket: &Bucket, state: &StateRef) -> Result<Fold> {
    let content = Content::new(bucket.clone(), Vec::new());
    // A longer one has inner nodes, whose children are read together.
    if state.place.frame.offset <= READ_WHOLE_BYTES {
        content.prefetch_root(ObjectKind::State, &state.place.frame, READ_WHOLE_BYTES);
    }
    let mut fold = Fold::default();
    read_root(&content, state, &mut fold)
        .map_err(|fault| fault.within(format!("state/{} can't be read", state.pack())))?;
    match fold.number == state.number {
        true => Ok(fold),
        false => Err(Error::damaged(format!("state/{} isn't that of record {}", state.pack(), state.number))),
    }
}

fn read_root(content: &Content, state: &StateRef, fold: &mut Fold) -> Result<()> {
    let (node, places) = open_node(content, &state.root, Some(state.place))?;
    node.check_root()?;
    take_node(content, &node, &places, fold)
}

/// A node and the places of its children.
fn open_node(content: &Content, id: &Id, place: Option<Place>) -> Result<(Node, Vec<Option<Place>>)> {
    let item = content.meta(id, ItemKind::StateNode, place.as_ref())?;
    let node = Node::parse(TreeKind::State, item.bytes())?;
    let places = hint::decode(item.hint(), &vec![ChildShape::Meta; node.children().len()])?;
    Ok((node, places))
}

fn take_node(content: &Content, node: &Node, places: &[Option<Place>], fold: &mut Fold) -> Result<()> {
    if node.level() == 0 {
        return (0..node.len())
            .try_for_each(|index| take_row(fold, StateRow::parse(node.key(index), node.value(index))?));
    }
    let frames: Vec<FramePlace> = places.iter().flatten().map(|place| place.frame).collect();
    content.prefetch(ObjectKind::State, &frames);
    for (index, place) in places.iter().enumerate() {
        let (child, places) = open_node(content, &node.child(index).id, *place)?;
        node.check_child(index, &child)?;
        take_node(content, &child, &places, fold)?;
    }
    Ok(())
}

fn take_row(fold: &mut Fold, row: StateRow) -> Result<()> {
    match row {
        StateRow::Head { number, record, fold_rule, store } => {
            if fold_rule > FOLD_RULE {
                return Err(crate::format::needs_newer("the state of the log"));
            }
            (fold.number, fold.record, fold.store) = (number, record, store);
        }
        StateRow::Index(row) => drop(fold.indexes.insert(row.name, row)),
        StateRow::VoidBefore { born } => fold.void_before = born,
        StateRow::CondemnedVersion { version, record } => drop(fold.condemned.versions.insert(version, record)),
        StateRow::CondemnedContent { version, record } => drop(fold.condemned.contents.insert(version, record)),
        StateRow::LetGo { version, record, time } => drop(fold.let_go.insert(version, LetGo { record, time })),
        StateRow::CondemnedPack { pack, record } => drop(fold.condemned.packs.insert(pack, record)),
        StateRow::Expelled { content, tombstone } => drop(fold.expelled.insert(content, tombstone)),
        StateRow::Renamed { dataset, to, record } => drop(fold.renamed.insert(dataset, (to, record))),
        StateRow::Deleted { record, row } => {
            take_row_of(*row, |name| fold.deleted.entry((record, name)).or_default())?;
        }
        row => take_row_of(row, |name| fold.datasets.entry(name).or_default())?,
    }
    Ok(())
}

fn take_row_of<'f>(row: StateRow, of: impl FnOnce(DatasetName) -> &'f mut Dataset) -> Result<()> {
    match row {
        StateRow::Dataset { dataset, created } => of(dataset).created = created,
        StateRow::Branch { dataset, branch, version } => drop(of(dataset).branches.insert(branch, version)),
        StateRow::Name { dataset, name, version } => drop(of(dataset).names.insert(name, version)),
        StateRow::Tag { dataset, tag, version, protected } => {
            of(dataset).tags.insert(tag, Tag { version, protected });
        }
        StateRow::Version { dataset, record, row, published } => {
            of(dataset).versions.insert(row.version, VersionState { row: *row, record, published });
        }
        StateRow::Metadata { dataset, version, key, value } => {
            of(dataset).meta.insert((version, key), value);
        }
        _ => return Err(crate::format::needs_newer("the state of the log")),
    }
    Ok(())
}
