//! Addresses and stores as they are typed. Every reading command takes its address through here.

use std::path::{Path, PathBuf};

use dagset::base::{Error, Result};
use dagset::engine::{Address, Settings};

use super::Context;

/// An address; in a workspace a bare word is a ref of its dataset, elsewhere a dataset.
pub fn parse(context: &Context, text: &str) -> Result<Address> {
    let settings = &context.engine()?.settings;
    match workspace(settings) {
        Some(_) => Address::parse_in_workspace(text, settings.home.as_deref()),
        None => Address::parse(text, settings.home.as_deref()),
    }
}

/// The workspace that the working folder lies in. None is looked for as long as no command makes one: the place for that is here,
/// walking up from the folder to the first that holds `.dagset/`.
fn workspace(_settings: &Settings) -> Option<PathBuf> {
    None
}

/// A store that is named as such, else the default store.
pub fn store(context: &Context, given: Option<&str>) -> Result<String> {
    let settings = &context.engine()?.settings;
    match given {
        Some(text) => checked_store(text),
        None => settings.default_store.clone().ok_or_else(|| {
            Error::usage("no store is named, and there is no default store")
                .hint("give one, or set it with `dagset config set default_store STORE`")
        }),
    }
}

/// Refuses a bare word as a store: as part of an address it would be a dataset.
pub fn checked_store(text: &str) -> Result<String> {
    let names_a_store = ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start))
        || matches!(text, "." | "..")
        || text.contains("://");
    match names_a_store {
        true => Ok(text.to_owned()),
        false => Err(Error::usage(format!("{text} names no store: a store begins with / ./ ../ ~/ or scheme://"))
            .hint(format!("write ./{text}"))),
    }
}

/// A path for people: as it is below the working folder, if it is.
pub fn shown_path(folder: &Path, path: &Path) -> String {
    match path.strip_prefix(folder) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => format!("./{}", below.display()),
        Err(_) => path.display().to_string(),
    }
}
