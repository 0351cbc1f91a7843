//! Reading frames ahead: neighbours of one pack share a request, and several requests run at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Error, Kind, ObjectName, Result, Stage, Tally};
use crate::format::header::ObjectKind;
use crate::format::place::FramePlace;

use super::lanes::Lanes;
use super::objects::{Bucket, Watch};
use super::pace::Pace;

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

/// One range of a pack, and the frames that are wanted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FetchRange {
    pack: ObjectName,
    offset: u64,
    bytes: u64,
    /// By offset.
    frames: Vec<FramePlace>,
}

/// The ranges that hold all of `frames`, by pack and offset; each frame is in one of them, once.
fn ranges(frames: &[FramePlace], gap: u64) -> Vec<FetchRange> {
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
        {
            range.bytes = range.bytes.max(end - range.offset);
            range.frames.push(frame);
        } else {
            ranges.push(FetchRange { pack: frame.pack, offset: start, bytes: end - start, frames: vec![frame] });
        }
    }
    ranges
}

/// Reads ranges of one store's packs and keeps their stored frames for those who wanted them.
pub(super) struct Fetcher {
    bucket: Bucket,
    lanes: OnceLock<Lanes>,
    held: Arc<Held>,
}

/// Stored frames in memory.
#[derive(Default)]
struct Held {
    frames: Mutex<HashMap<Key, HeldFrame>>,
    /// Of all ranges that were asked for and not given back.
    bytes: AtomicU64,
}

/// Pack and offset.
type Key = (ObjectName, u32);

struct HeldFrame {
    stored: Bytes,
    holders: usize,
}

impl Held {
    fn frames(&self) -> MutexGuard<'_, HashMap<Key, HeldFrame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frames on their way from a store, and in memory when they have come, until this is dropped.
#[must_use = "dropped, it gives back what was read ahead"]
#[derive(Default)]
pub struct Ahead(Vec<Arc<Part>>);

/// What one store reads for an [`Ahead`].
struct Part {
    held: Arc<Held>,
    bytes: u64,
    progress: Mutex<Progress>,
    came: Condvar,
    /// Is told of what comes, in bytes of the files that it is for.
    tally: Option<Arc<Tally>>,
}

#[derive(Default)]
struct Progress {
    /// Ranges that are still on their way.
    left: usize,
    keys: Vec<Key>,
    given_up: bool,
    fault: Option<Error>,
}

impl Ahead {
    /// Waits until all has come, or all is to stop. Fails only where a store doesn't answer; what else went wrong is seen by who asks for the frame.
    pub fn wait(&self) -> Result<()> {
        for part in &self.0 {
            let (mut progress, mut looks) = (part.progress(), LAST_LOOKS);
            while progress.left > 0 && looks > 0 {
                looks -= u32::from(part.is_stopping());
                progress = part.came.wait_timeout(progress, LOOK_UP).unwrap_or_else(PoisonError::into_inner).0;
            }
            progress.fault.take().map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        for part in &self.0 {
            let mut progress = part.progress();
            progress.given_up = true;
            let mut frames = part.held.frames();
            for key in progress.keys.drain(..) {
                let Some(frame) = frames.get_mut(&key) else { continue };
                frame.holders -= 1;
                if frame.holders == 0 {
                    frames.remove(&key);
                }
            }
            part.held.bytes.fetch_sub(part.bytes, Ordering::Relaxed);
        }
    }
}

impl Part {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.tally.as_ref().is_some_and(|tally| tally.is_stopping())
    }

    /// Reads a range; gives its bytes, or nothing if the store didn't answer.
    fn read(&self, bucket: &Bucket, kind: ObjectKind, range: &FetchRange) -> Option<u64> {
        if self.progress().given_up || self.is_stopping() {
            return Some(0);
        }
        let object = format!("{}/{}", kind.folder(), range.pack);
        let read = match &self.tally {
            Some(tally) => {
                let raw_bytes = range.frames.iter().map(|frame| u64::from(frame.raw_bytes)).sum();
                let watch: Watch = Arc::new(tally.scaled(Stage::Came, range.bytes, raw_bytes));
                bucket.get_range_watched(&object, range.offset, range.bytes, &watch)
            }
            None => bucket.get_range(&object, range.offset, range.bytes),
        };
        let mut progress = self.progress();
        match read {
            Ok(bytes) if !progress.given_up => {
                let mut frames = self.held.frames();
                for place in &range.frames {
                    let start = (u64::from(place.offset) - range.offset) as usize;
                    let end = start + place.stored_bytes as usize;
                    // What is to stop ends within the range.
                    if end > bytes.len() {
                        continue;
                    }
                    let stored = bytes.slice(start..end);
                    let key = (place.pack, place.offset);
                    frames.entry(key).or_insert(HeldFrame { stored, holders: 0 }).holders += 1;
                    progress.keys.push(key);
                }
                Some(range.bytes)
            }
            Err(fault) if fault.kind() == Kind::Unreachable => {
                progress.fault.get_or_insert(fault);
                None
            }
            _ => Some(0),
        }
    }

    fn one_came(&self) {
        self.progress().left -= 1;
        self.came.notify_all();
    }
}

/// Counts a range as come, whatever happened.
struct Coming(Arc<Part>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.one_came();
    }
}

impl Fetcher {
    pub(super) fn new(bucket: Bucket) -> Fetcher {
        Fetcher { bucket, lanes: OnceLock::new(), held: Arc::default() }
    }

    /// The stored bytes of a frame, if they were read ahead.
    pub(super) fn held(&self, place: &FramePlace) -> Option<Bytes> {
        let frames = self.held.frames();
        let frame = frames.get(&(place.pack, place.offset))?;
        (frame.stored.len() == place.stored_bytes as usize).then(|| frame.stored.clone())
    }

    /// Has a frame that turned out wrong read anew: perhaps it was the reading that went wrong.
    pub(super) fn forget(&self, place: &FramePlace) {
        self.held.frames().remove(&(place.pack, place.offset));
    }

    pub(super) fn has_room(&self) -> bool {
        self.held.bytes.load(Ordering::Relaxed) < HELD_BYTES
    }

    /// Holds on to those of `places` that are in memory; gives their keys, and the others.
    fn share(&self, places: &[FramePlace]) -> (Vec<Key>, Vec<FramePlace>) {
        let mut frames = self.held.frames();
        let (mut keys, mut others) = (Vec::new(), Vec::new());
        for place in places {
            let key = (place.pack, place.offset);
            match frames.get_mut(&key).filter(|frame| frame.stored.len() == place.stored_bytes as usize) {
                Some(frame) => {
                    frame.holders += 1;
                    keys.push(key);
                }
                None => others.push(*place),
            }
        }
        (keys, others)
    }

    /// Begins to read frames, as part of `ahead`. From a folder they are read at once, those only that have neighbours.
    pub(super) fn start(&self, kind: ObjectKind, places: &[FramePlace], tally: Option<&Arc<Tally>>, ahead: &mut Ahead) {
        let is_far = self.bucket.is_far();
        let (keys, places) = self.share(places);
        let mut ranges = ranges(&places, if kind == ObjectKind::Pack { GAP_BYTES } else { META_GAP_BYTES });
        ranges.retain(|range| is_far || range.frames.len() > 1);
        if ranges.is_empty() && keys.is_empty() {
            return;
        }
        let bytes = ranges.iter().map(|range| range.bytes).sum();
        self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        let progress = Progress { left: ranges.len(), keys, ..Progress::default() };
        let (held, tally) = (self.held.clone(), tally.cloned());
        let part = Arc::new(Part { held, bytes, progress: Mutex::new(progress), came: Condvar::new(), tally });
        ahead.0.push(part.clone());
        for range in ranges {
            let (coming, bucket) = (Coming(part.clone()), self.bucket.clone());
            let read = move || coming.0.read(&bucket, kind, &range);
            match is_far {
                true => self.lanes.get_or_init(|| Lanes::new(Pace::new(REQUESTS, MOST_REQUESTS))).submit(read),
                false => drop(read()),
            }
        }
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
        ranges(frames, META_GAP_BYTES)
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
