//! What moves bytes: from folders into a store and back.

mod known;
mod large_file;
mod meta_packer;
mod packer;
pub mod propose;
mod read_file;
mod store_files;
mod upload;
