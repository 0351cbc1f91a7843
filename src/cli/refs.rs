//! `branch` and `tag`: names that point at versions.

use clap::Args;
use dagset::base::{Error, Result};
use dagset::engine::{RefKind, RefRow};
use serde_json::json;

use super::table::{left, print};
use super::ui::Paint;
use super::{Context, Ending, addresses, json, ui};

const BRANCH_EXAMPLES: &str = "\
Examples:
  dagset branch ./store/photos                  list
  dagset branch ./store/photos@1.0 fixes        make fixes at 1.0
  dagset branch -m ./store/photos fixes done    rename
  dagset branch -d ./store/photos done          delete; the versions stay";

const TAG_EXAMPLES: &str = "\
Examples:
  dagset tag ./store/photos                list
  dagset tag ./store/photos@1.0 stable     point stable at 1.0, wherever it is now
  dagset tag -d ./store/photos stable      delete";

/// List, make, rename or delete branches
#[derive(Args)]
#[command(after_help = BRANCH_EXAMPLES, arg_required_else_help = true)]
pub struct Branch {
    /// [STORE/]DATASET[@REF]
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// The branch to make at the address's version, or to rename or delete
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// With -m: its new name
    #[arg(value_name = "NEW", requires = "rename")]
    new: Option<String>,
    /// Rename NAME to NEW
    #[arg(short = 'm', long = "rename", requires = "new", conflicts_with = "delete")]
    rename: bool,
    /// Delete NAME; the versions stay
    #[arg(short, long, requires = "name")]
    delete: bool,
}

/// List, set or delete tags
#[derive(Args)]
#[command(after_help = TAG_EXAMPLES, arg_required_else_help = true)]
pub struct Tag {
    /// [STORE/]DATASET[@REF]
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// The tag to point at the address's version, or to delete
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Delete NAME
    #[arg(short, long, requires = "name")]
    delete: bool,
}

pub fn branch(context: &mut Context, args: &Branch) -> Result<Ending> {
    let address = addresses::parse(context, &args.address)?;
    let Some(name) = &args.name else { return list(context, &args.address, RefKind::Branch) };
    let (action, row) = match (&args.new, args.delete) {
        (Some(new), _) => ("renamed", context.watched(|engine| engine.rename_branch(&address, name, new))?),
        (None, true) => ("deleted", context.watched(|engine| engine.delete_branch(&address, name))?),
        (None, false) => ("created", context.watched(|engine| engine.create_branch(&address, name))?),
    };
    tell(context, "branch", action, &row);
    Ok(Ending::Done)
}

pub fn tag(context: &mut Context, args: &Tag) -> Result<Ending> {
    let address = addresses::parse(context, &args.address)?;
    let Some(name) = &args.name else { return list(context, &args.address, RefKind::Tag) };
    let (action, row) = match args.delete {
        true => ("deleted", context.watched(|engine| engine.delete_tag(&address, name))?),
        false => ("set", context.watched(|engine| engine.set_tag(&address, name))?),
    };
    tell(context, "tag", action, &row);
    Ok(Ending::Done)
}

fn tell(context: &mut Context, what: &str, action: &str, row: &RefRow) {
    if !context.for_people() {
        let version = json::id(&row.version);
        context
            .out
            .document(&json::document(json!({"kind": what, "action": action, "name": row.name, "version": version})));
    } else if !context.global.quiet {
        let paint = context.paint;
        let at = if action == "deleted" { "was at" } else { "at" };
        let name = paint.cyan(&row.name);
        writeln!(context.out, "{action} the {what} {name}, {at} {}", paint.yellow(row.version.short()));
    }
}

fn list(context: &mut Context, address: &str, kind: RefKind) -> Result<Ending> {
    let parsed = addresses::parse(context, address)?;
    if parsed.reference.is_some() {
        let text = ui::quoted(address);
        return Err(Error::usage("to list, the address is that of a dataset, without a REF")
            .hint(format!("to make one there: `dagset branch {text} NAME` or `dagset tag {text} NAME`")));
    }
    let rows = context.watched(|engine| engine.list_refs(&parsed, kind))?;
    let (key, what) = match kind {
        RefKind::Branch => ("branches", "branches"),
        RefKind::Tag => ("tags", "tags"),
    };
    if !context.for_people() {
        let row = |row: &RefRow| json!({"name": row.name, "version": json::id(&row.version), "version_name": row.version_name.as_ref().map(ToString::to_string), "protected": row.protected});
        let rows: Vec<_> = rows.iter().map(row).collect();
        context.out.document(&json::document(json!({ key: rows })));
        return Ok(Ending::Done);
    }
    if rows.is_empty() {
        context.say(&format!("no {what}"));
    }
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let protected = if row.protected { "protected" } else { "" };
            let named = row.version_name.as_ref().map(ToString::to_string).unwrap_or_default();
            vec![row.name.clone(), row.version.short(), named, protected.to_owned()]
        })
        .collect();
    let columns = [
        left("").flexible().painted(Paint::cyan),
        left("").painted(Paint::yellow),
        left("").painted(Paint::green),
        left("").painted(Paint::dim),
    ];
    let paint = context.paint;
    print(&mut context.out, paint, &columns, &cells);
    Ok(Ending::Done)
}
