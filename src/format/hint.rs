//! Hints: where the children of a page lay when it was written (docs/format.md §9).
//!
//! A hint is advice. It stands beside its item, outside the item's hash, so it can be stale or wrong without any id changing:
//! what it leads to is verified, and where that fails the index decides. Neighbours in a frame cost a byte or three.

use std::collections::HashMap;

use crate::base::{ObjectName, Result};

use super::codec::{Put, Reader};
use super::place::{Encoding, FramePlace, Place, put_object_name, read_object_name};

const UNKNOWN: u8 = 0;
const BEHIND: u8 = 1;
const ANYWHERE: u8 = 2;
const NEXT_FRAME: u8 = 3;

/// What the page itself says of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildShape {
    /// A chunk of this many bytes, without a hint.
    Chunk { len: u32 },
    /// A meta object: its lengths stand in the hint.
    Meta,
}

impl ChildShape {
    fn fits(self, place: &Place) -> bool {
        match self {
            ChildShape::Chunk { len } => place.len == len && place.hint_len == 0,
            ChildShape::Meta => true,
        }
    }
}

/// Writes the hint for `children`, in the order of the page; empty if none is known.
///
/// A place that can't be that child's is written as not known.
pub fn encode(children: &[(ChildShape, Option<Place>)]) -> Vec<u8> {
    let known =
        |(shape, place): &(ChildShape, Option<Place>)| place.filter(|place| place.is_possible() && shape.fits(place));
    let mut packs = Vec::new();
    let mut numbers: HashMap<ObjectName, usize> = HashMap::new();
    let mut rows = Vec::new();
    let mut before: Option<Place> = None;
    for child in children {
        let Some(place) = known(child) else {
            rows.put_u8(UNKNOWN);
            continue;
        };
        let number = *numbers.entry(place.frame.pack).or_insert_with(|| {
            packs.push(place.frame.pack);
            packs.len() - 1
        });
        match tag_of(&place, before.as_ref()) {
            BEHIND => rows.put_u8(BEHIND),
            NEXT_FRAME => {
                rows.put_u8(NEXT_FRAME);
                put_frame(&mut rows, &place.frame);
            }
            _ => {
                rows.put_u8(ANYWHERE);
                rows.put_count(number);
                rows.put_varint(place.frame.offset.into());
                put_frame(&mut rows, &place.frame);
                rows.put_varint(place.at.into());
            }
        }
        if child.0 == ChildShape::Meta {
            rows.put_varint(place.len.into());
            rows.put_varint(place.hint_len.into());
        }
        before = Some(place);
    }
    if packs.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(rows.len() + 22 * packs.len() + 10);
    out.put_count(packs.len());
    packs.iter().for_each(|pack| put_object_name(&mut out, pack));
    out.append(&mut rows);
    out
}

/// The shortest form that says `place`, `before` being the place of the last child known.
fn tag_of(place: &Place, before: Option<&Place>) -> u8 {
    match before {
        Some(before) if before.frame == place.frame && Some(place.at) == end_of(before) => BEHIND,
        Some(before)
            if before.frame.pack == place.frame.pack
                && frame_end(&before.frame) == Some(place.frame.offset)
                && place.at == 0 =>
        {
            NEXT_FRAME
        }
        _ => ANYWHERE,
    }
}

fn end_of(place: &Place) -> Option<u32> {
    place.at.checked_add(place.len)?.checked_add(place.hint_len)
}

fn frame_end(frame: &FramePlace) -> Option<u32> {
    frame.offset.checked_add(frame.stored_bytes)
}

fn put_frame(out: &mut Vec<u8>, frame: &FramePlace) {
    out.put_varint(frame.stored_bytes.into());
    out.put_varint(frame.raw_bytes.into());
    frame.encoding.put(out);
}

/// Reads the hint of a page with these `children`: the place of each, where known.
///
/// Fails as damaged if it isn't a hint for such a page; a caller then does as if it were empty.
pub fn decode(bytes: &[u8], children: &[ChildShape]) -> Result<Vec<Option<Place>>> {
    if bytes.is_empty() {
        return Ok(vec![None; children.len()]);
    }
    let mut reader = Reader::new("a hint", bytes);
    let count = reader.count(1 + 16)?;
    let mut packs = Vec::with_capacity(count);
    for _ in 0..count {
        packs.push(read_object_name(&mut reader)?);
    }
    if reader.left() < children.len() {
        return Err(reader.fault("ends too early"));
    }
    let mut places = Vec::with_capacity(children.len());
    let mut before: Option<Place> = None;
    for shape in children {
        let place = read_child(&mut reader, *shape, &packs, before.as_ref())?;
        before = place.or(before);
        places.push(place);
    }
    reader.end()?;
    Ok(places)
}

fn read_child(
    reader: &mut Reader<'_>,
    shape: ChildShape,
    packs: &[ObjectName],
    before: Option<&Place>,
) -> Result<Option<Place>> {
    let tag = reader.u8()?;
    let start = match (tag, before) {
        (UNKNOWN, _) => return Ok(None),
        (BEHIND, Some(before)) => end_of(before).map(|at| (before.frame, at)),
        (NEXT_FRAME, Some(before)) => match frame_end(&before.frame) {
            Some(offset) => Some((read_frame(reader, before.frame.pack, offset)?, 0)),
            None => None,
        },
        (ANYWHERE, _) => {
            let number = reader.varint()?;
            let pack = usize::try_from(number).ok().and_then(|number| packs.get(number));
            let pack = *pack.ok_or_else(|| reader.fault("a pack that isn't listed"))?;
            let offset = reader.varint_u32()?;
            Some((read_frame(reader, pack, offset)?, reader.varint_u32()?))
        }
        _ => None,
    };
    let (frame, at) = start.ok_or_else(|| reader.fault("a child that can't be placed"))?;
    let (len, hint_len) = match shape {
        ChildShape::Chunk { len } => (len, 0),
        ChildShape::Meta => (reader.varint_u32()?, reader.varint_u32()?),
    };
    let place = Place { frame, at, len, hint_len };
    match place.is_possible() {
        true => Ok(Some(place)),
        false => Err(reader.fault("a place that can't be")),
    }
}

fn read_frame(reader: &mut Reader<'_>, pack: ObjectName, offset: u32) -> Result<FramePlace> {
    let (stored_bytes, raw_bytes) = (reader.varint_u32()?, reader.varint_u32()?);
    Ok(FramePlace { pack, offset, stored_bytes, raw_bytes, encoding: Encoding::read(reader)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Id;
    use proptest::prelude::*;

    fn pack(number: u8) -> ObjectName {
        ObjectName { born: u64::from(number) * 1000, random: [number; 16] }
    }

    /// Runs of children that lie behind each other, in frames that follow each other, with gaps now and then.
    fn children() -> impl Strategy<Value = Vec<(ChildShape, Option<Place>)>> {
        let child = (0u8..8, 1u32..5000, 0u32..40, any::<bool>());
        proptest::collection::vec(child, 0..60).prop_map(|steps| {
            let mut frame = FramePlace {
                pack: pack(0),
                offset: 16,
                stored_bytes: 900_000,
                raw_bytes: 900_000,
                encoding: Encoding::Raw,
            };
            let mut at = 0;
            let mut out = Vec::new();
            for (step, len, hint_len, is_chunk) in steps {
                match step {
                    0 => frame.pack = pack((len % 5) as u8),
                    1 => at += 7,
                    2 | 3 => {
                        frame.offset += frame.stored_bytes;
                        (frame.stored_bytes, at) = (len, 0);
                        frame.encoding = if step == 2 { Encoding::Zstd } else { Encoding::Based(Id([len as u8; 32])) };
                    }
                    _ => (),
                }
                let hint_len = if is_chunk { 0 } else { hint_len };
                let shape = if is_chunk { ChildShape::Chunk { len } } else { ChildShape::Meta };
                let place = Place { frame, at, len, hint_len };
                out.push((shape, (step != 7).then_some(place)));
                at += len + hint_len;
            }
            out
        })
    }

    proptest! {
        #[test]
        fn hints_round_trip(children in children()) {
            let bytes = encode(&children);
            let shapes: Vec<_> = children.iter().map(|child| child.0).collect();
            let places: Vec<_> = children.iter().map(|child| child.1).collect();
            prop_assert_eq!(decode(&bytes, &shapes).expect("own bytes"), places);
        }

        #[test]
        fn cut_or_random_hints_never_panic(children in children(), noise in proptest::collection::vec(any::<u8>(), 0..200), cut: u8) {
            let mut bytes = encode(&children);
            let shapes: Vec<_> = children.iter().map(|child| child.0).collect();
            bytes.truncate(usize::from(cut));
            decode(&bytes, &shapes).ok();
            for (byte, noise) in bytes.iter_mut().rev().zip(&noise) {
                *byte ^= noise;
            }
            decode(&bytes, &shapes).ok();
            decode(&noise, &shapes).ok();
        }
    }

    #[test]
    fn neighbours_cost_a_byte() {
        let frame = FramePlace {
            pack: pack(1),
            offset: 16,
            stored_bytes: 50_000,
            raw_bytes: 100_000,
            encoding: Encoding::Zstd,
        };
        let children: Vec<_> = (0..100)
            .map(|n| (ChildShape::Chunk { len: 1000 }, Some(Place { frame, at: n * 1000, len: 1000, hint_len: 0 })))
            .collect();
        assert_eq!(encode(&children).len() - encode(&children[..1]).len(), 99);
    }

    #[test]
    fn what_cannot_be_is_not_written() {
        let frame = FramePlace { pack: pack(1), offset: 16, stored_bytes: 10, raw_bytes: 10, encoding: Encoding::Raw };
        let place = Place { frame, at: 0, len: 10, hint_len: 0 };
        assert!(encode(&[]).is_empty());
        assert!(encode(&[(ChildShape::Chunk { len: 9 }, Some(place)), (ChildShape::Meta, None)]).is_empty());
        assert_eq!(decode(&[], &[ChildShape::Meta; 3]).expect("empty"), [None; 3]);
    }

    #[test]
    fn the_bytes_are_frozen() {
        let frame = FramePlace { pack: pack(1), offset: 16, stored_bytes: 5, raw_bytes: 20, encoding: Encoding::Zstd };
        let next = FramePlace { offset: 21, stored_bytes: 3, raw_bytes: 3, encoding: Encoding::Raw, ..frame };
        let place = |frame, at, len, hint_len| Some(Place { frame, at, len, hint_len });
        let children = [
            (ChildShape::Chunk { len: 4 }, place(frame, 2, 4, 0)),
            (ChildShape::Meta, None),
            (ChildShape::Meta, place(frame, 6, 7, 1)),
            (ChildShape::Chunk { len: 3 }, place(next, 0, 3, 0)),
        ];
        let mut bytes = vec![1, 0xe8, 7];
        bytes.extend([1; 16]);
        bytes.extend([ANYWHERE, 0, 16, 5, 20, 1, 2, UNKNOWN, BEHIND, 7, 1, NEXT_FRAME, 3, 3, 0]);
        assert_eq!(encode(&children), bytes);
    }
}
