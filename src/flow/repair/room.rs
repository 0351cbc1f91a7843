//! Folders of a store in whose place something else stands: it moves away, so that what belongs there can come back.

use crate::base::Result;
use crate::base::files::random_bytes;
use crate::store::objects::{Belongs, Bucket};
use crate::store::{log, strangers};

use super::{ASIDE, Mended, aside};

/// Moves what stands in the place of a store's folders to [`ASIDE`]; in that of the log's only where `mends_log`, for without it the store would
/// seem to have none, and the next writer would begin another.
pub fn make_room(bucket: &Bucket, mends_log: bool, dry_run: bool) -> Result<Vec<Mended>> {
    let mut mended = Vec::new();
    for place in strangers::in_place_of_folders(bucket)?.into_iter().map(|taken| taken.place) {
        if !mends_log && place.split('/').next() == Some(log::FOLDER) {
            continue;
        }
        if dry_run || bucket.move_stranger(&place, Belongs::Folder, &aside(&place, &random_bytes()?))? {
            mended.push(Mended { object: place, how: format!("what stood there was moved to {ASIDE}/") });
        }
    }
    Ok(mended)
}
