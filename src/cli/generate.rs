//! `completions` and `man`: made from the command line's own description.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use dagset::base::files::{self, Durability};
use dagset::base::{Error, Result};
use serde_json::json;

use super::{Context, Ending, json, ui};

const EXAMPLES: &str = "\
Examples:
  dagset completions bash > ~/.local/share/bash-completion/completions/dagset
  dagset completions zsh > ~/.zfunc/_dagset
  dagset completions fish > ~/.config/fish/completions/dagset.fish";

/// Print completions for a shell
#[derive(Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Write the man pages into a folder
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Man {
    /// The folder, as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn completions(context: &mut Context, args: &Completions) -> Result<Ending> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "dagset", &mut script);
    let script = String::from_utf8_lossy(&script);
    match context.for_people() {
        true => write!(context.out, "{script}"),
        false => context.out.document(&json::document(json!({"shell": args.shell.to_string(), "script": script}))),
    }
    Ok(Ending::Done)
}

pub fn man(context: &mut Context, args: &Man) -> Result<Ending> {
    let folder = context.folder()?.join(&args.folder);
    files::create_folders(&folder)?;
    let mut root = super::Cli::command().disable_help_flag(true);
    root.build();
    let mut pages = Vec::new();
    collect(&root, "dagset".to_owned(), &mut pages);
    let mut written = Vec::new();
    for (name, command) in pages {
        let mut page = Vec::new();
        clap_mangen::Man::new(command.display_name(&name))
            .render(&mut page)
            .map_err(|fault| Error::new(dagset::base::Kind::Failed, "cannot write a man page").because(fault))?;
        let path = folder.join(format!("{name}.1"));
        files::write_file(&path, &page, Durability::Renamed)?;
        written.push(path.display().to_string());
    }
    match context.for_people() {
        true => context.say(&format!(
            "{} in {}",
            ui::count(written.len() as u64, "page"),
            ui::clean(&folder.display().to_string())
        )),
        false => context.out.document(&json::document(json!({ "files": written }))),
    }
    Ok(Ending::Done)
}

/// A command and all below it, each under the name of its page.
fn collect(command: &clap::Command, name: String, pages: &mut Vec<(String, clap::Command)>) {
    pages.push((name.clone(), command.clone()));
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        collect(below, format!("{name}-{}", below.get_name()), pages);
    }
}
