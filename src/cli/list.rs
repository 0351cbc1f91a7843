//! `list`: the datasets of a store.

use clap::Args;
use dagset::base::Result;

use super::table::{left, print, right};
use super::ui::Paint;
use super::{Context, Ending, addresses, json, ui};

/// List the datasets of a store
#[derive(Args)]
pub struct List {
    /// The store [default: the default store]
    #[arg(value_name = "STORE")]
    place: Option<String>,
}

pub fn run(context: &mut Context, args: &List) -> Result<Ending> {
    let store = addresses::store(context, args.place.as_deref())?;
    let mut cards = context.watched(|engine| engine.list_datasets(&store))?;
    cards.sort_by(|a, b| b.updated.cmp(&a.updated).then_with(|| a.dataset.cmp(&b.dataset)));
    if !context.for_people() {
        let datasets = cards.iter().map(json::Dataset::from).collect();
        context.out.document(&json::document(json::Datasets { datasets }));
        return Ok(Ending::Done);
    }
    if cards.is_empty() {
        context.say(&format!("no datasets in {}", ui::clean(&store)));
        return Ok(Ending::Done);
    }
    let columns = [
        left("DATASET").flexible().painted(Paint::bold),
        left("NEWEST").flexible().painted(Paint::green),
        left("UPDATED"),
        right("VERSIONS"),
        right("FILES"),
        right("SIZE"),
        right("STORED"),
    ];
    let row = |card: &dagset::engine::DatasetCard| {
        let newest = card.name.as_ref().map(ToString::to_string).or(card.version.as_ref().map(dagset::base::Id::short));
        vec![
            card.dataset.clone(),
            newest.unwrap_or_else(|| "-".to_owned()),
            ui::moment(card.updated),
            ui::number(card.versions),
            ui::number(card.files),
            ui::size(card.bytes),
            ui::size(card.stored_bytes),
        ]
    };
    let rows: Vec<_> = cards.iter().map(row).collect();
    let paint = context.paint;
    print(&mut context.out, paint, &columns, &rows);
    Ok(Ending::Done)
}
