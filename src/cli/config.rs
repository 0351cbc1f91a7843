//! `config get`, `config set`: the user's configuration.

use clap::{Args, Subcommand};
use dagset::base::{Error, Result};
use serde_json::json;

use super::run_id::switch;
use super::settings::parse_rate;
use super::user_config::{UserConfig, check_key};
use super::{Context, Ending, addresses, json, ui};

const ABOUT: &str = "\
Keys:
  author          who versions are by
  default_store   the store of datasets that are named without one
  limit_rate      the most bytes a second to and from stores in clouds, as 10M
  record_uses     false: get, warm and run record no use by themselves
  store.URL.KEY   how a store is reached, and all below URL: profile, endpoint,
                  region, path_style, allow_http, ca_file
Example:
  dagset config set store.s3://bucket/data.profile team";

/// Show or change your configuration
#[derive(Args)]
#[command(after_help = ABOUT, arg_required_else_help = true)]
pub struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the value of a key, or all that are set
    Get {
        #[arg(value_name = "KEY")]
        key: Option<String>,
    },
    /// Set a key; without a value, unset it
    Set {
        #[arg(value_name = "KEY")]
        key: String,
        #[arg(value_name = "VALUE")]
        value: Option<String>,
    },
}

pub fn run(context: &mut Context, args: &Config) -> Result<Ending> {
    match &args.command {
        ConfigCommand::Get { key: Some(key) } => get(context, key),
        ConfigCommand::Get { key: None } => get_all(context),
        ConfigCommand::Set { key, value } => set(context, key, value.as_deref()),
    }
}

fn get(context: &mut Context, key: &str) -> Result<Ending> {
    check_key(key)?;
    let value = UserConfig::load()?.get(key).ok_or_else(|| {
        Error::not_found(format!("{key} is not set")).hint(format!("`dagset config set {key} VALUE` sets it"))
    })?;
    match context.for_people() {
        true => writeln!(context.out, "{}", ui::clean(&value)),
        false => context.out.document(&json::document(json!({"key": key, "value": value}))),
    }
    Ok(Ending::Done)
}

fn get_all(context: &mut Context) -> Result<Ending> {
    let set = UserConfig::load()?.all();
    if !context.for_people() {
        let set: serde_json::Map<_, _> = set.into_iter().map(|(key, value)| (key, value.into())).collect();
        context.out.document(&json::document(json!({ "config": set })));
        return Ok(Ending::Done);
    }
    for (key, value) in set {
        writeln!(context.out, "{} = {}", ui::clean(&key), ui::clean(&value));
    }
    Ok(Ending::Done)
}

fn set(context: &mut Context, key: &str, value: Option<&str>) -> Result<Ending> {
    let value = match (key, value) {
        ("default_store", Some(value)) => Some(context.engine()?.lasting_store(&addresses::checked_store(value)?)?),
        ("limit_rate", Some(value)) => Some(parse_rate(value).map(|_| value.to_owned()).map_err(Error::usage)?),
        ("record_uses", Some(value)) => Some(switch(key, value)?.to_string()),
        (_, value) => value.map(str::to_owned),
    };
    UserConfig::load()?.set(key, value.as_deref())?;
    if !context.for_people() {
        context.out.document(&json::document(json!({"key": key, "value": value})));
    }
    Ok(Ending::Done)
}
