//! dagset keeps versions of datasets: a DAG of immutable snapshots in a store.
//!
//! The layers, each using only those below it: `engine` (one method per user operation), `flow` (what moves bytes),
//! `workspace`, `history` (what the log means), `tree` (folders and manifests), `catalog` (SQLite), `store` (objects and the log),
//! `format` (bytes ↔ types), `chunk` (cut, compress), `base`. The design is in `docs/design.md`, every stored byte in `docs/format.md`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "unit tests lay out files"))]

pub mod base;
pub mod cache;
pub mod catalog;
pub mod chunk;
pub mod engine;
pub mod flow;
pub mod format;
pub mod history;
pub mod store;
pub mod tree;
pub mod workspace;
