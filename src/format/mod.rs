//! Bytes ↔ types, nothing else: no input or output happens here. The rules are in `docs/format.md`.
//!
//! Each parser checks its whole input and allocates no more than the input proves; each is fuzzed.

pub mod codec;
pub mod header;
pub mod hint;
pub mod index;
pub mod pack;
pub mod place;
