//! `get`: a version becomes a folder.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dagset::base::{Error, Result};
use dagset::engine::{Address, Engine, GetOptions, GetReport, HoldBy, LinkCounts, LinkMode};
use serde_json::json;

use super::settings::with_hint;
use super::{Context, Ending, addresses, json, purged, ui};

const EXAMPLES: &str = "\
ADDRESS:sub/ puts sub's content straight into DIR. Each file is verified before
it appears. When cut off, the same command goes on where it stopped.

Examples:
  dagset get ./store/photos@1.0 ./photos
  dagset get ./store/photos:train/ ./train
  dagset get ./store/photos ./some labels.csv 'train/**/*.png'
  dagset get --locked                  each pin of dagset.lock into its folder
  dagset get --locked photos ./photos";

/// Write a version, or a part of it, into a folder
#[derive(Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Get {
    /// [STORE/]DATASET[@REF][:PATH]
    #[arg(value_name = "ADDRESS", required_unless_present = "locked")]
    address: Option<String>,
    /// Where to; made if it isn't there, refused if it isn't empty
    #[arg(value_name = "DIR", required_unless_present = "locked")]
    folder: Option<PathBuf>,
    /// Only these: paths, with all below, or globs [default: all]
    #[arg(value_name = "PATH|GLOB")]
    patterns: Vec<String>,
    #[command(flatten)]
    locked: super::lock::Locked,
    /// Replace files that are there and differ
    #[arg(long)]
    overwrite: bool,
    /// Also remove what the version doesn't have
    #[arg(long)]
    delete: bool,
    /// How files come from the cache: auto (reflinks, else copies), reflink,
    /// hardlink, symlink, copy, or view: DIR is one link to a shared tree
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    link: Option<LinkArg>,
    #[command(flatten)]
    part: super::part::Part,
    /// Files that may be written: copies or reflinks
    #[arg(long)]
    writable: bool,
    /// Leave the cache out
    #[arg(long, conflicts_with = "link")]
    no_cache: bool,
    /// Who reads through links: a process, or job:NAME [default: while DIR is there]
    #[arg(long, value_name = "PID|job:NAME", value_parser = parse_hold)]
    hold: Option<HoldBy>,
    /// Record that run ID uses it [default: the job's that this is part of]
    #[arg(long, value_name = "ID")]
    run: Option<String>,
}

/// How files come from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LinkArg {
    Auto,
    Reflink,
    Hardlink,
    Symlink,
    Copy,
    View,
}

impl LinkArg {
    pub fn mode(self) -> LinkMode {
        match self {
            LinkArg::Auto => LinkMode::Auto,
            LinkArg::Reflink => LinkMode::Reflink,
            LinkArg::Hardlink => LinkMode::Hardlink,
            LinkArg::Symlink => LinkMode::Symlink,
            LinkArg::Copy => LinkMode::Copy,
            LinkArg::View => LinkMode::View,
        }
    }
}

pub fn parse_hold(text: &str) -> Result<HoldBy, String> {
    HoldBy::parse(text).map_err(with_hint)
}

pub fn run(context: &mut Context, args: Get) -> Result<Ending> {
    let shares = matches!(args.link, Some(LinkArg::Hardlink | LinkArg::Symlink | LinkArg::View));
    if args.writable && shares {
        return Err(Error::usage("--writable can't be had with links to the cached files, which all jobs read")
            .hint("leave --link out, or give --link reflink or copy"));
    }
    let is_locked = args.locked.file().is_some();
    let wanted = wanted(context, &args)?;
    let options = GetOptions {
        patterns: if is_locked { Vec::new() } else { args.patterns },
        share: args.part.share(),
        overwrite: args.overwrite,
        delete: args.delete,
        link: args.link.map(LinkArg::mode),
        no_cache: args.no_cache,
        hold: args.hold,
        run: context.run(args.run.as_deref())?,
        folder: PathBuf::new(),
    };
    let get_one = |engine: &Engine, (address, folder): &(Address, PathBuf)| {
        engine.get(address, &GetOptions { folder: folder.clone(), ..options.clone() })
    };
    let reports: Vec<GetReport> = context.watched(|engine| match is_locked {
        true => engine.get_each(&wanted, &options),
        false => wanted.iter().map(|wanted| get_one(engine, wanted)).collect(),
    })?;
    if context.for_people() {
        if !context.global.quiet {
            reports.iter().try_for_each(|report| tell(context, report, options.hold.as_ref()))?;
        }
        reports.iter().for_each(|report| purged::tell(context, &report.purged));
    } else if let ([report], false) = (&reports[..], is_locked) {
        context.out.document(&json::document(document(report)));
    } else {
        let all: Vec<_> = reports.iter().map(document).collect();
        context.out.document(&json::document(json!({ "datasets": all })));
    }
    Ok(purged::ending(reports.iter().map(|report| &report.purged)))
}

/// What is got into which folder. With `--locked` the words are names of pins, each of which gets a folder of its
/// name; the last word may be where to, if it begins as a path: of one name it is that one's folder.
fn wanted(context: &Context, args: &Get) -> Result<Vec<(Address, PathBuf)>> {
    let Some(file) = args.locked.file() else {
        let (address, folder) = (args.address.as_deref().unwrap_or_default(), args.folder.clone().unwrap_or_default());
        return Ok(vec![(addresses::parse(context, address)?, folder)]);
    };
    let folder = args.folder.as_ref().map(|folder| folder.to_string_lossy().into_owned());
    let mut names: Vec<String> = args.address.iter().cloned().chain(folder).chain(args.patterns.clone()).collect();
    let into = names.pop_if(|last| addresses::checked_store(last).is_ok()).map(PathBuf::from);
    let engine = context.engine()?;
    let pins = engine.locked(file, &names).map_err(|fault| match names.split_last() {
        Some((last, pins @ [_, ..])) if engine.locked(file, pins).is_ok() => {
            fault.hint(format!("to write into a folder of that name, say so by ./{}", ui::clean(last)))
        }
        _ => fault,
    })?;
    let folder_of = |name: &str| match &into {
        Some(into) if names.len() == 1 => into.clone(),
        Some(into) => into.join(name),
        None => PathBuf::from(name),
    };
    Ok(pins.into_iter().map(|(name, address)| (address, folder_of(&name))).collect())
}

fn document(report: &GetReport) -> serde_json::Value {
    json!({
        "dataset": report.dataset,
        "version": json::id(&report.version),
        "folder": report.folder,
        "files": report.files,
        "bytes": report.bytes,
        "deleted": report.deleted,
        "resumed": report.resumed,
        "links": report.links.map(|links| json!({
            "reflinks": links.reflinks,
            "hardlinks": links.hardlinks,
            "symlinks": links.symlinks,
            "copies": links.copies,
        })),
        "made_room": json::pruned(&report.removed),
        "view": report.view,
        "lease": report.lease,
        "purged": purged::document(&report.purged),
    })
}

fn tell(context: &mut Context, report: &GetReport, hold: Option<&HoldBy>) -> Result<()> {
    let paint = context.paint;
    let folder = ui::clean(&addresses::shown_path(&context.folder()?, &report.folder));
    let what = format!("{}, {}", ui::count(report.files, "file"), ui::size(report.bytes));
    let resumed = if report.resumed { " (went on where it was cut off)" } else { "" };
    writeln!(
        context.out,
        "{} {} in {}: {what}{resumed}",
        paint.bold(&report.dataset),
        paint.yellow(report.version.short()),
        paint.bold(folder)
    );
    if let Some(links) = report.links {
        tell_copies(context, &links);
    }
    match hold {
        Some(HoldBy::Process(number)) => writeln!(context.out, "held while process {number} runs"),
        Some(HoldBy::Job(name)) => {
            writeln!(context.out, "held for job {name}, for a day (`dagset cache unpin job:{name}`)");
        }
        None => {}
    }
    for path in &report.deleted {
        writeln!(context.out, "{} {}", paint.dim("deleted"), ui::clean(path));
    }
    Ok(())
}

/// What is other than was asked for.
fn tell_copies(context: &mut Context, links: &LinkCounts) {
    let copied = |count, why: &str| format!("{} copied instead of linked: {why}", ui::count(count, "file"));
    if links.of_another > 0 {
        let why = "another user cached them, and fs.protected_hardlinks keeps links to those off";
        context.say(&copied(links.of_another, why));
    }
    if links.too_many_links > 0 {
        context.say(&copied(links.too_many_links, "a file has as many links as the file system allows"));
    }
}
