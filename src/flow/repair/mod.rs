//! Mending what a verification found, from copies that are elsewhere (docs/design.md, "Mending").
//!
//! A round takes findings and mends what it can; the caller verifies again, and the next findings are the next round's. So each step may be cut
//! off anywhere, and nothing is believed mended that wasn't read.
//!
//! - What has a name of its own (records, states, indexes, uses) is put back byte for byte: [`named`].
//! - Of packs the content is stored anew, under other names, and one record takes their rows out of the indexes: [`items`].
//! - A damaged object that has to make room is kept below `damaged/`, under its name and its hash, for whoever wants to look at it; so is a FIFO,
//!   a device or a folder that stands in an object's place, and what stands in that of a folder ([`room`]).

use std::collections::HashSet;
use std::path::PathBuf;

use bytes::Bytes;

use crate::base::files::random_bytes;
use crate::base::{Id, Kind, ObjectName, Observer, RepoPath, Result};
use crate::format::header::ObjectKind;
use crate::format::pack::ItemKind;
use crate::history::timeline::{Actor, Timeline};
use crate::store::content::Content;
use crate::store::objects::{Belongs, Bucket, Created};
pub use crate::store::strangers::ASIDE;

use super::gc::ContentOf;
use super::verify::Finding;

mod files;
mod items;
mod log;
mod named;
mod newest;
mod room;
mod uses;

pub use log::{LogSources, mend_log, move_strangers};
pub use newest::{NewestMended, mend_newest, put_back_end};
pub use room::make_room;

/// A store that may have what another one lost.
pub struct SourceStore {
    pub bucket: Bucket,
    pub store: [u8; 16],
    pub content: Content,
}

/// Where the bytes of a file may lie on this machine, by content, size and a path that has it. They are looked at, not trusted.
pub type FindFile<'a> = dyn Fn(&Id, u64, &RepoPath) -> Vec<PathBuf> + 'a;

/// What was mended, or would be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mended {
    /// The object, or the id of what was missing.
    pub object: String,
    pub how: String,
}

/// Where mends come from, and who makes them.
pub struct Mender<'a> {
    pub actor: Actor,
    pub observer: Observer,
    pub content_of: &'a ContentOf<'a>,
    pub stores: &'a [SourceStore],
    pub find_file: &'a FindFile<'a>,
    /// Nothing is written.
    pub dry_run: bool,
}

impl Mender<'_> {
    /// Mends what it can of `findings`, whose log can be read; gives what it did.
    pub fn mend(&self, timeline: &mut Timeline, findings: &[Finding]) -> Result<Vec<Mended>> {
        let mut mended = self.mend_states(timeline, findings)?;
        mended.extend(self.mend_uses(timeline.bucket(), findings)?);
        mended.extend(self.mend_indexes(timeline, findings)?);
        // What the packs held can't be told while an index isn't there.
        if !self.dry_run || mended.is_empty() {
            match self.mend_items(timeline, findings) {
                Err(fault) if fault.kind() == Kind::Damaged && !mended.is_empty() => {}
                outcome => mended.extend(outcome?),
            }
        }
        Ok(mended)
    }

    /// The stores that are copies of the one that is mended: the log of a copy names the same objects.
    fn copies(&self, store: [u8; 16]) -> impl Iterator<Item = &SourceStore> {
        self.stores.iter().filter(move |source| source.store == store)
    }

    /// Puts an object in its place, where something else may be.
    fn put_back(&self, bucket: &Bucket, name: &str, bytes: &[u8]) -> Result<()> {
        if self.dry_run { Ok(()) } else { put_back(bucket, name, bytes) }
    }
}

/// Puts `bytes` under a name that a damaged object may have, which is kept aside.
pub fn put_back(bucket: &Bucket, name: &str, bytes: &[u8]) -> Result<()> {
    put_aside(bucket, name)?;
    match bucket.create(name, Bytes::copy_from_slice(bytes))? {
        Created::New => Ok(()),
        Created::Exists if bucket.get(name)?.as_ref() == bytes => Ok(()),
        Created::Exists => Err(crate::base::Error::conflict(format!("{name} was written by somebody else just now"))
            .hint("run the command again")),
    }
}

/// Copies an object to [`ASIDE`] and removes it from its place; one that isn't there is well. What is no object, and stands there, moves.
fn put_aside(bucket: &Bucket, name: &str) -> Result<()> {
    if bucket.move_stranger(name, Belongs::Object, &aside(name, &random_bytes()?))? {
        return Ok(());
    }
    let bytes = match bucket.get(name) {
        Err(fault) if fault.kind() == Kind::NotFound => return Ok(()),
        read => read?,
    };
    // It goes from its place next: a copy must be there.
    bucket.ensure(&aside(name, &bytes), bytes, None)?;
    bucket.delete(name)
}

/// Where what is in the way at `name` is kept.
fn aside(name: &str, told_by: &[u8]) -> String {
    format!("{ASIDE}/{}-{}", name.replace('/', "."), Id::of(told_by).short())
}

/// The bytes of a damaged object; none where what stands there is no object at all.
fn damaged_bytes(bucket: &Bucket, name: &str) -> Result<Bytes> {
    match bucket.get(name) {
        Err(fault) if fault.kind() == Kind::Damaged => Ok(Bytes::new()),
        read => read,
    }
}

/// The objects of a kind that findings speak of.
fn found_of(findings: &[Finding], kind: ObjectKind) -> HashSet<ObjectName> {
    let of_kind = |finding: &Finding| {
        let (folder, name) = finding.object.split_once('/')?;
        ObjectName::parse(name).ok().filter(|_| folder == kind.folder())
    };
    findings.iter().filter_map(of_kind).collect()
}

/// What somebody needs: the id of a chunk or a meta object.
type Item = (Id, ItemKind);
