//! From an error to what is seen of it: text with numbered causes and the next command, a JSON document, an exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use dagset::base::{Error, Kind, Observer};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use serde::Serialize;

use super::Context;
use super::json::SCHEMA;
use super::output::{Output, stderr_line};
use super::ui::{Paint, clean};

/// Exit codes that are no error's alone.
pub const USAGE: u8 = 2;
pub const DAMAGED: u8 = 5;
pub const INCOMPLETE: u8 = 8;

/// The exit code of a kind, and its name in JSON.
pub fn code_and_name(kind: Kind) -> (u8, &'static str) {
    match kind {
        Kind::Failed => (1, "failed"),
        Kind::Usage => (USAGE, "usage"),
        Kind::NotFound => (3, "not_found"),
        Kind::Conflict => (4, "conflict"),
        Kind::Damaged => (DAMAGED, "damaged"),
        Kind::Unreachable => (6, "unreachable"),
        Kind::Busy => (7, "busy"),
        Kind::Incomplete => (INCOMPLETE, "incomplete"),
        Kind::Interrupted => (130, "interrupted"),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    kind: &'a str,
    message: &'a str,
    causes: &'a [String],
    hint: Option<&'a str>,
}

/// Says on stderr what failed and why, and gives the exit code; with `--json` the document too.
pub fn fault(fault: &Error, context: &mut Context) -> ExitCode {
    if fault.kind() == Kind::Interrupted {
        return ExitCode::from(interrupted(&mut context.out, context.global.json));
    }
    let (code, kind) = code_and_name(fault.kind());
    let message = fault.to_string();
    let causes = fault.causes();
    text(context.paint_err, &message, &causes, fault.next_step());
    if context.global.json {
        document(&mut context.out, Body { kind, message: &message, causes: &causes, hint: fault.next_step() });
    }
    ExitCode::from(code)
}

/// How long work may take to finish what has come; then it is ended.
const FINISHING: Duration = Duration::from_secs(3);

/// Whether it was said that the process was interrupted.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Has an interrupt, or a scheduler's SIGTERM, end the process with its own exit code and, with `--json`, the document that says so. Work
/// that heeds it finishes the files that have come; a second signal ends that at once. What was being written is removed; the same command
/// goes on. To be called before there are other threads.
pub fn on_interrupt(json: bool, observer: Observer) {
    let was_asked = AtomicBool::new(false);
    let come = Arc::new(move || {
        if was_asked.swap(true, Ordering::AcqRel) || !observer.stop() {
            end(json, &observer);
        }
        let observer = observer.clone();
        let wait = move || {
            std::thread::sleep(FINISHING);
            end(json, &observer);
        };
        // Without a thread to spare, a second signal ends it.
        std::thread::Builder::new().name("finishing".to_owned()).spawn(wait).ok();
    });
    // Where nobody can wait for a signal, it ends the process by itself.
    let on_terminate = come.clone();
    on_terminate_signal(move || on_terminate()).ok();
    ctrlc::set_handler(move || come()).ok();
}

/// Ends the process as an interrupted one, whatever goes on in it.
#[expect(clippy::exit, reason = "the handler is where the process ends; nothing is left to unwind")]
fn end(json: bool, observer: &Observer) -> ! {
    let code = interrupted(&mut Output::new(observer.clone()), json);
    let _until_the_end = dagset::base::files::abandon_files();
    std::process::exit(code.into());
}

/// Says that the process was interrupted, once; gives the exit code.
fn interrupted(out: &mut Output, json: bool) -> u8 {
    let (code, kind) = code_and_name(Kind::Interrupted);
    if !INTERRUPTED.swap(true, Ordering::AcqRel) {
        stderr_line("interrupted: the same command can be run again");
        if json {
            let hint = Some("run the same command again");
            document(out, Body { kind, message: "interrupted", causes: &[], hint });
        }
    }
    code
}

/// Calls `come` for each SIGTERM, in a thread. Who ignores it goes on doing so.
fn on_terminate_signal(come: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let terminate = SigSet::from(Signal::SIGTERM);
    terminate.thread_block()?;
    let wait = move || {
        let Ok(signals) = SignalFd::new(&terminate) else { return };
        while let Ok(Some(_)) = signals.read_signal() {
            come();
        }
    };
    let started = std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop);
    started.inspect_err(|_| {
        terminate.thread_unblock().ok();
    })
}

/// Lets a program that this process becomes have its signals as it is used to.
pub fn let_signals_through() {
    SigSet::from(Signal::SIGTERM).thread_unblock().ok();
}

fn document(out: &mut Output, error: Body<'_>) {
    out.document(&Document { schema: SCHEMA, error });
    // Nothing is left to do where even this can't be written.
    out.finish().ok();
}

fn text(paint: Paint, message: &str, causes: &[String], hint: Option<&str>) {
    stderr_line(&format!("{} {}", paint.red("error:"), lines(message)));
    match causes {
        [] => {}
        [cause] => stderr_line(&format!("  {} {}", paint.dim("because:"), lines(cause))),
        _ => {
            stderr_line(&format!("  {}", paint.dim("because:")));
            for (number, cause) in causes.iter().enumerate() {
                stderr_line(&format!("  {:>2}. {}", number + 1, lines(cause)));
            }
        }
    }
    if let Some(hint) = hint {
        stderr_line(&format!("{} {}", paint.cyan("hint:"), lines(hint)));
    }
}

/// Cleans a message, but keeps the line breaks of its lists, which are followed by two spaces.
fn lines(message: &str) -> String {
    message.split("\n  ").map(clean).collect::<Vec<_>>().join("\n  ")
}

/// What clap has against this process's command line where no command shows its help for want of arguments.
fn what_is_missing() -> Option<clap::Error> {
    fn strict(command: clap::Command) -> clap::Command {
        command.arg_required_else_help(false).mut_subcommands(strict)
    }
    strict(super::args::Cli::command()).try_get_matches().err()
}

/// A command line that clap doesn't take, or its help.
pub fn usage(refusal: &clap::Error) -> ExitCode {
    let is_asked_for = matches!(refusal.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // As text for stderr or, if it was asked for, stdout; a closed pipe is nobody's loss.
    refusal.print().ok();
    if is_asked_for {
        return ExitCode::SUCCESS;
    }
    let wants_json = std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json");
    if wants_json {
        // Of a command without arguments its help was shown: what is missing is said by asking once more.
        let shows_help = refusal.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        let missing = shows_help.then(what_is_missing).flatten();
        let refusal = missing.as_ref().unwrap_or(refusal);
        let rendered = refusal.render().to_string();
        let message = rendered.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default().trim().to_owned();
        let hint = match refusal.get(ContextKind::Usage) {
            Some(ContextValue::StyledStr(usage)) => usage.to_string().trim_start_matches("Usage: ").replace('\n', " "),
            _ => "dagset --help".to_owned(),
        };
        let body = Body { kind: "usage", message: &message, causes: &[], hint: Some(hint.trim()) };
        document(&mut Output::new(Observer::new()), body);
    }
    ExitCode::from(USAGE)
}
