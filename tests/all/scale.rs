//! Stores to measure how each command grows: `benches/scale` has them filled by this, and runs the commands.

use dagset::store::backend::open_folder;

use crate::long_history::{FILES, VERSIONS, fill_wide};

#[test]
#[ignore = "fills the store that benches/scale measures"]
fn a_store_is_filled_with_a_thousand_versions() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run benches/scale"));
    let files: u64 = variable("DAGSET_SCALE_FILES").parse().expect("a number of files");
    let bucket = open_folder(&variable("DAGSET_SCALE_STORE")).expect("a store in a folder");
    fill_wide(&bucket, files / FILES, VERSIONS);
}
