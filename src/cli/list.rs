//! `list`: the datasets of a store.

use std::fmt::Display;

use clap::{Args, ValueEnum};
use dagset::base::{Error, Id, Result, Time};
use dagset::engine::{DatasetCard, DatasetSort, Filter, ListOptions, ListedTag};

use super::settings::parse_duration;
use super::table::{BETWEEN, left, print, right};
use super::ui::Paint;
use super::{Context, Ending, addresses, json, ui};

const NOTES: &str = "\
A CONDITION compares dataset, name, author, time, versions, files, bytes and
meta.KEY by = != < <= > >=, joined by and, or, not and parentheses. All but the
dataset and versions are of the newest version; metadata is the dataset's, else
that version's.

Examples:
  dagset list ./store --match 'vision/*' --tag prod
  dagset list ./store --where 'meta.task = \"detection\" and files > 1000'
  dagset list ./store --updated-since 7d --sort bytes";

/// List the datasets of a store
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct List {
    /// The store [default: the default store]
    #[arg(value_name = "STORE")]
    place: Option<String>,
    /// Only names like this; repeatable
    #[arg(long = "match", value_name = "GLOB")]
    patterns: Vec<String>,
    /// Only what has this tag; repeatable
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only what this holds of
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Only what changed since: 2026-01-31, a time, 12h, 7d
    #[arg(long, value_name = "WHEN")]
    updated_since: Option<String>,
    /// By name, updated, versions, files, bytes, stored [default: updated]
    #[arg(long, value_name = "KEY", hide_possible_values = true)]
    sort: Option<SortKey>,
    /// In the contrary order
    #[arg(long)]
    reverse: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SortKey {
    Name,
    Updated,
    Versions,
    Files,
    Bytes,
    Stored,
}

impl From<SortKey> for DatasetSort {
    fn from(key: SortKey) -> DatasetSort {
        match key {
            SortKey::Name => DatasetSort::Name,
            SortKey::Updated => DatasetSort::Updated,
            SortKey::Versions => DatasetSort::Versions,
            SortKey::Files => DatasetSort::Files,
            SortKey::Bytes => DatasetSort::Bytes,
            SortKey::Stored => DatasetSort::Stored,
        }
    }
}

/// A time, or how long ago it was.
fn since(text: &str) -> Result<Time> {
    let ago = |ago: std::time::Duration| {
        let millis = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        Time(Time::now().0.saturating_sub(millis))
    };
    parse_duration(text).map(ago).or_else(|_| Time::parse(text)).map_err(|_| {
        Error::usage(format!("neither a time nor how long ago: {text:?}"))
            .hint("write 2026-01-31, 2026-01-31T12:00:00Z, 12h or 7d")
    })
}

pub fn run(context: &mut Context, args: &List) -> Result<Ending> {
    let options = ListOptions {
        patterns: args.patterns.clone(),
        tags: args.tags.clone(),
        filter: args.condition.as_deref().map(Filter::parse).transpose()?,
        updated_since: args.updated_since.as_deref().map(since).transpose()?,
        sort: args.sort.map(DatasetSort::from).unwrap_or_default(),
        reverse: args.reverse,
    };
    let store = addresses::store(context, args.place.as_deref())?;
    let cards = context.watched(|engine| engine.list_datasets(&store, &options))?;
    if !context.for_people() {
        let datasets = cards.iter().map(json::Dataset::from).collect();
        context.out.document(&json::document(json::Datasets { datasets }));
        return Ok(Ending::Done);
    }
    if cards.is_empty() {
        let is_all = args.patterns.is_empty()
            && args.tags.is_empty()
            && args.condition.is_none()
            && args.updated_since.is_none();
        context.say(&format!("no {}datasets in {}", if is_all { "" } else { "such " }, ui::clean(&store)));
        return Ok(Ending::Done);
    }
    table(context, &cards, &args.tags);
    Ok(Ending::Done)
}

/// `name (mark, mark)`.
fn marked<const N: usize>(name: impl Display, marks: [Option<&str>; N]) -> String {
    let marks: Vec<&str> = marks.into_iter().flatten().collect();
    if marks.is_empty() { name.to_string() } else { format!("{name} ({})", marks.join("; ")) }
}

/// Tags that were asked for stand first: those behind are left out where there is no room.
fn table(context: &mut Context, cards: &[DatasetCard], asked: &[String]) {
    let columns = [
        left("DATASET").flexible().painted(Paint::bold),
        left("NEWEST").flexible().painted(Paint::green),
        left("UPDATED"),
        right("VERSIONS").spare(),
        right("FILES").spare(),
        right("SIZE"),
        right("STORED").spare(),
        left("PUBLISHED").flexible().painted(Paint::green),
        left("TAGS").list().painted(Paint::cyan),
    ];
    // A column that would be empty says nothing.
    let has_published = cards.iter().any(|card| card.published.is_some());
    let has_tags = cards.iter().any(|card| !card.tags.is_empty());
    let row = |card: &DatasetCard| {
        let called = |version: &Id| card.name.as_ref().map_or_else(|| version.short(), ToString::to_string);
        let newest = card.version.as_ref().map(|id| marked(called(id), [card.let_go.map(|_| ui::LET_GO)]));
        let published = card.published.as_ref().map(|it| {
            let shown = it.name.as_ref().map_or_else(|| it.version.short(), ToString::to_string);
            marked(shown, [it.let_go.map(|_| ui::LET_GO)])
        });
        let tag =
            |it: &ListedTag| marked(&it.tag, [it.protected.then_some("protected"), it.let_go.map(|_| ui::LET_GO)]);
        let mut cells = vec![
            card.dataset.clone(),
            newest.unwrap_or_else(|| "-".to_owned()),
            ui::moment(card.updated),
            ui::number(card.versions),
            ui::number(card.files),
            ui::size(card.bytes),
            ui::size(card.stored_bytes),
        ];
        cells.extend(has_published.then(|| published.unwrap_or_default()));
        let mut tags: Vec<&ListedTag> = card.tags.iter().collect();
        tags.sort_by_key(|it| !asked.iter().any(|asked| *asked == it.tag.to_string()));
        cells.extend(has_tags.then(|| tags.into_iter().map(tag).collect::<Vec<_>>().join(BETWEEN)));
        cells
    };
    let rows: Vec<_> = cards.iter().map(row).collect();
    let kept = columns.into_iter().enumerate().filter(|(at, _)| match at {
        7 => has_published,
        8 => has_tags,
        _ => true,
    });
    let columns: Vec<_> = kept.map(|(_, column)| column).collect();
    let paint = context.paint;
    print(&mut context.out, paint, &columns, &rows);
}
