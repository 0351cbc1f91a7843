//! `cache`: what is kept on this machine, and why.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dagset::base::{Error, Result, Time};
use dagset::engine::{CacheCard, CacheList, Hold, Limits, Sharing};
use serde_json::json;

use super::settings::{group, group_name, parse_duration, parse_lasting, parse_size};
use super::table::{left, print_within, right};
use super::ui::Paint;
use super::{Context, Ending, json, ui};

/// Of names of holds and views, as of ids; so much is enough for `unpin`.
const SHOWN_NAME: usize = 12;

const NOTES: &str = "\
Which cache: --cache, else DAGSET_CACHE, else `cache` of the configuration, else
one of your own. Several may be named, with commas: the first that may be
written into is filled, and all are read. docs/cache.md tells more.";

/// Show and look after the cache of files on this machine
#[derive(Args)]
#[command(after_help = NOTES, arg_required_else_help = true)]
pub struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Subcommand)]
enum CacheCommand {
    /// Show where the caches are, and how full
    Info,
    /// List what keeps files from being removed: pins, jobs, views
    List,
    /// Remove what was not used for long, or more
    Prune(Prune),
    /// Read every file, and put aside what isn't what it should be
    Verify,
    /// Keep a version; what is missing is fetched
    Pin {
        /// [STORE/]DATASET[@REF][:PATH]
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// For how long: 12h, 7d [default: for ever]
        #[arg(long, value_name = "DURATION", value_parser = parse_lasting)]
        r#for: Option<std::time::Duration>,
    },
    /// Let go what a pin or a job holds
    Unpin {
        /// As `cache list` shows it, or job:NAME
        #[arg(value_name = "NAME|ADDRESS")]
        name: String,
    },
    /// Make a cache, or change its limits
    Init(Init),
}

#[derive(Args)]
struct Prune {
    /// What wasn't used for this long: 12h, 7d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    unused: Option<std::time::Duration>,
    /// Until at most this is left: 500G
    #[arg(long, value_name = "SIZE", value_parser = parse_prune_size)]
    to: Option<u64>,
    /// Remove nothing, say what would go
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Args)]
struct Init {
    /// Where
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Share it with the members of a group
    #[arg(long, value_name = "GROUP")]
    shared: Option<String>,
    /// Bytes that it may hold: 500G [default: half of the disk]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max: Option<u64>,
    /// What of the disk stays free [default: 10]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..100))]
    keep_free: Option<u8>,
}

fn parse_prune_size(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { parse_size(text) }
}

pub fn run(context: &mut Context, args: CacheArgs) -> Result<Ending> {
    match args.command {
        CacheCommand::Info => {
            let cards = context.watched(|engine| engine.cache_info())?;
            tell_info(context, &cards);
        }
        CacheCommand::List => {
            let list = context.watched(|engine| engine.cache_list())?;
            tell_list(context, &list);
        }
        CacheCommand::Prune(args) => return prune(context, &args),
        CacheCommand::Verify => return verify(context),
        CacheCommand::Pin { address, r#for } => {
            let address = super::addresses::parse(context, &address)?;
            let report = context.watched(|engine| engine.pin(address, r#for))?;
            let pin = report.pin.unwrap_or_default();
            match context.for_people() {
                true => context.say(&format!("pinned as {pin}: {}", ui::size(report.bytes))),
                false => {
                    context.out.document(&json::document(json!({ "pin": pin, "version": json::id(&report.version) })))
                }
            }
        }
        CacheCommand::Unpin { name } => {
            let count = context.watched(|engine| engine.unpin(&name))?;
            match context.for_people() {
                true => context.say(&format!("released {}", ui::count(count, "hold"))),
                false => context.out.document(&json::document(json!({ "released": count }))),
            }
        }
        CacheCommand::Init(args) => init(context, args)?,
    }
    Ok(Ending::Done)
}

fn init(context: &mut Context, args: Init) -> Result<()> {
    let sharing = args.shared.as_deref().map(|name| group(name).map(Sharing::Group)).transpose()?;
    let mut card = context.engine()?.init_cache(&args.folder, None, sharing)?;
    if args.max.is_some() || args.keep_free.is_some() {
        let limits = Limits {
            max_bytes: args.max.unwrap_or(card.limits.max_bytes),
            keep_free_percent: args.keep_free.unwrap_or(card.limits.keep_free_percent),
        };
        card = context.engine()?.init_cache(&args.folder, Some(limits), sharing)?;
    }
    tell_info(context, &[card]);
    Ok(())
}

fn prune(context: &mut Context, args: &Prune) -> Result<Ending> {
    if args.unused.is_none() && args.to.is_none() {
        return Err(Error::usage("prune what?")
            .hint("`dagset cache prune --unused 30d`, or `--to 500G`; `--to 0` removes all that nothing keeps"));
    }
    let days = args.unused.map(|unused| unused.as_secs() / 86_400);
    let (folder, pruned) = context.watched(|engine| engine.prune_cache(days, args.to, args.dry_run))?;
    if context.for_people() {
        let (files, bytes) = (ui::count(pruned.files, "file"), ui::size(pruned.bytes));
        let verb = if args.dry_run { "would remove" } else { "removed" };
        let views = ui::count(pruned.views, "view");
        context.say(&format!("{verb} {files}, {bytes}, and {views} from {}", folder.display()));
    } else {
        context.out.document(&json::document(json!({
            "cache": folder, "files": pruned.files, "bytes": pruned.bytes, "views": pruned.views,
            "dry_run": args.dry_run,
        })));
    }
    Ok(Ending::Done)
}

fn verify(context: &mut Context) -> Result<Ending> {
    let found = context.watched(|engine| engine.verify_cache())?;
    if context.for_people() {
        for id in &found.damaged {
            writeln!(context.out, "damaged {id}, put into quarantine");
        }
        let what = format!("{}, {}", ui::count(found.files, "file"), ui::size(found.bytes));
        context.say(&format!("read {what} of {}: {} damaged", found.folder.display(), found.damaged.len()));
    } else {
        let damaged: Vec<_> = found.damaged.iter().map(json::id).collect();
        context.out.document(&json::document(json!({
            "cache": found.folder, "files": found.files, "bytes": found.bytes, "damaged": damaged,
        })));
    }
    Ok(if found.damaged.is_empty() { Ending::Done } else { Ending::Damaged })
}

fn tell_info(context: &mut Context, cards: &[CacheCard]) {
    if !context.for_people() {
        let caches: Vec<_> = cards.iter().map(card_document).collect();
        context.out.document(&json::document(json!({ "caches": caches })));
        return;
    }
    for card in cards {
        let paint = context.paint;
        let role = match (card.is_filled, card.is_writable) {
            (true, _) => "filled",
            (false, true) => "read",
            (false, false) => "read-only",
        };
        let sharing = match card.sharing {
            Sharing::Private => "one user's".to_owned(),
            Sharing::Group(group) => format!("shared by group {}", group_name(group)),
        };
        let contents = card.contents;
        writeln!(context.out, "{} ({role}, {sharing})", paint.bold(ui::clean(&card.folder.display().to_string())));
        let most = card.limits.max_bytes;
        let percent = ui::percent(contents.bytes, most);
        let files = ui::count(contents.files, "file");
        writeln!(
            context.out,
            "  holds  {} in {files}, {percent} of at most {}",
            ui::size(contents.bytes),
            ui::size(most)
        );
        let kept = format!("{} in {}", ui::size(contents.kept_bytes), ui::count(contents.kept_files, "file"));
        writeln!(context.out, "  kept   {kept}, by pins, jobs and views");
        let floor = format!("{} ({}%) must stay so", ui::size(card.space.floor), card.limits.keep_free_percent);
        writeln!(context.out, "  disk   {} free; {floor}", ui::size(card.space.free));
    }
}

fn card_document(card: &CacheCard) -> serde_json::Value {
    let group = match card.sharing {
        Sharing::Private => None,
        Sharing::Group(group) => Some(group),
    };
    json!({
        "folder": card.folder,
        "filled": card.is_filled,
        "writable": card.is_writable,
        "group": group,
        "group_name": group.map(group_name),
        "max_bytes": card.limits.max_bytes,
        "keep_free_percent": card.limits.keep_free_percent,
        "files": card.contents.files,
        "bytes": card.contents.bytes,
        "kept_files": card.contents.kept_files,
        "kept_bytes": card.contents.kept_bytes,
        "disk_free_bytes": card.space.free,
        "keep_free_bytes": card.space.floor,
    })
}

fn tell_list(context: &mut Context, list: &CacheList) {
    if !context.for_people() {
        let holds: Vec<_> = list
            .holds
            .iter()
            .map(|named| {
                json!({
                    "name": named.name,
                    "kind": if named.hold.is_pin { "pin" } else { "lease" },
                    "address": named.hold.address,
                    "version": named.hold.version,
                    "files": named.hold.files,
                    "bytes": named.hold.bytes,
                    "host": named.hold.host,
                    "process": named.hold.process.map(|(number, _)| number),
                    "job": named.hold.job,
                    "link": named.hold.link,
                    "made": Time(named.hold.made).to_string(),
                    "ends": named.hold.ends.map(|ends| Time(ends).to_string()),
                })
            })
            .collect();
        let views: Vec<_> = list
            .views
            .iter()
            .map(|view| {
                json!({
                    "name": view.key,
                    "address": view.card.address,
                    "version": view.card.version,
                    "files": view.card.files,
                    "bytes": view.card.bytes,
                    "used": Time((view.used * 1000) as i64).to_string(),
                })
            })
            .collect();
        let unread: Vec<_> =
            list.unread.iter().map(|hold| json!({ "name": hold.name, "ends": Time(hold.ends).to_string() })).collect();
        context.out.document(&json::document(
            json!({ "cache": list.folder, "holds": holds, "unread": unread, "views": views }),
        ));
        return;
    }
    let table = [
        left("NAME").painted(Paint::yellow),
        left("KIND"),
        left("VERSION").flexible(),
        right("SIZE"),
        left("KEPT").flexible(),
    ];
    let mut rows: Vec<Vec<String>> = list
        .holds
        .iter()
        .map(|named| {
            vec![
                shown(&named.name),
                if named.hold.is_pin { "pin" } else { "lease" }.to_owned(),
                named.hold.address.clone(),
                ui::size(named.hold.bytes),
                kept(&named.hold, &list.host),
            ]
        })
        .collect();
    rows.extend(list.unread.iter().map(|hold| {
        let unknown = || "?".to_owned();
        let kept = format!("until {}", ui::moment(Time(hold.ends)));
        vec![hold.name.clone(), "unread".to_owned(), unknown(), unknown(), kept]
    }));
    rows.extend(list.views.iter().map(|view| {
        vec![
            shown(&view.key),
            "view".to_owned(),
            view.card.address.clone(),
            ui::size(view.card.bytes),
            format!("used {}", ui::moment(Time((view.used * 1000) as i64))),
        ]
    }));
    match rows.is_empty() {
        true => context.say(&format!("nothing is pinned or used in {}", list.folder.display())),
        // Addresses and paths may be of any length; who wants them whole takes --json.
        false => print_within(&mut context.out, context.paint, &table, &rows, Some(ui::columns_or_usual())),
    }
}

fn shown(name: &str) -> String {
    name.chars().take(SHOWN_NAME).collect()
}

/// How long a hold keeps what it names; of another machine than `host`, which people know they are on, it is said which.
fn kept(hold: &Hold, host: &str) -> String {
    let place = if hold.host == host { String::new() } else { format!(" on {}", hold.host) };
    match (&hold.process, &hold.job, &hold.link, hold.ends) {
        (Some((number, _)), ..) => format!("while process {number}{place} runs"),
        (_, Some(job), _, Some(ends)) => format!("until {}, for job {job}", ui::moment(Time(ends))),
        (_, _, Some(link), _) => format!("while {}{place} is there", link.display()),
        (_, _, _, Some(ends)) => format!("until {}", ui::moment(Time(ends))),
        (_, _, _, None) => "until unpinned".to_owned(),
    }
}
