//! From the text of a condition to what it means. Each error says where in the text it is.

use std::sync::Arc;

use crate::base::{Error, Result, Time};
use crate::format::attrs::Value;
use crate::tree::Selection;

use super::{Field, Node, Pattern, Sign};

const MOST_BYTES: usize = 4 << 10;
/// Parentheses and `not` in one another.
const MOST_LEVELS: usize = 32;
/// Longest key of metadata (docs/format.md §10).
const MOST_KEY_BYTES: usize = 255;

/// What a condition is on: each has fields of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Datasets,
    Files,
}

impl Subject {
    fn fields(self) -> &'static str {
        match self {
            Subject::Datasets => "dataset, name, author, time, versions, files, bytes, meta.KEY",
            Subject::Files => "path, suffix, bytes, executable, attr.KEY, name, time, meta.KEY",
        }
    }

    fn field(self, word: &str) -> Option<Field> {
        let of_key = |field: fn(String) -> Field, prefix: &str| {
            let key = word.strip_prefix(prefix)?;
            (1..=MOST_KEY_BYTES).contains(&key.len()).then(|| field(key.to_owned()))
        };
        let common = match word {
            "name" => Some(Field::Name),
            "time" => Some(Field::Time),
            "bytes" => Some(Field::Bytes),
            _ => of_key(Field::Meta, "meta."),
        };
        common.or(match (self, word) {
            (Subject::Datasets, "dataset") => Some(Field::Dataset),
            (Subject::Datasets, "author") => Some(Field::Author),
            (Subject::Datasets, "versions") => Some(Field::Versions),
            (Subject::Datasets, "files") => Some(Field::Files),
            (Subject::Files, "path") => Some(Field::Path),
            (Subject::Files, "suffix") => Some(Field::Suffix),
            (Subject::Files, "executable") => Some(Field::Executable),
            (Subject::Files, _) => of_key(Field::Attr, "attr."),
            _ => None,
        })
    }
}

/// Parses a whole condition.
pub fn condition(text: &str, subject: Subject) -> Result<Node> {
    if text.len() > MOST_BYTES {
        return Err(Error::usage(format!(
            "a condition has at most {MOST_BYTES} bytes, and this one has {}",
            text.len()
        )));
    }
    let mut parser = Parser { subject, text, at: 0, levels: 0 };
    let node = parser.any()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.fault("here `and`, `or` or the end is expected")),
    }
}

struct Parser<'t> {
    subject: Subject,
    text: &'t str,
    /// Where in the text it goes on.
    at: usize,
    levels: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The next character that isn't space, where it goes on then.
    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn fault(&self, why: &str) -> Error {
        self.fault_at(self.at, why)
    }

    fn fault_at(&self, at: usize, why: &str) -> Error {
        let shown: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let before = " ".repeat(self.text[..at].chars().count());
        Error::usage(format!("can't understand the condition: {why}\n  {shown}\n  {before}^"))
    }

    fn take(&mut self, sign: &str) -> bool {
        self.peek();
        let is_next = self.rest().starts_with(sign);
        self.at += if is_next { sign.len() } else { 0 };
        is_next
    }

    /// What could be a word or a number here.
    fn word(&mut self) -> &'t str {
        self.peek();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_.+-".contains(c))).unwrap_or(rest.len());
        &rest[..end]
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let is_next = self.word() == wanted;
        self.at += if is_next { wanted.len() } else { 0 };
        is_next
    }

    fn any(&mut self) -> Result<Node> {
        self.joined("or", Parser::all, Node::Any)
    }

    fn all(&mut self) -> Result<Node> {
        self.joined("and", Parser::one, Node::All)
    }

    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Parser<'t>) -> Result<Node>,
        whole: fn(Vec<Node>) -> Node,
    ) -> Result<Node> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.take_word(word) {
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { whole(parts) })
    }

    fn one(&mut self) -> Result<Node> {
        self.peek();
        let start = self.at;
        let is_not = self.take_word("not");
        if !is_not && !self.take("(") {
            return self.comparison();
        }
        self.levels += 1;
        if self.levels > MOST_LEVELS {
            return Err(self.fault_at(start, "this is nested too deep"));
        }
        let node = match is_not {
            true => Node::Not(Box::new(self.one()?)),
            false => {
                let inner = self.any()?;
                if !self.take(")") {
                    return Err(self.fault("here `and`, `or` or `)` is expected"));
                }
                inner
            }
        };
        self.levels -= 1;
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node> {
        let field = self.field()?;
        let is_text = !matches!(field, Field::Time | Field::Versions | Field::Files | Field::Bytes | Field::Executable);
        if is_text && self.take("~") {
            return self.like(field);
        }
        let sign = self.sign()?;
        self.peek();
        let start = self.at;
        let value = self.value()?;
        let fits = |kinds: &str, fits: bool| match fits {
            true => Ok(()),
            false => Err(self.fault_at(start, &format!("{field} is compared with {kinds}"))),
        };
        let value = match (&field, value) {
            (Field::Time, Value::Text(text)) => match Time::parse(&text) {
                Ok(time) => Value::Int(time.0),
                Err(_) => {
                    return Err(self.fault_at(start, "a time is written \"2026-01-31\" or \"2026-01-31T12:00:00Z\""));
                }
            },
            (Field::Time, _) => return Err(self.fault_at(start, "a time is compared with a text, as \"2026-01-31\"")),
            (Field::Versions | Field::Files | Field::Bytes, value) => {
                fits("a number", matches!(value, Value::Int(_) | Value::Float(_)))?;
                value
            }
            (Field::Executable, value) => {
                fits("true or false", matches!(value, Value::Bool(_)))?;
                value
            }
            (Field::Dataset | Field::Author | Field::Path, value) => {
                fits("a text in quotes", matches!(value, Value::Text(_)))?;
                value
            }
            (Field::Name | Field::Suffix, value) => {
                fits("a text in quotes, or null", matches!(value, Value::Text(_) | Value::Null))?;
                value
            }
            (Field::Meta(_) | Field::Attr(_), value) => value,
        };
        let is_ordered = !matches!(value, Value::Null | Value::Bool(_));
        match is_ordered || matches!(sign, Sign::Equal | Sign::Unequal) {
            true => Ok(Node::Compare { field, sign, value }),
            false => Err(self.fault_at(start, "true, false and null are compared by = and != only")),
        }
    }

    fn like(&mut self, field: Field) -> Result<Node> {
        let quote = self.peek();
        let start = self.at;
        let Some(quote) = quote.filter(|c| matches!(c, '"' | '\'')) else {
            return Err(self.fault("here a path or glob in quotes is expected"));
        };
        let text = self.text(quote)?;
        let selection =
            Selection::new(std::slice::from_ref(&text)).map_err(|fault| self.fault_at(start, &fault.in_one_line()))?;
        Ok(Node::Like { field, pattern: Pattern { text, selection: Arc::new(selection) } })
    }

    fn field(&mut self) -> Result<Field> {
        let word = self.word();
        let field = match (word, self.subject.field(word)) {
            ("", _) if self.subject == Subject::Files => {
                return Err(self.fault("here a field is expected, as path or bytes"));
            }
            ("", _) => return Err(self.fault("here a field is expected, as files or meta.KEY")),
            (_, Some(field)) => field,
            _ => return Err(self.fault(&format!("this is no field; there are {}", self.subject.fields()))),
        };
        self.at += word.len();
        Ok(field)
    }

    fn sign(&mut self) -> Result<Sign> {
        let signs = [
            ("!=", Sign::Unequal),
            ("<=", Sign::AtMost),
            (">=", Sign::AtLeast),
            ("=", Sign::Equal),
            ("<", Sign::Less),
            (">", Sign::More),
        ];
        match signs.into_iter().find(|(text, _)| self.take(text)) {
            Some((_, sign)) => Ok(sign),
            None => Err(self.fault("here one of = != < <= > >= is expected")),
        }
    }

    fn value(&mut self) -> Result<Value> {
        if let Some(quote) = self.peek().filter(|c| matches!(c, '"' | '\'')) {
            return self.text(quote).map(Value::Text);
        }
        let word = self.word();
        let value = match word {
            "" => return Err(self.fault("here a value is expected: a text in quotes, a number, true, false or null")),
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => match (word.parse::<i64>(), word.parse::<f64>()) {
                (Ok(number), _) => Value::Int(number),
                (_, Ok(number)) if number.is_finite() => Value::Float(number),
                _ => return Err(self.fault("this is no value: a text stands in quotes")),
            },
        };
        self.at += word.len();
        Ok(value)
    }

    fn text(&mut self, quote: char) -> Result<String> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped @ ('\\' | '"' | '\''))) => text.push(escaped),
                    _ => return Err(self.fault_at(start + at, "behind \\ a quote or another \\ is expected")),
                },
                c if c == quote => {
                    self.at = start + at + 1;
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(self.fault_at(start, "this text has no end"))
    }
}
