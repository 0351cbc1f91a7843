//! Cut points, `gear-1` (docs/format.md §5): the same bytes are cut at the same places for ever.
//!
//! ```text
//! 0            MIN−64   MIN                                   MAX
//! |── skipped ───|─ 64 ─|── strong hit: cut; weak: remember ──|── cut at the last weak hit, else here
//! ```
//!
//! A hash bit at place k depends on the last k + 1 bytes only, so a hash begun 64 bytes before the first test equals one begun
//! anywhere before it, and a cut depends on nothing but the bytes between the cut before it and itself. A strong hit (16 highest bits zero) is also a weak hit
//! (12 highest bits zero): one comparison a byte decides.

use std::sync::LazyLock;

/// A file of at most this many bytes is one chunk, uncut, whatever its rule.
pub const SMALL_FILE: u64 = 131_072;

/// Least bytes of a chunk cut by content, but for the last of a file.
pub const MIN: usize = 16_384;

/// Most bytes of a chunk cut by content.
pub const MAX: usize = 131_072;

/// Bytes of a piece of a file cut by [`Rule::Fixed`], but for the last.
pub const FIXED: usize = 1 << 20;

/// How many bytes of a file's start [`sniff`] looks at.
pub const SNIFF: usize = 12;

/// Bytes that the hash remembers.
const REACH: usize = 64;

/// A hash below this has its 16 highest bits zero.
const STRONG_BELOW: u64 = 1 << 48;

/// A hash below this has its 12 highest bits zero.
const WEAK_BELOW: u64 = 1 << 52;

/// Bytes hashed between two looks at whether any hit came.
const STEP: usize = 8;

static GEAR: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut bytes = [0; 2048];
    blake3::Hasher::new().update(b"dagset gear-1 table").finalize_xof().fill(&mut bytes);
    let mut words = bytes.as_chunks().0.iter();
    std::array::from_fn(|_| u64::from_le_bytes(*words.next().expect("256 words of 8 bytes are 2,048 bytes")))
});

/// How a file of more than [`SMALL_FILE`] bytes is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Where the content says.
    Content,
    /// Every [`FIXED`] bytes.
    Fixed,
}

impl Rule {
    /// Most bytes of a chunk: with so many at hand, [`next_cut`] always decides.
    pub fn max(self) -> usize {
        match self {
            Rule::Content => MAX,
            Rule::Fixed => FIXED,
        }
    }
}

/// The rule for a file that begins with `start`: at least [`SNIFF`] bytes of it, or all that it has.
pub fn sniff(start: &[u8]) -> Rule {
    const COMPRESSED: [&[u8]; 10] = [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"\x1f\x8b\x08",
        b"\x28\xb5\x2f\xfd",
        b"\xfd7zXZ\0",
        b"ID3",
        b"\xff\xfb",
        b"\xff\xf3",
        b"\xff\xf2",
        // WebP has its mark behind the length of the RIFF chunk.
        b"WEBP",
    ];
    let (webp, plain) = COMPRESSED.split_last().expect("not empty");
    let is_webp = start.starts_with(b"RIFF") && start.get(8..12) == Some(webp);
    match is_webp || plain.iter().any(|magic| start.starts_with(magic)) {
        true => Rule::Fixed,
        false => Rule::Content,
    }
}

/// Length of the chunk at whose start `data` begins, or `None` if more data is needed to tell.
///
/// `at_end` says that the file ends with `data`. Never `None` for data of at least [`Rule::max`] bytes, nor for any at the end;
/// always `None` for none. The caller keeps a file of at most [`SMALL_FILE`] bytes whole.
pub fn next_cut(rule: Rule, data: &[u8], at_end: bool) -> Option<usize> {
    let cut = match rule {
        Rule::Content => content_cut(data),
        Rule::Fixed => (data.len() >= FIXED).then_some(FIXED),
    };
    cut.or_else(|| (at_end && !data.is_empty()).then_some(data.len()))
}

/// The chunks of a whole file in memory, by all rules.
pub fn pieces(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let rule = sniff(file);
    let whole = file.len() as u64 <= SMALL_FILE;
    let mut rest = file;
    std::iter::from_fn(move || {
        let len = if whole { rest.len() } else { next_cut(rule, rest, true)? };
        let (piece, after) = rest.split_at(len);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn content_cut(data: &[u8]) -> Option<usize> {
    if data.len() < MIN {
        return None;
    }
    let gear: &[u64; 256] = &GEAR;
    let end = data.len().min(MAX);
    let first = MIN - 1;
    let roll = |hash: u64, byte: u8| (hash << 1).wrapping_add(gear[usize::from(byte)]);
    let mut hash = data[MIN - REACH..first].iter().fold(0, |hash, &byte| roll(hash, byte));
    let mut remembered = None;
    // Hashes some bytes one by one, where a hit is likely or few are left.
    let slowly = |hash: &mut u64, remembered: &mut Option<usize>, from: usize, bytes: &[u8]| {
        for (at, &byte) in (from..).zip(bytes) {
            *hash = roll(*hash, byte);
            if *hash < WEAK_BELOW {
                if *hash < STRONG_BELOW {
                    return Some(at + 1);
                }
                *remembered = Some(at + 1);
            }
        }
        None
    };

    let (steps, rest) = data[first..end].as_chunks::<STEP>();
    let mut at = first;
    for step in steps {
        let [a, b, c, d, e, f, g, h] = step.map(|byte| gear[usize::from(byte)]);
        // Two bytes at a time: the sum of the two words needn't wait for the hash.
        let h1 = (hash << 1).wrapping_add(a);
        let h2 = (hash << 2).wrapping_add((a << 1).wrapping_add(b));
        let h3 = (h2 << 1).wrapping_add(c);
        let h4 = (h2 << 2).wrapping_add((c << 1).wrapping_add(d));
        let h5 = (h4 << 1).wrapping_add(e);
        let h6 = (h4 << 2).wrapping_add((e << 1).wrapping_add(f));
        let h7 = (h6 << 1).wrapping_add(g);
        let h8 = (h6 << 2).wrapping_add((g << 1).wrapping_add(h));
        let hit = [h1, h2, h3, h4, h5, h6, h7, h8].iter().any(|&hash| hash < WEAK_BELOW);
        if hit {
            if let Some(cut) = slowly(&mut hash, &mut remembered, at, step) {
                return Some(cut);
            }
        } else {
            hash = h8;
        }
        at += STEP;
    }
    if let Some(cut) = slowly(&mut hash, &mut remembered, at, rest) {
        return Some(cut);
    }
    (end == MAX).then(|| remembered.unwrap_or(MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Id;
    use proptest::prelude::*;

    fn noise(seed: &str, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn text(len: usize) -> Vec<u8> {
        let mut text = String::new();
        for row in 0.. {
            if text.len() >= len {
                break;
            }
            text += &format!("{row},sensor-{},{:.3},ok\n", row % 17, f64::from(row) * 0.37);
        }
        text.truncate(len);
        text.into_bytes()
    }

    /// The rule as the format says it, with nothing skipped or shared.
    fn reference(data: &[u8], at_end: bool) -> Option<usize> {
        let mut remembered = None;
        for n in MIN..=data.len().min(MAX) {
            let hash = data[n - 64..n].iter().fold(0u64, |h, &b| (h << 1).wrapping_add(GEAR[usize::from(b)]));
            if hash >> 48 == 0 {
                return Some(n);
            }
            if hash >> 52 == 0 {
                remembered = Some(n);
            }
            if n == MAX {
                return remembered.or(Some(n));
            }
        }
        (at_end && !data.is_empty()).then_some(data.len())
    }

    fn cuts(rule: Rule, data: &[u8]) -> Vec<usize> {
        let mut at = 0;
        std::iter::from_fn(|| {
            at += next_cut(rule, &data[at..], true)?;
            Some(at)
        })
        .collect()
    }

    #[test]
    fn the_table_is_frozen() {
        let bytes: Vec<u8> = GEAR.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(Id::of(&bytes).to_string(), "e030d9c3246fbbe5d2de2a16b9040da2e44b4078babcadbb68077aaa53515f06");
    }

    #[test]
    fn the_cut_points_are_frozen() {
        assert_eq!(
            cuts(Rule::Content, &noise("golden", 1_000_000)),
            [127427, 181089, 306440, 335749, 386263, 516504, 645473, 773781, 798183, 914045, 935499, 965292, 1000000]
        );
        assert_eq!(
            cuts(Rule::Content, &text(600_000)),
            [31195, 79155, 138792, 173883, 296338, 377961, 412474, 510676, 532451, 574613, 600000]
        );
        assert_eq!(cuts(Rule::Content, &vec![0; 300_000]), [MAX, 2 * MAX, 300_000]);
        assert_eq!(cuts(Rule::Fixed, &vec![7; 2_500_000]), [FIXED, 2 * FIXED, 2_500_000]);
    }

    #[test]
    fn compressed_kinds_are_known_by_their_first_bytes() {
        for start in [
            &b"\xff\xd8\xff\xe0"[..],
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\x01\x02\x03\x04WEBPVP8 ",
            b"\x1f\x8b\x08\0",
            b"\x28\xb5\x2f\xfd",
            b"\xfd7zXZ\0",
            b"ID3\x04",
            b"\xff\xfb\x90",
            b"\xff\xf3",
            b"\xff\xf2",
        ] {
            assert_eq!(sniff(start), Rule::Fixed, "{start:?}");
        }
        for start in [&b""[..], b"\xff", b"\xff\xd8", b"PK\x03\x04", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WEB", b"id,x"] {
            assert_eq!(sniff(start), Rule::Content, "{start:?}");
        }
    }

    #[test]
    fn small_files_are_whole() {
        let limit = SMALL_FILE as usize;
        assert_eq!(pieces(&[]).count(), 0);
        assert_eq!(pieces(&noise("small", limit)).count(), 1);
        assert!(pieces(&noise("small", limit + 1)).count() > 1);
    }

    #[test]
    fn more_data_is_asked_for_only_where_it_matters() {
        let data = noise("more", MAX);
        let cut = next_cut(Rule::Content, &data, false).expect("decided at the maximum");
        for len in (0..MAX).step_by(1009).chain([cut - 1, cut]) {
            let early = next_cut(Rule::Content, &data[..len], false);
            assert!(early.is_none_or(|early| early == cut), "{len}");
            assert_eq!(next_cut(Rule::Content, &data[..len], true).is_none(), len == 0);
        }
        assert_eq!(next_cut(Rule::Fixed, &data, false), None);
        assert_eq!(next_cut(Rule::Fixed, &data, true), Some(MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_fast_cut_is_the_slow_one(seed in "[a-z]{4}", len in 0..MAX + 100, symbols in 1u8..=255, at_end: bool) {
            let data: Vec<u8> = noise(&seed, len).iter().map(|b| b % symbols).collect();
            prop_assert_eq!(next_cut(Rule::Content, &data, at_end), reference(&data, at_end));
        }

        #[test]
        fn pieces_concatenate_and_keep_their_bounds(seed in "[a-z]{4}", len in 0usize..600_000, symbols in 1u8..=255) {
            let data: Vec<u8> = noise(&seed, len).iter().map(|b| b % symbols).collect();
            let all: Vec<&[u8]> = pieces(&data).collect();
            prop_assert_eq!(all.concat(), &data[..]);
            if let Some((last, others)) = all.split_last() {
                prop_assert!(others.iter().all(|piece| (MIN..=MAX).contains(&piece.len())));
                prop_assert!((1..=MAX).contains(&last.len()));
            }
        }

        #[test]
        fn cuts_are_the_same_however_the_stream_is_split(seed in "[a-z]{4}", step in 1usize..90_000) {
            let data = noise(&seed, 500_000);
            let mut found = Vec::new();
            let (mut at, mut have) = (0, 0);
            while at < data.len() {
                match next_cut(Rule::Content, &data[at..have], have == data.len()) {
                    Some(len) => {
                        at += len;
                        found.push(at);
                    }
                    None => have = (have + step.max(1000)).min(data.len()),
                }
            }
            prop_assert_eq!(found, cuts(Rule::Content, &data));
        }

        #[test]
        fn an_edit_changes_cuts_only_near_it(seed in "[a-z]{4}", at in 0usize..1_000_000, gone in 0usize..300, put in 0usize..300) {
            let old = noise(&seed, 2_000_000);
            let mut new = old[..at].to_vec();
            new.extend(noise("edit", put));
            new.extend(&old[at + gone..]);
            let ends = |data: &[u8]| cuts(Rule::Content, data);
            let (before, after) = (ends(&old), ends(&new));
            let same_start = before.iter().zip(&after).take_while(|(a, b)| a == b).map(|(a, _)| *a).last().unwrap_or(0);
            prop_assert!(same_start + MAX >= at);
            let from_end = |ends: &[usize], len: usize| ends.iter().rev().map(|end| len - end).collect::<Vec<_>>();
            let (before, after) = (from_end(&before, old.len()), from_end(&after, new.len()));
            let same_end = before.iter().zip(&after).take_while(|(a, b)| a == b).map(|(a, _)| *a).last().unwrap_or(0);
            prop_assert!(old.len() - same_end <= at + gone + 8 * MAX, "cuts agree again within a few chunks");
        }
    }
}
