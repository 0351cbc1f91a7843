//! `squash` and `revert`: versions in the place of others, and against them.

use clap::Args;
use dagset::base::{Error, Result};
use dagset::engine::{Point, RefExpr, SquashOptions, Squashed};
use serde_json::json;

use super::insist::Insist;
use super::{Context, Ending, addresses, deeds, json, merge, ui};

const SQUASH_NOTES: &str = "\
The versions after A up to B stay, and are found by their names and ids; branches
that are at B move to the new one. What is published or has a protected tag is
squashed with a reason only. `dagset undo` takes it back.

Examples:
  dagset squash 1.0..main --as 1.1
  dagset squash ./store/photos@1.0..2.0 --as 2.0-clean --dry-run";

const REVERT_NOTES: &str = "\
What came after VERSION is kept. Where it changed the same paths it is a conflict
as in a merge: nothing is written, exit code 4, unless a CHOICE says who wins:
the branch (first), or what was before VERSION (last).

Examples:
  dagset revert 1.2.0                            on the workspace's branch
  dagset revert ./store/photos@1.2.0 --branch main --as 1.2.1";

/// Make one version of several that follow each other
#[derive(Args)]
#[command(after_help = SQUASH_NOTES)]
pub struct Squash {
    /// In a workspace A..B, anywhere [STORE/]DATASET@A..B: B's content, with A as its parent
    #[arg(value_name = "A..B")]
    range: String,
    /// Name the version, as 1.2.0
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    /// Say what the version is about
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    insist: Insist,
    /// Store nothing; show what would be replaced
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Make a version that takes back what another one changed
#[derive(Args)]
#[command(after_help = REVERT_NOTES)]
pub struct Revert {
    /// In a workspace REF, anywhere [STORE/]DATASET@REF, then on `main` without --branch
    #[arg(value_name = "VERSION")]
    version: String,
    /// Of a merge: what it changed in its parent number N
    #[arg(long, value_name = "N")]
    parent: Option<usize>,
    #[command(flatten)]
    outcome: merge::Outcome,
}

pub fn squash(context: &mut Context, args: Squash) -> Result<Ending> {
    // A store's own path may begin with `..`, a REF never does.
    let refs = args.range.rfind('@').map_or(0, |at| at + 1);
    let (base, tip) = args.range[refs..]
        .find("..")
        .map(|at| (&args.range[..refs + at], &args.range[refs + at + 2..]))
        .filter(|(base, tip)| base.len() > refs && !tip.is_empty())
        .ok_or_else(|| {
            Error::usage(format!("not A..B: {:?}", args.range)).hint("as in 1.0..main, or ./store/set@1.0..main")
        })?;
    let options = SquashOptions {
        base: addresses::parse(context, base)?,
        tip: RefExpr::parse(tip)?,
        name: args.name,
        message: args.message,
        reason: args.insist.reason()?,
        dry_run: args.dry_run,
    };
    let squashed = context.watched(|engine| engine.squash(&options))?;
    match context.for_people() {
        true if !context.global.quiet => tell(context, &squashed),
        true => {}
        false => {
            let point = |point: &Point| json!({ "version": json::id(&point.version), "name": point.name.as_ref().map(ToString::to_string) });
            context.out.document(&json::document(json!({
                "dataset": squashed.dataset.to_string(),
                "version": squashed.version.as_ref().map(json::id),
                "name": squashed.name.to_string(),
                "base": point(&squashed.base),
                "merged": squashed.merged.iter().map(point).collect::<Vec<_>>(),
                "replaced": squashed.replaced.iter().map(point).collect::<Vec<_>>(),
                "branches": squashed.branches.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "files": squashed.files,
                "bytes": squashed.bytes,
                "dry_run": squashed.version.is_none(),
            })));
        }
    }
    Ok(Ending::Done)
}

fn tell(context: &mut Context, squashed: &Squashed) {
    let paint = context.paint;
    let listed = squashed.replaced.iter().map(deeds::shown).collect::<Vec<_>>().join(", ");
    let what = format!("{}, {}", ui::count(squashed.files, "file"), ui::size(squashed.bytes));
    let (name, base) = (paint.green(squashed.name.as_str()), deeds::shown(&squashed.base));
    match squashed.version {
        Some(id) => writeln!(context.out, "{name} {} follows {base}: {what}", paint.yellow(id.short())),
        None => writeln!(context.out, "{name} would follow {base}: {what}; a dry run"),
    }
    if !squashed.merged.is_empty() {
        let merged = squashed.merged.iter().map(deeds::shown).collect::<Vec<_>>().join(", ");
        writeln!(context.out, "and what was merged on the way: {merged}");
    }
    let verb = if squashed.version.is_some() { "replaces" } else { "would replace" };
    writeln!(context.out, "{verb} {}: {listed}", ui::count(squashed.replaced.len() as u64, "version"));
    if squashed.branches.is_empty() {
        context.say("no branch is at the last of them, so none moves");
        return;
    }
    let branches = squashed.branches.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    writeln!(context.out, "branches at it: {}", paint.cyan(branches));
}

pub fn revert(context: &mut Context, args: Revert) -> Result<Ending> {
    let version = addresses::parse(context, &args.version)?;
    let options = args.outcome.options();
    let report = context.watched(|engine| engine.revert(&version, args.parent, &options))?;
    Ok(merge::tell(context, &report))
}
