//! The only user of SQLite: what a machine remembers and can always rebuild.

pub mod stat_index;
