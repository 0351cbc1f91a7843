//! `dagset.json`: what makes a folder or a prefix a store (docs/format.md §2).

use serde::{Deserialize, Serialize};

use crate::base::id::{hex_decode, hex_fmt};
use crate::base::{Error, Result, Time};

use super::codec::check_of;

/// The format that this dagset reads and writes.
pub const FORMAT: u32 = 1;
/// The chunking rule that this dagset knows.
pub const CHUNKING: &str = "gear-1";

/// No `dagset.json` is longer.
const MAX_STORE_FILE: usize = 64 << 10;

/// The content of `dagset.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFile {
    pub store: [u8; 16],
    pub created: Time,
    /// The tool that created the store, with its version.
    pub tool: String,
}

#[derive(Serialize, Deserialize)]
struct Json {
    dagset: String,
    format: u32,
    #[serde(default)]
    store: String,
    #[serde(default)]
    chunking: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    tool: String,
}

const WHAT_NEXT: &str = "put the file back from a copy of the store, or name another place";

/// What stands between the keys and the check of all before it.
const CHECK_KEY: &str = ",\"check\":\"";

impl StoreFile {
    /// The id as 32 hex digits.
    pub fn store_hex(&self) -> String {
        let mut text = String::with_capacity(32);
        hex_fmt(&self.store, &mut text).expect("writing to a string doesn't fail");
        text
    }

    pub fn encode(&self) -> Vec<u8> {
        let json = Json {
            dagset: "store".to_owned(),
            format: FORMAT,
            store: self.store_hex(),
            chunking: CHUNKING.to_owned(),
            created: self.created.to_string(),
            tool: self.tool.clone(),
        };
        let mut text = serde_json::to_string(&json).expect("strings and numbers serialise");
        text.pop();
        seal(text)
    }

    /// Whether the object's check holds. It does so in every format: where it doesn't, another format is but a flipped bit.
    pub fn is_sealed(bytes: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        text.rfind(CHECK_KEY).is_some_and(|at| seal(text[..at].to_owned()) == bytes)
    }

    /// Parses the object; `place` names the store in errors.
    ///
    /// Errors: not a store's file ([`Kind::Damaged`](crate::base::Kind::Damaged)); a format or chunking rule of a newer dagset
    /// ([`Kind::Failed`](crate::base::Kind::Failed)).
    pub fn parse(bytes: &[u8], place: &str) -> Result<StoreFile> {
        let not_ours = || Error::damaged(format!("{place}/dagset.json isn't that of a dagset store")).hint(WHAT_NEXT);
        if bytes.len() > MAX_STORE_FILE {
            return Err(not_ours());
        }
        let json: Json = serde_json::from_slice(bytes).map_err(|fault| not_ours().because(fault))?;
        if json.dagset != "store" {
            return Err(not_ours());
        }
        if json.format != FORMAT {
            return Err(super::needs_newer(format!(
                "the store {place} (format {}, this one reads {FORMAT})",
                json.format
            )));
        }
        if !Self::is_sealed(bytes) {
            let message = format!("{place}/dagset.json is damaged: its check doesn't hold");
            return Err(Error::damaged(message).hint(WHAT_NEXT));
        }
        if json.chunking != CHUNKING {
            return Err(super::needs_newer(format!("the store {place} (chunking rule {:?})", json.chunking)));
        }
        let mut store = [0; 16];
        if !hex_decode(&json.store, &mut store) {
            return Err(not_ours());
        }
        let created = Time::parse(&json.created).map_err(|fault| not_ours().because(fault))?;
        Ok(StoreFile { store, created, tool: json.tool })
    }
}

/// Adds the check and closes the object.
fn seal(open: String) -> Vec<u8> {
    let mut text = open;
    let check = check_of(text.as_bytes());
    text.push_str(CHECK_KEY);
    hex_fmt(&check, &mut text).expect("writing to a string doesn't fail");
    text.push_str("\"}\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Kind;

    fn file() -> StoreFile {
        StoreFile { store: [7; 16], created: Time(1_700_000_000_123), tool: "dagset 0.1.0".to_owned() }
    }

    #[test]
    fn it_round_trips_and_reads_unknown_keys() {
        let bytes = file().encode();
        assert_eq!(StoreFile::parse(&bytes, "s").expect("own bytes"), file());
        let open = String::from_utf8(bytes).expect("json");
        let open = open[..open.rfind(CHECK_KEY).expect("sealed")].replace('{', "{\"later\":[1],");
        assert_eq!(StoreFile::parse(&seal(open), "s").expect("unknown keys are ignored"), file());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = file().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(StoreFile::parse(&flipped, "s").is_err() && !StoreFile::is_sealed(&flipped), "bit {bit}");
        }
    }

    #[test]
    fn what_it_cannot_read_it_refuses() {
        let text = String::from_utf8(file().encode()).expect("json");
        let text = text[..text.rfind(CHECK_KEY).expect("sealed")].to_owned();
        let kind = |open: String| StoreFile::parse(&seal(open), "s").expect_err("refused").kind();
        assert_eq!(kind(text.replace("\"format\":1", "\"format\":2")), Kind::Failed);
        assert_eq!(kind(text.replace("gear-1", "gear-2")), Kind::Failed);
        assert_eq!(kind(text.replace("\"store\":\"07", "\"store\":\"x7")), Kind::Damaged);
        assert_eq!(kind("{}".to_owned()), Kind::Damaged);
        assert_eq!(kind("not json".to_owned()), Kind::Damaged);
    }
}
