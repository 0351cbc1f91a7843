use proptest::prelude::*;

use super::super::header::{TRAILER_LEN, Trailer};
use super::super::place::MAX_FRAME_RAW;
use super::*;

const PACKS: [ObjectKind; 3] = [ObjectKind::Pack, ObjectKind::MetaPack, ObjectKind::State];

/// A frame to add: its items with their bytes, and how it claims to be kept.
type Plan = Vec<(Vec<(u8, u16, u8)>, u8)>;

fn plan() -> impl Strategy<Value = Plan> {
    let items = proptest::collection::vec((any::<u8>(), 1u16..300, 0u8..20), 1..6);
    proptest::collection::vec((items, 0u8..3), 0..8)
}

fn build(kind: ObjectKind, plan: &Plan) -> PackBuilder {
    let mut builder = PackBuilder::new(kind);
    for (items, encoding) in plan {
        let (mut raw, mut new) = (Vec::new(), Vec::new());
        for (seed, len, hint_len) in items {
            let bytes: Vec<u8> = (0..*len).map(|n| seed.wrapping_mul(31).wrapping_add(n as u8)).collect();
            let (item_kind, hint_len) = match kind {
                ObjectKind::Pack => (ItemKind::Chunk, 0),
                ObjectKind::State => (ItemKind::StateNode, *hint_len),
                _ => (ItemKind::ALL[1 + usize::from(seed % 6)], *hint_len),
            };
            new.push(NewItem { id: Id::of(&bytes), kind: item_kind, len: u32::from(*len), hint_len: hint_len.into() });
            raw.extend_from_slice(&bytes);
            raw.extend(std::iter::repeat_n(0xee, hint_len.into()));
        }
        let (stored, encoding) = match encoding {
            0 => (&raw[..], Encoding::Raw),
            1 => (&raw[..raw.len().div_ceil(2)], Encoding::Zstd),
            _ => (&raw[..1], Encoding::Based(Id::of(&raw))),
        };
        builder.add_frame(stored, raw.len() as u32, encoding, &new).expect("within the limits");
    }
    builder
}

/// Whether every byte of a pack is what was written: the footer's parser, the frames' checks, the ids of raw chunks.
fn is_intact(kind: ObjectKind, bytes: &[u8]) -> bool {
    let Ok(footer) = parse_pack(kind, bytes) else { return false };
    footer.items_by_frame().all(|(frame, items)| {
        let stored = &bytes[frame.offset as usize..][..frame.stored_bytes as usize];
        match frame.check {
            Some(check) => frame_is_intact(stored, check),
            None => items.iter().all(|item| Id::of(&stored[item.at as usize..][..item.len as usize]) == item.id),
        }
    })
}

fn whole(kind: ObjectKind, total: u64, tail: &[u8]) -> Footer {
    match parse_footer(kind, total, tail).expect("own bytes") {
        TailParse::Whole(footer) => footer,
        TailParse::Needs(bytes) => panic!("{bytes} more are needed"),
    }
}

proptest! {
    #[test]
    fn packs_round_trip(plan in plan(), kind in 0usize..3) {
        let kind = PACKS[kind];
        let pack = build(kind, &plan).finish();
        prop_assert_eq!(&parse_pack(kind, &pack.bytes).expect("own bytes"), &pack.footer);
        prop_assert!(is_intact(kind, &pack.bytes));
        for other in PACKS {
            prop_assert_eq!(parse_pack(other, &pack.bytes).is_ok(), other == kind);
        }
    }

    #[test]
    fn a_tail_gives_the_footer_or_says_how_much_it_needs(plan in plan()) {
        let pack = build(ObjectKind::Pack, &plan).finish();
        let (bytes, total) = (&pack.bytes, pack.bytes.len() as u64);
        for have in 0..bytes.len() {
            let tail = &bytes[bytes.len() - have..];
            match parse_footer(ObjectKind::Pack, total, tail).expect("own bytes") {
                TailParse::Whole(footer) => prop_assert_eq!(&footer, &pack.footer),
                TailParse::Needs(more) => {
                    prop_assert!(more > have as u64 && more <= total);
                    if have >= TRAILER_LEN {
                        prop_assert_eq!(&whole(ObjectKind::Pack, total, &bytes[bytes.len() - more as usize..]), &pack.footer);
                    }
                }
            }
        }
    }

    #[test]
    fn tails_of_several_workers_share_a_pack(a in plan(), b in plan(), c in plan()) {
        let kind = ObjectKind::MetaPack;
        let mut joined = build(kind, &a);
        let shift = joined.append(build(kind, &b)).expect("small");
        prop_assert_eq!(shift as usize, a.len());
        joined.append(build(kind, &c)).expect("small");
        let one = build(kind, &[a, b, c].concat()).finish();
        let joined = joined.finish();
        prop_assert_eq!(&joined.footer, &one.footer);
        prop_assert_eq!(joined.bytes, one.bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), total: u64) {
        for kind in ObjectKind::ALL {
            parse_pack(kind, &bytes).ok();
            parse_footer(kind, total, &bytes).ok();
            Footer::read(kind, &bytes, 16).ok();
        }
    }

    #[test]
    fn altered_footers_never_panic(plan in plan(), at: u16, to: u8) {
        let pack = build(ObjectKind::MetaPack, &plan).finish();
        let mut footer = Vec::new();
        pack.footer.put(&mut footer);
        let end = (pack.bytes.len() - footer.len() - TRAILER_LEN) as u64;
        let at = usize::from(at) % footer.len();
        footer[at] = to;
        if let Ok(read) = Footer::read(ObjectKind::MetaPack, &footer, end) {
            let mut again = Vec::new();
            read.put(&mut again);
            prop_assert_eq!(again, footer);
        }
    }
}

fn small(kind: ObjectKind) -> FinishedPack {
    let plan: Plan = vec![(vec![(1, 9, 3), (2, 20, 0)], 0), (vec![(3, 40, 2)], 1), (vec![(4, 30, 0)], 2)];
    build(kind, &plan).finish()
}

#[test]
fn every_flipped_bit_is_found() {
    for kind in PACKS {
        let good = small(kind).bytes;
        let mut bytes = good.clone();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(kind, &bytes), "bit {bit} of {}", good.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(is_intact(kind, &bytes));
    }
}

#[test]
fn every_truncation_is_found() {
    let pack = small(ObjectKind::Pack);
    for len in 0..pack.bytes.len() {
        assert!(parse_pack(ObjectKind::Pack, &pack.bytes[..len]).is_err());
        assert!(parse_pack(ObjectKind::Pack, &pack.bytes[pack.bytes.len() - len..]).is_err());
    }
    let longer = [&pack.bytes[..], b"x"].concat();
    assert!(parse_pack(ObjectKind::Pack, &longer).is_err());
}

#[test]
fn absurd_counts_are_refused_before_anything_is_reserved() {
    for count in [u64::MAX, u64::from(u32::MAX), 1 << 20] {
        let mut footer = Vec::new();
        footer.put_varint(count);
        footer.resize(64, 0);
        assert!(Footer::read(ObjectKind::Pack, &footer, 16).is_err());
        let mut footer = vec![0];
        footer.put_varint(count);
        footer.resize(64, 0);
        assert!(Footer::read(ObjectKind::Pack, &footer, 16).is_err());
    }
    let trailer = Trailer { footer_len: u32::MAX, hash: Id::ZERO };
    let mut bytes = header(ObjectKind::Pack).to_vec();
    trailer.put(&mut bytes);
    assert!(parse_pack(ObjectKind::Pack, &bytes).is_err());
    assert!(parse_footer(ObjectKind::Pack, u64::MAX, &bytes).is_err());
    assert!(parse_footer(ObjectKind::Pack, u64::from(u32::MAX), &bytes).is_err());
}

#[test]
fn what_the_format_forbids_is_not_built() {
    let chunk = |len, hint_len| NewItem { id: Id::ZERO, kind: ItemKind::Chunk, len, hint_len };
    let mut pack = PackBuilder::new(ObjectKind::Pack);
    let stored = vec![0; MAX_FRAME_RAW as usize + 1];
    let mut refuses = |len: u32, raw, encoding, items: &[NewItem]| {
        assert!(pack.add_frame(&stored[..len as usize], raw, encoding, items).is_err());
        assert!(pack.is_empty());
    };
    refuses(10, 10, Encoding::Raw, &[]);
    refuses(10, 10, Encoding::Raw, &[chunk(9, 0)]);
    refuses(10, 10, Encoding::Raw, &[chunk(9, 1)]);
    refuses(10, 10, Encoding::Raw, &[chunk(10, 0), chunk(0, 0)]);
    refuses(9, 10, Encoding::Raw, &[chunk(10, 0)]);
    refuses(0, 10, Encoding::Zstd, &[chunk(10, 0)]);
    refuses(10, 10, Encoding::Raw, &[NewItem { kind: ItemKind::Node, ..chunk(10, 0) }]);
    refuses(10, MAX_ITEM + 1, Encoding::Zstd, &[chunk(MAX_ITEM + 1, 0)]);
    refuses(MAX_FRAME_RAW + 1, MAX_FRAME_RAW + 1, Encoding::Raw, &[chunk(MAX_ITEM, 0), chunk(65_537, 0)]);
    assert!(pack.append(PackBuilder::new(ObjectKind::MetaPack)).is_err());
    assert!(PackBuilder::new(ObjectKind::Index).add_frame(b"x", 1, Encoding::Raw, &[chunk(1, 0)]).is_err());
    let empty = PackBuilder::new(ObjectKind::Pack).finish();
    assert_eq!(parse_pack(ObjectKind::Pack, &empty.bytes).expect("own bytes"), Footer::default());
}

#[test]
fn the_bytes_are_frozen() {
    let digests = PACKS.map(|kind| Id::of(&small(kind).bytes).to_string());
    assert_eq!(
        digests,
        [
            "09a554628577de60b4794064fd4d5bc4d53c2039b957d6f4cbd9d7eb94dea25b",
            "878c21970c838169313c6ea605e92864cd840028d8c72860d9ab8564c9701b3f",
            "1ee4e3b61f1f4400c701e44082d077e24d7404b201a84fcde6284a5e6d62a5e6",
        ]
    );
}
