use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::base::RepoPath;
use crate::format::attrs::Value;
use crate::format::manifest::EntryAttrs;

/// A file whose content follows from its number.
fn file(path: &str, number: u64, size: u64) -> Leaf {
    let content = Id::of(&number.to_le_bytes());
    let kind = EntryKind::File { size, content, executable: false };
    Leaf { path: RepoPath::new(path).expect("a path"), entry: Entry { kind, attrs: EntryAttrs::None }, place: None }
}

fn with_attribute(leaf: Leaf, name: &str, value: Value) -> Leaf {
    let attrs = EntryAttrs::Inline(Attrs([(name.to_owned(), value)].into()));
    Leaf { entry: Entry { attrs, ..leaf.entry }, ..leaf }
}

fn inline(entry: &Entry) -> Result<Attrs> {
    match &entry.attrs {
        EntryAttrs::Inline(attrs) => Ok(attrs.clone()),
        _ => Ok(Attrs::default()),
    }
}

/// The parts that an entry is in.
fn parts_of(leaf: &Leaf, of: u32, by: &Grouping) -> Vec<u32> {
    let is_in = |number: &u32| {
        let share = Share { number: *number, of, by: by.clone() };
        share.has(leaf, inline).expect("attributes are inline")
    };
    (1..=of).filter(is_in).collect()
}

fn part_of(leaf: &Leaf, of: u32, by: &Grouping) -> u32 {
    let parts = parts_of(leaf, of, by);
    assert_eq!(parts.len(), 1, "in exactly one part");
    parts[0]
}

/// So many standard deviations happen once in 500 million.
const FAR_OUT: f64 = 6.0;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn parts_are_disjoint_complete_and_balanced(of in 1u32..20, seed in any::<u64>(), spread in 0u32..20) {
        // From all alike to a few large ones among many small.
        let size = |number: u64| 1000 + mixed(number) % (1 << spread);
        let files: Vec<Leaf> =
            (0..3000).map(|number| file(&format!("f{number}"), seed.wrapping_add(number), size(number))).collect();
        let mut bytes = BTreeMap::<u32, f64>::new();
        for leaf in &files {
            *bytes.entry(part_of(leaf, of, &Grouping::Content)).or_default() += leaf.entry.bytes() as f64;
        }
        let share = 1.0 / f64::from(of);
        let total: f64 = bytes.values().sum();
        let squares: f64 = files.iter().map(|leaf| (leaf.entry.bytes() as f64).powi(2)).sum();
        let deviation = (share * (1.0 - share) * squares).sqrt();
        for part in 1..=of {
            let off = bytes.get(&part).copied().unwrap_or(0.0) - total * share;
            prop_assert!(off.abs() <= FAR_OUT * deviation + 1e-6, "part {part} of {of} is off by {off} of {total}");
        }
    }

    #[test]
    fn a_new_part_takes_its_share_and_nothing_else_moves(of in 1u32..20, seed in any::<u64>()) {
        let count = 3000;
        let mut moved = 0.0;
        for number in 0..count {
            let leaf = file(&format!("f{number}"), seed.wrapping_add(number), 1);
            let (before, after) =
                (part_of(&leaf, of, &Grouping::Content), part_of(&leaf, of + 1, &Grouping::Content));
            if before != after {
                prop_assert_eq!(after, of + 1);
                moved += 1.0;
            }
        }
        let share = 1.0 / f64::from(of + 1);
        let deviation = (count as f64 * share * (1.0 - share)).sqrt();
        prop_assert!((moved - count as f64 * share).abs() <= FAR_OUT * deviation, "{moved} of {count} moved");
    }

    #[test]
    fn groups_stay_together_wherever_they_go(of in 2u32..9, seed in any::<u64>()) {
        let by = |text: &str| Grouping::parse(text).expect("a key");
        let mut used = std::collections::BTreeSet::new();
        for group in 0..40 {
            let group = seed.wrapping_add(group) % 1_000_000;
            let leaf = |path: String, number: u64| file(&path, seed ^ (group << 8) ^ number, 7);
            let together = [
                ("folder", format!("a/{group}/x"), format!("a/{group}/y")),
                ("folder:2", format!("a/{group}/x"), format!("a/{group}/deep/er/y")),
                ("name:{}_*.png", format!("left/{group}_1.png"), format!("right/{group}_2_3.png")),
            ];
            for (key, one, other) in together {
                let part = part_of(&leaf(one, 1), of, &by(key));
                prop_assert_eq!(part, part_of(&leaf(other, 2), of, &by(key)), "by {}", key);
                used.insert((key, part));
            }
            let valued = |number| with_attribute(leaf(format!("f{number}"), number), "subject", Value::Int(group as i64));
            prop_assert_eq!(part_of(&valued(1), of, &by("attr:subject")), part_of(&valued(2), of, &by("attr:subject")));
            let text = with_attribute(leaf("f".to_owned(), 1), "other", Value::Int(1));
            let by_content = part_of(&text, of, &Grouping::Content);
            prop_assert_eq!(part_of(&text, of, &by("attr:subject")), by_content, "without the attribute by content");
            prop_assert_eq!(part_of(&text, of, &by("name:no{}")), by_content, "without the pattern by content");
        }
        for key in ["folder", "folder:2", "name:{}_*.png"] {
            prop_assert!(used.iter().filter(|(used, _)| *used == key).count() > 1, "{} puts all into one part", key);
        }
    }
}

#[test]
fn equal_files_and_all_kinds_of_entries_have_a_part() {
    let by = Grouping::Content;
    assert_eq!(part_of(&file("a", 1, 10), 7, &by), part_of(&file("b/c", 1, 10), 7, &by));
    for kind in [EntryKind::EmptyFolder, EntryKind::Symlink { target: "x".into() }] {
        let leaf = Leaf { entry: Entry { kind, attrs: EntryAttrs::None }, ..file("e", 1, 0) };
        part_of(&leaf, 5, &by);
    }
}

#[test]
fn parts_are_parsed() {
    assert_eq!(Share::parse("2/8").expect("a part").to_string(), "2/8 by content");
    for text in ["", "0/8", "9/8", "1/0", "1", "a/b", "-1/2", "1/1000001"] {
        assert_eq!(Share::parse(text).expect_err(text).kind(), crate::base::Kind::Usage);
    }
}
