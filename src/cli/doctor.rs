//! `doctor`: what is wrong, and the command that mends it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use clap::Args;
use dagset::base::{Error, Kind, Result};
use dagset::engine::{Checkup, DoctorOptions, Health, TOOL};
use serde_json::json;

use super::{Context, Ending, json, report, settings, table, ui, user_config};

const NOTES: &str = "\
A quick look: nothing is changed, and no content is read; that is verify's work.\n\
Exits with 5 if something is damaged, with 3 if something is missing, with 0 if\n\
all works; a warning is no failure.\n\n\
Examples:
  dagset doctor                 the workspace, its stores, the caches
  dagset doctor ./store         a store
  dagset doctor --fix           make anew what can be made anew";

const CONFIGURATION: &str = "configuration";

/// Columns of the outcome and of what was looked at, each with its gap.
const OUTCOME: usize = 9;
const AREA: usize = 15;

/// Say what is wrong, and which command mends it
#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Doctor {
    /// A store to look at, beside those of the workspace
    #[arg(value_name = "STORE")]
    store: Option<String>,
    /// Make anew what can be: mirrors, stat index, counts, leftovers
    #[arg(long)]
    fix: bool,
}

pub fn run(context: &mut Context, args: &Doctor) -> Result<Ending> {
    let mut found = vec![Checkup::ok("dagset", TOOL, format!("format {}", dagset::engine::FORMAT))];
    found.extend(look_at_configuration());
    if let Err(fault) = context.engine() {
        if found.iter().all(|it| !matches!(it.health, Health::Broken(_))) {
            found.push(Checkup::broken(CONFIGURATION, "settings", &fault));
        }
        // The rest is looked at as if there were no configuration.
        context.engine_without_configuration()?;
    }
    let options = DoctorOptions { store: args.store.clone(), fix: args.fix };
    found.extend(context.watched(|engine| Ok(engine.doctor(&options)))?);
    if context.for_people() {
        show(context, &found);
    } else {
        let checks = found.iter().map(document).collect::<Vec<_>>();
        context.out.document(&json::document(json!({"healthy": worst(&found).is_none(), "checks": checks})));
    }
    Ok(worst(&found).map_or(Ending::Done, Ending::Failed))
}

/// What counts for the exit code: damage before what is missing, and that before all else.
fn worst(found: &[Checkup]) -> Option<Kind> {
    let broken = found.iter().filter_map(|it| match it.health {
        Health::Broken(kind) => Some(kind),
        _ => None,
    });
    broken.min_by_key(|kind| match kind {
        Kind::Damaged => 0,
        Kind::NotFound => 1,
        Kind::Unreachable => 2,
        _ => 3,
    })
}

/// The user's own configuration, and files beside it that hold secrets.
fn look_at_configuration() -> Vec<Checkup> {
    let mut found = Vec::new();
    let shown =
        settings::user_config_file().map_or_else(|| "config.toml".to_owned(), |path| path.display().to_string());
    match user_config::UserConfig::load() {
        Err(fault) => {
            let fault = Error::damaged(fault.in_one_line());
            let how = format!("correct {shown}, or remove it");
            found.push(Checkup::broken(CONFIGURATION, &shown, &fault).mended_by(how));
        }
        Ok(user) => {
            for key in user.unknown() {
                let how = format!("remove it from {shown}; dagset config shows what there is");
                found.push(Checkup::warning(CONFIGURATION, &shown, format!("no such key: {key}")).mended_by(how));
            }
        }
    }
    for path in settings::credential_files() {
        let Ok(mode) = std::fs::metadata(&path).map(|meta| meta.permissions().mode()) else { continue };
        if mode & 0o077 != 0 {
            let detail = format!("holds secrets, and others may use it (mode {:o})", mode & 0o777);
            let how = format!("chmod 600 {}", ui::quoted(&path.display().to_string()));
            found.push(Checkup::warning(CONFIGURATION, path.display().to_string(), detail).mended_by(how));
        }
    }
    if found.is_empty() {
        let is_there = PathBuf::from(&shown).exists();
        found.push(Checkup::ok(CONFIGURATION, shown, if is_there { "can be understood" } else { "there is none" }));
    }
    found
}

fn document(it: &Checkup) -> serde_json::Value {
    let (health, kind) = match it.health {
        Health::Ok => ("ok", None),
        Health::Warning => ("warning", None),
        Health::Broken(kind) => ("broken", Some(report::code_and_name(kind).1)),
    };
    json!({
        "area": it.area,
        "subject": it.subject,
        "health": health,
        "kind": kind,
        "detail": it.detail,
        "fix": it.fix,
        "fixed": it.fixed,
    })
}

fn show(context: &mut Context, found: &[Checkup]) {
    let paint = context.paint;
    for it in found.iter().filter(|it| !(context.global.quiet && it.health == Health::Ok)) {
        let (word, colour): (_, ui::Colour) = match it.health {
            Health::Ok if it.fixed => ("mended", ui::Paint::green),
            Health::Ok => ("ok", ui::Paint::green),
            Health::Warning => ("warning", ui::Paint::yellow),
            Health::Broken(_) => ("broken", ui::Paint::red),
        };
        let (outcome, area) = (colour(paint, format!("{word:OUTCOME$}")), format!("{:AREA$}", it.area));
        let indent = OUTCOME + AREA;
        let room = ui::columns().unwrap_or(80).saturating_sub(indent).max(30);
        let text = format!("{}: {}", ui::clean(&it.subject), ui::clean(&it.detail));
        let mut lines = table::wrap(&text, room).into_iter();
        writeln!(context.out, "{outcome}{area}{}", lines.next().unwrap_or_default());
        lines.for_each(|line| writeln!(context.out, "{:indent$}{line}", ""));
        let fix = it.fix.iter().filter(|_| it.health != Health::Ok);
        for (at, line) in fix.flat_map(|fix| table::wrap(&ui::clean(fix), room - 6)).enumerate() {
            let lead = if at == 0 { paint.cyan("mend: ") } else { " ".repeat(6) };
            writeln!(context.out, "{:indent$}{lead}{line}", "");
        }
    }
    let count = |wanted: fn(&Health) -> bool| found.iter().filter(|it| wanted(&it.health)).count() as u64;
    let broken = count(|it| matches!(it, Health::Broken(_)));
    match (broken, count(|it| *it == Health::Warning)) {
        _ if context.global.quiet => {}
        (0, 0) => writeln!(context.out, "{} nothing is wrong that a quick look sees", paint.green("ok:")),
        (0, warnings) => writeln!(context.out, "{} {}, all works", paint.green("ok:"), ui::count(warnings, "warning")),
        (broken, _) => writeln!(context.out, "{} {}", paint.red("broken:"), ui::count(broken, "thing")),
    }
}
