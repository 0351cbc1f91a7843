//! Conditions on datasets, as `list --where` takes them: `meta.task = "detection" and not (files < 100 or bytes >= 1e9)`; and on the files of
//! versions, as `purge --where` does: `path ~ "people/**" and suffix = "png"`.
//!
//! ```text
//! condition  = all { "or" all }
//! all        = one { "and" one }
//! one        = "not" one | "(" condition ")" | FIELD SIGN VALUE | FIELD "~" TEXT
//! FIELD      = dataset | name | author | time | versions | files | bytes | meta.KEY; of a file
//!              path | suffix | bytes | executable | attr.KEY, and of the version that has it: name | time | meta.KEY
//! SIGN       = "=" | "!=" | "<" | "<=" | ">" | ">="
//! VALUE      = "text" | 'text' | number | true | false | null
//! ```
//! In a text `\` stands before a quote or another `\`. A time is a text, RFC 3339 or a date. What isn't set is `null`. Values of two
//! kinds are never equal and never in an order; `~` asks whether a text is what a path or glob selects, as where paths are chosen; numbers compare by what they are, whether written with a point or not.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::base::{Result, Time};
use crate::format::attrs::{Attrs, Value};
use crate::tree::Selection;

mod parse;

/// A condition on datasets that has been understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Node);

/// A condition on files that has been understood.
#[derive(Debug, Clone, PartialEq)]
pub struct FileFilter(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Compare { field: Field, sign: Sign, value: Value },
    Like { field: Field, pattern: Pattern },
}

/// A path or glob, as it was written.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    selection: Arc<Selection>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
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
    Path,
    Suffix,
    Executable,
    Meta(String),
    Attr(String),
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

/// What a condition may ask of a file, and of the version that has it.
#[derive(Debug, Clone, Copy)]
pub struct FileFacts<'a> {
    pub path: &'a str,
    pub bytes: u64,
    pub executable: bool,
    pub attrs: &'a Attrs,
    pub name: Option<&'a str>,
    pub time: Time,
    pub meta: &'a Attrs,
}

impl Filter {
    /// Parses a condition of at most 4 KiB, with at most 32 levels of parentheses and `not`. The error shows where it can't be understood.
    pub fn parse(text: &str) -> Result<Filter> {
        parse::condition(text, parse::Subject::Datasets).map(Filter)
    }

    /// Whether the condition holds; `None` where it depends on an author that isn't known yet.
    pub fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        self.0.holds(&|field| facts.value(field))
    }
}

impl FileFilter {
    /// Parses a condition, with the bounds of [`Filter::parse`].
    pub fn parse(text: &str) -> Result<FileFilter> {
        parse::condition(text, parse::Subject::Files).map(FileFilter)
    }

    /// Whether the condition holds.
    pub fn holds(&self, facts: &FileFacts<'_>) -> bool {
        self.0.holds(&|field| Some(facts.value(field))).unwrap_or_default()
    }

    /// Whether it depends on the version that has the file.
    pub fn asks_of_version(&self) -> bool {
        self.0.asks(&|field| matches!(field, Field::Name | Field::Time | Field::Meta(_)))
    }

    /// Whether it depends on attributes.
    pub fn asks_attributes(&self) -> bool {
        self.0.asks(&|field| matches!(field, Field::Attr(_)))
    }
}

impl fmt::Display for FileFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of a field; `None`: nothing yet.
type Known<'k> = dyn Fn(&Field) -> Option<Value> + 'k;

impl Node {
    fn holds(&self, known: &Known<'_>) -> Option<bool> {
        match self {
            Node::Any(nodes) => decide(nodes, known, true),
            Node::All(nodes) => decide(nodes, known, false),
            Node::Not(node) => node.holds(known).map(|holds| !holds),
            Node::Compare { field, sign, value } => known(field).map(|known| sign.holds(&known, value)),
            Node::Like { field, pattern } => {
                known(field).map(|known| matches!(known, Value::Text(text) if pattern.selection.matches(&text)))
            }
        }
    }

    fn asks(&self, is_meant: &impl Fn(&Field) -> bool) -> bool {
        match self {
            Node::Any(nodes) | Node::All(nodes) => nodes.iter().any(|node| node.asks(is_meant)),
            Node::Not(node) => node.asks(is_meant),
            Node::Compare { field, .. } | Node::Like { field, .. } => is_meant(field),
        }
    }
}

/// `whole` as soon as one part is it, and its contrary where all are; else it isn't known.
fn decide(nodes: &[Node], known: &Known<'_>, whole: bool) -> Option<bool> {
    let mut is_known = true;
    for node in nodes {
        match node.holds(known) {
            Some(holds) if holds == whole => return Some(whole),
            Some(_) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(!whole)
}

fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.to_owned()))
}

fn number(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn at(attrs: &Attrs, key: &str) -> Value {
    attrs.0.get(key).cloned().unwrap_or(Value::Null)
}

impl Facts<'_> {
    fn value(&self, field: &Field) -> Option<Value> {
        Some(match field {
            Field::Dataset => text(Some(self.dataset)),
            Field::Name => text(self.name),
            Field::Author => text(Some(self.author?)),
            Field::Time => Value::Int(self.time.0),
            Field::Versions => number(self.versions),
            Field::Files => number(self.files),
            Field::Bytes => number(self.bytes),
            Field::Meta(key) => at(self.meta, key),
            // Of a file: the parser takes none of these here.
            Field::Path | Field::Suffix | Field::Executable | Field::Attr(_) => Value::Null,
        })
    }
}

impl FileFacts<'_> {
    fn value(&self, field: &Field) -> Value {
        match field {
            Field::Path => text(Some(self.path)),
            Field::Suffix => {
                let name = self.path.rsplit('/').next().unwrap_or_default().trim_start_matches('.');
                text(name.rsplit_once('.').map(|(_, suffix)| suffix.to_lowercase()).as_deref())
            }
            Field::Bytes => number(self.bytes),
            Field::Executable => Value::Bool(self.executable),
            Field::Attr(key) => at(self.attrs, key),
            Field::Name => text(self.name),
            Field::Time => Value::Int(self.time.0),
            Field::Meta(key) => at(self.meta, key),
            // Of a dataset: the parser takes none of these here.
            Field::Dataset | Field::Author | Field::Versions | Field::Files => Value::Null,
        }
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
            Node::Like { field, pattern } => {
                return write!(f, "{field} ~ {}", Written(&Value::Text(pattern.text.clone())));
            }
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
            Field::Path => "path",
            Field::Suffix => "suffix",
            Field::Executable => "executable",
            Field::Meta(key) => return write!(f, "meta.{key}"),
            Field::Attr(key) => return write!(f, "attr.{key}"),
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
