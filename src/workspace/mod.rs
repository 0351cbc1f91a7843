//! A checked-out folder: `.dagset/` says of which dataset, branch and version it is; a comparison says what changed in it.

pub mod compare;
pub mod control;
pub mod merging;
pub mod seen_tags;
