//! The digest of a file on all cores.
//!
//! BLAKE3 is a tree over pieces whose lengths are powers of two: each core reads a piece and hashes it while it is in that core's caches, and
//! what the pieces give is merged in the end. None waits for another.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use rayon::prelude::*;

use crate::base::{Error, Id, Result};

/// Bytes that a core reads and hashes at a time; a power of two.
const PIECE: u64 = 512 << 10;

/// The digest of all of a file, wherever it was read last; where it is read next is left open.
pub fn hash_file(path: &Path, file: &mut File) -> Result<Id> {
    let hash = || {
        let bytes = file.metadata()?.len();
        if bytes > PIECE
            && let Some(pieces) = hash_pieces(file, bytes)?
        {
            return Ok(root(&pieces));
        }
        hash_in_turn(file)
    };
    hash().map_err(|fault| Error::io("read", path, fault))
}

/// For a small file, and for one whose length isn't what it says.
fn hash_in_turn(mut file: &File) -> io::Result<Id> {
    file.rewind()?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Id(*hasher.finalize().as_bytes())),
            Ok(read) => _ = hasher.update(&buffer[..read]),
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
}

/// The pieces of a file of so many bytes, each hashed; `None` where it turns out to have others.
fn hash_pieces(file: &File, bytes: u64) -> io::Result<Option<Vec<ChainingValue>>> {
    let next = AtomicU64::new(0);
    let work = |_| {
        let mut hashed = Vec::new();
        let mut buffer = vec![0; PIECE as usize];
        loop {
            // All go through the file side by side, so that the disk sees one stream.
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(left) = bytes.checked_sub(number * PIECE).filter(|left| *left > 0) else { return Ok(hashed) };
            let piece = &mut buffer[..left.min(PIECE) as usize];
            file.read_exact_at(piece, number * PIECE)?;
            hashed.push((number, Hasher::new().set_input_offset(number * PIECE).update(piece).finalize_non_root()));
        }
    };
    let workers = (rayon::current_num_threads() as u64).min(bytes.div_ceil(PIECE));
    let hashed: io::Result<Vec<Vec<(u64, ChainingValue)>>> = (0..workers).into_par_iter().map(work).collect();
    let mut hashed = match hashed {
        Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        hashed => hashed?.concat(),
    };
    let goes_on = file.read_at(&mut [0], bytes)? > 0;
    hashed.sort_unstable_by_key(|(number, _)| *number);
    Ok((!goes_on).then(|| hashed.into_iter().map(|(_, value)| value).collect()))
}

/// The root over two pieces or more.
fn root(pieces: &[ChainingValue]) -> Id {
    let (left, right) = halves(pieces);
    Id(*merge_subtrees_root(&merged(left), &merged(right), Mode::Hash).as_bytes())
}

fn merged(pieces: &[ChainingValue]) -> ChainingValue {
    match pieces {
        [piece] => *piece,
        pieces => {
            let (left, right) = halves(pieces);
            merge_subtrees_non_root(&merged(left), &merged(right), Mode::Hash)
        }
    }
}

/// On the left the largest power of two that leaves something on the right: so BLAKE3's tree is built.
fn halves(pieces: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    pieces.split_at(pieces.len().next_power_of_two() / 2)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let mut noise = vec![0; 9 * PIECE as usize + 1];
        Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
        let path = Path::new("some file");
        for pieces in 0..=9 {
            for bytes in [pieces * PIECE, pieces * PIECE + 1, pieces * PIECE + 1025] {
                let content = &noise[..(bytes as usize).min(noise.len())];
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(content).unwrap();
                assert_eq!(hash_file(path, &mut file).unwrap(), Id::of(content), "{bytes} bytes");
            }
        }
    }

    #[test]
    fn a_file_that_is_longer_or_shorter_than_was_said_has_no_pieces() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 3 * PIECE as usize]).unwrap();
        assert!(hash_pieces(&file, 3 * PIECE - 1).unwrap().is_none());
        assert!(hash_pieces(&file, 3 * PIECE + 1).unwrap().is_none());
        assert_eq!(hash_pieces(&file, 3 * PIECE).unwrap().map(|pieces| pieces.len()), Some(3));
    }
}
