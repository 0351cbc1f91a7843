//! `audit`: who did what, when, from where; and whether the log can be believed.

use clap::Args;
use dagset::base::{Result, Time};
use dagset::engine::{Attrs, Audit as Report, LogRecord};
use serde_json::json;

use super::table::{left, print, right};
use super::ui::Paint;
use super::{Context, Ending, addresses, deeds, history, json, ui};

const NOTES: &str = "\
Each record of the log is read, and must be the one whose hash the next names.
A record that was changed or replaced is named, and the exit code is 5.

Examples:
  dagset audit ./store/photos
  dagset audit ./store/photos@1.2.0      one version alone
  dagset audit ./store --since 2026-01-31 --json";

/// Tell who did what, when and from where, and check the log
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Audit {
    /// [STORE/]DATASET[@REF], or a store [default: the workspace's dataset]
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// Nothing older than T, as 2026-01-31; the chain is checked from there
    #[arg(long, value_name = "T")]
    since: Option<String>,
}

pub fn run(context: &mut Context, args: &Audit) -> Result<Ending> {
    let address = addresses::parse_or_here(context, args.address.as_deref())?;
    let since = args.since.as_deref().map(Time::parse).transpose()?;
    let report = context.watched(|engine| engine.audit(&address, since))?;
    match context.for_people() {
        true => show(context, &report),
        false => context.out.document(&json::document(json!({
            "dataset": report.dataset.as_ref().map(ToString::to_string),
            "records": report.records.iter().map(deeds::document).collect::<Vec<_>>(),
            "chain": {
                "from": report.from,
                "to": report.to,
                "holds": report.broken.is_none(),
                "broken": report.broken.as_ref().map(|at| json!({ "record": at.record, "why": at.why })),
            },
        }))),
    }
    Ok(if report.broken.is_some() { Ending::Damaged } else { Ending::Done })
}

/// The column of the CI run.
const CI: usize = 4;

fn show(context: &mut Context, report: &Report) {
    let row = |record: &LogRecord| {
        let text = |key: &str| record.context.0.get(key).map(ui::value).unwrap_or_default();
        let user = match (text("user"), text("host")) {
            (user, host) if host.is_empty() => user,
            (user, host) => format!("{user}@{host}"),
        };
        vec![
            record.number.to_string(),
            ui::moment(record.time),
            history::who(&record.actor).to_owned(),
            user,
            ci_run(&record.context),
            deeds::summary(record),
        ]
    };
    let mut rows: Vec<_> = report.records.iter().map(row).collect();
    let columns = [
        right("RECORD").painted(Paint::yellow),
        left("TIME").painted(Paint::dim),
        left("WHO").flexible(),
        left("FROM").flexible().painted(Paint::dim),
        left("CI").flexible().painted(Paint::dim),
        left("WHAT").flexible(),
    ];
    // A column that would be empty says nothing.
    let has_ci = rows.iter().any(|row| !row[CI].is_empty());
    if !has_ci {
        rows.iter_mut().for_each(|row| drop(row.remove(CI)));
    }
    let kept = columns.into_iter().enumerate().filter(|(at, _)| has_ci || *at != CI);
    let columns: Vec<_> = kept.map(|(_, column)| column).collect();
    let paint = context.paint;
    match rows.is_empty() {
        true => context.say("nothing was done"),
        false => print(&mut context.out, paint, &columns, &rows),
    }
    match &report.broken {
        None if report.from == 1 => context.say(&format!("records 1 to {} hold, each the one before", report.to)),
        None => context.say(&format!("records {} to {} hold; those before were not looked at", report.from, report.to)),
        Some(at) => {
            let text = format!("the log is broken at record {}: {}", at.record, ui::clean(&at.why));
            writeln!(context.out, "{}", paint.red(text));
            context.say("the records above it can't be believed; a copy of the store may have the true one");
        }
    }
}

/// The CI run, as far as it was recorded: project, pipeline, job.
fn ci_run(context: &Attrs) -> String {
    let parts = ["ci_project", "ci_pipeline", "ci_job", "slurm_job"];
    parts.iter().filter_map(|key| context.0.get(*key)).map(ui::value).collect::<Vec<_>>().join(" ")
}
