//! What everything else stands on: ids, names, paths, errors, times, files written safely, counters.

pub mod error;
pub mod files;
pub mod folders;
pub mod host;
pub mod id;
pub mod lock;
pub mod name;
pub mod observer;
pub mod once;
pub mod open_folder;
pub mod path;
pub mod size;
pub mod stat;
pub mod tally;
pub mod time;
pub mod words;

pub use error::{Error, Kind, Result};
pub use id::{Id, ObjectName};
pub use name::{BranchName, DatasetName, RefName};
pub use observer::{Counter, Event, Observer};
pub use open_folder::Spot;
pub use path::RepoPath;
pub use size::size;
pub use tally::{Stage, Tally};
pub use time::Time;
