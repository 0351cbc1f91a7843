//! `store create`, `store info`, `store check`.

use clap::{Args, Subcommand};
use dagset::base::Result;
use dagset::engine::StoreInfo;
use serde_json::json;

use super::{Context, Ending, addresses, check, json, table, ui};

pub const CHECK_NOTES: &str = "\
Writes up to 11 objects of a few bytes, and removes them where deleting is
allowed. That one of many writers won each race is evidence and no proof.
Exits with 0 if all that was tried holds, else by the first step that failed:
6 not reached or refused, 3 no such folder, 5 damaged, 1 anything else, such as
a place where two writers can win.";

/// Create a store, show what one holds, or check the way to it
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Store {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Create an empty store
    Create {
        /// A folder, made if it isn't there, or a bucket's URL, as s3://bucket/data
        #[arg(value_name = "STORE")]
        place: String,
    },
    /// Show a store's format, counts and bytes
    Info {
        /// The store [default: the default store]
        #[arg(value_name = "STORE")]
        place: Option<String>,
    },
    /// Try the steps to a store one by one
    #[command(after_help = CHECK_NOTES)]
    Check {
        /// A store, or where one is to be made [default: the default store]
        #[arg(value_name = "STORE")]
        place: Option<String>,
    },
}

pub fn run(context: &mut Context, args: &Store) -> Result<Ending> {
    let (info, is_new) = match &args.command {
        StoreCommand::Create { place } => {
            let store = addresses::checked_store(place)?;
            (context.watched(|engine| engine.create_store(&store))?, true)
        }
        StoreCommand::Info { place } => {
            let store = addresses::store(context, place.as_deref())?;
            (context.watched(|engine| engine.store_info(&store))?, false)
        }
        StoreCommand::Check { place } => {
            let store = addresses::store(context, place.as_deref())?;
            let found = context.watched(|engine| engine.check_store(&store))?;
            return Ok(check::tell(context, &found, None));
        }
    };
    match (context.for_people(), is_new) {
        (false, _) => context.out.document(&document(&info)),
        (true, true) => created(context, &info),
        (true, false) => show(context, &info),
    }
    Ok(Ending::Done)
}

fn document(info: &StoreInfo) -> impl serde::Serialize + use<> {
    json::document(json!({
        "root": info.root,
        "store": info.store,
        "format": info.format,
        "chunking": info.chunking,
        "created": info.created.to_string(),
        "tool": info.tool,
        "datasets": info.datasets,
        "versions": info.versions,
        "records": info.records,
        "indexes": info.indexes,
        "packs": info.packs,
        "chunks": info.chunks,
        "pack_bytes": info.pack_bytes,
        "meta_bytes": info.meta_bytes,
        "index_bytes": info.index_bytes,
    }))
}

fn created(context: &mut Context, info: &StoreInfo) {
    if context.global.quiet {
        return;
    }
    let paint = context.paint;
    writeln!(context.out, "Created the store {}, format {}", paint.bold(ui::clean(&info.root)), info.format);
    let command =
        format!("dagset ingest FOLDER --into {}/DATASET --create", ui::quoted(info.root.trim_end_matches('/')));
    writeln!(context.out, "{} {}", paint.dim("next:"), paint.cyan(command));
}

fn show(context: &mut Context, info: &StoreInfo) {
    let rows = [
        ("store", info.store.clone()),
        ("created", format!("{}  by {}", ui::moment(info.created), info.tool)),
        ("format", format!("{}, chunking {}", info.format, info.chunking)),
        ("holds", format!("{}, {}", ui::count(info.datasets, "dataset"), ui::count(info.versions, "version"))),
        (
            "data",
            format!(
                "{} in {}, {}",
                ui::size(info.pack_bytes),
                ui::count(info.packs, "pack"),
                ui::count(info.chunks, "chunk")
            ),
        ),
        ("metadata", format!("{}, indexes {}", ui::size(info.meta_bytes), ui::size(info.index_bytes))),
        ("log", ui::count(info.records, "record")),
    ];
    let rows = rows.map(|(label, text)| (label, ui::clean(&text), ui::clean(&text)));
    let root = ui::clean(&info.root);
    let paint = context.paint;
    table::card(&mut context.out, paint, (&root, &paint.bold(&root)), &rows);
}
