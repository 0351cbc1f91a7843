//! `verify`: is everything as it was stored?

use clap::Args;
use dagset::base::{Error, Result};
use serde_json::json;

use super::{Context, Ending, addresses, json, ui};

const NOTES: &str = "\
A store is read whole: any flipped bit of any object is found. Exits with 5 if\nsomething is damaged.";

/// Read a store or a version, and say what is damaged
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Verify {
    /// A store, or [STORE/]DATASET[@REF][:PATH] [default: the default store]
    #[arg(value_name = "STORE|ADDRESS")]
    address: Option<String>,
    /// Read only this share of a store's data, as 5%
    #[arg(long, value_name = "N%", value_parser = percent)]
    sample: Option<f64>,
}

fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    number
        .filter(|share| *share > 0.0 && *share <= 100.0)
        .ok_or_else(|| "a share is above 0% and at most 100%".to_owned())
}

pub fn run(context: &mut Context, args: &Verify) -> Result<Ending> {
    let version = match &args.address {
        None => None,
        Some(text) => {
            let address = addresses::parse(context, text)?;
            (!context.engine()?.names_a_store(&address)?).then_some(address)
        }
    };
    let (report, what) = match (version, args.sample) {
        (None, sample) => {
            let store = addresses::store(context, args.address.as_deref())?;
            (context.watched(|engine| engine.verify_store(&store, sample))?, "object")
        }
        (Some(address), None) => (context.watched(|engine| engine.verify_version(&address))?, "path"),
        (Some(_), Some(_)) => return Err(Error::usage("--sample is for a store; a version is read whole")),
    };
    if context.for_people() {
        let paint = context.paint;
        for finding in &report.findings {
            let path = finding.path.as_ref().map(|path| format!(" ({})", ui::clean(path))).unwrap_or_default();
            let what = format!("{} {}{path}", paint.red(finding.kind), ui::clean(&finding.object));
            writeln!(context.out, "{what}\n    {}", ui::clean(&finding.why));
        }
        let read = format!("{} in {}", ui::size(report.checked_bytes), ui::count(report.objects, what));
        let purged = if report.purged > 0 { format!("; {} purged", report.purged) } else { String::new() };
        match report.findings.len() {
            0 if context.global.quiet => {}
            0 => writeln!(context.out, "{} {read} read, nothing is damaged{purged}", paint.green("ok:")),
            found => {
                let found = ui::count(found as u64, "finding");
                writeln!(context.out, "{} {found}; {read} read{purged}", paint.red("damaged:"));
            }
        }
    } else {
        let finding = |it: &dagset::engine::Finding| json!({"kind": it.kind, "object": it.object, "path": it.path, "why": it.why});
        context.out.document(&json::document(json!({
            "checked_bytes": report.checked_bytes,
            "objects": report.objects,
            "purged": report.purged,
            "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        })));
    }
    Ok(if report.findings.is_empty() { Ending::Done } else { Ending::Damaged })
}
