//! Rows in columns: as wide as their longest cell, the last flexible one cut to the terminal; and the card, a box.

use std::fmt::Write as _;

use super::output::Output;
use super::ui::{Colour, Paint, clean, columns, width};

/// So many hexadecimal digits are an id, as it is shown or whole.
const SHORTEST_ID: usize = 12;

/// What stands between the items of a cell that is a list.
pub const BETWEEN: &str = ", ";

/// What a column that may be cut keeps; and what it keeps where nothing else has given way enough.
const USUAL: usize = 12;
const LEAST: usize = 8;

/// How a column stands, and in which colour.
#[derive(Clone, Copy)]
pub struct Column {
    title: &'static str,
    right: bool,
    /// May be cut to so many columns if the table is too wide.
    least: Option<usize>,
    /// It is cut between its items, of which the rest is counted; in its middle if not.
    list: bool,
    /// May be left out where that isn't enough.
    spare: bool,
    paint: Colour,
}

/// Text, to the left.
pub fn left(title: &'static str) -> Column {
    Column { title, right: false, least: None, list: false, spare: false, paint: |_, text| text }
}

/// Numbers, to the right.
pub fn right(title: &'static str) -> Column {
    Column { right: true, ..left(title) }
}

impl Column {
    pub fn flexible(self) -> Column {
        self.at_least(USUAL)
    }

    pub fn at_least(self, columns: usize) -> Column {
        Column { least: Some(columns), ..self }
    }

    pub fn list(self) -> Column {
        Column { list: true, ..self.at_least(24) }
    }

    pub fn spare(self) -> Column {
        Column { spare: true, ..self }
    }

    pub fn painted(self, paint: Colour) -> Column {
        Column { paint, ..self }
    }
}

/// Prints a table, cut to the terminal if stdout is one; the cells are cleaned here. Without titles there is no head.
pub fn print(out: &mut Output, paint: Paint, table: &[Column], rows: &[Vec<String>]) {
    print_within(out, paint, table, rows, columns());
}

/// Likewise, cut to so many columns.
pub fn print_within(out: &mut Output, paint: Paint, table: &[Column], rows: &[Vec<String>], columns: Option<usize>) {
    lines(paint, table, rows, columns).iter().for_each(|line| writeln!(out, "{line}"));
}

fn lines(paint: Paint, table: &[Column], rows: &[Vec<String>], columns: Option<usize>) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let has_head = table.iter().any(|column| !column.title.is_empty());
    let mut widths: Vec<usize> = table.iter().map(|column| if has_head { width(column.title) } else { 0 }).collect();
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    if let Some(columns) = columns
        && shrink(table, &mut widths, columns, usize::MAX) > 0
    {
        let Some(at) = table.iter().rposition(|column| column.spare) else {
            shrink(table, &mut widths, columns, LEAST);
            return written(paint, table, &widths, &rows);
        };
        let kept = |number: &usize| *number != at;
        let table: Vec<Column> = (0..table.len()).filter(kept).map(|number| table[number]).collect();
        let without = |row: &Vec<String>| (0..row.len()).filter(kept).map(|number| row[number].clone()).collect();
        return lines(paint, &table, &rows.iter().map(without).collect::<Vec<_>>(), Some(columns));
    }
    written(paint, table, &widths, &rows)
}

fn written(paint: Paint, table: &[Column], widths: &[usize], rows: &[Vec<String>]) -> Vec<String> {
    let has_head = table.iter().any(|column| !column.title.is_empty());
    let titles: Vec<String> = table.iter().map(|column| column.title.to_owned()).collect();
    let head = has_head.then(|| paint.dim(line(table, widths, &titles, |_, text| text)));
    let row = |row: &Vec<String>| line(table, widths, row, |column, text| (column.paint)(paint, text));
    head.into_iter().chain(rows.iter().map(row)).collect()
}

/// Takes what is too much from the columns that may be cut, the widest first, down to their least, or to `most` where that is less. Gives
/// what is too much still.
fn shrink(table: &[Column], widths: &mut [usize], columns: usize, most: usize) -> usize {
    let gaps = 2 * table.len().saturating_sub(1);
    loop {
        let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(columns);
        let flexible =
            (0..table.len()).filter(|at| table[*at].least.is_some_and(|least| widths[*at] > least.min(most)));
        match flexible.max_by_key(|at| widths[*at]).filter(|_| excess > 0) {
            Some(widest) => widths[widest] -= 1,
            None => return excess,
        }
    }
}

fn line(table: &[Column], widths: &[usize], cells: &[String], paint: impl Fn(&Column, String) -> String) -> String {
    let mut out = String::new();
    for (at, column) in table.iter().enumerate() {
        let cell = cells.get(at).map_or("", String::as_str);
        let cell = if column.list { cut_list(cell, widths[at]) } else { cut(cell, widths[at]) };
        let fill = " ".repeat(widths[at].saturating_sub(width(&cell)));
        let is_last = at + 1 == table.len();
        let gap = if is_last { "" } else { "  " };
        let cell = if cell.is_empty() { cell } else { paint(column, cell) };
        match column.right {
            true => drop(write!(out, "{fill}{cell}{gap}")),
            false if is_last => out.push_str(&cell),
            false => drop(write!(out, "{cell}{fill}{gap}")),
        }
    }
    out.truncate(out.trim_end_matches(' ').len());
    out
}

/// The text in at most `columns` columns, with `…` in its middle for what is left out.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let take = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut used = 0;
        let fits = |c: &char| {
            used += width(c.encode_utf8(&mut [0; 4]));
            used <= room
        };
        chars.take_while(fits).collect::<Vec<char>>()
    };
    let front: String = take(&mut text.chars(), room.div_ceil(2)).into_iter().collect();
    let back: String = take(&mut text.chars().rev(), room / 2).into_iter().rev().collect();
    format!("{front}…{back}")
}

/// The first items of a list in at most `columns` columns, with the number of the others behind: `a, b +3`. One is there always, cut if
/// it has to be.
fn cut_list(list: &str, columns: usize) -> String {
    let items: Vec<&str> = list.split(BETWEEN).collect();
    let first = |count: usize| match items.len() - count {
        0 => list.to_owned(),
        more => format!("{} +{more}", items[..count].join(BETWEEN)),
    };
    let fitting = (1..=items.len()).rev().map(first).find(|text| width(text) <= columns);
    fitting.unwrap_or_else(|| match items.len() - 1 {
        0 => cut(list, columns),
        more => {
            let count = format!(" +{more}");
            format!("{}{count}", cut(items[0], columns.saturating_sub(width(&count))))
        }
    })
}

/// The text in lines of at most `columns` columns, broken at spaces; a longer word has a line of its own.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// As [`wrap`], with longer words broken anywhere but in ids: one that doesn't fit begins a line.
pub fn wrap_hard(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in wrap(text, columns) {
        let (mut part, mut rest) = (String::new(), line.as_str());
        while let Some(first) = rest.chars().next() {
            let hex = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
            let piece = if hex >= SHORTEST_ID { hex } else { first.len_utf8() };
            let (piece, behind) = rest.split_at(piece);
            if !part.is_empty() && width(&part) + width(piece) > columns {
                lines.push(std::mem::take(&mut part));
            }
            part.push_str(piece);
            rest = behind;
        }
        lines.push(part);
    }
    lines
}

/// A box with a title in its rim. A row is what it is called, and what it is, plain and as painted; what is too wide for the
/// terminal is cut.
pub fn card(out: &mut Output, paint: Paint, title: (&str, &str), rows: &[(&str, String, String)]) {
    let labels = rows.iter().map(|(label, ..)| width(label)).max().unwrap_or(0);
    let room = columns().map_or(usize::MAX, |columns| columns.saturating_sub(4 + labels + 2).max(12));
    let longest = rows.iter().map(|(_, plain, _)| width(plain).min(room)).max().unwrap_or(0);
    let inner = (labels + 2 + longest).max(width(title.0) + 2).max(40);
    let rim = |text: &str| paint.dim(text);
    let top = "─".repeat(inner - width(title.0) - 1);
    writeln!(out, "{} {} {}", rim("╭─"), title.1, rim(&format!("{top}╮")));
    for (label, plain, painted) in rows {
        let shown = cut(plain, inner - labels - 2);
        let fill = " ".repeat(inner - labels - 2 - width(&shown));
        let text = if shown == *plain { painted } else { &shown };
        let label = format!("{}{}", paint.dim(label), " ".repeat(labels - width(label)));
        writeln!(out, "{} {label}  {text}{fill} {}", rim("│"), rim("│"));
    }
    writeln!(out, "{}", rim(&format!("╰{}╯", "─".repeat(inner + 2))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_in_its_middle() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abc…fg");
        assert_eq!(cut("夜夜夜夜", 6), "夜…夜");
    }

    #[test]
    fn lists_end_between_items_with_the_number_of_the_others() {
        assert_eq!(cut_list("latest, nightly, prod", 21), "latest, nightly, prod");
        assert_eq!(cut_list("latest, nightly, prod", 20), "latest, nightly +1");
        assert_eq!(cut_list("latest, nightly, prod", 17), "latest +2");
        assert_eq!(cut_list("latest, nightly, prod", 8), "la…st +2");
        assert_eq!((cut_list("", 4), cut_list("latest", 4)), (String::new(), "la…t".to_owned()));
    }

    #[test]
    fn a_list_has_more_room_than_spare_columns() {
        let table = [left("NAME").flexible(), right("STORED").spare(), left("TAGS").list()];
        let row = ["a name", "12.5 GB", "latest, nightly, prod, staging"].map(str::to_owned).to_vec();
        let printed = |columns| lines(Paint::none(), &table, std::slice::from_ref(&row), Some(columns));
        assert_eq!(printed(47), ["NAME     STORED  TAGS", "a name  12.5 GB  latest, nightly, prod, staging"]);
        assert_eq!(printed(44)[1], "a name  12.5 GB  latest, nightly, prod +1");
        assert_eq!(printed(40)[1], "a name  latest, nightly, prod, staging");
    }

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(wrap("ab cd efghijk l", 5), ["ab cd", "efghijk", "l"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap_hard("ab cdefghijkl m", 5), ["ab", "cdefg", "hijkl", "m"]);
        let id = "0af1".repeat(16);
        assert_eq!(wrap_hard(&format!("a {id}"), 5), ["a", &id]);
        assert_eq!(wrap_hard(&format!("{{\"p\":\"{id}\"}}"), 66), ["{\"p\":\"", &format!("{id}\"}}")]);
    }

    #[test]
    fn flexible_columns_give_way() {
        let table = [left("a").flexible(), right("b")];
        let mut widths = [40, 10];
        shrink(&table, &mut widths, 30, usize::MAX);
        assert_eq!(widths, [18, 10]);
        assert_eq!((shrink(&table, &mut widths, 10, usize::MAX), widths), (14, [12, 10]));
    }

    #[test]
    fn no_table_is_too_wide_for_its_least() {
        let table = [left("NAME").flexible(), left("UPDATED"), right("STORED").spare(), left("TAGS").list()];
        let row = ["a name of 20 letters", "2026-11-22 08:38", "12.5 GB", "latest, nightly, prod"].map(str::to_owned);
        let printed = lines(Paint::none(), &table, &[row.to_vec()], Some(40));
        assert_eq!(printed[1], "a nam…ters  2026-11-22 08:38  latest +2");
    }

    #[test]
    fn spare_columns_are_left_out_where_there_is_no_room() {
        let table = [left("NAME").flexible(), right("FILES").spare(), right("STORED").spare(), right("SIZE")];
        let row = ["a name of 20 letters", "1,234", "12.5 GB", "12.5 GB"].map(str::to_owned).to_vec();
        let printed = |columns| lines(Paint::none(), &table, std::slice::from_ref(&row), columns);
        let heads = |columns| printed(columns)[0].split_whitespace().count();
        assert_eq!([None, Some(45), Some(37), Some(36), Some(25)].map(heads), [4, 4, 4, 3, 2]);
        assert!(printed(Some(25)).iter().all(|line| width(line) <= 25), "{:?}", printed(Some(25)));
    }
}
