//! Where files are cut and how chunks are compressed (docs/format.md §5).
//!
//! Pure functions over bytes in memory: no files, no threads. The cut points are part of the format and frozen; the compressor's output isn't,
//! since ids are over uncompressed bytes.

pub mod compress;
pub mod cut;

pub use compress::{compress, compress_against, decompress};
pub use cut::{FIXED, MAX, MIN, Rule, SMALL_FILE, next_cut, pieces, sniff};
