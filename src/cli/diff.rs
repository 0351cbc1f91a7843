//! `diff`: what differs between two versions.

use std::collections::BTreeMap;

use clap::Args;
use dagset::base::Result;
use dagset::engine::{DiffEntry, DiffReport, ListedKind, Location};
use serde_json::json;

use super::table::{left, print, right};
use super::ui::Paint;
use super::{Context, Ending, addresses, json, ui};

const EXAMPLES: &str = "\
Examples:
  dagset diff ./store/photos@1.0 ./store/photos@2.0
  dagset diff ./store/photos@2.0              what 2.0 changed in its parent
  dagset diff ./store/photos@1.0:train ./store/photos --stat
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
    /// Counts and bytes by folder
    #[arg(long, conflicts_with = "name_status")]
    stat: bool,
    /// A letter and a path for each, in the manner of git
    #[arg(long)]
    name_status: bool,
    /// Exit with 1 if anything differs
    #[arg(long)]
    exit_code: bool,
}

pub fn run(context: &mut Context, args: &Diff) -> Result<Ending> {
    let before = addresses::parse_or_here(context, args.before.as_deref())?;
    let after = args.after.as_deref().map(|text| addresses::parse(context, text)).transpose()?;
    let report = context.watched(|engine| match (&after, &before.location) {
        (Some(after), _) => engine.diff(&before, after),
        (None, Location::Here) => engine.diff_working(&before),
        (None, _) => engine.diff_to_parent(&before),
    })?;
    tell(context, &report, args.stat, args.name_status);
    Ok(if args.exit_code && !report.is_empty() { Ending::Differs } else { Ending::Done })
}

/// Prints a report, for people or as JSON.
pub fn tell(context: &mut Context, report: &DiffReport, stat: bool, name_status: bool) {
    if !context.for_people() {
        let paths = |entries: &[DiffEntry]| entries.iter().map(|it| it.path.clone()).collect::<Vec<_>>();
        let renamed: Vec<_> = report.renamed.iter().map(|it| json!({"from": it.from, "to": it.to})).collect();
        let sum =
            |entries: &[DiffEntry], bytes: fn(&DiffEntry) -> Option<u64>| entries.iter().filter_map(bytes).sum::<u64>();
        context.out.document(&json::document(json!({
            "added": paths(&report.added),
            "removed": paths(&report.removed),
            "modified": paths(&report.modified),
            "renamed": renamed,
            "added_bytes": sum(&report.added, |it| it.bytes_after),
            "removed_bytes": sum(&report.removed, |it| it.bytes_before),
            "modified_bytes_before": sum(&report.modified, |it| it.bytes_before),
            "modified_bytes_after": sum(&report.modified, |it| it.bytes_after),
        })));
    } else if name_status {
        short(context, report);
    } else if stat {
        by_folder(context, report);
    } else {
        listed(context, report);
    }
}

/// All changes in path order: letter, path or paths, sizes.
fn changes(report: &DiffReport) -> Vec<(char, String, Option<String>, String)> {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), ui::size);
    let path = |it: &DiffEntry| format!("{}{}", it.path, if it.kind == ListedKind::Folder { "/" } else { "" });
    let mut rows = Vec::new();
    let known = |it: &DiffEntry, bytes: Option<u64>| {
        if it.kind == ListedKind::File { size(bytes) } else { json::kind_name(it.kind).to_owned() }
    };
    rows.extend(report.added.iter().map(|it| ('A', path(it), None, known(it, it.bytes_after))));
    rows.extend(report.removed.iter().map(|it| ('D', path(it), None, known(it, it.bytes_before))));
    rows.extend(report.modified.iter().map(|it| {
        let sizes = match (it.bytes_before, it.bytes_after) {
            (None, None) => json::kind_name(it.kind).to_owned(),
            (Some(before), None) => format!("{} → {}", ui::size(before), json::kind_name(it.kind)),
            (None, Some(after)) => format!("now a file of {}", ui::size(after)),
            (before, after) if before == after => size(after),
            _ => format!("{} → {}", size(it.bytes_before), size(it.bytes_after)),
        };
        ('M', path(it), None, sizes)
    }));
    rows.extend(report.renamed.iter().map(|it| ('R', it.from.clone(), Some(it.to.clone()), size(Some(it.bytes)))));
    let key = |row: &(char, String, Option<String>, String)| row.2.clone().unwrap_or_else(|| row.1.clone());
    rows.sort_by_cached_key(key);
    rows
}

fn short(context: &mut Context, report: &DiffReport) {
    for (letter, path, to, _) in changes(report) {
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
    for (letter, path, to, sizes) in changes(report) {
        let word = match letter {
            'A' => "added",
            'D' => "removed",
            'M' => "modified",
            _ => "renamed",
        };
        let path = match to {
            Some(to) => format!("{} → {}", ui::clean(&path), ui::clean(&to)),
            None => ui::clean(&path),
        };
        writeln!(context.out, "{}  {path}  {}", colour(paint, letter, format!("{word:<8}")), paint.dim(sizes));
    }
    summary(context, report);
}

fn summary(context: &mut Context, report: &DiffReport) {
    let counts = [
        (report.added.len(), "added"),
        (report.removed.len(), "removed"),
        (report.modified.len(), "modified"),
        (report.renamed.len(), "renamed"),
    ];
    let parts: Vec<_> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", ui::number(*n as u64))).collect();
    let paint = context.paint;
    match parts.is_empty() {
        true => context.say("no differences"),
        false => writeln!(context.out, "{}", paint.dim(parts.join(", "))),
    }
}

#[derive(Default, Clone, Copy)]
struct Sums {
    counts: [u64; 4],
    grown: i128,
}

fn by_folder(context: &mut Context, report: &DiffReport) {
    let mut folders: BTreeMap<String, Sums> = BTreeMap::new();
    let mut add = |path: &str, which: usize, before: Option<u64>, after: Option<u64>| {
        let folder = path.split_once('/').map_or_else(|| ".".to_owned(), |(top, _)| format!("{top}/"));
        let sums = folders.entry(folder).or_default();
        sums.counts[which] += 1;
        sums.grown += i128::from(after.unwrap_or(0)) - i128::from(before.unwrap_or(0));
    };
    report.added.iter().for_each(|it| add(&it.path, 0, None, it.bytes_after));
    report.removed.iter().for_each(|it| add(&it.path, 1, it.bytes_before, None));
    report.modified.iter().for_each(|it| add(&it.path, 2, it.bytes_before, it.bytes_after));
    report.renamed.iter().for_each(|it| add(&it.to, 3, None, None));
    if folders.is_empty() {
        return summary(context, report);
    }
    let row = |(folder, sums): (&String, &Sums)| {
        let counts = sums.counts.map(|count| if count == 0 { "·".to_owned() } else { ui::number(count) });
        let sign = if sums.grown < 0 { "-" } else { "+" };
        let grown = format!("{sign}{}", ui::size(u64::try_from(sums.grown.unsigned_abs()).unwrap_or(u64::MAX)));
        std::iter::once(folder.clone()).chain(counts).chain([grown]).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = folders.iter().map(row).collect();
    if folders.len() > 1 {
        let all = folders.values().fold(Sums::default(), |mut all, sums| {
            (0..4).for_each(|at| all.counts[at] += sums.counts[at]);
            all.grown += sums.grown;
            all
        });
        rows.push(row((&"all".to_owned(), &all)));
    }
    let columns = [
        left("FOLDER").flexible().painted(Paint::bold),
        right("ADDED").painted(Paint::green),
        right("REMOVED").painted(Paint::red),
        right("MODIFIED").painted(Paint::yellow),
        right("RENAMED").painted(Paint::cyan),
        right("BYTES"),
    ];
    let paint = context.paint;
    print(&mut context.out, paint, &columns, &rows);
}
