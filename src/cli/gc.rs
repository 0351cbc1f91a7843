//! `gc`: frees what no ref leads to any more.

use std::time::Duration;

use clap::Args;
use dagset::base::Result;
use dagset::engine::{DEFAULT_GRACE, GcOptions, GcReport, GcStep, GcVersion};
use serde_json::json;

use super::settings::parse_grace;
use super::{Context, Ending, addresses, json, ui};

const NOTES: &str = "\
Alive is what a name, tag or branch leads to, and what did so within the grace\n\
period. The rest is condemned by one run, and deleted by a run when the grace\n\
period is over since; until then it can be read by its id, and naming it rescues\n\
it. Writers need not stop. The right to delete is needed.\n\n\
Keep rules of a dataset let the content of old versions go in the same two steps:\n\
their history, metadata and lists of files stay. A version keeps its content that\n\
fulfils one: keep.last=COUNT (of each branch, by first parents), keep.newer=90d\n\
(in this store), keep.tagged=true, keep.named=true; and branches, protected tags\n\
and, unless keep.published=false or keep.used=false, what is published or has a\n\
recorded use. `dagset meta set`, `list` and `unset` set, show and remove them.\n\n\
Examples:
  dagset gc ./store --dry-run        what would go
  dagset gc ./store                  to be run now and then
  dagset gc ./store --grace 0s       twice: all that is dead goes at once
  dagset meta set ./store/photos keep.last=5 keep.tagged=true";

/// Delete what no name, tag or branch leads to any more
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Gc {
    /// A store, or a dataset whose versions alone are to go [default: the default store]
    #[arg(value_name = "STORE|DATASET")]
    place: Option<String>,
    /// Say what would go, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How long what was deleted can be brought back, as 36h [default: 14d]
    #[arg(long, value_name = "DURATION", value_parser = parse_grace)]
    grace: Option<Duration>,
}

pub fn run(context: &mut Context, args: &Gc) -> Result<Ending> {
    let text = match &args.place {
        Some(text) => text.clone(),
        None => addresses::store(context, None)?,
    };
    let place = addresses::parse(context, &text)?;
    let options = GcOptions { grace: args.grace.unwrap_or(DEFAULT_GRACE), dry_run: args.dry_run };
    let report = context.watched(|engine| engine.gc(&place, &options))?;
    if context.for_people() {
        tell(context, &report);
    } else {
        context.out.document(&json::document(json!({
            "store": report.store,
            "dry_run": report.dry_run,
            "grace_seconds": report.grace.as_secs(),
            "condemned": step(&report.condemned),
            "rewritten": {"packs": report.rewritten_packs, "bytes": report.rewritten_bytes},
            "damaged_packs": report.damaged_packs,
            "reclaimed": step(&report.reclaimed),
            "deleted": {"objects": report.deleted_objects, "bytes": report.deleted_bytes},
            "waiting": {
                "versions": report.waiting_versions,
                "contents": report.waiting_contents,
                "packs": report.waiting_packs,
            },
        })));
    }
    Ok(if report.damaged_packs.is_empty() { Ending::Done } else { Ending::Damaged })
}

fn step(step: &GcStep) -> serde_json::Value {
    let version = |it: &GcVersion| {
        json!({
            "dataset": it.dataset.to_string(),
            "version": json::id(&it.version),
            "name": it.name.as_ref().map(ToString::to_string),
            "time": it.time.to_string(),
        })
    };
    let all = |versions: &[GcVersion]| versions.iter().map(version).collect::<Vec<_>>();
    json!({
        "versions": all(&step.versions),
        "contents": all(&step.contents),
        "packs": step.packs,
        "bytes": step.bytes,
    })
}

fn tell(context: &mut Context, report: &GcReport) {
    let would = if report.dry_run { "would be " } else { "" };
    for (what, step) in [("reclaimed", &report.reclaimed), ("condemned", &report.condemned)] {
        let whole = step.versions.iter().map(|it| (it, ""));
        let contents = step.contents.iter().map(|it| (it, "  (its content alone)"));
        // What would go is what a dry run is asked for.
        let is_told = report.dry_run || !context.global.quiet;
        for (it, extent) in whole.chain(contents).filter(|_| is_told) {
            let name = it.name.as_ref().map_or_else(|| it.version.short(), ToString::to_string);
            writeln!(
                context.out,
                "{would}{what}  {}@{}  {}{extent}",
                it.dataset,
                context.paint.yellow(name),
                ui::moment(it.time)
            );
        }
        if !step.versions.is_empty() || !step.contents.is_empty() || step.packs > 0 {
            let (versions, packs) = (ui::count(step.versions.len() as u64, "version"), ui::count(step.packs, "pack"));
            let contents = match step.contents.len() {
                0 => String::new(),
                some => format!("the content of {} more, ", ui::count(some as u64, "version")),
            };
            context.say(&format!("{would}{what}: {versions}, {contents}{packs} of {}", ui::size(step.bytes)));
        }
    }
    if report.rewritten_packs > 0 {
        let packs = ui::count(report.rewritten_packs, "pack");
        context.say(&format!("{would}rewritten: {packs} of {}, much of it dead", ui::size(report.rewritten_bytes)));
    }
    if report.deleted_objects > 0 {
        let objects = ui::count(report.deleted_objects, "object");
        context.say(&format!("{would}deleted: {objects} of {}", ui::size(report.deleted_bytes)));
    }
    let nothing =
        report.condemned == GcStep::default() && report.reclaimed == GcStep::default() && report.rewritten_packs == 0;
    match (
        report.waiting_versions + report.waiting_contents + report.waiting_packs > 0 && !report.dry_run,
        nothing && report.deleted_objects == 0,
    ) {
        (true, _) if report.grace.is_zero() => context.say("the same command again deletes what is condemned"),
        (true, _) => context.say("what is condemned is deleted by a run after the grace period"),
        (false, true) => context.say("nothing to collect"),
        _ => {}
    }
}
