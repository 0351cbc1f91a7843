//! What a check of a store found, step by step.

use dagset::engine::{CheckStep, StepOutcome, StoreCheck};
use serde_json::{Value, json};

use super::{Context, Ending, report, table, ui};

/// Columns of the outcome and of a step's name, each with its gap.
const OUTCOME: usize = 10;
const NAME: usize = 18;

/// Prints the steps; the exit code is that of the first failure.
pub fn tell(context: &mut Context, check: &StoreCheck, remote: Option<&str>) -> Ending {
    if context.for_people() {
        show(context, check);
    } else {
        let steps: Vec<Value> = check.steps.iter().map(step).collect();
        let mut document = json!({"root": check.root, "holds": check.failure().is_none(), "steps": steps});
        if let Some(remote) = remote {
            document["remote"] = remote.into();
        }
        context.out.document(&super::json::document(document));
    }
    check.failure().map_or(Ending::Done, Ending::Failed)
}

fn step(step: &CheckStep) -> Value {
    let (outcome, kind) = match step.outcome {
        StepOutcome::Ok => ("ok", None),
        StepOutcome::Failed(kind) => ("failed", Some(report::code_and_name(kind).1)),
        StepOutcome::LeftOut => ("left_out", None),
    };
    json!({"step": step.name, "outcome": outcome, "kind": kind, "detail": step.detail, "hint": step.hint})
}

fn show(context: &mut Context, check: &StoreCheck) {
    let paint = context.paint;
    writeln!(context.out, "{}", paint.bold(ui::clean(&check.root)));
    let mut rest = check.steps.as_slice();
    while let Some(step) = rest.first() {
        // What was left out for one reason is one line.
        let alike = |other: &&CheckStep| other.outcome == StepOutcome::LeftOut && other.detail == step.detail;
        let together = rest.iter().take_while(alike).count().max(1);
        let (those, behind) = rest.split_at(together);
        rest = behind;
        match those {
            [step] => row(context, step.outcome, &format!("{:NAME$}", step.name), &step.detail),
            _ => {
                let names = those.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
                row(context, step.outcome, "", &format!("{names}: {}", step.detail));
            }
        }
        for (at, line) in
            step.hint.iter().flat_map(|hint| table::wrap(&ui::clean(hint), room(OUTCOME + NAME + 6))).enumerate()
        {
            let lead = if at == 0 { paint.cyan("hint: ") } else { " ".repeat(6) };
            writeln!(context.out, "{:1$}{lead}{line}", "", OUTCOME + NAME);
        }
    }
    let failed = check.steps.iter().filter(|step| matches!(step.outcome, StepOutcome::Failed(_))).count();
    match failed {
        _ if context.global.quiet => {}
        0 => writeln!(context.out, "{} all that was tried holds", paint.green("ok:")),
        _ => writeln!(context.out, "{} {}", paint.red("failed:"), ui::count(failed as u64, "step")),
    }
}

/// A line of the list, with what was found beside the name, or below itself where there is no name.
fn row(context: &mut Context, outcome: StepOutcome, name: &str, detail: &str) {
    let (outcome, colour): (_, ui::Colour) = match outcome {
        StepOutcome::Ok => ("ok", ui::Paint::green),
        StepOutcome::Failed(_) => ("failed", ui::Paint::red),
        StepOutcome::LeftOut => ("left out", ui::Paint::dim),
    };
    let outcome = colour(context.paint, format!("{outcome:OUTCOME$}"));
    let indent = OUTCOME + name.len();
    let mut lines = table::wrap(&ui::clean(detail), room(indent)).into_iter();
    writeln!(context.out, "{outcome}{name}{}", lines.next().unwrap_or_default());
    for line in lines {
        writeln!(context.out, "{:indent$}{line}", "");
    }
}

/// Columns that are left behind `indent`.
fn room(indent: usize) -> usize {
    ui::columns().unwrap_or(80).saturating_sub(indent).max(30)
}
