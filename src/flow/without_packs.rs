//! Indexes without the packs that go, in the place of those that name them.

use std::collections::{BTreeMap, HashSet};

use crate::base::files::random_bytes;
use crate::base::{Id, ObjectName, Result};
use crate::format::header::ObjectKind;
use crate::format::index::{Index, IndexPack, merge};
use crate::format::operation::{IndexRow, Operation};
use crate::history::timeline::Timeline;
use crate::store::content::Content;

/// All packs that indexes name.
pub(super) fn packs_of(content: &Content) -> Result<BTreeMap<ObjectName, IndexPack>> {
    Ok(content.indexes()?.iter().flat_map(Index::packs).map(|pack| (pack.name, pack)).collect())
}

/// Makes indexes without the rows of dead packs, and stores them if `write` says so; the operation that puts them in the place of the old ones, if
/// there is any.
pub(super) fn without(
    timeline: &Timeline,
    content: &Content,
    dead: &[ObjectName],
    write: bool,
) -> Result<Option<Operation>> {
    let dead: HashSet<&ObjectName> = dead.iter().collect();
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for row in timeline.fold().indexes.values() {
        let index = content.index(row)?;
        if !index.packs().any(|pack| dead.contains(&pack.name)) {
            continue;
        }
        removed.push(row.name);
        let live: Vec<IndexPack> = index.packs().filter(|pack| !dead.contains(&pack.name)).collect();
        if live.is_empty() {
            continue;
        }
        let bytes = merge(&[index], |name| dead.contains(name))?;
        let name = ObjectName { born: timeline.fold().number, random: random_bytes()? };
        let mut new = IndexRow { bytes: bytes.len() as u64, id: Id::of(&bytes), ..IndexRow::of_nothing(name) };
        live.iter().for_each(|pack| new.count(pack.kind, pack.bytes));
        if write {
            content.keep_index(&new, &bytes);
            timeline.bucket().ensure(&ObjectKind::Index.object(&name), bytes.into(), None)?;
        }
        added.push(new);
    }
    Ok((!removed.is_empty()).then_some(Operation::ReplaceIndexes { removed, added }))
}
