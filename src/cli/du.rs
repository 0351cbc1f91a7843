//! `du`: what a store or a version takes.

use clap::Args;
use dagset::base::Result;
use serde_json::json;

use super::ui::size;
use super::{Context, Ending, addresses, json, table, ui};

const NOTES: &str = "\
A version's own bytes are what no other version needs. Packs hold things of\nseveral versions, so that collection may free less.\n\n\
Examples:
  dagset du ./store                  what it takes, and what `dagset gc` would free
  dagset du ./store/photos@1.0       what one version takes, and what a get would read";

/// Say what a store or a version takes, and what could be freed
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Du {
    /// A store, or [STORE/]DATASET[@REF] [default: the default store]
    #[arg(value_name = "STORE|ADDRESS")]
    address: Option<String>,
}

pub fn run(context: &mut Context, args: &Du) -> Result<Ending> {
    let text = match &args.address {
        Some(text) => text.clone(),
        None => addresses::store(context, None)?,
    };
    let address = addresses::parse(context, &text)?;
    let is_store = context.engine()?.names_a_store(&address)?;
    if is_store { store(context, &address) } else { version(context, &address) }
}

fn store(context: &mut Context, address: &dagset::engine::Address) -> Result<Ending> {
    let usage = context.watched(|engine| engine.store_usage(address))?;
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "store": usage.store,
            "versions": usage.versions,
            "data_bytes": usage.data_bytes,
            "meta_bytes": usage.meta_bytes,
            "index_bytes": usage.index_bytes,
            "collectable_bytes": usage.collectable_bytes,
        })));
        return Ok(Ending::Done);
    }
    let rows = [
        ("versions", ui::number(usage.versions)),
        ("data", size(usage.data_bytes)),
        ("meta", size(usage.meta_bytes)),
        ("indexes", size(usage.index_bytes)),
        ("collectable", size(usage.collectable_bytes)),
    ];
    card(context, &usage.store, &rows);
    Ok(Ending::Done)
}

fn version(context: &mut Context, address: &dagset::engine::Address) -> Result<Ending> {
    let usage = context.watched(|engine| engine.version_usage(address))?;
    let name = usage.name.as_ref().map(ToString::to_string);
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "dataset": usage.dataset,
            "version": json::id(&usage.version),
            "name": name,
            "files": usage.files,
            "bytes": usage.bytes,
            "stored_bytes": usage.stored_bytes,
            "own_bytes": usage.own_bytes,
            "freed_bytes": usage.freed_bytes,
            "get_bytes": usage.get_bytes,
            "cached_files": usage.cached_files,
            "content_let_go": usage.let_go.map(json::let_go),
        })));
        return Ok(Ending::Done);
    }
    let mut rows = vec![
        ("files", format!("{}, {}", ui::number(usage.files), size(usage.bytes))),
        ("stored", size(usage.stored_bytes)),
        ("its own", size(usage.own_bytes)),
        ("freed", format!("{} if it went", size(usage.freed_bytes))),
        ("get", format!("{} to read, {} cached", size(usage.get_bytes), ui::count(usage.cached_files, "file"))),
    ];
    if let Some(it) = usage.let_go {
        // What it takes is its list of files; there is nothing to get.
        rows.retain(|(label, _)| *label != "get");
        rows.insert(1, ("content", format!("let go by keep rules, record {}, {}", it.record, ui::moment(it.time))));
    }
    card(context, &format!("{}@{}", usage.dataset, name.unwrap_or_else(|| usage.version.short())), &rows);
    Ok(Ending::Done)
}

fn card(context: &mut Context, title: &str, rows: &[(&'static str, String)]) {
    let title = ui::clean(title);
    let rows: Vec<_> = rows.iter().map(|(label, text)| (*label, text.clone(), text.clone())).collect();
    let paint = context.paint;
    table::card(&mut context.out, paint, (&title, &paint.yellow(&title)), &rows);
}
