//! `remote`: the stores that a workspace is pushed to and pulled from.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dagset::base::Result;
use dagset::engine::{RemoteCard, StoreSettings};
use serde_json::json;

use super::table::{left, print};
use super::ui::Paint;
use super::{Context, Ending, check, json, ui};

const NOTES: &str = "\
Secrets are never kept here: they come from the environment, a profile or the
machine's role. docs/stores.md says where they are looked for.

Examples:
  dagset remote add origin s3://bucket/data/signs --profile team
  dagset remote add lab s3://test/signs --endpoint http://127.0.0.1:9000
  dagset remote add nas /mnt/nas/store//signs";

/// List, add, remove or check the stores to push to and pull from
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct RemoteArgs {
    #[command(subcommand)]
    command: RemoteCommand,
}

#[derive(Subcommand)]
enum RemoteCommand {
    /// Add a remote to the workspace; no store is asked
    Add(Add),
    /// List the workspace's remotes
    List,
    /// Forget a remote; what is stored there stays
    Remove {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Try the steps to a remote's store one by one
    #[command(after_help = super::store::CHECK_NOTES)]
    Check {
        /// The remote [default: the only one, or origin]
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

#[derive(Args)]
#[command(after_help = NOTES)]
struct Add {
    /// What to call it
    #[arg(value_name = "NAME")]
    name: String,
    /// Where it is; a store alone means its dataset of the workspace's name
    #[arg(value_name = "STORE[/DATASET]")]
    url: String,
    /// Profile of the shared AWS configuration
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The server's URL, where it isn't the cloud's own
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The bucket's region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Put the bucket into the path, not into the host name
    #[arg(long, overrides_with = "no_path_style")]
    path_style: bool,
    /// Put the bucket into the host name
    #[arg(long)]
    no_path_style: bool,
    /// Allow a server without encryption
    #[arg(long)]
    allow_http: bool,
    /// PEM file of authorities to trust beside the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

pub fn run(context: &mut Context, args: RemoteArgs) -> Result<Ending> {
    match args.command {
        RemoteCommand::Add(add) => {
            let settings = StoreSettings {
                profile: add.profile,
                endpoint: add.endpoint,
                region: add.region,
                path_style: (add.path_style || add.no_path_style).then_some(add.path_style),
                allow_http: add.allow_http.then_some(true),
                ca_file: add.ca_file,
            };
            let card = context.engine()?.add_remote(&add.name, &add.url, settings)?;
            changed(context, "added", &card);
        }
        RemoteCommand::Remove { name } => {
            let card = context.engine()?.remove_remote(&name)?;
            changed(context, "removed", &card);
        }
        RemoteCommand::List => list(context)?,
        RemoteCommand::Check { name } => {
            let (card, found) = context.watched(|engine| engine.check_remote(name.as_deref()))?;
            return Ok(check::tell(context, &found, Some(card.name.as_str())));
        }
    }
    Ok(Ending::Done)
}

fn changed(context: &mut Context, action: &str, card: &RemoteCard) {
    if !context.for_people() {
        context.out.document(&json::document(json!({"action": action, "remote": row(card)})));
    } else if !context.global.quiet {
        let paint = context.paint;
        let (name, url) = (paint.cyan(card.name.as_str()), ui::clean(&card.url));
        writeln!(context.out, "{action} the remote {name}, {url}");
        if action == "added" {
            let command = format!("dagset remote check {}", card.name);
            writeln!(context.out, "{} {}", paint.dim("next:"), paint.cyan(command));
        }
    }
}

fn row(card: &RemoteCard) -> serde_json::Value {
    json!({"name": card.name.as_str(), "url": card.url, "settings": card.settings})
}

fn list(context: &mut Context) -> Result<()> {
    let cards = context.engine()?.remotes()?;
    if !context.for_people() {
        let rows: Vec<_> = cards.iter().map(row).collect();
        context.out.document(&json::document(json!({ "remotes": rows })));
        return Ok(());
    }
    if cards.is_empty() {
        context.say("no remotes: `dagset remote add NAME STORE/DATASET` adds one");
    }
    let cell = |card: &RemoteCard| vec![card.name.to_string(), card.url.clone(), in_words(&card.settings)];
    let cells: Vec<_> = cards.iter().map(cell).collect();
    let columns = [left("").painted(Paint::cyan), left("").flexible(), left("").flexible().painted(Paint::dim)];
    let paint = context.paint;
    print(&mut context.out, paint, &columns, &cells);
    Ok(())
}

/// `profile team, region eu-west-1`.
fn in_words(settings: &StoreSettings) -> String {
    let StoreSettings { profile, endpoint, region, path_style, allow_http, ca_file } = settings;
    let said = |key: &str, value: &Option<String>| value.as_ref().map(|value| format!("{key} {value}"));
    let switch = |key: &str, value: Option<bool>| value.map(|on| format!("{}{key}", if on { "" } else { "no " }));
    let parts = [
        said("profile", profile),
        said("endpoint", endpoint),
        said("region", region),
        switch("path style", *path_style),
        switch("http", *allow_http),
        ca_file.as_ref().map(|file| format!("ca file {}", file.display())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
