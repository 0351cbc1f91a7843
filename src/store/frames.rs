//! Frames that were decoded, for whoever asks for their neighbours next.

use std::collections::HashMap;

use bytes::Bytes;

use crate::base::ObjectName;
use crate::format::place::FramePlace;

/// Decoded frames are kept up to this many bytes.
const CACHED_BYTES: usize = 32 << 20;

/// Decoded frames, the least recently used leave first.
#[derive(Default)]
pub(super) struct FrameCache {
    frames: HashMap<(ObjectName, u32), CachedFrame>,
    bytes: usize,
    clock: u64,
}

struct CachedFrame {
    /// As it was asked for: a hint may be wrong about lengths and encoding.
    place: FramePlace,
    bytes: Bytes,
    /// The cache's clock when it was last asked for.
    used: u64,
}

impl FrameCache {
    pub(super) fn get(&mut self, place: &FramePlace) -> Option<Bytes> {
        self.clock += 1;
        let frame = self.frames.get_mut(&(place.pack, place.offset)).filter(|frame| frame.place == *place)?;
        frame.used = self.clock;
        Some(frame.bytes.clone())
    }

    pub(super) fn forget(&mut self, place: &FramePlace) {
        let removed = self.frames.remove(&(place.pack, place.offset));
        self.bytes -= removed.map_or(0, |frame| frame.bytes.len());
    }

    pub(super) fn put(&mut self, place: &FramePlace, bytes: Bytes) {
        self.clock += 1;
        self.bytes += bytes.len();
        let frame = CachedFrame { place: *place, bytes, used: self.clock };
        if let Some(old) = self.frames.insert((place.pack, place.offset), frame) {
            self.bytes -= old.bytes.len();
        }
        while self.bytes > CACHED_BYTES {
            let oldest = self.frames.iter().min_by_key(|(_, frame)| frame.used).map(|(key, _)| *key);
            let Some(removed) = oldest.and_then(|key| self.frames.remove(&key)) else { break };
            self.bytes -= removed.bytes.len();
        }
    }
}
