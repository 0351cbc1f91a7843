//! stdout and stderr, written so that neither a closed pipe nor a full disk panics.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use dagset::base::{Error, Kind, Observer, Result};
use serde::Serialize;

use super::cost::Cost;

/// stdout. Text written to it is buffered, and an error is kept until [`Output::finish`], so that a command may print without a thought.
pub struct Output {
    out: BufWriter<Stdout>,
    fault: Option<io::Error>,
    reader_left: bool,
    observer: Observer,
}

/// A document as it is printed: what it says, then what finding it out has cost.
#[derive(Serialize)]
struct Priced<'a, T> {
    #[serde(flatten)]
    document: &'a T,
    #[serde(flatten)]
    cost: Cost,
}

impl Output {
    /// stdout; `observer` has counted what a document says of its cost.
    pub fn new(observer: Observer) -> Output {
        Output { out: BufWriter::with_capacity(1 << 16, io::stdout()), fault: None, reader_left: false, observer }
    }

    /// Lets `writeln!(out, …)` print text without a result to look at.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) {
        if self.fault.is_none() {
            let outcome = self.out.write_fmt(text);
            self.note(outcome).ok();
        }
    }

    /// Prints the one JSON document of a command, with the requests and bytes that it took so far.
    pub fn document(&mut self, document: &impl Serialize) {
        if self.fault.is_none() {
            let priced = Priced { document, cost: Cost::of(&self.observer) };
            let outcome = serde_json::to_writer(&mut self.out, &priced).map_err(io::Error::from);
            let outcome = outcome.and_then(|()| self.out.write_all(b"\n"));
            self.note(outcome).ok();
        }
    }

    /// Writes out what is buffered; gives the first error that there was.
    pub fn finish(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        self.note(flushed).ok();
        match self.fault.take() {
            None => Ok(()),
            Some(fault) => Err(Error::new(Kind::Failed, "cannot write to the standard output").because(fault)),
        }
    }

    /// Whether the other end of the pipe was closed.
    pub fn reader_left(&self) -> bool {
        self.reader_left
    }

    fn note(&mut self, outcome: io::Result<()>) -> io::Result<()> {
        let Err(fault) = outcome else { return Ok(()) };
        self.reader_left |= fault.kind() == io::ErrorKind::BrokenPipe;
        let copy = io::Error::from(fault.kind());
        self.fault.get_or_insert(fault);
        Err(copy)
    }
}

/// For content that is streamed: an error stops the stream.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.out.write(bytes) {
            Ok(count) => Ok(count),
            Err(fault) => Err(self.note(Err(fault)).expect_err("it is noted as an error")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
    }
}

/// Prints a line on stderr; where that is closed, nobody is there to be told.
pub fn stderr_line(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Whether stderr is a terminal that can redraw a line.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
