//! Conditions on datasets, as `list --where` takes them: `meta.task = "detection" and not (files < 100 or bytes >= 1e9)`.
//!
//! ```text
//! condition  = all { "or" all }
//! all        = one { "and" one }
//! one        = "not" one | "(" condition ")" | FIELD SIGN VALUE
//! FIELD      = dataset | name | author | time | versions | files | bytes | meta.KEY
//! SIGN       = "=" | "!=" | "<" | "<=" | ">" | ">="
//! VALUE      = "text" | 'text' | number | true | false | null
//! ```
//! In a text `\` stands before a quote or another `\`. A time is a text, RFC 3339 or a date. What isn't set is `null`. Values of two
//! kinds are never equal and never in an order; numbers compare by what they are, whether written with a point or not.

use std::cmp::Ordering;
use std::fmt;

use crate::base::{Result, Time};
use crate::format::attrs::{Attrs, Value};

mod parse;

/// A condition that has been understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Compare { field: Field, sign: Sign, value: Value },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Dataset,
    Name,
    Author,
    Time,
    Versions,
    Files,
    Bytes,
    Meta(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// What a condition may ask of a dataset; all but its name and count are of its newest version.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub dataset: &'a str,
    pub name: Option<&'a str>,
    /// `None`: not known yet.
    pub author: Option<&'a str>,
    pub time: Time,
    pub versions: u64,
    pub files: u64,
    pub bytes: u64,
    pub meta: &'a Attrs,
}

impl Filter {
    /// Parses a condition of at most 4 KiB, with at most 32 levels of parentheses and `not`. The error shows where it can't be understood.
    pub fn parse(text: &str) -> Result<Filter> {
        parse::condition(text).map(Filter)
    }

    /// Whether the condition holds; `None` where it depends on an author that isn't known yet.
    pub fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        self.0.holds(facts)
    }
}

impl Node {
    fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Node::Any(nodes) => decide(nodes, facts, true),
            Node::All(nodes) => decide(nodes, facts, false),
            Node::Not(node) => node.holds(facts).map(|holds| !holds),
            Node::Compare { field, sign, value } => field.value(facts).map(|known| sign.holds(&known, value)),
        }
    }
}

/// `whole` as soon as one part is it, and its contrary where all are; else it isn't known.
fn decide(nodes: &[Node], facts: &Facts<'_>, whole: bool) -> Option<bool> {
    let mut is_known = true;
    for node in nodes {
        match node.holds(facts) {
            Some(holds) if holds == whole => return Some(whole),
            Some(_) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(!whole)
}

impl Field {
    fn value(&self, facts: &Facts<'_>) -> Option<Value> {
        let text = |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.to_owned()));
        let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        Some(match self {
            Field::Dataset => text(Some(facts.dataset)),
            Field::Name => text(facts.name),
            Field::Author => text(Some(facts.author?)),
            Field::Time => Value::Int(facts.time.0),
            Field::Versions => number(facts.versions),
            Field::Files => number(facts.files),
            Field::Bytes => number(facts.bytes),
            Field::Meta(key) => facts.meta.0.get(key).cloned().unwrap_or(Value::Null),
        })
    }
}

impl Sign {
    fn holds(self, known: &Value, given: &Value) -> bool {
        let order = match (known, given) {
            (Value::Null, Value::Null) => Some(Ordering::Equal),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                float(known).partial_cmp(&float(given))
            }
            _ => None,
        };
        match self {
            Sign::Equal => order == Some(Ordering::Equal),
            Sign::Unequal => order != Some(Ordering::Equal),
            Sign::Less => order == Some(Ordering::Less),
            Sign::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Sign::More => order == Some(Ordering::Greater),
            Sign::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => f64::NAN,
    }
}

/// The condition as it can be written: it parses to the same again.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, word) = match self {
            Node::Any(nodes) => (nodes, " or "),
            Node::All(nodes) => (nodes, " and "),
            Node::Not(node) => return write!(f, "not {}", Inner(node)),
            Node::Compare { field: Field::Time, sign, value: Value::Int(time) } => {
                return write!(f, "time {sign} \"{}\"", Time(*time));
            }
            Node::Compare { field, sign, value } => return write!(f, "{field} {sign} {}", Written(value)),
        };
        for (at, node) in nodes.iter().enumerate() {
            f.write_str(if at > 0 { word } else { "" })?;
            match (self, node) {
                // `and` binds tighter.
                (Node::Any(_), Node::All(_)) => node.fmt(f)?,
                _ => Inner(node).fmt(f)?,
            }
        }
        Ok(())
    }
}

/// A part of a condition, in parentheses where it has parts itself.
struct Inner<'a>(&'a Node);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Node::Any(_) | Node::All(_) => write!(f, "({})", self.0),
            node => node.fmt(f),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Dataset => "dataset",
            Field::Name => "name",
            Field::Author => "author",
            Field::Time => "time",
            Field::Versions => "versions",
            Field::Files => "files",
            Field::Bytes => "bytes",
            Field::Meta(key) => return write!(f, "meta.{key}"),
        })
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sign::Equal => "=",
            Sign::Unequal => "!=",
            Sign::Less => "<",
            Sign::AtMost => "<=",
            Sign::More => ">",
            Sign::AtLeast => ">=",
        })
    }
}

struct Written<'a>(&'a Value);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => value.fmt(f),
            Value::Int(number) => number.fmt(f),
            // With a point or an exponent, so that it stays one.
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Text(text) => write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

#[cfg(test)]
#[path = "filter/tests.rs"]
mod tests;
