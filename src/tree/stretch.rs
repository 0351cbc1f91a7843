//! Stretches of a manifest's keys: which part of it a question is about.

/// Keys from `start` on, up to `end` exclusively.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub start: Vec<u8>,
    /// `None`: to the last key.
    pub end: Option<Vec<u8>>,
}

impl Stretch {
    /// Just `path`.
    pub fn at(path: &str) -> Stretch {
        // No path holds NUL, so that nothing lies between.
        Stretch { start: path.into(), end: Some([path.as_bytes(), b"\0"].concat()) }
    }

    /// What lies below `folder` (`""`: everything).
    pub fn below(folder: &str) -> Stretch {
        match folder {
            "" => Stretch { start: Vec::new(), end: None },
            // '0' is the byte behind '/'.
            folder => Stretch { start: format!("{folder}/").into(), end: Some(format!("{folder}0").into()) },
        }
    }

    /// Paths that begin with `text` (`""`: everything).
    pub fn beginning_with(text: &str) -> Stretch {
        let mut end = text.as_bytes().to_vec();
        // No byte of UTF-8 is the highest.
        let end = end.pop().map(|last| {
            end.push(last + 1);
            end
        });
        Stretch { start: text.into(), end }
    }

    /// What is at `path` or below it (`""`: everything). Two stretches: `a-b` stands between `a` and `a/c`.
    pub fn at_and_below(path: &str) -> [Stretch; 2] {
        match path {
            "" => [Stretch::below(""), Stretch::below("")],
            path => [Stretch::at(path), Stretch::below(path)],
        }
    }

    /// All of `stretches`, ascending, none touching another. One lies within another or apart from it.
    pub fn union(stretches: impl IntoIterator<Item = Stretch>) -> Vec<Stretch> {
        let mut all: Vec<Stretch> = stretches.into_iter().collect();
        // The longer one first, where both start alike.
        let ends = |stretch: &Stretch| (stretch.end.is_some(), std::cmp::Reverse(stretch.end.clone()));
        all.sort_unstable_by(|a, b| a.start.cmp(&b.start).then_with(|| ends(a).cmp(&ends(b))));
        all.dedup_by(|next, before| before.end.as_ref().is_none_or(|end| next.start < *end));
        all
    }

    /// Whether it ends before a key, or right with it.
    pub fn ends_by(&self, key: &[u8]) -> bool {
        self.end.as_deref().is_some_and(|end| end <= key)
    }

    /// Whether no key behind `key` is in it.
    pub fn ends_with(&self, key: &[u8]) -> bool {
        let behind = |end: &[u8]| end.strip_prefix(key).is_some_and(|rest| rest == b"\0");
        self.ends_by(key) || self.end.as_deref().is_some_and(behind)
    }
}

/// Whether one of `stretches`, which ascend, may hold a key behind `before` (`None`: any) and up to `last`.
pub(super) fn meet(stretches: &[Stretch], before: Option<&[u8]>, last: &[u8]) -> bool {
    let first = before.map_or(0, |before| stretches.partition_point(|stretch| stretch.ends_with(before)));
    stretches.get(first).is_some_and(|stretch| *stretch.start <= *last)
}

/// Whether one of `stretches`, which ascend, holds a key.
pub(super) fn holds(stretches: &[Stretch], key: &[u8]) -> bool {
    let first = stretches.partition_point(|stretch| stretch.ends_by(key));
    stretches.get(first).is_some_and(|stretch| *stretch.start <= *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_within_others_and_repetitions_vanish() {
        let of = |paths: &[&str]| Stretch::union(paths.iter().flat_map(|path| Stretch::at_and_below(path)));
        assert_eq!(of(&["a", "a-b"]).len(), 4);
        assert_eq!(of(&["b", "a", "a/b", "a"]), of(&["a", "b"]));
        assert_eq!(of(&["a", "", "b"]), [Stretch::below("")]);
        let both = of(&["a", "a-b"]);
        let starts: Vec<_> = both.iter().map(|stretch| std::str::from_utf8(&stretch.start).unwrap()).collect();
        assert_eq!(starts, ["a", "a-b", "a-b/", "a/"]);
    }

    #[test]
    fn what_begins_alike_is_one_stretch() {
        let some = Stretch::beginning_with("img_1");
        let holds = |key: &[u8]| *some.start <= *key && !some.ends_by(key);
        assert!(holds(b"img_1") && holds(b"img_1/x") && holds("img_1\u{10ffff}".as_bytes()));
        assert!(!holds(b"img_2") && !holds(b"img_") && !holds(b"img_0~"));
        assert_eq!(Stretch::beginning_with(""), Stretch::below(""));
        let all = [Stretch::at("img_1"), some.clone(), Stretch::below("img_1"), Stretch::beginning_with("img_12")];
        assert_eq!(Stretch::union(all), [some]);
    }

    #[test]
    fn stretches_meet_what_may_hold_their_keys() {
        let stretches = Stretch::union(["b", "d/e"].into_iter().flat_map(Stretch::at_and_below));
        let meets = |before: Option<&str>, last: &str| meet(&stretches, before.map(str::as_bytes), last.as_bytes());
        assert!(meets(None, "b") && meets(Some("a"), "b/x") && meets(Some("b/x"), "b/y") && meets(Some("c"), "z"));
        assert!(!meets(None, "a") && !meets(Some("b0"), "d/dz") && !meets(Some("d/e0"), "z"));
        assert!(meets(Some("b"), "b/x") && !meets(Some("b"), "b-c"), "b alone was before");
    }
}
