//! `use` and `uses`: which run used which version, recorded and asked for.

use clap::Args;
use dagset::base::{Error, Kind, Result};
use dagset::engine::{UseCard, UseOptions, UsesOptions, UsesReport, parse_metadata};
use serde_json::json;

use super::table::{left, print};
use super::ui::Paint;
use super::{Context, Ending, addresses, json, run_id, ui};

const USE_NOTES: &str = "\
`get`, `warm` and `run` record it by themselves with --run ID, and in a job whose
environment names a run of MLflow, W&B, ClearML, Slurm, GitLab or GitHub (not
with DAGSET_RECORD_USES=0). The same twice is recorded once.

Examples:
  dagset use ./store/photos@1.0 --run train-17
  dagset use ./store/photos@1.0 --run train-17 --model resnet:3 --meta acc=0.93";

const USES_NOTES: &str = "\
With --run or --model an ADDRESS without @REF means all versions of its dataset,
and a STORE alone all of its datasets. `--run auto` is the run of the environment.

Examples:
  dagset uses ./store/photos@1.0
  dagset uses --model resnet:3 ./store/photos
  dagset uses --run train-17 ./store --json";

/// Record that a run, or the model it made, used a version
#[derive(Args)]
#[command(after_help = USE_NOTES, arg_required_else_help = true)]
pub struct Use {
    /// [STORE/]DATASET[@REF][:PATH]
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// What the run is called
    #[arg(long, value_name = "ID", required = true)]
    run: String,
    /// The model that came of it
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Add metadata; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
}

/// List the runs that used a version, or what a run used
#[derive(Args)]
#[command(after_help = USES_NOTES)]
pub struct Uses {
    /// [STORE/]DATASET[@REF], or a REF in a workspace [default: the workspace's]
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// Only by this run
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Only of this model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Of all versions of the dataset
    #[arg(long)]
    all: bool,
    /// At most N, the newest
    #[arg(short = 'n', value_name = "N", default_value_t = 100)]
    most: usize,
}

pub fn record(context: &mut Context, args: &Use) -> Result<Ending> {
    let (address, run) = (addresses::parse(context, &args.address)?, run_id::meant(&args.run)?);
    let options = UseOptions { model: args.model.clone(), meta: parse_metadata(&args.meta)? };
    let report = context.watched(|engine| engine.record_use(&address, &run, &options))?;
    let card = &report.card;
    if !context.for_people() {
        let document = json::Recorded { is_new: report.is_new, used: json::Used::from(card) };
        context.out.document(&json::document(document));
    } else if !context.global.quiet {
        let paint = context.paint;
        let made = card.model.as_ref().map(|model| format!(", made model {}", paint.bold(ui::clean(model))));
        let again = if report.is_new { "" } else { " (recorded before)" };
        let run = paint.bold(ui::clean(&card.run.id));
        writeln!(context.out, "run {run} used {}{}{again}", version(paint, card), made.unwrap_or_default());
    }
    Ok(Ending::Done)
}

fn version(paint: Paint, card: &UseCard) -> String {
    let name = card.name.as_ref().map(|name| format!("{} ", paint.green(name.as_str()))).unwrap_or_default();
    format!("{} {name}{}", paint.bold(&card.dataset), paint.yellow(card.version.short()))
}

pub fn list(context: &mut Context, args: Uses) -> Result<Ending> {
    let address = addresses::parse_or_here(context, args.address.as_deref())?;
    let run = args.run.as_deref().map(run_id::meant).transpose()?.map(|run| run.id);
    let nothing = nothing_recorded(&args, run.as_deref());
    let options = UsesOptions { run, model: args.model, all: args.all, most: args.most };
    let report = context.watched(|engine| engine.uses(&address, &options))?;
    if !context.for_people() {
        let uses: Vec<_> = report.uses.iter().map(json::Used::from).collect();
        let damaged: Vec<String> = report.damaged.iter().map(Error::in_one_line).collect();
        let document = json!({ "uses": uses, "left_out": report.left_out, "damaged": damaged });
        context.out.document(&json::document(document));
        return without(report.damaged, true);
    }
    match report.uses.is_empty() {
        true if report.damaged.is_empty() => context.say(&nothing),
        true => {}
        false => show(context, &report),
    }
    without(report.damaged, false)
}

/// What is said where there is no such use, and what to ask next.
fn nothing_recorded(args: &Uses, run: Option<&str>) -> String {
    let place = args.address.as_ref().map(|place| format!(" {}", ui::quoted(place))).unwrap_or_default();
    let by = run.map(|run| format!(" by run {}", ui::clean(run))).unwrap_or_default();
    let of = args.model.as_ref().map(|model| format!(" for model {}", ui::clean(model))).unwrap_or_default();
    match (by.is_empty() && of.is_empty(), args.all) {
        (false, _) => format!("no use{by}{of} is recorded: `dagset uses{place} --all` lists all"),
        (true, false) => "no uses of this version are recorded; --all asks for those of all versions".to_owned(),
        (true, true) => "no uses are recorded; `dagset use ADDRESS --run ID` records one".to_owned(),
    }
}

/// How a command ends that has told all uses but the damaged ones; `is_told` where its document says what is wrong with these.
pub fn without(damaged: Vec<Error>, is_told: bool) -> Result<Ending> {
    let (count, one) = (damaged.len() as u64, damaged.into_iter().next());
    match one {
        None => Ok(Ending::Done),
        Some(_) if is_told => Ok(Ending::Failed(Kind::Damaged)),
        Some(fault) if count == 1 => Err(fault),
        Some(fault) => Err(fault.within(format!("{} can't be read", ui::count(count, "use")))),
    }
}

fn show(context: &mut Context, report: &UsesReport) {
    let columns = [
        left("RUN").flexible().painted(Paint::bold),
        left("MODEL").flexible().painted(Paint::green),
        left("VERSION").flexible().painted(Paint::yellow),
        left("TIME"),
        left("BY").flexible(),
    ];
    let rows: Vec<_> = report.uses.iter().map(row).collect();
    let paint = context.paint;
    print(&mut context.out, paint, &columns, &rows);
    if report.left_out > 0 {
        context.say(&format!("and {} (-n N shows more)", ui::count(report.left_out as u64, "older use")));
    }
}

fn row(card: &UseCard) -> Vec<String> {
    let version = card.name.as_ref().map_or_else(|| card.version.short(), ToString::to_string);
    let path = card.path.as_ref().map(|path| format!(":{path}")).unwrap_or_default();
    vec![
        card.run.id.clone(),
        card.model.clone().unwrap_or_else(|| "-".to_owned()),
        format!("{}@{version}{path}", card.dataset),
        ui::moment(card.time),
        card.actor.clone(),
    ]
}
