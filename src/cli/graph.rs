//! The graph of `log --graph`: a column for each line of versions that is still waited for.
//!
//! Versions come newest first, each before its parents. A column that ends leaves a gap, which the next new one fills, so that no
//! line ever has to move sideways.
//!
//! ```text
//! ●    the merge of two lines
//! ├─╮
//! │ ●
//! ● │
//! ├─╯
//! ●    where they parted
//! ```

use dagset::base::Id;

use super::ui::Paint;

/// Which version each column waits for.
#[derive(Default)]
pub struct Graph {
    columns: Vec<Option<Id>>,
}

impl Graph {
    /// How many columns may stand before the text of a version with so many parents.
    pub fn width(&self, parents: usize) -> usize {
        2 * (self.columns.len() + parents.max(1)) + 1
    }

    /// The lines of one version: the joining of what waited for it, itself with its text, the parting to its parents.
    pub fn draw(&mut self, version: Id, parents: &[Id], text: &[String], paint: Paint) -> Vec<String> {
        let mut lines = Vec::new();
        let waiting: Vec<usize> = (0..self.columns.len()).filter(|at| self.columns[*at] == Some(version)).collect();
        let own = match waiting.split_first() {
            None => self.open(version, 0),
            Some((first, [])) => *first,
            Some((first, others)) => {
                lines.push(paint.dim(self.joint(*first, others, '╯', '┴')));
                others.iter().for_each(|at| self.columns[*at] = None);
                *first
            }
        };
        self.close();
        let mark = self.row(|at| if at == own { '●' } else { '│' });
        let mut text = text.iter();
        let first = text.next().map_or("", String::as_str);
        lines.push(format!("{}  {first}", self.painted_mark(&mark, own, paint)));

        // What follows stands beside the lines as they go on from here.
        self.columns[own] = parents.first().copied();
        let mut opened = Vec::new();
        let mut reached = Vec::new();
        for parent in parents.iter().skip(1) {
            match self.columns.iter().position(|waits| *waits == Some(*parent)) {
                Some(there) => reached.push(there),
                None => opened.push(self.open(*parent, own + 1)),
            }
        }
        if !opened.is_empty() || !reached.is_empty() {
            lines.push(self.text_line(&self.parting(own, &opened, &reached), text.next(), paint));
        }
        for line in text {
            lines.push(self.text_line(&self.row(|_| '│'), Some(line), paint));
        }
        let after = self.row(|_| '│');
        if !after.trim().is_empty() {
            lines.push(paint.dim(after.trim_end()));
        }
        self.close();
        lines
    }

    /// Gives up the gaps at the right.
    fn close(&mut self) {
        while self.columns.last() == Some(&None) {
            self.columns.pop();
        }
    }

    /// Takes the first gap from `from` on, or a new column.
    fn open(&mut self, version: Id, from: usize) -> usize {
        let gap = (from..self.columns.len()).find(|at| self.columns[*at].is_none());
        let at = gap.unwrap_or_else(|| {
            self.columns.push(None);
            self.columns.len() - 1
        });
        self.columns[at] = Some(version);
        at
    }

    fn row(&self, sign: impl Fn(usize) -> char) -> String {
        let cell = |(at, waits): (usize, &Option<Id>)| if waits.is_some() { sign(at) } else { ' ' };
        let cells: Vec<String> = self.columns.iter().enumerate().map(|it| cell(it).to_string()).collect();
        cells.join(" ")
    }

    fn text_line(&self, graph: &str, text: Option<&String>, paint: Paint) -> String {
        format!("{}  {}", paint.dim(graph), text.map_or("", String::as_str)).trim_end().to_owned()
    }

    fn painted_mark(&self, row: &str, own: usize, paint: Paint) -> String {
        let cells: Vec<String> = row
            .chars()
            .enumerate()
            .map(|(at, sign)| if at == own * 2 { paint.green(sign.to_string()) } else { paint.dim(sign.to_string()) })
            .collect();
        cells.concat()
    }

    /// The row in which `others` end in the column `first`, which lies left of them.
    fn joint(&self, first: usize, others: &[usize], last_sign: char, inner_sign: char) -> String {
        let last = others.last().copied().unwrap_or(first);
        self.span(first, last, |at| {
            if at == first {
                '├'
            } else if at == last {
                last_sign
            } else if others.contains(&at) {
                inner_sign
            } else {
                self.crossed(at)
            }
        })
    }

    /// The row in which lines leave `own` for new columns, and for columns that waited already.
    fn parting(&self, own: usize, opened: &[usize], reached: &[usize]) -> String {
        let ends = || opened.iter().chain(reached).copied();
        let from = ends().min().unwrap_or(own).min(own);
        let to = ends().max().unwrap_or(own).max(own);
        self.span(from, to, |at| match at {
            _ if at == own && from < own && to > own => '┼',
            _ if at == own && from < own => '┤',
            _ if at == own => '├',
            _ if opened.contains(&at) && at == to => '╮',
            _ if opened.contains(&at) => '┬',
            _ if reached.contains(&at) && at == to => '┤',
            _ if reached.contains(&at) && at == from => '├',
            _ => self.crossed(at),
        })
    }

    fn crossed(&self, at: usize) -> char {
        if self.columns[at].is_some() { '┼' } else { '─' }
    }

    /// A row with a line from one column to another.
    fn span(&self, from: usize, to: usize, sign: impl Fn(usize) -> char) -> String {
        let mut out = String::new();
        for at in 0..self.columns.len() {
            let inside = (from..=to).contains(&at);
            out.push(match (inside, self.columns[at]) {
                (true, _) => sign(at),
                (false, Some(_)) => '│',
                (false, None) => ' ',
            });
            out.push(if inside && at < to { '─' } else { ' ' });
        }
        out.truncate(out.trim_end().len());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws versions given as a letter and the letters of their parents.
    fn drawn(versions: &[&str]) -> String {
        let id = |letter: char| Id([letter as u8; 32]);
        let mut graph = Graph::default();
        let mut lines = Vec::new();
        for version in versions {
            let mut letters = version.chars();
            let own = letters.next().unwrap();
            let parents: Vec<Id> = letters.map(id).collect();
            lines.extend(graph.draw(id(own), &parents, &[own.to_string()], Paint::none()));
        }
        lines.join("\n")
    }

    #[test]
    fn a_line_is_straight() {
        insta::assert_snapshot!(drawn(&["cb", "ba", "a"]), @"
        ●  c
        │
        ●  b
        │
        ●  a
        ");
    }

    #[test]
    fn a_merge_parts_and_joins() {
        insta::assert_snapshot!(drawn(&["dbc", "ca", "ba", "a"]), @"
        ●  d
        ├─╮
        │ │
        │ ●  c
        │ │
        ● │  b
        │ │
        ├─╯
        ●  a
        ");
    }

    #[test]
    fn an_octopus_and_a_criss_cross_are_right() {
        insta::assert_snapshot!(drawn(&["eabd", "dab", "ba", "a"]), @"
        ●  e
        ├─┬─╮
        │ │ │
        │ │ ●  d
        │ ├─┤
        │ │ │
        │ ● │  b
        │ │ │
        ├─┴─╯
        ●  a
        ");
        insta::assert_snapshot!(drawn(&["fcd", "dab", "cab", "b", "a"]), @"
        ●  f
        ├─╮
        │ │
        │ ●  d
        │ ├─╮
        │ │ │
        ● │ │  c
        ├─┼─┤
        │ │ │
        │ │ ●  b
        │ │
        ├─╯
        ●  a
        ");
    }
}
