//! Where the bytes lie: the objects of a store behind one small trait, found by an address.
//!
//! Only [`backend`] knows of `object_store` and of async. What cuts across (counting, planned faults) is a decorator
//! over [`Objects`]; every implementation passes the one suite in `conformance.rs`.

pub mod access;
pub mod address;
pub mod backend;
pub mod content;
mod fault;
pub mod faulty;
mod fetch;
pub mod folder;
mod kept_indexes;
pub mod locate;
pub mod log;
pub mod objects;
pub mod offline;
pub mod recording;

#[cfg(test)]
mod conformance;

pub use access::{Access, StoreSettings};
pub use address::{Address, Location, RefBase, RefExpr, Step};
pub use locate::{Located, locate};
pub use objects::{Bucket, Created, Listing, ObjectMeta, Objects, Verb};
