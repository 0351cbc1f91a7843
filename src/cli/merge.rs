//! `merge`: several versions become one; where they disagree, what each of them did.

use std::path::PathBuf;

use clap::Args;
use dagset::base::{Kind, Result};
use dagset::engine::{CommitOptions, MergeConflict, MergeOptions, MergeReport, MergeSide, Published};
use serde_json::{Value, json};

use super::naming::Naming;
use super::table::{self, left, right};
use super::{Context, Ending, addresses, ingest, json, ui};

const NOTES: &str = "\
What one version changed, added or deleted since they parted wins over what the
others left alone. Where several did, and not the same, it is a conflict: it is
shown, no version is made, and the exit code is 4, unless a CHOICE says who
wins: first or last in their order, newest, a REF, or both, side by side. In a
workspace, conflicts are laid into the folder: solve them with add, rm or
resolve, then commit. `fail` leaves the folder as it is.

Of another dataset a PART can be merged: a folder, and where it is to stand.
It says nothing of other folders, and newer versions of it can be merged later.

Examples:
  dagset merge fixes                            into the workspace's branch
  dagset merge ./store/set@a ./store/set@b --branch main --as 2.0
  dagset merge dogs@1.2:labels/=labels/dogs/    a part of another dataset
  dagset merge fixes --rule 'labels/**=last' --on-conflict both --dry-run";

/// Conflicts that people are shown.
const MOST_SHOWN: usize = 50;

/// Make one version of several
#[derive(Args)]
#[command(after_help = NOTES, arg_required_else_help = true)]
pub struct Merge {
    /// In a workspace REF, anywhere [STORE/]DATASET@REF[:PART]
    #[arg(value_name = "REF", required_unless_present_any = ["abort", "go_on"])]
    parents: Vec<String>,
    #[command(flatten)]
    outcome: Outcome,
    /// Drop the merge in progress; the folder is as before it
    #[arg(long, conflicts_with_all = ["parents", "branch", "name", "message", "on_conflict", "rules", "allow_missing", "dry_run", "go_on"])]
    abort: bool,
    /// Commit the merge in progress; go on where it was cut off
    #[arg(long = "continue", conflicts_with_all = ["parents", "on_conflict", "rules", "allow_missing", "dry_run"])]
    go_on: bool,
    /// Go on where the store lacks what tells deleted files
    #[arg(long)]
    allow_missing: bool,
}

/// The version that is made of others, and who wins where they disagree.
#[derive(Args)]
pub struct Outcome {
    /// The branch that gets it [default: the workspace's]
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    #[command(flatten)]
    naming: Naming,
    /// Say what the version is about
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Who wins: fail, first, last, newest, both, or a REF
    #[arg(long, value_name = "CHOICE")]
    on_conflict: Option<String>,
    /// Who wins at some paths; repeatable, the first that fits
    #[arg(long = "rule", value_name = "GLOB=CHOICE")]
    rules: Vec<String>,
    /// Store nothing; show what would come of it
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Outcome {
    pub fn options(self) -> MergeOptions {
        MergeOptions {
            branch: self.branch,
            bump: self.naming.bump(),
            name: self.naming.name,
            message: self.message,
            on_conflict: self.on_conflict,
            rules: self.rules,
            allow_missing: false,
            dry_run: self.dry_run,
        }
    }
}

/// Solve a merge's conflicts by what one parent has
///
/// `add PATH` takes what stands in the folder, and `rm PATH` nothing.
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Resolve {
    /// Files in conflict, or folders with such files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The parent, as `status` calls it
    #[arg(long, value_name = "REF")]
    take: String,
}

/// Run a recorded merge again on what its parents are now
///
/// The newest merge in the history of REF is meant. Branches are taken as they are now, other parents as they
/// were, and the rules as they were given.
#[derive(Args)]
pub struct Refresh {
    /// A branch [default: the workspace's]; in a workspace REF, anywhere [STORE/]DATASET@REF
    #[arg(value_name = "REF")]
    reference: Option<String>,
    #[command(flatten)]
    naming: Naming,
    /// Say what the version is about
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Go on where the store lacks what tells deleted files
    #[arg(long)]
    allow_missing: bool,
    /// Store nothing; show what would come of it
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub fn refresh(context: &mut Context, args: Refresh) -> Result<Ending> {
    let address = addresses::parse_or_here(context, args.reference.as_deref())?;
    let options = MergeOptions {
        bump: args.naming.bump(),
        name: args.naming.name,
        message: args.message,
        allow_missing: args.allow_missing,
        dry_run: args.dry_run,
        ..MergeOptions::default()
    };
    let report = context.watched(|engine| engine.refresh(&address, &options))?;
    Ok(tell(context, &report))
}

pub fn resolve(context: &mut Context, args: &Resolve) -> Result<Ending> {
    let resolved = context.watched(|engine| engine.resolve(&args.paths, &args.take))?;
    if !context.for_people() {
        context.out.document(&json::document(json!({"resolved": resolved.paths, "unresolved": resolved.left})));
    } else if !context.global.quiet {
        for path in &resolved.paths {
            writeln!(context.out, "took {}  {}", context.paint.cyan(&args.take), ui::clean(path));
        }
        match resolved.left {
            0 => writeln!(
                context.out,
                "all conflicts are solved; {} ends the merge",
                context.paint.cyan("dagset merge --continue")
            ),
            left => writeln!(context.out, "{} left", ui::count(left, "conflict")),
        }
    }
    Ok(Ending::Done)
}

fn abort(context: &mut Context) -> Result<Ending> {
    let aborted = context.watched(dagset::engine::Engine::abort_merge)?;
    if !context.for_people() {
        context.out.document(&json::document(
            json!({"written": aborted.written, "removed": aborted.removed, "kept": aborted.kept}),
        ));
    } else if !context.global.quiet {
        let (written, removed) = (ui::count(aborted.written, "path"), ui::number(aborted.removed));
        writeln!(context.out, "the merge is dropped: {written} written, {removed} removed");
        for path in &aborted.kept {
            writeln!(context.out, "kept  {}", ui::clean(path));
        }
    }
    Ok(Ending::Done)
}

pub fn run(context: &mut Context, args: Merge) -> Result<Ending> {
    if args.abort {
        return abort(context);
    }
    if args.go_on {
        let MergeOptions { branch, name, bump, message, .. } = args.outcome.options();
        let options =
            CommitOptions { message: message.unwrap_or_default(), branch, bump, name, ..CommitOptions::default() };
        let published = context.watched(|engine| engine.continue_merge(&options))?;
        return Ok(ingest::tell(context, &published, ""));
    }
    let parents = args.parents.iter().map(|text| addresses::parse(context, text)).collect::<Result<Vec<_>>>()?;
    let options = MergeOptions { allow_missing: args.allow_missing, ..args.outcome.options() };
    let report = context.watched(|engine| engine.merge(&parents, &options))?;
    Ok(tell(context, &report))
}

/// Tells what a merge, or what is done as one, came to.
pub fn tell(context: &mut Context, report: &MergeReport) -> Ending {
    match context.for_people() {
        true => show(context, report),
        false => context.out.document(&json::document(document(report))),
    }
    if report.published.is_some() { Ending::Done } else { Ending::Failed(Kind::Conflict) }
}

fn document(report: &MergeReport) -> Value {
    let parent = |parent: &dagset::engine::MergeParent| {
        json!({
            "ref": parent.reference,
            "version": json::id(&parent.version),
            "name": parent.version_name.as_ref().map(ToString::to_string),
            "adds_nothing": parent.adds_nothing,
        })
    };
    let made = report.published.as_ref();
    json!({
        "dataset": report.dataset.to_string(),
        "branch": report.branch.to_string(),
        "parents": report.parents.iter().map(parent).collect::<Vec<_>>(),
        "warnings": report.warnings,
        "conflicts": report.conflicts.iter().map(conflict).collect::<Vec<_>>(),
        "unresolved": report.unresolved().count(),
        "in_progress": report.in_progress,
        "version": made.and_then(|made| made.version).as_ref().map(json::id),
        "name": made.and_then(|made| made.name.as_ref()).map(ToString::to_string),
        "manifest": made.map(|made| json::id(&made.manifest)),
        "changed": made.is_some_and(|made| made.changed),
        "made": made.is_some_and(|made| made.made),
        "named": made.is_some_and(|made| made.named),
        "files": made.map(|made| made.files),
        "bytes": made.map(|made| made.bytes),
        "stored_bytes": made.map_or(0, |made| made.stored_bytes),
        "dry_run": made.is_some_and(|made| made.dry_run),
        "written": report.switched.as_ref().map_or(0, |switched| switched.written),
        "removed": report.switched.as_ref().map_or(0, |switched| switched.removed),
    })
}

/// What a parent did, as JSON.
pub fn side(side: &MergeSide) -> Value {
    json!({
        "ref": side.reference,
        "did": side.did.to_string(),
        "kind": side.kind.map(json::kind_name),
        "content": side.content.as_ref().map(json::id),
        "bytes": side.bytes,
    })
}

fn conflict(conflict: &MergeConflict) -> Value {
    json!({
        "path": conflict.path,
        "file_and_folder": conflict.file_and_folder,
        "choice": conflict.choice,
        "beside": conflict.beside.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "parents": conflict.sides.iter().map(side).collect::<Vec<_>>(),
    })
}

fn show(context: &mut Context, report: &MergeReport) {
    for parent in report.parents.iter().filter(|parent| parent.adds_nothing) {
        let text = format!("{} adds nothing: another parent has all of its history", ui::clean(&parent.reference));
        context.say(&text);
    }
    let unresolved: Vec<&MergeConflict> = report.unresolved().collect();
    if report.published.is_none() {
        conflicts(context, &unresolved);
        let count = ui::count(unresolved.len() as u64, "conflict");
        if report.in_progress {
            return laid(context, &count);
        }
        writeln!(context.out, "{}", context.paint.red(format!("{count}, so nothing was written")));
        context.say("give --on-conflict first|last|newest|both|REF, or --rule 'GLOB=CHOICE'");
    }
    if let Some(published) = &report.published {
        made(context, report, published);
    }
}

fn laid(context: &mut Context, count: &str) {
    let paint = context.paint;
    writeln!(context.out, "{}", paint.red(format!("{count} to solve in the folder")));
    let lines = [
        ("dagset resolve PATH --take REF", "takes what a parent has"),
        ("dagset add PATH", "takes the file there; what is beside it goes"),
        ("dagset rm PATH", "takes none"),
        ("dagset merge --continue", "ends the merge; dagset merge --abort drops it"),
    ];
    for (command, what) in lines {
        context.say(&format!("  {}  {what}", context.paint_err.cyan(format!("{command:<30}"))));
    }
}

/// A line for each parent of each conflict.
fn conflicts(context: &mut Context, conflicts: &[&MergeConflict]) {
    let mut rows = Vec::new();
    for conflict in conflicts.iter().take(MOST_SHOWN) {
        for (at, side) in conflict.sides.iter().enumerate() {
            let path = if at == 0 { conflict.path.clone() } else { String::new() };
            let what = match (side.content, side.kind) {
                (Some(content), _) => content.short(),
                (None, kind) => kind.map(json::kind_name).unwrap_or_default().to_owned(),
            };
            let bytes = side.bytes.map(ui::size).unwrap_or_default();
            rows.push(vec![path, side.reference.clone(), side.did.to_string(), what, bytes]);
        }
    }
    let columns = [left("PATH").flexible(), left("PARENT").flexible(), left("DID"), left("CONTENT"), right("SIZE")];
    let paint = context.paint;
    table::print(&mut context.out, paint, &columns, &rows);
    if conflicts.len() > MOST_SHOWN {
        let more = ui::number((conflicts.len() - MOST_SHOWN) as u64);
        writeln!(context.out, "… and {more} more; --json has all");
    }
}

fn made(context: &mut Context, report: &MergeReport, published: &Published) {
    if context.global.quiet {
        return;
    }
    let paint = context.paint;
    let name = published.name.as_ref().map(|name| paint.green(name.as_str()));
    let id = published.version.map(|id| paint.yellow(id.short()));
    let version = [name, id].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let branch = paint.cyan(report.branch.as_str());
    let what = format!("{}, {}", ui::count(published.files, "file"), ui::size(published.bytes));
    match (published.changed, published.dry_run) {
        (false, _) => match ingest::same_content(published) {
            Some(verb) => writeln!(context.out, "{verb} {version} on {branch}: the content is as before ({what})"),
            None => writeln!(context.out, "Nothing changed: {branch} is at {version} ({what})"),
        },
        (true, true) if version.is_empty() => writeln!(context.out, "{branch} would come to {what}: a dry run"),
        (true, true) => writeln!(context.out, "{branch} would be at {version}: {what}; a dry run"),
        (true, false) => writeln!(context.out, "{branch} is at {version}: {what}"),
    }
    let resolved = report.conflicts.len() as u64;
    if resolved > 0 {
        writeln!(context.out, "{} resolved by rule; --json has them", ui::count(resolved, "conflict"));
    }
    if let Some(switched) = &report.switched {
        let (written, removed) = (ui::count(switched.written, "path"), ui::number(switched.removed));
        writeln!(context.out, "the folder: {written} written, {removed} removed");
    }
}
