//! Reading frames ahead: neighbours of one pack share a request, several requests run at once, and what one of them brings is not asked for again.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Error, Kind, ObjectName, Result, Stage, Tally};
use crate::format::header::ObjectKind;
use crate::format::place::FramePlace;

use super::lanes::Lanes;
use super::objects::Watch;
use super::pace::Pace;
use super::pack_ranges::PackRanges;

/// Bytes between two wanted frames that are rather read along than a request spent; of metadata, whose readers want little, fewer.
const GAP_BYTES: u64 = 256 << 10;
const META_GAP_BYTES: u64 = 64 << 10;
/// A range is no longer, but for a frame that is.
const RANGE_BYTES: u64 = 16 << 20;
/// Requests at once, at first and at most.
const REQUESTS: usize = 8;
const MOST_REQUESTS: usize = 32;
/// How often who waits looks whether he is to stop, and how often then for what is just coming.
const LOOK_UP: Duration = Duration::from_millis(50);
const LAST_LOOKS: u32 = 20;
/// Who can read ahead as far as memory lets stops here.
const HELD_BYTES: u64 = 96 << 20;
/// Of what was given back so much stays in memory: neighbours in path order share frames, and one's gaps are another's frames.
const LATELY_BYTES: u64 = 32 << 20;

/// One range of a pack, and the frames that are wanted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FetchRange {
    pack: ObjectName,
    offset: u64,
    bytes: u64,
    /// By offset.
    frames: Vec<FramePlace>,
}

/// The ranges that hold all of `frames`, by pack and offset; each frame is in one of them, once. Of a gap `is_new` says whether it may be read along.
fn ranges(frames: &[FramePlace], gap: u64, is_new: impl Fn(ObjectName, u64, u64) -> bool) -> Vec<FetchRange> {
    let mut sorted = frames.to_vec();
    sorted.sort_unstable_by_key(|frame| (frame.pack, frame.offset, frame.stored_bytes));
    sorted.dedup();
    let mut ranges: Vec<FetchRange> = Vec::new();
    for frame in sorted {
        let (start, end) = (u64::from(frame.offset), u64::from(frame.offset) + u64::from(frame.stored_bytes));
        if let Some(range) = ranges.last_mut()
            && range.pack == frame.pack
            && start <= range.offset + range.bytes + gap
            && end <= range.offset + RANGE_BYTES
            && is_new(range.pack, range.offset + range.bytes, start)
        {
            range.bytes = range.bytes.max(end - range.offset);
            range.frames.push(frame);
        } else {
            ranges.push(FetchRange { pack: frame.pack, offset: start, bytes: end - start, frames: vec![frame] });
        }
    }
    ranges
}

/// Reads ranges of one store's packs and keeps their bytes for those who wanted them.
pub(super) struct Fetcher {
    ranges: Arc<PackRanges>,
    lanes: OnceLock<Lanes>,
    held: Arc<Held>,
}

/// Ranges in memory, or on their way.
#[derive(Default)]
struct Held {
    spans: Mutex<Spans>,
    /// Of all ranges that were asked for and not given back.
    bytes: AtomicU64,
}

#[derive(Default)]
struct Spans {
    /// By pack and offset. They seldom overlap: only where places contradict each other.
    known: BTreeMap<(ObjectName, u64), Weak<Span>>,
    /// What was given back last, the oldest first.
    lately: VecDeque<Arc<Span>>,
    lately_bytes: u64,
    /// Frames, by pack and offset, that turned out wrong.
    wrong: HashSet<(ObjectName, u32)>,
}

/// A range of a pack.
struct Span {
    pack: ObjectName,
    offset: u64,
    bytes: u64,
    state: Mutex<SpanState>,
    came: Condvar,
}

enum SpanState {
    Coming,
    /// Perhaps less than was asked for, where it was to stop.
    Here(Bytes),
    Failed(Option<Error>),
}

impl Held {
    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spans {
    /// What holds all of a frame, or will.
    fn of(&self, place: &FramePlace) -> Option<Arc<Span>> {
        if self.wrong.contains(&(place.pack, place.offset)) {
            return None;
        }
        let start = u64::from(place.offset);
        let (_, span) = self.known.range((place.pack, 0)..=(place.pack, start)).next_back()?;
        let span = span.upgrade()?;
        (start + u64::from(place.stored_bytes) <= span.offset + span.bytes && !span.has_failed()).then_some(span)
    }

    /// Whether none has any of these bytes.
    fn lack(&self, pack: ObjectName, start: u64, end: u64) -> bool {
        let before = self.known.range((pack, 0)..(pack, end)).next_back();
        before.and_then(|(_, span)| span.upgrade()).is_none_or(|span| span.offset + span.bytes <= start)
    }

    /// Keeps what was given back for a while; gives what is to leave memory for it.
    fn keep(&mut self, span: Arc<Span>) -> Vec<Arc<Span>> {
        if self.lately.iter().any(|kept| Arc::ptr_eq(kept, &span)) {
            return Vec::new();
        }
        self.lately_bytes += span.bytes;
        self.lately.push_back(span);
        let mut leaving = Vec::new();
        while self.lately_bytes > LATELY_BYTES {
            let Some(oldest) = self.lately.pop_front() else { break };
            self.lately_bytes -= oldest.bytes;
            leaving.push(oldest);
        }
        leaving
    }

    fn sweep(&mut self) {
        self.known.retain(|_, span| span.strong_count() > 0);
    }
}

impl Span {
    fn state(&self) -> MutexGuard<'_, SpanState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_failed(&self) -> bool {
        matches!(*self.state(), SpanState::Failed(_))
    }

    fn frame(&self, place: &FramePlace) -> Option<Bytes> {
        let SpanState::Here(bytes) = &*self.state() else { return None };
        let start = (u64::from(place.offset) - self.offset) as usize;
        let end = start + place.stored_bytes as usize;
        (end <= bytes.len()).then(|| bytes.slice(start..end))
    }

    fn settle(&self, state: SpanState) {
        *self.state() = state;
        self.came.notify_all();
    }
}

/// A span that is being read; one whose reading was given up has failed.
struct Coming(Arc<Span>);

impl Drop for Coming {
    fn drop(&mut self) {
        let is_coming = matches!(*self.0.state(), SpanState::Coming);
        if is_coming {
            self.0.settle(SpanState::Failed(None));
        }
    }
}

/// Frames on their way from a store, and in memory when they have come, until this is dropped.
#[must_use = "dropped, it gives back what was read ahead"]
#[derive(Default)]
pub struct Ahead(Vec<Part>);

/// What one store reads for an [`Ahead`].
struct Part {
    held: Arc<Held>,
    kind: ObjectKind,
    /// Its own, and those that others asked for.
    spans: Vec<Arc<Span>>,
    /// Of its own.
    bytes: u64,
    tally: Option<Arc<Tally>>,
}

impl Ahead {
    /// Waits until all has come, or all is to stop. Fails only where a store doesn't answer; what else went wrong is seen by who asks for the frame.
    pub fn wait(&self) -> Result<()> {
        self.0.iter().try_for_each(Part::wait)
    }
}

impl Part {
    fn wait(&self) -> Result<()> {
        let mut looks = LAST_LOOKS;
        for span in &self.spans {
            let mut state = span.state();
            while matches!(*state, SpanState::Coming) && looks > 0 {
                looks -= u32::from(is_stopping(self.tally.as_ref()));
                state = span.came.wait_timeout(state, LOOK_UP).unwrap_or_else(PoisonError::into_inner).0;
            }
            if let SpanState::Failed(fault) = &mut *state {
                fault.take().map_or(Ok(()), Err)?;
            }
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let mut spans = self.held.spans();
        let mut leaving = Vec::new();
        for span in self.spans.drain(..) {
            // What is still on its way need not come.
            let has_come = matches!(*span.state(), SpanState::Here(_));
            match self.kind {
                // Metadata is kept decoded.
                ObjectKind::Pack if has_come => leaving.extend(spans.keep(span)),
                _ => leaving.push(span),
            }
        }
        drop(leaving);
        spans.sweep();
    }
}

fn is_stopping(tally: Option<&Arc<Tally>>) -> bool {
    tally.is_some_and(|tally| tally.is_stopping())
}

/// Reads a range unless nobody wants it any more; gives its bytes, or nothing if the store didn't answer.
fn read(
    ranges: &PackRanges,
    kind: ObjectKind,
    span: &Weak<Span>,
    raw_bytes: u64,
    tally: Option<&Arc<Tally>>,
) -> Option<u64> {
    let Some(span) = span.upgrade() else { return Some(0) };
    let coming = Coming(span);
    let span = &coming.0;
    if is_stopping(tally) {
        return Some(0);
    }
    let watch = tally.map(|tally| -> Watch { Arc::new(tally.scaled(Stage::Came, span.bytes, raw_bytes)) });
    match ranges.read(kind, span.pack, span.offset, span.bytes, watch.as_ref()) {
        Ok(bytes) => {
            span.settle(SpanState::Here(bytes));
            Some(span.bytes)
        }
        Err(fault) if fault.kind() == Kind::Unreachable => {
            span.settle(SpanState::Failed(Some(fault)));
            None
        }
        Err(_) => Some(0),
    }
}

impl Fetcher {
    pub(super) fn new(ranges: Arc<PackRanges>) -> Fetcher {
        Fetcher { ranges, lanes: OnceLock::new(), held: Arc::default() }
    }

    /// The stored bytes of a frame, if they were read ahead.
    pub(super) fn held(&self, place: &FramePlace) -> Option<Bytes> {
        let span = self.held.spans().of(place)?;
        span.frame(place)
    }

    /// Has a frame that turned out wrong read anew: perhaps it was the reading that went wrong.
    pub(super) fn forget(&self, place: &FramePlace) {
        self.held.spans().wrong.insert((place.pack, place.offset));
    }

    pub(super) fn has_room(&self) -> bool {
        self.held.bytes.load(Ordering::Relaxed) < HELD_BYTES
    }

    /// Begins to read frames, as part of `ahead`. From a folder they are read at once, those only that have neighbours.
    pub(super) fn start(&self, kind: ObjectKind, places: &[FramePlace], tally: Option<&Arc<Tally>>, ahead: &mut Ahead) {
        let is_far = self.ranges.are_far();
        let mut spans = self.held.spans();
        let (mut wanted, mut new) = (Vec::new(), Vec::new());
        for place in places {
            match spans.of(place) {
                Some(span) if wanted.last().is_some_and(|last| Arc::ptr_eq(last, &span)) => {}
                Some(span) => wanted.push(span),
                None => new.push(*place),
            }
        }
        let gap = if kind == ObjectKind::Pack { GAP_BYTES } else { META_GAP_BYTES };
        let mut new_ranges = ranges(&new, gap, |pack, start, end| spans.lack(pack, start, end));
        new_ranges.retain(|range| is_far || range.frames.len() > 1);
        let own = wanted.len();
        for range in &new_ranges {
            let FetchRange { pack, offset, bytes, .. } = *range;
            let (state, came) = (Mutex::new(SpanState::Coming), Condvar::new());
            let span = Arc::new(Span { pack, offset, bytes, state, came });
            spans.known.insert((pack, offset), Arc::downgrade(&span));
            wanted.push(span);
        }
        drop(spans);
        if wanted.is_empty() {
            return;
        }
        let bytes = new_ranges.iter().map(|range| range.bytes).sum();
        self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        for (range, span) in new_ranges.iter().zip(&wanted[own..]) {
            let raw_bytes = range.frames.iter().map(|frame| u64::from(frame.raw_bytes)).sum();
            let (span, ranges, tally) = (Arc::downgrade(span), self.ranges.clone(), tally.cloned());
            let read = move || read(&ranges, kind, &span, raw_bytes, tally.as_ref());
            match is_far {
                true => self.lanes.get_or_init(|| Lanes::new(Pace::new(REQUESTS, MOST_REQUESTS))).submit(read),
                false => drop(read()),
            }
        }
        ahead.0.push(Part { held: self.held.clone(), kind, spans: wanted, bytes, tally: tally.cloned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::place::Encoding;

    fn frame(born: u64, offset: u32, stored_bytes: u32) -> FramePlace {
        let pack = ObjectName { born, random: [0; 16] };
        FramePlace { pack, offset, stored_bytes, raw_bytes: stored_bytes, encoding: Encoding::Raw }
    }

    fn planned(frames: &[FramePlace]) -> Vec<(u64, u64, u64, usize)> {
        ranges(frames, META_GAP_BYTES, |_, _, _| true)
            .iter()
            .map(|range| (range.pack.born, range.offset, range.bytes, range.frames.len()))
            .collect()
    }

    #[test]
    fn neighbours_share_a_range() {
        let frames = [frame(1, 116, 50), frame(1, 16, 100), frame(2, 166, 9), frame(1, 116, 50), frame(1, 60_000, 5)];
        assert_eq!(planned(&frames), [(1, 16, 59_989, 3), (2, 166, 9, 1)]);
        assert_eq!(planned(&[]), []);
    }

    #[test]
    fn what_lies_apart_or_would_be_too_much_has_a_range_of_its_own() {
        let far = 16 + 10 + META_GAP_BYTES as u32;
        assert_eq!(planned(&[frame(1, 16, 10), frame(1, far, 10)]).len(), 1);
        assert_eq!(planned(&[frame(1, 16, 10), frame(1, far + 1, 10)]).len(), 2);
        let long: Vec<_> = (0..17).map(|n| frame(1, n << 20, 1 << 20)).collect();
        assert_eq!(planned(&long), [(1, 0, 16 << 20, 16), (1, 16 << 20, 1 << 20, 1)]);
    }
}
