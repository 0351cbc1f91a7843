//! `warm`: versions into the cache.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dagset::base::{Kind, Result};
use dagset::engine::{Until, WarmOptions, WarmReport};
use serde_json::json;

use super::progress::left_out;
use super::settings::{parse_lasting, with_hint};
use super::{Context, Ending, json, path_list, purged, ui};

/// Unknown paths that are shown to people.
const MOST_TOLD: usize = 10;

const NOTES: &str = "\
The first word is an ADDRESS, and so is every other that holds an @ or begins as
a store does; the first that doesn't begins the paths. With a -- there is no
guessing: ADDRESSes stand before it, paths behind it.

--until counts files, in the order of --order, else of their paths. A path of
--order that a version hasn't is said, and the exit code is 8.

With --check nothing is fetched: exits with 0 if all is there, else with 3.

Examples:
  dagset warm s3://bucket/data/signs@1.2.0
  dagset warm s3://bucket/data/signs@1.2.0 'train/**' --part 2/8 --pin 7d
  dagset warm s3://bucket/data/signs@1.2.0 --order epoch1.txt --until 30%";

/// Fetch versions into the cache before jobs ask for them
#[derive(Args)]
#[command(after_help = NOTES, arg_required_else_help = true)]
pub struct Warm {
    /// [STORE/]DATASET[@REF][:PATH], then paths or globs of it
    #[arg(value_name = "ADDRESS|PATH|GLOB", required_unless_present = "locked")]
    what: Vec<String>,
    /// Paths or globs
    #[arg(value_name = "PATH|GLOB", last = true)]
    paths: Vec<String>,
    #[command(flatten)]
    locked: super::lock::Locked,
    #[command(flatten)]
    part: super::part::Part,
    /// Only the first so many files: 30%, 5000
    #[arg(long, value_name = "PERCENT|COUNT", value_parser = parse_until)]
    until: Option<Until>,
    /// First these paths, by line or NUL, then the rest; - is stdin
    #[arg(long, value_name = "FILE")]
    order: Option<PathBuf>,
    /// Fetch nothing, say how much is there
    #[arg(long)]
    check: bool,
    /// Keep it, for ever or for so long: 12h, 7d
    #[arg(long, value_name = "DURATION", num_args = 0..=1, value_parser = parse_lasting)]
    pin: Option<Option<Duration>>,
    /// Record that run ID uses it [default: the job's that this is part of]
    #[arg(long, value_name = "ID")]
    run: Option<String>,
}

pub fn run(context: &mut Context, args: &Warm) -> Result<Ending> {
    let (addresses, patterns) = match args.paths.is_empty() && args.locked.file().is_none() {
        true => parted(&args.what),
        false => (&args.what[..], &args.paths[..]),
    };
    let order = args.order.as_ref().map(|list| path_list::read(context, "--order", list)).transpose()?;
    let options = WarmOptions {
        patterns: patterns.to_vec(),
        share: args.part.share(),
        until: args.until,
        order: order.unwrap_or_default(),
        check: args.check,
        pin: args.pin,
        run: context.run(args.run.as_deref())?,
    };
    let addresses = args.locked.addresses(context, addresses)?;
    let reports = context.watched(|engine| engine.warm(&addresses, &options))?;
    let is_complete = reports.iter().all(|report| report.is_complete);
    if !context.for_people() {
        let versions: Vec<_> = reports.iter().map(document).collect();
        context.out.document(&json::document(json!({ "complete": is_complete, "versions": versions })));
    } else if !context.global.quiet {
        reports.iter().for_each(|report| tell(context, report, args.check));
    }
    reports.iter().for_each(|report| tell_unknown(context, report));
    if context.for_people() {
        reports.iter().for_each(|report| purged::tell(context, &report.purged));
    }
    Ok(match () {
        () if !is_complete => Ending::Failed(Kind::NotFound),
        () if reports.iter().any(|report| !report.unknown.is_empty()) => Ending::Incomplete,
        () => purged::ending(reports.iter().map(|report| &report.purged)),
    })
}

fn parse_until(text: &str) -> Result<Until, String> {
    Until::parse(text).map_err(with_hint)
}

/// Addresses come first; the first word that can't be one begins the paths.
fn parted(what: &[String]) -> (&[String], &[String]) {
    let is_address = |text: &String| {
        ["/", "./", "../", "~/"].iter().any(|prefix| text.starts_with(prefix))
            || text.contains("://")
            || text.contains('@')
    };
    what.split_at(1 + what[1..].iter().take_while(|text| is_address(text)).count())
}

fn document(report: &WarmReport) -> serde_json::Value {
    json!({
        "dataset": report.dataset,
        "version": json::id(&report.version),
        "cache": report.cache,
        "files": report.files,
        "bytes": report.bytes,
        "cached_before": { "files": report.cached_files, "bytes": report.cached_bytes },
        "mended": report.changes.mended,
        "put_aside": report.changes.put_aside,
        "made_room": json::pruned(&report.removed),
        "complete": report.is_complete,
        "pin": report.pin,
        "unknown": report.unknown,
        "purged": purged::document(&report.purged),
    })
}

fn tell(context: &mut Context, report: &WarmReport, is_check: bool) {
    let paint = context.paint;
    let name = format!("{} {}", paint.bold(&report.dataset), paint.yellow(report.version.short()));
    let all = format!("{}, {}", ui::count(report.files, "file"), ui::size(report.bytes));
    let (files, bytes) = (report.files - report.cached_files, report.bytes - report.cached_bytes);
    let line = match (report.is_complete, is_check) {
        (false, _) => {
            let missing = format!("{} of {} missing", ui::number(files), ui::count(report.files, "file"));
            let percent = ui::percent(report.cached_bytes, report.bytes);
            format!("{name} is {percent} warm: {missing}, {} of {}", ui::size(bytes), ui::size(report.bytes))
        }
        (true, false) if files > 0 => format!("{name} is warm: {all}, of which {} came now", ui::size(bytes)),
        (true, _) => format!("{name} is warm: {all}"),
    };
    writeln!(context.out, "{line}");
    let changes = report.changes;
    if changes.mended > 0 {
        let files = ui::count(changes.mended, "cached file");
        writeln!(context.out, "mended {files}: touched since, with bytes that are right");
    }
    if changes.put_aside > 0 {
        let files = ui::count(changes.put_aside, "cached file");
        let then = if is_check { "" } else { ", and fetched again" };
        writeln!(context.out, "{files} changed since: put aside{then}");
    }
    if let Some(pin) = &report.pin {
        writeln!(context.out, "pinned as {pin} (`dagset cache unpin {pin}`)");
    }
}

fn tell_unknown(context: &mut Context, report: &WarmReport) {
    for path in report.unknown.iter().take(MOST_TOLD) {
        context.say(&left_out(context.paint_err, path, &format!("{} has no such path", report.dataset)));
    }
    if let Some(more) = report.unknown.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
        context.say(&format!("and {} more", ui::count(more as u64, "path")));
    }
}
