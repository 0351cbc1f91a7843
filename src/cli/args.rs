//! The command line: what there is, and the help that describes it. A doc comment of an argument is its help.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Effects};
use clap::{Args, Parser, Subcommand, ValueEnum};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Yellow.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

const ABOUT: &str = "\
Examples:
  dagset ingest ./photos --into ./store/photos --create --as 1.0
  dagset ls ./store/photos@1.0
  dagset get ./store/photos@1.0 ./copy

An address is [STORE/]DATASET[@REF][:PATH]. A STORE begins with / ./ ../ ~/ or
scheme://. A REF is a version name, tag, branch or id, and ~1 is its parent;
none is the branch main.";

/// Version control for machine-learning datasets
#[derive(Parser)]
#[command(
    name = "dagset",
    version,
    styles = STYLES,
    max_term_width = 80,
    after_help = ABOUT,
    disable_help_flag = true,
    disable_help_subcommand = true,
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Print answers and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more of what is done
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// Where datasets are that are named without a store
    #[arg(long, value_name = "STORE", global = true)]
    pub store: Option<String>,
    /// Who versions are by, as "Name <mail>"
    #[arg(long, value_name = "WHO", global = true)]
    pub author: Option<String>,
    /// Record no host, user, command or commit with versions
    #[arg(long, global = true)]
    pub no_provenance: bool,
    /// Threads [default: the CPUs this process may use]
    #[arg(long, value_name = "N", global = true)]
    pub jobs: Option<NonZeroUsize>,
    /// The cache to fill, and others to read: DIR,DIR:ro
    #[arg(long, value_name = "DIR", global = true, value_delimiter = ',')]
    pub cache: Vec<String>,
    /// Bytes a second to and from stores in clouds, as 10M
    #[arg(long, value_name = "RATE", global = true, value_parser = super::settings::parse_rate)]
    pub limit_rate: Option<u64>,
    /// Ask no store in a cloud, use what is kept here
    #[arg(long, global = true)]
    pub offline: bool,
    /// bar, lines, or json: a line a second on stderr
    #[arg(long, value_name = "FORM", global = true, hide_possible_values = true, conflicts_with = "no_progress")]
    pub progress: Option<ProgressKind>,
    /// Show no progress
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Print this help
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressKind {
    Bar,
    Lines,
    Json,
}

#[derive(Subcommand)]
pub enum Command {
    // A folder with versions of its own.
    Init(super::workspace::Init),
    Status(super::status::StatusArgs),
    Add(super::workspace::Add),
    Rm(super::workspace::Rm),
    Mv(super::workspace::Mv),
    Commit(super::commit::Commit),
    Restore(super::workspace::Restore),
    Switch(super::commit::Switch),
    Clean(super::workspace::Clean),
    // Putting in and taking out.
    Ingest(super::ingest::Ingest),
    Get(super::get::Get),
    Warm(super::warm::Warm),
    Run(super::run::Run),
    // Looking.
    List(super::list::List),
    Ls(super::listing::Ls),
    Tree(super::listing::Tree),
    Cat(super::listing::Cat),
    Stat(super::listing::Stat),
    // History.
    Log(super::history::Log),
    Show(super::history::Show),
    Diff(super::diff::Diff),
    Why(super::why::WhyArgs),
    Branch(super::refs::Branch),
    Tag(super::tags::Tag),
    Name(super::tags::Name),
    Publish(super::tags::Publish),
    Meta(super::meta::Meta),
    Merge(super::merge::Merge),
    Squash(super::rewrite::Squash),
    Revert(super::rewrite::Revert),
    Dataset(super::dataset::DatasetArgs),
    Oplog(super::oplog::Oplog),
    Undo(super::undo::Undo),
    Audit(super::audit::Audit),
    Resolve(super::merge::Resolve),
    Refresh(super::merge::Refresh),
    // Who used what.
    Use(super::uses::Use),
    Uses(super::uses::Uses),
    Lineage(super::lineage::LineageArgs),
    Lock(super::lock::Lock),
    // Between stores.
    Clone(super::transfer::Clone),
    Push(super::transfer::Push),
    Fetch(super::transfer::Fetch),
    Pull(super::transfer::Pull),
    // Keeping house.
    Remote(super::remote::RemoteArgs),
    Store(super::store::Store),
    Cache(super::cache::CacheArgs),
    Doctor(super::doctor::Doctor),
    Gc(super::gc::Gc),
    Prune(super::prune::Prune),
    Purge(super::purge::Purge),
    Unpurge(super::purge::Unpurge),
    Du(super::du::Du),
    Verify(super::verify::Verify),
    Config(super::config::Config),
    Completions(super::generate::Completions),
    #[command(hide = true)]
    Man(super::generate::Man),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
