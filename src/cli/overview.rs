//! The first screen: the commands in groups, which clap has no way to say.

use std::fmt::Write;

use clap::Command;

/// Every command that isn't hidden, under a heading.
const GROUPS: &[(&str, &[&str])] = &[
    ("Start", &["init", "clone", "ingest", "get"]),
    ("Look", &["list", "ls", "tree", "cat", "stat", "log", "show", "diff"]),
    ("Work in a folder", &["status", "add", "rm", "mv", "commit", "restore", "switch", "clean"]),
    ("History and names", &["branch", "tag", "name", "publish", "meta", "squash", "revert", "undo"]),
    ("Merge", &["merge", "resolve", "refresh", "why"]),
    ("Stores and remotes", &["store", "dataset", "remote", "push", "fetch", "pull"]),
    ("Cache and training", &["warm", "run", "cache"]),
    ("Who used what", &["use", "uses", "lineage", "lock"]),
    (
        "Administration",
        &["oplog", "audit", "verify", "doctor", "gc", "prune", "purge", "unpurge", "du", "config", "completions"],
    ),
];

/// The command line with that screen as its help.
pub fn grouped(command: Command) -> Command {
    let styles = command.get_styles();
    let (header, literal) = (*styles.get_header(), *styles.get_literal());
    let width = command.get_subcommands().map(|it| it.get_name().len()).max().unwrap_or_default();
    let mut screen = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    let mut line = |text: std::fmt::Arguments<'_>| screen.write_fmt(text).expect("a string takes all");
    for (heading, names) in GROUPS {
        line(format_args!("\n{header}{heading}:{header:#}\n"));
        for known in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = known.get_about().cloned().unwrap_or_default();
            line(format_args!("  {literal}{:width$}{literal:#}  {about}\n", known.get_name()));
        }
    }
    line(format_args!("\n{header}Global options:{header:#}\n{{options}}{{after-help}}"));
    command.help_template(screen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_in_one_group() {
        let command = super::super::Cli::command();
        let mut shown: Vec<&str> =
            command.get_subcommands().filter(|it| !it.is_hide_set()).map(Command::get_name).collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        shown.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(shown, grouped);
    }
}
