//! `purge`: content goes from all versions for good; `unpurge`: it comes back.

use std::path::PathBuf;

use clap::Args;
use dagset::base::{Id, Result};
use dagset::engine::{
    CachePurge, Elsewhere, FileFilter, PurgeOptions, PurgeReport, PurgedContent, PurgedVersion, Reason,
};
use serde_json::json;

use super::confirm::confirm;
use super::{Context, Ending, addresses, json, ui};

const NOTES: &str = "\
What is named goes from every version of the store that has it, whatever its path
there, from the store's packs, and from the caches of this machine. Versions keep
their ids, and go on naming it. Adding the same content again is refused. What
other files need too stays. Files of workspaces are left alone, and other stores:
the report says which of them have it.

Examples:
  dagset purge ./store/faces@2.1:img/07.png --reason 'consent withdrawn' --dry-run
  dagset purge ./store/faces 'people/ann/**' --reason 'consent withdrawn' --yes
  dagset purge ./store/faces --where 'path ~ \"people/*/id.png\" and bytes > 1e6' \\
      --reason 'passports' --dry-run
  dagset purge ./store --content ID --reason 'leaked key' --yes

A condition compares path, suffix, bytes, executable, attr.KEY, and name, time and
meta.KEY of the version by = != < <= > >=, and a text with a path or glob by ~;
joined by and, or, not and ( ). Without a REF it is asked of every version.";

/// Remove content from all versions for good
#[derive(Args)]
#[command(after_help = NOTES, arg_required_else_help = true)]
pub struct Purge {
    /// [STORE/]DATASET[@REF][:PATH]; with --content a store or a dataset
    #[arg(value_name = "ADDRESS", required_unless_present = "contents")]
    address: Option<String>,
    /// Only these of it: paths, with all below, or globs
    #[arg(value_name = "PATH|GLOB", conflicts_with = "contents")]
    patterns: Vec<String>,
    /// Content by its id, as `stat` shows it
    #[arg(long = "content", value_name = "ID", value_parser = content_id)]
    contents: Vec<Id>,
    /// The files of all versions of which this holds, as 'path ~ \"ann/**\"'
    #[arg(long = "where", value_name = "CONDITION", conflicts_with_all = ["patterns", "contents"], requires = "address")]
    condition: Option<String>,
    /// Why; the log keeps it, and whoever asks for the files is told
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Also what published versions have
    #[arg(long)]
    force: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Say what would go, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Bring purged content back
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Unpurge {
    /// The store that it was purged from, or a dataset there
    #[arg(value_name = "STORE|DATASET")]
    place: String,
    /// Files that have the content
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Why; the log keeps it
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

fn content_id(text: &str) -> Result<Id, String> {
    Id::from_hex(text).ok_or_else(|| "a content id has 64 hexadecimal digits".to_owned())
}

pub fn run(context: &mut Context, args: &Purge) -> Result<Ending> {
    let address = match &args.address {
        Some(text) => addresses::parse(context, text)?,
        None => addresses::parse(context, &addresses::store(context, None)?)?,
    };
    let options = PurgeOptions {
        patterns: args.patterns.clone(),
        contents: args.contents.clone(),
        condition: args.condition.as_deref().map(FileFilter::parse).transpose()?,
        reason: Reason::new(&args.reason)?,
        force: args.force,
        dry_run: args.dry_run,
    };
    if !args.yes && !args.dry_run {
        let look = PurgeOptions { dry_run: true, ..options.clone() };
        let plan = context.watched(|engine| engine.purge(&address, &look))?;
        // What is refused anyway needs no answer.
        if args.force || !plan.needs_force() {
            let question = format!("{} would go for good. Type purge to do it:", summary(&plan));
            confirm("a purge", &question, "purge")?;
        }
    }
    let report = context.watched(|engine| engine.purge(&address, &options))?;
    if context.for_people() {
        tell(context, &report);
        if args.dry_run && !args.force && report.needs_force() {
            context.say("published versions have it: --force is needed to purge it");
        }
    } else {
        context.out.document(&json::document(document(&report)));
    }
    Ok(if leaves_some(&report) { Ending::Incomplete } else { Ending::Done })
}

pub fn lift(context: &mut Context, args: &Unpurge) -> Result<Ending> {
    let place = addresses::parse(context, &args.place)?;
    let reason = Reason::new(&args.reason)?;
    let report = context.watched(|engine| engine.unpurge(&place, &args.files, &reason))?;
    if context.for_people() {
        let contents = ui::count(report.contents.len() as u64, "content");
        context.say(&format!("record {}: {contents} are in {} again", report.record, report.store));
    } else {
        let contents: Vec<_> = report.contents.iter().map(json::id).collect();
        context
            .out
            .document(&json::document(json!({ "store": report.store, "contents": contents, "record": report.record })));
    }
    Ok(Ending::Done)
}

/// Whether something that could be reached still has it.
fn leaves_some(report: &PurgeReport) -> bool {
    let is_left = |cache: &CachePurge| {
        cache.why_not.is_some() || cache.files.left_files > 0 || !cache.files.held_views.is_empty()
    };
    report.caches.iter().any(is_left)
}

fn summary(report: &PurgeReport) -> String {
    let bytes = ui::size(report.contents.iter().map(|it| it.bytes).sum());
    let contents = ui::count(report.contents.len() as u64, "content");
    format!("{contents} of {bytes}, in {}", ui::count(report.versions.len() as u64, "version"))
}

fn document(report: &PurgeReport) -> serde_json::Value {
    let content =
        |it: &PurgedContent| json!({ "content": json::id(&it.content), "bytes": it.bytes, "paths": it.paths });
    let version = |it: &PurgedVersion| {
        json!({
            "dataset": it.dataset.to_string(),
            "version": json::id(&it.version),
            "name": it.name.as_ref().map(ToString::to_string),
            "published": it.is_published,
            "deleted_dataset": it.is_deleted,
            "files": it.files,
        })
    };
    let cache = |it: &CachePurge| {
        json!({
            "folder": it.folder,
            "files": it.files.files,
            "bytes": it.files.bytes,
            "left_files": it.files.left_files,
            "held_views": it.files.held_views,
            "why_not": it.why_not,
        })
    };
    let elsewhere = |it: &Elsewhere| json!({ "store": it.store, "certain": it.is_certain });
    json!({
        "store": report.store,
        "reason": report.reason,
        "dry_run": report.dry_run,
        "needs_force": report.needs_force(),
        "record": report.record,
        "contents": report.contents.iter().map(content).collect::<Vec<_>>(),
        "versions": report.versions.iter().map(version).collect::<Vec<_>>(),
        "uses": report.uses.iter().map(json::Used::from).collect::<Vec<_>>(),
        "more_uses": report.more_uses,
        "rewritten_packs": report.rewritten_packs,
        "written": { "objects": report.written_objects, "bytes": report.written_bytes },
        "deleted": { "objects": report.deleted_objects, "bytes": report.deleted_bytes },
        "freed_bytes": report.freed_bytes(),
        "shared_bytes": report.shared_bytes,
        "caches": report.caches.iter().map(cache).collect::<Vec<_>>(),
        "workspace_files": report.workspace_files,
        "elsewhere": report.elsewhere.iter().map(elsewhere).collect::<Vec<_>>(),
    })
}

fn tell(context: &mut Context, report: &PurgeReport) {
    let paint = context.paint;
    let would = if report.dry_run { "would be " } else { "" };
    for it in &report.contents {
        let size = ui::size(it.bytes);
        writeln!(context.out, "{would}purged  {}  {size}", paint.yellow(it.content.short()));
        it.paths.iter().for_each(|path| writeln!(context.out, "    {}", ui::clean(path)));
    }
    for it in &report.versions {
        let name = it.name.as_ref().map_or_else(|| it.version.short(), ToString::to_string);
        let published = if it.is_published { ", published" } else { "" };
        let deleted = if it.is_deleted { ", of a deleted dataset" } else { "" };
        let files = ui::count(it.files, "file");
        writeln!(context.out, "had by  {}@{}  {files}{published}{deleted}", it.dataset, paint.yellow(name));
    }
    for it in &report.uses {
        let model = it.model.as_ref().map(|model| format!(", model {}", ui::clean(model))).unwrap_or_default();
        let name = it.name.as_ref().map_or_else(|| it.version.short(), ToString::to_string);
        writeln!(context.out, "used by  run {}{model}  of {}@{name}", ui::clean(&it.run.id), it.dataset);
    }
    if report.more_uses > 0 {
        writeln!(context.out, "used by  {} older runs more", ui::number(report.more_uses as u64));
    }
    match (report.record, report.dry_run) {
        (Some(record), _) => context.say(&format!("record {record}: {} purged", summary(report))),
        (None, false) => context.say("it was purged before"),
        (None, true) => {}
    }
    if report.deleted_objects > 0 {
        let (deleted, freed) = (ui::count(report.deleted_objects, "object"), ui::size(report.freed_bytes()));
        let packs = ui::count(report.rewritten_packs, "pack");
        context.say(&format!("{would}rewritten: {packs}; {would}deleted: {deleted}; {freed} freed"));
    }
    if report.shared_bytes > 0 {
        context.say(&format!("{} are shared with other files, and stay", ui::size(report.shared_bytes)));
    }
    tell_where_it_is(context, report);
}

fn tell_where_it_is(context: &mut Context, report: &PurgeReport) {
    let would = if report.dry_run { "would be " } else { "" };
    for it in &report.caches {
        let folder = it.folder.display();
        if it.files.files > 0 {
            let (files, bytes) = (ui::count(it.files.files, "file"), ui::size(it.files.bytes));
            context.say(&format!("{would}removed from the cache {folder}: {files} of {bytes}"));
        }
        if it.files.left_files > 0 || it.why_not.is_some() {
            let why = it.why_not.as_deref().unwrap_or("its files are another user's");
            let files = ui::count(it.files.left_files, "file");
            context.say(&format!("still in the cache {folder}: {files}: {}", ui::clean(why)));
        }
        if !it.files.held_views.is_empty() {
            let views = ui::count(it.files.held_views.len() as u64, "view");
            context.say(&format!(
                "still read by running jobs in the cache {folder}: {views}; the same command again when they ended"
            ));
        }
    }
    for path in &report.workspace_files {
        context.say(&format!("still in this workspace: {}", ui::clean(&path.display().to_string())));
    }
    let ids: Vec<String> = report.contents.iter().take(1).map(|it| it.content.to_string()).collect();
    for it in &report.elsewhere {
        let has = if it.is_certain { "still in" } else { "not looked into" };
        let store = ui::clean(&it.store);
        context.say(&format!("{has} {store}: `dagset purge {store} --content {} --reason TEXT`", ids.join(" ")));
    }
}
