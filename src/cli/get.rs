//! `get`: a version becomes a folder.

use std::path::PathBuf;

use clap::Args;
use dagset::base::Result;
use dagset::engine::GetOptions;
use serde_json::json;

use super::{Context, Ending, addresses, json, ui};

const EXAMPLES: &str = "\
ADDRESS:sub/ puts sub's content straight into DIR. Each file is verified before
it appears. When cut off, the same command goes on where it stopped.

Examples:
  dagset get ./store/photos@1.0 ./photos
  dagset get ./store/photos:train/ ./train
  dagset get ./store/photos ./some labels.csv 'train/**/*.png'";

/// Write a version, or a part of it, into a folder
#[derive(Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Get {
    /// [STORE/]DATASET[@REF][:PATH]
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Where to; made if it isn't there, refused if it isn't empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only these: paths, with all below, or globs [default: all]
    #[arg(value_name = "PATH|GLOB")]
    patterns: Vec<String>,
    /// Replace files that are there and differ
    #[arg(long)]
    overwrite: bool,
    /// Also remove what the version doesn't have
    #[arg(long)]
    delete: bool,
}

pub fn run(context: &mut Context, args: Get) -> Result<Ending> {
    let address = addresses::parse(context, &args.address)?;
    let options =
        GetOptions { folder: args.folder, patterns: args.patterns, overwrite: args.overwrite, delete: args.delete };
    let report = context.watched(|engine| engine.get(&address, &options))?;
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "dataset": report.dataset,
            "version": json::id(&report.version),
            "folder": report.folder,
            "files": report.files,
            "bytes": report.bytes,
            "deleted": report.deleted,
            "resumed": report.resumed,
        })));
    } else if !context.global.quiet {
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
        for path in &report.deleted {
            writeln!(context.out, "{} {}", paint.dim("deleted"), ui::clean(path));
        }
    }
    Ok(Ending::Done)
}
