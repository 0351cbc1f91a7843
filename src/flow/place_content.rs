//! A file's content from a near store to where it goes, verified as a whole.
//!
//! What is written can't be seen before it is whole and right: so the chunks of a large file need no hash of their own, which would be a second
//! one for each byte. Where the whole turns out wrong, it is read and written once more, each chunk verified: that takes a good copy where there
//! is one, and else names what is damaged. From a far store a second reading costs more than the hashes, and each chunk is verified.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use rayon::prelude::*;

use crate::base::{Error, Id, Result, Tally};
use crate::chunk::cut::SMALL_FILE;
use crate::format::place::Place;
use crate::store::content::Content;

use super::read_content::{ChunkToRead, Chunks, Groups, fetch_chunk, read_content};

/// A file is read, hashed and written in pieces of about this many bytes: one is written while the next two are read. With smaller ones the
/// threads spend their time waking each other.
const PIECE_BYTES: u64 = 8 << 20;

/// Gives the content of a file to `sink`, each piece with where it begins; fails if it isn't `content`.
///
/// A piece may be given twice, and the second is the right one. Only when this has returned without an error is what was given verified.
/// `place` and `tally` are as in [`read_content`].
pub fn place_content(
    store: &Content,
    content: &Id,
    size: u64,
    place: Option<&Place>,
    tally: &Arc<Tally>,
    mut sink: impl FnMut(u64, &[u8]) -> Result<()> + Send,
) -> Result<()> {
    if size > SMALL_FILE && !store.is_far() {
        store.refuse_purged(content)?;
        let chunks = Chunks::open(store, content, size, place)?;
        let placed = place_large(store, chunks, tally, &mut sink).map_err(|fault| store.or_purged(content, fault))?;
        if placed == *content {
            return Ok(());
        }
    }
    let mut at = 0;
    read_content(store, content, size, place, tally, |bytes| {
        sink(at, bytes)?;
        at += bytes.len() as u64;
        Ok(())
    })
}

/// Gives what seem to be the chunks of a file to `sink`, and says what content they are together.
fn place_large(
    store: &Content,
    chunks: Chunks<'_>,
    tally: &Arc<Tally>,
    sink: &mut (impl FnMut(u64, &[u8]) -> Result<()> + Send),
) -> Result<Id> {
    let mut groups = Groups::new(store, chunks, tally, PIECE_BYTES);
    let first = groups.next()?.unwrap_or_default();
    let Some(second) = groups.next()? else {
        let mut piece = Vec::new();
        fill(store, &first, &mut piece)?;
        sink(0, &piece)?;
        return Ok(Id::of(&piece));
    };
    std::thread::scope(|scope| {
        let (ready, pieces) = mpsc::sync_channel(1);
        let (done_with, spare) = mpsc::channel();
        let writer = scope.spawn(move || write(&pieces, &done_with, sink));
        let read = move || {
            let mut hasher = blake3::Hasher::new();
            let mut coming = [first, second].into_iter();
            while let Some(group) = coming.next().map_or_else(|| groups.next(), |group| Ok(Some(group)))? {
                let mut piece = spare.try_recv().unwrap_or_default();
                let fill_and_hash = || {
                    fill(store, &group, &mut piece)?;
                    hasher.update_rayon(&piece);
                    Ok::<_, Error>(())
                };
                rayon::join(fill_and_hash, || ()).0?;
                // Who writes has failed.
                if ready.send(piece).is_err() {
                    break;
                }
            }
            Ok(Id(*hasher.finalize().as_bytes()))
        };
        let read = read();
        writer.join().expect("a writer doesn't panic").and(read)
    })
}

/// Gives pieces to `sink` as they come: that alone takes about as long as all the rest.
fn write(
    pieces: &Receiver<Vec<u8>>,
    done_with: &Sender<Vec<u8>>,
    sink: &mut impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut at = 0;
    for piece in pieces {
        sink(at, &piece)?;
        at += piece.len() as u64;
        done_with.send(piece).ok();
    }
    Ok(())
}

/// Has `piece` hold what seem to be these chunks, and nothing else.
fn fill(store: &Content, chunks: &[ChunkToRead], piece: &mut Vec<u8>) -> Result<()> {
    piece.resize(chunks.iter().map(|chunk| chunk.len as usize).sum(), 0);
    let mut rest = piece.as_mut_slice();
    let mut parts = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let (part, behind) = rest.split_at_mut(chunk.len as usize);
        parts.push((chunk, part));
        rest = behind;
    }
    parts.into_par_iter().try_for_each(|(chunk, part)| {
        if !chunk.place.is_some_and(|place| store.copy_unverified(&place, part)) {
            part.copy_from_slice(fetch_chunk(store, chunk)?.bytes());
        }
        Ok(())
    })
}
