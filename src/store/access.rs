//! How stores in clouds are reached: what the environment, the user's files and the configuration say, gathered by the caller.
//!
//! The library reads no environment: the caller hands over the variables that cloud tools read, under their own names, and the
//! settings that were made for single stores. Secrets live here only: [`Access`] shows none of its values when it is printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backend::Connections;

/// Everything that is known about reaching stores.
#[derive(Clone, Default)]
pub struct Access {
    /// Variables that begin with `AWS_`, `GOOGLE_` or `AZURE_`, and the proxy variables, as they are set.
    pub environment: BTreeMap<String, String>,
    /// The user's home folder, for the shared files of cloud tools.
    pub home: Option<PathBuf>,
    /// Settings by the store's URL or a prefix of it, of whole components; the longest that fits counts.
    pub stores: Vec<(String, StoreSettings)>,
    /// Settings of a workspace's remotes, by their URL, `STORE/DATASET` or `STORE` alone.
    pub remotes: Vec<(String, StoreSettings)>,
    /// The most bytes a second that are sent, and that are received, over all stores in clouds.
    pub limit_rate: Option<u64>,
    /// How long is waited, and how often asked.
    pub patience: Patience,
    /// What is open already; clones share it.
    pub connections: Connections,
    /// Stores in clouds aren't asked: what the user's mirrors hold has to do.
    pub offline: bool,
}

/// How long a bucket may keep us waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After this long without a byte in either direction a request is given up, and made again.
    pub idle: Duration,
    /// How often a request is made at most.
    pub tries: u32,
    /// The longest pause before the second try; it doubles with each, up to [`Patience::LONGEST_PAUSE`]. The pause itself is drawn
    /// below it at random, so that many who failed together don't come back together.
    pub first_pause: Duration,
    /// After this long no further try begins.
    pub in_all: Duration,
}

impl Patience {
    /// No pause is longer.
    pub const LONGEST_PAUSE: Duration = Duration::from_secs(20);
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            idle: Duration::from_secs(30),
            tries: 10,
            first_pause: Duration::from_millis(200),
            in_all: Duration::from_secs(300),
        }
    }
}

/// What a configuration says of one store; each setting wins over the environment's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreSettings {
    /// A profile of the shared AWS configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The server's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Buckets in the path rather than in the host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Whether a server may be spoken to without encryption. An `http://` endpoint that was given is allowed by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_http: Option<bool>,
    /// PEM file of certificate authorities that are trusted beside the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Access {
    /// A variable of the environment that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The settings for the store at `url`: those of a remote that lies in it or that it is the beginning of, else of the longest
    /// prefix of it in [`Access::stores`].
    ///
    /// Where a remote's URL is cut into store and dataset is only known once the store was found, so that each part of it is
    /// opened by the remote's settings.
    pub fn settings_of(&self, url: &str) -> StoreSettings {
        let remote = || {
            let meant = |(remote, _): &&(String, StoreSettings)| is_below(url, remote) || is_below(remote, url);
            self.remotes.iter().filter(meant).max_by_key(|(remote, _)| remote.len())
        };
        let store = || {
            let fitting = self.stores.iter().filter(|(prefix, _)| is_below(url, prefix));
            fitting.max_by_key(|(prefix, _)| prefix.trim_end_matches('/').len())
        };
        remote().or_else(store).map(|(_, settings)| settings.clone()).unwrap_or_default()
    }
}

/// Whether `url` is `prefix`, or goes on after it with a whole component.
fn is_below(url: &str, prefix: &str) -> bool {
    let mut components = url.split('/').filter(|part| !part.is_empty());
    prefix.split('/').filter(|part| !part.is_empty()).all(|part| components.next() == Some(part))
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.environment.keys().collect();
        f.debug_struct("Access")
            .field("environment", &names)
            .field("stores", &self.stores)
            .field("remotes", &self.remotes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_of_whole_components_counts() {
        let with = |region: &str| StoreSettings { region: Some(region.to_owned()), ..StoreSettings::default() };
        let stores = vec![("s3://b".to_owned(), with("short")), ("s3://b/data/".to_owned(), with("long"))];
        let access = Access { stores, ..Access::default() };
        let region = |url: &str| access.settings_of(url).region;
        assert_eq!(region("s3://b/data/sets").as_deref(), Some("long"));
        assert_eq!(region("s3://b/database").as_deref(), Some("short"));
        assert_eq!(region("s3://bb"), None);
    }

    #[test]
    fn a_remotes_settings_count_wherever_its_store_may_end() {
        let with = |region: &str| StoreSettings { region: Some(region.to_owned()), ..StoreSettings::default() };
        let stores = vec![("s3://b".to_owned(), with("the user's"))];
        let remotes =
            vec![("s3://b/data//set".to_owned(), with("the remote's")), ("s3://c/s".to_owned(), with("alone"))];
        let access = Access { stores, remotes, ..Access::default() };
        let region = |url: &str| access.settings_of(url).region.unwrap_or_default();
        for url in ["s3://b/data/set", "s3://b/data//set", "s3://b/data", "s3://b/data/"] {
            assert_eq!(region(url), "the remote's", "{url}");
        }
        assert_eq!(region("s3://c/s/set"), "alone");
        assert_eq!(region("s3://b/database"), "the user's");
        assert_eq!(region("s3://d"), "");
    }

    #[test]
    fn no_secret_is_printed() {
        let environment = [("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned())].into();
        let shown = format!("{:?}", Access { environment, ..Access::default() });
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hush"), "{shown}");
    }
}
