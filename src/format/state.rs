//! The rows of a folded state (docs/format.md §7.2).

use crate::base::{BranchName, DatasetName, Error, Id, ObjectName, RefName, Result, Time};

use super::attrs::Value;
use super::codec::{Put, Reader};
use super::operation::{IndexRow, VersionRow, metadata_key_is_possible, read_metadata};
use super::tombstone::Tombstone;

/// Digits of a record's number in a key.
const DIGITS: usize = 12;

/// One key and value of a state.
#[derive(Debug, Clone, PartialEq)]
pub enum StateRow {
    Head {
        number: u64,
        record: Id,
        fold_rule: u16,
        store: [u8; 16],
    },
    Index(IndexRow),
    Dataset {
        dataset: DatasetName,
        created: Time,
    },
    Branch {
        dataset: DatasetName,
        branch: BranchName,
        version: Id,
    },
    Name {
        dataset: DatasetName,
        name: RefName,
        version: Id,
    },
    Tag {
        dataset: DatasetName,
        tag: RefName,
        version: Id,
        protected: bool,
    },
    Version {
        dataset: DatasetName,
        record: u64,
        row: Box<VersionRow>,
        published: bool,
    },
    Metadata {
        dataset: DatasetName,
        version: Option<Id>,
        key: String,
        value: Value,
    },
    /// A dataset was called something else.
    Renamed {
        dataset: DatasetName,
        to: DatasetName,
        record: u64,
    },
    /// A row of a dataset that a record deleted.
    Deleted {
        record: u64,
        row: Box<StateRow>,
    },
    /// Sessions that began before this record are void.
    VoidBefore {
        born: u64,
    },
    CondemnedVersion {
        version: Id,
        record: u64,
    },
    /// The content of a version is condemned, and the version isn't.
    CondemnedContent {
        version: Id,
        record: u64,
    },
    /// The content of a version was let go, by which record and when.
    LetGo {
        version: Id,
        record: u64,
        time: Time,
    },
    CondemnedPack {
        pack: ObjectName,
        record: u64,
    },
    Expelled {
        content: Id,
        tombstone: Tombstone,
    },
    /// A row of a newer dagset.
    Unknown {
        key: Vec<u8>,
        value: Vec<u8>,
    },
}

impl StateRow {
    /// The key: rows are stored in the order of their keys.
    pub fn key(&self) -> Vec<u8> {
        match self {
            StateRow::Head { .. } => b"h".to_vec(),
            StateRow::Index(row) => key(b'i', &[row.name.to_string().as_bytes()]),
            StateRow::Dataset { dataset, .. } => key(b'd', &[dataset.as_str().as_bytes()]),
            StateRow::Branch { dataset, branch, .. } => {
                key(b'b', &[dataset.as_str().as_bytes(), branch.as_str().as_bytes()])
            }
            StateRow::Name { dataset, name, .. } => key(b'n', &[dataset.as_str().as_bytes(), name.as_str().as_bytes()]),
            StateRow::Tag { dataset, tag, .. } => key(b't', &[dataset.as_str().as_bytes(), tag.as_str().as_bytes()]),
            StateRow::Version { dataset, row, .. } => key(b'v', &[dataset.as_str().as_bytes(), &row.version.0]),
            StateRow::Metadata { dataset, version, key: name, .. } => {
                let version = version.map_or_else(String::new, |id| id.to_string());
                key(b'm', &[dataset.as_str().as_bytes(), version.as_bytes(), name.as_bytes()])
            }
            StateRow::Renamed { dataset, .. } => key(b'R', &[dataset.as_str().as_bytes()]),
            StateRow::Deleted { record, row } => [format!("D{record:0DIGITS$}").as_bytes(), &row.key()].concat(),
            StateRow::VoidBefore { .. } => b"w".to_vec(),
            StateRow::CondemnedVersion { version, .. } => [b"cv", &version.0[..]].concat(),
            StateRow::CondemnedPack { pack, .. } => [b"cp", pack.to_string().as_bytes()].concat(),
            StateRow::CondemnedContent { version, .. } => [b"f", &version.0[..]].concat(),
            StateRow::LetGo { version, .. } => [b"g", &version.0[..]].concat(),
            StateRow::Expelled { content, .. } => [b"x", &content.0[..]].concat(),
            StateRow::Unknown { key, .. } => key.clone(),
        }
    }

    pub fn value(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            StateRow::Head { number, record, fold_rule, store } => {
                out.put_u64(*number);
                out.put_id(record);
                out.put_u16(*fold_rule);
                out.put_slice(store);
            }
            StateRow::Index(row) => row.put_rest(&mut out),
            StateRow::Dataset { created, .. } => out.put_i64(created.0),
            StateRow::Branch { version, .. } | StateRow::Name { version, .. } => out.put_id(version),
            StateRow::Tag { version, protected, .. } => {
                out.put_id(version);
                out.put_u8((*protected).into());
            }
            StateRow::Version { record, row, published, .. } => {
                out.put_varint(*record);
                row.put_rest(&mut out);
                out.put_u8((*published).into());
            }
            StateRow::Metadata { value, .. } => value.put(&mut out),
            StateRow::Renamed { to, record, .. } => {
                out.put_string(to.as_str());
                out.put_varint(*record);
            }
            StateRow::Deleted { row, .. } => return row.value(),
            StateRow::VoidBefore { born: number }
            | StateRow::CondemnedVersion { record: number, .. }
            | StateRow::CondemnedContent { record: number, .. }
            | StateRow::CondemnedPack { record: number, .. } => out.put_u64(*number),
            StateRow::LetGo { record, time, .. } => {
                out.put_u64(*record);
                out.put_i64(time.0);
            }
            StateRow::Expelled { tombstone, .. } => tombstone.put(&mut out),
            StateRow::Unknown { value, .. } => out.put_slice(value),
        }
        out
    }

    pub fn parse(key: &[u8], value: &[u8]) -> Result<StateRow> {
        let mut reader = Reader::new("a state row", value);
        let fault = |why: &str| Reader::new("a state key", key).fault(why);
        let Some((kind, rest)) = key.split_first() else { return Err(fault("it is empty")) };
        let mut parts = rest.splitn(2, |byte| *byte == 0);
        let first = parts.next().unwrap_or_default();
        let second = parts.next();
        let text = |part: &[u8]| std::str::from_utf8(part).map(str::to_owned).map_err(|_| fault("it isn't UTF-8"));
        let named = |why: Error| fault("it holds a forbidden name").because(why);
        let version_of = |id: &[u8]| <[u8; 32]>::try_from(id).map(Id).map_err(|_| fault("it holds no id"));
        let dataset = || text(first).and_then(|name| DatasetName::new(&name).map_err(named));
        let name = || text(second.unwrap_or_default()).and_then(|name| RefName::new(&name).map_err(named));
        if matches!(kind, b'h' | b'w') && !rest.is_empty() || matches!(kind, b'd' | b'R') && second.is_some() {
            return Err(fault("it has a part too many"));
        }
        let row = match kind {
            b'h' => StateRow::Head {
                number: reader.u64()?,
                record: reader.id()?,
                fold_rule: reader.u16()?,
                store: reader.array()?,
            },
            b'i' => StateRow::Index(IndexRow::read_rest(ObjectName::parse(&text(rest)?)?, &mut reader)?),
            b'd' => StateRow::Dataset { dataset: dataset()?, created: Time(reader.i64()?) },
            b'b' => {
                let branch = text(second.unwrap_or_default()).and_then(|name| BranchName::new(&name).map_err(named))?;
                StateRow::Branch { dataset: dataset()?, branch, version: reader.id()? }
            }
            b'n' => StateRow::Name { dataset: dataset()?, name: name()?, version: reader.id()? },
            b't' => {
                StateRow::Tag { dataset: dataset()?, tag: name()?, version: reader.id()?, protected: reader.flag()? }
            }
            b'v' => {
                let id = second.and_then(|id| <[u8; 32]>::try_from(id).ok()).ok_or_else(|| fault("it holds no id"))?;
                let record = reader.varint()?;
                let row = Box::new(VersionRow::read_rest(Id(id), &mut reader)?);
                StateRow::Version { dataset: dataset()?, record, row, published: reader.flag()? }
            }
            b'm' => {
                let second = text(second.unwrap_or_default())?;
                let (version, key) = second.split_once('\0').ok_or_else(|| fault("it lacks a part"))?;
                if !metadata_key_is_possible(key) {
                    return Err(fault("its key is empty or too long"));
                }
                let version = match version {
                    "" => None,
                    hex => Some(Id::from_hex(hex).ok_or_else(|| fault("it holds no id"))?),
                };
                StateRow::Metadata {
                    dataset: dataset()?,
                    version,
                    key: key.to_owned(),
                    value: read_metadata(&mut reader)?,
                }
            }
            b'R' => {
                let to = DatasetName::new(reader.string(255)?).map_err(|fault| reader.fault(fault))?;
                StateRow::Renamed { dataset: dataset()?, to, record: reader.varint()? }
            }
            b'w' => StateRow::VoidBefore { born: reader.u64()? },
            b'c' => match rest.split_first() {
                Some((b'v', id)) => {
                    let version = Id(<[u8; 32]>::try_from(id).map_err(|_| fault("it holds no id"))?);
                    StateRow::CondemnedVersion { version, record: reader.u64()? }
                }
                Some((b'p', name)) => {
                    StateRow::CondemnedPack { pack: ObjectName::parse(&text(name)?)?, record: reader.u64()? }
                }
                _ => return Err(fault("it is of neither a version nor a pack")),
            },
            b'f' => StateRow::CondemnedContent { version: version_of(rest)?, record: reader.u64()? },
            b'g' => StateRow::LetGo { version: version_of(rest)?, record: reader.u64()?, time: Time(reader.i64()?) },
            b'x' => {
                let content = Id(<[u8; 32]>::try_from(rest).map_err(|_| fault("it holds no id"))?);
                StateRow::Expelled { content, tombstone: Tombstone::read(&mut reader)? }
            }
            b'D' => return parse_deleted(rest, value).ok_or_else(|| fault("it isn't of a dataset"))?,
            _ => return Ok(StateRow::Unknown { key: key.to_vec(), value: value.to_vec() }),
        };
        reader.end()?;
        Ok(row)
    }
}

/// A row of a dataset that was deleted; `None` if `rest` isn't the key of one.
fn parse_deleted(rest: &[u8], value: &[u8]) -> Option<Result<StateRow>> {
    let (digits, key) = rest.split_at_checked(DIGITS)?;
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    let record = digits.parse().ok()?;
    matches!(key.first()?, b'd' | b'b' | b'n' | b't' | b'v' | b'm')
        .then(|| Ok(StateRow::Deleted { record, row: Box::new(StateRow::parse(key, value)?) }))
}

/// A kind and parts joined by NUL, which no name holds.
fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&parts.join(&0));
    out
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
