//! `undo`: a record of the log is taken back by a new one.

use clap::Args;
use dagset::base::Result;
use serde_json::json;

use super::insist::Insist;
use super::oplog::place_and_number;
use super::{Context, Ending, addresses, deeds, json};

const NOTES: &str = "\
Branches, tags, names, metadata and whole datasets become what they were before.
Versions stay, and are found by their ids. Where something newer stands on what
is to be undone, nothing happens, and the exit code is 4. Undoing an undo does
it again.

Examples:
  dagset undo                  your newest change to the workspace's dataset
  dagset undo 12 --dry-run     what taking back record 12 would do
  dagset undo ./store 12       anywhere";

/// Take back your newest change, or what a record of the log did
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Undo {
    /// A store or a dataset [default: the workspace's], and a record's number
    #[arg(value_name = "STORE|DATASET|RECORD", num_args = 0..=2)]
    words: Vec<String>,
    #[command(flatten)]
    insist: Insist,
    /// Change nothing; show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub fn run(context: &mut Context, args: &Undo) -> Result<Ending> {
    let (text, number) = place_and_number(&args.words)?;
    let place = match (text, addresses::here(context)?) {
        (None, Some(here)) => here,
        (Some(text), _) => addresses::parse(context, text)?,
        (None, None) => addresses::parse(context, &addresses::store(context, None)?)?,
    };
    let reason = args.insist.reason()?;
    let report = context.watched(|engine| engine.undo(&place, number, reason.as_ref(), args.dry_run))?;
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "undone": deeds::document(&report.undone),
            "record": report.record,
            "operations": report.deeds.iter().map(deeds::deed).collect::<Vec<_>>(),
            "dry_run": args.dry_run,
        })));
        return Ok(Ending::Done);
    }
    let summary = deeds::summary(&report.undone);
    match report.record {
        Some(record) => context.say(&format!("record {record} takes back {}: {summary}", report.undone.number)),
        None => context.say(&format!("would take back {}: {summary}", report.undone.number)),
    }
    report.deeds.iter().for_each(|deed| writeln!(context.out, "{}", deeds::line(deed)));
    if let Some(version) = report.folder_at {
        let text =
            format!("the folder is still version {}: `dagset switch BRANCH` makes it the branch's", version.short());
        context.say(&text);
    }
    Ok(Ending::Done)
}
