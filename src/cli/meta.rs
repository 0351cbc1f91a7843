//! `meta`: what is said of versions and datasets.

use clap::{Args, Subcommand};
use dagset::base::Result;
use dagset::engine::{Address, Metadata, no_key, parse_metadata};
use serde_json::json;

use super::{Context, Ending, addresses, history, json, ui};

const EXAMPLES: &str = "\
An ADDRESS with a REF is about that version, one without about the dataset; . is
a workspace's dataset. Numbers, true, false and null are typed, all else is text;
'\"7\"' is the text 7. Every change is a record of the log.

Examples:
  dagset meta set ./store/photos description='city lights' task=detection
  dagset meta set ./store/photos@1.0 reviewed=true
  dagset meta get ./store/photos task
  dagset meta set . bump.changed=minor           what --bump auto does then
  dagset meta set . keep.last=3 keep.tagged=true which versions keep their content:
                                                 `dagset gc --help`";

/// Show or change what is said of a dataset or a version
#[derive(Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Meta {
    #[command(subcommand)]
    command: MetaCommand,
}

#[derive(Subcommand)]
enum MetaCommand {
    /// Print the value of one key, or of several, a line each
    #[command(arg_required_else_help = true)]
    Get {
        /// [STORE/]DATASET[@REF], a REF in a workspace, or .
        #[arg(value_name = "ADDRESS")]
        address: String,
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
    /// Set keys, all in one record
    #[command(arg_required_else_help = true)]
    Set {
        /// [STORE/]DATASET[@REF], a REF in a workspace, or .
        #[arg(value_name = "ADDRESS")]
        address: String,
        #[arg(value_name = "KEY=VALUE", required = true)]
        pairs: Vec<String>,
    },
    /// Take keys away, all in one record
    #[command(arg_required_else_help = true)]
    Unset {
        /// [STORE/]DATASET[@REF], a REF in a workspace, or .
        #[arg(value_name = "ADDRESS")]
        address: String,
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
    /// List all keys and values
    List {
        /// [STORE/]DATASET[@REF], a REF in a workspace, or . [default: .]
        #[arg(value_name = "ADDRESS")]
        address: Option<String>,
    },
}

pub fn run(context: &mut Context, args: &Meta) -> Result<Ending> {
    match &args.command {
        MetaCommand::Get { address, keys } => {
            let address = subject(context, address)?;
            let mut known = context.watched(|engine| engine.metadata(&address))?;
            if let Some(missing) = keys.iter().find(|key| !known.meta.0.contains_key(*key)) {
                return Err(no_key(missing, &address));
            }
            known.meta.0.retain(|key, _| keys.contains(key));
            match context.for_people() {
                true => keys.iter().for_each(|key| writeln!(context.out, "{}", ui::value(&known.meta.0[key]))),
                false => document(context, &known),
            }
        }
        MetaCommand::Set { address, pairs } => {
            let address = subject(context, address)?;
            let values = parse_metadata(pairs)?;
            let set = context.watched(|engine| engine.set_metadata(&address, &values))?;
            tell(context, &set, "set", values.0.len());
        }
        MetaCommand::Unset { address, keys } => {
            let address = subject(context, address)?;
            let unset = context.watched(|engine| engine.unset_metadata(&address, keys))?;
            tell(context, &unset, "unset", keys.len());
        }
        MetaCommand::List { address } => {
            let address = subject(context, address.as_deref().unwrap_or("."))?;
            let known = context.watched(|engine| engine.metadata(&address))?;
            match context.for_people() {
                true if known.meta.is_empty() => context.say("no metadata"),
                true => history::attrs(context, &known.meta),
                false => document(context, &known),
            }
        }
    }
    Ok(Ending::Done)
}

/// What the metadata is of; `.` is the workspace's dataset.
fn subject(context: &Context, text: &str) -> Result<Address> {
    match addresses::here(context)? {
        Some(here) if text == "." => Ok(here),
        _ => addresses::parse(context, text),
    }
}

fn document(context: &mut Context, known: &Metadata) {
    context.out.document(&json::document(json!({
        "dataset": known.dataset.to_string(),
        "version": known.version.as_ref().map(json::id),
        "name": known.name.as_ref().map(ToString::to_string),
        "meta": json::attrs(&known.meta),
        "changed": known.changed,
    })));
}

fn tell(context: &mut Context, known: &Metadata, action: &str, count: usize) {
    if !context.for_people() {
        return document(context, known);
    }
    if context.global.quiet {
        return;
    }
    let paint = context.paint;
    let version = match (&known.name, &known.version) {
        (Some(name), _) => format!(" {}", paint.green(name.as_str())),
        (None, Some(version)) => format!(" {}", paint.yellow(version.short())),
        (None, None) => String::new(),
    };
    let of = format!("{}{version}", paint.bold(known.dataset.as_str()));
    match known.changed {
        true => writeln!(context.out, "{action} {} of {of}", ui::count(count as u64, "value")),
        false => writeln!(context.out, "nothing changed: {of} is so already"),
    }
}
