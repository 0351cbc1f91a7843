//! Files of a version that were purged, and so aren't in what a command wrote.

use dagset::engine::{PurgedPath, Tombstone};
use serde_json::{Value, json};

use super::progress::left_out;
use super::{Context, Ending, json, ui};

/// Paths that people are told.
const MOST_TOLD: usize = 10;

/// Names the first of them on stderr.
pub fn tell(context: &mut Context, purged: &[PurgedPath]) {
    for it in purged.iter().take(MOST_TOLD) {
        let why = format!("purged by record {} on {}: {}", it.record, ui::moment(it.time), it.reason);
        context.say(&left_out(context.paint_err, &it.path, &why));
    }
    if let Some(more) = purged.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
        context.say(&format!("and {} more", ui::count(more as u64, "purged file")));
    }
}

/// Why content is gone, as JSON.
pub fn tombstone(it: &Tombstone) -> Value {
    json!({ "record": it.record, "time": it.time.to_string(), "reason": it.reason.to_string() })
}

/// All of them, as JSON.
pub fn document(purged: &[PurgedPath]) -> Value {
    let one = |it: &PurgedPath| {
        json!({
            "path": it.path,
            "content": json::id(&it.content),
            "record": it.record,
            "time": it.time.to_string(),
            "reason": it.reason,
        })
    };
    purged.iter().map(one).collect()
}

/// How a command ends that passed over some.
pub fn ending<'p>(mut purged: impl Iterator<Item = &'p Vec<PurgedPath>>) -> Ending {
    if purged.all(Vec::is_empty) { Ending::Done } else { Ending::Incomplete }
}
