use proptest::prelude::*;

use super::super::pack::{FinishedPack, Footer, NewItem, PackBuilder};
use super::super::place::Encoding;
use super::*;

/// A pack in a store of the tests.
#[derive(Debug, Clone)]
struct Stored {
    name: ObjectName,
    kind: ObjectKind,
    bytes: u64,
    footer: Footer,
}

fn id(seed: u16) -> Id {
    Id::of(&seed.to_le_bytes())
}

/// A pack whose frames hold items of these seeds; ids repeat within and between packs.
fn pack(number: u8, kind: ObjectKind, frames: &[(Vec<u16>, u8)]) -> Stored {
    let mut builder = PackBuilder::new(kind);
    for (seeds, encoding) in frames {
        let item = |seed: &u16| match kind {
            ObjectKind::Pack => {
                NewItem { id: id(*seed), kind: ItemKind::Chunk, len: 1 + u32::from(*seed), hint_len: 0 }
            }
            ObjectKind::State => NewItem { id: id(*seed), kind: ItemKind::StateNode, len: 9, hint_len: 3 },
            _ => {
                let kind = ItemKind::ALL[1 + usize::from(seed % 6)];
                NewItem { id: id(seed / 2), kind, len: 1 + u32::from(*seed), hint_len: u32::from(seed % 3) }
            }
        };
        let items: Vec<_> = seeds.iter().map(item).collect();
        let raw: u32 = items.iter().map(|item| item.len + item.hint_len).sum();
        let (stored, encoding) = match encoding {
            0 => (raw, Encoding::Raw),
            1 => (raw.div_ceil(3), Encoding::Zstd),
            _ => (1, Encoding::Based(id(u16::from(*encoding)))),
        };
        builder.add_frame(&vec![0; stored as usize], raw, encoding, &items).expect("within the limits");
    }
    let FinishedPack { bytes, footer, .. } = builder.finish();
    let name = ObjectName { born: u64::from(number % 3), random: [number; 16] };
    Stored { name, kind, bytes: bytes.len() as u64, footer }
}

fn stores() -> impl Strategy<Value = Vec<Stored>> {
    let frames = proptest::collection::vec((proptest::collection::vec(0u16..300, 1..6), 0u8..6), 0..8);
    let kind = prop_oneof![Just(ObjectKind::Pack), Just(ObjectKind::MetaPack), Just(ObjectKind::State)];
    proptest::collection::vec((any::<u8>(), kind, frames), 0..6).prop_map(|mut packs| {
        packs.sort_by_key(|pack| pack.0);
        packs.dedup_by_key(|pack| pack.0);
        packs.reverse();
        packs.iter().map(|(number, kind, frames)| pack(*number, *kind, frames)).collect()
    })
}

fn build<'a>(packs: impl IntoIterator<Item = &'a Stored>) -> Vec<u8> {
    let mut builder = IndexBuilder::new();
    for pack in packs {
        builder.add_pack(pack.name, pack.kind, pack.bytes, &pack.footer).expect("a pack that can be");
    }
    builder.finish().expect("packs that agree")
}

fn index(packs: &[Stored]) -> Index {
    Index::parse(build(packs)).expect("own bytes")
}

/// Every item of the packs and its place.
fn items(packs: &[Stored]) -> Vec<(Id, ItemKind, Place)> {
    let of = |pack: &Stored| {
        let items = pack.footer.items.iter();
        items.map(|item| (item.id, item.kind, pack.footer.place(pack.name, item))).collect::<Vec<_>>()
    };
    packs.iter().flat_map(of).collect()
}

proptest! {
    #[test]
    fn an_index_says_what_the_packs_hold(packs in stores()) {
        let index = index(&packs);
        let (chunks, metas): (Vec<_>, Vec<_>) = items(&packs).into_iter().partition(|item| item.1 == ItemKind::Chunk);
        prop_assert_eq!(index.chunk_count(), chunks.len());
        prop_assert_eq!(index.meta_count(), metas.len());
        prop_assert_eq!(index.chunks().len(), chunks.len());
        for (id, kind, place) in &chunks {
            prop_assert!(index.places_of_chunk(id).any(|found| found == *place));
            let is_based = |place: &Place| place.frame.encoding.code() == 2;
            let plain = chunks.iter().any(|other| other.0 == *id && !is_based(&other.2));
            prop_assert_eq!(index.find_chunk(id).map(|place| is_based(&place)), Some(!plain));
            prop_assert!(index.find_meta(id, *kind).is_none());
        }
        for (id, kind, place) in &metas {
            prop_assert!(index.places_of_meta(id).any(|found| found == (*kind, *place)));
            prop_assert!(index.find_meta(id, *kind).is_some());
        }
        prop_assert!(index.find_chunk(&Id::ZERO).is_none() && index.find_chunk(&Id::MAX).is_none());
        prop_assert!(index.chunks().is_sorted_by_key(|(id, _)| id));
        prop_assert!(index.metas().is_sorted_by_key(|(id, kind, _)| (id, kind)));
        let mut names: Vec<_> = packs.iter().map(|pack| (pack.name, pack.kind, pack.bytes)).collect();
        names.sort();
        prop_assert!(index.packs().map(|pack| (pack.name, pack.kind, pack.bytes)).eq(names));
    }

    #[test]
    fn hooks_are_the_two_lowest_ids(packs in stores()) {
        let index = index(&packs);
        for pack in &packs {
            let mut ids: Vec<_> = pack.footer.items.iter().filter(|item| item.kind == ItemKind::Chunk).map(|item| item.id).collect();
            ids.extend([Id::MAX; 2]);
            ids.sort();
            if ids[1] != Id::MAX {
                ids.dedup();
                ids.push(Id::MAX);
            }
            let found = index.packs().find(|found| found.name == pack.name).expect("listed");
            prop_assert_eq!(&found.hooks[..], &ids[..2]);
        }
    }

    #[test]
    fn merging_is_building_at_once(packs in stores(), cut: u8, dead: u8) {
        let at = usize::from(cut) % (packs.len() + 1);
        // The parts overlap by a pack: its rows must not stand twice.
        let parts = [index(&packs[..at]), index(&packs[at.saturating_sub(1)..]), index(&[])];
        prop_assert_eq!(merge(&parts, |_| false).expect("agree"), build(&packs));
        let is_dead = |name: &ObjectName| name.random[0] % 2 == dead % 2;
        let alive = packs.iter().filter(|pack| !is_dead(&pack.name));
        prop_assert_eq!(merge(&parts, is_dead).expect("agree"), build(alive));
    }

    #[test]
    fn an_index_may_be_cut_by_ids(packs in stores(), at: u16) {
        let whole = index(&packs);
        let middle = id(at);
        let mut above = middle;
        above.0[31] = above.0[31].wrapping_add(1);
        prop_assume!(above > middle);
        let cut = |low, high| {
            let mut builder = IndexBuilder::within(low, high);
            builder.add_index(&whole, |_| false).expect("one index");
            Index::parse(builder.finish().expect("agree")).expect("own bytes")
        };
        let parts = [cut(Id::ZERO, middle), cut(above, Id::MAX)];
        prop_assert_eq!(parts[0].range(), (Id::ZERO, middle));
        prop_assert_eq!(parts[0].chunk_count() + parts[1].chunk_count(), whole.chunk_count());
        prop_assert!(parts[0].chunks().all(|(id, _)| id <= middle));
        prop_assert_eq!(&merge(&parts, |_| false).expect("agree"), whole.bytes());
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        Index::parse(bytes).ok();
    }

    #[test]
    fn rows_that_hash_well_but_cannot_be_are_refused(packs in stores(), at: u16, to: u8) {
        let mut bytes = build(&packs);
        let layout = index(&packs).layout;
        let at = usize::from(at) % layout.footer_at;
        let was = std::mem::replace(&mut bytes[at], to);
        reseal(&mut bytes, &layout);
        // Whatever it is that now stands there: once accepted, nothing can fail.
        if let Ok(index) = Index::parse(bytes) {
            prop_assert!(index.packs().len() == index.pack_count());
            for (id, place) in index.chunks() {
                prop_assert!(place.is_possible() && index.places_of_chunk(&id).any(|found| found == place));
            }
            for (id, kind, place) in index.metas() {
                prop_assert!(place.is_possible() && index.find_meta(&id, kind).is_some());
            }
        } else {
            prop_assert!(was != to);
        }
    }
}

/// Makes the hashes agree again with what stands before them.
fn reseal(bytes: &mut Vec<u8>, layout: &Layout) {
    use super::super::codec::check_of;
    use super::super::header::Trailer;
    let checks: Vec<u8> = bytes[..layout.footer_at].chunks(layout::BLOCK).flat_map(check_of).collect();
    let mut footer = bytes[layout.footer_at..][..layout::FIXED_FOOTER].to_vec();
    footer.extend(checks);
    bytes.truncate(layout.footer_at);
    bytes.extend_from_slice(&footer);
    Trailer { footer_len: footer.len() as u32, hash: Id::of(&footer) }.put(bytes);
}

fn small() -> Vec<Stored> {
    vec![
        pack(1, ObjectKind::Pack, &[(vec![5, 6], 0), (vec![7], 4)]),
        pack(2, ObjectKind::MetaPack, &[(vec![1, 2, 3], 1)]),
        pack(3, ObjectKind::Pack, &[(vec![7], 1)]),
    ]
}

#[test]
fn every_flipped_bit_is_found() {
    let mut bytes = build(&small());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Index::parse(bytes.clone()).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(Index::parse(bytes).is_ok());
}

#[test]
fn every_truncation_is_found() {
    let bytes = build(&small());
    for len in 0..bytes.len() {
        assert!(Index::parse(bytes[..len].to_vec()).is_err());
        assert!(Index::parse(bytes[bytes.len() - len..].to_vec()).is_err());
    }
    assert!(Index::parse([&bytes[..], b"x"].concat()).is_err());
}

#[test]
fn absurd_counts_are_refused() {
    let bytes = build(&small());
    let layout = index(&small()).layout;
    for count in 0..5 {
        for value in [u32::MAX, 1 << 31, 1 << 20] {
            let mut bytes = bytes.clone();
            bytes[layout.footer_at + 4 * count..][..4].copy_from_slice(&value.to_le_bytes());
            reseal(&mut bytes, &layout);
            assert!(Index::parse(bytes).is_err());
        }
    }
}

#[test]
fn an_index_of_several_blocks_is_checked_in_each() {
    let frames: Vec<_> = (0..2000).map(|n| (vec![n], (n % 3) as u8)).collect();
    let bytes = build(&[pack(1, ObjectKind::Pack, &frames)]);
    assert!(bytes.len() > 2 * layout::BLOCK);
    let index = Index::parse(bytes.clone()).expect("own bytes");
    assert!((0..2000).all(|n| index.find_chunk(&id(n)).is_some_and(|place| place.len == 1 + u32::from(n))));
    for at in (0..bytes.len()).step_by(layout::BLOCK / 2) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        assert!(Index::parse(bytes).is_err());
    }
}

#[test]
fn packs_that_contradict_themselves_are_refused() {
    let good = pack(1, ObjectKind::Pack, &[(vec![1, 2], 0)]);
    let other = pack(1, ObjectKind::Pack, &[(vec![1, 3], 0)]);
    let mut builder = IndexBuilder::new();
    let mut add = |pack: &Stored| builder.add_pack(pack.name, pack.kind, pack.bytes, &pack.footer);
    assert!(add(&good).is_ok() && add(&good).is_ok());
    assert!(add(&other).is_err());
    assert!(add(&Stored { bytes: good.bytes - 100, ..good.clone() }).is_err());
    assert!(add(&Stored { kind: ObjectKind::MetaPack, ..good.clone() }).is_err());
    let mut bad = pack(2, ObjectKind::Pack, &[(vec![1, 2], 0)]);
    bad.footer.items[1].frame = 1;
    assert!(add(&bad).is_err());
    assert_eq!(builder.finish().expect("one pack, twice"), build([&good]));
}

#[test]
fn packs_that_disagree_on_a_frame_are_refused() {
    let one = pack(3, ObjectKind::Pack, &[(vec![10], 0), (vec![12], 1), (vec![11, 13], 3)]);
    let mut two = one.clone();
    two.footer.frames[1].encoding = Encoding::Based(id(1));
    let mut three = one.clone();
    three.footer.frames[1].offset += 1;
    three.footer.frames[1].stored_bytes -= 1;
    for other in [two, three] {
        assert!(merge(&[index(std::slice::from_ref(&one)), index(&[other])], |_| false).is_err());
    }
}

#[test]
fn the_bytes_are_frozen() {
    assert_eq!(
        Id::of(&build(&small())).to_string(),
        "5e74c705103fd3c2cca087a81eacbf5efb95165207c305da4964da4418c3bdb9"
    );
}
