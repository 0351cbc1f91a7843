//! `oplog`: the records of a store's log, newest first.

use clap::Args;
use dagset::base::{Error, Result};
use dagset::engine::{Address, LogRecord};
use serde_json::json;

use super::table::{left, print, right};
use super::ui::Paint;
use super::{Context, Ending, addresses, deeds, history, json, table, ui};

const EXAMPLES: &str = "\
Examples:
  dagset oplog                       the log of the workspace's store
  dagset oplog ./store -n 50 --before 300
  dagset oplog ./store/photos        what was done to one dataset
  dagset oplog ./store 12            one record, whole
`dagset undo N` takes back what record N did.";

/// Show what was done in a store, record by record, newest first
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Oplog {
    /// A store or a dataset [default: the workspace's store], and a record's number
    #[arg(value_name = "STORE|DATASET|N", num_args = 0..=2)]
    words: Vec<String>,
    /// At most N records
    #[arg(short = 'n', value_name = "N", default_value_t = 20)]
    most: usize,
    /// Also records that only keep the store's books: packs registered, indexes merged
    #[arg(long)]
    all: bool,
    /// Only records before number N
    #[arg(long, value_name = "N")]
    before: Option<u64>,
}

/// The place and the record's number among words: `[PLACE] [N]`.
pub fn place_and_number(words: &[String]) -> Result<(Option<&str>, Option<u64>)> {
    let number = |word: &String| word.parse::<u64>().ok();
    match words {
        [] => Ok((None, None)),
        [one] => Ok(number(one).map_or((Some(one), None), |number| (None, Some(number)))),
        [place, last, ..] => number(last).map(|number| (Some(place.as_str()), Some(number))).ok_or_else(|| {
            Error::usage(format!("not the number of a record: {last:?}")).hint("`dagset oplog` shows the numbers")
        }),
    }
}

/// A store or dataset as it is typed; a store alone where none is given.
fn place(context: &Context, text: Option<&str>) -> Result<Address> {
    let store = || addresses::store(context, None);
    let text = text.map_or_else(store, |text| Ok(text.to_owned()))?;
    addresses::parse(context, &text)
}

pub fn run(context: &mut Context, args: &Oplog) -> Result<Ending> {
    let (text, number) = place_and_number(&args.words)?;
    let place = place(context, text)?;
    if let Some(number) = number {
        let record = context.watched(|engine| engine.oplog_record(&place, number))?;
        show(context, &record);
        return Ok(Ending::Done);
    }
    let page = context.watched(|engine| engine.oplog(&place, args.before, args.most, args.all))?;
    if !context.for_people() {
        let records: Vec<_> = page.records.iter().map(deeds::document).collect();
        context
            .out
            .document(&json::document(json!({ "records": records, "hidden": page.hidden, "before": page.before })));
        return Ok(Ending::Done);
    }
    if page.records.is_empty() {
        context.say("no records");
    }
    lines(context, &page.records);
    if page.hidden > 0 {
        let records = ui::count(page.hidden, "record");
        context.say(&format!("left out: {records} of bookkeeping (--all shows them)"));
    }
    if let Some(before) = page.before {
        context.say(&format!("older ones: --before {before}"));
    }
    Ok(Ending::Done)
}

/// A line for each record.
pub fn lines(context: &mut Context, records: &[LogRecord]) {
    let row = |record: &LogRecord| {
        let host = record.context.0.get("host").map(ui::value).unwrap_or_default();
        vec![
            record.number.to_string(),
            ui::moment(record.time),
            history::who(&record.actor).to_owned(),
            host,
            deeds::summary(record),
        ]
    };
    let rows: Vec<_> = records.iter().map(row).collect();
    let columns = [
        right("RECORD").painted(Paint::yellow),
        left("TIME").painted(Paint::dim),
        left("WHO").flexible(),
        left("HOST").flexible().spare().painted(Paint::dim),
        left("WHAT").at_least(40),
    ];
    let paint = context.paint;
    if !rows.is_empty() {
        print(&mut context.out, paint, &columns, &rows);
    }
}

fn show(context: &mut Context, record: &LogRecord) {
    if !context.for_people() {
        context.out.document(&json::document(deeds::document(record)));
        return;
    }
    let paint = context.paint;
    let title = format!("record {}", record.number);
    let mut rows = vec![("author", record.actor.clone()), ("time", ui::moment(record.time))];
    rows.extend(record.undoes.map(|number| ("undoes", format!("record {number}"))));
    let rows: Vec<_> = rows.into_iter().map(|(label, text)| (label, ui::clean(&text), ui::clean(&text))).collect();
    table::card(&mut context.out, paint, (&title, &paint.yellow(&title)), &rows);
    record.deeds.iter().for_each(|deed| writeln!(context.out, "  {}", deeds::line(deed)));
    history::section(context, "context", &record.context);
}
