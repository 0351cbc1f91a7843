//! `remote`: the stores that a workspace is pushed to and pulled from, by name.

use std::path::{Component, Path, PathBuf};

use crate::base::{Error, RefName, Result};
use crate::store::access::StoreSettings;
use crate::store::address::{Address, Location, refuse_secret};
use crate::workspace::control::Remote;

use super::Engine;
use super::check::StoreCheck;

/// A remote as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCard {
    pub name: RefName,
    /// `STORE/DATASET`; a store alone means its dataset of the workspace's name.
    pub url: String,
    pub settings: StoreSettings,
}

impl Engine {
    /// Adds a remote to the workspace; asks no store. A relative path is made absolute.
    ///
    /// Errors: [`Kind::Conflict`](crate::base::Kind::Conflict) where the name is taken; [`Kind::Usage`](crate::base::Kind::Usage) for a
    /// URL that names no store, holds a secret, or doesn't go with the settings.
    pub fn add_remote(&self, name: &str, url: &str, mut settings: StoreSettings) -> Result<RemoteCard> {
        let name = RefName::new(name)?;
        refuse_secret(url, "a remote's URL")?;
        let address = Address::parse(url, self.settings.home.as_deref())?;
        let Address { location: Location::Store { text }, reference: None, path: None } = address else {
            let hint = "write STORE/DATASET, as s3://bucket/data/signs; a store begins with / ./ ../ ~/ or scheme://";
            return Err(Error::usage(format!("no remote's URL: {url}")).hint(hint));
        };
        let url = self.lasting_store(&text)?;
        self.check_settings(&url, &mut settings)?;
        let control = self.find_workspace()?;
        let _lock = control.lock(&self.observer)?;
        let mut config = control.config()?;
        if let Some(there) = config.remotes.get(&name) {
            return Err(Error::conflict(format!("there is a remote {name} already: {}", there.url))
                .hint(format!("choose another name, or `dagset remote remove {name}` first")));
        }
        config.remotes.insert(name.clone(), Remote { url: url.clone(), settings: settings.clone() });
        control.write_config(&config)?;
        Ok(RemoteCard { name, url, settings })
    }

    /// The workspace's remotes, by name.
    pub fn remotes(&self) -> Result<Vec<RemoteCard>> {
        let remotes = self.find_workspace()?.config()?.remotes.into_iter();
        Ok(remotes.map(|(name, Remote { url, settings })| RemoteCard { name, url, settings }).collect())
    }

    /// Takes a remote out of the workspace's configuration; what is stored there stays.
    pub fn remove_remote(&self, name: &str) -> Result<RemoteCard> {
        let card = self.remote(Some(name))?;
        let control = self.find_workspace()?;
        let _lock = control.lock(&self.observer)?;
        let mut config = control.config()?;
        config.remotes.remove(&card.name);
        control.write_config(&config)?;
        Ok(card)
    }

    /// The remote of this name; without one the only remote, or of several the one that is called `origin`.
    pub fn remote(&self, name: Option<&str>) -> Result<RemoteCard> {
        refuse_secret(name.unwrap_or_default(), "a remote's name")?;
        let mut remotes = self.remotes()?;
        let names = remotes.iter().map(|remote| remote.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = match name {
            Some(name) => remotes.iter().position(|remote| remote.name.as_str() == name),
            None if remotes.len() == 1 => Some(0),
            None => remotes.iter().position(|remote| remote.name.as_str() == "origin"),
        };
        match (found, name) {
            (Some(at), _) => Ok(remotes.swap_remove(at)),
            (None, _) if remotes.is_empty() => Err(Error::not_found("this workspace has no remote")
                .hint("`dagset remote add NAME STORE/DATASET` adds one")),
            (None, Some(name)) => {
                Err(Error::not_found(format!("there is no remote {name}")).hint(format!("the remotes are {names}")))
            }
            (None, None) => Err(Error::usage("there are several remotes, and none is called origin")
                .hint(format!("name one of {names}"))),
        }
    }

    /// The store that a remote's URL begins with.
    pub fn store_of(&self, url: &str) -> Result<String> {
        self.locate(&self.expand(url)?).map(|located| located.store_root)
    }

    /// Walks the steps to the store of a remote; see [`Engine::check_store`].
    pub fn check_remote(&self, name: Option<&str>) -> Result<(RemoteCard, StoreCheck)> {
        let remote = self.remote(name)?;
        let check = self.check_store(&remote.url)?;
        Ok((remote, check))
    }

    /// A store's text that means the same wherever it is used from: a relative path is made absolute.
    pub fn lasting_store(&self, text: &str) -> Result<String> {
        if text.contains("://") || text.starts_with('/') || text.starts_with("~/") {
            return Ok(text.to_owned());
        }
        // A `//` says where the store ends, and would get lost among the parts of a path.
        let (store, dataset) = text.split_once("//").map_or((text, None), |(store, dataset)| (store, Some(dataset)));
        let mut path = self.settings.folder.clone();
        for part in Path::new(store).components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => drop(path.pop()),
                part => path.push(part),
            }
        }
        let path = path.into_os_string().into_string();
        let path = path.map_err(|path| Error::usage(format!("not UTF-8: {}", PathBuf::from(path).display())))?;
        Ok(dataset.map_or(path.clone(), |dataset| format!("{path}//{dataset}")))
    }

    /// Refuses settings that mean nothing for the store, or would put a secret into a file.
    fn check_settings(&self, url: &str, settings: &mut StoreSettings) -> Result<()> {
        if !url.contains("://") && *settings != StoreSettings::default() {
            return Err(Error::usage(format!("{url} is a folder, and the settings are for stores behind a network"))
                .hint("leave them out"));
        }
        if let Some(endpoint) = &settings.endpoint {
            refuse_secret(endpoint, "an endpoint")?;
            crate::store::probe::Server::of_url(endpoint)?;
            if endpoint.starts_with("http://") && settings.allow_http == Some(false) {
                return Err(Error::usage("the endpoint begins with http://, and that isn't allowed"));
            }
        }
        if let Some(file) = &mut settings.ca_file {
            *file = self.path(file);
            if !file.is_file() {
                return Err(Error::not_found(format!("there is no file {}", file.display())));
            }
        }
        Ok(())
    }
}
