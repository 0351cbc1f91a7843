//! The user's configuration: a TOML file of texts, and a table of settings for each store.
//!
//! ```toml
//! author = "Ann <ann@lab.example>"
//!
//! [store."s3://bucket/data"]
//! profile = "team"
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use dagset::base::files::{self, Durability};
use dagset::base::{Error, Result};
use dagset::engine::{StoreSettings, refuse_secret};
use toml::{Table, Value};

use super::settings::user_config_file;

/// Keys, and what they mean.
pub const KEYS: [&str; 5] = ["author", "cache", "default_store", "limit_rate", "record_uses"];
/// What can be set for a store. No key of it is a secret, and none will be.
const STORE_KEYS: [&str; 6] = ["profile", "endpoint", "region", "path_style", "allow_http", "ca_file"];
const SWITCHES: [&str; 2] = ["path_style", "allow_http"];

/// What the file says; an absent one is empty.
pub struct UserConfig {
    path: Option<PathBuf>,
    table: Table,
}

/// A key, taken apart.
enum Key<'a> {
    Plain(&'a str),
    /// `store.URL.SETTING`: a URL has dots of its own, a setting has none.
    OfStore {
        url: &'a str,
        setting: &'a str,
    },
}

impl UserConfig {
    /// Reads the file.
    pub fn load() -> Result<UserConfig> {
        let path = user_config_file();
        let bytes = path.as_deref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        let not_understood = |why: String| {
            let shown = path.as_deref().unwrap_or(Path::new("config.toml")).display().to_string();
            Error::usage(format!("the configuration {shown} can't be understood")).because(why)
        };
        let content = String::from_utf8(bytes).map_err(|fault| not_understood(fault.to_string()))?;
        let table = content.parse::<Table>().map_err(|fault| not_understood(fault.message().to_owned()))?;
        Ok(UserConfig { path, table })
    }

    /// One that says nothing.
    pub fn empty() -> UserConfig {
        UserConfig { path: None, table: Table::new() }
    }

    /// Keys of the file that mean nothing.
    pub fn unknown(&self) -> Vec<String> {
        let plain = self.table.keys().filter(|key| *key != "store" && !KEYS.contains(&key.as_str())).cloned();
        let stores = self.table.get("store").and_then(Value::as_table).into_iter().flatten();
        let of_stores = stores.flat_map(|(url, settings)| {
            let keys = settings.as_table().into_iter().flatten().map(move |(key, _)| format!("store.{url}.{key}"));
            keys.filter(|key| parse(key).is_err())
        });
        plain.chain(of_stores).collect()
    }

    /// The value of a key, if it is set.
    pub fn get(&self, key: &str) -> Option<String> {
        let value = match parse(key).ok()? {
            Key::Plain(key) => self.table.get(key)?,
            Key::OfStore { url, setting } => self.table.get("store")?.get(url)?.get(setting)?,
        };
        shown(value).filter(|value| !value.is_empty())
    }

    /// Every key that is set, with its value.
    pub fn all(&self) -> Vec<(String, String)> {
        let plain = KEYS.iter().map(|key| (*key).to_owned());
        let stores = self.table.get("store").and_then(Value::as_table).into_iter().flatten();
        let of_store =
            stores.flat_map(|(url, _)| STORE_KEYS.iter().map(move |setting| format!("store.{url}.{setting}")));
        plain.chain(of_store).filter_map(|key| Some((key.clone(), self.get(&key)?))).collect()
    }

    /// Sets a key, or unsets it, and writes the file.
    pub fn set(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        refuse_secret(key, "a key of the configuration")?;
        refuse_secret(value.unwrap_or_default(), "a setting")?;
        let (table, key) = match parse(key)? {
            Key::Plain(key) => (&mut self.table, key),
            Key::OfStore { url, setting } => (inner(inner(&mut self.table, "store")?, url)?, setting),
        };
        match value {
            Some(value) if SWITCHES.contains(&key) => {
                let on = value.parse().map_err(|_| Error::usage(format!("{key} is true or false, not {value:?}")))?;
                table.insert(key.to_owned(), Value::Boolean(on))
            }
            Some(value) => table.insert(key.to_owned(), Value::String(value.to_owned())),
            None => table.remove(key),
        };
        self.drop_empty_stores();
        let path = self.path.as_deref();
        let path =
            path.ok_or_else(|| Error::usage("no home folder is known, so there is no place for the configuration"))?;
        if let Some(folder) = path.parent() {
            files::create_folders(folder)?;
        }
        files::write_file(path, self.table.to_string().as_bytes(), Durability::Synced)
    }

    /// The settings of stores, by URL. A key that isn't known is an error: what it asks for would be ignored in silence.
    pub fn stores(&self) -> Result<Vec<(String, StoreSettings)>> {
        let Some(stores) = self.table.get("store") else { return Ok(Vec::new()) };
        let bad = |url: &str, why: String| Error::usage(format!("[store.{url:?}] of the configuration: {why}"));
        let stores = stores.as_table().ok_or_else(|| bad("", "is no table".to_owned()))?;
        let settings = |(url, settings): (&String, &Value)| {
            let keys = settings.as_table().into_iter().flatten().map(|(key, _)| key);
            for key in keys {
                parse(&format!("store.{url}.{key}"))?;
            }
            let settings = settings.clone().try_into::<StoreSettings>();
            Ok((url.clone(), settings.map_err(|fault| bad(url, fault.message().to_owned()))?))
        };
        stores.iter().map(settings).collect()
    }

    fn drop_empty_stores(&mut self) {
        let Some(stores) = self.table.get_mut("store").and_then(Value::as_table_mut) else { return };
        stores.retain(|_, settings| settings.as_table().is_none_or(|settings| !settings.is_empty()));
        if stores.is_empty() {
            self.table.remove("store");
        }
    }
}

/// Refuses a key that means nothing.
pub fn check_key(key: &str) -> Result<()> {
    parse(key).map(drop)
}

fn parse(key: &str) -> Result<Key<'_>> {
    let unknown = |hint: String| Error::usage(format!("no such key: {key}")).hint(hint);
    if let Some((url, setting)) = key.strip_prefix("store.").and_then(|rest| rest.rsplit_once('.')) {
        let url = url.trim_end_matches('/');
        return match url.contains("://") && STORE_KEYS.contains(&setting) {
            true => Ok(Key::OfStore { url, setting }),
            false => Err(unknown(format!(
                "for a store behind a network: store.URL.KEY, with a KEY of {}; secrets are not kept here",
                STORE_KEYS.join(", ")
            ))),
        };
    }
    match KEYS.contains(&key) {
        true => Ok(Key::Plain(key)),
        false => Err(unknown(format!("the keys are {}, store.URL.KEY", KEYS.join(", ")))),
    }
}

/// The table of this name in another; made if it isn't there.
fn inner<'a>(table: &'a mut Table, name: &str) -> Result<&'a mut Table> {
    let entry = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
    entry.as_table_mut().ok_or_else(|| Error::usage(format!("{name} of the configuration is no table")))
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Boolean(on) => Some(on.to_string()),
        Value::Array(texts) => Some(texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")),
        _ => None,
    }
}
