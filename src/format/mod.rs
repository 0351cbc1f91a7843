//! Bytes ↔ types, nothing else: no input or output happens here. The rules are in `docs/format.md`.
//!
//! Each parser checks its whole input and allocates no more than the input proves; each is fuzzed.

pub mod attrs;
pub mod codec;
pub mod header;
pub mod hint;
pub mod index;
pub mod lock_file;
pub mod manifest;
pub mod node;
pub mod operation;
pub mod pack;
pub mod place;
pub mod recipe;
pub mod record;
pub mod state;
pub mod store_file;
pub mod tombstone;
pub mod tree;
pub mod usage;
pub mod version;

use crate::base::{Error, Kind};

/// What is stored was written by a newer dagset.
pub fn needs_newer(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Failed, format!("{what} needs a newer dagset"))
        .hint("install the newest dagset; this one refuses before it harms anything")
}
