//! The commands of a checked-out folder: `init`, `status`, `add`, `rm`, `mv`, `restore`, `clean`.

use std::path::PathBuf;

use clap::Args;
use dagset::base::Result;
use dagset::engine::{InitOptions, Status, Upstream};
use serde_json::json;

use super::ui::{Colour, Paint};
use super::{Context, Ending, addresses, json, progress, ui};

/// Of each kind of change, so many are listed for people unless -v is given.
const SHOWN: usize = 200;

/// Make a folder a workspace
///
/// Nothing in it is stored yet. Without --store and without a default store, its versions are kept in
/// .dagset/store inside the folder.
#[derive(Args)]
pub struct Init {
    /// The folder [default: the working folder]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The dataset's name [default: the folder's]
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
}

/// Show what changed in the workspace since its version
#[derive(Args)]
pub struct StatusArgs {
    /// Exit with 1 if anything changed
    #[arg(long)]
    exit_code: bool,
}

/// Stage changes for the next commit
///
/// What is staged is the path: the commit takes its content as it is then.
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Add {
    /// Files and folders; a removed file is staged too
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// Remove files from the folder and stage that
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Rm {
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Remove files too that have changes no version holds
    #[arg(short, long)]
    force: bool,
}

/// Rename a file or folder and stage that
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Mv {
    from: PathBuf,
    /// Its new name, or the folder to move it into
    to: PathBuf,
}

/// Make paths what they are in the version, losing their changes
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Restore {
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Only take the paths out of the next commit; the files stay
    #[arg(long)]
    staged: bool,
}

/// Remove files that no version holds and no .dagsetignore names
#[derive(Args)]
pub struct Clean {
    /// Remove nothing; show what would go
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub fn init(context: &mut Context, args: Init) -> Result<Ending> {
    let given = context.global.store.as_deref().map(addresses::checked_store).transpose()?;
    let options = InitOptions { folder: args.folder, dataset: args.dataset, store: given };
    let made = context.watched(|engine| engine.init(&options))?;
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "root": made.root.to_string_lossy(), "dataset": made.dataset.as_str(), "store": made.store,
            "embedded": made.embedded, "branch": made.branch.as_str(), "head": made.head.as_ref().map(json::id),
        })));
        return Ok(Ending::Done);
    }
    if !context.global.quiet {
        let paint = context.paint;
        let root = addresses::shown_path(&context.folder()?, &made.root);
        let store =
            if made.embedded { "in .dagset/store".to_owned() } else { format!("in {}", ui::clean(&made.store)) };
        let dataset = paint.bold(made.dataset.as_str());
        writeln!(context.out, "{} is a workspace of {dataset}; its versions are kept {store}", ui::clean(&root));
        let next = if made.head.is_some() { "dagset switch main" } else { "dagset commit -a --as 1.0" };
        writeln!(context.out, "{} {}", paint.dim("next:"), paint.cyan(next));
    }
    Ok(Ending::Done)
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
            "without_content": status.to_write.is_some(), "behind": status.behind,
            "upstream": status.upstream.as_ref().map(|it| json!({"name": it.name.as_str(), "ahead": it.ahead, "behind": it.behind})),
            "left_out": status.left_out.iter().map(|it| json!({"path": it.path, "why": it.why, "incomplete": it.incomplete})).collect::<Vec<_>>(),
            "unfinished_switch": status.unfinished_switch.as_ref().map(json::id),
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
    if let Some(version) = &status.unfinished_switch {
        let command = paint.cyan(format!("dagset switch {}", version.short()));
        writeln!(context.out, "a switch was cut off; {command} goes on with it");
    }
    if status.behind {
        writeln!(context.out, "the branch has a newer version; {} goes to it", paint.cyan("dagset switch BRANCH"));
    }
    if let Some(line) = status.upstream.as_ref().and_then(|upstream| standing(paint, upstream)) {
        writeln!(context.out, "{line}");
    }
    if status.is_clean() {
        if status.to_write.is_none() {
            writeln!(context.out, "nothing changed");
        }
        return;
    }
    let staged: std::collections::BTreeSet<&str> = status.staged.iter().map(String::as_str).collect();
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
        let how = if wants_staged { "dagset commit" } else { "dagset add PATH, or dagset commit -a" };
        writeln!(context.out, "\n{} {}", paint.bold(title), paint.dim(how));
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

pub fn add(context: &mut Context, args: &Add) -> Result<Ending> {
    let staged = context.watched(|engine| engine.add(&args.paths))?;
    listed(context, "staged", "staged", &staged);
    Ok(Ending::Done)
}

pub fn rm(context: &mut Context, args: &Rm) -> Result<Ending> {
    let removed = context.watched(|engine| engine.remove(&args.paths, args.force))?;
    listed(context, "removed", "removed", &removed);
    Ok(Ending::Done)
}

pub fn mv(context: &mut Context, args: &Mv) -> Result<Ending> {
    let (from, to) = context.watched(|engine| engine.rename(&args.from, &args.to))?;
    if !context.for_people() {
        context.out.document(&json::document(json!({"renamed": [{"from": from, "to": to}]})));
    } else if !context.global.quiet {
        writeln!(context.out, "renamed {} → {}", ui::clean(&from), ui::clean(&to));
    }
    Ok(Ending::Done)
}

pub fn restore(context: &mut Context, args: &Restore) -> Result<Ending> {
    if args.staged {
        let unstaged = context.watched(|engine| engine.unstage(&args.paths))?;
        listed(context, "unstaged", "no longer staged", &unstaged);
    } else {
        let restored = context.watched(|engine| engine.restore(&args.paths))?;
        listed(context, "restored", "restored", &restored);
    }
    Ok(Ending::Done)
}

pub fn clean(context: &mut Context, args: &Clean) -> Result<Ending> {
    let gone = context.watched(|engine| engine.clean(args.dry_run))?;
    if context.for_people() {
        listed(context, "removed", if args.dry_run { "would be removed" } else { "removed" }, &gone);
    } else {
        context.out.document(&json::document(json!({"removed": gone, "dry_run": args.dry_run})));
    }
    Ok(Ending::Done)
}

/// A count with the first paths, or a document with all.
fn listed(context: &mut Context, key: &str, what: &str, paths: &[String]) {
    if !context.for_people() {
        context.out.document(&json::document(json!({ key: paths })));
        return;
    }
    if context.global.quiet {
        return;
    }
    let most = if context.global.verbose > 0 { usize::MAX } else { 10 };
    for path in paths.iter().take(most) {
        writeln!(context.out, "{what}  {}", ui::clean(path));
    }
    match paths.len() {
        0 => context.say(&format!("nothing {what}")),
        all if all > most => {
            writeln!(context.out, "{}", context.paint.dim(format!("… {} in all", ui::count(all as u64, "path"))))
        }
        _ => {}
    }
}
