//! `branch`: names that move on with what is committed. What lists them lists tags too.

use clap::Args;
use dagset::base::{Error, Result};
use dagset::engine::{Address, Location, RefKind, RefRow};
use serde_json::json;

use super::table::{left, print};
use super::ui::{self, Paint};
use super::{Context, Ending, addresses, insist, json};

const BRANCH_EXAMPLES: &str = "\
Examples, in a workspace:
  dagset branch                    list
  dagset branch fixes [REF]        make fixes, at REF or at the workspace's version
  dagset branch -m fixes done      rename
  dagset branch -d done            delete; `dagset undo` brings it back
Anywhere, with an address before the name:
  dagset branch ./store/photos@1.0 fixes";

/// List, make, rename or delete branches
#[derive(Args)]
#[command(after_help = BRANCH_EXAMPLES)]
pub struct Branch {
    /// In a workspace NAME [REF]; anywhere [STORE/]DATASET[@REF] NAME
    #[arg(value_name = "ADDRESS|NAME", num_args = 0..=3)]
    words: Vec<String>,
    /// Rename: the two names come last
    #[arg(short = 'm', long = "rename", conflicts_with = "delete")]
    rename: bool,
    /// Delete, unless versions are on no other branch, tag or name
    #[arg(short, long)]
    delete: bool,
    /// Delete all the same, ids still find those versions; published ones need a reason
    #[arg(long, requires = "delete")]
    force: bool,
    /// Why; the log keeps it
    #[arg(long, value_name = "TEXT", requires = "force")]
    reason: Option<String>,
}

pub fn branch(context: &mut Context, args: &Branch) -> Result<Ending> {
    let (address, names) = split(context, &args.words, !args.rename && !args.delete)?;
    let (action, row) = match (names.as_slice(), args.rename, args.delete) {
        ([], false, false) => return list(context, &address, RefKind::Branch),
        ([from, to], true, _) => ("renamed", context.watched(|engine| engine.rename_branch(&address, from, to))?),
        ([name], _, true) => {
            let reason = insist::parse(args.reason.as_deref())?;
            let (row, alone) =
                context.watched(|engine| engine.delete_branch(&address, name, args.force, reason.as_ref()))?;
            if alone > 0 {
                let versions = super::ui::count(alone, "version");
                context.say(&format!("only ids lead to {versions} now; `dagset undo` brings the branch back"));
            }
            ("deleted", row)
        }
        ([name], false, false) => ("created", context.watched(|engine| engine.create_branch(&address, name))?),
        _ => return Err(Error::usage("these are not the names that this needs").hint("dagset branch --help")),
    };
    tell(context, "branch", action, &row);
    Ok(Ending::Done)
}

/// The address that is meant, and the names: in a workspace `NAME [REF]` (`takes_ref`), anywhere an address before the names.
pub fn split(context: &Context, words: &[String], takes_ref: bool) -> Result<(Address, Vec<String>)> {
    let Some(here) = addresses::here(context)? else {
        let (first, names) = words.split_first().ok_or_else(|| {
            Error::usage("this is no workspace, so a dataset must be named").hint("write [STORE/]DATASET[@REF] first")
        })?;
        return Ok((addresses::parse(context, first)?, names.to_vec()));
    };
    match words {
        [first, names @ ..] if addresses::parse(context, first)?.location != Location::Here => {
            Ok((addresses::parse(context, first)?, names.to_vec()))
        }
        [name, reference] if takes_ref => Ok((addresses::parse(context, reference)?, vec![name.clone()])),
        names => Ok((here, names.to_vec())),
    }
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

/// Lists the branches, or the tags, of a dataset.
pub fn list(context: &mut Context, address: &Address, kind: RefKind) -> Result<Ending> {
    if address.reference.is_some() {
        return Err(Error::usage("to list, the address is that of a dataset, without a REF").hint(format!(
            "to make one there, give its name too: `dagset {} {address} NAME`",
            if kind == RefKind::Branch { "branch" } else { "tag" }
        )));
    }
    let rows = context.watched(|engine| engine.list_refs(address, kind))?;
    let (key, what) = match kind {
        RefKind::Branch => ("branches", "branches"),
        RefKind::Tag => ("tags", "tags"),
    };
    if !context.for_people() {
        let row = |row: &RefRow| json!({"name": row.name, "version": json::id(&row.version), "version_name": row.version_name.as_ref().map(ToString::to_string), "protected": row.protected, "content_let_go": row.let_go.map(json::let_go)});
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
            let marks = [row.protected.then_some("protected"), row.let_go.map(|_| ui::LET_GO)];
            let marks = marks.into_iter().flatten().collect::<Vec<_>>().join(", ");
            let named = row.version_name.as_ref().map(ToString::to_string).unwrap_or_default();
            vec![row.name.clone(), row.version.short(), named, marks]
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
