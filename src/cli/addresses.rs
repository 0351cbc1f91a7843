//! Addresses and stores as they are typed. Every reading command takes its address through here.

use std::path::Path;

use dagset::base::{Error, Result};
use dagset::engine::{Address, Location};

use super::Context;

/// An address; in a workspace a bare word is a ref of its dataset, elsewhere a dataset. A dataset without its store is of the one that was
/// given by `--store`.
pub fn parse(context: &Context, text: &str) -> Result<Address> {
    let engine = context.engine()?;
    let address = match engine.in_workspace() {
        true => Address::parse_in_workspace(text, engine.settings.home.as_deref()),
        false => Address::parse(text, engine.settings.home.as_deref()),
    }
    .map_err(|fault| hint_at_folder(&engine.settings.folder, text, fault))?;
    let location = match (address.location, typed_store(context)?) {
        (Location::Dataset(dataset), Some(store)) => {
            Location::Store { text: format!("{}//{dataset}", store.trim_end_matches('/')) }
        }
        (location, _) => location,
    };
    Ok(Address { location, ..address })
}

/// Says how a store is written, where what is no address begins as a folder that is here.
fn hint_at_folder(here: &Path, text: &str, fault: Error) -> Error {
    let first = text.split('/').next().filter(|first| text.len() > first.len() && !first.is_empty());
    match first {
        Some(first) if here.join(first).is_dir() => fault.hint(format!("write ./{text}")),
        _ => fault,
    }
}

/// The store given by `--store`, which wins over that of a workspace.
fn typed_store(context: &Context) -> Result<Option<String>> {
    Ok(context.engine()?.settings.default_store.clone().filter(|_| context.global.store.is_some()))
}

/// An address, or what the workspace is based on where none is given.
pub fn parse_or_here(context: &Context, text: Option<&str>) -> Result<Address> {
    match text {
        Some(text) => parse(context, text),
        None => Ok(here(context)?.unwrap_or(Address { location: Location::Here, reference: None, path: None })),
    }
}

/// The workspace's dataset, where there is a workspace.
pub fn here(context: &Context) -> Result<Option<Address>> {
    let address = Address { location: Location::Here, reference: None, path: None };
    Ok(context.engine()?.in_workspace().then_some(address))
}

/// A store that is named as such, else that of `--store`, of the workspace, or the default store.
pub fn store(context: &Context, given: Option<&str>) -> Result<String> {
    let engine = context.engine()?;
    match given.map_or_else(|| typed_store(context), |text| checked_store(text).map(Some))? {
        Some(store) => Ok(store),
        None if engine.in_workspace() => engine.home_store(),
        None => engine.settings.default_store.clone().ok_or_else(|| {
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
