//! Chunks to zstd frames and back (docs/format.md §4 encodings, §5.2).
//!
//! Writing decides freely whether to try at all. Reading trusts nothing: a stored frame is exactly one zstd frame, without a dictionary id, that declares
//! the size which the pack's footer states and decodes to it. A frame against a base has the base's bytes as raw-content prefix.
//!
//! Contexts are kept per thread: a frame is about 60 KB, and setting one up would cost a good part of that. Those with a prefix are made anew, since a context
//! may not outlive the prefix that it refers to; its cost is small beside indexing the prefix.

use std::cell::RefCell;

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, WriteBuf};

use crate::base::{Error, Result};

/// The level at which compression keeps up with reading; higher ones seldom save more at the size of a chunk.
const LEVEL: i32 = 1;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

thread_local! {
    static COMPRESSOR: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// `raw` as one zstd frame, or `None` unless that saves at least a twentieth.
pub fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    let mut stored = Vec::with_capacity(worth_bytes(raw));
    COMPRESSOR.with_borrow_mut(|context| context.compress(&mut stored, raw, LEVEL)).ok()?;
    Some(stored)
}

/// `raw` as one zstd frame that needs `base` to be decoded, or `None` unless that saves at least a twentieth.
///
/// The window spans all of the base and of `raw`. The two mustn't share memory: zstd then finds nothing in the base.
pub fn compress_against(raw: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    let mut stored = Vec::with_capacity(worth_bytes(raw));
    let span = (raw.len() + base.len()).next_power_of_two().trailing_zeros();
    let mut context = CCtx::create();
    context.set_parameter(CParameter::CompressionLevel(LEVEL)).ok()?;
    context.set_parameter(CParameter::WindowLog(span.clamp(10, 27))).ok()?;
    context.set_parameter(CParameter::HashLog(span.clamp(10, 18))).ok()?;
    context.set_parameter(CParameter::EnableLongDistanceMatching(true)).ok()?;
    context.ref_prefix(base).ok()?;
    context.compress2(&mut stored, raw).ok()?;
    Some(stored)
}

/// The `raw_bytes` bytes that a stored frame holds; `base` must be given just if it was compressed against one.
///
/// Allocates `raw_bytes`, which the caller holds to the format's limit. Anything but one whole frame of that size is
/// [`crate::base::Kind::Damaged`]. Whether the bytes are the right ones only their id tells.
pub fn decompress(stored: &[u8], raw_bytes: usize, base: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut raw = Vec::with_capacity(raw_bytes);
    decode(stored, raw_bytes, base, &mut raw).map(|()| raw)
}

/// As [`decompress`], into memory that is as long as the decoded bytes must be. What it holds after an error is of no use.
pub fn decompress_into(stored: &[u8], raw: &mut [u8]) -> Result<()> {
    decode(stored, raw.len(), None, raw)
}

fn decode(stored: &[u8], raw_bytes: usize, base: Option<&[u8]>, raw: &mut (impl WriteBuf + ?Sized)) -> Result<()> {
    let damaged = |why: &str| Error::damaged(format!("compressed frame: {why}"));
    if !stored.starts_with(&MAGIC) {
        return Err(damaged("doesn't begin as one"));
    }
    if stored.get(4).is_none_or(|descriptor| descriptor & 3 != 0) {
        return Err(damaged("asks for a dictionary"));
    }
    match zstd_safe::get_frame_content_size(stored) {
        Ok(Some(declared)) if declared == raw_bytes as u64 => {}
        _ => return Err(damaged("doesn't declare the size that it must have")),
    }
    if zstd_safe::find_frame_compressed_size(stored) != Ok(stored.len()) {
        return Err(damaged("is cut short, or more follows it"));
    }
    let outcome = match base {
        None => DECOMPRESSOR.with_borrow_mut(|context| context.decompress(raw, stored)),
        Some(base) => {
            let mut context = DCtx::create();
            context.ref_prefix(base).and_then(|_| context.decompress(raw, stored))
        }
    };
    match outcome {
        Ok(len) if len == raw_bytes => Ok(()),
        Ok(_) => Err(damaged("decodes to another size than it declares")),
        Err(code) => Err(damaged("can't be decoded").because(zstd_safe::get_error_name(code))),
    }
}

/// The most bytes that a compressed form of `raw` may have to be kept.
fn worth_bytes(raw: &[u8]) -> usize {
    raw.len() - raw.len().div_ceil(20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Kind;
    use proptest::prelude::*;

    fn noise(seed: &str, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn text(len: usize) -> Vec<u8> {
        (0u32..).flat_map(|row| format!("{row},{},label\n", row * 7919 % 1009).into_bytes()).take(len).collect()
    }

    fn refused(stored: &[u8], raw_bytes: usize, base: Option<&[u8]>) -> bool {
        decompress(stored, raw_bytes, base).is_err_and(|fault| fault.kind() == Kind::Damaged)
    }

    #[test]
    fn only_what_saves_a_twentieth_is_kept() {
        let raw = text(60_000);
        let stored = compress(&raw).expect("text shrinks");
        assert!(stored.len() <= worth_bytes(&raw));
        assert_eq!(decompress(&stored, raw.len(), None).expect("own frame"), raw);
        assert_eq!(compress(&noise("x", 60_000)), None);
        for len in 0..20 {
            assert!(compress(&noise("x", len)).is_none_or(|stored| stored.len() < len));
        }
        let mut mixed = noise("x", 97_000);
        mixed.resize(100_000, 0);
        assert_eq!(compress(&mixed), None, "3% isn't enough");
        mixed.resize(110_000, 0);
        assert!(compress(&mixed).is_some());
    }

    #[test]
    fn a_base_is_reached_to_its_far_end() {
        for len in [70_000, 131_072, 1 << 20] {
            let base = noise("base", len);
            let mut raw = base.clone();
            raw.splice(len / 2..len / 2, *b"an insert");
            let stored = compress_against(&raw, &base).expect("nearly all is in the base");
            assert!(stored.len() < 1000, "{} bytes for {len}", stored.len());
            assert_eq!(decompress(&stored, raw.len(), Some(&base)).expect("own frame"), raw);
            assert!(refused(&stored, raw.len(), None));
            let other = decompress(&stored, raw.len(), Some(&noise("other", len)));
            assert!(other.is_err() || other.is_ok_and(|other| other != raw));
        }
    }

    #[test]
    fn a_base_is_content_even_if_it_looks_like_a_dictionary() {
        let mut base = vec![0x37, 0xa4, 0x30, 0xec];
        base.extend(noise("base", 50_000));
        let raw = base.clone();
        let stored = compress_against(&raw, &base).expect("all is in the base");
        assert!(stored.len() < 200);
        assert_eq!(decompress(&stored, raw.len(), Some(&base)).expect("own frame"), raw);
    }

    #[test]
    fn hostile_frames_are_damaged() {
        let raw = text(50_000);
        let stored = compress(&raw).expect("text shrinks");
        assert!(refused(&stored, raw.len() - 1, None));
        assert!(refused(&stored, raw.len() + 1, None));
        assert!(refused(&[], 0, None));
        assert!(refused(&MAGIC, 0, None));
        for cut in [4, 5, 10, stored.len() - 1] {
            assert!(refused(&stored[..cut], raw.len(), None));
        }
        assert!(refused(&[&stored[..], b"x"].concat(), raw.len(), None), "trailing bytes");
        assert!(refused(&[&stored[..], &stored[..]].concat(), raw.len(), None), "two frames");
        assert!(refused(&[&stored[..], &stored[..]].concat(), 2 * raw.len(), None), "two frames");
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
        assert!(refused(&[&skippable[..], &stored[..]].concat(), raw.len(), None), "skippable before");
        assert!(refused(&[&stored[..], &skippable[..]].concat(), raw.len(), None), "skippable behind");
        let bomb = compress(&vec![0; 64 << 20]).expect("zeros shrink");
        assert!(refused(&bomb, 1 << 20, None));
        let mut dictionary = stored.clone();
        dictionary[4] |= 1;
        assert!(refused(&dictionary, raw.len(), None));
    }

    #[test]
    fn a_failure_leaves_the_thread_able() {
        let raw = text(30_000);
        let stored = compress(&raw).expect("text shrinks");
        let mut broken = stored.clone();
        broken.truncate(stored.len() / 2);
        assert!(decompress(&broken, raw.len(), None).is_err());
        assert_eq!(compress(&noise("x", 30_000)), None);
        assert_eq!(compress(&raw), Some(stored.clone()));
        assert_eq!(decompress(&stored, raw.len(), None).expect("own frame"), raw);
    }

    proptest! {
        #[test]
        fn frames_round_trip(raw in proptest::collection::vec(0u8..4, 0..5000), base in proptest::option::of(proptest::collection::vec(0u8..4, 0..5000))) {
            let stored = match &base {
                None => compress(&raw),
                Some(base) => compress_against(&raw, base),
            };
            if let Some(stored) = stored {
                prop_assert_eq!(decompress(&stored, raw.len(), base.as_deref()).expect("own frame"), raw);
            }
        }

        #[test]
        fn noise_behind_the_magic_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), raw_bytes in 0usize..100_000) {
            let stored = [&MAGIC[..], &bytes].concat();
            if let Ok(raw) = decompress(&stored, raw_bytes, None) {
                prop_assert_eq!(raw.len(), raw_bytes);
            }
        }
    }
}
