//! Log records (docs/format.md §10).

use crate::base::{Id, ObjectName, Result, Time};

use super::attrs::Attrs;
use super::codec::{Put, Reader};
use super::header::{HEADER_LEN, ObjectKind, check_header, header};
use super::operation::Operation;
use super::place::Place;
use super::version::{Extension, MAX_AUTHOR, put_extensions, read_extensions};

/// The rule by which operations are folded.
pub const FOLD_RULE: u16 = 1;
/// No record is longer.
pub const MAX_RECORD: usize = 4 << 20;
const HASH_LEN: usize = 32;

/// What a record says of its own: everything but what it repeats for readers.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordCore {
    pub number: u64,
    /// The hash of the record before; zeros for record 1.
    pub before: Id,
    /// Tells a writer whose answer was lost that this body is its own.
    pub nonce: [u8; 16],
    pub actor: String,
    pub time: Time,
    pub fold_rule: u16,
    /// Host, tool, command: where the actor stood.
    pub context: Attrs,
    pub operations: Vec<Operation>,
}

/// A state that folds all records up to `number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRef {
    pub number: u64,
    pub place: Place,
    pub root: Id,
}

impl StateRef {
    /// The state pack that holds the root.
    pub fn pack(&self) -> ObjectName {
        self.place.frame.pack
    }
}

/// A whole record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub core: RecordCore,
    pub state: Option<StateRef>,
    /// Cores of the records just before, oldest first.
    pub earlier: Vec<RecordCore>,
    pub extensions: Vec<Extension>,
}

impl RecordCore {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.number);
        out.put_id(&self.before);
        out.put_slice(&self.nonce);
        out.put_string(&self.actor);
        out.put_i64(self.time.0);
        out.put_u16(self.fold_rule);
        self.context.put(out);
        out.put_count(self.operations.len());
        self.operations.iter().for_each(|operation| operation.put(out));
    }

    fn read(reader: &mut Reader<'_>) -> Result<RecordCore> {
        let core = RecordCore {
            number: reader.u64()?,
            before: reader.id()?,
            nonce: reader.array()?,
            actor: reader.string(MAX_AUTHOR)?.to_owned(),
            time: Time(reader.i64()?),
            fold_rule: reader.u16()?,
            context: Attrs::read(reader)?,
            operations: read_operations(reader)?,
        };
        if core.number < 1 || core.fold_rule < 1 {
            return Err(reader.fault("a number or fold rule is 0"));
        }
        match (core.number == 1) == (core.before == Id::ZERO) {
            true => Ok(core),
            false => Err(reader.fault("it names no record before, or one before the first")),
        }
    }

    /// How many bytes it takes where it is repeated.
    pub fn encoded_len(&self) -> usize {
        let mut out = Vec::new();
        self.put(&mut out);
        out.len()
    }
}

impl Record {
    /// The object's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = header(ObjectKind::Record).to_vec();
        self.core.put(&mut out);
        out.put_u8(self.state.is_some().into());
        if let Some(state) = &self.state {
            out.put_u64(state.number);
            state.place.put(&mut out);
            out.put_id(&state.root);
        }
        out.put_count(self.earlier.len());
        for core in &self.earlier {
            let mut bytes = Vec::new();
            core.put(&mut bytes);
            out.put_bytes(&bytes);
        }
        put_extensions(&mut out, &self.extensions);
        let hash = Id::of(&out);
        out.put_id(&hash);
        out
    }

    /// Parses an object and checks all that can be checked without other objects.
    pub fn parse(bytes: &[u8]) -> Result<Record> {
        check_header(bytes, ObjectKind::Record)?;
        let outside = Reader::new("a log record", bytes);
        if bytes.len() > MAX_RECORD || bytes.len() < HEADER_LEN + HASH_LEN {
            return Err(outside.fault("its length can't be"));
        }
        let (body, hash) = bytes.split_at(bytes.len() - HASH_LEN);
        if Id::of(body).0 != hash {
            return Err(outside.fault("its hash doesn't hold"));
        }
        let mut reader = Reader::new("a log record", body);
        reader.slice(HEADER_LEN)?;
        let core = RecordCore::read(&mut reader)?;
        let state = reader.flag()?.then(|| read_state(&mut reader)).transpose()?;
        let earlier = read_earlier(&mut reader)?;
        let extensions = read_extensions(&mut reader)?;
        reader.end()?;
        let contiguous =
            earlier.iter().rev().zip(1..).all(|(earlier, back)| earlier.number.checked_add(back) == Some(core.number));
        if !contiguous || state.as_ref().is_some_and(|state| !(1..core.number).contains(&state.number)) {
            return Err(reader.fault("what it repeats doesn't lead up to it"));
        }
        Ok(Record { core, state, earlier, extensions })
    }
}

fn read_operations(reader: &mut Reader<'_>) -> Result<Vec<Operation>> {
    let count = reader.count(3)?;
    let mut operations = Vec::with_capacity(count);
    for _ in 0..count {
        operations.push(Operation::read(reader)?);
    }
    Ok(operations)
}

fn read_state(reader: &mut Reader<'_>) -> Result<StateRef> {
    Ok(StateRef { number: reader.u64()?, place: Place::read(reader)?, root: reader.id()? })
}

fn read_earlier(reader: &mut Reader<'_>) -> Result<Vec<RecordCore>> {
    let count = reader.count(70)?;
    let mut earlier = Vec::with_capacity(count);
    for _ in 0..count {
        let bytes = reader.bytes(MAX_RECORD)?;
        let mut inner = Reader::new("a repeated record", bytes);
        earlier.push(RecordCore::read(&mut inner)?);
        inner.end()?;
    }
    Ok(earlier)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
