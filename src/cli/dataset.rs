//! `dataset rename|delete|copy|use`: datasets as wholes.

use clap::{Args, Subcommand};
use dagset::base::Result;
use dagset::engine::{Address, DeleteOptions, Location};
use serde_json::json;

use super::confirm::confirm;
use super::insist::Insist;
use super::{Context, Ending, addresses, insist, json, ui};

const EXAMPLES: &str = "\
Examples:
  dagset dataset rename ./store/signs traffic
  dagset dataset copy ./store/signs@1.2.0 s3://bucket/data/signs
  dagset dataset delete ./store/old --yes      undone by `dagset undo ./store`
  dagset dataset use traffic                   in a workspace, after a rename";

/// Rename, delete or copy a whole dataset
#[derive(Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct DatasetArgs {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Subcommand)]
enum DatasetCommand {
    /// Give a dataset another name in its store
    Rename {
        /// [STORE/]DATASET
        #[arg(value_name = "OLD")]
        address: String,
        /// The new name, without the store
        #[arg(value_name = "NEW")]
        to: String,
        #[command(flatten)]
        insist: Insist,
    },
    /// Delete a dataset; `undo` brings it back
    Delete {
        /// [STORE/]DATASET
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// Don't ask for the name
        #[arg(short, long)]
        yes: bool,
        /// Also if other datasets build on it; what is published or protected needs a reason too
        #[arg(long)]
        force: bool,
        /// Why; the log keeps it
        #[arg(long, value_name = "TEXT", requires = "force")]
        reason: Option<String>,
        /// Delete nothing; show what would be
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Copy a dataset, or one version and its ancestors, with their names
    Copy {
        /// [STORE/]DATASET[@REF]
        #[arg(value_name = "FROM")]
        from: String,
        /// [STORE/]DATASET; within a store nothing is sent
        #[arg(value_name = "TO")]
        to: String,
    },
    /// Make the workspace one of another dataset of its store
    Use {
        /// The dataset, which has the version that the folder is
        #[arg(value_name = "DATASET")]
        name: String,
    },
}

pub fn run(context: &mut Context, args: &DatasetArgs) -> Result<Ending> {
    match &args.command {
        DatasetCommand::Rename { address, to, insist } => rename(context, address, to, insist),
        DatasetCommand::Delete { address, yes, force, reason, dry_run } => {
            let options = DeleteOptions { force: *force, reason: insist::parse(reason.as_deref())?, dry_run: *dry_run };
            delete(context, address, *yes, options)
        }
        DatasetCommand::Copy { from, to } => copy(context, from, to),
        DatasetCommand::Use { name } => use_dataset(context, name),
    }
}

/// The address of a dataset. A bare word is a dataset here, in a workspace too.
fn dataset(context: &Context, text: &str) -> Result<Address> {
    let address = addresses::parse(context, text)?;
    match (&address.location, address.reference.is_some()) {
        (Location::Here, true) => Address::parse(text, context.engine()?.settings.home.as_deref()),
        _ => Ok(address),
    }
}

fn rename(context: &mut Context, address: &str, to: &str, insist: &Insist) -> Result<Ending> {
    let (address, reason) = (dataset(context, address)?, insist.reason()?);
    let renamed = context.watched(|engine| engine.rename_dataset(&address, to, reason.as_ref()))?;
    if !context.for_people() {
        let (from, to) = (renamed.from.to_string(), renamed.to.to_string());
        context.out.document(&json::document(json!({ "from": from, "dataset": to, "record": renamed.record })));
    } else if !context.global.quiet {
        writeln!(context.out, "{} is called {} now", renamed.from, context.paint.bold(renamed.to.as_str()));
    }
    Ok(Ending::Done)
}

fn delete(context: &mut Context, text: &str, yes: bool, options: DeleteOptions) -> Result<Ending> {
    let address = dataset(context, text)?;
    let dry_run = options.dry_run;
    let look = DeleteOptions { dry_run: true, ..options.clone() };
    let mut deleted = context.watched(|engine| engine.delete_dataset(&address, &look))?;
    let name = deleted.dataset.to_string();
    if !dry_run {
        if !yes {
            let versions = ui::count(deleted.versions, "version");
            let question = format!("{name} has {versions}. Type its name to delete it:");
            confirm(&format!("deleting {name}"), &question, &name)?;
        }
        deleted = context.watched(|engine| engine.delete_dataset(&address, &options))?;
    }
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "dataset": name,
            "versions": deleted.versions,
            "published": deleted.published,
            "used_by": deleted.used_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "record": deleted.record,
            "dry_run": dry_run,
        })));
        return Ok(Ending::Done);
    }
    if context.global.quiet {
        return Ok(Ending::Done);
    }
    let versions = ui::count(deleted.versions, "version");
    match deleted.record {
        Some(record) => {
            writeln!(context.out, "{name} is deleted, with {versions}");
            let undo = match address.location {
                Location::Store { .. } => {
                    let store = text.strip_suffix(&name).unwrap_or(text).trim_end_matches('/');
                    format!("dagset undo {} {record}", ui::quoted(store))
                }
                _ => format!("dagset undo {record}"),
            };
            context.say(&format!("`{undo}` brings it back"));
        }
        None => writeln!(context.out, "{name} would be deleted, with {versions}"),
    }
    Ok(Ending::Done)
}

fn copy(context: &mut Context, from: &str, to: &str) -> Result<Ending> {
    let (from, to) = (addresses::parse(context, from)?, dataset(context, to)?);
    let copied = context.watched(|engine| engine.copy_dataset(&from, &to))?;
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "dataset": copied.dataset.to_string(),
            "store": copied.store,
            "versions": copied.versions,
            "refs": copied.refs,
            "new_bytes": copied.new_bytes,
            "stored_bytes": copied.stored_bytes,
        })));
    } else if !context.global.quiet {
        let versions = ui::count(copied.versions, "version");
        let stored = ui::size(copied.stored_bytes);
        writeln!(context.out, "{} has {versions} more, {stored} stored", context.paint.bold(copied.dataset.as_str()));
    }
    Ok(Ending::Done)
}

fn use_dataset(context: &mut Context, name: &str) -> Result<Ending> {
    let name = context.watched(|engine| engine.use_dataset(name))?;
    match context.for_people() {
        false => context.out.document(&json::document(json!({ "dataset": name.to_string() }))),
        true if !context.global.quiet => writeln!(context.out, "this workspace is one of {name} now"),
        true => {}
    }
    Ok(Ending::Done)
}
