//! What a long operation is doing, on stderr: a line that redraws itself on a terminal, a line now and then elsewhere, or JSON lines.
//!
//! A thread polls the observer. What ends within [`BLINK`] shows nothing; events appear as they come, above the line.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dagset::base::{Counter, Event, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::args::{Global, ProgressKind};
use super::output::{stderr_is_terminal, stderr_line};
use super::ui::{self, Paint};

/// Shorter work shows no progress.
const BLINK: Duration = Duration::from_millis(200);
const REDRAW: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(10);
const JSON_EVERY: Duration = Duration::from_secs(1);

/// Work that hasn't moved for so long waits for something.
const STILL: Duration = Duration::from_secs(4);

/// Columns of the gauge, and how few still say something.
const GAUGE: usize = 10;
const LEAST_GAUGE: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Silent,
    Bar,
    Lines,
    Json,
}

/// The display of one operation.
#[must_use = "it is shown until it is finished"]
pub struct Watch {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch.
    pub fn start(global: &Global, observer: Observer, paint: Paint) -> Watch {
        let mode = match global.progress {
            Some(ProgressKind::Json) => Mode::Json,
            _ if global.quiet || global.no_progress => Mode::Silent,
            Some(ProgressKind::Bar) => Mode::Bar,
            Some(ProgressKind::Lines) => Mode::Lines,
            None if stderr_is_terminal() => Mode::Bar,
            None => Mode::Lines,
        };
        let shown = Shown {
            observer,
            mode,
            paint,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            started: Instant::now(),
            phase: "",
            rate: Rate::default(),
            bar: None,
        };
        let (stop, stopped) = channel();
        // Without a thread to spare, the work goes on unwatched.
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || shown.run(&stopped)).ok();
        Watch { stop, thread }
    }

    /// Takes the display away and prints the events that are left.
    pub fn finish(self) {
        self.stop.send(()).ok();
        if let Some(thread) = self.thread {
            thread.join().ok();
        }
    }
}

struct Shown {
    observer: Observer,
    mode: Mode,
    paint: Paint,
    quiet: bool,
    verbose: bool,
    started: Instant,
    phase: &'static str,
    rate: Rate,
    bar: Option<ProgressBar>,
}

impl Shown {
    fn run(mut self, stopped: &Receiver<()>) {
        let mut next_line = self.started + if self.mode == Mode::Json { JSON_EVERY } else { LINE_EVERY };
        loop {
            let ended = !matches!(stopped.recv_timeout(REDRAW), Err(RecvTimeoutError::Timeout));
            self.tell_events();
            self.rate.note(Instant::now(), self.observer.get(Counter::Bytes));
            let is_due = Instant::now() >= next_line;
            match self.mode {
                Mode::Bar if !ended && self.started.elapsed() >= BLINK => self.redraw(),
                Mode::Lines if is_due && !ended => stderr_line(&self.line()),
                // The last one says where it ended, however soon that was; what never began ended nowhere.
                Mode::Json if is_due || ended && !self.phase.is_empty() => stderr_line(&self.json(ended)),
                _ => {}
            }
            if is_due {
                next_line += if self.mode == Mode::Json { JSON_EVERY } else { LINE_EVERY };
            }
            if ended {
                break;
            }
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn tell_events(&mut self) {
        for event in self.observer.take_events() {
            let line = match event {
                Event::Phase(phase) => {
                    if phase != self.phase {
                        self.rate = Rate::default();
                    }
                    self.phase = phase;
                    None
                }
                Event::LeftOut { path, why, .. } => Some(left_out(self.paint, &path, &why)),
                Event::Warning(text) => Some(format!("{} {}", self.paint.yellow("warning:"), ui::clean(&text))),
                Event::Note(text) if self.verbose => Some(self.paint.dim(ui::clean(&text))),
                Event::Note(_) => None,
            };
            match (line.filter(|_| !self.quiet), &self.bar) {
                (Some(line), Some(bar)) => bar.suspend(|| stderr_line(&line)),
                (Some(line), None) => stderr_line(&line),
                (None, _) => {}
            }
        }
    }

    fn redraw(&mut self) {
        let total = self.observer.get(Counter::BytesTotal);
        let done = self.observer.get(Counter::Bytes);
        let text = self.line();
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(20));
            let style = ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            bar
        });
        // The words come first where there isn't room for all.
        let room = ui::stderr_columns().saturating_sub(ui::width("⠋ ") + ui::width(&text) + 1);
        let gauge = match room.min(GAUGE) {
            cells @ LEAST_GAUGE.. if total > 0 && done > 0 => gauge(self.paint, done, total, cells),
            _ => String::new(),
        };
        bar.set_message(format!("{gauge}{text}"));
        bar.tick();
    }

    fn phase(&self) -> &'static str {
        if self.phase.is_empty() { "working" } else { self.phase }
    }

    /// `storing  1,200/5,000 files  1.2/4.0 GB  310.0 MB/s  9 s left`
    fn line(&self) -> String {
        let get = |counter| self.observer.get(counter);
        let (files, files_total) = (get(Counter::Files), get(Counter::FilesTotal));
        let (bytes, bytes_total) = (get(Counter::Bytes), get(Counter::BytesTotal));
        let mut parts = vec![self.phase().to_owned()];
        match (files, files_total) {
            (0, 0) => {}
            (0, total) if bytes == 0 => parts.push(format!("{} found", ui::count(total, "file"))),
            (done, total) if total >= done => parts.push(format!("{}/{} files", ui::number(done), ui::number(total))),
            (done, _) => parts.push(ui::count(done, "file")),
        }
        match (bytes, bytes_total) {
            (0, 0) => {}
            (0, total) => parts.push(ui::size(total)),
            (done, total) if total >= done => parts.push(format!("{} of {}", ui::size(done), ui::size(total))),
            (done, _) => parts.push(ui::size(done)),
        }
        if let Some(rate) = self.rate.bytes_per_second().filter(|rate| *rate > 0) {
            parts.push(format!("{}/s", ui::size(rate)));
            parts.extend(self.seconds_left().map(|left| format!("{} left", ui::duration(left))));
        }
        parts.join("  ")
    }

    /// Unknown while nothing has moved for a while: a process that waits for another's fetch can't tell.
    fn seconds_left(&self) -> Option<u64> {
        if self.rate.is_still(Instant::now()) {
            return None;
        }
        let rate = self.rate.bytes_per_second().filter(|rate| *rate > 0)?;
        let left = self.observer.get(Counter::BytesTotal).checked_sub(self.observer.get(Counter::Bytes))?;
        (left > 0).then(|| left.div_ceil(rate))
    }

    /// `ended`: this is the last one.
    fn json(&self, ended: bool) -> String {
        let get = |counter| self.observer.get(counter);
        let (bytes, bytes_total) = (get(Counter::Bytes), get(Counter::BytesTotal));
        let is_all = ended && bytes_total > 0 && bytes >= bytes_total;
        json!({
            "schema": 1,
            "phase": self.phase(),
            "files": get(Counter::Files),
            "files_total": get(Counter::FilesTotal),
            "bytes": bytes,
            "bytes_total": bytes_total,
            "bytes_per_second": self.rate.bytes_per_second(),
            "seconds": self.started.elapsed().as_secs_f64(),
            "seconds_left": if is_all { Some(0) } else { self.seconds_left() },
        })
        .to_string()
    }
}

/// `left out: a/b: is a socket`.
pub fn left_out(paint: Paint, path: &str, why: &str) -> String {
    format!("{} {}: {}", paint.yellow("left out:"), ui::clean(path), ui::clean(why))
}

fn gauge(paint: Paint, done: u64, total: u64, cells: usize) -> String {
    let full = (done.min(total).saturating_mul(cells as u64) / total.max(1)) as usize;
    format!("{}{} ", paint.cyan("━".repeat(full)), paint.dim("─".repeat(cells - full)))
}

/// A rate over the last seconds: bytes and seconds count half after three seconds, so the first figure is right for what it was taken of.
/// A phase begins a new one.
#[derive(Default)]
struct Rate {
    last: Option<(Instant, u64)>,
    moved: Option<Instant>,
    bytes: f64,
    seconds: f64,
}

impl Rate {
    fn note(&mut self, now: Instant, bytes: u64) {
        const HALF_LIFE_SECONDS: f64 = 3.0;
        let (then, before) = *self.last.get_or_insert((now, bytes));
        let seconds = (now - then).as_secs_f64();
        // Until something moves, nothing is known: less than that is no rate.
        let is_first = self.bytes == 0.0;
        if seconds < 0.05 || is_first && bytes <= before {
            return;
        }
        if bytes > before {
            self.moved = Some(now);
        }
        let weight = 0.5_f64.powf(seconds / HALF_LIFE_SECONDS);
        self.bytes = self.bytes * weight + bytes.saturating_sub(before) as f64;
        self.seconds = self.seconds * weight + seconds;
        self.last = Some((now, bytes));
    }

    /// Whether nothing has moved for so long that the rate says nothing of what is to come.
    fn is_still(&self, now: Instant) -> bool {
        self.moved.is_some_and(|moved| now.duration_since(moved) > STILL)
    }

    fn bytes_per_second(&self) -> Option<u64> {
        (self.bytes > 0.0).then(|| (self.bytes / self.seconds).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate after each tenth of a second, by what came in it.
    fn rates(came: impl IntoIterator<Item = u64>) -> Vec<Option<u64>> {
        let (mut rate, start, mut bytes) = (Rate::default(), Instant::now(), 500);
        rate.note(start, bytes);
        let note = |(tick, more): (u64, u64)| {
            bytes += more;
            rate.note(start + Duration::from_millis(tick * 100), bytes);
            rate.bytes_per_second()
        };
        (1..).zip(came).map(note).collect()
    }

    #[test]
    fn a_rate_is_right_from_its_first_figure() {
        assert_eq!(rates([100; 30])[0], Some(1000));
        // One large piece in the first second, one in each that follows.
        let lumps = (0..60).map(|tick| if tick % 10 == 4 { 1000 } else { 0 });
        let found = rates(lumps);
        assert_eq!(found[..4], [None; 4], "nothing is known yet");
        for second in 1..6 {
            let rate = found[second * 10 - 1].unwrap();
            assert!((800..=1250).contains(&rate), "{rate} in second {second}");
        }
    }

    #[test]
    fn a_rate_says_nothing_of_the_time_left_while_nothing_moves() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let is_still = |rate: &Rate, seconds| rate.is_still(start + Duration::from_secs(seconds));
        for (at, bytes) in [(0, 0), (1, 500), (2, 500), (4, 500)] {
            rate.note(start + Duration::from_secs(at), bytes);
        }
        assert_eq!([4, 6].map(|seconds| is_still(&rate, seconds)), [false, true]);
        rate.note(start + Duration::from_secs(7), 600);
        assert!(!is_still(&rate, 8));
    }

    #[test]
    fn a_rate_follows_a_change() {
        let found = rates([1000; 30].into_iter().chain([100; 120]));
        assert_eq!(found[29], Some(10_000));
        assert!(found[149].unwrap() < 2_000, "{:?}", found[149]);
    }
}
