//! A diff as Markdown, for a comment on a merge request, and as a page of HTML.

use dagset::engine::{DiffCounts, DiffReport, DiffSummary};

use super::diff::{Row, changes, grown, in_words};
use super::ui;

/// Paths that a page lists at most: comments have a limit of some 60,000 characters.
const MOST_PATHS: usize = 200;
const HEAD: [&str; 5] = ["added", "removed", "modified", "renamed", "bytes"];

/// What a page is written in.
trait Markup {
    fn escaped(&self, text: &str) -> String;
    fn title(&self, text: &str) -> String;
    fn paragraph(&self, text: &str) -> String;
    /// A table: its head and its rows, escaped already. The columns from `numbers` on stand to the right.
    fn table(&self, head: &[String], rows: &[Vec<String>], numbers: usize) -> String;
    /// What is opened by a click.
    fn folded(&self, title: &str, body: &str) -> String;
}

/// Text without what would be read as a tag; what else has to be escaped is up to `other`.
fn escaped(text: &str, other: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in ui::clean(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            _ => other(c, &mut out),
        }
    }
    out
}

struct Markdown;

impl Markup for Markdown {
    fn escaped(&self, text: &str) -> String {
        escaped(text, |c, out| match c {
            // `@name` and `#1` would call people and link issues.
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        })
    }

    fn title(&self, text: &str) -> String {
        format!("### {text}\n\n")
    }

    fn paragraph(&self, text: &str) -> String {
        format!("{text}\n\n")
    }

    fn table(&self, head: &[String], rows: &[Vec<String>], numbers: usize) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = (0..head.len()).map(|at| if at < numbers { ":--" } else { "--:" }.to_owned()).collect();
        let rows: String = rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}\n", line(head), line(&rule))
    }

    fn folded(&self, title: &str, body: &str) -> String {
        format!("<details><summary>{title}</summary>\n\n{body}</details>\n")
    }
}

struct Html;

impl Markup for Html {
    fn escaped(&self, text: &str) -> String {
        escaped(text, |c, out| match c {
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        })
    }

    fn title(&self, text: &str) -> String {
        format!("<h1>{text}</h1>\n")
    }

    fn paragraph(&self, text: &str) -> String {
        format!("<p>{text}</p>\n")
    }

    fn table(&self, head: &[String], rows: &[Vec<String>], numbers: usize) -> String {
        let line = |tag: &str, cells: &[String]| {
            let cell = |(at, text): (usize, &String)| {
                let class = if at < numbers { "" } else { " class=\"n\"" };
                format!("<{tag}{class}>{text}</{tag}>")
            };
            format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
        };
        let rows: String = rows.iter().map(|row| line("td", row)).collect();
        format!("<table>\n{}{rows}</table>\n", line("th", head))
    }

    fn folded(&self, title: &str, body: &str) -> String {
        format!("<details open><summary>{title}</summary>\n{body}</details>\n")
    }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}\
h1{font-size:1.3em}table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:left}\
.n{text-align:right;font-variant-numeric:tabular-nums}summary{cursor:pointer}";

/// The report for a comment; `title` says what was compared.
pub fn markdown(title: &str, report: &DiffReport) -> String {
    page(&Markdown, title, report)
}

/// The report as a page that needs nothing else.
pub fn html(title: &str, report: &DiffReport) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{}</title>\n<style>{STYLE}</style>\n{}</html>\n",
        Html.escaped(title),
        page(&Html, title, report)
    )
}

fn page(markup: &dyn Markup, title: &str, report: &DiffReport) -> String {
    let mut out = markup.title(&markup.escaped(title));
    let DiffSummary { all, folders, types } = report.summary();
    if report.is_empty() {
        return out + &markup.paragraph("no differences");
    }
    out += &markup.paragraph(&format!("{} ({})", in_words(report), grown(&all)));
    for (what, groups) in [("folder", folders), ("type", types)] {
        let head: Vec<String> = std::iter::once(what).chain(HEAD).map(str::to_owned).collect();
        let rows: Vec<_> =
            groups.iter().map(|(name, counts)| [vec![markup.escaped(name)], cells(counts)].concat()).collect();
        out += &markup.table(&head, &rows, 1);
    }
    let rows = changes(report);
    let listed: Vec<_> = rows.iter().take(MOST_PATHS).map(|row| listed(markup, row)).collect();
    let mut body = markup.table(&["", "path", "size"].map(str::to_owned), &listed, 2);
    if rows.len() > MOST_PATHS {
        let more = ui::number((rows.len() - MOST_PATHS) as u64);
        body += &markup.paragraph(&format!("and {more} more"));
    }
    out + &markup.folded(&ui::count(rows.len() as u64, "path"), &body)
}

fn cells(counts: &DiffCounts) -> Vec<String> {
    let numbers = [counts.added, counts.removed, counts.modified, counts.renamed];
    let numbers = numbers.map(|count| if count == 0 { String::new() } else { ui::number(count) });
    numbers.into_iter().chain([grown(counts)]).collect()
}

fn listed(markup: &dyn Markup, row: &Row) -> Vec<String> {
    let path = match &row.to {
        Some(to) => format!("{} → {}", markup.escaped(&row.path), markup.escaped(to)),
        None => markup.escaped(&row.path),
    };
    vec![row.word().to_owned(), path, markup.escaped(&row.sizes)]
}
