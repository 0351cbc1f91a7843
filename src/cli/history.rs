//! `log` and `show`: versions and what is written of them.

use clap::Args;
use dagset::base::{Error, Result, Time};
use dagset::engine::{Address, GoneParent, LogOptions, PathChange, PathStep, Value, VersionCard};

use super::graph::Graph;
use super::ui::Paint;
use super::{Context, Ending, addresses, json, table, ui};

const EXAMPLES: &str = "\
Examples:
  dagset log ./store/photos
  dagset log ./store/photos@2.0 --graph -n 20
  dagset log ./store/photos --since 2026-01-31 --json
  dagset log ./store/photos:train/a.jpg       which versions changed it, through renames and merges
  dagset log :train/a.jpg                     in a workspace";

/// Show a version and its ancestors, newest first
///
/// With a path only those that changed it are shown, back through renames and merges.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Log {
    /// [STORE/]DATASET[@REF][:PATH], or [REF][:PATH] in a workspace [default: the workspace's]
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// Draw which version came from which
    #[arg(long)]
    graph: bool,
    /// At most N versions
    #[arg(short = 'n', value_name = "N")]
    most: Option<usize>,
    /// None older than T, as 2026-01-31 or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "T")]
    since: Option<String>,
}

/// Show all that is known of a version
#[derive(Args)]
pub struct Show {
    /// [STORE/]DATASET[@REF], or a REF in a workspace [default: the workspace's]
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
}

pub fn log(context: &mut Context, args: &Log) -> Result<Ending> {
    let address = addresses::parse_or_here(context, args.address.as_deref())?;
    let since = args.since.as_deref().map(Time::parse).transpose()?;
    let options = LogOptions { most: args.most, since };
    if address.path.as_deref().is_some_and(|path| !path.trim_matches('/').is_empty()) {
        return log_path(context, args, &address, options);
    }
    let address = Address { path: None, ..address };
    let cards = context.watched(|engine| engine.log(&address, options))?;
    if !context.for_people() {
        let versions = cards.iter().map(json::Version::from).collect();
        context.out.document(&json::document(json::Versions { versions }));
        return Ok(Ending::Done);
    }
    let paint = context.paint;
    let mut graph = Graph::default();
    for (at, card) in cards.iter().enumerate() {
        let lines = entry(paint, card, if args.graph { graph.width(card.parents.len()) } else { 0 });
        if args.graph {
            for line in graph.draw(card.version, &card.parents, &lines, paint) {
                writeln!(context.out, "{line}");
            }
        } else {
            if at > 0 {
                writeln!(context.out);
            }
            lines.iter().for_each(|line| writeln!(context.out, "{line}"));
        }
    }
    if cards.is_empty() {
        context.say("no versions");
    }
    Ok(Ending::Done)
}

fn log_path(context: &mut Context, args: &Log, address: &Address, options: LogOptions) -> Result<Ending> {
    if args.graph {
        return Err(Error::usage("--graph draws whole versions, and not the history of a path")
            .hint("leave out --graph, or the path"));
    }
    let steps = context.watched(|engine| engine.log_path(address, options))?;
    if !context.for_people() {
        let versions = steps.iter().map(json::PathVersion::from).collect();
        context.out.document(&json::document(json::PathVersions { versions }));
        return Ok(Ending::Done);
    }
    let paint = context.paint;
    for (at, step) in steps.iter().enumerate() {
        if at > 0 {
            writeln!(context.out);
        }
        entry(paint, &step.card, 0).iter().for_each(|line| writeln!(context.out, "{line}"));
        writeln!(context.out, "{}", what_it_did(paint, step));
    }
    Ok(Ending::Done)
}

fn what_it_did(paint: Paint, step: &PathStep) -> String {
    let path = ui::clean(&step.path);
    let (word, path) = match &step.change {
        PathChange::Added => (paint.green("added"), path),
        PathChange::Removed => (paint.red("removed"), path),
        PathChange::Modified => (paint.yellow("modified"), path),
        PathChange::Merged => (paint.yellow("merged"), path),
        PathChange::Renamed { from } => (paint.cyan("renamed"), format!("{} → {path}", ui::clean(from))),
    };
    let sizes = match (step.bytes_before, step.bytes_after) {
        (None, None) => String::new(),
        (Some(before), Some(after)) if before != after => format!("{} → {}", ui::size(before), ui::size(after)),
        (before, after) => after.or(before).map(ui::size).unwrap_or_default(),
    };
    format!("{word}  {path}  {}", paint.dim(sizes)).trim_end().to_owned()
}

/// A version in two or three lines, beside so many columns: what it is called, what it is, the first line of its message.
fn entry(paint: Paint, card: &VersionCard, taken: usize) -> Vec<String> {
    let id = card.version.short();
    let (mut head, mut head_width) = (paint.yellow(&id), ui::width(&id));
    if let Some(name) = called(card) {
        head = format!("{head} {}", paint.green(paint.bold(&name)));
        head_width += 1 + ui::width(&name);
    }
    let refs = refs(card);
    if !refs.is_empty() {
        head = format!("{head} ({})", paint.cyan(ui::fit(&refs, taken + head_width + 3)));
    }
    let (when, much) = (ui::moment(card.time), format!("{}, {}", ui::count(card.files, "file"), ui::size(card.bytes)));
    let author = ui::fit(&ui::clean(who(&card.author)), taken + when.len() + much.len() + 4);
    let mut lines = vec![head, paint.dim(format!("{when}  {author}  {much}"))];
    let subject = ui::clean_lines(&card.message).into_iter().next().filter(|line| !line.is_empty());
    lines.extend(subject.map(|line| ui::fit(&line, taken)));
    lines.extend(gone(card).into_iter().map(|line| paint.dim(ui::fit(&line, taken))));
    lines
}

/// A version's name; that of one in another dataset with the dataset before it.
fn called(card: &VersionCard) -> Option<String> {
    let name = card.name.as_ref().map(ToString::to_string);
    match &card.other_dataset {
        Some(dataset) => Some(name.map_or_else(|| dataset.to_string(), |name| format!("{dataset}@{name}"))),
        None => name,
    }
}

/// A line for each parent that the store doesn't have.
fn gone(card: &VersionCard) -> Vec<String> {
    card.gone_parents.iter().map(|gone| format!("its parent {} {}", gone.version.short(), why_gone(gone))).collect()
}

/// What is said of a parent that the store doesn't have.
pub fn why_gone(gone: &GoneParent) -> String {
    match &gone.deleted {
        Some((dataset, record)) => format!("went with {dataset}, deleted by record {record}"),
        None => "isn't in this store".to_owned(),
    }
}

/// An author without the mail address, unless there is nothing else.
pub fn who(author: &str) -> &str {
    author.split_once('<').map(|(name, _)| name.trim()).filter(|name| !name.is_empty()).unwrap_or(author)
}

fn refs(card: &VersionCard) -> String {
    let of = card.other_dataset.as_ref().map(|dataset| format!("{dataset}@")).unwrap_or_default();
    let branches = card.branches.iter().map(|branch| format!("{of}{branch}"));
    let tags = card.tags.iter().map(|tag| match card.protected_tags.contains(tag) {
        true => format!("tag {of}{tag} protected"),
        false => format!("tag {of}{tag}"),
    });
    let published = card.published.then(|| "published".to_owned());
    let bare = card.let_go.map(|_| ui::LET_GO.to_owned());
    branches.chain(tags).chain(published).chain(bare).collect::<Vec<_>>().join(", ")
}

pub fn show(context: &mut Context, args: &Show) -> Result<Ending> {
    let address = addresses::parse_or_here(context, args.address.as_deref())?;
    let card = context.watched(|engine| engine.show(&address))?;
    if !context.for_people() {
        context.out.document(&json::document(json::Version::from(&card)));
        return Ok(Ending::Done);
    }
    let paint = context.paint;
    let parent = |(id, role): (&dagset::base::Id, &String)| match role.as_str() {
        "" => id.short(),
        // Beside the id, the label and the box.
        role => format!("{} ({})", id.short(), ui::fit(&ui::clean(role), 32)),
    };
    let parents: Vec<String> = card.parents.iter().zip(&card.roles).map(parent).collect();
    let id = card.version.short();
    let title = match &called(&card) {
        Some(name) => (format!("{name} {id}"), format!("{} {}", paint.green(name), paint.yellow(&id))),
        None => (id.clone(), paint.yellow(&id)),
    };
    let mut rows = vec![("author", card.author.clone()), ("time", ui::moment(card.time))];
    match parents.as_slice() {
        [] => rows.push(("parents", "none: the first".to_owned())),
        parents => {
            let label = |at: usize| if at == 0 { "parents" } else { "" };
            rows.extend(parents.iter().enumerate().map(|(at, parent)| (label(at), parent.clone())));
        }
    }
    rows.push(("refs", refs(&card)));
    rows.push(("files", format!("{}, {}", ui::count(card.files, "file"), ui::size(card.bytes))));
    rows.push(("stored", ui::size(card.stored_bytes)));
    if let Some(it) = card.let_go {
        rows.push(("content", format!("let go by keep rules, record {}, {}", it.record, ui::moment(it.time))));
    }
    rows.push(("manifest", card.manifest.short()));
    let rows = rows.into_iter().filter(|(_, text)| !text.is_empty());
    let rows: Vec<_> = rows.map(|(label, text)| (label, ui::clean(&text), ui::clean(&text))).collect();
    table::card(&mut context.out, paint, (&title.0, &title.1), &rows);
    for line in ui::clean_lines(&card.message).into_iter().chain(gone(&card)) {
        wrapped(&line, 2).iter().for_each(|line| writeln!(context.out, "  {line}"));
    }
    section(context, "meta", &card.meta);
    section(context, "provenance", &card.provenance);
    Ok(Ending::Done)
}

/// Attributes under a title, a line each.
pub fn section(context: &mut Context, title: &str, attrs: &dagset::engine::Attrs) {
    if attrs.is_empty() {
        return;
    }
    writeln!(context.out, "\n{}", context.paint.bold(title));
    self::attrs(context, attrs);
}

/// Keys and values, a line each.
pub fn attrs(context: &mut Context, attrs: &dagset::engine::Attrs) {
    let paint = context.paint;
    let widest = attrs.0.keys().map(|key| ui::width(&ui::clean(key))).max().unwrap_or(0);
    for (key, value) in &attrs.0 {
        let key = ui::clean(key);
        let fill = " ".repeat(widest - ui::width(&key));
        let (value, beside) = (value_lines(value), widest + 4);
        let within = |taken| value.iter().flat_map(|line| wrapped(line, taken)).collect::<Vec<_>>();
        let lines = within(beside);
        if ui::columns().is_some_and(|columns| lines.iter().any(|line| ui::width(line) + beside > columns)) {
            // An id that has no room beside its key has it below.
            writeln!(context.out, "  {}", paint.dim(&key));
            within(4).iter().for_each(|line| writeln!(context.out, "    {line}"));
            continue;
        }
        for (at, line) in lines.iter().enumerate() {
            match at {
                0 => writeln!(context.out, "  {}{fill}  {line}", paint.dim(&key)),
                _ => writeln!(context.out, "  {}  {line}", " ".repeat(widest)),
            }
        }
    }
}

/// A value as it would be typed; a text of several lines in these.
fn value_lines(value: &Value) -> Vec<String> {
    match value {
        Value::Text(text) if text.contains('\n') => ui::clean_lines(text),
        value => vec![ui::value(value)],
    }
}

/// The text in lines that fit the terminal beside `taken` columns; one line where stdout is none.
fn wrapped(text: &str, taken: usize) -> Vec<String> {
    match ui::columns() {
        Some(columns) => table::wrap_hard(text, columns.saturating_sub(taken).max(20)),
        None => vec![text.to_owned()],
    }
}
