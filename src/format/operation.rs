//! The operations of log records (docs/format.md §10).

use crate::base::{BranchName, DatasetName, Id, ObjectName, RefName, Result, Time};

use super::attrs::Value;
use super::codec::{Put, Reader};
use super::header::ObjectKind;
use super::place::{Place, put_object_name, read_object_name};
use super::tombstone::{Purged, put_purged, read_purged};

const MAX_PARENTS: usize = 1_024;
/// Bytes of a note or a reason.
pub const MAX_NOTE: usize = 4 << 10;
const MAX_META_KEY: usize = 255;
/// A value of metadata stands in a row of a state, beside its key, so that it must fit in a node.
const MAX_META_VALUE: usize = 32 << 10;
/// No operation's payload is longer: it must fit in a record.
const MAX_PAYLOAD: usize = 4 << 20;

/// An index as the log registers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    pub name: ObjectName,
    /// Length of the object.
    pub bytes: u64,
    /// BLAKE3 of the object.
    pub id: Id,
    /// How many packs it speaks of.
    pub packs: u64,
    /// Bytes of its data packs.
    pub pack_bytes: u64,
    /// Bytes of its meta packs.
    pub meta_bytes: u64,
}

impl IndexRow {
    /// The row of an index that speaks of nothing yet.
    pub fn of_nothing(name: ObjectName) -> IndexRow {
        IndexRow { name, bytes: 0, id: Id::ZERO, packs: 0, pack_bytes: 0, meta_bytes: 0 }
    }

    /// Counts a pack in.
    pub fn count(&mut self, kind: ObjectKind, bytes: u64) {
        self.packs += 1;
        match kind {
            ObjectKind::Pack => self.pack_bytes += bytes,
            _ => self.meta_bytes += bytes,
        }
    }
}

/// A version as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    pub version: Id,
    pub manifest: Id,
    pub parents: Vec<Id>,
    pub time: Time,
    pub files: u64,
    pub bytes: u64,
    /// All that its publishing wrote to the store.
    pub stored_bytes: u64,
    pub version_place: Place,
    pub manifest_place: Place,
}

/// One change of what moves. All operations of a record happen, or none.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    StoreCreated {
        store: [u8; 16],
    },
    Register {
        indexes: Vec<IndexRow>,
    },
    CreateDataset {
        dataset: DatasetName,
    },
    AddVersion {
        dataset: DatasetName,
        row: Box<VersionRow>,
    },
    SetBranch {
        dataset: DatasetName,
        branch: BranchName,
        old: Option<Id>,
        new: Option<Id>,
    },
    TakeName {
        dataset: DatasetName,
        name: RefName,
        version: Id,
    },
    SetTag {
        dataset: DatasetName,
        tag: RefName,
        old: Option<Id>,
        new: Option<Id>,
        protected: bool,
    },
    Publish {
        dataset: DatasetName,
        version: Id,
        note: String,
    },
    SetMetadata {
        dataset: DatasetName,
        version: Option<Id>,
        key: String,
        value: Option<Value>,
    },
    Rely(Things),
    ReplaceIndexes {
        removed: Vec<ObjectName>,
        added: Vec<IndexRow>,
    },
    Mark,
    VoidBefore {
        born: u64,
    },
    Condemn {
        mark: u64,
        things: Things,
    },
    Rescue(Things),
    Reclaim(Things),
    /// Content goes for good. All sessions that began before the record are void with it.
    Expel {
        contents: Vec<Purged>,
        reason: String,
    },
    /// What was expelled may be stored again.
    Readmit {
        contents: Vec<Id>,
    },
    /// Of versions that stay, the content goes, unless it is rescued: keep rules let it go.
    CondemnContents {
        mark: u64,
        versions: Vec<Id>,
    },
    /// The content of versions is gone for good: it was condemned, or they came without it.
    LetGo {
        versions: Vec<Id>,
    },
    DropName {
        dataset: DatasetName,
        name: RefName,
        version: Id,
    },
    RenameDataset {
        dataset: DatasetName,
        to: DatasetName,
    },
    DeleteDataset {
        dataset: DatasetName,
    },
    RestoreDataset {
        dataset: DatasetName,
        /// The number of the record that deleted it.
        deletion: u64,
    },
    /// Why the record does what is protected or frozen. It changes nothing itself.
    Reason {
        text: String,
    },
    /// A code of a newer dagset, kept as it is.
    Unknown {
        code: u8,
        critical: bool,
        payload: Vec<u8>,
    },
}

/// Versions and packs that collection, or a writer's reliance on them, speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Things {
    pub versions: Vec<Id>,
    pub packs: Vec<ObjectName>,
}

impl Operation {
    fn code(&self) -> u8 {
        match self {
            Operation::StoreCreated { .. } => 1,
            Operation::Register { .. } => 2,
            Operation::CreateDataset { .. } => 3,
            Operation::AddVersion { .. } => 4,
            Operation::SetBranch { .. } => 5,
            Operation::TakeName { .. } => 6,
            Operation::SetTag { .. } => 7,
            Operation::Publish { .. } => 8,
            Operation::SetMetadata { .. } => 9,
            Operation::Rely(_) => 10,
            Operation::ReplaceIndexes { .. } => 11,
            Operation::Mark => 12,
            Operation::VoidBefore { .. } => 13,
            Operation::Condemn { .. } => 14,
            Operation::Rescue(_) => 15,
            Operation::Reclaim(_) => 16,
            Operation::Expel { .. } => 17,
            Operation::DropName { .. } => 19,
            Operation::RenameDataset { .. } => 20,
            Operation::DeleteDataset { .. } => 21,
            Operation::RestoreDataset { .. } => 22,
            Operation::Reason { .. } => 18,
            Operation::Readmit { .. } => 23,
            Operation::CondemnContents { .. } => 24,
            Operation::LetGo { .. } => 25,
            Operation::Unknown { code, .. } => *code,
        }
    }

    fn is_critical(&self) -> bool {
        match self {
            Operation::StoreCreated { .. } | Operation::Rely(_) | Operation::Reason { .. } => false,
            Operation::Unknown { critical, .. } => *critical,
            _ => true,
        }
    }

    /// The dataset that it is about, by the name that it had before.
    pub fn dataset(&self) -> Option<&DatasetName> {
        match self {
            Operation::CreateDataset { dataset }
            | Operation::AddVersion { dataset, .. }
            | Operation::SetBranch { dataset, .. }
            | Operation::TakeName { dataset, .. }
            | Operation::SetTag { dataset, .. }
            | Operation::Publish { dataset, .. }
            | Operation::SetMetadata { dataset, .. }
            | Operation::DropName { dataset, .. }
            | Operation::RenameDataset { dataset, .. }
            | Operation::DeleteDataset { dataset }
            | Operation::RestoreDataset { dataset, .. } => Some(dataset),
            _ => None,
        }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(self.code());
        out.put_u8(self.is_critical().into());
        out.put_bytes(&self.payload());
    }

    fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Operation::StoreCreated { store } => out.put_slice(store),
            Operation::Register { indexes } => put_rows(&mut out, indexes),
            Operation::CreateDataset { dataset } | Operation::DeleteDataset { dataset } => {
                out.put_string(dataset.as_str())
            }
            Operation::AddVersion { dataset, row } => {
                out.put_string(dataset.as_str());
                out.put_id(&row.version);
                row.put_rest(&mut out);
            }
            Operation::SetBranch { dataset, branch, old, new } => {
                out.put_string(dataset.as_str());
                out.put_string(branch.as_str());
                out.put_option_id(old.as_ref());
                out.put_option_id(new.as_ref());
            }
            Operation::TakeName { dataset, name, version } | Operation::DropName { dataset, name, version } => {
                out.put_string(dataset.as_str());
                out.put_string(name.as_str());
                out.put_id(version);
            }
            Operation::SetTag { dataset, tag, old, new, protected } => {
                out.put_string(dataset.as_str());
                out.put_string(tag.as_str());
                out.put_option_id(old.as_ref());
                out.put_option_id(new.as_ref());
                out.put_u8((*protected).into());
            }
            Operation::Publish { dataset, version, note } => {
                out.put_string(dataset.as_str());
                out.put_id(version);
                out.put_string(note);
            }
            Operation::SetMetadata { dataset, version, key, value } => {
                out.put_string(dataset.as_str());
                out.put_option_id(version.as_ref());
                out.put_string(key);
                out.put_u8(value.is_some().into());
                value.iter().for_each(|value| value.put(&mut out));
            }
            Operation::Rely(things) | Operation::Rescue(things) | Operation::Reclaim(things) => things.put(&mut out),
            Operation::ReplaceIndexes { removed, added } => {
                put_names(&mut out, removed);
                put_rows(&mut out, added);
            }
            Operation::Mark => {}
            Operation::VoidBefore { born } => out.put_u64(*born),
            Operation::Condemn { mark, things } => {
                out.put_u64(*mark);
                things.put(&mut out);
            }
            Operation::Expel { contents, reason } => {
                put_purged(&mut out, contents);
                out.put_string(reason);
            }
            Operation::RenameDataset { dataset, to } => {
                out.put_string(dataset.as_str());
                out.put_string(to.as_str());
            }
            Operation::RestoreDataset { dataset, deletion } => {
                out.put_string(dataset.as_str());
                out.put_u64(*deletion);
            }
            Operation::Reason { text } => out.put_string(text),
            Operation::Readmit { contents } => put_ids(&mut out, contents),
            Operation::CondemnContents { mark, versions } => {
                out.put_u64(*mark);
                put_ids(&mut out, versions);
            }
            Operation::LetGo { versions } => put_ids(&mut out, versions),
            Operation::Unknown { payload, .. } => out.put_slice(payload),
        }
        out
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Operation> {
        let code = reader.u8()?;
        let critical = reader.flag()?;
        let payload = reader.bytes(MAX_PAYLOAD)?;
        let mut inner = Reader::new("an operation", payload);
        let operation = Operation::read_payload(code, critical, payload, &mut inner)?;
        inner.end()?;
        match operation.is_critical() == critical {
            true => Ok(operation),
            false => Err(reader.fault("an operation has the wrong flags")),
        }
    }

    fn read_payload(code: u8, critical: bool, payload: &[u8], reader: &mut Reader<'_>) -> Result<Operation> {
        Ok(match code {
            1 => Operation::StoreCreated { store: reader.array()? },
            2 => Operation::Register { indexes: read_rows(reader)? },
            3 => Operation::CreateDataset { dataset: read_dataset(reader)? },
            4 => {
                let (dataset, version) = (read_dataset(reader)?, reader.id()?);
                Operation::AddVersion { dataset, row: Box::new(VersionRow::read_rest(version, reader)?) }
            }
            5 => Operation::SetBranch {
                dataset: read_dataset(reader)?,
                branch: read_branch(reader)?,
                old: reader.option_id()?,
                new: reader.option_id()?,
            },
            6 => Operation::TakeName { dataset: read_dataset(reader)?, name: read_ref(reader)?, version: reader.id()? },
            7 => Operation::SetTag {
                dataset: read_dataset(reader)?,
                tag: read_ref(reader)?,
                old: reader.option_id()?,
                new: reader.option_id()?,
                protected: reader.flag()?,
            },
            8 => Operation::Publish {
                dataset: read_dataset(reader)?,
                version: reader.id()?,
                note: reader.string(MAX_NOTE)?.to_owned(),
            },
            9 => {
                let (dataset, version) = (read_dataset(reader)?, reader.option_id()?);
                let key = reader.string(MAX_META_KEY)?.to_owned();
                if !metadata_key_is_possible(&key) {
                    return Err(reader.fault("a key of metadata is empty"));
                }
                let value = reader.flag()?.then(|| read_metadata(reader)).transpose()?;
                Operation::SetMetadata { dataset, version, key, value }
            }
            10 => Operation::Rely(Things::read(reader)?),
            11 => Operation::ReplaceIndexes { removed: read_names(reader)?, added: read_rows(reader)? },
            12 => Operation::Mark,
            13 => Operation::VoidBefore { born: reader.u64()? },
            14 => Operation::Condemn { mark: reader.u64()?, things: Things::read(reader)? },
            15 => Operation::Rescue(Things::read(reader)?),
            16 => Operation::Reclaim(Things::read(reader)?),
            17 => Operation::Expel { contents: read_purged(reader)?, reason: reader.string(MAX_NOTE)?.to_owned() },
            19 => {
                Operation::DropName { dataset: read_dataset(reader)?, name: read_ref(reader)?, version: reader.id()? }
            }
            20 => Operation::RenameDataset { dataset: read_dataset(reader)?, to: read_dataset(reader)? },
            21 => Operation::DeleteDataset { dataset: read_dataset(reader)? },
            22 => Operation::RestoreDataset { dataset: read_dataset(reader)?, deletion: reader.u64()? },
            18 => Operation::Reason { text: reader.string(MAX_NOTE)?.to_owned() },
            23 => Operation::Readmit { contents: read_ids(reader)? },
            24 => Operation::CondemnContents { mark: reader.u64()?, versions: read_ids(reader)? },
            25 => Operation::LetGo { versions: read_ids(reader)? },
            _ => {
                reader.slice(payload.len())?;
                Operation::Unknown { code, critical, payload: payload.to_vec() }
            }
        })
    }
}

impl VersionRow {
    /// All but the version's id.
    pub fn put_rest(&self, out: &mut Vec<u8>) {
        out.put_id(&self.manifest);
        put_ids(out, &self.parents);
        out.put_i64(self.time.0);
        out.put_varint(self.files);
        out.put_varint(self.bytes);
        out.put_varint(self.stored_bytes);
        self.version_place.put(out);
        self.manifest_place.put(out);
    }

    pub fn read_rest(version: Id, reader: &mut Reader<'_>) -> Result<VersionRow> {
        let row = VersionRow {
            version,
            manifest: reader.id()?,
            parents: read_ids(reader)?,
            time: Time(reader.i64()?),
            files: reader.varint()?,
            bytes: reader.varint()?,
            stored_bytes: reader.varint()?,
            version_place: Place::read(reader)?,
            manifest_place: Place::read(reader)?,
        };
        match row.parents.len() <= MAX_PARENTS {
            true => Ok(row),
            false => Err(reader.fault("a version has too many parents")),
        }
    }
}

impl IndexRow {
    /// All but the name.
    pub fn put_rest(&self, out: &mut Vec<u8>) {
        out.put_varint(self.bytes);
        out.put_id(&self.id);
        out.put_varint(self.packs);
        out.put_varint(self.pack_bytes);
        out.put_varint(self.meta_bytes);
    }

    pub fn read_rest(name: ObjectName, reader: &mut Reader<'_>) -> Result<IndexRow> {
        Ok(IndexRow {
            name,
            bytes: reader.varint()?,
            id: reader.id()?,
            packs: reader.varint()?,
            pack_bytes: reader.varint()?,
            meta_bytes: reader.varint()?,
        })
    }
}

impl Things {
    fn put(&self, out: &mut Vec<u8>) {
        put_ids(out, &self.versions);
        put_names(out, &self.packs);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Things> {
        Ok(Things { versions: read_ids(reader)?, packs: read_names(reader)? })
    }
}

/// Whether metadata can have this key.
pub fn metadata_key_is_possible(key: &str) -> bool {
    (1..=MAX_META_KEY).contains(&key.len())
}

/// Whether metadata can have this key and value.
pub fn metadata_is_possible(key: &str, value: &Value) -> bool {
    let mut encoded = Vec::new();
    value.put(&mut encoded);
    metadata_key_is_possible(key) && encoded.len() <= MAX_META_VALUE
}

pub(super) fn read_metadata(reader: &mut Reader<'_>) -> Result<Value> {
    let start = reader.position();
    let value = Value::read(reader)?;
    match reader.position() - start <= MAX_META_VALUE {
        true => Ok(value),
        false => Err(reader.fault("a value of metadata is too long")),
    }
}

fn put_rows(out: &mut Vec<u8>, rows: &[IndexRow]) {
    out.put_count(rows.len());
    for row in rows {
        put_object_name(out, &row.name);
        row.put_rest(out);
    }
}

fn read_rows(reader: &mut Reader<'_>) -> Result<Vec<IndexRow>> {
    let count = reader.count(53)?;
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let name = read_object_name(reader)?;
        rows.push(IndexRow::read_rest(name, reader)?);
    }
    Ok(rows)
}

fn put_ids(out: &mut Vec<u8>, ids: &[Id]) {
    out.put_count(ids.len());
    ids.iter().for_each(|id| out.put_id(id));
}

fn read_ids(reader: &mut Reader<'_>) -> Result<Vec<Id>> {
    let count = reader.count(32)?;
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        ids.push(reader.id()?);
    }
    Ok(ids)
}

fn put_names(out: &mut Vec<u8>, names: &[ObjectName]) {
    out.put_count(names.len());
    names.iter().for_each(|name| put_object_name(out, name));
}

fn read_names(reader: &mut Reader<'_>) -> Result<Vec<ObjectName>> {
    let count = reader.count(17)?;
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        names.push(read_object_name(reader)?);
    }
    Ok(names)
}

fn read_dataset(reader: &mut Reader<'_>) -> Result<DatasetName> {
    DatasetName::new(reader.string(255)?).map_err(|fault| reader.fault(fault))
}

fn read_branch(reader: &mut Reader<'_>) -> Result<BranchName> {
    BranchName::new(reader.string(255)?).map_err(|fault| reader.fault(fault))
}

fn read_ref(reader: &mut Reader<'_>) -> Result<RefName> {
    RefName::new(reader.string(128)?).map_err(|fault| reader.fault(fault))
}

#[cfg(test)]
#[path = "operation_tests.rs"]
pub mod tests;
