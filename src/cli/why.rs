//! `why`: which versions, and which rules of merges, gave a path its content.

use clap::Args;
use dagset::base::Result;
use dagset::engine::{DoneBy, How, Kept, MergeRule, MergeSide, Why, WhyStep};
use serde_json::{Value, json};

use super::history::who;
use super::{Context, Ending, addresses, json, merge, ui};

/// Show which parent, rule and version gave a path its content
///
/// Goes back through merges to the version that put it there, and shows what lost on the way.
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct WhyArgs {
    /// In a workspace REF:PATH or :PATH, anywhere [STORE/]DATASET[@REF]:PATH
    #[arg(value_name = "ADDRESS")]
    address: String,
}

pub fn run(context: &mut Context, args: &WhyArgs) -> Result<Ending> {
    let address = addresses::parse(context, &args.address)?;
    let why = context.watched(|engine| engine.why(&address))?;
    match context.for_people() {
        true => show(context, &why),
        false => context.out.document(&json::document(document(&why))),
    }
    Ok(Ending::Done)
}

fn document(why: &Why) -> Value {
    json!({
        "dataset": why.dataset.as_str(),
        "path": why.path,
        "content": why.content.as_ref().map(json::id),
        "bytes": why.bytes,
        "steps": why.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &WhyStep) -> Value {
    let (how, rule) = match &step.how {
        How::Did(did) => (did.to_string(), None),
        How::MadeExecutable(is_so) => (made_executable(*is_so).to_owned(), None),
        How::Reverted { rule, .. } => ("reverted".to_owned(), Some(words(rule))),
        How::Merged { rule, .. } => ("merged".to_owned(), Some(words(rule))),
    };
    let (took, also, by, kept, sides) = match &step.how {
        How::Merged { took, also, by, kept, sides, .. } => {
            (took.as_deref(), also.as_slice(), by.as_slice(), kept.as_slice(), sides.as_slice())
        }
        _ => (None, &[][..], &[][..], &[][..], &[][..]),
    };
    json!({
        "dataset": step.dataset.as_str(),
        "version": json::id(&step.version),
        "name": step.version_name.as_ref().map(ToString::to_string),
        "path": step.path,
        "author": step.author,
        "time": step.time.to_string(),
        "message": step.message,
        "how": how,
        "rule": rule,
        "reverts": match &step.how {
            How::Reverted { undone, .. } => Some(undone),
            _ => None,
        },
        "took": took,
        "also": also,
        "by": by.iter().map(done_by).collect::<Vec<_>>(),
        "kept": kept.iter().map(|it| json!({ "ref": it.reference, "path": it.path })).collect::<Vec<_>>(),
        "parents": sides.iter().map(merge::side).collect::<Vec<_>>(),
    })
}

fn done_by(by: &DoneBy) -> Value {
    json!({
        "ref": by.reference,
        "dataset": by.dataset.as_str(),
        "version": json::id(&by.version),
        "name": by.version_name.as_ref().map(ToString::to_string),
    })
}

fn made_executable(is_so: bool) -> &'static str {
    if is_so { "made executable" } else { "made no longer executable" }
}

fn words(rule: &MergeRule) -> &str {
    match rule {
        MergeRule::OnlyChange => "only change",
        MergeRule::SameChange => "same change",
        MergeRule::Given(rule) => rule,
        MergeRule::ByHand => "by hand",
    }
}

fn show(context: &mut Context, why: &Why) {
    let paint = context.paint;
    let what = match (why.content, why.bytes) {
        (Some(content), Some(bytes)) => format!("  {}", paint.dim(format!("{}, {}", content.short(), ui::size(bytes)))),
        _ => String::new(),
    };
    writeln!(context.out, "{}{what}", paint.bold(ui::clean(&why.path)));
    for step in &why.steps {
        let version = match &step.version_name {
            Some(name) => paint.green(name.as_str()),
            None => paint.yellow(step.version.short()),
        };
        let version = if step.dataset == why.dataset { version } else { format!("{}@{version}", step.dataset) };
        let renamed = if step.path == why.path { String::new() } else { format!(" as {}", ui::clean(&step.path)) };
        let how = match &step.how {
            How::Did(did) => format!("{did}{renamed}"),
            How::MadeExecutable(is_so) => format!("{}{renamed}", made_executable(*is_so)),
            How::Reverted { undone, rule } => {
                format!("reverted{renamed}: took back {} ({})", paint.cyan(ui::clean(undone)), ui::clean(words(rule)))
            }
            How::Merged { rule, took, also, kept, .. } => {
                let named = took.iter().chain(also).map(|parent| paint.cyan(ui::clean(parent)).to_string());
                let named = listed(&named.collect::<Vec<_>>());
                let what = match (took, kept.as_slice()) {
                    (Some(_), _) => format!("took {named}"),
                    (None, []) => "took what no parent had".to_owned(),
                    (None, _) => "kept each under a name of its own".to_owned(),
                };
                format!("merged{renamed}: {what} ({})", ui::clean(words(rule)))
            }
        };
        writeln!(context.out, "{version}  {how}");
        let subject = step.message.lines().next().filter(|line| !line.is_empty());
        let subject = subject.map(|line| format!("  {}", ui::clean(line))).unwrap_or_default();
        let about = format!("{}  {}{subject}", ui::moment(step.time), ui::clean(who(&step.author)));
        writeln!(context.out, "    {}", paint.dim(ui::fit(&about, 4)));
        let How::Merged { also, by, kept, sides, .. } = &step.how else { continue };
        for side in sides {
            let kept = kept.iter().find(|kept| kept.reference == side.reference);
            // Where one parent's was taken, the next step is the version that did it.
            let by = by.iter().find(|by| !also.is_empty() && by.reference == side.reference);
            show_side(context, why, side, by, kept);
        }
    }
}

/// `a, b and c`.
fn listed(names: &[String]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

fn show_side(context: &mut Context, why: &Why, side: &MergeSide, by: Option<&DoneBy>, kept: Option<&Kept>) {
    let content = side.content.map(|content| format!("  {}", content.short())).unwrap_or_default();
    let bytes = side.bytes.map(|bytes| format!("  {}", ui::size(bytes))).unwrap_or_default();
    let by = by.map(|by| {
        let version = by.version_name.as_ref().map_or_else(|| by.version.short(), ToString::to_string);
        if by.dataset == why.dataset { format!("  by {version}") } else { format!("  by {}@{version}", by.dataset) }
    });
    let kept = kept.map(|kept| format!("  as {}", ui::clean(&kept.path))).unwrap_or_default();
    let mode = if side.executable { "  executable" } else { "" };
    let did = format!(": {}{content}{bytes}{mode}{}{kept}", side.did, by.unwrap_or_default());
    let reference = ui::fit(&ui::clean(&side.reference), 4 + ui::width(&did));
    writeln!(context.out, "    {}{did}", context.paint.cyan(reference));
}
