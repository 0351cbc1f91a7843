//! `warm`: versions into the cache.

use std::time::Duration;

use clap::Args;
use dagset::base::{Kind, Result};
use dagset::engine::{WarmOptions, WarmReport};
use serde_json::json;

use super::settings::parse_duration;
use super::{Context, Ending, addresses, json, ui};

const EXAMPLES: &str = "\
With --check nothing is fetched: exits with 0 if all is there, else with 3.

Examples:
  dagset warm s3://bucket/data/signs@1.2.0
  dagset warm s3://bucket/data/signs@1.2.0 'train/**' --part 2/8 --pin 7d
  dagset warm s3://bucket/data/signs@1.2.0 --check";

/// Fetch versions into the cache before jobs ask for them
#[derive(Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Warm {
    /// [STORE/]DATASET[@REF][:PATH], then paths or globs of it
    #[arg(value_name = "ADDRESS|PATH|GLOB", required = true)]
    what: Vec<String>,
    #[command(flatten)]
    part: super::part::Part,
    /// Fetch nothing, say how much is there
    #[arg(long)]
    check: bool,
    /// Keep it, for ever or for so long: 12h, 7d
    #[arg(long, value_name = "DURATION", num_args = 0..=1, value_parser = parse_duration)]
    pin: Option<Option<Duration>>,
}

pub fn run(context: &mut Context, args: &Warm) -> Result<Ending> {
    let (addresses, patterns) = parted(&args.what);
    let options = WarmOptions { patterns, share: args.part.share(), check: args.check, pin: args.pin };
    let addresses = addresses.iter().map(|text| addresses::parse(context, text)).collect::<Result<Vec<_>>>()?;
    let warm =
        |engine: &dagset::engine::Engine| addresses.iter().map(|address| engine.warm(address, &options)).collect();
    let reports: Vec<WarmReport> = context.watched(warm)?;
    let is_complete = reports.iter().all(|report| report.is_complete);
    if !context.for_people() {
        let versions: Vec<_> = reports.iter().map(document).collect();
        context.out.document(&json::document(json!({ "complete": is_complete, "versions": versions })));
    } else if !context.global.quiet {
        reports.iter().for_each(|report| tell(context, report, args.check));
    }
    Ok(if is_complete { Ending::Done } else { Ending::Failed(Kind::NotFound) })
}

/// Addresses come first; the first word that can't be one begins the paths.
fn parted(what: &[String]) -> (Vec<&String>, Vec<String>) {
    let is_address = |text: &String| {
        ["/", "./", "../", "~/"].iter().any(|prefix| text.starts_with(prefix))
            || text.contains("://")
            || text.contains('@')
    };
    let addresses = 1 + what[1..].iter().take_while(|text| is_address(text)).count();
    (what[..addresses].iter().collect(), what[addresses..].to_vec())
}

fn document(report: &WarmReport) -> serde_json::Value {
    json!({
        "dataset": report.dataset,
        "version": json::id(&report.version),
        "cache": report.cache,
        "files": report.files,
        "bytes": report.bytes,
        "cached_before": { "files": report.cached_files, "bytes": report.cached_bytes },
        "complete": report.is_complete,
        "pin": report.pin,
    })
}

fn tell(context: &mut Context, report: &WarmReport, is_check: bool) {
    let paint = context.paint;
    let name = format!("{} {}", paint.bold(&report.dataset), paint.yellow(report.version.short()));
    let all = format!("{}, {}", ui::count(report.files, "file"), ui::size(report.bytes));
    let missing = (report.files - report.cached_files, report.bytes - report.cached_bytes);
    let line = match (report.is_complete, is_check) {
        (false, _) => format!("{name} lacks {} of {all} ({})", ui::count(missing.0, "file"), ui::size(missing.1)),
        (true, false) if missing.0 > 0 => format!("{name} is warm: {all}, of which {} came now", ui::size(missing.1)),
        (true, _) => format!("{name} is warm: {all}"),
    };
    writeln!(context.out, "{line}");
    if let Some(pin) = &report.pin {
        writeln!(context.out, "pinned as {pin} (`dagset cache unpin {pin}`)");
    }
}
