//! `push`, `fetch`, `pull`, `clone`: versions and refs between a workspace and a remote.

use std::path::PathBuf;

use clap::Args;
use dagset::base::{Kind, Result};
use dagset::engine::Value as Attribute;
use dagset::engine::{CloneOptions, Differing, FetchReport, MovedRef, PushOptions, SaidReport};
use serde_json::{Value, json};

use super::output::stderr_line;
use super::{Context, Ending, addresses, json, ui};

const PUSH_EXAMPLES: &str = "\
Only what the remote lacks is sent. Cut off, the same command goes on where it
stopped. REMOTE is a remote's name, or a store's URL. A version name or tag that
stands for something else there is rejected, and the rest goes (exit code 4).

Examples:
  dagset push                      this branch, with the names and tags on it
  dagset push origin main fixes    two branches
  dagset push origin prod          a tag, wherever it is there
  dagset push --tags               all tags and version names";

const CLONE_EXAMPLES: &str = "\
What the versions are comes at once; the content of one is written into DIR, and
that of others is taken from the remote when it is asked for.

Examples:
  dagset clone s3://data/vision/signs
  dagset clone s3://data/vision/signs@1.2.0 ./signs
  dagset clone /mnt/store/signs ./signs --no-content";

/// Send versions, and the refs that point at them, to a remote
#[derive(Args)]
#[command(after_help = PUSH_EXAMPLES)]
pub struct Push {
    /// [default: origin, or the only remote]
    #[arg(value_name = "REMOTE")]
    remote: Option<String>,
    /// Branches, tags, version names [default: this branch and what is on it]
    #[arg(value_name = "REF")]
    refs: Vec<String>,
    /// All tags and version names
    #[arg(long)]
    tags: bool,
    /// Send nothing; show what would be sent
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Bring a remote's versions and refs, leaving the folder as it is
///
/// Its branches become REMOTE/BRANCH.
#[derive(Args)]
pub struct Fetch {
    /// [default: origin, or the only remote]
    #[arg(value_name = "REMOTE")]
    remote: Option<String>,
}

/// Fetch, then move this branch and the folder on to the remote's
///
/// What no version holds is never overwritten.
#[derive(Args)]
pub struct Pull {
    /// [default: origin, or the only remote]
    #[arg(value_name = "REMOTE")]
    remote: Option<String>,
}

/// Make a workspace of a dataset in another store
#[derive(Args)]
#[command(after_help = CLONE_EXAMPLES, arg_required_else_help = true)]
pub struct Clone {
    /// STORE/DATASET[@REF]
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Where to; made if it isn't there [default: the dataset's name]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Leave the folder empty
    #[arg(long)]
    no_content: bool,
}

pub fn push(context: &mut Context, args: Push) -> Result<Ending> {
    let options = PushOptions { remote: args.remote, refs: args.refs, tags: args.tags, dry_run: args.dry_run };
    let report = context.watched(|engine| engine.push(&options))?;
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "remote": report.remote.as_ref().map(ToString::to_string),
            "url": report.url,
            "dataset": report.dataset.to_string(),
            "refs": refs(&report.refs),
            "versions": report.versions,
            "published": report.said.published,
            "metadata": report.said.metadata,
            "differing": differing(&report.said, |it| (&it.from, &it.to)),
            "uses": report.uses,
            "new_chunks": report.new_chunks,
            "new_bytes": report.new_bytes,
            "stored_bytes": report.stored_bytes,
            "dry_run": report.dry_run,
        })));
    } else if !context.global.quiet {
        let mut shown = tell_refs(context, "to", &report.url, &report.refs);
        shown |= tell_said(context, &report.said);
        if report.uses > 0 {
            writeln!(context.out, "  {} recorded here", ui::count(report.uses, "use"));
            shown = true;
        }
        let what = format!(
            "{}, {} ({})",
            ui::count(report.versions, "version"),
            ui::count(report.new_chunks, "new chunk"),
            ui::size(report.new_bytes)
        );
        match (report.dry_run, report.versions) {
            (true, _) => writeln!(context.out, "would send {what}"),
            (false, 0) if !shown && report.refs.iter().all(|row| row.outcome == "same") => {
                writeln!(context.out, "everything is there already")
            }
            (false, 0) => {}
            (false, _) => writeln!(context.out, "sent {what}, {} stored", ui::size(report.stored_bytes)),
        }
    }
    Ok(if tell_rejected(context, &report.refs) { Ending::Failed(Kind::Conflict) } else { Ending::Done })
}

/// A line on stderr for each ref that was rejected, and what helps; whether there is one.
fn tell_rejected(context: &Context, refs: &[MovedRef]) -> bool {
    let paint = context.paint_err;
    let rejected: Vec<&MovedRef> = refs.iter().filter(|row| row.outcome == "refused").collect();
    for row in &rejected {
        let why = row.why.as_deref().unwrap_or_default();
        stderr_line(&format!("{} {} {}: {why}", paint.red("rejected:"), row.kind, row.name));
        if let Some(hint) = &row.hint {
            stderr_line(&format!("{} {hint}", paint.cyan("hint:")));
        }
    }
    !rejected.is_empty()
}

pub fn fetch(context: &mut Context, args: &Fetch) -> Result<Ending> {
    let report = context.watched(|engine| engine.fetch(args.remote.as_deref()))?;
    if !context.for_people() {
        context.out.document(&json::document(fetched(&report)));
    } else if !context.global.quiet {
        tell_fetched(context, &report);
    }
    Ok(Ending::Done)
}

pub fn pull(context: &mut Context, args: &Pull) -> Result<Ending> {
    let report = context.watched(|engine| engine.pull(args.remote.as_deref()))?;
    if !context.for_people() {
        let mut document = fetched(&report.fetched);
        document["branch"] = report.branch.to_string().into();
        document["old"] = report.old.as_ref().map(json::id).into();
        document["version"] = json::id(&report.new).into();
        document["name"] = report.version_name.as_ref().map(ToString::to_string).into();
        document["written"] = report.written.into();
        document["removed"] = report.removed.into();
        context.out.document(&json::document(document));
    } else if !context.global.quiet {
        tell_fetched(context, &report.fetched);
        let paint = context.paint;
        let version = version(context, report.version_name.as_ref().map(|name| name.as_str()), report.new.short());
        let branch = paint.cyan(report.branch.as_str());
        match report.old == Some(report.new) && report.written + report.removed == 0 {
            true => writeln!(context.out, "{branch} is up to date, at {version}"),
            false => {
                let (written, removed) = (ui::count(report.written, "path"), ui::number(report.removed));
                writeln!(context.out, "{branch} is at {version}: {written} written, {removed} removed");
            }
        }
    }
    Ok(Ending::Done)
}

pub fn clone(context: &mut Context, args: Clone) -> Result<Ending> {
    let options = CloneOptions { address: args.address, folder: args.folder, no_content: args.no_content };
    let report = context.watched(|engine| engine.clone_dataset(&options))?;
    let folder = addresses::shown_path(&context.folder()?, &report.root);
    if !context.for_people() {
        let mut document = fetched(&report.fetched);
        document["versions"] = report.versions.into();
        document["folder"] = report.root.to_string_lossy().into();
        document["branch"] = report.branch.as_ref().map(ToString::to_string).into();
        document["version"] = report.version.as_ref().map(json::id).into();
        document["name"] = report.version_name.as_ref().map(ToString::to_string).into();
        document["written"] = report.written.into();
        context.out.document(&json::document(document));
    } else if !context.global.quiet {
        let paint = context.paint;
        let dataset = paint.bold(report.fetched.dataset.to_string());
        let versions = ui::count(report.versions, "version");
        writeln!(context.out, "cloned {dataset} into {}: {versions}", paint.bold(ui::clean(&folder)));
        let place = match &report.branch {
            Some(branch) => format!("on {}", paint.cyan(branch.as_str())),
            None => "on no branch".to_owned(),
        };
        match &report.version {
            Some(id) => {
                let version = version(context, report.version_name.as_ref().map(|name| name.as_str()), id.short());
                writeln!(context.out, "at {version}, {place}: {} written", ui::count(report.written, "path"));
            }
            None => writeln!(context.out, "the dataset has no version yet; {place}"),
        }
        if let Some(reference) = &report.to_write {
            let command = paint.cyan(format!("dagset -C {} switch {reference}", ui::clean(&folder)));
            writeln!(context.out, "{} {command} writes the content", paint.dim("next:"));
        }
    }
    Ok(Ending::Done)
}

fn version(context: &Context, name: Option<&str>, short: String) -> String {
    match name {
        Some(name) => context.paint.green(name),
        None => context.paint.yellow(short),
    }
}

fn tell_fetched(context: &mut Context, report: &FetchReport) {
    let mut shown = tell_refs(context, "from", &report.url, &report.refs);
    shown |= tell_said(context, &report.said);
    match report.versions {
        0 if !shown => writeln!(context.out, "nothing new at {}", context.paint.cyan(report.remote.as_str())),
        0 => {}
        count => writeln!(context.out, "{}", ui::count(count, "new version")),
    }
}

/// A line for each ref that isn't as it was; whether there was one.
fn tell_refs(context: &mut Context, way: &str, url: &str, refs: &[MovedRef]) -> bool {
    let paint = context.paint;
    let told: Vec<&MovedRef> = refs.iter().filter(|row| !matches!(row.outcome, "same" | "refused")).collect();
    if !told.is_empty() {
        writeln!(context.out, "{} {}", paint.dim(way), paint.bold(ui::clean(url)));
    }
    for row in &told {
        let name = paint.cyan(&row.name);
        let new = paint.yellow(row.new.short());
        match (row.outcome, row.old) {
            ("behind", Some(old)) if way == "from" => {
                writeln!(
                    context.out,
                    "  {} {name} stays here at {}; there it is at {new}",
                    row.kind,
                    paint.yellow(old.short())
                );
            }
            ("behind", Some(old)) => {
                writeln!(context.out, "  {} {name} is further on there, at {}", row.kind, paint.yellow(old.short()));
            }
            ("protected", _) => writeln!(context.out, "  {} {name} is protected now", row.kind),
            (_, Some(old)) => {
                writeln!(context.out, "  {} {name} {} → {new}", row.kind, paint.yellow(old.short()));
            }
            _ => writeln!(context.out, "  new {} {name} at {new}", row.kind),
        }
    }
    !told.is_empty()
}

fn fetched(report: &FetchReport) -> Value {
    json!({
        "remote": report.remote.to_string(),
        "url": report.url,
        "dataset": report.dataset.to_string(),
        "refs": refs(&report.refs),
        "versions": report.versions,
        "published": report.said.published,
        "metadata": report.said.metadata,
        "differing": differing(&report.said, |it| (&it.to, &it.from)),
    })
}

/// Metadata that stays different: `sides` gives what it is here and there.
fn differing(said: &SaidReport, sides: fn(&Differing) -> (&Attribute, &Attribute)) -> Vec<Value> {
    let row = |it: &Differing| {
        let (here, there) = sides(it);
        let version = it.version.as_ref().map(json::id);
        json!({"version": version, "key": it.key, "here": json::value(here), "there": json::value(there)})
    };
    said.differing.iter().map(row).collect()
}

/// A line about what came beside versions and refs; whether there was anything.
fn tell_said(context: &mut Context, said: &SaidReport) -> bool {
    let published = (said.published > 0).then(|| format!("{} published", ui::count(said.published, "version")));
    let metadata = (said.metadata > 0).then(|| format!("{} of metadata", ui::count(said.metadata, "value")));
    let told = published.into_iter().chain(metadata).collect::<Vec<_>>().join(", ");
    if !told.is_empty() {
        writeln!(context.out, "{told}");
    }
    !told.is_empty()
}

fn refs(rows: &[MovedRef]) -> Vec<Value> {
    let row = |row: &MovedRef| {
        json!({
            "kind": row.kind,
            "name": row.name,
            "old": row.old.as_ref().map(json::id),
            "new": json::id(&row.new),
            "outcome": row.outcome,
            "why": row.why,
            "hint": row.hint,
        })
    };
    rows.iter().map(row).collect()
}
