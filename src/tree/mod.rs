//! Folders on disk as sorted lists of what a version would hold, and the choice of paths by patterns.

mod children;
pub mod diff;
pub mod edit;
pub mod grouping;
pub mod hash_file;
pub mod ignore;
pub mod listing;
pub mod manifest;
pub mod merge;
pub mod part;
pub mod read_file;
pub mod resolve;
pub mod scan;
pub mod select;
pub mod share;
mod stretch;
pub mod subtrees;
mod walk;
pub use crate::base::stat;

pub use scan::{Found, FoundKind, LeftOut, LeftOutReason, Scan, ScanOptions, scan};
pub use select::Selection;
pub use stat::{NodeKind, Stat, stat_file, stat_open};
