//! `dagset.lock`: which versions a project uses, as TOML that is committed with it (docs/format.md §13).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{DatasetName, Error, Id, RefName, Result};

use super::needs_newer;

/// No lock file is longer.
pub const MAX_BYTES: usize = 1 << 20;
const FORMAT: i64 = 1;
const MAX_TEXT: usize = 4096;
const HEAD: &str = "\
# Datasets that are used here. `dagset get --locked` gets just these versions,
# `dagset lock --check` says what has moved on, `dagset lock --update` follows.
";

/// The pins by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockFile {
    pub pins: BTreeMap<DatasetName, Pin>,
}

/// A version of a dataset, pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// A path or URL; a relative path begins with `./` and counts from the file's folder.
    pub store: String,
    pub dataset: DatasetName,
    /// What was asked for, as it was written; `None`: the branch `main`.
    pub reference: Option<String>,
    /// What of the version is meant; `None`: all.
    pub path: Option<String>,
    pub version: Id,
    /// The name that the version had.
    pub name: Option<RefName>,
    pub manifest: Id,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileToml {
    format: i64,
    #[serde(default)]
    dataset: BTreeMap<String, PinToml>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinToml {
    store: String,
    dataset: String,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    version: String,
    manifest: String,
}

impl LockFile {
    /// Parses the text of a file. What it holds that isn't known here is refused: it would be lost when the file is written.
    pub fn parse(text: &str) -> Result<LockFile> {
        if text.len() > MAX_BYTES {
            return Err(Error::usage(format!("a lock file has at most {MAX_BYTES} bytes")));
        }
        let bad = |why: &str| Error::usage("it is no lock file").because(why.trim().to_owned());
        let table = text.parse::<toml::Table>().map_err(|fault| bad(fault.message()))?;
        match table.get("format") {
            Some(toml::Value::Integer(FORMAT)) => {}
            Some(toml::Value::Integer(newer)) if *newer > FORMAT => return Err(needs_newer("this lock file")),
            _ => return Err(bad("it has no `format = 1`")),
        }
        let file: FileToml = table.try_into().map_err(|fault: toml::de::Error| {
            bad(fault.message()).hint("take that line out, or install the newest dagset if it wrote it")
        })?;
        let pins = file.dataset.into_iter().map(|(name, pin)| Ok((dataset(&name)?, Pin::check(pin, &name)?)));
        Ok(LockFile { pins: pins.collect::<Result<_>>()? })
    }

    /// The text, the same for the same pins.
    pub fn encode(&self) -> Result<String> {
        let pin = |(name, pin): (&DatasetName, &Pin)| (name.to_string(), pin.to_toml());
        let file = FileToml { format: FORMAT, dataset: self.pins.iter().map(pin).collect() };
        let body =
            toml::to_string(&file).map_err(|fault| Error::usage("cannot write the pins as TOML").because(fault))?;
        Ok(format!("{HEAD}{body}"))
    }
}

impl Pin {
    fn check(pin: PinToml, name: &str) -> Result<Pin> {
        let bad = |what: &str| Error::usage(format!("the pin {name} of the lock file has a bad {what}"));
        let id = |text: &str, what| Id::from_hex(text).ok_or_else(|| bad(what));
        let is_long = [Some(&pin.store), pin.reference.as_ref(), pin.path.as_ref()]
            .into_iter()
            .flatten()
            .any(|text| text.is_empty() || text.len() > MAX_TEXT);
        if is_long {
            return Err(bad("store, ref or path: it is empty, or long"));
        }
        Ok(Pin {
            version: id(&pin.version, "version")?,
            manifest: id(&pin.manifest, "manifest")?,
            dataset: dataset(&pin.dataset)?,
            name: pin.name.as_deref().map(RefName::new).transpose()?,
            store: pin.store,
            reference: pin.reference,
            path: pin.path,
        })
    }

    fn to_toml(&self) -> PinToml {
        PinToml {
            store: self.store.clone(),
            dataset: self.dataset.to_string(),
            reference: self.reference.clone(),
            path: self.path.clone(),
            name: self.name.as_ref().map(ToString::to_string),
            version: self.version.to_string(),
            manifest: self.manifest.to_string(),
        }
    }
}

fn dataset(name: &str) -> Result<DatasetName> {
    DatasetName::new(name).map_err(|fault| fault.within("the lock file names what can be no dataset"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins() -> LockFile {
        let pin = |store: &str, reference: Option<&str>| Pin {
            store: store.to_owned(),
            dataset: DatasetName::new("vision/signs").expect("a good name"),
            reference: reference.map(str::to_owned),
            path: reference.map(|_| "train/\"x\"".to_owned()),
            version: Id::of(b"v"),
            name: reference.map(|_| RefName::new("1.0").expect("a good name")),
            manifest: Id::of(b"m"),
        };
        let name = |text: &str| DatasetName::new(text).expect("a good name");
        let pins = [(name("vision/signs"), pin("s3://bucket/data", Some("main~1"))), (name("a"), pin("./store", None))];
        LockFile { pins: pins.into() }
    }

    #[test]
    fn pins_round_trip_sorted() {
        let text = pins().encode().expect("texts");
        assert_eq!(LockFile::parse(&text).expect("own text"), pins());
        assert!(text.find("[dataset.a]").expect("there") < text.find("[dataset.\"vision/signs\"]").expect("there"));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_eq!(LockFile::parse("format = 1\n").expect("empty"), LockFile::default());
    }

    #[test]
    fn what_is_not_known_or_not_right_is_refused() {
        let text = pins().encode().expect("texts");
        let id = Id::of(b"v").to_string();
        let cases = [
            (text.replace("format = 1", "format = 2"), "newer"),
            (text.replace("format = 1", ""), "format"),
            (text.replace("format = 1", "format = 1\ncolour = 3"), "colour"),
            (text.replace("ref = ", "reff = "), "reff"),
            (text.replace(&id, &id[1..]), "version"),
            (text.replace("./store", ""), "store"),
            (text.replace("[dataset.a]", "[dataset.\"../a\"]"), "../a"),
            ("x".repeat(MAX_BYTES + 1), "at most"),
            ("= 3".to_owned(), "no lock file"),
        ];
        for (text, why) in cases {
            let fault = LockFile::parse(&text).expect_err(why);
            let said = format!("{} {}", fault.in_one_line(), fault.next_step().unwrap_or_default());
            assert!(said.contains(why), "{said}");
        }
    }
}
