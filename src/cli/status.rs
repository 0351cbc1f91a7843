//! `status`: what changed in the workspace, and what is under way in it.

use std::collections::BTreeSet;

use clap::Args;
use dagset::base::Result;
use dagset::engine::{ConflictStatus, MergeStatus, Status, Upstream};
use serde_json::{Value, json};

use super::ui::{Colour, Paint};
use super::{Context, Ending, json, progress, ui};

/// Of each kind of change, so many are listed for people unless -v is given.
const SHOWN: usize = 200;

/// What is said where a switch hasn't ended, but for the commands' words.
const ON_THE_WAY: &str = "a switch hasn't ended: dagset  goes on, dagset  goes back";

/// Show what changed in the workspace since its version
#[derive(Args)]
pub struct StatusArgs {
    /// Exit with 1 if anything changed
    #[arg(long)]
    exit_code: bool,
}

pub fn status(context: &mut Context, args: &StatusArgs) -> Result<Ending> {
    let status = context.watched(dagset::engine::Engine::status)?;
    if context.for_people() {
        tell(context, &status);
    } else {
        context.out.document(&json::document(json!({
            "dataset": status.dataset,
            "branch": status.branch.as_ref().map(ToString::to_string),
            "base": status.base.as_ref().map(json::id),
            "base_name": status.base_name.as_ref().map(ToString::to_string),
            "staged": status.staged, "added": status.added, "removed": status.removed,
            "modified": status.modified, "conflicts": status.conflicts,
            "merge": status.merging.as_ref().map(merging),
            "without_content": status.to_write.is_some(), "behind": status.behind,
            "upstream": status.upstream.as_ref().map(|it| json!({"name": it.name.as_str(), "ahead": it.ahead, "behind": it.behind})),
            "left_out": status.left_out.iter().map(|it| json!({"path": it.path, "why": it.why, "incomplete": it.incomplete})).collect::<Vec<_>>(),
            "unfinished_switch": status.unfinished_switch.as_ref().map(json::id),
            "switch_goes_on": status.ways.as_ref().and_then(|ways| ways.on.as_deref()).map(in_full),
            "switch_goes_back": status.ways.as_ref().and_then(|ways| ways.back.as_deref()).map(in_full),
        })));
    }
    for path in &status.left_out {
        context.say(&progress::left_out(context.paint_err, &path.path, &path.why));
    }
    Ok(match (args.exit_code && !status.is_clean(), status.left_out.iter().any(|path| path.incomplete)) {
        (true, _) => Ending::Differs,
        (false, true) => Ending::Incomplete,
        (false, false) => Ending::Done,
    })
}

/// A command as it is typed.
fn in_full(command: &str) -> String {
    format!("dagset {command}")
}

/// How the branch stands to the remote's, unless they are the same.
fn standing(paint: Paint, upstream: &Upstream) -> Option<String> {
    let name = paint.cyan(upstream.name.as_str());
    let next = |command: &str| paint.cyan(command);
    Some(match (upstream.ahead, upstream.behind) {
        (0, 0) => return None,
        (ahead, 0) => format!("{} ahead of {name}; {} sends them", ui::count(ahead, "version"), next("dagset push")),
        (0, behind) => format!("{} behind {name}; {} takes them", ui::count(behind, "version"), next("dagset pull")),
        (ahead, behind) => {
            format!("{} ahead of {name}, {} behind: both went on", ui::count(ahead, "version"), ui::number(behind))
        }
    })
}

fn tell(context: &mut Context, status: &Status) {
    let paint = context.paint;
    let place = match &status.branch {
        Some(branch) => format!("on {}", paint.cyan(branch.as_str())),
        None => "on no branch".to_owned(),
    };
    let base = match (&status.base, &status.base_name) {
        (Some(_), Some(name)) => format!("at {}", paint.green(name.as_str())),
        (Some(id), None) => format!("at {}", paint.yellow(id.short())),
        (None, _) => "no version yet".to_owned(),
    };
    writeln!(context.out, "{} {place}, {base}", paint.bold(&status.dataset));
    if let Some(reference) = &status.to_write {
        let command = paint.cyan(format!("dagset switch {reference}"));
        writeln!(context.out, "its content isn't here yet; {command} writes it");
    }
    if let Some(ways) = &status.ways {
        let wide = ON_THE_WAY.len() + ways.each().map(|(command, _)| command.len()).sum::<usize>();
        let gap = if ui::columns().is_some_and(|columns| wide > columns) { "\n  " } else { " " };
        let told = ways.each().map(|(command, does)| format!("{} {does}", paint.cyan(format!("dagset {command}"))));
        let told: Vec<_> = told.collect();
        writeln!(context.out, "a switch hasn't ended:{gap}{}", told.join(", "));
    }
    if let Some(branch) = &status.branch {
        let switch = paint.cyan(format!("dagset switch {branch}"));
        match &status.moved {
            _ if status.behind => writeln!(context.out, "the branch has a newer version; {switch} goes to it"),
            Some(Some(head)) => writeln!(
                context.out,
                "the branch was moved to {}; {switch} goes there, {} keeps this version",
                head.short(),
                paint.cyan("dagset branch NAME")
            ),
            Some(None) => {
                writeln!(
                    context.out,
                    "the branch isn't there any more; {} makes it here",
                    paint.cyan(format!("dagset branch {branch}"))
                )
            }
            None => {}
        }
    }
    if let Some(line) = status.upstream.as_ref().and_then(|upstream| standing(paint, upstream)) {
        writeln!(context.out, "{line}");
    }
    if let Some(merging) = &status.merging {
        tell_of_merge(context, merging);
    }
    if status.is_clean() {
        if status.to_write.is_none() && status.merging.is_none() {
            writeln!(context.out, "nothing changed");
        }
        return;
    }
    let staged: BTreeSet<&str> = status.staged.iter().map(String::as_str).collect();
    let lists: [(&str, &Vec<String>, Colour); 3] = [
        ("added", &status.added, |paint, text| paint.green(text)),
        ("modified", &status.modified, |paint, text| paint.yellow(text)),
        ("removed", &status.removed, |paint, text| paint.red(text)),
    ];
    for wants_staged in [true, false] {
        let chosen = |paths: &Vec<String>| {
            paths.iter().filter(|path| staged.contains(path.as_str()) == wants_staged).cloned().collect::<Vec<_>>()
        };
        let total: usize = lists.iter().map(|(_, paths, _)| chosen(paths).len()).sum();
        if total == 0 {
            continue;
        }
        let title = if wants_staged { "Staged:" } else { "Changed:" };
        let how = match (wants_staged, &status.merging) {
            (true, Some(_)) => "dagset merge --continue",
            _ if status.ways.is_some() => "",
            (true, None) => "dagset commit",
            (false, _) => "dagset add PATH, or dagset commit -a",
        };
        let gap = if how.is_empty() { "" } else { " " };
        writeln!(context.out, "\n{}{gap}{}", paint.bold(title), paint.dim(how));
        for (word, paths, colour) in lists {
            let paths = chosen(paths);
            let most = if context.global.verbose > 0 { usize::MAX } else { SHOWN };
            for path in paths.iter().take(most) {
                writeln!(context.out, "  {}  {}", colour(paint, format!("{word:<8}")), ui::clean(path));
            }
            if paths.len() > most {
                let more = ui::number((paths.len() - most) as u64);
                writeln!(context.out, "  {}", paint.dim(format!("… and {more} more {word}; -v shows all")));
            }
        }
    }
}

fn merging(merging: &MergeStatus) -> Value {
    let conflict = |conflict: &ConflictStatus| {
        let parents = merging.parents.iter().zip(&conflict.did);
        json!({
            "path": conflict.path,
            "beside": conflict.beside,
            "solved": conflict.solved,
            "parents": parents.map(|(reference, did)| json!({"ref": reference, "did": did})).collect::<Vec<_>>(),
        })
    };
    json!({
        "parents": merging.parents,
        "cut_off": !merging.is_laid,
        "conflicts": merging.conflicts.iter().map(conflict).collect::<Vec<_>>(),
    })
}

fn tell_of_merge(context: &mut Context, merging: &MergeStatus) {
    let paint = context.paint;
    let of = merging.parents.iter().map(|reference| ui::clean(reference)).collect::<Vec<_>>().join(", ");
    let ways = "dagset merge --continue ends it, --abort drops it";
    let is_wide = ui::columns().is_some_and(|columns| ui::width(&of) + ways.len() + 10 > columns);
    let gap = if is_wide { "\n  " } else { " " };
    let (go_on, drop) = (paint.cyan("dagset merge --continue"), paint.cyan("--abort"));
    writeln!(context.out, "merging {}:{gap}{go_on} ends it, {drop} drops it", paint.cyan(ui::fit(&of, 9)));
    if !merging.is_laid {
        let command = paint.cyan("dagset merge --continue");
        writeln!(context.out, "it was cut off while the folder was written; {command} goes on with it");
    }
    let open: Vec<&ConflictStatus> = merging.conflicts.iter().filter(|conflict| conflict.solved.is_none()).collect();
    if open.is_empty() {
        writeln!(context.out, "all conflicts are solved; {} ends it", paint.cyan("dagset merge --continue"));
        return;
    }
    let how = "dagset resolve PATH --take REF, dagset add PATH, or dagset rm PATH";
    writeln!(context.out, "\n{} {}", paint.bold("Conflicts:"), paint.dim(how));
    let most = if context.global.verbose > 0 { usize::MAX } else { SHOWN };
    for conflict in open.iter().take(most) {
        let acted = merging.parents.iter().zip(&conflict.did).filter(|(_, did)| *did != "unchanged");
        let acted = acted.map(|(reference, did)| format!("{did} by {}", ui::clean(reference))).collect::<Vec<_>>();
        let (path, acted) = (ui::clean(&conflict.path), acted.join(", "));
        let is_wide = ui::columns().is_some_and(|columns| 4 + ui::width(&path) + ui::width(&acted) > columns);
        let gap = if is_wide { "\n    " } else { "  " };
        writeln!(context.out, "  {}{gap}{}", paint.red(path), ui::fit(&acted, 4));
        for path in &conflict.beside {
            writeln!(context.out, "    beside it: {}", ui::clean(path));
        }
    }
    if open.len() > most {
        let more = ui::number((open.len() - most) as u64);
        writeln!(context.out, "  {}", paint.dim(format!("… and {more} more; -v shows all")));
    }
}
