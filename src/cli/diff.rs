//! `diff`: what differs between two versions.

use clap::{Args, ValueEnum};
use dagset::base::{Error, Result};
use dagset::engine::{DiffCounts, DiffEntry, DiffReport, ListedKind, Location};
use serde_json::{Value, json};

use super::table::{left, print, right};
use super::ui::Paint;
use super::{Context, Ending, addresses, diff_page, json, ui};

const EXAMPLES: &str = "\
Examples:
  dagset diff ./store/photos@1.0 ./store/photos@2.0
  dagset diff ./store/photos@2.0              what 2.0 changed in its parent
  dagset diff ./store/photos@1.0:train ./store/photos --stat
  dagset diff ./store/photos@1.0 ./store/photos@2.0 --format markdown > comment.md
  dagset diff                                 in a workspace: what changed in it";

/// Show what differs between two versions, or in the workspace
///
/// A file with the same content elsewhere is a rename. With one address, a version is compared to its
/// parent; in a workspace, one REF or none is compared to the folder.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Diff {
    /// The version before
    #[arg(value_name = "A")]
    before: Option<String>,
    /// The version after
    #[arg(value_name = "B")]
    after: Option<String>,
    /// Counts and bytes by folder and by type: short for --format table
    #[arg(long, conflicts_with_all = ["name_status", "format"])]
    stat: bool,
    /// A letter and a path for each, in the manner of git
    #[arg(long, conflicts_with = "format")]
    name_status: bool,
    /// Counts and bytes by folder and by type, in this form; the last two list paths too, and fit a merge request
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Exit with 1 if anything differs
    #[arg(long)]
    exit_code: bool,
}

/// How differences are shown.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Table,
    Json,
    Markdown,
    Html,
}

pub fn run(context: &mut Context, args: &Diff) -> Result<Ending> {
    if !context.for_people() && args.format.is_some_and(|format| format != Format::Json) {
        return Err(Error::usage("--json and another --format were given").hint("leave one of them out"));
    }
    let before = addresses::parse_or_here(context, args.before.as_deref())?;
    let after = args.after.as_deref().map(|text| addresses::parse(context, text)).transpose()?;
    let report = context.watched(|engine| match (&after, &before.location) {
        (Some(after), _) => engine.diff(&before, after),
        (None, Location::Here) => engine.diff_working(&before),
        (None, _) => engine.diff_to_parent(&before),
    })?;
    match args.format {
        _ if !context.for_people() => document(context, &report),
        Some(Format::Json) => document(context, &report),
        Some(Format::Markdown) => {
            write!(context.out, "{}", diff_page::markdown(&title(args, &before.location), &report))
        }
        Some(Format::Html) => write!(context.out, "{}", diff_page::html(&title(args, &before.location), &report)),
        Some(Format::Table) => tables(context, &report),
        None if args.stat => tables(context, &report),
        None if args.name_status => short(context, &report),
        None => listed(context, &report),
    }
    Ok(if args.exit_code && !report.is_empty() { Ending::Differs } else { Ending::Done })
}

/// What was compared, as it was asked for.
fn title(args: &Diff, location: &Location) -> String {
    match (&args.before, &args.after, location) {
        (Some(before), Some(after), _) => format!("{before} → {after}"),
        (Some(before), None, Location::Here) => format!("{before} → workspace"),
        (None, _, _) => "Changes in the workspace".to_owned(),
        (Some(version), None, _) => format!("Changes of {version}"),
    }
}

fn document(context: &mut Context, report: &DiffReport) {
    let paths = |entries: &[DiffEntry]| entries.iter().map(|it| it.path.clone()).collect::<Vec<_>>();
    let renamed: Vec<_> = report.renamed.iter().map(|it| json!({"from": it.from, "to": it.to})).collect();
    let sum =
        |entries: &[DiffEntry], bytes: fn(&DiffEntry) -> Option<u64>| entries.iter().filter_map(bytes).sum::<u64>();
    let summary = report.summary();
    let group = |(name, counts): (&String, &DiffCounts)| {
        json!({
            "name": name,
            "added": counts.added,
            "removed": counts.removed,
            "modified": counts.modified,
            "renamed": counts.renamed,
            "bytes_before": counts.bytes_before,
            "bytes_after": counts.bytes_after,
        })
    };
    context.out.document(&json::document(json!({
        "added": paths(&report.added),
        "removed": paths(&report.removed),
        "modified": paths(&report.modified),
        "renamed": renamed,
        "added_bytes": sum(&report.added, |it| it.bytes_after),
        "removed_bytes": sum(&report.removed, |it| it.bytes_before),
        "modified_bytes_before": sum(&report.modified, |it| it.bytes_before),
        "modified_bytes_after": sum(&report.modified, |it| it.bytes_after),
        "by_folder": summary.folders.iter().map(group).collect::<Vec<Value>>(),
        "by_type": summary.types.iter().map(group).collect::<Vec<Value>>(),
    })));
}

/// A change in a line.
pub struct Row {
    pub letter: char,
    pub path: String,
    /// Where a renamed file is now.
    pub to: Option<String>,
    pub sizes: String,
}

impl Row {
    pub fn word(&self) -> &'static str {
        match self.letter {
            'A' => "added",
            'D' => "removed",
            'M' => "modified",
            _ => "renamed",
        }
    }
}

/// All changes in path order.
pub fn changes(report: &DiffReport) -> Vec<Row> {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), ui::size);
    let path = |it: &DiffEntry| format!("{}{}", it.path, if it.kind == ListedKind::Folder { "/" } else { "" });
    let row = |letter, path, sizes| Row { letter, path, to: None, sizes };
    let known = |it: &DiffEntry, bytes: Option<u64>| {
        if it.kind == ListedKind::File { size(bytes) } else { json::kind_name(it.kind).to_owned() }
    };
    let mut rows = Vec::new();
    rows.extend(report.added.iter().map(|it| row('A', path(it), known(it, it.bytes_after))));
    rows.extend(report.removed.iter().map(|it| row('D', path(it), known(it, it.bytes_before))));
    rows.extend(report.modified.iter().map(|it| {
        let sizes = match (it.bytes_before, it.bytes_after) {
            (None, None) => json::kind_name(it.kind).to_owned(),
            (Some(before), None) => format!("{} → {}", ui::size(before), json::kind_name(it.kind)),
            (None, Some(after)) => format!("now a file of {}", ui::size(after)),
            (before, after) if before == after => size(after),
            _ if size(it.bytes_before) == size(it.bytes_after) => {
                let exact = |bytes: Option<u64>| ui::number(bytes.unwrap_or(0));
                format!("{} → {} B", exact(it.bytes_before), exact(it.bytes_after))
            }
            _ => format!("{} → {}", size(it.bytes_before), size(it.bytes_after)),
        };
        row('M', path(it), sizes)
    }));
    rows.extend(report.renamed.iter().map(|it| {
        let sizes = size(Some(it.bytes));
        Row { letter: 'R', path: it.from.clone(), to: Some(it.to.clone()), sizes }
    }));
    rows.sort_by_cached_key(|row| row.to.clone().unwrap_or_else(|| row.path.clone()));
    rows
}

fn short(context: &mut Context, report: &DiffReport) {
    for Row { letter, path, to, .. } in changes(report) {
        let to = to.map(|to| format!("\t{}", ui::clean(&to))).unwrap_or_default();
        writeln!(context.out, "{letter}\t{}{to}", ui::clean(&path));
    }
}

fn colour(paint: Paint, letter: char, text: String) -> String {
    match letter {
        'A' => paint.green(text),
        'D' => paint.red(text),
        'M' => paint.yellow(text),
        _ => paint.cyan(text),
    }
}

fn listed(context: &mut Context, report: &DiffReport) {
    let paint = context.paint;
    for row in changes(report) {
        let path = match &row.to {
            Some(to) => format!("{} → {}", ui::clean(&row.path), ui::clean(to)),
            None => ui::clean(&row.path),
        };
        let word = colour(paint, row.letter, format!("{:<8}", row.word()));
        writeln!(context.out, "{word}  {path}  {}", paint.dim(&row.sizes));
    }
    summary(context, report);
}

fn summary(context: &mut Context, report: &DiffReport) {
    let paint = context.paint;
    match report.is_empty() {
        true => context.say("no differences"),
        false => writeln!(context.out, "{}", paint.dim(in_words(report))),
    }
}

/// `2 added, 1 removed`; empty where nothing differs.
pub fn in_words(report: &DiffReport) -> String {
    let counts = [
        (report.added.len(), "added"),
        (report.removed.len(), "removed"),
        (report.modified.len(), "modified"),
        (report.renamed.len(), "renamed"),
    ];
    let counted = counts.iter().filter(|(n, _)| *n > 0);
    counted.map(|(n, what)| format!("{} {what}", ui::number(*n as u64))).collect::<Vec<_>>().join(", ")
}

/// By how much the bytes have grown, with their sign.
pub fn grown(counts: &DiffCounts) -> String {
    let sign = if counts.bytes_after < counts.bytes_before { "-" } else { "+" };
    format!("{sign}{}", ui::size(counts.bytes_after.abs_diff(counts.bytes_before)))
}

fn tables(context: &mut Context, report: &DiffReport) {
    let found = report.summary();
    if report.is_empty() {
        return summary(context, report);
    }
    let row = |(name, counts): (&String, &DiffCounts)| {
        let numbers = [counts.added, counts.removed, counts.modified, counts.renamed];
        let numbers = numbers.map(|count| if count == 0 { "·".to_owned() } else { ui::number(count) });
        std::iter::once(name.clone()).chain(numbers).chain([grown(counts)]).collect::<Vec<_>>()
    };
    let all = row((&"all".to_owned(), &found.all));
    let paint = context.paint;
    for (title, groups) in [("FOLDER", &found.folders), ("TYPE", &found.types)] {
        let mut rows: Vec<_> = groups.iter().map(row).collect();
        if rows.len() > 1 {
            rows.push(all.clone());
        }
        if title == "TYPE" {
            writeln!(context.out);
        }
        let columns = [
            left(title).flexible().painted(Paint::bold),
            right("ADDED").painted(Paint::green),
            right("REMOVED").painted(Paint::red),
            right("MODIFIED").painted(Paint::yellow),
            right("RENAMED").painted(Paint::cyan),
            right("BYTES"),
        ];
        print(&mut context.out, paint, &columns, &rows);
    }
}
