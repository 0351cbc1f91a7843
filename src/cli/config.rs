//! `config get`, `config set`: the user's configuration.

use clap::{Args, Subcommand};
use dagset::base::files::{self, Durability};
use dagset::base::{Error, Result};
use serde_json::json;

use super::settings::{KEYS, UserConfig, parse_rate};
use super::{Context, Ending, addresses, json, ui};

const ABOUT: &str = "\
Keys:
  author          who versions are by
  default_store   the store of datasets that are named without one
  limit_rate      the most bytes a second to and from stores in clouds, as 10M";

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

fn known(key: &str) -> Result<()> {
    if KEYS.iter().any(|(known, _)| *known == key) {
        return Ok(());
    }
    let keys = KEYS.map(|(key, _)| key).join(", ");
    Err(Error::usage(format!("no such key: {key}")).hint(format!("the keys are {keys}")))
}

fn get(context: &mut Context, key: &str) -> Result<Ending> {
    known(key)?;
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
    let config = UserConfig::load()?;
    let set = KEYS.iter().filter_map(|(key, _)| Some((*key, config.get(key)?)));
    if !context.for_people() {
        let set: serde_json::Map<_, _> = set.map(|(key, value)| (key.to_owned(), value.into())).collect();
        context.out.document(&json::document(json!({ "config": set })));
        return Ok(Ending::Done);
    }
    for (key, value) in set {
        writeln!(context.out, "{key} = {}", ui::clean(&value));
    }
    Ok(Ending::Done)
}

fn set(context: &mut Context, key: &str, value: Option<&str>) -> Result<Ending> {
    known(key)?;
    let UserConfig { path, mut table } = UserConfig::load()?;
    let path =
        path.ok_or_else(|| Error::usage("no home folder is known, so there is no place for the configuration"))?;
    match value {
        Some(value) => {
            let value = match key {
                "default_store" => context.engine()?.lasting_store(&addresses::checked_store(value)?)?,
                "limit_rate" => parse_rate(value).map(|_| value.to_owned()).map_err(Error::usage)?,
                _ => value.to_owned(),
            };
            table.insert(key.to_owned(), toml::Value::String(value))
        }
        None => table.remove(key),
    };
    if let Some(folder) = path.parent() {
        files::create_folders(folder)?;
    }
    files::write_file(&path, table.to_string().as_bytes(), Durability::Synced)?;
    if !context.for_people() {
        let value = table.get(key).and_then(toml::Value::as_str);
        context.out.document(&json::document(json!({"key": key, "value": value})));
    }
    Ok(Ending::Done)
}
