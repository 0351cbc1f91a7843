//! `run`: a command with versions ready to read, held while it runs.
//!
//! There are two processes. The inner one makes the views ready, holds them by its own number, and becomes the command: so the lease is
//! the command's own from before its first read to its end, whoever else is killed. The outer one waits for it: it passes signals on,
//! renews the leases of days-long jobs, and afterwards takes them away. With `--exec` there is no outer one.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use clap::Args;
use dagset::base::{Error, Kind, Result};
use dagset::engine::{Engine, Ready};
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use rustix::process::{Pid, kill_process};

use super::args::Global;
use super::{Context, Ending, report};

const NOTES: &str = "\
In the words of COMMAND {} is the folder of the first version, {2} that of the
second; not behind a $, and {{}} stands for {}. DAGSET_DATA and DAGSET_DATA_1,
DAGSET_DATA_2… say the same. The folders are read-only, and shared by all jobs.

Ends with COMMAND's exit code, 128 and its number after a signal; with 127 if
there is no such command, 126 if it can't be run.

Examples:
  dagset run s3://bucket/data/signs@1.2.0 -- python train.py --data {}
  dagset run ./store/a@1.0 ./store/b@2.0 -- diff -r {1} {2}";

/// How often leases are looked after: they last a day.
const TEND_EVERY: Duration = Duration::from_secs(3600);
/// What is passed on. Not what only a terminal sends, to all of its processes.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2];
/// Of no command: as shells and `env` have it.
const NOT_FOUND: u8 = 127;
const CANNOT_RUN: u8 = 126;

/// Run a command on versions, which are kept while it runs
#[derive(Args)]
#[command(after_help = NOTES, arg_required_else_help = true)]
pub struct Run {
    /// [STORE/]DATASET[@REF][:PATH]
    #[arg(value_name = "ADDRESS", required_unless_present = "locked")]
    addresses: Vec<String>,
    #[command(flatten)]
    locked: super::lock::Locked,
    #[command(flatten)]
    part: super::part::Part,
    /// Become COMMAND instead of waiting for it
    #[arg(long)]
    exec: bool,
    /// Record that run ID uses them [default: the job's that this is part of]
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", last = true, required = true)]
    command: Vec<OsString>,
}

impl Run {
    /// Whether this process is to wait for another that becomes the command. If not, what that one holds back of signals is let through.
    pub fn waits(&self) -> bool {
        if self.exec {
            signals().thread_unblock().ok();
        }
        !self.exec
    }
}

/// Makes ready and becomes the command; comes back only where that can't be run.
pub fn run(context: &mut Context, args: &Run) -> Result<Ending> {
    let meant = args.locked.addresses(context, &args.addresses)?;
    let share = args.part.share();
    let run = context.run(args.run.as_deref())?;
    let hold_one = |engine: &Engine, address| engine.hold_ready(address, share.as_ref(), run.as_ref());
    let hold = |engine: &Engine| meant.iter().map(|address| hold_one(engine, address)).collect();
    let ready: Vec<Ready> = context.watched(hold)?;
    ready.iter().for_each(|ready| super::purged::tell(context, &ready.purged));
    let folders: Vec<&Path> = ready.iter().map(|ready| ready.folder.as_path()).collect();
    let words: Vec<OsString> = args.command.iter().map(|word| filled(word, &folders)).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(context.folder()?).env("DAGSET_DATA", folders[0]);
    for (number, folder) in folders.iter().enumerate() {
        command.env(format!("DAGSET_DATA_{}", number + 1), folder);
    }
    context.out.finish()?;
    // What is open for stores is closed in order.
    context.engine.take();
    report::let_signals_through();
    let fault = command.exec();
    let is_missing = fault.kind() == std::io::ErrorKind::NotFound;
    let name = words[0].to_string_lossy();
    let fault = match is_missing {
        true => Error::not_found(format!("there is no command {name}")).hint("give its path, or set PATH"),
        false => Error::new(Kind::Failed, format!("cannot run {name}")).because(fault),
    };
    report::fault(&fault, context);
    Ok(Ending::Exited(if is_missing { NOT_FOUND } else { CANNOT_RUN }))
}

/// Starts this program again to become the command, and waits for that.
pub fn wait(global: Global) -> ExitCode {
    let mut context = Context::new(global);
    match waited(&context) {
        Ok(code) => ExitCode::from(code),
        Err(fault) => report::fault(&fault, &mut context),
    }
}

fn waited(context: &Context) -> Result<u8> {
    let failed = |what: &str, fault: std::io::Error| Error::new(Kind::Failed, what.to_owned()).because(fault);
    // Before there is a child or a second thread: none of them is lost from now on.
    signals().thread_block().map_err(|fault| failed("cannot hold signals back", fault.into()))?;
    let came = SignalFd::new(&signals()).map_err(|fault| failed("cannot wait for signals", fault.into()))?;
    let engine = context.engine()?.clone();
    let mut child = inner().spawn().map_err(|fault| failed("cannot start a process", fault))?;
    let tended = engine.clone();
    // Without a thread to spare, leases last for a day.
    std::thread::Builder::new().name("leases".to_owned()).spawn(move || tend(&tended)).ok();
    let status = loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => break status,
            Err(fault) => return Err(failed("cannot wait for the command", fault)),
        }
        // A signal that is no child's end is the child's.
        if let Ok(Some(signal)) = came.read_signal()
            && signal.ssi_signo != libc::SIGCHLD as u32
            && signal.ssi_code != libc::SI_KERNEL
        {
            pass_on(&child, signal.ssi_signo);
        }
    };
    // It is dead, so its leases go. Where that fails they end by themselves.
    engine.tend_leases().ok();
    let by_signal = || 128 + status.signal().unwrap_or_default();
    Ok(status.code().unwrap_or_else(by_signal) as u8)
}

/// Leases that can't be renewed now may be an hour later.
fn tend(engine: &Engine) -> Infallible {
    loop {
        std::thread::sleep(TEND_EVERY);
        engine.tend_leases().ok();
    }
}

/// This program with these arguments, to become the command.
fn inner() -> Command {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let cut = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    arguments.insert(cut, "--exec".into());
    let mut command = Command::new("/proc/self/exe");
    command.args(&arguments[1..]).arg0(&arguments[0]);
    command
}

fn signals() -> SigSet {
    PASSED_ON.into_iter().chain([Signal::SIGCHLD]).collect()
}

fn pass_on(child: &Child, signal: u32) {
    let signal = PASSED_ON.into_iter().find(|known| *known as u32 == signal);
    // It isn't waited for yet, so the number is still its own.
    if let Some(signal) = signal.and_then(|signal| rustix::process::Signal::from_named_raw(signal as i32)) {
        kill_process(Pid::from_child(child), signal).ok();
    }
}

/// The word with folders in the place of `{}`, `{1}`, `{2}`…, but behind a `$`; `{{}}` becomes `{}`.
fn filled(word: &OsStr, folders: &[&Path]) -> OsString {
    let bytes = word.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"{{}}") {
            out.extend(b"{}");
            at += 4;
        } else if let Some((number, len)) = placeholder(rest).filter(|_| !bytes[..at].ends_with(b"$"))
            && let Some(folder) = folders.get(number - 1)
        {
            out.extend(folder.as_os_str().as_bytes());
            at += len;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    OsStr::from_bytes(&out).to_owned()
}

/// The number in the braces that a text begins with, and how long they are.
fn placeholder(text: &[u8]) -> Option<(usize, usize)> {
    let inside = text.strip_prefix(b"{")?;
    let len = inside.iter().position(|byte| *byte == b'}')?;
    let number = match &inside[..len] {
        [] => 1,
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(&inside[..len]).ok()?.parse().ok()?
        }
        _ => return None,
    };
    Some((number, len + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_take_the_place_of_braces() {
        let folders = [Path::new("/a"), Path::new("/b c")];
        let cases = [
            ("{}", "/a"),
            ("--data={2}/train", "--data=/b c/train"),
            ("{1}:{2}:{3}:{0}:{01}", "/a:/b c:{3}:{0}:{01}"),
            ("echo ${1} ${} $1", "echo ${1} ${} $1"),
            ("find {} -exec ls {{}} ;", "find /a -exec ls {} ;"),
            ("{a}{", "{a}{"),
        ];
        for (word, text) in cases {
            assert_eq!(filled(OsStr::new(word), &folders), OsStr::new(text), "{word}");
        }
    }
}
