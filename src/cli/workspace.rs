//! The commands of a checked-out folder: `init`, `status`, `add`, `rm`, `mv`, `restore`, `clean`.

use std::path::PathBuf;

use clap::Args;
use dagset::base::Result;
use dagset::engine::InitOptions;
use serde_json::json;

use super::{Context, Ending, addresses, json, ui};

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
