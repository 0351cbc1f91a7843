//! The shared configuration of AWS tools: `~/.aws/config` and `~/.aws/credentials`.
//!
//! Only what names keys, a region, an endpoint, or a way to sign in is read; a file that isn't there says nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::access::Access;
use crate::base::{Error, Result};

/// The most bytes that a configuration file may have.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Sections with their keys; what is nested below a key without a value is `key.nested`.
type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// A profile, and where it was looked for.
#[derive(Default)]
pub(super) struct Profile {
    pub(super) name: String,
    /// Whether anyone asked for it by name.
    pub(super) is_named: bool,
    /// Keys of the credentials file.
    credentials: BTreeMap<String, String>,
    /// Keys of the configuration file.
    config: BTreeMap<String, String>,
    /// Keys of the `services` section that it names.
    services: BTreeMap<String, String>,
}

impl Profile {
    /// Reads the profile that `wanted` or the environment names, else `default`. One that was asked for and isn't there is an error.
    pub(super) fn read(access: &Access, wanted: Option<&str>) -> Result<Profile> {
        let variable = |name: &str| access.variable(name);
        let named = wanted.or_else(|| variable("AWS_PROFILE")).or_else(|| variable("AWS_DEFAULT_PROFILE"));
        let name = named.unwrap_or("default").to_owned();
        let place = |name: &str, usual: &str| match variable(name) {
            Some(path) => Some(PathBuf::from(path)),
            None => access.home.as_ref().map(|home| home.join(".aws").join(usual)),
        };
        let config_file = place("AWS_CONFIG_FILE", "config");
        let credentials_file = place("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let mut config = read_sections(config_file.as_deref())?;
        let mut credentials = read_sections(credentials_file.as_deref())?;

        let section = match name.as_str() {
            "default" if config.contains_key("default") => "default".to_owned(),
            _ => format!("profile {name}"),
        };
        let found = (config.remove(&section), credentials.remove(&name));
        if found == (None, None) && named.is_some() {
            let files: Vec<String> =
                [config_file, credentials_file].into_iter().flatten().map(|it| it.display().to_string()).collect();
            return Err(Error::usage(format!("there is no AWS profile {name:?}"))
                .because(format!("looked in {}", files.join(" and ")))
                .hint(
                    "check AWS_PROFILE and `profile` of the remote; `aws configure list-profiles` shows what there is",
                ));
        }
        let (config_keys, credential_keys) = (found.0.unwrap_or_default(), found.1.unwrap_or_default());
        let services = config_keys.get("services").and_then(|it| config.remove(&format!("services {it}")));
        Ok(Profile {
            name,
            is_named: named.is_some(),
            credentials: credential_keys,
            config: config_keys,
            services: services.unwrap_or_default(),
        })
    }

    /// The value of a key; the credentials file goes first, as with AWS' own tools.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.credentials.get(key).or_else(|| self.config.get(key)).map(String::as_str).filter(|it| !it.is_empty())
    }

    /// The endpoint of a service: `s3`, `sts`.
    pub(super) fn endpoint(&self, service: &str) -> Option<&str> {
        self.services.get(&format!("{service}.endpoint_url")).map(String::as_str).or_else(|| self.get("endpoint_url"))
    }

    /// Key, secret and token, if the profile holds them.
    pub(super) fn keys(&self) -> Option<(&str, &str, Option<&str>)> {
        // The three belong together: none is taken from the other file.
        [&self.credentials, &self.config].into_iter().find_map(|keys| {
            let get = |key: &str| keys.get(key).map(String::as_str).filter(|it| !it.is_empty());
            Some((get("aws_access_key_id")?, get("aws_secret_access_key")?, get("aws_session_token")))
        })
    }
}

fn read_sections(path: Option<&Path>) -> Result<Sections> {
    let Some(path) = path else { return Ok(Sections::new()) };
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > MAX_FILE_BYTES => {
            return Err(Error::usage(format!("not a configuration of AWS: {} is too long", path.display())));
        }
        Ok(meta) if meta.is_file() => {}
        _ => return Ok(Sections::new()),
    }
    let bytes = std::fs::read(path).map_err(|fault| Error::io("read", path, fault))?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Parses what AWS' tools read: `[section]`, `key = value`, whole lines of comment, and lines set in below a key without a value.
/// What fits none of these is passed over, as they do.
fn parse(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut section: Option<String> = None;
    let mut outer: Option<String> = None;
    for line in text.lines() {
        let is_set_in = line.starts_with([' ', '\t']);
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').filter(|_| !is_set_in) {
            let name = name.split(']').next().unwrap_or_default();
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ").replace(['"', '\''], "");
            sections.entry(name.clone()).or_default();
            (section, outer) = (Some(name), None);
            continue;
        }
        let (Some(section), Some((key, value))) = (&section, trimmed.split_once('=')) else { continue };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        let key = match (&outer, is_set_in) {
            (Some(outer), true) => format!("{outer}.{key}"),
            _ => {
                outer = value.is_empty().then(|| key.clone());
                key
            }
        };
        sections.entry(section.clone()).or_default().insert(key, value.to_owned());
    }
    sections
}

#[cfg(test)]
#[path = "aws_profile_tests.rs"]
mod tests;
