//! `ls`, `tree`, `cat`, `stat`: looking into a version.

use clap::Args;
use dagset::base::{Error, Result};
use dagset::engine::{ListedEntry, ListedKind};
use serde_json::json;

use super::table::{left, print, right};
use super::ui::Paint;
use super::{Context, Ending, addresses, json, ui};

const LS_EXAMPLES: &str = "\
Examples:
  dagset ls ./store/photos
  dagset ls -l ./store/photos@1.0:train/";

/// List what is in a folder of a version
#[derive(Args)]
#[command(after_help = LS_EXAMPLES)]
pub struct Ls {
    /// [STORE/]DATASET[@REF][:PATH]; in a workspace REF, REF:PATH or :PATH
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// All that lies below too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Size, content id and target of each
    #[arg(short, long)]
    long: bool,
}

/// Draw a version as a tree
#[derive(Args)]
pub struct Tree {
    /// [STORE/]DATASET[@REF][:PATH]; in a workspace REF, REF:PATH or :PATH
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// Not deeper than this
    #[arg(short = 'L', long, value_name = "N")]
    depth: Option<usize>,
}

/// Print a file of a version
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Cat {
    /// [STORE/]DATASET[@REF]:PATH
    #[arg(value_name = "ADDRESS")]
    address: String,
}

/// Show what is known of one path
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Stat {
    /// [STORE/]DATASET[@REF][:PATH]
    #[arg(value_name = "ADDRESS")]
    address: String,
}

pub fn ls(context: &mut Context, args: &Ls) -> Result<Ending> {
    let address = addresses::parse_or_here(context, args.address.as_deref())?;
    let entries = context.watched(|engine| engine.list_entries(&address, args.recursive))?;
    if !context.for_people() {
        context.out.document(&json::document(json::Entries { entries: entries.iter().map(Into::into).collect() }));
    } else if args.long {
        long(context, &entries);
    } else {
        let paint = context.paint;
        for entry in &entries {
            writeln!(context.out, "{}{}", name(paint, entry, &entry.path), purged(paint, entry));
        }
    }
    Ok(Ending::Done)
}

fn name(paint: Paint, entry: &ListedEntry, name: &str) -> String {
    let name = ui::clean(name);
    match entry.kind {
        ListedKind::Folder => paint.blue(format!("{name}/")),
        ListedKind::Symlink => paint.cyan(name),
        ListedKind::File if entry.executable => paint.green(name),
        ListedKind::File => name,
    }
}

/// What is said behind a file that is gone.
fn purged(paint: Paint, entry: &ListedEntry) -> String {
    let why = entry.purged.as_ref().map(|it| format!("  purged: {}", ui::clean(&it.reason)));
    why.map(|why| paint.dim(why)).unwrap_or_default()
}

fn long(context: &mut Context, entries: &[ListedEntry]) {
    let columns = [left(""), right(""), left("").painted(Paint::yellow), left("")];
    let row = |entry: &ListedEntry| {
        let (kind, path) = match entry.kind {
            ListedKind::Folder => ("folder", format!("{}/", entry.path)),
            ListedKind::Symlink => {
                ("link", format!("{} -> {}", entry.path, entry.target.as_deref().unwrap_or_default()))
            }
            ListedKind::File if entry.purged.is_some() => {
                let why = entry.purged.as_ref().map(|it| it.reason.to_string()).unwrap_or_default();
                ("purged", format!("{}  ({why})", entry.path))
            }
            ListedKind::File if entry.executable => ("exec", entry.path.clone()),
            ListedKind::File => ("file", entry.path.clone()),
        };
        let content = entry.content.as_ref().map(dagset::base::Id::short).unwrap_or_default();
        vec![kind.to_owned(), entry.bytes.map(ui::size).unwrap_or_default(), content, path]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    let paint = context.paint;
    print(&mut context.out, paint, &columns, &rows);
}

/// A folder of the drawn tree: what stands in it, in order.
#[derive(Default)]
struct Node<'a> {
    children: Vec<(&'a str, Node<'a>)>,
    entry: Option<&'a ListedEntry>,
}

impl<'a> Node<'a> {
    /// Entries come in path order, so that a path's folder is the last one made, or new.
    fn insert(&mut self, parts: &[&'a str], entry: &'a ListedEntry) {
        let Some((first, rest)) = parts.split_first() else {
            self.entry = Some(entry);
            return;
        };
        if self.children.last().is_none_or(|(name, _)| name != first) {
            self.children.push((first, Node::default()));
        }
        if let Some((_, child)) = self.children.last_mut() {
            child.insert(rest, entry);
        }
    }
}

pub fn tree(context: &mut Context, args: &Tree) -> Result<Ending> {
    let address = addresses::parse_or_here(context, args.address.as_deref())?;
    let entries = context.watched(|engine| engine.list_entries(&address, true))?;
    if !context.for_people() {
        context.out.document(&json::document(json::Entries { entries: entries.iter().map(Into::into).collect() }));
        return Ok(Ending::Done);
    }
    let base = address.path.as_deref().unwrap_or("").trim_matches('/');
    let mut root = Node::default();
    for entry in &entries {
        let below = match base {
            "" => entry.path.as_str(),
            base => entry.path.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&entry.path),
        };
        root.insert(&below.split('/').collect::<Vec<_>>(), entry);
    }
    let paint = context.paint;
    writeln!(context.out, "{}", paint.bold(ui::clean(args.address.as_deref().unwrap_or("."))));
    draw(context, &root, "", 1, args.depth.unwrap_or(usize::MAX));
    let files = entries.iter().filter(|entry| entry.kind == ListedKind::File);
    let bytes = files.clone().filter_map(|entry| entry.bytes).sum();
    writeln!(context.out, "{}", paint.dim(format!("{}, {}", ui::count(files.count() as u64, "file"), ui::size(bytes))));
    Ok(Ending::Done)
}

fn draw(context: &mut Context, node: &Node<'_>, indent: &str, level: usize, depth: usize) {
    if level > depth {
        return;
    }
    let paint = context.paint;
    for (at, (part, child)) in node.children.iter().enumerate() {
        let is_last = at + 1 == node.children.len();
        let (branch, below) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        let shown = match child.entry {
            None => paint.blue(format!("{}/", ui::clean(part))),
            Some(entry) => {
                let shown = name(paint, entry, part);
                let behind = match (&entry.target, entry.bytes) {
                    (Some(target), _) => format!(" -> {}", ui::clean(target)),
                    (None, Some(bytes)) => paint.dim(format!("  {}", ui::size(bytes))),
                    (None, None) => String::new(),
                };
                format!("{shown}{behind}{}", purged(paint, entry))
            }
        };
        writeln!(context.out, "{}{shown}", paint.dim(format!("{indent}{branch}")));
        draw(context, child, &format!("{indent}{below}"), level + 1, depth);
    }
}

pub fn cat(context: &mut Context, args: &Cat) -> Result<Ending> {
    let address = addresses::parse(context, &args.address)?;
    if context.global.json {
        // What isn't there is said first.
        context.engine()?.stat(&address)?;
        return Err(Error::usage("cat prints a file's bytes, which is no JSON")
            .hint(format!("`dagset stat {} --json` tells about the file", ui::quoted(&args.address))));
    }
    context.engine()?;
    // No progress: it would stand between the lines of the file.
    let Context { engine, out, .. } = context;
    engine.get().expect("made above").cat(&address, out)?;
    Ok(Ending::Done)
}

pub fn stat(context: &mut Context, args: &Stat) -> Result<Ending> {
    let address = addresses::parse(context, &args.address)?;
    let stated = context.watched(|engine| engine.stat(&address))?;
    let entry = &stated.entry;
    if !context.for_people() {
        let below =
            stated.below.map(|(entries, files, bytes)| json!({"entries": entries, "files": files, "bytes": bytes}));
        context.out.document(&json::document(json!({
            "dataset": stated.dataset,
            "version": json::id(&stated.version),
            "path": entry.path,
            "kind": json::kind_name(entry.kind),
            "bytes": entry.bytes,
            "content": entry.content.as_ref().map(json::id),
            "executable": entry.executable,
            "target": entry.target,
            "purged": entry.purged.as_ref().map(super::purged::tombstone),
            "attributes": json::attrs(&stated.attributes),
            "below": below,
        })));
        return Ok(Ending::Done);
    }
    let mut rows = vec![("version", format!("{} {}", stated.dataset, stated.version.short()))];
    let path = if entry.path.is_empty() { "." } else { &entry.path };
    rows.push(("path", path.to_owned()));
    let executable = if entry.executable { ", executable" } else { "" };
    rows.push(("kind", format!("{}{executable}", json::kind_name(entry.kind))));
    rows.extend(entry.bytes.map(|bytes| match bytes {
        0..1000 => ("size", ui::size(bytes)),
        _ => ("size", format!("{} ({} bytes)", ui::size(bytes), ui::number(bytes))),
    }));
    // Whole: it is what `b3sum` prints.
    rows.extend(entry.content.as_ref().map(|content| ("content", content.to_string())));
    rows.extend(entry.target.as_ref().map(|target| ("target", target.clone())));
    rows.extend(
        entry
            .purged
            .as_ref()
            .map(|it| ("purged", format!("by record {} on {}: {}", it.record, ui::moment(it.time), it.reason))),
    );
    rows.extend(
        stated.below.map(|(_, files, bytes)| ("below", format!("{}, {}", ui::count(files, "file"), ui::size(bytes)))),
    );
    rows.extend(stated.attributes.0.iter().map(|(key, value)| ("attribute", format!("{key} = {}", ui::value(value)))));
    let paint = context.paint;
    for (label, text) in rows {
        writeln!(context.out, "{} {}", paint.dim(format!("{label:<9}")), ui::clean(&text));
    }
    Ok(Ending::Done)
}
