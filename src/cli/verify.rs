//! `verify`: is everything as it was stored, and can what isn't be mended?

use clap::Args;
use dagset::base::{Error, Result, Time};
use dagset::engine::{Finding, Mended, RepairOptions, VerifyOptions, VerifyReport, VerifySince};
use serde_json::json;

use super::settings::parse_duration;
use super::{Context, Ending, addresses, json, ui};

const NOTES: &str = "\
A store is read whole: any flipped bit of any object is found. Exits with 5 if\nsomething is damaged.\n
Examples:
  dagset verify ./store --sample 5%
  dagset verify ./store --since 1d             what is new, each night
  dagset verify ./store --repair-from s3://bucket/copy
  dagset verify --remote                       what the workspace was pushed to";

/// Read a store or a version, and say what is damaged
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Verify {
    /// A store, or [STORE/]DATASET[@REF][:PATH] [default: the default store]
    #[arg(value_name = "STORE|ADDRESS")]
    address: Option<String>,
    /// Ask no other store: what the store borrows is counted
    #[arg(long)]
    local: bool,
    /// The workspace's remotes, or the one that is named, as stores
    #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with_all = ["address", "local"])]
    remote: Option<Option<String>>,
    /// Read only this share of a store's data, as 5%
    #[arg(long, value_name = "N%", value_parser = percent)]
    sample: Option<f64>,
    /// Only what was written since: 7d, 2026-01-31, or ./store/set@2.0
    #[arg(long, value_name = "WHEN|ADDRESS")]
    since: Option<String>,
    /// Mend what this store, workspace or cache has whole
    #[arg(long, value_name = "STORE")]
    repair_from: Vec<String>,
    /// Say what would be mended, and change nothing
    #[arg(long, requires = "repair_from")]
    dry_run: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    number
        .filter(|share| *share > 0.0 && *share <= 100.0)
        .ok_or_else(|| "a share is above 0% and at most 100%".to_owned())
}

/// What was read of one store or version, and mended in it.
struct Verified {
    store: String,
    report: VerifyReport,
    mended: Vec<Mended>,
}

/// What is counted where a whole store is read.
const OBJECTS: &str = "object";

pub fn run(context: &mut Context, args: &Verify) -> Result<Ending> {
    let version = match &args.address {
        // Of a store without its dagset.json nobody can tell that it is one.
        _ if !args.repair_from.is_empty() => None,
        None => None,
        Some(text) => {
            let address = addresses::parse(context, text)?;
            (!context.engine()?.names_a_store(&address)?).then_some(address)
        }
    };
    let Some(address) = version else {
        let stores = stores(context, args)?;
        let options =
            VerifyOptions { sample: args.sample, since: since(context, args.since.as_deref())?, local: args.local };
        let verified =
            stores.into_iter().map(|store| verify(context, args, &options, store)).collect::<Result<Vec<_>>>()?;
        return Ok(tell(context, args, &verified, OBJECTS));
    };
    if args.sample.is_some() || args.since.is_some() || args.local {
        let message = "--sample, --since and --local are for a store; a version is read whole";
        return Err(Error::usage(message).hint("name the store alone"));
    }
    let report = context.watched(|engine| engine.verify_version(&address))?;
    Ok(tell(context, args, &[Verified { store: address.to_string(), report, mended: Vec::new() }], "path"))
}

fn stores(context: &Context, args: &Verify) -> Result<Vec<String>> {
    let engine = context.engine()?;
    let urls = match &args.remote {
        None => return addresses::store(context, args.address.as_deref()).map(|store| vec![store]),
        Some(Some(name)) => vec![engine.remote(Some(name))?.url],
        Some(None) => engine.remotes()?.into_iter().map(|remote| remote.url).collect(),
    };
    if urls.is_empty() {
        // The same words as for any command that goes to a remote.
        engine.remote(None)?;
    }
    urls.iter().map(|url| engine.store_of(url)).collect()
}

fn since(context: &Context, text: Option<&str>) -> Result<Option<VerifySince>> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(lasted) = parse_duration(text) {
        let lasted = i64::try_from(lasted.as_millis()).unwrap_or(i64::MAX);
        return Ok(Some(VerifySince::Time(Time(Time::now().0.saturating_sub(lasted)))));
    }
    match Time::parse(text) {
        Ok(time) => Ok(Some(VerifySince::Time(time))),
        Err(_) => addresses::parse(context, text).map(|address| Some(VerifySince::Version(address))),
    }
}

fn verify(context: &Context, args: &Verify, options: &VerifyOptions, store: String) -> Result<Verified> {
    if args.repair_from.is_empty() {
        let report = context.watched(|engine| engine.verify(&store, options))?;
        return Ok(Verified { store, report, mended: Vec::new() });
    }
    let options = RepairOptions { verify: options.clone(), from: args.repair_from.clone(), dry_run: args.dry_run };
    let repaired = context.watched(|engine| engine.repair(&store, &options))?;
    Ok(Verified { store, report: repaired.left, mended: repaired.mended })
}

fn tell(context: &mut Context, args: &Verify, verified: &[Verified], what: &str) -> Ending {
    if context.for_people() {
        verified.iter().for_each(|it| show(context, args, it, what, verified.len() > 1));
    } else {
        let finding = |store: &str, it: &Finding| json!({"kind": it.kind, "object": it.object, "path": it.path, "why": it.why, "store": store});
        let mended = |store: &str, it: &Mended| json!({"object": it.object, "how": it.how, "store": store});
        let all = |count: fn(&VerifyReport) -> u64| verified.iter().map(|it| count(&it.report)).sum::<u64>();
        let findings = verified.iter().flat_map(|it| it.report.findings.iter().map(|found| finding(&it.store, found)));
        let done = verified.iter().flat_map(|it| it.mended.iter().map(|done| mended(&it.store, done)));
        context.out.document(&json::document(json!({
            "checked_bytes": all(|report| report.checked_bytes),
            "objects": all(|report| report.objects),
            "borrowed": all(|report| report.borrowed),
            "purged": all(|report| report.purged),
            "findings": findings.collect::<Vec<_>>(),
            "mended": done.collect::<Vec<_>>(),
            "dry_run": args.dry_run,
        })));
    }
    let is_whole = verified.iter().all(|it| it.report.findings.is_empty());
    if is_whole { Ending::Done } else { Ending::Damaged }
}

fn show(context: &mut Context, args: &Verify, verified: &Verified, what: &str, names_store: bool) {
    let paint = context.paint;
    let Verified { store, report, mended } = verified;
    if names_store {
        writeln!(context.out, "{}", paint.bold(ui::clean(store)));
    }
    let word = if args.dry_run { "would mend" } else { "mended" };
    for it in mended {
        writeln!(context.out, "{} {}\n    {}", paint.green(word), ui::clean(&it.object), ui::clean(&it.how));
    }
    for finding in &report.findings {
        let path = finding.path.as_ref().map(|path| format!(" ({})", ui::clean(path))).unwrap_or_default();
        let object = format!("{} {}{path}", paint.red(finding.kind), ui::clean(&finding.object));
        writeln!(context.out, "{object}\n    {}", ui::clean(&finding.why));
    }
    if report.borrowed > 0 {
        let remotes = context.engine().and_then(|engine| engine.remotes()).unwrap_or_default();
        let names = remotes.iter().map(|remote| remote.name.as_str()).collect::<Vec<_>>().join(", ");
        let from = if names.is_empty() { "its remotes".to_owned() } else { names };
        let borrowed = ui::count(report.borrowed, "chunk");
        context.say(&format!("{borrowed} borrowed from {from}, not checked"));
    }
    let read = format!("{} in {}", ui::size(report.checked_bytes), ui::count(report.objects, what));
    let purged = if report.purged > 0 { format!("; {} purged", report.purged) } else { String::new() };
    match report.findings.len() {
        0 if context.global.quiet => {}
        0 if args.dry_run => writeln!(context.out, "{} all of it can be mended", paint.green("ok:")),
        0 => writeln!(context.out, "{} {read} read, nothing is damaged{purged}", paint.green("ok:")),
        found => {
            let found = ui::count(found as u64, "finding");
            let left = if args.repair_from.is_empty() { "" } else { " that nothing here can mend" };
            writeln!(context.out, "{} {found}{left}; {read} read{purged}", paint.red("damaged:"));
            if what == OBJECTS && args.repair_from.is_empty() {
                let from = "where STORE is a copy or has the same content";
                context.say(&format!("next: dagset verify {} --repair-from STORE, {from}", ui::clean(store)));
            }
        }
    }
}
