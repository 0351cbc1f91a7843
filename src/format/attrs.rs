//! Attributes: a typed map (docs/format.md §1).

use std::collections::BTreeMap;

use crate::base::Result;

use super::codec::{Put, Reader};

/// No encoded map is longer.
pub const MAX_ATTRS: usize = 1 << 20;
const MAX_KEY: usize = 255;
const MAX_TEXT: usize = 64 << 10;
const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;

/// A value of an attribute. Typed, so that 1 and "1" never compare equal.
#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Value {
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.put_u8(0),
            Value::Bool(value) => out.put_u8(1 + u8::from(*value)),
            Value::Int(value) => {
                out.put_u8(3);
                out.put_i64(*value);
            }
            Value::Float(value) => {
                out.put_u8(4);
                out.put_u64(float_bits(*value));
            }
            Value::Text(text) => {
                out.put_u8(5);
                out.put_string(text);
            }
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Value> {
        Ok(match reader.u8()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int(reader.i64()?),
            4 => {
                let bits = reader.u64()?;
                if f64::from_bits(bits).is_nan() && bits != CANONICAL_NAN {
                    return Err(reader.fault("a number isn't canonical"));
                }
                Value::Float(f64::from_bits(bits))
            }
            5 => Value::Text(reader.string(MAX_TEXT)?.to_owned()),
            code => return Err(reader.fault(format_args!("type {code} is unknown"))),
        })
    }
}

/// Equal as the format is: floats by their bits.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => float_bits(*a) == float_bits(*b),
            (Value::Text(a), Value::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

fn float_bits(value: f64) -> u64 {
    if value.is_nan() { CANONICAL_NAN } else { value.to_bits() }
}

/// Attributes by key, in the order of the format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attrs(pub BTreeMap<String, Value>);

impl Attrs {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every key and text is within the limits.
    pub fn fits(&self) -> bool {
        let text_fits = |value: &Value| !matches!(value, Value::Text(text) if text.len() > MAX_TEXT);
        self.0.iter().all(|(key, value)| (1..=MAX_KEY).contains(&key.len()) && text_fits(value))
            && self.encode().len() <= MAX_ATTRS
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_count(self.0.len());
        for (key, value) in &self.0 {
            out.put_string(key);
            value.put(out);
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Attrs> {
        let start = reader.position();
        let mut map = BTreeMap::<String, Value>::new();
        for _ in 0..reader.count(3)? {
            let key = reader.string(MAX_KEY)?;
            if key.is_empty() || map.last_key_value().is_some_and(|(last, _)| last.as_str() >= key) {
                return Err(reader.fault("attribute keys are empty or out of order"));
            }
            map.insert(key.to_owned(), Value::read(reader)?);
            if reader.position() - start > MAX_ATTRS {
                return Err(reader.fault("attributes are too long"));
            }
        }
        Ok(Attrs(map))
    }
}

impl FromIterator<(String, Value)> for Attrs {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(pairs: T) -> Self {
        Attrs(pairs.into_iter().collect())
    }
}

/// The tag of attributes that stand out of line (docs/format.md §8).
const OUT_OF_LINE_TAG: u8 = 5;

/// The item of attributes out of line.
pub fn encode_out_of_line(attrs: &Attrs) -> Vec<u8> {
    let mut out = vec![OUT_OF_LINE_TAG];
    attrs.put(&mut out);
    out
}

/// Parses an item of attributes out of line.
pub fn parse_out_of_line(bytes: &[u8]) -> Result<Attrs> {
    let mut reader = Reader::new("attributes", bytes);
    if reader.u8()? != OUT_OF_LINE_TAG {
        return Err(reader.fault("they have the wrong tag"));
    }
    let attrs = Attrs::read(&mut reader)?;
    reader.end()?;
    Ok(attrs)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            ".{0,12}".prop_map(Value::Text),
        ]
    }

    pub fn any_attrs() -> impl Strategy<Value = Attrs> {
        proptest::collection::btree_map(".{1,8}", any_value(), 0..5).prop_map(Attrs)
    }

    proptest! {
        #[test]
        fn attributes_round_trip(attrs in any_attrs()) {
            let bytes = attrs.encode();
            let mut reader = Reader::new("attributes", &bytes);
            prop_assert_eq!(Attrs::read(&mut reader).expect("own bytes"), attrs);
            prop_assert!(reader.end().is_ok());
        }

        #[test]
        fn what_parses_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new("attributes", &bytes);
            if let Ok(attrs) = Attrs::read(&mut reader) {
                prop_assert_eq!(&attrs.encode()[..], reader.taken());
            }
        }
    }

    #[test]
    fn types_never_compare_equal() {
        assert_ne!(Value::Int(1), Value::Text("1".to_owned()));
        assert_ne!(Value::Int(1), Value::Float(1.0));
        assert_ne!(Value::Float(0.0), Value::Float(-0.0));
        assert_eq!(Value::Float(f64::NAN), Value::Float(-f64::NAN));
    }
}
