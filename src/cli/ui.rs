//! What people see: colours, sizes, times, and names that can't steer their terminal.

use std::fmt::Write as _;
use std::io::IsTerminal;

use dagset::base::Time;
pub use dagset::base::size;
use dagset::engine::Value;
use unicode_width::UnicodeWidthStr;

/// Colours, or none: on a terminal, without `NO_COLOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    pub fn of_stdout() -> Paint {
        Paint(std::io::stdout().is_terminal() && colours_are_welcome())
    }

    pub fn of_stderr() -> Paint {
        Paint(std::io::stderr().is_terminal() && colours_are_welcome())
    }

    /// No colours.
    #[cfg(test)]
    pub fn none() -> Paint {
        Paint(false)
    }

    fn with(self, code: &str, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn bold(self, text: impl AsRef<str>) -> String {
        self.with("1", text)
    }

    pub fn dim(self, text: impl AsRef<str>) -> String {
        self.with("2", text)
    }

    pub fn red(self, text: impl AsRef<str>) -> String {
        self.with("1;31", text)
    }

    pub fn green(self, text: impl AsRef<str>) -> String {
        self.with("32", text)
    }

    /// Ids.
    pub fn yellow(self, text: impl AsRef<str>) -> String {
        self.with("33", text)
    }

    /// Folders.
    pub fn blue(self, text: impl AsRef<str>) -> String {
        self.with("1;34", text)
    }

    /// Branches, tags, links, commands.
    pub fn cyan(self, text: impl AsRef<str>) -> String {
        self.with("36", text)
    }
}

/// One of the colours, to be chosen before there is text.
pub type Colour = fn(Paint, String) -> String;

fn colours_are_welcome() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

const USUAL_COLUMNS: usize = 80;
/// What is cut keeps so much.
const LEAST_COLUMNS: usize = 12;

/// What is said of a version whose content keep rules let go.
pub const LET_GO: &str = "content let go";

/// Columns of the terminal that stdout is; `None` where there is nothing to fit into.
pub fn columns() -> Option<usize> {
    let stdout = std::io::stdout();
    stdout.is_terminal().then(|| columns_of(&stdout))
}

/// Likewise; where stdout is no terminal, what `COLUMNS` says, or those of a usual one.
pub fn columns_or_usual() -> usize {
    let told = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0);
    columns().or_else(told).unwrap_or(USUAL_COLUMNS)
}

/// The text, cut at its end with `…` to what of the terminal is left beside `taken` columns; whole where stdout is none.
pub fn fit(text: &str, taken: usize) -> String {
    columns().map_or_else(|| text.to_owned(), |columns| cut_end(text, columns.saturating_sub(taken).max(LEAST_COLUMNS)))
}

/// The beginning of the text, in at most `columns` columns with the `…` behind it.
fn cut_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += width(c.encode_utf8(&mut [0; 4]));
        used <= columns
    };
    let front: String = text.chars().take_while(fits).collect();
    format!("{}…", front.trim_end())
}

/// Columns of the terminal that stderr is; of a usual one where it can't be asked.
pub fn stderr_columns() -> usize {
    columns_of(std::io::stderr())
}

fn columns_of(terminal: impl rustix::fd::AsFd) -> usize {
    let asked = rustix::termios::tcgetwinsize(terminal).map(|size| usize::from(size.ws_col));
    asked.ok().filter(|columns| *columns > 0).unwrap_or(USUAL_COLUMNS)
}

/// The text with everything escaped that would move a cursor, change a colour or reorder what is read.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if u32::from(c) < 0x80 && c.is_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c if steers(c) => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A text of several lines: each cleaned, the breaks kept.
pub fn clean_lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(clean).collect()
}

/// Columns that the text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `42%`, rounded down, so that 100% is all.
pub fn percent(part: u64, whole: u64) -> String {
    format!("{}%", u128::from(part) * 100 / u128::from(whole.max(1)))
}

/// `1,234,567`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `2,000 files`.
pub fn count(value: u64, what: &str) -> String {
    format!("{} {what}{}", number(value), if value == 1 { "" } else { "s" })
}

/// `2026-01-31 14:05`, by the user's clock.
pub fn moment(time: Time) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(at) => at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => time.to_string(),
    }
}

/// `8 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A value of metadata as it would be typed.
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => clean(text),
    }
}

/// An argument as a shell takes it: quoted only where it must be.
pub fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    // A leading ~/ must stay open to expansion.
    let (open, rest) = argument.split_at(if argument.starts_with("~/") { 2 } else { 0 });
    format!("{open}'{}'", clean(rest).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_durations_and_counts_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([(0, 0), (999, 1000), (7, 7)].map(|(part, whole)| percent(part, whole)), ["0%", "99%", "100%"]);
        assert_eq!([8, 200, 7500].map(duration), ["8 s", "3 min 20 s", "2 h 5 min"]);
        assert_eq!([count(1, "file"), count(2, "file")], ["1 file", "2 files"]);
    }

    #[test]
    fn long_text_is_cut_at_its_end() {
        assert_eq!(cut_end("abcdef", 6), "abcdef");
        assert_eq!(cut_end("abc efg", 5), "abc…");
        assert_eq!(cut_end("夜夜夜夜", 6), "夜夜…");
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(clean("a\x1b[31mb\nc\td\u{9b}e\u{202e}f"), "a\\x1b[31mb\\nc\\td\\u{9b}e\\u{202e}f");
        assert_eq!(clean("Straße – 夜"), "Straße – 夜");
    }

    #[test]
    fn arguments_survive_a_shell() {
        assert_eq!(quoted("./store/a@1.0:x"), "./store/a@1.0:x");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("~/my data"), "~/'my data'");
    }
}
