//! `name`, `tag` and `publish`: what a version is called, and that it stays.

use clap::Args;
use dagset::base::{Error, Result};
use dagset::engine::{NamedVersion, RefKind, TagAt, TagMove};
use serde_json::json;

use super::insist::Insist;
use super::refs::{list, split};
use super::{Context, Ending, addresses, json};

const TAG_EXAMPLES: &str = "\
Examples, in a workspace:
  dagset tag                       list
  dagset tag stable [REF]          point stable at REF, wherever it is now
  dagset tag --protect stable      from now on it moves by --force only
  dagset tag stable 2.0 --force --reason 'fixes the labels'
  dagset tag -d stable             delete
Anywhere, with an address before the name:
  dagset tag ./store/photos@1.0 stable --protect";

const NAME_EXAMPLES: &str = "\
A name is one of a kind in its dataset, and never moves. It may hold letters,
digits and . _ + - and begins with a letter or digit.

Examples:
  dagset name 1.2.0                          the workspace's version
  dagset name 3fa9c27be01d 1.2.0
  dagset name ./store/photos@main~2 1.1";

const PUBLISH_EXAMPLES: &str = "\
What takes away a published version's name, its dataset, the last branch or tag
that leads to it or a protected tag on it, or squashes it, needs --force and a
--reason, which the log keeps.

Examples:
  dagset publish 1.2.0 --note 'used in the paper'
  dagset publish ./store/photos@1.0";

/// List, set, protect or delete tags
#[derive(Args)]
#[command(after_help = TAG_EXAMPLES)]
pub struct Tag {
    /// In a workspace NAME [REF]; anywhere [STORE/]DATASET[@REF] NAME
    #[arg(value_name = "ADDRESS|NAME", num_args = 0..=2)]
    words: Vec<String>,
    /// Delete
    #[arg(short, long)]
    delete: bool,
    /// Protect: where no REF is given, the tag stays where it is
    #[arg(long, conflicts_with_all = ["delete", "unprotect"])]
    protect: bool,
    /// Protect no longer
    #[arg(long, conflicts_with = "delete")]
    unprotect: bool,
    #[command(flatten)]
    insist: Insist,
}

/// Give a version a name
#[derive(Args)]
#[command(after_help = NAME_EXAMPLES, arg_required_else_help = true)]
pub struct Name {
    /// In a workspace [REF] NAME; anywhere [STORE/]DATASET[@REF] NAME
    #[arg(value_name = "ADDRESS|NAME", required = true, num_args = 1..=2)]
    words: Vec<String>,
}

/// Freeze a version
#[derive(Args)]
#[command(after_help = PUBLISH_EXAMPLES)]
pub struct Publish {
    /// [STORE/]DATASET[@REF], or a REF in a workspace [default: the workspace's]
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// Say what it is published for; the log keeps it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub fn tag(context: &mut Context, args: &Tag) -> Result<Ending> {
    let (address, names) = split(context, &args.words, !args.delete)?;
    let reason = args.insist.reason()?;
    let reason = reason.as_ref();
    let protect = (args.protect || args.unprotect).then_some(args.protect);
    let (action, moved) = match (names.as_slice(), args.delete, protect) {
        ([], false, None) => return list(context, &address, RefKind::Tag),
        ([name], true, _) => ("deleted", context.watched(|engine| engine.delete_tag(&address, name, reason))?),
        ([name], _, Some(protected)) if address.reference.is_none() => (
            if protected { "protected" } else { "unprotected" },
            context.watched(|engine| engine.protect_tag(&address, name, protected, reason))?,
        ),
        ([name], false, _) => ("set", context.watched(|engine| engine.set_tag(&address, name, protect, reason))?),
        _ => return Err(Error::usage("these are not the names that this needs").hint("dagset tag --help")),
    };
    tell_of_tag(context, action, &moved);
    Ok(Ending::Done)
}

fn tell_of_tag(context: &mut Context, action: &str, moved: &TagMove) {
    let TagMove { tag, before, after } = moved;
    if !context.for_people() {
        let version = |at: &Option<TagAt>| at.as_ref().map(|at| json::id(&at.version));
        let name = |at: &Option<TagAt>| at.as_ref().and_then(|at| Some(at.version_name.as_ref()?.to_string()));
        // Of a tag that was deleted, where it was.
        let now = if after.is_some() { after } else { before };
        context.out.document(&json::document(json!({
            "kind": "tag", "action": action, "name": tag.to_string(),
            "version": version(now), "version_name": name(now),
            "protected": after.as_ref().is_some_and(|at| at.protected),
            "from": version(before), "from_name": name(before),
        })));
        return;
    }
    if context.global.quiet {
        return;
    }
    let paint = context.paint;
    let shown = |at: &TagAt| match &at.version_name {
        Some(name) => paint.green(name.as_str()),
        None => paint.yellow(at.version.short()),
    };
    let tag = paint.cyan(tag.as_str());
    match (before, after) {
        (Some(before), Some(after)) if before == after => {
            writeln!(context.out, "the tag {tag} is at {} already", shown(after));
        }
        (Some(before), Some(after)) if before.version != after.version => {
            writeln!(context.out, "moved the tag {tag} from {} to {}", shown(before), shown(after));
        }
        (_, Some(after)) => writeln!(context.out, "{action} the tag {tag}, at {}", shown(after)),
        (Some(before), None) => writeln!(context.out, "deleted the tag {tag}, was at {}", shown(before)),
        (None, None) => {}
    }
}

pub fn name(context: &mut Context, args: &Name) -> Result<Ending> {
    let (address, name) = match args.words.as_slice() {
        [address, name] => (addresses::parse(context, address)?, name),
        [name] => (the_workspace(context)?, name),
        _ => return Err(Error::usage("these are not the names that this needs").hint("dagset name --help")),
    };
    let named = context.watched(|engine| engine.name_version(&address, name))?;
    tell_of_version(context, &named, "named");
    Ok(Ending::Done)
}

fn the_workspace(context: &Context) -> Result<dagset::engine::Address> {
    addresses::here(context)?.ok_or_else(|| {
        Error::usage("this is no workspace, so a version must be named").hint("write [STORE/]DATASET[@REF] first")
    })
}

pub fn publish(context: &mut Context, args: &Publish) -> Result<Ending> {
    let address = addresses::parse_or_here(context, args.address.as_deref())?;
    let note = args.note.as_deref().unwrap_or_default();
    let published = context.watched(|engine| engine.publish_version(&address, note))?;
    tell_of_version(context, &published, "published");
    Ok(Ending::Done)
}

fn tell_of_version(context: &mut Context, named: &NamedVersion, action: &str) {
    if !context.for_people() {
        context.out.document(&json::document(json!({
            "kind": "version", "action": action, "dataset": named.dataset.to_string(),
            "version": json::id(&named.version), "name": named.name.as_ref().map(ToString::to_string),
            "changed": named.changed,
        })));
    } else if !context.global.quiet {
        let paint = context.paint;
        let id = paint.yellow(named.version.short());
        let version = named.name.as_ref().map_or(id.clone(), |name| format!("{} {id}", paint.green(name.as_str())));
        let already = if named.changed { "" } else { " already" };
        writeln!(context.out, "{action} {} {version}{already}", paint.bold(named.dataset.as_str()));
    }
}
