//! The only user of SQLite: what a machine remembers and can always rebuild.

mod database;
pub mod mirror;
pub mod stat_index;
