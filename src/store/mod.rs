//! Where the bytes lie: the objects of a store behind one small trait, found by an address.
//!
//! Only [`backend`] knows of `object_store` and of async. What cuts across (counting, planned faults) is a decorator
//! over [`Objects`]; every implementation passes the one suite in `tests/all/conformance.rs`.

pub mod access;
pub mod address;
mod aws;
mod aws_profile;
pub mod backend;
pub mod content;
mod ensure;
pub(crate) mod fault;
pub mod faulty;
pub mod fetch;
pub mod folder;
mod frames;
mod kept_frames;
mod kept_indexes;
pub mod lanes;
pub mod locate;
pub mod log;
pub mod log_end;
pub mod nested;
pub mod objects;
pub mod offline;
pub mod pace;
mod pack_ranges;
pub mod probe;
pub mod recording;
pub mod strangers;
pub mod trial;
pub mod uses;

pub use access::{Access, Patience, StoreSettings};
pub use address::{Address, Location, RefBase, RefExpr, Step};
pub use locate::{Located, locate};
pub use objects::{Below, Bucket, Created, Listing, ObjectMeta, Objects, Verb};
