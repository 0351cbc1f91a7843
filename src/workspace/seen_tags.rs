//! `.dagset/seen-tags.json`: where the tags of remotes stood when this workspace last saw them, by a fetch or by its own push.
//!
//! By it a push tells the tags that were set here since from those that others moved or deleted there. A remote is known by its URL: another
//! name changes nothing. Without the file, or for a URL that isn't in it, nothing was seen.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::files::{self, Durability};
use crate::base::{Error, Id, RefName, Result};

use super::control::{Control, check_of, unreadable};

const SCHEMA: u32 = 1;

/// Where each tag stood.
pub type SeenTags = BTreeMap<RefName, Id>;

#[derive(Serialize, Deserialize)]
struct SeenJson {
    schema: u32,
    /// By URL, then by tag.
    remotes: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
}

impl Control {
    /// The tags of the remote at `url` as they were last seen; `None` if they never were.
    ///
    /// Errors: [`Kind::Damaged`](crate::base::Kind::Damaged) where the file isn't what was written.
    pub fn seen_tags(&self, url: &str) -> Result<Option<SeenTags>> {
        let Some(tags) = self.read_seen()?.remotes.remove(url) else { return Ok(None) };
        let tag = |(name, id): (String, String)| Some((RefName::new(&name).ok()?, Id::from_hex(&id)?));
        tags.into_iter().map(tag).collect::<Option<_>>().map(Some).ok_or_else(|| self.damaged_seen())
    }

    /// Notes where the tags of the remote at `url` stand now.
    pub fn write_seen_tags(&self, url: &str, tags: &SeenTags) -> Result<()> {
        let mut seen = self.read_seen()?;
        let tags = tags.iter().map(|(name, id)| (name.to_string(), id.to_string())).collect();
        seen.remotes.insert(url.to_owned(), tags);
        seen.check = Some(check_of(&seen));
        let text = serde_json::to_vec(&seen)
            .map_err(|fault| Error::usage("the tags that were seen can't be written").because(fault))?;
        files::write_file(&self.seen_path(), &text, Durability::Synced)
    }

    fn read_seen(&self) -> Result<SeenJson> {
        let path = self.seen_path();
        let bytes = match files::read(&path) {
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
                return Ok(SeenJson { schema: SCHEMA, remotes: BTreeMap::new(), check: None });
            }
            read => read.map_err(|fault| unreadable(&path, fault))?,
        };
        let mut seen: SeenJson = serde_json::from_slice(&bytes).map_err(|fault| self.damaged_seen().because(fault))?;
        if seen.schema > SCHEMA {
            return Err(crate::format::needs_newer(path.display()));
        }
        let check = seen.check.take();
        if check != Some(check_of(&seen)) {
            return Err(self.damaged_seen());
        }
        Ok(seen)
    }

    fn seen_path(&self) -> PathBuf {
        self.folder().join("seen-tags.json")
    }

    fn damaged_seen(&self) -> Error {
        Error::damaged(format!("{} isn't what was written", self.seen_path().display()))
            .hint("remove the file, then `dagset fetch`: it is written anew")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Kind;
    use crate::workspace::control::{Config, EMBEDDED, State};

    #[test]
    fn each_remote_has_its_own_and_a_changed_byte_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let dataset = crate::base::DatasetName::new("d").expect("good name");
        let config = Config { dataset, store: EMBEDDED.to_owned(), remotes: BTreeMap::new() };
        let control = Control::create(folder.path(), &config, &State::default()).expect("creates");
        assert_eq!(control.seen_tags("./s/d").expect("reads"), None);
        let tags = SeenTags::from([(RefName::new("prod").expect("good name"), Id::of(b"v"))]);
        control.write_seen_tags("./s/d", &tags).expect("writes");
        control.write_seen_tags("./t/d", &SeenTags::new()).expect("writes");
        assert_eq!(control.seen_tags("./s/d").expect("reads"), Some(tags));
        assert_eq!(control.seen_tags("./t/d").expect("reads"), Some(SeenTags::new()));
        let path = control.seen_path();
        let text = std::fs::read_to_string(&path).expect("reads").replace("prod", "prot");
        files::write_file(&path, text.as_bytes(), Durability::Synced).expect("writes");
        assert_eq!(control.seen_tags("./s/d").expect_err("changed").kind(), Kind::Damaged);
    }
}
