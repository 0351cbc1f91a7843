//! What moves bytes: from folders into a store and back.

mod agree;
pub mod by_cache;
pub mod carry;
pub mod fill;
pub mod gc;
mod known;
mod large_file;
pub mod materialize;
pub mod merge;
pub mod merge_indexes;
mod meta_packer;
mod node_order;
mod packer;
mod places;
pub mod propose;
pub mod read_content;
mod rebuild;
pub mod ref_moves;
pub mod registrar;
pub mod runs;
pub mod said;
pub mod session;
pub mod store_files;
mod upload;
pub mod verify;
