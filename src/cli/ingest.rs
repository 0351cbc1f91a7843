//! `ingest`, and the card of a version that was just made.

use std::path::PathBuf;

use clap::Args;
use dagset::base::Result;
use dagset::engine::{IngestOptions, LeftOutPath, Published, Tagged, parse_metadata};
use serde::Serialize;

use super::naming::Naming;
use super::{Context, Ending, json, path_list, progress, table, ui};

const EXAMPLES: &str = "\
Nothing is written but to the store. A folder that equals the newest version of
the branch makes no new one, so the same command can be run again at any time.

Examples:
  dagset ingest ./photos --into ./store/photos --create --as 1.0
  dagset ingest /data/run7 --into s3://bucket/sets/run --branch nightly --json
  find . -name '*.png' | dagset ingest . --into ./store/png --files-from -";

/// Store a folder as a new version, without a workspace
#[derive(Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Ingest {
    /// A folder, a file, or a link to one
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// The dataset that gets the version
    #[arg(long, value_name = "[STORE/]DATASET")]
    into: String,
    /// Create store and dataset if they aren't there
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    naming: Naming,
    /// Say what the version is about
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Add metadata; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
    /// Point a tag at it; repeatable
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The branch; made if needed [default: main]
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// A parent; repeatable [default: the newest]
    #[arg(long = "parent", value_name = "REF")]
    parents: Vec<String>,
    /// Fail (4) unless the branch is at this
    #[arg(long, value_name = "REF")]
    expect: Option<String>,
    /// Leave out, by gitignore's rules; repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Only paths in FILE, by line or NUL; - is stdin
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Leave out what can't be read, and exit with 8
    #[arg(long)]
    skip_unreadable: bool,
    /// Store nothing; show what would come of it
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub fn run(context: &mut Context, args: Ingest) -> Result<Ending> {
    let only = args.files_from.map(|list| path_list::read(context, "--files-from", &list)).transpose()?;
    let options = IngestOptions {
        source: args.source,
        into: args.into,
        bump: args.naming.bump(),
        name: args.naming.name,
        branch: args.branch,
        parents: args.parents,
        expect: args.expect,
        message: args.message.unwrap_or_default(),
        meta: parse_metadata(&args.meta)?,
        tags: args.tags,
        create: args.create,
        skip_unreadable: args.skip_unreadable,
        exclude: args.exclude,
        only,
        dry_run: args.dry_run,
    };
    let published = context.watched(|engine| engine.ingest(&options))?;
    Ok(tell(context, &published, &options.into))
}

#[derive(Serialize)]
struct PublishedDocument<'a> {
    dataset: &'a str,
    version: Option<String>,
    name: Option<&'a str>,
    branch: &'a str,
    manifest: String,
    changed: bool,
    made: bool,
    named: bool,
    files: u64,
    bytes: u64,
    new_bytes: u64,
    stored_bytes: u64,
    dry_run: bool,
    left_out: Vec<LeftOutDocument<'a>>,
    behind: bool,
    tagged: Vec<TaggedDocument<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct LeftOutDocument<'a> {
    path: &'a str,
    why: &'a str,
    incomplete: bool,
}

#[derive(Serialize)]
struct TaggedDocument<'a> {
    name: &'a str,
    from: Option<String>,
    from_name: Option<&'a str>,
}

/// Says what publishing came to, for people or as JSON.
///
/// `into` is the address of the dataset; empty in its workspace.
pub fn tell(context: &mut Context, published: &Published, into: &str) -> Ending {
    if context.for_people() {
        card(context, published, into);
    } else {
        context.out.document(&json::document(document(published)));
    }
    for path in &published.left_out {
        context.say(&progress::left_out(context.paint_err, &path.path, &path.why));
    }
    match published.left_out.iter().any(|path| path.incomplete) {
        true => Ending::Incomplete,
        false => Ending::Done,
    }
}

fn document(published: &Published) -> PublishedDocument<'_> {
    fn row(path: &LeftOutPath) -> LeftOutDocument<'_> {
        let LeftOutPath { path, why, incomplete } = path;
        LeftOutDocument { path, why, incomplete: *incomplete }
    }
    fn tag(tagged: &Tagged) -> TaggedDocument<'_> {
        let from = tagged.from.as_ref();
        TaggedDocument {
            name: tagged.tag.as_str(),
            from: from.map(|from| json::id(&from.version)),
            from_name: from.and_then(|from| from.name.as_ref()).map(dagset::base::RefName::as_str),
        }
    }
    PublishedDocument {
        dataset: published.dataset.as_str(),
        version: published.version.as_ref().map(json::id),
        name: published.name.as_ref().map(dagset::base::RefName::as_str),
        branch: published.branch.as_str(),
        manifest: json::id(&published.manifest),
        changed: published.changed,
        made: published.made,
        named: published.named,
        files: published.files,
        bytes: published.bytes,
        new_bytes: published.new_bytes,
        stored_bytes: published.stored_bytes,
        dry_run: published.dry_run,
        left_out: published.left_out.iter().map(row).collect(),
        behind: published.behind,
        tagged: published.tagged.iter().map(tag).collect(),
        warnings: &published.warnings,
    }
}

fn card(context: &mut Context, published: &Published, into: &str) {
    if context.global.quiet {
        return;
    }
    let paint = context.paint;
    let dataset = published.dataset.as_str();
    let name = published.name.as_ref().map(dagset::base::RefName::as_str);
    let short = published.version.as_ref().map(dagset::base::Id::short);
    let what = format!("{}, {}", ui::count(published.files, "file"), ui::size(published.bytes));
    if !published.changed {
        let named = [name.map(|name| paint.green(name)), short.as_deref().map(|id| paint.yellow(id))];
        let named = named.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let (of, on) = (paint.bold(dataset), paint.cyan(published.branch.as_str()));
        match same_content(published) {
            None if published.behind => {
                writeln!(context.out, "Nothing changed: {of} has {named} ({what}), and {on} went on from it");
            }
            Some(verb) => writeln!(context.out, "{verb} {named} of {of} on {on}: the content is as before ({what})"),
            None => writeln!(context.out, "Nothing changed: {of} on {on} is {named} ({what})"),
        }
        tags(context, published, &named);
        return;
    }
    let title = match name {
        Some(name) => (format!("{dataset} {name}"), format!("{} {}", paint.bold(dataset), paint.green(name))),
        None => (dataset.to_owned(), paint.bold(dataset)),
    };
    let id = short.clone().unwrap_or_else(|| "not made: a dry run".to_owned());
    let plain = |text: String| (text.clone(), text);
    let on = published.branch.as_str();
    let share = match published.new_bytes {
        0 => String::new(),
        new => format!(" for {} of new content", ui::size(new)),
    };
    let stored = match published.dry_run {
        true => plain(format!("{} of new content", ui::size(published.new_bytes))),
        false => plain(format!("{}{share}", ui::size(published.stored_bytes))),
    };
    let files = plain(what);
    let rows = [
        ("version", format!("{id} on {on}"), format!("{} on {}", paint.yellow(&id), paint.cyan(on))),
        ("files", files.0, files.1),
        (if published.dry_run { "would store" } else { "stored" }, stored.0, stored.1),
    ];
    table::card(&mut context.out, paint, (&title.0, &title.1), &rows);
    let made = name.map(|name| paint.green(name)).or(short.map(|id| paint.yellow(id)));
    tags(context, published, made.as_deref().unwrap_or("the new version"));
    if !published.dry_run {
        let reference =
            name.map(str::to_owned).or(published.version.as_ref().map(dagset::base::Id::short)).unwrap_or_default();
        let address = match into.trim_end_matches('/') {
            "" => reference,
            into => format!("{into}@{reference}"),
        };
        let command = format!("dagset ls {}", ui::quoted(&address));
        writeln!(context.out, "{} {}", paint.dim("next:"), paint.cyan(command));
    }
}

/// Says which tags lead to the version by this, and where they were.
fn tags(context: &mut Context, published: &Published, at: &str) {
    let paint = context.paint;
    for Tagged { tag, from } in &published.tagged {
        let tag = paint.cyan(tag.as_str());
        let from = from.as_ref().map(|from| match &from.name {
            Some(name) => paint.green(name.as_str()),
            None => paint.yellow(from.version.short()),
        });
        match (from, published.dry_run) {
            (Some(from), false) => writeln!(context.out, "moved the tag {tag} from {from} to {at}"),
            (Some(from), true) => writeln!(context.out, "would move the tag {tag} from {from} to {at}"),
            (None, false) => writeln!(context.out, "set the tag {tag}, at {at}"),
            (None, true) => writeln!(context.out, "would set the tag {tag}, at {at}"),
        }
    }
}

/// What was done where no content changed: a version made for its name's or metadata's sake, or a name given.
pub fn same_content(published: &Published) -> Option<&'static str> {
    match (published.made, published.named, published.dry_run) {
        (true, _, false) => Some("Made"),
        (true, _, true) => Some("Would make"),
        (_, true, false) => Some("Named"),
        (_, true, true) => Some("Would name"),
        _ => None,
    }
}
