//! How stores in clouds are reached: what the environment, the user's files and the configuration say, gathered by the caller.
//!
//! The library reads no environment: the caller hands over the variables that cloud tools read, under their own names, and the
//! settings that were made for single stores. Secrets live here only: [`Access`] shows none of its values when it is printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that is known about reaching stores.
#[derive(Clone, Default)]
pub struct Access {
    /// Variables that begin with `AWS_`, `GOOGLE_` or `AZURE_`, and the proxy variables, as they are set.
    pub environment: BTreeMap<String, String>,
    /// The user's home folder, for the shared files of cloud tools.
    pub home: Option<PathBuf>,
    /// Settings by the store's URL or a prefix of it, of whole components; the longest that fits counts.
    pub stores: Vec<(String, StoreSettings)>,
    /// The most bytes a second that are sent, and that are received, over all stores in clouds.
    pub limit_rate: Option<u64>,
    /// Stores in clouds aren't asked: what the user's mirrors hold has to do.
    pub offline: bool,
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
    /// The settings for the store at `url`.
    pub fn settings_of(&self, url: &str) -> StoreSettings {
        let fits = |prefix: &str| {
            let prefix = prefix.trim_end_matches('/');
            url.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let fitting = self.stores.iter().filter(|(prefix, _)| fits(prefix));
        fitting
            .max_by_key(|(prefix, _)| prefix.trim_end_matches('/').len())
            .map(|(_, it)| it.clone())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.environment.keys().collect();
        f.debug_struct("Access").field("environment", &names).field("stores", &self.stores).finish_non_exhaustive()
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
    fn no_secret_is_printed() {
        let environment = [("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned())].into();
        let shown = format!("{:?}", Access { environment, ..Access::default() });
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hush"), "{shown}");
    }
}
