//! Which ranges of which packs are read for frames that are wanted together: neighbours of one pack share a request.

use crate::base::ObjectName;
use crate::format::place::FramePlace;

/// Bytes between two wanted frames that are rather read along than a request spent.
const GAP_BYTES: u64 = 64 << 10;
/// A range is no longer, but for a frame that is.
const RANGE_BYTES: u64 = 8 << 20;

/// One range of a pack, and the frames that are wanted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRange {
    pub pack: ObjectName,
    pub offset: u64,
    pub bytes: u64,
    /// By offset.
    pub frames: Vec<FramePlace>,
}

/// The ranges that hold all of `frames`, by pack and offset; each frame is in one of them, once.
pub fn ranges(frames: &[FramePlace]) -> Vec<FetchRange> {
    let mut sorted = frames.to_vec();
    sorted.sort_unstable_by_key(|frame| (frame.pack, frame.offset, frame.stored_bytes));
    sorted.dedup();
    let mut ranges: Vec<FetchRange> = Vec::new();
    for frame in sorted {
        let (start, end) = (u64::from(frame.offset), u64::from(frame.offset) + u64::from(frame.stored_bytes));
        if let Some(range) = ranges.last_mut()
            && range.pack == frame.pack
            && start <= range.offset + range.bytes + GAP_BYTES
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::place::Encoding;

    fn frame(born: u64, offset: u32, stored_bytes: u32) -> FramePlace {
        let pack = ObjectName { born, random: [0; 16] };
        FramePlace { pack, offset, stored_bytes, raw_bytes: stored_bytes, encoding: Encoding::Raw }
    }

    fn planned(frames: &[FramePlace]) -> Vec<(u64, u64, u64, usize)> {
        ranges(frames).iter().map(|range| (range.pack.born, range.offset, range.bytes, range.frames.len())).collect()
    }

    #[test]
    fn neighbours_share_a_range() {
        let frames = [frame(1, 116, 50), frame(1, 16, 100), frame(2, 166, 9), frame(1, 116, 50), frame(1, 60_000, 5)];
        assert_eq!(planned(&frames), [(1, 16, 59_989, 3), (2, 166, 9, 1)]);
        assert_eq!(planned(&[]), []);
    }

    #[test]
    fn what_lies_apart_or_would_be_too_much_has_a_range_of_its_own() {
        let far = 16 + 10 + GAP_BYTES as u32;
        assert_eq!(planned(&[frame(1, 16, 10), frame(1, far, 10)]).len(), 1);
        assert_eq!(planned(&[frame(1, 16, 10), frame(1, far + 1, 10)]).len(), 2);
        let long: Vec<_> = (0..9).map(|n| frame(1, n << 20, 1 << 20)).collect();
        assert_eq!(planned(&long), [(1, 0, 8 << 20, 8), (1, 8 << 20, 1 << 20, 1)]);
    }
}
