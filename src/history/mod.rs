//! What the log means: the fold of its records, refs, ancestry.

pub mod alive;
pub mod bases;
pub mod dag;
pub mod fold;
pub mod gaps;
pub mod guard;
pub mod keep;
pub mod local_copy;
pub mod lost_log;
pub mod newest;
pub mod numbers;
pub mod records;
pub mod refs;
pub mod state;
pub mod timeline;
pub mod undo;
