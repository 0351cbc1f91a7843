//! The face: raw arguments → the engine's options → one call → what it returned, for a person or as JSON.
//!
//! Each command has a thin file. What they share:
//! - [`output`]: stdout is an answer and nothing else; a reader that goes away (`| head`) is no error.
//! - [`report`]: an error becomes text, JSON and an exit code.
//! - [`progress`]: what a long operation is doing, on stderr.
//! - [`settings`]: the only reader of the environment and of the user's configuration.

use std::cell::OnceCell;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use dagset::base::{Kind, Observer, Result};
use dagset::engine::{Engine, Run};

mod addresses;
mod args;
mod audit;
mod cache;
mod check;
mod commit;
mod config;
mod confirm;
mod cost;
mod dataset;
mod deeds;
mod diff;
mod diff_page;
mod doctor;
mod du;
mod gc;
mod generate;
mod get;
mod graph;
mod history;
mod ingest;
mod insist;
mod json;
mod lineage;
mod list;
mod listing;
mod lock;
mod merge;
mod meta;
mod naming;
mod oplog;
mod output;
mod overview;
mod part;
mod path_list;
mod progress;
mod prune;
mod purge;
mod purged;
mod refs;
mod remote;
mod report;
mod rewrite;
mod run;
mod run_id;
mod settings;
mod status;
mod store;
mod table;
mod tags;
mod transfer;
mod ui;
mod undo;
mod user_config;
mod uses;
mod verify;
mod warm;
mod why;
mod workspace;

use args::{Cli, Command, Global};
use cost::Cost;
use output::Output;
use progress::Watch;
use ui::Paint;

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Done,
    /// There are differences, and `--exit-code` asked.
    Differs,
    /// A verification found something.
    Damaged,
    /// Something was left out.
    Incomplete,
    /// A command was run, or couldn't be, and this is its exit code.
    Exited(u8),
    /// A check found something of this kind, and its answer says what.
    Failed(Kind),
}

impl Ending {
    fn code(self) -> u8 {
        match self {
            Ending::Done => 0,
            Ending::Differs => 1,
            Ending::Damaged => report::DAMAGED,
            Ending::Incomplete => report::INCOMPLETE,
            Ending::Exited(code) => code,
            Ending::Failed(kind) => report::code_and_name(kind).0,
        }
    }
}

/// What every command is handed: the engine, the user's wishes about output, and stdout.
pub struct Context {
    pub global: Global,
    pub out: Output,
    /// Colours of stdout and of stderr.
    pub paint: Paint,
    pub paint_err: Paint,
    observer: Observer,
    engine: OnceCell<Engine>,
}

impl Context {
    fn new(global: Global) -> Context {
        let observer = Observer::new();
        Context {
            paint: Paint::of_stdout(),
            paint_err: Paint::of_stderr(),
            out: Output::new(observer.clone()),
            observer,
            engine: OnceCell::new(),
            global,
        }
    }

    /// The engine; made when first asked for, as not every command needs what it reads.
    pub fn engine(&self) -> Result<&Engine> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::new(settings::settings(&self.global)?, self.observer.clone());
        Ok(self.engine.get_or_init(|| engine))
    }

    /// Makes the engine as if the user had no configuration, for who is to say what is wrong with that.
    pub fn engine_without_configuration(&self) -> Result<()> {
        let engine = Engine::new(settings::without_configuration(&self.global)?, self.observer.clone());
        self.engine.get_or_init(|| engine);
        Ok(())
    }

    /// Runs an operation under the eyes of the progress display.
    pub fn watched<T>(&self, operation: impl FnOnce(&Engine) -> Result<T>) -> Result<T> {
        let engine = self.engine()?;
        let watch = Watch::start(&self.global, self.observer.clone(), self.paint_err);
        let outcome = operation(engine);
        watch.finish();
        outcome
    }

    /// The run that what is read is recorded for: the one that was named, else the job's that this process is part of.
    pub fn run(&self, named: Option<&str>) -> Result<Option<Run>> {
        named.map_or_else(run_id::of_environment, |id| run_id::meant(id).map(Some))
    }

    /// The folder that commands are about: `-C`, else where they are run.
    pub fn folder(&self) -> Result<PathBuf> {
        settings::folder(&self.global)
    }

    /// Whether a person reads the answer, rather than a program.
    pub fn for_people(&self) -> bool {
        !self.global.json
    }

    /// Under `-v`, what the stores were asked.
    fn say_cost(&mut self) {
        if let Some(line) = Cost::of(&self.observer).line().filter(|_| self.global.verbose > 0) {
            self.say(&self.paint_err.dim(line));
        }
    }

    /// A line on stderr that is no error, behind what was printed before it; `--quiet` silences it.
    pub fn say(&mut self, line: &str) {
        if !self.global.quiet {
            // A fault is kept for the end, as any of stdout.
            self.out.flush().ok();
            output::stderr_line(line);
        }
    }
}

/// Parses, runs, reports.
pub fn main() -> ExitCode {
    let parsed = overview::grouped(Cli::command()).try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(refusal) => return report::usage(&refusal),
    };
    if let Command::Run(args) = &cli.command
        && args.waits()
    {
        return run::wait(cli.global);
    }
    let mut context = Context::new(cli.global);
    report::on_interrupt(context.global.json, context.observer.clone());
    let outcome = start_threads(&context.global).and_then(|()| obey(&mut context, cli.command));
    let outcome = match outcome {
        Ok(ending) => context.out.finish().map(|()| ending),
        failed => failed,
    };
    context.say_cost();
    match outcome {
        Ok(ending) => ExitCode::from(ending.code()),
        // Whoever read the answer has seen enough.
        Err(_) if context.out.reader_left() => ExitCode::SUCCESS,
        Err(fault) => report::fault(&fault, &mut context),
    }
}

/// With `--jobs`, the library's threads are limited too; else they start when they are needed.
fn start_threads(global: &Global) -> Result<()> {
    if let Some(jobs) = global.jobs {
        rayon::ThreadPoolBuilder::new().num_threads(jobs.get()).build_global().map_err(|fault| {
            dagset::base::Error::new(dagset::base::Kind::Failed, "cannot start the threads").because(fault)
        })?;
    }
    Ok(())
}

fn obey(context: &mut Context, command: Command) -> Result<Ending> {
    match command {
        Command::Init(args) => workspace::init(context, args),
        Command::Status(args) => status::status(context, &args),
        Command::Add(args) => workspace::add(context, &args),
        Command::Rm(args) => workspace::rm(context, &args),
        Command::Mv(args) => workspace::mv(context, &args),
        Command::Commit(args) => commit::commit(context, args),
        Command::Restore(args) => workspace::restore(context, &args),
        Command::Switch(args) => commit::switch(context, &args),
        Command::Clean(args) => workspace::clean(context, &args),
        Command::Ingest(args) => ingest::run(context, args),
        Command::Get(args) => get::run(context, args),
        Command::Warm(args) => warm::run(context, &args),
        Command::Run(args) => run::run(context, &args),
        Command::List(args) => list::run(context, &args),
        Command::Ls(args) => listing::ls(context, &args),
        Command::Tree(args) => listing::tree(context, &args),
        Command::Cat(args) => listing::cat(context, &args),
        Command::Stat(args) => listing::stat(context, &args),
        Command::Log(args) => history::log(context, &args),
        Command::Show(args) => history::show(context, &args),
        Command::Why(args) => why::run(context, &args),
        Command::Diff(args) => diff::run(context, &args),
        Command::Branch(args) => refs::branch(context, &args),
        Command::Tag(args) => tags::tag(context, &args),
        Command::Name(args) => tags::name(context, &args),
        Command::Publish(args) => tags::publish(context, &args),
        Command::Meta(args) => meta::run(context, &args),
        Command::Merge(args) => merge::run(context, args),
        Command::Squash(args) => rewrite::squash(context, args),
        Command::Revert(args) => rewrite::revert(context, args),
        Command::Oplog(args) => oplog::run(context, &args),
        Command::Undo(args) => undo::run(context, &args),
        Command::Audit(args) => audit::run(context, &args),
        Command::Dataset(args) => dataset::run(context, &args),
        Command::Refresh(args) => merge::refresh(context, args),
        Command::Resolve(args) => merge::resolve(context, &args),
        Command::Use(args) => uses::record(context, &args),
        Command::Uses(args) => uses::list(context, args),
        Command::Lineage(args) => lineage::run(context, &args),
        Command::Lock(args) => lock::run(context, &args),
        Command::Clone(args) => transfer::clone(context, args),
        Command::Push(args) => transfer::push(context, args),
        Command::Fetch(args) => transfer::fetch(context, &args),
        Command::Pull(args) => transfer::pull(context, &args),
        Command::Remote(args) => remote::run(context, args),
        Command::Store(args) => store::run(context, &args),
        Command::Cache(args) => cache::run(context, args),
        Command::Du(args) => du::run(context, &args),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Gc(args) => gc::run(context, &args),
        Command::Prune(args) => prune::run(context, &args),
        Command::Purge(args) => purge::run(context, &args),
        Command::Unpurge(args) => purge::lift(context, &args),
        Command::Verify(args) => verify::run(context, &args),
        Command::Config(args) => config::run(context, &args),
        Command::Completions(args) => generate::completions(context, &args),
        Command::Man(args) => generate::man(context, &args),
    }
}
