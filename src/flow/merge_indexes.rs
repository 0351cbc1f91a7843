//! Many small indexes become one, in a record of its own behind the publishing one.
//!
//! A reader that needs an index reads all of them, so that their number is what a lookup costs. Losing the race for the record costs
//! nothing: the merged object is named by no record, and the next writer tries again. The old objects stay for readers that are under way.

use crate::base::files::random_bytes;
use crate::base::{Event, Id, ObjectName, Observer, Result};
use crate::format::header::ObjectKind;
use crate::format::index::merge;
use crate::format::operation::{IndexRow, Operation};
use crate::history::timeline::{Actor, Timeline};
use crate::store::content::Content;

/// From so many indexes on, an ordinary command merges.
const MANY: usize = 16;
/// An ordinary command merges no more than this.
const MOST_BYTES: u64 = 16 << 20;

/// Merges the smallest indexes of the store where there are many; true if it did.
pub fn merge_indexes(timeline: &mut Timeline, content: &Content, actor: &Actor, observer: &Observer) -> Result<bool> {
    let fold = timeline.fold();
    if fold.indexes.len() < MANY {
        return Ok(false);
    }
    let mut rows: Vec<IndexRow> = fold.indexes.values().cloned().collect();
    rows.sort_by_key(|row| (row.bytes, row.name));
    let mut bytes = 0;
    rows.retain(|row| {
        bytes += row.bytes;
        bytes <= MOST_BYTES
    });
    if rows.len() < MANY / 2 {
        return Ok(false);
    }
    observer.tell(Event::Note(format!("merging {} indexes", rows.len())));
    let bucket = timeline.bucket().clone();
    let indexes = rows.iter().map(|row| content.index(row)).collect::<Result<Vec<_>>>()?;
    let merged = merge(&indexes, |_| false)?;
    let name = ObjectName { born: fold.number, random: random_bytes()? };
    let added = IndexRow {
        name,
        bytes: merged.len() as u64,
        id: Id::of(&merged),
        packs: rows.iter().map(|row| row.packs).sum(),
        pack_bytes: rows.iter().map(|row| row.pack_bytes).sum(),
        meta_bytes: rows.iter().map(|row| row.meta_bytes).sum(),
    };
    content.keep_index(&added, &merged);
    bucket.ensure(&ObjectKind::Index.object(&name), merged.into(), None)?;
    let removed: Vec<ObjectName> = rows.iter().map(|row| row.name).collect();
    timeline.append(actor, |fold, _| {
        let all_there = removed.iter().all(|name| fold.indexes.contains_key(name));
        let replace = Operation::ReplaceIndexes { removed: removed.clone(), added: vec![added.clone()] };
        Ok(if all_there { vec![replace] } else { Vec::new() })
    })
}
