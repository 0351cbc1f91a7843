//! `lock`: pins of versions in a file that is committed; and `--locked`, which reads by them.

use std::path::PathBuf;

use clap::Args;
use dagset::base::{Error, Kind, Result};
use dagset::engine::{Address, LOCK_FILE, PinReport, Pinned, RefreshReport};
use serde_json::json;

use super::ui::Paint;
use super::{Context, Ending, addresses, json, purged, ui};

const NOTES: &str = "\
The file names each dataset with its store, what was asked for (a branch, say),
and the version and manifest that this is now. `get`, `warm` and `run` with
--locked use just these, also when their dataset was renamed. A store in a folder
is named from the file's folder.

With --check nothing is written: exits with 4 if a pin's branch or tag moved on,
its dataset was renamed, or its manifest isn't that of its version; with 3 if its
content was let go, with 8 if files of it were purged.

Examples:
  dagset lock s3://bucket/data/signs@main ./store/maps@1.0
  dagset lock --check
  dagset lock --update signs
  dagset get --locked";

/// Pin versions in dagset.lock, to be committed with a project
#[derive(Args)]
#[command(after_help = NOTES, arg_required_else_help = true)]
pub struct Lock {
    /// [STORE/]DATASET[@REF][:PATH]; with --check and --update names of pins
    #[arg(value_name = "ADDRESS|NAME", required_unless_present_any = ["check", "update"])]
    words: Vec<String>,
    /// The file
    #[arg(long, value_name = "FILE", default_value = LOCK_FILE)]
    file: PathBuf,
    /// What the pin is called [default: the dataset's name]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["check", "update"])]
    name: Option<String>,
    /// Say which pins have moved on [default: of all]
    #[arg(long, conflicts_with = "update")]
    check: bool,
    /// Pin what is there now [default: of all]
    #[arg(long)]
    update: bool,
}

/// `--locked[=FILE]` of commands that read.
#[derive(Args)]
pub struct Locked {
    /// Names of pins instead of addresses, of dagset.lock or FILE [default: all]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = LOCK_FILE)]
    locked: Option<PathBuf>,
}

impl Locked {
    /// The file, if it is to be used.
    pub fn file(&self) -> Option<&PathBuf> {
        self.locked.as_ref()
    }

    /// What words mean: pins, of which none means all, or addresses.
    pub fn addresses(&self, context: &Context, words: &[String]) -> Result<Vec<Address>> {
        match &self.locked {
            None => words.iter().map(|text| addresses::parse(context, text)).collect(),
            Some(file) => Ok(context.engine()?.locked(file, words)?.into_iter().map(|(_, address)| address).collect()),
        }
    }
}

pub fn run(context: &mut Context, args: &Lock) -> Result<Ending> {
    let RefreshReport { pins, failed } = match args.check || args.update {
        true => context.watched(|engine| engine.refresh_lock(&args.file, &args.words, args.update))?,
        false => {
            let meant = args.words.iter().map(|text| addresses::parse(context, text)).collect::<Result<Vec<_>>>()?;
            let pins = context.watched(|engine| engine.lock(&meant, &args.file, args.name.as_deref()))?;
            RefreshReport { pins, failed: Vec::new() }
        }
    };
    let moved = pins.iter().any(PinReport::moved);
    if !context.for_people() {
        let pins: Vec<_> = pins.iter().map(document).collect();
        let why = |(pin, fault): &(String, Error)| json!({ "pin": pin, "error": fault.in_one_line() });
        let failed_pins: Vec<_> = failed.iter().map(why).collect();
        let answer = json!({ "file": args.file, "moved": moved, "pins": pins, "failed": failed_pins });
        context.out.document(&json::document(answer));
        if let Some((_, fault)) = failed.first() {
            return Ok(Ending::Failed(fault.kind()));
        }
    } else if !context.global.quiet {
        pins.iter().for_each(|pin| tell(context, pin, args.check));
    }
    if context.for_people() {
        pins.iter().for_each(|pin| purged::tell(context, &pin.purged));
    }
    let (count, first) = (failed.len(), failed.into_iter().next());
    if let Some((_, fault)) = first {
        return Err(if count == 1 { fault } else { fault.within(format!("{count} pins can't be followed")) });
    }
    match args.check && moved {
        true => Ok(Ending::Failed(Kind::Conflict)),
        false => Ok(purged::ending(pins.iter().map(|pin| &pin.purged))),
    }
}

fn document(pin: &PinReport) -> serde_json::Value {
    let pinned = |it: &Pinned| {
        json!({
            "version": json::id(&it.version),
            "name": it.name.as_ref().map(ToString::to_string),
            "manifest": json::id(&it.manifest),
        })
    };
    json!({
        "pin": pin.pin,
        "dataset": pin.dataset,
        "renamed_from": pin.renamed_from,
        "ref": pin.reference,
        "from": pin.before.as_ref().map(pinned),
        "to": pinned(&pin.now),
        "moved": pin.moved(),
        "purged": purged::document(&pin.purged),
    })
}

fn tell(context: &mut Context, pin: &PinReport, is_check: bool) {
    let paint = context.paint;
    let name = paint.bold(&pin.pin);
    let asked = paint.cyan(ui::clean(&pin.reference));
    let now = shown(paint, &pin.now);
    if let Some(old) = &pin.renamed_from {
        let verb = if is_check { "is behind its dataset" } else { "follows its dataset" };
        writeln!(context.out, "{name} {verb}: {} is called {} by now", ui::clean(old), paint.bold(&pin.dataset));
        if !pin.now_other() {
            return;
        }
    }
    match &pin.before {
        Some(before) if pin.moved() && before.version == pin.now.version => {
            let (is, was) = (pin.now.manifest.short(), before.manifest.short());
            let verb = if is_check { "says" } else { "said" };
            writeln!(context.out, "{name} has another manifest: that of {now} is {is}, and the file {verb} {was}");
        }
        Some(before) if pin.moved() => {
            let verb = if is_check { "has moved" } else { "moved" };
            writeln!(context.out, "{name} {verb}: {asked} is no longer {}, but {now}", shown(paint, before));
        }
        Some(_) => writeln!(context.out, "{name} is up to date: {asked} is {now}"),
        None => writeln!(context.out, "{name} is pinned: {asked} is {now}"),
    }
}

fn shown(paint: Paint, it: &Pinned) -> String {
    let name = it.name.as_ref().map(|name| format!("{} ", paint.green(name.as_str()))).unwrap_or_default();
    format!("{name}{}", paint.yellow(it.version.short()))
}
