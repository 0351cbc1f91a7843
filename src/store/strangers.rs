//! What stands in a folder store where a folder or an object of it belongs, and is none: a FIFO, a link that leads nowhere, a plain file in the
//! place of a folder, a folder in that of an object.
//!
//! Such a place must never pass for one where nothing is: a log whose newest record, or folder, is hidden by a stranger would be taken for a
//! shorter one. In a bucket nobody can stand in anybody's way: keys that begin alike don't know of each other.

use std::fs;
use std::path::Path;

use super::log;
use super::objects::{Belongs, Bucket};
use crate::base::stat::{NodeKind, stat_file};
use crate::base::{Error, Kind, Result};
use crate::format::header::ObjectKind;

/// Where a repair moves what is in the way. No reader looks there.
pub const ASIDE: &str = "damaged";

/// The error for what stands in the way to `name` below the root of the store `shown`, or in its place; `None` where nothing does.
pub(super) fn in_the_way(root: &Path, name: &str, belongs: Belongs, shown: &str) -> Option<Error> {
    let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
    for place in ends.map(|end| &name[..end]).filter(|place| !place.is_empty()) {
        let is_object = belongs == Belongs::Object && place.len() == name.len();
        let path = root.join(place);
        match fs::metadata(&path) {
            Ok(meta) if is_object && meta.is_file() || !is_object && meta.is_dir() => {}
            Ok(_) => return Some(stranger(&path, place, is_object, shown)),
            // Nothing, or a link to nothing.
            Err(_) => {
                let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
                return is_link.then(|| stranger(&path, place, is_object, shown));
            }
        }
    }
    None
}

fn stranger(path: &Path, place: &str, is_object: bool, shown: &str) -> Error {
    let what = match stat_file(path).map(|(_, kind)| kind) {
        Ok(NodeKind::Special(what)) => what,
        Ok(NodeKind::Folder) => "a folder",
        Ok(NodeKind::Symlink) => "a link that leads to nothing of that kind",
        _ => "a plain file",
    };
    let wanted = if is_object { "regular file" } else { "folder" };
    let repair = format!(
        "`dagset verify {shown} --repair-from COPY` moves it to {ASIDE}/, and puts back what a copy of the store has"
    );
    Error::damaged(format!("{place} in the store {shown} is no {wanted}: {what} stands there")).hint(match place {
        ASIDE => format!("move {shown}/{ASIDE} away: nothing in it is needed"),
        _ if is_object || place.split('/').next() == Some(log::FOLDER) => repair,
        _ => format!("{repair}; without a copy `dagset doctor {shown} --fix` moves it, and `dagset verify {shown}` lists what is lost"),
    })
}

/// A place of one of a store's folders that is taken by something else.
#[derive(Debug)]
pub struct Taken {
    /// The folder's name.
    pub place: String,
    pub why: Error,
}

/// The places of a store's folders that something else stands in: those of each kind of object, and those in which records lie.
///
/// Some lists of a folder store, none of a bucket.
pub fn in_place_of_folders(bucket: &Bucket) -> Result<Vec<Taken>> {
    let mut taken = Vec::new();
    if bucket.is_far() {
        return Ok(taken);
    }
    for kind in [ObjectKind::Pack, ObjectKind::MetaPack, ObjectKind::Index, ObjectKind::State, ObjectKind::Use] {
        look(bucket, kind.folder(), 0, &mut taken)?;
    }
    look(bucket, log::FOLDER, 2, &mut taken)?;
    Ok(taken)
}

/// What else stands in the place of one folder.
pub fn in_place_of(bucket: &Bucket, folder: &str) -> Option<Taken> {
    let why = bucket.list(folder).err().filter(|why| why.kind() == Kind::Damaged)?;
    Some(Taken { place: folder.to_owned(), why })
}

/// Looks at a folder, and at those of numbers `depth` levels below it.
fn look(bucket: &Bucket, folder: &str, depth: u32, taken: &mut Vec<Taken>) -> Result<()> {
    let listing = match bucket.list(folder) {
        Err(why) if why.kind() == Kind::Damaged => {
            taken.push(Taken { place: folder.to_owned(), why });
            return Ok(());
        }
        listing => listing?,
    };
    if depth == 0 {
        return Ok(());
    }
    let objects = listing.objects.iter().map(|object| &object.name);
    // A link that leads nowhere isn't listed. The first folder is the one that most stores have alone.
    let mut names: Vec<&str> = objects.chain(&listing.folders).map(String::as_str).chain(["000"]).collect();
    names.retain(|name| log::three_digits(name).is_some());
    // Of the lowest level it is enough to see that they are folders.
    if depth == 1 {
        names.retain(|name| !listing.folders.iter().any(|folder| folder == name));
    }
    names.sort_unstable();
    names.dedup();
    names.iter().try_for_each(|name| look(bucket, &format!("{folder}/{name}"), depth - 1, taken))
}
