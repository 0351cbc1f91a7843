//! `prune --pushed`: the workspace's own store gives up what a remote has.

use clap::Args;
use dagset::base::Result;
use serde_json::json;

use super::{Context, Ending, json, ui};

const NOTES: &str = "\
For a workspace whose store is embedded in it. What is taken out is read from the\n\
remote when it is asked for, as in a clone. Metadata stays, and so does what no\n\
remote has.\n\n\
Examples:
  dagset push && dagset prune --pushed
  dagset prune --pushed --dry-run";

/// Free the space of what a remote has
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Prune {
    /// What was pushed leaves the store of the workspace
    #[arg(long, required = true)]
    pushed: bool,
    /// Say what would go, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(context: &mut Context, args: &Prune) -> Result<Ending> {
    let report = context.watched(|engine| engine.prune_pushed(args.dry_run))?;
    let thinned = report.thinned;
    let remotes: Vec<&str> = report.remotes.iter().map(|name| name.as_str()).collect();
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "store": report.store,
            "remotes": remotes,
            "chunks": thinned.chunks,
            "packs": thinned.packs,
            "freed_bytes": thinned.freed_bytes,
            "unpushed_versions": thinned.unpushed,
            "kept_packs": thinned.kept_packs,
            "dry_run": report.dry_run,
        })));
        return Ok(Ending::Done);
    }
    let would = if report.dry_run { "would be " } else { "" };
    match thinned.packs {
        0 => context.say("nothing to free: what is here, no remote has"),
        packs => context.say(&format!(
            "{would}freed: {} in {}; {} has {}",
            ui::size(thinned.freed_bytes),
            ui::count(packs, "pack"),
            remotes.join(" or "),
            ui::count(thinned.chunks, "chunk"),
        )),
    }
    if thinned.unpushed > 0 {
        context.say(&format!("{} that no remote has stay whole", ui::count(thinned.unpushed, "version")));
    }
    Ok(Ending::Done)
}
