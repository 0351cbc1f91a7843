//! `commit` and `switch`: the workspace's folder becomes a version, a version becomes the folder.

use clap::Args;
use dagset::base::Result;
use dagset::engine::{CommitOptions, parse_metadata};
use serde_json::json;

use super::naming::Naming;
use super::{Context, Ending, ingest, json, purged, ui};

const EXAMPLES: &str = "\
Examples:
  dagset commit -a -m 'night scenes' --as 1.1
  dagset add labels && dagset commit -m 'labels only'";

/// Make a version of what is staged, or of all changes
///
/// Nothing to commit is no error.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Commit {
    /// Take all that `status` lists: new, changed and removed
    #[arg(short, long)]
    all: bool,
    /// Say what the version is about
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    naming: Naming,
    /// Add metadata to the version; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
    /// Point this tag at the version; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Store nothing; show what would come of it
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Make the folder another version
///
/// A branch is what later commits move; any other REF leaves the workspace on no branch. A branch that only
/// one remote has, as of the last fetch, is made here. What no version holds is never overwritten.
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Switch {
    /// A branch, version name, tag or id
    #[arg(value_name = "REF")]
    reference: String,
}

pub fn commit(context: &mut Context, args: Commit) -> Result<Ending> {
    let options = CommitOptions {
        branch: None,
        all: args.all,
        message: args.message.unwrap_or_default(),
        bump: args.naming.bump(),
        name: args.naming.name,
        tags: args.tags,
        meta: parse_metadata(&args.meta)?,
        dry_run: args.dry_run,
    };
    let published = context.watched(|engine| engine.commit(&options))?;
    let ending = ingest::tell(context, &published, "");
    if !published.changed && !options.all && published.version.is_some() {
        context.say("nothing is staged; `dagset commit -a` takes all changes");
    }
    Ok(ending)
}

pub fn switch(context: &mut Context, args: &Switch) -> Result<Ending> {
    let switched = context.watched(|engine| engine.switch(&args.reference))?;
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "branch": switched.branch.as_ref().map(ToString::to_string),
            "version": json::id(&switched.version),
            "name": switched.version_name.as_ref().map(ToString::to_string),
            "made_from": switched.made_from.as_ref().map(ToString::to_string),
            "written": switched.written, "removed": switched.removed,
            "purged": purged::document(&switched.purged),
        })));
    } else if !context.global.quiet {
        let paint = context.paint;
        let version = match &switched.version_name {
            Some(name) => paint.green(name.as_str()),
            None => paint.yellow(switched.version.short()),
        };
        let place = match &switched.branch {
            Some(branch) => format!("on {}", paint.cyan(branch.as_str())),
            None => "on no branch".to_owned(),
        };
        if let (Some(branch), Some(following)) = (&switched.branch, &switched.made_from) {
            writeln!(context.out, "new branch {} from {}", paint.cyan(branch.as_str()), paint.cyan(following.as_str()));
        }
        let (written, removed) = (ui::count(switched.written, "path"), ui::number(switched.removed));
        writeln!(context.out, "at {version}, {place}: {written} written, {removed} removed");
    }
    if context.for_people() {
        purged::tell(context, &switched.purged);
    }
    Ok(purged::ending([&switched.purged].into_iter()))
}
